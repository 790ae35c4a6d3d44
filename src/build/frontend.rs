//! Which frontend BuildKit used in fact, and whether that is another one than the last time.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::BuildError;
use super::outcome::BuiltFrontend;
use crate::digest::Digest;
use crate::frontend::Frontend;
use crate::provenance::{Material, Provenance};
use crate::reference::ImageReference;

/// A digest and a newline, and then some.
const NOTE_BYTES: u64 = 256;

/// What BuildKit's own record of the build says about the frontend that was judged: it has to be that one.
pub fn built_with(frontend: &Frontend, provenance: Option<&Provenance>) -> Result<BuiltFrontend, BuildError> {
    let mut built = BuiltFrontend { image: None, origin: frontend.origin.clone(), digest: None, moved_from: None };
    let Some(image) = &frontend.image else { return Ok(built) };
    let reference = &image.reference;
    built.image = Some(reference.to_string());
    let Some(provenance) = provenance else { return Ok(built) };
    let wrong = |why: String| BuildError::NotAsAsked(format!("the Dockerfile was to be read by `{reference}`, {why}"));
    let used: Vec<Digest> = provenance.materials.iter().filter_map(|material| digest_of(material, reference)).collect();
    let Some(digest) = used.iter().find(|digest| Some(*digest) == reference.digest()).or_else(|| used.first()) else {
        return Err(wrong("which BuildKit's record of the build does not name".to_owned()));
    };
    if reference.digest().is_some_and(|pinned| pinned != digest) {
        return Err(wrong(format!("and BuildKit's record says that {digest} did")));
    }
    built.digest = Some(digest.clone());
    Ok(built)
}

/// The digest of a material that has the name of an image: `pkg:docker/NAME@TAG?digest=…&platform=…` (`util/purl`).
fn digest_of(material: &Material, reference: &ImageReference) -> Option<Digest> {
    let (_, version) = split(material)?;
    let named = name_of(material)?;
    let version = version.and_then(unescape);
    // A digest stands in a qualifier, or where a tag would.
    let tag = reference.tag().or_else(|| reference.digest().is_none().then_some("latest"));
    let same_tag = version.is_none() || version.as_deref() == tag || version.is_some_and(|text| text.contains(':'));
    let hex = material.digest.get("sha256").filter(|_| named.name() == reference.name() && same_tag)?;
    format!("sha256:{hex}").parse().ok()
}

/// The name of the image that a material is, where it is one of a registry.
pub fn name_of(material: &Material) -> Option<ImageReference> {
    unescape(split(material)?.0)?.parse().ok()
}

/// A package URL of an image, as its name and what stands behind `@`.
fn split(material: &Material) -> Option<(&str, Option<&str>)> {
    let purl = material.uri.strip_prefix("pkg:docker/")?;
    let path = purl.split_once('?').map_or(purl, |(path, _)| path);
    Some(path.rsplit_once('@').map_or((path, None), |(name, version)| (name, Some(version))))
}

/// Percent signs of a URL taken out.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Keeps what a name that can be moved led to, and says so where that was another image before.
pub fn remember(state: &Path, frontend: &Frontend, built: &mut BuiltFrontend) -> Option<String> {
    let image = frontend.image.as_ref().filter(|_| !frontend.is_pinned())?;
    let Some(digest) = &built.digest else {
        return Some(format!(
            "frontend `{}` ({}) is not pinned, and BuildKit left no record of the build, so it is not known which image it was",
            image.reference, built.origin
        ));
    };
    let note = note_of(state, &image.reference);
    let before = read_note(&note);
    if let Err(error) = write_note(&note, digest) {
        return Some(format!("cannot keep which image the frontend was, in `{}`: {error}", note.display()));
    }
    built.moved_from = before.filter(|before| before != digest);
    let name = image.command.split_once(' ').map_or(image.command.as_str(), |(name, _)| name);
    built.moved_from.as_ref().map(|before| {
        format!(
            "frontend `{name}` ({}) has moved: in an earlier build here it was {before}, now it is {digest}; \
             `{name}@{digest}` would stay",
            built.origin
        )
    })
}

/// One small file a name: what it last led to.
fn note_of(state: &Path, reference: &ImageReference) -> PathBuf {
    state.join("frontends").join(Digest::of(reference.to_string().as_bytes()).short())
}

fn read_note(path: &Path) -> Option<Digest> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(NOTE_BYTES).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok()
}

fn write_note(path: &Path, digest: &Digest) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let mut file = NamedTempFile::new_in(directory)?;
    writeln!(file, "{digest}")?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::Syntax;
    use crate::frontend::FrontendOrigin;

    fn frontend(command: &str) -> Frontend {
        Frontend::resolve(None, None, &Syntax::Image { command: command.to_owned(), line: 1 }).unwrap()
    }

    fn digest(letter: char) -> String {
        format!("sha256:{}", letter.to_string().repeat(64))
    }

    fn used(command: &str, materials: &[(&str, char)]) -> Result<Option<String>, String> {
        let material = |(uri, letter): &(&str, char)| Material {
            uri: (*uri).to_owned(),
            digest: [("sha256".to_owned(), letter.to_string().repeat(64))].into(),
        };
        let provenance = Provenance { materials: materials.iter().map(material).collect(), ..Provenance::default() };
        let built = built_with(&frontend(command), Some(&provenance)).map_err(|error| error.to_string())?;
        Ok(built.digest.map(|digest| digest.to_string()))
    }

    #[test]
    fn the_digest_is_that_of_the_record() {
        let hub = ("pkg:docker/docker/dockerfile@1?platform=linux%2Famd64", 'a');
        let other = ("pkg:docker/debian@latest?platform=linux%2Famd64", 'b');
        let local = ("pkg:docker/127.0.0.1%3A5055/docker/dockerfile@v0.19.0", 'c');
        assert_eq!(used("docker/dockerfile:1", &[other, hub]), Ok(Some(digest('a'))));
        assert_eq!(used("127.0.0.1:5055/docker/dockerfile:v0.19.0", &[hub, local]), Ok(Some(digest('c'))));
        assert_eq!(used("debian", &[hub, other]), Ok(Some(digest('b'))));
        let pinned = format!("docker/dockerfile@{}", digest('d'));
        for uri in [
            "pkg:docker/docker/dockerfile?digest=sha256:dddd",
            "pkg:docker/docker/dockerfile@1?digest=sha256:dddd",
            "pkg:docker/docker/dockerfile@sha256:dddd",
        ] {
            let tagged = format!("docker/dockerfile:1@{}", digest('d'));
            assert_eq!(used(&tagged, &[(uri, 'd')]), Ok(Some(digest('d'))), "{uri}");
        }
        assert_eq!(used(&pinned, &[(hub.0, 'd'), ("pkg:docker/docker/dockerfile", 'd')]), Ok(Some(digest('d'))));
    }

    #[test]
    fn another_frontend_than_the_one_that_was_judged_is_an_error() {
        let hub = ("pkg:docker/docker/dockerfile@1?platform=linux%2Famd64", 'a');
        let pinned = format!("docker/dockerfile:1@{}", digest('d'));
        assert!(used(&pinned, &[hub]).unwrap_err().contains(&format!("says that {} did", digest('a'))));
        for command in ["docker/dockerfile:2", "docker/dockerfile", "evil.example/docker/dockerfile:1"] {
            assert!(used(command, &[hub]).unwrap_err().contains("does not name"), "{command}");
        }
        assert!(used("docker/dockerfile:1", &[("pkg:docker/%zz@1", 'a'), ("pkg:github/x", 'a')]).is_err());
    }

    #[test]
    fn a_name_that_moved_is_told_once() {
        let state = tempfile::tempdir().unwrap();
        let floating = frontend("docker/dockerfile:1 x");
        let build = |frontend: &Frontend, letter: char| {
            let mut built = BuiltFrontend {
                image: Some("x".to_owned()),
                origin: FrontendOrigin::Line(1),
                digest: Some(digest(letter).parse().unwrap()),
                moved_from: None,
            };
            let warning = remember(state.path(), frontend, &mut built);
            assert_eq!(warning.is_some(), built.moved_from.is_some());
            warning
        };
        assert_eq!(build(&floating, 'a'), None);
        assert_eq!(build(&floating, 'a'), None);
        let told = build(&floating, 'b').unwrap();
        assert!(told.contains("line 1 of the Dockerfile") && told.contains(&digest('a')), "{told}");
        assert!(told.contains(&format!("`docker/dockerfile:1@{}` would stay", digest('b'))), "{told}");
        assert_eq!(build(&floating, 'b'), None);
        assert_eq!(build(&frontend("docker/dockerfile:2"), 'a'), None, "another name");
        let note = note_of(state.path(), &floating.image.as_ref().unwrap().reference);
        std::fs::write(note, "no digest").unwrap();
        assert_eq!(build(&floating, 'a'), None, "a note that is none says nothing");
    }

    #[test]
    fn without_a_record_it_is_said_that_nothing_is_known() {
        let floating = frontend("docker/dockerfile:1");
        let mut built = built_with(&floating, None).unwrap();
        let state = tempfile::tempdir().unwrap();
        assert!(remember(state.path(), &floating, &mut built).unwrap().contains("not known which image it was"));
        let own = Frontend { image: None, origin: FrontendOrigin::Default };
        let mut built = built_with(&own, None).unwrap();
        assert_eq!(remember(state.path(), &own, &mut built), None);
    }
}
