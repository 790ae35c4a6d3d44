//! Images that were built apart, joined to one index: the bytes that BuildKit writes when it builds all of them at once.
//!
//! BuildKit's exporter (`exporter/containerimage/writer.go`) lists the images in the order of their platforms and behind them
//! all attestations, and renders with Go's `encoding/json`: keys in the order of `image-spec/specs-go`, two blanks a level, no
//! newline at the end. `tests/lab/index.rs` holds that against what BuildKit pushes.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::fault::shorten;
use super::json::{self, Names};
use super::links::links_of;
use super::media_type::{DOCKER_INDEX, Family, Kind, OCI_INDEX, OCI_MANIFEST, kind_of};
use super::model::{Descriptor, Platform};
use super::resolve::{ConfigFields, Envelope};
use crate::digest::Digest;
use crate::limits;

/// A document that an index can be made of.
#[derive(Debug, Clone)]
pub enum Joinable {
    /// A manifest.
    Manifest {
        /// Its media type, where it says one.
        media_type: Option<String>,
        /// The config, where it is that of an image.
        config: Option<Box<Descriptor>>,
        /// All that it names, the config as well.
        blobs: Vec<Descriptor>,
    },
    /// An index, whose members are taken over.
    Index {
        /// Its images and attestations.
        members: Vec<Descriptor>,
        /// Its annotations.
        annotations: BTreeMap<String, String>,
    },
}

/// Reads a manifest, or an index of which nothing would be lost. The error says why not, ready to print.
pub fn parse_joinable(bytes: &[u8]) -> Result<Joinable, String> {
    read_joinable(bytes).map_err(|reason| shorten(&reason))
}

fn read_joinable(bytes: &[u8]) -> Result<Joinable, String> {
    let envelope: Envelope = json::parse(Names::Manifest, bytes)?;
    if envelope.schema_version != Some(2) {
        return Err("its `schemaVersion` is not 2".to_owned());
    }
    let form = if envelope.manifests.is_some() { OCI_INDEX } else { OCI_MANIFEST };
    let media_type = if envelope.media_type.is_empty() { form } else { envelope.media_type.as_str() };
    match (kind_of(media_type), envelope.manifests, envelope.config) {
        (Kind::Index(_), Some(members), None) if envelope.layers.is_none() => {
            if let Some(other) = members.iter().find(|member| !matches!(kind_of(&member.media_type), Kind::Manifest(_)))
            {
                return Err(format!("it names `{}`, which is no manifest by its media type", other.digest));
            }
            let known = render(&envelope.media_type, &members.iter().collect::<Vec<_>>(), &envelope.annotations);
            if serde_json::from_str::<Value>(&known).ok() != serde_json::from_slice(bytes).ok() {
                return Err("it says more of its members than an index of BuildKit, which would be lost".to_owned());
            }
            Ok(Joinable::Index { members, annotations: envelope.annotations })
        }
        (Kind::Manifest(_), None, Some(config)) => {
            let is_image = matches!(kind_of(&config.media_type), Kind::Config(_));
            let config = is_image.then(|| Box::new(config));
            let media_type = Some(envelope.media_type).filter(|media_type| !media_type.is_empty());
            Ok(Joinable::Manifest { media_type, config, blobs: links_of(bytes).blobs })
        }
        _ => Err("it is neither an index nor the manifest of an image".to_owned()),
    }
}

/// The platform of the image with this config, as BuildKit writes it into an index: in containerd's normal form, and with
/// version and features for Windows alone (`frontend/dockerui/build.go`). The error says why there is none, ready to print.
pub fn parse_platform(config: &[u8]) -> Result<Platform, String> {
    let fields = json::parse::<ConfigFields>(Names::Config, config).map_err(|reason| shorten(&reason))?;
    let found = fields.platform;
    if found.os.is_empty() || found.architecture.is_empty() {
        return Err("it does not say for which platform it is".to_owned());
    }
    // It stands in messages and in reports.
    if found.to_string().len() > limits::FAULT_TEXT {
        return Err("what it says of its platform is too long".to_owned());
    }
    let variant = found.normal_variant().to_owned();
    let is_windows = found.os == "windows";
    let os_version = if is_windows { found.os_version } else { String::new() };
    let os_features = if is_windows { found.os_features } else { Vec::new() };
    Ok(Platform { os: found.os, architecture: found.architecture, variant, os_version, os_features })
}

/// Holds the platform that an index says of an image against that of its config. The error is ready to print.
pub fn check_platform(listed: &Platform, config: &Platform) -> Result<(), String> {
    if listed.agrees_with(config) {
        return Ok(());
    }
    Err(shorten(&format!("its config is for {config}, and the index says {listed}")))
}

/// What the user wants an index to say.
#[derive(Debug, Clone, Default)]
pub struct IndexAnnotations {
    /// Of itself.
    pub index: BTreeMap<String, String>,
    /// Of its images: the platform, or none for all of them, the key and the value. The last one counts.
    pub images: Vec<(Option<Platform>, String, String)>,
}

/// Why images are not joined.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JoinError {
    /// Which one an engine takes would be up to the engine.
    #[error("`{first}` and `{second}` are both for {platform}")]
    SamePlatform {
        /// The one.
        first: Box<Digest>,
        /// The other.
        second: Box<Digest>,
        /// What they are for.
        platform: Box<Platform>,
    },
    /// BuildKit writes all of an index with the same media types.
    #[error("`{oci}` has the media types of OCI, `{docker}` those of Docker")]
    Mixed {
        /// The one.
        oci: Box<Digest>,
        /// The other.
        docker: Box<Digest>,
    },
    /// Docker's manifest list has no place for it.
    #[error("an index with the media types of Docker holds no annotations, and `{0}` is one")]
    DockerAnnotation(String),
    /// Two indexes, of which one would have to give in.
    #[error("the indexes do not agree about annotation `{key}`: `{first}`, and `{second}`")]
    Disagreement {
        /// The key.
        key: String,
        /// What the first one says.
        first: String,
        /// What another one says.
        second: String,
    },
    /// An annotation for nobody.
    #[error("annotation `{key}` is for {platform}, and no image is")]
    NoSuchPlatform {
        /// The key.
        key: String,
        /// Whom it is for.
        platform: Box<Platform>,
    },
    /// Attestations alone.
    #[error("there is no image to be joined")]
    NoImage,
}

impl JoinError {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::SamePlatform { .. } => "leave one of them out",
            Self::Mixed { .. } => "build all of them with the same `--media-types`",
            Self::DockerAnnotation(_) => "build the images with `--media-types oci`, or leave it out",
            Self::Disagreement { .. } => "say which it is to be with `--annotation index:KEY=VALUE`",
            Self::NoSuchPlatform { .. } => "write the platform as the images have it, or leave it out for all of them",
            Self::NoImage => "give the digest of an image, or of an index that holds one",
        }
    }
}

/// What an index is made of, in the order in which it came.
#[derive(Debug, Default)]
pub struct Joined {
    wanted: IndexAnnotations,
    images: Vec<(Platform, Descriptor)>,
    attestations: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
}

/// The finished index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedIndex {
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Joined {
    /// Nothing yet, of which this will be said.
    #[must_use]
    pub fn new(wanted: IndexAnnotations) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Adds an image, whose config says that it is for `platform`. What the descriptor says of it itself is taken over.
    pub fn add_image(&mut self, platform: Platform, descriptor: Descriptor) -> Result<(), JoinError> {
        if let Some((_, first)) = self.images.iter().find(|(other, _)| *other == platform) {
            let (first, second) = (Box::new(first.digest.clone()), Box::new(descriptor.digest));
            return Err(JoinError::SamePlatform { first, second, platform: Box::new(platform) });
        }
        let shown = descriptor.platform.clone().or_else(|| Some(platform.clone()));
        self.images.push((platform, Descriptor { platform: shown, ..descriptor }));
        Ok(())
    }

    /// Adds an attestation about one of the images.
    pub fn add_attestation(&mut self, descriptor: Descriptor) {
        self.attestations.push(descriptor);
    }

    /// Adds what an index that is taken over says of itself.
    pub fn add_annotations(&mut self, annotations: BTreeMap<String, String>) -> Result<(), JoinError> {
        for (key, second) in annotations {
            let first = self.annotations.get(&key).filter(|first| **first != second);
            if let Some(first) = first.filter(|_| !self.wanted.index.contains_key(&key)) {
                let [key, first, second] = [&key, first, &second].map(|text| shorten(text));
                return Err(JoinError::Disagreement { key, first, second });
            }
            self.annotations.insert(key, second);
        }
        Ok(())
    }

    /// The index of all that was added.
    pub fn finish(mut self) -> Result<JoinedIndex, JoinError> {
        self.annotate()?;
        let manifests: Vec<&Descriptor> =
            self.images.iter().map(|(_, descriptor)| descriptor).chain(&self.attestations).collect();
        let of = |family| manifests.iter().find(|one| kind_of(&one.media_type) == Kind::Manifest(family));
        let media_type = match (of(Family::Oci), of(Family::Docker)) {
            (Some(oci), Some(docker)) => {
                return Err(JoinError::Mixed {
                    oci: Box::new(oci.digest.clone()),
                    docker: Box::new(docker.digest.clone()),
                });
            }
            (None, Some(_)) => DOCKER_INDEX,
            _ => OCI_INDEX,
        };
        // BuildKit v0.31.1 refuses them, v0.19.0 takes the media types of OCI for the whole index instead.
        let keys = || manifests.iter().flat_map(|one| one.annotations.keys()).chain(self.annotations.keys());
        if let Some(key) = keys().next().filter(|_| media_type == DOCKER_INDEX) {
            return Err(JoinError::DockerAnnotation(shorten(key)));
        }
        if self.images.is_empty() {
            return Err(JoinError::NoImage);
        }
        let bytes = render(media_type, &manifests, &self.annotations).into_bytes();
        Ok(JoinedIndex { media_type, bytes })
    }

    /// Says what the user wants to be said: of one platform over that of all (`exporter/containerimage/annotations.go`).
    fn annotate(&mut self) -> Result<(), JoinError> {
        let wanted = std::mem::take(&mut self.wanted);
        self.annotations.extend(wanted.index);
        let (of_one, of_all): (Vec<_>, Vec<_>) = wanted.images.into_iter().partition(|(wanted, ..)| wanted.is_some());
        for (wanted, key, value) in of_all.into_iter().chain(of_one) {
            let is_meant = |platform: &Platform| wanted.as_ref().is_none_or(|wanted| wanted.agrees_with(platform));
            let mut is_used = false;
            for (_, descriptor) in self.images.iter_mut().filter(|(platform, _)| is_meant(platform)) {
                descriptor.annotations.insert(key.clone(), value.clone());
                is_used = true;
            }
            if let Some(platform) = wanted.filter(|_| !is_used) {
                return Err(JoinError::NoSuchPlatform { key, platform: Box::new(platform) });
            }
        }
        Ok(())
    }
}

/// An index, with the keys in the order of `image-spec/specs-go/v1/index.go`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexFields<'a> {
    schema_version: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    media_type: &'a str,
    manifests: Vec<DescriptorFields<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

/// A descriptor, with the keys in the order of `descriptor.go` there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescriptorFields<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<PlatformFields<'a>>,
}

#[derive(Serialize)]
struct PlatformFields<'a> {
    architecture: &'a str,
    os: &'a str,
    #[serde(rename = "os.version", skip_serializing_if = "str::is_empty")]
    os_version: &'a str,
    #[serde(rename = "os.features", skip_serializing_if = "<[_]>::is_empty")]
    os_features: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    variant: &'a str,
}

fn render(media_type: &str, manifests: &[&Descriptor], annotations: &BTreeMap<String, String>) -> String {
    let fields = IndexFields {
        schema_version: 2,
        media_type,
        manifests: manifests.iter().map(|descriptor| fields_of(descriptor)).collect(),
        annotations,
    };
    #[expect(clippy::expect_used, reason = "numbers, texts, and maps whose keys are texts: JSON has all of them")]
    let mut text = serde_json::to_string_pretty(&fields).expect("an index is JSON");
    // As Go writes them (`encoding/json`, `HTMLEscape`). Outside of texts JSON has none of them.
    for character in ['<', '>', '&', '\u{2028}', '\u{2029}'] {
        text = text.replace(character, &format!("\\u{:04x}", u32::from(character)));
    }
    text
}

fn fields_of(descriptor: &Descriptor) -> DescriptorFields<'_> {
    let platform = descriptor.platform.as_ref().map(|platform| PlatformFields {
        architecture: &platform.architecture,
        os: &platform.os,
        os_version: &platform.os_version,
        os_features: &platform.os_features,
        variant: &platform.variant,
    });
    let Descriptor { media_type, digest, size, annotations, .. } = descriptor;
    DescriptorFields { media_type, digest, size: *size, annotations, platform }
}

#[cfg(test)]
mod tests;
