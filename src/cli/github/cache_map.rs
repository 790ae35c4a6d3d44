//! The input `cache-map`: which directories of the job hold the contents of which cache mounts.
//!
//! The JSON is that of upstream's action, which hands it to reproducible-containers/buildkit-cache-dance: a directory, and
//! where it is mounted, or what else of the `--mount` tells BuildKit which one is meant. Here a directory has one file.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::exporter::resolve_directory;
use super::inputs::{Inputs, wrong};
use crate::cli::files::not_written;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::image::escape::escape;
use crate::limits;
use crate::pin::Variant;
use crate::reference::{ImageReference, ImageSource};
use crate::settings::BuildSettings;

const INPUT: &str = "cache-map";

/// What a mount's contents are called in their directory.
pub const FILE: &str = "cache.tar";

/// How long an ID or a target may be, in bytes. A path of an image has a tenth of it.
const LONGEST_TEXT: usize = 1024;

/// A directory of the job, and the mount whose contents it holds.
#[derive(Debug)]
pub struct Mapped {
    /// Where it is, links followed.
    pub directory: PathBuf,
    pub mount: Mount,
}

impl Mapped {
    /// The one file in the directory that this is about.
    pub fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }
}

/// What names a cache mount to BuildKit, besides the name of the project: an ID, and what the directory was made with.
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where RUN has it; for people.
    pub target: String,
    id: String,
    /// User, group and mode that it is made with, where anything was said of them.
    owner: Option<(u32, u32, u32)>,
    sharing: Option<&'static str>,
}

impl Mount {
    fn parse(words: MountWords) -> Result<Self, String> {
        let target = plain("target", &words.target)?;
        if !target.starts_with('/') {
            return Err(format!("has the target `{target}`, which is not absolute"));
        }
        let target = clean(target);
        if target == "/" {
            return Err("has the target `/`, where nothing is mounted".to_owned());
        }
        let id = words.id.map_or_else(|| Ok(target.clone()), |id| plain("id", &id).map(str::to_owned))?;
        let number = |name: &str, value: Option<Value>, radix: u32, most: u32| match value {
            None => Ok(None),
            Some(value) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let number = u32::from_str_radix(&text, radix).ok().filter(|number| digits && *number <= most);
                number.map(Some).ok_or_else(|| format!("has the {name} {}", shown(&text)))
            }
        };
        let uid = number("uid", words.uid, 10, u32::MAX)?;
        let gid = number("gid", words.gid, 10, u32::MAX)?;
        let mode = number("mode", words.mode, 8, 0o7777)?;
        // What BuildKit takes for what is not said, once anything is (`dockerfile2llb/convert_runmount.go`).
        let is_said = uid.or(gid).or(mode).is_some();
        let owner = is_said.then(|| (uid.unwrap_or(0), gid.unwrap_or(0), mode.unwrap_or(0o755)));
        let sharing = match words.sharing.as_deref() {
            None => None,
            Some("shared") => Some("shared"),
            Some("private") => Some("private"),
            Some("locked") => Some("locked"),
            Some(other) => return Err(format!("has the sharing {}", shown(other))),
        };
        Ok(Self { target, id, owner, sharing })
    }

    /// `--mount=…` of a RUN that has it at `target`. Nothing in it is more than itself: each text is `plain`.
    pub fn flag(&self, target: &str) -> String {
        let mut flag = format!("--mount=type=cache,id={},target={target}", self.id);
        if let Some((uid, gid, mode)) = self.owner {
            let _ = write!(flag, ",uid={uid},gid={gid},mode={mode:04o}");
        }
        if let Some(sharing) = self.sharing {
            flag += &[",sharing=", sharing].concat();
        }
        flag
    }
}

/// A text that is one value in a list with commas, one word of a Dockerfile, and expands to itself.
fn plain<'a>(name: &str, text: &'a str) -> Result<&'a str, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:+@%=~".contains(&byte);
    if (1..=LONGEST_TEXT).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text)
    } else {
        Err(format!("has the {name} {}", shown(text)))
    }
}

/// A text of the input in a message.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(100).collect();
    format!("`{}`", escape(&start))
}

/// An absolute path without what Go's `path.Clean` takes away, after which BuildKit names a mount without an ID.
fn clean(path: &str) -> String {
    let mut steps = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    format!("/{}", steps.join("/"))
}

/// What the input says, in its order.
pub fn parse(inputs: Inputs<'_>, environment: &Environment) -> Result<Vec<Mapped>, Failure> {
    let Some(text) = inputs.text(INPUT)? else { return Ok(Vec::new()) };
    if text.len() > limits::CACHE_MAP_BYTES {
        let what = format!("has {} bytes, of at most {}", text.len(), limits::CACHE_MAP_BYTES);
        return Err(wrong(INPUT, &what, "name the mounts that are worth it"));
    }
    let hint = "it is JSON: `{\"DIRECTORY\": \"/target\"}`, or `{\"DIRECTORY\": {\"target\": \"/target\", \"id\": \"ID\"}}`, also with `uid`, `gid`, \
        `mode` and `sharing` as in the Dockerfile; what `$NAME` stands for there is written out, and of other characters only letters, digits \
        and `/._-:+@%=~` can be in a target or an ID";
    let Lines(lines) = serde_json::from_str(text).map_err(|error| {
        let why: String = error.to_string().chars().take(limits::FAULT_TEXT).collect();
        wrong(INPUT, &format!("cannot be read: {}", escape(&why)), hint)
    })?;
    let mut all: Vec<Mapped> = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, words) in lines {
        let of_line = |why: String| wrong(INPUT, &format!("{why} for {}", shown(&name)), hint);
        if name.is_empty() || name.contains(char::is_control) {
            return Err(of_line("has no directory".to_owned()));
        }
        let mount = Mount::parse(words).map_err(of_line)?;
        let directory = resolve_directory(INPUT, Path::new(&name), environment)?;
        if all.iter().any(|other| other.directory == directory) {
            let what = format!("names the directory {} twice", shown(&name));
            return Err(wrong(INPUT, &what, "give each mount a directory of its own"));
        }
        if !seen.insert((mount.id.clone(), mount.owner)) {
            let what = format!("names the mount `{}` twice", mount.target);
            return Err(wrong(INPUT, &what, "give each mount once; those of one target are told apart by `id`"));
        }
        all.push(Mapped { directory, mount });
    }
    Ok(all)
}

/// Looks whether the directories can be filled from for this build, which writes to `archive`, and makes those that are not
/// there. Gives the image whose tar fills them: BuildKit's own, which is trusted with the build in any case.
pub fn prepare(all: &[Mapped], settings: &BuildSettings, archive: &Path) -> Result<ImageReference, Failure> {
    if settings.no_cache.value {
        let hint = "throw-away state has no cache mounts that are kept: leave out `cache-map`, or `no-cache` and `cache: false`";
        return Err(wrong(INPUT, "is given, and the build is one without a cache", hint));
    }
    // The one of the two that is built in; which of them builds makes no difference to its tar.
    let variant = if settings.rootless.value { Variant::Rootless } else { Variant::Plain };
    let ImageSource::Registry(image) = settings.pin_for(variant).source else {
        let hint = "name the image in a registry: `NAME:TAG@DIGEST`";
        return Err(wrong(INPUT, "needs BuildKit's image in a registry, and it is an OCI layout", hint));
    };
    let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let read: Vec<PathBuf> = settings.directories().map(resolved).collect();
    let parent = archive.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let archive = archive.file_name().map(|name| resolved(parent).join(name));
    for one in all {
        let directory = &one.directory;
        let shown = shown(&directory.to_string_lossy());
        if read.iter().any(|context| directory.starts_with(context) || context.starts_with(directory)) {
            let what = format!("names {shown}, which is in a build context, or has one in it");
            return Err(wrong(INPUT, &what, "it would get into the image: name one in `${{ runner.temp }}`"));
        }
        let file = one.file();
        if archive.as_ref() == Some(&file) {
            return Err(wrong(INPUT, &format!("names {shown}, where the image goes"), "name another directory"));
        }
        match file.symlink_metadata() {
            Ok(found) if found.is_file() => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound) => {}
            _ => {
                let what = format!("names {shown}, in which `{FILE}` is no file");
                return Err(wrong(INPUT, &what, "name a directory that this input alone uses"));
            }
        }
    }
    for Mapped { directory, .. } in all {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| not_written(directory, &error))?;
    }
    Ok(image)
}

/// The directories of a map with their mounts, in its order.
struct Lines(Vec<(String, MountWords)>);

/// What is said of a mount.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MountWords {
    target: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    uid: Option<Value>,
    #[serde(default)]
    gid: Option<Value>,
    #[serde(default)]
    mode: Option<Value>,
    #[serde(default)]
    sharing: Option<String>,
}

/// The same, where a text is the target alone.
struct Line(MountWords);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap;
        impl<'de> Visitor<'de> for OfMap {
            type Value = Lines;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lines, A::Error> {
                let mut lines: Vec<(String, MountWords)> = Vec::new();
                while let Some((name, Line(words))) = map.next_entry::<String, Line>()? {
                    // Readers of JSON take the first, the last, or both.
                    if lines.iter().any(|(other, _)| *other == name) {
                        return Err(A::Error::custom("a directory is there twice"));
                    }
                    if lines.len() == limits::CACHE_MAP_MOUNTS {
                        return Err(A::Error::custom(format!("more than {} mounts", limits::CACHE_MAP_MOUNTS)));
                    }
                    lines.push((name, words));
                }
                Ok(Lines(lines))
            }
        }
        deserializer.deserialize_map(OfMap)
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfLine;
        impl<'de> Visitor<'de> for OfLine {
            type Value = Line;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a target, or an object with `target`")
            }

            fn visit_str<E>(self, target: &str) -> Result<Line, E> {
                Ok(Line(MountWords { target: target.to_owned(), ..MountWords::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Line, A::Error> {
                MountWords::deserialize(MapAccessDeserializer::new(map)).map(Line)
            }
        }
        deserializer.deserialize_any(OfLine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::ExitStatus;

    fn parse_in(temp: &Path, text: &str) -> Result<Vec<Mapped>, Failure> {
        let environment = [("INPUT_CACHE_MAP", text), ("RUNNER_TEMP", temp.to_str().unwrap())];
        parse(Inputs::new(&environment.into_iter().collect()), &environment.into_iter().collect())
    }

    fn flags(text: &str) -> Vec<String> {
        let temp = tempfile::tempdir().unwrap();
        let text = text.replace("TEMP", temp.path().to_str().unwrap());
        parse_in(temp.path(), &text).unwrap().iter().map(|one| one.mount.flag("/m")).collect()
    }

    #[test]
    fn a_mount_is_named_as_in_a_dockerfile() {
        assert_eq!(flags(""), Vec::<String>::new());
        assert_eq!(flags(" {\n} "), Vec::<String>::new());
        for (value, flag) in [
            (r#""/root/.cache""#, "id=/root/.cache,target=/m"),
            (r#""//root/./x/../.cache/""#, "id=/root/.cache,target=/m"),
            (r#"{"target": "/a", "id": "go-amd64:1.2@x=y%z~+"}"#, "id=go-amd64:1.2@x=y%z~+,target=/m"),
            (r#"{"target": "/a", "id": "a/../b"}"#, "id=a/../b,target=/m"),
            (r#"{"target": "/a", "uid": 1000}"#, "id=/a,target=/m,uid=1000,gid=0,mode=0755"),
            (r#"{"target": "/a", "gid": "7", "mode": 700}"#, "id=/a,target=/m,uid=0,gid=7,mode=0700"),
            (r#"{"target": "/a", "mode": "01777"}"#, "id=/a,target=/m,uid=0,gid=0,mode=1777"),
            (r#"{"target": "/a", "uid": null, "sharing": "locked"}"#, "id=/a,target=/m,sharing=locked"),
        ] {
            assert_eq!(flags(&format!("{{\"TEMP/a\": {value}}}")), [format!("--mount=type=cache,{flag}")], "{value}");
        }
        assert_eq!(
            flags(r#"{"TEMP/b": "/x", "TEMP/a": {"target": "/x", "uid": 0}}"#),
            ["--mount=type=cache,id=/x,target=/m", "--mount=type=cache,id=/x,target=/m,uid=0,gid=0,mode=0755"]
        );
    }

    #[test]
    fn what_would_be_more_than_a_value_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let refused = |text: &str, why: &str| {
            let failure = parse_in(temp.path(), &text.replace("TEMP", temp.path().to_str().unwrap())).unwrap_err();
            assert!(failure.status == ExitStatus::Usage && failure.message.contains(why), "{text}: {failure:?}");
            assert!(
                failure.message.starts_with("the input `cache-map` ") && failure.message.len() < 3_000,
                "{failure:?}"
            );
            assert!(!failure.message.contains(['\n', '\u{202e}', '\u{1b}']), "{failure:?}");
        };
        for hostile in [
            "",
            "$HOME",
            "${X:-y}",
            "a b",
            "a\tb",
            "a,type=bind",
            "a\"b",
            "a'b",
            "a\\b",
            "a\nRUN id",
            "a\rb",
            "<<EOF",
            "a;b",
            "a`b`",
            "a#b",
            "[\"a\"]",
            "é",
            "\u{202e}a",
            "\u{1b}[2J",
            "\0",
        ] {
            let [id, target] = [("id", hostile.to_owned()), ("target", format!("/{hostile} "))].map(|(key, value)| {
                let mut words = serde_json::json!({"target": "/a"});
                words[key] = value.into();
                serde_json::json!({ format!("{}/a", temp.path().display()): words }).to_string()
            });
            refused(&id, "has the id `");
            refused(&target, "has the target `");
        }
        refused(&format!("{{\"TEMP/a\": \"/{}\"}}", "a".repeat(1024)), "has the target `/aaa");
        for (value, why) in [
            (r#""a""#, "`a`, which is not absolute"),
            (r#""/""#, "has the target `/`"),
            (r#""/a/..""#, "has the target `/`"),
            ("1", "expected a target"),
            ("null", "expected a target"),
            ("[]", "expected a target"),
            ("{}", "missing field `target`"),
            (r#"{"id": "a"}"#, "missing field `target`"),
            (r#"{"target": 1}"#, "expected a string"),
            (r#"{"target": "/a", "from": "b"}"#, "unknown field `from`, expected one of `target`, `id`"),
            (r#"{"target": "/a", "\n\u202e": "b"}"#, "unknown field `\\u{a}\\u{202e}`"),
            (r#"{"target": "/a", "target": "/b"}"#, "duplicate field `target`"),
            (r#"{"target": "/a", "uid": -1}"#, "has the uid `-1`"),
            (r#"{"target": "/a", "uid": "+1"}"#, "has the uid `+1`"),
            (r#"{"target": "/a", "uid": 4294967296}"#, "has the uid `4294967296`"),
            (r#"{"target": "/a", "gid": 1.5}"#, "has the gid `1.5`"),
            (r#"{"target": "/a", "gid": ""}"#, "has the gid ``"),
            (r#"{"target": "/a", "mode": 800}"#, "has the mode `800`"),
            (r#"{"target": "/a", "mode": "17777"}"#, "has the mode `17777`"),
            (r#"{"target": "/a", "mode": ["0"]}"#, "has the mode `[\"0\"]`"),
            (r#"{"target": "/a", "sharing": "locked,from=x"}"#, "has the sharing `locked,from=x`"),
        ] {
            refused(&format!("{{\"TEMP/a\": {value}}}"), why);
        }
        for (text, why) in [
            ("x", "cannot be read"),
            ("[]", "expected an object"),
            ("{\"TEMP/a\": \"/b\"} x", "trailing characters"),
            (r#"{"TEMP/a": "/b", "TEMP/a": "/c"}"#, "a directory is there twice"),
            (r#"{"TEMP/a": "/b", "TEMP/./a/": "/c"}"#, "names the directory"),
            (r#"{"TEMP/a": "/b", "TEMP/c": "//b/"}"#, "names the mount `/b` twice"),
            (
                r#"{"TEMP/a": {"target": "/b", "uid": 0}, "TEMP/c": {"target": "/x", "id": "/b", "gid": 0}}"#,
                "the mount `/x` twice",
            ),
            (r#"{"": "/b"}"#, "has no directory"),
            (r#"{"TEMP/a\nb": "/b"}"#, "has no directory"),
        ] {
            refused(text, why);
        }
        let many: Vec<String> = (0..=limits::CACHE_MAP_MOUNTS).map(|at| format!("\"TEMP/{at}\": \"/{at}\"")).collect();
        refused(&format!("{{{}}}", many.join(",")), "more than 32 mounts");
        refused(&format!("{{{}}}", " ".repeat(limits::CACHE_MAP_BYTES)), "bytes, of at most 65536");
    }
}
