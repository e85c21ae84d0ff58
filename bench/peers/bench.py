"""Times the networks beside the other frameworks, in turns, and writes the raw figures and a summary.

    bench.py SHIPPED MADE PROGRAMS SCAN.nii.gz PLEURA DICOM_FOLDER

All engines of a case are started, warmed up and then told to run one after the other, round by round, so
that whatever else the machine does falls on all of them; of training, two steps each time, and the second is
taken. Outputs are compared on the way.
"""

import csv
import datetime
import itertools
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import summary
from cases import LUNG, Scan, timed
from workers import ENVIRONMENT, Worker, difference, prepare

FORWARD = ["ours", "openvino", "torch", "torch-last", "onnxruntime"]
TRAIN = ["ours", "torch-train", "torch-train-last"]
WARM_UP = 1
TOLERANCE = 1e-4


def take_turns(case, folder, programs, record):
    """Runs a case in all engines, round by round."""
    engines = TRAIN if case.train else FORWARD
    workers = [Worker(engine, case, folder, programs) for engine in engines]
    rounds = max(1, round(case.rounds * float(os.environ.get("ROUNDS", "1"))))
    for turn in range(-WARM_UP, rounds):
        for worker in workers:
            # A step of training follows another one: the first of two only wakes the engine.
            seconds = [worker.run() for _ in range(2 if case.train else 1)][-1]
            if turn >= 0:
                record(case.name, worker.engine, "seconds", turn, seconds)
            time.sleep(0.05)  # threads of the one before stop waiting for more
    outputs = [worker.finish() for worker in workers]
    for engine, output in zip(engines[1:], outputs[1:]):
        # Training: of the first step's loss; later ones part, as rounding is fed back.
        both = [{"loss": o["loss"][:1]} if case.train else o for o in (outputs[0], output)]
        record(case.name, engine, "difference from ours", 0, difference(*both))


def measure_memory(case, folder, programs, record):
    """Most resident memory of a process that does one run and nothing else."""
    for engine in FORWARD:
        worker = Worker(engine, case, folder, programs)
        record(case.name, engine, "loaded MB", 0, worker.memory_mb("VmRSS"))
        worker.run()
        record(case.name, engine, "peak MB", 0, worker.memory_mb("VmHWM"))
        worker.finish()


def screen(pleura, scan, record):
    """`pleura screen`, DICOM to report."""
    for turn in range(3):
        with tempfile.TemporaryDirectory() as out:
            command = [pleura, "screen", scan, "--out", f"{out}/result", "--threads", ENVIRONMENT["THREADS"]]
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                raise RuntimeError("pleura screen failed")
            record("pleura screen", "ours", "seconds", turn, seconds)
            record("pleura screen", "ours", "peak MB", turn, used.ru_maxrss / 1024)


def machine():
    """Kind of machine: cores and widest vectors."""
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    isa = next((i for i in ("avx512f", "avx2") if i in flags), "scalar")
    return f"{os.cpu_count()}core-{isa.removesuffix('f')}"


def folder_of_run():
    """A new folder under bench/runs."""
    name = "-".join(filter(None, (str(datetime.date.today()), machine(), os.environ.get("NAME"))))
    runs = pathlib.Path(__file__).parent.parent / "runs"
    names = (f"{name}-{i}" if i > 1 else name for i in itertools.count(1))
    folder = next(runs / n for n in names if not (runs / n).exists())
    folder.mkdir(parents=True)
    return folder


def main(shipped, made, programs, scan, pleura, dicom):
    rows, loads, programs = [], [os.getloadavg()[0]], pathlib.Path(programs)
    out = folder_of_run()
    images = Scan(scan).images
    with open(out / "raw.csv", "w", newline="") as file:
        raw = csv.writer(file, lineterminator="\n")
        raw.writerow(["work", "engine", "quantity", "round", "value"])

        def record(*row):
            rows.append(row)
            raw.writerow((*row[:-1], f"{row[-1]:.5g}"))
            file.flush()

        only = os.environ.get("ONLY", "")
        for case in (c for c in timed(shipped, made) if only in c.name):
            print(case.name, file=sys.stderr)
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                prepare(case, folder, images)
                take_turns(case, folder, programs, record)
                if case.name == LUNG:
                    measure_memory(case, folder, programs, record)
            loads.append(os.getloadavg()[0])
        screen(pleura, dicom, record)
    text = summary.text(rows, machine(), statistics.median(loads))
    (out / "summary.md").write_text(text)
    print(text)
    far = [r for r in rows if r[2] == "difference from ours" and not r[-1] <= TOLERANCE]
    return f"outputs differ by more than {TOLERANCE:g}: {far}" if far else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
