//! Causes: why something differs, and what to do about it. One small file a cause.
//!
//! A cause is a function from one difference, with all that stands around it, to a [`Claim`] or nothing. It has no state and
//! sees nothing but values, so it can be tried on any pair of images. "Nothing" is an honest answer: what no cause explains is
//! told as unknown, and a wrong cause is worse than none.
//!
//! To add one: a file with a `pub const CAUSE: Cause`, a `mod` line here, and a line in [`CAUSES`]. The order there decides
//! nothing but ties.
//!
//! What a cause may look at is in [`Place`]: the entry with the facts of both sides and what was found inside of its content,
//! the layer with its instruction, the platform with the dates of both images. Differences that are ignored never get here. An
//! entry with several differences (its mtime *and* its content) asks once for each of them.

mod created;
mod mtime;

use std::collections::{BTreeMap, BTreeSet};

use super::model::{
    Comparison, Confidence, Difference, EntryDifference, Finding, Instruction, LayerPair, PlatformPair, Summary, Text,
};
use crate::limits;

/// All causes.
const CAUSES: [Cause; 2] = [mtime::CAUSE, created::CAUSE];

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
    /// What happened. Claims with the same words and the same fix become one finding, so this names no single path.
    pub explanation: String,
    /// What to do about it.
    pub fix: Option<String>,
}

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
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The level.
    pub level: Level,
    /// The difference.
    pub difference: &'a Difference,
    /// The images that it is in, from [`Level::Manifest`] on.
    pub platform: Option<&'a PlatformPair>,
    /// The layers that it is in, from [`Level::Layer`] on. While layers are read, their lists of entries are not there yet.
    pub layer: Option<&'a LayerPair>,
    /// The entry, for [`Level::Entry`].
    pub entry: Option<&'a EntryDifference>,
}

impl Place<'_> {
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

    /// Where it is, in words that people find again.
    fn shown(&self) -> Text {
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

/// What is the same in all differences of a finding.
type Key = (&'static str, Confidence, String, Option<String>);

/// Findings while they are collected.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: BTreeMap<Key, Collected>,
    summary: Summary,
}

#[derive(Debug, Default)]
struct Collected {
    entries: u64,
    differences: u64,
    instructions: BTreeSet<Instruction>,
    places: Vec<Text>,
}

impl Findings {
    /// Asks all causes about one difference; gives the names of those that explain it, and whether all of it is explained.
    fn difference(&mut self, place: &Place<'_>, keys: &mut BTreeSet<Key>) -> (Vec<&'static str>, bool) {
        let mut claims: Vec<(&'static str, Claim)> =
            CAUSES.iter().filter_map(|cause| Some((cause.id, (cause.explain)(place)?))).collect();
        claims.sort_by_key(|(_, claim)| claim.confidence);
        let is_explained = claims.iter().any(|(_, claim)| claim.is_whole);
        self.summary.differences += 1;
        self.summary.explained += u64::from(is_explained);
        if place.entry.is_none() {
            self.summary.others += 1;
            self.summary.explained_others += u64::from(is_explained);
        }
        let mut ids = Vec::new();
        for (id, claim) in claims {
            let key = (id, claim.confidence, claim.explanation, claim.fix);
            let collected = self.found.entry(key.clone()).or_default();
            collected.differences += 1;
            if keys.insert(key) {
                if collected.places.len() < limits::DIFF_PLACES {
                    collected.places.push(place.shown());
                }
                let made_by = place.layer.and_then(|layer| layer.instruction.as_ref());
                if collected.instructions.len() < limits::DIFF_PLACES {
                    collected.instructions.extend(made_by.cloned());
                }
                collected.entries += u64::from(place.entry.is_some());
            }
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        (ids, is_explained)
    }

    /// Asks about all differences of an entry; gives the names of the causes for each that counts, in order.
    pub(super) fn entry(
        &mut self,
        platform: &PlatformPair,
        layer: &LayerPair,
        entry: &EntryDifference,
    ) -> Vec<Vec<&'static str>> {
        let mut keys = BTreeSet::new();
        let (mut causes, mut all) = (Vec::new(), true);
        for difference in entry.differences.iter().filter(|difference| difference.counts()) {
            let place = Place {
                level: Level::Entry,
                difference,
                platform: Some(platform),
                layer: Some(layer),
                entry: Some(entry),
            };
            let (ids, is_explained) = self.difference(&place, &mut keys);
            causes.push(ids);
            all &= is_explained;
        }
        if !causes.is_empty() {
            self.summary.entries += 1;
            self.summary.explained_entries += u64::from(all);
        }
        causes
    }

    fn list(
        &mut self,
        level: Level,
        platform: Option<&PlatformPair>,
        layer: Option<&LayerPair>,
        list: &[Difference],
    ) -> Vec<Vec<&'static str>> {
        let counting = list.iter().filter(|difference| difference.counts());
        counting
            .map(|difference| {
                let place = Place { level, difference, platform, layer, entry: None };
                self.difference(&place, &mut BTreeSet::new()).0
            })
            .collect()
    }

    /// Asks about everything in a comparison but the entries that were left out of it, which were asked about before.
    pub(super) fn conclude(mut self, comparison: &mut Comparison) {
        let causes = self.list(Level::Index, None, None, &comparison.index);
        assign(&mut comparison.index, causes);
        let causes = self.list(Level::Attestation, None, None, &comparison.attestations);
        assign(&mut comparison.attestations, causes);
        for pair in &mut comparison.platforms {
            let causes = self.list(Level::Manifest, Some(pair), None, &pair.manifest);
            assign(&mut pair.manifest, causes);
            let causes = self.list(Level::Config, Some(pair), None, &pair.config);
            assign(&mut pair.config, causes);
            for at in 0..pair.layers.len() {
                self.layer(pair, at);
            }
        }
        self.summary.entries_left_out = comparison
            .platforms
            .iter()
            .flat_map(|pair| &pair.layers)
            .map(|layer| layer.differing_entries - layer.entries.len() as u64)
            .sum();
        comparison.findings = self.found.into_iter().map(finding).collect();
        comparison.findings.sort_by(|one, other| {
            let weight = |finding: &Finding| (finding.entries, finding.differences);
            weight(other).cmp(&weight(one)).then_with(|| one.id.cmp(other.id))
        });
        comparison.summary = self.summary;
    }

    fn layer(&mut self, pair: &mut PlatformPair, at: usize) {
        let layer = &pair.layers[at];
        let whole = self.list(Level::Layer, Some(pair), Some(layer), &layer.differences);
        let entries: Vec<_> = layer.entries.iter().map(|entry| self.entry(pair, layer, entry)).collect();
        let layer = &mut pair.layers[at];
        assign(&mut layer.differences, whole);
        for (entry, causes) in layer.entries.iter_mut().zip(entries) {
            assign(&mut entry.differences, causes);
        }
    }
}

/// Writes the causes to the differences that count, which are those that were asked about.
fn assign(differences: &mut [Difference], causes: Vec<Vec<&'static str>>) {
    let counting = differences.iter_mut().filter(|difference| difference.counts());
    for (difference, causes) in counting.zip(causes) {
        difference.causes = causes;
    }
}

fn finding(((id, confidence, explanation, fix), collected): (Key, Collected)) -> Finding {
    Finding {
        id,
        confidence,
        explanation,
        fix,
        entries: collected.entries,
        differences: collected.differences,
        instructions: collected.instructions.into_iter().collect(),
        places: collected.places,
    }
}
