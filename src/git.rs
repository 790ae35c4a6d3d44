//! What git knows of a context, asked in a way that a hostile repository cannot use.
//!
//! Git runs programs that the configuration of a repository names: hooks, a file system monitor, filters, pagers, a program
//! that checks signatures, transports. `git log` and `git status` did so when tried. The one question asked here is put to
//! plumbing, and whatever could run a program is turned off.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::environment::Environment;

/// What may be set for git: where it is and whose it is.
const KEEP: [&str; 3] = ["PATH", "HOME", "TMPDIR"];

/// Settings above those of any repository, wherever git is called: it runs nothing of theirs, and files are what is stored.
pub const SETTINGS: [&str; 7] = [
    "core.attributesFile=/dev/null",
    "core.autocrlf=false",
    "core.fileMode=true",
    "core.fsmonitor=",
    "core.hooksPath=/dev/null",
    "credential.helper=",
    // Git refuses repositories of other users because of what they make it run; here they make it run nothing.
    "safe.directory=*",
];

/// Variables of the same kind: no configuration but ours, no questions, no fetching on the way, no other objects than those named.
pub const VARIABLES: [(&str, &str); 6] = [
    ("LC_ALL", "C"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
];

/// Further ones for who only asks: nothing is fetched, and the times of files are believed only as far as they prove something.
const ASKING: [&str; 9] = [
    "core.checkStat=default",
    "core.excludesFile=/dev/null",
    "core.ignoreStat=false",
    "core.trustctime=true",
    "core.untrackedCache=false",
    "core.pager=cat",
    "core.sshCommand=/bin/false",
    "log.showSignature=false",
    "protocol.allow=never",
];

/// Why git gives no time.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Git cannot be started.
    #[error("cannot run git")]
    Start(#[source] std::io::Error),
    /// The directory is not in a repository, or has no commit.
    #[error("`{path}` has no commit: {said}", path = path.display())]
    NoCommit {
        /// The directory.
        path: PathBuf,
        /// What git said.
        said: String,
    },
}

impl GitError {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Start(_) => "install git, or give the epoch in seconds",
            Self::NoCommit { .. } => "commit it first, or give the epoch in seconds",
        }
    }
}

/// The time of the commit that is checked out in the repository of a directory, in seconds since 1970.
pub fn commit_time(directory: &Path, environment: &Environment) -> Result<i64, GitError> {
    let mut git = git(directory, environment, &[]);
    git.args(["rev-list", "--max-count=1", "--timestamp", "HEAD", "--"]);
    let output = git.stdin(Stdio::null()).output().map_err(GitError::Start)?;
    let said = String::from_utf8_lossy(&output.stdout);
    let time = said.split_whitespace().next().and_then(|word| word.parse().ok());
    time.filter(|_| output.status.success()).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or_default();
        let said = said.strip_prefix("fatal: ").unwrap_or(said).chars().filter(|c| !c.is_control()).collect();
        GitError::NoCommit { path: directory.to_owned(), said }
    })
}

/// What the files of a directory are, held against its commit. Only a checkout proves that they are those of the commit: this
/// is what git says of a repository that may be somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// Those of the commit, and no others.
    Committed,
    /// Others than in the commit, or new.
    Changed,
    /// Those of the commit, and others that git ignores. A build reads them like any file.
    Ignored,
    /// Git does not tell: submodules are in it, or a filter may change them.
    Untold,
}

/// What a repository says of a directory in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitState {
    /// The commit that is checked out.
    pub commit: String,
    /// What the files of the directory are, held against the commit.
    pub files: Files,
    /// The top of the repository.
    pub top: PathBuf,
    /// The directory in it; empty for its top.
    pub directory: String,
}

/// The state of a directory, where it is in a repository with a commit.
#[must_use]
pub fn state_of(directory: &Path, environment: &Environment) -> Option<GitState> {
    let ask = |words: &[&str]| answer(git(directory, environment, &[]).args(words));
    let commit = ask(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?;
    let top = PathBuf::from(ask(&["rev-parse", "--show-toplevel"])?);
    // A repository may say that its files are anywhere.
    let is_in = directory.canonicalize().ok()?.starts_with(&top) && top.join(".git").symlink_metadata().is_ok();
    if !is_in {
        return None;
    }
    let below = ask(&["rev-parse", "--show-prefix"])?;
    // To look whether a file differs, git runs the filters that the configuration names. None of them may.
    let named = ask(&["config", "--name-only", "--get-regexp", "^filter\\."]).unwrap_or_default();
    let filters: Vec<&str> = named.lines().filter_map(|key| key.rsplit_once('.')).map(|(filter, _)| filter).collect();
    let off =
        |filter: &&str| [format!("{filter}.clean="), format!("{filter}.process="), format!("{filter}.required=false")];
    let settings: Vec<String> = filters.iter().flat_map(off).collect();
    let can_ask = !filters.iter().any(|filter| filter.contains('='));
    let files = if can_ask { compare(directory, environment, &settings) } else { None };
    let files = files.unwrap_or(Files::Untold);
    let directory = below.trim_end_matches('/').to_owned();
    Some(GitState { commit, files, top, directory })
}

/// Whether what is checked out in a repository, or a branch or a tag of it, leads to a commit. A repository may hold others that
/// somebody proposed, or that nobody wants any more.
#[must_use]
pub fn leads_to(directory: &Path, commit: &str, environment: &Environment) -> bool {
    let ask = |words: &[&str]| answer(git(directory, environment, &[]).args(words));
    let contains = format!("--contains={commit}");
    let refs = ["refs/heads", "refs/tags", "refs/remotes"];
    let named = ask(&[&["for-each-ref", "--count=1", "--format=%(refname)", &contains], &refs[..]].concat());
    named.is_some_and(|named| !named.is_empty()) || ask(&["merge-base", "--is-ancestor", commit, "HEAD"]).is_some()
}

/// Holds the files against the commit, through an index made for it: the repository's own says which files need not be looked
/// into, and may be somebody else's.
fn compare(directory: &Path, environment: &Environment, settings: &[String]) -> Option<Files> {
    let place = tempfile::tempdir().ok()?;
    let ask = |words: &[&str]| {
        let mut git = git(directory, environment, settings);
        answer(git.env("GIT_INDEX_FILE", place.path().join("index")).args(words))
    };
    ask(&["read-tree", "HEAD"])?;
    let changes =
        ask(&["status", "--porcelain", "--ignore-submodules=all", "--untracked-files=normal", "--ignored", "--", "."])?;
    let index = ask(&["ls-files", "--stage", "--", "."])?;
    Some(judge(&changes, &index))
}

/// What the words of `git status --porcelain` and of `git ls-files --stage` come to.
fn judge(changes: &str, index: &str) -> Files {
    let is_ignored = |line: &str| line.starts_with("!! ");
    let is_submodule = |line: &str| line.starts_with("160000");
    match () {
        () if changes.lines().any(|line| !is_ignored(line)) => Files::Changed,
        () if index.lines().any(is_submodule) => Files::Untold,
        () if !changes.is_empty() => Files::Ignored,
        () => Files::Committed,
    }
}

/// What git says, where it succeeds.
fn answer(git: &mut Command) -> Option<String> {
    let output = git.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
}

/// Git, in a directory, with nothing that a repository could make it run.
fn git(directory: &Path, environment: &Environment, settings: &[String]) -> Command {
    let mut git = Command::new("git");
    git.env_clear();
    for name in KEEP {
        if let Some(value) = environment.get(name) {
            git.env(name, value);
        }
    }
    git.envs(VARIABLES).env("GIT_OPTIONAL_LOCKS", "0");
    for setting in SETTINGS.into_iter().chain(ASKING).chain(settings.iter().map(String::as_str)) {
        git.args(["-c", setting]);
    }
    git.arg("-C").arg(directory);
    git
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(directory: &Path, arguments: &[&str]) {
        let status = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-C"])
            .arg(directory)
            .args(arguments)
            .env("GIT_COMMITTER_DATE", "2024-01-02T03:04:05Z")
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "git {arguments:?}");
    }

    #[test]
    fn a_commit_that_nothing_leads_to_is_told() {
        let root = tempfile::tempdir().unwrap();
        let environment = Environment::of_this_process();
        let commit = || {
            git(root.path(), &["commit", "--quiet", "--allow-empty", "--message=a"]);
            state_of(root.path(), &environment).unwrap().commit
        };
        git(root.path(), &["init", "--quiet"]);
        let first = commit();
        let second = commit();
        git(root.path(), &["reset", "--quiet", "--hard", &first]);
        let leads = |commit: &str| leads_to(root.path(), commit, &environment);
        assert!(leads(&first) && !leads(&second) && !leads(&"0".repeat(40)));
        git(root.path(), &["tag", "v1", &second]);
        assert!(leads(&second));
        git(root.path(), &["tag", "--delete", "v1"]);
        git(root.path(), &["checkout", "--quiet", "--detach", &second]);
        assert!(leads(&second), "it is checked out");
    }

    #[test]
    fn an_index_that_lies_is_not_believed() {
        let root = tempfile::tempdir().unwrap();
        let environment = Environment::of_this_process();
        git(root.path(), &["init", "--quiet"]);
        let file = root.path().join("f");
        std::fs::write(&file, "committed").unwrap();
        git(root.path(), &["add", "f"]);
        git(root.path(), &["commit", "--quiet", "--message=a"]);
        assert_eq!(state_of(root.path(), &environment).unwrap().files, Files::Committed);
        let hash = |text: &str| {
            let mut git = Command::new("git")
                .args(["hash-object", "--stdin"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            std::io::Write::write_all(git.stdin.as_mut().unwrap(), text.as_bytes()).unwrap();
            hex::decode(String::from_utf8(git.wait_with_output().unwrap().stdout).unwrap().trim()).unwrap()
        };
        // The times and the size are those of the other file; what the index calls its contents are those of the commit.
        std::fs::write(&file, "forgeries").unwrap();
        git(root.path(), &["add", "f"]);
        let index = root.path().join(".git/index");
        let (mut bytes, other) = (std::fs::read(&index).unwrap(), hash("forgeries"));
        let at = bytes.windows(other.len()).position(|window| window == other).unwrap();
        bytes[at..at + other.len()].copy_from_slice(&hash("committed"));
        std::fs::write(&index, bytes).unwrap();
        assert_eq!(state_of(root.path(), &environment).unwrap().files, Files::Changed);
    }

    #[test]
    fn a_hostile_repository_runs_nothing() {
        let root = tempfile::tempdir().unwrap();
        let environment = Environment::of_this_process();
        assert!(matches!(commit_time(root.path(), &environment), Err(GitError::NoCommit { .. })));
        git(root.path(), &["init", "--quiet"]);
        std::fs::write(root.path().join("f"), "x").unwrap();
        git(root.path(), &["add", "f"]);
        git(root.path(), &["commit", "--quiet", "--message=a"]);
        let witness = root.path().join("witness");
        let script = root.path().join("script");
        std::fs::write(&script, format!("#!/bin/sh\ntouch {}\n", witness.display())).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        let script = script.to_str().unwrap();
        for key in ["core.fsmonitor", "core.pager", "gpg.program", "core.sshCommand", "alias.rev-list", "core.editor"] {
            git(root.path(), &["config", key, script]);
        }
        git(root.path(), &["config", "log.showSignature", "true"]);
        for key in ["filter.a.clean", "filter.a.process", "filter.b.smudge"] {
            git(root.path(), &["config", key, script]);
        }
        std::fs::write(root.path().join(".gitattributes"), "* filter=a\n").unwrap();
        // Another time makes git look at the contents.
        std::fs::File::open(root.path().join("f")).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(commit_time(root.path(), &environment).unwrap(), 1_704_164_645);
        let state = state_of(root.path(), &environment).unwrap();
        assert_eq!((state.commit.len(), state.files, state.directory.as_str()), (40, Files::Changed, ""));
        assert!(!witness.exists(), "a program of the repository was run");
    }

    #[test]
    fn files_are_not_called_committed_where_they_need_not_be() {
        let root = tempfile::tempdir().unwrap();
        let (root, environment) = (root.path().canonicalize().unwrap(), Environment::of_this_process());
        let files = || state_of(&root, &environment).map(|state| state.files);
        git(&root, &["init", "--quiet"]);
        std::fs::write(root.join("f"), "x").unwrap();
        std::fs::write(root.join(".gitignore"), "*.o\n").unwrap();
        git(&root, &["add", "."]);
        git(&root, &["commit", "--quiet", "--message=a"]);
        assert_eq!(files(), Some(Files::Committed));
        std::fs::write(root.join("a.o"), "x").unwrap();
        assert_eq!(files(), Some(Files::Ignored));
        std::fs::remove_file(root.join("a.o")).unwrap();
        std::fs::write(root.join(".git/info/exclude"), "g\n").unwrap();
        std::fs::write(root.join("g"), "x").unwrap();
        assert_eq!(files(), Some(Files::Ignored));
        std::fs::remove_file(root.join("g")).unwrap();
        for (on, off) in [("--assume-unchanged", "--no-assume-unchanged"), ("--skip-worktree", "--no-skip-worktree")] {
            git(&root, &["update-index", on, "f"]);
            std::fs::write(root.join("f"), "y").unwrap();
            assert_eq!(files(), Some(Files::Changed), "{on}");
            std::fs::write(root.join("f"), "x").unwrap();
            git(&root, &["update-index", off, "f"]);
            git(&root, &["update-index", "--refresh"]);
        }
        git(&root, &["config", "core.fileMode", "false"]);
        let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(root.join("f"), mode(0o755)).unwrap();
        assert_eq!(files(), Some(Files::Changed));
        std::fs::set_permissions(root.join("f"), mode(0o644)).unwrap();
        let commit = state_of(&root, &environment).unwrap().commit;
        git(&root, &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},sub")]);
        git(&root, &["commit", "--quiet", "--message=b"]);
        assert_eq!(files(), Some(Files::Untold));
        let other = tempfile::tempdir().unwrap();
        git(&root, &["config", "core.worktree", other.path().to_str().unwrap()]);
        assert_eq!(files(), None, "its files are said to be elsewhere");
    }
}
