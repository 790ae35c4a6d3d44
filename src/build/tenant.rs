//! What tells this user's cache mounts from those of others on a BuildKit that several share.
//!
//! Projects are told apart by their paths, and on many machines they have the same: every CI builds in one directory. It is
//! no secret, and no wall: it stands in the build's record, which others there can read.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// What a tenant is called, in characters.
const LENGTH: usize = 16;

fn file(state: &Path) -> PathBuf {
    state.join("tenant")
}

/// Writes down a name that nobody else has, unless there is one.
pub fn ensure_tenant(state: &Path, random: &str) -> io::Result<()> {
    if load_tenant(state).is_some() {
        return Ok(());
    }
    let mut temporary = NamedTempFile::new_in(state)?;
    temporary.write_all(random.as_bytes())?;
    temporary.persist(file(state)).map(drop).map_err(|error| error.error)
}

/// The name, where there is one.
pub fn load_tenant(state: &Path) -> Option<String> {
    let text = fs::read_to_string(file(state)).ok()?;
    let is_right = text.len() == LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_right.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_keeps_its_name() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(load_tenant(state.path()), None);
        fs::write(file(state.path()), "../../x").unwrap();
        assert_eq!(load_tenant(state.path()), None, "something else is none");
        ensure_tenant(state.path(), "0123456789abcdef").unwrap();
        ensure_tenant(state.path(), "fedcba9876543210").unwrap();
        assert_eq!(load_tenant(state.path()).as_deref(), Some("0123456789abcdef"));
    }
}
