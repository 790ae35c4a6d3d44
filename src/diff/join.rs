//! Two sorted layers, joined by path.

use std::io;

use super::compare::{compare, missing};
use super::entry::EntryFacts;
use super::ignore::{Ignore, Switch};
use super::model::{Difference, EntryDifference, Kind, Text};
use super::sort::{Sorted, Sorter};

/// What comes out of a join, one after the other.
pub struct Join {
    a: Side,
    b: Side,
    ignore: Ignore,
    order: Order,
}

/// One layer, with the entry that comes next.
struct Side {
    entries: Sorted,
    next: Option<EntryFacts>,
    /// The path of the entry before, and how many of that path there were.
    before: Vec<u8>,
    occurrence: u32,
}

impl Side {
    fn new(mut entries: Sorted) -> io::Result<Self> {
        let next = entries.next()?;
        Ok(Self { entries, next, before: Vec::new(), occurrence: 0 })
    }

    fn key(&self) -> Option<(&[u8], u32)> {
        self.next.as_ref().map(|entry| (entry.key(), self.occurrence))
    }

    fn take(&mut self) -> io::Result<Option<EntryFacts>> {
        let taken = self.next.take();
        self.next = self.entries.next()?;
        if let Some(taken) = &taken {
            self.before.clear();
            self.before.extend_from_slice(taken.key());
            let is_again = self.next.as_ref().is_some_and(|next| next.key() == self.before);
            self.occurrence = if is_again { self.occurrence + 1 } else { 0 };
        }
        Ok(taken)
    }
}

impl Join {
    /// Joins the entries of two layers.
    pub fn new(a: Sorted, b: Sorted, ignore: Ignore) -> io::Result<Self> {
        Ok(Self { a: Side::new(a)?, b: Side::new(b)?, ignore, order: Order::default() })
    }

    /// The next entry that differs, in the order of paths.
    pub fn next(&mut self) -> io::Result<Option<EntryDifference>> {
        loop {
            let (take_a, take_b) = match (self.a.key(), self.b.key()) {
                (None, None) => return Ok(None),
                (Some(_), None) => (true, false),
                (None, Some(_)) => (false, true),
                (Some(one), Some(other)) => (one <= other, one >= other),
            };
            let occurrence = if take_a { self.a.occurrence } else { self.b.occurrence };
            let mut one = if take_a { self.a.take()? } else { None };
            let mut other = if take_b { self.b.take()? } else { None };
            let differences = match (&one, &other) {
                (Some(one), Some(other)) => {
                    self.order.add(one, other)?;
                    compare(one, other, self.ignore)
                }
                (one, other) => vec![missing(one.as_ref(), other.as_ref())],
            };
            if differences.is_empty() {
                continue;
            }
            let path = one.as_ref().or(other.as_ref()).map(|entry| Text::whole(entry.key())).unwrap_or_default();
            for entry in [&mut one, &mut other].into_iter().flatten() {
                entry.forget_shape();
            }
            return Ok(Some(EntryDifference { path, occurrence, a: one, b: other, differences, content: None }));
        }
    }

    /// Whether the entries that both have come in one order; asked when all were joined.
    pub fn order(self) -> io::Result<Option<Difference>> {
        let switch = self.ignore.file_order.then_some(Switch::IgnoreFileOrder);
        Ok(self.order.finish()?.map(|difference| difference.ignored(switch)))
    }
}

/// Finds out whether the entries of both come in the same order, without having all of them in memory.
struct Order {
    /// The entries of the first side, with the number that each has on the second side in the place of its size.
    pairs: Sorter,
    /// What the number on the second side minus that on the first was so far, where it was always the same.
    shift: Option<i128>,
    is_shifted: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self { pairs: Sorter::by_index(), shift: None, is_shifted: false }
    }
}

impl Order {
    fn add(&mut self, a: &EntryFacts, b: &EntryFacts) -> io::Result<()> {
        let shift = i128::from(b.index) - i128::from(a.index);
        self.is_shifted |= *self.shift.get_or_insert(shift) != shift;
        self.pairs.push(a.place_only(b.index))
    }

    fn finish(self) -> io::Result<Option<Difference>> {
        if !self.is_shifted {
            return Ok(None);
        }
        let mut sorted = self.pairs.finish()?;
        let (mut latest, mut moved, mut first) = (None, 0_u64, None);
        while let Some(entry) = sorted.next()? {
            let there = entry.size;
            if latest.is_some_and(|latest| there < latest) {
                moved += 1;
                first.get_or_insert(entry.path);
            }
            latest = latest.max(Some(there));
        }
        Ok(first.map(|path| {
            let words = format!("{moved} entries come earlier, the first is");
            let mut shown = words.into_bytes();
            shown.push(b' ');
            shown.extend_from_slice(&path);
            Difference::of(Kind::Order, None, Some(Text::value(&shown)))
        }))
    }
}
