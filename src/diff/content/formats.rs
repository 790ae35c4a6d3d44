//! Which format a file has, and what is looked at in it.

use super::members::{self, Member};
use super::{Content, Format, binary, first_of, packages, strings, text};
use crate::diff::model::{Difference, Kind, Text};
use crate::limits;

/// What is left to be inflated, and how deep this is.
pub struct Budget {
    /// Bytes that may still be inflated.
    pub bytes: u64,
    /// How many archives are around this.
    pub depth: usize,
}

/// What `bytes` at `path` are.
fn format_of(path: &[u8], bytes: &[u8]) -> Format {
    let ends = |suffix: &[u8]| path.ends_with(suffix);
    match bytes {
        _ if ends(b"var/lib/dpkg/status") || path.windows(22).any(|it| it == b"var/lib/dpkg/status.d/") => {
            Format::DpkgStatus
        }
        _ if ends(b"lib/apk/db/installed") => Format::ApkInstalled,
        [0x1f, 0x8b, 8, ..] => Format::Gzip,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Format::Zip,
        [0x7f, b'E', b'L', b'F', ..] => Format::Elf,
        _ if bytes.starts_with(b"!<arch>\n") => Format::Ar,
        _ if bytes.starts_with(b"SQLite format 3\0") && bytes.len() >= binary::SQLITE_HEADER => Format::Sqlite,
        _ if ends(b".pyc") && bytes.len() >= binary::PYC_HEADER && bytes[2..4] == *b"\r\n" => Format::Pyc,
        _ if bytes.get(257..262) == Some(b"ustar") => Format::Tar,
        _ if text::is_text(bytes) => Format::Text,
        _ => Format::Binary,
    }
}

/// Looks into two contents of one path.
pub fn look(path: &[u8], a: &[u8], b: &[u8], budget: &mut Budget) -> Content {
    let (format, other) = (format_of(path, a), format_of(path, b));
    let mut content = Content::new(format, Some(first_of(a, b)));
    if format != other {
        return content.noted(format!("the second is {}", other.name()));
    }
    match format {
        Format::Text => text::compare(a, b, &mut content),
        Format::DpkgStatus | Format::ApkInstalled => {
            packages::compare(format, a, b, &mut content);
            if content.parts.is_empty() {
                text::compare(a, b, &mut content);
            }
        }
        Format::Pyc => {
            binary::pyc(a, b, &mut content);
            strings::compare(a, b, &mut content);
        }
        Format::Sqlite => binary::sqlite(a, b, &mut content),
        Format::Elf => {
            binary::elf(a, b, &mut content);
            strings::compare(a, b, &mut content);
        }
        Format::Gzip => gzip(path, a, b, budget, &mut content),
        Format::Zip | Format::Tar | Format::Ar => archive(format, a, b, budget, &mut content),
        Format::Binary => strings::compare(a, b, &mut content),
    }
    content
}

fn archive(format: Format, a: &[u8], b: &[u8], budget: &mut Budget, content: &mut Content) {
    if budget.depth >= limits::LOOK_DEPTH {
        content.note = Some(format!("archives are looked into {} deep", limits::LOOK_DEPTH));
        return;
    }
    let mut read = |bytes| match format {
        Format::Zip => members::of_zip(bytes, budget),
        Format::Tar => members::of_tar(bytes),
        _ => members::of_ar(bytes),
    };
    match (read(a), read(b)) {
        (Ok(one), Ok(other)) => compare_members(one, other, budget, content),
        (Err(why), _) | (_, Err(why)) => content.note = Some(format!("cannot be looked into: {why}")),
    }
}

/// Members by their names; those of one name by their order.
fn compare_members(a: Vec<Member>, b: Vec<Member>, budget: &mut Budget, content: &mut Content) {
    let (mut a, mut b) = (members::numbered(a), members::numbered(b));
    let order = |one: &[(Vec<u8>, Member)], other: &std::collections::BTreeSet<Vec<u8>>| -> Vec<Vec<u8>> {
        one.iter().map(|(key, _)| key.clone()).filter(|key| other.contains(key)).collect()
    };
    let keys = |of: &[(Vec<u8>, Member)]| of.iter().map(|(key, _)| key.clone()).collect();
    if order(&a, &keys(&b)) != order(&b, &keys(&a)) {
        content.push(Difference::of(Kind::Order, None, Some("the same members in another order".into())));
    }
    a.sort_by(|one, other| one.0.cmp(&other.0));
    b.sort_by(|one, other| one.0.cmp(&other.0));
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    loop {
        let (take_a, take_b) = match (a.peek(), b.peek()) {
            (None, None) => break,
            (Some(_), None) => (true, false),
            (None, Some(_)) => (false, true),
            (Some(one), Some(other)) => (one.0 <= other.0, one.0 >= other.0),
        };
        let one = if take_a { a.next() } else { None };
        let other = if take_b { b.next() } else { None };
        match (one, other) {
            (Some((_, one)), Some((_, other))) => compare_member(&one, &other, budget, content),
            (one, other) => {
                let name = one.as_ref().or(other.as_ref()).map(|(_, member)| member.name.clone()).unwrap_or_default();
                let shown = |member: &Option<(Vec<u8>, Member)>| member.as_ref().map(|_| Text::from("a member"));
                let difference = Difference::of(Kind::Missing, shown(&one), shown(&other));
                content.push(Difference { place: Some(Text::value(&name)), ..difference });
            }
        }
    }
}

fn compare_member(a: &Member, b: &Member, budget: &mut Budget, content: &mut Content) {
    let place = || Some(Text::value(&a.name));
    // Both have the same facts in the same order: they are of one format.
    for ((kind, one), (_, other)) in a.facts.iter().zip(&b.facts).filter(|((_, one), (_, other))| one != other) {
        content.push(Difference { place: place(), ..Difference::new(*kind, one.as_str(), other.as_str()) });
    }
    if a.digest == b.digest {
        return;
    }
    content.push(Difference { place: place(), ..Difference::new(Kind::Content, a.shown(), b.shown()) });
    let (Some(one), Some(other)) = (&a.data, &b.data) else { return };
    budget.depth += 1;
    let inside = look(&a.name, one, other, budget);
    budget.depth -= 1;
    content.leave_out(&inside);
    for part in inside.parts {
        let inner = part.place.as_ref().map(|place| place.bytes.as_slice()).unwrap_or_default();
        let whole = [a.name.as_slice(), b"!", inner].concat();
        content.push(Difference { place: Some(Text::value(&whole)), ..part });
    }
    if content.lines.len() < limits::LOOK_LINES && !inside.lines.is_empty() {
        content.lines.push(Text::value(&[b"in ", a.name.as_slice(), b":"].concat()));
        content.lines.extend(inside.lines);
        content.more_lines += inside.more_lines;
    }
}

/// The header, then what is inside.
fn gzip(path: &[u8], a: &[u8], b: &[u8], budget: &mut Budget, content: &mut Content) {
    binary::gzip_header(a, b, content);
    if budget.depth >= limits::LOOK_DEPTH {
        content.note = Some(format!("archives are looked into {} deep", limits::LOOK_DEPTH));
        return;
    }
    let (Some(one), Some(other)) = (members::inflate(a, budget), members::inflate(b, budget)) else {
        content.note = Some("cannot be inflated, or only to more than is looked into".to_owned());
        return;
    };
    if one == other {
        if content.parts.is_empty() {
            content.push(Difference::new(
                Kind::Compression,
                "the same content",
                "the same content, compressed in another way",
            ));
        }
        return;
    }
    let name = path.strip_suffix(b".gz").unwrap_or(path);
    budget.depth += 1;
    let inside = look(name, &one, &other, budget);
    budget.depth -= 1;
    content.push(Difference::new(Kind::Content, inside.format.name(), inside.format.name()).at("inside"));
    content.leave_out(&inside);
    inside.parts.into_iter().for_each(|part| content.push(part));
    (content.lines, content.more_lines) = (inside.lines, inside.more_lines);
}
