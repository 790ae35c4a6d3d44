//! Attaching something to an image that is in a registry: a manifest with a subject (distribution-spec 1.1, "Pushing Manifests
//! with Subject").
//!
//! The image keeps its digest, for nothing of it is written again. A registry that lists referrers itself says so; of another one
//! the list lies under a tag, to which everybody adds what is theirs.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{Blob, Offered, RegistryError, Repository, limits};
use crate::digest::Digest;
use crate::image::media_type::{OCI_INDEX, OCI_MANIFEST};
use crate::image::{Descriptor, Referrer, referrers_tag};

/// How often a list is written and found without what was added, because somebody else wrote it at the same time.
const ROUNDS: u32 = 5;

/// Why something was not attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Something else has the name of the list.
    #[error("the tag `{tag}`, which lists what is attached to the image, cannot be added to: {reason}")]
    List {
        /// The tag.
        tag: String,
        /// Why not.
        reason: String,
    },
    /// Others write it all the time.
    #[error("the tag `{0}`, which lists what is attached to the image, was written by somebody else each time")]
    Lost(String),
}

impl AttachError {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Registry(error) => error.hint(),
            Self::List { .. } => "look what the tag names, and remove it if it is no list; nothing of it was changed",
            Self::Lost(_) => "try again when nobody else attaches to this image",
        }
    }
}

/// What points to a manifest that is in the repository.
pub async fn load_descriptor(repository: &Repository, digest: &Digest) -> Result<Descriptor, RegistryError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Envelope {
        media_type: String,
    }
    let found = repository.manifest(digest).await?;
    let own = serde_json::from_slice(&found.bytes).ok().map(|envelope: Envelope| envelope.media_type);
    let media_type = own.or(found.content_type).unwrap_or_else(|| OCI_MANIFEST.to_owned());
    let size = found.bytes.len() as u64;
    Ok(Descriptor { media_type, digest: found.digest, size, platform: None, annotations: BTreeMap::new() })
}

/// Attaches it to its subject, which has to be in the repository. What is attached already is attached once.
pub async fn attach(repository: &Repository, referrer: &Referrer) -> Result<(), AttachError> {
    for blob in &referrer.blobs {
        send(repository, blob).await?;
    }
    let Referrer { subject, document, .. } = referrer;
    let listed = repository.put_manifest(None, &document.digest, OCI_MANIFEST, &document.bytes).await?;
    if listed.as_ref() == Some(subject) {
        return Ok(());
    }
    let tag = referrers_tag(subject);
    for _ in 0..ROUNDS {
        let found = repository.find(Some(&tag), subject).await?;
        let wrong = |reason| AttachError::List { tag: tag.clone(), reason };
        let added = referrer.add_to(found.as_ref().map(|found| found.bytes.as_slice())).map_err(wrong)?;
        // Once it was written, this is the look whether it is still there.
        let Some(list) = added else { return Ok(()) };
        if list.len() as u64 > limits::MANIFEST_BYTES {
            return Err(wrong(format!("it would have more than {} bytes", limits::MANIFEST_BYTES)));
        }
        repository.put_manifest(Some(&tag), &Digest::of(&list), OCI_INDEX, &list).await?;
    }
    Err(AttachError::Lost(tag))
}

/// Sends a small blob, unless it is there.
async fn send(repository: &Repository, bytes: &[u8]) -> Result<(), RegistryError> {
    let blob = Blob { digest: Digest::of(bytes), size: bytes.len() as u64 };
    if repository.has_blob(&blob).await? {
        return Ok(());
    }
    repository
        .retrying(async || {
            let Offered::Wanted(upload) = repository.offer_blob(&blob, None).await? else { return Ok(()) };
            let (sender, pieces) = mpsc::channel(1);
            // There is room for one, and who waits for it holds the other end.
            let _ = sender.send(Bytes::copy_from_slice(bytes)).await;
            drop(sender);
            repository.send_blob(upload, &blob, pieces).await
        })
        .await
}
