//! What reading an archive finds.

use repro::image::{Image, ImageError, ReadOptions, read_archive};

pub fn read(archive: &[u8]) -> Result<Image, ImageError> {
    read_archive(archive, &ReadOptions::default())
}

/// What is told, a line each.
pub fn faults(result: Result<Image, ImageError>) -> Vec<String> {
    match result {
        Ok(_) => vec!["none".to_owned()],
        Err(ImageError::Faults(faults)) => faults.iter().map(ToString::to_string).collect(),
        Err(other) => vec![other.to_string()],
    }
}
