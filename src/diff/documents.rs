//! Indexes, manifests, configs and what stands around them, compared.
//!
//! Digests and sizes in descriptors follow from what they name, which is compared itself: they are no differences of their own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::ignore::Ignore;
use super::json::{JsonDiff, Members, elements, members, string};
use super::model::{Difference, Kind, Text};
use super::pair::{OneImage, align, fill, without_arguments};
use crate::digest::Digest;
use crate::image::{Document, Image, Index, Manifest, Platform};

/// What follows from the blob that a descriptor names.
const OF_THE_BLOB: [&str; 3] = ["digest", "size", "data"];
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

fn text_of(document: &Document) -> &str {
    std::str::from_utf8(&document.bytes).unwrap_or_default()
}

/// Two descriptors. Data that stands in one beside the same digest counts.
fn descriptors(diff: &mut JsonDiff, at: &str, a: &Members<'_>, b: &Members<'_>) {
    let digest = |members: &Members<'_>| members.get("digest").and_then(|raw| string(raw));
    let without = if digest(a) == digest(b) { &[][..] } else { &OF_THE_BLOB[..] };
    diff.objects(at, a, b, without);
}

/// Two manifests but for what their layers' descriptors say.
pub fn manifests(a: &Manifest, b: &Manifest, ignore: Ignore) -> Vec<Difference> {
    let mut diff = JsonDiff::new(ignore, false);
    let mut follows = a.config.document.digest != b.config.document.digest;
    if a.document.digest != b.document.digest {
        let (one, other) = (members(text_of(&a.document)), members(text_of(&b.document)));
        diff.objects("", &one, &other, &["config", "layers"]);
        let config = |of: &Members<'_>| of.get("config").map(|raw| raw.get().to_owned()).unwrap_or_default();
        let (config_a, config_b) = (config(&one), config(&other));
        descriptors(&mut diff, "/config", &members(&config_a), &members(&config_b));
        let layers = |of: &Members<'_>| of.get("layers").map(|raw| raw.get().to_owned()).unwrap_or_default();
        let (layers_a, layers_b) = (layers(&one), layers(&other));
        let plain = |text: &str| elements(text).iter().map(|raw| raw.get().to_owned()).collect::<Vec<_>>();
        follows |= plain(&layers_a) != plain(&layers_b);
    }
    diff.finish(a.document.digest == b.document.digest, follows)
}

/// The descriptors of two layers.
pub fn layer_descriptors(a: (&Manifest, usize), b: (&Manifest, usize), ignore: Ignore) -> Vec<Difference> {
    let raw = |(manifest, number): (&Manifest, usize)| -> String {
        let manifest = members(text_of(&manifest.document));
        let layers = manifest.get("layers").map(|layers| elements(layers.get())).unwrap_or_default();
        layers.get(number).map(|layer| layer.get().to_owned()).unwrap_or_default()
    };
    let (one, other) = (raw(a), raw(b));
    let mut diff = JsonDiff::new(ignore, false);
    descriptors(&mut diff, "", &members(&one), &members(&other));
    diff.found
}

/// Two configs but for their diff IDs, which are the layers'.
pub fn configs(a: OneImage<'_>, b: OneImage<'_>, ignore: Ignore) -> Vec<Difference> {
    let (Some(a), Some(b)) = (a.config(), b.config()) else { return Vec::new() };
    if a.document.digest == b.document.digest {
        return Vec::new();
    }
    let (one, other) = (members(text_of(&a.document)), members(text_of(&b.document)));
    let mut diff = JsonDiff::new(ignore, true);
    diff.objects("", &one, &other, &["history", "rootfs"]);
    let inner = |of: &Members<'_>, key: &str| of.get(key).map(|raw| raw.get().to_owned());
    let (rootfs_a, rootfs_b) = (inner(&one, "rootfs").unwrap_or_default(), inner(&other, "rootfs").unwrap_or_default());
    let (rootfs_a, rootfs_b) = (members(&rootfs_a), members(&rootfs_b));
    diff.objects("/rootfs", &rootfs_a, &rootfs_b, &["diff_ids"]);
    histories(&mut diff, inner(&one, "history"), inner(&other, "history"), ignore);
    let ids = |of: &Members<'_>| {
        let ids = of.get("diff_ids").map(|raw| elements(raw.get())).unwrap_or_default();
        ids.into_iter().map(|raw| raw.get().to_owned()).collect::<Vec<_>>()
    };
    let follows = ids(&rootfs_a) != ids(&rootfs_b);
    diff.finish(false, follows)
}

/// Steps that were made by the same words belong together: one step more does not shift all others.
fn histories(diff: &mut JsonDiff, a: Option<String>, b: Option<String>, ignore: Ignore) {
    let is_list = |text: &Option<String>| text.as_deref().is_some_and(|text| text.starts_with('['));
    if !is_list(&a) || !is_list(&b) {
        let raw = |text: &Option<String>| text.as_ref().and_then(|text| RawValue::from_string(text.clone()).ok());
        let (one, other) = (raw(&a), raw(&b));
        if one.is_some() || other.is_some() {
            let before = diff.found.len();
            diff.values("/history", one.as_deref(), other.as_deref());
            let switch = ignore.history.then_some(super::ignore::Switch::IgnoreHistory);
            diff.found[before..].iter_mut().for_each(|difference| difference.ignored_by = switch);
        }
        return;
    }
    let (text_a, text_b) = (a.unwrap_or_default(), b.unwrap_or_default());
    let steps = |text: &'_ str| elements(text).iter().map(|raw| raw.get().to_owned()).collect::<Vec<String>>();
    let (steps_a, steps_b) = (steps(&text_a), steps(&text_b));
    let words = |step: &String| members(step).get("created_by").and_then(|raw| string(raw)).unwrap_or_default();
    let (words_a, words_b): (Vec<_>, Vec<_>) =
        (steps_a.iter().map(words).collect(), steps_b.iter().map(words).collect());
    let pairs =
        fill(align(&words_a, &words_b), |at| without_arguments(&words_a[at]), |at| without_arguments(&words_b[at]));
    for (one, other) in pairs {
        let number = one.or(other).unwrap_or_default();
        let place = format!("/history/{number}");
        if let (Some(one), Some(other)) = (one, other) {
            diff.objects(&place, &members(&steps_a[one]), &members(&steps_b[other]), &[]);
        } else {
            let shown = |at: Option<usize>, words: &[String]| at.map(|at| Text::from(words[at].clone()));
            let before = diff.found.len();
            diff.push(&place, shown(one, &words_a), shown(other, &words_b));
            let switch = ignore.history.then_some(super::ignore::Switch::IgnoreHistory);
            diff.found[before..].iter_mut().for_each(|difference| difference.ignored_by = switch);
        }
    }
}

/// What differs in the indexes themselves, and in what they hold beside images.
#[derive(Default)]
pub struct IndexDiff {
    /// In the indexes.
    pub index: Vec<Difference>,
    /// In statements about the images.
    pub attestations: Vec<Difference>,
}

/// Indexes of both sides: the first with the first.
pub fn indexes(a: &Image, b: &Image, ignore: Ignore) -> IndexDiff {
    let mut found = IndexDiff::default();
    for at in 0..a.indexes.len().max(b.indexes.len()) {
        match (a.indexes.get(at), b.indexes.get(at)) {
            (Some(one), Some(other)) => index(&mut found, (a, one), (b, other), ignore),
            (one, other) => one_sided(&mut found, one.map(|one| (a, one)), other.map(|other| (b, other))),
        }
    }
    attestations(&mut found, a, b, ignore);
    found
}

/// An index that only one side has. Where all that it adds to its image are statements about it, it is one of them.
fn one_sided(found: &mut IndexDiff, a: Option<(&Image, &Index)>, b: Option<(&Image, &Index)>) {
    let Some((image, index)) = a.or(b) else { return };
    let shown = |side: Option<(&Image, &Index)>| side.map(|(_, index)| Text::from(index.document.digest.to_string()));
    let difference = Difference::of(Kind::Missing, shown(a), shown(b)).at("index");
    let only_frames = image.manifests.len() == 1 && image.left_out.is_empty() && !image.attestations.is_empty();
    let is_plain = !members(text_of(&index.document)).contains_key("annotations");
    if only_frames && is_plain { found.attestations.push(difference) } else { found.index.push(difference) }
}

/// What a descriptor of an index names: the kind and the platform, which are the same on both sides where it belongs together.
fn name_of(descriptor: &Members<'_>) -> (bool, String) {
    let annotations = descriptor.get("annotations").map(|raw| members(raw.get())).unwrap_or_default();
    let platform: Platform =
        descriptor.get("platform").and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let is_attestation = annotations.contains_key(REFERENCE_TYPE) || platform.is_unknown();
    (is_attestation, if is_attestation { String::new() } else { format!("{}/{}", platform.os, platform.architecture) })
}

/// The descriptors of an index, each with its name and which one of that name it is.
type Named = Vec<(((bool, String), usize), BTreeMap<String, Box<RawValue>>)>;

fn named(list: &[&RawValue]) -> Named {
    let mut counts: BTreeMap<(bool, String), usize> = BTreeMap::new();
    let numbered = list.iter().map(|raw| {
        let members = members_of(raw);
        let name = name_of(&borrowed(&members));
        let number = counts.entry(name.clone()).or_default();
        *number += 1;
        ((name, *number), members)
    });
    numbered.collect()
}

fn index(found: &mut IndexDiff, (image_a, a): (&Image, &Index), (image_b, b): (&Image, &Index), ignore: Ignore) {
    if a.document.digest == b.document.digest {
        return;
    }
    let (one, other) = (members(text_of(&a.document)), members(text_of(&b.document)));
    let mut diff = JsonDiff::new(ignore, false);
    diff.objects("", &one, &other, &["manifests"]);
    let list = |of: &Members<'_>| of.get("manifests").map(|raw| raw.get().to_owned()).unwrap_or_default();
    let (text_a, text_b) = (list(&one), list(&other));
    let (list_a, list_b) = (elements(&text_a), elements(&text_b));
    let follows = list_a.iter().map(|raw| raw.get()).ne(list_b.iter().map(|raw| raw.get()));
    let (named_a, named_b) = (named(&list_a), named(&list_b));
    let common = |one: &Named, other: &Named| -> Vec<((bool, String), usize)> {
        let names = one.iter().map(|(name, _)| name);
        names.filter(|name| other.iter().any(|(known, _)| known == *name)).cloned().collect()
    };
    if common(&named_a, &named_b) != common(&named_b, &named_a) {
        let difference = Difference::of(Kind::Order, None, Some("the same in another order".into()));
        diff.found.push(difference.at("/manifests"));
    }
    let mut statements = JsonDiff::new(ignore, false);
    for (at, (name, descriptor)) in named_a.iter().enumerate() {
        let Some((_, there)) = named_b.iter().find(|(other, _)| other == name) else {
            lone(&mut diff, &mut statements, image_a, descriptor, (at, true));
            continue;
        };
        let into = if name.0.0 { &mut statements } else { &mut diff };
        descriptors(into, &format!("/manifests/{at}"), &borrowed(descriptor), &borrowed(there));
    }
    for (at, (name, descriptor)) in named_b.iter().enumerate() {
        if !named_a.iter().any(|(known, _)| known == name) {
            lone(&mut diff, &mut statements, image_b, descriptor, (at, false));
        }
    }
    statements.found.retain(|difference| !follows_image(difference, image_a, image_b));
    found.index.extend(diff.finish(false, follows));
    found.attestations.extend(statements.found);
}

/// Whether all that differs is which image a statement is about: another one, where the images differ, and that is told there.
fn follows_image(difference: &Difference, a: &Image, b: &Image) -> bool {
    let place = difference.place.as_ref().and_then(Text::as_str).unwrap_or_default();
    let names = |text: &Option<Text>, image: &Image| {
        let digest = text.as_ref().and_then(Text::as_str);
        digest.is_some_and(|digest| image.manifests.iter().any(|known| known.document.digest.to_string() == digest))
    };
    place.ends_with(&format!("/annotations/{REFERENCE_DIGEST}")) && names(&difference.a, a) && names(&difference.b, b)
}

fn members_of(raw: &RawValue) -> BTreeMap<String, Box<RawValue>> {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

fn borrowed(members: &BTreeMap<String, Box<RawValue>>) -> Members<'_> {
    members.iter().map(|(key, value)| (key.clone(), value.as_ref())).collect()
}

/// A descriptor that only one index has. Images are told with their platforms.
fn lone(
    diff: &mut JsonDiff,
    statements: &mut JsonDiff,
    image: &Image,
    descriptor: &BTreeMap<String, Box<RawValue>>,
    (at, is_a): (usize, bool),
) {
    let digest = descriptor.get("digest").and_then(|raw| string(raw)).unwrap_or_default();
    let is_image = image.manifests.iter().map(|manifest| &manifest.document.digest);
    let is_image = is_image.chain(image.left_out.iter().map(|left_out| &left_out.digest));
    let (is_attestation, _) = name_of(&borrowed(descriptor));
    if !is_attestation && is_image.map(Digest::to_string).any(|known| known == digest) {
        return;
    }
    let value = Some(Text::from(digest));
    let (a, b) = if is_a { (value, None) } else { (None, value) };
    let into = if is_attestation { statements } else { diff };
    into.found.push(Difference::of(Kind::Missing, a, b).at(format!("/manifests/{at}")));
}

/// Statements about the images: which there are, and what their manifests say. The statements themselves differ by digest.
fn attestations(found: &mut IndexDiff, a: &Image, b: &Image, ignore: Ignore) {
    let known: BTreeSet<&Digest> = b.attestations.iter().map(|attestation| &attestation.document.digest).collect();
    let same: BTreeSet<&Digest> =
        a.attestations.iter().map(|it| &it.document.digest).filter(|digest| known.contains(digest)).collect();
    let rest = |image: &'_ Image| -> Vec<Document> {
        let all = image.attestations.iter().map(|attestation| attestation.document.clone());
        all.filter(|document| !same.contains(&document.digest)).collect()
    };
    let (rest_a, rest_b) = (rest(a), rest(b));
    for at in 0..rest_a.len().max(rest_b.len()) {
        let place = format!("/attestations/{at}");
        match (rest_a.get(at), rest_b.get(at)) {
            (Some(one), Some(other)) => {
                let mut diff = JsonDiff::new(ignore, false);
                diff.objects(&place, &members(text_of(one)), &members(text_of(other)), &[]);
                found.attestations.extend(diff.finish(false, false));
            }
            (one, other) => {
                let shown = |document: Option<&Document>| document.map(|it| Text::from(it.digest.to_string()));
                found.attestations.push(Difference::of(Kind::Missing, shown(one), shown(other)).at(place));
            }
        }
    }
}

/// What stands around the images: names, dates, how they are laid out. None of it has a part in their digests.
pub fn archives(a: &Image, b: &Image, ignore: Ignore) -> Vec<Difference> {
    let mut found = Vec::new();
    let names = |image: &Image| {
        let roots = image.roots.iter().flat_map(|root| root.names.iter());
        let names: BTreeSet<&String> =
            roots.chain(image.docker_images.iter().flat_map(|docker| &docker.names)).collect();
        names.into_iter().cloned().collect::<Vec<_>>().join(", ")
    };
    let (one, other) = (names(a), names(b));
    if one != other {
        let switch = ignore.image_name.then_some(super::ignore::Switch::IgnoreImageName);
        let shown = |names: String| (!names.is_empty()).then(|| Text::from(names));
        found.push(Difference::of(Kind::Value, shown(one), shown(other)).at("names").ignored(switch));
    }
    let annotations = |image: &Image| image.roots.first().map(|root| root.annotations.clone()).unwrap_or_default();
    let (one, other) = (annotations(a), annotations(b));
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    for key in keys.into_iter().filter(|key| one.get(*key) != other.get(*key)) {
        let shown =
            |annotations: &BTreeMap<String, String>| annotations.get(key).map(|value| Text::from(value.as_str()));
        let difference =
            Difference::of(Kind::Value, shown(&one), shown(&other)).at(format!("index.json annotation {key}"));
        found.push(difference.ignored(ignore.of_annotation(key)));
    }
    found
}
