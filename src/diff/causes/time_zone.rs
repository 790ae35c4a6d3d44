//! One moment, told in two time zones.

use super::lines::Pair;
use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "time-zone", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let lines = place.lines()?;
    let mut times = lines.moved(Word::Time).peekable();
    times.peek()?;
    if !times
        .all(|(_, a, b)| moment(a).is_some_and(|(a, zone)| moment(b).is_some_and(|(b, other)| a == b && zone != other)))
        || !lines.pairs.iter().all(Pair::is_known)
    {
        return None;
    }
    let explanation = "One moment was written in two time zones.";
    let fix = "Set the zone in the RUN that writes it: `TZ=UTC`, or `date -u`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(lines.single == 0))
}

/// The moment in seconds since 1970, and the zone in seconds east of Greenwich, of a time that names its zone.
fn moment(text: &[u8]) -> Option<(i64, i32)> {
    const FORMS: [&str; 6] = [
        "%Y-%m-%dT%H:%M:%S%.f%#z",
        "%Y-%m-%d %H:%M:%S%.f %#z",
        "%Y-%m-%d %H:%M:%S%.f%#z",
        "%a, %d %b %Y %H:%M:%S %#z",
        "%d/%b/%Y:%H:%M:%S %#z",
        "%a %b %e %H:%M:%S %#z %Y",
    ];
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_suffix('Z').map_or_else(|| text.to_owned(), |start| format!("{start}+0000"));
    let text = [" UTC", " GMT"].iter().fold(text, |text, zone| text.replace(zone, " +0000"));
    FORMS.iter().find_map(|form| {
        let time = chrono::DateTime::parse_from_str(&text, form).ok()?;
        Some((time.timestamp(), time.offset().local_minus_utc()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_moment_in_two_zones() {
        let utc = moment(b"2020-09-13T12:26:40Z");
        assert_eq!(utc.map(|(seconds, _)| seconds), Some(1_600_000_000));
        for text in ["2020-09-13 14:26:40 +0200", "Sun, 13 Sep 2020 08:26:40 -0400", "Sun Sep 13 12:26:40 UTC 2020"] {
            assert_eq!(moment(text.as_bytes()).map(|(seconds, _)| seconds), Some(1_600_000_000), "{text}");
        }
        assert_eq!(moment(b"2020-09-13"), None);
    }
}
