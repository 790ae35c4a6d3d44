//! Build, check, and push what was checked.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chrono::DateTime;

use super::Step;
use super::cache_map::{self, Mapped};
use super::cache_mounts::CacheMounts;
use super::exporter::{Exporter, check_cache, check_destination};
use super::inputs::{Inputs, Words, wrong};
use super::sbom::{Generator, Scanner};
use crate::build::BuildOutcome;
use crate::cli::build::{self, BuildCommand};
use crate::cli::files::not_written;
use crate::cli::push::{PushCommand, PushReport};
use crate::cli::subject::{TRANSPORT, failed, until_interrupted};
use crate::cli::with_tokio;
use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::image::escape::escape;
use crate::reference::{ImageReference, ReferenceError};
use crate::registry::{RegistryError, Repository};
use crate::report::github::{AttachedTo, PushedTo, build_markdown, failure_markdown};
use crate::runtime::registry_options;
use crate::runtime::steps::{csv_field, csv_path};
use crate::settings::{BuildSettings, RouteWords};

/// Does what the inputs of `action/action.yml` say.
pub fn run(inputs: Inputs<'_>, step: &mut Step, environment: &Environment) -> Result<ExitStatus, Failure> {
    let Asked { build, push, deployed, generator, cache_map, archive } = Asked::read(inputs, step, environment)?;
    let settings = build.resolve(environment)?;
    let mut mounts = CacheMounts::prepare(cache_map, &settings, &archive)?;
    let ended = with_tokio(async |environment, interrupt| {
        let scanner = match &generator {
            Some(generator) => Some(generator.resolve(environment, interrupt).await?),
            None => None,
        };
        mounts.fill(&settings, step, environment, interrupt).await?;
        let built = build::build(&settings, environment, interrupt).await?;
        mounts.take_out((&built, &settings), step, environment, interrupt).await?;
        Ok((scanner, built))
    });
    mounts.tell(step);
    let (scanner, built) = ended?;
    tell_built(step, &built, &archive);
    let before = deployed.as_ref().map(|deployed| digest_of(deployed, &built.image_digest)).transpose()?;
    let (report, mut failure) = match push.as_ref().map(PushCommand::push).transpose()? {
        Some((report, failure)) => (Some(report), failure),
        None => (None, None),
    };
    let has_moved = report.as_ref().is_some_and(|report| report.references.iter().any(|one| one.changed));
    let changed = match (&before, &report) {
        // Of a push that failed, only what was pushed before is known.
        _ if failure.is_some() => has_moved.then_some(true),
        (Some(before), _) => Some(before.as_ref() != Some(&built.image_digest)),
        (None, Some(_)) => Some(has_moved),
        (None, None) => None,
    };
    step.output("changed", changed.map_or_else(String::new, |changed| changed.to_string()));
    let mut sboms = Vec::new();
    if let (Some(scanner), Some(push), None) = (scanner, &push, &failure) {
        match attach(&scanner, (&built, &settings), &push.references, step) {
            Ok(attached) => sboms = attached,
            Err(why) => failure = Some(why),
        }
    }
    let names: Vec<&str> = sboms.iter().map(|one| one.reference.as_str()).collect();
    step.output("sbom", names.join("\n"));
    step.summarize(&build_markdown(&built, &pushed_to(report.as_ref()), &sboms, mounts.told()));
    if let Some(failure) = &failure {
        step.summarize(&failure_markdown(&failure.message, failure.hint.as_deref()));
    }
    failure.map_or(Ok(ExitStatus::Success), Err)
}

/// What the inputs ask for, all of it read before anything is built.
struct Asked {
    build: BuildCommand,
    push: Option<PushCommand>,
    generator: Option<Generator>,
    cache_map: Vec<Mapped>,
    /// What `changed` is told against, if not what was there before the push.
    deployed: Option<ImageReference>,
    archive: PathBuf,
}

impl Asked {
    fn read(inputs: Inputs<'_>, step: &Step, environment: &Environment) -> Result<Self, Failure> {
        let exporter = Exporter::parse(&inputs.list("outputs")?)?;
        let tags = inputs.list("tags")?;
        let deployed = inputs.one("deployed")?.map(parse_reference).transpose()?;
        let archive = exporter.destination.clone().unwrap_or_else(|| step.file("image.tar"));
        if exporter.destination.is_some() {
            check_destination("outputs", &archive, environment)?;
        }
        let push_to = push_to(inputs, &exporter, &tags)?;
        let push = if push_to.is_empty() { None } else { Some(push_words(&push_to, &exporter, archive.as_os_str())?) };
        push.as_ref().map_or(Ok(()), PushCommand::check)?;
        let generator = Generator::parse(inputs)?;
        if generator.is_some() && push.is_none() {
            let hint =
                "set `push` and `tags` too: the SBOM is attached to the image in its registry, and is no part of it";
            return Err(wrong("sbom", "is on, and the image is not pushed", hint));
        }
        let mut words = build_words(inputs, step)?;
        for cache in inputs.list("cache-to")? {
            check_cache("cache-to", cache, environment)?;
            words.value("--cache-to", cache);
        }
        // There is nothing to set up, and nothing to leave out of that.
        inputs.switch("no-setup-buildx")?;
        exporter.to_words(&mut words);
        for tag in tags.iter().copied().chain(exporter.names.iter().map(String::as_str)) {
            words.value("--tag", tag);
        }
        if inputs.switch("cache")? == Some(false) || inputs.switch("no-cache")? == Some(true) {
            words.flag("--no-cache");
        }
        words.value("--output", archive.as_os_str());
        // Wherever a repro.toml would have it.
        words.value("--metadata-file", step.file("metadata.json"));
        words.operand(inputs.one("context")?.unwrap_or("."));
        let cache_map = cache_map::parse(inputs, environment)?;
        Ok(Self { build: words.parse()?, push, deployed, generator, cache_map, archive })
    }
}

/// The names that the image is pushed to; none where it is not pushed.
fn push_to<'a>(inputs: Inputs<'_>, exporter: &'a Exporter, tags: &[&'a str]) -> Result<Vec<&'a str>, Failure> {
    let mut names: Vec<&str> = exporter.push_to.iter().map(String::as_str).collect();
    if inputs.switch("push")? == Some(true) || exporter.push_tags {
        if tags.is_empty() {
            let hint = "say where it goes: `registry/name:tag`";
            return Err(wrong("tags", "is empty, and the image is to be pushed", hint));
        }
        names.extend(tags);
    }
    Ok(names)
}

fn tell_built(step: &mut Step, built: &BuildOutcome, archive: &Path) {
    // What engines call the image ID, where there is one image.
    let id = match built.manifests.as_slice() {
        [one] => &one.config_digest,
        _ => &built.image_digest,
    };
    step.output("digest", built.image_digest.to_string());
    step.output("imageid", id.to_string());
    step.output("metadata", String::from_utf8_lossy(&built.to_json()).trim_end());
    step.output("archive", archive.to_string_lossy());
}

/// The words that both actions have in common, for `repro build`.
pub fn build_words(inputs: Inputs<'_>, step: &Step) -> Result<Words, Failure> {
    let mut words = Words::default();
    for (input, flag) in [
        ("runtime", "--runtime"),
        ("file", "--file"),
        ("target", "--target"),
        ("buildkit_image", "--buildkit-image"),
        ("buildkitd-config", "--buildkitd-config"),
        ("builder-network", "--builder-network"),
        ("context-modes", "--context-modes"),
    ] {
        if let Some(value) = inputs.one(input)? {
            words.value(flag, value);
        }
    }
    for (input, flag) in [
        ("build-args", "--build-arg"),
        ("build-contexts", "--build-context"),
        ("labels", "--label"),
        ("annotations", "--annotation"),
        ("cache-from", "--cache-from"),
        ("ssh", "--ssh"),
    ] {
        inputs.list(input)?.into_iter().for_each(|value| words.value(flag, value));
    }
    for (input, flag) in [("pull", "--pull"), ("rootless", "--rootless")] {
        if inputs.switch(input)? == Some(true) {
            words.flag(flag);
        }
    }
    if inputs.list("build-args")?.iter().any(|word| !word.contains('=')) {
        let hint =
            "the variables of a step are its inputs, secrets among them: pass on what you mean by `${{ env.NAME }}`";
        return Err(wrong("build-args", "has a line without `=`", hint));
    }
    let platforms = inputs.list("platforms")?;
    if !platforms.is_empty() {
        words.value("--platform", platforms.join(","));
    }
    epoch(inputs, &mut words)?;
    secrets(inputs, step, &mut words)?;
    Ok(words)
}

/// The epoch, by one of its two names.
fn epoch(inputs: Inputs<'_>, words: &mut Words) -> Result<(), Failure> {
    let (seconds, date) = (inputs.one("source_date_epoch")?, inputs.one("timestamp")?);
    match (seconds, date) {
        (Some(_), Some(_)) => {
            Err(wrong("timestamp", "says the epoch, and so does `source_date_epoch`", "give one of the two"))
        }
        (Some(seconds), None) => {
            words.value("--source-date-epoch", seconds);
            Ok(())
        }
        (None, Some(date)) => {
            // A date without a zone, or one in words, is another second on another runner.
            if DateTime::parse_from_rfc3339(date).is_err() {
                let what = format!("is `{}`, and no date by RFC 3339", escape(date));
                return Err(wrong("timestamp", &what, "write it as 2026-04-28T00:00:00Z"));
            }
            words.value("--datetime", date);
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

/// Secrets come as values; the build gets them as files that nobody else may read.
fn secrets(inputs: Inputs<'_>, step: &Step, words: &mut Words) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for (number, line) in inputs.list("secrets")?.into_iter().enumerate() {
        let (id, value) = named("secrets", line, &mut seen)?;
        let path = step.secrets.path().join(number.to_string());
        write_secret(&path, value).map_err(|error| not_written(&path, &error))?;
        words.value("--secret", secret_word(id, &path));
    }
    for line in inputs.list("secret-files")? {
        let (id, path) = named("secret-files", line, &mut seen)?;
        words.value("--secret", secret_word(id, Path::new(path)));
    }
    Ok(())
}

/// `ID=…`. What is wrong is told without the line, which may hold the secret. A line in base64 ends in `=`: it is the rest of
/// a value, and no secret without one.
fn named<'a>(input: &str, line: &'a str, seen: &mut BTreeSet<&'a str>) -> Result<(&'a str, &'a str), Failure> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let is_id = |id: &str| (1..=64).contains(&id.len()) && id.bytes().all(is_word) && !id.starts_with(['-', '.']);
    let split = line.split_once('=').filter(|(id, value)| is_id(id) && !value.trim_matches('=').is_empty());
    let hint = "an ID has letters, digits, `_`, `-` and `.`; a value of several lines goes into a file: `secret-files`";
    let (id, value) = split.ok_or_else(|| wrong(input, "has a line that is not `ID=…`", hint))?;
    if seen.insert(id) {
        Ok((id, value))
    } else {
        Err(wrong(input, "gives a secret that is given already", "give each ID once"))
    }
}

fn secret_word(id: &str, path: &Path) -> OsString {
    [csv_field(&format!("id={id}")).into(), csv_path("src=", path)].join(OsStr::new(","))
}

fn write_secret(path: &Path, value: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(value.as_bytes())
}

/// The push of what comes out.
fn push_words(names: &[&str], exporter: &Exporter, archive: &OsStr) -> Result<PushCommand, Failure> {
    let mut words = Words::default();
    if exporter.by_digest {
        words.flag("--by-digest");
    }
    words.operand(archive);
    for name in names {
        words.operand(in_registry(name));
    }
    words.parse()
}

/// A name in a registry, also where the checkout, which may be somebody else's, has a file that is called so. Without a registry
/// it is Docker Hub's, as for Docker.
pub fn in_registry(name: &str) -> String {
    if name.starts_with(TRANSPORT) { name.to_owned() } else { format!("{TRANSPORT}{name}") }
}

fn parse_reference(text: &str) -> Result<ImageReference, Failure> {
    let text = text.trim();
    text.strip_prefix(TRANSPORT)
        .unwrap_or(text)
        .parse()
        .map_err(|error: ReferenceError| wrong("deployed", &format!("names no image: {error}"), error.hint()))
}

/// What a name stands for in its registry, where it does.
fn digest_of(reference: &ImageReference, expected: &Digest) -> Result<Option<Digest>, Failure> {
    if let Some(digest) = reference.digest() {
        return Ok(Some(digest.clone()));
    }
    with_tokio(async |environment, interrupt| {
        let options = registry_options(environment, &RouteWords::default().resolve(environment)?);
        let repository = Repository::open(reference, options).map_err(|error| failed(reference, &error))?;
        let found = repository.find(Some(reference.tag().unwrap_or("latest")), expected);
        match until_interrupted(found, interrupt).await? {
            Ok(found) => Ok(found.map(|manifest| manifest.digest)),
            // So some registries answer of what is not there yet.
            Err(RegistryError::Unauthorized { .. } | RegistryError::Status { status: 403, .. }) => {
                tracing::warn!("`{reference}` is not there, or may not be read: it counts as something else");
                Ok(None)
            }
            Err(error) => Err(failed(reference, &error)),
        }
    })
}

/// Attaches SBOMs to what was pushed. Whatever goes wrong, the image is there.
fn attach(
    scanner: &Scanner,
    built: (&BuildOutcome, &BuildSettings),
    pushed: &[ImageReference],
    step: &Step,
) -> Result<Vec<AttachedTo>, Failure> {
    let attached =
        with_tokio(async |environment, interrupt| scanner.attach(built, pushed, step, environment, interrupt).await);
    attached.map_err(|failure| Failure {
        message: format!("the image is pushed, and its SBOM is not attached: {}", failure.message),
        ..failure
    })
}

fn pushed_to(report: Option<&PushReport>) -> Vec<PushedTo> {
    let references = report.iter().flat_map(|report| &report.references);
    references.map(|one| PushedTo { reference: one.reference.clone(), previous: one.previous.clone() }).collect()
}
