//! What is written into the lock of a builder's cache when the cache is made.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::limit::Limit;

/// What the lock of a cache says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Before anything was in the cache, in seconds since 1970. Unknown where the cache is older than its lock.
    pub made: Option<i64>,
    /// How far the cache may grow. It stays as it is: another configuration has another cache.
    pub limit: Limit,
}

impl Note {
    /// What a lock says; nothing where it says nothing.
    #[must_use]
    pub fn load(lock: &Path) -> Self {
        let text = std::fs::read(lock).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Writes it into a lock that is held.
    pub fn write(&self, mut lock: &File) -> io::Result<()> {
        lock.set_len(0)?;
        lock.write_all(&serde_json::to_vec(self)?)
    }
}
