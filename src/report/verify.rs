//! What `repro verify` found: text for people, JSON, and Markdown for the summary of a step.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use super::ci::{Case, End, Told, causes};
use super::diff::write_diff;
use super::github::plain;
use crate::diff::Comparison;
use crate::diff::model::Finding;
use crate::digest::Digest;
use crate::image::escape::escape;
use crate::verify::{ComparedIndex, ComparedPlatform, IndexVerdict, Level, Missing, PlatformVerdict, Reason, Verdict};

/// The name and version of the JSON form. See `docs/schema/verify.v1.json`.
const SCHEMA: &str = "repro.verify.v1";

/// What `repro verify` prints.
#[derive(Debug, Serialize)]
pub struct VerifyReport {
    schema: &'static str,
    /// What came out.
    pub verdict: Verdict,
    /// Why it could not be told.
    pub reason: Option<Reason>,
    /// The level that is equal: of the platform that is least so.
    pub level: Option<Level>,
    /// What was asked for.
    pub subject: SubjectReport,
    /// Where the source is.
    pub source: Option<SourceReport>,
    /// What was built from it.
    pub rebuilt: Option<RebuiltReport>,
    /// What decided the build, each with where it came from.
    pub settings: Vec<SettingReport>,
    /// The platforms that are published.
    pub platforms: Vec<ComparedPlatform>,
    /// The index that is published.
    pub index: Option<ComparedIndex>,
    /// What has to be known and is not.
    pub missing: Vec<Missing>,
    /// What nobody said: a difference may come of it.
    pub assumptions: Vec<Missing>,
    /// What else has to be known to read this.
    pub notes: Vec<String>,
    /// What went wrong.
    pub error: Option<ErrorReport>,
    /// What differs, and why, where something does and can be read.
    pub comparison: Option<Comparison>,
}

/// The subject.
#[derive(Debug, Serialize)]
pub struct SubjectReport {
    /// As it was given.
    pub given: String,
    /// Its digest, which everything is about: that of the registry, or of an archive's image.
    pub digest: Option<Digest>,
    /// The tag, where it was asked for by one.
    pub tag: Option<TagReport>,
}

/// A tag, asked twice.
#[derive(Debug, Serialize)]
pub struct TagReport {
    /// Its name.
    pub name: String,
    /// What it named at the end of the run; nothing where the registry did not say.
    pub at_end: Option<Digest>,
    /// Whether that is something else than at the beginning.
    pub moved: Option<bool>,
}

/// Where the source is.
#[derive(Debug, Clone, Serialize)]
pub struct SourceReport {
    /// The directory or the address.
    pub place: String,
    /// The commit, where it is in a repository.
    pub commit: Option<String>,
    /// The context's directory in the repository.
    pub directory: Option<String>,
    /// Whether files are others than in the commit.
    pub dirty: Option<bool>,
    /// What of the image says so, where nobody else does.
    pub from_image: Option<&'static str>,
}

/// What was built.
#[derive(Debug, Serialize)]
pub struct RebuiltReport {
    /// The digest that a registry would show.
    pub digest: Digest,
    /// Where BuildKit ran.
    pub runtime: &'static str,
    /// Its version, as far as that is known.
    pub buildkit: Option<String>,
    /// Whether it is proved that this was the pin.
    pub pin: crate::build::PinProof,
    /// Whether nothing was there that an earlier build had left.
    pub cold: bool,
    /// The archive, where it stays.
    pub archive: Option<String>,
    /// The images, archives and repositories that it was built from.
    pub materials: Vec<MaterialReport>,
}

/// An image, archive or repository that a build read.
#[derive(Debug, Serialize)]
pub struct MaterialReport {
    /// What it is called, as a package URL or address.
    pub uri: String,
    /// Its digest by algorithm.
    pub digest: BTreeMap<String, String>,
}

/// A setting.
#[derive(Debug, Serialize)]
pub struct SettingReport {
    /// The flag, without its dashes.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

/// What went wrong.
#[derive(Debug, Serialize)]
pub struct ErrorReport {
    /// What and why.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The platforms as cases, or the subject where none was compared.
#[must_use]
pub fn cases(report: &VerifyReport) -> Vec<Case> {
    let mut why = match (&report.error, &report.comparison) {
        (Some(error), _) => error.message.clone(),
        (None, Some(comparison)) => causes(comparison),
        (None, None) => {
            [report.headline()].into_iter().chain(report.notes.iter().cloned()).collect::<Vec<_>>().join("\n")
        }
    };
    for missing in report.missing.iter().chain(&report.assumptions) {
        why.extend(["\n", &missing.what, ": ", &missing.why]);
    }
    let of = |verdict| match verdict {
        Verdict::Equal => End::Passed,
        Verdict::Different => End::Failed(why.clone()),
        Verdict::Unknown | Verdict::Corrupt => End::Unknown(why.clone()),
    };
    if report.platforms.is_empty() {
        return vec![Case { name: report.subject.given.clone(), end: of(report.verdict) }];
    }
    let case = |one: &ComparedPlatform| {
        let end = match one.verdict {
            _ if !one.asked => End::Skipped,
            PlatformVerdict::Equal => End::Passed,
            // Under an assumption nothing is proved.
            PlatformVerdict::Different => of(report.verdict),
            PlatformVerdict::Emulated => of(Verdict::Unknown),
            // Why another one differs is no reason.
            PlatformVerdict::NotRebuilt => End::Unknown(platform_line(one)),
        };
        Case { name: format!("{} for {}", report.subject.given, one.platform), end }
    };
    report.platforms.iter().map(case).collect()
}

/// What came out where no cause tells it: no list of findings is empty but that of an equal image.
#[must_use]
pub fn told(report: &VerifyReport) -> Option<Told> {
    let is_explained = report.comparison.as_ref().is_some_and(|comparison| !comparison.verdict.is_equal());
    let (id, is_proved) = match report.verdict {
        Verdict::Equal => return None,
        Verdict::Different if is_explained => return None,
        Verdict::Different => ("verify/different", true),
        Verdict::Unknown => ("verify/unknown", false),
        Verdict::Corrupt => ("verify/corrupt", true),
    };
    let missing = report.missing.iter().map(|one| format!("{}: {}; give {}", one.what, one.why, one.fix));
    let assumed = report.assumptions.iter().map(|one| format!("assumed: {}", assumption(one, report.verdict)));
    let differ = report.platforms.iter().filter(|one| one.asked && one.verdict != PlatformVerdict::Equal);
    let error = report.error.iter().map(|error| error.message.replace('\n', ", "));
    let lines =
        [report.headline()].into_iter().chain(error).chain(differ.map(platform_line)).chain(missing).chain(assumed);
    let text = lines.chain(report.notes.iter().cloned()).collect::<Vec<_>>().join(". ");
    Some(Told { id, is_proved, text: text + "." })
}

impl VerifyReport {
    /// A report about a subject of which nothing is known yet.
    #[must_use]
    pub const fn new(given: String) -> Self {
        Self {
            schema: SCHEMA,
            verdict: Verdict::Unknown,
            reason: None,
            level: None,
            subject: SubjectReport { given, digest: None, tag: None },
            source: None,
            rebuilt: None,
            settings: Vec::new(),
            platforms: Vec::new(),
            index: None,
            missing: Vec::new(),
            assumptions: Vec::new(),
            notes: Vec::new(),
            error: None,
            comparison: None,
        }
    }

    /// The digest that the verdict is about, for whoever goes on with it: what is published, where all of it was asked for and, if
    /// it is equal, proved; else the manifest, where it is about one; else none, because no digest says which half was looked at.
    #[must_use]
    pub fn covered(&self) -> Option<&Digest> {
        let is_proved = |index: &ComparedIndex| {
            self.verdict != Verdict::Equal
                || matches!(index.verdict, IndexVerdict::Equal | IndexVerdict::AttestationsOnly)
        };
        if self.platforms.iter().all(|one| one.asked) && self.index.as_ref().is_none_or(is_proved) {
            return self.subject.digest.as_ref();
        }
        let mut asked = self.platforms.iter().filter(|one| one.asked);
        let only = asked.next().filter(|_| asked.next().is_none())?;
        only.published.manifest.as_ref()
    }

    /// The verdict in one line.
    #[must_use]
    pub fn headline(&self) -> String {
        let subject = escape(&self.subject.given);
        match (self.verdict, self.reason) {
            (Verdict::Equal, _) => format!("Equal: {subject} is what its source gives ({})", self.extent()),
            (Verdict::Different, _) => {
                let level = self.level.map_or("", |level| match level {
                    Level::Layers => "; the contents of all layers are equal",
                    Level::Config => "; config and contents are equal, and the manifest is not",
                    Level::Manifest | Level::Image => "",
                });
                format!("Different: {subject} is not what its source gives here{level}")
            }
            (Verdict::Corrupt, _) => format!("Corrupt: {subject} is broken"),
            (Verdict::Unknown, reason) => {
                let why = match reason {
                    Some(Reason::Emulated) => {
                        "it differs, and RUN was emulated, or on a machine that nobody knows: that may be why"
                    }
                    Some(Reason::Assumed) => "it differs, and nobody said all words of its build: that may be why",
                    Some(Reason::NotRebuilt) => "not all that it holds was built again",
                    Some(Reason::Missing) => "it does not say enough to be built again",
                    Some(Reason::Subject) => "it could not be read",
                    Some(Reason::Source) => "its source could not be had",
                    Some(Reason::Settings) => "what it says of its build cannot be asked for",
                    Some(Reason::Build) => "the build failed or did not happen",
                    Some(Reason::Comparison) | None => "it could not be compared",
                };
                format!("Could not tell: {subject}: {why}")
            }
        }
    }

    /// What an equal verdict covers.
    fn extent(&self) -> String {
        let index = self.index.as_ref().map(|index| index.verdict);
        let others = self.platforms.iter().filter(|one| !one.asked).count();
        let rest = if others > 0 { format!("; {others} other platforms were not asked for") } else { String::new() };
        let level = match (self.level, index) {
            (Some(Level::Image) | None, _) => "image equal".to_owned(),
            (Some(level), Some(IndexVerdict::AttestationsOnly)) => {
                format!("{} equal; index differs by attestations only", level.name())
            }
            (Some(level), Some(IndexVerdict::Different)) => {
                format!("{} equal; index differs, by no image", level.name())
            }
            (Some(level), _) => format!("{} equal", level.name()),
        };
        format!("{level}{rest}")
    }
}

/// Writes the report for people.
pub fn write_verify(out: &mut impl io::Write, report: &VerifyReport) -> io::Result<()> {
    writeln!(out, "{}\n", report.headline())?;
    for (name, value) in facts(report) {
        writeln!(out, "{name:10} {value}")?;
    }
    if !report.settings.is_empty() {
        writeln!(out, "\nBuilt with")?;
        for setting in &report.settings {
            writeln!(out, "  {} = {} ({})", escape(&setting.name), escape(&setting.value), setting.origin)?;
        }
    }
    if !report.missing.is_empty() {
        writeln!(out, "\nMissing")?;
        for missing in &report.missing {
            writeln!(out, "  {}: {}; give {}", escape(&missing.what), escape(&missing.why), escape(&missing.fix))?;
        }
    }
    if !report.assumptions.is_empty() {
        writeln!(out, "\nAssumed, because nobody says it")?;
        for assumed in &report.assumptions {
            writeln!(out, "  {}", escape(&assumption(assumed, report.verdict)))?;
        }
    }
    if !report.notes.is_empty() {
        writeln!(out)?;
        for note in &report.notes {
            writeln!(out, "note: {}", escape(note))?;
        }
    }
    match &report.comparison {
        Some(comparison) => {
            writeln!(out)?;
            write_diff(out, comparison)
        }
        None => Ok(()),
    }
}

/// What was assumed; what to give matters to nobody where all is equal.
fn assumption(assumed: &Missing, verdict: Verdict) -> String {
    let fix = if verdict == Verdict::Equal { String::new() } else { format!("; give {}", assumed.fix) };
    format!("{}: {}{fix}", assumed.what, assumed.why)
}

/// The report as Markdown, to be put behind what a summary holds already.
#[must_use]
pub fn render_markdown(report: &VerifyReport) -> String {
    let icon = match report.verdict {
        Verdict::Equal => "✅",
        Verdict::Different | Verdict::Corrupt => "❌",
        Verdict::Unknown => "⚠️",
    };
    let mut text = format!("### {icon} {}\n\n| | |\n|---|---|\n", plain(&report.headline()));
    for (name, value) in facts(report) {
        text += &["| ", &plain(&name), " | ", &plain(&value), " |\n"].concat();
    }
    if !report.settings.is_empty() {
        text.push_str("\n<details><summary>Built with</summary>\n\n| what | value | from |\n|---|---|---|\n");
        for setting in &report.settings {
            let row = [&setting.name, &setting.value, &setting.origin].map(|cell| plain(cell));
            text += &["| ", &row.join(" | "), " |\n"].concat();
        }
        text.push_str("\n</details>\n");
    }
    let missing = report.missing.iter().map(|one| format!("{}: {}; give {}", one.what, one.why, one.fix));
    let found = report.comparison.iter().flat_map(|comparison| &comparison.findings);
    let causes = found.map(cause);
    let error = report.error.iter().map(|error| error.message.clone());
    let assumed = report.assumptions.iter().map(|one| format!("assumed: {}", assumption(one, report.verdict)));
    let lines: Vec<String> =
        error.chain(missing).chain(assumed).chain(causes).chain(report.notes.iter().cloned()).collect();
    if !lines.is_empty() {
        text.push('\n');
    }
    for line in lines {
        text += &["- ", &plain(&line), "\n"].concat();
    }
    text.push('\n');
    text
}

/// A cause, where it is, and what to do about it.
fn cause(finding: &Finding) -> String {
    let line = finding.instructions.iter().find_map(|one| Some(format!("{}:{}", one.file.as_ref()?, one.first_line?)));
    let place = line.map(|line| format!(" ({line})")).unwrap_or_default();
    let fix = finding.fix.as_ref().map(|fix| format!(" Fix: {fix}")).unwrap_or_default();
    format!("cause: {}{place}: {}{fix}", finding.id, finding.explanation)
}

/// One line a fact: its name and what is to be said of it.
fn facts(report: &VerifyReport) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    if let Some(digest) = &report.subject.digest {
        let tag = report.subject.tag.as_ref().map_or_else(String::new, |tag| {
            let now = match (tag.moved, &tag.at_end) {
                (Some(true), Some(digest)) => format!(", which names {digest} by now"),
                (Some(false), _) => String::new(),
                _ => ", which could not be asked again".to_owned(),
            };
            format!(" (tag `{}`{now})", tag.name)
        });
        add("published", format!("{digest}{tag}"));
    }
    if let Some(rebuilt) = &report.rebuilt {
        let version = rebuilt.buildkit.as_deref().unwrap_or("of an unknown version");
        let proof = match rebuilt.pin {
            crate::build::PinProof::Proved => "",
            crate::build::PinProof::Unproved => ", pin: unproved",
        };
        let cold = if rebuilt.cold { "cold" } else { "with what the builder had kept" };
        add("rebuilt", format!("{} ({}, BuildKit {version}{proof}, {cold})", rebuilt.digest, rebuilt.runtime));
        if let Some(archive) = &rebuilt.archive {
            add("archive", escape(archive).into_owned());
        }
    }
    if let Some(source) = &report.source {
        let commit = source.commit.as_ref().map(|commit| format!(" at {commit}")).unwrap_or_default();
        let below = source.directory.as_ref().filter(|directory| !directory.is_empty());
        let below = below.map(|directory| format!(", directory `{}`", escape(directory))).unwrap_or_default();
        let dirty = if source.dirty == Some(true) { ", with changes that are not committed" } else { "" };
        let from = source.from_image.map(|whence| format!(" ({whence})")).unwrap_or_default();
        add("source", format!("{}{commit}{below}{dirty}{from}", escape(&source.place)));
    }
    for one in &report.platforms {
        add("platform", platform_line(one));
    }
    if let Some(index) = &report.index {
        add("index", index_line(index));
    }
    facts
}

fn platform_line(one: &ComparedPlatform) -> String {
    let level = one.level.map(Level::name);
    let what = match (one.verdict, level) {
        (PlatformVerdict::Equal, level) => format!("equal ({})", level.unwrap_or("manifest")),
        (PlatformVerdict::Different, None) => "different".to_owned(),
        (PlatformVerdict::Different, Some(level)) => format!("different; equal are its {level}"),
        (PlatformVerdict::Emulated, _) => "differs, and RUN was emulated: could not tell".to_owned(),
        (PlatformVerdict::NotRebuilt, _) if one.asked => "not rebuilt".to_owned(),
        (PlatformVerdict::NotRebuilt, _) => "not asked for".to_owned(),
    };
    let digests = match (&one.published, &one.rebuilt) {
        (published, Some(rebuilt)) if one.verdict != PlatformVerdict::Equal => {
            let shown =
                |digest: &Option<Digest>| digest.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
            format!(", {} published, {} rebuilt", shown(&published.manifest), shown(&rebuilt.manifest))
        }
        _ => String::new(),
    };
    format!("{}: {what}{digests}", one.platform)
}

fn index_line(index: &ComparedIndex) -> String {
    let attestations = match index.attestations {
        0 => String::new(),
        1 => ", with 1 attestation".to_owned(),
        count => format!(", with {count} attestations"),
    };
    let what = match index.verdict {
        IndexVerdict::Equal => "equal".to_owned(),
        IndexVerdict::AttestationsOnly => "differs by attestations only".to_owned(),
        IndexVerdict::Different => format!("differs: {}", index.differences.join(", ")),
        IndexVerdict::NotCompared => format!("not compared: {}", index.differences.join(", ")),
    };
    format!("{what}{attestations}")
}

#[cfg(test)]
mod tests;
