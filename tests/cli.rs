//! The command line as a user sees it: help, wrong usage, messages, exit statuses. No engine is asked anything.
//! (Defects 3, 6, 7, 9, 17 and 25 of upstream.)
//!
//! `TRYCMD=overwrite cargo test --test cli` writes what it says now into `tests/cmd`; read the difference before you commit it.

use trycmd::TestCases;

/// What can be read like a manual: `tests/cmd/*.md`, stdout and stderr as a terminal shows them.
#[test]
fn help_and_messages() {
    let cases = TestCases::new();
    // What the caller or the laboratory set must not show in these.
    for name in [
        "REPRO_ADDR",
        "REPRO_ADDR_TLS",
        "REPRO_BUILDKIT_IMAGE",
        "REPRO_CACHE",
        "REPRO_DATETIME",
        "REPRO_ROOTLESS",
        "REPRO_RUNTIME",
        "REPRO_SOURCE_DATE_EPOCH",
        "SOURCE_DATE_EPOCH",
    ] {
        cases.env(name, "");
    }
    // The width that help is wrapped at.
    cases.env("COLUMNS", "100");
    cases.case("tests/cmd/*.md");
}

/// Where it matters which stream says it, and what variables mean: each case sets its own.
#[test]
fn streams_and_variables() {
    TestCases::new().case("tests/cmd/*.toml");
}
