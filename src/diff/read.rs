//! One layer, read again: its entries sorted, and what of its tar is no entry.

use std::io::{self, BufReader};

use super::entry::EntryFacts;
use super::sort::{Sorted, Sorter};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::image::media_type::Compression;
use crate::image::tar::{BLOCK, TarError, TarReader};
use crate::image::{Copies, decoder};
use crate::limits;

/// Why a layer cannot be read again. It was read before and found sound, so this is the machine's fault.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Temporary files, or memory.
    #[error("the temporary file of a layer")]
    File(#[from] io::Error),
    /// What was a tar before is none now.
    #[error("a layer cannot be read again")]
    Tar(#[from] TarError),
}

/// A layer.
pub struct ReadLayer {
    /// Its entries, in the order of their paths.
    pub entries: Sorted,
    /// What stands behind the last one.
    pub tail: Tail,
}

/// The bytes behind the last entry: the end of the tar, and whatever a writer adds to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// How many they are.
    pub bytes: u64,
    /// Whether all of them are zero, as they should be.
    pub is_zero: bool,
    /// Their digest.
    pub sha256: String,
}

impl Tail {
    /// In words.
    pub fn shown(&self) -> String {
        let what = if self.is_zero { "zero bytes" } else { "bytes that are not all zero" };
        format!("{} {what} behind the last entry", self.bytes)
    }
}

/// Reads the layer in a blob.
pub fn read_layer(copies: &Copies, blob: &Digest, compression: Compression) -> Result<ReadLayer, ReadError> {
    let stored = BufReader::with_capacity(limits::CHUNK_BYTES, copies.open(blob)?);
    let inflated = BufReader::with_capacity(limits::CHUNK_BYTES, decoder(compression, stored)?);
    let mut tar = TarReader::of_layer(inflated).keeping_headers();
    let mut sorter = Sorter::default();
    let mut buffer = vec![0; limits::CHUNK_BYTES];
    let (mut index, mut padding) = (0, 0);
    while let Some(entry) = tar.next_entry()? {
        let headers = tar.take_headers();
        let mut hasher = Hasher::new(Algorithm::Sha256);
        loop {
            match tar.read_data(&mut buffer)? {
                0 => break,
                count => hasher.update(&buffer[..count]),
            }
        }
        sorter.push(EntryFacts::new(&entry, &headers, index, sha256_of(hasher)))?;
        index += 1;
        padding = entry.size.wrapping_neg() % BLOCK as u64;
    }
    let tail = read_tail(&mut tar, padding)?;
    Ok(ReadLayer { entries: sorter.finish()?, tail })
}

/// The end of a tar whose last entry was read: padding of that, the blocks of the end, and what follows them.
fn read_tail(tar: &mut TarReader<impl io::BufRead>, padding: u64) -> Result<Tail, TarError> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let (mut bytes, mut is_zero) = (0, true);
    let mut count = |part: &[u8]| {
        bytes += part.len() as u64;
        is_zero &= part.iter().all(|byte| *byte == 0);
        hasher.update(part);
    };
    let end = tar.take_headers();
    // What fills up the data of the last entry depends on its size, which is compared with it.
    if end.padding.len() as u64 != padding || end.padding.iter().any(|byte| *byte != 0) {
        count(&end.padding);
    }
    count(&end.blocks);
    if let Some(others) = &end.others {
        count(others.hex().as_bytes());
    }
    tar.drain_to(&mut count)?;
    Ok(Tail { bytes, is_zero, sha256: hasher.finish().hex().to_owned() })
}

/// The sha256 of what was hashed, as bytes.
pub fn sha256_of(hasher: Hasher) -> [u8; 32] {
    let mut bytes = [0; 32];
    // A digest of sha256 always has 64 digits.
    let _ = hex::decode_to_slice(hasher.finish().hex(), &mut bytes);
    bytes
}
