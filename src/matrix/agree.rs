//! What speaks for a digest: builds that no cache can have handed it on to.
//!
//! A warm builder that gives today what it gave yesterday may have built nothing today, and one that was used cold before may have kept
//! what came of that. So each cold cell is a piece of evidence, the warm cells of one builder are one together, and none where a cold
//! cell of that builder gave the same.

use std::collections::BTreeSet;

use super::cell::{CacheState, Cell};
use super::history::ImageRecord;
use super::past::{Entry, History};
use super::verdict::{Judged, Verdict};

/// What has a cache of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Builder<'a> {
    runtime: &'a str,
    rootless: bool,
    /// None where whatever BuildKit is there reads the same cache.
    buildkit: Option<&'a str>,
    /// Which one of several; none where that is not known, or there is one.
    place: Option<&'a str>,
}

/// The runtime whose daemons are shared.
pub const REMOTE: &str = "remote";

impl<'a> Builder<'a> {
    /// The builder of a cell, which was built at a place of a fleet. With a cache from elsewhere all of an image are one.
    #[must_use]
    pub fn of(cell: &'a Cell, at: Option<&'a str>, shares_cache: bool) -> Self {
        let place = cell.address.as_deref();
        if shares_cache {
            return Self { runtime: "", rootless: false, buildkit: None, place: None };
        }
        if cell.runtime == REMOTE {
            // A daemon keeps its cache when it gets another version.
            return Self { runtime: REMOTE, rootless: false, buildkit: None, place: place.or(at) };
        }
        Self { runtime: &cell.runtime, rootless: cell.rootless, buildkit: Some(&cell.buildkit), place }
    }

    /// Whether it cannot have the cache of the other one. A daemon of a fleet of which nobody says which it is may be any, and one in a
    /// container of Docker may be the builder that Docker's cells are built on.
    #[must_use]
    pub fn is_surely_other(&self, other: &Self) -> bool {
        let are_remote = self.runtime == REMOTE && other.runtime == REMOTE;
        let is_dockers = |one: &Self, container: &Self| one.runtime == "docker" && container.is_in_docker();
        self != other
            && !(are_remote && (self.may_be_any() || other.may_be_any()))
            && !is_dockers(self, other)
            && !is_dockers(other, self)
    }

    fn is_in_docker(&self) -> bool {
        self.runtime == REMOTE && self.place.is_none_or(|place| place.starts_with("docker-container://"))
    }

    fn may_be_any(&self) -> bool {
        self.runtime == REMOTE && self.place.is_none()
    }
}

/// A build that gave a digest.
#[derive(Debug, Clone, Copy)]
pub struct Witness<'a> {
    /// What built it.
    pub builder: Builder<'a>,
    /// Whether it had nothing of earlier builds.
    pub is_cold: bool,
}

impl<'a> Witness<'a> {
    /// The build of a cell.
    #[must_use]
    pub fn of(history: &'a History, source: Option<&ImageRecord>, entry: &Entry) -> Self {
        let cell = history.cell(entry);
        let shares_cache = source.is_some_and(ImageRecord::shares_cache);
        Self {
            builder: Builder::of(cell, history.text(entry.at), shares_cache),
            is_cold: cell.cache == CacheState::Cold,
        }
    }
}

/// How many of these builds cannot have what they gave from each other.
#[must_use]
pub fn pieces(witnesses: &[Witness<'_>]) -> usize {
    let (cold, mut warm): (Vec<&Witness<'_>>, Vec<_>) = witnesses.iter().partition(|one| one.is_cold);
    let mut known: Vec<&Builder<'_>> = cold.iter().map(|one| &one.builder).collect();
    // One that may be any of the others is none of its own.
    warm.sort_by_key(|one| (one.builder.may_be_any(), one.builder));
    for one in warm {
        if known.iter().all(|other| other.is_surely_other(&one.builder)) {
            known.push(&one.builder);
        }
    }
    known.len()
}

/// Who gave a digest in earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Givers<'a> {
    /// One builder, as far as is sure.
    One(Builder<'a>),
    /// Several, one of which is another one than whoever asks.
    Several,
}

impl<'a> Givers<'a> {
    /// These builders.
    #[must_use]
    pub fn of(witnesses: &[Witness<'a>]) -> Option<Self> {
        witnesses.iter().map(|one| Self::One(one.builder)).reduce(Self::and)
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::One(a), Self::One(b)) if !a.is_surely_other(&b) => Self::One(if a.place.is_some() { a } else { b }),
            _ => Self::Several,
        }
    }

    /// Whether a build of today can have the digest from nobody's cache but another one's, or from none at all.
    #[must_use]
    pub fn back(&self, witness: &Witness<'_>) -> bool {
        witness.is_cold
            || match self {
                Self::One(builder) => builder.is_surely_other(&witness.builder),
                Self::Several => true,
            }
    }
}

/// How many runtimes gave the digest of a group by themselves: on throw-away state, and with a BuildKit whose digest is proved. None
/// where a cell of the group gave another one, be it the only one of many.
#[must_use]
pub fn independent<'a>(history: &History, digest: Option<u32>, group: impl IntoIterator<Item = &'a Judged>) -> usize {
    let mut runtimes = BTreeSet::new();
    for judged in group {
        let cell = history.cell(&judged.entry);
        if judged.verdict.differs() || (judged.entry.digest.is_some() && judged.entry.digest != digest) {
            return 0;
        }
        if judged.verdict == Verdict::Equal && cell.cache == CacheState::Cold && !judged.entry.unproved {
            runtimes.insert(cell.runtime.as_str());
        }
    }
    runtimes.len()
}
