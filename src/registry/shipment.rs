//! What has to be in a registry for an image to be there.

use std::collections::{BTreeMap, HashSet};

use crate::digest::Digest;
use crate::image::media_type::{Kind, OCI_MANIFEST, kind_of};
use crate::image::{Descriptor, Image, links_of};
use crate::limits;

/// An index or a manifest.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its digest.
    pub digest: Digest,
    /// What it is called when it is stored.
    pub media_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// An image taken apart for a registry.
#[derive(Debug, Clone)]
pub struct Shipment {
    /// In the order in which a registry takes them: what is named before what names it, thus the root last.
    documents: Vec<Document>,
    root: Document,
    blobs: BTreeMap<Digest, u64>,
}

/// Why an image cannot be pushed as it is.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ShipmentError {
    /// An archive of Docker's own form.
    #[error("it has no manifest, thus no digest in any registry: whoever pushes it makes one up")]
    NoManifest,
    /// Several images side by side.
    #[error("it holds {0} images side by side, of which none is the image")]
    Several(usize),
    /// Something that an index names is not there.
    #[error("it is not whole: `{0}` is named and not there")]
    Missing(Digest),
    /// A layer that a registry does not serve.
    #[error("layer `{0}` may not be distributed, by its media type")]
    NotDistributable(Digest),
    /// Documents that name each other too deeply.
    #[error("its indexes are deeper than {}", limits::INDEX_DEPTH)]
    TooDeep,
}

impl ShipmentError {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoManifest => "build with `repro build`, or save it with `podman save --format oci-archive`",
            Self::Several(_) => "push them one by one, from archives of their own",
            Self::Missing(_) => "save it with all platforms",
            Self::NotDistributable(_) => "such layers come from where their `urls` say; build without them",
            Self::TooDeep => "no builder writes such",
        }
    }
}

impl Shipment {
    /// All that belongs to an image.
    pub fn of(image: &Image) -> Result<Self, ShipmentError> {
        let root = match image.roots.as_slice() {
            [root] => root.digest.clone(),
            [] => return Err(ShipmentError::NoManifest),
            several => return Err(ShipmentError::Several(several.len())),
        };
        let mut collection = Collection::of(image);
        collection.add(&root, 1)?;
        let Some(last) = collection.documents.last().cloned() else { return Err(ShipmentError::Missing(root)) };
        Ok(Self { documents: collection.documents, root: last, blobs: collection.blobs })
    }

    /// Documents of which the last one names the others, and their blobs. Those that no registry serves are left out.
    pub(super) fn assemble(parts: Vec<Document>, root: Document, blobs: impl IntoIterator<Item = Descriptor>) -> Self {
        let blobs = blobs.into_iter().filter(|blob| is_distributable(&blob.media_type));
        let blobs = blobs.map(|blob| (blob.digest, blob.size)).collect();
        let documents = parts.into_iter().chain([root.clone()]).collect();
        Self { documents, root, blobs }
    }

    /// What the image is known by.
    #[must_use]
    pub const fn root(&self) -> &Document {
        &self.root
    }

    /// Its documents, the root last.
    #[must_use]
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// Its blobs with their sizes.
    #[must_use]
    pub const fn blobs(&self) -> &BTreeMap<Digest, u64> {
        &self.blobs
    }
}

struct Collection<'a> {
    known: BTreeMap<&'a Digest, (&'a str, &'a [u8])>,
    seen: HashSet<Digest>,
    documents: Vec<Document>,
    blobs: BTreeMap<Digest, u64>,
}

impl<'a> Collection<'a> {
    fn of(image: &'a Image) -> Self {
        let indexes = image.indexes.iter().map(|index| (&index.document, index.media_type.as_str()));
        let manifests = image.manifests.iter().map(|manifest| (&manifest.document, manifest.media_type.as_str()));
        let attestations = image.attestations.iter().map(|one| {
            let media_type = Some(one.descriptor.media_type.as_str()).filter(|media_type| !media_type.is_empty());
            (&one.document, media_type.unwrap_or(OCI_MANIFEST))
        });
        let documents = indexes.chain(manifests).chain(attestations);
        let known = documents.map(|(document, kind)| (&document.digest, (kind, document.bytes.as_slice()))).collect();
        Self { known, seen: HashSet::new(), documents: Vec::new(), blobs: BTreeMap::new() }
    }

    /// Adds what a document names, and then the document.
    fn add(&mut self, digest: &Digest, depth: u32) -> Result<(), ShipmentError> {
        if depth > limits::INDEX_DEPTH + 1 {
            return Err(ShipmentError::TooDeep);
        }
        if !self.seen.insert(digest.clone()) {
            return Ok(());
        }
        let Some(&(media_type, bytes)) = self.known.get(digest) else {
            return Err(ShipmentError::Missing(digest.clone()));
        };
        let links = links_of(bytes);
        for link in &links.documents {
            self.add(&link.digest, depth + 1)?;
        }
        for blob in links.blobs {
            if !is_distributable(&blob.media_type) {
                return Err(ShipmentError::NotDistributable(blob.digest));
            }
            self.blobs.insert(blob.digest, blob.size);
        }
        let document = Document { digest: digest.clone(), media_type: media_type.to_owned(), bytes: bytes.to_vec() };
        self.documents.push(document);
        Ok(())
    }
}

fn is_distributable(media_type: &str) -> bool {
    !matches!(kind_of(media_type), Kind::Layer(..))
        || !(media_type.contains(".nondistributable.") || media_type.contains(".foreign."))
}
