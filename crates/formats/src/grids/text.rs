//! What headers of text lines have in common.

use super::values::Number;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A longer header is none.
const LONGEST: u64 = 4 << 20;

/// Lines at the start of a file, read one by one.
pub(crate) struct Lines {
    from: std::io::Take<BufReader<std::fs::File>>,
    /// Bytes read so far.
    pub(crate) at: u64,
}

impl Lines {
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        Ok(Self { from: BufReader::new(std::fs::File::open(path)?).take(LONGEST), at: 0 })
    }

    /// The next line without its end; `None` at the end of the file.
    ///
    /// # Errors
    /// The reason, as a plain sentence.
    pub(crate) fn line(&mut self) -> Result<Option<String>, String> {
        let mut line = Vec::new();
        let n = self.from.read_until(b'\n', &mut line).map_err(|e| format!("It cannot be read: {e}."))?;
        self.at += n as u64;
        if self.from.limit() == 0 {
            return Err(format!("Its header does not end within {LONGEST} bytes."));
        }
        let text = String::from_utf8_lossy(&line);
        Ok((n > 0).then(|| text.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

/// What a damaged header says may be long and unprintable: the start of it, in quotes.
pub(crate) fn brief(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    if start.len() < text.len() { format!("{start:?}...") } else { format!("{start:?}") }
}

/// Numbers between white space.
///
/// # Errors
/// The reason, naming the field.
pub(crate) fn numbers<T: std::str::FromStr>(field: &str, value: &str) -> Result<Vec<T>, String> {
    let one =
        |v: &str| v.parse().map_err(|_| format!("The header's {field:?} holds something else than numbers."));
    value.split_whitespace().map(one).collect()
}

/// As [`numbers`], when there must be `N` of them.
///
/// # Errors
/// The reason, naming the field.
pub(crate) fn exactly<T: std::str::FromStr, const N: usize>(
    field: &str,
    value: &str,
) -> Result<[T; N], String> {
    let all: Vec<T> = numbers(field, value)?;
    let n = all.len();
    all.try_into().map_err(|_| format!("The header's {field:?} holds {n} numbers in place of {N}."))
}

/// A data file that a header names, in the header's folder or below it: a header from elsewhere
/// must not lead to other files of this machine.
///
/// # Errors
/// The reason, as a plain sentence.
pub(crate) fn beside(header: &Path, name: &str) -> Result<PathBuf, String> {
    let name = name.trim().replace('\\', "/");
    let within = |c| matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir);
    if name.is_empty() || name.contains(['\0', ':']) || !Path::new(&name).components().all(within) {
        return Err(format!(
            "Its data file {} is not in the header's own folder; put both into one folder and name the data \
             file without a path.",
            brief(&name)
        ));
    }
    Ok(header.parent().unwrap_or(Path::new("")).join(name))
}

/// The files of a pattern with one `%d` (or `%03d`), counted from `first` to `last` by `step`.
///
/// # Errors
/// The reason, as a plain sentence.
pub(crate) fn counted(
    pattern: &str,
    [first, last, step]: [i64; 3],
    most: usize,
) -> Result<Vec<String>, String> {
    let wrong = || format!("The pattern {} of data files cannot be understood.", brief(pattern));
    let (before, rest) = pattern.split_once('%').ok_or_else(wrong)?;
    let (width, after) = rest.split_once('d').ok_or_else(wrong)?;
    let zeros = width.starts_with('0');
    let width: usize = if width.is_empty() { 0 } else { width.parse().map_err(|_| wrong())? };
    let n =
        last.checked_sub(first).and_then(|d| d.checked_div(step)).filter(|&n| n >= 0).ok_or_else(wrong)?;
    if n as u64 >= most as u64 || width > 32 || after.contains('%') {
        return Err(wrong());
    }
    let name = |i: i64| {
        let number = first + i * step;
        if zeros {
            format!("{before}{number:0width$}{after}")
        } else {
            format!("{before}{number:width$}{after}")
        }
    };
    Ok((0..=n).map(name).collect())
}

/// The number type of this many bytes.
pub(crate) fn whole(bytes: usize, signed: bool) -> Number {
    match (bytes, signed) {
        (1, true) => Number::I8,
        (1, false) => Number::U8,
        (2, true) => Number::I16,
        (2, false) => Number::U16,
        (4, true) => Number::I32,
        (4, false) => Number::U32,
        (_, true) => Number::I64,
        (_, false) => Number::U64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_files_stay_in_the_folder_of_their_header() {
        let header = Path::new("/scans/a/ct.mhd");
        assert_eq!(beside(header, " ct.raw ").unwrap(), Path::new("/scans/a/ct.raw"));
        assert_eq!(beside(header, "raw\\ct 1.raw").unwrap(), Path::new("/scans/a/raw/ct 1.raw"));
        for name in ["", "/etc/passwd", "../b/ct.raw", "raw/../../x", "C:\\ct.raw", "a\0b"] {
            assert!(beside(header, name).unwrap_err().contains("own folder"), "{name}");
        }
    }

    #[test]
    fn patterns_count_as_printf_does() {
        assert_eq!(counted("ct%03d.raw", [9, 11, 2], 10).unwrap(), ["ct009.raw", "ct011.raw"]);
        assert_eq!(counted("ct%d", [3, 1, -1], 10).unwrap(), ["ct3", "ct2", "ct1"]);
        for (pattern, range) in [
            ("ct", [0, 1, 1]),
            ("%s", [0, 1, 1]),
            ("%d%d", [0, 1, 1]),
            ("%d", [0, 1, 0]),
            ("%d", [1, 0, 1]),
            ("%d", [0, 10, 1]),
            ("%d", [i64::MIN, i64::MAX, 1]),
            ("%999d", [0, 1, 1]),
        ] {
            assert!(counted(pattern, range, 10).unwrap_err().contains("cannot be understood"), "{pattern}");
        }
    }
}
