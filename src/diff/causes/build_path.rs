//! The directory of the build in a program.

use super::lines::Pair;
use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::content::Format;
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "build-path", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let content = place
        .content()
        .filter(|content| matches!(content.format, Format::Elf | Format::Binary | Format::Ar | Format::Pyc))?;
    let lines = place.lines()?;
    let is_path =
        |pair: &Pair| pair.words.iter().any(|(word, ..)| *word == Word::Temporary) || is_moved_path(&pair.a, &pair.b);
    if !lines.pairs.iter().any(is_path) {
        return None;
    }
    let explanation = "A program names the directory that it was built in, and that was another one.";
    let fix = "Build in a directory with a fixed name, or take it out: `-ffile-prefix-map=$PWD=.` (C, C++), \
               `--remap-path-prefix=$PWD=.` (Rust), `-trimpath` (Go).";
    let is_whole = lines.single == 0
        && lines.pairs.iter().all(|pair| is_path(pair) || pair.is_known())
        && (matches!(content.format, Format::Elf | Format::Pyc) || content.is_only_texts);
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(is_whole))
}

/// Two absolute paths to one file, by its name and the directory above it.
fn is_moved_path(a: &[u8], b: &[u8]) -> bool {
    let names = |path: &[u8]| -> Option<Vec<Vec<u8>>> {
        let is_plain = path.starts_with(b"/") && path.iter().all(u8::is_ascii_graphic);
        is_plain.then(|| path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    };
    match (names(a), names(b)) {
        (Some(a), Some(b)) => a != b && a.len() > 1 && b.len() > 1 && a.last() == b.last() && a.first() == b.first(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_another_directory_is_one_file() {
        assert!(is_moved_path(b"/build/a1/src/app.c", b"/build/b2/src/app.c"));
        assert!(!is_moved_path(b"/build/a1/app.c", b"/build/a1/lib.c"));
        assert!(!is_moved_path(b"hello", b"world"));
    }
}
