//! What was read, after every byte of it was checked.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::escape::escape;
use super::layer::LayerFacts;
use super::listing::Entries;
use super::media_type::{Compression, Family};
use super::notes::Note;
use super::source::Container;
use crate::digest::{Digest, Hasher};

/// A JSON document. The bytes are the truth; nothing here is ever written anew.
#[derive(Debug, Clone)]
pub struct Document {
    /// The digest of the bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Document {
    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The parsed form. Documents of an [`Image`] have been parsed before, therefore this gives `null` for no one of them.
    #[must_use]
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }
}

/// A reference to a blob.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "DescriptorFields")]
pub struct Descriptor {
    /// What the blob is; empty where an old writer left it out.
    pub media_type: String,
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The platform of what the blob describes.
    pub platform: Option<Platform>,
    /// Free words.
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Whether it is said to lead to an attestation, as BuildKit says it.
    ///
    /// Engines choose by platform: with a real one, the words of an annotation do not make it less of an image.
    #[must_use]
    pub fn is_called_attestation(&self) -> bool {
        self.annotations.get("vnd.docker.reference.type").is_some_and(|kind| kind == "attestation-manifest")
            && self.platform.as_ref().is_some_and(Platform::is_unknown)
    }
}

/// A descriptor as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescriptorFields {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    size: u64,
    platform: Option<Platform>,
    #[serde(default, deserialize_with = "null_is_default")]
    annotations: BTreeMap<String, String>,
    /// The blob itself, in base64 (image-spec, descriptor.md): some readers take it instead of the blob.
    data: Option<String>,
}

impl TryFrom<DescriptorFields> for Descriptor {
    type Error = String;

    fn try_from(fields: DescriptorFields) -> Result<Self, String> {
        let DescriptorFields { media_type, digest, size, platform, annotations, data } = fields;
        if let Some(data) = data {
            let bytes =
                STANDARD.decode(data).map_err(|error| format!("`data` beside `{digest}` is no base64: {error}"))?;
            let mut hasher = Hasher::new(digest.algorithm());
            hasher.update(&bytes);
            let found = hasher.finish();
            if found != digest || bytes.len() as u64 != size {
                return Err(format!(
                    "`data` has {} bytes of `{found}`, beside {size} bytes of `{digest}`: it is to be the same content",
                    bytes.len()
                ));
            }
        }
        Ok(Self { media_type, digest, size, platform, annotations })
    }
}

/// An operating system and a processor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct Platform {
    /// The operating system, in Go's words.
    #[serde(default)]
    pub os: String,
    /// The processor, in Go's words.
    #[serde(default)]
    pub architecture: String,
    /// The variant of the processor, such as `v7`.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// The version of the operating system; Windows needs it.
    #[serde(
        rename = "os.version",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
    /// Features that the operating system must have.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
}

impl Platform {
    /// The variant as containerd's `platforms.Normalize` writes it: empty where it is what the architecture implies.
    pub(super) fn normal_variant(&self) -> &str {
        match (self.architecture.as_str(), self.variant.as_str()) {
            ("arm64", "8" | "v8") | ("amd64", "v1") => "",
            ("arm", "" | "7") => "v7",
            ("arm", "5") => "v5",
            ("arm", "6") => "v6",
            ("arm", "8") => "v8",
            (_, variant) => variant,
        }
    }

    /// Whether a descriptor of this platform may lead to a config of that one. A descriptor may say less than the config
    /// about version and features, never something else.
    #[must_use]
    pub fn agrees_with(&self, config: &Self) -> bool {
        self.os == config.os
            && self.architecture == config.architecture
            && self.normal_variant() == config.normal_variant()
            && (self.os_version.is_empty() || self.os_version == config.os_version)
            && (self.os_features.is_empty() || self.os_features == config.os_features)
    }

    /// BuildKit's platform for manifests that are no images.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// Reads `OS/ARCHITECTURE[/VARIANT]`, with the other names that containerd knows for architectures.
    ///
    /// ```
    /// use repro::image::Platform;
    ///
    /// let wanted: Platform = "linux/aarch64".parse()?;
    /// assert_eq!(wanted.to_string(), "linux/arm64");
    /// assert!(wanted.agrees_with(&"linux/arm64/v8".parse()?));
    /// # Ok::<(), repro::image::PlatformError>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let words: Vec<&str> = text.split('/').collect();
        let is_word = |word: &&str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let (os, architecture, variant) = match words.as_slice() {
            _ if !words.iter().all(is_word) => return Err(PlatformError(text.to_owned())),
            [os, architecture] => (os, architecture, ""),
            [os, architecture, variant] => (os, architecture, *variant),
            _ => return Err(PlatformError(text.to_owned())),
        };
        let (architecture, variant) = match (architecture.to_ascii_lowercase().as_str(), variant) {
            ("x86_64" | "x86-64", variant) => ("amd64".to_owned(), variant),
            ("aarch64", variant) => ("arm64".to_owned(), variant),
            ("armhf", "") => ("arm".to_owned(), "v7"),
            ("armel", "") => ("arm".to_owned(), "v6"),
            ("i386" | "i686", _) => ("386".to_owned(), ""),
            (other, variant) => (other.to_owned(), variant),
        };
        let (os, variant) = (os.to_ascii_lowercase(), variant.to_ascii_lowercase());
        Ok(Self { os, architecture, variant, ..Self::default() })
    }
}

/// What is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a platform such as `linux/arm64` or `linux/arm/v7`", escape(.0))]
pub struct PlatformError(String);

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.os))?;
        if !self.os_version.is_empty() {
            write!(f, "({})", escape(&self.os_version))?;
        }
        write!(f, "/{}", escape(&self.architecture))?;
        if !self.variant.is_empty() {
            write!(f, "/{}", escape(&self.variant))?;
        }
        Ok(())
    }
}

/// One step in the history of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct History {
    /// When, in RFC 3339.
    pub created: Option<String>,
    /// The instruction.
    #[serde(default, deserialize_with = "null_is_default")]
    pub created_by: String,
    /// Whether it made no layer.
    #[serde(default, deserialize_with = "null_is_default")]
    pub empty_layer: bool,
}

/// The configuration of an image. Its digest is the image ID that engines show.
#[derive(Debug, Clone)]
pub struct Config {
    /// How the manifest refers to it.
    pub descriptor: Descriptor,
    /// The document.
    pub document: Document,
    /// The platform it is for.
    pub platform: Platform,
    /// When the image was made, in RFC 3339.
    pub created: Option<String>,
    /// What made the layers.
    pub history: Vec<History>,
}

/// One layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// How the manifest refers to it.
    pub descriptor: Descriptor,
    /// The digest of the tar inside, as computed and as the config says.
    pub diff_id: Digest,
    /// How the blob is compressed.
    pub compression: Compression,
    /// The size of the tar inside, in bytes.
    pub uncompressed_size: u64,
    /// What its entries say.
    pub facts: Arc<LayerFacts>,
    /// The entries, where they were asked for.
    pub entries: Option<Entries>,
}

/// An image for one platform.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// How the index refers to it (the first time, where it has several names).
    pub descriptor: Descriptor,
    /// The document.
    pub document: Document,
    /// Its media type: that of the descriptor, else its own, else by its form.
    pub media_type: String,
    /// Whose media types it uses.
    pub family: Family,
    /// Annotations of the document.
    pub annotations: BTreeMap<String, String>,
    /// The configuration.
    pub config: Config,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

/// An index below `index.json`: an image for several platforms, or one with attestations.
#[derive(Debug, Clone)]
pub struct Index {
    /// How it is referred to.
    pub descriptor: Descriptor,
    /// The document.
    pub document: Document,
    /// Its media type: that of the descriptor, else its own, else by its form.
    pub media_type: String,
    /// Annotations of the document.
    pub annotations: BTreeMap<String, String>,
}

/// A manifest that holds statements about an image, and is none.
#[derive(Debug, Clone)]
pub struct Attestation {
    /// How the index refers to it.
    pub descriptor: Descriptor,
    /// The document.
    pub document: Document,
    /// The digest of the manifest that it is about.
    pub subject: Option<String>,
    /// Whether it holds in-toto statements and nothing else, as BuildKit writes it.
    pub is_statements: bool,
}

/// An image of an archive that has no manifests: Docker's own form before it took OCI layouts.
///
/// No registry has ever seen it as it is: which digest a push would give depends on how the layers are compressed then.
#[derive(Debug, Clone)]
pub struct DockerImage {
    /// The names that `manifest.json` gives it, sorted.
    pub names: Vec<String>,
    /// The configuration. Its digest is the image ID.
    pub config: Config,
    /// The layers, lowest first. The descriptors are those of the files in the archive.
    pub layers: Vec<Layer>,
}

/// How what was read is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// An OCI image layout, with or without Docker's `manifest.json`.
    OciLayout,
    /// Docker's `manifest.json` alone, which leads to configs and layers by their paths.
    DockerArchive,
    /// A manifest and its blobs side by side: skopeo's `dir:`.
    DockerDir,
    /// Manifests and blobs by their digests, as registries have them.
    Registry,
}

/// What an archive, a directory or a registry holds.
#[derive(Debug, Clone)]
pub struct Image {
    /// How it is laid out.
    pub form: Form,
    /// Where it was read from.
    pub container: Container,
    /// Its size as it is stored, in bytes.
    pub archive_bytes: u64,
    /// `index.json`, in a layout. Its bytes hold names and a date, thus its digest is not that of the image.
    pub index: Option<Document>,
    /// `manifest.json`, where the archive is one for `docker load`.
    pub docker_manifest: Option<Document>,
    /// What `index.json` refers to, or what a registry gave: each digest once, in its order, with the names it is given.
    pub roots: Vec<Root>,
    /// Indexes below `index.json`, each once, outer ones first.
    pub indexes: Vec<Index>,
    /// Images, each once, in the order of the indexes.
    pub manifests: Vec<Manifest>,
    /// Attestations, each once, in the order of the indexes.
    pub attestations: Vec<Attestation>,
    /// Images without manifests, in the order of `manifest.json`.
    pub docker_images: Vec<DockerImage>,
    /// Manifests that an index names and that are not here, or nothing but they: an export for one platform leaves the others
    /// out. Only where [`super::ReadOptions::partial`] takes that.
    pub left_out: Vec<Descriptor>,
    /// What was seen on the way to it and is no fault; [`Image::notes`] tells it.
    pub seen: Vec<Note>,
    /// Blobs with their sizes that were passed over, as [`super::ReadOptions::leave_known`] wants it: of them everything was
    /// checked but whether their bytes are those of their digests.
    pub unread: BTreeMap<Digest, u64>,
}

/// What `index.json` refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The digest of a manifest or of an index.
    pub digest: Digest,
    /// The names that its descriptors give it, sorted.
    pub names: Vec<String>,
    /// What else is said beside the name: BuildKit adds a date. Never a part of the image, nor of its digest.
    pub annotations: BTreeMap<String, String>,
}

impl Image {
    /// The layers of each image in it.
    pub fn layer_lists(&self) -> impl Iterator<Item = &[Layer]> {
        let manifests = self.manifests.iter().map(|manifest| manifest.layers.as_slice());
        manifests.chain(self.docker_images.iter().map(|docker| docker.layers.as_slice()))
    }

    /// Whether all is here that its indexes name.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.left_out.is_empty()
    }

    /// The digest that a registry shows after a push: of the manifest, or of the index where there are several. None where the
    /// archive holds several images side by side, or no manifest.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match self.roots.as_slice() {
            [root] => Some(&root.digest),
            _ => None,
        }
    }
}

/// Go writes `null` for an empty list or map, and reads it so.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
