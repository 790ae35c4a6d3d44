//! Rust, Go, Ruby and PHP.

use super::{Arguments, Place, names, unpinned};
use crate::moving::has_ending;
use crate::moving::hit::{Hit, shown};
use crate::moving::rule::Rule;
use crate::moving::shell::{Command, Word};

/// `cargo`.
pub(super) fn cargo(command: &Command, place: &Place) -> Vec<Hit> {
    const VALUED: [&str; 22] = [
        "-F",
        "-j",
        "-Z",
        "-p",
        "--version",
        "--vers",
        "--git",
        "--branch",
        "--tag",
        "--rev",
        "--root",
        "--path",
        "--features",
        "--target",
        "--profile",
        "--jobs",
        "--bin",
        "--registry",
        "--index",
        "--target-dir",
        "--config",
        "--manifest-path",
    ];
    let mut arguments = Arguments::new(&command.words, &VALUED);
    arguments.operands.retain(|word| !word.text.starts_with('+'));
    let is_locked = arguments.has(&["--locked", "--frozen", "--offline"]);
    match arguments.verb() {
        "install" | "binstall" => cargo_install(&arguments, is_locked, place),
        "build" | "b" | "fetch" | "test" | "run" | "check" | "chef" if !is_locked => {
            let manifest = arguments.values(&["--manifest-path"]).next();
            let place =
                place.within(manifest.map(|path| path.rsplit_once('/').map_or(".", |(directory, _)| directory)));
            let manifest = place.find("Cargo.toml");
            let is_workspace =
                manifest.text().is_some_and(|text| text.contains("[dependencies") || text.contains("[workspace"));
            if !is_workspace || place.has("Cargo.lock") != Some(false) {
                return Vec::new();
            }
            let what = format!("`cargo {}` without `Cargo.lock`", arguments.verb());
            vec![Hit::moves(
                Rule::CargoLock,
                what,
                "commit `Cargo.lock`, copy it into the image and build with `--locked`",
            )]
        }
        "update" if !arguments.has(&["--precise", "--dry-run"]) && arguments.rest().is_empty() => {
            vec![Hit::moves(
                Rule::CargoLock,
                "`cargo update` during the build",
                "do it before the build, and commit `Cargo.lock`",
            )]
        }
        _ => Vec::new(),
    }
}

fn cargo_install(arguments: &Arguments, is_locked: bool, place: &Place) -> Vec<Hit> {
    let fix = "`cargo install --locked NAME@VERSION`";
    if arguments.values(&["--git"]).next().is_some() {
        let what = "`cargo install --git` without `--rev`";
        let is_fixed = arguments.values(&["--rev"]).next().is_some();
        let has_tag = arguments.values(&["--tag"]).next().is_some();
        return match (is_fixed, has_tag, is_locked) {
            (true, _, true) => Vec::new(),
            (true, _, false) => vec![not_locked()],
            (_, true, _) => {
                vec![Hit::may_move(Rule::CargoPackages, what, "`--rev` with the whole commit, and `--locked`")]
            }
            _ => vec![Hit::moves(Rule::CargoPackages, what, "`--rev` with the whole commit, and `--locked`")],
        };
    }
    if let Some(path) = arguments.values(&["--path"]).next() {
        let place = place.within(Some(path));
        return if is_locked || place.has("Cargo.toml") != Some(true) { Vec::new() } else { vec![not_locked()] };
    }
    let versions: Vec<&str> = arguments.values(&["--version", "--vers"]).collect();
    let is_range = |version: &str| version.starts_with(['^', '~', '>', '<', '*']);
    if versions.iter().any(|version| !is_range(version)) {
        return if is_locked || arguments.verb() == "binstall" { Vec::new() } else { vec![not_locked()] };
    }
    let found = unpinned(arguments.rest(), |name| name.split_once('@').is_some_and(|(_, version)| !is_range(version)));
    if !found.is_empty() {
        return vec![Hit::moves(Rule::CargoPackages, format!("no version of {}", names(&found)), fix)];
    }
    let has_names = !arguments.rest().is_empty();
    if has_names && !is_locked && arguments.verb() == "install" { vec![not_locked()] } else { Vec::new() }
}

fn not_locked() -> Hit {
    Hit::may_move(
        Rule::CargoPackages,
        "`cargo install` without `--locked` chooses the dependencies anew",
        "`cargo install --locked …`",
    )
}

/// `rustup`.
pub(super) fn rustup(command: &Command) -> Vec<Hit> {
    let arguments = Arguments::new(
        &command.words,
        &["--default-toolchain", "--profile", "-c", "-t", "--component", "--target", "--default-host"],
    );
    let is_channel = |name: &str| {
        ["stable", "beta", "nightly"].iter().any(|channel| {
            // A date may follow, or what the machine is.
            name.strip_prefix(channel)
                .is_some_and(|rest| !rest.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    let rest = arguments.rest();
    let named = match (arguments.verb(), rest.first().map(|word| word.text.as_str())) {
        ("toolchain", Some("install" | "add" | "update")) => rest.get(1..).unwrap_or_default(),
        ("install" | "default", _) | ("update", Some(_)) => rest,
        ("update" | "upgrade", None) => {
            return vec![Hit::moves(
                Rule::RustToolchain,
                "`rustup update`",
                "name a version in `rustup toolchain install`",
            )];
        }
        _ => &[],
    };
    let channel = named
        .iter()
        .map(|word| word.text.as_str())
        .chain(arguments.values(&["--default-toolchain"]))
        .find(|name| is_channel(name));
    channel.map_or_else(Vec::new, |name| {
        let fix = "a version, such as `1.88.0`, or a day, such as `nightly-2025-06-01`";
        vec![Hit::moves(Rule::RustToolchain, format!("toolchain `{}`", shown(name)), fix)]
    })
}

/// `go`.
pub(super) fn go(command: &Command, place: &Place) -> Vec<Hit> {
    const VALUED: [&str; 9] = ["-ldflags", "-tags", "-o", "-mod", "-gcflags", "-p", "-C", "-asmflags", "-modfile"];
    let arguments = Arguments::new(&command.words, &VALUED);
    let place = place.within(arguments.values(&["-C"]).next());
    let verb = arguments.verb();
    if matches!(verb, "install" | "get" | "run") {
        let moving: Vec<&Word> = arguments
            .rest()
            .iter()
            .filter(|word| is_loose_module(&word.text, verb, arguments.has(&["-u"]), &place))
            .copied()
            .collect();
        if !moving.is_empty() {
            let fix = format!("`go {verb} MODULE@VERSION`, with a whole version or a commit");
            return vec![Hit::moves(Rule::GoPackages, format!("no version of {}", names(&moving)), fix)];
        }
    }
    let builds = matches!(verb, "build" | "install" | "test" | "generate" | "vet")
        || verb == "mod"
            && arguments
                .rest()
                .first()
                .is_some_and(|word| matches!(word.text.as_str(), "download" | "tidy" | "vendor"));
    let requires = builds
        && place
            .find("go.mod")
            .text()
            .is_some_and(|text| text.lines().any(|line| line.trim_start().starts_with("require")));
    if requires && place.has("go.sum") == Some(false) {
        let fix = "commit `go.sum` and copy it into the image beside `go.mod`";
        return vec![Hit::may_move(Rule::GoSum, format!("`go {verb}` without `go.sum`"), fix)];
    }
    Vec::new()
}

fn is_loose_module(text: &str, verb: &str, updates: bool, place: &Place) -> bool {
    let Some((_, version)) = text.split_once('@') else {
        // Without a version `go get` asks for the newest, unless go.mod names one.
        let is_remote = text.split('/').next().is_some_and(|host| host.contains('.') && !host.starts_with('.'));
        return verb == "get"
            && is_remote
            && !text.contains('$')
            && (updates || place.has("go.mod") == Some(false) && place.has("go.sum") == Some(false));
    };
    let is_commit = version.len() >= 7 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_whole = version.starts_with('v') && version.matches('.').count() >= 2;
    !(is_commit || is_whole || version.contains('$') || version == "none")
}

/// `gem`.
pub(super) fn gem(command: &Command) -> Vec<Hit> {
    let arguments = Arguments::new(
        &command.words,
        &["-v", "-i", "-n", "-P", "-s", "--version", "--source", "--platform", "--install-dir", "--bindir"],
    );
    let fix = "`gem install NAME -v VERSION`; a `Gemfile.lock` fixes what it needs as well";
    match arguments.verb() {
        "install" | "i" => {
            let is_range = |version: &str| version.trim_start().starts_with(['~', '>', '<', '!']);
            if arguments.values(&["-v", "--version"]).any(|version| !is_range(version)) {
                return Vec::new();
            }
            let found = unpinned(arguments.rest(), |name| {
                name.split_once(':').is_some_and(|(_, v)| !is_range(v)) || has_ending(name, &[".gem"])
            });
            if found.is_empty() {
                Vec::new()
            } else {
                vec![Hit::moves(Rule::GemPackages, format!("no version of {}", names(&found)), fix)]
            }
        }
        "update" if arguments.rest().is_empty() => vec![Hit::moves(Rule::GemPackages, "`gem update`", fix)],
        _ => Vec::new(),
    }
}

/// `bundle`.
pub(super) fn bundle(command: &Command, place: &Place) -> Vec<Hit> {
    let arguments =
        Arguments::new(&command.words, &["--gemfile", "-j", "--jobs", "--retry", "--path", "--without", "--with"]);
    let lock = Hit::moves(Rule::BundlerLock, "", "commit `Gemfile.lock` and copy it into the image");
    match arguments.verb() {
        "install" | ""
            if !place.is_set(command, "BUNDLE_GEMFILE")
                && !arguments.has(&["--gemfile", "--local", "-v", "--version"]) =>
        {
            match (place.has("Gemfile.lock"), place.has("Gemfile")) {
                (Some(false), Some(true)) => {
                    vec![Hit { what: "`bundle install` without `Gemfile.lock`".to_owned(), ..lock }]
                }
                _ => Vec::new(),
            }
        }
        "update" => vec![Hit { what: "`bundle update` during the build".to_owned(), ..lock }],
        _ => Vec::new(),
    }
}

/// `composer`.
pub(super) fn composer(command: &Command, place: &Place) -> Vec<Hit> {
    let arguments = Arguments::new(&command.words, &["-d", "--working-dir", "--stability", "-s", "--repository"]);
    let place = place.within(arguments.values(&["-d", "--working-dir"]).next());
    let (mut verb, mut rest) = (arguments.verb(), arguments.rest());
    if verb == "global" {
        verb = rest.first().map_or("", |word| &word.text);
        rest = rest.get(1..).unwrap_or_default();
    }
    let fix = "commit `composer.lock` and run `composer install`";
    match verb {
        "install" | "i" if arguments.verb() != "global" => {
            match (place.has("composer.lock"), place.has("composer.json")) {
                (Some(false), Some(true)) => {
                    vec![Hit::moves(Rule::ComposerLock, "`composer install` without `composer.lock`", fix)]
                }
                _ => Vec::new(),
            }
        }
        "update" | "upgrade" if !arguments.has(&["--lock", "--dry-run"]) => {
            vec![Hit::moves(Rule::ComposerLock, format!("`composer {verb}` during the build"), fix)]
        }
        "require" | "req" => {
            let is_exact = |name: &str| {
                let version = name.split_once([':', '=']).map(|(_, version)| version);
                version.is_some_and(|version| {
                    version.contains('.') && !version.contains(['^', '~', '*', '>', '<', '|', ' '])
                })
            };
            let found = unpinned(rest, |name| is_exact(name) || !name.contains('/'));
            if found.is_empty() {
                Vec::new()
            } else {
                vec![Hit::moves(Rule::ComposerPackages, format!("no exact version of {}", names(&found)), fix)]
            }
        }
        _ => Vec::new(),
    }
}

/// `pecl install`.
pub(super) fn pecl(command: &Command) -> Vec<Hit> {
    let arguments = Arguments::new(&command.words, &["-D", "--configureoptions"]);
    let has_version = |name: &str| {
        name.rsplit_once('-').is_some_and(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit()))
            || name.contains("://")
            || has_ending(name, &[".tgz", ".xml"])
    };
    match arguments.verb() {
        "install" | "upgrade" => {
            let found = unpinned(arguments.rest(), has_version);
            if found.is_empty() {
                Vec::new()
            } else {
                vec![Hit::moves(
                    Rule::PeclPackages,
                    format!("no version of {}", names(&found)),
                    "`pecl install NAME-VERSION`",
                )]
            }
        }
        _ => Vec::new(),
    }
}
