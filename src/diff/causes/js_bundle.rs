//! Identifiers that bundlers of JavaScript make up.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "js-bundle", explain };

const PATHS: &[&str] = &[
    "**/.next/BUILD_ID",
    "**/.next/build-manifest.json",
    "**/.next/prerender-manifest.json",
    "**/.next/required-server-files.json",
    "**/.next/routes-manifest.json",
    "**/.next/app-build-manifest.json",
    "**/.next/server/*-manifest.*",
    "**/.next/static/*/_buildManifest.js",
    "**/.next/static/*/_ssgManifest.js",
    "**/.next/trace",
    "**/.next/cache/**",
    "**/.nuxt/**",
    "**/.output/nitro.json",
    "**/.svelte-kit/**/version.json",
    "**/_app/version.json",
    "**/node_modules/.cache/**",
    "**/node_modules/.vite/**",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "A bundler of JavaScript made up an identifier for this build, or kept its cache.";
    let fix = "Give the build an identifier of your own: in Next.js `generateBuildId: () => process.env.REVISION`, in \
         SvelteKit `kit.version.name`; remove `.next/cache` and `node_modules/.cache`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
