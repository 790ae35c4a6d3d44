//! What may be other in the second build.

use serde::Serialize;

/// A condition of a build that its image must not depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Variation {
    /// The builder: a fresh one, with nothing kept.
    State,
    /// The path of the context.
    Path,
    /// Modification times of the context's files.
    Times,
    /// The order in which the names of a directory were made.
    Order,
    /// Modes of the context's files.
    Umask,
    /// Time zone and language of whoever builds.
    Zone,
    /// The runtime, where a second one works.
    Runtime,
}

impl Variation {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::State, Self::Path, Self::Times, Self::Order, Self::Umask, Self::Zone, Self::Runtime];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Path => "path",
            Self::Times => "times",
            Self::Order => "order",
            Self::Umask => "umask",
            Self::Zone => "zone",
            Self::Runtime => "runtime",
        }
    }

    /// What the further builds have, in a few words.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::State => "A fresh builder: no cache, nothing downloaded",
            Self::Path => "The context at another path, which its other changes need as well",
            Self::Times => "Files of the context as new as of a fresh checkout",
            Self::Order => "The names of each directory made in the opposite order",
            Self::Umask => "Files of the context with the modes of a checkout under another umask",
            Self::Zone => "Another time zone and language in the environment",
            Self::Runtime => "Another runtime, where a second one works and none was asked for",
        }
    }

    /// Whether it needs another copy of the context.
    #[must_use]
    pub const fn is_of_context(self) -> bool {
        matches!(self, Self::Path | Self::Times | Self::Order | Self::Umask)
    }
}

/// What stays as it is in every build, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotVaried {
    /// Its name.
    pub what: &'static str,
    /// Why.
    pub why: String,
}

/// What cannot be other here, whatever is asked for.
#[must_use]
pub fn never_varied() -> Vec<NotVaried> {
    let fixed = [
        ("clock", "BuildKit gives RUN this machine's clock: only the time between the builds differs, 2 s or more"),
        ("kernel", "all builds run on this machine: its kernel, processor and file systems stay"),
        ("hostname", "BuildKit gives RUN a host name of its own, the same in every build"),
    ];
    fixed.into_iter().map(|(what, why)| NotVaried { what, why: why.to_owned() }).collect()
}
