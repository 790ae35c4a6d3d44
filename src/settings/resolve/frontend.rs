//! The words about the frontend, and the Dockerfile's own. The Dockerfile itself is read here, once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{Notes, SettingsError};
use crate::dockerfile::detect_syntax;
use crate::frontend::{BUILD_ARGUMENT, Frontend};
use crate::inside::open_inside;
use crate::limits::DOCKERFILE_BYTES;
use crate::settings::sources::Words;
use crate::settings::{FrontendSettings, Origin};

/// What the words mean. BuildKit's own build argument is taken out of the others: it is a word about the frontend.
pub(super) fn resolve(
    words: &Words<'_>,
    build_args: &mut BTreeMap<String, String>,
    dockerfile: &[u8],
    notes: &mut Notes,
) -> Result<FrontendSettings, SettingsError> {
    let argument = build_args.remove(BUILD_ARGUMENT);
    let flag = notes.one(words, "--frontend", |words| words.frontend.frontend.clone());
    // What the image says is less than what is said nearer, in whichever of the two ways.
    let is_argument = |given: &crate::settings::Given| given.name == "build-arg" && given.value == BUILD_ARGUMENT;
    let of_image = notes
        .given
        .iter()
        .rfind(|given| is_argument(given))
        .is_some_and(|given| matches!(given.origin, Origin::Image(_)));
    let argument = argument.filter(|_| flag.is_none() || !of_image);
    if argument.is_none() {
        notes.given.retain(|given| !is_argument(given));
        notes.from_image.retain(|(name, value, _)| name != "build-arg" || value != BUILD_ARGUMENT);
    }
    let frontend = Frontend::resolve(flag.as_deref(), argument.as_deref(), &detect_syntax(dockerfile))?;
    if let (Some(image), false) = (&frontend.image, frontend.is_pinned()) {
        notes.warnings.push(format!(
            "frontend `{}` ({}) is not pinned: whoever can move the name decides how the Dockerfile is read",
            image.reference, frontend.origin
        ));
    }
    let allowed = notes.list(words, "--allow-frontend", |words| &words.frontend.allow_frontend);
    let allowed = allowed.map(|given| given.value.parse()).collect::<Result<_, _>>()?;
    Ok(FrontendSettings { frontend, allowed })
}

/// The bytes of the Dockerfile, as BuildKit will see them.
pub(super) fn load_dockerfile(path: &Path) -> Result<Vec<u8>, SettingsError> {
    read_as_buildkit(path).map_err(|source| SettingsError::Path { what: "Dockerfile", path: path.to_owned(), source })
}

/// BuildKit gets the directory of the Dockerfile and follows links inside it as if that were the root of everything. A link that
/// leads out of it would show us one file and BuildKit another.
fn read_as_buildkit(path: &Path) -> io::Result<Vec<u8>> {
    let file = if path.symlink_metadata()?.is_symlink() { open_link(path)? } else { File::open(path)? };
    let mut bytes = Vec::new();
    file.take(DOCKERFILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > DOCKERFILE_BYTES {
        return Err(io::Error::other(format!("it has more than {DOCKERFILE_BYTES} bytes")));
    }
    Ok(bytes)
}

fn open_link(path: &Path) -> io::Result<File> {
    let directory = path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    let directory = File::open(directory)?;
    let name = path.file_name().unwrap_or_default();
    open_inside(&directory, Path::new(name)).map_err(|error| {
        io::Error::other(format!(
            "a link that BuildKit does not follow, because it leads out of its directory ({error})"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_followed_as_buildkit_follows_it() {
        let place = tempfile::tempdir().unwrap();
        let context = place.path().join("context");
        std::fs::create_dir(&context).unwrap();
        std::fs::write(place.path().join("harmless"), "outside").unwrap();
        std::fs::write(context.join("real"), "inside").unwrap();
        let read = |name: &str, target: &str| {
            symlink(target, context.join(name)).unwrap();
            read_as_buildkit(&context.join(name)).map(|bytes| String::from_utf8(bytes).unwrap())
        };
        assert_eq!(read("a", "real").unwrap(), "inside");
        assert_eq!(read("b", "/real").unwrap(), "inside", "the root of everything is the directory");
        assert!(read("c", "../harmless").unwrap_err().to_string().contains("leads out of its directory"));
        // BuildKit would read this one, and we the other, were it not for the root.
        std::fs::write(context.join("harmless"), "hostile").unwrap();
        assert_eq!(read("d", "../harmless").unwrap(), "hostile");
    }
}
