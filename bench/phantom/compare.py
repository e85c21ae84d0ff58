"""Times two builds of the example `time_phantom` in turn and compares the bytes of their phantoms.

usage: compare.py OLD NEW [ROUNDS]     (prints one JSON object)

Every round starts each build anew for every grid, class and seed, old and new by turns, so that whatever
else the machine does falls on both. Seconds on the clock grow with such load; `cpu_s`, what the threads
spent, hardly does.
"""

import json
import os
import statistics
import subprocess
import sys

CLASSES = ["covid-19", "influenza-a", "no-infection-found"]
CASES = [("2mm", c, s) for s in (1, 2) for c in CLASSES] + [("scanner", c, 3) for c in CLASSES]


def run(program, grid, name, seed):
    """A first and a later phantom of one process."""
    calls = "3" if grid == "2mm" else "2"
    lines = subprocess.run([program, grid, name, str(seed), calls], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in lines.stdout.splitlines()]


def summary(times):
    return {k: [round(f([t[k] for t in times]), 3) for f in (min, statistics.median, max)] for k in ("wall_s", "cpu_s")}


def main():
    programs = {"old": sys.argv[1], "new": sys.argv[2]}
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    found = {}
    prints = {}
    load = [round(os.getloadavg()[0], 1)]
    for _ in range(rounds):
        for case in CASES:
            for side, program in programs.items():
                for p in run(program, *case):
                    key = (case[0], "first" if p["first"] else "later", side)
                    found.setdefault(key, []).append(p)
                    prints.setdefault(case, set()).add(p["bytes"])
    load.append(round(os.getloadavg()[0], 1))
    result = {}
    for grid, call, side in found:
        result.setdefault(f"{grid}, {call} call", {})[side] = summary(found[grid, call, side])
    for sides in result.values():
        sides["new_over_old"] = {k: round(sides["new"][k][1] / sides["old"][k][1], 3) for k in ("wall_s", "cpu_s")}
    same = all(len(p) == 1 for p in prints.values())
    print(json.dumps({"rounds": rounds, "cases": len(CASES), "same_bytes": same, "load_before_and_after": load,
                      "min_median_max": result}, indent=2))


main()
