//! One cell: an image, and a value of each axis.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a builder may use of earlier builds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheState {
    /// Throw-away state: nothing of earlier builds is there, and nothing stays.
    #[default]
    Cold,
    /// What the runtime has kept of earlier builds.
    Warm,
}

impl CacheState {
    /// The name as it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
        }
    }
}

/// Where and how one image is built. The order of the fields is the order of cells in every report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// The image's name in the matrix.
    pub image: String,
    /// The platform that is built, such as `linux/amd64`.
    pub platform: String,
    /// The BuildKit, as the matrix calls it.
    pub buildkit: String,
    /// Where BuildKit runs: `docker`, `podman`, `buildkitd` or `remote`.
    pub runtime: String,
    /// Podman with BuildKit's rootless image.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rootless: bool,
    /// What the builder may use of earlier builds.
    #[serde(default)]
    pub cache: CacheState,
    /// The one BuildKit that builds it, with the runtime `remote`, where the matrix says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl Cell {
    /// One for tests: linux/amd64, v0.19.0, with root, at no address.
    #[cfg(test)]
    pub(crate) fn usual(image: &str, runtime: &str, cache: CacheState) -> Self {
        Self {
            image: image.to_owned(),
            platform: "linux/amd64".to_owned(),
            buildkit: "v0.19.0".to_owned(),
            runtime: runtime.to_owned(),
            rootless: false,
            cache,
            address: None,
        }
    }

    /// The builder, in the words of a column: `podman rootless cold`.
    #[must_use]
    pub fn builder(&self) -> String {
        let rootless = if self.rootless { " rootless" } else { "" };
        let address = self.address.as_deref().map(|address| format!(" {address}")).unwrap_or_default();
        format!("{}{rootless}{address} {}", self.runtime, self.cache.name())
    }

    /// What must not run twice at a time: a runtime builds on the state that it keeps one build after another.
    #[must_use]
    pub fn exclusive(&self) -> Option<(String, bool, String)> {
        let keeps = self.cache == CacheState::Warm && matches!(self.runtime.as_str(), "podman" | "buildkitd");
        keeps.then(|| (self.runtime.clone(), self.rootless, self.buildkit.clone()))
    }
}

/// Its name: in a job of a workflow, in a file, after `--cell`.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rootless = if self.rootless { "-rootless" } else { "" };
        let platform = self.platform.replace('/', "-");
        let cache = self.cache.name();
        write!(f, "{}.{platform}.{}.{}{rootless}.{cache}", self.image, self.buildkit, self.runtime)?;
        let Some(address) = &self.address else { return Ok(()) };
        let plain = |character: char| if character.is_ascii_alphanumeric() { character } else { '-' };
        write!(f, ".{}", address.chars().map(plain).collect::<String>())
    }
}

/// Some values of axes; what is not said is any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// The image.
    pub image: Option<String>,
    /// The platform.
    pub platform: Option<String>,
    /// The BuildKit.
    pub buildkit: Option<String>,
    /// The runtime.
    pub runtime: Option<String>,
    /// Podman's rootless image.
    pub rootless: Option<bool>,
    /// The state of the cache.
    pub cache: Option<CacheState>,
    /// The address.
    pub address: Option<String>,
}

impl Match {
    /// Whether a cell has all the values that are said.
    #[must_use]
    pub fn covers(&self, cell: &Cell) -> bool {
        fn same<T: PartialEq>(wanted: Option<&T>, value: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == value)
        }
        same(self.image.as_ref(), &cell.image)
            && same(self.platform.as_ref(), &cell.platform)
            && same(self.buildkit.as_ref(), &cell.buildkit)
            && same(self.runtime.as_ref(), &cell.runtime)
            && same(self.rootless.as_ref(), &cell.rootless)
            && same(self.cache.as_ref(), &cell.cache)
            && (self.address.is_none() || self.address == cell.address)
    }
}
