//! Docker's archives without an image layout: as each tool writes them, and with one thing wrong in each.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use std::fs;
use std::process::Command;

use repro::digest::Digest;
use repro::image::media_type::Compression;
use repro::image::{Form, ReadOptions, load_image};
use serde_json::{Value, json};
use support::image_builder::{Entry, dir, file, gzip, special, symlink, tar};
use support::reading::{faults, read};

/// An archive as Docker wrote it before it took layouts, to be broken.
#[derive(Clone)]
struct Docker {
    entries: Vec<(String, Entry)>,
    config: Digest,
    top: String,
}

impl Docker {
    /// With the layers in directories of their own, the topmost being a link to the lowest: both hold the same.
    fn save() -> Self {
        let layer = tar([file("a", "a")]);
        let diff_id = Digest::of(&layer).to_string();
        let config = json!({
            "os": "linux", "architecture": "amd64", "created": "1970-01-01T00:00:00Z",
            "rootfs": {"type": "layers", "diff_ids": [diff_id, diff_id]}, "history": [{}, {}],
        });
        let config = config.to_string();
        let digest = Digest::of(config.as_bytes());
        let ids = ["0a".repeat(32), "0b".repeat(32)];
        let name = format!("{}.json", digest.hex());
        let layers: Vec<_> = ids.iter().map(|id| format!("{id}/layer.tar")).collect();
        let manifest = json!([{"Config": name, "RepoTags": ["a:1", "a:2"], "Layers": layers}]);
        let repositories = json!({"a": {"1": ids[1], "2": ids[1]}});
        let mut docker = Self { entries: Vec::new(), config: digest, top: ids[1].clone() };
        for id in &ids {
            docker.set(&format!("{id}/"), dir(format!("{id}/")));
            docker.set(&format!("{id}/VERSION"), file(format!("{id}/VERSION"), "1.0"));
            docker.put(&format!("{id}/json"), &json!({"id": id, "os": "linux"}).to_string());
        }
        docker.set(&layers[0], file(&layers[0], layer));
        docker.set(&layers[1], symlink(&layers[1], format!("../{}", layers[0])));
        docker.put(&name, &config);
        docker.put("manifest.json", &manifest.to_string());
        docker.put("repositories", &repositories.to_string());
        docker
    }

    /// As podman and skopeo do: the layers by their diff IDs at the top, links to them in the directories.
    fn podman() -> Self {
        let mut docker = Self::save();
        let layer = tar([file("a", "a")]);
        let name = format!("{}.tar", Digest::of(&layer).hex());
        for id in ["0a".repeat(32), "0b".repeat(32)] {
            let link = format!("{id}/layer.tar");
            docker.set(&link, symlink(&link, format!("../{name}")));
        }
        docker.set(&name, file(&name, layer));
        docker.manifest(|entry| entry["Layers"] = json!([name, name]))
    }

    /// As crane does: compressed layers by the digests of their blobs, and nothing for the oldest readers.
    fn crane() -> Self {
        let mut docker = Self::save();
        let layer = gzip(tar([file("a", "a")]));
        let name = format!("{}.tar.gz", layer.digest().hex());
        let config = docker.config.to_string();
        let bytes = docker.bytes(&format!("{}.json", docker.config.hex()));
        docker.entries.retain(|(path, _)| path == "manifest.json");
        docker.set(&name, file(&name, layer.blob));
        docker.set(&config, file(&config, bytes));
        docker.manifest(|entry| {
            entry["Layers"] = json!([name, name]);
            entry["Config"] = config.clone().into();
        })
    }

    fn set(&mut self, path: &str, entry: Entry) {
        match self.entries.iter_mut().find(|(name, _)| name == path) {
            Some((_, old)) => *old = entry,
            None => self.entries.push((path.to_owned(), entry)),
        }
    }

    fn put(&mut self, path: &str, text: &str) {
        self.set(path, file(path, text));
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        self.entries.iter().find(|(name, _)| name == path).unwrap().1.data().to_vec()
    }

    fn change(mut self, path: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut value: Value = serde_json::from_slice(&self.bytes(path)).unwrap();
        change(&mut value);
        self.put(path, &value.to_string());
        self
    }

    fn manifest(self, change: impl FnOnce(&mut Value)) -> Self {
        self.change("manifest.json", |manifest| change(&mut manifest[0]))
    }

    fn without(mut self, path: &str) -> Self {
        let before = self.entries.len();
        self.entries.retain(|(name, _)| name != path);
        assert_ne!(before, self.entries.len(), "{path}");
        self
    }

    fn with(mut self, path: &str, entry: Entry) -> Self {
        self.entries.push((path.to_owned(), entry));
        self
    }

    fn replaced(mut self, path: &str, text: &str) -> Self {
        self.put(path, text);
        self
    }

    fn tar(&self) -> Vec<u8> {
        tar(self.entries.iter().map(|(_, entry)| entry.clone()))
    }
}

#[test]
fn dockers_archives_have_an_image_id_and_no_digest() {
    for (docker, compression) in [
        (Docker::save(), Compression::None),
        (Docker::podman(), Compression::None),
        (Docker::crane(), Compression::Gzip),
        (Docker::save().without("repositories"), Compression::None),
    ] {
        let image = read(&docker.tar()).unwrap();
        assert_eq!((image.form, image.digest(), image.roots.len()), (Form::DockerArchive, None, 0));
        let [found] = image.docker_images.as_slice() else { panic!("one image") };
        assert_eq!(
            (&found.config.document.digest, found.names.as_slice()),
            (&docker.config, &["a:1".to_owned(), "a:2".to_owned()][..])
        );
        assert_eq!(found.layers.len(), 2);
        let diff_id = Digest::of(&tar([file("a", "a")]));
        assert!(found.layers.iter().all(|layer| layer.diff_id == diff_id && layer.compression == compression));
        assert!(image.manifests.is_empty() && image.notes().is_empty() && image.index.is_none());
    }
    // The same, unpacked by somebody.
    let directory = tempfile::tempdir().unwrap();
    let tarred = directory.path().join("a.tar");
    fs::write(&tarred, Docker::save().tar()).unwrap();
    let inside = directory.path().join("a");
    fs::create_dir(&inside).unwrap();
    assert!(Command::new("tar").arg("-xf").arg(&tarred).arg("-C").arg(&inside).status().unwrap().success());
    assert_eq!(load_image(&inside, &ReadOptions::default()).unwrap().docker_images.len(), 1);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_fault_of_dockers_archives_is_found() {
    let save = Docker::save;
    let (low, top) = ("0a".repeat(32), save().top);
    let config = format!("{}.json", save().config.hex());
    let other = "0c".repeat(32);
    let cases: Vec<(&str, Docker, String)> = vec![
        (
            "another config",
            save().change(&config, |config| config["os"] = "plan9".into()),
            format!("`{config}`: the name says `{}`", save().config),
        ),
        ("no config", save().without(&config), format!("`{config}`: is missing")),
        ("config is none", save().replaced(&config, "hello"), format!("`{config}`: not usable JSON")),
        (
            "another layer",
            save().with("x", file("x", "")).without("x").change_layer(&low),
            format!("`{low}/layer.tar`: the config says diff ID"),
        ),
        (
            "fewer layers",
            save().manifest(|entry| entry["Layers"] = json!([format!("{}/layer.tar", "0a".repeat(32))])),
            "`manifest.json` [0]: the config has 2 diff IDs, but the manifest 1 layers".to_owned(),
        ),
        ("no layer", save().without(&format!("{low}/layer.tar")), format!("`{low}/layer.tar`: is missing")),
        (
            "link outside",
            save().linked(&top, "../../layer.tar"),
            format!("`{top}/layer.tar`: links to `../../layer.tar`, which is no layer"),
        ),
        (
            "absolute link",
            save().linked(&top, "/etc/passwd"),
            format!("`{top}/layer.tar`: links to `/etc/passwd`, which is no layer"),
        ),
        (
            "link to no layer",
            save().linked(&top, &format!("../{config}")),
            format!("`{top}/layer.tar`: links to `../{config}`, which is no layer"),
        ),
        (
            "link to a link",
            save().linked(&top, "layer.tar"),
            format!("`{top}/layer.tar`: links to `layer.tar`, which is no layer"),
        ),
        ("layer by another name", podman_named(&other), format!("`{other}.tar`: the name says `sha256:{other}`")),
        (
            "twice",
            save().with("manifest.json", file("manifest.json", "[]")),
            "`manifest.json`: appears more than once".to_owned(),
        ),
        ("not used", save().with("x.json", file("x.json", "{}")), "`x.json`: nothing refers to this blob".to_owned()),
        (
            "unused layer",
            save().with("x.tar", file("x.tar", tar([]))),
            "`x.tar`: nothing refers to this blob".to_owned(),
        ),
        (
            "unused blob",
            save().with("b", file(format!("blobs/sha256/{}", Digest::of(b"x").hex()), "x")),
            "nothing refers to this blob".to_owned(),
        ),
        ("unused directory", save().with("x/", dir("x/")), "`x/`: does not belong".to_owned()),
        (
            "lonely VERSION",
            save().with("x/VERSION", file("x/VERSION", "1.0")),
            "`x/VERSION`: nothing refers to this blob".to_owned(),
        ),
        ("outside", save().with("../x", file("../x", "")), "`../x`: does not belong".to_owned()),
        ("a device", save().with("x", special(b'3', "x")), "`x`: is a tar entry of type `3`".to_owned()),
        (
            "VERSION 2",
            save().replaced(&format!("{low}/VERSION"), "2.0"),
            format!("`{low}/VERSION`: not usable JSON: a `VERSION` is `1.0`"),
        ),
        (
            "json of another",
            save().change(&format!("{low}/json"), |json| json["id"] = "x".into()),
            format!("`{low}/json`: not usable JSON: its `id`"),
        ),
        (
            "repositories name another",
            save().change("repositories", |all| all["b"] = json!({"1": "x"})),
            "`repositories`: leads to `x` for `b:1`, but `manifest.json` to `nothing`".to_owned(),
        ),
        (
            "repositories lead elsewhere",
            save()
                .with("y", file(format!("{other}/layer.tar"), tar([file("b", "")])))
                .change("repositories", |all| all["a"]["1"] = "0c".repeat(32).into()),
            format!("`repositories`: leads to `{other}` for `a:1`, but `manifest.json` to `{top}/layer.tar`"),
        ),
        ("repositories are none", save().replaced("repositories", "[]"), "`repositories`: not usable JSON".to_owned()),
        ("no images", save().replaced("manifest.json", "[]"), "`manifest.json`: holds no image".to_owned()),
        ("no list", save().replaced("manifest.json", "7"), "`manifest.json`: not usable JSON".to_owned()),
        (
            "two meanings",
            save().replaced("manifest.json", r#"[{"Config":"a","config":"b"}]"#),
            "`manifest.json`: not usable JSON: key `config` is `Config` to some readers".to_owned(),
        ),
    ];
    for (name, docker, expected) in cases {
        let found = faults(read(&docker.tar()));
        assert!(found.iter().any(|fault| fault.contains(&expected)), "{name}: {found:#?}\n{expected}");
    }
}

impl Docker {
    fn change_layer(self, id: &str) -> Self {
        let path = format!("{id}/layer.tar");
        let mut docker = self;
        docker.set(&path, file(&path, tar([file("a", "b")])));
        docker
    }

    fn linked(mut self, id: &str, target: &str) -> Self {
        let path = format!("{id}/layer.tar");
        self.set(&path, symlink(&path, target));
        self
    }
}

fn podman_named(hex: &str) -> Docker {
    let mut docker = Docker::podman();
    let layer = tar([file("a", "a")]);
    docker.entries.retain(|(path, _)| path.contains(".json"));
    let name = format!("{hex}.tar");
    docker.set(&name, file(&name, layer));
    docker.manifest(|entry| entry["Layers"] = json!([name, name]))
}
