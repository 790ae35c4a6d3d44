//! What `repro analyze` prints, and its exit statuses.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use std::process::{Command, Output};

use repro::digest::Digest;
use serde_json::{Value, json};
use support::image_builder::{ImageBuilder, Layout, dir, file, plain, platforms, tar};
use support::schema::violations;

struct Printed {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the command on a file, with the path of the file left out of what it prints.
fn run(path: &str, words: &[&str]) -> Printed {
    let output: Output =
        Command::new(env!("CARGO_BIN_EXE_repro")).args(["analyze", path]).args(words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(path, "image.tar");
    Printed { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn analyze(archive: &[u8], words: &[&str]) -> Printed {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), archive).unwrap();
    run(file.path().to_str().unwrap(), words)
}

/// An image whose bytes never change: nothing in it is compressed.
fn image() -> Layout {
    ImageBuilder::docker()
        .layer(plain(tar([dir("bin/").at(0), file("bin/hello", "hello\n").at(1_700_000_000)])))
        .layer(plain(tar([])))
        .named("docker.io/library/hello:1")
        .build()
}

fn both() -> Layout {
    platforms([
        ImageBuilder::oci().layer(plain(tar([file("a", "a")])).rewritten(0)),
        ImageBuilder::oci().platform("linux", "arm", "v7").layer(plain(tar([file("a", "a")]))),
    ])
}

#[test]
fn the_text_of_an_image() {
    let printed = analyze(&image().tar(), &[]);
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!("image", printed.stdout);
}

#[test]
fn the_text_of_two_platforms() {
    insta::assert_snapshot!("platforms", analyze(&both().tar(), &[]).stdout);
}

#[test]
fn the_text_of_the_documents() {
    let printed = analyze(&image().tar(), &["--show-contents"]);
    insta::assert_snapshot!("contents", printed.stdout);
}

#[test]
fn the_json_is_what_the_schema_says() {
    let schema: Value = serde_json::from_str(include_str!("../docs/schema/analyze.v1.json")).unwrap();
    let attested = ImageBuilder::oci().layer(plain(tar([file("a", "a")]))).attested().build();
    let zero = Digest::of(b"").to_string();
    let manifest = both().manifest.unwrap().to_string();
    for (layout, words, status) in [
        (image(), vec!["--show-contents"], "ok"),
        (image(), vec!["--files"], "ok"),
        (both(), vec!["--files", "--layer=0", "--platform=linux/arm"], "ok"),
        (both(), vec!["--platform=linux/riscv64"], "mismatch"),
        (both(), vec!["--expected-image-digest", manifest.as_str()], "ok"),
        (attested, vec![], "ok"),
        (image(), vec!["--expected-image-digest", zero.as_str()], "mismatch"),
        (image().with("x", ""), vec!["--expected-image-digest", zero.as_str()], "corrupt"),
    ] {
        let printed = analyze(&layout.tar(), &[&words[..], &["--format", "json"]].concat());
        let value: Value = serde_json::from_str(&printed.stdout).unwrap();
        assert_eq!(violations(&schema, &value), Vec::<String>::new());
        assert_eq!(value["status"], status);
    }
    // The check itself finds what is wrong.
    let printed = analyze(&image().tar(), &["--format", "json"]);
    let good: Value = serde_json::from_str(&printed.stdout).unwrap();
    for (pointer, wrong) in [
        ("/schema", json!("repro.analyze.v2")),
        ("/image/digest", json!("sha256:00")),
        ("/image/manifests/0/layers/0/entries", json!(-1)),
        ("/image/manifests/0/layers/0/compression", json!("lz4")),
        ("/image/manifests/0/config", json!({})),
        ("/image/manifests/0/platform/os", json!(null)),
        ("/faults", json!([{"place": "x", "message": "y", "more": 1}])),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = wrong;
        assert_ne!(violations(&schema, &bad), Vec::<String>::new(), "{pointer}");
    }
}

#[test]
fn the_entries_of_the_layers() {
    let printed = analyze(&image().tar(), &["--files"]);
    let lines: Vec<&str> = printed.stdout.lines().filter(|line| line.contains(" 0/0 ")).collect();
    let expected = [
        "    drw-r--r-- 0/0                0 1970-01-01T00:00:00Z bin/",
        "    -rw-r--r-- 0/0                6 2023-11-14T22:13:20Z bin/hello",
    ];
    assert_eq!((printed.code, lines.as_slice()), (Some(0), &expected[..]), "{}", printed.stdout);
    let json = |words: &[&str]| -> Value {
        let printed = analyze(&image().tar(), &[words, &["--format", "json"]].concat());
        serde_json::from_str(&printed.stdout).unwrap()
    };
    let value = json(&["--files", "--layer", "1"]);
    let manifest = &value["image"]["manifests"][0];
    let numbers: Vec<&Value> = manifest["layers"].as_array().unwrap().iter().map(|layer| &layer["number"]).collect();
    assert_eq!((numbers, &manifest["layer_count"]), (vec![&json!(1)], &json!(2)));
    assert_eq!(manifest["layers"][0]["files"], json!([]));
    assert!(json(&[])["image"]["manifests"][0]["layers"][0].get("files").is_none(), "only where they were asked for");
    let beyond = analyze(&image().tar(), &["--layer", "2"]);
    assert_eq!((beyond.code, beyond.stdout.as_str()), (Some(2), ""));
    let message = "error: `image.tar`: there is no layer 2\n\nhint: the last one is 1\n";
    assert_eq!(beyond.stderr, message);
}

#[test]
fn one_platform_of_several() {
    let (archive, all) = (both().tar(), analyze(&both().tar(), &[]).stdout);
    let digests = |text: &str| -> Vec<String> {
        let manifests = text.lines().filter_map(|line| line.strip_prefix("Manifest"));
        manifests.map(|digest| digest.trim().to_owned()).collect()
    };
    let [amd64, arm] = digests(&all).try_into().unwrap();
    for (platform, digest) in
        [("linux/amd64", &amd64), ("linux/x86_64", &amd64), ("linux/arm", &arm), ("Linux/ARM/v7", &arm)]
    {
        let printed = analyze(&archive, &["--platform", platform]);
        assert_eq!((printed.code, digests(&printed.stdout)), (Some(0), vec![digest.clone()]), "{platform}");
    }
    let found = analyze(&archive, &["--platform=linux/amd64", "--expected-image-digest", &amd64]);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let other = analyze(&archive, &["--platform=linux/amd64", "--expected-image-digest", &arm]);
    assert_eq!(other.code, Some(1), "the manifest of another platform is not what was asked for");
    let none = analyze(&archive, &["--platform=linux/arm64"]);
    assert_eq!(none.code, Some(1));
    assert!(
        none.stderr.starts_with("error: `image.tar`: no image for the platform that was asked for\n"),
        "{}",
        none.stderr
    );
    for wrong in ["", "linux", "linux/", "a/b/c/d", "linux/\u{1b}"] {
        let printed = analyze(&archive, &["--platform", wrong]);
        assert_eq!((printed.code, printed.stdout.as_str()), (Some(2), ""), "{wrong}: {}", printed.stderr);
    }
}

/// By the annotation of the layers, or by what the dates allow.
#[test]
fn the_epoch_of_the_build() {
    let at = |created: &'static str, mtime| {
        let layer = plain(tar([file("a", "a").at(mtime)]));
        ImageBuilder::docker().layer(layer).config(move |config| config["created"] = created.into()).build()
    };
    let annotated = || plain(tar([file("a", "a")])).rewritten(7);
    for (layout, epoch) in [
        (ImageBuilder::oci().layer(annotated()).build(), json!({"seconds": 7, "by": "annotation"})),
        (ImageBuilder::oci().layer(annotated()).layer(plain(tar([])).rewritten(8)).build(), json!(null)),
        (at("1970-01-01T00:01:00Z", 60), json!({"seconds": 60, "by": "created"})),
        (at("1970-01-01T00:01:00Z", 61), json!(null)),
        (at("1970-01-01T00:01:00.5Z", 60), json!(null)),
        (at("yesterday", 60), json!(null)),
    ] {
        let printed = analyze(&layout.tar(), &["--format", "json"]);
        let value: Value = serde_json::from_str(&printed.stdout).unwrap();
        assert_eq!(value["image"]["manifests"][0]["epoch"], epoch, "{}", printed.stdout);
    }
}

#[test]
fn the_expected_digest_is_found_at_each_level() {
    let layout = both();
    let index = Digest::of(&layout.members.iter().find(|(name, _)| name == "index.json").unwrap().1);
    for (digest, level) in [
        (layout.image.clone().unwrap(), "the image"),
        (index, "an index"),
        (layout.manifest.clone().unwrap(), "a manifest for linux/arm/v7"),
        (layout.config.clone().unwrap(), "a config (image ID) for linux/arm/v7"),
    ] {
        let printed = analyze(&layout.tar(), &["--expected-image-digest", &digest.to_string()]);
        assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
        let line = format!("\nDigest matches: {digest} is that of {level}\n");
        assert!(printed.stdout.ends_with(&line), "{}", printed.stdout);
    }
}

#[test]
fn another_digest_than_expected() {
    let layout = image();
    let found = layout.image.clone().unwrap();
    // The digest of a layer is none of the image.
    let layer = Digest::of(&tar([]));
    let printed = analyze(&layout.tar(), &["--expected-image-digest", &layer.to_string()]);
    assert_eq!(printed.code, Some(1));
    let first = printed.stderr.lines().next().unwrap();
    assert_eq!(first, format!("error: `image.tar`: expected `{layer}`, found `{found}`"));
    let lines = format!("\nDigest differs\n  Expected      {layer}\n  Found         {found}\n");
    assert!(printed.stdout.ends_with(&lines), "{}", printed.stdout);
}

#[test]
fn an_expected_digest_that_is_none_is_a_mistake_in_usage() {
    let sha256 = Digest::of(b"").to_string();
    for (digest, reason) in [
        ("", "a digest is empty"),
        (&sha256.replace("sha256", "sha512"), "sha512 takes 128 lower-case hexadecimal digits"),
        (&sha256.to_uppercase(), "digest algorithm `SHA256` is not known"),
        (&sha256[7..], "no `algorithm:` in front"),
    ] {
        let printed = run("image.tar", &["--expected-image-digest", digest]);
        assert_eq!(printed.code, Some(2));
        assert!(printed.stderr.contains(reason), "{}", printed.stderr);
    }
}

#[test]
fn a_broken_archive() {
    let layout = image();
    let expected = layout.image.clone().unwrap().to_string();
    let printed = analyze(&layout.with("\u{1b}[2J", "").tar(), &["--expected-image-digest", &expected]);
    assert_eq!(printed.code, Some(5));
    assert!(printed.stderr.starts_with("error: `image.tar`: not a sound image: 1 fault\n"), "{}", printed.stderr);
    assert!(printed.stdout.starts_with("`\\u{1b}[2J`: does not belong to an image layout\n"), "{}", printed.stdout);
    assert!(!printed.stdout.contains("matches"));
    let printed = analyze(b"hello", &[]);
    assert_eq!(
        (printed.code, printed.stdout.as_str()),
        (Some(5), "archive: not a tar archive: cut off at byte 5: a block is not complete\n")
    );
}

#[test]
fn an_archive_that_is_not_there() {
    let printed = run("/nowhere/image.tar", &[]);
    assert_eq!(printed.code, Some(4));
    assert_eq!(printed.stderr.lines().next().unwrap(), "error: there is no file `image.tar`");
}

#[test]
fn nothing_from_inside_an_image_reaches_the_terminal() {
    let evil = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}";
    let layout = ImageBuilder::oci()
        .layer(plain(tar([file(evil, "")])).annotated(evil, evil))
        .named(evil)
        .config(move |config| {
            config["created"] = evil.into();
            config["os"] = evil.into();
            config["config"]["Labels"] = json!({evil: evil});
        })
        .index(move |index| index["manifests"][0]["platform"]["os"] = evil.into())
        .build();
    for words in [&["--show-contents", "--files"][..], &["--show-contents", "--files", "--format", "json"]] {
        let printed = analyze(&layout.tar(), words);
        assert_eq!(printed.code, Some(0), "{}", printed.stdout);
        let is_bad = |character| repro::image::escape::is_unprintable(character) && character != '\n';
        assert!(!printed.stdout.contains(is_bad), "{:?}", printed.stdout);
    }
}

/// Without a place to keep the entries nothing is listed, and nothing is said to be wrong with the archive.
#[test]
fn entries_that_cannot_be_kept() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), image().tar()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
    let output = command.args(["analyze", "--files"]).arg(file.path()).env("TMPDIR", "/nowhere").output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(4), &b""[..]));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("error: cannot keep the list of entries: No such file or directory"), "{stderr}");
}

#[test]
fn a_part_is_never_taken_for_the_whole() {
    let whole = both();
    let manifest = whole.manifest.clone().unwrap();
    let kept = both().members.into_iter().filter(|(path, _)| !path.ends_with(manifest.hex())).collect();
    let part = Layout { members: kept, ..whole.clone() };
    // Its config and its layer are named by nothing then.
    let unused: Vec<String> = analyze(&part.tar(), &[])
        .stdout
        .lines()
        .filter_map(|line| line.strip_suffix("`: nothing refers to this blob")?.strip_prefix('`').map(str::to_owned))
        .collect();
    let part = unused.iter().fold(part, |part, path| part.without(path));
    let printed = analyze(&part.tar(), &[]);
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
    assert!(printed.stdout.contains(&format!("\nLeft out        {manifest}, linux/arm/v7\n")), "{}", printed.stdout);
    let json: Value = serde_json::from_str(&analyze(&part.tar(), &["--format", "json"]).stdout).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../docs/schema/analyze.v1.json")).unwrap();
    assert_eq!((violations(&schema, &json), json["status"].as_str()), (Vec::new(), Some("partial")));
    let expect = |digest: &Digest, words: &[&str]| {
        analyze(&part.tar(), &[&["--expected-image-digest", &digest.to_string()], words].concat()).code
    };
    let other = json["image"]["manifests"][0]["digest"].as_str().unwrap().parse().unwrap();
    assert_eq!(expect(&other, &[]), Some(0));
    for unknown in [whole.image.unwrap(), manifest, whole.config.unwrap(), Digest::of(b"")] {
        assert_eq!(expect(&unknown, &[]), Some(4), "{unknown}");
    }
    assert_eq!(expect(&Digest::of(b""), &["--platform", "linux/amd64"]), Some(1));
    assert_eq!(analyze(&part.tar(), &["--platform", "linux/arm/v7"]).code, Some(4));
    assert_eq!(analyze(&part.tar(), &["--platform", "linux/riscv64"]).code, Some(1));
}
