//! What is fuzzed: each target is a function of [`properties`], which `tests/fuzzed.rs` runs over the committed corpus as well.

pub mod properties;
