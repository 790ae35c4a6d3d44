//! What tools remember of a user.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "user-state", explain };

const PATHS: &[&str] = &[
    "**/.wget-hsts",
    "**/.bash_history",
    "**/.ash_history",
    "**/.python_history",
    "**/.node_repl_history",
    "**/.lesshst",
    "**/.viminfo",
    "**/.sqlite_history",
    "**/.config/go/telemetry/**",
    "**/.config/configstore/**",
    "**/.config/gcloud/**",
    "**/.dotnet/**",
    "**/.config/NuGet/**",
    "**/.local/state/**",
    "**/.cpan/**",
    "**/.subversion/**",
    "**/.kube/cache/**",
    "**/.terraform.d/**",
];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "A tool keeps what it remembers of its user: when it ran, and what it asked.";
    let fix =
        "Remove it in the same RUN, or give the tool another home for it: `HOME=/tmp/home … && rm -rf /tmp/home`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
