//! Every flag on every way to build: the same digest, or the documented refusal; and no flag without a test.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Bench, Built, Way, every_way, lab, open_to_all, runtimes, said, words};

/// Flags that another test is about, which is named here.
const ELSEWHERE: [(&str, &str); 12] = [
    ("--runtime", "harness: every build names it"),
    ("--rootless", "harness: the way podman-rootless"),
    ("--buildkit-image", "harness: every build names it"),
    ("--buildkitd-config", "harness: every build names it"),
    ("--builder-network", "harness: every build names it"),
    ("--output", "harness: every build names it"),
    ("--dry", "dry"),
    ("--frontend", "frontend"),
    ("--allow-frontend", "frontend"),
    ("--help", "tests/cli.rs"),
    ("--version", "tests/cli.rs"),
    ("--verbose", "builder"),
];

/// Words that are looked at in the Dockerfile below, so that a flag that does nothing is seen.
const DOCKERFILE: &str = "\
ARG BASE
FROM $BASE AS first
ARG WORD
COPY f /f
COPY --from=other g /g
RUN --mount=type=secret,id=s,required=true --mount=type=ssh,required=true \
    test -S \"$SSH_AUTH_SOCK\" && echo \"$WORD $(cat /run/secrets/s) $(cat /g)\" > /seen
FROM scratch
COPY f /never
";

struct Place {
    bench: Bench,
    way: Way,
    context: PathBuf,
    other: PathBuf,
    inputs: PathBuf,
    key: PathBuf,
}

impl Place {
    fn new(way: Way, test: &str) -> Self {
        let bench = Bench::shared(&format!("{test}, odd 'path'"), way);
        let context = bench.context("con, text", &[("f", "x"), ("Other.Dockerfile", DOCKERFILE), ("ignored", "x")]);
        fs::write(context.join("Other.Dockerfile.dockerignore"), "ignored\n").unwrap();
        let other = bench.context("other, context", &[("g", "from the other")]);
        let inputs = bench.context("inputs", &[("secret", "swordfish")]);
        // Not in the odd directory: clients split the paths of keys at commas.
        let key = bench.temporary().join(format!("key-{test}-{}", way.name()));
        let made = Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key).output();
        assert!(made.unwrap().status.success(), "openssl makes a key");
        open_to_all(&key, 0o644);
        Self { bench, way, context, other, inputs, key }
    }

    /// The words of a build that uses everything that the Dockerfile looks at.
    fn everything(&self) -> Vec<OsString> {
        let mut arguments = words(&["--sde", "1700000000", "--target", "first", "--build-arg", "WORD=a, \"b\" c=d"]);
        arguments.extend(crate::harness::base());
        let path = |prefix: &str, path: &Path| {
            let mut word = OsString::from(prefix);
            word.push(path);
            word
        };
        arguments.extend([
            path("--file=", &self.context.join("Other.Dockerfile")),
            path("--secret=id=s,\"src=", &self.inputs.join("secret\"")),
            path("--ssh=default=", &self.key),
            path("--build-context=other=", &self.other),
        ]);
        arguments
    }

    fn build(&self, arguments: &[OsString]) -> Built {
        self.bench.build(self.way, &self.bench.output(self.way, "image.tar"), arguments, &self.context)
    }

    fn build_with(&self, more: &[&str]) -> Built {
        let mut arguments = self.everything();
        arguments.extend(words(more));
        self.build(&arguments)
    }
}

/// Flags that change the image, and those that must not.
const CHANGES: [&[&str]; 5] = [
    &[
        "--label=a=b, \"c\"",
        "--annotation=manifest[linux/amd64]:org.example.a=b, \"c\"",
        "--platform=linux/amd64",
        "--tag=example.org/a:1",
        "--progress=plain",
    ],
    &["--compression=zstd", "--compression-level=9", "--archive=oci"],
    &["--compression=estargz", "--media-types=oci"],
    &["--compression=uncompressed", "--force-compression"],
    &["--compression-level=1"],
];
const KEEPS: [&[&str]; 2] =
    [&["--pull", "--progress=rawjson", "--context-modes=keep"], &["--no-config", "--progress=auto", "--no-cache"]];

/// Defects 14, 16 and 23 of upstream.
#[test]
fn flags_mean_the_same_on_every_way() {
    let mut first: Option<(Way, Vec<String>)> = None;
    for way in every_way() {
        let place = Place::new(*way, "flags");
        let plain = place.build_with(&[]);
        let mut digests = vec![plain.digest().to_owned()];
        for case in CHANGES {
            let built = place.build_with(case);
            assert!(!digests.contains(&built.digest().to_owned()), "{}: {case:?} changed nothing", way.name());
            digests.push(built.digest().to_owned());
        }
        for case in KEEPS {
            // There is no throw-away state on somebody else's daemon.
            let is_known = |word: &&&str| *way != Way::Remote || **word != "--no-cache";
            let case: Vec<&str> = case.iter().filter(is_known).copied().collect();
            assert_eq!(place.build_with(&case).digest(), plain.digest(), "{} {case:?}", way.name());
        }
        match &first {
            None => first = Some((*way, digests)),
            Some((other, expected)) => assert_eq!(&digests, expected, "{} and {}", way.name(), other.name()),
        }
    }
}

/// Defect 7 of upstream.
#[test]
fn a_date_is_an_epoch_and_git_knows_one() {
    for way in &runtimes() {
        let bench = Bench::shared("dates", *way);
        let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-C"]).arg(&context).args(arguments);
            assert!(git.env("GIT_COMMITTER_DATE", "2023-11-14T22:13:20Z").output().unwrap().status.success());
        };
        git(&["init", "--quiet"]);
        git(&["add", "Dockerfile"]);
        git(&["commit", "--quiet", "--message=a"]);
        let output = bench.output(*way, "image.tar");
        let digest = |words_of: &[&str]| {
            let mut arguments = words(&["--label=git=no"]);
            arguments.extend(words(words_of));
            bench.build(*way, &output, &arguments, &context).row("epoch").to_owned()
        };
        let expected = digest(&["--sde=1700000000"]);
        assert_eq!(digest(&["--datetime=2023-11-14T22:13:20Z"]), expected);
        assert_eq!(digest(&["--sde=git"]), expected, "{}", way.name());
    }
}

#[test]
fn a_file_of_settings_means_the_flags() {
    for way in &runtimes() {
        let place = Place::new(*way, "file");
        let expected = place.build_with(&["--label=a=b"]);
        let file = place.context.join("repro.toml");
        let text = format!(
            "source-date-epoch = 1700000000\ntarget = 'first'\nfile = 'Other.Dockerfile'\nlabel = {{ a = 'b' }}\n\
             secret = 'id=s,src=../inputs/secret'\nssh = ['default={}']\n\
             [build-arg]\nWORD = 'a, \"b\" c=d'\nBASE = '{}'\n[build-context]\nother = '../other, context'\n",
            place.key.display(),
            lab("LAB_BASE_SMALL")
        );
        fs::write(&file, text).unwrap();
        fs::write(place.context.join("Other.Dockerfile.dockerignore"), "ignored\nrepro.toml\n").unwrap();
        let output = place.bench.output(*way, "image.tar");
        let found = place.bench.try_build(*way, &output, &[], &place.context);
        assert_eq!(found.status.code(), Some(2), "a file that is only found hands nothing of this machine out");
        assert!(String::from_utf8_lossy(&found.stderr).contains("if you trust the file"), "{}", said(&found));
        let mut named = OsString::from("--config=");
        named.push(&file);
        let built = place.bench.build(*way, &output, &[named], &place.context);
        assert_eq!(built.digest(), expected.digest(), "{}", way.name());
    }
}

#[test]
fn an_agent_reaches_run() {
    for way in every_way() {
        let place = Place::new(*way, "agent");
        let expected = place.build_with(&[]);
        let socket = place.bench.temporary().join(format!("agent-{}", way.name()));
        let _listener = UnixListener::bind(&socket).unwrap();
        open_to_all(&socket, 0o777);
        let mut arguments = place.everything();
        arguments.retain(|argument| !argument.to_string_lossy().starts_with("--ssh"));
        arguments.push("--ssh=default".into());
        let output = place.bench.output(*way, "image.tar");
        let mut command = place.bench.repro_with(*way, &[("SSH_AUTH_SOCK", socket.as_os_str())]);
        command.args(place.bench.arguments(*way)).arg("-o").arg(&output).args(&arguments).arg(&place.context);
        let result = command.output().unwrap();
        assert!(result.status.success(), "{}: {}", way.name(), said(&result));
        assert_eq!(Built::read(&result).digest(), expected.digest());
        let without = place.bench.try_build(*way, &output, &arguments, &place.context);
        assert_eq!(without.status.code(), Some(2), "{}: {}", way.name(), said(&without));
    }
}

/// Defect 24 of upstream.
#[test]
fn a_quiet_build_says_the_digest_and_a_failed_one_why() {
    for way in &runtimes() {
        let place = Place::new(*way, "quiet");
        let expected = place.build_with(&[]);
        let output = place.bench.output(*way, "image.tar");
        let mut arguments = place.everything();
        arguments.push("--quiet".into());
        let quiet = place.bench.try_build(*way, &output, &arguments, &place.context);
        assert_eq!(String::from_utf8_lossy(&quiet.stdout), format!("{}\n", expected.digest()), "{}", said(&quiet));
        let progress = String::from_utf8_lossy(&quiet.stderr).lines().any(|line| line.starts_with('#'));
        assert!(!progress, "{}: {}", way.name(), said(&quiet));
        let context = place.bench.context("fails", &[("Dockerfile", "FROM scratch\nCOPY missing /\n")]);
        let failed = place.bench.try_build(*way, &output, &words(&["--sde=0", "-q"]), &context);
        assert_eq!(failed.status.code(), Some(3), "{}: {}", way.name(), said(&failed));
        assert!(String::from_utf8_lossy(&failed.stderr).contains("missing"), "{}", said(&failed));
    }
}

#[test]
fn images_of_registries_and_layouts_are_contexts() {
    let mut digests = BTreeSet::new();
    for way in every_way() {
        let bench = Bench::shared("named images", *way);
        let context = bench.context("context", &[("Dockerfile", "FROM named\nCOPY Dockerfile /\n")]);
        let layout = bench.directory("a layout, odd@name");
        let base = lab("LAB_BASE_SMALL");
        let digest = base.rsplit_once('@').unwrap().1;
        let copied = Command::new("skopeo")
            .args(["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", "--preserve-digests"])
            .arg(format!("docker://{}", base.replace(":latest@", "@")))
            .arg(format!("oci:{}:small", layout.display()))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", said(&copied));
        let output = bench.output(*way, "image.tar");
        let image = format!("--build-context=named=docker-image://{base}");
        let from_layout = format!("--build-context=named=oci-layout://{}@{digest}", layout.display());
        for source in [image, from_layout] {
            let built = bench.build(*way, &output, &[source.into(), "--sde=0".into()], &context);
            digests.insert(built.digest().to_owned());
        }
    }
    assert!(digests.len() <= 1, "{digests:?}");
}

#[test]
fn a_context_has_any_name_that_an_image_has() {
    let mut digests = BTreeSet::new();
    for way in every_way() {
        let bench = Bench::shared("names of contexts", *way);
        let text = "FROM nowhere.example:5000/base:V1\nCOPY --from=docker.io/library/files:1 f /f\n\
                    COPY --from=context f /g\nCOPY f /h\n";
        let context = bench.context("context", &[("Dockerfile", text), ("f", "main")]);
        let [one, two] = ["one", "two"].map(|name| bench.context(name, &[("f", name)]).display().to_string());
        let layout = bench.directory("layout");
        let base = lab("LAB_BASE_SMALL");
        let digest = base.rsplit_once('@').unwrap().1;
        let copied = Command::new("skopeo")
            .args(["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", "--preserve-digests"])
            .arg(format!("docker://{}", base.replace(":latest@", "@")))
            .arg(format!("oci:{}:small", layout.display()))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", said(&copied));
        let output = bench.output(*way, "image.tar");
        for source in [format!("docker-image://{base}"), format!("oci-layout://{}@{digest}", layout.display())] {
            let contexts = [
                format!("--build-context=nowhere.example:5000/base:V1={source}"),
                format!("--build-context=files:1={one}"),
                format!("--build-context=context={two}"),
                "--sde=0".to_owned(),
            ];
            let built = bench.build(*way, &output, &contexts.map(OsString::from), &context);
            digests.insert(built.digest().to_owned());
        }
    }
    assert!(digests.len() <= 1, "{digests:?}");
}

/// `repro verify` advises one where a base moved.
#[test]
fn since_buildkit_0_24_a_named_context_is_the_base_that_it_stands_for() {
    for way in every_way().iter().filter(|way| **way != Way::Remote && !way.is_rootless()) {
        let bench = Bench::shared("named base", *way);
        let base = lab("LAB_BASE_SMALL");
        let direct = bench.context("direct", &[("Dockerfile", &format!("FROM {base}\nCOPY f /\n")), ("f", "x")]);
        let named = bench.context("named", &[("Dockerfile", "FROM debian:12\nCOPY f /\n"), ("f", "x")]);
        let output = bench.output(*way, "image.tar");
        let given = format!("--build-context=debian:12=docker-image://{base}");
        let digest = |version: &str, more: &[&str], context: &Path| {
            let mut command = bench.repro(*way);
            command.args(bench.arguments_with(*way, &lab(version))).arg("--sde=0").arg("-o").arg(&output);
            let result = command.args(more).arg(context).output().unwrap();
            assert!(result.status.success(), "{}: {}", way.name(), said(&result));
            Built::read(&result).digest().to_owned()
        };
        let newer = [digest("LAB_BUILDKIT_V0_31_1", &[], &direct), digest("LAB_BUILDKIT_V0_31_1", &[&given], &named)];
        assert_eq!(newer[0], newer[1], "{}", way.name());
        // Those before rewrite it, and are advised something else.
        let older = [digest("LAB_BUILDKIT_V0_19_0", &[], &direct), digest("LAB_BUILDKIT_V0_19_0", &[&given], &named)];
        assert_ne!(older[0], older[1], "{}", way.name());
    }
}

#[test]
fn what_has_no_meaning_is_refused_before_anything_runs() {
    for way in every_way() {
        let bench = Bench::shared("no meaning", *way);
        let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
        let mut cases = vec![
            ("--cache-to=type=inline", "changes its digest"),
            ("--cache-to=type=gha", "v0.20.0"),
            ("--compression=zstd --media-types=docker", "needs OCI media types"),
            ("--compression-level=10", "0 to 9"),
            ("--build-context=a=https://example.org/a.tar", "check it out first"),
            ("--build-context=a=docker-image://example.org/a:1", "tomorrow"),
        ];
        if *way == Way::Remote {
            cases.extend([
                ("--no-cache", "no throw-away state on a BuildKit that others share"),
                ("--builder-network=host", "gave it its network"),
                ("--builder-network=bridge", "gave it its network"),
                ("--buildkitd-config=/dev/null", "gave it its configuration"),
                ("--buildkit-args=--opt=build-arg:a=b", "--buildx-args are for it"),
                ("--rootless", "which image Podman runs"),
                ("--addr-tls=/", "for tcp://"),
                ("--addr-server-name=x", "for tcp://"),
                ("--runtime=docker", "asks for docker"),
            ]);
        }
        if way.runtime() == "podman" {
            cases.push(("--progress=tty", "a terminal would be"));
        }
        let output = bench.output(*way, "image.tar");
        for (arguments, why) in cases {
            let mut all = words(&["--sde=0"]);
            all.extend(arguments.split(' ').map(OsString::from));
            let result = bench.try_build(*way, &output, &all, &context);
            assert_eq!(result.status.code(), Some(2), "{} {arguments}: {}", way.name(), said(&result));
            assert!(String::from_utf8_lossy(&result.stderr).contains(why), "{arguments}: {}", said(&result));
            assert!(!output.exists(), "{}", way.name());
        }
    }
}

#[test]
fn times_that_are_left_alone_are_told() {
    for way in every_way() {
        let bench = Bench::shared("not rewritten", *way);
        let context = bench.context("context", &[("f", "x"), ("Dockerfile", "FROM scratch\nCOPY f /\n")]);
        let output = bench.output(*way, "image.tar");
        let built = bench.build(*way, &output, &words(&["--sde=0", "--no-rewrite-timestamp"]), &context);
        assert!(built.warns_of("another build gives another digest"), "{:?}", built.warnings);
    }
}

/// Every flag that the help shows stands in a test of this directory.
#[test]
fn no_flag_is_without_a_test() {
    let help = Command::new(env!("CARGO_BIN_EXE_repro")).args(["build", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let options = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let flags: BTreeSet<String> = options
        .filter_map(|line| line.split([' ', ',']).find(|word| word.starts_with("--")))
        .map(|word| word.trim_end_matches(['[', '=', '.']).to_owned())
        .collect();
    assert!(flags.len() > 30, "{flags:?}");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab");
    let mut tests = String::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "rs") {
            tests.push_str(&fs::read_to_string(entry.path()).unwrap());
        }
    }
    let aliases = [("--source-date-epoch", "--sde")];
    let tested = |flag: &str| {
        let alias = aliases.iter().find(|(name, _)| *name == flag).map_or(flag, |(_, alias)| *alias);
        ELSEWHERE.iter().any(|(name, _)| *name == flag) || tests.contains(&format!("\"{alias}"))
    };
    let untested: Vec<_> = flags.iter().filter(|flag| !tested(flag)).collect();
    assert!(untested.is_empty(), "no test in tests/lab uses {untested:?}");
}

/// What each platform was built from is known apart: buildx alone finds nothing of several.
#[test]
fn several_platforms_on_a_base_give_one_digest_everywhere() {
    let dockerfile = format!("FROM {}\nCOPY f /f\n", lab("LAB_BASE_SMALL"));
    let mut digests = Vec::new();
    for way in every_way() {
        let bench = Bench::shared("several platforms", *way);
        let context = bench.context("context", &[("Dockerfile", &dockerfile), ("f", "x")]);
        let more = words(&["--sde", "0", "--platform", "linux/amd64,linux/arm64"]);
        let result = bench.try_build(*way, &bench.output(*way, "image.tar"), &more, &context);
        if *way == Way::Remote {
            // There only buildx asks, and what it does not know is not guessed.
            let text = said(&result);
            assert!(result.status.code() == Some(4) && text.contains("one platform at a time"), "{text}");
            continue;
        }
        assert!(result.status.success(), "{}: {}", way.name(), said(&result));
        digests.push((way.name(), Built::read(&result).digest().to_owned()));
    }
    assert!(digests.windows(2).all(|pair| pair[0].1 == pair[1].1), "{digests:?}");
}
