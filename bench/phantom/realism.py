"""Puts phantoms beside real CTs: HU in the lungs, noise, gradients, vessels, sizes, lesions.

usage: realism.py PHANTOMS [REAL ...] [--plots FOLDER]     (prints one JSON object)

PHANTOMS is a folder that the example `save` filled with `2mm`; each REAL is a folder of one DICOM series.
Real scans are brought to the phantoms' grid (2 mm, linear). All measures use one simple lung mask (air over
300 ml inside the body, airways taken out, closed by 8 mm), the same for both, so that differences are the
voxels', not the mask's. Of the real scans only numbers and curves leave this program, no picture.
Needs numpy, scipy, SimpleITK and, for plots and pictures of phantoms, matplotlib and Pillow.
"""

import glob
import json
import os
import sys

import numpy as np
import scipy.ndimage as nd
import SimpleITK as sitk

STEP = 2.0
SHELLS = [(2, 5), (5, 10), (10, 20), (20, 40)]
BINS = np.arange(-1024, 205, 8)


def phantom(folder):
    image = sitk.DICOMOrient(sitk.ReadImage(os.path.join(folder, "ct.nii.gz")), "LPS")
    return sitk.GetArrayFromImage(image)


def real(folder):
    """A DICOM series on the 2 mm grid, the head last."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder))
    image = sitk.DICOMOrient(reader.Execute(), "LPS")
    size = [int(n * s / STEP) for n, s in zip(image.GetSize(), image.GetSpacing())]
    out = sitk.Resample(image, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), [STEP] * 3,
                        image.GetDirection(), -1024)
    return sitk.GetArrayFromImage(out).astype(np.int16)


def lungs(hu):
    """Air of the lungs, and the same with vessels and small lesions filled in."""
    labels, _ = nd.label((hu < -400) & (hu > -1500))
    count = np.bincount(labels.ravel())
    for face in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        count[np.unique(face)] = 0
    count[0] = 0
    keep = [i for i in np.argsort(count)[::-1][:4] if count[i] * STEP**3 / 1000 > 300]
    air = np.isin(labels, keep)
    for plane, values in zip(air, hu):
        pieces, n = nd.label(plane)
        index = np.arange(1, n + 1)
        area = nd.sum(plane, pieces, index) * STEP**2
        mean = nd.mean(values, pieces, index)
        for i in index[(area < 700) & (mean < -915)]:
            plane[pieces == i] = False
    if not air.any():
        raise ValueError("no lungs found")
    near = nd.distance_transform_edt(~air, sampling=STEP) < 8
    return air, (nd.distance_transform_edt(near, sampling=STEP) > 8) | air


def spread(values, at=(10, 50, 90)):
    return [round(float(v), 1) for v in np.percentile(values, at)] if len(values) else None


def local_deviation(hu, where):
    """Deviation within 5 x 5 pixels of a slice wherever all of them hold."""
    v = hu.astype(np.float32)
    mean = nd.uniform_filter(v, (1, 5, 5))
    variance = np.maximum(nd.uniform_filter(v * v, (1, 5, 5)) - mean * mean, 0)
    return np.sqrt(variance[nd.minimum_filter(where.astype(np.uint8), (1, 5, 5)) > 0])


def spectrum(hu, where, edge=16):
    """Mean power of blocks of `edge` pixels that hold nothing else, by radial frequency; sums to 1."""
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(edge, STEP), np.fft.fftfreq(edge, STEP)))
    ring = (f * edge * STEP + 0.5).astype(int)
    total, blocks = np.zeros(edge // 2 + 1), 0
    window = np.outer(np.hanning(edge), np.hanning(edge))
    for z in range(0, len(hu), 2):
        for y in range(0, hu.shape[1] - edge, edge // 2):
            for x in range(0, hu.shape[2] - edge, edge // 2):
                if where[z, y : y + edge, x : x + edge].mean() < 0.97:
                    continue
                block = hu[z, y : y + edge, x : x + edge].astype(float)
                power = np.abs(np.fft.fft2((block - block.mean()) * window)) ** 2
                total += np.bincount(ring.ravel(), power.ravel(), minlength=99)[: edge // 2 + 1]
                blocks += 1
    return None if blocks < 5 else [round(float(v), 4) for v in total / total.sum()]


def vessels(hu, depth, level, rows):
    """Bright things by depth below the pleura: how many on a slice, how large, how dense."""
    out = {}
    for low, high in SHELLS:
        shell = (depth > low) & (depth <= high)
        areas, peaks, total = [], [], 0.0
        for k in rows:
            total += shell[k].sum() * STEP**2 / 1000
            pieces, n = nd.label(shell[k] & (hu[k] > level + 150))
            index = np.arange(1, n + 1)
            areas += list(nd.sum(pieces > 0, pieces, index) * STEP**2) if n else []
            peaks += list(nd.maximum(hu[k], pieces, index)) if n else []
        out[f"{low}-{high} mm"] = {
            "per_10cm2": round(len(areas) / max(total, 1e-3), 2),
            "area_mm2": spread(areas),
            "peak_hu": spread(peaks),
            "share_over_150": round(float((hu[shell] > level + 150).mean()), 4),
            "share_over_400": round(float((hu[shell] > level + 400).mean()), 4),
        }
    return out


def measure(hu):
    air, filled = lungs(hu)
    depth = nd.distance_transform_edt(filled, sampling=STEP)
    outside = nd.distance_transform_edt(~filled, sampling=STEP)
    signed = np.where(filled, depth, -outside)
    z, y, x = np.nonzero(air)
    low, high = z.min(), z.max()
    rows = range(int(low + 0.15 * (high - low)), int(low + 0.9 * (high - low)), 3)
    quiet = (depth > 6) & (hu < -700)
    middle = np.zeros_like(quiet)
    middle[int(low + 0.35 * (high - low)) : int(low + 0.7 * (high - low))] = True
    at = np.nonzero(quiet & middle)
    level = float(np.median(hu[quiet]))
    body = hu > -300
    soft = (hu > 0) & (hu < 110)
    organ = soft & (outside > 12)
    mean16 = nd.uniform_filter(np.where(quiet, hu, 0).astype(np.float32), 8)
    share = nd.uniform_filter(quiet.astype(np.float32), 8)
    cells = (mean16 / np.maximum(share, 1e-3))[::8, ::8, ::8][share[::8, ::8, ::8] > 0.7]
    histogram = lambda v: [round(float(n), 5) for n in np.histogram(v, BINS)[0] / v.size]
    return {
        "lung_litres": round(len(z) * STEP**3 / 1e6, 2),
        "lung_mm": [int((v.max() - v.min() + 1) * STEP) for v in (x, y, z)],
        "body_width_mm": int(np.median([np.ptp(np.nonzero(s.any(0))[0]) + 1 for s in body[low:high:8]]) * STEP),
        "lung_hu_5_25_50_75_95": spread(hu[filled], (5, 25, 50, 75, 95)),
        "eroded_hu_5_25_50_75_95_99": spread(hu[depth > 6], (5, 25, 50, 75, 95, 99)),
        "front_to_back_hu_per_100mm": round(float(np.polyfit(at[1] * STEP, hu[quiet & middle].astype(float), 1)[0] * 100), 1),
        "parenchyma_deviation": spread(local_deviation(hu, quiet)),
        "deviation_of_16mm_means": round(float(cells.std()), 1) if len(cells) > 9 else None,
        "soft_tissue_deviation": spread(local_deviation(hu, organ)),
        "air_deviation": spread(local_deviation(hu, (hu < -950) & ~filled & (outside > 8))),
        "spectrum_soft": spectrum(hu, organ),
        "vessels": vessels(hu, depth, level, rows),
        "edge_hu_by_depth_mm": {str(t): spread(hu[abs(signed - t) < 0.9], (25, 50, 75)) for t in (-4, -2, 2, 4, 6, 8)},
        "histogram": histogram(hu[filled]),
        "histogram_eroded": histogram(hu[depth > 6]),
    }


def lesions(folder):
    """Infected slices, runs of them by lung, lesions and volume of a phantom."""
    truth = json.load(open(os.path.join(folder, "truth.json")))
    mask = lambda name: sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(os.path.join(folder, name)), "LPS"))
    infected = mask("infection.nii.gz") > 0
    sides = mask("lungs.nii.gz")
    runs = []
    for side in (1, 2):
        rows = (infected & (sides == side)).sum((1, 2)) * STEP**2 > 30
        pieces, n = nd.label(rows)
        runs += [int((pieces == i).sum()) for i in range(1, n + 1)]
    each = truth["latents"]["each"]
    return {
        "class": truth["class"],
        "slices": int((infected.sum((1, 2)) * STEP**2 > 30).sum()),
        "runs": runs,
        "both_lungs": all((infected & (sides == s)).sum() * STEP**3 > 100 for s in (1, 2)),
        "lobes": sorted({e["lobe"] for e in each}),
        "lesions": len(each),
        "ml": round(float(infected.sum() * STEP**3 / 1000), 1),
        "peripheral": round(float(np.mean([e["depth_mm"] < 14 for e in each])), 3) if each else None,
    }


def table(found):
    """The lesions of all cases of a class, in the form of the literature's tables."""
    out = {}
    for name in sorted({f["class"] for f in found} - {"no-infection-found"}):
        cases = [f for f in found if f["class"] == name]
        runs = [r for f in cases for r in f["runs"]]
        out[name] = {
            "cases": len(cases),
            "infected_slices_5_25_50_75_95": spread([f["slices"] for f in cases], (5, 25, 50, 75, 95)),
            "run_slices_5_25_50_75_95": spread(runs, (5, 25, 50, 75, 95)),
            "both_lungs": round(float(np.mean([f["both_lungs"] for f in cases])), 2),
            "lobes": {l: round(float(np.mean([l in f["lobes"] for f in cases])), 2)
                      for l in ("left-lower", "left-upper", "right-lower", "right-middle", "right-upper")},
            "ml_5_25_50_75_95": spread([f["ml"] for f in cases], (5, 25, 50, 75, 95)),
            "lesions": spread([f["lesions"] for f in cases]),
            "peripheral": [round(float(v), 2) for v in np.percentile([f["peripheral"] for f in cases], (10, 50, 90))],
        }
    return out


def ranges(found):
    """Lowest, median and highest of each number over the phantoms."""
    def over(values):
        if isinstance(values[0], dict):
            return {k: over([v[k] for v in values]) for k in values[0]}
        values = [v for v in values if v is not None]
        if not values:
            return None
        if isinstance(values[0], list):
            return [over([v[i] for v in values]) for i in range(len(values[0]))]
        return [round(float(f(values)), 4) for f in (np.min, np.median, np.max)]
    return over([{k: v for k, v in f.items() if not k.startswith("histogram")} for f in found])


def plots(folder, scans, phantoms):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    fig, ax = plt.subplots(1, 3, figsize=(12, 3.4))
    middle = (BINS[1:] + BINS[:-1]) / 2
    for k, key in enumerate(("histogram", "histogram_eroded")):
        for p in phantoms:
            ax[k].semilogy(middle, np.array(p[key]) + 1e-5, color="0.8", lw=0.6)
        for name, s in scans.items():
            ax[k].semilogy(middle, np.array(s[key]) + 1e-5, lw=1.2, label=name)
        ax[k].set_title("lungs" if k == 0 else "lungs, 6 mm in")
        ax[k].set_xlabel("HU")
    ax[0].legend(fontsize=7)
    f = np.arange(9) / (16 * STEP)
    for p in phantoms:
        if p["spectrum_soft"]:
            ax[2].plot(f, p["spectrum_soft"], color="0.8", lw=0.6)
    for name, s in scans.items():
        if s["spectrum_soft"]:
            ax[2].plot(f, s["spectrum_soft"], lw=1.2)
    ax[2].set_title("noise power, soft tissue")
    ax[2].set_xlabel("1/mm")
    fig.tight_layout()
    fig.savefig(os.path.join(folder, "phantom-against-real.png"), dpi=80)


def pictures(folder, folders):
    """Slices of a phantom of each class in the lung window, infected tissue outlined, none of a patient."""
    from PIL import Image

    rows = []
    for name in ("covid-19", "influenza-a", "no-infection-found"):
        case = next(f for f in folders if name in f)
        hu = phantom(case)
        mask = lambda n: sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(os.path.join(case, n)), "LPS")) > 0
        infected = mask("infection.nii.gz")
        inside = np.nonzero(mask("lungs.nii.gz").any((1, 2)))[0]
        # beside slices at fixed heights the one with most infected tissue
        levels = [int(inside.min() + f * np.ptp(inside)) for f in (0.2, 0.5, 0.75)]
        if infected.any():
            levels[1] = int(infected.sum((1, 2)).argmax())
        tiles = []
        for k in levels:
            grey = np.clip((hu[k].astype(float) + 1350) / 1500 * 255, 0, 255).astype(np.uint8)
            rgb = np.stack([grey] * 3, -1)
            rgb[nd.binary_dilation(infected[k], iterations=2) & ~nd.binary_dilation(infected[k])] = (230, 60, 60)
            tile = np.zeros((176, 176, 3), np.uint8)
            top, left = [max(0, (n - 176) // 2) for n in grey.shape]
            cut = rgb[top : top + 176, left : left + 176]
            tile[: cut.shape[0], : cut.shape[1]] = cut
            tiles.append(tile)
        rows.append(np.hstack(tiles))
    Image.fromarray(np.vstack(rows)).resize((1056, 1056), Image.NEAREST).save(os.path.join(folder, "phantoms.png"), optimize=True)


def main():
    args = sys.argv[1:]
    out = args[args.index("--plots") + 1] if "--plots" in args else None
    args = [a for a in args if a not in ("--plots", out)]
    folders = sorted(glob.glob(os.path.join(args[0], "*", "")))
    scans = {os.path.basename(os.path.normpath(r)): measure(real(r)) for r in args[1:]}
    phantoms, failed = [], []
    for f in folders:
        try:
            phantoms.append(measure(phantom(f)))
        except ValueError:
            failed.append(os.path.basename(os.path.normpath(f)))
    if out:
        plots(out, scans, phantoms)
        pictures(out, folders)
    brief = lambda m: {k: v for k, v in m.items() if not k.startswith("histogram")}
    print(json.dumps({"phantoms": len(phantoms), "without_a_mask": failed, "real": {n: brief(s) for n, s in scans.items()},
                      "phantoms_lowest_median_highest": ranges(phantoms), "lesions": table([lesions(f) for f in folders])},
                     indent=1))


if __name__ == "__main__":
    main()
