//! Random numbers in a text.

use super::commands::{names, statements};
use super::lines::Pair;
use super::words::Word;
use super::{Cause, Claim, Place, checksum_list, container_id, go_build_info, path};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "random-token", explain };

/// What gives random bytes.
const SOURCES: [&str; 5] = ["/dev/urandom", "/dev/random", "openssl rand", "gpg --gen-random", "pwgen"];
const FIX: &str = "Make it at the start of the container, or give it as a secret; a name can be derived from the content that it stands for.";

fn explain(place: &Place<'_>) -> Option<Claim> {
    let Some(lines) = place.lines() else { return explain_bytes(place) };
    let is_alone = |pair: &Pair| !container_id::names_a_container(pair) && !go_build_info::is_build_id(&pair.a);
    let mut random = lines.moved(Word::Random).filter(|(pair, ..)| is_alone(pair));
    // Digits as long as a checksum, where nothing else differs that they could be one of.
    let mut bare = lines
        .moved(Word::Checksum)
        .filter(|(pair, a, _)| is_alone(pair) && place.around.is_alone() && !checksum_list::is_listed(pair, a));
    if random.next().is_none() && bare.next().is_none() {
        return None;
    }
    let explanation = "Random letters and digits were written into a file: a key, a token or a name that was made up while the image was built.";
    Some(Claim::new(Confidence::Medium, explanation).fix(FIX).whole_if(place.all_words_known()))
}

/// Of bytes that are no text, the command that made the file tells.
fn explain_bytes(place: &Place<'_>) -> Option<Claim> {
    let text = place.content_differs().then(|| place.instruction())??;
    let name = std::str::from_utf8(path::name(place.path())).ok().filter(|name| name.len() > 2)?;
    if !place.step().is_run() || !statements(text).any(|statement| makes_random(statement, name)) {
        return None;
    }
    let explanation = "Random bytes were written into a file while the image was built.";
    Some(Claim::new(Confidence::Medium, explanation).fix(FIX))
}

/// Whether a command reads random bytes and names the file.
fn makes_random(statement: &str, name: &str) -> bool {
    SOURCES.iter().any(|source| statement.contains(source)) && names(statement, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_are_those_of_the_command_that_names_the_file() {
        for (statement, expected) in [
            ("RUN head -c 8 /dev/urandom > /etc/stamp", true),
            ("dd if=/dev/urandom of=/stamp bs=1 count=8", true),
            ("openssl rand -out stamp 32", true),
            ("head -c 8 /dev/urandom > /etc/other", false),
            ("cp /build/stamp /stamp", false),
        ] {
            assert_eq!(makes_random(statement, "stamp"), expected, "{statement}");
        }
    }
}
