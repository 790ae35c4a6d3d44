//! What every page shares: nothing from anywhere else, and no text that is taken for more than text.

/// What a page may load: nothing. Its style stands in it; there is no script.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Text as HTML has it, in an element and in a quoted attribute. What a terminal would act on is not escaped here.
#[must_use]
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
