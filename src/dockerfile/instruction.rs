//! Instructions: lines that belong together, and the here-documents behind them.

use super::directive::{self, Directive, DirectiveName};
use super::{DockerfileError, flags, heredoc, lines, trim_start};

/// The longest line that BuildKit takes (`bufio.MaxScanTokenSize`, with the newline).
pub(super) const LINE_BYTES: usize = (64 << 10) - 1;

/// Instructions of one file. An image has at most 127 layers; a file of so many metadata is made to be large.
pub(super) const INSTRUCTIONS: usize = 10_000;

/// Lines of a file, counted from 1, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lines {
    /// The first line.
    pub first: usize,
    /// The last line.
    pub last: usize,
}

/// An instruction, over however many lines it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Its name as it is written, such as `RUN` or `run`.
    pub keyword: String,
    /// `--name=value` and `--name` in front of the arguments, without quotes and escapes.
    pub flags: Vec<String>,
    /// The rest, with the ends of its lines taken out; nothing is expanded.
    pub arguments: String,
    /// From its first line to the end of its last here-document.
    pub lines: Lines,
    /// The here-documents behind it.
    pub heredocs: Vec<Heredoc>,
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it.
    pub name: String,
    /// Its text, without the line that ends it; `None` where there is no text.
    pub lines: Option<Lines>,
}

impl Instruction {
    /// Whether it is called this, in whatever case.
    #[must_use]
    pub fn is(&self, keyword: &str) -> bool {
        self.keyword.eq_ignore_ascii_case(keyword)
    }

    /// The value of a flag, such as `builder` of `--from=builder`; a flag without a value has an empty one.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().find_map(|flag| {
            let (found, value) = flag.strip_prefix("--")?.split_once('=').unwrap_or((&flag[2..], ""));
            (found == name).then_some(value)
        })
    }

    /// The instruction that ONBUILD puts off, on the same lines and with its here-documents.
    #[must_use]
    pub fn deferred(&self, escape: char) -> Option<Self> {
        let (keyword, rest) = flags::split_keyword(&self.arguments).filter(|_| self.is("onbuild"))?;
        let (flags, arguments) = flags::split_flags(rest, escape);
        Some(Self { keyword: keyword.to_owned(), flags, arguments, ..self.clone() })
    }
}

struct Reader<'a> {
    lines: Vec<&'a [u8]>,
    at: usize,
    escape: u8,
    directives: Vec<Directive>,
    directives_end: bool,
}

/// Reads the directives, the escape character and the instructions.
pub(super) fn read(bytes: &[u8]) -> Result<(Vec<Directive>, u8, Vec<Instruction>), DockerfileError> {
    let lines: Vec<&[u8]> = lines(bytes).collect();
    if let Some(long) = lines.iter().position(|line| line.len() > LINE_BYTES) {
        return Err(DockerfileError::LongLine(long + 1));
    }
    let mut reader = Reader { lines, at: 0, escape: b'\\', directives: Vec::new(), directives_end: false };
    let mut instructions = Vec::new();
    while let Some(instruction) = reader.instruction()? {
        if instructions.len() == INSTRUCTIONS {
            return Err(DockerfileError::TooMany(instruction.lines.first));
        }
        instructions.push(instruction);
    }
    Ok((reader.directives, reader.escape, instructions))
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.lines.get(self.at).copied()?;
        self.at += 1;
        Some(line)
    }

    fn instruction(&mut self) -> Result<Option<Instruction>, DockerfileError> {
        while let Some(line) = self.next() {
            let first = self.at;
            let line = trim_start(without_newline(line));
            self.directive(line)?;
            let (start, goes_on) = continued(if is_comment(line) { b"" } else { line }, self.escape);
            if start.is_empty() && !goes_on {
                continue;
            }
            let text = self.logical_line(start, goes_on);
            let text = String::from_utf8_lossy(&text).into_owned();
            let Some((keyword, rest)) = flags::split_keyword(&text) else { continue };
            let (flags, arguments) = flags::split_flags(rest, char::from(self.escape));
            let mut instruction = Instruction {
                keyword: keyword.to_owned(),
                flags,
                arguments,
                lines: Lines { first, last: self.at },
                heredocs: Vec::new(),
            };
            for (name, without_tabs) in heredoc::names(&instruction, &text, char::from(self.escape)) {
                let heredoc = self.heredoc(first, name, without_tabs)?;
                instruction.heredocs.push(heredoc);
            }
            instruction.lines.last = self.at;
            return Ok(Some(instruction));
        }
        Ok(None)
    }

    fn directive(&mut self, line: &[u8]) -> Result<(), DockerfileError> {
        if self.directives_end {
            return Ok(());
        }
        let Some((name, value)) = directive::parse(line, b"#") else {
            self.directives_end = true;
            return Ok(());
        };
        let line = self.at;
        if self.directives.iter().any(|directive| directive.name == name) {
            return Err(DockerfileError::Twice { line, name: name.name() });
        }
        if name == DirectiveName::Escape {
            self.escape = match value.as_str() {
                "\\" => b'\\',
                "`" => b'`',
                _ => return Err(DockerfileError::Escape { line, value }),
            };
        }
        self.directives.push(Directive { name, value, line });
        Ok(())
    }

    /// The first line and those that it goes on with. Comments and empty lines between them do not end it.
    fn logical_line(&mut self, start: &[u8], mut goes_on: bool) -> Vec<u8> {
        let mut text = start.to_vec();
        while goes_on {
            let Some(line) = self.next().map(without_newline) else { break };
            if is_comment(line) || trim_start(line).is_empty() {
                continue;
            }
            let (part, more) = continued(line, self.escape);
            text.extend_from_slice(part);
            goes_on = more;
        }
        text
    }

    fn heredoc(&mut self, line: usize, name: String, without_tabs: bool) -> Result<Heredoc, DockerfileError> {
        let first = self.at + 1;
        while let Some(text) = self.next() {
            let mut text = without_newline(text);
            if without_tabs {
                let tabs = text.iter().take_while(|byte| **byte == b'\t').count();
                text = &text[tabs..];
            }
            if text == name.as_bytes() {
                let last = self.at - 1;
                return Ok(Heredoc { name, lines: (first <= last).then_some(Lines { first, last }) });
            }
        }
        Err(DockerfileError::NoEnd { line, name })
    }
}

/// The line without the escape character at its end, and whether there was one: a single one, not itself escaped.
pub(super) fn continued(line: &[u8], escape: u8) -> (&[u8], bool) {
    let blank = line.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match &line[..line.len() - blank] {
        [start @ .., last] if *last == escape && start.last() != Some(&escape) => (start, true),
        _ => (line, false),
    }
}

pub(super) fn without_newline(line: &[u8]) -> &[u8] {
    let returns = line.iter().rev().take_while(|byte| **byte == b'\r').count();
    &line[..line.len() - returns]
}

pub(super) fn is_comment(line: &[u8]) -> bool {
    trim_start(line).first() == Some(&b'#')
}
