//! Attaching to an image in a registry, whatever the registry keeps and says; on a real one in tests/lab/sbom.rs.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod support;

use std::time::Duration;

use repro::digest::Digest;
use repro::image::{Platform, Referrer, referrers_tag, sbom_statement};
use repro::registry::{AttachError, Options, Repository, attach, load_config, load_descriptor};
use serde_json::{Value, json};
use support::registry::{FakeRegistry, Fault};

const NAME: &str = "team/app";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

struct Place {
    registry: FakeRegistry,
    repository: Repository,
    subject: Digest,
    tag: String,
}

impl Place {
    fn new() -> Self {
        let registry = FakeRegistry::start();
        let reference = format!("{}/{NAME}", registry.host()).parse().unwrap();
        let options = Options { retry_delay: Duration::from_millis(1), ..Options::default() };
        let repository = Repository::open_to_write(&reference, options, &[]).unwrap();
        let subject = registry.add_manifest(NAME, MANIFEST, br#"{"schemaVersion":2}"#);
        let tag = format!("/v2/{NAME}/manifests/{}", referrers_tag(&subject));
        Self { registry, repository, subject, tag }
    }

    async fn attach(&self, version: &str) -> Result<Digest, AttachError> {
        let scanned = json!({"predicateType": "https://spdx.dev/Document", "predicate": {"spdxVersion": "SPDX-2.3", "name": version}});
        let statement = sbom_statement(scanned.to_string().as_bytes(), &self.subject).unwrap();
        let subject = load_descriptor(&self.repository, &self.subject).await?;
        assert_eq!((subject.size, subject.media_type.as_str()), (19, MANIFEST));
        let referrer = Referrer::sbom(&subject, vec![statement]);
        attach(&self.repository, &referrer).await?;
        Ok(referrer.document.digest)
    }

    fn listed(&self) -> Option<Vec<String>> {
        let list: Value = serde_json::from_slice(&self.registry.document(&self.tag)?).unwrap();
        Some(
            list["manifests"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["digest"].as_str().unwrap().to_owned())
                .collect(),
        )
    }
}

#[tokio::test]
async fn where_the_registry_keeps_no_list_there_is_one_under_a_tag() {
    let place = Place::new();
    // Whatever goes wrong for a moment is done again.
    place.registry.fail("blobs/uploads", Fault::Status(503, None, String::new()), 3);
    let first = place.attach("1").await.unwrap().to_string();
    assert_eq!(place.listed().unwrap(), std::slice::from_ref(&first));
    let artifact = place.registry.document(&format!("/v2/{NAME}/manifests/{first}")).unwrap();
    let artifact: Value = serde_json::from_slice(&artifact).unwrap();
    assert_eq!(artifact["subject"]["digest"], place.subject.to_string());
    for part in [&artifact["config"], &artifact["layers"][0]] {
        let blob = place.registry.document(&format!("/v2/{NAME}/blobs/{}", part["digest"].as_str().unwrap())).unwrap();
        assert_eq!(part["size"], blob.len());
    }
    let second = place.attach("2").await.unwrap().to_string();
    assert_eq!(place.listed().unwrap(), [first.clone(), second.clone()]);
    assert_eq!(place.attach("1").await.unwrap().to_string(), first);
    assert_eq!(place.listed().unwrap(), [first, second]);
}

#[tokio::test]
async fn where_the_registry_keeps_one_there_is_no_tag() {
    let known = Place::new();
    let attached = known.attach("1").await.unwrap();
    for (told, has_tag) in [(&known.subject, false), (&attached, true)] {
        let place = Place::new();
        let told = Fault::Told("OCI-Subject", told.to_string());
        place.registry.fail(&format!("manifests/{attached}"), told, 1);
        assert_eq!(place.attach("1").await.unwrap(), attached);
        assert_eq!(place.listed().is_some(), has_tag);
    }
}

#[tokio::test]
async fn what_is_no_list_is_left_alone() {
    let place = Place::new();
    for other in [MANIFEST_WITH_LIST, "[]", "{\"manifests\":[],\"manifests\":[]}"] {
        place.registry.put(&place.tag, MANIFEST, other.as_bytes());
        let error = place.attach("1").await.unwrap_err();
        assert!(matches!(error, AttachError::List { .. }) && error.to_string().contains("sha256-"), "{error}");
        assert_eq!(place.registry.document(&place.tag).unwrap(), other.as_bytes());
    }
}

const MANIFEST_WITH_LIST: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}"#;

#[tokio::test]
async fn one_who_always_writes_over_it_is_told_of() {
    let place = Place::new();
    let list = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec();
    place.registry.fail(&place.tag, Fault::Body(list), 100);
    let error = place.attach("1").await.unwrap_err();
    assert!(matches!(error, AttachError::Lost(_)), "{error}");
}

#[tokio::test]
async fn the_config_is_that_of_the_platform() {
    let place = Place::new();
    let add = |text: &str| {
        let config = place.registry.add_blob(NAME, text.as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "config": {"mediaType": CONFIG, "digest": config.to_string(), "size": text.len()},
            "layers": [],
        });
        place.registry.add_manifest(NAME, MANIFEST, manifest.to_string().as_bytes())
    };
    let config =
        |architecture: &str| format!(r#"{{"os":"linux","architecture":"{architecture}","rootfs":{{"diff_ids":[]}}}}"#);
    let manifests = ["amd64", "arm64"].map(|architecture| (architecture, add(&config(architecture))));
    let entries: Vec<Value> = manifests
        .iter()
        .map(|(architecture, digest)| {
            json!({"mediaType": MANIFEST, "digest": digest.to_string(), "size": 1,
                "platform": {"os": "linux", "architecture": architecture}})
        })
        .collect();
    let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
    let index = place.registry.add_manifest(NAME, "application/vnd.oci.image.index.v1+json", index.as_bytes());
    let load = async |digest: &Digest, architecture: &str| {
        let reference = format!("{}/{NAME}@{digest}", place.registry.host()).parse().unwrap();
        let platform =
            Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), ..Platform::default() };
        load_config(&place.repository, &reference, &platform).await.unwrap()
    };
    for (architecture, digest) in &manifests {
        let expected = Some((digest.clone(), config(architecture).into_bytes()));
        assert_eq!(load(&index, architecture).await, expected);
        assert_eq!(load(digest, architecture).await, expected);
        assert_eq!(load(digest, "s390x").await, None);
    }
    assert_eq!(load(&index, "s390x").await, None);
    assert_eq!(load(&place.subject, "amd64").await, None);
}
