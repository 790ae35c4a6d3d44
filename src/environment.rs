//! The caller's environment, read once, and the directories that `repro` keeps things in.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// A copy of environment variables, so that what reads them can be tested without touching the process.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The variables of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// A variable as it is.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// A variable that is set and not empty, as a path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.into(), value.into());
    }

    /// Keeps only the named variables.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(name, _)| names.iter().any(|kept| name == kept))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect(),
        )
    }

    /// The variables in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    fn base_directory(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        // The XDG base directory specification: a relative path is to be ignored.
        let given = self.path(variable).filter(|path| path.is_absolute());
        given.or_else(|| self.path("HOME").map(|home| home.join(below_home))).map(|base| base.join("repro"))
    }

    /// Where what can be made again is kept: `$XDG_CACHE_HOME/repro`, else `~/.cache/repro`.
    #[must_use]
    pub fn cache_directory(&self) -> Option<PathBuf> {
        self.base_directory("XDG_CACHE_HOME", ".cache")
    }

    /// Where builders and locks are kept: `$XDG_STATE_HOME/repro`, else `~/.local/state/repro`.
    #[must_use]
    pub fn state_directory(&self) -> Option<PathBuf> {
        self.base_directory("XDG_STATE_HOME", ".local/state")
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_follow_the_base_directory_specification() {
        let home: Environment = [("HOME", "/home/a"), ("XDG_STATE_HOME", "relative")].into_iter().collect();
        assert_eq!(home.cache_directory(), Some("/home/a/.cache/repro".into()));
        assert_eq!(home.state_directory(), Some("/home/a/.local/state/repro".into()));
        let given: Environment = [("HOME", "/home/a"), ("XDG_CACHE_HOME", "/c")].into_iter().collect();
        assert_eq!(given.cache_directory(), Some("/c/repro".into()));
        assert_eq!(Environment::default().state_directory(), None);
    }
}
