//! A run that several jobs began is one run. Each says of it what it knows, and the order in which they are read changes nothing.
//!
//! Where they say different things, what asks for more counts, if one of them does; else nothing that depends on it is called equal.

use std::collections::{BTreeMap, BTreeSet};

use super::cell::Cell;
use super::history::{ExpectedRecord, ImageRecord, RunRecord};

/// What the parts of a run say each in another way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dissent {
    /// Images that were built from several sources.
    sources: BTreeSet<String>,
    /// Images of which each of several parts had files of no commit: they may be others.
    uncommitted: BTreeSet<String>,
    /// What is expected of an image: a list for each part that has one of its own.
    expected: BTreeMap<String, BTreeSet<Vec<ExpectedRecord>>>,
    /// Names that stand for several BuildKits.
    buildkits: BTreeSet<String>,
    /// Whether an earlier run is built again by some of them alone.
    is_mixed: bool,
}

/// What is expected of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected<'a> {
    /// Nothing.
    Nothing,
    /// This digest.
    Digest(&'a str),
    /// Several, of which it can give one.
    Several,
}

impl Dissent {
    /// Why it is not known what a cell was built with.
    #[must_use]
    pub fn about(&self, cell: &Cell) -> Option<String> {
        if self.is_mixed {
            return Some("some parts of this run build an earlier one again, and others do not".to_owned());
        }
        let is_other = self.buildkits.contains(&cell.buildkit);
        is_other.then(|| format!("the parts of this run mean different BuildKits by `{}`", cell.buildkit))
    }

    /// Whether the parts built an image from different sources.
    #[must_use]
    pub fn has_sources(&self, image: &str) -> bool {
        self.sources.contains(image)
    }

    /// Whether several parts built an image from files of which nobody knows whether they were the same.
    #[must_use]
    pub fn is_uncommitted(&self, image: &str) -> bool {
        self.uncommitted.contains(image)
    }

    /// What is expected of a cell of this image.
    #[must_use]
    pub fn expected<'a>(&'a self, image: &'a ImageRecord, cell: &Cell) -> Expected<'a> {
        let is_for = |wanted: &Option<String>, value: &String| wanted.as_ref().is_none_or(|wanted| wanted == value);
        let is_for =
            |one: &&ExpectedRecord| is_for(&one.platform, &cell.platform) && is_for(&one.buildkit, &cell.buildkit);
        let find = |list: &'a Vec<ExpectedRecord>| list.iter().find(is_for).map(|one| one.digest.as_str());
        let digests: BTreeSet<&str> = match self.expected.get(&image.name) {
            Some(lists) => lists.iter().filter_map(find).collect(),
            None => find(&image.expected).into_iter().collect(),
        };
        let mut digests = digests.into_iter();
        match (digests.next(), digests.next()) {
            (None, _) => Expected::Nothing,
            (Some(digest), None) => Expected::Digest(digest),
            (Some(_), Some(_)) => Expected::Several,
        }
    }
}

/// Adds what one job says of its part of a run to what others said of theirs.
pub fn join(known: &mut RunRecord, part: RunRecord, dissent: &mut Dissent) {
    known.time = part.time.min(std::mem::take(&mut known.time));
    known.program = part.program.max(std::mem::take(&mut known.program));
    known.cells = known.cells.saturating_add(part.cells);
    if known.recheck != part.recheck {
        // What is called no recheck is looked at by everybody.
        known.recheck = None;
        dissent.is_mixed = true;
    }
    join_images(&mut known.images, part.images, dissent);
    for (name, record) in part.buildkits {
        let other = known.buildkits.entry(name.clone()).or_insert_with(|| record.clone());
        if *other != record {
            *other = record.min(std::mem::take(other));
            dissent.buildkits.insert(name);
        }
    }
}

/// Adds what one job says of images to what is known of them, each of which is there once.
pub fn join_images(known: &mut Vec<ImageRecord>, part: Vec<ImageRecord>, dissent: &mut Dissent) {
    for image in part {
        match known.iter_mut().find(|other| other.name == image.name) {
            Some(other) => join_image(other, image, dissent),
            None => known.push(image),
        }
    }
    known.sort_by(|a, b| a.name.cmp(&b.name));
}

fn join_image(known: &mut ImageRecord, part: ImageRecord, dissent: &mut Dissent) {
    known.everywhere |= part.everywhere;
    known.found_cache |= part.found_cache;
    if known.expected != part.expected {
        let lists = dissent.expected.entry(known.name.clone()).or_default();
        lists.extend([known.expected.clone(), part.expected.clone()]);
        known.expected = part.expected.clone().min(std::mem::take(&mut known.expected));
    }
    if known.moving != part.moving {
        let moving: BTreeSet<String> = known.moving.drain(..).chain(part.moving.iter().cloned()).collect();
        known.moving = moving.into_iter().collect();
    }
    if known.clean == part.clean && known.source() == part.source() {
        if !known.clean {
            dissent.uncommitted.insert(known.name.clone());
        }
        return;
    }
    // Two sources under one name are the source of neither: nothing is held against it, or built again from it.
    dissent.sources.insert(known.name.clone());
    (known.commit, known.clean) = (None, false);
    known.context = part.context.min(std::mem::take(&mut known.context));
    known.directory = part.directory.min(known.directory.take());
    known.flags = part.flags.min(std::mem::take(&mut known.flags));
    known.epoch = known.epoch.min(part.epoch);
}
