//! The words of the user, as the command line takes them.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help, where brackets mean that a part may be left out"
)]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::FrontendWords;

/// Where BuildKit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RuntimeName {
    /// A buildx builder in the Docker daemon.
    Docker,
    /// A container of Podman.
    Podman,
    /// A child process of repro; no engine is needed.
    Buildkitd,
    /// A BuildKit that somebody else runs, at `--addr`.
    Remote,
}

impl RuntimeName {
    /// The name as it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Buildkitd => "buildkitd",
            Self::Remote => "remote",
        }
    }

    /// The runtime of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::Docker, Self::Podman, Self::Buildkitd, Self::Remote].into_iter().find(|known| known.name() == name)
    }

    /// Whether the client is buildx, not buildctl.
    #[must_use]
    pub const fn has_buildx(self) -> bool {
        matches!(self, Self::Docker | Self::Remote)
    }
}

/// The format of the archive, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArchiveWord {
    /// What `docker load` reads; one platform.
    Docker,
    /// OCI image layout in a tar; any number of platforms.
    Oci,
}

/// The family of media types, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MediaTypesWord {
    /// application/vnd.docker.*
    Docker,
    /// application/vnd.oci.*
    Oci,
}

/// Which modes the files of a context have for the build, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContextModesWord {
    /// Those that they have
    Keep,
    /// Those that git stores: 755 for directories and executables, else 644
    Git,
}

/// How layers are compressed, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompressionWord {
    /// gzip
    Gzip,
    /// gzip that can be read in pieces; needs OCI media types
    Estargz,
    /// Zstandard; needs OCI media types
    Zstd,
    /// Not at all
    Uncompressed,
}

/// How the builder shows what it does, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressWord {
    /// On a terminal as `tty`, else as `plain`
    Auto,
    /// Line by line
    Plain,
    /// Redrawn in place (not podman)
    Tty,
    /// One JSON object a line
    Rawjson,
}

/// The arguments of a build: each can also stand in repro.toml, under its long name.
#[derive(Debug, Clone, Default, Args)]
pub struct BuildWords {
    /// Where BuildKit runs [default: the first that works of docker, podman, buildkitd] [env: REPRO_RUNTIME]
    #[arg(long, value_enum, value_name = "RUNTIME", help_heading = "Where it is built")]
    pub runtime: Option<RuntimeName>,

    /// The BuildKit that somebody else runs.
    #[command(flatten)]
    pub remote: super::RemoteWords,

    /// The BuildKit image, by digest [default: moby/buildkit v0.19.0] [env: REPRO_BUILDKIT_IMAGE]
    ///
    /// NAME[:TAG]@DIGEST; for the runtime buildkitd also oci:DIR@DIGEST and oci-archive:FILE@DIGEST.
    #[arg(long, value_name = "NAME:TAG@DIGEST", help_heading = "Where it is built")]
    pub buildkit_image: Option<String>,

    /// Use BuildKit's rootless image with Podman [env: REPRO_ROOTLESS]
    #[arg(long, help_heading = "Where it is built")]
    pub rootless: bool,

    /// The network of the BuildKit container: bridge (the engine's default) or host
    #[arg(long, value_name = "NETWORK", value_parser = ["bridge", "host"], help_heading = "Where it is built")]
    pub builder_network: Option<String>,

    /// A buildkitd.toml for the pinned BuildKit (registry mirrors, plain http, certificates)
    #[arg(long, value_name = "FILE", help_heading = "Where it is built")]
    pub buildkitd_config: Option<PathBuf>,

    /// Further arguments for `buildctl build`, quoted as for a shell (podman and buildkitd only)
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, help_heading = "Where it is built")]
    pub buildkit_args: Option<String>,

    /// Further arguments for `docker buildx build`, quoted as for a shell (docker and remote only)
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, help_heading = "Where it is built")]
    pub buildx_args: Option<String>,

    /// Build on throw-away state: nothing cached is used and nothing is kept [env: REPRO_CACHE=0]
    #[arg(long, help_heading = "Where it is built")]
    pub no_cache: bool,

    /// Import a cache of an earlier build
    ///
    /// type=registry,ref=NAME | type=local,src=DIR | type=gha; without type a registry's reference. With --no-cache too. An empty one takes back those before it and those of repro.toml.
    #[arg(long, value_name = "CACHE", help_heading = "Where it is built")]
    pub cache_from: Vec<String>,

    /// Export the cache of this build
    ///
    /// type=registry,ref=NAME | type=local,dest=DIR | type=gha, each with mode=min or mode=max.
    #[arg(long, value_name = "CACHE", help_heading = "Where it is built")]
    pub cache_to: Vec<String>,

    /// Ask the registry for base images again, whatever the builder has
    #[arg(long, help_heading = "Where it is built")]
    pub pull: bool,

    /// The epoch in seconds since 1970, or `git`: the time of the context's commit [env: REPRO_SOURCE_DATE_EPOCH, SOURCE_DATE_EPOCH]
    #[arg(
        long,
        visible_alias = "sde",
        value_name = "SECONDS|git",
        allow_hyphen_values = true,
        help_heading = "What is built"
    )]
    pub source_date_epoch: Option<String>,

    /// The epoch as a date: RFC 3339 or ISO 8601, UTC where no zone is given [env: REPRO_DATETIME]
    #[arg(long, value_name = "DATE", help_heading = "What is built")]
    pub datetime: Option<String>,

    /// The Dockerfile [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "FILE", help_heading = "What is built")]
    pub file: Option<PathBuf>,

    /// The modes of the context's files: as they are, or as git stores them, whatever the umask of the checkout was [default: keep]
    #[arg(long, value_enum, value_name = "MODES", help_heading = "What is built")]
    pub context_modes: Option<ContextModesWord>,

    /// A build argument; without `=` its value is taken from the environment
    #[arg(long, value_name = "NAME[=VALUE]", help_heading = "What is built")]
    pub build_arg: Vec<String>,

    /// What reads the Dockerfile
    #[command(flatten)]
    pub frontend: FrontendWords,

    /// A label of the image
    #[arg(long, value_name = "KEY=VALUE", help_heading = "What is built")]
    pub label: Vec<String>,

    /// An annotation of the image's manifest, or of what is named before a colon
    ///
    /// [manifest|index|manifest-descriptor|index-descriptor[[PLATFORM]]:]KEY=VALUE
    #[arg(long, value_name = "[TARGET:]KEY=VALUE", help_heading = "What is built")]
    pub annotation: Vec<String>,

    /// The platforms, with commas between them [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[,…]", help_heading = "What is built")]
    pub platform: Option<String>,

    /// The stage to build [default: the last]
    #[arg(long, value_name = "STAGE", help_heading = "What is built")]
    pub target: Option<String>,

    /// A secret that RUN may mount: a file or a variable of the environment
    #[arg(long, value_name = "id=ID[,src=FILE|,env=NAME]", help_heading = "What is built")]
    pub secret: Vec<String>,

    /// An SSH agent or keys that RUN may use; without `=` the agent of SSH_AUTH_SOCK
    #[arg(long, value_name = "ID[=SOCKET|KEY[,KEY…]]", help_heading = "What is built")]
    pub ssh: Vec<String>,

    /// What a name in FROM and COPY --from means
    ///
    /// A directory, docker-image://NAME@DIGEST, or oci-layout://DIR@DIGEST. The name is that of an image, such as `base` or `debian:12`.
    #[arg(long, value_name = "NAME=SOURCE", help_heading = "What is built")]
    pub build_context: Vec<String>,

    /// How the world is reached.
    #[command(flatten)]
    pub network: super::NetworkWords,

    /// The archive to write, or - for stdout [default: ./image.tar]
    #[arg(short, long, value_name = "FILE", help_heading = "What comes out")]
    pub output: Option<PathBuf>,

    /// A name of the image inside the archive
    #[arg(short, long, value_name = "NAME[:TAG]", help_heading = "What comes out")]
    pub tag: Vec<String>,

    /// The format of the archive [default: docker, or oci for several platforms]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "What comes out")]
    pub archive: Option<ArchiveWord>,

    /// The media types of manifests and layers [default: what the pinned BuildKit itself would use]
    #[arg(long, value_enum, value_name = "FAMILY", help_heading = "What comes out")]
    pub media_types: Option<MediaTypesWord>,

    /// How the layers are compressed that this build makes [default: gzip]
    #[arg(long, value_enum, value_name = "TYPE", help_heading = "What comes out")]
    pub compression: Option<CompressionWord>,

    /// The level of that: 0 to 9 for gzip and estargz, 0 to 22 for zstd [default: the library's]
    #[arg(long, value_name = "LEVEL", help_heading = "What comes out")]
    pub compression_level: Option<u8>,

    /// Compress the layers of the base that way too
    #[arg(long, help_heading = "What comes out")]
    pub force_compression: bool,

    /// Leave the times of files as they are: another build gives another digest
    #[arg(long, help_heading = "What comes out")]
    pub no_rewrite_timestamp: bool,

    /// How the builder's progress is shown, on stderr [default: auto]
    #[arg(long, value_enum, value_name = "FORM", help_heading = "What comes out")]
    pub progress: Option<ProgressWord>,

    /// Show no progress unless the build fails, and print nothing but the digest
    #[arg(short, long, help_heading = "What comes out")]
    pub quiet: bool,

    /// Write what was built, with every digest, as JSON
    #[arg(long, value_name = "FILE", help_heading = "What comes out")]
    pub metadata_file: Option<PathBuf>,

    /// The directory that is built
    #[arg(value_name = "CONTEXT")]
    pub context: OsString,
}
