//! Which instruction of a Dockerfile made a layer.
//!
//! BuildKit writes each instruction to the history (`frontend/dockerfile/dockerfile2llb/convert.go`, `commitToHistory`), the base
//! image's in front. So the steps are matched to the instructions of the stage from the end, until one does not fit: a line that
//! is wrong is worse than none.

use super::model::{Instruction, PlatformPair, Text};
use super::pair::{OneImage, without_arguments};
use crate::dockerfile::{self, Dockerfile};
use crate::image::History;

/// Spaces and line ends do not count where words are held against each other.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A Dockerfile that both images were built from.
#[derive(Debug, Clone)]
pub struct Source {
    /// What it is called in reports.
    pub name: String,
    /// What it says.
    pub dockerfile: Dockerfile,
    /// Its lines.
    lines: Vec<String>,
    /// The stage that was built; the last one where none is named.
    pub target: Option<String>,
}

impl Source {
    /// Reads a Dockerfile.
    pub fn parse(name: &str, bytes: &[u8], target: Option<&str>) -> Result<Self, dockerfile::DockerfileError> {
        let dockerfile = Dockerfile::parse(bytes)?;
        let lines = String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
        Ok(Self { name: name.to_owned(), dockerfile, lines, target: target.map(str::to_lowercase) })
    }

    /// Whether the stage that was asked for is there.
    #[must_use]
    pub fn has_target(&self) -> bool {
        self.stage().is_some()
    }

    fn stage(&self) -> Option<usize> {
        let stages = &self.dockerfile.stages;
        match &self.target {
            None => stages.len().checked_sub(1),
            Some(name) => stages
                .iter()
                .position(|stage| stage.name.as_deref() == Some(name))
                .or_else(|| name.parse().ok().filter(|number| *number < stages.len())),
        }
    }

    /// The instructions of the stage, with those of the stages that it begins with in front.
    fn instructions(&self) -> Vec<&dockerfile::Instruction> {
        self.chain().into_iter().map(|at| &self.dockerfile.instructions[at]).collect()
    }

    /// The numbers of these among all instructions.
    pub(super) fn chain(&self) -> Vec<usize> {
        self.stage().map(|stage| self.chain_of(stage)).unwrap_or_default()
    }

    /// The same of another stage.
    pub(super) fn chain_of(&self, stage: usize) -> Vec<usize> {
        let stages = self.stages_of(stage).into_iter().rev();
        stages.flat_map(|at| self.dockerfile.stages[at].instructions.clone()).collect()
    }

    /// A stage, and those that it begins with.
    fn stages_of(&self, stage: usize) -> Vec<usize> {
        let stages = &self.dockerfile.stages;
        let mut chain = Vec::new();
        let mut next = Some(stage);
        while let Some(at) = next {
            chain.push(at);
            let base = stages[at].base.to_lowercase();
            // Only a stage above it can be meant.
            next = stages[..at].iter().rposition(|stage| stage.name.as_deref() == Some(base.as_str()));
        }
        chain
    }

    /// The FROM that names the base of the stage that was built, by its number among all instructions.
    pub(super) fn base_line(&self) -> Option<usize> {
        let first = *self.stages_of(self.stage()?).last()?;
        Some(self.dockerfile.stages[first].instructions.start)
    }

    /// The stage that `--from` means in an instruction: only one above it can be.
    pub(super) fn stage_named(&self, name: &str, instruction: usize) -> Option<usize> {
        let stages = &self.dockerfile.stages;
        let own = stages.iter().position(|stage| stage.instructions.contains(&instruction))?;
        let name = name.to_lowercase();
        let named = stages[..own].iter().rposition(|stage| stage.name.as_deref() == Some(name.as_str()));
        named.or_else(|| name.parse().ok().filter(|number| *number < own))
    }

    /// The working directory of an instruction, without slashes around it, as far as the Dockerfile tells.
    pub(super) fn directory_at(&self, instruction: usize) -> String {
        let stages = &self.dockerfile.stages;
        let Some(own) = stages.iter().position(|stage| stage.instructions.contains(&instruction)) else {
            return String::new();
        };
        let before = self.chain_of(own).into_iter().take_while(|at| *at != instruction);
        let directories = before.map(|at| &self.dockerfile.instructions[at]).filter(|one| one.is("workdir"));
        directories.fold(String::new(), |directory, one| super::causes::absolute(one.arguments.trim(), &directory))
    }

    /// All lines of an instruction, here-documents included.
    pub(super) fn text_of(&self, instruction: usize) -> String {
        let lines = self.dockerfile.instructions[instruction].lines;
        let last = lines.last.min(self.lines.len());
        self.lines.get(lines.first.saturating_sub(1)..last).unwrap_or_default().join("\n")
    }

    /// An instruction as reports tell it.
    pub(super) fn instruction_at(&self, number: usize) -> Instruction {
        self.instruction(&self.dockerfile.instructions[number])
    }

    /// The instruction of each step, where it shows.
    fn match_steps(&self, history: &[History]) -> Vec<Option<&dockerfile::Instruction>> {
        let mut matched = vec![None; history.len()];
        let instructions = self.instructions();
        let mut left = instructions.as_slice();
        for (at, step) in history.iter().enumerate().rev() {
            let words = squeezed(&said(&step.created_by));
            // ARG and FROM leave no step behind with every version of BuildKit.
            let found = loop {
                match left.split_last() {
                    Some((last, rest)) if self.fits(last, &words) => {
                        left = rest;
                        break Some(*last);
                    }
                    Some((last, rest)) if ["arg", "from", "onbuild"].iter().any(|silent| last.is(silent)) => {
                        left = rest;
                    }
                    None | Some(_) => break None,
                }
            };
            let Some(found) = found else { break };
            matched[at] = Some(found);
        }
        matched
    }

    fn fits(&self, instruction: &dockerfile::Instruction, words: &str) -> bool {
        let (keyword, rest) = words.split_once(' ').unwrap_or((words, ""));
        if !instruction.is(keyword) || instruction.is("from") {
            return false;
        }
        let arguments = squeezed(&instruction.arguments);
        if instruction.is("run") {
            let script = instruction.heredocs.first().and_then(|heredoc| heredoc.lines);
            let first = script.and_then(|lines| self.lines.get(lines.first - 1)).map(|line| squeezed(line));
            let is_list = arguments.starts_with('[');
            return is_list || rest.contains(&arguments) || first.is_some_and(|first| rest.contains(&first));
        }
        // Variables are expanded in what the history says, and so are names of files that several stand for.
        let is_plain = instruction.is("copy") || instruction.is("add") || instruction.is("workdir");
        let target = arguments.rsplit(' ').next().unwrap_or_default();
        !is_plain || arguments.contains(['$', '[', '"']) || !instruction.heredocs.is_empty() || {
            let target = target.trim_start_matches("./").trim_end_matches('/');
            rest.contains(target)
        }
    }

    fn instruction(&self, found: &dockerfile::Instruction) -> Instruction {
        let arguments = found.flags.iter().map(String::as_str).chain([found.arguments.as_str()]);
        let text = [found.keyword.as_str()].into_iter().chain(arguments).collect::<Vec<_>>().join(" ");
        Instruction {
            file: Some(Text::from(self.name.as_str())),
            first_line: Some(found.lines.first),
            last_line: Some(found.lines.last),
            text: Text::from(squeezed(&text)),
        }
    }
}

/// What a step says, in the words of a Dockerfile: without what BuildKit and the builder before it put around them.
fn said(created_by: &str) -> String {
    let words = created_by.strip_suffix("# buildkit").unwrap_or(created_by).trim();
    let words = without_arguments(words);
    match words.strip_prefix("/bin/sh -c #(nop)") {
        Some(rest) => rest.trim().to_owned(),
        None if words.starts_with("/bin/sh -c ") => format!("RUN {words}"),
        None => words,
    }
}

/// Says for each layer what made it.
pub fn locate(pair: &mut PlatformPair, a: OneImage<'_>, b: OneImage<'_>, source: Option<&Source>) {
    let steps = |one: OneImage<'_>| source.map(|source| source.match_steps(one.history())).unwrap_or_default();
    let (steps_a, steps_b) = (steps(a), steps(b));
    let find = |one: OneImage<'_>, steps: &[Option<&dockerfile::Instruction>], layer: Option<usize>| {
        let step = one.step_of(layer?)?;
        let found = steps.get(step).copied().flatten();
        let in_file = source.zip(found).map(|(source, found)| source.instruction(found));
        let words = || {
            let text = said(&one.history()[step].created_by);
            Instruction { file: None, first_line: None, last_line: None, text: Text::from(squeezed(&text)) }
        };
        Some(in_file.unwrap_or_else(words))
    };
    for layer in &mut pair.layers {
        let number = |side: &Option<super::model::LayerRef>| side.as_ref().map(|side| side.number);
        let (one, other) = (find(a, &steps_a, number(&layer.a)), find(b, &steps_b, number(&layer.b)));
        layer.instruction = match (one, other) {
            (Some(one), Some(other)) if one.file.is_none() && other.file.is_some() => Some(other),
            (one, other) => one.or(other),
        };
    }
}
