//! Archives made to hurt whoever reads them: each ends with a clear message and exit status 5, or is read, and in little memory.
//!
//! The program runs as a child with a limit on its data (`ulimit -d`): what asks for more aborts, and that is no exit status.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::{ChildStdin, Command, Stdio};

use repro::digest::Digest;
use repro::image::media_type::OCI_INDEX;
use repro::image::{ReadOptions, read_archive};
use serde_json::{Value, json};
use support::image_builder::{ImageBuilder, Layer, Layout, blob, dir, file, gzip, plain, tar, typed, zstd};
use support::mutations::mutations;

/// What reading may take, in MB: a document of 4 MiB may become some 100 in the structures it is parsed into.
const MEMORY: u64 = 256;

struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    /// Refused, in words that hold `says` and nothing that a terminal acts on.
    fn is_refused(&self, says: &str) {
        assert_eq!(self.code, Some(5), "{}{}", cut(&self.stdout), cut(&self.stderr));
        assert!(self.stdout.contains(says), "{}", cut(&self.stdout));
        let odd = |c: char| c != '\n' && repro::image::escape::is_unprintable(c);
        assert!(!self.stdout.contains(odd) && !self.stderr.contains(odd), "{:?}", cut(&self.stdout));
        assert!(self.stderr.contains("error: ") && self.stderr.contains("hint: "), "{}", self.stderr);
    }

    fn is_sound(&self) {
        assert_eq!(self.code, Some(0), "{}{}", cut(&self.stdout), cut(&self.stderr));
    }
}

fn cut(text: &str) -> String {
    text.chars().take(2000).collect()
}

/// What the program says to what `feed` writes, with that much memory.
fn analyze_within(megabytes: u64, feed: impl FnOnce(&mut ChildStdin) -> io::Result<()> + Send) -> Outcome {
    let script = format!("ulimit -d {}; exec \"$0\" analyze -", megabytes << 10);
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_repro")]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // Whoever has seen enough does not read on.
            let _ = feed(&mut stdin);
        });
        child.wait_with_output().unwrap()
    });
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn analyze(archive: &[u8]) -> Outcome {
    analyze_within(MEMORY, |stdin| stdin.write_all(archive))
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The first block of a member that says it has `size` bytes.
fn promise(kind: u8, name: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Layers whose tars are this many MiB of zeros: an end, and what follows it.
fn bomb(megabytes: usize) -> [Layer; 2] {
    let zeros = vec![0; megabytes << 20];
    [gzip(zeros.clone()), zstd(zeros)]
}

#[test]
fn sizes_that_lie_are_not_believed() {
    // A gigabyte of a header extension, and 8 EiB of a document: what is promised is not reserved.
    let outcome = analyze_within(MEMORY, |stdin| {
        stdin.write_all(&promise(b'x', "pax", 1 << 30))?;
        stdin.write_all(&vec![b'1'; 64 << 20])
    });
    outcome.is_refused("header extension of 1073741824 bytes is over the limit of 1048576");
    let outcome = analyze_within(MEMORY, |stdin| {
        stdin.write_all(&promise(b'0', "index.json", i64::MAX.unsigned_abs()))?;
        stdin.write_all(&[b' '; 4096])
    });
    outcome.is_refused("the archive is cut off at byte 4608: the data of an entry goes on");
}

#[test]
fn json_of_any_size_is_not_kept() {
    let outcome = analyze_within(MEMORY, |stdin| {
        let size = 100 << 20;
        stdin.write_all(&promise(b'0', "index.json", size))?;
        stdin.write_all(b"{\"a\":[1")?;
        (0..=100).try_for_each(|_| stdin.write_all(&b",1".repeat(1 << 19)))
    });
    outcome.is_refused("");
    let large = image().config(|config| config["x"] = "x".repeat(100 << 20).into()).build();
    analyze(&large.tar()).is_refused("is over the limit of 4194304");
}

fn image() -> ImageBuilder {
    ImageBuilder::oci().layer(gzip(tar([file("a", "a")])))
}

#[test]
fn a_bomb_fills_no_memory() {
    for layer in bomb(600) {
        let expected = layer.diff_id();
        let outcome = analyze(&ImageBuilder::oci().layer(layer).build().tar());
        outcome.is_sound();
        assert!(outcome.stdout.contains(&expected.to_string()), "{}", outcome.stdout);
    }
}

#[test]
fn a_stream_of_nothing_ends() {
    // A million members of gzip, and as many frames of zstd, that hold nothing.
    let empty = |blob: &[u8]| blob.repeat(1_000_000);
    for (nothing, suffix) in [(gzip(Vec::new()).blob, "gzip"), (zstd(Vec::new()).blob, "zstd")] {
        analyze(&ImageBuilder::oci().layer(blob(Vec::new(), empty(&nothing), suffix)).build().tar()).is_sound();
    }
    // A name in the header of gzip that does not end.
    let endless = [b"\x1f\x8b\x08\x08\0\0\0\0\0\xff".as_slice(), &vec![b'a'; 64 << 20]].concat();
    analyze(&ImageBuilder::oci().layer(blob(Vec::new(), endless, "gzip")).build().tar())
        .is_refused("gzip data is damaged");
    // Skippable frames of zstd, and one of 4 GiB of which nothing comes.
    let skipped = b"\x50\x2a\x4d\x18\x04\0\0\0abcd".repeat(100_000);
    analyze(&ImageBuilder::oci().layer(blob(Vec::new(), skipped, "zstd")).build().tar()).is_sound();
    let promised = b"\x50\x2a\x4d\x18\xff\xff\xff\xffabcd".to_vec();
    analyze(&ImageBuilder::oci().layer(blob(Vec::new(), promised, "zstd")).build().tar())
        .is_refused("zstd data is damaged");
}

#[test]
fn a_window_of_zstd_is_bounded() {
    let bytes = vec![7; 64 << 20];
    let compressed = |log| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(&tar([file("a", &bytes)])).unwrap();
        encoder.finish().unwrap()
    };
    let layer = |log| ImageBuilder::oci().layer(blob(tar([file("a", &bytes)]), compressed(log), "zstd")).build().tar();
    analyze(&layer(27)).is_sound();
    analyze(&layer(28)).is_refused("zstd data is damaged");
}

#[test]
fn names_without_end_are_cut() {
    // Each name is a megabyte that takes six when it is escaped: a thousand faults would keep them all.
    let name = "\u{1b}".repeat(1 << 20) + "\n";
    let member = [promise(b'x', "pax", 0), Vec::new()].concat();
    assert_eq!(member.len(), 512);
    let outcome = analyze_within(MEMORY, |stdin| {
        let long = typed(b'L', "././@LongLink", &name.as_bytes()[..1 << 20]);
        let one = tar([long, file("x", "")]);
        (0..200).try_for_each(|_| stdin.write_all(&one[..one.len() - 1024]))?;
        stdin.write_all(&[0; 1024])
    });
    outcome.is_refused("does not belong to an image layout");
    assert!(outcome.stdout.len() < 3_000_000, "{} bytes are told", outcome.stdout.len());
}

#[test]
fn one_document_named_a_thousand_times_is_kept_once() {
    // Each of these descriptors is a fault that names the media type of the first, of a megabyte, and a platform.
    let layout = image().build();
    let manifest = layout.manifest.clone().unwrap();
    let size = layout.bytes(&path(&manifest)).len();
    let first = json!({"mediaType": "x".repeat(1 << 20), "digest": manifest.to_string(), "size": size});
    let other = json!({"mediaType": "y", "digest": manifest.to_string(), "size": 1});
    let manifests: Vec<Value> = std::iter::once(first).chain(std::iter::repeat_n(other, 20_000)).collect();
    let outcome = analyze(&layout.edit("index.json", |index| index["manifests"] = manifests.into()).tar());
    outcome.is_refused("more than 1000 faults");
}

#[test]
fn as_many_manifests_as_a_document_holds() {
    let descriptors = |count: usize| {
        let mut text = String::from(r#"{"schemaVersion":2,"manifests":["#);
        for number in 0..count {
            let comma = if number == 0 { "" } else { "," };
            write!(text, r#"{comma}{{"digest":"{}","size":1}}"#, Digest::of(&number.to_le_bytes())).unwrap();
        }
        text + "]}"
    };
    let with = |index: String| image().build().change("index.json", |bytes| *bytes = index.into_bytes()).tar();
    analyze(&with(descriptors(40_000))).is_refused("more than 1000 faults");
    analyze(&with(descriptors(100_000))).is_refused("is over the limit of 4194304");
    // As many entries in manifest.json, each with another config.
    let entries = (0..100_000).map(|number| format!(r#"{{"Config":"{number}"}}"#)).collect::<Vec<_>>().join(",");
    let layout = ImageBuilder::both().layer(gzip(tar([]))).build();
    let layout = layout.change("manifest.json", |bytes| *bytes = format!("[{entries}]").into_bytes());
    analyze(&layout.tar()).is_refused("more than 1000 faults");
}

#[test]
fn small_words_do_not_become_large_structures() {
    // As many steps, features and annotations as fit into documents.
    let steps = |count: usize| Value::from(vec![json!({}); count]);
    let history = image().config(move |config| config["history"] = steps(1_300_000)).build();
    analyze(&history.tar()).is_refused("the history has 1300000 steps that made a layer, but there are only 1");
    let features = image().config(|config| config["os.features"] = vec![""; 1_300_000].into()).build();
    analyze(&features.tar()).is_sound();
    let unknown = image().config(|config| config["unknown"] = vec![1; 2_000_000].into()).build();
    analyze(&unknown.tar()).is_sound();
    let keys: serde_json::Map<_, _> = (0..300_000).map(|number| (format!("{number}"), "".into())).collect();
    let annotations = image().manifest(move |manifest| manifest["annotations"] = keys.clone().into()).build();
    let outcome = analyze(&annotations.tar());
    outcome.is_sound();
}

#[test]
fn indexes_that_name_each_other() {
    // Digests forbid a loop of sound documents; these have other bytes than their names say.
    let [one, two] = ["one", "two"].map(|name| Digest::of(name.as_bytes()));
    let index = |to: &Digest| {
        let descriptor = json!({"mediaType": OCI_INDEX, "digest": to.to_string(), "size": 188});
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor]}).to_string()
    };
    let layout = image().build().with(&path(&one), index(&two)).with(&path(&two), index(&one));
    let layout = layout.change("index.json", |bytes| *bytes = index(&one).into_bytes());
    analyze(&layout.tar()).is_refused("the name says");
}

#[test]
fn a_graph_that_doubles_with_each_level_is_walked_once() {
    // Eight levels of indexes, each naming both of the next: 2^8 ways to the bottom, or 40,000^7 with more of them.
    let mut layout = image().build();
    let mut below: Value = serde_json::from_slice(layout.bytes("index.json")).unwrap();
    for level in 0..6 {
        let index = |name: &str| {
            let mut index = below.clone();
            index["annotations"] = json!({"name": format!("{level}{name}")});
            index["mediaType"] = OCI_INDEX.into();
            index.to_string().into_bytes()
        };
        let names: Vec<String> = (0..200).map(|number| number.to_string()).collect();
        let descriptors: Vec<Value> = names.iter().map(|name| layout.add(OCI_INDEX, index(name))).collect();
        below = json!({"schemaVersion": 2, "manifests": descriptors});
    }
    layout.set("index.json", below.to_string().into_bytes());
    let outcome = analyze(&layout.tar());
    assert!(matches!(outcome.code, Some(0 | 5)), "{}", cut(&outcome.stderr));
}

#[test]
fn nothing_reaches_the_terminal() {
    let odd = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}\r\n\0\u{9b}31m";
    let layer = gzip(tar([file(odd, "").at(200), file(odd, ""), file(format!("/{odd}"), "")])).annotated(odd, odd);
    let build = |layer: Layer| {
        let builder = ImageBuilder::both().layer(layer).named(odd).platform("linux", odd, odd);
        let builder = builder.config(move |config| config["created"] = odd.into());
        builder.manifest(move |manifest| manifest["annotations"] = json!({odd: odd})).build()
    };
    let outcome = analyze(&build(layer.clone()).tar());
    outcome.is_sound();
    assert!(
        !outcome.stdout.contains(|c: char| c != '\n' && repro::image::escape::is_unprintable(c)),
        "{:?}",
        outcome.stdout
    );
    analyze(&build(layer.rewritten(100)).tar()).is_refused("says that its times were rewritten to 100");
    for mutation in mutations() {
        let Err(error) = read_archive(mutation.broken.as_slice(), &ReadOptions::default()) else { continue };
        let is_odd = |c: char| c != '\n' && repro::image::escape::is_unprintable(c);
        assert!(!error.to_string().contains(is_odd), "{}: {error:?}", mutation.name);
    }
}

/// Every member boundary, and a byte to each side of it; every byte of the first two blocks; some in each layer.
#[test]
fn a_cut_at_any_boundary_is_found() {
    let layers = [gzip(tar([file("a", "a".repeat(3000)), dir("d/")])), zstd(tar([file("b", "b").pax("mtime", "1.5")]))];
    let layout = layers.iter().cloned().fold(ImageBuilder::both(), ImageBuilder::layer).build();
    let archive = layout.tar();
    let boundaries = (0..archive.len()).step_by(512).flat_map(|at| [at.saturating_sub(1), at, at + 1]);
    for length in boundaries.chain(0..1024) {
        assert!(read_archive(&archive[..length], &ReadOptions::default()).is_err(), "cut at {length}");
    }
    // A layer cut anywhere, with every digest and size made to fit: only its own end tells.
    for layer in layers {
        let suffix = if layer.blob.starts_with(&[0x1f]) { "gzip" } else { "zstd" };
        for length in 1..layer.blob.len() {
            let cut = blob(layer.tar.clone(), layer.blob[..length].to_vec(), suffix);
            let archive = ImageBuilder::oci().layer(cut).build().tar();
            assert!(read_archive(archive.as_slice(), &ReadOptions::default()).is_err(), "{suffix} cut at {length}");
        }
        // Its tar cut anywhere but between two entries, where engines take it too.
        let ends: Vec<usize> = if suffix == "gzip" { vec![3584, 4096] } else { vec![1536, 2048] };
        for length in (1..layer.tar.len() - 1024).step_by(7).chain(ends.iter().flat_map(|end| [end - 1, end + 1])) {
            let cut = layer.tar[..length].to_vec();
            let archive = ImageBuilder::oci().layer(plain(cut)).build().tar();
            let is_whole = read_archive(archive.as_slice(), &ReadOptions::default()).is_ok();
            let may_be = ends.iter().any(|end| (end.saturating_sub(511)..=*end).contains(&length));
            assert!(!is_whole || may_be, "tar cut at {length}");
        }
    }
}

#[test]
fn hundreds_of_thousands_of_entries_are_looked_through() {
    let mut bytes = Vec::new();
    for number in 0..300_000 {
        bytes.extend(promise(b'0', &format!("dir/{number}"), 0));
    }
    bytes.extend(promise(b'0', "./dir//7", 0));
    bytes.resize(bytes.len() + 1024, 0);
    let outcome = analyze_within(64, |stdin| stdin.write_all(&ImageBuilder::oci().layer(gzip(bytes)).build().tar()));
    outcome.is_sound();
    assert!(outcome.stdout.contains("note: "), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("layers[0]: 1 entry with the path of an earlier one, the first is `./dir//7`"));
}

#[test]
fn odd_images_that_engines_take_are_sound_and_noted() {
    let notes = |layout: Layout| {
        let outcome = analyze(&layout.tar());
        outcome.is_sound();
        outcome
            .stdout
            .lines()
            .filter_map(|line| Some(line.strip_prefix("note: ")?.split_once(": ")?.1.to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(notes(image().build()), Vec::<String>::new());
    let absolute = ImageBuilder::oci().layer(gzip(tar([dir("/ko-app/"), file("/ko-app/app", "")])));
    assert_eq!(notes(absolute.build()), ["2 entries with an absolute path, the first is `/ko-app/`"]);
    let mixed = image().manifest(|manifest| {
        manifest["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip".into();
    });
    assert_eq!(notes(mixed.build()), ["a layer of Docker's media type in an OCI manifest"]);
    let fewer = image().layer(gzip(tar([]))).config(|config| drop(config["history"].as_array_mut().unwrap().pop()));
    assert_eq!(notes(fewer.build()), ["the history has 1 steps that made a layer, and there are 2 layers"]);
    let none = image().config(|config| config["history"] = json!([]));
    assert_eq!(notes(none.build()), Vec::<String>::new());
    let called = |docker: &str, index: &str| {
        let layout = ImageBuilder::docker().layer(gzip(tar([file("a", "")]))).named(index).build();
        notes(layout.edit("manifest.json", |entries| entries[0]["RepoTags"] = json!([docker])))
    };
    for (docker, index) in [
        ("app:1", "docker.io/library/app:1"),
        ("a/app", "docker.io/a/app:latest"),
        ("localhost/app:1", "localhost/app:1"),
        ("127.0.0.1:5/a/app:1", "127.0.0.1:5/a/app:1"),
        ("app:1", "latest"),
    ] {
        assert_eq!(called(docker, index), Vec::<String>::new(), "{docker} {index}");
    }
    assert_eq!(
        called("app:1", "docker.io/a/trusted:1"),
        [
            "one engine loads it as `docker.io/library/app:1`, another as `docker.io/a/trusted:1`, which `index.json` says"
        ]
    );
}
