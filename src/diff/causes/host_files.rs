//! Files that the builder lays over those of the image.

use super::{Cause, Claim, Place, path};
use crate::diff::model::Confidence;

/// See the module.
pub const CAUSE: Cause = Cause { id: "host-files", explain };

const PATHS: &[&str] = &["**/resolv.conf", "**/hosts", "**/hostname", "**/mtab", "**/etc/localtime", "**/etc/timezone"];

fn explain(place: &Place<'_>) -> Option<Claim> {
    place.content_at(PATHS)?;
    // Something else may be called `hosts`: the lines of the real ones begin with words that say what they are.
    let known: [&[u8]; 4] = [b"nameserver ", b"search ", b"options ", b"domain "];
    let is_address = |line: &[u8]| {
        let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        std::str::from_utf8(word).is_ok_and(|word| word.parse::<std::net::IpAddr>().is_ok())
    };
    let name = path::name(place.path());
    let fits = |line: &[u8]| match name {
        b"resolv.conf" => known.iter().any(|word| line.starts_with(word)),
        b"hosts" => is_address(line),
        _ => true,
    };
    let mut text = place.text().iter().filter_map(|line| line.bytes.split_first()).peekable();
    let is_real = text.peek().is_some() && text.any(|(sign, line)| b"-+".contains(sign) && fits(line));
    let confidence = if is_real && [b"resolv.conf".as_slice(), b"hosts"].contains(&name) {
        Confidence::High
    } else {
        Confidence::Low
    };
    let explanation = "A file that tells of the network or the machine of whoever builds was copied: the builder lays its own \
                       /etc/resolv.conf, /etc/hosts and /etc/hostname over those of the image while RUN runs.";
    let fix = "Do not copy /etc as a whole in RUN: leave these files out, or take them from a stage by `COPY --from`.";
    Some(Claim::new(confidence, explanation).fix(fix))
}
