//! Class data sharing of the JVM.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "java-class-archive", explain };

const PATHS: &[&str] = &["**/lib/server/classes*.jsa", "**/jre/lib/**/classes.jsa", "**/*.jsa"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "The archive of class data that the JVM dumps holds addresses and times.";
    let fix = "Do not dump it while the image is built (`-Xshare:dump`), or remove the `.jsa` in the same RUN.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
