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

/// What is told of a run that differs, before and after the place where it does. Some linkers put all texts of a program behind
/// each other, without anything between them.
const CONTEXT: usize = 80;

/// The runs of printable characters in which two files differ. Says whether nothing but them differs.
pub fn compare(a: &[u8], b: &[u8], content: &mut Content) {
    let (runs_a, runs_b) = (runs(a), runs(b));
    let is_only = between(a, &runs_a).eq(between(b, &runs_b));
    if a.len() == b.len() {
        in_place(a, b, &runs_a, &runs_b, content);
    } else {
        in_order(a, b, &runs_a, &runs_b, content);
    }
    content.is_only_texts = is_only && !content.lines.is_empty();
}

/// In two files of different sizes, texts are held against each other in their order.
fn in_order(a: &[u8], b: &[u8], runs_a: &[(usize, usize)], runs_b: &[(usize, usize)], content: &mut Content) {
    let texts_a: Vec<&[u8]> = runs_a.iter().map(|(start, end)| &a[*start..*end]).collect();
    let texts_b: Vec<&[u8]> = runs_b.iter().map(|(start, end)| &b[*start..*end]).collect();
    let start = texts_a.iter().zip(&texts_b).take_while(|(one, other)| one == other).count();
    let (rest_a, rest_b) = (&texts_a[start..], &texts_b[start..]);
    let end = rest_a.iter().rev().zip(rest_b.iter().rev()).take_while(|(one, other)| one == other).count();
    let (rest_a, rest_b) = (&rest_a[..rest_a.len() - end], &rest_b[..rest_b.len() - end]);
    // As many runs on both sides stand at the same places, as a rule: then each is the other one's.
    if rest_a.len() == rest_b.len() {
        for (one, other) in rest_a.iter().zip(rest_b).filter(|(one, other)| one != other) {
            pair(content, one, other);
        }
    } else if rest_a.len().max(rest_b.len()) <= limits::LOOK_TEXT_LINES {
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
}

/// In two files of one size, what stands at the same place is the same thing.
fn in_place(a: &[u8], b: &[u8], runs_a: &[(usize, usize)], runs_b: &[(usize, usize)], content: &mut Content) {
    let (mut left, mut right) = (runs_a.iter().copied().peekable(), runs_b.iter().copied().peekable());
    loop {
        let starts = [left.peek(), right.peek()].into_iter().flatten().map(|(start, _)| *start);
        let Some(first) = starts.min() else { break };
        let (one, other) = (left.next_if(|(start, _)| *start == first), right.next_if(|(start, _)| *start == first));
        match (one.map(|(start, end)| &a[start..end]), other.map(|(start, end)| &b[start..end])) {
            (Some(one), Some(other)) if one == other => {}
            (Some(one), Some(other)) => pair(content, one, other),
            (one, other) => {
                if let Some(text) = one {
                    push(content, b'-', text);
                }
                if let Some(text) = other {
                    push(content, b'+', text);
                }
                push(content, b' ', b"");
            }
        }
    }
}

/// One text that became another one: what differs, with what stands around it.
fn pair(content: &mut Content, one: &[u8], other: &[u8]) {
    let start = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let end =
        one[start..].iter().rev().zip(other[start..].iter().rev()).take_while(|(one, other)| one == other).count();
    let around = |text: &[u8]| text[start.saturating_sub(CONTEXT)..(text.len() - end.saturating_sub(CONTEXT))].to_vec();
    push(content, b'-', &around(one));
    push(content, b'+', &around(other));
    push(content, b' ', b"");
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

/// What lies between the runs, piece by piece: programs are large, and a copy of one costs as much again.
fn between<'a>(bytes: &'a [u8], runs: &'a [(usize, usize)]) -> impl Iterator<Item = &'a u8> {
    let starts = std::iter::once(0).chain(runs.iter().map(|(_, end)| *end));
    let ends = runs.iter().map(|(start, _)| *start).chain(std::iter::once(bytes.len()));
    starts.zip(ends).flat_map(move |(start, end)| &bytes[start..end])
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
    fn one_date_among_many_texts_is_found() {
        let program = |date: &str, id: &str| -> Vec<u8> {
            let texts: Vec<String> = (0..5_000).map(|number| format!("text number {number}\0\u{1}")).collect();
            let glued = "all texts of a program behind each other ".repeat(200);
            format!("{id}\0{}{glued}{date}{glued}\0{id}\0", texts.concat()).into_bytes()
        };
        let before = program("Sun Nov 22 04:24:39 UTC 2026", "id-aaaaaa");
        let (found, is_only) = lines(&before, &program("Sun Nov 22 04:25:12 UTC 2026", "id-bbbbbb"));
        assert!(is_only && found.len() == 6, "{found:?}");
        assert!(found[2].contains("Nov 22 04:24:39 UTC 2026all texts") && found[2].len() < 200, "{}", found[2]);
        // A text that is longer moves all that stands behind it.
        let (found, _) = lines(&before, &program("Sun Nov 22 04:25:12 CEST 2026", "id-bbbbbb"));
        assert!(found.len() == 6 && found[3].contains("04:25:12 CEST 2026all texts"), "{found:?}");
    }

    #[test]
    fn other_bytes_are_seen() {
        assert_eq!(lines(b"\x01hello\x02", b"\x03hello\x02"), (Vec::new(), false));
        assert!(!lines(b"\x01hello\x02", b"\x03hellx\x02").1);
    }
}
