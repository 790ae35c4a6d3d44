//! The input `cache-map` of the build action, on real engines: what a RUN leaves in a cache mount is there for the RUN of another job,
//! on another builder, as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::github::Runner;
use crate::harness::{Bench, Way, every_way, lab, open_to_all, run, said};
use crate::support::runner::Ended;

/// Tells what is in two mounts, and leaves something in them where it is told to.
const DOCKERFILE: &str = r#"ARG BASE
FROM $BASE AS looks
ARG LEAVES=yes
RUN --mount=type=cache,target=/kept/./ --mount=type=cache,id=own-1,target=/own,uid=1000,gid=1001,mode=0750,sharing=locked \
    stat -c '%n %a %u:%g' /own >/found \
    && find /kept /own ! -type d -exec stat -c '%n %a %u:%g %Y %h %N' {} + | sort >>/found \
    && if [ $LEAVES = yes ]; then \
        mkdir -p /kept/sub && echo text >"/kept/sub/a b" && chown 1234:2345 "/kept/sub/a b" && chmod 4751 "/kept/sub/a b" \
        && touch -d @1000000001 "/kept/sub/a b" && ln "/kept/sub/a b" /kept/hard && ln -s /etc/passwd /kept/link \
        && touch -h -d @1000000002 /kept/link && id -u >/own/of && chmod 600 /own/of && touch -d @7 /own/of && chown 1000 /own; \
    fi
FROM scratch
COPY --from=looks /found /
"#;

const NOTHING: &str = "/own 750 1000:1001\n";

const ALL: &str = "/kept/hard 4751 1234:2345 1000000001 2 /kept/hard
/kept/link 777 0:0 1000000002 1 '/kept/link' -> '/etc/passwd'
/kept/sub/a b 4751 1234:2345 1000000001 2 /kept/sub/a b
/own/of 600 0:0 7 1 /own/of
";

/// A job, and where it has the contents of the two mounts.
struct Cached<'a> {
    runner: Runner<'a>,
    directories: [PathBuf; 2],
    map: String,
}

impl<'a> Cached<'a> {
    fn new(bench: &'a Bench, way: Way) -> Self {
        let runner = Runner::new(bench, way, &[("Dockerfile", DOCKERFILE)]);
        let directories = ["kept", "own"].map(|name| runner.job.temp.join(name));
        let map = format!(
            r#"{{
                "{}": "/kept/",
                "{}": {{"target": "/own", "id": "own-1", "uid": 1000, "gid": "1001", "mode": "0750", "sharing": "locked"}}
            }}"#,
            directories[0].display(),
            directories[1].display()
        );
        Self { runner, directories, map }
    }

    fn build(&self, map: &str, more: &str) -> Ended {
        let arguments = format!("BASE={}\n{more}", lab("LAB_BASE_SMALL"));
        let inputs = [("source_date_epoch", "7"), ("context", "."), ("build-args", &arguments), ("cache-map", map)];
        let ended = self.runner.run("build", &inputs);
        assert_eq!(ended.status, Some(0), "{}", ended.text);
        ended
    }

    /// Puts a file where a step restores it that runs before.
    fn restore(&self, number: usize, contents: &[u8]) {
        let directory = &self.directories[number];
        fs::create_dir_all(directory).unwrap();
        open_to_all(directory, 0o777);
        fs::write(directory.join("cache.tar"), contents).unwrap();
    }

    fn saved(&self, number: usize) -> Vec<u8> {
        fs::read(self.directories[number].join("cache.tar")).unwrap()
    }
}

/// The one file of an image that says what RUN saw.
fn found(ended: &Ended) -> String {
    let archive = Path::new(&ended.outputs["archive"]);
    let read = |path: &str| {
        let tar = Command::new("tar").arg("-xOf").arg(archive).arg(path).output().unwrap();
        assert!(tar.status.success(), "{}", said(&tar));
        tar.stdout
    };
    let blob = |of: &Value| read(&format!("blobs/{}", of["digest"].as_str().unwrap().replace(':', "/")));
    let index: Value = serde_json::from_slice(&read("index.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).unwrap();
    let layer = archive.with_file_name("layer.tar.gz");
    fs::write(&layer, blob(&manifest["layers"][0])).unwrap();
    run("tar", &["-xzOf", layer.to_str().unwrap(), "found"])
}

/// What a job left in a cache mount is there in the next, on these ways.
fn is_handed_on(wanted: &[Way]) {
    for way in every_way().iter().copied().filter(|way| wanted.contains(way)) {
        let benches = [Bench::plain("cache-map, first"), Bench::plain("cache-map, second"), Bench::alone("cache-map")];
        let [first, second, elsewhere] = benches.each_ref().map(|bench| Cached::new(bench, way));

        // Nothing is restored: both mounts start empty, and are taken out.
        let left = first.build(&first.map, "");
        assert_eq!(found(&left), NOTHING, "{}", way.name());
        assert!(left.commands.is_empty(), "{:?}", left.commands);
        assert_eq!(left.summary.matches("not filled from").count(), 2, "{}", left.summary);
        assert_eq!(left.summary.matches("taken out again").count(), 2, "{}", left.summary);
        assert!(!left.summary.contains("can differ from a cold one"), "{}", left.summary);
        let names: Vec<_> = fs::read_dir(&first.directories[0]).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert_eq!(names, ["cache.tar"]);
        let mode = fs::metadata(&first.directories[0]).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);

        // What is damaged is left out: the image is the one without it. What is sound is filled all the same.
        let cut = &first.saved(0)[..700];
        second.restore(0, cut);
        let damaged = second.build(&second.map, "");
        assert_eq!(damaged.outputs["digest"], left.outputs["digest"], "{}", way.name());
        let [warning] = damaged.commands.as_slice() else { panic!("{:?}", damaged.commands) };
        assert!(
            warning.starts_with("::warning ") && warning.contains("the cache mount `/kept` starts empty"),
            "{warning}"
        );
        assert!(damaged.summary.contains("starts empty"), "{}", damaged.summary);
        assert!(second.saved(0).len() > cut.len());

        // Another builder, another project; the mounts of nobody else are seen there.
        elsewhere.restore(0, &first.saved(0));
        elsewhere.restore(1, &first.saved(1));
        let without = elsewhere.build("{}", "LEAVES=no");
        assert_eq!(found(&without), NOTHING, "{}", way.name());
        let with = elsewhere.build(&elsewhere.map, "LEAVES=not");
        assert_eq!(found(&with), format!("{NOTHING}{ALL}"), "{}", way.name());
        assert!(with.commands.is_empty(), "{:?}", with.commands);
        assert!(with.summary.contains("can differ from a cold one"), "{}", with.summary);
        assert!(!with.summary.contains("not filled") && !with.summary.contains("not taken out"), "{}", with.summary);
    }
}

#[test]
fn what_a_job_left_in_a_cache_mount_is_there_in_the_next_with_docker() {
    is_handed_on(&[Way::Docker]);
}

#[test]
fn what_a_job_left_in_a_cache_mount_is_there_in_the_next_with_buildkitd() {
    is_handed_on(&[Way::Buildkitd]);
}

#[test]
#[ignore = "two minutes: `make actions`"]
fn what_a_job_left_in_a_cache_mount_is_there_in_the_next_on_all_other_ways() {
    let others: Vec<Way> =
        every_way().iter().copied().filter(|way| ![Way::Docker, Way::Buildkitd].contains(way)).collect();
    is_handed_on(&others);
}
