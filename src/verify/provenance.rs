//! What BuildKit's provenance tells of how an image was built: the request, not the steps.
//!
//! Two forms exist, SLSA v0.2 (what BuildKit before v0.28 writes) and v1. With `mode=min` both leave out build arguments,
//! labels, secrets and SSH, and say so (`completeness`). Whoever pushed the image wrote all of this: it is a claim, and each
//! value is held against what a flag could say before it is used.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::provenance::Material;

/// One statement's predicate, as far as a build can be asked for again by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildRecord {
    /// The arguments of the frontend: `build-arg:NAME`, `label:KEY`, `target` and others.
    pub arguments: BTreeMap<String, String>,
    /// The name of the Dockerfile, in the directory that it was sent from.
    pub entry_point: Option<String>,
    /// What reads the Dockerfile: `dockerfile.v0` is BuildKit's own.
    pub frontend: Option<String>,
    /// The version of the built-in frontend.
    pub dockerfile_version: Option<String>,
    /// The repository, where the context came out of one by BuildKit's own hands: its address with `#REF:DIRECTORY`.
    pub git_context: Option<String>,
    /// The commit of that.
    pub git_commit: Option<String>,
    /// The repository that the local context lay in.
    pub repository: Option<String>,
    /// Its commit.
    pub revision: Option<String>,
    /// The context's directory in the repository.
    pub context_directory: Option<String>,
    /// The Dockerfile's directory in the repository.
    pub dockerfile_directory: Option<String>,
    /// The ids of secrets that were given.
    pub secrets: Vec<String>,
    /// The ids of SSH agents that were given.
    pub ssh: Vec<String>,
    /// The names of further local directories.
    pub locals: Vec<String>,
    /// Whether it says all arguments.
    pub is_complete: bool,
    /// Images and other things that were read.
    pub materials: Vec<Material>,
}

impl BuildRecord {
    /// Reads an in-toto statement; nothing where it is none of BuildKit's provenance.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let statement: Value = serde_json::from_slice(bytes).ok()?;
        let predicate = statement.get("predicate")?;
        let kind = statement.get("predicateType").and_then(Value::as_str)?;
        match kind {
            "https://slsa.dev/provenance/v0.2" => Some(Self::of_v02(predicate)),
            "https://slsa.dev/provenance/v1" => Some(Self::of_v1(predicate)),
            _ => None,
        }
    }

    fn of_v02(predicate: &Value) -> Self {
        let at = |pointer: &str| predicate.pointer(pointer);
        let mut record = Self::of_request(at("/invocation/parameters"));
        record.entry_point = text(at("/invocation/configSource/entryPoint"));
        record.take_config_source(at("/invocation/configSource"));
        record.is_complete = at("/metadata/completeness/parameters").and_then(Value::as_bool) == Some(true);
        let metadata = predicate.get("metadata").and_then(Value::as_object);
        record.take_vcs(metadata.and_then(|all| all.get("https://mobyproject.org/buildkit@v1#metadata")));
        record.materials = materials(predicate.get("materials"));
        record
    }

    fn of_v1(predicate: &Value) -> Self {
        let at = |pointer: &str| predicate.pointer(pointer);
        let mut record = Self::of_request(at("/buildDefinition/externalParameters/request"));
        record.entry_point = text(at("/buildDefinition/externalParameters/configSource/path"));
        record.take_config_source(at("/buildDefinition/externalParameters/configSource"));
        record.is_complete =
            at("/runDetails/metadata/buildkit_completeness/request").and_then(Value::as_bool) == Some(true);
        record.take_vcs(at("/runDetails/metadata/buildkit_metadata"));
        record.dockerfile_version = text(at("/buildDefinition/internalParameters/dockerfileVersion"));
        record.materials = materials(at("/buildDefinition/resolvedDependencies"));
        record
    }

    fn of_request(request: Option<&Value>) -> Self {
        let Some(request) = request else { return Self::default() };
        let arguments = request.get("args").and_then(Value::as_object).map(texts).unwrap_or_default();
        let ids = |key: &str, name: &str| {
            let list = request.get(key).and_then(Value::as_array).into_iter().flatten();
            let wanted = list.filter(|entry| entry.get("optional").and_then(Value::as_bool) != Some(true));
            wanted.filter_map(|entry| text(entry.get(name))).collect::<Vec<_>>()
        };
        let locals = ids("locals", "name");
        Self {
            frontend: text(request.get("frontend")),
            arguments,
            secrets: ids("secrets", "id"),
            ssh: ids("ssh", "id"),
            locals: locals.into_iter().filter(|name| !["context", "dockerfile"].contains(&name.as_str())).collect(),
            ..Self::default()
        }
    }

    fn take_config_source(&mut self, source: Option<&Value>) {
        let Some(source) = source else { return };
        self.git_context = text(source.get("uri"));
        self.git_commit = source.get("digest").and_then(|digest| text(digest.get("sha1").or(digest.get("gitCommit"))));
    }

    fn take_vcs(&mut self, metadata: Option<&Value>) {
        let Some(vcs) = metadata.and_then(|metadata| metadata.get("vcs")) else { return };
        self.repository = text(vcs.get("source"));
        self.revision = text(vcs.get("revision"));
        self.context_directory = text(vcs.get("localdir:context"));
        self.dockerfile_directory = text(vcs.get("localdir:dockerfile"));
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn texts(map: &Map<String, Value>) -> BTreeMap<String, String> {
    map.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn materials(list: Option<&Value>) -> Vec<Material> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    let parse = |entry: &Value| {
        let digest = entry.get("digest").and_then(Value::as_object).map(texts)?;
        Some(Material { uri: text(entry.get("uri"))?, digest })
    };
    let mut materials: Vec<Material> = list.filter_map(parse).collect();
    materials.sort();
    materials.dedup();
    materials
}

#[cfg(test)]
mod tests {
    use super::*;

    // As BuildKit v0.19.0 and v0.31.1 wrote them, without what is not read here.
    const MIN_V02: &str = r#"{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://slsa.dev/provenance/v0.2",
        "subject":[],"predicate":{"builder":{"id":""},"materials":[{"uri":"pkg:docker/small@latest","digest":{"sha256":"fc"}}],
        "invocation":{"configSource":{"entryPoint":"Dockerfile"},"parameters":{"frontend":"dockerfile.v0",
        "args":{"target":"two"},"locals":[{"name":"context"},{"name":"dockerfile"}]}},"metadata":{
        "completeness":{"parameters":false},"https://mobyproject.org/buildkit@v1#metadata":{"vcs":{"localdir:context":"sub",
        "localdir:dockerfile":"sub","revision":"69f2","source":"https://example.org/a/b.git"}}}}}"#;
    const MAX_V1: &str = r#"{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1",
        "predicate":{"buildDefinition":{"externalParameters":{"configSource":{"path":"Dockerfile"},"request":{
        "frontend":"dockerfile.v0","args":{"build-arg:MODE":"fast","label:l":"m","target":"two"},
        "secrets":[{"id":"token"},{"id":"maybe","optional":true}],"locals":[{"name":"context"},{"name":"other"}]}},
        "internalParameters":{"dockerfileVersion":"1.25.0"}},"runDetails":{"metadata":{"buildkit_metadata":{"vcs":{
        "revision":"69f2","source":"https://example.org/a/b.git"}},"buildkit_completeness":{"request":true}}}}}"#;

    #[test]
    fn both_forms_are_read() {
        let min = BuildRecord::parse(MIN_V02.as_bytes()).unwrap();
        assert_eq!((min.is_complete, min.arguments["target"].as_str()), (false, "two"));
        assert_eq!(min.context_directory.as_deref(), Some("sub"));
        assert_eq!(min.materials.len(), 1);
        let max = BuildRecord::parse(MAX_V1.as_bytes()).unwrap();
        assert_eq!((max.is_complete, max.arguments["build-arg:MODE"].as_str()), (true, "fast"));
        assert_eq!((max.secrets, max.locals), (vec!["token".to_owned()], vec!["other".to_owned()]));
        assert_eq!(max.dockerfile_version.as_deref(), Some("1.25.0"));
        for record in [min.repository, max.repository] {
            assert_eq!(record.as_deref(), Some("https://example.org/a/b.git"));
        }
    }

    #[test]
    fn what_is_none_of_it_is_nothing() {
        for text in ["", "[]", "{}", r#"{"predicateType":"https://spdx.dev/Document","predicate":{}}"#] {
            assert_eq!(BuildRecord::parse(text.as_bytes()), None, "{text}");
        }
        let odd =
            r#"{"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":[],"runDetails":3}}"#;
        assert_eq!(BuildRecord::parse(odd.as_bytes()), Some(BuildRecord::default()));
    }
}
