//! What an image is, as a report: digests, platforms, layers, and whether a digest that was expected is among them.

mod parts;

use std::collections::BTreeMap;

use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use self::parts::image_report;
use crate::digest::Digest;
use crate::image::media_type::Compression;
use crate::image::{Container, Entries, Fault, Form, Image, Note, Platform};

/// The name and version of the JSON form. See `docs/schema/analyze.v1.json`.
pub const SCHEMA: &str = "repro.analyze.v1";

/// How an analysis ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The archive is sound and whole, and holds the digest that was expected, if one was.
    Ok,
    /// What is there is sound, but an index names more than what is there.
    Partial,
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
    /// What is odd about the image or was passed over, and no fault.
    pub notes: Vec<FaultReport>,
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
    /// Whether all that the digest stands for is there. Of an index whose images are left out in part, it is not.
    pub is_whole: bool,
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
    /// How it is laid out.
    pub form: Form,
    /// Where it was read from.
    pub container: Container,
    /// Its size as it is stored, in bytes.
    pub archive_size: u64,
    /// The digest that a registry shows after a push. None where the archive holds several images side by side, or no manifest.
    pub digest: Option<Digest>,
    /// What `index.json` refers to.
    pub roots: Vec<RootReport>,
    /// `index.json`, in a layout. Its digest depends on names and dates.
    pub index: Option<DocumentReport>,
    /// Whether `docker load` of any version reads it: it has a `manifest.json`.
    pub has_docker_manifest: bool,
    /// Indexes below `index.json`.
    pub indexes: Vec<DocumentReport>,
    /// Images, one for each platform.
    pub manifests: Vec<ManifestReport>,
    /// Statements about the images, which are no images.
    pub attestations: Vec<AttestationReport>,
    /// Images of an archive that has no manifests.
    pub docker_images: Vec<DockerImageReport>,
    /// What an index names and what is not there.
    pub left_out: Vec<LeftOut>,
}

/// An image without a manifest. No registry has a digest for it.
#[derive(Debug, Clone, Serialize)]
pub struct DockerImageReport {
    /// Its names.
    pub names: Vec<String>,
    /// What it is. Digest and size of its layers are those of the files in the archive.
    #[serde(flatten)]
    pub image: PlatformReport,
}

/// An image that an index names and that is not there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeftOut {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The platform, by the index.
    pub platform: Option<Platform>,
}

/// What `index.json` refers to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RootReport {
    /// The digest of a manifest or of an index.
    pub digest: Digest,
    /// Its names.
    pub names: Vec<String>,
    /// What else `index.json` says of it. No part of the image.
    pub annotations: BTreeMap<String, String>,
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
    /// The same as it is stored, byte for byte: what its digest is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// An image for one platform.
#[derive(Debug, Clone, Serialize)]
pub struct ManifestReport {
    /// The manifest.
    #[serde(flatten)]
    pub document: DocumentReport,
    /// What it leads to.
    #[serde(flatten)]
    pub image: PlatformReport,
}

/// What makes an image for one platform, with a manifest or without.
#[derive(Debug, Clone, Serialize)]
pub struct PlatformReport {
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
    /// Its media type; none where nothing says one.
    pub media_type: Option<String>,
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

/// One thing that is wrong, or odd.
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
    fn shows(&self, found: &Platform) -> bool {
        self.platform.as_ref().is_none_or(|platform| platform.agrees_with(found))
    }
}

/// Reports on `image`, which is sound.
#[must_use]
pub fn analyze(image: &Image, expected: Option<&Digest>, view: &View) -> AnalyzeReport {
    let expected = expected.map(|digest| find(image, digest, view));
    let is_left_out = |digest: &Digest| image.left_out.iter().any(|descriptor| descriptor.digest == *digest);
    // What is left out, or the config of that, may be what was expected: then nothing is known of it. Not so where one platform
    // is meant, and is here.
    let has_all_of_it =
        view.platform.is_some() && image.manifests.iter().any(|manifest| view.shows(&manifest.config.platform));
    let is_missing = expected.as_ref().is_some_and(|expected| {
        expected.level.is_none() && (image.is_whole() || has_all_of_it && !is_left_out(&expected.digest))
    });
    let platforms = image.manifests.iter().map(|manifest| &manifest.config);
    let platforms = platforms.chain(image.docker_images.iter().map(|docker| &docker.config));
    let mut platforms = platforms
        .map(|config| &config.platform)
        .chain(image.left_out.iter().filter_map(|descriptor| descriptor.platform.as_ref()));
    let has_platform = view.platform.is_none() || platforms.any(|platform| view.shows(platform));
    AnalyzeReport {
        schema: SCHEMA,
        status: match image.is_whole() {
            _ if is_missing || !has_platform => Status::Mismatch,
            true => Status::Ok,
            false => Status::Partial,
        },
        image: Some(image_report(image, view)),
        expected,
        faults: Vec::new(),
        notes: image.notes().into_iter().map(note_report).collect(),
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
        expected: expected.map(|digest| Expected {
            digest: digest.clone(),
            level: None,
            platform: None,
            is_whole: false,
        }),
        faults: faults.iter().map(report).collect(),
        notes: Vec::new(),
    }
}

fn note_report(note: Note) -> FaultReport {
    FaultReport { message: note.kind.to_string(), place: note.place }
}

/// What of the image has this digest.
fn find(image: &Image, digest: &Digest, view: &View) -> Expected {
    let found = |level, platform: Option<&Platform>| Expected {
        digest: digest.clone(),
        level,
        platform: platform.filter(|_| image.manifests.len() + image.docker_images.len() > 1).cloned(),
        is_whole: match level {
            Some(Level::Image | Level::Index) => {
                image.is_whole() || image.manifests.iter().any(|manifest| manifest.document.digest == *digest)
            }
            Some(Level::Manifest | Level::Config) => true,
            None => false,
        },
    };
    if image.digest() == Some(digest) {
        return found(Some(Level::Image), None);
    }
    let is_index = image.index.as_ref().is_some_and(|index| index.digest == *digest);
    if is_index || image.indexes.iter().any(|index| index.document.digest == *digest) {
        return found(Some(Level::Index), None);
    }
    for manifest in image.manifests.iter().filter(|manifest| view.shows(&manifest.config.platform)) {
        let platform = Some(&manifest.config.platform);
        if manifest.document.digest == *digest {
            return found(Some(Level::Manifest), platform);
        }
        if manifest.config.document.digest == *digest {
            return found(Some(Level::Config), platform);
        }
    }
    let mut shown = image.docker_images.iter().filter(|docker| view.shows(&docker.config.platform));
    if let Some(docker) = shown.find(|docker| docker.config.document.digest == *digest) {
        return found(Some(Level::Config), Some(&docker.config.platform));
    }
    found(None, None)
}
