//! The verdict as a verification summary (in-toto Statement v1, SLSA VSA v1), unsigned: whoever trusts this machine signs it,
//! and others count how many did.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::Level;
use crate::digest::Digest;

/// What a verification summary says.
#[derive(Debug, Clone)]
pub struct Summary {
    /// What was verified, each with the name that it goes by.
    pub subjects: Vec<(String, Digest)>,
    /// The subject as it was asked for, as a URI.
    pub resource: String,
    /// Whether it is what its source gives.
    pub passed: bool,
    /// The level that is equal.
    pub level: Option<Level>,
    /// Who verified.
    pub verifier: String,
    /// When.
    pub time: DateTime<Utc>,
    /// What it was built from.
    pub source: SummarySource,
    /// The words of the build: name, value, and where it came from.
    pub words: Vec<(String, String, String)>,
}

/// The source that was built again.
#[derive(Debug, Clone, Default)]
pub struct SummarySource {
    /// The address of the repository, where others can reach it.
    pub place: Option<String>,
    /// The commit, where it is known.
    pub commit: Option<String>,
    /// The context's directory in the repository.
    pub directory: Option<String>,
    /// Whether files were others than in the commit, where that is known.
    pub dirty: Option<bool>,
}

impl SummarySource {
    /// Whether anybody else can get this very source.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.commit.is_some() && self.dirty == Some(false)
    }
}

/// The name of repro's own part of the predicate.
const OWN: &str = "pkg:cargo/repro#verify/v1";

/// The statement as JSON.
#[must_use]
pub fn render_summary(summary: &Summary) -> Vec<u8> {
    let subject = |(name, digest): &(String, Digest)| {
        let mut set = Map::new();
        set.insert(digest.algorithm().name().to_owned(), digest.hex().into());
        json!({ "name": name, "digest": set })
    };
    // Who counts such statements must not count one about files that nobody else has.
    let from = if summary.source.is_named() { "" } else { "_FROM_UNNAMED_SOURCE" };
    let level = summary.level.filter(|_| summary.passed);
    let level = level.map(|level| format!("REPRO_REBUILT_{}{from}", level.name().to_uppercase()));
    let word =
        |(name, value, origin): &(String, String, String)| json!({ "name": name, "value": value, "origin": origin });
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": summary.subjects.iter().map(subject).collect::<Vec<Value>>(),
        "predicateType": "https://slsa.dev/verification_summary/v1",
        "predicate": {
            "verifier": { "id": summary.verifier, "version": { "repro": env!("CARGO_PKG_VERSION") } },
            "timeVerified": summary.time.to_rfc3339_opts(SecondsFormat::Secs, true),
            "resourceUri": summary.resource,
            "policy": { "uri": concat!("pkg:cargo/repro@", env!("CARGO_PKG_VERSION"), "#docs/verify.md") },
            "verificationResult": if summary.passed { "PASSED" } else { "FAILED" },
            "verifiedLevels": level.into_iter().collect::<Vec<_>>(),
            OWN: {
                "source": {
                    "uri": summary.source.place,
                    "commit": summary.source.commit,
                    "directory": summary.source.directory,
                    "dirty": summary.source.dirty,
                },
                "words": summary.words.iter().map(word).collect::<Vec<Value>>(),
            },
        },
    });
    let mut text = serde_json::to_vec_pretty(&statement).unwrap_or_default();
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_no_level() {
        let digest = Digest::of(b"");
        let summary = |passed, is_clean: bool| {
            let rendered = render_summary(&Summary {
                subjects: vec![("example.org/a".to_owned(), digest.clone())],
                resource: "pkg:docker/a".to_owned(),
                passed,
                level: Some(Level::Manifest),
                verifier: "https://example.org/me".to_owned(),
                time: DateTime::UNIX_EPOCH,
                source: SummarySource {
                    dirty: is_clean.then_some(false),
                    commit: Some("c0".to_owned()),
                    ..Default::default()
                },
                words: vec![("build-arg".to_owned(), "A=b".to_owned(), "--build-arg".to_owned())],
            });
            serde_json::from_slice::<Value>(&rendered).unwrap()
        };
        let (passed, failed) = (summary(true, true), summary(false, true));
        assert_eq!(passed["subject"][0]["digest"]["sha256"], digest.hex());
        assert_eq!(passed["predicate"]["verifiedLevels"], json!(["REPRO_REBUILT_MANIFEST"]));
        assert_eq!(passed["predicate"]["timeVerified"], "1970-01-01T00:00:00Z");
        assert_eq!(
            (&failed["predicate"]["verificationResult"], &failed["predicate"]["verifiedLevels"]),
            (&json!("FAILED"), &json!([]))
        );
        let own = &passed["predicate"][OWN];
        assert_eq!((&own["source"]["commit"], &own["words"][0]["value"]), (&json!("c0"), &json!("A=b")));
        // Files that nobody else has are said to be such where verifiers look.
        let unnamed = summary(true, false);
        assert_eq!(unnamed["predicate"]["verifiedLevels"], json!(["REPRO_REBUILT_MANIFEST_FROM_UNNAMED_SOURCE"]));
    }
}
