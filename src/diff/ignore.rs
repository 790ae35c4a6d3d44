//! What may be left out of account, in diffoci's words and with its meaning.
//!
//! Nothing is skipped while reading: a difference that is ignored is found, counted and told as ignored.

use serde::Serialize;

use super::model::{Difference, Kind};

/// A switch by which differences do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// The history of the config.
    IgnoreHistory,
    /// The order of the entries of a layer.
    IgnoreFileOrder,
    /// Bits of the mode beside permissions, setuid, setgid and the sticky bit: BuildKit stores the type there, too.
    IgnoreFileModeRedundantBits,
    /// Times of entries.
    IgnoreFileTimestamps,
    /// Dates of the config, of its history, and `org.opencontainers.image.created`.
    IgnoreImageTimestamps,
    /// Annotations that name the image.
    IgnoreImageName,
    /// In which form of tar an entry is stored.
    IgnoreTarFormat,
    /// `./` and `/` in front of paths.
    TreatCanonicalPathsEqual,
    /// What follows from all others: whoever ignores something inside of a blob has to ignore how its bytes are encoded.
    /// No flag of its own; diffoci ignores digests with each of its switches.
    Digests,
}

impl Switch {
    /// The flag without its dashes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IgnoreHistory => "ignore-history",
            Self::IgnoreFileOrder => "ignore-file-order",
            Self::IgnoreFileModeRedundantBits => "ignore-file-mode-redundant-bits",
            Self::IgnoreFileTimestamps => "ignore-file-timestamps",
            Self::IgnoreImageTimestamps => "ignore-image-timestamps",
            Self::IgnoreImageName => "ignore-image-name",
            Self::IgnoreTarFormat => "ignore-tar-format",
            Self::TreatCanonicalPathsEqual => "treat-canonical-paths-equal",
            Self::Digests => "digests",
        }
    }
}

/// What was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// By which switch.
    pub by: Switch,
    /// How many differences.
    pub differences: u64,
}

/// The switches that are on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ignore {
    /// [`Switch::IgnoreHistory`].
    pub history: bool,
    /// [`Switch::IgnoreFileOrder`].
    pub file_order: bool,
    /// [`Switch::IgnoreFileModeRedundantBits`].
    pub file_mode_redundant_bits: bool,
    /// [`Switch::IgnoreFileTimestamps`].
    pub file_timestamps: bool,
    /// [`Switch::IgnoreImageTimestamps`].
    pub image_timestamps: bool,
    /// [`Switch::IgnoreImageName`].
    pub image_name: bool,
    /// [`Switch::IgnoreTarFormat`].
    pub tar_format: bool,
    /// [`Switch::TreatCanonicalPathsEqual`].
    pub canonical_paths: bool,
}

impl Ignore {
    /// All switches: `--semantic`.
    pub const SEMANTIC: Self = Self {
        history: true,
        file_order: true,
        file_mode_redundant_bits: true,
        file_timestamps: true,
        image_timestamps: true,
        image_name: true,
        tar_format: true,
        canonical_paths: true,
    };

    /// The switches that are on, in a fixed order.
    #[must_use]
    pub fn switches(self) -> Vec<Switch> {
        let all = [
            (self.history, Switch::IgnoreHistory),
            (self.file_order, Switch::IgnoreFileOrder),
            (self.file_mode_redundant_bits, Switch::IgnoreFileModeRedundantBits),
            (self.file_timestamps, Switch::IgnoreFileTimestamps),
            (self.image_timestamps, Switch::IgnoreImageTimestamps),
            (self.image_name, Switch::IgnoreImageName),
            (self.tar_format, Switch::IgnoreTarFormat),
            (self.canonical_paths, Switch::TreatCanonicalPathsEqual),
        ];
        let mut switches: Vec<Switch> = all.into_iter().filter(|(is_on, _)| *is_on).map(|(_, switch)| switch).collect();
        if !switches.is_empty() {
            switches.push(Switch::Digests);
        }
        switches
    }

    /// The switch that takes out a difference between two entries, if one does.
    pub(super) fn of_entry(self, difference: &Difference) -> Option<Switch> {
        let place = difference.place.as_ref().map(|place| place.bytes.as_slice()).unwrap_or_default();
        match difference.kind {
            Kind::Mtime | Kind::Atime | Kind::Ctime => self.file_timestamps.then_some(Switch::IgnoreFileTimestamps),
            Kind::Record if matches!(place, b"mtime" | b"atime" | b"ctime") => {
                self.file_timestamps.then_some(Switch::IgnoreFileTimestamps)
            }
            Kind::TarFormat => self.tar_format.then_some(Switch::IgnoreTarFormat),
            Kind::Order => self.file_order.then_some(Switch::IgnoreFileOrder),
            _ => None,
        }
    }

    /// The switch that takes out how bytes are encoded, if any is on.
    pub(super) fn of_encoding(self) -> Option<Switch> {
        (self != Self::default()).then_some(Switch::Digests)
    }

    /// The switch that takes out an annotation, if one does.
    pub(super) fn of_annotation(self, key: &str) -> Option<Switch> {
        match key {
            "org.opencontainers.image.created" => self.image_timestamps.then_some(Switch::IgnoreImageTimestamps),
            "io.containerd.image.name" | "org.opencontainers.image.ref.name" => {
                self.image_name.then_some(Switch::IgnoreImageName)
            }
            _ => None,
        }
    }
}
