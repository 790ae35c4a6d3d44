//! `repro push`: an image that was checked, to registries, unchanged.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help, where brackets mean that a part may be left out"
)]

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};

use clap::Args;
use serde::Serialize;

use super::diff::load_with;
use super::format::Format;
use super::subject::{Opened, TRANSPORT, names_registry, until_interrupted};
use super::{print_with, with_tokio};
use crate::build::known_layers;
use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure, chain};
use crate::image::ReadOptions;
use crate::reference::{ImageReference, ReferenceError};
use crate::registry::{PushError, Pushed, RegistryError, Repository, Shipment, ShipmentError, Supply, Target, push};
use crate::report::json::write_json;
use crate::runtime::interrupt::Interrupt;
use crate::runtime::registry_options;
use crate::settings::RouteWords;

/// Arguments of `repro push`.
#[derive(Debug, Clone, Args)]
pub struct PushCommand {
    /// The image: an archive, a directory, or `-` for standard input
    ///
    /// Every byte of it is checked before the first one is sent. It keeps its digest; what has none in a registry (archives of
    /// `docker save` before release 25) is refused.
    #[arg(value_name = "IMAGE")]
    image: OsString,

    /// Where it goes: REGISTRY/NAME[:TAG], without a tag as `latest`; or REGISTRY/NAME@DIGEST
    #[arg(value_name = "REFERENCE", required = true, value_parser = parse_reference)]
    pub(super) references: Vec<ImageReference>,

    /// Name it by its digest alone: no tag is made or moved
    #[arg(long)]
    by_digest: bool,

    /// A repository of the same registry that may have layers of it, which need not be sent then
    #[arg(long, value_name = "NAME")]
    mount_from: Vec<String>,

    /// What to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    #[command(flatten)]
    route: RouteWords,
}

/// The name and version of the JSON form. See `docs/schema/push.v1.json`.
const SCHEMA: &str = "repro.push.v1";

/// What was pushed where.
#[derive(Debug, Serialize)]
pub(super) struct PushReport {
    schema: &'static str,
    digest: Digest,
    pub(super) references: Vec<ReferenceReport>,
}

/// One place.
#[derive(Debug, Serialize)]
pub(super) struct ReferenceReport {
    /// The name with the tag and the digest.
    pub(super) reference: String,
    /// What it stood for before.
    pub(super) previous: Option<Digest>,
    /// Whether that is something else.
    pub(super) changed: bool,
    sent: usize,
    sent_bytes: u64,
    mounted: usize,
    present: usize,
}

impl PushReport {
    /// Adds what became of one place, by its name without the digest.
    fn add(&mut self, name: &str, pushed: &Pushed) {
        self.references.push(ReferenceReport {
            reference: format!("{name}@{}", self.digest),
            previous: pushed.previous.clone(),
            changed: pushed.previous.as_ref() != Some(&self.digest),
            sent: pushed.sent,
            sent_bytes: pushed.sent_bytes,
            mounted: pushed.mounted,
            present: pushed.present,
        });
    }
}

pub(super) fn parse_reference(text: &str) -> Result<ImageReference, String> {
    let reference = text.strip_prefix(TRANSPORT);
    if reference.is_none() && !names_registry(text) {
        // A bare word is much rather a file of which the shell knows more than one.
        return Err(format!("write REGISTRY/NAME; Docker Hub's is `docker://{text}`, or `docker.io/…`"));
    }
    reference.unwrap_or(text).parse().map_err(|error: ReferenceError| format!("{error}; {}", error.hint()))
}

impl PushCommand {
    /// Reads and checks the image, pushes it to each reference in turn, and prints where it is.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        let (report, failure) = self.push()?;
        // What was pushed before something went wrong is there, and whoever has to take it back must know.
        if failure.is_none() || !report.references.is_empty() {
            print_with(|out| match self.format {
                Format::Text => report.references.iter().try_for_each(|one| writeln!(out, "{}", one.reference)),
                Format::Json => write_json(&report, out).map_err(io::Error::from),
            })?;
        }
        failure.map_or(Ok(ExitStatus::Success), Err)
    }

    /// What can be told before anything is read.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.references.iter().try_for_each(|reference| check_tag(reference, self.by_digest))
    }

    /// What was pushed, and what went wrong with the rest.
    pub(super) fn push(&self) -> Result<(PushReport, Option<Failure>), Failure> {
        self.check()?;
        let opened = Opened::open(&self.image, &self.route, None)?;
        if opened.reference().is_some() {
            return Err(self.not_here());
        }
        // What was just built was inflated and looked through just now; hashed it is on its way.
        let state = Environment::of_this_process().state_directory();
        let known = state.map(|state| known_layers(&state)).unwrap_or_default();
        let options = ReadOptions { known, leave_known: true, partial: true, ..ReadOptions::default() };
        let image = load_with(&opened, &self.image, options)?;
        let supply = opened.supply(&image).ok_or_else(|| self.not_here())?;
        let shipment = Shipment::of(&image).map_err(|error| self.refused(&error))?;
        drop(image);
        let digest = &shipment.root().digest;
        if let Some(other) = self.references.iter().find(|reference| reference.digest().is_some_and(|it| it != digest))
        {
            return Err(Failure {
                status: ExitStatus::Different,
                message: format!("`{}` is {digest}, and not {other}", self.image.to_string_lossy()),
                hint: Some("nothing was pushed; leave the digest out to push whatever it is".to_owned()),
            });
        }
        let mut report = PushReport { schema: SCHEMA, digest: digest.clone(), references: Vec::new() };
        let pushed = with_tokio(async |environment, interrupt| {
            for (at, reference) in self.references.iter().enumerate() {
                let target = self.target(at, reference);
                let way = Way { route: &self.route, environment, interrupt };
                let pushed = push_to(reference, &target, &shipment, &supply, way).await?;
                let tag = target.tag.map(|tag| format!(":{tag}")).unwrap_or_default();
                report.add(&format!("{}{tag}", reference.name()), &pushed);
            }
            Ok(())
        });
        Ok((report, pushed.err()))
    }

    fn target(&self, at: usize, reference: &ImageReference) -> Target {
        let tag = tag_of(reference, self.by_digest);
        // What was pushed there a moment ago.
        let before = self.references[..at].iter().filter(|one| one.registry() == reference.registry());
        let before = before.map(|one| one.repository().to_owned());
        let mut mount_from: Vec<String> = before.chain(self.mount_from.iter().cloned()).collect();
        mount_from.retain(|name| name != reference.repository());
        mount_from.sort();
        mount_from.dedup();
        Target { tag, mount_from }
    }

    /// What is read is not on this machine.
    fn not_here(&self) -> Failure {
        let word = self.image.to_string_lossy();
        let message = if word.starts_with("docker://") {
            format!("`{word}` is in a registry already")
        } else {
            format!("there is no file `{word}`")
        };
        Failure::usage(message, "`repro push` takes an archive or a directory; `skopeo copy` goes between registries")
    }

    fn refused(&self, error: &ShipmentError) -> Failure {
        Failure {
            status: ExitStatus::Unknown,
            message: format!("`{}` is not pushed: {error}", OsStr::new(&self.image).to_string_lossy()),
            hint: Some(error.hint().to_owned()),
        }
    }
}

/// Refuses a tag where none is to be made.
pub(super) fn check_tag(reference: &ImageReference, by_digest: bool) -> Result<(), Failure> {
    if by_digest && reference.tag().is_some() {
        let message = format!("--by-digest makes no tag, and `{reference}` has one");
        return Err(Failure::usage(message, "leave the tag or the flag out"));
    }
    Ok(())
}

/// The tag that is to name what is pushed; none where its digest alone does.
pub(super) fn tag_of(reference: &ImageReference, by_digest: bool) -> Option<String> {
    let is_untagged = by_digest || (reference.digest().is_some() && reference.tag().is_none());
    (!is_untagged).then(|| reference.tag().unwrap_or("latest").to_owned())
}

/// How the world is reached.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) route: &'a RouteWords,
    pub(super) environment: &'a Environment,
    pub(super) interrupt: &'a Interrupt,
}

/// Pushes it to one place.
pub(super) async fn push_to(
    reference: &ImageReference,
    target: &Target,
    shipment: &Shipment,
    supply: &Supply,
    way: Way<'_>,
) -> Result<Pushed, Failure> {
    let pushed = match push_once(reference, target, shipment, supply, way).await? {
        // A token server may refuse all for a repository that only would have saved work.
        Err(PushError::Registry(RegistryError::Unauthorized { .. } | RegistryError::Status { status: 403, .. }))
            if !target.mount_from.is_empty() =>
        {
            let target = Target { mount_from: Vec::new(), ..target.clone() };
            push_once(reference, &target, shipment, supply, way).await?
        }
        other => other,
    };
    let pushed = pushed.map_err(|error| Failure {
        status: match error {
            PushError::Corrupt(_) => ExitStatus::Corrupt,
            _ => ExitStatus::Unknown,
        },
        message: format!("`{}`: {}", reference.name(), chain(&error)),
        hint: Some(error.hint().to_owned()),
    })?;
    tracing::info!(
        "{}: {} blobs with {} bytes sent, {} mounted, {} were there",
        reference.name(),
        pushed.sent,
        pushed.sent_bytes,
        pushed.mounted,
        pushed.present
    );
    Ok(pushed)
}

async fn push_once(
    reference: &ImageReference,
    target: &Target,
    shipment: &Shipment,
    supply: &Supply,
    way: Way<'_>,
) -> Result<Result<Pushed, PushError>, Failure> {
    let options = registry_options(way.environment, &way.route.resolve(way.environment)?);
    match Repository::open_to_write(reference, options, &target.mount_from) {
        Ok(repository) => until_interrupted(push(shipment, &repository, target, supply), way.interrupt).await,
        Err(error) => Ok(Err(error.into())),
    }
}
