//! BuildKit in a container of Podman: the pinned image runs buildkitd and buildctl for one build, and ends.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::buildctl::{
    self, AUTHORITIES, CONFIG, CREDENTIALS, ClientPaths, DaemonScript, SCRIPT, SOLVE_LOG, USER_IDS, build_arguments,
    findings, prepare_daemon, render_daemon_script,
};
use super::command::ToolCommand;
use super::steps::{CachePlace, Findings, Lock, Step, Steps, csv_path, joined};
use super::{Site, authority_directories, configuration_slug, with_proxy};
use crate::network::RunNetwork;
use crate::pin::Variant;
use crate::plan::BuildPlan;

/// What `podman` may see of the caller's environment: its own configuration and the user's session.
const KEEP: [&str; 15] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    "REGISTRY_AUTH_FILE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

const WORK: &str = "/repro/work";
const CONTEXT: &str = "/repro/context";
const DOCKERFILE: &str = "/repro/dockerfile";
const INPUTS: &str = "/repro/inputs";
const OUTPUTS: &str = "/repro/outputs";
const AGENT: &str = "/repro/agent";

/// `podman`, with nothing of the caller's environment but its own configuration.
#[must_use]
pub fn podman_command() -> ToolCommand {
    ToolCommand::new("podman", &KEEP)
}

/// What of a plan Podman would not hand on as it is: the flag, and why.
#[must_use]
pub fn refusal(plan: &BuildPlan, site: &Site<'_>) -> Option<(&'static str, &'static str)> {
    let own = [site.private, plan.context.as_path()].into_iter().chain(plan.dockerfile.parent()).chain(site.ssh_agent);
    let mounted = own.chain(plan.inputs()).chain(plan.outputs());
    let odd = mounted.into_iter().find_map(|path| match path.to_str() {
        // What is not text becomes another path in the JSON that it hands to runc.
        None => Some(("a path that is not UTF-8", "Podman would mount another one")),
        // Go's encoding/csv makes the two one, also in quotes.
        Some(text) if text.contains("\r\n") => {
            Some(("a path with a carriage return before a line feed", "Podman would mount another one"))
        }
        Some(_) => None,
    });
    odd.or_else(|| buildctl::refusal(plan))
}

/// The steps of a build with Podman.
#[must_use]
pub fn steps(plan: &BuildPlan, site: &Site<'_>, variant: Variant) -> Steps {
    let podman = podman_command();
    let work = site.private.join("work");
    let container = format!("repro-{}", site.unique);
    let mut prepare = prepare_daemon(site, &work, site.buildkitd_config.unwrap_or_default().to_vec());
    prepare.extend(plan.outputs().map(|path| Step::Directory(path.to_owned())));
    prepare.push(Step::File { path: work.join(SCRIPT), contents: script(plan, site, variant) });
    let pull = podman.clone().args(["pull", "--quiet"]).arg(joined("--authfile", work.join(CREDENTIALS)));
    let mut pull = with_proxy(pull, site.route.proxy.as_ref());
    if !site.route.authorities.is_empty() {
        let directory = work.join("authorities");
        prepare.push(Step::Directory(directory.clone()));
        let contents = site.route.authorities.clone();
        prepare.push(Step::File { path: directory.join(AUTHORITIES), contents });
        pull = pull.env("SSL_CERT_DIR", authority_directories(&directory));
    }
    if site.image_on_loopback {
        pull = pull.arg("--tls-verify=false");
    }
    prepare.push(Step::Ensure {
        probe: podman.clone().args(["image", "exists", site.image]),
        otherwise: pull.arg(site.image),
    });
    let kind = if variant == Variant::Rootless { "-rootless" } else { "" };
    let volume = format!("repro-{}{kind}-{}", plan.pin.slug(), configuration_slug(plan, site, b""));
    let state = state_directory(variant);
    let run =
        run_command(&podman, plan, site, variant, &container, (!plan.no_cache).then_some((volume.as_str(), state)));
    Steps {
        prepare,
        copy: Vec::new(),
        solve: run,
        beside: Vec::new(),
        finish: Vec::new(),
        cleanup: Vec::new(),
        abort: vec![podman.args(["rm", "--force", "--ignore", "--volumes", "--time=0"]).arg(container)],
        solve_log: site.quiet.then(|| site.private.join(SOLVE_LOG)),
        findings: Findings { user_ids: Some(work.join(USER_IDS)), ..findings(&work) },
        lock: (!plan.no_cache).then(|| Lock {
            path: site.state.join("locks").join(&volume),
            what: "the cache of this BuildKit in Podman",
            only_to_prepare: false,
            cache: CachePlace::PodmanVolume(volume.clone()),
        }),
        state: None,
        uses: volume,
    }
}

/// Where the image keeps its state: it declares a volume there.
const fn state_directory(variant: Variant) -> &'static str {
    match variant {
        Variant::Plain => "/var/lib/buildkit",
        Variant::Rootless => "/home/user/.local/share/buildkit",
    }
}

fn run_command(
    podman: &ToolCommand,
    plan: &BuildPlan,
    site: &Site<'_>,
    variant: Variant,
    container: &str,
    volume: Option<(&str, &str)>,
) -> ToolCommand {
    let mut run = podman
        .clone()
        .args(["run", "--rm", "--pull=never", "--privileged", "--security-opt=label=disable"])
        // The archive is the container's stdout: a log driver would write it a second time.
        .arg("--log-driver=none")
        // Podman hands the caller's proxies to every container unless told not to.
        .arg("--http-proxy=false")
        .arg(joined("--name", container))
        .arg(joined("--label", state_label(site.state)));
    if variant == Variant::Rootless {
        run = run.args(["--userns=keep-id:uid=1000,gid=1000", "--security-opt=seccomp=unconfined"]);
        run = run.arg("--security-opt=apparmor=unconfined");
    }
    if site.host_network {
        run = run.arg("--network=host");
    }
    if let Some((volume, state)) = volume {
        run = run.arg(joined("--mount", format!("type=volume,src={volume},dst={state}")));
    }
    let dockerfile_directory = plan.dockerfile.parent().unwrap_or(Path::new("/"));
    run = run.arg(bind(&site.private.join("work"), WORK, false)).arg(bind(&plan.context, CONTEXT, true)).arg(bind(
        dockerfile_directory,
        DOCKERFILE,
        true,
    ));
    for (path, inside) in numbered(plan.inputs(), INPUTS) {
        run = run.arg(bind(&path, &inside.to_string_lossy(), true));
    }
    for (path, inside) in numbered(plan.outputs(), OUTPUTS) {
        run = run.arg(bind(&path, &inside.to_string_lossy(), false));
    }
    if let (true, Some(agent)) = (plan.wants_agent(), site.ssh_agent) {
        run = run.arg(bind(agent, AGENT, false));
    }
    for name in plan.variables() {
        // By name only: the value goes from environment to environment and never stands in an argument.
        run = run.arg(joined("--env", name));
        run.secret.push(name.to_owned());
    }
    if let Some(proxy) = &site.route.proxy {
        // By name only, as secrets.
        for (name, _) in proxy.variables() {
            run = run.arg(joined("--env", name));
        }
        run = with_proxy(run, Some(proxy));
    }
    run.args(["--entrypoint=sh", "--"]).arg(site.image).arg(format!("{WORK}/{SCRIPT}"))
}

/// Where the container sees paths: their own names may be odd, or hide something of the image.
fn numbered<'a>(paths: impl Iterator<Item = &'a Path>, directory: &str) -> BTreeMap<PathBuf, PathBuf> {
    let mut places = BTreeMap::new();
    for path in paths {
        let number = places.len();
        places.entry(path.to_owned()).or_insert_with(|| Path::new(directory).join(number.to_string()));
    }
    places
}

/// Tells whose container it is, so that leftovers can be found.
fn state_label(state: &Path) -> OsString {
    let mut label = OsString::from("repro.state=");
    label.push(state);
    label
}

/// A bind mount; the path is a field of comma-separated values, so it is quoted where it has to be.
fn bind(source: &Path, destination: &str, read_only: bool) -> OsString {
    let mut field = OsString::from("--mount=type=bind,");
    field.push(csv_path("src=", source));
    field.push(format!(",dst={destination}"));
    field.push(if read_only { ",ro=true" } else { "" });
    field
}

fn script(plan: &BuildPlan, site: &Site<'_>, variant: Variant) -> Vec<u8> {
    let words = |text: &[&str]| text.iter().map(OsString::from).collect::<Vec<_>>();
    let (socket, mut daemon) = match variant {
        Variant::Plain => ("/run/repro-buildkitd.sock", words(&["buildkitd"])),
        Variant::Rootless => (
            "/run/user/1000/repro-buildkitd.sock",
            words(&["rootlesskit", "buildkitd", "--oci-worker-no-process-sandbox"]),
        ),
    };
    let address = format!("unix://{socket}");
    let state = state_directory(variant);
    daemon.push(joined("--root", state));
    daemon.push("--oci-worker-snapshotter=overlayfs".into());
    daemon.push(joined("--config", format!("{WORK}/{CONFIG}")));
    if plan.network == RunNetwork::Host {
        daemon.push("--allow-insecure-entitlement=network.host".into());
    }
    daemon.push(joined("--addr", &address));
    let mut elsewhere = numbered(plan.inputs(), INPUTS);
    elsewhere.extend(numbered(plan.outputs(), OUTPUTS));
    let paths = ClientPaths {
        context: Path::new(CONTEXT),
        dockerfile_directory: Path::new(DOCKERFILE),
        work: Path::new(WORK),
        elsewhere: &elsewhere,
        agent: Some(Path::new(AGENT)),
    };
    let client = [OsString::from("buildctl"), joined("--addr", &address)];
    let build = build_arguments(plan, &paths, site);
    let script = DaemonScript {
        daemon: &daemon,
        client: &client,
        build: &build,
        work: Path::new(WORK),
        state: Path::new(state),
        socket: Path::new(socket),
        discard: None,
        // They end with the container.
        reap: None,
        route: site.route,
    };
    render_daemon_script(&script)
}
