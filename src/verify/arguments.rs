//! What a build was asked for: arguments, target, secrets, contexts; and which of a stranger's arguments are used.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;

use super::provenance::BuildRecord;
use super::recipe::{One, Recipe, shown};
use crate::frontend::{BUILD_ARGUMENT, is_trusted};
use crate::image::Config;

/// Build arguments that BuildKit reads itself and that may be taken over: the frontend is judged like any other.
const OF_BUILDKIT: [&str; 2] = [BUILD_ARGUMENT, "BUILDKIT_SANDBOX_HOSTNAME"];

/// Build arguments, target and Dockerfile: from provenance, else what the history shows of arguments.
pub(super) fn read_arguments(recipe: &mut Recipe, ones: &[One<'_>], records: &[&BuildRecord], epoch: Option<i64>) {
    let is_complete = !records.is_empty() && records.iter().all(|record| record.is_complete);
    let mut arguments: BTreeMap<String, String> = BTreeMap::new();
    let whence = if is_complete {
        let of_all = agreed(records.iter().map(|record| &record.arguments));
        let some = records.iter().flat_map(|record| record.arguments.keys()).filter(|key| !of_all.contains_key(*key));
        for name in some.filter_map(|key| key.strip_prefix("build-arg:")).collect::<BTreeSet<_>>() {
            refuse(recipe, name, "its platforms were built with several values of it");
        }
        for (key, value) in of_all {
            arguments.extend(key.strip_prefix("build-arg:").map(|name| (name.to_owned(), value)));
        }
        "its provenance"
    } else {
        arguments = agreed(ones.iter().map(|one| history_arguments(one.config, epoch)).collect::<Vec<_>>().iter());
        let why =
            if records.is_empty() { "there is no provenance" } else { "its provenance leaves them out (mode=min)" };
        recipe.untold_arguments = Some(why);
        recipe.told_arguments = arguments.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
        let unset = ones.iter().flat_map(|one| unset_arguments(one.config, epoch));
        let unset: Vec<String> = unset.filter(|name| !recipe.told_arguments.contains_key(name)).collect();
        let is_unset_in_all = |name: &String| ones.iter().all(|one| unset_arguments(one.config, epoch).contains(name));
        recipe.told_arguments.extend(unset.into_iter().filter(is_unset_in_all).map(|name| (name, None)));
        recipe.notes.push(format!(
            "which build arguments were given is not told: {why}; taken are those that the history of the last stage shows"
        ));
        "its history"
    };
    arguments.remove("SOURCE_DATE_EPOCH");
    for (name, value) in arguments {
        if let Some(why) = refused(&name, &value) {
            if whence == "its provenance" {
                refuse(recipe, &name, why);
            }
            continue;
        }
        recipe.words.words.build_arg.push(format!("{name}={value}"));
        recipe.say("--build-arg", whence);
    }
    let of_request = agreed(records.iter().map(|record| &record.arguments));
    if let Some(target) = of_request.get("target") {
        recipe.words.words.target = Some(target.clone());
        recipe.say("--target", "its provenance");
    }
    for record in records {
        require(recipe, record);
    }
}

fn refuse(recipe: &mut Recipe, name: &str, why: &'static str) {
    recipe.notes.push(format!("build argument {} is not taken over: {why}", shown(name)));
    recipe.refused.push((name.to_owned(), why));
}

/// What only the user can give.
fn require(recipe: &mut Recipe, record: &BuildRecord) {
    recipe.needs.extend(record.secrets.iter().map(|id| ("--secret", id.clone())));
    recipe.needs.extend(record.ssh.iter().map(|id| ("--ssh", id.clone())));
    let named = record.arguments.keys().filter_map(|key| key.strip_prefix("context:"));
    let named: BTreeSet<&str> = named.chain(record.locals.iter().map(String::as_str)).collect();
    recipe.needs.extend(named.into_iter().map(|name| ("--build-context", name.to_owned())));
}

/// Why a build argument of an image is left out.
fn refused(name: &str, value: &str) -> Option<&'static str> {
    let is_official = || {
        let image = value.trim().split(' ').next().and_then(|image| image.parse().ok());
        image.is_some_and(|image| is_trusted(&image))
    };
    let lower = name.to_ascii_lowercase();
    let is_of_platform = ["TARGET", "BUILD"].iter().any(|side| {
        let part = name.strip_prefix(side);
        part.is_some_and(|part| ["PLATFORM", "OS", "ARCH", "VARIANT", "STAGE"].contains(&part))
    });
    let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=');
    match () {
        () if !is_word => Some("that is no name of one"),
        () if is_of_platform => Some("BuildKit sets it by the platform"),
        () if lower.ends_with("_proxy") => Some("it says through whose hands the build gets what it downloads"),
        () if name == BUILD_ARGUMENT && !is_official() => Some("a frontend can make up the image that is asked for"),
        () if name.starts_with("BUILDKIT_") && !OF_BUILDKIT.contains(&name) => Some("BuildKit itself reads it"),
        () => None,
    }
}

/// What all of them say alike.
pub(super) fn agreed<'a>(maps: impl Iterator<Item = &'a BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let mut maps = maps;
    let mut agreed = maps.next().cloned().unwrap_or_default();
    for map in maps {
        agreed.retain(|key, value| map.get(key) == Some(value));
    }
    agreed
}

/// The arguments that BuildKit writes into the history of what it builds: `ARG NAME=VALUE`, and `RUN |N NAME=VALUE… SHELL…`.
/// Steps of a base have other dates; theirs are no arguments of this build.
fn history_arguments(config: &Config, epoch: Option<i64>) -> BTreeMap<String, String> {
    let is_own = |text: &str| DateTime::parse_from_rfc3339(text).is_ok_and(|date| Some(date.timestamp()) == epoch);
    let mut arguments = BTreeMap::new();
    for step in config.history.iter().filter(|step| step.created.as_deref().is_some_and(is_own)) {
        if let Some((name, value)) = step.created_by.strip_prefix("ARG ").and_then(|rest| rest.split_once('=')) {
            arguments.insert(name.to_owned(), value.to_owned());
        }
        arguments.extend(step.created_by.strip_prefix("RUN |").and_then(run_arguments).unwrap_or_default());
    }
    arguments.retain(|name, _| is_name(name));
    arguments
}

/// The arguments that the history says have no value: `ARG NAME`.
fn unset_arguments(config: &Config, epoch: Option<i64>) -> BTreeSet<String> {
    let is_own = |text: &str| DateTime::parse_from_rfc3339(text).is_ok_and(|date| Some(date.timestamp()) == epoch);
    let own = config.history.iter().filter(|step| step.created.as_deref().is_some_and(is_own));
    let names = own.flat_map(|step| step.created_by.strip_prefix("ARG ").unwrap_or_default().split(' '));
    names.filter(|name| is_name(name)).map(str::to_owned).collect()
}

/// `N NAME=VALUE NAME=VALUE… /SHELL …`. Values hold spaces at times, and then nobody can tell where one ends.
fn run_arguments(rest: &str) -> Option<Vec<(String, String)>> {
    let mut words = rest.split(' ');
    let count: usize = words.next()?.parse().ok()?;
    let pairs: Vec<(String, String)> = words
        .by_ref()
        .take(count)
        .map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect::<Option<_>>()?;
    let is_whole = pairs.len() == count && pairs.iter().all(|(name, _)| is_name(name));
    (is_whole && words.next()?.starts_with('/')).then_some(pairs)
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().next().is_some_and(|first| !first.is_ascii_digit()) && name.bytes().all(plain)
}
