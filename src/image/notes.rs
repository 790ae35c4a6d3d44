//! What should be known of an image, and is no fault.

use std::fmt;

use super::media_type::{Compression, Family, Kind, kind_of};
use super::model::{Config, Image, Layer};
use super::paths::Found;
use super::promises::layer_steps;
use crate::limits;

/// One thing that should be known, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The member, the descriptor or the document. Escaped: fit to print.
    pub place: String,
    /// What is to be known about it.
    pub kind: NoteKind,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.kind)
    }
}

/// What is to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteKind {
    /// A file in a directory that is no part of the layout there.
    NotRead,
    /// A blob in a directory that no descriptor names. The specification allows it: tools add and rarely clean.
    Unreferenced,
    /// A description of a layer in Docker's oldest form, which `docker save` still adds as blobs.
    LegacyConfig,
    /// A layer that is not compressed, though its media type says that it is: skopeo's `dir:` may hold such.
    Unpacked(Compression),
    /// A signature, which is not verified here.
    Signature,
    /// Entries with a slash in front. Some builders write all of theirs so.
    Absolute(Found),
    /// Entries with the path of another before them in the layer: the later one wins.
    Repeated(Found),
    /// More entries than could be held against each other.
    ManyEntries,
    /// `manifest.json`, which `docker load` goes by, calls the image something else than `index.json`, which others go by. It is
    /// the same image.
    OtherNames {
        /// In `manifest.json`.
        docker: String,
        /// In `index.json`.
        index: String,
    },
    /// A layer of Docker's media type in an OCI manifest, or the other way round. Some builders add such to a base image.
    OtherFamily {
        /// That of the layer.
        layer: Family,
    },
    /// The history tells of fewer layers than there are: it is optional, and some tools leave it as it was.
    FewerSteps {
        /// Steps that made a layer.
        steps: usize,
        /// Layers of the manifest.
        layers: usize,
    },
}

impl fmt::Display for NoteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRead => f.write_str("no part of the image layout, not read"),
            Self::Unreferenced => f.write_str("nothing refers to this blob"),
            Self::LegacyConfig => {
                f.write_str("describes a layer for readers of Docker before 1.10; nothing else refers to it")
            }
            Self::Unpacked(declared) => write!(f, "is not compressed, though its media type says {}", declared.name()),
            Self::Signature => f.write_str("a signature, not verified"),
            Self::Absolute(found) => {
                write!(f, "{} with an absolute path, the first is `{}`", entries(found), found.first)
            }
            Self::Repeated(found) => {
                write!(f, "{} with the path of an earlier one, the first is `{}`", entries(found), found.first)
            }
            Self::ManyEntries => {
                write!(f, "only the first {} entries were looked through for repeated paths", limits::LAYER_PATHS)
            }
            Self::OtherNames { docker, index } => {
                write!(f, "one engine loads it as {docker}, another as {index}, which `index.json` says")
            }
            Self::OtherFamily { layer: Family::Docker } => {
                f.write_str("a layer of Docker's media type in an OCI manifest")
            }
            Self::OtherFamily { layer: Family::Oci } => {
                f.write_str("a layer of an OCI media type in a Docker manifest")
            }
            Self::FewerSteps { steps, layers } => {
                write!(f, "the history has {steps} steps that made a layer, and there are {layers} layers")
            }
        }
    }
}

fn entries(found: &Found) -> String {
    if found.count == 1 { "1 entry".to_owned() } else { format!("{} entries", found.count) }
}

impl Image {
    /// What should be known of it: what was seen on the way to it, and what is odd about its manifests and layers.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        let manifests = self.manifests.iter().flat_map(|manifest| {
            let inside = format!("`{}`", manifest.document.digest);
            odd(&inside, &manifest.config, &manifest.layers, Some(manifest.family))
        });
        let docker_images = self.docker_images.iter().flat_map(|image| {
            let inside = format!("`{}`", image.config.document.digest);
            odd(&inside, &image.config, &image.layers, None)
        });
        self.seen.iter().cloned().chain(manifests).chain(docker_images).collect()
    }
}

/// What is odd about an image for one platform. Docker's archives say no media types, thus are of no family.
fn odd(inside: &str, config: &Config, layers: &[Layer], family: Option<Family>) -> Vec<Note> {
    let mut notes = Vec::new();
    let steps = layer_steps(&config.history);
    if !config.history.is_empty() && steps < layers.len() {
        let kind = NoteKind::FewerSteps { steps, layers: layers.len() };
        notes.push(Note { place: inside.to_owned(), kind });
    }
    for (at, layer) in layers.iter().enumerate() {
        let paths = &layer.facts.paths;
        let other = match (family, kind_of(&layer.descriptor.media_type)) {
            (Some(family), Kind::Layer(layer, _)) if layer != family => Some(NoteKind::OtherFamily { layer }),
            _ => None,
        };
        let kinds = [
            other,
            paths.absolute.clone().map(NoteKind::Absolute),
            paths.repeated.clone().map(NoteKind::Repeated),
            paths.too_many.then_some(NoteKind::ManyEntries),
        ];
        let place = || format!("{inside} layers[{at}]");
        notes.extend(kinds.into_iter().flatten().map(|kind| Note { place: place(), kind }));
    }
    notes
}
