//! From pinned BuildKit images to binaries in the cache.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics fails, as it should")]

#[path = "../support/buildkit_image.rs"]
mod buildkit_image;
mod keeping;
mod layers;
#[expect(dead_code, reason = "what only the registry's own tests need")]
#[path = "../support/registry.rs"]
mod registry;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use buildkit_image::{Image, Layer, Tar, binaries, elf};
use repro::runtime::binaries::{Binaries, BinariesError, Options, ensure};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn options() -> Options {
    let registry = repro::registry::Options { retry_delay: Duration::from_millis(5), ..Default::default() };
    Options { registry, ..Options::default() }
}

fn get(source: &str, cache: &Path) -> Result<Binaries, BinariesError> {
    block_on(ensure(&source.parse().unwrap(), cache, &options())).map(|found| found.clone())
}

/// Gets the binaries of an image from a layout, with a cache of its own.
fn from_layout(image: &Image) -> Result<(tempfile::TempDir, Binaries), BinariesError> {
    let directory = tempfile::tempdir().unwrap();
    let source = image.write_layout(&directory.path().join("layout"));
    let binaries = get(&source, &directory.path().join("cache"))?;
    Ok((directory, binaries))
}

fn error_of(image: &Image) -> BinariesError {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let source = image.write_layout(&directory.path().join("layout"));
    let error = get(&source, &cache).expect_err("an image that should be refused");
    assert_eq!(files_below(&cache), ["lock", "used"], "nothing is left behind");
    assert!(!error.hint().is_empty());
    assert!(!error.to_string().contains('\n'), "{error}");
    error
}

fn files_below(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            names.extend(files_below(&entry.path()));
        } else {
            names.push(entry.file_name().into_string().unwrap());
        }
    }
    names.sort();
    names
}

fn image() -> Image {
    Image::new(&[Layer::gzip(Tar::new().file("etc/os-release", b"x")), Layer::gzip(binaries())])
}

fn assert_right(binaries: &Binaries) {
    assert_eq!(fs::read(&binaries.buildkitd).unwrap(), elf("buildkitd", false));
    assert_eq!(fs::read(&binaries.buildctl).unwrap(), elf("buildctl", false));
    assert_eq!(fs::read(&binaries.runc).unwrap(), elf("runc", false));
    assert_eq!(binaries.runc, binaries.dir.join("buildkit-runc"));
    for path in [&binaries.buildkitd, &binaries.buildctl, &binaries.runc] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o755);
    }
}
