//! Words and environment become settings.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::extra::{parse_buildctl, parse_buildx};
use super::{ArchiveWord, BuildSettings, BuildWords, MediaTypesWord, Origin, Output, RuntimeName, Setting};
use crate::environment::Environment;
use crate::epoch::{EpochError, SourceDateEpoch};
use crate::failure::{Diagnose, ExitStatus};
use crate::pin::{Pin, PinError};
use crate::plan::{Annotation, ArchiveFormat, MediaTypes, PlanError, Platform, Secret};
use crate::reference::{ImageReference, ReferenceError};

/// What is wrong with the words of the user.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Neither an epoch nor a date.
    #[error("no epoch is given")]
    NoEpoch,
    /// Two that exclude each other.
    #[error("{0} and {1} are both given, and say the same thing in two ways")]
    Both(&'static str, &'static str),
    /// An epoch or date that is none.
    #[error("{origin}")]
    Epoch {
        /// The flag or variable.
        origin: Origin,
        /// What is wrong.
        #[source]
        source: EpochError,
    },
    /// A variable holds something else than it may.
    #[error("variable {name} is `{value}`: {expected}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// A pin that is none.
    #[error("{origin}")]
    Pin {
        /// The flag or variable.
        origin: Origin,
        /// What is wrong.
        #[source]
        source: PinError,
    },
    /// A platform, annotation or secret that is none.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A word that needs `=`, or must not be empty.
    #[error("{flag} `{text}`: {why}")]
    Word {
        /// The flag.
        flag: &'static str,
        /// What was given.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A name of the image that is none.
    #[error("--tag `{text}`")]
    Tag {
        /// What was given.
        text: String,
        /// What is wrong.
        #[source]
        source: ReferenceError,
    },
    /// A path that does not lead where it should.
    #[error("{what} `{path}`", path = path.display())]
    Path {
        /// What the path is for.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: std::io::Error,
    },
    /// A context that is not a directory.
    #[error("context `{path}` {why}", path = path.display())]
    Context {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// Several platforms in a docker archive.
    #[error("`--archive docker` holds one platform, and {0} are asked for")]
    DockerArchive(usize),
    /// An index annotation without an index.
    #[error("annotation `{0}` is for an index, and one platform makes none")]
    NoIndex(String),
}

impl Diagnose for SettingsError {
    fn status(&self) -> ExitStatus {
        ExitStatus::Usage
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoEpoch => {
                "give `--sde SECONDS` or `--datetime DATE` (for instance the time of the commit: --sde \"$(git log -1 --format=%ct)\")"
            }
            Self::Both(..) => "give one of the two",
            Self::Epoch { source: EpochError::Future { .. }, .. } => {
                "choose a moment before this build, or look whether the machine's clock is right"
            }
            Self::Pin { source: PinError::NoDigest(_), .. } => {
                "append `@sha256:…`, which `docker buildx imagetools inspect NAME:TAG` or `skopeo inspect` shows"
            }
            Self::Context { .. } => "give a directory; to build from git, check it out first",
            Self::DockerArchive(_) => {
                "leave `--archive` out, or give `--archive oci`; `docker load` takes one platform at a time"
            }
            Self::NoIndex(_) => "annotate the manifest, or build several platforms with `--platform`",
            Self::Word { flag: "--build-arg", text, .. } if text.starts_with("SOURCE_DATE_EPOCH") => {
                "leave the build argument out: `--sde` sets it"
            }
            Self::Path { .. } => "look whether the path is spelt right and may be read",
            _ => "`repro build --help` shows what each flag takes",
        };
        Some(text.to_owned())
    }
}

/// What the words mean, in this environment, seen from this directory, now.
pub fn resolve(
    words: &BuildWords,
    environment: &Environment,
    directory: &Path,
    now: DateTime<Utc>,
) -> Result<BuildSettings, SettingsError> {
    let mut warnings = Vec::new();
    let context = resolve_context(&words.context, directory)?;
    let dockerfile = words.file.as_ref().map_or_else(|| context.join("Dockerfile"), |file| directory.join(file));
    require_file("Dockerfile", &dockerfile)?;
    let dockerfile = resolve_parent(&dockerfile);
    let epoch = resolve_epoch(words, environment, now, &mut warnings)?;
    let build_args = resolve_build_args(words, environment, epoch.value, &mut warnings)?;
    let platforms = resolve_platforms(words)?;
    let archive = resolve_archive(words, platforms.value.len())?;
    let annotations = resolve_annotations(words, platforms.value.len())?;
    let is_set = |name: &str| environment.get(name).is_some();
    let secrets = words.secret.iter().map(|text| Secret::parse(text, directory, is_set)).collect::<Result<_, _>>()?;
    Ok(BuildSettings {
        runtime: resolve_runtime(words, environment)?,
        pin: resolve_pin(words, environment)?,
        rootless: resolve_switch(words.rootless, "--rootless", environment, "REPRO_ROOTLESS", true)?,
        no_cache: resolve_switch(words.no_cache, "--no-cache", environment, "REPRO_CACHE", false)?,
        epoch,
        platforms,
        archive,
        media_types: words.media_types.map(|word| match word {
            MediaTypesWord::Docker => MediaTypes::Docker,
            MediaTypesWord::Oci => MediaTypes::Oci,
        }),
        host_network: words.builder_network.as_deref() == Some("host"),
        buildkitd_config: words.buildkitd_config.as_ref().map(|file| read_config(&directory.join(file))).transpose()?,
        buildkit_args: parse_buildctl(words.buildkit_args.as_deref())?,
        buildx_args: parse_buildx(words.buildx_args.as_deref())?,
        build_args,
        labels: resolve_labels(words)?,
        annotations,
        target: words.target.clone(),
        secrets,
        tags: resolve_tags(words)?,
        output: resolve_output(words, directory),
        metadata_file: words.metadata_file.as_ref().map(|file| directory.join(file)),
        context,
        dockerfile,
        warnings,
    })
}

fn resolve_context(word: &OsStr, directory: &Path) -> Result<PathBuf, SettingsError> {
    let text = word.to_string_lossy();
    let path = PathBuf::from(word);
    let wrong = |why| Err(SettingsError::Context { path: path.clone(), why });
    if word.is_empty() {
        return wrong("is empty");
    }
    if text == "-" {
        return wrong("is stdin, which cannot be built twice");
    }
    if text.contains("://") || text.starts_with("git@") {
        return wrong("is remote, and only directories are built");
    }
    // Links are resolved: the same directory is the same project, whatever path leads to it.
    let resolved = directory.join(&path).canonicalize();
    let resolved = resolved.map_err(|source| SettingsError::Path { what: "context", path: path.clone(), source })?;
    if resolved.is_dir() { Ok(resolved) } else { wrong("is not a directory") }
}

fn require_file(what: &'static str, path: &Path) -> Result<(), SettingsError> {
    let wrong = |source| SettingsError::Path { what, path: path.to_owned(), source };
    let metadata = path.metadata().map_err(wrong)?;
    if metadata.is_file() { Ok(()) } else { Err(wrong(std::io::Error::other("not a file"))) }
}

/// The path with its directory resolved: the file itself may be a link, and its name names the ignore file.
fn resolve_parent(path: &Path) -> PathBuf {
    let resolved = path.parent().and_then(|parent| parent.canonicalize().ok()).zip(path.file_name());
    resolved.map_or_else(|| path.to_owned(), |(parent, name)| parent.join(name))
}

fn read_config(path: &Path) -> Result<Vec<u8>, SettingsError> {
    std::fs::read(path).map_err(|source| SettingsError::Path {
        what: "buildkitd configuration",
        path: path.to_owned(),
        source,
    })
}

/// The value of a variable; empty counts as not set.
fn variable<'a>(environment: &'a Environment, name: &'static str) -> Result<Option<&'a str>, SettingsError> {
    let Some(value) = environment.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.to_str().map(Some).ok_or_else(|| SettingsError::Variable {
        name,
        value: value.to_string_lossy().into_owned(),
        expected: "it is not UTF-8",
    })
}

/// Epoch and date are one setting: a flag of either kind wins over a variable of either kind.
fn resolve_epoch(
    words: &BuildWords,
    environment: &Environment,
    now: DateTime<Utc>,
    warnings: &mut Vec<String>,
) -> Result<Setting<SourceDateEpoch>, SettingsError> {
    let flags = (words.source_date_epoch.as_deref(), words.datetime.as_deref());
    let variables = (variable(environment, "REPRO_SOURCE_DATE_EPOCH")?, variable(environment, "REPRO_DATETIME")?);
    let from = |origin: Origin, parsed: Result<SourceDateEpoch, EpochError>| {
        let checked = parsed.and_then(|epoch| epoch.check_not_after(now).map(|()| epoch));
        checked.map(|value| Setting { value, origin }).map_err(|source| SettingsError::Epoch { origin, source })
    };
    let seconds = |origin, text: &str| from(origin, text.parse());
    let date = |origin, text: &str| from(origin, SourceDateEpoch::parse_datetime(text));
    let chosen = match (flags, variables) {
        ((Some(_), Some(_)), _) => return Err(SettingsError::Both("--source-date-epoch", "--datetime")),
        ((Some(text), None), _) => seconds(Origin::Flag("--source-date-epoch"), text)?,
        ((None, Some(text)), _) => date(Origin::Flag("--datetime"), text)?,
        (_, (Some(_), Some(_))) => return Err(SettingsError::Both("REPRO_SOURCE_DATE_EPOCH", "REPRO_DATETIME")),
        (_, (Some(text), None)) => seconds(Origin::Variable("REPRO_SOURCE_DATE_EPOCH"), text)?,
        (_, (None, Some(text))) => date(Origin::Variable("REPRO_DATETIME"), text)?,
        (_, (None, None)) => match variable(environment, "SOURCE_DATE_EPOCH")? {
            Some(text) => seconds(Origin::Variable("SOURCE_DATE_EPOCH"), text)?,
            None => return Err(SettingsError::NoEpoch),
        },
    };
    if matches!(chosen.origin, Origin::Flag(_)) {
        for (name, value) in [("REPRO_SOURCE_DATE_EPOCH", variables.0), ("REPRO_DATETIME", variables.1)] {
            if let Some(value) = value {
                warnings.push(format!("{name}={value} is overridden by {}", chosen.origin));
            }
        }
    }
    Ok(chosen)
}

fn resolve_runtime(
    words: &BuildWords,
    environment: &Environment,
) -> Result<Setting<Option<RuntimeName>>, SettingsError> {
    const NAME: &str = "REPRO_RUNTIME";
    if words.runtime.is_some() {
        return Ok(Setting { value: words.runtime, origin: Origin::Flag("--runtime") });
    }
    let Some(text) = variable(environment, NAME)? else { return Ok(Setting { value: None, origin: Origin::Default }) };
    let value = [RuntimeName::Docker, RuntimeName::Podman, RuntimeName::Buildkitd]
        .into_iter()
        .find(|runtime| runtime.name() == text)
        .ok_or_else(|| SettingsError::Variable {
            name: NAME,
            value: text.to_owned(),
            expected: "it is docker, podman or buildkitd",
        })?;
    Ok(Setting { value: Some(value), origin: Origin::Variable(NAME) })
}

fn resolve_pin(words: &BuildWords, environment: &Environment) -> Result<Setting<Option<Pin>>, SettingsError> {
    const NAME: &str = "REPRO_BUILDKIT_IMAGE";
    let (text, origin) = match (words.buildkit_image.as_deref(), variable(environment, NAME)?) {
        (Some(text), _) => (text, Origin::Flag("--buildkit-image")),
        (None, Some(text)) => (text, Origin::Variable(NAME)),
        (None, None) => return Ok(Setting { value: None, origin: Origin::Default }),
    };
    let pin = Pin::parse(text).map_err(|source| SettingsError::Pin { origin, source })?;
    Ok(Setting { value: Some(pin), origin })
}

/// A switch whose variable says either the same (`REPRO_ROOTLESS`) or the opposite (`REPRO_CACHE`).
fn resolve_switch(
    flag: bool,
    flag_name: &'static str,
    environment: &Environment,
    name: &'static str,
    truth: bool,
) -> Result<Setting<bool>, SettingsError> {
    if flag {
        return Ok(Setting { value: true, origin: Origin::Flag(flag_name) });
    }
    let Some(text) = variable(environment, name)? else { return Ok(Setting { value: false, origin: Origin::Default }) };
    let said = match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => true,
        "0" | "false" | "no" | "off" => false,
        _ => {
            let expected = "it is 1, true, yes, on, or 0, false, no, off";
            return Err(SettingsError::Variable { name, value: text.to_owned(), expected });
        }
    };
    Ok(Setting { value: said == truth, origin: Origin::Variable(name) })
}

fn resolve_platforms(words: &BuildWords) -> Result<Setting<Vec<Platform>>, SettingsError> {
    let Some(text) = &words.platform else {
        return Ok(Setting { value: vec![Platform::of_this_machine()], origin: Origin::Default });
    };
    let mut platforms = Vec::new();
    for word in text.split(',') {
        let platform: Platform = word.trim().parse()?;
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(Setting { value: platforms, origin: Origin::Flag("--platform") })
}

fn resolve_archive(words: &BuildWords, platforms: usize) -> Result<Setting<ArchiveFormat>, SettingsError> {
    Ok(match words.archive {
        // BuildKit accepts this, fails at the end of the build and leaves an empty file.
        Some(ArchiveWord::Docker) if platforms > 1 => return Err(SettingsError::DockerArchive(platforms)),
        Some(ArchiveWord::Docker) => Setting { value: ArchiveFormat::Docker, origin: Origin::Flag("--archive") },
        Some(ArchiveWord::Oci) => Setting { value: ArchiveFormat::Oci, origin: Origin::Flag("--archive") },
        None if platforms > 1 => Setting { value: ArchiveFormat::Oci, origin: Origin::Flag("--platform") },
        None => Setting { value: ArchiveFormat::Docker, origin: Origin::Default },
    })
}

fn resolve_annotations(words: &BuildWords, platforms: usize) -> Result<Vec<Annotation>, SettingsError> {
    let mut annotations = Vec::new();
    for text in &words.annotation {
        for annotation in Annotation::parse(text)? {
            if annotation.target.needs_index() && platforms == 1 {
                return Err(SettingsError::NoIndex(text.clone()));
            }
            annotations.push(annotation);
        }
    }
    Ok(annotations)
}

fn resolve_build_args(
    words: &BuildWords,
    environment: &Environment,
    epoch: SourceDateEpoch,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, String>, SettingsError> {
    const FLAG: &str = "--build-arg";
    let mut build_args = BTreeMap::new();
    for text in &words.build_arg {
        let wrong = |why| SettingsError::Word { flag: FLAG, text: text.clone(), why };
        let (name, value) = if let Some((name, value)) = text.split_once('=') {
            (name, value.to_owned())
        } else if let Some(value) = environment.get(text) {
            (text.as_str(), value.to_str().ok_or_else(|| wrong("its value is not UTF-8"))?.to_owned())
        } else {
            warnings.push(format!(
                "build argument {text} has no value, and no variable of that name is set: it is left out"
            ));
            continue;
        };
        if name.is_empty() {
            return Err(wrong("the name is empty"));
        }
        if name == "SOURCE_DATE_EPOCH" {
            if value == epoch.to_string() {
                continue;
            }
            return Err(wrong("it is not the epoch of this build"));
        }
        build_args.insert(name.to_owned(), value);
    }
    Ok(build_args)
}

fn resolve_labels(words: &BuildWords) -> Result<BTreeMap<String, String>, SettingsError> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.is_empty() {
            return Err(SettingsError::Word { flag: "--label", text: text.clone(), why: "the key is empty" });
        }
        Ok((key.to_owned(), value.to_owned()))
    };
    words.label.iter().map(pair).collect()
}

fn resolve_tags(words: &BuildWords) -> Result<Vec<String>, SettingsError> {
    for text in &words.tag {
        let wrong = |why| SettingsError::Word { flag: "--tag", text: text.clone(), why };
        let reference =
            text.parse::<ImageReference>().map_err(|source| SettingsError::Tag { text: text.clone(), source })?;
        if reference.digest().is_some() {
            return Err(wrong("a name cannot hold the digest of what is still to be built"));
        }
    }
    Ok(words.tag.clone())
}

fn resolve_output(words: &BuildWords, directory: &Path) -> Setting<Output> {
    match &words.output {
        Some(path) if path.as_os_str() == "-" => Setting { value: Output::Stdout, origin: Origin::Flag("--output") },
        Some(path) => Setting { value: Output::File(directory.join(path)), origin: Origin::Flag("--output") },
        None => Setting { value: Output::File(directory.join("image.tar")), origin: Origin::Default },
    }
}
