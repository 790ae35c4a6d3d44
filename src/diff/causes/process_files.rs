//! Files of running processes.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "process-files", explain };

const PATHS: &[&str] = &["**/*.pid", "run/**", "var/run/**", "var/lock/**"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "A process that ran while the image was built left its number, a lock or a socket behind.";
    let fix = "Stop the process in the same RUN and remove the file; /run is for what runs.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
