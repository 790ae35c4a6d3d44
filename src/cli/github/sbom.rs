//! The input `sbom`: what is in an image, attached to it after it was pushed, so that the image is the same with it and without.
//!
//! The list is made by a scanner of BuildKit's protocol (`docs/attestations/sbom-protocol.md` of moby/buildkit), which is what
//! `docker buildx build --sbom` runs. BuildKit would run it in the build of the image, whose digest is another one then. Here it
//! runs in a build of its own, on the BuildKit that built the image, over the manifest that was pushed, by its digest.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::Step;
use super::inputs::{Inputs, wrong};
use super::own::{OwnBuild, by_digest, read_files};
use crate::build::{BuildOutcome, BuiltManifest, run};
use crate::cli::print;
use crate::cli::subject::{failed, until_interrupted};
use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure, chain};
use crate::image::escape::escape;
use crate::image::{self, Referrer, sbom_statement};
use crate::limits;
use crate::plan::Platform;
use crate::reference::{ImageReference, ReferenceError};
use crate::registry::{Options, Repository, attach, load_config, load_descriptor};
use crate::report::github::AttachedTo;
use crate::runtime::interrupt::Interrupt;
use crate::runtime::registry_options;
use crate::settings::{BuildSettings, RouteWords, RuntimeName};

/// The scanner that BuildKit takes where nobody names one (`frontend/dockerfile/builder`), of version 1.12.0.
const DEFAULT_GENERATOR: &str = "docker.io/docker/buildkit-syft-scanner:stable-1@sha256:ae4f3b554449e7e25548e7d8ccc029d17357348e30c6e3df01b92bc93654d6a9";

/// The image of a scanner, as the input names it.
#[derive(Debug)]
pub struct Generator(ImageReference);

/// A scanner that can be run.
#[derive(Debug)]
pub struct Scanner {
    /// Its image, by the digest of the manifest whose config says the command.
    image: ImageReference,
    command: Vec<String>,
}

impl Generator {
    /// What the input `sbom` asks for; nothing where it is off.
    pub fn parse(inputs: Inputs<'_>) -> Result<Option<Self>, Failure> {
        let hint = "it is `true`, `false` or `generator=IMAGE`";
        let named = inputs.one("sbom")?.and_then(|text| text.trim().strip_prefix("generator="));
        let name = match named {
            Some(name) => name,
            None if inputs.switch("sbom").map_err(|failure| Failure { hint: Some(hint.to_owned()), ..failure })?
                == Some(true) =>
            {
                DEFAULT_GENERATOR
            }
            None => return Ok(None),
        };
        let reference =
            name.parse().map_err(|error: ReferenceError| wrong("sbom", &format!("names no image: {error}"), hint))?;
        Ok(Some(Self(reference)))
    }

    /// Asks its registry for the command of its image.
    pub async fn resolve(&self, environment: &Environment, interrupt: &Interrupt) -> Result<Scanner, Failure> {
        let Self(reference) = self;
        // It is somebody else's, as a rule: who asks to write there is refused by some registries.
        let repository =
            Repository::open(reference, options(environment)?).map_err(|error| failed(reference, &error))?;
        let machine = Platform::of_this_machine();
        let platform =
            image::Platform { os: machine.os, architecture: machine.architecture, ..image::Platform::default() };
        let loaded = until_interrupted(load_config(&repository, reference, &platform), interrupt).await?;
        let loaded = loaded.map_err(|error| failed(reference, &error))?;
        if loaded.as_ref().is_some_and(|(_, config)| has_triggers(config)) {
            let why = format!("names `{reference}`, whose ONBUILD would run beside the scanner");
            return Err(wrong("sbom", &why, "name an image without"));
        }
        let found = loaded.and_then(|(digest, config)| Some((digest, command_of(&config)?)));
        let (digest, command) = found.ok_or_else(|| {
            let why = format!("names `{reference}`, which has no command for {platform}");
            wrong("sbom", &why, "name an image of BuildKit's scanner protocol")
        })?;
        Ok(Scanner { image: reference.with_digest(digest), command })
    }
}

/// Whether a build from the image with this config runs more than its Dockerfile says.
fn has_triggers(config: &[u8]) -> bool {
    let config: Value = serde_json::from_slice(config).unwrap_or_default();
    config["config"]["OnBuild"].as_array().is_some_and(|triggers| !triggers.is_empty())
}

/// What the image with this config runs.
fn command_of(config: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Config {
        config: Command,
    }
    #[derive(Deserialize)]
    struct Command {
        #[serde(rename = "Entrypoint", default)]
        entrypoint: Option<Vec<String>>,
        #[serde(rename = "Cmd", default)]
        arguments: Option<Vec<String>>,
    }
    let Config { config } = serde_json::from_slice(config).ok()?;
    let command: Vec<String> = [config.entrypoint, config.arguments].into_iter().flatten().flatten().collect();
    (!command.is_empty()).then_some(command)
}

impl Scanner {
    /// The build that runs it as BuildKit does (`frontend/attestations/sbom/sbom.go`): as root, with the image below the one
    /// directory and what it writes taken from the other, both named by variables. The image is mounted and no stage of its own: that
    /// would run what its `ONBUILD` says, and the scanner would see another one.
    fn dockerfile(&self, image: &str) -> String {
        let command = Value::from(self.command.as_slice());
        let scanner = by_digest(&self.image);
        format!(
            "FROM {scanner} AS scan\nUSER 0:0\nCOPY . /run/out/\nARG SOURCE_DATE_EPOCH\n\
             ENV BUILDKIT_SCAN_DESTINATION=/run/out/ BUILDKIT_SCAN_SOURCE=/run/src/core/sbom\n\
             RUN --mount=type=bind,from={image},target=/run/src/core/sbom --mount=type=tmpfs,target=/tmp {command}\n\
             FROM scratch\nCOPY --from=scan /run/out/ /\n"
        )
    }

    /// Attaches an SBOM to each image of what was built, wherever it was pushed to.
    pub async fn attach(
        &self,
        built: (&BuildOutcome, &BuildSettings),
        pushed: &[ImageReference],
        step: &Step,
        environment: &Environment,
        interrupt: &Interrupt,
    ) -> Result<Vec<AttachedTo>, Failure> {
        let mut places: BTreeMap<String, &ImageReference> = BTreeMap::new();
        for reference in pushed {
            places.entry(reference.name()).or_insert(reference);
        }
        let mut attached = Vec::new();
        let Some(first) = pushed.first() else { return Ok(attached) };
        for manifest in &built.0.manifests {
            let image = ImageReference::with_digest(first, manifest.digest.clone());
            let scanned = self.scan(&image, manifest, built, step, environment, interrupt).await?;
            let statements: Result<Vec<_>, _> =
                scanned.iter().map(|document| sbom_statement(document, &manifest.digest)).collect();
            let statements = statements.map_err(|why| self.wrote(&format!("a file that is no SBOM: {why}")))?;
            for place in places.values() {
                let attaching = attach_to(place, &manifest.digest, &statements, environment);
                let digest = until_interrupted(attaching, interrupt).await??;
                let one =
                    AttachedTo { platform: manifest.platform.clone(), reference: format!("{}@{digest}", place.name()) };
                print(format!("SBOM of {}: {}\n", escape(&one.platform), one.reference).as_bytes())?;
                attached.push(one);
            }
        }
        Ok(attached)
    }

    /// Runs it over an image; gives the files that it wrote.
    async fn scan(
        &self,
        image: &ImageReference,
        manifest: &BuiltManifest,
        (built, settings): (&BuildOutcome, &BuildSettings),
        step: &Step,
        environment: &Environment,
        interrupt: &Interrupt,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let own = OwnBuild::new(step)?;
        own.write_dockerfile(&self.dockerfile(&by_digest(image)))?;
        let mut scan = own.settings(&[], settings, environment)?;
        // Where the first that works was asked for, and what it pins by itself: it is these.
        scan.runtime.value = RuntimeName::of(built.built_with.runtime);
        scan.pin.value = Some(built.plan.pin.clone());
        let outcome = run(&scan, environment, interrupt).await.map_err(|error| {
            let failure = Failure::from(error);
            let message =
                format!("the scanner `{}` for {}: {}", self.image, escape(&manifest.platform), failure.message);
            Failure { message, ..failure }
        })?;
        let of_image = |hex: &String| hex == manifest.digest.hex();
        if !outcome.materials.iter().any(|material| material.digest.values().any(of_image)) {
            return Err(Failure {
                status: ExitStatus::Unknown,
                message: format!("BuildKit's record of the scan does not name {}", manifest.digest),
                hint: Some("the scanner read something else: what it wrote is not attached".to_owned()),
            });
        }
        let files = load_files(&own.archive()).map_err(|why| self.wrote(&why))?;
        if files.is_empty() { Err(self.wrote("nothing")) } else { Ok(files) }
    }

    fn wrote(&self, what: &str) -> Failure {
        Failure {
            status: ExitStatus::Unknown,
            message: format!("the scanner `{}` wrote {what}", self.image),
            hint: Some("name another one: `sbom: generator=IMAGE`".to_owned()),
        }
    }
}

fn options(environment: &Environment) -> Result<Options, Failure> {
    Ok(registry_options(environment, &RouteWords::default().resolve(environment)?))
}

/// Attaches statements to a manifest of a repository; gives the digest of what was attached.
async fn attach_to(
    place: &ImageReference,
    manifest: &Digest,
    statements: &[Vec<u8>],
    environment: &Environment,
) -> Result<Digest, Failure> {
    let repository = Repository::open_to_write(place, options(environment)?, &[]);
    let repository = repository.map_err(|error| failed(place, &error))?;
    let subject = load_descriptor(&repository, manifest).await.map_err(|error| failed(place, &error))?;
    let referrer = Referrer::sbom(&subject, statements.to_vec());
    attach(&repository, &referrer).await.map_err(|error| Failure {
        status: ExitStatus::Unknown,
        message: format!("`{}`: {}", place.name(), chain(&error)),
        hint: Some(error.hint().to_owned()),
    })?;
    Ok(referrer.document.digest)
}

/// The files of a small image. The error says what else is there, ready to print.
fn load_files(archive: &Path) -> Result<Vec<Vec<u8>>, String> {
    let mut files = Vec::new();
    let mut left = limits::SBOM_BYTES;
    read_files(archive, |_, size, file| {
        left = left.checked_sub(size).ok_or_else(|| format!("more than {} bytes", limits::SBOM_BYTES))?;
        if files.len() == limits::SBOM_FILES {
            return Err(format!("more than {} files", limits::SBOM_FILES));
        }
        let mut bytes = Vec::new();
        file.take(size).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        files.push(bytes);
        Ok(())
    })?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

    fn parse(value: &str) -> Result<Option<String>, Failure> {
        let environment: Environment = [("INPUT_SBOM", value)].into_iter().collect();
        Ok(Generator::parse(Inputs::new(&environment))?.map(|Generator(reference)| reference.to_string()))
    }

    #[test]
    fn the_input_is_a_switch_or_names_a_generator() {
        assert_eq!(parse("").unwrap(), None);
        assert_eq!(parse("false").unwrap(), None);
        assert_eq!(parse("true").unwrap().as_deref(), Some(DEFAULT_GENERATOR));
        let named = format!("h.example/a/scanner@{IMAGE}");
        assert_eq!(parse(&format!("generator={named}\n")).unwrap(), Some(named));
        for (value, why) in [
            ("maybe", "`sbom` is `maybe`"),
            ("generator=", "`sbom` names no image"),
            ("generator=a b", "`sbom` names no image"),
            ("generator=a,scan-stage=true", "`sbom` names no image"),
            ("generator=a\nRUN id", "`sbom` has more than one line"),
        ] {
            let failure = parse(value).unwrap_err();
            assert!(failure.message.contains(why) && failure.status == ExitStatus::Usage, "{value}: {failure:?}");
        }
    }

    #[test]
    fn a_command_is_one_word_of_the_dockerfile_whatever_is_in_it() {
        let config = r#"{"config": {"Entrypoint": ["/scan", "a\"] \nRUN id"], "Cmd": ["$x", "<<EOF"]}}"#;
        let scanner = Scanner {
            image: format!("h.example/scanner:1@{IMAGE}").parse().unwrap(),
            command: command_of(config.as_bytes()).unwrap(),
        };
        let dockerfile = scanner.dockerfile("h.example/app@sha256:1");
        let lines: Vec<&str> = dockerfile.lines().collect();
        assert_eq!(lines.len(), 8, "{dockerfile}");
        assert_eq!(lines[0], format!("FROM h.example/scanner@{IMAGE} AS scan"));
        assert!(lines[5].starts_with("RUN --mount=type=bind,from=h.example/app@sha256:1,target="), "{dockerfile}");
        assert!(lines[5].ends_with(r#"target=/tmp ["/scan","a\"] \nRUN id","$x","<<EOF"]"#), "{dockerfile}");
        assert!(has_triggers(br#"{"config": {"OnBuild": ["RUN id"]}}"#));
        for config in ["", "{}", r#"{"config": {}}"#, r#"{"config": {"Cmd": []}}"#, r#"{"config": {"Cmd": "a"}}"#] {
            assert_eq!(command_of(config.as_bytes()), None, "{config}");
            assert!(!has_triggers(config.as_bytes()));
        }
    }
}
