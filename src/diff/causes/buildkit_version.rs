//! The words of a history that a version of BuildKit writes in its own way.

use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Kind, Text};

/// See the module.
pub const CAUSE: Cause = Cause { id: "buildkit-version", explain };

/// Instructions whose words changed: ARG at v0.18, EXPOSE at v0.24 and v0.25, HEALTHCHECK at v0.30, and the flags of COPY and ADD.
const CHANGED: [&str; 6] = ["EXPOSE", "HEALTHCHECK", "ARG", "COPY", "ADD", "RUN"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let pointer = place.pointer();
    if place.level != Level::Config || place.difference.kind != Kind::Value || !pointer.starts_with("/history/") {
        return None;
    }
    let text = |text: &Option<Text>| text.as_ref().and_then(Text::as_str).map(str::to_owned);
    let (a, b) = (text(&place.difference.a)?, text(&place.difference.b)?);
    let is_comment = pointer.ends_with("/comment") && a.contains("buildkit") && b.contains("buildkit");
    if !is_comment && !is_other_spelling(&a, &b) {
        return None;
    }
    let explanation = "The history tells the same instruction in other words: two versions of BuildKit, or of the frontend that reads the \
                       Dockerfile, wrote it.";
    let fix = "Build both with the same BuildKit, by digest (`--buildkit-image`), and name no frontend that moves: no `# syntax=` line, \
               or one with a digest.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}

/// Whether two texts are one instruction: the keyword, and the letters and digits that say what it does.
fn is_other_spelling(a: &str, b: &str) -> bool {
    let keyword = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
    let word = keyword(a);
    if !CHANGED.contains(&word.as_str()) || word != keyword(b) {
        return false;
    }
    let essence = |text: &str| -> Vec<String> {
        let mut words: Vec<String> = text
            .split(|character: char| !character.is_alphanumeric())
            .filter(|word| {
                ![
                    "map",
                    "tcp",
                    "CMD",
                    "SHELL",
                    "NONE",
                    "0s",
                    "0",
                    "nil",
                    "buildkit",
                    "x00",
                    "Test",
                    "Interval",
                    "Timeout",
                    "StartPeriod",
                    "StartInterval",
                    "Retries",
                    "",
                ]
                .contains(word)
            })
            .map(str::to_owned)
            .collect();
        words.sort();
        words.dedup();
        words
    };
    let (one, other) = (essence(a), essence(b));
    // Flags such as `--chmod=755` are told by one version and left out by another.
    let is_part = |few: &[String], many: &[String]| few.iter().all(|word| many.contains(word));
    match word.as_str() {
        "EXPOSE" | "HEALTHCHECK" => {
            is_pointer(a) || is_pointer(b) || one == other || is_part(&one, &other) || is_part(&other, &one)
        }
        "ARG" => {
            is_part(&one, &other) && one.len() < other.len() && !a.contains('=')
                || is_part(&other, &one) && other.len() < one.len() && !b.contains('=')
        }
        "COPY" | "ADD" => a.contains("--") != b.contains("--") && (is_part(&one, &other) || is_part(&other, &one)),
        _ => one == other && a != b,
    }
}

/// BuildKit v0.24 and the HEALTHCHECK of old versions print where a value lies in memory.
fn is_pointer(text: &str) -> bool {
    text.split("0x").skip(1).any(|rest| rest.bytes().take_while(u8::is_ascii_hexdigit).count() >= 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_told_from_other_instructions() {
        for (a, b, expected) in [
            ("EXPOSE map[80/tcp:{}]", "EXPOSE [80/tcp]", true),
            ("EXPOSE map[80/tcp:{} 443/tcp:{}]", "EXPOSE 443 80", true),
            ("EXPOSE map[80/tcp:{}]", "EXPOSE map[81/tcp:{}]", false),
            ("EXPOSE [0xc000123456]", "EXPOSE [0xc000654321]", true),
            ("EXPOSE map[80/tcp:{}]", "EXPOSE &{[{{2 0} {2 0}}] 0x219231dfafc0}", true),
            (
                "HEALTHCHECK &{[\"CMD-SHELL\" \"true\"] \"30s\" \"0s\" \"0s\" \"0s\" '\\x00'}",
                "HEALTHCHECK {Test:[CMD-SHELL true] Interval:30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
                true,
            ),
            ("COPY f /srv # buildkit", "COPY --chmod=755 f /srv # buildkit", true),
            ("COPY f /srv # buildkit", "COPY g /srv # buildkit", false),
            ("ENV A=b", "ENV A=c", false),
            ("ARG A", "ARG A=b", true),
            ("ARG A=c", "ARG A=b", false),
        ] {
            assert_eq!(is_other_spelling(a, b), expected, "{a} | {b}");
        }
    }
}
