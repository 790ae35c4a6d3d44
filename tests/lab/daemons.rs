//! Two Docker daemons, of which the context, or variables with certificates, select the second: nothing touches the first.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Bench, Built, Way, lab, said, ways, words};

/// A dockerd beside the laboratory's, reached through TLS with client certificates; its socket is only for looking at it.
struct Second {
    root: PathBuf,
    socket: String,
    address: String,
    daemon: Child,
}

impl Second {
    fn start() -> Self {
        let root = PathBuf::from(lab("LAB_STATE")).join(format!("fast/second-{}", std::process::id()));
        fs::create_dir_all(root.join("certificates")).unwrap();
        make_certificates(&root.join("certificates"));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let certificate = |name: &str| root.join("certificates").join(name).display().to_string();
        let socket = format!("unix://{}", root.join("docker.sock").display());
        let address = format!("tcp://127.0.0.1:{port}");
        // As the laboratory's own, but for its places.
        let base = fs::read(Path::new(&lab("LAB_STATE")).join("etc/dockerd.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_slice(&base).unwrap();
        let own = json!({
            "hosts": [socket, address], "pidfile": root.join("pid"), "data-root": root.join("data"),
            "exec-root": root.join("exec"), "bridge": "none",
            "containerd-namespace": "second",
            "tlsverify": true, "tlscacert": certificate("ca.pem"),
            "tlscert": certificate("server.pem"), "tlskey": certificate("server-key.pem"),
        });
        for (key, value) in own.as_object().unwrap() {
            config[key] = value.clone();
        }
        fs::write(root.join("dockerd.json"), config.to_string()).unwrap();
        let log = File::create(root.join("log")).unwrap();
        let mut command = Command::new("dockerd");
        command.args(["--containerd-plugins-namespace", "second-plugins", "--config-file"]);
        command.arg(root.join("dockerd.json")).stdout(log.try_clone().unwrap()).stderr(log);
        let daemon = command.spawn().unwrap();
        let mut second = Self { root, socket, address, daemon };
        let start = Instant::now();
        while !second.docker(&["version"]).status.success() {
            let log = fs::read_to_string(second.root.join("log")).unwrap();
            assert!(second.daemon.try_wait().unwrap().is_none(), "the second daemon ended: {log}");
            assert!(start.elapsed() < Duration::from_secs(60), "the second daemon does not answer: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        second
    }

    fn docker(&self, arguments: &[&str]) -> std::process::Output {
        Command::new("docker").args(["--host", &self.socket]).args(arguments).output().unwrap()
    }

    fn certificates(&self) -> PathBuf {
        self.root.join("certificates")
    }

    /// A Docker configuration whose current context is this daemon.
    fn configuration(&self) -> PathBuf {
        let directory = self.root.join("configuration");
        let docker = |arguments: &[&str]| {
            let mut command = Command::new("docker");
            command.env("DOCKER_CONFIG", &directory).env_remove("DOCKER_HOST").args(arguments);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
        };
        let file = |name: &str| self.certificates().join(name).display().to_string();
        let endpoint =
            format!("host={},ca={},cert={},key={}", self.address, file("ca.pem"), file("cert.pem"), file("key.pem"));
        let plugins = Path::new(&lab("DOCKER_CONFIG")).join("cli-plugins");
        fs::create_dir_all(&directory).unwrap();
        std::os::unix::fs::symlink(plugins, directory.join("cli-plugins")).unwrap();
        docker(&["context", "create", "second", "--docker", &endpoint]);
        docker(&["context", "use", "second"]);
        directory
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let all = self.docker(&["ps", "--all", "--quiet"]);
        for id in String::from_utf8_lossy(&all.stdout).lines() {
            self.docker(&["rm", "--force", "--volumes", id]);
        }
        let _ = Command::new("kill").arg(self.daemon.id().to_string()).status();
        let _ = self.daemon.wait();
        for namespace in fs::read_dir(self.root.join("exec/netns")).into_iter().flatten().flatten() {
            let _ = Command::new("umount").arg(namespace.path()).status();
        }
        let _ = Command::new("rm").args(["-rf", "--one-file-system"]).arg(&self.root).status();
    }
}

/// An authority, and what it signed for the daemon (by its address) and for a client, under docker's names.
pub fn make_certificates(directory: &Path) {
    let script = r#"set -eu
new="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
openssl req -x509 $new -keyout ca-key.pem -out ca.pem -subj /CN=laboratory -days 2
sign() {
    openssl req $new -keyout "$1" -out request -subj "/CN=$3"
    printf '%s\n' "$4" >extensions
    openssl x509 -req -in request -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out "$2" -days 2 -extfile extensions
}
sign server-key.pem server.pem daemon "subjectAltName=IP:127.0.0.1,DNS:buildkit.example"
sign key.pem cert.pem client "extendedKeyUsage=clientAuth""#;
    let output = Command::new("sh").args(["-c", script]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

/// The containers, volumes and images of the laboratory's own daemon that belong to a bench's builders.
fn first_daemon(names: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for arguments in [["ps", "--all", "--format={{.Names}}"], ["volume", "ls", "--format={{.Name}}"]] {
        let output = Command::new("docker").args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        found.extend(text.lines().filter(|line| names.iter().any(|name| line.contains(name))).map(str::to_owned));
    }
    found
}

fn builders(bench: &Bench) -> Vec<String> {
    let instances = fs::read_dir(bench.state(Way::Docker).join("buildx/instances")).into_iter().flatten().flatten();
    instances.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn the_selected_daemon_is_the_only_one_that_is_touched() {
    if !ways().contains(&Way::Docker) {
        return;
    }
    let second = Second::start();
    let configuration = second.configuration();
    let certificates = second.certificates();
    let ssh = second.root.join("bin");
    fs::create_dir(&ssh).unwrap();
    // The transport alone is a fake: what it runs on the other side is docker's own.
    let fake = format!("#!/bin/sh\nexec env DOCKER_HOST={} docker system dial-stdio\n", second.socket);
    fs::write(ssh.join("ssh"), fake).unwrap();
    crate::harness::open_to_all(&ssh.join("ssh"), 0o755);
    let path = format!("{}:{}", ssh.display(), std::env::var("PATH").unwrap());

    let by_context: &[(&str, &str)] = &[("DOCKER_CONFIG", configuration.to_str().unwrap())];
    let by_variables: &[(&str, &str)] = &[
        ("DOCKER_HOST", &second.address),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", certificates.to_str().unwrap()),
    ];
    let by_ssh: &[(&str, &str)] = &[("DOCKER_HOST", "ssh://user@second.example"), ("PATH", &path)];
    for (name, variables) in [("context", by_context), ("variables", by_variables), ("ssh", by_ssh)] {
        let bench = Bench::alone(&format!("daemons-{name}"));
        let context = bench.context("context", &[("f", "x"), ("Dockerfile", "FROM scratch\nCOPY f /\n")]);
        let output = bench.output(Way::Docker, "image.tar");
        let with = |command: &mut Command| {
            command.env_remove("DOCKER_HOST").envs(variables.iter().copied());
        };
        let repro = |arguments: &[&str]| {
            let mut command = bench.repro(Way::Docker);
            with(&mut command);
            command.args(arguments).output().unwrap()
        };
        let build = |more: &[&str]| {
            let mut command = bench.repro(Way::Docker);
            with(&mut command);
            command.args(bench.arguments(Way::Docker)).args(words(&["--sde", "0", "-o"])).arg(&output);
            let result = command.args(more).arg(&context).output().unwrap();
            assert!(result.status.success(), "{name}: {}", said(&result));
            result
        };
        let first = Built::read(&build(&[]));
        let names = builders(&bench);
        let [builder] = names.as_slice() else { panic!("{name}: one builder: {names:?}") };
        let container = format!("buildx_buildkit_{builder}0");
        assert!(second.docker(&["container", "inspect", &container]).status.success(), "{name}: it is on the second");
        assert_eq!(first_daemon(&names), [""; 0], "{name}: nothing is on the first");

        // The script of a dry run, with nothing of the first one's at hand either.
        let script = bench.output(Way::Docker, "script.sh");
        fs::write(&script, build(&["--dry"]).stdout).unwrap();
        let mut run = bench.program(Way::Docker, Path::new("sh"));
        with(&mut run);
        let ran = run.arg(&script).stdin(Stdio::null()).output().unwrap();
        assert!(ran.status.success(), "{name}: {}", said(&ran));
        let analyzed = repro(&["analyze", output.to_str().unwrap(), "--expected-image-digest", first.digest()]);
        assert!(analyzed.status.success(), "{name}: {}", said(&analyzed));
        assert_eq!(builders(&bench), names, "{name}: the script uses the same builder");

        // From the first daemon's place the builder is listed, and stays.
        let elsewhere = bench.repro(Way::Docker).args(["builder", "rm", builder]).output().unwrap();
        assert_eq!(elsewhere.status.code(), Some(4), "{name}: {}", said(&elsewhere));
        assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("another Docker daemon"), "{}", said(&elsewhere));
        let listed = repro(&["builder", "ls"]);
        assert!(String::from_utf8_lossy(&listed.stdout).contains("running"), "{name}: {}", said(&listed));
        let removed = repro(&["builder", "rm", builder]);
        assert!(removed.status.success(), "{name}: {}", said(&removed));
        assert!(!second.docker(&["container", "inspect", &container]).status.success(), "{name}: it is gone");
        assert_eq!(first_daemon(&names), [""; 0], "{name}: nothing is on the first");
    }
}

#[test]
fn a_daemon_that_does_not_trust_us_is_told_from_one_that_is_not_there() {
    if !ways().contains(&Way::Docker) {
        return;
    }
    let bench = Bench::shared("untrusted", Way::Docker);
    let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    // Somebody who takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hanging = format!("tcp://{}", silent.local_addr().unwrap());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let socket = bench.temporary().join("silent.sock");
    let listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let cases = [
        (hanging, "gave no answer"),
        (format!("unix://{}", socket.display()), "gave no answer"),
        (format!("tcp://{closed}"), "onnect"),
        ("ssh://nobody@host.invalid".to_owned(), "does not answer"),
    ];
    for (address, expected) in cases {
        let output = bench.output(Way::Docker, "image.tar");
        let mut command = bench.repro(Way::Docker);
        command.env("DOCKER_HOST", &address).args(bench.arguments(Way::Docker)).args(["--sde", "0", "-o"]).arg(&output);
        let result = command.arg(&context).output().unwrap();
        let text = String::from_utf8_lossy(&result.stderr).into_owned();
        assert_eq!(result.status.code(), Some(4), "{address}: {}", said(&result));
        assert!(text.contains(expected) && text.contains("hint: "), "{address}: {text}");
        assert!(!output.exists());
    }
    drop((silent, listening));
    fs::remove_file(socket).unwrap();
}
