//! Words and environment become settings.

mod error;
mod extra;
mod frontend;
mod image;
mod place;
mod remote;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

pub use self::error::SettingsError;

use self::extra::{parse_buildctl, parse_buildx};

use super::file::{FILE_NAME, RecipeText, SettingsFile};
use super::sources::{Given, ImageWords, Words};
use super::{
    BuildSettings, BuildWords, CompressionWord, ContextModesWord, MediaTypesWord, NetworkSettings, Origin,
    ProgressWord, Setting,
};
use crate::environment::Environment;
use crate::epoch::{EpochError, SourceDateEpoch};
use crate::git::commit_time;
use crate::pin::Pin;
use crate::plan::{ContextModes, Direction, NamedContext, Secret, Ssh};

/// Which `repro.toml` counts.
#[derive(Debug, Clone, Default)]
pub enum ConfigChoice {
    /// The one beside the Dockerfile, if there is one. It comes with the context, so that it may not say everything.
    #[default]
    Found,
    /// This one, which the user trusts.
    Named(PathBuf),
    /// This one, which stands for the one beside the Dockerfile: somebody else's, and no more trusted than that.
    Recipe(RecipeText),
    /// None.
    None,
}

/// What the words mean, in this environment, seen from this directory, now.
pub fn resolve(
    flags: &BuildWords,
    config: &ConfigChoice,
    environment: &Environment,
    directory: &Path,
    now: DateTime<Utc>,
) -> Result<BuildSettings, SettingsError> {
    resolve_for_image(flags, None, config, environment, directory, now)
}

/// The same, to build an image again: what nobody gives is what the image says of itself.
pub fn resolve_for_image(
    flags: &BuildWords,
    image: Option<&ImageWords>,
    config: &ConfigChoice,
    environment: &Environment,
    directory: &Path,
    now: DateTime<Utc>,
) -> Result<BuildSettings, SettingsError> {
    let context = place::resolve_context(&flags.context, directory)?;
    let mut notes = Notes::default();
    let mut file = load_file(flags, image, config, &context, directory)?;
    if let (Some(file), Some(_)) = (&mut file, image)
        && !matches!(config, ConfigChoice::Named(_))
    {
        notes.warnings.extend(file.leave_machine_to_user());
    }
    let words = Words::new(flags, directory, file.as_ref()).above(image, &context);
    if let Some(file) = &file {
        notes.provenance.push(format!("settings are read from {}", file.path.display()));
    }
    let dockerfile = place::resolve_dockerfile(&words, &context)?;
    let epoch = resolve_epoch(&words, environment, &context, now, &mut notes)?;
    let platforms = image::resolve_platforms(&words)?;
    let archive = image::resolve_archive(&words, platforms.value.len())?;
    let is_set = |name: &str| environment.get(name).is_some();
    let secrets = notes.list(&words, "--secret", |words| &words.secret);
    let secrets = secrets.map(|given| Secret::parse(given.value, given.directory, is_set)).collect::<Result<_, _>>()?;
    let ssh = notes.list(&words, "--ssh", |words| &words.ssh);
    let ssh = ssh.map(|given| Ssh::parse(given.value, given.directory)).collect::<Result<_, _>>()?;
    let mut build_args = image::resolve_build_args(&words, environment, epoch.value, &mut notes)?;
    let build_contexts = resolve_build_contexts(&words, &mut notes)?;
    let dockerfile_bytes = frontend::load_dockerfile(&dockerfile)?;
    let frontend = frontend::resolve(&words, &mut build_args, &dockerfile_bytes, &mut notes)?;
    frontend.frontend.check_contexts(build_contexts.keys().map(String::as_str))?;
    let (runtime, remote) = remote::resolve(&words, environment, &mut notes)?;
    Ok(BuildSettings {
        runtime,
        remote,
        pin: resolve_pin(&words, environment)?,
        rootless: resolve_switch(&words, "--rootless", |words| words.rootless, environment, "REPRO_ROOTLESS", true)?,
        no_cache: resolve_switch(&words, "--no-cache", |words| words.no_cache, environment, "REPRO_CACHE", false)?,
        context_modes: resolve_context_modes(&words, &mut notes),
        media_types: image::resolve_media_types(&words, &mut notes),
        host_network: notes
            .one(&words, "--builder-network", |words| words.builder_network.clone())
            .map(|network| network == "host"),
        network: NetworkSettings::resolve(&words, environment, &mut notes)?,
        buildkitd_config: place::resolve_buildkitd_config(&words)?,
        buildkit_args: parse_buildctl(notes.hidden(&words, "--buildkit-args", |words| words.buildkit_args.as_deref()))?,
        buildx_args: parse_buildx(notes.hidden(&words, "--buildx-args", |words| words.buildx_args.as_deref()))?,
        frontend,
        build_args,
        labels: image::resolve_labels(&words, &mut notes)?,
        annotations: image::resolve_annotations(&words, &platforms.value, &mut notes)?,
        target: notes.one(&words, "--target", |words| words.target.clone()),
        secrets,
        ssh,
        build_contexts,
        pull: notes.switch(&words, "--pull", |words| words.pull),
        cache_from: place::resolve_caches(&words, Direction::From, &mut notes)?,
        cache_to: place::resolve_caches(&words, Direction::To, &mut notes)?,
        compression: image::resolve_compression(&words, &mut notes)?,
        rewrite_timestamp: !notes.switch(&words, "--no-rewrite-timestamp", |words| words.no_rewrite_timestamp),
        progress: notes.one(&words, "--progress", |words| words.progress).unwrap_or(ProgressWord::Auto),
        quiet: notes.switch(&words, "--quiet", |words| words.quiet),
        tags: image::resolve_tags(&words, &mut notes)?,
        output: place::resolve_output(&words, directory),
        metadata_file: place::resolve_metadata_file(&words, &mut notes),
        epoch,
        platforms,
        archive,
        dockerfile,
        dockerfile_bytes,
        warnings: notes.warnings,
        provenance: notes.provenance,
        given: notes.given,
        from_image: notes.from_image,
        anonymous: false,
        any_buildkit: false,
        cache_mounts_of: None,
        context,
    })
}

/// What the resolution learnt on its way.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) warnings: Vec<String>,
    provenance: Vec<String>,
    given: Vec<super::Given>,
    from_image: Vec<(String, String, &'static str)>,
}

impl Notes {
    /// Writes down where a value came from.
    pub(super) fn came_from(&mut self, name: &str, value: &str, origin: Origin) {
        let name = name.trim_start_matches('-');
        self.provenance.push(format!("{name} = {value} ({origin})"));
        self.given.push(super::Given { name: name.to_owned(), value: value.to_owned(), origin });
        if let Origin::Image(whence) = origin {
            self.from_image.push((name.to_owned(), value.to_owned(), whence));
        }
    }

    /// A word that may not be secret.
    fn one<T: ShowWord>(
        &mut self,
        words: &Words<'_>,
        name: &'static str,
        get: impl Fn(&BuildWords) -> Option<T>,
    ) -> Option<T> {
        let given = words.either(name, get)?;
        self.came_from(name, &given.value.show(), given.origin);
        Some(given.value)
    }

    /// A word that may be secret: only that it is given is written down.
    fn hidden<'a, T>(
        &mut self,
        words: &Words<'a>,
        name: &'static str,
        get: impl Fn(&'a BuildWords) -> Option<T>,
    ) -> Option<Given<'a, T>> {
        let given = words.either(name, get)?;
        self.came_from(name, "given", given.origin);
        Some(given)
    }

    /// A switch.
    fn switch(&mut self, words: &Words<'_>, name: &'static str, get: impl Fn(&BuildWords) -> bool) -> bool {
        self.one(words, name, |words| get(words).then_some(true)).is_some()
    }

    /// A list whose items may hold secrets: only how many there are is written down.
    fn list<'a>(
        &mut self,
        words: &Words<'a>,
        name: &'static str,
        get: fn(&'a BuildWords) -> &'a [String],
    ) -> impl Iterator<Item = Given<'a, &'a str>> + use<'a> {
        let list = words.list(name, get);
        if let Some(list) = &list {
            self.came_from(name, &format!("{} given", list.value.len()), list.origin);
        }
        list.into_iter().flat_map(|list| {
            list.value.iter().map(move |item| Given {
                value: item.as_str(),
                origin: list.origin,
                directory: list.directory,
            })
        })
    }
}

/// A word as it was written.
trait ShowWord {
    fn show(&self) -> String;
}

impl ShowWord for String {
    fn show(&self) -> String {
        self.clone()
    }
}

impl ShowWord for bool {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl ShowWord for u8 {
    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! show_value_enum {
    ($($word:ty),*) => {
        $(impl ShowWord for $word {
            fn show(&self) -> String {
                clap::ValueEnum::to_possible_value(self).map(|value| value.get_name().to_owned()).unwrap_or_default()
            }
        })*
    };
}

show_value_enum!(CompressionWord, ContextModesWord, MediaTypesWord, ProgressWord);

fn load_file(
    flags: &BuildWords,
    image: Option<&ImageWords>,
    config: &ConfigChoice,
    context: &Path,
    directory: &Path,
) -> Result<Option<SettingsFile>, SettingsError> {
    match config {
        ConfigChoice::None => Ok(None),
        ConfigChoice::Named(path) => Ok(Some(SettingsFile::load(&directory.join(path), true)?)),
        ConfigChoice::Recipe(recipe) => Ok(Some(SettingsFile::parse_recipe(recipe, context)?)),
        ConfigChoice::Found => {
            let of_image = || image.and_then(|image| image.words.file.as_ref()).map(|file| context.join(file));
            let dockerfile = flags.file.as_ref().map(|file| directory.join(file)).or_else(of_image);
            let beside = dockerfile.as_ref().and_then(|file| file.parent()).unwrap_or(context);
            let path = beside.join(FILE_NAME);
            // A link that leads nowhere is an error, not an absence.
            if path.symlink_metadata().is_ok() { Ok(Some(SettingsFile::load(&path, false)?)) } else { Ok(None) }
        }
    }
}

/// The value of a variable; empty counts as not set.
pub(super) fn variable<'a>(environment: &'a Environment, name: &'static str) -> Result<Option<&'a str>, SettingsError> {
    let Some(value) = environment.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.to_str().map(Some).ok_or_else(|| SettingsError::Variable {
        name,
        value: value.to_string_lossy().into_owned(),
        expected: "it is not UTF-8",
    })
}

/// Epoch and date are one setting: a pair of flags wins over a pair of variables, that over `SOURCE_DATE_EPOCH`, that over the
/// pair in the file, and that over what the image says.
fn resolve_epoch(
    words: &Words<'_>,
    environment: &Environment,
    context: &Path,
    now: DateTime<Utc>,
    notes: &mut Notes,
) -> Result<Setting<SourceDateEpoch>, SettingsError> {
    const SECONDS: &str = "--source-date-epoch";
    const DATE: &str = "--datetime";
    let pair = |origin: fn(&'static str) -> Origin, seconds: Option<String>, date: Option<String>| match (seconds, date)
    {
        (Some(_), Some(_)) => Err(SettingsError::Both(origin(SECONDS), origin(DATE))),
        (Some(text), None) => Ok(Some((text, origin(SECONDS), false))),
        (None, Some(text)) => Ok(Some((text, origin(DATE), true))),
        (None, None) => Ok(None),
    };
    let text = |name| variable(environment, name).map(|value| value.map(str::to_owned));
    let variable_name: fn(&'static str) -> Origin =
        |flag| Origin::Variable(if flag == SECONDS { "REPRO_SOURCE_DATE_EPOCH" } else { "REPRO_DATETIME" });
    let flags = pair(
        Origin::Flag,
        words.flag(SECONDS, |words| words.source_date_epoch.clone()).map(|given| given.value),
        words.flag(DATE, |words| words.datetime.clone()).map(|given| given.value),
    )?;
    let own = (text("REPRO_SOURCE_DATE_EPOCH")?, text("REPRO_DATETIME")?);
    if let Some((_, origin, _)) = &flags {
        for (name, value) in [("REPRO_SOURCE_DATE_EPOCH", &own.0), ("REPRO_DATETIME", &own.1)] {
            if let Some(value) = value {
                notes.warnings.push(format!("{name}={value} is overridden by {origin}"));
            }
        }
    }
    let standard = text("SOURCE_DATE_EPOCH")?.map(|text| (text, Origin::Variable("SOURCE_DATE_EPOCH"), false));
    let chosen = match flags {
        Some(flags) => Some(flags),
        None => pair(variable_name, own.0, own.1)?,
    };
    let file = pair(
        words.origin_of_key(),
        words.key(SECONDS, |words| words.source_date_epoch.clone()).map(|given| given.value),
        words.key(DATE, |words| words.datetime.clone()).map(|given| given.value),
    )?;
    let image = words.image(SECONDS, |words| words.source_date_epoch.clone());
    let image = image.map(|given| (given.value, given.origin, false));
    let (text, origin, is_date) = chosen.or(standard).or(file).or(image).ok_or(SettingsError::NoEpoch)?;
    let parsed = match text.as_str() {
        "git" if !is_date => {
            SourceDateEpoch::from_seconds(commit_time(context, environment).map_err(SettingsError::Git)?)
        }
        _ if is_date => SourceDateEpoch::parse_datetime(&text),
        _ => text.parse(),
    };
    let checked: Result<SourceDateEpoch, EpochError> =
        parsed.and_then(|epoch| epoch.check_not_after(now).map(|()| epoch));
    checked.map(|value| Setting { value, origin }).map_err(|source| SettingsError::Epoch { origin, source })
}

fn resolve_pin(words: &Words<'_>, environment: &Environment) -> Result<Setting<Option<Pin>>, SettingsError> {
    const FLAG: &str = "--buildkit-image";
    const NAME: &str = "REPRO_BUILDKIT_IMAGE";
    let Some((text, origin)) = nearest(words, FLAG, |words| words.buildkit_image.as_deref(), environment, NAME)? else {
        return Ok(Setting { value: None, origin: Origin::Default });
    };
    let pin = Pin::parse(text).map_err(|source| SettingsError::Pin { origin, source })?;
    Ok(Setting { value: Some(pin), origin })
}

/// The text that is said nearest to the user: by the flag, else the variable, else the key.
fn nearest<'a>(
    words: &Words<'a>,
    flag: &'static str,
    get: fn(&BuildWords) -> Option<&str>,
    environment: &'a Environment,
    name: &'static str,
) -> Result<Option<(&'a str, Origin)>, SettingsError> {
    if let Some(given) = words.flag(flag, get) {
        return Ok(Some((given.value, given.origin)));
    }
    if let Some(text) = variable(environment, name)? {
        return Ok(Some((text, Origin::Variable(name))));
    }
    Ok(words.key(flag, get).or_else(|| words.image(flag, get)).map(|given| (given.value, given.origin)))
}

/// A switch whose variable says either the same (`REPRO_ROOTLESS`) or the opposite (`REPRO_CACHE`).
fn resolve_switch(
    words: &Words<'_>,
    flag: &'static str,
    get: fn(&BuildWords) -> bool,
    environment: &Environment,
    name: &'static str,
    truth: bool,
) -> Result<Setting<bool>, SettingsError> {
    let is_set = |words: &BuildWords| get(words).then_some(true);
    if let Some(given) = words.flag(flag, is_set) {
        return Ok(Setting { value: true, origin: given.origin });
    }
    if let Some(text) = variable(environment, name)? {
        let Some(said) = parse_switch(text) else {
            let expected = "it is 1, true, yes, on, or 0, false, no, off";
            return Err(SettingsError::Variable { name, value: text.to_owned(), expected });
        };
        return Ok(Setting { value: said == truth, origin: Origin::Variable(name) });
    }
    let key = words.key(flag, is_set);
    Ok(Setting { value: key.is_some(), origin: key.map_or(Origin::Default, |given| given.origin) })
}

/// A switch as a text.
#[must_use]
pub fn parse_switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn resolve_context_modes(words: &Words<'_>, notes: &mut Notes) -> ContextModes {
    match notes.one(words, "--context-modes", |words| words.context_modes) {
        None | Some(ContextModesWord::Keep) => ContextModes::Keep,
        Some(ContextModesWord::Git) => ContextModes::Git,
    }
}

fn resolve_build_contexts(
    words: &Words<'_>,
    notes: &mut Notes,
) -> Result<BTreeMap<String, NamedContext>, SettingsError> {
    const FLAG: &str = "--build-context";
    let mut contexts = BTreeMap::new();
    for given in words.items(FLAG, |words| &words.build_context) {
        let (name, mut context) = NamedContext::parse(given.value, given.directory)?;
        if let NamedContext::Directory(path) | NamedContext::Layout { directory: path, .. } = &mut context {
            *path = place::resolve_directory("build context", path)?;
        }
        notes.came_from(FLAG, &name, given.origin);
        contexts.insert(name, context);
    }
    Ok(contexts)
}
