//! Odd names on real engines: what tests/argv says of their parsers holds for the engines themselves.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use crate::harness::{Bench, every_way, open_to_all, words};

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
