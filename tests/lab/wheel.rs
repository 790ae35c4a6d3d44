//! The wheel: built twice, installed, and its module beside upstream's from PyPI.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use repro::pin::{Pin, Variant};

use crate::harness::{Bench, Way, lab, run, said, ways};

fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program that has to succeed.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Builds the wheel from what is compiled already, in the profile of the tests.
fn wheel(maturin: &str, directory: &Path) -> PathBuf {
    fs::create_dir_all(directory).unwrap();
    // Crates in C are compiled again where it changes; only maturin has to see it.
    let cargo = directory.join("cargo");
    fs::write(&cargo, format!("#!/bin/sh\nunset SOURCE_DATE_EPOCH\nexec '{}' \"$@\"\n", env!("CARGO"))).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(maturin);
    command.args(["build", "--quiet", "--profile", "dev", "--compatibility", "linux", "--out"]).arg(directory);
    succeed(command.current_dir(source()).env("CARGO", cargo).env("SOURCE_DATE_EPOCH", "1700000000"));
    let mut wheels = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    wheels.find(|path| path.extension().is_some_and(|extension| extension == "whl")).unwrap()
}

#[test]
fn the_module_does_what_upstreams_does() {
    // Those that upstream has.
    let runtimes: Vec<&str> =
        [Way::Docker, Way::Podman].into_iter().filter(|way| ways().contains(way)).map(Way::runtime).collect();
    if runtimes.is_empty() {
        // Printed with what else is left out, and asked for by name.
        let _ = writeln!(std::io::stderr(), "left out: the wheel, which is tested with docker and podman");
        return;
    }
    let bench = Bench::alone("wheel");
    let place = bench.directory("wheel");
    let maturin = run(source().join("release/maturin").to_str().unwrap(), &[]);
    // Whether a second one has the same bytes is what `make self-check` looks at.
    let wheel = wheel(maturin.trim(), &place.join("wheels"));

    let (venv, upstream) = (place.join("venv"), place.join("upstream"));
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    let python = venv.join("bin/python");
    let pip = |arguments: &[&str], last: &Path| {
        let always = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        succeed(Command::new(&python).args(always).args(arguments).arg(last));
    };
    pip(&["--no-index", "--no-deps"], &wheel);
    let pinned = source().join("tests/lab/upstream/repro-build-2.0.0.txt");
    let target = upstream.to_str().unwrap();
    pip(&["--target", target, "--require-hashes", "--only-binary", ":all:", "--requirement"], &pinned);

    // From scratch, so that nothing is fetched inside of the build: upstream has no word for the laboratory's registry.
    let dockerfile = "FROM scratch\nARG DATE\nLABEL date=$DATE\nCOPY Dockerfile /\n";
    let context = bench.context("context", &[("Dockerfile", dockerfile)]);
    let pins = [Variant::Plain, Variant::Rootless].map(|variant| Pin::default_for(variant).source.to_string());
    let pinned = lab("LAB_BUILDKIT_V0_19_0");
    let mut tests = bench.program(Way::Docker, &python);
    tests.env("REPRO_BUILDKIT_IMAGE", pinned);
    tests.args(["-W", "error", "-m", "unittest", "discover", "--start-directory"]).arg(source().join("python/tests"));
    tests.env("UPSTREAM", &upstream).env("CONTEXT", &context);
    tests.env("RUNTIMES", runtimes.join(" ")).env("PINS", pins.join(" ")).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = tests.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let count = |line: &str| line.strip_prefix("Ran ")?.split(' ').next()?.parse::<usize>().ok();
    let ran = String::from_utf8_lossy(&output.stderr).lines().find_map(count);
    assert!(ran.is_some_and(|ran| ran >= 25), "fewer tests ran than there are: {}", said(&output));
}
