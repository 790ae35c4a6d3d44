//! Fields of binary formats that are known to move.

use std::collections::BTreeMap;

use chrono::DateTime;
use object::{Object as _, ObjectSection as _};

use super::Content;
use crate::diff::model::{Difference, Kind, Text};

/// Magic, flags, and two words that are either time and size of the source or a hash of it (PEP 552).
pub const PYC_HEADER: usize = 16;
/// The header of a SQLite database (fileformat2.html, section 1.3).
pub const SQLITE_HEADER: usize = 100;

fn word(bytes: &[u8], at: usize) -> [u8; 4] {
    let mut word = [0; 4];
    if let Some(found) = bytes.get(at..at + 4) {
        word.copy_from_slice(found);
    }
    word
}

fn little(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(word(bytes, at))
}

fn big(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(word(bytes, at))
}

fn date(seconds: u32) -> String {
    DateTime::from_timestamp(seconds.into(), 0)
        .map_or_else(|| seconds.to_string(), |date| date.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn field(content: &mut Content, name: &str, a: String, b: String) {
    if a != b {
        content.push(Difference::new(Kind::Value, a, b).at(name));
    }
}

/// Compiled Python: what of the source its header holds, and whether the code differs.
pub fn pyc(a: &[u8], b: &[u8], content: &mut Content) {
    field(content, "magic", hex::encode(&a[..4]), hex::encode(&b[..4]));
    let flags = |bytes: &[u8]| little(bytes, 4);
    field(content, "flags", flags(a).to_string(), flags(b).to_string());
    if flags(a) & 1 == 0 && flags(b) & 1 == 0 {
        field(content, "source mtime", date(little(a, 8)), date(little(b, 8)));
        field(content, "source size", little(a, 12).to_string(), little(b, 12).to_string());
    } else {
        field(content, "source hash", hex::encode(&a[8..16]), hex::encode(&b[8..16]));
    }
    if a[PYC_HEADER..] != b[PYC_HEADER..] {
        content.push(Difference::new(Kind::Content, "code", "other code").at("code"));
    }
}

/// A SQLite database: fields of its header, and whether more differs than these.
pub fn sqlite(a: &[u8], b: &[u8], content: &mut Content) {
    for (name, at) in [
        ("change counter", 24),
        ("pages", 28),
        ("free pages", 36),
        ("schema cookie", 40),
        ("user version", 60),
        ("application id", 68),
        ("valid for", 92),
        ("version of SQLite", 96),
    ] {
        field(content, name, big(a, at).to_string(), big(b, at).to_string());
    }
    if a[SQLITE_HEADER..] != b[SQLITE_HEADER..] {
        content.push(Difference::new(Kind::Content, "pages", "other pages").at("pages"));
    }
}

/// The header of a gzip: when, where and how it was packed.
pub fn gzip_header(a: &[u8], b: &[u8], content: &mut Content) {
    let shown = |bytes: &[u8]| match little(bytes, 4) {
        0 => "none".to_owned(),
        seconds => date(seconds),
    };
    field(content, "gzip mtime", shown(a), shown(b));
    let byte = |bytes: &[u8], at: usize| bytes.get(at).copied().unwrap_or_default().to_string();
    field(content, "gzip level", byte(a, 8), byte(b, 8));
    field(content, "gzip system", byte(a, 9), byte(b, 9));
    let name = |bytes: &[u8]| {
        let header = flate2::bufread::GzDecoder::new(bytes);
        let name = header.header().and_then(|header| header.filename().map(<[u8]>::to_vec));
        name.map(|name| Text::value(&name))
    };
    let (one, other) = (name(a), name(b));
    if one != other {
        content.push(Difference::of(Kind::Value, one, other).at("gzip name"));
    }
}

/// A program or library: its build id, and the sections that differ.
pub fn elf(a: &[u8], b: &[u8], content: &mut Content) {
    let (Ok(one), Ok(other)) = (object::File::parse(a), object::File::parse(b)) else {
        content.note = Some("cannot be looked into: its header is broken".to_owned());
        return;
    };
    let id = |file: &object::File<'_>| file.build_id().ok().flatten().map(|id| Text::from(hex::encode(id)));
    let (id_a, id_b) = (id(&one), id(&other));
    if id_a != id_b {
        content.push(Difference::of(Kind::Value, id_a, id_b).at("build id"));
    }
    let (sections_a, sections_b) = (sections(&one), sections(&other));
    let names: std::collections::BTreeSet<&Vec<u8>> = sections_a.keys().chain(sections_b.keys()).collect();
    for name in names {
        let shown = |sections: &BTreeMap<Vec<u8>, String>| sections.get(name).map(|text| Text::from(text.as_str()));
        let (one, other) = (shown(&sections_a), shown(&sections_b));
        if one != other {
            let kind = if one.is_some() && other.is_some() { Kind::Content } else { Kind::Missing };
            let place = Some(Text::value(&[b"section ", name.as_slice()].concat()));
            content.push(Difference { place, ..Difference::of(kind, one, other) });
        }
    }
}

/// Sections by name; of several of one name, all are told as one.
fn sections(file: &object::File<'_>) -> BTreeMap<Vec<u8>, String> {
    const MOST: usize = 4_096;
    let mut found: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    for section in file.sections().take(MOST) {
        let name = section.name_bytes().unwrap_or_default().to_vec();
        let data = section.data().unwrap_or_default();
        let shown = format!("{} bytes, {}", section.size(), crate::digest::Digest::of(data));
        found.entry(name).and_modify(|text| *text = format!("{text}; {shown}")).or_insert(shown);
    }
    found
}
