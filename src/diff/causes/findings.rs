//! What the causes found, collected.

use std::collections::{BTreeMap, BTreeSet};

use super::around::Around;
use super::{Level, Place, ask, attribute};
use crate::diff::model::{
    Comparison, Confidence, Difference, EntryDifference, Finding, Instruction, LayerPair, PlatformPair, Summary, Text,
};
use crate::diff::origin::Source;
use crate::limits;

/// What is the same in all differences of a finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    id: &'static str,
    confidence: Confidence,
    is_consequence: bool,
    explanation: String,
    fix: Option<String>,
}

/// Findings while they are collected.
#[derive(Debug)]
pub struct Findings {
    found: BTreeMap<Key, Collected>,
    summary: Summary,
    source: Option<Source>,
}

#[derive(Debug, Default)]
struct Collected {
    entries: u64,
    differences: u64,
    instructions: BTreeSet<Instruction>,
    places: Vec<Text>,
}

impl Findings {
    /// Nothing found yet. With a Dockerfile, a line in a stage can be found whose files came by `COPY --from`.
    #[must_use]
    pub fn new(source: Option<Source>) -> Self {
        Self { found: BTreeMap::new(), summary: Summary::default(), source }
    }

    /// Asks all causes about one difference; gives the names of those that explain it, and whether all of it is explained.
    fn difference(&mut self, place: &Place<'_>, keys: &mut BTreeSet<Key>) -> (Vec<&'static str>, bool) {
        let claims = ask(place);
        let is_explained = claims.iter().any(|(_, claim)| claim.is_whole);
        self.summary.differences += 1;
        self.summary.explained += u64::from(is_explained);
        if place.entry.is_none() {
            self.summary.others += 1;
            self.summary.explained_others += u64::from(is_explained);
        }
        let mut ids = Vec::new();
        for (id, claim) in claims {
            let key = Key {
                id,
                confidence: claim.confidence,
                is_consequence: claim.is_consequence,
                explanation: claim.explanation,
                fix: claim.fix,
            };
            let collected = self.found.entry(key.clone()).or_default();
            collected.differences += 1;
            if keys.insert(key) {
                let shown = place.shown();
                if collected.places.len() < limits::DIFF_PLACES && !collected.places.contains(&shown) {
                    collected.places.push(shown);
                }
                if collected.instructions.len() < limits::DIFF_PLACES {
                    collected.instructions.extend(attribute::made_by(place, id, self.source.as_ref()));
                }
                collected.entries += u64::from(place.entry.is_some());
            }
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        (ids, is_explained)
    }

    /// Asks about all differences of an entry that nobody will look at again.
    pub fn entry(&mut self, platform: &PlatformPair, layer: &LayerPair, entry: &EntryDifference) {
        self.of_entry(platform, layer, entry, &Around::default());
    }

    /// Asks about all differences of an entry; gives the names of the causes for each that counts, in order.
    fn of_entry(
        &mut self,
        platform: &PlatformPair,
        layer: &LayerPair,
        entry: &EntryDifference,
        around: &Around,
    ) -> Vec<Vec<&'static str>> {
        let mut keys = BTreeSet::new();
        let (mut causes, mut all) = (Vec::new(), true);
        for difference in entry.differences.iter().filter(|difference| difference.counts()) {
            let place = Place::in_layer(difference, platform, layer, Some(entry), around);
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

    fn list(&mut self, level: Level, platform: Option<&PlatformPair>, list: &[Difference]) -> Vec<Vec<&'static str>> {
        let around = Around::default();
        let counting = list.iter().filter(|difference| difference.counts());
        counting
            .map(|difference| {
                let place = Place::of_document(level, difference, platform, &around);
                self.difference(&place, &mut BTreeSet::new()).0
            })
            .collect()
    }

    /// Asks about everything in a comparison but the entries that were left out of it, which were asked about before.
    pub fn conclude(mut self, comparison: &mut Comparison) {
        let causes = self.list(Level::Index, None, &comparison.index);
        assign(&mut comparison.index, causes);
        let causes = self.list(Level::Attestation, None, &comparison.attestations);
        assign(&mut comparison.attestations, causes);
        for pair in &mut comparison.platforms {
            let causes = self.list(Level::Manifest, Some(pair), &pair.manifest);
            assign(&mut pair.manifest, causes);
            let causes = self.list(Level::Config, Some(pair), &pair.config);
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
            one.is_consequence
                .cmp(&other.is_consequence)
                .then_with(|| weight(other).cmp(&weight(one)))
                .then_with(|| one.id.cmp(other.id))
        });
        comparison.summary = self.summary;
    }

    fn layer(&mut self, pair: &mut PlatformPair, at: usize) {
        let layer = &pair.layers[at];
        let around = Around::of(layer);
        let counting = layer.differences.iter().filter(|difference| difference.counts());
        let whole: Vec<_> = counting
            .map(|difference| {
                let place = Place::in_layer(difference, pair, layer, None, &around);
                self.difference(&place, &mut BTreeSet::new()).0
            })
            .collect();
        let entries: Vec<_> = layer.entries.iter().map(|entry| self.of_entry(pair, layer, entry, &around)).collect();
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

fn finding((key, collected): (Key, Collected)) -> Finding {
    Finding {
        id: key.id,
        confidence: key.confidence,
        is_consequence: key.is_consequence,
        explanation: key.explanation,
        fix: key.fix,
        entries: collected.entries,
        differences: collected.differences,
        instructions: collected.instructions.into_iter().collect(),
        places: collected.places,
    }
}
