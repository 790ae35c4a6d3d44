//! What `repro diff` finds: every property once, one difference each, and never an equal that is none.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use std::process::Command;

use repro::diff::model::{Comparison, EntryDifference, EqualLevel, Kind, Relation};
use repro::diff::{Ignore, Options, Plan, Source, Switch, Verdict};
use repro::image::source::TarSource;
use repro::image::{Platform, ReadOptions, copy_blobs, read_archive};
use repro::report::diff::write_diff;
use repro::report::diff_html::write_diff_html;
use repro::report::json::render_json;
use repro::report::sarif::sarif;
use serde_json::Value;
use support::image_builder::{
    Entry, ImageBuilder, Layout, dir, file, gzip, hardlink, plain, platforms, special, symlink, tar, zstd,
};
use support::schema::violations;

fn compare_with(a: &[u8], b: &[u8], options: Options) -> Comparison {
    let read = ReadOptions { partial: true, ..ReadOptions::default() };
    let (image_a, image_b) = (read_archive(a, &read).unwrap(), read_archive(b, &read).unwrap());
    let plan = Plan::new((b"a.tar", &image_a), (b"b.tar", &image_b), options);
    let (wanted_a, wanted_b) = plan.wanted();
    let copies_a = copy_blobs(&mut TarSource::new(a).unwrap(), wanted_a).unwrap();
    let copies_b = copy_blobs(&mut TarSource::new(b).unwrap(), wanted_b).unwrap();
    plan.walk((&copies_a, &copies_b), None).unwrap()
}

fn compare(a: &[u8], b: &[u8]) -> Comparison {
    compare_with(a, b, Options::default())
}

fn ignoring(a: &[u8], b: &[u8], ignore: Ignore) -> Comparison {
    compare_with(a, b, Options { ignore, ..Options::default() })
}

/// An image of one layer.
fn image(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    ImageBuilder::oci().layer(plain(tar(entries))).build().tar()
}

fn text(comparison: &Comparison) -> String {
    let mut out = Vec::new();
    write_diff(&mut out, comparison).unwrap();
    String::from_utf8(out).unwrap()
}

/// The entries that differ, in the only layer.
fn entries(comparison: &Comparison) -> &[EntryDifference] {
    &comparison.platforms[0].layers[0].entries
}

/// The kinds of differences that count, on all levels, sorted.
fn kinds(comparison: &Comparison) -> Vec<&'static str> {
    let layers = comparison.platforms.iter().flat_map(|pair| &pair.layers);
    let of_entries = layers.clone().flat_map(|layer| layer.entries.iter().flat_map(|entry| &entry.differences));
    let documents = comparison.platforms.iter().flat_map(|pair| pair.manifest.iter().chain(&pair.config));
    let all = comparison.index.iter().chain(&comparison.attestations).chain(documents);
    let all = all.chain(layers.flat_map(|layer| &layer.differences)).chain(of_entries);
    let mut kinds: Vec<_> = all.filter(|difference| difference.counts()).map(|it| it.kind.name()).collect();
    kinds.sort_unstable();
    kinds
}

#[test]
fn each_property_of_an_entry_is_one_difference() {
    let base = || file("etc/a", "one").at(7).mode(0o644).owner(1, 2).names("u", "g");
    let xattr = "SCHILY.xattr.user.x";
    let cases: Vec<(&str, Entry, Entry, &[&str])> = vec![
        ("mtime", base(), base().at(8), &["mtime"]),
        ("nanoseconds", base().pax("mtime", "7.000000001"), base().pax("mtime", "7.000000002"), &["mtime"]),
        ("atime", base().pax("atime", "1"), base().pax("atime", "2"), &["atime"]),
        ("ctime", base().pax("ctime", "1"), base().pax("ctime", "2"), &["ctime"]),
        ("mode", base(), base().mode(0o600), &["mode"]),
        ("bits of the mode", base(), base().mode(0o100_644), &["mode"]),
        ("uid", base(), base().owner(9, 2), &["uid"]),
        ("gid", base(), base().owner(1, 9), &["gid"]),
        ("uname", base(), base().names("v", "g"), &["uname"]),
        ("gname", base(), base().names("u", "h"), &["gname"]),
        ("PAX uname", base().pax("uname", "x"), base().pax("uname", "y"), &["uname"]),
        ("xattr", base().pax(xattr, "1"), base().pax(xattr, "2\n"), &["record"]),
        ("xattr on one side", base().pax(xattr, "1").pax("user.y", ""), base().pax(xattr, "1"), &["record"]),
        ("content", base(), file("etc/a", "two").at(7).owner(1, 2).names("u", "g"), &["content"]),
        ("size", base(), file("etc/a", "three").at(7).owner(1, 2).names("u", "g"), &["content"]),
        ("type", file("x", ""), dir("x/"), &["type"]),
        ("hard link against copy", hardlink("x", "y"), file("x", "content"), &["type"]),
        ("whiteout against file", file("d/.wh.a", ""), dir("d/.wh.a"), &["type"]),
        ("link", symlink("l", "a"), symlink("l", "b"), &["link"]),
        ("hard link", hardlink("l", "a"), hardlink("l", "b"), &["link"]),
        ("device", special(b'3', "d").device(1, 3), special(b'3', "d").device(1, 5), &["device"]),
        ("spelling", file("./a", "x"), file("a", "x"), &["spelling"]),
        ("form of tar", file("a", "x"), file("a", "x").ustar(), &["tar-format"]),
        (
            "a record for what the header says",
            file("a", "x").at(5),
            file("a", "x").at(5).pax("mtime", "5"),
            &["tar-format"],
        ),
        ("digits of a record", base().pax("mtime", "7.5"), base().pax("mtime", "7.50"), &["tar-format"]),
        ("order of records", base().pax("k", "1").pax("l", "1"), base().pax("l", "1").pax("k", "1"), &["tar-format"]),
        ("a record twice", base().pax("k", "1").pax("k", "1"), base().pax("k", "1"), &["tar-format"]),
        ("only one side", file("a", "x"), file("b", "x"), &["missing", "missing"]),
    ];
    for (name, one, other, expected) in cases {
        let same = [file("0", ""), one.clone()];
        let (a, b) = (image(same.clone()), image([file("0", ""), other]));
        assert_eq!(compare(&a, &image(same)).verdict, Verdict::Identical, "{name}");
        let found = compare(&a, &b);
        assert_eq!(found.verdict, Verdict::Different, "{name}");
        assert_eq!(kinds(&found), expected, "{name}\n{}", text(&found));
        // The other way round it is the same, mirrored.
        let mirrored = compare(&b, &a);
        assert_eq!(kinds(&mirrored), expected, "{name}");
        for (one, other) in entries(&found).iter().zip(entries(&mirrored)) {
            for (one, other) in one.differences.iter().zip(&other.differences) {
                assert_eq!((&one.a, &one.b), (&other.b, &other.a), "{name}");
            }
        }
    }
}

#[test]
fn what_is_no_entry_is_a_difference_too() {
    let entries = [file("a", "abc"), file("b", "x")];
    let whole = tar(entries.clone());
    let mut longer = whole.clone();
    longer.resize(longer.len() + 512, 0);
    let mut trailing = longer.clone();
    *trailing.last_mut().unwrap() = 1;
    let mut padded = whole.clone();
    padded[512 + 100] = b'p';
    let mut unused = whole.clone();
    unused[505] = b'u';
    refresh(&mut unused[..512]);
    let mut rubbish = whole.clone();
    rubbish[50] = b'r';
    refresh(&mut rubbish[..512]);
    let mut blank = whole.clone();
    blank[107] = b' ';
    refresh(&mut blank[..512]);
    for (name, other, expected) in [
        ("blocks behind the end", &longer, "tail"),
        ("bytes behind the end", &trailing, "tail"),
        ("padding of data", &padded, "tar-format"),
        ("unused bytes of a header", &unused, "tar-format"),
        ("behind the end of a name", &rubbish, "tar-format"),
        ("how a number is written", &blank, "tar-format"),
    ] {
        let of = |tar: &[u8]| ImageBuilder::oci().layer(plain(tar.to_vec())).build().tar();
        let found = compare(&of(&whole), &of(other));
        assert_eq!((found.verdict, kinds(&found)), (Verdict::Different, vec![expected]), "{name}");
        // A tail is a matter of encoding, the rest of the form of tar: with all switches both are told as ignored.
        let ignored = ignoring(&of(&whole), &of(other), Ignore::SEMANTIC);
        assert_eq!(ignored.verdict, Verdict::EqualIgnoring, "{name}");
    }
}

/// Makes the checksum of a header fit again.
fn refresh(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[test]
fn entries_in_another_order() {
    let [a, b, c] = ["a", "b", "c"].map(|name| file(name, name));
    let found = compare(&image([a.clone(), b.clone(), c.clone()]), &image([b.clone(), c.clone(), a.clone()]));
    assert_eq!(kinds(&found), ["order"], "{}", text(&found));
    let one_more = compare(&image([a.clone(), b.clone()]), &image([c, a, b]));
    assert_eq!(kinds(&one_more), ["missing"], "an entry more is no other order");
}

#[test]
fn a_path_twice_is_compared_by_its_number() {
    let found = compare(&image([file("a", "1"), file("a", "2")]), &image([file("a", "1"), file("a", "3")]));
    assert_eq!((kinds(&found), entries(&found)[0].occurrence), (vec!["content"], 1));
    let fewer = compare(&image([file("a", "1"), file("a", "2")]), &image([file("a", "1")]));
    assert_eq!(kinds(&fewer), ["missing"]);
}

#[test]
fn names_that_a_terminal_would_act_on_are_escaped() {
    let found = compare(&image([file(b"\x1b[2J\xff", "a")]), &image([file(b"\x1b[2J\xff", "b")]));
    assert_eq!(entries(&found)[0].path.bytes, b"\x1b[2J\xff");
    for bytes in [text(&found).into_bytes(), render_json(&found).unwrap(), html(&found)] {
        let shown = String::from_utf8(bytes).unwrap();
        assert!(!shown.contains('\u{1b}') && shown.contains("{1b}[2J"), "{shown}");
    }
}

fn html(comparison: &Comparison) -> Vec<u8> {
    let mut out = Vec::new();
    write_diff_html(&mut out, comparison).unwrap();
    out
}

#[test]
fn the_page_holds_nothing_that_a_browser_would_run() {
    let found =
        compare(&image([file("<script>alert(1)</script>", "a")]), &image([file("<script>alert(1)</script>", "b")]));
    let page = String::from_utf8(html(&found)).unwrap();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
}

#[test]
fn the_same_contents_in_other_compression() {
    let entries = tar([file("a", "a".repeat(3000))]);
    let of = |layer| ImageBuilder::oci().layer(layer).build().tar();
    let found = compare(&of(gzip(entries.clone())), &of(zstd(entries.clone())));
    assert_eq!(found.platforms[0].layers[0].relation, Relation::CompressionOnly);
    assert_eq!((found.verdict, found.equal), (Verdict::Different, EqualLevel::Config));
    assert_eq!(kinds(&found), ["compression", "value"], "the bytes and the media type");
    // Other bytes of one compression are ignored with whatever is ignored, another media type never is.
    assert_eq!(ignoring(&of(gzip(entries.clone())), &of(zstd(entries)), Ignore::SEMANTIC).verdict, Verdict::Different);
}

#[test]
fn one_layer_more_does_not_shift_the_others() {
    let layer = |name: &str| plain(tar([file(name, name)]));
    let build = |names: &[&str]| {
        let all = names.iter().fold(ImageBuilder::oci(), |image, name| {
            image.layer_of(
                layer(name),
                "1970-01-01T00:00:00Z",
                &format!("RUN /bin/sh -c touch {} # buildkit", &name[..1]),
            )
        });
        all.build().tar()
    };
    let found = compare(&build(&["a", "b", "c"]), &build(&["a", "x", "b", "c"]));
    let relations: Vec<_> = found.platforms[0].layers.iter().map(|layer| layer.relation).collect();
    assert_eq!(relations, [Relation::Same, Relation::OnlyB, Relation::Same, Relation::Same]);
    // What is left is paired by its instruction.
    let found = compare(&build(&["a1", "b1"]), &build(&["x1", "b2", "a2"]));
    let pairs: Vec<_> = found.platforms[0]
        .layers
        .iter()
        .map(|layer| (layer.a.as_ref().map(|it| it.number), layer.b.as_ref().map(|it| it.number)))
        .collect();
    assert!(pairs.contains(&(Some(1), Some(1))) || pairs.contains(&(Some(0), Some(2))), "{pairs:?}");
}

#[test]
fn platforms_are_paired_by_platform() {
    let amd = |content: &str| ImageBuilder::oci().layer(plain(tar([file("a", content)])));
    let arm =
        |variant: &str| ImageBuilder::oci().platform("linux", "arm64", variant).layer(plain(tar([file("a", "a")])));
    let found = compare(&platforms([amd("a"), arm("")]).tar(), &platforms([arm("v8"), amd("b")]).tar());
    assert_eq!(found.platforms.len(), 2);
    assert!(found.platforms.iter().all(|pair| pair.a.is_some() && pair.b.is_some()));
    let missing = compare(&platforms([amd("a"), arm("")]).tar(), &platforms([amd("a")]).tar());
    assert_eq!((missing.verdict, missing.platforms[1].manifest[0].kind), (Verdict::Different, Kind::Missing));
    let only = |platform: &str| Options { platform: Some(platform.parse::<Platform>().unwrap()), ..Options::default() };
    let equal = compare_with(&platforms([amd("a"), arm("")]).tar(), &platforms([amd("a")]).tar(), only("linux/amd64"));
    assert_eq!(equal.verdict, Verdict::Identical);
}

#[test]
fn attestations_are_told_apart() {
    let plain_image = || ImageBuilder::oci().layer(plain(tar([file("a", "a")])));
    let (without, with) = (plain_image().build().tar(), plain_image().attested().build().tar());
    for found in [compare(&without, &with), compare(&with, &without)] {
        assert_eq!((found.verdict, found.equal), (Verdict::AttestationsOnly, EqualLevel::Manifest), "{}", text(&found));
        assert!(found.index.is_empty() && !found.attestations.is_empty());
    }
}

#[test]
fn an_archive_without_manifests_is_compared_by_its_config() {
    let build = |content: &str| {
        ImageBuilder::docker().layer(plain(tar([file("a", content)]))).named("docker.io/library/a:1").build()
    };
    let docker = |layout: Layout| {
        let names: Vec<String> = layout.members.iter().map(|(name, _)| name.clone()).collect();
        let manifest = format!("blobs/sha256/{}", layout.manifest.as_ref().unwrap().hex());
        let layout = layout.without("index.json").without("oci-layout").without(&manifest);
        assert!(names.len() > layout.members.len());
        layout.tar()
    };
    let found = compare(&build("a").tar(), &docker(build("a")));
    assert_eq!((found.verdict, found.equal), (Verdict::Equal, EqualLevel::Config), "{}", text(&found));
    assert!(text(&found).contains("without manifests"));
    let found = compare(&build("a").tar(), &docker(build("b")));
    assert_eq!((found.verdict, kinds(&found)), (Verdict::Different, vec!["content"]));
}

#[test]
fn documents_are_compared_value_by_value() {
    let base = || ImageBuilder::oci().layer(plain(tar([file("a", "a")])));
    let of = |change: fn(&mut Value)| base().config(change).build().tar();
    let plain_config = base().build().tar();
    for (name, other, expected) in [
        ("created", of(|config| config["created"] = "2026-01-01T00:00:00Z".into()), "/created"),
        ("environment", of(|config| config["config"]["Env"][0] = "PATH=/".into()), "/config/Env/0"),
        (
            "a field more",
            of(|config| config["config"]["Healthcheck"] = serde_json::json!({"a": 1})),
            "/config/Healthcheck",
        ),
        ("history", of(|config| config["history"][0]["created"] = "2026-01-01T00:00:00Z".into()), "/history/0/created"),
        (
            "a step",
            of(|config| {
                config["history"]
                    .as_array_mut()
                    .unwrap()
                    .push(serde_json::json!({"created_by": "CMD", "empty_layer": true}));
            }),
            "/history/1",
        ),
    ] {
        let found = compare(&plain_config, &other);
        let places: Vec<_> =
            found.platforms[0].config.iter().map(|it| it.place.as_ref().unwrap().to_string()).collect();
        assert_eq!((found.verdict, places), (Verdict::Different, vec![expected.to_owned()]), "{name}");
        assert_eq!(found.equal, EqualLevel::Layers, "{name}");
    }
    let annotated = base().manifest(|manifest| manifest["annotations"] = serde_json::json!({"k": "v"})).build().tar();
    assert_eq!(
        compare(&plain_config, &annotated).platforms[0].manifest[0].place.as_ref().unwrap().to_string(),
        "/annotations"
    );
}

#[test]
fn the_same_values_in_other_bytes_are_not_equal() {
    let base = || ImageBuilder::oci().layer(plain(tar([file("a", "a")])));
    // Large documents are written without spaces: the label makes both large, and the tweak of the order alone differs.
    let reordered = |config: &mut Value| {
        let architecture = config.as_object_mut().unwrap().shift_remove("architecture").unwrap();
        config["architecture"] = architecture;
    };
    let found = compare(&base().build().tar(), &base().config(reordered).build().tar());
    assert_eq!(found.verdict, Verdict::Different, "{}", text(&found));
    assert_eq!(kinds(&found), ["encoding"]);
}

#[test]
fn what_is_ignored_is_told_and_is_never_bit_for_bit() {
    let one = || image([file("a", "x").at(1)]);
    let only = |set: fn(&mut Ignore)| {
        let mut ignore = Ignore::default();
        set(&mut ignore);
        ignore
    };
    let times = only(|ignore| ignore.file_timestamps = true);
    let found = ignoring(&one(), &image([file("a", "x").at(2)]), times);
    assert_eq!(found.verdict, Verdict::EqualIgnoring);
    assert!(
        found.ignored.iter().any(|it| (it.by, it.differences) == (Switch::IgnoreFileTimestamps, 1)),
        "{:?}",
        found.ignored
    );
    assert!(
        !text(&found).contains("bit for bit")
            && text(&found).contains("ignored: 1 difference (ignore-file-timestamps)")
    );
    assert_eq!(ignoring(&one(), &image([file("a", "y").at(2)]), times).verdict, Verdict::Different);
    assert_eq!(ignoring(&one(), &one(), times).verdict, Verdict::Identical);
    let cases: [(&str, Ignore, Vec<u8>, Vec<u8>); 6] = [
        (
            "order",
            only(|it| it.file_order = true),
            image([file("a", ""), file("b", "")]),
            image([file("b", ""), file("a", "")]),
        ),
        (
            "mode",
            only(|it| it.file_mode_redundant_bits = true),
            image([file("a", "")]),
            image([file("a", "").mode(0o100_644)]),
        ),
        ("format", only(|it| it.tar_format = true), image([file("a", "")]), image([file("a", "").ustar()])),
        (
            "spelling",
            Ignore { tar_format: true, ..only(|it| it.canonical_paths = true) },
            image([file("./a", "")]),
            image([file("a", "")]),
        ),
        (
            "dates",
            only(|it| it.image_timestamps = true),
            one(),
            ImageBuilder::oci().layer_created(plain(tar([file("a", "x").at(1)])), "2026-01-01T00:00:00Z").build().tar(),
        ),
        (
            "history",
            only(|it| it.history = true),
            one(),
            ImageBuilder::oci()
                .layer_of(plain(tar([file("a", "x").at(1)])), "1970-01-01T00:00:00Z", "ADD")
                .build()
                .tar(),
        ),
    ];
    for (name, ignore, a, b) in cases {
        assert_eq!(ignoring(&a, &b, ignore).verdict, Verdict::EqualIgnoring, "{name}");
        assert_eq!(compare(&a, &b).verdict, Verdict::Different, "{name}");
        assert_eq!(ignoring(&a, &b, Ignore::SEMANTIC).verdict, Verdict::EqualIgnoring, "{name}");
    }
    // A symbolic link to another place is another link, whatever its path begins with.
    let links = |target: &str| image([symlink("l", target)]);
    assert_eq!(ignoring(&links("/a"), &links("a"), Ignore::SEMANTIC).verdict, Verdict::Different);
}

#[test]
fn causes_explain_what_they_know_and_nothing_else() {
    let image = |time: u64, content: &str| {
        let layer = plain(tar([file("a", "x").at(time), file("b", content).at(time)]));
        ImageBuilder::oci().layer_of(layer, "1970-01-01T00:00:00Z", "RUN make").build().tar()
    };
    let found = compare(&image(1, "x"), &image(2, "y"));
    let summary = &found.summary;
    assert_eq!(
        (summary.entries, summary.explained_entries, summary.differences, summary.explained),
        (2, 1, 3, 2),
        "{}",
        text(&found)
    );
    let finding = &found.findings[0];
    assert_eq!((finding.id, finding.entries, found.findings.len()), ("mtime", 2, 1));
    assert!(text(&found).contains("1 of 2 differing entries"), "{}", text(&found));
}

#[test]
fn layers_are_told_with_their_lines() {
    let dockerfile = "# syntax=docker/dockerfile:1\nFROM debian AS base\nRUN echo base\nFROM base\nARG V=1\nRUN <<EOF\necho one\necho two\nEOF\nCOPY --chown=1 a.txt \\\n  /srv/\nWORKDIR /srv\nCMD [\"x\"]\n";
    let source = Source::parse("Dockerfile", dockerfile.as_bytes(), None).unwrap();
    let build = |content: &str| {
        let layer = |name: &str| plain(tar([file(name, content)]));
        let at = "1970-01-01T00:00:00Z";
        let image = ImageBuilder::oci()
            .layer_of(layer("rootfs"), at, "# debian.sh --arch 'amd64' out/ 'bookworm' '@0'")
            .layer_of(layer("base"), at, "RUN /bin/sh -c echo base # buildkit")
            .layer_of(layer("heredoc"), at, "RUN |1 V=1 /bin/sh -c echo one\necho two\n # buildkit")
            .layer_of(layer("copy"), at, "COPY --chown=1 a.txt /srv/ # buildkit")
            .layer_of(layer("workdir"), at, "WORKDIR /srv");
        image.step("1970-01-01T00:00:00Z").build().tar()
    };
    let options = Options { source: Some(source), ..Options::default() };
    let found = compare_with(&build("a"), &build("b"), options);
    let lines: Vec<_> = found.platforms[0]
        .layers
        .iter()
        .map(|layer| layer.instruction.as_ref().and_then(|it| Some((it.first_line?, it.last_line?))))
        .collect();
    assert_eq!(lines, [None, Some((3, 3)), Some((6, 9)), Some((10, 11)), Some((12, 12))]);
    assert!(found.platforms[0].layers[0].instruction.as_ref().unwrap().text.to_string().contains("debian.sh"));
}

#[test]
fn thirty_thousand_entries_are_counted_and_the_report_is_short() {
    let build = |mtime| image((0..40_000).map(|number| file(format!("f{number:05}"), "").at(mtime)));
    let found = compare(&build(1), &build(2));
    let summary = &found.summary;
    assert_eq!((summary.entries, summary.explained_entries), (40_000, 40_000));
    assert_eq!(summary.entries_left_out + entries(&found).len() as u64, 40_000);
    let shown = text(&found);
    assert!(shown.lines().count() < 50, "{shown}");
    assert!(shown.contains("1 cause explains 40000 of 40000 differing entries"), "{shown}");
    assert_eq!(
        ignoring(&build(1), &build(2), Ignore { file_timestamps: true, ..Ignore::default() }).verdict,
        Verdict::EqualIgnoring
    );
}

#[test]
fn the_json_is_what_the_schema_says() {
    let schema: Value = serde_json::from_str(include_str!("../docs/schema/diff.v1.json")).unwrap();
    let attested = ImageBuilder::oci().layer(plain(tar([file("a", "b\n").at(5)]))).attested().build().tar();
    let other =
        ImageBuilder::docker().layer(gzip(tar([file("a", "c\n").pax("user.x", "y"), file("b", "")]))).build().tar();
    for comparison in
        [compare(&attested, &other), compare(&attested, &attested), ignoring(&attested, &other, Ignore::SEMANTIC)]
    {
        let json: Value = serde_json::from_slice(&render_json(&comparison).unwrap()).unwrap();
        assert_eq!(violations(&schema, &json), Vec::<String>::new());
        assert_eq!(render_json(&comparison).unwrap(), render_json(&comparison).unwrap());
    }
}

#[test]
fn a_log_for_code_hosts_never_looks_as_if_all_were_well() {
    let results = |comparison: &Comparison| {
        let log = sarif(Some(comparison), &[], None, Some("Dockerfile"));
        log["runs"][0]["results"].as_array().unwrap().clone()
    };
    let one = |time: u64| image([file("a", "x").at(time)]);
    assert_eq!(results(&compare(&one(5), &one(5))), Vec::<Value>::new());
    let mut different = compare(&one(5), &one(6));
    let rules: Vec<Value> = results(&different).iter().map(|result| result["ruleId"].clone()).collect();
    assert_eq!(rules, ["mtime"]);
    // As if nobody knew why.
    different.findings.clear();
    different.summary.explained = 0;
    let unknown = results(&different);
    let at = &unknown[0]["locations"][0]["physicalLocation"];
    assert_eq!((&unknown[0]["ruleId"], &unknown[0]["level"]), (&"unexplained".into(), &"error".into()));
    assert_eq!((&at["artifactLocation"]["uri"], &at["region"]["startLine"]), (&"Dockerfile".into(), &1.into()));
}

#[test]
fn repeats_give_the_same_bytes() {
    let (a, b) = (
        image((0..50).map(|n| file(format!("{n}"), format!("{n}")))),
        image((0..50).map(|n| file(format!("{n}"), format!("x{n}")))),
    );
    let once = (text(&compare(&a, &b)), render_json(&compare(&a, &b)).unwrap(), html(&compare(&a, &b)));
    let again = (text(&compare(&a, &b)), render_json(&compare(&a, &b)).unwrap(), html(&compare(&a, &b)));
    assert_eq!(once, again);
}

fn run(words: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_repro")).arg("diff").args(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_exit_statuses() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let layout = |content: &str| ImageBuilder::oci().layer(plain(tar([file("a", content)]))).build();
    let (a, b) = (write("a.tar", &layout("a").tar()), write("b.tar", &layout("b").tar()));
    let blob = format!("blobs/sha256/{}", plain(tar([file("a", "a")])).digest().hex());
    let tampered = write("tampered.tar", &layout("a").change(&blob, |bytes| bytes[512] = b'z').tar());
    assert_eq!(run(&[&a, &a]).0, Some(0));
    assert_eq!(run(&[&a, &b]).0, Some(1));
    assert_eq!(run(&["-", "-"]).0, Some(2));
    assert_eq!(run(&[&a, "--platform", "linux/arm64", &b]).0, Some(4));
    assert_eq!(run(&[&a, "/nowhere.tar"]).0, Some(4));
    // One that says to be the other passes no more than any other broken one.
    assert_eq!(run(&[&a, &tampered]).0, Some(5));
    assert_eq!(run(&[&tampered, &tampered]).0, Some(5));
}

#[test]
fn a_directory_and_a_pipe_are_compared_like_archives() {
    let directory = tempfile::tempdir().unwrap();
    let layout = |content: &str| ImageBuilder::oci().layer(gzip(tar([file("a", content)]))).build();
    for (path, bytes) in &layout("a").members {
        let path = directory.path().join("layout").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let place = directory.path().join("layout");
    for (content, code) in [("a", 0), ("b", 1)] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_repro"))
            .args(["diff", "-"])
            .arg(&place)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), &layout(content).tar()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert_eq!(text.contains("1 of 1 entries differ: content 1"), code == 1, "{text}");
    }
}

#[test]
fn what_changed_since_it_was_read_is_an_error() {
    let (a, b) = (image([file("a", "x")]), image([file("a", "y")]));
    let wanted = std::collections::BTreeMap::from([(plain(tar([file("a", "x")])).digest(), 2048)]);
    assert!(copy_blobs(&mut TarSource::new(a.as_slice()).unwrap(), &wanted).is_ok());
    let error = copy_blobs(&mut TarSource::new(b.as_slice()).unwrap(), &wanted).unwrap_err();
    assert!(error.to_string().contains("it was changed since it was read first"), "{error}");
}

#[test]
fn the_files_that_differ_are_written_for_other_tools() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("a.tar"), image([file("etc/a", "one"), file("same", "same"), file("../up", "1")])).unwrap();
    std::fs::write(path("b.tar"), image([file("etc/a", "two"), file("same", "same"), file("only", "b")])).unwrap();
    // An entry that leads out of the root is a fault of the image: it never gets that far.
    assert_eq!(run(&[&path("a.tar"), &path("b.tar")]).0, Some(5));
    std::fs::write(path("a.tar"), image([file("etc/a", "one"), file("same", "same")])).unwrap();
    let (code, _, stderr) =
        run(&[&path("a.tar"), &path("b.tar"), "--report", &path("report"), "--html", &path("page.html")]);
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    let read = |name: &str| std::fs::read_to_string(directory.path().join("report").join(name)).ok();
    assert_eq!(read("a/0-layer-0/etc/a").as_deref(), Some("one"));
    assert_eq!(read("b/0-layer-0/etc/a").as_deref(), Some("two"));
    assert_eq!((read("b/0-layer-0/only").as_deref(), read("a/0-layer-0/same")), (Some("b"), None));
    assert!(std::fs::read_to_string(path("page.html")).unwrap().contains("etc/a"));
    assert_eq!(run(&[&path("a.tar"), &path("b.tar"), "--report", &path("report")]).0, Some(2));
}
