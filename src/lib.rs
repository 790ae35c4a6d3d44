//! `repro` builds container images that are the same bit for bit on every machine and every engine, and proves it.

pub mod analyze;
pub mod cli;
pub mod digest;
pub mod image;
pub mod limits;
pub mod report;
