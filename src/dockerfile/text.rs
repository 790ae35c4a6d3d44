//! What an instruction says, with the line of each byte: for whoever wants to point at a word of it.

use super::instruction::{Instruction, continued, is_comment, without_newline};
use super::{lines, trim_start, without_mark};

/// The lines of a Dockerfile.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    lines: Vec<&'a [u8]>,
}

/// The arguments of an instruction and, behind a newline, the here-documents that follow them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text. What is not UTF-8 is replaced.
    pub text: String,
    /// Where each line of the file begins in it, in order, with the line's number.
    starts: Vec<(usize, usize)>,
}

impl<'a> Source<'a> {
    /// The lines of the file that an instruction was read from.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { lines: lines(without_mark(bytes)).map(without_newline).collect() }
    }

    /// What this instruction says; `escape` is the file's.
    #[must_use]
    pub fn text(&self, instruction: &Instruction, escape: char) -> Text {
        let escape = u8::try_from(escape).unwrap_or(b'\\');
        let (mut joined, mut starts) = (String::new(), Vec::new());
        let end = instruction.lines.last.min(self.lines.len());
        let mut at = instruction.lines.first.saturating_sub(1);
        while at < end {
            let line = self.lines[at];
            at += 1;
            if !starts.is_empty() && (is_comment(line) || trim_start(line).is_empty()) {
                continue;
            }
            let (part, goes_on) = continued(line, escape);
            starts.push((joined.len(), at));
            joined.push_str(&String::from_utf8_lossy(part));
            if !goes_on {
                break;
            }
        }
        // The arguments end the line. Letters that are split over two lines are the only ones that could be read otherwise.
        let before = joined.trim_end().strip_suffix(instruction.arguments.as_str()).map_or(0, str::len);
        let within = starts.iter().rposition(|(start, _)| *start <= before).unwrap_or(0);
        let starts = starts.drain(within..).map(|(start, line)| (start.saturating_sub(before), line)).collect();
        let mut text = Text { text: instruction.arguments.clone(), starts };
        for (line, number) in self.lines.get(at..end).unwrap_or_default().iter().zip(at + 1..) {
            text.text.push('\n');
            text.starts.push((text.text.len(), number));
            text.text.push_str(&String::from_utf8_lossy(line));
        }
        text
    }
}

impl Text {
    /// A text that stands on one line.
    #[must_use]
    pub fn on_line(text: String, line: usize) -> Self {
        Self { text, starts: vec![(0, line)] }
    }

    /// A text of lines that follow each other.
    #[must_use]
    pub fn from_line(text: String, line: usize) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(newlines).zip(line..).collect();
        Self { text, starts }
    }

    /// The line of the file that this byte of the text comes from.
    #[must_use]
    pub fn line(&self, at: usize) -> usize {
        let next = self.starts.partition_point(|(start, _)| *start <= at);
        self.starts.get(next.saturating_sub(1)).map_or(0, |(_, line)| *line)
    }
}
