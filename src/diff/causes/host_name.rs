//! The name of the machine that builds.

use super::{Cause, Claim, Place};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "host-name", explain };

/// What BuildKit calls every machine that RUN sees.
const SANDBOX: &[u8] = b"buildkitsandbox";

fn explain(place: &Place<'_>) -> Option<Claim> {
    let lines = place.lines()?;
    let has = |line: &[u8]| line.windows(SANDBOX.len()).any(|part| part == SANDBOX);
    let mut one_side = lines.pairs.iter().filter(|pair| has(&pair.a) != has(&pair.b)).peekable();
    one_side.peek()?;
    let is_whole = lines.single == 0 && lines.pairs.iter().all(|pair| has(&pair.a) != has(&pair.b) || pair.is_known());
    let explanation = "The name of the machine that builds was written into a file. In BuildKit it is always `buildkitsandbox`; another \
                       builder has other names.";
    let fix = "Leave the name out, or set it for the command (`hostname` is asked by many: `--build-arg BUILDKIT_SANDBOX_HOSTNAME=…` \
               names it in BuildKit).";
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(is_whole))
}
