//! What moved the digest of an image from one release of BuildKit to another, with every option of the exporter said.
//!
//! Digests hold within a version. This table says which Dockerfiles they do not hold for between two; `make versions` holds
//! it against real builds. What only moves with options that this program always says, or never gives, is not in it.

use super::Version;
use crate::dockerfile::{Dockerfile, Instruction};

/// A release that gives some Dockerfiles another digest than the one before.
#[derive(Debug)]
pub struct Change {
    /// The first release that has it.
    pub version: Version,
    /// What is different, as a sentence without its full stop.
    pub what: &'static str,
    /// Where it was made.
    pub reference: &'static str,
    /// The instructions that show it.
    touches: fn(&Instruction) -> bool,
}

impl Change {
    /// Whether a Dockerfile has an instruction that shows it.
    #[must_use]
    pub fn touches(&self, dockerfile: &Dockerfile) -> bool {
        // What stands before the first stage is in no history.
        let first = dockerfile.stages.first().map_or(0, |stage| stage.instructions.start);
        dockerfile.instructions.iter().skip(first).any(self.touches)
    }
}

/// The changes, the oldest first.
pub const CHANGES: [Change; 3] = [
    Change {
        version: Version::new(0, 14, 0),
        what: "the history of an ARG in a stage has the value that the build was given, not only its name",
        reference: "moby/buildkit#4856",
        touches: |instruction| instruction.is("arg"),
    },
    Change {
        version: Version::new(0, 25, 0),
        what: "the history of EXPOSE is `EXPOSE [80/tcp]`, before it was `EXPOSE map[80/tcp:{}]`",
        reference: "moby/buildkit#6218",
        touches: |instruction| instruction.is("expose"),
    },
    Change {
        version: Version::new(0, 30, 0),
        what: "the history of HEALTHCHECK writes its command in another way",
        reference: "moby/buildkit#6664",
        touches: |instruction| instruction.is("healthcheck"),
    },
];

/// What moved after one version, up to another.
pub fn changes_between(from: Version, to: Version) -> impl Iterator<Item = &'static Change> {
    let (from, to) = (from.min(to), from.max(to));
    CHANGES.iter().filter(move |change| from < change.version && change.version <= to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(from: &str, to: &str, dockerfile: &str) -> Vec<&'static str> {
        let [from, to] = [from, to].map(|version| Version::parse(version).unwrap());
        let dockerfile = Dockerfile::parse(dockerfile.as_bytes()).unwrap();
        changes_between(from, to).filter(|change| change.touches(&dockerfile)).map(|change| change.reference).collect()
    }

    #[test]
    fn a_change_touches_what_has_its_instruction_on_either_side_of_it() {
        let text = "ARG BASE\nFROM $BASE\nEXPOSE 80\nhealthcheck NONE\n";
        assert_eq!(between("v0.19.0", "v0.31.1", text), ["moby/buildkit#6218", "moby/buildkit#6664"]);
        assert_eq!(
            between("v0.31.1", "v0.25.0", text),
            ["moby/buildkit#6664"],
            "the order of versions does not matter"
        );
        assert_eq!(between("v0.24.9", "v0.25.0", text), ["moby/buildkit#6218"]);
        assert_eq!(between("v0.13.2", "v0.19.0", text), Vec::<&str>::new(), "a global ARG is in no history");
        assert_eq!(between("v0.13.2", "v0.19.0", "FROM a\nARG B\n"), ["moby/buildkit#4856"]);
    }
}
