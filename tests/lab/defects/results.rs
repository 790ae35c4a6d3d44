//! What comes out, and what earlier builds have to do with it: defects 13, 17 to 21 and 26.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::subject::{Subject, Verdict, document, ensure};
use crate::harness::{Way, lab};

const DOCKERFILE: (&str, &str) = ("Dockerfile", "FROM scratch\nCOPY f /f\n");

/// Defect 13.
pub fn the_archive_is_this_builds(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    let output = subject.directory("results").join("a/new/directory/image.tar");
    subject.build(Way::Podman, &context).output(&output).with(&["--sde=0"]).run().image()?;
    let fails = subject.context("fails", &[("Dockerfile", "FROM scratch\nCOPY missing /f\n")]);
    let output = subject.directory("results").join("image.tar");
    subject.build(Way::Docker, &context).output(&output).with(&["--sde=0"]).run().image()?;
    let ran = subject.build(Way::Docker, &fails).output(&output).with(&["--sde=0"]).run();
    ensure!(!ran.succeeded(), "a context with nothing to copy is built");
    ensure!(!output.exists(), "the archive of the build before is still there after one that failed");
    Ok(())
}

/// Defect 17: before anything runs is before BuildKit says its first step.
pub fn several_platforms_are_built_or_refused_at_once(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    let output = subject.directory("results").join("platforms.tar");
    for way in [Way::Docker, Way::Podman] {
        let call = subject.build(way, &context).output(&output);
        let ran = call.with(&["--sde=0", "--platform=linux/amd64,linux/arm64"]).run();
        if let Err(why) = ran.said() {
            let begun = ran.text().contains("load build definition");
            ensure!(!begun, "{}: it fails at the end of the build: {why}", way.name());
            continue;
        }
        let index = document(&output, "index.json")?;
        let digest = index["manifests"][0]["digest"].as_str().unwrap_or_default();
        let index = document(&output, &format!("blobs/{}", digest.replace(':', "/")))?;
        let manifests = index["manifests"].as_array().into_iter().flatten();
        let found: BTreeSet<&str> = manifests.filter_map(|each| each["platform"]["architecture"].as_str()).collect();
        ensure!(found == BTreeSet::from(["amd64", "arm64"]), "{}: the archive has {found:?}", way.name());
    }
    Ok(())
}

/// Defect 18: one project's `--no-cache` between two builds of another, whose cache mount has the same id.
pub fn no_cache_leaves_other_projects_alone(subject: &Subject) -> Verdict {
    let dockerfile = "ARG BASE\nFROM $BASE\nARG ROUND\nCOPY f /f\nRUN --mount=type=cache,id=defect-18,target=/cache \
                      echo $ROUND >> /cache/rounds; cp /cache/rounds /rounds\n";
    let [first, second] =
        ["first", "second"].map(|name| subject.context(name, &[("f", name), ("Dockerfile", dockerfile)]));
    let base = format!("--build-arg=BASE={}", lab("LAB_BASE_SMALL"));
    // In a shared builder another run of this case may have been there.
    let round = |number: u32| format!("{}-{number}", std::process::id());
    let rounds = |context: &Path, number: u32, more: &[&str]| -> Result<String, String> {
        let argument = format!("--build-arg=ROUND={}", round(number));
        let call = subject.build(Way::Docker, context).with(&["--sde=0", &base, &argument]);
        call.with(more).run().image()?.file("rounds").ok_or_else(|| "no /rounds in the image".to_owned())
    };
    rounds(&first, 1, &[])?;
    rounds(&second, 2, &["--no-cache"])?;
    let found = rounds(&first, 3, &[])?;
    let expected = [round(1), round(3)];
    let kept = expected.iter().all(|round| found.lines().any(|line| line == round));
    ensure!(kept, "the cache mount of the first project has {found:?}, and not {expected:?}");
    Ok(())
}

/// Defect 19 (moby/buildkit#4748).
pub fn another_epoch_is_not_served_from_the_cache(subject: &Subject) -> Verdict {
    let dockerfile = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"touch\", \"/made\"]\n";
    let context = subject.context_with_busybox("context", &[("Dockerfile", dockerfile)]);
    for way in [Way::Docker, Way::Podman] {
        let digest = |words: &[&str]| subject.build(way, &context).with(words).run().image().map(|image| image.digest);
        let other = digest(&["--sde=1"])?;
        let warm = digest(&["--sde=1000000000"])?;
        let cold = digest(&["--sde=1000000000", "--no-cache"])?;
        ensure!(warm == cold && warm != other, "{}: {warm} warm, {cold} cold", way.name());
    }
    Ok(())
}

/// The builders that the commands of a dry run name.
fn builders(said: &str) -> BTreeSet<&str> {
    let words: Vec<&str> = said.split_whitespace().map(|word| word.trim_matches('\'')).collect();
    let after = words.windows(2).filter(|pair| pair[0] == "--builder" || pair[0] == "--name").map(|pair| pair[1]);
    let joined = words.iter().filter_map(|word| word.strip_prefix("--builder=").or(word.strip_prefix("--name=")));
    after.chain(joined).collect()
}

/// Defect 20.
pub fn a_second_build_finds_its_builder(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    let build = || subject.build(Way::Docker, &context).with(&["--sde=0"]).run().said();
    build()?;
    let said = build()?;
    let line = said.lines().find(|line| line.to_ascii_lowercase().starts_with("error"));
    ensure!(line.is_none(), "the second build says `{}`", line.unwrap_or_default());
    let pin = "moby/buildkit:v0.19.0@sha256:14aa1b4dd92ea0a4cd03a54d0c6079046ea98cd0c0ae6176bdd7036ba370cbbe";
    let dry = |pin: &str| subject.build(Way::Docker, &context).pinned(pin).with(&["--sde=0", "--dry"]).run().said();
    let (short, long) = (dry(pin)?, dry(&format!("docker.io/{pin}"))?);
    ensure!(!builders(&short).is_empty(), "the commands name no builder");
    ensure!(builders(&short) == builders(&long), "two spellings of a pin have two builders");
    Ok(())
}

/// Defect 21: buildx writes labels into the image where this variable is set and the context is of git.
pub fn the_callers_environment_stays_outside(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-C"]).arg(&context).args(arguments);
        assert!(git.output().unwrap().status.success(), "{arguments:?}");
    };
    git(&["init", "--quiet"]);
    git(&["add", "Dockerfile", "f"]);
    git(&["commit", "--quiet", "--message=a"]);
    let call = || subject.build(Way::Docker, &context).with(&["--sde=0"]);
    let plain = call().run().image()?;
    let labelled = call().variable("BUILDX_GIT_LABELS", "full").run().image()?;
    ensure!(plain.digest == labelled.digest, "{} without the variable, {} with it", plain.digest, labelled.digest);
    Ok(())
}

/// Defect 26.
pub fn a_dry_run_is_a_script(subject: &Subject) -> Verdict {
    let context = subject.context("context", &[("f", "x"), DOCKERFILE]);
    let output = subject.directory("results").join("script.tar");
    let call = || subject.build(Way::Docker, &context).output(&output).with(&["--sde=0"]);
    let expected = call().run().image()?;
    fs::remove_file(&output).unwrap();
    let dry = call().with(&["--dry"]).run();
    dry.said()?;
    ensure!(!output.exists(), "a dry run builds");
    ensure!(!dry.result.stdout.is_empty(), "nothing is on stdout");
    let script = subject.directory("results").join("script.sh");
    fs::write(&script, &dry.result.stdout).unwrap();
    let ran = Command::new("sh").arg(&script).output().unwrap();
    ensure!(ran.status.success(), "the script ends with {}", ran.status);
    let index = document(&output, "index.json")?;
    ensure!(index["manifests"][0]["digest"] == expected.digest.as_str(), "the script builds another image");
    Ok(())
}
