"""A plain lung extraction with scipy and scikit-image, timed beside ours on the same scan.

usage: plain_lungs.py DICOM_FOLDER TIME_LUNGS_PROGRAM [RUNS]

Dumps the scan as raw 16-bit HU into a temporary folder for our program, runs both on it and
prints one JSON object: seconds (best of the runs) of each, and ours over the plain one's.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage as ndi
from skimage.measure import label
from skimage.morphology import ball
from skimage.segmentation import clear_border


def plain_lungs(hu):
    """Threshold, clear the border, two largest parts, closing by a ball, holes slice by slice."""
    air = hu < -320
    air = np.stack([clear_border(s) for s in air])
    parts = label(air, connectivity=1)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    lungs = np.isin(parts, np.argsort(sizes)[-2:])
    lungs = ndi.binary_closing(lungs, structure=ball(3), iterations=1)
    return np.stack([ndi.binary_fill_holes(s) for s in lungs])


def read(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    return sitk.GetArrayFromImage(image).astype("<i2"), image.GetSpacing()


def main():
    folder, program = sys.argv[1:3]
    runs = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    hu, spacing = read(folder)
    plain = []
    for _ in range(runs):
        start = time.perf_counter()
        mask = plain_lungs(hu)
        plain.append(time.perf_counter() - start)
    with tempfile.TemporaryDirectory() as temp:
        raw = Path(temp) / "scan.raw"
        hu.tofile(raw)
        size = [str(n) for n in hu.shape[::-1]]
        args = [program, str(raw), *size, *(str(s) for s in spacing), str(3 * runs)]
        ours = json.loads(subprocess.run(args, check=True, capture_output=True, text=True).stdout)
    voxel_ml = float(np.prod(spacing)) / 1000
    print(json.dumps({
        "slices": hu.shape[0],
        "runs": runs,
        "plain_seconds": round(min(plain), 3),
        "plain_ml": round(mask.sum() * voxel_ml),
        "ours_seconds": ours["seconds"],
        "ours_ml": ours["right_ml"] + ours["left_ml"],
        "ours_over_plain": round(ours["seconds"] / min(plain), 4),
    }))


main()
