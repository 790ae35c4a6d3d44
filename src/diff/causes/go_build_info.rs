//! What Go writes into a program of its repository and its build.

use super::lines::Pair;
use super::{Cause, Claim, Place};
use crate::diff::content::Format;
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "go-build-info", explain };

const MARKS: [&[u8]; 5] = [b"vcs.time=", b"vcs.modified=", b"vcs.revision=", b"Go build ID: ", b"-trimpath="];

fn explain(place: &Place<'_>) -> Option<Claim> {
    place.content().filter(|content| content.format == Format::Elf)?;
    let lines = place.lines()?;
    let has = |line: &[u8], mark: &[u8]| line.windows(mark.len()).any(|part| part == mark);
    let is_info = |pair: &Pair| MARKS.iter().any(|mark| has(&pair.a, mark) && has(&pair.b, mark));
    if !lines.pairs.iter().any(is_info) {
        return None;
    }
    let is_id = |pair: &Pair| has(&pair.a, b"Go build ID: ");
    let explanation = "Go wrote its build id, or the state of the repository, into a program: these follow from the sources, the path and \
                       the flags of the build.";
    let fix = "Build with `-trimpath -buildvcs=false`, from the same source, in the same version of Go; `-ldflags=-buildid=` leaves the id out.";
    let is_whole = lines.single == 0 && lines.pairs.iter().all(|pair| is_info(pair) || pair.is_known());
    let claim = Claim::new(Confidence::Medium, explanation).fix(fix).whole_if(is_whole);
    // An id alone beside other texts follows from them.
    Some(if lines.pairs.iter().filter(|pair| is_info(pair)).all(is_id) && lines.pairs.len() > 1 {
        claim.consequence()
    } else {
        claim
    })
}
