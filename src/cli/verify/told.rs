//! What is to be told of a rebuild, and of what went wrong with it.

use std::path::Path;

use super::published::Published;
use super::{Stopped, at};
use crate::build::BuildOutcome;
use crate::cli::diff::load;
use crate::cli::subject::Opened;
use crate::diff::Source;
use crate::digest::Digest;
use crate::failure::{ExitStatus, Failure};
use crate::image::{Image, KnownLayers, Platform};
use crate::plan::Annotation;
use crate::report::verify::{RebuiltReport, SettingReport, VerifyReport};
use crate::settings::{BuildSettings, Origin, RouteWords};
use crate::verify::{self, IndexVerdict, PlatformVerdict, Reason, Recipe, Verdict};

/// Holds the rebuilt image against the published one.
pub fn judge(
    published: &Published<'_>,
    built: &BuildOutcome,
    settings: &BuildSettings,
    wanted: &[Platform],
    report: &mut VerifyReport,
) -> Result<(), Stopped> {
    let route = RouteWords::default();
    let archive = built.archive.clone().unwrap_or_default();
    let rebuilt = Opened::open(archive.as_os_str(), &route, None).map_err(at(Reason::Comparison))?;
    let known = KnownLayers::default();
    let rebuilt = load(&rebuilt, archive.as_os_str(), &known).map_err(at(Reason::Comparison))?;
    if rebuilt.digest() != Some(&built.image_digest) {
        let message = format!("`{}` is not what was built: somebody wrote to it", archive.display());
        let hint = Some("let nobody else write there".to_owned());
        return Err((Reason::Comparison, Failure { status: ExitStatus::Unknown, message, hint }));
    }
    match published {
        Published::Digest(digest) => judge_digest(digest, &rebuilt, report),
        Published::Image { image, .. } => {
            let emulated = |platform: &Platform| verify::is_emulated(settings, platform);
            let compared = verify::compare(image, &rebuilt, wanted, emulated);
            (report.verdict, report.reason, report.level) = verify::judge(&compared, image);
            report.platforms = compared.platforms;
            report.index = compared.index;
        }
    }
    Ok(())
}

fn judge_digest(digest: &Digest, rebuilt: &Image, report: &mut VerifyReport) {
    let found = verify::find(rebuilt, digest);
    report.verdict = if found.is_some() { Verdict::Equal } else { Verdict::Different };
    report.level = found.as_ref().map(|(level, _)| *level);
    match found {
        Some((level, Some(platform))) => {
            report.notes.push(format!("the digest is that of the {} for {platform}", level.name()));
        }
        Some((level, None)) => report.notes.push(format!("the digest is that of the {}", level.name())),
        None => report.notes.push(
            "nothing is known of what has this digest: it can be an index with attestations, which no build gives again, or an \
             image that was built with other words; the image itself, from its registry or an archive, tells more"
                .to_owned(),
        ),
    }
}

/// What a summary is about: each manifest that was compared, and the index where all of it was.
pub fn verified(report: &VerifyReport, passed: bool) -> Vec<(String, Digest)> {
    let name = &report.subject.given;
    let mut subjects: Vec<(String, Digest)> = Vec::new();
    let is_whole = report.platforms.iter().all(|one| one.asked)
        && report.index.as_ref().is_none_or(|index| index.verdict != IndexVerdict::NotCompared);
    if let Some(digest) = report.subject.digest.clone().filter(|_| is_whole || !passed) {
        subjects.push((name.clone(), digest));
    }
    let compared = report.platforms.iter().filter(|one| one.asked && (one.verdict == PlatformVerdict::Equal) == passed);
    for one in compared {
        let digest = one.published.manifest.clone().or_else(|| one.published.config.clone());
        subjects.extend(digest.map(|digest| (format!("{name} ({})", one.platform), digest)));
    }
    subjects.dedup_by(|a, b| a.1 == b.1);
    subjects
}

pub fn note_build(built: &BuildOutcome, settings: &BuildSettings, recipe: &Recipe, report: &mut VerifyReport) {
    let stays = matches!(settings.output.origin, Origin::Flag(_));
    let archive = built.archive.as_ref().filter(|_| stays).map(|path| path.display().to_string());
    report.rebuilt = Some(RebuiltReport {
        digest: built.image_digest.clone(),
        runtime: built.built_with.runtime,
        buildkit: built.built_with.version.map(|version| version.to_string()),
        pin: built.built_with.pin,
        cold: settings.no_cache.value,
        archive,
    });
    report.notes.extend(built.warnings.iter().cloned());
    report.notes.extend(verify::moved(&recipe.materials, &built.materials));
}

/// Says where somebody overrules what the image says of its own epoch.
pub fn note_overruled(settings: &BuildSettings, recipe: &Recipe, report: &mut VerifyReport) {
    let said = recipe.words.words.source_date_epoch.as_deref();
    let used = settings.epoch.value.to_string();
    if let (Some(said), false) = (said, matches!(settings.epoch.origin, Origin::Image(_)))
        && said != used
    {
        let whence = recipe.words.whence.get("--source-date-epoch").copied().unwrap_or_default();
        let origin = settings.epoch.origin;
        report.notes.push(format!("the epoch is {used} ({origin}), and {said} by {whence}"));
    }
}

/// What decided the build.
pub fn told(settings: &BuildSettings) -> Vec<SettingReport> {
    let pin = settings.pin.value.as_ref().map_or_else(|| "built in".to_owned(), |pin| pin.source.to_string());
    let platforms: Vec<String> = settings.platforms.value.iter().map(ToString::to_string).collect();
    let common = [
        ("source-date-epoch", settings.epoch.value.to_string(), settings.epoch.origin),
        ("platform", platforms.join(","), settings.platforms.origin),
        ("buildkit-image", pin, settings.pin.origin),
    ];
    let mut told: Vec<SettingReport> = common
        .into_iter()
        .map(|(name, value, origin)| SettingReport { name: name.to_owned(), value, origin: origin.to_string() })
        .collect();
    for (name, value, whence) in &settings.from_image {
        let origin = Origin::Image(whence).to_string();
        let whole = match name.as_str() {
            "build-arg" => settings.build_args.get(value).map(|text| vec![format!("{value}={text}")]),
            "label" => settings.labels.get(value).map(|text| vec![format!("{value}={text}")]),
            "annotation" => Some(settings.annotations.iter().map(shown_annotation).collect()),
            _ => Some(vec![value.clone()]),
        };
        let whole = whole.unwrap_or_default().into_iter();
        told.extend(whole.map(|value| SettingReport { name: name.clone(), value, origin: origin.clone() }));
    }
    told
}

fn shown_annotation(annotation: &Annotation) -> String {
    let platform = annotation.platform.as_ref().map(|platform| format!("[{platform}]")).unwrap_or_default();
    format!("{}{platform}:{}={}", annotation.target.name(), annotation.key, annotation.value)
}

/// The Dockerfile, by its name in the source, where it is one that can be read.
pub fn source_of(settings: &BuildSettings, root: &Path) -> Option<Source> {
    let shown = settings.dockerfile.strip_prefix(root).unwrap_or(&settings.dockerfile).display().to_string();
    let source = Source::parse(&shown, &settings.dockerfile_bytes, settings.target.as_deref()).ok()?;
    source.has_target().then_some(source)
}

/// Where RUN is emulated, a failure may be the emulator's.
pub fn explain(failure: Failure, settings: &BuildSettings) -> Failure {
    let foreign = settings.platforms.value.iter().find(|platform| {
        let platform: Option<Platform> = platform.to_string().parse().ok();
        platform.is_some_and(|platform| verify::is_emulated(settings, &platform))
    });
    match foreign.filter(|_| settings.remote.is_none()) {
        Some(platform) if failure.status == ExitStatus::BuildFailed => Failure {
            status: ExitStatus::Unknown,
            message: format!("{}; and {platform} is not this machine's platform", failure.message),
            hint: Some(
                "RUN of another platform needs an emulator (`repro doctor` looks for one), and may fail in it: verify on such a \
                 machine, or leave the platform out with `--platform`"
                    .to_owned(),
            ),
        },
        _ => failure,
    }
}
