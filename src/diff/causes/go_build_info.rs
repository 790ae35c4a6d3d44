//! What Go writes into a program of its repository and its build.

use super::lines::Pair;
use super::{Cause, Claim, Place};
use crate::diff::content::Format;
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "go-build-info", explain };

const MARKS: [&[u8]; 4] = [b"vcs.time=", b"vcs.modified=", b"vcs.revision=", b"-trimpath="];

fn explain(place: &Place<'_>) -> Option<Claim> {
    place.content().filter(|content| content.format == Format::Elf)?;
    let lines = place.lines()?;
    let has = |line: &[u8], mark: &[u8]| line.windows(mark.len()).any(|part| part == mark);
    let is_id = |pair: &Pair| is_build_id(&pair.a) && is_build_id(&pair.b);
    let is_info = |pair: &Pair| is_id(pair) || MARKS.iter().any(|mark| has(&pair.a, mark) && has(&pair.b, mark));
    if !lines.pairs.iter().any(is_info) {
        return None;
    }
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

/// Whether a line is a build id of Go: four hashes of 20 characters between slashes, in a note of the program alone and in its code
/// behind some words (cmd/go/internal/work/buildid.go).
#[must_use]
pub(super) fn is_build_id(line: &[u8]) -> bool {
    const MARK: &[u8] = b"Go build ID: ";
    let is_hash = |part: &[u8]| {
        part.len() == 20 && part.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b'/').collect();
    line.windows(MARK.len()).any(|part| part == MARK) || parts.len() == 4 && parts.into_iter().all(is_hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_id_is_no_random_token() {
        let id = "Ndni6zZITQF2LsrLEGOL/BB4AlqBM9xzBlzS0ipJV/6cBqvyc56rY7HMGShaDu/6FVEFsMa9DVxWqd7TPTu";
        assert!(is_build_id(id.as_bytes()) && is_build_id(format!("\u{ff} Go build ID: \"{id}\"").as_bytes()));
        assert!(!is_build_id(&id.as_bytes()[1..]) && !is_build_id(b"token/Ndni6zZITQF2LsrLEGOL"));
    }
}
