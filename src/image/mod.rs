//! Container images, read in one pass, every byte checked.
//!
//! What is read: OCI image layouts, with or without Docker's `manifest.json`; Docker's archives without a layout; skopeo's
//! `dir:`; each as a tar, as a tar in gzip or Zstandard, or as a directory; and what a registry has, through [`source::Source`].
//! The one pass hashes and walks each blob as it streams by, in bounded memory and without seeking, thus the source may be a
//! pipe from the builder. Afterwards the members are put together: every blob against the descriptors that name it, every
//! layer against its diff ID, `manifest.json` against `index.json`. Only what is sound becomes an [`Image`]; otherwise all
//! its [`Fault`]s are told together.
//!
//! # Examples
//!
//! An archive, a compressed one, or a directory: [`load_image`] finds out. What it gives was checked to the last byte.
//!
//! ```
//! use std::path::Path;
//!
//! use repro::image::{ReadOptions, load_image};
//!
//! # let archive = "fuzz/corpus/archive/docker-v0.19.tar";
//! let image = load_image(Path::new(archive), &ReadOptions::default())?;
//! let manifest = &image.manifests[0];
//! // What a registry shows after a push, and what engines call the image ID.
//! assert_eq!(image.digest(), Some(&manifest.document.digest));
//! println!("{} for {}: {}", manifest.document.digest, manifest.config.platform, manifest.config.document.digest);
//! for layer in &manifest.layers {
//!     println!("{} holds {} in {} entries", layer.descriptor.digest, layer.diff_id, layer.facts.entries);
//! }
//! # Ok::<(), repro::image::ImageError>(())
//! ```
//!
//! What is wrong is told all at once, each fault with its place and both values. Here a single byte of a layer was changed:
//!
//! ```
//! use repro::image::{FaultKind, ImageError, ReadOptions, read_archive};
//!
//! # let archive = std::fs::read("fuzz/corpus/archive/docker-v0.19.tar").unwrap();
//! let mut damaged = archive.clone();
//! let layer = archive.windows(2).position(|bytes| bytes == [0x1f, 0x8b]).expect("its layers are gzip");
//! damaged[layer + 4] ^= 1;
//! match read_archive(damaged.as_slice(), &ReadOptions::default()) {
//!     Err(ImageError::Faults(faults)) => {
//!         assert!(faults.iter().any(|fault| matches!(fault.kind, FaultKind::Digest { .. })));
//!         assert!(faults.iter().all(|fault| fault.place.starts_with("`blobs/sha256/")));
//!     }
//!     other => panic!("{other:?}"),
//! }
//! ```
//!
//! The entries of the layers, as `tar -tv` shows them, where they are asked for:
//!
//! ```
//! use std::io;
//! use std::path::Path;
//!
//! use repro::image::{Listing, ReadOptions, load_image};
//!
//! # let archive = "fuzz/corpus/archive/docker-v0.19.tar";
//! let options = ReadOptions { listing: Some(Listing::default()), ..ReadOptions::default() };
//! let image = load_image(Path::new(archive), &options).expect("a sound archive");
//! let mut paths = Vec::new();
//! for layer in image.layer_lists().flatten() {
//!     let entries = layer.entries.as_ref().expect("they were asked for");
//!     entries.each(|entry| {
//!         paths.push(format!("{} {:o} {}", entry.kind.letter(), entry.mode, entry.path));
//!         Ok::<_, io::Error>(())
//!     })?;
//! }
//! # assert!(!paths.is_empty());
//! # Ok::<(), io::Error>(())
//! ```
//!
//! An image that comes from elsewhere needs a [`source::Source`]: names and bytes. All checks are the same.
//!
//! # Files
//!
//! | file | what |
//! |---|---|
//! | `source/` | where members come from |
//! | `archive.rs` | the pass |
//! | `inflate.rs` | what gzip and Zstandard hide |
//! | `chunk.rs`, `layer.rs` | one layer, on threads of its own |
//! | `listing.rs` | entries, for those who want to see them |
//! | `tar/` | blocks, PAX records, entries |
//! | `again.rs` | blobs, read a second time |
//! | `known.rs` | layers that were read before |
//! | `shared.rs` | layers that two passes at the same time read once |
//! | `json.rs` | strict parsing |
//! | `paths.rs` | where the entries of a layer lie |
//! | `resolve.rs` | members to [`Image`] |
//! | `forms.rs`, `docker_archive.rs` | the same for each form, and for Docker's archives |
//! | `promises.rs` | what one document says about another |
//! | `model.rs` | [`Image`] and its parts |
//! | `fault.rs` | what can be wrong |
//! | `notes.rs` | what is no fault, and should be known |
//! | `rewrite.rs` | whether BuildKit rewrote the times of what it built |
//! | `metadata.rs` | whether the builder told the truth |
//! | `links.rs` | what is to be fetched |
//! | `join.rs` | images and indexes to one index, in BuildKit's bytes |
//! | `referrer.rs` | what is attached to an image and no part of it |
//! | `media_type.rs`, `escape.rs` | words |

mod again;
mod archive;
mod chunk;
mod descend;
mod docker_archive;
pub mod escape;
mod fault;
mod forms;
mod inflate;
mod join;
mod json;
mod known;
mod layer;
mod links;
mod listing;
pub mod media_type;
mod metadata;
mod model;
mod notes;
mod paths;
mod promises;
mod referrer;
mod resolve;
pub mod rewrite;
mod shared;
pub mod source;
pub mod tar;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use again::{CopiedBlob, Copies, CopyError, Piece, copy_blobs, load_blobs, stream_blobs};
pub use fault::{Fault, FaultKind, Faults, ImageError};
pub use inflate::{compression_of, decoder};
pub use join::{
    IndexAnnotations, JoinError, Joinable, Joined, JoinedIndex, check_platform, parse_joinable, parse_platform,
};
pub use known::KnownLayers;
pub use layer::{EpochFacts, LayerError, LayerFacts};
pub use links::{Links, links_of};
pub use listing::{Entries, EntryKind, ListedEntry, Listing};
pub use metadata::metadata_agrees;
pub use model::{
    Attestation, Config, Descriptor, DockerImage, Document, Form, History, Image, Index, Layer, Manifest, Platform,
    PlatformError, Root,
};
pub use notes::{Note, NoteKind};
pub use paths::{Found, PathFacts};
pub use referrer::{Referrer, referrers_tag, sbom_statement};
pub use shared::SharedLayers;
pub use source::Container;

use source::{DirectorySource, Source, TarSource};

/// What to look at while reading.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Count the entries that are later or older than this, in seconds since 1970.
    pub epoch: Option<i64>,
    /// Layers that need not be inflated, because they were before. They are hashed like everything else.
    pub known: KnownLayers,
    /// Pass over layers that are known: [`Image::unread`] tells which, and whoever asks for this reads and hashes them next.
    pub leave_known: bool,
    /// Layers that another pass reads at the same time, with the same `epoch`.
    pub shared: SharedLayers,
    /// Keep the entries of the layers. Not for known layers.
    pub listing: Option<Listing>,
    /// Take an index of which some images are not there, as an export for one platform writes it. They are told in
    /// [`Image::left_out`]; without this they are faults.
    pub partial: bool,
}

/// Reads a source to its end and checks all of it.
pub fn read_source(source: &mut impl Source, options: &ReadOptions) -> Result<Image, ImageError> {
    let (members, origin) = archive::read_members(source, options)?;
    forms::resolve(members, origin, options)
}

/// Reads an archive to the last byte of `reader` and checks all of it. It may be compressed with gzip or Zstandard.
pub fn read_archive(reader: impl Read, options: &ReadOptions) -> Result<Image, ImageError> {
    read_source(&mut TarSource::new(reader)?, options)
}

/// Reads and checks the archive or the directory at `path`.
pub fn load_image(path: &Path, options: &ReadOptions) -> Result<Image, ImageError> {
    if path.is_dir() {
        return read_source(&mut DirectorySource::open(path)?, options);
    }
    read_source(&mut TarSource::of_file(File::open(path).map_err(ImageError::Open)?)?, options)
}
