//! What can be wrong with words, and what to do about it.

use std::path::PathBuf;

use crate::epoch::EpochError;
use crate::failure::{Diagnose, ExitStatus};
use crate::frontend::{FrontendError, FrontendOrigin};
use crate::git::GitError;
use crate::network::NetworkError;
use crate::pin::PinError;
use crate::plan::PlanError;
use crate::reference::ReferenceError;
use crate::remote::RemoteError;
use crate::settings::network::AUTHORITIES;
use crate::settings::resolve::remote::CERTIFICATE;
use crate::settings::{FileError, Origin};

/// What is wrong with the words of the user.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file of settings is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// Git does not tell the time of the commit.
    #[error("--source-date-epoch git")]
    Git(#[source] GitError),
    /// Docker's media types have no name for this compression.
    #[error("`--compression {0}` needs OCI media types: Docker's have no name for it")]
    NoMediaType(&'static str),
    /// Neither an epoch nor a date.
    #[error("no epoch is given")]
    NoEpoch,
    /// Two that exclude each other.
    #[error("{0} and {1} are both given, and say the same thing in two ways")]
    Both(Origin, Origin),
    /// An epoch or date that is none.
    #[error("{origin}")]
    Epoch {
        /// The flag or variable.
        origin: Origin,
        /// What is wrong.
        #[source]
        source: EpochError,
    },
    /// A variable holds something else than it may.
    #[error("variable {name} is `{value}`: {expected}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// A pin that is none.
    #[error("{origin}")]
    Pin {
        /// The flag or variable.
        origin: Origin,
        /// What is wrong.
        #[source]
        source: PinError,
    },
    /// A frontend that is none, or may not be.
    #[error(transparent)]
    Frontend(#[from] FrontendError),
    /// A platform, annotation or secret that is none.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A word about the network that is none.
    #[error("{origin}")]
    Network {
        /// The flag, key or variable.
        origin: Origin,
        /// What is wrong.
        #[source]
        source: NetworkError,
    },
    /// The runtime without its address.
    #[error("{0} asks for a BuildKit that somebody else runs, and does not say where it is")]
    NoAddress(Origin),
    /// An address, and a runtime that has none.
    #[error("{address} is for the runtime remote, and {runtime} asks for {name}")]
    OtherRuntime {
        /// Where the address was given.
        address: Origin,
        /// Where the runtime was given.
        runtime: Origin,
        /// The runtime.
        name: &'static str,
    },
    /// An address that is none, or that nothing protects.
    #[error("{origin}")]
    Remote {
        /// Where it was given.
        origin: Origin,
        /// What is wrong.
        #[source]
        source: RemoteError,
    },
    /// A word that needs `=`, or must not be empty.
    #[error("{origin} `{text}`: {why}")]
    Word {
        /// Where it was given.
        origin: Origin,
        /// What was given.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Further arguments for the client that would undo what repro proves.
    #[error("{origin} `{text}`: {why}")]
    Extra {
        /// Where they were given.
        origin: Origin,
        /// What was given.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// A name of the image that is none.
    #[error("{origin} `{text}`")]
    Tag {
        /// Where it was given.
        origin: Origin,
        /// What was given.
        text: String,
        /// What is wrong.
        #[source]
        source: ReferenceError,
    },
    /// A path that does not lead where it should.
    #[error("{what} `{path}`", path = path.display())]
    Path {
        /// What the path is for.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: std::io::Error,
    },
    /// A context that is not a directory.
    #[error("context `{path}` {why}", path = path.display())]
    Context {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// Several platforms in a docker archive.
    #[error("`--archive docker` holds one platform, and {0} are asked for")]
    DockerArchive(usize),
    /// An index annotation without an index.
    #[error("annotation `{0}` is for an index, and one platform makes none")]
    NoIndex(String),
    /// An annotation for a platform that is not built.
    #[error("annotation `{0}` is for {1}, which is not built")]
    NotBuilt(String, String),
}

impl SettingsError {
    /// Whether it is the Dockerfile that asks for a frontend that is none.
    #[must_use]
    pub const fn is_of_dockerfile(&self) -> bool {
        matches!(
            self,
            Self::Frontend(
                FrontendError::Reference { origin: FrontendOrigin::Line(_), .. } | FrontendError::Unreadable
            )
        )
    }
}

impl Diagnose for SettingsError {
    fn status(&self) -> ExitStatus {
        ExitStatus::Usage
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::File(error) => return error.hint(),
            Self::Git(error) => return Some(error.hint().to_owned()),
            Self::NoMediaType(_) => "give `--media-types oci`, or leave it out",
            Self::NoEpoch => {
                "give `--sde SECONDS` or `--datetime DATE` (`--sde git` is the time of the context's commit)"
            }
            Self::Both(..) | Self::OtherRuntime { .. } => "give one of the two",
            Self::NoAddress(_) => "give `--addr ADDRESS` (unix://, tcp://, ssh://, docker-container:// or kube-pod://)",
            Self::Remote { source, .. } => return Some(source.hint()),
            Self::Path { what: CERTIFICATE, .. } => {
                "the directory holds the authority of the BuildKit in ca.pem, and your own certificate and its key in cert.pem and key.pem"
            }
            Self::Epoch { source: EpochError::Future { .. }, .. } => {
                "choose a moment before this build, or look whether the machine's clock is right"
            }
            Self::Pin { source: PinError::NoDigest(_), .. } => {
                "append `@sha256:…`, which `docker buildx imagetools inspect NAME:TAG` or `skopeo inspect` shows"
            }
            Self::Pin { source: PinError::MediaTypesUnknown(_), .. } => {
                "give `--media-types docker` or `--media-types oci`, or name the version in the tag (NAME:v0.19.0@sha256:…)"
            }
            Self::Extra { .. } => "use the flag of `repro build` that means the same, if there is one",
            Self::Frontend(error) => error.hint(),
            Self::Context { .. } => "give a directory; to build from git, check it out first",
            Self::DockerArchive(_) => {
                "leave `--archive` out, or give `--archive oci`; `docker load` takes one platform at a time"
            }
            Self::NoIndex(_) => "annotate the manifest, or build several platforms with `--platform`",
            Self::NotBuilt(..) => "leave it out, or name the platform in `--platform`",
            Self::Word { text, .. } if text.starts_with("SOURCE_DATE_EPOCH") => {
                "leave the build argument out: `--sde` sets it"
            }
            Self::Path { what: AUTHORITIES, .. } => {
                "give a file with certificates in PEM form; `openssl x509 -inform der -outform pem` changes others into it"
            }
            Self::Path { .. } => "look whether the path is spelt right and may be read",
            _ => "`repro build --help` shows what each flag takes",
        };
        Some(text.to_owned())
    }
}
