//! Reads a file while another process writes it.
//!
//! The builder writes the archive straight into its file, and the checks read it there. Through a pipe every byte would be
//! copied twice more, and the builder would wait whenever the checks do: for an archive of 640 MB a tenth of the processor
//! time of a whole build (measured).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long the reader waits before it looks for more, at first.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// The same after it has looked often in vain: a build may write nothing for minutes.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// What the writer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Writing,
    Done,
    Abandoned,
}

/// Tells a [`Follower`] what becomes of the writer.
#[derive(Debug, Clone)]
pub struct Writer(Arc<(Mutex<State>, Condvar)>);

impl Writer {
    /// Everything is written: the reader goes on to the end of the file.
    pub fn done(&self) {
        self.set(State::Done);
    }

    /// Nobody wants the file any more: the reader fails.
    pub fn abandoned(&self) {
        self.set(State::Abandoned);
    }

    fn set(&self, state: State) {
        let (current, changed) = &*self.0;
        *current.lock().unwrap_or_else(PoisonError::into_inner) = state;
        changed.notify_all();
    }

    /// What the writer is doing; while it writes, only after a wait.
    fn wait(&self, limit: Duration) -> State {
        let (current, changed) = &*self.0;
        let state = current.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(state, limit, |state| *state == State::Writing);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The reader.
#[derive(Debug)]
pub struct Follower {
    file: File,
    position: u64,
    writer: Writer,
    wait: Duration,
}

/// Follows a file from its beginning. The position that it shares with the writer is neither used nor moved.
pub fn follow(file: File) -> (Follower, Writer) {
    let writer = Writer(Arc::new((Mutex::new(State::Writing), Condvar::new())));
    (Follower { file, position: 0, writer: writer.clone(), wait: SHORTEST_WAIT }, writer)
}

impl Read for Follower {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Asked before the file is: whatever was written before the end is then found.
            let state = self.writer.wait(Duration::ZERO);
            if state == State::Abandoned {
                return Err(io::Error::other("the build was stopped"));
            }
            let count = self.file.read_at(buffer, self.position)?;
            if count > 0 || state == State::Done || buffer.is_empty() {
                self.position += count as u64;
                self.wait = SHORTEST_WAIT;
                return Ok(count);
            }
            self.writer.wait(self.wait);
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::thread;

    use super::*;

    #[test]
    fn what_is_written_is_read_to_its_end() {
        let mut file = tempfile::tempfile().unwrap();
        let (mut follower, writer) = follow(file.try_clone().unwrap());
        let reader = thread::spawn(move || {
            let mut read = Vec::new();
            follower.read_to_end(&mut read).map(|_| read)
        });
        let mut written = Vec::new();
        for number in 0..200_u8 {
            let piece = vec![number; usize::from(number) * 100];
            file.write_all(&piece).unwrap();
            written.extend(piece);
            if number % 50 == 0 {
                thread::sleep(Duration::from_millis(30));
            }
        }
        writer.done();
        assert!(reader.join().unwrap().unwrap() == written);
    }

    #[test]
    fn an_abandoned_file_is_no_short_file() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"begun").unwrap();
        let (mut follower, writer) = follow(file);
        let mut buffer = [0; 5];
        follower.read_exact(&mut buffer).unwrap();
        let reader = thread::spawn(move || follower.read(&mut [0; 5]).map_err(|error| error.to_string()));
        writer.abandoned();
        assert!(reader.join().unwrap().is_err());
    }
}
