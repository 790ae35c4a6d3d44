//! What neither the image nor the user said, and a difference may come of.
//!
//! A difference under an assumption proves nothing: with the words that were used it might be equal. Where the user said the
//! words, a difference is one.

use std::collections::{BTreeMap, BTreeSet};

use super::emulated::earlier;
use super::inputs::names_in_bases;
use super::recipe::{Missing, Recipe, shown};
use crate::dockerfile::Dockerfile;
use crate::frontend::{BUILD_ARGUMENT, FrontendOrigin};
use crate::settings::{BuildSettings, Origin};

/// An argument that the Dockerfile declares.
struct Declared {
    name: String,
    default: Option<String>,
    /// Whether it holds in the stage that is built: it stands above all stages, in this stage, or in one that it begins with.
    is_of_target: bool,
    /// Whether it stands above all stages, where nothing but FROM sees it, and no FROM hangs on it.
    is_idle: bool,
}

/// Leaves out the arguments of the history that the Dockerfile's own defaults explain: said by a flag, they would be those of
/// all its stages. Gives those of which it cannot be told.
pub fn choose_arguments(settings: &mut BuildSettings) -> BTreeSet<String> {
    let of_history =
        |(flag, _, whence): &&(String, String, &'static str)| flag == "build-arg" && *whence == "its history";
    let names: Vec<String> = settings.from_image.iter().filter(of_history).map(|(_, name, _)| name.clone()).collect();
    let declared = declared(&settings.dockerfile_bytes, settings.target.as_deref());
    let mut unclear = BTreeSet::new();
    for name in names {
        let is_of_others = |given: &crate::settings::Given| {
            given.name == "build-arg" && given.value == name && !matches!(given.origin, Origin::Image(_))
        };
        let Some(value) = settings.build_args.get(&name) else { continue };
        if settings.given.iter().any(is_of_others) {
            continue;
        }
        let Some(is_clear) = explained(&declared, &name, value) else { continue };
        if !is_clear {
            unclear.insert(name.clone());
        }
        settings.build_args.remove(&name);
        settings.from_image.retain(|(flag, other, _)| flag != "build-arg" || *other != name);
        settings.given.retain(|given| given.name != "build-arg" || given.value != name);
    }
    unclear
}

/// Whether a default explains a value; and then, whether the whole build is the same where somebody gave that value.
fn explained(declared: &[Declared], name: &str, value: &str) -> Option<bool> {
    let of_name = || declared.iter().filter(|one| one.name == name);
    let is_variable = |one: &Declared| one.default.as_ref().is_some_and(|default| default.contains('$'));
    let is_equal = |one: &Declared| one.default.as_deref() == Some(value);
    if !of_name().any(|one| one.is_of_target && (is_equal(one) || is_variable(one))) {
        return None;
    }
    Some(of_name().all(is_equal))
}

fn declared(bytes: &[u8], target: Option<&str>) -> Vec<Declared> {
    let Ok(dockerfile) = Dockerfile::parse(bytes) else { return Vec::new() };
    let chain = chain(&dockerfile, target);
    let in_bases = names_in_bases(&dockerfile);
    let mut declared = Vec::new();
    for (at, one) in dockerfile.instructions.iter().enumerate().filter(|(_, one)| one.is("arg")) {
        let stage = dockerfile.stages.iter().position(|stage| stage.instructions.contains(&at));
        let is_of_target = stage.is_none_or(|stage| chain.contains(&stage));
        let words = shlex::split(&one.arguments);
        for word in words.unwrap_or_else(|| one.arguments.split_whitespace().map(str::to_owned).collect()) {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
                None => (word, None),
            };
            let is_idle = stage.is_none() && !in_bases.contains(&name);
            declared.push(Declared { name, default, is_of_target, is_idle });
        }
    }
    declared
}

/// The stage that is built, and those that it begins with.
fn chain(dockerfile: &Dockerfile, target: Option<&str>) -> BTreeSet<usize> {
    let named = |target: &str| {
        let by_name = |name: &str| dockerfile.stages.iter().position(|stage| stage.name.as_deref() == Some(name));
        by_name(&target.to_lowercase()).or_else(|| target.parse().ok())
    };
    let mut at = target.and_then(named).or_else(|| dockerfile.stages.len().checked_sub(1));
    let mut chain = BTreeSet::new();
    while let Some((stage, one)) = at.and_then(|at| Some((at, dockerfile.stages.get(at)?))) {
        chain.insert(stage);
        at = earlier(&dockerfile.stages[..stage], one);
    }
    chain
}

/// What was assumed for these settings. `unclear` are arguments of which the history does not tell who said them.
#[must_use]
pub fn assumed(
    recipe: &Recipe,
    settings: &BuildSettings,
    unclear: &BTreeSet<String>,
    has_recipe: bool,
) -> Vec<Missing> {
    let mut assumed = Vec::new();
    if let (Some(why), Origin::Default, None) = (&recipe.assumed_pin, settings.pin.origin, &settings.remote) {
        assumed.push(Missing::new("BuildKit", why.clone(), "--buildkit-image NAME:TAG@DIGEST, which it was built by"));
    }
    if recipe.is_epoch_guessed && matches!(settings.epoch.origin, Origin::Image(_)) {
        let why = "it is a guess by org.opencontainers.image.created";
        assumed.push(Missing::new("epoch", why, "--source-date-epoch"));
    }
    let is_given = |name: &str| {
        settings.build_args.contains_key(name)
            || name == BUILD_ARGUMENT && matches!(settings.frontend.frontend.origin, FrontendOrigin::Flag(_))
    };
    for (name, why) in recipe.refused.iter().filter(|(name, _)| !is_given(name)) {
        let fix = if name == BUILD_ARGUMENT {
            "--frontend NAME:TAG@DIGEST".to_owned()
        } else {
            format!("--build-arg {name}=VALUE")
        };
        assumed.push(Missing::new(
            format!("build argument {}", shown(name)),
            format!("it was given, and not taken over: {why}"),
            fix,
        ));
    }
    if let (Some(why), false) = (recipe.untold_arguments, has_recipe) {
        let names = untold(&recipe.told_arguments, settings, unclear);
        let listed = names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ");
        if !names.is_empty() {
            let words = names.iter().map(|name| format!("--build-arg {name}=VALUE")).collect::<Vec<_>>().join(" ");
            let fix = format!("{words}; of one that was not given, its default");
            assumed.push(Missing::new(
                format!("build arguments {listed}"),
                format!("nothing tells whether they were given: {why}"),
                fix,
            ));
        }
    }
    assumed
}

/// The arguments that the Dockerfile asks for, and of which nothing tells the value.
fn untold(
    told: &BTreeMap<String, Option<String>>,
    settings: &BuildSettings,
    unclear: &BTreeSet<String>,
) -> BTreeSet<String> {
    let declared = declared(&settings.dockerfile_bytes, settings.target.as_deref());
    let is_open = |name: &String| {
        let is_told = told.contains_key(name) && !unclear.contains(name);
        !is_told && !settings.build_args.contains_key(name) && !is_of_builder(name)
    };
    declared.into_iter().filter(|one| !one.is_idle).map(|one| one.name).filter(is_open).collect()
}

/// Arguments that BuildKit sets itself.
fn is_of_builder(name: &str) -> bool {
    let is_of_platform = ["TARGET", "BUILD"].iter().any(|side| {
        let part = name.strip_prefix(side);
        part.is_some_and(|part| ["PLATFORM", "OS", "ARCH", "VARIANT", "STAGE", "OSVERSION"].contains(&part))
    });
    is_of_platform || name.starts_with("BUILDKIT_") || name == "SOURCE_DATE_EPOCH"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_no_word_of_the_user() {
        for (text, expected) in [
            // The last stage alone declares it: the same build either way.
            ("FROM a\nARG V=1\n", Some(true)),
            ("FROM a\nARG V='1'\n", Some(true)),
            // Another stage has another default: a flag would change it.
            ("FROM a AS b\nARG V=2\nFROM a\nARG V=1\n", Some(false)),
            ("FROM a AS b\nARG V\nFROM a\nARG V=1\n", Some(false)),
            ("ARG V=1\nFROM a AS b\nARG V=1\nFROM a\nARG V=1\n", Some(true)),
            ("FROM a\nARG V=$W\n", Some(false)),
            // No default gives this value.
            ("FROM a\nARG V=2\n", None),
            ("FROM a\nARG V\n", None),
            ("FROM a AS b\nARG V=1\nFROM a\nARG V\n", None),
            ("FROM a AS b\nARG V=1\nFROM B\nRUN x\n", Some(true)),
        ] {
            assert_eq!(explained(&declared(text.as_bytes(), None), "V", "1"), expected, "{text}");
        }
    }
}
