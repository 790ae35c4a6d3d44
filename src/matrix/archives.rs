//! What the cells of a run gave: their digests, and an archive of each until it is compared.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cell::Cell;
use super::compare::Pair;
use super::file::Matrix;
use super::run::Request;
use crate::digest::Digest;

/// An image and a platform.
pub type Part = (String, String);

/// What a cell is of.
pub fn part(cell: &Cell) -> Part {
    (cell.image.clone(), cell.platform.clone())
}

/// What an archive is called that is kept.
#[must_use]
pub fn archive_name(digest: &Digest) -> String {
    format!("{}.tar", digest.hex())
}

/// The digests of cells, and the archives.
pub struct Archives {
    /// Where they stay.
    keep: Option<PathBuf>,
    /// Where they are until they are compared.
    place: PathBuf,
    gave: BTreeMap<Part, Vec<(Cell, Digest)>>,
    there: BTreeMap<Part, BTreeMap<Digest, PathBuf>>,
}

impl Archives {
    /// With what the cells gave that ended before the run was stopped, and what was kept of it.
    pub fn new(request: &Request, place: &Path) -> Self {
        let keep = request.keep.clone();
        let mut archives = Self { keep, place: place.to_owned(), gave: BTreeMap::new(), there: BTreeMap::new() };
        for (cell, digest) in &request.earlier {
            let Some(digest) = digest else { continue };
            archives.gave(cell, digest);
            let kept = archives.keep.as_ref().map(|keep| keep.join(archive_name(digest)));
            if let Some(archive) = kept.filter(|archive| archive.is_file()) {
                archives.there.entry(part(cell)).or_default().insert(digest.clone(), archive);
            }
        }
        archives
    }

    /// A cell gave a digest.
    pub fn gave(&mut self, cell: &Cell, digest: &Digest) {
        self.gave.entry(part(cell)).or_default().push((cell.clone(), digest.clone()));
    }

    /// Takes the archive of a digest, where it is new for the image.
    pub fn adopt(&mut self, cell: &Cell, digest: &Digest, archive: &Path) -> io::Result<()> {
        if !archive.exists() {
            // What is built again from an earlier run leaves none.
            return Ok(());
        }
        let of_image = self.there.entry(part(cell)).or_default();
        if of_image.contains_key(digest) {
            return fs::remove_file(archive);
        }
        let name = archive_name(digest);
        let kept = if let Some(keep) = &self.keep {
            let to = keep.join(&name);
            if fs::rename(archive, &to).is_err() {
                // It may be on another file system. What has the name is whole.
                let part = keep.join(format!(".{name}.part"));
                let copied = fs::copy(archive, &part).and_then(|_| fs::rename(&part, &to));
                copied.inspect_err(|_| drop(fs::remove_file(&part)))?;
                fs::remove_file(archive)?;
            }
            to
        } else {
            let to = self.place.join(format!("{}-{}-{name}", cell.image, cell.platform.replace('/', "-")));
            fs::rename(archive, &to)?;
            to
        };
        of_image.insert(digest.clone(), kept);
        Ok(())
    }

    /// What of an image is to be compared, now that there will be no more of it.
    pub fn pairs(&mut self, matrix: &Matrix, of: &Part, shares_cache: bool) -> Vec<Pair> {
        let gave = self.gave.remove(of).unwrap_or_default();
        let none = BTreeMap::new();
        matrix.pairs(of, shares_cache, &gave, self.there.get(of).unwrap_or(&none))
    }

    /// Has compared them.
    pub fn forget(&mut self, of: &Part) {
        let archives = self.there.remove(of).unwrap_or_default();
        if self.keep.is_none() {
            for archive in archives.into_values() {
                let _ = fs::remove_file(archive);
            }
        }
    }
}
