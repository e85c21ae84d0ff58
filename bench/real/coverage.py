#!/usr/bin/env python3
"""How the infected regions of reports cover the slices that readers labelled infected.

    python3 bench/real/coverage.py LABELS.json REPORT_DIR...

LABELS.json names for each case `n_slices` and `infected_slices`, counted from the head, and maybe
`lobe_slices`; REPORT_DIR is a folder of `pleura screen`, named like its case, or CASE=REPORT_DIR.
A slice counts as covered when the box of a region called infected reaches it. Prints one JSON
object a case; standard library only.
"""

import json
import pathlib
import sys


def sides(label):
    """Infected slices of each lung, from the head; both lungs share them where no lobe is told."""
    lobes = label.get("lobe_slices", {})
    out = {"right": set(), "left": set()}
    for lobe, slices in lobes.items():
        out["right" if lobe.startswith("R") else "left"] |= set(slices)
    return out if lobes else {side: set(label["infected_slices"]) for side in out}


def covered(regions, slices):
    """Slices, from the head, that the regions reach. Slice 0 of a report is the lowest."""
    out = set()
    for region in regions:
        box = region["box_voxels"]
        out |= {slices - 1 - z for z in range(box["min"][2], box["max"][2])}
    return out


def judge(case, label, report):
    n = label["n_slices"] if label else report["input"]["slices"]
    if report["input"]["slices"] != n:
        raise SystemExit(f"{case}: {report['input']['slices']} slices, labels are of {n}")
    infected = [r for r in report["regions"] if r["type"] != "irrelevant"]
    edge = lambda r: max(b - a for a, b in zip(r["box_mm"]["min"], r["box_mm"]["max"]))
    row = {
        "case": case,
        "verdict": report["verdict"]["type"],
        "probability": report["verdict"]["probability"],
        "involvement_pct": {s: report["lungs"][s]["involvement_pct"] for s in ("right", "left")},
        "proposals": {s: sum(r["side"] == s for r in report["regions"]) for s in ("right", "left")},
        "infected": {s: sum(r["side"] == s for r in infected) for s in ("right", "left")},
        "longest_edge_mm": max(map(edge, infected), default=0.0),
    }
    for side, truth in sides(label).items() if label else []:
        clean = set(range(n)) - truth
        for name, regions in (("infected", infected), ("any", report["regions"])):
            hit = covered([r for r in regions if r["side"] == side], n)
            row[f"{side} {name}"] = {
                "labelled_covered": round(len(hit & truth) / len(truth), 3) if truth else None,
                "clean_covered": round(len(hit & clean) / len(clean), 3) if clean else None,
            }
    return row


def main():
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    labels = json.loads(pathlib.Path(sys.argv[1]).read_text())
    for argument in sys.argv[2:]:
        case, _, folder = argument.rpartition("=")
        folder = pathlib.Path(folder)
        case = case or folder.name
        report = json.loads((folder / "report.json").read_text())
        print(json.dumps(judge(case, labels.get(case), report)))


main()
