//! Index, manifest and configuration, as far as the way to the layers goes. Pure functions on bytes.

use std::fmt;

use serde::Deserialize;

use crate::digest::Digest;
use crate::registry::Blob;

use super::{BinariesError, limits};

/// An operating system and a processor, as the image-spec names them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// The operating system, `linux`.
    #[serde(default)]
    pub os: String,
    /// The processor, `amd64`, `arm64`, …
    #[serde(default)]
    pub architecture: String,
    /// Its variant, `v7` and the like, where there are several.
    #[serde(default)]
    pub variant: Option<String>,
}

impl Platform {
    /// Linux on the processor that this program was compiled for.
    #[must_use]
    pub fn host() -> Self {
        let little = cfg!(target_endian = "little");
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", None),
            "arm" => ("arm", Some("v7")),
            "powerpc64" if little => ("ppc64le", None),
            "loongarch64" => ("loong64", None),
            other => (other, None),
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: variant.map(str::to_owned) }
    }

    /// Whether an image for `other` runs on this platform. A variant that one of them does not name excludes nothing.
    fn runs(&self, other: &Self) -> bool {
        let variants_agree = match (&self.variant, &other.variant) {
            (Some(wanted), Some(there)) => wanted == there,
            // containerd `platforms.Normalize`: arm64 without a variant is v8.
            (None, Some(there)) => there == "v8" || self.architecture != "arm64",
            _ => true,
        };
        self.os == other.os && self.architecture == other.architecture && variants_agree
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// What points to a blob or document.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) platform: Option<Platform>,
}

impl Descriptor {
    pub(super) fn blob(&self) -> Blob {
        Blob { digest: self.digest.clone(), size: self.size }
    }
}

/// A document that a pin can name.
#[derive(Debug)]
pub(super) enum Document {
    Index(Vec<Descriptor>),
    Manifest { config: Descriptor, layers: Vec<Descriptor> },
}

/// Reads an index or a manifest. Which of them it is the document itself must say without contradiction: one that can be
/// read as both would mean different images to different readers (CVE-2021-41190).
pub(super) fn parse_document(bytes: &[u8], digest: &Digest) -> Result<Document, BinariesError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Raw {
        schema_version: u64,
        media_type: Option<String>,
        manifests: Option<Vec<Descriptor>>,
        config: Option<Descriptor>,
        layers: Option<Vec<Descriptor>>,
    }
    let fault = |reason: String| BinariesError::Document { what: "manifest", digest: digest.clone(), reason };
    let raw: Raw = serde_json::from_slice(bytes).map_err(|error| fault(error.to_string()))?;
    if raw.schema_version != 2 {
        return Err(fault(format!("schema version {} is not 2", raw.schema_version)));
    }
    let kind = match raw.media_type.as_deref() {
        None => None,
        Some(
            "application/vnd.oci.image.index.v1+json" | "application/vnd.docker.distribution.manifest.list.v2+json",
        ) => Some("index"),
        Some("application/vnd.oci.image.manifest.v1+json" | "application/vnd.docker.distribution.manifest.v2+json") => {
            Some("manifest")
        }
        Some(other) => return Err(fault(format!("media type `{}` is not an image's", other.escape_debug()))),
    };
    match (kind, raw.manifests, raw.config, raw.layers) {
        (Some("index") | None, Some(manifests), None, None) => Ok(Document::Index(manifests)),
        (Some("manifest") | None, None, Some(config), Some(layers)) => {
            if layers.len() > limits::LAYERS {
                return Err(BinariesError::TooLarge {
                    what: format!("manifest `{digest}`"),
                    limit: limits::LAYERS as u64,
                    unit: "layers",
                });
            }
            Ok(Document::Manifest { config, layers })
        }
        _ => Err(fault("it is neither plainly an index nor plainly a manifest".to_owned())),
    }
}

/// The first entry of an index for a platform, as every engine chooses.
pub(super) fn select<'a>(
    entries: &'a [Descriptor],
    wanted: &Platform,
    index: &Digest,
) -> Result<&'a Descriptor, BinariesError> {
    let runs = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|platform| wanted.runs(platform));
    if let Some(entry) = entries.iter().find(runs) {
        return Ok(entry);
    }
    // An index with one entry and no platform at all names its image all the same; the config tells its platform.
    if let [only] = entries
        && only.platform.is_none()
    {
        return Ok(only);
    }
    let mut available: Vec<String> =
        entries.iter().filter_map(|entry| Some(entry.platform.as_ref()?.to_string())).collect();
    available.retain(|platform| platform != "unknown/unknown");
    available.sort();
    available.dedup();
    Err(no_platform(index, wanted, &available))
}

fn no_platform(digest: &Digest, wanted: &Platform, available: &[String]) -> BinariesError {
    let texts: Vec<String> =
        available.iter().take(32).map(|platform| format!("`{}`", platform.escape_debug())).collect();
    BinariesError::Platform {
        digest: digest.clone(),
        wanted: wanted.to_string(),
        available: if texts.is_empty() { "none that is named".to_owned() } else { texts.join(", ") },
    }
}

/// The diff IDs of a configuration, one for each of `layers` layers, of an image for this platform.
pub(super) fn parse_config(
    bytes: &[u8],
    digest: &Digest,
    platform: &Platform,
    layers: usize,
) -> Result<Vec<Digest>, BinariesError> {
    #[derive(Deserialize)]
    struct Raw {
        #[serde(flatten)]
        platform: Platform,
        rootfs: RootFs,
    }
    #[derive(Deserialize)]
    struct RootFs {
        diff_ids: Vec<Digest>,
    }
    let fault = |reason: String| BinariesError::Document { what: "config", digest: digest.clone(), reason };
    let raw: Raw = serde_json::from_slice(bytes).map_err(|error| fault(error.to_string()))?;
    if !platform.runs(&raw.platform) {
        return Err(no_platform(digest, platform, &[raw.platform.to_string()]));
    }
    if raw.rootfs.diff_ids.len() != layers {
        return Err(fault(format!("it has {} diff IDs for {layers} layers", raw.rootfs.diff_ids.len())));
    }
    Ok(raw.rootfs.diff_ids)
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// The compression that a layer's media type names.
pub(super) fn compression(layer: &Descriptor) -> Result<Compression, BinariesError> {
    match layer.media_type.as_str() {
        "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
            Ok(Compression::None)
        }
        "application/vnd.oci.image.layer.v1.tar+gzip" | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
            Ok(Compression::Gzip)
        }
        "application/vnd.oci.image.layer.v1.tar+zstd" | "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
            Ok(Compression::Zstd)
        }
        other => Err(BinariesError::Layer {
            layer: layer.digest.clone(),
            reason: format!("media type `{}` is not a layer's", other.escape_debug()),
        }),
    }
}
