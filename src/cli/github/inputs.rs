//! The inputs of an action, out of the environment: `INPUT_BUILD_ARGS` is the input `build-args`.
//!
//! One grammar for all of them. A list has one entry a line; empty lines count for nothing, and everything else is taken as it
//! is. A switch is true or false (or yes, no, on, off, 1, 0). An input that is empty was not given.

use std::ffi::OsString;

use clap::{Args, Parser};

use crate::environment::Environment;
use crate::failure::Failure;
use crate::image::escape::escape;
use crate::settings::parse_switch;

/// The inputs of a step.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    environment: &'a Environment,
}

impl<'a> Inputs<'a> {
    /// Those in the variables of a step.
    pub const fn new(environment: &'a Environment) -> Self {
        Self { environment }
    }

    /// The text of an input; nothing where it is empty.
    pub fn text(self, name: &str) -> Result<Option<&'a str>, Failure> {
        let variable = format!("INPUT_{}", name.to_ascii_uppercase().replace('-', "_"));
        let Some(value) = self.environment.get(&variable) else { return Ok(None) };
        match value.to_str() {
            Some(text) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
            None => Err(wrong(name, "is not UTF-8", "write it in UTF-8")),
        }
    }

    /// An input of one line.
    pub fn one(self, name: &str) -> Result<Option<&'a str>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        // YAML's block form ends with the end of a line.
        let line = text.trim_matches(['\r', '\n']);
        if line.contains(['\r', '\n']) {
            return Err(wrong(name, "has more than one line", "give one value"));
        }
        Ok(Some(line))
    }

    /// An input with one entry a line.
    pub fn list(self, name: &str) -> Result<Vec<&'a str>, Failure> {
        let text = self.text(name)?.unwrap_or_default();
        let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        Ok(lines.filter(|line| !line.trim().is_empty()).collect())
    }

    /// A switch; nothing where it is not given.
    pub fn switch(self, name: &str) -> Result<Option<bool>, Failure> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let switch = parse_switch(text.trim());
        let said = || wrong(name, &format!("is `{}`", escape(text)), "it is `true` or `false`");
        switch.map(Some).ok_or_else(said)
    }
}

/// What is wrong with an input.
pub fn wrong(name: &str, what: &str, hint: &str) -> Failure {
    Failure::usage(format!("the input `{name}` {what}"), hint)
}

/// Words for a command of this program. Each value is part of the word with its flag, thus none can be a flag.
#[derive(Debug, Default)]
pub struct Words {
    flags: Vec<OsString>,
    operands: Vec<OsString>,
}

impl Words {
    /// A flag without a value.
    pub fn flag(&mut self, flag: &str) {
        self.flags.push(flag.into());
    }

    /// A flag with its value.
    pub fn value(&mut self, flag: &str, value: impl Into<OsString>) {
        let mut word = OsString::from(format!("{flag}="));
        word.push(value.into());
        self.flags.push(word);
    }

    /// A word that is no flag, whatever it begins with.
    pub fn operand(&mut self, word: impl Into<OsString>) {
        self.operands.push(word.into());
    }

    /// The command.
    pub fn parse<T: Args>(self) -> Result<T, Failure> {
        let words = ["repro".into()].into_iter().chain(self.flags).chain(["--".into()]).chain(self.operands);
        Line::try_parse_from(words).map(|line| line.command).map_err(|error| {
            let text = error.render().to_string();
            let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").trim_end();
            Failure::usage(message, "the inputs are called like the flags of the command line")
        })
    }
}

#[derive(Debug, Parser)]
struct Line<T: Args> {
    #[command(flatten)]
    command: T,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(value: &str) -> Environment {
        [("INPUT_BUILD_ARGS", value)].into_iter().collect()
    }

    #[test]
    fn a_list_has_an_entry_a_line_and_nothing_in_it_means_anything() {
        let given = environment("A=1, 2\r\n\n  \n B=\"x\" \nEOF\n");
        assert_eq!(Inputs::new(&given).list("build-args").unwrap(), ["A=1, 2", " B=\"x\" ", "EOF"]);
        assert!(Inputs::new(&given).list("tags").unwrap().is_empty());
    }

    #[test]
    fn one_value_is_one_line() {
        let one = |value: &str| Inputs::new(&environment(value)).one("build-args").map(|one| one.map(str::to_owned));
        assert_eq!(one(" a \n").unwrap().as_deref(), Some(" a "));
        assert_eq!(one("\n").unwrap(), None);
        assert_eq!(one("a\nb").unwrap_err().message, "the input `build-args` has more than one line");
    }

    #[test]
    fn a_switch_is_no_string() {
        let switch = |value: &str| Inputs::new(&environment(value)).switch("build-args");
        assert_eq!(switch("False").unwrap(), Some(false));
        assert_eq!(switch("").unwrap(), None);
        assert_eq!(switch("maybe").unwrap_err().message, "the input `build-args` is `maybe`");
    }
}
