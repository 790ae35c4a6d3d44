//! What a buildkitd needs that is a child: little as root, a user namespace with many ids as a plain user.

use std::fs;
use std::path::Path;

use super::{Finding, Health, space};
use crate::environment::Environment;
use crate::runtime::detect::find_on_path;

const PART: &str = "buildkitd";
/// What an image can hold: ids 0 to 65535.
const IDS: u64 = 65_536;

pub(super) fn look(environment: &Environment) -> Vec<Finding> {
    if !cfg!(target_os = "linux") {
        return vec![fails("system", "it needs Linux", "use Docker or Podman")];
    }
    let mut findings = Vec::new();
    let file_systems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let is_known = file_systems.lines().any(|line| line.split_whitespace().last() == Some("overlay"));
    findings.push(if is_known {
        Finding::ok(PART, "overlayfs", "known to the kernel")
    } else {
        let found = "not known to the kernel (yet)";
        Finding::new(PART, "overlayfs", Health::Warning, found).hint("load the module: `modprobe overlay`")
    });
    if rustix::process::geteuid().is_root() {
        findings.push(Finding::ok(PART, "user", "root"));
        findings.push(match find_on_path(environment, "unshare") {
            Some(path) => Finding::ok(PART, "unshare", path.display().to_string()),
            None => fails("unshare", "not on PATH", "install it (Debian: package util-linux)"),
        });
    } else {
        findings.extend(as_a_plain_user(environment));
    }
    if let Some(state) = environment.state_directory() {
        findings.extend(space(PART, &state));
    }
    findings
}

fn as_a_plain_user(environment: &Environment) -> Vec<Finding> {
    let uid = rustix::process::geteuid().as_raw();
    let name = environment.get("USER").map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut findings = vec![Finding::ok(PART, "user", format!("{name} ({uid}), through rootlesskit"))];
    for program in ["newuidmap", "newgidmap"] {
        findings.push(match find_on_path(environment, program) {
            Some(path) => Finding::ok(PART, program, path.display().to_string()),
            None => fails(program, "not on PATH", "install it (Debian: package uidmap)"),
        });
    }
    for (what, path) in [("subuid", "/etc/subuid"), ("subgid", "/etc/subgid")] {
        let count = count_ids(&fs::read_to_string(path).unwrap_or_default(), &name, uid);
        let found = format!("{count} ids in `{path}`");
        findings.push(if count >= IDS {
            Finding::ok(PART, what, found)
        } else {
            fails(what, &found, &format!("give some: `usermod --add-{what}s 100000-165535 {name}`, as root"))
        });
    }
    for (path, forbidden, hint) in [
        ("/proc/sys/user/max_user_namespaces", "0", "allow them: `sysctl user.max_user_namespaces=28633`, as root"),
        (
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "allow them: `sysctl kernel.unprivileged_userns_clone=1`, as root",
        ),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "allow them: `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, as root, or give rootlesskit an AppArmor profile",
        ),
    ] {
        // A kernel without the setting has nothing to forbid.
        let value = fs::read_to_string(path).unwrap_or_default();
        if value.trim() == forbidden {
            findings.push(fails("user namespaces", &format!("`{path}` is {forbidden}"), hint));
        }
    }
    if !findings.iter().any(|finding| finding.what == "user namespaces") {
        let there = Path::new("/proc/self/ns/user").exists();
        findings.push(if there {
            Finding::ok(PART, "user namespaces", "allowed")
        } else {
            fails("user namespaces", "the kernel has none", "use another runtime, or run as root")
        });
    }
    findings
}

fn fails(what: &'static str, found: &str, hint: &str) -> Finding {
    Finding::new(PART, what, Health::Fails, found).hint(hint)
}

/// How many subordinate ids a user has: lines `NAME-OR-UID:FIRST:COUNT`.
fn count_ids(text: &str, name: &str, uid: u32) -> u64 {
    let counts = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let mine = (owner == name && !name.is_empty()) || owner.parse() == Ok(uid);
        if mine { fields.nth(1)?.parse::<u64>().ok() } else { None }
    });
    counts.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_user_by_name_and_by_number() {
        let text = "root:100000:65536\nann:165536:65536\n1000:231072:1\n\nbroken\nann:x:y\n";
        assert_eq!(count_ids(text, "ann", 1000), 65_537);
        assert_eq!(count_ids(text, "bob", 1001), 0);
        assert_eq!(count_ids("::65536\n", "", 5), 0);
    }
}
