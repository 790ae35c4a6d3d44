//! A BuildKit that somebody else runs: the laboratory's own binaries, started without `repro`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::harness::{lab, said};

/// A daemon in namespaces of its own. It ends with the test, however that ends: a shell waits for the end of its stdin.
pub struct Daemon {
    binaries: PathBuf,
    root: PathBuf,
    socket: PathBuf,
    shell: Mutex<Child>,
}

const SCRIPT: &str = "exec 2>/dev/null
unshare --fork --pid --mount-proc --kill-child=KILL \"$@\" >\"$0\" 2>&1 & pid=$!
cat >/dev/null
kill -KILL $pid
wait $pid";

impl Daemon {
    /// Starts the BuildKit of a version (`V0_19_0`), with its state in a directory that is removed with it.
    pub fn start(version: &str, root: &Path, socket: &Path, more: &[&str]) -> Self {
        Self::start_behind(&[], version, root, socket, more)
    }

    /// The same with a program in front, which gives it a network of its own.
    pub fn start_behind(before: &[&str], version: &str, root: &Path, socket: &Path, more: &[&str]) -> Self {
        let binaries = PathBuf::from(lab(&format!("LAB_BUILDKIT_{version}_BIN")));
        fs::create_dir_all(root).unwrap();
        let log = root.join("log");
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).arg(&log).args(before).arg(binaries.join("buildkitd"));
        command.args(["--config", &lab("LAB_BUILDKITD_TOML"), "--root"]).arg(root.join("root"));
        command.args(["--addr", &format!("unix://{}", socket.display())]);
        if !more.iter().any(|word| word.contains("snapshotter")) {
            command.arg("--oci-worker-snapshotter=overlayfs");
        }
        let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
        let shell = command.args(more).env("PATH", path).stdin(Stdio::piped()).spawn().unwrap();
        let (root, socket) = (root.to_owned(), socket.to_owned());
        let daemon = Self { binaries, root, socket, shell: Mutex::new(shell) };
        let start = Instant::now();
        while !daemon.buildctl(&["debug", "workers"]).status.success() {
            let log = fs::read_to_string(&log).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(60), "somebody else's daemon does not answer: {log}");
            std::thread::yield_now();
        }
        daemon
    }

    /// What `--addr` takes.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// A command line that leads to it from where a remote shell would be.
    pub fn dial(&self) -> String {
        format!("exec {}/buildctl --addr {} dial-stdio", self.binaries.display(), self.address())
    }

    pub fn buildctl(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(self.binaries.join("buildctl"));
        command.args(["--addr", &self.address()]).args(arguments).output().unwrap()
    }

    /// The records of its cache.
    pub fn records(&self) -> Vec<String> {
        let answer = self.buildctl(&["du", "--verbose"]);
        assert!(answer.status.success(), "{}", said(&answer));
        let text = String::from_utf8(answer.stdout).unwrap();
        let mut records: Vec<String> = text.lines().filter(|line| line.starts_with("ID:")).map(str::to_owned).collect();
        records.sort();
        records
    }

    /// Ends it without a word, with all that runs in it.
    pub fn kill(&self) {
        let mut shell = self.shell.lock().unwrap();
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_file(&self.socket);
        let _ = Command::new("rm").args(["-rf", "--one-file-system"]).arg(&self.root).status();
    }
}
