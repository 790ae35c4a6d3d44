//! From layers to binaries: what lies at the wanted paths once all layers are stacked (image-spec, layer.md).
//!
//! Only the wanted files are ever written, under names that are fixed here; no path of an archive touches the file system.

use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use crate::digest::{Algorithm, Digest, HashingReader, HashingWriter};

use super::document::{Compression, Descriptor};
use super::error::io_error;
use super::layer::{Entry, Kind, WalkError, clean_path, resolve_target, show, walk};
use super::store::BlobReader;
use super::{BinariesError, limits};

/// Where BuildKit's images keep their binaries.
const DIRECTORY: &str = "usr/bin";

/// A binary that is looked for.
pub(super) struct Wanted {
    /// Its name in the cache.
    pub(super) name: &'static str,
    /// Its path in the image.
    pub(super) path: &'static str,
    /// Whether every BuildKit image has it.
    pub(super) required: bool,
}

/// The binaries, in the order in which they are kept everywhere here.
pub(super) const WANTED: [Wanted; 4] = [
    Wanted { name: "buildkitd", path: "usr/bin/buildkitd", required: true },
    Wanted { name: "buildctl", path: "usr/bin/buildctl", required: true },
    Wanted { name: "buildkit-runc", path: "usr/bin/buildkit-runc", required: true },
    Wanted { name: "rootlesskit", path: "usr/bin/rootlesskit", required: false },
];

/// A layer, its compression and what it must unpack to.
#[derive(Clone)]
pub(super) struct Layer {
    pub(super) descriptor: Descriptor,
    pub(super) compression: Compression,
    pub(super) diff_id: Digest,
}

/// What lies at a wanted path.
#[derive(Debug, Clone)]
enum Node {
    /// A file, already written.
    File(Unpacked),
    /// A symbolic link, as written.
    Symlink(Vec<u8>),
}

/// A file that was written, and what its bytes are.
#[derive(Debug, Clone)]
pub(super) struct Unpacked {
    pub(super) file: PathBuf,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// What the layers so far put at the wanted paths.
pub(super) struct Stack {
    scratch: PathBuf,
    nodes: [Option<Node>; WANTED.len()],
    layers: usize,
    /// How many bytes layers may still unpack to.
    budget: u64,
}

/// What one layer changes at the wanted paths.
#[derive(Default)]
struct Change {
    /// Hidden by whiteouts: only what lower layers put there.
    removed: [bool; WANTED.len()],
    added: [Option<Added>; WANTED.len()],
}

enum Added {
    Node(Node),
    /// A hard link to another wanted path.
    HardLink(usize),
}

impl Stack {
    /// Nothing yet; files are written into `scratch`.
    pub(super) fn new(scratch: &Path) -> Self {
        Self {
            scratch: scratch.to_owned(),
            nodes: [const { None }; WANTED.len()],
            layers: 0,
            budget: limits::UNPACKED_BYTES,
        }
    }

    /// Puts a layer on top. Its stored bytes and its unpacked bytes are both hashed to their end.
    pub(super) fn push(&mut self, layer: &Layer, stored: BlobReader) -> Result<(), BinariesError> {
        let descriptor = &layer.descriptor;
        let mut stored = HashingReader::new(stored.take(descriptor.size + 1), descriptor.digest.algorithm());
        let result = self.read_layer(layer, &mut stored);
        // A damaged blob is told as such, whatever its reader made of it.
        let drained = io::copy(&mut stored, &mut io::sink());
        let (digest, size) = stored.finish();
        if drained.is_ok() && size != descriptor.size {
            let (what, expected) = ("layer", descriptor.size);
            return Err(BinariesError::Size { what, digest: descriptor.digest.clone(), expected, actual: size });
        }
        if drained.is_ok() && digest != descriptor.digest {
            let expected = descriptor.digest.clone();
            return Err(BinariesError::Digest { what: "layer", expected, actual: digest });
        }
        let change = result?;
        drained.map_err(|error| malformed(layer, error.to_string()))?;
        self.layers += 1;
        self.apply(change)
    }

    fn read_layer(&mut self, layer: &Layer, stored: &mut impl Read) -> Result<Change, BinariesError> {
        let unreadable = |error: io::Error| malformed(layer, error.to_string());
        let stored = BufReader::with_capacity(128 << 10, stored);
        let plain: Box<dyn Read + '_> = match layer.compression {
            Compression::None => Box::new(stored),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(stored)),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(stored).map_err(unreadable)?),
        };
        let budget = self.budget;
        let plain = BufReader::with_capacity(128 << 10, plain.take(budget + 1));
        let mut plain = HashingReader::new(plain, layer.diff_id.algorithm());
        let mut change = Change::default();
        let walked = walk(&mut plain, |entry, content| self.visit(layer, entry, content, &mut change));
        let drained = io::copy(&mut plain, &mut io::sink());
        let (actual, size) = plain.finish();
        if size > budget {
            let what = "the unpacked image".to_owned();
            return Err(BinariesError::TooLarge { what, limit: limits::UNPACKED_BYTES, unit: "bytes" });
        }
        match walked {
            Ok(()) => {}
            Err(WalkError::Malformed(reason)) => return Err(malformed(layer, reason)),
            Err(WalkError::Visit(error)) => return Err(error),
        }
        drained.map_err(unreadable)?;
        self.budget -= size;
        if actual == layer.diff_id {
            Ok(change)
        } else {
            let (layer, expected) = (layer.descriptor.digest.clone(), layer.diff_id.clone());
            Err(BinariesError::DiffId { layer, expected, actual })
        }
    }

    fn visit(
        &self,
        layer: &Layer,
        entry: &Entry,
        content: &mut dyn Read,
        change: &mut Change,
    ) -> Result<(), BinariesError> {
        mark_removed(&entry.path, &mut change.removed);
        let above = |path: &str| path.as_bytes() == entry.path;
        if (above(DIRECTORY) || above("usr")) && entry.kind != Kind::Directory {
            return Err(malformed(layer, format!("`{}` is not a directory in it", show(&entry.path))));
        }
        let Some(index) = wanted(&entry.path) else { return Ok(()) };
        if change.added[index].is_some() {
            return Err(malformed(layer, format!("`{}` is there twice", WANTED[index].path)));
        }
        let added = match entry.kind {
            Kind::File => Added::Node(Node::File(self.write(index, entry.size, content)?)),
            Kind::Symlink => Added::Node(Node::Symlink(entry.target.clone())),
            Kind::HardLink => {
                let target = clean_path(&entry.target).and_then(|target| wanted(&target));
                Added::HardLink(target.ok_or_else(|| refused_link(index, &entry.target))?)
            }
            Kind::Directory | Kind::Other => {
                return Err(malformed(layer, format!("`{}` is not a file in it", WANTED[index].path)));
            }
        };
        change.added[index] = Some(added);
        Ok(())
    }

    fn write(&self, index: usize, size: u64, content: &mut dyn Read) -> Result<Unpacked, BinariesError> {
        let Wanted { name, path, .. } = WANTED[index];
        if size > limits::BINARY_BYTES {
            let what = format!("`{path}` in the image");
            return Err(BinariesError::TooLarge { what, limit: limits::BINARY_BYTES, unit: "bytes" });
        }
        let place = self.scratch.join(format!("{name}.{}", self.layers));
        let file = File::create_new(&place).map_err(io_error("create", &place))?;
        let mut writer = HashingWriter::new(file, Algorithm::Sha256);
        let copied = io::copy(content, &mut writer).map_err(io_error("write", &place))?;
        writer.flush().map_err(io_error("write", &place))?;
        let (_, digest, written) = writer.finish();
        if copied != size || written != size {
            let source = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(BinariesError::Io { action: "read the content of", path: PathBuf::from(path), source });
        }
        Ok(Unpacked { file: place, digest, size })
    }

    fn apply(&mut self, change: Change) -> Result<(), BinariesError> {
        for (node, removed) in self.nodes.iter_mut().zip(change.removed) {
            if removed {
                *node = None;
            }
        }
        let mut links = Vec::new();
        for (index, added) in change.added.into_iter().enumerate() {
            match added {
                None => {}
                Some(Added::Node(node)) => self.nodes[index] = Some(node),
                Some(Added::HardLink(target)) => links.push((index, target)),
            }
        }
        for (index, target) in links {
            match self.nodes[target].clone() {
                Some(node) if index != target => self.nodes[index] = Some(node),
                _ => return Err(refused_link(index, WANTED[target].path.as_bytes())),
            }
        }
        Ok(())
    }

    /// The files at the wanted paths, symbolic links among them followed.
    pub(super) fn finish(self, image: &Digest) -> Result<[Option<Unpacked>; WANTED.len()], BinariesError> {
        let mut files = [const { None }; WANTED.len()];
        for (index, wanted) in WANTED.iter().enumerate() {
            files[index] = self.follow(index)?;
            if wanted.required && files[index].is_none() {
                return Err(BinariesError::Missing { image: image.clone(), path: wanted.path });
            }
        }
        Ok(files)
    }

    fn follow(&self, start: usize) -> Result<Option<Unpacked>, BinariesError> {
        let mut index = start;
        for _ in 0..=WANTED.len() {
            match &self.nodes[index] {
                None if index == start => return Ok(None),
                None => return Err(refused_link(start, WANTED[index].path.as_bytes())),
                Some(Node::File(file)) => return Ok(Some(file.clone())),
                Some(Node::Symlink(target)) => {
                    let place = resolve_target(DIRECTORY, target);
                    index = wanted(&place).ok_or_else(|| refused_link(start, target))?;
                }
            }
        }
        Err(refused_link(start, b"itself"))
    }
}

fn wanted(path: &[u8]) -> Option<usize> {
    WANTED.iter().position(|wanted| wanted.path.as_bytes() == path)
}

/// Notes what a whiteout hides: a file or directory `.wh.NAME`, or with `.wh..wh..opq` everything in its directory.
fn mark_removed(path: &[u8], removed: &mut [bool; WANTED.len()]) {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let (directory, name) = slash.map_or((&b""[..], path), |slash| (&path[..slash], &path[slash + 1..]));
    let Some(hidden) = name.strip_prefix(b".wh.") else { return };
    let mut place = directory.to_vec();
    if hidden != b".wh..opq" {
        if !place.is_empty() {
            place.push(b'/');
        }
        place.extend_from_slice(hidden);
    }
    for (wanted, removed) in WANTED.iter().zip(removed) {
        let rest = wanted.path.as_bytes().strip_prefix(place.as_slice());
        *removed |= place.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
    }
}

fn malformed(layer: &Layer, reason: String) -> BinariesError {
    BinariesError::Layer { layer: layer.descriptor.digest.clone(), reason }
}

fn refused_link(index: usize, target: &[u8]) -> BinariesError {
    BinariesError::Link { path: WANTED[index].path, target: show(target) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(media_type: &str, plain: &[u8], stored: &[u8]) -> Layer {
        let text = serde_json::json!({"mediaType": media_type, "digest": Digest::of(stored), "size": stored.len()});
        let descriptor: Descriptor = serde_json::from_value(text).unwrap();
        let compression = super::super::document::compression(&descriptor).unwrap();
        Layer { compression, descriptor, diff_id: Digest::of(plain) }
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let plain = vec![0; 1 << 20];
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&plain).unwrap();
        let stored = encoder.finish().unwrap();
        let layer = layer("application/vnd.oci.image.layer.v1.tar+gzip", &plain, &stored);
        let directory = tempfile::tempdir().unwrap();
        let mut stack = Stack { budget: 5 << 19, ..Stack::new(directory.path()) };
        for _ in 0..2 {
            stack.push(&layer, Box::new(io::Cursor::new(stored.clone()))).unwrap();
        }
        let error = stack.push(&layer, Box::new(io::Cursor::new(stored))).unwrap_err();
        assert!(matches!(error, BinariesError::TooLarge { .. }), "all layers count together: {error}");
    }

    #[test]
    fn a_binary_that_claims_to_be_too_large_is_refused_unread() {
        let mut header = tar::Header::new_ustar();
        header.set_path("usr/bin/buildkitd").unwrap();
        header.set_size(limits::BINARY_BYTES + 1);
        header.set_cksum();
        let plain = header.as_bytes().to_vec();
        let layer = layer("application/vnd.oci.image.layer.v1.tar", &plain, &plain);
        let directory = tempfile::tempdir().unwrap();
        let error = Stack::new(directory.path()).push(&layer, Box::new(io::Cursor::new(plain))).unwrap_err();
        assert!(matches!(error, BinariesError::TooLarge { .. }), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
