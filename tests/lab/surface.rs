//! What a build says: the table, the metadata, the refusals that need a runtime.

use std::fs;
use std::process::Command;

use crate::harness::{Bench, Way, every_way, said, ways, words};

#[test]
fn the_metadata_hold_what_the_table_says() {
    for way in every_way() {
        let bench = Bench::shared("metadata", *way);
        let context = bench.context("context", &[("f", "x"), ("Dockerfile", "FROM scratch\nCOPY f /\n")]);
        let file = bench.output(*way, "metadata.json");
        let mut arguments = words(&["--sde", "1700000000", "--tag", "example.org/app:1", "--metadata-file"]);
        arguments.push(file.clone().into_os_string());
        let built = bench.build(*way, &bench.output(*way, "image.tar"), &arguments, &context);
        let metadata: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        assert_eq!(metadata["schema"], "repro.build.v1");
        assert_eq!(metadata["image_digest"], built.digest());
        assert_eq!(metadata["manifests"][0]["config_digest"], built.row("config digest"));
        assert_eq!(metadata["epoch"], 1_700_000_000);
        assert_eq!(metadata["built_with"]["runtime"], way.runtime());
        let with = &metadata["built_with"];
        assert_eq!(with["version"], "v0.19.0");
        if *way == Way::Remote {
            // It proved its version, and nothing else.
            assert!(with["digest"].is_null() && with["image"].is_null() && with["rootless"].is_null(), "{with}");
            assert_eq!(
                (&with["pin"], built.row("buildkit")),
                (&"unproved".into(), "v0.19.0 by its own word, pin: unproved")
            );
            assert_eq!(built.row("runtime"), format!("remote, {}", with["address"].as_str().unwrap()));
            continue;
        }
        assert_eq!((&with["rootless"], &with["pin"]), (&way.is_rootless().into(), &"proved".into()));
        assert!(with["address"].is_null(), "{with}");
        assert!(built.row("buildkit").contains(with["digest"].as_str().unwrap()));
    }
}

#[test]
fn words_without_a_meaning_on_a_runtime_are_refused_before_anything_runs() {
    for way in every_way() {
        let bench = Bench::shared("refused", *way);
        let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
        let foreign = if way.has_buildx() { "--buildkit-args" } else { "--buildx-args" };
        let output = bench.output(*way, "image.tar");
        let mut cases = vec![vec![foreign, "--opt=a=b"]];
        if !way.has_buildx() {
            cases.push(vec!["--annotation", "Upper=x"]);
        }
        for case in cases {
            let mut arguments = words(&["--sde", "0"]);
            arguments.extend(words(&case));
            let result = bench.try_build(*way, &output, &arguments, &context);
            assert_eq!(result.status.code(), Some(2), "{} {case:?}: {}", way.name(), said(&result));
            assert!(!output.exists());
        }
    }
}

/// Defect 13 of upstream.
#[test]
fn the_archive_can_go_to_stdout() {
    for way in every_way() {
        let bench = Bench::shared("stdout", *way);
        let context = bench.context("context", &[("f", "x"), ("Dockerfile", "FROM scratch\nCOPY f /\n")]);
        let file = bench.output(*way, "image.tar");
        bench.build(*way, &file, &words(&["--sde", "0"]), &context);
        let piped = bench.try_build(*way, "-".as_ref(), &words(&["--sde", "0"]), &context);
        assert!(piped.status.success());
        assert!(piped.stdout == fs::read(file).unwrap(), "{}: another archive on stdout", way.name());
        assert!(String::from_utf8_lossy(&piped.stderr).contains("image digest"));
    }
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    for way in ways().iter().filter(|way| !way.is_rootless()) {
        let bench = Bench::shared("full", *way);
        // Pseudo-random text (xorshift): compressed it is still larger than the disk.
        let numbers = std::iter::successors(Some(1_u32), |n| {
            let n = n ^ (n << 13);
            let n = n ^ (n >> 17);
            Some(n ^ (n << 5))
        });
        let letter = |n: u32| char::from(b' ' + u8::try_from(n >> 26).unwrap());
        let noise = numbers.take(4_000_000).map(letter).collect::<String>();
        let context = bench.context("context", &[("f", &noise), ("Dockerfile", "FROM scratch\nCOPY f /\n")]);
        let disk = bench.directory("disk");
        let mount = |program: &str, arguments: &[&str]| {
            let status = Command::new(program).args(arguments).arg(&disk).status().unwrap();
            assert!(status.success(), "{program}");
        };
        mount("mount", &["-t", "tmpfs", "-o", "size=1m", "repro-test"]);
        let result = bench.try_build(*way, &disk.join("image.tar"), &words(&["--sde", "0"]), &context);
        let left = fs::read_dir(&disk).unwrap().count();
        mount("umount", &[]);
        assert_eq!(result.status.code(), Some(4), "{}: {}", way.name(), said(&result));
        assert!(String::from_utf8_lossy(&result.stderr).contains("cannot write the archive"), "{}", said(&result));
        assert_eq!(left, 0, "{}", way.name());
    }
}
