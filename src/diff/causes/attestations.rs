//! Statements about the image, beside it.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "attestations", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Attestation {
        return None;
    }
    let explanation = "Attestations (provenance, SBOM) differ, or only one side has them: they tell of the build, with its times. The images that they are about are compared for themselves.";
    let fix = "Compare the digests of the platforms instead of that of the index; or build without them: `--provenance=false --sbom=false` in buildx.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
