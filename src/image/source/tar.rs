//! Members of a tar, which may be compressed as a whole.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};

use super::super::fault::ImageError;
use super::super::media_type::Compression;
use super::super::tar::{Malformed, TarError, TarReader};
use super::unpack::{Damage, Stored, unpack};
use super::{Container, Member, MemberKind, Origin, Source};
use crate::limits;

/// How much is read at once where headers are expected, in bytes. As large as a chunk of data, everything would be copied.
const HEADER_BYTES: usize = 16 << 10;

/// Reads a tar from its first byte to its last. In a file, data that nobody wants is passed over.
pub struct TarSource<'a> {
    tar: TarReader<BufReader<Box<dyn Read + 'a>>>,
    compression: Compression,
    stored: Stored,
    /// The file itself, where its bytes are those of the tar. Whoever seeks in it moves the reader.
    file: Option<File>,
}

impl<'a> TarSource<'a> {
    /// A tar, or one in gzip or Zstandard: its first bytes tell.
    pub fn new(reader: impl Read + 'a) -> Result<Self, ImageError> {
        let (compression, reader, stored) = unpack(reader).map_err(|source| ImageError::Read { offset: 0, source })?;
        // Reads of data are larger than this buffer and go past it; it serves the headers.
        let tar = TarReader::new(BufReader::with_capacity(HEADER_BYTES, reader));
        Ok(Self { tar, compression, stored, file: None })
    }

    /// The same for a file, at whose beginning it stands.
    pub fn of_file(file: File) -> Result<Self, ImageError> {
        let is_regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let handle = if is_regular { Some(file.try_clone().map_err(ImageError::Open)?) } else { None };
        let source = Self::new(file)?;
        let handle = handle.filter(|_| source.compression == Compression::None);
        Ok(Self { file: handle, ..source })
    }
}

/// Moves a reader of `file` on by `bytes`; false where it is to read them: they are few, or not there.
fn seek(reader: &mut BufReader<Box<dyn Read + '_>>, file: &mut File, stored: &Stored, bytes: u64) -> io::Result<bool> {
    let buffered = reader.buffer().len();
    let beyond = bytes.saturating_sub(buffered as u64);
    let place = file.stream_position()?.saturating_add(beyond);
    if beyond < limits::CHUNK_BYTES as u64 || place > file.metadata()?.len() {
        return Ok(false);
    }
    reader.consume(buffered);
    file.seek(SeekFrom::Start(place))?;
    stored.pass_over(beyond);
    Ok(true)
}

impl Source for TarSource<'_> {
    fn next_member(&mut self) -> Result<Option<Member>, ImageError> {
        if let Some(file) = &mut self.file {
            self.tar.pass_over(|reader, bytes| seek(reader, file, &self.stored, bytes)).map_err(image_error)?;
        }
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
