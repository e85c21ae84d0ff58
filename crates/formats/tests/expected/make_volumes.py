"""The small made-up MetaImage and NRRD files in volumes/, and what SimpleITK and pynrrd read from them.

Needs numpy, SimpleITK and pynrrd: python3 make_volumes.py
Writes volumes/ and volumes.json: size, affine (voxel to LPS mm) and CRC-32 of the HU, in the oriented grid.
"""
import bz2, gzip, json, os, zlib
import nibabel as nib
import nrrd
import numpy as np
import SimpleITK as sitk

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = f"{HERE}/volumes"
A = np.random.default_rng(2).integers(-1024, 1500, (6, 5, 4)).astype(np.int16)  # z, y, x
C, S = np.cos(0.2), np.sin(0.2)
# Columns are the directions of the stored axes: to the front, to the feet, to the left, and turned about x.
OBLIQUE = np.array([[1, 0, 0], [0, C, -S], [0, S, C]]) @ np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
RAW = A.astype("<i2").tobytes()


def save(name, data):
    with open(f"{OUT}/{name}", "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def image(a=A, direction=np.eye(3)):
    i = sitk.GetImageFromArray(a)
    i.SetSpacing([0.7, 0.8, 2.5])
    i.SetOrigin([-120.5, 33.25, 700])
    i.SetDirection(direction.ravel().tolist())
    return i


def metaimage():
    for kind in ["int8", "uint8", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]:
        a = (A / 3).astype(kind) if kind[0] == "f" else np.clip(A, *(np.iinfo(kind).min, np.iinfo(kind).max)).astype(kind)
        sitk.WriteImage(image(a), f"{OUT}/{kind}.mha", kind[-1] != "8")
    sitk.WriteImage(image(direction=OBLIQUE), f"{OUT}/oblique.mha")
    sitk.WriteImage(image(direction=-np.eye(3)[::-1]), f"{OUT}/mirrored.mhd")
    sitk.WriteImage(image(), f"{OUT}/packed.mhd", True)
    head = ("ObjectType = Image\nNDims = 3\nBinaryData = {binary}\nBinaryDataByteOrderMSB = {msb}\n"
            "TransformMatrix = 1 0 0 0 -1 0 0 0 -1\nOffset = -120.5 33.25 700\nElementSpacing = 0.7 0.8 2.5\n"
            "DimSize = 4 5 6\nElementType = MET_SHORT\n{more}ElementDataFile = {where}\n")
    by = lambda where="LOCAL", binary=True, msb=False, more="": head.format(**locals())
    save("big.mha", by(msb=True).encode() + A.astype(">i2").tobytes())
    save("text.mha", by(binary=False) + " ".join(map(str, A.ravel())) + "\n")
    save("behind.mhd", by("behind.raw", more="HeaderSize = -1\n"))
    save("behind.raw", b"some header or other" + RAW)
    for k in range(6):
        save(f"slice{k + 1:02}.raw", A[k].astype("<i2").tobytes())
    save("list.mhd", by("LIST") + "".join(f"slice{k + 1:02}.raw\n" for k in range(6)))
    save("pattern.mhd", by("slice%02d.raw 1 6 1"))


def nrrds():
    for space, signs in [("left-posterior-superior", [1, 1, 1]), ("RAS", [-1, -1, 1]),
                         ("left-anterior-superior", [1, -1, 1])]:
        steps = (OBLIQUE @ np.diag([0.7, 0.8, 2.5])).T * signs
        h = {"space": space, "space directions": steps, "space origin": np.array([-120.5, 33.25, 700]) * signs}
        name = space.lower().split("-")
        name = "".join(w[0] for w in name) if len(name) > 1 else name[0]
        nrrd.write(f"{OUT}/{name}.nrrd", A.T, {**h, "encoding": "raw"})
    for encoding in ["gzip", "bzip2", "ascii"]:
        nrrd.write(f"{OUT}/{encoding}.nrrd", A.T, {**h, "encoding": encoding})
    nrrd.write(f"{OUT}/float.nrrd", (A.T / 3).astype(np.float32), {**h, "encoding": "gzip"})
    nrrd.write(f"{OUT}/detached.nhdr", A.T, {**h, "encoding": "raw"}, detached_header=True)
    head = ("NRRD0004\n# made up\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 5 6\n"
            "space directions: (0.7,0,0) (0,-0.8,0) (0,0,-2.5)\nspace origin: (-120.5,33.25,700)\nkinds: domain domain domain\n"
            "endian: {endian}\nencoding: {encoding}\n{more}user:=a key of the user's\n")
    by = lambda encoding="raw", endian="little", more="": head.format(**locals())
    save("big.nrrd", by(endian="big").encode() + b"\n" + A.astype(">i2").tobytes())
    save("hex.nrrd", by("hex") + "\n" + RAW.hex("\n", 16) + "\n")
    save("skips.nrrd", by("gzip", more="line skip: 2\nbyte skip: 5\n").encode() + b"\none\ntwo\n" + gzip.compress(b"12345" + RAW, mtime=0))
    save("last.nhdr", by("bzip2", more="byte skip: -1\n") + "data file: last.raw.bz2\n")
    save("last.raw.bz2", bz2.compress(b"some header or other" + RAW))
    save("list.nhdr", by() + "data file: LIST\n" + "".join(f"slice{k + 1:02}.raw\n" for k in range(6)))
    save("pattern.nhdr", by() + "data file: slice%02d.raw 1 6 1\n")


def oriented(data, m):
    turn = nib.orientations.ornt_transform(nib.io_orientation(m), [[0, 1], [1, 1], [2, 1]])
    m = m @ nib.orientations.inv_ornt_aff(turn, data.shape)
    a = np.rint(nib.orientations.apply_orientation(data.astype(np.float64), turn)).astype("<i2")
    return {"size": list(a.shape), "affine": m[:3].tolist(), "crc": zlib.crc32(np.ascontiguousarray(a.T).tobytes())}


def by_simpleitk(path):
    i = sitk.ReadImage(path)
    m = np.eye(4)
    m[:3, :3] = np.array(i.GetDirection()).reshape(3, 3) @ np.diag(i.GetSpacing())
    m[:3, 3] = i.GetOrigin()
    return oriented(sitk.GetArrayFromImage(i).T, m)


def by_pynrrd(path):
    data, h = nrrd.read(path)
    signs = {"left-posterior-superior": [1, 1, 1], "RAS": [-1, -1, 1], "left-anterior-superior": [1, -1, 1]}[h["space"]]
    m = np.eye(4)
    m[:3, :3] = (h["space directions"] * signs).T
    m[:3, 3] = h["space origin"] * signs
    return oriented(data, m)


def expected(name):
    """By both programs where both read it; what one of them cannot is known from how it was made."""
    path = f"{OUT}/{name}"
    found = []
    for program in [by_simpleitk, by_pynrrd][: 1 + name.endswith(("nrrd", "nhdr"))]:
        try:
            found.append(program(path))
        except Exception as e:
            print(f"{name}: not read by {program.__name__[3:]}: {str(e).strip().splitlines()[-1]}")
    for other in found[1:]:
        assert other["crc"] == found[0]["crc"] and np.allclose(other["affine"], found[0]["affine"], atol=1e-4), name
    assert found, name
    return found[0]


os.makedirs(OUT, exist_ok=True)
metaimage()
nrrds()
names = sorted(f for f in os.listdir(OUT) if f.endswith((".mha", ".mhd", ".nrrd", ".nhdr")))
json.dump({name: expected(name) for name in names}, open(f"{HERE}/volumes.json", "w"), indent=1)
