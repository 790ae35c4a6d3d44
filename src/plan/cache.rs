//! Caches that a build imports and exports: `--cache-from` and `--cache-to`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{PlanError, path_text, split_csv};
use crate::pin::Version;
use crate::reference::ImageReference;

/// The first version whose GitHub Actions cache speaks the protocol that the service understands (moby/buildkit#5703).
const FIRST_WITH_GHA: Version = Version::new(0, 20, 0);

/// The variables by which a runner of GitHub Actions tells where its cache is, and how to get in.
pub const GHA_VARIABLES: [&str; 4] =
    ["ACTIONS_CACHE_SERVICE_V2", "ACTIONS_CACHE_URL", "ACTIONS_RESULTS_URL", "ACTIONS_RUNTIME_TOKEN"];

/// Where a cache is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheKind {
    /// In a registry, under this name.
    Registry(String),
    /// In a directory, absolute.
    Local(#[serde(serialize_with = "path_text")] PathBuf),
    /// In the cache of GitHub Actions.
    Gha,
}

/// One cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cache {
    /// Where it is kept.
    pub kind: CacheKind,
    /// Whatever else was said of it, as `key=value`.
    pub options: Vec<String>,
}

/// Whether a cache is read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `--cache-from`
    From,
    /// `--cache-to`
    To,
}

impl Direction {
    /// The option that names the directory of a local cache.
    #[must_use]
    pub const fn path_option(self) -> &'static str {
        match self {
            Self::From => "src",
            Self::To => "dest",
        }
    }

    /// The options that BuildKit knows. It ignores all others without a word, so that they are refused here.
    const fn options(self) -> &'static [&'static str] {
        match self {
            Self::From => &["tag", "digest", "scope", "timeout", "url", "url_v2", "version", "repository"],
            Self::To => &[
                "mode",
                "tag",
                "scope",
                "timeout",
                "url",
                "url_v2",
                "version",
                "repository",
                "ignore-error",
                "oci-mediatypes",
                "image-manifest",
                "compression",
                "compression-level",
                "force-compression",
            ],
        }
    }
}

impl Cache {
    /// Parses one word in buildx's syntax.
    pub fn parse(text: &str, direction: Direction, directory: &Path) -> Result<Self, PlanError> {
        let wrong = |why| PlanError::Cache { text: text.to_owned(), why };
        let fields = split_csv(text).ok_or_else(|| wrong("the quotes are not closed"))?;
        // A single word without `=` is a reference, as buildx reads it.
        if let ([reference], false) = (fields.as_slice(), text.contains('=')) {
            return Ok(Self { kind: registry(reference).ok_or_else(|| wrong(NOT_A_NAME))?, options: Vec::new() });
        }
        let (mut kind, mut name, mut path, mut options) = (None, None, None, Vec::new());
        for field in &fields {
            let (key, value) = field.split_once('=').ok_or_else(|| wrong("each part is `key=value`"))?;
            match key {
                "type" => kind = Some(value),
                "ref" => name = Some(value),
                _ if key == direction.path_option() => path = Some(value),
                _ if direction.options().contains(&key) => options.push(field.clone()),
                _ => return Err(wrong("it holds an option that BuildKit does not know, and would pass over")),
            }
        }
        let kind = match (kind, name, path) {
            (Some("registry"), Some(name), None) => registry(name).ok_or_else(|| wrong(NOT_A_NAME))?,
            (Some("registry"), ..) => return Err(wrong("a registry's cache has `ref=NAME`, and no directory")),
            (Some("local"), None, Some(path)) if !path.is_empty() => CacheKind::Local(directory.join(path)),
            (Some("local"), ..) => return Err(wrong("a local cache has `src=DIR` to import, `dest=DIR` to export")),
            (Some("gha"), None, None) => CacheKind::Gha,
            (Some("inline"), ..) => {
                return Err(wrong(
                    "an inline cache is written into the image's config and changes its digest; registry and local do not",
                ));
            }
            (None, ..) => return Err(wrong("`type=` is missing: registry, local or gha")),
            _ => return Err(wrong("this type is not taken: registry, local and gha are")),
        };
        Ok(Self { kind, options })
    }

    /// The directory of a local cache.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match &self.kind {
            CacheKind::Local(path) => Some(path),
            CacheKind::Registry(_) | CacheKind::Gha => None,
        }
    }

    /// Refuses what cannot work with this BuildKit, or outside of GitHub Actions.
    pub fn check(&self, version: Option<Version>, is_set: impl Fn(&str) -> bool) -> Result<(), PlanError> {
        let wrong = |why| PlanError::Cache { text: "type=gha".to_owned(), why };
        if self.kind != CacheKind::Gha {
            return Ok(());
        }
        if version.is_some_and(|version| version < FIRST_WITH_GHA) {
            return Err(wrong(
                "BuildKit speaks to it from v0.20.0 on; take a later pin, or type=registry or type=local",
            ));
        }
        let address = is_set("ACTIONS_CACHE_URL") || is_set("ACTIONS_RESULTS_URL");
        if !address || !is_set("ACTIONS_RUNTIME_TOKEN") {
            return Err(wrong(
                "the variables of a GitHub Actions runner are not set (ACTIONS_RESULTS_URL, ACTIONS_RUNTIME_TOKEN); \
                 elsewhere type=registry and type=local work",
            ));
        }
        Ok(())
    }
}

const NOT_A_NAME: &str = "the reference is not one, or names a digest";

fn registry(name: &str) -> Option<CacheKind> {
    let reference: ImageReference = name.parse().ok()?;
    reference.digest().is_none().then(|| CacheKind::Registry(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, direction: Direction) -> Result<Cache, PlanError> {
        Cache::parse(text, direction, Path::new("/cwd"))
    }

    #[test]
    fn caches_are_read_as_buildx_reads_them() {
        let name = CacheKind::Registry("r.example/c:1".to_owned());
        assert_eq!(parse("r.example/c:1", Direction::From).unwrap().kind, name);
        let to = parse("type=registry,ref=r.example/c:1,mode=max", Direction::To).unwrap();
        assert_eq!((to.kind, to.options), (name, vec!["mode=max".to_owned()]));
        let local = parse("type=local,\"dest=a, b\"", Direction::To).unwrap();
        assert_eq!(local.kind, CacheKind::Local("/cwd/a, b".into()));
    }

    #[test]
    fn what_would_not_work_is_refused() {
        for (text, direction, why) in [
            ("type=inline", Direction::To, "changes its digest"),
            ("type=s3,bucket=x", Direction::To, "does not know"),
            ("type=s3", Direction::To, "registry, local and gha"),
            ("type=registry", Direction::From, "ref=NAME"),
            ("type=local,dest=x", Direction::From, "does not know"),
            ("type=local", Direction::From, "src=DIR"),
            ("ref=a", Direction::From, "`type=` is missing"),
            ("type=registry,ref=a,moed=max", Direction::To, "does not know"),
            ("A B", Direction::From, "not one"),
        ] {
            let message = parse(text, direction).unwrap_err().to_string();
            assert!(message.contains(why), "{text}: {message}");
        }
    }

    #[test]
    fn the_cache_of_github_needs_its_runner_and_a_later_buildkit() {
        let gha = parse("type=gha,scope=x", Direction::To).unwrap();
        let (old, new) = (Some(Version::new(0, 19, 0)), Some(Version::new(0, 31, 1)));
        let message = |version, set: bool| gha.check(version, |_| set).map_err(|error| error.to_string());
        assert!(message(old, true).unwrap_err().contains("v0.20.0"));
        assert!(message(new, false).unwrap_err().contains("type=registry and type=local"));
        assert_eq!(message(new, true), Ok(()));
    }
}
