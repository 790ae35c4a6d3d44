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
}

/// The statement as JSON.
#[must_use]
pub fn render_summary(summary: &Summary) -> Vec<u8> {
    let subject = |(name, digest): &(String, Digest)| {
        let mut set = Map::new();
        set.insert(digest.algorithm().name().to_owned(), digest.hex().into());
        json!({ "name": name, "digest": set })
    };
    let level =
        summary.level.filter(|_| summary.passed).map(|level| format!("REPRO_REBUILT_{}", level.name().to_uppercase()));
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
        let summary = |passed| {
            let rendered = render_summary(&Summary {
                subjects: vec![("example.org/a".to_owned(), digest.clone())],
                resource: "pkg:docker/a".to_owned(),
                passed,
                level: Some(Level::Manifest),
                verifier: "https://example.org/me".to_owned(),
                time: DateTime::UNIX_EPOCH,
            });
            serde_json::from_slice::<Value>(&rendered).unwrap()
        };
        let (passed, failed) = (summary(true), summary(false));
        assert_eq!(passed["subject"][0]["digest"]["sha256"], digest.hex());
        assert_eq!(passed["predicate"]["verifiedLevels"], json!(["REPRO_REBUILT_MANIFEST"]));
        assert_eq!(passed["predicate"]["timeVerified"], "1970-01-01T00:00:00Z");
        assert_eq!(
            (&failed["predicate"]["verificationResult"], &failed["predicate"]["verifiedLevels"]),
            (&json!("FAILED"), &json!([]))
        );
    }
}
