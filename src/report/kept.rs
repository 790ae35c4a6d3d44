//! What `repro` keeps on a machine, as text.

use std::fmt::Write as _;

use crate::image::escape::escape;
use crate::kept::{Item, Kept};

/// A table, one line a thing, and the reasons why a runtime could not be asked.
#[must_use]
pub fn render_kept(kept: &Kept) -> String {
    let head =
        ["KIND", "NAME", "RUNTIME", "BUILDKIT", "STATE", "SIZE", "LIMIT", "LAST USED", "PLACE"].map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(kept.items.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut out = String::new();
    if kept.items.is_empty() {
        out.push_str("nothing is kept\n");
    } else {
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let _ = writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
    for runtime in &kept.not_asked {
        let _ = writeln!(out, "{} could not be asked: {}", runtime.runtime, escape(&runtime.why));
    }
    out
}

fn row(item: &Item) -> [String; 9] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let pin = item.pin.as_deref().map(|pin| pin.trim_start_matches("sha256:").chars().take(12).collect::<String>());
    let buildkit = [item.version.clone(), pin].into_iter().flatten().collect::<Vec<_>>().join(" ");
    [
        item.kind.name().to_owned(),
        escape(&item.name).into_owned(),
        item.runtime.unwrap_or("-").to_owned(),
        or_dash(Some(buildkit).filter(|text| !text.is_empty()).map(|text| escape(&text).into_owned())),
        item.state.name().to_owned(),
        or_dash(item.size.map(short_bytes)),
        or_dash(item.cache_limit.map(short_bytes)),
        or_dash(item.last_used.map(|date| date.format("%Y-%m-%d %H:%M").to_string())),
        escape(&item.place).into_owned(),
    ]
}

/// A size in a unit that can be grasped.
pub(super) fn short_bytes(size: u64) -> String {
    let (unit, name) = match size {
        0..1_000 => return format!("{size} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{}.{} {name}", size / unit, size % unit * 10 / unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kept::{Activity, Kind, NotAsked, SCHEMA};

    #[test]
    fn a_line_a_thing() {
        let mut kept = Kept {
            schema: SCHEMA,
            state_directory: String::new(),
            cache_directory: String::new(),
            items: Vec::new(),
            not_asked: vec![NotAsked { runtime: "docker", why: "it\u{1b} hangs".to_owned() }],
        };
        assert_eq!(render_kept(&kept), "nothing is kept\ndocker could not be asked: it\\u{1b} hangs\n");
        kept.items.push(Item {
            kind: Kind::State,
            name: "v0.19.0-14aa1b4dd92e-root-01234567".to_owned(),
            runtime: Some("buildkitd"),
            version: Some("v0.19.0".to_owned()),
            pin: Some("14aa1b4dd92e".to_owned()),
            state: Activity::Stopped,
            size: Some(1_250_000_000),
            cache_limit: None,
            last_used: None,
            place: "/s".to_owned(),
        });
        let text = render_kept(&kept);
        assert!(
            text.contains(
                "state  v0.19.0-14aa1b4dd92e-root-01234567  buildkitd  v0.19.0 14aa1b4dd92e  stopped  1.2 GB  -"
            ),
            "{text}"
        );
    }
}
