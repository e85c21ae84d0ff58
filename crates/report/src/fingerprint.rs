//! What tells one input from another.

use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Samples taken of all files together, but of each one at least [`LEAST_SAMPLES`].
const SAMPLES: u64 = 256;
/// The start, with the header and its identifiers, and something of the voxels.
const LEAST_SAMPLES: u64 = 2;
/// Bytes of a sample.
const SAMPLE_BYTES: u64 = 4096;

/// SHA-256, hexadecimal, over the names, sizes and evenly spread samples of the files of one input.
///
/// Names and sizes alone would not do: series come as 0001.dcm and so on, all of one size. Neither
/// folders nor times go in, so that a copy elsewhere has the same fingerprint, nor does the order
/// of `files`. It takes milliseconds: a change to a few voxels of a large file can go unseen.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read.
pub fn fingerprint(files: &[PathBuf]) -> Result<String> {
    let samples = (SAMPLES / (files.len() as u64).max(1)).max(LEAST_SAMPLES);
    let mut each = files.iter().map(|f| of_file(f, samples)).collect::<Result<Vec<_>>>()?;
    each.sort_unstable();
    let all = each.iter().fold(Sha256::new(), |hash, one| hash.chain_update(one));
    Ok(all.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

fn of_file(path: &Path, samples: u64) -> Result<[u8; 32]> {
    let fail = || Error::io(path);
    let mut file = File::open(path).map_err(fail())?;
    let bytes = file.metadata().map_err(fail())?.len();
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let mut hash = Sha256::new();
    // The length first: where the name ends is then beyond doubt.
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name);
    hash.update(bytes.to_le_bytes());
    let mut sample = Vec::new();
    for start in starts(bytes, samples) {
        sample.clear();
        file.seek(SeekFrom::Start(start)).map_err(fail())?;
        (&mut file).take(SAMPLE_BYTES).read_to_end(&mut sample).map_err(fail())?;
        hash.update(&sample);
    }
    Ok(hash.finalize().into())
}

/// Where the samples of a file start: evenly from its first byte to its last sample, or one after
/// the other where that is all of the file.
fn starts(bytes: u64, samples: u64) -> Vec<u64> {
    if bytes <= samples * SAMPLE_BYTES {
        return (0..bytes.div_ceil(SAMPLE_BYTES)).map(|i| i * SAMPLE_BYTES).collect();
    }
    let last = u128::from(bytes - SAMPLE_BYTES);
    let steps = u128::from(samples - 1).max(1);
    (0..samples).map(|i| (last * u128::from(i) / steps) as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn samples_reach_from_the_first_byte_to_the_last() {
        assert_eq!(starts(0, 2), [0u64; 0]);
        assert_eq!(starts(8000, 2), [0, 4096]);
        assert_eq!(starts(104_096, 3), [0, 50_000, 100_000]);
        assert_eq!(starts(u64::MAX, 2), [0, u64::MAX - 4096]);
    }

    #[test]
    fn copies_agree_and_others_differ() {
        let folder = tempfile::tempdir().unwrap();
        let put = |place: &str, name: &str, bytes: &[u8]| {
            let path = folder.path().join(place).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            path
        };
        let print = |files: &[PathBuf]| fingerprint(files).unwrap();
        let first = [put("a", "1.dcm", b"one"), put("a", "2.dcm", b"two")];
        let copy = [put("b", "2.dcm", b"two"), put("b", "1.dcm", b"one")];
        assert_eq!(print(&first), print(&copy));
        assert_eq!(print(&first).len(), 64);
        let other = [
            print(&first[..1]),
            print(&[put("c", "1.dcm", b"one"), put("c", "3.dcm", b"two")]),
            print(&[put("d", "1.dcm", b"one"), put("d", "2.dcm", b"2wo")]),
        ];
        assert!(other.iter().all(|o| *o != print(&first)));
        assert!(fingerprint(&[folder.path().join("none")]).is_err());
    }
}
