//! A private checkout of a repository, made by a git that does nothing else.
//!
//! Repositories and their addresses come from strangers: no configuration but ours counts, no hook, filter, helper or submodule
//! runs, no transport is spoken but those allowed, nobody is asked for a password, and there is an end to time and to the size
//! of a file. The files get the modes that git keeps, as under umask 022, whatever the umask here is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::source::{GitRef, GitSource};
use crate::environment::Environment;
use crate::failure::{Diagnose, ExitStatus};
use crate::git;
use crate::network::Route;
use crate::runtime::command::{CommandError, ToolCommand};
use crate::runtime::interrupt::Interrupt;

/// How long git may take for one command, which is enough for a kernel.
const LIMIT: Duration = Duration::from_secs(1_800);
/// The largest file that git may write, in blocks of 512 bytes: 8 GiB.
const LARGEST_FILE: &str = "16777216";
/// A larger `.gitattributes` is not looked into, in bytes.
const LARGEST_ATTRIBUTES: u64 = 1 << 20;
/// The most files that are checked out: a dozen kernels. A few trees that hold each other make billions.
const MOST_FILES: u64 = 1_000_000;
/// The most bytes that they have together: 32 GiB.
const MOST_BYTES: u64 = 32 << 30;
/// What runs git. The umask and the limit of a file's size are the shell's to set.
const SHELL: &str = "umask 022; ulimit -f \"$1\" 2>/dev/null; shift; exec git \"$@\"";
/// What a checkout needs beside the settings of every call, above whatever a repository says.
const CHECKOUT: [&str; 8] = [
    "core.symlinks=true",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "http.followRedirects=initial",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
];

/// What was checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The files, without git's own.
    pub root: PathBuf,
    /// The commit.
    pub commit: String,
    /// What a build of it may miss.
    pub notes: Vec<String>,
}

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// Git failed.
    #[error("cannot check out `{url}`")]
    Git {
        /// The repository.
        url: String,
        /// Why.
        #[source]
        source: CommandError,
    },
    /// There is no place for it.
    #[error("there is no place for a checkout")]
    Place(#[source] std::io::Error),
    /// Only the image names the commit, and nothing of the repository leads to it.
    #[error(
        "`{url}` has {commit}, which the image names, on no branch and under no tag: whose commit it is, is not proven"
    )]
    Unreachable {
        /// The repository.
        url: String,
        /// The commit.
        commit: String,
    },
    /// It is no source that anybody builds.
    #[error("`{url}` has more than {MOST_FILES} files or {} GiB at {commit}", MOST_BYTES >> 30)]
    TooLarge {
        /// The repository.
        url: String,
        /// The commit.
        commit: String,
    },
    /// The directory is not in the checkout.
    #[error("`{url}` has no directory `{directory}` at {commit}")]
    Directory {
        /// The repository.
        url: String,
        /// The directory.
        directory: String,
        /// The commit.
        commit: String,
    },
}

impl Diagnose for CheckoutError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Git { source: CommandError::Interrupted(interruption), .. } => interruption.status(),
            Self::Git { .. }
            | Self::Place(_)
            | Self::Unreachable { .. }
            | Self::TooLarge { .. }
            | Self::Directory { .. } => ExitStatus::Unknown,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::Git { source: CommandError::Interrupted(_), .. } => return None,
                Self::Git { source: CommandError::Start { .. }, .. } => "install git, or check the source out yourself",
                Self::Git { .. } => {
                    "git's own words say why; nobody is asked for a password here: check the source out yourself and give its \
                     directory as CONTEXT"
                }
                Self::Place(_) => "look at the permissions and the free space of XDG_STATE_HOME (`df`)",
                Self::Unreachable { .. } => {
                    "hosts show commits of anybody's fork under the address of what was forked: look at this one, and give it \
                     with `--ref COMMIT` if you trust it"
                }
                Self::TooLarge { .. } => "if you trust it, check it out yourself and give its directory as CONTEXT",
                Self::Directory { .. } => "give the directory that was built as CONTEXT: `ADDRESS#REF:DIRECTORY`",
            }
            .to_owned(),
        )
    }
}

/// A git that asks one repository.
struct Git<'a> {
    source: &'a GitSource,
    directory: PathBuf,
    /// An empty directory, for an address of a stranger.
    home: PathBuf,
    route: &'a Route,
    authorities: Option<PathBuf>,
    environment: &'a Environment,
    interrupt: &'a Interrupt,
}

impl Git<'_> {
    fn command(&self, words: &[&str]) -> ToolCommand {
        let by_user = self.source.whence.is_none();
        let keep: &[&str] = if by_user { &["PATH", "TMPDIR", "HOME", "SSH_AUTH_SOCK"] } else { &["PATH", "TMPDIR"] };
        let protocols = if by_user { "https:http:ssh:git+ssh:file" } else { "https" };
        let mut command = ToolCommand::new("sh", keep)
            .args(["-c", SHELL, "git", LARGEST_FILE])
            .args(git::SETTINGS.into_iter().chain(CHECKOUT).flat_map(|setting| ["-c", setting]))
            .arg("-C")
            .arg(&self.directory)
            .args(words)
            .env("GIT_ALLOW_PROTOCOL", protocols)
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes");
        for (name, value) in git::VARIABLES {
            command = command.env(name, value);
        }
        if !by_user {
            // Without HOME, libcurl asks for the user's own, and sends what `.netrc` there holds for the host.
            for name in ["HOME", "CURL_HOME", "XDG_CONFIG_HOME"] {
                command = command.env(name, &self.home);
            }
        }
        if let Some(authorities) = &self.authorities {
            command = command.env("GIT_SSL_CAINFO", authorities);
        }
        crate::runtime::with_proxy(command, self.route.proxy.as_ref())
    }

    async fn run(&self, words: &[&str]) -> Result<String, CheckoutError> {
        let output = self.command(words).run_checked(self.environment, self.interrupt, LIMIT).await;
        let output = output.map_err(|source| self.failed(words, source))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn failed(&self, words: &[&str], source: CommandError) -> CheckoutError {
        let source = match source {
            // The shell is nobody's business.
            CommandError::Failed { status, tail, .. } => {
                let command = format!("git {}", words.first().unwrap_or(&""));
                CommandError::Failed { command, status, tail }
            }
            other => other,
        };
        CheckoutError::Git { url: self.source.shown(), source }
    }

    /// Refuses a commit that no branch or tag leads to. Hosts keep a repository and its forks in one place, and give a commit
    /// of any of them under each address.
    async fn prove_reachable(&self, commit: &str) -> Result<(), CheckoutError> {
        let fetch =
            ["fetch", "--quiet", "--no-tags", "--no-auto-maintenance", "--filter=tree:0", "--", &self.source.url];
        let all = ["+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*"];
        self.run(&[&fetch[..], &all].concat()).await?;
        let unreachable = || CheckoutError::Unreachable { url: self.source.shown(), commit: commit.to_owned() };
        match self.run(&["rev-parse", "--verify", "--quiet", &format!("{commit}^{{commit}}")]).await {
            Ok(_) => {}
            Err(CheckoutError::Git { source: CommandError::Failed { .. }, .. }) => return Err(unreachable()),
            Err(other) => return Err(other),
        }
        let contains = format!("--contains={commit}");
        let leads = self.run(&["for-each-ref", "--count=1", "--format=%(refname)", &contains, "refs/all"]).await?;
        if leads.is_empty() { Err(unreachable()) } else { Ok(()) }
    }

    /// Counts the files of a commit before any is written: a small repository can hold more than any disk.
    async fn measure(&self, commit: &str) -> Result<(), CheckoutError> {
        let words = ["ls-tree", "-r", "-l", "-z", "--full-tree", commit];
        let mut tally = Tally::default();
        let is_within = |piece: &[u8]| {
            tally.add(piece);
            tally.files <= MOST_FILES && tally.bytes <= MOST_BYTES
        };
        match self.command(&words).read(self.environment, self.interrupt, LIMIT, is_within).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(CheckoutError::TooLarge { url: self.source.shown(), commit: commit.to_owned() }),
            Err(source) => Err(self.failed(&words, source)),
        }
    }

    /// Fetches what is wanted, and as little else as the server allows.
    async fn fetch(&self) -> Result<String, CheckoutError> {
        const FETCH: [&str; 4] = ["fetch", "--quiet", "--no-tags", "--no-auto-maintenance"];
        let wanted = match &self.source.reference {
            GitRef::Commit(text) | GitRef::Name(text) => text.as_str(),
            GitRef::Head => "HEAD",
        };
        let only = [&FETCH[..], &["--depth=1", "--", &self.source.url, wanted]].concat();
        let fetched = self.run(&only).await;
        if let (Err(error), GitRef::Commit(commit)) = (&fetched, &self.source.reference) {
            if error.status() != ExitStatus::Unknown {
                fetched?;
            }
            // Not every server gives a commit by its hash; then it is among all that its branches and tags lead to.
            let all = ["--", &self.source.url, "+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*"];
            self.run(&[&FETCH[..], &all].concat()).await?;
            return self.run(&["rev-parse", "--verify", "--quiet", &format!("{commit}^{{commit}}")]).await;
        }
        fetched?;
        self.run(&["rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}"]).await
    }
}

/// Checks a repository out below `place`, which is private.
pub async fn check_out(
    source: &GitSource,
    place: &Path,
    route: &Route,
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<Checkout, CheckoutError> {
    let directory = place.join("source");
    let root = directory.join("files");
    fs::create_dir_all(&root).map_err(CheckoutError::Place)?;
    let authorities = (!route.authorities.is_empty()).then(|| place.join("authorities.pem"));
    if let Some(path) = &authorities {
        // It stands for the system's own: git knows one place.
        let system = fs::read("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
        fs::write(path, [system, b"\n".to_vec(), route.authorities.clone()].concat()).map_err(CheckoutError::Place)?;
    }
    let home = place.join("home");
    fs::create_dir_all(&home).map_err(CheckoutError::Place)?;
    let git = Git { source, directory: directory.clone(), home, route, authorities, environment, interrupt };
    let is_long = matches!(&source.reference, GitRef::Commit(commit) if commit.len() == 64);
    let format = if is_long { "--object-format=sha256" } else { "--object-format=sha1" };
    git.run(&["init", "--quiet", "--template=", format]).await?;
    if let (Some(_), GitRef::Commit(commit)) = (source.commit_whence, &source.reference) {
        // A repository of its own: what it lacks must not be asked for when the files are checked out.
        let history = place.join("history");
        fs::create_dir_all(&history).map_err(CheckoutError::Place)?;
        let git = Git { directory: history, home: git.home.clone(), authorities: git.authorities.clone(), ..git };
        git.run(&["init", "--quiet", "--bare", "--template=", format]).await?;
        git.prove_reachable(commit).await?;
    }
    let commit = git.fetch().await?;
    git.measure(&commit).await?;
    git.run(&["update-ref", "--no-deref", "HEAD", &commit]).await?;
    git.run(&["--work-tree=files", "checkout", "--quiet", "--force", "--detach", &commit, "--"]).await?;
    let notes = notes(&root);
    Ok(Checkout { root, commit, notes })
}

/// What `git ls-tree -l -z` lists: `MODE TYPE OBJECT SIZE<TAB>NAME<NUL>`.
#[derive(Default)]
struct Tally {
    files: u64,
    bytes: u64,
    /// The size of the file at hand, and where in its line it is.
    size: u64,
    is_name: bool,
}

impl Tally {
    fn add(&mut self, listed: &[u8]) {
        for &byte in listed {
            match byte {
                0 => {
                    self.files += 1;
                    self.bytes = self.bytes.saturating_add(self.size);
                    (self.size, self.is_name) = (0, false);
                }
                _ if self.is_name => {}
                b'\t' => self.is_name = true,
                // Of the words in front of the tab the last one counts.
                b' ' => self.size = 0,
                b'0'..=b'9' => self.size = self.size.saturating_mul(10).saturating_add(u64::from(byte - b'0')),
                _ => {}
            }
        }
    }
}

/// What is in a checkout by name alone.
fn notes(root: &Path) -> Vec<String> {
    let mut notes = Vec::new();
    if root.join(".gitmodules").symlink_metadata().is_ok() {
        notes.push("the repository has submodules, which are not checked out".to_owned());
    }
    // A link of a stranger may lead to a file without end.
    let attributes = root.join(".gitattributes");
    let is_file = attributes.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() < LARGEST_ATTRIBUTES);
    if is_file && String::from_utf8_lossy(&fs::read(attributes).unwrap_or_default()).contains("filter=lfs") {
        notes.push("the repository keeps files in Git LFS, of which only the pointers are checked out".to_owned());
    }
    notes
}

/// The path of something in a checkout, with its links resolved, where that is in the checkout.
#[must_use]
pub fn path_in(root: &Path, path: &str) -> Option<PathBuf> {
    let root = root.canonicalize().ok()?;
    let found = root.join(path).canonicalize().ok()?;
    found.starts_with(&root).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(directory: &Path, arguments: &[&str]) -> String {
        let mut git = std::process::Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-C"]).arg(directory).args(arguments);
        let output = git.output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn source(url: String, commit: &str) -> GitSource {
        GitSource {
            url,
            reference: GitRef::Commit(commit.to_owned()),
            directory: String::new(),
            dockerfile: None,
            whence: None,
            commit_whence: Some("its label"),
        }
    }

    #[tokio::test]
    async fn a_commit_that_only_an_image_names_is_on_a_branch_or_tag() {
        let root = tempfile::tempdir().unwrap();
        git(root.path(), &["init", "--quiet", "--initial-branch=main"]);
        // What GitHub does: each commit of the network of forks by its hash.
        git(root.path(), &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        git(root.path(), &["config", "uploadpack.allowFilter", "true"]);
        let commit = |name: &str| {
            git(root.path(), &["commit", "--quiet", "--allow-empty", "--message", name]);
            git(root.path(), &["rev-parse", "HEAD"])
        };
        let first = commit("first");
        let second = commit("second");
        git(root.path(), &["checkout", "--quiet", "--detach", &first]);
        let tagged = commit("tagged");
        git(root.path(), &["tag", "v1"]);
        let impostor = commit("impostor");
        git(root.path(), &["update-ref", "refs/pull/1/head", &impostor]);
        git(root.path(), &["checkout", "--quiet", "main"]);
        let url = format!("file://{}", root.path().display());
        let (environment, interrupt, route) = (Environment::of_this_process(), Interrupt::never(), Route::default());
        let try_it = async |source: &GitSource| {
            let place = tempfile::tempdir().unwrap();
            check_out(source, place.path(), &route, &environment, &interrupt).await.map(|made| made.commit)
        };
        for commit in [&first, &second, &tagged] {
            assert_eq!(&try_it(&source(url.clone(), commit)).await.unwrap(), commit);
        }
        let refused = try_it(&source(url.clone(), &impostor)).await;
        assert!(matches!(refused, Err(CheckoutError::Unreachable { .. })), "{refused:?}");
        let trusted = GitSource { commit_whence: None, ..source(url, &impostor) };
        assert_eq!(try_it(&trusted).await.unwrap(), impostor, "the user names it");
    }

    #[test]
    fn files_are_counted_however_the_listing_arrives() {
        let listed = b"100644 blob 9af3 1024\ta 77\tb\x00120000 blob 00 7\tc\x00160000 commit 12      -\tsub\x00";
        for piece in 1..listed.len() {
            let mut tally = Tally::default();
            listed.chunks(piece).for_each(|part| tally.add(part));
            assert_eq!((tally.files, tally.bytes), (3, 1031), "pieces of {piece}");
        }
    }

    /// A few trees, each of which holds the next ten times.
    #[tokio::test]
    async fn a_small_repository_that_is_endless_is_not_checked_out() {
        let root = tempfile::tempdir().unwrap();
        git(root.path(), &["init", "--quiet", "--initial-branch=main"]);
        fs::write(root.path().join("f"), "").unwrap();
        let mut object = git(root.path(), &["hash-object", "-w", "f"]);
        for depth in 0..8 {
            let kind = if depth == 0 { "100644 blob" } else { "040000 tree" };
            let lines: Vec<String> = (0..10).map(|name| format!("{kind} {object}\t{name}\n")).collect();
            fs::write(root.path().join("lines"), lines.concat()).unwrap();
            let listed = fs::File::open(root.path().join("lines")).unwrap();
            let made =
                std::process::Command::new("git").arg("-C").arg(root.path()).arg("mktree").stdin(listed).output();
            object = String::from_utf8(made.unwrap().stdout).unwrap().trim().to_owned();
        }
        let commit = git(root.path(), &["commit-tree", "-m", "bomb", &object]);
        git(root.path(), &["update-ref", "refs/heads/main", &commit]);
        let place = tempfile::tempdir().unwrap();
        let (environment, interrupt, route) = (Environment::of_this_process(), Interrupt::never(), Route::default());
        let source = source(format!("file://{}", root.path().display()), &commit);
        let refused = check_out(&source, place.path(), &route, &environment, &interrupt).await;
        assert!(matches!(refused, Err(CheckoutError::TooLarge { .. })), "{refused:?}");
    }

    #[test]
    fn a_strangers_address_gets_no_login_of_the_home_directory() {
        let (environment, interrupt, route) = (Environment::of_this_process(), Interrupt::never(), Route::default());
        let home = PathBuf::from("/place/home");
        let command = |whence| {
            let source = GitSource { whence, ..source("https://example.org/a".to_owned(), "0") };
            let git = Git {
                source: &source,
                directory: PathBuf::from("/place/source"),
                home: home.clone(),
                route: &route,
                authorities: None,
                environment: &environment,
                interrupt: &interrupt,
            };
            git.command(&["fetch"])
        };
        let strangers = command(Some("its label"));
        for name in ["HOME", "CURL_HOME", "XDG_CONFIG_HOME"] {
            assert_eq!(strangers.set.get(name).map(PathBuf::from), Some(home.clone()), "{name}");
            assert!(!strangers.keep.iter().any(|kept| kept == name), "{name}");
        }
        let users = command(None);
        assert!(!users.set.contains_key("HOME") && users.keep.iter().any(|name| name == "HOME"));
    }
}
