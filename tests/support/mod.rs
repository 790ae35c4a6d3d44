//! What several tests need.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod history;
pub mod image_builder;
pub mod mutations;
pub mod reading;
pub mod registry;
pub mod runner;
pub mod schema;

use std::process::Output;

use serde_json::Value;

/// All that a run printed.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The report that a run which succeeded printed, held against its schema.
pub fn checked_report(output: &Output, schema: &str) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", said(output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema: Value = serde_json::from_str(schema).unwrap();
    assert_eq!(schema::violations(&schema, &report), Vec::<String>::new());
    report
}
