//! Which line of the Dockerfile is to blame.
//!
//! The layer's own instruction is, unless it only carries files out of another stage: then it is a line of that stage, and which
//! one shows in what the lines say of the path, and in whether they call something that makes such a difference.

use super::step::Step;
use super::{Level, Place, build_argument, umask};
use crate::diff::model::Instruction;
use crate::diff::origin::Source;
use crate::dockerfile;

/// Stages that lead to stages: nobody has more.
const DEPTH: usize = 16;

/// The instructions that made what differs, as far as that shows.
pub fn made_by(place: &Place<'_>, id: &str, source: Option<&Source>) -> Vec<Instruction> {
    let brought = if id == "umask" && place.step().is_run() { umask::brought_by(place) } else { None };
    let own = brought.or(place.layer).and_then(|layer| layer.instruction.clone());
    let Some(source) = source else { return own.into_iter().collect() };
    let found = match id {
        "base-image" => source.base_line().into_iter().collect(),
        "build-argument" => argument_lines(place, source),
        _ if matches!(place.level, Level::Config) => step_line(place, source).into_iter().collect(),
        _ => match (place.step(), &own) {
            (Step::Stage(_), Some(own)) if place.level == Level::Entry => trace(place, id, own, source),
            _ => Vec::new(),
        },
    };
    if found.is_empty() {
        return own.into_iter().collect();
    }
    found.into_iter().map(|at| source.instruction_at(at)).collect()
}

/// The ARG lines of the arguments that differ, in the stage that was built.
fn argument_lines(place: &Place<'_>, source: &Source) -> Vec<usize> {
    let changed = match place.level {
        Level::Config => {
            let here = build_argument::changed(place);
            if here.is_empty() { build_argument::all_changed(place) } else { here }
        }
        _ => build_argument::all_changed(place),
    };
    let chain = source.chain();
    let declares = |at: &usize, name: &str| {
        let instruction = &source.dockerfile.instructions[*at];
        let names = instruction.arguments.split_whitespace();
        instruction.is("arg") && names.map(|word| word.split('=').next().unwrap_or_default()).any(|word| word == name)
    };
    changed.iter().filter_map(|(name, ..)| chain.iter().copied().find(|at| declares(at, name))).collect()
}

/// The line of a step of the history, where only one can be meant.
fn step_line(place: &Place<'_>, source: &Source) -> Option<usize> {
    let text = [&place.difference.a, &place.difference.b].into_iter().flatten().find_map(|text| text.as_str())?;
    if !place.pointer().starts_with("/history/") {
        return None;
    }
    let keyword = text.split_whitespace().next()?;
    let mut fitting = source.chain().into_iter().filter(|at| source.dockerfile.instructions[*at].is(keyword));
    let exact = source.chain().into_iter().find(|at| {
        let arguments = source.dockerfile.instructions[*at].arguments.as_str();
        source.dockerfile.instructions[*at].is(keyword) && !arguments.is_empty() && text.contains(arguments)
    });
    exact.or_else(|| fitting.next().filter(|_| fitting.next().is_none()))
}

/// Follows a path through `COPY --from`.
fn trace(place: &Place<'_>, id: &str, own: &Instruction, source: &Source) -> Vec<usize> {
    let instructions = &source.dockerfile.instructions;
    let is_own = |instruction: &dockerfile::Instruction| Some(instruction.lines.first) == own.first_line;
    let Some(at) = instructions.iter().position(is_own) else { return Vec::new() };
    let path = String::from_utf8_lossy(place.path()).into_owned();
    follow(at, &path, id, source, 0).into_iter().collect()
}

/// The instruction that made what a `COPY --from` copies to a path.
fn follow(copy: usize, path: &str, id: &str, source: &Source, depth: usize) -> Option<usize> {
    let instruction = &source.dockerfile.instructions[copy];
    let Some(stage) = instruction.flag("from").and_then(|name| source.stage_named(name, copy)) else {
        return Some(copy);
    };
    if depth == DEPTH {
        return None;
    }
    let chain = source.chain_of(stage);
    let origins = origins(instruction, &source.directory_at(copy), path);
    let best = chain
        .iter()
        .filter_map(|at| {
            let score = score(*at, &origins, id, source);
            (score > 0).then_some((score, *at))
        })
        .max();
    let (_, at) = best?;
    if source.dockerfile.instructions[at].is("run") {
        return Some(at);
    }
    let target = origins.iter().find(|origin| covers(at, origin, source) > 0)?;
    follow(at, target, id, source, depth + 1)
}

/// Where in the other stage a path may come from, without slashes in front.
fn origins(copy: &dockerfile::Instruction, directory: &str, path: &str) -> Vec<String> {
    let words = words(copy);
    let Some((target, sources)) = words.split_last() else { return Vec::new() };
    let target = absolute(target, directory);
    let mut origins = Vec::new();
    for source in sources {
        let source = absolute(source, "");
        let fixed = source.split(['*', '?', '[']).next().unwrap_or_default().rsplit_once('/');
        let is_pattern = source.contains(['*', '?', '[']);
        let root =
            if is_pattern { fixed.map(|(start, _)| start.to_owned()).unwrap_or_default() } else { source.clone() };
        if path == target && !is_pattern {
            origins.push(source.clone());
        } else if let Some(rest) = below(path, &target) {
            let name = root.rsplit('/').next().unwrap_or_default();
            if rest == name && !is_pattern {
                origins.push(root.clone());
            }
            origins.push(join(&root, rest));
        }
    }
    origins.sort();
    origins.dedup();
    origins
}

/// How much an instruction looks like the one that made one of these paths.
fn score(at: usize, origins: &[String], id: &str, source: &Source) -> usize {
    let instruction = &source.dockerfile.instructions[at];
    if instruction.is("run") {
        let text = source.text_of(at);
        let directory = source.directory_at(at);
        let named = origins.iter().map(|origin| mentions(&text, origin, &directory)).max().unwrap_or_default();
        let makes = makers(id).iter().any(|maker| text.to_ascii_lowercase().contains(maker));
        // What only carries files can make none of these.
        let is_run_cause = !INPUTS.contains(&id);
        return if is_run_cause { named + if makes { 6 } else { 1 } } else { named / 2 };
    }
    if !instruction.is("copy") && !instruction.is("add") {
        return 0;
    }
    let covers = origins.iter().map(|origin| covers(at, origin, source)).max().unwrap_or_default();
    let is_from_stage = instruction.flag("from").is_some();
    // Files of the context are what they are: they make none of what RUN makes.
    if is_from_stage || INPUTS.contains(&id) { covers } else { usize::from(covers > 0) }
}

/// Causes that come in with files, and not by running something.
const INPUTS: [&str; 6] = ["umask", "setgid", "context-mtime", "context-file", "add-url", "owner"];

/// How closely a command names a path: 8 for itself, less for a directory above it.
fn mentions(text: &str, path: &str, directory: &str) -> usize {
    let is_named = |name: &str| {
        text.match_indices(name).any(|(at, _)| {
            let is_part = |c: char| c.is_alphanumeric() || "_-.".contains(c);
            let before = text[..at].chars().next_back();
            let after = text[at + name.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
    };
    let relative = below(path, directory).filter(|rest| rest.len() > 1);
    if is_named(path) || relative.is_some_and(is_named) {
        return 8;
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.len() > 2 && is_named(name) {
        return 6;
    }
    let mut above = path;
    for distance in 0..4 {
        let Some((start, _)) = above.rsplit_once('/') else { break };
        above = start;
        if above.len() > 1 && is_named(above) {
            return 5 - distance;
        }
    }
    0
}

/// How closely a COPY or ADD writes to a path: 9 where it is the target itself.
fn covers(at: usize, path: &str, source: &Source) -> usize {
    let instruction = &source.dockerfile.instructions[at];
    let words = words(instruction);
    let Some((target, sources)) = words.split_last().filter(|_| instruction.is("copy") || instruction.is("add")) else {
        return 0;
    };
    let target = absolute(target, &source.directory_at(at));
    if target == path {
        return 9;
    }
    let names: Vec<&str> =
        sources.iter().map(|source| source.trim_end_matches('/').rsplit('/').next().unwrap_or_default()).collect();
    match below(path, &target) {
        Some(rest) if names.contains(&rest) => 8,
        Some(_) => 4,
        None => 0,
    }
}

/// The arguments of COPY and ADD, in either form.
fn words(instruction: &dockerfile::Instruction) -> Vec<String> {
    if instruction.arguments.starts_with('[') {
        return serde_json::from_str(&instruction.arguments).unwrap_or_default();
    }
    instruction.arguments.split_whitespace().map(str::to_owned).collect()
}

/// A path without slashes around it and without `.`, below a directory where it does not begin with a slash.
pub(in crate::diff) fn absolute(path: &str, directory: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    joined.split('/').filter(|name| !name.is_empty() && *name != ".").collect::<Vec<_>>().join("/")
}

fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    if directory.is_empty() { Some(path) } else { path.strip_prefix(directory)?.strip_prefix('/') }
}

fn join(directory: &str, rest: &str) -> String {
    if directory.is_empty() { rest.to_owned() } else { format!("{directory}/{rest}") }
}

/// Words of commands that make such differences.
fn makers(id: &str) -> &'static [&'static str] {
    match id {
        "embedded-time" | "time-zone" => &["date", "time", "now", "stamp"],
        "uuid" => &["uuid"],
        "random-token" | "random-name" | "generated-key" => {
            &["random", "uuid", "mktemp", "openssl", "keygen", "secret", "token"]
        }
        "temporary-path" | "build-path" => &["mktemp", "tmp"],
        "pyc-mtime" | "pycache" | "python-record" | "installer-metadata" | "python-packages" => {
            &["python", "pip", "uv ", "poetry"]
        }
        "compiler-date" | "elf-build-id" | "ar-times" => {
            &["gcc", "cc ", "clang", "g++", "make", "cmake", "ninja", "cargo", "go build", "ar "]
        }
        "go-build-id" => &["go build", "go install"],
        "zip-times" => &["zip", "jar", "mvn", "gradle", "python", "wheel"],
        "tar-times" | "gzip-header" => &["tar ", "gzip", "pigz"],
        "unordered-output" | "memory-address" => &["find", "ls ", "python", "perl", "ruby", "node"],
        "sqlite" => &["sqlite", "python"],
        "js-bundle" | "package-manager-cache" | "npm-packages" => {
            &["npm", "yarn", "pnpm", "node", "next", "cargo", "go ", "mvn", "pip"]
        }
        id if id.starts_with("apt-") => &["apt", "dpkg"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(dockerfile: &str, copy_line: usize, path: &str, id: &str) -> Option<usize> {
        let source = Source::parse("Dockerfile", dockerfile.as_bytes(), None).unwrap();
        let at = source.dockerfile.instructions.iter().position(|one| one.lines.first == copy_line).unwrap();
        follow(at, path, id, &source, 0).map(|at| source.dockerfile.instructions[at].lines.first)
    }

    #[test]
    fn a_path_is_followed_into_the_stage_that_made_it() {
        let text = "FROM a AS build\nWORKDIR /src\nCOPY . .\nRUN mkdir /out && echo static > /out/static\nRUN date > /out/built\n\
                    RUN gcc -o app app.c\nFROM scratch\nCOPY --from=build /out /srv/out\nCOPY --from=build /src/app /app\nCOPY --from=0 /src /s/\n";
        assert_eq!(line_of(text, 8, "srv/out/built", "embedded-time"), Some(5));
        assert_eq!(line_of(text, 8, "srv/out/static", "random-token"), Some(4));
        assert_eq!(line_of(text, 9, "app", "compiler-date"), Some(6));
        assert_eq!(line_of(text, 10, "s/lib/x", "umask"), Some(3));
    }

    #[test]
    fn stages_lead_to_stages() {
        let text = "FROM a AS keys\nRUN cat /proc/sys/kernel/random/uuid > /key\nFROM keys AS more\nRUN true\nFROM a AS build\n\
                    RUN mkdir /out && echo static > /out/static\nCOPY --from=more /key /out/key\nFROM a\nCOPY --from=build /out /srv/out\n";
        assert_eq!(line_of(text, 9, "srv/out/key", "uuid"), Some(2));
    }

    #[test]
    fn another_image_is_blamed_by_its_line() {
        assert_eq!(line_of("FROM a\nCOPY --from=nginx:latest /etc/x /x\n", 2, "x", "embedded-time"), Some(2));
    }

    #[test]
    fn a_path_has_one_form() {
        assert_eq!(absolute("./a//b/", "/srv"), "srv/a/b");
        assert_eq!(absolute("/a/b", "/srv"), "a/b");
        assert_eq!(absolute(".", "srv"), "srv");
    }
}
