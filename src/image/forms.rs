//! The forms that an image is laid out in, each resolved in its own way.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::ReadOptions;
use super::archive::{Content, File, Members};
use super::docker_archive::Parts;
use super::escape::escape;
use super::fault::{FaultKind, ImageError};
use super::json::{self, Names};
use super::model::{Descriptor, Document, Form, Image, Root};
use super::notes::{Note, NoteKind};
use super::promises;
use super::resolve::{Resolver, path_of};
use super::source::{Container, Origin};
use crate::digest::Digest;
use crate::limits;

/// Makes the image, or tells all that is wrong.
pub fn resolve(members: Members, origin: Origin, options: &ReadOptions) -> Result<Image, ImageError> {
    let form = form_of(&members, &origin);
    let Members { blobs, mut documents, files, links, directories, unread, faults } = members;
    let mut resolver = Resolver::new(blobs, faults, options.partial);
    resolver.notes = origin.notes;
    let index = documents.remove("index.json");
    let docker_manifest = documents.remove("manifest.json");
    let mut roots = Vec::new();
    match form {
        Form::OciLayout => {
            resolver.layout(documents.get("oci-layout"));
            match &index {
                Some(index) => roots = resolver.top_index(index)?,
                None => resolver.missing("index.json"),
            }
            if let Some(entries) = docker_manifest.as_ref().and_then(|document| resolver.docker_entries(document)) {
                resolver.docker_manifest(&entries);
                let note = |kind| Note { place: "`manifest.json`".to_owned(), kind };
                resolver.notes.extend(promises::docker_names(&roots, &entries).map(note));
                if let Some(repositories) = documents.get("repositories") {
                    resolver.layout_repositories(repositories, &entries);
                }
            }
            resolver.foreign(
                &documents,
                files.keys().chain(links.keys()).chain(&directories),
                docker_manifest.is_some(),
            );
        }
        Form::DockerArchive => {
            let parts = Parts { files, links, directories, repositories: documents.remove("repositories") };
            resolver.docker_archive(docker_manifest.as_ref(), parts)?;
        }
        Form::DockerDir => roots = resolver.docker_dir(docker_manifest.as_ref(), files)?,
        Form::Registry => roots = resolver.root(origin.root)?,
    }
    resolver.unreferenced(origin.container, docker_manifest.is_some());
    let faults = resolver.faults.into_vec();
    if !faults.is_empty() {
        return Err(ImageError::Faults(faults));
    }
    Ok(Image {
        form,
        container: origin.container,
        archive_bytes: origin.bytes,
        index,
        docker_manifest: docker_manifest.filter(|_| form != Form::DockerDir),
        roots,
        indexes: resolver.indexes,
        manifests: resolver.manifests,
        attestations: resolver.attestations,
        docker_images: resolver.docker_images,
        left_out: resolver.left_out,
        seen: resolver.notes,
        unread,
    })
}

/// How the members are laid out: what stands at the top tells.
fn form_of(members: &Members, origin: &Origin) -> Form {
    let documents = &members.documents;
    let starts_with = |name: &str, byte: u8| {
        documents.get(name).is_some_and(|document| document.bytes.trim_ascii_start().first() == Some(&byte))
    };
    if origin.root.is_some() {
        return Form::Registry;
    }
    // Whoever reads layouts goes by these two, whatever else is there.
    if documents.contains_key("index.json") || documents.contains_key("oci-layout") {
        return Form::OciLayout;
    }
    if starts_with("manifest.json", b'{') && documents.contains_key("version") {
        return Form::DockerDir;
    }
    if documents.contains_key("manifest.json") { Form::DockerArchive } else { Form::OciLayout }
}

impl Resolver {
    /// Members that a layout does not have. Docker's archives hold a `repositories` besides, for the oldest readers.
    fn foreign<'m>(
        &mut self,
        documents: &BTreeMap<&'static str, Document>,
        members: impl Iterator<Item = &'m String>,
        is_docker: bool,
    ) {
        for name in members {
            self.faults.add(format!("`{}`", escape(name)), FaultKind::ForeignMember);
        }
        for name in documents.keys().filter(|name| **name == "version" || (**name == "repositories" && !is_docker)) {
            self.faults.add(format!("`{name}`"), FaultKind::ForeignMember);
        }
    }

    fn unreferenced(&mut self, container: Container, is_docker: bool) {
        if !self.is_complete {
            return;
        }
        for (digest, blob) in self.blobs.iter().filter(|(digest, _)| !self.reached.contains(*digest)) {
            let place = format!("`{}`", path_of(digest));
            let kind = match &blob.content {
                Content::Document(document) if is_docker && is_legacy_config(document) => NoteKind::LegacyConfig,
                _ if container == Container::Directory => NoteKind::Unreferenced,
                _ => {
                    self.faults.add(place, FaultKind::Unreferenced);
                    continue;
                }
            };
            if self.notes.len() < limits::FAULTS {
                self.notes.push(Note { place, kind });
            }
        }
    }

    /// A registry names the image itself: there is no `index.json`.
    fn root(&mut self, root: Option<(Descriptor, String)>) -> Result<Vec<Root>, ImageError> {
        let Some((descriptor, name)) = root else { return Ok(Vec::new()) };
        let place = format!("`{}`", escape(&name));
        let digest = descriptor.digest.clone();
        self.follow(&place, descriptor, 1)?;
        if self.manifests.is_empty() && self.is_complete {
            self.faults.add(place, FaultKind::NoImage);
        }
        Ok(vec![Root { digest, names: vec![name], annotations: BTreeMap::new() }])
    }

    /// skopeo's `dir:`: `manifest.json` is the manifest itself, every other file is named by its digest.
    fn docker_dir(
        &mut self,
        manifest: Option<&Document>,
        files: BTreeMap<String, File>,
    ) -> Result<Vec<Root>, ImageError> {
        for (name, File { digest, blob }) in files {
            let place = format!("`{}`", escape(&name));
            if name.strip_prefix("signature-").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
                self.notes.push(Note { place, kind: NoteKind::Signature });
                continue;
            }
            // Manifests of an index have a suffix, blobs have none.
            let hex = name.strip_suffix(".manifest.json").unwrap_or(&name);
            match format!("sha256:{hex}").parse::<Digest>() {
                Ok(expected) => {
                    if expected != digest {
                        self.faults.add(place, FaultKind::Digest { expected: expected.clone(), found: digest });
                    }
                    self.blobs.insert(expected, blob);
                }
                Err(_) => self.faults.add(place, FaultKind::ForeignMember),
            }
        }
        let Some(document) = manifest else { return Ok(Vec::new()) };
        // podman and skopeo unpack layers on the way here and leave Docker's manifest as it was; all readers look at the bytes.
        self.may_be_unpacked = true;
        let (digest, size) = (document.digest.clone(), document.size());
        let blob = super::archive::Blob { size, content: Content::Document(document.clone()) };
        self.blobs.insert(digest.clone(), blob);
        let descriptor =
            Descriptor { media_type: String::new(), digest, size, platform: None, annotations: BTreeMap::new() };
        let roots = self.root(Some((descriptor, "manifest.json".to_owned())))?;
        Ok(roots.into_iter().map(|root| Root { names: Vec::new(), ..root }).collect())
    }
}

/// Whether this is what Docker before 1.10 had for a layer. `docker save` writes one for each, which nothing refers to.
fn is_legacy_config(document: &Document) -> bool {
    #[derive(Deserialize)]
    struct Fields {
        id: String,
        layers: Option<serde::de::IgnoredAny>,
        manifests: Option<serde::de::IgnoredAny>,
        rootfs: Option<serde::de::IgnoredAny>,
    }
    json::parse::<Fields>(Names::Fields, &document.bytes).is_ok_and(|fields| {
        let is_id = fields.id.len() == 64 && fields.id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id && fields.layers.is_none() && fields.manifests.is_none() && fields.rootfs.is_none()
    })
}
