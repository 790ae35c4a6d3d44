//! The stages of a Dockerfile, one instruction after the other, with what is known at each.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::download::{self, Downloads};
use super::files::{self, Copied, Files, Found, absolute};
use super::images::{self, Meaning, Names};
use super::packages::{self, Place};
use super::rule::Rule;
use super::shell::{self, Command};
use super::variables::{Expansion, Variables};
use super::{Inputs, Moving, Severity};
use crate::dockerfile::{Instruction, Source, Stage};

/// A directory that is remembered, in bytes: what Linux takes.
const PATH_BYTES: usize = 4096;

/// What makes `apt` take its packages from the archive as it was at one time.
const SNAPSHOTS: [&str; 5] = [
    "snapshot.debian.org",
    "snapshot.ubuntu.com",
    "snapshot-cloudflare.debian.org",
    "repro-sources-list",
    "APT::Snapshot",
];
/// The same for Arch Linux.
const ARCHIVES: [&str; 2] = ["archive.archlinux.org", "repro-sources-list"];

/// What is known of a stage.
#[derive(Debug, Clone)]
struct State {
    variables: Rc<Variables>,
    directory: Option<Rc<str>>,
    copied: Rc<Vec<Copied>>,
    has_snapshot: bool,
    has_archive: bool,
    /// Whether the shell of RUN is one that is read here.
    has_shell: bool,
}

/// Whether a script names a snapshot of the archive, or a variable that holds one.
fn names_snapshot(text: &str, variables: &Variables) -> bool {
    let names_one = |text: &str| SNAPSHOTS.iter().any(|snapshot| text.contains(snapshot));
    // Each name once: a script may hold a variable as often as it likes.
    let names: BTreeSet<&str> = text.split('$').skip(1).map(name_in_front).filter(|name| !name.is_empty()).collect();
    names_one(text) || names.into_iter().filter_map(|name| variables.get(name)).any(|value| names_one(&value))
}

/// The name behind a `$` or `${`.
fn name_in_front(text: &str) -> &str {
    let text = text.strip_prefix('{').unwrap_or(text);
    let end = text.bytes().position(|byte| !byte.is_ascii_alphanumeric() && byte != b'_').unwrap_or(text.len());
    &text[..end]
}

struct Reader<'a> {
    inputs: &'a Inputs<'a>,
    names: Names<'a>,
    source: Source<'a>,
    files: Files<'a>,
    globals: Variables,
    found: Vec<Moving>,
}

/// Finds what moves in the stages that are built.
pub(super) fn find(inputs: &Inputs) -> Vec<Moving> {
    let names = Names { dockerfile: inputs.dockerfile, contexts: inputs.contexts };
    let globals = images::globals(inputs);
    let source = Source::new(inputs.text);
    let mut reader = Reader { inputs, names, source, files: Files::new(inputs.files), globals, found: Vec::new() };
    let wanted = reader.wanted();
    let mut states: Vec<Option<State>> = Vec::new();
    for (at, stage) in inputs.dockerfile.stages.iter().enumerate() {
        let state = wanted.contains(&at).then(|| reader.stage(at, stage, &states));
        states.push(state);
    }
    reader.found
}

impl Reader<'_> {
    /// The stages that the target needs.
    fn wanted(&self) -> BTreeSet<usize> {
        let stages = &self.inputs.dockerfile.stages;
        let target = self.inputs.target.map(|name| self.names.meaning(name, stages.len(), true));
        let Some(last) = stages.len().checked_sub(1) else { return BTreeSet::new() };
        let first = if let Some(Meaning::Stage(stage)) = target { stage } else { last };
        let (mut wanted, mut todo) = (BTreeSet::new(), vec![first]);
        while let Some(at) = todo.pop() {
            if wanted.insert(at) {
                todo.extend(self.needs(at, &stages[at]));
            }
        }
        wanted
    }

    /// The stages that one is made from.
    fn needs(&self, at: usize, stage: &Stage) -> Vec<usize> {
        let base = self.globals.expand(&stage.base);
        let mut found = self.stages_of(&base, at, false);
        for instruction in &self.inputs.dockerfile.instructions[stage.instructions.clone()] {
            let deferred = instruction.deferred(self.inputs.dockerfile.escape);
            for (_, name) in from_others(deferred.as_ref().unwrap_or(instruction)) {
                // An ARG of the stage may be in it: any value is possible.
                let missing = name.contains('$').then(String::new);
                found.extend(self.stages_of(&Expansion { text: name, missing }, at, true));
            }
        }
        found
    }

    fn stages_of(&self, name: &Expansion, before: usize, takes_numbers: bool) -> Vec<usize> {
        if name.missing.is_some() {
            return self.names.possible(&name.text, before);
        }
        match self.names.meaning(&name.text, before, takes_numbers) {
            Meaning::Stage(stage) => vec![stage],
            Meaning::Image => Vec::new(),
        }
    }

    fn stage(&mut self, at: usize, stage: &Stage, before: &[Option<State>]) -> State {
        let instructions = &self.inputs.dockerfile.instructions[stage.instructions.clone()];
        let base = self.globals.expand(&stage.base);
        let parents = self.stages_of(&base, at, false);
        let parent = parents.first().filter(|_| base.missing.is_none());
        let mut known = parent.and_then(|parent| before.get(*parent)?.clone()).unwrap_or_else(|| State {
            variables: Rc::new(self.globals.of_stage()),
            directory: Some("/".into()),
            copied: Rc::default(),
            has_snapshot: false,
            has_archive: false,
            has_shell: true,
        });
        if let Some(from) = instructions.first().filter(|_| parents.is_empty()) {
            let line = |image: &str| images::with_image(from, &stage.base, image);
            let hit = self.names.judge(Rule::BaseImage, &stage.base, &base, line);
            self.found.extend(hit.map(|hit| hit.on(from.lines.first, from.lines.last)));
        }
        let mut downloads = Downloads::default();
        for instruction in instructions.iter().skip(1) {
            self.instruction(instruction, at, &mut known, &mut downloads);
        }
        downloads.finish(&mut self.found);
        known
    }

    fn instruction(&mut self, instruction: &Instruction, at: usize, state: &mut State, downloads: &mut Downloads) {
        self.images(instruction, at, state);
        match instruction.keyword.to_ascii_lowercase().as_str() {
            "arg" => {
                let variables = Rc::make_mut(&mut state.variables);
                images::set_arguments(instruction, variables, Some(&self.globals), self.inputs);
            }
            "env" => set_environment(instruction, Rc::make_mut(&mut state.variables)),
            "workdir" => {
                let path = state.variables.expand(&instruction.arguments);
                let directory = state.directory.as_deref().unwrap_or("/");
                let is_known = path.missing.is_none() && (state.directory.is_some() || path.text.starts_with('/'));
                let joined = is_known.then(|| absolute(directory, &path.text)).filter(|path| path.len() <= PATH_BYTES);
                state.directory = joined.map(Into::into);
            }
            "shell" => {
                let words: Vec<String> = serde_json::from_str(&instruction.arguments).unwrap_or_default();
                let shell = words.first().map_or("", |word| word.rsplit(['/', '\\']).next().unwrap_or_default());
                state.has_shell = ["sh", "bash", "ash", "dash", "zsh", "ksh"].contains(&shell);
            }
            "copy" => self.copy(instruction, state),
            "add" => {
                self.add(instruction, state);
                self.copy(instruction, state);
            }
            "run" => self.run(instruction, state, downloads),
            "onbuild" => self.deferred(instruction, at, state),
            _ => {}
        }
    }

    /// What is put off to a build of another image is found here, and is at most what may move.
    fn deferred(&mut self, instruction: &Instruction, at: usize, state: &State) {
        let Some(deferred) =
            instruction.deferred(self.inputs.dockerfile.escape).filter(|deferred| !deferred.is("onbuild"))
        else {
            return;
        };
        let before = self.found.len();
        let mut downloads = Downloads::default();
        self.instruction(&deferred, at, &mut state.clone(), &mut downloads);
        downloads.finish(&mut self.found);
        for found in self.found.iter_mut().skip(before) {
            found.severity = Severity::MayMove;
        }
    }

    /// Images in COPY `--from` and RUN `--mount`.
    fn images(&mut self, instruction: &Instruction, at: usize, state: &State) {
        for (rule, name) in from_others(instruction) {
            let expansion = state.variables.expand(&name);
            let is_stage = !self.stages_of(&expansion, at, true).is_empty();
            // A variable in either place is not replaced by most versions of BuildKit.
            if is_stage || name.contains('$') {
                continue;
            }
            let line = |image: &str| images::with_image(instruction, &name, image);
            let hit = self.names.judge(rule, &name, &expansion, line);
            self.found.extend(hit.map(|hit| hit.on(instruction.lines.first, instruction.lines.last)));
        }
    }

    fn add(&mut self, instruction: &Instruction, state: &State) {
        let words = words(instruction);
        let has_checksum = instruction.flag("checksum").is_some();
        for source in words.split_last().map_or(&[][..], |(_, sources)| sources) {
            let address = state.variables.expand(source);
            let line = |flag: &str| {
                images::with_image(instruction, &instruction.arguments, &format!("{flag}{}", instruction.arguments))
            };
            let hit = download::add(&address.text, has_checksum, line);
            self.found.extend(hit.map(|hit| hit.on(instruction.lines.first, instruction.lines.last)));
        }
    }

    fn copy(&self, instruction: &Instruction, state: &mut State) {
        let words = words(instruction);
        let Some((target, sources)) = words.split_last() else { return };
        let target = state.variables.expand(target);
        let directory = state.directory.as_deref();
        let is_known = target.missing.is_none() && (directory.is_some() || target.text.starts_with('/'));
        let path =
            is_known.then(|| absolute(directory.unwrap_or("/"), &target.text)).filter(|path| path.len() <= PATH_BYTES);
        let is_into = sources.len() > 1 || target.text.ends_with(['/', '.']) || path.as_deref() == directory;
        let copied = Rc::make_mut(&mut state.copied);
        let before = copied.len();
        for source in sources {
            let source = state.variables.expand(source);
            let is_foreign = instruction.flag("from").is_some()
                || source.missing.is_some()
                || source.text.contains("://")
                || source.text.contains("<<");
            let source = (!is_foreign && source.text.len() <= PATH_BYTES).then(|| source.text.as_str().into());
            files::remember(copied, Copied { source, target: path.as_deref().map(Into::into), is_into });
        }
        if path.as_deref().is_some_and(|path| path == "/etc/apt" || path.starts_with("/etc/apt/sources.list")) {
            state.has_snapshot |= self.are_sources_fixed(instruction, &copied[before.min(copied.len())..]);
        }
        if path.as_deref().is_some_and(|path| path.starts_with("/etc/pacman")) {
            state.has_archive = true;
        }
    }

    /// Whether package sources that are copied are, or may be, those of a fixed time.
    fn are_sources_fixed(&self, instruction: &Instruction, copied: &[Copied]) -> bool {
        let names_one = |text: &str| SNAPSHOTS.iter().any(|snapshot| text.contains(snapshot));
        if !instruction.heredocs.is_empty() {
            return names_one(&self.source.text(instruction, self.inputs.dockerfile.escape).text);
        }
        copied.iter().any(|copy| {
            let (Some(source), Some(target)) = (&copy.source, &copy.target) else { return true };
            let name = source.rsplit('/').next().unwrap_or_default();
            let path = if copy.is_into { format!("{target}/{name}") } else { target.to_string() };
            match self.files.find(&path, copied) {
                Found::Text(_, text) => names_one(&text),
                Found::Absent | Found::Unknown => true,
            }
        })
    }

    fn run(&mut self, instruction: &Instruction, state: &mut State, downloads: &mut Downloads) {
        let text = self.source.text(instruction, self.inputs.dockerfile.escape);
        state.has_snapshot |= names_snapshot(&text.text, &state.variables);
        state.has_archive |= ARCHIVES.iter().any(|archive| text.text.contains(archive));
        let mut variables = Variables::clone(&state.variables);
        let line = instruction.lines.first;
        let commands = match serde_json::from_str::<Vec<String>>(&instruction.arguments) {
            Ok(words) => shell::exec(words, line, &mut variables),
            Err(_) if state.has_shell && self.inputs.dockerfile.escape == '\\' => {
                shell::commands(&text, &mut variables)
            }
            Err(_) => return,
        };
        let mut copied = Rc::clone(&state.copied);
        let mut has_snapshot = state.has_snapshot;
        for mount in mounts(instruction) {
            let is_lists = mount.target.starts_with("/etc/apt") || mount.target.starts_with("/var/lib/apt/lists");
            has_snapshot |= mount.is_bind && is_lists;
            if mount.is_bind {
                let source = mount.from.is_none().then(|| mount.source.as_str().into());
                let target = absolute(state.directory.as_deref().unwrap_or("/"), &mount.target);
                files::remember(
                    Rc::make_mut(&mut copied),
                    Copied { source, target: Some(target.into()), is_into: false },
                );
            }
        }
        let mut place = Place {
            directory: state.directory.as_deref().map(str::to_owned),
            copied: &copied,
            files: &self.files,
            variables: &state.variables,
            has_snapshot,
            has_archive: state.has_archive,
        };
        for command in &commands {
            change_directory(command, &mut place);
            let hits = packages::look(command, &place);
            self.found.extend(hits.into_iter().map(|hit| hit.on(command.first, command.last)));
        }
        downloads.run(&commands, &mut self.found);
    }
}

/// `cd`: where the commands behind it run.
fn change_directory(command: &Command, place: &mut Place) {
    if !matches!(command.name.as_str(), "cd" | "pushd" | "popd") {
        return;
    }
    let to = command
        .words
        .iter()
        .find(|word| !word.text.starts_with('-'))
        .filter(|word| word.is_known && !word.text.starts_with('~'));
    let joined = to.and_then(|word| match &place.directory {
        Some(directory) => Some(absolute(directory, &word.text)),
        None => word.text.starts_with('/').then(|| absolute("/", &word.text)),
    });
    place.directory = joined.filter(|path| path.len() <= PATH_BYTES);
}

/// Sources and target of COPY and ADD.
fn words(instruction: &Instruction) -> Vec<String> {
    serde_json::from_str(&instruction.arguments)
        .unwrap_or_else(|_| instruction.arguments.split_whitespace().map(str::to_owned).collect())
}

fn set_environment(instruction: &Instruction, variables: &mut Variables) {
    let text = instruction.arguments.as_str();
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    // The old form: a name, and the rest of the line.
    if !first.contains('=') {
        let value = variables.expand(rest.trim());
        return variables.set(first, value.missing.is_none().then_some(value.text.as_str()));
    }
    // All values are those in front of the line.
    let before = variables.clone();
    for word in shlex::split(text).unwrap_or_default() {
        if let Some((name, value)) = word.split_once('=') {
            let value = before.expand(value);
            variables.set(name, value.missing.is_none().then_some(value.text.as_str()));
        }
    }
}

/// What an instruction takes from another stage or image.
fn from_others(instruction: &Instruction) -> Vec<(Rule, String)> {
    if instruction.is("copy") {
        return instruction.flag("from").map(|from| (Rule::CopiedImage, from.to_owned())).into_iter().collect();
    }
    mounts(instruction).filter_map(|mount| Some((Rule::MountedImage, mount.from?))).collect()
}

struct Mount {
    is_bind: bool,
    from: Option<String>,
    source: String,
    target: String,
}

fn mounts(instruction: &Instruction) -> impl Iterator<Item = Mount> {
    let flags = instruction.flags.iter().filter(|_| instruction.is("run"));
    flags.filter_map(|flag| flag.strip_prefix("--mount=")).map(|mount| {
        let value = |names: &[&str]| {
            let mut fields = mount.split(',').filter_map(|field| field.split_once('='));
            fields
                .find(|(name, _)| names.contains(&name.to_ascii_lowercase().as_str()))
                .map(|(_, value)| value.to_owned())
        };
        Mount {
            is_bind: value(&["type"]).is_none_or(|kind| kind == "bind"),
            from: value(&["from"]).filter(|from| !from.is_empty()),
            source: value(&["source", "src"]).unwrap_or_default(),
            target: value(&["target", "dst", "destination"]).unwrap_or_default(),
        }
    })
}
