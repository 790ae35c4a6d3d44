//! What a word on the command line means where an image is wanted: a pipe, a file, a directory, or a reference.

use std::ffi::OsStr;
use std::io::{self, ErrorKind::NotFound};
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::pipe::fcntl_setpipe_size;

use super::with_tokio;
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure, chain};
use crate::image::{Image, ImageError, Platform, ReadOptions, load_image, read_archive};
use crate::limits;
use crate::reference::{ImageReference, ReferenceError};
use crate::registry::{self, RegistryError, Repository};
use crate::runtime::interrupt::Interrupt;
use crate::runtime::registry_options;
use crate::settings::RouteWords;

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// `-`.
    Stdin,
    /// A file or a directory.
    Path(PathBuf),
    /// In a registry.
    Registry(ImageReference),
}

/// What stands in front of a reference that is meant to be one, in skopeo's and Podman's words.
const TRANSPORT: &str = "docker://";

impl Subject {
    /// What `word` means. What exists as a path is that path, whatever else it could be.
    ///
    /// Without `docker://` only `REGISTRY/NAME…` is a reference: a bare word is much rather a file's name with a slip in it
    /// than an image of Docker Hub.
    pub fn parse(word: &OsStr) -> Result<Self, Failure> {
        let path = PathBuf::from(word);
        let Some(text) = word.to_str() else { return Ok(Self::Path(path)) };
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if let Some(reference) = text.strip_prefix(TRANSPORT) {
            let wrong = |error: ReferenceError| Failure::usage(error.to_string(), error.hint());
            return reference.parse().map(Self::Registry).map_err(wrong);
        }
        if path.symlink_metadata().is_ok() {
            if text.parse::<ImageReference>().is_ok() && names_registry(text) {
                tracing::info!(
                    "`{text}` is read as the path that it is; `docker://{text}` is the image in the registry"
                );
            }
            return Ok(Self::Path(path));
        }
        match text.parse() {
            Ok(reference) if names_registry(text) => {
                tracing::info!("there is no file `{text}`: it is read as an image in a registry");
                Ok(Self::Registry(reference))
            }
            _ => Ok(Self::Path(path)),
        }
    }
}

/// Whether the part in front of the first `/` can only be a registry.
fn names_registry(text: &str) -> bool {
    text.split_once('/').is_some_and(|(first, _)| first == "localhost" || first.contains(['.', ':']))
}

/// Reads the image that `word` means and checks all of it, or all of one platform where it comes from a registry.
///
/// What is wrong with the image itself is the inner error, for the caller to tell.
pub fn load(
    word: &OsStr,
    route: &RouteWords,
    platform: Option<&Platform>,
    options: ReadOptions,
) -> Result<Result<Image, ImageError>, Failure> {
    match Subject::parse(word)? {
        Subject::Stdin => Ok(read_archive(wide(io::stdin().lock()), &options)),
        Subject::Path(path) if path.symlink_metadata().is_err_and(|error| error.kind() == NotFound) => {
            Err(missing(word))
        }
        Subject::Path(path) => Ok(load_image(&path, &options)),
        Subject::Registry(reference) => with_tokio(async |environment, interrupt| {
            pull(&reference, route, platform, options, (environment, interrupt)).await
        }),
    }
}

async fn pull(
    reference: &ImageReference,
    route: &RouteWords,
    platform: Option<&Platform>,
    options: ReadOptions,
    (environment, interrupt): (&Environment, &Interrupt),
) -> Result<Result<Image, ImageError>, Failure> {
    let route = route.resolve(environment)?;
    let failed = |error: RegistryError| Failure {
        status: ExitStatus::Unknown,
        hint: Some(error.hint().to_owned()),
        message: format!("`{reference}`: {}", chain(&error)),
    };
    let repository = Repository::open(reference, registry_options(environment, &route)).map_err(failed)?;
    let loaded = tokio::select! {
        loaded = registry::load_image(&repository, reference, platform, options) => loaded,
        interruption = interrupt.wait() => {
            return Err(Failure { status: interruption.status(), message: "stopped".to_owned(), hint: None });
        }
    };
    match loaded {
        Ok(image) => Ok(Ok(image)),
        Err(registry::ImageError::Image(error)) => Ok(Err(error)),
        Err(registry::ImageError::Registry(error)) => Err(failed(error)),
    }
}

/// Makes a pipe take more at once: with the usual 64 KiB, writer and reader wait for each other most of the time.
fn wide<P: AsFd>(pipe: P) -> P {
    // What is no pipe has no such size, and needs none.
    let _ = fcntl_setpipe_size(&pipe, limits::PIPE_BYTES);
    pipe
}

/// For a path that is not there, what else could have been meant.
fn missing(word: &OsStr) -> Failure {
    let text = word.to_string_lossy();
    Failure {
        status: ExitStatus::Unknown,
        message: format!("there is no file `{text}`"),
        hint: Some(format!("an image in a registry is `REGISTRY/NAME[:TAG]`, or `{TRANSPORT}…` for one of Docker Hub")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_path_before_it_is_a_reference() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image.tar");
        std::fs::write(&path, "").unwrap();
        let parse = |word: &str| Subject::parse(OsStr::new(word)).unwrap();
        let registry = |text: &str| Subject::Registry(text.parse().unwrap());
        let hex = "0a".repeat(32);
        assert_eq!(parse("-"), Subject::Stdin);
        assert_eq!(parse(path.to_str().unwrap()), Subject::Path(path));
        for word in
            ["image.tar", "./image.tar", "../image.tar", "images/app.tar", "/nowhere/image.tar", "debian", "a/b:1"]
        {
            assert_eq!(parse(word), Subject::Path(word.into()), "{word}");
        }
        for word in ["localhost/a", "localhost:5000/a:1", "ghcr.io/a/b", &format!("ghcr.io/a/b@sha256:{hex}")] {
            assert_eq!(parse(word), registry(word), "{word}");
            assert_eq!(parse(&format!("docker://{word}")), registry(word), "{word}");
        }
        assert_eq!(parse("docker://debian"), registry("docker.io/library/debian"));
        for word in ["docker://", "docker://A", "docker://a@sha256:0"] {
            assert_eq!(Subject::parse(OsStr::new(word)).unwrap_err().status, ExitStatus::Usage, "{word}");
        }
    }
}
