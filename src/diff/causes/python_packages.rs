//! Other versions of Python packages.

use super::around::Manager;
use super::packages::Packages;
use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "python-packages", explain };

/// Where the list of packages stands.
const LISTS: &[&str] = &["**/*.dist-info/**", "**/*.dist-info", "**/*.egg-info/**", "**/*.egg-info"];
/// Where files of packages are.
const FILES: &[&str] = &["**/site-packages/**", "**/dist-packages/**"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let packages = Packages {
        manager: Manager::Python,
        lists: LISTS,
        files: FILES,
        explanation: "Other versions of Python packages were installed: the index moved between the two builds, or nothing pins them.",
        fix: "Install from a lock with hashes: `uv sync --locked`, `pip install --require-hashes -r requirements.txt` (made by `uv pip compile --generate-hashes` or pip-tools).",
    };
    packages.explain(place)
}
