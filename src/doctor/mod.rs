//! What works on this machine, and what to do about the rest. It asks and reads, changes nothing and starts no build.

mod buildkitd;
mod engines;
mod machine;

use std::path::Path;

use serde::Serialize;

use crate::environment::Environment;
use crate::pin::{Attacker, Pin, Variant, Version, advisories_for};
use crate::runtime::interrupt::Interrupt;

/// The name and version of the form that a [`Findings`] has as JSON.
pub const SCHEMA: &str = "repro.doctor.v1";

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It works.
    Ok,
    /// It works, and something about it may go wrong.
    Warning,
    /// It is missing or does not work.
    Fails,
}

impl Health {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fails => "fails",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What it belongs to: a runtime, `registry`, `machine`.
    pub part: &'static str,
    /// What was looked at.
    pub what: &'static str,
    /// How it is.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Finding {
    fn new(part: &'static str, what: &'static str, health: Health, found: impl Into<String>) -> Self {
        Self { part, what, health, found: found.into(), hint: None }
    }

    fn ok(part: &'static str, what: &'static str, found: impl Into<String>) -> Self {
        Self::new(part, what, Health::Ok, found)
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Findings {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The version of `repro`.
    pub version: &'static str,
    /// The runtimes that work here, in the order in which a build takes the first.
    pub runtimes: Vec<&'static str>,
    /// The pin that a build uses where none is named.
    pub default_pin: String,
    /// What was looked at, in order.
    pub findings: Vec<Finding>,
}

/// Looks at everything.
pub async fn examine(environment: &Environment, interrupt: &Interrupt) -> Findings {
    let mut findings = engines::docker(environment, interrupt).await;
    findings.extend(engines::podman(environment, interrupt).await);
    findings.extend(buildkitd::look(environment));
    let works =
        |part: &&'static str| !findings.iter().any(|finding| finding.part == *part && finding.health == Health::Fails);
    let runtimes = ["docker", "podman", "buildkitd"].into_iter().filter(works).collect();
    findings.extend(machine::credentials(environment));
    findings.extend(machine::look(environment, interrupt).await);
    let pin = Pin::default_for(Variant::Plain);
    findings.extend(weaknesses(pin.version));
    let default_pin = pin.source.to_string();
    Findings { schema: SCHEMA, version: env!("CARGO_PKG_VERSION"), runtimes, default_pin, findings }
}

/// The advisories that the default pin has. They are no failure: a frontend that nobody trusts is refused on such a pin.
fn weaknesses(version: Option<Version>) -> Vec<Finding> {
    let version_text = version.map_or_else(|| "unknown version".to_owned(), |version| version.to_string());
    let found = advisories_for(version).map(|advisory| {
        let hint = match advisory.attacker {
            Attacker::Frontend => {
                "build with frontends that you trust, as is the default, or take a later pin with `--buildkit-image`"
            }
            Attacker::Build => {
                "build what you trust, on a machine that you can lose, or take a later pin with `--buildkit-image`"
            }
        };
        Finding::new("pin", "advisory", Health::Warning, advisory.to_string()).hint(hint)
    });
    let found: Vec<Finding> = found.collect();
    if found.is_empty() {
        vec![Finding::ok("pin", "advisory", format!("none is known for {version_text}"))]
    } else {
        found
    }
}

/// Free bytes for this user where a path lies, or will lie.
fn free_bytes(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|ancestor| ancestor.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Below it BuildKit's own garbage collection was seen to take away what a build still needed.
const SMALL_BYTES: u64 = 3_000_000_000;

/// The free space where a runtime keeps its layers.
fn space(part: &'static str, path: &Path) -> Option<Finding> {
    let free = free_bytes(path)?;
    let found = format!("{}.{} GB at `{}`", free / 1_000_000_000, free % 1_000_000_000 / 100_000_000, path.display());
    if free >= SMALL_BYTES {
        return Some(Finding::ok(part, "free space", found));
    }
    let hint = "free some: below 3 GB, BuildKit removes from its cache what the build still needs (`repro builder prune` removes what is not used)";
    Some(Finding::new(part, "free space", Health::Warning, found).hint(hint))
}
