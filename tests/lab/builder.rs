//! The builder in Docker: used as it is only while it is the right one and runs.

use std::process::{Command, Output};

use crate::harness::{Bench, Way, lab, said, ways, words};

fn docker(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).output().unwrap()
}

fn inspect(container: &str, format: &str) -> String {
    let output = docker(&["container", "inspect", "--format", format, container]);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Defect 20 of upstream.
#[test]
fn a_builder_is_started_made_known_or_replaced_as_it_needs() {
    if !ways().contains(&Way::Docker) {
        return;
    }
    let bench = Bench::alone("builder");
    let context = bench.context("context", &[("f", "x"), ("Dockerfile", "FROM scratch\nCOPY f /\n")]);
    let output = bench.output(Way::Docker, "image.tar");
    let build = || {
        let mut command = bench.repro(Way::Docker);
        command.args(["-vv"]).args(bench.arguments(Way::Docker)).arg("-o").arg(&output);
        let result = command.args(words(&["--sde", "0"])).arg(&context).output().unwrap();
        assert!(result.status.success(), "{}", said(&result));
        String::from_utf8(result.stderr).unwrap()
    };
    let made = build();
    assert!(made.contains("running docker buildx create"), "{made}");
    let instances = bench.state(Way::Docker).join("buildx/instances");
    let records: Vec<_> = std::fs::read_dir(&instances).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [record] = records.as_slice() else { panic!("one builder: {records:?}") };
    let container = format!("buildx_buildkit_{}0", record.file_name().unwrap().to_str().unwrap());
    let id = inspect(&container, "{{.Id}}");

    let used = build();
    assert!(!used.contains("running docker buildx create") && inspect(&container, "{{.Id}}") == id, "as it is: {used}");

    assert!(docker(&["container", "stop", "--time=1", &container]).status.success());
    build();
    assert_eq!(inspect(&container, "{{.Id}} {{.State.Running}}"), format!("{id} true"), "a stopped one is started");

    std::fs::remove_file(record).unwrap();
    build();
    assert!(record.exists() && inspect(&container, "{{.Id}}") == id, "buildx has to know it");

    assert!(docker(&["container", "rm", "--force", &container]).status.success());
    build();
    assert_ne!(inspect(&container, "{{.Id}}"), id, "one that is gone is made");

    // Somebody's container of another image, under the name of ours, and it runs.
    assert!(docker(&["container", "rm", "--force", &container]).status.success());
    let other = lab("LAB_BUILDKIT_V0_31_1");
    assert!(docker(&["pull", "--quiet", &other]).status.success());
    let started = docker(&[
        "run",
        "--detach",
        "--privileged",
        "--network=host",
        "--name",
        &container,
        &other,
        "--oci-worker-snapshotter=overlayfs",
    ]);
    assert!(started.status.success(), "{}", said(&started));
    let replaced = build();
    assert!(replaced.contains("is made anew"), "{replaced}");
    let expected = lab("LAB_BUILDKIT_V0_19_0");
    let digest = expected.rsplit_once('@').unwrap().1;
    assert!(inspect(&container, "{{.Config.Image}}").ends_with(digest), "another image is not used");
}
