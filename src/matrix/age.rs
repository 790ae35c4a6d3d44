//! Ageing: earlier runs, built again from what the history says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use chrono::{DateTime, Days, Months, TimeDelta, Utc};

use super::cell::Cell;
use super::file::{BuildKit, Matrix};
use super::history::RecheckRecord;
use super::past::{History, Run};
use super::read::is_name;
use super::source::Source;
use crate::digest::Digest;
use crate::environment::Environment;
use crate::git::leads_to;
use crate::pin::{Pin, Version};
use crate::plan::Platform;

/// How long ago something was, in words of the calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Age {
    count: u32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    const ALL: [(&'static str, Self); 5] =
        [("hour", Self::Hour), ("day", Self::Day), ("week", Self::Week), ("month", Self::Month), ("year", Self::Year)];
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "an age is a number and hours, days, weeks, months or years, such as `1 week`".to_owned();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at(digits);
        let count = count.parse().ok().filter(|count| *count <= 1000).ok_or_else(wrong)?;
        let unit = unit.trim_start_matches([' ', '-']);
        let unit = unit.strip_suffix('s').unwrap_or(unit);
        let (_, unit) = Unit::ALL.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        Ok(Self { count, unit })
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Unit::ALL.into_iter().find(|(_, unit)| *unit == self.unit).map_or("", |(name, _)| name);
        write!(f, "{} {name}{}", self.count, if self.count == 1 { "" } else { "s" })
    }
}

impl Age {
    /// The moment that is this long before another one.
    #[must_use]
    pub fn before(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let count = self.count;
        match self.unit {
            Unit::Hour => now.checked_sub_signed(TimeDelta::hours(i64::from(count))),
            Unit::Day => now.checked_sub_days(Days::new(u64::from(count))),
            Unit::Week => now.checked_sub_days(Days::new(u64::from(count) * 7)),
            Unit::Month => now.checked_sub_months(Months::new(count)),
            Unit::Year => now.checked_sub_months(Months::new(count * 12)),
        }
    }
}

/// The run that stands for an age: of those that are at least so old and no recheck themselves, the one of the last 24 hours
/// that built most. A single cell that somebody tried after the night is not the night.
#[must_use]
pub fn find_run<'a>(history: &'a History, age: &Age, now: DateTime<Utc>) -> Option<&'a Run> {
    let limit = age.before(now)?;
    let time_of = |run: &Run| Some(DateTime::parse_from_rfc3339(&run.record.time).ok()?.to_utc());
    let is_old = |run: &&Run| {
        let is_own = run.record.recheck.is_none() && !run.record.images.is_empty();
        is_own && time_of(run).is_some_and(|time| time <= limit)
    };
    let old: Vec<&Run> = history.runs.iter().filter(is_old).collect();
    let since = time_of(old.last()?)?.checked_sub_days(Days::new(1))?;
    let built = |run: &&Run| run.entries.iter().filter(|entry| entry.digest.is_some()).count();
    // Of those that built as many, the last.
    old.into_iter().filter(|run| time_of(run).is_some_and(|time| time > since)).max_by_key(built)
}

/// What of an earlier run is to be built again.
#[derive(Debug)]
pub struct Recheck {
    /// Which run.
    pub record: RecheckRecord,
    /// Its images that can be.
    pub sources: BTreeMap<String, Source>,
    /// What its cells gave.
    pub digests: BTreeMap<Cell, Digest>,
    /// What cannot be built again, with the reason.
    pub left_out: Vec<String>,
}

/// Finds out what of a run can be built again.
#[must_use]
pub fn recheck(history: &History, run: &Run, age: &Age) -> Recheck {
    let mut sources = BTreeMap::new();
    let mut left_out = Vec::new();
    for image in &run.record.images {
        if image.commit.is_some() && image.clean {
            let source = Source { record: image.clone(), dockerfile: Ok((PathBuf::new(), None)), reads: Vec::new() };
            sources.insert(image.name.clone(), source);
        } else {
            let why = "what was built is not what a commit holds";
            left_out.push(format!("`{}` of run {} cannot be built again: {why}", image.name, run.record.id));
        }
    }
    let built = run.entries.iter().filter_map(|entry| Some((history.cell(entry), history.digest(entry.digest)?)));
    let digests = built
        .filter(|(cell, _)| sources.contains_key(&cell.image))
        .map(|(cell, digest)| (cell.clone(), digest.clone()))
        .collect();
    let record = RecheckRecord { of: run.record.id.clone(), time: run.record.time.clone(), age: age.to_string() };
    Recheck { record, sources, digests, left_out }
}

/// Build arguments that BuildKit itself takes for something: where it goes through, and who reads the Dockerfile.
const LEADING: [&str; 6] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy", "buildkit_syntax"];

/// Flags that say what is built, and hand nothing of this machine to it.
fn is_harmless(flag: &str) -> bool {
    let flag = flag.trim_start_matches('-');
    let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
    let argument = value.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let is_argument = name == "build-arg";
    // Without a value it is a variable of this machine.
    let has_value = value.contains('=');
    HARMLESS.contains(&name) && !(is_argument && (!has_value || LEADING.contains(&argument.as_str())))
}

/// Their names.
const HARMLESS: [&str; 13] = [
    "annotation",
    "archive",
    "build-arg",
    "compression",
    "compression-level",
    "context-modes",
    "datetime",
    "label",
    "media-types",
    "no-rewrite-timestamp",
    "source-date-epoch",
    "tag",
    "target",
];

impl Recheck {
    /// Leaves out what a history may not say by itself: lines of it may be somebody else's. What hands anything of this machine
    /// to a build, leads anywhere, or names a BuildKit, has to stand in today's matrix as well.
    pub fn trust(&mut self, matrix: &Matrix, run: &Run) {
        let mut left_out = std::mem::take(&mut self.left_out);
        let is_known = |source: &Source| {
            let today = matrix.image(&source.record.name);
            let flags = today.map(|image| image.flags.as_slice()).unwrap_or_default();
            let context = Path::new(&source.record.context);
            let is_below = context.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            (is_below || today.is_some_and(|image| image.context == context))
                && is_name(&source.record.name)
                && source.record.flags.iter().all(|flag| is_harmless(flag) || flags.contains(flag))
        };
        self.sources.retain(|name, source| {
            let known = is_known(source);
            if !known {
                let why = "its words are not those of today's matrix, and more than a history may say";
                left_out.push(format!("`{name}` of run {} is not built again: {why}", run.record.id));
            }
            known
        });
        let of_today: BTreeSet<&String> =
            matrix.buildkits.values().flat_map(|both| [&both.image, &both.rootless]).flatten().collect();
        let is_pin = |image: &Option<String>| {
            image
                .as_ref()
                .is_none_or(|image| of_today.contains(image) || Pin::parse(image).is_ok_and(|pin| pin.is_released()))
        };
        let has_fleet = matrix.cells.iter().any(|cell| cell.runtime == "remote" && cell.address.is_none());
        let addresses: BTreeSet<&String> = matrix.cells.iter().filter_map(|cell| cell.address.as_ref()).collect();
        self.digests.retain(|cell, _| {
            let buildkit = run.record.buildkits.get(&cell.buildkit);
            let known = self.sources.contains_key(&cell.image)
                && ["docker", "podman", "buildkitd", "remote"].contains(&cell.runtime.as_str())
                && cell.platform.parse::<Platform>().is_ok()
                && is_name(&cell.buildkit)
                && (cell.runtime != "remote"
                    || cell.address.as_ref().map_or(has_fleet, |address| addresses.contains(address)))
                && buildkit.is_none_or(|both| is_pin(&both.image) && is_pin(&both.rootless));
            if !known && self.sources.contains_key(&cell.image) {
                let why = "its BuildKit or its address is not one of today's matrix";
                left_out.push(format!("`{cell}` of run {} is not built again: {why}", run.record.id));
            }
            known
        });
        self.left_out = left_out;
    }

    /// Leaves out commits that a history names and nothing of the repository leads to: they may be of a proposal that nobody accepted.
    pub fn leave_strangers(&mut self, matrix: &Matrix, environment: &Environment) {
        let (left_out, run) = (&mut self.left_out, &self.record.of);
        self.sources.retain(|name, source| {
            // The matrix is where its images are: a directory of theirs may be gone.
            let commit = source.record.commit.as_ref();
            let leads = commit.is_some_and(|commit| leads_to(&matrix.directory, commit, environment));
            if !leads {
                let why = "neither what is checked out nor a branch or tag of this repository leads to its commit";
                left_out.push(format!("`{name}` of run {run} is not built again: {why}"));
            }
            leads
        });
        let sources = &self.sources;
        self.digests.retain(|cell, _| sources.contains_key(&cell.image));
    }

    /// The BuildKits of that run, whatever the matrix calls by their names today.
    #[must_use]
    pub fn buildkits(&self, run: &Run) -> BTreeMap<String, BuildKit> {
        let one = |(name, record): (&String, &super::history::BuildKitRecord)| {
            let (image, rootless) = (record.image.clone(), record.rootless.clone());
            (name.clone(), BuildKit { image, rootless, version: Version::parse(name) })
        };
        run.record.buildkits.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_as_they_are_said() {
        for (text, shown) in [("1 day", "1 day"), ("1week", "1 week"), ("2-months", "2 months"), ("1 years", "1 year")]
        {
            assert_eq!(text.parse::<Age>().unwrap().to_string(), shown);
        }
        for text in ["", "day", "1", "1 fortnight", "-1 day", "99999999999 days", "1 day ago"] {
            assert!(text.parse::<Age>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_month_is_one_of_the_calendar() {
        let now: DateTime<Utc> = "2026-03-31T12:00:00Z".parse().unwrap();
        let before = |text: &str| text.parse::<Age>().unwrap().before(now).unwrap().to_rfc3339();
        assert_eq!(before("1 month"), "2026-02-28T12:00:00+00:00");
        assert_eq!(before("1 year"), "2025-03-31T12:00:00+00:00");
        assert_eq!(before("36 hours"), "2026-03-30T00:00:00+00:00");
    }
}
