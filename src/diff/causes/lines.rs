//! The lines of a unified diff: which lines became which, and by what words.

use std::collections::BTreeMap;

use super::words::{self, Change, Word};
use crate::diff::model::Text;

/// What differs in a text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Lines {
    /// Lines that became other lines, with the words by which they differ; none where they differ by something else.
    pub pairs: Vec<Pair>,
    /// Lines that only one side has.
    pub single: usize,
    /// Whether all lines that left came back elsewhere.
    pub is_reordered: bool,
    /// Whether something was not told: lines, or their ends.
    pub is_cut: bool,
}

/// A line of each side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Of the first side.
    pub a: Vec<u8>,
    /// Of the second side.
    pub b: Vec<u8>,
    /// What moved, with the words of both sides.
    pub words: Vec<(Word, Vec<u8>, Vec<u8>)>,
}

impl Lines {
    /// Reads the lines of a unified diff: `-` and `+` in front of what left and what came, anything else stands between blocks.
    #[must_use]
    pub fn parse(lines: &[Text], more: u64) -> Self {
        let mut found = Self { is_cut: more > 0, ..Self::default() };
        let (mut left, mut came) = (Vec::new(), Vec::new());
        let (mut all_left, mut all_came) = (BTreeMap::new(), BTreeMap::new());
        for line in lines {
            found.is_cut |= line.cut > 0;
            match line.bytes.split_first() {
                Some((b'-', rest)) => {
                    if !came.is_empty() {
                        found.block(&mut left, &mut came);
                    }
                    *all_left.entry(trimmed(rest)).or_insert(0_usize) += 1;
                    left.push(trimmed(rest));
                }
                Some((b'+', rest)) => {
                    *all_came.entry(trimmed(rest)).or_insert(0_usize) += 1;
                    came.push(trimmed(rest));
                }
                // `\ No newline at end of file` belongs to the line above it.
                Some((b'\\', _)) => {}
                _ => found.block(&mut left, &mut came),
            }
        }
        found.block(&mut left, &mut came);
        found.is_reordered = !all_left.is_empty() && all_left == all_came;
        found
    }

    /// One line that became another one.
    #[must_use]
    pub fn of_line(a: &[u8], b: &[u8]) -> Self {
        Self { pairs: vec![Pair::new(a, b)], ..Self::default() }
    }

    /// Pairs the lines of a block: in their order where there are as many, else those with the same fixed parts.
    fn block(&mut self, left: &mut Vec<&[u8]>, came: &mut Vec<&[u8]>) {
        let mut came: std::collections::VecDeque<&[u8]> = std::mem::take(came).into();
        let left = std::mem::take(left);
        let in_order = left.len() == came.len();
        for a in left {
            let at = if in_order { Some(0) } else { came.iter().position(|b| is_pair(a, b)) };
            match at.and_then(|at| came.drain(..=at).next_back().map(|b| (at, b))) {
                Some((passed, b)) => {
                    self.single += passed;
                    self.pairs.push(Pair::new(a, b));
                }
                None => self.single += 1,
            }
        }
        self.single += came.len();
    }

    /// Whether all that differs are moving words of these kinds.
    #[must_use]
    pub fn differ_by(&self, kinds: &[Word]) -> bool {
        self.single == 0
            && !self.pairs.is_empty()
            && self.pairs.iter().all(|pair| pair.is_known() && pair.words.iter().all(|(word, ..)| kinds.contains(word)))
    }

    /// Whether some word of this kind moved.
    #[must_use]
    pub fn has(&self, kind: Word) -> bool {
        self.moved(kind).next().is_some()
    }

    /// The words of a kind that moved, those of the first side and of the second.
    pub fn moved(&self, kind: Word) -> impl Iterator<Item = (&Pair, &[u8], &[u8])> {
        self.pairs.iter().flat_map(move |pair| {
            let of_kind = pair.words.iter().filter(move |(word, ..)| *word == kind);
            of_kind.map(move |(_, a, b)| (pair, a.as_slice(), b.as_slice()))
        })
    }

    /// Whether the same words stand in another order, in lines or within them.
    #[must_use]
    pub fn is_shuffled(&self) -> bool {
        self.is_reordered || self.single == 0 && !self.pairs.is_empty() && self.pairs.iter().all(Pair::is_shuffled)
    }
}

impl Pair {
    fn new(a: &[u8], b: &[u8]) -> Self {
        let words = match words::compare(a, b) {
            Change::Words(pairs) => {
                pairs.into_iter().map(|(a, b)| (a.word, a.bytes.to_vec(), b.bytes.to_vec())).collect()
            }
            Change::Other => Vec::new(),
        };
        Self { a: a.to_vec(), b: b.to_vec(), words }
    }

    /// Whether moving words are all by which the lines differ.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.words.is_empty()
    }

    /// Whether both lines hold the same words, at least three, in another order.
    fn is_shuffled(&self) -> bool {
        let words = |line: &[u8]| -> Vec<Vec<u8>> {
            let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:".contains(byte) || *byte >= 0x80;
            let mut words: Vec<Vec<u8>> =
                line.split(|byte| !is_part(byte)).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect();
            words.sort();
            words
        };
        let (one, other) = (words(&self.a), words(&self.b));
        one.len() >= 3 && one == other && self.a != self.b
    }
}

fn is_pair(a: &[u8], b: &[u8]) -> bool {
    matches!(words::compare(a, b), Change::Words(_))
}

fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Lines {
        let lines: Vec<Text> = text.lines().map(Text::from).collect();
        Lines::parse(&lines, 0)
    }

    #[test]
    fn lines_are_paired_in_their_block() {
        let lines = parse("@@ -1,3 +1,3 @@\n a\n-at 2026-11-22\n+at 2026-11-23\n b\n-x 1\n+x 2");
        assert_eq!((lines.pairs.len(), lines.single), (2, 0));
        assert!(lines.has(Word::Time) && !lines.differ_by(&[Word::Time]));
        assert!(parse("-at 2026-11-22\n+at 2026-11-23").differ_by(&[Word::Time]));
    }

    #[test]
    fn lines_of_one_side_do_not_wander() {
        let lines = parse("-at 2026-11-22\n+new\n+at 2026-11-23");
        assert_eq!((lines.pairs.len(), lines.single), (1, 1));
        assert!(!lines.differ_by(&[Word::Time]));
    }

    #[test]
    fn another_order_is_seen_in_lines_and_within_them() {
        assert!(parse("-a\n-b\n c\n+b\n+a").is_shuffled());
        assert!(parse("-{'a', 'b', 'c'}\n+{'c', 'a', 'b'}").is_shuffled());
        assert!(!parse("-a\n+b").is_shuffled());
        assert!(!parse("-a b c\n+a b d").is_shuffled());
    }
}
