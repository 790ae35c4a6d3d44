//! Whether BuildKit rewrote the times of all that it built.
//!
//! With `rewrite-timestamp=true` BuildKit clamps every time in every layer that it built to the epoch. It leaves the layers of the
//! base image alone, and where rewriting a layer fails it only writes a line to the daemon's log and exports the layer as it was
//! (`exporter/containerimage/writer.go`, `rewriteRemoteWithEpoch`). Such an image differs from machine to machine, so each layer
//! that is not the base's must show that it was rewritten.
//!
//! What shows it depends on the media types. With OCI types each rewritten layer's descriptor has the annotation
//! `buildkit/rewritten-timestamp: "<epoch>"`, layers of the base have none. With Docker types BuildKit drops annotations; then the
//! times of the entries must do: a layer without a later time is what rewriting it would have given. Dates in the history are no
//! evidence of either: they are clamped without rewriting as well, thus a base that was built with an epoch but without rewrite
//! looks the same there. But a date after the epoch behind the base's steps proves that something went wrong.
//!
//! The base is the longest candidate whose layers, all of them, are the first layers of the image, by digest or by diff ID.
//! Two candidates may fit (one is built on the other). The longer is right: its layers are there bit for bit, and an image of
//! which this build used the layers unchanged was not built by it.
//!
//! `b` = layers of the base, `*` = annotated with the epoch, `+` = holds a later time:
//!
//! | types | candidates | layers | verdict |
//! |---|---|---|---|
//! | OCI | `[b1 b2]` | `b1+ b2+ 3*` | proved: two layers of the base, one rewritten |
//! | OCI | `[b1 b2]` | `b1 b2` | proved: no layer added |
//! | OCI | `[b1 b2]` | `b1+ 3*` | refuted, layer 0: only a part of the candidate |
//! | OCI | `[b1]` | `b1 2 3*`, `b1 2* 3`, `b1 2* 3+` | refuted: the layer without annotation was skipped |
//! | OCI | `[b1]` | `b1 2*+` | refused before, by whoever reads the archive: it says that it was rewritten, and was not |
//! | OCI | `[b1]` | `b1 2` annotated with another epoch | refuted |
//! | OCI | `[b1]` | `1* 2*` | proved: the base was rewritten too (named contexts before BuildKit 0.24) |
//! | OCI | `[b1] [b1 b2]` | `b1 b2+ 3*` | proved: the longer is the base |
//! | OCI | none (`FROM scratch`) | `1* 2*` | proved |
//! | OCI | none (`FROM scratch`) | `1 2*` | refuted, layer 0 |
//! | OCI | unknown | `1* 2*` | proved, whatever the base was |
//! | OCI | unknown | `1 2*`, `1+ 2*`, `1` | unproved: layer 0 may be a base's |
//! | OCI | unknown | `1* 2` | refuted: a base comes first |
//! | Docker | `[b1]` | `b1+ 2` | proved |
//! | Docker | `[b1]` | `b1+ 2+` | refuted, layer 1 |
//! | Docker | `[b1 b2]` | `b1+ 3` | refuted, layer 0: only a part of the candidate |
//! | Docker | none (`FROM scratch`) | `1` / `1+` | proved / refuted |
//! | Docker | unknown | `1 2` | proved, whatever the base was |
//! | Docker | unknown | `1+ 2` | unproved: layer 0 may be a base's |
//! | both | any (with Docker types: known) | a history date after the epoch at or behind the first layer of the build | refuted |
//! | both | any (with Docker types: known) | a history whose steps do not fit the layers | unproved |
//!
//! An empty layer has no times; for OCI types it is annotated as any other.

use chrono::{DateTime, Utc};

use super::escape::escape;
use super::media_type::Family;
use super::model::{History, Layer, Manifest};
use crate::digest::Digest;

/// The annotation that BuildKit puts on the descriptor of a rewritten layer.
pub const REWRITTEN: &str = "buildkit/rewritten-timestamp";

/// What is known of the images that a build used.
#[derive(Debug, Clone, Copy)]
pub enum Base<'a> {
    /// The layers of each of them, lowest first: digests or diff IDs. None at all for a build that used no image.
    Known(&'a [Vec<Digest>]),
    /// Nothing.
    Unknown,
}

/// What the layers tell.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that was built was rewritten.
    Proved(RewriteProof),
    /// Perhaps; the reason says what is missing to tell.
    Unproved(Unproved),
    /// Something was not rewritten.
    Refuted(Vec<RewriteFault>),
}

/// What a proof rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewriteProof {
    /// How many layers are the base's. None where that is not known and does not matter.
    pub base_layers: Option<usize>,
    /// How many layers were rewritten, or are as rewriting would have left them.
    pub rewritten_layers: usize,
}

/// Why the layers tell nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    /// The first layers could be those of a base image, or not.
    #[error("the first {layers} layers were not rewritten, and nothing says whether they are those of the base image")]
    UnknownBase {
        /// How many.
        layers: usize,
    },
    /// The history does not fit the layers.
    #[error("the history has {steps} steps that made a layer, but there are {layers} layers")]
    History {
        /// Steps of the history without `empty_layer`.
        steps: usize,
        /// Layers of the manifest.
        layers: usize,
    },
}

/// A layer, or a step, that was not rewritten. Layers and steps are counted from 0, as in the documents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewriteFault {
    /// No annotation on a layer that is not the base's.
    #[error(
        "layers[{layer}] `{digest}` was not rewritten: it is not a layer of the base image, and has no `{REWRITTEN}`"
    )]
    NotAnnotated {
        /// Which.
        layer: usize,
        /// Its digest.
        digest: Digest,
    },
    /// An annotation with something else than the epoch.
    #[error("layers[{layer}] `{digest}` was rewritten to `{}`, not to {epoch}", escape(.found))]
    OtherEpoch {
        /// Which.
        layer: usize,
        /// Its digest.
        digest: Digest,
        /// The epoch.
        epoch: i64,
        /// What the annotation says.
        found: String,
    },
    /// A time after the epoch in a layer that is not the base's.
    #[error("layers[{layer}] `{digest}` was not rewritten: `{path}` has the time {seconds}, later than {epoch}")]
    Later {
        /// Which.
        layer: usize,
        /// Its digest.
        digest: Digest,
        /// The entry with the latest time, escaped.
        path: String,
        /// That time, in seconds since 1970.
        seconds: i64,
        /// The epoch.
        epoch: i64,
    },
    /// A step of the history that was not clamped.
    #[error("history[{step}] was created `{}`, later than {epoch}", escape(.created))]
    History {
        /// Which.
        step: usize,
        /// Its date.
        created: String,
        /// The epoch.
        epoch: i64,
    },
    /// A step of the history with a date that is none. BuildKit writes no such thing.
    #[error("history[{step}] was created `{}`, which is not a date", escape(.created))]
    NotADate {
        /// Which.
        step: usize,
        /// What stands there.
        created: String,
    },
}

/// Whether all layers that were built were rewritten to `epoch` (seconds since 1970): see the table above.
///
/// ```
/// use std::path::Path;
///
/// use repro::image::rewrite::{Base, Verdict, check_rewritten};
/// use repro::image::{ReadOptions, load_image};
///
/// # let archive = "fuzz/corpus/archive/docker-v0.19.tar";
/// let epoch = 0;
/// let image = load_image(Path::new(archive), &ReadOptions { epoch: Some(epoch), ..ReadOptions::default() })?;
/// // `FROM scratch`: no layer is that of a base.
/// match check_rewritten(&image.manifests[0], epoch, Base::Known(&[])) {
///     Verdict::Proved(proof) => println!("{} layers were rewritten", proof.rewritten_layers),
///     Verdict::Unproved(why) => println!("nobody can tell: {why}"),
///     Verdict::Refuted(faults) => faults.iter().for_each(|fault| println!("{fault}")),
/// }
/// # Ok::<(), repro::image::ImageError>(())
/// ```
pub fn check_rewritten(manifest: &Manifest, epoch: i64, base: Base<'_>) -> Verdict {
    let split = match (base, manifest.family) {
        (Base::Known(candidates), _) => known_base(&manifest.layers, candidates),
        (Base::Unknown, Family::Oci) => {
            leading(&manifest.layers, |layer| !layer.descriptor.annotations.contains_key(REWRITTEN))
        }
        (Base::Unknown, Family::Docker) => {
            let last_later = manifest.layers.iter().rposition(|layer| is_later(layer, epoch));
            Split { base: last_later.map_or(0, |at| at + 1), is_sure: last_later.is_none(), steps: Steps::Unknown }
        }
    };
    let mut faults = Vec::new();
    for (at, layer) in manifest.layers.iter().enumerate().skip(split.base) {
        if manifest.family == Family::Oci {
            faults.extend(annotation_fault(at, layer, epoch));
        }
        faults.extend(later_fault(at, layer, epoch));
    }
    let unclear = check_history(manifest, epoch, &split, &mut faults);
    if !faults.is_empty() {
        return Verdict::Refuted(faults);
    }
    if !split.is_sure {
        return Verdict::Unproved(Unproved::UnknownBase { layers: split.base });
    }
    if let Some(reason) = unclear {
        return Verdict::Unproved(reason);
    }
    let base_layers = matches!(base, Base::Known(_)).then_some(split.base);
    Verdict::Proved(RewriteProof { base_layers, rewritten_layers: manifest.layers.len() - split.base })
}

/// Where the base ends and the build begins.
struct Split {
    /// Layers of the base.
    base: usize,
    /// Whether they are the base's, or only may be.
    is_sure: bool,
    /// Which steps of the history are the build's.
    steps: Steps,
}

/// Which steps of the history are surely those of the build.
#[derive(PartialEq)]
enum Steps {
    /// All: there is no base.
    All,
    /// Those from its first layer on. Steps without a layer (`CMD`, `ENV`) before that may be the base's.
    FromFirstLayer,
    /// Nobody knows.
    Unknown,
}

fn known_base(layers: &[Layer], candidates: &[Vec<Digest>]) -> Split {
    let longest = candidates.iter().filter(|candidate| is_prefix(candidate, layers)).map(Vec::len).max();
    let steps = if longest.is_some() { Steps::FromFirstLayer } else { Steps::All };
    Split { base: longest.unwrap_or(0), is_sure: true, steps }
}

fn is_prefix(candidate: &[Digest], layers: &[Layer]) -> bool {
    candidate.len() <= layers.len()
        && candidate
            .iter()
            .zip(layers)
            .all(|(digest, layer)| *digest == layer.descriptor.digest || *digest == layer.diff_id)
}

fn leading(layers: &[Layer], is_base: impl Fn(&Layer) -> bool) -> Split {
    let base = layers.iter().take_while(|layer| is_base(layer)).count();
    Split { base, is_sure: base == 0, steps: Steps::FromFirstLayer }
}

fn is_later(layer: &Layer, epoch: i64) -> bool {
    layer.facts.newest.is_some_and(|newest| newest.is_after(epoch))
}

fn annotation_fault(at: usize, layer: &Layer, epoch: i64) -> Option<RewriteFault> {
    let digest = layer.descriptor.digest.clone();
    match layer.descriptor.annotations.get(REWRITTEN) {
        None => Some(RewriteFault::NotAnnotated { layer: at, digest }),
        Some(found) if *found == epoch.to_string() => None,
        Some(found) => Some(RewriteFault::OtherEpoch { layer: at, digest, epoch, found: found.clone() }),
    }
}

fn later_fault(at: usize, layer: &Layer, epoch: i64) -> Option<RewriteFault> {
    let newest = layer.facts.newest.filter(|newest| newest.is_after(epoch))?;
    Some(RewriteFault::Later {
        layer: at,
        digest: layer.descriptor.digest.clone(),
        path: layer.facts.newest_path.clone().unwrap_or_default(),
        seconds: newest.seconds,
        epoch,
    })
}

/// Looks for steps of the build that were not clamped. Says why, where its steps cannot be told from those of the base.
fn check_history(manifest: &Manifest, epoch: i64, split: &Split, faults: &mut Vec<RewriteFault>) -> Option<Unproved> {
    let history = &manifest.config.history;
    let made_layer: Vec<usize> =
        history.iter().enumerate().filter(|(_, step)| !step.empty_layer).map(|(at, _)| at).collect();
    let layers = manifest.layers.len();
    if history.is_empty() || split.steps == Steps::Unknown {
        return None;
    }
    if made_layer.len() != layers {
        return Some(Unproved::History { steps: made_layer.len(), layers });
    }
    let first_own = match split.steps {
        Steps::All => 0,
        _ => made_layer.get(split.base).copied().unwrap_or(history.len()),
    };
    faults.extend(history.iter().enumerate().skip(first_own).filter_map(|(at, step)| history_fault(at, step, epoch)));
    None
}

fn history_fault(step: usize, history: &History, epoch: i64) -> Option<RewriteFault> {
    let created = history.created.clone()?;
    let Ok(date) = DateTime::parse_from_rfc3339(&created) else {
        return Some(RewriteFault::NotADate { step, created });
    };
    let date = date.with_timezone(&Utc);
    let is_later = date.timestamp() > epoch || (date.timestamp() == epoch && date.timestamp_subsec_nanos() > 0);
    is_later.then_some(RewriteFault::History { step, created, epoch })
}
