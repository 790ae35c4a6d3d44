//! The name of an instruction, and the flags in front of its arguments (`split_command.go`).

/// The first word and what follows it; `None` where there is no word.
pub(super) fn split_keyword(line: &str) -> Option<(&str, &str)> {
    const BLANKS: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];
    let line = line.trim();
    let (keyword, rest) = line.split_once(BLANKS).unwrap_or((line, ""));
    (!keyword.is_empty()).then(|| (keyword, rest.trim_start_matches(BLANKS)))
}

/// The flags, unquoted, and the arguments behind them. A word `--` ends the flags.
pub(super) fn split_flags(text: &str, escape: char) -> (Vec<String>, String) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let (word, length) = read_word(rest, escape);
        rest = &rest[length..];
        match word.as_deref() {
            Some("--") => break,
            Some(word) => flags.push(word.to_owned()),
            None => {}
        }
        rest = rest.trim_start();
    }
    (flags, rest.trim().to_owned())
}

/// One word without its quotes and escapes, and how many bytes it takes. One that is empty without quotes is none.
fn read_word(text: &str, escape: char) -> (Option<String>, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut was_quoted = false;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match quote {
            None if character.is_whitespace() => return (kept(word, was_quoted), at),
            None if matches!(character, '\'' | '"') => {
                quote = Some(character);
                was_quoted = true;
            }
            Some(end) if character == end => quote = None,
            _ if character == escape => word.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => word.push(character),
        }
    }
    (kept(word, was_quoted), text.len())
}

fn kept(word: String, was_quoted: bool) -> Option<String> {
    (was_quoted || !word.is_empty()).then_some(word)
}
