//! Image references, strictly by the grammar of the distribution project (`reference/regexp.go`, `normalize.go`), and the
//! other places an image can be read from.
//!
//! The familiar forms are completed as Docker completes them: `debian` is `docker.io/library/debian`, `moby/buildkit` is
//! `docker.io/moby/buildkit`, and a first part that holds a `.`, a `:` or is `localhost` is a registry. Two spellings that
//! Docker takes are refused here, because tools disagree about their meaning: upper case in the registry, and a bare
//! 64-digit hexadecimal name. Nothing is filled in for a missing tag.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, DigestError};

/// The registry that familiar names belong to.
const DOCKER_HUB: &str = "docker.io";
/// An older name of the same registry, which Docker still takes.
const DOCKER_HUB_LEGACY: &str = "index.docker.io";
/// Where Docker Hub keeps the repositories that have no namespace.
const DOCKER_HUB_OFFICIAL: &str = "library";
/// The longest repository (distribution `reference.RepositoryNameTotalLengthMax`) and, by DNS, the longest host name.
const NAME_LENGTH_MAX: usize = 255;
/// The longest tag (distribution-spec, "Pulling manifests").
const TAG_LENGTH_MAX: usize = 128;

/// Where an image is in a registry: `registry/repository[:tag][@digest]`, always in its full form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not an image reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// The text is empty.
    #[error("an image reference is empty")]
    Empty,
    /// The text is 64 hexadecimal digits, which Docker reads as an image ID.
    #[error("`{0}` is a bare hexadecimal name, not an image reference")]
    BareHex(String),
    /// There are upper-case letters in front of the tag.
    #[error("`{0}` holds upper-case letters")]
    UpperCase(String),
    /// The part in front of the first `/` is no host, or its port is no port.
    #[error("`{registry}` in `{text}` is not a registry")]
    Registry {
        /// What was given.
        text: String,
        /// The part that should be a registry.
        registry: String,
    },
    /// The repository does not follow the grammar.
    #[error("`{repository}` in `{text}` is not a repository name")]
    Repository {
        /// What was given.
        text: String,
        /// The part that should be a repository.
        repository: String,
    },
    /// The registry or the repository is too long.
    #[error("`{0}` is longer than {NAME_LENGTH_MAX} characters")]
    TooLong(String),
    /// The tag does not follow the grammar.
    #[error("`{tag}` in `{text}` is not a tag")]
    Tag {
        /// What was given.
        text: String,
        /// The part that should be a tag.
        tag: String,
    },
    /// The part after the `@` is not a digest.
    #[error("no valid digest after the `@` in `{text}`")]
    Digest {
        /// What was given.
        text: String,
        /// Why it is none.
        source: DigestError,
    },
    /// The reference has no digest where one is needed.
    #[error("`{0}` has no digest")]
    NotPinned(String),
    /// The text starts with a transport that is not known here.
    #[error("transport `{transport}` of `{text}` is not known")]
    Transport {
        /// What was given.
        text: String,
        /// The part in front of the colon.
        transport: String,
    },
    /// There is no path after `oci:` or `oci-archive:`.
    #[error("`{0}` names no path")]
    NoPath(String),
}

impl ReferenceError {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Empty | Self::Repository { .. } | Self::TooLong(_) => {
                "write `[registry/]repository[:tag][@sha256:…]`, for example `moby/buildkit:v0.19.0`"
            }
            Self::BareHex(_) => "put a repository in front: `repository@sha256:…`",
            Self::UpperCase(_) => "registries and repositories are written in lower case",
            Self::Registry { .. } => "write the registry as `host` or `host:port`, without `https://`",
            Self::Tag { .. } => {
                "a tag has at most 128 letters, digits, `_`, `.` and `-`, and starts with none of the last two"
            }
            Self::Digest { .. } => "copy the whole digest: `sha256:` and 64 lower-case hexadecimal digits",
            Self::NotPinned(_) => "add `@sha256:…`: a tag can be moved, a digest can not",
            Self::Transport { .. } => "a registry reference, `oci:DIRECTORY` and `oci-archive:FILE` are known",
            Self::NoPath(_) => "write `oci:DIRECTORY` or `oci-archive:FILE`",
        }
    }
}

impl ImageReference {
    /// The registry, `host` or `host:port`; `docker.io` for Docker Hub.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository inside the registry, with `library/` where Docker Hub wants it.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, when one was written.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when one was written.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The registry and the repository, without tag and digest.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// How Docker shows it (`reference.FamiliarString`), without `:latest`: what BuildKit looks a named context up by
    /// (`frontend/dockerui/config.go`, `NamedContext`). The digest is left out.
    #[must_use]
    pub fn familiar(&self) -> String {
        let official = || {
            let name = self.repository.strip_prefix(DOCKER_HUB_OFFICIAL)?.strip_prefix('/')?;
            (!name.contains('/')).then_some(name)
        };
        let name = match self.registry.as_str() {
            DOCKER_HUB => official().unwrap_or(&self.repository).to_owned(),
            _ => self.name(),
        };
        let tag = self.tag().filter(|tag| *tag != "latest");
        tag.map_or_else(|| name.clone(), |tag| format!("{name}:{tag}"))
    }

    /// The same repository and tag with this digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let owned = || text.to_owned();
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => {
                let digest = digest.parse().map_err(|source| ReferenceError::Digest { text: owned(), source })?;
                (rest, Some(digest))
            }
        };
        // A colon before the last slash belongs to the registry's port.
        let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[name_start..].find(':') {
            None => (rest, None),
            Some(colon) => (&rest[..name_start + colon], Some(&rest[name_start + colon + 1..])),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag { text: owned(), tag: tag.to_owned() });
        }
        if name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ReferenceError::BareHex(name.to_owned()));
        }
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ReferenceError::UpperCase(name.to_owned()));
        }
        let (registry, repository) = split_registry(name);
        if registry.len() > NAME_LENGTH_MAX || repository.len() > NAME_LENGTH_MAX {
            return Err(ReferenceError::TooLong(name.to_owned()));
        }
        if !is_registry(registry) {
            return Err(ReferenceError::Registry { text: owned(), registry: registry.to_owned() });
        }
        if !repository.split('/').all(is_path_component) {
            return Err(ReferenceError::Repository { text: owned(), repository });
        }
        Ok(Self { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Completes the familiar forms, as `splitDockerDomain` of distribution `reference/normalize.go` does.
fn split_registry(name: &str) -> (&str, String) {
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => (DOCKER_HUB, name),
    };
    let registry = if registry == DOCKER_HUB_LEGACY { DOCKER_HUB } else { registry };
    if registry == DOCKER_HUB && !repository.contains('/') {
        return (registry, format!("{DOCKER_HUB_OFFICIAL}/{repository}"));
    }
    (registry, repository.to_owned())
}

/// `domain` of the grammar: a host name, an IPv4 address or an IPv6 address in brackets, and an optional port.
fn is_registry(text: &str) -> bool {
    let (host_is_right, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').unwrap_or("")) };
        (address.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        (host.split('.').all(is_domain_component), port)
    };
    host_is_right && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

/// `domain-component` of the grammar, in lower case.
fn is_domain_component(text: &str) -> bool {
    let letter_or_digit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| letter_or_digit(byte) || byte == b'-')
}

/// `path-component` of the grammar: runs of `[a-z0-9]` with `.`, `_`, `__` or any number of `-` between them.
fn is_path_component(text: &str) -> bool {
    let letter_or_digit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !text.starts_with(letter_or_digit) || !text.ends_with(letter_or_digit) {
        return false;
    }
    text.split(letter_or_digit)
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

/// `tag` of the grammar. Only ASCII: Go's `\w` knows no other letters.
fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_LENGTH_MAX
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

/// An image reference that has a digest: what it names can never change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PinnedReference {
    reference: ImageReference,
    digest: Digest,
}

impl PinnedReference {
    /// The whole reference.
    #[must_use]
    pub const fn reference(&self) -> &ImageReference {
        &self.reference
    }

    /// The digest that it is pinned to.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }
}

impl TryFrom<ImageReference> for PinnedReference {
    type Error = ReferenceError;

    fn try_from(reference: ImageReference) -> Result<Self, ReferenceError> {
        match reference.digest.clone() {
            Some(digest) => Ok(Self { reference, digest }),
            None => Err(ReferenceError::NotPinned(reference.to_string())),
        }
    }
}

impl FromStr for PinnedReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        text.parse::<ImageReference>()?.try_into()
    }
}

impl fmt::Display for PinnedReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reference.fmt(f)
    }
}

/// An OCI image layout on this machine, and which manifest of it is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayoutReference {
    /// The directory or the archive.
    pub path: PathBuf,
    /// The index or manifest that is meant; needed where the layout holds more than one image.
    pub digest: Option<Digest>,
}

/// Where an image is read from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageSource {
    /// A registry.
    Registry(ImageReference),
    /// `oci:DIRECTORY[@sha256:…]`: an OCI image layout.
    OciDir(LayoutReference),
    /// `oci-archive:FILE[@sha256:…]`: the same in a tar archive.
    OciArchive(LayoutReference),
}

impl ImageSource {
    /// The digest that the user wrote, if any.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Registry(reference) => reference.digest(),
            Self::OciDir(layout) | Self::OciArchive(layout) => layout.digest.as_ref(),
        }
    }

    /// The path of a layout.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Registry(_) => None,
            Self::OciDir(layout) | Self::OciArchive(layout) => Some(&layout.path),
        }
    }
}

/// Transports of containers-transports(5) that are not read here. `docker` is one only with `//`: `docker:24` is an image.
const OTHER_TRANSPORTS: [&str; 6] = ["containers-storage", "dir", "docker-archive", "docker-daemon", "ostree", "sif"];

impl FromStr for ImageSource {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        match text.split_once(':') {
            Some(("oci", path)) => parse_layout(text, path).map(Self::OciDir),
            Some(("oci-archive", path)) => parse_layout(text, path).map(Self::OciArchive),
            Some((transport, path))
                if OTHER_TRANSPORTS.contains(&transport) || (transport == "docker" && path.starts_with("//")) =>
            {
                Err(ReferenceError::Transport { text: text.to_owned(), transport: transport.to_owned() })
            }
            _ => text.parse().map(Self::Registry),
        }
    }
}

/// A layout's path can hold `@` and `:` itself: only a last part that starts like a digest is one.
fn parse_layout(text: &str, rest: &str) -> Result<LayoutReference, ReferenceError> {
    let starts_like_a_digest = |part: &str| part.starts_with("sha256:") || part.starts_with("sha512:");
    let (path, digest) = match rest.rsplit_once('@') {
        Some((path, digest)) if starts_like_a_digest(digest) => {
            let digest = digest.parse().map_err(|source| ReferenceError::Digest { text: text.to_owned(), source })?;
            (path, Some(digest))
        }
        _ => (rest, None),
    };
    if path.is_empty() {
        return Err(ReferenceError::NoPath(text.to_owned()));
    }
    Ok(LayoutReference { path: PathBuf::from(path), digest })
}

impl fmt::Display for LayoutReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::OciDir(layout) => write!(f, "oci:{layout}"),
            Self::OciArchive(layout) => write!(f, "oci-archive:{layout}"),
        }
    }
}

impl Serialize for ImageReference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for ImageSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
