//! What `repro diff` finds inside of files: each format once, and what is built to hurt.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use std::io::{Cursor, Write as _};

use repro::diff::content::{Content, Format};
use repro::diff::{Options, Plan};
use repro::image::source::TarSource;
use repro::image::{ReadOptions, copy_blobs, read_archive};
use repro::limits;
use support::image_builder::{ImageBuilder, file, plain, tar};

/// What is found in two contents of one path.
fn look(path: &str, a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> Content {
    let image = |content: &[u8]| ImageBuilder::oci().layer(plain(tar([file(path, content)]))).build().tar();
    let (a, b) = (image(a.as_ref()), image(b.as_ref()));
    let read = |bytes: &[u8]| read_archive(bytes, &ReadOptions::default()).unwrap();
    let (image_a, image_b) = (read(&a), read(&b));
    let plan = Plan::new((b"a", &image_a), (b"b", &image_b), Options::default());
    let (wanted_a, wanted_b) = plan.wanted();
    let copies_a = copy_blobs(&mut TarSource::new(a.as_slice()).unwrap(), wanted_a).unwrap();
    let copies_b = copy_blobs(&mut TarSource::new(b.as_slice()).unwrap(), wanted_b).unwrap();
    let found = plan.walk((&copies_a, &copies_b), None).unwrap();
    found.platforms[0].layers[0].entries[0].content.clone().unwrap()
}

/// The parts, each as `place: a → b`.
fn parts(content: &Content) -> Vec<String> {
    let shown =
        |text: &Option<repro::diff::model::Text>| text.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    let line =
        |it: &repro::diff::model::Difference| format!("{}: {} → {}", shown(&it.place), shown(&it.a), shown(&it.b));
    content.parts.iter().map(line).collect()
}

fn gzip(bytes: &[u8], mtime: u32) -> Vec<u8> {
    let mut encoder = flate2::GzBuilder::new().mtime(mtime).write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip_of(members: &[(&str, &[u8])], year: u16) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let time = zip::DateTime::from_date_and_time(year, 1, 2, 3, 4, 6).unwrap();
    for (name, data) in members {
        writer.start_file(*name, zip::write::SimpleFileOptions::default().last_modified_time(time)).unwrap();
        writer.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn ar(name: &str, mtime: u32, data: &str) -> Vec<u8> {
    let mut out =
        format!("!<arch>\n{name:<16}{mtime:<12}{:<6}{:<6}{:<8}{:<10}`\n{data}", 0, 0, 100_644, data.len()).into_bytes();
    out.resize(out.len().next_multiple_of(2), b'\n');
    out
}

#[test]
fn text_is_shown_as_a_unified_diff() {
    let found = look("etc/motd", "one\ntwo\nthree\n", "one\n2\x1b[2J\nthree\n");
    let lines: Vec<String> = found.lines.iter().map(ToString::to_string).collect();
    assert_eq!((found.format, found.first_difference), (Format::Text, Some(4)));
    assert_eq!(lines, ["@@ -1,3 +1,3 @@", " one", "-two", "+2\\u{1b}[2J", " three"]);
}

#[test]
fn what_is_not_known_is_told_by_its_first_byte() {
    let found = look("x", [0, 1, 2, 3], [0, 1, 9, 3]);
    assert_eq!((found.format, found.first_difference, found.parts.len()), (Format::Binary, Some(2), 0));
}

#[test]
fn the_header_of_compiled_python() {
    let pyc = |mtime: u32| [&b"\xcb\x0d\r\n\0\0\0\0"[..], &mtime.to_le_bytes(), &7_u32.to_le_bytes(), b"code"].concat();
    let found = look("a/__pycache__/b.cpython-312.pyc", pyc(0), pyc(86_400));
    assert_eq!(parts(&found), ["source mtime: 1970-01-01T00:00:00Z → 1970-01-02T00:00:00Z"]);
}

#[test]
fn gzip_and_what_is_inside() {
    assert_eq!(
        parts(&look("a.gz", gzip(b"x\n", 1), gzip(b"x\n", 86_400)))[0],
        "gzip mtime: 1970-01-01T00:00:01Z → 1970-01-02T00:00:00Z"
    );
    let found = look("a.gz", gzip(b"x\n", 0), gzip(b"y\n", 0));
    assert!(found.lines.iter().any(|line| line.bytes == b"+y"), "{found:?}");
}

#[test]
fn zip_tar_and_ar_are_compared_member_by_member() {
    let found = look("a.jar", zip_of(&[("m", b"x")], 2020), zip_of(&[("m", b"x")], 2021));
    assert_eq!(parts(&found), ["m: 2020-01-02T03:04:06 → 2021-01-02T03:04:06"]);
    let found = look("a.jar", zip_of(&[("m", b"x\n"), ("n", b"")], 2020), zip_of(&[("m", b"y\n")], 2020));
    assert!(parts(&found).iter().any(|part| part == "n: a member → none"), "{found:?}");
    assert!(found.lines.iter().any(|line| line.bytes == b"+y"), "{found:?}");
    let found = look("a.jar", zip_of(&[("m", b""), ("n", b"")], 2020), zip_of(&[("n", b""), ("m", b"")], 2020));
    assert!(parts(&found)[0].contains("another order"), "{found:?}");
    let found = look("a.tar", tar([file("m", "x").at(1)]), tar([file("m", "x").at(2)]));
    assert_eq!(parts(&found), ["m: 1970-01-01T00:00:01Z → 1970-01-01T00:00:02Z"]);
    let found = look("a.a", ar("m/", 1, "xx"), ar("m/", 2, "xx"));
    assert_eq!((found.format, parts(&found)), (Format::Ar, vec!["m: 1 → 2".to_owned()]));
}

#[test]
fn archives_in_archives() {
    let nested = |text: &str| gzip(&tar([file("lib/a.jar", zip_of(&[("m", text.as_bytes())], 2020))]), 0);
    let found = look("a.tar.gz", nested("x\n"), nested("y\n"));
    assert!(parts(&found).iter().any(|part| part.starts_with("lib/a.jar!m: ")), "{:?}", parts(&found));
    assert!(found.lines.iter().any(|line| line.bytes == b"+y"), "{found:?}");
    // One deeper than is looked into: told, not followed.
    let deep = |text: &str| (0..limits::LOOK_DEPTH + 2).fold(text.as_bytes().to_vec(), |inner, _| gzip(&inner, 0));
    let found = look("a", deep("x"), deep("y"));
    assert!(found.lines.is_empty() && !found.parts.is_empty(), "{found:?}");
}

#[test]
fn lists_of_packages_are_told_as_packages() {
    let dpkg = |version: &str| {
        format!(
            "Package: libc6\nArchitecture: amd64\nVersion: {version}\nDescription: x\n y\n\nPackage: b\nVersion: 1\n"
        )
    };
    let found = look("var/lib/dpkg/status", dpkg("2.36-9"), dpkg("2.36-10"));
    assert_eq!(parts(&found), ["libc6:amd64: 2.36-9 → 2.36-10"]);
    let apk = |packages: &[(&str, &str)]| {
        let paragraphs = packages.iter().map(|(name, version)| format!("C:Q1\nP:{name}\nV:{version}\n\n"));
        paragraphs.collect::<Vec<_>>().concat()
    };
    let found =
        look("lib/apk/db/installed", apk(&[("musl", "1"), ("zlib", "2")]), apk(&[("musl", "1"), ("curl", "3")]));
    assert_eq!(parts(&found), ["curl: none → 3", "zlib: 2 → none"]);
}

#[test]
fn a_database_by_its_header() {
    let sqlite = |counter: u8| {
        let mut bytes = b"SQLite format 3\0".to_vec();
        bytes.resize(200, 0);
        bytes[27] = counter;
        bytes
    };
    assert_eq!(parts(&look("x.db", sqlite(1), sqlite(2))), ["change counter: 1 → 2"]);
}

#[test]
fn a_program_by_its_build_id() {
    let own = std::fs::read("/bin/true").unwrap();
    let note = own.windows(4).position(|it| it == b"GNU\0").unwrap();
    let mut other = own.clone();
    // Behind a note of the ABI there is one of the build id: both are called `GNU`.
    let ids: Vec<usize> = own.windows(4).enumerate().filter(|(_, it)| *it == b"GNU\0").map(|(at, _)| at).collect();
    let id = ids.into_iter().find(|at| own[at - 4] == 3).unwrap_or(note);
    other[id + 4] ^= 1;
    let found = look("bin/true", &own, &other);
    assert_eq!(found.format, Format::Elf);
    assert!(parts(&found).iter().any(|part| part.starts_with("build id: ")), "{:?}", parts(&found));
}

#[test]
fn what_is_built_to_hurt_is_told_and_left() {
    let bomb = |end: u8| {
        let mut bytes = vec![0; usize::try_from(limits::LOOK_INFLATED_BYTES).unwrap() + 1];
        bytes.push(end);
        gzip(&bytes, 0)
    };
    assert!(look("a.gz", bomb(1), bomb(2)).note.unwrap().contains("cannot be inflated"));
    let broken = |tail: u8| [&b"PK\x03\x04"[..], &[tail; 40]].concat();
    assert!(look("a.zip", broken(1), broken(2)).note.unwrap().contains("cannot be looked into"));
    for start in [&b"\x7fELF"[..], b"!<arch>\nxx", b"SQLite format 3\0", b"\x1f\x8b\x08"] {
        let of = |tail: u8| [start, &[tail; 300]].concat();
        look("a", of(1), of(2));
    }
    let many = |text: &str| {
        let lines = (0..=limits::LOOK_TEXT_LINES).map(|number| format!("{text}{number}\n"));
        lines.collect::<Vec<_>>().concat()
    };
    assert!(look("a", many("x"), many("y")).note.unwrap().contains("too many"));
    let large = |end: u8| {
        let mut bytes = vec![b'x'; usize::try_from(limits::LOOK_BYTES).unwrap() + 1];
        bytes.push(end);
        bytes
    };
    let found = look("a", large(1), large(2));
    assert_eq!(found.first_difference, Some(limits::LOOK_BYTES + 1));
    assert!(found.note.unwrap().contains("not looked into"));
}
