//! Which file of the context a path in the image is.

use std::cell::Cell;
use std::rc::Rc;

use crate::limits::{MOVING_FILE_BYTES, MOVING_FILES_BYTES};

/// Copies that are remembered of one stage.
const COPIES: usize = 128;

/// Reads a file of the context by its path in it, such as `app/requirements.txt`; `None` where there is none.
pub(super) type Read<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

/// The context, as far as it is read.
pub(super) struct Files<'a> {
    read: Read<'a>,
    left: Cell<usize>,
}

/// What a stage has from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copied {
    /// A path of the context, or `None` for what comes from elsewhere.
    pub(super) source: Option<Rc<str>>,
    /// Where it is in the image, absolute; `None` where that is not known.
    pub(super) target: Option<Rc<str>>,
    /// Whether the target is a directory that the source is put into.
    pub(super) is_into: bool,
}

/// A file of the image, as the Dockerfile tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// It comes from the context: its path there, and its text.
    Text(String, String),
    /// It would come from the context, and is not there.
    Absent,
    /// It may come from elsewhere.
    Unknown,
}

impl Found {
    /// Its text.
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(_, text) = self { Some(text) } else { None }
    }
}

impl<'a> Files<'a> {
    /// Those that this brings.
    pub(super) fn new(read: Read<'a>) -> Self {
        Self { read, left: Cell::new(MOVING_FILES_BYTES) }
    }

    /// A file of the context.
    fn load(&self, path: &str) -> Option<String> {
        if self.left.get() == 0 {
            return None;
        }
        // To ask for what is empty or not there costs something as well.
        self.left.set(self.left.get().saturating_sub(1024));
        let bytes = (self.read)(path).filter(|bytes| bytes.len() <= MOVING_FILE_BYTES)?;
        self.left.set(self.left.get().saturating_sub(bytes.len()));
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A file of an image, by its absolute path.
    pub(super) fn find(&self, path: &str, copied: &[Copied]) -> Found {
        let mut is_known = false;
        for copy in copied.iter().rev() {
            let Some(target) = &copy.target else { return Found::Unknown };
            let Some(source) = &copy.source else {
                // Something else lies there, or around it.
                if below(path, target).is_some() {
                    return Found::Unknown;
                }
                continue;
            };
            for candidate in candidates(path, source, target, copy.is_into) {
                if let Some(text) = self.load(&candidate) {
                    return Found::Text(candidate, text);
                }
                is_known = true;
            }
        }
        // A directory was copied that could have brought it, and has not.
        if is_known
            || copied.iter().any(|copy| copy.target.as_deref().is_some_and(|target| below(path, target).is_some()))
        {
            return Found::Absent;
        }
        Found::Unknown
    }
}

/// Remembers a copy; past the ceiling nothing is known any more.
pub(super) fn remember(copied: &mut Vec<Copied>, copy: Copied) {
    if copied.len() < COPIES {
        copied.push(copy);
    } else if let Some(last) = copied.last_mut() {
        *last = Copied { source: None, target: None, is_into: false };
    }
}

/// The paths of the context that a path of the image may be.
fn candidates(path: &str, source: &str, target: &str, is_into: bool) -> Vec<String> {
    let mut found = Vec::new();
    let source = source.trim_start_matches("./").trim_matches('/');
    let source = if source == "." { "" } else { source };
    let name = path.rsplit('/').next().unwrap_or_default();
    let (directory, pattern) = source.rsplit_once('/').unwrap_or(("", source));
    if source.contains(['*', '?', '[']) {
        // The files of one directory, put into another one.
        if below(path, target) == Some(name) && fits(pattern, name) && !directory.contains(['*', '?', '[']) {
            found.push(join(directory, name));
        }
        return found;
    }
    if path == target && !source.is_empty() && !is_into {
        found.push(source.to_owned());
    }
    if let Some(rest) = below(path, target) {
        // A file into a directory, or the contents of a directory.
        if rest == pattern && !source.is_empty() && is_into {
            found.push(source.to_owned());
        }
        found.push(join(source, rest));
    }
    found
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// The path within a directory.
fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(directory.trim_end_matches('/'))?.strip_prefix('/')?;
    (!rest.is_empty()).then_some(rest)
}

/// Whether a name fits a pattern with `*` and `?`. Character classes are taken for anything.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut within, mut star) = (0, 0, None);
    while within < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, within));
                at += 1;
            }
            Some(b'[') if pattern[at..].contains(&b']') => {
                at += pattern[at..].iter().position(|byte| *byte == b']').unwrap_or(0) + 1;
                within += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[within] => {
                at += 1;
                within += 1;
            }
            _ => match star.as_mut() {
                Some((star, from)) => {
                    *from += 1;
                    (at, within) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// A path as it is from a directory: absolute, without `.` and `..`.
pub(super) fn absolute(directory: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(source: Option<&str>, target: &str, is_into: bool) -> Copied {
        Copied { source: source.map(Into::into), target: Some(target.into()), is_into }
    }

    #[test]
    fn a_path_of_the_image_is_found_in_the_context() {
        let read = |path: &str| (path == "a/lock" || path == "lock").then(|| b"text".to_vec());
        let find = |path: &str, copies: &[Copied]| Files::new(&read).find(path, copies);
        let text = |path: &str| Found::Text(path.to_owned(), "text".to_owned());
        for (path, copies, expected) in [
            ("/lock", vec![], Found::Unknown),
            ("/app/lock", vec![copied(Some("."), "/app", true)], text("lock")),
            ("/app/a/lock", vec![copied(Some("./"), "/app", true)], text("a/lock")),
            ("/app/lock", vec![copied(Some("a"), "/app", false)], text("a/lock")),
            ("/app/lock", vec![copied(Some("a/lock"), "/app", true)], text("a/lock")),
            ("/app/other", vec![copied(Some("a/lock"), "/app/other", false)], text("a/lock")),
            ("/app/lock", vec![copied(Some("loc*"), "/app", true)], text("lock")),
            ("/app/lock", vec![copied(Some("x*"), "/app", true)], Found::Absent),
            ("/app/none", vec![copied(Some("."), "/app", true)], Found::Absent),
            ("/app/lock", vec![copied(Some("."), "/else", true)], Found::Unknown),
            ("/app/none", vec![copied(None, "/app", true), copied(Some("."), "/app", true)], Found::Unknown),
        ] {
            assert_eq!(find(path, &copies), expected, "{path} of {copies:?}");
        }
    }

    #[test]
    fn paths_and_patterns() {
        assert_eq!(absolute("/app", "./a/../b"), "/app/b");
        assert_eq!(absolute("/app", "/x//y/."), "/x/y");
        assert_eq!(absolute("/", "../.."), "/");
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("package*.json", "package-lock.json", true),
            ("?[ab]", "xb", true),
            ("a", "ab", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
