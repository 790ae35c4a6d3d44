//! How far BuildKit lets its cache grow: what a buildkitd.toml says, or BuildKit's own default.

use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// A limit as it is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Nothing is said, so that BuildKit chooses by the size of the disk.
    #[default]
    Default,
    /// None: nothing is ever removed, or not because of its size.
    Nothing,
    /// Bytes.
    Bytes(u64),
    /// A part of the disk.
    Percent(u64),
}

impl Limit {
    /// What a buildkitd.toml says of the worker that builds here (cmd/buildkitd/config, v0.13.0 to v0.32.2).
    ///
    /// Policies are carried out one after another; the one for everything, if there is one, is the limit.
    #[must_use]
    pub fn parse(config: &[u8]) -> Self {
        // What cannot be read is BuildKit's to refuse.
        let Ok(config) = String::from_utf8_lossy(config).parse::<Table>() else { return Self::Default };
        let Some(worker) = config.get("worker").and_then(|worker| worker.get("oci")).and_then(Value::as_table) else {
            return Self::Default;
        };
        if worker.get("gc").and_then(Value::as_bool) == Some(false) {
            return Self::Nothing;
        }
        let Some(policies) = worker.get("gcpolicy").and_then(Value::as_array).filter(|list| !list.is_empty()) else {
            let said = |key| worker.get(key).is_some();
            let names_none = !["maxUsedSpace", "reservedSpace", "minFreeSpace", "gckeepstorage"].into_iter().any(said);
            return if names_none { Self::Default } else { Self::of(worker, "gckeepstorage") };
        };
        let all = |policy: &&Table| policy.get("all").and_then(Value::as_bool) == Some(true);
        let for_everything = |policy: &&Table| {
            let filters = policy.get("filters").and_then(Value::as_array);
            all(policy) && filters.is_none_or(Vec::is_empty) && !policy.contains_key("keepDuration")
        };
        let mut tables = policies.iter().filter_map(Value::as_table);
        tables.rfind(for_everything).map_or(Self::Nothing, |policy| Self::of(policy, "keepBytes"))
    }

    /// The cache shrinks to what it may use, and never below what is reserved for it.
    fn of(table: &Table, old_key: &str) -> Self {
        let space = |key: &str| table.get(key).and_then(parse_space);
        let reserved = space("reservedSpace").or_else(|| space(old_key));
        match (space("maxUsedSpace"), reserved) {
            (Some(Self::Bytes(most)), Some(Self::Bytes(reserved))) => Self::Bytes(most.max(reserved)),
            (Some(Self::Percent(most)), Some(Self::Percent(reserved))) => Self::Percent(most.max(reserved)),
            (Some(most), _) => most,
            (None, Some(reserved)) => reserved,
            (None, None) => Self::Nothing,
        }
    }

    /// The same in bytes, for a cache that lies in this directory.
    #[must_use]
    pub fn at(self, path: &Path) -> Option<u64> {
        let disk = || {
            let disk = rustix::fs::statvfs(path).ok()?;
            Some(disk.f_blocks.saturating_mul(disk.f_frsize))
        };
        match self {
            Self::Default => disk().map(default_limit),
            Self::Nothing => None,
            Self::Bytes(bytes) => Some(bytes),
            Self::Percent(percent) => disk().map(|disk| part(disk, percent)),
        }
    }
}

/// 80 % of the disk, and at most 100 GB (cmd/buildkitd/config/gcpolicy.go and gcpolicy_unix.go, v0.19.0 to v0.31.1).
fn default_limit(disk_bytes: u64) -> u64 {
    const MOST: u64 = 100_000_000_000;
    part(disk_bytes, 80).min(MOST)
}

/// A part of the disk as BuildKit rounds it: up, from binary gigabytes to decimal ones.
fn part(disk_bytes: u64, percent: u64) -> u64 {
    (disk_bytes.saturating_mul(percent) / 100 / (1 << 30) + 1).saturating_mul(1_000_000_000)
}

/// A number of bytes, or a text such as `20%`, `512MB`, `1.5g`, whose units are binary whatever they are called.
fn parse_space(value: &Value) -> Option<Limit> {
    if let Some(bytes) = value.as_integer() {
        return u64::try_from(bytes).ok().filter(|bytes| *bytes > 0).map(Limit::Bytes);
    }
    let text = value.as_str()?.trim();
    if let Some(percent) = text.strip_suffix('%') {
        return percent.parse().ok().filter(|percent| *percent > 0).map(Limit::Percent);
    }
    let unit = text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let unit = unit.to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == unit)?;
    let scale = 1_u64 << (10 * power);
    let (whole, fraction) = number.trim().split_once('.').unwrap_or((number.trim(), ""));
    let digits = u32::try_from(fraction.len()).ok()?;
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let fraction = fraction.checked_mul(scale)? / 10_u64.checked_pow(digits)?;
    let bytes = whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(fraction)?;
    (bytes > 0).then_some(Limit::Bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_that_of_buildkit() {
        assert_eq!(default_limit(20 << 30), 17_000_000_000);
        assert_eq!(default_limit(1 << 40), 100_000_000_000);
        assert_eq!(default_limit(0), 1_000_000_000);
    }

    #[test]
    fn the_limit_is_that_of_the_configuration() {
        for (text, limit) in [
            ("", Limit::Default),
            ("[worker.oci]\nsnapshotter = \"overlayfs\"", Limit::Default),
            ("[worker.containerd]\nmaxUsedSpace = \"1GB\"", Limit::Default),
            ("not toml at all", Limit::Default),
            ("[worker.oci]\ngc = false\nmaxUsedSpace = 1", Limit::Nothing),
            ("[worker.oci]\nmaxUsedSpace = \"100MB\"", Limit::Bytes(100 << 20)),
            ("[worker.oci]\nmaxUsedSpace = \"60%\"\nreservedSpace = \"70%\"", Limit::Percent(70)),
            ("[worker.oci]\ngckeepstorage = 9000", Limit::Bytes(9000)),
            ("[worker.oci]\nminFreeSpace = \"1g\"", Limit::Nothing),
            (
                "[[worker.oci.gcpolicy]]\nall = true\nmaxUsedSpace = \"1.5 GiB\"\nreservedSpace = 5",
                Limit::Bytes(3 << 29),
            ),
            ("[[worker.oci.gcpolicy]]\nall = true\nkeepBytes = \"2k\"", Limit::Bytes(2048)),
            ("[[worker.oci.gcpolicy]]\nkeepDuration = \"48h\"\nall = true\nkeepBytes = 5", Limit::Nothing),
            (
                "[[worker.oci.gcpolicy]]\nfilters = [\"a\"]\nall = true\nkeepBytes = 5\n[[worker.oci.gcpolicy]]\nall = true",
                Limit::Nothing,
            ),
        ] {
            assert_eq!(Limit::parse(text.as_bytes()), limit, "{text}");
        }
    }
}
