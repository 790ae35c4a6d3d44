//! The config of an image that is in a registry, without its layers.

use super::{Blob, RegistryError, Repository};
use crate::digest::Digest;
use crate::image::media_type::{Kind, kind_of};
use crate::image::{Platform, links_of, parse_platform};
use crate::limits;
use crate::reference::ImageReference;

/// The digest of the manifest that an image has for `platform`, and the bytes of the config that it names; nothing where there is
/// no such manifest.
pub async fn load_config(
    repository: &Repository,
    reference: &ImageReference,
    platform: &Platform,
) -> Result<Option<(Digest, Vec<u8>)>, RegistryError> {
    let top = match reference.digest() {
        Some(digest) => repository.manifest(digest).await?,
        None => repository.resolve(reference.tag().unwrap_or("latest")).await?,
    };
    let entries = links_of(&top.bytes).documents;
    let is_wanted = |found: &Platform| platform.agrees_with(found);
    let manifest = match entries.iter().find(|entry| entry.platform.as_ref().is_some_and(is_wanted)) {
        Some(entry) => repository.manifest(&entry.digest).await?,
        None => top,
    };
    let is_config = |media_type: &str| matches!(kind_of(media_type), Kind::Config(_));
    let config = links_of(&manifest.bytes).blobs.into_iter().find(|blob| is_config(&blob.media_type));
    let Some(config) = config else { return Ok(None) };
    let blob = Blob { digest: config.digest, size: config.size };
    let config = repository.blob(&blob, limits::DOCUMENT_BYTES).await?;
    let is_for_it = parse_platform(&config).is_ok_and(|found| is_wanted(&found));
    Ok(is_for_it.then_some((manifest.digest, config)))
}
