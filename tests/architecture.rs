//! The shape of the code, held against the code: arrows between modules point one way, and nothing grows without being seen.
//!
//! `docs/architecture.md` draws what this table says.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and the modules that it may use. A module stands above all that it uses, so that there is no way round:
/// first the program, then the workflows, then what they work with, then the leaves.
const ARROWS: [(&str, &[&str]); 35] = [
    ("main", &["cli", "failure", "logging"]),
    (
        "cli",
        &[
            "analyze",
            "build",
            "check",
            "diff",
            "digest",
            "doctor",
            "environment",
            "failure",
            "git",
            "image",
            "kept",
            "limits",
            "matrix",
            "network",
            "pin",
            "plan",
            "reference",
            "registry",
            "report",
            "runtime",
            "settings",
            "verify",
        ],
    ),
    (
        "report",
        &["analyze", "build", "check", "diff", "digest", "doctor", "image", "kept", "matrix", "moving", "verify"],
    ),
    (
        "verify",
        &[
            "digest",
            "dockerfile",
            "environment",
            "failure",
            "frontend",
            "git",
            "image",
            "network",
            "pin",
            "plan",
            "provenance",
            "runtime",
            "settings",
        ],
    ),
    (
        "matrix",
        &[
            "check",
            "digest",
            "environment",
            "failure",
            "git",
            "image",
            "kept",
            "limits",
            "moving",
            "pin",
            "plan",
            "reference",
            "remote",
            "runtime",
            "settings",
        ],
    ),
    (
        "check",
        &[
            "build",
            "digest",
            "dockerfile",
            "environment",
            "failure",
            "frontend",
            "inside",
            "kept",
            "limits",
            "moving",
            "plan",
            "runtime",
            "settings",
        ],
    ),
    (
        "build",
        &[
            "digest",
            "dockerfile",
            "environment",
            "epoch",
            "failure",
            "frontend",
            "image",
            "kept",
            "limits",
            "lock",
            "network",
            "output",
            "pin",
            "plan",
            "provenance",
            "reference",
            "runtime",
            "settings",
        ],
    ),
    ("analyze", &["digest", "image"]),
    // Comparing knows no more of who asks than reading does.
    ("diff", &["digest", "dockerfile", "image", "limits"]),
    ("doctor", &["environment", "failure", "pin", "runtime"]),
    ("kept", &["environment", "lock", "pin", "runtime", "settings"]),
    // `settings` for the name of a runtime alone.
    (
        "runtime",
        &[
            "digest",
            "environment",
            "failure",
            "frontend",
            "lock",
            "network",
            "pin",
            "plan",
            "reference",
            "registry",
            "remote",
            "settings",
        ],
    ),
    (
        "settings",
        &[
            "dockerfile",
            "environment",
            "epoch",
            "failure",
            "frontend",
            "git",
            "inside",
            "limits",
            "network",
            "pin",
            "plan",
            "reference",
            "remote",
        ],
    ),
    ("registry", &["digest", "image", "limits", "network", "reference"]),
    // Reading images knows nothing of who asks: neither of builds nor of engines.
    ("image", &["digest", "limits"]),
    ("output", &["environment", "failure"]),
    ("provenance", &["digest"]),
    ("git", &["environment"]),
    ("plan", &["digest", "epoch", "frontend", "network", "pin", "reference"]),
    ("frontend", &["digest", "dockerfile", "pin", "reference"]),
    ("pin", &["digest", "dockerfile", "reference"]),
    ("moving", &["dockerfile", "limits", "reference"]),
    ("dockerfile", &["limits"]),
    ("reference", &["digest"]),
    ("network", &["digest"]),
    ("digest", &[]),
    ("environment", &[]),
    ("epoch", &[]),
    ("failure", &[]),
    ("inside", &[]),
    ("limits", &[]),
    ("remote", &[]),
    ("lib", &[]),
    ("lock", &[]),
    ("logging", &[]),
];

/// What talks to the world, and the only modules that may: everything else is functions from values to values.
const WORLD: [(&str, &[&str]); 5] = [
    ("bollard", &["runtime"]),
    ("hyper", &["runtime"]),
    ("clap", &["cli", "main", "settings"]),
    ("reqwest", &["registry"]),
    ("tokio", &["build", "cli", "matrix", "registry", "runtime"]),
];

/// A longer file is asking to be split by meaning.
const LONGEST_FILE: usize = 500;
/// The program is thin: everything that it does can be called from the library.
const LONGEST_MAIN: usize = 60;

#[test]
fn arrows_point_down() {
    let position = |name: &str| ARROWS.iter().position(|(module, _)| *module == name);
    for (at, (module, uses)) in ARROWS.iter().enumerate() {
        for used in *uses {
            assert!(
                position(used).is_some_and(|below| below > at),
                "the table lets `{module}` use `{used}`, which is above it"
            );
        }
    }
    let mut wrong = Vec::new();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let Some(at) = position(&source.module) else {
            wrong.push(format!(
                "{}: module `{}` is not in the table of tests/architecture.rs",
                source.path, source.module
            ));
            continue;
        };
        for used in modules_used(&source.code) {
            if used != source.module && !ARROWS[at].1.contains(&used.as_str()) {
                wrong.push(format!("{}: `{}` must not use `{used}`", source.path, source.module));
            }
            found.entry(source.module.clone()).or_default().insert(used);
        }
        if source.is_top_level && source.code.contains("super::") {
            wrong.push(format!("{}: say `crate::` instead of `super::`, which is the whole library here", source.path));
        }
    }
    // An arrow that nothing uses any more is a door left open.
    for (module, uses) in ARROWS {
        let unused = uses.iter().filter(|used| !found.get(module).is_some_and(|found| found.contains(**used)));
        wrong.extend(unused.map(|used| format!("the table lets `{module}` use `{used}`, and it does not")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn only_the_rim_talks_to_the_world() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (library, modules) in WORLD {
            if mentions(&source.code, library) && !modules.contains(&source.module.as_str()) {
                wrong.push(format!("{}: `{}` must not use `{library}`", source.path, source.module));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_stay_small() {
    let mut wrong = Vec::new();
    for source in sources() {
        let longest = if source.module == "main" { LONGEST_MAIN } else { LONGEST_FILE };
        if source.lines > longest {
            wrong.push(format!("{}: {} lines, of at most {longest}", source.path, source.lines));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn nothing_panics_without_a_reason() {
    let wrong: Vec<String> = sources()
        .iter()
        .flat_map(|source| panics(&source.code).into_iter().map(|line| format!("{}: {line}", source.path)))
        .collect();
    assert!(wrong.is_empty(), "each of these needs `#[expect(…, reason = …)]` on it\n{}", wrong.join("\n"));
}

#[test]
fn the_index_in_lib_names_every_module() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let index: String = lib.lines().filter(|line| line.starts_with("//! |")).collect();
    for (module, _) in ARROWS.iter().filter(|(module, _)| !["main", "lib"].contains(module)) {
        let named = index.contains(&format!("[`{module}`]"));
        assert!(named, "src/lib.rs: the index at the top does not name `{module}`");
    }
}

#[test]
fn this_test_sees_what_it_looks_for() {
    let used = |code: &str| modules_used(code).into_iter().collect::<Vec<_>>();
    assert_eq!(used("use crate::image::Image;\nlet x = crate::pin::parse();"), ["image", "pin"]);
    assert_eq!(used("use crate::{build::{self, run}, cli, image as i};"), ["build", "cli", "image"]);
    assert_eq!(used("macro!($crate::hidden::x); let mycrate::a = 1;"), Vec::<String>::new());
    assert_eq!(
        strip("use crate::a;\n// use crate::b;\n#[cfg(test)]\nmod tests {\n    use crate::c;\n}\n"),
        "use crate::a;\n"
    );
    assert_eq!(panics("a.unwrap();\nb.unwrap_or(1);\nc\n    .expect(\"d\");\n"), ["a.unwrap();", ".expect(\"d\");"]);
    assert_eq!(
        panics("#[expect(clippy::expect_used, reason = \"r\")]\nSelf::x().expect(\"y\")\n"),
        Vec::<String>::new()
    );
    assert!(mentions("use tokio::fs;", "tokio") && !mentions("use my_tokio::fs;", "tokio"));
}

struct Source {
    path: String,
    module: String,
    is_top_level: bool,
    /// The text without comments and without its tests.
    code: String,
    lines: usize,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join("src"), &mut paths);
    assert!(paths.len() > 40, "the sources are not where they were: {} files", paths.len());
    paths.sort();
    paths.iter().map(|path| load(path)).collect()
}

fn walk(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn load(path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap();
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.iter().next().unwrap().to_str().unwrap();
    let is_test = path.file_name().is_some_and(|name| name == "tests.rs");
    let module = first.trim_end_matches(".rs").to_owned();
    // The program sees the library from outside.
    let text = if module == "main" { text.replace("repro::", "crate::") } else { text };
    Source {
        path: path.strip_prefix(root()).unwrap().display().to_string(),
        module,
        is_top_level: inside.iter().count() == 1,
        lines: text.lines().count(),
        code: if is_test { String::new() } else { strip(&text) },
    }
}

/// The code that is shipped: no comments, nothing behind the `#[cfg(test)]` that ends a file.
fn strip(text: &str) -> String {
    let shipped = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code: Vec<&str> = shipped.split_inclusive('\n').filter(|line| !line.trim_start().starts_with("//")).collect();
    code.concat()
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The names behind each `crate::`, also in braces.
fn modules_used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|before| is_word(before) || before == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let paths = rest.strip_prefix('{').map_or_else(|| vec![rest], members);
        used.extend(paths.iter().map(|path| path.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>()));
    }
    used.remove("");
    used
}

/// What stands between the commas of a pair of braces, of which the first is already gone.
fn members(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(&text[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

fn mentions(code: &str, library: &str) -> bool {
    let path = format!("{library}::");
    code.match_indices(&path).any(|(at, _)| !code[..at].ends_with(is_word))
}

/// Lines that panic where no `#[expect(clippy::…)]` in the four lines above them says why they may.
fn panics(code: &str) -> Vec<String> {
    const CALLS: [&str; 4] = [".unwrap()", ".expect(", "panic!(", "unreachable!("];
    let lines: Vec<&str> = code.lines().collect();
    let is_excused = |at: usize| lines[at.saturating_sub(4)..at].iter().any(|line| line.contains("#[expect(clippy::"));
    let panics = |line: &str| CALLS.iter().any(|call| line.contains(call)) && !line.contains("#[expect(");
    (0..lines.len()).filter(|at| panics(lines[*at]) && !is_excused(*at)).map(|at| lines[at].trim().to_owned()).collect()
}
