//! The address of a BuildKit that somebody else runs, strictly as buildx's driver `remote` takes it.
//!
//! What buildx does not understand it finds out after the build began, or hands to `ssh`, `docker` or `kubectl` as a word of
//! their command lines; so each part is looked at here (buildx, driver/remote; BuildKit, client/connhelper).

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The longest path of a socket, in bytes (`sun_path` in unix(7), with its end).
const LONGEST_SOCKET: usize = 107;

/// The files in a directory of certificates: of the daemon's authority, ours, and its key. The names are docker's.
pub const TLS_FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

/// What addresses look like.
const SHAPES: &str = "unix:///PATH, tcp://HOST:PORT, ssh://[USER@]HOST[:PORT][/SOCKET], docker-container://NAME[?context=NAME] \
                      or kube-pod://POD[?context=NAME&namespace=NAME&container=NAME]";

/// What is wrong with an address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RemoteError {
    /// Not an address.
    #[error("`{text}` is not the address of a BuildKit: {why}")]
    Address {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A network in between, and nothing that protects what goes over it.
    #[error(
        "`{0}` would send what is built, its secrets and its result over the network for everybody to read and to change"
    )]
    Unprotected(String),
    /// Certificates for an address that has no use for them.
    #[error("{flag} is for tcp://, and the address is `{address}`")]
    NoTls {
        /// The flag.
        flag: &'static str,
        /// The address.
        address: String,
    },
    /// A name in a certificate that nobody looks at.
    #[error("--addr-server-name says nothing without --addr-tls")]
    NoCertificates,
    /// Not a server's name.
    #[error("`{0}` is not the name that a certificate is for")]
    ServerName(String),
}

impl RemoteError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Address { .. } => format!("it is {SHAPES}"),
            Self::Unprotected(_) => {
                "give `--addr-tls DIR` with ca.pem, cert.pem and key.pem, or go through ssh:// (tcp:// without certificates is for \
                 this machine's loopback alone)"
                    .to_owned()
            }
            Self::NoTls { .. } => "leave it out: ssh, docker and kubectl protect the way themselves".to_owned(),
            Self::NoCertificates => "give `--addr-tls DIR` too, or leave it out".to_owned(),
            Self::ServerName(_) => "give the name or IP address in the daemon's certificate".to_owned(),
        }
    }
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    text: String,
    host: Option<String>,
    is_tcp: bool,
}

impl Address {
    /// The host that is reached over the network, if there is one in it.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The address as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it leads from here, as far as this machine knows: two addresses that share a place lead to one daemon. Asks for names.
    #[must_use]
    pub fn places(&self) -> BTreeSet<String> {
        let own = || BTreeSet::from([self.text.clone()]);
        match self.text.split_once("://") {
            Some(("unix", path)) => {
                // Whatever bytes it has.
                let text = |path: PathBuf| path.as_os_str().as_encoded_bytes().escape_ascii().to_string();
                fs::canonicalize(path).map_or_else(|_| own(), |path| [text(path)].into())
            }
            Some(("tcp", place)) => {
                let found = place.to_socket_addrs().map(|found| found.map(|one| one.to_string()).collect());
                found.unwrap_or_else(|_| own())
            }
            _ => own(),
        }
    }

    fn is_on_loopback(&self) -> bool {
        let host = self.host.as_deref().unwrap_or_default();
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Address {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let wrong = |why| RemoteError::Address { text: text.to_owned(), why };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it begins with no scheme"))?;
        // Go's parser of URLs takes a percent sign for the beginning of a character, and a socket is opened by its literal name.
        if rest.chars().any(|c| c.is_control() || matches!(c, '%' | '\\')) {
            return Err(wrong("it holds control characters, `%` or `\\`"));
        }
        let host = match scheme {
            "unix" => check_socket(rest).map(|()| None),
            "tcp" => parse_tcp(rest).map(Some),
            "ssh" => parse_ssh(rest).map(Some),
            "docker-container" => check_container(rest).map(|()| None),
            "kube-pod" => check_pod(rest).map(|()| None),
            "npipe" => Err("named pipes are for Windows"),
            "podman-container" | "nerdctl-container" => Err("buildx, the client here, does not know how to reach it"),
            "http" | "https" => Err("BuildKit speaks gRPC over tcp://"),
            _ => Err("its scheme is not known"),
        };
        Ok(Self { text: text.to_owned(), host: host.map_err(wrong)?, is_tcp: scheme == "tcp" })
    }
}

fn check_socket(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') || path.ends_with('/') || path.contains(['?', '#']) {
        return Err("the path of a socket begins with `/`, does not end with one, and holds no `?` or `#`");
    }
    if path.len() > LONGEST_SOCKET { Err("the path of a socket has at most 107 bytes") } else { Ok(()) }
}

fn parse_tcp(rest: &str) -> Result<String, &'static str> {
    let (host, port) = split_port(rest)?;
    if port.is_none() {
        return Err("there is no port");
    }
    Ok(host.to_owned())
}

/// `[USER@]HOST[:PORT][/SOCKET]`; the socket is a word for a shell on the other side.
fn parse_ssh(rest: &str) -> Result<String, &'static str> {
    let (authority, socket) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if user.is_some_and(|user| user.contains(':')) {
        return Err("ssh takes no password there");
    }
    if user.is_some_and(|user| !is_name(user)) {
        return Err("the user is none");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ':' | '@');
    if !socket.chars().all(plain) || socket == "/" {
        return Err("the path of the socket holds characters that a shell would act on");
    }
    split_port(host).map(|(host, _)| host.to_owned())
}

/// A host and its port.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(inside) => {
            let (host, port) = inside.split_once(']').ok_or("`[` is not closed")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "what is in brackets is not an IPv6 address")?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or("after `]` comes `:PORT`")?) })
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if !authority.starts_with('[') && !is_name(host) {
        return Err("the host is none");
    }
    let port = match port {
        None => None,
        Some(text) => {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let port = text.parse::<u16>().ok().filter(|port| digits && *port != 0);
            Some(port.ok_or("the port is a number from 1 to 65535")?)
        }
    };
    Ok((host, port))
}

fn check_container(rest: &str) -> Result<(), &'static str> {
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !is_name(name) {
        return Err("the name of a container is letters, digits, `_`, `.` and `-`");
    }
    check_query(query, |name, value| (name == "context").then(|| is_name(value)))
}

fn check_pod(rest: &str) -> Result<(), &'static str> {
    let (pod, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_kube = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain)
    };
    if !is_kube(pod) {
        return Err("the name of a pod is lower-case letters, digits, `-` and `.`");
    }
    // Contexts are named by their users: `user@cluster`, `arn:aws:eks:…`.
    let is_context =
        |text: &str| !text.starts_with('-') && text.chars().all(|c| c.is_ascii_alphanumeric() || ".@:/_-".contains(c));
    check_query(query, |name, value| match name {
        "context" => Some(is_context(value)),
        "namespace" | "container" => Some(is_kube(value)),
        _ => None,
    })
}

/// `is_right` tells whether a value is what its name asks for, or nothing where it does not know the name.
fn check_query(query: &str, is_right: impl Fn(&str, &str) -> Option<bool>) -> Result<(), &'static str> {
    let mut seen = Vec::new();
    for field in query.split('&').filter(|_| !query.is_empty()) {
        let (name, value) = field.split_once('=').ok_or("what is behind `?` is NAME=VALUE, with `&` between them")?;
        match is_right(name, value) {
            Some(true) if !value.is_empty() && !seen.contains(&name) => seen.push(name),
            Some(true) if !value.is_empty() => return Err("a name behind `?` stands there twice"),
            Some(_) => return Err("a value behind `?` is empty or holds odd characters"),
            None => return Err("a name behind `?` is not known"),
        }
    }
    Ok(())
}

/// A word that no program takes for a flag.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && text.bytes().all(plain)
}

/// How a daemon on the network and its client prove to each other who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The directory with [`TLS_FILES`], absolute.
    pub directory: PathBuf,
    /// The name in the daemon's certificate, where it is not the host of the address.
    pub server_name: Option<String>,
}

/// A BuildKit that somebody else runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Where it is.
    pub address: Address,
    /// How it is proved to be that.
    pub tls: Option<Tls>,
}

impl Remote {
    /// An address together with what protects the way to it.
    pub fn new(address: Address, tls: Option<&Path>, server_name: Option<&str>) -> Result<Self, RemoteError> {
        let given = [("--addr-tls", tls.is_some()), ("--addr-server-name", server_name.is_some())];
        if let Some((flag, _)) = given.into_iter().find(|(_, given)| *given && !address.is_tcp) {
            return Err(RemoteError::NoTls { flag, address: address.text });
        }
        if server_name.is_some() && tls.is_none() {
            return Err(RemoteError::NoCertificates);
        }
        if let Some(name) = server_name.filter(|name| !is_name(name) && name.parse::<IpAddr>().is_err()) {
            return Err(RemoteError::ServerName(name.to_owned()));
        }
        if address.is_tcp && tls.is_none() && !address.is_on_loopback() {
            return Err(RemoteError::Unprotected(address.text));
        }
        let server_name = server_name.map(str::to_owned);
        Ok(Self { tls: tls.map(|directory| Tls { directory: directory.to_owned(), server_name }), address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Result<Option<String>, String> {
        text.parse::<Address>()
            .map(|address| {
                assert_eq!(address.to_string(), text);
                address.host
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_those_of_buildx() {
        for (text, expected) in [
            ("unix:///run/buildkit/buildkitd.sock", None),
            ("unix:///a b,c", None),
            ("tcp://buildkit.example:1234", Some("buildkit.example")),
            ("tcp://127.0.0.1:1234", Some("127.0.0.1")),
            ("tcp://[::1]:1234", Some("::1")),
            ("ssh://host", Some("host")),
            ("ssh://me@host.example:22/run/user/1000/buildkit/buildkitd.sock", Some("host.example")),
            ("docker-container://buildkitd", None),
            ("docker-container://buildkitd?context=other", None),
            ("kube-pod://buildkitd-0", None),
            ("kube-pod://buildkitd-0?context=me@cluster&namespace=ci&container=buildkitd", None),
            ("kube-pod://buildkitd-0?namespace=ci&context=arn:aws:eks:eu:1:cluster/x", None),
        ] {
            assert_eq!(host(text), Ok(expected.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, why) in [
            ("", "no scheme"),
            ("/run/buildkit/buildkitd.sock", "no scheme"),
            ("buildkit.example:1234", "no scheme"),
            ("npipe:////./pipe/x", "Windows"),
            ("podman-container://x", "buildx"),
            ("https://x", "gRPC"),
            ("UNIX:///x", "scheme is not known"),
            ("unix://run/x", "begins with `/`"),
            ("unix:///", "does not end"),
            ("unix:///a\nb", "control characters"),
            ("unix:///a%20b", "`%`"),
            ("tcp://host", "no port"),
            ("tcp://host:0", "1 to 65535"),
            ("tcp://host:+5", "1 to 65535"),
            ("tcp://host:1234/path", "1 to 65535"),
            ("tcp://:1234", "host is none"),
            ("tcp://-x:1234", "host is none"),
            ("tcp://me:secret@host:1234", "1 to 65535"),
            ("tcp://[::1:1234", "not closed"),
            ("tcp://[x]:1234", "IPv6"),
            ("ssh://-oProxyCommand=x", "host is none"),
            ("ssh://-lme@host", "user is none"),
            ("ssh://me:secret@host", "no password"),
            ("ssh://host/a;b", "a shell would act on"),
            ("ssh://host/$(x)", "a shell would act on"),
            ("docker-container://--privileged", "name of a container"),
            ("docker-container://", "name of a container"),
            ("docker-container://a/b", "name of a container"),
            ("docker-container://a?namespace=b", "not known"),
            ("docker-container://a?context=--host", "odd characters"),
            ("kube-pod://Pod", "name of a pod"),
            ("kube-pod://a?namespace=B", "odd characters"),
            ("kube-pod://a?namespace=b&namespace=c", "twice"),
            ("kube-pod://a?x", "NAME=VALUE"),
            ("kube-pod://a?context=a b", "odd characters"),
        ] {
            let error = host(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(host(&format!("unix:///{}", "a".repeat(107))).unwrap_err().contains("107 bytes"));
    }

    #[test]
    fn the_network_is_protected() {
        let make = |text: &str, tls: bool, name: Option<&str>| {
            Remote::new(text.parse().unwrap(), tls.then_some(Path::new("/tls")), name)
        };
        assert!(matches!(make("tcp://host:1", false, None), Err(RemoteError::Unprotected(_))));
        assert!(matches!(make("tcp://10.0.0.1:1", false, None), Err(RemoteError::Unprotected(_))));
        assert!(make("tcp://127.0.0.1:1", false, None).unwrap().tls.is_none());
        assert!(make("tcp://localhost:1", false, None).is_ok() && make("tcp://[::1]:1", false, None).is_ok());
        let named = make("tcp://host:1", true, Some("buildkit.example")).unwrap().tls.unwrap();
        assert_eq!(named.server_name.as_deref(), Some("buildkit.example"));
        for text in ["unix:///x", "ssh://host", "docker-container://x", "kube-pod://x"] {
            assert!(matches!(make(text, true, None), Err(RemoteError::NoTls { .. })), "{text}");
            assert!(make(text, false, None).is_ok(), "{text}");
        }
        assert_eq!(make("tcp://127.0.0.1:1", false, Some("x")), Err(RemoteError::NoCertificates));
        for name in ["", "a b", "-x", "a,b=c"] {
            assert!(matches!(make("tcp://host:1", true, Some(name)), Err(RemoteError::ServerName(_))), "{name}");
        }
    }
}
