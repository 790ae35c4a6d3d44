//! How a build reaches the world: the proxy, the certificate authorities, and what RUN sees of the network.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::digest::Digest;

/// What never goes through a proxy: this machine itself, in the spellings of all who read such a list.
const LOOPBACK: &str = "localhost,127.0.0.1,127.0.0.0/8,::1";
/// The variable that a proxy with credentials is taken from, and that a dry run refers to.
pub const PROXY_VARIABLE: &str = "REPRO_PROXY";

/// Why a word about the network is none. A proxy is never repeated: it may hold a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NetworkError {
    /// Not a proxy.
    #[error("the proxy {0}")]
    Proxy(&'static str),
    /// Not a list of hosts without proxy.
    #[error("`{text}` {why}")]
    NoProxy {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a host name with an address.
    #[error("`{text}`: {why}")]
    Host {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not certificates.
    #[error("{0}")]
    Authorities(&'static str),
}

/// A text that no log, script or record shows. In arguments and variables a token stands for it until a process is started.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden {
    variable: &'static str,
    value: String,
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hidden({})", self.variable)
    }
}

impl Hidden {
    /// The variable that a script takes it from.
    #[must_use]
    pub const fn variable(&self) -> &'static str {
        self.variable
    }

    /// What stands for it: control characters, which nothing that a user writes on purpose holds.
    #[must_use]
    pub fn token(&self) -> String {
        format!("\u{2}{}\u{3}", self.variable)
    }

    /// Another text for another value, of which nothing can be told.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        Digest::of(self.value.as_bytes()).to_string()
    }

    /// The word with the text itself in the token's place.
    #[must_use]
    pub fn reveal(&self, word: &OsStr) -> OsString {
        let pieces = self.pieces(word);
        let value = self.value.as_bytes();
        OsString::from_vec(pieces.iter().map(|piece| piece.as_bytes()).collect::<Vec<_>>().join(value))
    }

    /// What stands between the tokens of a word.
    #[must_use]
    pub fn pieces<'a>(&self, word: &'a OsStr) -> Vec<&'a OsStr> {
        let token = self.token();
        let (token, mut rest) = (token.as_bytes(), word.as_bytes());
        let mut pieces = Vec::new();
        while let Some(at) = rest.windows(token.len()).position(|window| window == token) {
            pieces.push(OsStr::from_bytes(&rest[..at]));
            rest = &rest[at + token.len()..];
        }
        pieces.push(OsStr::from_bytes(rest));
        pieces
    }
}

/// An HTTP proxy, and what goes past it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    url: String,
    shown: String,
    direct: String,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("url", &self.shown).field("direct", &self.direct).finish()
    }
}

impl Proxy {
    /// `http://[USER:PASSWORD@]HOST[:PORT]`, and hosts with commas between them.
    pub fn parse(url: &str, no_proxy: &str) -> Result<Self, NetworkError> {
        let url = url.strip_suffix('/').unwrap_or(url);
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let rest = rest.ok_or(NetworkError::Proxy("begins with neither http:// nor https://"))?;
        // It passes through lists with commas, shells and other programs' parsers.
        let odd = |byte: u8| !byte.is_ascii_graphic() || b"\"'`,;&\\$<>{}|^".contains(&byte);
        if rest.bytes().any(odd) {
            return Err(NetworkError::Proxy("holds a character that has to be written as %XX"));
        }
        let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
        if host.contains(['/', '?', '#', '%']) || user.is_some_and(|user| user.contains(['/', '?', '#', '@'])) {
            return Err(NetworkError::Proxy("has something else than a host and a port behind its scheme and user"));
        }
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, Some(port)),
            _ => (host, None),
        };
        if name.is_empty() || (name.contains(':') && !name.starts_with('[')) {
            return Err(NetworkError::Proxy("names no host"));
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(NetworkError::Proxy("has a port that is none"));
        }
        let scheme = &url[..url.len() - rest.len()];
        let shown = if user.is_some() { format!("{scheme}…@{host}") } else { url.to_owned() };
        Ok(Self { url: url.to_owned(), shown, direct: parse_no_proxy(no_proxy)? })
    }

    /// The address with its credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address for people: without credentials.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Hosts, domains and networks that are reached directly, with commas between them.
    #[must_use]
    pub fn no_proxy(&self) -> &str {
        &self.direct
    }

    /// The address as a text that must not be seen, if there are credentials in it.
    #[must_use]
    pub fn hidden(&self) -> Option<Hidden> {
        (self.url != self.shown).then(|| Hidden { variable: PROXY_VARIABLE, value: self.url.clone() })
    }

    /// What stands in arguments and variables: the address, or the token for it.
    #[must_use]
    pub fn word(&self) -> String {
        self.hidden().map_or_else(|| self.url.clone(), |hidden| hidden.token())
    }

    /// The variables by which programs know a proxy: Go's read both cases, curl and git only the lower one.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 6] {
        let (word, no_proxy) = (self.word(), self.direct.clone());
        [
            ("HTTP_PROXY", word.clone()),
            ("HTTPS_PROXY", word.clone()),
            ("NO_PROXY", no_proxy.clone()),
            ("http_proxy", word.clone()),
            ("https_proxy", word),
            ("no_proxy", no_proxy),
        ]
    }
}

fn parse_no_proxy(text: &str) -> Result<String, NetworkError> {
    let mut list = LOOPBACK.to_owned();
    for host in text.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:/[]".contains(&byte);
        if !host.bytes().all(known) {
            let why = "is neither a host, a domain (.example.com) nor a network (10.0.0.0/8)";
            return Err(NetworkError::NoProxy { text: host.to_owned(), why });
        }
        list.push(',');
        list.push_str(host);
    }
    Ok(list)
}

/// How registries and other servers are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Certificate authorities to trust besides the system's: PEM, certificates only.
    pub authorities: Vec<u8>,
    /// The proxy.
    pub proxy: Option<Proxy>,
    /// Whether RUN is told the proxy, too.
    pub proxy_in_run: bool,
}

/// The certificates of a PEM file, each as its block of text; what stands around them is left out.
pub fn parse_authorities(pem: &[u8]) -> Result<Vec<u8>, NetworkError> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(pem);
    if text.contains("PRIVATE KEY-----") {
        return Err(NetworkError::Authorities("it holds a private key, which no builder must get"));
    }
    let mut blocks = Vec::new();
    for block in text.split(BEGIN).skip(1) {
        let (body, _) = block.split_once(END).ok_or(NetworkError::Authorities("a certificate in it has no end"))?;
        let encoded: String = body.split_whitespace().collect();
        if encoded.is_empty() || STANDARD.decode(&encoded).is_err() {
            return Err(NetworkError::Authorities("a certificate in it is not base64"));
        }
        blocks.extend_from_slice(format!("{BEGIN}\n{}\n{END}\n", body.trim()).as_bytes());
    }
    if blocks.is_empty() {
        return Err(NetworkError::Authorities("it holds no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)"));
    }
    Ok(blocks)
}

/// The network of RUN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunNetwork {
    /// What BuildKit gives.
    #[default]
    Default,
    /// A loopback of its own and nothing else.
    None,
    /// What BuildKit itself has.
    Host,
}

impl RunNetwork {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::None => "none",
            Self::Host => "host",
        }
    }
}

/// A name and an address in `/etc/hosts` of RUN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostEntry {
    /// The name, in lower case as BuildKit makes it.
    pub name: String,
    /// The address.
    pub address: IpAddr,
}

impl HostEntry {
    /// `HOST:IP` or `HOST=IP`; an IPv6 address may stand in brackets.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let wrong = |why| NetworkError::Host { text: text.to_owned(), why };
        let (name, address) = match text.split_once('=') {
            Some(pair) => pair,
            None => text.split_once(':').ok_or_else(|| wrong("there is no `:` between the name and the address"))?,
        };
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if name.is_empty() || !name.bytes().all(known) {
            return Err(wrong("the name is not that of a host"));
        }
        if address == "host-gateway" {
            return Err(wrong("host-gateway is another address on every machine, so it has to be written out"));
        }
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let address = bare.parse().map_err(|_| wrong("the address is not an IP address"))?;
        Ok(Self { name: name.to_ascii_lowercase(), address })
    }
}

impl fmt::Display for HostEntry {
    /// The form that both clients take.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_address_with_or_without_credentials() {
        let plain = Proxy::parse("http://proxy.example:3128/", "").unwrap();
        assert_eq!((plain.url(), plain.shown()), ("http://proxy.example:3128", "http://proxy.example:3128"));
        assert_eq!((plain.hidden(), plain.word()), (None, "http://proxy.example:3128".to_owned()));
        assert!(Proxy::parse("https://[::1]:3128", "").is_ok() && Proxy::parse("http://[::1]", "").is_ok());
        for text in [
            "",
            "proxy:3128",
            "socks5://proxy",
            "http://",
            "http://:1",
            "http://h:x",
            "http://h:99999",
            "http://h/p",
            "http://a b",
            "http://u:p,w@h",
            "http://u:\"@h",
            "http://u:p/w@h",
            "http://h?q",
            "http://::1",
        ] {
            assert!(Proxy::parse(text, "").is_err(), "`{text}` was accepted");
        }
    }

    #[test]
    fn credentials_of_a_proxy_are_not_shown() {
        let proxy = Proxy::parse("http://me:sword%40fish@proxy:3128", "").unwrap();
        assert_eq!(proxy.url(), "http://me:sword%40fish@proxy:3128");
        let hidden = proxy.hidden().unwrap();
        for shown in
            [proxy.shown(), &format!("{proxy:?} {hidden:?}"), &proxy.word(), &format!("{:?}", proxy.variables())]
        {
            assert!(!shown.contains("sword") && !shown.contains("me:"), "{shown}");
        }
        let word = format!("a={}, {}", proxy.word(), proxy.word());
        let revealed = hidden.reveal(OsStr::new(&word));
        assert_eq!(revealed, format!("a={}, {}", proxy.url(), proxy.url()).as_str());
        assert_eq!(hidden.reveal(OsStr::new("nothing")), "nothing");
        let error = Proxy::parse("http://me:sword fish@proxy", "").unwrap_err();
        assert!(!error.to_string().contains("sword"), "{error}");
    }

    #[test]
    fn loopback_is_always_direct() {
        let list = |text| Proxy::parse("http://p", text).map(|proxy| proxy.no_proxy().to_owned());
        assert_eq!(list("").unwrap(), LOOPBACK);
        let more = list(" .example.com,10.0.0.0/8, registry:5000,[fd00::]/8 ").unwrap();
        assert_eq!(more, format!("{LOOPBACK},.example.com,10.0.0.0/8,registry:5000,[fd00::]/8"));
        for text in ["*", "a b", "a;b", "a,$x"] {
            assert!(list(text).is_err(), "`{text}` was accepted");
        }
    }

    #[test]
    fn authorities_are_certificates_and_nothing_else() {
        let block = "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n";
        let two = format!("# first\n{block}subject=x\r\n{block}");
        assert_eq!(parse_authorities(two.as_bytes()).unwrap(), format!("{block}{block}").as_bytes());
        let key = format!("{block}-----BEGIN RSA PRIVATE KEY-----\nAAAA\n");
        for text in ["", "AAAA", &block[..40], &block.replace("AAAA", "#"), &key, &block.replace("AAAA\nBBBB\n", "")] {
            assert!(parse_authorities(text.as_bytes()).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn host_entries_follow_docker() {
        let parse = |text: &str| HostEntry::parse(text).map(|host| host.to_string());
        assert_eq!(parse("Db:10.0.0.1").unwrap(), "db=10.0.0.1");
        assert_eq!(parse("db=10.0.0.1").unwrap(), "db=10.0.0.1");
        assert_eq!(parse("db:[fd00::1]").unwrap(), "db=fd00::1");
        assert_eq!(parse("db:fd00::1").unwrap(), "db=fd00::1");
        for text in ["", "db", "db:", ":10.0.0.1", "db:10.0.0", "d b:10.0.0.1", "a,b:10.0.0.1", "db:host-gateway"] {
            assert!(parse(text).is_err(), "`{text}` was accepted");
        }
    }
}
