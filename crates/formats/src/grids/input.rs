//! The bytes in which a file holds its values: found, unpacked, and no more of them than allowed.

use super::values::{Coding, Values, is_between};
use crate::{Error, Limits, Result};
use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::{GzDecoder, ZlibDecoder};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The most that deflate can shrink anything: 1032 to 1.
const DEFLATE_RATIO: u64 = 1032;
const BUFFER: usize = 1 << 18;

/// How bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    /// Deflate with the header of zlib (RFC 1950), or gzip.
    Zlib,
    Bzip2,
}

/// What to pass over once the bytes are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    Bytes(u64),
    /// All but the values at the end.
    UpToTheLast,
}

/// Where in a file the values are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Bytes before it, then lines, as they lie in the file.
    pub(crate) at: u64,
    pub(crate) lines: u64,
    pub(crate) packing: Packing,
    pub(crate) skip: Skip,
    /// Whether more may follow behind the values.
    pub(crate) open_end: bool,
}

/// An open file that stands at its values.
pub(crate) struct Input {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    coding: Coding,
    place: Place,
    /// The most bytes that may come out of it.
    allowance: u64,
}

impl Input {
    /// Opens a file that should hold `n` values, once it is known that it can.
    pub(crate) fn open(
        path: &Path,
        place: &Place,
        values: &Values,
        n: usize,
        limits: &Limits,
    ) -> Result<Self> {
        let failed = |e| failed(path, e);
        let refuse = |reason: String| Error::Refused { path: path.to_owned(), reason };
        let (file, left) = stand(path, place).map_err(failed)?;
        let needed = values.least_bytes(n);
        let allowance = if place.packing == Packing::Plain { left } else { limits.allowance(left) };
        let skip = match place.skip {
            Skip::Bytes(bytes) => bytes,
            Skip::UpToTheLast => {
                let total = match place.packing {
                    Packing::Plain => left,
                    _ => count(stand(path, place).map_err(failed)?.0, place.packing, allowance)
                        .map_err(failed)?,
                };
                total.saturating_sub(needed)
            }
        };
        let total = needed.saturating_add(skip);
        fits(total, left, place.packing, allowance).map_err(refuse)?;
        if place.packing == Packing::Plain
            && values.coding == Coding::Binary
            && !place.open_end
            && left > total
        {
            return Err(refuse(too_long(left - total)));
        }
        let mut reader = unpacked(file, place.packing).map_err(failed)?;
        let skipped = io::copy(&mut reader.by_ref().take(skip), &mut io::sink()).map_err(failed)?;
        if skipped < skip {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(Self { path: path.to_owned(), reader, coding: values.coding, place: place.clone(), allowance })
    }

    /// Reads `n` values and what follows them: the checksum of packed bytes stands at their end.
    pub(crate) fn read(mut self, values: &Values, n: usize, data: &mut Vec<i16>) -> Result<u64> {
        let odd = values.read(n, &mut self.reader, data).map_err(|e| failed(&self.path, e))?;
        if self.place.packing == Packing::Plain && self.coding == Coding::Binary {
            return Ok(odd);
        }
        let (mut bytes, mut more) = (0_u64, 0_u64);
        loop {
            let chunk = self.reader.fill_buf().map_err(|e| failed(&self.path, e))?;
            let length = chunk.len();
            if length == 0 {
                break;
            }
            let counts = |b: &&u8| self.coding == Coding::Binary || !is_between(**b);
            more += chunk.iter().filter(counts).count() as u64;
            bytes += length as u64;
            self.reader.consume(length);
            if bytes > self.allowance {
                return Err(Error::Refused { path: self.path, reason: over(self.allowance) });
            }
        }
        if more > 0 && !self.place.open_end {
            return Err(Error::Refused { path: self.path, reason: too_long(more) });
        }
        Ok(odd)
    }
}

/// Opens a file where its values, maybe packed, begin; and says how many bytes are left.
fn stand(path: &Path, place: &Place) -> io::Result<(BufReader<File>, u64)> {
    let file = File::open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        // A pipe would be waited for.
        return Err(io::Error::other("it is no file"));
    }
    let length = facts.len();
    let mut file = BufReader::with_capacity(BUFFER, file);
    file.seek(SeekFrom::Start(place.at))?;
    let mut at = place.at;
    for _ in 0..place.lines {
        at += file.skip_until(b'\n')? as u64;
        if at >= length {
            break;
        }
    }
    Ok((file, length.saturating_sub(at)))
}

/// Whether this many bytes can and may come out of what is left of the file.
fn fits(total: u64, left: u64, packing: Packing, allowance: u64) -> std::result::Result<(), String> {
    let most = match packing {
        Packing::Plain => left,
        Packing::Gzip | Packing::Zlib => left.saturating_mul(DEFLATE_RATIO),
        Packing::Bzip2 => u64::MAX,
    };
    if total > most {
        return Err(format!("The header promises voxels of {total} bytes, more than the file holds."));
    }
    if total > allowance {
        return Err(over(allowance));
    }
    Ok(())
}

fn over(allowance: u64) -> String {
    format!("It unpacks to more than {allowance} bytes, which is over the limit.")
}

fn too_long(more: u64) -> String {
    format!(
        "The file holds {more} bytes more than the header promises, so the voxels may lie elsewhere in it; \
         correct the size or the bytes to skip."
    )
}

pub(crate) fn failed(path: &Path, e: io::Error) -> Error {
    let reason = match e.kind() {
        io::ErrorKind::UnexpectedEof => {
            "The file ends before the voxels its header promises; it may be cut short.".to_owned()
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => format!("Its voxels are damaged: {e}."),
        _ => return Error::unreadable(path, e),
    };
    Error::Refused { path: path.to_owned(), reason }
}

fn unpacked(mut file: BufReader<File>, packing: Packing) -> io::Result<Box<dyn BufRead>> {
    fn buffered(from: impl Read + 'static) -> Box<dyn BufRead> {
        Box::new(BufReader::with_capacity(BUFFER, from))
    }
    let gzip = file.fill_buf()?.starts_with(GZIP);
    Ok(match packing {
        Packing::Plain => Box::new(file),
        Packing::Gzip => buffered(Members::of(file)),
        Packing::Zlib if gzip => buffered(Members::of(file)),
        Packing::Zlib => buffered(ZlibDecoder::new(file)),
        Packing::Bzip2 => buffered(MultiBzDecoder::new(file)),
    })
}

/// Bytes that come out, counted up to one more than `most`.
fn count(file: BufReader<File>, packing: Packing, most: u64) -> io::Result<u64> {
    io::copy(&mut unpacked(file, packing)?.take(most.saturating_add(1)), &mut io::sink())
}

/// The first two bytes of anything gzipped.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The first bytes of a file, at most `n`, unpacked where it is gzipped as a whole; and whether.
pub(crate) fn start(path: &Path, n: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut file = BufReader::new(File::open(path)?);
    let gzip = file.fill_buf()?.starts_with(GZIP);
    let mut bytes = Vec::new();
    let read = |from: &mut dyn Read, to: &mut Vec<u8>| from.take(n).read_to_end(to);
    if gzip {
        read(&mut Members::of(file), &mut bytes)?
    } else {
        read(&mut file, &mut bytes)?
    };
    Ok((bytes, gzip))
}

/// Gzip members one after the other; what follows the last and is no member is ignored, as
/// gzip(1) ignores it.
struct Members<R: BufRead> {
    now: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    fn of(from: R) -> Self {
        Self { now: Some(GzDecoder::new(from)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.now {
            let n = member.read(to)?;
            if n > 0 || to.is_empty() {
                return Ok(n);
            }
            let rest = self.now.take().map(GzDecoder::into_inner);
            if let Some(mut rest) = rest
                && rest.fill_buf()?.starts_with(GZIP)
            {
                self.now = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}
