//! What reads the Dockerfile: the words of the user, and what becomes of them.

use clap::Args;

use crate::frontend::{AllowedFrontend, Frontend};

/// The arguments of a build that say what reads the Dockerfile.
#[derive(Debug, Clone, Default, Args)]
pub struct FrontendWords {
    /// What reads the Dockerfile, instead of what its `# syntax=` line names: an image by digest, or builtin
    ///
    /// builtin is BuildKit's own, which podman and buildkitd can be told to use.
    #[arg(long, value_name = "NAME:TAG@DIGEST", help_heading = "What is built")]
    pub frontend: Option<String>,

    /// A frontend that is trusted like docker/dockerfile: a mirror of it, say, or one of your own
    ///
    /// Others are refused on a BuildKit that a hostile frontend could get the better of. NAME stands for all its tags,
    /// NAME:TAG for this one, with a digest for nothing else; a digest alone for this image wherever it comes from.
    #[arg(long, value_name = "NAME[:TAG][@DIGEST]|DIGEST", help_heading = "What is built")]
    pub allow_frontend: Vec<String>,
}

/// What reads the Dockerfile, and what else may.
#[derive(Debug, Clone)]
pub struct FrontendSettings {
    /// What reads it.
    pub frontend: Frontend,
    /// What the user trusts.
    pub allowed: Vec<AllowedFrontend>,
}
