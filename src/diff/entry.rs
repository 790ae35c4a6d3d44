//! Entries of a layer with all that a tar says of them.

use std::io::{self, Read, Write};

use serde::{Serialize, Serializer};

use super::model::Text;
use crate::image::tar::{Entry, Headers, Record, Time};

mod shape;

pub(super) use shape::{Shape, first_difference as shape_difference, is_own_fact, maps_differ};

/// All that the tar says of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFacts {
    /// The path as stored.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryType,
    /// Its number in the layer, counted from 0.
    pub index: u64,
    /// The mode as stored: permissions, and whatever bits the writer set beside them.
    pub mode: i64,
    /// The number of the owner.
    pub uid: i64,
    /// The number of the group.
    pub gid: i64,
    /// The name of the owner.
    pub uname: Vec<u8>,
    /// The name of the group.
    pub gname: Vec<u8>,
    /// When the content was changed.
    pub mtime: Time,
    /// When it was read.
    pub atime: Option<Time>,
    /// When the inode was changed.
    pub ctime: Option<Time>,
    /// Where a link leads to.
    pub link: Vec<u8>,
    /// The numbers of a device.
    pub device: Option<(i64, i64)>,
    /// Bytes of content.
    pub size: u64,
    /// The sha256 of the content.
    pub sha256: [u8; 32],
    /// The PAX records, in their order.
    pub records: Vec<Record>,
    /// How it is stored. Not kept once the entry was compared.
    pub(super) shape: Shape,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryType {
    /// A regular file.
    File,
    /// Another name of a file before it.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// An empty file that takes away what lies below (image-spec layer.md, "Whiteouts").
    Whiteout,
    /// The same for all that a directory holds below.
    OpaqueWhiteout,
    /// A file with a map of its holes.
    Sparse,
    /// Anything else that a tar can hold.
    Other,
}

impl EntryType {
    const ALL: [Self; 11] = [
        Self::File,
        Self::HardLink,
        Self::Symlink,
        Self::Directory,
        Self::Character,
        Self::Block,
        Self::Fifo,
        Self::Whiteout,
        Self::OpaqueWhiteout,
        Self::Sparse,
        Self::Other,
    ];

    fn of(entry: &Entry) -> Self {
        let name = entry.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        match entry.flag {
            b'0' | 0 | b'7' if name == b".wh..wh..opq" => Self::OpaqueWhiteout,
            b'0' | 0 | b'7' if name.starts_with(b".wh.") => Self::Whiteout,
            b'0' | 0 | b'7' => Self::File,
            b'1' => Self::HardLink,
            b'2' => Self::Symlink,
            b'3' => Self::Character,
            b'4' => Self::Block,
            b'5' => Self::Directory,
            b'6' => Self::Fifo,
            b'S' => Self::Sparse,
            _ => Self::Other,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::HardLink => "hard link",
            Self::Symlink => "symbolic link",
            Self::Directory => "directory",
            Self::Character => "character device",
            Self::Block => "block device",
            Self::Fifo => "named pipe",
            Self::Whiteout => "whiteout",
            Self::OpaqueWhiteout => "opaque whiteout",
            Self::Sparse => "sparse file",
            Self::Other => "entry of another type",
        }
    }
}

impl Serialize for EntryFacts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Facts<'a> {
            #[serde(rename = "type")]
            kind: EntryType,
            path: Text,
            mode: String,
            uid: i64,
            gid: i64,
            size: u64,
            mtime: i64,
            sha256: Option<String>,
            link: Option<&'a Text>,
        }
        let link = (!self.link.is_empty()).then(|| Text::value(&self.link));
        Facts {
            kind: self.kind,
            path: Text::value(&self.path),
            mode: format!("{:o}", self.mode),
            uid: self.uid,
            gid: self.gid,
            size: self.size,
            mtime: self.mtime.seconds,
            sha256: self.has_content().then(|| hex::encode(self.sha256)),
            link: link.as_ref(),
        }
        .serialize(serializer)
    }
}

/// A path without what does not change its meaning: `./` and `/` in front, `/` behind.
pub(super) fn key_of(mut path: &[u8]) -> &[u8] {
    while let Some(rest) = path.strip_prefix(b"./").or_else(|| path.strip_prefix(b"/")) {
        path = rest;
    }
    while let Some(rest) = path.strip_suffix(b"/") {
        path = rest;
    }
    if path == b"." { b"" } else { path }
}

impl EntryFacts {
    /// The facts of an entry, with what stands around it in the tar, and the digest of its content.
    pub(super) fn new(entry: &Entry, headers: &Headers, index: u64, sha256: [u8; 32]) -> Self {
        let (shape, block) = Shape::new(entry, headers);
        let record = |key: &[u8]| {
            let last = entry.records.iter().rev().find(|record| record.key == key);
            last.map(|record| record.value.clone()).filter(|value| !value.is_empty())
        };
        Self {
            path: entry.path.clone(),
            kind: EntryType::of(entry),
            index,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            uname: record(b"uname").unwrap_or_else(|| block.uname().to_vec()),
            gname: record(b"gname").unwrap_or_else(|| block.gname().to_vec()),
            mtime: entry.mtime,
            atime: entry.atime,
            ctime: entry.ctime,
            link: entry.link.clone(),
            device: matches!(entry.flag, b'3' | b'4').then(|| block.device()),
            size: entry.size,
            sha256,
            records: entry.records.clone(),
            shape,
        }
    }

    /// An empty entry, for tests of what is said of it.
    #[cfg(test)]
    pub(super) fn plain(path: &[u8], kind: EntryType) -> Self {
        Self {
            path: path.to_vec(),
            kind,
            index: 0,
            mode: 0o644,
            uid: 0,
            gid: 0,
            uname: Vec::new(),
            gname: Vec::new(),
            mtime: Time { seconds: 0, nanos: 0 },
            atime: None,
            ctime: None,
            link: Vec::new(),
            device: None,
            size: 0,
            sha256: [0; 32],
            records: Vec::new(),
            shape: Shape::default(),
        }
    }

    /// The path without what does not change its meaning.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        key_of(&self.path)
    }

    /// Whether it is of a type that has content. Links have none, whatever they lead to.
    #[must_use]
    pub const fn has_content(&self) -> bool {
        matches!(
            self.kind,
            EntryType::File | EntryType::Sparse | EntryType::Other | EntryType::Whiteout | EntryType::OpaqueWhiteout
        )
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        put_bytes(out, &self.path)?;
        put_bytes(out, &self.link)?;
        put_bytes(out, &self.uname)?;
        put_bytes(out, &self.gname)?;
        let kind = EntryType::ALL.iter().zip(0_i64..).find(|(kind, _)| **kind == self.kind).map_or(0, |(_, at)| at);
        let device = self.device.unwrap_or_default();
        let numbers = [kind, self.mode, self.uid, self.gid, i64::from(self.device.is_some()), device.0, device.1];
        numbers.iter().try_for_each(|number| out.write_all(&number.to_le_bytes()))?;
        [self.index, self.size].iter().try_for_each(|number| out.write_all(&number.to_le_bytes()))?;
        for time in [Some(self.mtime), self.atime, self.ctime] {
            out.write_all(&[u8::from(time.is_some())])?;
            let time = time.unwrap_or(Time::from_seconds(0));
            out.write_all(&time.seconds.to_le_bytes())?;
            out.write_all(&time.nanos.to_le_bytes())?;
        }
        out.write_all(&self.sha256)?;
        out.write_all(&(self.records.len() as u64).to_le_bytes())?;
        for record in &self.records {
            put_bytes(out, &record.key)?;
            put_bytes(out, &record.value)?;
        }
        self.shape.write(out)
    }

    pub(super) fn read(input: &mut impl Read) -> io::Result<Self> {
        let (path, link) = (get_bytes(input)?, get_bytes(input)?);
        let (uname, gname) = (get_bytes(input)?, get_bytes(input)?);
        let mut numbers = [0; 7];
        for number in &mut numbers {
            *number = i64::from_le_bytes(get(input)?);
        }
        let [kind, mode, uid, gid, is_device, major, minor] = numbers;
        let (index, size) = (u64::from_le_bytes(get(input)?), u64::from_le_bytes(get(input)?));
        let mut times = [None; 3];
        for time in &mut times {
            let [is_there] = get(input)?;
            let (seconds, nanos) = (i64::from_le_bytes(get(input)?), u32::from_le_bytes(get(input)?));
            *time = (is_there != 0).then_some(Time { seconds, nanos });
        }
        let sha256 = get(input)?;
        let count = u64::from_le_bytes(get(input)?);
        let mut records = Vec::new();
        for _ in 0..count {
            records.push(Record { key: get_bytes(input)?, value: get_bytes(input)? });
        }
        let kind = usize::try_from(kind).ok().and_then(|kind| EntryType::ALL.get(kind)).copied();
        Ok(Self {
            path,
            kind: kind.unwrap_or(EntryType::Other),
            index,
            mode,
            uid,
            gid,
            uname,
            gname,
            mtime: times[0].unwrap_or(Time::from_seconds(0)),
            atime: times[1],
            ctime: times[2],
            link,
            device: (is_device != 0).then_some((major, minor)),
            size,
            sha256,
            records,
            shape: Shape::read(input)?,
        })
    }

    /// Lets go of how the entry is stored, once that was compared.
    pub(super) fn forget_shape(&mut self) {
        self.shape.forget();
    }

    /// The path and the number, with another number in the place of the size.
    pub(super) fn place_only(&self, number: u64) -> Self {
        Self {
            path: self.path.clone(),
            kind: EntryType::Other,
            index: self.index,
            mode: 0,
            uid: 0,
            gid: 0,
            uname: Vec::new(),
            gname: Vec::new(),
            mtime: Time::from_seconds(0),
            atime: None,
            ctime: None,
            link: Vec::new(),
            device: None,
            size: number,
            sha256: [0; 32],
            records: Vec::new(),
            shape: Shape::default(),
        }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let records: usize = self.records.iter().map(|record| record.key.len() + record.value.len() + 48).sum();
        let texts = [&self.path, &self.link, &self.uname, &self.gname];
        size_of::<Self>() + texts.iter().map(|text| text.len()).sum::<usize>() + records + self.shape.weight()
    }
}

pub(super) fn put_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&(bytes.len() as u64).to_le_bytes())?;
    out.write_all(bytes)
}

pub(super) fn get<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn get_bytes(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = u64::from_le_bytes(get(input)?);
    let mut bytes = Vec::new();
    input.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
