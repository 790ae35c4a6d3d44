//! What the base images of a build really are: the manifests that the registry gave to BuildKit.
//!
//! BuildKit's cache knows layers by what is in them, not by how they are compressed. Where an image with the same contents
//! in another compression was used on the same builder before, it puts that image's blobs into the archive, so that the
//! digest depends on what the builder did earlier (measured: a gzip and a zstd base with equal diff IDs). The record of the
//! build shows the cache's view; only the manifests themselves tell.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::frontend::name_of;
use crate::digest::Digest;
use crate::environment::Environment;
use crate::limits::DOCUMENT_BYTES;
use crate::network::Route;
use crate::plan::Platform;
use crate::provenance::{Material, Provenance};
use crate::reference::ImageReference;
use crate::runtime::engine::Engine;
use crate::runtime::remote::load_document;
use crate::runtime::steps::Documents;

/// An image that a build read, as its registry describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    /// The layers as stored, lowest first.
    pub layers: Vec<Digest>,
    /// The layers uncompressed.
    pub diff_ids: Vec<Digest>,
}

/// Every base image; `None` where a document is out of reach.
pub async fn load_bases(provenance: &Provenance, library: &Library<'_>) -> Option<Vec<BaseImage>> {
    let mut bases = Vec::new();
    for material in &provenance.materials {
        let Some(digest) = image_digest(material) else { continue };
        let name = name_of(material);
        let document = library.load(&digest, name.as_ref(), None).await?;
        let Some(manifests) = document.get("manifests").and_then(Value::as_array) else {
            bases.push(library.load_base(&document, name.as_ref()).await?);
            continue;
        };
        let before = bases.len();
        // BuildKit fetched only the manifests of the platforms that it built for.
        let wanted = manifests.iter().filter(|entry| library.wants(entry));
        let wanted: BTreeSet<Digest> = wanted.filter_map(|entry| entry.get("digest")?.as_str()?.parse().ok()).collect();
        for digest in wanted {
            match library.load(&digest, name.as_ref(), None).await {
                Some(manifest) => bases.push(library.load_base(&manifest, name.as_ref()).await?),
                // A registry that is out of reach for a moment still has it, and it may be the one that matters.
                None if library.has_all() => return None,
                None => {}
            }
        }
        if bases.len() == before {
            return None;
        }
    }
    Some(bases)
}

/// Where the documents of images can be had.
#[derive(Clone, Copy)]
pub struct Library<'a> {
    /// Where the steps say they are.
    pub documents: &'a Documents,
    /// The Docker daemon.
    pub engine: Option<&'a Engine>,
    /// How registries are asked.
    pub environment: &'a Environment,
    /// How they are reached.
    pub route: &'a Route,
    /// What was built for.
    pub platforms: &'a [Platform],
}

impl Library<'_> {
    /// Whether everything is there that an index names, as in a registry. BuildKit keeps what it fetched.
    const fn has_all(&self) -> bool {
        matches!(self.documents, Documents::Origin { .. })
    }

    /// Whether an index's entry may be needed. BuildKit keeps no others; a registry has all, attestations among them.
    fn wants(&self, entry: &Value) -> bool {
        let is =
            |pointer: &str, name: &str| entry.pointer(pointer).and_then(Value::as_str).is_none_or(|text| text == name);
        !self.has_all()
            || self.platforms.iter().any(|platform| {
                is("/platform/os", &platform.os) && is("/platform/architecture", &platform.architecture)
            })
    }

    /// The base image of a manifest; `name` is what the build called it.
    async fn load_base(&self, manifest: &Value, name: Option<&ImageReference>) -> Option<BaseImage> {
        let layers = digests(manifest.get("layers")?, "/digest")?;
        let config: Digest = manifest.pointer("/config/digest")?.as_str()?.parse().ok()?;
        let size = manifest.pointer("/config/size").and_then(Value::as_u64).filter(|size| *size <= DOCUMENT_BYTES)?;
        let config = self.load(&config, name, Some(size)).await?;
        let diff_ids = digests(config.pointer("/rootfs/diff_ids")?, "")?;
        (layers.len() == diff_ids.len()).then_some(BaseImage { layers, diff_ids })
    }

    /// One document; bytes that are not those of the digest are none. A config has a `size`, a manifest has none.
    pub async fn load(&self, digest: &Digest, name: Option<&ImageReference>, size: Option<u64>) -> Option<Value> {
        let bytes = match self.documents {
            Documents::Directory(directory) => read_small(&directory.join(digest.hex()))?,
            Documents::Container { name, state } => {
                let path = format!("{state}/runc-overlayfs/content/blobs/sha256/{}", digest.hex());
                self.engine?.read_file(name, &path, DOCUMENT_BYTES).await?
            }
            Documents::Origin { layouts } => {
                let blob = Path::new("blobs").join(digest.algorithm().name()).join(digest.hex());
                match layouts.iter().find_map(|layout| read_small(&layout.join(&blob))) {
                    Some(bytes) => bytes,
                    None => load_document(self.environment, self.route, name?, digest, size).await?,
                }
            }
        };
        if Digest::of(&bytes) != *digest {
            return None;
        }
        serde_json::from_slice(&bytes).ok()
    }
}

fn read_small(path: &Path) -> Option<Vec<u8>> {
    let small = path.metadata().is_ok_and(|metadata| metadata.len() <= DOCUMENT_BYTES);
    small.then(|| fs::read(path).ok()).flatten()
}

/// The digests in a list, each where the pointer leads.
fn digests(list: &Value, pointer: &str) -> Option<Vec<Digest>> {
    // Go writes an empty list as null.
    let Some(list) = list.as_array() else { return list.is_null().then(Vec::new) };
    list.iter().map(|entry| entry.pointer(pointer)?.as_str()?.parse().ok()).collect()
}

/// A layer of the image that has the contents of a base's layer, in another compression than the base image has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substitution {
    /// Which layer, counted from 0.
    pub layer: usize,
    /// Its digest in the image.
    pub found: Digest,
    /// Its digest in the base image.
    pub expected: Digest,
}

/// Whether the layers of the base in an image are those of the base image, byte for byte. `layers` are pairs of digest and
/// diff ID, lowest first.
pub fn check_base(layers: &[(&Digest, &Digest)], bases: &[BaseImage]) -> Result<(), Substitution> {
    let is_prefix = |base: &&BaseImage| {
        base.diff_ids.len() <= layers.len()
            && base.diff_ids.iter().zip(layers).all(|(base, (_, diff_id))| base == *diff_id)
    };
    let longest = bases.iter().filter(is_prefix).map(|base| base.diff_ids.len()).max().unwrap_or_default();
    let mut first = None;
    for base in bases.iter().filter(is_prefix).filter(|base| base.diff_ids.len() == longest) {
        let differing = base.layers.iter().zip(layers).position(|(base, (digest, _))| base != *digest);
        let Some(layer) = differing else { return Ok(()) };
        let found = layers[layer].0.clone();
        first.get_or_insert(Substitution { layer, found, expected: base.layers[layer].clone() });
    }
    first.map_or(Ok(()), Err)
}

/// The digest of a material that is an image of a registry or layout.
fn image_digest(material: &Material) -> Option<Digest> {
    let is_image = ["pkg:docker/", "pkg:oci/"].iter().any(|kind| material.uri.starts_with(kind));
    let hex = material.digest.get("sha256").filter(|_| is_image)?;
    format!("sha256:{hex}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn base(layers: &[&str], diff_ids: &[&str]) -> BaseImage {
        BaseImage { layers: layers.iter().map(|l| d(l)).collect(), diff_ids: diff_ids.iter().map(|l| d(l)).collect() }
    }

    #[test]
    fn a_base_in_another_compression_is_told() {
        let gzip = base(&["1.gz", "2.gz"], &["1", "2"]);
        let zstd = base(&["1.zst", "2.zst"], &["1", "2"]);
        let shorter = base(&["1.zst"], &["1"]);
        let digests = [d("1.gz"), d("2.zst"), d("own.gz"), d("1"), d("2"), d("own")];
        let mixed = [(&digests[0], &digests[3]), (&digests[1], &digests[4]), (&digests[2], &digests[5])];
        let expected = Substitution { layer: 1, found: d("2.zst"), expected: d("2.gz") };
        assert_eq!(check_base(&mixed, std::slice::from_ref(&gzip)), Err(expected.clone()));
        assert_eq!(check_base(&mixed, &[shorter.clone(), gzip.clone()]), Err(expected), "the longest is the base");
        let right_digests = [d("1.gz"), d("2.gz")];
        let right = [(&right_digests[0], &digests[3]), (&right_digests[1], &digests[4])];
        assert_eq!(check_base(&right, &[zstd, gzip]), Ok(()), "a build may use both");
        assert_eq!(check_base(&right, &[]), Ok(()));
        assert_eq!(
            check_base(&right[..1], &[base(&["1.gz", "2.gz"], &["1", "2"])]),
            Ok(()),
            "a part of a base is none"
        );
    }
}
