//! What reaches the image: the true bytes of this context, and nothing of ours.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::harness::{Bench, Way, every_way, runtimes, words};

/// The same for all: size and time say nothing about what is in a file.
fn write_like(path: &Path, contents: &str) {
    fs::write(path, contents).unwrap();
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000))
        .unwrap();
}

fn file_in_image(bench: &Bench, way: Way, archive: &Path, member: &str) -> String {
    // Another reader than ours: the layers are unpacked by tar.
    let script = "set -e; d=$(mktemp -d); trap 'rm -rf \"$d\"' EXIT; tar -C \"$d\" -xf \"$1\"; for b in \"$d\"/blobs/sha256/*; do \
                  tar -xOzf \"$b\" \"$2\" 2>/dev/null && exit 0; done; exit 1";
    let mut command = bench.program(way, Path::new("sh"));
    let output = command.args(["-c", script, "sh"]).arg(archive).arg(member).output().unwrap();
    assert!(output.status.success(), "no `{member}` in {}", archive.display());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_changed_file_of_the_same_size_and_time_is_never_served_stale() {
    for way in every_way() {
        let bench = Bench::shared("stale", *way);
        let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY f /f\n")]);
        for contents in ["aaaa", "bbbb", "cccc"] {
            write_like(&context.join("f"), contents);
            let archive = bench.output(*way, "image.tar");
            bench.build(*way, &archive, &words(&["--sde", "0"]), &context);
            assert_eq!(file_in_image(&bench, *way, &archive, "f"), contents, "{}", way.name());
        }
    }
}

#[test]
fn two_projects_with_files_of_the_same_size_and_time_get_their_own() {
    for way in every_way() {
        let bench = Bench::shared("two projects", *way);
        let parents = [bench.directory("one"), bench.directory("two")];
        for (parent, contents) in parents.iter().zip(["1111", "2222"]) {
            // The same name as well: buildx takes the base name of the context as its key.
            let context = parent.join("app");
            fs::create_dir_all(&context).unwrap();
            write_like(&context.join("f"), contents);
            write_like(&context.join("Dockerfile"), "FROM scratch\nCOPY f /f\n");
        }
        for round in 0..2 {
            for (parent, contents) in parents.iter().zip(["1111", "2222"]) {
                let archive = bench.output(*way, "image.tar");
                bench.build(*way, &archive, &words(&["--sde", "0"]), &parent.join("app"));
                assert_eq!(file_in_image(&bench, *way, &archive, "f"), contents, "{} round {round}", way.name());
            }
        }
    }
}

#[test]
fn the_output_is_never_an_input() {
    for way in &runtimes() {
        let bench = Bench::shared("output", *way);
        let dockerfile = "FROM scratch\nCOPY . /\n";
        let outside = bench.context("outside", &[("f", "x"), ("Dockerfile", dockerfile)]);
        let inside = bench.context("inside", &[("f", "x"), ("Dockerfile", dockerfile)]);
        // Older than the epoch: the time of the directory itself is a byte of the image then.
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for context in [&outside, &inside] {
            for path in [context.join("f"), context.join("Dockerfile"), context.clone()] {
                File::open(path).unwrap().set_modified(old).unwrap();
            }
            bench.give(*way, context);
        }
        let sde = words(&["--sde", "1700000000"]);
        let expected = bench.build(*way, &bench.output(*way, "image.tar"), &sde, &outside);
        for round in 0..3 {
            let mut arguments = sde.clone();
            arguments.extend(["--metadata-file".into(), inside.join("metadata.json").into_os_string()]);
            let built = bench.build(*way, &inside.join("image.tar"), &arguments, &inside);
            assert_eq!(built.digest(), expected.digest(), "{} round {round}", way.name());
            let mut names: Vec<_> = fs::read_dir(&inside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            assert_eq!(names, ["Dockerfile", "f", "image.tar", "metadata.json"], "{}", way.name());
        }
    }
}

/// Two checkouts of one commit, under the umask 022 and as a shared directory under 007 leaves it.
#[test]
fn modes_as_git_stores_them_are_those_of_a_usual_checkout_whatever_the_umask_was() {
    for way in &runtimes() {
        let bench = Bench::shared("modes", *way);
        let dockerfile = "FROM scratch\nCOPY . /app/\nCOPY --from=named . /named/\n";
        let usual = [("Dockerfile", dockerfile), ("a/run", "#!/bin/sh\n"), ("a/data", "x"), ("named/f", "y")];
        let (one, other) = (bench.context("usual", &usual), bench.context("shared", &usual));
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for context in [&one, &other] {
            symlink("a/run", context.join("link")).unwrap();
            let set = |name: &str, mode: u32| {
                let path = context.join(name);
                fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
                File::open(path).unwrap().set_modified(old).unwrap();
            };
            let shared = context == &other;
            for (name, is_executable) in [("Dockerfile", false), ("a/run", true), ("a/data", false), ("named/f", false)]
            {
                set(
                    name,
                    match (shared, is_executable) {
                        (false, true) => 0o755,
                        (false, false) => 0o644,
                        (true, true) => 0o2770,
                        (true, false) => 0o660,
                    },
                );
            }
            for name in ["a", "named", "."] {
                set(name, if shared { 0o2770 } else { 0o755 });
            }
            bench.give(*way, context);
        }
        let make = |context: &Path, archive: &Path, modes: &str| {
            let mut arguments = words(&["--sde", "1700000000", modes, "--build-context"]);
            let mut named = OsString::from("named=");
            named.push(context.join("named"));
            arguments.push(named);
            bench.build(*way, archive, &arguments, context)
        };
        let archive = bench.output(*way, "image.tar");
        let expected = make(&one, &archive, "--context-modes=keep");
        assert_ne!(make(&other, &archive, "--context-modes=keep").digest(), expected.digest(), "{}", way.name());
        for _ in 0..2 {
            // The archive of the build before lies in the context: it is no part of the copy either.
            let built = make(&other, &other.join("image.tar"), "--context-modes=git");
            assert_eq!(built.digest(), expected.digest(), "{}", way.name());
        }
        let mode = fs::metadata(other.join("a/run")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o2770, "the user's own files are left alone");
    }
}
