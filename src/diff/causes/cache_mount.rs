//! What a cache mount held.

use super::step::Step;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "cache-mount", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let text = place.content_differs().then(|| place.instruction())??;
    if place.step() != Step::Run || !text.contains("type=cache") {
        return None;
    }
    // Only where the command takes something out of the mount: names it again, behind the flags.
    let command: Vec<&str> = text.split_whitespace().filter(|word| !word.starts_with("--mount")).collect();
    let command = command.join(" ");
    let takes = |target: &str| {
        let tools = ["cp ", "mv ", "cat ", "ln ", "install ", "rsync ", "tar "];
        command.contains(target) && tools.iter().any(|tool| command.contains(tool))
    };
    if !place.cache_targets().any(takes) {
        return None;
    }
    let explanation = "What a cache mount held reached the image: it depends on what was built before.";
    let fix = "Write into the image only what the step makes anew; where a tool copies from its cache, check what it copies (a lock file \
               with hashes).";
    Some(Claim::new(Confidence::Medium, explanation).fix(fix))
}
