//! Two images, compared: what differs on which level, and why.
//!
//! Both were read and checked before, every byte of them: see [`crate::image`]. What has equal digests is not walked then, for
//! nothing can be found there. [`Plan::new`] pairs what belongs together and compares the documents; the layers that differ are
//! read again out of [`Copies`](crate::image::Copies) and joined, entry by entry, by [`Plan::walk`], in memory that does not grow with them. Whatever
//! is left over, because the digests differ and no difference was found, is told as a difference: never as equal.
//!
//! | file | what |
//! |---|---|
//! | `model.rs` | the tree of differences |
//! | `pair.rs` | what belongs together: platforms, layers, steps |
//! | `documents.rs`, `json.rs` | indexes, manifests, configs |
//! | `read.rs`, `sort.rs` | a layer as sorted entries |
//! | `entry.rs`, `entry/shape.rs` | an entry with all that a tar says of it, and how it is stored |
//! | `join.rs`, `compare.rs` | two layers, two entries |
//! | `content/` | what differs inside of two files |
//! | `origin.rs` | which instruction made a layer |
//! | `ignore.rs` | what does not count |
//! | `verdict.rs` | what came out |
//! | `causes/` | why something differs; one file a cause |

pub mod causes;
mod compare;
pub mod content;
mod documents;
mod entry;
mod ignore;
mod join;
mod json;
pub mod model;
mod origin;
mod pair;
mod read;
mod sort;
mod verdict;
mod walk;

use std::collections::BTreeMap;

pub use entry::{EntryFacts, EntryType};
pub use ignore::{Ignore, Ignored, Switch};
pub use model::{Comparison, Verdict};
pub use origin::Source;
pub use read::ReadError;
pub use walk::Files;

use crate::digest::Digest;
use crate::image::media_type::Compression;
use crate::image::rewrite::REWRITTEN;
use crate::image::{Image, Layer, Platform};
use model::{Difference, EqualLevel, ImageRef, Kind, LayerPair, LayerRef, PlatformPair, Relation, Side, Summary, Text};
use pair::OneImage;

/// What to compare, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only the image for this platform.
    pub platform: Option<Platform>,
    /// What does not count.
    pub ignore: Ignore,
    /// The Dockerfile that both were built from.
    pub source: Option<Source>,
}

/// Blobs with their sizes.
pub type Wanted = BTreeMap<Digest, u64>;

/// Two layers that are to be read.
#[derive(Debug, Clone)]
struct Job {
    platform: usize,
    layer: usize,
    a: (Digest, Compression),
    b: (Digest, Compression),
}

/// A comparison of which everything is known but what is in the layers.
#[derive(Debug)]
pub struct Plan {
    comparison: Comparison,
    options: Options,
    jobs: Vec<Job>,
    wanted: (Wanted, Wanted),
    /// Whether both have the digest that a registry shows.
    is_identical: bool,
}

impl Plan {
    /// Compares all but the layers. The images come with what the user calls them.
    #[must_use]
    pub fn new((name_a, a): (&[u8], &Image), (name_b, b): (&[u8], &Image), options: Options) -> Self {
        let side = |name: &[u8], image: &Image| Side {
            name: Text::whole(name),
            digest: image.digest().cloned(),
            form: image.form,
            container: image.container,
        };
        let is_identical = verdict::is_identical(a, b);
        let mut comparison = Comparison {
            schema: model::SCHEMA,
            verdict: Verdict::Identical,
            equal: EqualLevel::Image,
            a: side(name_a, a),
            b: side(name_b, b),
            platform: options.platform.clone(),
            ignored: Vec::new(),
            summary: Summary::default(),
            findings: Vec::new(),
            archive: documents::archives(a, b, options.ignore),
            index: Vec::new(),
            attestations: Vec::new(),
            platforms: Vec::new(),
            notes: Vec::new(),
        };
        let mut plan = Self {
            is_identical,
            jobs: Vec::new(),
            wanted: Default::default(),
            options,
            comparison: comparison.clone(),
        };
        let (all_a, all_b) =
            (OneImage::all(a, plan.options.platform.as_ref()), OneImage::all(b, plan.options.platform.as_ref()));
        // An archive without manifests has nothing that an index could lead to.
        let has_indexes = !a.roots.is_empty() && !b.roots.is_empty() && plan.options.platform.is_none();
        if has_indexes && !is_identical {
            let found = documents::indexes(a, b, plan.options.ignore);
            (comparison.index, comparison.attestations) = (found.index, found.attestations);
        }
        for (one, other) in pair::platforms(&all_a, &all_b) {
            let pair = plan.pair(comparison.platforms.len(), one.map(|at| all_a[at]), other.map(|at| all_b[at]));
            comparison.platforms.push(pair);
        }
        comparison.notes = verdict::notes(&all_a, &all_b);
        plan.comparison = comparison;
        plan
    }

    /// The blobs that have to be read again, of each side.
    #[must_use]
    pub const fn wanted(&self) -> (&Wanted, &Wanted) {
        (&self.wanted.0, &self.wanted.1)
    }

    /// How many platforms there are to compare.
    #[must_use]
    pub fn platforms(&self) -> usize {
        self.comparison.platforms.len()
    }

    fn pair(&mut self, number: usize, a: Option<OneImage<'_>>, b: Option<OneImage<'_>>) -> PlatformPair {
        let ignore = self.options.ignore;
        let platform = a.or(b).map(OneImage::platform).unwrap_or_default();
        let mut pair = PlatformPair {
            platform,
            a: a.map(image_ref),
            b: b.map(image_ref),
            manifest: Vec::new(),
            config: Vec::new(),
            layers: Vec::new(),
        };
        let (Some(a), Some(b)) = (a, b) else {
            let shown = |side: Option<&ImageRef>| {
                let digest = side.and_then(|side| side.manifest.as_ref().or(side.config.as_ref()));
                side.map(|_| Text::from(digest.map(Digest::to_string).unwrap_or_default()))
            };
            pair.manifest
                .push(Difference::of(Kind::Missing, shown(pair.a.as_ref()), shown(pair.b.as_ref())).at("platform"));
            return pair;
        };
        let left_out = |one: OneImage<'_>| matches!(one, OneImage::LeftOut(_));
        if left_out(a) || left_out(b) {
            pair.manifest.extend(digests_of_left_out(&pair));
            return pair;
        }
        if let (OneImage::Manifest(one), OneImage::Manifest(other)) = (a, b) {
            pair.manifest = documents::manifests(one, other, ignore);
        }
        pair.config = documents::configs(a, b, ignore);
        for (one, other) in pair::layers(a, b) {
            let layer = self.layer((number, pair.layers.len()), (a, one), (b, other));
            pair.layers.push(layer);
        }
        origin::locate(&mut pair, a, b, self.options.source.as_ref());
        pair
    }

    fn layer(
        &mut self,
        (platform, number): (usize, usize),
        (image_a, a): (OneImage<'_>, Option<usize>),
        (image_b, b): (OneImage<'_>, Option<usize>),
    ) -> LayerPair {
        let ignore = self.options.ignore;
        let layer_a = a.map(|at| (at, &image_a.layers()[at]));
        let layer_b = b.map(|at| (at, &image_b.layers()[at]));
        let mut differences = Vec::new();
        if let (OneImage::Manifest(one), OneImage::Manifest(other), Some(at_a), Some(at_b)) = (image_a, image_b, a, b) {
            differences = documents::layer_descriptors((one, at_a), (other, at_b), ignore);
        }
        let relation = match (layer_a, layer_b) {
            (Some((_, a)), Some((_, b))) if a.descriptor.digest == b.descriptor.digest => Relation::Same,
            (Some((_, a)), Some((_, b))) if a.diff_id == b.diff_id => Relation::CompressionOnly,
            (Some((_, a)), Some((_, b))) => {
                self.wanted.0.insert(a.descriptor.digest.clone(), a.descriptor.size);
                self.wanted.1.insert(b.descriptor.digest.clone(), b.descriptor.size);
                let blob = |layer: &Layer| (layer.descriptor.digest.clone(), layer.compression);
                self.jobs.push(Job { platform, layer: number, a: blob(a), b: blob(b) });
                Relation::Different
            }
            (Some(_), None) => Relation::OnlyA,
            (None, _) => Relation::OnlyB,
        };
        let shown = |layer: Option<(usize, &Layer)>| {
            layer.map(|(_, layer)| Text::from(format!("{}, {}", layer.descriptor.digest, layer.compression.name())))
        };
        let is_manifest = |one: OneImage<'_>| matches!(one, OneImage::Manifest(_));
        match relation {
            // How Docker's archives hold a layer is no part of their images.
            Relation::CompressionOnly if is_manifest(image_a) && is_manifest(image_b) => {
                let difference = Difference::of(Kind::Compression, shown(layer_a), shown(layer_b));
                differences.push(difference.ignored(ignore.of_encoding()));
            }
            Relation::OnlyA | Relation::OnlyB => {
                differences.push(Difference::of(Kind::Missing, shown(layer_a), shown(layer_b)));
            }
            _ => {}
        }
        LayerPair {
            relation,
            a: layer_a.map(|(at, layer)| layer_ref(image_a, at, layer)),
            b: layer_b.map(|(at, layer)| layer_ref(image_b, at, layer)),
            instruction: None,
            differences,
            differing_entries: 0,
            ignored_entries: 0,
            kinds: BTreeMap::new(),
            ignored: BTreeMap::new(),
            entries: Vec::new(),
        }
    }
}

fn image_ref(one: OneImage<'_>) -> ImageRef {
    let manifest = match one {
        OneImage::Manifest(manifest) => Some(manifest.document.digest.clone()),
        OneImage::Docker(_) => None,
        OneImage::LeftOut(descriptor) => Some(descriptor.digest.clone()),
    };
    let config = one.config();
    ImageRef {
        manifest,
        config: config.map(|config| config.document.digest.clone()),
        created: config.and_then(|config| config.created.clone()).map(Text::from),
    }
}

fn layer_ref(image: OneImage<'_>, number: usize, layer: &Layer) -> LayerRef {
    LayerRef {
        number,
        digest: layer.descriptor.digest.clone(),
        diff_id: layer.diff_id.clone(),
        compression: layer.compression,
        size: layer.descriptor.size,
        entries: layer.facts.entries,
        rewritten: layer.descriptor.annotations.get(REWRITTEN).map(|epoch| Text::from(epoch.as_str())),
        created_by: image.step_of(number).map(|step| Text::from(image.history()[step].created_by.as_str())),
    }
}

/// Of what an index names and nobody has here, the digest tells whether it is the same, and nothing more.
fn digests_of_left_out(pair: &PlatformPair) -> Option<Difference> {
    let digest = |side: &Option<ImageRef>| side.as_ref().and_then(|side| side.manifest.clone());
    let (one, other) = (digest(&pair.a), digest(&pair.b));
    if one.is_some() && one == other {
        return None;
    }
    let shown = |digest: Option<Digest>| digest.map(|digest| Text::from(digest.to_string()));
    Some(Difference::of(Kind::Digest, shown(one), shown(other)).at("left out here, so that nothing more can be told"))
}
