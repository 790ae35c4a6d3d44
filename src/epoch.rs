//! SOURCE_DATE_EPOCH: the one moment that a reproducible build may know.
//!
//! See <https://reproducible-builds.org/specs/source-date-epoch/>: seconds since 1970-01-01T00:00:00Z.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::Serialize;

/// The last second that RFC 3339 can write: 9999-12-31T23:59:59Z.
const LAST_SECOND: i64 = 253_402_300_799;

/// Seconds since 1970-01-01T00:00:00Z, from 0 to the end of the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SourceDateEpoch(i64);

/// Why a text is not an epoch.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EpochError {
    /// Not a whole number.
    #[error("`{0}` is not a whole number of seconds")]
    NotSeconds(String),
    /// Before 1970 or after 9999.
    #[error("{0} is outside 0 to {LAST_SECOND} (1970 to 9999)")]
    OutOfRange(i64),
    /// Not a date that is understood.
    #[error("`{0}` is not a date: RFC 3339 (2026-04-28T12:00:00Z), 2026-04-28 and 20260428 are understood")]
    NotDate(String),
    /// Later than now.
    #[error(
        "{epoch} ({date}) is in the future: later times stay in the image as they are, so that it is not reproducible"
    )]
    Future {
        /// The epoch asked for, in seconds.
        epoch: i64,
        /// The same, readable.
        date: String,
    },
}

impl SourceDateEpoch {
    /// An epoch from seconds since 1970.
    pub fn from_seconds(seconds: i64) -> Result<Self, EpochError> {
        if (0..=LAST_SECOND).contains(&seconds) { Ok(Self(seconds)) } else { Err(EpochError::OutOfRange(seconds)) }
    }

    /// An epoch from a date: RFC 3339, and the ISO 8601 forms that Python's `datetime.fromisoformat` takes.
    ///
    /// A date without a time zone is UTC. Fractions of a second are cut off.
    pub fn parse_datetime(text: &str) -> Result<Self, EpochError> {
        let moment = parse_iso8601(text).ok_or_else(|| EpochError::NotDate(text.to_owned()))?;
        Self::from_seconds(moment.timestamp())
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// Refuses an epoch later than `now`: BuildKit clamps times to the epoch, and leaves those before it alone, so that an
    /// epoch in the future would let every live time into the image.
    pub fn check_not_after(self, now: DateTime<Utc>) -> Result<(), EpochError> {
        if self.0 > now.timestamp() {
            return Err(EpochError::Future { epoch: self.0, date: self.to_rfc3339() });
        }
        Ok(())
    }

    /// The epoch as `2026-04-28T12:00:00Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        DateTime::from_timestamp(self.0, 0)
            .unwrap_or(DateTime::UNIX_EPOCH)
            .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }
}

impl fmt::Display for SourceDateEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for SourceDateEpoch {
    type Err = EpochError;

    fn from_str(text: &str) -> Result<Self, EpochError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(EpochError::NotSeconds(text.to_owned()));
        }
        Self::from_seconds(text.parse().unwrap_or(i64::MAX))
    }
}

/// The forms of ISO 8601 in use: extended or basic date or ISO week date, then optionally `T` or a space, a time, an offset.
fn parse_iso8601(text: &str) -> Option<DateTime<FixedOffset>> {
    if !text.is_ascii() {
        return None;
    }
    let (date, rest) = split_date(text)?;
    let (time, offset) = match rest.strip_prefix(['T', 't', ' ']) {
        Some(rest) => {
            let (time, offset) = split_offset(rest)?;
            (parse_time(time)?, offset)
        }
        None if rest.is_empty() => (NaiveTime::MIN, FixedOffset::east_opt(0)?),
        None => return None,
    };
    NaiveDateTime::new(date, time).and_local_timezone(offset).single()
}

fn split_date(text: &str) -> Option<(NaiveDate, &str)> {
    // The longest form comes first: `2026-04-28` would else be read as `2026-04` and a rest.
    for (length, format) in [(10, "%Y-%m-%d"), (10, "%G-W%V-%u"), (8, "%Y%m%d"), (8, "%GW%V%u")] {
        let Some((date, rest)) = text.split_at_checked(length) else { continue };
        let plausible = date.as_bytes()[..4].iter().all(u8::is_ascii_digit);
        if let (true, Ok(date)) = (plausible, NaiveDate::parse_from_str(date, format)) {
            return Some((date, rest));
        }
    }
    None
}

fn split_offset(text: &str) -> Option<(&str, FixedOffset)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, FixedOffset::east_opt(0)?));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, FixedOffset::east_opt(0)?));
    };
    let (time, offset) = text.split_at(at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let digits = offset[1..].replace(':', "");
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let hours: i32 = digits[..2].parse().ok()?;
    let minutes: i32 = if digits.len() == 4 { digits[2..].parse().ok()? } else { 0 };
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some((time, FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60))?))
}

fn parse_time(text: &str) -> Option<NaiveTime> {
    let whole = match text.split_once(['.', ',']) {
        Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit()) => whole,
        Some(_) => return None,
        None => text,
    };
    let extended = whole.contains(':');
    let digits = whole.replace(':', "");
    let well_formed = match whole.len() {
        2 | 4 | 6 => !extended,
        5 => whole.as_bytes()[2] == b':',
        8 => whole.as_bytes()[2] == b':' && whole.as_bytes()[5] == b':',
        _ => false,
    };
    if !well_formed || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| digits.get(at..at + 2).map_or(Some(0), |two| two.parse::<u32>().ok());
    let (hours, minutes, seconds) = (part(0)?, part(2)?, part(4)?);
    // A leap second counts as the second before it, as POSIX time does.
    let seconds = if seconds == 60 { 59 } else { seconds };
    NaiveTime::from_hms_opt(hours, minutes, seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_forms_that_upstream_reads() {
        // Each right-hand side is what Python 3.11's datetime.fromisoformat(...).timestamp() gives with UTC assumed.
        for (text, seconds) in [
            ("2026-04-28", 1_777_334_400),
            ("20260428", 1_777_334_400),
            ("2026-W18-2", 1_777_334_400),
            ("2026W182", 1_777_334_400),
            ("2026-04-28T12", 1_777_377_600),
            ("2026-04-28T12:30", 1_777_379_400),
            ("2026-04-28 12:30:15", 1_777_379_415),
            ("20260428T123015", 1_777_379_415),
            ("2026-04-28T12:30:15.999999", 1_777_379_415),
            ("2026-04-28T12:30:15Z", 1_777_379_415),
            ("2026-04-28T12:30:15+02:00", 1_777_372_215),
            ("2026-04-28T12:30:15-0130", 1_777_384_815),
            ("2026-04-28T12:30:15+02", 1_777_372_215),
            ("9999-12-31T23:59:59Z", LAST_SECOND),
            ("2016-12-31T23:59:60Z", 1_483_228_799),
            ("1970-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(SourceDateEpoch::parse_datetime(text).map(SourceDateEpoch::seconds), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_date() {
        for text in [
            "",
            "yesterday",
            "2026",
            "2026-04",
            "2026-13-01",
            "2026-02-30",
            "2026-04-28T",
            "2026-04-28T25:00",
            "2026-04-28x12:00",
            "2026-04-28T12:30:61",
            "2026-04-28T12:30:15+24:00",
            "2026-04-28T1:30",
            "28.04.2026",
            "1777334400",
            "２０２６-04-28",
            "2026-04-28T12:30:15.",
            "+2026-04-28",
            "1969-12-31T23:59:59Z",
            "0000-01-01",
        ] {
            assert!(SourceDateEpoch::parse_datetime(text).is_err(), "`{text}` was accepted");
        }
    }

    /// Defect 7 of upstream.
    #[test]
    fn seconds_have_a_range() {
        assert_eq!("0".parse(), Ok(SourceDateEpoch(0)));
        assert_eq!("-5".parse::<SourceDateEpoch>(), Err(EpochError::OutOfRange(-5)));
        assert_eq!("253402300800".parse::<SourceDateEpoch>(), Err(EpochError::OutOfRange(LAST_SECOND + 1)));
        assert!("99999999999999999999".parse::<SourceDateEpoch>().is_err());
        for text in ["", " 1", "1.5", "0x10", "+1", "--1", "1e3"] {
            assert_eq!(text.parse::<SourceDateEpoch>(), Err(EpochError::NotSeconds(text.to_owned())));
        }
    }

    #[test]
    fn the_future_is_refused() {
        let now = DateTime::from_timestamp(1000, 0).unwrap();
        assert!(SourceDateEpoch(1000).check_not_after(now).is_ok());
        assert!(SourceDateEpoch(1001).check_not_after(now).unwrap_err().to_string().contains("in the future"));
    }
}
