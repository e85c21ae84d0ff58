"""Runs a model in another framework, once for each line on standard input.

    engines.py ENGINE MODEL FOLDER n d h w

ENGINE: torch, torch-last (channels last), torch64 (double precision), openvino, onnxruntime, and for a
training step torch-train, torch-train-last. Inputs, lines and outputs as in
crates/nets/examples/forward.rs (training: crates/nets-burn/examples/train_step.rs); outputs are called
ENGINE.<output>.f32. OpenVINO and ONNX Runtime read FOLDER/model.onnx (see twin.py), so that their
processes hold no PyTorch. THREADS says how many threads.
"""

import os
import sys
import time

import numpy as np

THREADS = int(os.environ.get("THREADS", "2"))


def torch_engine(engine, model, size, x, f):
    import torch

    import twin

    torch.set_num_threads(THREADS)
    net = twin.load(model)
    inputs = net.shaped(x, f, size)
    if engine.endswith("-last"):
        order = torch.channels_last if net.axes == 2 else torch.channels_last_3d
        net, inputs = net.to(memory_format=order), (inputs[0].to(memory_format=order), *inputs[1:])
    if engine == "torch64":
        net, inputs = net.double(), tuple(i.double() for i in inputs)
    if "train" in engine:
        return training(torch, net, inputs)

    def run():
        with torch.inference_mode():
            return net(*inputs)

    return net.outputs, run


def training(torch, net, inputs):
    """One step of Adam on half the mean square of each output."""
    net.train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []

    def run():
        optimizer.zero_grad()
        loss = sum(0.5 * (o * o).mean() for o in net(*inputs))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        return [torch.tensor(losses)]

    return ["loss"], run


def planar_or_not(x, size, rank):
    """x in the order [n, c, d, h, w], or without d where the network is planar."""
    x = np.moveaxis(x.reshape(*size, -1), -1, 1)
    return np.ascontiguousarray(x[:, :, 0] if rank == 4 else x)


def onnxruntime_engine(path, size, x, f):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    net = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {"x": planar_or_not(x, size, len(net.get_inputs()[0].shape))}
    if f is not None:
        feed["f"] = f.reshape(size[0], -1)
    return [o.name for o in net.get_outputs()], lambda: net.run(None, feed)


def openvino_engine(path, size, x, f):
    import openvino as ov

    hints = {"INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    net = ov.Core().compile_model(path, "CPU", hints)
    request = net.create_infer_request()
    feed = [planar_or_not(x, size, len(net.inputs[0].shape))]
    if f is not None:
        feed.append(f.reshape(size[0], -1))
    for i, value in enumerate(feed):
        request.set_input_tensor(i, ov.Tensor(value))

    def run():
        request.infer()
        return [o.data for o in request.output_tensors]

    return [o.get_any_name() for o in net.outputs], run


def main(engine, model, folder, *size):
    size = [int(v) for v in size]
    x = np.fromfile(f"{folder}/x.f32", np.float32)
    features = f"{folder}/f.f32"
    f = np.fromfile(features, np.float32) if os.path.exists(features) else None
    if engine.startswith("torch"):
        names, run = torch_engine(engine, model, size, x, f)
    else:
        make = {"openvino": openvino_engine, "onnxruntime": onnxruntime_engine}[engine]
        names, run = make(f"{folder}/model.onnx", size, x, f)
    print("ready", flush=True)
    outputs = []
    for _ in sys.stdin:
        outputs = None
        start = time.perf_counter()
        outputs = run()
        print(time.perf_counter() - start, flush=True)
    for name, output in zip(names, outputs):
        output = np.asarray(output)
        output = np.moveaxis(output, 1, -1) if output.ndim > 1 else output
        output.astype(np.float32).tofile(f"{folder}/{engine}.{name}.f32")


if __name__ == "__main__":
    main(*sys.argv[1:])
