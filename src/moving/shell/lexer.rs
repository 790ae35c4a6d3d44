//! Text to simple commands.

use crate::dockerfile::Text;

use super::Word;
use crate::moving::variables::{Variables, plain_name, variable};

/// A command as it is written: words, and where its input comes from.
#[derive(Debug, Default)]
pub(super) struct Simple {
    pub(super) words: Vec<Word>,
    /// The command that it is piped from, by number.
    pub(super) input: Option<usize>,
    /// What `<<<` gives it.
    pub(super) here: Vec<Word>,
    /// The here-documents that it reads, by number.
    pub(super) heredocs: Vec<usize>,
    /// Where its output goes.
    pub(super) outputs: Vec<String>,
}

/// A script, read.
#[derive(Default)]
pub(super) struct Script {
    pub(super) commands: Vec<Simple>,
    /// The here-documents: the text and its first line.
    pub(super) bodies: Vec<(String, usize)>,
}

/// Words that come before a command and are none.
const RESERVED: [&str; 11] = ["then", "do", "else", "elif", "if", "while", "until", "!", "{", "time", "coproc"];

struct Lexer<'a> {
    text: &'a Text,
    rest: &'a str,
    variables: &'a mut Variables,
    depth: usize,
    script: Script,
    /// Here-documents whose text begins behind this line: number, last line, whether tabs in front of it do not count.
    pending: Vec<(usize, String, bool)>,
    has_failed: bool,
}

/// Reads a script. `None` where it cannot be understood.
pub(super) fn read(text: &Text, variables: &mut Variables, depth: usize) -> Option<Script> {
    let script = Script::default();
    let rest = text.text.as_str();
    let mut lexer = Lexer { text, rest, variables, depth, script, pending: Vec::new(), has_failed: false };
    lexer.list(None);
    (!lexer.has_failed).then_some(lexer.script)
}

/// A list of commands while it is read.
#[derive(Default)]
struct List {
    current: Simple,
    done: Vec<usize>,
    cases: usize,
    parentheses: usize,
}

impl<'a> Lexer<'a> {
    fn line(&self) -> usize {
        self.text.line(self.text.text.len() - self.rest.len())
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn fail(&mut self) {
        self.has_failed = true;
        self.rest = "";
    }

    fn blanks(&mut self) {
        while self.take(" ") || self.take("\t") || self.take("\r") || self.take("\\\n") {}
    }

    /// Commands up to the end, or to the parenthesis that closes this list, which is taken too.
    fn list(&mut self, end: Option<char>) -> Vec<usize> {
        let mut list = List::default();
        if self.depth == 0 {
            self.fail();
            return list.done;
        }
        self.depth -= 1;
        loop {
            self.blanks();
            let Some(next) = self.peek() else {
                self.finish(&mut list, false);
                if end.is_some() {
                    self.fail();
                }
                break;
            };
            if next == ')' && self.closes(&mut list, end) {
                break;
            }
            self.element(next, &mut list);
        }
        self.depth += 1;
        list.done
    }

    /// Whether this parenthesis ends the list. If not it ends a subshell, or a pattern of `case`.
    fn closes(&mut self, list: &mut List, end: Option<char>) -> bool {
        self.skip(1);
        if list.is_test() {
            return false;
        }
        self.finish(list, false);
        if list.cases == 0 && list.parentheses > 0 {
            list.parentheses -= 1;
            return false;
        }
        list.cases == 0 && end.is_some()
    }

    fn element(&mut self, next: char, list: &mut List) {
        match next {
            '\n' => {
                self.skip(1);
                self.finish(list, false);
                self.heredocs();
            }
            '#' => {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.skip(end);
            }
            '&' | '|' | '(' | '<' | '>' if list.is_test() => {
                self.skip(1);
            }
            '&' if self.rest.starts_with("&>") => self.redirect(list),
            '|' if self.take("||") => self.finish(list, false),
            '|' => {
                self.skip(1);
                let _ = self.take("&");
                self.finish(list, true);
            }
            ';' | '&' => {
                self.skip(1);
                self.finish(list, false);
            }
            '(' if list.current.words.is_empty() && self.take("((") => self.arithmetic(),
            '(' => {
                self.skip(1);
                self.finish(list, list.current.input.is_some() && list.current.words.is_empty());
                if list.cases == 0 {
                    list.parentheses += 1;
                }
            }
            '<' | '>' if !self.rest[1..].starts_with('(') => self.redirect(list),
            _ => {
                let words = self.words();
                let is_number = matches!(&words[..], [word] if word.text.bytes().all(|byte| byte.is_ascii_digit()));
                // The digit in front of `>` belongs to it.
                if !(is_number && self.rest.starts_with(['<', '>'])) {
                    list.current.words.extend(words);
                }
            }
        }
    }

    /// The command ends here; `is_piped` says that the next one reads what it writes.
    fn finish(&mut self, list: &mut List, is_piped: bool) {
        let reserved = |word: &Word| !word.is_quoted && RESERVED.contains(&word.text.as_str());
        let count = list.current.words.iter().take_while(|word| reserved(word)).count();
        list.current.words.drain(..count);
        let is_empty = list.current.words.is_empty() && list.current.heredocs.is_empty();
        if !is_empty {
            match list.current.words.first().map(|word| word.text.as_str()) {
                Some("case") => list.cases += 1,
                Some("esac") => list.cases = list.cases.saturating_sub(1),
                _ => {}
            }
            self.assign(&list.current.words);
            list.done.push(self.script.commands.len());
            self.script.commands.push(std::mem::take(&mut list.current));
        }
        // A newline or an opening brace behind a pipe does not end it.
        let stays = is_empty && list.current.input.is_some();
        list.current.input = if is_piped || stays { list.done.last().copied() } else { None };
    }

    /// Remembers what a command sets: `A=b` alone, or behind `export` and the like.
    fn assign(&mut self, words: &[Word]) {
        let (names, only_names) = match words.first().map(|word| word.text.as_str()) {
            Some("export" | "local" | "readonly" | "declare" | "typeset") => (&words[1..], true),
            Some("for" | "read" | "select" | "getopts" | "unset") => {
                for word in &words[1..] {
                    self.variables.set(&word.text, None);
                }
                return;
            }
            _ => (words, false),
        };
        if !only_names && !names.iter().all(is_assignment) {
            return;
        }
        for word in names.iter().filter(|word| is_assignment(word)) {
            let (name, value) = word.text.split_once('=').unwrap_or_default();
            let name = name.trim_end_matches('+');
            // Two assignments are two branches, or one after the other: which one counts cannot be told.
            let is_first = !self.variables.is_set(name);
            self.variables.set(name, Some(value).filter(|_| word.is_known && is_first));
        }
    }

    fn arithmetic(&mut self) {
        match self.rest.find("))") {
            Some(at) => {
                self.skip(at + 2);
            }
            None => self.fail(),
        }
    }

    fn redirect(&mut self, list: &mut List) {
        if self.take("<<<") {
            self.blanks();
            let words = self.words();
            list.current.here.extend(words);
            return;
        }
        if self.take("<<") {
            let without_tabs = self.take("-");
            self.blanks();
            let name: String = self.words().into_iter().map(|word| word.text).collect();
            let number = self.script.bodies.len();
            self.script.bodies.push((String::new(), 0));
            list.current.heredocs.push(number);
            self.pending.push((number, name, without_tabs));
            return;
        }
        let is_output = self.rest.starts_with(['>', '&']);
        let length = self.rest.bytes().take_while(|byte| matches!(byte, b'<' | b'>' | b'&' | b'|')).count();
        self.skip(length);
        self.blanks();
        if self
            .peek()
            .is_some_and(|next| !is_operator(next) || self.rest.starts_with("<(") || self.rest.starts_with(">("))
        {
            let words = self.words();
            if is_output {
                list.current.outputs.extend(words.into_iter().map(|word| word.text));
            } else {
                list.current.here.extend(words);
            }
        }
    }

    fn heredocs(&mut self) {
        for (number, name, without_tabs) in std::mem::take(&mut self.pending) {
            let first = self.line();
            let (start, mut length) = (self.rest, 0);
            while !self.rest.is_empty() {
                let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
                let line = self.skip(end);
                let text = line.trim_end_matches(['\n', '\r']);
                if name == if without_tabs { text.trim_start_matches('\t') } else { text } {
                    break;
                }
                length += line.len();
            }
            self.script.bodies[number] = (start[..length].to_owned(), first);
        }
    }

    /// One word as it is written; more where a variable holds several, none where it is empty.
    fn words(&mut self) -> Vec<Word> {
        let new = |line| Word { is_known: true, line, ..Word::default() };
        let (mut done, mut word) = (Vec::new(), new(self.line()));
        while let Some(next) = self.peek() {
            let is_substitution = self.rest.starts_with("<(") || self.rest.starts_with(">(");
            match next {
                _ if is_substitution => {
                    word.text.push_str(self.skip(2));
                    word.is_known = false;
                    word.inner.extend(self.list(Some(')')));
                }
                _ if is_operator(next) || next.is_ascii_whitespace() => break,
                '\'' => {
                    self.skip(1);
                    self.single_quoted(&mut word);
                }
                '"' => {
                    self.skip(1);
                    self.double_quoted(&mut word);
                }
                '\\' if self.take("\\\n") => {}
                '\\' => {
                    self.skip(1);
                    let length = self.peek().map_or(0, char::len_utf8);
                    word.text.push_str(self.skip(length));
                    word.is_quoted = true;
                }
                '$' => {
                    if let Some(value) = self.dollar(&mut word) {
                        let mut parts = value.split_ascii_whitespace();
                        let ends = value.ends_with(|c: char| c.is_ascii_whitespace());
                        if !value.starts_with(|c: char| c.is_ascii_whitespace()) {
                            word.text.push_str(parts.next().unwrap_or_default());
                        }
                        for part in parts {
                            let line = word.line;
                            done.push(std::mem::replace(&mut word, new(line)));
                            word.text.push_str(part);
                        }
                        if ends && !word.text.is_empty() {
                            let line = word.line;
                            done.push(std::mem::replace(&mut word, new(line)));
                        }
                    }
                }
                '`' => self.backticks(&mut word),
                _ => word.text.push_str(self.skip(next.len_utf8())),
            }
        }
        done.push(word);
        done.retain(|word| !word.text.is_empty() || word.is_quoted || !word.is_known);
        done
    }

    fn single_quoted(&mut self, word: &mut Word) {
        word.is_quoted = true;
        match self.rest.find('\'') {
            Some(end) => {
                word.text.push_str(self.skip(end));
                self.skip(1);
            }
            None => self.fail(),
        }
    }

    /// `$'…'`: what its escapes stand for does not matter here.
    fn escaped_quoted(&mut self, word: &mut Word) {
        word.is_quoted = true;
        loop {
            let Some(end) = self.rest.find(['\'', '\\']) else { return self.fail() };
            word.text.push_str(self.skip(end));
            if self.take("'") {
                return;
            }
            self.skip(1);
            let length = self.peek().map_or(0, char::len_utf8);
            word.text.push_str(self.skip(length));
        }
    }

    fn double_quoted(&mut self, word: &mut Word) {
        word.is_quoted = true;
        loop {
            match self.peek() {
                None => return self.fail(),
                Some('"') => {
                    self.skip(1);
                    return;
                }
                Some('\\') if self.take("\\\n") => {}
                Some('\\') => {
                    self.skip(1);
                    match self.peek() {
                        Some('"' | '$' | '\\' | '`') => word.text.push_str(self.skip(1)),
                        _ => word.text.push('\\'),
                    }
                }
                Some('$') => {
                    if let Some(value) = self.dollar(word) {
                        word.text.push_str(&value);
                    }
                }
                Some('`') => self.backticks(word),
                Some(next) => word.text.push_str(self.skip(next.len_utf8())),
            }
        }
    }

    /// What follows a `$`: the value, if it is known. Else the word is not known, and says so itself.
    fn dollar(&mut self, word: &mut Word) -> Option<String> {
        self.skip(1);
        if self.take("((") {
            self.arithmetic();
            word.text.push_str("$((…))");
            word.is_known = false;
        } else if self.take("(") {
            word.text.push_str("$(…)");
            word.is_known = false;
            word.inner.extend(self.list(Some(')')));
        } else if self.take("'") {
            self.escaped_quoted(word);
        } else if self.rest.starts_with('{') || !plain_name(self.rest).is_empty() {
            let (name, length) = variable(self.rest);
            if length == 0 {
                self.fail();
                return None;
            }
            let value = name.and_then(|name| self.variables.braced(name, 4));
            let written = self.skip(length);
            if value.is_none() {
                word.is_known = false;
                word.text.push('$');
                word.text.push_str(written);
            }
            return value;
        } else {
            word.text.push('$');
            if let Some(special) = self.peek().filter(|next| "@*#?-$!".contains(*next)) {
                word.is_known = false;
                word.text.push_str(self.skip(special.len_utf8()));
            }
        }
        None
    }

    fn backticks(&mut self, word: &mut Word) {
        let line = self.line();
        self.skip(1);
        word.is_known = false;
        word.text.push_str("$(…)");
        let mut inner = String::new();
        loop {
            let Some(end) = self.rest.find(['`', '\\']) else { return self.fail() };
            inner.push_str(self.skip(end));
            if self.take("`") {
                break;
            }
            self.skip(1);
            if !self.rest.starts_with(['`', '\\', '$']) {
                inner.push('\\');
            }
            let length = self.peek().map_or(0, char::len_utf8);
            inner.push_str(self.skip(length));
        }
        let inner = Text::from_line(inner, line);
        let Some(script) = self.depth.checked_sub(1).and_then(|depth| read(&inner, self.variables, depth)) else {
            return self.fail();
        };
        self.include(script, word);
    }

    /// Appends the commands of a script inside this one.
    fn include(&mut self, script: Script, word: &mut Word) {
        let (commands, bodies) = (self.script.commands.len(), self.script.bodies.len());
        self.script.bodies.extend(script.bodies);
        for (at, mut simple) in script.commands.into_iter().enumerate() {
            word.inner.push(commands + at);
            simple.input = simple.input.map(|input| input + commands);
            simple.heredocs.iter_mut().for_each(|number| *number += bodies);
            simple
                .words
                .iter_mut()
                .chain(&mut simple.here)
                .flat_map(|word| &mut word.inner)
                .for_each(|at| *at += commands);
            self.script.commands.push(simple);
        }
    }
}

impl List {
    /// Whether this is within `[[ … ]]`, where operators are none.
    fn is_test(&self) -> bool {
        let is = |word: Option<&Word>, text: &str| word.is_some_and(|word| word.text == text);
        is(self.current.words.iter().take(4).find(|word| !RESERVED.contains(&word.text.as_str())), "[[")
            && !is(self.current.words.last(), "]]")
    }
}

/// What ends a word.
fn is_operator(character: char) -> bool {
    matches!(character, ';' | '&' | '|' | '(' | ')' | '<' | '>')
}

/// `NAME=value`, as a shell takes it in front of a command.
pub(super) fn is_assignment(word: &Word) -> bool {
    let name = plain_name(&word.text);
    let rest = &word.text[name.len()..];
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && (rest.starts_with('=') || rest.starts_with("+="))
}
