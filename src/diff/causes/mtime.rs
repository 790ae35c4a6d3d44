//! Times of entries that are those of the build.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Kind};

/// Modification times that no epoch holds still.
pub const CAUSE: Cause = Cause { id: "mtime", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Entry || place.difference.kind != Kind::Mtime {
        return None;
    }
    let layer = place.layer?;
    let rewritten = |side: &Option<super::super::model::LayerRef>| side.as_ref().and_then(|it| it.rewritten.clone());
    let (explanation, fix) = match (rewritten(&layer.a), rewritten(&layer.b)) {
        (Some(a), Some(b)) if a != b => (
            "The times of the files were rewritten to two different epochs.",
            "Build both with the same `--source-date-epoch`.",
        ),
        // Rewriting only lowers times: what is older than the epoch comes from the context or from an archive.
        (Some(_), Some(_)) => (
            "The files are older than the epoch, so that rewriting left their times alone: they come from the context, or out \
             of an archive.",
            "Give the files of the context the same times before each build, or use an earlier `--source-date-epoch`.",
        ),
        (None, None) => (
            "The times of the files are those of the build: nothing rewrote them.",
            "Build with `--source-date-epoch` and without `--no-rewrite-timestamp` (in plain BuildKit: `rewrite-timestamp=true`).",
        ),
        _ => (
            "The times of the files were rewritten to an epoch on one side, and not on the other.",
            "Build both with the same `--source-date-epoch`, and without `--no-rewrite-timestamp`.",
        ),
    };
    Some(Claim {
        confidence: Confidence::High,
        is_whole: true,
        explanation: explanation.to_owned(),
        fix: Some(fix.to_owned()),
    })
}
