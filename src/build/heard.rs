//! What a builder said last: passed on as it comes, and its end kept, because some of its failures have a known way out.

use std::io::{ErrorKind, Read as _, Write as _, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::runtime::voice::Voice;

/// What is kept, bytes: BuildKit repeats the reason of a failure in its last lines.
const TAIL: usize = 16 << 10;
/// How long it may be silent after the builder ended: something that it started may hold the pipe. What was said before is
/// passed on however slow the reader is.
const REST: Duration = Duration::from_millis(500);

/// Passes what a builder says on to stderr.
pub struct Listener {
    tail: Arc<Mutex<Vec<u8>>>,
    /// How many pieces were passed on.
    pieces: Arc<AtomicU64>,
    ended: oneshot::Receiver<()>,
}

impl Listener {
    /// Listens from now on, on a thread that ends when nobody can say anything any more, or with the process.
    #[must_use]
    pub fn new(mut voice: Voice) -> Self {
        let tail = Arc::new(Mutex::new(Vec::new()));
        let pieces = Arc::new(AtomicU64::new(0));
        let (kept, passed) = (tail.clone(), pieces.clone());
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 8 << 10];
            loop {
                let count = match voice.read(&mut buffer) {
                    Ok(count @ 1..) => count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    _ => break,
                };
                // A terminal that is gone is no reason for the builder to fail.
                let _ = stderr().write_all(&buffer[..count]);
                passed.fetch_add(1, Ordering::Relaxed);
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..count]);
                let over = kept.len().saturating_sub(TAIL);
                kept.drain(..over);
            }
            // Nobody waits for it where the build was given up.
            let _ = end.send(());
        });
        Self { tail, pieces, ended }
    }

    /// The end of what was said, once the builder ended.
    pub async fn finish(mut self) -> String {
        let mut before = self.pieces.load(Ordering::Relaxed);
        while tokio::time::timeout(REST, &mut self.ended).await.is_err() {
            let now = self.pieces.load(Ordering::Relaxed);
            if now == before {
                break;
            }
            before = now;
        }
        String::from_utf8_lossy(&self.tail.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// Words of a failure, and what to do about it.
type Known = (&'static [&'static str], &'static str);

const UNKNOWN_AUTHORITY: [&str; 3] =
    ["certificate signed by unknown authority", "certificate verify failed", "unable to get local issuer certificate"];
const PROXY: [&str; 3] = ["Proxy Authentication Required", "proxyconnect tcp", "status code 407"];

/// What to do about a failure that a builder words like this: the first that fits.
const KNOWN: [Known; 5] = [
    (
        &UNKNOWN_AUTHORITY,
        "a server showed a certificate of an authority that is not known here: give the authority with `--ca FILE`; RUN has \
         its own authorities, those of the base image (`--secret id=ca,src=FILE` with a mount brings one in)",
    ),
    (
        &PROXY,
        "the proxy refuses or cannot be reached: look at `--proxy` (with user and password: http://USER:PASSWORD@HOST:PORT)",
    ),
    (
        &[
            "401 Unauthorized",
            "no basic auth credentials",
            "authorization failed",
            "authentication required",
            "pull access denied",
            "failed to authorize",
            "insufficient_scope",
            "403 Forbidden",
        ],
        "log in to the registry of the image with `docker login` or `podman login`, as the user who builds; many registries \
         answer the same for a repository that does not exist",
    ),
    (
        &["entitlement network.host is not allowed", "network.host is not allowed"],
        "RUN --network=host needs `--network host`",
    ),
    (
        &["exit code: 137"],
        "137 is what is left of a process that was killed: mostly by the kernel, for want of memory (`dmesg` tells); give the \
         machine or the builder's container more, or let the step do less at once",
    ),
];

/// The same of a BuildKit that somebody else runs, where the caller's flags do not reach.
const KNOWN_ELSEWHERE: [Known; 3] = [
    (
        &UNKNOWN_AUTHORITY,
        "a server showed a certificate of an authority that is not known there: whoever runs that BuildKit gives it authorities \
         (`--ca` reaches only the client here); RUN has its own, those of the base image (`--secret id=ca,src=FILE` with a mount \
         brings one in)",
    ),
    (&PROXY, "a proxy refuses or cannot be reached: whoever runs that BuildKit says which one it fetches through"),
    (
        &["network.host is not allowed"],
        "RUN with the network of the host needs `--network host`, and that whoever runs that BuildKit grants `network.host`",
    ),
];

/// The hint for what a builder said, if its words are known.
#[must_use]
pub fn hint_of(said: &str) -> Option<&'static str> {
    find(said, &KNOWN)
}

/// The same for a BuildKit that somebody else runs.
#[must_use]
pub fn hint_elsewhere(said: &str) -> Option<&'static str> {
    find(said, &KNOWN_ELSEWHERE).or_else(|| hint_of(said))
}

fn find(said: &str, known: &[Known]) -> Option<&'static str> {
    // Earlier lines may tell of what was tried and did not matter.
    let last: Vec<&str> = said
        .lines()
        .rev()
        .filter(|line| line.to_ascii_lowercase().contains("error") || line.contains("failed"))
        .collect();
    known
        .iter()
        .find(|(words, _)| last.iter().any(|line| words.iter().any(|word| line.contains(word))))
        .map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_have_a_way_out() {
        let hint = |text: &str| hint_of(text).unwrap_or_default();
        let unknown = "ERROR: failed to do request: tls: failed to verify certificate: x509: certificate signed by unknown authority\n";
        assert!(hint(unknown).contains("--ca"));
        let denied =
            "error: failed to solve: r/x: pull access denied, repository does not exist or may require authorization\n";
        assert!(hint(denied).contains("login"));
        assert!(
            hint("ERROR: unexpected status from HEAD request to http://r/v2/x: 401 Unauthorized\n").contains("login")
        );
        let killed = "ERROR: process \"/bin/sh -c make\" did not complete successfully: exit code: 137\n";
        assert!(hint(killed).contains("memory"));
        assert!(hint_elsewhere(unknown).unwrap().contains("whoever runs that BuildKit"));
        assert!(hint_elsewhere(denied).unwrap().contains("login"));
        assert!(hint("error: Proxy Authentication Required").contains("--proxy"));
        assert_eq!(hint_of("#5 0.1 curl said 401 Unauthorized, and that is fine\nerror: exit code: 1\n"), None);
    }
}
