//! Where the blobs of an image come from: a registry, a layout, or a layout in an archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::{Digest, Hasher};
use crate::reference::ImageSource;
use crate::registry::{Blob, Options, Repository};

use super::error::io_error;
use super::{BinariesError, document, limits};

/// The blobs of an image, by digest.
pub(super) enum Store {
    Registry(Box<Repository>),
    Dir(PathBuf),
    Archive(Archive),
}

/// The stored bytes of a blob, to be read once.
pub(super) type BlobReader = Box<dyn Read + Send>;

impl Store {
    pub(super) fn open(source: &ImageSource, options: &Options) -> Result<Self, BinariesError> {
        match source {
            ImageSource::Registry(reference) => {
                Ok(Self::Registry(Box::new(Repository::open(reference, options.clone())?)))
            }
            ImageSource::OciDir(layout) => Ok(Self::Dir(layout.path.clone())),
            ImageSource::OciArchive(layout) => Archive::open(&layout.path).map(Self::Archive),
        }
    }

    /// The digest that the only entry of a layout's `index.json` has.
    pub(super) fn only_image(&self) -> Result<Digest, BinariesError> {
        let path = self.path();
        let layout = |reason: String| BinariesError::Layout { path: path.to_owned(), reason };
        let bytes = match self {
            Self::Registry(_) => return Err(layout("a registry has no index".to_owned())),
            Self::Dir(directory) => {
                let index = directory.join("index.json");
                let file = File::open(&index).map_err(|error| layout(format!("`index.json`: {error}")))?;
                read_bounded(file, "index.json").map_err(|error| layout(format!("`index.json`: {error}")))?
            }
            Self::Archive(archive) => {
                let reader = archive.member("index.json").ok_or_else(|| layout("no `index.json`".to_owned()))?;
                read_bounded(reader, "index.json").map_err(|error| layout(format!("`index.json`: {error}")))?
            }
        };
        let index = document::parse_document(&bytes, &Digest::of(&bytes));
        let entries = match index {
            Ok(document::Document::Index(entries)) => entries,
            Ok(document::Document::Manifest { .. }) => return Err(layout("`index.json` is no index".to_owned())),
            Err(error) => return Err(layout(error.to_string())),
        };
        let mut digests: Vec<Digest> = entries.into_iter().map(|entry| entry.digest).collect();
        digests.sort();
        digests.dedup();
        match digests.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(BinariesError::Ambiguous { path: path.to_owned(), digests }),
        }
    }

    /// An index or manifest, hashed. `size` is what its descriptor says, where there is one.
    pub(super) async fn manifest(&self, digest: &Digest, size: Option<u64>) -> Result<Vec<u8>, BinariesError> {
        let bytes = match self {
            Self::Registry(repository) => repository.manifest(digest).await?.bytes,
            _ => self.read_local(digest, "manifest")?,
        };
        if let Some(expected) = size.filter(|size| *size != bytes.len() as u64) {
            let actual = bytes.len() as u64;
            return Err(BinariesError::Size { what: "manifest", digest: digest.clone(), expected, actual });
        }
        Ok(bytes)
    }

    /// An image's configuration, hashed.
    pub(super) async fn config(&self, blob: &Blob) -> Result<Vec<u8>, BinariesError> {
        let bytes = match self {
            Self::Registry(repository) => repository.blob(blob, limits::DOCUMENT_BYTES).await?,
            _ => self.read_local(&blob.digest, "config")?,
        };
        let (expected, actual) = (blob.size, bytes.len() as u64);
        if expected == actual {
            Ok(bytes)
        } else {
            Err(BinariesError::Size { what: "config", digest: blob.digest.clone(), expected, actual })
        }
    }

    /// The stored bytes of a layer, not hashed yet. What comes over the network is put into `scratch` first.
    pub(super) async fn layer(&self, blob: &Blob, scratch: &Path) -> Result<BlobReader, BinariesError> {
        match self {
            Self::Registry(repository) => {
                let mut file = tempfile::tempfile_in(scratch).map_err(io_error("create a file in", scratch))?;
                repository.blob_to_file(blob, &mut file).await?;
                file.rewind().map_err(io_error("read a file in", scratch))?;
                Ok(Box::new(file))
            }
            _ => self.open_local(&blob.digest),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Registry(_) => Path::new(""),
            Self::Dir(path) => path,
            Self::Archive(archive) => &archive.path,
        }
    }

    fn open_local(&self, digest: &Digest) -> Result<BlobReader, BinariesError> {
        let name = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        let missing = || BinariesError::NoBlob { path: self.path().to_owned(), digest: digest.clone() };
        match self {
            Self::Registry(_) => Err(missing()),
            Self::Archive(archive) => Ok(Box::new(archive.member(&name).ok_or_else(missing)?)),
            Self::Dir(directory) => {
                let path = directory.join(name);
                match std::fs::metadata(&path) {
                    Ok(metadata) if metadata.is_file() => {}
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(io_error("read", &path)(error));
                    }
                    _ => return Err(missing()),
                }
                Ok(Box::new(File::open(&path).map_err(io_error("open", &path))?))
            }
        }
    }

    fn read_local(&self, digest: &Digest, what: &'static str) -> Result<Vec<u8>, BinariesError> {
        let bytes = read_bounded(self.open_local(digest)?, what).map_err(io_error("read", self.path()))?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let actual = hasher.finish();
        if actual == *digest {
            Ok(bytes)
        } else {
            Err(BinariesError::Digest { what, expected: digest.clone(), actual })
        }
    }
}

fn read_bounded(reader: impl Read, what: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limits::DOCUMENT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits::DOCUMENT_BYTES {
        return Err(io::Error::other(format!("{what} has more than {} bytes", limits::DOCUMENT_BYTES)));
    }
    Ok(bytes)
}

/// An uncompressed tar archive that holds an OCI image layout.
pub(super) struct Archive {
    path: PathBuf,
    file: Arc<File>,
    /// Offset and size of the members that matter.
    members: BTreeMap<String, (u64, u64)>,
}

impl Archive {
    fn open(path: &Path) -> Result<Self, BinariesError> {
        let file = File::open(path).map_err(io_error("open", path))?;
        let fault = |reason: String| BinariesError::Layout { path: path.to_owned(), reason };
        let mut magic = [0; 4];
        let read = file.read_at(&mut magic, 0).map_err(io_error("read", path))?;
        if magic[..read].starts_with(&[0x1f, 0x8b]) || magic[..read] == [0x28, 0xb5, 0x2f, 0xfd] {
            return Err(fault("the archive is compressed".to_owned()));
        }
        let members = list_members(&file).map_err(|error| fault(error.to_string()))?;
        if !members.contains_key("index.json") {
            return Err(fault("no `index.json`".to_owned()));
        }
        Ok(Self { path: path.to_owned(), file: Arc::new(file), members })
    }

    fn member(&self, name: &str) -> Option<MemberReader> {
        let (offset, left) = *self.members.get(name)?;
        Some(MemberReader { file: Arc::clone(&self.file), offset, left })
    }
}

/// The regular files of an archive that can belong to a layout. A name that comes twice is an error: readers differ on it.
fn list_members(file: &File) -> io::Result<BTreeMap<String, (u64, u64)>> {
    let mut members = BTreeMap::new();
    let mut archive = tar::Archive::new(file);
    for (count, entry) in archive.entries_with_seek()?.enumerate() {
        let entry = entry?;
        if count >= limits::ARCHIVE_MEMBERS {
            return Err(io::Error::other(format!("more than {} members", limits::ARCHIVE_MEMBERS)));
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = path.strip_prefix("./").unwrap_or(&path);
        if !entry.header().entry_type().is_file() || !(name == "index.json" || name.starts_with("blobs/")) {
            continue;
        }
        let place = (entry.raw_file_position(), entry.size());
        if members.insert(name.to_owned(), place).is_some() {
            return Err(io::Error::other(format!("`{}` is there twice", name.escape_debug())));
        }
    }
    Ok(members)
}

/// A part of a file, read without moving the file's own position.
struct MemberReader {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Read for MemberReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        if count == 0 && wanted > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends inside a member"));
        }
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
