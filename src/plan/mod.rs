//! The plan of a build: everything that decides the bytes, as plain data.
//!
//! A plan is made from settings, knows no engine, and can be serialised. A runtime turns it into commands.

mod cache;
mod inputs;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Serialize, Serializer};

pub use self::cache::{Cache, CacheKind, Direction, GHA_VARIABLES};
pub use self::inputs::{NamedContext, Secret, SecretSource, Ssh, SshSource, split_csv};
pub use crate::pin::{ArchiveFormat, MediaTypes};

use crate::digest::Digest;
use crate::epoch::SourceDateEpoch;
use crate::frontend::Frontend;
use crate::network::{HostEntry, RunNetwork};
use crate::pin::Pin;

/// Everything that decides the bytes of an image.
#[derive(Debug, Clone, Serialize)]
pub struct BuildPlan {
    /// The build context, absolute.
    #[serde(serialize_with = "path_text")]
    pub context: PathBuf,
    /// Which modes its files have for the build.
    pub context_modes: ContextModes,
    /// The Dockerfile, absolute.
    #[serde(serialize_with = "path_text")]
    pub dockerfile: PathBuf,
    /// What reads the Dockerfile.
    pub frontend: Frontend,
    /// The moment that files and history are clamped to.
    pub epoch: SourceDateEpoch,
    /// The BuildKit that builds.
    pub pin: Pin,
    /// The platforms, at least one, always passed explicitly.
    pub platforms: Vec<Platform>,
    /// Build arguments, without SOURCE_DATE_EPOCH.
    pub build_args: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Annotations of manifests, indexes and their descriptors.
    pub annotations: Vec<Annotation>,
    /// The stage to build, else the last one.
    pub target: Option<String>,
    /// Secrets that RUN may mount.
    pub secrets: Vec<Secret>,
    /// SSH agents and keys that RUN may use.
    pub ssh: Vec<Ssh>,
    /// What names in FROM and COPY --from mean.
    pub build_contexts: BTreeMap<String, NamedContext>,
    /// Ask registries for base images again.
    pub pull: bool,
    /// Caches of earlier builds.
    pub cache_from: Vec<Cache>,
    /// Where the cache of this build goes.
    pub cache_to: Vec<Cache>,
    /// The variables of a GitHub Actions runner that its cache needs, as far as they are set.
    pub runner_variables: Vec<&'static str>,
    /// Names of the image inside the archive.
    pub tags: Vec<String>,
    /// The format of the archive.
    pub archive: ArchiveFormat,
    /// The family of media types.
    pub media_types: MediaTypes,
    /// How layers are compressed.
    pub compression: Compression,
    /// Whether times of files later than the epoch become the epoch.
    pub rewrite_timestamp: bool,
    /// Build on throw-away state.
    pub no_cache: bool,
    /// The network of RUN.
    pub network: RunNetwork,
    /// What RUN's `/etc/hosts` holds besides.
    pub hosts: Vec<HostEntry>,
    /// Keeps the cache mounts of projects apart.
    pub cache_namespace: String,
}

impl BuildPlan {
    /// The directories that the build reads: what is written into one of them would be in the next image.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        NamedContext::directories(&self.context, &self.build_contexts)
    }

    /// The files and directories that the client reads besides the context and the Dockerfile.
    pub fn inputs(&self) -> impl Iterator<Item = &Path> {
        let secrets = self.secrets.iter().filter_map(Secret::file);
        let keys = self.ssh.iter().flat_map(Ssh::paths);
        let caches = self.cache_from.iter().filter_map(Cache::directory);
        secrets.chain(keys.map(PathBuf::as_path)).chain(self.directories().skip(1)).chain(caches)
    }

    /// The directories that the client writes besides the archive.
    pub fn outputs(&self) -> impl Iterator<Item = &Path> {
        self.cache_to.iter().filter_map(Cache::directory)
    }

    /// Whether RUN may ask the agent of `SSH_AUTH_SOCK`.
    #[must_use]
    pub fn wants_agent(&self) -> bool {
        self.ssh.iter().any(|ssh| ssh.source == SshSource::Agent)
    }

    /// The variables of the caller that the client reads itself: secrets, and the runner's cache.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let secrets = self.secrets.iter().filter_map(|secret| match &secret.source {
            SecretSource::Env(name) => Some(name.as_str()),
            SecretSource::File(_) => None,
        });
        secrets.chain(self.runner_variables.iter().copied())
    }
}

/// Why a word of the user cannot be part of a plan.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// Not `os/arch[/variant]`.
    #[error("`{0}` is not a platform: `os/architecture[/variant]` is, as in linux/arm64")]
    Platform(String),
    /// Not an annotation.
    #[error("annotation `{text}`: {why}")]
    Annotation {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a secret.
    #[error("secret `{text}`: {why}")]
    Secret {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not an SSH agent or key.
    #[error("ssh `{text}`: {why}")]
    Ssh {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not the source of a build context.
    #[error("build context `{text}`: {why}")]
    BuildContext {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Not a cache that works here.
    #[error("cache `{text}`: {why}")]
    Cache {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Which modes the files of a context have for the build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ContextModes {
    /// Those that they have.
    #[default]
    Keep,
    /// Those that git stores: 755 for directories and for files that their owner may execute, else 644.
    Git,
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compression {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Its level, else the library's own.
    pub level: Option<u8>,
    /// Whether the layers of the base are converted, too.
    pub force: bool,
}

/// An algorithm that layers are compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// gzip.
    Gzip,
    /// gzip with an index, see stargz-snapshotter.
    Estargz,
    /// Zstandard.
    Zstd,
    /// None.
    Uncompressed,
}

impl Algorithm {
    /// The exporter's `compression=`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Estargz => "estargz",
            Self::Zstd => "zstd",
            Self::Uncompressed => "uncompressed",
        }
    }

    /// The highest level, where there are levels.
    #[must_use]
    pub const fn highest_level(self) -> Option<u8> {
        match self {
            Self::Gzip | Self::Estargz => Some(9),
            Self::Zstd => Some(22),
            Self::Uncompressed => None,
        }
    }

    /// Whether Docker's media types have a name for it.
    #[must_use]
    pub const fn has_docker_type(self) -> bool {
        matches!(self, Self::Gzip | Self::Uncompressed)
    }
}

/// A platform as `os/architecture[/variant]`, in the spelling that BuildKit normalises to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// The operating system.
    pub os: String,
    /// The architecture in Go's names.
    pub architecture: String,
    /// The variant, such as `v7`.
    pub variant: Option<String>,
}

impl Platform {
    /// The platform of this machine, with Linux as what runs in containers.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }
}

impl FromStr for Platform {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let wrong = || PlanError::Platform(text.to_owned());
        let lower = text.to_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let valid = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        };
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(valid) {
            return Err(wrong());
        }
        let variant = parts.get(2).copied();
        let (architecture, variant) = match (parts[1], variant) {
            ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => ("amd64", None),
            ("aarch64" | "arm64", None | Some("8" | "v8")) => ("arm64", None),
            ("i386", None) => ("386", None),
            ("armhf", None) | ("arm", None | Some("7")) => ("arm", Some("v7")),
            ("armel", None) | ("arm", Some("6")) => ("arm", Some("v6")),
            other => other,
        };
        let os = if parts[0] == "macos" { "darwin" } else { parts[0] };
        Ok(Self { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.map(str::to_owned) })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which document an annotation lands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnnotationTarget {
    /// The image manifest.
    Manifest,
    /// The image index.
    Index,
    /// The descriptor of the manifest in the index.
    ManifestDescriptor,
    /// The descriptor of the index in the layout's own index.
    IndexDescriptor,
}

impl AnnotationTarget {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "manifest" => Self::Manifest,
            "index" => Self::Index,
            "manifest-descriptor" => Self::ManifestDescriptor,
            "index-descriptor" => Self::IndexDescriptor,
            _ => return None,
        })
    }

    /// The name in buildx's syntax, and, behind `annotation-`, in BuildKit's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Index => "index",
            Self::ManifestDescriptor => "manifest-descriptor",
            Self::IndexDescriptor => "index-descriptor",
        }
    }

    /// Whether there has to be an index for it, which only several platforms make.
    #[must_use]
    pub const fn needs_index(self) -> bool {
        matches!(self, Self::Index | Self::IndexDescriptor)
    }
}

/// One annotation: `[TARGET[,TARGET…][[PLATFORM]]:]KEY=VALUE` in buildx's syntax, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Annotation {
    /// The document that it lands in.
    pub target: AnnotationTarget,
    /// Only for this platform, else for all.
    pub platform: Option<Platform>,
    /// The key.
    pub key: String,
    /// The value, any text.
    pub value: String,
}

impl Annotation {
    /// Parses one `--annotation` word; a word that names several targets makes several annotations.
    pub fn parse(text: &str) -> Result<Vec<Self>, PlanError> {
        Self::parse_of(text, AnnotationTarget::Manifest)
    }

    /// The same where a word without a target is for `default`.
    pub fn parse_of(text: &str, default: AnnotationTarget) -> Result<Vec<Self>, PlanError> {
        let wrong = |why| PlanError::Annotation { text: text.to_owned(), why };
        let (name, value) = text.split_once('=').ok_or_else(|| wrong("there is no `=` between key and value"))?;
        let (targets, key) = name.split_once(':').unwrap_or((default.name(), name));
        if key.is_empty() {
            return Err(wrong("the key is empty"));
        }
        if key.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(wrong("the key holds white space or control characters"));
        }
        targets
            .split(',')
            .map(|target| {
                let (target, platform) = match target.split_once('[') {
                    Some((target, rest)) => {
                        let platform = rest.strip_suffix(']').ok_or_else(|| wrong("`[` is not closed"))?;
                        // BuildKit takes no dot there: it would not know the option for an annotation, and drop it.
                        let platform = Some(platform).filter(|platform| !platform.contains('.'));
                        let platform = platform.and_then(|platform| platform.parse().ok());
                        (target, Some(platform.ok_or_else(|| wrong("the platform in brackets is not one"))?))
                    }
                    None => (target, None),
                };
                let target = AnnotationTarget::parse(target).ok_or_else(|| {
                    wrong("the part before `:` is manifest, index, manifest-descriptor or index-descriptor")
                })?;
                Ok(Self { target, platform, key: key.to_owned(), value: value.to_owned() })
            })
            .collect()
    }
}

/// The ignore file of a Dockerfile's own, which counts instead of the context's where it is there.
#[must_use]
pub fn own_ignore_file(dockerfile: &Path) -> PathBuf {
    let mut path = dockerfile.to_owned().into_os_string();
    path.push(".dockerignore");
    path.into()
}

/// The build argument that tells BuildKit's frontend which cache mounts are meant (`frontend/dockerui/config.go`): those of one
/// name are the same, and no others.
pub const CACHE_MOUNT_NAMESPACE: &str = "BUILDKIT_CACHE_MOUNT_NS";

/// Names the cache mounts of one project: the same context and Dockerfile share them, and nothing else does.
#[must_use]
pub fn cache_namespace(context: &Path, dockerfile: &Path) -> String {
    let mut text = context.as_os_str().as_encoded_bytes().to_vec();
    text.push(0);
    text.extend_from_slice(dockerfile.as_os_str().as_encoded_bytes());
    format!("repro-{}", Digest::of(&text).short())
}

fn path_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_spelt_as_buildkit_spells_them() {
        for (text, expected) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v5", "linux/arm/v5"),
            ("linux/amd64/v3", "linux/amd64/v3"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), expected);
        }
        for text in ["", "linux", "linux/", "/amd64", "linux/amd64/v1/x", "linux/a b", "linux/amd64,linux/arm64"] {
            assert!(text.parse::<Platform>().is_err(), "`{text}` was accepted");
        }
    }

    /// Defect 16 of upstream.
    #[test]
    fn annotations_follow_the_syntax_of_buildx() {
        let parse = |text: &str| {
            Annotation::parse(text).map(|all| {
                all.into_iter()
                    .map(|a| (a.target.name(), a.platform.map(|p| p.to_string()), a.key, a.value))
                    .collect::<Vec<_>>()
            })
        };
        let one = |target, platform: Option<&str>, key: &str, value: &str| {
            vec![(target, platform.map(str::to_owned), key.to_owned(), value.to_owned())]
        };
        assert_eq!(parse("a=b").unwrap(), one("manifest", None, "a", "b"));
        assert_eq!(parse("a=b=c, \"d\"").unwrap(), one("manifest", None, "a", "b=c, \"d\""));
        assert_eq!(parse("index:a=").unwrap(), one("index", None, "a", ""));
        assert_eq!(
            parse("manifest-descriptor[linux/arm64]:a=b").unwrap(),
            one("manifest-descriptor", Some("linux/arm64"), "a", "b")
        );
        assert_eq!(parse("index,manifest:a=b").unwrap().len(), 2);
        for text in [
            "",
            "a",
            "=b",
            "index:=b",
            "layer:a=b",
            "index[linux/arm64:a=b",
            "index[x]:a=b",
            "manifest[linux/a.b]:a=b",
            "a b=c",
        ] {
            assert!(parse(text).is_err(), "`{text}` was accepted");
        }
    }
}
