//! Every ceiling on what a registry, a token server or a credential helper may send or how long it may take.

use std::time::Duration;

/// The largest manifest or index, bytes: what distribution-spec ("Pushing manifests") asks every registry to take.
pub const MANIFEST_BYTES: u64 = 4 << 20;

/// The largest answer of a token server, bytes. Real tokens are 1-10 KiB.
pub const TOKEN_BYTES: u64 = 256 << 10;

/// How much of an error's body is read, bytes: enough for the registry's own words.
pub const ERROR_BYTES: u64 = 16 << 10;

/// How many characters of the registry's own words are shown.
pub const ERROR_CHARS: usize = 300;

/// The largest credential file, bytes.
pub const CREDENTIAL_FILE_BYTES: u64 = 1 << 20;

/// The largest answer of a credential helper, bytes.
pub const HELPER_BYTES: u64 = 64 << 10;

/// How long a credential helper may take: it may ask the user to unlock a key ring.
pub const HELPER_TIMEOUT: Duration = Duration::from_secs(60);

/// How many redirects are followed: a registry to its storage and one more is what is seen.
pub const REDIRECTS: usize = 5;

/// How long a connection may take to come about, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long nothing may arrive on an open connection.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an answer may take as a whole, besides what its size allows at [`SLOWEST_RATE`].
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes a second that a registry has to look at of a blob that it has received whole, before it answers.
pub const SLOWEST_JUDGE: u64 = 10 << 20;

/// Bytes a second that a download needs to keep up on the whole: below it, drop by drop, it would never end.
pub const SLOWEST_RATE: u64 = 16 << 10;

/// How often a request is made in all when the registry is overloaded or the connection breaks.
pub const ATTEMPTS: u32 = 3;

/// The pause before the second attempt; it doubles.
pub const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The longest pause that a registry can ask for with `Retry-After`; beyond it the error is reported instead.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// How many blobs or documents a registry is asked for at the same time.
pub const ASKED_AT_ONCE: usize = 6;
