//! The day of the last change of a password.

use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "shadow-day", explain };

pub(super) const PATHS: &[&str] = &["etc/shadow", "etc/shadow-"];

/// The fields of a line of /etc/shadow that differ, counted from 0 (shadow(5)).
#[must_use]
pub(super) fn fields(a: &[u8], b: &[u8]) -> Option<Vec<usize>> {
    let fields = |line: &[u8]| line.split(|byte| *byte == b':').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (a, b) = (fields(a), fields(b));
    (a.len() == 9 && b.len() == 9).then(|| (0..9).filter(|at| a[*at] != b[*at]).collect())
}

/// A claim for one field of the lines that differ, and whether it is the only one.
#[must_use]
pub(super) fn of_field(place: &Place<'_>, field: usize) -> Option<(Confidence, bool)> {
    let confidence = place.content_at(PATHS)?;
    let lines = place.lines()?;
    let found: Vec<Option<Vec<usize>>> = lines.pairs.iter().map(|pair| fields(&pair.a, &pair.b)).collect();
    let has = found.iter().flatten().any(|fields| fields.contains(&field));
    let known =
        |fields: &Option<Vec<usize>>| fields.as_ref().is_some_and(|fields| fields.iter().all(|at| [1, 2].contains(at)));
    has.then(|| (confidence, lines.single == 0 && found.iter().all(known)))
}

fn explain(place: &Place<'_>) -> Option<Claim> {
    const DAY: usize = 2;
    let (confidence, is_whole) = of_field(place, DAY)?;
    let explanation = "/etc/shadow holds the day on which each password was last changed, which is the day of the build for a new user.";
    let fix = "Give the RUN that adds the user an epoch (`ARG SOURCE_DATE_EPOCH` before it: useradd takes it), or set the day: \
               `chage --lastday 19675 USER`; and remove the copies: `rm -f /etc/shadow-`.";
    Some(Claim::new(confidence, explanation).fix(fix).whole_if(is_whole))
}
