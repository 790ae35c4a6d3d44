//! The least that checking an archive can cost: every blob hashed, every gzip layer inflated and what comes out hashed, on the
//! three threads and with the crates that `repro` has, and nothing looked at. `tests/lab/bench-analyze` times it.
//!
//!     cargo bench --bench floor -- image.tar

#![allow(clippy::unwrap_used, reason = "a bench that cannot run has no figures")]

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

const CHUNK: usize = 128 << 10;
const IN_FLIGHT: usize = 16;

/// What a channel brings, as a reader.
struct Chunks {
    receiver: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            self.at = 0;
            self.chunk = self.receiver.recv().unwrap_or_default();
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Reads `reader` to its end in chunks.
fn chunks(mut reader: impl Read, mut take: impl FnMut(Vec<u8>)) {
    loop {
        let mut chunk = vec![0; CHUNK];
        let mut filled = 0;
        while filled < CHUNK {
            match reader.read(&mut chunk[filled..]).unwrap() {
                0 => break,
                count => filled += count,
            }
        }
        if filled == 0 {
            return;
        }
        chunk.truncate(filled);
        take(chunk);
    }
}

fn check(blob: impl Read) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut blob = BufReader::with_capacity(CHUNK, blob);
    let is_gzip = blob.fill_buf().unwrap().starts_with(&[0x1f, 0x8b]);
    let mut hasher = Sha256::new();
    if !is_gzip {
        chunks(blob, |chunk| hasher.update(chunk));
        return (hasher.finalize().to_vec(), None);
    }
    let (to_inflate, receiver) = sync_channel(IN_FLIGHT);
    let (to_hash, inflated) = sync_channel::<Vec<u8>>(IN_FLIGHT);
    thread::scope(|scope| {
        scope.spawn(move || {
            let blob = BufReader::with_capacity(CHUNK, Chunks { receiver, chunk: Vec::new(), at: 0 });
            chunks(MultiGzDecoder::new(blob), |chunk| to_hash.send(chunk).unwrap());
        });
        let diff_id = scope.spawn(move || {
            let mut hasher = Sha256::new();
            for chunk in inflated {
                hasher.update(chunk);
            }
            hasher.finalize().to_vec()
        });
        chunks(blob, |chunk| {
            hasher.update(&chunk);
            to_inflate.send(chunk).unwrap();
        });
        drop(to_inflate);
        (hasher.finalize().to_vec(), Some(diff_id.join().unwrap()))
    })
}

fn main() {
    let Some(path) = std::env::args_os().skip(1).find(|argument| argument != "--bench") else { return };
    let mut archive = tar::Archive::new(File::open(path).unwrap());
    for entry in archive.entries().unwrap() {
        println!("{:02x?}", check(entry.unwrap()));
    }
}
