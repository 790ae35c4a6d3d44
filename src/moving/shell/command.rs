//! Simple commands to what they run: behind `sudo`, `env` and the like, and within `sh -c`.

use crate::dockerfile::Text;

use super::Word;
use super::lexer::{self, Simple, is_assignment};
use crate::moving::variables::Variables;

/// A command and what it is given.
#[derive(Debug, Clone, Default)]
pub(in crate::moving) struct Command {
    /// Its name without a directory; empty where it is not known.
    pub(in crate::moving) name: String,
    /// The words behind it.
    pub(in crate::moving) words: Vec<Word>,
    /// The variables that are set for it alone.
    pub(in crate::moving) assignments: Vec<String>,
    /// The command whose output it reads, by number.
    pub(in crate::moving) input: Option<usize>,
    /// What `<` and `<<<` give it.
    pub(in crate::moving) here: Vec<Word>,
    /// Where its output goes.
    pub(in crate::moving) outputs: Vec<String>,
    /// Its first line.
    pub(in crate::moving) first: usize,
    /// The line of its last word.
    pub(in crate::moving) last: usize,
    /// Whether it is a shell that reads a script from its input.
    pub(in crate::moving) reads_script: bool,
}

impl Command {
    /// Whether it is a shell.
    pub(in crate::moving) fn is_shell(&self) -> bool {
        SHELLS.contains(&self.name.as_str())
    }
}

/// Programs that run another one: options that take a value, and how many operands come before it.
const WRAPPERS: [(&str, &[&str], usize); 24] = [
    ("sudo", &["-u", "-g", "-h", "-p", "-C", "-r", "-t", "--user", "--group"], 0),
    ("doas", &["-u", "-C"], 0),
    ("env", &["-u", "-C", "--unset", "--chdir"], 0),
    ("exec", &["-a"], 0),
    ("command", &[], 0),
    ("builtin", &[], 0),
    ("nohup", &[], 0),
    ("nice", &["-n"], 0),
    ("ionice", &["-c", "-n"], 0),
    ("time", &["-f", "-o"], 0),
    ("timeout", &["-s", "-k", "--signal", "--kill-after"], 1),
    ("stdbuf", &["-i", "-o", "-e"], 0),
    ("gosu", &[], 1),
    ("su-exec", &[], 1),
    ("setpriv", &[], 0),
    ("chroot", &[], 1),
    ("xargs", &["-n", "-P", "-I", "-L", "-d", "-a", "-s", "-E", "-r"], 0),
    ("eatmydata", &[], 0),
    ("busybox", &[], 0),
    ("linux32", &[], 0),
    ("linux64", &[], 0),
    ("tini", &[], 0),
    ("dumb-init", &[], 0),
    ("unbuffer", &[], 0),
];

const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh"];

/// Where a shell takes its script from.
enum ShellScript<'a> {
    Word(&'a str, usize),
    Input,
    File,
}

/// Reads a script and appends its commands. One that cannot be understood has none.
pub(super) fn read(text: &Text, variables: &mut Variables, depth: usize, commands: &mut Vec<Command>) {
    let Some(script) = lexer::read(text, variables, depth) else { return };
    let mut numbers: Vec<usize> = Vec::new();
    for mut simple in script.commands {
        let renumber = |number: usize| numbers.get(number).copied();
        simple.input = simple.input.and_then(renumber);
        for word in simple.words.iter_mut().chain(&mut simple.here) {
            word.inner = word.inner.iter().filter_map(|number| renumber(*number)).collect();
        }
        let bodies = std::mem::take(&mut simple.heredocs);
        let at = commands.len();
        resolve(simple, variables, depth, commands);
        let own = commands.len() - 1;
        let (name, first) = (commands[own].name.clone(), commands[own].words.first().map(|word| word.text.clone()));
        let is_script = commands[own].reads_script || name.is_empty() && first.is_none() && at == own;
        if let Some((body, line)) = bodies.first().and_then(|number| script.bodies.get(*number)).filter(|_| is_script)
            && depth > 0
            && is_for_shell(body)
        {
            read(&Text::from_line(body.clone(), *line), variables, depth - 1, commands);
            // The shell itself comes last, as it does behind `sh -c`.
            let last = commands.len() - 1;
            commands[own].last = commands[last].last.max(commands[own].last);
        }
        numbers.push(own);
    }
}

/// Appends the commands that one is for, and at the end the one itself.
pub(super) fn resolve(mut simple: Simple, variables: &mut Variables, depth: usize, commands: &mut Vec<Command>) {
    let first = simple.words.first().map_or(0, |word| word.line);
    let last = simple.words.iter().map(|word| word.line).max().unwrap_or(first);
    let (start, assignments) = unwrap(&simple.words);
    let mut words = simple.words.split_off(start.min(simple.words.len()));
    let mut name = if words.is_empty() { String::new() } else { base_name(&words.remove(0)) };
    if name == "python"
        && let Some(at) = words.iter().position(|word| word.text == "-m")
        && words[..at].iter().all(|word| word.text.starts_with('-') && word.text != "-c")
        && at + 1 < words.len()
    {
        name = base_name(&words[at + 1]);
        words.drain(..at + 2);
    }
    let mut reads_script = false;
    let script = match shell_script(&name, &words) {
        Some(ShellScript::Word(text, line)) => Some(Text::from_line(text.to_owned(), line)),
        Some(ShellScript::Input) => {
            reads_script = true;
            None
        }
        Some(ShellScript::File) | None => None,
    };
    let eval = || words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    let script = script.or_else(|| (name == "eval").then(|| Text::on_line(eval(), first)));
    if let Some(script) = script.filter(|_| depth > 0) {
        read(&script, variables, depth - 1, commands);
    }
    let Simple { input, here, outputs, .. } = simple;
    commands.push(Command { name, words, assignments, input, here, outputs, first, last, reads_script });
}

/// Where the command itself begins, behind assignments and programs that only run it.
fn unwrap(words: &[Word]) -> (usize, Vec<String>) {
    let (mut at, mut assignments) = (0, Vec::new());
    loop {
        while let Some(word) = words.get(at).filter(|word| is_assignment(word)) {
            assignments.push(word.text.clone());
            at += 1;
        }
        let Some(word) = words.get(at) else { return (at, assignments) };
        let name = base_name(word);
        let next = words.get(at + 1).map(|word| word.text.as_str()).unwrap_or_default();
        let runs = match name.as_str() {
            "poetry" | "pipenv" | "conda" | "mamba" | "micromamba" => next == "run",
            "corepack" => matches!(next, "npm" | "npx" | "yarn" | "pnpm"),
            _ => false,
        };
        let wrapper = WRAPPERS.iter().find(|(wrapper, ..)| *wrapper == name);
        let (valued, operands): (&[&str], usize) = match wrapper {
            Some((_, valued, operands)) => (valued, *operands),
            None if runs => (&["-n", "-p", "--name", "--prefix", "--cwd"], usize::from(name != "corepack")),
            None => return (at, assignments),
        };
        if name == "command" && next.starts_with(['-']) && next != "-p" {
            return (at, assignments);
        }
        at += 1;
        let mut left = operands;
        while let Some(word) = words.get(at) {
            let text = word.text.as_str();
            // `conda run -n x pip`: the options come behind the operand.
            if text.starts_with('-') && text.len() > 1 {
                at += if valued.contains(&text) { 2 } else { 1 };
            } else if left > 0 && !is_assignment(word) {
                left -= 1;
                at += 1;
            } else {
                break;
            }
        }
    }
}

/// The name without its directory and without a version: `/usr/bin/python3.11` is `python`.
fn base_name(word: &Word) -> String {
    let name = word.text.rsplit('/').next().unwrap_or_default();
    if !word.is_known && name.contains('$') {
        return String::new();
    }
    let name = name.strip_suffix(".exe").unwrap_or(name);
    for plain in ["python", "pip"] {
        if let Some(version) = name.strip_prefix(plain)
            && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        {
            return plain.to_owned();
        }
    }
    name.to_owned()
}

fn shell_script<'a>(name: &str, words: &'a [Word]) -> Option<ShellScript<'a>> {
    if matches!(name, "su" | "runuser") {
        let at = words.iter().position(|word| matches!(word.text.as_str(), "-c" | "--command"))?;
        return words.get(at + 1).map(|word| ShellScript::Word(&word.text, word.line));
    }
    if !SHELLS.contains(&name) {
        return None;
    }
    let (mut is_command, mut is_input, mut at) = (false, false, 0);
    while let Some(word) = words.get(at) {
        let text = word.text.as_str();
        let option = text.strip_prefix(['-', '+']).filter(|option| !option.is_empty());
        let Some(option) = option.filter(|_| word.is_known) else {
            break;
        };
        at += 1;
        if option.starts_with('-') {
            if option == "-" {
                break;
            }
            continue;
        }
        is_command |= option.contains('c');
        is_input |= option.contains('s');
        if option.ends_with(['o', 'O']) {
            at += 1;
        }
    }
    let operand = words.get(at);
    Some(match operand {
        Some(word) if is_command => ShellScript::Word(&word.text, word.line),
        Some(word) if !is_input && !matches!(word.text.as_str(), "-" | "/dev/stdin") => ShellScript::File,
        _ => ShellScript::Input,
    })
}

/// Whether a script without a first line of its own, or by that line, is one for a shell.
fn is_for_shell(body: &str) -> bool {
    let Some(first) = body.lines().next().and_then(|line| line.strip_prefix("#!")) else { return true };
    first.split_ascii_whitespace().filter_map(|word| word.rsplit('/').next()).any(|word| SHELLS.contains(&word))
}
