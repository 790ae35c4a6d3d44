//! A BuildKit that somebody else runs: reached in every way that its address can say, never changed, and never believed more
//! than it proves.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::daemons::make_certificates;
use crate::foreign::Daemon;
use crate::harness::{Bench, Built, Way, base, every_way, lab, open_to_all, said, words};
use crate::traces::{Running, Traces, wait_for_the_end};

fn wanted() -> bool {
    every_way().contains(&Way::Remote)
}

fn context(bench: &Bench) -> PathBuf {
    let dockerfile = "ARG BASE\nFROM $BASE\nCOPY f /f\nRUN cp /f /g\n";
    bench.context("context", &[("f", "x"), ("Dockerfile", dockerfile)])
}

/// A build at an address, in an environment.
fn build_at(bench: &Bench, address: &str, variables: &[(&str, &str)], more: &[&str]) -> (PathBuf, Output) {
    let output = bench.output(Way::Remote, "image.tar");
    let mut command = bench.repro(Way::Remote);
    command.envs(variables.iter().copied()).arg("build").args(base()).args(words(&["--sde", "0", "-o"])).arg(&output);
    if !address.is_empty() {
        command.args(["--addr", address]);
    }
    // What is given twice counts once: the last.
    let image = format!("--buildkit-image={}", lab("LAB_BUILDKIT_V0_19_0"));
    if !more.iter().any(|word| word.starts_with("--buildkit-image")) {
        command.arg(image);
    }
    let result = command.args(more).arg(context(bench)).output().unwrap();
    (output, result)
}

fn digest(result: &Output) -> String {
    assert!(result.status.success(), "{}", said(result));
    Built::read(result).digest().to_owned()
}

/// A refusal of this status that says why and what to do, before the daemon has got anything.
fn is_refused(output: &Path, result: &Output, status: i32, why: &str) {
    let text = String::from_utf8_lossy(&result.stderr);
    assert_eq!(result.status.code(), Some(status), "{}", said(result));
    assert!(text.contains(why) && text.contains("hint: "), "`{why}`: {text}");
    assert!(!output.exists(), "{text}");
}

/// Daemon arguments for mutual TLS on this port of the loopback.
fn listening(certificates: &Path) -> (String, Vec<String>) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("tcp://127.0.0.1:{port}");
    let file = |flag: &str, name: &str| format!("{flag}={}", certificates.join(name).display());
    let arguments = vec![
        format!("--addr={address}"),
        file("--tlscacert", "ca.pem"),
        file("--tlscert", "server.pem"),
        file("--tlskey", "server-key.pem"),
    ];
    (address, arguments)
}

fn start(bench: &Bench, version: &str, name: &str, more: &[&str]) -> Daemon {
    Daemon::start(version, &bench.directory(name), &bench.temporary().join(format!("{name}.sock")), more)
}

/// A name, what is set, and what is said.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn every_address_leads_to_the_same_digest() {
    if !wanted() {
        return;
    }
    let bench = Bench::alone("addresses");
    let certificates = bench.directory("certificates, \"odd\"");
    make_certificates(&certificates);
    let (tcp, arguments) = listening(&certificates);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let daemon = start(&bench, "V0_19_0", "daemon", &arguments);
    // Our own way, where it is tested.
    let expected = if every_way().contains(&Way::Buildkitd) {
        let arguments = [base(), words(&["--sde", "0"])].concat();
        Some(bench.build(Way::Buildkitd, &bench.output(Way::Buildkitd, "own.tar"), &arguments, &context(&bench)))
    } else {
        None
    };
    let unix = daemon.address();
    let programs = bench.directory("programs");
    for name in ["ssh", "kubectl"] {
        // The transport alone is a fake: what it runs on the other side is BuildKit's own.
        let log = bench.home().join(name);
        fs::write(programs.join(name), format!("#!/bin/sh\necho \"$*\" >>{}\n{}\n", log.display(), daemon.dial()))
            .unwrap();
        open_to_all(&programs.join(name), 0o755);
    }
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let path: &[(&str, &str)] = &[("PATH", &path)];
    let tls = certificates.to_str().unwrap();
    let by_variables: &[(&str, &str)] = &[("REPRO_ADDR", &tcp), ("REPRO_ADDR_TLS", tls), ("REPRO_RUNTIME", "remote")];
    let cases: [Case<'_>; 7] = [
        (&unix, &[], &["--runtime=remote"]),
        (&tcp, &[], &["--addr-tls", tls]),
        (&tcp, &[], &["--addr-tls", tls, "--addr-server-name", "buildkit.example"]),
        ("", by_variables, &[]),
        (&unix, &[("REPRO_RUNTIME", "docker")], &[]),
        ("ssh://me@host.example/run/buildkit/buildkitd.sock", path, &[]),
        ("kube-pod://buildkitd-0?namespace=ci&container=buildkitd", path, &[]),
    ];
    let mut digests: Vec<String> = expected.iter().map(|built| built.digest().to_owned()).collect();
    for (address, variables, more) in cases {
        let (output, result) = build_at(&bench, address, variables, more);
        digests.push(digest(&result));
        // The base was held against what the registry says of it.
        assert!(!Built::read(&result).warns_of("cannot be had from their registry"), "{}", said(&result));
        let more = [more, &["--dry"]].concat();
        let script = bench.output(Way::Remote, "script.sh");
        let (_, dry) = build_at(&bench, address, variables, &more);
        assert!(dry.status.success() && !said(&dry).contains("PRIVATE KEY"), "{}", said(&dry));
        fs::write(&script, &dry.stdout).unwrap();
        fs::remove_file(&output).unwrap();
        let mut run = bench.program(Way::Remote, Path::new("sh"));
        let ran = run.envs(variables.iter().copied()).arg(&script).stdin(Stdio::null()).output().unwrap();
        assert!(ran.status.success(), "{address}: {}", said(&ran));
        let mut analyze = bench.repro(Way::Remote);
        let analyzed = analyze.arg("analyze").arg(&output).args(["--expected-image-digest", &digests[0]]).output();
        assert!(analyzed.unwrap().status.success(), "{address}: the script makes another image");
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:#?}");
    let asked = |name: &str| fs::read_to_string(bench.home().join(name)).unwrap();
    assert!(
        asked("ssh").contains("-l me -- host.example buildctl --addr unix:///run/buildkit/buildkitd.sock dial-stdio"),
        "{}",
        asked("ssh")
    );
    assert!(
        asked("kubectl").contains("--namespace=ci exec --container=buildkitd -i buildkitd-0"),
        "{}",
        asked("kubectl")
    );
}

#[test]
fn a_container_of_docker_is_an_address() {
    if !wanted() || !every_way().contains(&Way::Docker) {
        return;
    }
    let bench = Bench::shared("container", Way::Remote);
    let name = format!("repro-test-remote-{}", std::process::id());
    let docker = |arguments: &[&str]| {
        let output = Command::new("docker").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    };
    let toml = format!("{}:/etc/buildkit/buildkitd.toml:ro", lab("LAB_BUILDKITD_TOML"));
    let image = lab("LAB_BUILDKIT_V0_19_0");
    docker(&[
        "run",
        "--detach",
        "--rm",
        "--privileged",
        "--network=host",
        "--volume",
        &toml,
        "--name",
        &name,
        &image,
        "--oci-worker-snapshotter=overlayfs",
    ]);
    let up = ["exec", &name, "sh", "-c", "until buildctl debug workers; do :; done"];
    docker(&up);
    let (_, by_container) = build_at(&bench, &format!("docker-container://{name}"), &[], &[]);
    let (_, by_socket) = build_at(&bench, &bench.daemon().address(), &[], &[]);
    docker(&["rm", "--force", "--volumes", &name]);
    assert_eq!(digest(&by_container), digest(&by_socket));
}

#[test]
fn a_daemon_of_another_version_gets_nothing() {
    if !wanted() {
        return;
    }
    let bench = Bench::alone("other version");
    let daemon = start(&bench, "V0_31_1", "daemon", &[]);
    let address = daemon.address();
    let before = daemon.records();
    let (output, result) = build_at(&bench, &address, &[], &[]);
    is_refused(&output, &result, 4, "is v0.31.1, and the pin is v0.19.0");
    // Nobody knows the version of this one, so that its media types have to be said.
    let unknown = format!("--buildkit-image=example.org/buildkit@sha256:{}", "1".repeat(64));
    let (output, result) = build_at(&bench, &address, &[], &[&unknown]);
    is_refused(&output, &result, 2, "the media types that it would choose are not known");
    assert_eq!(daemon.records(), before, "it got something");
    let script = bench.output(Way::Remote, "script.sh");
    fs::write(&script, build_at(&bench, &address, &[], &["--dry"]).1.stdout).unwrap();
    let ran = bench.program(Way::Remote, Path::new("sh")).arg(&script).output().unwrap();
    is_refused_by_the_script(&ran, "the BuildKit is not v0.19.0");
    assert_eq!(daemon.records(), before, "it got something");
    let right = format!("--buildkit-image={}", lab("LAB_BUILDKIT_V0_31_1"));
    let (_, named) = build_at(&bench, &address, &[], &[&right]);
    let (_, said_so) = build_at(&bench, &address, &[], &[&unknown, "--media-types=oci"]);
    assert_eq!(digest(&named), digest(&said_so));
    assert_eq!(Built::read(&said_so).row("buildkit"), "v0.31.1 by its own word, pin: unproved");
}

fn is_refused_by_the_script(ran: &Output, why: &str) {
    let text = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.code() == Some(4) && text.contains(&format!("error: {why}")), "{}", said(ran));
}

#[test]
fn who_does_not_answer_or_does_not_trust_us_is_told_with_the_reason() {
    if !wanted() {
        return;
    }
    let bench = Bench::alone("untrusted remote");
    let [ours, others] = ["ours", "others"].map(|name| bench.directory(name));
    make_certificates(&ours);
    make_certificates(&others);
    let mixed = bench.directory("mixed");
    for (directory, name) in [(&ours, "ca.pem"), (&others, "cert.pem"), (&others, "key.pem")] {
        fs::copy(directory.join(name), mixed.join(name)).unwrap();
    }
    let (tcp, arguments) = listening(&ours);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let daemon = start(&bench, "V0_19_0", "daemon", &arguments);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let [ours, others, mixed] = [&ours, &others, &mixed].map(|path| path.to_str().unwrap());
    let nobody = format!("unix://{}", bench.temporary().join("nobody.sock").display());
    let cases: [(&str, &[&str], &str); 6] = [
        (&tcp, &["--addr-tls", others], "certificate signed by unknown authority"),
        // Which of the two ends of the connection is quicker to say so decides the words.
        (&tcp, &["--addr-tls", mixed], "certificate and yours are of the authority"),
        (&tcp, &["--addr-tls", ours, "--addr-server-name", "other.example"], "not other.example"),
        (&tcp, &[], "does not answer"),
        (&nobody, &[], "no such file or directory"),
        (&format!("tcp://{closed}"), &[], "connection refused"),
    ];
    for (address, more, why) in cases {
        let (output, result) = build_at(&bench, address, &[], more);
        is_refused(&output, &result, 4, why);
        assert!(!said(&result).contains("PRIVATE KEY"), "{}", said(&result));
    }
    assert!(daemon.buildctl(&["debug", "workers"]).status.success());
    let missing = bench.directory("missing").display().to_string();
    let (output, result) = build_at(&bench, &tcp, &[], &["--addr-tls", &missing]);
    is_refused(&output, &result, 2, "ca.pem");
}

#[test]
fn two_tenants_with_files_of_one_size_and_time_get_their_own() {
    if !wanted() {
        return;
    }
    let tenants = [Bench::alone("tenant one"), Bench::alone("tenant two")];
    let daemon = start(&tenants[0], "V0_19_0", "daemon", &[]);
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000);
    let mut digests = Vec::new();
    for round in 0..2 {
        for (tenant, contents) in tenants.iter().zip(["1111", "2222"]) {
            let context = tenant.context("app", &[("f", contents), ("Dockerfile", "FROM scratch\nCOPY f /f\n")]);
            for name in ["f", "Dockerfile"] {
                fs::File::options().write(true).open(context.join(name)).unwrap().set_modified(time).unwrap();
            }
            let output = tenant.output(Way::Remote, "image.tar");
            let mut command = tenant.repro(Way::Remote);
            command.args(["build", "--addr", &daemon.address(), "--sde=0", "-o"]).arg(&output).arg(&context);
            let remote = digest(&command.output().unwrap());
            if every_way().contains(&Way::Buildkitd) {
                let own = tenant.build(
                    Way::Buildkitd,
                    &tenant.output(Way::Buildkitd, "own.tar"),
                    &words(&["--sde=0"]),
                    &context,
                );
                assert_eq!(remote, own.digest(), "round {round}: {contents}");
            }
            digests.push(remote);
        }
    }
    assert_ne!(digests[0], digests[1]);
    assert_eq!(digests[..2], digests[2..]);
}

#[test]
fn cache_mounts_of_one_path_belong_to_one_tenant() {
    if !wanted() {
        return;
    }
    // The same context, as on two machines of a CI.
    let bench = Bench::shared("cache mounts", Way::Remote);
    let dockerfile = "ARG BASE\nFROM $BASE\nARG ROUND\nRUN --mount=type=cache,target=/c test ! -e /c/f && touch /c/f\n";
    let context = bench.context("app", &[("Dockerfile", dockerfile)]);
    let build = |state: &str, round: &str| {
        let state = bench.directory(state);
        let mut command = bench.repro_with(Way::Remote, &[("XDG_STATE_HOME", state.as_os_str())]);
        command.args(bench.arguments(Way::Remote)).args(base()).args([
            "--sde=0",
            "--build-arg",
            &format!("ROUND={round}"),
        ]);
        command.arg("-o").arg(bench.output(Way::Remote, "image.tar")).arg(&context).output().unwrap()
    };
    digest(&build("one", "1"));
    digest(&build("two", "2"));
    let own = build("one", "3");
    assert_eq!(own.status.code(), Some(3), "its own is there: {}", said(&own));
}

#[test]
fn the_network_of_the_host_is_for_who_runs_the_daemon_to_grant() {
    if !wanted() {
        return;
    }
    let bench = Bench::alone("remote network");
    let granting = start(&bench, "V0_19_0", "granting", &["--allow-insecure-entitlement=network.host"]);
    let build = |address: &str, network: &str| build_at(&bench, address, &[], &["--network", network]);
    let address = bench.daemon().address();
    let (output, refused) = build(&address, "host");
    is_refused(&output, &refused, 3, "whoever runs that BuildKit grants `network.host`");
    let digests = [build(&address, "none"), build(&granting.address(), "host"), build(&address, "default")];
    let digests = digests.map(|(_, result)| digest(&result));
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[test]
fn a_daemon_that_is_killed_mid_build_is_told() {
    if !wanted() {
        return;
    }
    let bench = Bench::alone("killed remote");
    bench.daemon();
    let before = Traces::of(&bench, Way::Remote);
    let output = bench.output(Way::Remote, "image.tar");
    let running = Running::start(&bench, Way::Remote, &output, &[]);
    bench.daemon().kill();
    let (status, text) = running.wait();
    assert!(matches!(status.code(), Some(3 | 4)), "{text}");
    assert!(text.contains("error: ") && text.contains("hint: "), "{text}");
    assert!(text.contains("once that BuildKit answers"), "{text}");
    assert!(!output.exists());
    // All that is left is gone with the daemon.
    let after = Traces::of(&bench, Way::Remote);
    assert!(after.processes.len() < before.processes.len(), "{after:?}");
}

#[test]
fn a_stopped_build_leaves_nothing_on_either_side() {
    if !wanted() {
        return;
    }
    let bench = Bench::alone("stopped remote");
    bench.daemon();
    let before = Traces::of(&bench, Way::Remote);
    let output = bench.output(Way::Remote, "image.tar");
    let running = Running::start(&bench, Way::Remote, &output, &[]);
    for pid in crate::traces::pids_of(&bench) {
        assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    }
    let (status, text) = running.wait();
    assert_eq!(status.code(), Some(130), "{text}");
    wait_for_the_end(&bench, Way::Remote, &before);
    assert_eq!(Traces::of(&bench, Way::Remote), before);
    assert!(!output.exists());
}

#[test]
fn nothing_of_somebody_else_is_removed() {
    if !wanted() {
        return;
    }
    let bench = Bench::alone("remote kept");
    let daemon = bench.daemon();
    let address = daemon.address();
    digest(&build_at(&bench, &address, &[], &[]).1);
    let records = daemon.records();
    assert!(!records.is_empty());
    let builder = |arguments: &[&str]| bench.repro(Way::Remote).arg("builder").args(arguments).output().unwrap();
    let listed = builder(&["ls"]);
    assert!(listed.status.success() && !said(&listed).contains("remote.sock"), "{}", said(&listed));
    let pruned = builder(&["prune", "--all"]);
    assert!(pruned.status.success(), "{}", said(&pruned));
    for name in ["repro", &address] {
        let removed = builder(&["rm", name]);
        assert_eq!(removed.status.code(), Some(2), "{}", said(&removed));
    }
    assert_eq!(daemon.records(), records, "something was removed there");
    // The user's own builders are not looked at, and ours are gone with the run.
    assert!(!bench.state(Way::Remote).join("buildx").exists());
    // The second build finds what the first one left there.
    let again = build_at(&bench, &address, &[], &[]).1;
    assert!(String::from_utf8_lossy(&again.stderr).contains("CACHED"), "{}", said(&again));
}

#[test]
fn a_base_that_others_left_in_another_compression_is_refused() {
    if !wanted() {
        return;
    }
    let bench = Bench::alone("remote substitution");
    let context = bench.context("context", &[("Dockerfile", "ARG BASE\nFROM $BASE\nENV A=b\n")]);
    let build = |base: &str| {
        let mut command = bench.repro(Way::Remote);
        command.args(bench.arguments(Way::Remote)).args(["--sde=0", "--build-arg", &format!("BASE={}", lab(base))]);
        let output = bench.output(Way::Remote, "image.tar");
        let result = command.arg("-o").arg(&output).arg(&context).output().unwrap();
        (output, result)
    };
    let (output, somebody) = build("LAB_BASE_SMALL_ZSTD");
    assert!(somebody.status.success(), "{}", said(&somebody));
    fs::remove_file(output).unwrap();
    let records = bench.daemon().records();
    let (output, refused) = build("LAB_BASE_SMALL");
    is_refused(&output, &refused, 1, "the same contents, compressed otherwise");
    assert!(said(&refused).contains("there is no throw-away state on it"), "{}", said(&refused));
    assert!(records.iter().all(|record| bench.daemon().records().contains(record)), "something was removed there");
}

#[test]
fn what_keeps_the_layers_otherwise_is_told() {
    if !wanted() {
        return;
    }
    let bench = Bench::alone("snapshotter");
    let daemon = start(&bench, "V0_19_0", "daemon", &["--oci-worker-snapshotter=native"]);
    let (_, result) = build_at(&bench, &daemon.address(), &[], &[]);
    digest(&result);
    assert!(Built::read(&result).warns_of("the snapshotter native"), "{}", said(&result));
}

#[test]
fn a_proxy_reaches_run_and_the_client_and_that_is_told() {
    if !wanted() {
        return;
    }
    let bench = Bench::shared("remote proxy", Way::Remote);
    let dockerfile = "ARG BASE\nFROM $BASE\nRUN test -n \"$http_proxy\"\n";
    let context = bench.context("context", &[("Dockerfile", dockerfile)]);
    let mut arguments: Vec<OsString> = [base(), words(&["--sde=0", "--proxy=http://proxy.example:3128"])].concat();
    arguments.push("--proxy-in-run".into());
    let built = bench.build(Way::Remote, &bench.output(Way::Remote, "image.tar"), &arguments, &context);
    assert!(built.warns_of("--proxy reaches only the client on this machine and RUN"), "{:?}", built.warnings);
}
