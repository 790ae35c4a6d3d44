//! Caches of package managers.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "package-manager-cache", explain };

const PATHS: &[&str] = &[
    "**/.cache/pip/**",
    "**/.cache/uv/**",
    "**/.cache/pypoetry/**",
    "**/.cache/pipenv/**",
    "**/.npm",
    "**/.npm/**",
    "**/_cacache/**",
    "**/.cache/yarn/**",
    "usr/local/share/.cache/yarn/**",
    "**/.yarn/berry/cache/**",
    "**/.cache/pnpm/**",
    "**/.local/share/pnpm/store/**",
    "**/.cache/node-gyp/**",
    "**/.cache/node/**",
    "**/.cargo/registry/**",
    "**/.cargo/git/**",
    "usr/local/cargo/registry/**",
    "usr/local/cargo/git/**",
    "**/.cargo/.package-cache*",
    "**/.cargo/.global-cache*",
    "usr/local/cargo/.package-cache*",
    "usr/local/cargo/.global-cache*",
    "**/.cache/go-build/**",
    "**/go/pkg/mod/cache/**",
    "go/pkg/sumdb/**",
    "**/.m2/repository/**/_remote.repositories",
    "**/.m2/repository/**/*.lastUpdated",
    "**/.m2/repository/**/resolver-status.properties",
    "**/.m2/repository/**/maven-metadata-*",
    "**/.gradle/caches/**",
    "**/.gradle/daemon/**",
    "**/.gradle/native/**",
    "**/.gradle/notifications/**",
    "**/.ivy2/cache/**",
    "**/.sbt/**",
    "**/.cache/coursier/**",
    "**/.cache/composer/**",
    "**/.composer/cache/**",
    "**/.bundle/cache/**",
    "**/.local/share/gem/specs/**",
    "**/.gem/specs/**",
    "**/.nuget/packages/**/.nupkg.metadata",
    "**/.local/share/NuGet/**",
    "**/.cache/bazel/**",
    "**/.ccache/**",
    "**/.cache/ccache/**",
    "**/.cache/sccache/**",
    "opt/conda/pkgs/**",
    "**/.conda/pkgs/**",
    "**/.cache/conda/**",
    "**/.cache/pre-commit/**",
    "**/.cache/ms-playwright/**",
    "**/.stack/**",
    "**/.cabal/packages/**",
    "**/.hex/cache.ets",
    "**/.cache/**",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "The cache of a package manager is in the image: it holds when things were fetched.";
    let fix = "Give the cache a mount, so that it stays out of the image: `RUN --mount=type=cache,target=/root/.cache …` \
         (or `--no-cache-dir`, `npm ci --cache /tmp/npm && rm -rf /tmp/npm`, `cargo fetch` under a cache mount).";
    Some(Claim::new(confidence, explanation).fix(fix))
}
