//! Layers that were inflated and walked before.
//!
//! What a blob inflates to, and what its entries say, follows from its bytes, and which bytes they are is told by their digest.
//! So a layer that comes again, as a base image does in each build, is only hashed: half the work of the checks is inflating
//! what was inflated the day before.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::layer::{LayerContent, LayerFacts};
use super::media_type::Compression;
use super::model::{Image, Layer};
use crate::digest::{Algorithm, Digest};
use crate::limits;

/// What was found in layers, by the digests of their blobs; the one learned last is last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KnownLayers(Vec<KnownLayer>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownLayer {
    digest: Digest,
    compression: Compression,
    diff_id: Digest,
    uncompressed_size: u64,
    facts: LayerFacts,
}

impl KnownLayers {
    /// What reading the blob with this digest would find, as far as that is known for this epoch.
    pub(super) fn recall(&self, digest: &Digest, epoch: Option<i64>) -> Option<LayerContent> {
        let known = self.0.iter().find(|known| known.digest == *digest)?;
        Some(LayerContent {
            compression: known.compression,
            diff_id: known.diff_id.clone(),
            diff_id_512: None,
            uncompressed_size: known.uncompressed_size,
            facts: Arc::new(known.facts.against(epoch)?),
            entries: None,
        })
    }

    /// Takes in the layers of an image that was read and found sound. False if nothing in it is new.
    ///
    /// Small layers are left out: inflating them costs less than remembering them.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use repro::image::{ReadOptions, load_image};
    ///
    /// # let (first, second) = ("fuzz/corpus/archive/docker-v0.19.tar", "fuzz/corpus/archive/docker-v0.31.tar");
    /// let mut options = ReadOptions::default();
    /// let one = load_image(Path::new(first), &options)?;
    /// options.known.learn(&one);
    /// // The layers that both have are hashed here, and not inflated again.
    /// let other = load_image(Path::new(second), &options)?;
    /// # Ok::<(), repro::image::ImageError>(())
    /// ```
    pub fn learn(&mut self, image: &Image) -> bool {
        let mut learned = false;
        let layers = image.manifests.iter().flat_map(|manifest| &manifest.layers);
        let is_worth_it = |layer: &&Layer| {
            // Of a blob in sha512 the diff ID may be wanted in sha512 too, and only one is kept here.
            layer.descriptor.size >= limits::KNOWN_LAYER_BYTES
                && layer.descriptor.digest.algorithm() == Algorithm::Sha256
                && layer.diff_id.algorithm() == Algorithm::Sha256
        };
        for layer in layers.filter(is_worth_it) {
            let known = KnownLayer {
                digest: layer.descriptor.digest.clone(),
                compression: layer.compression,
                diff_id: layer.diff_id.clone(),
                uncompressed_size: layer.uncompressed_size,
                facts: LayerFacts::clone(&layer.facts),
            };
            let before = self.0.iter().position(|other| other.digest == known.digest);
            learned |= before.is_none_or(|at| self.0[at] != known);
            before.map(|at| self.0.remove(at));
            self.0.push(known);
        }
        let surplus = self.0.len().saturating_sub(limits::KNOWN_LAYERS);
        self.0.drain(..surplus);
        learned
    }
}
