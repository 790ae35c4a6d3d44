//! Files out of images, written to a directory for other tools: never outside of it, whatever they are called.
//!
//! A path from an image decides nothing but a name: each of its steps is escaped, opened from the directory above it without
//! following links, and made anew. Modes, owners and links are not carried over: these are contents to look at.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::{Mode, OFlags, mkdirat, openat};

use crate::diff::{Comparison, Files};
use crate::digest::Digest;
use crate::failure::{ExitStatus, Failure};
use crate::report::ci::dotenv;
use crate::report::diff_html::write_diff_html;

/// The longest name that is kept; file systems take 255 bytes.
const NAME: usize = 200;
/// How deep directories are made. Paths that go deeper get one long name instead.
const DEPTH: usize = 64;

/// Where a comparison is written besides the report of it.
#[derive(Debug, Clone, Args)]
pub struct ComparisonFiles {
    /// Write the files that differ to DIR/a and DIR/b, for diffoscope and its like; DIR has to be new or empty
    #[arg(long, value_name = "DIR", help_heading = "How it is said")]
    pub report: Option<PathBuf>,

    /// Write the comparison as a page that can be sent to somebody
    #[arg(long, value_name = "FILE", help_heading = "How it is said")]
    pub html: Option<PathBuf>,

    /// Write what came out as variables for further jobs: REPRO_VERDICT, REPRO_DIGEST, REPRO_LEVEL
    #[arg(long, value_name = "FILE", help_heading = "How it is said")]
    pub dotenv: Option<PathBuf>,
}

impl ComparisonFiles {
    /// Makes the directory for the files. Done before hours are spent: one that cannot be written to is a slip of whoever asks.
    pub fn directory(&self) -> Result<Option<ReportDirectory>, Failure> {
        self.report.as_deref().map(ReportDirectory::create).transpose()
    }

    /// Writes the variables, where they are asked for.
    pub fn write_dotenv(&self, verdict: &str, digest: Option<&Digest>, level: Option<&str>) -> Result<(), Failure> {
        let Some(path) = &self.dotenv else { return Ok(()) };
        let text = dotenv(&[
            ("REPRO_VERDICT", Some(verdict.to_owned())),
            ("REPRO_DIGEST", digest.map(ToString::to_string)),
            ("REPRO_LEVEL", level.map(str::to_owned)),
        ]);
        std::fs::write(path, text).map_err(|error| not_written(path, &error))
    }

    /// Writes the page, where one is asked for.
    pub fn write_page(&self, comparison: &Comparison) -> Result<(), Failure> {
        let Some(path) = &self.html else { return Ok(()) };
        write_page(path, |out| write_diff_html(out, comparison))
    }
}

/// Writes a page as it is made.
pub(super) fn write_page(
    path: &Path,
    render: impl FnOnce(&mut io::BufWriter<File>) -> io::Result<()>,
) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        let mut out = io::BufWriter::new(File::create(path)?);
        render(&mut out)?;
        out.flush()
    };
    write().map_err(|error| not_written(path, &error))
}

/// Adds to what others wrote there.
pub(super) fn append(path: &Path, text: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| not_written(path, &error))
}

pub(super) fn not_written(path: &Path, error: &io::Error) -> Failure {
    Failure {
        status: ExitStatus::Unknown,
        message: format!("cannot write `{}`: {error}", path.display()),
        hint: Some("look at the directory and at the free space there".to_owned()),
    }
}

/// A directory with a part for each side.
#[derive(Debug)]
pub struct ReportDirectory {
    path: PathBuf,
    sides: [File; 2],
}

impl ReportDirectory {
    /// Makes the directory, or takes one that is empty.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure {
            status: ExitStatus::Unknown,
            message: format!("cannot write to `{}`: {error}", path.display()),
            hint: Some("`--report` takes a directory that can be made, or one that is empty".to_owned()),
        };
        match std::fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            Ok(()) => {}
            Err(_) => {
                if std::fs::read_dir(path).map_err(failed)?.next().is_some() {
                    let message = format!("`{}` is not empty", path.display());
                    return Err(Failure::usage(
                        message,
                        "nothing is ever overwritten there: give a new directory, or an empty one",
                    ));
                }
            }
        }
        let root = File::open(path).map_err(failed)?;
        let side = |name: &str| directory(&root, name).map_err(failed);
        Ok(Self { path: path.to_owned(), sides: [side("a")?, side("b")?] })
    }
}

impl Files for ReportDirectory {
    fn file(&mut self, is_first: bool, layer: (usize, usize), path: &[u8], content: &mut dyn Read) -> io::Result<()> {
        let side = &self.sides[usize::from(!is_first)];
        let top = format!("{}-layer-{}", layer.0, layer.1);
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        let mut file = create(side, &top, path).map_err(told)?;
        io::copy(content, &mut file).map_err(told).map(drop)
    }
}

/// The file for a path. Where another file stands in its way, because an image holds a file and a directory of one name or one
/// path twice, it gets a name of its own.
fn create(side: &File, top: &str, path: &[u8]) -> io::Result<File> {
    let layer = directory(side, top)?;
    let steps: Vec<String> =
        path.split(|byte| *byte == b'/').filter(|step| !step.is_empty() && *step != b".").map(escape).collect();
    let plain = || -> io::Result<File> {
        let Some((name, above)) = steps.split_last().filter(|_| steps.len() <= DEPTH) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        let mut at = layer.try_clone()?;
        for step in above {
            at = directory(&at, step)?;
        }
        new_file(&at, name)
    };
    plain().or_else(|_| {
        let name = Digest::of(path);
        (0..u32::MAX)
            .map(|number| new_file(&layer, &format!("%{}-{number}", name.short())))
            .find(|made| !matches!(made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists))
            .unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()))
    })
}

fn new_file(directory: &impl AsFd, name: &str) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(directory, name, flags, Mode::from_raw_mode(0o644))?))
}

/// The directory of that name, made where there is none.
fn directory(above: &impl AsFd, name: &str) -> io::Result<File> {
    match mkdirat(above, name, Mode::from_raw_mode(0o755)) {
        Err(error) if error != rustix::io::Errno::EXIST => return Err(error.into()),
        _ => {}
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(above, name, flags, Mode::empty())?))
}

/// One step of a path as a name that every file system and every terminal takes. No two steps become one name.
fn escape(step: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%' || byte == b' ';
    let mut name = String::new();
    for byte in step {
        if is_plain(*byte) && step != b".." {
            name.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(name, "%{byte:02x}");
        }
    }
    if name.len() > NAME {
        name.truncate(NAME - 14);
        name = format!("{name}%-{}", Digest::of(step).short());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_directory() {
        let top = tempfile::tempdir().unwrap();
        let mut report = ReportDirectory::create(&top.path().join("report")).unwrap();
        let long = "x".repeat(3_000);
        let deep = "d/".repeat(2_000);
        let paths: [&[u8]; 10] = [
            b"../../escape",
            b"/etc/passwd",
            b"a/../../b",
            b"a",
            b"a",
            b"a/b",
            b"\xff\x1b[2J",
            long.as_bytes(),
            deep.as_bytes(),
            b"",
        ];
        for path in paths {
            report.file(true, (0, 1), path, &mut &b"content"[..]).unwrap();
        }
        let names: Vec<_> = std::fs::read_dir(top.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["report"]);
        let layer = top.path().join("report/a/0-layer-1");
        assert_eq!(std::fs::read(layer.join("%2e%2e/%2e%2e/escape")).unwrap(), b"content");
        assert_eq!(std::fs::read(layer.join("etc/passwd")).unwrap(), b"content");
        assert_eq!(std::fs::read(layer.join("%ff%1b[2J")).unwrap(), b"content");
    }

    #[test]
    fn only_a_new_or_an_empty_directory_is_taken() {
        let top = tempfile::tempdir().unwrap();
        assert!(ReportDirectory::create(top.path()).is_ok());
        let refused = ReportDirectory::create(top.path()).unwrap_err();
        assert_eq!(refused.status, ExitStatus::Usage);
    }
}
