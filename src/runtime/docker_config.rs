//! The private Docker configuration: credentials, plugins and what names the daemon are taken over from the user's;
//! proxies, HTTP headers, the default builder and everything else stay out, because they would change the build.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::environment::Environment;

/// The user's Docker configuration, as far as a build may know it.
#[derive(Debug, Clone, Default)]
pub struct DockerConfig {
    directory: Option<PathBuf>,
    kept: Map<String, Value>,
    endpoint: String,
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
        let variable = |name: &str| {
            environment.get(name).filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
        };
        let context = variable("DOCKER_CONTEXT")
            .or_else(|| kept.get("currentContext").and_then(Value::as_str).map(str::to_owned));
        let endpoint = match (variable("DOCKER_HOST"), context) {
            (Some(host), _) => host,
            (None, Some(context)) => format!("context:{context}"),
            (None, None) => String::new(),
        };
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

    /// Whether the private configuration holds credentials.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.kept.get("auths").and_then(Value::as_object).is_some_and(|auths| !auths.is_empty())
    }

    /// The directory of the user's Docker contexts, if there is one.
    #[must_use]
    pub fn contexts_directory(&self) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join("contexts")).filter(|contexts| contexts.is_dir())
    }

    /// What names the daemon: `DOCKER_HOST`, the current context, or nothing for the default one.
    #[must_use]
    pub fn endpoint_name(&self) -> &str {
        &self.endpoint
    }

    /// The address of the daemon: `DOCKER_HOST`, that of the current context, or the default socket.
    #[must_use]
    pub fn endpoint_address(&self) -> Option<String> {
        let Some(context) = self.endpoint.strip_prefix("context:").filter(|context| *context != "default") else {
            let host = if self.endpoint.starts_with("context:") { "" } else { &self.endpoint };
            return Some(if host.is_empty() { "unix:///var/run/docker.sock".to_owned() } else { host.to_owned() });
        };
        // The Docker CLI keeps the description of a context under the digest of its name.
        let name = crate::digest::Digest::of(context.as_bytes());
        let path = self.directory.as_ref()?.join("contexts/meta").join(name.hex()).join("meta.json");
        let meta: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        meta.pointer("/Endpoints/docker/Host")?.as_str().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> DockerConfig {
        let environment = variables.iter().copied().collect();
        DockerConfig::parse(Some(Path::new("/home/a/.docker")), text, &environment).unwrap()
    }

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
        assert!(config.has_credentials());
        assert_eq!(config.endpoint_name(), "context:colima");
    }

    #[test]
    fn the_variables_win_over_the_current_context() {
        let text = r#"{"currentContext":"colima"}"#;
        assert_eq!(parse(text, &[("DOCKER_HOST", "unix:///x")]).endpoint_name(), "unix:///x");
        assert_eq!(parse(text, &[("DOCKER_CONTEXT", "other")]).endpoint_name(), "context:other");
        assert_eq!(parse("", &[]).endpoint_address().as_deref(), Some("unix:///var/run/docker.sock"));
        assert_eq!(parse("", &[("DOCKER_HOST", "tcp://h:1")]).endpoint_address().as_deref(), Some("tcp://h:1"));
    }
}
