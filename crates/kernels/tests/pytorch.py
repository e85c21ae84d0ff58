"""Writes pytorch.txt: results and gradients of every operation by PyTorch, in double precision.

Run: python pytorch.py > pytorch.txt

Inputs are not stored: `values` gives the same numbers here and in pytorch.rs. Maps are printed
channels last (NDHWC), weights in PyTorch's order.
"""

import torch
import torch.nn.functional as F


def values(shape, seed):
    """Numbers in -1..1 that single precision holds exactly; neighbours differ."""
    n = torch.Size(shape).numel()
    v = torch.tensor([((i * 7919 + seed * 104729) % 16381 - 8190) / 8192 for i in range(n)])
    return v.double().reshape(shape)


def from_last(x):
    """NDHWC to NCDHW."""
    return x.permute(0, 4, 1, 2, 3)


def to_last(x):
    return x.permute(0, 2, 3, 4, 1) if x.dim() == 5 else x


def show(case, **tensors):
    for name, t in tensors.items():
        print(case, name, *[f"{v:.7g}" for v in t.detach().reshape(-1).tolist()])


def run(case, inputs, f):
    """Prints the result y and the gradient of sum(y * values(seed 9)) by each input."""
    leaves = {k: v.clone().requires_grad_() for k, v in inputs.items()}
    y = to_last(f(**leaves))
    (y * values(y.shape, 9)).sum().backward()
    show(case, y=y, **{"g" + k: v.grad for k, v in leaves.items()})


def conv(case, shape, weight, stride, pad):
    inputs = {"x": values(shape, 1), "w": values(weight, 2), "b": values(weight[:1], 3)}
    run(case, inputs, lambda x, w, b: F.conv3d(from_last(x), w, b, stride, pad))


conv("conv_same", (2, 3, 4, 5, 3), (9, 3, 3, 3, 3), 1, 1)
conv("conv_halving", (1, 4, 5, 6, 8), (10, 8, 2, 2, 2), 2, 0)
conv("conv_plane", (2, 1, 9, 8, 1), (5, 1, 1, 7, 7), (1, 2, 2), (0, 3, 3))
conv("conv_point", (1, 2, 3, 3, 12), (17, 12, 1, 1, 1), 1, 0)
conv("conv_strided", (2, 1, 7, 6, 8), (9, 8, 1, 3, 3), (1, 2, 2), (0, 1, 1))
conv("conv_short", (2, 1, 5, 6, 9), (8, 9, 1, 1, 1), (1, 2, 2), 0)
conv("conv_winograd", (1, 3, 8, 9, 8), (10, 8, 3, 3, 3), 1, 1)

up = {"x": values((2, 2, 1, 3, 4), 1), "w": values((4, 3, 2, 2, 2), 2), "b": values((3,), 3)}
run("up", up, lambda x, w, b: F.conv_transpose3d(from_last(x), w, b, 2))

pool = {"x": values((1, 3, 6, 5, 2), 1)}
run("pool", pool, lambda x: F.max_pool3d(from_last(x), (2, 3, 3), (1, 2, 2), (0, 1, 1)))

full = {"x": values((3, 5), 1), "w": values((4, 5), 2), "b": values((4,), 3)}
run("full", full, lambda x, w, b: F.linear(x, w, b))

mean = {"x": values((2, 2, 3, 2, 3), 1)}
run("mean", mean, lambda x: from_last(x).mean((2, 3, 4)))

slope = values((1, 2, 2, 3, 2), 1), values((3, 2, 1, 1, 1), 2), values((3,), 3)
show("prelu", y=to_last(F.prelu(F.conv3d(from_last(slope[0]), slope[1]), slope[2])))
