//! Container images in archives: read in one pass, every byte checked.
//!
//! An archive is an uncompressed tar of an OCI image layout, with or without Docker's `manifest.json`, as BuildKit writes it with
//! `type=oci` and `type=docker`. The one pass ([`archive`](self)) hashes and walks each blob as it streams by, in bounded memory
//! and without seeking, thus the source may be a pipe from the builder. Afterwards the members are put together: every blob against
//! the descriptors that name it, every layer against its diff ID, `manifest.json` against `index.json`. Only a sound archive
//! becomes an [`Image`]; otherwise all its [`Fault`]s are told together.
//!
//! | file | what |
//! |---|---|
//! | `archive.rs` | the pass |
//! | `chunk.rs`, `layer.rs` | one layer, on threads of its own |
//! | `listing.rs` | entries, for those who want to see them |
//! | `tar/` | blocks, PAX records, entries |
//! | `known.rs` | layers that were read before |
//! | `json.rs` | strict parsing |
//! | `resolve.rs` | members to [`Image`] |
//! | `model.rs` | [`Image`] and its parts |
//! | `fault.rs` | what can be wrong |
//! | `rewrite.rs` | whether BuildKit rewrote the times of what it built |
//! | `metadata.rs` | whether the builder told the truth |
//! | `media_type.rs`, `escape.rs` | words |

mod archive;
mod chunk;
pub mod escape;
mod fault;
mod json;
mod known;
mod layer;
mod listing;
pub mod media_type;
mod metadata;
mod model;
mod resolve;
pub mod rewrite;
pub mod tar;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use fault::{Fault, FaultKind, ImageError};
pub use known::KnownLayers;
pub use layer::{EpochFacts, LayerError, LayerFacts};
pub use listing::{Entries, EntryKind, ListedEntry, Listing};
pub use metadata::metadata_agrees;
pub use model::{
    Attestation, Config, Descriptor, Document, History, Image, Index, Layer, Manifest, Platform, PlatformError, Root,
};

/// What to look at while reading.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Count the entries that are later or older than this, in seconds since 1970.
    pub epoch: Option<i64>,
    /// Layers that need not be inflated, because they were before. They are hashed like everything else.
    pub known: KnownLayers,
    /// Keep the entries of the layers. Not for known layers.
    pub listing: Option<Listing>,
}

/// Reads an archive to the last byte of `reader` and checks all of it.
pub fn read_archive(reader: impl Read, options: &ReadOptions) -> Result<Image, ImageError> {
    resolve::resolve(archive::read_members(reader, options)?)
}

/// Reads and checks the archive at `path`.
pub fn load_archive(path: &Path, options: &ReadOptions) -> Result<Image, ImageError> {
    read_archive(File::open(path).map_err(ImageError::Open)?, options)
}
