//! BuildKit in the Docker daemon: a buildx builder of the driver `docker-container`, made for one pin and configuration.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::buildctl::{METADATA, SOLVE_LOG, VERSION, cache_value, exporter_options, ssh_value};
use super::command::ToolCommand;
use super::docker_config::DockerConfig;
use super::steps::{
    Builder, ContainerProof, Documents, Findings, Lock, Query, Step, Steps, csv_field, csv_path, joined,
};
use super::{Site, configuration_slug};
use crate::digest::Digest;
use crate::frontend::{BUILD_ARGUMENT, Override};
use crate::plan::{AnnotationTarget, BuildPlan, Direction, NamedContext, SecretSource, SshSource};

/// What `docker` may see of the caller's environment: where its daemon is, and how to reach it.
const KEEP: [&str; 13] = [
    "PATH",
    "HOME",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKER_API_VERSION",
    "SSH_AUTH_SOCK",
    "XDG_RUNTIME_DIR",
    "TMPDIR",
    // Credential helpers find their keyrings by these.
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
    "PASSWORD_STORE_DIR",
];

/// What docker may see of the caller's environment to find its daemon as it would for the user: everything that names it, and
/// the user's own configuration.
const USER_KEEP: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "DOCKER_CONFIG",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "SSH_AUTH_SOCK",
    "SSH_ASKPASS",
    "XDG_RUNTIME_DIR",
    "TMPDIR",
];

/// `docker` with the user's own configuration, for questions. Builds never run with it.
#[must_use]
pub fn user_docker_command() -> ToolCommand {
    ToolCommand::new("docker", &USER_KEEP)
}

/// The variables of [`KEEP`] that name the daemon, where the private configuration does not.
const NAMES_THE_DAEMON: [&str; 4] = ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"];

/// `docker` with the private configuration, our own buildx state, and nothing of the caller's environment but the daemon.
#[must_use]
pub fn docker_command(private: &Path, state: &Path, config: &DockerConfig) -> ToolCommand {
    let named = |name: &&str| config.secured().is_none() || !NAMES_THE_DAEMON.contains(name);
    let keep: Vec<&str> = KEEP.into_iter().filter(named).collect();
    ToolCommand::new("docker", &keep)
        .env("DOCKER_CONFIG", private.join("docker"))
        .env("BUILDX_CONFIG", buildx_directory(state))
        .env("BUILDX_METADATA_PROVENANCE", "max")
        // buildx would run git in the context, and git runs programs that a hostile repository names.
        .env("BUILDX_GIT_INFO", "false")
        .env("DOCKER_CLI_HINTS", "false")
}

/// Where buildx keeps our builders, apart from the user's.
#[must_use]
pub fn buildx_directory(state: &Path) -> PathBuf {
    state.join("buildx")
}

/// The steps of a build with Docker.
#[must_use]
pub fn steps(plan: &BuildPlan, site: &Site<'_>, config: &DockerConfig) -> Steps {
    let docker = docker_command(site.private, site.state, config);
    let builder = builder_name(plan, site, config);
    let mut prepare = configuration_steps(site.private, site.state, config);
    let toml = site.private.join(super::buildctl::CONFIG);
    if let Some(contents) = site.buildkitd_config {
        prepare.push(Step::File { path: toml.clone(), contents: contents.to_vec() });
    }
    let proof = ContainerProof {
        docker: docker.clone(),
        container: format!("buildx_buildkit_{builder}0"),
        digest: plan.pin.digest.clone(),
        host_network: site.host_network,
    };
    let inspect = docker.clone().args(["buildx", "inspect", builder.as_str()]);
    let remove = docker.clone().args(["buildx", "rm", "--force", builder.as_str()]);
    prepare.push(Step::Builder(Box::new(Builder {
        proof: proof.clone(),
        record: buildx_directory(site.state).join("instances").join(&builder),
        throw_away: plan.no_cache,
        inspect: inspect.clone(),
        create: create_builder(&docker, &builder, site, &toml),
        start: docker.clone().args(["buildx", "inspect", "--bootstrap", builder.as_str()]),
        remove: remove.clone(),
    })));
    // buildx names the copy of the context on the daemon after the directory, and compares only size and time with what it
    // sent under that name before. A name that is new in every build has nothing to be compared with.
    let context = site.private.join(site.private.file_name().unwrap_or_default());
    prepare.push(Step::Link { path: context.clone(), target: plan.context.clone() });
    for (number, directory) in plan.directories().skip(1).enumerate() {
        prepare.push(Step::Link { path: named_link(site, number), target: directory.to_owned() });
    }
    let version = site.private.join(VERSION);
    Steps {
        prepare,
        beside: vec![Query { command: inspect, stdout: version.clone() }],
        solve: docker.args(["buildx", "build"]).args(build_arguments(plan, site, &builder)).arg(context),
        finish: vec![Step::ProveContainer(proof.clone())],
        cleanup: if plan.no_cache { vec![remove] } else { Vec::new() },
        abort: Vec::new(),
        solve_log: site.quiet.then(|| site.private.join(SOLVE_LOG)),
        findings: Findings {
            metadata: site.private.join(METADATA),
            version,
            provenance: None,
            documents: Documents::Container { name: proof.container, state: "/var/lib/buildkit".to_owned() },
        },
        lock: (!plan.no_cache).then(|| Lock {
            path: site.state.join("locks").join(&builder),
            what: "this builder",
            only_to_prepare: true,
        }),
        state: None,
        uses: builder,
    }
}

/// The link to a named context: new in every build as that of the context is, and without characters that buildx splits at.
fn named_link(site: &Site<'_>, number: usize) -> PathBuf {
    site.private.join(format!("{}-{number}", site.unique))
}

/// Makes the private configuration that [`docker_command`] uses.
#[must_use]
pub fn configuration_steps(private: &Path, state: &Path, config: &DockerConfig) -> Vec<Step> {
    let docker = private.join("docker");
    let contexts = docker.join("contexts");
    let mut steps = vec![Step::Directory(docker.clone())];
    steps.push(Step::DockerConfig {
        path: docker.join("config.json"),
        contents: config.private_json(),
        secret: config.has_credentials(),
    });
    if let Some(secured) = config.secured() {
        let name = Digest::of(secured.context().as_bytes());
        let (meta, tls) =
            (contexts.join("meta").join(name.hex()), contexts.join("tls").join(name.hex()).join("docker"));
        steps.extend([Step::Directory(meta.clone()), Step::Directory(tls.clone())]);
        steps.push(Step::File { path: meta.join("meta.json"), contents: secured.meta_json() });
        for file in &secured.files {
            steps.push(Step::Link { path: tls.join(file.file_name().unwrap_or_default()), target: file.clone() });
        }
    } else if let Some(target) = config.contexts_directory() {
        steps.push(Step::Link { path: contexts, target });
    }
    steps.push(Step::Directory(buildx_directory(state)));
    steps
}

/// `repro-v0.19.0-14aa1b4dd92e`, and what else makes a builder another one: its configuration, its network, its daemon.
fn builder_name(plan: &BuildPlan, site: &Site<'_>, config: &DockerConfig) -> String {
    let endpoint = config.endpoint_name();
    let slug = configuration_slug(site, endpoint.as_bytes());
    let name = format!("repro-{}-{slug}", plan.pin.slug());
    if plan.no_cache { format!("{name}-{}", site.unique) } else { name }
}

fn create_builder(docker: &ToolCommand, name: &str, site: &Site<'_>, toml: &Path) -> ToolCommand {
    let mut create = docker
        .clone()
        .args(["buildx", "create", "--driver=docker-container"])
        .arg(joined("--name", name))
        .arg(joined("--driver-opt", csv_field(&format!("image={}", site.image))))
        // Without it BuildKit falls silently to a snapshotter that archives hard links another way.
        .arg("--buildkitd-flags=--oci-worker-snapshotter=overlayfs");
    if site.host_network {
        create = create.arg("--driver-opt=network=host");
    }
    if site.buildkitd_config.is_some() {
        create = create.arg(joined("--buildkitd-config", toml));
    }
    create
}

fn build_arguments(plan: &BuildPlan, site: &Site<'_>, builder: &str) -> Vec<OsString> {
    let mut args: Vec<OsString> =
        vec![joined("--builder", builder), "--provenance=false".into(), "--sbom=false".into()];
    args.push(joined("--progress", site.progress));
    let platforms: Vec<String> = plan.platforms.iter().map(ToString::to_string).collect();
    args.push(joined("--platform", platforms.join(",")));
    args.push(joined("--file", plan.dockerfile.as_os_str()));
    let mut flag = |name: &str, value: String| args.push(joined(name, value));
    if let Some(target) = &plan.target {
        flag("--target", target.clone());
    }
    flag("--build-arg", format!("SOURCE_DATE_EPOCH={}", plan.epoch));
    if !plan.build_args.contains_key("BUILDKIT_CACHE_MOUNT_NS") {
        flag("--build-arg", format!("BUILDKIT_CACHE_MOUNT_NS={}", plan.cache_namespace));
    }
    if let Override::Image(command) = plan.frontend.to_override() {
        flag("--build-arg", format!("{BUILD_ARGUMENT}={command}"));
    }
    for (name, value) in &plan.build_args {
        flag("--build-arg", format!("{name}={value}"));
    }
    for (key, value) in &plan.labels {
        flag("--label", format!("{key}={value}"));
    }
    for annotation in &plan.annotations {
        let platform = annotation.platform.as_ref().map(|platform| format!("[{platform}]")).unwrap_or_default();
        let is_default =
            annotation.target == AnnotationTarget::Manifest && platform.is_empty() && !annotation.key.contains(':');
        let target = if is_default { String::new() } else { format!("{}{platform}:", annotation.target.name()) };
        flag("--annotation", format!("{target}{}={}", annotation.key, annotation.value));
    }
    for tag in &plan.tags {
        flag("--tag", tag.clone());
    }
    let mut output = exporter_options(plan);
    output.push("dest=-".to_owned());
    flag("--output", output.join(","));
    if plan.pull {
        args.push("--pull".into());
    }
    args.extend(input_arguments(plan, site));
    args.push(joined("--metadata-file", site.private.join(METADATA)));
    args.extend(site.extra_args.iter().map(OsString::from));
    args.push(OsStr::new("--").to_owned());
    args
}

/// What the build reads besides the context, and its caches.
fn input_arguments(plan: &BuildPlan, site: &Site<'_>) -> Vec<OsString> {
    let mut args = Vec::new();
    for secret in &plan.secrets {
        let source = match &secret.source {
            SecretSource::File(path) => csv_path("src=", path),
            SecretSource::Env(name) => csv_field(&format!("env={name}")).into(),
        };
        args.push(joined("--secret", [csv_field(&format!("id={}", secret.id)).into(), source].join(OsStr::new(","))));
    }
    for ssh in &plan.ssh {
        let paths: Vec<&OsStr> = match &ssh.source {
            SshSource::Agent => Vec::new(),
            SshSource::Paths(paths) => paths.iter().map(|path| path.as_os_str()).collect(),
        };
        args.push(joined("--ssh", ssh_value(&ssh.id, &paths)));
    }
    let mut directories = 0;
    let mut link = || {
        directories += 1;
        named_link(site, directories - 1)
    };
    for (name, context) in &plan.build_contexts {
        let source: OsString = match context {
            NamedContext::Directory(_) => link().into(),
            NamedContext::Image(reference) => format!("docker-image://{reference}").into(),
            NamedContext::Layout { digest, .. } => format!("oci-layout://{}@{digest}", link().display()).into(),
        };
        let mut value = OsString::from(name);
        value.push("=");
        value.push(source);
        args.push(joined("--build-context", value));
    }
    for cache in &plan.cache_from {
        args.push(joined("--cache-from", cache_value(cache, Direction::From, Path::to_owned)));
    }
    for cache in &plan.cache_to {
        args.push(joined("--cache-to", cache_value(cache, Direction::To, Path::to_owned)));
    }
    args
}

/// The variables that buildx reads itself.
#[must_use]
pub fn with_variables(mut command: ToolCommand, plan: &BuildPlan) -> ToolCommand {
    command.secret.extend(plan.variables().map(str::to_owned));
    command
}
