//! Every way in which an archive can be wrong is told, with its place and both values, and nothing panics.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use std::io::{self, Read};

use repro::digest::Digest;
use repro::image::media_type::{DOCKER_INDEX, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use repro::image::{ImageError, ReadOptions, read_archive};
use repro::limits;
use serde_json::{Value, json};
use support::image_builder::{ImageBuilder, Layer, Layout, blob, dir, file, gzip, platforms, special, tar, zstd};

fn error(archive: &[u8]) -> ImageError {
    read_archive(archive, &ReadOptions::default()).unwrap_err()
}

/// The faults of an archive, as they are told.
fn faults(layout: &Layout) -> Vec<String> {
    let error = error(&layout.tar());
    assert!(!error.faults().is_empty(), "{error}");
    error.faults().iter().map(ToString::to_string).collect()
}

fn some_layer() -> Layer {
    gzip(tar([file("a", "a").at(7)]))
}

fn image() -> ImageBuilder {
    ImageBuilder::docker().layer(some_layer())
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn zero() -> Digest {
    Digest::of(b"")
}

#[test]
fn an_archive_without_faults_is_sound() {
    read_archive(image().build().tar().as_slice(), &ReadOptions::default()).unwrap();
}

#[test]
fn a_blob_whose_bytes_are_not_those_of_its_name() {
    let layer = path(&some_layer().digest());
    let changed = image().build().change(&layer, |bytes| bytes[4] ^= 1);
    let found = Digest::of(&changed.members.iter().find(|(name, _)| *name == layer).unwrap().1);
    let expected = some_layer().digest();
    assert_eq!(faults(&changed), [format!("`{layer}`: the name says `{expected}`, but the bytes have `{found}`")]);
    let layout = image().build();
    for blob in [layout.config.clone().unwrap(), layout.manifest.clone().unwrap()] {
        let changed = layout.clone().change(&path(&blob), |bytes| bytes.push(b' '));
        assert!(faults(&changed)[0].contains(&format!("the name says `{blob}`")));
    }
}

#[test]
fn blobs_that_are_missing_doubled_or_too_many() {
    let layout = image().build();
    let manifest = layout.manifest.clone().unwrap();
    let layer = some_layer().digest();
    let missing = layout.clone().without(&path(&layer));
    assert_eq!(faults(&missing), [format!("`{manifest}` layers[0]: blob `{layer}` is missing")]);
    let config = layout.config.clone().unwrap();
    assert_eq!(
        faults(&layout.clone().without(&path(&config))),
        [format!("`{manifest}` config: blob `{config}` is missing")]
    );
    assert_eq!(
        faults(&layout.clone().without(&path(&manifest))),
        [format!("`index.json` manifests[0]: blob `{manifest}` is missing")]
    );
    let extra = layout.clone().with(&path(&zero()), "");
    assert_eq!(faults(&extra), [format!("`{}`: nothing refers to this blob", path(&zero()))]);
    // The second copy is as good as the first, or not: either way readers differ on which counts.
    let doubled = layout.clone().with(&path(&layer), &some_layer().blob);
    assert_eq!(faults(&doubled), [format!("`{}`: appears more than once in the archive", path(&layer))]);
    let spelled = layout.clone().with(&format!("./{}", path(&layer)), "other");
    assert_eq!(faults(&spelled), [format!("`./{}`: appears more than once in the archive", path(&layer))]);
    assert_eq!(
        faults(&layout.clone().with("index.json", "{}")),
        ["`index.json`: appears more than once in the archive"]
    );
}

#[test]
fn members_that_do_not_belong_there() {
    let layout = image().build();
    for name in ["etc/passwd", "../index.json", "blobs/sha256/abc", "blobs/md5/00", "\u{1b}[2J"] {
        let escaped = repro::image::escape::escape(name);
        let expected = format!("`{escaped}`: does not belong to an image layout");
        assert_eq!(faults(&layout.clone().with(name, "x")), [expected]);
    }
    for (kind, shown) in [(b'2', '2'), (b'1', '1'), (b'5', '5'), (b'3', '3')] {
        let entries = layout.members.iter().map(|(name, bytes)| match name.as_str() {
            "index.json" => special(kind, name),
            _ => file(name, bytes),
        });
        let error = error(&tar(entries));
        let expected = format!("`index.json`: is a tar entry of type `{shown}`, not a file\n`index.json`: is missing");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_layout_without_its_documents() {
    let layout = image().build();
    assert_eq!(faults(&layout.clone().without("index.json")), ["`index.json`: is missing"]);
    assert_eq!(faults(&layout.clone().without("oci-layout")), ["`oci-layout`: is missing"]);
    let version = layout.clone().change("oci-layout", |bytes| *bytes = br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec());
    assert_eq!(faults(&version), ["`oci-layout`: `imageLayoutVersion` is 2.0.0, and only 1.0.0 is known"]);
    let schema = image().index(|index| index["schemaVersion"] = 1.into()).build();
    assert_eq!(faults(&schema), ["`index.json`: `schemaVersion` is 1, and only 2 is known"]);
    let empty = ImageBuilder::oci().layer(some_layer()).index(|index| index["manifests"] = json!([])).build();
    assert!(faults(&empty)[0].starts_with("`index.json`: holds no image"), "{:?}", faults(&empty));
    let null = image().index(|index| index["manifests"] = Value::Null).build();
    assert_eq!(faults(&null), ["`index.json`: not usable JSON: there is no `manifests`"]);
}

#[test]
fn sizes_are_held_against_the_blobs() {
    let layer = some_layer().blob.len();
    let wrong = image().manifest(|manifest| manifest["layers"][0]["size"] = 1.into()).build();
    let manifest = wrong.manifest.clone().unwrap();
    assert_eq!(
        faults(&wrong),
        [format!("`{manifest}` layers[0]: the descriptor says 1 bytes, but the blob has {layer}")]
    );
    let wrong = image().manifest(|manifest| manifest["config"]["size"] = 2.into()).build();
    assert!(faults(&wrong)[0].contains("config: the descriptor says 2 bytes"));
    let wrong = image().index(|index| index["manifests"][0]["size"] = 3.into()).build();
    assert!(faults(&wrong)[0].starts_with("`index.json` manifests[0]: the descriptor says 3 bytes"));
    let negative = image().index(|index| index["manifests"][0]["size"] = (-3).into()).build();
    assert!(faults(&negative)[0].starts_with("`index.json`: not usable JSON"));
}

#[test]
fn layers_are_held_against_the_config() {
    let wrong = image().config(|config| config["rootfs"]["diff_ids"][0] = zero().to_string().into()).build();
    let manifest = wrong.manifest.clone().unwrap();
    let found = some_layer().diff_id();
    assert_eq!(
        faults(&wrong),
        [format!("`{manifest}` layers[0]: the config says diff ID `{}`, but the layer has `{found}`", zero())]
    );
    let fewer = image().config(|config| config["rootfs"]["diff_ids"] = json!([])).build();
    let manifest = fewer.manifest.clone().unwrap();
    assert_eq!(faults(&fewer), [format!("`{manifest}`: the config has 0 diff IDs, but the manifest 1 layers")]);
    let none = image().config(|config| config["rootfs"] = Value::Null).build();
    assert!(faults(&none)[0].contains("not usable JSON"), "{:?}", faults(&none));
}

#[test]
fn the_platform_is_held_against_the_config() {
    let wrong = image().index(|index| index["manifests"][0]["platform"]["architecture"] = "arm64".into()).build();
    assert_eq!(
        faults(&wrong),
        ["`index.json` manifests[0]: the descriptor says platform `linux/arm64`, but the config `linux/amd64`"]
    );
    // BuildKit 0.20.0 wrote the variant of arm64, others leave it out: the same platform.
    let arm = ImageBuilder::docker().platform("linux", "arm64", "").layer(some_layer());
    let arm = arm.index(|index| index["manifests"][0]["platform"]["variant"] = "v8".into()).build();
    assert!(read_archive(arm.tar().as_slice(), &ReadOptions::default()).is_ok());
    // The second of two names must not lead to another platform either.
    let named = image().named("a:1").named("b:1");
    let named = named.index(|index| index["manifests"][1]["platform"]["os"] = "windows".into()).build();
    assert!(faults(&named)[0].starts_with("`index.json` manifests[1]: the descriptor says platform `windows/amd64`"));
}

#[test]
fn media_types_are_held_against_the_content() {
    let wrong = image().manifest(|manifest| manifest["mediaType"] = OCI_MANIFEST.into()).build();
    let message = faults(&wrong).join("\n");
    // The builder's descriptor still says Docker's.
    assert!(
        message.starts_with("`index.json` manifests[0]: the descriptor says media type `application/vnd.docker"),
        "{message}"
    );
    let index = image().index(|index| index["mediaType"] = DOCKER_INDEX.into()).build();
    assert!(faults(&index)[0].contains(&format!("media type `{OCI_INDEX}`, but the document `{DOCKER_INDEX}`")));
    let config = image().manifest(|manifest| manifest["config"]["mediaType"] = OCI_INDEX.into()).build();
    assert!(faults(&config)[0].ends_with(&format!("media type `{OCI_INDEX}` is not that of the config of an image")));
    let layer = image().manifest(|manifest| manifest["layers"][0]["mediaType"] = OCI_CONFIG.into()).build();
    assert!(faults(&layer)[0].ends_with(&format!("media type `{OCI_CONFIG}` is not that of a layer")));
    let compressed = ImageBuilder::oci().layer(blob(tar([]), zstd(tar([])).blob, "gzip")).build();
    assert!(faults(&compressed)[0].ends_with("the media type says compression gzip, but the bytes have zstd"));
    let unknown = image().index(|index| index["manifests"][0]["mediaType"] = "text/\u{1b}".into()).build();
    assert!(faults(&unknown).join("\n").contains("`text/\\u{1b}` is not that of an index or a manifest"));
    // Left out where the specification lets it, a media type is told by the document.
    let left_out = ImageBuilder::oci().layer(some_layer()).index(|index| {
        index.as_object_mut().unwrap().remove("mediaType");
        index["manifests"][0].as_object_mut().unwrap().remove("mediaType");
    });
    assert!(read_archive(left_out.build().tar().as_slice(), &ReadOptions::default()).is_ok());
}

#[test]
fn documents_with_two_meanings() {
    let both = image().manifest(|manifest| manifest["manifests"] = json!([])).build();
    assert!(
        faults(&both)[0]
            .ends_with("holds `manifests` and `config`, thus could be taken for an index or for a manifest")
    );
    let twice = image().build().change("index.json", |bytes| {
        *bytes = [br#"{"manifests":[],"#, &bytes[1..]].concat();
    });
    assert!(faults(&twice)[0].starts_with("`index.json`: not usable JSON: key `manifests` appears twice"));
    let latin = image().build().change("index.json", |bytes| bytes.insert(2, 0xff));
    assert!(faults(&latin)[0].starts_with("`index.json`: not usable JSON"));
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    let deep = image().build().change("index.json", |bytes| *bytes = deep.into_bytes());
    assert!(faults(&deep)[0].contains("nested deeper than 32 levels"));
}

#[test]
fn documents_that_are_too_large_or_none() {
    let blank = vec![b' '; usize::try_from(limits::DOCUMENT_BYTES).unwrap()];
    let large = image().build().change("index.json", |bytes| bytes.extend(&blank));
    assert!(faults(&large)[0].contains("bytes is over the limit of 4194304"), "{:?}", faults(&large));
    let config =
        ImageBuilder::oci().layer(some_layer()).config(|config| config["x"] = "x".repeat(5 << 20).into()).build();
    assert!(faults(&config)[0].contains("bytes is over the limit of 4194304"));
    let none =
        image().manifest(|manifest| manifest["config"]["digest"] = some_layer().digest().to_string().into()).build();
    assert!(faults(&none).iter().any(|fault| fault.ends_with("holds something else")), "{:?}", faults(&none));
}

#[test]
fn many_documents_do_not_fill_the_memory() {
    let mut layout = image().build();
    for at in 0..7 {
        let bytes = [b"{", vec![b' '; (4 << 20) - 4].as_slice(), at.to_string().as_bytes(), b"}"].concat();
        layout = layout.with(&path(&Digest::of(&bytes)), bytes);
    }
    assert_eq!(error(&layout.tar()).to_string(), "the archive holds more than 25165824 bytes of JSON");
}

#[test]
fn layers_that_are_none_or_broken() {
    let tar = tar([file("a", "a".repeat(5000)), file("b", "b")]);
    let whole = gzip(tar.clone());
    let with = |bytes: Vec<u8>, suffix| {
        faults(&ImageBuilder::oci().layer(blob(tar.clone(), bytes, suffix)).build()).join("\n")
    };
    assert!(with(b"hello".to_vec(), "").ends_with("the blob is neither a tar nor compressed"));
    assert!(with(b"{}".to_vec(), "").ends_with("the blob is neither a tar nor compressed"));
    let cut = whole.blob[..whole.blob.len() - 9].to_vec();
    assert!(with(cut, "gzip").contains("layers[0]: gzip data is damaged: "));
    let trailing = [whole.blob.as_slice(), b"trailing"].concat();
    assert!(with(trailing, "gzip").contains("layers[0]: gzip data is damaged: "));
    let mut flipped = whole.blob.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(with(flipped, "gzip").contains("layers[0]: gzip data is damaged: "));
    let zstd = zstd(tar.clone()).blob;
    assert!(with(zstd[..zstd.len() - 3].to_vec(), "zstd").contains("layers[0]: zstd data is damaged: "));
    // What is inside is broken: every cut inside of the data, a damaged header, a lone zero block.
    assert!(
        with(gzip(tar[..1000].to_vec()).blob, "gzip")
            .ends_with("the tar inside is broken: cut off at byte 1000: the data of an entry goes on")
    );
    let mut damaged = tar.clone();
    damaged[5632] ^= 1;
    assert!(
        with(gzip(damaged).blob, "gzip")
            .ends_with("the tar inside is broken: malformed at byte 5632: not a tar header (checksum)")
    );
    let lone = [&[0; 512], tar.as_slice()].concat();
    assert!(with(gzip(lone).blob, "gzip").ends_with("malformed at byte 0: a zero block that is not the end"));
}

#[test]
fn several_members_of_gzip_are_one_layer() {
    let whole = tar([file("a", "a")]);
    let (front, back) = whole.split_at(700);
    let members = [gzip(front.to_vec()).blob, gzip(back.to_vec()).blob].concat();
    let layout = ImageBuilder::oci().layer(blob(whole, members, "gzip")).build();
    assert!(read_archive(layout.tar().as_slice(), &ReadOptions::default()).is_ok());
}

#[test]
fn docker_and_everybody_else_must_load_the_same_image() {
    let layout = image().build();
    let change = |change: fn(&mut Value)| {
        faults(&layout.clone().change("manifest.json", |bytes| {
            let mut value = serde_json::from_slice(bytes).unwrap();
            change(&mut value);
            *bytes = serde_json::to_vec(&value).unwrap();
        }))
    };
    let config = path(layout.config.as_ref().unwrap());
    assert_eq!(
        change(|value| value[0]["Config"] = "blobs/sha256/00".into()),
        [format!("`manifest.json` [0]: Config is `blobs/sha256/00`, but `index.json` leads to `{config}`")]
    );
    let layer = path(&some_layer().digest());
    assert_eq!(
        change(|value| value[0]["Layers"] = json!([])),
        [format!("`manifest.json` [0]: Layers is ``, but `index.json` leads to `{layer}`")]
    );
    assert_eq!(change(|value| *value = json!([])), ["`manifest.json`: holds no image"]);
    assert!(change(|value| *value = json!({}))[0].starts_with("`manifest.json`: not usable JSON"));
}

#[test]
fn an_annotation_does_not_make_an_image_an_attestation() {
    // Else a second image would pass unseen by all that looks at images.
    let layout = ImageBuilder::oci().layer(some_layer()).index(|index| {
        index["manifests"][0]["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    });
    let image = read_archive(layout.build().tar().as_slice(), &ReadOptions::default()).unwrap();
    assert_eq!((image.manifests.len(), image.attestations.len()), (1, 0));
}

#[test]
fn an_attestation_holds_no_images() {
    // Whoever goes by the form would follow it.
    let mut layout = ImageBuilder::oci().layer(some_layer()).build();
    let bytes = &layout.members.iter().find(|(name, _)| name == "index.json").unwrap().1;
    let mut index: Value = serde_json::from_slice(bytes).unwrap();
    let hidden = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "manifests": index["manifests"]});
    let mut descriptor = layout.add(OCI_MANIFEST, hidden.to_string().into_bytes());
    descriptor["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    descriptor["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    index["manifests"].as_array_mut().unwrap().push(descriptor.clone());
    layout.set("index.json", index.to_string().into_bytes());
    let digest = descriptor["digest"].as_str().unwrap();
    assert_eq!(faults(&layout), [format!("`{digest}`: not usable JSON: there is no `config`")]);
}

#[test]
fn indexes_without_end() {
    let mut layout = ImageBuilder::oci().layer(some_layer()).build();
    let mut index: Value =
        serde_json::from_slice(&layout.members.iter().find(|(name, _)| name == "index.json").unwrap().1).unwrap();
    for _ in 0..limits::INDEX_DEPTH {
        let descriptor = layout.add(OCI_INDEX, index.to_string().into_bytes());
        index["manifests"] = json!([descriptor]);
    }
    layout.set("index.json", index.to_string().into_bytes());
    assert!(faults(&layout)[0].ends_with("indexes are nested deeper than 8"));
}

#[test]
fn faults_are_told_together() {
    let layout = platforms([
        image().config(|config| config["rootfs"]["diff_ids"][0] = zero().to_string().into()),
        ImageBuilder::oci()
            .platform("linux", "arm64", "")
            .layer(some_layer())
            .manifest(|manifest| manifest["layers"][0]["size"] = 1.into()),
    ]);
    let faults = faults(&layout.with("x", "").with("y", ""));
    assert_eq!(faults.len(), 4, "{faults:?}");
}

#[test]
fn what_is_no_tar() {
    for bytes in [&b"hello"[..], &[1; 4096], &gzip(b"hello".to_vec()).blob] {
        assert!(matches!(error(bytes), ImageError::NotATar(_)), "{}", error(bytes));
    }
    assert!(matches!(error(b""), ImageError::Truncated { offset: 0, .. }));
    // A tar that holds nothing.
    assert_eq!(error(&tar([])).to_string(), "`oci-layout`: is missing\n`index.json`: is missing");
}

#[test]
fn bytes_behind_the_end_are_not_passed_over() {
    let archive = image().build().tar();
    let padded = [archive.as_slice(), &[0; 10240]].concat();
    assert!(read_archive(padded.as_slice(), &ReadOptions::default()).is_ok());
    let hidden = [padded.as_slice(), image().build().tar().as_slice()].concat();
    assert_eq!(
        error(&hidden).to_string(),
        format!("archive: byte {} is not zero, though the archive has ended", padded.len())
    );
}

#[test]
fn an_archive_that_is_cut_off_anywhere_is_refused() {
    let archive = ImageBuilder::docker()
        .layer(gzip(tar([file("a", "a".repeat(3000))])))
        .layer(zstd(tar([dir("b/")])))
        .named("a:1")
        .build()
        .tar();
    for length in (0..archive.len()).step_by(512).chain((0..archive.len()).step_by(97)) {
        let error = error(&archive[..length]);
        let is_right = matches!(error, ImageError::Truncated { .. } | ImageError::NotATar(_));
        assert!(is_right, "cut at {length} of {}: {error}", archive.len());
    }
}

#[test]
fn a_flipped_bit_never_passes_unless_it_changes_nothing() {
    let layout = ImageBuilder::docker().layer(some_layer()).build();
    let archive = layout.tar();
    let digest = read_archive(archive.as_slice(), &ReadOptions::default()).unwrap().digest().cloned();
    for at in 0..archive.len() {
        let mut changed = archive.clone();
        changed[at] ^= 0x10;
        // Padding, and header fields that no reader of images looks at, may change; the image must not.
        if let Ok(image) = read_archive(changed.as_slice(), &ReadOptions::default()) {
            assert_eq!(image.digest().cloned(), digest, "byte {at}");
        }
    }
}

#[test]
fn a_source_that_fails_is_no_broken_archive() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("the disk is gone"));
            }
            let count = self.0.min(buffer.len());
            self.0 -= count;
            Ok(count)
        }
    }
    let layer = gzip(tar([file("a", vec![1; 1 << 20])]));
    let archive = ImageBuilder::oci().layer(layer).build().tar();
    for good in [0, 700, archive.len() - 2000] {
        let source = archive[..good].chain(Failing(0));
        let error = read_archive(source, &ReadOptions::default()).unwrap_err();
        assert!(matches!(error, ImageError::Read { .. }), "{error}");
    }
}

#[test]
fn a_source_may_give_a_byte_at_a_time_and_be_interrupted() {
    struct Slow<'a>(&'a [u8], bool);
    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = buffer.len().min(1);
            self.0.read(&mut buffer[..count])
        }
    }
    let layout = image().build();
    let read = read_archive(Slow(&layout.tar(), false), &ReadOptions::default()).unwrap();
    assert_eq!(read.digest(), layout.image.as_ref());
}

#[test]
fn hostile_headers_in_a_layer() {
    let count = |entries: Vec<_>| {
        let layout = ImageBuilder::oci().layer(gzip(tar(entries))).build();
        read_archive(layout.tar().as_slice(), &ReadOptions { epoch: Some(100), ..ReadOptions::default() })
            .map(|image| image.manifests[0].layers[0].facts.as_ref().clone())
            .map_err(|error| error.to_string())
    };
    let long = "d/".repeat(200) + "file";
    let facts = count(vec![file(&long, "x").at(200), file("b", "y")]).unwrap();
    assert_eq!((facts.entries, facts.newest_path.as_deref()), (2, Some(long.as_str())));
    let pax = file("short", "x")
        .at(1)
        .pax("SCHILY.xattr.security.capability", "\x01\n\n=")
        .pax("path", "real\nname")
        .pax("mtime", "200.5");
    let facts = count(vec![pax, file("b", "y")]).unwrap();
    assert_eq!((facts.entries, facts.newest_mtime), (2, Some(200)));
    assert_eq!(facts.epoch.unwrap().first_later_path.as_deref(), Some("real\\u{a}name"));
    // The record's size counts, as for a file over 8 GiB.
    let sized = count(vec![file("a", "x".repeat(600)).pax("size", "600"), file("b", "y")]).unwrap();
    assert_eq!(sized.entries, 2);
    // A directory has no data, whatever its size says.
    let sized = count(vec![dir("d/").pax("size", "600"), file("b", "y")]).unwrap();
    assert_eq!(sized.entries, 2);
    let global = count(vec![special(b'g', "global"), file("b", "y").at(5)]).unwrap();
    assert_eq!((global.entries, global.newest_mtime), (1, Some(5)));
    let large = count(vec![file("a", "").pax("comment", "x".repeat(2 << 20))]).unwrap_err();
    assert!(large.contains("header extension of 2097"), "{large}");
    let bad = count(vec![file("a", "").pax("mtime", "soon")]).unwrap_err();
    assert!(bad.ends_with("the tar inside is broken: malformed at byte 1024: `mtime` is not a number"), "{bad}");
    let size = count(vec![file("a", "").pax("size", "-1")]).unwrap_err();
    assert!(size.ends_with("`size` is not a number"), "{size}");
    let huge = count(vec![file("a", "").pax("size", "9223372036854775807")]).unwrap_err();
    assert!(huge.contains("the data of an entry goes on"), "{huge}");
}

/// An image behind an index, of which `change` makes what the archive holds.
fn below_an_index(change: impl FnOnce(&mut Layout, &mut Value)) -> Layout {
    let mut layout = ImageBuilder::oci().layer(some_layer()).build();
    let mut index: Value = serde_json::from_slice(layout.bytes("index.json")).unwrap();
    change(&mut layout, &mut index);
    layout.set("index.json", index.to_string().into_bytes());
    layout
}

#[test]
fn an_index_is_of_the_platform_that_is_said_of_it() {
    let nested = |platform: Option<Value>, twice: bool| {
        below_an_index(|layout, index| {
            let mut link = layout.add(OCI_INDEX, index.to_string().into_bytes());
            let plain = link.clone();
            if let Some(platform) = platform {
                link["platform"] = platform;
            }
            // Known by its first name already, it is no other one by the second.
            index["manifests"] = if twice { json!([plain, link]) } else { json!([link]) };
            let outer = layout.add(OCI_INDEX, index.to_string().into_bytes());
            index["manifests"] = json!([outer]);
        })
    };
    let amd64 = json!({"architecture": "amd64", "os": "linux"});
    for sound in [nested(None, false), nested(Some(amd64), true)] {
        read_archive(sound.tar().as_slice(), &ReadOptions::default()).unwrap();
    }
    let arm64 = json!({"architecture": "arm64", "os": "linux"});
    for twice in [false, true] {
        let told = faults(&nested(Some(arm64.clone()), twice));
        let says = "the descriptor says platform `linux/arm64`, but the config `linux/amd64`";
        assert!(told.len() == 1 && told[0].ends_with(says), "{told:?}");
    }
}

#[test]
fn data_beside_a_digest_is_what_the_digest_names() {
    let with = |data: Value| below_an_index(|_, index| index["manifests"][0]["data"] = data);
    let manifest = {
        let layout = with(Value::Null);
        layout.bytes(&path(layout.manifest.as_ref().unwrap())).to_vec()
    };
    let encode = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    for sound in [Value::Null, encode(&manifest).into()] {
        read_archive(with(sound).tar().as_slice(), &ReadOptions::default()).unwrap();
    }
    for (lie, says) in [
        (encode(b"evil"), "`data` has 4 bytes of `sha256:"),
        (encode(&[&manifest[1..], b" "].concat()), "beside "),
        (String::new(), "`data` has 0 bytes"),
        ("?".to_owned(), "is no base64"),
        (encode(&manifest).replace('A', "A\n"), "is no base64"),
    ] {
        let told = faults(&with(lie.into()));
        assert!(told[0].starts_with("`index.json`: not usable JSON: `data`") && told[0].contains(says), "{told:?}");
    }
    // Nor is it another config to whoever takes it from there.
    let config = ImageBuilder::oci().layer(some_layer()).manifest(|one| one["config"]["data"] = "e30=".into());
    assert!(faults(&config.build())[0].contains("`data` has 2 bytes"));
    // A size that is a lie in both places is none the less one.
    let sized = below_an_index(|_, index| {
        index["manifests"][0]["size"] = 1.into();
        index["manifests"][0]["data"] = encode(&manifest).into();
    });
    assert!(faults(&sized)[0].contains("beside 1 bytes of"));
}

#[test]
fn what_has_layers_is_no_attestation() {
    // An engine that is asked for this digest runs it.
    let layout = below_an_index(|_, index| {
        let mut link = index["manifests"][0].clone();
        link["platform"] = json!({"architecture": "unknown", "os": "unknown"});
        link["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
        index["manifests"].as_array_mut().unwrap().push(link);
    });
    let told = faults(&layout);
    assert!(told.len() == 1 && told[0].ends_with("is not that of a statement"), "{told:?}");
}
