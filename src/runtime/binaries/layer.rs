//! The entries of a layer's tar archive, in order, with long names resolved.
//!
//! The `tar` crate is used in raw mode and the extended headers are read here by their length prefixes: the crate splits them
//! at line breaks and loses records whose value holds one. Nothing in here touches the file system.

use std::io::Read;

use tar::EntryType;

use super::limits;

/// What an entry is, as far as it matters for finding binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    HardLink,
    Symlink,
    Other,
}

/// One entry.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its path, relative, without `.` and empty parts.
    pub(super) path: Vec<u8>,
    /// Where it points to, for links, as written.
    pub(super) target: Vec<u8>,
    pub(super) kind: Kind,
    /// How many bytes follow.
    pub(super) size: u64,
}

/// Names from extended headers, for the next entry.
#[derive(Default)]
struct Pending {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

/// Why an archive is not read on.
pub(super) enum WalkError<E> {
    /// The archive is malformed, or uses what is not understood here.
    Malformed(String),
    /// The visitor's own error.
    Visit(E),
}

impl<E> From<String> for WalkError<E> {
    fn from(reason: String) -> Self {
        Self::Malformed(reason)
    }
}

/// Shows every entry and its content to `visit`, which need not read it.
pub(super) fn walk<E>(
    reader: impl Read,
    mut visit: impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
) -> Result<(), WalkError<E>> {
    let mut archive = tar::Archive::new(reader);
    let entries = archive.entries().map_err(|error| error.to_string())?.raw(true);
    let mut pending = Pending::default();
    let mut count = 0;
    for entry in entries {
        let mut raw = entry.map_err(|error| error.to_string())?;
        count += 1;
        if count > limits::ENTRIES {
            return Err(format!("it has more than {} entries", limits::ENTRIES).into());
        }
        let entry_type = raw.header().entry_type();
        match entry_type {
            EntryType::XHeader => pending.take_pax(&read_header(&mut raw)?)?,
            EntryType::XGlobalHeader => refuse_global(&read_header(&mut raw)?)?,
            EntryType::GNULongName => pending.path = Some(until_nul(read_header(&mut raw)?)),
            EntryType::GNULongLink => pending.target = Some(until_nul(read_header(&mut raw)?)),
            EntryType::GNUSparse => return Err("it holds a sparse file".to_owned().into()),
            _ => {
                let entry = std::mem::take(&mut pending).apply(raw.header())?;
                visit(&entry, &mut raw).map_err(WalkError::Visit)?;
            }
        }
    }
    if pending.path.is_some() || pending.target.is_some() {
        return Err("it ends after an extended header".to_owned().into());
    }
    Ok(())
}

fn read_header(raw: &mut tar::Entry<'_, impl Read>) -> Result<Vec<u8>, String> {
    let size = raw.header().entry_size().map_err(|error| error.to_string())?;
    if size > limits::HEADER_BYTES {
        return Err(format!("it has an extended header of {size} bytes, {} are allowed", limits::HEADER_BYTES));
    }
    let mut bytes = Vec::new();
    raw.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

/// Key and value of an extended header.
type Record<'a> = (&'a [u8], &'a [u8]);

/// The records of an extended header (POSIX pax, "pax Header Block"): `LENGTH KEY=VALUE\n`, the length counting itself.
fn pax_records(mut bytes: &[u8]) -> Result<Vec<Record<'_>>, String> {
    let malformed = || "it has a malformed extended header".to_owned();
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
        let digits = std::str::from_utf8(&bytes[..space]).map_err(|_| malformed())?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        let length: usize = digits.parse().map_err(|_| malformed())?;
        let record = bytes.get(space + 1..length).ok_or_else(malformed)?;
        let record = record.strip_suffix(b"\n").ok_or_else(malformed)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
        records.push((&record[..equals], &record[equals + 1..]));
        bytes = &bytes[length..];
    }
    Ok(records)
}

/// Global headers are read differently by different readers: harmless ones (git's comment) only.
fn refuse_global(bytes: &[u8]) -> Result<(), String> {
    let names = |key: &[u8]| matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse");
    if pax_records(bytes)?.iter().any(|(key, _)| names(key)) {
        return Err("it has a global extended header that renames entries".to_owned());
    }
    Ok(())
}

impl Pending {
    fn take_pax(&mut self, bytes: &[u8]) -> Result<(), String> {
        for (key, value) in pax_records(bytes)? {
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.size = Some(size.ok_or_else(|| "it has a malformed `size` record".to_owned())?);
                }
                key if key.starts_with(b"GNU.sparse") => return Err("it holds a sparse file".to_owned()),
                _ => {}
            }
        }
        Ok(())
    }

    fn apply(self, header: &tar::Header) -> Result<Entry, String> {
        let size = header.entry_size().map_err(|error| error.to_string())?;
        if let Some(other) = self.size.filter(|other| *other != size) {
            // The raw reader goes by the header: with another size the next header would be looked for in the wrong place.
            return Err(format!("it has an entry of two sizes, {size} and {other} bytes"));
        }
        let path = self.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let target = self.target.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let kind = match header.entry_type() {
            // Before POSIX a directory was a file whose name ends in a slash.
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Link => Kind::HardLink,
            EntryType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        };
        let clean =
            clean_path(&path).ok_or_else(|| format!("it has an entry with `..` in its path, `{}`", show(&path)))?;
        Ok(Entry { path: clean, target: target.unwrap_or_default(), kind, size })
    }
}

/// A path from the root of the image, without `.` and empty parts; `None` where a part is `..`.
pub(super) fn clean_path(path: &[u8]) -> Option<Vec<u8>> {
    let mut clean = Vec::with_capacity(path.len());
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part => {
                if !clean.is_empty() {
                    clean.push(b'/');
                }
                clean.extend_from_slice(part);
            }
        }
    }
    Some(clean)
}

/// Where a symbolic link in `directory` points to, from the root of the image, as the kernel would follow it there.
pub(super) fn resolve_target(directory: &str, target: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    if !target.starts_with(b"/") {
        parts.extend(directory.as_bytes().split(|byte| *byte == b'/'));
    }
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// A name from an archive, fit for a message.
pub(super) fn show(name: &[u8]) -> String {
    name.escape_ascii().to_string().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_records_by_their_length() {
        let bytes = b"30 SCHILY.xattr.x=a\nb=c\n12345\n12 path=a\nb\n";
        let records = pax_records(bytes).unwrap();
        assert_eq!(records, [(&b"SCHILY.xattr.x"[..], &b"a\nb=c\n12345"[..]), (&b"path"[..], &b"a\nb"[..])]);
        for bad in ["x", "1 a=b\n", "5 a=b", "7 a=b\n", "6 ab\n\n", "+6 a=b\n", "99 a=b\n", " a=b\n", "0 "] {
            assert!(pax_records(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert_eq!(pax_records(b"").unwrap(), []);
    }

    #[test]
    fn cleans_paths() {
        for (path, clean) in [
            ("usr/bin/x", Some("usr/bin/x")),
            ("./usr//bin/./x", Some("usr/bin/x")),
            ("/usr/bin/", Some("usr/bin")),
            ("./", Some("")),
            ("usr/../x", None),
            ("..", None),
            ("a/..b/c", Some("a/..b/c")),
        ] {
            assert_eq!(clean_path(path.as_bytes()).as_deref(), clean.map(str::as_bytes), "`{path}`");
        }
    }

    #[test]
    fn follows_links_inside_the_image() {
        for (target, place) in [
            ("runc", "usr/bin/runc"),
            ("./runc", "usr/bin/runc"),
            ("/usr/bin/runc", "usr/bin/runc"),
            ("../bin/runc", "usr/bin/runc"),
            ("../../../../usr/bin/runc", "usr/bin/runc"),
            ("../sbin/runc", "usr/sbin/runc"),
            ("/etc/passwd", "etc/passwd"),
        ] {
            assert_eq!(resolve_target("usr/bin", target.as_bytes()), place.as_bytes(), "`{target}`");
        }
    }
}
