use super::*;
use crate::moving::variables::Variables;

/// The commands of a script: name and words, with `<` and a number where it reads from another one.
fn read(script: &str) -> Vec<String> {
    let mut variables = Variables::global().of_stage();
    variables.set("KNOWN", Some("a b"));
    let commands = commands(&Text::from_line(script.to_owned(), 1), &mut variables);
    let written = |command: &Command| {
        let words = command.words.iter().map(|word| word.text.as_str());
        let line = std::iter::once(command.name.as_str()).chain(words).collect::<Vec<_>>().join("|");
        command.input.map_or(line.clone(), |input| format!("{line} <{input}"))
    };
    commands.iter().map(written).collect()
}

#[test]
fn scripts_become_commands() {
    for (script, expected) in [
        ("a b;c&&d||e & f\ng", &["a|b", "c", "d", "e", "f", "g"][..]),
        ("a | b |& c", &["a", "b <0", "c <1"]),
        ("a |\n b", &["a", "b <0"]),
        ("a | (b; c)", &["a", "b <0", "c"]),
        ("a | { b; }", &["a", "b <0", "}"]),
        ("a # b; c\nd#e", &["a", "d#e"]),
        ("echo 'a && b' \"c; d\" e\\ f", &["echo|a && b|c; d|e f"]),
        ("if a; then b; else c; fi", &["a", "b", "c", "fi"]),
        ("for x in a b; do c $x; done", &["for|x|in|a|b", "c|$x", "done"]),
        ("case $x in a) b;; c|d) e;; esac; f", &["case|$x|in|a", "b", "c", "d <2", "e", "esac", "f"]),
        ("x=$(case $y in a) b;; esac; c) d", &["case|$y|in|a", "b", "esac", "c", "d"]),
        ("a > b 2>&1 < c 3>d >>e &>f g", &["a|g"]),
        ("a <<< b", &["a"]),
        ("cat <<E > x\nb; c\nE\nd", &["cat", "d"]),
        ("cat <<-'E'\n\tb\n\tE\nd", &["cat", "d"]),
        ("bash <<E\nb; c\nE\nd", &["bash", "b", "c", "d"]),
        ("<<E\nb; c\nE\n", &["", "b", "c"]),
        ("<<E\n#!/usr/bin/env python3\nb\nE\n", &[""]),
        ("<<E\n#!/usr/bin/env bash\nb\nE\n", &["", "b"]),
        ("python3 <<E\nb; c\nE\nd", &["python", "d"]),
        ("a $(b | c) `d`", &["b", "c <0", "d", "a|$(…)|$(…)"]),
        ("\"$(a)\" 'b'", &["a", "|b"]),
        ("a <(b) c", &["b", "a|<(|c"]),
        ("a $((1 + 2)) ${#b} $1 $@", &["a|$((…))|${#b}|$1|$@"]),
        ("((a = 1)); b", &["b"]),
        ("[[ a && b || c ]] && d", &["[[|a|b|c|]]", "d"]),
        ("a $KNOWN \"$KNOWN\" x$KNOWN", &["a|a|b|a b|xa|b"]),
        ("x='c d'; a $x", ["|", "a|c|d"][1..].as_ref()),
        ("sudo -E -u me A=1 /usr/bin/apt-get install x", &["apt-get|install|x"]),
        ("env -i A=1 timeout -s KILL 5 nice -n 3 a b", &["a|b"]),
        ("sh -c 'a; b'", &["a", "b", "sh|-c|a; b"]),
        ("bash -euxo pipefail -c \"a | b\"", &["a", "b <0", "bash|-euxo|pipefail|-c|a | b"]),
        ("su me -c 'a b'", &["a|b", "su|me|-c|a b"]),
        ("eval a b", &["a|b", "eval|a|b"]),
        ("python3.11 -m pip install x", &["pip|install|x"]),
        ("pip3 install x", &["pip|install|x"]),
        ("$VENV/bin/pip install x", &["pip|install|x"]),
        ("$PIP install x", &["|install|x"]),
        ("command -v curl", &["command|-v|curl"]),
        ("conda run -n x pip install y", &["pip|install|y"]),
        ("a() { b; }; c", &["a", "b", "}", "c"]),
        ("a \\\n b", &["a|b"]),
    ] {
        let found = read(script);
        let found: Vec<&str> =
            found.iter().map(String::as_str).filter(|line| !line.is_empty() || script.starts_with('<')).collect();
        assert_eq!(found, expected, "{script}");
    }
}

#[test]
fn what_does_not_close_is_not_read() {
    for script in ["a 'b", "a \"b", "a $(b", "a `b", "a ${b", "a; b $((1"] {
        assert_eq!(read(script), Vec::<String>::new(), "{script}");
    }
    assert_eq!(read(&"$(".repeat(100_000)), Vec::<String>::new());
    assert_eq!(read("sh -c 'a \"b'; c"), ["sh|-c|a \"b", "c"]);
}

#[test]
fn a_value_is_known_where_one_assignment_gives_it() {
    assert_eq!(read("x=1; a $x; x=2; a $x").last().map(String::as_str), Some("a|$x"));
    assert_eq!(read("export x=1; a $x").last().map(String::as_str), Some("a|1"));
    assert_eq!(read("x=$(b); a $x").last().map(String::as_str), Some("a|$x"));
    assert_eq!(read("x=1 b; a $x").last().map(String::as_str), Some("a|$x"));
}
