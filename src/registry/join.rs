//! Images that lie in a registry, joined to an index that is to lie there, too.
//!
//! All documents are fetched by digest, and what they say of each other is held against what they are: the platform of an image
//! comes from its config, never from whoever lists it.

use std::cell::Cell;
use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use futures_util::stream::{self, StreamExt as _};

use super::limits::ASKED_AT_ONCE;
use super::{Blob, Document, RegistryError, Repository, Shipment};
use crate::digest::Digest;
use crate::image::media_type::OCI_MANIFEST;
use crate::image::{
    Descriptor, IndexAnnotations, JoinError, Joinable, Joined, Platform, check_platform, parse_joinable, parse_platform,
};
use crate::limits;

/// An image, or an index with its members.
#[derive(Debug)]
pub struct Part<'a> {
    /// Where it is.
    pub repository: &'a Repository,
    /// Its digest.
    pub digest: Digest,
}

/// An index with all that belongs to it.
#[derive(Debug)]
pub struct IndexShipment {
    /// What has to be in the registry.
    pub shipment: Shipment,
    /// Its images, in its order.
    pub images: Vec<SentImage>,
    /// How many attestations it has.
    pub attestations: usize,
    /// Which of the parts has a blob.
    pub parts: BTreeMap<Digest, usize>,
}

/// An image of an index.
#[derive(Debug, Clone)]
pub struct SentImage {
    /// What it is for.
    pub platform: Platform,
    /// Its digest.
    pub digest: Digest,
    /// Which of the parts it is, or is of.
    pub part: usize,
}

/// Why there is no index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The registry did not give a part of it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It is something that an index cannot be made of.
    #[error("`{digest}`: {reason}")]
    Document {
        /// Its digest.
        digest: Box<Digest>,
        /// Why.
        reason: String,
    },
    /// More than any real index.
    #[error("the manifests and configs are larger than {} bytes together", limits::DOCUMENTS_TOTAL_BYTES)]
    TooLarge,
    /// They make no index.
    #[error(transparent)]
    Join(#[from] JoinError),
}

impl IndexError {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Document { .. } => {
                "give the digests of images, or of indexes that BuildKit wrote, as `repro push` prints them"
            }
            Self::TooLarge => "look what the digests are: real manifests have some KiB",
            Self::Join(error) => error.hint(),
        }
    }
}

/// Fetches what the parts say of themselves, and makes the index of them.
pub async fn join(parts: &[Part<'_>], annotations: IndexAnnotations) -> Result<IndexShipment, IndexError> {
    let reader = Reader { left: Cell::new(limits::DOCUMENTS_TOTAL_BYTES) };
    let found: Vec<Found> =
        stream::iter(parts).map(|part| reader.part(part)).buffered(ASKED_AT_ONCE).try_collect().await?;
    let (mut joined, mut images, mut documents, mut blobs) =
        (Joined::new(annotations), Vec::new(), Vec::new(), Vec::new());
    let (mut attestations, mut parts_of) = (0, BTreeMap::new());
    for (at, found) in found.into_iter().enumerate() {
        joined.add_annotations(found.annotations)?;
        for member in found.members {
            if let Some(platform) = member.platform {
                images.push(SentImage { platform: platform.clone(), digest: member.document.digest.clone(), part: at });
                joined.add_image(platform, member.descriptor)?;
            } else {
                attestations += 1;
                joined.add_attestation(member.descriptor);
            }
            documents.push(member.document);
            parts_of.extend(member.blobs.iter().map(|blob| (blob.digest.clone(), at)));
            blobs.extend(member.blobs);
        }
    }
    let index = joined.finish()?;
    let (digest, media_type) = (Digest::of(&index.bytes), index.media_type.to_owned());
    let shipment = Shipment::assemble(documents, Document { digest, media_type, bytes: index.bytes }, blobs);
    Ok(IndexShipment { shipment, images, attestations, parts: parts_of })
}

/// What is behind a digest.
struct Found {
    members: Vec<Member>,
    annotations: BTreeMap<String, String>,
}

/// An image, or, without a platform, an attestation.
struct Member {
    platform: Option<Platform>,
    descriptor: Descriptor,
    document: Document,
    blobs: Vec<Descriptor>,
}

struct Reader {
    /// How many bytes of documents may still come.
    left: Cell<u64>,
}

impl Reader {
    async fn part(&self, part: &Part<'_>) -> Result<Found, IndexError> {
        let (bytes, found) = self.document(part.repository, &part.digest).await?;
        let (listed, annotations) = match found {
            Joinable::Index { members, annotations } => (members, annotations),
            Joinable::Manifest { media_type, config, blobs } => {
                // By its form, as image-spec ("Image Manifest") has it where there is none.
                let media_type = media_type.unwrap_or_else(|| OCI_MANIFEST.to_owned());
                let descriptor = Descriptor {
                    media_type: media_type.clone(),
                    digest: part.digest.clone(),
                    size: bytes.len() as u64,
                    platform: None,
                    annotations: BTreeMap::new(),
                };
                let platform = Some(self.platform(part.repository, &part.digest, config).await?);
                let document = Document { digest: part.digest.clone(), media_type, bytes };
                let members = vec![Member { platform, descriptor, document, blobs }];
                return Ok(Found { members, annotations: BTreeMap::new() });
            }
        };
        let members =
            stream::iter(listed).map(|one| self.member(part.repository, one)).buffered(ASKED_AT_ONCE).try_collect();
        Ok(Found { members: members.await?, annotations })
    }

    /// What an index lists, held against what is there.
    async fn member(&self, repository: &Repository, descriptor: Descriptor) -> Result<Member, IndexError> {
        let digest = &descriptor.digest;
        let wrong = |reason: String| IndexError::Document { digest: Box::new(digest.clone()), reason };
        let (bytes, found) = self.document(repository, digest).await?;
        let Joinable::Manifest { media_type, config, blobs } = found else {
            return Err(wrong("an index that an index names is not taken over".to_owned()));
        };
        if bytes.len() as u64 != descriptor.size {
            return Err(wrong(format!("it has {} bytes, and the index says {}", bytes.len(), descriptor.size)));
        }
        if let Some(media_type) = media_type.filter(|media_type| *media_type != descriptor.media_type) {
            return Err(wrong(format!("it is `{media_type}`, and the index says `{}`", descriptor.media_type)));
        }
        let is_attestation = descriptor.platform.as_ref().is_some_and(Platform::is_unknown);
        let platform = if is_attestation { None } else { Some(self.platform(repository, digest, config).await?) };
        if let (Some(listed), Some(platform)) = (&descriptor.platform, &platform) {
            check_platform(listed, platform).map_err(wrong)?;
        }
        let document = Document { digest: digest.clone(), media_type: descriptor.media_type.clone(), bytes };
        Ok(Member { platform, descriptor, document, blobs })
    }

    async fn document(&self, repository: &Repository, digest: &Digest) -> Result<(Vec<u8>, Joinable), IndexError> {
        let bytes = repository.manifest(digest).await?.bytes;
        self.count(&bytes)?;
        let found = parse_joinable(&bytes)
            .map_err(|reason| IndexError::Document { digest: Box::new(digest.clone()), reason })?;
        Ok((bytes, found))
    }

    /// The platform that the config of a manifest says.
    async fn platform(
        &self,
        repository: &Repository,
        manifest: &Digest,
        config: Option<Box<Descriptor>>,
    ) -> Result<Platform, IndexError> {
        let wrong = |reason: String| IndexError::Document { digest: Box::new(manifest.clone()), reason };
        let config = config.ok_or_else(|| wrong("it is no image: its config is something else".to_owned()))?;
        let blob = Blob { digest: config.digest, size: config.size };
        let bytes = repository.blob(&blob, limits::DOCUMENT_BYTES).await?;
        self.count(&bytes)?;
        parse_platform(&bytes).map_err(|reason| wrong(format!("config `{}`: {reason}", blob.digest)))
    }

    fn count(&self, bytes: &[u8]) -> Result<(), IndexError> {
        self.left.set(self.left.get().checked_sub(bytes.len() as u64).ok_or(IndexError::TooLarge)?);
        Ok(())
    }
}
