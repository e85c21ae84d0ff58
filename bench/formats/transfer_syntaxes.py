"""Decodes DICOM files with pleura and with SimpleITK, gdcm, pylibjpeg, pyjpegls and dcmtk, and compares HU.

Needs numpy, pydicom, nibabel, SimpleITK, python-gdcm, pylibjpeg with its plugins, pyjpegls, and dcmtk:
    python3 transfer_syntaxes.py PLEURA FILE_OR_SERIES...
PLEURA is the built binary. A file is compared with every program that reads it; of a folder, every slice is
compared with the volume of each copy that dcmtk, gdcm and pydicom transcode it to (RLE, JPEG Lossless, JPEG-LS, JPEG
2000). Prints the largest difference in grey values (stored steps); ends with status 1 where one is above 0 for
lossless coding with any program, or above 1 for lossy coding with all (pylibjpeg and libjpeg differ by 2 where libjpeg
and the exact transform differ by 1). Programs that cannot read a file are passed over.
"""
import glob, os, subprocess, sys, tempfile
import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk

PLEURA, INPUTS = sys.argv[1], sys.argv[2:]
LOSSY = ("4.50", "4.51", "4.53", "4.55", "4.81", "4.91", "4.112")
TRANSCODE = {
    "RLE": ["gdcmconv", "--rle"],
    "JPEG Lossless": ["dcmcjpeg", "+e1"],
    "JPEG-LS": ["dcmcjpls"],
    "JPEG 2000": ["gdcmconv", "--j2k"],
}


def ours(path, scratch):
    """HU on the file's own grid, [z, y, x]."""
    out = os.path.join(scratch, "ours.nii.gz")
    subprocess.run([PLEURA, "convert", path, out], check=True, capture_output=True)
    return np.asarray(nib.load(out).dataobj).transpose(2, 1, 0).astype(int)


def hu(d):
    return np.clip(np.rint(d.pixel_array * float(d.RescaleSlope) + float(d.RescaleIntercept)), -32768, 32767)


def theirs(path, scratch):
    """HU by every program that reads the file; SimpleITK's only where it keeps the slope exactly."""
    found = {}
    slope = float(pydicom.dcmread(path, stop_before_pixels=True).RescaleSlope)
    if slope == 1:
        try:
            found["SimpleITK"] = sitk.GetArrayFromImage(sitk.ReadImage(path))[0]
        except RuntimeError:
            pass
    for plugin in ("gdcm", "pylibjpeg", "pyjpegls"):
        try:
            d = pydicom.dcmread(path)
            d.pixel_array_options(decoding_plugin=plugin)
            found[plugin] = hu(d)
        except Exception:
            pass
    for tool in ("dcmdjpeg", "dcmdjpls", "dcmdrle"):
        out = os.path.join(scratch, "theirs.dcm")
        if subprocess.run([tool, path, out], capture_output=True).returncode == 0:
            try:
                found[tool] = hu(pydicom.dcmread(out))
            except Exception:
                pass
    return found, slope


def compare_file(path, scratch):
    mine = ours(path, scratch)[0]
    found, slope = theirs(path, scratch)
    syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    steps = {name: float(np.abs(mine - a).max() / slope) for name, a in found.items()}
    # HU are rounded on both sides, so one step may look like nearly two.
    if syntax.endswith(LOSSY):
        bad = not steps or min(steps.values()) > 1 + 1 / slope
    else:
        bad = not steps or max(steps.values()) > 0
    print("FAIL" if bad else "ok  ", os.path.basename(path)[-60:], {k: round(v, 2) for k, v in steps.items()}, flush=True)
    return bad


def compare_series(folder, scratch):
    """Every copy must give the volume of the original, which SimpleITK reads too."""
    mine = ours(folder, scratch)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder)
    bad = not np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(names)), mine)
    print("FAIL" if bad else "ok  ", folder, "as SimpleITK reads it", mine.shape, flush=True)
    plain = os.path.join(scratch, "plain")
    os.makedirs(plain)
    for i, name in enumerate(names):
        d = pydicom.dcmread(name)
        if d.file_meta.TransferSyntaxUID.is_compressed:
            d.decompress()
        d.save_as(os.path.join(plain, f"{i:04}.dcm"))
    for coding, command in TRANSCODE.items():
        copy = os.path.join(scratch, coding)
        os.makedirs(copy)
        for name in sorted(glob.glob(f"{plain}/*")):
            subprocess.run([*command, name, os.path.join(copy, os.path.basename(name))], check=True, capture_output=True)
        same = np.array_equal(ours(copy, scratch), mine)
        bad |= not same
        print("ok  " if same else "FAIL", folder, coding, flush=True)
    return bad


def main():
    bad = False
    for path in INPUTS:
        with tempfile.TemporaryDirectory() as scratch:
            bad |= compare_series(path, scratch) if os.path.isdir(path) else compare_file(path, scratch)
    sys.exit(int(bad))


main()
