//! Ageing: earlier runs, built again from what the history says of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use chrono::{DateTime, Days, Months, TimeDelta, Utc};

use super::cell::Cell;
use super::file::BuildKit;
use super::history::RecheckRecord;
use super::past::{History, Run};
use super::source::Source;
use crate::digest::Digest;
use crate::pin::Version;

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

/// The last run that is at least so old, and no recheck itself.
#[must_use]
pub fn find_run<'a>(history: &'a History, age: &Age, now: DateTime<Utc>) -> Option<&'a Run> {
    let limit = age.before(now)?;
    let is_old = |run: &&Run| {
        let time = DateTime::parse_from_rfc3339(&run.record.time);
        time.is_ok_and(|time| time <= limit) && run.record.recheck.is_none() && !run.record.images.is_empty()
    };
    history.runs.iter().rev().find(is_old)
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
            let source = Source { record: image.clone(), dockerfile: Ok((PathBuf::new(), None)) };
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

impl Recheck {
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
