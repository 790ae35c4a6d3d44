//! What can go wrong between a BuildKit image and its binaries.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::Digest;
use crate::registry::RegistryError;

/// Why there are no binaries.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// The reference of a BuildKit image has no digest.
    #[error("BuildKit image `{0}` has no digest")]
    NotPinned(String),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The directory or archive is not an OCI image layout.
    #[error("`{}` is not an OCI image layout: {reason}", .path.display())]
    Layout {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The layout does not hold exactly one image and no digest chooses one.
    #[error("`{}` holds {} images: {}", .path.display(), .digests.len(), list(.digests))]
    Ambiguous {
        /// The directory or file.
        path: PathBuf,
        /// The digests in its index.
        digests: Vec<Digest>,
    },
    /// A blob is not in the layout.
    #[error("`{}` does not hold `{digest}`", .path.display())]
    NoBlob {
        /// The directory or file.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// A blob has another digest than its descriptor says.
    #[error("{what} has digest `{actual}`, its descriptor says `{expected}`")]
    Digest {
        /// What it is.
        what: &'static str,
        /// By the descriptor.
        expected: Digest,
        /// By its bytes.
        actual: Digest,
    },
    /// A blob has another size than its descriptor says.
    #[error("{what} `{digest}` has {actual} bytes, its descriptor says {expected}")]
    Size {
        /// What it is.
        what: &'static str,
        /// The blob.
        digest: Digest,
        /// By the descriptor, bytes.
        expected: u64,
        /// By its bytes.
        actual: u64,
    },
    /// An index, manifest or configuration is not what it should be.
    #[error("{what} `{digest}` is not usable: {reason}")]
    Document {
        /// `index`, `manifest` or `config`.
        what: &'static str,
        /// The document.
        digest: Digest,
        /// Why.
        reason: String,
    },
    /// The image is not for this platform.
    #[error("`{digest}` has no image for `{wanted}`, only for {available}")]
    Platform {
        /// The index or manifest.
        digest: Digest,
        /// The platform asked for.
        wanted: String,
        /// The platforms that there are.
        available: String,
    },
    /// The unpacked layer has another digest than the configuration says.
    #[error("layer `{layer}` unpacks to `{actual}`, the image's config says `{expected}`")]
    DiffId {
        /// The stored layer.
        layer: Digest,
        /// The diff ID in the configuration.
        expected: Digest,
        /// By its bytes.
        actual: Digest,
    },
    /// A layer cannot be unpacked.
    #[error("layer `{layer}` cannot be unpacked: {reason}")]
    Layer {
        /// The stored layer.
        layer: Digest,
        /// Why.
        reason: String,
    },
    /// Something is larger than allowed.
    #[error("{what} has more than {limit} {unit}")]
    TooLarge {
        /// What.
        what: String,
        /// How many are allowed.
        limit: u64,
        /// `bytes`, `entries`, …
        unit: &'static str,
    },
    /// The image does not hold a binary that is needed.
    #[error("`{image}` holds no `{path}`")]
    Missing {
        /// The manifest.
        image: Digest,
        /// The path in the image.
        path: &'static str,
    },
    /// A binary is a link to something that is not unpacked.
    #[error("`{path}` in the image is a link to `{target}`, which is not followed")]
    Link {
        /// The path in the image.
        path: &'static str,
        /// Where it points to.
        target: String,
    },
    /// A binary cannot run on this machine as it is.
    #[error("`{path}` in the image cannot run here: {reason}")]
    Foreign {
        /// The path in the image.
        path: &'static str,
        /// Why.
        reason: String,
    },
    /// Others could change what is in the cache.
    #[error("`{}` is not trusted as a cache: {reason}", .path.display())]
    Untrusted {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another process holds the lock for too long.
    #[error("`{}` is locked by another process for more than {} s", .path.display(), .waited.as_secs())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long it was waited.
        waited: Duration,
    },
    /// A file or directory.
    #[error("cannot {action} `{}`", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl BinariesError {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotPinned(_) => "add `@sha256:…`: only a digest says which BuildKit it is",
            Self::Registry(error) => error.hint(),
            Self::Layout { .. } => "`skopeo copy docker://… oci:DIRECTORY` makes one, with an `index.json` on its top",
            Self::Ambiguous { .. } => "choose one: `oci:DIRECTORY@sha256:…`",
            Self::NoBlob { .. } => "copy the image again, for all platforms or this machine's: part of it is missing",
            Self::Digest { .. } | Self::Size { .. } | Self::DiffId { .. } | Self::Layer { .. } => {
                "the image was damaged or changed on its way; nothing of it was used: get it again"
            }
            Self::Document { .. } => "this is not an image that can be read; check the digest",
            Self::Platform { .. } => "choose a BuildKit image for this platform",
            Self::TooLarge { .. } => "this is not a BuildKit image, or a hostile one",
            Self::Missing { .. } | Self::Link { .. } | Self::Foreign { .. } => {
                "use an official `moby/buildkit` image, which holds static binaries in `/usr/bin`"
            }
            Self::Untrusted { .. } => {
                "take the right to write from others (`chmod go-w`), or set `XDG_CACHE_HOME` to a directory of this user's own"
            }
            Self::Locked { .. } => "wait for the other `repro`, or end it",
            Self::Io { .. } => "check permissions and free space",
        }
    }
}

fn list(digests: &[Digest]) -> String {
    let texts: Vec<String> = digests.iter().take(8).map(|digest| format!("`{digest}`")).collect();
    if texts.is_empty() { "its index is empty".to_owned() } else { texts.join(", ") }
}

/// The error of an action on a path.
pub(super) fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> BinariesError + 'a {
    move |source| BinariesError::Io { action, path: path.to_owned(), source }
}
