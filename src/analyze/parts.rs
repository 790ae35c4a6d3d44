//! Parts of an image become parts of its report.

use std::collections::BTreeMap;

use chrono::DateTime;

use super::{
    AttestationReport, DockerImageReport, DocumentReport, EpochReport, EpochSource, Files, ImageReport, LayerReport,
    LeftOut, ManifestReport, PlatformReport, RootReport, View,
};
use crate::image::rewrite::REWRITTEN;
use crate::image::{Config, Descriptor, DockerImage, Document, Image, Layer, Manifest};

pub(super) fn image_report(image: &Image, view: &View) -> ImageReport {
    let none = BTreeMap::new();
    ImageReport {
        form: image.form,
        container: image.container,
        archive_size: image.archive_bytes,
        digest: image.digest().cloned(),
        roots: image
            .roots
            .iter()
            .map(|root| RootReport {
                digest: root.digest.clone(),
                names: root.names.clone(),
                annotations: root.annotations.clone(),
            })
            .collect(),
        index: image.index.as_ref().map(|index| document_report(index, None, &none, view)),
        has_docker_manifest: image.docker_manifest.is_some(),
        indexes: image
            .indexes
            .iter()
            .map(|index| document_report(&index.document, Some(&index.media_type), &index.annotations, view))
            .collect(),
        manifests: image
            .manifests
            .iter()
            .filter(|manifest| view.shows(&manifest.config.platform))
            .map(|manifest| manifest_report(manifest, view))
            .collect(),
        attestations: image
            .attestations
            .iter()
            .map(|attestation| AttestationReport {
                document: described(&attestation.descriptor, &attestation.document, view),
                subject: attestation.subject.clone(),
            })
            .collect(),
        docker_images: image
            .docker_images
            .iter()
            .filter(|docker| view.shows(&docker.config.platform))
            .map(|docker| docker_report(docker, view))
            .collect(),
        left_out: image
            .left_out
            .iter()
            .map(|descriptor| LeftOut { digest: descriptor.digest.clone(), platform: descriptor.platform.clone() })
            .collect(),
    }
}

fn document_report(
    document: &Document,
    media_type: Option<&str>,
    annotations: &BTreeMap<String, String>,
    view: &View,
) -> DocumentReport {
    DocumentReport {
        digest: document.digest.clone(),
        media_type: media_type.filter(|media_type| !media_type.is_empty()).map(str::to_owned),
        size: document.size(),
        annotations: annotations.clone(),
        content: view.contents.then(|| document.value()),
        // JSON is UTF-8, which whoever parsed it has checked.
        text: view.contents.then(|| String::from_utf8_lossy(&document.bytes).into_owned()),
    }
}

fn described(descriptor: &Descriptor, document: &Document, view: &View) -> DocumentReport {
    document_report(document, Some(&descriptor.media_type), &descriptor.annotations, view)
}

fn manifest_report(manifest: &Manifest, view: &View) -> ManifestReport {
    let media_type = Some(manifest.media_type.as_str());
    ManifestReport {
        document: document_report(&manifest.document, media_type, &manifest.annotations, view),
        image: platform_report(&manifest.config, &manifest.layers, view),
    }
}

fn docker_report(docker: &DockerImage, view: &View) -> DockerImageReport {
    DockerImageReport { names: docker.names.clone(), image: platform_report(&docker.config, &docker.layers, view) }
}

fn platform_report(config: &Config, layers: &[Layer], view: &View) -> PlatformReport {
    PlatformReport {
        platform: config.platform.clone(),
        created: config.created.clone(),
        epoch: epoch_of(config, layers),
        config: described(&config.descriptor, &config.document, view),
        layer_count: layers.len(),
        layers: (0..)
            .zip(layers)
            .filter(|(number, _)| view.layer.is_none_or(|only| only == *number))
            .map(|(number, layer)| layer_report(number, layer))
            .collect(),
    }
}

/// What shows the epoch that an image was built with.
fn epoch_of(config: &Config, layers: &[Layer]) -> Option<EpochReport> {
    let annotated = layers.iter().filter_map(|layer| layer.descriptor.annotations.get(REWRITTEN));
    let mut epochs: Vec<&str> = annotated.map(String::as_str).collect();
    epochs.dedup();
    if let [text] = epochs.as_slice() {
        return Some(EpochReport { seconds: text.parse().ok()?, by: EpochSource::Annotation });
    }
    if !epochs.is_empty() {
        return None;
    }
    let created = DateTime::parse_from_rfc3339(config.created.as_deref()?).ok()?;
    let seconds = created.timestamp();
    let newest = layers.iter().filter_map(|layer| layer.facts.newest).max();
    let nothing_is_later = newest.is_none_or(|newest| !newest.is_after(seconds));
    (created.timestamp_subsec_nanos() == 0 && nothing_is_later)
        .then_some(EpochReport { seconds, by: EpochSource::Created })
}

fn layer_report(number: usize, layer: &Layer) -> LayerReport {
    LayerReport {
        number,
        digest: layer.descriptor.digest.clone(),
        media_type: Some(layer.descriptor.media_type.clone()).filter(|media_type| !media_type.is_empty()),
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
