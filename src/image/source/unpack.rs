//! An archive that is compressed as a whole, as people make of one by `docker save | gzip`.

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, Read};
use std::rc::Rc;

use super::super::inflate::{compression_of, decoder};
use super::super::media_type::Compression;
use crate::limits;

/// Why an archive cannot be unpacked: its own fault, not that of who reads it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{} data is damaged: {reason}", .compression.name())]
pub struct Damage {
    /// How it is compressed.
    pub compression: Compression,
    /// What the decoder says.
    pub reason: String,
}

/// What is known of the stored bytes, while they are read.
#[derive(Debug, Clone, Default)]
pub struct Stored(Rc<Progress>);

#[derive(Debug, Default)]
struct Progress {
    bytes: Cell<u64>,
    has_failed: Cell<bool>,
}

impl Stored {
    /// How many were read.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.get()
    }

    /// Counts what was passed over.
    pub fn pass_over(&self, bytes: u64) {
        self.0.bytes.set(self.0.bytes.get() + bytes);
    }
}

/// What is inside of `reader`, and how it was compressed.
pub fn unpack<'a>(reader: impl Read + 'a) -> io::Result<(Compression, Box<dyn Read + 'a>, Stored)> {
    let stored = Stored::default();
    let mut reader = Counted { inner: reader, stored: stored.clone() };
    let mut start = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut start)?;
    let compression = compression_of(&start);
    let whole = Cursor::new(start).chain(reader);
    if compression == Compression::None {
        return Ok((compression, Box::new(whole), stored));
    }
    let decoder = decoder(compression, BufReader::with_capacity(limits::CHUNK_BYTES, whole))?;
    Ok((compression, Box::new(Inflated { decoder, compression, bytes: 0, stored: stored.clone() }), stored))
}

struct Counted<R> {
    inner: R,
    stored: Stored,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let progress = &self.stored.0;
        let read = self.inner.read(buffer);
        match &read {
            Ok(count) => progress.bytes.set(progress.bytes.get() + *count as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => progress.has_failed.set(true),
        }
        read
    }
}

struct Inflated<'a> {
    decoder: Box<dyn Read + 'a>,
    compression: Compression,
    bytes: u64,
    stored: Stored,
}

impl Inflated<'_> {
    fn damage(&self, reason: String) -> io::Error {
        io::Error::other(Damage { compression: self.compression, reason })
    }
}

impl Read for Inflated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.decoder.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted || self.stored.0.has_failed.get() => {
                return Err(error);
            }
            Err(error) => return Err(self.damage(error.to_string())),
        };
        self.bytes += count as u64;
        if self.bytes > limits::ARCHIVE_BYTES {
            return Err(self.damage(format!("it inflates to more than {} bytes", limits::ARCHIVE_BYTES)));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Gives one byte at a time, as a slow pipe may, then ends or fails.
    struct Slow<'a>(&'a [u8], Option<io::ErrorKind>);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match (self.0.split_first(), self.1) {
                (None, Some(kind)) => Err(kind.into()),
                (None, None) => Ok(0),
                (Some((first, rest)), _) => {
                    buffer[0] = *first;
                    self.0 = rest;
                    Ok(1)
                }
            }
        }
    }

    #[test]
    fn the_first_bytes_tell_the_compression() {
        let text = b"hello".repeat(1000);
        for (stored, expected) in [
            (text.clone(), Compression::None),
            (gzip(&text), Compression::Gzip),
            ([gzip(&text[..2000]), gzip(&text[2000..])].concat(), Compression::Gzip),
            (zstd::encode_all(text.as_slice(), 1).unwrap(), Compression::Zstd),
        ] {
            let (compression, mut reader, progress) = unpack(Slow(&stored, None)).unwrap();
            let mut inside = Vec::new();
            reader.read_to_end(&mut inside).unwrap();
            assert_eq!((compression, inside == text, progress.bytes()), (expected, true, stored.len() as u64));
        }
        for short in [&b""[..], b"\x1f", b"abc"] {
            let mut inside = Vec::new();
            unpack(short).unwrap().1.read_to_end(&mut inside).unwrap();
            assert_eq!(inside, short);
        }
    }

    #[test]
    fn damage_is_not_taken_for_a_failure_to_read() {
        let stored = gzip(&b"hello".repeat(1000));
        let read = |reader: Slow<'_>| unpack(reader).unwrap().1.read_to_end(&mut Vec::new()).unwrap_err();
        let mut flipped = stored.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let garbage = [stored.as_slice(), b"x"].concat();
        for damaged in [&stored[..stored.len() - 1], &stored[..3], &flipped, &garbage] {
            assert!(read(Slow(damaged, None)).downcast::<Damage>().is_ok());
        }
        let failed = read(Slow(&stored[..30], Some(io::ErrorKind::TimedOut)));
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
    }
}
