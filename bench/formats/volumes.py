"""Compares what `pleura convert` makes of volume files with other programs, voxel for voxel.

    python3 bench/formats/volumes.py PLEURA FOLDER...

Needs numpy, nibabel, SimpleITK and pynrrd. Every NIfTI, MetaImage and NRRD file below the folders is converted;
the result, in HU on the oriented grid, must hold the voxels of nibabel (NIfTI), of pynrrd and SimpleITK (NRRD) or
of SimpleITK (MetaImage) and put each corner within 1e-3 mm of where they put it. A refusal is listed with its
reason beside what the other program says. Exits with 1 if anything differs.
"""
import os, subprocess, sys, tempfile
import nibabel as nib
import nrrd
import numpy as np
import SimpleITK as sitk

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
NRRD_TO_LPS = {"left-posterior-superior": [1, 1, 1], "right-anterior-superior": [-1, -1, 1],
               "left-anterior-superior": [1, -1, 1], "lps": [1, 1, 1], "ras": [-1, -1, 1], "las": [1, -1, 1]}
NIFTI, NRRD, META = (".nii", ".nii.gz", ".hdr", ".hdr.gz"), (".nrrd", ".nhdr"), (".mha", ".mhd")


def by_nibabel(path):
    image = nib.load(path)
    h = image.header
    # An affine that the file does not state is the program's own choice.
    return image.get_fdata(), RAS_TO_LPS @ image.affine, h["qform_code"] != 0 or h["sform_code"] != 0


def by_simpleitk(path):
    # As doubles, but for whole numbers: SimpleITK rounds some of them on the way.
    image = sitk.ReadImage(path)
    m = np.eye(4)
    m[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    m[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T.astype(np.float64), m, True


def by_pynrrd(path):
    data, h = nrrd.read(path)
    signs = np.array(NRRD_TO_LPS[h["space"].lower()])
    m = np.eye(4)
    m[:3, :3] = (h["space directions"] * signs).T
    m[:3, 3] = h["space origin"] * signs
    return data.astype(np.float64), m, True


def oriented(data, m):
    """Turned so that x runs to the left, y to the back, z to the head, rounded to HU."""
    data = data.reshape(data.shape + (1,) * (3 - data.ndim))
    turn = nib.orientations.ornt_transform(nib.io_orientation(m), [[0, 1], [1, 1], [2, 1]])
    m = m @ nib.orientations.inv_ornt_aff(turn, data.shape)
    data = nib.orientations.apply_orientation(data, turn)
    return np.clip(np.rint(np.nan_to_num(data, nan=-1024.0)), -32768, 32767).astype(np.int16), m


def compare(ours, theirs):
    """What differs, or nothing."""
    (a, m), (values, affine, stated) = ours, theirs
    b, n = oriented(values, affine)
    if not stated:
        # Which way it lies is unknown to both: the voxels must agree one way round or another.
        flips = [b[::x, ::y, ::z] for x in (1, -1) for y in (1, -1) for z in (1, -1)]
        same = any(f.shape == a.shape and np.array_equal(f, a) for f in flips)
        return None if same else "voxels differ"
    if a.shape != b.shape:
        return f"sizes differ: {a.shape} and {b.shape}"
    if not np.array_equal(a, b):
        return f"{np.count_nonzero(a != b)} voxels differ"
    corners = np.array([[x, y, z, 1] for x in (0, a.shape[0] - 1) for y in (0, a.shape[1] - 1)
                        for z in (0, a.shape[2] - 1)])
    apart = np.abs(corners @ (m - n).T).max()
    return None if apart <= 1e-3 else f"corners are {apart} mm apart"


def readers(path):
    if path.endswith(NIFTI):
        return {"nibabel": by_nibabel}
    if path.endswith(NRRD):
        return {"pynrrd": by_pynrrd, "SimpleITK": by_simpleitk}
    return {"SimpleITK": by_simpleitk}


def one(pleura, path, out):
    """Prints a line on the file and says whether all is well."""
    run = subprocess.run([pleura, "convert", path, out], capture_output=True, text=True)
    said = run.stderr.strip().splitlines()
    refused = run.returncode != 0
    if refused and (run.returncode != 3 or not said):
        print(f"{path}: WRONG exit code {run.returncode}: {said}")
        return False
    if not refused:
        image = nib.load(out)
        ours = np.asarray(image.dataobj), RAS_TO_LPS @ image.affine
    agree, notes = True, []
    for name, reader in readers(path).items():
        try:
            theirs = reader(path)
        except Exception as e:
            notes.append(f"{name} refuses ({str(e).strip().splitlines()[-1][:70]})")
            continue
        if refused:
            notes.append(f"{name} reads {theirs[0].shape}")
            continue
        difference = compare(ours, theirs)
        agree &= difference is None
        notes.append(f"{name} agrees" if difference is None else f"{name}: WRONG, {difference}")
    verdict = "refused: " + said[-1].split(": ", 2)[-1] if refused else "read"
    codes = [line.split(")")[0].split("(")[-1] for line in said if line.startswith("warning")]
    print(f"{path}: {verdict}; {', '.join(notes)}" + (f" [{', '.join(codes)}]" if codes else ""))
    return agree


def main(pleura, *folders):
    paths = sorted(os.path.join(d, f) for folder in folders for d, _, files in os.walk(folder) for f in files
                   if f.endswith(NIFTI + NRRD + META))
    with tempfile.TemporaryDirectory() as d:
        results = [one(pleura, p, os.path.join(d, "out.nii")) for p in paths]
    print(f"{len(results)} files, {results.count(False)} wrong")
    sys.exit(0 if results and all(results) else 1)


main(*sys.argv[1:])
