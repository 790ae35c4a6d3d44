//! Two epochs.

use super::{Cause, Claim, Level, Place, mtime, rewrite_annotation};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "epoch", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let difference = place.difference;
    let both = difference.a.is_some() && difference.b.is_some();
    let is_epoch = match place.level {
        Level::Config => {
            let is_argument =
                || super::build_argument::changed(place).iter().any(|(name, ..)| name == "SOURCE_DATE_EPOCH");
            super::created::is_date(place) && both && super::created::epochs(place).is_some()
                || difference.kind == Kind::Value && is_argument()
        }
        Level::Manifest | Level::Layer => both && place.pointer().contains(rewrite_annotation::KEY),
        Level::Entry => difference.kind == Kind::Mtime && mtime::kind(place) == Some(mtime::Why::Epochs),
        _ => false,
    };
    if !is_epoch {
        return None;
    }
    let explanation = "The two builds were given two epochs: times of files, dates and annotations follow from them.";
    let fix =
        "Build both with the same `--source-date-epoch`; with `--source-date-epoch git` it is the time of the commit.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
