//! PAX records, by their length prefix.

/// One record, `25 path=some/file\n` on the wire. A value may hold any byte, newlines too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What the value is, such as `path` or `SCHILY.xattr.security.capability`.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// Why bytes are not PAX records.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PaxError {
    /// A record does not begin with its length in decimal digits and a blank.
    #[error("a record does not begin with its length")]
    NoLength,
    /// A length that is too small for a record, or larger than what is left.
    #[error("a record of {length} bytes where {left} are left")]
    Length {
        /// What the record says.
        length: usize,
        /// How many bytes there are.
        left: usize,
    },
    /// The last byte of a record is not a newline.
    #[error("a record does not end with a newline")]
    NoNewline,
    /// A record without `=`, or with nothing before it.
    #[error("a record has no key")]
    NoKey,
    /// A zero byte in a key or in a value that is a name: readers written in C stop there, others do not.
    #[error("a zero byte in a name")]
    ZeroByte,
}

/// Splits the data of a PAX header into its records, in their order.
pub fn parse_records(data: &[u8]) -> Result<Vec<Record>, PaxError> {
    let mut records = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let (record, after) = parse_record(rest)?;
        records.push(record);
        rest = after;
    }
    Ok(records)
}

fn parse_record(data: &[u8]) -> Result<(Record, &[u8]), PaxError> {
    // A length of more than ten digits is over every limit.
    let blank = data.iter().take(11).position(|byte| *byte == b' ').ok_or(PaxError::NoLength)?;
    let digits = &data[..blank];
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(PaxError::NoLength);
    }
    let length =
        digits.iter().fold(0_usize, |length, digit| length.saturating_mul(10).saturating_add((digit - b'0').into()));
    if length > data.len() || length < blank + 2 {
        return Err(PaxError::Length { length, left: data.len() });
    }
    let (record, after) = data.split_at(length);
    let Some((b'\n', body)) = record[blank + 1..].split_last() else { return Err(PaxError::NoNewline) };
    let equals = body.iter().position(|byte| *byte == b'=').filter(|at| *at > 0).ok_or(PaxError::NoKey)?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    let is_name = matches!(key, b"path" | b"linkpath" | b"uname" | b"gname");
    if key.contains(&0) || (is_name && value.contains(&0)) {
        return Err(PaxError::ZeroByte);
    }
    Ok((Record { key: key.to_vec(), value: value.to_vec() }, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes a record as the specification says: the length counts its own digits.
    fn write_record(key: &[u8], value: &[u8]) -> Vec<u8> {
        let rest = key.len() + value.len() + 3;
        let length =
            (1..20).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length).unwrap();
        [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
    }

    #[test]
    fn a_value_may_hold_newlines() {
        let data =
            [write_record(b"SCHILY.xattr.security.capability", b"\x01\n\n=\x00"), write_record(b"path", b"a\nb")]
                .concat();
        let records = parse_records(&data).unwrap();
        assert_eq!(records[0].value, b"\x01\n\n=\x00");
        assert_eq!(records[1].value, b"a\nb");
    }

    #[test]
    fn refuses_what_is_no_record() {
        for (data, error) in [
            (&b"path=a\n"[..], PaxError::NoLength),
            (b" path=a\n", PaxError::NoLength),
            (b"-9 path=a\n", PaxError::NoLength),
            (b"+9 path=a\n", PaxError::NoLength),
            (b"99999999999 a=b\n", PaxError::NoLength),
            (b"9", PaxError::NoLength),
            (b"10 path=abc\n", PaxError::NoNewline),
            (b"99 path=a\n", PaxError::Length { length: 99, left: 10 }),
            (b"2 path=a\n", PaxError::Length { length: 2, left: 9 }),
            (b"0 path=a\n", PaxError::Length { length: 0, left: 9 }),
            (b"5 =a\n", PaxError::NoKey),
            (b"5 ab\n", PaxError::NoKey),
            (b"11 path=a\0\n", PaxError::ZeroByte),
            (b"9 p\0th=a\n", PaxError::ZeroByte),
        ] {
            assert_eq!(parse_records(data), Err(error), "{:?}", String::from_utf8_lossy(data));
        }
        assert_eq!(parse_records(b""), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            pairs in prop::collection::vec(("[a-zA-Z.]{1,40}", prop::collection::vec(any::<u8>(), 0..1200)), 0..6)
        ) {
            let names = ["path", "linkpath", "uname", "gname"];
            let pairs: Vec<_> = pairs.into_iter().filter(|(key, _)| !names.contains(&key.as_str())).collect();
            let data: Vec<u8> = pairs.iter().flat_map(|(key, value)| write_record(key.as_bytes(), value)).collect();
            let read = parse_records(&data).unwrap();
            let read: Vec<_> = read.into_iter().map(|record| (String::from_utf8(record.key).unwrap(), record.value)).collect();
            prop_assert_eq!(read, pairs);
        }

        #[test]
        fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_records(&data);
        }

        #[test]
        fn nothing_near_a_record_panics(length in 0_usize..40, body in "[ =\n0-9a]{0,30}") {
            let _ = parse_records(format!("{length} {body}\n").as_bytes());
        }
    }
}
