//! What package managers fetch without being told exactly which.

mod java;
mod languages;
mod node;
mod python;
mod requirements;
mod system;

use super::files::{Copied, Files, Found, absolute};
use super::hit::{Hit, list};
use super::shell::{Command, Word};
use super::variables::Variables;

/// Where a command runs.
pub(super) struct Place<'a> {
    /// The directory, if it is known.
    pub(super) directory: Option<String>,
    /// What of the context is where.
    pub(super) copied: &'a [Copied],
    /// The files of the context.
    pub(super) files: &'a Files<'a>,
    /// The variables that are set for all commands.
    pub(super) variables: &'a Variables,
    /// Whether the package sources of Debian or Ubuntu are, or may be, those of a fixed time.
    pub(super) has_snapshot: bool,
    /// Whether the same is true of the sources of Arch Linux.
    pub(super) has_archive: bool,
}

impl Place<'_> {
    /// A file by its path as a command names it.
    fn find(&self, path: &str) -> Found {
        match &self.directory {
            _ if path.contains('$') => Found::Unknown,
            None if !path.starts_with('/') => Found::Unknown,
            directory => self.files.find(&absolute(directory.as_deref().unwrap_or("/"), path), self.copied),
        }
    }

    /// Whether a file is there, as far as that can be told.
    fn has(&self, path: &str) -> Option<bool> {
        match self.find(path) {
            Found::Text(..) => Some(true),
            Found::Absent => Some(false),
            Found::Unknown => None,
        }
    }

    /// Whether a variable is set for this command.
    fn is_set(&self, command: &Command, name: &str) -> bool {
        self.variables.is_set(name)
            || command.assignments.iter().any(|word| word.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))
    }

    /// The same place, seen from a directory that an option names.
    fn within(&self, directory: Option<&str>) -> Self {
        let directory = match (directory, &self.directory) {
            (None, directory) => directory.clone(),
            (Some(path), _) if path.contains('$') => None,
            (Some(path), Some(directory)) => Some(absolute(directory, path)),
            (Some(path), None) => path.starts_with('/').then(|| path.to_owned()),
        };
        Self { directory, ..*self }
    }
}

/// Everything that a command brings and does not pin.
pub(super) fn look(command: &Command, place: &Place) -> Vec<Hit> {
    match command.name.as_str() {
        "apt-get" | "apt" | "aptitude" => system::apt(command, place),
        "apk" => system::apk(command),
        "dnf" | "dnf5" | "yum" | "microdnf" | "tdnf" => system::rpm(command),
        "zypper" => system::zypper(command),
        "pacman" | "yay" | "paru" => system::pacman(command, place),
        "pip" | "uv" | "pipx" => python::look(command, place),
        "poetry" | "pdm" | "pipenv" => python::project(command, place),
        "conda" | "mamba" | "micromamba" => python::conda(command, place),
        "npm" => node::npm(command, place),
        "yarn" | "pnpm" | "bun" => node::others(command, place),
        "corepack" => node::corepack(command),
        "cargo" => languages::cargo(command, place),
        "rustup" | "rustup-init" | "rustup-init.sh" => languages::rustup(command),
        "go" => languages::go(command, place),
        "gem" => languages::gem(command),
        "bundle" | "bundler" => languages::bundle(command, place),
        "composer" | "composer.phar" => languages::composer(command, place),
        "pecl" => languages::pecl(command),
        "mvn" | "mvnw" => java::maven(command, place),
        "gradle" | "gradlew" => java::gradle(command, place),
        _ => Vec::new(),
    }
}

/// Options and operands of a command.
pub(super) struct Arguments<'a> {
    options: Vec<(&'a str, Option<&'a str>)>,
    pub(super) operands: Vec<&'a Word>,
}

impl<'a> Arguments<'a> {
    /// Splits words; `valued` are the options whose value is the next word.
    ///
    /// The word behind a long option that is not known here may be its value or not: it is left out, unless it is an address.
    pub(super) fn new(words: &'a [Word], valued: &[&str]) -> Self {
        let (mut options, mut operands) = (Vec::new(), Vec::new());
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let text = word.text.as_str();
            if text == "--" {
                operands.extend(words.by_ref());
            } else if !text.starts_with('-') || text == "-" {
                operands.push(word);
            } else if let Some((name, value)) = text.split_once('=') {
                options.push((name, Some(value)));
            } else {
                let value = if takes_value(text, valued) { words.next() } else { None };
                options.push((text, value.map(|word| word.text.as_str())));
                if value.is_none() && text.starts_with("--") && !is_flag(text) {
                    words.next_if(|word| !word.text.starts_with('-') && !word.text.contains("://"));
                }
            }
        }
        Self { options, operands }
    }

    /// Whether one of these options is there; a letter may stand among others, as in `-yq`.
    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.options.iter().any(|(option, _)| names.iter().any(|name| *name == *option || is_in_cluster(option, name)))
    }

    /// The values of an option.
    pub(super) fn values<'s>(&'s self, names: &'s [&str]) -> impl Iterator<Item = &'a str> + 's {
        let is_one = |option: &str| names.iter().any(|name| *name == option || is_in_cluster(option, name));
        self.options.iter().filter(move |(option, _)| is_one(option)).filter_map(|(_, value)| *value)
    }

    /// The first operand: what the command is to do.
    pub(super) fn verb(&self) -> &'a str {
        self.operands.first().map_or("", |word| &word.text)
    }

    /// The operands behind it.
    pub(super) fn rest(&self) -> &[&'a Word] {
        self.operands.get(1..).unwrap_or_default()
    }
}

/// Long options of the programs that are read here, none of which takes a value behind a space.
const FLAGS: [&str; 76] = [
    "--activate",
    "--all",
    "--all-features",
    "--allowerasing",
    "--assume-yes",
    "--assumeyes",
    "--bare",
    "--best",
    "--break-system-packages",
    "--clean",
    "--compile",
    "--compile-bytecode",
    "--compressed",
    "--conservative",
    "--copy",
    "--debug",
    "--deploy",
    "--detach",
    "--dev",
    "--development",
    "--download-only",
    "--downloadonly",
    "--enable",
    "--exact",
    "--fail",
    "--freeze-installed",
    "--frozen",
    "--frozen-lockfile",
    "--global",
    "--global-style",
    "--hard",
    "--https-only",
    "--immutable",
    "--insecure",
    "--latest",
    "--legacy-peer-deps",
    "--location",
    "--locked",
    "--mirror",
    "--needed",
    "--noconfirm",
    "--nodocs",
    "--nogpgcheck",
    "--non-interactive",
    "--offline",
    "--only-upgrade",
    "--optimize-autoloader",
    "--pre",
    "--prod",
    "--production",
    "--progress",
    "--purge",
    "--quiet",
    "--recommends",
    "--recursive",
    "--refresh",
    "--reinstall",
    "--remote-name",
    "--require-hashes",
    "--retry-all-errors",
    "--retry-connrefused",
    "--save",
    "--shallow-submodules",
    "--show-error",
    "--silent",
    "--simulate",
    "--strict-ssl",
    "--system",
    "--track",
    "--trust",
    "--update",
    "--update-cache",
    "--upgrade",
    "--user",
    "--verbose",
    "--yes",
];
/// How further ones begin.
const FLAG_STARTS: [&str; 16] = [
    "--allow-",
    "--auto-",
    "--classmap-",
    "--disable-pip",
    "--dry-",
    "--fix-",
    "--force",
    "--ignore-",
    "--install-",
    "--no-",
    "--prefer-",
    "--recurse-",
    "--save-",
    "--single-",
    "--skip-",
    "--unsafe-",
];
fn is_flag(text: &str) -> bool {
    FLAGS.contains(&text) || FLAG_STARTS.iter().any(|start| text.starts_with(start))
}

fn takes_value(text: &str, valued: &[&str]) -> bool {
    valued.contains(&text)
        || text.len() <= 8
            && text[1..].bytes().all(|byte| byte.is_ascii_alphabetic())
            && valued.iter().any(|name| name.len() == 2 && text.ends_with(&name[1..]))
}

fn is_in_cluster(option: &str, name: &str) -> bool {
    name.len() == 2
        && !option.starts_with("--")
        && option.len() <= 8
        && option[1..].bytes().all(|byte| byte.is_ascii_alphabetic())
        && option.contains(&name[1..])
}

/// Whether a word is a name that can be judged: all of it is known, and it is not a path.
fn is_name(word: &Word) -> bool {
    let starts = |start: &str| word.text.starts_with(start);
    word.is_known && !word.text.is_empty() && !["./", "../", "/", "~", "$"].iter().any(|start| starts(start))
}

/// The words that name something without a version.
fn unpinned<'a>(words: &[&'a Word], is_pinned: impl Fn(&str) -> bool) -> Vec<&'a Word> {
    words.iter().filter(|word| is_name(word) && !is_pinned(&word.text)).copied().collect()
}

/// The names of words, for a message.
fn names(words: &[&Word]) -> String {
    list(words.iter().map(|word| word.text.as_str()))
}
