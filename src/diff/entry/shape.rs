//! How an entry is stored: all bytes of its headers that its values do not tell.
//!
//! Two tars may say the same in other bytes: numbers with blanks or zeros, a long name in an extension of GNU's or in a PAX
//! record, rubbish behind the end of a name. Their digests differ, so somebody will ask why.

use std::io::{self, Read, Write};
use std::ops::Range;

use super::super::read::sha256_of;
use super::{EntryFacts, get, get_bytes, put_bytes};
use crate::digest::{Algorithm, Hasher};
use crate::image::tar::{BLOCK, Entry, Headers, Record, parse_records, text};

const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const MAGIC: Range<usize> = 257..265;
const UNAME: Range<usize> = 265..297;
const GNAME: Range<usize> = 297..329;
/// Where a header of GNU has its access and change time.
const GNU_TIMES: Range<usize> = 345..369;
/// Where a header of star has them.
const STAR_TIMES: Range<usize> = 476..500;

/// How an entry is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// The header block, with its runs of zeros packed; empty once it was compared.
    packed: Vec<u8>,
    /// The type flags of the extensions before it.
    extensions: Vec<u8>,
    /// The digest of the rest: extensions but for what they say, padding.
    rest: [u8; 32],
    /// The digest of the map of a sparse file and of global headers, as they came.
    others: Vec<u8>,
}

/// A header block.
pub struct Block(Vec<u8>);

impl Block {
    fn field(&self, range: Range<usize>) -> &[u8] {
        self.0.get(range).unwrap_or_default()
    }

    fn magic(&self) -> &'static str {
        match (self.field(257..263), self.field(263..265), self.field(508..512)) {
            (b"ustar\0", _, b"tar\0") => "star",
            (b"ustar\0", ..) => "ustar",
            (b"ustar ", b" \0", _) => "GNU",
            _ => "V7",
        }
    }

    /// The name of the owner.
    pub fn uname(&self) -> &[u8] {
        if self.magic() == "V7" { b"" } else { text(self.field(UNAME)) }
    }

    /// The name of the group.
    pub fn gname(&self) -> &[u8] {
        if self.magic() == "V7" { b"" } else { text(self.field(GNAME)) }
    }

    /// The numbers of a device.
    pub fn device(&self) -> (i64, i64) {
        (octal(self.field(329..337)), octal(self.field(337..345)))
    }
}

impl Shape {
    /// How the entry is stored, and its header block.
    pub fn new(entry: &Entry, headers: &Headers) -> (Self, Block) {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let (mut extensions, mut frames) = (Vec::new(), Vec::new());
        let mut blocks = headers.blocks.as_slice();
        while let Some((block, after)) = blocks.split_first_chunk::<BLOCK>() {
            let flag = block[156];
            if !matches!(flag, b'x' | b'L' | b'K') {
                break;
            }
            let size = usize::try_from(octal(&block[SIZE])).unwrap_or(usize::MAX).min(after.len());
            let (data, after) = after.split_at(size);
            let mut frame = *block;
            frame[SIZE].fill(0);
            frame[CHECKSUM].fill(0);
            frames.push(frame);
            // Of two extensions of a kind only one counts: what the other says is in no value.
            let is_told = !extensions.contains(&flag) && !entry.is_ambiguous;
            hasher.update(if is_told { untold(flag, data) } else { data });
            extensions.push(flag);
            blocks = after;
        }
        if headers.padding.iter().any(|byte| *byte != 0) {
            hasher.update(&headers.padding);
        }
        for mut frame in frames {
            // Some writers give an extension the time of its entry, which is told there.
            if blocks.get(MTIME) == Some(&frame[MTIME]) {
                frame[MTIME].fill(0);
            }
            hasher.update(&frame);
        }
        let block = Block(blocks.get(..BLOCK).unwrap_or(blocks).to_vec());
        let others = headers.others.as_ref().map(|digest| digest.hex().as_bytes().to_vec()).unwrap_or_default();
        (Self { packed: pack(&block.0), extensions, rest: sha256_of(hasher), others }, block)
    }

    fn block(&self) -> Block {
        Block(unpack(&self.packed))
    }

    /// The form of tar, with the extensions in front: `ustar`, `GNU+L`, `ustar+x`.
    fn format(&self, block: &Block) -> String {
        let mut format = block.magic().to_owned();
        if !self.extensions.is_empty() {
            format.push('+');
            format.extend(self.extensions.iter().map(|flag| char::from(*flag)));
        }
        format
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        self.packed.len() + self.extensions.len() + self.others.len()
    }

    /// Lets go of what is needed no more.
    pub fn forget(&mut self) {
        self.packed = Vec::new();
    }

    /// Writes it for [`Self::read`].
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        put_bytes(out, &self.packed)?;
        put_bytes(out, &self.extensions)?;
        put_bytes(out, &self.others)?;
        out.write_all(&self.rest)
    }

    /// Reads what was written.
    pub fn read(input: &mut impl Read) -> io::Result<Self> {
        let packed = get_bytes(input)?;
        Ok(Self { packed, extensions: get_bytes(input)?, others: get_bytes(input)?, rest: get(input)? })
    }
}

type Found = (&'static str, Vec<u8>, Vec<u8>);

/// The first part of the headers of two entries that differs without any value of theirs being the reason; the parts, raw.
pub fn first_difference(a: &EntryFacts, b: &EntryFacts) -> Option<Found> {
    // Nothing to look for, which is by far the most frequent case when only the contents differ.
    if a.shape == b.shape && a.records == b.records {
        return None;
    }
    let (one, other) = (a.shape.block(), b.shape.block());
    let (format_a, format_b) = (a.shape.format(&one), b.shape.format(&other));
    if format_a != format_b {
        return Some(("format", format_a.into_bytes(), format_b.into_bytes()));
    }
    let found = field_differs(a, b, &one, &other).or_else(|| records_differ(a, b));
    if found.is_some() {
        return found;
    }
    // Only a checksum that is told in another way is left when all that it is made of is equal.
    let without = |block: &Block| [block.field(0..148), block.field(156..BLOCK)].concat();
    if one.field(CHECKSUM) != other.field(CHECKSUM) && without(&one) == without(&other) {
        return Some(("checksum", one.field(CHECKSUM).to_vec(), other.field(CHECKSUM).to_vec()));
    }
    (a.shape.rest != b.shape.rest || a.shape.others != b.shape.others).then(|| ("extensions", Vec::new(), Vec::new()))
}

/// Fields of two header blocks of one format.
fn field_differs(a: &EntryFacts, b: &EntryFacts, one: &Block, other: &Block) -> Option<Found> {
    let is_same_path = a.path == b.path;
    let is_same_time = a.atime == b.atime && a.ctime == b.ctime;
    let times = if one.magic() == "star" { STAR_TIMES } else { GNU_TIMES };
    let has_times = matches!(one.magic(), "star" | "GNU");
    let fields = [
        ("name", 0..100, is_same_path),
        ("mode", 100..108, a.mode == b.mode),
        ("uid", 108..116, a.uid == b.uid),
        ("gid", 116..124, a.gid == b.gid),
        ("size", SIZE, a.size == b.size),
        ("mtime", MTIME, a.mtime == b.mtime),
        ("type", 156..157, a.kind == b.kind),
        ("linkname", 157..257, a.link == b.link),
        ("magic", MAGIC, true),
        ("uname", UNAME, a.uname == b.uname),
        ("gname", GNAME, a.gname == b.gname),
        ("devices", 329..345, a.device == b.device),
        ("times", times.clone(), has_times && is_same_time),
    ];
    for (name, range, is_same) in fields {
        let (raw_a, raw_b) = (one.field(range.clone()), other.field(range));
        if is_same && raw_a != raw_b {
            return Some((name, raw_a.to_vec(), raw_b.to_vec()));
        }
    }
    let end = |block: &Block| {
        let mut header = block.0.clone();
        if has_times && let Some(field) = header.get_mut(times.clone()) {
            field.fill(0);
        }
        // A path that differs may stand in the prefix, too.
        let start = if is_same_path || one.magic() == "GNU" { 345 } else { 500 };
        header.get(start..).unwrap_or_default().to_vec()
    };
    (end(one) != end(other)).then(|| ("end", end(one), end(other)))
}

/// Whether what stands beside the content of a sparse file differs: where its holes are.
pub fn maps_differ(a: &EntryFacts, b: &EntryFacts) -> bool {
    a.shape.others != b.shape.others || a.shape.block().field(386..496) != b.shape.block().field(386..496)
}

/// Keys of records whose values are facts of their own, and whether that fact is the same.
fn own_fact(key: &[u8], a: &EntryFacts, b: &EntryFacts) -> Option<bool> {
    Some(match key {
        b"path" => a.path == b.path,
        b"linkpath" => a.link == b.link,
        b"mtime" => a.mtime == b.mtime,
        b"atime" => a.atime == b.atime,
        b"ctime" => a.ctime == b.ctime,
        b"uid" => a.uid == b.uid,
        b"gid" => a.gid == b.gid,
        b"size" => a.size == b.size,
        b"uname" => a.uname == b.uname,
        b"gname" => a.gname == b.gname,
        _ => return None,
    })
}

/// Whether a record of this key is told by a value of the entry.
pub fn is_own_fact(key: &[u8], entry: &EntryFacts) -> bool {
    own_fact(key, entry, entry).is_some()
}

/// Records that say the same in another way: times with other digits, in another order, or twice.
fn records_differ(a: &EntryFacts, b: &EntryFacts) -> Option<Found> {
    let told = |records: &[Record]| -> Vec<u8> {
        let last = |record: &Record| records.iter().rfind(|other| other.key == record.key) == Some(record);
        let is_value = |record: &&Record| match own_fact(&record.key, a, b) {
            Some(is_same) => !is_same,
            None => last(record),
        };
        // Values that differ are told as such; that they stand there, and where, is compared here.
        let shown = records.iter().map(|record| {
            let value = if is_value(&record) { b"" } else { record.value.as_slice() };
            [record.key.as_slice(), b"=", value].concat()
        });
        shown.collect::<Vec<_>>().join(&b'\n')
    };
    // What only one side has of the other records is a difference of its own.
    let both = |records: &[Record], others: &[Record]| -> Vec<Record> {
        let is_kept = |record: &&Record| {
            own_fact(&record.key, a, b) == Some(true) || others.iter().any(|other| other.key == record.key)
        };
        records.iter().filter(is_kept).cloned().collect()
    };
    let (one, other) = (told(&both(&a.records, &b.records)), told(&both(&b.records, &a.records)));
    (one != other).then_some(("records", one, other))
}

/// What an extension holds beside what it says.
fn untold(flag: u8, data: &[u8]) -> &[u8] {
    match flag {
        b'x' => {
            let is_plain = parse_records(data)
                .is_ok_and(|records| records.iter().map(written_length).sum::<usize>() == data.len());
            if is_plain { b"" } else { data }
        }
        _ => &data[text(data).len()..],
    }
}

/// How long a record is with its length in as few digits as can be. Any other way to write one is longer.
fn written_length(record: &Record) -> usize {
    let rest = record.key.len() + record.value.len() + 3;
    (1..20).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length).unwrap_or_default()
}

/// A number of a header that was found to be one before; those in base 256 by their low bytes.
fn octal(field: &[u8]) -> i64 {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        let low = field.iter().rev().take(7).rev();
        return low.fold(0, |value, byte| value << 8 | i64::from(*byte));
    }
    let digits =
        field.iter().skip_while(|byte| matches!(byte, b' ' | 0)).take_while(|byte| (b'0'..=b'7').contains(*byte));
    digits.fold(0_i64, |value, digit| value.wrapping_mul(8).wrapping_add(i64::from(digit - b'0')))
}

/// Header blocks are mostly zeros: each run of them becomes a zero and its length.
fn pack(header: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(160);
    let mut at = 0;
    while at < header.len() {
        packed.push(header[at]);
        if header[at] == 0 {
            let run = header[at..].iter().take(255).take_while(|byte| **byte == 0).count();
            packed.push(u8::try_from(run).unwrap_or(u8::MAX));
            at += run;
        } else {
            at += 1;
        }
    }
    packed
}

fn unpack(packed: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(BLOCK);
    let mut bytes = packed.iter();
    while let Some(byte) = bytes.next() {
        let run = if *byte == 0 { bytes.next().copied().unwrap_or_default().into() } else { 1 };
        header.resize(header.len() + run, *byte);
    }
    header
}
