"""Reads every DICOM series below a folder with pleura, pydicom, SimpleITK, gdcm and dcm2niix, and
compares voxel for voxel in HU and place by place to 1e-3 mm. With --variants each series is also
rewritten (enhanced multi-frame, other transfer syntaxes, without preamble, with a DICOMDIR) in a
temporary folder and must read to the same volume.

usage: compare.py READER DATA_FOLDER [--variants]      (READER: the example time_read, built)
Needs numpy, nibabel, pydicom, SimpleITK, python-gdcm, highdicom; dcm2niix and dcmtk on the path.
"""
import glob, json, os, random, shutil, subprocess, sys, tempfile

import gdcm
import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk

READER, DATA = sys.argv[1], sys.argv[2]
NEAR_MM = 1e-3


def files(folder):
    """The DICOM files of a folder."""
    def marked(path):
        with open(path, "rb") as f:
            return f.read(132)[128:] == b"DICM"
    return [f for f in sorted(glob.glob(f"{folder}/*")) if os.path.isfile(f) and marked(f)]


def canonical(image):
    """Values [x, y, z] and affine with axes nearest to right, front, head."""
    image = nib.as_closest_canonical(image)
    return np.rint(np.asanyarray(image.dataobj).astype("f8")).astype("i4"), image.affine


def lps(array, affine):
    return canonical(nib.Nifti1Image(array, np.diag([-1, -1, 1, 1]) @ affine))


def ours(path):
    """What pleura reads, and what it says of it."""
    with tempfile.TemporaryDirectory() as out:
        run = subprocess.run([READER, path, out], capture_output=True, text=True)
        files = glob.glob(f"{out}/*.nii.gz")
        if not files:
            return None, (run.stdout + run.stderr).strip().splitlines()[-1]
        codes = [line.split()[1] for line in run.stdout.splitlines() if line.startswith("  warning ")]
        return canonical(nib.load(files[0])), codes


def slices(folder):
    """HU [y, x] and affine of every slice by pydicom; padding is air, as pleura has it."""
    for path in files(folder):
        d = pydicom.dcmread(path)
        stored = d.pixel_array
        hu = np.rint(stored * float(d.get("RescaleSlope", 1)) + float(d.get("RescaleIntercept", 0)))
        if "PixelPaddingValue" in d:
            hu[stored == d.PixelPaddingValue] = -1024
        o, (dy, dx) = [float(v) for v in d.ImageOrientationPatient], map(float, d.PixelSpacing)
        x, y = np.array(o[:3]), np.array(o[3:])
        affine = np.eye(4)
        affine[:3] = np.stack([x * dx, y * dy, np.cross(x, y), d.ImagePositionPatient], 1)
        yield hu.astype("i4"), np.diag([-1, -1, 1, 1]) @ affine


def against_pydicom(folder, volume):
    """How many slices lie where they say, with their values."""
    array, affine = volume
    good = total = 0
    for hu, place in slices(folder):
        total += 1
        way = np.linalg.inv(affine) @ place
        rows, columns = hu.shape
        corner = way @ [0, 0, 0, 1]
        i, j, k = np.rint(corner[:3]).astype(int)
        if np.abs(affine[:3] @ np.append([i, j, k], 1) - place[:3, 3]).max() > NEAR_MM:
            continue
        step = np.rint(way[:3, :2]).astype(int)
        at = np.array([i, j, k])[:, None, None] + (
            step[:, 0, None, None] * np.arange(columns)[None, None] + step[:, 1, None, None] * np.arange(rows)[None, :, None])
        good += np.array_equal(array[tuple(at)], hu)
    return f"{good} of {total} slices equal"


def same(a, b):
    if a[0].shape != b[0].shape:
        return f"shape {a[0].shape} against {b[0].shape}"
    corners = np.array([[i, j, k, 1] for i in (0, a[0].shape[0] - 1) for j in (0, a[0].shape[1] - 1) for k in (0, a[0].shape[2] - 1)])
    off = np.abs((a[1] - b[1]) @ corners.T).max()
    wrong = int((a[0] != b[0]).sum())
    return "equal" if wrong == 0 and off <= NEAR_MM else f"{wrong} voxels differ, {off:.4f} mm off"


def simpleitk(folder):
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder)
    image = sitk.ReadImage(names)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return lps(np.rint(sitk.GetArrayFromImage(image)).astype("i4").T, affine)


def by_gdcm(folder):
    sorter = gdcm.IPPSorter()
    sorter.SetComputeZSpacing(True)
    sorter.SetZSpacingTolerance(1e-2)
    if not sorter.Sort(files(folder)):
        raise ValueError("cannot be sorted")
    stack = []
    for name in sorter.GetFilenames():
        reader = gdcm.ImageReader()
        reader.SetFileName(name)
        reader.Read()
        image = reader.GetImage()
        kind = {gdcm.PixelFormat.INT16: "i2", gdcm.PixelFormat.UINT16: "u2"}
        scalar = image.GetPixelFormat().GetScalarType()
        kind = kind.get(scalar, "u2")
        words = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), kind)
        hu = np.rint(words * image.GetSlope() + image.GetIntercept()).astype("i4")
        stack.append(hu.reshape(image.GetDimension(1), image.GetDimension(0)))
        if len(stack) == 1:
            cosines, spacing, origin = image.GetDirectionCosines(), image.GetSpacing(), image.GetOrigin()
    x, y = np.array(cosines[:3]), np.array(cosines[3:])
    affine = np.eye(4)
    affine[:3] = np.stack([x * spacing[0], y * spacing[1], np.cross(x, y) * sorter.GetZSpacing(), origin], 1)
    return lps(np.stack(stack).T, affine)


def by_dcm2niix(folder):
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(["dcm2niix", "-b", "n", "-z", "n", "-o", out, folder], capture_output=True)
        return canonical(nib.load(sorted(glob.glob(f"{out}/*.nii"))[0]))


def enhanced(folder, out):
    """One file of shuffled frames, slope and intercept per frame."""
    sets = [pydicom.dcmread(f) for f in files(folder)]
    random.Random(1).shuffle(sets)
    whole = pydicom.dcmread(files(folder)[0])
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept", "RescaleType"):
        if name in whole:
            delattr(whole, name)
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    whole.NumberOfFrames = len(sets)
    frames = []
    for d in sets:
        frame = pydicom.Dataset()
        for within, names in [("PlanePositionSequence", ["ImagePositionPatient"]), ("PlaneOrientationSequence", ["ImageOrientationPatient"]),
                              ("PixelMeasuresSequence", ["PixelSpacing"]), ("PixelValueTransformationSequence", ["RescaleSlope", "RescaleIntercept"])]:
            item = pydicom.Dataset()
            for name in names:
                setattr(item, name, d[name].value)
            if within.startswith("PixelValue"):
                item.RescaleType = "HU"
            setattr(frame, within, [item])
        frames.append(frame)
    whole.PerFrameFunctionalGroupsSequence = frames
    whole.PixelData = b"".join(d.pixel_array.tobytes() for d in sets)
    whole["PixelData"].VR = "OW"
    whole.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    # De-identified files may lack it, and pydicom writes no file without.
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID = pydicom.uid.generate_uid()
    whole.save_as(f"{out}/enhanced", enforce_file_format=True)


def legacy(folder, out):
    """As highdicom converts a series."""
    from highdicom.legacy import LegacyConvertedEnhancedCTImage
    sets = [pydicom.dcmread(f) for f in files(folder)]
    for d in sets:
        d.decompress()
    uid = pydicom.uid.generate_uid
    LegacyConvertedEnhancedCTImage(sets, uid(), 7, uid(), 1).save_as(f"{out}/legacy")


def converted(*command):
    def convert(folder, out):
        for path in files(folder):
            plain = f"{out}/{os.path.basename(path)}"
            subprocess.run(["dcmdjpeg", path, plain], check=True, capture_output=True)
            subprocess.run([*command, plain, plain + ".new"], check=True, capture_output=True)
            os.replace(plain + ".new", plain)
    return convert


def medium(folder, out):
    os.makedirs(f"{out}/DICOM")
    for n, path in enumerate(files(folder)):
        shutil.copy(path, f"{out}/DICOM/I{n:04}")
    # The directory's own demands on tags are waived: the series are de-identified.
    subprocess.run(["dcmmkdir", "-W", "-Nxc", "+I", "+r", "+id", out, "+D", f"{out}/DICOMDIR"], capture_output=True)


VARIANTS = {"enhanced": enhanced, "legacy-converted": legacy, "implicit": converted("dcmconv", "+ti"),
            "big-endian": converted("dcmconv", "+tb"), "deflated": converted("dcmconv", "+td"),
            "no-preamble": converted("dcmconv", "-F", "+te"), "rle": converted("dcmcrle"), "medium": medium}


def main():
    folders = sorted({os.path.dirname(f) for f in glob.glob(f"{DATA}/**/*", recursive=True) if os.path.isfile(f)})
    folders = [f for f in folders if ("/ct/" in f or "/dicom-odd/" in f) and files(f)]
    result = {}
    for folder in folders:
        name = os.path.relpath(folder, DATA)
        volume, said = ours(folder)
        if volume is None:
            result[name] = {"pleura": said}
            continue
        one = result[name] = {"pleura": {"size": volume[0].shape, "warnings": said}, "pydicom": against_pydicom(folder, volume)}
        for peer, read in [("SimpleITK", simpleitk), ("gdcm", by_gdcm), ("dcm2niix", by_dcm2niix)]:
            try:
                one[peer] = same(volume, read(folder))
            except Exception as e:
                one[peer] = f"cannot: {e}"
        for variant, write in VARIANTS.items() if "--variants" in sys.argv and len(files(folder)) > 9 else ():
            with tempfile.TemporaryDirectory() as out:
                try:
                    write(folder, out)
                    again, said = ours(out)
                    one[variant] = said if again is None else same(volume, again)
                except Exception as e:
                    one[variant] = f"cannot be made: {e}"
        print(name, json.dumps(one), file=sys.stderr)
    print(json.dumps(result, indent=1))


main()
