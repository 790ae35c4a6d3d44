//! Times of entries that are those of the build.

use super::step::Step;
use super::{Cause, Claim, Level, Place, created};
use crate::diff::model::{Confidence, Kind, Text};

/// See the module.
pub const CAUSE: Cause = Cause { id: "mtime", explain };

/// Why two times differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Both were rewritten, to two epochs.
    Epochs,
    /// One side was not rewritten.
    OneUnwritten,
    /// None was.
    NoneRewritten,
    /// Both are older than the epoch, where rewriting leaves them alone.
    Older,
}

/// Why the times of an entry differ, as far as the notes of the layers, the dates of the images and the times themselves tell.
///
/// Rewriting lowers what is later than the epoch to it, and leaves the rest. With Docker's media types there is no note of it.
#[must_use]
pub(super) fn kind(place: &Place<'_>) -> Option<Why> {
    let (entry, layer, platform) = (place.entry?, place.layer?, place.platform?);
    let (a, b) = (entry.a.as_ref()?.mtime.seconds, entry.b.as_ref()?.mtime.seconds);
    let noted = |side: &Option<crate::diff::model::LayerRef>| {
        side.as_ref().and_then(|layer| layer.rewritten.as_ref()).and_then(Text::as_str)?.parse::<i64>().ok()
    };
    let created = |side: &Option<crate::diff::model::ImageRef>| created::seconds(side.as_ref()?.created.as_ref()?);
    let (noted_a, noted_b) = (noted(&layer.a), noted(&layer.b));
    let (epoch_a, epoch_b) = (noted_a.or_else(|| created(&platform.a)), noted_b.or_else(|| created(&platform.b)));
    let has_notes = noted_a.is_some() || noted_b.is_some();
    Some(match (epoch_a, epoch_b) {
        (Some(one), Some(other)) if has_notes && noted_a.is_none() != noted_b.is_none() => {
            let rewritten = if noted_a.is_some() { (a, one) } else { (b, other) };
            if rewritten.0 <= rewritten.1 && a.max(b) <= one.max(other) && a != one && b != other {
                Why::Older
            } else {
                Why::OneUnwritten
            }
        }
        (Some(one), Some(other)) if a <= one && b <= other => {
            if one != other && (a == one || b == other) {
                Why::Epochs
            } else {
                Why::Older
            }
        }
        (Some(one), Some(other)) if a > one && b > other => Why::NoneRewritten,
        (None, None) => Why::NoneRewritten,
        _ => Why::OneUnwritten,
    })
}

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Entry || place.difference.kind != Kind::Mtime {
        return None;
    }
    let explanation = match kind(place)? {
        Why::Epochs => return None,
        Why::Older if place.step().is_input() => return None,
        Why::Older if place.step() == Step::Run => {
            "The times of files that RUN unpacked or set differ, and are older than the epoch, so that rewriting left them alone."
        }
        Why::Older => "The times of the files differ, and are older than the epoch, so that rewriting left them alone.",
        Why::NoneRewritten => "The times of the files are those of the build: nothing rewrote them.",
        Why::OneUnwritten => "The times of the files were rewritten to an epoch on one side, and not on the other.",
    };
    let fix = "Build both with `--source-date-epoch` and without `--no-rewrite-timestamp` (in plain BuildKit: `rewrite-timestamp=true`), \
               with an epoch that is not later than the files.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
