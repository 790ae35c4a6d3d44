//! Text from inside an image, made fit for a terminal.
//!
//! Paths, annotations and history lines are written by strangers: a control sequence in one of them must not reach the
//! terminal, nor may a direction mark re-order what the reader sees.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with every character that a terminal would act on, or that cannot be seen, written as `\u{…}`.
///
/// A literal `\u{` has its backslash escaped as well, thus no two texts look the same.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u{") && !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, character) in text.char_indices() {
        if is_unprintable(character) || (character == '\\' && text[at..].starts_with("\\u{")) {
            push_escaped(&mut out, u32::from(character), 'u');
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Like [`escape`] for bytes that need not be UTF-8: a byte that is no part of a character is written as `\x{…}`.
#[must_use]
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&escape(chunk.valid()));
        for byte in chunk.invalid() {
            push_escaped(&mut out, u32::from(*byte), 'x');
        }
    }
    out
}

/// Whether a terminal acts on this character, or shows nothing for it.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(u32::from(character),
            0x00ad | 0x061c | 0x180e // soft hyphen, Arabic letter mark, Mongolian vowel separator
            | 0x200b..=0x200f // zero width, direction marks
            | 0x2028..=0x202e // line and paragraph separators, direction embeddings
            | 0x2060..=0x206f // invisible operators, direction isolates
            | 0xfeff | 0xfff9..=0xfffb // byte order mark, interlinear annotations
            | 0xe0000..=0xe007f) // tags
}

fn push_escaped(out: &mut String, code: u32, letter: char) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\{letter}{{{code:x}}}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal() {
        for (text, shown) in [
            ("plain/päth", "plain/päth"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\nb\r\t\0", "a\\u{a}b\\u{d}\\u{9}\\u{0}"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("gpj.\u{202e}exe", "gpj.\\u{202e}exe"),
            ("C:\\dir", "C:\\dir"),
            ("\\u{1b}", "\\u{5c}u{1b}"),
        ] {
            assert_eq!(escape(text), shown);
            assert_eq!(escape_bytes(text.as_bytes()), shown);
        }
        assert_eq!(escape_bytes(b"a\xff\x1bb"), "a\\x{ff}\\u{1b}b");
    }
}
