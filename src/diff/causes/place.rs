//! A difference, with all that stands around it.

use std::cell::OnceCell;

use super::around::Around;
use super::lines::Lines;
use super::path;
use super::step::Step;
use crate::diff::content::Content;
use crate::diff::model::{Confidence, Difference, EntryDifference, Kind, LayerPair, PlatformPair, Text};

/// On which level something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The indexes.
    Index,
    /// Statements about the images.
    Attestation,
    /// The manifests.
    Manifest,
    /// The configs.
    Config,
    /// Layers as a whole.
    Layer,
    /// An entry of a layer.
    Entry,
}

/// A difference, and where it is.
#[derive(Debug)]
pub struct Place<'a> {
    /// The level.
    pub level: Level,
    /// The difference.
    pub difference: &'a Difference,
    /// The images that it is in, from [`Level::Manifest`] on.
    pub platform: Option<&'a PlatformPair>,
    /// The layers that it is in, from [`Level::Layer`] on.
    pub layer: Option<&'a LayerPair>,
    /// The entry, for [`Level::Entry`].
    pub entry: Option<&'a EntryDifference>,
    /// What is known of the other entries of the layer; little, while the layer is still read.
    pub around: &'a Around,
    lines: OnceCell<Option<Lines>>,
}

impl<'a> Place<'a> {
    /// A difference in a document.
    #[must_use]
    pub fn of_document(
        level: Level,
        difference: &'a Difference,
        platform: Option<&'a PlatformPair>,
        around: &'a Around,
    ) -> Self {
        Self { level, difference, platform, layer: None, entry: None, around, lines: OnceCell::new() }
    }

    /// A difference of a layer, or of an entry in it.
    #[must_use]
    pub fn in_layer(
        difference: &'a Difference,
        platform: &'a PlatformPair,
        layer: &'a LayerPair,
        entry: Option<&'a EntryDifference>,
        around: &'a Around,
    ) -> Self {
        let level = if entry.is_some() { Level::Entry } else { Level::Layer };
        Self { level, difference, platform: Some(platform), layer: Some(layer), entry, around, lines: OnceCell::new() }
    }

    /// The JSON pointer, the key of a record or the name of a member; empty where there is none.
    #[must_use]
    pub fn pointer(&self) -> &str {
        self.difference.place.as_ref().and_then(Text::as_str).unwrap_or_default()
    }

    /// The path of the entry; empty where there is none.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.entry.map(|entry| entry.path.bytes.as_slice()).unwrap_or_default()
    }

    /// What kind of step made the layer.
    #[must_use]
    pub fn step(&self) -> Step<'a> {
        Step::of(self.layer.and_then(|layer| layer.instruction.as_ref()))
    }

    /// The words of the step that made the layer.
    #[must_use]
    pub fn instruction(&self) -> Option<&'a str> {
        self.layer?.instruction.as_ref()?.text.as_str()
    }

    /// Whether a file differs in what it holds, a link in where it leads to, or only one side has it.
    #[must_use]
    pub fn content_differs(&self) -> bool {
        self.level == Level::Entry
            && matches!(self.difference.kind, Kind::Content | Kind::Missing | Kind::Link | Kind::Type)
    }

    /// How well the path of what differs in its content fits one of these.
    #[must_use]
    pub fn content_at(&self, patterns: &[&str]) -> Option<Confidence> {
        if self.content_differs() { path::fits(self.path(), patterns) } else { None }
    }

    /// What was found inside of the content.
    #[must_use]
    pub fn content(&self) -> Option<&'a Content> {
        self.entry.and_then(|entry| entry.content.as_ref()).filter(|_| self.content_differs())
    }

    /// The lines of a unified diff of the content; none where it is no text.
    #[must_use]
    pub fn text(&self) -> &'a [Text] {
        self.content().map(|content| content.lines.as_slice()).unwrap_or_default()
    }

    /// How the lines of a text differ, the target of a link being one line.
    #[must_use]
    pub fn lines(&self) -> Option<&Lines> {
        let read = || {
            if self.difference.kind == Kind::Link {
                let (a, b) = (self.difference.a.as_ref()?, self.difference.b.as_ref()?);
                return Some(Lines::of_line(&a.bytes, &b.bytes));
            }
            let content = self.content().filter(|content| !content.lines.is_empty())?;
            let mut lines = Lines::parse(&content.lines, content.more_lines);
            lines.is_reordered |= content.is_reordered;
            Some(lines)
        };
        self.lines.get_or_init(read).as_ref()
    }

    /// Whether moving words of whatever kind are all by which the lines differ.
    #[must_use]
    pub fn all_words_known(&self) -> bool {
        super::inside::all_words_known(self)
    }

    /// Whether the name of a file looks as if a hash of its content stood in it: between dots or dashes, in front of its ending.
    #[must_use]
    pub fn is_named_by_hash(&self) -> bool {
        let name = path::name(self.path());
        let parts: Vec<&[u8]> = name.split(|byte| b".-_".contains(byte)).collect();
        let is_hash = |part: &&[u8]| {
            part.len() >= 8 && part.iter().all(u8::is_ascii_alphanumeric) && part.iter().any(u8::is_ascii_digit)
        };
        path::hash_in_name(self.path()).is_some()
            || parts.len() >= 2
                && parts.last().is_some_and(|end| path::BUNDLED.contains(end))
                && parts.iter().any(is_hash)
    }

    /// The modes of both sides.
    #[must_use]
    pub fn modes(&self) -> Option<(i64, i64)> {
        let entry = self.entry?;
        Some((entry.a.as_ref()?.mode, entry.b.as_ref()?.mode))
    }

    /// The targets of the mounts of RUN, without a slash in front.
    pub fn mount_targets(&self) -> impl Iterator<Item = &'a str> {
        self.mounts().filter_map(target)
    }

    /// The same for cache mounts alone.
    pub fn cache_targets(&self) -> impl Iterator<Item = &'a str> {
        self.mounts().filter(|mount| mount.split(',').any(|field| field == "type=cache")).filter_map(target)
    }

    /// What stands behind `--mount=` in RUN.
    pub fn mounts(&self) -> impl Iterator<Item = &'a str> {
        let text = self.instruction().unwrap_or_default();
        text.split_ascii_whitespace().filter_map(|word| word.strip_prefix("--mount="))
    }

    /// Where it is, in words that people find again.
    #[must_use]
    pub fn shown(&self) -> Text {
        match (self.entry, self.layer) {
            (Some(entry), _) => entry.path.clone(),
            (None, Some(layer)) => {
                let number = layer.a.as_ref().or(layer.b.as_ref()).map_or(0, |layer| layer.number);
                Text::from(format!("layer {number}"))
            }
            (None, None) => {
                let level = match self.level {
                    Level::Index => "index",
                    Level::Attestation => "attestation",
                    Level::Manifest => "manifest",
                    _ => "config",
                };
                Text::from(format!("{level} {}", self.pointer()))
            }
        }
    }
}

/// The target of a mount (`target`, `dst` or `destination`), without slashes around it.
fn target(mount: &str) -> Option<&str> {
    let names = ["target=", "dst=", "destination="];
    let target = mount.split(',').find_map(|field| names.iter().find_map(|name| field.strip_prefix(name)))?;
    Some(target.trim_matches('/'))
}
