//! What should be known of an image, and is no fault.

use std::fmt;

use super::media_type::Compression;
use super::model::Image;

/// One thing that should be known, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The member, the descriptor or the document. Escaped: fit to print.
    pub place: String,
    /// What is to be known about it.
    pub kind: NoteKind,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.kind)
    }
}

/// What is to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteKind {
    /// A file in a directory that is no part of the layout there.
    NotRead,
    /// A blob in a directory that no descriptor names. The specification allows it: tools add and rarely clean.
    Unreferenced,
    /// A description of a layer in Docker's oldest form, which `docker save` still adds as blobs.
    LegacyConfig,
    /// A layer that is not compressed, though its media type says that it is: skopeo's `dir:` may hold such.
    Unpacked(Compression),
    /// A signature, which is not verified here.
    Signature,
}

impl fmt::Display for NoteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRead => f.write_str("no part of the image layout, not read"),
            Self::Unreferenced => f.write_str("nothing refers to this blob"),
            Self::LegacyConfig => {
                f.write_str("describes a layer for readers of Docker before 1.10; nothing else refers to it")
            }
            Self::Unpacked(declared) => write!(f, "is not compressed, though its media type says {}", declared.name()),
            Self::Signature => f.write_str("a signature, not verified"),
        }
    }
}

impl Image {
    /// What should be known of it.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        self.seen.clone()
    }
}
