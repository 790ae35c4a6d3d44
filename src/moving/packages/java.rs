//! Maven and Gradle: only what `pom.xml` and `build.gradle` themselves say.

use super::{Arguments, Place};
use crate::moving::files::Found;
use crate::moving::has_ending;
use crate::moving::hit::{Hit, shown};
use crate::moving::rule::Rule;
use crate::moving::shell::Command;

/// `mvn`.
pub(super) fn maven(command: &Command, place: &Place) -> Vec<Hit> {
    let arguments =
        Arguments::new(&command.words, &["-f", "--file", "-s", "--settings", "-P", "-pl", "-T", "-rf", "-gs", "-D"]);
    if arguments.has(&["-o", "--offline"]) {
        return Vec::new();
    }
    let path = arguments.values(&["-f", "--file"]).next().unwrap_or("pom.xml");
    let path = if has_ending(path, &[".xml"]) { path.to_owned() } else { format!("{path}/pom.xml") };
    let Found::Text(name, text) = place.find(&path) else { return Vec::new() };
    let Some((line, version)) = moving_in_pom(&text) else { return Vec::new() };
    let what = format!("version `{}` ({}:{line})", shown(version), shown(&name));
    vec![Hit::moves(Rule::MavenVersions, what, "one released version; `mvn versions:resolve-ranges` writes it")]
}

/// The first version of a dependency, plugin or extension that is a snapshot, a range or the newest.
fn moving_in_pom(text: &str) -> Option<(usize, &str)> {
    let (mut within, mut at) = (0_usize, 0);
    // The project's own modules have its own version.
    let own = own_version(text);
    while let Some(found) = text[at..].find('<') {
        at += found;
        let rest = &text[at..];
        if rest.starts_with("<!--") {
            at += rest.find("-->")? + 3;
            continue;
        }
        let tag = rest.split(['>', ' ', '\n', '\t', '\r']).next().unwrap_or_default();
        match tag {
            "<dependency" | "<plugin" | "<extension" => within += 1,
            "</dependency" | "</plugin" | "</extension" => within = within.saturating_sub(1),
            "<version" if within > 0 => {
                let value = rest.split_once('>')?.1.split('<').next()?.trim();
                if moves(value) && Some(value) != own {
                    return Some((text[..at].matches('\n').count() + 1, value));
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The version of the project, or of the parent that it takes its own from.
fn own_version(text: &str) -> Option<&str> {
    let head = text.split("<dependencies>").next()?.split("<dependencyManagement>").next()?.split("<build>").next()?;
    let own = head.split_once("</parent>").map_or(head, |(_, own)| own);
    let version = |text: &'_ str| text.find("<version>").map(|at| at + "<version>".len());
    let (part, at) = version(own).map(|at| (own, at)).or_else(|| version(head).map(|at| (head, at)))?;
    part[at..].split('<').next().map(str::trim)
}

fn moves(version: &str) -> bool {
    let is_range = version.starts_with(['[', '(']) && version.contains(',');
    version.ends_with("-SNAPSHOT") || is_range || matches!(version, "LATEST" | "RELEASE")
}

/// `gradle`.
pub(super) fn gradle(command: &Command, place: &Place) -> Vec<Hit> {
    let arguments = Arguments::new(&command.words, &["-p", "--project-dir", "-b", "-c", "-I", "-g", "-x"]);
    if arguments.has(&["--offline"]) {
        return Vec::new();
    }
    let place = place.within(arguments.values(&["-p", "--project-dir"]).next());
    if place.has("gradle.lockfile") == Some(true) {
        return Vec::new();
    }
    for path in ["build.gradle", "build.gradle.kts"] {
        let Found::Text(name, text) = place.find(path) else { continue };
        if let Some((line, version)) = dynamic_in_gradle(&text) {
            let what = format!("version `{}` ({}:{line})", shown(version), shown(&name));
            return vec![Hit::moves(
                Rule::GradleVersions,
                what,
                "one version, or lock them all: `gradle dependencies --write-locks`",
            )];
        }
    }
    Vec::new()
}

/// The first `group:name:1.+` and the like: a quoted word of three parts of which the last moves.
fn dynamic_in_gradle(text: &str) -> Option<(usize, &str)> {
    for (line, number) in text.lines().zip(1..) {
        let line = line.split("//").next().unwrap_or_default();
        for quoted in line.split(['"', '\'']).skip(1).step_by(2) {
            let mut parts = quoted.split(':');
            let version = parts.nth(2).and_then(|version| version.split('@').next());
            if let Some(version) = version.filter(|version| parts.next().is_none() && is_dynamic(version)) {
                return Some((number, version));
            }
        }
    }
    None
}

fn is_dynamic(version: &str) -> bool {
    let is_latest = version.starts_with("latest.");
    version.ends_with('+') && !version.contains('$') || is_latest || moves(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pom_moves_where_a_dependency_does() {
        let pom = |version: &str| {
            format!(
                "<project><version>1-SNAPSHOT</version>\n<dependencies>\n<dependency><artifactId>a</artifactId><version>{version}</version></dependency></dependencies></project>"
            )
        };
        for version in ["2-SNAPSHOT", "[1,2)", "(,1]", "LATEST", "RELEASE"] {
            assert_eq!(moving_in_pom(&pom(version)), Some((3, version)));
        }
        for version in ["1-SNAPSHOT", "1.2", "[1.2]", "${version}"] {
            assert_eq!(moving_in_pom(&pom(version)), None, "{version}");
        }
        assert_eq!(moving_in_pom("<dependency><!-- <version>LATEST</version> --></dependency>"), None);
    }

    #[test]
    fn a_gradle_file_moves_where_a_version_is_dynamic() {
        for version in ["1.+", "+", "latest.release", "[1,2)", "2-SNAPSHOT"] {
            let text = format!("dependencies {{\n  implementation 'a:b:{version}'\n}}");
            assert_eq!(dynamic_in_gradle(&text), Some((2, version)));
        }
        for text in ["implementation 'a:b:1.2'", "// 'a:b:+'", "x = 'a' + 'b'", "implementation 'a:b:1.2@jar'", "'a:b'"]
        {
            assert_eq!(dynamic_in_gradle(text), None, "{text}");
        }
    }
}
