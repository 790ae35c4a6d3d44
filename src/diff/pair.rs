//! What belongs together on the two sides: platforms, layers, steps of a history.

use crate::image::{Descriptor, DockerImage, History, Image, Layer, Manifest, Platform};
use crate::limits;

/// Indexes of what belongs together; a side that has nothing to it has none.
pub type Pair = (Option<usize>, Option<usize>);

/// Two lists in their order: what is equal is paired by the longest common subsequence, the rest stands alone.
///
/// Equal starts and ends are taken off first. Where the rest is too large to be compared each with each, which no real image
/// is, it is left unpaired.
pub fn align<T: PartialEq>(a: &[T], b: &[T]) -> Vec<Pair> {
    let start = a.iter().zip(b).take_while(|(one, other)| one == other).count();
    let (rest_a, rest_b) = (&a[start..], &b[start..]);
    let end = rest_a.iter().rev().zip(rest_b.iter().rev()).take_while(|(one, other)| one == other).count();
    let (rest_a, rest_b) = (&rest_a[..rest_a.len() - end], &rest_b[..rest_b.len() - end]);
    let mut pairs: Vec<Pair> = (0..start).map(|at| (Some(at), Some(at))).collect();
    let middle = common(rest_a, rest_b);
    pairs.extend(middle.into_iter().map(|(one, other)| (one.map(|at| at + start), other.map(|at| at + start))));
    pairs.extend((0..end).rev().map(|at| (Some(a.len() - 1 - at), Some(b.len() - 1 - at))));
    pairs
}

fn common<T: PartialEq>(a: &[T], b: &[T]) -> Vec<Pair> {
    let alone = |range: std::ops::Range<usize>| range.map(Some);
    if a.len().saturating_mul(b.len()) > limits::DIFF_ALIGN {
        return alone(0..a.len()).map(|at| (at, None)).chain(alone(0..b.len()).map(|at| (None, at))).collect();
    }
    // lengths[i][j]: the longest common subsequence of what follows i in the one and j in the other.
    let width = b.len() + 1;
    let mut lengths = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            lengths[i * width + j] = if a[i] == b[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            pairs.push((Some(i), Some(j)));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) {
            pairs.push((Some(i), None));
            i += 1;
        } else {
            pairs.push((None, Some(j)));
            j += 1;
        }
    }
    pairs
}

/// Pairs what [`align`] left alone: within a gap those of one `key`, then, where as many are left on both sides, by their order.
pub fn fill<K: PartialEq>(pairs: Vec<Pair>, key_a: impl Fn(usize) -> K, key_b: impl Fn(usize) -> K) -> Vec<Pair> {
    let mut filled = Vec::new();
    let (mut gap_a, mut gap_b) = (Vec::new(), Vec::new());
    for pair in pairs {
        match pair {
            (Some(at), None) => gap_a.push(at),
            (None, Some(at)) => gap_b.push(at),
            both => {
                close(&mut filled, &mut gap_a, &mut gap_b, (&key_a, &key_b));
                filled.push(both);
            }
        }
    }
    close(&mut filled, &mut gap_a, &mut gap_b, (&key_a, &key_b));
    filled
}

fn close<K: PartialEq>(
    filled: &mut Vec<Pair>,
    gap_a: &mut Vec<usize>,
    gap_b: &mut Vec<usize>,
    (name_a, name_b): (&impl Fn(usize) -> K, &impl Fn(usize) -> K),
) {
    let keys_a: Vec<K> = gap_a.iter().map(|at| name_a(*at)).collect();
    let keys_b: Vec<K> = gap_b.iter().map(|at| name_b(*at)).collect();
    let inner = align(&keys_a, &keys_b);
    let alone = |pair: &&Pair| pair.0.is_none() || pair.1.is_none();
    let (lone_a, lone_b) = (
        inner.iter().filter(alone).filter_map(|pair| pair.0).collect::<Vec<_>>(),
        inner.iter().filter(alone).filter_map(|pair| pair.1).collect::<Vec<_>>(),
    );
    let is_by_order = lone_a.len() == lone_b.len();
    for (a, b) in inner {
        match (a, b) {
            (Some(a), None) if is_by_order => {
                let at = lone_a.iter().position(|lone| *lone == a).unwrap_or_default();
                filled.push((Some(gap_a[a]), lone_b.get(at).map(|b| gap_b[*b])));
            }
            (None, Some(_)) if is_by_order => {}
            (a, b) => filled.push((a.map(|a| gap_a[a]), b.map(|b| gap_b[b]))),
        }
    }
    gap_a.clear();
    gap_b.clear();
}

/// An image for one platform, in whatever form it comes.
#[derive(Clone, Copy)]
pub enum OneImage<'a> {
    /// With a manifest.
    Manifest(&'a Manifest),
    /// Without one.
    Docker(&'a DockerImage),
    /// Named by an index, and not there.
    LeftOut(&'a Descriptor),
}

impl<'a> OneImage<'a> {
    /// The images of a source that are for `platform`, or all of them.
    pub fn all(image: &'a Image, platform: Option<&Platform>) -> Vec<Self> {
        let manifests = image.manifests.iter().map(Self::Manifest);
        let dockers = image.docker_images.iter().map(Self::Docker);
        let left_out = image.left_out.iter().map(Self::LeftOut);
        let all = manifests.chain(dockers).chain(left_out);
        all.filter(|one| platform.is_none_or(|platform| platform.agrees_with(&one.platform()))).collect()
    }

    pub fn platform(self) -> Platform {
        match self {
            Self::Manifest(manifest) => manifest.config.platform.clone(),
            Self::Docker(docker) => docker.config.platform.clone(),
            Self::LeftOut(descriptor) => descriptor.platform.clone().unwrap_or_default(),
        }
    }

    pub fn layers(self) -> &'a [Layer] {
        match self {
            Self::Manifest(manifest) => &manifest.layers,
            Self::Docker(docker) => &docker.layers,
            Self::LeftOut(_) => &[],
        }
    }

    pub const fn config(self) -> Option<&'a crate::image::Config> {
        match self {
            Self::Manifest(manifest) => Some(&manifest.config),
            Self::Docker(docker) => Some(&docker.config),
            Self::LeftOut(_) => None,
        }
    }

    pub fn history(self) -> &'a [History] {
        self.config().map(|config| config.history.as_slice()).unwrap_or_default()
    }

    /// The step of the history that made a layer, where the history tells as many layers as there are.
    pub fn step_of(self, layer: usize) -> Option<usize> {
        let steps: Vec<usize> =
            self.history().iter().enumerate().filter(|(_, step)| !step.empty_layer).map(|(at, _)| at).collect();
        (steps.len() == self.layers().len()).then(|| steps.get(layer).copied()).flatten()
    }

    /// What the step says, without the values of arguments that BuildKit writes in front of a command.
    pub fn words_of(self, layer: usize) -> String {
        let words = self.step_of(layer).map(|step| self.history()[step].created_by.as_str()).unwrap_or_default();
        without_arguments(words)
    }
}

/// `RUN |2 A=b C=d /bin/sh -c x` without `|2 A=b C=d`: which values arguments have is no matter of which instruction it is.
pub fn without_arguments(words: &str) -> String {
    let Some((before, rest)) = words.split_once('|') else { return words.to_owned() };
    let is_run = before.is_empty() || before == "RUN ";
    let Some(shell) = rest.find(" /bin/").filter(|_| is_run && rest.starts_with(|c: char| c.is_ascii_digit())) else {
        return words.to_owned();
    };
    format!("{before}{}", &rest[shell + 1..])
}

/// Platforms of both sides, paired: first those that are the same, then those that mean the same.
pub fn platforms(a: &[OneImage<'_>], b: &[OneImage<'_>]) -> Vec<Pair> {
    let mut free: Vec<usize> = (0..b.len()).collect();
    let mut pairs: Vec<Pair> = (0..a.len()).map(|at| (Some(at), None)).collect();
    let is_same = |one: &Platform, other: &Platform| one == other;
    let means_same = |one: &Platform, other: &Platform| one.agrees_with(other) || other.agrees_with(one);
    for fits in [is_same as fn(&Platform, &Platform) -> bool, means_same] {
        for pair in pairs.iter_mut().filter(|pair| pair.1.is_none()) {
            let platform = pair.0.map(|at| a[at].platform()).unwrap_or_default();
            if let Some(found) = free.iter().position(|at| fits(&platform, &b[*at].platform())) {
                pair.1 = Some(free.remove(found));
            }
        }
    }
    pairs.extend(free.into_iter().map(|at| (None, Some(at))));
    pairs
}

/// Layers of both sides: by their diff IDs, then by what made them, then by their order.
pub fn layers(a: OneImage<'_>, b: OneImage<'_>) -> Vec<Pair> {
    let ids = |one: OneImage<'_>| one.layers().iter().map(|layer| layer.diff_id.clone()).collect::<Vec<_>>();
    fill(align(&ids(a), &ids(b)), |at| a.words_of(at), |at| b.words_of(at))
}
