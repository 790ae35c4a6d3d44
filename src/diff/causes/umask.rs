//! Permissions that the umask of a checkout decides.

use super::{Cause, Claim, Level, Place, setgid};
use crate::diff::model::{Confidence, Kind};

/// See the module.
pub const CAUSE: Cause = Cause { id: "umask", explain };

/// Permissions of the group and of others: what a umask takes away.
const TAKEN: i64 = 0o077;
/// The umasks that are in use.
const UMASKS: [i64; 8] = [0o000, 0o002, 0o007, 0o022, 0o026, 0o027, 0o037, 0o077];

fn explain(place: &Place<'_>) -> Option<Claim> {
    if place.level != Level::Entry || place.difference.kind != Kind::Mode {
        return None;
    }
    let (a, b) = setgid::modes(place)?;
    if !differ_by_umask(a, b) || place.step().is_run() {
        return None;
    }
    let explanation = "Permissions of the group and of others differ as the umask of whoever checked out the source decides: git keeps \
                       nothing but whether a file can be executed.";
    let fix = "Set the modes where the files are copied: `COPY --chmod=755`, or with a frontend of 1.14 or later \
               `COPY --chmod=u=rwX,go=rX`; or build with `--context-modes git`, which gives every file the mode that git stores.";
    let is_whole = (a ^ b) & 0o7777 & !(TAKEN | setgid::SETGID) == 0;
    Some(Claim::new(Confidence::High, explanation).fix(fix).whole_if(is_whole))
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
