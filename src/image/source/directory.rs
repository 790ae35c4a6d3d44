//! Members of a directory: an image layout that tools work in, or an archive that somebody unpacked.
//!
//! The directory may be a stranger's. Nothing below it is followed out of it: every step is opened by itself, without
//! following links and without waiting (for a FIFO, one would wait for ever), and what is no regular file is told and not read.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, readlinkat, statat};

use super::super::escape::escape_bytes;
use super::super::fault::ImageError;
use super::super::notes::{Note, NoteKind};
use super::{Container, Member, MemberKind, Origin, Source};
use crate::limits;

/// What stands at the top of an OCI image layout.
const LAYOUT: [&str; 2] = ["index.json", "oci-layout"];
/// What stands at the top of Docker's archives, and of a directory as skopeo's `dir:` writes it.
const DOCKER: [&str; 3] = ["manifest.json", "repositories", "version"];
/// How deep files are: `blobs/sha256/…`.
const DEPTH: usize = 3;

/// Reads the files of a directory.
pub struct DirectorySource {
    root: File,
    /// What is still to come, the next one last.
    found: Vec<Member>,
    current: Option<Current>,
    bytes: u64,
    notes: Vec<Note>,
}

struct Current {
    path: Vec<u8>,
    file: File,
    /// How many bytes are to come, by the size that the file had when it was opened.
    left: u64,
}

impl DirectorySource {
    /// The image in the directory at `path`.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let root = File::open(path).map_err(ImageError::Open)?;
        let top = list(&root, b"")?;
        let holds = |names: &[&str]| top.iter().any(|(name, _)| names.iter().any(|known| name == OsStr::new(known)));
        let is_layout = holds(&LAYOUT);
        if !is_layout && !holds(&DOCKER[..1]) {
            return Err(ImageError::NotAnImage);
        }
        let mut source = Self { root, found: Vec::new(), current: None, bytes: 0, notes: Vec::new() };
        source.collect(b"", top, is_layout)?;
        // Sorted, so that what is told does not depend on the order in which a file system lists names.
        source.found.sort_by(|one, other| other.path.cmp(&one.path));
        Ok(source)
    }

    fn collect(
        &mut self,
        prefix: &[u8],
        entries: Vec<(OsString, FileType)>,
        is_layout: bool,
    ) -> Result<(), ImageError> {
        let depth = prefix.split(|byte| *byte == b'/').count();
        for (name, file_type) in entries {
            let path = [prefix, name.as_bytes()].concat();
            if is_layout && !belongs_to_layout(&path) {
                if self.notes.len() < limits::FAULTS {
                    self.notes.push(Note { place: format!("`{}`", escape_bytes(&path)), kind: NoteKind::NotRead });
                }
                continue;
            }
            if self.found.len() as u64 >= limits::ARCHIVE_MEMBERS {
                return Err(ImageError::Limit { limit: limits::ARCHIVE_MEMBERS, what: "members" });
            }
            let kind = match file_type {
                FileType::RegularFile => MemberKind::File,
                FileType::Directory => MemberKind::Directory,
                FileType::Symlink => MemberKind::Symlink(self.link(&path)?),
                other => MemberKind::Other(flag_of(other)),
            };
            let goes_on = kind == MemberKind::Directory && depth < DEPTH;
            self.found.push(Member { path: path.clone(), kind, size: 0, is_ambiguous: false });
            if goes_on {
                let below = list(&self.open_below(&path, OFlags::DIRECTORY)?, &path)?;
                self.collect(&[path.as_slice(), b"/"].concat(), below, is_layout)?;
            }
        }
        Ok(())
    }

    fn link(&self, path: &[u8]) -> Result<Vec<u8>, ImageError> {
        let (directory, name) = self.parent(path)?;
        let target = readlinkat(&directory, name, Vec::new()).map_err(|error| failed(path, error.into()))?;
        Ok(target.into_bytes())
    }

    /// Opens what is at `path`, step by step from the root.
    fn open_below(&self, path: &[u8], flags: OFlags) -> Result<File, ImageError> {
        let (directory, name) = self.parent(path)?;
        open_step(&directory, name, flags).map_err(|error| failed(path, error))
    }

    fn parent<'p>(&self, path: &'p [u8]) -> Result<(File, &'p OsStr), ImageError> {
        let mut steps: Vec<&OsStr> = path.split(|byte| *byte == b'/').map(OsStr::from_bytes).collect();
        let name = steps.pop().unwrap_or_default();
        let mut directory = self.root.try_clone().map_err(|error| failed(path, error))?;
        for step in steps {
            directory = open_step(&directory, step, OFlags::DIRECTORY).map_err(|error| failed(path, error))?;
        }
        Ok((directory, name))
    }
}

/// What an image layout has at this place, or may have.
fn belongs_to_layout(path: &[u8]) -> bool {
    let steps: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    match steps.as_slice() {
        [top] => LAYOUT.iter().chain(&DOCKER[..2]).chain(&["blobs"]).any(|name| name.as_bytes() == *top),
        [b"blobs", b"sha256" | b"sha512"] => true,
        // Only what is named as a blob; tools write into the same directory what is not complete yet.
        [b"blobs", b"sha256" | b"sha512", name] => name.len() >= 64 && name.iter().all(u8::is_ascii_hexdigit),
        _ => false,
    }
}

/// The type flag that a tar has for it.
const fn flag_of(file_type: FileType) -> u8 {
    match file_type {
        FileType::CharacterDevice => b'3',
        FileType::BlockDevice => b'4',
        FileType::Fifo => b'6',
        // A tar has none for sockets.
        _ => b'?',
    }
}

fn open_step(directory: &File, name: &OsStr, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(openat(directory, name, flags, Mode::empty())?))
}

/// The names in a directory, and what they are.
fn list(directory: &impl AsFd, path: &[u8]) -> Result<Vec<(OsString, FileType)>, ImageError> {
    let error = |error: rustix::io::Errno| failed(path, error.into());
    let mut entries = Vec::new();
    for entry in Dir::read_from(directory).map_err(error)? {
        let entry = entry.map_err(error)?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if entries.len() as u64 >= limits::ARCHIVE_MEMBERS {
            return Err(ImageError::Limit { limit: limits::ARCHIVE_MEMBERS, what: "members" });
        }
        // Not every file system says the type in its listing.
        let stat = statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW).map_err(error)?;
        entries.push((OsString::from_vec(name.to_vec()), FileType::from_raw_mode(stat.st_mode)));
    }
    Ok(entries)
}

fn failed(path: &[u8], source: io::Error) -> ImageError {
    ImageError::Member { path: escape_bytes(path), source }
}

impl Source for DirectorySource {
    fn next_member(&mut self) -> Result<Option<Member>, ImageError> {
        let Some(mut member) = self.found.pop() else { return Ok(None) };
        self.bytes += self.current.take().map_or(0, |passed_over| passed_over.left);
        if member.kind == MemberKind::File {
            let file = self.open_below(&member.path, OFlags::empty())?;
            let metadata = file.metadata().map_err(|error| failed(&member.path, error))?;
            if !metadata.is_file() {
                return Err(changed(&member.path));
            }
            member.size = metadata.len();
            self.current = Some(Current { path: member.path.clone(), file, left: member.size });
        }
        Ok(Some(member))
    }

    fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, ImageError> {
        let Some(current) = &mut self.current else { return Ok(0) };
        let count = loop {
            match current.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(|error| failed(&current.path, error))?,
            }
        };
        let has_ended = count == 0 && !buffer.is_empty();
        if count as u64 > current.left || (has_ended && current.left > 0) {
            return Err(changed(&current.path));
        }
        current.left -= count as u64;
        self.bytes += count as u64;
        Ok(count)
    }

    fn finish(&mut self) -> Result<Origin, ImageError> {
        let notes = std::mem::take(&mut self.notes);
        Ok(Origin { container: Container::Directory, bytes: self.bytes, after_end: None, root: None, notes })
    }
}

/// Of a file that is written while it is read, nothing can be told.
fn changed(path: &[u8]) -> ImageError {
    failed(path, io::Error::other("it was changed while it was read"))
}
