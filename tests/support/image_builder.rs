//! Images in memory, as BuildKit writes them, to be broken in every way.
//!
//! ```ignore
//! let archive = ImageBuilder::docker().layer(gzip(tar([file("bin/sh", "#!").at(7), dir("sys/")]))).build().tar();
//! ```

use std::io::Write as _;

use repro::digest::Digest;
use repro::image::media_type::{
    DOCKER_CONFIG, DOCKER_INDEX, DOCKER_LAYER, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST,
};
use serde_json::{Value, json};
use tar::{EntryType, Header};

/// An entry of a layer.
#[derive(Debug, Clone)]
pub struct Entry {
    path: Vec<u8>,
    data: Vec<u8>,
    link: Vec<u8>,
    kind: u8,
    mtime: u64,
    records: Vec<(Vec<u8>, Vec<u8>)>,
    mode: u32,
    owner: (u64, u64),
    names: (String, String),
    device: Option<(u32, u32)>,
    is_ustar: bool,
}

/// A regular file.
pub fn file(path: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Entry {
    Entry {
        path: path.as_ref().to_vec(),
        data: data.as_ref().to_vec(),
        link: Vec::new(),
        kind: b'0',
        mtime: 0,
        records: Vec::new(),
        mode: 0o644,
        owner: (0, 0),
        names: (String::new(), String::new()),
        device: None,
        is_ustar: false,
    }
}

/// A directory.
pub fn dir(path: impl AsRef<[u8]>) -> Entry {
    Entry { kind: b'5', ..file(path, "") }
}

/// A symbolic link.
pub fn symlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
    Entry { kind: b'2', link: target.as_ref().to_vec(), ..file(path, "") }
}

/// Any other type of entry.
pub fn special(kind: u8, path: impl AsRef<[u8]>) -> Entry {
    Entry { kind, ..file(path, "") }
}

/// Any type of entry, with data: header extensions too.
pub fn typed(kind: u8, path: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Entry {
    Entry { kind, ..file(path, data) }
}

/// A hard link.
pub fn hardlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
    Entry { kind: b'1', link: target.as_ref().to_vec(), ..file(path, "") }
}

impl Entry {
    /// Modified at `seconds` since 1970.
    pub fn at(mut self, seconds: u64) -> Self {
        self.mtime = seconds;
        self
    }

    /// With a PAX record in front.
    pub fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.records.push((key.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// With this mode.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Of this owner and group.
    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// Of an owner and a group of these names.
    pub fn names(mut self, uname: &str, gname: &str) -> Self {
        self.names = (uname.to_owned(), gname.to_owned());
        self
    }

    /// A device of these numbers.
    pub fn device(mut self, major: u32, minor: u32) -> Self {
        self.device = Some((major, minor));
        self
    }

    /// In a header of POSIX's form, not of GNU's.
    pub fn ustar(mut self) -> Self {
        self.is_ustar = true;
        self
    }

    /// The data.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    fn write(&self, out: &mut Vec<u8>) {
        if !self.records.is_empty() {
            let data: Vec<u8> = self.records.iter().flat_map(|(key, value)| pax_record(key, value)).collect();
            write_block(out, b"pax", b"", b'x', 0, &data);
        }
        if self.path.len() > 100 {
            write_block(out, b"././@LongLink", b"", b'L', 0, &[self.path.as_slice(), b"\0"].concat());
        }
        let mut header =
            header_of(&self.path[..self.path.len().min(100)], &self.link, self.kind, self.mtime, &self.data);
        if self.is_ustar {
            header.as_mut_bytes()[257..265].copy_from_slice(b"ustar\x0000");
        }
        header.set_mode(self.mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_username(&self.names.0).unwrap();
        header.set_groupname(&self.names.1).unwrap();
        if let Some((major, minor)) = self.device {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        }
        append(out, header, &self.data);
    }
}

/// A PAX record with its length.
pub fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..=rest + 20).find(|length| length.to_string().len() + rest == *length).unwrap();
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn write_block(out: &mut Vec<u8>, path: &[u8], link: &[u8], kind: u8, mtime: u64, data: &[u8]) {
    append(out, header_of(path, link, kind, mtime, data), data);
}

fn header_of(path: &[u8], link: &[u8], kind: u8, mtime: u64, data: &[u8]) -> Header {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(mtime);
    header.set_size(data.len() as u64);
    header
}

fn append(out: &mut Vec<u8>, mut header: Header, data: &[u8]) {
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// A tar of `entries`, with its end.
pub fn tar(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        entry.write(&mut out);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// A layer: its tar, and the blob made of that.
#[derive(Clone)]
pub struct Layer {
    /// The tar.
    pub tar: Vec<u8>,
    /// The blob.
    pub blob: Vec<u8>,
    suffix: &'static str,
    annotations: Vec<(String, String)>,
}

impl Layer {
    /// With an annotation on its descriptor. BuildKit writes them with OCI types only, and so does the builder.
    pub fn annotated(mut self, key: &str, value: &str) -> Self {
        self.annotations.push((key.to_owned(), value.to_owned()));
        self
    }

    /// As BuildKit marks a layer whose times it rewrote.
    pub fn rewritten(self, epoch: i64) -> Self {
        self.annotated("buildkit/rewritten-timestamp", &epoch.to_string())
    }

    /// The digest of the blob.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.blob)
    }

    /// The digest of the tar.
    pub fn diff_id(&self) -> Digest {
        Digest::of(&self.tar)
    }

    fn media_type(&self, is_oci: bool) -> String {
        match (is_oci, self.suffix) {
            (true, "") => OCI_LAYER.to_owned(),
            (true, suffix) => format!("{OCI_LAYER}+{suffix}"),
            (false, "") => DOCKER_LAYER.to_owned(),
            (false, suffix) => format!("{DOCKER_LAYER}.{suffix}"),
        }
    }
}

/// A layer that is compressed with gzip.
pub fn gzip(tar: Vec<u8>) -> Layer {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&tar).unwrap();
    Layer { blob: encoder.finish().unwrap(), tar, suffix: "gzip", annotations: Vec::new() }
}

/// A layer that is compressed with Zstandard.
pub fn zstd(tar: Vec<u8>) -> Layer {
    Layer { blob: zstd::encode_all(tar.as_slice(), 1).unwrap(), tar, suffix: "zstd", annotations: Vec::new() }
}

/// A layer that is not compressed.
pub fn plain(tar: Vec<u8>) -> Layer {
    Layer { blob: tar.clone(), tar, suffix: "", annotations: Vec::new() }
}

/// A layer with any bytes as its blob.
pub fn blob(tar: Vec<u8>, blob: Vec<u8>, suffix: &'static str) -> Layer {
    Layer { tar, blob, suffix, annotations: Vec::new() }
}

type Tweak = Box<dyn Fn(&mut Value)>;

/// Builds the archive of an image.
pub struct ImageBuilder {
    is_oci: bool,
    has_docker_manifest: bool,
    layers: Vec<Layer>,
    history: Vec<Value>,
    platform: Value,
    names: Vec<String>,
    is_attested: bool,
    config: Vec<Tweak>,
    manifest: Vec<Tweak>,
    index: Vec<Tweak>,
}

impl ImageBuilder {
    /// As `type=docker` before BuildKit 0.31: Docker's media types, with `manifest.json`.
    pub fn docker() -> Self {
        Self {
            is_oci: false,
            has_docker_manifest: true,
            layers: Vec::new(),
            history: Vec::new(),
            platform: json!({"architecture": "amd64", "os": "linux"}),
            names: Vec::new(),
            is_attested: false,
            config: Vec::new(),
            manifest: Vec::new(),
            index: Vec::new(),
        }
    }

    /// As `type=oci`: OCI media types, without `manifest.json`.
    pub fn oci() -> Self {
        Self { is_oci: true, has_docker_manifest: false, ..Self::docker() }
    }

    /// As `type=docker` since BuildKit 0.31: OCI media types, with `manifest.json`.
    pub fn both() -> Self {
        Self { is_oci: true, ..Self::docker() }
    }

    /// With one more layer on top, and a step in the history that made it.
    pub fn layer(self, layer: Layer) -> Self {
        self.layer_created(layer, "1970-01-01T00:00:00Z")
    }

    /// The same, with the date of its step.
    pub fn layer_created(self, layer: Layer, created: &str) -> Self {
        self.layer_of(layer, created, "COPY")
    }

    /// The same, with the words of its step.
    pub fn layer_of(mut self, layer: Layer, created: &str, created_by: &str) -> Self {
        self.layers.push(layer);
        self.history.push(json!({"created": created, "created_by": created_by, "comment": "buildkit.dockerfile.v0"}));
        self
    }

    /// With a step that made no layer.
    pub fn step(mut self, created: &str) -> Self {
        self.history.push(json!({"created": created, "created_by": "CMD", "empty_layer": true}));
        self
    }

    /// For another platform than `linux/amd64`.
    pub fn platform(mut self, os: &str, architecture: &str, variant: &str) -> Self {
        self.platform = json!({"architecture": architecture, "os": os});
        if !variant.is_empty() {
            self.platform["variant"] = variant.into();
        }
        self
    }

    /// With a name, such as `docker.io/library/app:1`.
    pub fn named(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }

    /// With an attestation about it, as `--provenance` adds.
    pub fn attested(mut self) -> Self {
        self.is_attested = true;
        self
    }

    /// With something changed in the config; all digests fit what comes out.
    pub fn config(mut self, tweak: impl Fn(&mut Value) + 'static) -> Self {
        self.config.push(Box::new(tweak));
        self
    }

    /// With something changed in the manifest; all digests fit what comes out.
    pub fn manifest(mut self, tweak: impl Fn(&mut Value) + 'static) -> Self {
        self.manifest.push(Box::new(tweak));
        self
    }

    /// With something changed in `index.json`.
    pub fn index(mut self, tweak: impl Fn(&mut Value) + 'static) -> Self {
        self.index.push(Box::new(tweak));
        self
    }

    /// The members of the archive.
    pub fn build(self) -> Layout {
        let mut layout = Layout::default();
        let descriptor = self.add_to(&mut layout);
        let descriptor = if self.is_attested { attest(&mut layout, &descriptor) } else { descriptor };
        layout.image = descriptor["digest"].as_str().unwrap().parse().ok();
        let descriptors = if self.names.is_empty() {
            vec![descriptor]
        } else {
            self.names.iter().map(|name| named(&descriptor, name)).collect()
        };
        self.finish(&mut layout, &descriptors);
        layout
    }

    fn finish(&self, layout: &mut Layout, descriptors: &[Value]) {
        let mut index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors});
        self.index.iter().for_each(|tweak| tweak(&mut index));
        layout.set("index.json", index.to_string().into_bytes());
        if self.has_docker_manifest {
            let path = |digest: Digest| format!("blobs/sha256/{}", digest.hex());
            let layers: Vec<_> = self.layers.iter().map(|layer| path(layer.digest())).collect();
            let config = path(layout.config.clone().unwrap());
            let record = json!([{"Config": config, "RepoTags": self.names, "Layers": layers}]);
            layout.set("manifest.json", record.to_string().into_bytes());
        }
        layout.set("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        layout.members.sort();
    }

    /// Adds config, manifest and layers; gives the descriptor of the manifest.
    fn add_to(&self, layout: &mut Layout) -> Value {
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| layer.diff_id().to_string()).collect();
        let mut config = self.platform.clone();
        config["config"] = json!({"Env": ["PATH=/bin"]});
        config["created"] = "1970-01-01T00:00:00Z".into();
        config["history"] = self.history.clone().into();
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        self.config.iter().for_each(|tweak| tweak(&mut config));
        let config_type = if self.is_oci { OCI_CONFIG } else { DOCKER_CONFIG };
        let config = layout.add_json(config_type, &config);
        layout.config = config["digest"].as_str().unwrap().parse().ok();
        let layers: Vec<_> = self.layers.iter().map(|layer| self.add_layer(layout, layer)).collect();
        let manifest_type = if self.is_oci { OCI_MANIFEST } else { DOCKER_MANIFEST };
        let mut manifest = json!({"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": layers});
        self.manifest.iter().for_each(|tweak| tweak(&mut manifest));
        let mut descriptor = layout.add_json(manifest_type, &manifest);
        layout.manifest = descriptor["digest"].as_str().unwrap().parse().ok();
        descriptor["platform"] = self.platform.clone();
        descriptor
    }

    fn add_layer(&self, layout: &mut Layout, layer: &Layer) -> Value {
        let mut descriptor = layout.add(&layer.media_type(self.is_oci), layer.blob.clone());
        if self.is_oci && !layer.annotations.is_empty() {
            descriptor["annotations"] = layer
                .annotations
                .iter()
                .cloned()
                .collect::<std::collections::BTreeMap<_, _>>()
                .into_iter()
                .map(|(key, value)| (key, Value::from(value)))
                .collect::<serde_json::Map<_, _>>()
                .into();
        }
        descriptor
    }
}

/// One archive for several platforms: an index below `index.json`.
pub fn platforms(builders: impl IntoIterator<Item = ImageBuilder>) -> Layout {
    let mut layout = Layout::default();
    let builders: Vec<_> = builders.into_iter().collect();
    let manifests: Vec<_> = builders.iter().map(|builder| builder.add_to(&mut layout)).collect();
    let is_oci = builders[0].is_oci;
    let media_type = if is_oci { OCI_INDEX } else { DOCKER_INDEX };
    let descriptor =
        layout.add_json(media_type, &json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}));
    layout.image = descriptor["digest"].as_str().unwrap().parse().ok();
    ImageBuilder { has_docker_manifest: false, ..ImageBuilder::oci() }.finish(&mut layout, &[descriptor]);
    layout
}

fn named(descriptor: &Value, name: &str) -> Value {
    let mut descriptor = descriptor.clone();
    descriptor["annotations"] = json!({"io.containerd.image.name": name});
    descriptor
}

fn attest(layout: &mut Layout, manifest: &Value) -> Value {
    let statement =
        layout.add("application/vnd.in-toto+json", br#"{"_type":"https://in-toto.io/Statement/v0.1"}"#.to_vec());
    let config = json!({"architecture": "unknown", "os": "unknown", "rootfs": {"type": "layers", "diff_ids": [statement["digest"]]}});
    let config = layout.add_json(OCI_CONFIG, &config);
    let body = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [statement]});
    let mut attestation = layout.add_json(OCI_MANIFEST, &body);
    attestation["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    attestation["annotations"] =
        json!({"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": manifest["digest"]});
    layout
        .add_json(OCI_INDEX, &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [manifest, attestation]}))
}

/// The members of an archive, to be changed before they are written.
#[derive(Default, Clone)]
pub struct Layout {
    /// Paths and bytes, in the order of the archive.
    pub members: Vec<(String, Vec<u8>)>,
    /// The digest that a registry would show.
    pub image: Option<Digest>,
    /// The digest of the (last) manifest.
    pub manifest: Option<Digest>,
    /// The digest of the (last) config.
    pub config: Option<Digest>,
}

impl Layout {
    /// Adds a blob; gives its descriptor.
    pub fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes);
        let size = bytes.len();
        self.set(&format!("blobs/sha256/{}", digest.hex()), bytes);
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": size})
    }

    fn add_json(&mut self, media_type: &str, value: &Value) -> Value {
        // As BuildKit writes them, but for large ones, which have to come below the limit of a document.
        let compact = serde_json::to_vec(value).unwrap();
        let bytes = if compact.len() > 1 << 20 { compact } else { serde_json::to_vec_pretty(value).unwrap() };
        self.add(media_type, bytes)
    }

    /// Replaces a member, or adds it.
    pub fn set(&mut self, path: &str, bytes: Vec<u8>) {
        match self.members.iter_mut().find(|(name, _)| name == path) {
            Some(member) => member.1 = bytes,
            None => self.members.push((path.to_owned(), bytes)),
        }
    }

    /// Changes the bytes of a member.
    pub fn change(mut self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(&mut self.members.iter_mut().find(|(name, _)| name == path).unwrap().1);
        self
    }

    /// Leaves a member out.
    pub fn without(mut self, path: &str) -> Self {
        let before = self.members.len();
        self.members.retain(|(name, _)| name != path);
        assert_ne!(before, self.members.len(), "no member `{path}`");
        self
    }

    /// Changes a member that is JSON; no digest is made to fit.
    pub fn edit(self, path: &str, change: impl FnOnce(&mut Value)) -> Self {
        self.change(path, |bytes| {
            let mut value = serde_json::from_slice(bytes).unwrap();
            change(&mut value);
            *bytes = value.to_string().into_bytes();
        })
    }

    /// The archive, with `entries` in the place of one of its members.
    pub fn tar_with(&self, path: &str, entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
        let others = self.members.iter().filter(|(name, _)| name != path);
        assert_eq!(others.clone().count() + 1, self.members.len(), "no member `{path}`");
        let others: Vec<_> = others.map(|(name, bytes)| file(name, bytes)).collect();
        tar(["blobs/", "blobs/sha256/"].map(dir).into_iter().chain(others).chain(entries))
    }

    /// The bytes of a member.
    pub fn bytes(&self, path: &str) -> &[u8] {
        &self.members.iter().find(|(name, _)| name == path).unwrap().1
    }

    /// Adds a member behind all others, even where there is one of that name.
    pub fn with(mut self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.members.push((path.to_owned(), bytes.as_ref().to_vec()));
        self
    }

    /// Turns the order of the members round.
    pub fn reversed(mut self) -> Self {
        self.members.reverse();
        self
    }

    /// The archive, with its directories, as containerd writes it.
    pub fn tar(&self) -> Vec<u8> {
        let directories = ["blobs/", "blobs/sha256/"].map(dir);
        tar(directories.into_iter().chain(self.members.iter().map(|(path, bytes)| file(path, bytes))))
    }
}
