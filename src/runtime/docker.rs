//! BuildKit in the Docker daemon: a buildx builder of the driver `docker-container`, made for one pin and configuration.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::buildctl::{
    AUTHORITIES, METADATA, PROVENANCES, SOLVE_LOG, VERSION, cache_value, exporter_options, run_proxies, ssh_value,
};
use super::command::ToolCommand;
use super::docker_config::DockerConfig;
use super::steps::{
    Builder, CachePlace, ContainerProof, Documents, Findings, Lock, Query, Step, Steps, csv_field, csv_path, joined,
};
use super::{Site, authority_directories, configuration_slug, with_proxy};
use crate::digest::Digest;
use crate::frontend::{BUILD_ARGUMENT, Override};
use crate::network::{Proxy, RunNetwork};
use crate::plan::{
    AnnotationTarget, BuildPlan, CACHE_MOUNT_NAMESPACE, Direction, NamedContext, SecretSource, SshSource,
};

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
    let mut prepare = configuration_steps(site.private, site.state, config, site.registries);
    let toml = site.private.join(super::buildctl::CONFIG);
    let authorities = site.private.join("authorities");
    if !site.route.authorities.is_empty() {
        prepare.push(Step::Directory(authorities.clone()));
        let contents = site.route.authorities.clone();
        prepare.push(Step::File { path: authorities.join(AUTHORITIES), contents });
    }
    if let Some(contents) = builder_config(site, &authorities) {
        prepare.push(Step::File { path: toml.clone(), contents });
    }
    let proof = ContainerProof {
        docker: docker.clone(),
        container: container_of(&builder),
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
        create: create_builder(&docker, &builder, plan, site, &toml),
        start: docker.clone().args(["buildx", "inspect", "--bootstrap", builder.as_str()]),
        remove: remove.clone(),
    })));
    if !site.route.authorities.is_empty() {
        prepare.push(git_authorities(&docker, &proof.container));
    }
    prepare.extend(context_links(plan, site));
    let version = site.private.join(VERSION);
    let mut finish = vec![Step::ProveContainer(proof.clone())];
    let (several, records) = (plan.platforms.len() > 1, site.private.join(RECORDS));
    if several {
        // Of several platforms buildx finds no provenance: it looks for one of the index, and each platform has its own.
        let command = docker.clone().args([
            "exec",
            proof.container.as_str(),
            "buildctl",
            "debug",
            "histories",
            "--format",
            PROVENANCES,
        ]);
        finish.push(Step::Ask(Query { command, stdout: records.clone() }));
    }
    Steps {
        prepare,
        copy: Vec::new(),
        beside: vec![Query { command: inspect, stdout: version.clone() }],
        solve: client(docker, site, daemon_host(config).as_deref(), &authorities)
            .args(["buildx", "build"])
            .args(build_arguments(plan, site, &builder))
            .arg(context_link(site)),
        finish,
        cleanup: if plan.no_cache { vec![remove] } else { Vec::new() },
        abort: Vec::new(),
        solve_log: site.quiet.then(|| site.private.join(SOLVE_LOG)),
        findings: Findings {
            metadata: site.private.join(METADATA),
            version,
            provenance: None,
            records: several.then_some(records),
            documents: Documents::Container { name: proof.container, state: "/var/lib/buildkit".to_owned() },
            user_ids: None,
        },
        lock: (!plan.no_cache).then(|| Lock {
            path: site.state.join("locks").join(&builder),
            what: "this builder",
            only_to_prepare: true,
            cache: CachePlace::DockerVolume(volume_of(&builder)),
        }),
        state: None,
        uses: builder,
    }
}

/// The file with the records of the daemon's builds.
const RECORDS: &str = "records";

/// Links to the directories that the build reads.
#[must_use]
pub fn context_links(plan: &BuildPlan, site: &Site<'_>) -> Vec<Step> {
    let mut links = vec![Step::Link { path: context_link(site), target: plan.context.clone() }];
    let named = plan.directories().skip(1).enumerate();
    links.extend(
        named.map(|(number, directory)| Step::Link { path: named_link(site, number), target: directory.to_owned() }),
    );
    links
}

/// The link to the context. buildx names the copy of the context on the daemon after the directory, and compares only size and
/// time with what it sent under that name before. A name that is new in every build has nothing to be compared with.
#[must_use]
pub fn context_link(site: &Site<'_>) -> PathBuf {
    site.private.join(site.private.file_name().unwrap_or_default())
}

/// The container that buildx makes for a builder's only node.
#[must_use]
pub fn container_of(builder: &str) -> String {
    format!("buildx_buildkit_{builder}0")
}

/// The volume that buildx makes for a builder's cache, and finds again where a builder of that name is made anew.
#[must_use]
pub fn volume_of(builder: &str) -> String {
    format!("{}_state", container_of(builder))
}

/// The link to a named context: new in every build as that of the context is, and without characters that buildx splits at.
fn named_link(site: &Site<'_>, number: usize) -> PathBuf {
    site.private.join(format!("{}-{number}", site.unique))
}

/// Makes the private configuration that [`docker_command`] uses.
#[must_use]
pub fn configuration_steps(private: &Path, state: &Path, config: &DockerConfig, registries: &[String]) -> Vec<Step> {
    let mut steps = private_configuration(private, config, registries);
    steps.push(Step::Directory(buildx_directory(state)));
    steps
}

/// The same, without a place for buildx's builders.
#[must_use]
pub fn private_configuration(private: &Path, config: &DockerConfig, registries: &[String]) -> Vec<Step> {
    let docker = private.join("docker");
    let contexts = docker.join("contexts");
    let mut steps = vec![Step::Directory(docker.clone())];
    steps.push(Step::DockerConfig {
        path: docker.join("config.json"),
        registries: registries.to_vec(),
        credentials_only: false,
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
    steps
}

/// `repro-v0.19.0-14aa1b4dd92e`, and what else makes a builder another one: its configuration, its network, its daemon.
fn builder_name(plan: &BuildPlan, site: &Site<'_>, config: &DockerConfig) -> String {
    let endpoint = config.endpoint_name();
    // The container keeps the proxy as it is, so that another password makes another builder.
    let password =
        site.route.proxy.as_ref().and_then(Proxy::hidden).map_or_else(String::new, |hidden| hidden.fingerprint());
    let slug = configuration_slug(plan, site, format!("{endpoint}{password}").as_bytes());
    let name = format!("repro-{}-{slug}", plan.pin.slug());
    if plan.no_cache { format!("{name}-{}", site.unique) } else { name }
}

/// The directory in the container that buildx copies the authorities of a registry to (buildx, util/confutil/container.go).
const AUTHORITIES_INSIDE: &str = "/etc/buildkit/certs/repro.invalid";

/// The buildkitd.toml of the builder. buildx copies only certificates that a registry of it names: they are those of one that
/// cannot be, and a variable makes them everybody's.
fn builder_config(site: &Site<'_>, authorities: &Path) -> Option<Vec<u8>> {
    let own = site.buildkitd_config.map(<[u8]>::to_vec);
    if site.route.authorities.is_empty() {
        return own;
    }
    let mut config = own.unwrap_or_default();
    let file = authorities.join(AUTHORITIES).to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    config.extend_from_slice(format!("\n[registry.\"repro.invalid\"]\nca = [\"{file}\"]\n").as_bytes());
    Some(config)
}

/// Git in the builder knows one file of authorities, and BuildKit hands it no variable that names another.
fn git_authorities(docker: &ToolCommand, container: &str) -> Step {
    let mark = format!("{AUTHORITIES_INSIDE}/known-to-git");
    let append = format!("cat {AUTHORITIES_INSIDE}/{AUTHORITIES} >>/etc/ssl/certs/ca-certificates.crt && : >{mark}");
    let inside = docker.clone().args(["exec", "--user=0", container]);
    Step::Ensure {
        probe: inside.clone().args(["test", "-e"]).arg(mark),
        otherwise: inside.args(["sh", "-c"]).arg(append),
    }
}

/// The client with what it needs to fetch tokens for the daemon, which it does by itself, and with what RUN is told. `daemon`
/// is the host of a daemon that is reached over the network.
#[must_use]
pub fn client(docker: ToolCommand, site: &Site<'_>, daemon: Option<&str>, authorities: &Path) -> ToolCommand {
    let mut client = with_proxy(docker, site.route.proxy.as_ref());
    if let (Some(proxy), Some(host)) = (&site.route.proxy, daemon) {
        // The daemon is reached as ever.
        let direct = format!("{},{host}", proxy.no_proxy());
        client = client.env("NO_PROXY", direct.clone()).env("no_proxy", direct);
    }
    if !site.route.authorities.is_empty() {
        client = client.env("SSL_CERT_DIR", authority_directories(authorities));
    }
    client
}

/// The host of a daemon that is reached over the network.
fn daemon_host(config: &DockerConfig) -> Option<String> {
    let address = config.endpoint_address()?;
    let rest = ["tcp://", "http://", "https://"].iter().find_map(|scheme| address.strip_prefix(scheme))?;
    let host = rest.split('/').next()?;
    Some(host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']).to_owned())
}

fn create_builder(docker: &ToolCommand, name: &str, plan: &BuildPlan, site: &Site<'_>, toml: &Path) -> ToolCommand {
    // Without the snapshotter BuildKit falls silently to one that archives hard links another way.
    let mut flags = "--oci-worker-snapshotter=overlayfs".to_owned();
    if plan.network == RunNetwork::Host {
        flags.push_str(" --allow-insecure-entitlement=network.host");
    }
    let mut create = docker
        .clone()
        .args(["buildx", "create", "--driver=docker-container"])
        .arg(joined("--name", name))
        .arg(joined("--driver-opt", csv_field(&format!("image={}", site.image))))
        .arg(joined("--buildkitd-flags", flags));
    if site.host_network {
        create = create.arg("--driver-opt=network=host");
    }
    if site.buildkitd_config.is_some() || !site.route.authorities.is_empty() {
        create = create.arg(joined("--buildkitd-config", toml));
    }
    let option = |name: &str, value: &str| joined("--driver-opt", csv_field(&format!("env.{name}={value}")));
    if !site.route.authorities.is_empty() {
        let list = authority_directories(Path::new(AUTHORITIES_INSIDE));
        create = create.arg(option("SSL_CERT_DIR", &list.to_string_lossy()));
    }
    if let Some(proxy) = &site.route.proxy {
        for (name, value) in proxy.variables() {
            create = create.arg(option(name, &value));
        }
        create.hidden = proxy.hidden();
    }
    create
}

/// The arguments behind `docker buildx build`, but for the context.
pub fn build_arguments(plan: &BuildPlan, site: &Site<'_>, builder: &str) -> Vec<OsString> {
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
    if !plan.build_args.contains_key(CACHE_MOUNT_NAMESPACE) {
        flag("--build-arg", format!("{CACHE_MOUNT_NAMESPACE}={}", plan.cache_namespace));
    }
    if let Override::Image(command) = plan.frontend.to_override() {
        flag("--build-arg", format!("{BUILD_ARGUMENT}={command}"));
    }
    for (name, value) in &plan.build_args {
        flag("--build-arg", format!("{name}={value}"));
    }
    for (name, value) in run_proxies(plan, site.route) {
        // Without a value the client takes that of its own variable: a password then stands in no argument.
        flag("--build-arg", if name == "NO_PROXY" { format!("{name}={value}") } else { name.to_owned() });
    }
    if plan.network != RunNetwork::Default {
        flag("--network", plan.network.name().to_owned());
    }
    for host in &plan.hosts {
        flag("--add-host", host.to_string());
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
