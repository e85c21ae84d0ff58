"""The summary of a run of bench.py: goals beside what was measured."""

import datetime
import os
import platform
import statistics
import subprocess
from importlib.metadata import version

from cases import LUNG

TORCH = ["torch", "torch-last"]
TRAIN = ["torch-train", "torch-train-last"]
# Work, the engines of which the best counts, the greatest ratio of our time to theirs.
GOALS = [
    ("detector, 96^3", ["openvino"], 0.5),
    ("detector, 96^3", TORCH, 0.3),
    (LUNG, ["openvino"], 0.5),
    (LUNG, TORCH, 0.3),
    ("classifier, 32 patches", ["openvino"], 0.8),
    ("classifier, 8 slabs of 3 slices", ["openvino"], 0.8),
    ("detector, training step 2 x 64^3", TRAIN, 0.5),
    ("classifier, training step of 32", TRAIN, 0.8),
]
MEMORY_GOAL = 0.6
SCREEN_GOAL_S, SCREEN_GOAL_MB = 3.0, 1000.0


def verdict(value, goal):
    return "yes" if value <= goal else f"no, {value / goal:.3f} times the goal"


class Runs:
    """The rows by what they say."""

    def __init__(self, rows):
        self.rows = rows

    def values(self, work, engine, quantity="seconds"):
        return [r[-1] for r in self.rows if tuple(r[:3]) == (work, engine, quantity)]

    def median(self, *key):
        return statistics.median(self.values(*key))

    def ratio(self, work, engine):
        """Median, over the rounds, of our time by theirs in the same round."""
        pairs = zip(self.values(work, "ours"), self.values(work, engine))
        return statistics.median(a / b for a, b in pairs)


def goals(runs):
    """Lines of the goals' table."""
    yield "| work | against | goal | measured | reached |\n|---|---|---|---|---|"
    for work, engines, goal in GOALS:
        if not runs.values(work, "ours"):
            continue  # left out by ONLY
        best = min(engines, key=lambda e: runs.median(work, e))
        ratio = runs.ratio(work, best)
        yield f"| {work} | {best} | {goal} | {ratio:.2f} | {verdict(ratio, goal)} |"
    if runs.values(LUNG, "ours"):
        memory = runs.median(LUNG, "ours", "peak MB") / runs.median(LUNG, "openvino", "peak MB")
        yield f"| {LUNG}, peak memory | openvino | {MEMORY_GOAL} | {memory:.2f} | {verdict(memory, MEMORY_GOAL)} |"
    seconds, peak = (runs.median("pleura screen", "ours", q) for q in ("seconds", "peak MB"))
    yield f"| `pleura screen`, 70 slices, DICOM to report | - | 3 s | {seconds:.1f} s | {verdict(seconds, SCREEN_GOAL_S)} |"
    yield f"| the same, peak memory | - | 1 GB | {peak:.0f} MB | {verdict(peak, SCREEN_GOAL_MB)} |"


def table(runs, quantity, scale, shown, digits):
    """Medians of a quantity, work by engine."""
    chosen = [r for r in runs.rows if r[2] == quantity]
    engines = list(dict.fromkeys(r[1] for r in chosen))
    yield f"| {shown} | " + " | ".join(engines) + " |\n|---|" + "---|" * len(engines)
    for work in dict.fromkeys(r[0] for r in chosen):
        cells = (runs.values(work, e, quantity) for e in engines)
        yield f"| {work} | " + " | ".join(
            f"{scale * statistics.median(c):.{digits}f}" if c else "" for c in cells
        ) + " |"


def processor():
    """Its name, as Linux tells it."""
    lines = open("/proc/cpuinfo", encoding="utf-8").read().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def commit():
    """The commit that is measured, and whether files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def text(rows, machine, load):
    """The whole page."""
    runs = Runs(rows)
    packages = ", ".join(f"{p} {version(p)}" for p in ("torch", "onnxruntime", "openvino"))
    far = max((r[-1] for r in rows if r[2] == "difference from ours" and "step" not in r[0]), default=0.0)
    steps = max((r[-1] for r in rows if r[2] == "difference from ours" and "step" in r[0]), default=0.0)
    note = os.environ.get("NOTE", "")
    lines = [
        f"# The networks beside the other frameworks, {datetime.date.today()}, {machine}",
        f"`bench/peers/run.sh`; {os.environ.get('THREADS', '2')} threads, 32 bits; {packages}. "
        f"Load average (median over the run): {load:.1f}. {note}".strip(),
        f"Processor: {processor()}. Python {platform.python_version()}. Commit: {commit()}. Volumes and patches are of "
        f"{os.environ.get('INPUT', 'a scan that is not named')}.",
        "Engines take turns, run by run. A ratio is ours by theirs, the median over the rounds of both in the "
        "same round; `torch-last` is PyTorch in its channels-last format. Threads that spin while they "
        "wait lose more to other load than ours do: quote ratios of a quiet machine only. Ours runs with the "
        "binary's allocator, mimalloc, which asks for large pages; theirs ask for them when GLIBC_TUNABLES="
        "glibc.malloc.hugetlb=1 is set for all.",
        "## Goals\n",
        "\n".join(goals(runs)),
        "Kernels alone: `cargo run --release -p pleura-kernels --example throughput`.",
        "## Medians\n",
        "\n".join(table(runs, "seconds", 1000, "milliseconds", 1)),
        "Most resident memory of a process that does one run (Python and its libraries counted), and before it:\n",
        "\n".join(table(runs, "peak MB", 1, "peak, MB", 0)),
        "\n".join(table(runs, "loaded MB", 1, "loaded, MB", 0)),
        f"Outputs differ from ours by at most {far:.1e} of an output's largest value, first losses of the training "
        f"steps by {steps:.1e}.",
    ]
    return "\n\n".join(lines).replace("\n\n\n", "\n\n") + "\n"
