//! Another base.

use super::step::Step;
use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, LayerPair, Relation, Text};

/// See the module.
pub const CAUSE: Cause = Cause { id: "base-image", explain };

/// Whether the layer belongs to the base.
#[must_use]
pub(super) fn is_base(place: &Place<'_>) -> bool {
    match (place.layer, place.platform) {
        (Some(layer), Some(platform)) => is_base_layer(layer, &platform.layers),
        _ => false,
    }
}

fn is_base_layer(layer: &LayerPair, all: &[LayerPair]) -> bool {
    match Step::of(layer.instruction.as_ref()) {
        Step::From => return true,
        _ if layer.instruction.as_ref().is_some_and(|instruction| instruction.file.is_some()) => return false,
        _ => {}
    }
    // Where the Dockerfile tells of some layers, those below them are the base's.
    let is_told = |layer: &&LayerPair| layer.instruction.as_ref().is_some_and(|instruction| instruction.file.is_some());
    let first = |side: fn(&LayerPair) -> Option<usize>| all.iter().filter(is_told).filter_map(side).min();
    let sides: [fn(&LayerPair) -> Option<usize>; 2] =
        [|layer| layer.a.as_ref().map(|side| side.number), |layer| layer.b.as_ref().map(|side| side.number)];
    if let Some((number, first)) = sides.iter().find_map(|side| Some((side(layer)?, first(*side)?))) {
        return number < first;
    }
    // BuildKit ends the words of each step of a Dockerfile with its name: what has none comes from elsewhere.
    let is_step = |layer: &LayerPair| {
        let sides = [layer.a.as_ref(), layer.b.as_ref()];
        sides.iter().flatten().any(|side| {
            side.created_by.as_ref().and_then(Text::as_str).is_some_and(|words| words.ends_with("# buildkit"))
        })
    };
    !is_step(layer) && all.iter().any(is_step)
}

/// Whether the bases of the two images differ.
#[must_use]
pub(super) fn differs(place: &Place<'_>) -> bool {
    place.platform.is_some_and(|platform| {
        platform.layers.iter().filter(|layer| is_other(layer)).any(|layer| is_base_layer(layer, &platform.layers))
    })
}

const fn is_other(layer: &LayerPair) -> bool {
    !matches!(layer.relation, Relation::Same | Relation::CompressionOnly)
}

/// Whether a difference of the config is one that another base brings: a step that BuildKit did not write.
#[must_use]
pub(super) fn is_of_base(place: &Place<'_>) -> bool {
    let is_step =
        |text: &Option<Text>| text.as_ref().and_then(Text::as_str).is_some_and(|words| words.contains("buildkit"));
    let pointer = place.pointer();
    // A step more on one side may be one of a base that BuildKit made, too.
    let is_one_sided = place.difference.a.is_none() != place.difference.b.is_none();
    let is_own = !is_one_sided && (is_step(&place.difference.a) || is_step(&place.difference.b));
    place.level == Level::Config
        && (pointer.starts_with("/history") || pointer.starts_with("/config"))
        && !is_own
        && differs(place)
}

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = match place.level {
        Level::Layer | Level::Entry if is_base(place) && is_other(place.layer?) => Confidence::High,
        Level::Config if is_of_base(place) => Confidence::Medium,
        _ => return None,
    };
    let explanation = "The two images stand on different bases: the tag in FROM moved, or FROM names another image. The layers of the base \
                       differ, and whatever comes from them.";
    let fix = "Pin the base by digest: `FROM NAME:TAG@sha256:…`, and move it on purpose.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
