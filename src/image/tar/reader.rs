//! The blocks of a tar as entries.

use std::io::{self, BufRead};

use tar::Header;

use super::header::{Extra, Fields, fields, has_checksum, is_extended, number, pax_time, text};
use super::{BLOCK, Headers, Malformed, PaxError, Record, TarError, Time, parse_records};
use crate::limits;

/// An entry: its header block merged with the extensions before it. Its data is read from the [`TarReader`].
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where its first block starts, in bytes from the start of the tar.
    pub offset: u64,
    /// The path as stored, not normalised.
    pub path: Vec<u8>,
    /// Where a link points to.
    pub link: Vec<u8>,
    /// The type flag of the header.
    pub flag: u8,
    /// Bytes of data that follow in the tar.
    pub size: u64,
    /// Permissions, with setuid, setgid and the sticky bit, as stored.
    pub mode: i64,
    /// The number of the owner.
    pub uid: i64,
    /// The number of the group.
    pub gid: i64,
    /// When the content was changed.
    pub mtime: Time,
    /// When it was read, where the writer said so.
    pub atime: Option<Time>,
    /// When the inode was changed, where the writer said so.
    pub ctime: Option<Time>,
    /// The PAX records before the header.
    pub records: Vec<Record>,
    /// Whether readers of tar differ on its name or its data: it has two names, records of a sparse file, or comes behind a
    /// global header that some of them apply.
    pub is_ambiguous: bool,
}

impl Entry {
    /// Whether this is a regular file.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        matches!(self.flag, b'0' | 0)
    }

    /// Whether this is a directory.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        self.flag == b'5'
    }

    /// The latest of all its times.
    #[must_use]
    pub fn newest(&self) -> Time {
        self.mtime.max(self.atime.unwrap_or(self.mtime)).max(self.ctime.unwrap_or(self.mtime))
    }
}

/// Extensions that wait for their entry.
#[derive(Default)]
struct Pending {
    offset: Option<u64>,
    records: Vec<Record>,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    /// The extensions that came: their type flags.
    flags: Vec<u8>,
}

/// Reads entries, one after the other. It never seeks, but whoever can may help it over data ([`Self::pass_over`]).
pub struct TarReader<R> {
    inner: R,
    offset: u64,
    /// Data of the current entry not read yet, in bytes.
    left: u64,
    /// Zero bytes after that data up to the next block.
    padding: u64,
    /// Whether the end of the bytes may stand for the end of the tar, as Go allows.
    may_lack_end: bool,
    /// Whether a global header came by that says a name or a size for all that follows.
    has_global_names: bool,
    /// What was read beside data, where that is to be kept.
    headers: Option<Headers>,
}

impl<R: BufRead> TarReader<R> {
    /// Reads a tar that must end with its two zero blocks, as POSIX demands: without them nobody knows that it is whole.
    pub const fn new(inner: R) -> Self {
        Self { inner, offset: 0, left: 0, padding: 0, may_lack_end: false, has_global_names: false, headers: None }
    }

    /// Reads the tar of a layer, whose length its digest proves: engines take one without an end, so do we.
    pub fn of_layer(inner: R) -> Self {
        Self { may_lack_end: true, ..Self::new(inner) }
    }

    /// Keeps the bytes beside data from now on, for [`Self::take_headers`].
    #[must_use]
    pub fn keeping_headers(self) -> Self {
        Self { headers: Some(Headers::default()), ..self }
    }

    /// The bytes beside data since the last call: of an entry when it was just read, of the end of the tar behind the last one.
    pub fn take_headers(&mut self) -> Headers {
        self.headers.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Bytes read so far.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry, or none at the end. Data of the one before that has not been read is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_data()?;
        let mut pending = Pending::default();
        loop {
            let start = self.offset;
            let kept = self.kept_bytes();
            let Some(block) = self.header_block(pending.offset.is_some())? else { return Ok(None) };
            let header = Header::from_byte_slice(&block);
            let at = |reason| TarError::Malformed { offset: start, reason };
            let known = fields(&block).map_err(at)?;
            let size = number(&header.as_old().size, "size").map_err(at)?;
            let size = u64::try_from(size).map_err(|_| at(Malformed::Number("size")))?;
            match header.as_old().linkflag[0] {
                // The records of a global header are not applied: no engine does. Go forgets what came before it, GNU tar does not.
                b'g' if pending.offset.is_some() => return Err(at(Malformed::LoneExtension)),
                b'g' => {
                    let data = self.extension(start, size)?;
                    let records = parse_records(&data).map_err(|error| at(error.into()))?;
                    self.has_global_names |= records.iter().any(|record| is_name_or_data(&record.key));
                    self.fold(kept);
                    continue;
                }
                b'x' => {
                    let data = self.extension(start, size)?;
                    pending.records = parse_records(&data).map_err(|error| at(error.into()))?;
                }
                b'L' => pending.long_path = Some(text(&self.extension(start, size)?).to_vec()),
                b'K' => pending.long_link = Some(text(&self.extension(start, size)?).to_vec()),
                _ => {
                    let mut entry = merge(&block, &known, size, start, pending).map_err(at)?;
                    entry.is_ambiguous |= self.has_global_names;
                    self.skip_sparse_blocks(&block, &entry)?;
                    self.set_data(entry.size);
                    return Ok(Some(entry));
                }
            }
            pending.offset.get_or_insert(start);
            pending.flags.push(header.as_old().linkflag[0]);
            if pending.flags.len() > limits::TAR_EXTENSIONS {
                return Err(at(Malformed::ManyExtensions));
            }
        }
    }

    /// Reads data of the current entry; 0 at its end.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let count = loop {
            match self.inner.read(&mut buffer[..wanted]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let count = count.map_err(|source| TarError::Read { offset: self.offset, source })?;
        if count == 0 {
            return Err(self.truncated("the data of an entry goes on"));
        }
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }

    /// Has `seek` pass over the data of the current entry that was not read yet, so many bytes. It says whether it did.
    pub fn pass_over(&mut self, seek: impl FnOnce(&mut R, u64) -> io::Result<bool>) -> Result<(), TarError> {
        let has_moved = seek(&mut self.inner, self.left);
        if has_moved.map_err(|source| TarError::Read { offset: self.offset, source })? {
            self.offset += self.left;
            self.left = 0;
        }
        Ok(())
    }

    /// Reads on to the end of the bytes, after the last entry. Says where the first byte that is not zero stands, if any.
    pub fn drain(&mut self) -> Result<Option<u64>, TarError> {
        self.drain_to(|_| {})
    }

    /// The same, showing all that is read on.
    pub fn drain_to(&mut self, mut show: impl FnMut(&[u8])) -> Result<Option<u64>, TarError> {
        let mut foreign = None;
        loop {
            let offset = self.offset;
            let buffer = self.fill()?;
            if buffer.is_empty() {
                return Ok(foreign);
            }
            show(buffer);
            if foreign.is_none() {
                foreign = buffer.iter().position(|byte| *byte != 0).map(|at| offset + at as u64);
            }
            let count = buffer.len();
            self.consume(count);
        }
    }

    fn fill(&mut self) -> Result<&[u8], TarError> {
        let offset = self.offset;
        // Asked twice because a loop cannot return what it borrows. The second call finds the buffer filled; at the end of the
        // bytes there is none, for a source must not be asked again then.
        loop {
            match self.inner.fill_buf() {
                Ok([]) => return Ok(&[]),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(TarError::Read { offset, source }),
            }
        }
        self.inner.fill_buf().map_err(|source| TarError::Read { offset, source })
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.offset += count as u64;
    }

    const fn truncated(&self, missing: &'static str) -> TarError {
        TarError::Truncated { offset: self.offset, missing }
    }

    const fn set_data(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn skip_data(&mut self) -> Result<(), TarError> {
        // Go forgives a layer that ends inside the padding; the digest of the layer proves that nothing is missing.
        let mut left = self.left.saturating_add(self.padding);
        while left > 0 {
            let may_end = self.may_lack_end && left <= self.padding;
            let buffer = self.fill()?;
            let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if count == 0 {
                if may_end {
                    break;
                }
                return Err(self.truncated("the data of an entry goes on"));
            }
            if left < BLOCK as u64 {
                self.keep_padding(count);
            }
            self.consume(count);
            left -= count as u64;
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// Fills `block`; false when the bytes end before its first one.
    fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, TarError> {
        let mut filled = 0;
        while filled < BLOCK {
            let buffer = self.fill()?;
            let count = buffer.len().min(BLOCK - filled);
            if count == 0 {
                return if filled == 0 { Ok(false) } else { Err(self.truncated("a block is not complete")) };
            }
            block[filled..filled + count].copy_from_slice(&buffer[..count]);
            self.consume(count);
            filled += count;
        }
        if let Some(headers) = &mut self.headers {
            headers.blocks.extend_from_slice(block);
        }
        Ok(true)
    }

    /// Keeps the next bytes, of which `fill` has just shown that they are there.
    fn keep_padding(&mut self, count: usize) {
        if let (Some(headers), Ok(buffer)) = (&mut self.headers, self.inner.fill_buf()) {
            headers.padding.extend_from_slice(&buffer[..count]);
        }
    }

    fn kept_bytes(&self) -> usize {
        self.headers.as_ref().map_or(0, |headers| headers.blocks.len())
    }

    fn fold(&mut self, start: usize) {
        if let Some(headers) = &mut self.headers {
            headers.fold(start);
        }
    }

    /// The next header block, with a right checksum; none at the end of the tar.
    fn header_block(&mut self, inside_entry: bool) -> Result<Option<[u8; BLOCK]>, TarError> {
        let start = self.offset;
        let mut block = [0; BLOCK];
        if !self.read_block(&mut block)? {
            return match (inside_entry, self.may_lack_end) {
                (true, _) => Err(self.truncated("an entry should follow its header extension")),
                (false, true) => Ok(None),
                (false, false) => Err(self.truncated("an entry or the two zero blocks of the end should follow")),
            };
        }
        if block.iter().all(|byte| *byte == 0) {
            if inside_entry {
                return Err(TarError::Malformed { offset: start, reason: Malformed::LoneExtension });
            }
            if !self.read_block(&mut block)? && !self.may_lack_end {
                return Err(self.truncated("the second zero block of the end should follow"));
            }
            if block.iter().any(|byte| *byte != 0) {
                return Err(TarError::Malformed { offset: start, reason: Malformed::LoneZeroBlock });
            }
            return Ok(None);
        }
        if has_checksum(&block) {
            Ok(Some(block))
        } else {
            Err(TarError::Malformed { offset: start, reason: Malformed::Checksum })
        }
    }

    /// The data of a header extension.
    fn extension(&mut self, start: u64, size: u64) -> Result<Vec<u8>, TarError> {
        let limit = limits::TAR_EXTENSION_BYTES;
        if size > limit {
            return Err(TarError::Malformed { offset: start, reason: Malformed::ExtensionSize { size, limit } });
        }
        self.set_data(size);
        let mut data = Vec::new();
        let mut piece = [0; 4 * BLOCK];
        loop {
            match self.read_data(&mut piece)? {
                0 => break,
                count => data.extend_from_slice(&piece[..count]),
            }
        }
        self.skip_data()?;
        if let Some(headers) = &mut self.headers {
            headers.blocks.extend_from_slice(&data);
        }
        Ok(data)
    }

    /// An old GNU sparse file has blocks of holes between its header and its data.
    fn skip_sparse_blocks(&mut self, header: &[u8; BLOCK], entry: &Entry) -> Result<(), TarError> {
        let mut goes_on = entry.flag == b'S' && is_extended(header, 482);
        let mut block = [0; BLOCK];
        while goes_on {
            let kept = self.kept_bytes();
            if !self.read_block(&mut block)? {
                return Err(self.truncated("the map of a sparse file goes on"));
            }
            self.fold(kept);
            goes_on = is_extended(&block, 504);
        }
        Ok(())
    }
}

/// A header block with what its extensions change, in the order of precedence of Go's reader.
fn merge(block: &[u8; BLOCK], known: &Fields<'_>, size: u64, start: u64, pending: Pending) -> Result<Entry, Malformed> {
    let old = Header::from_byte_slice(block).as_old();
    let Fields { mode, uid, gid, mtime, extra: Extra { prefix, atime, ctime } } = *known;
    let name = text(&old.name);
    let mut entry = Entry {
        offset: pending.offset.unwrap_or(start),
        path: if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() },
        link: text(&old.linkname).to_vec(),
        flag: old.linkflag[0],
        size,
        mode,
        uid,
        gid,
        mtime,
        atime,
        ctime,
        is_ambiguous: is_ambiguous(&pending),
        records: pending.records,
    };
    apply_records(&mut entry)?;
    if let Some(path) = pending.long_path.filter(|path| !path.is_empty()) {
        entry.path = path;
    }
    if let Some(link) = pending.long_link.filter(|link| !link.is_empty()) {
        entry.link = link;
    }
    if entry.flag == 0 && entry.path.ends_with(b"/") {
        entry.flag = b'5';
    }
    // Links, devices, directories and pipes have no data, whatever their size says.
    if (b'1'..=b'6').contains(&entry.flag) {
        entry.size = 0;
    }
    Ok(entry)
}

/// Keys of records that say how an entry is called or which bytes are its own.
fn is_name_or_data(key: &[u8]) -> bool {
    matches!(key, b"path" | b"size") || key.starts_with(b"GNU.sparse.")
}

/// Whether the extensions say one thing twice, or what only some readers know.
fn is_ambiguous(pending: &Pending) -> bool {
    let mut names: Vec<&[u8]> =
        pending.records.iter().map(|record| record.key.as_slice()).filter(|key| is_name_or_data(key)).collect();
    let mut flags = pending.flags.clone();
    let all = names.len() + flags.len();
    names.sort_unstable();
    names.dedup();
    // Of two extensions of a kind Go takes the last, Python the first.
    flags.sort_unstable();
    flags.dedup();
    all != names.len() + flags.len()
        || names.iter().any(|key| key.starts_with(b"GNU.sparse."))
        || (pending.long_path.is_some() && names.contains(&b"path".as_slice()))
}

fn apply_records(entry: &mut Entry) -> Result<(), Malformed> {
    let records = std::mem::take(&mut entry.records);
    // Go keeps the last record of a key. Where that is empty, the header's own value holds.
    let last = |key: &[u8]| {
        let record = records.iter().rev().find(|record| record.key == key);
        record.map(|record| record.value.as_slice()).filter(|value| !value.is_empty())
    };
    if let Some(path) = last(b"path") {
        entry.path = path.to_vec();
    }
    if let Some(link) = last(b"linkpath") {
        entry.link = link.to_vec();
    }
    if let Some(time) = last(b"mtime") {
        entry.mtime = pax_time(time, "mtime")?;
    }
    if let Some(time) = last(b"atime") {
        entry.atime = Some(pax_time(time, "atime")?);
    }
    if let Some(time) = last(b"ctime") {
        entry.ctime = Some(pax_time(time, "ctime")?);
    }
    if let Some(size) = last(b"size") {
        entry.size = decimal(size).ok_or(Malformed::Number("size"))?;
    }
    if let Some(uid) = last(b"uid") {
        entry.uid = whole(uid).ok_or(Malformed::Number("uid"))?;
    }
    if let Some(gid) = last(b"gid") {
        entry.gid = whole(gid).ok_or(Malformed::Number("gid"))?;
    }
    // The name of a sparse file counts where Go takes it for one (`readGNUSparsePAXHeaders`).
    let is_sparse = match (last(b"GNU.sparse.major"), last(b"GNU.sparse.minor")) {
        (Some(b"0"), Some(b"0" | b"1")) | (Some(b"1"), Some(b"0")) => true,
        (None, None) => last(b"GNU.sparse.map").or_else(|| last(b"GNU.sparse.offset")).is_some(),
        _ => false,
    };
    if let Some(path) = last(b"GNU.sparse.name").filter(|_| is_sparse) {
        if path.contains(&0) {
            return Err(PaxError::ZeroByte.into());
        }
        entry.path = path.to_vec();
    }
    entry.records = records;
    Ok(())
}

fn decimal(value: &[u8]) -> Option<u64> {
    let is_plain = value.iter().all(u8::is_ascii_digit);
    u64::try_from(whole(value).filter(|_| is_plain)?).ok()
}

/// Go's `strconv.ParseInt(…, 10, 64)`.
fn whole(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
