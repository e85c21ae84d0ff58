#!/usr/bin/env python3
"""How the results of a scan hold when it is degraded, as other scanners and kernels would.

    python3 bench/real/degraded.py PLEURA OUT SCAN...

PLEURA is the program; SCAN a folder with one DICOM series or a volume file, whose name is that of the
case. Writes each scan smoothed, sharpened, with more noise, in thick or fewer slices, with HU shifted and
with denser lungs (air lifted a little, too) into OUT, screens all, and prints one line of CSV a variant:
volumes of the lungs, share of each that is involved, regions called infected on each side, verdict. Needs
numpy, scipy and SimpleITK.
"""

import csv
import json
import pathlib
import subprocess
import sys

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

AIR = -1024  # padding beyond the field of view becomes air, HU


def load(path):
    if path.is_dir():
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
        return reader.Execute()
    return sitk.ReadImage(str(path))


def variants(hu, spacing):
    """Name, HU and how many slices each one stands for. Distances in mm, in the plane."""
    dx, dy, dz = spacing
    blurred = lambda mm: gaussian_filter(hu, (0, mm / dy, mm / dx))
    yield "as it is", hu, 1
    for mm in (0.7, 1.2):
        yield f"smoothed {mm} mm", blurred(mm), 1
    for factor in (0.7, 1.5):
        yield f"sharpened {factor}", hu + factor * (hu - blurred(1.0)), 1
    for sd in (20, 40):
        noise = gaussian_filter(np.random.default_rng(sd).normal(size=hu.shape).astype(np.float32), (0, 0.6, 0.6))
        yield f"noise {sd} HU more", hu + sd * noise / noise.std(), 1
    for mm in (5, 8):
        n = max(1, round(mm / dz))
        whole = hu[: len(hu) // n * n]
        yield f"slices of {mm} mm", whole.reshape(-1, n, *hu.shape[1:]).mean(1), n
    n = max(1, round(6 / dz))
    yield "a slice every 6 mm", hu[::n], n
    for by in (-30, 30):
        yield f"{by:+} HU", hu + by, 1
    for by in (50, 100):
        yield f"lungs {by} HU denser", hu + by * np.exp(-(((hu + 850) / 250) ** 2)), 1


def row(case, name, report):
    lungs = report["lungs"]
    infected = [r["side"] for r in report["regions"] if r["type"] != "irrelevant"]
    told = report["verdict"]["probability"]
    out = {"case": case, "variant": name}
    for side in ("right", "left"):
        out[f"{side}_ml"] = round(lungs[side]["volume_ml"])
        out[f"{side}_pct"] = round(lungs[side]["involvement_pct"], 1)
        out[f"{side}_infected"] = infected.count(side)
    return out | {"verdict": report["verdict"]["type"], "probability": "" if told is None else round(told, 3)}


def main(pleura, out, *scans):
    table = None
    for scan in map(pathlib.Path, scans):
        case, image = scan.name.removesuffix(".gz").removesuffix(".nii"), load(scan)
        hu, spacing = sitk.GetArrayFromImage(image).astype(np.float32), image.GetSpacing()
        for name, data, thick in variants(np.maximum(hu, AIR), spacing):
            folder = pathlib.Path(out) / name.replace(" ", "-") / case
            folder.mkdir(parents=True, exist_ok=True)
            volume = sitk.GetImageFromArray(np.clip(np.rint(data), -2048, 3071).astype(np.int16))
            volume.SetOrigin(image.GetOrigin())
            volume.SetDirection(image.GetDirection())
            volume.SetSpacing((*spacing[:2], spacing[2] * thick))
            sitk.WriteImage(volume, str(folder / f"{case}.nii"))
            command = [pleura, "screen", folder / f"{case}.nii", "--out", folder / "report"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (report,) = folder.glob("report/**/report.json")
            found = row(case, name, json.loads(report.read_text()))
            if table is None:
                table = csv.DictWriter(sys.stdout, found, lineterminator="\n")
                table.writeheader()
            table.writerow(found)
            sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
