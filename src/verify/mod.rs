//! Is a published image what its source gives: what it says of its own build is read, the source is built again under
//! conditions that a stranger's Dockerfile may be built under, and the digests are compared level by level.
//!
//! | file | what |
//! |---|---|
//! | `recipe.rs` | what the image says of its build, as words of a command line |
//! | `arguments.rs` | build arguments, target and what else a build was asked for |
//! | `provenance.rs` | BuildKit's statements |
//! | `source.rs`, `checkout.rs` | where the source is, and how it is fetched |
//! | `inputs.rs` | what was read for it, and who chose that |
//! | `level.rs` | which level is equal |
//! | `emulated.rs` | whether an emulator had a hand in it |
//! | `assumed.rs` | what nobody said and a difference may come of |
//! | `summary.rs` | the verdict as an in-toto statement for others to sign |
//!
//! Nothing here talks to a registry: who asks brings the published [`Image`] and the rebuilt one.

mod arguments;
mod assumed;
mod checkout;
mod emulated;
mod inputs;
mod level;
mod provenance;
mod recipe;
mod source;
mod summary;

use std::path::Path;

use serde::Serialize;

pub use self::assumed::{assumed, choose_arguments};
pub use self::checkout::{Checkout, CheckoutError, check_out, path_in};
pub use self::emulated::is_emulated;
pub use self::inputs::{chosen_images, moved};
pub use self::level::{
    Compared, ComparedIndex, ComparedPlatform, Digests, IndexVerdict, Level, PlatformVerdict, compare, top_index,
};
pub use self::provenance::BuildRecord;
pub use self::recipe::{Missing, Recipe, read};
pub use self::source::{GitRef, GitSource, SourceError, is_below};
pub use self::summary::{Summary, SummarySource, render_summary};

use crate::digest::Digest;
use crate::failure::{Diagnose, ExitStatus};
use crate::image::Image;
use crate::settings::{BuildSettings, BuildWords, Origin, Output, Setting};

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// What is published is what was rebuilt.
    Equal,
    /// It is not.
    Different,
    /// It could not be told.
    Unknown,
    /// What is published is broken.
    Corrupt,
}

impl Verdict {
    /// The name, as JSON has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::Unknown => "unknown",
            Self::Corrupt => "corrupt",
        }
    }
}

/// Why it could not be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The subject could not be read.
    Subject,
    /// Something has to be known that neither the image nor the user says.
    Missing,
    /// The source could not be had.
    Source,
    /// The settings do not go together.
    Settings,
    /// The build failed, or did not happen.
    Build,
    /// It differs, and RUN was emulated.
    Emulated,
    /// It differs, and something was assumed that nobody said.
    Assumed,
    /// Not all that is published was rebuilt.
    NotRebuilt,
    /// What was built or found cannot be compared or written.
    Comparison,
}

/// Why nothing is built.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A flag of `build` that means nothing here.
    #[error("{flag} has no meaning here: {why}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// Somebody else's BuildKit proves nothing.
    #[error(
        "the BuildKit that somebody else runs says its version and proves nothing: it could hand back the very image that is \
         published"
    )]
    UnprovedPin,
    /// What is missing.
    #[error("the image does not say enough to build it again:\n{}", list(.0))]
    Missing(Vec<Missing>),
}

fn list(missing: &[Missing]) -> String {
    let lines = missing.iter().map(|one| format!("{}: {}; give {}", one.what, one.why, one.fix));
    lines.collect::<Vec<_>>().join("\n")
}

impl Diagnose for VerifyError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Flag { .. } => ExitStatus::Usage,
            Self::UnprovedPin | Self::Missing(_) => ExitStatus::Unknown,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Flag { flag, .. } => format!("leave {flag} out, or use `repro build`"),
            Self::UnprovedPin => {
                "`--accept-unproved-pin` says that you trust whoever runs it; or build with `--runtime docker`, `podman` or \
                 `buildkitd`"
                    .to_owned()
            }
            Self::Missing(_) => {
                "whoever published it can say so in the image, or in a `repro.toml` beside the Dockerfile: docs/verify.md".to_owned()
            }
        })
    }
}

/// Under which conditions is built.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conditions {
    /// What the builder has kept may be used.
    pub cache: bool,
    /// Registries are asked with the user's credentials.
    pub credentials: bool,
    /// A BuildKit that proves nothing is believed.
    pub accept_unproved_pin: bool,
}

/// Makes of settings those of a rebuild: cold, anonymous, and into `archive` where the user names no other place. `flags` are
/// what the user said; a file that came with the source says neither where results go nor what is imported instead of built.
pub fn prepare(
    settings: &mut BuildSettings,
    flags: &BuildWords,
    conditions: Conditions,
    archive: &Path,
) -> Result<(), VerifyError> {
    let to_stdout = matches!((&settings.output.value, settings.output.origin), (Output::Stdout, Origin::Flag(_)));
    let refusals = [
        (to_stdout, "--output -", "stdout is for the verdict"),
        (!flags.cache_to.is_empty(), "--cache-to", "what is verified is not yet known to be right"),
        (
            !flags.cache_from.is_empty() && !conditions.cache,
            "--cache-from",
            "what is imported is not built; `--cache` allows it",
        ),
    ];
    if let Some((_, flag, why)) = refusals.into_iter().find(|(given, ..)| *given) {
        return Err(VerifyError::Flag { flag, why });
    }
    if settings.remote.is_some() && !conditions.accept_unproved_pin {
        return Err(VerifyError::UnprovedPin);
    }
    if !matches!(settings.output.origin, Origin::Flag(_)) {
        settings.output = Setting { value: Output::File(archive.to_owned()), origin: Origin::Default };
    }
    if flags.metadata_file.is_none() {
        settings.metadata_file = None;
    }
    settings.cache_to.clear();
    if flags.cache_from.is_empty() {
        settings.cache_from.clear();
    }
    // On a BuildKit that others share there is no throw-away state.
    if !conditions.cache && settings.remote.is_none() {
        settings.no_cache = Setting { value: true, origin: Origin::Default };
    }
    settings.anonymous = !conditions.credentials;
    Ok(())
}

/// What a comparison comes to.
#[must_use]
pub fn judge(compared: &Compared, published: &Image) -> (Verdict, Option<Reason>, Option<Level>) {
    let platforms: Vec<&ComparedPlatform> = compared.platforms.iter().filter(|one| one.asked).collect();
    let lowest = platforms.iter().map(|one| one.level).min().flatten();
    let has = |verdict: PlatformVerdict| platforms.iter().any(|one| one.verdict == verdict);
    if has(PlatformVerdict::Different) {
        return (Verdict::Different, None, lowest);
    }
    if has(PlatformVerdict::Emulated) {
        return (Verdict::Unknown, Some(Reason::Emulated), lowest);
    }
    if has(PlatformVerdict::NotRebuilt) || platforms.is_empty() {
        return (Verdict::Unknown, Some(Reason::NotRebuilt), None);
    }
    let is_image = if let Some(index) = &compared.index {
        index.verdict == IndexVerdict::Equal
    } else {
        let top = published.digest();
        top.is_some() && platforms.iter().all(|one| one.published.manifest.as_ref() == top)
    };
    (Verdict::Equal, None, if is_image { Some(Level::Image) } else { lowest })
}

/// Where in a rebuilt image a digest stands of which nothing else is known.
#[must_use]
pub fn find(rebuilt: &Image, digest: &Digest) -> Option<(Level, Option<String>)> {
    if rebuilt.digest() == Some(digest) {
        return Some((Level::Image, None));
    }
    for manifest in &rebuilt.manifests {
        let platform = || Some(manifest.config.platform.to_string());
        if manifest.document.digest == *digest {
            return Some((Level::Manifest, platform()));
        }
        if manifest.config.document.digest == *digest {
            return Some((Level::Config, platform()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(name: &str, verdict: PlatformVerdict, level: Option<Level>) -> ComparedPlatform {
        let published = Digests { manifest: None, config: None };
        ComparedPlatform { platform: name.to_owned(), asked: true, verdict, level, published, rebuilt: None }
    }

    fn image() -> Image {
        let path = Path::new("fuzz/corpus/archive/docker-v0.19.tar");
        crate::image::load_image(path, &crate::image::ReadOptions::default()).unwrap()
    }

    #[test]
    fn nothing_is_equal_that_was_not_rebuilt() {
        use PlatformVerdict::{Different, Emulated, Equal, NotRebuilt};
        let judged = |platforms: Vec<ComparedPlatform>| judge(&Compared { platforms, index: None }, &image());
        let a = || platform("linux/amd64", Equal, Some(Level::Manifest));
        let other = |verdict, level| platform("linux/arm64", verdict, level);
        let not_asked = |one: ComparedPlatform| ComparedPlatform { asked: false, ..one };
        assert_eq!(judged(vec![a()]), (Verdict::Equal, None, Some(Level::Manifest)));
        assert_eq!(judged(vec![a(), other(Different, None)]).0, Verdict::Different);
        assert_eq!(judged(vec![a(), other(Emulated, None)]).1, Some(Reason::Emulated));
        assert_eq!(judged(vec![a(), other(NotRebuilt, None)]).1, Some(Reason::NotRebuilt));
        assert_eq!(judged(vec![a(), not_asked(other(NotRebuilt, None))]).0, Verdict::Equal);
        assert_eq!(judged(vec![not_asked(a()), other(NotRebuilt, None)]).0, Verdict::Unknown);
        assert_eq!(judged(vec![other(Different, None), other(Emulated, None)]).0, Verdict::Different);
        assert_eq!(judged(Vec::new()).0, Verdict::Unknown);
    }
}
