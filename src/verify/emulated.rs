//! Whether an emulator had a hand in what was built.

use crate::dockerfile::{Dockerfile, Instruction, Stage};
use crate::image::Platform;
use crate::plan;
use crate::settings::BuildSettings;

/// Whether RUN of a build for this platform does not run as on a machine of its own. Where somebody else runs BuildKit, nothing
/// tells which machine that is.
#[must_use]
pub fn is_emulated(settings: &BuildSettings, platform: &Platform) -> bool {
    let native = plan::Platform::of_this_machine();
    let is_native = |name: &str| {
        let mut parts = name.split('/');
        (parts.next(), parts.next()) == (Some(native.os.as_str()), Some(native.architecture.as_str()))
    };
    let target = format!("{}/{}", platform.os, platform.architecture);
    may_emulate(&settings.dockerfile_bytes, |stage| match stage {
        _ if settings.remote.is_some() => false,
        On::Builder => true,
        On::Target => is_native(&target),
        On::Named(name) => is_native(name),
    })
}

/// Where a stage runs.
enum On<'a> {
    Builder,
    Target,
    Named(&'a str),
}

/// Whether some stage runs something where it is not native. A base may bring a RUN of its own (ONBUILD), which nobody sees here.
fn may_emulate(bytes: &[u8], is_native: impl Fn(On<'_>) -> bool) -> bool {
    // What cannot be read may be another frontend's, with a RUN of its own.
    let Ok(dockerfile) = Dockerfile::parse(bytes) else { return !is_native(On::Target) };
    if dockerfile.stages.is_empty() {
        return !is_native(On::Target);
    }
    (0..dockerfile.stages.len()).any(|at| {
        let stage = &dockerfile.stages[at];
        let instructions = &dockerfile.instructions[stage.instructions.clone()];
        let runs = instructions.iter().any(|one| one.is("run") || one.is("onbuild"));
        let has_strange_base = stage.base != "scratch" && earlier(&dockerfile.stages[..at], stage).is_none();
        (runs || has_strange_base) && !platform_of(&dockerfile, at).is_some_and(&is_native)
    })
}

/// The stage that another one begins with.
pub(super) fn earlier(before: &[Stage], stage: &Stage) -> Option<usize> {
    let base = stage.base.to_lowercase();
    before.iter().rposition(|one| one.name.as_deref() == Some(base.as_str()))
}

/// Where a stage runs: what begins with another stage runs where that does. Nothing where it depends on an argument.
fn platform_of(dockerfile: &Dockerfile, at: usize) -> Option<On<'_>> {
    let mut at = at;
    while let Some(before) = earlier(&dockerfile.stages[..at], &dockerfile.stages[at]) {
        at = before;
    }
    let from: &Instruction = dockerfile.instructions.get(dockerfile.stages[at].instructions.start)?;
    match from.flag("platform") {
        None | Some("$TARGETPLATFORM" | "${TARGETPLATFORM}") => Some(On::Target),
        Some("$BUILDPLATFORM" | "${BUILDPLATFORM}") => Some(On::Builder),
        Some(name) if name.contains('$') => None,
        Some(name) => Some(On::Named(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_runs_on_its_own_platform() {
        // Built for a target that is native, and for one that is not; `linux/here` is native.
        for (text, native, foreign) in [
            ("FROM scratch\nCOPY f /\n", false, false),
            ("FROM scratch\nRUN x\n", false, true),
            ("FROM a\nCOPY f /\n", false, true),
            ("FROM --platform=$BUILDPLATFORM a AS b\nRUN x\nFROM scratch\nCOPY --from=b /x /\n", false, false),
            ("FROM --platform=$BUILDPLATFORM a AS b\nFROM b\nRUN x\n", false, false),
            ("FROM --platform=${BUILDPLATFORM} a AS b\nRUN x\nFROM scratch\nRUN y\n", false, true),
            ("FROM --platform=linux/there a\nRUN x\n", true, true),
            ("FROM --platform=linux/here a\nRUN x\n", false, false),
            ("FROM --platform=$WHERE a\nRUN x\n", true, true),
            ("# syntax=x/y\n", false, true),
        ] {
            for (is_target_native, expected) in [(true, native), (false, foreign)] {
                let found = may_emulate(text.as_bytes(), |on| match on {
                    On::Builder => true,
                    On::Target => is_target_native,
                    On::Named(name) => name == "linux/here",
                });
                assert_eq!(found, expected, "{text} {is_target_native}");
            }
        }
    }
}
