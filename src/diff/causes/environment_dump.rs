//! The environment of RUN, written into a file.

use super::words::Word;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "environment-dump", explain };

/// Variables that the builder sets, or that a shell or the machine has.
const VARIABLES: [&str; 9] =
    ["TRACEPARENT", "TRACESTATE", "HOSTNAME", "HOST", "RANDOM", "SECONDS", "PPID", "BASHPID", "EPOCHSECONDS"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let lines = place.lines()?;
    let is_set = |line: &[u8]| {
        let line = line.strip_prefix(b"export ").or_else(|| line.strip_prefix(b"declare -x ")).unwrap_or(line);
        let name = line.split(|byte| *byte == b'=').next().unwrap_or_default();
        VARIABLES.iter().any(|variable| variable.as_bytes() == name)
    };
    let known = |pair: &super::lines::Pair| is_set(&pair.a) && is_set(&pair.b);
    if !lines.has(Word::Trace) && !lines.pairs.iter().any(known) {
        return None;
    }
    let is_whole = lines.single == 0 && lines.pairs.iter().all(|pair| pair.is_known() || known(pair));
    let explanation = "The environment of RUN was written into a file. The builder puts a TRACEPARENT into it that is new in every \
                       build, and a host has variables of its own.";
    let fix =
        "Write the variables that are needed by name instead of the whole environment (`env`, `export -p`, `set`).";
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(is_whole || place.all_words_known()))
}
