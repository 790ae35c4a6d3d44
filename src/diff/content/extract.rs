//! Contents out of layers, read a second time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::FileExt as _;

use super::super::causes::Around;
use super::super::entry::{EntryFacts, EntryType};
use super::super::model::{EntryDifference, Kind};
use super::super::read::ReadError;
use super::super::walk::Files;
use super::{Content, Format, compare};
use crate::digest::Digest;
use crate::image::media_type::Compression;
use crate::image::tar::TarReader;
use crate::image::{Copies, decoder};
use crate::limits;

/// A layer of one side.
pub struct SideFiles<'a> {
    /// The copies of its blobs.
    pub copies: &'a Copies,
    /// The blob.
    pub blob: &'a (Digest, Compression),
}

/// Looks into contents, as many as the ceilings allow in all layers together.
pub struct Looker {
    files: usize,
    bytes: [u64; 2],
}

impl Default for Looker {
    fn default() -> Self {
        Self { files: limits::LOOK_FILES, bytes: [limits::LOOK_TOTAL_BYTES; 2] }
    }
}

/// What is wanted of an entry: whether its content is to be compared, and whether it is to be handed out.
#[derive(Debug, Clone, Copy)]
struct Want {
    is_looked_into: bool,
    is_handed_out: bool,
}

/// Contents in a temporary file: where each begins and how long it is, by the number of the entry.
#[derive(Default)]
struct Spool {
    file: Option<File>,
    parts: BTreeMap<u64, (u64, u64)>,
}

impl Looker {
    /// Looks into those of the entries that have a content on both sides and differ in it.
    pub fn look(
        &mut self,
        sides: &[SideFiles<'_>; 2],
        layer: (usize, usize),
        entries: &mut [EntryDifference],
        files: &mut Option<&mut dyn Files>,
    ) -> Result<(), ReadError> {
        let mut wanted: [BTreeMap<u64, Want>; 2] = Default::default();
        let partners = self.partners(entries);
        for entry in entries.iter_mut() {
            let is_partner =
                |facts: &EntryFacts| partners.iter().any(|(a, b)| [a.index, b.index].contains(&facts.index));
            let is_one_sided = entry.a.is_none() != entry.b.is_none();
            let is_looked_into =
                self.takes(entry) || is_one_sided && entry.a.as_ref().or(entry.b.as_ref()).is_some_and(is_partner);
            let is_content =
                entry.differences.iter().any(|it| matches!(it.kind, Kind::Content | Kind::Missing | Kind::Type));
            for (wanted, facts) in wanted.iter_mut().zip([&entry.a, &entry.b]) {
                let Some(facts) = facts.as_ref().filter(|facts| facts.has_content()) else { continue };
                let want = Want { is_looked_into, is_handed_out: files.is_some() && is_content };
                if want.is_looked_into || want.is_handed_out {
                    wanted.insert(facts.index, want);
                }
            }
        }
        let [side_a, side_b] = sides;
        let [wanted_a, wanted_b] = &wanted;
        let a = spool(side_a, wanted_a, layer, true, files)?;
        let b = spool(side_b, wanted_b, layer, false, files)?;
        for entry in entries {
            let partner = entry.a.as_ref().and_then(|facts| partners.iter().find(|(a, _)| a.index == facts.index));
            let other = entry.b.as_ref().or(partner.map(|(_, b)| b));
            let (Some(one), Some(other)) = (&entry.a, other) else { continue };
            let (Some(mut content_a), Some(mut content_b)) = (a.open(one.index), b.open(other.index)) else { continue };
            entry.content = Some(compare(&entry.path.bytes, &mut content_a, &mut content_b, (one.size, other.size))?);
        }
        Ok(())
    }

    /// Files whose names differ by what moves from build to build alone: each takes the place of the other one.
    fn partners(&mut self, entries: &[EntryDifference]) -> Vec<(EntryFacts, EntryFacts)> {
        const MOST: usize = 64;
        let names = Around::partners(entries);
        let find = |path: &[u8], is_first: bool| {
            let at = entries.binary_search_by(|entry| entry.path.bytes.as_slice().cmp(path)).ok()?;
            let facts = if is_first { entries[at].a.as_ref() } else { entries[at].b.as_ref() };
            facts.filter(|facts| facts.kind == EntryType::File && facts.size > 0).cloned()
        };
        let pairs = names.iter().filter_map(|(a, b)| Some((find(a, true)?, find(b, false)?)));
        let mut pairs: Vec<_> = pairs.filter(|(a, b)| a.sha256 != b.sha256).take(MOST.min(self.files)).collect();
        pairs.retain(|(a, b)| {
            let fits = self.files > 0 && a.size <= self.bytes[0] && b.size <= self.bytes[1];
            if fits {
                self.files -= 1;
                self.bytes[0] -= a.size;
                self.bytes[1] -= b.size;
            }
            fits
        });
        pairs
    }

    /// Whether an entry is looked into. Says in it why not, where its content differs.
    fn takes(&mut self, entry: &mut EntryDifference) -> bool {
        let (Some(a), Some(b)) = (&entry.a, &entry.b) else { return false };
        if !entry.differences.iter().any(|difference| difference.kind == Kind::Content) {
            return false;
        }
        let fits = self.files > 0 && a.size <= self.bytes[0] && b.size <= self.bytes[1];
        if fits {
            self.files -= 1;
            self.bytes[0] -= a.size;
            self.bytes[1] -= b.size;
        } else {
            let note = "not looked into: so many files differ";
            entry.content = Some(Content::new(Format::Binary, None).noted(note));
        }
        fits
    }
}

/// Reads what is wanted of a layer.
fn spool(
    side: &SideFiles<'_>,
    wanted: &BTreeMap<u64, Want>,
    layer: (usize, usize),
    is_first: bool,
    files: &mut Option<&mut dyn Files>,
) -> Result<Spool, ReadError> {
    let mut spool = Spool::default();
    let Some(last) = wanted.keys().next_back() else { return Ok(spool) };
    let stored = BufReader::with_capacity(limits::CHUNK_BYTES, side.copies.open(&side.blob.0)?);
    let inflated = BufReader::with_capacity(limits::CHUNK_BYTES, decoder(side.blob.1, stored)?);
    let mut tar = TarReader::of_layer(inflated);
    let mut number = 0;
    let mut end = 0;
    while let Some(entry) = tar.next_entry()? {
        if let Some(want) = wanted.get(&number) {
            let mut data = Data(&mut tar);
            if want.is_looked_into {
                let file = match &mut spool.file {
                    Some(file) => file,
                    none => none.insert(tempfile::tempfile()?),
                };
                let length = io::copy(&mut data, file)?;
                file.flush()?;
                spool.parts.insert(number, (end, length));
                end += length;
            }
            if want.is_handed_out
                && let Some(files) = files
            {
                match spool.open(number) {
                    Some(mut content) => files.file(is_first, layer, &entry.path, &mut content)?,
                    None => files.file(is_first, layer, &entry.path, &mut data)?,
                }
            }
        }
        if number == *last {
            break;
        }
        number += 1;
    }
    Ok(spool)
}

struct Data<'a, R>(&'a mut TarReader<R>);

impl<R: io::BufRead> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_data(buffer).map_err(io::Error::other)
    }
}

impl Spool {
    fn open(&self, number: u64) -> Option<Part<'_>> {
        let (start, size) = *self.parts.get(&number)?;
        Some(Part { file: self.file.as_ref()?, at: start, end: start + size })
    }
}

/// One content.
struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
