//! From the text of a `matrix.toml` to a [`Matrix`]: every value looked at, every cell made, before anything is built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::cell::{CacheState, Cell, Match};
use super::file::{BUILT_IN, BuildKit, Expect, Fleet, Image, Limits, Matrix, MatrixError};
use crate::digest::Digest;
use crate::limits;
use crate::pin::{Pin, Variant, Version};
use crate::plan::Platform;
use crate::reference::ImageSource;
use crate::settings::{flags_of_table, toml_fault};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    axes: Axes,
    #[serde(default)]
    buildkit: BTreeMap<String, RawBuildKit>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    fleet: Fleet,
    #[serde(default)]
    runners: BTreeMap<String, String>,
    #[serde(default)]
    build: toml::Table,
    #[serde(default, rename = "image")]
    images: Vec<RawImage>,
    #[serde(default, rename = "exclude")]
    excludes: Vec<Match>,
    #[serde(default, rename = "include")]
    includes: Vec<Match>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawBuildKit {
    Image(String),
    Both { image: String, rootless: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawImage {
    name: String,
    context: PathBuf,
    #[serde(default)]
    expect: Option<RawExpect>,
    #[serde(default)]
    axes: Axes,
    #[serde(default)]
    build: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawExpect {
    Word(String),
    Digests(Vec<RawDigest>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDigest {
    digest: String,
    platform: Option<String>,
    buildkit: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Axes {
    platform: Option<Vec<String>>,
    buildkit: Option<Vec<String>>,
    runtime: Option<Vec<String>>,
    rootless: Option<Vec<bool>>,
    cache: Option<Vec<CacheState>>,
    address: Option<Vec<String>>,
}

impl Axes {
    /// These, and those of the whole matrix where nothing is said here.
    fn over(&self, all: &Self) -> Self {
        fn one<T: Clone>(own: Option<&Vec<T>>, all: Option<&Vec<T>>) -> Option<Vec<T>> {
            own.or(all).cloned()
        }
        Self {
            platform: one(self.platform.as_ref(), all.platform.as_ref()),
            buildkit: one(self.buildkit.as_ref(), all.buildkit.as_ref()),
            runtime: one(self.runtime.as_ref(), all.runtime.as_ref()),
            rootless: one(self.rootless.as_ref(), all.rootless.as_ref()),
            cache: one(self.cache.as_ref(), all.cache.as_ref()),
            address: one(self.address.as_ref(), all.address.as_ref()),
        }
    }
}

const RUNTIMES: [&str; 4] = ["docker", "podman", "buildkitd", "remote"];

/// Flags that the axes and a run say.
const NOT_OF_BUILD: [&str; 12] = [
    "runtime",
    "rootless",
    "buildkit-image",
    "platform",
    "no-cache",
    "addr",
    "addr-tls",
    "addr-server-name",
    "output",
    "metadata-file",
    "quiet",
    "progress",
];

/// A text, read as the matrix at an absolute path.
pub fn read(path: &Path, text: &str) -> Result<Matrix, MatrixError> {
    let raw: Raw = toml::from_str(text).map_err(|error| {
        let (line, why) = toml_fault(text, &error);
        MatrixError::Syntax { path: path.to_owned(), line, why }
    })?;
    Reader { path }.read(raw)
}

struct Reader<'a> {
    path: &'a Path,
}

impl Reader<'_> {
    fn too_many(&self) -> MatrixError {
        self.wrong("axes", format!("more cells than the {} that a matrix may have", limits::MATRIX_CELLS))
    }

    fn bound(&self, cells: usize) -> Result<(), MatrixError> {
        if cells > limits::MATRIX_CELLS { Err(self.too_many()) } else { Ok(()) }
    }

    fn wrong(&self, what: impl Into<String>, why: impl Into<String>) -> MatrixError {
        MatrixError::Value { path: self.path.to_owned(), what: what.into(), why: why.into() }
    }

    fn read(&self, raw: Raw) -> Result<Matrix, MatrixError> {
        let directory = self.path.parent().map_or_else(PathBuf::new, Path::to_owned);
        let limits = raw.limits;
        if limits.parallel == 0
            || limits.timeout == 0
            || raw.fleet.at_a_time() == 0
            || raw.fleet.pause().is_zero()
            || raw.fleet.patience().is_zero()
        {
            return Err(self.wrong("limits", "0 builds nothing"));
        }
        let mut buildkits = self.buildkits(&raw.buildkit)?;
        let mut images = Vec::new();
        let mut cells = BTreeSet::new();
        if raw.images.is_empty() {
            return Err(self.wrong("image", "there is none"));
        }
        for image in &raw.images {
            let read = self.image(image, &raw.build)?;
            if images.iter().any(|other: &Image| other.name == read.name) {
                return Err(self.wrong(format!("image `{}`", read.name), "its name is there twice"));
            }
            images.push(read);
            cells.extend(self.cells(&image.name, &image.axes.over(&raw.axes), &mut buildkits)?);
            self.bound(cells.len())?;
        }
        let excludes: Vec<Match> = raw.excludes.iter().map(|exclude| self.normal(exclude)).collect::<Result<_, _>>()?;
        for exclude in &excludes {
            if !cells.iter().any(|cell| exclude.covers(cell)) {
                return Err(self.wrong("exclude", "one of them covers no cell: is a value misspelt?"));
            }
        }
        cells.retain(|cell| !excludes.iter().any(|exclude| exclude.covers(cell)));
        for include in &raw.includes {
            cells.extend(self.included(include, &raw, &mut buildkits)?);
            self.bound(cells.len())?;
        }
        let cells: Vec<Cell> = cells.into_iter().collect();
        self.check_expectations(&images, &cells)?;
        self.check_cells(&cells, &buildkits, &raw.fleet)?;
        Ok(Matrix {
            path: self.path.to_owned(),
            directory,
            images,
            cells,
            buildkits,
            limits,
            fleet: raw.fleet,
            runners: raw.runners,
        })
    }

    fn buildkits(&self, raw: &BTreeMap<String, RawBuildKit>) -> Result<BTreeMap<String, BuildKit>, MatrixError> {
        let mut all = BTreeMap::new();
        for (name, images) in raw {
            self.check_name("buildkit", name)?;
            let (image, rootless) = match images {
                RawBuildKit::Image(image) => (image, None),
                RawBuildKit::Both { image, rootless } => (image, Some(rootless)),
            };
            for image in [Some(image), rootless].into_iter().flatten() {
                // Whether it can be a pin is for each build to say: `bisect` looks at those that cannot, too.
                let source: Result<ImageSource, _> = image.parse();
                let digest = source.ok().and_then(|source| source.digest().cloned());
                digest.ok_or_else(|| self.wrong(format!("buildkit `{name}`"), format!("`{image}` has no digest")))?;
            }
            let version = Version::parse(name);
            all.insert(name.clone(), BuildKit { image: Some(image.clone()), rootless: rootless.cloned(), version });
        }
        Ok(all)
    }

    fn image(&self, raw: &RawImage, shared: &toml::Table) -> Result<Image, MatrixError> {
        self.check_name("image", &raw.name)?;
        let mut table = shared.clone();
        table.extend(raw.build.clone());
        let of = format!("image `{}`", raw.name);
        if let Some(key) = NOT_OF_BUILD.into_iter().find(|key| table.contains_key(*key)) {
            return Err(self.wrong(format!("{of}, build"), format!("`{key}` is said by the axes, or by the run")));
        }
        let flags =
            flags_of_table(self.path, &table).map_err(|source| MatrixError::Build { of: of.clone(), source })?;
        let expect = match &raw.expect {
            None => Expect::Equal,
            Some(RawExpect::Word(word)) => match word.as_str() {
                "equal" => Expect::Equal,
                "equal-everywhere" => Expect::EqualEverywhere,
                digest => Expect::Digests(vec![(Match::default(), self.digest(&of, digest)?)]),
            },
            Some(RawExpect::Digests(digests)) => {
                let one = |raw: &RawDigest| {
                    let platform = raw.platform.as_ref().map(|platform| self.platform(platform)).transpose()?;
                    let wanted = Match { platform, buildkit: raw.buildkit.clone(), ..Match::default() };
                    Ok((wanted, self.digest(&of, &raw.digest)?))
                };
                Expect::Digests(digests.iter().map(one).collect::<Result<_, MatrixError>>()?)
            }
        };
        Ok(Image { name: raw.name.clone(), context: raw.context.clone(), flags, expect })
    }

    fn digest(&self, of: &str, text: &str) -> Result<Digest, MatrixError> {
        let why = "it is `equal`, `equal-everywhere`, or a digest such as sha256:…";
        text.parse().map_err(|_| self.wrong(format!("{of}, expect = `{text}`"), why))
    }

    /// Names stand in those of files, of jobs and in tables.
    fn check_name(&self, what: &str, name: &str) -> Result<(), MatrixError> {
        if is_name(name) {
            return Ok(());
        }
        Err(self.wrong(format!("{what} `{name}`"), "a name is letters, digits, `.`, `_`, `+` and `-`, at most 64"))
    }

    fn cells(
        &self,
        image: &str,
        axes: &Axes,
        buildkits: &mut BTreeMap<String, BuildKit>,
    ) -> Result<Vec<Cell>, MatrixError> {
        let platforms = axes.platform.clone().unwrap_or_else(|| vec![Platform::of_this_machine().to_string()]);
        let names = axes.buildkit.clone().unwrap_or_else(|| vec![BUILT_IN.to_owned()]);
        let runtimes = axes.runtime.clone().unwrap_or_else(|| vec!["docker".to_owned()]);
        let rootless = axes.rootless.clone().unwrap_or_else(|| vec![false]);
        let caches = axes.cache.clone().unwrap_or_else(|| vec![CacheState::Cold]);
        let addresses = axes.address.as_ref().map_or(1, Vec::len);
        // Before anything is multiplied: what follows makes each of them.
        let lengths = [platforms.len(), names.len(), runtimes.len(), rootless.len(), caches.len(), addresses.max(1)];
        if lengths.into_iter().fold(1, usize::saturating_mul) > limits::MATRIX_CELLS {
            return Err(self.too_many());
        }
        for (axis, is_empty) in [
            ("platform", platforms.is_empty()),
            ("buildkit", names.is_empty()),
            ("runtime", runtimes.is_empty()),
            ("rootless", rootless.is_empty()),
            ("cache", caches.is_empty()),
            ("address", addresses == 0),
        ] {
            if is_empty {
                return Err(self.wrong(format!("axes, {axis}"), "an axis without a value leaves no cell"));
            }
        }
        let mut cells = Vec::new();
        for platform in &platforms {
            let platform = self.platform(platform)?;
            for name in &names {
                self.know(name, buildkits)?;
                for runtime in &runtimes {
                    self.check_runtime(runtime)?;
                    // An axis that a runtime does not have does not multiply its cells.
                    let rootless = if runtime == "podman" { rootless.as_slice() } else { &[false] };
                    let caches = if runtime == "remote" { &[CacheState::Warm] } else { caches.as_slice() };
                    let addresses: Vec<Option<String>> = match &axes.address {
                        Some(addresses) if runtime == "remote" => addresses.iter().cloned().map(Some).collect(),
                        _ => vec![None],
                    };
                    for rootless in rootless {
                        for cache in caches {
                            cells.extend(addresses.iter().map(|address| Cell {
                                image: image.to_owned(),
                                platform: platform.clone(),
                                buildkit: name.clone(),
                                runtime: runtime.clone(),
                                rootless: *rootless,
                                cache: *cache,
                                address: address.clone(),
                            }));
                        }
                    }
                }
            }
        }
        Ok(cells)
    }

    /// The cells of one `[[include]]`: what it does not say is as in the axes.
    fn included(
        &self,
        include: &Match,
        raw: &Raw,
        buildkits: &mut BTreeMap<String, BuildKit>,
    ) -> Result<Vec<Cell>, MatrixError> {
        let mut cells = Vec::new();
        let wanted = |image: &&RawImage| include.image.as_ref().is_none_or(|name| *name == image.name);
        for image in raw.images.iter().filter(wanted) {
            let mut axes = image.axes.over(&raw.axes);
            set(&mut axes.platform, include.platform.as_ref());
            set(&mut axes.buildkit, include.buildkit.as_ref());
            set(&mut axes.runtime, include.runtime.as_ref());
            set(&mut axes.rootless, include.rootless.as_ref());
            set(&mut axes.cache, include.cache.as_ref());
            set(&mut axes.address, include.address.as_ref());
            cells.extend(self.cells(&image.name, &axes, buildkits)?);
            self.bound(cells.len())?;
        }
        if cells.is_empty() {
            return Err(self.wrong("include", "it names an image that is not there"));
        }
        let wanted = self.normal(include)?;
        if !cells.iter().any(|cell| wanted.covers(cell)) {
            return Err(
                self.wrong("include", "one of them asks for what its runtime does not have: no cell is as it says")
            );
        }
        Ok(cells)
    }

    /// The same with the platform as cells have it.
    fn normal(&self, wanted: &Match) -> Result<Match, MatrixError> {
        let platform = wanted.platform.as_ref().map(|platform| self.platform(platform)).transpose()?;
        Ok(Match { platform, ..wanted.clone() })
    }

    /// A digest that is expected of nothing would be believed to be looked at.
    fn check_expectations(&self, images: &[Image], cells: &[Cell]) -> Result<(), MatrixError> {
        for image in images {
            let Expect::Digests(digests) = &image.expect else { continue };
            // The first that covers a cell is the one that counts for it.
            let mut used = vec![false; digests.len()];
            for cell in cells.iter().filter(|cell| cell.image == image.name) {
                if let Some(first) = digests.iter().position(|(wanted, _)| wanted.covers(cell)) {
                    used[first] = true;
                }
            }
            if digests.is_empty() || used.contains(&false) {
                let why = "there is none, or one that counts for no cell of the image, where those before it cover all of its own";
                return Err(self.wrong(format!("image `{}`, expect", image.name), why));
            }
        }
        Ok(())
    }

    fn platform(&self, text: &str) -> Result<String, MatrixError> {
        let platform: Platform =
            text.parse().map_err(|error| self.wrong(format!("axes, platform `{text}`"), format!("{error}")))?;
        Ok(platform.to_string())
    }

    fn check_runtime(&self, runtime: &str) -> Result<(), MatrixError> {
        if RUNTIMES.contains(&runtime) {
            return Ok(());
        }
        Err(self.wrong(format!("axes, runtime `{runtime}`"), format!("the runtimes are {}", RUNTIMES.join(", "))))
    }

    /// A BuildKit that has no table of its own is one of the releases whose digest is known.
    fn know(&self, name: &str, buildkits: &mut BTreeMap<String, BuildKit>) -> Result<(), MatrixError> {
        if buildkits.contains_key(name) {
            return Ok(());
        }
        let release = if name == BUILT_IN {
            Pin::default_for(Variant::Plain)
        } else {
            Version::parse(name).and_then(Pin::of_release).ok_or_else(|| {
                let why =
                    format!("give its image by digest: [buildkit] \"{name}\" = \"moby/buildkit:{name}@sha256:…\"");
                self.wrong(format!("axes, buildkit `{name}`"), why)
            })?
        };
        // Said to each build, also where it is the default: a `repro.toml` of the context may name another one.
        let rootless = release.of_variant(Variant::Rootless).source.to_string();
        let known =
            BuildKit { image: Some(release.source.to_string()), rootless: Some(rootless), version: release.version };
        buildkits.insert(name.to_owned(), known);
        Ok(())
    }

    fn check_cells(
        &self,
        cells: &[Cell],
        buildkits: &BTreeMap<String, BuildKit>,
        fleet: &Fleet,
    ) -> Result<(), MatrixError> {
        if cells.is_empty() {
            return Err(self.wrong("exclude", "nothing is left to build"));
        }
        let mut names = BTreeSet::new();
        for cell in cells {
            if !names.insert(cell.to_string()) {
                return Err(self.wrong("axes", format!("two cells are called `{cell}`")));
            }
            let buildkit = buildkits.get(&cell.buildkit);
            let no_rootless = buildkit.is_some_and(|both| both.image.is_some() && both.rootless.is_none());
            if cell.rootless && no_rootless {
                let why = "a rootless cell needs its rootless image: { image = \"…\", rootless = \"…\" }";
                return Err(self.wrong(format!("buildkit `{}`", cell.buildkit), why));
            }
            if cell.runtime == "remote" && cell.address.is_none() && fleet.addresses.is_empty() {
                return Err(self.wrong("fleet", "the runtime `remote` needs `addresses`"));
            }
        }
        let of_cells = cells.iter().filter_map(|cell| cell.address.as_ref());
        for address in fleet.addresses.iter().chain(of_cells) {
            fleet.remote(address).map_err(|error| {
                let why = format!("{error}: {}", error.hint());
                self.wrong(format!("address `{address}`"), why)
            })?;
        }
        Ok(())
    }
}

/// Whether it can stand in the names of files and jobs.
pub fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    !name.is_empty() && name.len() <= 64 && name.bytes().all(is_plain) && !name.starts_with(['.', '-'])
}

/// The one value that is said.
fn set<T: Clone>(axis: &mut Option<Vec<T>>, value: Option<&T>) {
    if let Some(value) = value {
        *axis = Some(vec![value.clone()]);
    }
}
