//! What an archive is, as a report: digests, platforms, layers, and whether a digest that was expected is among them.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use crate::digest::Digest;
use crate::image::media_type::Compression;
use crate::image::rewrite::REWRITTEN;
use crate::image::{Descriptor, Document, Entries, Fault, Image, Layer, Manifest, Platform};

/// The name and version of the JSON form. See `docs/schema/analyze.v1.json`.
pub const SCHEMA: &str = "repro.analyze.v1";

/// How an analysis ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The archive is sound, and holds the digest that was expected, if one was.
    Ok,
    /// The archive is sound, but holds another image.
    Mismatch,
    /// The archive is broken.
    Corrupt,
}

/// All that is to be told.
#[derive(Debug, Clone, Serialize)]
pub struct AnalyzeReport {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// How it ended.
    pub status: Status,
    /// The content; none where the archive is broken.
    pub image: Option<ImageReport>,
    /// The digest that was expected, if one was.
    pub expected: Option<Expected>,
    /// What is wrong with the archive.
    pub faults: Vec<FaultReport>,
}

/// A digest that was expected, and what has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expected {
    /// The digest.
    pub digest: Digest,
    /// What has this digest; none where nothing has.
    pub level: Option<Level>,
    /// The platform of that manifest or config, where the archive holds several.
    pub platform: Option<Platform>,
}

/// What may have an expected digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The image: what a registry shows.
    Image,
    /// An index that is not the image: `index.json` itself, or a nested one.
    Index,
    /// The manifest of one platform.
    Manifest,
    /// A config: what engines show as image ID.
    Config,
}

/// The content of an archive.
#[derive(Debug, Clone, Serialize)]
pub struct ImageReport {
    /// The size of the archive in bytes.
    pub archive_size: u64,
    /// The digest that a registry shows after a push. None where the archive holds several images side by side.
    pub digest: Option<Digest>,
    /// What `index.json` refers to.
    pub roots: Vec<RootReport>,
    /// `index.json`. Its digest depends on names and dates.
    pub index: DocumentReport,
    /// Whether `docker load` of any version reads it: it has a `manifest.json`.
    pub has_docker_manifest: bool,
    /// Indexes below `index.json`.
    pub indexes: Vec<DocumentReport>,
    /// Images, one for each platform.
    pub manifests: Vec<ManifestReport>,
    /// Statements about the images, which are no images.
    pub attestations: Vec<AttestationReport>,
}

/// What `index.json` refers to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RootReport {
    /// The digest of a manifest or of an index.
    pub digest: Digest,
    /// Its names.
    pub names: Vec<String>,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DocumentReport {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its media type, where one is known.
    pub media_type: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The document itself, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<serde_json::Value>,
}

/// An image for one platform.
#[derive(Debug, Clone, Serialize)]
pub struct ManifestReport {
    /// The manifest.
    #[serde(flatten)]
    pub document: DocumentReport,
    /// The platform, by the config.
    pub platform: Platform,
    /// When the image was made, by the config, in RFC 3339.
    pub created: Option<String>,
    /// The epoch that it was built with, where that shows.
    pub epoch: Option<EpochReport>,
    /// The config. Its digest is the image ID that engines show.
    pub config: DocumentReport,
    /// How many layers it has.
    pub layer_count: usize,
    /// The layers, lowest first; not all where one was asked for.
    pub layers: Vec<LayerReport>,
}

/// The epoch (`SOURCE_DATE_EPOCH`) of a build, as its result shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EpochReport {
    /// In seconds since 1970.
    pub seconds: i64,
    /// What shows it.
    pub by: EpochSource,
}

/// What shows the epoch of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EpochSource {
    /// BuildKit wrote it to layers whose times it rewrote.
    Annotation,
    /// The image was created at that very second, and nothing in it is later. Likely, not proved.
    Created,
}

/// The entries of a layer, read from where they wait when they are written.
#[derive(Debug, Clone)]
pub struct Files(Entries);

impl Files {
    /// The entries, in the order of the layer.
    #[must_use]
    pub const fn entries(&self) -> &Entries {
        &self.0
    }
}

impl Serialize for Files {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        enum Failed<E> {
            Read(std::io::Error),
            Write(E),
        }
        impl<E> From<std::io::Error> for Failed<E> {
            fn from(error: std::io::Error) -> Self {
                Self::Read(error)
            }
        }
        let mut list = serializer.serialize_seq(None)?;
        let written = self.0.each(|entry| list.serialize_element(&entry).map_err(Failed::Write));
        match written {
            Ok(()) => list.end(),
            Err(Failed::Read(error)) => Err(S::Error::custom(format!("the list of entries: {error}"))),
            Err(Failed::Write(error)) => Err(error),
        }
    }
}

/// A layer.
#[derive(Debug, Clone, Serialize)]
pub struct LayerReport {
    /// Its place in the image, counted from 0.
    pub number: usize,
    /// The digest of the blob.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The size of the blob in bytes.
    pub size: u64,
    /// How the blob is compressed.
    pub compression: Compression,
    /// The digest of the tar inside.
    pub diff_id: Digest,
    /// The size of the tar inside, in bytes.
    pub uncompressed_size: u64,
    /// Annotations of its descriptor.
    pub annotations: BTreeMap<String, String>,
    /// How many entries the tar has.
    pub entries: u64,
    /// The earliest modification time, in seconds since 1970.
    pub oldest_mtime: Option<i64>,
    /// The latest modification time, in seconds since 1970.
    pub newest_mtime: Option<i64>,
    /// The entries, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
}

/// A manifest with statements about an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttestationReport {
    /// The manifest.
    #[serde(flatten)]
    pub document: DocumentReport,
    /// The digest of the manifest that it is about, as the index says.
    pub subject: Option<String>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultReport {
    /// Where. Escaped: fit to print.
    pub place: String,
    /// What. Escaped: fit to print.
    pub message: String,
}

/// What of an image is to be told.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The documents themselves, too.
    pub contents: bool,
    /// Only the images for this platform.
    pub platform: Option<Platform>,
    /// Only the layer with this number, counted from 0.
    pub layer: Option<usize>,
}

impl View {
    fn shows(&self, manifest: &Manifest) -> bool {
        self.platform.as_ref().is_none_or(|platform| platform.agrees_with(&manifest.config.platform))
    }
}

/// Reports on `image`, which is sound.
#[must_use]
pub fn analyze(image: &Image, expected: Option<&Digest>, view: &View) -> AnalyzeReport {
    let expected = expected.map(|digest| find(image, digest, view));
    let is_missing = expected.as_ref().is_some_and(|expected| expected.level.is_none());
    let has_platform = view.platform.is_none() || image.manifests.iter().any(|manifest| view.shows(manifest));
    AnalyzeReport {
        schema: SCHEMA,
        status: if is_missing || !has_platform { Status::Mismatch } else { Status::Ok },
        image: Some(image_report(image, view)),
        expected,
        faults: Vec::new(),
    }
}

/// Reports on an archive that is broken. Nothing that it holds is told as if it were true.
#[must_use]
pub fn analyze_faults(faults: &[Fault], expected: Option<&Digest>) -> AnalyzeReport {
    let report = |fault: &Fault| FaultReport { place: fault.place.clone(), message: fault.kind.to_string() };
    AnalyzeReport {
        schema: SCHEMA,
        status: Status::Corrupt,
        image: None,
        expected: expected.map(|digest| Expected { digest: digest.clone(), level: None, platform: None }),
        faults: faults.iter().map(report).collect(),
    }
}

/// What of the image has this digest.
fn find(image: &Image, digest: &Digest, view: &View) -> Expected {
    let found = |level, platform: Option<&Platform>| Expected {
        digest: digest.clone(),
        level,
        platform: platform.filter(|_| image.manifests.len() > 1).cloned(),
    };
    if image.digest() == Some(digest) {
        return found(Some(Level::Image), None);
    }
    if image.index.digest == *digest || image.indexes.iter().any(|index| index.document.digest == *digest) {
        return found(Some(Level::Index), None);
    }
    for manifest in image.manifests.iter().filter(|manifest| view.shows(manifest)) {
        let platform = Some(&manifest.config.platform);
        if manifest.document.digest == *digest {
            return found(Some(Level::Manifest), platform);
        }
        if manifest.config.document.digest == *digest {
            return found(Some(Level::Config), platform);
        }
    }
    found(None, None)
}

fn image_report(image: &Image, view: &View) -> ImageReport {
    let document =
        |document: &Document, media_type: Option<&str>, annotations: &BTreeMap<String, String>| DocumentReport {
            digest: document.digest.clone(),
            media_type: media_type.filter(|media_type| !media_type.is_empty()).map(str::to_owned),
            size: document.size(),
            annotations: annotations.clone(),
            content: view.contents.then(|| document.value()),
        };
    let none = BTreeMap::new();
    let described =
        |descriptor: &Descriptor, it: &Document| document(it, Some(&descriptor.media_type), &descriptor.annotations);
    let manifest = |manifest: &Manifest| ManifestReport {
        document: document(&manifest.document, Some(&manifest.media_type), &manifest.annotations),
        platform: manifest.config.platform.clone(),
        created: manifest.config.created.clone(),
        epoch: epoch_of(manifest),
        config: described(&manifest.config.descriptor, &manifest.config.document),
        layer_count: manifest.layers.len(),
        layers: (0..)
            .zip(&manifest.layers)
            .filter(|(number, _)| view.layer.is_none_or(|only| only == *number))
            .map(|(number, layer)| layer_report(number, layer))
            .collect(),
    };
    ImageReport {
        archive_size: image.archive_bytes,
        digest: image.digest().cloned(),
        roots: image
            .roots
            .iter()
            .map(|root| RootReport { digest: root.digest.clone(), names: root.names.clone() })
            .collect(),
        index: document(&image.index, None, &none),
        has_docker_manifest: image.docker_manifest.is_some(),
        indexes: image
            .indexes
            .iter()
            .map(|index| document(&index.document, Some(&index.media_type), &index.annotations))
            .collect(),
        manifests: image.manifests.iter().filter(|manifest| view.shows(manifest)).map(manifest).collect(),
        attestations: image
            .attestations
            .iter()
            .map(|attestation| AttestationReport {
                document: described(&attestation.descriptor, &attestation.document),
                subject: attestation.subject.clone(),
            })
            .collect(),
    }
}

/// What shows the epoch that an image was built with.
fn epoch_of(manifest: &Manifest) -> Option<EpochReport> {
    let annotated = manifest.layers.iter().filter_map(|layer| layer.descriptor.annotations.get(REWRITTEN));
    let mut epochs: Vec<&str> = annotated.map(String::as_str).collect();
    epochs.dedup();
    if let [text] = epochs.as_slice() {
        return Some(EpochReport { seconds: text.parse().ok()?, by: EpochSource::Annotation });
    }
    if !epochs.is_empty() {
        return None;
    }
    let created = DateTime::parse_from_rfc3339(manifest.config.created.as_deref()?).ok()?;
    let seconds = created.timestamp();
    let newest = manifest.layers.iter().filter_map(|layer| layer.facts.newest).max();
    let nothing_is_later = newest.is_none_or(|newest| !newest.is_after(seconds));
    (created.timestamp_subsec_nanos() == 0 && nothing_is_later)
        .then_some(EpochReport { seconds, by: EpochSource::Created })
}

fn layer_report(number: usize, layer: &Layer) -> LayerReport {
    LayerReport {
        number,
        digest: layer.descriptor.digest.clone(),
        media_type: layer.descriptor.media_type.clone(),
        size: layer.descriptor.size,
        compression: layer.compression,
        diff_id: layer.diff_id.clone(),
        uncompressed_size: layer.uncompressed_size,
        annotations: layer.descriptor.annotations.clone(),
        entries: layer.facts.entries,
        oldest_mtime: layer.facts.oldest_mtime,
        newest_mtime: layer.facts.newest_mtime,
        files: layer.entries.clone().map(Files),
    }
}
