//! Images as people write them: `repro check` names every cause, and what `examples` has in their place is the same everywhere.
//!
//! Each file of `tests/lab/real_images` names an example, what it is built on here, and what has to be found in `before/Dockerfile`.
//! They fetch from Debian, PyPI, npm, Go's proxy and Maven Central, and take minutes: `make real-images`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde::Deserialize;
use serde_json::Value;

use crate::harness::{Bench, Way, lab, said, ways, words};

/// An image, by the name of its file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Image {
    /// The directory below `examples`.
    example: String,
    /// Build arguments, and the variables of the laboratory that they have here.
    bases: BTreeMap<String, String>,
    /// Further build arguments of the Dockerfile that is mended.
    #[serde(default)]
    arguments: BTreeMap<String, String>,
    /// The causes and the lines that they have to be found in, all of them.
    causes: BTreeSet<(String, u64)>,
    /// Those that show in some builds only.
    #[serde(default)]
    by_chance: BTreeSet<(String, u64)>,
    /// The inputs that move, and their lines.
    moving: BTreeSet<(String, u64)>,
    /// Inputs of the mended Dockerfile that move; `--strict` is asked for where there are none.
    #[serde(default)]
    moving_still: BTreeSet<(String, u64)>,
}

fn images() -> BTreeMap<String, Image> {
    let asked = std::env::var("REPRO_TEST_REAL_IMAGES").unwrap_or_default();
    let asked: Vec<&str> = asked.split([',', ' ']).filter(|name| !name.is_empty()).collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/real_images");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let named = files.map(|file| {
        let text = fs::read_to_string(&file).unwrap();
        let image = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (file.file_stem().unwrap().to_string_lossy().into_owned(), image)
    });
    named.filter(|(name, _): &(String, Image)| asked.is_empty() || asked.contains(&name.as_str())).collect()
}

fn example(image: &Image) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(&image.example)
}

/// What a build is given: bases, and the authorities of a proxy that this machine may be behind.
fn arguments(bench: &Bench, image: &Image) -> Vec<OsString> {
    let mut arguments = words(&["--sde", "1700000000"]);
    for (name, variable) in &image.bases {
        arguments.extend(["--build-arg".into(), format!("{name}={}", lab(variable)).into()]);
    }
    for (id, file) in [("ca", "/etc/ssl/certs/ca-certificates.crt"), ("cacerts", "/etc/ssl/certs/java/cacerts")] {
        if Path::new(file).exists() {
            let copy = bench.directory("secrets").join(id);
            fs::copy(file, &copy).unwrap();
            arguments.extend(["--secret".into(), format!("id={id},\"src={}\"", copy.display()).into()]);
        }
    }
    arguments
}

/// Runs `repro check` on the first runtime that there is, and on another one.
fn check(bench: &Bench, image: &Image, more: &[OsString]) -> (Output, Value) {
    let way = ways()[0];
    let mut of_way = bench.arguments(way);
    // Both are there: the second build is that of the other one.
    if ways().contains(&Way::Docker) && ways().contains(&Way::Buildkitd) {
        of_way.drain(1..3);
    }
    let mut command = bench.repro(way);
    command.args(words(&["check", "--format", "json", "--quiet"])).args(&of_way[1..]);
    let output = command.args(arguments(bench, image)).args(more).arg(example(image)).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output, report)
}

fn found_in(list: &Value, line: impl Fn(&Value) -> Vec<Option<u64>>) -> BTreeSet<(String, u64)> {
    let list = list.as_array().cloned().unwrap_or_default();
    let all = list.iter().filter(|one| one["is_consequence"] != true);
    let with_lines = all.flat_map(|one| line(one).into_iter().map(|line| (one["id"].clone(), line.unwrap_or(0))));
    with_lines.map(|(id, line)| (id.as_str().unwrap_or_default().to_owned(), line)).collect()
}

fn moving(report: &Value) -> BTreeSet<(String, u64)> {
    found_in(&report["moving"], |one| vec![one["first_line"].as_u64()])
}

/// The Dockerfile as people write it.
fn judge_before(bench: &Bench, name: &str, image: &Image, faults: &mut Vec<String>) {
    let dockerfile = example(image).join("before/Dockerfile");
    let (output, report) = check(bench, image, &["--file".into(), dockerfile.into()]);
    if output.status.code() != Some(1) {
        faults.push(format!("{name}, before: {}", said(&output)));
        return;
    }
    let of_finding = |finding: &Value| -> Vec<Option<u64>> {
        let lines = finding["instructions"].as_array().cloned().unwrap_or_default();
        lines.iter().map(|one| one["first_line"].as_u64()).collect()
    };
    let comparison = &report["comparison"];
    let mut causes = found_in(&comparison["findings"], of_finding);
    causes.retain(|cause| !image.by_chance.contains(cause));
    if causes != image.causes {
        faults.push(format!("{name}: found are {causes:?}, expected {:?}", image.causes));
    }
    if moving(&report) != image.moving {
        faults.push(format!("{name}: {:?} move, expected {:?}", moving(&report), image.moving));
    }
    let summary = &comparison["summary"];
    if summary["explained"] != summary["differences"] {
        faults.push(format!("{name}: not all is explained: {summary}"));
    }
}

/// The one in its place: one digest on all runtimes, under all that `repro check` varies.
fn judge_after(bench: &Bench, name: &str, image: &Image, faults: &mut Vec<String>) {
    let mut more: Vec<OsString> = Vec::new();
    for (argument, value) in &image.arguments {
        more.extend(["--build-arg".into(), format!("{argument}={value}").into()]);
    }
    if image.moving_still.is_empty() {
        more.push("--strict".into());
    }
    let (output, report) = check(bench, image, &more);
    if output.status.code() != Some(0) {
        faults.push(format!("{name}, after: {}", said(&output)));
        return;
    }
    let moves = found_in(&report["moving"], |one| {
        if one["severity"] == "moves" { vec![one["first_line"].as_u64()] } else { Vec::new() }
    });
    if moves != image.moving_still {
        faults.push(format!("{name}, after: {moves:?} move, expected {:?}", image.moving_still));
    }
    let digest = report["builds"][0]["image_digest"].as_str().unwrap();
    if ways().contains(&Way::Podman) {
        let archive = bench.output(Way::Podman, "image.tar");
        more.retain(|word| word != "--strict");
        let built = bench.build(Way::Podman, &archive, &[arguments(bench, image), more].concat(), &example(image));
        fs::remove_file(archive).unwrap();
        if built.digest() != digest {
            faults.push(format!("{name}: {} with podman, {digest} before", built.digest()));
        }
    }
    print(&format!("{name}: {digest}\n"));
}

/// Past the capture of the test runner.
fn print(text: &str) {
    use std::io::Write as _;
    let _ = fs::OpenOptions::new().append(true).open("/dev/stderr").map(|mut err| err.write_all(text.as_bytes()));
}

/// `REPRO_TEST_REAL_IMAGES=a,b` checks these alone.
#[test]
#[ignore = "a quarter of an hour: make real-images"]
fn real_images_are_mended_by_what_check_says_of_them() {
    if ways().is_empty() {
        return;
    }
    let images = images();
    assert!(!images.is_empty(), "no such image");
    let mut faults = Vec::new();
    for (name, image) in &images {
        // What each builds is large, and none needs what another one left.
        let bench = Bench::alone(&format!("real images, {name}"));
        judge_before(&bench, name, image, &mut faults);
        judge_after(&bench, name, image, &mut faults);
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
