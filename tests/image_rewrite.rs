//! Layers that BuildKit built and did not rewrite are found, and no others.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use repro::digest::Digest;
use repro::image::rewrite::{Base, RewriteFault, RewriteProof, Unproved, Verdict, check_rewritten};
use repro::image::{Manifest, ReadOptions, read_archive};
use support::image_builder::{ImageBuilder, Layer, file, gzip, tar};

const EPOCH: i64 = 1000;
/// The date of the epoch.
const CLAMPED: &str = "1970-01-01T00:16:40Z";
const LATER: &str = "2024-01-01T00:00:00Z";

/// The layer `name` in the words of the table: `+` holds a later time, `*` is annotated, `~` annotated with another epoch.
fn layer(word: &str) -> Layer {
    let name = word.trim_end_matches(['+', '*', '~', '%']);
    let layer = match word {
        _ if word.contains('+') => gzip(tar([file("old", name), file(name, name).at(5000)])),
        _ if word.contains('%') => gzip(tar([])),
        _ => gzip(tar([file(name, name).at(1000)])),
    };
    match word {
        _ if word.contains('*') => layer.rewritten(EPOCH),
        _ if word.contains('~') => layer.rewritten(EPOCH + 1),
        _ => layer,
    }
}

fn layers(words: &str) -> Vec<Layer> {
    words.split_whitespace().map(layer).collect()
}

fn manifest(builder: ImageBuilder) -> Manifest {
    let archive = builder.build().tar();
    read_archive(archive.as_slice(), &ReadOptions::default()).unwrap().manifests.remove(0)
}

fn image(builder: ImageBuilder, words: &str) -> Manifest {
    manifest(layers(words).into_iter().fold(builder, |builder, layer| builder.layer_created(layer, CLAMPED)))
}

/// What is expected: `proved <base> <rewritten>`, `unproved <layers>`, or `refuted` and the faults by kind and layer.
fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Proved(RewriteProof { base_layers: Some(base), rewritten_layers }) => {
            format!("proved {base}+{rewritten_layers}")
        }
        Verdict::Proved(RewriteProof { base_layers: None, rewritten_layers }) => format!("proved {rewritten_layers}"),
        Verdict::Unproved(Unproved::UnknownBase { layers }) => format!("unproved {layers}"),
        Verdict::Unproved(Unproved::History { .. }) => "unproved history".to_owned(),
        Verdict::Refuted(faults) => faults.iter().fold("refuted".to_owned(), |text, fault| {
            text + &match fault {
                RewriteFault::NotAnnotated { layer, .. } => format!(" {layer}:bare"),
                RewriteFault::OtherEpoch { layer, .. } => format!(" {layer}:epoch"),
                RewriteFault::Later { layer, .. } => format!(" {layer}:later"),
                RewriteFault::History { step, .. } => format!(" step {step}"),
                RewriteFault::NotADate { step, .. } => format!(" step {step} no date"),
            }
        }),
    }
}

/// Checks `image` against `candidates`, in which images are parted by `|`; `?` stands for unknown.
fn check(image: &Manifest, candidates: &str, key: fn(&Layer) -> Digest) -> String {
    let known: Vec<Vec<Digest>> = candidates.split('|').map(|words| layers(words).iter().map(key).collect()).collect();
    let base = match candidates {
        "?" => Base::Unknown,
        "-" => Base::Known(&[]),
        _ => Base::Known(&known),
    };
    words(&check_rewritten(image, EPOCH, base))
}

#[test]
fn the_table_with_oci_types() {
    for (candidates, layers, expected) in [
        // A base that is known.
        ("b1+ b2+", "b1+ b2+ 3*", "proved 2+1"),
        ("b1 b2", "b1 b2 3* 4*", "proved 2+2"),
        ("b1 b2", "b1 b2", "proved 2+0"),
        ("b1+ b2", "b1+ 3*", "refuted 0:bare 0:later"),
        ("b1 b2", "b1 3*", "refuted 0:bare"),
        ("b1 b2", "b1", "refuted 0:bare"),
        ("b1", "b1 2 3*", "refuted 1:bare"),
        ("b1", "b1 2* 3", "refuted 2:bare"),
        ("b1", "b1 2* 3+", "refuted 2:bare 2:later"),
        ("b1", "b1 2~ 3*", "refuted 1:epoch"),
        ("b1", "1* 2*", "proved 0+2"),
        ("b1", "b1*", "proved 1+0"),
        ("b1", "b1~ 2*", "proved 1+1"),
        ("b1", "x b1 2*", "refuted 0:bare 1:bare"),
        // Several images were used.
        ("b1|b1 b2+", "b1 b2+ 3*", "proved 2+1"),
        ("b1 b2+|b1", "b1 b2+ 3*", "proved 2+1"),
        ("b1|b1 b2+", "b1 3*", "proved 1+1"),
        ("c1|b1", "b1 2*", "proved 1+1"),
        ("c1|b1", "b1 c1 2*", "refuted 1:bare"),
        // A base without layers, and `FROM scratch` beside other images.
        ("|c1", "1* 2*", "proved 0+2"),
        ("|c1", "1 2*", "refuted 0:bare"),
        ("c1", "1* 2*", "proved 0+2"),
        // `FROM scratch`.
        ("-", "1* 2*", "proved 0+2"),
        ("-", "1 2*", "refuted 0:bare"),
        ("-", "1+ 2*", "refuted 0:bare 0:later"),
        ("-", "", "proved 0+0"),
        // Empty layers.
        ("b1", "b1 2%* 3*", "proved 1+2"),
        ("b1", "b1 2%", "refuted 1:bare"),
        ("b1 b2%", "b1 b2% 3*", "proved 2+1"),
        // Nothing is known.
        ("?", "1* 2*", "proved 2"),
        ("?", "", "proved 0"),
        ("?", "1 2*", "unproved 1"),
        ("?", "1+ 2 3*", "unproved 2"),
        ("?", "1", "unproved 1"),
        ("?", "1* 2", "refuted 1:bare"),
        ("?", "1 2* 3+", "refuted 2:bare 2:later"),
        ("?", "1 2~", "refuted 1:epoch"),
    ] {
        let image = image(ImageBuilder::oci(), layers);
        assert_eq!(check(&image, candidates, Layer::digest), expected, "OCI, `{candidates}`: {layers}");
        assert_eq!(check(&image, candidates, Layer::diff_id), expected, "OCI, diff IDs, `{candidates}`: {layers}");
    }
}

#[test]
fn the_table_with_docker_types() {
    for (candidates, layers, expected) in [
        ("b1+", "b1+ 2", "proved 1+1"),
        ("b1+", "b1+", "proved 1+0"),
        ("b1+", "b1+ 2+", "refuted 1:later"),
        ("b1+", "b1+ 2 3+ 4", "refuted 2:later"),
        ("b1+ b2", "b1+ 3", "refuted 0:later"),
        ("b1+ b2", "b1+", "refuted 0:later"),
        // Its times are as a rewrite would leave them, whatever it is.
        ("b1 b2", "b1 3", "proved 0+2"),
        ("b1+|b1+ b2+", "b1+ b2+ 3", "proved 2+1"),
        ("b1+ b2+|b1+", "b1+ b2+ 3", "proved 2+1"),
        ("b1+|b1+ b2+", "b1+ 3", "proved 1+1"),
        ("c1|b1+", "b1+ 2", "proved 1+1"),
        ("c1+|b1", "b1 c1+", "refuted 1:later"),
        ("-", "1 2", "proved 0+2"),
        ("-", "1+", "refuted 0:later"),
        ("-", "", "proved 0+0"),
        ("b1+", "b1+ 2%", "proved 1+1"),
        ("?", "1 2", "proved 2"),
        ("?", "1+ 2", "unproved 1"),
        ("?", "1 2+ 3", "unproved 2"),
        ("?", "", "proved 0"),
    ] {
        let image = image(ImageBuilder::docker(), layers);
        assert_eq!(check(&image, candidates, Layer::digest), expected, "Docker, `{candidates}`: {layers}");
        assert_eq!(check(&image, candidates, Layer::diff_id), expected, "Docker, diff IDs, `{candidates}`: {layers}");
    }
}

#[test]
fn a_base_built_with_an_epoch_but_without_rewrite_is_no_skipped_layer() {
    // Its history is clamped and its files are not. The dates are the same as in an image of which BuildKit skipped a layer;
    // only the base tells them apart.
    for (builder, skipped) in [
        (ImageBuilder::oci as fn() -> ImageBuilder, "refuted 1:bare 1:later"),
        (ImageBuilder::docker, "refuted 1:later"),
    ] {
        let image = image(builder(), "b1+ b2+ 3*");
        assert_eq!(check(&image, "b1+ b2+", Layer::digest), "proved 2+1");
        assert_eq!(check(&image, "b1+", Layer::digest), skipped);
    }
}

#[test]
fn the_history_of_the_base_keeps_its_dates() {
    for builder in [ImageBuilder::oci as fn() -> ImageBuilder, ImageBuilder::docker] {
        let base = || builder().layer_created(layer("b1+"), LATER).step(LATER);
        let of_build = manifest(base().layer_created(layer("2*"), CLAMPED).step(CLAMPED));
        assert_eq!(check(&of_build, "b1+", Layer::digest), "proved 1+1");
        let second = manifest(base().layer_created(layer("2*"), LATER).step(CLAMPED));
        assert_eq!(check(&second, "b1+", Layer::digest), "refuted step 2");
        let last = manifest(base().layer_created(layer("2*"), CLAMPED).step(LATER));
        assert_eq!(check(&last, "b1+", Layer::digest), "refuted step 3");
        let fraction = manifest(base().layer_created(layer("2*"), "1970-01-01T00:16:40.5Z"));
        assert_eq!(check(&fraction, "b1+", Layer::digest), "refuted step 2");
        let zone = manifest(base().layer_created(layer("2*"), "1970-01-01T01:16:40+01:00"));
        assert_eq!(check(&zone, "b1+", Layer::digest), "proved 1+1");
        let no_date = manifest(base().layer_created(layer("2*"), "yesterday"));
        assert_eq!(check(&no_date, "b1+", Layer::digest), "refuted step 2 no date");
        // No image was used: every step is the build's.
        let scratch = manifest(builder().step(LATER).layer_created(layer("1*"), CLAMPED));
        assert_eq!(check(&scratch, "-", Layer::digest), "refuted step 0");
        assert_eq!(check(&scratch, "c1", Layer::digest), "refuted step 0");
        // The base may have no layer, but steps.
        assert_eq!(check(&scratch, "", Layer::digest), "proved 0+1");
    }
}

#[test]
fn with_an_unknown_base_its_dates_are_not_held_against_it() {
    // With Docker types even layers without later times may be the base's.
    let docker = manifest(ImageBuilder::docker().layer_created(layer("b1"), LATER).layer_created(layer("2"), CLAMPED));
    assert_eq!(check(&docker, "?", Layer::digest), "proved 2");
    let oci = manifest(ImageBuilder::oci().layer_created(layer("b1"), LATER).layer_created(layer("2*"), CLAMPED));
    assert_eq!(check(&oci, "?", Layer::digest), "unproved 1");
    let oci = manifest(ImageBuilder::oci().layer_created(layer("b1"), LATER).layer_created(layer("2*"), LATER));
    assert_eq!(check(&oci, "?", Layer::digest), "refuted step 1");
}

#[test]
fn a_layer_that_says_it_was_rewritten_and_was_not_is_no_sound_image() {
    // Whoever reads the archive finds out, thus no build gets as far as this check.
    let archive = ImageBuilder::oci().layer(layer("b1")).layer(layer("2+*")).build().tar();
    let error = read_archive(archive.as_slice(), &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().ends_with("rewritten to 1000, but `2` has the time 5000"), "{error}");
}

#[test]
fn a_history_that_does_not_fit_the_layers_proves_nothing() {
    let odd = manifest(
        ImageBuilder::oci().layer(layer("1*")).config(|config| config["history"][0]["empty_layer"] = true.into()),
    );
    assert_eq!(check(&odd, "-", Layer::digest), "unproved history");
    let none =
        manifest(ImageBuilder::oci().layer(layer("1*")).config(|config| config["history"] = serde_json::Value::Null));
    assert_eq!(check(&none, "-", Layer::digest), "proved 0+1");
}

#[test]
fn access_times_and_fractions_count() {
    for (key, value) in [("mtime", "1000.5"), ("atime", "1001"), ("ctime", "1000.000000001")] {
        let later = gzip(tar([file("bin/x", "").at(1).pax(key, value)]));
        let image = manifest(ImageBuilder::docker().layer(later));
        assert_eq!(check(&image, "-", Layer::digest), "refuted 0:later", "{key}={value}");
    }
}

#[test]
fn messages_name_the_layer_and_both_values() {
    let layer = gzip(tar([file("bin/\x1b[31m", "").at(5000)])).rewritten(5000);
    let digest = layer.digest();
    let image = manifest(ImageBuilder::oci().layer_created(layer, LATER));
    let Verdict::Refuted(faults) = check_rewritten(&image, EPOCH, Base::Known(&[])) else { panic!("refuted") };
    let messages: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            format!("layers[0] `{digest}` was rewritten to `5000`, not to 1000"),
            format!("layers[0] `{digest}` was not rewritten: `bin/\\u{{1b}}[31m` has the time 5000, later than 1000"),
            "history[0] was created `2024-01-01T00:00:00Z`, later than 1000".to_owned(),
        ]
    );
}
