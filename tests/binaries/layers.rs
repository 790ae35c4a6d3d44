//! What is taken from the documents and layers of an image, and what is refused.

use std::fs;

use repro::digest::Digest;
use repro::runtime::binaries::BinariesError;

use crate::buildkit_image::{self, GZIP, Image, Layer, PLAIN, Tar, ZSTD, architecture, binaries, elf, gzip};
use crate::{assert_right, error_of, from_layout, get, image};

#[test]
fn reads_every_compression_and_rootlesskit() {
    let tar = binaries().file("usr/bin/rootlesskit", &elf("rootlesskit", false)).finish();
    for media_type in [GZIP, ZSTD, PLAIN] {
        let (_kept, binaries) = from_layout(&Image::new(&[Layer::new(media_type, &tar)])).unwrap();
        assert_right(&binaries);
        assert_eq!(fs::read(binaries.rootlesskit.unwrap()).unwrap(), elf("rootlesskit", false));
    }
    let members = [gzip(&tar[..700]), gzip(&tar[700..])].concat();
    let layer = Layer::of_stored(GZIP, members, Digest::of(&tar));
    assert_right(&from_layout(&Image::new(&[layer])).unwrap().1);
}

#[test]
fn later_layers_win_and_whiteouts_hide() {
    let old = binaries().file("usr/bin/rootlesskit", b"old");
    let new = |tar: Tar| Image::new(&[Layer::gzip(old.clone()), Layer::gzip(tar)]);
    let daemon = |image: &Image| {
        let (_kept, binaries) = from_layout(image).unwrap();
        (fs::read(&binaries.buildkitd).unwrap(), binaries.rootlesskit.is_some())
    };
    let before = elf("buildkitd", false);
    assert_eq!(daemon(&new(Tar::new().file("usr/bin/buildkitd", b"new"))), (b"new".to_vec(), true));
    assert_eq!(daemon(&new(Tar::new().file("usr/bin/.wh.rootlesskit", b""))), (before.clone(), false));
    assert_eq!(daemon(&new(Tar::new().file("usr/bin/.wh.rootless", b""))), (before.clone(), true));
    assert_eq!(daemon(&new(Tar::new().file("bin/.wh.rootlesskit", b""))), (before.clone(), true));
    assert_eq!(daemon(&new(Tar::new().file("usr/lib/.wh..wh..opq", b""))), (before, true));
    // A whiteout never hides what its own layer brings, in whatever order they come.
    for marker in ["usr/bin/.wh..wh..opq", "usr/.wh..wh..opq", ".wh..wh..opq", ".wh.usr", "usr/.wh.bin"] {
        for marker_first in [true, false] {
            let mark = |tar: Tar| tar.file(marker, b"");
            let tar = if marker_first { mark(Tar::new()) } else { Tar::new() };
            let tar =
                tar.file("usr/bin/buildkitd", b"1").file("usr/bin/buildctl", b"2").file("usr/bin/buildkit-runc", b"3");
            let tar = if marker_first { tar } else { mark(tar) };
            assert_eq!(daemon(&new(tar)), (b"1".to_vec(), false), "{marker}");
        }
        let error = error_of(&new(Tar::new().file(marker, b"")));
        assert!(matches!(error, BinariesError::Missing { path: "usr/bin/buildkitd", .. }), "{error}");
    }
    let error = error_of(&new(Tar::new().file("usr/bin/.wh.buildctl", b"")));
    assert!(error.to_string().ends_with("holds no `usr/bin/buildctl`"), "{error}");
}

#[test]
fn links_between_binaries_are_followed_and_others_refused() {
    let rest = || Tar::new().file("usr/bin/buildctl", b"ctl").file("usr/bin/buildkitd", b"daemon");
    let runc = |layers: &[Tar]| {
        let layers: Vec<Layer> = layers.iter().cloned().map(Layer::gzip).collect();
        from_layout(&Image::new(&layers)).map(|(_kept, binaries)| fs::read(binaries.runc).unwrap())
    };
    let path = "usr/bin/buildkit-runc";
    for tar in [
        rest().symlink(path, "buildctl"),
        rest().symlink(path, "/usr/bin/buildctl"),
        rest().symlink(path, "../../usr/bin/./buildctl"),
        rest().hard_link(path, "usr/bin/buildctl"),
        rest().hard_link(path, "./usr/bin/buildctl"),
        rest().symlink("usr/bin/rootlesskit", "buildctl").symlink(path, "rootlesskit"),
    ] {
        assert_eq!(runc(&[tar]).unwrap(), b"ctl");
    }
    assert_eq!(runc(&[rest(), Tar::new().hard_link(path, "usr/bin/buildctl")]).unwrap(), b"ctl", "across layers");
    // A hard link is the file of its time, a symbolic link the name.
    let newer = || Tar::new().file("usr/bin/buildctl", b"newer");
    assert_eq!(runc(&[rest().hard_link(path, "usr/bin/buildctl"), newer()]).unwrap(), b"ctl");
    assert_eq!(runc(&[rest().symlink(path, "buildctl"), newer()]).unwrap(), b"newer");
    for (tar, target) in [
        (rest().symlink(path, "/etc/passwd"), "/etc/passwd"),
        (rest().symlink(path, "../sbin/runc"), "../sbin/runc"),
        (rest().symlink(path, "buildkit-runc"), "itself"),
        (rest().symlink(path, "rootlesskit"), "usr/bin/rootlesskit"),
        (rest().hard_link(path, "/etc/../etc/passwd"), "/etc/../etc/passwd"),
        (rest().hard_link(path, "usr/bin/runc"), "usr/bin/runc"),
        (rest().hard_link(path, path), path),
        (rest().hard_link(path, "usr/bin/rootlesskit"), "usr/bin/rootlesskit"),
    ] {
        let error = error_of(&Image::new(&[Layer::gzip(tar)]));
        assert_eq!(error.to_string(), format!("`{path}` in the image is a link to `{target}`, which is not followed"));
    }
}

#[test]
fn long_names_and_records_with_line_breaks_are_read() {
    let rest = || Tar::new().file("usr/bin/buildctl", b"ctl").file("usr/bin/buildkitd", b"daemon");
    let name: &[u8] = b"usr/bin/buildkit-runc";
    for tar in [
        rest().pax(&[("SCHILY.xattr.security.capability", b"a\nb=c\n"), ("path", name)]).file("x", b"runc"),
        rest().entry(b'L', "././@LongLink", "", b"usr/bin/buildkit-runc\0").file("x", b"runc"),
        rest()
            .entry(b'g', "pax_global_header", "", &buildkit_image::pax(&[("comment", b"x")]))
            .file("./usr//bin/buildkit-runc", b"runc"),
        rest().pax(&[("linkpath", b"/usr/bin/buildctl")]).symlink("usr/bin/buildkit-runc", "wrong").file("y", b""),
        rest().entry(b'K', "././@LongLink", "", b"buildctl\0").symlink("usr/bin/buildkit-runc", "wrong"),
        rest().entry(b'\0', "usr/bin/buildkit-runc", "", b"runc"),
        rest().entry(b'7', "/usr/bin/buildkit-runc", "", b"runc"),
    ] {
        let (_kept, binaries) = from_layout(&Image::new(&[Layer::gzip(tar)])).unwrap();
        assert!([&b"runc"[..], b"ctl"].contains(&fs::read(binaries.runc).unwrap().as_slice()));
    }
    // A name that an extended header takes away is not that of the header behind it.
    let tar = rest().pax(&[("path", b"elsewhere")]).file("usr/bin/buildkit-runc", b"runc");
    assert!(matches!(error_of(&Image::new(&[Layer::gzip(tar)])), BinariesError::Missing { .. }));
}

#[test]
fn hostile_archives_are_refused() {
    let big = vec![b'x'; 2 << 20];
    for (tar, reason) in [
        (binaries().file("usr/bin/buildkitd", b"again"), "`usr/bin/buildkitd` is there twice"),
        (
            binaries().file("usr/../usr/bin/rootlesskit", b"x"),
            "it has an entry with `..` in its path, `usr/../usr/bin/rootlesskit`",
        ),
        (binaries().file("../../../../tmp/x", b"x"), "it has an entry with `..` in its path, `../../../../tmp/x`"),
        (binaries().symlink("usr/bin", "/tmp"), "`usr/bin` is not a directory in it"),
        (binaries().symlink("usr/", "/tmp"), "`usr` is not a directory in it"),
        (binaries().directory("usr/bin/rootlesskit"), "`usr/bin/rootlesskit` is not a file in it"),
        (binaries().entry(b'0', "usr/bin/rootlesskit/", "", b""), "`usr/bin/rootlesskit` is not a file in it"),
        (binaries().entry(b'3', "usr/bin/rootlesskit", "", b""), "`usr/bin/rootlesskit` is not a file in it"),
        (binaries().entry(b'S', "x", "", b""), "it holds a sparse file"),
        (binaries().pax(&[("GNU.sparse.major", b"1")]).file("x", b""), "it holds a sparse file"),
        (binaries().pax(&[("size", b"9999")]).file("x", b""), "it has an entry of two sizes, 0 and 9999 bytes"),
        (binaries().pax(&[("size", b"-1")]).file("x", b""), "it has a malformed `size` record"),
        (binaries().entry(b'x', "p", "", b"10 path=x"), "it has a malformed extended header"),
        (
            binaries().entry(b'g', "p", "", &buildkit_image::pax(&[("path", b"usr/bin/x")])),
            "it has a global extended header that renames entries",
        ),
        (binaries().entry(b'x', "p", "", &big), "it has an extended header of 2097152 bytes, 1048576 are allowed"),
        (binaries().pax(&[("path", b"x")]), "it ends after an extended header"),
    ] {
        let error = error_of(&Image::new(&[Layer::gzip(tar)]));
        assert!(matches!(error, BinariesError::Layer { .. }), "{error}");
        assert!(error.to_string().ends_with(reason), "{error}");
    }
    let mut garbage = binaries().finish();
    garbage[600] ^= 1;
    assert!(matches!(error_of(&Image::new(&[Layer::new(GZIP, &garbage)])), BinariesError::Layer { .. }));
    let cut = &binaries().finish()[..1700];
    assert!(matches!(error_of(&Image::new(&[Layer::new(GZIP, cut)])), BinariesError::Layer { .. }));
}

#[test]
fn bytes_behind_the_end_of_the_archive_count() {
    let tar = [binaries().finish(), b"more".to_vec()].concat();
    assert_right(&from_layout(&Image::new(&[Layer::new(GZIP, &tar)])).unwrap().1);
    let layer = Layer::of_stored(GZIP, gzip(&tar), Digest::of(&binaries().finish()));
    assert!(matches!(error_of(&Image::new(&[layer])), BinariesError::DiffId { .. }));
    let stored = [gzip(&tar), b"garbage".to_vec()].concat();
    let layer = Layer::of_stored(GZIP, stored, Digest::of(&tar));
    assert!(matches!(error_of(&Image::new(&[layer])), BinariesError::Layer { .. }));
}

#[test]
fn every_blob_is_checked_against_its_descriptor() {
    let tar = binaries().finish();
    let good = Layer::new(GZIP, &tar);
    // The same content, compressed differently: only the digest tells.
    let other = [gzip(&tar[..512]), gzip(&tar[512..])].concat();
    let swapped = Layer { stored: other.clone(), size: other.len() as u64, ..good.clone() };
    let error = error_of(&Image::new(&[swapped]));
    let expected = format!("layer has digest `{}`, its descriptor says `{}`", Digest::of(&other), good.digest);
    assert_eq!(error.to_string(), expected);
    for size in [good.size - 1, good.size + 1] {
        let error = error_of(&Image::new(&[Layer { size, ..good.clone() }]));
        assert!(matches!(error, BinariesError::Size { what: "layer", .. }), "{error}");
    }
    let wrong = Digest::of(b"wrong");
    let error = error_of(&Image::new(&[Layer { diff_id: wrong.clone(), ..good.clone() }]));
    let expected =
        format!("layer `{}` unpacks to `{}`, the image's config says `{wrong}`", good.digest, Digest::of(&tar));
    assert_eq!(error.to_string(), expected);
    let error = error_of(&Image::new(&[Layer { media_type: "application/x", ..good.clone() }]));
    assert!(error.to_string().ends_with("media type `application/x` is not a layer's"), "{error}");

    let mut image = Image::new(&[good]);
    image.blobs[0].1.push(b' ');
    assert!(matches!(error_of(&image), BinariesError::Digest { what: "config", .. }));
    image.blobs.remove(0);
    assert!(matches!(error_of(&image), BinariesError::NoBlob { .. }));
}

#[test]
fn a_changed_manifest_is_not_the_pin() {
    let directory = tempfile::tempdir().unwrap();
    let image = image();
    let source = image.write_layout(directory.path());
    let path = directory.path().join("blobs/sha256").join(image.pin.hex());
    let mut bytes = fs::read(&path).unwrap();
    bytes.push(b'\n');
    fs::write(&path, &bytes).unwrap();
    let error = get(&source, &directory.path().join("cache")).unwrap_err();
    let expected = format!("manifest has digest `{}`, its descriptor says `{}`", Digest::of(&bytes), image.pin);
    assert_eq!(error.to_string(), expected);
}

#[test]
fn documents_that_are_none_are_refused() {
    let empty = r#""digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0"#;
    for (document, reason) in [
        ("{".to_owned(), "EOF while parsing"),
        (r#"{"schemaVersion":1,"manifests":[]}"#.to_owned(), "schema version 1 is not 2"),
        (r#"{"schemaVersion":2}"#.to_owned(), "neither plainly an index nor plainly a manifest"),
        (
            format!(r#"{{"schemaVersion":2,"manifests":[],"layers":[],"config":{{{empty}}}}}"#),
            "neither plainly an index nor plainly a manifest",
        ),
        (
            format!(
                r#"{{"schemaVersion":2,"mediaType":"{}","layers":[],"config":{{{empty}}}}}"#,
                buildkit_image::INDEX
            ),
            "neither plainly an index nor plainly a manifest",
        ),
        (
            r#"{"schemaVersion":2,"mediaType":"application/x"}"#.to_owned(),
            "media type `application/x` is not an image's",
        ),
        (r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:0","size":1}]}"#.to_owned(), "is not a digest"),
        (r#"{"schemaVersion":2,"manifests":[{"digest":"","size":1}]}"#.to_owned(), "a digest is empty"),
        (r#"{"schemaVersion":2,"manifests":[{"size":-1}]}"#.to_owned(), "invalid value"),
    ] {
        let error = error_of(&Image::of_document(&document));
        assert!(matches!(error, BinariesError::Document { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let layer = Layer::gzip(binaries());
    for (config, reason) in [
        (
            format!(r#"{{"architecture":"{}","os":"linux","rootfs":{{"diff_ids":[]}}}}"#, architecture()),
            "it has 0 diff IDs for 1 layers",
        ),
        ("[]".to_owned(), "invalid type"),
    ] {
        let error = error_of(&Image::with_config(std::slice::from_ref(&layer), config.as_bytes()));
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn the_platform_must_be_this_machines() {
    let foreign = |config: &str| {
        let layer = Layer::gzip(binaries());
        let config = config.replace("ID", &layer.diff_id.to_string());
        error_of(&Image::with_config(&[layer], config.as_bytes())).to_string()
    };
    let here = format!("`linux/{}`", architecture());
    let message = foreign(r#"{"architecture":"s390x","os":"linux","rootfs":{"diff_ids":["ID"]}}"#);
    assert!(message.ends_with(&format!("has no image for {here}, only for `linux/s390x`")), "{message}");

    let mut image = image().indexed(&["linux/s390x", "unknown/unknown"]);
    let index = String::from_utf8(image.documents[1].1.clone()).unwrap();
    let index = index.replace(&format!("\"{}\"", architecture()), "\"riscv64\"");
    image = Image {
        pin: Digest::of(index.as_bytes()),
        documents: vec![(buildkit_image::INDEX, index.into_bytes())],
        ..image
    };
    let message = error_of(&image).to_string();
    assert!(
        message.ends_with(&format!("has no image for {here}, only for `linux/riscv64`, `linux/s390x`")),
        "{message}"
    );
}

#[test]
fn nested_indexes_have_an_end() {
    let mut image = image();
    let mut wrap = |times: usize| {
        for _ in 0..times {
            let inner = &image.documents.last().unwrap().1;
            let entry = format!(r#"{{"digest":"{}","size":{}}}"#, Digest::of(inner), inner.len());
            let index = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
            image.pin = Digest::of(index.as_bytes());
            image.documents.push((buildkit_image::INDEX, index.into_bytes()));
        }
        image.clone()
    };
    from_layout(&wrap(4)).unwrap();
    let error = error_of(&wrap(1));
    assert!(error.to_string().ends_with("has more than 4 nested indexes"), "{error}");
}

#[test]
fn a_dynamic_or_foreign_binary_is_told_before_it_is_started() {
    let with = |runc: &[u8]| {
        let tar = Tar::new().file("usr/bin/buildctl", b"#!/bin/sh\n").file("usr/bin/buildkitd", b"#!/bin/sh\n");
        error_of(&Image::new(&[Layer::gzip(tar.file("usr/bin/buildkit-runc", runc))])).to_string()
    };
    let prefix = "`usr/bin/buildkit-runc` in the image cannot run here: ";
    assert_eq!(with(&elf("runc", true)), format!("{prefix}it is dynamically linked"));
    let mut foreign = elf("runc", false);
    foreign[18] = 22;
    assert!(with(&foreign).starts_with(&format!("{prefix}it is for another processor (ELF machine 22)")));
    assert_eq!(with(&elf("runc", false)[..40]), format!("{prefix}it is a truncated ELF file"));
    let mut beyond = elf("runc", false);
    beyond[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(with(&beyond), format!("{prefix}it is a truncated ELF file"));
}
