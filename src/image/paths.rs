//! Where the entries of a layer lie.
//!
//! Engines unpack below the root of a container and take an absolute path as one from there, so that is only noted, as is a path
//! that comes twice (the later entry wins). A path that climbs out of the root is another thing: Docker refuses it
//! (`moby/go-archive`, `breakoutError`), containerd keeps it inside, others have followed it.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};

use super::fault::shown;
use super::tar::Entry;
use crate::limits;

/// Entries of one kind: how many, and the path of the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// How many.
    pub count: u64,
    /// The path of the first as it is stored, escaped.
    pub first: String,
}

/// Entries of a layer whose paths are not what most tools write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathFacts {
    /// Those that begin with a slash.
    #[serde(deserialize_with = "Option::deserialize")]
    pub absolute: Option<Found>,
    /// Those that have the path of an entry before them.
    #[serde(deserialize_with = "Option::deserialize")]
    pub repeated: Option<Found>,
    /// Those that lie outside of the root, link to a file there or remove one.
    #[serde(deserialize_with = "Option::deserialize")]
    pub outside: Option<Found>,
    /// Whether there are more entries than paths are remembered, [`limits::LAYER_PATHS`]: those behind were not held against
    /// each other.
    pub too_many: bool,
}

/// Collects [`PathFacts`]. Of a path only a hash is kept.
#[derive(Default)]
pub struct Paths {
    facts: PathFacts,
    seen: HashSet<u64>,
    hasher: RandomState,
    clean: Vec<u8>,
}

impl Paths {
    /// Takes in an entry.
    pub fn add(&mut self, entry: &Entry) {
        let mut is_outside = !clean(&entry.path, &mut self.clean);
        is_outside |= removes_a_parent(&self.clean);
        if self.seen.len() < limits::LAYER_PATHS {
            if !self.seen.insert(self.hasher.hash_one(&self.clean)) {
                count(&mut self.facts.repeated, &entry.path);
            }
        } else {
            self.facts.too_many = true;
        }
        if entry.path.starts_with(b"/") {
            count(&mut self.facts.absolute, &entry.path);
        }
        // A hard link names a file from the root; where a symbolic link leads is decided when it is followed.
        is_outside |= entry.flag == b'1' && !clean(&entry.link, &mut self.clean);
        if is_outside {
            count(&mut self.facts.outside, &entry.path);
        }
    }

    /// What was found.
    pub fn finish(self) -> PathFacts {
        self.facts
    }
}

fn count(found: &mut Option<Found>, path: &[u8]) {
    found.get_or_insert_with(|| Found { count: 0, first: shown(path) }).count += 1;
}

/// Puts the parts of `path` into `out`, as Go's `filepath.Clean` does, without a slash in front. False where it climbs out of
/// where it starts.
fn clean(path: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut stays = true;
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if out.is_empty() => stays = false,
            b".." => out.truncate(out.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            part => {
                if !out.is_empty() {
                    out.push(b'/');
                }
                out.extend_from_slice(part);
            }
        }
    }
    stays
}

/// Whether it is a whiteout (image-spec layer.md, "Whiteouts") of a directory's own name or of its parent.
fn removes_a_parent(path: &[u8]) -> bool {
    let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    matches!(&path[start..], b".wh.." | b".wh...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, cleaned, stays) in [
            ("a/b", "a/b", true),
            ("./a//b/", "a/b", true),
            ("/a", "a", true),
            ("a/../b", "b", true),
            ("a/b/../../c", "c", true),
            (".", "", true),
            ("", "", true),
            ("..", "", false),
            ("../a", "a", false),
            ("a/../../b", "b", false),
            ("/../a", "a", false),
            ("..a/...", "..a/...", true),
        ] {
            let mut out = b"left from before".to_vec();
            assert_eq!(clean(path.as_bytes(), &mut out), stays, "{path}");
            assert_eq!(String::from_utf8(out).unwrap(), cleaned, "{path}");
        }
    }

    #[test]
    fn whiteouts_of_dots() {
        assert!(removes_a_parent(b".wh..") && removes_a_parent(b"a/.wh..."));
        assert!(!removes_a_parent(b".wh..wh..opq") && !removes_a_parent(b"a/.wh.b") && !removes_a_parent(b"a.wh.."));
    }
}
