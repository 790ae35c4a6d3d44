//! The variant of the processor.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "platform-variant", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if !place.pointer().ends_with("/variant") || place.level == Level::Entry {
        return None;
    }
    let explanation = "The variant of the processor is written on one side only, or in another way: since BuildKit v0.20.0 the one that was asked for stands in the image.";
    let fix = "Build both with the same version of BuildKit and the same `--platform`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
