//! `repro verify`: is what is published what its source gives?

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help, where brackets mean that a part may be left out"
)]

mod guard;
mod published;
mod recipe;
mod source;
mod told;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use self::published::Published;
use self::recipe::read_recipe;
use self::source::Found;
use self::told::{doubt, explain, judge, note_build, note_overruled, told, verified};
use super::config::ConfigWords;
use super::diff::{compare_loaded, dockerfile_of, load};
use super::files::{ComparisonFiles, ReportDirectory, append, not_written};
use super::format::ComparisonFormat;
use super::subject::Opened;
use super::{print_with, with_tokio};
use crate::build::{self, BuildError};
use crate::diff::{Options, Source};
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure};
use crate::image::{Image, KnownLayers, Platform};
use crate::kept::place::WorkPlace;
use crate::limits;
use crate::report::ci::{code_quality, junit};
use crate::report::json::write_json;
use crate::report::sarif::sarif;
use crate::report::verify::{ErrorReport, VerifyReport, cases, render_markdown, told as told_alone, write_verify};
use crate::settings::{BuildSettings, BuildWords, RecipeText, RouteWords, SettingsError};
use crate::verify::{
    self, ComparedPlatform, Conditions, GitSource, Level, Missing, PlatformVerdict, Reason, Recipe, Summary,
    SummarySource, Verdict, VerifyError, render_summary,
};

/// The arguments of `repro verify`.
#[derive(Debug, Args)]
#[command(mut_arg("context", |context| context.required(false).default_value("").hide_default_value(true).help(
    "Its source: a directory, or a git repository as ADDRESS[#REF[:DIRECTORY]] [default: what the image says]"
)))]
pub struct VerifyCommand {
    /// What is published: REGISTRY/NAME[:TAG][@DIGEST], an archive, a directory, `-` for standard input, or a digest alone
    #[arg(value_name = "SUBJECT")]
    subject: OsString,

    /// Check this branch, tag or commit of the source out, whatever its directory holds now
    #[arg(long = "ref", value_name = "REF", help_heading = "How it is verified")]
    reference: Option<String>,

    /// Settings of whoever published it, in the form of repro.toml and instead of the one beside the Dockerfile; not trusted
    #[arg(long, value_name = "FILE|URL", conflicts_with_all = ["config", "no_config"], help_heading = "How it is verified")]
    recipe: Option<OsString>,

    /// Use what the builder has kept of earlier builds; without this the build is cold
    #[arg(long, conflicts_with = "no_cache", help_heading = "How it is verified")]
    cache: bool,

    /// Let the build use your credentials for registries; without this it asks anonymously
    #[arg(long, help_heading = "How it is verified")]
    credentials: bool,

    /// Believe a BuildKit that somebody else runs (`--runtime remote`), which proves nothing
    #[arg(long, help_heading = "How it is verified")]
    accept_unproved_pin: bool,

    /// What to print
    #[arg(long, value_enum, default_value_t, help_heading = "How it is said")]
    format: ComparisonFormat,

    /// Append what came out to FILE as Markdown, as for GITHUB_STEP_SUMMARY
    #[arg(long, value_name = "FILE", help_heading = "How it is said")]
    summary: Option<PathBuf>,

    /// Write the verdict as an in-toto verification summary (SLSA VSA), unsigned
    #[arg(long, value_name = "FILE", help_heading = "How it is said")]
    attestation: Option<PathBuf>,

    /// Who verifies, in that summary: the URI that stands for you
    #[arg(
        long,
        value_name = "URI",
        requires = "attestation",
        default_value = concat!("pkg:cargo/repro@", env!("CARGO_PKG_VERSION")),
        help_heading = "How it is said"
    )]
    verifier: String,

    #[command(flatten)]
    files: ComparisonFiles,

    #[command(flatten)]
    words: BuildWords,

    #[command(flatten)]
    settings: ConfigWords,
}

/// A failure, and what could not be done.
type Stopped = (Reason, Failure);

/// Says what could not be done when something fails.
fn at<E: Into<Failure>>(reason: Reason) -> impl FnOnce(E) -> Stopped {
    move |error| (reason, error.into())
}

impl VerifyCommand {
    /// Builds again, compares, and prints what came out.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        let (report, failure) = self.report()?;
        self.print(&report, failure)
    }

    /// Builds again and compares: what came out, and why it is no verdict where it is none.
    pub(super) fn report(&self) -> Result<(VerifyReport, Option<Failure>), Failure> {
        self.guard_context()?;
        let directory = self.files.directory()?;
        let mut report = VerifyReport::new(self.subject.to_string_lossy().into_owned());
        let failure = match self.verify(&mut report, directory) {
            Ok(()) => None,
            Err((_, failure)) if !is_verdict(failure.status) => return Err(failure),
            Err((reason, mut failure)) => {
                let is_corrupt = failure.status == ExitStatus::Corrupt && reason == Reason::Subject;
                if failure.status == ExitStatus::Corrupt && !is_corrupt {
                    // What is broken is not what is published.
                    failure.status = ExitStatus::Unknown;
                }
                report.verdict = if is_corrupt { Verdict::Corrupt } else { Verdict::Unknown };
                report.reason = (!is_corrupt).then_some(reason);
                report.error = Some(ErrorReport { message: failure.message.clone(), hint: failure.hint.clone() });
                Some(failure)
            }
        };
        Ok((report, failure))
    }

    /// Prints what came out, and says how the process ends.
    pub(super) fn print(&self, report: &VerifyReport, failure: Option<Failure>) -> Result<ExitStatus, Failure> {
        let dockerfile = self.words.file.as_deref().map(|path| path.display().to_string());
        let told = told_alone(report);
        print_with(|out| match self.format {
            // What went wrong is told on stderr.
            ComparisonFormat::Text if failure.is_some() => Ok(()),
            ComparisonFormat::Text => write_verify(out, report),
            ComparisonFormat::Json => write_json(report, out).map_err(io::Error::from),
            ComparisonFormat::Sarif => {
                let log = sarif(report.comparison.as_ref(), &[], told.as_ref(), dockerfile.as_deref());
                write_json(&log, out).map_err(io::Error::from)
            }
            ComparisonFormat::Junit => out.write_all(junit("repro verify", &cases(report)).as_bytes()),
            ComparisonFormat::Codequality => {
                let issues = code_quality(report.comparison.as_ref(), &[], told.as_ref(), dockerfile.as_deref());
                write_json(&issues, out).map_err(io::Error::from)
            }
        })?;
        let level = report.level.map(Level::name);
        self.files.write_dotenv(report.verdict.name(), report.covered(), level)?;
        let appended = self.summary.as_deref().map_or(Ok(()), |path| append(path, &render_markdown(report)));
        match appended {
            Err(unwritten) if failure.is_some() || report.verdict == Verdict::Different => {
                tracing::warn!("{}", unwritten.message);
            }
            other => other?,
        }
        match (failure, report.verdict) {
            (Some(failure), _) => Err(failure),
            (None, Verdict::Equal) => Ok(ExitStatus::Success),
            (None, Verdict::Different) => Ok(ExitStatus::Different),
            (None, Verdict::Unknown | Verdict::Corrupt) => Ok(ExitStatus::Unknown),
        }
    }

    fn verify(&self, report: &mut VerifyReport, directory: Option<ReportDirectory>) -> Result<(), Stopped> {
        let route = self.words.network.to_route();
        let wanted = self.platforms().map_err(at(Reason::Settings))?;
        let published_recipe = self.recipe.as_deref().map(|word| read_recipe(word, &route)).transpose();
        let published_recipe = published_recipe.map_err(at(Reason::Settings))?;
        let published = Published::open(&self.subject, &route, report).map_err(at(Reason::Subject))?;
        let was_there = Instant::now();
        published.check_platforms(&wanted).map_err(at(Reason::Subject))?;
        let recipe = published.recipe(&wanted, report).map_err(at(Reason::Subject))?;
        let environment = Environment::of_this_process();
        let place = WorkPlace::make(&environment).map_err(|error| (Reason::Source, no_place(&error)))?;
        let site =
            Site { place: place.path(), route: &route, environment: &environment, recipe: published_recipe.as_ref() };
        let (settings, root) = self.settle(&recipe, site, report)?;
        // What was published this very second reads another time than its rebuild, too.
        let apart = limits::CLOCK_APART.saturating_sub(was_there.elapsed());
        let built = with_tokio(async |environment, interrupt| {
            interrupt.sleep(apart).await.map_err(BuildError::Interrupted)?;
            Ok(build::run(&settings, environment, interrupt).await?)
        })
        .map_err(|failure| (Reason::Build, self.anonymous(explain(failure, &settings))))?;
        note_build(&built, &settings, &recipe, report);
        judge(&published, &built, &settings, &wanted, report)?;
        doubt(report);
        let rebuilt = built.archive.unwrap_or_default();
        let must_explain = report.platforms.iter().any(is_to_explain);
        if let (Published::Image { opened, image }, true) = (&published, must_explain) {
            let source = dockerfile_of(&settings, &root);
            let explained = self.explain_difference((opened, image), &rebuilt, source, report, directory);
            keep_verdict(explained, "why it differs could not be told or written", report)?;
        }
        published.ask_again(report);
        match self.attest(report) {
            Err(failure) if report.verdict == Verdict::Equal => Err((Reason::Comparison, failure)),
            other => keep_verdict(other, "there is no statement", report),
        }
    }

    fn platforms(&self) -> Result<Vec<Platform>, Failure> {
        let words = self.words.platform.as_deref().unwrap_or_default();
        let parsed = words.split(',').filter(|word| !word.is_empty()).map(|word| word.trim().parse::<Platform>());
        parsed.collect::<Result<_, _>>().map_err(|error| {
            Failure::usage(error.to_string(), "write them as `linux/amd64,linux/arm64`, in the words of Go")
        })
    }

    /// Finds the source, and resolves the settings of its build; says what is missing for that. Gives where the source begins.
    fn settle(
        &self,
        recipe: &Recipe,
        site: Site<'_>,
        report: &mut VerifyReport,
    ) -> Result<(BuildSettings, PathBuf), Stopped> {
        let found = self.find_source(recipe, site, report)?;
        let Some(found) = found else {
            let why = recipe.no_source.clone().unwrap_or_default();
            report.missing.push(Missing::new("source", why, "a directory or a git repository as CONTEXT"));
            let said = |name: &str| site.environment.get(name).is_some_and(|value| !value.is_empty());
            let by_variable = ["REPRO_SOURCE_DATE_EPOCH", "REPRO_DATETIME", "SOURCE_DATE_EPOCH"].into_iter().any(said);
            let by_flag = self.words.source_date_epoch.is_some() || self.words.datetime.is_some();
            if !by_variable && !by_flag && recipe.words.words.source_date_epoch.is_none() {
                report.missing.push(no_epoch());
            }
            return Err(missing(report));
        };
        let mut words = self.words.clone();
        found.keep_inside(&mut words).map_err(at(Reason::Source))?;
        words.context = found.context.clone().into_os_string();
        let mut of_image = recipe.words.clone();
        of_image.words.file.clone_from(&found.dockerfile);
        of_image.whence.insert("--file", "its provenance");
        let resolved = self.settings.resolve_for_image(&words, Some(&of_image), site.recipe, site.environment);
        let mut settings = match resolved.map_err(at(Reason::Settings))? {
            Ok(settings) => settings,
            Err(SettingsError::NoEpoch) => {
                report.missing.push(no_epoch());
                return Err(missing(report));
            }
            Err(error) => return Err((Reason::Settings, self.blame(error, words, &found, site))),
        };
        self.guard(settings.directories()).map_err(at(Reason::Settings))?;
        let unclear = verify::choose_arguments(&mut settings);
        report.missing = recipe.missing(&settings);
        if !report.missing.is_empty() {
            return Err(missing(report));
        }
        let conditions = Conditions {
            cache: self.cache,
            credentials: self.credentials,
            accept_unproved_pin: self.accept_unproved_pin,
        };
        verify::prepare(&mut settings, &self.words, conditions, &site.place.join("rebuilt.tar"))
            .map_err(at(Reason::Settings))?;
        report.settings = told(&settings, &self.words, &found.root);
        report.assumptions = verify::assumed(recipe, &settings, &unclear, self.recipe.is_some());
        note_overruled(&settings, recipe, report);
        report.notes.extend(verify::chosen_images(&settings));
        Ok((settings, found.root))
    }

    /// What is wrong with the words of whoever made the image or wrote its source is no wrong usage: without them the user's
    /// are right.
    fn blame(&self, error: SettingsError, words: BuildWords, found: &Found, site: Site<'_>) -> Failure {
        let mut words = words;
        words.file = words.file.or_else(|| found.dockerfile.clone());
        let is_line = error.is_of_dockerfile();
        let mut failure = Failure::from(error);
        let is_right = |words: &BuildWords| self.settings.resolve_own(words, site.recipe, site.environment);
        let without_epoch = matches!(is_right(&words), Err(SettingsError::NoEpoch));
        if without_epoch {
            words.source_date_epoch = Some("0".to_owned());
        }
        if is_line || is_right(&words).is_ok() {
            failure.status = ExitStatus::Unknown;
        }
        failure
    }

    /// A login that the build did not get is a reason to fail.
    fn anonymous(&self, mut failure: Failure) -> Failure {
        if failure.status == ExitStatus::BuildFailed && !self.credentials {
            let hint = failure.hint.take().map(|hint| format!("{hint}; ")).unwrap_or_default();
            let more = "registries were asked without your logins, which `--credentials` lets the build use";
            failure.hint = Some(format!("{hint}{more}"));
        }
        failure
    }

    /// Why it differs, as `repro diff` tells it: what is published first.
    fn explain_difference(
        &self,
        (opened, image): (&Opened<'_>, &Image),
        archive: &Path,
        source: Option<Source>,
        report: &mut VerifyReport,
        mut directory: Option<ReportDirectory>,
    ) -> Result<(), Failure> {
        let route = RouteWords::default();
        let rebuilt = Opened::open(archive.as_os_str(), &route, None)?;
        let mut known = KnownLayers::default();
        known.learn(image);
        let other = load(&rebuilt, archive.as_os_str(), &known)?;
        let mut differing = report.platforms.iter().filter(|one| is_to_explain(one));
        // Of one platform, only what stands for that is compared: neither indexes nor attestations.
        let only = differing.next().filter(|_| differing.next().is_none());
        let platform = only.and_then(|one| one.platform.parse().ok());
        let options = Options { platform, source, ..Options::default() };
        let names = (OsStr::new("published"), OsStr::new("rebuilt"));
        let sides = [(opened, names.0, image), (&rebuilt, names.1, &other)];
        report.comparison = compare_loaded(sides, options, directory.as_mut())?;
        report.comparison.as_ref().map_or(Ok(()), |comparison| self.files.write_page(comparison))
    }

    /// Writes the verdict for others to sign, where there is one.
    fn attest(&self, report: &mut VerifyReport) -> Result<(), Failure> {
        let Some(path) = &self.attestation else { return Ok(()) };
        let passed = match report.verdict {
            Verdict::Equal => true,
            Verdict::Different => false,
            Verdict::Unknown | Verdict::Corrupt => {
                report.notes.push(format!("`{}` is not written: there is no verdict", path.display()));
                return Ok(());
            }
        };
        let source = source_of_summary(report);
        if passed && !source.is_named() {
            let why = "no commit holds the files that were built: the statement says so in its level";
            report.notes.push(format!("`{}`: {why}", path.display()));
        }
        let words = report.settings.iter().map(|one| (one.name.clone(), one.value.clone(), one.origin.clone()));
        let summary = Summary {
            source,
            words: words.collect(),
            subjects: verified(report, passed),
            resource: report.subject.given.clone(),
            passed,
            level: report.level,
            verifier: self.verifier.clone(),
            time: chrono::Utc::now(),
        };
        fs::write(path, render_summary(&summary)).map_err(|error| not_written(path, &error))
    }
}

/// Where things go, and how the world is reached.
#[derive(Clone, Copy)]
struct Site<'a> {
    place: &'a Path,
    route: &'a RouteWords,
    environment: &'a Environment,
    /// What whoever published it says elsewhere.
    recipe: Option<&'a RecipeText>,
}

/// Whether a report can be made of it. Wrong usage is told before anything, and who stopped it knows.
const fn is_verdict(status: ExitStatus) -> bool {
    !matches!(status, ExitStatus::Usage | ExitStatus::Interrupted | ExitStatus::Terminated)
}

const fn is_to_explain(one: &ComparedPlatform) -> bool {
    matches!(one.verdict, PlatformVerdict::Different | PlatformVerdict::Emulated)
}

/// What comes after the verdict does not change it: what went wrong with that is a note.
fn keep_verdict(done: Result<(), Failure>, what: &str, report: &mut VerifyReport) -> Result<(), Stopped> {
    match done {
        Err(failure) if matches!(failure.status, ExitStatus::Interrupted | ExitStatus::Terminated) => {
            Err((Reason::Comparison, failure))
        }
        Err(failure) => {
            report.notes.push(format!("{what}: {}", failure.message));
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// The source for others: an address that is one for them, too, and no path of this machine.
fn source_of_summary(report: &VerifyReport) -> SummarySource {
    let Some(source) = &report.source else { return SummarySource::default() };
    let is_for_others = GitSource::is_address(&source.place) && !source.place.starts_with("file:");
    SummarySource {
        place: Some(source.place.clone()).filter(|_| is_for_others),
        commit: source.commit.clone(),
        directory: source.directory.clone(),
        dirty: source.dirty,
    }
}

fn no_epoch() -> Missing {
    let why = "no layer shows one, and the dates of the image are those of a clock";
    Missing::new("epoch", why, "--source-date-epoch, where it was built with one: without, no build gives it again")
}

fn missing(report: &VerifyReport) -> Stopped {
    (Reason::Missing, VerifyError::Missing(report.missing.clone()).into())
}

fn no_place(error: &io::Error) -> Failure {
    Failure {
        status: ExitStatus::Unknown,
        message: format!("there is no place for the source and the archive: {error}"),
        hint: Some("look at the permissions and the free space of XDG_STATE_HOME (`df`)".to_owned()),
    }
}
