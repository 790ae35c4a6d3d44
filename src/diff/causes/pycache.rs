//! Byte code of Python on one side only.

use super::{Cause, Claim, Level, Place, path};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "pycache", explain };

const PATHS: &[&str] = &["**/__pycache__", "**/__pycache__/*.pyc", "**/__pycache__/*.pyo", "**/*.pyc"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Entry
        || place.difference.kind != Kind::Missing
        || path::fits(place.path(), PATHS).is_none()
    {
        return None;
    }
    let explanation = "Byte code of Python is on one side only: it is written when a module is imported for the first time, by whoever \
                       may write there.";
    let fix = "Write all of it or none: `python3 -m compileall` with `ARG SOURCE_DATE_EPOCH`, or `ENV PYTHONDONTWRITEBYTECODE=1`; and name \
               `__pycache__` in `.dockerignore`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
