//! Other versions of npm's packages.

use super::around::{Manager, node_package};
use super::packages::are_others;
use super::{Cause, Claim, Place, path};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "npm-packages", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    if !are_others(place, Manager::Node) {
        return None;
    }
    let package = node_package(place.path())?;
    let explanation = "Other versions of npm's packages were installed: the registry moved between the two builds, or nothing pins them.";
    let fix = "Install from the lock: `npm ci`, `yarn install --immutable`, `pnpm install --frozen-lockfile`, with the lock file in git.";
    if place.around.has_package(Manager::Node, package) {
        let claim = Claim::new(Confidence::High, explanation).fix(fix);
        return Some(if path::name(place.path()) == b"package.json" { claim } else { claim.consequence() });
    }
    // The lists that the package managers keep beside the packages.
    let is_list = package.starts_with(b".") && !package.starts_with(b".cache");
    is_list.then(|| Claim::new(Confidence::Medium, explanation).fix(fix).consequence())
}
