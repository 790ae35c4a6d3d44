//! Docker's media types and OCI's.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Difference, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "media-types", explain };

const DOCKER: &str = "application/vnd.docker.";
const OCI: &str = "application/vnd.oci.";

/// Whether a difference is one of Docker's type against one of OCI's.
#[must_use]
pub(super) fn is_family(difference: &Difference) -> bool {
    let starts = |text: &Option<crate::diff::model::Text>, start: &str| {
        text.as_ref().and_then(|text| text.as_str()).is_some_and(|text| text.starts_with(start))
    };
    let (a, b) = (&difference.a, &difference.b);
    starts(a, DOCKER) && starts(b, OCI) || starts(a, OCI) && starts(b, DOCKER)
}

/// Whether the manifests of a platform are of two families.
#[must_use]
pub(super) fn differ(place: &Place<'_>) -> bool {
    let Some(platform) = place.platform else { return false };
    let in_layers = platform.layers.iter().flat_map(|layer| &layer.differences);
    platform.manifest.iter().chain(in_layers).any(is_family)
}

fn explain(place: &Place<'_>) -> Option<Claim> {
    if !matches!(place.level, Level::Index | Level::Attestation | Level::Manifest | Level::Layer)
        || place.difference.kind != Kind::Value
    {
        return None;
    }
    // Docker's types have no room for annotations of layers: BuildKit drops them.
    let is_dropped = || {
        place.pointer().contains("annotations")
            && (place.difference.a.is_none() || place.difference.b.is_none())
            && differ(place)
    };
    if !is_family(place.difference) && !is_dropped() {
        return None;
    }
    let explanation = "One image has Docker's media types, the other one those of OCI. What is in them is not touched by that. BuildKit's \
                       default changed at v0.31.";
    let fix = "Ask for the same on both sides: `--media-types oci` or `--media-types docker` (in BuildKit `oci-mediatypes=true` or `false`).";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
