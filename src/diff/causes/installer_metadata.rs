//! What an installer notes beside a package.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "installer-metadata", explain };

const PATHS: &[&str] = &[
    "**/*.dist-info/INSTALLER",
    "**/*.dist-info/REQUESTED",
    "**/*.dist-info/direct_url.json",
    "**/*.dist-info/uv_cache.json",
    "**/*.dist-info/uv_build.json",
    "**/node_modules/.modules.yaml",
    "**/node_modules/.yarn-state.yml",
    "**/node_modules/.yarn-integrity",
    "**/node_modules/.package-lock.json",
    "**/conda-meta/history",
    "**/conda-meta/*.json",
    "**/vendor/composer/installed.json",
    "**/vendor/composer/installed.php",
    "**/gem_make.out",
    "**/mkmf.log",
    "**/.cargo/.crates.toml",
    "**/.cargo/.crates2.json",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "The installer noted beside a package how, when or from where it was installed.";
    let fix = "uv: `ENV UV_NO_INSTALLER_METADATA=1`. pip: install from a fixed path, not from one that `mktemp` made. \
         Others: remove the file in the same RUN.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
