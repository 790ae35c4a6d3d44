//! Python: pip, uv, pipx, the tools with lock files, and conda.

use super::requirements::{Firmness, Judged, judge, judge_file};
use super::{Arguments, Place, is_name, names, unpinned};
use crate::moving::files::Found;
use crate::moving::has_ending;
use crate::moving::hit::{Hit, list, shown};
use crate::moving::rule::Rule;
use crate::moving::shell::{Command, Word};

const PIP_VALUED: [&str; 29] = [
    "-r",
    "-c",
    "-e",
    "-i",
    "-f",
    "-t",
    "-C",
    "-p",
    "--requirement",
    "--constraint",
    "--editable",
    "--index-url",
    "--extra-index-url",
    "--find-links",
    "--target",
    "--prefix",
    "--root",
    "--python",
    "--platform",
    "--trusted-host",
    "--cache-dir",
    "--no-binary",
    "--only-binary",
    "--python-preference",
    "--index-strategy",
    "--requirements",
    "--constraints",
    "--extra",
    "--index",
];
const VERSION_FIX: &str =
    "write `NAME==VERSION`, or a file with hashes: `pip-compile --generate-hashes`, then `--require-hashes -r`";
const HASH_FIX: &str = "write the hashes too (`pip-compile --generate-hashes`, `uv pip compile --generate-hashes`) and give `--require-hashes`";

/// `pip`, `uv`, `pipx`.
pub(super) fn look(command: &Command, place: &Place) -> Vec<Hit> {
    let verb = |at: usize| command.words.get(at).map_or("", |word| word.text.as_str());
    let from = |at: usize| command.words.get(at..).unwrap_or_default();
    // Options of uv and pip may come in front of the verb.
    let skip = command.words.iter().take_while(|word| word.text.starts_with('-')).count();
    match (command.name.as_str(), verb(skip), verb(skip + 1)) {
        ("pip", "install", _) | ("uv", "pip", "install" | "sync") => pip(command, from(skip + 1), place),
        ("pipx", "install" | "run", _) => tool(from(skip + 1)),
        ("uv", "tool", "install" | "run") => tool(from(skip + 2)),
        ("uv", "sync", _) => uv_sync(command, from(skip + 1), place),
        ("uv", "lock", _)
            if !command.words.iter().any(|word| word.text.starts_with("--check") || word.text == "--locked") =>
        {
            vec![Hit::moves(
                Rule::PythonLock,
                "`uv lock` during the build",
                "commit `uv.lock` and run `uv sync --locked`",
            )]
        }
        ("uv", "add", _) => {
            let found = loose(&Arguments::new(from(skip + 1), &PIP_VALUED).operands);
            packages(&found)
        }
        _ => Vec::new(),
    }
}

fn loose<'a>(operands: &[&'a Word]) -> Vec<&'a Word> {
    operands.iter().filter(|word| judge(&word.text) == Firmness::Loose && is_known_enough(word)).copied().collect()
}

/// A version that is a variable does not matter; a name that is one cannot be judged.
fn is_known_enough(word: &Word) -> bool {
    is_name(word) || word.text.contains("git+")
}

fn packages(found: &[&Word]) -> Vec<Hit> {
    if found.is_empty() {
        return Vec::new();
    }
    vec![Hit::moves(Rule::PipPackages, format!("no version of {}", names(found)), VERSION_FIX)]
}

fn pip(command: &Command, words: &[Word], place: &Place) -> Vec<Hit> {
    let arguments = Arguments::new(words, &PIP_VALUED);
    let operands: Vec<&Word> =
        arguments.operands.iter().filter(|word| !matches!(word.text.as_str(), "install" | "sync")).copied().collect();
    let is_sync = arguments.verb() == "sync";
    let has_variable =
        ["PIP_REQUIRE_HASHES", "PIP_NO_INDEX", "UV_REQUIRE_HASHES"].iter().any(|name| place.is_set(command, name));
    if has_variable || arguments.has(&["--require-hashes", "--no-index", "--dry-run"]) {
        return Vec::new();
    }
    let has_constraints = arguments.values(&["-c", "--constraint", "--constraints"]).next().is_some()
        || ["PIP_CONSTRAINT", "UV_CONSTRAINT"].iter().any(|name| place.is_set(command, name));
    let mut files: Vec<&str> = arguments.values(&["-r", "--requirement", "--requirements"]).collect();
    if is_sync {
        files.extend(operands.iter().map(|word| word.text.as_str()));
    }
    let judged: Vec<Judged> = files.iter().filter_map(|file| judge_file(file, place)).collect();
    let found = if is_sync || has_constraints { Vec::new() } else { loose(&operands) };
    let mut hits = packages(&found);
    let has_file = |firmness| judged.iter().find(move |judged| judged.firmness == firmness);
    if let Some(worst) = has_file(Firmness::Loose).filter(|_| !has_constraints) {
        let what = format!("no version of `{}` ({})", shown(&worst.text), shown(&worst.place));
        hits.push(Hit::moves(Rule::PipPackages, what, VERSION_FIX));
    } else if let Some(worst) = has_file(Firmness::Version) {
        let what = format!("no hash of `{}` ({})", shown(&worst.text), shown(&worst.place));
        hits.push(Hit::may_move(Rule::PipHashes, what, HASH_FIX));
    }
    let versions: Vec<&str> =
        operands.iter().map(|word| word.text.as_str()).filter(|text| judge(text) == Firmness::Version).collect();
    if hits.is_empty() && !versions.is_empty() && !is_sync {
        hits.push(Hit::may_move(Rule::PipHashes, format!("no hash of {}", list(versions.into_iter())), HASH_FIX));
    }
    if hits.is_empty() && files.is_empty() && !has_constraints && !arguments.has(&["--no-deps"]) {
        let editable = arguments.values(&["-e", "--editable"]);
        hits.extend(
            operands.iter().map(|word| word.text.as_str()).chain(editable).find_map(|path| dependencies(path, place)),
        );
    }
    hits
}

/// `pip install .`: what the project itself needs.
fn dependencies(path: &str, place: &Place) -> Option<Hit> {
    let path = path.split('[').next().unwrap_or_default();
    if !(path == "." || path.starts_with("./") || path.starts_with('/')) || has_ending(path, &[".whl"]) {
        return None;
    }
    let Found::Text(name, text) = place.find(&format!("{path}/pyproject.toml")) else { return None };
    let project: toml::Table = text.parse().ok()?;
    let dependencies = project.get("project")?.get("dependencies")?.as_array()?;
    let loose: Vec<&str> =
        dependencies.iter().filter_map(toml::Value::as_str).filter(|text| judge(text) == Firmness::Loose).collect();
    if loose.is_empty() {
        return None;
    }
    let what = format!("no version of {} ({})", list(loose.into_iter()), shown(&name));
    let fix = "install what it needs from a file with hashes first, then the project with `--no-deps`";
    Some(Hit::may_move(Rule::PipPackages, what, fix))
}

/// `pipx install`, `uv tool install`: a program with dependencies of its own.
fn tool(words: &[Word]) -> Vec<Hit> {
    let arguments = Arguments::new(
        words,
        &["--python", "--pip-args", "--index-url", "-i", "-p", "--with", "--from", "--spec", "--suffix"],
    );
    let operands: Vec<&Word> = arguments
        .operands
        .iter()
        .filter(|word| !matches!(word.text.as_str(), "install" | "run"))
        .take(1)
        .copied()
        .collect();
    let has_other = arguments.values(&["--from", "--spec"]).next().is_some();
    let found: Vec<&Word> =
        loose(&operands).into_iter().filter(|word| !has_other && !word.text.contains('@')).collect();
    packages(&found)
}

fn uv_sync(command: &Command, words: &[Word], place: &Place) -> Vec<Hit> {
    let arguments = Arguments::new(
        words,
        &["--directory", "--project", "--extra", "--group", "-p", "--python", "--package", "--no-group"],
    );
    let is_locked = arguments.has(&["--frozen", "--locked", "--offline", "--dry-run"])
        || ["UV_FROZEN", "UV_LOCKED"].iter().any(|name| place.is_set(command, name));
    if is_locked {
        return Vec::new();
    }
    let place = place.within(arguments.values(&["--directory", "--project"]).next());
    let fix = "commit `uv.lock`, copy it into the image and run `uv sync --locked`";
    match (place.has("uv.lock"), place.has("pyproject.toml")) {
        (Some(true), _) => {
            vec![Hit::may_move(
                Rule::PythonLock,
                "`uv sync` changes `uv.lock` where it does not fit",
                "`uv sync --locked`",
            )]
        }
        (Some(false), Some(true)) => vec![Hit::moves(Rule::PythonLock, "`uv sync` without `uv.lock`", fix)],
        _ => Vec::new(),
    }
}

/// `poetry`, `pdm`, `pipenv`.
pub(super) fn project(command: &Command, place: &Place) -> Vec<Hit> {
    let arguments = Arguments::new(
        &command.words,
        &["-C", "--directory", "-P", "--project", "-p", "-G", "--with", "--without", "--only", "-E"],
    );
    let place = place.within(arguments.values(&["-C", "--directory", "-P", "--project", "-p"]).next());
    let (lock, manifest) = match command.name.as_str() {
        "poetry" => ("poetry.lock", "pyproject.toml"),
        "pdm" => ("pdm.lock", "pyproject.toml"),
        _ => ("Pipfile.lock", "Pipfile"),
    };
    let name = &command.name;
    match arguments.verb() {
        "install" | "sync" => match (place.has(lock), place.has(manifest)) {
            (Some(false), Some(true)) => {
                let fix = format!("commit `{lock}` and copy it into the image");
                vec![Hit::moves(Rule::PythonLock, format!("`{name} {}` without `{lock}`", arguments.verb()), fix)]
            }
            (Some(true), _) if name == "pipenv" && arguments.verb() == "install" => {
                if arguments.has(&["--deploy", "--ignore-pipfile"]) {
                    return Vec::new();
                }
                let fix = "`pipenv install --deploy`, or `pipenv sync`";
                vec![Hit::may_move(
                    Rule::PythonLock,
                    "`pipenv install` changes `Pipfile.lock` where it does not fit",
                    fix,
                )]
            }
            _ => Vec::new(),
        },
        "update" | "add"
            if !arguments.has(&["--dry-run"]) && loose(arguments.rest()).len() == arguments.rest().len() =>
        {
            let fix = format!("do it before the build, and commit `{lock}`");
            vec![Hit::moves(Rule::PythonLock, format!("`{name} {}` during the build", arguments.verb()), fix)]
        }
        _ => Vec::new(),
    }
}

/// `conda`, `mamba`, `micromamba`.
pub(super) fn conda(command: &Command, place: &Place) -> Vec<Hit> {
    const VALUED: [&str; 12] = [
        "-c",
        "-n",
        "-p",
        "-f",
        "-r",
        "--channel",
        "--name",
        "--prefix",
        "--file",
        "--root-prefix",
        "--platform",
        "--solver",
    ];
    let arguments = Arguments::new(&command.words, &VALUED);
    let operands: Vec<&Word> = match (arguments.verb(), arguments.rest().first().map(|word| word.text.as_str())) {
        ("install" | "create", _) => arguments.rest().to_vec(),
        ("env", Some("create" | "update")) => arguments.rest()[1..].to_vec(),
        ("update" | "upgrade", _) => {
            let what = format!("`{} {}`", command.name, arguments.verb());
            return vec![Hit::moves(
                Rule::CondaPackages,
                what,
                "install `NAME=VERSION=BUILD`, or from a lock file (`conda-lock`)",
            )];
        }
        _ => return Vec::new(),
    };
    let fix = "install from a lock file with hashes (`conda-lock`, `conda list --explicit --md5`), or write `NAME=VERSION=BUILD`";
    let mut files: Vec<&str> = arguments.values(&["-f", "--file"]).collect();
    if arguments.verb() == "env" && files.is_empty() {
        files.push("environment.yml");
    }
    let mut hits = Vec::new();
    let found =
        unpinned(&operands, |name| name.contains('=') && !name.contains(['<', '>', '*']) || name.contains("://"));
    if !found.is_empty() {
        hits.push(Hit::moves(Rule::CondaPackages, format!("no version of {}", names(&found)), fix));
    }
    for file in files {
        let found = place.find(file);
        let Found::Text(name, text) = &found else { continue };
        if let Some((line, package)) = loose_in_environment(name, text) {
            let what = format!("no version of `{}` ({}:{line})", shown(package), shown(name));
            hits.push(Hit::moves(Rule::CondaPackages, what, fix));
        }
    }
    hits
}

/// The first package without a version of an `environment.yml`, or of a list of packages; lock files have none.
fn loose_in_environment<'t>(name: &str, text: &'t str) -> Option<(usize, &'t str)> {
    let is_yaml = [".yml", ".yaml"].iter().any(|end| name.ends_with(end));
    if text.contains("@EXPLICIT") || is_yaml && text.lines().any(|line| line.starts_with("package:")) {
        return None;
    }
    let mut is_within = !is_yaml;
    for (line, number) in text.lines().zip(1..) {
        let line = line.split('#').next().unwrap_or_default().trim_end();
        if is_yaml && line.ends_with(':') && !line.starts_with([' ', '-']) {
            is_within = line == "dependencies:";
            continue;
        }
        let item = line.trim_start();
        let item = if is_yaml { item.strip_prefix("- ").unwrap_or_default() } else { item };
        let item = item.trim().trim_matches(['"', '\'']);
        let is_loose = !item.is_empty()
            && !item.ends_with(':')
            && !item.starts_with(['-', '.', '/', '@'])
            && !item.contains("://");
        if is_within && is_loose && (!item.contains('=') || item.contains(['<', '>', '*'])) {
            return Some((number, item));
        }
    }
    None
}
