//! Where images come from, and how their binaries are kept.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use repro::digest::Digest;
use repro::runtime::binaries::{Binaries, BinariesError, Options, cached, default_cache_root, ensure};

use crate::buildkit_image::{Image, Layer, Tar, architecture, binaries, gzip};
use crate::registry::{FakeRegistry, Fault};
use crate::{assert_right, block_on, files_below, get, image, options};

#[test]
fn unpacks_from_a_registry_once() {
    let registry = FakeRegistry::start();
    let image = image().indexed(&["linux/s390x", "windows/amd64"]);
    let source = image.serve(&registry);
    let cache = tempfile::tempdir().unwrap();
    assert_eq!(cached(&source.parse().unwrap(), cache.path()), None);
    let binaries = get(&source, cache.path()).unwrap();
    assert_right(&binaries);
    assert_eq!(binaries.rootlesskit, None);
    assert_eq!(binaries.image_digest, image.pin);
    assert_eq!(binaries.manifest_digest, Digest::of(&image.documents[0].1));
    let key = format!("buildkit/sha256-{}/linux-{}", image.pin.hex(), architecture());
    assert_eq!(binaries.dir, cache.path().canonicalize().unwrap().join(key));
    assert_eq!(files_below(cache.path()), ["buildctl", "buildkit-runc", "buildkitd", "lock", "manifest.json", "used"]);
    let requests = registry.requests().len();
    assert_eq!(get(&source, cache.path()).unwrap(), binaries);
    assert_eq!(cached(&source.parse().unwrap(), cache.path()), Some(binaries));
    assert_eq!(registry.requests().len(), requests, "the second time nothing is asked");
}

#[test]
fn unpacks_from_layouts() {
    let directory = tempfile::tempdir().unwrap();
    let image = image().indexed(&["linux/s390x"]);
    let layout = image.write_layout(&directory.path().join("layout"));
    let archive = directory.path().join("image.tar");
    fs::write(&archive, image.archive().finish()).unwrap();
    let archive = format!("oci-archive:{}", archive.display());
    for (number, source) in
        [layout.clone(), archive.clone(), format!("{layout}@{}", image.pin), format!("{archive}@{}", image.pin)]
            .iter()
            .enumerate()
    {
        let cache = directory.path().join(number.to_string());
        let binaries = get(source, &cache).unwrap();
        assert_right(&binaries);
        assert_eq!(binaries.image_digest, image.pin);
        assert_eq!(cached(&source.parse().unwrap(), &cache), Some(binaries));
    }
    // One pin has one place, wherever it came from.
    let registry = FakeRegistry::start();
    let source = image.serve(&registry);
    assert!(cached(&source.parse().unwrap(), &directory.path().join("0")).is_some());
}

#[test]
fn a_pin_on_a_manifest_inside_a_layout_is_kept_under_that_digest() {
    let directory = tempfile::tempdir().unwrap();
    let image = image().indexed(&["linux/s390x"]);
    let manifest = Digest::of(&image.documents[0].1);
    let source = format!("{}@{manifest}", image.write_layout(&directory.path().join("layout")));
    let binaries = get(&source, &directory.path().join("cache")).unwrap();
    assert_eq!((&binaries.image_digest, &binaries.manifest_digest), (&manifest, &manifest));
    assert!(binaries.dir.to_str().unwrap().contains(manifest.hex()));
}

#[test]
fn damage_on_the_way_from_a_registry_is_told() {
    let registry = FakeRegistry::start();
    let image = image();
    let source = image.serve(&registry);
    let layer = &image.blobs[2];
    let cache = tempfile::tempdir().unwrap();
    for (fault, message) in [
        (Fault::Body(vec![0; layer.1.len()]), "has digest"),
        (Fault::Body(vec![0; layer.1.len() + 1]), "its descriptor says"),
        (Fault::Unsized(layer.1[1..].to_vec()), "its descriptor says"),
        (Fault::Status(404, None, String::new()), "answers status 404"),
    ] {
        registry.fail(layer.0.hex(), fault, 1);
        let error = get(&source, cache.path()).unwrap_err();
        assert!(matches!(error, BinariesError::Registry(_)), "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(files_below(cache.path()), ["lock", "used"]);
    }
    registry.fail(layer.0.hex(), Fault::Truncate(10), 1);
    assert_right(&get(&source, cache.path()).unwrap());
}

#[test]
fn layouts_that_are_none_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let path = directory.path().display();
    let message = get(&format!("oci:{path}/absent"), &cache).unwrap_err().to_string();
    assert!(
        message.starts_with(&format!("`{path}/absent` is not an OCI image layout: `index.json`: No such file")),
        "{message}"
    );
    let archive = |bytes: &[u8]| {
        fs::write(directory.path().join("x.tar"), bytes).unwrap();
        get(&format!("oci-archive:{path}/x.tar"), &cache).unwrap_err().to_string()
    };
    assert!(archive(&Tar::new().file("manifest.json", b"[]").finish()).ends_with("no `index.json`"));
    assert!(archive(&gzip(&image().archive().finish())).ends_with("the archive is compressed"));
    assert!(archive(&image().archive().file("./index.json", b"{}").finish()).ends_with("`index.json` is there twice"));
    assert!(archive(b"not a tar archive").contains("is not an OCI image layout"));

    let image = image();
    let source = image.write_layout(&directory.path().join("two"));
    let one = format!(r#"{{"digest":"{}","size":1}}"#, image.pin);
    let index =
        format!(r#"{{"schemaVersion":2,"manifests":[{one},{}]}}"#, one.replace(image.pin.hex(), &"0".repeat(64)));
    fs::write(directory.path().join("two/index.json"), index).unwrap();
    let error = get(&source, &cache).unwrap_err();
    assert!(matches!(&error, BinariesError::Ambiguous { digests, .. } if digests.len() == 2), "{error}");
    assert_right(&get(&format!("{source}@{}", image.pin), &cache).unwrap());
}

#[test]
fn a_registry_image_needs_a_pin() {
    let cache = tempfile::tempdir().unwrap();
    let error = get("moby/buildkit:v0.19.0", cache.path()).unwrap_err();
    assert_eq!(error.to_string(), "BuildKit image `docker.io/moby/buildkit:v0.19.0` has no digest");
    assert_eq!(files_below(cache.path()), [""; 0]);
}

/// What happened to a cache, and how to make it happen to the file given.
type Damage = (&'static str, fn(&Path));

#[test]
fn a_damaged_cache_is_unpacked_again() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let source = image().write_layout(&directory.path().join("layout"));
    let binaries = get(&source, &cache).unwrap();
    let damage: [Damage; 7] = [
        ("a flipped bit", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[100] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("a short file", |path| fs::write(path, b"x").unwrap()),
        ("no file", |path| fs::remove_file(path).unwrap()),
        ("a wrong mode", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap()),
        ("a link", |path| {
            fs::rename(path, path.with_extension("old")).unwrap();
            symlink(path.with_extension("old"), path).unwrap();
        }),
        ("no record", |path| fs::remove_file(path.with_file_name("manifest.json")).unwrap()),
        ("an empty record", |path| fs::write(path.with_file_name("manifest.json"), "{}").unwrap()),
    ];
    for (what, break_it) in damage {
        break_it(&binaries.buildkitd);
        assert_eq!(cached(&source.parse().unwrap(), &cache), None, "{what}");
        assert_eq!(get(&source, &cache).unwrap(), binaries, "{what}");
        assert_right(&binaries);
        assert_eq!(
            files_below(&cache),
            ["buildctl", "buildkit-runc", "buildkitd", "lock", "manifest.json", "used"],
            "{what}"
        );
    }
}

#[test]
fn a_record_about_another_pin_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let first = get(&image().write_layout(&directory.path().join("1")), &cache).unwrap();
    let other = Image::new(&[Layer::gzip(binaries().file("usr/bin/rootlesskit", b"x"))]);
    let source = other.write_layout(&directory.path().join("2"));
    let second = get(&source, &cache).unwrap();
    fs::remove_dir_all(&second.dir).unwrap();
    fs::rename(&first.dir, &second.dir).unwrap();
    assert_eq!(cached(&source.parse().unwrap(), &cache), None);
    assert!(get(&source, &cache).unwrap().rootlesskit.is_some());
}

#[test]
fn a_cache_that_others_can_write_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let source = image().write_layout(&directory.path().join("layout"));
    let binaries = get(&source, &cache).unwrap();
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let places: Vec<PathBuf> = binaries.dir.ancestors().take(4).map(Path::to_owned).collect();
    assert_eq!(places[3], cache.canonicalize().unwrap());
    for place in &places {
        mode(place, 0o777);
        let error = get(&source, &cache).unwrap_err();
        assert!(matches!(&error, BinariesError::Untrusted { path, .. } if path == place), "{error}");
        assert_eq!(cached(&source.parse().unwrap(), &cache), None);
        mode(place, 0o700);
    }
    mode(&binaries.buildkitd, 0o757);
    assert!(matches!(get(&source, &cache).unwrap_err(), BinariesError::Untrusted { .. }));
    mode(&binaries.buildkitd, 0o755);
    mode(directory.path(), 0o777);
    assert!(matches!(get(&source, &cache).unwrap_err(), BinariesError::Untrusted { .. }));
    mode(directory.path(), 0o1777);
    assert!(get(&source, &cache).is_ok(), "a sticky directory above is /tmp's way");
}

#[test]
fn two_at_once_do_the_work_once() {
    let registry = FakeRegistry::start();
    let image = image();
    let source = image.serve(&registry);
    let cache = tempfile::tempdir().unwrap();
    let both = || async {
        let source = source.parse().unwrap();
        let options = options();
        let (one, two) = tokio::join!(ensure(&source, cache.path(), &options), ensure(&source, cache.path(), &options));
        (one.unwrap().clone(), two.unwrap().clone())
    };
    let (one, two) = block_on(both());
    assert_eq!(one, two);
    // Threads with runtimes of their own are as good as processes: the lock belongs to the open file.
    let results: Vec<Binaries> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| get(&source, cache.path()).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(results.iter().all(|result| *result == one));
    assert_right(&one);
    assert_eq!(registry.count("/blobs/"), image.blobs.len(), "every blob was fetched once");
}

#[test]
fn many_at_once_on_an_empty_cache_do_the_work_once() {
    let registry = FakeRegistry::start();
    let image = image();
    let source = image.serve(&registry);
    let cache = tempfile::tempdir().unwrap();
    let results: Vec<Binaries> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| get(&source, cache.path()).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(results.iter().all(|result| *result == results[0]));
    assert_eq!(registry.count("/blobs/"), image.blobs.len());
    assert_eq!(files_below(cache.path()), ["buildctl", "buildkit-runc", "buildkitd", "lock", "manifest.json", "used"]);
}

#[test]
fn a_lock_that_is_not_given_back_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let image = image();
    let source = image.write_layout(&directory.path().join("layout"));
    let slot = cache.join(format!("buildkit/sha256-{}", image.pin.hex()));
    fs::create_dir_all(&slot).unwrap();
    // What a killed process left is no obstacle and goes.
    fs::create_dir(slot.join(".new-killed")).unwrap();
    fs::write(slot.join(".new-killed/buildkitd.0"), b"half").unwrap();
    let holder = fs::File::create(slot.join("lock")).unwrap();
    holder.lock().unwrap();
    let options = Options { lock_wait: Duration::from_millis(120), ..options() };
    let error = block_on(ensure(&source.parse().unwrap(), &cache, &options)).unwrap_err();
    assert!(matches!(error, BinariesError::Locked { .. }), "{error}");
    drop(holder);
    assert_right(&get(&source, &cache).unwrap());
    assert_eq!(files_below(&cache), ["buildctl", "buildkit-runc", "buildkitd", "lock", "manifest.json", "used"]);
}

#[test]
fn a_future_that_is_dropped_leaves_nothing() {
    let registry = FakeRegistry::start();
    let image = image();
    let source = image.serve(&registry);
    registry.fail(image.blobs[2].0.hex(), Fault::Stall(5), 1);
    let cache = tempfile::tempdir().unwrap();
    block_on(async {
        let source = source.parse().unwrap();
        let options = options();
        let work = ensure(&source, cache.path(), &options);
        assert!(tokio::time::timeout(Duration::from_millis(300), work).await.is_err());
    });
    assert_eq!(files_below(cache.path()), ["lock", "used"]);
    assert_right(&get(&source, cache.path()).unwrap());
}

#[test]
fn the_cache_is_where_xdg_says() {
    let root = |variables: &[(&str, &str)]| {
        default_cache_root(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    };
    assert_eq!(root(&[("HOME", "/h")]), Some("/h/.cache/repro".into()));
    assert_eq!(root(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]), Some("/c/repro".into()));
    assert_eq!(root(&[("HOME", "/h"), ("XDG_CACHE_HOME", "relative")]), Some("/h/.cache/repro".into()));
    assert_eq!(root(&[("XDG_CACHE_HOME", "")]), None);
}
