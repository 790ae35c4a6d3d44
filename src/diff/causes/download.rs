//! Files that RUN fetched.

use super::step::Step;
use super::{Cause, Claim, Place, path};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "download", explain };

const TOOLS: [&str; 6] = ["curl ", "wget ", "git clone", "git fetch", "aria2c ", "svn "];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let text = place.content_differs().then(|| place.instruction())??;
    if place.step() != Step::Run || !TOOLS.iter().any(|tool| text.contains(tool)) {
        return None;
    }
    let name = std::str::from_utf8(path::name(place.path())).ok().filter(|name| name.len() > 2)?;
    if !text.split(|c: char| c.is_whitespace() || "/'\"=;()".contains(c)).any(|word| word == name) {
        return None;
    }
    let explanation = "RUN fetched a file from a server, which gave another one on the other side.";
    let fix = "Fetch it by a version or a commit, and check it: `echo \"SUM  FILE\" | sha256sum -c`, or `ADD --checksum=sha256:… URL`.";
    Some(Claim::new(Confidence::Medium, explanation).fix(fix))
}
