//! Texts inside of binary files, as a unified diff.
//!
//! A program holds the times, paths and names that somebody wrote into it, between bytes that mean nothing to us. Runs of printable
//! characters are compared like lines.

use similar::{Algorithm, ChangeTag, capture_diff_slices};

use super::Content;
use crate::diff::model::Text;
use crate::limits;

/// The shortest run that is taken for a text.
const SHORTEST: usize = 5;

/// The runs of printable characters in which two files differ. Says whether nothing but them differs.
pub fn compare(a: &[u8], b: &[u8], content: &mut Content) {
    let (runs_a, runs_b) = (runs(a), runs(b));
    let is_only = rest(a, &runs_a) == rest(b, &runs_b);
    let texts = |bytes: &'_ [u8], runs: &[(usize, usize)]| -> Vec<Vec<u8>> {
        runs.iter().map(|(start, end)| bytes[*start..*end].to_vec()).collect()
    };
    let (texts_a, texts_b) = (texts(a, &runs_a), texts(b, &runs_b));
    let start = texts_a.iter().zip(&texts_b).take_while(|(one, other)| one == other).count();
    let (rest_a, rest_b) = (&texts_a[start..], &texts_b[start..]);
    let end = rest_a.iter().rev().zip(rest_b.iter().rev()).take_while(|(one, other)| one == other).count();
    let (rest_a, rest_b) = (&rest_a[..rest_a.len() - end], &rest_b[..rest_b.len() - end]);
    if rest_a.len().max(rest_b.len()) > limits::LOOK_TEXT_LINES {
        return;
    }
    // As many runs on both sides stand at the same places, as a rule: then each is the other one's.
    if rest_a.len() == rest_b.len() {
        for (one, other) in rest_a.iter().zip(rest_b).filter(|(one, other)| one != other) {
            push(content, b'-', one);
            push(content, b'+', other);
            push(content, b' ', b"");
        }
    } else {
        for op in capture_diff_slices(Algorithm::Myers, rest_a, rest_b) {
            for change in op.iter_changes(rest_a, rest_b) {
                match change.tag() {
                    ChangeTag::Delete => push(content, b'-', change.value_ref()),
                    ChangeTag::Insert => push(content, b'+', change.value_ref()),
                    ChangeTag::Equal => push(content, b' ', b""),
                }
            }
        }
    }
    content.is_only_texts = is_only && !content.lines.is_empty();
}

fn push(content: &mut Content, sign: u8, text: &[u8]) {
    if content.lines.len() < limits::LOOK_LINES {
        content.lines.push(Text::value(&[&[sign], text].concat()));
    } else {
        content.more_lines += 1;
    }
}

/// Where runs of printable ASCII begin and end.
fn runs(bytes: &[u8]) -> Vec<(usize, usize)> {
    let (mut runs, mut start) = (Vec::new(), 0);
    for (at, byte) in bytes.iter().chain(&[0]).enumerate() {
        if !matches!(byte, b' '..=b'~' | b'\t') {
            if at - start >= SHORTEST {
                runs.push((start, at));
            }
            start = at + 1;
        }
    }
    runs
}

/// What lies between the runs.
fn rest(bytes: &[u8], runs: &[(usize, usize)]) -> Vec<u8> {
    let (mut rest, mut at) = (Vec::new(), 0);
    for (start, end) in runs {
        rest.extend_from_slice(&bytes[at..*start]);
        at = *end;
    }
    rest.extend_from_slice(&bytes[at..]);
    rest
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;

    fn lines(a: &[u8], b: &[u8]) -> (Vec<String>, bool) {
        let mut content = Content::new(Format::Binary, None);
        compare(a, b, &mut content);
        (content.lines.iter().map(Text::to_string).filter(|line| line != " ").collect(), content.is_only_texts)
    }

    #[test]
    fn texts_between_other_bytes_are_compared() {
        let (found, is_only) =
            lines(b"\x01\x02built Nov 22 2026\0\xffsame text\0", b"\x01\x02built Nov 23 2026\0\xffsame text\0");
        assert_eq!(found, ["-built Nov 22 2026", "+built Nov 23 2026"]);
        assert!(is_only);
    }

    #[test]
    fn other_bytes_are_seen() {
        assert_eq!(lines(b"\x01hello\x02", b"\x03hello\x02"), (Vec::new(), false));
        assert!(!lines(b"\x01hello\x02", b"\x03hellx\x02").1);
    }
}
