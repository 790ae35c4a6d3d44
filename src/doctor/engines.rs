//! Docker and Podman.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{Finding, Health, space};
use crate::environment::Environment;
use crate::failure::chain;
use crate::runtime::detect::{find_on_path, probe_buildx};
use crate::runtime::docker_config::DockerConfig;
use crate::runtime::engine::Engine;
use crate::runtime::interrupt::Interrupt;
use crate::runtime::podman::podman_command;

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(20);

pub(super) async fn docker(environment: &Environment, interrupt: &Interrupt) -> Vec<Finding> {
    const PART: &str = "docker";
    let fails = |what, found: String| Finding::new(PART, what, Health::Fails, found);
    let Some(program) = find_on_path(environment, "docker") else {
        let hint = "install Docker (docs.docker.com/engine/install), or use another runtime";
        return vec![fails("command", "`docker` is not on PATH".to_owned()).hint(hint)];
    };
    let mut findings = vec![Finding::ok(PART, "command", program.display().to_string())];
    let config = match DockerConfig::load(environment) {
        Ok(config) => config,
        Err(error) => {
            let hint = "mend the file, or set DOCKER_CONFIG to another directory";
            findings.push(fails("configuration", chain(&error)).hint(hint));
            return findings;
        }
    };
    findings.push(match probe_buildx(&config, environment, interrupt).await {
        Ok(()) => Finding::ok(PART, "buildx", "there"),
        Err(error) => {
            let hint = "install the plugin (Debian: docker-buildx-plugin from Docker's repository)";
            fails("buildx", chain(&error)).hint(hint)
        }
    });
    let endpoint = config.buildx_endpoint();
    let address = config.endpoint_address();
    let named = match &address {
        Some(address) if *address != endpoint => format!("{endpoint} ({address})"),
        _ => endpoint,
    };
    findings.push(Finding::ok(PART, "context", named));
    let facts = async {
        let engine = Engine::connect(&config, environment).await?;
        let facts = engine.facts().await?;
        Ok::<_, crate::runtime::engine::EngineError>((engine.is_local(), facts))
    };
    match facts.await {
        Ok((local, facts)) => {
            let kind = if facts.rootless { ", rootless" } else { "" };
            findings.push(Finding::ok(PART, "daemon", format!("{}{kind}", facts.version)));
            let root = Path::new(&facts.root);
            findings.extend(Some(root).filter(|root| local && root.is_dir()).and_then(|root| space(PART, root)));
        }
        Err(error) => {
            let hint = "start the daemon, or say where it is with DOCKER_HOST or `docker context use`; a plain user has to be in the group docker";
            findings.push(fails("daemon", chain(&error)).hint(hint));
        }
    }
    findings
}

pub(super) async fn podman(environment: &Environment, interrupt: &Interrupt) -> Vec<Finding> {
    const PART: &str = "podman";
    let Some(program) = find_on_path(environment, "podman") else {
        let found = Finding::new(PART, "command", Health::Fails, "`podman` is not on PATH");
        return vec![found.hint("install Podman (podman.io/docs/installation), or use another runtime")];
    };
    let mut findings = vec![Finding::ok(PART, "command", program.display().to_string())];
    let ask = podman_command().args(["info", "--format", "json"]);
    let answer = ask.run_checked(environment, interrupt, LIMIT).await;
    let info = match answer {
        Ok(output) => serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default(),
        Err(error) => {
            let found = Finding::new(PART, "info", Health::Fails, chain(&error));
            findings.push(found.hint("look at what `podman info` says"));
            return findings;
        }
    };
    let text = |pointer: &str| info.pointer(pointer).and_then(Value::as_str).unwrap_or("unknown");
    let rootless = info.pointer("/host/security/rootless").and_then(Value::as_bool).unwrap_or_default();
    let kind = if rootless { ", rootless" } else { "" };
    findings.push(Finding::ok(PART, "version", format!("{}{kind}", text("/version/Version"))));
    let driver = text("/store/graphDriverName");
    let storage = format!("{driver} at `{}`", text("/store/graphRoot"));
    findings.push(if driver == "vfs" {
        let hint = "the driver vfs copies each layer whole: set `driver = \"overlay\"` in storage.conf";
        Finding::new(PART, "storage", Health::Warning, storage).hint(hint)
    } else {
        Finding::ok(PART, "storage", storage)
    });
    findings.extend(space(PART, Path::new(text("/store/graphRoot"))));
    findings
}
