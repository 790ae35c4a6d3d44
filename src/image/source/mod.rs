//! Where the members of an image come from: a tar, a directory, or whatever else brings them one after the other.
//!
//! The pass over a [`Source`] and all checks after it are the same for each: a source only knows names, kinds and bytes, and
//! judges nothing that it brings.

mod directory;
mod tar;
mod unpack;

use serde::{Serialize, Serializer};

use super::fault::{FaultKind, ImageError};
use super::media_type::Compression;
use super::model::Descriptor;
use super::notes::Note;
use super::resolve::path_of;
use crate::digest::Digest;

pub use directory::DirectorySource;
pub use tar::TarSource;
pub use unpack::Damage;

/// A member: a name, and what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The path as the source has it, not normalised.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// How many bytes of data follow.
    pub size: u64,
    /// Whether readers differ on its name or its data, as those of tar do at times.
    pub is_ambiguous: bool,
}

impl Member {
    /// A blob, where an image layout has it.
    #[must_use]
    pub fn blob(digest: &Digest, size: u64) -> Self {
        Self { path: path_of(digest).into_bytes(), kind: MemberKind::File, size, is_ambiguous: false }
    }
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, and where it points to.
    Symlink(Vec<u8>),
    /// Anything else, by its type flag of a tar.
    Other(u8),
}

/// Where an image was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// A tar, compressed as a whole or not.
    Tar(Compression),
    /// A directory.
    Directory,
    /// A registry.
    Registry,
}

impl Container {
    /// The name, for people and for the JSON report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tar(Compression::None) => "tar",
            Self::Tar(Compression::Gzip) => "tar+gzip",
            Self::Tar(Compression::Zstd) => "tar+zstd",
            Self::Directory => "directory",
            Self::Registry => "registry",
        }
    }
}

impl Serialize for Container {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What a source tells when all of it was read.
#[derive(Debug)]
pub struct Origin {
    /// What it is.
    pub container: Container,
    /// How many bytes it has, as they are stored.
    pub bytes: u64,
    /// The first byte that is not zero behind the end of a tar, if there is one.
    pub after_end: Option<u64>,
    /// What the image is, where nothing in it says so: a registry's answer, with the name that was asked for.
    pub root: Option<(Descriptor, String)>,
    /// What was passed over.
    pub notes: Vec<Note>,
}

/// Brings members, each once, in any order.
///
/// ```
/// use std::collections::VecDeque;
///
/// use repro::image::source::{Member, MemberKind, Origin, Source};
/// use repro::image::{Container, ImageError, ReadOptions, read_source};
///
/// /// Files in memory.
/// struct Files(VecDeque<(String, Vec<u8>)>, Vec<u8>);
///
/// impl Source for Files {
///     fn next_member(&mut self) -> Result<Option<Member>, ImageError> {
///         let Some((path, data)) = self.0.pop_front() else { return Ok(None) };
///         let member = Member {
///             path: path.into_bytes(),
///             kind: MemberKind::File,
///             size: data.len() as u64,
///             is_ambiguous: false,
///         };
///         self.1 = data;
///         Ok(Some(member))
///     }
///
///     fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, ImageError> {
///         let count = buffer.len().min(self.1.len());
///         buffer[..count].copy_from_slice(&self.1[..count]);
///         self.1.drain(..count);
///         Ok(count)
///     }
///
///     fn finish(&mut self) -> Result<Origin, ImageError> {
///         Ok(Origin { container: Container::Directory, bytes: 0, after_end: None, root: None, notes: Vec::new() })
///     }
/// }
///
/// // A layout in which nothing is but its two documents: every blob that `index.json` names is missed, by its digest.
/// # let digest = repro::digest::Digest::of(b"");
/// let index = format!(
///     r#"{{"schemaVersion": 2, "manifests": [{{"mediaType": "application/vnd.oci.image.manifest.v1+json",
///          "digest": "{digest}", "size": 400}}]}}"#
/// );
/// let layout = br#"{"imageLayoutVersion": "1.0.0"}"#.to_vec();
/// let files = [("oci-layout".to_owned(), layout), ("index.json".to_owned(), index.into_bytes())];
/// let error = read_source(&mut Files(files.into(), Vec::new()), &ReadOptions::default()).unwrap_err();
/// assert!(error.faults().iter().any(|fault| fault.to_string().contains(digest.hex())));
/// ```
pub trait Source {
    /// The next member; none at the end. Data of the one before that was not read is skipped.
    fn next_member(&mut self) -> Result<Option<Member>, ImageError>;

    /// Reads data of the current member; 0 at its end.
    fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, ImageError>;

    /// What was wrong with the data of the current member, once it was read, where its bytes alone do not show it.
    fn fault(&mut self) -> Option<FaultKind> {
        None
    }

    /// Reads what may follow the last member.
    fn finish(&mut self) -> Result<Origin, ImageError>;
}
