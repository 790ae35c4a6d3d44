//! What was found about a machine, as text.

use std::fmt::Write as _;

use crate::doctor::Findings;
use crate::image::escape::escape;

/// A line a finding, and the hint below it.
#[must_use]
pub fn render_doctor(findings: &Findings) -> String {
    let mut out = String::new();
    let mut part = "";
    for finding in &findings.findings {
        if finding.part != part {
            part = finding.part;
            let _ = writeln!(out, "{part}");
        }
        let _ = writeln!(out, "  {:<8}{:<18}{}", finding.health.name(), finding.what, escape(&finding.found));
        if let Some(hint) = &finding.hint {
            let _ = writeln!(out, "{:28}hint: {}", "", escape(hint));
        }
    }
    let _ = writeln!(out);
    let works = match findings.runtimes.as_slice() {
        [] => "no runtime works here".to_owned(),
        runtimes => format!("{} {} here", runtimes.join(", "), if runtimes.len() == 1 { "works" } else { "work" }),
    };
    let _ = writeln!(out, "{works}; without --buildkit-image the pin is {}", findings.default_pin);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Finding, Health, SCHEMA};

    #[test]
    fn hints_stand_below_what_they_are_about() {
        let finding = |part, health, hint: Option<&str>| Finding {
            part,
            what: "daemon",
            health,
            found: "it\u{1b}".to_owned(),
            hint: hint.map(str::to_owned),
        };
        let findings = Findings {
            schema: SCHEMA,
            version: "1",
            runtimes: vec!["podman"],
            default_pin: "name@digest".to_owned(),
            findings: vec![finding("docker", Health::Fails, Some("start it")), finding("podman", Health::Ok, None)],
        };
        let expected = "docker\n  fails   daemon            it\\u{1b}\n                            hint: start it\npodman\n  ok      daemon            it\\u{1b}\n\npodman works here; without --buildkit-image the pin is name@digest\n";
        assert_eq!(render_doctor(&findings), expected);
    }
}
