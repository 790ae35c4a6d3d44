//! Checksums of files that differ themselves.

use super::lines::Pair;
use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "checksum-list", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let lines = place.lines()?;
    if !lines.has(Word::Checksum) {
        return None;
    }
    // A line that is nothing but 32 digits is an identifier as often as a checksum; a list has names, too.
    let is_list = lines.moved(Word::Checksum).all(|(pair, a, _)| is_listed(pair, a));
    let confidence = if is_list { Confidence::High } else { Confidence::Low };
    let explanation = "The checksum of something that differs itself: this follows from there.";
    Some(Claim::new(confidence, explanation).consequence().whole_if(place.all_words_known()))
}

/// Whether a line has more than the checksum in it.
#[must_use]
pub(super) fn is_listed(pair: &Pair, checksum: &[u8]) -> bool {
    let letters = |line: &[u8]| line.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
    letters(&pair.a) > letters(checksum) + 2
}
