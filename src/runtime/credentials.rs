//! The credentials that a client of BuildKit hands to its daemon, for the registries that a build names.
//!
//! Docker's clients read `config.json` alone. Here the same places are asked as for the pinned image itself: Docker's and
//! Podman's files, and credential helpers, which run with the caller's whole environment (those of clouds need it) and never
//! inside a container, where there are none.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::docker_config::{DockerConfig, DockerConfigError};
use crate::environment::Environment;
use crate::registry::{Credential, CredentialSources};

/// Docker Hub is what an image without a registry is of.
const DOCKER_HUB: &str = "docker.io";
/// How credential files call Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// More registries than any build needs: each may start a helper.
const MOST_REGISTRIES: usize = 64;

/// The registries that these texts name: Dockerfile, build arguments, configuration. What only looks like one does no harm,
/// since nobody has credentials for it.
#[must_use]
pub fn registries_in<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for text in texts {
        let ends =
            |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | ',' | '[' | ']' | '{' | '}' | '(' | ')');
        for word in text.split(ends) {
            let word = word.strip_prefix("docker-image://").unwrap_or(word);
            let (host, rest) = word.split_once('/').map_or((word, None), |(host, rest)| (host, Some(rest)));
            if is_registry(host, rest.is_some()) && found.len() < MOST_REGISTRIES {
                found.insert(host.to_ascii_lowercase());
            }
        }
    }
    found.insert(DOCKER_HUB.to_owned());
    found.into_iter().collect()
}

/// A host as image references know it: with a dot, a port, or `localhost` (distribution/reference).
fn is_registry(host: &str, has_path: bool) -> bool {
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let numbers = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    name.split('.').all(label)
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
        && (name.contains('.') || port.is_some() && has_path || name == "localhost")
        // `1.2.3` is a version unless a repository follows it.
        && (!numbers || has_path || port.is_some() && name.contains('.'))
}

/// The `config.json` of a client: the user's own as far as a build may know it, unless only credentials are wanted, and the
/// credentials that were found for these registries.
pub async fn client_config(
    environment: &Environment,
    registries: &[String],
    credentials_only: bool,
) -> Result<Vec<u8>, DockerConfigError> {
    let base = if credentials_only {
        Map::new()
    } else {
        serde_json::from_slice(&DockerConfig::load(environment)?.private_json()).unwrap_or_default()
    };
    let sources = CredentialSources::from_env(|name| environment.get(name).map(std::ffi::OsStr::to_owned));
    let mut found = Vec::new();
    for registry in registries {
        let lookup = sources.find(registry, "").await;
        for problem in &lookup.problems {
            tracing::warn!("credentials for `{registry}`: {problem}");
        }
        found.extend(lookup.credential.map(|credential| (registry.as_str(), credential)));
    }
    Ok(serde_json::to_vec_pretty(&merge(base, &found)).unwrap_or_default())
}

/// The same without any credentials, nor what could find some: for builds of other people's Dockerfiles.
pub fn anonymous_config(environment: &Environment, credentials_only: bool) -> Result<Vec<u8>, DockerConfigError> {
    let mut config: Map<String, Value> = if credentials_only {
        Map::new()
    } else {
        serde_json::from_slice(&DockerConfig::load(environment)?.private_json()).unwrap_or_default()
    };
    for key in ["auths", "credHelpers", "credsStore"] {
        config.remove(key);
    }
    Ok(serde_json::to_vec_pretty(&config).unwrap_or_default())
}

fn merge(mut config: Map<String, Value>, found: &[(&str, Credential)]) -> Map<String, Value> {
    let has_helpers = config.contains_key("credHelpers") || config.contains_key("credsStore");
    for (registry, credential) in found {
        let key = if *registry == DOCKER_HUB { DOCKER_HUB_KEY } else { registry };
        let entry = match credential {
            Credential::Basic { username, password } => {
                json!({ "auth": STANDARD.encode(format!("{username}:{password}")) })
            }
            Credential::IdentityToken(token) => json!({ "identitytoken": token }),
            Credential::RegistryToken(token) => json!({ "registrytoken": token }),
        };
        insert(&mut config, "auths", key, entry);
        if has_helpers {
            // An empty helper is Docker's way to say: in this file (docker/cli, configfile.GetCredentialsStore).
            insert(&mut config, "credHelpers", key, Value::from(""));
        }
    }
    config
}

fn insert(config: &mut Map<String, Value>, section: &str, key: &str, value: Value) {
    let section = config.entry(section).or_insert_with(|| Value::Object(Map::new()));
    if let Some(section) = section.as_object_mut() {
        section.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_found_where_images_are_named() {
        let dockerfile = "# syntax=ghcr.io/me/frontend:1\nARG REG=registry.example.com:5000\nFROM $REG/base AS b\n\
            FROM --platform=linux/amd64 127.0.0.1:5055/a/b@sha256:00\nCOPY --from=Quay.io/x/y /a /b\n\
            RUN --mount=type=bind,from=localhost/z,target=/z curl https://deb.debian.org/debian >/etc/x.d/f 2>/dev/null\n\
            FROM debian:12\nRUN pip install uv==1.2.3 ./local.d/x\n";
        assert_eq!(
            registries_in([dockerfile, "docker-image://img.example/x"]),
            [
                "127.0.0.1:5055",
                "docker.io",
                "ghcr.io",
                "img.example",
                "localhost",
                "quay.io",
                "registry.example.com:5000"
            ]
        );
        let toml = "[registry.\"docker.io\"]\nmirrors = [\"mirror.example:8443\"]\n";
        assert_eq!(registries_in([toml]), ["docker.io", "mirror.example:8443"]);
        let many = (0..200).map(|number| format!("FROM r{number}.example/x")).collect::<Vec<_>>().join("\n");
        assert!(registries_in([many.as_str()]).len() <= MOST_REGISTRIES + 1);
    }

    #[test]
    fn nothing_leads_from_an_anonymous_configuration_to_a_secret() {
        let home = tempfile::tempdir().unwrap();
        let config = json!({"auths": {"r.example": {"auth": "bWU6c3dvcmRmaXNo"}}, "credsStore": "desktop",
            "credHelpers": {"gcr.io": "gcloud"}, "currentContext": "lab"});
        std::fs::write(home.path().join("config.json"), config.to_string()).unwrap();
        let environment: Environment = [("DOCKER_CONFIG", home.path())].into_iter().collect();
        let anonymous = anonymous_config(&environment, false).unwrap();
        let anonymous: Map<String, Value> = serde_json::from_slice(&anonymous).unwrap();
        let keys: BTreeSet<&str> = anonymous.keys().map(String::as_str).collect();
        assert_eq!(keys, BTreeSet::from(["cliPluginsExtraDirs", "currentContext"]));
        assert_eq!(anonymous_config(&environment, true).unwrap(), b"{}");
    }

    #[test]
    fn what_was_found_comes_before_helpers() {
        let basic = Credential::Basic { username: "me".to_owned(), password: "swordfish".to_owned() };
        let found = [("r.example", basic), (DOCKER_HUB, Credential::IdentityToken("t".to_owned()))];
        let plain = merge(Map::new(), &found);
        assert_eq!(
            Value::from(plain),
            json!({"auths": {"r.example": {"auth": "bWU6c3dvcmRmaXNo"}, DOCKER_HUB_KEY: {"identitytoken": "t"}}})
        );
        let own = json!({"auths": {"r.example": {}, "other": {"auth": "x"}}, "credsStore": "desktop"});
        let merged = Value::from(merge(own.as_object().unwrap().clone(), &found[..1]));
        assert_eq!(
            merged,
            json!({"auths": {"r.example": {"auth": "bWU6c3dvcmRmaXNo"}, "other": {"auth": "x"}},
                "credsStore": "desktop", "credHelpers": {"r.example": ""}})
        );
    }
}
