//! What GitHub's runner makes of a step: its variables, the commands that it takes from what is printed, and its outputs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A job's directories.
pub struct Job {
    pub root: PathBuf,
    pub temp: PathBuf,
    pub workspace: PathBuf,
    steps: std::cell::Cell<u32>,
}

/// What became of a step.
#[derive(Debug)]
pub struct Ended {
    pub status: Option<i32>,
    /// Everything that was printed.
    pub text: String,
    /// The commands in it that the runner would have carried out.
    pub commands: Vec<String>,
    pub outputs: BTreeMap<String, String>,
    pub summary: String,
}

impl Job {
    /// A job in `root`, with the workspace in it.
    pub fn new(root: &Path) -> Self {
        let (temp, workspace) = (root.join("temp"), root.join("workspace"));
        for directory in [&temp, &workspace] {
            fs::create_dir_all(directory).unwrap();
        }
        Self { root: root.to_owned(), temp, workspace, steps: std::cell::Cell::new(0) }
    }

    /// The variables of the next step.
    pub fn variables(&self, inputs: &[(&str, &str)]) -> Vec<(String, OsString)> {
        self.steps.set(self.steps.get() + 1);
        let mut variables = vec![
            ("RUNNER_TEMP".to_owned(), self.temp.clone().into_os_string()),
            ("GITHUB_WORKSPACE".to_owned(), self.workspace.clone().into_os_string()),
            ("GITHUB_OUTPUT".to_owned(), self.file("outputs").into_os_string()),
            ("GITHUB_STEP_SUMMARY".to_owned(), self.file("summary").into_os_string()),
        ];
        let name = |input: &str| format!("INPUT_{}", input.to_uppercase().replace('-', "_"));
        variables.extend(inputs.iter().map(|(input, value)| (name(input), OsString::from(value))));
        variables
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}-{}", self.steps.get()))
    }

    /// Runs a step whose program has the variables already.
    pub fn run(&self, program: &mut Command, action: &str) -> Ended {
        let output = program.args(["github", action]).current_dir(&self.workspace).output().unwrap();
        self.ended(&output)
    }

    fn ended(&self, output: &Output) -> Ended {
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let outputs = fs::read_to_string(self.file("outputs")).unwrap_or_default();
        Ended {
            status: output.status.code(),
            commands: commands(&text),
            text,
            outputs: read_outputs(&outputs),
            summary: fs::read_to_string(self.file("summary")).unwrap_or_default(),
        }
    }
}

/// The commands in a log (actions/runner, `ActionCommandManager.cs`): at the beginning of a line after blanks as `::…`, and anywhere
/// in it as `##[…`; none between the marks.
pub fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut token: Option<&str> = None;
    for line in text.split(['\n', '\r']).map(str::trim) {
        if let Some(stopped) = token {
            if line == format!("::{stopped}::") {
                token = None;
            }
        } else if let Some(stopped) = line.strip_prefix("::stop-commands::") {
            token = Some(stopped);
        } else if line.starts_with("::") || line.contains("##[") {
            found.push(line.to_owned());
        }
    }
    found
}

/// The outputs in a file, as the runner reads it.
fn read_outputs(text: &str) -> BTreeMap<String, String> {
    let mut outputs = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let (name, delimiter) = line.split_once("<<").unwrap_or_else(|| panic!("no output: `{line}` in\n{text}"));
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
        assert!(outputs.insert(name.to_owned(), value.join("\n")).is_none(), "`{name}` twice in\n{text}");
    }
    outputs
}
