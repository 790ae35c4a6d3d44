//! Compressed bytes, inflated: those of a layer, or of an archive as a whole.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

use super::media_type::Compression;
use crate::limits;

/// How bytes are compressed that start like this: four of them are enough.
#[must_use]
pub fn compression_of(start: &[u8]) -> Compression {
    match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        // A Zstandard frame, or one of the sixteen skippable ones that may come first.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// What is inside of `stored`. Several gzip members are one stream, as engines have it.
pub fn decoder<'a>(compression: Compression, stored: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(stored),
        Compression::Gzip => Box::new(MultiGzDecoder::new(stored)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(stored)?;
            decoder.window_log_max(limits::ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}
