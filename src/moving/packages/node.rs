//! Node: npm, yarn, pnpm, bun, corepack.

use super::{Arguments, Place, names};
use crate::moving::hit::Hit;
use crate::moving::rule::Rule;
use crate::moving::shell::{Command, Word};
use crate::moving::{has_ending, is_commit};

const VALUED: [&str; 26] = [
    "-C",
    "-w",
    "-F",
    "--prefix",
    "--cwd",
    "--dir",
    "--registry",
    "--cache",
    "--loglevel",
    "--omit",
    "--include",
    "--workspace",
    "--userconfig",
    "--fetch-retries",
    "--fetch-timeout",
    "--tag",
    "--only",
    "--network-timeout",
    "--cache-folder",
    "--modules-folder",
    "--mutex",
    "--filter",
    "--store-dir",
    "--reporter",
    "--global-folder",
    "--network-concurrency",
];

const PACKAGE_FIX: &str =
    "write `NAME@VERSION` with the whole version; a project's own lock file fixes what they need as well";

fn packages(words: &[&Word]) -> Vec<Hit> {
    let found: Vec<&Word> = words.iter().filter(|word| !is_pinned(word)).copied().collect();
    if found.is_empty() {
        return Vec::new();
    }
    vec![Hit::moves(Rule::NpmPackages, format!("no exact version of {}", names(&found)), PACKAGE_FIX)]
}

/// `name@1.2.3`, a commit, a file, or something that cannot be told.
fn is_pinned(word: &Word) -> bool {
    let text = word.text.as_str();
    let is_file = ["./", "../", "/", "~/", "file:", "link:", "workspace:"].iter().any(|start| text.starts_with(start))
        || matches!(text, "." | "..");
    if text.is_empty() || !word.is_known || is_file {
        return true;
    }
    if ["://", "git@", "github:", "gitlab:", "git+"].iter().any(|part| text.contains(part)) {
        let is_archive = text.starts_with("http") && !text.contains(".git");
        return is_archive || text.split_once('#').is_some_and(|(_, commit)| is_commit(commit));
    }
    if has_ending(text, &[".tgz", ".tar.gz"]) {
        return true;
    }
    text.rfind('@').filter(|at| *at > 0).is_some_and(|at| is_exact(&text[at + 1..]))
}

/// A whole version: three numbers, and what may follow them.
fn is_exact(version: &str) -> bool {
    let version = version.trim_start_matches(['=', 'v']);
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    core.split('.').count() == 3 && core.split('.').all(is_number) && !version.contains([' ', '|'])
}

/// `npm`.
pub(super) fn npm(command: &Command, place: &Place) -> Vec<Hit> {
    let arguments = Arguments::new(&command.words, &VALUED);
    if arguments.has(&["--dry-run", "--offline", "--package-lock-only"]) {
        return Vec::new();
    }
    match arguments.verb() {
        "install" | "i" | "add" | "isntall" if !arguments.rest().is_empty() => packages(arguments.rest()),
        // The project itself, globally.
        "install" | "i" | "add" if arguments.has(&["-g", "--global"]) => Vec::new(),
        "install" | "i" | "add" => {
            let place = place.within(arguments.values(&["-C", "--prefix"]).next());
            let shrinkwrap = place.has("npm-shrinkwrap.json");
            let lock = if shrinkwrap == Some(true) { shrinkwrap } else { place.has("package-lock.json") };
            let ignores = arguments.has(&["--no-package-lock", "--no-shrinkwrap"]);
            match (lock, place.has("package.json")) {
                (_, Some(true)) if ignores => {
                    vec![without(&format!("`npm {}` passes over the lock file", arguments.verb()), "npm ci")]
                }
                (Some(true), _) => vec![loose("npm", arguments.verb(), "package-lock.json", "npm ci")],
                (Some(false), Some(true)) => {
                    vec![without(&format!("`npm {}` without `package-lock.json`", arguments.verb()), "npm ci")]
                }
                _ => Vec::new(),
            }
        }
        "update" | "upgrade" | "up" => {
            let fix = "do it before the build, and commit the lock file";
            vec![Hit::moves(Rule::NpmPackages, "`npm update` during the build", fix)]
        }
        _ => Vec::new(),
    }
}

fn without(what: &str, good: &str) -> Hit {
    Hit::moves(Rule::NodeLock, what, format!("commit the lock file, copy it into the image and run `{good}`"))
}

fn loose(tool: &str, verb: &str, lock: &str, good: &str) -> Hit {
    let words = if verb.is_empty() { tool.to_owned() } else { format!("{tool} {verb}") };
    Hit::may_move(Rule::NodeLock, format!("`{words}` changes `{lock}` where it does not fit"), format!("`{good}`"))
}

/// `yarn`, `pnpm`, `bun`.
pub(super) fn others(command: &Command, place: &Place) -> Vec<Hit> {
    let arguments = Arguments::new(&command.words, &VALUED);
    let tool = command.name.as_str();
    let (mut verb, mut rest) = (arguments.verb(), arguments.rest());
    let is_global = tool == "yarn" && verb == "global" || arguments.has(&["-g", "--global"]);
    if tool == "yarn" && verb == "global" {
        verb = rest.first().map_or("", |word| &word.text);
        rest = rest.get(1..).unwrap_or_default();
    }
    match verb {
        "add" => packages(rest),
        "install" | "i" if !rest.is_empty() && tool != "yarn" => packages(rest),
        "install" | "i" if !is_global => install(command, &arguments, place),
        "" if tool == "yarn" && !arguments.has(&["-v", "--version", "-h", "--help"]) => {
            install(command, &arguments, place)
        }
        "set" if tool == "yarn" && rest.first().is_some_and(|word| word.text == "version") => {
            let moves =
                |word: &&&Word| word.is_known && !is_exact(&word.text) && !has_ending(&word.text, &[".js", ".cjs"]);
            rest.get(1).filter(moves).map(|word| packages(&[*word])).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

fn install(command: &Command, arguments: &Arguments, place: &Place) -> Vec<Hit> {
    const FROZEN: [&str; 6] =
        ["--frozen-lockfile", "--immutable", "--immutable-cache", "--pure-lockfile", "--offline", "--dry-run"];
    let (tool, verb) = (command.name.as_str(), arguments.verb());
    let is_frozen = arguments.has(&FROZEN)
        || ["CI", "YARN_ENABLE_IMMUTABLE_INSTALLS", "YARN_FROZEN_LOCKFILE"]
            .iter()
            .any(|name| place.is_set(command, name))
            && tool != "bun";
    let is_loosened = arguments.has(&["--no-frozen-lockfile", "--no-immutable", "--no-lockfile"]);
    let place = place.within(arguments.values(&["-C", "--cwd", "--dir"]).next());
    let (locks, good): (&[&str], &str) = match tool {
        "yarn" => (&["yarn.lock"], "yarn install --immutable` (in version 1: `--frozen-lockfile"),
        "pnpm" => (&["pnpm-lock.yaml"], "pnpm install --frozen-lockfile"),
        _ => (&["bun.lock", "bun.lockb"], "bun install --frozen-lockfile"),
    };
    let found: Vec<Option<bool>> = locks.iter().map(|lock| place.has(lock)).collect();
    if is_frozen && !is_loosened {
        return Vec::new();
    }
    if found.contains(&Some(true)) {
        return vec![loose(tool, verb, locks[0], good)];
    }
    let is_absent = found.iter().all(|has| *has == Some(false)) && place.has("package.json") == Some(true);
    if is_absent { vec![without(&format!("`{tool} install` without `{}`", locks[0]), good)] } else { Vec::new() }
}

/// `corepack prepare pnpm@latest`.
pub(super) fn corepack(command: &Command) -> Vec<Hit> {
    let arguments = Arguments::new(&command.words, &["--output", "-o"]);
    match arguments.verb() {
        "prepare" | "use" | "install" => {
            let named: Vec<&Word> = arguments.rest().iter().filter(|word| word.text.contains('@')).copied().collect();
            packages(&named)
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_version_has_three_numbers() {
        for version in ["1.2.3", "v1.2.3", "=1.2.3", "1.2.3-rc.1", "1.2.3+sha224.00"] {
            assert!(is_exact(version), "{version}");
        }
        for version in ["", "1", "1.2", "^1.2.3", "~1.2.3", "1.2.x", "latest", ">=1.2.3", "1.2.3 || 2.0.0"] {
            assert!(!is_exact(version), "{version}");
        }
    }
}
