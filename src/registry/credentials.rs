//! The credentials that the user gave Docker and Podman.
//!
//! Files, first match wins: `$REGISTRY_AUTH_FILE`; `config.json` of `$DOCKER_CONFIG` or `~/.docker`; then, where
//! `$REGISTRY_AUTH_FILE` does not replace them, `$XDG_RUNTIME_DIR/containers/auth.json` and
//! `$XDG_CONFIG_HOME/containers/auth.json`. In a file the helper named for the registry (`credHelpers`) comes first, then the
//! common one (`credsStore`), then `auths`, as in Docker. Keys of `auths` are hosts, addresses, or with Podman a host and the
//! first parts of a repository, of which the longest match counts (containers-auth.json(5)).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{fmt, io};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::limits;

/// The key of Docker Hub in credential files and stores.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// Podman's name for "in this very file" among credential helpers.
const THIS_FILE: &str = "containers-auth.json";

/// A secret for a registry. Its debug form shows none.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// User name and password.
    Basic {
        /// The user name.
        username: String,
        /// The password or access token.
        password: String,
    },
    /// A refresh token, to be changed into an access token.
    IdentityToken(String),
    /// An access token, used as it is.
    RegistryToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(…)",
            Self::IdentityToken(_) => "IdentityToken(…)",
            Self::RegistryToken(_) => "RegistryToken(…)",
        })
    }
}

/// Why a credential could not be read. No message holds a part of one.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file is there but cannot be read.
    #[error("cannot read `{}`: {reason}", .path.display())]
    Read {
        /// The credential file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file is not what it should be.
    #[error("`{}` is not a credential file: line {line}, column {column}", .path.display())]
    Parse {
        /// The credential file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// The entry of a registry cannot be decoded.
    #[error("the entry `{key}` of `{}` cannot be decoded", .path.display())]
    Entry {
        /// The credential file.
        path: PathBuf,
        /// The key in `auths`.
        key: String,
    },
    /// The credential helper is of no use.
    #[error("credential helper `docker-credential-{helper}`: {reason}")]
    Helper {
        /// Its name in the credential file.
        helper: String,
        /// Why.
        reason: String,
    },
}

/// Where credentials are looked up.
#[derive(Debug, Clone, Default)]
pub struct CredentialSources {
    files: Vec<PathBuf>,
    helper_path: Option<OsString>,
}

/// What a look-up found, and what hindered it on the way.
#[derive(Debug, Default)]
pub struct Lookup {
    /// The credential, if there is one.
    pub credential: Option<Credential>,
    /// Files and helpers that could not be used.
    pub problems: Vec<CredentialError>,
}

impl CredentialSources {
    /// No credentials: everything is asked for anonymously.
    #[must_use]
    pub const fn none() -> Self {
        Self { files: Vec::new(), helper_path: None }
    }

    /// These files, and helpers from these directories (in the form of `PATH`; the process's own when `None`).
    #[must_use]
    pub const fn from_files(files: Vec<PathBuf>, helper_path: Option<OsString>) -> Self {
        Self { files, helper_path }
    }

    /// The files that an environment names; `variable` reads one variable of it.
    #[must_use]
    pub fn from_env(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = path("HOME");
        let below_home = |directory: &str| home.as_ref().map(|home| home.join(directory));
        let explicit = path("REGISTRY_AUTH_FILE");
        let docker = path("DOCKER_CONFIG").or_else(|| below_home(".docker"));
        let mut files: Vec<PathBuf> = explicit.iter().cloned().collect();
        files.extend(docker.map(|directory| directory.join("config.json")));
        if explicit.is_none() {
            let config = path("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
            let podman = [path("XDG_RUNTIME_DIR"), config];
            files.extend(podman.into_iter().flatten().map(|directory| directory.join("containers/auth.json")));
        }
        Self { files, helper_path: variable("PATH") }
    }

    /// The files, in the order in which they are asked.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Looks the credential for a repository up. A file or helper that fails is passed over and told in `problems`.
    pub async fn find(&self, registry: &str, repository: &str) -> Lookup {
        let mut lookup = Lookup::default();
        for path in &self.files {
            let file = match load_file(path) {
                Ok(Some(file)) => file,
                Ok(None) => continue,
                Err(error) => {
                    lookup.problems.push(error);
                    continue;
                }
            };
            if let Some((helper, key)) = file.helper_for(registry) {
                match self.ask_helper(helper, &key).await {
                    Ok(Some(credential)) => {
                        lookup.credential = Some(credential);
                        return lookup;
                    }
                    Ok(None) => {}
                    Err(error) => lookup.problems.push(error),
                }
            }
            match file.entry_for(path, registry, repository) {
                Ok(Some(credential)) => {
                    lookup.credential = Some(credential);
                    return lookup;
                }
                Ok(None) => {}
                Err(error) => lookup.problems.push(error),
            }
        }
        lookup
    }

    /// Runs a helper by the protocol of docker-credential-helpers: the key on stdin, JSON on stdout.
    async fn ask_helper(&self, helper: &str, key: &str) -> Result<Option<Credential>, CredentialError> {
        let fault = |reason: String| CredentialError::Helper { helper: super::http::printable(helper), reason };
        if helper.contains('/') {
            return Err(fault("the name is a path".to_owned()));
        }
        let mut command = tokio::process::Command::new(format!("docker-credential-{helper}"));
        command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        if let Some(path) = &self.helper_path {
            command.env("PATH", path);
        }
        let conversation = async {
            let mut child = command.spawn()?;
            let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
            if let Some(mut stdin) = stdin {
                // A helper that doesn't read its question still answers or fails by itself.
                let _ = stdin.write_all(key.as_bytes()).await;
            }
            let mut reply = Vec::new();
            if let Some(stdout) = stdout {
                stdout.take(limits::HELPER_BYTES).read_to_end(&mut reply).await?;
            }
            Ok::<_, io::Error>((child.wait().await?, reply))
        };
        match tokio::time::timeout(limits::HELPER_TIMEOUT, conversation).await {
            Err(_) => Err(fault(format!("no answer within {} s", limits::HELPER_TIMEOUT.as_secs()))),
            Ok(Err(error)) => Err(fault(error.to_string())),
            Ok(Ok((status, reply))) if !status.success() => {
                let not_found = String::from_utf8_lossy(&reply).contains("credentials not found");
                if not_found { Ok(None) } else { Err(fault(status.to_string())) }
            }
            Ok(Ok((_, reply))) => parse_helper_reply(&reply).map_err(|reason| fault(reason.to_owned())),
        }
    }
}

fn parse_helper_reply(reply: &[u8]) -> Result<Option<Credential>, &'static str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Reply {
        username: String,
        secret: String,
    }
    let reply: Reply = serde_json::from_slice(reply).map_err(|_| "its answer is not the JSON that it should be")?;
    Ok(match (reply.username.as_str(), reply.secret) {
        (_, secret) if secret.is_empty() => None,
        ("<token>", secret) => Some(Credential::IdentityToken(secret)),
        (_, password) => Some(Credential::Basic { username: reply.username, password }),
    })
}

/// Docker's `config.json` and Podman's `auth.json`, as far as credentials go.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct CredentialFile {
    auths: BTreeMap<String, Entry>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

fn load_file(path: &Path) -> Result<Option<CredentialFile>, CredentialError> {
    let read_error = |reason: String| CredentialError::Read { path: path.to_owned(), reason };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(read_error(error.to_string())),
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, limits::CREDENTIAL_FILE_BYTES + 1), &mut bytes)
        .map_err(|error| read_error(error.to_string()))?;
    if bytes.len() as u64 > limits::CREDENTIAL_FILE_BYTES {
        return Err(read_error(format!("it is larger than {} bytes", limits::CREDENTIAL_FILE_BYTES)));
    }
    // Only the place of a fault is told: serde_json's own message can quote a value.
    serde_json::from_slice(&bytes).map(Some).map_err(|error| CredentialError::Parse {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
    })
}

impl CredentialFile {
    /// The helper in charge of a registry, and the key to ask it for.
    fn helper_for(&self, registry: &str) -> Option<(&str, String)> {
        let own = names_of(registry).into_iter().find_map(|name| Some((self.cred_helpers.get(name)?, name)));
        let (helper, key) = match own {
            Some((helper, name)) => (helper.as_str(), name),
            None => (self.creds_store.as_str(), names_of(registry)[0]),
        };
        (!helper.is_empty() && helper != THIS_FILE).then(|| (helper, key.to_owned()))
    }

    fn entry_for(&self, path: &Path, registry: &str, repository: &str) -> Result<Option<Credential>, CredentialError> {
        let found = longest_match(self.auths.keys(), registry, repository);
        let Some((key, entry)) = found.and_then(|key| self.auths.get_key_value(key)) else { return Ok(None) };
        entry.decode().map_err(|()| CredentialError::Entry { path: path.to_owned(), key: super::http::printable(key) })
    }
}

/// The names under which a registry is kept, Docker's own first.
fn names_of(registry: &str) -> Vec<&str> {
    if registry == "docker.io" {
        vec![DOCKER_HUB_KEY, "index.docker.io", "docker.io", "registry-1.docker.io"]
    } else {
        vec![registry]
    }
}

/// The key that names the most of `registry/repository`.
fn longest_match<'a>(keys: impl Iterator<Item = &'a String>, registry: &str, repository: &str) -> Option<&'a String> {
    let names = names_of(registry);
    let covers = |key: &str| {
        if names.contains(&key) {
            return Some(0);
        }
        let (host, rest) = match key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")) {
            // An address stands for its whole host, as in Docker.
            Some(address) => (address.split('/').next().unwrap_or_default(), ""),
            None => key.split_once('/').unwrap_or((key, "")),
        };
        let rest = if matches!(rest, "v1" | "v1/" | "v2" | "v2/") { "" } else { rest };
        let below = rest.is_empty() || repository == rest || repository.strip_prefix(rest)?.starts_with('/');
        (names.contains(&host) && below).then_some(rest.len())
    };
    keys.filter_map(|key| Some((covers(key)?, key))).max_by_key(|(length, _)| *length).map(|(_, key)| key)
}

impl Entry {
    fn decode(&self) -> Result<Option<Credential>, ()> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::IdentityToken(self.identitytoken.clone())));
        }
        if !self.registrytoken.is_empty() {
            return Ok(Some(Credential::RegistryToken(self.registrytoken.clone())));
        }
        if self.auth.is_empty() {
            let filled = !self.username.is_empty() && !self.password.is_empty();
            return Ok(
                filled.then(|| Credential::Basic { username: self.username.clone(), password: self.password.clone() })
            );
        }
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let decoded = GeneralPurpose::new(&alphabet::STANDARD, config).decode(&self.auth).map_err(|_| ())?;
        let decoded = String::from_utf8(decoded).map_err(|_| ())?;
        let (username, password) = decoded.split_once(':').ok_or(())?;
        let password = password.trim_end_matches('\0').to_owned();
        Ok(Some(Credential::Basic { username: username.to_owned(), password }))
    }
}

#[cfg(test)]
mod tests;
