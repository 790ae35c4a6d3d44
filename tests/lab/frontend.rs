//! The image that reads the Dockerfile: one digest whoever runs it, judged before it runs, recorded afterwards.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::{Bench, Way, every_way, lab, said, words};

/// The history that EXPOSE leaves is another one with the frontend of v0.31.1 than with BuildKit v0.19.0's own.
const REST: &str = "FROM scratch\nCOPY f /\nEXPOSE 80\n";

/// The name of a reference, which is trusted with all its tags.
fn name_of(reference: &str) -> String {
    let (name, _) = reference.split_once('@').unwrap_or((reference, ""));
    name.rsplit_once(':').map_or(name, |(name, _)| name).to_owned()
}

fn dockerfile(bench: &Bench, name: &str, line: &str) -> std::path::PathBuf {
    bench.context(name, &[("f", "x"), ("Dockerfile", &format!("{line}{REST}"))])
}

fn with_metadata(file: &Path, more: &[&str]) -> Vec<OsString> {
    let mut arguments = words(&["--sde", "0", "--metadata-file"]);
    arguments.push(file.into());
    arguments.extend(words(more));
    arguments
}

fn metadata(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn a_frontend_gives_one_digest_on_every_way_however_it_is_named() {
    let frontend = lab("LAB_FRONTEND_V0_31_1");
    let digest = frontend.split_once('@').unwrap().1.to_owned();
    let unpinned = frontend.split_once('@').unwrap().0.to_owned();
    let mut digests = Vec::new();
    for way in every_way() {
        let bench = Bench::shared("one frontend", *way);
        let plain = dockerfile(&bench, "plain", "");
        let named = dockerfile(&bench, "named", &format!("# syntax={frontend}\n"));
        let other = dockerfile(&bench, "other", "# syntax=no.example/such/frontend:1\n");
        let output = bench.output(*way, "image.tar");
        let file = bench.output(*way, "metadata.json");
        let own = bench.build(*way, &output, &words(&["--sde", "0"]), &plain).digest().to_owned();
        let allow = name_of(&frontend);
        let by_argument = format!("BUILDKIT_SYNTAX={unpinned}");
        for (context, more) in [
            (&named, vec!["--allow-frontend", &digest]),
            (&other, vec!["--frontend", &frontend, "--allow-frontend", &allow]),
            (&plain, vec!["--build-arg", &by_argument, "--allow-frontend", &unpinned]),
        ] {
            let built = bench.build(*way, &output, &with_metadata(&file, &more), context);
            assert_ne!(built.digest(), own, "{} {more:?}: BuildKit's own frontend read it", way.name());
            assert!(built.row("frontend").contains(&digest), "{}", built.row("frontend"));
            assert_eq!(metadata(&file)["frontend"]["digest"], digest.as_str(), "{} {more:?}", way.name());
            assert_eq!(built.warns_of("is not pinned"), more[0] == "--build-arg", "{:?}", built.warnings);
            digests.push((way.name(), built.digest().to_owned()));
        }
        let builtin = bench.try_build(*way, &output, &words(&["--sde", "0", "--frontend", "builtin"]), &other);
        if way.has_buildx() {
            assert_eq!(builtin.status.code(), Some(2), "{}", said(&builtin));
            assert!(String::from_utf8_lossy(&builtin.stderr).contains("--frontend builtin"), "{}", said(&builtin));
        } else {
            assert!(String::from_utf8_lossy(&builtin.stdout).contains(&own), "{}: {}", way.name(), said(&builtin));
        }
    }
    assert!(digests.windows(2).all(|pair| pair[0].1 == pair[1].1), "{digests:#?}");
}

/// Whoever reaches 127.0.0.1 comes to this listener, which hangs up.
struct Canary {
    port: String,
    calls: Arc<AtomicUsize>,
}

impl Canary {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = calls.clone();
        std::thread::spawn(move || {
            for call in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                drop(call);
            }
        });
        Self { port, calls }
    }

    fn was_reached(&self) -> bool {
        self.calls.load(Ordering::SeqCst) > 0
    }
}

#[test]
fn a_hostile_frontend_is_refused_before_it_runs() {
    let frontend = lab("LAB_FRONTEND_HOSTILE");
    let allow = name_of(&frontend);
    for way in every_way() {
        let bench = Bench::shared("hostile frontend", *way);
        let canary = Canary::listen();
        let port = &canary.port;
        let hostile = dockerfile(&bench, "hostile", &format!("#!/bin/x\n# syntax={frontend} {port}\n"));
        let json = bench.context("json", &[("Dockerfile", &format!("{{\"Syntax\": \"{frontend} {port}\"}}"))]);
        let plain = dockerfile(&bench, "plain", "");
        let output = bench.output(*way, "image.tar");
        let build = |context: &Path, more: &[&str]| {
            let mut arguments = words(&["--sde", "0"]);
            arguments.extend(words(more));
            bench.try_build(*way, &output, &arguments, context)
        };
        let argument = format!("BUILDKIT_SYNTAX={frontend} {port}");
        let raw = if way.has_buildx() { "--buildx-args" } else { "--buildkit-args" };
        let raw_argument = match way {
            Way::Docker | Way::Remote => format!("--build-arg '{argument}'"),
            _ => format!("--opt 'build-arg:{argument}'"),
        };
        for (context, more) in [
            (&hostile, vec![]),
            (&hostile, vec!["--allow-frontend", "docker/dockerfile"]),
            (&hostile, vec!["--dry"]),
            (&json, vec![]),
            (&plain, vec!["--build-arg", &argument]),
            (&plain, vec![raw, &raw_argument]),
        ] {
            let result = build(context, &more);
            assert_eq!(result.status.code(), Some(2), "{} {more:?}: {}", way.name(), said(&result));
            assert!(String::from_utf8_lossy(&result.stderr).contains("frontend"), "{}", said(&result));
            assert!(result.stdout.is_empty() && !output.exists(), "{} {more:?}: {}", way.name(), said(&result));
        }
        let told = String::from_utf8_lossy(&build(&hostile, &[]).stderr).into_owned();
        assert!(told.contains("line 2 of the Dockerfile") && told.contains("GHSA-4c29-8rgm-jvjj"), "{told}");
        assert!(!canary.was_reached(), "{}: it ran", way.name());
        // That it would have run, and what it would have done.
        let allowed = build(&hostile, &["--allow-frontend", &allow]);
        assert_eq!(allowed.status.code(), Some(3), "{}: {}", way.name(), said(&allowed));
        assert!(canary.was_reached(), "{}: the test is blind: {}", way.name(), said(&allowed));
        assert!(!Path::new(&format!("/tmp/repro-lab-hostile-{port}")).exists(), "{}", way.name());
    }
}

/// Points a name at another image, as the owner of a repository does.
fn point(name: &str, reference: &str) {
    let plain = |image: &str| format!("docker://{image}");
    let copied = Command::new("skopeo")
        .args(["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"])
        .args(["--preserve-digests", &plain(reference), &plain(name)])
        .output()
        .unwrap();
    assert!(copied.status.success(), "{}", said(&copied));
}

#[test]
fn a_frontend_that_moved_between_two_builds_is_named() {
    for way in every_way() {
        let bench = Bench::shared("moved frontend", *way);
        let versions = [lab("LAB_FRONTEND_V0_19_0"), lab("LAB_FRONTEND_V0_31_1")];
        let digests = versions.each_ref().map(|reference| reference.split_once('@').unwrap().1);
        let name = format!("{}:moving-{}", name_of(&versions[0]), way.name());
        let context = dockerfile(&bench, "context", &format!("# syntax={name}\n"));
        let (output, file) = (bench.output(*way, "image.tar"), bench.output(*way, "metadata.json"));
        let mut images = Vec::new();
        for (at, reference) in versions.iter().enumerate() {
            point(&name, &format!("{}@{}", name_of(reference), digests[at]));
            let built = bench.build(*way, &output, &with_metadata(&file, &["--allow-frontend", &name]), &context);
            assert!(built.warns_of("(line 1 of the Dockerfile) is not pinned"), "{:?}", built.warnings);
            let told = metadata(&file);
            assert_eq!(told["frontend"]["digest"], digests[at], "{}", way.name());
            assert_eq!(built.warns_of("has moved"), at == 1, "{}: {:?}", way.name(), built.warnings);
            assert_eq!(built.warns_of(&format!("`{name}@{}` would stay", digests[1])), at == 1);
            let before = if at == 1 { Value::from(digests[0]) } else { Value::Null };
            assert_eq!(told["frontend"]["moved_from"], before, "{}", way.name());
            images.push(built.digest().to_owned());
        }
        assert_ne!(images[0], images[1], "{}: the move decides the digest", way.name());
    }
}
