//! Something that moves, before it is a finding of a file.

use super::rule::Rule;
use super::{Moving, Severity};

/// Characters of a file's text that a message shows.
const SHOWN: usize = 160;
/// Names that a message lists.
const LISTED: usize = 5;

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) rule: Rule,
    pub(super) severity: Severity,
    pub(super) what: String,
    pub(super) fix: String,
}

impl Hit {
    /// Another input tomorrow is likely.
    pub(super) fn moves(rule: Rule, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { rule, severity: Severity::Moves, what: what.into(), fix: fix.into() }
    }

    /// Another input tomorrow is possible.
    pub(super) fn may_move(rule: Rule, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { severity: Severity::MayMove, ..Self::moves(rule, what, fix) }
    }

    /// It becomes a finding on these lines.
    pub(super) fn on(self, first_line: usize, last_line: usize) -> Moving {
        let Self { rule, severity, what, fix } = self;
        Moving { first_line, last_line, id: rule.id(), severity, what, why: rule.why(), fix }
    }
}

/// A stranger's text in one line of a message: no control characters, and not too long.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(|c| if is_harmless(c) { vec![c] } else { c.escape_unicode().collect() })
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Neither a control character nor one that changes the direction of what follows.
fn is_harmless(character: char) -> bool {
    let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !character.is_control() && !turns
}

/// The first of some names, quoted, and how many there are besides.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let mut text = names.iter().take(LISTED).map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text = format!("{text} and {} more", names.len() - LISTED);
    }
    text
}
