//! The layers that differ: read, joined, looked into.

use std::io::{self, Read};
use std::thread;

use super::causes::Findings;
use super::content::{Looker, SideFiles};
use super::join::Join;
use super::model::{Comparison, Difference, EntryDifference, Kind, LayerPair, PlatformPair, Text};
use super::read::{ReadError, ReadLayer, Tail, read_layer};
use super::verdict::conclude;
use super::{Job, Plan};
use crate::image::Copies;
use crate::limits;

/// Takes the contents of files that differ, for those who want to look at them with other tools.
pub trait Files {
    /// A file of the first or of the second side, by the number of its platform, that of its layer, and its path as it is stored.
    fn file(&mut self, is_first: bool, layer: (usize, usize), path: &[u8], content: &mut dyn Read) -> io::Result<()>;
}

impl Plan {
    /// Reads the layers that differ, finds out in what and why, and says what came out.
    ///
    /// The copies are those of the blobs that [`Plan::wanted`] names. Contents go to `files`, where somebody wants them.
    pub fn walk(
        mut self,
        (a, b): (&Copies, &Copies),
        mut files: Option<&mut dyn Files>,
    ) -> Result<Comparison, ReadError> {
        let mut findings = Findings::new(self.options.source.clone());
        let mut kept = 0;
        let mut looker = Looker::default();
        for job in std::mem::take(&mut self.jobs) {
            let (layer_a, layer_b) = read_both(&job, a, b)?;
            let tail = tails(&layer_a.tail, &layer_b.tail);
            let mut join = Join::new(layer_a.entries, layer_b.entries, self.options.ignore)?;
            let platform = &mut self.comparison.platforms[job.platform];
            let mut layer = platform.layers[job.layer].clone();
            while let Some(entry) = join.next()? {
                count(&mut layer, &entry);
                if kept < limits::DIFF_ENTRIES {
                    kept += 1;
                    layer.entries.push(entry);
                } else {
                    // Nobody will look into this one any more.
                    findings.entry(platform, &layer, &entry);
                }
            }
            layer.differences.extend(join.order()?);
            layer.differences.extend(tail.map(|tail| tail.ignored(self.options.ignore.of_encoding())));
            if layer.differences.is_empty() && layer.differing_entries == 0 {
                layer.differences.push(other_bytes(&layer));
            }
            let sides = [(a, &job.a), (b, &job.b)].map(|(copies, blob)| SideFiles { copies, blob });
            looker.look(&sides, (job.platform, job.layer), &mut layer.entries, &mut files)?;
            platform.layers[job.layer] = layer;
        }
        let is_identical = self.is_identical;
        conclude(&mut self.comparison, is_identical, self.options.ignore);
        findings.conclude(&mut self.comparison);
        Ok(self.comparison)
    }
}

/// Both at the same time: inflating is the slow part.
fn read_both(job: &Job, a: &Copies, b: &Copies) -> Result<(ReadLayer, ReadLayer), ReadError> {
    thread::scope(|scope| {
        let other = scope.spawn(|| read_layer(b, &job.b.0, job.b.1));
        let one = read_layer(a, &job.a.0, job.a.1);
        let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((one?, other?))
    })
}

fn tails(a: &Tail, b: &Tail) -> Option<Difference> {
    (a != b).then(|| Difference::new(Kind::Tail, a.shown(), b.shown()))
}

fn other_bytes(layer: &LayerPair) -> Difference {
    let shown = |side: &Option<super::model::LayerRef>| side.as_ref().map(|side| Text::from(side.diff_id.to_string()));
    Difference::of(Kind::OtherBytes, shown(&layer.a), shown(&layer.b))
}

fn count(layer: &mut LayerPair, entry: &EntryDifference) {
    layer.differing_entries += 1;
    layer.ignored_entries += u64::from(!entry.counts());
    for by in entry.differences.iter().filter_map(|difference| difference.ignored_by) {
        *layer.ignored.entry(by).or_default() += 1;
    }
    let mut kinds: Vec<&'static str> = entry.differences.iter().map(|difference| difference.kind.name()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        *layer.kinds.entry(kind).or_default() += 1;
    }
}

/// Every difference of a comparison but those between entries, with whether it is one of attestations only.
pub fn each_difference<'c>(comparison: &'c Comparison, mut visit: impl FnMut(&'c Difference, bool)) {
    comparison.index.iter().for_each(|difference| visit(difference, false));
    comparison.attestations.iter().for_each(|difference| visit(difference, true));
    for PlatformPair { manifest, config, layers, .. } in &comparison.platforms {
        manifest.iter().chain(config).for_each(|difference| visit(difference, false));
        for layer in layers {
            layer.differences.iter().for_each(|difference| visit(difference, false));
        }
    }
}
