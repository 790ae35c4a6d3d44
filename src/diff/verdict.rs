//! What a comparison came to.

use std::collections::BTreeMap;

use super::ignore::{Ignore, Ignored, Switch};
use super::model::{Comparison, Difference, EqualLevel, ImageRef, Kind, Relation, Text, Verdict};
use super::pair::OneImage;
use super::walk::each_difference;
use crate::digest::Digest;
use crate::image::Image;

/// Whether both have one digest, or the same several, and all that these stand for was compared to be so.
pub fn is_identical(a: &Image, b: &Image) -> bool {
    let digests = |image: &Image| {
        let mut digests: Vec<Digest> = image.roots.iter().map(|root| root.digest.clone()).collect();
        digests.sort();
        digests.dedup();
        digests
    };
    let (one, other) = (digests(a), digests(b));
    !one.is_empty() && one == other
}

/// What has to be known to read the comparison.
pub fn notes(a: &[OneImage<'_>], b: &[OneImage<'_>]) -> Vec<String> {
    let mut notes = Vec::new();
    let has_docker = |side: &[OneImage<'_>]| side.iter().any(|one| matches!(one, OneImage::Docker(_)));
    for (name, side) in [("A", a), ("B", b)] {
        if has_docker(side) {
            notes.push(format!(
                "{name} is a Docker archive without manifests: the config and the diff IDs of the layers are compared, which is \
                 all that such an image has"
            ));
        }
        let left_out = side.iter().filter(|one| matches!(one, OneImage::LeftOut(_))).count();
        if left_out > 0 {
            notes.push(format!(
                "{left_out} images that the index of {name} names are not there: only their digests are compared"
            ));
        }
    }
    notes
}

/// Judges what was found. Digests that differ while nothing was found are a difference.
pub fn conclude(comparison: &mut Comparison, is_identical: bool, ignore: Ignore) {
    comparison.equal = equal_level(comparison, is_identical);
    let mut counts = count(comparison);
    let is_equal = is_identical || is_equal_below(comparison);
    if counts.is_nothing() && !is_equal {
        let shown = |side: &Option<Digest>| side.as_ref().map(|digest| Text::from(digest.to_string()));
        let difference = Difference::of(Kind::OtherBytes, shown(&comparison.a.digest), shown(&comparison.b.digest));
        comparison.index.push(difference);
        counts = count(comparison);
    }
    comparison.ignored = ignore
        .switches()
        .into_iter()
        .map(|by| Ignored { by, differences: counts.ignored.get(&by).copied().unwrap_or_default() })
        .collect();
    let has_all_manifests = comparison.platforms.iter().all(|pair| {
        manifest_of(pair.a.as_ref()).is_some() && manifest_of(pair.a.as_ref()) == manifest_of(pair.b.as_ref())
    });
    comparison.verdict = match () {
        // With a platform, the images are those of that platform, whatever indexes they stand in.
        () if is_identical && comparison.platform.is_none() => Verdict::Identical,
        () if counts.others > 0 => Verdict::Different,
        () if counts.attestations > 0 && has_all_manifests => Verdict::AttestationsOnly,
        () if counts.attestations > 0 => Verdict::Different,
        () if !counts.ignored.is_empty() => Verdict::EqualIgnoring,
        () if has_all_manifests && comparison.platform.is_some() => Verdict::Identical,
        () => Verdict::Equal,
    };
}

#[derive(Default)]
struct Counts {
    others: u64,
    attestations: u64,
    ignored: BTreeMap<Switch, u64>,
}

impl Counts {
    fn is_nothing(&self) -> bool {
        self.others == 0 && self.attestations == 0 && self.ignored.is_empty()
    }
}

fn count(comparison: &Comparison) -> Counts {
    let mut counts = Counts::default();
    each_difference(comparison, |difference, is_attestation| match (difference.ignored_by, is_attestation) {
        (Some(by), _) => *counts.ignored.entry(by).or_default() += 1,
        (None, true) => counts.attestations += 1,
        (None, false) => counts.others += 1,
    });
    for layer in comparison.platforms.iter().flat_map(|pair| &pair.layers) {
        counts.others += layer.differing_entries - layer.ignored_entries;
        for (by, count) in &layer.ignored {
            *counts.ignored.entry(*by).or_default() += count;
        }
    }
    counts
}

fn manifest_of(side: Option<&ImageRef>) -> Option<&Digest> {
    side.and_then(|side| side.manifest.as_ref())
}

fn config_of(side: Option<&ImageRef>) -> Option<&Digest> {
    side.and_then(|side| side.config.as_ref())
}

/// Whether every image is equal to its counterpart, by the digests of their manifests or, where one has none, of their configs.
fn is_equal_below(comparison: &Comparison) -> bool {
    let has_docker = |side: &Option<ImageRef>| side.as_ref().is_some_and(|side| side.manifest.is_none());
    let is_equal = |pair: &super::model::PlatformPair| {
        if has_docker(&pair.a) || has_docker(&pair.b) {
            config_of(pair.a.as_ref()).is_some() && config_of(pair.a.as_ref()) == config_of(pair.b.as_ref())
        } else {
            comparison.platform.is_some()
                && manifest_of(pair.a.as_ref()).is_some()
                && manifest_of(pair.a.as_ref()) == manifest_of(pair.b.as_ref())
        }
    };
    !comparison.platforms.is_empty() && comparison.platforms.iter().all(is_equal)
}

/// The outermost level on which all digests are equal.
fn equal_level(comparison: &Comparison, is_identical: bool) -> EqualLevel {
    let pairs = &comparison.platforms;
    let all = |of: fn(Option<&ImageRef>) -> Option<&Digest>| {
        !pairs.is_empty()
            && pairs.iter().all(|pair| of(pair.a.as_ref()).is_some() && of(pair.a.as_ref()) == of(pair.b.as_ref()))
    };
    let has_same_layers = !pairs.is_empty()
        && pairs.iter().all(|pair| {
            let is_same = |relation| matches!(relation, Relation::Same | Relation::CompressionOnly);
            config_of(pair.a.as_ref()).is_some()
                && config_of(pair.b.as_ref()).is_some()
                && pair.layers.iter().all(|layer| is_same(layer.relation))
        });
    match () {
        () if is_identical => EqualLevel::Image,
        () if all(manifest_of) => EqualLevel::Manifest,
        () if all(config_of) => EqualLevel::Config,
        () if has_same_layers => EqualLevel::Layers,
        () => EqualLevel::None,
    }
}
