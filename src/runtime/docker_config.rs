//! The private Docker configuration: credentials, plugins and what names the daemon are taken over from the user's;
//! proxies, HTTP headers, the default builder and everything else stay out, because they would change the build.
//!
//! A daemon that variables name together with certificates becomes a context of the private configuration: buildx makes no
//! builder from such variables ("could not create a builder instance with TLS data loaded from environment").

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::environment::Environment;

/// The user's Docker configuration, as far as a build may know it.
#[derive(Debug, Clone, Default)]
pub struct DockerConfig {
    directory: Option<PathBuf>,
    kept: Map<String, Value>,
    endpoint: Endpoint,
}

/// What names the daemon, in docker's own order: DOCKER_HOST, DOCKER_CONTEXT, the current context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Endpoint {
    #[default]
    Default,
    Address(String),
    Context(String),
    Secured(Secured),
}

/// A daemon that variables name with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    /// Its address.
    pub address: String,
    /// Whether its certificate is checked.
    pub verify: bool,
    /// The files of certificates and the key that are there.
    pub files: Vec<PathBuf>,
}

/// What docker reads in the directory of certificates (docker/cli, cli/flags/options.go).
const TLS_FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];
/// The address of a daemon that variables want TLS with, and do not name.
const DEFAULT_TLS_ADDRESS: &str = "tcp://localhost:2376";
/// The default address.
const DEFAULT_ADDRESS: &str = "unix:///var/run/docker.sock";

impl Secured {
    /// The name of its context in the private configuration, another one for each daemon: buildx writes it down.
    #[must_use]
    pub fn context(&self) -> String {
        format!("repro-{}", &Digest::of(self.address.as_bytes()).short()[..8])
    }

    /// The description of that context, as docker keeps it.
    #[must_use]
    pub fn meta_json(&self) -> Vec<u8> {
        let docker = serde_json::json!({"Host": self.address, "SkipTLSVerify": !self.verify});
        let meta = serde_json::json!({"Name": self.context(), "Metadata": {}, "Endpoints": {"docker": docker}});
        meta.to_string().into_bytes()
    }
}

/// A Docker configuration that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DockerConfigError {
    /// The file cannot be read.
    #[error("cannot read `{path}`", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a JSON object.
    #[error("`{path}` is not a Docker configuration", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Where docker looks for plugins after the directories of its configuration (docker/cli, cli-plugins/manager/manager_unix.go).
const PLUGIN_DIRECTORIES: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The keys that are taken over as they are.
const KEPT: [&str; 4] = ["auths", "credHelpers", "credsStore", "currentContext"];

impl DockerConfig {
    /// Reads `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`; none is an empty one.
    pub fn load(environment: &Environment) -> Result<Self, DockerConfigError> {
        let directory =
            environment.path("DOCKER_CONFIG").or_else(|| environment.path("HOME").map(|home| home.join(".docker")));
        let Some(directory) = directory else { return Ok(Self::parse(None, "", environment).unwrap_or_default()) };
        let path = directory.join("config.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                String::new()
            }
            Err(source) => return Err(DockerConfigError::Read { path, source }),
        };
        Self::parse(Some(&directory), &text, environment).map_err(|source| DockerConfigError::Parse { path, source })
    }

    fn parse(directory: Option<&Path>, text: &str, environment: &Environment) -> Result<Self, serde_json::Error> {
        let config: Map<String, Value> = if text.trim().is_empty() { Map::new() } else { serde_json::from_str(text)? };
        let mut kept: Map<String, Value> = config
            .iter()
            .filter(|(key, _)| KEPT.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let mut plugins: Vec<Value> = Vec::new();
        if let Some(directory) = directory {
            plugins.push(Value::from(directory.join("cli-plugins").to_string_lossy()));
        }
        plugins.extend(config.get("cliPluginsExtraDirs").and_then(Value::as_array).into_iter().flatten().cloned());
        kept.insert("cliPluginsExtraDirs".to_owned(), Value::Array(plugins));
        let current = kept.get("currentContext").and_then(Value::as_str);
        let endpoint = endpoint(environment, current, directory);
        if let Endpoint::Secured(secured) = &endpoint {
            kept.insert("currentContext".to_owned(), secured.context().into());
        }
        Ok(Self { directory: directory.map(Path::to_owned), kept, endpoint })
    }

    /// The private `config.json`.
    #[must_use]
    pub fn private_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(&self.kept).unwrap_or_default()
    }

    /// Where docker looks for plugins with the private configuration, in its order.
    #[must_use]
    pub fn plugin_directories(&self) -> Vec<PathBuf> {
        let configured = self.kept.get("cliPluginsExtraDirs").and_then(Value::as_array).into_iter().flatten();
        let configured = configured.filter_map(Value::as_str).map(PathBuf::from);
        configured.chain(PLUGIN_DIRECTORIES.map(PathBuf::from)).collect()
    }

    /// The registries that the configuration has credentials or a helper for, sorted.
    #[must_use]
    pub fn registries(&self) -> Vec<String> {
        let keys = ["auths", "credHelpers"].into_iter().filter_map(|key| self.kept.get(key)?.as_object());
        keys.flat_map(Map::keys).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The names of the credential helpers, sorted.
    #[must_use]
    pub fn helpers(&self) -> Vec<String> {
        let each = self.kept.get("credHelpers").and_then(Value::as_object).into_iter().flat_map(Map::values);
        let all = each.chain(self.kept.get("credsStore")).filter_map(Value::as_str).filter(|name| !name.is_empty());
        all.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The directory of the user's Docker contexts, if there is one.
    #[must_use]
    pub fn contexts_directory(&self) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join("contexts")).filter(|contexts| contexts.is_dir())
    }

    /// The daemon that variables name with TLS, if they do.
    #[must_use]
    pub fn secured(&self) -> Option<&Secured> {
        match &self.endpoint {
            Endpoint::Secured(secured) => Some(secured),
            _ => None,
        }
    }

    /// What names the daemon: an address, the current context, or nothing for the default one.
    #[must_use]
    pub fn endpoint_name(&self) -> String {
        match &self.endpoint {
            Endpoint::Default => String::new(),
            Endpoint::Address(address) => address.clone(),
            Endpoint::Context(context) => format!("context:{context}"),
            Endpoint::Secured(secured) => format!("tls:{}", secured.address),
        }
    }

    /// How buildx writes the daemon down: the context, else the address.
    #[must_use]
    pub fn buildx_endpoint(&self) -> String {
        match &self.endpoint {
            Endpoint::Default => DEFAULT_ADDRESS.to_owned(),
            Endpoint::Address(name) | Endpoint::Context(name) => name.clone(),
            Endpoint::Secured(secured) => secured.context(),
        }
    }

    /// The address of the daemon: that of the variables, that of the current context, or the default socket.
    #[must_use]
    pub fn endpoint_address(&self) -> Option<String> {
        let context = match &self.endpoint {
            Endpoint::Default => return Some(DEFAULT_ADDRESS.to_owned()),
            Endpoint::Address(address) => return Some(address.clone()),
            Endpoint::Secured(secured) => return Some(secured.address.clone()),
            Endpoint::Context(context) => context,
        };
        // The Docker CLI keeps the description of a context under the digest of its name.
        let name = Digest::of(context.as_bytes());
        let path = self.directory.as_ref()?.join("contexts/meta").join(name.hex()).join("meta.json");
        let meta: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        meta.pointer("/Endpoints/docker/Host")?.as_str().map(str::to_owned)
    }
}

fn endpoint(environment: &Environment, current: Option<&str>, directory: Option<&Path>) -> Endpoint {
    let variable = |name: &str| {
        environment.get(name).filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
    };
    let host = variable("DOCKER_HOST");
    let context = variable("DOCKER_CONTEXT").or_else(|| current.map(str::to_owned));
    if let (None, Some(context)) = (&host, context.filter(|context| context != "default")) {
        return Endpoint::Context(context);
    }
    let verify = variable("DOCKER_TLS_VERIFY").is_some();
    let wants_tls = verify || variable("DOCKER_TLS").is_some();
    let address = match host {
        Some(host) if wants_tls && host.starts_with("tcp://") => with_port(&host),
        Some(host) => return Endpoint::Address(host),
        None if wants_tls => DEFAULT_TLS_ADDRESS.to_owned(),
        None => return Endpoint::Default,
    };
    let certificates = environment.path("DOCKER_CERT_PATH").or_else(|| directory.map(Path::to_owned));
    let files = certificates.into_iter().flat_map(|directory| TLS_FILES.map(|name| directory.join(name)));
    Endpoint::Secured(Secured { address, verify, files: files.filter(|file| file.exists()).collect() })
}

/// docker adds the port of TLS to an address without one; in a context it does not.
fn with_port(host: &str) -> String {
    let authority = host.trim_start_matches("tcp://");
    let last = authority.rsplit(']').next().unwrap_or(authority);
    if last.contains(':') { host.to_owned() } else { format!("{host}:2376") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> DockerConfig {
        let environment = variables.iter().copied().collect();
        DockerConfig::parse(Some(Path::new("/home/a/.docker")), text, &environment).unwrap()
    }

    /// Defect 21 of upstream.
    #[test]
    fn only_credentials_plugins_and_the_context_are_taken_over() {
        let config = parse(
            r#"{"auths":{"r.example":{"auth":"c2VjcmV0"}},"proxies":{"default":{"httpProxy":"http://p"}},"HttpHeaders":{"a":"b"},
               "currentContext":"colima","credsStore":"pass","experimental":"enabled","cliPluginsExtraDirs":["/opt/plugins"]}"#,
            &[],
        );
        let private: Map<String, Value> = serde_json::from_slice(&config.private_json()).unwrap();
        let keys: Vec<&str> = private.keys().map(String::as_str).collect();
        assert_eq!(keys, ["auths", "currentContext", "credsStore", "cliPluginsExtraDirs"]);
        assert_eq!(private["cliPluginsExtraDirs"], serde_json::json!(["/home/a/.docker/cli-plugins", "/opt/plugins"]));
        assert_eq!(private["auths"]["r.example"]["auth"], "c2VjcmV0");
        assert_eq!(config.endpoint_name(), "context:colima");
    }

    #[test]
    fn the_variables_win_over_the_current_context() {
        let text = r#"{"currentContext":"colima"}"#;
        assert_eq!(parse(text, &[("DOCKER_HOST", "unix:///x")]).endpoint_name(), "unix:///x");
        assert_eq!(parse(text, &[("DOCKER_CONTEXT", "other")]).endpoint_name(), "context:other");
        assert_eq!(parse("", &[]).endpoint_address().as_deref(), Some("unix:///var/run/docker.sock"));
        assert_eq!(parse("", &[("DOCKER_HOST", "tcp://h:1")]).endpoint_address().as_deref(), Some("tcp://h:1"));
        assert_eq!(parse(text, &[("DOCKER_CONTEXT", "default")]).endpoint_name(), "", "what docker calls its default");
    }

    #[test]
    fn variables_with_tls_become_a_context_of_their_own() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["ca.pem", "cert.pem", "unrelated.pem"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let path = directory.path().to_str().unwrap();
        let variables = [("DOCKER_HOST", "tcp://h"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", path)];
        let config = parse(r#"{"currentContext":"colima"}"#, &variables);
        let secured = config.secured().unwrap();
        assert_eq!(secured.address, "tcp://h:2376");
        assert_eq!(secured.files, [directory.path().join("ca.pem"), directory.path().join("cert.pem")]);
        assert!(secured.verify && secured.context().starts_with("repro-"));
        let private: Value = serde_json::from_slice(&config.private_json()).unwrap();
        assert_eq!(private["currentContext"], secured.context());

        let address = |variables: &[(&str, &str)]| parse("", variables).endpoint_address().unwrap();
        assert_eq!(address(&[("DOCKER_TLS", "1")]), "tcp://localhost:2376", "docker's own default with TLS");
        assert_eq!(address(&[("DOCKER_TLS_VERIFY", "1"), ("DOCKER_HOST", "unix:///x")]), "unix:///x");
        assert_eq!(address(&[("DOCKER_TLS_VERIFY", "1"), ("DOCKER_HOST", "tcp://[::1]")]), "tcp://[::1]:2376");
        assert!(!parse("", &[("DOCKER_TLS", "1")]).secured().unwrap().verify);
        let context = parse(r#"{"currentContext":"colima"}"#, &[("DOCKER_TLS_VERIFY", "1")]);
        assert_eq!(context.endpoint_name(), "context:colima", "a context brings its own certificates");
    }
}
