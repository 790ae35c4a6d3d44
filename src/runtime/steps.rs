//! What a runtime does for one build, as data: rendered either to processes or to the dry run's script.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::command::ToolCommand;
use crate::digest::Digest;
use crate::pin::Version;

/// One step before or after the solve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a directory that only the user can enter.
    Directory(PathBuf),
    /// Write a file that only the user can read.
    File {
        /// Where.
        path: PathBuf,
        /// What.
        contents: Vec<u8>,
    },
    /// Write the private Docker configuration, which may hold credentials: a dry run shows how it is made, not what is in it.
    DockerConfig {
        /// Where.
        path: PathBuf,
        /// The registries whose credentials are looked up, with helpers and in Podman's files too.
        registries: Vec<String>,
        /// Whether it holds these credentials and nothing else: where it is read there are neither helpers nor plugins.
        credentials_only: bool,
    },
    /// Make a symbolic link.
    Link {
        /// Where.
        path: PathBuf,
        /// Where to.
        target: PathBuf,
    },
    /// Run a command that has to succeed.
    Command(ToolCommand),
    /// Unless the first command succeeds, run the second.
    Ensure {
        /// Succeeds when there is nothing to do.
        probe: ToolCommand,
        /// Does it.
        otherwise: ToolCommand,
    },
    /// Ask something. No answer is an empty one.
    Ask(Query),
    /// See to it that a builder runs in a container of the pinned image, and prove it.
    Builder(Box<Builder>),
    /// See to it that a BuildKit which somebody else runs answers, and that it says the right version.
    Remote(Box<RemoteBuilder>),
    /// Prove once more that a Docker container is the right one, and the same as before.
    ProveContainer(ContainerProof),
}

/// What has to hold of the container that a Docker builder runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerProof {
    /// The `docker` command with the private configuration, for the dry run's script.
    pub docker: ToolCommand,
    /// The container's name.
    pub container: String,
    /// The digest that its image must have been pulled by.
    pub digest: Digest,
    /// Whether it has to share the host's network.
    pub host_network: bool,
}

/// A buildx builder. One that runs already, in the right container, is used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builder {
    /// What its container has to be.
    pub proof: ContainerProof,
    /// The file that buildx has for each builder that it knows.
    pub record: PathBuf,
    /// Whether it is made for this run alone.
    pub throw_away: bool,
    /// Succeeds when buildx knows it, and says the version of a BuildKit that runs.
    pub inspect: ToolCommand,
    /// Makes it known to buildx.
    pub create: ToolCommand,
    /// Makes and starts its container.
    pub start: ToolCommand,
    /// Removes it and its container.
    pub remove: ToolCommand,
}

/// A BuildKit that somebody else runs, as buildx gets to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteBuilder {
    /// Where it is, for messages.
    pub address: String,
    /// The version that it has to say, where one is known.
    pub version: Option<Version>,
    /// Makes it known to buildx.
    pub create: ToolCommand,
    /// Asks it for its version. It succeeds also where nobody answers.
    pub inspect: ToolCommand,
    /// Fails with the reason where nobody answers.
    pub explain: ToolCommand,
    /// Where the answer goes.
    pub answer: PathBuf,
}

/// A question to an engine or a builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The command; one that is run while the solve runs has to succeed.
    pub command: ToolCommand,
    /// Where its stdout goes.
    pub stdout: PathBuf,
}

/// Where a runtime leaves what it learnt, all in the private directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// BuildKit's metadata of the result (`containerimage.digest`, …).
    pub metadata: PathBuf,
    /// A text that holds the version of the BuildKit that built.
    pub version: PathBuf,
    /// The provenance of the build, where the metadata do not hold it.
    pub provenance: Option<PathBuf>,
    /// Where neither is sure to be there: a line for each document of a provenance, with the build that it is of and its digest.
    pub records: Option<PathBuf>,
    /// The documents of the images that the build read, as the registry gave them.
    pub documents: Documents,
    /// The line of `/proc/self/uid_map` where the daemon ran, where nothing else tells whether that is a user namespace.
    pub user_ids: Option<PathBuf>,
}

/// Where the index and manifest of a base image can be read after the build: BuildKit keeps them beside its layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Documents {
    /// A directory with files named like the hexadecimal part of the digest.
    Directory(PathBuf),
    /// Out of reach: the registry is asked again, and layouts of this machine are looked at.
    Origin {
        /// The directories of the layouts.
        layouts: Vec<PathBuf>,
    },
    /// BuildKit's content store in a container of Docker.
    Container {
        /// The container.
        name: String,
        /// BuildKit's state in it.
        state: String,
    },
}

/// Everything that a runtime does for one build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    /// In order, before the solve.
    pub prepare: Vec<Step>,
    /// In order, once the old archive is gone, which may lie in the context: copies of what the build reads.
    pub copy: Vec<Step>,
    /// The build itself; the archive is its stdout.
    pub solve: ToolCommand,
    /// Where the solve's own messages go instead of stderr; they are shown when it fails.
    pub solve_log: Option<PathBuf>,
    /// While the solve runs: what nothing before it depends on.
    pub beside: Vec<Query>,
    /// In order, after the solve succeeded.
    pub finish: Vec<Step>,
    /// After the build, however it ended.
    pub cleanup: Vec<ToolCommand>,
    /// After a build that did not end by itself.
    pub abort: Vec<ToolCommand>,
    /// What the runtime leaves behind for the checks.
    pub findings: Findings,
    /// What two builds must not do at the same time.
    pub lock: Option<Lock>,
    /// The directory of a daemon's state, where it is one on this machine.
    pub state: Option<StateDirectory>,
    /// The name of the builder, volume or directory that is used.
    pub uses: String,
}

/// The state of a daemon that is a child. Where it was killed, file systems are still mounted there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDirectory {
    /// Where.
    pub path: PathBuf,
    /// Whether it is for this run alone.
    pub throw_away: bool,
}

/// A file that one build has at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The file.
    pub path: PathBuf,
    /// What it protects, for those who wait.
    pub what: &'static str,
    /// Whether it is held only until the solve begins: a daemon that serves several builds at once is made by one.
    pub only_to_prepare: bool,
    /// Where the cache is that belongs to it.
    pub cache: CachePlace,
}

/// Where a cache is that outlives a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachePlace {
    /// A directory.
    Directory(PathBuf),
    /// A volume of the Docker daemon.
    DockerVolume(String),
    /// A volume of Podman.
    PodmanVolume(String),
}

/// `--flag=value` as one argument, for values that may not be UTF-8 or may begin with a dash.
#[must_use]
pub fn joined(flag: &str, value: impl Into<OsString>) -> OsString {
    let mut argument = OsString::from(flag);
    argument.push("=");
    argument.push(value.into());
    argument
}

/// One field of Go's comma-separated values; quoted only where it has to be.
#[must_use]
pub fn csv_field(text: &str) -> String {
    let odd = text.contains(['"', ',', '\n', '\r']) || text.starts_with(char::is_whitespace);
    if odd { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// A field `key=path`, whose path may not be UTF-8. `key` ends in `=`.
#[must_use]
pub fn csv_path(key: &str, path: &Path) -> OsString {
    let text = [key.as_bytes(), path.as_os_str().as_bytes()].concat();
    if !text.iter().any(|byte| matches!(byte, b'"' | b',' | b'\n' | b'\r')) {
        return OsString::from_vec(text);
    }
    let doubled = text.iter().flat_map(|byte| if *byte == b'"' { vec![b'"'; 2] } else { vec![*byte] });
    OsString::from_vec(std::iter::once(b'"').chain(doubled).chain([b'"']).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_not_utf8_cannot_add_fields() {
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/\xff,dst=/etc,\"x\""));
        assert_eq!(csv_path("src=", path).as_bytes(), b"\"src=/\xff,dst=/etc,\"\"x\"\"\"");
        assert_eq!(csv_path("src=", Path::new("/a b")), "src=/a b");
    }
    use crate::plan::split_csv;

    /// Defect 15 of upstream.
    #[test]
    fn csv_fields_arrive_unchanged() {
        for text in ["a=b", "a,b", "say \"hi\"", " leading", "", "two\nlines", "\"", ",", "ü, é"] {
            let line = [csv_field(text), csv_field("next")].join(",");
            assert_eq!(split_csv(&line).unwrap(), [text, "next"], "{line}");
        }
    }
}
