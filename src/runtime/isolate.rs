//! A network for RUN without this machine's loopback, for a BuildKit that runs here as a child.
//!
//! BuildKit without CNI gives RUN the network that it has itself: what listens on the loopback of a developer's machine or a
//! build server (databases, agents, other people's daemons) would be open to every Dockerfile. Engines put BuildKit into a
//! container, where the loopback is that of the container. Here runc is started in a network namespace of its own. A CNI
//! plugin would be the usual way, but its library keeps records in `/var/lib/cni`, where a plain user must not write.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::detect::find_on_path;
use super::script::quote;
use super::steps::Step;
use crate::environment::Environment;

/// The directory of the script, below the private one.
const DIRECTORY: &str = "net";
/// The DNS server inside slirp4netns, which asks that of this machine, wherever it listens.
const NAMESERVER: &str = "10.0.2.3";

/// Whether it works here: the tools are there, and slirp4netns may make its device.
#[must_use]
pub fn works_here(environment: &Environment) -> bool {
    let device = || std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_ok();
    ["slirp4netns", "unshare"].iter().all(|tool| find_on_path(environment, tool).is_some()) && device()
}

/// What stands in for runc.
#[must_use]
pub fn program(work: &Path) -> PathBuf {
    work.join(DIRECTORY).join("runc")
}

/// Writes what stands in for this runc.
#[must_use]
pub fn steps(work: &Path, runc: &Path) -> Vec<Step> {
    let mut contents = Vec::new();
    for line in include_str!("isolate.sh").split_inclusive('\n') {
        if line.trim_end() == "runc=@RUNC@" {
            contents
                .extend([b"runc=".as_slice(), &quote(OsStr::from_bytes(runc.as_os_str().as_bytes())), b"\n"].concat());
        } else {
            contents.extend(line.as_bytes());
        }
    }
    vec![Step::Directory(work.join(DIRECTORY)), Step::File { path: program(work), contents }]
}

/// Whether a buildkitd.toml says itself what RUN's network is.
#[must_use]
pub fn is_configured(toml: &str) -> bool {
    ["networkMode", "cniConfigPath", "cniBinaryPath"].iter().any(|key| toml.contains(key))
}

/// The buildkitd.toml with the name server in it, unless it has one of its own.
#[must_use]
pub fn configure(toml: &str) -> String {
    let is_dns = |line: &str| line.split('#').next().unwrap_or_default().trim() == "[dns]";
    if toml.lines().any(is_dns) {
        return toml.to_owned();
    }
    let end = if toml.is_empty() || toml.ends_with('\n') { "" } else { "\n" };
    format!("{toml}{end}[dns]\nnameservers = [\"{NAMESERVER}\"]\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_server_is_told_unless_there_is_one() {
        let dns = "[dns]\nnameservers = [\"10.0.2.3\"]\n";
        assert_eq!(configure(""), dns);
        assert_eq!(configure("debug = true"), format!("debug = true\n{dns}"));
        let own = "[dns] # mine\nnameservers = [\"10.1.1.1\"]\n";
        assert_eq!(configure(own), own);
        assert!(is_configured("[worker.oci]\n  networkMode = \"host\"") && !is_configured("[worker.oci]\n"));
    }
}
