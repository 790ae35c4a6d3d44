//! Blobs of an image that was read before, read again.
//!
//! Whoever wants to see more of a blob than the one pass tells gets a copy of it in a temporary file without a name. What is
//! copied is hashed: a file that was changed since it was checked is an error, and afterwards nobody can change the copy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;

use super::chunk::{Pool, lend};
use super::fault::ImageError;
use super::source::{MemberKind, Source};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::limits;

/// Why blobs could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source failed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A blob that was there is not any more.
    #[error("blob `{0}` is not there any more: it was changed since it was read first")]
    Changed(Digest),
    /// The blobs are too large to be copied.
    #[error("{bytes} bytes of blobs would have to be kept, of at most {}", limits::COPIED_BYTES)]
    TooLarge {
        /// Their size.
        bytes: u64,
    },
    /// The temporary files.
    #[error("cannot keep a copy in a temporary file")]
    File(#[source] io::Error),
}

/// Copies of blobs.
#[derive(Debug, Default)]
pub struct Copies(BTreeMap<Digest, File>);

impl Copies {
    /// Reads the copy of a blob from its start.
    pub fn open(&self, digest: &Digest) -> io::Result<CopiedBlob<'_>> {
        let file = self.0.get(digest).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, digest.to_string()))?;
        Ok(CopiedBlob { file, at: 0 })
    }
}

/// Reads a copy; as many as one likes at the same time.
#[derive(Debug)]
pub struct CopiedBlob<'a> {
    file: &'a File,
    at: u64,
}

impl Read for CopiedBlob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Copies the blobs that are `wanted`, by their digests with their sizes, out of `source`.
pub fn copy_blobs(source: &mut impl Source, wanted: &BTreeMap<Digest, u64>) -> Result<Copies, CopyError> {
    let bytes = wanted.values().fold(0, |sum: u64, size| sum.saturating_add(*size));
    if bytes > limits::COPIED_BYTES {
        return Err(CopyError::TooLarge { bytes });
    }
    let mut copies = Copies::default();
    while copies.0.len() < wanted.len() {
        let Some(member) = source.next_member()? else { break };
        if member.kind != MemberKind::File {
            continue;
        }
        // Not every form has blobs under their digests; their sizes are known in each.
        let missing = wanted.iter().filter(|(digest, size)| **size == member.size && !copies.0.contains_key(*digest));
        let algorithms: BTreeSet<Algorithm> = missing.map(|(digest, _)| digest.algorithm()).collect();
        if algorithms.is_empty() {
            continue;
        }
        let (file, digests) = copy(source, &algorithms)?;
        if source.fault().is_none()
            && let Some(digest) = digests.into_iter().find(|digest| wanted.contains_key(digest))
        {
            copies.0.insert(digest, file);
        }
    }
    match wanted.keys().find(|digest| !copies.0.contains_key(*digest)) {
        Some(missing) => Err(CopyError::Changed(missing.clone())),
        None => Ok(copies),
    }
}

fn copy(source: &mut impl Source, algorithms: &BTreeSet<Algorithm>) -> Result<(File, Vec<Digest>), CopyError> {
    let mut hashers: Vec<Hasher> = algorithms.iter().map(|algorithm| Hasher::new(*algorithm)).collect();
    let mut file = tempfile::tempfile().map_err(CopyError::File)?;
    let mut buffer = vec![0; limits::CHUNK_BYTES];
    loop {
        let count = source.read_data(&mut buffer)?;
        if count == 0 {
            return Ok((file, hashers.into_iter().map(Hasher::finish).collect()));
        }
        for hasher in &mut hashers {
            hasher.update(&buffer[..count]);
        }
        file.write_all(&buffer[..count]).map_err(CopyError::File)?;
    }
}

/// Hands over the blobs that are `wanted`, as `source` brings them. `sink` gets each piece and whether it is the first of its
/// blob or the last one, and says whether it wants more at all. The last piece of a blob that is not what it was any more is
/// kept back, and is an error.
pub fn stream_blobs(
    source: &mut dyn Source,
    wanted: &BTreeMap<Digest, u64>,
    mut sink: impl FnMut(&Digest, Piece) -> bool,
) -> Result<(), CopyError> {
    let pool = Arc::new(Pool::default());
    let mut left: BTreeMap<&Digest, u64> = wanted.iter().map(|(digest, size)| (digest, *size)).collect();
    while !left.is_empty() {
        let Some(member) = source.next_member()? else { break };
        // Every form that has manifests calls its blobs by their digests.
        let name = member.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let is_it = |digest: &&Digest, size: u64| digest.hex().as_bytes() == name && member.size == size;
        let found = left.iter().find(|(digest, size)| is_it(digest, **size)).map(|(digest, _)| *digest);
        let Some(digest) = found.filter(|_| member.kind == MemberKind::File) else { continue };
        if !sink(digest, Piece::Begin) {
            return Ok(());
        }
        let mut hasher = Hasher::new(digest.algorithm());
        let mut held = pool.take();
        held.fill(|buffer| source.read_data(buffer))?;
        while !held.bytes().is_empty() {
            hasher.update(held.bytes());
            let mut next = pool.take();
            next.fill(|buffer| source.read_data(buffer))?;
            if next.bytes().is_empty() {
                pool.put(next);
                break;
            }
            if !sink(digest, Piece::Bytes(lend(std::mem::replace(&mut held, next), &pool))) {
                return Ok(());
            }
        }
        if hasher.finish() != *digest || source.fault().is_some() {
            return Err(CopyError::Changed(digest.clone()));
        }
        if !sink(digest, Piece::End(lend(held, &pool))) {
            return Ok(());
        }
        left.remove(digest);
    }
    left.keys().next().map_or(Ok(()), |missing| Err(CopyError::Changed((*missing).clone())))
}

/// What [`stream_blobs`] hands over.
#[derive(Debug)]
pub enum Piece {
    /// A blob begins.
    Begin,
    /// Bytes of it.
    Bytes(Bytes),
    /// Its last bytes: it is what it should be.
    End(Bytes),
}

/// Copies blobs out of the archive or the directory at `path`.
pub fn load_blobs(path: &std::path::Path, wanted: &BTreeMap<Digest, u64>) -> Result<Copies, CopyError> {
    if path.is_dir() {
        return copy_blobs(&mut super::source::DirectorySource::open(path)?, wanted);
    }
    let file = File::open(path).map_err(ImageError::Open)?;
    copy_blobs(&mut super::source::TarSource::of_file(file)?, wanted)
}
