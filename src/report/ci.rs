//! What CI servers other than GitHub read: JUnit's XML, GitLab's Code Quality, dotenv.
//!
//! Sources: Jenkins' `junit-10.xsd`; GitLab's documentation, "Code Quality report format" and "artifacts:reports:dotenv".

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::diff::Comparison;
use crate::diff::model::{Confidence, EqualLevel, Finding};
use crate::image::escape::escape;
use crate::moving::{Moving, Severity};

/// A test case of JUnit's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What was tried.
    pub name: String,
    /// How it ended.
    pub end: End,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As it should.
    Passed,
    /// It differs; why.
    Failed(String),
    /// Nobody knows; why.
    Unknown(String),
    /// It was not asked for.
    Skipped,
}

/// What came out, told in one sentence, for lists of findings that have no finding for it: an empty list would look like what is
/// as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// A name for it.
    pub id: &'static str,
    /// Whether it is proved that something is wrong.
    pub is_proved: bool,
    /// What came out, and why.
    pub text: String,
}

/// The cases as JUnit's XML.
#[must_use]
pub fn junit(suite: &str, cases: &[Case]) -> String {
    let count = |is: fn(&End) -> bool| cases.iter().filter(|case| is(&case.end)).count();
    let (failures, errors, skipped) = (
        count(|end| matches!(end, End::Failed(_))),
        count(|end| matches!(end, End::Unknown(_))),
        count(|end| matches!(end, End::Skipped)),
    );
    let counts = format!("tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\"", cases.len());
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"repro\" {counts}>\n  \
         <testsuite name=\"{}\" {counts} skipped=\"{skipped}\">\n",
        xml(suite)
    );
    for case in cases {
        let _ = write!(out, "    <testcase classname=\"{}\" name=\"{}\"", xml(suite), xml(&case.name));
        let (element, why) = match &case.end {
            End::Passed => {
                out.push_str("/>\n");
                continue;
            }
            End::Skipped => {
                out.push_str("><skipped/></testcase>\n");
                continue;
            }
            End::Failed(why) => ("failure", why),
            End::Unknown(why) => ("error", why),
        };
        let first = why.split('\n').next().unwrap_or_default();
        let _ = writeln!(out, "><{element} message=\"{}\">{}</{element}></testcase>", xml(first), xml(why));
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// A text that XML takes for text, in an element and in an attribute. XML has no way to write most control characters.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            // In an attribute, a newline itself would be read as a blank.
            out.push_str("&#10;");
        }
        for character in escape(line).chars() {
            match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&apos;"),
                '\u{fffe}' | '\u{ffff}' => {
                    let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
                }
                other => out.push(other),
            }
        }
    }
    out
}

/// Why two images differ, a paragraph a cause.
#[must_use]
pub fn causes(comparison: &Comparison) -> String {
    let mut out = String::new();
    for finding in comparison.findings.iter().filter(|finding| !finding.is_consequence) {
        let _ = write!(out, "{}: {}", finding.id, finding.explanation);
        if let Some((file, lines)) = line_of(finding) {
            let _ = write!(out, " ({file}:{})", lines.0);
        }
        if let Some(fix) = &finding.fix {
            let _ = write!(out, "\n  fix: {fix}");
        }
        out.push('\n');
    }
    let left = comparison.summary.differences.saturating_sub(comparison.summary.explained);
    if left > 0 || out.is_empty() {
        let _ = writeln!(out, "{left} of {} differences have no known cause", comparison.summary.differences);
    }
    out
}

/// How one comparison of two images ended.
#[must_use]
pub fn compared(comparison: &Comparison) -> End {
    if comparison.verdict.is_equal() { End::Passed } else { End::Failed(causes(comparison)) }
}

/// The name of a level, as JSON has it.
#[must_use]
pub const fn level_name(level: EqualLevel) -> &'static str {
    match level {
        EqualLevel::Image => "image",
        EqualLevel::Manifest => "manifest",
        EqualLevel::Config => "config",
        EqualLevel::Layers => "layers",
        EqualLevel::None => "none",
    }
}

fn line_of(finding: &Finding) -> Option<(String, (usize, usize))> {
    finding.instructions.iter().find_map(|one| {
        let first = one.first_line?;
        Some((one.file.as_ref()?.to_string(), (first, one.last_line.unwrap_or(first))))
    })
}

/// What was found as GitLab's Code Quality report. What has no line of its own is at the top of `dockerfile`.
#[must_use]
pub fn code_quality(
    comparison: Option<&Comparison>,
    moving: &[Moving],
    told: Option<&Told>,
    dockerfile: Option<&str>,
) -> Value {
    let dockerfile = dockerfile.unwrap_or("Dockerfile");
    let mut issues = Vec::new();
    if let Some(told) = told {
        issues.push(issue(told.id, &told.text, if told.is_proved { "major" } else { "minor" }, dockerfile, (1, 1)));
    }
    if let Some(comparison) = comparison.filter(|comparison| !comparison.verdict.is_equal()) {
        for finding in &comparison.findings {
            let severity = match finding.confidence {
                _ if finding.is_consequence => "info",
                Confidence::High | Confidence::Medium => "major",
                Confidence::Low => "minor",
            };
            let fix = finding.fix.as_ref().map(|fix| format!(" Fix: {fix}")).unwrap_or_default();
            let (file, lines) = line_of(finding).unwrap_or_else(|| (dockerfile.to_owned(), (1, 1)));
            issues.push(issue(finding.id, &format!("{}{fix}", finding.explanation), severity, &file, lines));
        }
        let left = comparison.summary.differences.saturating_sub(comparison.summary.explained);
        if left > 0 || comparison.findings.is_empty() {
            let text = format!("{left} of {} differences have no known cause.", comparison.summary.differences);
            issues.push(issue("unexplained", &text, "major", dockerfile, (1, 1)));
        }
    }
    for input in moving {
        let severity = if input.severity == Severity::Moves { "minor" } else { "info" };
        let text = format!("{}: {}. Fix: {}", input.what, input.why, input.fix);
        let lines = (input.first_line, input.last_line);
        issues.push(issue(&format!("moving/{}", input.id), &text, severity, dockerfile, lines));
    }
    Value::Array(issues)
}

fn issue(check: &str, description: &str, severity: &str, path: &str, (begin, end): (usize, usize)) -> Value {
    let mut hash = Sha256::new();
    for part in [check, path, &begin.to_string(), description] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    json!({
        "check_name": check,
        "description": escape(description),
        "severity": severity,
        // GitLab finds the same issue again by this.
        "fingerprint": hex::encode(hash.finalize()),
        "location": { "path": path.trim_start_matches("./"), "lines": { "begin": begin, "end": end } },
    })
}

/// Variables for the jobs that follow, a line each. What whoever reads them would have to unquote is left out of the values, which
/// are words and digests.
#[must_use]
pub fn dotenv(variables: &[(&str, Option<String>)]) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "._-:/@+".contains(*c);
    let line = |(name, value): &(&str, Option<String>)| {
        let value: String = value.iter().flat_map(|value| value.chars()).filter(is_plain).collect();
        format!("{name}={value}\n")
    };
    variables.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let hostile = "a\"b'<c>&amp;]]>\u{0}\u{1b}[31m\u{202e}\u{fffe}\u{ffff}\nsecond";
        let expected = "a&quot;b&apos;&lt;c&gt;&amp;amp;]]&gt;\\u{0}\\u{1b}[31m\\u{202e}\\u{fffe}\\u{ffff}&#10;second";
        assert_eq!(xml(hostile), expected);
        let report = junit("s", &[Case { name: hostile.to_owned(), end: End::Failed(hostile.to_owned()) }]);
        assert_eq!(report.matches(expected).count(), 2, "{report}");
        assert!(report.contains("tests=\"1\" failures=\"1\" errors=\"0\""), "{report}");
    }

    #[test]
    fn a_variable_is_one_line() {
        let value = Some("sha256:00\nPATH=/x \"$(id)\"".to_owned());
        assert_eq!(dotenv(&[("A", value), ("B", None)]), "A=sha256:00PATH/xid\nB=\n");
    }

    #[test]
    fn an_issue_is_found_again_and_no_other_is_taken_for_it() {
        let of = |check: &str, text: &str, line| issue(check, text, "minor", "./Dockerfile", (line, line));
        let one = of("a", "b", 1);
        assert_eq!(one, of("a", "b", 1));
        for other in [of("ab", "", 1), of("a", "c", 1), of("a", "b", 2)] {
            assert_ne!(one["fingerprint"], other["fingerprint"]);
        }
        assert_eq!(one["location"]["path"], "Dockerfile");
    }
}
