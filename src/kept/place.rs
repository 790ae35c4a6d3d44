//! A place on the disk for the large files of a run that is more than one build: removed when it ends, and by the next run
//! where it was killed.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::run::{Run, remove_directory};
use crate::environment::Environment;

/// A private directory below `repro`'s state, where archives have room that a directory of temporary files may not have.
#[derive(Debug)]
pub struct WorkPlace {
    path: PathBuf,
    run: Run,
}

impl WorkPlace {
    /// Makes the directory, and writes down that it is there.
    pub fn make(environment: &Environment) -> io::Result<Self> {
        let state = environment
            .state_directory()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "neither HOME nor XDG_STATE_HOME is set"))?;
        let unique = super::run::random_name()?;
        let parent = state.join("tmp");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&parent)?;
        let path = parent.join(format!("repro.{unique}"));
        let mut run = Run::begin(&state, &unique, &path)?;
        // It uses no builder and no cache itself: the builds that it makes say so for themselves.
        run.note(|record| record.uses = Some(Vec::new()))?;
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, run })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkPlace {
    fn drop(&mut self) {
        if let Err(why) = remove_directory(&self.path) {
            tracing::warn!("cleaning up: {why}");
            self.run.keep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_private_and_gone_afterwards() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let environment: Environment = [("XDG_STATE_HOME", home.path())].into_iter().collect();
        let place = WorkPlace::make(&environment).unwrap();
        let path = place.path().to_owned();
        fs::write(path.join("1.tar"), "x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let runs = super::super::run::load_runs(&home.path().join("repro"));
        assert!(runs.len() == 1 && runs[0].lives, "{runs:?}");
        drop(place);
        assert!(!path.exists());
        assert!(super::super::run::load_runs(&home.path().join("repro")).is_empty());
    }
}
