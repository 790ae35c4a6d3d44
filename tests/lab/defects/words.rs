//! What flags and variables mean, and what is said of wrong ones: defects 1 to 4, 6, 7, 9, 24 and 25.

use std::path::{Path, PathBuf};

use super::subject::{Subject, Verdict, ensure};
use crate::harness::Way;

/// The official images of BuildKit that releases of either program have pinned, plain and rootless.
const PLAIN: [&str; 2] = [
    "sha256:14aa1b4dd92ea0a4cd03a54d0c6079046ea98cd0c0ae6176bdd7036ba370cbbe",
    "sha256:a095b3d11ce1a9a05b6064ef515dfca0291ec5bcf2ea8178da8f6461924294e1",
];
const ROOTLESS: [&str; 2] = [
    "sha256:e901cffdad753892a7c3afb8b9972549fca02c73888cf340c91ed801fdd96d71",
    "sha256:e335bfb48eec12110318aced51f75161f01e765dd13e6041c0f4600b7c93507f",
];

fn plain_context(subject: &Subject) -> PathBuf {
    subject.context("context", &[("f", "x"), ("Dockerfile", "FROM scratch\nCOPY f /f\n")])
}

/// Defect 1. Docker Hub cannot be reached from the laboratory: the dry run tells what would be pulled.
pub fn the_pin_has_a_default(subject: &Subject) -> Verdict {
    let context = plain_context(subject);
    for (way, more, expected) in [
        (Way::Docker, ["--sde=0", "--dry"].as_slice(), PLAIN),
        (Way::Podman, &["--sde=0", "--dry"], PLAIN),
        (Way::Podman, &["--sde=0", "--dry", "--rootless"], ROOTLESS),
    ] {
        let said = subject.build(way, &context).without("--buildkit-image").with(more).run().said()?;
        let named = expected.iter().any(|digest| said.contains(digest));
        ensure!(named, "{} {more:?}: none of {expected:?} is in the commands", way.name());
    }
    Ok(())
}

/// Defect 2.
pub fn the_variable_of_the_pin_counts(subject: &Subject) -> Verdict {
    let context = plain_context(subject);
    let [flag, variable] = PLAIN.map(|digest| format!("moby/buildkit@{digest}"));
    let flag = flag.replace('@', ":v0.19.0@");
    let variable = variable.replace('@', ":v0.31.0@");
    let call = |variable: &str| {
        let call = subject.build(Way::Docker, &context).without("--buildkit-image").with(&["--sde=0", "--dry"]);
        call.variable("REPRO_BUILDKIT_IMAGE", variable)
    };
    let said = call(&variable).run().said()?;
    ensure!(said.contains(PLAIN[1]), "the commands do not have the image of the variable");
    let said = call(&variable).with(&["--buildkit-image", &flag]).run().said()?;
    ensure!(said.contains(PLAIN[0]) && !said.contains(PLAIN[1]), "the variable wins over the flag");
    Ok(())
}

fn ensure_created(subject: &Subject, context: &Path, variable: (&str, &str), words: &[&str], created: &str) -> Verdict {
    let call = subject.build(Way::Docker, context).variable(variable.0, variable.1).with(words);
    let image = call.run().image().map_err(|why| format!("{}={} {words:?}: {why}", variable.0, variable.1))?;
    ensure!(
        image.created() == created,
        "{}={} {words:?}: the image is of {}, not of {created}",
        variable.0,
        variable.1,
        image.created()
    );
    Ok(())
}

/// Defect 3: epoch and date are one setting, so that a flag of either kind wins over a variable of either.
pub fn a_flag_wins_over_the_variables_of_the_epoch(subject: &Subject) -> Verdict {
    let context = plain_context(subject);
    let date = "--datetime=1970-01-01T00:00:09Z";
    for (variable, word) in [
        (("REPRO_SOURCE_DATE_EPOCH", "5"), "--sde=9"),
        (("REPRO_SOURCE_DATE_EPOCH", "5"), date),
        (("REPRO_DATETIME", "1970-01-01T00:00:05Z"), "--sde=9"),
    ] {
        ensure_created(subject, &context, variable, &[word], "1970-01-01T00:00:09Z")?;
    }
    Ok(())
}

/// Defect 4.
pub fn the_variable_of_the_runtime_counts(subject: &Subject) -> Verdict {
    let context = plain_context(subject);
    let call = subject.build(Way::Podman, &context).without("--runtime").with(&["--sde=0", "--dry"]);
    let said = call.variable("REPRO_RUNTIME", "podman").run().said()?;
    ensure!(said.contains("podman run") && !said.contains("buildx"), "REPRO_RUNTIME=podman builds with docker");
    Ok(())
}

/// Defect 6.
pub fn switches_of_the_environment_are_words(subject: &Subject) -> Verdict {
    let context = plain_context(subject);
    let run = |name: &str, value: &str| {
        subject.build(Way::Docker, &context).with(&["--sde=0", "--dry"]).variable(name, value).run()
    };
    for (name, value) in
        [("REPRO_ROOTLESS", "no"), ("REPRO_CACHE", "true"), ("REPRO_CACHE", "false"), ("REPRO_CACHE", "")]
    {
        run(name, value).said().map_err(|why| format!("{name}={value}: {why}"))?;
    }
    let wrong = run("REPRO_CACHE", "perhaps");
    let traceback = wrong.text().contains("Traceback");
    let status = wrong.result.status;
    ensure!(status.code() == Some(2) && !traceback, "REPRO_CACHE=perhaps: {status}, traceback: {traceback}");
    Ok(())
}

/// Defect 7.
pub fn the_epoch_is_checked_and_the_standard_variable_read(subject: &Subject) -> Verdict {
    let context = plain_context(subject);
    for epoch in ["--sde=-5", "--sde=253402300800"] {
        let ran = subject.build(Way::Docker, &context).with(&[epoch]).run();
        ensure!(!ran.succeeded() && !ran.archive_exists(), "{epoch} is built");
    }
    ensure_created(subject, &context, ("SOURCE_DATE_EPOCH", "7"), &[], "1970-01-01T00:00:07Z")
}

/// Defect 9: refused, or what `--sde` says is what is built.
pub fn a_build_argument_is_not_another_epoch(subject: &Subject) -> Verdict {
    let context = plain_context(subject);
    let call = subject.build(Way::Docker, &context).with(&["--sde=5", "--build-arg=SOURCE_DATE_EPOCH=99"]);
    let ran = call.run();
    if ran.succeeded() {
        let image = ran.image()?;
        ensure!(image.created() == "1970-01-01T00:00:05Z", "--sde=5 and an image of {}", image.created());
    }
    Ok(())
}

/// Defect 24.
pub fn build_arguments_are_not_told(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), ("Dockerfile", "FROM scratch\nARG TOKEN\nCOPY f /f\n")]);
    let said = subject.build(Way::Docker, &context).with(&["--sde=0", "--build-arg=TOKEN=swordfish"]).run().said()?;
    let line = said.lines().find(|line| line.contains("swordfish"));
    ensure!(line.is_none(), "it says `{}`", line.unwrap_or_default().trim());
    Ok(())
}

/// Defect 25.
pub fn wrong_usage_is_a_sentence(subject: &Subject) -> Verdict {
    let context = plain_context(subject);
    for words in [vec![], vec!["build"], vec!["build", "--sde=0", "--datetime=2026-01-01", context.to_str().unwrap()]] {
        let output = subject.command(Way::Docker).args(&words).output().unwrap();
        let traceback = String::from_utf8_lossy(&output.stderr).contains("Traceback");
        ensure!(output.status.code() == Some(2) && !traceback, "{words:?}: {}, traceback: {traceback}", output.status);
    }
    let output = subject.command(Way::Docker).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&output.stdout);
    ensure!(version.contains(&subject.version()), "--version: {}, `{}`", output.status, version.trim());
    Ok(())
}
