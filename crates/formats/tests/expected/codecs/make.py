"""Small DICOM files in every transfer syntax for tests/codecs.rs, of a made-up slice, and what other
programs decode the lossy ones to.

Needs numpy, pydicom, imagecodecs and pylibjpeg-openjpeg from PyPI, and dcmtk's dcmcrle, dcmcjpeg, dcmcjpls,
dcmdjpeg and dcmdjpls: python3 make.py
"""
import os, subprocess, tempfile
import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, COLUMNS = 45, 61
J2K, XL, HT = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.201"


def chest():
    """Stored words of 12 bits: a body with two lungs and spots in flat air, with noise inside."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    a = np.zeros((ROWS, COLUMNS))
    inside = ((x - 30) / 27) ** 2 + ((y - 22) / 19) ** 2 < 1
    a[inside] = 1060
    for centre in (17, 43):
        a[((x - centre) / 9) ** 2 + ((y - 22) / 12) ** 2 < 1] = 170
    a[((x - 30) / 4) ** 2 + ((y - 35) / 3) ** 2 < 1] = 2200
    noise = np.random.default_rng(4).normal(0, 12, a.shape)
    return np.clip(np.rint(np.where(inside, a + noise, a)), 0, 4095).astype(np.uint16)


def dataset(words, stored, signed):
    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.file_meta.MediaStorageSOPClassUID = d.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    d.file_meta.MediaStorageSOPInstanceUID = d.SOPInstanceUID = "1.2.3.4"
    d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = "1.2.3.1", "1.2.3.2", "1.2.3.3"
    d.Modality, d.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    d.ImagePositionPatient, d.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    d.PixelSpacing, d.SliceThickness, d.InstanceNumber = [1, 1], 1, 1
    d.Rows, d.Columns, d.SamplesPerPixel, d.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, stored, stored - 1, int(signed)
    d.RescaleSlope, d.RescaleIntercept, d.RescaleType = 1, 0 if signed else -1024, "HU"
    d.PixelData = words.astype("<i2" if signed else "<u2").tobytes()
    return d


def save(d, name):
    d.save_as(os.path.join(HERE, name), enforce_file_format=True)


def coded(d, stream, syntax, name):
    """The data set with a stream of another program as its pixels."""
    # pydicom does not know JPEG XL; the UID of HTJ2K is as long.
    d.file_meta.TransferSyntaxUID = HT if syntax == XL else syntax
    d.PixelData = encapsulate([stream])
    d["PixelData"].is_undefined_length = True
    save(d, name)
    if syntax == XL:
        with open(os.path.join(HERE, name), "r+b") as f:
            whole = f.read().replace(HT.encode(), XL.encode())
            f.seek(0)
            f.write(whole)


def tool(command, source, name):
    subprocess.run([*command, os.path.join(HERE, source), os.path.join(HERE, name)], check=True)


def expected(command, name):
    """Stored words that another program decodes a lossy file to."""
    with tempfile.NamedTemporaryFile(suffix=".dcm") as out:
        subprocess.run([*command, os.path.join(HERE, name), out.name], check=True)
        words(pydicom.dcmread(out.name).pixel_array, name)


def words(a, name):
    a.astype("<u2").tofile(os.path.join(HERE, name.replace(".dcm", ".raw")))


words12 = chest()
hu = words12.astype(np.int16) - 1024
save(dataset(words12, 12, False), "plain.dcm")
save(dataset(hu, 16, True), "plain-signed.dcm")
for source, mark in (("plain.dcm", ""), ("plain-signed.dcm", "-signed")):
    tool(["dcmcrle"], source, f"rle{mark}.dcm")
    tool(["dcmcjpeg", "+e1"], source, f"lossless-sv1{mark}.dcm")
    tool(["dcmcjpls"], source, f"jls{mark}.dcm")
# Process 14 with the other predictors.
for predictor in range(2, 8):
    tool(["dcmcjpeg", "+el", "+sv", str(predictor)], "plain.dcm", f"lossless-{predictor}.dcm")
tool(["dcmcjpls", "+en", "+md", "3"], "plain.dcm", "jls-near.dcm")
expected(["dcmdjpls"], "jls-near.dcm")
# Lossy, at 12 bits sequential, with spectral selection, and with full progression; then at 8 bits.
for option, name in (("+ee", "extended"), ("+es", "spectral"), ("+ep", "progressive")):
    tool(["dcmcjpeg", option, "+q", "95"], "plain.dcm", f"{name}.dcm")
    expected(["dcmdjpeg"], f"{name}.dcm")
tool(["dcmcjpeg", "+eb", "+q", "90"], "plain.dcm", "baseline.dcm")
expected(["dcmdjpeg"], "baseline.dcm")

for a, stored, signed, mark in ((words12, 12, False, ""), (hu, 16, True, "-signed")):
    stream = imagecodecs.jpeg2k_encode(a, level=0, codecformat="j2k", reversible=True, bitspersample=stored)
    coded(dataset(a, stored, signed), stream, J2K, f"j2k{mark}.dcm")
stream = imagecodecs.jpeg2k_encode(words12, level=45, codecformat="j2k", reversible=False, bitspersample=12)
coded(dataset(words12, 12, False), stream, "1.2.840.10008.1.2.4.91", "j2k-lossy.dcm")
words(imagecodecs.jpeg2k_decode(stream), "j2k-lossy.dcm")
# Two's complement as unsigned words: JPEG XL has no sign.
for a, stored, signed, mark in ((words12, 12, False, ""), (hu, 16, True, "-signed")):
    stream = imagecodecs.jpegxl_encode(a.view(np.uint16), lossless=True, bitspersample=stored)
    coded(dataset(a, stored, signed), stream, XL, f"jxl{mark}.dcm")
stream = imagecodecs.htj2k_encode(words12, reversible=True)
coded(dataset(words12, 12, False), stream, HT, "htj2k.dcm")
