//! What an image says of how it was built, in the words of a command line.
//!
//! Documents and layers show some of it (epoch, media types, compression, annotations, labels), provenance claims more. All of it
//! was chosen by whoever pushed the image. So it is told where each value came from, what could lead the build astray is left
//! out, and a value is never more than what a flag could say: an equal digest then means that this source gives these bytes
//! *with these words*.

use std::collections::BTreeMap;

use chrono::DateTime;

use super::arguments::{agreed, read_arguments};
use super::provenance::BuildRecord;
use super::source::{GitSource, find_source};
use crate::image::media_type::{Compression, Family};
use crate::image::rewrite::REWRITTEN;
use crate::image::{Config, Image, Layer, Manifest, Platform};
use crate::pin::Pin;
use crate::plan::Annotation;
use crate::provenance::Material;
use crate::settings::{BuildSettings, CompressionWord, ImageWords, MediaTypesWord};

/// stargz-snapshotter's annotation on a layer that can be read in pieces.
const ESTARGZ: &str = "containerd.io/snapshot/stargz/toc.digest";
/// The annotation and label that tells a date, whatever it is the date of.
const CREATED: &str = "org.opencontainers.image.created";

/// Something that has to be known and is not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Missing {
    /// What.
    pub what: String,
    /// Why nothing says it.
    pub why: String,
    /// What to give.
    pub fix: String,
}

impl Missing {
    /// Something that is missing.
    #[must_use]
    pub fn new(what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), fix: fix.into() }
    }
}

/// How an image was built, as far as it says.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    /// The words.
    pub words: ImageWords,
    /// Where its source is.
    pub source: Option<GitSource>,
    /// What stands in the way of that.
    pub no_source: Option<String>,
    /// What nobody but the user can give: the flag, and the name by which the Dockerfile asks for it.
    pub needs: Vec<(&'static str, String)>,
    /// What was left out, is assumed, or should be known.
    pub notes: Vec<String>,
    /// Why it is the built-in BuildKit that builds, where nobody names another.
    pub assumed_pin: Option<String>,
    /// Whether the epoch is a guess.
    pub is_epoch_guessed: bool,
    /// Build arguments that it names and that are not taken over, each with the reason.
    pub refused: Vec<(String, &'static str)>,
    /// Why it is not known which build arguments were given.
    pub untold_arguments: Option<&'static str>,
    /// Build arguments of which the history tells the value, or that they have none.
    pub told_arguments: BTreeMap<String, Option<String>>,
    /// What provenance says was read.
    pub materials: Vec<Material>,
}

/// An image for one platform, with manifest or without.
#[derive(Clone, Copy)]
pub(super) struct One<'a> {
    pub manifest: Option<&'a Manifest>,
    pub config: &'a Config,
    pub layers: &'a [Layer],
}

/// The images that can be built again: of these platforms, where some are asked for.
pub(super) fn images<'a>(image: &'a Image, wanted: &[Platform]) -> Vec<One<'a>> {
    let is_wanted = |config: &Config| {
        config.platform.os == "linux"
            && (wanted.is_empty() || wanted.iter().any(|platform| platform.agrees_with(&config.platform)))
    };
    let manifests =
        image.manifests.iter().map(|one| One { manifest: Some(one), config: &one.config, layers: &one.layers });
    let docker = image.docker_images.iter().map(|one| One { manifest: None, config: &one.config, layers: &one.layers });
    manifests.chain(docker).filter(|one| is_wanted(one.config)).collect()
}

/// What the image says. `records` are its provenance, each with the digest of the manifest that it is about.
#[must_use]
pub fn read(image: &Image, records: &[(Option<String>, BuildRecord)], wanted: &[Platform]) -> Recipe {
    let ones = images(image, wanted);
    let mut recipe = Recipe::default();
    read_platforms(&mut recipe, &ones);
    let epoch = read_epoch(&mut recipe, &ones, records, image);
    read_exporter(&mut recipe, &ones, epoch);
    let about = |record: &&(Option<String>, BuildRecord)| {
        let is_of =
            |one: &One<'_>| one.manifest.is_some_and(|manifest| Some(manifest.document.digest.to_string()) == record.0);
        record.0.is_none() || ones.iter().any(is_of)
    };
    let records: Vec<&BuildRecord> = records.iter().filter(about).map(|(_, record)| record).collect();
    read_arguments(&mut recipe, &ones, &records, epoch);
    read_labels(&mut recipe, &ones);
    read_annotations(&mut recipe, image, &ones);
    read_pin(&mut recipe, &records);
    for record in &records {
        recipe.materials.extend(record.materials.iter().cloned());
    }
    recipe.materials.sort();
    recipe.materials.dedup();
    match find_source(image, &ones, &records) {
        Ok((source, doubt)) => {
            recipe.notes.extend(doubt);
            recipe.source = Some(source);
        }
        Err(why) => recipe.no_source = Some(why),
    }
    recipe.needs.sort();
    recipe.needs.dedup();
    recipe
}

impl Recipe {
    /// What is still missing, with what the settings bring.
    #[must_use]
    pub fn missing(&self, settings: &BuildSettings) -> Vec<Missing> {
        let is_given = |flag: &str, name: &str| match flag {
            "--secret" => settings.secrets.iter().any(|secret| secret.id == name),
            "--ssh" => settings.ssh.iter().any(|ssh| ssh.id == name),
            _ => settings.build_contexts.contains_key(name),
        };
        let needs = self.needs.iter().filter(|(flag, name)| !is_given(flag, name));
        let missing = needs.map(|(flag, name)| {
            let (what, fix) = match *flag {
                "--secret" => ("secret", format!("--secret id={name},src=FILE")),
                "--ssh" => ("SSH agent", format!("--ssh {name}")),
                _ => ("build context", format!("--build-context {name}=SOURCE")),
            };
            let why = "its provenance says that it was built with one, and not what it was";
            Missing::new(format!("{what} {}", shown(name)), why, fix)
        });
        missing.collect()
    }

    pub(super) fn say(&mut self, flag: &'static str, whence: &'static str) {
        self.words.whence.insert(flag, whence);
    }
}

fn read_platforms(recipe: &mut Recipe, ones: &[One<'_>]) {
    let mut platforms: Vec<String> = Vec::new();
    for one in ones {
        let found = &one.config.platform;
        let variant = if found.variant.is_empty() { String::new() } else { format!("/{}", found.variant) };
        let text = format!("{}/{}{variant}", found.os, found.architecture);
        match text.parse::<crate::plan::Platform>() {
            Ok(platform) if !platforms.contains(&platform.to_string()) => platforms.push(platform.to_string()),
            Ok(_) => {}
            Err(_) => recipe.notes.push(format!("`{found}` is no platform that can be built")),
        }
    }
    if !platforms.is_empty() {
        recipe.words.words.platform = Some(platforms.join(","));
        recipe.say("--platform", "its configs");
    }
}

/// The epoch, from what shows it best.
fn read_epoch(
    recipe: &mut Recipe,
    ones: &[One<'_>],
    records: &[(Option<String>, BuildRecord)],
    image: &Image,
) -> Option<i64> {
    let rewritten = |one: &One<'_>| {
        let annotated = one.layers.iter().rev().find_map(|layer| layer.descriptor.annotations.get(REWRITTEN));
        annotated.and_then(|text| text.parse::<i64>().ok())
    };
    let recorded = records.iter().find_map(|(_, record)| record.arguments.get("build-arg:SOURCE_DATE_EPOCH"));
    let dated = || {
        let texts = ones.iter().filter_map(|one| {
            let annotation = one.manifest.and_then(|manifest| manifest.annotations.get(CREATED).cloned());
            annotation.or_else(|| labels(one.config).remove(CREATED))
        });
        let mut texts = texts.chain(image.indexes.iter().filter_map(|index| index.annotations.get(CREATED).cloned()));
        texts.find_map(|text| DateTime::parse_from_rfc3339(&text).ok()).map(|date| date.timestamp())
    };
    let candidates: [(&'static str, Said<i64>); 3] = [
        ("the annotation of layers whose times BuildKit rewrote", same(ones.iter().filter_map(rewritten))),
        ("its provenance", same(recorded.into_iter().filter_map(|text| text.parse().ok()))),
        ("the dates of its config and history", same(ones.iter().filter_map(|one| created(one.config)))),
    ];
    for (whence, found) in candidates {
        match found {
            Said::Nothing => {}
            Said::One(seconds) => return Some(take_epoch(recipe, seconds, whence)),
            Said::Several => {
                recipe.notes.push(format!("{whence} tell more than one epoch"));
                return None;
            }
        }
    }
    let seconds = dated()?;
    recipe.is_epoch_guessed = true;
    recipe.notes.push(format!(
        "the epoch is a guess: nothing but `{CREATED}` tells a date, which need not be the one that the image was built with"
    ));
    Some(take_epoch(recipe, seconds, "its annotation or label org.opencontainers.image.created, a guess"))
}

fn take_epoch(recipe: &mut Recipe, seconds: i64, whence: &'static str) -> i64 {
    recipe.words.words.source_date_epoch = Some(seconds.to_string());
    recipe.say("--source-date-epoch", whence);
    seconds
}

/// What several places say.
enum Said<T> {
    Nothing,
    One(T),
    Several,
}

fn same<T: PartialEq>(values: impl Iterator<Item = T>) -> Said<T> {
    let mut values = values;
    match values.next() {
        None => Said::Nothing,
        Some(first) if values.all(|value| value == first) => Said::One(first),
        Some(_) => Said::Several,
    }
}

/// The second that an image was created at, where that is one, and nothing in its history is later: BuildKit cuts both to the
/// epoch. A clock has fractions.
fn created(config: &Config) -> Option<i64> {
    let seconds = |text: &str| {
        let date = DateTime::parse_from_rfc3339(text).ok()?;
        (date.timestamp_subsec_nanos() == 0).then(|| date.timestamp())
    };
    let created = seconds(config.created.as_deref()?)?;
    let dates = config.history.iter().filter_map(|step| DateTime::parse_from_rfc3339(step.created.as_deref()?).ok());
    dates.into_iter().all(|date| date.timestamp() <= created).then_some(created)
}

/// The layers that the build made, by their dates: those of a base are older than the epoch, or younger, but hardly the same.
fn own_layers(one: One<'_>, epoch: Option<i64>) -> Vec<&Layer> {
    let annotated = |layer: &&Layer| layer.descriptor.annotations.contains_key(REWRITTEN);
    if one.layers.iter().any(|layer| annotated(&layer)) {
        return one.layers.iter().filter(annotated).collect();
    }
    let Some(epoch) = epoch else { return Vec::new() };
    let steps = one.config.history.iter().filter(|step| !step.empty_layer);
    let is_own = |text: &String| DateTime::parse_from_rfc3339(text).is_ok_and(|date| date.timestamp() == epoch);
    let own = steps.zip(one.layers).filter(|(step, _)| step.created.as_ref().is_some_and(is_own));
    own.map(|(_, layer)| layer).collect()
}

/// What the exporter was asked for: media types, compression, whether times were rewritten.
fn read_exporter(recipe: &mut Recipe, ones: &[One<'_>], epoch: Option<i64>) {
    let families = same(ones.iter().filter_map(|one| one.manifest).map(|manifest| manifest.family));
    match families {
        Said::One(family) => {
            let is_oci = family == Family::Oci;
            recipe.words.words.media_types = Some(if is_oci { MediaTypesWord::Oci } else { MediaTypesWord::Docker });
            recipe.say("--media-types", "its media types");
        }
        Said::Several => {
            recipe.notes.push("its platforms have media types of both families, which no build gives".into());
        }
        Said::Nothing => {}
    }
    let own: Vec<(One<'_>, &Layer)> =
        ones.iter().flat_map(|one| own_layers(*one, epoch).into_iter().map(|layer| (*one, layer))).collect();
    let compressions = same(own.iter().filter(|(one, _)| one.manifest.is_some()).map(|(_, layer)| compression(layer)));
    match compressions {
        Said::One(word) => {
            recipe.words.words.compression = Some(word);
            recipe.say("--compression", "its layers");
        }
        // Perhaps some are those of the base; the last is not, where the build made any.
        Said::Several => {
            recipe.words.words.compression = own.last().map(|(_, layer)| compression(layer));
            recipe.say("--compression", "its last layer");
        }
        Said::Nothing => {}
    }
    let is_oci = recipe.words.words.media_types == Some(MediaTypesWord::Oci);
    let annotated = |layer: &Layer| layer.descriptor.annotations.contains_key(REWRITTEN);
    let later = |layer: &Layer| {
        let newest = layer.facts.newest.as_ref();
        epoch.is_some_and(|epoch| newest.is_some_and(|newest| newest.is_after(epoch)))
    };
    // With OCI types BuildKit writes down that it rewrote; with Docker's only a time that is too late tells that it did not.
    let is_live = own.iter().any(|(_, layer)| if is_oci { !annotated(layer) } else { later(layer) });
    if is_live {
        recipe.words.words.no_rewrite_timestamp = true;
        let whence = if is_oci { "its layers have no annotation of a rewrite" } else { "times in its layers" };
        recipe.say("--no-rewrite-timestamp", whence);
    }
}

fn compression(layer: &Layer) -> CompressionWord {
    match layer.compression {
        _ if layer.descriptor.annotations.contains_key(ESTARGZ) => CompressionWord::Estargz,
        Compression::None => CompressionWord::Uncompressed,
        Compression::Gzip => CompressionWord::Gzip,
        Compression::Zstd => CompressionWord::Zstd,
    }
}

fn labels(config: &Config) -> BTreeMap<String, String> {
    let value = config.document.value();
    let labels = value.pointer("/config/Labels").and_then(|labels| labels.as_object()).cloned().unwrap_or_default();
    labels.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect()
}

/// The labels of the config. One that the Dockerfile or its base sets anyway stays the same when a flag says it once more.
fn read_labels(recipe: &mut Recipe, ones: &[One<'_>]) {
    let all: Vec<BTreeMap<String, String>> = ones.iter().map(|one| labels(one.config)).collect();
    for (key, value) in agreed(all.iter()) {
        if key.is_empty() || key.contains('=') {
            recipe.notes.push(format!("label {} is not taken over: no flag can say it", shown(&key)));
            continue;
        }
        recipe.words.words.label.push(format!("{key}={value}"));
        recipe.say("--label", "its config");
    }
}

/// Annotations of manifests, and with several platforms those of the index and its descriptors.
fn read_annotations(recipe: &mut Recipe, image: &Image, ones: &[One<'_>]) {
    let several = ones.len() > 1;
    let mut words = Vec::new();
    for one in ones {
        let Some(manifest) = one.manifest else { continue };
        let platform = if several { format!("[{}]", manifest.config.platform) } else { String::new() };
        words.extend(manifest.annotations.iter().map(|(key, value)| format!("manifest{platform}:{key}={value}")));
        if several && !image.indexes.is_empty() {
            let annotations = &manifest.descriptor.annotations;
            words.extend(annotations.iter().map(|(key, value)| format!("manifest-descriptor{platform}:{key}={value}")));
        }
    }
    if let (true, [index]) = (several, image.indexes.as_slice()) {
        words.extend(index.annotations.iter().map(|(key, value)| format!("index:{key}={value}")));
    }
    for word in words {
        // What a flag cannot say comes back as something else, or not at all.
        let is_whole = Annotation::parse(&word).is_ok_and(|parsed| {
            let after = |annotation: &Annotation| word.ends_with(&format!(":{}={}", annotation.key, annotation.value));
            matches!(parsed.as_slice(), [one] if after(one))
        });
        if is_whole {
            recipe.words.words.annotation.push(word);
            recipe.say("--annotation", "its manifests and indexes");
        } else {
            recipe.notes.push(format!("annotation {} is not taken over: no flag can say it", shown(&word)));
        }
    }
}

/// The BuildKit, where provenance tells the version of its frontend and the image of that version is known.
fn read_pin(recipe: &mut Recipe, records: &[&BuildRecord]) {
    let version = |record: &&BuildRecord| {
        let is_builtin =
            record.frontend.as_deref() == Some("dockerfile.v0") && !record.arguments.contains_key("source");
        record.dockerfile_version.clone().filter(|_| is_builtin)
    };
    let Said::One(text) = same(records.iter().filter_map(version)) else {
        recipe.assumed_pin = Some("which BuildKit built it is not told: the built-in one is assumed".to_owned());
        return;
    };
    match Pin::by_frontend(&text) {
        Some(pin) => {
            recipe.words.words.buildkit_image = Some(pin.source.to_string());
            recipe.say("--buildkit-image", "the version of BuildKit's own frontend in its provenance");
        }
        None => {
            recipe.assumed_pin = Some(format!(
                "it was built by a BuildKit whose own frontend is {}, of which no image is known here: the built-in one is assumed, \
             `--buildkit-image` names another",
                shown(&text)
            ));
        }
    }
}

/// A text of the image, fit to print.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(200).collect();
    format!("`{}`", crate::image::escape::escape(&cut))
}
