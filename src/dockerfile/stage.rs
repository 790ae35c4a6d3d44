//! Stages: what begins at each FROM.

use std::ops::Range;

use super::instruction::Instruction;

/// A stage of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name in lower case, as BuildKit compares it.
    pub name: Option<String>,
    /// What it begins with: an image, another stage, or `scratch`; variables are left as they are written.
    pub base: String,
    /// The line of its FROM, counted from 1.
    pub line: usize,
    /// Its instructions among those of the file; the first is FROM.
    pub instructions: Range<usize>,
}

/// The stages of these instructions. What stands before the first FROM belongs to none.
pub(super) fn find(instructions: &[Instruction]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for (at, instruction) in instructions.iter().enumerate() {
        if !instruction.is("from") {
            continue;
        }
        if let Some(last) = stages.last_mut() {
            last.instructions.end = at;
        }
        let words: Vec<&str> = instruction.arguments.split_whitespace().collect();
        let name = match words.as_slice() {
            [_, word, name] if word.eq_ignore_ascii_case("as") => Some(name.to_lowercase()),
            _ => None,
        };
        let base = words.first().copied().unwrap_or_default().to_owned();
        stages.push(Stage { name, base, line: instruction.lines.first, instructions: at..instructions.len() });
    }
    stages
}
