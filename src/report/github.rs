//! What GitHub's runner reads: workflow commands, the file of outputs, and Markdown for the summary of a step.
//!
//! A runner acts on what it reads, and much of that was written by strangers: everything is escaped for the place where it
//! stands. Source: "Workflow commands for GitHub Actions", and actions/runner, `ActionCommand.cs`.

use std::fmt::{self, Write as _};

use crate::build::{BuildOutcome, bytes};
use crate::diff::Comparison;
use crate::diff::model::{Confidence, Finding};
use crate::digest::Digest;
use crate::image::escape::escape;

/// How many annotations a step gets. GitHub shows ten of a kind.
const ANNOTATIONS: usize = 10;

/// From here on the runner takes nothing for a command until it reads `token` between colons.
#[must_use]
pub fn stop_commands(token: &str) -> String {
    format!("::stop-commands::{token}\n")
}

/// The end of that.
#[must_use]
pub fn resume_commands(token: &str) -> String {
    format!("::{token}::\n")
}

/// An error that is shown with the run.
#[must_use]
pub fn error_command(title: &str, message: &str) -> String {
    format!("::error title={}::{}\n", property(title), data(message))
}

/// The same for what is no reason to stop.
#[must_use]
pub fn warning_command(title: &str, message: &str) -> String {
    format!("::warning title={}::{}\n", property(title), data(message))
}

/// The causes of a difference, each on its line of the Dockerfile; the most important first.
#[must_use]
pub fn annotations(comparison: &Comparison) -> String {
    let causes = comparison.findings.iter().filter(|finding| !finding.is_consequence);
    causes.take(ANNOTATIONS).map(annotation).collect()
}

fn annotation(finding: &Finding) -> String {
    let command = if finding.confidence == Confidence::Low { "warning" } else { "error" };
    let mut message = finding.explanation.clone();
    if let Some(fix) = &finding.fix {
        let _ = write!(message, "\nFix: {fix}");
    }
    let mut properties = String::new();
    let place = finding.instructions.iter().find_map(|one| Some((one.file.as_ref()?, one.first_line?, one.last_line)));
    if let Some((file, first, last)) = place {
        let _ = write!(properties, "file={},line={first},", property(&file.to_string()));
        if let Some(last) = last {
            let _ = write!(properties, "endLine={last},");
        }
    }
    format!("::{command} {properties}title={}::{}\n", property(finding.id), data(&message))
}

/// An output of a step for the file that `GITHUB_OUTPUT` names. `delimiter` is new each time, thus no value can end early and
/// go on as another output.
#[must_use]
pub fn output(name: &str, value: &str, delimiter: &str) -> String {
    format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
}

/// What stands behind `::` of a command.
fn data(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| escape(line).replace('%', "%25")).collect();
    lines.join("%0A")
}

/// The value of a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Where an image went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedTo {
    /// The name with the tag and the digest.
    pub reference: String,
    /// What the name stood for before.
    pub previous: Option<Digest>,
}

/// What was attached to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedTo {
    /// The platform of the image.
    pub platform: String,
    /// The name of what was attached, with its digest.
    pub reference: String,
}

/// A cache mount of a build whose contents the job keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheMount {
    /// Where RUN has it.
    pub target: String,
    /// Where its contents are.
    pub directory: String,
    /// Whether it had those when the build began.
    pub filled: bool,
    /// How much was taken out after the build, in bytes.
    pub taken: Option<u64>,
}

impl fmt::Display for CacheMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filled = if self.filled { "filled from" } else { "not filled from" };
        write!(f, "{}: {filled} {}", self.target, self.directory)?;
        match self.taken {
            Some(size) => write!(f, ", taken out again ({})", bytes(size)),
            None => f.write_str(", not taken out"),
        }
    }
}

/// What was built, for the summary of the step.
#[must_use]
pub fn build_markdown(
    built: &BuildOutcome,
    pushed: &[PushedTo],
    sboms: &[AttachedTo],
    (mounts, warnings): (&[CacheMount], &[String]),
) -> String {
    let mut text = format!("### 📦 {}\n\n| | |\n|---|---|\n", built.image_digest);
    let mut row = |name: &str, value: &str| text += &["| ", &plain(name), " | ", &plain(value), " |\n"].concat();
    for manifest in &built.manifests {
        let digests = format!("manifest {}, config {}", manifest.digest, manifest.config_digest);
        row(&manifest.platform, &digests);
    }
    row("epoch", &built.epoch.to_string());
    let pin = built.built_with.image.clone().or_else(|| built.built_with.version.as_ref().map(ToString::to_string));
    row("built with", &format!("{}, {}", pin.unwrap_or_default(), built.built_with.runtime));
    for one in pushed {
        let before = match &one.previous {
            None => ", which is new".to_owned(),
            Some(previous) if *previous == built.image_digest => ", where it was already".to_owned(),
            Some(previous) => format!(", instead of {previous}"),
        };
        row("pushed to", &[&one.reference, &before].map(String::as_str).concat());
    }
    for one in sboms {
        row(&["SBOM of ", one.platform.as_str()].concat(), &one.reference);
    }
    for one in mounts {
        row("cache mount", &one.to_string());
    }
    // What a build may have taken out of a mount is in no other record of it.
    let differs =
        "A build with cache mounts that were filled can differ from a cold one; verify builds cold, and finds that.";
    let differs = mounts.iter().any(|one| one.filled).then_some(differs);
    let lines: Vec<&str> =
        differs.into_iter().chain(warnings.iter().chain(&built.warnings).map(String::as_str)).collect();
    if !lines.is_empty() {
        text.push('\n');
    }
    for line in lines {
        text += &["- ", &plain(line), "\n"].concat();
    }
    text.push('\n');
    text
}

/// What went wrong, for the summary of the step.
#[must_use]
pub fn failure_markdown(message: &str, hint: Option<&str>) -> String {
    let hint = hint.map(|hint| format!("{}\n\n", plain(hint))).unwrap_or_default();
    format!("### ❌ {}\n\n{hint}", plain(message))
}

/// A text that Markdown and HTML leave alone.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    for character in escape(&text.replace('\n', " ")).chars() {
        match character {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '#' | '!' | '\\' | '~' | '@' | '$' => {
                plain += &["&#", &u32::from(character).to_string(), ";"].concat();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_a_command_or_another_property() {
        assert_eq!(
            error_command("a:b,c=d", "50%\n::set-output name=x::y\r\u{202e}"),
            "::error title=a%3Ab%2Cc=d::50%25%0A::set-output name=x::y\\u{d}\\u{202e}\n"
        );
    }

    #[test]
    fn an_output_holds_its_value_whatever_that_is() {
        assert_eq!(output("digest", "a\nEOF\nb=c", "X1"), "digest<<X1\na\nEOF\nb=c\nX1\n");
    }

    #[test]
    fn markdown_leaves_a_text_alone() {
        assert_eq!(plain("a\n| b <img> `c`"), "a &#124; b &lt;img&gt; &#96;c&#96;");
    }
}
