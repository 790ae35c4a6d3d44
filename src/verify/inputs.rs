//! What a build read, and who chose it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use percent_encoding::percent_decode_str;

use super::recipe::{Missing, shown};
use crate::dockerfile::Dockerfile;
use crate::pin::Version;
use crate::plan::NamedContext;
use crate::provenance::Material;
use crate::settings::{BuildSettings, Given, Origin};

/// The first BuildKit to which the image of a named context is a base (`dockerfile2llb/convert.go`, `baseImg`). Those before set
/// the times in its layers as in the layers of the build, and what comes out is another image.
const CONTEXT_IS_BASE: Version = Version { major: 0, minor: 24, patch: 0 };

/// Images that go by one name and were others when the image was published, each with the words that build upon the old one.
/// `version` is that of the frontend, where it is known.
#[must_use]
pub fn moved(published: &[Material], rebuilt: &[Material], version: Option<Version>) -> Vec<Missing> {
    let name = |material: &Material| material.uri.split(['?', '#']).next().unwrap_or_default().to_owned();
    let platform = |material: &Material| {
        let query = material.uri.split_once('?').map_or("", |(_, query)| query);
        query.split('&').find(|part| part.starts_with("platform=")).map(str::to_owned)
    };
    let mut moved = Vec::new();
    for before in published {
        let mut same =
            rebuilt.iter().filter(|now| name(now) == name(before) && platform(now) == platform(before)).peekable();
        let (Some(old), Some(now)) = (before.digest.get("sha256"), same.peek().copied()) else { continue };
        if let Some(new) = now.digest.get("sha256").filter(|_| same.all(|now| now.digest.get("sha256") != Some(old))) {
            let why = format!("it was {} when the image was built, and is {} now", shown(old), shown(new));
            let fix = fix_of_base(&name(before), old, version);
            moved.push(Missing::new(format!("base image {}", shown(&name(before))), why, fix));
        }
    }
    moved
}

/// The words that build upon what a package URL named when it had this digest.
fn fix_of_base(uri: &str, sha256: &str, version: Option<Version>) -> String {
    let context = || {
        // A port is written `%3A` by some versions of BuildKit (`util/purl`).
        let image = percent_decode_str(uri.strip_prefix("pkg:docker/")?).decode_utf8().ok()?;
        let (name, tag) = image.rsplit_once('@').unwrap_or((&image, "latest"));
        // What is advised is what is taken, and nothing of a stranger's that a shell would read.
        NamedContext::parse(&format!("{name}:{tag}=docker-image://{name}@sha256:{sha256}"), Path::new("/")).ok()
    };
    match context() {
        Some((name, source)) if version.is_some_and(|version| version >= CONTEXT_IS_BASE) => {
            format!("--build-context {name}={source}, which builds upon the old one")
        }
        Some((name, _)) => format!("`FROM {name}@sha256:{sha256}` in the Dockerfile, which builds upon the old one"),
        None => "the old one by its digest in the Dockerfile".to_owned(),
    }
}

/// Images that the Dockerfile names by an argument, or by what a named context gives another meaning, where the image or a file of
/// settings says what that is: not the Dockerfile, but whoever wrote that chose what is built upon.
#[must_use]
pub fn chosen_images(settings: &BuildSettings) -> Vec<String> {
    let mut notes = chosen_arguments(settings);
    notes.extend(settings.build_contexts.iter().filter_map(|(name, context)| {
        // Of several that say what a name means, the last counts.
        let mut given = settings.given.iter().rev();
        let given = given.find(|given| given.name == "build-context" && given.value == *name)?;
        is_of_others(given.origin).then(|| {
            format!(
                "wherever the Dockerfile says {}, it gets {}, and only {} says so: look whether it is what the source means",
                shown(name),
                shown(&context.to_string()),
                given.origin
            )
        })
    }));
    notes
}

const fn is_of_others(origin: Origin) -> bool {
    matches!(origin, Origin::Image(_) | Origin::Key(_) | Origin::Recipe(_))
}

fn chosen_arguments(settings: &BuildSettings) -> Vec<String> {
    let Ok(dockerfile) = Dockerfile::parse(&settings.dockerfile_bytes) else { return Vec::new() };
    let taken = settings.given.iter().filter(|given| given.name == "build-arg" && is_of_others(given.origin));
    // Of one that several say, the last counts.
    let taken: BTreeMap<&str, Origin> = taken.map(|given| (given.value.as_str(), given.origin)).collect();
    let named = names_in_bases(&dockerfile);
    let note = |(name, origin): (&str, Origin)| {
        let value = settings.build_args.get(name)?;
        let of_flag = |given: &Given| given.value == name && matches!(given.origin, Origin::Flag(_));
        if !named.contains(name) || settings.given.iter().any(|given| given.name == "build-arg" && of_flag(given)) {
            return None;
        }
        Some(format!(
            "the Dockerfile builds upon ${name}, and only {origin} says that this is {}: look whether it is what the source means",
            shown(value)
        ))
    };
    taken.into_iter().filter_map(note).collect()
}

/// The arguments that decide what is built upon, by themselves or by the defaults of others.
pub(super) fn names_in_bases(dockerfile: &Dockerfile) -> BTreeSet<String> {
    let names = |text: &str| -> BTreeSet<String> {
        let parts = text.split('$').skip(1).map(|part| part.trim_start_matches('{'));
        let word = |part: &str| part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
        parts.map(word).filter(|name| !name.is_empty()).collect()
    };
    let mut found: BTreeSet<String> = BTreeSet::new();
    for one in &dockerfile.instructions {
        let base = if one.is("from") { one.arguments.as_str() } else { "" };
        found.extend(one.flags.iter().map(String::as_str).chain([base]).flat_map(names));
    }
    // A default can name others, and theirs again; no chain is longer than there are instructions.
    for _ in 0..dockerfile.instructions.len() {
        let before = found.len();
        for one in dockerfile.instructions.iter().filter(|one| one.is("arg")) {
            let declared = one.arguments.split_whitespace().filter_map(|word| word.split_once('='));
            let more: Vec<String> =
                declared.filter(|(name, _)| found.contains(*name)).flat_map(|(_, default)| names(default)).collect();
            found.extend(more);
        }
        if found.len() == before {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_may_hang_on_the_default_of_another_argument() {
        let text = "ARG V\nARG TAG=x-${V}\nARG BASE=a:$TAG\nARG OTHER=$NOT\nFROM $BASE\nCOPY --from=$FROM /a /\n";
        let found = names_in_bases(&Dockerfile::parse(text.as_bytes()).unwrap());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["BASE", "FROM", "TAG", "V"]);
    }
}
