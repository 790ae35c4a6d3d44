//! Packages that a manager installed in other versions: what apk, apt and pip have in common.

use super::around::Manager;
use super::step::Step;
use super::{Claim, Place, path};
use crate::diff::model::Confidence;

/// A manager of packages, and how its packages show in an image.
pub struct Packages {
    /// Which one.
    pub manager: Manager,
    /// Where the list of packages stands.
    pub lists: &'static [&'static str],
    /// Where files of packages are.
    pub files: &'static [&'static str],
    /// What happened.
    pub explanation: &'static str,
    /// What to do about it.
    pub fix: &'static str,
}

/// Whether this is a content that differs in a step that installed other versions of packages.
pub fn are_others(place: &Place<'_>, manager: Manager) -> bool {
    place.content_differs() && place.around.has_packages(manager) && place.step() != Step::Context
}

impl Packages {
    /// What other versions explain of this difference.
    pub fn explain(&self, place: &Place<'_>) -> Option<Claim> {
        if !are_others(place, self.manager) {
            return None;
        }
        if path::fits(place.path(), self.lists).is_some() {
            return Some(Claim::new(Confidence::High, self.explanation).fix(self.fix));
        }
        // Its files differ as well: each of them need not have a cause of its own.
        path::fits(place.path(), self.files)?;
        Some(Claim::new(Confidence::Medium, self.explanation).fix(self.fix).consequence())
    }
}
