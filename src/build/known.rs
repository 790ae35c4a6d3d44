//! What was found in layers by earlier builds, kept in a file of our own state.
//!
//! A layer that is known is hashed and not inflated: see [`crate::image::KnownLayers`]. The file is a cache. Whatever is
//! wrong with it, it is not used, and the layers are read.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::digest::Digest;
use crate::image::{Image, KnownLayers};
use crate::kept::known_layers;
use crate::limits::KNOWN_LAYERS_FILE_BYTES;
use crate::output::Scratch;

/// What is known in a state directory, which may be nothing.
#[must_use]
pub fn load(state: &Path) -> KnownLayers {
    read(&known_layers(state)).unwrap_or_default()
}

/// Keeps what an image that was checked adds to it. That this fails slows the next build down, and harms nothing.
pub fn keep(state: &Path, scratch: &Scratch, image: &Image) {
    let mut known = load(state);
    if known.learn(image)
        && let Err(error) = write(state, scratch, &known)
    {
        tracing::debug!("cannot keep what was found in layers: {error}");
    }
}

/// The digest of the rest stands in the first line: what a broken disk or an editor made of it is not believed.
fn read(path: &Path) -> Option<KnownLayers> {
    let file = File::open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0;
    let mut text = String::new();
    file.take(KNOWN_LAYERS_FILE_BYTES).read_to_string(&mut text).ok()?;
    let (digest, layers) = text.split_once('\n').filter(|_| is_ours)?;
    let is_whole = digest == Digest::of(layers.as_bytes()).to_string();
    is_whole.then(|| serde_json::from_str(layers).ok())?
}

fn write(state: &Path, scratch: &Scratch, known: &KnownLayers) -> io::Result<()> {
    let layers = serde_json::to_string(known)?;
    let mut file = scratch.file_in(&state.join("tmp"))?;
    write!(file, "{}\n{layers}", Digest::of(layers.as_bytes()))?;
    file.persist(known_layers(state)).map(drop).map_err(|error| error.error)
}
