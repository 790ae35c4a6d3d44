//! What can be wrong with an archive.

use std::fmt;
use std::sync::Arc;

use super::escape::{escape, escape_bytes};
use super::layer::LayerError;
use super::media_type::Compression;
use super::model::Platform;
use super::paths::Found;
use super::source::Damage;
use super::tar::TarError;
use crate::digest::Digest;
use crate::limits;

/// Why an archive gives no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file cannot be opened.
    #[error("cannot open the archive")]
    Open(#[source] std::io::Error),
    /// A directory that holds no image.
    #[error("there is neither an `oci-layout` nor a `manifest.json` in the directory")]
    NotAnImage,
    /// A file in a directory cannot be read.
    #[error("cannot read `{path}`")]
    Member {
        /// Its path below the directory, escaped.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The source failed while it was read.
    #[error("cannot read the archive at byte {offset}")]
    Read {
        /// How far reading had got.
        offset: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is compressed as a whole, and cannot be unpacked.
    #[error("the archive's {0}")]
    Unpack(Damage),
    /// The bytes are not a tar.
    #[error("not a tar archive: {0}")]
    NotATar(#[source] TarError),
    /// The archive is cut off.
    #[error("the archive is cut off at byte {offset}: {missing}")]
    Truncated {
        /// Where it ends.
        offset: u64,
        /// What should have followed.
        missing: &'static str,
    },
    /// A header block in the middle of the archive is damaged.
    #[error("the archive is damaged: {0}")]
    Damaged(#[source] TarError),
    /// A layer that another pass was to read, which could not: what is wrong is for that one to tell.
    #[error("layer `{0}` could not be taken from the image that is read at the same time")]
    NotShared(Digest),
    /// It holds more than is read from strangers; see [`crate::limits`].
    #[error("the archive holds more than {limit} {what}")]
    Limit {
        /// The ceiling.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
    /// It was read to its end, and these things are wrong with it.
    #[error("{}", list(.0))]
    Faults(Vec<Fault>),
}

impl ImageError {
    /// The faults of the content, if that is what is wrong.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Faults(faults) => faults,
            _ => &[],
        }
    }
}

fn list(faults: &[Fault]) -> String {
    let lines: Vec<_> = faults.iter().map(Fault::to_string).collect();
    lines.join("\n")
}

/// One thing that is wrong with the content, and where.
#[derive(Debug)]
pub struct Fault {
    /// The member, or the descriptor in a document, that is wrong. Escaped: fit to print.
    pub place: String,
    /// What is wrong with it.
    pub kind: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.kind)
    }
}

/// What is wrong. Each message names what was expected and what was found.
#[derive(Debug, thiserror::Error)]
pub enum FaultKind {
    /// The bytes of a blob are not those that its name promises.
    #[error("the name says `{expected}`, but the bytes have `{found}`")]
    Digest {
        /// By its name.
        expected: Digest,
        /// By its bytes.
        found: Digest,
    },
    /// A blob has another size than its descriptor says.
    #[error("the descriptor says {expected} bytes, but the blob has {found}")]
    Size {
        /// By the descriptor.
        expected: u64,
        /// By the archive.
        found: u64,
    },
    /// A descriptor names a blob that the archive does not hold.
    #[error("blob `{0}` is missing")]
    MissingBlob(Digest),
    /// A member that every layout has.
    #[error("is missing")]
    MissingMember,
    /// Two members of one name: readers differ on which counts.
    #[error("appears more than once in the archive")]
    DuplicateMember,
    /// A member that is no part of an image layout.
    #[error("does not belong to an image layout")]
    ForeignMember,
    /// A member that is neither file nor directory.
    #[error("is a tar entry of type `{}`, not a file", escape(&char::from(*.0).to_string()))]
    MemberType(u8),
    /// A member with header extensions of which readers differ: two names, a size given twice, the map of a sparse file.
    #[error("has header extensions that readers understand differently")]
    AmbiguousMember,
    /// Bytes behind the end of the tar, which only some readers see.
    #[error("byte {0} is not zero, though the archive has ended")]
    AfterEnd(u64),
    /// A blob that no descriptor names.
    #[error("nothing refers to this blob")]
    Unreferenced,
    /// A document that is not what it should be.
    #[error("not usable JSON: {0}")]
    Json(String),
    /// A document that is too large.
    #[error("a document of {size} bytes is over the limit of {}", limits::DOCUMENT_BYTES)]
    DocumentSize {
        /// Its size in bytes.
        size: u64,
    },
    /// `schemaVersion` or `imageLayoutVersion` is another than the one known.
    #[error("{field} is {found}, and only {expected} is known")]
    Version {
        /// The field.
        field: &'static str,
        /// The known version.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A document that holds both layers and manifests: readers differ on what it is.
    #[error("holds `{first}` and `{second}`, thus could be taken for an index or for a manifest")]
    Ambiguous {
        /// A key of the one.
        first: &'static str,
        /// A key of the other.
        second: &'static str,
    },
    /// The media type of a document is not that of its descriptor.
    #[error("the descriptor says media type `{}`, but the document `{}`", escape(.expected), escape(.found))]
    MediaType {
        /// By the descriptor.
        expected: String,
        /// By the document.
        found: String,
    },
    /// A media type that cannot stand here.
    #[error("media type `{}` is not that of {expected}", escape(.found))]
    WrongKind {
        /// What could stand here.
        expected: &'static str,
        /// What stands here.
        found: String,
    },
    /// A layer that is compressed in another way than its media type says.
    #[error("the media type says compression {}, but the bytes have {}", .expected.name(), .found.name())]
    Compression {
        /// By the media type.
        expected: Compression,
        /// By the bytes.
        found: Compression,
    },
    /// A blob that should be a layer and is none.
    #[error("the blob is neither a tar nor compressed")]
    NotALayer,
    /// A layer that cannot be read.
    #[error("{0}")]
    Layer(Arc<LayerError>),
    /// The uncompressed layer has another digest than the config says.
    #[error("the config says diff ID `{expected}`, but the layer has `{found}`")]
    DiffId {
        /// By the config.
        expected: Digest,
        /// By the bytes.
        found: Digest,
    },
    /// A diff ID of an algorithm in which the layer was not hashed.
    #[error("the diff ID `{0}` cannot be checked: sha512 is, where the blob itself is named by sha512")]
    DiffIdAlgorithm(Digest),
    /// The media type of the config is of another family than that of the manifest. Podman and skopeo take such an image for none.
    #[error("media type `{}` does not belong to a manifest of type `{}`", escape(.config), escape(.manifest))]
    ConfigFamily {
        /// Of the manifest.
        manifest: String,
        /// Of the config.
        config: String,
    },
    /// More steps in the history than layers: `docker history` refuses such an image.
    #[error("the history has {steps} steps that made a layer, but there are only {layers} layers")]
    History {
        /// Steps without `empty_layer`.
        steps: usize,
        /// Layers of the manifest.
        layers: usize,
    },
    /// A layer that says that its times were rewritten, with a later one in it.
    #[error("says that its times were rewritten to {epoch}, but `{path}` has the time {seconds}")]
    Rewritten {
        /// By the annotation.
        epoch: i64,
        /// The entry with the latest time, escaped.
        path: String,
        /// That time, in seconds since 1970.
        seconds: i64,
    },
    /// An annotation of rewritten times that is no number.
    #[error("says that its times were rewritten to `{}`, which is not a number of seconds", escape(.0))]
    RewrittenWhen(String),
    /// Entries of a layer that lie outside of the root of a container.
    #[error("{} entries lie outside of the root or link there, the first is `{}`", .0.count, .0.first)]
    Outside(Found),
    /// The manifest and the config do not agree on how many layers there are.
    #[error("the config has {expected} diff IDs, but the manifest {found} layers")]
    LayerCount {
        /// By the config.
        expected: usize,
        /// By the manifest.
        found: usize,
    },
    /// The index and the config do not agree on the platform.
    #[error("the descriptor says platform `{expected}`, but the config `{found}`")]
    Platform {
        /// By the descriptor.
        expected: Platform,
        /// By the config.
        found: Platform,
    },
    /// Indexes nested too deep.
    #[error("indexes are nested deeper than {}", limits::INDEX_DEPTH)]
    IndexDepth,
    /// There is no image in the archive.
    #[error("holds no image")]
    NoImage,
    /// `manifest.json` names another config or other layers than the manifest does.
    #[error("{what} is `{}`, but `index.json` leads to `{}`", escape(.found), escape(.expected))]
    DockerManifest {
        /// The field.
        what: &'static str,
        /// By `index.json`.
        expected: String,
        /// By `manifest.json`.
        found: String,
    },
    /// A link that leads to no layer of the archive.
    #[error("links to `{0}`, which is no layer of this archive")]
    LinkTarget(String),
    /// What older readers go by leads to something else than `manifest.json` does.
    #[error("leads to `{found}` for `{name}`, but `manifest.json` to `{expected}`")]
    Legacy {
        /// The name of the image.
        name: String,
        /// By `manifest.json`.
        expected: String,
        /// By the older document.
        found: String,
    },
    /// A registry served something else than what its descriptor says.
    #[error("{0}")]
    Served(String),
    /// What the builder said about the image is not what is in the archive.
    #[error("the builder says `{expected}`, but the archive has `{found}`")]
    Metadata {
        /// By the builder.
        expected: Digest,
        /// By the archive.
        found: String,
    },
    /// There are more faults than anybody reads.
    #[error("more than {} faults; the rest is left out", limits::FAULTS)]
    TooMany,
}

/// `text` with what is beyond [`limits::FAULT_TEXT`] left out.
pub(super) fn shorten(text: &str) -> String {
    text.char_indices().nth(limits::FAULT_TEXT).map_or_else(|| text.to_owned(), |(end, _)| format!("{}…", &text[..end]))
}

/// A name from the archive, escaped, and as long as a message takes. What is left out is not escaped either: that takes longer
/// than to read it.
pub(super) fn shown(name: &[u8]) -> String {
    shorten(&escape_start(name, limits::FAULT_TEXT))
}

/// The first `limit` bytes of a name, escaped, with a mark where there are more.
pub(super) fn escape_start(name: &[u8], limit: usize) -> String {
    match name.split_at_checked(limit) {
        Some((start, rest)) if !rest.is_empty() => escape_bytes(start) + "…",
        _ => escape_bytes(name),
    }
}

impl FaultKind {
    /// The same with nothing in it that is longer than a message should be.
    fn shortened(mut self) -> Self {
        let platform = |platform: &mut Platform| {
            let Platform { os, architecture, variant, os_version, os_features } = platform;
            for text in [os, architecture, variant, os_version] {
                *text = shorten(text);
            }
            os_features.clear();
        };
        match &mut self {
            Self::Json(text) | Self::RewrittenWhen(text) | Self::LinkTarget(text) | Self::Served(text) => {
                *text = shorten(text);
            }
            Self::Version { found, .. } | Self::WrongKind { found, .. } | Self::Metadata { found, .. } => {
                *found = shorten(found);
            }
            Self::MediaType { expected, found } | Self::DockerManifest { expected, found, .. } => {
                for text in [expected, found] {
                    *text = shorten(text);
                }
            }
            Self::Legacy { name, expected, found } => {
                for text in [name, expected, found] {
                    *text = shorten(text);
                }
            }
            Self::ConfigFamily { manifest, config } => {
                for text in [manifest, config] {
                    *text = shorten(text);
                }
            }
            Self::Platform { expected, found } => [expected, found].into_iter().for_each(platform),
            _ => {}
        }
        self
    }
}

/// Faults as they are found, up to the limit.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds one.
    pub fn add(&mut self, place: impl Into<String>, kind: FaultKind) {
        match self.0.len() {
            count if count < limits::FAULTS => self.0.push(Fault { place: place.into(), kind: kind.shortened() }),
            limits::FAULTS => self.0.push(Fault { place: "archive".to_owned(), kind: FaultKind::TooMany }),
            _ => {}
        }
    }

    /// Whether no more are taken: then there is no point in looking for them.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.0.len() > limits::FAULTS
    }

    /// All of them.
    #[must_use]
    pub fn into_vec(self) -> Vec<Fault> {
        self.0
    }
}
