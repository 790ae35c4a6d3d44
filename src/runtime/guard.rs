//! Binds a process group to the life of this process: where `repro` is killed, what it started ends as with Ctrl-C.
//!
//! A shell waits at a pipe whose other end only this process has. A word means that all went its way; an end without a word
//! means that nobody is left who could end the group.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

/// SIGTERM as in [`super::command::stop`], and SIGKILL to what is left after 10 s, which is the grace there.
const SCRIPT: &str = "read -r word && exit 0
kill -s TERM -- \"-$1\" 2>/dev/null
tries=100
while [ \"$tries\" -gt 0 ] && kill -s 0 -- \"-$1\" 2>/dev/null; do sleep 0.1; tries=$((tries - 1)); done
kill -s KILL -- \"-$1\" 2>/dev/null";

/// Watches over one process group until it is dropped.
#[derive(Debug)]
pub struct Guard(Child);

impl Guard {
    /// Starts to watch.
    pub fn over(group: u32) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SCRIPT, "repro-guard", &group.to_string()]).env_clear().env("PATH", "/usr/bin:/bin");
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(Self(shell.spawn()?))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.0.stdin.take() {
            // Where the shell is gone already there is nobody to tell.
            let _ = stdin.write_all(b"done\n");
        }
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        Command::new("tail").args(["-f", "/dev/null"]).process_group(0).spawn().unwrap()
    }

    #[test]
    fn a_group_outlives_its_guard_and_not_its_guardian() {
        let mut watched = sleeper();
        drop(Guard::over(watched.id()).unwrap());
        assert!(watched.try_wait().unwrap().is_none(), "told that all is well, the guard goes");
        let mut guard = Guard::over(watched.id()).unwrap();
        // What the kernel does where this process is killed.
        drop(guard.0.stdin.take());
        assert!(!watched.wait().unwrap().success(), "ended by a signal");
    }
}
