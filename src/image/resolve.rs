//! Members of an archive put together: every descriptor followed, every promise in a document held against the blobs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use super::archive::{Blob, Content};
use super::descend::Platforms;
use super::escape::escape;
use super::fault::{FaultKind, Faults, ImageError};
use super::json::{self, Names};
use super::media_type::{Compression, DOCKER_CONFIG, Family, Kind, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, kind_of};
use super::model::{
    Attestation, Config, Descriptor, DockerImage, Document, History, Index, Layer, Manifest, Platform, Root,
    null_is_default,
};
use super::notes::{Note, NoteKind};
use super::promises::{self, DockerEntry};
use crate::digest::Digest;
use crate::limits;

const NAME_ANNOTATIONS: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// An index or a manifest: which of them, its fields tell.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope {
    pub(super) schema_version: Option<u64>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) media_type: String,
    pub(super) manifests: Option<Vec<Descriptor>>,
    pub(super) config: Option<Descriptor>,
    // Without layers, BuildKit writes `null` here.
    pub(super) layers: Option<Vec<Descriptor>>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct ConfigFields {
    #[serde(flatten)]
    pub(super) platform: Platform,
    created: Option<String>,
    rootfs: RootFs,
    #[serde(default, deserialize_with = "null_is_default")]
    history: Vec<History>,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default, deserialize_with = "null_is_default")]
    diff_ids: Vec<Digest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutFields {
    image_layout_version: String,
}

/// Puts members together.
pub(super) struct Resolver {
    pub(super) blobs: BTreeMap<Digest, Blob>,
    pub(super) faults: Faults,
    pub(super) notes: Vec<Note>,
    pub(super) reached: BTreeSet<Digest>,
    /// Documents that were followed: their media type, and the platforms of the images that they are or lead to.
    pub(super) visited: HashMap<(Digest, bool), (String, Platforms)>,
    /// Whether every document could be read. Otherwise a blob that nothing refers to proves nothing.
    pub(super) is_complete: bool,
    pub(super) may_be_partial: bool,
    /// Whether layers may be unpacked whatever their media types say.
    pub(super) may_be_unpacked: bool,
    document_bytes: u64,
    pub(super) indexes: Vec<Index>,
    pub(super) manifests: Vec<Manifest>,
    pub(super) attestations: Vec<Attestation>,
    pub(super) docker_images: Vec<DockerImage>,
    pub(super) left_out: Vec<Descriptor>,
    /// Where config and layers of each image are in the archive: what `manifest.json` goes by.
    paths: Vec<(String, Vec<String>)>,
}

impl Resolver {
    pub(super) fn new(blobs: BTreeMap<Digest, Blob>, faults: Faults, may_be_partial: bool) -> Self {
        Self {
            blobs,
            faults,
            notes: Vec::new(),
            reached: BTreeSet::new(),
            visited: HashMap::new(),
            is_complete: true,
            may_be_partial,
            may_be_unpacked: false,
            document_bytes: 0,
            indexes: Vec::new(),
            manifests: Vec::new(),
            attestations: Vec::new(),
            docker_images: Vec::new(),
            left_out: Vec::new(),
            paths: Vec::new(),
        }
    }

    pub(super) fn missing(&mut self, name: &str) {
        self.is_complete = false;
        self.faults.add(format!("`{name}`"), FaultKind::MissingMember);
    }

    pub(super) fn layout(&mut self, document: Option<&Document>) {
        let Some(document) = document else {
            self.faults.add("`oci-layout`", FaultKind::MissingMember);
            return;
        };
        match json::parse::<LayoutFields>(Names::Layout, &document.bytes) {
            Ok(fields) if fields.image_layout_version == "1.0.0" => {}
            Ok(fields) => {
                let found = escape(&fields.image_layout_version).into_owned();
                let kind = FaultKind::Version { field: "`imageLayoutVersion`", expected: "1.0.0", found };
                self.faults.add("`oci-layout`", kind);
            }
            Err(reason) => self.faults.add("`oci-layout`", FaultKind::Json(reason)),
        }
    }

    pub(super) fn top_index(&mut self, document: &Document) -> Result<Vec<Root>, ImageError> {
        let place = "`index.json`";
        let Some(envelope) = self.envelope(place, document) else { return Ok(Vec::new()) };
        self.media_type(place, OCI_INDEX, &envelope);
        let Some(descriptors) = envelope.manifests else {
            self.unusable(place, FaultKind::Json("there is no `manifests`".to_owned()));
            return Ok(Vec::new());
        };
        let mut roots: Vec<Root> = Vec::new();
        let mut known: HashMap<Digest, usize> = HashMap::new();
        for (at, descriptor) in descriptors.into_iter().enumerate() {
            let name = NAME_ANNOTATIONS.iter().find_map(|key| descriptor.annotations.get(*key)).cloned();
            // Names and dates that a writer puts into `index.json` are no part of the image.
            let others = descriptor.annotations.clone().into_iter();
            let others = others.filter(|(key, _)| !NAME_ANNOTATIONS.contains(&key.as_str()));
            let root = *known.entry(descriptor.digest.clone()).or_insert_with(|| {
                let digest = descriptor.digest.clone();
                roots.push(Root { digest, names: Vec::new(), annotations: BTreeMap::new() });
                roots.len() - 1
            });
            roots[root].names.extend(name);
            roots[root].annotations.extend(others);
            self.follow(&format!("{place} manifests[{at}]"), descriptor, 1)?;
        }
        for root in &mut roots {
            root.names.sort();
            root.names.dedup();
        }
        if self.manifests.is_empty() && self.is_complete {
            self.faults.add(place, FaultKind::NoImage);
        }
        Ok(roots)
    }

    pub(super) fn manifest(
        &mut self,
        place: &str,
        inside: &str,
        draft: Draft,
        envelope: Envelope,
    ) -> Result<Option<Manifest>, ImageError> {
        let Some(config) = envelope.config else {
            self.unusable(inside, FaultKind::Json("there is no `config`".to_owned()));
            return Ok(None);
        };
        let descriptors = envelope.layers.unwrap_or_default();
        let layer_count = descriptors.len();
        let layer_paths = descriptors.iter().map(|layer| path_of(&layer.digest)).collect();
        self.paths.push((path_of(&config.digest), layer_paths));
        let config = self.config(&format!("{inside} config"), config)?;
        let diff_ids = config.as_ref().map(|(_, diff_ids)| diff_ids.as_slice());
        if let Some(kind) = diff_ids.and_then(|diff_ids| promises::layer_count(diff_ids, layer_count)) {
            self.faults.add(inside, kind);
        }
        let mut layers = Vec::new();
        for (at, descriptor) in descriptors.into_iter().enumerate() {
            let diff_id = diff_ids.and_then(|diff_ids| diff_ids.get(at));
            layers.extend(self.layer(&format!("{inside} layers[{at}]"), descriptor, diff_id));
        }
        let Some((config, _)) = config else { return Ok(None) };
        let faults = [
            (place.to_owned(), promises::platform(&draft.descriptor, &config.platform)),
            (format!("{inside} config"), promises::family(&draft.media_type, &config.descriptor)),
            (format!("`{}`", config.descriptor.digest), promises::history(&config.history, layer_count)),
        ];
        for (place, kind) in faults {
            if let Some(kind) = kind {
                self.faults.add(place.as_str(), kind);
            }
        }
        let Draft { descriptor, document, media_type, family } = draft;
        let annotations = envelope.annotations;
        Ok(Some(Manifest { descriptor, document, media_type, family, annotations, config, layers }))
    }

    pub(super) fn config(
        &mut self,
        place: &str,
        descriptor: Descriptor,
    ) -> Result<Option<(Config, Vec<Digest>)>, ImageError> {
        if !matches!(descriptor.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG) {
            let kind =
                FaultKind::WrongKind { expected: "the config of an image", found: descriptor.media_type.clone() };
            self.faults.add(place, kind);
        }
        let Some(document) = self.document(place, &descriptor)? else { return Ok(None) };
        match json::parse::<ConfigFields>(Names::Config, &document.bytes) {
            Ok(ConfigFields { platform, created, rootfs, history }) => {
                Ok(Some((Config { descriptor, document, platform, created, history }, rootfs.diff_ids)))
            }
            Err(reason) => {
                self.unusable(&format!("`{}`", descriptor.digest), FaultKind::Json(reason));
                Ok(None)
            }
        }
    }

    pub(super) fn layer(&mut self, place: &str, descriptor: Descriptor, diff_id: Option<&Digest>) -> Option<Layer> {
        let declared = if let Kind::Layer(_, compression) = kind_of(&descriptor.media_type) {
            Some(compression)
        } else {
            let kind = FaultKind::WrongKind { expected: "a layer", found: descriptor.media_type.clone() };
            self.faults.add(place, kind);
            None
        };
        self.size_of(place, &descriptor)?;
        let content = match &self.blobs.get(&descriptor.digest)?.content {
            Content::Layer(Ok(content)) => content.clone(),
            Content::Layer(Err(error)) => {
                let error = error.clone();
                self.faults.add(place, FaultKind::Layer(error));
                return None;
            }
            _ => {
                self.faults.add(place, FaultKind::NotALayer);
                return None;
            }
        };
        if let Some(expected) = declared.filter(|declared| *declared != content.compression) {
            let found = content.compression;
            if self.may_be_unpacked && found == Compression::None {
                self.notes.push(Note { place: place.to_owned(), kind: NoteKind::Unpacked(expected) });
            } else {
                self.faults.add(place, FaultKind::Compression { expected, found });
            }
        }
        let faults = [
            diff_id.and_then(|expected| promises::diff_id(expected, &content)),
            promises::rewritten(&descriptor, &content.facts),
            content.facts.paths.outside.clone().map(FaultKind::Outside),
        ];
        for kind in faults.into_iter().flatten() {
            self.faults.add(place, kind);
        }
        Some(Layer {
            descriptor,
            diff_id: diff_id.filter(|_| content.diff_id_512.is_some()).cloned().unwrap_or(content.diff_id),
            compression: content.compression,
            uncompressed_size: content.uncompressed_size,
            facts: content.facts,
            entries: content.entries,
        })
    }

    /// `manifest.json`, which `docker load` goes by, must lead to the same image as `index.json`, which all others go by.
    pub(super) fn docker_manifest(&mut self, entries: &[DockerEntry]) {
        if !self.is_complete {
            return;
        }
        for (at, kind) in promises::docker_manifest(&self.paths, entries) {
            self.faults.add(format!("`manifest.json` [{at}]"), kind);
        }
    }

    /// The entries of `manifest.json`.
    pub(super) fn docker_entries(&mut self, document: &Document) -> Option<Vec<DockerEntry>> {
        let place = "`manifest.json`";
        match json::parse::<Vec<DockerEntry>>(Names::DockerEntry, &document.bytes) {
            Ok(entries) => {
                if entries.is_empty() && self.is_complete {
                    self.faults.add(place, FaultKind::NoImage);
                }
                Some(entries)
            }
            Err(reason) => {
                self.unusable(place, FaultKind::Json(reason));
                None
            }
        }
    }

    /// The size of the blob that `descriptor` names, having checked that it is there and of that size.
    pub(super) fn size_of(&mut self, place: &str, descriptor: &Descriptor) -> Option<u64> {
        self.reached.insert(descriptor.digest.clone());
        let Some(size) = self.blobs.get(&descriptor.digest).map(|blob| blob.size) else {
            self.faults.add(place, FaultKind::MissingBlob(descriptor.digest.clone()));
            return None;
        };
        self.check_size(place, descriptor, size);
        Some(size)
    }

    pub(super) fn check_size(&mut self, place: &str, descriptor: &Descriptor, found: u64) {
        if descriptor.size != found {
            self.faults.add(place, FaultKind::Size { expected: descriptor.size, found });
        }
    }

    /// The document that `descriptor` names.
    pub(super) fn document(&mut self, place: &str, descriptor: &Descriptor) -> Result<Option<Document>, ImageError> {
        let Some(size) = self.size_of(place, descriptor) else {
            self.is_complete = false;
            return Ok(None);
        };
        match self.blobs.get(&descriptor.digest).map(|blob| &blob.content) {
            Some(Content::Document(document)) => {
                // A small document may be named a thousand times: what counts is how often it is kept.
                self.document_bytes += document.size();
                if self.document_bytes > limits::DOCUMENTS_TOTAL_BYTES {
                    return Err(ImageError::Limit { limit: limits::DOCUMENTS_TOTAL_BYTES, what: "bytes of JSON" });
                }
                return Ok(Some(document.clone()));
            }
            Some(Content::LargeDocument) => self.unusable(place, FaultKind::DocumentSize { size }),
            _ => self.unusable(place, FaultKind::Json(format!("blob `{}` holds something else", descriptor.digest))),
        }
        Ok(None)
    }

    pub(super) fn envelope(&mut self, place: &str, document: &Document) -> Option<Envelope> {
        let envelope: Envelope = match json::parse(Names::Manifest, &document.bytes) {
            Ok(envelope) => envelope,
            Err(reason) => {
                self.unusable(place, FaultKind::Json(reason));
                return None;
            }
        };
        let second =
            if envelope.config.is_some() { Some("config") } else { envelope.layers.as_ref().map(|_| "layers") };
        if let (Some(_), Some(second)) = (&envelope.manifests, second) {
            self.unusable(place, FaultKind::Ambiguous { first: "manifests", second });
            return None;
        }
        if envelope.schema_version != Some(2) {
            let found = envelope.schema_version.map_or_else(|| "missing".to_owned(), |version| version.to_string());
            self.faults.add(place, FaultKind::Version { field: "`schemaVersion`", expected: "2", found });
        }
        Some(envelope)
    }

    /// The media type of a document: by its descriptor, by itself, by its form. Where two are given they must agree.
    pub(super) fn media_type(&mut self, place: &str, expected: &str, envelope: &Envelope) -> String {
        let own = &envelope.media_type;
        if !expected.is_empty() && !own.is_empty() && expected != own {
            let kind = FaultKind::MediaType { expected: expected.to_owned(), found: own.clone() };
            self.faults.add(place, kind);
        }
        let form = if envelope.manifests.is_some() { OCI_INDEX } else { OCI_MANIFEST };
        [expected, own, form].into_iter().find(|media_type| !media_type.is_empty()).unwrap_or(form).to_owned()
    }

    pub(super) fn unusable(&mut self, place: &str, kind: FaultKind) {
        self.is_complete = false;
        self.faults.add(place, kind);
    }
}

/// What is known of a manifest before its config and layers.
pub(super) struct Draft {
    pub(super) descriptor: Descriptor,
    pub(super) document: Document,
    pub(super) media_type: String,
    pub(super) family: Family,
}

pub(super) fn path_of(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}
