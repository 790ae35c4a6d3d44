//! Docker's archives without an image layout: what `docker save` wrote before release 25, and podman, skopeo, buildah and
//! crane still write.
//!
//! `manifest.json` leads to a config and to layers by their paths. Beside them stands what Docker before 1.10 went by: a
//! directory for each layer with `VERSION`, `json` and `layer.tar`, which may be a link, and `repositories` with the names.
//! Some readers go by that still, thus it has to lead to the same. There is no manifest, so no digest of a registry.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use super::archive::{Content, File};
use super::escape::{escape, escape_bytes};
use super::fault::{FaultKind, ImageError, shorten};
use super::json::{self, Names};
use super::media_type::{Compression, DOCKER_CONFIG, DOCKER_LAYER};
use super::model::{Descriptor, DockerImage, Document, Layer};
use super::promises::{self, DockerEntry};
use super::resolve::{Resolver, path_of};
use crate::digest::Digest;

/// What the archive holds besides `manifest.json`.
pub struct Parts {
    /// Files, by path.
    pub files: BTreeMap<String, File>,
    /// Links, by path.
    pub links: BTreeMap<String, Vec<u8>>,
    /// Directories.
    pub directories: Vec<String>,
    /// Names, for the oldest readers.
    pub repositories: Option<Document>,
}

/// The description of a layer in its directory.
#[derive(Deserialize)]
struct LegacyConfig {
    id: String,
}

/// Files by path, and which of them somebody refers to.
#[derive(Default)]
struct Shelf {
    files: BTreeMap<String, Digest>,
    links: BTreeMap<String, Option<String>>,
    used: BTreeSet<String>,
}

impl Shelf {
    /// The path of the file that `path` means, once a link is followed.
    fn real<'s>(&'s self, path: &'s str) -> Option<&'s str> {
        if self.files.contains_key(path) {
            return Some(path);
        }
        self.links.get(path)?.as_deref()
    }
}

impl Resolver {
    /// Follows `manifest.json` to the images, and holds everything else against them.
    pub(super) fn docker_archive(&mut self, manifest: Option<&Document>, parts: Parts) -> Result<(), ImageError> {
        let Some(manifest) = manifest else {
            self.missing("manifest.json");
            return Ok(());
        };
        let Some(entries) = self.docker_entries(manifest) else { return Ok(()) };
        let Parts { files, links, directories, repositories } = parts;
        self.legacy_files(&files, &links);
        let links = links.into_iter().map(|(path, target)| (path.clone(), self.link(&path, &target, &files))).collect();
        let mut archive = Shelf { links, ..Shelf::default() };
        for (path, File { digest, blob }) in files {
            archive.files.insert(path, digest.clone());
            self.blobs.entry(digest).or_insert(blob);
        }
        for digest in self.blobs.keys() {
            archive.files.entry(path_of(digest)).or_insert_with(|| digest.clone());
        }
        for (at, entry) in entries.iter().enumerate() {
            if let Some(image) = self.docker_image(&format!("`manifest.json` [{at}]"), entry, &mut archive)? {
                self.docker_images.push(image);
            }
        }
        if let Some(document) = &repositories {
            self.repositories(document, &entries, &archive);
        }
        self.left_over(&archive, &directories);
        Ok(())
    }

    fn docker_image(
        &mut self,
        place: &str,
        entry: &DockerEntry,
        archive: &mut Shelf,
    ) -> Result<Option<DockerImage>, ImageError> {
        let config = self.docker_config(&entry.config, archive)?;
        let diff_ids = config.as_ref().map(|(_, diff_ids)| diff_ids.as_slice());
        if let Some(kind) = diff_ids.and_then(|diff_ids| promises::layer_count(diff_ids, entry.layers.len())) {
            self.faults.add(place, kind);
        }
        let mut layers = Vec::new();
        for (at, path) in entry.layers.iter().enumerate() {
            let diff_id = diff_ids.and_then(|diff_ids| diff_ids.get(at));
            layers.extend(self.docker_layer(path, diff_id, archive));
        }
        let Some((mut config, _)) = config else { return Ok(None) };
        if let Some(kind) = promises::history(&config.history, entry.layers.len()) {
            self.faults.add(format!("`{}`", shorten(&escape(&entry.config))), kind);
        }
        // Nothing in the archive says a media type.
        config.descriptor.media_type.clear();
        let mut names = entry.repo_tags.clone();
        names.sort();
        names.dedup();
        Ok(Some(DockerImage { names, config, layers }))
    }

    fn docker_config(
        &mut self,
        path: &str,
        archive: &mut Shelf,
    ) -> Result<Option<(super::model::Config, Vec<Digest>)>, ImageError> {
        let place = format!("`{}`", escape(path));
        let Some(descriptor) = self.take(path, archive) else { return Ok(None) };
        if let Some(expected) = digest_in(path).filter(|expected| *expected != descriptor.digest) {
            let kind = FaultKind::Digest { expected, found: descriptor.digest.clone() };
            self.faults.add(place.clone(), kind);
        }
        self.config(&place, Descriptor { media_type: DOCKER_CONFIG.to_owned(), ..descriptor })
    }

    fn docker_layer(&mut self, path: &str, diff_id: Option<&Digest>, archive: &mut Shelf) -> Option<Layer> {
        let place = format!("`{}`", escape(path));
        let descriptor = self.take(path, archive)?;
        // The resolver holds media types against bytes; here only the bytes say anything.
        let suffix = match self.blobs.get(&descriptor.digest).map(|blob| &blob.content) {
            Some(Content::Layer(Ok(content))) => match content.compression {
                Compression::None => "",
                Compression::Gzip => ".gzip",
                Compression::Zstd => ".zstd",
            },
            _ => "",
        };
        let media_type = format!("{DOCKER_LAYER}{suffix}");
        let mut layer = self.layer(&place, Descriptor { media_type, ..descriptor }, diff_id)?;
        layer.descriptor.media_type.clear();
        // podman and skopeo name a layer by its tar, crane by its blob.
        let real = archive.real(path).unwrap_or(path);
        let is_other = |name: &Digest| *name != layer.diff_id && *name != layer.descriptor.digest;
        if let Some(expected) = digest_in(real).filter(is_other) {
            self.faults.add(place, FaultKind::Digest { expected, found: layer.descriptor.digest.clone() });
        }
        Some(layer)
    }

    /// A descriptor of the file at `path`, which is in use from here on.
    fn take(&mut self, path: &str, archive: &mut Shelf) -> Option<Descriptor> {
        let path = path.strip_prefix("./").unwrap_or(path);
        archive.used.insert(path.to_owned());
        let Some(real) = archive.real(path).map(str::to_owned) else {
            self.is_complete = false;
            // A link that leads nowhere is told where it stands.
            if !archive.links.contains_key(path) {
                self.faults.add(format!("`{}`", escape(path)), FaultKind::MissingMember);
            }
            return None;
        };
        let digest = archive.files.get(&real)?.clone();
        let size = self.blobs.get(&digest)?.size;
        archive.used.insert(real);
        Some(Descriptor { media_type: String::new(), digest, size, platform: None, annotations: BTreeMap::new() })
    }

    /// Where a link leads: to a layer of this archive, by one step, or to a fault.
    fn link(&mut self, path: &str, target: &[u8], files: &BTreeMap<String, File>) -> Option<String> {
        let found = std::str::from_utf8(target).ok().and_then(|target| beside(path, target));
        let is_layer =
            |path: &String| files.get(path).is_some_and(|file| matches!(file.blob.content, Content::Layer(_)));
        let found = found.filter(is_layer);
        if found.is_none() {
            self.faults.add(format!("`{}`", escape(path)), FaultKind::LinkTarget(escape_bytes(target)));
        }
        found
    }

    /// The two small files in the directory of a layer.
    fn legacy_files(&mut self, files: &BTreeMap<String, File>, links: &BTreeMap<String, Vec<u8>>) {
        for (path, file) in files {
            let Some((id, name)) = legacy(path) else { continue };
            let place = format!("`{}`", escape(path));
            let layer = format!("{id}/layer.tar");
            if !files.contains_key(&layer) && !links.contains_key(&layer) {
                self.faults.add(place, FaultKind::Unreferenced);
                continue;
            }
            match (name, &file.blob.content) {
                ("VERSION", _) if ["1.0", "1.0\n"].iter().all(|text| Digest::of(text.as_bytes()) != file.digest) => {
                    let kind = FaultKind::Json("a `VERSION` is `1.0`, and this is something else".to_owned());
                    self.faults.add(place, kind);
                }
                ("json", Content::Document(document)) => {
                    match json::parse::<LegacyConfig>(Names::Fields, &document.bytes) {
                        Ok(config) if config.id == id => {}
                        Ok(_) => {
                            let kind = FaultKind::Json("its `id` is not the name of its directory".to_owned());
                            self.faults.add(place, kind);
                        }
                        Err(reason) => self.faults.add(place, FaultKind::Json(reason)),
                    }
                }
                ("json", _) => self.faults.add(place, FaultKind::Json("it holds something else".to_owned())),
                _ => {}
            }
        }
    }

    /// The same document beside an image layout, as `docker save` writes it since release 25.
    pub(super) fn layout_repositories(&mut self, document: &Document, entries: &[DockerEntry]) {
        self.repositories(document, entries, &Shelf::default());
    }

    /// `repositories` has to name what `manifest.json` names, and to lead to the same topmost layer.
    fn repositories(&mut self, document: &Document, entries: &[DockerEntry], archive: &Shelf) {
        let place = "`repositories`";
        let repositories: BTreeMap<String, BTreeMap<String, String>> = match json::parse(Names::Free, &document.bytes) {
            Ok(repositories) => repositories,
            Err(reason) => return self.faults.add(place, FaultKind::Json(reason)),
        };
        let mut named = HashMap::new();
        for entry in entries {
            named.extend(entry.repo_tags.iter().map(|tag| (tag.as_str(), entry)));
        }
        for (repository, tags) in &repositories {
            for (tag, id) in tags {
                let name = format!("{repository}:{tag}");
                let entry = named.get(name.as_str()).copied();
                let expected = entry.and_then(|entry| entry.layers.last());
                let layer = format!("{id}/layer.tar");
                let found = archive.real(&layer);
                let leads_to_the_same = match (expected, found) {
                    (Some(expected), Some(found)) => archive.real(expected) == Some(found),
                    // Whoever writes no directories for the oldest readers has nothing there that could differ.
                    (Some(_), None) => true,
                    (None, _) => entry.is_some(),
                };
                if !leads_to_the_same {
                    let expected = expected.map_or_else(|| "nothing".to_owned(), |path| escape(path).into_owned());
                    let (name, found) = (escape(&name).into_owned(), escape(id).into_owned());
                    self.faults.add(place, FaultKind::Legacy { name, expected, found });
                }
            }
        }
    }

    /// What nothing refers to.
    fn left_over(&mut self, archive: &Shelf, directories: &[String]) {
        let paths = archive.files.iter().map(|(path, digest)| (path, Some(digest)));
        for (path, digest) in paths.chain(archive.links.keys().map(|path| (path, None))) {
            let is_legacy = legacy(path).is_some() || (digest.is_none() && path.ends_with("/layer.tar"));
            let is_elsewhere = digest.is_some_and(|digest| *path == path_of(digest));
            if !archive.used.contains(path) && !is_legacy && !is_elsewhere && self.is_complete {
                self.faults.add(format!("`{}`", escape(path)), FaultKind::Unreferenced);
            }
            // Told by its path, it needs not be told by its digest.
            self.reached.extend(digest.filter(|_| !is_elsewhere).cloned());
        }
        let inside = archive.files.keys().chain(archive.links.keys());
        let parents: BTreeSet<&str> = inside.filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
        for directory in directories {
            if !parents.contains(directory.trim_end_matches('/')) {
                self.faults.add(format!("`{}`", escape(directory)), FaultKind::ForeignMember);
            }
        }
    }
}

/// The directory and the name of a small file of Docker's oldest form.
fn legacy(path: &str) -> Option<(&str, &str)> {
    path.split_once('/').filter(|(_, name)| matches!(*name, "VERSION" | "json"))
}

/// The digest that the name of a file promises: `HEX.json`, `HEX.tar`, `HEX.tar.gz`, `sha256:HEX`.
fn digest_in(path: &str) -> Option<Digest> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = name.strip_prefix("sha256:").unwrap_or(name);
    let stem = name.split('.').next().unwrap_or(name);
    format!("sha256:{stem}").parse().ok()
}

/// The path that `target` means in a link at `path`; none where it is absolute, leaves the archive or is the link itself.
fn beside(path: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut steps: Vec<&str> = path.split('/').collect();
    steps.pop();
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop()?;
            }
            step => steps.push(step),
        }
    }
    Some(steps.join("/")).filter(|found| found != path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        for (path, target, found) in [
            ("a/layer.tar", "../b/layer.tar", Some("b/layer.tar")),
            ("a/layer.tar", "../b.tar", Some("b.tar")),
            ("a/layer.tar", "./layer.tar", None),
            ("a/layer.tar", "../../b.tar", None),
            ("a/layer.tar", "/b.tar", None),
            ("layer.tar", "b/../c.tar", Some("c.tar")),
            ("layer.tar", "..", None),
        ] {
            assert_eq!(beside(path, target).as_deref(), found, "{path} -> {target}");
        }
    }

    #[test]
    fn names_may_promise_a_digest() {
        let hex = "0a".repeat(32);
        for (name, promises) in [
            (format!("{hex}.json"), true),
            (format!("{hex}.tar.gz"), true),
            (format!("sha256:{hex}"), true),
            (format!("x/{hex}.tar"), true),
            (format!("{hex}/layer.tar"), false),
            ("config.json".to_owned(), false),
        ] {
            assert_eq!(digest_in(&name).is_some(), promises, "{name}");
        }
    }
}
