//! Other versions of Python packages.

use super::around::Manager;
use super::step::Step;
use super::{Cause, Claim, Place, path};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "python-packages", explain };

/// Where the list of packages stands.
const LISTS: &[&str] = &["**/*.dist-info/**", "**/*.dist-info", "**/*.egg-info/**", "**/*.egg-info"];
/// Where files of packages are.
const FILES: &[&str] = &["**/site-packages/**", "**/dist-packages/**"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    if !place.content_differs() || !place.around.has_packages(Manager::Python) || place.step() == Step::Context {
        return None;
    }
    let explanation = "Other versions of Python packages were installed: the index moved between the two builds, or nothing pins them.";
    let fix = "Install from a lock with hashes: `uv sync --locked`, `pip install --require-hashes -r requirements.txt` (made by `uv pip compile --generate-hashes` or pip-tools).";
    if path::fits(place.path(), LISTS).is_some() {
        return Some(Claim::new(Confidence::High, explanation).fix(fix));
    }
    // Its files differ as well: each of them need not have a cause of its own.
    path::fits(place.path(), FILES)?;
    Some(Claim::new(Confidence::Medium, explanation).fix(fix).consequence())
}
