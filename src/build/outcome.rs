//! What a build made.

use std::path::PathBuf;

use serde::Serialize;

use crate::digest::Digest;
use crate::epoch::SourceDateEpoch;
use crate::frontend::FrontendOrigin;
use crate::pin::Version;
use crate::plan::{ArchiveFormat, BuildPlan};
use crate::provenance::Material;

/// What a build made, and from what; the content of `--metadata-file`.
#[derive(Debug, Serialize)]
pub struct BuildOutcome {
    /// The version of this form.
    pub schema: &'static str,
    /// The digest that a registry shows: of the manifest, or of the index where there are several platforms.
    pub image_digest: Digest,
    /// The images, one a platform.
    pub manifests: Vec<BuiltManifest>,
    /// The epoch.
    pub epoch: SourceDateEpoch,
    /// The archive's format.
    pub archive_format: ArchiveFormat,
    /// Where the archive is; nothing where it went to stdout.
    pub archive: Option<PathBuf>,
    /// The size of the archive in bytes.
    pub archive_bytes: u64,
    /// What built it.
    pub built_with: BuiltWith,
    /// What read the Dockerfile.
    pub frontend: BuiltFrontend,
    /// What BuildKit says it was built from.
    pub materials: Vec<Material>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// The whole plan.
    pub plan: BuildPlan,
}

/// One image of a build.
#[derive(Debug, Serialize)]
pub struct BuiltManifest {
    /// Its platform.
    pub platform: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The digest of its config, which engines call the image ID.
    pub config_digest: Digest,
    /// How many layers it has.
    pub layers: usize,
    /// How many of them are the base image's.
    pub base_layers: usize,
    /// The size of its layers in bytes, as a registry stores them.
    pub layer_bytes: u64,
}

/// What built an image.
#[derive(Debug, Serialize)]
pub struct BuiltWith {
    /// Where BuildKit ran.
    pub runtime: &'static str,
    /// Where it is, if somebody else runs it.
    pub address: Option<String>,
    /// Whether RUN happened in a user namespace, where that is known.
    pub rootless: Option<bool>,
    /// Whether it is proved that this was the pin.
    pub pin: PinProof,
    /// BuildKit's image, where that is proved.
    pub image: Option<String>,
    /// Its digest, where that is proved.
    pub digest: Option<Digest>,
    /// The version that the daemon said.
    pub version: Option<Version>,
}

/// Whether the BuildKit that built is proved to be the pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PinProof {
    /// Its image or its programs were held against the digest.
    Proved,
    /// Somebody else runs it: it said its version, and nothing else is known.
    Unproved,
}

/// What read the Dockerfile of a build.
#[derive(Debug, Clone, Serialize)]
pub struct BuiltFrontend {
    /// The image as it was named, or nothing where it is part of BuildKit.
    pub image: Option<String>,
    /// Who named it.
    pub origin: FrontendOrigin,
    /// The digest of the image that BuildKit used, where its record tells.
    pub digest: Option<Digest>,
    /// What the same name led to in an earlier build on this machine, where that was another image.
    pub moved_from: Option<Digest>,
}

impl BuildOutcome {
    /// The content of `--metadata-file`.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// The table for people: one line a fact, sorted by what one looks for first.
    #[must_use]
    pub fn to_table(&self) -> String {
        let mut rows: Vec<(&str, String)> = vec![("image digest", self.image_digest.to_string())];
        let several = self.manifests.len() > 1;
        for manifest in &self.manifests {
            rows.push(("platform", manifest.platform.clone()));
            if several {
                rows.push(("manifest digest", manifest.digest.to_string()));
            }
            rows.push(("config digest", manifest.config_digest.to_string()));
            let base = if manifest.base_layers == 0 {
                String::new()
            } else {
                format!(" ({} of the base)", manifest.base_layers)
            };
            rows.push(("layers", format!("{}{base}, {}", manifest.layers, bytes(manifest.layer_bytes))));
        }
        rows.push(("epoch", format!("{} ({})", self.epoch, self.epoch.to_rfc3339())));
        let rootless = if self.built_with.rootless == Some(true) { ", rootless" } else { "" };
        let address = self.built_with.address.as_ref().map(|address| format!(", {address}")).unwrap_or_default();
        rows.push(("runtime", format!("{}{address}{rootless}", self.built_with.runtime)));
        let version =
            self.built_with.version.map_or_else(|| "unknown version".to_owned(), |version| version.to_string());
        rows.push((
            "buildkit",
            match &self.built_with.digest {
                Some(digest) => format!("{version}, {digest}"),
                None => format!("{version} by its own word, pin: unproved"),
            },
        ));
        if let Some(image) = &self.frontend.image {
            let digest = self.frontend.digest.as_ref().filter(|digest| !image.ends_with(&digest.to_string()));
            let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
            rows.push(("frontend", format!("{image}{digest} ({})", self.frontend.origin)));
        }
        let place = self.archive.as_ref().map_or_else(|| "stdout".to_owned(), |path| path.display().to_string());
        rows.push(("archive", format!("{place} ({}, {})", self.archive_format.exporter(), bytes(self.archive_bytes))));
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let lines: Vec<String> = rows.into_iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect();
        lines.concat()
    }
}

/// A size as people read it, in powers of ten.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}
