//! The command line: see [`repro`].

fn main() {}
