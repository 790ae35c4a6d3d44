//! Which runtime builds, and which flags it has no meaning for.

use super::error::BuildError;
use crate::environment::Environment;
use crate::frontend::Override;
use crate::reference::ImageSource;
use crate::runtime::detect::{Runtime, detect};
use crate::runtime::interrupt::Interrupt;
use crate::settings::{BuildSettings, ProgressWord, RuntimeName};

/// The runtime asked for, or the first that works; flags that it has no meaning for are refused.
pub async fn choose_runtime(
    settings: &BuildSettings,
    environment: &Environment,
    interrupt: &Interrupt,
) -> Result<Runtime, BuildError> {
    // What is only for one runtime asks for it.
    let asked = settings.runtime.value.or(settings.rootless.value.then_some(RuntimeName::Podman));
    let runtime = detect(asked, environment, interrupt).await?;
    let name = runtime.name();
    let refuse = |flag, why| Err(BuildError::NotHere { flag, runtime: name.name(), why });
    if settings.rootless.value && name != RuntimeName::Podman {
        return refuse("--rootless", "it says which image Podman runs");
    }
    if !settings.buildkit_args.is_empty() && name.has_buildx() {
        return refuse("--buildkit-args", "the client there is buildx, and --buildx-args are for it");
    }
    if !settings.buildx_args.is_empty() && !name.has_buildx() {
        return refuse("--buildx-args", "the client there is buildctl, and --buildkit-args are for it");
    }
    if settings.progress == ProgressWord::Tty && name == RuntimeName::Podman {
        return refuse("--progress tty", "the archive leaves the container where a terminal would be");
    }
    if name.has_buildx() && settings.frontend.frontend.to_override() == Override::Builtin {
        return refuse("--frontend builtin", "buildx has no word for it, and the Dockerfile names another");
    }
    if let (Some((flag, why)), RuntimeName::Remote) = (not_ours(settings), name) {
        return refuse(flag, why);
    }
    Ok(runtime)
}

/// What cannot be said to a BuildKit that somebody else runs.
fn not_ours(settings: &BuildSettings) -> Option<(&'static str, &'static str)> {
    let refusals = [
        (
            settings.no_cache.value,
            "--no-cache",
            "there is no throw-away state on a BuildKit that others share, and its own way to build without a cache empties \
             their cache mounts and still uses what it has of contexts",
        ),
        (settings.host_network.is_some(), "--builder-network", "whoever runs that BuildKit gave it its network"),
        (
            settings.buildkitd_config.is_some(),
            "--buildkitd-config",
            "whoever runs that BuildKit gave it its configuration",
        ),
    ];
    refusals.into_iter().find_map(|(given, flag, why)| given.then_some((flag, why)))
}

/// The word for the client. Podman's container has no terminal, whatever repro has.
pub const fn progress(settings: &BuildSettings, runtime: RuntimeName) -> &'static str {
    match (settings.quiet, settings.progress) {
        (true, _) | (_, ProgressWord::Plain) => "plain",
        (_, ProgressWord::Auto) if matches!(runtime, RuntimeName::Podman) => "plain",
        (_, ProgressWord::Auto) => "auto",
        (_, ProgressWord::Tty) => "tty",
        (_, ProgressWord::Rawjson) => "rawjson",
    }
}

/// The image as engines pull it: by digest alone, because some refuse a tag beside it.
pub fn engine_image(source: &ImageSource, runtime: RuntimeName) -> Result<String, BuildError> {
    match source {
        ImageSource::Registry(reference) => {
            let digest = reference.digest().map(ToString::to_string).unwrap_or_default();
            Ok(format!("{}@{digest}", reference.name()))
        }
        // It is not pulled here: it only says which version is wanted.
        _ if matches!(runtime, RuntimeName::Buildkitd | RuntimeName::Remote) => Ok(source.to_string()),
        _ => Err(BuildError::NotHere {
            flag: "--buildkit-image of an OCI layout",
            runtime: runtime.name(),
            why: "engines pull from registries",
        }),
    }
}
