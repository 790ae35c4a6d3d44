//! Which format a file has, and what is looked at in it.

use super::{Content, Format, first_of, text};

/// Looks into two contents, `depth` archives deep; what is inflated is taken off the `budget`.
pub fn look(path: &[u8], a: &[u8], b: &[u8], depth: usize, budget: &mut u64) -> Content {
    let _ = (path, depth, budget);
    let first = Some(first_of(a, b));
    if text::is_text(a) && text::is_text(b) {
        let mut content = Content::new(Format::Text, first);
        text::compare(a, b, &mut content);
        return content;
    }
    Content::new(Format::Binary, first)
}
