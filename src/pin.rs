//! Pins: BuildKit images by digest, and what is known about their versions.
//!
//! Digests of images hold within one version of BuildKit. What a version changes by default is written down here, so that
//! nothing is ever left to a default that moves.

mod advisories;
mod changes;

use std::fmt;

pub use self::advisories::{ADVISORIES, Advisory, Attacker, advisories_for};
pub use self::changes::{CHANGES, Change, changes_between};

use serde::{Serialize, Serializer};

use crate::digest::Digest;
use crate::reference::{ImageSource, ReferenceError};

/// A version of BuildKit, such as v0.19.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
    /// Patch.
    pub patch: u32,
}

impl Version {
    /// A version from its three numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Reads `v0.19.0`, with or without the `v`, and whatever follows a dash (`v0.19.0-rootless`).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let numbers = text.split_once('-').map_or(text, |(numbers, _)| numbers);
        let mut parts = numbers.split('.').map(|part| part.parse::<u32>().ok());
        let version = Self::new(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A released BuildKit image whose digest is known.
#[derive(Debug)]
struct Release {
    version: Version,
    plain: &'static str,
    rootless: &'static str,
}

impl Release {
    fn image(&self, variant: Variant) -> String {
        let (hex, suffix) = match variant {
            Variant::Plain => (self.plain, ""),
            Variant::Rootless => (self.rootless, "-rootless"),
        };
        format!("docker.io/moby/buildkit:{}{suffix}@sha256:{hex}", self.version)
    }
}

/// The official images by digest. The first is the default.
const RELEASES: [Release; 2] = [
    Release {
        version: Version::new(0, 19, 0),
        plain: "14aa1b4dd92ea0a4cd03a54d0c6079046ea98cd0c0ae6176bdd7036ba370cbbe",
        rootless: "e901cffdad753892a7c3afb8b9972549fca02c73888cf340c91ed801fdd96d71",
    },
    Release {
        version: Version::new(0, 31, 0),
        plain: "a095b3d11ce1a9a05b6064ef515dfca0291ec5bcf2ea8178da8f6461924294e1",
        rootless: "e335bfb48eec12110318aced51f75161f01e765dd13e6041c0f4600b7c93507f",
    },
];

/// The first version that has `rewrite-timestamp`.
const FIRST_USABLE: Version = Version::new(0, 13, 0);
/// The first version whose docker exporter writes OCI media types by default (moby/buildkit#6824).
pub const OCI_BY_DEFAULT: Version = Version::new(0, 31, 0);

/// The format of the archive that a build writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchiveFormat {
    /// What `docker load` reads; one platform.
    Docker,
    /// An OCI image layout in a tar; any number of platforms.
    Oci,
}

impl ArchiveFormat {
    /// The exporter's `type=`.
    #[must_use]
    pub const fn exporter(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Oci => "oci",
        }
    }
}

/// The family of media types that manifests and layers are described with. It is part of the manifest's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaTypes {
    /// `application/vnd.docker.*`
    Docker,
    /// `application/vnd.oci.*`
    Oci,
}

/// Which of the two images of a release: the rootless one brings rootlesskit and an unprivileged user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// `moby/buildkit:VERSION`
    Plain,
    /// `moby/buildkit:VERSION-rootless`
    Rootless,
}

/// A BuildKit image by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pin {
    /// Where the image is read from; always with a digest.
    pub source: ImageSource,
    /// The digest that pins it.
    pub digest: Digest,
    /// The version that the pin table or the tag says, checked against the daemon; `None` where neither tells.
    pub version: Option<Version>,
}

/// Why a BuildKit image cannot be a pin.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// Not a reference.
    #[error("BuildKit image `{text}`")]
    Reference {
        /// What was given.
        text: String,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// No digest.
    #[error("BuildKit image `{0}` is not pinned: it has no digest")]
    NoDigest(String),
    /// The version cannot build reproducibly.
    #[error("BuildKit {version} cannot be a pin: {why}")]
    Unusable {
        /// The version.
        version: Version,
        /// The reason.
        why: &'static str,
    },
    /// Neither the pin table nor the tag tells the version.
    #[error(
        "the version of BuildKit image `{0}` is not known, so the media types that it would choose are not known either"
    )]
    MediaTypesUnknown(String),
}

impl Pin {
    /// The built-in pin.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "it cannot: see below")]
    pub fn default_for(variant: Variant) -> Self {
        let text = RELEASES[0].image(variant);
        #[expect(clippy::expect_used, reason = "the table is a constant, and a test parses every row")]
        Self::parse(&text).expect("the built-in pins are valid references")
    }

    /// A pin from `NAME[:TAG]@DIGEST`, `oci:DIR@DIGEST` or `oci-archive:FILE@DIGEST`.
    pub fn parse(text: &str) -> Result<Self, PinError> {
        let source =
            text.parse::<ImageSource>().map_err(|source| PinError::Reference { text: text.to_owned(), source })?;
        let digest = source.digest().cloned().ok_or_else(|| PinError::NoDigest(text.to_owned()))?;
        let known = RELEASES.iter().find(|release| [release.plain, release.rootless].contains(&digest.hex()));
        let version = known.map(|release| release.version).or_else(|| tag_of(&source).and_then(Version::parse));
        if let Some(version) = version {
            check_usable(version)?;
        }
        Ok(Self { source, digest, version })
    }

    /// The image of the release whose own frontend has this version: that of v0.N is 1.(N-6), since v0.8 (`1.25.0` is of v0.31).
    #[must_use]
    pub fn by_frontend(version: &str) -> Option<Self> {
        let version = Version::parse(version).filter(|version| version.major == 1)?;
        let release = RELEASES.iter().find(|release| Some(release.version.minor) == version.minor.checked_add(6))?;
        Self::parse(&release.image(Variant::Plain)).ok()
    }

    /// The official image of a release whose digest is known.
    #[must_use]
    pub fn of_release(version: Version) -> Option<Self> {
        let release = RELEASES.iter().find(|release| release.version == version)?;
        Self::parse(&release.image(Variant::Plain)).ok()
    }

    /// The other image of the same release, where this is an official one.
    #[must_use]
    pub fn of_variant(&self, variant: Variant) -> Self {
        let release = RELEASES.iter().find(|release| [release.plain, release.rootless].contains(&self.digest.hex()));
        release.and_then(|release| Self::parse(&release.image(variant)).ok()).unwrap_or_else(|| self.clone())
    }

    /// Whether it is an official image whose digest is in the table.
    #[must_use]
    pub fn is_released(&self) -> bool {
        RELEASES.iter().any(|release| [release.plain, release.rootless].contains(&self.digest.hex()))
    }

    /// The media types that this version itself would use for an archive: passing them explicitly keeps the digest that
    /// users of the bare tools get.
    pub fn default_media_types(&self, archive: ArchiveFormat) -> Result<MediaTypes, PinError> {
        match (archive, self.version) {
            (ArchiveFormat::Docker, Some(version)) if version < OCI_BY_DEFAULT => Ok(MediaTypes::Docker),
            (ArchiveFormat::Oci, _) | (ArchiveFormat::Docker, Some(_)) => Ok(MediaTypes::Oci),
            (ArchiveFormat::Docker, None) => Err(PinError::MediaTypesUnknown(self.source.to_string())),
        }
    }

    /// `v0.19.0-14aa1b4dd92e`: names what belongs to this pin on one machine.
    #[must_use]
    pub fn slug(&self) -> String {
        match self.version {
            Some(version) => format!("{version}-{}", self.digest.short()),
            None => self.digest.short().to_owned(),
        }
    }
}

fn tag_of(source: &ImageSource) -> Option<&str> {
    match source {
        ImageSource::Registry(reference) => reference.tag(),
        ImageSource::OciDir(_) | ImageSource::OciArchive(_) => None,
    }
}

/// Refuses versions that cannot give the same digest twice.
pub fn check_usable(version: Version) -> Result<(), PinError> {
    let why = if version < FIRST_USABLE {
        "it has no `rewrite-timestamp`, which v0.13.0 brought"
    } else if (version.major, version.minor) == (0, 24) {
        "it writes a memory address into the history of EXPOSE, another one in every build (moby/buildkit#6217)"
    } else {
        return Ok(());
    };
    Err(PinError::Unusable { version, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Defect 1 of upstream.
    #[test]
    fn the_built_in_pins_are_valid() {
        for variant in [Variant::Plain, Variant::Rootless] {
            assert_eq!(Pin::default_for(variant).version, Some(Version::new(0, 19, 0)));
        }
        for release in &RELEASES {
            for hex in [release.plain, release.rootless] {
                let pin = Pin::parse(&format!("moby/buildkit@sha256:{hex}")).unwrap();
                assert_eq!(pin.version, Some(release.version), "the table knows the version without a tag");
            }
        }
    }

    /// Defect 22 of upstream.
    #[test]
    fn media_types_are_those_of_the_version() {
        let pin = |tag: &str| Pin::parse(&format!("example.org/buildkit:{tag}@sha256:{}", "a".repeat(64))).unwrap();
        let media_types = |tag, archive| pin(tag).default_media_types(archive).ok();
        assert_eq!(media_types("v0.19.0", ArchiveFormat::Docker), Some(MediaTypes::Docker));
        assert_eq!(media_types("v0.30.0-rootless", ArchiveFormat::Docker), Some(MediaTypes::Docker));
        assert_eq!(media_types("v0.31.0", ArchiveFormat::Docker), Some(MediaTypes::Oci));
        assert_eq!(media_types("v0.19.0", ArchiveFormat::Oci), Some(MediaTypes::Oci));
        assert_eq!(media_types("latest", ArchiveFormat::Docker), None);
        assert_eq!(media_types("latest", ArchiveFormat::Oci), Some(MediaTypes::Oci));
    }

    #[test]
    fn versions_that_cannot_be_reproducible_are_refused() {
        let parse = |tag: &str| Pin::parse(&format!("moby/buildkit:{tag}@sha256:{}", "a".repeat(64)));
        assert!(parse("v0.24.0").unwrap_err().to_string().contains("EXPOSE"));
        assert!(parse("v0.12.5").unwrap_err().to_string().contains("rewrite-timestamp"));
        assert!(parse("v0.25.1").is_ok());
        assert!(matches!(Pin::parse("moby/buildkit:v0.19.0"), Err(PinError::NoDigest(_))));
    }

    #[test]
    fn versions_are_read_from_tags() {
        assert_eq!(Version::parse("v0.19.0-rootless"), Some(Version::new(0, 19, 0)));
        assert_eq!(Version::parse("0.31.1"), Some(Version::new(0, 31, 1)));
        for text in ["", "v0.19", "buildx-stable-1", "latest", "v0.19.0.1", "v0.x.0"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
