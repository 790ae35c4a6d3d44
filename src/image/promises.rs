//! What one document says about another, or about a layer, held against it.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

use super::escape::escape;
use super::fault::{FaultKind, shorten};
use super::layer::{LayerContent, LayerFacts};
use super::media_type::{Family, Kind, kind_of};
use super::model::{Descriptor, History, Platform, Root, null_is_default};
use super::notes::NoteKind;
use super::rewrite::REWRITTEN;
use crate::digest::{Algorithm, Digest};
use crate::limits;

/// An entry of Docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerEntry {
    /// The path of the config.
    pub config: String,
    /// Its names.
    #[serde(default, deserialize_with = "null_is_default")]
    pub repo_tags: Vec<String>,
    /// The paths of the layers, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<String>,
}

/// The names in `manifest.json` against those in `index.json`, where both have some.
pub fn docker_names(roots: &[Root], entries: &[DockerEntry]) -> Option<NoteKind> {
    let docker: BTreeSet<String> =
        entries.iter().flat_map(|entry| &entry.repo_tags).map(|name| full_name(name)).collect();
    // A tag alone is no name.
    let whole = |name: &&String| name.contains(['/', ':']);
    let index: BTreeSet<String> =
        roots.iter().flat_map(|root| &root.names).filter(whole).map(|name| full_name(name)).collect();
    let list = |names: &BTreeSet<String>| {
        let names: Vec<String> = names.iter().map(|name| format!("`{}`", escape(name))).collect();
        shorten(&names.join(", "))
    };
    let is_other = !docker.is_empty() && !index.is_empty() && docker != index;
    is_other.then(|| NoteKind::OtherNames { docker: list(&docker), index: list(&index) })
}

/// A name with what Docker leaves out of it.
fn full_name(name: &str) -> String {
    let has_tag = name.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    let tag = if has_tag { "" } else { ":latest" };
    let place = match name.split_once('/') {
        None => "docker.io/library/",
        Some((first, _)) if first == "localhost" || first.contains(['.', ':']) => "",
        Some(_) => "docker.io/",
    };
    format!("{place}{name}{tag}")
}

/// The platform of a descriptor against that of the config.
pub fn platform(descriptor: &Descriptor, found: &Platform) -> Option<FaultKind> {
    let expected = descriptor.platform.as_ref().filter(|platform| !platform.agrees_with(found))?;
    Some(FaultKind::Platform { expected: expected.clone(), found: found.clone() })
}

/// The media type of a config against that of its manifest.
///
/// `containers/image` takes an OCI manifest with Docker's config for no image, all others take it. Layers of the other family
/// are common, and read by all.
pub fn family(manifest: &str, config: &Descriptor) -> Option<FaultKind> {
    let of = |media_type: &str| match kind_of(media_type) {
        Kind::Manifest(family) | Kind::Config(family) => Some(family),
        _ => None,
    };
    let (of_manifest, of_config): (Option<Family>, _) = (of(manifest), of(&config.media_type));
    (of_manifest.is_some() && of_config.is_some() && of_manifest != of_config)
        .then(|| FaultKind::ConfigFamily { manifest: manifest.to_owned(), config: config.media_type.clone() })
}

/// How many steps of a history made a layer.
pub fn layer_steps(history: &[History]) -> usize {
    history.iter().filter(|step| !step.empty_layer).count()
}

/// The history against the layers. It may tell of fewer, being optional; `docker history` refuses one that tells of more.
pub fn history(history: &[History], layers: usize) -> Option<FaultKind> {
    let steps = layer_steps(history);
    (steps > layers).then_some(FaultKind::History { steps, layers })
}

/// The diff IDs of a config against the layers of its manifest.
pub fn layer_count(diff_ids: &[Digest], layers: usize) -> Option<FaultKind> {
    (diff_ids.len() != layers).then_some(FaultKind::LayerCount { expected: diff_ids.len(), found: layers })
}

/// A diff ID against the layer.
pub fn diff_id(expected: &Digest, content: &LayerContent) -> Option<FaultKind> {
    let found = match (expected.algorithm(), &content.diff_id_512) {
        (Algorithm::Sha256, _) => &content.diff_id,
        (Algorithm::Sha512, Some(found)) => found,
        (Algorithm::Sha512, None) => return Some(FaultKind::DiffIdAlgorithm(expected.clone())),
    };
    (expected != found).then(|| FaultKind::DiffId { expected: expected.clone(), found: found.clone() })
}

/// BuildKit's word that it rewrote the times of a layer, against the times.
pub fn rewritten(descriptor: &Descriptor, facts: &LayerFacts) -> Option<FaultKind> {
    let word = descriptor.annotations.get(REWRITTEN)?;
    let Ok(epoch) = word.parse() else { return Some(FaultKind::RewrittenWhen(shorten(word))) };
    let newest = facts.newest.filter(|newest| newest.is_after(epoch))?;
    let path = facts.newest_path.clone().unwrap_or_default();
    Some(FaultKind::Rewritten { epoch, path, seconds: newest.seconds })
}

/// The entries of `manifest.json` against where `index.json` leads: the config and the layers of each image. Gives the entries
/// that are wrong, up to [`limits::FAULTS`] and one.
pub fn docker_manifest(images: &[(String, Vec<String>)], entries: &[DockerEntry]) -> Vec<(usize, FaultKind)> {
    let known: HashMap<&str, &[String]> =
        images.iter().rev().map(|(config, layers)| (config.as_str(), layers.as_slice())).collect();
    let wrong = entries.iter().enumerate().filter_map(|(at, entry)| {
        let (what, expected, found) = match known.get(entry.config.as_str()) {
            None => ("Config", listed(images.iter().map(|(config, _)| config)), entry.config.clone()),
            Some(layers) if **layers != entry.layers => ("Layers", listed(*layers), listed(&entry.layers)),
            Some(_) => return None,
        };
        Some((at, FaultKind::DockerManifest { what, expected, found }))
    });
    wrong.take(limits::FAULTS + 1).collect()
}

/// Paths with commas between them, as many as a message takes.
fn listed<'a>(paths: impl IntoIterator<Item = &'a String>) -> String {
    let mut text = String::new();
    for path in paths {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(path);
        if text.len() > limits::FAULT_TEXT {
            break;
        }
    }
    text
}
