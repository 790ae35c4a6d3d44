//! `repro index`: what was built apart, joined in the registry.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help, where brackets mean that a part may be left out"
)]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Write as _};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::format::Format;
use super::push::{Way, check_tag, parse_reference, push_to, tag_of};
use super::subject::until_interrupted;
use super::{print_with, with_tokio};
use crate::digest::Digest;
use crate::failure::{ExitStatus, Failure, chain};
use crate::image::{self, IndexAnnotations};
use crate::plan::{Annotation, AnnotationTarget};
use crate::reference::ImageReference;
use crate::registry::{IndexError, IndexShipment, Part, Pushed, Repository, Supply, Target, join};
use crate::report::json::write_json;
use crate::runtime::registry_options;
use crate::settings::RouteWords;

/// The arguments of `repro index`.
#[derive(Debug, Args)]
pub struct IndexCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Join images to one index, byte for byte as BuildKit would have written it, and push that
    Create(CreateCommand),
}

impl IndexCommand {
    /// Runs the action.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        match &self.action {
            Action::Create(command) => command.run(),
        }
    }
}

/// The arguments of `repro index create`.
#[derive(Debug, Args)]
struct CreateCommand {
    /// Where the index goes: REGISTRY/NAME[:TAG], without a tag as `latest`; or REGISTRY/NAME@DIGEST
    #[arg(value_name = "REFERENCE", value_parser = parse_reference)]
    reference: ImageReference,

    /// The images in the order of the index, each for one platform, or whole indexes: REGISTRY/NAME@DIGEST
    ///
    /// What the repository of the index does not have of them is mounted or copied into it. The platform of each is what its config
    /// says.
    #[arg(value_name = "SOURCE", required = true, value_parser = parse_source)]
    sources: Vec<ImageReference>,

    /// An annotation of the index, or of what is named before a colon; may be given several times
    ///
    /// [index|manifest-descriptor[[PLATFORM]]:]KEY=VALUE
    #[arg(long, value_name = "[TARGET:]KEY=VALUE")]
    annotation: Vec<String>,

    /// Name it by its digest alone: no tag is made or moved
    #[arg(long)]
    by_digest: bool,

    /// What to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    route: RouteWords,
}

/// The name and version of the JSON form. See `docs/schema/index.v1.json`.
const SCHEMA: &str = "repro.index.v1";

/// What was joined, and what became of it.
#[derive(Serialize)]
struct IndexReport<'a> {
    schema: &'static str,
    reference: String,
    digest: &'a Digest,
    media_type: &'a str,
    previous: Option<&'a Digest>,
    changed: bool,
    sent: usize,
    sent_bytes: u64,
    mounted: usize,
    present: usize,
    images: Vec<ImageReport<'a>>,
    attestations: usize,
}

/// One image of the index.
#[derive(Serialize)]
struct ImageReport<'a> {
    platform: String,
    digest: &'a Digest,
    source: String,
}

fn parse_source(text: &str) -> Result<ImageReference, String> {
    let reference = parse_reference(text)?;
    if reference.digest().is_none() {
        return Err("it has no digest, and a tag may be moved: give NAME@DIGEST, as `repro push` prints it".to_owned());
    }
    Ok(reference)
}

impl CreateCommand {
    /// Reads what the images say of themselves, pushes the index, and prints where it is.
    fn run(&self) -> Result<ExitStatus, Failure> {
        check_tag(&self.reference, self.by_digest)?;
        let annotations = parse_annotations(&self.annotation)?;
        let target = self.target();
        let (index, pushed) = with_tokio(async |environment, interrupt| {
            let way = Way { route: &self.route, environment, interrupt };
            let repositories = self.repositories(way)?;
            let index = self.join(&repositories, annotations, way).await?;
            self.check_digest(&index)?;
            let place = |at: usize| repositories.get(at).map(Arc::clone);
            let places = index.parts.iter().filter_map(|(digest, at)| Some((digest.clone(), place(*at)?)));
            let supply = Supply::from_registry(places.collect());
            let pushed = push_to(&self.reference, &target, &index.shipment, &supply, way).await?;
            Ok((index, pushed))
        })?;
        let report = self.report(&index, &pushed, target.tag.as_deref());
        print_with(|out| match self.format {
            Format::Text => writeln!(out, "{}", report.reference),
            Format::Json => write_json(&report, out).map_err(io::Error::from),
        })?;
        Ok(ExitStatus::Success)
    }

    fn target(&self) -> Target {
        let others = self.sources.iter().filter(|source| source.registry() == self.reference.registry());
        let others = others.map(|source| source.repository().to_owned());
        let mut mount_from: Vec<String> = others.filter(|name| name != self.reference.repository()).collect();
        mount_from.sort();
        mount_from.dedup();
        Target { tag: tag_of(&self.reference, self.by_digest), mount_from }
    }

    /// That of each source, opened once.
    fn repositories(&self, way: Way<'_>) -> Result<Vec<Arc<Repository>>, Failure> {
        let mut opened = BTreeMap::new();
        let mut repositories = Vec::new();
        for source in &self.sources {
            let repository = match opened.entry((source.registry(), source.repository())) {
                Entry::Occupied(known) => Arc::clone(known.get()),
                Entry::Vacant(place) => {
                    let options = registry_options(way.environment, &way.route.resolve(way.environment)?);
                    let opened = Repository::open(source, options).map_err(|error| self.not_joined(&error.into()))?;
                    Arc::clone(place.insert(Arc::new(opened)))
                }
            };
            repositories.push(repository);
        }
        Ok(repositories)
    }

    async fn join(
        &self,
        repositories: &[Arc<Repository>],
        annotations: IndexAnnotations,
        way: Way<'_>,
    ) -> Result<IndexShipment, Failure> {
        let parts = repositories.iter().zip(&self.sources);
        let part =
            |(repository, source): (_, &ImageReference)| Some(Part { repository, digest: source.digest()?.clone() });
        let parts: Vec<Part<'_>> = parts.map(|(repository, source)| (&**repository, source)).filter_map(part).collect();
        let joined = until_interrupted(join(&parts, annotations), way.interrupt).await?;
        joined.map_err(|error| self.not_joined(&error))
    }

    fn not_joined(&self, error: &IndexError) -> Failure {
        let status = match error {
            IndexError::Registry(_) => ExitStatus::Unknown,
            IndexError::Document { .. } | IndexError::TooLarge => ExitStatus::Corrupt,
            IndexError::Join(_) => ExitStatus::Usage,
        };
        let message = format!("no index for `{}`: {}", self.reference, chain(error));
        Failure { status, message, hint: Some(error.hint().to_owned()) }
    }

    /// Where the reference says what it is to be, it is that.
    fn check_digest(&self, index: &IndexShipment) -> Result<(), Failure> {
        let digest = &index.shipment.root().digest;
        match self.reference.digest() {
            Some(expected) if expected != digest => Err(Failure {
                status: ExitStatus::Different,
                message: format!("the index is {digest}, and not {expected}"),
                hint: Some("nothing was pushed; leave the digest out to push whatever it is".to_owned()),
            }),
            _ => Ok(()),
        }
    }

    fn report<'a>(&self, index: &'a IndexShipment, pushed: &'a Pushed, tag: Option<&str>) -> IndexReport<'a> {
        let root = index.shipment.root();
        let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        let images = index.images.iter().map(|image| ImageReport {
            platform: image.platform.to_string(),
            digest: &image.digest,
            source: self.sources.get(image.part).map(ToString::to_string).unwrap_or_default(),
        });
        IndexReport {
            schema: SCHEMA,
            reference: format!("{}{tag}@{}", self.reference.name(), root.digest),
            digest: &root.digest,
            media_type: &root.media_type,
            previous: pushed.previous.as_ref(),
            changed: pushed.previous.as_ref() != Some(&root.digest),
            sent: pushed.sent,
            sent_bytes: pushed.sent_bytes,
            mounted: pushed.mounted,
            present: pushed.present,
            images: images.collect(),
            attestations: index.attestations,
        }
    }
}

/// The words of `repro build` for annotations, as far as they are about an index.
fn parse_annotations(words: &[String]) -> Result<IndexAnnotations, Failure> {
    const HINT: &str =
        "write index:KEY=VALUE, manifest-descriptor:KEY=VALUE or manifest-descriptor[PLATFORM]:KEY=VALUE";
    let mut wanted = IndexAnnotations::default();
    for word in words {
        let usage = |message| Failure::usage(message, HINT);
        let refused = |why: &str| usage(format!("annotation `{word}`: {why}"));
        let parsed = Annotation::parse_of(word, AnnotationTarget::Index);
        for Annotation { target, platform, key, value } in parsed.map_err(|error| usage(error.to_string()))? {
            match (target, platform) {
                (AnnotationTarget::Index, None) => {
                    wanted.index.insert(key, value);
                }
                (AnnotationTarget::ManifestDescriptor, platform) => {
                    let platform: Result<Option<image::Platform>, _> =
                        platform.map(|platform| platform.to_string().parse()).transpose();
                    let platform = platform.map_err(|error| refused(&error.to_string()))?;
                    wanted.images.push((platform, key, value));
                }
                (AnnotationTarget::Index, Some(_)) => {
                    return Err(refused("the index is for all platforms"));
                }
                (AnnotationTarget::Manifest, _) => {
                    return Err(refused("manifests stay as they are; `repro build` takes it"));
                }
                (AnnotationTarget::IndexDescriptor, _) => {
                    return Err(refused("in a registry nothing names the index but its tag"));
                }
            }
        }
    }
    Ok(wanted)
}
