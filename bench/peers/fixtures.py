"""Writes what tests expect of PyTorch: fixtures.py FOLDER TWIN.json GRADIENTS.json

FOLDER holds the models of `cargo run -p pleura-nets --example formula_model -- FOLDER`. Outputs, for
crates/nets/tests/torch.rs, and gradients, for crates/nets-burn/tests/pytorch.rs, are PyTorch's in double
precision. Inputs come from the formula of crates/nets/tests/common, so that nothing else need be kept.
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

# Training: large enough for batch normalisation to see some values of each channel at the deepest level.
STEPS = {
    "detector": (2, 16, 24, 16),
    "detector-shallow": (1, 8, 12, 20),
    "detector-deep": (2, 32, 32, 48),
    "resnet": (4, 1, 33, 47),
    "resnet-slab": (3, 5, 35, 29),
    "location": (5, 1, 32, 32),
    "location-slab": (3, 3, 24, 37),
    "every-op": (3, 5, 9, 7),
}


def unit(stream, n):
    """`n` numbers in 0..1 of a stream: the mixer of crates/nets/tests/common, in 32 bits."""
    m = np.uint64(0xFFFFFFFF)
    h = (np.arange(n, dtype=np.uint64) * np.uint64(2654435761) + np.uint64(stream * 2246822519 + 12345)) & m
    h = ((h ^ (h >> np.uint64(15))) * np.uint64(2246822519)) & m
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(3266489917)) & m
    return ((h ^ (h >> np.uint64(16))).astype(np.float64) / 2**32).astype(np.float32)


def run(net, size):
    """Outputs of one run."""
    f = unit(2000, size[0] * net.features) if net.features else None
    inputs = net.shaped(unit(1000, int(np.prod(size)) * net.channels), f, size)
    return net(*(i.double() for i in inputs))


def gradients(net, size):
    """Of half the mean square of each output, summed: for each tensor its length and its product with numbers of
    stream 3000, less a half."""
    loss = sum(0.5 * value.square().mean() for value in run(net.train(), size))
    loss.backward()
    tensors = {}
    for layer in net.layers:
        for name, tensor in layer.named_parameters():
            gradient = tensor.grad.flatten()
            along = torch.from_numpy(unit(3000, gradient.numel())).double() - 0.5
            tensors[f"{layer.op['name']}.{name}"] = [float(f"{v:.9g}") for v in (gradient.norm(), gradient @ along)]
    return {"size": size, "loss": float(f"{loss.item():.9g}"), "tensors": tensors}


def expected(net, size):
    """Size and outputs, channels last, of one run."""
    outputs = {}
    for name, value in zip(net.outputs, run(net, size)):
        value = value.movedim(1, -1) if value.dim() > 2 else value
        if value.dim() == 4:
            value = value.unsqueeze(1)
        outputs[name] = {"shape": list(value.shape), "data": [float(f"{v:.6g}") for v in value.flatten().tolist()]}
    return {"size": size, "outputs": outputs}


def write(cases, out):
    text = json.dumps(cases, separators=(",", ":"))
    pathlib.Path(out).write_text(text.replace("},", "},\n") + "\n")


def main(folder, twin, steps):
    twins = {name: load(f"{folder}/{name}.safetensors").double() for name in SIZES}
    with torch.no_grad():
        write({name: [expected(twins[name], size) for size in sizes] for name, sizes in SIZES.items()}, twin)
    write({name: gradients(twins[name], size) for name, size in STEPS.items()}, steps)


if __name__ == "__main__":
    main(*sys.argv[1:])
