//! The id of a container.

use super::lines::Pair;
use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "container-id", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let lines = place.lines()?;
    let mut in_paths = lines.moved(Word::Random).chain(lines.moved(Word::Checksum)).map(|(pair, ..)| pair);
    if !lines.has(Word::Container) && !in_paths.any(names_a_container) {
        return None;
    }
    let explanation = "The id of the container or of the step that ran was written into a file.";
    let fix = "Leave out what tells of the machine that builds: cgroups, mounts, the host name.";
    Some(Claim::new(Confidence::Medium, explanation).fix(fix).whole_if(place.all_words_known()))
}

/// Whether a line is one of those by which a container finds itself: a path of a cgroup or of a snapshot.
#[must_use]
pub(super) fn names_a_container(pair: &Pair) -> bool {
    const MARKS: [&[u8]; 8] = [
        b"/buildkit/",
        b"/docker/",
        b"/libpod",
        b"kubepods",
        b"/snapshots/",
        b"/overlay",
        b"cri-containerd",
        b"/executor/",
    ];
    MARKS.iter().any(|mark| pair.a.windows(mark.len()).any(|part| part == *mark))
}
