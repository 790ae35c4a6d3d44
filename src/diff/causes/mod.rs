//! Causes: why something differs, and what to do about it. One small file a cause.
//!
//! A cause is a function from one difference, with all that stands around it, to a [`Claim`] or nothing. It has no state and
//! sees nothing but values, so it can be tried on any pair of images. "Nothing" is an honest answer: what no cause explains is
//! told as unknown, and a wrong cause is worse than none.
//!
//! To add one: a file with a `pub const CAUSE: Cause`, a `mod` line here, a line in [`TIERS`], a section in
//! `docs/sources-of-nondeterminism.md`, a line in each table of `tests.rs`, and a case in `tests/lab/causes`.
//!
//! What a cause may look at is in [`Place`]: the entry with the facts of both sides and what was found inside of its content,
//! the layer with its instruction, the platform with the dates of both images. Differences that are ignored never get here. An
//! entry with several differences (its mtime *and* its content) asks once for each of them.
//!
//! Causes stand in tiers: what carries files or decides all bytes first, then what is known by its path, then what is seen in
//! the content, then guesses. A tier that explains a difference wholly ends the search: a log with times in it is a log.

use super::model::Confidence;

pub use self::findings::Findings;
pub use self::place::{Level, Place};

MODS
/// The causes, in the order in which they are asked.
const TIERS: &[Tier] = &[
TIERS
];

/// Causes that are asked together.
struct Tier {
    /// Whether only the surest, and of several the first, is heard.
    takes_one: bool,
    causes: &'static [Cause],
}

/// All causes.
pub fn all() -> impl Iterator<Item = Cause> {
    TIERS.iter().flat_map(|tier| tier.causes).copied()
}

/// Why something differs.
#[derive(Clone, Copy)]
pub struct Cause {
    /// Its name in reports, in kebab-case. It never changes.
    pub id: &'static str,
    /// Whether this is why the difference at a place is there.
    pub explain: fn(&Place<'_>) -> Option<Claim>,
}

/// What a cause says of a difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// How sure it is.
    pub confidence: Confidence,
    /// Whether it explains all of the difference. One that explains a part of a file's content leaves the rest to others, and
    /// the difference counts as explained only where some cause explains all of it.
    pub is_whole: bool,
    /// Whether the difference only follows from another one, which has a cause of its own.
    pub is_consequence: bool,
    /// What happened. Claims with the same words and the same fix become one finding, so this names no single path.
    pub explanation: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl Claim {
    /// A claim that explains all of a difference.
    #[must_use]
    pub fn new(confidence: Confidence, explanation: &str) -> Self {
        Self { confidence, is_whole: true, is_consequence: false, explanation: explanation.to_owned(), fix: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn fix(mut self, fix: &str) -> Self {
        self.fix = Some(fix.to_owned());
        self
    }

    /// As something that follows from another difference.
    #[must_use]
    pub const fn consequence(mut self) -> Self {
        self.is_consequence = true;
        self
    }

    /// As one that explains a part, unless this holds.
    #[must_use]
    pub const fn whole_if(mut self, is_whole: bool) -> Self {
        self.is_whole = is_whole;
        self
    }
}

/// What the causes say of a difference, the surest first.
fn ask(place: &Place<'_>) -> Vec<(&'static str, Claim)> {
    let mut heard: Vec<(&'static str, Claim)> = Vec::new();
    for tier in TIERS {
        let mut claims: Vec<_> =
            tier.causes.iter().filter_map(|cause| Some((cause.id, (cause.explain)(place)?))).collect();
        claims.sort_by_key(|(_, claim)| claim.confidence);
        if tier.takes_one {
            claims.truncate(1);
        }
        let ends = claims.iter().any(|(_, claim)| claim.is_whole && claim.confidence < Confidence::Low);
        heard.extend(claims);
        if ends {
            break;
        }
    }
    // A guess beside something that is known is noise.
    if heard.iter().any(|(_, claim)| claim.is_whole && claim.confidence < Confidence::Low) {
        heard.retain(|(_, claim)| claim.confidence < Confidence::Low);
    }
    heard.sort_by_key(|(_, claim)| claim.confidence);
    heard
}
