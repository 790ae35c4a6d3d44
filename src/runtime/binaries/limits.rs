//! Every ceiling on an image that BuildKit's binaries are taken from.

use std::time::Duration;

/// The largest index, manifest or configuration, bytes.
pub const DOCUMENT_BYTES: u64 = crate::registry::limits::MANIFEST_BYTES;

/// How many indexes may lie inside each other.
pub const INDEX_DEPTH: usize = 4;

/// The most layers: what overlayfs, and with it Docker, can stack.
pub const LAYERS: usize = 128;

/// The largest stored layer, bytes. All layers of BuildKit's images together are about 100 MB.
pub const LAYER_BYTES: u64 = 2 << 30;

/// The most bytes that all layers together may unpack to: thirty times what BuildKit's images do.
pub const UNPACKED_BYTES: u64 = 8 << 30;

/// The most entries in one layer.
pub const ENTRIES: u64 = 1_000_000;

/// The largest extended header or long name in a layer, bytes.
pub const HEADER_BYTES: u64 = 1 << 20;

/// The largest binary, bytes. `buildkitd` has about 60 MB.
pub const BINARY_BYTES: u64 = 512 << 20;

/// The most members in an `oci-archive:` file.
pub const ARCHIVE_MEMBERS: usize = 100_000;

/// How long another process may unpack the same image before waiting for it ends: a slow download takes minutes.
pub const LOCK_WAIT: Duration = Duration::from_secs(15 * 60);

/// How often it is looked whether the other process is done.
pub const LOCK_POLL: Duration = Duration::from_millis(50);
