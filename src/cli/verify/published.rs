//! What is published: an image that can be read, or nothing but a digest.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read as _;

use serde_json::Value;

use crate::cli::diff::load;
use crate::cli::subject::{Opened, names_registry};
use crate::digest::Digest;
use crate::failure::{ExitStatus, Failure};
use crate::image::media_type::IN_TOTO;
use crate::image::{Image, KnownLayers, Platform};
use crate::limits;
use crate::reference::ImageReference;
use crate::report::verify::{TagReport, VerifyReport};
use crate::settings::RouteWords;
use crate::verify::{self, BuildRecord, Recipe};

/// The subject.
pub enum Published<'a> {
    /// A digest, and nothing behind it.
    Digest(Digest),
    /// An image, read and checked.
    Image {
        /// To read more of it.
        opened: Opened<'a>,
        /// What it is.
        image: Box<Image>,
    },
}

impl<'a> Published<'a> {
    /// Reads all of it. A tag is asked here and once more at the end; in between its digest counts.
    pub fn open(word: &OsStr, route: &'a RouteWords, report: &mut VerifyReport) -> Result<Self, Failure> {
        if word.is_empty() {
            return Err(Failure::usage(
                "the subject is empty",
                "give what is published: an empty digest equals nothing",
            ));
        }
        if let Some(digest) = digest_of(word)? {
            report.subject.digest = Some(digest.clone());
            return Ok(Self::Digest(digest));
        }
        if let Some(text) = word.to_str().filter(|text| is_file_and_reference(text)) {
            return Err(Failure::usage(
                format!("`{text}` is a file here, and an image in a registry by its name"),
                format!("write `./{text}` for the file, or `docker://{text}` for the image"),
            ));
        }
        let mut opened = Opened::open(word, route, None)?;
        let image = load(&opened, word, &KnownLayers::default())?;
        let Some(digest) = image.digest().cloned().or_else(|| config_of_only(&image)) else {
            return Err(Failure {
                status: ExitStatus::Unknown,
                message: format!("`{}` holds several images side by side", word.to_string_lossy()),
                hint: Some("verify them one by one, from archives of their own or from the registry".to_owned()),
            });
        };
        let tag = opened.reference().filter(|reference| reference.digest().is_none());
        report.subject.tag = tag.map(|reference| TagReport {
            name: reference.tag().unwrap_or("latest").to_owned(),
            at_end: None,
            moved: None,
        });
        opened.pin(&digest);
        tracing::info!("verifying {digest}");
        report.subject.digest = Some(digest);
        Ok(Self::Image { opened, image: Box::new(image) })
    }

    /// Whether it has what is asked for.
    pub fn check_platforms(&self, wanted: &[Platform]) -> Result<(), Failure> {
        let Self::Image { image, .. } = self else { return Ok(()) };
        let found: Vec<&Platform> = image
            .manifests
            .iter()
            .map(|manifest| &manifest.config.platform)
            .chain(image.docker_images.iter().map(|docker| &docker.config.platform))
            .collect();
        match wanted.iter().find(|platform| !found.iter().any(|found| platform.agrees_with(found))) {
            None => Ok(()),
            Some(missing) => {
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                Err(Failure {
                    status: ExitStatus::Unknown,
                    message: format!("what is published has no image for `{missing}`; it has {}", found.join(", ")),
                    hint: Some("`--platform` chooses among these; without it all of them are verified".to_owned()),
                })
            }
        }
    }

    /// What it says of its own build.
    pub fn recipe(&self, wanted: &[Platform], report: &mut VerifyReport) -> Result<Recipe, Failure> {
        let Self::Image { opened, image } = self else {
            let why = "a digest alone says nothing".to_owned();
            return Ok(Recipe { no_source: Some(why), ..Recipe::default() });
        };
        // Without them another build would be made, and differ.
        let records = records(opened, image).map_err(|failure| Failure {
            message: format!("its attestations could not be read: {}", failure.message),
            ..failure
        })?;
        let recipe = verify::read(image, &records, wanted);
        report.notes.extend(recipe.notes.iter().cloned());
        Ok(recipe)
    }

    /// Asks the tag again: who pushed meanwhile must not think that this is about the new image.
    pub fn ask_again(&self, report: &mut VerifyReport) {
        let (Self::Image { opened, .. }, Some(tag)) = (self, &mut report.subject.tag) else { return };
        match opened.resolve(&tag.name) {
            Some(Ok(digest)) => {
                let moved = report.subject.digest.as_ref() != Some(&digest);
                tag.moved = Some(moved);
                if moved {
                    let text = format!(
                        "the tag `{}` moved to {digest} during the run: the verdict is about the digest that it named before",
                        tag.name
                    );
                    report.notes.push(text);
                }
                tag.at_end = Some(digest);
            }
            Some(Err(failure)) => {
                report.notes.push(format!("the tag could not be asked again: {}", failure.message));
            }
            None => {}
        }
    }
}

/// A word that is a digest. A file of that name, which may lie in a stranger's checkout, is `./sha256:…`.
fn digest_of(word: &OsStr) -> Result<Option<Digest>, Failure> {
    let text = word.to_string_lossy();
    let is_one = ["sha256:", "sha512:"].iter().any(|algorithm| text.to_ascii_lowercase().starts_with(algorithm));
    if !is_one {
        return Ok(None);
    }
    let wrong = |error: crate::digest::DigestError| {
        Failure::usage(error.to_string(), "copy the whole digest: `sha256:` and 64 lower-case hexadecimal digits")
    };
    text.parse().map(Some).map_err(wrong)
}

/// Whether a word could mean either: a verdict about the wrong one would be a wrong verdict.
fn is_file_and_reference(text: &str) -> bool {
    let is_reference = !text.starts_with('.') && names_registry(text) && text.parse::<ImageReference>().is_ok();
    is_reference && std::path::Path::new(text).symlink_metadata().is_ok()
}

/// Docker's archives without manifests have an image ID and no digest.
fn config_of_only(image: &Image) -> Option<Digest> {
    match image.docker_images.as_slice() {
        [docker] if image.manifests.is_empty() => Some(docker.config.document.digest.clone()),
        _ => None,
    }
}

/// The provenance among its attestations, each with the digest of the manifest that it is about.
fn records(opened: &Opened<'_>, image: &Image) -> Result<Vec<(Option<String>, BuildRecord)>, Failure> {
    let mut wanted: BTreeMap<Digest, u64> = BTreeMap::new();
    let mut found: Vec<(Option<String>, Digest)> = Vec::new();
    let mut total = 0;
    for attestation in &image.attestations {
        let value = attestation.document.value();
        let layers = value.get("layers").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_statement = |layer: &&Value| layer.get("mediaType").and_then(Value::as_str) == Some(IN_TOTO);
        for layer in layers.iter().filter(is_statement) {
            let digest = layer.get("digest").and_then(Value::as_str).and_then(|text| text.parse::<Digest>().ok());
            let (Some(digest), Some(size)) = (digest, layer.get("size").and_then(Value::as_u64)) else { continue };
            // An SBOM is a statement, too, and says nothing of the build.
            let kind = layer.pointer("/annotations/in-toto.io~1predicate-type").and_then(Value::as_str);
            if !kind.is_some_and(|kind| kind.starts_with("https://slsa.dev/provenance/")) {
                continue;
            }
            total = size.saturating_add(total);
            if total > limits::FINDINGS_LIMIT {
                return Err(unreadable(&format!("they have more than {} bytes", limits::FINDINGS_LIMIT)));
            }
            wanted.insert(digest.clone(), size);
            found.push((attestation.subject.clone(), digest));
        }
    }
    let copies = opened.copy_blobs(&wanted)?;
    let mut records = Vec::new();
    for (subject, digest) in found {
        let mut bytes = Vec::new();
        let read = copies.open(&digest).and_then(|blob| blob.take(limits::FINDINGS_LIMIT).read_to_end(&mut bytes));
        read.map_err(|error| unreadable(&error.to_string()))?;
        records.extend(BuildRecord::parse(&bytes).map(|record| (subject, record)));
    }
    Ok(records)
}

fn unreadable(why: &str) -> Failure {
    let hint = Some("look at the registry or the archive, and try again".to_owned());
    Failure { status: ExitStatus::Unknown, message: why.to_owned(), hint }
}
