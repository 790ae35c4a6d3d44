//! What `repro.toml` may say, as editors are told.

use std::path::Path;

/// `UPDATE_SCHEMA=1 cargo test --test settings` writes it down.
#[test]
fn the_schema_of_the_file_is_that_of_the_flags() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema/repro.v1.json");
    let mut expected = serde_json::to_string_pretty(&repro::settings::json_schema()).unwrap();
    expected.push('\n');
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is out of date: UPDATE_SCHEMA=1 cargo test --test settings", path.display());
}
