//! `matrix.toml`: images, axes, and what is left out. `docs/matrix.md` describes every key.
//!
//! It says all that decides a build: variables such as `REPRO_RUNTIME` do not count, for what stands in the history is to be
//! built again from there. Whoever runs a matrix trusts its file.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::cell::{CacheState, Cell, Match};
use super::history::BuildKitRecord;
use super::read::read;
use crate::digest::Digest;
use crate::failure::{Diagnose, ExitStatus};
use crate::limits;
use crate::pin::Version;
use crate::remote::{Address, Remote, RemoteError};
use crate::runtime::steps::joined;
use crate::settings::FileError;

/// What a matrix without BuildKits calls the built-in one.
pub const BUILT_IN: &str = "built-in";

/// A matrix, as its file says it.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// The file.
    pub path: PathBuf,
    /// What paths in it are relative to.
    pub directory: PathBuf,
    /// The images, in the order of the file.
    pub images: Vec<Image>,
    /// Every cell that is not excluded, sorted.
    pub cells: Vec<Cell>,
    /// BuildKit images by the name that the matrix gives them.
    pub buildkits: BTreeMap<String, BuildKit>,
    /// Ceilings of a run.
    pub limits: Limits,
    /// BuildKits that others run, for cells of the runtime `remote`.
    pub fleet: Fleet,
    /// Labels of GitHub's runners by platform.
    pub runners: BTreeMap<String, String>,
}

/// One image of a matrix.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// The directory that is built, as the file says it.
    pub context: PathBuf,
    /// The flags of its build, without those of the axes.
    pub flags: Vec<String>,
    /// What its digests have to be.
    pub expect: Expect,
}

/// What digests have to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// One digest for all cells of a platform and a BuildKit.
    Equal,
    /// One digest for all cells of a platform, whichever BuildKit builds.
    EqualEverywhere,
    /// These digests; cells that none is for have to be equal.
    Digests(Vec<(Match, Digest)>),
}

/// BuildKit's two images of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildKit {
    /// The image by digest.
    pub image: Option<String>,
    /// Its rootless sister, where there is one.
    pub rootless: Option<String>,
    /// The version that they say.
    pub version: Option<Version>,
}

/// Ceilings of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Cells that are built at a time on this machine.
    pub parallel: usize,
    /// How often a cell is tried again where the network or a daemon fell away; never where a digest differs.
    pub retries: u32,
    /// How long one build may take, in seconds.
    pub timeout: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let parallel = std::thread::available_parallelism().map_or(1, usize::from);
        Self { parallel, retries: 2, timeout: 3600 }
    }
}

impl Limits {
    /// How long one build may take.
    #[must_use]
    pub const fn time(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// BuildKits that others run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fleet {
    /// Where they are.
    pub addresses: Vec<String>,
    /// The directory with `ca.pem`, `cert.pem` and `key.pem`.
    pub tls: Option<PathBuf>,
    /// The name in their certificates, where it is not the host of the address.
    pub server_name: Option<String>,
    /// Cells that one of them builds at a time; 1 where nothing is said.
    pub parallel: Option<usize>,
    /// How often each is asked whether it is there, in seconds; 10 where nothing is said.
    pub probe: Option<u64>,
    /// How long its answer may take, in seconds; 30 where nothing is said.
    pub patience: Option<u64>,
}

impl Fleet {
    /// Cells that one of them builds at a time.
    #[must_use]
    pub fn at_a_time(&self) -> usize {
        self.parallel.unwrap_or(1)
    }

    /// How long between two questions whether one is there.
    #[must_use]
    pub fn pause(&self) -> Duration {
        Duration::from_secs(self.probe.unwrap_or(10))
    }

    /// How long an answer may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience.unwrap_or(30))
    }

    /// What is said of the way to an address: certificates are for tcp alone, the others protect it themselves.
    pub fn remote(&self, address: &str) -> Result<Remote, RemoteError> {
        let tcp = address.starts_with("tcp://");
        let tls = self.tls.as_deref().filter(|_| tcp);
        Remote::new(address.parse()?, tls, self.server_name.as_deref().filter(|_| tls.is_some()))
    }

    /// The same as flags.
    #[must_use]
    pub fn flags_of(&self, address: &str) -> Vec<OsString> {
        let mut flags = vec![joined("--addr", address)];
        if let (Some(tls), true) = (&self.tls, address.starts_with("tcp://")) {
            flags.push(joined("--addr-tls", tls));
            flags.extend(self.server_name.as_ref().map(|name| joined("--addr-server-name", name)));
        }
        flags
    }
}

/// What is wrong with a matrix.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// It cannot be read.
    #[error("cannot read the matrix `{path}`", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or a key is not one of a matrix.
    #[error("the matrix `{path}`, line {line}: {why}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The options of a build are wrong.
    #[error("{of}")]
    Build {
        /// Which table.
        of: String,
        /// What is wrong.
        #[source]
        source: FileError,
    },
    /// A value that cannot be.
    #[error("the matrix `{path}`: {what}: {why}", path = path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        what: String,
        /// What is wrong.
        why: String,
    },
}

impl Diagnose for MatrixError {
    fn status(&self) -> ExitStatus {
        ExitStatus::Usage
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some("give the path of a file as docs/matrix.md describes it".to_owned()),
            Self::Build { source, .. } => source.hint(),
            Self::Syntax { .. } | Self::Value { .. } => Some("docs/matrix.md describes every key".to_owned()),
        }
    }
}

impl Matrix {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, MatrixError> {
        let read = |source| MatrixError::Read { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(read)?;
        if !metadata.is_file() || metadata.len() > limits::MATRIX_BYTES {
            return Err(read(std::io::Error::other("it is not a file of at most one MiB")));
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        let path = std::path::absolute(path).map_err(read)?;
        Self::parse(&path, &text)
    }

    /// Takes a text for the file at an absolute path.
    pub fn parse(path: &Path, text: &str) -> Result<Self, MatrixError> {
        read(path, text)
    }

    /// The image of a cell.
    #[must_use]
    pub fn image(&self, name: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.name == name)
    }

    /// The flags that say where a cell is built, and with which BuildKit.
    #[must_use]
    pub fn flags_of(&self, cell: &Cell) -> Vec<String> {
        let mut flags = vec![format!("--runtime={}", cell.runtime), format!("--platform={}", cell.platform)];
        if cell.rootless {
            flags.push("--rootless".to_owned());
        }
        if cell.cache == CacheState::Cold && cell.runtime != "remote" {
            // What is imported is not built: nothing of the source's words or of its `repro.toml` is.
            flags.extend(["--no-cache".to_owned(), "--cache-from=".to_owned()]);
        }
        let buildkit = self.buildkits.get(&cell.buildkit);
        // Without root a buildkitd is started by what that image brings.
        let by_user = cell.runtime == "buildkitd" && !rustix::process::geteuid().is_root();
        let image = buildkit.and_then(|both| {
            let rootless = both.rootless.as_ref();
            if cell.rootless { rootless } else { rootless.filter(|_| by_user).or(both.image.as_ref()) }
        });
        flags.extend(image.map(|image| format!("--buildkit-image={image}")));
        flags
    }

    /// Two addresses of the fleet and of these cells that lead to one daemon, as far as this machine knows. Asks for names.
    #[must_use]
    pub fn find_one_daemon_twice<'a>(&'a self, cells: &'a [Cell]) -> Option<[&'a str; 2]> {
        let of_cells = cells.iter().filter_map(|cell| cell.address.as_ref());
        let names: BTreeSet<&str> = self.fleet.addresses.iter().chain(of_cells).map(String::as_str).collect();
        let mut known: BTreeMap<String, &str> = BTreeMap::new();
        for name in names {
            for place in name.parse::<Address>().map(|address| address.places()).unwrap_or_default() {
                if let Some(other) = known.insert(place, name).filter(|other| *other != name) {
                    return Some([other, name]);
                }
            }
        }
        None
    }

    /// Gives images an epoch, in seconds since 1970, that leave it to the commit or say none.
    pub fn set_epoch(&mut self, seconds: u64) {
        for image in &mut self.images {
            let is_epoch =
                |flag: &String| ["--source-date-epoch=", "--datetime="].iter().any(|name| flag.starts_with(name));
            image.flags.retain(|flag| flag != "--source-date-epoch=git");
            if !image.flags.iter().any(is_epoch) {
                image.flags.push(format!("--source-date-epoch={seconds}"));
            }
        }
    }

    /// The BuildKits, as a history remembers them.
    #[must_use]
    pub fn recorded_buildkits(&self) -> BTreeMap<String, BuildKitRecord> {
        let record = |both: &BuildKit| BuildKitRecord { image: both.image.clone(), rootless: both.rootless.clone() };
        self.buildkits.iter().map(|(name, both)| (name.clone(), record(both))).collect()
    }
}
