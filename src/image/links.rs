//! What a document refers to, for whoever has to fetch it.

use super::json::{self, Names};
use super::media_type::{Kind, kind_of};
use super::model::Descriptor;
use super::resolve::Envelope;

/// What an index or a manifest refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// Indexes and manifests.
    pub documents: Vec<Descriptor>,
    /// Configs, layers and whatever else a manifest holds.
    pub blobs: Vec<Descriptor>,
}

/// What the index or manifest in `bytes` refers to. Nothing where it is neither: reading it will tell why.
#[must_use]
pub fn links_of(bytes: &[u8]) -> Links {
    let Ok(envelope) = json::parse::<Envelope>(Names::Manifest, bytes) else { return Links::default() };
    let is_blob =
        |descriptor: &Descriptor| matches!(kind_of(&descriptor.media_type), Kind::Config(_) | Kind::Layer(..));
    let (mut blobs, documents): (Vec<_>, Vec<_>) =
        envelope.manifests.unwrap_or_default().into_iter().partition(is_blob);
    blobs.extend(envelope.config);
    blobs.extend(envelope.layers.unwrap_or_default());
    Links { documents, blobs }
}
