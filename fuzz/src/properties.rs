//! What holds for any input. Each function takes the bytes that a stranger sent, and panics where a promise is broken.
//!
//! Part of the fuzzers and of `tests/fuzzed.rs`, and therefore without anything that only one of them has.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::str::FromStr;

use repro::analyze::{AnalyzeReport, View, analyze, analyze_faults};
use repro::digest::{Digest, DigestError};
use repro::dockerfile::{Dockerfile, detect_syntax};
use repro::image::escape::is_unprintable;
use repro::image::media_type::Compression;
use repro::image::tar::{Entry, TarReader, parse_records};
use repro::image::{Container, Image, ImageError, ReadOptions, read_archive};
use repro::reference::{ImageReference, ImageSource, PinnedReference};
use repro::report::json::render_json;
use repro::report::text::write_analyze;
use serde_json::Value;

/// A promise, which panics where it is broken.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: [(&str, Target); 6] = [
    ("archive", archive),
    ("tar_entries", tar_entries),
    ("pax", pax),
    ("manifest", manifest),
    ("reference", reference),
    ("dockerfile", dockerfile),
];

/// Gives a byte at a time, and is interrupted in between.
struct Drops<'a>(&'a [u8], bool);

impl Read for Drops<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = buffer.len().min(1);
        self.0.read(&mut buffer[..count])
    }
}

/// Nothing that a terminal acts on.
fn assert_printable(text: &str) {
    let odd = text.chars().find(|c| *c != '\n' && is_unprintable(*c));
    assert_eq!(odd, None, "in {text:?}");
}

/// What is accepted is accepted in any pieces, with the same digests, and another reader of tar finds the same documents. What is
/// refused is refused in any pieces for the same reason. Whatever is said is printable.
pub fn archive(data: &[u8]) {
    let read =
        |source: &mut dyn Read| read_archive(source, &ReadOptions { epoch: Some(100), ..ReadOptions::default() });
    let (whole, drops) = (read(&mut &data[..]), read(&mut Drops(data, false)));
    match (whole, drops) {
        (Ok(whole), Ok(drops)) => {
            assert_eq!(digests(&whole), digests(&drops));
            assert_told(&whole);
            assert_others_find(&whole, data);
        }
        (Err(whole), Err(drops)) => {
            assert_eq!(whole.to_string(), drops.to_string());
            assert_refused(&whole);
        }
        (whole, drops) => panic!("{:?} at once, {:?} in drops", whole.map(drop), drops.map(drop)),
    }
}

fn digests(image: &Image) -> Vec<Digest> {
    let manifests = image.manifests.iter().flat_map(|manifest| {
        let layers = manifest.layers.iter().flat_map(|layer| [layer.descriptor.digest.clone(), layer.diff_id.clone()]);
        [manifest.document.digest.clone(), manifest.config.document.digest.clone()].into_iter().chain(layers)
    });
    let indexes = image.indexes.iter().map(|index| index.document.digest.clone());
    let docker_images = image.docker_images.iter().flat_map(|docker| {
        let layers = docker.layers.iter().flat_map(|layer| [layer.descriptor.digest.clone(), layer.diff_id.clone()]);
        std::iter::once(docker.config.document.digest.clone()).chain(layers)
    });
    let top = image.index.iter().map(|index| index.digest.clone());
    top.chain(indexes).chain(manifests).chain(docker_images).collect()
}

fn text_of(report: &AnalyzeReport) -> String {
    let mut out = Vec::new();
    write_analyze(&mut out, report).expect("memory takes it");
    String::from_utf8(out).expect("a report is text")
}

fn assert_told(image: &Image) {
    let report = analyze(image, None, &View { contents: true, ..View::default() });
    let text = text_of(&report);
    // The documents themselves are shown as JSON, in which what matters is escaped by its own rules.
    assert_printable(&text_of(&analyze(image, None, &View::default())));
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let json = render_json(&report).expect("a report is rendered");
    assert!(serde_json::from_slice::<Value>(&json).is_ok());
    for note in image.notes() {
        assert_printable(&note.to_string());
    }
}

fn assert_refused(error: &ImageError) {
    assert_printable(&error.to_string());
    assert_printable(&text_of(&analyze_faults(error.faults(), None)));
}

/// Where another reader gets to the end of the archive, it finds each document and each blob of the image, once, with the bytes
/// that were checked. It may refuse more, such as the checksums of ancient writers.
fn assert_others_find(image: &Image, data: &[u8]) {
    if image.container != Container::Tar(Compression::None) {
        return;
    }
    let Some(members) = members_to_others(data) else { return };
    let blob = |digest: &Digest| format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
    assert_eq!(members.get("index.json"), image.index.as_ref().map(|it| &it.bytes));
    assert_eq!(members.get("manifest.json"), image.docker_manifest.as_ref().map(|it| &it.bytes));
    for manifest in &image.manifests {
        assert_eq!(members.get(&blob(&manifest.document.digest)), Some(&manifest.document.bytes));
        assert_eq!(members.get(&blob(&manifest.config.document.digest)), Some(&manifest.config.document.bytes));
        for layer in &manifest.layers {
            let size = members.get(&blob(&layer.descriptor.digest)).map(|bytes| bytes.len() as u64);
            assert_eq!(size, Some(layer.descriptor.size));
        }
    }
}

fn members_to_others(data: &[u8]) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut archive = tar::Archive::new(data);
    let mut members = BTreeMap::new();
    for entry in archive.entries().ok()? {
        let mut entry = entry.ok()?;
        let path = String::from_utf8(entry.path_bytes().into_owned()).expect("a name of an archive is text");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).ok()?;
        if entry.header().entry_type().is_file() {
            let path = path.strip_prefix("./").unwrap_or(&path).to_owned();
            assert!(members.insert(path.clone(), bytes).is_none(), "`{path}` is there twice");
        }
    }
    Some(members)
}

fn entries(reader: impl Read, is_layer: bool) -> (Vec<Entry>, Option<String>) {
    let reader = BufReader::with_capacity(1024, reader);
    let mut tar = if is_layer { TarReader::of_layer(reader) } else { TarReader::new(reader) };
    let mut found = Vec::new();
    loop {
        match tar.next_entry() {
            Ok(Some(entry)) => found.push(entry),
            Ok(None) => return (found, tar.drain().err().map(|error| error.to_string())),
            Err(error) => return (found, Some(error.to_string())),
        }
    }
}

/// Entries are the same in any pieces; a layer may only lack its end; and where the `tar` crate reads the same bytes to their
/// end, it finds the same entries.
pub fn tar_entries(data: &[u8]) {
    let (found, error) = entries(data, true);
    let (drops, drops_error) = entries(Drops(data, false), true);
    let told = |entries: &[Entry]| format!("{entries:?}");
    assert_eq!((told(&found), &error), (told(&drops), &drops_error));
    let (strict, strict_error) = entries(data, false);
    assert!(told(&found).starts_with(told(&strict).trim_end_matches(']')));
    if strict_error.is_none() {
        assert_eq!((told(&strict), None), (told(&found), error.clone()));
    }
    assert_printable(error.as_deref().unwrap_or_default());
    let offsets: Vec<u64> = found.iter().map(|entry| entry.offset).collect();
    assert!(offsets.is_sorted() && offsets.iter().all(|offset| *offset < data.len() as u64));
    if error.is_none() {
        assert_same_entries(&found, data);
    }
}

/// What the `tar` crate says otherwise, by design or by mistake, and nobody has to agree on.
fn differs_by_design(entry: &Entry) -> bool {
    // It splits records at newlines, takes the first of two, and an empty value for one.
    let records = entry.is_ambiguous
        || entry.records.iter().any(|record| record.value.contains(&b'\n') || record.value.is_empty())
        || entry.records.windows(2).any(|pair| pair[0].key == pair[1].key);
    // It keeps the data of links and directories, and expands sparse files.
    records || !matches!(entry.flag, b'0' | 0 | b'7') || entry.path.is_empty()
}

fn assert_same_entries(found: &[Entry], data: &[u8]) {
    if found.iter().any(differs_by_design) {
        return;
    }
    let mut archive = tar::Archive::new(data);
    let Ok(others) = archive.entries() else { return };
    let Ok(others) = others.collect::<Result<Vec<_>, _>>() else { return };
    // It has more errors than this reader has, and some of them end the walk without a word.
    if others.len() != found.len() {
        return;
    }
    for (other, entry) in others.iter().zip(found) {
        let has_long_name = other.header().as_ustar().is_none() && other.header().as_gnu().is_none();
        if has_long_name {
            continue;
        }
        assert_eq!(other.size(), entry.size, "{entry:?}");
        assert_eq!(other.header().entry_type().as_byte(), if entry.flag == 0 { b'0' } else { entry.flag }, "{entry:?}");
    }
}

/// Records fill the bytes to the last, in their order, and are read the same when they are written anew.
pub fn pax(data: &[u8]) {
    let Ok(records) = parse_records(data) else { return };
    let mut rest = data;
    let mut written = Vec::new();
    for record in &records {
        let blank = rest.iter().position(|byte| *byte == b' ').expect("a record begins with its length");
        let body = [record.key.as_slice(), b"=", &record.value, b"\n"].concat();
        assert!(!record.key.is_empty() && !record.key.contains(&b'='));
        rest = rest[blank + 1..].strip_prefix(body.as_slice()).expect("a record is where it was read");
        let length =
            (1..20).map(|digits| body.len() + 1 + digits).find(|all| all.to_string().len() + body.len() + 1 == *all);
        written.extend(format!("{} ", length.expect("there is such a length")).bytes());
        written.extend(body);
    }
    assert!(rest.is_empty());
    assert_eq!(parse_records(&written), Ok(records));
}

/// Documents with the digests that they need, so that what is fuzzed is what they say. The input is the text of the config, the
/// manifest, `index.json` and `manifest.json`, with lines `%%` between them, in which `@layer`, `@diff`, `@config`, `@manifest`
/// and `@size-…` stand for what is not known before.
pub fn manifest(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut parts = text.split("\n%%\n").map(str::to_owned);
    let layer = one_file();
    let digest = Digest::of(&layer);
    let mut known = vec![
        ("@size-layer", layer.len().to_string()),
        ("@layer", digest.to_string()),
        ("@path-layer", path_of(&digest)),
        ("@diff", digest.to_string()),
    ];
    let mut members =
        vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()), (path_of(&digest), layer)];
    for (size, name, path) in
        [("@size-config", "@config", "@path-config"), ("@size-manifest", "@manifest", "@path-manifest")]
    {
        let bytes = filled(parts.next().unwrap_or_default(), &known).into_bytes();
        let digest = Digest::of(&bytes);
        known.extend([(size, bytes.len().to_string()), (name, digest.to_string()), (path, path_of(&digest))]);
        members.push((path_of(&digest), bytes));
    }
    for name in ["index.json", "manifest.json"] {
        if let Some(part) = parts.next() {
            members.push((name.to_owned(), filled(part, &known).into_bytes()));
        }
    }
    archive(&tar_of(&members));
}

fn filled(text: String, known: &[(&str, String)]) -> String {
    // Longer words first: `@size-layer` before `@layer` is how they are listed, and no word begins with another.
    known.iter().fold(text, |text, (word, value)| text.replace(word, value))
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn one_file() -> Vec<u8> {
    tar_of(&[("file".to_owned(), b"hello\n".to_vec())])
}

fn tar_of(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(7);
        builder.append_data(&mut header, path, bytes.as_slice()).expect("memory takes it");
    }
    builder.into_inner().expect("memory takes it")
}

/// What is a reference is one when it is written out, and means the same to the crate that the ecosystem uses.
pub fn reference(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let digest: Result<Digest, DigestError> = text.parse();
    if let Ok(digest) = digest {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(source) = ImageSource::from_str(text) {
        assert_eq!(source.to_string().parse::<ImageSource>().as_ref(), Ok(&source));
    }
    let pinned: Result<PinnedReference, _> = text.parse();
    let Ok(reference) = text.parse::<ImageReference>() else {
        assert!(pinned.is_err());
        return;
    };
    assert_eq!(pinned.is_ok(), reference.digest().is_some());
    assert_eq!(reference.to_string().parse::<ImageReference>().as_ref(), Ok(&reference));
    // It knows no IPv6 address, and no name beyond 255 characters with its registry.
    let (is_ipv6, is_long) = (text.contains('['), reference.name().len() > 255);
    if is_ipv6 || is_long {
        return;
    }
    let other: oci_spec::distribution::Reference = text.parse().unwrap_or_else(|error| panic!("`{text}`: {error}"));
    assert_eq!(
        (other.registry(), other.repository(), other.digest()),
        (reference.registry(), reference.repository(), reference.digest().map(Digest::to_string).as_deref())
    );
    if reference.tag().is_some() {
        assert_eq!(other.tag(), reference.tag());
    }
}

/// Instructions and stages are where their lines are, and in order.
pub fn dockerfile(data: &[u8]) {
    let _ = detect_syntax(data);
    let Ok(dockerfile) = Dockerfile::parse(data) else { return };
    let count = data.split(|byte| *byte == b'\n').count();
    let mut last = 0;
    for instruction in &dockerfile.instructions {
        let lines = &instruction.lines;
        assert!(last < lines.first && lines.first <= lines.last && lines.last <= count, "{instruction:?}");
        for heredoc in &instruction.heredocs {
            let Some(inside) = &heredoc.lines else { continue };
            assert!(lines.first < inside.first && inside.last <= lines.last, "{instruction:?}");
        }
        last = lines.last;
    }
    let mut next = 0;
    for stage in &dockerfile.stages {
        assert!(next <= stage.instructions.start && stage.instructions.start <= stage.instructions.end, "{stage:?}");
        assert!(stage.instructions.end <= dockerfile.instructions.len(), "{stage:?}");
        next = stage.instructions.end;
    }
    assert_eq!(dockerfile, Dockerfile::parse(data).expect("it was read before"));
}
