//! Every ceiling on what is read from outside, with its reason.
//!
//! Images come from strangers. Each limit is far above what real images need and far below what would hurt the machine.

/// One JSON document (index, manifest, config), in bytes: 4 MiB. The distribution specification asks registries to take
/// manifests of at least this size, and says that larger ones are not portable.
pub const DOCUMENT_BYTES: u64 = 4 << 20;

/// All JSON kept from one archive, in bytes. An archive of many platforms with attestations holds well below a tenth of it.
pub const DOCUMENTS_TOTAL_BYTES: u64 = 24 << 20;

/// How deep JSON may nest. The deepest path that the image specification knows has six levels
/// (`index.manifests[].platform.os.features[]`); fields that it does not know are allowed, thus the room above.
pub const JSON_DEPTH: u32 = 32;

/// How deep an index may hold an index. BuildKit writes one below `index.json`; the specification names no end.
pub const INDEX_DEPTH: u32 = 8;

/// One extension of a tar header (PAX records, GNU long name), in bytes: what Go's `archive/tar`, and with it every engine, takes.
pub const TAR_EXTENSION_BYTES: u64 = 1 << 20;

/// Extensions of one tar header. PAX records, a long name and a long link are three.
pub const TAR_EXTENSIONS: usize = 16;

/// Members of one archive. An image of 127 layers, the most that overlayfs mounts, on ten platforms needs 1,300.
pub const ARCHIVE_MEMBERS: u64 = 65_536;

/// All entries of an archive that are listed, in bytes of the temporary file that they wait in: 1 GiB, some eight million.
pub const LISTING_BYTES: u64 = 1 << 30;

/// The name of a member of an archive, in bytes. Those of images have 140 at most; the rest is only told, and cut.
pub const MEMBER_NAME_BYTES: usize = 1_024;

/// An archive that is compressed as a whole, after inflating, in bytes: 1 TiB. Stops a bomb; nothing of it is ever kept.
pub const ARCHIVE_BYTES: u64 = 1 << 40;

/// One layer after inflating, in bytes: 256 GiB. Stops a bomb, in minutes rather than days: nothing of it is ever kept.
pub const LAYER_BYTES: u64 = 256 << 30;

/// The window of a zstd frame, as a power of two: 128 MiB, what libzstd itself takes without being asked for more.
pub const ZSTD_WINDOW_LOG: u32 = 27;

/// Characters of one text in a message, be it a path or a media type. A stranger chose it, and a thousand faults may hold it.
pub const FAULT_TEXT: usize = 2_000;

/// Entries of one layer of which a hash is kept, to find paths that repeat: 19 MB. The largest real layers have some 500,000.
pub const LAYER_PATHS: usize = 1_835_008;

/// Faults told of one archive. Who broke an archive in a thousand places knows it by then.
pub const FAULTS: usize = 1_000;

/// One piece of a blob on its way between threads, in bytes. Larger gains nothing (measured), smaller costs.
pub const CHUNK_BYTES: usize = 128 << 10;

/// How much a pipe that an archive comes through may hold, in bytes. Linux allows 1 MiB without privileges (`pipe(7)`,
/// `/proc/sys/fs/pipe-max-size`), and what does not fit into the caches of two cores is slower (measured).
pub const PIPE_BYTES: usize = 256 << 10;

/// Pieces that wait between two threads: 2 MiB, enough to even out reading and inflating.
pub const CHUNKS_IN_FLIGHT: usize = 16;

/// Metadata and provenance that a runtime leaves behind, in bytes: 64 MiB. Provenance grows with the steps of a build.
pub const FINDINGS_LIMIT: u64 = 64 << 20;

/// One Dockerfile, in bytes: 4 MiB. BuildKit reads it as one message of at most 16 MiB; generated ones have some 100 kB.
pub const DOCKERFILE_BYTES: u64 = 4 << 20;

/// Layers of which is remembered what was found in them. A line of 400 bytes each: read in a millisecond.
pub const KNOWN_LAYERS: usize = 512;

/// Layers below this are not remembered, in bytes: to inflate one takes a few milliseconds.
pub const KNOWN_LAYER_BYTES: u64 = 1 << 20;

/// The file of remembered layers, in bytes; far more than it needs, paths being long at times.
pub const KNOWN_LAYERS_FILE_BYTES: u64 = 16 << 20;

/// Blobs of one image that are copied to be read a second time, in bytes of temporary files: 64 GiB.
pub const COPIED_BYTES: u64 = 64 << 30;

/// A value in a comparison, in bytes. What is longer is cut, and said to be: two thousand of them differ at a glance.
pub const DIFF_TEXT_BYTES: usize = 2_000;

/// Differences that are told of one JSON document. Real ones differ in tens.
pub const DIFF_VALUES: usize = 1_000;

/// Places that are told of one cause, to go and look there. All of them are in the tree.
pub const DIFF_PLACES: usize = 5;

/// Entries that are told one by one, in all layers together: with what is known of them, 40 MB. The rest is counted.
pub const DIFF_ENTRIES: usize = 32_768;

/// Entries of one layer that are sorted in memory, in bytes. Both sides are sorted at the same time.
pub const DIFF_SORT_MEMORY: usize = 12 << 20;

/// The same while their order is compared.
pub const DIFF_ORDER_MEMORY: usize = 4 << 20;

/// Sorted entries of one layer in a temporary file, in bytes: 8 GiB, some twenty million. They make 700 runs.
pub const DIFF_SORT_BYTES: u64 = 8 << 30;

/// What is read ahead of each run, in bytes: 700 runs on two sides take 11 MB.
pub const DIFF_RUN_BUFFER: usize = 8 << 10;

/// Two lists are held against each other, each element with each, up to this many times: 4 MB of memory.
pub const DIFF_ALIGN: usize = 1 << 20;

/// Files that are looked into. A finding needs a handful; the rest is told by size and digest.
pub const LOOK_FILES: usize = 1_000;

/// One file that is looked into, in bytes: 32 MiB, what programs in Go have. Of larger ones only the first byte that differs is told.
pub const LOOK_BYTES: u64 = 32 << 20;

/// All contents that are read again, of one side, in bytes of temporary files: 4 GiB.
pub const LOOK_TOTAL_BYTES: u64 = 4 << 30;

/// How deep archives in archives are looked into. A jar in a tar in a gzip is three.
pub const LOOK_DEPTH: usize = 3;

/// Members of one archive that are compared. The largest real jars have some 30,000.
pub const LOOK_MEMBERS: usize = 65_536;

/// What compressed contents may inflate to, in bytes, in all members of a file together: stops a bomb.
pub const LOOK_INFLATED_BYTES: u64 = 16 << 20;

/// Differences that are told of the inside of one file.
pub const LOOK_PARTS: usize = 50;

/// Lines of a unified diff that are told of one file.
pub const LOOK_LINES: usize = 60;

/// Lines of text that differ and are held against each other: what takes longer to compare takes longer to read, too.
pub const LOOK_TEXT_LINES: usize = 2_000;

/// A file of the context that is looked into for versions, in bytes: 4 MiB. Lock files of large projects have 2.
pub const MOVING_FILE_BYTES: usize = 4 << 20;

/// All files of the context that are looked into for versions, in bytes. A Dockerfile may name one of them ten thousand times.
pub const MOVING_FILES_BYTES: usize = 64 << 20;

/// Findings of one Dockerfile about inputs that move. Who has a thousand knows it by then.
pub const MOVING_FINDINGS: usize = 1_000;

/// A `matrix.toml`, in bytes. One with a hundred images has some 20 kB.
pub const MATRIX_BYTES: u64 = 1 << 20;

/// What one call of this program for a matrix prints, in bytes. A comparison of 100,000 files has some 40 MB.
pub const REPORT_BYTES: usize = 64 << 20;

/// Cells of one matrix. A night of 10,000 is large; more is a slip in the axes.
pub const MATRIX_CELLS: usize = 100_000;

/// One line of a matrix' history, in bytes. Those that `repro` writes have less than 64 KiB.
pub const HISTORY_LINE_BYTES: usize = 1 << 20;

/// What stands around a fact in its line, in bytes: the form and the kind.
pub const HISTORY_FRAME_BYTES: usize = 100;

/// How long a history may say that a build took, in seconds: 30 years. Beyond any build, and shown with all its digits.
pub const HISTORY_SECONDS: f64 = 1e9;

/// Causes of one difference that a history remembers. Most have one or two.
pub const HISTORY_CAUSES: usize = 20;

/// One text in a history (a reason, an address, a place), in bytes. What is longer is cut.
pub const HISTORY_TEXT_BYTES: usize = 2_000;

/// Lines of a history that are written with one call where many are copied, in bytes.
pub const HISTORY_BATCH_BYTES: usize = 1 << 20;

/// The files of an SBOM of one image, in bytes: 40 MiB, the most that BuildKit takes of one (`exporter/attestation/make.go`).
pub const SBOM_BYTES: u64 = 40 << 20;

/// How many files an SBOM has at most. A scanner writes one for the image, and here there is nothing else to scan.
pub const SBOM_FILES: usize = 16;

/// The text of the input `cache-map`, in bytes. One mount takes some 50.
pub const CACHE_MAP_BYTES: usize = 64 << 10;

/// Mounts of one `cache-map`. A build of many languages has five.
pub const CACHE_MAP_MOUNTS: usize = 32;

/// What is taken out of the cache mounts of one build, in bytes: 10 GiB, what GitHub keeps of a repository's caches.
pub const CACHE_MOUNT_BYTES: u64 = 10 << 30;

/// How long after the end of a build another one begins that is held against it: 2 s, as coarse as the times in a zip archive. Builds
/// of one second read one time, and would agree on what has it in it.
pub const CLOCK_APART: std::time::Duration = std::time::Duration::from_secs(2);
