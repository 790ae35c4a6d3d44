//! Settings: flag, then environment, then default, resolved once, each value with the place it came from.

mod extra;
mod resolve;
mod words;

use std::fmt;
use std::path::PathBuf;

pub use self::resolve::{SettingsError, resolve};
pub use self::words::{ArchiveWord, BuildWords, MediaTypesWord, RuntimeName};

use crate::epoch::SourceDateEpoch;
use crate::pin::{Pin, PinError, Variant};
use crate::plan::{Annotation, ArchiveFormat, BuildPlan, MediaTypes, Platform, Secret, cache_namespace};

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(&'static str),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// Where the archive goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To stdout; the table goes to stderr then.
    Stdout,
    /// To a file, absolute.
    File(PathBuf),
}

/// The settings of a build, complete but for what depends on the runtime.
#[derive(Debug, Clone)]
pub struct BuildSettings {
    /// The runtime asked for, or `None` to take the first that works.
    pub runtime: Setting<Option<RuntimeName>>,
    /// The pin asked for, or `None` for the built-in one.
    pub pin: Setting<Option<Pin>>,
    /// Podman with the rootless image.
    pub rootless: Setting<bool>,
    /// Throw-away state.
    pub no_cache: Setting<bool>,
    /// The epoch.
    pub epoch: Setting<SourceDateEpoch>,
    /// The platforms.
    pub platforms: Setting<Vec<Platform>>,
    /// The archive's format.
    pub archive: Setting<ArchiveFormat>,
    /// The media types asked for.
    pub media_types: Option<MediaTypes>,
    /// Whether the BuildKit container shares the host's network.
    pub host_network: bool,
    /// The content of the buildkitd.toml.
    pub buildkitd_config: Option<Vec<u8>>,
    /// Further arguments for `buildctl build`.
    pub buildkit_args: Vec<String>,
    /// Further arguments for `docker buildx build`.
    pub buildx_args: Vec<String>,
    /// The context, absolute.
    pub context: PathBuf,
    /// The Dockerfile, absolute.
    pub dockerfile: PathBuf,
    /// Build arguments.
    pub build_args: std::collections::BTreeMap<String, String>,
    /// Labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Annotations.
    pub annotations: Vec<Annotation>,
    /// The stage.
    pub target: Option<String>,
    /// The secrets.
    pub secrets: Vec<Secret>,
    /// The names of the image.
    pub tags: Vec<String>,
    /// Where the archive goes.
    pub output: Setting<Output>,
    /// Where the metadata goes, absolute.
    pub metadata_file: Option<PathBuf>,
    /// What the user should know before the build.
    pub warnings: Vec<String>,
}

impl BuildSettings {
    /// The pin for a runtime that takes this variant when nobody names one.
    #[must_use]
    pub fn pin_for(&self, variant: Variant) -> Pin {
        self.pin.value.clone().unwrap_or_else(|| Pin::default_for(variant))
    }

    /// The plan of the build with this pin.
    pub fn plan(&self, pin: Pin) -> Result<BuildPlan, PinError> {
        let archive = self.archive.value;
        let media_types = match self.media_types {
            Some(media_types) => media_types,
            None => pin.default_media_types(archive)?,
        };
        Ok(BuildPlan {
            cache_namespace: cache_namespace(&self.context, &self.dockerfile),
            context: self.context.clone(),
            dockerfile: self.dockerfile.clone(),
            epoch: self.epoch.value,
            pin,
            platforms: self.platforms.value.clone(),
            build_args: self.build_args.clone(),
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            target: self.target.clone(),
            secrets: self.secrets.clone(),
            tags: self.tags.clone(),
            archive,
            media_types,
            no_cache: self.no_cache.value,
        })
    }

    /// One line a value that has more than one place to come from: its name, the value, the place.
    #[must_use]
    pub fn provenance(&self) -> Vec<String> {
        let or_auto =
            |runtime: Option<RuntimeName>| runtime.map_or("the first that works", RuntimeName::name).to_owned();
        let pin = self.pin.value.as_ref().map_or_else(|| "built in".to_owned(), |pin| pin.source.to_string());
        let platforms: Vec<String> = self.platforms.value.iter().map(ToString::to_string).collect();
        let output = match &self.output.value {
            Output::Stdout => "-".to_owned(),
            Output::File(path) => path.display().to_string(),
        };
        [
            ("runtime", or_auto(self.runtime.value), self.runtime.origin),
            ("buildkit-image", pin, self.pin.origin),
            ("rootless", self.rootless.value.to_string(), self.rootless.origin),
            ("no-cache", self.no_cache.value.to_string(), self.no_cache.origin),
            ("source-date-epoch", self.epoch.value.to_string(), self.epoch.origin),
            ("platform", platforms.join(","), self.platforms.origin),
            ("archive", self.archive.value.exporter().to_owned(), self.archive.origin),
            ("output", output, self.output.origin),
        ]
        .into_iter()
        .map(|(name, value, origin)| format!("{name} = {value} ({origin})"))
        .collect()
    }
}
