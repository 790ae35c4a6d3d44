//! BuildKit's note that it rewrote the times of a layer.

use super::{Cause, Claim, Place, media_types};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "rewrite-annotation", explain };

/// As a JSON pointer writes it.
pub(super) const KEY: &str = "buildkit~1rewritten-timestamp";

fn explain(place: &Place<'_>) -> Option<Claim> {
    let difference = place.difference;
    let is_note = place.pointer().contains(KEY) || place.pointer().ends_with("/annotations") && only_holds_it(place);
    if difference.kind != Kind::Value
        || !is_note
        || difference.a.is_some() == difference.b.is_some()
        || media_types::differ(place)
    {
        return None;
    }
    let explanation = "One side says that it rewrote the times of a layer (`buildkit/rewritten-timestamp`), the other one does not. The \
                       manifest differs by that alone, even if the layer does not.";
    let fix =
        "Build both with rewriting or both without: `--no-rewrite-timestamp`, in BuildKit `rewrite-timestamp=true`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}

/// Whether the annotations that one side alone has are nothing but this one.
fn only_holds_it(place: &Place<'_>) -> bool {
    let text = place.difference.a.as_ref().or(place.difference.b.as_ref()).and_then(|text| text.as_str());
    let object: Option<serde_json::Map<String, serde_json::Value>> =
        text.and_then(|text| serde_json::from_str(text).ok());
    object.is_some_and(|object| object.len() == 1 && object.contains_key("buildkit/rewritten-timestamp"))
}
