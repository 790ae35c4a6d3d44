//! Build ids that are no hash of the program.

use super::inside::has;
use super::{Cause, Claim, Place};
use crate::diff::content::Format;
use crate::diff::model::{Confidence, Text};

/// See the module.
pub const CAUSE: Cause = Cause { id: "elf-build-id", explain };

fn explain(place: &Place<'_>) -> Option<Claim> {
    let content = place.content().filter(|content| content.format == Format::Elf && has(content, "build id"))?;
    // Where anything else differs, the id follows from it.
    let is_id = |name: &str| {
        name == "build id"
            || name.starts_with("section .note.gnu.build-id")
            || name.starts_with("section .gnu_debuglink")
    };
    let name = |part: &crate::diff::model::Difference| part.place.as_ref().and_then(Text::as_str).is_some_and(is_id);
    if content.more > 0 || !content.parts.iter().all(name) {
        return None;
    }
    let explanation = "Two programs differ in their build id alone: it was made up at random, or from something that is in no section.";
    let fix =
        "Let the linker derive it from the program: `-Wl,--build-id=sha1`, or leave it out: `-Wl,--build-id=none`.";
    Some(Claim::new(Confidence::High, explanation).fix(fix))
}
