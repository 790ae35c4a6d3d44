//! Builders of buildx. buildx's records in our own directory say which are ours and which daemon each is on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::run::Found;
use super::{Activity, Ground, Item, Kind, NotAsked, item, names};
use crate::runtime::docker::{buildx_directory, container_of, user_docker_command, volume_of};
use crate::runtime::docker_config::DockerConfig;
use crate::runtime::engine::Engine;
use crate::settings::RuntimeName;

pub(super) async fn list(ground: &Ground<'_>, runs: &[Found], items: &mut Vec<Item>, not_asked: &mut Vec<NotAsked>) {
    let instances = buildx_directory(&ground.state).join("instances");
    let builders = names(&instances);
    if builders.is_empty() {
        return;
    }
    let why = |why: String| NotAsked { runtime: RuntimeName::Docker.name(), why };
    let config = match DockerConfig::load(ground.environment) {
        Ok(config) => config,
        Err(error) => return not_asked.push(why(error.to_string())),
    };
    let daemon = match Engine::connect(&config, ground.environment).await {
        Ok(engine) => Some((storage(ground, &engine).await, engine)),
        Err(error) => {
            not_asked.push(why(error.to_string()));
            None
        }
    };
    for name in builders {
        let record = std::fs::read(instances.join(&name)).unwrap_or_default();
        let record: Value = serde_json::from_slice(&record).unwrap_or_default();
        let endpoint = record.pointer("/Nodes/0/Endpoint").and_then(Value::as_str).unwrap_or_default();
        let mut item = item(ground, runs, Kind::Builder, RuntimeName::Docker, &name);
        endpoint.clone_into(&mut item.place);
        if let Some((_, digest)) =
            record.pointer("/Nodes/0/DriverOpts/image").and_then(Value::as_str).and_then(|image| image.split_once('@'))
        {
            item.pin = Some(digest.to_owned());
        }
        match &daemon {
            Some((storage, engine)) if endpoint == config.buildx_endpoint() => {
                let container = container_of(&name);
                item.size = storage.volumes.get(&volume_of(&name)).copied();
                item.cache_limit = storage.root.as_deref().and_then(|root| ground.cache_limit(&name, root));
                if item.state != Activity::InUse && engine.is_running(&container).await {
                    item.state = Activity::Running;
                }
            }
            _ if item.state == Activity::InUse => {}
            _ => item.state = Activity::Elsewhere,
        }
        items.push(item);
    }
}

/// Removes what buildx writes down of every build and never removes: a file each, for programs that show a history of builds.
///
/// Those of builds that still run may go, too: nobody reads them but such a program. Directories stay while their builder
/// does, and names that begin with a dot are files that are just being written.
pub fn forget_builds(state: &Path) {
    let directory = buildx_directory(state);
    for builder in names(&directory.join("refs")) {
        let builds = directory.join("refs").join(&builder);
        for node in names(&builds).into_iter().map(|node| builds.join(node)) {
            for build in names(&node).into_iter().filter(|name| !name.starts_with('.')) {
                let _ = std::fs::remove_file(node.join(build));
            }
            if !directory.join("instances").join(&builder).exists() {
                let _ = std::fs::remove_dir(node);
            }
        }
        if !directory.join("instances").join(&builder).exists() {
            let _ = std::fs::remove_dir(builds);
        }
    }
}

/// How long docker may add up the sizes of all volumes.
const LIMIT: Duration = Duration::from_secs(60);

struct Storage {
    volumes: BTreeMap<String, u64>,
    /// Where volumes lie, if that is on this machine.
    root: Option<PathBuf>,
}

async fn storage(ground: &Ground<'_>, engine: &Engine) -> Storage {
    // The form of the API's own answer differs between versions; this one is docker's to keep.
    let ask = user_docker_command().args(["system", "df", "--verbose", "--format"]);
    let ask = ask.arg("{{range .Volumes}}{{.Name}} {{.Size}}\n{{end}}");
    let answer = ask.run_checked(ground.environment, ground.interrupt, LIMIT).await;
    let answer = answer.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let volumes = answer.lines().filter_map(|line| {
        let (name, size) = line.split_once(' ')?;
        Some((name.to_owned(), parse_size(size)?))
    });
    let root = engine.facts().await.map(|facts| facts.root).unwrap_or_default();
    let root = Some(PathBuf::from(root)).filter(|root| engine.is_local() && root.is_dir());
    Storage { volumes: volumes.collect(), root }
}

/// A size as docker writes it, `1.234GB`, rounded by docker to four digits.
fn parse_size(text: &str) -> Option<u64> {
    let unit = text.find(|character: char| character.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let power = ["B", "kB", "MB", "GB", "TB", "PB"].iter().position(|known| *known == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let scale = 1000_u64.pow(u32::try_from(power).ok()?);
    let digits = u32::try_from(fraction.len()).ok()?;
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(scale)?.checked_add(fraction.checked_mul(scale)? / 10_u64.checked_pow(digits)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_docker() {
        for (text, bytes) in
            [("0B", 0), ("512B", 512), ("1.5kB", 1_500), ("321.4MB", 321_400_000), ("2.05GB", 2_050_000_000)]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for wrong in ["", "N/A", "MB", "1.MB2", "12", "1XB", "99999999999999999TB"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }
}
