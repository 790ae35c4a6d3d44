//! Two JSON documents, compared value by value.
//!
//! Numbers are compared as they are written, for a parser may take two of them for one. What is equal in every value and not
//! in its bytes is a difference of its own: a digest does not care what a parser thinks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::ignore::{Ignore, Switch};
use super::model::{Difference, Kind, Text};
use crate::limits;

/// The members of an object, as they are written.
pub type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Collects what differs in a document.
pub struct JsonDiff {
    ignore: Ignore,
    /// Whether the document is a config, where `created` is a date.
    is_config: bool,
    /// What was found.
    pub found: Vec<Difference>,
}

/// The members of the object in `text`; none where it is none.
pub fn members(text: &str) -> Members<'_> {
    serde_json::from_str(text).unwrap_or_default()
}

/// The elements of the list in `text`; none where it is none.
pub fn elements(text: &str) -> Vec<&RawValue> {
    serde_json::from_str(text).unwrap_or_default()
}

/// The text of a string.
pub fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

impl JsonDiff {
    /// For a document that is a config or not.
    pub const fn new(ignore: Ignore, is_config: bool) -> Self {
        Self { ignore, is_config, found: Vec::new() }
    }

    /// Compares two objects without some of their members.
    pub fn objects(&mut self, at: &str, a: &Members<'_>, b: &Members<'_>, without: &[&str]) {
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys.into_iter().filter(|key| !without.contains(&key.as_str())) {
            let place = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
            let switch = self.switch(at, key);
            let before = self.found.len();
            self.values(&place, a.get(key).copied(), b.get(key).copied());
            for difference in &mut self.found[before..] {
                difference.ignored_by = difference.ignored_by.or(switch);
            }
        }
    }

    fn switch(&self, at: &str, key: &str) -> Option<Switch> {
        if at.ends_with("/annotations") {
            return self.ignore.of_annotation(key);
        }
        let is_date = self.is_config && key == "created" && (at.is_empty() || at.starts_with("/history/"));
        let is_history = self.is_config && at.starts_with("/history");
        match () {
            () if is_history && self.ignore.history => Some(Switch::IgnoreHistory),
            () if is_date && self.ignore.image_timestamps => Some(Switch::IgnoreImageTimestamps),
            () => None,
        }
    }

    /// Compares two values, of which one may not be there.
    pub fn values(&mut self, at: &str, a: Option<&RawValue>, b: Option<&RawValue>) {
        match (a.map(RawValue::get), b.map(RawValue::get)) {
            (Some(a), Some(b)) => self.texts(at, a, b),
            (a, b) => self.push(at, a.map(shown), b.map(shown)),
        }
    }

    fn texts(&mut self, at: &str, a: &str, b: &str) {
        if a == b || self.is_full() {
            return;
        }
        match (a.as_bytes().first(), b.as_bytes().first()) {
            (Some(b'{'), Some(b'{')) => self.objects(at, &members(a), &members(b), &[]),
            (Some(b'['), Some(b'[')) => self.lists(at, &elements(a), &elements(b)),
            (Some(b'"'), Some(b'"')) => {
                let text = |raw: &str| serde_json::from_str::<String>(raw).ok();
                if text(a) != text(b) {
                    self.push(at, Some(shown(a)), Some(shown(b)));
                }
            }
            // One of another type: `"1"` and `1` must not look the same.
            _ => self.push(at, Some(Text::from(a)), Some(Text::from(b))),
        }
    }

    /// What stands between the equal start and the equal end of two lists is compared one by one.
    fn lists(&mut self, at: &str, a: &[&RawValue], b: &[&RawValue]) {
        let is_equal = |(one, other): &(&&RawValue, &&RawValue)| one.get() == other.get();
        let start = if a.len() == b.len() { 0 } else { a.iter().zip(b).take_while(is_equal).count() };
        let (rest_a, rest_b) = (&a[start..], &b[start..]);
        let end = rest_a.iter().rev().zip(rest_b.iter().rev()).take_while(is_equal).count();
        let (rest_a, rest_b) = (&rest_a[..rest_a.len() - end], &rest_b[..rest_b.len() - end]);
        for number in 0..rest_a.len().max(rest_b.len()) {
            let place = format!("{at}/{}", start + number);
            self.values(&place, rest_a.get(number).copied(), rest_b.get(number).copied());
        }
    }

    /// Adds a difference between two values.
    pub fn push(&mut self, at: &str, a: Option<Text>, b: Option<Text>) {
        if !self.is_full() {
            self.found.push(Difference::of(Kind::Value, a, b).at(at));
        } else if self.found.len() == limits::DIFF_VALUES {
            // Never ignored: nobody has looked at the rest.
            self.found.push(Difference::new(Kind::OtherBytes, "more values", "more values").at("and so on"));
        }
    }

    fn is_full(&self) -> bool {
        self.found.len() >= limits::DIFF_VALUES
    }

    /// All that differs; where that is nothing, how the documents are written.
    pub fn finish(mut self, is_same: bool, explains_itself: bool) -> Vec<Difference> {
        if self.found.is_empty() && !is_same && !explains_itself {
            let words = "the same values in other bytes";
            self.found
                .push(Difference::of(Kind::Encoding, None, Some(words.into())).ignored(self.ignore.of_encoding()));
        }
        self.found
    }
}

/// A value as it is told: a string without its quotes.
fn shown(raw: &str) -> Text {
    serde_json::from_str::<String>(raw).map_or_else(|_| Text::from(raw), Text::from)
}
