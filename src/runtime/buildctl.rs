//! The client `buildctl`, on a daemon that `repro` starts for one build and owns: in Podman's container, and as a child.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::Site;
use super::script::quote;
use super::steps::{Documents, Findings, Step, csv_field, csv_path, joined};
use crate::frontend::{BUILD_ARGUMENT, BUILTIN, Override};
use crate::network::{Proxy, Route, RunNetwork};
use crate::plan::{
    AnnotationTarget, BuildPlan, CACHE_MOUNT_NAMESPACE, Cache, CacheKind, Direction, MediaTypes, NamedContext,
    SecretSource, SshSource,
};

/// The paths of a build as the client sees them: inside a container they are others than outside.
pub struct ClientPaths<'a> {
    /// The context.
    pub context: &'a Path,
    /// The directory of the Dockerfile.
    pub dockerfile_directory: &'a Path,
    /// The private directory.
    pub work: &'a Path,
    /// Where everything else is that the plan names, where that is not where it is on the host.
    pub elsewhere: &'a BTreeMap<PathBuf, PathBuf>,
    /// The socket of the SSH agent, where the client's own variable does not lead to it.
    pub agent: Option<&'a Path>,
}

impl ClientPaths<'_> {
    fn see<'a>(&'a self, path: &'a Path) -> &'a Path {
        self.elsewhere.get(path).map_or(path, PathBuf::as_path)
    }
}

/// Names of the files in the private directory that the script below writes.
pub const METADATA: &str = "metadata.json";
/// The provenance of the build.
pub const PROVENANCE: &str = "provenance.json";
/// The documents of the images that the build read, each in a file named like the digest's hexadecimal part.
pub const BLOBS: &str = "blobs";
/// What the daemon says about itself.
pub const VERSION: &str = "version";
/// The first line of `/proc/self/uid_map` where the script ran.
pub const USER_IDS: &str = "uid_map";
/// What the client said, when nobody wants to see it.
pub const SOLVE_LOG: &str = "solve.log";
/// The script's own name.
pub const SCRIPT: &str = "build.sh";
/// The user's certificate authorities.
pub const AUTHORITIES: &str = "ca.crt";
/// The client's configuration, with credentials.
pub const CREDENTIALS: &str = "docker/config.json";
/// The daemon's configuration.
pub const CONFIG: &str = "buildkitd.toml";

/// What the script below leaves in the private directory.
#[must_use]
pub fn findings(work: &Path) -> Findings {
    Findings {
        metadata: work.join(METADATA),
        version: work.join(VERSION),
        provenance: Some(work.join(PROVENANCE)),
        records: None,
        documents: Documents::Directory(work.join(BLOBS)),
        user_ids: None,
    }
}

/// The exporter's options, the same words for both clients but for annotations, whose keys buildctl lower-cases.
#[must_use]
pub fn exporter_options(plan: &BuildPlan) -> Vec<String> {
    let mut options = vec![
        format!("type={}", plan.archive.exporter()),
        format!("oci-mediatypes={}", plan.media_types == MediaTypes::Oci),
        format!("compression={}", plan.compression.algorithm.name()),
        format!("rewrite-timestamp={}", plan.rewrite_timestamp),
    ];
    options.extend(plan.compression.level.map(|level| format!("compression-level={level}")));
    if plan.compression.force {
        options.push("force-compression=true".to_owned());
    }
    options
}

/// A cache in the words of both clients.
#[must_use]
pub fn cache_value(cache: &Cache, direction: Direction, see: impl Fn(&Path) -> PathBuf) -> OsString {
    let field = match &cache.kind {
        CacheKind::Registry(name) => ["type=registry".into(), csv_path("ref=", Path::new(name))],
        CacheKind::Local(path) => ["type=local".into(), csv_path(&format!("{}=", direction.path_option()), &see(path))],
        CacheKind::Gha => ["type=gha".into(), OsString::new()],
    };
    let options = cache.options.iter().map(|option| csv_field(option).into());
    let fields: Vec<OsString> = field.into_iter().filter(|field| !field.is_empty()).chain(options).collect();
    fields.join(OsStr::new(","))
}

/// What of a plan this client would not hand on as it is: the flag, and why.
#[must_use]
pub fn refusal(plan: &BuildPlan) -> Option<(&'static str, &'static str)> {
    // Not only capital letters: Go has lower case for title case as well.
    let is_lower = |c: char| c.to_lowercase().eq(std::iter::once(c));
    let upper = plan.annotations.iter().any(|annotation| !annotation.key.chars().all(is_lower));
    upper.then_some(("--annotation with a key in upper case", "buildctl makes it lower case"))
}

/// The arguments behind `buildctl build`.
#[must_use]
pub fn build_arguments(plan: &BuildPlan, paths: &ClientPaths<'_>, site: &Site<'_>) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["--frontend=dockerfile.v0".into(), joined("--progress", site.progress)];
    args.push(joined("--local", pair("context", paths.context)));
    args.push(joined("--local", pair("dockerfile", paths.dockerfile_directory)));
    let filename = Path::new(plan.dockerfile.file_name().unwrap_or_default());
    args.push(joined("--opt", pair("filename", filename)));
    args.extend(frontend_options(plan, site.route).into_iter().map(|option| joined("--opt", option)));
    if plan.network == RunNetwork::Host {
        args.push("--allow=network.host".into());
    }
    for (number, (name, context)) in plan.build_contexts.iter().enumerate() {
        let mut option = |value: String| args.push(joined("--opt", format!("context:{name}={value}")));
        match context {
            NamedContext::Directory(path) => {
                // Two names are taken, and buildx calls these the same (`build/opt.go`).
                let taken = matches!(name.as_str(), "context" | "dockerfile");
                let local = if taken { format!("_{name}") } else { name.clone() };
                option(format!("local:{local}"));
                args.push(joined("--local", pair(&local, paths.see(path))));
            }
            NamedContext::Image(reference) => option(format!("docker-image://{reference}")),
            NamedContext::Layout { directory, digest } => {
                // BuildKit takes this for a reference and drops its tag.
                let store = format!("layout-{number}");
                option(format!("oci-layout://{store}@{digest}"));
                args.push(joined("--oci-layout", pair(&store, paths.see(directory))));
            }
        }
    }
    for secret in &plan.secrets {
        let source = match &secret.source {
            SecretSource::File(path) => csv_path("src=", paths.see(path)),
            SecretSource::Env(name) => csv_field(&format!("env={name}")).into(),
        };
        args.push(joined("--secret", [csv_field(&format!("id={}", secret.id)).into(), source].join(OsStr::new(","))));
    }
    for ssh in &plan.ssh {
        let sources: Vec<&OsStr> = match &ssh.source {
            SshSource::Agent => paths.agent.into_iter().map(Path::as_os_str).collect(),
            SshSource::Paths(keys) => keys.iter().map(|key| paths.see(key).as_os_str()).collect(),
        };
        args.push(joined("--ssh", ssh_value(&ssh.id, &sources)));
    }
    let see = |path: &Path| paths.see(path).to_owned();
    for cache in &plan.cache_from {
        args.push(joined("--import-cache", cache_value(cache, Direction::From, see)));
    }
    for cache in &plan.cache_to {
        args.push(joined("--export-cache", cache_value(cache, Direction::To, see)));
    }
    args.push(joined("--output", output_value(plan)));
    let mut file = |flag: &str, name: &str| args.push(joined(flag, paths.work.join(name).into_os_string()));
    file("--metadata-file", METADATA);
    file("--ref-file", "ref");
    let mut args: Vec<OsString> = args.into_iter().flat_map(keep_white_space).collect();
    args.extend(site.extra_args.iter().map(OsString::from));
    args
}

/// A flag and its value as two words, where it matters.
///
/// buildctl of v0.31 cuts the white space off the end of a word that begins with dashes (urfave/cli/v3, command_parse.go), but
/// not off a value that is a word of its own. None of our values that can end so begins with a dash.
fn keep_white_space(word: OsString) -> Vec<OsString> {
    if !word.to_string_lossy().ends_with(char::is_whitespace) {
        return vec![word];
    }
    let parts: Vec<&[u8]> = word.as_bytes().splitn(2, |byte| *byte == b'=').collect();
    parts.into_iter().map(|part| OsStr::from_bytes(part).to_owned()).collect()
}

/// `name=path`.
fn pair(name: &str, path: &Path) -> OsString {
    let mut value = OsString::from(name);
    value.push("=");
    value.push(path);
    value
}

/// `id`, or `id=path,path`, which both clients split at commas whatever one does.
#[must_use]
pub fn ssh_value(id: &str, paths: &[&OsStr]) -> OsString {
    if paths.is_empty() { id.into() } else { pair(id, Path::new(&paths.join(OsStr::new(",")))) }
}

/// What the frontend is told.
fn frontend_options(plan: &BuildPlan, route: &Route) -> Vec<String> {
    let platforms: Vec<String> = plan.platforms.iter().map(ToString::to_string).collect();
    let mut options = vec![format!("platform={}", platforms.join(","))];
    if let Some(target) = &plan.target {
        options.push(format!("target={target}"));
    }
    if plan.pull {
        options.push("image-resolve-mode=pull".to_owned());
    }
    options.push(format!("build-arg:SOURCE_DATE_EPOCH={}", plan.epoch));
    if !plan.build_args.contains_key(CACHE_MOUNT_NAMESPACE) {
        options.push(format!("build-arg:{CACHE_MOUNT_NAMESPACE}={}", plan.cache_namespace));
    }
    match plan.frontend.to_override() {
        Override::Nothing => {}
        // The frontend of BuildKit looks for a `# syntax=` line only where nobody forwarded to it already, which this says.
        Override::Builtin => options.push(format!("cmdline={BUILTIN}")),
        Override::Image(command) => options.push(format!("build-arg:{BUILD_ARGUMENT}={command}")),
    }
    options.extend(plan.build_args.iter().map(|(name, value)| format!("build-arg:{name}={value}")));
    options.extend(run_proxies(plan, route).into_iter().map(|(name, value)| format!("build-arg:{name}={value}")));
    options.extend(plan.labels.iter().map(|(key, value)| format!("label:{key}={value}")));
    if plan.network != RunNetwork::Default {
        options.push(format!("force-network-mode={}", plan.network.name()));
    }
    if !plan.hosts.is_empty() {
        let hosts: Vec<String> = plan.hosts.iter().map(ToString::to_string).collect();
        options.push(format!("add-hosts={}", hosts.join(",")));
    }
    options
}

/// The proxies that RUN is told: BuildKit knows these arguments, and keeps them out of the image and of its cache's keys.
/// What the user's own build arguments say wins.
#[must_use]
pub fn run_proxies(plan: &BuildPlan, route: &Route) -> Vec<(&'static str, String)> {
    let Some(proxy) = route.proxy.as_ref().filter(|_| route.proxy_in_run) else { return Vec::new() };
    let given = |name: &str| plan.build_args.keys().any(|key| key.eq_ignore_ascii_case(name));
    // BuildKit sets the lower case ones as well.
    let upper = |name: &str| name.starts_with(|c: char| c.is_ascii_uppercase());
    proxy.variables().into_iter().filter(|(name, _)| upper(name) && !given(name)).collect()
}

/// What both kinds of daemon of our own find in the private directory: configuration, authorities, credentials.
#[must_use]
pub fn prepare_daemon(site: &Site<'_>, work: &Path, config: Vec<u8>) -> Vec<Step> {
    let mut steps = vec![Step::Directory(work.to_owned()), Step::File { path: work.join(CONFIG), contents: config }];
    if !site.route.authorities.is_empty() {
        steps.push(Step::File { path: work.join(AUTHORITIES), contents: site.route.authorities.clone() });
    }
    steps.push(Step::Directory(work.join("docker")));
    steps.push(Step::DockerConfig {
        path: work.join(CREDENTIALS),
        registries: site.registries.to_vec(),
        credentials_only: true,
    });
    steps
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
    /// The daemon's socket as the script sees it.
    pub socket: &'a Path,
    /// Removes throw-away state.
    pub discard: Option<&'a [OsString]>,
    /// Ends the container whose name follows; nothing where all ends with a namespace of the daemon's own.
    pub reap: Option<&'a [OsString]>,
    /// How servers are reached.
    pub route: &'a Route,
}

/// For each platform of each build that a daemon remembers: which build, and the digest of its provenance. A template of Go, for
/// `buildctl debug histories`. A build for one platform that was not asked for has a result of its own.
pub const PROVENANCES: &str = r#"{{$r := .Record}}{{range $k, $v := $r.Results}}{{range $v.Attestations}}{{$r.Ref}} {{.Digest}}{{"\n"}}{{end}}{{end}}{{with $r.Result}}{{range .Attestations}}{{$r.Ref}} {{.Digest}}{{"\n"}}{{end}}{{end}}"#;

/// A POSIX shell script that starts a daemon, builds once with the archive on stdout, asks for the provenance, and stops
/// the daemon again. The same text runs in a container, on the host, and from a dry run.
///
/// A proxy's password stands in the environment alone, where the script finds it.
#[must_use]
pub fn render_daemon_script(script: &DaemonScript<'_>) -> Vec<u8> {
    let hidden = script.route.proxy.as_ref().and_then(Proxy::hidden);
    let word = |word: &OsString| match &hidden {
        Some(hidden) => {
            hidden.pieces(word).iter().map(|piece| quote(piece)).collect::<Vec<_>>().join(b"\"$HTTP_PROXY\"".as_slice())
        }
        None => quote(word),
    };
    let words = |words: &[OsString]| words.iter().map(word).collect::<Vec<_>>().join(&b' ');
    let discard = script.discard.map_or_else(|| b":".to_vec(), words);
    let reap = script.reap.map_or_else(|| b":".to_vec(), |command| [&words(command), b" \"$1\"".as_slice()].concat());
    let mut text = Vec::new();
    for line in include_str!("daemon.sh").split_inclusive('\n') {
        match line.trim_end() {
            "work=@WORK@" => text.extend([b"work=".as_slice(), &quote(script.work.as_os_str()), b"\n"].concat()),
            "state=@STATE@" => text.extend([b"state=".as_slice(), &quote(script.state.as_os_str()), b"\n"].concat()),
            "socket=@SOCKET@" => {
                text.extend([b"socket=".as_slice(), &quote(script.socket.as_os_str()), b"\n"].concat());
            }
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
            "\tformat=@PROVENANCES@" => {
                // There is no such quote in it, and nothing is easier to read.
                text.extend(["\tformat='", PROVENANCES, "'\n"].concat().as_bytes());
            }
            "discard() { @DISCARD@; }" => text.extend([b"discard() { ".as_slice(), &discard, b"; }\n"].concat()),
            "reap() { @REAP@; }" => text.extend([b"reap() { ".as_slice(), &reap, b"; }\n"].concat()),
            _ => text.extend(line.as_bytes()),
        }
    }
    text
}
