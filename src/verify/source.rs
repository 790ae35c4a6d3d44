//! Where the source of an image is, as the image or the user says it, and what of that is asked for at all.
//!
//! An address from an image is a stranger's: git is sent to `https://` alone, to no address with a password in it, and for a
//! commit by its whole hash. What the user writes may be more: a branch, a directory, SSH.

use std::path::{Component, Path};

use super::provenance::BuildRecord;
use super::recipe::{One, shown};
use crate::image::Image;

/// The annotation and label for the repository, and for its commit (OCI image-spec, annotations).
const SOURCE: &str = "org.opencontainers.image.source";
const REVISION: &str = "org.opencontainers.image.revision";
/// The longest address that is asked for, in bytes.
const LONGEST_ADDRESS: usize = 2_000;

/// What is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitRef {
    /// A commit by its whole hash.
    Commit(String),
    /// A branch or tag.
    Name(String),
    /// What the repository shows first.
    Head,
}

/// A repository, what of it, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSource {
    /// Its address.
    pub url: String,
    /// What is checked out.
    pub reference: GitRef,
    /// The context's directory in it; empty for its top.
    pub directory: String,
    /// The Dockerfile in it, where it is known and not simply `Dockerfile` in the context.
    pub dockerfile: Option<String>,
    /// What says so; nothing where the user does.
    pub whence: Option<&'static str>,
    /// What of the image names the commit, where the user does not.
    pub commit_whence: Option<&'static str>,
}

/// What in a word of the user is no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {why}")]
pub struct SourceError {
    text: String,
    why: &'static str,
}

impl GitRef {
    /// What the user names: a commit by its hash, or a branch or tag.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let wrong = |why| Err(SourceError { text: text.to_owned(), why });
        if is_commit(text) {
            return Ok(Self::Commit(text.to_owned()));
        }
        let odd = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
        let ends = text.starts_with(['-', '+', '/', '.']) || text.ends_with(['/', '.']);
        if text.is_empty() || ends || text.contains(odd) || text.contains("..") || text.contains("@{") {
            return wrong("is no branch, tag or whole commit hash");
        }
        Ok(Self::Name(text.to_owned()))
    }
}

impl GitSource {
    /// Whether a word of the user is a repository and no directory.
    #[must_use]
    pub fn is_address(text: &str) -> bool {
        text.starts_with("git@") || text.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme))
    }

    /// The repository that the user names, with BuildKit's `#REF:DIRECTORY` behind it. `reference` is what a flag says.
    pub fn parse(text: &str, reference: Option<&str>) -> Result<Self, SourceError> {
        let wrong = |why| SourceError { text: without_password(text), why };
        let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (of_address, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let scheme = url.split_once("://").map_or("ssh", |(scheme, _)| scheme);
        if !["https", "http", "ssh", "file", "git+ssh"].contains(&scheme) {
            return Err(wrong("has a scheme that is not asked for: https, http, ssh and file are"));
        }
        if url.len() > LONGEST_ADDRESS || url.chars().any(char::is_control) {
            return Err(wrong("is no address: it is too long, or holds control characters"));
        }
        let reference = match (reference, of_address) {
            (None, "") => GitRef::Head,
            (Some(given), "") => GitRef::parse(given)?,
            (None, of_address) => GitRef::parse(of_address)?,
            (Some(_), _) => return Err(wrong("names what to check out, and `--ref` does so too")),
        };
        if !is_below(directory) {
            return Err(wrong("names a directory outside of the repository"));
        }
        Ok(Self {
            url: url.to_owned(),
            reference,
            directory: directory.trim_matches('/').to_owned(),
            dockerfile: None,
            whence: None,
            commit_whence: None,
        })
    }

    /// The address without what may be a secret in it.
    #[must_use]
    pub fn shown(&self) -> String {
        without_password(&self.url)
    }
}

fn is_scheme(scheme: &str) -> bool {
    !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// A commit by its whole hash, of SHA-1 or SHA-256.
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A path that stays where it begins.
#[must_use]
pub fn is_below(path: &str) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    !path.contains(char::is_control) && Path::new(path).components().all(plain)
}

/// What an image says about its source, with what else it says against that; or why it is of no use.
pub(super) fn find_source(
    image: &Image,
    ones: &[One<'_>],
    records: &[&BuildRecord],
) -> Result<(GitSource, Option<String>), String> {
    let mut why = None;
    for record in records {
        for found in [of_git_context(record), of_local_context(record)].into_iter().flatten() {
            match found {
                Ok(source) => return Ok((source, why)),
                Err(reason) => why = why.or(Some(reason)),
            }
        }
    }
    match of_words(image, ones) {
        Some(Ok(source)) => Ok((source, why)),
        Some(Err(reason)) => Err(why.unwrap_or(reason)),
        None => Err(why.unwrap_or_else(|| {
            format!("neither provenance nor annotations or labels (`{SOURCE}`, `{REVISION}`) say where its source is")
        })),
    }
}

/// A context that BuildKit itself took out of a repository.
fn of_git_context(record: &BuildRecord) -> Option<Result<GitSource, String>> {
    let (url, fragment) = record.git_context.as_deref().map(|uri| uri.split_once('#').unwrap_or((uri, "")))?;
    let directory = fragment.split_once(':').map_or("", |(_, directory)| directory);
    let dockerfile = record.entry_point.as_deref().map(|name| join(directory, name));
    let whence = "its provenance: the context was a git repository";
    Some(source(url, record.git_commit.as_deref(), directory, dockerfile, whence))
}

/// A local context that lay in a repository, which buildx looked at.
fn of_local_context(record: &BuildRecord) -> Option<Result<GitSource, String>> {
    let url = record.repository.as_deref()?;
    let directory = record.context_directory.as_deref().unwrap_or_default();
    let of_dockerfile = record.dockerfile_directory.as_deref().unwrap_or(directory);
    let dockerfile = record.entry_point.as_deref().map(|name| join(of_dockerfile, name));
    let whence = "its provenance: buildx saw the repository";
    Some(source(url, record.revision.as_deref(), directory, dockerfile, whence))
}

/// Annotations, else labels.
fn of_words(image: &Image, ones: &[One<'_>]) -> Option<Result<GitSource, String>> {
    let annotation = |key: &str| {
        let manifests = ones.iter().filter_map(|one| one.manifest?.annotations.get(key));
        let indexes = image.indexes.iter().filter_map(|index| index.annotations.get(key));
        manifests.chain(indexes).next().cloned()
    };
    let label = |key: &str| {
        let of = |one: &One<'_>| {
            one.config.document.value().get("config")?.get("Labels")?.get(key)?.as_str().map(str::to_owned)
        };
        ones.iter().find_map(of)
    };
    let (url, whence) = match (annotation(SOURCE), label(SOURCE)) {
        (Some(url), _) => (url, "its annotation org.opencontainers.image.source"),
        (None, Some(url)) => (url, "its label org.opencontainers.image.source"),
        (None, None) => return None,
    };
    let revision = annotation(REVISION).or_else(|| label(REVISION));
    Some(source(&url, revision.as_deref(), "", None, whence))
}

/// What a stranger says, held against what is asked for.
fn source(
    url: &str,
    revision: Option<&str>,
    directory: &str,
    dockerfile: Option<String>,
    whence: &'static str,
) -> Result<GitSource, String> {
    check_address(url).map_err(|why| format!("it says that its source is {}, {why}", shown(url)))?;
    let revision =
        revision.ok_or_else(|| format!("it says that its source is {}, and not which commit", shown(url)))?;
    // buildx marks what was not committed.
    let commit = revision.strip_suffix("-dirty").unwrap_or(revision);
    if !is_commit(commit) {
        return Err(format!("it names {} as its revision, which is no whole commit hash", shown(revision)));
    }
    if commit != revision {
        return Err(format!("it was built from {} with changes that were not committed", shown(commit)));
    }
    for path in [Some(directory), dockerfile.as_deref()].into_iter().flatten() {
        if !is_below(path) {
            return Err(format!("it names the path {}, which leads out of its repository", shown(path)));
        }
    }
    Ok(GitSource {
        url: url.to_owned(),
        reference: GitRef::Commit(commit.to_owned()),
        directory: tidy(directory),
        dockerfile: dockerfile.map(|path| tidy(&path)).filter(|path| *path != join(&tidy(directory), "Dockerfile")),
        whence: Some(whence),
        commit_whence: Some(whence),
    })
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// The same path without dots and doubled slashes.
fn tidy(path: &str) -> String {
    let parts = Path::new(path).components().filter_map(|part| match part {
        Component::Normal(part) => part.to_str(),
        _ => None,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Why nobody is asked at this address.
fn check_address(url: &str) -> Result<(), &'static str> {
    let rest = url.strip_prefix("https://").ok_or("and strangers are believed addresses with https:// alone")?;
    let host = rest.split('/').next().unwrap_or_default();
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    let is_plain = |c: char| c.is_ascii_graphic() && !"'\"`\\<>#?{}|^".contains(c);
    match () {
        () if url.len() > LONGEST_ADDRESS || !url.chars().all(is_plain) => Err("which holds what no address needs"),
        () if host.contains('@') => Err("which holds a name or a password"),
        () if host.is_empty() || host.starts_with('-') || !host.chars().all(is_host) => Err("which names no host"),
        () => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn a_stranger_sends_git_nowhere_else() {
        let taken = source("https://example.org/a/b.git", Some(COMMIT), "./sub//x", None, "it").unwrap();
        assert_eq!((taken.directory.as_str(), taken.reference), ("sub/x", GitRef::Commit(COMMIT.to_owned())));
        for url in [
            "http://example.org/a",
            "ssh://example.org/a",
            "git@example.org:a",
            "file:///etc",
            "ext::sh -c id",
            "--upload-pack=id",
            "https://-x/a",
            "https:///a",
            "https://user:secret@example.org/a",
            "https://example.org/a b",
            "https://example.org/a\n",
            "https://example.org/a#main",
            "https://example.org/$(id)`id`",
        ] {
            assert!(source(url, Some(COMMIT), "", None, "it").is_err(), "{url}");
        }
        for revision in ["main", "-x", "", &COMMIT[1..], &COMMIT.replace('0', "g"), &format!("{COMMIT}-dirty")] {
            assert!(source("https://example.org/a", Some(revision), "", None, "it").is_err(), "{revision}");
        }
        assert!(source("https://example.org/a", None, "", None, "it").is_err());
        for path in ["..", "a/../b", "/etc", "a\n"] {
            assert!(source("https://example.org/a", Some(COMMIT), path, None, "it").is_err(), "{path}");
            let dockerfile = Some(path.to_owned());
            assert!(source("https://example.org/a", Some(COMMIT), "", dockerfile, "it").is_err(), "{path}");
        }
    }

    #[test]
    fn the_user_may_say_more() {
        let parse = |text: &str, reference: Option<&str>| GitSource::parse(text, reference);
        let plain = parse("https://example.org/a", None).unwrap();
        assert_eq!((plain.reference, plain.directory.as_str()), (GitRef::Head, ""));
        let whole = parse("git@example.org:a/b.git#v1.0:sub/dir", None).unwrap();
        assert_eq!((whole.url.as_str(), whole.directory.as_str()), ("git@example.org:a/b.git", "sub/dir"));
        assert_eq!(whole.reference, GitRef::Name("v1.0".to_owned()));
        let by_flag = parse("file:///a#:sub", Some(COMMIT)).unwrap();
        assert_eq!((by_flag.reference, by_flag.directory.as_str()), (GitRef::Commit(COMMIT.to_owned()), "sub"));
        assert_eq!(parse("https://me:secret@example.org/a", None).unwrap().shown(), "https://example.org/a");
        for (text, reference) in [
            ("https://example.org/a#v1", Some("v2")),
            ("https://example.org/a#:../x", None),
            ("ext::sh", None),
            ("fd://3", None),
            ("https://example.org/a", Some("--upload-pack=id")),
            ("https://example.org/a", Some("a:b")),
            ("https://example.org/a", Some("+main")),
        ] {
            if GitSource::is_address(text) {
                assert!(parse(text, reference).is_err(), "{text} {reference:?}");
            }
        }
        for (text, is) in
            [("git@h:a", true), ("https://x", true), ("ext::sh -c id", false), (".", false), ("a:b", false)]
        {
            assert_eq!(GitSource::is_address(text), is, "{text}");
        }
    }
}
