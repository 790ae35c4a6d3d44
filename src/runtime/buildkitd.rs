//! BuildKit as a child process: no engine is needed, only the binaries of the pinned image.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::binaries::Binaries;
use super::buildctl::{
    CONFIG, ClientPaths, DaemonScript, SCRIPT, SOLVE_LOG, build_arguments, findings, prepare_daemon,
    render_daemon_script,
};
use super::command::ToolCommand;
use super::steps::{CachePlace, Lock, StateDirectory, Step, Steps, joined};
use super::{Site, configuration_slug, isolate, with_proxy};
use crate::network::RunNetwork;
use crate::plan::BuildPlan;

/// What buildkitd may see of the caller's environment. Proxies are not among it.
const KEEP: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK"];

/// The steps of a build with a buildkitd of our own. `rootless` runs it inside rootlesskit.
#[must_use]
pub fn steps(plan: &BuildPlan, site: &Site<'_>, binaries: &Binaries, rootless: bool) -> Steps {
    let work = site.private.join("work");
    let kind = if rootless { "rootless" } else { "root" };
    let name = format!("{}-{kind}-{}", plan.pin.slug(), configuration_slug(plan, site, b""));
    let state = if plan.no_cache {
        site.state.join("throw-away").join(site.unique)
    } else {
        site.state.join("buildkitd").join(&name)
    };
    let own = site.buildkitd_config.unwrap_or_default();
    let (config, isolation) = match std::str::from_utf8(own) {
        Ok(toml) if isolates(plan, site) => {
            (isolate::configure(toml).into_bytes(), isolate::steps(&work, &binaries.runc))
        }
        _ => (own.to_vec(), Vec::new()),
    };
    let mut prepare = prepare_daemon(site, &work, config);
    prepare.extend(isolation);
    prepare.push(Step::Directory(state.clone()));
    prepare.push(Step::File { path: work.join(SCRIPT), contents: script(plan, site, binaries, rootless, &state) });
    let mut solve = ToolCommand::new("/bin/sh", &KEEP).arg(work.join(SCRIPT));
    solve.secret.extend(plan.variables().map(str::to_owned));
    // Paths below it are compared as texts: with `/tmp//` a layer gets one entry more, `./`.
    let solve = with_proxy(solve.env("TMPDIR", site.private), site.route.proxy.as_ref());
    Steps {
        prepare,
        copy: Vec::new(),
        solve,
        beside: Vec::new(),
        finish: Vec::new(),
        cleanup: Vec::new(),
        // A script that was killed could not.
        abort: discard(site, binaries, &state).filter(|_| plan.no_cache && rootless).into_iter().collect(),
        solve_log: site.quiet.then(|| site.private.join(SOLVE_LOG)),
        findings: findings(&work),
        lock: (!plan.no_cache).then(|| Lock {
            path: site.state.join("locks").join(&name),
            what: "the cache of this BuildKit",
            only_to_prepare: false,
            cache: CachePlace::Directory(state.clone()),
        }),
        state: Some(StateDirectory { path: state, throw_away: plan.no_cache }),
        uses: name,
    }
}

/// Files of throw-away state belong to ids that only the user namespace maps: they are removed inside it.
fn discard(site: &Site<'_>, binaries: &Binaries, state: &Path) -> Option<ToolCommand> {
    let rootlesskit = binaries.rootlesskit.as_ref()?;
    Some(remove_in_namespace(rootlesskit, &site.private.join("work").join("rootlesskit"), state))
}

/// Removes a directory inside a user namespace that maps this user's subordinate ids. `work` must not be there yet.
#[must_use]
pub fn remove_in_namespace(rootlesskit: &Path, work: &Path, path: &Path) -> ToolCommand {
    let command = ToolCommand::new(rootlesskit, &KEEP).arg(joined("--state-dir", work)).arg("--net=host");
    command.args(["rm", "-rf", "--"]).arg(path)
}

/// What starts a program inside the user namespace of a plain user's daemon; nothing where there is none.
fn in_namespace(site: &Site<'_>, binaries: &Binaries, rootless: bool) -> Vec<OsString> {
    let (true, Some(rootlesskit)) = (rootless, &binaries.rootlesskit) else { return Vec::new() };
    vec![
        rootlesskit.clone().into_os_string(),
        joined("--state-dir", site.private.join("work").join("rootlesskit")),
        // Downloads use the network as the user does; RUN gets one of its own, where that can be had.
        "--net=host".into(),
        // What RUN started ends with the daemon, also where that is killed.
        "--pidns".into(),
    ]
}

/// Whether RUN gets a network of its own.
#[must_use]
pub fn isolates(plan: &BuildPlan, site: &Site<'_>) -> bool {
    let own = String::from_utf8_lossy(site.buildkitd_config.unwrap_or_default());
    site.can_isolate && !site.host_network && plan.network != RunNetwork::Host && !isolate::is_configured(&own)
}

fn script(plan: &BuildPlan, site: &Site<'_>, binaries: &Binaries, rootless: bool, state: &Path) -> Vec<u8> {
    let work = site.private.join("work");
    let prefix = in_namespace(site, binaries, rootless);
    let mut daemon = prefix.clone();
    // Namespaces of its own for processes and mounts: a daemon that has to be killed takes with it whatever RUN started and
    // whatever is mounted. On its own it would leave both behind.
    if !rootless {
        let unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];
        daemon.extend(unshare.map(OsString::from));
    }
    daemon.push(binaries.buildkitd.clone().into_os_string());
    daemon.push(joined("--root", state));
    daemon.push(joined("--config", work.join(CONFIG)));
    let runc = if isolates(plan, site) { isolate::program(&work) } else { binaries.runc.clone() };
    daemon.push(joined("--oci-worker-binary", runc));
    daemon.extend(
        ["--oci-worker=true", "--containerd-worker=false", "--oci-worker-snapshotter=overlayfs"].map(OsString::from),
    );
    if plan.network == RunNetwork::Host {
        daemon.push("--allow-insecure-entitlement=network.host".into());
    }
    if rootless {
        daemon.push("--rootless".into());
    }
    let socket = work.join("buildkitd.sock");
    let mut address = OsString::from("unix://");
    address.push(&socket);
    daemon.push(joined("--addr", &address));
    let elsewhere = BTreeMap::new();
    let paths = ClientPaths {
        context: &plan.context,
        dockerfile_directory: plan.dockerfile.parent().unwrap_or(Path::new("/")),
        work: &work,
        elsewhere: &elsewhere,
        agent: None,
    };
    let client = [binaries.buildctl.clone().into_os_string(), joined("--addr", &address)];
    let build = build_arguments(plan, &paths, site);
    // Files of throw-away state belong to ids that only the user namespace maps: they are removed inside it.
    let discard: Vec<OsString> = prefix
        .into_iter()
        .chain(["rm", "-rf", "--"].map(OsString::from))
        .chain([state.as_os_str().to_owned()])
        .collect();
    let discard = plan.no_cache.then_some(discard.as_slice());
    let reap = [binaries.runc.clone().into_os_string(), "delete".into(), "--force".into()];
    let reap = (!rootless).then_some(reap.as_slice());
    let route = site.route;
    render_daemon_script(&DaemonScript {
        daemon: &daemon,
        client: &client,
        build: &build,
        work: &work,
        state,
        socket: &socket,
        discard,
        reap,
        route,
    })
}
