//! Numbers, names and times of a header block.

use serde::{Deserialize, Serialize};

use super::Malformed;

/// A time of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// Whole seconds since 1970, rounded down.
    pub seconds: i64,
    /// Nanoseconds on top.
    pub nanos: u32,
}

impl Time {
    /// A time of whole seconds.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// Whether this is after `epoch` (seconds since 1970), counting the fraction: BuildKit's clamp compares so too.
    #[must_use]
    pub const fn is_after(self, epoch: i64) -> bool {
        self.seconds > epoch || (self.seconds == epoch && self.nanos > 0)
    }
}

/// The text of a field: all before the first zero byte.
#[must_use]
pub fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number: octal digits, or base-256 where the first bit is set.
pub fn number(field: &[u8], name: &'static str) -> Result<i64, Malformed> {
    let wrong = Malformed::Number(name);
    let Some(first) = field.first().copied() else { return Err(wrong) };
    if first & 0x80 == 0 {
        return octal(field).ok_or(wrong);
    }
    // Two's complement, big endian; the first bit is the mark, the second the sign.
    let invert = if first & 0x40 == 0 { 0 } else { 0xff };
    let mut value: u64 = 0;
    for (at, byte) in field.iter().enumerate() {
        let mut byte = byte ^ invert;
        if at == 0 {
            byte &= 0x7f;
        }
        if value >> 56 != 0 {
            return Err(wrong);
        }
        value = value << 8 | u64::from(byte);
    }
    let value = i64::try_from(value).map_err(|_| wrong)?;
    Ok(if invert == 0 { value } else { !value })
}

fn octal(field: &[u8]) -> Option<i64> {
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let Some(start) = field.iter().position(|byte| !is_padding(byte)) else { return Some(0) };
    let end = field.iter().rposition(|byte| !is_padding(byte))?;
    text(&field[start..=end]).iter().try_fold(0_i64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(i64::from(digit))
    })
}

/// A PAX time: decimal seconds, perhaps negative, perhaps with a fraction (of which nine digits count).
pub fn pax_time(value: &[u8], name: &'static str) -> Result<Time, Malformed> {
    let wrong = || Malformed::Number(name);
    let value = std::str::from_utf8(value).map_err(|_| wrong())?;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let (negative, digits) = whole.strip_prefix('-').map_or((false, whole), |digits| (true, digits));
    if digits.is_empty() || !digits.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let seconds: i64 = digits.parse().map_err(|_| wrong())?;
    let mut nanos = 0;
    for at in 0..9 {
        nanos = nanos * 10 + fraction.as_bytes().get(at).map_or(0, |digit| u32::from(digit - b'0'));
    }
    Ok(match (negative, nanos) {
        (false, _) => Time { seconds, nanos },
        (true, 0) => Time { seconds: -seconds, nanos: 0 },
        // -1.25 is 2 s before 1970 and 0.75 s on top.
        (true, _) => Time { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}

/// The fields of a header block that its format does not change, and those that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields<'a> {
    /// Permissions.
    pub mode: i64,
    /// The number of the owner.
    pub uid: i64,
    /// The number of the group.
    pub gid: i64,
    /// When the content was changed.
    pub mtime: Time,
    /// What the format adds.
    pub extra: Extra<'a>,
}

/// What the format of a header block adds to the fields that all have.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Extra<'a> {
    /// What stands in front of the name, without the slash between them.
    pub prefix: &'a [u8],
    /// When the content was read.
    pub atime: Option<Time>,
    /// When the inode was changed.
    pub ctime: Option<Time>,
}

/// What `block` holds. An error where a number is none, wanted or not: Go reads no header, be it of an extension, in which that
/// is so.
pub fn fields(block: &[u8; super::BLOCK]) -> Result<Fields<'_>, Malformed> {
    let (mode, uid) = (number(&block[100..108], "mode")?, number(&block[108..116], "uid")?);
    let (gid, mtime) = (number(&block[116..124], "gid")?, number(&block[136..148], "mtime")?);
    if matches!(&block[257..265], [b'u', b's', b't', b'a', b'r', 0, ..] | b"ustar  \0") {
        number(&block[329..337], "devmajor")?;
        number(&block[337..345], "devminor")?;
    }
    Ok(Fields { mode, uid, gid, mtime: Time::from_seconds(mtime), extra: extra(block)? })
}

/// What `block` holds by its format, told as Go tells it (`archive/tar`, `getFormat` and `readHeader`): where a reader takes
/// a prefix that another one leaves, they see two names.
fn extra(block: &[u8; super::BLOCK]) -> Result<Extra<'_>, Malformed> {
    let time = |field: &[u8], name| number(field, name).map(|seconds| Some(Time::from_seconds(seconds)));
    match (&block[257..263], &block[263..265], &block[508..512]) {
        (b"ustar\0", _, b"tar\0") => Ok(Extra {
            prefix: text(&block[345..476]),
            atime: time(&block[476..488], "atime")?,
            ctime: time(&block[488..500], "ctime")?,
        }),
        (b"ustar\0", ..) => Ok(Extra { prefix: text(&block[345..500]), ..Extra::default() }),
        (b"ustar ", b" \0", _) => {
            let stored = |field: &[u8], name| if field[0] == 0 { Ok(None) } else { time(field, name) };
            let times = (stored(&block[345..357], "atime"), stored(&block[357..369], "ctime"));
            if let (Ok(atime), Ok(ctime)) = times {
                return Ok(Extra { prefix: b"", atime, ctime });
            }
            // Go before 1.8 wrote a prefix where this format has none.
            let prefix = text(&block[345..500]);
            Ok(Extra { prefix: if prefix.is_ascii() { prefix } else { b"" }, ..Extra::default() })
        }
        _ => Ok(Extra::default()),
    }
}

/// Whether a block of an old GNU sparse file is followed by one more of its map: `at` is where the mark stands.
pub const fn is_extended(block: &[u8; super::BLOCK], at: usize) -> bool {
    block[at] != 0
}

/// Whether the stored checksum is that of the block. Ancient writers summed signed bytes, and readers take both.
pub fn has_checksum(block: &[u8; super::BLOCK]) -> bool {
    const FIELD: std::ops::Range<usize> = 148..156;
    let Some(stored) = octal(&block[FIELD]) else { return false };
    let (mut unsigned, mut signed) = (0_i64, 0_i64);
    for (at, byte) in block.iter().enumerate() {
        let byte = if FIELD.contains(&at) { b' ' } else { *byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    stored == unsigned || stored == signed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_go_reads_them() {
        // The cases of Go's archive/tar strconv_test.go.
        for (field, value) in [
            (&b""[..], None),
            (b"\x80", Some(0)),
            (b"\x80\x00\x00", Some(0)),
            (b"\xbf", Some((1 << 6) - 1)),
            (b"\xbf\xff", Some((1 << 14) - 1)),
            (b"\xff", Some(-1)),
            (b"\xff\xff\xff", Some(-1)),
            (b"\xc0", Some(-(1 << 6))),
            (b"\x87\x76\xa2\x22\xeb\x8a\x72\x61", Some(537_795_476_381_659_745)),
            (b"\x80\x00\x00\x00\x07\x76\xa2\x22\xeb\x8a\x72\x61", Some(537_795_476_381_659_745)),
            (b"\xf7\x76\xa2\x22\xeb\x8a\x72\x61", Some(-615_126_028_225_187_231)),
            (b"\x80\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\x80\x00\x00\x00\x00\x00\x00\x00", None),
            (b"\xff\x80\x00\x00\x00\x00\x00\x00\x00", Some(i64::MIN)),
            (b"\xff\x7f\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\xf5\xec\xd1\xc7\x7e\x5f\x26\x48\x81\x9f\x8f\x9b", None),
            (b"0000000\x00", Some(0)),
            (b" \x0000123\x00", Some(0o123)),
            (b"\x000123\x00", Some(0o123)),
            (b" 123\x00", Some(0o123)),
            (b"01234567\x00", Some(0o1_234_567)),
            (b"\x00\x00\x00", Some(0)),
            (b"0123456789abcdef", None),
            (b"01\x0023", Some(1)),
        ] {
            assert_eq!(number(field, "size").ok(), value, "{field:?}");
        }
    }

    #[test]
    fn pax_times() {
        let time = |seconds, nanos| Some(Time { seconds, nanos });
        for (text, expected) in [
            ("1350244992.023960108", time(1_350_244_992, 23_960_108)),
            ("1350244992.3", time(1_350_244_992, 300_000_000)),
            ("1350244992.0239601089999", time(1_350_244_992, 23_960_108)),
            ("0", time(0, 0)),
            ("-1.25", time(-2, 750_000_000)),
            ("-1", time(-1, 0)),
            ("-0.5", time(-1, 500_000_000)),
            ("5.", time(5, 0)),
            ("", None),
            ("-", None),
            (".5", None),
            ("+5", None),
            ("5.x", None),
            ("5.-1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(pax_time(text.as_bytes(), "mtime").ok(), expected, "{text}");
        }
    }

    #[test]
    fn after_counts_the_fraction() {
        assert!(!Time::from_seconds(7).is_after(7));
        assert!(Time { seconds: 7, nanos: 1 }.is_after(7));
        assert!(!Time { seconds: 6, nanos: 999_999_999 }.is_after(7));
    }
}
