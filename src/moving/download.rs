//! What comes from the network by an address: ADD, downloads in RUN, and clones of git.

use super::hit::{Hit, shown};
use super::packages::Arguments;
use super::rule::Rule;
use super::shell::Command;
use super::{Moving, Severity};
use super::{has_ending, is_commit};

const CURL: [&str; 38] = [
    "-o",
    "-H",
    "-d",
    "-u",
    "-A",
    "-e",
    "-x",
    "-X",
    "-b",
    "-c",
    "-m",
    "-T",
    "-F",
    "-w",
    "-K",
    "-E",
    "-r",
    "-z",
    "-C",
    "-U",
    "-D",
    "--output",
    "--header",
    "--data",
    "--user",
    "--user-agent",
    "--request",
    "--retry",
    "--retry-delay",
    "--retry-max-time",
    "--connect-timeout",
    "--max-time",
    "--cacert",
    "--proto",
    "--proto-redir",
    "--output-dir",
    "--resolve",
    "--cookie",
];
const WGET: [&str; 16] = [
    "-O",
    "-o",
    "-P",
    "-t",
    "-T",
    "-U",
    "-e",
    "-a",
    "-i",
    "--output-document",
    "--header",
    "--timeout",
    "--tries",
    "--directory-prefix",
    "--user-agent",
    "--password",
];
const INTERPRETERS: [&str; 7] = ["python", "perl", "ruby", "node", "php", "pwsh", "deno"];
const GIT: [&str; 15] = [
    "-C",
    "-c",
    "-b",
    "-o",
    "-u",
    "-j",
    "--branch",
    "--depth",
    "--config",
    "--origin",
    "--reference",
    "--jobs",
    "--filter",
    "--revision",
    "--template",
];
const CHECK_FIX: &str =
    "check it: `echo \"SHA256  FILE\" | sha256sum -c -`, or `ADD --checksum=sha256:DIGEST URL FILE`";

/// What a stage downloaded and did not check so far.
#[derive(Debug, Default)]
pub(super) struct Downloads {
    unchecked: Vec<Moving>,
    git: Vec<Git>,
}

/// What git does, in order.
#[derive(Debug)]
enum Git {
    /// It clones, and this moves unless a commit is named later.
    Clones(Moving),
    /// It is told to take a commit.
    TakesCommit,
    /// It is told to take what looks like a version.
    TakesVersion,
}

impl Downloads {
    /// Reads the commands of one RUN.
    pub(super) fn run(&mut self, commands: &[Command], done: &mut Vec<Moving>) {
        let piped = piped_scripts(commands, done);
        let mut own: Vec<Moving> = Vec::new();
        let mut downloads = false;
        for (at, command) in commands.iter().enumerate() {
            if is_check(command) {
                own.clear();
                if !downloads {
                    self.unchecked.clear();
                }
            } else if let Some(address) = fetched(command) {
                downloads = true;
                if !piped[at] {
                    let hit = Hit::may_move(
                        Rule::UncheckedDownload,
                        format!("`{}` of `{}`", command.name, shown(address)),
                        CHECK_FIX,
                    );
                    let severity = if names_the_newest(address) { Severity::Moves } else { Severity::MayMove };
                    own.push(Hit { severity, ..hit }.on(command.first, command.last));
                }
            }
        }
        self.unchecked.append(&mut own);
        self.git.extend(commands.iter().filter_map(git));
    }

    /// The end of the stage: what was not checked by now never is, and clones stay where they are.
    pub(super) fn finish(self, done: &mut Vec<Moving>) {
        done.extend(self.unchecked);
        // From the last one backwards: how many commits are named behind a clone, and how many clones are there.
        let (mut commits, mut clones, mut since, mut has_version) = (0_usize, 0_usize, 0_usize, false);
        for git in self.git.into_iter().rev() {
            match git {
                Git::TakesCommit => {
                    commits += 1;
                    since += 1;
                }
                Git::TakesVersion => has_version = true,
                Git::Clones(mut moving) => {
                    clones += 1;
                    if std::mem::take(&mut has_version) {
                        moving.severity = Severity::MayMove;
                    }
                    if std::mem::take(&mut since) == 0 && commits < clones {
                        done.push(moving);
                    }
                }
            }
        }
    }
}

/// The address that a command downloads from, unless it is one of this machine or names its content.
fn fetched(command: &Command) -> Option<&str> {
    let valued: &[&str] = match command.name.as_str() {
        "curl" => &CURL,
        "wget" | "wget2" | "aria2c" | "axel" => &WGET,
        _ => return None,
    };
    let arguments = Arguments::new(&command.words, valued);
    let is_curl = command.name == "curl";
    let sends: &[&str] = if is_curl {
        &[
            "-I",
            "--head",
            "-d",
            "--data",
            "--data-raw",
            "--data-binary",
            "-T",
            "--upload-file",
            "-F",
            "--form",
            "-V",
            "--version",
            "-h",
            "--help",
        ]
    } else {
        &["--spider", "--post-data", "--post-file", "-V", "--version", "-h", "--help", "--checksum"]
    };
    let method = arguments.values(&["-X", "--request"]).any(|method| method != "GET");
    let outputs: &[&str] = if is_curl { &["-o", "--output"] } else { &["-O", "--output-document"] };
    let is_thrown_away =
        arguments.values(outputs).chain(command.outputs.iter().map(String::as_str)).any(|path| path == "/dev/null");
    if arguments.has(sends) || method || is_thrown_away {
        return None;
    }
    let url = arguments.values(&["--url"]).next();
    let address = url.or_else(|| arguments.operands.first().map(|word| word.text.as_str()))?;
    (!is_local(address) && !names_its_content(address)).then_some(address)
}

fn is_local(address: &str) -> bool {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let host = rest.split(['/', '?']).next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
    let host = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() };
    scheme == "file"
        || matches!(host, "localhost" | "0.0.0.0" | "host.docker.internal")
        || host.starts_with("127.")
        || host.starts_with("[::1]")
}

/// A commit or a digest is part of the address.
fn names_its_content(address: &str) -> bool {
    address.split(|c: char| !c.is_ascii_alphanumeric()).any(is_commit)
}

fn names_the_newest(address: &str) -> bool {
    let parts = || address.split(|c: char| !c.is_ascii_alphanumeric());
    let is_branch = |part: &str| matches!(part, "master" | "main" | "HEAD" | "refs/heads");
    let of_git = address.contains("github") || address.contains("gitlab");
    parts().any(|part| matches!(part, "latest" | "nightly"))
        || of_git && address.split('/').any(is_branch)
        || address.contains("/refs/heads/")
}

/// Scripts that are run as they come. Tells which commands belong to them.
fn piped_scripts(commands: &[Command], done: &mut Vec<Moving>) -> Vec<bool> {
    let mut brings: Vec<bool> = Vec::with_capacity(commands.len());
    let mut piped = vec![false; commands.len()];
    for (at, command) in commands.iter().enumerate() {
        let is_brought = |number: &usize| brings.get(*number).copied().unwrap_or_default();
        let input = command.input.iter().copied().filter(is_brought);
        let here = command.here.iter().flat_map(|word| word.inner.iter().copied()).filter(is_brought);
        let from_words = |start: &'static str| {
            let words = command.words.iter().filter(move |word| word.text.starts_with(start));
            words.flat_map(|word| word.inner.iter().copied()).filter(is_brought)
        };
        let is_interpreter = INTERPRETERS.contains(&command.name.as_str());
        let reads_input = command.reads_script
            || is_interpreter && command.words.first().is_none_or(|word| word.text == "-" && word.is_known);
        let runs_text = command.is_shell() || command.name == "eval";
        let runs_file = command.is_shell() || is_interpreter || matches!(command.name.as_str(), "source" | ".");
        let mut sources: Vec<usize> = Vec::new();
        if reads_input {
            sources.extend(input.chain(here));
        }
        if runs_text {
            sources.extend(from_words("$(…)"));
        }
        if runs_file {
            sources.extend(from_words("<("));
        }
        let passes_on = command.input.iter().any(is_brought)
            || matches!(command.name.as_str(), "echo" | "printf")
                && command.words.iter().flat_map(|word| &word.inner).any(is_brought);
        if let Some(first) = sources.first().copied() {
            let address = mark(commands, &mut piped, &sources);
            let what = format!("`{}` runs what comes from `{}`", command.name, shown(address.unwrap_or_default()));
            let fix =
                "download it, compare its checksum, then run it; or install the same from a package with a version";
            let start = commands[first].first.min(command.first);
            done.push(Hit::moves(Rule::PipedScript, what, fix).on(start, command.last.max(commands[first].last)));
        }
        brings.push(passes_on || fetched(command).is_some());
        debug_assert_eq!(brings.len(), at + 1);
    }
    piped
}

/// Marks what feeds these commands, and finds the address.
fn mark<'c>(commands: &'c [Command], piped: &mut [bool], sources: &[usize]) -> Option<&'c str> {
    let (mut todo, mut address) = (sources.to_vec(), None);
    while let Some(at) = todo.pop() {
        let Some(command) = commands.get(at) else { continue };
        address = address.or_else(|| fetched(command));
        if std::mem::replace(&mut piped[at], true) {
            continue;
        }
        todo.extend(command.input);
        if matches!(command.name.as_str(), "echo" | "printf") {
            todo.extend(command.words.iter().flat_map(|word| &word.inner));
        }
    }
    address
}

/// Whether a command compares bytes with a checksum or a signature, as far as its name tells.
fn is_check(command: &Command) -> bool {
    const SUMS: [&str; 13] = [
        "shasum",
        "sha1sum",
        "sha224sum",
        "sha256sum",
        "sha384sum",
        "sha512sum",
        "md5sum",
        "b2sum",
        "b3sum",
        "rhash",
        "gpgv",
        "gpgv2",
        "signify",
    ];
    let has = |wanted: &str| command.words.iter().any(|word| word.text.starts_with(wanted));
    let name = command.name.as_str();
    match name {
        "gpg" | "gpg2" => has("--verify") || has("--decrypt"),
        "openssl" => has("dgst") || has("sha"),
        "minisign" => has("-V"),
        "cosign" | "gh" | "sq" | "notation" | "ssh-keygen" | "jarsigner" => {
            has("verify") || has("-verify") || has("verify-blob")
        }
        "git" => has("verify-"),
        _ => SUMS.contains(&name) || ["verif", "checksum", "sha256", "sha512"].iter().any(|part| name.contains(part)),
    }
}

/// What a command does with git.
fn git(command: &Command) -> Option<Git> {
    if command.name != "git" {
        return None;
    }
    let arguments = Arguments::new(&command.words, &GIT);
    if arguments.verb() == "clone" {
        return clone(&arguments).map(|hit| Git::Clones(hit.on(command.first, command.last)));
    }
    if names_a_commit(&arguments) {
        return Some(Git::TakesCommit);
    }
    let has_digit = |text: &str| !text.starts_with('-') && text.contains(|c: char| c.is_ascii_digit());
    let is_version = matches!(arguments.verb(), "checkout" | "switch" | "reset")
        && arguments.rest().iter().any(|word| has_digit(&word.text));
    is_version.then_some(Git::TakesVersion)
}

/// Whether `git` is told to take a commit. What is not known may be one.
fn names_a_commit(arguments: &Arguments) -> bool {
    let is_one =
        |text: &str| text.contains('$') || text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match arguments.verb() {
        "checkout" | "reset" | "switch" | "fetch" | "cherry-pick" | "merge" | "worktree" => {
            arguments.rest().iter().any(|word| !word.is_known || is_one(&word.text))
        }
        "verify-tag" | "verify-commit" => true,
        _ => false,
    }
}

fn clone(arguments: &Arguments) -> Option<Hit> {
    let address = arguments.rest().first()?.text.as_str();
    let is_remote = address.contains("://") || address.contains('@') || address.starts_with('$');
    if !is_remote
        || is_local(address)
        || arguments.values(&["--revision"]).any(|revision| is_commit(revision) || revision.contains('$'))
    {
        return None;
    }
    let branch = arguments.values(&["-b", "--branch"]).next();
    let what = match branch {
        Some(branch) => format!("`git clone` of `{}` at `{}`", shown(address), shown(branch)),
        None => format!("`git clone` of `{}`", shown(address)),
    };
    let fix = "`git checkout COMMIT` after it with the whole hash, or `ADD https://…/REPOSITORY.git#COMMIT DIRECTORY`";
    let is_version = branch.is_some_and(|branch| branch.contains('$') || branch.contains(|c: char| c.is_ascii_digit()));
    Some(if is_version { Hit::may_move(Rule::GitClone, what, fix) } else { Hit::moves(Rule::GitClone, what, fix) })
}

/// What moves about a source of ADD.
pub(super) fn add(source: &str, has_checksum: bool, line: impl Fn(&str) -> String) -> Option<Hit> {
    let is_http = source.starts_with("http://") || source.starts_with("https://");
    let path = source.split(['#', '?']).next().unwrap_or_default();
    let is_git = source.starts_with("git://")
        || source.starts_with("git@")
        || source.starts_with("ssh://")
        || is_http && has_ending(path, &[".git"]);
    if has_checksum || !(is_http || is_git) || is_local(source) {
        return None;
    }
    if !is_git {
        let fix = format!("`{}`", shown(&line("--checksum=sha256:DIGEST ")));
        return Some(Hit::moves(Rule::AddUrl, format!("`{}`", shown(source)), fix));
    }
    let query = source.split_once('?').map_or("", |(_, query)| query.split('#').next().unwrap_or_default());
    let commit =
        query.split('&').find_map(|pair| pair.strip_prefix("commit=").or_else(|| pair.strip_prefix("checksum=")));
    let fragment = source.split_once('#').map_or("", |(_, fragment)| fragment.split(':').next().unwrap_or_default());
    let reference = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("ref=").or_else(|| pair.strip_prefix("tag=")))
        .unwrap_or(fragment);
    if commit.is_some() || is_commit(reference) || reference.contains('$') {
        return None;
    }
    let what = format!("git repository `{}`", shown(source));
    let fix = format!("`{}#COMMIT`, with the whole hash", shown(path));
    let is_version = reference.contains(|c: char| c.is_ascii_digit());
    Some(if is_version { Hit::may_move(Rule::AddGit, what, fix) } else { Hit::moves(Rule::AddGit, what, fix) })
}
