//! The bytes of a tar that are no data: what is compared where two tars differ and their entries say the same.

use crate::digest::{Algorithm, Digest, Hasher};

/// The bytes between the data of one entry and that of the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// What fills up the last block of the data before.
    pub padding: Vec<u8>,
    /// The header block of the entry, behind its extensions: header blocks, their data, their padding.
    pub blocks: Vec<u8>,
    /// The digest of what may be of any length: global headers, and maps of sparse files.
    pub others: Option<Digest>,
}

impl Headers {
    /// Adds the bytes from `start` on to [`Self::others`] instead.
    pub(super) fn fold(&mut self, start: usize) {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        if let Some(before) = &self.others {
            hasher.update(before.hex().as_bytes());
        }
        hasher.update(&self.blocks[start..]);
        self.blocks.truncate(start);
        self.others = Some(hasher.finish());
    }
}
