//! Passwords that are hashed with a random salt.

use super::{Cause, Claim, Place, shadow_day};

/// See the module.
pub const CAUSE: Cause = Cause { id: "password-salt", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    const PASSWORD: usize = 1;
    let (confidence, is_whole) = shadow_day::of_field(place, PASSWORD)?;
    let explanation = "A password was hashed with a random salt while the image was built.";
    let fix = "Set no password in an image (`useradd` without `chpasswd`), or give the hash that was made once: \
               `usermod --password 'HASH' USER`, `chpasswd --encrypted`.";
    Some(Claim::new(confidence, explanation).fix(fix).whole_if(is_whole))
}
