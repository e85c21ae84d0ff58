"""What is run side by side: networks, sizes, inputs."""

import dataclasses
import gzip

import numpy as np


@dataclasses.dataclass
class Case:
    """One piece of work: a model on inputs of [n, d, h, w]."""

    name: str
    model: str
    size: list
    rounds: int = 1
    train: bool = False


LUNG = "detector, whole lung 128 x 112 x 136"


def timed(shipped, made):
    """The work of the goals; `shipped` holds the networks of the binary, `made` the others."""
    detector, classifier = f"{shipped}/detector.safetensors", f"{shipped}/classifier.safetensors"
    return [
        Case("detector, 96^3", detector, [1, 96, 96, 96], 7),
        Case(LUNG, detector, [1, 128, 112, 136], 5),
        Case("classifier, 32 patches", classifier, [32, 1, 64, 64], 15),
        Case("classifier, 8 slabs of 3 slices", f"{made}/location-slab.safetensors", [8, 3, 64, 64], 11),
        Case("detector, training step 2 x 64^3", detector, [2, 64, 64, 64], 5, train=True),
        Case("classifier, training step of 32", classifier, [32, 1, 64, 64], 7, train=True),
    ]


def compared(shipped, made):
    """Odd sizes of every form of every network."""
    detector, classifier = f"{shipped}/detector.safetensors", f"{shipped}/classifier.safetensors"
    work = [
        ("the shipped detector", detector, [1, 24, 40, 56]),
        ("the shipped detector, batch of 3", detector, [3, 8, 72, 8]),
        ("the shipped detector, 96^3", detector, [1, 96, 96, 96]),
        ("the shipped classifier", classifier, [32, 1, 64, 64]),
        ("the shipped classifier, odd", classifier, [5, 1, 61, 47]),
        ("detector of three levels", f"{made}/detector-shallow.safetensors", [1, 12, 20, 28]),
        ("detector of four levels", f"{made}/detector.safetensors", [2, 24, 8, 40]),
        ("detector of five levels", f"{made}/detector-deep.safetensors", [1, 16, 48, 80]),
        ("resnet18", f"{made}/resnet.safetensors", [3, 1, 33, 71]),
        ("resnet18, slabs", f"{made}/resnet-slab.safetensors", [2, 5, 35, 29]),
        ("location-attention", f"{made}/location.safetensors", [3, 1, 65, 63]),
        ("location-attention, slabs", f"{made}/location-slab.safetensors", [2, 7, 37, 45]),
        ("every operation", f"{made}/every-op.safetensors", [2, 5, 9, 7]),
    ]
    return [Case(*w) for w in work]


def noise(size, channels, seed):
    """Uniform random images [n, d, h, w, c]."""
    return np.random.default_rng(seed).random((*size, channels), dtype=np.float32)


class Scan:
    """A CT as `pleura convert` writes it: NIfTI of 16-bit integers, gzipped."""

    def __init__(self, path):
        with gzip.open(path) as file:
            raw = file.read()
        value = lambda kind, count, at: np.frombuffer(raw, kind, count, at)
        if value("<i2", 1, 70)[0] != 4:
            raise ValueError(f"{path}: not 16-bit integers")
        size = value("<i2", 3, 42)[::-1].astype(int)
        hu = value("<i2", int(np.prod(size)), int(value("<f4", 1, 108)[0])).reshape(size)
        self.unit = np.clip((hu.astype(np.float32) + 1000) / 1400, 0, 1)
        self.spacing_mm = value("<f4", 3, 80)[::-1]

    def volume(self, shape, shift):
        """The middle of the scan, `shift` voxels off it, at 2 mm (nearest voxel)."""
        out = self.unit
        for axis, (n, mm) in enumerate(zip(shape, self.spacing_mm)):
            at = (np.arange(n) - (n - 1) / 2 + shift) * 2 / mm + (out.shape[axis] - 1) / 2
            out = np.take(out, np.clip(np.rint(at), 0, out.shape[axis] - 1).astype(int), axis)
        return out

    def images(self, size, channels, seed):
        """As `noise`: volumes from its middle, or for few slices patches from anywhere."""
        draw = np.random.default_rng(seed)
        n, d, h, w = size
        parts = []
        for i in range(n * channels):
            if d >= 8:
                parts.append(self.volume((d, h, w), 3 * i))
                continue
            z, y, x = (draw.integers(0, s - m + 1) for s, m in zip(self.unit.shape, (d, h, w)))
            parts.append(self.unit[z : z + d, y : y + h, x : x + w])
        return np.moveaxis(np.stack(parts).reshape(n, channels, d, h, w), 1, -1)
