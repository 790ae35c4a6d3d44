//! Why a build did not happen, or its result does not count.

use std::path::PathBuf;

use super::base::Substitution;
use super::heard::hint_of;
use crate::digest::Digest;
use crate::failure::{Diagnose, ExitStatus};
use crate::frontend::FrontendError;
use crate::image::{Fault, ImageError};
use crate::output::OutputError;
use crate::pin::{PinError, Version};
use crate::plan::PlanError;
use crate::runtime::binaries::BinariesError;
use crate::runtime::command::CommandError;
use crate::runtime::detect::DetectError;
use crate::runtime::engine::EngineError;
use crate::runtime::execute::ExecuteError;
use crate::runtime::interrupt::Interruption;
use crate::runtime::remote::RemoteDaemonError;
use crate::settings::SettingsError;

/// Why a build did not happen, or its result does not count.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No runtime works, or not the one asked for.
    #[error(transparent)]
    Detect(#[from] DetectError),
    /// The pin does not tell enough.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The settings do not go together with this pin.
    #[error(transparent)]
    Settings(Box<SettingsError>),
    /// A part of the plan does not work with this pin, or not here.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An agent is asked for, and there is none.
    #[error("`--ssh` asks for an SSH agent, and SSH_AUTH_SOCK is not set")]
    NoAgent,
    /// The frontend may not read the Dockerfile.
    #[error(transparent)]
    Frontend(#[from] FrontendError),
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The pinned binaries cannot be had.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// A step around the build failed.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// A flag has no meaning on this runtime.
    #[error("{flag} has no meaning with the runtime {runtime}: {why}")]
    NotHere {
        /// The flag.
        flag: &'static str,
        /// The runtime.
        runtime: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// There is no home directory.
    #[error("neither HOME nor XDG_STATE_HOME and XDG_CACHE_HOME are set, so there is no place for caches and builders")]
    NoHome,
    /// There is no place for temporary files.
    #[error("there is no directory for temporary files outside of the context `{path}` with a path short enough for a socket", path = .0.display())]
    NoTemporary(PathBuf),
    /// The path of our state has characters that overlayfs cannot mount.
    #[error("`{path}` holds a comma, colon, quote or backslash, and overlayfs cannot mount layers below such a path", path = .0.display())]
    StatePath(PathBuf),
    /// A plain user's state lies on a tmpfs.
    #[error("`{path}` lies on a tmpfs, where BuildKit without root cannot keep its layers", path = .0.display())]
    StateOnTmpfs(PathBuf),
    /// A file or directory of our own cannot be made or locked.
    #[error("cannot use `{path}`", path = path.display())]
    Own {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The builder ended with another status than 0.
    #[error("the build failed: `{command}` ended with {status}")]
    Failed {
        /// What was run.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The builder, where it goes on running after the build.
        builder: Option<String>,
        /// What to do about it, where the builder's words are known.
        hint: Option<&'static str>,
    },
    /// The builder did not even start.
    #[error("the builder did not start: `{command}` ended with {status}")]
    NotStarted {
        /// What was run.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// The archive could not be written.
    #[error("cannot write the archive")]
    Write(#[source] std::io::Error),
    /// Whoever read stdout went away.
    #[error("whoever reads stdout went away before it had the whole archive")]
    NoReader,
    /// The archive is not right.
    #[error("what BuildKit wrote is not a sound archive")]
    Archive(#[source] ImageError),
    /// BuildKit's metadata are missing or unreadable.
    #[error("BuildKit's metadata of the build: {0}")]
    Metadata(String),
    /// The archive and BuildKit's metadata contradict each other.
    #[error("the archive is not what BuildKit says it built\n{}", list(.0))]
    Disagreement(Vec<Fault>),
    /// A layer that this build made still has its live times.
    #[error("BuildKit did not rewrite all times to the epoch: {0}")]
    NotRewritten(String),
    /// What the layers are made from is not known, so it cannot be told which of them had to be rewritten.
    #[error("it cannot be told whether BuildKit rewrote all times to the epoch: {0}")]
    Unproved(String),
    /// The builder's cache gave a base layer in another compression.
    #[error("layer {} of the base image is {} in the image and {} in the base image: the same contents, compressed otherwise", .0.layer, .0.found, .0.expected)]
    BaseSubstituted(Substitution),
    /// A cache may have kept what was made before the epoch.
    #[error(
        "layer {layer} holds what was modified at {found}, before the epoch {epoch}, and may come from a cache: without it, the time would be that of the epoch"
    )]
    CachedBeforeEpoch {
        /// Which layer, counted from 0.
        layer: usize,
        /// The latest such time, in seconds since 1970.
        found: i64,
        /// The epoch.
        epoch: i64,
    },
    /// The image is not what was asked for.
    #[error("the build made something else than was asked for: {0}")]
    NotAsAsked(String),
    /// The proxy that RUN was told stands in the image.
    #[error("the configuration of the image for {0} holds the proxy that only RUN was to know")]
    ProxyInImage(String),
    /// Another version than the pin's.
    #[error("BuildKit {found} built, and the pin {digest} is {expected}")]
    OtherVersion {
        /// What the daemon says.
        found: String,
        /// What the pin's table or tag says.
        expected: Version,
        /// The pin.
        digest: Digest,
    },
    /// What went wrong on a BuildKit that others share, where other things help than on one's own.
    #[error(transparent)]
    Shared(Box<BuildError>),
    /// The user wanted to stop.
    #[error("stopped before the build was done; nothing was written")]
    Interrupted(Interruption),
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl BuildError {
    /// The same, as it happened on a BuildKit that others share.
    #[must_use]
    pub fn on_shared(self) -> Self {
        Self::Shared(Box::new(self))
    }

    const fn interruption(&self) -> Option<Interruption> {
        match self {
            Self::Shared(error) => error.interruption(),
            Self::Interrupted(interruption)
            | Self::Detect(DetectError::Interrupted(interruption))
            | Self::Execute(ExecuteError::Command(CommandError::Interrupted(interruption))) => Some(*interruption),
            _ => None,
        }
    }
}

impl From<SettingsError> for BuildError {
    fn from(error: SettingsError) -> Self {
        Self::Settings(Box::new(error))
    }
}

impl Diagnose for BuildError {
    fn status(&self) -> ExitStatus {
        if let Some(interruption) = self.interruption() {
            return interruption.status();
        }
        match self {
            Self::Pin(_)
            | Self::Execute(ExecuteError::Remote(RemoteDaemonError::Unusable { .. }))
            | Self::Plan(_)
            | Self::NoAgent
            | Self::Frontend(_)
            | Self::NotHere { .. }
            | Self::NoTemporary(_)
            | Self::StatePath(_)
            | Self::StateOnTmpfs(_) => ExitStatus::Usage,
            Self::Settings(error) => error.status(),
            Self::Shared(error) => error.status(),
            Self::Output(error) => error.status(),
            Self::Binaries(error) => error.status(),
            Self::Failed { .. } | Self::NotAsAsked(_) | Self::ProxyInImage(_) => ExitStatus::BuildFailed,
            Self::Archive(_) | Self::Metadata(_) | Self::Disagreement(_) => ExitStatus::Corrupt,
            Self::NotRewritten(_) | Self::BaseSubstituted(_) | Self::CachedBeforeEpoch { .. } => ExitStatus::Different,
            Self::Detect(_)
            | Self::NotStarted { .. }
            | Self::Execute(_)
            | Self::NoHome
            | Self::Own { .. }
            | Self::Write(_)
            | Self::NoReader
            | Self::Unproved(_)
            | Self::OtherVersion { .. }
            | Self::Interrupted(_) => ExitStatus::Unknown,
        }
    }

    fn hint(&self) -> Option<String> {
        if self.interruption().is_some() {
            return None;
        }
        let text = match self {
            Self::Output(error) => return error.hint(),
            Self::Binaries(error) => return Diagnose::hint(error),
            Self::Detect(error) => detect_hint(error),
            Self::Frontend(error) => error.hint(),
            Self::Execute(ExecuteError::Engine(error)) => engine_hint(error),
            Self::Execute(ExecuteError::Command(error)) => hint_of(&error.to_string()).unwrap_or(command_hint(error)),
            Self::Settings(error) => return error.hint(),
            Self::Shared(error) => {
                return shared_hint(error).map_or_else(|| error.hint(), |hint| Some(hint.to_owned()));
            }
            Self::Pin(_) => "name the version that the image really is in its tag (NAME:v0.19.0@sha256:…)",
            Self::Plan(_) => "leave it out, or give another one",
            Self::NoAgent => "start an agent (`eval \"$(ssh-agent)\"; ssh-add`), or name keys: `--ssh ID=KEY`",
            Self::NotHere { .. } => "leave it out, or choose the runtime that it is for with `--runtime`",
            Self::NoHome => "set HOME",
            Self::NoTemporary(_) => {
                "set TMPDIR to a directory outside of the context, with a path of at most 64 characters"
            }
            Self::StatePath(_) | Self::StateOnTmpfs(_) => "set XDG_STATE_HOME to another directory",
            Self::Own { .. } => "look at its permissions and at the free space there (`df`)",
            Self::Failed { hint: Some(hint), .. } => hint,
            Self::Failed { builder: Some(builder), .. } => {
                return Some(format!(
                    "the builder's own words above say what is wrong; `-v` shows what repro ran; where a download was damaged (`unexpected commit digest`), BuildKit keeps it until its builder is gone: `repro builder rm {builder}`"
                ));
            }
            Self::Failed { .. } => "the builder's own words above say what is wrong; `-v` shows what repro ran",
            Self::NotStarted { .. } => {
                "the end of the daemon's log above says why; `repro build -v --runtime …` tries another runtime"
            }
            Self::Write(_) => "look at the free space there (`df`), or choose another place with `--output`",
            Self::NoReader => "look at what the other program said, or write to a file with `--output`",
            Self::Archive(_) | Self::Metadata(_) | Self::Disagreement(_) => {
                "build again with `--no-cache`; if it comes back, the builder or its disk is broken: please report it"
            }
            Self::CachedBeforeEpoch { .. } => "build with `--no-cache` and without `--cache-from`",
            Self::NotRewritten(_) => {
                "build again with `--no-cache`; BuildKit's own log says why it left the layer alone"
            }
            Self::BaseSubstituted(_) => {
                "use the base image that the registry has; with a cache from before, `--no-cache` builds without it"
            }
            Self::Unproved(_) => "build again with `--no-cache`, so that BuildKit records what it builds from",
            Self::OtherVersion { .. } => "name the version that the image really is in its tag, or leave the tag out",
            Self::NotAsAsked(_) => "look at the arguments behind --buildx-args or --buildkit-args",
            Self::ProxyInImage(_) => {
                "take `ARG HTTP_PROXY` and the like, and ENV made from them, out of the Dockerfile: RUN knows the proxy without"
            }
            Self::Execute(_) => "build again, and let nobody restart the builder meanwhile",
            Self::Interrupted(_) => return None,
        };
        Some(text.to_owned())
    }
}

/// What helps on a BuildKit that others share, where that is something else: there is no `--no-cache` there.
fn shared_hint(error: &BuildError) -> Option<&'static str> {
    Some(match error {
        BuildError::BaseSubstituted(_) => {
            "that BuildKit has the same contents from another image, and there is no throw-away state on it: ask who runs it to \
             remove that from its cache, or build with `--runtime docker`, `podman` or `buildkitd`"
        }
        BuildError::Unproved(_) => {
            "build one platform at a time, of which that BuildKit records what it builds from (`repro index create` joins them), or build \
             with `--runtime docker`, `podman` or `buildkitd`"
        }
        BuildError::Archive(_)
        | BuildError::Metadata(_)
        | BuildError::Disagreement(_)
        | BuildError::NotRewritten(_) => {
            "build with `--runtime docker`, `podman` or `buildkitd`; if it is right there, tell who runs that BuildKit"
        }
        BuildError::Failed { hint: None, .. } => {
            "the builder's own words above say what is wrong; where the connection was lost, build again once that BuildKit answers"
        }
        BuildError::Execute(ExecuteError::Remote(error)) => match error {
            RemoteDaemonError::NoAnswer { .. } => {
                "look whether the address is right, whether it can be reached from here, and whether its certificate and yours \
                 are of the authority that the other side knows"
            }
            RemoteDaemonError::OtherVersion { .. } => {
                "digests hold within one version: name an image of the version that it is with `--buildkit-image NAME:TAG@DIGEST`, or \
                 build on a BuildKit of the pin's version"
            }
            RemoteDaemonError::NoVersion(_) | RemoteDaemonError::Unusable { .. } => {
                "build on a BuildKit that is a release, from v0.13.0 on and not v0.24"
            }
        },
        BuildError::OtherVersion { .. } => "that BuildKit was replaced during the build: build again",
        BuildError::Execute(ExecuteError::Command(CommandError::Failed { .. })) => {
            "look whether that BuildKit still answers, and build again; `-v` shows what repro ran"
        }
        _ => return None,
    })
}

const fn detect_hint(error: &DetectError) -> &'static str {
    match error {
        DetectError::NoBuildx(_) => {
            "install the plugin (Debian: docker-buildx-plugin from Docker's repository), or use `--runtime buildkitd`"
        }
        DetectError::Engine(error) => engine_hint(error),
        DetectError::Config(_) => "mend the file, or set DOCKER_CONFIG to another directory",
        DetectError::Buildkitd(_) => "install what is missing, or run as root",
        _ => "install Docker or Podman, or run as root with `--runtime buildkitd`, which needs no engine",
    }
}

const fn engine_hint(error: &EngineError) -> &'static str {
    match error {
        EngineError::NotThePin { .. } => {
            "remove the builder (`repro builder ls`, `repro builder rm NAME`), and build again"
        }
        EngineError::Inspect { .. } => "look at the daemon's log, and build again",
        _ => "start the daemon, or say where it is with DOCKER_HOST or `docker context use`",
    }
}

const fn command_hint(error: &CommandError) -> &'static str {
    match error {
        CommandError::Start { .. } => "install it, or choose another runtime with `--runtime`",
        _ => "look whether the registry of the BuildKit image can be reached; `-v` shows what repro ran",
    }
}
