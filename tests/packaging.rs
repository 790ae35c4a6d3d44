//! What packagers take: completions that complete, pages that `man` shows.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Output};

const REPRO: &str = env!("CARGO_BIN_EXE_repro");

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("`{program}` is needed (the laboratory installs it): {error}"))
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What bash offers behind these words, asked as readline asks: by the function that `complete` knows for the command.
fn completed(words: &[&str]) -> Vec<String> {
    let script = r#"
        set -u
        eval "$("$0" completions bash)"
        registered=$(complete -p repro)
        [[ $registered =~ -F\ ([^ ]+) ]] || exit 1
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMPREPLY=()
        "${BASH_REMATCH[1]}" repro "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = run("bash", &[&["--norc", "-c", script, REPRO], words].concat());
    text(&output).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    assert_eq!(completed(&["repro", "ana"]), ["analyze"]);
    assert_eq!(completed(&["repro", "build", "--runt"]), ["--runtime"]);
    assert_eq!(completed(&["repro", "build", "--runtime", ""]), ["docker", "podman", "buildkitd", "remote"]);
    assert_eq!(completed(&["repro", "build", "--runtime", "p"]), ["podman"]);
    assert!(completed(&["repro", "completions", ""]).contains(&"bash".to_owned()));
    assert!(completed(&["repro", "builder", ""]).contains(&"fetch".to_owned()));
}

#[test]
fn every_shell_takes_its_script() {
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = text(&run(REPRO, &["completions", shell]));
        assert!(script.contains("source-date-epoch"), "{shell}");
        assert_eq!(script, text(&run(REPRO, &["completions", shell])), "{shell}");
        if shell != "bash" && Command::new(shell).arg("--version").output().is_err() {
            // Not with println!, which a test that passes keeps to itself.
            writeln!(io::stderr().lock(), "left out: {shell} does not read its completions, it is not installed")
                .unwrap();
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("script");
        fs::write(&file, script).unwrap();
        text(&run(shell, &[check, file.to_str().unwrap()]));
    }
    let refused = run(REPRO, &["completions", "tcsh"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn every_command_has_a_page_that_man_shows() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("share/man1");
    let printed = text(&run(REPRO, &["man", place.to_str().unwrap()]));
    let pages: Vec<&Path> = printed.lines().map(Path::new).collect();
    assert_eq!(pages.len(), fs::read_dir(&place).unwrap().count());
    for name in ["repro", "repro-build", "repro-analyze", "repro-builder", "repro-builder-fetch", "repro-man"] {
        assert!(pages.contains(&place.join(format!("{name}.1")).as_path()), "no page {name}: {printed}");
    }
    for page in pages {
        let name = page.file_stem().unwrap().to_str().unwrap();
        let path = page.to_str().unwrap();
        // As `man` does it in a wide terminal: a narrow one cannot adjust lines with a long word, which is no fault. Without
        // overstriking, the text can be searched.
        let shown = run("groff", &["-k", "-man", "-Tutf8", "-ww", "-rLL=120n", "-P-cbou", path]);
        assert_eq!(String::from_utf8_lossy(&shown.stderr), "", "{name}");
        let shown = text(&shown);
        assert!(shown.contains("SYNOPSIS") && shown.contains("User Commands"), "{shown}");
        // What `apropos` and `whatis` find.
        let indexed = text(&run("lexgrog", &[path]));
        assert!(indexed.contains(&format!("\"{name} - ")), "{indexed}");
    }
    let build =
        text(&run("groff", &["-k", "-man", "-Tascii", "-P-cbou", place.join("repro-build.1").to_str().unwrap()]));
    for flag in ["--source-date-epoch", "--runtime", "--verbose", "-o"] {
        assert!(build.contains(flag), "{flag}: {build}");
    }
}

#[test]
fn pages_are_the_same_every_time_and_an_unwritable_place_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("man1");
    let page = || {
        text(&run(REPRO, &["man", place.to_str().unwrap()]));
        fs::read(place.join("repro-build.1")).unwrap()
    };
    assert!(page() == page());
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = run(REPRO, &["man", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(4));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.starts_with("error: cannot write `") && said.contains("hint: "), "{said}");
}
