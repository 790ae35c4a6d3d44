//! Settings: flag, then environment, then `repro.toml`, then default, resolved once, each value with the place it came from.

mod file;
mod frontend;
mod network;
mod remote;
mod resolve;
mod schema;
mod sources;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};

pub use self::file::{FILE_NAME, FileError, LARGEST_FILE, RecipeText, flags_of_table, read_line, toml_fault};
pub use self::frontend::{FrontendSettings, FrontendWords};
pub use self::network::{NetworkSettings, NetworkWords, RouteWords, RunNetworkWord};
pub use self::remote::RemoteWords;
pub use self::resolve::{ConfigChoice, SettingsError, parse_switch, resolve, resolve_for_image};
pub use self::schema::json_schema;
pub use self::sources::ImageWords;
pub use self::words::{
    ArchiveWord, BuildWords, CompressionWord, ContextModesWord, MediaTypesWord, ProgressWord, RuntimeName,
};

use crate::epoch::SourceDateEpoch;
use crate::pin::{Pin, Variant};
use crate::plan::{
    Annotation, ArchiveFormat, BuildPlan, CACHE_MOUNT_NAMESPACE, Cache, CacheKind, Compression, ContextModes,
    GHA_VARIABLES, MediaTypes, NamedContext, PlanError, Platform, Secret, Ssh, cache_namespace,
};
use crate::remote::Remote;

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(&'static str),
    /// The key of `repro.toml` that is named like this flag.
    Key(&'static str),
    /// The same key of the recipe that stands for it.
    Recipe(&'static str),
    /// The image that is to be built again, by this part of it.
    Image(&'static str),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => f.write_str(name),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Key(name) => write!(f, "`{}` in {FILE_NAME}", name.trim_start_matches('-')),
            Self::Recipe(name) => write!(f, "`{}` in --recipe", name.trim_start_matches('-')),
            Self::Image(whence) => write!(f, "the image: {whence}"),
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

/// A value that somebody gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The flag without its dashes.
    pub name: String,
    /// Its value; of build arguments, labels and contexts the name.
    pub value: String,
    /// Who said it.
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
    /// The BuildKit that somebody else runs, with the runtime `remote`.
    pub remote: Option<Remote>,
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
    /// Whether the BuildKit container shares the host's network, where anybody said.
    pub host_network: Option<bool>,
    /// How the world is reached.
    pub network: NetworkSettings,
    /// The content of the buildkitd.toml.
    pub buildkitd_config: Option<Vec<u8>>,
    /// Further arguments for `buildctl build`.
    pub buildkit_args: Vec<String>,
    /// Further arguments for `docker buildx build`.
    pub buildx_args: Vec<String>,
    /// The context, absolute.
    pub context: PathBuf,
    /// The context and the Dockerfile of the project whose cache mounts RUN sees, where those are another's.
    pub cache_mounts_of: Option<(PathBuf, PathBuf)>,
    /// Which modes its files have for the build.
    pub context_modes: ContextModes,
    /// The Dockerfile, absolute.
    pub dockerfile: PathBuf,
    /// What stood in the Dockerfile when the settings were resolved.
    pub dockerfile_bytes: Vec<u8>,
    /// What reads the Dockerfile, and what else may.
    pub frontend: FrontendSettings,
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
    /// SSH agents and keys.
    pub ssh: Vec<Ssh>,
    /// Named contexts.
    pub build_contexts: std::collections::BTreeMap<String, NamedContext>,
    /// Ask registries for base images again.
    pub pull: bool,
    /// Caches to import.
    pub cache_from: Vec<Cache>,
    /// Caches to export.
    pub cache_to: Vec<Cache>,
    /// How layers are compressed.
    pub compression: Compression,
    /// Whether times are rewritten to the epoch.
    pub rewrite_timestamp: bool,
    /// How the builder shows its progress.
    pub progress: ProgressWord,
    /// Show nothing but the digest.
    pub quiet: bool,
    /// The names of the image.
    pub tags: Vec<String>,
    /// Where the archive goes.
    pub output: Setting<Output>,
    /// Where the metadata goes, absolute.
    pub metadata_file: Option<PathBuf>,
    /// What the user should know before the build.
    pub warnings: Vec<String>,
    /// One line a value: its name, the value, where it came from. Values that may be secret are left out.
    pub provenance: Vec<String>,
    /// The values that are not defaults, as far as they are no settings with an origin of their own. Values that may be secret
    /// are left out.
    pub given: Vec<Given>,
    /// What only an image says that is to be built again: the flag without its dashes, the value, what of the image says it.
    pub from_image: Vec<(String, String, &'static str)>,
    /// Whether registries are asked without the user's credentials, as behoves a Dockerfile of somebody else.
    pub anonymous: bool,
    /// Whether a BuildKit may build that is known not to repeat itself. For whoever looks for the one that changed something.
    pub any_buildkit: bool,
}

impl BuildSettings {
    /// The pin for a runtime that takes this variant when nobody names one.
    #[must_use]
    pub fn pin_for(&self, variant: Variant) -> Pin {
        match (&self.pin.value, self.pin.origin) {
            (None, _) => Pin::default_for(variant),
            // An image tells a release, not which of its two images.
            (Some(pin), Origin::Image(_)) => pin.of_variant(variant),
            (Some(pin), _) => pin.clone(),
        }
    }

    /// These settings where `other` is built: with the same BuildKit, reached in the same way, and as quiet. What makes the image
    /// stays.
    #[must_use]
    pub fn on_machine_of(self, other: &Self) -> Self {
        Self {
            runtime: other.runtime.clone(),
            remote: other.remote.clone(),
            pin: other.pin.clone(),
            rootless: other.rootless.clone(),
            no_cache: other.no_cache.clone(),
            host_network: other.host_network,
            network: other.network.clone(),
            buildkitd_config: other.buildkitd_config.clone(),
            progress: other.progress,
            anonymous: other.anonymous,
            any_buildkit: other.any_buildkit,
            ..self
        }
    }

    /// These settings with the cache mounts of `other`: whatever names those to BuildKit names them here, too.
    #[must_use]
    pub fn with_cache_mounts_of(mut self, other: &Self) -> Self {
        if let Some(named) = other.build_args.get(CACHE_MOUNT_NAMESPACE) {
            self.build_args.insert(CACHE_MOUNT_NAMESPACE.to_owned(), named.clone());
        }
        let own = || (other.context.clone(), other.dockerfile.clone());
        self.cache_mounts_of = Some(other.cache_mounts_of.clone().unwrap_or_else(own));
        self
    }

    /// The directories that the build reads, the context first.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        NamedContext::directories(&self.context, &self.build_contexts)
    }

    /// The files that the build reads besides what lies in its directories.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let secrets = self.secrets.iter().filter_map(Secret::file);
        secrets.chain(self.ssh.iter().flat_map(Ssh::paths).map(PathBuf::as_path))
    }

    /// The plan of the build with this pin.
    pub fn plan(&self, pin: Pin) -> Result<BuildPlan, SettingsError> {
        let archive = self.archive.value;
        let pinned = |source| SettingsError::Pin { origin: self.pin.origin, source };
        let media_types = match self.media_types {
            Some(media_types) => media_types,
            // Docker's media types have no name for it, and a BuildKit before v0.31 would silently take the others.
            None if !self.compression.algorithm.has_docker_type() => MediaTypes::Oci,
            None => pin.default_media_types(archive).map_err(pinned)?,
        };
        if media_types == MediaTypes::Docker && !self.compression.algorithm.has_docker_type() {
            return Err(SettingsError::NoMediaType(self.compression.algorithm.name()));
        }
        let (context, dockerfile) = match &self.cache_mounts_of {
            Some((context, dockerfile)) => (context, dockerfile),
            None => (&self.context, &self.dockerfile),
        };
        Ok(BuildPlan {
            cache_namespace: cache_namespace(context, dockerfile),
            context: self.context.clone(),
            context_modes: self.context_modes,
            dockerfile: self.dockerfile.clone(),
            frontend: self.frontend.frontend.clone(),
            epoch: self.epoch.value,
            pin,
            platforms: self.platforms.value.clone(),
            build_args: self.build_args.clone(),
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            target: self.target.clone(),
            secrets: self.secrets.clone(),
            ssh: self.ssh.clone(),
            build_contexts: self.build_contexts.clone(),
            pull: self.pull,
            cache_from: self.cache_from.clone(),
            cache_to: self.cache_to.clone(),
            runner_variables: Vec::new(),
            tags: self.tags.clone(),
            archive,
            media_types,
            compression: self.compression,
            rewrite_timestamp: self.rewrite_timestamp,
            no_cache: self.no_cache.value,
            network: self.network.run,
            hosts: self.network.hosts.clone(),
        })
    }

    /// Refuses caches that cannot work with this plan's BuildKit here, and finds the variables that they need.
    pub fn prepare_caches(plan: &mut BuildPlan, is_set: impl Fn(&str) -> bool) -> Result<(), PlanError> {
        let caches = || plan.cache_from.iter().chain(&plan.cache_to);
        caches().try_for_each(|cache| cache.check(plan.pin.version, &is_set))?;
        if caches().any(|cache| cache.kind == CacheKind::Gha) {
            plan.runner_variables = GHA_VARIABLES.into_iter().filter(|name| is_set(name)).collect();
        }
        Ok(())
    }

    /// One line a value: its name, the value, the place that it came from.
    #[must_use]
    pub fn all_provenance(&self) -> Vec<String> {
        let or_auto =
            |runtime: Option<RuntimeName>| runtime.map_or("the first that works", RuntimeName::name).to_owned();
        let pin = self.pin.value.as_ref().map_or_else(|| "built in".to_owned(), |pin| pin.source.to_string());
        let platforms: Vec<String> = self.platforms.value.iter().map(ToString::to_string).collect();
        let output = match &self.output.value {
            Output::Stdout => "-".to_owned(),
            Output::File(path) => path.display().to_string(),
        };
        let common = [
            ("runtime", or_auto(self.runtime.value), self.runtime.origin),
            ("buildkit-image", pin, self.pin.origin),
            ("rootless", self.rootless.value.to_string(), self.rootless.origin),
            ("no-cache", self.no_cache.value.to_string(), self.no_cache.origin),
            ("source-date-epoch", self.epoch.value.to_string(), self.epoch.origin),
            ("platform", platforms.join(","), self.platforms.origin),
            ("archive", self.archive.value.exporter().to_owned(), self.archive.origin),
            ("output", output, self.output.origin),
        ];
        let common = common.into_iter().map(|(name, value, origin)| format!("{name} = {value} ({origin})"));
        common.chain(self.provenance.iter().cloned()).collect()
    }
}
