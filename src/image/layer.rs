//! One layer blob: inflated, hashed and walked, on two threads beside the one that reads the archive.
//!
//! Inflating is the slow part (530 MB/s against 1,200 MB/s for hashing), therefore it has a thread of its own: 1.7 times as
//! fast as one after the other. Memory is bounded by the channels, whatever the layer's size.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::{Scope, ScopedJoinHandle};

use serde::{Deserialize, Serialize};

use super::chunk::{Chunk, ChunkReader, Pool, Sent, channel};
use super::fault::shown;
use super::inflate::{compression_of, decoder};
use super::listing::{Entries, Listing, Writer};
use super::media_type::Compression;
use super::paths::{PathFacts, Paths};
use super::tar::{BLOCK, Entry, TarError, TarReader, Time};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::limits;

/// What the entries of a layer say, as far as reproducibility is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerFacts {
    /// How many entries there are, whiteouts included, header extensions not.
    pub entries: u64,
    /// The latest modification time, in seconds since 1970.
    pub newest_mtime: Option<i64>,
    /// The earliest modification time, in seconds since 1970.
    pub oldest_mtime: Option<i64>,
    /// The latest of all times (modification, access, change) with its fraction: what BuildKit's clamp looks at.
    pub newest: Option<Time>,
    /// The path of the entry that [`Self::newest`] is of, escaped.
    pub newest_path: Option<String>,
    /// Entries against the epoch that was asked for, if one was.
    pub epoch: Option<EpochFacts>,
    /// Whether there is an entry `sys` at the top: the mount point that a rootful BuildKit leaves behind and a rootless one
    /// does not (moby/buildkit#6686).
    pub has_sys_dir: bool,
    /// Entries whose paths are odd.
    pub paths: PathFacts,
}

/// Entries of a layer against an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochFacts {
    /// The epoch, in seconds since 1970.
    pub epoch: i64,
    /// Entries of which some time is after it.
    pub later: u64,
    /// Entries modified before it: these keep their times in a rewrite.
    pub older: u64,
    /// The latest time of these, in seconds since 1970.
    #[serde(deserialize_with = "Option::deserialize")]
    pub newest_older: Option<i64>,
    /// The first entry that is later, escaped.
    pub first_later_path: Option<String>,
}

impl LayerFacts {
    fn new(epoch: Option<i64>) -> Self {
        Self {
            entries: 0,
            newest_mtime: None,
            oldest_mtime: None,
            newest: None,
            newest_path: None,
            epoch: epoch.map(|epoch| EpochFacts {
                epoch,
                later: 0,
                older: 0,
                newest_older: None,
                first_later_path: None,
            }),
            has_sys_dir: false,
            paths: PathFacts::default(),
        }
    }

    fn count(&mut self, entry: &Entry) {
        let mtime = entry.mtime.seconds;
        let newest = entry.newest();
        self.entries += 1;
        self.newest_mtime = Some(self.newest_mtime.map_or(mtime, |other| other.max(mtime)));
        self.oldest_mtime = Some(self.oldest_mtime.map_or(mtime, |other| other.min(mtime)));
        if self.newest.is_none_or(|other| newest > other) {
            self.newest = Some(newest);
            self.newest_path = Some(shown(&entry.path));
        }
        if let Some(facts) = &mut self.epoch {
            if newest.is_after(facts.epoch) {
                facts.later += 1;
                facts.first_later_path.get_or_insert_with(|| shown(&entry.path));
            }
            if mtime < facts.epoch {
                facts.older += 1;
                facts.newest_older = facts.newest_older.max(Some(mtime));
            }
        }
        self.has_sys_dir |= top_level_name(&entry.path) == b"sys";
    }

    /// The same facts against another epoch, where they tell it without the entries.
    pub(super) fn against(&self, epoch: Option<i64>) -> Option<Self> {
        let counted = match epoch {
            Some(epoch) if self.epoch.as_ref().is_none_or(|facts| facts.epoch != epoch) => {
                Some(self.count_against(epoch)?)
            }
            Some(_) => self.epoch.clone(),
            None => None,
        };
        Some(Self { epoch: counted, ..self.clone() })
    }

    /// How many entries are later or older than an epoch, if that holds for all of them or for none.
    fn count_against(&self, epoch: i64) -> Option<EpochFacts> {
        let none_later = !self.newest.is_some_and(|newest| newest.is_after(epoch));
        let none_older = self.oldest_mtime.is_none_or(|oldest| oldest >= epoch);
        let all_older = self.newest_mtime.is_none_or(|newest| newest < epoch);
        let older = if none_older { 0 } else { self.entries };
        (none_later && (none_older || all_older)).then_some(EpochFacts {
            epoch,
            later: 0,
            older,
            newest_older: if none_older { None } else { self.newest_mtime },
            first_later_path: None,
        })
    }
}

/// The path without what does not change its meaning: `./` and `/` in front, `/` behind.
fn top_level_name(mut path: &[u8]) -> &[u8] {
    while let Some(rest) = path.strip_prefix(b"./").or_else(|| path.strip_prefix(b"/")) {
        path = rest;
    }
    while let Some(rest) = path.strip_suffix(b"/") {
        path = rest;
    }
    path
}

/// What a layer blob holds.
#[derive(Debug, Clone)]
pub struct LayerContent {
    /// How it is compressed.
    pub compression: Compression,
    /// The digest of the tar inside.
    pub diff_id: Digest,
    /// The same in sha512, where the blob itself is named so.
    pub diff_id_512: Option<Digest>,
    /// The size of the tar inside, in bytes.
    pub uncompressed_size: u64,
    /// What its entries say.
    pub facts: Arc<LayerFacts>,
    /// The entries, where they were asked for.
    pub entries: Option<Entries>,
}

/// Why a blob is not a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The compressed bytes are damaged or cut off.
    #[error("{} data is damaged: {reason}", .compression.name())]
    Compressed {
        /// What it should be.
        compression: Compression,
        /// What the decoder says.
        reason: String,
    },
    /// It inflates to more than [`limits::LAYER_BYTES`].
    #[error("inflates to more than {} bytes", limits::LAYER_BYTES)]
    TooLarge,
    /// What is inside is not a tar.
    #[error("the tar inside is broken: {0}")]
    Tar(#[from] TarError),
}

/// Takes the compressed bytes of one layer, chunk by chunk.
pub struct LayerSink<'scope> {
    sender: SyncSender<Sent<LayerError>>,
    walker: ScopedJoinHandle<'scope, Result<LayerContent, LayerError>>,
}

impl<'scope> LayerSink<'scope> {
    /// Starts the threads.
    pub fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        pool: &'env Pool,
        compression: Compression,
        algorithm: Algorithm,
        epoch: Option<i64>,
        listing: Option<&Listing>,
    ) -> Self {
        let listing = listing.map(Listing::begin);
        let (sender, blob) = channel();
        let inflated = if compression == Compression::None {
            blob
        } else {
            let (sender, inflated) = channel();
            scope.spawn(move || {
                if let Err(error) = inflate(compression, blob, &sender, pool) {
                    // Nobody listens any more where the walker has failed first.
                    let _ = sender.send(Err(error));
                }
            });
            inflated
        };
        let walker = scope.spawn(move || walk(compression, algorithm, inflated, pool, epoch, listing));
        Self { sender, walker }
    }

    /// Hands over a chunk. Gives it back to the pool where the layer has already turned out to be broken.
    pub fn push(&self, chunk: Chunk, pool: &Pool) {
        if let Err(returned) = self.sender.send(Ok(chunk))
            && let Ok(chunk) = returned.0
        {
            pool.put(chunk);
        }
    }

    /// No more bytes follow: what was it?
    pub fn finish(self) -> Result<LayerContent, LayerError> {
        drop(self.sender);
        match self.walker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Inflates what `blob` brings into `sender`.
fn inflate(
    compression: Compression,
    blob: Receiver<Sent<LayerError>>,
    sender: &SyncSender<Sent<LayerError>>,
    pool: &Pool,
) -> Result<(), LayerError> {
    let damaged = |error: std::io::Error| LayerError::Compressed { compression, reason: error.to_string() };
    let blob = ChunkReader::new(blob, pool, |_| Ok(()));
    let mut decoder = decoder(compression, blob).map_err(damaged)?;
    loop {
        let mut chunk = pool.take();
        let filled = chunk.fill(|buffer| decoder.read(buffer)).map_err(damaged);
        if chunk.bytes().is_empty() || filled.is_err() {
            pool.put(chunk);
            return filled;
        }
        if sender.send(Ok(chunk)).is_err() {
            return Ok(());
        }
    }
}

/// Hashes the tar and walks its entries.
fn walk(
    compression: Compression,
    algorithm: Algorithm,
    inflated: Receiver<Sent<LayerError>>,
    pool: &Pool,
    epoch: Option<i64>,
    mut listing: Option<Writer>,
) -> Result<LayerContent, LayerError> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut long_hasher = (algorithm == Algorithm::Sha512).then(|| Hasher::new(algorithm));
    let mut size = 0_u64;
    let mut reader = ChunkReader::new(inflated, pool, |bytes: &[u8]| {
        hasher.update(bytes);
        if let Some(hasher) = &mut long_hasher {
            hasher.update(bytes);
        }
        size += bytes.len() as u64;
        if size > limits::LAYER_BYTES { Err(LayerError::TooLarge) } else { Ok(()) }
    });
    let mut facts = LayerFacts::new(epoch);
    let walked = walk_entries(&mut reader, &mut facts, listing.as_mut());
    // A broken stream shows as a broken tar as well; the stream is the cause.
    if let Some(error) = reader.into_failure() {
        return Err(error);
    }
    walked?;
    Ok(LayerContent {
        compression,
        diff_id: hasher.finish(),
        diff_id_512: long_hasher.map(Hasher::finish),
        uncompressed_size: size,
        facts: Arc::new(facts),
        entries: listing.map(Writer::finish),
    })
}

fn walk_entries(
    reader: &mut impl BufRead,
    facts: &mut LayerFacts,
    mut listing: Option<&mut Writer>,
) -> Result<(), TarError> {
    let mut tar = TarReader::of_layer(reader);
    let mut paths = Paths::default();
    while let Some(entry) = tar.next_entry()? {
        facts.count(&entry);
        paths.add(&entry);
        if let Some(listing) = &mut listing {
            listing.push(&entry);
        }
    }
    facts.paths = paths.finish();
    // What follows the end counts for the diff ID only.
    tar.drain().map(drop)
}

/// What the first bytes of a blob are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniffed {
    /// A layer, compressed as said.
    Layer(Compression),
    /// JSON, perhaps.
    Json,
    /// Neither.
    Other,
}

/// Tells a blob by its first bytes (all of them where there are fewer than a block).
pub fn sniff(start: &[u8]) -> Sniffed {
    let compression = compression_of(start);
    if compression != Compression::None {
        return Sniffed::Layer(compression);
    }
    if start.is_empty() || start.first_chunk::<BLOCK>().is_some_and(super::tar::is_header_or_end) {
        return Sniffed::Layer(Compression::None);
    }
    match start.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[') => Sniffed::Json,
        _ => Sniffed::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_told_by_their_first_bytes() {
        let mut named_like_json = tar::Header::new_ustar();
        named_like_json.set_path("{\"a\"}").unwrap();
        named_like_json.set_size(0);
        named_like_json.set_cksum();
        for (start, sniffed) in [
            (&b"\x1f\x8b\x08"[..], Sniffed::Layer(Compression::Gzip)),
            (b"\x28\xb5\x2f\xfd", Sniffed::Layer(Compression::Zstd)),
            (b"\x50\x2a\x4d\x18\x04", Sniffed::Layer(Compression::Zstd)),
            (b"", Sniffed::Layer(Compression::None)),
            (&[0; 1024], Sniffed::Layer(Compression::None)),
            (named_like_json.as_bytes(), Sniffed::Layer(Compression::None)),
            (b" \n{}", Sniffed::Json),
            (b"[]", Sniffed::Json),
            (b"hello", Sniffed::Other),
            (&[0; 511], Sniffed::Other),
        ] {
            assert_eq!(sniff(start), sniffed, "{start:?}");
        }
    }

    #[test]
    fn only_the_top_level_sys_counts() {
        for (path, is_sys) in [
            ("sys", true),
            ("sys/", true),
            ("./sys/", true),
            ("/sys", true),
            ("sys/fs", false),
            ("usr/sys", false),
            ("syst", false),
        ] {
            assert_eq!(top_level_name(path.as_bytes()) == b"sys", is_sys, "{path}");
        }
    }
}
