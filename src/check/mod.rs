//! Is it reproducible: the same source, built several times under other conditions, and compared.
//!
//! The first build is what the user would build. Each further one gets another checkout of the context and another machine, as
//! far as one machine can play two: see [`Variation`]. What was not other is told with its reason, for a digest that is equal
//! says nothing about it.

mod copy;
mod inputs;
mod vary;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use self::copy::Conditions;
pub use self::inputs::find_moving;
pub use self::vary::{NotVaried, Variation, never_varied};
use crate::build::{self, BuildError, BuildOutcome};
use crate::digest::Digest;
use crate::environment::Environment;
use crate::failure::{Diagnose, ExitStatus, chain};
use crate::kept::place::WorkPlace;
use crate::limits;
use crate::moving::{Moving, Severity};
use crate::plan::NamedContext;
use crate::runtime::interrupt::Interrupt;
use crate::settings::{BuildSettings, Origin, Output, RuntimeName, Setting};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Check {
    /// The build.
    pub settings: BuildSettings,
    /// What the further builds have that the first one has not.
    pub vary: BTreeSet<Variation>,
    /// How many builds there are, at least two.
    pub times: usize,
}

/// One of the builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedBuild {
    /// Where BuildKit ran.
    pub runtime: &'static str,
    /// The digest that a registry would show.
    pub image_digest: Digest,
    /// What it had that the first one had not.
    pub varied: Vec<Variation>,
    /// Its archive, for as long as the outcome lives.
    #[serde(skip)]
    pub archive: PathBuf,
}

/// What came out.
#[derive(Debug)]
pub struct CheckOutcome {
    /// The builds, in their order.
    pub builds: Vec<CheckedBuild>,
    /// What was not varied, sorted.
    pub not_varied: Vec<NotVaried>,
    /// Inputs that may be others tomorrow, in the order of their lines.
    pub moving: Vec<Moving>,
    /// What each build warned of, each once.
    pub warnings: Vec<String>,
    /// Keeps the archives.
    _place: WorkPlace,
}

impl CheckOutcome {
    /// Whether all builds gave one digest.
    #[must_use]
    pub fn is_reproducible(&self) -> bool {
        self.builds.windows(2).all(|pair| pair[0].image_digest == pair[1].image_digest)
    }

    /// Whether an input is likely to be another one tomorrow.
    #[must_use]
    pub fn moves(&self) -> bool {
        self.moving.iter().any(|input| input.severity == Severity::Moves)
    }

    /// The first build, and the first that gave something else, each with its number, counted from 0.
    #[must_use]
    pub fn differing(&self) -> Option<[(usize, &CheckedBuild); 2]> {
        let first = self.builds.first()?;
        let other = self.builds.iter().enumerate().find(|(_, other)| other.image_digest != first.image_digest)?;
        Some([(0, first), other])
    }
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A build failed.
    #[error("build {number} of {times}")]
    Build {
        /// Which one, counted from 1.
        number: usize,
        /// Of how many.
        times: usize,
        /// Why.
        #[source]
        source: Box<BuildError>,
    },
    /// The context cannot be copied.
    #[error("cannot copy `{path}` for the other builds", path = path.display())]
    Copy {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no place for archives and copies.
    #[error("there is no place for archives and copies of the context")]
    Place(#[source] std::io::Error),
    /// A flag of `build` that means nothing here.
    #[error("{flag} has no meaning here: {why}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// The reason.
        why: &'static str,
    },
}

impl Diagnose for CheckError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Build { source, .. } => source.status(),
            Self::Copy { .. } | Self::Place(_) => ExitStatus::Unknown,
            Self::Flag { .. } => ExitStatus::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Build { source, .. } => source.hint(),
            Self::Copy { .. } => Some(
                "look at the permissions there and at the free space of XDG_STATE_HOME (`df`), or leave the context as \
                 it is with `--vary state,zone,runtime`"
                    .to_owned(),
            ),
            Self::Place(_) => Some("look at the permissions and the free space of XDG_STATE_HOME (`df`)".to_owned()),
            Self::Flag { flag, .. } => Some(format!("leave {flag} out, or use `repro build`")),
        }
    }
}

/// Builds, and builds again under other conditions.
pub async fn run(check: &Check, environment: &Environment, interrupt: &Interrupt) -> Result<CheckOutcome, CheckError> {
    refuse(&check.settings)?;
    let place = WorkPlace::make(environment).map_err(CheckError::Place)?;
    let mut run =
        Run { check, environment, interrupt, place: place.path().to_owned(), not_varied: never_varied(), ended: None };
    let mut outcome = CheckOutcome {
        builds: Vec::new(),
        not_varied: Vec::new(),
        moving: find_moving(&check.settings),
        warnings: Vec::new(),
        _place: place,
    };
    let first = run.build(1, check.settings.clone(), environment).await?;
    outcome.take(first, Vec::new());
    for number in 2..=check.times {
        let (second, varied) = Box::pin(run.again(number, outcome.builds[0].runtime)).await?;
        outcome.take(second, varied);
    }
    run.not_varied.extend(left_out(&check.vary));
    run.not_varied.sort();
    run.not_varied.dedup();
    outcome.not_varied = run.not_varied;
    Ok(outcome)
}

impl CheckOutcome {
    fn take(&mut self, built: BuildOutcome, varied: Vec<Variation>) {
        let archive = built.archive.unwrap_or_default();
        let is_needed = self.builds.first().is_none_or(|first| first.image_digest != built.image_digest);
        if !is_needed {
            // Of two equal archives one is enough.
            let _ = fs::remove_file(&archive);
        }
        for warning in built.warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        self.builds.push(CheckedBuild {
            runtime: built.built_with.runtime,
            image_digest: built.image_digest,
            varied,
            archive,
        });
    }
}

struct Run<'a> {
    check: &'a Check,
    environment: &'a Environment,
    interrupt: &'a Interrupt,
    place: PathBuf,
    not_varied: Vec<NotVaried>,
    /// When the latest build ended.
    ended: Option<Instant>,
}

impl Run<'_> {
    async fn build(
        &mut self,
        number: usize,
        mut settings: BuildSettings,
        environment: &Environment,
    ) -> Result<BuildOutcome, CheckError> {
        let output = Output::File(self.place.join(format!("{number}.tar")));
        settings.output = Setting { value: output, origin: Origin::Default };
        settings.metadata_file = None;
        let built = match self.wait().await {
            Ok(()) => build::run(&settings, environment, self.interrupt).await,
            Err(error) => Err(error),
        };
        self.ended = Some(Instant::now());
        built.map_err(|source| CheckError::Build { number, times: self.check.times, source: Box::new(source) })
    }

    /// Waits until the next build sees another time than the latest one did.
    async fn wait(&self) -> Result<(), BuildError> {
        let Some(ended) = self.ended else { return Ok(()) };
        let left = limits::CLOCK_APART.saturating_sub(ended.elapsed());
        self.interrupt.sleep(left).await.map_err(BuildError::Interrupted)
    }

    /// A further build, and what was other in it. `first` is the runtime of the first one.
    async fn again(
        &mut self,
        number: usize,
        first: &'static str,
    ) -> Result<(BuildOutcome, Vec<Variation>), CheckError> {
        let vary = &self.check.vary;
        let mut settings = self.check.settings.clone();
        let mut varied = Vec::new();
        if vary.contains(&Variation::State) {
            if settings.remote.is_some() {
                self.note("state", "on a BuildKit that others share there is no fresh state");
            } else {
                settings.no_cache = Setting { value: true, origin: Origin::Default };
                settings.cache_from.clear();
                varied.push(Variation::State);
            }
        }
        let copies = self.place.join(format!("checkout-{number}"));
        if vary.iter().any(|variation| variation.is_of_context()) {
            varied.extend(self.move_context(&mut settings, &copies)?);
        }
        let mut environment = self.environment.clone();
        if vary.contains(&Variation::Zone) {
            for (name, value) in [("TZ", "Pacific/Kiritimati"), ("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8")] {
                environment.set(name, value);
            }
            varied.push(Variation::Zone);
        }
        let built = if let Some(built) = Box::pin(self.elsewhere(number, first, &settings, &environment)).await? {
            varied.push(Variation::Runtime);
            built
        } else {
            settings.runtime.value = settings.runtime.value.or_else(|| RuntimeName::of(first));
            self.build(number, settings, &environment).await?
        };
        let _ = fs::remove_dir_all(&copies);
        varied.sort_unstable();
        Ok((built, varied))
    }

    /// The build on another runtime than the first one; nothing where no other one builds here, which is written down.
    async fn elsewhere(
        &mut self,
        number: usize,
        first: &'static str,
        settings: &BuildSettings,
        environment: &Environment,
    ) -> Result<Option<BuildOutcome>, CheckError> {
        let Some(other) = self.other_runtime(first, settings, environment).await else { return Ok(None) };
        let mut settings = settings.clone();
        settings.runtime = Setting { value: Some(other), origin: Origin::Default };
        match self.build(number, settings, environment).await {
            Err(CheckError::Build { source, .. }) if source.status() == ExitStatus::Unknown => {
                self.note("runtime", &format!("{} does not build here: {}", other.name(), chain(&*source)));
                Ok(None)
            }
            built => built.map(Some),
        }
    }

    /// Makes another checkout of each directory that the build reads.
    fn move_context(&self, settings: &mut BuildSettings, copies: &Path) -> Result<Vec<Variation>, CheckError> {
        let vary = &self.check.vary;
        let conditions = Conditions {
            times: vary.contains(&Variation::Times),
            umask: vary.contains(&Variation::Umask),
            order: vary.contains(&Variation::Order),
        };
        fs::create_dir(copies).map_err(CheckError::Place)?;
        let mut left_out = 0;
        let mut copy = |from: &Path, name: &str| {
            let to = copies.join(name);
            left_out += copy::copy(from, &to, conditions)?.left_out;
            Ok::<_, CheckError>(to)
        };
        let context = copy(&settings.context, "context")?;
        if let Ok(below) = settings.dockerfile.strip_prefix(&settings.context) {
            settings.dockerfile = context.join(below);
        }
        settings.context = context;
        for (number, named) in settings.build_contexts.values_mut().enumerate() {
            if let NamedContext::Directory(path) = named {
                *path = copy(path, &format!("named-{number}"))?;
            }
        }
        if left_out > 0 {
            tracing::warn!("{left_out} sockets, pipes or devices of the context are in no other checkout of it");
        }
        let of_context = Variation::ALL.into_iter().filter(|variation| variation.is_of_context());
        // A copy is always elsewhere.
        Ok(of_context.filter(|variation| vary.contains(variation) || *variation == Variation::Path).collect())
    }

    /// Another runtime that works, if one may be taken.
    async fn other_runtime(
        &mut self,
        first: &'static str,
        settings: &BuildSettings,
        environment: &Environment,
    ) -> Option<RuntimeName> {
        if !self.check.vary.contains(&Variation::Runtime) {
            return None;
        }
        if settings.runtime.origin != Origin::Default {
            self.note("runtime", &format!("{} was asked for ({})", first, settings.runtime.origin));
            return None;
        }
        let mut reasons = Vec::new();
        for name in [RuntimeName::Buildkitd, RuntimeName::Podman, RuntimeName::Docker] {
            if name.name() == first {
                continue;
            }
            let mut asked = settings.clone();
            asked.runtime = Setting { value: Some(name), origin: Origin::Default };
            match build::can_build(&asked, environment, self.interrupt).await {
                Ok(()) => return Some(name),
                Err(error) => reasons.push(format!("{}: {}", name.name(), chain(&error))),
            }
        }
        self.note("runtime", &format!("no second one works here ({})", reasons.join("; ")));
        None
    }

    fn note(&mut self, what: &'static str, why: &str) {
        self.not_varied.push(NotVaried { what, why: why.to_owned() });
    }
}

/// What could be other and was not asked for.
fn left_out(vary: &BTreeSet<Variation>) -> impl Iterator<Item = NotVaried> {
    let is_moved = vary.iter().any(|variation| variation.is_of_context());
    let is_left_out =
        move |variation: &Variation| !(vary.contains(variation) || is_moved && *variation == Variation::Path);
    let left_out = Variation::ALL.into_iter().filter(is_left_out);
    left_out.map(|variation| {
        let why = if variation == Variation::State {
            "not asked for: what the builder keeps of the first build may be all that the others give"
        } else {
            "not asked for"
        };
        NotVaried { what: variation.name(), why: why.to_owned() }
    })
}

/// What `build` takes and nothing here has a use for.
fn refuse(settings: &BuildSettings) -> Result<(), CheckError> {
    let refusals = [
        (settings.output.origin != Origin::Default, "--output", "no archive stays"),
        (settings.metadata_file.is_some(), "--metadata-file", "there is more than one build"),
        (!settings.cache_to.is_empty(), "--cache-to", "what is checked is not yet known to be right"),
    ];
    match refusals.into_iter().find(|(given, ..)| *given) {
        Some((_, flag, why)) => Err(CheckError::Flag { flag, why }),
        None => Ok(()),
    }
}
