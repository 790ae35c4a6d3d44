//! Odd names on real engines: what tests/argv says of their parsers holds for the engines themselves.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use crate::harness::{Bench, Built, Way, every_way, open_to_all, said, words};

/// Defect 15 of upstream.
#[test]
fn odd_names_give_the_digest_of_plain_ones() {
    for way in every_way() {
        let bench = Bench::shared("odd names", *way);
        let dockerfile = "FROM scratch\nARG A\nLABEL a=$A\nCOPY f /f\n";
        let text = " a, \"b\" :c='d'\n$e \\f*\u{a0}";
        // Not text, where the runtime can mount what is not.
        let end: &[u8] = if way.runtime() == "podman" { b" -" } else { b"\xff -" };
        let odd = [b"a, \"b\":c='d'\n$e\\f*=", end].concat();
        let odd = OsStr::from_bytes(&odd);
        let plain = bench.directory("plain");
        let strange = plain.join(odd);
        fs::create_dir_all(&strange).unwrap();
        open_to_all(&strange, 0o755);
        for (directory, name) in [(&plain, "Dockerfile"), (&strange, "-D, \"o\":c=k'er' $é")] {
            fs::write(directory.join("f"), "x").unwrap();
            fs::write(directory.join(name), dockerfile).unwrap();
        }
        let mut arguments = words(&["--sde", "1700000000"]);
        for flag in ["--build-arg", "--label", "--annotation"] {
            let name = if flag == "--build-arg" { "A" } else { "key" };
            arguments.extend([flag.into(), format!("{name}={text}").into()]);
        }
        arguments.extend(words(&["--media-types", "oci"]));
        let expected = bench.build(*way, &bench.output(*way, "plain.tar"), &arguments, &plain);
        arguments.extend(["--file".into(), strange.join("-D, \"o\":c=k'er' $é").into_os_string()]);
        let built = bench.build(*way, &bench.output(*way, "odd, \"name\".tar"), &arguments, &strange);
        assert_eq!(built.digest(), expected.digest(), "{}", way.name());
    }
}

/// Paths below it are compared as texts somewhere in a builder: a layer had one entry more, `./`.
#[test]
fn the_spelling_of_tmpdir_changes_no_digest() {
    for way in every_way() {
        let bench = Bench::shared("odd TMPDIR", *way);
        let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY f /x/\n"), ("f", "x")]);
        let [_, _, (_, plain)] = bench.directories(*way);
        let name = plain.file_name().unwrap().to_owned();
        let odd = plain.join("..").join(".").join(name).join(".").into_os_string();
        let odd = OsStr::from_bytes(&[odd.as_bytes(), b"//"].concat()).to_owned();
        let digests = [plain.as_os_str(), &odd].map(|directory| {
            let mut command = bench.repro_with(*way, &[("TMPDIR", directory)]);
            command.args(bench.arguments(*way)).args(words(&["--sde", "0"]));
            if *way != Way::Remote {
                // What an earlier one left would be taken.
                command.arg("--no-cache");
            }
            command.arg("-o");
            let output = command.arg(bench.output(*way, "image.tar")).arg(&context).output().unwrap();
            assert!(output.status.success(), "{}: {}", way.name(), said(&output));
            Built::read(&output).digest().to_owned()
        });
        assert_eq!(digests[0], digests[1], "{}", way.name());
    }
}
