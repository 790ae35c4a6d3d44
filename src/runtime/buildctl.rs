//! The client `buildctl`, on a daemon that `repro` starts for one build and owns: in Podman's container, and as a child.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::steps::{Documents, Findings, csv_field, csv_path, joined};
use crate::plan::{AnnotationTarget, BuildPlan, MediaTypes, SecretSource};

/// The paths of a build as the client sees them: inside a container they are others than outside.
pub struct ClientPaths<'a> {
    /// The context.
    pub context: &'a Path,
    /// The directory of the Dockerfile.
    pub dockerfile_directory: &'a Path,
    /// The private directory.
    pub work: &'a Path,
    /// The file of each secret of the plan, in the same order; unused where the secret is a variable.
    pub secrets: &'a [std::path::PathBuf],
}

/// Names of the files in the private directory that the script below writes.
pub const METADATA: &str = "metadata.json";
/// The provenance of the build.
pub const PROVENANCE: &str = "provenance.json";
/// The documents of the images that the build read, each in a file named like the digest's hexadecimal part.
pub const BLOBS: &str = "blobs";
/// What the daemon says about itself.
pub const VERSION: &str = "version";
/// The script's own name.
pub const SCRIPT: &str = "build.sh";
/// The daemon's configuration.
pub const CONFIG: &str = "buildkitd.toml";

/// What the script below leaves in the private directory.
#[must_use]
pub fn findings(work: &Path) -> Findings {
    Findings {
        metadata: work.join(METADATA),
        version: work.join(VERSION),
        provenance: Some(work.join(PROVENANCE)),
        documents: Documents::Directory(work.join(BLOBS)),
    }
}

/// The exporter's options, the same words for both clients but for annotations, whose keys buildctl lower-cases.
#[must_use]
pub fn exporter_options(plan: &BuildPlan) -> Vec<String> {
    vec![
        format!("type={}", plan.archive.exporter()),
        format!("oci-mediatypes={}", plan.media_types == MediaTypes::Oci),
        "compression=gzip".to_owned(),
        "rewrite-timestamp=true".to_owned(),
    ]
}

/// The arguments behind `buildctl build`.
#[must_use]
pub fn build_arguments(plan: &BuildPlan, paths: &ClientPaths<'_>, extra: &[String]) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["--frontend=dockerfile.v0".into(), "--progress=plain".into()];
    let local = |name: &str, path: &Path| {
        let mut value = OsString::from(name);
        value.push("=");
        value.push(path);
        joined("--local", value)
    };
    args.push(local("context", paths.context));
    args.push(local("dockerfile", paths.dockerfile_directory));
    let mut filename = OsString::from("filename=");
    filename.push(plan.dockerfile.file_name().unwrap_or_default());
    args.push(joined("--opt", filename));
    let mut option = |text: String| args.push(joined("--opt", text));
    let platforms: Vec<String> = plan.platforms.iter().map(ToString::to_string).collect();
    option(format!("platform={}", platforms.join(",")));
    if let Some(target) = &plan.target {
        option(format!("target={target}"));
    }
    option(format!("build-arg:SOURCE_DATE_EPOCH={}", plan.epoch));
    if !plan.build_args.contains_key("BUILDKIT_CACHE_MOUNT_NS") {
        option(format!("build-arg:BUILDKIT_CACHE_MOUNT_NS={}", plan.cache_namespace));
    }
    for (name, value) in &plan.build_args {
        option(format!("build-arg:{name}={value}"));
    }
    for (key, value) in &plan.labels {
        option(format!("label:{key}={value}"));
    }
    for (secret, file) in plan.secrets.iter().zip(paths.secrets) {
        let source = match &secret.source {
            SecretSource::File(_) => csv_path("src", file),
            SecretSource::Env(name) => csv_field(&format!("env={name}")).into(),
        };
        let id = OsString::from(csv_field(&format!("id={}", secret.id)));
        args.push(joined("--secret", [id, source].join(OsStr::new(","))));
    }
    args.push(joined("--output", output_value(plan)));
    let mut file = |flag: &str, name: &str| args.push(joined(flag, paths.work.join(name).into_os_string()));
    file("--metadata-file", METADATA);
    file("--ref-file", "ref");
    args.extend(extra.iter().map(OsString::from));
    args
}

/// The value of `--output`: without `dest` the archive goes to stdout.
fn output_value(plan: &BuildPlan) -> String {
    let mut fields = exporter_options(plan);
    if !plan.tags.is_empty() {
        fields.push(format!("name={}", plan.tags.join(",")));
    }
    for annotation in &plan.annotations {
        let target = match annotation.target {
            AnnotationTarget::Manifest => "annotation".to_owned(),
            other => format!("annotation-{}", other.name()),
        };
        let target = match (&annotation.platform, annotation.target) {
            (Some(platform), AnnotationTarget::Manifest) => format!("annotation-manifest[{platform}]"),
            (Some(platform), _) => format!("{target}[{platform}]"),
            (None, _) => target,
        };
        fields.push(format!("{target}.{}={}", annotation.key, annotation.value));
    }
    fields.iter().map(|field| csv_field(field)).collect::<Vec<_>>().join(",")
}

/// What the script runs, each a full argument vector.
pub struct DaemonScript<'a> {
    /// buildkitd with everything but its log.
    pub daemon: &'a [OsString],
    /// buildctl with the daemon's address.
    pub client: &'a [OsString],
    /// What follows `buildctl build`.
    pub build: &'a [OsString],
    /// The private directory as the script sees it.
    pub work: &'a Path,
    /// The daemon's state as the script sees it.
    pub state: &'a Path,
    /// Removes throw-away state.
    pub discard: Option<&'a [OsString]>,
}

/// A POSIX shell script that starts a daemon, builds once with the archive on stdout, asks for the provenance, and stops
/// the daemon again. The same text runs in a container, on the host, and from a dry run.
///
/// `quote` quotes one word for a shell.
pub fn render_daemon_script(script: &DaemonScript<'_>, quote: &dyn Fn(&OsStr) -> Vec<u8>) -> Vec<u8> {
    let words = |words: &[OsString]| words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(&b' ');
    let discard = script.discard.map_or_else(|| b":".to_vec(), words);
    let mut text = Vec::new();
    for line in include_str!("daemon.sh").split_inclusive('\n') {
        match line.trim_end() {
            "work=@WORK@" => text.extend([b"work=".as_slice(), &quote(script.work.as_os_str()), b"\n"].concat()),
            "state=@STATE@" => text.extend([b"state=".as_slice(), &quote(script.state.as_os_str()), b"\n"].concat()),
            "daemon() { @DAEMON@; }" => {
                text.extend([b"daemon() { exec ".as_slice(), &words(script.daemon), b"; }\n"].concat());
            }
            "client() { @CLIENT@; }" => {
                text.extend([b"client() { ".as_slice(), &words(script.client), b" \"$@\"; }\n"].concat());
            }
            "solve() { @SOLVE@; }" => {
                let head = [b"solve() { exec ".as_slice(), &words(script.client), b" build "].concat();
                text.extend([&head, &words(script.build), b"; }\n".as_slice()].concat());
            }
            "discard() { @DISCARD@; }" => text.extend([b"discard() { ".as_slice(), &discard, b"; }\n"].concat()),
            _ => text.extend(line.as_bytes()),
        }
    }
    text
}
