//! Two entries of one path, compared value by value.

use chrono::DateTime;

use super::entry::{EntryFacts, EntryType, is_own_fact, key_of, maps_differ, shape_difference};
use super::ignore::{Ignore, Switch};
use super::model::{Difference, Kind, Text};
use crate::image::tar::Time;

/// The bits of a mode that mean something to an engine.
const MODE_BITS: i64 = 0o7777;

/// All that differs between two entries of one path.
pub fn compare(a: &EntryFacts, b: &EntryFacts, ignore: Ignore) -> Vec<Difference> {
    let mut found = Vec::new();
    spelling(a, b, ignore, &mut found);
    let is_same_type = a.kind == b.kind;
    if !is_same_type {
        found.push(Difference::new(Kind::Type, a.kind.name(), b.kind.name()));
    }
    mode(a, b, ignore, &mut found);
    numbers(Kind::Uid, a.uid, b.uid, &mut found);
    numbers(Kind::Gid, a.gid, b.gid, &mut found);
    texts(Kind::Uname, &a.uname, &b.uname, &mut found);
    texts(Kind::Gname, &a.gname, &b.gname, &mut found);
    for (kind, one, other) in
        [(Kind::Mtime, Some(a.mtime), Some(b.mtime)), (Kind::Atime, a.atime, b.atime), (Kind::Ctime, a.ctime, b.ctime)]
    {
        if one != other {
            let shown = |time: Option<Time>| time.map(|time| Text::from(show_time(time)));
            found.push(Difference::of(kind, shown(one), shown(other)));
        }
    }
    // What a file holds and where a link leads to are no answer to each other.
    if is_same_type {
        links(a, b, ignore, &mut found);
        if a.device != b.device {
            let shown = |facts: &EntryFacts| facts.device.map(|(major, minor)| Text::from(format!("{major}:{minor}")));
            found.push(Difference::of(Kind::Device, shown(a), shown(b)));
        }
        if (a.size, a.sha256) != (b.size, b.sha256) {
            found.push(Difference::new(Kind::Content, show_content(a), show_content(b)));
        }
        if a.kind == EntryType::Sparse && maps_differ(a, b) {
            found.push(Difference::new(Kind::Content, "holes", "other holes").at("the map of a sparse file"));
        }
    }
    records(a, b, &mut found);
    if let Some((place, one, other)) = shape_difference(a, b) {
        let value = |bytes: &[u8]| (!bytes.is_empty()).then(|| Text::value(bytes));
        found.push(Difference::of(Kind::TarFormat, value(&one), value(&other)).at(place));
    }
    for difference in &mut found {
        difference.ignored_by = difference.ignored_by.or_else(|| ignore.of_entry(difference));
    }
    found
}

fn spelling(a: &EntryFacts, b: &EntryFacts, ignore: Ignore, found: &mut Vec<Difference>) {
    // Whether a slash ends the path of a directory is a matter of its type.
    let without_end = |path: &[u8]| path.strip_suffix(b"/").unwrap_or(path).to_vec();
    let is_same = if a.kind == b.kind { a.path == b.path } else { without_end(&a.path) == without_end(&b.path) };
    if !is_same {
        let is_canonical = canonical(&a.path) == canonical(&b.path);
        let switch = (ignore.canonical_paths && is_canonical).then_some(Switch::TreatCanonicalPathsEqual);
        let difference = Difference::of(Kind::Spelling, Some(Text::whole(&a.path)), Some(Text::whole(&b.path)));
        found.push(difference.ignored(switch));
    }
}

/// As diffoci has it: at most one slash, then at most one `./`, are taken off the front.
fn canonical(path: &[u8]) -> &[u8] {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    path.strip_prefix(b"./").unwrap_or(path)
}

fn mode(a: &EntryFacts, b: &EntryFacts, ignore: Ignore, found: &mut Vec<Difference>) {
    if a.mode != b.mode {
        let is_redundant = a.mode & MODE_BITS == b.mode & MODE_BITS;
        let switch = (ignore.file_mode_redundant_bits && is_redundant).then_some(Switch::IgnoreFileModeRedundantBits);
        let shown = |mode: i64| format!("{mode:04o}");
        found.push(Difference::new(Kind::Mode, shown(a.mode), shown(b.mode)).ignored(switch));
    }
}

fn numbers(kind: Kind, a: i64, b: i64, found: &mut Vec<Difference>) {
    if a != b {
        found.push(Difference::new(kind, a.to_string(), b.to_string()));
    }
}

fn texts(kind: Kind, a: &[u8], b: &[u8], found: &mut Vec<Difference>) {
    if a != b {
        found.push(Difference::of(kind, Some(Text::value(a)), Some(Text::value(b))));
    }
}

fn links(a: &EntryFacts, b: &EntryFacts, ignore: Ignore, found: &mut Vec<Difference>) {
    if a.link != b.link {
        // The target of a hard link is a path of the archive; that of a symbolic one is not, and diffoci takes it for one.
        let is_path = a.kind == EntryType::HardLink && key_of(&a.link) == key_of(&b.link);
        let is_canonical = is_path && canonical(&a.link) == canonical(&b.link);
        let switch = (ignore.canonical_paths && is_canonical).then_some(Switch::TreatCanonicalPathsEqual);
        let shown = |link: &[u8]| Some(Text::value(link));
        found.push(Difference::of(Kind::Link, shown(&a.link), shown(&b.link)).ignored(switch));
    }
}

/// PAX records that no other value tells, such as extended attributes: the last of a key counts.
fn records(a: &EntryFacts, b: &EntryFacts, found: &mut Vec<Difference>) {
    let keys: std::collections::BTreeSet<&[u8]> =
        a.records.iter().chain(&b.records).map(|record| record.key.as_slice()).collect();
    for key in keys.into_iter().filter(|key| !is_own_fact(key, a)) {
        let last = |facts: &EntryFacts| {
            facts.records.iter().rfind(|record| record.key == key).map(|record| record.value.clone())
        };
        let (one, other) = (last(a), last(b));
        if one != other {
            let shown = |value: Option<Vec<u8>>| value.map(|value| Text::value(&value));
            let place = Text::value(key);
            found.push(Difference { place: Some(place), ..Difference::of(Kind::Record, shown(one), shown(other)) });
        }
    }
}

/// An entry that only one side has.
pub fn missing(a: Option<&EntryFacts>, b: Option<&EntryFacts>) -> Difference {
    let shown = |facts: Option<&EntryFacts>| facts.map(|facts| Text::from(facts.kind.name()));
    Difference::of(Kind::Missing, shown(a), shown(b))
}

fn show_content(facts: &EntryFacts) -> String {
    format!("{} bytes, sha256:{}", facts.size, hex::encode(facts.sha256))
}

/// A time in RFC 3339 with as many digits of the fraction as it has.
pub fn show_time(time: Time) -> String {
    let Some(date) = DateTime::from_timestamp(time.seconds, 0) else {
        return format!("{}.{:09} s", time.seconds, time.nanos);
    };
    let date = date.format("%Y-%m-%dT%H:%M:%S");
    if time.nanos == 0 {
        return format!("{date}Z");
    }
    let fraction = format!("{:09}", time.nanos);
    format!("{date}.{}Z", fraction.trim_end_matches('0'))
}
