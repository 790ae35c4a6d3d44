//! Images without a digest: in FROM, COPY `--from`, RUN `--mount` and `# syntax=`.

use std::collections::BTreeSet;

use super::hit::{Hit, shown};
use super::rule::Rule;
use super::variables::{Expansion, Variables};
use super::{Inputs, Moving, Severity};
use crate::dockerfile::{Dockerfile, Instruction, Syntax, detect_syntax};
use crate::reference::ImageReference;

const DIGEST_HINT: &str = "`docker buildx imagetools inspect` shows the digest";

/// What may be meant where an image can stand.
pub(super) struct Names<'a> {
    pub(super) dockerfile: &'a Dockerfile,
    pub(super) contexts: &'a BTreeSet<String>,
}

/// What a word means where an image can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A stage, by its number.
    Stage(usize),
    /// An image, or a context that was given.
    Image,
}

impl Names<'_> {
    /// The meaning of a name in FROM (only stages in front of it count) or of a name or number elsewhere.
    pub(super) fn meaning(&self, text: &str, before: usize, takes_numbers: bool) -> Meaning {
        let stages = &self.dockerfile.stages;
        let name = text.to_lowercase();
        let named = stages.iter().take(before).rposition(|stage| stage.name.as_deref() == Some(&name));
        let number = || text.parse().ok().filter(|number| takes_numbers && *number < before);
        named.or_else(number).map_or(Meaning::Image, Meaning::Stage)
    }

    /// The stages whose name a text with unknown variables could be.
    pub(super) fn possible(&self, text: &str, before: usize) -> Vec<usize> {
        let start = text.split('$').next().unwrap_or_default().to_lowercase();
        let end = text.rsplit(['$', '}']).next().unwrap_or_default().to_lowercase();
        let end = if text.ends_with('}') || !text.contains('}') { "" } else { end.as_str() };
        let fits = |name: &str| name.starts_with(&start) && name.ends_with(end);
        let stages = self.dockerfile.stages.iter().take(before).enumerate();
        stages.filter(|(_, stage)| stage.name.as_deref().is_some_and(fits)).map(|(at, _)| at).collect()
    }

    /// Whether a context was given under this name.
    fn is_given(&self, text: &str) -> bool {
        let familiar = text.parse::<ImageReference>().ok().map(|image| image.familiar());
        familiar.is_some_and(|name| self.contexts.contains(&name)) || self.contexts.contains(&text.to_lowercase())
    }

    /// What moves about an image. `as_it_should_be` makes the line from the pinned image.
    pub(super) fn judge(
        &self,
        rule: Rule,
        written: &str,
        expansion: &Expansion,
        as_it_should_be: impl Fn(&str) -> String,
    ) -> Option<Hit> {
        let text = expansion.text.as_str();
        let has_digest = text.rsplit_once('@').is_some_and(|(_, digest)| {
            digest.starts_with("sha256:") || digest.starts_with("sha512:") || digest.contains('$')
        });
        if text == "scratch" || text.is_empty() || has_digest || self.is_given(text) {
            return None;
        }
        if let Some(missing) = &expansion.missing {
            let fix = format!("give `{}` a default that holds a digest", shown(missing));
            return Some(Hit::may_move(
                Rule::UnresolvedImage,
                format!("`{}` depends on `{}`, which has no value", shown(written), shown(missing)),
                fix,
            ));
        }
        // What is no reference is refused by every builder.
        let image: ImageReference = text.parse().ok()?;
        let pinned = format!("{text}@sha256:DIGEST");
        let fix = if written == text {
            format!("`{}`; {DIGEST_HINT}", shown(&as_it_should_be(&pinned)))
        } else {
            format!("make it `{}`, in the ARG that it comes from; {DIGEST_HINT}", shown(&pinned))
        };
        let what = format!("image `{}`", shown(text));
        let severity = if image.tag().is_some_and(has_date) { Severity::MayMove } else { Severity::Moves };
        Some(Hit { severity, ..Hit::moves(rule, what, fix) })
    }
}

/// A day such as `20240110`, or a time, in a tag: publishers who write it do not build that tag again.
fn has_date(tag: &str) -> bool {
    tag.split(|c: char| !c.is_ascii_digit()).any(|part| part.len() >= 8)
}

/// The values in front of the first FROM.
pub(super) fn globals(inputs: &Inputs) -> Variables {
    const OF_THE_PLATFORM: [&str; 8] = [
        "TARGETPLATFORM",
        "TARGETOS",
        "TARGETARCH",
        "TARGETVARIANT",
        "BUILDPLATFORM",
        "BUILDOS",
        "BUILDARCH",
        "BUILDVARIANT",
    ];
    let mut variables = Variables::global();
    for name in OF_THE_PLATFORM {
        variables.set(name, None);
    }
    let first = inputs.dockerfile.stages.first().map_or(0, |stage| stage.instructions.start);
    for instruction in inputs.dockerfile.instructions.iter().take(first).filter(|instruction| instruction.is("arg")) {
        set_arguments(instruction, &mut variables, None, inputs);
    }
    variables
}

/// ARG: the value that was given, else the default, else that of the same name in front of the first FROM.
pub(super) fn set_arguments(
    instruction: &Instruction,
    variables: &mut Variables,
    globals: Option<&Variables>,
    inputs: &Inputs,
) {
    for word in shlex::split(&instruction.arguments).unwrap_or_default() {
        let (name, default) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        if let Some(given) = inputs.arguments.get(name) {
            variables.set(name, Some(given));
        } else if let Some(default) = default {
            let expansion = variables.expand(default);
            let value = expansion.missing.is_none().then_some(expansion.text);
            variables.set(name, value.as_deref());
        } else if let Some(globals) = globals.filter(|globals| globals.is_set(name)) {
            variables.set(name, globals.get(name).as_deref());
        } else if globals.is_some() && !variables.is_set(name) {
            variables.set(name, None);
        }
    }
}

/// The frontend that is not named by digest.
pub(super) fn frontend(inputs: &Inputs) -> Vec<Moving> {
    let given = inputs.frontend.or_else(|| inputs.arguments.get("BUILDKIT_SYNTAX").map(String::as_str));
    let (command, line, is_given) = match (given, detect_syntax(inputs.text)) {
        (Some(given), _) if given != "builtin" => (given.to_owned(), 1, true),
        (None, Syntax::Image { command, line }) => (command, line, false),
        _ => return Vec::new(),
    };
    let image = command.split_whitespace().next().unwrap_or_default();
    let names = Names { dockerfile: inputs.dockerfile, contexts: &BTreeSet::new() };
    let expansion = Expansion { text: image.to_owned(), missing: None };
    let pinned = |image: &str| if is_given { image.to_owned() } else { format!("# syntax={image}") };
    let hit = names.judge(Rule::FrontendImage, image, &expansion, pinned);
    hit.map(|hit| hit.on(line, line)).into_iter().collect()
}

/// The flags and arguments of an instruction again, with one word replaced.
pub(super) fn with_image(instruction: &Instruction, written: &str, pinned: &str) -> String {
    let words = instruction.flags.iter().map(String::as_str).chain([instruction.arguments.as_str()]);
    let line = std::iter::once(instruction.keyword.as_str()).chain(words).collect::<Vec<_>>().join(" ");
    line.replacen(written, pinned, 1)
}
