//! Volumes and containers of Podman. A container carries the label with our directory; a volume has the name of a lock in it.

use std::time::Duration;

use chrono::DateTime;
use serde_json::Value;

use super::run::Found;
use super::{Activity, Ground, Item, Kind, NotAsked, item, names};
use crate::runtime::detect::find_on_path;
use crate::runtime::docker::buildx_directory;
use crate::runtime::podman::podman_command;
use crate::settings::RuntimeName;

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn list(ground: &Ground<'_>, runs: &[Found], items: &mut Vec<Item>, not_asked: &mut Vec<NotAsked>) {
    // Builders of Docker have locks, too. Where no other has been taken, Podman need not be asked, or be there.
    let builders = names(&buildx_directory(&ground.state).join("instances"));
    let is_volume = |name: &String| name.starts_with("repro-") && !builders.contains(name);
    let locks: Vec<String> = names(&ground.state.join("locks")).into_iter().filter(is_volume).collect();
    let is_there = find_on_path(ground.environment, "podman").is_some();
    if locks.is_empty() && (runs.is_empty() || !is_there) {
        return;
    }
    if let Err(why) = ask(ground, runs, &locks, items).await {
        not_asked.push(NotAsked { runtime: RuntimeName::Podman.name(), why });
    }
}

async fn ask(ground: &Ground<'_>, runs: &[Found], locks: &[String], items: &mut Vec<Item>) -> Result<(), String> {
    let volumes = json(ground, &["volume", "ls", "--format", "json"]).await?;
    for volume in volumes.as_array().into_iter().flatten() {
        let text = |key: &str| volume.get(key).and_then(Value::as_str).unwrap_or_default();
        if !locks.iter().any(|lock| lock == text("Name")) {
            continue;
        }
        let mut item = item(ground, runs, Kind::Volume, RuntimeName::Podman, text("Name"));
        text("Mountpoint").clone_into(&mut item.place);
        let place = std::path::Path::new(text("Mountpoint"));
        item.size = super::directories::size_of(place);
        item.cache_limit = ground.cache_limit(text("Name"), place);
        items.push(item);
    }
    let label = format!("label=repro.state={}", ground.state.display());
    let containers = json(ground, &["ps", "--all", "--filter", &label, "--format", "json"]).await?;
    for container in containers.as_array().into_iter().flatten() {
        let name = container.pointer("/Names/0").and_then(Value::as_str).unwrap_or_default();
        let mut item = item(ground, runs, Kind::Container, RuntimeName::Podman, name);
        let unique = name.strip_prefix("repro-").unwrap_or_default();
        if runs.iter().any(|run| run.lives && run.unique == unique) {
            item.state = Activity::InUse;
        } else if container.get("State").and_then(Value::as_str) == Some("running") {
            item.state = Activity::Running;
        }
        item.last_used =
            container.get("Created").and_then(Value::as_i64).and_then(|created| DateTime::from_timestamp(created, 0));
        container.get("Image").and_then(Value::as_str).unwrap_or_default().clone_into(&mut item.place);
        item.pin = item.place.split_once('@').map(|(_, digest)| digest.to_owned());
        items.push(item);
    }
    Ok(())
}

async fn json(ground: &Ground<'_>, arguments: &[&str]) -> Result<Value, String> {
    let command = podman_command().args(arguments);
    let output = command.run_checked(ground.environment, ground.interrupt, LIMIT).await;
    let output = output.map_err(|error| error.to_string())?;
    // Where there is nothing, some versions print nothing.
    if output.stdout.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("Podman's answer cannot be read: {error}"))
}
