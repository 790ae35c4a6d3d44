//! The one pass over an archive: every member read once, hashed, and kept only as far as it is a document.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufReader, Read};
use std::sync::Arc;
use std::thread::{self, Scope};

use super::ReadOptions;
use super::chunk::Pool;
use super::escape::escape_bytes;
use super::fault::{FaultKind, Faults, ImageError};
use super::layer::{LayerContent, LayerError, LayerSink, Sniffed, sniff};
use super::model::Document;
use super::tar::{Entry, Malformed, TarError, TarReader};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::limits;

/// A blob that has been read.
pub struct Blob {
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    pub content: Content,
}

/// What a blob is, told by its bytes.
pub enum Content {
    /// JSON, perhaps.
    Document(Document),
    /// JSON, perhaps, and over the limit of a document. An attestation may be that large.
    LargeDocument,
    /// A layer, or what begins like one.
    Layer(Result<LayerContent, Arc<LayerError>>),
    /// Anything else.
    Other,
}

/// All that an archive holds, not yet put together.
#[derive(Default)]
pub struct Members {
    /// Blobs by the digest in their name. Those whose bytes have another digest are kept as well, with a fault.
    pub blobs: BTreeMap<Digest, Blob>,
    /// The documents at the top, by name.
    pub documents: BTreeMap<&'static str, Document>,
    /// What is wrong so far.
    pub faults: Faults,
    /// Size of the archive, in bytes.
    pub bytes: u64,
}

/// Where a member belongs.
#[derive(Debug, PartialEq)]
enum Place {
    Document(&'static str),
    Blob(Digest),
    Directory,
    Foreign,
}

/// Documents at the top of a layout. `manifest.json` is Docker's.
pub const TOP_DOCUMENTS: [&str; 3] = ["index.json", "manifest.json", "oci-layout"];

fn place_of(path: &[u8]) -> Place {
    let Ok(path) = std::str::from_utf8(path) else { return Place::Foreign };
    let path = path.strip_prefix("./").unwrap_or(path);
    if let Some(name) = TOP_DOCUMENTS.iter().find(|name| **name == path) {
        return Place::Document(name);
    }
    match path.strip_suffix('/').unwrap_or(path) {
        "" | "." | "blobs" | "blobs/sha256" | "blobs/sha512" => return Place::Directory,
        _ => {}
    }
    let parts = path.strip_prefix("blobs/").and_then(|rest| rest.split_once('/'));
    match parts.map(|(algorithm, hex)| format!("{algorithm}:{hex}").parse()) {
        Some(Ok(digest)) => Place::Blob(digest),
        _ => Place::Foreign,
    }
}

/// Reads the archive to its last byte.
pub fn read_members(reader: impl Read, options: &ReadOptions) -> Result<Members, ImageError> {
    let pool = Pool::default();
    // Large reads of data go past this buffer; it serves the headers.
    let tar = TarReader::new(BufReader::with_capacity(limits::CHUNK_BYTES, reader));
    thread::scope(|scope| {
        let pass = Pass {
            tar,
            scope,
            pool: &pool,
            options,
            members: Members::default(),
            seen: HashSet::new(),
            document_bytes: 0,
        };
        pass.run()
    })
}

struct Pass<'scope, 'env, R> {
    tar: TarReader<BufReader<R>>,
    scope: &'scope Scope<'scope, 'env>,
    pool: &'env Pool,
    options: &'env ReadOptions,
    members: Members,
    seen: HashSet<Vec<u8>>,
    document_bytes: u64,
}

impl<R: Read> Pass<'_, '_, R> {
    fn run(mut self) -> Result<Members, ImageError> {
        let mut count = 0;
        while let Some(entry) = self.tar.next_entry().map_err(image_error)? {
            count += 1;
            if count > limits::ARCHIVE_MEMBERS {
                return Err(ImageError::Limit { limit: limits::ARCHIVE_MEMBERS, what: "members" });
            }
            self.member(&entry)?;
        }
        if let Some(offset) = self.tar.drain().map_err(image_error)? {
            self.members.faults.add("archive", FaultKind::AfterEnd(offset));
        }
        self.members.bytes = self.tar.offset();
        Ok(self.members)
    }

    fn member(&mut self, entry: &Entry) -> Result<(), ImageError> {
        let name = format!("`{}`", escape_bytes(&entry.path));
        let place = place_of(&entry.path);
        let wrong = match (&place, entry.is_file(), entry.is_directory()) {
            (Place::Foreign, ..) => Some(FaultKind::ForeignMember),
            (Place::Directory, _, true) | (Place::Document(_) | Place::Blob(_), true, _) => None,
            _ => Some(FaultKind::MemberType(entry.flag)),
        };
        if let Some(kind) = wrong {
            self.members.faults.add(name, kind);
            return Ok(());
        }
        let normal = entry.path.strip_prefix(b"./").unwrap_or(&entry.path);
        if !self.seen.insert(normal.strip_suffix(b"/").unwrap_or(normal).to_vec()) {
            self.members.faults.add(name, FaultKind::DuplicateMember);
            return Ok(());
        }
        match place {
            Place::Document(top) => self.top_document(top, name, entry.size),
            Place::Blob(digest) => self.blob(digest, name, entry.size),
            Place::Directory | Place::Foreign => Ok(()),
        }
    }

    fn top_document(&mut self, top: &'static str, name: String, size: u64) -> Result<(), ImageError> {
        let (digest, content) = self.content(Algorithm::Sha256, true)?;
        match content {
            Content::Document(document) => {
                self.members.documents.insert(top, Document { digest, ..document });
            }
            _ => self.members.faults.add(name, FaultKind::DocumentSize { size }),
        }
        Ok(())
    }

    fn blob(&mut self, digest: Digest, name: String, size: u64) -> Result<(), ImageError> {
        let known = self.options.known.recall(&digest, self.options.epoch).filter(|_| self.options.listing.is_none());
        let (found, content) = match known {
            Some(layer) => (self.hash(digest.algorithm())?, Content::Layer(Ok(layer))),
            None => self.content(digest.algorithm(), false)?,
        };
        if found != digest {
            self.members.faults.add(name, FaultKind::Digest { expected: digest.clone(), found });
        }
        self.members.blobs.insert(digest, Blob { size, content });
        Ok(())
    }

    /// Reads the data of the current member for its digest alone.
    fn hash(&mut self, algorithm: Algorithm) -> Result<Digest, ImageError> {
        let mut hasher = Hasher::new(algorithm);
        let mut chunk = self.pool.take();
        loop {
            chunk.fill(|buffer| self.tar.read_data(buffer)).map_err(image_error)?;
            if chunk.bytes().is_empty() {
                self.pool.put(chunk);
                return Ok(hasher.finish());
            }
            hasher.update(chunk.bytes());
        }
    }

    /// Reads the data of the current member: its digest, and what it is.
    fn content(&mut self, algorithm: Algorithm, is_document: bool) -> Result<(Digest, Content), ImageError> {
        let mut hasher = Hasher::new(algorithm);
        let mut sink = None;
        let mut document = None;
        let mut is_large = false;
        let mut is_first = true;
        loop {
            let mut chunk = self.pool.take();
            chunk.fill(|buffer| self.tar.read_data(buffer)).map_err(image_error)?;
            let bytes = chunk.bytes();
            if is_first {
                match sniff(bytes) {
                    Sniffed::Json => document = Some(Vec::new()),
                    _ if is_document => document = Some(Vec::new()),
                    Sniffed::Layer(compression) => {
                        sink = Some(LayerSink::start(
                            self.scope,
                            self.pool,
                            compression,
                            self.options.epoch,
                            self.options.listing.as_ref(),
                        ));
                    }
                    Sniffed::Other => {}
                }
                is_first = false;
            }
            if bytes.is_empty() {
                self.pool.put(chunk);
                break;
            }
            hasher.update(bytes);
            if let Some(kept) = &mut document {
                if (kept.len() + bytes.len()) as u64 > limits::DOCUMENT_BYTES {
                    (document, is_large) = (None, true);
                } else {
                    kept.extend_from_slice(bytes);
                }
            }
            match &sink {
                Some(sink) => sink.push(chunk, self.pool),
                None => self.pool.put(chunk),
            }
        }
        let digest = hasher.finish();
        let content = match (sink, document) {
            (Some(sink), _) => Content::Layer(sink.finish().map_err(Arc::new)),
            (None, Some(bytes)) => Content::Document(self.keep(digest.clone(), bytes)?),
            (None, None) if is_large => Content::LargeDocument,
            (None, None) => Content::Other,
        };
        Ok((digest, content))
    }

    fn keep(&mut self, digest: Digest, bytes: Vec<u8>) -> Result<Document, ImageError> {
        self.document_bytes += bytes.len() as u64;
        if self.document_bytes > limits::DOCUMENTS_TOTAL_BYTES {
            return Err(ImageError::Limit { limit: limits::DOCUMENTS_TOTAL_BYTES, what: "bytes of JSON" });
        }
        Ok(Document { digest, bytes })
    }
}

fn image_error(error: TarError) -> ImageError {
    match error {
        TarError::Read { offset, source } => ImageError::Read { offset, source },
        // Without a single header this never was a tar, however it ends.
        TarError::Truncated { offset, .. } if (1..512).contains(&offset) => ImageError::NotATar(error),
        TarError::Truncated { offset, missing } => ImageError::Truncated { offset, missing },
        TarError::Malformed { offset: 0, reason: Malformed::Checksum } => ImageError::NotATar(error),
        TarError::Malformed { .. } => ImageError::Damaged(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_one_spelling() {
        let hex = "0a".repeat(32);
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        for (path, place) in [
            ("index.json".to_owned(), Place::Document("index.json")),
            ("./oci-layout".to_owned(), Place::Document("oci-layout")),
            ("blobs/".to_owned(), Place::Directory),
            ("./".to_owned(), Place::Directory),
            ("./blobs/sha256".to_owned(), Place::Directory),
            (format!("blobs/sha256/{hex}"), Place::Blob(digest.clone())),
            (format!("./blobs/sha256/{hex}"), Place::Blob(digest)),
            (format!("blobs/sha256/{hex}/"), Place::Foreign),
            (format!("blobs//sha256/{hex}"), Place::Foreign),
            (format!("/blobs/sha256/{hex}"), Place::Foreign),
            (format!("blobs/sha512/{hex}"), Place::Foreign),
            (format!("blobs/sha256/../sha256/{hex}"), Place::Foreign),
            (format!("blobs/sha256/{}", hex.to_uppercase()), Place::Foreign),
            ("etc/passwd".to_owned(), Place::Foreign),
            ("index.json/".to_owned(), Place::Foreign),
            ("blobs/md5/00".to_owned(), Place::Foreign),
        ] {
            assert_eq!(place_of(path.as_bytes()), place, "{path}");
        }
        assert_eq!(place_of(b"\xff"), Place::Foreign);
    }
}
