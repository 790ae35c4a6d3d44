//! Lines of text, as a unified diff.

use similar::{Algorithm, ChangeTag, TextDiff};

use super::Content;
use crate::diff::model::Text;
use crate::limits;

/// Lines that are shown around a change.
const AROUND: usize = 3;

/// Whether bytes are text: UTF-8 without the characters that only binary files have.
pub fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| {
        !text.chars().any(|it| it.is_control() && !matches!(it, '\n' | '\t' | '\r' | '\u{c}' | '\u{1b}' | '\u{8}'))
    })
}

/// The lines in which two texts differ, with three lines around each.
pub fn compare(a: &[u8], b: &[u8], content: &mut Content) {
    let (lines_a, lines_b) = (lines(a), lines(b));
    let sorted = |lines: &[&[u8]]| {
        let mut lines: Vec<Vec<u8>> = lines.iter().map(|line| line.trim_ascii_end().to_vec()).collect();
        lines.sort_unstable();
        lines
    };
    content.is_reordered = lines_a.len() == lines_b.len() && sorted(&lines_a) == sorted(&lines_b);
    let start = lines_a.iter().zip(&lines_b).take_while(|(one, other)| one == other).count();
    let end = lines_a[start..]
        .iter()
        .rev()
        .zip(lines_b[start..].iter().rev())
        .take_while(|(one, other)| one == other)
        .count();
    let longest = (lines_a.len() - start - end).max(lines_b.len() - start - end);
    if longest > limits::LOOK_TEXT_LINES {
        content.note = Some(format!("{longest} lines differ from line {} on, too many to be told", start + 1));
        return;
    }
    // The equal ends are cut away before, but for what is shown around a change.
    let from = start.saturating_sub(AROUND);
    let to = |lines: &[&[u8]]| lines.len() - end.saturating_sub(AROUND);
    let diff = TextDiff::configure()
        .algorithm(Algorithm::Myers)
        .diff_slices(&lines_a[from..to(&lines_a)], &lines_b[from..to(&lines_b)]);
    for hunk in diff.grouped_ops(AROUND) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        let range = |start: usize, end: usize| format!("{},{}", from + start + 1, end - start);
        let old = range(first.old_range().start, last.old_range().end);
        let new = range(first.new_range().start, last.new_range().end);
        push(content, format!("@@ -{old} +{new} @@").as_bytes());
        for change in hunk.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Equal => b' ',
                ChangeTag::Delete => b'-',
                ChangeTag::Insert => b'+',
            };
            let line = change.value();
            let shown = line.strip_suffix(b"\n").unwrap_or(line);
            push(content, &[&[sign], shown].concat());
            if shown.len() == line.len() {
                push(content, b"\\ No newline at end of file");
            }
        }
    }
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

fn push(content: &mut Content, line: &[u8]) {
    if content.lines.len() < limits::LOOK_LINES {
        content.lines.push(Text::value(line));
    } else {
        content.more_lines += 1;
    }
}
