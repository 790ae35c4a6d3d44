//! What an image says of its own build, and what of that is believed. No engine is asked anything.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use repro::environment::Environment;
use repro::image::media_type::{OCI_INDEX, OCI_MANIFEST};
use repro::image::{Image, Platform, ReadOptions, read_archive};
use repro::pin::Version;
use repro::plan::NamedContext;
use repro::provenance::Material;
use repro::settings::{BuildSettings, BuildWords, CompressionWord, ConfigChoice, MediaTypesWord, resolve_for_image};
use repro::verify::{
    BuildRecord, IndexVerdict, Level, PlatformVerdict, Recipe, Verdict, assumed, choose_arguments, compare, judge,
    moved, read,
};
use serde_json::{Value, json};
use support::image_builder::{ImageBuilder, Layout, file, gzip, platforms, tar, zstd};

const EPOCH: i64 = 1_700_000_000;
const DATE: &str = "2023-11-14T22:13:20Z";

fn image(builder: ImageBuilder) -> Image {
    read_archive(builder.build().tar().as_slice(), &ReadOptions::default()).unwrap()
}

fn recipe(image: &Image) -> Recipe {
    read(image, &[], &[])
}

fn layer() -> Vec<u8> {
    tar([file("f", "x").at(EPOCH.unsigned_abs())])
}

fn statement(arguments: &Value) -> BuildRecord {
    let predicate = json!({ "buildDefinition": { "externalParameters": { "request": { "frontend": "dockerfile.v0",
            "args": arguments } }, "internalParameters": { "dockerfileVersion": "1.25.0" } },
        "runDetails": { "metadata": { "buildkit_completeness": { "request": true } } } });
    let statement = json!({ "predicateType": "https://slsa.dev/provenance/v1", "predicate": predicate });
    BuildRecord::parse(statement.to_string().as_bytes()).unwrap()
}

/// The program, with a home of its own and without any engine.
fn repro(more: &[&str]) -> (i32, Value, String) {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
    command.env_clear().envs([("HOME", home.path()), ("PATH", Path::new("/usr/bin:/bin"))]);
    let output = command.args(["verify", "--format", "json"]).args(more).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), report, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_is_missing_is_listed() {
    const ARCHIVE: &str = "fuzz/corpus/archive/docker-v0.19.tar";
    let schema: Value = serde_json::from_str(include_str!("../docs/schema/verify.v1.json")).unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    for (subject, expected) in [(ARCHIVE, vec!["source"]), (&digest, vec!["source", "epoch"])] {
        let (status, report, said) = repro(&[subject]);
        assert_eq!(
            (status, &report["verdict"], &report["reason"]),
            (4, &"unknown".into(), &"missing".into()),
            "{said}"
        );
        let missing: Vec<&str> =
            report["missing"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
        assert_eq!(missing, expected, "{said}");
        assert_eq!(support::schema::violations(&schema, &report), Vec::<String>::new());
        assert!(said.contains("hint: "), "{said}");
    }
    let (status, report, _) = repro(&["nowhere.example/none"]);
    assert_eq!((status, &report["reason"]), (4, &"subject".into()));
    let (status, report, said) = repro(&["Cargo.toml", "src"]);
    assert_eq!((status, &report["verdict"]), (5, &"corrupt".into()), "{said}");
    // Somebody else's BuildKit could hand back what it is to prove.
    let context = tempfile::tempdir().unwrap();
    std::fs::write(context.path().join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    let words = [ARCHIVE, context.path().to_str().unwrap(), "--addr", "unix:///nowhere"];
    let (status, _, said) = repro(&words);
    assert!(status == 4 && said.contains("--accept-unproved-pin"), "{said}");
}

#[test]
fn layers_show_how_they_were_exported() {
    let rewritten = recipe(&image(ImageBuilder::oci().layer_created(gzip(layer()).rewritten(EPOCH), DATE)));
    let words = &rewritten.words.words;
    assert_eq!(words.source_date_epoch.as_deref(), Some("1700000000"));
    assert_eq!((words.media_types, words.compression), (Some(MediaTypesWord::Oci), Some(CompressionWord::Gzip)));
    assert!(!words.no_rewrite_timestamp);
    assert_eq!(words.platform.as_deref(), Some("linux/amd64"));

    let zipped = recipe(&image(ImageBuilder::oci().layer_created(zstd(layer()).rewritten(EPOCH), DATE)));
    assert_eq!(zipped.words.words.compression, Some(CompressionWord::Zstd));
}

#[test]
fn the_date_of_a_clock_is_no_epoch() {
    let created = |date: &'static str| {
        let builder = ImageBuilder::oci().layer_created(gzip(layer()), date);
        let built = image(builder.config(move |config| config["created"] = date.into()));
        recipe(&built).words.words.source_date_epoch
    };
    assert_eq!(created(DATE).as_deref(), Some("1700000000"));
    assert_eq!(created("2023-11-14T22:13:20.123456789Z"), None);
    // What nothing but a word says is a guess, and called one.
    let builder = ImageBuilder::oci().layer_created(gzip(layer()), "2023-11-14T22:13:20.5Z");
    let guessed = recipe(&image(builder.config(|config| {
        config["created"] = "2023-11-14T22:13:20.5Z".into();
        config["config"]["Labels"] = json!({ "org.opencontainers.image.created": DATE });
    })));
    assert_eq!(guessed.words.words.source_date_epoch.as_deref(), Some("1700000000"));
    assert!(guessed.notes.iter().any(|note| note.contains("guess")), "{:?}", guessed.notes);
}

#[test]
fn arguments_of_strangers_are_looked_at_before_they_are_used() {
    let built = image(ImageBuilder::oci().layer_created(gzip(layer()).rewritten(EPOCH), DATE));
    let record = statement(&json!({
        "build-arg:MODE": "fast; touch /x",
        "build-arg:HTTP_PROXY": "http://evil.example",
        "build-arg:https_proxy": "http://evil.example",
        "build-arg:BUILDKIT_SYNTAX": "evil.example/frontend",
        "build-arg:BUILDKIT_CACHE_MOUNT_NS": "other",
        "build-arg:SOURCE_DATE_EPOCH": "1700000000",
        "build-arg:TARGETARCH": "arm64",
        "target": "two",
        "context:other": "local:other",
    }));
    let recipe = read(&built, &[(None, record)], &[]);
    assert_eq!(recipe.words.words.build_arg, ["MODE=fast; touch /x"]);
    assert_eq!(recipe.words.words.target.as_deref(), Some("two"));
    assert_eq!(recipe.needs, [("--build-context", "other".to_owned())]);
    for name in ["HTTP_PROXY", "https_proxy", "BUILDKIT_SYNTAX", "BUILDKIT_CACHE_MOUNT_NS"] {
        assert!(recipe.notes.iter().any(|note| note.contains(name)), "{name}: {:?}", recipe.notes);
    }
    // v1.25 of the frontend is that of BuildKit v0.31.
    assert!(recipe.words.words.buildkit_image.unwrap().contains(":v0.31.0@sha256:"));
    // What is about another manifest is about another image.
    let other = statement(&json!({ "build-arg:MODE": "fast" }));
    let other = read(&built, &[(Some(format!("sha256:{}", "0".repeat(64))), other)], &[]);
    assert!(other.words.words.build_arg.is_empty());
}

#[test]
fn the_history_tells_arguments_of_this_build_alone() {
    let builder = ImageBuilder::oci()
        .layer_of(gzip(layer()), "2020-01-01T00:00:00Z", "RUN |1 BASE=old /bin/sh -c x")
        .layer_of(gzip(layer()).rewritten(EPOCH), DATE, "RUN |2 MODE=fast N=3 /bin/sh -c x")
        .layer_of(gzip(layer()).rewritten(EPOCH), DATE, "RUN |1 WITH=a space /bin/sh -c x");
    let recipe = recipe(&image(builder));
    assert_eq!(recipe.words.words.build_arg, ["MODE=fast", "N=3"], "{:?}", recipe.notes);
}

#[test]
fn platforms_that_are_not_there_are_never_equal() {
    let one = |architecture: &str| {
        ImageBuilder::oci().layer_created(gzip(layer()).rewritten(EPOCH), DATE).platform("linux", architecture, "")
    };
    let two = platforms([one("amd64"), one("arm64")]);
    let two = read_archive(two.tar().as_slice(), &ReadOptions::default()).unwrap();
    let single = image(one("amd64"));
    let wanted = ["linux/amd64".parse().unwrap()];

    let both = compare(&two, &two, &[], |_| false);
    assert_eq!(judge(&both, &two), (Verdict::Equal, None, Some(Level::Image)));
    let half = compare(&two, &single, &[], |_| false);
    assert_eq!(judge(&half, &two).0, Verdict::Unknown);
    let asked = compare(&two, &single, &wanted, |_| false);
    assert_eq!(judge(&asked, &two), (Verdict::Equal, None, Some(Level::Manifest)));
    assert_eq!(asked.platforms[1].verdict, PlatformVerdict::NotRebuilt);

    let other = image(one("amd64").config(|config| config["config"]["Env"] = json!(["A=b"])));
    let differs = compare(&single, &other, &[], |_| false);
    assert_eq!(judge(&differs, &single), (Verdict::Different, None, Some(Level::Layers)));
    let emulated = compare(&single, &other, &[], |_| true);
    assert_eq!(judge(&emulated, &single).0, Verdict::Unknown);
    // Whatever emulates: what is equal is equal.
    assert_eq!(judge(&compare(&single, &single, &[], |_| true), &single).0, Verdict::Equal);
}

#[test]
fn a_base_that_moved_is_named() {
    let base = |name: &str, hex: &str, platform: &str| Material {
        uri: format!("pkg:docker/{name}?digest=sha256:{hex}&platform={platform}"),
        digest: [("sha256".to_owned(), hex.to_owned())].into(),
    };
    let hex = |digit: &str| digit.repeat(64);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(hex);
    let before =
        [base("debian@12", &a, "linux%2Famd64"), base("debian@12", &b, "linux%2Farm64"), base("gone@1", &c, "x")];
    let now = [base("debian@12", &d, "linux%2Famd64"), base("debian@12", &b, "linux%2Farm64")];
    let newer = Some(Version { major: 0, minor: 24, patch: 0 });
    let found = moved(&before, &now, newer);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert!(one.what.contains("`pkg:docker/debian@12`") && one.why.contains(&format!("`{a}`")), "{one:?}");
    assert!(moved(&before, &before, newer).is_empty());
    // What is advised is a word that `repro` takes, for what stands in the Dockerfile.
    for (uri, from) in [
        ("debian@12", "debian:12"),
        ("debian@latest", "debian"),
        ("user/app@1", "user/app:1"),
        ("example.org:5000/a/b@C", "example.org:5000/a/b:C"),
        ("example.org%3A5000/a/b@C", "example.org:5000/a/b:C"),
    ] {
        let found = moved(&[base(uri, &a, "x")], &[base(uri, &d, "x")], newer);
        let word = found[0].fix.strip_prefix("--build-context ").unwrap().split(',').next().unwrap();
        let (name, context) =
            NamedContext::parse(word, Path::new("/")).unwrap_or_else(|error| panic!("{word}: {error}"));
        assert_eq!(name, from);
        let NamedContext::Image(image) = context else { panic!("{word}") };
        assert_eq!(image.digest().unwrap().hex(), a);
        // Before, a base that is a named context is rewritten.
        for older in [Some(Version { major: 0, minor: 23, patch: 2 }), None] {
            let found = moved(&[base(uri, &a, "x")], &[base(uri, &d, "x")], older);
            let line = format!("`FROM {from}@sha256:{a}` in the Dockerfile");
            assert!(found[0].fix.starts_with(&line), "{found:?}");
        }
    }
    // What a stranger's provenance says reaches nobody's shell.
    let odd = moved(&[base("$(id)@1", &a, "x")], &[base("$(id)@1", &d, "x")], newer);
    assert!(!odd[0].fix.contains("$(id)"), "{odd:?}");
}

#[test]
fn what_is_published_is_neither_built_nor_written_over() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).display().to_string();
    std::fs::create_dir(place.path().join("context")).unwrap();
    std::fs::write(path("context/Dockerfile"), "FROM scratch\nCOPY . .\n").unwrap();
    for name in ["context/image.tar", "image.tar"] {
        std::fs::copy("fuzz/corpus/archive/docker-v0.19.tar", path(name)).unwrap();
    }
    std::fs::write(path("context/summary.md"), "").unwrap();
    std::fs::hard_link(path("image.tar"), path("other.tar")).unwrap();
    std::os::unix::fs::symlink(path("context/image.tar"), path("link.tar")).unwrap();
    let (context, inside, outside) = (path("context"), path("context/image.tar"), path("image.tar"));
    let named = format!("named={context}");
    for words in [
        vec![inside.clone(), context.clone()],
        vec![path("link.tar"), context.clone()],
        vec![outside.clone(), context.clone(), "--summary".to_owned(), path("context/summary.md")],
        vec![outside.clone(), context.clone(), "--report".to_owned(), path("context/report")],
        vec![outside.clone(), context.clone(), "--output".to_owned(), outside.clone()],
        vec![outside.clone(), context.clone(), "--html".to_owned(), path("other.tar")],
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (status, _, said) = repro(&words);
        assert!(
            status == 2 && said.contains("hint: ") && (said.contains("is built") || said.contains("written over")),
            "{words:?}: {said}"
        );
    }
    assert!(!place.path().join("context/report").exists(), "what is refused leaves nothing");
    // Nor by another way into the build.
    std::fs::create_dir(place.path().join("second")).unwrap();
    std::fs::write(path("second/Dockerfile"), "FROM scratch\nCOPY . .\n").unwrap();
    let (status, _, said) = repro(&[&inside, &path("second"), "--build-context", &named]);
    assert!(status == 2 && said.contains("is built"), "{said}");
}

#[test]
fn wrong_words_of_a_stranger_are_no_wrong_usage() {
    const ARCHIVE: &str = "fuzz/corpus/archive/docker-v0.19.tar";
    let context = tempfile::tempdir().unwrap();
    let path = |name: &str| context.path().join(name);
    std::fs::write(path("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    let words = [ARCHIVE, context.path().to_str().unwrap()];
    let (status, _, said) = repro(&[&words[..], &["--label", "=x"]].concat());
    assert_eq!(status, 2, "{said}");
    std::fs::write(path("repro.toml"), "label = ['=x']\n").unwrap();
    let (status, report, said) = repro(&words);
    assert_eq!((status, &report["verdict"], &report["reason"]), (4, &"unknown".into(), &"settings".into()), "{said}");
    // Who names a file, trusts it.
    let (status, _, said) = repro(&[&words[..], &["--config", path("repro.toml").to_str().unwrap()]].concat());
    assert_eq!(status, 2, "{said}");
}

/// The settings for a Dockerfile and an image that says this of itself.
fn settings(dockerfile: &str, recipe: &Recipe, flags: &BuildWords) -> BuildSettings {
    let context = tempfile::tempdir().unwrap();
    std::fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
    let flags = BuildWords { context: context.path().into(), ..flags.clone() };
    let environment = Environment::default();
    let now = chrono::Utc::now();
    resolve_for_image(&flags, Some(&recipe.words), &ConfigChoice::None, &environment, context.path(), now).unwrap()
}

#[test]
fn what_nobody_said_is_an_assumption_until_somebody_does() {
    let builder = ImageBuilder::oci()
        .layer_of(gzip(layer()).rewritten(EPOCH), DATE, "RUN |2 MODE=fast N=3 /bin/sh -c x")
        .layer_of(gzip(layer()).rewritten(EPOCH), DATE, "ARG UNSET");
    let recipe = recipe(&image(builder));
    let dockerfile = "ARG IDLE\nFROM scratch AS a\nARG HIDDEN\nFROM scratch\nARG MODE=slow\nARG N=3\nARG UNSET\nARG TARGETARCH\nRUN x\n";
    let found = |flags: &BuildWords, has_recipe: bool| {
        let mut settings = settings(dockerfile, &recipe, flags);
        let unclear = choose_arguments(&mut settings);
        let whats: Vec<String> =
            assumed(&recipe, &settings, &unclear, has_recipe).into_iter().map(|one| one.what).collect();
        (whats, settings.build_args)
    };
    let (whats, arguments) = found(&BuildWords::default(), false);
    assert_eq!(whats, ["BuildKit", "build arguments `HIDDEN`"]);
    // N has the value that the stage gives it anyway; said by a flag, it would be that of every stage.
    assert_eq!(arguments.into_iter().collect::<Vec<_>>(), [("MODE".to_owned(), "fast".to_owned())]);
    let pin = repro::pin::Pin::by_frontend("1.25.0").unwrap().source.to_string();
    let all = BuildWords { build_arg: vec!["HIDDEN=1".to_owned()], buildkit_image: Some(pin), ..Default::default() };
    assert_eq!(found(&all, false).0, [""; 0]);
    assert_eq!(found(&BuildWords { build_arg: Vec::new(), ..all }, true).0, [""; 0]);

    // What was given and is not taken over.
    let built = image(ImageBuilder::oci().layer_created(gzip(layer()).rewritten(EPOCH), DATE));
    let record = statement(&json!({ "build-arg:HTTP_PROXY": "http://evil.example" }));
    let recipe = read(&built, &[(None, record)], &[]);
    let settings = settings("FROM scratch\nARG A\n", &recipe, &BuildWords::default());
    let [one] = &assumed(&recipe, &settings, &BTreeSet::new(), false)[..] else { panic!() };
    assert!(one.fix.contains("--build-arg HTTP_PROXY="), "{one:?}");
}

#[test]
fn whoever_names_a_frontend_overrules_the_image() {
    let built = image(ImageBuilder::oci().layer_created(gzip(layer()).rewritten(EPOCH), DATE));
    let record = statement(&json!({ "build-arg:BUILDKIT_SYNTAX": "docker/dockerfile:1.7" }));
    let recipe = read(&built, &[(None, record)], &[]);
    let context = tempfile::tempdir().unwrap();
    std::fs::write(context.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    let flags = BuildWords { context: context.path().into(), ..Default::default() };
    let resolve = |config: &ConfigChoice| {
        let environment = Environment::default();
        resolve_for_image(&flags, Some(&recipe.words), config, &environment, context.path(), chrono::Utc::now())
            .unwrap()
    };
    assert!(resolve(&ConfigChoice::Found).frontend.frontend.image.is_some());
    std::fs::write(context.path().join("repro.toml"), "frontend = 'builtin'\n").unwrap();
    let settings = resolve(&ConfigChoice::Found);
    assert!(settings.frontend.frontend.image.is_none());
    assert!(settings.from_image.iter().all(|(_, value, _)| value != "BUILDKIT_SYNTAX"));
}

#[test]
fn what_names_no_platform_cannot_be_left_out() {
    let one = ImageBuilder::oci().layer_created(gzip(layer()).rewritten(EPOCH), DATE);
    let mut published = image(one);
    let link = json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2,
        "digest": format!("sha256:{}", "0".repeat(64)) });
    published.left_out.push(serde_json::from_value(link).unwrap());
    let wanted = ["linux/amd64".parse().unwrap()];
    let compared = compare(&published, &published, &wanted, |_| false);
    assert_eq!(judge(&compared, &published).0, Verdict::Unknown);
}

type Change = fn(&mut Layout, &mut Value);

/// An image with an attestation about it, with its index changed.
fn attested(change: impl FnOnce(&mut Layout, &mut Value)) -> Layout {
    let builder = ImageBuilder::oci().layer_created(gzip(layer()).rewritten(EPOCH), DATE);
    let mut layout = builder.attested().build();
    let path = format!("blobs/sha256/{}", layout.image.clone().unwrap().hex());
    let mut index: Value = serde_json::from_slice(layout.bytes(&path)).unwrap();
    layout = layout.without(&path);
    change(&mut layout, &mut index);
    let link = layout.add(OCI_INDEX, index.to_string().into_bytes());
    layout.set("index.json", json!({ "schemaVersion": 2, "manifests": [link] }).to_string().into_bytes());
    layout
}

fn remove(index: &mut Value, at: usize, layout: &mut Layout) {
    // The statements go with the link, or they would be blobs that nothing names.
    let gone = index["manifests"].as_array_mut().unwrap().remove(at);
    let blob = |link: &Value| format!("blobs/sha256/{}", &link["digest"].as_str().unwrap()["sha256:".len()..]);
    let body: Value = serde_json::from_slice(layout.bytes(&blob(&gone))).unwrap();
    for link in [&gone, &body["config"], &body["layers"][0]] {
        *layout = layout.clone().without(&blob(link));
    }
}

#[test]
fn an_index_differs_by_attestations_only_where_nothing_else_is_in_it() {
    let rebuilt = image(ImageBuilder::oci().layer_created(gzip(layer()).rewritten(EPOCH), DATE));
    let compared = |layout: &Layout| {
        let published = read_archive(layout.tar().as_slice(), &ReadOptions::default()).unwrap();
        let compared = compare(&published, &rebuilt, &[], |_| false);
        assert_eq!(judge(&compared, &published), (Verdict::Equal, None, Some(Level::Manifest)));
        compared.index.unwrap()
    };
    let real = compared(&attested(|_, _| {}));
    assert_eq!((real.verdict, real.attestations), (IndexVerdict::AttestationsOnly, 1), "{:?}", real.differences);
    // As `oci-artifact=true` writes it.
    let artifact = compared(&attested(|layout, index| {
        let mut config = layout.add("application/vnd.oci.empty.v1+json", b"{}".to_vec());
        config["data"] = "e30=".into();
        let statement = layout.add("application/vnd.in-toto+json", b"{ }".to_vec());
        let body = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [statement],
            "artifactType": "application/vnd.docker.attestation.manifest.v1+json", "subject": index["manifests"][0] });
        let link = layout.add(OCI_MANIFEST, body.to_string().into_bytes());
        let mut second = index["manifests"][1].clone();
        second["digest"] = link["digest"].clone();
        second["size"] = link["size"].clone();
        index["manifests"].as_array_mut().unwrap().push(second);
    }));
    assert_eq!((artifact.verdict, artifact.attestations), (IndexVerdict::AttestationsOnly, 2));
    let changes: [(Change, &str); 9] = [
        (|_, index| index["subject"] = index["manifests"][0].clone(), "its `subject`"),
        (|_, index| index["artifactType"] = "a/b".into(), "its `artifactType`"),
        (|_, index| index["manifests"][0]["urls"] = json!(["http://x"]), "`urls` of the descriptor for linux/amd64"),
        (
            |_, index| index["manifests"][0]["artifactType"] = "a/b".into(),
            "`artifactType` of the descriptor for linux/amd64",
        ),
        (|_, index| index["manifests"][0]["data"] = Value::Null, "`data` of the descriptor for linux/amd64"),
        (|_, index| index["manifests"][0]["platform"]["x"] = 1.into(), "`platform` of the descriptor for linux/amd64"),
        (|_, index| index["manifests"][0]["platform"] = Value::Null, "`platform` of the descriptor for no platform"),
        (|_, index| index["annotations"] = json!({ "a": "b" }), "annotation `a` of the index"),
        (|layout, index| remove(index, 1, layout), "it is an index, and the rebuild is none"),
    ];
    for (change, said) in changes {
        let index = compared(&attested(change));
        assert_eq!((index.verdict, index.differences), (IndexVerdict::Different, vec![said.to_owned()]));
    }
}

#[test]
fn what_hides_behind_the_words_of_an_attestation_is_not_known() {
    let rebuilt = image(ImageBuilder::oci().layer_created(gzip(layer()).rewritten(EPOCH), DATE));
    let hidden = attested(|layout, index| {
        let path = |link: &Value| format!("blobs/sha256/{}", &link["digest"].as_str().unwrap()["sha256:".len()..]);
        let old = path(&index["manifests"][1]);
        let mut body: Value = serde_json::from_slice(layout.bytes(&old)).unwrap();
        *layout = layout.clone().without(&old);
        body["layers"][0]["mediaType"] = "application/x-tar".into();
        let link = layout.add(OCI_MANIFEST, body.to_string().into_bytes());
        index["manifests"][1]["digest"] = link["digest"].clone();
        index["manifests"][1]["size"] = link["size"].clone();
    });
    let published = read_archive(hidden.tar().as_slice(), &ReadOptions::default()).unwrap();
    let judged = |wanted: &[Platform]| {
        let compared = compare(&published, &rebuilt, wanted, |_| false);
        assert_eq!(compared.index.as_ref().unwrap().verdict, IndexVerdict::NotCompared);
        judge(&compared, &published).0
    };
    assert_eq!(judged(&[]), Verdict::Unknown);
    assert_eq!(judged(&["linux/amd64".parse().unwrap()]), Verdict::Equal);
    // Where it is not here, nobody saw what it is.
    let mut partial = read_archive(attested(|_, _| {}).tar().as_slice(), &ReadOptions::default()).unwrap();
    partial.left_out.push(partial.attestations.remove(0).descriptor);
    let compared = compare(&partial, &rebuilt, &[], |_| false);
    assert_eq!(compared.index.unwrap().verdict, IndexVerdict::NotCompared);
}

#[test]
fn whoever_gives_a_base_another_meaning_is_named() {
    let context = tempfile::tempdir().unwrap();
    let path = |name: &str| context.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("Dockerfile"), "FROM debian\nCOPY --from=other f /\n").unwrap();
    std::fs::create_dir(path("other")).unwrap();
    let evil = format!("docker-image://localhost:5000/evil@sha256:{}", "1".repeat(64));
    let text = format!("build-context = {{ 'docker.io/library/debian:latest' = '{evil}', other = 'other' }}\n");
    let elsewhere = tempfile::tempdir().unwrap();
    let recipe = elsewhere.path().join("recipe.toml").to_str().unwrap().to_owned();
    std::fs::write(&recipe, &text).unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    let words = [&digest, context.path().to_str().unwrap(), "--sde", "0", "--addr", "unix:///nowhere"];
    let run = |more: &[&str]| {
        let (_, report, said) = repro(&[&words[..], &["--accept-unproved-pin"], more].concat());
        let settings = report["settings"].as_array().unwrap_or_else(|| panic!("{said}"));
        let told = settings.iter().filter(|one| one["name"] == "build-context");
        let told: Vec<(String, String)> = told
            .map(|one| (one["value"].as_str().unwrap().to_owned(), one["origin"].as_str().unwrap().to_owned()))
            .collect();
        let notes = report["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap().to_owned());
        (told, notes.filter(|note| note.contains("look whether")).collect::<Vec<_>>())
    };
    let check = |(told, notes): (Vec<(String, String)>, Vec<String>), origin: &str| {
        let expected = [format!("debian={evil}"), "other=other".to_owned()].map(|value| (value, origin.to_owned()));
        assert_eq!(told, expected);
        assert!(notes.len() == 2 && notes.iter().all(|note| note.contains(origin)), "{notes:?}");
        assert!(notes[0].contains(&evil), "{notes:?}");
    };
    check(run(&["--recipe", &recipe]), "`build-context` in --recipe");
    std::fs::write(path("repro.toml"), text).unwrap();
    check(run(&[]), "`build-context` in repro.toml");
    // Who says it on the command line has looked.
    let (told, notes) =
        run(&["--build-context", &format!("debian={evil}"), "--build-context", &format!("other={}", path("other"))]);
    assert!(notes.is_empty() && told.iter().all(|(_, origin)| origin == "--build-context"), "{told:?} {notes:?}");
}
