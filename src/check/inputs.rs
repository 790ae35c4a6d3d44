//! What a build takes from outside, and whether that is the same tomorrow.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::dockerfile::Dockerfile;
use crate::frontend::Override;
use crate::inside::open_inside;
use crate::limits;
use crate::moving::{Inputs, Moving, find};
use crate::settings::BuildSettings;

/// The inputs that move; none where the Dockerfile is not one that can be read here.
#[must_use]
pub fn find_moving(settings: &BuildSettings) -> Vec<Moving> {
    let Ok(dockerfile) = Dockerfile::parse(&settings.dockerfile_bytes) else { return Vec::new() };
    let contexts: BTreeSet<String> = settings.build_contexts.keys().cloned().collect();
    let frontend = match settings.frontend.frontend.to_override() {
        Override::Nothing => None,
        Override::Builtin => Some("builtin"),
        Override::Image(image) => Some(image),
    };
    find(&Inputs {
        text: &settings.dockerfile_bytes,
        dockerfile: &dockerfile,
        target: settings.target.as_deref(),
        arguments: &settings.build_args,
        contexts: &contexts,
        frontend,
        files: &|path| read_below(&settings.context, path),
    })
}

/// A file of the context, as far as it is one: nothing outside of the context is read, whatever its links say, and nothing is
/// waited for.
fn read_below(context: &Path, path: &str) -> Option<Vec<u8>> {
    let root = openat(CWD, context, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let file = open_inside(root, Path::new(path)).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(limits::DOCUMENT_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_outside_of_the_context_is_read() {
        let place = tempfile::tempdir().unwrap();
        let context = place.path().join("context");
        std::fs::create_dir_all(context.join("d")).unwrap();
        std::fs::write(place.path().join("secret"), "x").unwrap();
        std::fs::write(context.join("d/f"), "inside").unwrap();
        symlink("../secret", context.join("up")).unwrap();
        symlink(place.path().join("secret"), context.join("absolute")).unwrap();
        symlink("d/f", context.join("link")).unwrap();
        rustix::fs::mknodat(CWD, context.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for name in ["up", "absolute", "../secret", "d", "pipe", "missing"] {
            assert_eq!(read_below(&context, name), None, "{name}");
        }
        for name in ["d/f", "link", "./d/../d/f"] {
            assert_eq!(read_below(&context, name).as_deref(), Some(&b"inside"[..]), "{name}");
        }
    }
}
