//! Where the source of a rebuild comes from: a directory, a repository that the user names, or one that the image names.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::{Site, Stopped, VerifyCommand, at};
use crate::cli::with_tokio;
use crate::failure::{ExitStatus, Failure};
use crate::git::{Files, GitState, state_of};
use crate::report::verify::{SourceReport, VerifyReport};
use crate::settings::BuildWords;
use crate::verify::{Checkout, GitRef, GitSource, Reason, Recipe, check_out, path_in};

/// A source that is there.
pub struct Found {
    /// The context.
    pub context: PathBuf,
    /// What the Dockerfile's name is told relative to: the repository, or the context.
    pub root: PathBuf,
    /// The Dockerfile, where only the image says which it is.
    pub dockerfile: Option<PathBuf>,
    /// Whether it is a checkout, and no directory of the user.
    pub is_checkout: bool,
}

impl Found {
    /// Reads what the user names without its place as lying in the context of the checkout: what lies here is not what was
    /// committed.
    pub(super) fn keep_inside(&self, words: &mut BuildWords) -> Result<(), Failure> {
        if !self.is_checkout {
            return Ok(());
        }
        if let Some(file) = &words.file {
            words.file = Some(self.inside("--file", file)?);
        }
        for word in &mut words.build_context {
            let Some((name, place)) = word.split_once('=') else { continue };
            if !place.contains("://") && Path::new(place).is_relative() {
                let place = self.inside("--build-context", Path::new(place))?;
                *word = format!("{name}={}", place.display());
            }
        }
        Ok(())
    }

    fn inside(&self, flag: &str, path: &Path) -> Result<PathBuf, Failure> {
        let found = path
            .to_str()
            .filter(|_| path.is_relative())
            .and_then(|text| path_in(&self.root, &join(&self.context, text)));
        found.ok_or_else(|| {
            Failure::usage(
                format!("{flag} `{}` is not in the source that is checked out", path.display()),
                "it is told relative to the context in the repository; leave `--ref` out to build what lies here",
            )
        })
    }
}

fn join(context: &Path, text: &str) -> String {
    context.join(text).to_string_lossy().into_owned()
}

impl VerifyCommand {
    /// Finds the source; nothing where nobody says where it is.
    pub(super) fn find_source(
        &self,
        recipe: &Recipe,
        site: Site<'_>,
        report: &mut VerifyReport,
    ) -> Result<Option<Found>, Stopped> {
        let text = self.words.context.to_string_lossy();
        if self.words.context.is_empty() {
            let Some(source) = recipe.source.clone() else { return Ok(None) };
            let source = match &self.reference {
                Some(reference) => GitSource { reference: parse_ref(reference)?, commit_whence: None, ..source },
                None => source,
            };
            return Self::check_out(&source, recipe, site, report).map(Some);
        }
        if GitSource::is_address(&text) {
            let wrong = |error: crate::verify::SourceError| {
                (Reason::Source, Failure::usage(error.to_string(), "a repository is `ADDRESS[#REF[:DIRECTORY]]`"))
            };
            let mut source = GitSource::parse(&text, self.reference.as_deref()).map_err(wrong)?;
            complete(&mut source, recipe);
            return Self::check_out(&source, recipe, site, report).map(Some);
        }
        let directory = std::path::absolute(&self.words.context).unwrap_or_else(|_| PathBuf::from(&self.words.context));
        let state = state_of(&directory, site.environment);
        if let Some(reference) = &self.reference {
            let state = state.ok_or_else(|| (Reason::Source, no_repository(&directory)))?;
            let source = GitSource {
                url: file_url(&state.top),
                reference: parse_ref(reference)?,
                directory: state.directory,
                dockerfile: None,
                whence: None,
                commit_whence: None,
            };
            return Self::check_out(&source, recipe, site, report).map(Some);
        }
        note_state(state.as_ref(), recipe, report);
        report.source = Some(SourceReport {
            place: text.into_owned(),
            commit: state.as_ref().map(|state| state.commit.clone()),
            directory: state.as_ref().map(|state| state.directory.clone()),
            dirty: state.as_ref().and_then(|state| match state.files {
                Files::Committed => Some(false),
                Files::Changed => Some(true),
                Files::Ignored | Files::Untold => None,
            }),
            from_image: None,
        });
        let root = directory.canonicalize().unwrap_or(directory);
        let dockerfile = dockerfile_in_context(recipe).and_then(|name| path_in(&root, &name));
        Ok(Some(Found { context: root.clone(), root, dockerfile, is_checkout: false }))
    }

    fn check_out(
        source: &GitSource,
        recipe: &Recipe,
        site: Site<'_>,
        report: &mut VerifyReport,
    ) -> Result<Found, Stopped> {
        let route = site.route.resolve(site.environment).map_err(at(Reason::Settings))?;
        let checkout = with_tokio(async |environment, interrupt| {
            Ok(check_out(source, site.place, &route, environment, interrupt).await?)
        });
        let checkout = checkout.map_err(at(Reason::Source))?;
        report.notes.extend(checkout.notes.iter().cloned());
        note_commit(&checkout.commit, recipe, report);
        report.source = Some(SourceReport {
            place: source.shown(),
            commit: Some(checkout.commit.clone()),
            directory: Some(source.directory.clone()),
            // It is what the commit holds, and nothing else.
            dirty: Some(false),
            from_image: source.whence.or(source.commit_whence),
        });
        let context = directory_in(&checkout, source).map_err(at(Reason::Source))?;
        let of_image = source.dockerfile.clone().or_else(|| {
            let name = dockerfile_in_context(recipe)?;
            Some(if source.directory.is_empty() { name } else { format!("{}/{name}", source.directory) })
        });
        let dockerfile = of_image.and_then(|path| path_in(&checkout.root, &path));
        let root = checkout.root.canonicalize().unwrap_or_else(|_| checkout.root.clone());
        Ok(Found { context, root, dockerfile, is_checkout: true })
    }
}

/// The context of a checkout, with its links resolved: never outside of it.
fn directory_in(checkout: &Checkout, source: &GitSource) -> Result<PathBuf, Failure> {
    let found = path_in(&checkout.root, &source.directory).filter(|path| path.is_dir());
    found.ok_or_else(|| {
        crate::verify::CheckoutError::Directory {
            url: source.shown(),
            directory: source.directory.clone(),
            commit: checkout.commit.clone(),
        }
        .into()
    })
}

/// The Dockerfile by its name in the context, where the image names one that lies there and has not the usual name.
fn dockerfile_in_context(recipe: &Recipe) -> Option<String> {
    let said = recipe.source.as_ref()?;
    let dockerfile = Path::new(said.dockerfile.as_ref()?);
    let below = dockerfile.strip_prefix(&said.directory).ok()?;
    below.to_str().map(str::to_owned)
}

/// The address of a directory. Git decodes what is behind `%`.
fn file_url(path: &Path) -> String {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    format!("file://{}", percent_encode(path.as_os_str().as_encoded_bytes(), PLAIN))
}

fn parse_ref(text: &str) -> Result<GitRef, Stopped> {
    let hint = "give a branch, a tag, or a commit by its whole hash";
    GitRef::parse(text).map_err(|error| (Reason::Source, Failure::usage(format!("--ref {error}"), hint)))
}

fn no_repository(directory: &Path) -> Failure {
    Failure {
        status: ExitStatus::Usage,
        message: format!("`--ref` is given, and `{}` is in no git repository with a commit", directory.display()),
        hint: Some("leave `--ref` out, or give the directory of a clone".to_owned()),
    }
}

/// Says what of a directory is not what a commit holds.
fn note_state(state: Option<&GitState>, recipe: &Recipe, report: &mut VerifyReport) {
    let Some(state) = state else {
        report.notes.push("the context is in no git repository: which source it is, is not told".to_owned());
        return;
    };
    let commit = &state.commit;
    let note = match state.files {
        Files::Committed => None,
        Files::Changed => Some(format!(
            "the context has files that are not those of its commit {commit}: `--ref HEAD` builds what was committed"
        )),
        Files::Ignored => Some(format!(
            "ignored files are in the directory, which are not in its commit {commit} and which a build reads unless \
             .dockerignore leaves them out: `--ref HEAD` builds what was committed"
        )),
        Files::Untold => Some(
            "git does not tell whether the context is what was committed (submodules, filters, or files that it was told not \
             to look at): `--ref HEAD` builds what was committed"
                .to_owned(),
        ),
    };
    report.notes.extend(note);
    note_commit(&state.commit, recipe, report);
}

/// Says where the image names another commit.
fn note_commit(commit: &str, recipe: &Recipe, report: &mut VerifyReport) {
    if let Some(GitSource { reference: GitRef::Commit(said), .. }) = &recipe.source
        && said != commit
    {
        report.notes.push(format!("the source is at {commit}, and the image says that it was built from {said}"));
    }
}

/// What the user does not say of a repository is what the image says.
fn complete(source: &mut GitSource, recipe: &Recipe) {
    let Some(said) = &recipe.source else { return };
    if source.reference == GitRef::Head {
        source.reference = said.reference.clone();
        source.commit_whence = said.whence;
    }
    if source.directory.is_empty() {
        source.directory.clone_from(&said.directory);
    }
    if source.directory == said.directory {
        source.dockerfile.clone_from(&said.dockerfile);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_checkout_is_not_mixed_with_what_lies_here() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("sub/dir")).unwrap();
        fs::write(root.join("sub/D"), "").unwrap();
        fs::write(root.join("E"), "").unwrap();
        std::os::unix::fs::symlink("/etc", root.join("sub/link")).unwrap();
        let found =
            |is_checkout| Found { context: root.join("sub"), root: root.clone(), dockerfile: None, is_checkout };
        let with = |is_checkout, file: Option<&str>, context: Option<&str>| {
            let mut words = BuildWords { file: file.map(PathBuf::from), ..BuildWords::default() };
            words.build_context.extend(context.map(str::to_owned));
            found(is_checkout).keep_inside(&mut words).map(|()| words)
        };
        assert_eq!(with(true, Some("D"), None).unwrap().file, Some(root.join("sub/D")));
        assert_eq!(with(true, Some("../E"), None).unwrap().file, Some(root.join("E")));
        let inside = format!("a={}", root.join("sub/dir").display());
        assert_eq!(with(true, None, Some("a=dir")).unwrap().build_context, [inside]);
        for place in ["a=docker-image://alpine", "a=/etc"] {
            assert_eq!(with(true, None, Some(place)).unwrap().build_context, [place]);
        }
        for file in ["/etc/hostname", "../../E", "link/hostname", "missing"] {
            assert!(with(true, Some(file), None).is_err(), "{file}");
            assert_eq!(with(false, Some(file), None).unwrap().file, Some(PathBuf::from(file)));
        }
        assert!(with(true, None, Some("a=../..")).is_err());
    }

    #[test]
    fn any_directory_has_an_address() {
        assert_eq!(file_url(Path::new("/a b/100%#x?é")), "file:///a%20b/100%25%23x%3F%C3%A9");
    }
}
