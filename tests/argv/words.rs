//! Odd words, and a place on the disk for those of them that are paths.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use repro::settings::BuildWords;
use tempfile::TempDir;

/// What breaks words apart, somewhere: shells, comma-separated values, flags, templates, expressions of buildx and BuildKit.
const PIECES: [&str; 40] = [
    " ",
    ",",
    "\"",
    "\"\"",
    "'",
    "=",
    ":",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "-",
    "--",
    "--label=x=y",
    "$x",
    "$(id)",
    "`id`",
    "\\",
    "\\n",
    "*",
    "{{.}}",
    "[",
    "]",
    "#",
    ";",
    "&",
    "<",
    ".",
    "\u{a0}",
    "\u{85}",
    "é",
    "İ",
    "ǅ",
    "K",
    "a",
    "B",
    "type=local",
    ",dest=/x",
    ",src=/etc/passwd",
    "%s",
];

/// What a user says, each part with its odd words.
#[derive(Debug, Clone)]
pub struct Case {
    pub labels: Vec<(String, String)>,
    pub build_args: Vec<(String, String)>,
    pub annotations: Vec<(Option<String>, String, String)>,
    pub secret_id: String,
    pub secret_file: String,
    pub variable_id: String,
    pub target: String,
    pub tags: bool,
    pub directory: Vec<u8>,
    pub context: Vec<u8>,
    pub dockerfile: Vec<u8>,
}

impl Case {
    /// One text wherever it may stand.
    pub fn plain(text: &str) -> Self {
        let pair = || vec![("key".to_owned(), text.to_owned())];
        Self {
            labels: vec![("key".to_owned(), text.to_owned()), (text.replace('=', "-"), String::new())],
            build_args: pair(),
            annotations: vec![(None, "key".to_owned(), text.to_owned())],
            secret_id: text.to_owned(),
            secret_file: text.to_owned(),
            variable_id: format!("variable {text}"),
            target: text.to_owned(),
            tags: true,
            directory: text.into(),
            context: text.into(),
            dockerfile: format!("D{}e", text.replace(char::is_control, "-")).into(),
        }
    }

    /// What has to arrive.
    pub fn expected(&self, ground: &Ground) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut put = |name: String, value: &str| all.insert(name.into_bytes(), value.as_bytes().to_vec());
        for (key, value) in &self.labels {
            put(format!("label:{key}"), value);
        }
        put("build-arg:SOURCE_DATE_EPOCH".to_owned(), "0");
        put("build-arg:BUILDKIT_CACHE_MOUNT_NS".to_owned(), "namespace");
        for (key, value) in &self.build_args {
            put(format!("build-arg:{key}"), value);
        }
        for (platform, key, value) in &self.annotations {
            put(format!("annotation:manifest {} {key}", platform.as_deref().unwrap_or_default()), value);
        }
        if ground.secret.is_some() {
            put(format!("secret:{}", self.secret_id), "the secret");
        }
        put(format!("secret:{}", self.variable_id), "swordfish");
        if self.tags {
            put("tag".to_owned(), "registry.example:5000/a/b:1.0");
        }
        for (name, value) in [("oci-mediatypes", "true"), ("compression", "gzip"), ("rewrite-timestamp", "true")] {
            put(format!("output:{name}"), value);
        }
        all
    }
}

/// Any text.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => vec(select(PIECES.as_slice()), 0..5).prop_map(|pieces| pieces.concat()),
        1 => any::<String>().prop_map(|text| text.replace('\0', "")),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just("org.example.key".to_owned()), 1 => text()].prop_map(|key| key.replace('=', ""))
}

fn platform() -> impl Strategy<Value = Option<String>> {
    select(&[None, None, None, Some("linux/amd64"), Some("linux/arm/v7"), Some("linux/s390x")][..])
        .prop_map(|platform| platform.map(str::to_owned))
}

/// A name in a directory: no slash, and bytes that need not be UTF-8.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![6 => select(PIECES.as_slice()).prop_map(|p| p.as_bytes().to_vec()), 1 => Just(vec![0xff])];
    vec(piece, 1..5).prop_map(|pieces| pieces.concat().into_iter().filter(|byte| *byte != b'/').collect())
}

pub fn cases() -> impl Strategy<Value = Case> {
    let pairs = || vec((key(), text()), 0..3);
    let annotations = vec((platform(), key(), text()), 0..3);
    let names = (name(), name(), prop_oneof![3 => Just(b"Dockerfile".to_vec()), 1 => name()]);
    let secrets = (text(), text().prop_map(|text| text.replace('/', "")), text());
    (pairs(), pairs(), annotations, secrets, text(), any::<bool>(), names).prop_map(
        |(labels, build_args, annotations, secrets, target, tags, (directory, context, dockerfile))| Case {
            labels,
            build_args,
            annotations,
            secret_id: secrets.0,
            secret_file: secrets.1,
            variable_id: secrets.2,
            target,
            tags,
            directory,
            context,
            dockerfile,
        },
    )
}

/// The directories and files of a case.
pub struct Ground {
    _place: TempDir,
    pub directory: PathBuf,
    pub secret: Option<PathBuf>,
    pub words: BuildWords,
}

impl Ground {
    /// Nothing where no file can have such a name.
    pub fn make(case: &Case) -> Option<Self> {
        if [&case.directory, &case.context, &case.dockerfile].into_iter().any(|name| name == b"." || name == b"..") {
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().canonicalize().unwrap().join(OsStr::from_bytes(&case.directory));
        let (context, dockerfiles) = (directory.join(OsStr::from_bytes(&case.context)), directory.join("dockerfiles"));
        for (directory, marker) in [(&context, "the context"), (&dockerfiles, "the directory of the Dockerfile")] {
            fs::create_dir_all(directory).ok()?;
            fs::write(directory.join("marker"), marker).ok()?;
        }
        let dockerfile = dockerfiles.join(OsStr::from_bytes(&case.dockerfile));
        fs::write(&dockerfile, "FROM scratch\n").ok()?;
        let secrets = directory.join("secrets");
        fs::create_dir_all(&secrets).ok()?;
        let file = secrets.join(&case.secret_file);
        let secret = (case.secret_id != case.variable_id && fs::write(&file, "the secret").is_ok()).then_some(file);
        let words = Self::words(case, &context, &dockerfile, secret.as_deref());
        Some(Self { _place: place, directory, secret, words })
    }

    fn words(case: &Case, context: &Path, dockerfile: &Path, secret: Option<&Path>) -> BuildWords {
        let pairs = |pairs: &[(String, String)]| pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut build_arg: Vec<String> = pairs(&case.build_args);
        build_arg.insert(0, "BUILDKIT_CACHE_MOUNT_NS=namespace".to_owned());
        let annotation = case.annotations.iter().map(|(platform, key, value)| match platform {
            None if !key.contains(':') => format!("{key}={value}"),
            None => format!("manifest:{key}={value}"),
            Some(platform) => format!("manifest[{platform}]:{key}={value}"),
        });
        // Every field in quotes, whether it needs them or not.
        let quoted = |field: String| format!("\"{}\"", field.replace('"', "\"\""));
        let mut secrets = Vec::new();
        if secret.is_some() {
            let source = format!("src=secrets/{}", case.secret_file);
            secrets.push(format!("{},{}", quoted(format!("id={}", case.secret_id)), quoted(source)));
        }
        secrets.push(format!("{},env=SECRET", quoted(format!("id={}", case.variable_id))));
        BuildWords {
            source_date_epoch: Some("0".to_owned()),
            // Two: of one platform all that names it is written as if it did not.
            platform: Some("linux/amd64,linux/arm/v7".to_owned()),
            file: Some(dockerfile.to_owned()),
            label: pairs(&case.labels),
            build_arg,
            annotation: annotation.collect(),
            target: Some(case.target.clone()),
            secret: secrets,
            tag: case.tags.then(|| "registry.example:5000/a/b:1.0".to_owned()).into_iter().collect(),
            context: context.as_os_str().to_owned(),
            ..BuildWords::default()
        }
    }
}
