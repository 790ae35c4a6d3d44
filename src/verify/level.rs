//! On which level a rebuilt image is the published one: index, manifest, config, layers, or none.
//!
//! Only digests are compared, each of bytes that were read and hashed here. A level is equal where the digests are, and
//! nothing is equal that was not rebuilt.

use serde::Serialize;
use serde_json::Value;

use super::recipe::{One, images};
use crate::digest::Digest;
use crate::image::{Attestation, Descriptor, Image, Index, Platform};

/// How far up an image is equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The contents of all layers (diff IDs).
    Layers,
    /// The config, which is the image ID of engines, and with it the contents of all layers.
    Config,
    /// The manifest: what an engine pulls for its platform.
    Manifest,
    /// The digest that the registry shows.
    Image,
}

impl Level {
    /// The name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Layers => "layers",
            Self::Config => "config",
            Self::Manifest => "manifest",
            Self::Image => "image",
        }
    }
}

/// What came out for one platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlatformVerdict {
    /// What was published is what was rebuilt.
    Equal,
    /// It is not.
    Different,
    /// It is not, and RUN was emulated: the emulator may be the reason.
    Emulated,
    /// It was not rebuilt.
    NotRebuilt,
}

/// The digests of an image for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Digests {
    /// Of its manifest, where it has one.
    pub manifest: Option<Digest>,
    /// Of its config.
    pub config: Option<Digest>,
}

/// One platform, compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComparedPlatform {
    /// The platform.
    pub platform: String,
    /// Whether it was asked for: by name, or because no other was.
    pub asked: bool,
    /// What came out.
    pub verdict: PlatformVerdict,
    /// The highest level that is equal.
    pub level: Option<Level>,
    /// What is published.
    pub published: Digests,
    /// What was rebuilt.
    pub rebuilt: Option<Digests>,
}

/// What the index came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexVerdict {
    /// Its digest is that of the rebuilt one.
    Equal,
    /// It differs by attestations, which are no images.
    AttestationsOnly,
    /// It differs by more, which is told. All its images were rebuilt.
    Different,
    /// Not all of its images were rebuilt, or it names something that is none.
    NotCompared,
}

/// The index, compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComparedIndex {
    /// The published one.
    pub published: Digest,
    /// The rebuilt one, where there is one.
    pub rebuilt: Option<Digest>,
    /// What came out.
    pub verdict: IndexVerdict,
    /// What differs besides attestations, or was not compared.
    pub differences: Vec<String>,
    /// How many attestations it names.
    pub attestations: usize,
}

/// What was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Each platform that is published, in the order of the index.
    pub platforms: Vec<ComparedPlatform>,
    /// The index, where one is published.
    pub index: Option<ComparedIndex>,
}

/// Compares what is published with what was rebuilt. `wanted` are the platforms that were asked for, all where there are none;
/// `is_emulated` says of which of them RUN did not run as on its own machine.
#[must_use]
pub fn compare(
    published: &Image,
    rebuilt: &Image,
    wanted: &[Platform],
    is_emulated: impl Fn(&Platform) -> bool,
) -> Compared {
    let of_rebuilt = images(rebuilt, &[]);
    let mut platforms: Vec<ComparedPlatform> = Vec::new();
    let is_wanted = |platform: &Platform| wanted.is_empty() || wanted.iter().any(|one| one.agrees_with(platform));
    for one in all(published) {
        let platform = &one.config.platform;
        let counterpart =
            of_rebuilt.iter().find(|other| is_wanted(platform) && same_platform(platform, &other.config.platform));
        let level = counterpart.and_then(|other| level_of(one, *other));
        let whole = if one.manifest.is_some() { Level::Manifest } else { Level::Config };
        let verdict = match counterpart {
            None => PlatformVerdict::NotRebuilt,
            Some(_) if level >= Some(whole) => PlatformVerdict::Equal,
            Some(_) if is_emulated(platform) => PlatformVerdict::Emulated,
            Some(_) => PlatformVerdict::Different,
        };
        let rebuilt = counterpart.map(|other| digests(*other));
        platforms.push(ComparedPlatform {
            platform: platform.to_string(),
            asked: is_wanted(platform),
            verdict,
            level,
            published: digests(one),
            rebuilt,
        });
    }
    let left_out = published.left_out.iter().filter(|link| !link.is_called_attestation());
    // What is called an attestation and holds something else was read, and is nothing that a build gives.
    let others = published.attestations.iter().filter(|one| !one.is_statements).map(|one| &one.descriptor);
    platforms.extend(left_out.chain(others).map(|link| ComparedPlatform {
        platform: link.platform.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string),
        // An engine may take what names no platform on any: nobody can leave it out.
        asked: link.platform.as_ref().is_none_or(is_wanted),
        verdict: PlatformVerdict::NotRebuilt,
        level: None,
        published: Digests { manifest: Some(link.digest.clone()), config: None },
        rebuilt: None,
    }));
    let index = compare_index(published, rebuilt, &platforms);
    Compared { platforms, index }
}

fn all(image: &Image) -> impl Iterator<Item = One<'_>> {
    let manifests =
        image.manifests.iter().map(|one| One { manifest: Some(one), config: &one.config, layers: &one.layers });
    manifests.chain(image.docker_images.iter().map(|one| One {
        manifest: None,
        config: &one.config,
        layers: &one.layers,
    }))
}

fn same_platform(a: &Platform, b: &Platform) -> bool {
    a.agrees_with(b) && b.agrees_with(a)
}

fn digests(one: One<'_>) -> Digests {
    Digests {
        manifest: one.manifest.map(|manifest| manifest.document.digest.clone()),
        config: Some(one.config.document.digest.clone()),
    }
}

fn level_of(published: One<'_>, rebuilt: One<'_>) -> Option<Level> {
    let (a, b) = (digests(published), digests(rebuilt));
    let diff_ids = |one: One<'_>| one.layers.iter().map(|layer| layer.diff_id.clone()).collect::<Vec<_>>();
    match () {
        () if a.manifest.is_some() && a.manifest == b.manifest => Some(Level::Manifest),
        () if a.config == b.config => Some(Level::Config),
        () if diff_ids(published) == diff_ids(rebuilt) => Some(Level::Layers),
        () => None,
    }
}

/// The index that a registry shows of an image, where it is one.
#[must_use]
pub fn top_index(image: &Image) -> Option<&Index> {
    let top = image.digest()?;
    image.indexes.iter().find(|index| index.document.digest == *top)
}

fn compare_index(published: &Image, rebuilt: &Image, platforms: &[ComparedPlatform]) -> Option<ComparedIndex> {
    let index = top_index(published)?;
    let links = links(index);
    let (attestations, images): (Vec<&Value>, Vec<&Value>) =
        links.iter().partition(|link| leads_to_statements(link, published));
    let mut compared = ComparedIndex {
        published: index.document.digest.clone(),
        rebuilt: top_index(rebuilt).map(|index| index.document.digest.clone()),
        verdict: IndexVerdict::NotCompared,
        differences: Vec::new(),
        attestations: attestations.len(),
    };
    if compared.rebuilt.as_ref() == Some(&compared.published) {
        compared.verdict = IndexVerdict::Equal;
        return Some(compared);
    }
    let others = others(&images, published, platforms);
    if !others.is_empty() {
        compared.differences = others;
        return Some(compared);
    }
    let differ = platforms.iter().filter(|one| one.verdict != PlatformVerdict::Equal);
    compared.differences = differ.map(|one| format!("the image for {}", one.platform)).collect();
    let more = match top_index(rebuilt) {
        Some(other) => index_differences(index, &images, other),
        None => lone_differences(index, &images, published),
    };
    for difference in more {
        if !compared.differences.contains(&difference) {
            compared.differences.push(difference);
        }
    }
    if compared.differences.is_empty() && attestations.is_empty() {
        let is_wrapped = compared.rebuilt.is_none();
        let what = if is_wrapped { "it is an index, and the rebuild is none" } else { "how its document is written" };
        compared.differences.push(what.to_owned());
    }
    let is_like = compared.differences.is_empty();
    compared.verdict = if is_like { IndexVerdict::AttestationsOnly } else { IndexVerdict::Different };
    Some(compared)
}

fn links(index: &Index) -> Vec<Value> {
    index.document.value().get("manifests").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Whether a link leads to statements that were read. By its words alone it may be an image.
fn leads_to_statements(link: &Value, published: &Image) -> bool {
    serde_json::from_value::<Descriptor>(link.clone()).is_ok_and(|link| {
        let is_it = |one: &Attestation| one.is_statements && one.descriptor.digest == link.digest;
        link.is_called_attestation() && published.attestations.iter().any(is_it)
    })
}

/// What an index names and no rebuild can stand for.
fn others(images: &[&Value], published: &Image, platforms: &[ComparedPlatform]) -> Vec<String> {
    let mut others = Vec::new();
    let not_rebuilt = platforms.iter().filter(|one| one.verdict == PlatformVerdict::NotRebuilt);
    others.extend(not_rebuilt.map(|one| format!("{} was not rebuilt", one.platform)));
    if published.left_out.iter().any(Descriptor::is_called_attestation) {
        others.push("it names an attestation that is not here".to_owned());
    }
    if published.indexes.len() > 1 {
        others.push("it names another index".to_owned());
    }
    let mut seen = Vec::new();
    for link in images {
        let platform = link.get("platform").cloned().unwrap_or_default();
        if seen.contains(&platform) {
            others.push(format!("it names more than one image for {}", shown_platform(&platform)));
        }
        seen.push(platform);
    }
    others
}

fn shown_platform(platform: &Value) -> String {
    serde_json::from_value::<Platform>(platform.clone())
        .map_or_else(|_| "no platform".to_owned(), |found| found.to_string())
}

/// What an index says besides its attestations, where the rebuild has none: nothing stands against it but what BuildKit writes
/// around one image with attestations (`exporter/containerimage/writer.go`).
fn lone_differences(index: &Index, images: &[&Value], published: &Image) -> Vec<String> {
    let mut differences: Vec<String> = index.annotations.keys().map(|key| annotation("the index", key)).collect();
    let own = ["schemaVersion", "mediaType", "manifests", "annotations"];
    differences.extend(others_than(&own, &index.document.value()).map(|field| format!("its {field}")));
    for link in images {
        differences.extend(link_annotations(link).map(|key| annotation("a descriptor in it", &key)));
        let of = format!("of the descriptor for {}", shown_platform(link.get("platform").unwrap_or(&Value::Null)));
        let own = ["mediaType", "digest", "size", "platform", "annotations"];
        differences.extend(others_than(&own, link).map(|field| format!("{field} {of}")));
        let said = link.get("platform").cloned().unwrap_or_default();
        let own = ["architecture", "os", "variant", "os.version", "os.features"];
        let is_own = others_than(&own, &said).next().is_none();
        let said = serde_json::from_value::<Platform>(said).ok().filter(|_| is_own);
        let manifest =
            published.manifests.iter().find(|one| link.get("digest") == Some(&one.document.digest.to_string().into()));
        if !said.zip(manifest).is_some_and(|(said, manifest)| same_platform(&said, &manifest.config.platform)) {
            differences.push(format!("`platform` {of}"));
        }
    }
    if images.len() > 1 {
        differences.push("it holds more than one image, and the rebuild is one".to_owned());
    }
    differences
}

/// The fields of an object that are none of these, quoted.
fn others_than(known: &[&str], object: &Value) -> impl Iterator<Item = String> {
    let keys = object.as_object().into_iter().flat_map(|map| map.keys());
    let others = keys.filter(|key| !known.contains(&key.as_str()));
    others.map(|key| format!("`{}`", crate::image::escape::escape(key))).collect::<Vec<_>>().into_iter()
}

/// What differs in an index besides attestations: what its own fields and its links say, and their order.
fn index_differences(index: &Index, images: &[&Value], other: &Index) -> Vec<String> {
    let mut differences = Vec::new();
    let (mut one, mut two) = (index.document.value(), other.document.value());
    for document in [&mut one, &mut two] {
        if let Some(map) = document.as_object_mut() {
            map.remove("manifests");
        }
    }
    if one != two {
        let keys =
            |document: &Value| document.as_object().into_iter().flat_map(|map| map.keys().cloned()).collect::<Vec<_>>();
        let mut fields: Vec<String> = keys(&one).into_iter().chain(keys(&two)).collect();
        fields.sort();
        fields.dedup();
        let differ = fields.into_iter().filter(|field| one.get(field) != two.get(field));
        differences.extend(differ.map(|field| format!("its `{}`", crate::image::escape::escape(&field))));
    }
    let theirs = links(other);
    let mine: Vec<&Value> = theirs.iter().collect();
    if images != mine.as_slice() {
        differences.extend(link_differences(images, &mine));
    }
    differences
}

fn link_annotations(link: &Value) -> impl Iterator<Item = String> {
    let annotations = link.get("annotations").and_then(Value::as_object);
    annotations.into_iter().flat_map(|map| map.keys().cloned()).collect::<Vec<_>>().into_iter()
}

fn annotation(place: &str, key: &str) -> String {
    format!("annotation `{}` of {place}", crate::image::escape::escape(key))
}

fn link_differences(images: &[&Value], rebuilt: &[&Value]) -> Vec<String> {
    let mut differences = Vec::new();
    for link in images {
        let name = shown_platform(link.get("platform").unwrap_or(&Value::Null));
        match rebuilt.iter().find(|other| other.get("digest") == link.get("digest")) {
            Some(other) if other == link => {}
            Some(other) => {
                let fields = ["mediaType", "size", "platform", "annotations", "artifactType", "urls", "data"];
                let differ = fields.into_iter().filter(|field| other.get(field) != link.get(field));
                differences.extend(differ.map(|field| format!("`{field}` of the descriptor for {name}")));
            }
            None => differences.push(format!("the image for {name}")),
        }
    }
    if differences.is_empty() {
        differences.push("the order of its images, or fields that nothing knows".to_owned());
    }
    differences
}
