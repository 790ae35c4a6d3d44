//! Which address a registry has, and where a request may go from there.

use std::net::IpAddr;

use reqwest::Url;

use super::RegistryError;

/// The host that serves what is named `docker.io/…`.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// The root of a registry's API.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    base: Url,
    loopback: bool,
}

impl Endpoint {
    /// The API of `registry` (`host` or `host:port`): https, except on this machine's own loopback addresses.
    pub(super) fn of_registry(registry: &str) -> Result<Self, RegistryError> {
        let host = if registry == "docker.io" { DOCKER_HUB_HOST } else { registry };
        let loopback = is_loopback(without_port(host));
        let scheme = if loopback { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{host}/"))
            .map_err(|error| RegistryError::Address { registry: registry.to_owned(), reason: error.to_string() })?;
        Ok(Self { base, loopback })
    }

    /// Whether the registry is on this machine, spoken to in plain http.
    pub(super) const fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The address of `path` below the root. `path` holds nothing that needs escapes: repositories, tags and digests don't.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }

    /// Whether `url` is on the registry itself: same scheme, host and port. Credentials go nowhere else.
    pub(super) fn is_origin_of(&self, url: &Url) -> bool {
        url.scheme() == self.base.scheme()
            && url.host_str() == self.base.host_str()
            && url.port_or_known_default() == self.base.port_or_known_default()
    }

    /// Why a request must not go on to `url`, if so: everything leaves this machine encrypted or not at all.
    pub(super) fn refusal(&self, url: &Url) -> Option<&'static str> {
        if !url.username().is_empty() || url.password().is_some() {
            return Some("it holds a user name or a password");
        }
        match url.scheme() {
            "http" if !self.loopback => Some("it is not encrypted"),
            "http" if !url.host_str().is_some_and(is_loopback) => Some("it is not encrypted and leaves this machine"),
            "http" | "https" => None,
            _ => Some("it is neither http nor https"),
        }
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for (registry, root) in [
            ("docker.io", "https://registry-1.docker.io/"),
            ("ghcr.io", "https://ghcr.io/"),
            ("ghcr.io:5000", "https://ghcr.io:5000/"),
            ("localhost", "http://localhost/"),
            ("localhost:5000", "http://localhost:5000/"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/"),
            ("127.8.9.1", "http://127.8.9.1/"),
            ("[::1]:5000", "http://[::1]:5000/"),
            ("[::1]", "http://[::1]/"),
            ("[::2]:5000", "https://[::2]:5000/"),
            ("128.0.0.1:5000", "https://128.0.0.1:5000/"),
            ("localhost.example.com", "https://localhost.example.com/"),
            ("127.0.0.1.example.com", "https://127.0.0.1.example.com/"),
        ] {
            let endpoint = Endpoint::of_registry(registry).unwrap();
            assert_eq!(endpoint.base.as_str(), root, "`{registry}`");
            assert_eq!(endpoint.is_loopback(), root.starts_with("http:"));
        }
    }

    #[test]
    fn credentials_stay_on_the_origin() {
        let endpoint = Endpoint::of_registry("ghcr.io").unwrap();
        for (url, same) in [
            ("https://ghcr.io/v2/", true),
            ("https://ghcr.io:443/token", true),
            ("https://ghcr.io:444/", false),
            ("http://ghcr.io/", false),
            ("https://ghcr.io.example.com/", false),
            ("https://example.com/ghcr.io", false),
        ] {
            assert_eq!(endpoint.is_origin_of(&Url::parse(url).unwrap()), same, "`{url}`");
        }
    }

    #[test]
    fn no_request_goes_on_unencrypted() {
        let (remote, local) =
            (Endpoint::of_registry("ghcr.io").unwrap(), Endpoint::of_registry("127.0.0.1:5").unwrap());
        for (url, from_remote, from_local) in [
            ("https://cdn.example.com/x", true, true),
            ("http://cdn.example.com/x", false, false),
            ("http://127.0.0.1:6/x", false, true),
            ("http://localhost/x", false, true),
            ("http://[::1]/x", false, true),
            ("https://user@cdn.example.com/x", false, false),
            ("ftp://127.0.0.1/x", false, false),
            ("file:///etc/passwd", false, false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(remote.refusal(&url).is_none(), from_remote, "{url} from a remote registry");
            assert_eq!(local.refusal(&url).is_none(), from_local, "{url} from a local registry");
        }
    }
}
