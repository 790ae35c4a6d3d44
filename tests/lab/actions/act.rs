//! One run of a workflow by act (github.com/nektos/act v0.2.89), and what it left behind.
//!
//! act runs the steps as processes of this machine (`-self-hosted`), so the engines are those of the laboratory. Found by trying: outputs with any
//! delimiter, outputs of composite actions, summaries, masks, `::stop-commands::`, `github.action_path`, `if: always()`, `continue-on-error` and the order
//! of things are GitHub's. What is not, and what stands here in its place:
//!
//! - Steps get a terminal; GitHub's have pipes, and nothing to read. What a step that fails printed last is lost, sometimes half of it, and a
//!   last line without its end always is: [`SHELL`].
//! - What the last step of a composite action wrote counts once more as the action's own: its summary comes twice, and its outputs are in
//!   `steps.ID.outputs` though the action does not declare them. [`Ran`] leaves the second time out; an expression of the workflow sees it.
//! - `RUNNER_TEMP`, the workspace and the actions are in a directory that act names by chance and removes after a success: a last step of ours
//!   keeps the first two, [`Ran::temporary`] and [`Ran::workspace`].
//! - `actions/checkout` copies the repository as it lies there, with all of its history, without empty directories and without what
//!   `.gitignore` names. Other actions would be
//!   fetched, which [`User::run`] refuses.
//! - Everything of act's own environment is handed on, and `ACT` is set. There is no token, no cache, no artifact and no OIDC.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tempfile::TempDir;

/// What a workflow calls the repository of the actions: `uses: owner/repro/action@v1`.
const UPSTREAM: &str = "owner/repro";
const VERSION: &str = "v1";
/// Where the user's repository says that it comes from.
const USER: &str = "somebody/app";
/// The step that is added to each workflow.
const LAST_STEP: &str = "what-act-removes";
/// Seconds; a run that takes longer hangs.
const LIMIT: &str = "900";
/// The directories of a plain Debian or Ubuntu.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What leads to the laboratory's engines.
const ENGINES: [&str; 4] = ["DOCKER_HOST", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "CONTAINERS_REGISTRIES_CONF"];

/// First on PATH as `bash`: only what act starts has a terminal. It reads the terminal for a moment after a step has failed, if at all.
const SHELL: &str = r#"#!/bin/bash
[[ -t 0 ]] || exec /bin/bash "$@"
/bin/bash "$@" </dev/null 2>&1 | grep --text --line-buffered ''
status=${PIPESTATUS[0]}
[[ $status == 0 ]] || sleep 0.3
exit "$status"
"#;

/// A user's repository, and what its workflows are run with.
pub struct User {
    place: Arc<TempDir>,
    upstream: PathBuf,
    event: (String, Value),
    options: Vec<String>,
    path: Vec<PathBuf>,
    variables: BTreeMap<String, OsString>,
    runs: AtomicU32,
}

impl User {
    /// A repository with these files, and the actions in `action` of a project with what they build. Nothing else is copied: act
    /// copies all that it is shown, once for each use.
    pub fn new(project: &Path, files: &[(&str, &str)]) -> Self {
        // Short: a socket's path has at most 107 bytes.
        let place = tempfile::Builder::new().prefix("repro-act.").tempdir_in("/tmp").unwrap();
        let upstream = place.path().join("upstream");
        write(&place.path().join("bin/bash"), SHELL);
        fs::set_permissions(place.path().join("bin/bash"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(&upstream).unwrap();
        let parts = ["action", "Cargo.toml", "Cargo.lock", "src"].map(|name| project.join(name));
        must(Command::new("cp").arg("-a").args(parts.iter().filter(|part| part.exists())).arg(&upstream));
        let docker = place.path().join("home/.docker");
        write(&docker.join("config.json"), "{}\n");
        if let Some(of_lab) = std::env::var_os("DOCKER_CONFIG") {
            symlink(Path::new(&of_lab).join("cli-plugins"), docker.join("cli-plugins")).unwrap();
        }
        let user = Self {
            place: Arc::new(place),
            upstream,
            event: ("push".to_owned(), Value::Null),
            options: Vec::new(),
            path: Vec::new(),
            variables: BTreeMap::new(),
            runs: AtomicU32::new(0),
        };
        fs::create_dir(user.repository()).unwrap();
        user.git(&["init", "--quiet", "--initial-branch", "main"]);
        user.git(&["remote", "add", "origin", &format!("https://github.com/{USER}")]);
        for (file, contents) in files {
            write(&user.repository().join(file), contents);
        }
        user
    }

    /// The working copy. What is put there before [`Self::run`] is committed with the rest.
    pub fn repository(&self) -> PathBuf {
        self.place.path().join("app")
    }

    /// The home of the runner's user.
    pub fn home(&self) -> PathBuf {
        self.place.path().join("home")
    }

    /// `RUNNER_TOOL_CACHE`: what is put there, the runner has from before.
    pub fn tool_cache(&self) -> PathBuf {
        self.place.path().join("runner/tool_cache")
    }

    /// What the runner has in its environment beside its own.
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.insert(name.to_owned(), value.as_ref().to_owned());
        self
    }

    /// `secrets.NAME`; `GITHUB_TOKEN` is `github.token`.
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.options.extend(["--secret".to_owned(), format!("{name}={value}")]);
        self
    }

    /// A directory that comes first on the runner's PATH.
    pub fn path(mut self, directory: &Path) -> Self {
        self.path.push(directory.to_owned());
        self
    }

    /// What starts the workflow, and `github.event`; a push if nothing is said.
    pub fn event(mut self, name: &str, payload: Value) -> Self {
        self.event = (name.to_owned(), payload);
        self
    }

    /// Commits what is there with this workflow, and runs it. The workflow has one job, and ends with its steps.
    pub fn run(&self, workflow: &str) -> Ran {
        refuse_fetching(workflow);
        refuse_fetching_in(&self.upstream);
        let kept = self.place.path().join(format!("kept{}", self.runs.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&kept).unwrap();
        write(&self.repository().join(".github/workflows/test.yml"), &with_last_step(workflow, &kept));
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "A commit"]);
        let (event, payload) = &self.event;
        let payload_file = self.place.path().join("event.json");
        write(&payload_file, &if payload.is_null() { "{}".to_owned() } else { payload.to_string() });

        let mut command = Command::new("timeout");
        command.args(["--kill-after=30", LIMIT, &lab_act()]).arg(event);
        command.args(["--json", "--strict", "--platform", "ubuntu-latest=-self-hosted", "--no-cache-server"]);
        command.arg("--action-cache-path").arg(self.place.path().join("runner")).arg("--eventpath").arg(payload_file);
        command.arg(format!("--local-repository={UPSTREAM}@{VERSION}={}", self.upstream.display()));
        // act would read `.env` and others from the user's repository. GitHub does not.
        for file in ["--env-file", "--secret-file", "--var-file", "--input-file"] {
            command.args([file, "/dev/null"]);
        }
        command.args(&self.options).current_dir(self.repository()).env_clear().envs(self.surroundings());
        let output = command.output().unwrap();
        Ran::read(self, kept, &output)
    }

    fn surroundings(&self) -> BTreeMap<String, OsString> {
        let shell = self.place.path().join("bin");
        let path = std::iter::once(&shell).chain(&self.path).map(PathBuf::as_path);
        let path = std::env::join_paths(path.chain(PATH.split(':').map(Path::new))).unwrap();
        let engines = ENGINES.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var_os(name)?)));
        let own = [("ACT_DISABLE_VERSION_CHECK", "1".into()), ("HOME", self.home().into()), ("LANG", "C.UTF-8".into())];
        let own = own.into_iter().chain([("PATH", path)]).map(|(name, value)| (name.to_owned(), value));
        engines.chain(own).chain(self.variables.clone()).collect()
    }

    fn git(&self, arguments: &[&str]) {
        let who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"];
        let mut command = Command::new("git");
        command.args(who).args(arguments).current_dir(self.repository());
        must(command.env("HOME", self.home()).env("GIT_CONFIG_NOSYSTEM", "1"));
    }
}

/// A command that the runner took out of what a step printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerCommand {
    /// `error`, `warning`, `notice`, `group`, …
    pub name: String,
    /// `file`, `line`, `title`, …, unescaped.
    pub properties: BTreeMap<String, String>,
    pub message: String,
}

/// A line that a step printed.
#[derive(Debug)]
pub struct Line {
    /// The step: `id`, or `id/id` of a step within a composite action; its number from 0 where it has no id.
    pub step: String,
    /// As it was printed, but that secrets are `***`.
    pub text: String,
    /// None: the runner took it for text, as it does with everything after `::stop-commands::`.
    pub command: Option<RunnerCommand>,
}

/// What became of a step that was not skipped.
#[derive(Debug, Default)]
pub struct Step {
    /// `success` or `failure`, before `continue-on-error`.
    pub outcome: String,
    /// The status it ended with, if not 0.
    pub status: Option<i32>,
    pub outputs: BTreeMap<String, String>,
    /// What it added to the summary of the job.
    pub summary: String,
}

/// A run of a workflow with one job.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    /// What the steps printed, in that order.
    pub lines: Vec<Line>,
    steps: BTreeMap<String, Step>,
    summary: String,
    stderr: String,
    repository: PathBuf,
    kept: PathBuf,
    _place: Arc<TempDir>,
}

impl Ran {
    fn read(user: &User, kept: PathBuf, output: &Output) -> Self {
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(
            kept.join("temporary").exists(),
            "the job did not come to its end ({}):\n{stdout}\n{stderr}",
            output.status
        );
        let Parsed { lines, steps, summary } = Parsed::of(&parse_events(&stdout));
        let (repository, place) = (user.repository(), user.place.clone());
        Self {
            status: output.status,
            lines,
            steps,
            summary,
            stderr: stderr.into_owned(),
            repository,
            kept,
            _place: place,
        }
    }

    /// A step that was not skipped, by its id, or `id/id` within a composite action.
    pub fn step(&self, id: &str) -> &Step {
        self.steps.get(id).unwrap_or_else(|| panic!("no step `{id}` was run:\n{self}"))
    }

    pub fn was_run(&self, id: &str) -> bool {
        self.steps.contains_key(id)
    }

    /// An output of a step; of a composite action only those that it declares.
    pub fn output(&self, id: &str, name: &str) -> &str {
        let outputs = &self.step(id).outputs;
        outputs.get(name).unwrap_or_else(|| panic!("`{id}` has no output `{name}` but {outputs:?}:\n{self}"))
    }

    /// What all steps together wrote to the summary of the job.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The commands of a name that the runner took.
    pub fn commands(&self, name: &str) -> Vec<&RunnerCommand> {
        let all = self.lines.iter().filter_map(|line| line.command.as_ref());
        all.filter(|command| command.name == name).collect()
    }

    /// What a step and the steps within it printed.
    pub fn printed(&self, id: &str) -> String {
        let within = format!("{id}/");
        let of_step = |line: &&Line| line.step == id || line.step.starts_with(&within);
        self.lines.iter().filter(of_step).fold(String::new(), |text, line| text + &line.text + "\n")
    }

    /// `GITHUB_WORKSPACE`, as the job left it.
    pub fn workspace(&self) -> PathBuf {
        self.kept.join("workspace")
    }

    /// `RUNNER_TEMP`, as the job left it; GitHub empties it before and after each job.
    pub fn temporary(&self) -> PathBuf {
        self.kept.join("temporary")
    }

    /// What is other in the workspace than in the commit, in bytes, kind or mode. None of it is the index of git, which `git status` renews.
    pub fn changes(&self) -> BTreeSet<PathBuf> {
        let (before, after) = (listing(&self.repository), listing(&self.workspace()));
        let paths: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
        let differs = |path: &&&PathBuf| {
            // A checkout has no empty directories.
            let is_missing = !after.contains_key(**path) && before[**path] == Entry::Directory;
            **path != Path::new(".git/index") && !is_missing && before.get(**path) != after.get(**path)
        };
        paths.iter().filter(differs).map(|path| (*path).clone()).collect()
    }
}

/// For messages.
impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.status)?;
        for line in &self.lines {
            writeln!(f, "[{}] {}", line.step, line.text)?;
        }
        writeln!(f, "--- steps\n{:#?}\n--- summary\n{}\n--- stderr\n{}", self.steps, self.summary, self.stderr)
    }
}

/// What act says of a step, in lines of JSON; those it says of itself are left out.
fn parse_events(text: &str) -> Vec<Value> {
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_of_step =
        |event: &Value| event["stage"] == "Main" && event["stepID"].is_array() && step_of(event) != LAST_STEP;
    events.filter(is_of_step).collect()
}

fn step_of(event: &Value) -> String {
    let ids = event["stepID"].as_array().into_iter().flatten().filter_map(Value::as_str);
    ids.collect::<Vec<_>>().join("/")
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[derive(Debug, Default)]
struct Parsed {
    lines: Vec<Line>,
    steps: BTreeMap<String, Step>,
    summary: String,
}

impl Parsed {
    fn of(events: &[Value]) -> Self {
        let mut parsed = Self::default();
        let mut ended = BTreeSet::new();
        for event in events {
            let id = step_of(event);
            let within = format!("{id}/");
            let is_composite = parsed.steps.keys().any(|other| other.starts_with(&within));
            // What comes then is what its last step wrote, once more.
            let is_again = is_composite && ended.contains(&id);
            let step = parsed.steps.entry(id.clone()).or_default();
            match event["command"].as_str() {
                Some("set-output") if !is_again => {
                    step.outputs.insert(text_of(&event["name"]), text_of(&event["arg"]));
                }
                Some("summary") if !is_again => {
                    step.summary.push_str(&text_of(&event["content"]));
                    parsed.summary.push_str(&text_of(&event["content"]));
                }
                _ => {}
            }
            if let Some(outcome) = event["stepResult"].as_str() {
                outcome.clone_into(&mut step.outcome);
                ended.insert(id.clone());
            }
            let message = event["msg"].as_str().unwrap_or_default();
            if let Some(status) = message.strip_prefix("exit status ").filter(|_| event["level"] == "error") {
                step.status = status.parse().ok();
            }
            parsed.lines.extend(line_of(event, id));
        }
        parsed
    }
}

fn line_of(event: &Value, step: String) -> Option<Line> {
    let is_text = event["raw_output"] == true;
    let raw = if is_text { &event["msg"] } else { &event["raw"] }.as_str()?;
    let properties = event["kvPairs"].as_object().into_iter().flatten();
    let command = event["command"].as_str().filter(|name| !is_text && *name != "ignored").map(|name| RunnerCommand {
        name: name.to_owned(),
        properties: properties.map(|(name, value)| (name.clone(), text_of(value))).collect(),
        message: text_of(&event["arg"]),
    });
    Some(Line { step, text: raw.trim_end_matches(['\r', '\n']).to_owned(), command })
}

#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Directory,
    File { mode: u32, contents: Vec<u8> },
    Link(PathBuf),
}

/// All that is below a directory, by its path from there.
fn listing(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let entry = if metadata.is_dir() {
                left.push(path.clone());
                Entry::Directory
            } else if metadata.is_symlink() {
                Entry::Link(fs::read_link(&path).unwrap())
            } else {
                Entry::File { mode: metadata.permissions().mode(), contents: fs::read(&path).unwrap() }
            };
            found.insert(path.strip_prefix(root).unwrap().to_owned(), entry);
        }
    }
    found
}

/// Adds the step that keeps what act removes.
fn with_last_step(workflow: &str, kept: &Path) -> String {
    let mut lines = workflow.lines().skip_while(|line| line.trim() != "steps:").skip(1);
    let Some(first) = lines.find(|line| line.trim_start().starts_with("- ")) else {
        panic!("no steps in:\n{workflow}")
    };
    let indent = &first[..first.len() - first.trim_start().len()];
    let keep = format!(
        r#"cp -al "$GITHUB_WORKSPACE" '{0}/workspace' && cp -al "$RUNNER_TEMP" '{0}/temporary'"#,
        kept.display()
    );
    format!("{}\n{indent}- id: {LAST_STEP}\n{indent}  if: always()\n{indent}  run: {keep}\n", workflow.trim_end())
}

/// Everything that a workflow uses has to be on this machine.
fn refuse_fetching(text: &str) {
    for line in text.lines() {
        let Some(used) = line.trim_start().trim_start_matches("- ").strip_prefix("uses:").map(str::trim) else {
            continue;
        };
        let is_here = used.starts_with("./") || used.starts_with("actions/checkout@");
        let is_ours = used.starts_with(&format!("{UPSTREAM}/")) && used.ends_with(&format!("@{VERSION}"));
        assert!(is_here || is_ours, "act would fetch `{used}`");
    }
}

fn refuse_fetching_in(directory: &Path) {
    for (path, entry) in listing(directory) {
        if let Entry::File { contents, .. } = entry
            && path.file_name() == Some(OsStr::new("action.yml"))
        {
            refuse_fetching(&String::from_utf8(contents).unwrap());
        }
    }
}

fn lab_act() -> String {
    std::env::var("LAB_ACT").unwrap_or_else(|_| {
        panic!("act is not there: LAB_ACT is not set. Run `make actions`, or `tests/lab/lab actions` and `eval \"$(tests/lab/lab env)\"`")
    })
}

fn write(path: &Path, contents: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

fn must(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
