//! Where BuildKit runs.

pub mod binaries;
