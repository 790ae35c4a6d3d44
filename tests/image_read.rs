//! Sound archives are read, and what they hold is what was put in.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use repro::image::media_type::{Compression, Family};
use repro::image::{
    FaultKind, Image, ImageError, KnownLayers, LayerFacts, ReadOptions, SharedLayers, metadata_agrees, read_archive,
};
use support::image_builder::{ImageBuilder, Layer, Layout, dir, file, gzip, plain, platforms, symlink, tar, zstd};

fn read(layout: &Layout) -> Image {
    read_archive(layout.tar().as_slice(), &ReadOptions { epoch: Some(100), ..ReadOptions::default() }).unwrap()
}

#[test]
fn reads_what_buildkit_writes_for_docker() {
    let first = gzip(tar([dir("bin/").at(50), file("bin/sh", "#!").at(150), symlink("sh", "bin/sh").at(100)]));
    let second = zstd(tar([dir("sys/"), file(".wh.gone", "")]));
    let layout = ImageBuilder::docker().layer(first.clone()).layer(second).named("docker.io/library/a:1").build();
    let image = read(&layout);

    assert_eq!(image.digest(), layout.image.as_ref());
    assert_eq!(image.roots[0].names, ["docker.io/library/a:1"]);
    assert!(image.docker_manifest.is_some() && image.indexes.is_empty() && image.attestations.is_empty());
    assert_eq!(image.archive_bytes, layout.tar().len() as u64);
    let [manifest] = image.manifests.as_slice() else { panic!("one manifest") };
    assert_eq!(Some(&manifest.document.digest), layout.manifest.as_ref());
    assert_eq!(Some(&manifest.config.document.digest), layout.config.as_ref());
    assert_eq!(manifest.family, Family::Docker);
    assert_eq!(manifest.config.platform.to_string(), "linux/amd64");

    let [bin, sys] = manifest.layers.as_slice() else { panic!("two layers") };
    assert_eq!((bin.compression, sys.compression), (Compression::Gzip, Compression::Zstd));
    assert_eq!(bin.diff_id, first.diff_id());
    assert_eq!(bin.descriptor.digest, first.digest());
    assert_eq!(bin.uncompressed_size, first.tar.len() as u64);
    assert_eq!((bin.facts.entries, bin.facts.oldest_mtime, bin.facts.newest_mtime), (3, Some(50), Some(150)));
    let epoch = bin.facts.epoch.as_ref().unwrap();
    assert_eq!((epoch.later, epoch.older, epoch.first_later_path.as_deref()), (1, 1, Some("bin/sh")));
    assert!(!bin.facts.has_sys_dir && sys.facts.has_sys_dir);
    assert_eq!(sys.facts.entries, 2);
}

#[test]
fn the_order_of_members_does_not_matter() {
    let layout = ImageBuilder::oci().layer(plain(tar([file("a", "a")]))).build();
    assert_eq!(read(&layout).digest(), read(&layout.clone().reversed()).digest());
}

#[test]
fn several_names_are_one_image() {
    let layout = ImageBuilder::docker().layer(gzip(tar([]))).named("b:2").named("a:1").named("a:1").build();
    let image = read(&layout);
    assert_eq!(image.manifests.len(), 1);
    assert_eq!(image.digest(), layout.manifest.as_ref());
    assert_eq!(image.roots[0].names, ["a:1", "b:2"]);
}

#[test]
fn several_platforms_have_the_digest_of_their_index() {
    let layout = platforms([
        ImageBuilder::oci().layer(gzip(tar([file("a", "")]))),
        ImageBuilder::oci().platform("linux", "arm", "v7").layer(gzip(tar([file("a", "")]))),
    ]);
    let image = read(&layout);
    assert_eq!(image.digest(), layout.image.as_ref());
    assert_eq!(image.digest(), Some(&image.indexes[0].document.digest));
    let platforms: Vec<_> = image.manifests.iter().map(|manifest| manifest.config.platform.to_string()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm/v7"]);
}

#[test]
fn an_attestation_is_no_image() {
    let layout = ImageBuilder::oci().layer(gzip(tar([]))).attested().build();
    let image = read(&layout);
    assert_eq!((image.manifests.len(), image.attestations.len(), image.indexes.len()), (1, 1, 1));
    assert_eq!(image.attestations[0].subject, layout.manifest.as_ref().map(ToString::to_string));
    assert_eq!(image.digest(), layout.image.as_ref());
}

#[test]
fn an_image_without_layers_has_null_for_them() {
    let layout = ImageBuilder::docker()
        .config(|config| {
            config["rootfs"]["diff_ids"] = serde_json::Value::Null;
            config["history"] = serde_json::Value::Null;
        })
        .manifest(|manifest| manifest["layers"] = serde_json::Value::Null)
        .build();
    assert_eq!(read(&layout).manifests[0].layers.len(), 0);
}

#[test]
fn a_layer_larger_than_all_buffers_is_hashed_whole() {
    let mut seed = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    })
    .take(9 << 20)
    .collect();
    for layer in [gzip, zstd, plain] {
        let layer = layer(tar([file("noise", &noise), file("last", "").at(77)]));
        let image = read(&ImageBuilder::oci().layer(layer.clone()).build());
        assert_eq!(image.manifests[0].layers[0].diff_id, layer.diff_id());
        assert_eq!(image.manifests[0].layers[0].facts.newest_mtime, Some(77));
    }
}

#[test]
fn a_builder_that_lies_is_found_out() {
    let layout = ImageBuilder::docker().layer(gzip(tar([]))).build();
    let image = read(&layout);
    let (manifest, config) = (layout.manifest.unwrap(), layout.config.unwrap());
    assert!(metadata_agrees(&image, &manifest, Some(&config)).is_ok());
    assert!(metadata_agrees(&image, &manifest, None).is_ok());
    let told = |digest, config| {
        let faults = metadata_agrees(&image, digest, config).unwrap_err();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        told(&config, Some(&manifest)),
        [
            format!("`containerimage.digest`: the builder says `{config}`, but the archive has `{manifest}`"),
            format!("`containerimage.config.digest`: the builder says `{manifest}`, but the archive has `{config}`"),
        ]
    );
}

/// A layer large enough to be remembered, which does not get smaller, with entries of these times.
fn large(times: &[u64]) -> Layer {
    let mut state = 1_u32;
    let data: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(1_200_000)
    .collect();
    let first = file("data", data).at(times[0]);
    let others = times[1..].iter().map(|time| file(time.to_string(), "x").at(*time));
    gzip(tar(std::iter::once(first).chain(others)))
}

/// What is read of the first layer where it is known to a reader that saw it with the epoch 100.
fn facts_when_known(times: &[u64], epoch: Option<i64>) -> (LayerFacts, LayerFacts) {
    let layout = ImageBuilder::oci().layer(large(times)).build();
    let mut known = KnownLayers::default();
    assert!(known.learn(&read(&layout)));
    let read = |known| {
        let image =
            read_archive(layout.tar().as_slice(), &ReadOptions { epoch, known, ..ReadOptions::default() }).unwrap();
        let layer = &image.manifests[0].layers[0];
        assert_eq!((layer.compression, layer.uncompressed_size % 512), (Compression::Gzip, 0));
        layer.facts.as_ref().clone()
    };
    (read(known), read(KnownLayers::default()))
}

#[test]
fn a_known_layer_tells_what_reading_it_tells() {
    for times in [&[50, 150][..], &[50, 60], &[150, 160], &[100, 100], &[50, 100]] {
        for epoch in [None, Some(0), Some(49), Some(50), Some(51), Some(100), Some(149), Some(150), Some(1000)] {
            let (known, anew) = facts_when_known(times, epoch);
            assert_eq!(known, anew, "{times:?} against {epoch:?}");
        }
    }
}

#[test]
fn a_known_layer_is_not_inflated_again() {
    let layout = ImageBuilder::oci().layer(large(&[50])).build();
    let mut known = KnownLayers::default();
    assert!(known.learn(&read(&layout)), "it is large enough");
    // What is kept of it is believed, as long as the bytes have its digest: so it is not read.
    let told = serde_json::to_string(&known).unwrap().replace("\"entries\":1", "\"entries\":7");
    let told: KnownLayers = serde_json::from_str(&told).unwrap();
    let image = read_archive(
        layout.tar().as_slice(),
        &ReadOptions { epoch: Some(100), known: told.clone(), ..ReadOptions::default() },
    )
    .unwrap();
    assert_eq!(image.manifests[0].layers[0].facts.entries, 7);
    let mut again = told;
    assert!(!again.learn(&image), "there is nothing new in it");
}

#[test]
fn other_bytes_under_the_name_of_a_known_layer_are_refused() {
    let layout = ImageBuilder::oci().layer(large(&[50])).build();
    let mut known = KnownLayers::default();
    known.learn(&read(&layout));
    let blob = format!("blobs/sha256/{}", large(&[50]).digest().hex());
    for at in [0, 20, 1_000_000] {
        let changed = layout.clone().change(&blob, |bytes| bytes[at] ^= 1);
        let options = ReadOptions { epoch: Some(100), known: known.clone(), ..ReadOptions::default() };
        let error = read_archive(changed.tar().as_slice(), &options).unwrap_err();
        assert!(error.faults().iter().any(|fault| matches!(fault.kind, FaultKind::Digest { .. })), "{error}");
    }
}

/// Two passes at the same time, as often as it takes for each of them to have been first at times.
#[test]
fn passes_at_the_same_time_share_layers_and_no_mistakes() {
    let large = |fill: u8| plain(tar([file("large", vec![fill; 5 << 20])]));
    let sound = ImageBuilder::oci().layer(large(1)).layer(large(2)).build();
    let other = ImageBuilder::oci().layer(large(1)).layer(gzip(tar([file("a", "")]))).layer(large(2)).build();
    let path = format!("blobs/sha256/{}", large(2).digest().hex());
    // Under the name of what the other one has: a file with another content, sound in itself.
    let tampered = other.clone().change(&path, |bytes| *bytes = large(3).blob);
    let together = |one: &Layout, two: &Layout| {
        let shared = SharedLayers::new();
        let read = |layout: &Layout| {
            read_archive(layout.tar().as_slice(), &ReadOptions { shared: shared.clone(), ..ReadOptions::default() })
        };
        std::thread::scope(|scope| {
            let first = scope.spawn(|| read(one));
            let second = read(two);
            (first.join().unwrap(), second)
        })
    };
    let layers = |image: &Image| -> Vec<_> {
        let layers = image.manifests[0].layers.iter();
        layers.map(|layer| (layer.diff_id.clone(), layer.uncompressed_size, layer.facts.clone())).collect()
    };
    let alone = |layout: &Layout| layers(&read_archive(layout.tar().as_slice(), &ReadOptions::default()).unwrap());
    for _ in 0..10 {
        let (one, two) = together(&sound, &other);
        assert_eq!((layers(&one.unwrap()), layers(&two.unwrap())), (alone(&sound), alone(&other)));
        for (one, two) in [together(&sound, &tampered), {
            let (two, one) = together(&tampered, &sound);
            (one, two)
        }] {
            match one {
                Ok(one) => assert_eq!(layers(&one), alone(&sound)),
                Err(error) => assert!(matches!(error, ImageError::NotShared(_)), "{error}"),
            }
            let error = two.unwrap_err();
            let is_digest = |fault: &repro::image::Fault| matches!(fault.kind, FaultKind::Digest { .. });
            assert!(error.faults().iter().any(is_digest), "{error}");
        }
    }
}
