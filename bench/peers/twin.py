"""The PyTorch twin of a model file of pleura, made from the graph in its header.

    twin.py MODEL.safetensors OUT.onnx n d h w     writes it as ONNX of a fixed size
    from twin import load                          any other use: load(MODEL) is an nn.Module

Maps are [n, c, d, h, w]. A network whose layers never look along depth is made of 2D layers, as its
user would write it in PyTorch, and takes [n, c, h, w].
"""

import json
import sys

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn


class Layer(nn.Module):
    """One layer of the graph with its tensors."""

    def __init__(self, op, tensors, axes):
        super().__init__()
        self.op, self.axes = op, axes
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = tensors.get(f"{op['name']}.{name}")
            if value is not None and value.dim() == 5 and axes == 2:
                value = value.squeeze(2)
            if name.startswith("running"):
                self.register_buffer(name, value)
            else:
                self.register_parameter(name, None if value is None else nn.Parameter(value))

    def along(self, name):
        """A triple of the graph, for the axes there are."""
        return self.op[name][-self.axes :]

    def forward(self, x, *more):
        kind, planar = self.op["op"], self.axes == 2
        if kind == "conv":
            conv = F.conv2d if planar else F.conv3d
            return conv(x, self.weight, self.bias, self.along("stride"), self.along("pad"))
        if kind == "up-conv":
            return F.conv_transpose3d(x, self.weight, self.bias, stride=2)
        if kind == "batch-norm":
            running = self.running_mean, self.running_var
            return F.batch_norm(x, *running, self.weight, self.bias, self.training, 0.1, self.op["eps"])
        if kind == "relu":
            return F.relu(x, inplace=self.op["alone"])
        if kind == "p-relu":
            return F.prelu(x, self.weight)
        if kind == "add":
            return torch.add(x, more[0], alpha=self.op["scale"])
        if kind == "concat":
            return torch.cat((x, *more), 1)
        if kind == "max-pool":
            pool = F.max_pool2d if planar else F.max_pool3d
            return pool(x, self.along("kernel"), self.along("stride"), self.along("pad"))
        if kind == "global-avg-pool":
            return x.mean(tuple(range(2, x.dim())))
        if kind == "linear":
            return F.linear(x, self.weight, self.bias)
        raise ValueError(f"unknown operation {kind}")


def is_planar(layer):
    """Whether a layer treats each slice by itself."""
    sizes = [layer.get(name, [same]) for name, same in (("kernel", 1), ("stride", 1), ("pad", 0))]
    return layer["op"] != "up-conv" and [s[0] for s in sizes] == [1, 1, 0]


class Twin(nn.Module):
    """A network of pleura; `forward(x, f)` gives its outputs in the graph's order."""

    def __init__(self, manifest, tensors):
        super().__init__()
        self.manifest, spec = manifest, manifest["spec"]
        self.outputs, self.features, self.channels = spec["outputs"], spec["features"], spec["channels"]
        self.axes = 2 if all(map(is_planar, spec["layers"])) else 3
        reads = [name for layer in spec["layers"] for name in layer["inputs"]] + self.outputs
        self.layers = nn.ModuleList()
        self.last_reader = {}
        for i, layer in enumerate(spec["layers"]):
            # A rectifier that is the only reader of its input may write over it, as is usual.
            alone = reads.count(layer["inputs"][0]) == 1 and layer["inputs"][0] not in ("x", "f")
            self.layers.append(Layer({**layer, "alone": alone}, tensors, self.axes))
            self.last_reader.update({name: i for name in layer["inputs"]})

    def forward(self, x, f=None):
        values = {"x": x, "f": f}
        for i, layer in enumerate(self.layers):
            inputs = [values[name] for name in layer.op["inputs"]]
            for name in layer.op["inputs"]:
                if self.last_reader[name] == i and name not in self.outputs:
                    values.pop(name, None)  # so that no more memory is held than a program by hand would
            values[layer.op["name"]] = layer(*inputs)
        return tuple(values[name] for name in self.outputs)

    def shaped(self, x, f, size):
        """Inputs from arrays as the executor takes them: x in the order [n, d, h, w, c]."""
        x = torch.from_numpy(x).reshape(*size, self.channels).movedim(-1, 1)
        x = x.squeeze(2) if self.axes == 2 else x
        return (x.contiguous(),) if f is None else (x.contiguous(), torch.from_numpy(f).reshape(size[0], -1))


def load(path):
    """The twin of a model file, in evaluation mode, 32 bits."""
    with safe_open(path, "pt") as file:
        manifest = json.loads(file.metadata()["pleura.manifest"])
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    return Twin(manifest, tensors).eval()


def main(model, out, *size):
    net, size = load(model), [int(v) for v in size]
    zeros = lambda *shape: torch.zeros(*shape).numpy()
    inputs = net.shaped(zeros(*size, net.channels), zeros(size[0], net.features) if net.features else None, size)
    names = ["x", "f"][: len(inputs)]
    torch.onnx.export(net, inputs, out, dynamo=False, opset_version=17, input_names=names, output_names=net.outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
