//! The tree of differences: what was compared, what differs in it, and why.
//!
//! The tree is what is printed: [`crate::report`] only renders it. Texts from inside the images are kept as the bytes that they
//! are and escaped when they are written ([`Text`]). Everything is in the order of the images or sorted, never in that of a
//! hash table: one pair of images gives one report, byte for byte.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::content::Content;
use super::entry::EntryFacts;
use super::ignore::{Ignored, Switch};
use crate::digest::Digest;
use crate::image::escape::escape_bytes;
use crate::image::media_type::Compression;
use crate::image::{Container, Form, Platform};
use crate::limits;

/// The name and version of the JSON form. See `docs/schema/diff.v1.json`.
pub const SCHEMA: &str = "repro.diff.v1";

/// Bytes from inside an image. They are escaped where they are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text {
    /// The bytes, at most [`limits::DIFF_TEXT_BYTES`] of a value; paths are whole.
    pub bytes: Vec<u8>,
    /// How many bytes were left out behind them.
    pub cut: u64,
}

impl Text {
    /// All of a path or a name.
    #[must_use]
    pub fn whole(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), cut: 0 }
    }

    /// The start of a value that may be long.
    #[must_use]
    pub fn value(bytes: &[u8]) -> Self {
        let end = bytes.len().min(limits::DIFF_TEXT_BYTES);
        Self { bytes: bytes[..end].to_vec(), cut: (bytes.len() - end) as u64 }
    }

    /// The bytes as text, where they are text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::value(text.as_bytes())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::value(text.as_bytes())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape_bytes(&self.bytes))?;
        if self.cut == 0 { Ok(()) } else { write!(f, "… ({} bytes more)", self.cut) }
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Two images, compared.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// What came out.
    pub verdict: Verdict,
    /// The outermost level that is equal.
    pub equal: EqualLevel,
    /// The first image.
    pub a: Side,
    /// The second image.
    pub b: Side,
    /// The platform that alone was compared, where one was asked for.
    pub platform: Option<Platform>,
    /// What was asked not to count, and how many differences that were.
    pub ignored: Vec<Ignored>,
    /// How much differs, and how much of that has a cause.
    pub summary: Summary,
    /// Why it differs; what explains most comes first.
    pub findings: Vec<Finding>,
    /// Names and dates around the image. No part of it: they never count.
    pub archive: Vec<Difference>,
    /// The indexes.
    pub index: Vec<Difference>,
    /// Statements about the images, and how the index refers to them.
    pub attestations: Vec<Difference>,
    /// The images, by platform.
    pub platforms: Vec<PlatformPair>,
    /// What else has to be known to read this.
    pub notes: Vec<String>,
}

/// What a comparison came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The images have one digest: they are the same, bit for bit.
    Identical,
    /// All that both have is equal, but at least one side has no manifest: config and layers were compared.
    Equal,
    /// Equal only because something was ignored.
    EqualIgnoring,
    /// The manifests are equal; the index differs by attestations only.
    AttestationsOnly,
    /// They differ.
    Different,
}

impl Verdict {
    /// Whether it stands for success.
    #[must_use]
    pub const fn is_equal(self) -> bool {
        matches!(self, Self::Identical | Self::Equal | Self::EqualIgnoring)
    }
}

/// How far up two images are equal, by verified digests alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EqualLevel {
    /// The digest that a registry shows.
    Image,
    /// All manifests.
    Manifest,
    /// All configs, thus all contents of all layers.
    Config,
    /// The contents of all layers.
    Layers,
    /// None of these.
    None,
}

/// One of the two images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// What the user called it.
    pub name: Text,
    /// The digest that a registry shows; none without a manifest, or of several images side by side.
    pub digest: Option<Digest>,
    /// How it is laid out.
    pub form: Form,
    /// Where it was read from.
    pub container: Container,
}

/// How much differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Differences that count, on all levels.
    pub differences: u64,
    /// Of these, those that a cause explains.
    pub explained: u64,
    /// Entries of layers that differ.
    pub entries: u64,
    /// Of these, those of which all differences are explained.
    pub explained_entries: u64,
    /// Differences that are not those of an entry.
    pub others: u64,
    /// Of these, those that a cause explains.
    pub explained_others: u64,
    /// Entries that differ and are counted, but not told one by one.
    pub entries_left_out: u64,
}

/// A cause that was found, with all that it explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The cause, such as `mtime`.
    pub id: &'static str,
    /// How sure this is.
    pub confidence: Confidence,
    /// Whether it only follows from something else that differs, and has a cause of its own there.
    pub is_consequence: bool,
    /// What happened, in one or two sentences.
    pub explanation: String,
    /// What to do about it.
    pub fix: Option<String>,
    /// Entries of which it explains some difference.
    pub entries: u64,
    /// Differences that it explains, on all levels.
    pub differences: u64,
    /// The instructions that made what differs, each once.
    pub instructions: Vec<Instruction>,
    /// The first few places.
    pub places: Vec<Text>,
}

/// How sure a cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The bytes prove it.
    High,
    /// Hardly anything else does this.
    Medium,
    /// A guess, worth a look.
    Low,
}

/// What kind of difference it is. What is compared is in `a` and `b` of the [`Difference`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A value in a JSON document, at a JSON pointer.
    Value,
    /// A JSON document with the same values in other bytes.
    Encoding,
    /// What only one side has: the other value is none.
    Missing,
    /// A digest of what cannot be looked into.
    Digest,
    /// The same tar, compressed into other bytes.
    Compression,
    /// What comes in another order.
    Order,
    /// Bytes behind the last entry of a tar.
    Tail,
    /// Other bytes, and nothing else was found.
    OtherBytes,
    /// The type of an entry: file, directory, hard link, …
    Type,
    /// Permissions, in octal.
    Mode,
    /// The number of the owner.
    Uid,
    /// The number of the group.
    Gid,
    /// The name of the owner.
    Uname,
    /// The name of the group.
    Gname,
    /// When the content was changed.
    Mtime,
    /// When it was read.
    Atime,
    /// When the inode was changed.
    Ctime,
    /// A PAX record, such as an extended attribute, at its key.
    Record,
    /// Where a link leads to.
    Link,
    /// The numbers of a device.
    Device,
    /// The content of a file, by its size and digest.
    Content,
    /// The same path, written in another way.
    Spelling,
    /// The same entry in another form of tar.
    TarFormat,
    /// The version of a package.
    Package,
}

impl Kind {
    /// The word for it, as in the JSON form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Encoding => "encoding",
            Self::Missing => "missing",
            Self::Digest => "digest",
            Self::Compression => "compression",
            Self::Order => "order",
            Self::Tail => "tail",
            Self::OtherBytes => "other-bytes",
            Self::Type => "type",
            Self::Mode => "mode",
            Self::Uid => "uid",
            Self::Gid => "gid",
            Self::Uname => "uname",
            Self::Gname => "gname",
            Self::Mtime => "mtime",
            Self::Atime => "atime",
            Self::Ctime => "ctime",
            Self::Record => "record",
            Self::Link => "link",
            Self::Device => "device",
            Self::Content => "content",
            Self::Spelling => "spelling",
            Self::TarFormat => "tar-format",
            Self::Package => "package",
        }
    }
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What kind of thing.
    pub kind: Kind,
    /// Which one: a JSON pointer, the key of a record, a member of an archive.
    pub place: Option<Text>,
    /// On the first side; none where it has none.
    pub a: Option<Text>,
    /// On the second side; none where it has none.
    pub b: Option<Text>,
    /// The switch by which it does not count.
    pub ignored_by: Option<Switch>,
    /// The causes that explain it, the surest first.
    pub causes: Vec<&'static str>,
}

impl Difference {
    /// Two values.
    pub fn new(kind: Kind, a: impl Into<Text>, b: impl Into<Text>) -> Self {
        Self { kind, place: None, a: Some(a.into()), b: Some(b.into()), ignored_by: None, causes: Vec::new() }
    }

    /// Two values, of which one may not be there.
    #[must_use]
    pub const fn of(kind: Kind, a: Option<Text>, b: Option<Text>) -> Self {
        Self { kind, place: None, a, b, ignored_by: None, causes: Vec::new() }
    }

    /// The same at a place.
    #[must_use]
    pub fn at(mut self, place: impl Into<Text>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// The same, not counted because of this switch, if there is one.
    #[must_use]
    pub const fn ignored(mut self, switch: Option<Switch>) -> Self {
        self.ignored_by = switch;
        self
    }

    /// Whether it counts.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.ignored_by.is_none()
    }
}

/// The images of both sides for one platform.
#[derive(Debug, Clone, Serialize)]
pub struct PlatformPair {
    /// The platform.
    pub platform: Platform,
    /// The image of the first side.
    pub a: Option<ImageRef>,
    /// The image of the second side.
    pub b: Option<ImageRef>,
    /// What differs in the manifests beside config and layers, and in how the indexes refer to them.
    pub manifest: Vec<Difference>,
    /// What differs in the configs beside the diff IDs.
    pub config: Vec<Difference>,
    /// The layers of both, lowest first.
    pub layers: Vec<LayerPair>,
}

/// An image for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageRef {
    /// The digest of its manifest; none in Docker's archives without manifests.
    pub manifest: Option<Digest>,
    /// The digest of its config; none where the image itself was left out.
    pub config: Option<Digest>,
    /// When it was made, in RFC 3339, by the config.
    pub created: Option<Text>,
}

/// How two layers relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// One digest, verified: not looked into.
    Same,
    /// One diff ID under two digests: the same contents, compressed in other ways.
    CompressionOnly,
    /// Other contents.
    Different,
    /// The second side has no such layer.
    OnlyA,
    /// The first side has no such layer.
    OnlyB,
}

/// A layer of each side.
#[derive(Debug, Clone, Serialize)]
pub struct LayerPair {
    /// How they relate.
    pub relation: Relation,
    /// The layer of the first side.
    pub a: Option<LayerRef>,
    /// The layer of the second side.
    pub b: Option<LayerRef>,
    /// What made it.
    pub instruction: Option<Instruction>,
    /// What differs in the layers as a whole: descriptors, order, form.
    pub differences: Vec<Difference>,
    /// How many entries differ.
    pub differing_entries: u64,
    /// Of these, those of which all that differs is ignored.
    pub ignored_entries: u64,
    /// How many entries differ in what.
    pub kinds: BTreeMap<&'static str, u64>,
    /// How many differences between entries are ignored, and by which switch.
    #[serde(skip)]
    pub ignored: BTreeMap<Switch, u64>,
    /// The entries that differ, sorted by path; not all where there are very many.
    pub entries: Vec<EntryDifference>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerRef {
    /// Its number in the image, counted from 0.
    pub number: usize,
    /// The digest of the blob.
    pub digest: Digest,
    /// The digest of the tar inside.
    pub diff_id: Digest,
    /// How the blob is compressed.
    pub compression: Compression,
    /// The size of the blob, in bytes.
    pub size: u64,
    /// How many entries it has.
    pub entries: u64,
    /// The epoch to which BuildKit says that it rewrote the times, in seconds since 1970.
    pub rewritten: Option<Text>,
    /// The step of the history that made it.
    pub created_by: Option<Text>,
}

/// What made a layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Instruction {
    /// The Dockerfile, where one was given and holds the instruction.
    pub file: Option<Text>,
    /// The first line there, counted from 1.
    pub first_line: Option<usize>,
    /// The last line there.
    pub last_line: Option<usize>,
    /// The instruction as it is written there, otherwise the words of the history.
    pub text: Text,
}

/// An entry of a layer that differs.
#[derive(Debug, Clone, Serialize)]
pub struct EntryDifference {
    /// The path, without `./` or `/` in front and without `/` behind.
    pub path: Text,
    /// Which one of that path, counted from 0: a layer may hold several.
    pub occurrence: u32,
    /// All that is known of the entry of the first side.
    pub a: Option<EntryFacts>,
    /// All that is known of the entry of the second side.
    pub b: Option<EntryFacts>,
    /// What differs. [`Kind::Missing`] alone where one side has no such entry.
    pub differences: Vec<Difference>,
    /// What was found inside, where the contents differ and were looked into.
    pub content: Option<Content>,
}

impl EntryDifference {
    /// Whether anything of it counts.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.differences.iter().any(Difference::counts)
    }

    /// What differs of this kind, where that counts.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(move |difference| difference.kind == kind && difference.counts())
    }
}
