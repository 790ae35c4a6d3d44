//! Whether a binary can run here by itself: for this processor, and without a dynamic loader of its image.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// `e_machine` of an architecture of the image-spec (System V ABI, "ELF Header").
fn machine(architecture: &str) -> Option<u16> {
    Some(match architecture {
        "386" => 3,
        "ppc64le" | "ppc64" => 21,
        "s390x" => 22,
        "arm" => 40,
        "amd64" => 62,
        "arm64" => 183,
        "riscv64" => 243,
        "loong64" => 258,
        _ => return None,
    })
}

/// `p_type` of the entry that names a dynamic loader.
const PT_INTERP: u32 = 3;

/// Why a file cannot run by itself, if it is an ELF file and cannot. Other files, such as scripts, are not judged.
pub(super) fn fault(file: &File, architecture: &str) -> io::Result<Option<String>> {
    let mut header = [0_u8; 64];
    let length = read_up_to(file, &mut header, 0)?;
    if !header.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    if length < 64 {
        return Ok(Some("it is a truncated ELF file".to_owned()));
    }
    let number = Numbers { wide: header[4] == 2, little: header[5] == 1 };
    let found = number.u16(&header, 18);
    if machine(architecture).is_some_and(|expected| expected != found) {
        return Ok(Some(format!("it is for another processor (ELF machine {found}), not for `{architecture}`")));
    }
    let (table, size, count) = if number.wide {
        (number.u64(&header, 32), number.u16(&header, 54), number.u16(&header, 56))
    } else {
        (u64::from(number.u32(&header, 28)), number.u16(&header, 42), number.u16(&header, 44))
    };
    for index in 0..u64::from(count) {
        let mut kind = [0; 4];
        let place = table.saturating_add(index * u64::from(size));
        if read_up_to(file, &mut kind, place)? < 4 {
            return Ok(Some("it is a truncated ELF file".to_owned()));
        }
        if number.u32(&kind, 0) == PT_INTERP {
            return Ok(Some("it is dynamically linked".to_owned()));
        }
    }
    Ok(None)
}

fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    // The offset comes from the file itself: beyond what the system takes it is an error, beyond the end nothing.
    let length = file.metadata()?.len();
    let mut filled = 0;
    if offset >= length {
        return Ok(0);
    }
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset.saturating_add(filled as u64))? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// How an ELF file writes its numbers.
struct Numbers {
    wide: bool,
    little: bool,
}

impl Numbers {
    fn u16(&self, bytes: &[u8], at: usize) -> u16 {
        u16::try_from(self.number(&bytes[at..at + 2])).unwrap_or(u16::MAX)
    }

    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        u32::try_from(self.number(&bytes[at..at + 4])).unwrap_or(u32::MAX)
    }

    fn u64(&self, bytes: &[u8], at: usize) -> u64 {
        self.number(&bytes[at..at + 8])
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) }
    }
}
