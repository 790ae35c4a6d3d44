//! Words as a shell splits them, with variables left as they are (`shell/lex.go`, with no variable set).

use std::iter::Peekable;
use std::str::Chars;

/// How deep `${a:-${b:-…}}` may nest. Nobody writes more than three; each level costs stack.
const DEPTH: usize = 64;

/// What becomes of quotes and escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quotes {
    /// They stay in the words.
    Kept,
    /// They are taken out.
    Resolved,
}

/// The words of a line; `None` where quotes or braces are not closed, or what is in braces is nothing that BuildKit knows.
pub(super) fn split(text: &str, quotes: Quotes) -> Option<Vec<String>> {
    let keep = quotes == Quotes::Kept;
    // Go's scanner passes over a mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Lexer { rest: text.chars().peekable(), keep_quotes: keep, keep_escapes: keep, depth: 0, was_inside: false }.words()
}

struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    keep_quotes: bool,
    keep_escapes: bool,
    depth: usize,
    /// Whether text in braces was read since the last look.
    was_inside: bool,
}

/// The words so far.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
}

impl Words {
    /// White space ends a word.
    fn push(&mut self, character: char) {
        if !character.is_whitespace() {
            self.current.push(character);
        } else if !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }
}

impl Lexer<'_> {
    fn words(mut self) -> Option<Vec<String>> {
        let mut words = Words::default();
        while let Some(&next) = self.rest.peek() {
            match next {
                '$' => {
                    let text = self.variable()?;
                    self.forget(&mut words);
                    text.chars().for_each(|character| words.push(character));
                }
                '\'' => words.current.push_str(&self.single_quoted()?),
                '"' => {
                    let text = self.double_quoted()?;
                    self.forget(&mut words);
                    words.current.push_str(&text);
                }
                '<' => words.current.push_str(&self.possible_heredoc()),
                '\\' => {
                    self.rest.next();
                    if self.keep_escapes {
                        words.current.push('\\');
                    }
                    words.current.extend(self.rest.next());
                }
                _ => {
                    self.rest.next();
                    words.push(next);
                }
            }
        }
        if !words.current.is_empty() {
            words.done.push(words.current);
        }
        Some(words.done)
    }

    /// What BuildKit does: reading text in braces throws away the beginning of the word that they stand in.
    fn forget(&mut self, words: &mut Words) {
        if std::mem::take(&mut self.was_inside) {
            words.current.clear();
        }
    }

    /// The text up to a character, which is taken too.
    fn text_until(&mut self, end: char, keep_escapes: bool) -> Option<String> {
        if self.depth == DEPTH {
            return None;
        }
        self.depth += 1;
        self.was_inside = true;
        let outer = std::mem::replace(&mut self.keep_escapes, keep_escapes);
        let text = self.inner_text(end);
        self.keep_escapes = outer;
        self.depth -= 1;
        text
    }

    fn inner_text(&mut self, end: char) -> Option<String> {
        let mut text = String::new();
        loop {
            let next = *self.rest.peek()?;
            match next {
                _ if next == end => {
                    self.rest.next();
                    return Some(text);
                }
                '$' => text.push_str(&self.variable()?),
                '\'' => text.push_str(&self.single_quoted()?),
                '"' => text.push_str(&self.double_quoted()?),
                '<' => text.push_str(&self.possible_heredoc()),
                '\\' => {
                    self.rest.next();
                    if self.keep_escapes {
                        text.push('\\');
                    }
                    text.extend(self.rest.next());
                }
                _ => text.extend(self.rest.next()),
            }
        }
    }

    fn single_quoted(&mut self) -> Option<String> {
        let mut text: String = self.rest.next().filter(|_| self.keep_quotes).into_iter().collect();
        loop {
            let next = self.rest.next()?;
            if next != '\'' || self.keep_quotes {
                text.push(next);
            }
            if next == '\'' {
                return Some(text);
            }
        }
    }

    fn double_quoted(&mut self) -> Option<String> {
        let mut text: String = self.rest.next().filter(|_| self.keep_quotes).into_iter().collect();
        loop {
            match *self.rest.peek()? {
                '"' => {
                    text.extend(self.rest.next().filter(|_| self.keep_quotes));
                    return Some(text);
                }
                '$' => text.push_str(&self.variable()?),
                '\\' => {
                    let mut character = self.rest.next()?;
                    if self.keep_escapes {
                        text.push(character);
                    }
                    if matches!(self.rest.peek()?, '"' | '$' | '\\') {
                        character = self.rest.next()?;
                    }
                    text.push(character);
                }
                _ => text.extend(self.rest.next()),
            }
        }
    }

    /// `<<` and the white space behind it, which does not end a word.
    fn possible_heredoc(&mut self) -> String {
        let mut text: String = self.rest.next().into_iter().collect();
        if self.rest.peek() != Some(&'<') {
            return text;
        }
        text.extend(self.rest.next());
        while let Some(blank) = self.rest.next_if(|next| matches!(next, '\t' | '\r' | ' ')) {
            text.push(blank);
        }
        text
    }

    /// A variable as it is written, as far as BuildKit writes it again.
    fn variable(&mut self) -> Option<String> {
        self.rest.next();
        if self.rest.next_if_eq(&'{').is_none() {
            let name = self.name();
            return Some(format!("${name}"));
        }
        if matches!(self.rest.peek()?, '{' | '}' | ':') {
            return None;
        }
        let name = self.name();
        match self.rest.next()? {
            '}' => Some(format!("${{{name}}}")),
            ':' => {
                let modifier = self.rest.next().filter(|modifier| !matches!(modifier, '#' | '%'))?;
                let text = self.text_until('}', false)?;
                Some(format!("${{{name}:{modifier}{text}}}"))
            }
            modifier @ ('+' | '-' | '?' | '#' | '%') => {
                let text = self.text_until('}', matches!(modifier, '#' | '%'))?;
                Some(format!("${{{name}{modifier}{text}}}"))
            }
            '/' => {
                self.rest.next_if_eq(&'/');
                let pattern = self.text_until('/', true)?;
                let replacement = self.text_until('}', true)?;
                Some(format!("${{{name}/{pattern}/{replacement}}}"))
            }
            _ => None,
        }
    }

    /// Letters, digits and `_`; or digits alone; or one of the shell's own.
    fn name(&mut self) -> String {
        let mut name = String::new();
        let is_digit = |character: &char| character.is_numeric() && !character.is_alphabetic();
        if self.rest.peek().is_some_and(is_digit) {
            while let Some(digit) = self.rest.next_if(is_digit) {
                name.push(digit);
            }
            return name;
        }
        let is_special = |character: &char| matches!(character, '@' | '*' | '#' | '?' | '-' | '$' | '!');
        if let Some(special) = self.rest.next_if(is_special) {
            return special.to_string();
        }
        while let Some(character) = self.rest.next_if(|next| next.is_alphanumeric() || *next == '_') {
            name.push(character);
        }
        name
    }
}
