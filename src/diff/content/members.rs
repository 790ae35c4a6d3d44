//! Members of archives inside of a layer.

use std::collections::BTreeMap;
use std::io::{BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;
use object::read::archive::ArchiveFile;
use zip::ZipArchive;

use super::formats::Budget;
use crate::diff::compare::show_time;
use crate::diff::model::Kind;
use crate::digest::Digest;
use crate::image::tar::TarReader;
use crate::limits;

/// A member.
pub struct Member {
    /// Its name, as stored.
    pub name: Vec<u8>,
    /// What the archive says of it, in one order for all members of a format.
    pub facts: Vec<(Kind, String)>,
    /// The size of its content, in bytes.
    pub size: u64,
    /// The digest of its content, or what stands for one.
    pub digest: String,
    /// The content, where it is to be looked into.
    pub data: Option<Vec<u8>>,
}

impl Member {
    /// The content in words.
    pub fn shown(&self) -> String {
        format!("{} bytes, {}", self.size, self.digest)
    }
}

/// The members with keys that no two have in common: the name, and which one of that name it is.
pub fn numbered(members: Vec<Member>) -> Vec<(Vec<u8>, Member)> {
    let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let keyed = members.into_iter().map(|member| {
        let count = counts.entry(member.name.clone()).or_default();
        *count += 1;
        let key = [member.name.as_slice(), b"\0", &count.to_be_bytes()].concat();
        (key, member)
    });
    keyed.collect()
}

fn too_many(count: usize) -> Result<(), String> {
    if count > limits::LOOK_MEMBERS { Err(format!("more than {} members", limits::LOOK_MEMBERS)) } else { Ok(()) }
}

/// The members of a zip, inflated as far as the budget goes. The rest is compared by checksum.
pub fn of_zip(bytes: &[u8], budget: &mut Budget) -> Result<Vec<Member>, String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    too_many(archive.len())?;
    let mut members = Vec::new();
    for number in 0..archive.len() {
        let mut file = archive.by_index_raw(number).map_err(|error| error.to_string())?;
        let modified = file.last_modified().map(|time| {
            let (year, month, day) = (time.year(), time.month(), time.day());
            format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
        });
        let facts = vec![
            (Kind::Mtime, modified.unwrap_or_else(|| "none".to_owned())),
            (Kind::Mode, file.unix_mode().map_or_else(|| "none".to_owned(), |mode| format!("{mode:o}"))),
            (Kind::Compression, format!("{:?}", file.compression())),
            (Kind::Record, file.extra_data().map(hex::encode).unwrap_or_default()),
        ];
        let (name, size, crc) = (file.name_raw().to_vec(), file.size(), file.crc32());
        let mut raw = Vec::new();
        let fits = file.compressed_size() <= bytes.len() as u64;
        if fits {
            let most = bytes.len() as u64;
            file.by_ref().take(most).read_to_end(&mut raw).map_err(|error| error.to_string())?;
        }
        drop(file);
        let data = inflate_member(&mut archive, number, size, budget);
        let digest = data.as_ref().map_or_else(
            || format!("crc32 {crc:08x}, compressed {}", Digest::of(&raw)),
            |data| Digest::of(data).to_string(),
        );
        members.push(Member { name, facts, size, digest, data });
    }
    Ok(members)
}

fn inflate_member(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    number: usize,
    size: u64,
    budget: &mut Budget,
) -> Option<Vec<u8>> {
    if size > budget.bytes {
        return None;
    }
    let file = archive.by_index(number).ok()?;
    let mut data = Vec::new();
    // What it says of its size may be a lie.
    file.take(size + 1).read_to_end(&mut data).ok()?;
    budget.bytes -= size;
    (data.len() as u64 == size).then_some(data)
}

/// The members of a tar, with what is most often different in one.
pub fn of_tar(bytes: &[u8]) -> Result<Vec<Member>, String> {
    let mut tar = TarReader::of_layer(bytes);
    let mut members = Vec::new();
    while let Some(entry) = tar.next_entry().map_err(|error| error.to_string())? {
        too_many(members.len())?;
        let mut data = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match tar.read_data(&mut buffer).map_err(|error| error.to_string())? {
                0 => break,
                count => data.extend_from_slice(&buffer[..count]),
            }
        }
        let records = entry.records.iter().map(|record| [record.key.as_slice(), b"=", &record.value].concat());
        let facts = vec![
            (Kind::Type, char::from(entry.flag).to_string()),
            (Kind::Mode, format!("{:o}", entry.mode)),
            (Kind::Uid, entry.uid.to_string()),
            (Kind::Gid, entry.gid.to_string()),
            (Kind::Mtime, show_time(entry.mtime)),
            (Kind::Link, String::from_utf8_lossy(&entry.link).into_owned()),
            (Kind::Record, String::from_utf8_lossy(&records.collect::<Vec<_>>().join(&b'\n')).into_owned()),
        ];
        members.push(Member {
            name: entry.path,
            facts,
            size: data.len() as u64,
            digest: Digest::of(&data).to_string(),
            data: Some(data),
        });
    }
    Ok(members)
}

/// The members of an archive of `ar`.
pub fn of_ar(bytes: &[u8]) -> Result<Vec<Member>, String> {
    let archive = ArchiveFile::parse(bytes).map_err(|error| error.to_string())?;
    let mut members = Vec::new();
    for member in archive.members() {
        too_many(members.len())?;
        let member = member.map_err(|error| error.to_string())?;
        let data = member.data(bytes).map_err(|error| error.to_string())?;
        let number = |value: Option<u64>| value.map_or_else(|| "none".to_owned(), |value| value.to_string());
        let facts = vec![
            (Kind::Mtime, number(member.date())),
            (Kind::Uid, number(member.uid())),
            (Kind::Gid, number(member.gid())),
            (Kind::Mode, member.mode().map_or_else(|| "none".to_owned(), |mode| format!("{mode:o}"))),
        ];
        members.push(Member {
            name: member.name().to_vec(),
            facts,
            size: data.len() as u64,
            digest: Digest::of(data).to_string(),
            data: Some(data.to_vec()),
        });
    }
    Ok(members)
}

/// What is inside of a gzip; nothing where it is damaged, or more than the budget.
pub fn inflate(bytes: &[u8], budget: &mut Budget) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    MultiGzDecoder::new(BufReader::new(bytes)).take(budget.bytes + 1).read_to_end(&mut data).ok()?;
    let is_within = data.len() as u64 <= budget.bytes;
    budget.bytes = budget.bytes.saturating_sub(data.len() as u64);
    is_within.then_some(data)
}
