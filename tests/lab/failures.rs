//! What goes wrong around a build: each has its message and its hint, and nothing is left of it.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Bench, Way, base, lab, open_to_all, runtimes, said, ways, words};
use crate::traces::{Traces, wait_for_the_end};

/// A failure of this status, told as it should be, with nothing left behind.
fn is_told(bench: &Bench, way: Way, before: &Traces, result: &Output, statuses: &[i32], expected: &str) {
    let text = String::from_utf8_lossy(&result.stderr);
    let name = way.name();
    assert!(result.status.code().is_some_and(|code| statuses.contains(&code)), "{name}: {}", said(result));
    assert!(text.contains("error: ") && text.contains("hint: "), "{name}: {text}");
    assert!(text.contains(expected), "{name}: `{expected}` is not in {text}");
    wait_for_the_end(bench, way, before);
    assert_eq!(Traces::of(bench, way), *before, "{name}: {text}");
}

/// A registry of one answer, or of the laboratory's with layers that are damaged on the way.
struct Registry {
    address: String,
}

impl Registry {
    /// Answers each request with this status, and says how long to wait: without that Podman waits for a minute in all.
    fn of_status(status: &'static str) -> Self {
        Self::serve(move |_, mut stream| {
            let body = r#"{"errors":[{"code":"UNKNOWN","message":"the laboratory says no"}]}"#;
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nRetry-After: 1\r\n\
                 Connection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        })
    }

    /// Hands on what the laboratory's registry says, with one bit of each layer turned.
    fn damaging() -> Self {
        Self::serve(|head, mut stream| {
            let mut upstream = TcpStream::connect(lab("LAB_REGISTRY")).unwrap();
            let lines = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
            let head = lines.chain(["Connection: close", "", ""]).collect::<Vec<_>>().join("\r\n");
            upstream.write_all(head.as_bytes()).unwrap();
            let mut answer = Vec::new();
            upstream.read_to_end(&mut answer).unwrap();
            // Larger than any document: a layer.
            if head.contains("/blobs/") && answer.len() > 100_000 {
                *answer.last_mut().unwrap() ^= 1;
            }
            let _ = stream.write_all(&answer);
        })
    }

    fn serve(answer: impl Fn(&str, TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|count| count > 0) {}
                answer(head.trim_end(), stream);
            }
        });
        Self { address }
    }
}

#[test]
fn an_output_that_cannot_be_written_is_told_before_anything_runs() {
    for way in ways() {
        let bench = Bench::alone("read-only");
        let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
        let before = Traces::of(&bench, *way);
        let directory = bench.directory("read-only");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "ro,size=1m", "repro-test"]).arg(&directory).status();
        assert!(mounted.unwrap().success());
        let result = bench.try_build(*way, &directory.join("image.tar"), &words(&["--sde", "0"]), &context);
        assert!(Command::new("umount").arg(&directory).status().unwrap().success());
        is_told(&bench, *way, &before, &result, &[4], "cannot write into");
    }
}

/// Defect 5 of upstream: each runtime by itself; `defects` has the choice between them.
#[test]
fn a_tool_that_is_missing_is_named() {
    for way in ways() {
        let expected = match way {
            Way::Docker | Way::Remote => "cannot run `docker`",
            Way::Podman | Way::PodmanUser | Way::PodmanRootless => "cannot run `podman`",
            Way::BuildkitdUser => "newuidmap",
            // It needs nothing but a shell.
            Way::Buildkitd => continue,
        };
        let bench = Bench::alone("missing");
        let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
        let before = Traces::of(&bench, *way);
        let mut command = bench.program(*way, Path::new("/usr/bin/env"));
        command.arg("PATH=/nonexistent").arg(bench.home().join("repro")).args(bench.arguments(*way));
        command.args(["--sde", "0", "-o"]).arg(bench.output(*way, "image.tar")).arg(&context);
        is_told(&bench, *way, &before, &command.output().unwrap(), &[4], expected);
    }
}

#[test]
fn a_registry_that_refuses_the_pin_is_told() {
    let answers = ["401 Unauthorized", "404 Not Found", "429 Too Many Requests", "500 Internal Server Error"];
    let registries: Vec<Registry> = answers.into_iter().map(Registry::of_status).collect();
    for way in &runtimes() {
        let bench = Bench::alone("refused pin");
        let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
        let before = Traces::of(&bench, *way);
        let digest = format!("sha256:{}", "1".repeat(64));
        let mut images: Vec<String> =
            registries.iter().map(|registry| format!("{}/moby/buildkit:v0.19.0@{digest}", registry.address)).collect();
        // The registry is well, and has no such image.
        images.push(format!("{}/moby/buildkit:v0.19.0@{digest}", lab("LAB_REGISTRY")));
        for image in images {
            let output = bench.output(*way, "image.tar");
            let mut arguments = bench.arguments(*way);
            let at = arguments.iter().position(|argument| argument == "--buildkit-image").unwrap();
            arguments[at + 1] = image.into();
            let mut command = bench.repro(*way);
            command.args(arguments).args(["--sde", "0", "-o"]).arg(&output).arg(&context);
            let result = command.output().unwrap();
            is_told(&bench, *way, &before, &result, &[4], "");
            assert!(!output.exists());
        }
        let result = bench.try_build(*way, &bench.output(*way, "right.tar"), &words(&["--sde", "0"]), &context);
        assert!(result.status.success(), "{}: the next build is right: {}", way.name(), said(&result));
    }
}

#[test]
fn a_base_image_that_is_refused_or_damaged_fails_the_build() {
    let small = lab("LAB_BASE_SMALL");
    let name = small.split_once('/').unwrap().1;
    let mut registries: Vec<Registry> =
        ["401 Unauthorized", "404 Not Found", "500 Internal Server Error"].map(Registry::of_status).into();
    registries.push(Registry::damaging());
    for way in &runtimes() {
        let bench = Bench::alone("refused base");
        let files = [("f", "x"), ("Dockerfile", "ARG BASE\nFROM $BASE\nCOPY f /\nRUN cp f g\n")];
        let context = bench.context("context", &files);
        let before = Traces::of(&bench, *way);
        for registry in &registries {
            let output = bench.output(*way, "image.tar");
            let base = format!("BASE={}/{name}", registry.address);
            let result = bench.try_build(*way, &output, &words(&["--sde", "0", "--build-arg", &base]), &context);
            is_told(&bench, *way, &before, &result, &[3], "the build failed");
            assert!(!output.exists());
        }
        let mut arguments = base();
        arguments.extend(words(&["--sde", "0"]));
        // A builder that goes on running keeps the damaged download, and fails with it again: the hint says so.
        if *way == Way::Docker {
            let instances = std::fs::read_dir(bench.state(*way).join("buildx/instances")).unwrap();
            let name = instances.flatten().next().unwrap().file_name().into_string().unwrap();
            let again = bench.try_build(*way, &bench.output(*way, "again.tar"), &arguments, &context);
            assert!(said(&again).contains(&format!("repro builder rm {name}")), "{}", said(&again));
            assert!(bench.repro(*way).args(["builder", "rm", &name]).status().unwrap().success());
        }
        bench.build(*way, &bench.output(*way, "right.tar"), &arguments, &context);
    }
}

/// The kernel that runs out of memory kills a process like this; the first process of a namespace cannot do so itself.
#[test]
fn a_step_that_is_killed_is_told() {
    for way in &runtimes() {
        let bench = Bench::shared("killed step", *way);
        let dockerfile = "ARG BASE\nFROM $BASE\nRUN sh -c 'kill -KILL $$' || exit $?\n";
        let context = bench.context("context", &[("Dockerfile", dockerfile)]);
        let mut arguments = base();
        arguments.extend(words(&["--sde", "0"]));
        let output = bench.output(*way, "image.tar");
        let mut command = bench.repro(*way);
        command.args(bench.arguments(*way)).arg("-o").arg(&output).args(arguments).arg(&context);
        let result = command.output().unwrap();
        let at_terminal = at_a_terminal(&command);
        for text in [String::from_utf8_lossy(&result.stderr), String::from_utf8_lossy(&at_terminal.stdout)] {
            assert!(text.contains("hint: 137 is what is left of a process that was killed"), "{}: {text}", way.name());
        }
        assert_eq!((result.status.code(), at_terminal.status.code()), (Some(3), Some(3)), "{}", way.name());
        assert!(!output.exists(), "{}", way.name());
        // The client's own drawing, where it is not in a container: with a width, so lines are cut and not wrapped.
        let drawn = String::from_utf8_lossy(&at_terminal.stdout).contains("[+] Building");
        assert_eq!(drawn, !matches!(way.runtime(), "podman"), "{}: {}", way.name(), said(&at_terminal));
    }
}

/// Runs a command whose stdout and stderr are a terminal; what was written there comes as stdout.
fn at_a_terminal(command: &Command) -> Output {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = shlex::try_join(words.map(|word| word.to_str().unwrap())).unwrap();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.envs(command.get_envs().filter_map(|(name, value)| value.map(|value| (name, value)))).output().unwrap()
}

/// Defect 5 of upstream.
#[test]
fn an_engine_that_hangs_is_told() {
    if !ways().contains(&Way::Podman) {
        return;
    }
    let bench = Bench::alone("hanging");
    let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let before = Traces::of(&bench, Way::Podman);
    let bin = bench.directory("bin");
    std::fs::write(bin.join("podman"), "#!/bin/sh\nexec tail -f /dev/null\n").unwrap();
    open_to_all(&bin.join("podman"), 0o755);
    let mut command = bench.repro(Way::Podman);
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).args(bench.arguments(Way::Podman));
    let result = command.args(["--sde", "0", "-o"]).arg(bench.output(Way::Podman, "image.tar")).arg(&context).output();
    is_told(&bench, Way::Podman, &before, &result.unwrap(), &[4], "gave no answer within");
}
