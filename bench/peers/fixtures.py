"""Writes what crates/nets/tests/torch.rs expects: fixtures.py FOLDER OUT.json

FOLDER holds the models of `cargo run -p pleura-nets --example formula_model -- FOLDER`. Outputs are
PyTorch's in double precision. Inputs come from the formula of crates/nets/tests/common, so that nothing
but the outputs need be kept.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from twin import load

SIZES = {
    "detector": [(1, 16, 8, 8), (2, 8, 24, 8)],
    "detector-shallow": [(1, 4, 12, 20)],
    "detector-deep": [(1, 16, 16, 32)],
    "resnet": [(2, 1, 32, 32), (3, 1, 33, 71)],
    "resnet-slab": [(2, 5, 35, 29)],
    "location": [(2, 1, 32, 32), (1, 1, 61, 47)],
    "location-slab": [(2, 3, 16, 16), (1, 4, 21, 37)],
    "every-op": [(1, 4, 4, 5), (2, 5, 9, 7)],
}


def unit(stream, n):
    """`n` numbers in 0..1 of a stream: the mixer of crates/nets/tests/common, in 32 bits."""
    m = np.uint64(0xFFFFFFFF)
    h = (np.arange(n, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(stream * 2246822519 + 12345)) & m
    h = ((h ^ (h >> np.uint64(15))) * np.uint64(2246822519)) & m
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(3266489917)) & m
    return ((h ^ (h >> np.uint64(16))).astype(np.float64) / 2**32).astype(np.float32)


def expected(net, size):
    """Size and outputs, channels last, of one run."""
    f = unit(2000, size[0] * net.features) if net.features else None
    inputs = net.shaped(unit(1000, int(np.prod(size)) * net.channels), f, size)
    outputs = {}
    for name, value in zip(net.outputs, net(*(i.double() for i in inputs))):
        value = value.movedim(1, -1) if value.dim() > 2 else value
        if value.dim() == 4:
            value = value.unsqueeze(1)
        outputs[name] = {"shape": list(value.shape), "data": [float(f"{v:.6g}") for v in value.flatten().tolist()]}
    return {"size": size, "outputs": outputs}


def main(folder, out):
    cases = {}
    for name, sizes in SIZES.items():
        net = load(f"{folder}/{name}.safetensors").double()
        cases[name] = [expected(net, size) for size in sizes]
    text = json.dumps(cases, separators=(",", ":"))
    pathlib.Path(out).write_text(text.replace("},", "},\n") + "\n")


if __name__ == "__main__":
    with torch.no_grad():
        main(*sys.argv[1:])
