//! The package managers of distributions.

use super::{Arguments, Place, names, unpinned};
use crate::moving::has_ending;
use crate::moving::hit::Hit;
use crate::moving::rule::Rule;
use crate::moving::shell::{Command, Word};

const APT_FIX: &str = "take the packages from snapshot.debian.org or snapshot.ubuntu.com at a fixed time, or write `PACKAGE=VERSION` for each";

/// `apt-get`, `apt`, `aptitude`.
pub(super) fn apt(command: &Command, place: &Place) -> Vec<Hit> {
    const VALUED: [&str; 7] = ["-o", "-t", "-c", "--option", "--target-release", "--default-release", "--config-file"];
    // Nothing is installed by these.
    const DRY: [&str; 8] =
        ["-d", "-s", "--download-only", "--simulate", "--dry-run", "--just-print", "--no-act", "--print-uris"];
    let arguments = Arguments::new(&command.words, &VALUED);
    let is_fixed = place.has_snapshot || arguments.has(&["-S", "--snapshot"]);
    if is_fixed || arguments.has(&DRY) || arguments.values(&["-o"]).any(|value| value.starts_with("APT::Snapshot")) {
        return Vec::new();
    }
    match arguments.verb() {
        "install" | "satisfy" | "build-dep" => {
            let found = unpinned(arguments.rest(), |name| {
                name.contains('=') || has_ending(name, &[".deb"]) || name.ends_with('-') || name.starts_with('(')
            });
            packages(&found, Rule::AptPackages, APT_FIX)
        }
        "upgrade" | "dist-upgrade" | "full-upgrade" | "safe-upgrade" => vec![upgrade(&command.name, arguments.verb())],
        _ => Vec::new(),
    }
}

fn packages(found: &[&Word], rule: Rule, fix: &str) -> Vec<Hit> {
    if found.is_empty() {
        return Vec::new();
    }
    vec![Hit::moves(rule, format!("no version of {}", names(found)), fix)]
}

fn upgrade(name: &str, verb: &str) -> Hit {
    let fix = "begin with a newer base image, by digest, and leave the upgrade out";
    Hit::moves(Rule::SystemUpgrade, format!("`{name} {verb}`"), fix)
}

/// `apk add`.
pub(super) fn apk(command: &Command) -> Vec<Hit> {
    const VALUED: [&str; 12] = [
        "-t",
        "-X",
        "-p",
        "--virtual",
        "--repository",
        "--root",
        "--repositories-file",
        "--keys-dir",
        "--arch",
        "--cache-dir",
        "--wait",
        "--cache-max-age",
    ];
    let arguments = Arguments::new(&command.words, &VALUED);
    match arguments.verb() {
        "add" if !arguments.has(&["-s", "--simulate"]) => {
            let found = unpinned(arguments.rest(), |name| {
                name.contains(['=', '~']) && !name.contains(['>', '<'])
                    || has_ending(name, &[".apk"])
                    || name.starts_with('!')
            });
            packages(
                &found,
                Rule::ApkPackages,
                "write `PACKAGE=VERSION` for each, from a branch of Alpine that still has it",
            )
        }
        "upgrade" => vec![upgrade("apk", "upgrade")],
        _ => Vec::new(),
    }
}

/// `dnf`, `yum`, `microdnf`.
pub(super) fn rpm(command: &Command) -> Vec<Hit> {
    const VALUED: [&str; 13] = [
        "-c",
        "-x",
        "--config",
        "--exclude",
        "--enablerepo",
        "--disablerepo",
        "--repo",
        "--repoid",
        "--releasever",
        "--installroot",
        "--setopt",
        "--forcearch",
        "--destdir",
    ];
    let arguments = Arguments::new(&command.words, &VALUED);
    // Amazon Linux has a repository for each release of that form.
    let is_fixed = arguments.values(&["--releasever"]).any(|release| release.matches('.').count() > 1);
    if is_fixed || arguments.has(&["--downloadonly", "--assumeno"]) {
        return Vec::new();
    }
    let rest = arguments.rest();
    let fix = "write `PACKAGE-VERSION-RELEASE` for each, and take them from a repository that keeps old versions";
    match arguments.verb() {
        "install" | "localinstall" | "groupinstall" | "reinstall" => {
            let found =
                unpinned(rest, |name| has_rpm_version(name) || has_ending(name, &[".rpm"]) || name.starts_with('-'));
            packages(&found, Rule::RpmPackages, fix)
        }
        "upgrade" | "update" | "distro-sync" if rest.is_empty() => vec![upgrade(&command.name, arguments.verb())],
        "upgrade" | "update" => packages(&unpinned(rest, has_rpm_version), Rule::RpmPackages, fix),
        _ => Vec::new(),
    }
}

/// `name-1.2-3.el9`: a part between dashes that begins with a digit and holds a dot. `java-17-openjdk` is a name.
fn has_rpm_version(name: &str) -> bool {
    let version = |part: &str| part.starts_with(|c: char| c.is_ascii_digit()) && part.contains('.');
    name.split('-').skip(1).any(|part| version(part.split_once(':').map_or(part, |(_, part)| part)))
        || name.contains('=')
}

/// `zypper install`.
pub(super) fn zypper(command: &Command) -> Vec<Hit> {
    const VALUED: [&str; 9] = ["-R", "-t", "-r", "--root", "--type", "--repo", "--from", "--name", "--installroot"];
    let arguments = Arguments::new(&command.words, &VALUED);
    if arguments.has(&["-D", "-d", "--dry-run", "--download-only"]) {
        return Vec::new();
    }
    match arguments.verb() {
        "install" | "in" => {
            let found = unpinned(arguments.rest(), |name| {
                name.contains('=') && !name.contains(['<', '>']) || has_ending(name, &[".rpm"]) || has_rpm_version(name)
            });
            packages(&found, Rule::ZypperPackages, "write `PACKAGE=VERSION` for each")
        }
        "update" | "up" | "dist-upgrade" | "dup" | "patch" => vec![upgrade("zypper", arguments.verb())],
        _ => Vec::new(),
    }
}

/// `pacman -S`.
pub(super) fn pacman(command: &Command, place: &Place) -> Vec<Hit> {
    let options: Vec<&str> =
        command.words.iter().map(|word| word.text.as_str()).filter(|text| text.starts_with('-')).collect();
    let short = options.iter().filter(|option| !option.starts_with("--")).flat_map(|option| option.chars());
    let letters: String = short.collect();
    let syncs = letters.contains('S') || options.contains(&"--sync");
    let is_query = letters.contains(['c', 's', 'i', 'l', 'g', 'p', 'w']) || options.contains(&"--print");
    if !syncs || is_query || place.has_archive {
        return Vec::new();
    }
    let fix = "point `/etc/pacman.d/mirrorlist` at a day of archive.archlinux.org";
    if letters.contains('u') || options.contains(&"--sysupgrade") {
        return vec![Hit::moves(Rule::SystemUpgrade, format!("`{} -Syu`", command.name), fix)];
    }
    let arguments = Arguments::new(&command.words, &["--root", "-r", "--config", "--dbpath", "-b"]);
    packages(&unpinned(&arguments.operands, |_| false), Rule::PacmanPackages, fix)
}
