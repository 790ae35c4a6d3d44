//! What is refused before anything is built: to write over what is published, or to build it, or a file of an earlier run, into
//! the image that it is compared with.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::VerifyCommand;
use crate::cli::subject::Subject;
use crate::failure::Failure;
use crate::verify::GitSource;

impl VerifyCommand {
    /// Looks at the context, where it is a directory that is built as it lies there.
    pub(super) fn guard_context(&self) -> Result<(), Failure> {
        let context = &self.words.context;
        let is_checkout = self.reference.is_some() || GitSource::is_address(&context.to_string_lossy());
        let directory = Some(Path::new(context)).filter(|_| !context.is_empty() && !is_checkout);
        self.guard(directory.into_iter())
    }

    /// Looks at what is written, and at these directories, which go to the build.
    pub(super) fn guard<'d>(&self, directories: impl Iterator<Item = &'d Path>) -> Result<(), Failure> {
        let subject = match Subject::parse(&self.subject) {
            Ok(Subject::Path(path)) => Some(path).filter(|path| path.exists()),
            _ => None,
        };
        let written = [
            ("--output", &self.words.output),
            ("--metadata-file", &self.words.metadata_file),
            ("--summary", &self.summary),
            ("--attestation", &self.attestation),
            ("--html", &self.files.html),
            ("--report", &self.files.report),
        ];
        let written: Vec<(&str, &Path)> =
            written.into_iter().filter_map(|(flag, path)| Some((flag, path.as_deref()?))).collect();
        if let Some(subject) = &subject
            && let Some((flag, path)) = written.iter().find(|(_, path)| is_part(path, subject))
        {
            let message = format!("{flag} `{}` is what is to be verified, and would be written over", path.display());
            return Err(Failure::usage(message, "write to another file"));
        }
        for directory in directories {
            if let Some(subject) = subject.iter().find(|subject| lies_in(subject, directory)) {
                let message = format!(
                    "`{}` lies in `{}`, which is built: it could become part of the image that it is compared with",
                    subject.display(),
                    directory.display()
                );
                let hint = "move it out of there, or build what was committed, with `--ref HEAD`";
                return Err(Failure::usage(message, hint));
            }
            // A directory for the report is made before the build.
            let is_there = |flag: &str, path: &Path| flag == "--report" || path.symlink_metadata().is_ok();
            let found = written.iter().find(|(flag, path)| is_there(flag, path) && lies_in(path, directory));
            if let Some((flag, path)) = found {
                let message = format!(
                    "{flag} `{}` lies in `{}`, which is built: it could become part of the image",
                    path.display(),
                    directory.display()
                );
                let hint = "write outside of it, or build what was committed, with `--ref HEAD`";
                return Err(Failure::usage(message, hint));
            }
        }
        Ok(())
    }
}

/// Whether a file that is written is the subject or lies in it, by whatever name.
fn is_part(path: &Path, subject: &Path) -> bool {
    let same = match (path.metadata(), subject.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    };
    same || lies_in(path, subject)
}

/// Whether a path lies in a directory: as it is named, or where it leads.
fn lies_in(path: &Path, directory: &Path) -> bool {
    let Ok(directory) = directory.canonicalize() else { return false };
    let named = std::path::absolute(path).ok().and_then(|path| {
        let parent: PathBuf = path.parent()?.canonicalize().ok()?;
        Some(parent.join(path.file_name()?))
    });
    [named, path.canonicalize().ok()].into_iter().flatten().any(|path| path.starts_with(&directory))
}
