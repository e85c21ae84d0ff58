"""Times reading an uncompressed 300-slice series of 512 x 512 into HU with pleura, SimpleITK,
pydicom and dcm2niix, turn by turn with files in the page cache, and `inspect` of 2,000 mixed files.
The series is a made-up one. Prints JSON; only ratios mean anything elsewhere.

usage: speed.py READER [ROUNDS]      (READER: the example time_read, built)
Needs numpy, pydicom, SimpleITK; dcm2niix on the path.
"""
import glob, json, os, shutil, subprocess, sys, tempfile, time

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import generate_uid

READER, ROUNDS = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5


def write(folder, count, size, **tags):
    """A series of noise on a ramp."""
    os.makedirs(folder)
    rng, study, series = np.random.default_rng(1), generate_uid(), generate_uid()
    base = rng.integers(0, 2000, (size, size), dtype="i2")
    for k in range(count):
        d = pydicom.Dataset()
        d.file_meta = pydicom.dataset.FileMetaDataset()
        d.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        d.StudyInstanceUID, d.SeriesInstanceUID, d.Modality, d.PatientID = study, series, "CT", "NONE"
        d.InstanceNumber, d.SeriesNumber, d.ImageType = k + 1, 1, ["ORIGINAL", "PRIMARY", "AXIAL"]
        d.ImagePositionPatient, d.ImageOrientationPatient = [-180, -180, k], [1, 0, 0, 0, 1, 0]
        d.PixelSpacing, d.SliceThickness, d.Rows, d.Columns = [0.7, 0.7], 1, size, size
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16, 16, 15, 0
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.RescaleSlope, d.RescaleIntercept, d.RescaleType = 1, -1024, "HU"
        for name, value in tags.items():
            setattr(d, name, value)
        d.PixelData = (base + k).tobytes()
        d["PixelData"].VR = "OW"
        d.save_as(f"{folder}/{k:04}", enforce_file_format=True)


def by_pleura(folder):
    out = subprocess.run([READER, folder], capture_output=True, text=True).stdout.splitlines()
    facts = dict(line.strip().split(": ") for line in out if line.startswith("  peak"))
    return int(facts.get("peak bytes", 0))


def by_simpleitk(folder):
    sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder), sitk.sitkInt16)


def by_pydicom(folder):
    sets = [pydicom.dcmread(f) for f in glob.glob(f"{folder}/*")]
    sets.sort(key=lambda d: d.ImagePositionPatient[2])
    np.stack([d.pixel_array.astype("i2") + np.int16(d.RescaleIntercept) for d in sets])


def by_dcm2niix(folder):
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(["dcm2niix", "-b", "n", "-z", "n", "-o", out, folder], capture_output=True, check=True)


def look(folder):
    subprocess.run([READER, "--inspect", folder], capture_output=True, check=True)


def timed(read, *args):
    start = time.perf_counter()
    got = read(*args)
    return time.perf_counter() - start, got


def main():
    with tempfile.TemporaryDirectory() as tmp:
        chest = f"{tmp}/chest"
        write(chest, 300, 512)
        peers = {"pleura": by_pleura, "SimpleITK": by_simpleitk, "pydicom": by_pydicom, "dcm2niix": by_dcm2niix}
        seconds, peak = {name: [] for name in peers}, 0
        for _ in range(ROUNDS):
            for name, read in peers.items():
                took, got = timed(read, chest)
                seconds[name].append(took)
                peak = got or peak
        best = {name: min(all) for name, all in seconds.items()}
        fastest = min(v for name, v in best.items() if name != "pleura")
        shutil.rmtree(chest)
        mixed = f"{tmp}/mixed"
        os.makedirs(mixed)
        kinds = [{}, {"Modality": "PT"}, {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}]
        for n in range(20):
            write(f"{mixed}/{n}", 100, 128, **kinds[n % 4])
        looks = [timed(look, mixed)[0] for _ in range(ROUNDS)]
        volume = 300 * 512 * 512 * 2
        print(json.dumps({
            "rounds": ROUNDS, "seconds": {k: round(v, 4) for k, v in best.items()},
            "all_seconds": {k: [round(x, 4) for x in v] for k, v in seconds.items()},
            "pleura_over_fastest": round(best["pleura"] / fastest, 3),
            "pleura_peak_over_volume": round(peak / volume, 3),
            "inspect_2000_files_seconds": round(min(looks), 4),
        }, indent=1))


main()
