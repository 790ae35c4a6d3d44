//! What BuildKit's own record of a build says it was built from.
//!
//! Two shapes exist: the SLSA v0.2 predicate that buildx puts into the metadata file, and in-toto statements with a v0.2
//! or v1 predicate (the default from BuildKit v0.28) in the daemon's store. Both hold the steps (`llbDefinition`) and the
//! layers of each step's output; for a step that reads an image those are the layers of that image.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::digest::Digest;

/// An image, archive or repository that a build read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Material {
    /// What it is called, as a package URL or address.
    pub uri: String,
    /// Its digest by algorithm.
    pub digest: BTreeMap<String, String>,
}

/// What a build was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The materials, sorted, each once.
    pub materials: Vec<Material>,
    /// The layers of each image that a step read, as they are in the registry.
    pub image_layers: Vec<Vec<Digest>>,
    /// Whether a step read an image whose layers the record does not tell.
    pub incomplete: bool,
}

impl Provenance {
    /// Reads one or more JSON documents; `None` where there is no record in them.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut all = Self::default();
        let mut found = false;
        for document in serde_json::Deserializer::from_slice(bytes).into_iter::<Value>() {
            let Ok(document) = document else { return None };
            found |= all.take_document(&document);
        }
        all.materials.sort();
        all.materials.dedup();
        all.image_layers.sort();
        all.image_layers.dedup();
        found.then_some(all)
    }

    /// Reads the metadata file of buildx, which holds one record a platform.
    #[must_use]
    pub fn from_buildx_metadata(metadata: &Value) -> Option<Self> {
        let records = metadata.as_object()?.iter().filter(|(key, _)| key.starts_with("buildx.build.provenance"));
        let bytes: Vec<u8> = records.flat_map(|(_, record)| record.to_string().into_bytes()).collect();
        Self::parse(&bytes)
    }

    fn take_document(&mut self, document: &Value) -> bool {
        let predicate = document.get("predicate").unwrap_or(document);
        let definition = predicate.get("buildDefinition");
        let materials = definition.map_or_else(|| predicate.get("materials"), |v1| v1.get("resolvedDependencies"));
        let build_config = predicate
            .get("buildConfig")
            .or_else(|| definition.and_then(|v1| v1.pointer("/internalParameters/buildConfig")));
        let metadata = predicate.get("metadata").or_else(|| predicate.pointer("/runDetails/metadata"));
        let Some(steps) = build_config.and_then(|config| config.get("llbDefinition")).and_then(Value::as_array) else {
            return false;
        };
        for material in materials.and_then(Value::as_array).into_iter().flatten() {
            self.materials.extend(parse_material(material));
        }
        let layers = metadata.and_then(find_layers);
        for step in steps {
            self.take_step(step, layers);
        }
        true
    }

    fn take_step(&mut self, step: &Value, layers: Option<&Value>) {
        let identifier = ["/op/Op/source/identifier", "/op/Op/Source/identifier", "/op/source/identifier"]
            .into_iter()
            .find_map(|pointer| step.pointer(pointer))
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !["docker-image://", "oci-layout://"].iter().any(|scheme| identifier.starts_with(scheme)) {
            return;
        }
        let key = step.get("id").and_then(Value::as_str).map(|id| format!("{id}:0")).unwrap_or_default();
        let chains = layers.and_then(|layers| layers.get(&key)).and_then(Value::as_array);
        let parsed: Vec<Vec<Digest>> = chains.into_iter().flatten().filter_map(parse_chain).collect();
        // A step whose layers were not recorded was not needed for the result, or its layers are still in the registry only.
        self.incomplete |= parsed.is_empty();
        self.image_layers.extend(parsed);
    }
}

fn parse_material(material: &Value) -> Option<Material> {
    let digest = material.get("digest")?.as_object()?;
    let digest = digest.iter().filter_map(|(name, hex)| Some((name.clone(), hex.as_str()?.to_owned()))).collect();
    Some(Material { uri: material.get("uri")?.as_str()?.to_owned(), digest })
}

/// The map from `stepN:output` to layers, whose name around it differs between the predicates.
fn find_layers(metadata: &Value) -> Option<&Value> {
    metadata.as_object()?.iter().filter(|(key, _)| key.contains("buildkit")).find_map(|(_, value)| value.get("layers"))
}

fn parse_chain(chain: &Value) -> Option<Vec<Digest>> {
    let digest = |descriptor: &Value| descriptor.get("digest")?.as_str()?.parse().ok();
    chain.as_array()?.iter().map(digest).collect()
}
