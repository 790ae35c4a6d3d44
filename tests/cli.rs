//! The command line as a user sees it: help, wrong usage, messages, exit statuses. No engine is asked anything.
//!
//! `TRYCMD=overwrite cargo test --test cli` writes what it says now into `tests/cmd`; read the difference before you commit it.

#[test]
fn commands() {
    let cases = trycmd::TestCases::new();
    // What the caller or the laboratory set must not show in these.
    for name in [
        "REPRO_BUILDKIT_IMAGE", "REPRO_CACHE", "REPRO_DATETIME", "REPRO_ROOTLESS", "REPRO_RUNTIME",
        "REPRO_SOURCE_DATE_EPOCH", "SOURCE_DATE_EPOCH",
    ] {
        cases.env(name, "");
    }
    // The width that help is wrapped at.
    cases.env("COLUMNS", "100");
    cases.case("tests/cmd/*.md").case("tests/cmd/*.toml");
}
