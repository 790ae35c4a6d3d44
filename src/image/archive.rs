//! The one pass over an image: every member read once, hashed, and kept only as far as it is a document.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::thread::{self, Scope};

use super::ReadOptions;
use super::chunk::Pool;
use super::fault::{FaultKind, Faults, ImageError, escape_start};
use super::layer::{LayerContent, LayerError, LayerSink, Sniffed, sniff};
use super::model::Document;
use super::shared::Claim;
use super::source::{Member, MemberKind, Origin, Source};
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
#[derive(Debug, Clone)]
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

/// A file that is no blob: its name does not tell its digest, or not in the way of an image layout.
pub struct File {
    /// The digest of its bytes.
    pub digest: Digest,
    /// What it holds.
    pub blob: Blob,
}

/// All that a source holds, not yet put together.
#[derive(Default)]
pub struct Members {
    /// Blobs by the digest in their name. Those whose bytes have another digest are kept as well, with a fault.
    pub blobs: BTreeMap<Digest, Blob>,
    /// The documents at the top, by name.
    pub documents: BTreeMap<&'static str, Document>,
    /// Other files, by path.
    pub files: BTreeMap<String, File>,
    /// Symbolic links, by path, and where they point to.
    pub links: BTreeMap<String, Vec<u8>>,
    /// Directories that no image layout has.
    pub directories: Vec<String>,
    /// Known layers that were passed over, with their sizes.
    pub unread: BTreeMap<Digest, u64>,
    /// What is wrong so far.
    pub faults: Faults,
}

/// Where a member belongs.
#[derive(Debug, PartialEq)]
enum Place {
    Document(&'static str),
    Blob(Digest),
    Directory,
    /// Elsewhere in the archive, by its path.
    Elsewhere(String),
    /// Outside of it, or in a spelling that readers understand in different ways.
    Foreign,
}

/// Documents at the top of a layout, and those of Docker and of skopeo's directories.
pub const TOP_DOCUMENTS: [&str; 5] = ["index.json", "manifest.json", "oci-layout", "repositories", "version"];

fn place_of(path: &[u8]) -> Place {
    if path.len() > limits::MEMBER_NAME_BYTES {
        return Place::Foreign;
    }
    let Ok(path) = std::str::from_utf8(path) else { return Place::Foreign };
    let path = path.strip_prefix("./").unwrap_or(path);
    if let Some(name) = TOP_DOCUMENTS.iter().find(|name| **name == path) {
        return Place::Document(name);
    }
    let normal = path.strip_suffix('/').unwrap_or(path);
    match normal {
        "" | "." | "blobs" | "blobs/sha256" | "blobs/sha512" => return Place::Directory,
        _ => {}
    }
    let parts = path.strip_prefix("blobs/").and_then(|rest| rest.split_once('/'));
    match parts.map(|(algorithm, hex)| format!("{algorithm}:{hex}").parse()) {
        Some(Ok(digest)) => Place::Blob(digest),
        _ if normal.split('/').any(|step| matches!(step, "" | "." | "..")) => Place::Foreign,
        _ => Place::Elsewhere(path.to_owned()),
    }
}

/// Reads the source to its last byte.
pub fn read_members(source: &mut impl Source, options: &ReadOptions) -> Result<(Members, Origin), ImageError> {
    let pool = Pool::default();
    thread::scope(|scope| {
        let pass = Pass {
            source,
            scope,
            pool: &pool,
            options,
            members: Members::default(),
            seen: HashSet::new(),
            document_bytes: 0,
            elsewhere: Vec::new(),
        };
        pass.run()
    })
}

struct Pass<'scope, 'env, 'source, S> {
    source: &'source mut S,
    scope: &'scope Scope<'scope, 'env>,
    pool: &'env Pool,
    options: &'env ReadOptions,
    members: Members,
    seen: HashSet<Vec<u8>>,
    document_bytes: u64,
    /// Layers that another pass reads.
    elsewhere: Vec<Digest>,
}

impl<S: Source> Pass<'_, '_, '_, S> {
    fn run(mut self) -> Result<(Members, Origin), ImageError> {
        let mut count = 0;
        while let Some(member) = self.source.next_member()? {
            count += 1;
            if count > limits::ARCHIVE_MEMBERS {
                return Err(ImageError::Limit { limit: limits::ARCHIVE_MEMBERS, what: "members" });
            }
            self.member(&member)?;
        }
        let origin = self.source.finish()?;
        for digest in std::mem::take(&mut self.elsewhere) {
            let content = self.options.shared.wait_for(&digest);
            let content = content.ok_or_else(|| ImageError::NotShared(digest.clone()))?;
            if let Some(blob) = self.members.blobs.get_mut(&digest) {
                blob.content = content;
            }
        }
        if let Some(offset) = origin.after_end {
            self.members.faults.add("archive", FaultKind::AfterEnd(offset));
        }
        Ok((self.members, origin))
    }

    fn member(&mut self, member: &Member) -> Result<(), ImageError> {
        // A long one is cut, for there may be many.
        let name = format!("`{}`", escape_start(&member.path, limits::MEMBER_NAME_BYTES));
        let place = place_of(&member.path);
        let kind = &member.kind;
        let flag = match (&place, kind) {
            (Place::Foreign, _) => {
                self.members.faults.add(name, FaultKind::ForeignMember);
                return Ok(());
            }
            _ if member.is_ambiguous => {
                self.members.faults.add(name, FaultKind::AmbiguousMember);
                return Ok(());
            }
            (Place::Directory | Place::Elsewhere(_), MemberKind::Directory)
            | (Place::Document(_) | Place::Blob(_) | Place::Elsewhere(_), MemberKind::File)
            | (Place::Elsewhere(_), MemberKind::Symlink(_)) => None,
            (_, MemberKind::Other(flag)) => Some(*flag),
            (_, MemberKind::Directory) => Some(b'5'),
            (_, MemberKind::Symlink(_)) => Some(b'2'),
            (_, MemberKind::File) => Some(b'0'),
        };
        if let Some(flag) = flag {
            self.members.faults.add(name, FaultKind::MemberType(flag));
            return Ok(());
        }
        let normal = member.path.strip_prefix(b"./").unwrap_or(&member.path);
        if !self.seen.insert(normal.strip_suffix(b"/").unwrap_or(normal).to_vec()) {
            self.members.faults.add(name, FaultKind::DuplicateMember);
            return Ok(());
        }
        match (place, kind) {
            (Place::Document(top), _) => self.top_document(top, name, member.size),
            (Place::Blob(digest), _) => self.blob(digest, name, member.size),
            (Place::Elsewhere(path), MemberKind::File) => {
                let (digest, content) = self.content(Algorithm::Sha256, false)?;
                let blob = Blob { size: member.size, content };
                self.members.files.insert(path, File { digest, blob });
                Ok(())
            }
            (Place::Elsewhere(path), MemberKind::Symlink(target)) => {
                self.members.links.insert(path, target.clone());
                Ok(())
            }
            (Place::Elsewhere(path), _) => {
                self.members.directories.push(path);
                Ok(())
            }
            (Place::Directory | Place::Foreign, _) => Ok(()),
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
        let options = self.options;
        let known = options.known.recall(&digest, options.epoch).filter(|_| options.listing.is_none());
        if let Some(layer) = known.as_ref().filter(|_| options.leave_known) {
            let content = Content::Layer(Ok(layer.clone()));
            self.members.unread.insert(digest.clone(), size);
            self.members.blobs.insert(digest, Blob { size, content });
            return Ok(());
        }
        // What may be a document is read by everybody.
        let claim = match &known {
            None if size > limits::DOCUMENT_BYTES && options.listing.is_none() => options.shared.claim(&digest),
            _ => Claim::Alone,
        };
        let (found, content) = match (known, &claim) {
            (Some(layer), _) => (self.hash(digest.algorithm())?, Content::Layer(Ok(layer))),
            (None, Claim::Other) => {
                self.elsewhere.push(digest.clone());
                (self.hash(digest.algorithm())?, Content::Other)
            }
            (None, Claim::Own(_) | Claim::Alone) => self.content(digest.algorithm(), false)?,
        };
        let wrong = (found != digest).then(|| FaultKind::Digest { expected: digest.clone(), found });
        // A source that knows why says more than the digest does.
        let fault = self.source.fault().or(wrong);
        if let Claim::Own(owner) = claim {
            owner.tell(fault.is_none().then(|| content.clone()));
        }
        if let Some(kind) = fault {
            self.members.faults.add(name, kind);
        }
        self.members.blobs.insert(digest, Blob { size, content });
        Ok(())
    }

    /// Reads the data of the current member for its digest alone.
    fn hash(&mut self, algorithm: Algorithm) -> Result<Digest, ImageError> {
        let mut hasher = Hasher::new(algorithm);
        let mut chunk = self.pool.take();
        loop {
            chunk.fill(|buffer| self.source.read_data(buffer))?;
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
            chunk.fill(|buffer| self.source.read_data(buffer))?;
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
                            algorithm,
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
            (format!("blobs/sha256/{hex}/"), Place::Elsewhere(format!("blobs/sha256/{hex}/"))),
            (format!("blobs//sha256/{hex}"), Place::Foreign),
            (format!("/blobs/sha256/{hex}"), Place::Foreign),
            (format!("blobs/sha512/{hex}"), Place::Elsewhere(format!("blobs/sha512/{hex}"))),
            (format!("blobs/sha256/../sha256/{hex}"), Place::Foreign),
            (
                format!("blobs/sha256/{}", hex.to_uppercase()),
                Place::Elsewhere(format!("blobs/sha256/{}", hex.to_uppercase())),
            ),
            ("./etc/passwd".to_owned(), Place::Elsewhere("etc/passwd".to_owned())),
            ("index.json/".to_owned(), Place::Elsewhere("index.json/".to_owned())),
            ("blobs/md5/00".to_owned(), Place::Elsewhere("blobs/md5/00".to_owned())),
            ("a/./b".to_owned(), Place::Foreign),
            ("../a".to_owned(), Place::Foreign),
            ("/a".to_owned(), Place::Foreign),
            ("a".repeat(limits::MEMBER_NAME_BYTES + 1), Place::Foreign),
        ] {
            assert_eq!(place_of(path.as_bytes()), place, "{path}");
        }
        assert_eq!(place_of(b"\xff"), Place::Foreign);
    }
}
