//! The input `outputs`: what comes out of a build, in the words of `docker buildx build --output`.

use std::env::temp_dir;
use std::path::{Component, Path, PathBuf};

use super::inputs::{Words, wrong};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::image::escape::escape;
use crate::plan::split_csv;

/// What the lines ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Exporter {
    /// The form of the archive, as `--archive` has it.
    archive: Option<&'static str>,
    /// Where the archive goes.
    pub destination: Option<PathBuf>,
    /// Names that are not pushed.
    pub names: Vec<String>,
    /// Names that are.
    pub push_to: Vec<String>,
    /// Whether the names of the input `tags` are pushed.
    pub push_tags: bool,
    /// Whether that is named by its digest alone.
    pub by_digest: bool,
    media_types: Option<&'static str>,
    compression: Option<String>,
    compression_level: Option<String>,
    force_compression: Option<bool>,
    rewrite_timestamp: Option<bool>,
}

impl Exporter {
    /// Reads the lines. Together they are one image, for there is one that is built, checked and pushed.
    pub fn parse(lines: &[&str]) -> Result<Self, Failure> {
        let mut exporter = Self::default();
        for line in lines {
            exporter.line(line)?;
        }
        Ok(exporter)
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        let refused = |what: String, hint: &str| wrong("outputs", &format!("{what} in `{}`", escape(line)), hint);
        let fields = split_csv(line).ok_or_else(|| refused("has a quote that is not closed".to_owned(), "close it"))?;
        let mut fields: Vec<(&str, &str)> =
            fields.iter().map(|field| field.split_once('=').unwrap_or((field, "true"))).collect();
        let at = fields.iter().position(|(key, _)| *key == "type");
        let kind = at.map(|at| fields.remove(at).1);
        let form = match kind {
            Some("image" | "registry") => None,
            Some("docker") => Some("docker"),
            Some("oci") => Some("oci"),
            kind => {
                let what = kind.map_or("has no type".to_owned(), |kind| format!("has the type {}", escape(kind)));
                return Err(refused(what, "an image has type=docker, type=oci, type=image or type=registry"));
            }
        };
        let is_image = form.is_none();
        form.map_or(Some(()), |form| set(&mut self.archive, form)).ok_or_else(|| other(line))?;
        let (mut names, mut push) = (Vec::new(), kind == Some("registry"));
        for (key, value) in fields {
            let truth = || match value {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(refused(format!("has {}={}", escape(key), escape(value)), "it is true or false")),
            };
            let done = match key {
                "dest" if !is_image => set(&mut self.destination, PathBuf::from(value)),
                "name" => {
                    // Docker's archives have no other place for their names than the flag, and pushing has its own.
                    names.extend(value.split(',').map(str::to_owned));
                    Some(())
                }
                "push" if is_image => {
                    push = truth()?;
                    Some(())
                }
                "push-by-digest" if is_image => {
                    self.by_digest |= truth()?;
                    Some(())
                }
                // The name that is pushed has its digest in any case.
                "name-canonical" if is_image => truth().map(|_| Some(()))?,
                "oci-mediatypes" => set(&mut self.media_types, if truth()? { "oci" } else { "docker" }),
                "compression" => set(&mut self.compression, value.to_owned()),
                "compression-level" => set(&mut self.compression_level, value.to_owned()),
                "force-compression" => set(&mut self.force_compression, truth()?),
                "rewrite-timestamp" => set(&mut self.rewrite_timestamp, truth()?),
                _ => {
                    let hint = "known are dest, name, push, push-by-digest, name-canonical, oci-mediatypes, compression, \
                        compression-level, force-compression and rewrite-timestamp";
                    return Err(refused(format!("has `{}`", escape(key)), hint));
                }
            };
            done.ok_or_else(|| other(line))?;
        }
        if push {
            self.push_tags |= names.is_empty();
            self.push_to.append(&mut names);
        }
        self.names.append(&mut names);
        Ok(())
    }

    /// The flags of the build.
    pub fn to_words(&self, words: &mut Words) {
        let values = [
            ("--archive", self.archive),
            ("--media-types", self.media_types),
            ("--compression", self.compression.as_deref()),
            ("--compression-level", self.compression_level.as_deref()),
        ];
        for (flag, value) in values {
            if let Some(value) = value {
                words.value(flag, value);
            }
        }
        if self.force_compression == Some(true) {
            words.flag("--force-compression");
        }
        if self.rewrite_timestamp == Some(false) {
            words.flag("--no-rewrite-timestamp");
        }
    }
}

/// Sets what may be said once, or twice in the same way.
fn set<T: PartialEq>(place: &mut Option<T>, value: T) -> Option<()> {
    match place {
        Some(before) if *before != value => None,
        _ => {
            *place = Some(value);
            Some(())
        }
    }
}

fn other(line: &str) -> Failure {
    let hint = "one step builds one image: run the action again for another one";
    wrong("outputs", &format!("asks for another image, or another file, in `{}`", escape(line)), hint)
}

/// Where an archive may go: an action writes where the job has its files, and nowhere else on a runner.
pub fn check_destination(input: &str, path: &Path, environment: &Environment) -> Result<(), Failure> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // `-` would be the log, and a link would lead elsewhere.
    let is_plain = path.file_name().is_some_and(|name| name != "-") && !path.is_symlink() && !path.is_dir();
    if is_plain && is_inside(input, parent, environment)? { Ok(()) } else { Err(outside(input, path)) }
}

/// Where a cache may go that is a directory.
pub fn check_cache(input: &str, line: &str, environment: &Environment) -> Result<(), Failure> {
    let fields = split_csv(line).unwrap_or_default();
    let mut paths = fields.iter().filter_map(|field| field.strip_prefix("dest=")).map(Path::new);
    paths.try_for_each(|path| resolve_directory(input, path, environment).map(drop))
}

/// Where a directory of the job is, links followed, be it there yet or not.
pub fn resolve_directory(input: &str, path: &Path, environment: &Environment) -> Result<PathBuf, Failure> {
    // What is not there yet is made below what is.
    let there = path.ancestors().find(|one| one.symlink_metadata().is_ok()).unwrap_or(Path::new("."));
    let climbs = path.components().any(|step| step == Component::ParentDir);
    if climbs || !is_inside(input, there, environment)? {
        return Err(outside(input, path));
    }
    let resolved = there.canonicalize().map_err(|_| outside(input, path))?;
    Ok(resolved.join(path.strip_prefix(there).unwrap_or(path)).components().collect())
}

fn is_inside(input: &str, directory: &Path, environment: &Environment) -> Result<bool, Failure> {
    let roots = ["RUNNER_TEMP", "GITHUB_WORKSPACE"].map(|name| environment.path(name));
    let roots = roots.into_iter().flatten().chain([temp_dir(), PathBuf::from("/tmp")]);
    let place = directory.canonicalize().map_err(|error| {
        wrong(input, &format!("names a file in `{}`: {error}", directory.display()), "make the directory first")
    })?;
    Ok(roots.filter_map(|root| root.canonicalize().ok()).any(|root| place.starts_with(root)))
}

fn outside(input: &str, path: &Path) -> Failure {
    let hint = "files go below RUNNER_TEMP, the workspace or the directory for temporary files";
    wrong(input, &format!("names `{}`", path.display()), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_buildx_reads_them() {
        let lines = [
            "type=oci,\"dest=/tmp/a, b.tar\",rewrite-timestamp=true",
            "type=image,\"name=ghcr.io/a/b,ghcr.io/a/c\",push=true,push-by-digest=true,name-canonical=true,oci-mediatypes=true",
            "type=image,name=d,rewrite-timestamp=true",
        ];
        let exporter = Exporter::parse(&lines).unwrap();
        assert_eq!(exporter.destination.as_deref(), Some(Path::new("/tmp/a, b.tar")));
        assert_eq!(exporter.push_to, ["ghcr.io/a/b", "ghcr.io/a/c"]);
        assert!(exporter.by_digest);
        let mut words = Words::default();
        exporter.to_words(&mut words);
        assert_eq!(format!("{words:?}"), "Words { flags: [\"--archive=oci\", \"--media-types=oci\"], operands: [] }");
    }

    #[test]
    fn what_is_no_image_or_another_one_is_refused() {
        for (lines, said) in [
            (&["type=local,dest=/"][..], "has the type local"),
            (&["dest=/x"], "has no type"),
            (&["type=docker,push=true"], "has `push`"),
            (&["type=image,dest=/x"], "has `dest`"),
            (&["type=docker,\"dest=/x"], "not closed"),
            (&["type=docker,dest=a", "type=docker,dest=b"], "another image"),
            (&["type=docker", "type=oci"], "another image"),
            (&["type=image,rewrite-timestamp=maybe"], "rewrite-timestamp=maybe"),
        ] {
            let failure = Exporter::parse(lines).unwrap_err();
            assert!(failure.message.contains(said), "{lines:?}: {}", failure.message);
        }
    }
}
