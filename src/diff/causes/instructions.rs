//! Two Dockerfiles.

use super::{Cause, Claim, Level, Place, base_image, build_argument, buildkit_version};
use crate::diff::model::{Confidence, Kind, Relation, Text};

/// See the module.
pub const CAUSE: Cause = Cause { id: "instructions", explain };

/// What an instruction writes into the config.
const VALUES: [&str; 12] = [
    "/config/Env",
    "/config/Cmd",
    "/config/Entrypoint",
    "/config/WorkingDir",
    "/config/User",
    "/config/ExposedPorts",
    "/config/Volumes",
    "/config/Healthcheck",
    "/config/StopSignal",
    "/config/Shell",
    "/config/OnBuild",
    "/config/ArgsEscaped",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let is_other = match place.level {
        Level::Config => in_config(place),
        Level::Layer | Level::Entry => in_layer(place),
        _ => false,
    };
    if !is_other {
        return None;
    }
    let explanation = "The two images were made by different instructions: the history tells of two Dockerfiles, or of two states of one.";
    let fix = "Build both from the same commit, with the same `--file` and `--target`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}

fn in_config(place: &Place<'_>) -> bool {
    let pointer = place.pointer();
    if place.difference.kind != Kind::Value
        || base_image::is_of_base(place)
        || (build_argument::CAUSE.explain)(place).is_some()
    {
        return false;
    }
    if pointer.starts_with("/history/") {
        let is_step = pointer.ends_with("/created_by") || pointer.matches('/').count() == 2;
        return is_step && (buildkit_version::CAUSE.explain)(place).is_none() && !only_epoch(place);
    }
    VALUES.iter().any(|value| pointer.starts_with(value))
}

/// Whether nothing but SOURCE_DATE_EPOCH differs in the arguments in front of a command.
fn only_epoch(place: &Place<'_>) -> bool {
    build_argument::changed(place).iter().any(|(name, ..)| name == "SOURCE_DATE_EPOCH")
}

/// Layers that other commands made.
fn in_layer(place: &Place<'_>) -> bool {
    let Some(layer) = place.layer else { return false };
    if base_image::is_base(place) {
        return false;
    }
    match layer.relation {
        Relation::OnlyA | Relation::OnlyB => true,
        Relation::Different => {
            let words = |layer: &Option<crate::diff::model::LayerRef>| {
                let text = layer.as_ref()?.created_by.as_ref().and_then(Text::as_str)?;
                Some(
                    build_argument::parse(text)
                        .map_or_else(|| text.trim_start_matches("RUN ").to_owned(), |(_, rest)| rest.to_owned()),
                )
            };
            match (words(&layer.a), words(&layer.b)) {
                (Some(a), Some(b)) => {
                    a != b && !a.is_empty() && !b.is_empty() && keyword(&a) == keyword(&b) && place.content_differs()
                }
                _ => false,
            }
        }
        _ => false,
    }
}

fn keyword(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}
