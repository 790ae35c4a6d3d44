//! Members of a tar, which may be compressed as a whole.

use std::io::{BufReader, Read};

use super::super::fault::ImageError;
use super::super::media_type::Compression;
use super::super::tar::{Malformed, TarError, TarReader};
use super::unpack::{Damage, Stored, unpack};
use super::{Container, Member, MemberKind, Origin, Source};
use crate::limits;

/// Reads a tar from its first byte to its last, never seeking.
pub struct TarSource<'a> {
    tar: TarReader<BufReader<Box<dyn Read + 'a>>>,
    compression: Compression,
    stored: Stored,
}

impl<'a> TarSource<'a> {
    /// A tar, or one in gzip or Zstandard: its first bytes tell.
    pub fn new(reader: impl Read + 'a) -> Result<Self, ImageError> {
        let (compression, reader, stored) = unpack(reader).map_err(|source| ImageError::Read { offset: 0, source })?;
        // Large reads of data go past this buffer; it serves the headers.
        let tar = TarReader::new(BufReader::with_capacity(limits::CHUNK_BYTES, reader));
        Ok(Self { tar, compression, stored })
    }
}

impl Source for TarSource<'_> {
    fn next_member(&mut self) -> Result<Option<Member>, ImageError> {
        let entry = self.tar.next_entry().map_err(image_error)?;
        Ok(entry.map(|entry| {
            let kind = match entry.flag {
                _ if entry.is_file() => MemberKind::File,
                _ if entry.is_directory() => MemberKind::Directory,
                b'2' => MemberKind::Symlink(entry.link),
                flag => MemberKind::Other(flag),
            };
            Member { path: entry.path, kind, size: entry.size, is_ambiguous: entry.is_ambiguous }
        }))
    }

    fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, ImageError> {
        self.tar.read_data(buffer).map_err(image_error)
    }

    fn finish(&mut self) -> Result<Origin, ImageError> {
        let after_end = self.tar.drain().map_err(image_error)?;
        let container = Container::Tar(self.compression);
        Ok(Origin { container, bytes: self.stored.bytes(), after_end, root: None, notes: Vec::new() })
    }
}

fn image_error(error: TarError) -> ImageError {
    match error {
        TarError::Read { offset, source } => match source.downcast::<Damage>() {
            Ok(damage) => ImageError::Unpack(damage),
            Err(source) => ImageError::Read { offset, source },
        },
        // Without a single header this never was a tar, however it ends.
        TarError::Truncated { offset, .. } if (1..512).contains(&offset) => ImageError::NotATar(error),
        TarError::Truncated { offset, missing } => ImageError::Truncated { offset, missing },
        TarError::Malformed { offset: 0, reason: Malformed::Checksum } => ImageError::NotATar(error),
        TarError::Malformed { .. } => ImageError::Damaged(error),
    }
}
