//! Reports as JSON, for machines. Each has a schema under `docs/schema/`.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use crate::image::escape::is_unprintable;

/// `report` as indented JSON with a newline at its end.
///
/// The text is plain to look at, too: a character that a terminal would act on is written as `\u…`, which JSON reads as that
/// very character.
pub fn render_json(report: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::new();
    write_json(report, &mut out)?;
    Ok(out)
}

/// The same, written to `out` as it comes.
pub fn write_json(report: &impl Serialize, out: &mut impl io::Write) -> Result<(), serde_json::Error> {
    report.serialize(&mut Serializer::with_formatter(&mut *out, Printable(PrettyFormatter::new())))?;
    out.write_all(b"\n").map_err(serde_json::Error::io)
}

struct Printable<'a>(PrettyFormatter<'a>);

impl Formatter for Printable<'_> {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unprintable) {
            let (printable, tail) = rest.split_at(at);
            writer.write_all(printable.as_bytes())?;
            let mut characters = tail.chars();
            if let Some(character) = characters.next() {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_fit_to_look_at_and_means_the_same() {
        let value = serde_json::json!({"a\u{9b}": ["\u{1b}\u{7f}\u{202e}\u{e0041}ä\"\\", {}, []]});
        let text = String::from_utf8(render_json(&value).unwrap()).unwrap();
        assert!(!text.contains(|character| is_unprintable(character) && character != '\n'), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        assert!(text.contains("\\u009b") && text.contains("\\udb40\\udc41") && text.contains('ä'));
    }
}
