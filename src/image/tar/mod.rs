//! Tar, read block by block, the way Go's `archive/tar` (and with it BuildKit, containerd, Docker and Podman) understands it.
//!
//! The `tar` crate's own iterator is not used: it splits PAX records at newlines, thus loses a record whose value holds one (a
//! file capability can), and it takes an archive without an end for a whole one. Header blocks are `tar::Header`s still.
//!
//! ```
//! use repro::image::tar::TarReader;
//!
//! # let mut builder = tar::Builder::new(Vec::new());
//! # let mut header = tar::Header::new_ustar();
//! # header.set_size(6);
//! # header.set_mtime(86400);
//! # header.set_cksum();
//! # builder.append_data(&mut header, "etc/motd", &b"hello\n"[..]).unwrap();
//! # let layer = builder.into_inner().unwrap();
//! let mut reader = TarReader::of_layer(layer.as_slice());
//! while let Some(entry) = reader.next_entry()? {
//!     let mut content = vec![0; usize::try_from(entry.size).unwrap_or(0).min(4096)];
//!     let count = reader.read_data(&mut content)?;
//!     assert_eq!((entry.path.as_slice(), entry.mtime.seconds), (&b"etc/motd"[..], 86400));
//!     assert_eq!(&content[..count], b"hello\n");
//! }
//! # Ok::<(), repro::image::tar::TarError>(())
//! ```

mod header;
mod kept;
mod pax;
mod reader;

pub use header::{Time, text};
pub use kept::Headers;
pub use pax::{PaxError, Record, parse_records};
pub use reader::{Entry, TarReader};

/// Size of a tar block, in bytes.
pub const BLOCK: usize = 512;

/// Whether `block` can be the first of a tar: a header with its checksum, or a zero block of the end.
#[must_use]
pub fn is_header_or_end(block: &[u8; BLOCK]) -> bool {
    block.iter().all(|byte| *byte == 0) || header::has_checksum(block)
}

/// Why a tar cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The source failed.
    #[error("reading failed at byte {offset}")]
    Read {
        /// How far reading had got.
        offset: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The bytes end where more are promised.
    #[error("cut off at byte {offset}: {missing}")]
    Truncated {
        /// Where the bytes end.
        offset: u64,
        /// What should have followed.
        missing: &'static str,
    },
    /// The bytes are not those of a tar.
    #[error("malformed at byte {offset}: {reason}")]
    Malformed {
        /// The block that is wrong.
        offset: u64,
        /// Why.
        reason: Malformed,
    },
}

/// What is wrong with a block.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Malformed {
    /// The header's checksum does not fit its bytes.
    #[error("not a tar header (checksum)")]
    Checksum,
    /// A number of the header is not a number, or out of range.
    #[error("`{0}` is not a number")]
    Number(&'static str),
    /// PAX records that are not records.
    #[error("PAX records: {0}")]
    Pax(#[from] PaxError),
    /// An extension larger than any reader takes.
    #[error("header extension of {size} bytes is over the limit of {limit}")]
    ExtensionSize {
        /// Its size in bytes.
        size: u64,
        /// [`crate::limits::TAR_EXTENSION_BYTES`].
        limit: u64,
    },
    /// More extensions before one entry than any writer makes.
    #[error("more than {} header extensions before one entry", crate::limits::TAR_EXTENSIONS)]
    ManyExtensions,
    /// A header extension with no entry after it.
    #[error("a header extension without an entry")]
    LoneExtension,
    /// One zero block, then something else: neither an entry nor the end.
    #[error("a zero block that is not the end")]
    LoneZeroBlock,
}
