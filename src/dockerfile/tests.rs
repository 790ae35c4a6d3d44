use proptest::prelude::*;

use super::words::{Quotes, split};
use super::*;

fn parse(text: &str) -> Dockerfile {
    Dockerfile::parse(text.as_bytes()).unwrap()
}

/// Each instruction as `FIRST-LAST KEYWORD [flags] arguments`.
fn shape(text: &str) -> Vec<String> {
    let one = |instruction: &Instruction| {
        let Lines { first, last } = instruction.lines;
        let flags = instruction.flags.iter().map(|flag| format!(" [{flag}]")).collect::<Vec<_>>().concat();
        format!("{first}-{last} {}{flags} {}", instruction.keyword, instruction.arguments)
    };
    parse(text).instructions.iter().map(one).collect()
}

fn image(command: &str, line: usize) -> Syntax {
    Syntax::Image { command: command.to_owned(), line }
}

#[test]
fn the_syntax_line_is_found_as_buildkit_finds_it() {
    for (text, expected) in [
        ("# syntax=docker/dockerfile:1\nFROM a\n", image("docker/dockerfile:1", 1)),
        ("#syntax=a", image("a", 1)),
        ("# SYNTAX = a:1 with arguments \r\nFROM a", image("a:1 with arguments", 1)),
        ("#\u{a0}\u{b}syntax\t=\ta", image("a", 1)),
        ("\u{feff}# syntax=a", image("a", 1)),
        ("#!/usr/bin/env x\n# syntax=a", image("a", 2)),
        ("\u{feff}#!x\n# syntax=a", image("a", 2)),
        ("# escape=`\n# syntax=a", image("a", 2)),
        // v0.13 does not see past `check`, v0.19 does.
        ("# check=skip=all\n# syntax=a", image("a", 2)),
        ("# syntax=a\n# syntax=b", image("a", 1)),
        ("# syntax= ", image(" ", 1)),
        ("// syntax=a", image("a", 1)),
        ("// escape=x\n//syntax=a\n", image("a", 2)),
        ("{\"syntax\": \"a\", \"other\": 1}", image("a", 1)),
        ("#!x\n \n{\"syntax\": \"a\"}", image("a", 2)),
        ("# a comment\n# syntax=a", Syntax::Builtin),
        ("\n# syntax=a", Syntax::Builtin),
        (" # syntax=a", Syntax::Builtin),
        ("#!x\n#!y\n# syntax=a", Syntax::Builtin),
        ("# syntax=\n", Syntax::Builtin),
        ("# syntax=\r\n", Syntax::Builtin),
        ("# syntaxes=a", Syntax::Builtin),
        ("# known=x\n# syntax=a", Syntax::Builtin),
        ("FROM a\n# syntax=a", Syntax::Builtin),
        ("# escape=`\n// syntax=a", Syntax::Builtin),
        ("", Syntax::Builtin),
    ] {
        assert_eq!(detect_syntax(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn json_that_versions_read_differently_hides_nothing() {
    for text in [
        "{\"Syntax\": \"a\"}",
        "{\"ſyntax\": \"a\"}",
        "{\"syntax\": \"a\", \"SYNTAX\": \"b\"}",
        "{\"syntax\": 1}",
        "{}",
        "{\"syntax\": \"a\"} trailing",
        "{\"syntax\": \"a\", \"x\": \"\\ud800\"}",
        "{\"syntax\": \"a\"",
        " \n\t{",
    ] {
        assert_eq!(detect_syntax(text.as_bytes()), Syntax::Unreadable, "{text:?}");
    }
    let deep = format!("{{\"x\": {}{}, \"syntax\": \"a\"}}", "[".repeat(500), "]".repeat(500));
    assert_eq!(detect_syntax(deep.as_bytes()), Syntax::Unreadable);
    assert_eq!(detect_syntax(b"{\"syntax\": \"a\", \"x\": \"\xFF\"}"), Syntax::Unreadable);
}

#[test]
fn instructions_have_the_lines_that_they_stand_on() {
    let text = "# comment\n\nARG A=1\nfrom --platform=$P base AS Build\n  RUN a \\\n\n# between\n   && b\\\t \n && c\nCMD [\"x\"]";
    assert_eq!(
        shape(text),
        ["3-3 ARG A=1", "4-4 from [--platform=$P] base AS Build", "5-9 RUN a    && b && c", "10-10 CMD [\"x\"]",]
    );
    assert_eq!(shape("RUN a \\\\\nUSER b"), ["1-1 RUN a \\\\", "2-2 USER b"], "an escaped escape ends nothing");
    assert_eq!(shape("\\\nRUN a"), ["1-2 RUN a"]);
    assert_eq!(shape("RUN a \\"), ["1-1 RUN a"]);
    assert_eq!(shape("RUN\ta\r\nUSER b\r\n"), ["1-1 RUN a", "2-2 USER b"]);
    assert_eq!(shape("\u{feff}FROM a"), ["1-1 FROM a"]);
    assert_eq!(shape("\\\n\\\n"), Vec::<String>::new());
}

#[test]
fn directives_change_how_the_rest_is_read() {
    let file = parse("# escape=`\n# syntax=x\n# check=skip=all\nRUN a `\n  b\nRUN c \\\n");
    assert_eq!(file.escape, '`');
    let directives: Vec<_> = file.directives.iter().map(|d| (d.name.name(), d.value.as_str(), d.line)).collect();
    assert_eq!(directives, [("escape", "`", 1), ("syntax", "x", 2), ("check", "skip=all", 3)]);
    assert_eq!(file.instructions.len(), 2);
    assert_eq!(parse("# a comment\n# escape=`\nRUN a").escape, '\\');
    assert_eq!(
        Dockerfile::parse(b"# escape=x\nFROM a"),
        Err(DockerfileError::Escape { line: 1, value: "x".to_owned() })
    );
    assert_eq!(Dockerfile::parse(b"# syntax=a\n# SYNTAX=b"), Err(DockerfileError::Twice { line: 2, name: "syntax" }));
}

#[test]
fn here_documents_belong_to_their_instruction() {
    let text = "FROM a\nRUN <<EOF cat <<-'TWO' > f\nFROM not\nEOF\nfoo\n\t\tTWO\nCOPY <<\"a b\" /x\na b\nUSER u\n";
    let file = parse(text);
    assert_eq!(shape(text), ["1-1 FROM a", "2-6 RUN <<EOF cat <<-'TWO' > f", "7-8 COPY <<\"a b\" /x", "9-9 USER u"]);
    let found: Vec<_> = file.instructions.iter().flat_map(|i| &i.heredocs).collect();
    assert_eq!(found.len(), 3);
    assert_eq!((found[0].name.as_str(), found[0].lines), ("EOF", Some(Lines { first: 3, last: 3 })));
    assert_eq!((found[1].name.as_str(), found[1].lines), ("TWO", Some(Lines { first: 5, last: 5 })));
    assert_eq!((found[2].name.as_str(), found[2].lines), ("a b", None));
    assert_eq!(file.stages.len(), 1);
}

#[test]
fn what_only_looks_like_a_here_document_is_none() {
    for line in [
        "ENV a=<<EOF",
        "RUN [\"a\", \"<<EOF\"]",
        "RUN cat '<<EOF'",
        "RUN cat <<<EOF",
        "RUN cat <<",
        "RUN a<<EOF",
        "RUN echo 'open <<EOF",
        "RUN echo ${#x} <<EOF",
        "RUN cat \\<<EOF",
        "ONBUILD ENV a=<<EOF",
        "ONBUILD RUN [\"<<EOF\"]",
        // The braces throw away the beginning of the word: BuildKit sees `${x:-F}` alone.
        "RUN cat <<EO${x:-F}",
        "RUN <<\u{feff}",
    ] {
        assert_eq!(parse(&format!("{line}\nUSER u\n")).instructions.len(), 2, "{line}");
    }
    for (line, name) in [
        ("RUN 5<<EOF", "EOF"),
        ("RUN cat << EOF", "EOF"),
        ("run cat <<E'O'F", "EOF"),
        ("ADD --chmod=644 <<a.txt /", "a.txt"),
        ("ONBUILD RUN <<EOF", "EOF"),
        ("RUN echo \"${x:-\"y z\"}\" <<EOF", "EOF"),
        ("RUN [ -e x ] && cat <<EOF", "EOF"),
        ("RUN echo $((1 << 2))", "2))"),
    ] {
        let file = parse(&format!("{line}\nUSER inside\n{name}\n"));
        assert_eq!(file.instructions.len(), 1, "{line}");
        assert_eq!(file.instructions[0].heredocs[0].name, name, "{line}");
    }
    assert_eq!(
        Dockerfile::parse(b"FROM a\nRUN <<EOF\nx"),
        Err(DockerfileError::NoEnd { line: 2, name: "EOF".to_owned() })
    );
}

#[test]
fn flags_are_unquoted_and_end_where_the_arguments_begin() {
    let file = parse("COPY --from=build --chmod=\"0 7\" --link -- --not a b\nRUN --mount=type=a\\ b --x --y\n");
    let [copy, run] = file.instructions.as_slice() else { panic!("{file:?}") };
    assert_eq!(copy.flags, ["--from=build", "--chmod=0 7", "--link"]);
    assert_eq!(copy.arguments, "--not a b");
    assert_eq!((copy.flag("from"), copy.flag("link"), copy.flag("chown")), (Some("build"), Some(""), None));
    assert_eq!((run.flags.len(), run.arguments.as_str()), (3, ""));
    assert_eq!(run.flag("mount"), Some("type=a b"));
}

#[test]
fn stages_begin_at_from() {
    let file = parse("ARG V\nFROM a AS One\nRUN x\nFROM --platform=x one\nfrom scratch as TWO\n");
    let stages: Vec<_> =
        file.stages.iter().map(|s| (s.name.as_deref(), s.base.as_str(), s.line, s.instructions.clone())).collect();
    assert_eq!(stages, [(Some("one"), "a", 2, 1..3), (None, "one", 4, 3..4), (Some("two"), "scratch", 5, 4..5)]);
}

#[test]
fn words_are_split_as_buildkit_splits_them() {
    let kept = |text| split(text, Quotes::Kept);
    let resolved = |text| split(text, Quotes::Resolved);
    assert_eq!(kept("a 'b c'd \\  e").unwrap(), ["a", "'b c'd", "\\ ", "e"]);
    assert_eq!(resolved("a 'b c'd \\  e").unwrap(), ["a", "b cd", " ", "e"]);
    assert_eq!(resolved("\"a \\\"b\\\" \\n\"").unwrap(), ["a \"b\" \\n"]);
    assert_eq!(kept("$a ${b} ${c:-d e} $").unwrap(), ["$a", "${b}", "${c:-d", "e}", "$"]);
    for text in ["'a", "\"a", "${", "${}", "${a", "${a:-b", "${a:#b}", "${#a}", "${a!b}"] {
        assert_eq!(kept(text), None, "{text}");
    }
    assert_eq!(kept(&"${a:-".repeat(100_000)), None, "depth costs no stack");
}

#[test]
fn what_is_too_large_is_refused() {
    let long = |length: usize| Dockerfile::parse(&[b"RUN ".as_slice(), &vec![b'a'; length - 4]].concat());
    assert!(long(65_535).is_ok());
    assert_eq!(long(65_536), Err(DockerfileError::LongLine(1)));
    assert_eq!(Dockerfile::parse("A\n".repeat(10_001).as_bytes()), Err(DockerfileError::TooMany(10_001)));
    let huge = vec![b'\n'; usize::try_from(DOCKERFILE_BYTES).unwrap() + 1];
    assert!(matches!(Dockerfile::parse(&huge), Err(DockerfileError::TooLarge(_))));
}

/// Pieces that mean something to a Dockerfile, in any order.
fn odd_text() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&str; 34] = [
        "FROM ",
        "RUN ",
        "COPY ",
        "ONBUILD ",
        "# ",
        "//",
        "syntax",
        "escape",
        "check",
        "=",
        "`",
        "\\",
        "\n",
        "\r",
        " ",
        "\t",
        "<<",
        "<<-",
        "EOF",
        "'",
        "\"",
        "$",
        "${",
        "}",
        ":-",
        "--",
        "--a=b",
        "[",
        "]",
        "\u{feff}",
        "\u{a0}",
        "a",
        "#!",
        "{\"syntax\":\"a\"}",
    ];
    let piece = prop_oneof![
        20 => prop::sample::select(PIECES.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

#[test]
fn what_may_run_is_told_from_what_only_looks_like_it() {
    let runs = ["FROM a\nRUN true\n", "FROM a\n  run \\\n true\n", "FROM a\nRUN\ttrue\n", "FROM a\nRUN <<E\ntrue\nE\n"];
    let deferred = ["FROM a AS b\nONBUILD RUN true\nFROM b\n", "FROM a\nonbuild \\\n  run true\n"];
    for text in runs.into_iter().chain(deferred) {
        assert!(Dockerfile::parse(text.as_bytes()).unwrap().may_run(), "{text}");
    }
    let others = [
        "FROM a\nCOPY <<E /script\nRUN true\nE\n",
        "FROM a\nLABEL a=b \\\nRUN true\n",
        "# RUN true\nFROM a\n",
        "FROM a\nONBUILD COPY RUN /\n",
    ];
    for text in others {
        assert!(!Dockerfile::parse(text.as_bytes()).unwrap().may_run(), "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_read_panics_or_leaves_the_file(text in odd_text()) {
        let _ = detect_syntax(&text);
        if let Ok(file) = Dockerfile::parse(&text) {
            let count = lines(&text).count();
            let mut before = 0;
            for instruction in &file.instructions {
                let Lines { first, last } = instruction.lines;
                prop_assert!(before < first && first <= last && last <= count, "{:?}", file);
                before = last;
                for heredoc in &instruction.heredocs {
                    let inside = heredoc.lines.is_none_or(|at| first < at.first && at.first <= at.last && at.last < last);
                    prop_assert!(inside, "{:?}", file);
                }
            }
            for stage in &file.stages {
                prop_assert!(file.instructions[stage.instructions.clone()][0].lines.first == stage.line);
            }
        }
    }

    #[test]
    fn a_directive_of_the_file_is_what_is_detected(text in odd_text()) {
        // Both readers see the same line, where a file has nothing in front that only one of them skips.
        if let (Ok(file), false) = (Dockerfile::parse(&text), text.starts_with(b"#!")) {
            let line = file.directives.iter().find(|directive| directive.name == DirectiveName::Syntax);
            if let Syntax::Image { line: detected, command } = detect_syntax(&text)
                && let Some(directive) = line
            {
                prop_assert_eq!((detected, command), (directive.line, directive.value.clone()));
            }
        }
    }
}
