//! Which BuildKit changed the digest of an image: a binary search, with as few builds as there can be.
//!
//! The ends are built twice first, for a search between digests that are new in every build finds nothing. In between each BuildKit
//! is built once: one whose digest is not that of the older end is taken to be behind the change. Changes that were taken back
//! later are found by building all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use super::attempt::{Program, Tried, build};
use super::cell::{CacheState, Cell};
use super::compare::{Pair, compare};
use super::file::{BuildKit, Matrix};
use super::history::{DifferenceRecord, SideRecord};
use super::source::Source;
use crate::digest::Digest;
use crate::dockerfile::Dockerfile;
use crate::environment::Environment;
use crate::failure::{Diagnose, ExitStatus};
use crate::kept::place::WorkPlace;
use crate::limits;
use crate::pin::{OCI_BY_DEFAULT, changes_between, check_usable};
use crate::reference::ImageSource;
use crate::runtime::interrupt::Interrupt;

/// The name and version of the JSON form. See `docs/schema/bisect.v1.json`.
pub const SCHEMA: &str = "repro.bisect.v1";

/// What is searched.
#[derive(Debug)]
pub struct Search {
    /// The image, the platform and the runtime; its BuildKit does not count.
    pub cell: Cell,
    /// The BuildKits, the oldest first.
    pub buildkits: Vec<String>,
    /// Build all of them.
    pub linear: bool,
    /// This program.
    pub program: PathBuf,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Found {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The image.
    pub image: String,
    /// The platform.
    pub platform: String,
    /// What each BuildKit gave, in the order of their age; none for one that was not built.
    pub built: Vec<BuiltBy>,
    /// How many builds that took.
    pub builds: usize,
    /// Where the digest changed.
    pub changes: Vec<Change>,
    /// What is to be known besides.
    pub notes: Vec<String>,
}

/// What one BuildKit gave.
#[derive(Debug, Serialize)]
pub struct BuiltBy {
    /// Its name.
    pub buildkit: String,
    /// Its digest.
    pub digest: Option<Digest>,
}

/// A change of the digest.
#[derive(Debug, Serialize)]
pub struct Change {
    /// The last one before it.
    pub before: String,
    /// The first one with it.
    pub first: String,
    /// What differs.
    pub difference: DifferenceRecord,
}

/// Why nothing is found.
#[derive(Debug, thiserror::Error)]
pub enum BisectError {
    /// There is nothing between two ends.
    #[error("a search needs at least two BuildKits, and there are {0}")]
    TooFew(usize),
    /// A build did not end well.
    #[error("BuildKit {buildkit}: {why}")]
    Build {
        /// With which one.
        buildkit: String,
        /// Why.
        why: String,
        /// Whether it is the build's own fault.
        failed: bool,
    },
    /// An end gives another digest in every build.
    #[error("BuildKit {buildkit} does not repeat itself: it gave {first}, then {second}")]
    NotRepeatable {
        /// Which one.
        buildkit: String,
        /// The first digest.
        first: Digest,
        /// The second.
        second: Digest,
    },
    /// There is no place for archives.
    #[error("there is no place for archives")]
    Place(#[source] std::io::Error),
    /// The user wanted to stop.
    #[error("stopped")]
    Stopped(ExitStatus),
}

impl Diagnose for BisectError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::TooFew(_) => ExitStatus::Usage,
            Self::Build { failed: true, .. } => ExitStatus::BuildFailed,
            Self::NotRepeatable { .. } => ExitStatus::Different,
            Self::Build { .. } | Self::Place(_) => ExitStatus::Unknown,
            Self::Stopped(status) => *status,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::TooFew(_) => "name them in the axis `buildkit` of the matrix, or with `--buildkit`".to_owned(),
            Self::NotRepeatable { .. } => {
                "take another end with `--buildkit`; `repro check` says why an image is not reproducible".to_owned()
            }
            Self::Build { .. } => "build it by hand with this `--buildkit-image` to see all of it".to_owned(),
            Self::Place(_) => "look at the permissions and the free space of XDG_STATE_HOME (`df`)".to_owned(),
            Self::Stopped(_) => return None,
        })
    }
}

struct Site<'a> {
    matrix: &'a Matrix,
    search: &'a Search,
    source: Source,
    program: Program,
    place: PathBuf,
    interrupt: &'a Interrupt,
    archives: BTreeMap<Digest, PathBuf>,
    built: Vec<Option<Digest>>,
    builds: usize,
    tell: &'a mut dyn FnMut(&str, &Digest),
}

/// Searches. `tell` hears of every build.
pub async fn bisect(
    matrix: &Matrix,
    search: &Search,
    environment: &Environment,
    interrupt: &Interrupt,
    tell: &mut dyn FnMut(&str, &Digest),
) -> Result<Found, BisectError> {
    let [first, last] = match search.buildkits.len() {
        count @ (0 | 1) => return Err(BisectError::TooFew(count)),
        count => [0, count - 1],
    };
    let place = WorkPlace::make(environment).map_err(BisectError::Place)?;
    let image = matrix.image(&search.cell.image);
    let source = image.map(|image| Source::look(matrix, image, &Program::environment(environment)));
    let Some(source) = source else { return Err(BisectError::TooFew(0)) };
    let mut site = Site {
        matrix,
        search,
        source,
        program: Program::new(&search.program, &matrix.directory, environment),
        place: place.path().to_owned(),
        interrupt,
        archives: BTreeMap::new(),
        built: vec![None; search.buildkits.len()],
        builds: 0,
        tell,
    };
    for end in [first, last] {
        site.build_twice(end).await?;
    }
    let mut notes = Vec::new();
    let found = if search.linear {
        for at in 1..last {
            site.build_or_pass(at, &mut notes).await?;
        }
        let built: Vec<usize> = (0..=last).filter(|at| site.built[*at].is_some()).collect();
        let pairs = built.windows(2).map(|pair| (pair[0], pair[1]));
        pairs.filter(|(before, first)| site.built[*before] != site.built[*first]).collect()
    } else if site.built[first] == site.built[last] {
        notes.push("both ends give one digest: a change that was taken back is found with `--linear`".to_owned());
        Vec::new()
    } else {
        let (mut before, mut behind) = (first, last);
        let mut passed = BTreeSet::new();
        // Of those that can be built, the one nearest to the middle.
        while let Some(middle) = (before + 1..behind)
            .filter(|at| !passed.contains(at))
            .min_by_key(|at| at.abs_diff(before + (behind - before) / 2))
        {
            match site.build_or_pass(middle, &mut notes).await? {
                None => drop(passed.insert(middle)),
                Some(digest) if site.built[before].as_ref() == Some(&digest) => before = middle,
                Some(_) => behind = middle,
            }
        }
        vec![(before, behind)]
    };
    let mut changes = Vec::new();
    for (before, first) in found {
        changes.push(site.change(before, first).await?);
        if first - before > 1 {
            let [before, first] = [before, first].map(|at| &search.buildkits[at]);
            notes.push(format!(
                "what changed between {before} and {first} may have changed in one that could not be built"
            ));
        }
    }
    notes.extend(site.known_default());
    for change in &changes {
        notes.extend(site.known_changes(change));
    }
    for name in &search.buildkits {
        let version = matrix.buildkits.get(name).and_then(|buildkit| buildkit.version);
        if let Some(Err(why)) = version.map(check_usable) {
            notes.push(why.to_string());
        }
    }
    let built = search.buildkits.iter().zip(site.built);
    Ok(Found {
        schema: SCHEMA,
        image: search.cell.image.clone(),
        platform: search.cell.platform.clone(),
        built: built.map(|(buildkit, digest)| BuiltBy { buildkit: buildkit.clone(), digest }).collect(),
        builds: site.builds,
        changes,
        notes,
    })
}

impl Site<'_> {
    async fn build_twice(&mut self, at: usize) -> Result<(), BisectError> {
        let first = self.build(at).await?;
        let rested = self.interrupt.sleep(limits::CLOCK_APART).await;
        rested.map_err(|interruption| BisectError::Stopped(interruption.status()))?;
        let second = self.build(at).await?;
        if first == second {
            return Ok(());
        }
        Err(BisectError::NotRepeatable { buildkit: self.search.buildkits[at].clone(), first, second })
    }

    /// The same for one between the ends: one that cannot be built is no end of the search.
    async fn build_or_pass(&mut self, at: usize, notes: &mut Vec<String>) -> Result<Option<Digest>, BisectError> {
        match self.build(at).await {
            Ok(digest) => Ok(Some(digest)),
            Err(error @ BisectError::Build { .. }) => {
                notes.push(format!("passed over: {error}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn build(&mut self, at: usize) -> Result<Digest, BisectError> {
        let name = &self.search.buildkits[at];
        let wrong = |why: String, failed: bool| BisectError::Build { buildkit: name.clone(), why, failed };
        self.source.dockerfile.as_ref().map_err(|why| wrong(why.clone(), false))?;
        let has_image = self.matrix.buildkits.get(name).is_some_and(|buildkit| {
            if self.search.cell.rootless { buildkit.rootless.is_some() } else { buildkit.image.is_some() }
        });
        if !has_image {
            return Err(wrong("the matrix names no image of it for this runtime".to_owned(), false));
        }
        let cell = Cell { buildkit: name.clone(), cache: CacheState::Cold, ..self.search.cell.clone() };
        let mut matrix = self.matrix.clone();
        if let Some(buildkit) = matrix.buildkits.get_mut(name) {
            // A name that tells a version is refused where that cannot be a pin; here it may be the one that is looked for.
            *buildkit = without_tags(buildkit);
        }
        let mut words: Vec<OsString> = self.source.record.flags.iter().map(Into::into).collect();
        words.extend(matrix.flags_of(&cell).into_iter().map(OsString::from));
        words.push("--any-buildkit".into());
        if !self.says_media_types() {
            // The default is the BuildKit's own, and another one since v0.31: the search would find nothing else.
            words.push("--media-types=oci".into());
        }
        let stem = self.place.join(self.builds.to_string());
        let context = self.matrix.directory.join(&self.source.record.context);
        self.builds += 1;
        match build(&self.program, words, &context, &stem, self.matrix.limits.time(), self.interrupt).await {
            Tried::Built(built) => {
                let archive = stem.with_extension("tar");
                if self.archives.contains_key(&built.digest) {
                    let _ = fs::remove_file(archive);
                } else {
                    self.archives.insert(built.digest.clone(), archive);
                }
                (self.tell)(name, &built.digest);
                self.built[at] = Some(built.digest.clone());
                Ok(built.digest)
            }
            Tried::Failed(reason) => Err(wrong(reason.why, true)),
            Tried::Missing(reason) => Err(wrong(reason.why, false)),
            Tried::Stopped => Err(BisectError::Stopped(self.interrupt.wait().await.status())),
        }
    }

    /// What differs between one and the next that was built.
    async fn change(&self, before: usize, first: usize) -> Result<Change, BisectError> {
        let names = &self.search.buildkits;
        let side = |at: usize| {
            let digest = self.built[at].clone();
            let record = SideRecord {
                buildkit: names[at].clone(),
                digest: digest.as_ref().map(ToString::to_string).unwrap_or_default(),
            };
            (record, digest.and_then(|digest| self.archives.get(&digest).cloned()))
        };
        let cell = &self.search.cell;
        let pair = Pair { image: cell.image.clone(), platform: cell.platform.clone(), a: side(before), b: side(first) };
        let source = self.source.dockerfile.as_ref().ok();
        let source = source.map(|(dockerfile, target)| (dockerfile.as_path(), target.as_deref()));
        let difference = compare(&self.program, "", &pair, source, self.matrix.limits.time(), self.interrupt).await;
        let difference = difference.map_err(|interruption| BisectError::Stopped(interruption.status()))?;
        Ok(Change { before: names[before].clone(), first: names[first].clone(), difference })
    }
}

impl Site<'_> {
    fn says_media_types(&self) -> bool {
        self.source.record.flags.iter().any(|flag| flag.starts_with("--media-types"))
    }

    /// What the search does not look for, where it would be there.
    fn known_default(&self) -> Option<String> {
        let version = |name: &String| self.matrix.buildkits.get(name).and_then(|buildkit| buildkit.version);
        let is_since = |name: &String| version(name).is_some_and(|version| version >= OCI_BY_DEFAULT);
        let crosses = self.search.buildkits.iter().any(is_since) && !self.search.buildkits.iter().all(is_since);
        (crosses && !self.says_media_types()).then(|| {
            format!("built with `--media-types=oci`: BuildKit's own default is another one since {OCI_BY_DEFAULT}, which changes every digest")
        })
    }

    /// What is known of the releases between two, as far as this Dockerfile shows it.
    fn known_changes(&self, change: &Change) -> Vec<String> {
        let version = |name: &str| self.matrix.buildkits.get(name).and_then(|buildkit| buildkit.version);
        let (Some(from), Some(to)) = (version(&change.before), version(&change.first)) else { return Vec::new() };
        let bytes = self.source.dockerfile.as_ref().ok().and_then(|(path, _)| fs::read(path).ok()).unwrap_or_default();
        let Ok(dockerfile) = Dockerfile::parse(&bytes) else { return Vec::new() };
        let known = changes_between(from, to).filter(|known| known.touches(&dockerfile));
        known.map(|known| format!("since {} {} ({})", known.version, known.what, known.reference)).collect()
    }
}

fn without_tags(buildkit: &BuildKit) -> BuildKit {
    let strip = |image: &String| match image.parse::<ImageSource>() {
        Ok(ImageSource::Registry(reference)) => {
            let digest = reference.digest().map(ToString::to_string).unwrap_or_default();
            format!("{}@{digest}", reference.name())
        }
        _ => image.clone(),
    };
    BuildKit {
        image: buildkit.image.as_ref().map(strip),
        rootless: buildkit.rootless.as_ref().map(strip),
        version: buildkit.version,
    }
}
