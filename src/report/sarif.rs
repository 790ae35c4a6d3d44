//! Findings as SARIF 2.1.0, so that a code host shows them on the lines of a Dockerfile.
//!
//! Source: the OASIS standard "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".

use std::collections::BTreeMap;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::ci::Told;
use crate::diff::Comparison;
use crate::diff::model::{Confidence, Finding, Instruction};
use crate::moving::{Moving, Severity};

/// What stands for itself in a path of a URI (RFC 3986, `pchar` and `/`).
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// What is told about differences that nothing explains.
const UNEXPLAINED: &str = "unexplained";

/// A log of what was found. `dockerfile` is where inputs that move are, and what has no line of its own.
#[must_use]
pub fn sarif(
    comparison: Option<&Comparison>,
    moving: &[Moving],
    told: Option<&Told>,
    dockerfile: Option<&str>,
) -> Value {
    let mut log = Log { rules: BTreeMap::new(), results: Vec::new(), dockerfile };
    if let Some(told) = told {
        log.told(told);
    }
    if let Some(comparison) = comparison.filter(|comparison| !comparison.verdict.is_equal()) {
        for finding in &comparison.findings {
            log.finding(finding);
        }
        log.rest(comparison);
    }
    for input in moving {
        log.input(input);
    }
    log.finish()
}

struct Log<'a> {
    rules: BTreeMap<String, String>,
    results: Vec<Value>,
    dockerfile: Option<&'a str>,
}

impl Log<'_> {
    fn finding(&mut self, finding: &Finding) {
        let level = match finding.confidence {
            _ if finding.is_consequence => "note",
            Confidence::High | Confidence::Medium => "error",
            Confidence::Low => "warning",
        };
        let mut message = finding.explanation.clone();
        if let Some(fix) = &finding.fix {
            let _ = write!(message, " Fix: {fix}");
        }
        let places: Vec<String> = finding.places.iter().map(ToString::to_string).collect();
        if !places.is_empty() {
            let _ = write!(message, " It shows in: {}.", places.join(", "));
        }
        let title = format!("A build that is not reproducible: {}", finding.id.replace('-', " "));
        let mut locations: Vec<Value> = finding.instructions.iter().filter_map(at_instruction).collect();
        if locations.is_empty() {
            locations.extend(self.dockerfile.map(|file| location(file, None)));
        }
        self.push(finding.id, title, level, &message, &locations);
    }

    /// What differs and has no cause that is known: a log without it would look like a build that is as it should be.
    fn rest(&mut self, comparison: &Comparison) {
        let summary = &comparison.summary;
        let left = summary.differences.saturating_sub(summary.explained);
        if left == 0 && !comparison.findings.is_empty() {
            return;
        }
        let message =
            format!("{left} of {} differences between the two images have no known cause.", summary.differences);
        let locations: Vec<Value> = self.dockerfile.map(|file| location(file, None)).into_iter().collect();
        let title = "A build that is not reproducible, and nobody knows why".to_owned();
        self.push(UNEXPLAINED, title, "error", &message, &locations);
    }

    fn told(&mut self, told: &Told) {
        // Code hosts refuse a result without a place.
        let place = location(self.dockerfile.unwrap_or("Dockerfile"), None);
        let title = "An image that is not proved to be what its source gives".to_owned();
        self.push(told.id, title, if told.is_proved { "error" } else { "warning" }, &told.text, &[place]);
    }

    fn input(&mut self, input: &Moving) {
        let level = match input.severity {
            Severity::Moves => "warning",
            Severity::MayMove => "note",
        };
        let message = format!("{}: {}. Fix: {}", input.what, input.why, input.fix);
        let lines = Some((input.first_line, input.last_line));
        let locations: Vec<Value> = self.dockerfile.map(|file| location(file, lines)).into_iter().collect();
        let title = format!("An input that may be another one tomorrow: {}", input.id.replace('-', " "));
        // Some are called like the cause that they will be one day.
        self.push(&format!("moving/{}", input.id), title, level, &message, &locations);
    }

    fn push(&mut self, rule: &str, title: String, level: &str, message: &str, locations: &[Value]) {
        self.rules.entry(rule.to_owned()).or_insert(title);
        self.results.push(json!({
            "ruleId": rule,
            "level": level,
            "message": { "text": plain(message) },
            "locations": locations,
        }));
    }

    fn finish(self) -> Value {
        let rules: Vec<Value> = self
            .rules
            .iter()
            .map(|(id, title)| json!({ "id": id, "shortDescription": { "text": plain(title) } }))
            .collect();
        json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": { "name": "repro", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
                "columnKind": "unicodeCodePoints",
                "results": self.results,
            }],
        })
    }
}

fn at_instruction(instruction: &Instruction) -> Option<Value> {
    let file = instruction.file.as_ref()?.to_string();
    let first = instruction.first_line?;
    Some(location(&file, Some((first, instruction.last_line.unwrap_or(first)))))
}

fn location(file: &str, lines: Option<(usize, usize)>) -> Value {
    let region =
        lines.map_or_else(|| json!({ "startLine": 1 }), |(first, last)| json!({ "startLine": first, "endLine": last }));
    let uri = utf8_percent_encode(file, IN_PATH).to_string();
    let uri = if file.starts_with('/') { format!("file://{uri}") } else { uri };
    json!({ "physicalLocation": { "artifactLocation": { "uri": uri }, "region": region } })
}

/// Text of a message, in which braces would be placeholders and brackets would be links (§3.11).
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '{' => out.push_str("{{"),
            '}' => out.push_str("}}"),
            '[' | ']' | '\\' => out.extend(['\\', character]),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_says_is_neither_a_link_nor_a_placeholder() {
        assert_eq!(plain("find {} [a](b) \\"), "find {{}} \\[a\\](b) \\\\");
    }

    #[test]
    fn a_path_becomes_a_uri() {
        let uri = |file: &str| location(file, None)["physicalLocation"]["artifactLocation"]["uri"].clone();
        assert_eq!(uri("a b/Dockerfile#ü"), "a%20b/Dockerfile%23%C3%BC");
        // A name with a colon in front of any slash would be a scheme.
        assert_eq!(uri("a:b"), "a%3Ab");
        assert_eq!(uri("/x/Dockerfile"), "file:///x/Dockerfile");
    }

    #[test]
    fn an_input_that_moves_is_on_its_line() {
        let input = Moving {
            first_line: 3,
            last_line: 4,
            id: "apt-packages",
            severity: Severity::Moves,
            what: "curl".to_owned(),
            why: "the newest is taken",
            fix: "curl=1".to_owned(),
        };
        let log = sarif(None, &[input], None, Some("Dockerfile"));
        let result = &log["runs"][0]["results"][0];
        assert_eq!(result["ruleId"], "moving/apt-packages");
        assert_eq!(result["level"], "warning");
        let region = &result["locations"][0]["physicalLocation"]["region"];
        assert_eq!((&region["startLine"], &region["endLine"]), (&3.into(), &4.into()));
        assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][0]["id"], "moving/apt-packages");
    }
}
