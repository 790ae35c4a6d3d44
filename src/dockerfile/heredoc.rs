//! Which here-documents follow an instruction (`parser.go`, `heredocsFromLine`).

use super::instruction::Instruction;
use super::{flags, words};

/// Only these have here-documents.
const WITH_HEREDOCS: [&str; 3] = ["add", "copy", "run"];

/// The words that end the here-documents of an instruction, in order, and whether tabs in front of them do not count.
pub(super) fn names(instruction: &Instruction, line: &str, escape: char) -> Vec<(String, bool)> {
    if !line.contains("<<") || !may_have(instruction, escape) {
        return Vec::new();
    }
    // Whoever quotes wrongly has no here-documents.
    let words = words::split(line, words::Quotes::Kept).unwrap_or_default();
    words.iter().filter_map(|word| parse(word)).collect()
}

fn may_have(instruction: &Instruction, escape: char) -> bool {
    let has = |keyword: &str, arguments: &str| {
        WITH_HEREDOCS.iter().any(|known| keyword.eq_ignore_ascii_case(known)) && !is_list(arguments)
    };
    if !instruction.is("onbuild") {
        return has(&instruction.keyword, &instruction.arguments);
    }
    flags::split_keyword(&instruction.arguments)
        .is_some_and(|(keyword, rest)| has(keyword, &flags::split_flags(rest, escape).1))
}

/// Whether the arguments are a JSON list, which no shell reads.
fn is_list(arguments: &str) -> bool {
    arguments.starts_with('[') && serde_json::from_str::<Vec<serde_json::Value>>(arguments).is_ok()
}

/// `[DIGITS]<<[-]WORD`, where WORD is one word when its quotes are gone.
fn parse(word: &str) -> Option<(String, bool)> {
    let rest = word.trim_start_matches(|digit: char| digit.is_ascii_digit()).strip_prefix("<<")?;
    let without_tabs = rest.starts_with('-');
    let rest = rest.strip_prefix('-').unwrap_or(rest).trim_ascii_start();
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let names = words::split(rest, words::Quotes::Resolved)?;
    let [name] = names.as_slice() else { return None };
    Some((name.clone(), without_tabs))
}
