//! What pip and uv write down of the files that they installed.

use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "python-record", explain };

const PATHS: &[&str] = &["**/*.dist-info/RECORD", "**/*.egg-info/installed-files.txt"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    place.content_at(PATHS)?;
    let lines = place.lines()?;
    // `path,sha256=…,size`: the lines of files that differ, came or went.
    let is_entry = |line: &[u8]| line.split(|byte| *byte == b',').count() >= 3;
    let is_record = lines.pairs.iter().all(|pair| is_entry(&pair.a) && is_entry(&pair.b));
    if !is_record || lines.pairs.is_empty() && lines.single == 0 {
        return None;
    }
    let has_sums = lines.has(Word::Checksum) || lines.single > 0 || !lines.pairs.is_empty();
    let explanation =
        "RECORD lists the files of a package with their checksums and sizes: it follows from the file that differs.";
    has_sums.then(|| Claim::new(Confidence::High, explanation).consequence())
}
