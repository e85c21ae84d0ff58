"""Where the fuzzers start: writes into corpus/ what the fixtures of pleura-formats hold, one folder for each
parser, and a few more files of the same made-up slice.

Needs pydicom from PyPI: python3 seeds.py
"""
import array, copy, io, os, zipfile
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "..", "crates", "formats", "tests", "expected")
CODECS = os.path.join(FIXTURES, "codecs")
KINDS = {"rle": "rle", "lossless": "jpeg_lossless", "jls": "jpeg_ls", "baseline": "jpeg_dct", "extended": "jpeg_dct",
         "progressive": "jpeg_dct", "spectral": "jpeg_dct"}


def seed(parser, name, data):
    folder = os.path.join(HERE, "corpus", parser)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "seed-" + name), "wb") as f:
        f.write(data)


def read(*path):
    with open(os.path.join(FIXTURES, *path), "rb") as f:
        return f.read()


def files(folder, *ends):
    return sorted(f for f in os.listdir(os.path.join(FIXTURES, folder)) if f.endswith(ends))


def streams():
    """The coded pictures alone, behind their columns and rows less one."""
    for name in files("codecs", ".dcm"):
        seed("dicom", name, read("codecs", name))
        kind = KINDS.get(name.split(".")[0].split("-")[0])
        if kind:
            d = pydicom.dcmread(os.path.join(CODECS, name))
            stream = next(generate_frames(d.PixelData, number_of_frames=1))
            seed(kind, name.replace(".dcm", ""), bytes([d.Columns - 1, d.Rows - 1]) + stream)


def saved(d, **how):
    out = io.BytesIO()
    list(d.iterall())  # decoded, so that they can be written in another byte order
    pydicom.dcmwrite(out, d, **how)
    return out.getvalue()


def small():
    """The middle of the slice, 8 x 6."""
    d = pydicom.dcmread(os.path.join(CODECS, "plain.dcm"))
    columns = d.Columns
    rows = [d.PixelData[2 * (y * columns + 14):2 * (y * columns + 22)] for y in range(20, 26)]
    d.Rows, d.Columns, d.PixelData = 6, 8, b"".join(rows)
    return d


def item(**values):
    d = Dataset()
    for key, value in values.items():
        setattr(d, key, value)
    return d


def enhanced():
    """Three frames that the functional groups place."""
    d = small()
    d.file_meta.MediaStorageSOPClassUID = d.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    d.NumberOfFrames, d.PixelData = 3, 3 * d.PixelData
    d.SharedFunctionalGroupsSequence = [item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=d.ImageOrientationPatient)],
        PixelMeasuresSequence=[item(PixelSpacing=[1, 1], SliceThickness=2)],
        PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")])]
    d.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 2 * k])],
             FrameContentSequence=[item(StackID="1", InStackPositionNumber=k + 1)]) for k in range(3)]
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(d, tag)
    return d


def data_sets():
    """What the codings of headers differ in, frames, a lookup table and padding."""
    d = small()
    seed("dicom", "small", saved(d))
    for name, syntax in [("implicit", ImplicitVRLittleEndian), ("deflated", DeflatedExplicitVRLittleEndian),
                         ("big-endian", ExplicitVRBigEndian)]:
        other = copy.deepcopy(d)
        other.file_meta.TransferSyntaxUID = syntax
        big = syntax == ExplicitVRBigEndian
        if big:
            words = array.array("H", d.PixelData)
            words.byteswap()
            other.PixelData = words.tobytes()
        implicit = syntax == ImplicitVRLittleEndian
        seed("dicom", name, saved(other, implicit_vr=implicit, little_endian=not big, force_encoding=True))
    seed("dicom", "no-preamble", saved(d)[132:])
    seed("dicom", "enhanced", saved(enhanced()))
    d = small()
    d.NumberOfFrames, d.SpacingBetweenSlices, d.PixelData = 3, 2, 3 * d.PixelData
    d.add_new("PixelPaddingValue", "US", 0)
    d.add_new("PixelPaddingRangeLimit", "US", 20)
    seed("dicom", "frames", saved(d))
    d = small()
    table = item(ModalityLUTType="HU")
    table.add_new("LUTDescriptor", "US", [4, 0, 16])
    table.add_new("LUTData", "OW", b"\x00\xfc\x18\xfc\x00\x00\x01\x00")
    d.ModalityLUTSequence = [table]
    seed("dicom", "table", saved(d))


def volumes():
    for name in files("nifti", ".nii", ".gz", ".hdr"):
        seed("nifti", name, read("nifti", name))
    for name in files("volumes", ".mha", ".mhd"):
        seed("metaimage", name, read("volumes", name))
    for name in files("volumes", ".nrrd", ".nhdr"):
        seed("nrrd", name, read("volumes", name))


def zipped(entries, method):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in entries:
            z.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def archives():
    slices = []
    for k in range(3):
        d = small()
        d.ImagePositionPatient, d.InstanceNumber, d.SOPInstanceUID = [0, 0, 2 * k], k + 1, f"1.2.3.{k + 10}"
        slices.append((f"series/{k}", saved(d)))
    nifti, mha = ("a/ct.nii", read("nifti", "plain.nii")), ("ct.mha", read("volumes", "uint16.mha"))
    detached = [(name, read("volumes", name)) for name in ("detached.nhdr", "detached.raw")]
    seed("zip", "series", zipped(slices, zipfile.ZIP_DEFLATED))
    seed("zip", "stored", zipped([nifti, mha], zipfile.ZIP_STORED))
    seed("zip", "bzip2", zipped([nifti], zipfile.ZIP_BZIP2))
    seed("zip", "detached", zipped(detached, zipfile.ZIP_DEFLATED))
    inner = zipped([mha], zipfile.ZIP_DEFLATED)
    seed("zip", "nested", zipped([("b/inner.zip", inner), nifti], zipfile.ZIP_STORED))


if __name__ == "__main__":
    streams()
    data_sets()
    volumes()
    archives()
