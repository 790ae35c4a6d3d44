//! What several tests need.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod image_builder;
pub mod mutations;
pub mod reading;
pub mod registry;
pub mod runner;
pub mod schema;
