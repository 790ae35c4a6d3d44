//! Random numbers in a text.

use super::lines::Pair;
use super::words::Word;
use super::{Cause, Claim, Place, checksum_list, container_id};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "random-token", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let lines = place.lines()?;
    let is_alone = |pair: &Pair| !container_id::names_a_container(pair);
    let mut random = lines.moved(Word::Random).filter(|(pair, ..)| is_alone(pair));
    // Digits as long as a checksum, where nothing else differs that they could be one of.
    let mut bare = lines
        .moved(Word::Checksum)
        .filter(|(pair, a, _)| is_alone(pair) && place.around.is_alone() && !checksum_list::is_listed(pair, a));
    if random.next().is_none() && bare.next().is_none() {
        return None;
    }
    let explanation = "Random letters and digits were written into a file: a key, a token or a name that was made up while the image was built.";
    let fix = "Make it at the start of the container, or give it as a secret; a name can be derived from the content that it stands for.";
    Some(Claim::new(Confidence::Medium, explanation).fix(fix).whole_if(place.all_words_known()))
}
