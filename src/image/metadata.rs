//! What the builder says about the image, held against the image.

use super::fault::{Fault, FaultKind, Faults};
use super::model::Image;
use crate::digest::Digest;

/// Whether the digests of BuildKit's metadata are those of the archive: `containerimage.digest` that of what `index.json`
/// refers to, `containerimage.config.digest` (only written for one platform) that of a config.
pub fn metadata_agrees(image: &Image, digest: &Digest, config: Option<&Digest>) -> Result<(), Vec<Fault>> {
    let mut faults = Faults::default();
    if image.digest() != Some(digest) {
        let found: Vec<_> = image.roots.iter().map(|root| root.digest.to_string()).collect();
        let kind = FaultKind::Metadata { expected: digest.clone(), found: found.join(", ") };
        faults.add("`containerimage.digest`", kind);
    }
    let configs = || image.manifests.iter().map(|manifest| &manifest.config.document.digest);
    if let Some(config) = config.filter(|config| !configs().any(|found| found == *config)) {
        let found: Vec<_> = configs().map(Digest::to_string).collect();
        let kind = FaultKind::Metadata { expected: config.clone(), found: found.join(", ") };
        faults.add("`containerimage.config.digest`", kind);
    }
    let faults = faults.into_vec();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}
