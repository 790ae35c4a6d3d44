//! Requirements of Python: words of a command line, and files.

use super::Place;
use crate::moving::files::Found;
use crate::moving::is_commit;

/// How deep files may name files.
const DEPTH: usize = 4;

/// How firmly a requirement is fixed; the loosest comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Firmness {
    /// By a hash or a commit.
    Hash,
    /// It is a file of the context or of the image, or that cannot be told.
    NotOurs,
    /// By its version.
    Version,
    /// Not at all.
    Loose,
}

/// Judges one requirement, such as `name[extra]==1.2; marker`.
pub(super) fn judge(text: &str) -> Firmness {
    let (text, marker) = text.split_once(';').map_or((text, ""), |(text, marker)| (text.trim(), marker));
    if text.contains("--hash=") || marker.contains("--hash=") {
        return Firmness::Hash;
    }
    let text = text.trim();
    if let Some(at) = text.find("git+") {
        let reference =
            text[at..].split('#').next().unwrap_or_default().rsplit_once('@').map_or("", |(_, reference)| reference);
        return match reference {
            _ if is_commit(reference) => Firmness::Hash,
            _ if reference.contains('$') => Firmness::NotOurs,
            _ => Firmness::Loose,
        };
    }
    if text.contains("://") {
        let is_hashed = text.contains("#sha256=") || text.contains("&sha256=");
        return match (is_hashed, text.contains("file://")) {
            (true, _) => Firmness::Hash,
            (_, true) => Firmness::NotOurs,
            _ => Firmness::Version,
        };
    }
    if let Some((_, version)) = text.split_once("==") {
        return if version.contains('*') { Firmness::Loose } else { Firmness::Version };
    }
    let is_file =
        text.starts_with(['.', '/', '~', '$']) || [".whl", ".tar.gz", ".zip"].iter().any(|end| text.ends_with(end));
    if is_file || text.is_empty() || text.contains('$') || text.starts_with('-') {
        return Firmness::NotOurs;
    }
    Firmness::Loose
}

/// What a file of requirements says: the loosest, with its line and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    /// How firmly the loosest one is fixed.
    pub(super) firmness: Firmness,
    /// The path in the context, and the line of the loosest one.
    pub(super) place: String,
    /// The loosest one.
    pub(super) text: String,
}

/// Judges a file of requirements and the files that it names. `None` where it is not known or empty.
pub(super) fn judge_file(path: &str, place: &Place) -> Option<Judged> {
    judge_within(path, place, DEPTH)
}

fn judge_within(path: &str, place: &Place, depth: usize) -> Option<Judged> {
    let Found::Text(name, text) = place.find(path) else { return None };
    let requires_hashes = text.contains("--require-hashes");
    let mut worst: Option<Judged> = None;
    let mut note = |judged: Judged| {
        if worst.as_ref().is_none_or(|worst| worst.firmness < judged.firmness) {
            worst = Some(judged);
        }
    };
    for (line, requirement) in logical_lines(&text) {
        let requirement = requirement.trim();
        let other = ["-r", "--requirement"].iter().find_map(|option| {
            let rest = requirement.strip_prefix(option)?;
            Some(rest.strip_prefix('=').unwrap_or(rest).trim())
        });
        if let Some(other) = other {
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            let other = if directory.is_empty() || other.starts_with('/') {
                other.to_owned()
            } else {
                format!("{directory}/{other}")
            };
            if depth > 0
                && let Some(judged) = judge_within(&other, place, depth - 1)
            {
                note(judged);
            }
        } else if ["-c", "--constraint"].iter().any(|option| requirement.starts_with(option)) {
            // What the constraints say is not followed: everything may be fixed there.
            return None;
        } else {
            let editable = ["-e", "--editable"].iter().find_map(|option| requirement.strip_prefix(option));
            let text = editable.unwrap_or(requirement).trim();
            if text.is_empty() || text.starts_with('-') {
                continue;
            }
            let firmness = if requires_hashes { Firmness::Hash } else { judge(text) };
            note(Judged {
                firmness,
                place: format!("{name}:{line}"),
                text: text.split(" --").next().unwrap_or(text).to_owned(),
            });
        }
    }
    worst
}

/// Lines without comments, joined where they go on, with the number of the first.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (line, number) in text.lines().zip(1..) {
        let without = match line.find('#') {
            Some(0) => "",
            _ => line.split(" #").next().unwrap_or(line),
        };
        let part = without.trim_end();
        let (part, more) = part.strip_suffix('\\').map_or((part, false), |part| (part, true));
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, last)) => last.push_str(part),
            None => lines.push((number, part.to_owned())),
        }
        goes_on = more;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_judged() {
        for (text, expected) in [
            ("flask", Firmness::Loose),
            ("flask[async]>=2,<3", Firmness::Loose),
            ("flask~=2.0", Firmness::Loose),
            ("flask==2.*", Firmness::Loose),
            ("flask==2.0.1", Firmness::Version),
            ("flask===2.0.1 ; python_version == '3'", Firmness::Version),
            ("flask; python_version == '3'", Firmness::Loose),
            ("flask==2.0.1 --hash=sha256:00", Firmness::Hash),
            ("flask==2.0.1; x == 'y' --hash=sha256:00", Firmness::Hash),
            ("flask==$VERSION", Firmness::Version),
            ("$PACKAGES", Firmness::NotOurs),
            ("./dist/a.whl", Firmness::NotOurs),
            ("a @ git+https://host/a@0123456789012345678901234567890123456789#egg=a", Firmness::Hash),
            ("git+https://host/a@main", Firmness::Loose),
            ("git+https://host/a", Firmness::Loose),
            ("a @ https://host/a.whl", Firmness::Version),
            ("a @ https://host/a.whl#sha256=00", Firmness::Hash),
        ] {
            assert_eq!(judge(text), expected, "{text}");
        }
    }
}
