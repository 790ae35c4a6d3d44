//! The same contents, compressed in another way.

use super::{Cause, Claim, Level, Place, media_types};
use crate::diff::model::{Confidence, Kind, Relation};

/// See the module.
pub const CAUSE: Cause = Cause { id: "compression", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let layer = place.layer?;
    let is_of_blob = matches!(place.difference.kind, Kind::Compression | Kind::Digest | Kind::Value);
    if place.level != Level::Layer
        || layer.relation != Relation::CompressionOnly
        || !is_of_blob
        || place.pointer().contains("annotations")
        || media_types::is_family(place.difference)
    {
        return None;
    }
    let (a, b) = (layer.a.as_ref()?, layer.b.as_ref()?);
    let explanation = if a.compression == b.compression {
        "A layer has the same contents in other compressed bytes: another level, or another program that compressed it."
    } else {
        "A layer has the same contents, compressed by another method."
    };
    let fix = "Give both sides the same `--compression` and `--compression-level`, with one version of BuildKit; bytes of zstd change \
               more often between versions than those of gzip.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
