//! Host keys of SSH.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "ssh-host-keys", explain };

const PATHS: &[&str] = &["etc/ssh/ssh_host_*", "etc/dropbear/dropbear_*_host_key"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "The keys of an SSH server were made while the image was built. Whoever has the image has them.";
    let fix = "Remove them in the RUN that installs the server (`rm -f /etc/ssh/ssh_host_*`), and make them at the start \
         of the container (`ssh-keygen -A`).";
    Some(Claim::new(confidence, explanation).fix(fix))
}
