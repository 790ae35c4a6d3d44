//! Files that are named by a hash of what is in them, and what names them.

use super::lines::Pair;
use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "hashed-name", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let explanation =
        "A file is named by a hash of its content: its new name, and what names it, follow from what differs in it.";
    // The file that takes its place on the other side was looked into: what differs there is the reason.
    if place.difference.kind == Kind::Missing
        && place.content().is_some_and(|content| !content.lines.is_empty() || !content.parts.is_empty())
    {
        return None;
    }
    if place.difference.kind == Kind::Missing {
        let words = place.around.name_words(place.path());
        let is_hash = words.iter().any(|word| *word == Word::Checksum) || !words.is_empty() && place.is_named_by_hash();
        return is_hash.then(|| Claim::new(Confidence::Medium, explanation).consequence());
    }
    let lines = place.lines()?;
    let follows = |pair: &Pair| place.around.follows_names(&pair.a, &pair.b);
    if lines.single == 0 && !lines.is_cut && !lines.pairs.is_empty() && lines.pairs.iter().all(follows) {
        return Some(Claim::new(Confidence::High, explanation).consequence());
    }
    let mut words =
        lines.moved(Word::Random).chain(lines.moved(Word::Checksum)).chain(lines.moved(Word::Container)).peekable();
    words.peek()?;
    if !words.all(|(_, a, b)| place.around.is_in_a_name(a) || place.around.is_in_a_name(b)) {
        return None;
    }
    Some(Claim::new(Confidence::High, explanation).consequence().whole_if(place.all_words_known()))
}
