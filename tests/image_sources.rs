//! Images from elsewhere than a plain tar of a layout: directories, packed archives, Docker's own archives, parts of an image.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink as link;
use std::path::Path;
use std::process::Command;

use repro::digest::Digest;
use repro::image::media_type::Compression;
use repro::image::source::{DirectorySource, MemberKind, Source as _};
use repro::image::{Container, Form, Image, ImageError, NoteKind, ReadOptions, load_image, read_archive};
use serde_json::{Value, json};
use support::image_builder::{ImageBuilder, Layout, dir, file, gzip, plain, platforms, tar, zstd};
use support::reading::{faults, read};

fn image() -> Layout {
    ImageBuilder::oci().layer(gzip(tar([dir("bin/"), file("bin/sh", "#!")]))).named("a:1").build()
}

fn both() -> Layout {
    platforms([
        ImageBuilder::oci().layer(gzip(tar([file("a", "amd64")]))),
        ImageBuilder::oci().platform("linux", "arm", "v7").layer(gzip(tar([file("a", "arm")]))),
    ])
}

/// The members of a layout as files.
fn unpack(layout: &Layout, directory: &Path) {
    for (path, bytes) in &layout.members {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn load(directory: &Path) -> Result<Image, ImageError> {
    load_image(directory, &ReadOptions::default())
}

/// Whoever reads known layers later anyway has them passed over, in each form, and everything else is what it is.
#[test]
fn known_layers_are_passed_over_where_that_is_asked_for() {
    let mut state = 7_u32;
    let mut noise = vec![0; 1_500_000];
    noise.fill_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let layout = ImageBuilder::oci().layer(gzip(tar([file("a", noise)]))).layer(gzip(tar([file("b", "b")]))).build();
    let directory = tempfile::tempdir().unwrap();
    let (path, packed, members) =
        (directory.path().join("a.tar"), directory.path().join("a.tar.zst"), directory.path().join("members"));
    fs::write(&path, layout.tar()).unwrap();
    fs::write(&packed, zstd::encode_all(layout.tar().as_slice(), 1).unwrap()).unwrap();
    unpack(&layout, &members);
    let mut options = ReadOptions::default();
    options.known.learn(&load(&path).unwrap());
    let plain = ReadOptions { leave_known: true, ..ReadOptions::default() };
    options.leave_known = true;
    for place in [&path, &packed, &members] {
        let (left, read) = (load_image(place, &options).unwrap(), load_image(place, &plain).unwrap());
        let layer = &read.manifests[0].layers[0];
        let expected = BTreeMap::from([(layer.descriptor.digest.clone(), layer.descriptor.size)]);
        assert_eq!((&left.unread, read.unread.len(), left.archive_bytes), (&expected, 0, read.archive_bytes));
        assert_eq!(Image { unread: BTreeMap::new(), ..left }.manifests[0].layers[0].diff_id, layer.diff_id);
    }
    // What is not there is missed also where it would be passed over.
    let archive = layout.tar();
    for length in [archive.len() / 2, 200_000] {
        fs::write(&path, &archive[..length]).unwrap();
        let error = load_image(&path, &options).unwrap_err();
        assert!(matches!(error, ImageError::Truncated { offset, .. } if offset == length as u64), "{error}");
    }
}

#[test]
fn a_directory_is_read_as_its_archive_is() {
    let (layout, directory) = (both(), tempfile::tempdir().unwrap());
    unpack(&layout, directory.path());
    let image = load(directory.path()).unwrap();
    assert_eq!(
        (image.digest(), image.form, image.container),
        (layout.image.as_ref(), Form::OciLayout, Container::Directory)
    );
    assert_eq!(image.archive_bytes, layout.members.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    let archive = read(&layout.tar()).unwrap();
    let layers = |image: &Image| image.layer_lists().flatten().map(|layer| layer.diff_id.clone()).collect::<Vec<_>>();
    assert_eq!((layers(&image), image.manifests.len()), (layers(&archive), 2));
    // What is wrong in an archive is wrong here.
    let blob = format!("blobs/sha256/{}", layout.config.unwrap().hex());
    fs::write(directory.path().join(&blob), "{}").unwrap();
    assert!(faults(load(directory.path()))[0].starts_with(&format!("`{blob}`: the name says `sha256:")));
}

#[test]
fn what_tools_leave_in_a_directory_is_told_and_not_read() {
    let (layout, directory) = (image(), tempfile::tempdir().unwrap());
    unpack(&layout, directory.path());
    let blobs = directory.path().join("blobs/sha256");
    fs::create_dir(directory.path().join("ingest")).unwrap();
    fs::write(directory.path().join("oci-put-blob7"), "half").unwrap();
    // Whoever opened it would wait for ever.
    assert!(Command::new("mkfifo").arg(blobs.join("tmp")).status().unwrap().success());
    let old = Digest::of(b"old");
    fs::write(blobs.join(old.hex()), "old").unwrap();
    let image = load(directory.path()).unwrap();
    assert_eq!(image.digest(), layout.image.as_ref());
    let notes: BTreeMap<String, NoteKind> = image.notes().into_iter().map(|note| (note.place, note.kind)).collect();
    let expected = [
        ("`blobs/sha256/tmp`".to_owned(), NoteKind::NotRead),
        (format!("`blobs/sha256/{}`", old.hex()), NoteKind::Unreferenced),
        ("`ingest`".to_owned(), NoteKind::NotRead),
        ("`oci-put-blob7`".to_owned(), NoteKind::NotRead),
    ];
    assert_eq!(notes, BTreeMap::from(expected));
    // In an archive, which is made for one image, it is a fault.
    let archive = layout.with(&format!("blobs/sha256/{}", old.hex()), "old").tar();
    assert_eq!(faults(read(&archive)), [format!("`blobs/sha256/{}`: nothing refers to this blob", old.hex())]);
}

#[test]
fn nothing_leads_out_of_a_directory() {
    let (layout, outside) = (image(), tempfile::tempdir().unwrap());
    unpack(&layout, outside.path());
    let config = format!("blobs/sha256/{}", layout.config.clone().unwrap().hex());
    for (name, breaks) in [
        (config.as_str(), "a link to the very bytes"),
        ("blobs", "a link to a directory"),
        ("blobs/sha256", "a link to a directory"),
        ("index.json", "a link to the very bytes"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        unpack(&layout, directory.path());
        let path = directory.path().join(name);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        link(outside.path().join(name), &path).unwrap();
        let found = faults(load(directory.path()));
        assert!(found.contains(&format!("`{name}`: is a tar entry of type `2`, not a file")), "{breaks}: {found:?}");
    }
    for (make, letter) in [("mkfifo", '6'), ("mkdir", '5')] {
        let directory = tempfile::tempdir().unwrap();
        unpack(&layout, directory.path());
        fs::remove_file(directory.path().join(&config)).unwrap();
        assert!(Command::new(make).arg(directory.path().join(&config)).status().unwrap().success());
        let found = faults(load(directory.path()));
        let expected = format!("`{config}`: is a tar entry of type `{letter}`, not a file");
        assert!(found.contains(&expected) || letter == '5', "{found:?}");
        assert!(found.iter().any(|fault| fault.contains("is missing")), "{found:?}");
    }
}

#[test]
fn a_directory_without_an_image_is_not_searched() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("secret"), "x").unwrap();
    let expected = "there is neither an `oci-layout` nor a `manifest.json` in the directory";
    assert_eq!(faults(load(directory.path())), [expected]);
}

#[test]
fn of_a_file_that_changes_nothing_is_told() {
    for longer in [true, false] {
        let (layout, directory) = (image(), tempfile::tempdir().unwrap());
        unpack(&layout, directory.path());
        let mut source = DirectorySource::open(directory.path()).unwrap();
        let member = loop {
            let member = source.next_member().unwrap().unwrap();
            if member.kind == MemberKind::File {
                break member;
            }
        };
        let path = directory.path().join(std::str::from_utf8(&member.path).unwrap());
        let mut opened = fs::OpenOptions::new().append(true).open(&path).unwrap();
        if longer {
            opened.write_all(b"more").unwrap();
        } else {
            opened.set_len(1).unwrap();
        }
        let mut buffer = vec![0; 1 << 16];
        let error = loop {
            match source.read_data(&mut buffer) {
                Ok(0) => panic!("the end was believed"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ImageError::Member { .. }), "{error}");
    }
}

#[test]
fn archives_may_be_packed() {
    let archive = image().tar();
    for (packed, compression) in [
        (gzip(archive.clone()).blob, Compression::Gzip),
        (zstd(archive.clone()).blob, Compression::Zstd),
        (archive.clone(), Compression::None),
    ] {
        let image = read(&packed).unwrap();
        assert_eq!((image.container, image.archive_bytes), (Container::Tar(compression), packed.len() as u64));
        assert_eq!(image.digest(), self::image().image.as_ref());
        if compression != Compression::None {
            for cut in [5, packed.len() / 2, packed.len() - 1] {
                let error = read(&packed[..cut]).unwrap_err().to_string();
                assert!(error.contains("data is damaged") || error.contains("cut off"), "{cut}: {error}");
            }
            let behind = [packed.as_slice(), b"garbage"].concat();
            assert!(faults(read(&behind))[0].contains("data is damaged"));
        }
    }
    // What follows the tar inside is looked at, too.
    let behind = gzip([archive.as_slice(), b"x"].concat()).blob;
    assert!(faults(read(&behind))[0].contains("is not zero, though the archive has ended"));
}

#[test]
fn what_docker_save_writes_beside_a_layout() {
    let id = "0a".repeat(32);
    let legacy = json!({"id": id, "created": "1970-01-01T00:00:00Z", "os": "linux"}).to_string();
    let place = format!("blobs/sha256/{}", Digest::of(legacy.as_bytes()).hex());
    let saved = || ImageBuilder::docker().layer(plain(tar([file("a", "a")]))).named("a:1").build();
    let repositories = |name: &str| json!({name: {"1": id}}).to_string();
    let layout = saved().with("repositories", repositories("a")).with(&place, &legacy);
    let image = read(&layout.tar()).unwrap();
    assert_eq!(image.notes().into_iter().map(|note| note.kind).collect::<Vec<_>>(), [NoteKind::LegacyConfig]);
    // Only beside `manifest.json`, only what looks like one, and only the names that are there.
    let found = faults(read(&saved().with("repositories", repositories("b")).tar()));
    assert_eq!(found, [format!("`repositories`: leads to `{id}` for `b:1`, but `manifest.json` to `nothing`")]);
    let manifest = r#"{"id":"x","schemaVersion":2,"layers":[]}"#;
    let hidden = format!("blobs/sha256/{}", Digest::of(manifest.as_bytes()).hex());
    assert_eq!(
        faults(read(&saved().with(&hidden, manifest).tar())),
        [format!("`{hidden}`: nothing refers to this blob")]
    );
    let found = faults(read(&self::image().with("repositories", repositories("a")).with(&place, &legacy).tar()));
    assert_eq!(found.len(), 2, "{found:?}");
}

/// The layout without the manifest of linux/arm/v7, or without what that names.
fn part(keep_manifest: bool) -> Layout {
    let mut layout = both();
    let manifest = layout.manifest.clone().unwrap();
    let path = |digest: &str| format!("blobs/sha256/{}", &digest["sha256:".len()..]);
    let bytes = layout.members.iter().find(|(name, _)| *name == path(&manifest.to_string())).unwrap().1.clone();
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    let mut gone =
        vec![path(value["config"]["digest"].as_str().unwrap()), path(value["layers"][0]["digest"].as_str().unwrap())];
    if !keep_manifest {
        gone.push(path(&manifest.to_string()));
    }
    layout.members.retain(|(name, _)| !gone.contains(name));
    layout
}

#[test]
fn what_is_left_out_on_purpose_is_never_whole() {
    let partial = ReadOptions { partial: true, ..ReadOptions::default() };
    for keep_manifest in [true, false] {
        let layout = part(keep_manifest);
        let image = read_archive(layout.tar().as_slice(), &partial).unwrap();
        assert!(!image.is_whole());
        assert_eq!((image.digest(), image.manifests.len()), (layout.image.as_ref(), 1));
        let [left_out] = image.left_out.as_slice() else { panic!("one is left out") };
        assert_eq!(Some(&left_out.digest), layout.manifest.as_ref());
        // Whoever does not ask for that gets faults.
        assert!(faults(read(&layout.tar())).iter().all(|fault| fault.contains("is missing")));
    }
    // A single layer that is missing is no platform that was left out.
    let layer = both().members.iter().find(|(_, bytes)| bytes.starts_with(&[0x1f, 0x8b])).unwrap().0.clone();
    let found = faults(read_archive(both().without(&layer).tar().as_slice(), &partial));
    assert!(found.len() == 1 && found[0].ends_with("is missing"), "{found:?}");
    // Nor is what `index.json` itself names.
    let index = format!("blobs/sha256/{}", both().image.unwrap().hex());
    assert!(faults(read_archive(both().without(&index).tar().as_slice(), &partial))[0].ends_with("is missing"));
    // Without any image there is nothing to judge.
    let mut nothing = part(false);
    nothing.members.retain(|(name, _)| *name == index || !name.starts_with("blobs/"));
    let found = faults(read_archive(nothing.tar().as_slice(), &partial));
    assert_eq!(found, ["`index.json`: holds no image"]);
}

#[test]
fn skopeos_dir_is_read() {
    let layout = both();
    let directory = tempfile::tempdir().unwrap();
    let index = format!("blobs/sha256/{}", layout.image.clone().unwrap().hex());
    for (path, bytes) in &layout.members {
        let Some(hex) = path.strip_prefix("blobs/sha256/") else { continue };
        let is_manifest = bytes.starts_with(b"{") && String::from_utf8_lossy(bytes).contains("\"layers\": [");
        let name = match is_manifest {
            _ if *path == index => "manifest.json".to_owned(),
            true if !String::from_utf8_lossy(bytes).contains("rootfs") => format!("{hex}.manifest.json"),
            _ => hex.to_owned(),
        };
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    fs::write(directory.path().join("version"), "Directory Transport Version: 1.1\n").unwrap();
    fs::write(directory.path().join("signature-1"), "x").unwrap();
    let image = load(directory.path()).unwrap();
    assert_eq!((image.digest(), image.form, image.manifests.len()), (layout.image.as_ref(), Form::DockerDir, 2));
    assert_eq!(image.notes().into_iter().map(|note| note.kind).collect::<Vec<_>>(), [NoteKind::Signature]);
    let config = layout.config.unwrap();
    fs::write(directory.path().join(config.hex()), "{}").unwrap();
    fs::write(directory.path().join("x"), "").unwrap();
    let found = faults(load(directory.path()));
    assert!(found.iter().any(|fault| fault.starts_with(&format!("`{}`: the name says", config.hex()))), "{found:?}");
    assert!(found.iter().any(|fault| fault.starts_with("`x`: does not belong")), "{found:?}");
}
