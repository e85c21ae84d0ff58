"""Programs that run a model at our word, ours and others', and the comparison of what they give."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
from safetensors import safe_open

HERE = pathlib.Path(__file__).parent
THREADS = os.environ.get("THREADS", "2")
# More threads than these would be a matter of how a library was built.
ENVIRONMENT = {**os.environ, "THREADS": THREADS, "RAYON_NUM_THREADS": THREADS, "OMP_NUM_THREADS": THREADS}


def spec_of(model):
    """The graph in a model file."""
    with safe_open(model, "np") as file:
        return json.loads(file.metadata()["pleura.manifest"])["spec"]


def prepare(case, folder, images, seed=1):
    """Writes the inputs of a case, and the model as ONNX where something but training is asked."""
    spec = spec_of(case.model)
    folder.mkdir(parents=True, exist_ok=True)
    np.ascontiguousarray(images(case.size, spec["channels"], seed), np.float32).tofile(folder / "x.f32")
    if spec["features"]:
        noise = np.random.default_rng(seed + 1).random((case.size[0], spec["features"]), dtype=np.float32)
        noise.tofile(folder / "f.f32")
    if not case.train:
        command = [sys.executable, HERE / "twin.py", case.model, folder / "model.onnx", *map(str, case.size)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


class Worker:
    """A process that runs a case once each time it is told to."""

    def __init__(self, engine, case, folder, programs):
        self.engine, self.case, self.folder = engine, case, folder
        ours = [programs / ("train_step" if case.train else "forward")]
        command = ours if engine == "ours" else [sys.executable, HERE / "engines.py", engine]
        command = [*command, case.model, folder, *map(str, case.size)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=ENVIRONMENT)
        self.answer("ready")

    def answer(self, what):
        line = self.process.stdout.readline().strip()
        if not line or (what == "ready") != (line == "ready"):
            raise RuntimeError(f"{self.engine} failed on {self.case.name}: {line}")
        return line

    def run(self):
        """Seconds of one run."""
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return float(self.answer("seconds"))

    def memory_mb(self, kind):
        """Resident memory of the process: now (VmRSS) or at most so far (VmHWM)."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(l for l in status.splitlines() if l.startswith(kind)).split()[1]) / 1024

    def finish(self):
        """Ends the process and gives its outputs by name."""
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise RuntimeError(f"{self.engine} failed on {self.case.name}")
        names = ["loss"] if self.case.train else spec_of(self.case.model)["outputs"]
        return {name: np.fromfile(self.folder / f"{self.engine}.{name}.f32", np.float32) for name in names}


def difference(got, want):
    """Largest difference of any output, relative to the largest value of that output."""
    return max(float(np.abs(got[n] - w).max() / max(np.abs(w).max(), 1e-30)) for n, w in want.items())
