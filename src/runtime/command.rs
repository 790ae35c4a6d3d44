//! Commands of other tools: a program, its arguments, and the few variables that it may see.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::guard::Guard;
use super::interrupt::{Interrupt, Interruption};
use crate::environment::Environment;
use crate::network::Hidden;

/// What of a tool's stdout and stderr is kept for messages and answers, each. Longer output is cut in front.
const OUTPUT_LIMIT: usize = 1 << 20;
/// How long a process group has to end after SIGTERM before SIGKILL follows. `daemon.sh` gives its client five seconds, then
/// its daemon five, and removes throw-away state; killed in the middle of that it would leave everything behind.
const GRACE: Duration = Duration::from_secs(40);

/// How often it is looked whether a process group is gone.
const PAUSE: Duration = Duration::from_millis(20);

/// A command of another tool, as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::unsafe_derive_deserialize,
    reason = "the unsafe code is inside `tokio::select!`, and is not about this type"
)]
pub struct ToolCommand {
    /// The program, looked up on PATH unless it is a path.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables with values of ours.
    pub set: BTreeMap<String, OsString>,
    /// Variables of the caller that it may see; nothing else of the caller's environment reaches it.
    pub keep: Vec<String>,
    /// The same for variables that hold secrets: their values must never stand in an argument.
    pub secret: Vec<String>,
    /// A text that arguments and values hold only a token for, until the process is started. Never written down.
    #[serde(skip)]
    pub hidden: Option<Hidden>,
}

/// Why a tool gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("cannot run `{program}`")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended with another status than 0.
    #[error("`{command}` failed ({status}){tail}")]
    Failed {
        /// Its name and subcommand.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        tail: String,
    },
    /// The user wanted to stop.
    #[error("stopped")]
    Interrupted(Interruption),
    /// It did not end in time.
    #[error("`{command}` gave no answer within {seconds} s")]
    TimedOut {
        /// Its name and subcommand.
        command: String,
        /// How long it had, in seconds.
        seconds: u64,
    },
}

impl ToolCommand {
    /// A command that sees nothing of the caller's environment but the named variables.
    pub fn new(program: impl Into<OsString>, keep: &[&str]) -> Self {
        let keep = keep.iter().map(|name| (*name).to_owned()).collect();
        Self { program: program.into(), args: Vec::new(), set: BTreeMap::new(), keep, secret: Vec::new(), hidden: None }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: Into<OsString>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.set.insert(name.to_owned(), value.into());
        self
    }

    /// The program and its first words, for messages: never values, which may be long or private.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut words = vec![OsStr::new(&self.program).to_string_lossy().into_owned()];
        let plain = |arg: &&OsString| !arg.as_encoded_bytes().starts_with(b"-");
        words.extend(self.args.iter().take(2).take_while(plain).map(|arg| arg.to_string_lossy().into_owned()));
        words.join(" ")
    }

    fn to_process(&self, environment: &Environment) -> Command {
        let keep: Vec<&str> = self.keep.iter().chain(&self.secret).map(String::as_str).collect();
        let mut process = Command::new(&self.program);
        process
            .args(self.args.iter().map(|arg| self.reveal(arg)))
            .env_clear()
            .envs(environment.only(&keep).iter())
            .envs(self.set.iter().map(|(name, value)| (name, self.reveal(value))))
            .stdin(Stdio::null())
            // A group of its own: Ctrl-C reaches repro, which then ends the whole group in order.
            .process_group(0)
            .kill_on_drop(true);
        process
    }

    fn reveal(&self, word: &OsStr) -> OsString {
        self.hidden.as_ref().map_or_else(|| word.to_owned(), |hidden| hidden.reveal(word))
    }

    fn start_error(&self, source: std::io::Error) -> CommandError {
        CommandError::Start { program: OsStr::new(&self.program).to_string_lossy().into_owned(), source }
    }

    /// Starts it with stdout into a file. `lock` becomes its stdin, which it does not read: the lock is held until it has
    /// ended, too.
    pub fn spawn_into(
        &self,
        stdout: File,
        stderr: Stdio,
        lock: File,
        environment: &Environment,
    ) -> Result<Child, CommandError> {
        let mut process = self.to_process(environment);
        process.stdin(lock).stdout(stdout).stderr(stderr);
        process.spawn().map_err(|source| self.start_error(source))
    }

    /// Starts it with pipes to its stdin, stdout and stderr.
    pub fn spawn_piped(&self, environment: &Environment) -> Result<Child, CommandError> {
        let mut process = self.to_process(environment);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        process.spawn().map_err(|source| self.start_error(source))
    }

    /// Runs it to its end and returns what it printed, whatever its status.
    pub async fn run(
        &self,
        environment: &Environment,
        interrupt: &Interrupt,
        limit: Duration,
    ) -> Result<Output, CommandError> {
        self.run_process((self.to_process(environment), OUTPUT_LIMIT), |_| None, interrupt, limit).await
    }

    /// The same in a directory, with the last `kept` bytes at least of what it printed. It ends where this process is killed, as
    /// it would with Ctrl-C.
    pub async fn run_in(
        &self,
        (directory, kept): (&Path, usize),
        environment: &Environment,
        interrupt: &Interrupt,
        limit: Duration,
    ) -> Result<Output, CommandError> {
        let mut process = self.to_process(environment);
        process.current_dir(directory);
        let watched =
            |group| Guard::over(group).inspect_err(|error| tracing::warn!("nothing watches over it: {error}")).ok();
        self.run_process((process, kept), watched, interrupt, limit).await
    }

    async fn run_process(
        &self,
        (mut process, kept): (Command, usize),
        watch: impl FnOnce(u32) -> Option<Guard>,
        interrupt: &Interrupt,
        limit: Duration,
    ) -> Result<Output, CommandError> {
        process.stdout(Stdio::piped()).stderr(Stdio::piped());
        tracing::debug!("running {}", self.summary());
        let mut child = process.spawn().map_err(|source| self.start_error(source))?;
        let _guard = child.id().and_then(watch);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let work = async {
            let (stdout, stderr) = tokio::join!(read_last(stdout, kept), read_tail(stderr));
            child.wait().await.map(|status| Output { status, stdout, stderr })
        };
        let ended = self.until_ended(work, interrupt, limit).await;
        stop(&mut child).await;
        ended
    }

    /// Waits for the work with a child, as long as it may take. Whoever calls this stops the child, if it still runs.
    async fn until_ended<T>(
        &self,
        work: impl Future<Output = std::io::Result<T>>,
        interrupt: &Interrupt,
        limit: Duration,
    ) -> Result<T, CommandError> {
        tokio::select! {
            done = work => done.map_err(|source| self.start_error(source)),
            () = tokio::time::sleep(limit) => Err(CommandError::TimedOut { command: self.summary(), seconds: limit.as_secs() }),
            interruption = interrupt.wait() => Err(CommandError::Interrupted(interruption)),
        }
    }

    /// Runs it to its end and hands over what it prints, piece by piece, to `sink`, which says whether it wants more. False
    /// where it did not, and the tool was ended for that.
    pub async fn read(
        &self,
        environment: &Environment,
        interrupt: &Interrupt,
        limit: Duration,
        mut sink: impl FnMut(&[u8]) -> bool,
    ) -> Result<bool, CommandError> {
        let mut child = self.spawn_piped(environment)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let feed = async {
            let Some(mut stdout) = stdout else { return true };
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count @ 1..) = stdout.read(&mut buffer).await {
                if !sink(&buffer[..count]) {
                    // The other end of its pipe is closed by this.
                    return false;
                }
            }
            true
        };
        let work = async {
            let (is_whole, stderr) = tokio::join!(feed, read_tail(stderr));
            child.wait().await.map(|status| (is_whole, Output { status, stdout: Vec::new(), stderr }))
        };
        let ended = self.until_ended(work, interrupt, limit).await;
        stop(&mut child).await;
        match ended? {
            (true, output) if !output.status.success() => Err(self.failed(&output)),
            (is_whole, _) => Ok(is_whole),
        }
    }

    /// Runs it to its end; another status than 0 is an error with the end of what it said.
    pub async fn run_checked(
        &self,
        environment: &Environment,
        interrupt: &Interrupt,
        limit: Duration,
    ) -> Result<Output, CommandError> {
        let output = self.run(environment, interrupt, limit).await?;
        if output.status.success() { Ok(output) } else { Err(self.failed(&output)) }
    }

    /// The error for an output with another status than 0.
    #[must_use]
    pub fn failed(&self, output: &Output) -> CommandError {
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let tail = lines[lines.len().saturating_sub(5)..].join("\n");
        let tail = if tail.is_empty() { tail } else { format!(": {tail}") };
        CommandError::Failed { command: self.summary(), status: output.status, tail }
    }
}

/// The end of what a child says until it closes the stream.
pub async fn read_tail(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    read_last(stream, OUTPUT_LIMIT).await
}

async fn read_last(stream: Option<impl AsyncRead + Unpin>, limit: usize) -> Vec<u8> {
    let Some(mut stream) = stream else { return Vec::new() };
    let mut kept = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 2 * limit {
            kept.drain(..kept.len() - limit);
        }
    }
    kept
}

/// Ends a child and all that it started: SIGTERM to its process group, SIGKILL when that did not help in time.
///
/// The group counts, not the child: Podman without root starts itself once more, and the first one may end before the second.
pub async fn stop(child: &mut Child) {
    let Some(group) = child.id() else { return };
    stop_group(group, async {
        let _ = child.wait().await;
    })
    .await;
}

/// Ends a process group whose leader is waited for by `leader`, or has ended already.
pub async fn stop_group(group: u32, leader: impl Future<Output = ()>) {
    let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) else { return };
    let _ = kill_process_group(group, Signal::TERM);
    let ended = async {
        leader.await;
        while test_kill_process_group(group).is_ok() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> ToolCommand {
        ToolCommand::new("/bin/sh", &["KEPT"]).arg("-c").arg(script)
    }

    fn run(command: &ToolCommand, environment: &Environment, limit: Duration) -> Result<Output, CommandError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(command.run_checked(environment, &Interrupt::never(), limit))
    }

    const LONG: Duration = Duration::from_secs(30);

    /// Defect 21 of upstream.
    #[test]
    fn a_tool_sees_only_what_is_named() {
        let environment: Environment =
            [("KEPT", "kept"), ("SECRET", "secret"), ("HTTP_PROXY", "proxy")].into_iter().collect();
        let command = sh("echo \"$KEPT|${SECRET-unset}|${HTTP_PROXY-unset}|$OURS\"").env("OURS", "ours");
        assert_eq!(run(&command, &environment, LONG).unwrap().stdout, b"kept|unset|unset|ours\n");
    }

    #[test]
    fn a_failure_shows_the_end_of_what_the_tool_said() {
        let error =
            run(&sh("echo first >&2; echo 'no space left' >&2; exit 7"), &Environment::default(), LONG).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 7") && text.contains("no space left"), "{text}");
        let missing = ToolCommand::new("/no/such/tool", &[]);
        assert!(
            run(&missing, &Environment::default(), LONG)
                .unwrap_err()
                .to_string()
                .contains("cannot run `/no/such/tool`")
        );
    }

    #[test]
    fn a_tool_that_hangs_is_ended_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join("pid");
        let script = format!("/bin/sh -c 'echo $$ > {}; exec tail -f /dev/null' & wait", mark.display());
        let error = run(&sh(&script), &Environment::default(), Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, CommandError::TimedOut { .. }), "{error}");
        let pid: i32 = std::fs::read_to_string(mark).unwrap().trim().parse().unwrap();
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let gone = state.is_empty() || state.contains(") Z ");
        assert!(gone, "the grandchild lives: {state}");
    }
}
