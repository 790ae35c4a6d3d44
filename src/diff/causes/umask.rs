//! Permissions that the umask of a checkout decides.

use super::step::Step;
use super::{Cause, Claim, Level, Place, setgid};
use crate::diff::model::{Confidence, EntryDifference, Kind, LayerPair};

/// See the module.
pub const CAUSE: Cause = Cause { id: "umask", explain };

/// Permissions of the group and of others: what a umask takes away.
const TAKEN: i64 = 0o077;
/// The umasks that are in use.
const UMASKS: [i64; 8] = [0o000, 0o002, 0o007, 0o022, 0o026, 0o027, 0o037, 0o077];
const FIX: &str = "Set the modes where the files are copied: `COPY --chmod=755`, or with a frontend of 1.14 or later \
                   `COPY --chmod=u=rwX,go=rX`, in RUN `install -m 644` or `chmod -R u=rwX,go=rX DIR`; or build with `--context-modes git`, \
                   which gives every file the mode that git stores.";

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Entry || place.difference.kind != Kind::Mode {
        return None;
    }
    let (a, b) = setgid::modes(place)?;
    if !differ_by_umask(a, b) {
        return None;
    }
    let is_whole = (a ^ b) & 0o7777 & !(TAKEN | setgid::SETGID) == 0;
    if place.step().is_run() && brought_by(place).is_none() {
        return of_run(place).map(|claim| claim.whole_if(is_whole));
    }
    let explanation = "Permissions of the group and of others differ as the umask of whoever checked out the source decides: git keeps \
                       nothing but whether a file can be executed.";
    Some(Claim::new(Confidence::High, explanation).fix(FIX).whole_if(is_whole))
}

/// In RUN the umask is always the builder's, but `cp` takes the mode of a file of the context along.
fn of_run(place: &Place<'_>) -> Option<Claim> {
    let has_such = earlier(place).any(|layer| layer.entries.iter().any(differ));
    let is_mounted = || {
        place
            .mounts()
            .any(|mount| !mount.contains("from=") && (mount.contains("type=bind") || !mount.contains("type=")))
    };
    if !has_such && !is_mounted() {
        return None;
    }
    let explanation = "RUN copied files of the context with their permissions, which differ as the umask of whoever checked out the \
                       source decides.";
    Some(Claim::new(Confidence::Medium, explanation).fix(FIX))
}

/// The layer that brought a file into which RUN only wrote: it keeps the mode that it came with.
#[must_use]
pub(super) fn brought_by<'a>(place: &Place<'a>) -> Option<&'a LayerPair> {
    let is_it = |entry: &EntryDifference| entry.path.bytes == place.path() && differ(entry);
    let found = earlier(place).find(|layer| layer.entries.iter().any(is_it))?;
    (!Step::of(found.instruction.as_ref()).is_run()).then_some(found)
}

/// The layers below the one that a place is in.
fn earlier<'a>(place: &Place<'a>) -> impl Iterator<Item = &'a LayerPair> {
    let number = |layer: &LayerPair| layer.a.as_ref().or(layer.b.as_ref()).map(|layer| layer.number);
    let own = place.layer.and_then(number);
    let layers = place.platform.map(|platform| platform.layers.as_slice()).unwrap_or_default();
    layers.iter().filter(move |layer| own.is_some() && number(layer) < own)
}

fn differ(entry: &EntryDifference) -> bool {
    entry.a.as_ref().zip(entry.b.as_ref()).is_some_and(|(a, b)| differ_by_umask(a.mode, b.mode))
}

/// Whether two umasks make these modes from one.
fn differ_by_umask(a: i64, b: i64) -> bool {
    let differ = (a ^ b) & TAKEN;
    let possible = |full: i64| {
        let makes = |mode: i64| UMASKS.iter().any(|umask| full & !umask & 0o777 == mode & 0o777);
        makes(a) && makes(b)
    };
    differ != 0 && (a ^ b) & 0o700 == 0 && [0o666, 0o777].into_iter().any(possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn umasks_are_told_from_other_changes() {
        for (a, b, expected) in [
            (0o644, 0o600, true),
            (0o755, 0o700, true),
            (0o644, 0o664, true),
            (0o2755, 0o775, true),
            (0o755, 0o644, false),
            (0o644, 0o4644, false),
            (0o644, 0o645, false),
            (0o600, 0o400, false),
        ] {
            assert_eq!(differ_by_umask(a, b), expected, "{a:o} {b:o}");
        }
    }
}
