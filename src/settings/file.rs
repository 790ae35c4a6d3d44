//! `repro.toml`: the arguments of a build, kept beside its Dockerfile.
//!
//! Every long name of a flag of `repro build` is a key. The file is translated into words of a command line and read by
//! the same parser, so that a key can mean nothing else than its flag.
//!
//! A file that was found, not named, comes from whoever wrote the repository. It may say what is built, but it may not hand
//! anything of this machine to the build: secrets, files outside of its directory, credentials, privileges, or a BuildKit
//! that nobody knows. Whoever trusts it names it with `--config`.

use std::fs;
use std::path::{Component, Path, PathBuf};

use clap::{Arg, ArgAction, Args as _, Command, FromArgMatches as _};
use toml::Value;

use super::BuildWords;
use crate::failure::{Diagnose, ExitStatus};
use crate::pin::Pin;
use crate::plan::split_csv;

/// The name of the file.
pub const FILE_NAME: &str = "repro.toml";

/// A larger file is none: a settings file has dozens of lines. In bytes.
pub const LARGEST_FILE: u64 = 1 << 20;

/// Flags whose value is a path.
const PATHS: [&str; 4] = ["file", "output", "metadata-file", "buildkitd-config"];

/// Keys that hand something of this machine to the build, or change how it is guarded.
const CONSENT: [&str; 14] = [
    "secret",
    "ssh",
    "cache-to",
    "builder-network",
    "buildkitd-config",
    "buildkit-args",
    "buildx-args",
    // Leading to somebody else's daemon, or through somebody else's hands.
    "addr",
    "addr-tls",
    "addr-server-name",
    "ca",
    "proxy",
    "no-proxy",
    "proxy-in-run",
];

/// What somebody else says in the form of a `repro.toml`.
#[derive(Debug, Clone)]
pub struct RecipeText {
    /// Where it was read: a path, or an address.
    pub place: PathBuf,
    /// What is there.
    pub text: String,
}

impl RecipeText {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Ok(Self { place: path.to_owned(), text: SettingsFile::read(path)? })
    }
}

/// The words of a `repro.toml`.
#[derive(Debug, Clone)]
pub struct SettingsFile {
    /// Where it is.
    pub path: PathBuf,
    /// What its paths are relative to.
    pub directory: PathBuf,
    /// What it says.
    pub words: BuildWords,
    /// Whether it is a recipe that was given in its place.
    pub is_recipe: bool,
}

/// What is wrong with a `repro.toml`.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read `{path}`", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error("`{path}`, line {line}: {why}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A key that no flag has.
    #[error("`{path}`: no flag of `repro build` is named `{key}`", path = path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The flag that was perhaps meant.
        similar: Option<String>,
    },
    /// A value that the flag does not take.
    #[error("`{key}` in `{path}`: {why}", path = path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// A key that needs the user's consent.
    #[error("`{key}` in `{path}`: {why}, and a file that comes with the context may not do that", path = path.display())]
    Consent {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it would do.
        why: &'static str,
    },
}

impl Diagnose for FileError {
    fn status(&self) -> ExitStatus {
        ExitStatus::Usage
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { .. } => "look whether it is a file and may be read; `--no-config` leaves it out".to_owned(),
            Self::Unknown { similar: Some(similar), .. } => format!("did you mean `{similar}`?"),
            Self::Unknown { .. } | Self::Syntax { .. } | Self::Value { .. } => {
                "its keys are the long names of flags: `repro build --help` shows them and what each takes".to_owned()
            }
            Self::Consent { path, key, .. } => format!(
                "if you trust the file, name it: `--config {}`; or leave it out with `--no-config`, and give `--{key}` yourself",
                path.display()
            ),
        })
    }
}

impl SettingsFile {
    /// Reads a file. `trusted` says that the user named it.
    pub fn load(path: &Path, trusted: bool) -> Result<Self, FileError> {
        let directory = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        Self::parse(path, &directory, &Self::read(path)?, trusted)
    }

    /// Takes a text for a file in `directory` that is not trusted.
    pub fn parse_recipe(recipe: &RecipeText, directory: &Path) -> Result<Self, FileError> {
        let file = Self::parse(&recipe.place, directory, &recipe.text, false)?;
        Ok(Self { is_recipe: true, ..file })
    }

    /// Drops what says where on this machine is built. Whoever builds a stranger's source chooses that, for the runtimes keep
    /// a build from the machine more or less well. Says what was dropped.
    pub fn leave_machine_to_user(&mut self) -> Option<String> {
        let runtime = self.words.runtime.take().map(|_| "`runtime`");
        let rootless = std::mem::take(&mut self.words.rootless).then_some("`rootless`");
        let dropped: Vec<&str> = runtime.into_iter().chain(rootless).collect();
        let path = self.path.display();
        (!dropped.is_empty()).then(|| {
            format!(
                "{} in `{path}` is left out: where a stranger's source is built is yours to say",
                dropped.join(" and ")
            )
        })
    }

    fn read(path: &Path) -> Result<String, FileError> {
        let read = |source| FileError::Read { path: path.to_owned(), source };
        let metadata = fs::metadata(path).map_err(read)?;
        if !metadata.is_file() || metadata.len() > LARGEST_FILE {
            return Err(read(std::io::Error::other("it is not a file of at most one MiB")));
        }
        fs::read_to_string(path).map_err(read)
    }

    fn parse(path: &Path, directory: &Path, text: &str, trusted: bool) -> Result<Self, FileError> {
        let table: toml::Table = toml::from_str(text).map_err(|error| {
            let (line, why) = toml_fault(text, &error);
            FileError::Syntax { path: path.to_owned(), line, why }
        })?;
        let line = line_of(path, &table, |argument, words| {
            let why = (!trusted).then(|| needs_consent(argument, words, directory)).flatten();
            why.map_or(Ok(()), |why| {
                let key = argument.get_long().unwrap_or_default().to_owned();
                Err(FileError::Consent { path: path.to_owned(), key, why })
            })
        })?;
        let words = read_line(path, line)?;
        Ok(Self { path: path.to_owned(), directory: directory.to_owned(), words, is_recipe: false })
    }
}

/// The line, from 1, of what is wrong with a text that should be TOML, and what is wrong.
#[must_use]
pub fn toml_fault(text: &str, error: &toml::de::Error) -> (usize, String) {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    (line, error.message().to_owned())
}

/// The keys of a table in the form of `repro.toml` as the flags of a command line. The table is part of a file that the user
/// names, at `path`, and trusts.
pub fn flags_of_table(path: &Path, table: &toml::Table) -> Result<Vec<String>, FileError> {
    let line = line_of(path, table, |_, _| Ok(()))?;
    read_line(path, line.clone()).map(|_| line)
}

/// The words of a line of flags.
pub fn read_line(path: &Path, mut line: Vec<String>) -> Result<BuildWords, FileError> {
    // The context is the command line's alone.
    line.extend(["--".to_owned(), ".".to_owned()]);
    let wrong = |error: &clap::Error| {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default();
        let why = first.strip_prefix("error: ").unwrap_or(first).to_owned();
        FileError::Value { path: path.to_owned(), key: key_in(&why), why }
    };
    let matches = command().try_get_matches_from(line).map_err(|error| wrong(&error))?;
    BuildWords::from_arg_matches(&matches).map_err(|error| wrong(&error))
}

/// A table as a command line would say it.
fn line_of(
    path: &Path,
    table: &toml::Table,
    consent: impl Fn(&Arg, &[Word]) -> Result<(), FileError>,
) -> Result<Vec<String>, FileError> {
    let command = command();
    let mut line = Vec::new();
    for (key, value) in table {
        let argument = find(&command, key).ok_or_else(|| FileError::Unknown {
            path: path.to_owned(),
            key: key.clone(),
            similar: most_similar(&command, key),
        })?;
        let words = words_of(argument, value).map_err(|why| FileError::Value {
            path: path.to_owned(),
            key: key.clone(),
            why: why.to_owned(),
        })?;
        consent(argument, &words)?;
        line.extend(words.into_iter().map(|word| flag(argument, word)));
    }
    Ok(line)
}

/// The flags of a build as a command of their own.
pub fn command() -> Command {
    BuildWords::augment_args(Command::new(FILE_NAME).no_binary_name(true).disable_help_flag(true))
}

/// The flag of a key: its long name, or another name that the help shows.
fn find<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| names(argument).any(|name| name == key))
}

/// The names of a flag that can be keys.
pub fn names(argument: &Arg) -> impl Iterator<Item = &str> {
    let aliases = argument.get_visible_aliases().unwrap_or_default();
    argument.get_long().into_iter().chain(aliases)
}

fn most_similar(command: &Command, key: &str) -> Option<String> {
    let all = command.get_arguments().flat_map(names);
    let scored = all.map(|name| (strsim::jaro_winkler(name, key), name));
    scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name.to_owned())
}

/// A word of a flag; what follows `--name` for a switch.
type Word = Option<String>;

fn flag(argument: &Arg, word: Word) -> String {
    let name = argument.get_long().unwrap_or_default();
    word.map_or_else(|| format!("--{name}"), |word| format!("--{name}={word}"))
}

/// A value as the words that a command line would hold.
fn words_of(argument: &Arg, value: &Value) -> Result<Vec<Word>, &'static str> {
    if matches!(argument.get_action(), ArgAction::SetTrue) {
        return match value {
            Value::Boolean(true) => Ok(vec![None]),
            Value::Boolean(false) => Ok(Vec::new()),
            _ => Err("it is true or false"),
        };
    }
    let repeats = matches!(argument.get_action(), ArgAction::Append);
    match value {
        Value::Array(items) if repeats => items.iter().map(|item| scalar(item).map(Some)).collect(),
        // Platforms are one word with commas between them.
        Value::Array(items) if argument.get_long() == Some("platform") => {
            let items: Vec<String> = items.iter().map(scalar).collect::<Result<_, _>>()?;
            Ok(vec![Some(items.join(","))])
        }
        Value::Table(table) if repeats => {
            table.iter().map(|(name, value)| Ok(Some(format!("{name}={}", scalar(value)?)))).collect()
        }
        other => Ok(vec![Some(scalar(other)?)]),
    }
}

fn scalar(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        Value::Datetime(moment) => Ok(moment.to_string()),
        Value::Array(_) | Value::Table(_) => Err("this flag takes one text"),
    }
}

/// What a key would do that a file may not which was only found.
fn needs_consent(argument: &Arg, words: &[Word], directory: &Path) -> Option<&'static str> {
    let name = argument.get_long().unwrap_or_default();
    let any = |test: &dyn Fn(&str) -> bool| words.iter().flatten().any(|word| test(word));
    let leads_out = |path: &str| leads_out(directory, path);
    if CONSENT.contains(&name) {
        return Some("it hands something of this machine to the build");
    }
    let outside = "it leads out of the directory of the file";
    match name {
        _ if PATHS.contains(&name) => any(&leads_out).then_some(outside),
        "build-context" => any(&|word| leads_out(word.split_once('=').map_or(word, |(_, source)| local_part(source))))
            .then_some(outside),
        "cache-from" => any(&|word| {
            let leads_out = |field: &String| field.strip_prefix("src=").is_some_and(&leads_out);
            split_csv(word).is_none_or(|fields| fields.iter().any(leads_out))
        })
        .then_some(outside),
        "allow-frontend" => Some("it says whom to trust"),
        "build-arg" => {
            any(&|word| !word.contains('=')).then_some("it hands a variable of the environment to the build")
        }
        "network" => any(&|word| word == "host").then_some("it opens the network of BuildKit itself to RUN"),
        "buildkit-image" => any(&|word| !Pin::parse(word).is_ok_and(|pin| pin.is_released()))
            .then_some("it chooses a BuildKit that is no known release, which runs with privileges"),
        _ => None,
    }
}

/// The path in the source of a build context.
fn local_part(source: &str) -> &str {
    source.strip_prefix("oci-layout://").unwrap_or(source)
}

/// Whether a path leaves the directory, by its words or by links on its way.
fn leads_out(directory: &Path, path: &str) -> bool {
    let path = Path::new(path);
    if path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return true;
    }
    let Ok(resolved) = directory.canonicalize() else { return false };
    let joined = resolved.join(path);
    let existing = joined.ancestors().find_map(|ancestor| {
        // A link whose end is not there yet leads somewhere, too.
        ancestor.symlink_metadata().is_ok().then(|| ancestor.canonicalize())
    });
    !matches!(existing, Some(Ok(existing)) if existing.starts_with(&resolved))
}

/// The key that a message of the command line's parser is about.
fn key_in(message: &str) -> String {
    let name = message.split("--").nth(1).unwrap_or_default();
    name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<BuildWords, FileError> {
        SettingsFile::parse(Path::new("/p/repro.toml"), Path::new("/p"), text, false).map(|file| file.words)
    }

    #[test]
    fn a_key_means_its_flag() {
        let words = parse(
            "sde = 1700000000\nplatform = ['linux/amd64', 'linux/arm64']\nno-cache = true\npull = false\n\
             tag = 'a:1'\nbuild-arg = { A = 'b=c', N = 3 }\nlabel = ['x=y', 'z']\nmedia-types = 'oci'\n",
        )
        .unwrap();
        assert_eq!(words.source_date_epoch.as_deref(), Some("1700000000"));
        assert_eq!(words.platform.as_deref(), Some("linux/amd64,linux/arm64"));
        assert!(words.no_cache && !words.pull);
        assert_eq!(words.tag, ["a:1"]);
        assert_eq!(words.build_arg, ["A=b=c", "N=3"]);
        assert_eq!(words.label, ["x=y", "z"]);
    }

    #[test]
    fn a_date_may_be_written_as_one() {
        assert_eq!(parse("datetime = 2024-01-02T03:04:05Z").unwrap().datetime.as_deref(), Some("2024-01-02T03:04:05Z"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let message = |text: &str| parse(text).map(|_| ()).unwrap_err().to_string();
        assert_eq!(message("sde = 0\ntag = [\n"), "`/p/repro.toml`, line 2: unclosed array, expected `]`");
        assert_eq!(message("platfrom = 'x'"), "`/p/repro.toml`: no flag of `repro build` is named `platfrom`");
        assert_eq!(parse("platfrom = 'x'").unwrap_err().hint().unwrap(), "did you mean `platform`?");
        assert_eq!(message("no-cache = 'yes'"), "`no-cache` in `/p/repro.toml`: it is true or false");
        assert_eq!(message("target = ['a']"), "`target` in `/p/repro.toml`: this flag takes one text");
        assert!(message("runtime = 'dokcer'").starts_with("`runtime` in `/p/repro.toml`: invalid value 'dokcer'"));
    }

    #[test]
    fn a_stranger_does_not_say_where_it_is_built() {
        let text = "runtime = 'docker'\nrootless = true\ntarget = 'a'\n";
        let mut file = SettingsFile::parse(Path::new("/p/repro.toml"), Path::new("/p"), text, false).unwrap();
        let said = file.leave_machine_to_user().unwrap();
        assert!(said.starts_with("`runtime` and `rootless` in `/p/repro.toml` is left out"), "{said}");
        assert_eq!((file.words.runtime, file.words.rootless), (None, false));
        assert_eq!(file.words.target.as_deref(), Some("a"));
        assert_eq!(file.leave_machine_to_user(), None);
    }

    #[test]
    fn a_value_is_never_a_flag() {
        assert_eq!(parse("target = '--no-cache'").unwrap().target.as_deref(), Some("--no-cache"));
        assert!(!parse("tag = ['--pull']").unwrap().pull);
    }

    #[test]
    fn nothing_of_this_machine_goes_to_a_build_that_was_not_trusted() {
        for text in [
            "secret = 'id=a,src=/etc/shadow'",
            "ssh = 'default'",
            "allow-frontend = 'evil.example/x'",
            "output = '/etc/passwd'",
            "output = 'a/../../x'",
            "build-context = { a = '/home' }",
            "build-context = ['a=oci-layout:///home@sha256:x']",
            "build-arg = ['TOKEN']",
            "buildkit-image = 'evil.example/x@sha256:1111111111111111111111111111111111111111111111111111111111111111'",
            "buildx-args = '--allow=security.insecure'",
            "cache-from = 'type=local,src=/home'",
            "cache-from = 'type=local,\"src=/home\"'",
            "addr = 'tcp://evil.example:1234'",
            "addr-tls = 'certificates'",
            "addr-server-name = 'evil.example'",
        ] {
            assert!(matches!(parse(text), Err(FileError::Consent { .. })), "{text}");
            assert!(SettingsFile::parse(Path::new("/p/repro.toml"), Path::new("/p"), text, true).is_ok(), "{text}");
        }
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", directory.path().join("link")).unwrap();
        let linked = SettingsFile::parse(
            &directory.path().join("repro.toml"),
            directory.path(),
            "output = 'link/passwd'",
            false,
        );
        assert!(matches!(linked, Err(FileError::Consent { .. })), "a link leads out");
        for text in ["output = 'dist/image.tar'", "build-context = { a = 'b' }", "build-arg = ['A=b']"] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }
}
