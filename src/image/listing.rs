//! The entries of layers, for those who want to see them.
//!
//! Nothing of an archive is told before all of it was found sound, and a pipe is read once: so the entries wait in a temporary
//! file without a name. Memory does not grow with them; how large the file may become is limited.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::escape::escape_bytes;
use super::tar::Entry;
use crate::limits;

/// One entry of a layer. Its texts are escaped: fit to print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedEntry {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// Permissions with setuid, setgid and the sticky bit.
    pub mode: i64,
    /// The number of the owner.
    pub uid: i64,
    /// The number of the group.
    pub gid: i64,
    /// Size of the content, in bytes.
    pub size: u64,
    /// When it was modified, in seconds since 1970, rounded down.
    pub mtime: i64,
    /// The path as stored.
    pub path: String,
    /// Where a link leads to.
    pub link: Option<String>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A regular file, perhaps a whiteout.
    File,
    /// Another name of a file before it.
    Hardlink,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
    /// Anything else that a tar can hold.
    Other,
}

impl EntryKind {
    const fn of(entry: &Entry) -> Self {
        match entry.flag {
            b'0' | 0 | b'7' | b'S' => Self::File,
            b'1' => Self::Hardlink,
            b'2' => Self::Symlink,
            b'3' => Self::Character,
            b'4' => Self::Block,
            b'5' => Self::Directory,
            b'6' => Self::Fifo,
            _ => Self::Other,
        }
    }

    /// The letter that `ls -l` and `tar -tv` show.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::File => '-',
            Self::Hardlink => 'h',
            Self::Symlink => 'l',
            Self::Directory => 'd',
            Self::Character => 'c',
            Self::Block => 'b',
            Self::Fifo => 'p',
            Self::Other => '?',
        }
    }
}

impl From<&Entry> for ListedEntry {
    fn from(entry: &Entry) -> Self {
        let kind = EntryKind::of(entry);
        let is_link = matches!(kind, EntryKind::Hardlink | EntryKind::Symlink);
        Self {
            kind,
            mode: entry.mode & 0o7777,
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size,
            mtime: entry.mtime.seconds,
            path: escape_bytes(&entry.path),
            link: is_link.then(|| escape_bytes(&entry.link)),
        }
    }
}

/// Asks for the entries of all layers of one archive.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Bytes that may still be written.
    left: Arc<AtomicU64>,
}

impl Default for Listing {
    fn default() -> Self {
        Self { left: Arc::new(AtomicU64::new(limits::LISTING_BYTES)) }
    }
}

impl Listing {
    /// Begins the list of a layer.
    pub(super) fn begin(&self) -> Writer {
        Writer { left: Arc::clone(&self.left), file: tempfile::tempfile().map(BufWriter::new) }
    }
}

/// Takes the entries of one layer. A disk that is full says nothing about the layer: the failure is told to who reads the list.
pub(super) struct Writer {
    left: Arc<AtomicU64>,
    file: io::Result<BufWriter<File>>,
}

impl Writer {
    pub fn push(&mut self, entry: &Entry) {
        let Ok(file) = &mut self.file else { return };
        if let Err(error) = write(file, &self.left, &ListedEntry::from(entry)) {
            self.file = Err(error);
        }
    }

    pub fn finish(self) -> Entries {
        let file = self.file.and_then(|file| file.into_inner().map_err(io::IntoInnerError::into_error));
        Entries(Arc::new(Mutex::new(file)))
    }
}

fn write(file: &mut BufWriter<File>, left: &AtomicU64, entry: &ListedEntry) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    let take = |left: u64| left.checked_sub(line.len() as u64);
    if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
        let why = format!("the entries take more than {} bytes", limits::LISTING_BYTES);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    file.write_all(&line)
}

/// The entries of one layer, in their order.
#[derive(Debug, Clone)]
pub struct Entries(Arc<Mutex<io::Result<File>>>);

impl Entries {
    /// Whether all of them could be kept.
    pub fn check(&self) -> io::Result<()> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Ok(_) => Ok(()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }

    /// Hands each entry to `visit`, until that fails. The error is that of the temporary file, or that of `visit`.
    pub fn each<E: From<io::Error>>(&self, mut visit: impl FnMut(ListedEntry) -> Result<(), E>) -> Result<(), E> {
        self.check()?;
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(file) = &mut *file else { return Ok(()) };
        file.rewind()?;
        for line in BufReader::new(file).split(b'\n') {
            visit(serde_json::from_slice(&line?).map_err(io::Error::from)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tar::TarReader;

    fn entries() -> Vec<Entry> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind, link: Option<&str>| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_path(path).unwrap();
            if let Some(link) = link {
                header.set_link_name(link).unwrap();
            }
            header.set_size(0);
            header.set_mode(0o104_755);
            header.set_uid(1000);
            header.set_gid(7);
            header.set_mtime(5);
            header.set_cksum();
            archive.append(&header, &b""[..]).unwrap();
        };
        add("dir/", tar::EntryType::Directory, None);
        add("dir/\u{1b}[2J", tar::EntryType::Regular, None);
        add("dir/link", tar::EntryType::Symlink, Some("\u{202e}x"));
        let bytes = archive.into_inner().unwrap();
        let mut reader = TarReader::new(bytes.as_slice());
        std::iter::from_fn(|| reader.next_entry().unwrap()).collect()
    }

    fn read(entries: &Entries) -> io::Result<Vec<ListedEntry>> {
        let mut read = Vec::new();
        entries.each(|entry| {
            read.push(entry);
            Ok::<_, io::Error>(())
        })?;
        Ok(read)
    }

    #[test]
    fn what_is_written_is_read_as_often_as_one_likes() {
        let mut writer = Listing::default().begin();
        for entry in &entries() {
            writer.push(entry);
        }
        let list = writer.finish();
        let read_once = read(&list).unwrap();
        assert_eq!(read_once, read(&list).unwrap());
        let told: Vec<_> =
            read_once.iter().map(|entry| (entry.kind.letter(), entry.path.as_str(), entry.link.as_deref())).collect();
        let expected = [('d', "dir/", None), ('-', "dir/\\u{1b}[2J", None), ('l', "dir/link", Some("\\u{202e}x"))];
        assert_eq!(told, expected);
        assert_eq!((read_once[0].mode, read_once[0].uid, read_once[0].gid, read_once[0].mtime), (0o4755, 1000, 7, 5));
    }

    #[test]
    fn what_one_layer_takes_is_missing_for_the_next() {
        let listing = Listing { left: Arc::new(AtomicU64::new(400)) };
        let lists: Vec<Entries> = (0..3)
            .map(|_| {
                let mut writer = listing.begin();
                writer.push(&entries()[0]);
                writer.push(&entries()[1]);
                writer.finish()
            })
            .collect();
        assert_eq!(read(&lists[0]).unwrap().len(), 2);
        let error = read(&lists[2]).unwrap_err().to_string();
        assert!(error.contains("the entries take more than"), "{error}");
    }
}
