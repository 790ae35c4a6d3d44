//! Files that RUN fetched.

use super::commands::{names, statements};
use super::step::Step;
use super::{Cause, Claim, Place, path};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "download", explain };

/// Programs that fetch what they are told to.
const TOOLS: [&str; 4] = ["curl", "wget", "aria2c", "svn"];
/// What may stand in front of a command.
const IN_FRONT: [&str; 14] =
    ["RUN", "sh", "bash", "ash", "if", "then", "else", "do", "while", "until", "!", "sudo", "exec", "time"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let text = place.content_differs().then(|| place.instruction())??;
    if place.step() != Step::Run {
        return None;
    }
    let name = std::str::from_utf8(path::name(place.path())).ok().filter(|name| name.len() > 2)?;
    let confidence = fetches(text, name)?;
    let explanation = "RUN fetched a file from a server, which gave another one on the other side.";
    let fix = "Fetch it by a version or a commit, and check it: `echo \"SUM  FILE\" | sha256sum -c`, or `ADD --checksum=sha256:… URL`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}

/// Whether these commands fetch a file of this name: for sure only where the command that fetches names it. Behind that command, another
/// one may have given it its name, or made it.
fn fetches(text: &str, name: &str) -> Option<Confidence> {
    let mut statements = statements(text);
    let fetching = statements.by_ref().find(|statement| statement.split('|').any(is_fetch))?;
    if names(fetching, name) {
        return Some(Confidence::Medium);
    }
    statements.any(|statement| names(statement, name)).then_some(Confidence::Low)
}

fn is_fetch(command: &str) -> bool {
    let program = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let is_in_front = |word: &&str| {
        IN_FRONT.contains(&program(word).as_str())
            || word.contains('=')
            || word.starts_with('-')
            || word.parse::<u32>().is_ok()
    };
    let words = command.split(|c: char| c.is_whitespace() || "(`{[\",".contains(c));
    let mut words = words.filter(|word| !word.is_empty() && *word != "$").skip_while(is_in_front);
    match words.next().map(program).as_deref() {
        Some("git") => words.any(|word| matches!(word, "clone" | "fetch" | "pull")),
        Some(tool) => TOOLS.contains(&tool),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_is_told_from_the_name_of_its_program() {
        for (text, expected) in [
            ("RUN curl -o /srv/file https://example.org/x", Some(Confidence::Medium)),
            ("RUN |1 A=b /bin/sh -c curl -O https://example.org/file # buildkit", Some(Confidence::Medium)),
            ("RUN [\"wget\", \"https://example.org/file\"]", Some(Confidence::Medium)),
            ("RUN wget https://example.org/file", Some(Confidence::Medium)),
            ("RUN --mount=type=cache,target=/x A=b curl https://example.org/x > /file", Some(Confidence::Medium)),
            ("RUN /bin/sh -c set -e; X=$(curl https://example.org/file)", Some(Confidence::Medium)),
            ("RUN curl -s https://example.org/file.gz | gzip -d > /file", Some(Confidence::Medium)),
            ("RUN curl -o /tmp/a https://example.org/a && mv /tmp/a /usr/bin/file", Some(Confidence::Low)),
            ("RUN date > /file; apt-get install -y curl || true", None),
            ("RUN apt-get install -y curl && date > /file", None),
            ("RUN date > /file && curl -o /x https://example.org/x", None),
            ("RUN git clone https://example.org/file", Some(Confidence::Medium)),
            ("RUN git describe > /file", None),
        ] {
            assert_eq!(fetches(text, "file"), expected, "{text}");
        }
    }
}
