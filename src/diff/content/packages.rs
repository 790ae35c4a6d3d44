//! Lists of packages, as packages.

use std::collections::{BTreeMap, BTreeSet};

use super::{Content, Format};
use crate::diff::model::{Difference, Kind, Text};

/// Versions by name; those of several architectures have theirs behind the name.
type Packages = BTreeMap<String, String>;

/// Which packages differ, came or went.
pub fn compare(format: Format, a: &[u8], b: &[u8], content: &mut Content) {
    let read = if format == Format::DpkgStatus { dpkg } else { apk };
    let (one, other) = (read(a), read(b));
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    for name in names.into_iter().filter(|name| one.get(*name) != other.get(*name)) {
        let shown = |packages: &Packages| packages.get(name).map(|version| Text::from(version.as_str()));
        content.push(Difference::of(Kind::Package, shown(&one), shown(&other)).at(name.as_str()));
    }
}

/// `/var/lib/dpkg/status`: paragraphs with `Package`, `Version`, `Architecture` (deb822).
fn dpkg(bytes: &[u8]) -> Packages {
    paragraphs(bytes, ": ")
        .filter_map(|fields| {
            let name = fields.get("Package")?;
            let architecture = fields.get("Architecture").map(|it| format!(":{it}")).unwrap_or_default();
            Some((format!("{name}{architecture}"), fields.get("Version").cloned().unwrap_or_default()))
        })
        .collect()
}

/// `/lib/apk/db/installed`: paragraphs with `P` and `V`.
fn apk(bytes: &[u8]) -> Packages {
    paragraphs(bytes, ":")
        .filter_map(|fields| Some((fields.get("P")?.clone(), fields.get("V").cloned().unwrap_or_default())))
        .collect()
}

fn paragraphs(bytes: &[u8], colon: &'static str) -> impl Iterator<Item = BTreeMap<String, String>> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut found = Vec::new();
    let mut fields = BTreeMap::new();
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            found.push(std::mem::take(&mut fields));
        } else if let Some((key, value)) = line.split_once(colon)
            && matches!(key, "Package" | "Version" | "Architecture" | "P" | "V")
        {
            fields.entry(key.to_owned()).or_insert_with(|| value.trim().to_owned());
        }
    }
    found.into_iter()
}
