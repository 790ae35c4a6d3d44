//! Where the source of a rebuild comes from: a directory, a repository that the user names, or one that the image names.

use std::path::{Path, PathBuf};

use super::{Site, Stopped, VerifyCommand, at};
use crate::cli::with_tokio;
use crate::failure::{ExitStatus, Failure};
use crate::git::{GitState, state_of};
use crate::report::verify::{SourceReport, VerifyReport};
use crate::verify::{Checkout, GitRef, GitSource, Reason, Recipe, check_out, path_in};

/// A source that is there.
pub struct Found {
    /// The context.
    pub context: PathBuf,
    /// What the Dockerfile's name is told relative to: the repository, or the context.
    pub root: PathBuf,
    /// The Dockerfile, where only the image says which it is.
    pub dockerfile: Option<PathBuf>,
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
                Some(reference) => GitSource { reference: parse_ref(reference)?, ..source },
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
                url: format!("file://{}", state.top.display()),
                reference: parse_ref(reference)?,
                directory: state.directory,
                dockerfile: None,
                whence: None,
            };
            return Self::check_out(&source, recipe, site, report).map(Some);
        }
        note_state(state.as_ref(), recipe, report);
        report.source = Some(SourceReport {
            place: text.into_owned(),
            commit: state.as_ref().map(|state| state.commit.clone()),
            directory: state.as_ref().map(|state| state.directory.clone()),
            dirty: state.as_ref().and_then(|state| state.is_dirty),
            from_image: None,
        });
        let root = directory.canonicalize().unwrap_or(directory);
        let dockerfile = dockerfile_in_context(recipe).and_then(|name| path_in(&root, &name));
        Ok(Some(Found { context: root.clone(), root, dockerfile }))
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
            dirty: Some(false),
            from_image: source.whence,
        });
        let context = directory_in(&checkout, source).map_err(at(Reason::Source))?;
        let of_image = source.dockerfile.clone().or_else(|| {
            let name = dockerfile_in_context(recipe)?;
            Some(if source.directory.is_empty() { name } else { format!("{}/{name}", source.directory) })
        });
        let dockerfile = of_image.and_then(|path| path_in(&checkout.root, &path));
        let root = checkout.root.canonicalize().unwrap_or_else(|_| checkout.root.clone());
        Ok(Found { context, root, dockerfile })
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
    match state.is_dirty {
        Some(true) => report.notes.push(format!(
            "the context has files that are not those of its commit {}: `--ref HEAD` builds what was committed",
            state.commit
        )),
        Some(false) => {}
        None => report.notes.push("git does not tell whether the context is what was committed".to_owned()),
    }
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
    }
    if source.directory.is_empty() {
        source.directory.clone_from(&said.directory);
    }
    if source.directory == said.directory {
        source.dockerfile.clone_from(&said.dockerfile);
    }
}
