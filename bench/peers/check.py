"""Outputs of the executor against those of the other frameworks, at odd sizes, on noise and on a scan.

    check.py SHIPPED MADE PROGRAMS [SCAN.nii.gz]

Fails where ours differ from PyTorch's in double precision by more than 1e-4 of an output's largest value.
"""

import math
import pathlib
import sys
import tempfile

from cases import Scan, compared, noise
from workers import Worker, difference, prepare

TOLERANCE = 1e-4
ENGINES = ["ours", "torch", "torch-last", "openvino", "onnxruntime"]


def main(shipped, made, programs, scan=None):
    sources = {"noise": noise} | ({"scan": Scan(scan).images} if scan else {})
    worst = 0.0
    print("largest difference from PyTorch in double precision, relative to the output's largest value")
    print(f"{'':34} {'size':>16} {'input':>6}" + "".join(f"{e:>13}" for e in ENGINES))
    for case in compared(shipped, made):
        for source, images in sources.items():
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                prepare(case, folder, images)
                outputs = {}
                for engine in ["torch64", *ENGINES]:
                    worker = Worker(engine, case, folder, pathlib.Path(programs))
                    worker.run()
                    outputs[engine] = worker.finish()
            far = [difference(outputs[e], outputs["torch64"]) for e in ENGINES]
            # What is no number is further off than any.
            worst = max(worst, far[0] if far[0] == far[0] else math.inf)
            size = "x".join(map(str, case.size))
            print(f"{case.name:34} {size:>16} {source:>6}" + "".join(f"{f:13.1e}" for f in far), flush=True)
    print(f"ours: at most {worst:.1e}, allowed {TOLERANCE:.0e}")
    return worst > TOLERANCE


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
