"""Expected values for tests/real.rs and tests/nifti.rs.

Needs numpy, pydicom, SimpleITK and nibabel, and the real scans: python3 make.py DATA_FOLDER
Writes real.json (pixel checksums and geometry; nothing of the scans themselves) and the small
made-up NIfTI files in nifti/ with what nibabel reads from them in nifti.json.
"""
import glob, json, os, sys, zlib
import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = sys.argv[1]


def crc(a):
    return zlib.crc32(np.ascontiguousarray(a.astype("<i2")).tobytes())


def hu(f):
    d = pydicom.dcmread(f)
    a = np.rint(d.pixel_array * float(d.RescaleSlope) + float(d.RescaleIntercept))
    # The reader sets padding to air; here the stated value does not occur.
    a[d.pixel_array == d.get("PixelPaddingValue", 1 << 20)] = -1024
    return a


def syntaxes():
    """HU of each file by pydicom."""
    out = {}
    for f in sorted(glob.glob(f"{DATA}/dicom-transfer-syntaxes/*")):
        d = pydicom.dcmread(f)
        if d.file_meta.TransferSyntaxUID in ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"):
            # Lossless: must equal the uncompressed file.
            a = hu(f"{DATA}/dicom-transfer-syntaxes/CTImage.dcm")
        else:
            try:
                a = hu(f)
            except Exception:
                continue
        out[os.path.basename(f)] = crc(np.clip(a, -32768, 32767))
    return out


def series(folder):
    """By SimpleITK, oriented to LPS."""
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder)
    image = sitk.DICOMOrient(sitk.ReadImage(names), "LPS")
    return {"size": image.GetSize(), "spacing": image.GetSpacing(), "origin": image.GetOrigin(),
            "crc": crc(sitk.GetArrayFromImage(image))}


def oriented(path):
    image = nib.load(path)
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt("LPS"))
    image = image.as_reoriented(turn)
    m = np.diag([-1, -1, 1, 1]) @ image.affine
    a = np.clip(np.rint(np.nan_to_num(image.get_fdata(), nan=-1024)), -32768, 32767)
    return {"size": list(a.shape), "affine": m[:3].tolist(), "crc": crc(a.T)}


def made_up():
    os.makedirs(f"{HERE}/nifti", exist_ok=True)
    rng = np.random.default_rng(1)
    a = rng.integers(-1024, 1500, (4, 5, 6)).astype(np.int16)
    c, s = np.cos(0.3), np.sin(0.3)
    tilt = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    perm = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]])  # stored x to the front, y to the feet, z to the left
    cases = {"plain": np.eye(3), "radiological": np.diag([-1, 1, 1]), "tilted": tilt,
             "turned": perm, "turned-tilted": tilt @ perm}
    for name, r in cases.items():
        m = np.eye(4)
        m[:3, :3] = r @ np.diag([0.7, 0.8, 2.5])
        m[:3, 3] = [-120.5, 33.25, 700]
        image = nib.Nifti1Image(a, m)
        image.set_sform(m, 1)
        image.set_qform(m, 1)
        image.header.set_xyzt_units("mm")
        nib.save(image, f"{HERE}/nifti/{name}.nii")
        image.set_sform(None, 0)
        nib.save(image, f"{HERE}/nifti/{name}-qform.nii")
    m = np.diag([-0.7, 0.8, 2.5, 1])
    big = nib.Nifti1Image(a, m, nib.Nifti1Header(endianness=">"))
    nib.save(big, f"{HERE}/nifti/big-endian.nii.gz")
    nib.save(nib.Nifti2Image(a, m), f"{HERE}/nifti/two.nii")
    f = nib.Nifti1Image((a / 3).astype(np.float32), m)
    nib.save(f, f"{HERE}/nifti/float.nii.gz")
    scaled = nib.Nifti1Image(a.astype(np.float64), m)
    scaled.header.set_data_dtype(np.uint16)
    nib.save(scaled, f"{HERE}/nifti/scaled.nii")
    nib.save(nib.Nifti1Pair(a, m), f"{HERE}/nifti/pair.img")
    files = [f for f in sorted(glob.glob(f"{HERE}/nifti/*")) if not f.endswith(".img")]
    json.dump({os.path.basename(f): oriented(f) for f in files}, open(f"{HERE}/nifti.json", "w"), indent=1)


made_up()
json.dump({
    "syntaxes": syntaxes(),
    "series": {p: series(f"{DATA}/{p}") for p in
               ["ct/covid/P002", "ct/cap/cap002", "ct/normal/normal001", "dicom-odd/tiny-chest-64"]},
    "nifti": {p: oriented(f"{DATA}/nifti/{p}") for p in
              ["torso-3mm-int32.nii.gz", "lung-bases-only-3mm-int16.nii.gz"] +
              [f"{t}.nii" for t in "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64".split()]},
}, open(f"{HERE}/real.json", "w"), indent=1)
