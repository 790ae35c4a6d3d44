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
    let fix = format!(
        "Give the cache a mount in each RUN that uses it, so that it stays out of the image: `RUN --mount=type=cache,target=/{} …` \
         (pip has `--no-cache-dir`, too).",
        directory(place.path())
    );
    Some(Claim::new(confidence, explanation).fix(&fix))
}

/// The directory of a cache, as far as its name tells: that of all package managers, else.
fn directory(path: &[u8]) -> String {
    /// Directories that hold nothing but a cache, and those whose directories do.
    const CACHES: [&str; 8] = [".npm", ".m2", ".gradle", ".ivy2", ".sbt", ".ccache", ".stack", "_cacache"];
    const OF_CACHES: [&str; 3] = [".cache", ".cargo", "cargo"];
    let path = String::from_utf8_lossy(path);
    let names: Vec<&str> = path.split('/').collect();
    let above = |is_one: fn(&str) -> bool| names[..names.len() - 1].iter().position(|name| is_one(name));
    let end = above(|name| CACHES.contains(&name)).or_else(|| {
        let at = above(|name| OF_CACHES.contains(&name))?;
        (at + 2 < names.len()).then_some(at + 1)
    });
    end.map_or_else(|| "root/.cache".to_owned(), |end| names[..=end].join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_for_the_cache_that_differs() {
        for (path, expected) in [
            ("root/.npm/_cacache/index-v5/18/27/b2", "root/.npm"),
            ("home/app/.m2/repository/a/b/_remote.repositories", "home/app/.m2"),
            ("root/.cache/pip/http-v2/a", "root/.cache/pip"),
            ("usr/local/cargo/registry/index/x", "usr/local/cargo/registry"),
            ("root/.cache/x", "root/.cache"),
            ("root/.npm", "root/.cache"),
        ] {
            assert_eq!(directory(path.as_bytes()), expected, "{path}");
        }
    }
}
