//! Known weaknesses of BuildKit and of the runc in its image, by the version that mended them.
//!
//! Looked up in the advisories of moby/buildkit and opencontainers/runc, and in the `RUNC_VERSION` of BuildKit's Dockerfile
//! at each tag, up to v0.32.2 (August 2026). What is not here: weaknesses that every usable pin is free of (before v0.13),
//! of Windows, and of clients that attack the daemon, which here is their own.

use std::fmt;

use super::Version;

/// Who would have to be hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attacker {
    /// The image that reads the Dockerfile. It speaks to BuildKit in ways that no Dockerfile can.
    Frontend,
    /// The Dockerfile, what its RUN starts, or a base image.
    Build,
}

impl Attacker {
    const fn name(self) -> &'static str {
        match self {
            Self::Frontend => "a hostile frontend",
            Self::Build => "a hostile Dockerfile or base image",
        }
    }
}

/// A known weakness.
#[derive(Debug, PartialEq, Eq)]
pub struct Advisory {
    /// What it is called, where one reads more about it.
    pub id: &'static str,
    /// Who can use it.
    pub attacker: Attacker,
    /// What the attacker can do, as the end of a sentence that begins with who it is.
    pub what: &'static str,
    /// The first version of BuildKit that has it, where it is not all of them.
    pub introduced: Option<Version>,
    /// The first version of BuildKit that is free of it; for runc, the first whose image brings a runc that is.
    pub fixed: Version,
}

impl Advisory {
    /// Whether a version has it.
    #[must_use]
    pub fn affects(&self, version: Version) -> bool {
        version < self.fixed && self.introduced.is_none_or(|introduced| version >= introduced)
    }
}

impl fmt::Display for Advisory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {} (fixed in {})", self.id, self.attacker.name(), self.what, self.fixed)
    }
}

/// All of them, the newest first.
pub const ADVISORIES: [Advisory; 9] = [
    Advisory {
        id: "GHSA-32pv-7hq5-qhwq",
        attacker: Attacker::Frontend,
        what: "can have the contents of BuildKit's /tmp removed",
        introduced: None,
        fixed: Version::new(0, 31, 2),
    },
    Advisory {
        id: "GHSA-hw3h-2gp9-cxpv",
        attacker: Attacker::Frontend,
        what: "can have BuildKit run commands with a git bundle as the source",
        introduced: Some(Version::new(0, 30, 0)),
        fixed: Version::new(0, 31, 2),
    },
    Advisory {
        id: "GHSA-qx3x-mv6r-52p6",
        attacker: Attacker::Frontend,
        what: "can crash BuildKit",
        introduced: None,
        fixed: Version::new(0, 31, 2),
    },
    Advisory {
        id: "GHSA-7236-3392-c5c6",
        attacker: Attacker::Frontend,
        what: "can turn seccomp and AppArmor off for the containers of a build",
        introduced: None,
        fixed: Version::new(0, 31, 1),
    },
    Advisory {
        id: "GHSA-72x6-4j93-7w86",
        attacker: Attacker::Build,
        what: "can use up BuildKit's memory with a large /etc/group",
        introduced: None,
        fixed: Version::new(0, 31, 1),
    },
    Advisory {
        id: "CVE-2026-41579 (runc)",
        attacker: Attacker::Build,
        what: "has a little write access to the host through a link in the place of /dev",
        introduced: None,
        fixed: Version::new(0, 31, 0),
    },
    Advisory {
        id: "GHSA-4c29-8rgm-jvjj",
        attacker: Attacker::Frontend,
        what: "can write files outside of BuildKit's state directory",
        introduced: None,
        fixed: Version::new(0, 28, 1),
    },
    Advisory {
        id: "GHSA-4vrq-3vrq-g6gg",
        attacker: Attacker::Build,
        what: "can read files outside of a git repository that it names as a source",
        introduced: None,
        fixed: Version::new(0, 28, 1),
    },
    Advisory {
        id: "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881 (runc)",
        attacker: Attacker::Build,
        what: "can break out of the containers of RUN by writing to files of /proc",
        introduced: None,
        fixed: Version::new(0, 25, 2),
    },
];

/// The weaknesses of a version, the newest first. Where the version is not known, all that a version could have.
pub fn advisories_for(version: Option<Version>) -> impl Iterator<Item = &'static Advisory> {
    ADVISORIES.iter().filter(move |advisory| version.is_none_or(|version| advisory.affects(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(version: &str) -> Vec<&'static str> {
        advisories_for(Version::parse(version)).map(|advisory| advisory.id).collect()
    }

    #[test]
    fn a_version_has_what_a_later_one_mended() {
        assert_eq!(ids("v0.19.0").len(), ADVISORIES.len() - 1, "git bundles came with v0.30");
        assert!(ids("v0.25.1").contains(&"CVE-2025-31133, CVE-2025-52565, CVE-2025-52881 (runc)"));
        assert!(!ids("v0.25.2").contains(&"CVE-2025-31133, CVE-2025-52565, CVE-2025-52881 (runc)"));
        assert!(ids("v0.28.0").contains(&"GHSA-4c29-8rgm-jvjj"));
        assert!(!ids("v0.28.1").contains(&"GHSA-4c29-8rgm-jvjj"));
        assert!(ids("v0.31.0").contains(&"GHSA-7236-3392-c5c6"));
        assert_eq!(ids("v0.31.1"), ["GHSA-32pv-7hq5-qhwq", "GHSA-hw3h-2gp9-cxpv", "GHSA-qx3x-mv6r-52p6"]);
        assert_eq!(ids("v0.31.2"), Vec::<&str>::new());
        assert_eq!(ids("v0.32.2"), Vec::<&str>::new());
    }

    #[test]
    fn who_is_not_known_may_have_all() {
        assert_eq!(advisories_for(None).count(), ADVISORIES.len());
    }

    #[test]
    fn the_newest_come_first() {
        assert!(ADVISORIES.windows(2).all(|pair| pair[0].fixed >= pair[1].fixed));
    }

    #[test]
    fn an_advisory_reads_as_a_sentence() {
        let advisory = ADVISORIES.iter().find(|advisory| advisory.id == "GHSA-7236-3392-c5c6").unwrap();
        assert_eq!(
            advisory.to_string(),
            "GHSA-7236-3392-c5c6: a hostile frontend can turn seccomp and AppArmor off for the containers of a build (fixed in v0.31.1)"
        );
    }
}
