//! What act does as GitHub does, tried with an action of a few lines: the tests of the real ones lean on it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Bench, base, runtimes};

use super::act::{Ran, RunnerCommand, User};

const ACTION: &str = r#"
name: tried
description: An action that is tried
inputs:
  text:
    description: A text of several lines
    required: true
outputs:
  text:
    description: The text
    value: ${{ steps.say.outputs.text }}
runs:
  using: composite
  steps:
    - id: say
      shell: bash
      env:
        TEXT: ${{ inputs.text }}
        TOKEN: ${{ github.token }}
        ACTION: ${{ github.action_path }}
      run: |
        cat "$ACTION/words"
        printf 'text<<end_%s\n%s\nend_%s\n' 5f3a "$TEXT" 5f3a >>"$GITHUB_OUTPUT"
        printf '# %s\n' "$TEXT" >>"$GITHUB_STEP_SUMMARY"
        echo "the token is $TOKEN"
        echo '::error file=Dockerfile,line=3,title=one%2C two::100%25%0Afails' >&2
        echo '::stop-commands::5f3a'
        echo '::error::text'
        echo '::5f3a::'
        echo '::notice::heard'
        "$RUNNER_TOOL_CACHE/tool"
        touch "$RUNNER_TEMP/left" "$HOME/left"
    - id: last
      shell: bash
      run: |
        echo 'undeclared=1' >>"$GITHUB_OUTPUT"
        echo 'the end' >>"$GITHUB_STEP_SUMMARY"
"#;

const FAILS: &str = r#"
name: fails
description: An action that fails
outputs:
  said:
    description: What was said before
    value: ${{ steps.say.outputs.said }}
runs:
  using: composite
  steps:
    - id: say
      shell: bash
      run: |
        [[ ! -t 0 && ! -t 1 && ! -t 2 ]] || echo 'a terminal'
        read -r || echo 'nothing to read'
        echo 'said=much' >>"$GITHUB_OUTPUT"
        for number in {1..5000}; do echo "line $number"; done
        printf 'the last words'
        exit 3
    - id: never
      shell: bash
      run: 'true'
    - id: always
      if: always()
      shell: bash
      run: 'true'
"#;

const SUCCEEDS: &str = r#"
name: user
on: [push, pull_request]
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - id: tried
        uses: owner/repro/action@v1
        with:
          text: |-
            one = "$HOME" `x`

            three << 4
      - id: user
        env:
          TEXT: ${{ steps.tried.outputs.text }}
        run: |
          echo "$TEXT"
          echo "$GITHUB_REPOSITORY $GITHUB_REF $GITHUB_EVENT_NAME ${{ github.event.number }} [$VARIABLE] [${DOTENV-}]"
          git status --short
"#;

const DIRTIES: &str = r"
name: user
on: push
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: |
          mkdir new
          chmod 700 program
          echo >>Dockerfile
          rm link
";

/// The workflow of who uses the action that fails.
fn failing(more: &str) -> String {
    format!(
        "name: user\non: push\njobs:\n  job:\n    runs-on: ubuntu-latest\n    steps:\n      - id: fails\n        \
         uses: owner/repro/action/fails@v1\n{more}      - id: after\n        run: 'true'\n      - id: report\n        \
         if: always()\n        run: echo '${{{{ steps.fails.outcome }}}} ${{{{ steps.fails.conclusion }}}} ${{{{ steps.fails.outputs.said }}}}'\n"
    )
}

/// A project with both actions, and a tool.
fn project() -> TempDir {
    let project = tempfile::tempdir().unwrap();
    let action = project.path().join("action");
    fs::create_dir_all(action.join("fails")).unwrap();
    fs::write(action.join("action.yml"), ACTION).unwrap();
    fs::write(action.join("words"), "words beside the action\n").unwrap();
    fs::write(action.join("fails/action.yml"), FAILS).unwrap();
    project
}

fn user(project: &Path) -> User {
    let user =
        User::new(project, &[("Dockerfile", "FROM scratch\n"), (".env", "DOTENV=1\n"), ("program", "#!/bin/sh\n")]);
    symlink("program", user.repository().join("link")).unwrap();
    user
}

fn command(name: &str, properties: &[(&str, &str)], message: &str) -> RunnerCommand {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    RunnerCommand { name: name.to_owned(), properties, message: message.to_owned() }
}

fn lines(ran: &Ran, id: &str) -> Vec<String> {
    ran.printed(id).lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "it needs act: make actions"]
fn outputs_the_summary_and_commands_are_seen() {
    let project = project();
    let user = user(project.path()).variable("VARIABLE", "a value").secret("GITHUB_TOKEN", "swordfish");
    let user = user.event("pull_request", json!({"number": 7, "pull_request": {"number": 7}}));
    fs::create_dir_all(user.tool_cache()).unwrap();
    symlink("/bin/true", user.tool_cache().join("tool")).unwrap();
    let ran = user.run(SUCCEEDS);
    assert!(ran.status.success(), "{ran}");
    let text = "one = \"$HOME\" `x`\n\nthree << 4";
    assert_eq!(ran.output("tried", "text"), text);
    assert_eq!(ran.step("tried").outputs.len(), 1, "what an action does not declare is none of its outputs: {ran}");
    assert_eq!(ran.output("tried/last", "undeclared"), "1");
    assert_eq!(ran.summary(), format!("# {text}\nthe end\n"));

    let said = lines(&ran, "tried");
    assert_eq!(said[..2], ["words beside the action", "the token is ***"], "{ran}");
    let place = [("file", "Dockerfile"), ("line", "3"), ("title", "one, two")];
    assert_eq!(ran.commands("error"), [&command("error", &place, "100%\nfails")], "{ran}");
    assert_eq!(ran.commands("notice"), [&command("notice", &[], "heard")], "{ran}");
    let stopped = ran.lines.iter().find(|line| line.text == "::error::text").unwrap();
    assert!(stopped.command.is_none() && stopped.step == "tried/say", "{ran}");

    let expected = [text, "somebody/app refs/pull/7/merge pull_request 7 [a value] []"].join("\n");
    assert_eq!(ran.printed("user"), expected + "\n");
    assert!(ran.temporary().join("left").exists() && user.home().join("left").exists(), "{ran}");
    assert_eq!(ran.changes().len(), 0, "{ran}");
}

#[test]
#[ignore = "it needs act: make actions"]
fn a_step_that_fails_fails_the_job_and_nothing_it_said_is_lost() {
    let project = project();
    let user = user(project.path());
    let ran = user.run(&failing(""));
    assert_eq!(ran.status.code(), Some(1), "{ran}");
    assert_eq!((ran.step("fails").outcome.as_str(), ran.step("fails/say").status), ("failure", Some(3)), "{ran}");
    assert_eq!(ran.output("fails", "said"), "much");
    let said = lines(&ran, "fails/say");
    let numbers = (1..=5000).map(|number| format!("line {number}"));
    let expected: Vec<String> =
        std::iter::once("nothing to read".to_owned()).chain(numbers).chain(["the last words".to_owned()]).collect();
    assert!(said == expected, "{} lines, not {}: {:?} … {:?}", said.len(), expected.len(), said.first(), said.last());
    let was_run = ["fails/never", "fails/always", "after", "report"].map(|id| ran.was_run(id));
    assert_eq!(was_run, [false, true, false, true], "{ran}");
    assert_eq!(ran.printed("report"), "failure failure much\n", "{ran}");

    let ran = user.run(&failing("        continue-on-error: true\n"));
    assert!(ran.status.success() && ran.was_run("after"), "{ran}");
    assert_eq!(ran.printed("report"), "failure success much\n", "{ran}");
}

#[test]
#[ignore = "it needs act: make actions"]
fn what_a_job_changes_in_the_workspace_is_seen() {
    let project = project();
    let ran = user(project.path()).run(DIRTIES);
    assert!(ran.status.success(), "{ran}");
    let changed: Vec<PathBuf> = ran.changes().into_iter().collect();
    assert_eq!(changed, ["Dockerfile", "link", "new", "program"].map(PathBuf::from), "{ran}");
}

#[test]
#[should_panic(expected = "act would fetch `somebody/else@v1`")]
fn no_action_is_fetched() {
    let project = project();
    user(project.path()).run("jobs:\n  job:\n    steps:\n      - uses: somebody/else@v1\n");
}

/// What a step builds, on each runtime.
const BUILDS: &str = r#"
name: user
on: push
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - id: build
        run: |
          eval "arguments=($ARGUMENTS)"
          repro "${arguments[@]}" -o "$RUNNER_TEMP/image.tar" .
"#;

#[test]
#[ignore = "it needs act: make actions"]
fn a_step_reaches_the_engines_and_builds_what_anybody_builds() {
    let project = project();
    let files = [("Dockerfile", "ARG BASE\nFROM ${BASE}\nRUN echo built >/built\n")];
    for way in runtimes() {
        let bench = Bench::shared("actions", way);
        let mut arguments = bench.arguments(way);
        arguments.extend(["--sde".into(), "0".into()]);
        arguments.extend(base());
        let quoted = arguments.iter().map(|word| format!("'{}'", word.display())).collect::<Vec<_>>().join(" ");
        let mut user = User::new(project.path(), &files).path(bench.home()).variable("ARGUMENTS", quoted);
        for (name, directory) in bench.directories(way) {
            user = user.variable(name, directory);
        }
        let ran = user.run(BUILDS);
        assert!(ran.status.success(), "{}: {ran}", way.name());
        let built = bench.build(
            way,
            &bench.output(way, "actions.tar"),
            &arguments[bench.arguments(way).len()..],
            &user.repository(),
        );
        assert!(ran.printed("build").contains(built.digest()), "{}: {} is not in {ran}", way.name(), built.digest());
        assert!(ran.temporary().join("image.tar").exists() && ran.changes().is_empty(), "{}: {ran}", way.name());
    }
}
