//! Pieces of a blob on their way between threads.
//!
//! Buffers go back to a pool: a fresh one for each piece costs more than hashing it does, in page faults.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::limits;

/// A filled part of a buffer.
pub struct Chunk {
    buffer: Box<[u8]>,
    filled: usize,
}

impl Chunk {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Fills the chunk from `read` until it is full or `read` gives nothing more.
    pub fn fill<E>(&mut self, mut read: impl FnMut(&mut [u8]) -> Result<usize, E>) -> Result<(), E> {
        self.filled = 0;
        while self.filled < self.buffer.len() {
            match read(&mut self.buffer[self.filled..])? {
                0 => break,
                count => self.filled += count,
            }
        }
        Ok(())
    }
}

/// Buffers that wait to be used again.
#[derive(Default)]
pub struct Pool(Mutex<Vec<Box<[u8]>>>);

impl Pool {
    /// An empty chunk.
    pub fn take(&self) -> Chunk {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Chunk { buffer: free.unwrap_or_else(|| vec![0; limits::CHUNK_BYTES].into_boxed_slice()), filled: 0 }
    }

    /// Takes a chunk back.
    pub fn put(&self, chunk: Chunk) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(chunk.buffer);
    }
}

/// A chunk that is handed out of this module's sight, and whose buffer comes back when nobody has it any more.
struct Lent {
    chunk: Option<Chunk>,
    pool: Arc<Pool>,
}

/// Hands out the bytes of a chunk, without copying them.
pub fn lend(chunk: Chunk, pool: &Arc<Pool>) -> Bytes {
    Bytes::from_owner(Lent { chunk: Some(chunk), pool: Arc::clone(pool) })
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.chunk.as_ref().map_or(&[], Chunk::bytes)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            self.pool.put(chunk);
        }
    }
}

/// What goes from one thread to another: a chunk, or why there are no more.
pub type Sent<E> = Result<Chunk, E>;

/// A bounded way from one thread to another.
pub fn channel<E>() -> (SyncSender<Sent<E>>, Receiver<Sent<E>>) {
    sync_channel(limits::CHUNKS_IN_FLIGHT)
}

/// The receiving end as a reader. `inspect` sees each chunk once, before anything of it is read.
pub struct ChunkReader<'a, E, F> {
    receiver: Receiver<Sent<E>>,
    pool: &'a Pool,
    current: Option<Chunk>,
    position: usize,
    inspect: F,
    failure: Option<E>,
}

impl<'a, E, F: FnMut(&[u8]) -> Result<(), E>> ChunkReader<'a, E, F> {
    /// Reads what `receiver` brings.
    pub const fn new(receiver: Receiver<Sent<E>>, pool: &'a Pool, inspect: F) -> Self {
        Self { receiver, pool, current: None, position: 0, inspect, failure: None }
    }

    /// Why the bytes ended early, if they did.
    pub fn into_failure(self) -> Option<E> {
        self.failure
    }

    fn next_chunk(&mut self) {
        if let Some(chunk) = self.current.take() {
            self.pool.put(chunk);
        }
        self.position = 0;
        if self.failure.is_some() {
            return;
        }
        match self.receiver.recv() {
            Ok(Ok(chunk)) => match (self.inspect)(chunk.bytes()) {
                Ok(()) => self.current = Some(chunk),
                Err(error) => self.failure = Some(error),
            },
            Ok(Err(error)) => self.failure = Some(error),
            // The sender is done.
            Err(_) => {}
        }
    }
}

impl<E, F: FnMut(&[u8]) -> Result<(), E>> BufRead for ChunkReader<'_, E, F> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.as_ref().is_none_or(|chunk| self.position >= chunk.filled) {
            self.next_chunk();
        }
        Ok(self.current.as_ref().map_or(&[], |chunk| &chunk.bytes()[self.position..]))
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

impl<E, F: FnMut(&[u8]) -> Result<(), E>> Read for ChunkReader<'_, E, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
