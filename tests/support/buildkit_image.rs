//! Small BuildKit images, built in memory, right or wrong in every way a test wants.

use std::io::Write;
use std::path::Path;

use repro::digest::Digest;

use super::registry::FakeRegistry;

pub const REPOSITORY: &str = "moby/buildkit";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

/// A tar archive, entry by entry.
#[derive(Default, Clone)]
pub struct Tar(Vec<u8>);

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(b'0', path, "", content)
    }

    pub fn directory(self, path: &str) -> Self {
        self.entry(b'5', path, "", b"")
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path, target, b"")
    }

    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(b'1', path, target, b"")
    }

    /// An extended header in front of the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.entry(b'x', "PaxHeaders/x", "", &pax(records))
    }

    /// Any entry: type, path, link target and content as given.
    pub fn entry(mut self, kind: u8, path: &str, target: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.as_mut_bytes()[156] = kind;
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// The bytes of an extended header.
pub fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + rest.to_string().len();
        length = rest + length.to_string().len();
        bytes.extend_from_slice(format!("{length} {key}=").as_bytes());
        bytes.extend_from_slice(value);
        bytes.push(b'\n');
    }
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One stored layer.
#[derive(Clone)]
pub struct Layer {
    pub media_type: &'static str,
    pub stored: Vec<u8>,
    pub diff_id: Digest,
    /// What the descriptor says.
    pub digest: Digest,
    pub size: u64,
}

impl Layer {
    pub fn new(media_type: &'static str, tar: &[u8]) -> Self {
        let stored = match media_type {
            GZIP => gzip(tar),
            ZSTD => zstd::encode_all(tar, 0).unwrap(),
            _ => tar.to_vec(),
        };
        Self::of_stored(media_type, stored, Digest::of(tar))
    }

    pub fn of_stored(media_type: &'static str, stored: Vec<u8>, diff_id: Digest) -> Self {
        let (digest, size) = (Digest::of(&stored), stored.len() as u64);
        Self { media_type, stored, diff_id, digest, size }
    }

    pub fn gzip(tar: Tar) -> Self {
        Self::new(GZIP, &tar.finish())
    }
}

/// All documents and blobs of an image, and the digest to pin.
#[derive(Clone)]
pub struct Image {
    pub pin: Digest,
    pub documents: Vec<(&'static str, Vec<u8>)>,
    pub blobs: Vec<(Digest, Vec<u8>)>,
}

pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl Image {
    /// An image of these layers for this machine, pinned by its manifest.
    pub fn new(layers: &[Layer]) -> Self {
        let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.diff_id).collect();
        let config = serde_json::json!({
            "architecture": architecture(), "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}
        });
        Self::with_config(layers, config.to_string().as_bytes())
    }

    pub fn with_config(layers: &[Layer], config: &[u8]) -> Self {
        let descriptors: Vec<_> = layers
            .iter()
            .map(|layer| serde_json::json!({"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}))
            .collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::of(config), "size": config.len()},
            "layers": descriptors
        });
        let manifest = manifest.to_string().into_bytes();
        let mut blobs = vec![(Digest::of(config), config.to_vec())];
        blobs.extend(layers.iter().map(|layer| (layer.digest.clone(), layer.stored.clone())));
        Self { pin: Digest::of(&manifest), documents: vec![(MANIFEST, manifest)], blobs }
    }

    /// The same under an index with these platforms in front of this machine's, pinned by the index.
    pub fn indexed(mut self, others: &[&str]) -> Self {
        let manifest = &self.documents[0].1;
        let mut entries: Vec<_> = others
            .iter()
            .map(|platform| {
                let (os, architecture) = platform.split_once('/').unwrap();
                let absent = Digest::of(platform.as_bytes());
                serde_json::json!({"mediaType": MANIFEST, "digest": absent, "size": 2, "platform": {"os": os, "architecture": architecture}})
            })
            .collect();
        entries.push(serde_json::json!({
            "mediaType": MANIFEST, "digest": self.pin, "size": manifest.len(),
            "platform": {"os": "linux", "architecture": architecture()}
        }));
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string();
        self.pin = Digest::of(index.as_bytes());
        self.documents.push((INDEX, index.into_bytes()));
        self
    }

    /// Another document instead of the manifest, pinned.
    pub fn of_document(document: &str) -> Self {
        let bytes = document.as_bytes().to_vec();
        Self { pin: Digest::of(&bytes), documents: vec![(MANIFEST, bytes)], blobs: Vec::new() }
    }

    /// Puts everything into a registry; the pinned reference.
    pub fn serve(&self, registry: &FakeRegistry) -> String {
        for (media_type, bytes) in &self.documents {
            registry.add_manifest(REPOSITORY, media_type, bytes);
        }
        for (digest, bytes) in &self.blobs {
            registry.put(&format!("/v2/{REPOSITORY}/blobs/{digest}"), "application/octet-stream", bytes);
        }
        format!("{}/{REPOSITORY}:v0.19.0@{}", registry.host(), self.pin)
    }

    /// Every file of the image as an OCI layout.
    pub fn layout(&self) -> Vec<(String, Vec<u8>)> {
        let path = |digest: &Digest| format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        let (media_type, pinned) = self.documents.last().unwrap();
        let index = serde_json::json!({
            "schemaVersion": 2, "manifests": [{"mediaType": media_type, "digest": self.pin, "size": pinned.len()}]
        });
        let mut files = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), index.to_string().into_bytes()),
        ];
        files.extend(self.documents.iter().map(|(_, bytes)| (path(&Digest::of(bytes)), bytes.clone())));
        files.extend(self.blobs.iter().map(|(digest, bytes)| (path(digest), bytes.clone())));
        files
    }

    pub fn write_layout(&self, directory: &Path) -> String {
        for (path, bytes) in self.layout() {
            let path = directory.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        format!("oci:{}", directory.display())
    }

    pub fn archive(&self) -> Tar {
        self.layout().iter().fold(Tar::new().directory("blobs/"), |tar, (path, bytes)| tar.file(path, bytes))
    }
}

/// A static ELF file for this machine with `content` behind its header; `interpreter` makes it a dynamic one.
pub fn elf(content: &str, interpreter: bool) -> Vec<u8> {
    let machine: u16 = match architecture() {
        "amd64" => 62,
        "arm64" => 183,
        other => panic!("no ELF machine for {other} here"),
    };
    let mut bytes = vec![0_u8; 120];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16] = 2;
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    bytes[64] = if interpreter { 3 } else { 1 };
    bytes.extend_from_slice(content.as_bytes());
    bytes
}

/// The layer that an ordinary BuildKit image has.
pub fn binaries() -> Tar {
    Tar::new()
        .directory("usr/")
        .directory("usr/bin/")
        .file("usr/bin/buildctl", &elf("buildctl", false))
        .file("usr/bin/buildkit-runc", &elf("runc", false))
        .file("usr/bin/buildkitd", &elf("buildkitd", false))
}
