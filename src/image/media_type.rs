//! Media types of the OCI image specification and of Docker's, and what they mean.

use serde::{Deserialize, Serialize};

/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// An OCI layer; compressed ones have a suffix.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Docker's manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's layer; compressed ones have a suffix.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// A statement about an image.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

const OCI_FOREIGN_LAYER: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const DOCKER_FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";

/// How the bytes of a layer are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// A plain tar.
    None,
    /// gzip, also as eStargz.
    Gzip,
    /// Zstandard, also chunked.
    Zstd,
}

impl Compression {
    /// The name, for people and for the JSON report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Whose media types a document uses. BuildKit keeps annotations of layers only with [`Family::Oci`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// `application/vnd.oci.…`
    Oci,
    /// `application/vnd.docker.…`
    Docker,
}

/// What a document or blob of some media type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Holds descriptors of manifests.
    Index(Family),
    /// Holds descriptors of a config and of layers.
    Manifest(Family),
    /// The configuration of an image.
    Config(Family),
    /// A tar of changes, compressed as said.
    Layer(Family, Compression),
    /// Something else, such as an attestation.
    Other,
}

/// What `media_type` stands for.
#[must_use]
pub fn kind_of(media_type: &str) -> Kind {
    match media_type {
        OCI_INDEX => return Kind::Index(Family::Oci),
        DOCKER_INDEX => return Kind::Index(Family::Docker),
        OCI_MANIFEST => return Kind::Manifest(Family::Oci),
        DOCKER_MANIFEST => return Kind::Manifest(Family::Docker),
        OCI_CONFIG => return Kind::Config(Family::Oci),
        DOCKER_CONFIG => return Kind::Config(Family::Docker),
        _ => {}
    }
    // OCI writes `+gzip`, Docker `.gzip`; containerd gave Docker's types a `.zstd` as well.
    for (prefix, separator, family) in [
        (OCI_LAYER, '+', Family::Oci),
        (OCI_FOREIGN_LAYER, '+', Family::Oci),
        (DOCKER_LAYER, '.', Family::Docker),
        (DOCKER_FOREIGN_LAYER, '.', Family::Docker),
    ] {
        let Some(rest) = media_type.strip_prefix(prefix) else { continue };
        let compression = match rest.strip_prefix(separator) {
            None if rest.is_empty() => Compression::None,
            Some("gzip") => Compression::Gzip,
            Some("zstd") => Compression::Zstd,
            _ => return Kind::Other,
        };
        return Kind::Layer(family, compression);
    }
    Kind::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_layers_apart() {
        let layer = |family, compression| Kind::Layer(family, compression);
        for (media_type, kind) in [
            (OCI_LAYER, layer(Family::Oci, Compression::None)),
            ("application/vnd.oci.image.layer.v1.tar+gzip", layer(Family::Oci, Compression::Gzip)),
            ("application/vnd.oci.image.layer.v1.tar+zstd", layer(Family::Oci, Compression::Zstd)),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", layer(Family::Oci, Compression::Gzip)),
            (DOCKER_LAYER, layer(Family::Docker, Compression::None)),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", layer(Family::Docker, Compression::Gzip)),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", layer(Family::Docker, Compression::Gzip)),
            ("application/vnd.oci.image.layer.v1.tar.gzip", Kind::Other),
            ("application/vnd.oci.image.layer.v1.tar+gzip+x", Kind::Other),
            ("application/vnd.in-toto+json", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(kind_of(media_type), kind, "{media_type}");
        }
    }
}
