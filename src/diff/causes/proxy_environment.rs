//! The proxy of whoever builds.

use super::lines::Pair;
use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "proxy-environment", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let lines = place.lines()?;
    let is_proxy = |line: &[u8]| {
        let line = line.to_ascii_lowercase();
        let has = |what: &[u8]| line.windows(what.len()).any(|part| part == what);
        has(b"proxy") && (has(b"://") || has(b"no_proxy") || has(b"noproxy"))
    };
    let is_known = |pair: &Pair| is_proxy(&pair.a) && is_proxy(&pair.b);
    if !lines.pairs.iter().any(is_known) {
        return None;
    }
    let is_whole = lines.single == 0 && lines.pairs.iter().all(|pair| is_known(pair) || pair.is_known());
    let explanation = "The proxy of whoever builds was written into a file.";
    let fix = "Let tools take the proxy from the environment of RUN, which stays out of the image, and write it into no file.";
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(is_whole))
}
