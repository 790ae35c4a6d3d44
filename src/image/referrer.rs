//! What is attached to an image in its registry and is no part of it: a manifest of which the image is the `subject`
//! (image-spec 1.1, "Guidelines for Artifact Usage"), and the list of such manifests for registries that keep none themselves
//! (distribution-spec 1.1, "Referrers Tag Schema").

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::json::{self, Names};
use super::media_type::{IN_TOTO, OCI_INDEX, OCI_MANIFEST};
use super::model::{Descriptor, Document};
use crate::digest::Digest;

/// Where BuildKit says in annotations what a statement is of (`docs/attestations/attestation-storage.md`).
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// The type of an SPDX document as a predicate.
const SPDX: &str = "https://spdx.dev/Document";
/// The config of what needs none (image-spec, "Guidance for an Empty Descriptor").
const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// A manifest with a subject, and its blobs.
#[derive(Debug, Clone)]
pub struct Referrer {
    /// The manifest that it is about.
    pub subject: Digest,
    /// The manifest.
    pub document: Document,
    /// Its config and its layers.
    pub blobs: Vec<Vec<u8>>,
    /// How a list of referrers describes it.
    entry: Value,
}

/// What a scanner writes: a statement without its subject, which it does not know.
#[derive(Deserialize)]
struct Scanned {
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Box<RawValue>,
}

#[derive(Deserialize)]
struct Spdx {
    #[serde(rename = "spdxVersion")]
    version: String,
}

#[derive(Serialize)]
struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: &'static str,
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    subject: [Subject<'a>; 1],
    predicate: &'a RawValue,
}

#[derive(Serialize)]
struct Subject<'a> {
    name: &'static str,
    digest: BTreeMap<&'static str, &'a str>,
}

/// The statement about the manifest `subject` that a file of BuildKit's scanner makes, as BuildKit's exporter makes it
/// (`exporter/attestation/make.go`): the document of the scanner as it is, below a subject that the scanner has no say in. The
/// error says why there is none, ready to print.
pub fn sbom_statement(scanned: &[u8], subject: &Digest) -> Result<Vec<u8>, String> {
    let scanned: Scanned = json::parse(Names::Free, scanned)?;
    if scanned.predicate_type != SPDX {
        return Err(format!("its predicate type is not {SPDX}"));
    }
    let spdx = serde_json::from_str::<Spdx>(scanned.predicate.get()).ok();
    if !spdx.is_some_and(|spdx| spdx.version.starts_with("SPDX-")) {
        return Err("its predicate has no `spdxVersion`".to_owned());
    }
    let subject = Subject { name: "_", digest: BTreeMap::from([(subject.algorithm().name(), subject.hex())]) };
    let kind = "https://in-toto.io/Statement/v1";
    let statement = Statement { kind, predicate_type: SPDX, subject: [subject], predicate: &scanned.predicate };
    serde_json::to_vec(&statement).map_err(|error| error.to_string())
}

impl Referrer {
    /// The SBOM of an image: statements that say so.
    #[must_use]
    pub fn sbom(subject: &Descriptor, statements: Vec<Vec<u8>>) -> Self {
        let annotations = json!({ PREDICATE_TYPE: SPDX });
        let pointer = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len() });
        let layers: Vec<Value> = statements
            .iter()
            .map(|statement| {
                let mut layer = pointer(IN_TOTO, statement);
                layer["annotations"] = annotations.clone();
                layer
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": IN_TOTO,
            "config": pointer(EMPTY_TYPE, EMPTY),
            "layers": layers,
            "subject": {
                "mediaType": subject.media_type, "digest": subject.digest.to_string(), "size": subject.size,
            },
            "annotations": annotations,
        });
        let bytes = manifest.to_string().into_bytes();
        let mut entry = pointer(OCI_MANIFEST, &bytes);
        entry["artifactType"] = IN_TOTO.into();
        entry["annotations"] = annotations;
        Self {
            subject: subject.digest.clone(),
            document: Document { digest: Digest::of(&bytes), bytes },
            blobs: std::iter::once(EMPTY.to_vec()).chain(statements).collect(),
            entry,
        }
    }

    /// The list of referrers in `list`, or a new one, with this one in it, and all others as they were. Nothing where it is in
    /// it already. The error says what is wrong with the list, ready to print.
    pub fn add_to(&self, list: Option<&[u8]>) -> Result<Option<Vec<u8>>, String> {
        let list = list.map_or_else(
            || Ok(json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }).to_string().into_bytes()),
            |bytes| json::parse::<Value>(Names::Manifest, bytes).map(|_| bytes.to_vec()),
        )?;
        // As it was written: to parse an entry and write it again would round its numbers.
        let mut list: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(&list).map_err(|error| error.to_string())?;
        let is_index =
            list.get("mediaType").is_none_or(|kind| read::<String>(kind).is_some_and(|kind| kind == OCI_INDEX));
        let entries = list.get("manifests").and_then(|entries| read::<Vec<Box<RawValue>>>(entries));
        let mut entries = entries.filter(|_| is_index).ok_or_else(|| "it is no index".to_owned())?;
        let digest = |entry: &RawValue| read::<Value>(entry)?.get("digest").cloned();
        if entries.iter().any(|entry| digest(entry).as_ref() == self.entry.get("digest")) {
            return Ok(None);
        }
        let raw = |error: serde_json::Error| error.to_string();
        entries.push(to_raw_value(&self.entry).map_err(raw)?);
        list.insert("manifests".to_owned(), to_raw_value(&entries).map_err(raw)?);
        serde_json::to_vec(&list).map(Some).map_err(raw)
    }
}

fn read<T: DeserializeOwned>(value: &RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

/// The tag of the list of what refers to `subject`, for registries that keep none themselves.
#[must_use]
pub fn referrers_tag(subject: &Digest) -> String {
    const LONGEST: usize = 64;
    format!("{}-{}", subject.algorithm().name(), &subject.hex()[..LONGEST])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCANNED: &str = r#"{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document",
        "subject": [{"name": "x", "digest": {"sha256": "00"}}], "predicate": {"spdxVersion": "SPDX-2.3", "x":  1.50}}"#;

    fn subject() -> Descriptor {
        serde_json::from_value(json!({
            "mediaType": OCI_MANIFEST, "digest": Digest::of(b"image").to_string(), "size": 5,
        }))
        .unwrap()
    }

    #[test]
    fn the_subject_is_ours_and_the_document_the_scanners() {
        let subject = Digest::of(b"image");
        let statement = String::from_utf8(sbom_statement(SCANNED.as_bytes(), &subject).unwrap()).unwrap();
        let expected = format!(
            "{{\"_type\":\"https://in-toto.io/Statement/v1\",\"predicateType\":\"https://spdx.dev/Document\",\"subject\":[{{\"name\":\"_\",\
             \"digest\":{{\"sha256\":\"{}\"}}}}],\"predicate\":{{\"spdxVersion\": \"SPDX-2.3\", \"x\":  1.50}}}}",
            subject.hex()
        );
        assert_eq!(statement, expected);
    }

    #[test]
    fn what_is_no_spdx_is_no_sbom() {
        let provenance = SCANNED.replace("https://spdx.dev/Document", "https://slsa.dev/provenance/v1");
        let twice = SCANNED.replace("\"_type\"", "\"predicate\": {}, \"_type\"");
        for (text, why) in [
            ("", "EOF"),
            ("{}", "predicateType"),
            ("SPDX-2.3", "expected value"),
            (&provenance, "its predicate type is not"),
            (&SCANNED.replace("SPDX-2.3", "1"), "spdxVersion"),
            (&SCANNED.replace("{\"spdxVersion\": \"SPDX-2.3\", \"x\":  1.50}", "[]"), "spdxVersion"),
            (&twice, "twice"),
            (&format!("{SCANNED} {{}}"), "trailing"),
            ("{\"predicateType\": \"\u{1b}[2J\"", "control character"),
        ] {
            let error = sbom_statement(text.as_bytes(), &Digest::of(b"")).unwrap_err();
            assert!(error.contains(why) && !error.contains('\u{1b}'), "{text}: {error}");
        }
    }

    #[test]
    fn a_list_keeps_what_it_has() {
        let referrer = Referrer::sbom(&subject(), vec![b"{}".to_vec()]);
        let first = referrer.add_to(None).unwrap().unwrap();
        assert_eq!(referrer.add_to(Some(&first)).unwrap(), None, "it is there once");
        let foreign = r#"{"digest":"sha256:f", "x":[1,"y",123456789012345678901,1.50],"size":3,"mediaType":"z"}"#;
        let list = format!(r#"{{"manifests":[{foreign}],"annotations":{{"a":"b"}},"schemaVersion":2}}"#);
        let added = String::from_utf8(referrer.add_to(Some(list.as_bytes())).unwrap().unwrap()).unwrap();
        let start = format!(
            r#"{{"annotations":{{"a":"b"}},"manifests":[{foreign},{{"mediaType":"{OCI_MANIFEST}","digest":"{}""#,
            referrer.document.digest
        );
        assert!(added.starts_with(&start) && added.ends_with(r#"],"schemaVersion":2}"#), "{added}");
        let other = r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}"#;
        for (list, why) in [("[]", "in place of an object"), ("{}", "no index"), ("{", "EOF"), (other, "no index")] {
            let error = referrer.add_to(Some(list.as_bytes())).unwrap_err();
            assert!(error.contains(why), "{list}: {error}");
        }
    }

    #[test]
    fn the_tag_is_that_of_the_specification() {
        let long = format!("sha512:{}", "ab".repeat(64)).parse().unwrap();
        assert_eq!(referrers_tag(&long), format!("sha512-{}", "ab".repeat(32)));
        assert_eq!(referrers_tag(&Digest::of(b"")), format!("sha256-{}", Digest::of(b"").hex()));
    }
}
