//! Pairs of images with one thing in them that differs.

use super::super::around::Around;
use super::super::{Level, Place, ask};
use crate::diff::content::{Content, Format};
use crate::diff::entry::{EntryFacts, EntryType};
use crate::diff::model::{
    Confidence, Difference, EntryDifference, ImageRef, Instruction, Kind, LayerPair, LayerRef, PlatformPair, Relation,
    Text,
};
use crate::digest::Digest;
use crate::image::Platform;
use crate::image::media_type::Compression;
use crate::image::tar::Time;

const RUN: &str = "RUN something";

/// A pair of images with one layer and one thing in it that differs.
pub struct Pair {
    pub step: Instruction,
    pub path: Vec<u8>,
    pub difference: Difference,
    pub content: Option<Content>,
    pub a: Option<EntryFacts>,
    pub b: Option<EntryFacts>,
    pub others: Vec<EntryDifference>,
    pub config: Vec<Difference>,
    pub manifest: Vec<Difference>,
    pub created: [&'static str; 2],
    pub rewritten: [Option<&'static str>; 2],
    pub relation: Relation,
    pub occurrence: u32,
}

fn facts(path: &str, kind: EntryType) -> EntryFacts {
    EntryFacts::plain(path.as_bytes(), kind)
}

impl Pair {
    pub fn of(path: &str, difference: Difference) -> Self {
        Self {
            step: Self::instruction(RUN, true),
            path: path.as_bytes().to_vec(),
            difference,
            content: None,
            a: Some(facts(path, EntryType::File)),
            b: Some(facts(path, EntryType::File)),
            others: Vec::new(),
            config: Vec::new(),
            manifest: Vec::new(),
            created: ["2023-11-14T22:13:20Z"; 2],
            rewritten: [None; 2],
            relation: Relation::Different,
            occurrence: 0,
        }
    }

    pub fn instruction(text: &str, is_from_dockerfile: bool) -> Instruction {
        let file = is_from_dockerfile.then(|| Text::from("Dockerfile"));
        Instruction { file, first_line: Some(3), last_line: Some(3), text: Text::from(text) }
    }

    /// A file whose text differs by these lines.
    pub fn text(path: &str, lines: &[&str]) -> Self {
        let mut content = Content::for_test(Format::Text);
        content.lines = lines.iter().map(|line| Text::from(*line)).collect();
        Self { content: Some(content), ..Self::of(path, Difference::new(Kind::Content, "a", "b")) }
    }

    /// A file of a format in which these parts differ.
    pub fn parts(path: &str, format: Format, parts: &[(Kind, &str)]) -> Self {
        let mut content = Content::for_test(format);
        content.parts = parts.iter().map(|(kind, place)| Difference::new(*kind, "a", "b").at(*place)).collect();
        Self { content: Some(content), ..Self::of(path, Difference::new(Kind::Content, "a", "b")) }
    }

    /// Bytes that nobody understands.
    pub fn binary(path: &str) -> Self {
        Self::parts(path, Format::Binary, &[])
    }

    pub fn missing(path: &str) -> Self {
        let difference = Difference::of(Kind::Missing, Some("file".into()), None);
        Self { b: None, ..Self::of(path, difference) }
    }

    pub fn metadata(kind: Kind, a: &str, b: &str) -> Self {
        Self::of("srv/f", Difference::new(kind, a, b))
    }

    pub fn config(place: &str, a: Option<&str>, b: Option<&str>) -> Difference {
        Difference::of(Kind::Value, a.map(Text::from), b.map(Text::from)).at(place)
    }

    pub fn by(mut self, step: &str) -> Self {
        self.step = Self::instruction(step, true);
        self
    }

    pub fn without_dockerfile(mut self) -> Self {
        self.step.file = None;
        self
    }

    pub fn modes(mut self, a: i64, b: i64, kind: EntryType) -> Self {
        for (facts, mode) in [(&mut self.a, a), (&mut self.b, b)] {
            if let Some(facts) = facts {
                (facts.mode, facts.kind) = (mode, kind);
            }
        }
        self
    }

    pub fn times(mut self, a: i64, b: i64) -> Self {
        for (facts, seconds) in [(&mut self.a, a), (&mut self.b, b)] {
            if let Some(facts) = facts {
                facts.mtime = Time { seconds, nanos: 0 };
            }
        }
        self
    }

    pub fn kinds(mut self, a: EntryType, b: EntryType) -> Self {
        for (facts, kind) in [(&mut self.a, a), (&mut self.b, b)] {
            if let Some(facts) = facts {
                facts.kind = kind;
            }
        }
        self
    }

    #[expect(clippy::needless_pass_by_value, reason = "pairs are made where they are used")]
    pub fn beside(mut self, other: Self) -> Self {
        self.others.push(other.entry());
        self
    }

    pub fn entry(&self) -> EntryDifference {
        EntryDifference {
            path: Text::whole(&self.path),
            occurrence: self.occurrence,
            a: self.a.clone(),
            b: self.b.clone(),
            differences: vec![self.difference.clone()],
            content: self.content.clone(),
        }
    }

    pub fn images(&self) -> (PlatformPair, LayerPair) {
        let digest = Digest::of(b"layer");
        let side = |rewritten: Option<&str>| LayerRef {
            number: 1,
            digest: digest.clone(),
            diff_id: digest.clone(),
            compression: Compression::Gzip,
            size: 1,
            entries: 1,
            rewritten: rewritten.map(Text::from),
            created_by: None,
        };
        let mut entries = self.others.clone();
        entries.push(self.entry());
        let layer = LayerPair {
            relation: self.relation,
            a: Some(side(self.rewritten[0])),
            b: Some(side(self.rewritten[1])),
            instruction: Some(self.step.clone()),
            differences: Vec::new(),
            differing_entries: 1,
            ignored_entries: 0,
            ignored: std::collections::BTreeMap::new(),
            kinds: std::collections::BTreeMap::new(),
            entries,
        };
        let image = |created: &str| ImageRef { manifest: None, config: None, created: Some(Text::from(created)) };
        let platform = PlatformPair {
            platform: Platform::default(),
            a: Some(image(self.created[0])),
            b: Some(image(self.created[1])),
            manifest: self.manifest.clone(),
            config: self.config.clone(),
            layers: vec![layer.clone()],
        };
        (platform, layer)
    }

    /// What the causes say of the entry: their names, with what confidence, and whether all is explained.
    pub fn heard(&self) -> (Vec<(&'static str, Confidence)>, bool) {
        let (platform, layer) = self.images();
        let around = Around::of(&layer);
        let entry = self.entry();
        let claims = ask(&Place::in_layer(&self.difference, &platform, &layer, Some(&entry), &around));
        let is_whole = claims.iter().any(|(_, claim)| claim.is_whole);
        (claims.into_iter().map(|(id, claim)| (id, claim.confidence)).collect(), is_whole)
    }

    /// The same of the layer as a whole.
    pub fn of_layer(&self) -> Vec<&'static str> {
        let (platform, layer) = self.images();
        let around = Around::default();
        ask(&Place::in_layer(&self.difference, &platform, &layer, None, &around))
            .into_iter()
            .map(|(id, _)| id)
            .collect()
    }

    /// The same of a document.
    pub fn of_document(&self, level: Level) -> Vec<&'static str> {
        let (platform, _) = self.images();
        let around = Around::default();
        let place = Place::of_document(level, &self.difference, Some(&platform), &around);
        ask(&place).into_iter().map(|(id, _)| id).collect()
    }
}

impl Pair {
    pub fn added(path: &str) -> Self {
        let difference = Difference::of(Kind::Missing, None, Some("file".into()));
        Self { a: None, ..Self::of(path, difference) }
    }

    pub fn sized(mut self) -> Self {
        for facts in [&mut self.a, &mut self.b].into_iter().flatten() {
            facts.size = 100;
        }
        self
    }
}
