//! JSON whose floats carry five significant digits, the same bytes for the same document.

use crate::{Error, Result};
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};
use std::io::{self, Write};

/// `v` to five significant digits; what is not finite stays as it is.
pub fn five_digits(v: f64) -> f64 {
    // Formatting rounds the exact binary value half to even, and parsing gives the nearest double.
    let rounded = format!("{v:.4e}").parse().unwrap_or(v);
    if rounded == 0.0 { 0.0 } else { rounded }
}

/// The document as indented JSON with a final newline.
///
/// # Errors
/// [`Error::Encode`] when the value cannot be JSON.
pub fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut out = serialize(value, PrettyFormatter::new())?;
    out.push(b'\n');
    Ok(out)
}

/// The document as JSON on one line, without a final newline; the same names and numbers as
/// [`to_json`].
///
/// # Errors
/// [`Error::Encode`] when the value cannot be JSON.
pub fn to_json_line<T: Serialize>(value: &T) -> Result<String> {
    String::from_utf8(serialize(value, CompactFormatter)?).map_err(|e| Error::encode("JSON")(e.to_string()))
}

fn serialize<T: Serialize>(value: &T, layout: impl Formatter) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, FiveDigits(layout));
    value.serialize(&mut serializer).map_err(|e| Error::encode("JSON")(e.to_string()))?;
    Ok(out)
}

/// Lays out as the formatter inside does and rounds floats.
struct FiveDigits<F>(F);

impl<F: Formatter> Formatter for FiveDigits<F> {
    fn write_f64<W: ?Sized + Write>(&mut self, w: &mut W, value: f64) -> io::Result<()> {
        self.0.write_f64(w, five_digits(value))
    }

    fn write_f32<W: ?Sized + Write>(&mut self, w: &mut W, value: f32) -> io::Result<()> {
        self.0.write_f64(w, five_digits(f64::from(value)))
    }

    fn begin_array<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_array(w)
    }

    fn end_array<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_array(w)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(w, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_array_value(w)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_object(w)
    }

    fn end_object<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_object(w)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(w, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_object_value(w)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_object_value(w)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_significant_digits_whatever_the_size() {
        assert_eq!(five_digits(123456.0), 123460.0);
        assert_eq!(five_digits(-0.000123456), -0.00012346);
        assert_eq!(five_digits(1.0 / 3.0), 0.33333);
        assert_eq!(five_digits(0.999996), 1.0);
        assert_eq!(five_digits(7.0), 7.0);
        assert!(five_digits(-0.0).is_sign_positive());
        assert!(five_digits(f64::NAN).is_nan());
    }

    #[test]
    fn json_rounds_floats_and_leaves_integers() {
        let text = String::from_utf8(to_json(&(0.1 + 0.2, 1234567u32, f64::INFINITY)).unwrap()).unwrap();
        assert_eq!(text, "[\n  0.3,\n  1234567,\n  null\n]\n");
    }
    #[test]
    fn one_line_holds_the_same_numbers() {
        assert_eq!(to_json_line(&(0.1 + 0.2, -0.0, "a\nb", [1u8, 2])).unwrap(), r#"[0.3,0.0,"a\nb",[1,2]]"#);
    }
}
