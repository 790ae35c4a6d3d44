//! What variables hold, as far as the Dockerfile tells.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A value that is remembered, in bytes. The longest lists of packages that people keep in ENV have some 500.
const VALUE_BYTES: usize = 1 << 10;
/// Variables that are remembered of one stage; copies of them go to the stages that begin with it.
const VARIABLES: usize = 128;
/// What all values of a file may become where they are used, in bytes. Stops `$A$A$A…` from growing without end.
const EXPANDED_BYTES: usize = 8 << 20;
/// How deep `${a:-${b:-…}}` may nest.
const DEPTH: usize = 8;

/// Variables by name. One that was set to what is not known has no value.
#[derive(Debug, Clone)]
pub(super) struct Variables {
    values: BTreeMap<Rc<str>, Option<Rc<str>>>,
    /// Whether what is not here is not set: true in front of the first FROM, false where a base image may have set it.
    is_closed: bool,
    budget: Rc<Cell<usize>>,
}

/// A text with its variables replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expansion {
    /// What is known; variables without a known value are left as they are written.
    pub(super) text: String,
    /// The first variable whose value is not known.
    pub(super) missing: Option<String>,
}

impl Variables {
    /// Those in front of the first FROM.
    pub(super) fn global() -> Self {
        let budget = Rc::new(Cell::new(EXPANDED_BYTES));
        Self { values: BTreeMap::new(), is_closed: true, budget }
    }

    /// Those of a stage that begins with an image.
    pub(super) fn of_stage(&self) -> Self {
        Self { values: BTreeMap::new(), is_closed: false, budget: Rc::clone(&self.budget) }
    }

    /// Sets one; `None` is a value that is not known.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.filter(|value| value.len() <= VALUE_BYTES);
        if name.len() <= VALUE_BYTES && (self.values.len() < VARIABLES || self.values.contains_key(name)) {
            self.values.insert(name.into(), value.map(Into::into));
        }
    }

    /// Whether it was set, to whatever.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The value, where it is known.
    pub(super) fn get(&self, name: &str) -> Option<Rc<str>> {
        let value = self.values.get(name)?.clone()?;
        self.budget.set(self.budget.get().checked_sub(value.len())?);
        Some(value)
    }

    fn is_unset(&self, name: &str) -> bool {
        self.is_closed && !self.is_set(name)
    }

    /// Replaces the variables of a word of a Dockerfile, and takes its quotes out.
    pub(super) fn expand(&self, text: &str) -> Expansion {
        self.expand_within(text, DEPTH)
    }

    fn expand_within(&self, text: &str, depth: usize) -> Expansion {
        let mut expansion = Expansion { text: String::new(), missing: None };
        let (mut rest, mut is_single) = (text, false);
        while let Some(character) = rest.chars().next() {
            let after = &rest[character.len_utf8()..];
            let mut length = character.len_utf8();
            match character {
                '\'' => is_single = !is_single,
                '"' if !is_single => {}
                '\\' if !is_single => {
                    let escaped = after.chars().next();
                    expansion.text.extend(escaped);
                    length += escaped.map_or(0, char::len_utf8);
                }
                '$' if !is_single => {
                    let (name, used) = variable(after);
                    // Nothing closes the brace: neither this one nor any behind it.
                    length += if after.starts_with('{') && used == 0 { after.len() } else { used };
                    if let Some(value) = name.and_then(|name| self.braced(name, depth)) {
                        expansion.text.push_str(&value);
                    } else {
                        expansion.missing.get_or_insert_with(|| plain_name(name.unwrap_or(after)).to_owned());
                        expansion.text.push_str(&rest[..length]);
                    }
                }
                _ => expansion.text.push(character),
            }
            rest = &rest[length..];
        }
        expansion
    }

    /// The value of what stands in `${…}`; `None` where it is not known.
    pub(super) fn braced(&self, text: &str, depth: usize) -> Option<String> {
        let name = plain_name(text);
        let rest = &text[name.len()..];
        let value = self.get(name);
        if rest.is_empty() {
            return value.map(|value| value.to_string());
        }
        let (needs_text, operator) = rest.strip_prefix(':').map_or((false, rest), |rest| (true, rest));
        let has_value = value.as_ref().is_some_and(|value| !needs_text || !value.is_empty());
        if value.is_none() && !self.is_unset(name) || depth == 0 {
            return None;
        }
        let word = || {
            let expansion = self.expand_within(&operator[1..], depth - 1);
            expansion.missing.is_none().then_some(expansion.text)
        };
        match operator.chars().next()? {
            '-' | '=' if !has_value => word(),
            '-' | '=' | '?' => value.map(|value| value.to_string()),
            '+' if has_value => word(),
            '+' => Some(String::new()),
            _ => None,
        }
    }
}

/// The letters, digits and `_` that a text begins with.
pub(super) fn plain_name(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

/// What a `$` in front of this names, and how many bytes that takes.
pub(super) fn variable(text: &str) -> (Option<&str>, usize) {
    let Some(inner) = text.strip_prefix('{') else {
        let name = plain_name(text);
        return ((!name.is_empty()).then_some(name), name.len());
    };
    let mut depth = 1;
    for (at, character) in inner.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let inner = &inner[..at];
            return ((!plain_name(inner).is_empty()).then_some(inner), at + 2);
        }
    }
    (None, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_as_far_as_they_are_known() {
        let mut variables = Variables::global();
        variables.set("A", Some("a"));
        variables.set("EMPTY", Some(""));
        variables.set("LATER", None);
        for (text, expected, missing) in [
            ("debian:$A", "debian:a", None),
            ("${A}x\"$A\"", "axa", None),
            ("'$A'\\$A", "$A$A", None),
            ("${B:-b}-${A:-b}-${EMPTY-b}-${EMPTY:-b}", "b-a--b", None),
            ("${B:-${A}}${A:+yes}${B:+no}", "ayes", None),
            ("x-$B-$A", "x-$B-a", Some("B")),
            ("${LATER:-b}", "${LATER:-b}", Some("LATER")),
            ("${A#x}", "${A#x}", Some("A")),
            ("${A", "${A", Some("")),
            ("$", "$", Some("")),
        ] {
            let missing = missing.map(str::to_owned);
            assert_eq!(variables.expand(text), Expansion { text: expected.to_owned(), missing }, "{text}");
        }
    }

    #[test]
    fn values_grow_up_to_a_ceiling() {
        let mut variables = Variables::global();
        variables.set("A", Some(&"a".repeat(VALUE_BYTES)));
        let expansion = variables.expand(&"$A".repeat(100_000));
        assert!(expansion.text.len() < EXPANDED_BYTES + 200_000);
        assert_eq!(expansion.missing.as_deref(), Some("A"));
    }
}
