//! The id of a machine.

use super::{Cause, Claim, Place};

/// See the module.
pub const CAUSE: Cause = Cause { id: "machine-id", explain };

const PATHS: &[&str] = &["etc/machine-id", "var/lib/dbus/machine-id"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    let confidence = place.content_at(PATHS)?;
    let explanation = "The id of a machine was made while the image was built. All containers of the image would have the same \
         one.";
    let fix = "Leave it empty, so that it is made at the first start: `RUN : > /etc/machine-id`, and remove \
         /var/lib/dbus/machine-id.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
