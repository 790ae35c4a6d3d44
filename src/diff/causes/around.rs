//! What the entries of a layer tell about each other.

use std::collections::{BTreeMap, BTreeSet};

use super::path;
use super::words::{self, Word};
use crate::diff::content::Format;
use crate::diff::model::{EntryDifference, Kind, LayerPair};

/// What is known of a layer as a whole. It is empty while a layer is still read.
#[derive(Debug, Default)]
pub struct Around {
    /// Paths that only one side has, with the path of the other side whose name differs by moving words alone.
    partners: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The moving words in these names.
    names: BTreeSet<Vec<u8>>,
    /// Names of the first side that end in a hash, with those of the second side.
    renamed: Vec<(Vec<u8>, Vec<u8>)>,
    /// Sources of Python that differ.
    sources: BTreeSet<Vec<u8>>,
    /// How many entries differ in what they hold, or are on one side only.
    contents: usize,
    /// Package managers whose lists of packages differ, and the packages.
    packages: BTreeMap<Manager, BTreeSet<Vec<u8>>>,
}

/// Who brings packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manager {
    /// dpkg and apt.
    Dpkg,
    /// apk.
    Apk,
    /// pip, uv and the like: distributions beside each other.
    Python,
    /// npm, yarn, pnpm: directories below `node_modules`.
    Node,
}

impl Around {
    /// For each path that only the first side has, the one on the second side whose name differs by moving words alone.
    #[must_use]
    pub fn partners(entries: &[EntryDifference]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut around = Self::default();
        around.pair_names(entries);
        let first: BTreeSet<&[u8]> =
            entries.iter().filter(|entry| entry.a.is_some()).map(|entry| entry.path.bytes.as_slice()).collect();
        around.partners.into_iter().filter(|(path, _)| first.contains(path.as_slice())).collect()
    }

    /// Looks at all entries of a layer that differ.
    #[must_use]
    pub fn of(layer: &LayerPair) -> Self {
        let mut around = Self::default();
        around.pair_names(&layer.entries);
        for entry in &layer.entries {
            around.note_packages(entry);
            around.contents += usize::from(
                entry.differences.iter().any(|difference| matches!(difference.kind, Kind::Content | Kind::Missing)),
            );
            let is_content = entry.differences.iter().any(|difference| difference.kind == Kind::Content);
            if is_content && entry.path.bytes.ends_with(b".py") {
                around.sources.insert(entry.path.bytes.clone());
            }
        }
        around
    }

    /// Files of each side that have one name but for moving words, as many on the one side as on the other.
    fn pair_names(&mut self, entries: &[EntryDifference]) {
        type Sides<'a> = (Vec<&'a [u8]>, Vec<&'a [u8]>);
        let mut groups: BTreeMap<Vec<u8>, Sides<'_>> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.occurrence == 0) {
            let key = || skeleton(&entry.path.bytes);
            match (&entry.a, &entry.b) {
                (Some(_), None) => groups.entry(key()).or_default().0.push(&entry.path.bytes),
                (None, Some(_)) => groups.entry(key()).or_default().1.push(&entry.path.bytes),
                _ => {}
            }
        }
        for (a, b) in groups.into_values().filter(|(a, b)| a.len() == b.len()) {
            for (one, other) in a.into_iter().zip(b) {
                if let words::Change::Words(pairs) = words::compare(one, other) {
                    for (a, b) in pairs {
                        self.names.extend([a.bytes.to_vec(), b.bytes.to_vec()]);
                    }
                }
                if path::hash_in_name(one).is_some() {
                    self.renamed.push((path::name(one).to_vec(), path::name(other).to_vec()));
                }
                self.partners.insert(one.to_vec(), other.to_vec());
                self.partners.insert(other.to_vec(), one.to_vec());
            }
        }
    }

    fn note_packages(&mut self, entry: &EntryDifference) {
        let path = entry.path.bytes.as_slice();
        if let Some(content) = &entry.content {
            let manager = match content.format {
                Format::DpkgStatus => Some(Manager::Dpkg),
                Format::ApkInstalled => Some(Manager::Apk),
                _ => None,
            };
            let packages = content.parts.iter().filter(|part| part.kind == Kind::Package);
            if let Some(manager) = manager {
                let names = packages.filter_map(|part| part.place.as_ref()).map(|place| place.bytes.clone());
                let names: Vec<_> = names.collect();
                if !names.is_empty() {
                    self.packages.entry(manager).or_default().extend(names);
                }
            }
            if let Some(name) =
                node_package(path).filter(|_| path::name(path) == b"package.json" && has_new_version(content))
            {
                self.packages.entry(Manager::Node).or_default().insert(name.to_vec());
            }
        }
        if let (Some(name), Kind::Missing) =
            (distribution(path), entry.differences.first().map_or(Kind::Content, |first| first.kind))
        {
            self.packages.entry(Manager::Python).or_default().insert(name);
        }
    }

    /// Whether no more than one entry differs in what it holds.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        self.contents == 1
    }

    /// Whether the source of this byte code (PEP 3147) differs.
    #[must_use]
    pub fn has_source_of(&self, path: &[u8]) -> bool {
        let Some((directory, name)) = split_last(path) else { return false };
        let Some(above) = directory.strip_suffix(b"__pycache__") else { return false };
        let stem = name.split(|byte| *byte == b'.').next().unwrap_or_default();
        self.sources.contains(&[above, stem, b".py"].concat())
    }

    /// The path on the other side that takes the place of one that only one side has.
    #[must_use]
    pub fn partner(&self, path: &[u8]) -> Option<&[u8]> {
        self.partners.get(path).map(Vec::as_slice)
    }

    /// Whether a word stands in a name that came or went.
    #[must_use]
    pub fn is_in_a_name(&self, word: &[u8]) -> bool {
        self.names.contains(word)
    }

    /// Whether a line became another one because files that it names by their hashes are called otherwise, and by nothing else.
    #[must_use]
    pub fn follows_names(&self, one: &[u8], other: &[u8]) -> bool {
        let mut line = one.to_vec();
        for (from, to) in &self.renamed {
            let mut at = 0;
            while let Some(found) = line[at..].windows(from.len()).position(|part| part == from.as_slice()) {
                line.splice(at + found..at + found + from.len(), to.iter().copied());
                at += found + to.len();
            }
        }
        one != other && line == other
    }

    /// Whether other versions of packages came with this manager.
    #[must_use]
    pub fn has_packages(&self, manager: Manager) -> bool {
        self.packages.contains_key(&manager)
    }

    /// Whether this package is one of them.
    #[must_use]
    pub fn has_package(&self, manager: Manager, name: &[u8]) -> bool {
        self.packages.get(&manager).is_some_and(|names| names.contains(name))
    }

    /// The kinds of words by which the names of two partners differ.
    #[must_use]
    pub fn name_words(&self, path: &[u8]) -> BTreeSet<Word> {
        let Some(partner) = self.partner(path) else { return BTreeSet::new() };
        let kinds = words::kinds(path, partner);
        if kinds.is_empty() { BTreeSet::from([Word::Random]) } else { kinds }
    }
}

/// What stays of a path when moving words are taken out, and what `mktemp` puts behind a dot or a dash.
fn skeleton(path: &[u8]) -> Vec<u8> {
    if let Some(hash) = path::hash_in_name(path) {
        return [&path[..hash.start], b"\0", &path[hash.end..]].concat();
    }
    let fixed = words::fixed_parts(path);
    let end = fixed.iter().rposition(|byte| b".-_/".contains(byte)).map_or(0, |at| at + 1);
    let last = &fixed[end..];
    let has = |is: fn(&u8) -> bool| last.iter().any(is);
    let kinds = [has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase), has(u8::is_ascii_digit)];
    // Six letters in one case are a word as often as not; `v1` and `2024` are versions.
    let is_made_up = last.len() >= 6
        && last.iter().all(u8::is_ascii_alphanumeric)
        && kinds.iter().filter(|kind| **kind).count() >= 2
        && !last[1..].iter().all(u8::is_ascii_digit)
        && !(last[0].is_ascii_uppercase() && last[1..].iter().all(u8::is_ascii_lowercase));
    if is_made_up { [&fixed[..end], b"\0", &[u8::try_from(last.len()).unwrap_or(u8::MAX)]].concat() } else { fixed }
}

fn split_last(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = path.iter().rposition(|byte| *byte == b'/')?;
    Some((&path[..at], &path[at + 1..]))
}

/// The package of `node_modules` that a path belongs to: `a`, or `@scope/a`.
#[must_use]
pub fn node_package(path: &[u8]) -> Option<&[u8]> {
    const DIRECTORY: &[u8] = b"node_modules/";
    let at = path.windows(DIRECTORY.len()).rposition(|part| part == DIRECTORY)?;
    let rest = &path[at + DIRECTORY.len()..];
    let names = if rest.starts_with(b"@") { 2 } else { 1 };
    let end =
        rest.iter().enumerate().filter(|(_, byte)| **byte == b'/').nth(names - 1).map_or(rest.len(), |(at, _)| at);
    Some(&rest[..end])
}

/// The name of the Python distribution of whose metadata a path is, without its version.
fn distribution(path: &[u8]) -> Option<Vec<u8>> {
    let mut names = path.split(|byte| *byte == b'/');
    let directory = names.find(|name| name.ends_with(b".dist-info") || name.ends_with(b".egg-info"))?;
    let end = directory.iter().position(|byte| *byte == b'-')?;
    Some(directory[..end].to_ascii_lowercase())
}

fn has_new_version(content: &super::super::content::Content) -> bool {
    let is_version = |line: &[u8]| {
        let line: Vec<u8> = line.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        line.starts_with(b"-\"version\":") || line.starts_with(b"+\"version\":")
    };
    content.lines.iter().any(|line| is_version(&line.bytes))
}
