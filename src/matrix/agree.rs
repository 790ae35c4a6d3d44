//! Who agrees on a digest: what nobody but one builder saw is not published.

use std::collections::BTreeSet;

use super::cell::CacheState;
use super::past::History;
use super::verdict::{Judged, Verdict};

/// How many runtimes gave the digest of a group by themselves: on throw-away state, and with a BuildKit whose digest is proved. None
/// where a cell of the group gave another one, be it the only one of many.
#[must_use]
pub fn independent<'a>(history: &History, group: impl IntoIterator<Item = &'a Judged>) -> usize {
    let mut runtimes = BTreeSet::new();
    for judged in group {
        let cell = history.cell(&judged.entry);
        if judged.verdict.differs() {
            return 0;
        }
        if judged.verdict == Verdict::Equal && cell.cache == CacheState::Cold && !judged.entry.unproved {
            runtimes.insert(cell.runtime.as_str());
        }
    }
    runtimes.len()
}
