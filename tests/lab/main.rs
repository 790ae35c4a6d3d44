//! Tests on real engines, in the laboratory that `tests/lab/lab up` sets up.
//!
//! An engine that is missing makes them fail. What is to be left out is named: `REPRO_TEST_ENGINES` lists the ways to build
//! that are tested (`none` for no test here), and each run prints which they are.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod actions;
mod broken;
mod builder;
mod cache_map;
mod caches;
mod causes;
mod check;
mod checked;
mod ci;
mod context;
mod corpus;
mod daemons;
mod defects;
mod diff;
mod doctor;
mod dry;
mod examples;
mod failures;
mod flags;
mod fleet;
mod foreign;
mod frontend;
mod github;
mod harness;
mod image;
mod index;
mod inputs;
mod kept;
mod killed;
mod matrix;
mod matrix_page;
mod networks;
mod nightly;
mod odd;
mod push;
mod real_images;
mod remote;
mod sbom;
mod snapshot;
mod soak;
mod stop;
mod substitution;
#[path = "../support/mod.rs"]
mod support;
mod surface;
mod traces;
mod verify;
mod versions;
mod wheel;
