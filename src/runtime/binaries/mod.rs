//! BuildKit's static binaries, taken from a pinned image and kept in the user's cache.
//!
//! What runs is what the pin names: the index or manifest is hashed against the pin, each document and layer against the
//! descriptor that led to it, each unpacked layer against the diff ID in the image's configuration. The binaries are then
//! kept under the pin's digest; [`cached`] and [`ensure`] hash them again at each use.

mod cache;
mod document;
mod elf;
mod error;
mod layer;
pub mod limits;
mod store;
mod unpack;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::Digest;
use crate::reference::ImageSource;
use crate::registry;

pub use cache::LOCKS;
pub use document::Platform;
pub use error::BinariesError;

use cache::{Record, Slot, State};
use document::{Descriptor, Document};
use error::io_error;
use store::Store;
use unpack::{Layer, Stack, Unpacked, WANTED};

/// The binaries of one BuildKit, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The directory that holds them and nothing else to run: fit for a `PATH`.
    pub dir: PathBuf,
    /// The daemon.
    pub buildkitd: PathBuf,
    /// Its client.
    pub buildctl: PathBuf,
    /// The OCI runtime, which the daemon looks for as `buildkit-runc` on its `PATH`.
    pub runc: PathBuf,
    /// What starts the daemon without root; only rootless images hold it.
    pub rootlesskit: Option<PathBuf>,
    /// The digest that the image was pinned to: an index or a manifest.
    pub image_digest: Digest,
    /// The manifest of this platform.
    pub manifest_digest: Digest,
}

/// Binaries that nobody removes from the cache while this lives, whatever state directory they prune for.
#[derive(Debug)]
pub struct InUse {
    binaries: Binaries,
    _lock: File,
}

impl std::ops::Deref for InUse {
    type Target = Binaries;

    fn deref(&self) -> &Binaries {
        &self.binaries
    }
}

/// How binaries are got.
#[derive(Debug, Clone)]
pub struct Options {
    /// The platform they must run on.
    pub platform: Platform,
    /// How a registry is spoken to.
    pub registry: registry::Options,
    /// How long another process may unpack the same image.
    pub lock_wait: Duration,
}

impl Default for Options {
    /// This machine's platform, no credentials.
    fn default() -> Self {
        Self { platform: Platform::host(), registry: registry::Options::default(), lock_wait: limits::LOCK_WAIT }
    }
}

/// `repro`'s directory in the user's cache, by the XDG base directory specification: a relative `XDG_CACHE_HOME` does not count.
#[must_use]
pub fn default_cache_root(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("repro"))
}

/// The binaries of `source`, if they are in the cache and as they were unpacked. Changes nothing and asks no registry.
#[must_use]
pub fn cached(source: &ImageSource, cache_root: &Path) -> Option<Binaries> {
    let pin = match source.digest() {
        Some(digest) => digest.clone(),
        None => match source {
            ImageSource::Registry(_) => return None,
            _ => Store::open(source, &registry::Options::default()).ok()?.only_image().ok()?,
        },
    };
    let root = cache_root.canonicalize().ok()?;
    match Slot::find(&root, &pin, &Platform::host()).ok()?.inspect() {
        Ok(State::Ready(binaries)) => Some(binaries),
        _ => None,
    }
}

/// The binaries of `source`, from the cache, or got, checked and put there first. A layout without a digest is pinned to the
/// only image that it holds; a registry reference needs a digest. Processes that want the same at once do the work once.
pub async fn ensure(source: &ImageSource, cache_root: &Path, options: &Options) -> Result<InUse, BinariesError> {
    let (pin, opened) = match (source.digest(), source) {
        (Some(digest), _) => (digest.clone(), None),
        (None, ImageSource::Registry(reference)) => return Err(BinariesError::NotPinned(reference.to_string())),
        (None, _) => {
            let store = Store::open(source, &options.registry)?;
            (store.only_image()?, Some(store))
        }
    };
    let slot = Slot::create(cache_root, &pin, &options.platform)?;
    let in_use = |binaries, lock| InUse { binaries, _lock: lock };
    let used = slot.hold(options.lock_wait).await?;
    if let State::Ready(binaries) = inspect(&slot).await? {
        return Ok(in_use(binaries, used));
    }
    let lock = slot.lock(options.lock_wait).await?;
    match inspect(&slot).await? {
        State::Ready(binaries) => return Ok(in_use(binaries, used)),
        State::Empty => {}
        State::Damaged(reason) => tracing::warn!("the cached BuildKit `{pin}` is unpacked again: {reason}"),
    }
    let store = match opened {
        Some(store) => store,
        None => Store::open(source, &options.registry)?,
    };
    let workspace = slot.workspace(&lock)?;
    let image = resolve(&store, &pin, &options.platform).await?;
    let files = unpack(&store, &image, workspace.path()).await?;
    check_programs(&files, &options.platform)?;
    let layers = image.layers.iter().map(|layer| layer.descriptor.digest.clone()).collect();
    let record = Record::new(&pin, &options.platform, image.manifest, image.config, layers);
    slot.install(&lock, workspace.path(), record, &files)?;
    match inspect(&slot).await? {
        State::Ready(binaries) => Ok(in_use(binaries, used)),
        State::Empty => Err(slot.vanished("it is gone")),
        State::Damaged(reason) => Err(slot.vanished(&reason)),
    }
}

/// Hashing takes a while: not on the thread that watches for signals.
async fn inspect(slot: &Slot) -> Result<State, BinariesError> {
    let slot = slot.clone();
    blocking(move || slot.inspect()).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BinariesError> + Send + 'static,
) -> Result<T, BinariesError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(io_error("finish work on", Path::new("cache"))(std::io::Error::other(error))),
    }
}

/// An image of one platform, resolved.
struct Image {
    manifest: Digest,
    config: Digest,
    layers: Vec<Layer>,
}

/// From the pin through indexes to the manifest of `platform`, its configuration and its layers.
async fn resolve(store: &Store, pin: &Digest, platform: &Platform) -> Result<Image, BinariesError> {
    let (mut digest, mut size) = (pin.clone(), None);
    for _ in 0..=limits::INDEX_DEPTH {
        let bytes = store.manifest(&digest, size).await?;
        match document::parse_document(&bytes, &digest)? {
            Document::Index(entries) => {
                let entry = document::select(&entries, platform, &digest)?;
                (digest, size) = (entry.digest.clone(), Some(entry.size));
            }
            Document::Manifest { config, layers } => {
                let bytes = store.config(&config.blob()).await?;
                let diff_ids = document::parse_config(&bytes, &config.digest, platform, layers.len())?;
                let layers = layers.into_iter().zip(diff_ids).map(layer).collect::<Result<_, _>>()?;
                return Ok(Image { manifest: digest, config: config.digest, layers });
            }
        }
    }
    Err(BinariesError::TooLarge { what: format!("`{pin}`"), limit: limits::INDEX_DEPTH as u64, unit: "nested indexes" })
}

fn layer((descriptor, diff_id): (Descriptor, Digest)) -> Result<Layer, BinariesError> {
    if descriptor.size > limits::LAYER_BYTES {
        let what = format!("layer `{}`", descriptor.digest);
        return Err(BinariesError::TooLarge { what, limit: limits::LAYER_BYTES, unit: "bytes" });
    }
    Ok(Layer { compression: document::compression(&descriptor)?, descriptor, diff_id })
}

/// Stacks all layers; what is found is written below `workspace`.
async fn unpack(
    store: &Store,
    image: &Image,
    workspace: &Path,
) -> Result<[Option<Unpacked>; WANTED.len()], BinariesError> {
    let mut stack = Stack::new(workspace);
    for layer in &image.layers {
        let reader = store.layer(&layer.descriptor.blob(), workspace).await?;
        let layer = layer.clone();
        stack = blocking(move || stack.push(&layer, reader).map(|()| stack)).await?;
    }
    stack.finish(&image.manifest)
}

/// Tells what would only fail later, and less clearly, when it is started.
fn check_programs(files: &[Option<Unpacked>; WANTED.len()], platform: &Platform) -> Result<(), BinariesError> {
    for (wanted, file) in WANTED.iter().zip(files) {
        let Some(unpacked) = file else { continue };
        let read = File::open(&unpacked.file).and_then(|file| elf::fault(&file, &platform.architecture));
        if let Some(reason) = read.map_err(io_error("read", &unpacked.file))? {
            return Err(BinariesError::Foreign { path: wanted.path, reason });
        }
    }
    Ok(())
}
