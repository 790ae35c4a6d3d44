//! Other values of build arguments.

use super::step::Step;
use super::{Cause, Claim, Level, Place};
use crate::diff::model::{Confidence, Difference, Kind, Text};

/// See the module.
pub const CAUSE: Cause = Cause { id: "build-argument", explain };

/// An argument, and its value on both sides.
pub(super) type Changed = (String, String, String);

/// The arguments that BuildKit writes in front of a command (`|1 A=b /bin/sh -c …`), and the command.
#[must_use]
pub(super) fn parse(words: &str) -> Option<(Vec<(&str, &str)>, &str)> {
    let words = words.strip_prefix("RUN ").unwrap_or(words);
    let (count, mut rest) = words.strip_prefix('|')?.split_once(' ')?;
    let count: usize = count.parse().ok()?;
    let mut arguments = Vec::new();
    for at in 0..count {
        let (name, value) = rest.split_once('=')?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        // A value may hold spaces: it ends where the next name, or the shell, begins.
        let end = if at + 1 == count { value.find(" /")? } else { next_name(value)? };
        arguments.push((name, &value[..end]));
        rest = &value[end + 1..];
    }
    Some((arguments, rest))
}

fn next_name(text: &str) -> Option<usize> {
    text.match_indices(' ').map(|(at, _)| at).find(|at| {
        let word = text[at + 1..].split(' ').next().unwrap_or_default();
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
    })
}

/// The arguments whose values differ in one difference of the history.
fn changed_in(difference: &Difference) -> Vec<Changed> {
    let text =
        |text: &Option<Text>| text.as_ref().filter(|text| text.cut == 0).and_then(Text::as_str).map(str::to_owned);
    let (Some(a), Some(b)) = (text(&difference.a), text(&difference.b)) else { return Vec::new() };
    if let (Some(a), Some(b)) = (a.strip_prefix("ARG "), b.strip_prefix("ARG ")) {
        return match (a.split_once('='), b.split_once('=')) {
            (Some((name, one)), Some((other_name, other))) if name == other_name && one != other => {
                vec![(name.to_owned(), one.to_owned(), other.to_owned())]
            }
            _ => Vec::new(),
        };
    }
    let (Some((a, _)), Some((b, _))) = (parse(&a), parse(&b)) else { return Vec::new() };
    let pairs = a.iter().filter_map(|(name, value)| {
        let (_, other) = b.iter().find(|(other, _)| other == name)?;
        (value != other).then(|| ((*name).to_owned(), (*value).to_owned(), (*other).to_owned()))
    });
    pairs.collect()
}

/// The arguments whose values differ in this difference.
#[must_use]
pub(super) fn changed(place: &Place<'_>) -> Vec<Changed> {
    let is_history = place.level == Level::Config && place.pointer().starts_with("/history/");
    if is_history { changed_in(place.difference) } else { Vec::new() }
}

/// The arguments whose values differ anywhere in the history.
#[must_use]
pub(super) fn all_changed(place: &Place<'_>) -> Vec<Changed> {
    let Some(platform) = place.platform else { return Vec::new() };
    let is_step = |difference: &&Difference| {
        difference.kind == Kind::Value
            && difference.place.as_ref().and_then(Text::as_str).is_some_and(|at| at.starts_with("/history/"))
    };
    let mut all: Vec<Changed> = platform.config.iter().filter(is_step).flat_map(changed_in).collect();
    all.sort();
    all.dedup();
    all.retain(|(name, ..)| name != "SOURCE_DATE_EPOCH");
    all
}

/// Whether one text becomes the other one where the values of these arguments are replaced.
#[must_use]
pub(super) fn follows(a: &str, b: &str, changed: &[Changed]) -> bool {
    let replaced = changed
        .iter()
        .filter(|(_, value, _)| !value.is_empty())
        .fold(a.to_owned(), |text, (_, one, other)| text.replace(one.as_str(), other));
    a != b && replaced == b
}

fn explain(place: &Place<'_>) -> Option<Claim> {
    let changed = match place.level {
        Level::Config if place.difference.kind == Kind::Value => in_config(place)?,
        Level::Entry if place.content_differs() => in_content(place)?,
        _ => return None,
    };
    let mut names: Vec<&str> =
        changed.iter().map(|(name, ..)| name.as_str()).filter(|name| *name != "SOURCE_DATE_EPOCH").collect();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let explanation = format!("The two builds were given other values of `{}`.", names.join("`, `"));
    let fix = "Give both the same `--build-arg`; what identifies the run rather than the source (a number, a time, a host) should not be one.";
    Some(Claim::new(Confidence::High, &explanation).fix(fix))
}

fn in_config(place: &Place<'_>) -> Option<Vec<Changed>> {
    let here = changed(place);
    if !here.is_empty() {
        return Some(here);
    }
    let all = all_changed(place);
    let (a, b) = (place.difference.a.as_ref()?.as_str()?, place.difference.b.as_ref()?.as_str()?);
    let used: Vec<Changed> =
        all.into_iter().filter(|one| a.contains(one.1.as_str()) && b.contains(one.2.as_str())).collect();
    follows(a, b, &used).then_some(used)
}

/// A file that differs as the values do, made by a step that was given them.
fn in_content(place: &Place<'_>) -> Option<Vec<Changed>> {
    if !matches!(place.step(), Step::Run | Step::Unknown | Step::Stage(_)) {
        return None;
    }
    let all = all_changed(place);
    let lines = place.lines().filter(|_| !all.is_empty())?;
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    let is_one = |pair: &super::lines::Pair| follows(&text(&pair.a), &text(&pair.b), &all);
    let is_all = lines.single == 0 && !lines.pairs.is_empty() && lines.pairs.iter().all(is_one);
    is_all.then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_from_the_history() {
        assert_eq!(parse("RUN |1 A=b /bin/sh -c x"), Some((vec![("A", "b")], "/bin/sh -c x")));
        assert_eq!(parse("|2 A=b c D=e /bin/sh -c x"), Some((vec![("A", "b c"), ("D", "e")], "/bin/sh -c x")));
        assert_eq!(parse("RUN /bin/sh -c x"), None);
        assert_eq!(parse("|9 A=b /bin/sh -c x"), None);
        assert_eq!(parse("|1"), None);
    }

    #[test]
    fn a_text_follows_from_a_value() {
        let changed = [("V".to_owned(), "1.0".to_owned(), "1.1".to_owned())];
        assert!(follows("version 1.0", "version 1.1", &changed));
        assert!(!follows("version 1.0", "version 1.2", &changed));
        assert!(!follows("x", "x", &changed));
    }
}
