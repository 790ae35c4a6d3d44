//! `repro github` without an engine: wrong inputs, and the files of the actions. What is built is in tests/lab/github.rs.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::runner::{Ended, Job, commands};

fn step(action: &str, inputs: &[(&str, &str)]) -> Ended {
    let place = tempfile::tempdir().unwrap();
    let job = Job::new(place.path());
    fs::write(job.workspace.join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_repro"));
    program.env_clear().env("HOME", place.path()).envs(job.variables(inputs));
    let ended = job.run(&mut program, action);
    // Secrets went with the step.
    let left = fs::read_dir(&job.temp).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("secrets")));
    ended
}

/// Defects 29, 39, 41, 44 and 47 of upstream, and what else is a slip.
#[test]
fn a_wrong_input_is_named_before_anything_runs() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    for (action, inputs, said) in [
        (
            "verify",
            &[("expected_digest", ""), ("target_image", " ")][..],
            "`target_image` is empty, and so is `expected_digest`",
        ),
        ("verify", &[("expected_digest", &digest), ("target_image", "ghcr.io/a/b")], "so does `expected_digest`"),
        ("verify", &[("expected_digest", "sha256:12")], "`expected_digest` is none"),
        ("verify", &[("expected_digest", "/etc/passwd")], "`expected_digest` is none"),
        ("verify", &[("expected_digest", &digest), ("output", "/etc/x")], "`output` names `/etc/x`"),
        ("build", &[("source_date_epoch", "0"), ("timestamp", "2026-04-28T00:00:00Z")], "so does `source_date_epoch`"),
        ("build", &[("timestamp", "yesterday")], "`timestamp` is `yesterday`, and no date by RFC 3339"),
        ("build", &[("timestamp", "2026-04-28")], "no date by RFC 3339"),
        ("build", &[("cache", "maybe")], "`cache` is `maybe`"),
        ("build", &[("push", "true")], "`tags` is empty, and the image is to be pushed"),
        ("build", &[("outputs", "type=registry")], "`tags` is empty, and the image is to be pushed"),
        ("build", &[("outputs", "type=local,dest=/")], "the type local"),
        ("build", &[("outputs", "type=docker,dest=/etc/x")], "`outputs` names `/etc/x`"),
        ("build", &[("outputs", "type=docker,dest=-")], "`outputs` names `-`"),
        ("build", &[("cache-to", "type=local,dest=/x")], "`cache-to` names `/x`"),
        ("build", &[("cache-to", "type=local,dest=../../../../../../../x")], "`cache-to` names"),
        ("build", &[("push", "true"), ("tags", "Upper/Case:1")], "Upper/Case"),
        ("build", &[("deployed", "a b")], "`deployed` names no image"),
        ("build", &[("target", "a\nb")], "`target` has more than one line"),
        ("build", &[("runtime", "--privileged")], "invalid value '--privileged'"),
        ("build", &[("sbom", "true")], "`sbom` is on, and the image is not pushed"),
        ("build", &[("sbom", "maybe"), ("push", "true"), ("tags", "h.example/a:1")], "`sbom` is `maybe`"),
        ("build", &[("sbom", "generator=A"), ("push", "true"), ("tags", "h.example/a:1")], "`sbom` names no image"),
        ("build", &[("cache-map", "x")], "`cache-map` cannot be read"),
        ("build", &[("cache-map", "{\"../a\": \"/b\"}")], "`cache-map` names `../a`"),
        ("build", &[("cache-map", "{\"/etc/a\": \"/b\"}")], "`cache-map` names `/etc/a`"),
        ("build", &[("cache-map", "{\"../temp/a\": \"$X\"}")], "`cache-map` has the target `$X`"),
        ("build", &[("secrets", "swordfish")], "`secrets` has a line that is not `ID=…`"),
        // The rest of a value of several lines.
        ("build", &[("secrets", "A=b\nc3dvcmRmaXNo==")], "`secrets` has a line that is not `ID=…`"),
        ("build", &[("secrets", "../swordfish=a")], "`secrets` has a line that is not `ID=…`"),
        ("build", &[("secrets", "A=swordfish\nA=b")], "`secrets` gives a secret that is given already"),
        ("build", &[("secret-files", "A=")], "`secret-files` has a line that is not `ID=…`"),
        ("build", &[("build-args", "INPUT_SECRETS")], "`build-args` has a line without `=`"),
        (
            "build",
            &[("outputs", "type=image,push=true,push-by-digest=true,name=h.example/a:1"), ("source_date_epoch", "0")],
            "--by-digest makes no tag",
        ),
    ] {
        let ended = step(action, inputs);
        assert!(ended.status == Some(2) && ended.text.contains(said), "{inputs:?}: {}", ended.text);
        // One annotation, nothing else; and the summary says it too.
        assert_eq!(ended.commands.len(), 1, "{inputs:?}: {:?}", ended.commands);
        assert!(ended.commands[0].starts_with("::error title=repro::"), "{inputs:?}: {:?}", ended.commands);
        let told: Vec<_> = ended.outputs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(told, if action == "verify" { vec![("match", "unknown")] } else { vec![] }, "{inputs:?}");
        assert!(ended.summary.starts_with("### ❌ "), "{inputs:?}: {ended:?}");
        assert!(!ended.text.contains("swordfish"), "{}", ended.text);
    }
}

/// Contents of cache mounts lie in files of the job that no build reads, one for each mount.
#[test]
fn a_cache_map_names_directories_of_the_job_that_are_in_no_context() {
    let place = tempfile::tempdir().unwrap();
    let job = Job::new(place.path());
    let at = |name: &str| place.path().join(name);
    for directory in ["workspace/app", "workspace/other", "temp/linked", "temp/taken", "temp/file"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    fs::write(at("workspace/app/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    fs::write(at("temp/a file"), "").unwrap();
    let link = |to: &Path, from: &str| std::os::unix::fs::symlink(to, at(from)).unwrap();
    link(&at("workspace/app"), "temp/into");
    link(Path::new("/etc"), "temp/out");
    link(&at("nowhere"), "temp/dangling");
    link(&at("temp/linked"), "temp/link");
    link(Path::new("/etc/passwd"), "temp/taken/cache.tar");
    fs::create_dir(at("temp/file/cache.tar")).unwrap();
    let common = [("source_date_epoch", "0"), ("context", "app")];
    let run = |map: &str, more: &[(&str, &str)]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_repro"));
        let variables = job.variables(&[&common[..], &[("cache-map", map)], more].concat());
        program.env_clear().env("HOME", place.path()).env("PATH", "/nowhere").envs(variables);
        job.run(&mut program, "build")
    };
    let in_context = "is in a build context, or has one in it";
    let named = format!("other={}", at("workspace/other").display());
    let (temp, dest) =
        (at("temp").display().to_string(), format!("type=oci,dest={}/a/cache.tar", at("temp").display()));
    fs::create_dir(at("temp/a")).unwrap();
    for (map, more, said) in [
        ("{\"app/cache\": \"/b\"}", &[][..], in_context),
        ("{\"TEMP/into/cache\": \"/b\"}", &[], in_context),
        ("{\".\": \"/b\"}", &[], in_context),
        ("{\"other\": \"/b\"}", &[("build-contexts", named.as_str())], in_context),
        ("{\"TEMP/out/a\": \"/b\"}", &[], "`cache-map` names `TEMP/out/a`"),
        ("{\"TEMP/a/../../x\": \"/b\"}", &[], "`cache-map` names `TEMP/a/../../x`"),
        ("{\"TEMP/dangling\": \"/b\"}", &[], "`cache-map` names a file in"),
        ("{\"TEMP/new\": \"/b\", \"TEMP/a file\": \"/c\"}", &[], "in which `cache.tar` is no file"),
        ("{\"TEMP/link\": \"/b\", \"TEMP/linked\": \"/c\"}", &[], "names the directory `TEMP/linked` twice"),
        ("{\"TEMP/taken\": \"/b\"}", &[], "in which `cache.tar` is no file"),
        ("{\"TEMP/file\": \"/b\"}", &[], "in which `cache.tar` is no file"),
        ("{\"TEMP/a\": \"/b\"}", &[("cache", "false")], "the build is one without a cache"),
        ("{\"TEMP/a\": \"/b\"}", &[("no-cache", "true")], "the build is one without a cache"),
        ("{\"TEMP/a\": \"/b\"}", &[("outputs", dest.as_str())], "where the image goes"),
        (
            "{\"TEMP/a\": \"/b\"}",
            &[(
                "buildkit_image",
                concat!("oci:x@sha256:", "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"),
            )],
            "it is an OCI layout",
        ),
    ] {
        let ended = run(&map.replace("TEMP", &temp), more);
        let said = said.replace("TEMP", &temp);
        assert!(
            ended.status == Some(2) && ended.text.contains(&said),
            "{map} {more:?}: {:?} {}",
            ended.status,
            ended.text
        );
    }
    assert!(!at("workspace/app/cache").exists() && !at("temp/new").exists() && !at("nowhere").exists());
    // What is right gets as far as looking for an engine, which is not there; its directory is made for nobody else.
    let ended = run(&format!("{{\"{temp}/new/one\": \"/b\"}}"), &[("runtime", "podman")]);
    assert!(ended.status == Some(4) && ended.text.contains("podman"), "{:?} {}", ended.status, ended.text);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(at("temp/new/one")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

/// Podman that only works until it is to build: whoever asked is told to stop then.
const STOPPED: &str = r#"#!/bin/sh
case " $* " in
    *" run "*) echo run >>"$HOME/runs"; kill -INT "$PPID"; exec tail -f /dev/null ;;
esac
"#;

/// What cannot be filled is no reason not to build, but who cancels a job wants no build at all.
#[test]
fn a_job_that_is_cancelled_while_mounts_are_filled_ends() {
    let place = tempfile::tempdir().unwrap();
    let job = Job::new(place.path());
    fs::write(job.workspace.join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    fs::write(place.path().join("podman"), STOPPED).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(place.path().join("podman"), mode).unwrap();
    let kept = job.temp.join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("cache.tar"), [0; 1024]).unwrap();
    let map = format!("{{\"{}\": \"/b\"}}", kept.display());
    let inputs = [("source_date_epoch", "0"), ("runtime", "podman"), ("cache-map", map.as_str())];
    let mut program = Command::new(env!("CARGO_BIN_EXE_repro"));
    let path = format!("{}:/usr/bin:/bin", place.path().display());
    program.env_clear().env("HOME", place.path()).env("PATH", path).envs(job.variables(&inputs));
    let ended = job.run(&mut program, "build");
    assert_eq!(ended.status, Some(130), "{}", ended.text);
    assert_eq!(fs::read_to_string(place.path().join("runs")).unwrap(), "run\n", "{}", ended.text);
    assert!(ended.commands.len() == 1 && ended.commands[0].starts_with("::error "), "{:?}", ended.commands);
}

#[test]
fn outside_of_a_runner_it_says_where_it_belongs() {
    let output = Command::new(env!("CARGO_BIN_EXE_repro")).args(["github", "build"]).env_clear().output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && text.contains("RUNNER_TEMP is not set"), "{text}");
    let help = Command::new(env!("CARGO_BIN_EXE_repro")).arg("--help").output().unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains("github"));
}

#[test]
fn the_runner_of_these_tests_takes_what_the_real_one_takes() {
    let log =
        "a ::x::\n  ::set-output name=a::b\n::stop-commands::t\n::error::no\n##[warning]no\n::t::\nb ##[warning]c\n";
    assert_eq!(commands(log), ["::set-output name=a::b", "b ##[warning]c"]);
}

fn action(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("action").join(name)).unwrap()
}

/// The names below a key of the top level, with what follows each.
fn names<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let after = text.split(&format!("\n{key}:\n")).nth(1).unwrap();
    let lines = after.lines().take_while(|line| line.starts_with(' '));
    lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.strip_suffix(':')).collect()
}

/// Defects 35 and 36 of upstream: no input reaches a shell; and every input reaches the program, and is one that it knows.
#[test]
fn inputs_go_through_the_environment_and_nowhere_else() {
    let program: String = ["build.rs", "cache_map.rs", "sbom.rs", "verify.rs"]
        .map(|name| {
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/github").join(name)).unwrap()
        })
        .concat();
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/github.md")).unwrap();
    for file in ["action.yml", "verify/action.yml"] {
        let text = action(file);
        for line in text.lines().filter(|line| line.trim_start().starts_with("run:")) {
            assert!(line.ends_with('\'') && !line.contains("${{"), "{file}: {line}");
        }
        let inputs = names(&text, "inputs");
        assert!(inputs.len() > 20, "{inputs:?}");
        for input in &inputs {
            let variable = format!("INPUT_{}", input.to_uppercase().replace('-', "_"));
            assert!(text.contains(&format!("        {variable}: ${{{{ inputs.{input} }}}}\n")), "{file}: {input}");
            assert!(program.contains(&format!("\"{input}\"")), "{file}: nobody reads {input}");
            assert!(docs.contains(&format!("| `{input}` |")), "docs/github.md says nothing of {input}");
        }
        assert_eq!(text.matches("${{ inputs.").count(), inputs.len(), "{file}");
        for output in names(&text, "outputs") {
            assert!(program.contains(&format!("step.output(\"{output}\"")), "{file}: nobody writes {output}");
            assert!(docs.contains(&format!("| `{output}` |")), "docs/github.md says nothing of {output}");
        }
    }
}

/// What upstream's actions took and gave, by the same names (version 2.0.0).
#[test]
fn upstreams_inputs_and_outputs_are_all_there() {
    let build = "tags file context platforms buildkit_image source_date_epoch timestamp push outputs annotations labels build-args cache \
        cache-from cache-to cache-map secrets secret-files ssh target no-cache pull sbom no-setup-buildx";
    let verify = "expected_digest target_image file context platforms buildkit_image runtime source_date_epoch build-args output tags \
        annotations";
    for (file, upstreams) in [("action.yml", build), ("verify/action.yml", verify)] {
        let text = action(file);
        let ours = names(&text, "inputs");
        for input in upstreams.split_whitespace() {
            assert!(ours.contains(&input), "{file}: {input}");
        }
    }
    assert_eq!(names(&action("action.yml"), "outputs")[..3], ["imageid", "digest", "metadata"]);
}
