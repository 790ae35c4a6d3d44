//! What is to be told of a rebuild, and of what went wrong with it.

use std::path::Path;

use super::published::Published;
use super::{Stopped, at};
use crate::build::BuildOutcome;
use crate::cli::diff::load;
use crate::cli::subject::Opened;
use crate::digest::{Algorithm, Digest};
use crate::failure::{ExitStatus, Failure};
use crate::image::{Image, KnownLayers, Platform};
use crate::plan::{Annotation, NamedContext};
use crate::report::verify::{MaterialReport, RebuiltReport, SettingReport, VerifyReport};
use crate::settings::{BuildSettings, BuildWords, Given, Origin, RouteWords};
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
        Published::Digest(digest) => judge_digest(digest, &rebuilt, settings, report),
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

/// Whoever verifies a digest alone said all words of the build: with these, it differs.
fn judge_digest(digest: &Digest, rebuilt: &Image, settings: &BuildSettings, report: &mut VerifyReport) {
    let found = verify::find(rebuilt, digest);
    let mut platforms = rebuilt.manifests.iter().map(|manifest| &manifest.config.platform);
    let is_emulated = platforms.any(|platform| verify::is_emulated(settings, platform));
    (report.verdict, report.reason) = match found {
        Some(_) => (Verdict::Equal, None),
        None if is_emulated => (Verdict::Unknown, Some(Reason::Emulated)),
        // No build names anything by another algorithm.
        None if digest.algorithm() != Algorithm::Sha256 => (Verdict::Unknown, Some(Reason::Comparison)),
        None => (Verdict::Different, None),
    };
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
    let is_proved = |verdict| matches!(verdict, IndexVerdict::Equal | IndexVerdict::AttestationsOnly);
    let is_whole = report.platforms.iter().all(|one| one.asked)
        && report.index.as_ref().is_none_or(|index| is_proved(index.verdict));
    if let Some(digest) = report.subject.digest.clone().filter(|_| is_whole) {
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
    let materials = built.materials.iter();
    let materials = materials.map(|one| MaterialReport { uri: one.uri.clone(), digest: one.digest.clone() });
    report.rebuilt = Some(RebuiltReport {
        digest: built.image_digest.clone(),
        runtime: built.built_with.runtime,
        buildkit: built.built_with.version.map(|version| version.to_string()),
        pin: built.built_with.pin,
        cold: settings.no_cache.value,
        archive,
        materials: materials.collect(),
    });
    report.notes.extend(built.warnings.iter().cloned());
    // A frontend in an image is of a version of its own.
    let version = built.built_with.version.filter(|_| settings.frontend.frontend.image.is_none());
    let moved = verify::moved(&recipe.materials, &built.materials, version);
    report.notes.extend(moved.iter().map(|one| format!("{}: {}", one.what, one.why)));
    report.assumptions.extend(moved);
}

/// A difference under an assumption is none that anything proves.
pub fn doubt(report: &mut VerifyReport) {
    if report.verdict == Verdict::Different && !report.assumptions.is_empty() {
        (report.verdict, report.reason) = (Verdict::Unknown, Some(Reason::Assumed));
    }
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

/// What decided the build: what nobody gave is not told, but for the three that everything hangs on. `flags` tell which values
/// came out of the environment and may be secret; directories below `root`, where the source begins, are told from there.
pub fn told(settings: &BuildSettings, flags: &BuildWords, root: &Path) -> Vec<SettingReport> {
    let pin = settings.pin.value.as_ref().map_or_else(|| "built in".to_owned(), |pin| pin.source.to_string());
    let platforms: Vec<String> = settings.platforms.value.iter().map(ToString::to_string).collect();
    let runtime = settings.runtime.value.map_or_else(String::new, |runtime| runtime.name().to_owned());
    let always = [
        ("source-date-epoch", settings.epoch.value.to_string(), settings.epoch.origin),
        ("platform", platforms.join(","), settings.platforms.origin),
        ("buildkit-image", pin, settings.pin.origin),
    ];
    let others = [
        ("runtime", runtime, settings.runtime.origin),
        ("rootless", settings.rootless.value.to_string(), settings.rootless.origin),
        ("archive", settings.archive.value.exporter().to_owned(), settings.archive.origin),
    ];
    let others = others.into_iter().filter(|(.., origin)| *origin != Origin::Default);
    let mut told: Vec<SettingReport> = always
        .into_iter()
        .chain(others)
        .map(|(name, value, origin)| SettingReport { name: name.to_owned(), value, origin: origin.to_string() })
        .collect();
    for (at, given) in settings.given.iter().enumerate() {
        // Of what several say by one name, the last counts.
        let is_overruled = |later: &Given| later.name == given.name && later.value == given.value;
        if settings.given[at + 1..].iter().any(is_overruled) {
            continue;
        }
        let origin = given.origin.to_string();
        let values = whole(settings, flags, given, root).into_iter();
        told.extend(values.map(|value| SettingReport { name: given.name.clone(), value, origin: origin.clone() }));
    }
    told
}

/// The value of what was given, where only its name is written down.
fn whole(settings: &BuildSettings, flags: &BuildWords, given: &Given, root: &Path) -> Vec<String> {
    let name = &given.value;
    let with = |text: &String| vec![format!("{name}={text}")];
    match given.name.as_str() {
        "build-arg" if flags.build_arg.contains(name) => vec![format!("{name} (from the environment)")],
        // The frontend was taken out of them.
        "build-arg" => settings.build_args.get(name).map_or_else(|| vec![name.clone()], with),
        "build-context" => {
            let context = settings.build_contexts.get(name);
            context.map(|context| with(&shown_context(context, root))).unwrap_or_default()
        }
        "label" => settings.labels.get(name).map(with).unwrap_or_default(),
        "annotation" => settings.annotations.iter().map(shown_annotation).collect(),
        _ => vec![name.clone()],
    }
}

fn shown_context(context: &NamedContext, root: &Path) -> String {
    let below = |path: &Path| match path.strip_prefix(root) {
        Ok(below) if below.as_os_str().is_empty() => ".".into(),
        Ok(below) => below.to_owned(),
        Err(_) => path.to_owned(),
    };
    match context.clone() {
        NamedContext::Directory(path) => NamedContext::Directory(below(&path)).to_string(),
        NamedContext::Layout { directory, digest } => {
            NamedContext::Layout { directory: below(&directory), digest }.to_string()
        }
        image @ NamedContext::Image(_) => image.to_string(),
    }
}

fn shown_annotation(annotation: &Annotation) -> String {
    let platform = annotation.platform.as_ref().map(|platform| format!("[{platform}]")).unwrap_or_default();
    format!("{}{platform}:{}={}", annotation.target.name(), annotation.key, annotation.value)
}

/// Where RUN is emulated, a failure may be the emulator's. Of several platforms BuildKit names the one that failed.
pub fn explain(failure: Failure, settings: &BuildSettings) -> Failure {
    let platforms = &settings.platforms.value;
    let foreign = platforms.iter().map(ToString::to_string).find(|platform| {
        let parsed: Option<Platform> = platform.parse().ok();
        let said = failure.hint.iter().any(|hint| hint.contains(platform)) || failure.message.contains(platform);
        (platforms.len() == 1 || said) && parsed.is_some_and(|platform| verify::is_emulated(settings, &platform))
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
