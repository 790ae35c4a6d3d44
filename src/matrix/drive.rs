//! The loop of a run: cells begin where there is a place, end, and are written down; daemons are asked whether they are there.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;

use super::archives::{Archives, Part, part};
use super::attempt::{Built, Program, Reason, Tried, build, build_again, flags_at};
use super::cell::Cell;
use super::compare::compare;
use super::file::Matrix;
use super::history::{CellRecord, DifferenceRecord, EndRecord, ImageRecord, Line, Outcome, RunRecord, Writer};
use super::probe::is_there;
use super::run::{Event, Request, RunError, now};
use super::schedule::{Job, Place, Schedule};
use super::source::Source;
use crate::digest::Digest;
use crate::environment::Environment;
use crate::limits;
use crate::runtime::interrupt::{Interrupt, Interruption, Stop};

fn lost(request: &Request, source: io::Error) -> RunError {
    RunError::History { path: request.history.clone(), source }
}

fn count_by_image(cells: &[Cell]) -> BTreeMap<Part, usize> {
    let mut left = BTreeMap::new();
    for cell in cells {
        *left.entry(part(cell)).or_default() += 1;
    }
    left
}

enum Happened {
    Tried(usize, PathBuf, Tried),
    Rested(Job, String),
    Probed(String, Result<(), String>),
    /// The first build of a group lies far enough behind.
    Behind(usize),
    Compared(Part, Vec<DifferenceRecord>),
}

type Work<'a> = FuturesUnordered<LocalBoxFuture<'a, Happened>>;

/// A run.
pub struct Driver<'a> {
    matrix: &'a Matrix,
    request: &'a Request,
    program: Program,
    place: PathBuf,
    schedule: Schedule,
    sources: BTreeMap<String, Source>,
    history: Writer,
    /// How running cells are stopped.
    stops: BTreeMap<usize, (Stop, Place)>,
    /// Cells that were stopped because their daemon fell silent, with the reason.
    drained: BTreeSet<usize>,
    /// What nobody stops.
    never: Interrupt,
    /// Daemons that are being asked whether they are there.
    probing: BTreeSet<String>,
    /// How many groups have a first cell that ended just now.
    resting: usize,
    /// Cells that failed in a way that may be their daemon's fault, until that is known.
    suspended: BTreeMap<String, Vec<(Job, Outcome, Reason)>>,
    /// Why daemons did not answer.
    silent: BTreeMap<String, String>,
    /// What the cells gave.
    archives: Archives,
    /// How many cells of an image have not ended.
    left: BTreeMap<Part, usize>,
    done: usize,
    tell: &'a mut dyn FnMut(&Event<'_>),
}

impl<'a> Driver<'a> {
    pub fn new(
        matrix: &'a Matrix,
        request: &'a Request,
        (environment, place): (&Environment, &Path),
        tell: &'a mut dyn FnMut(&Event<'_>),
    ) -> Result<Self, RunError> {
        let fleet = &matrix.fleet;
        let cells = request.cells.iter().enumerate().map(|(number, cell)| {
            let everywhere = request.sources.get(&cell.image).is_some_and(|source| source.record.everywhere);
            let buildkit = (!everywhere).then_some(&cell.buildkit);
            // What is built again is held against the earlier run, each by itself.
            let alone = request.again.is_some().then_some(number);
            (cell.clone(), (&cell.image, &cell.platform, buildkit, alone))
        });
        Ok(Self {
            matrix,
            request,
            program: Program::new(&request.program, &matrix.directory, environment),
            place: place.to_owned(),
            schedule: Schedule::new(cells, matrix.limits.parallel, &fleet.addresses, fleet.at_a_time()),
            sources: request.sources.clone(),
            history: Writer::open(&request.history).map_err(|source| lost(request, source))?,
            stops: BTreeMap::new(),
            drained: BTreeSet::new(),
            never: Interrupt::never(),
            probing: BTreeSet::new(),
            resting: 0,
            suspended: BTreeMap::new(),
            silent: BTreeMap::new(),
            archives: Archives::new(request, place),
            left: count_by_image(&request.cells),
            done: 0,
            tell,
        })
    }

    /// Builds all of them.
    pub async fn drive(mut self, interrupt: &Interrupt) -> Result<(), RunError> {
        let mut work: Work<'_> = FuturesUnordered::new();
        let result = self.build_all(&mut work, interrupt).await;
        match &result {
            Ok(()) => {}
            Err(RunError::Stopped { interruption, .. }) => self.stop(work, *interruption).await,
            // What runs has something to clean up.
            Err(_) => self.stop(work, Interruption::Terminate).await,
        }
        result
    }

    async fn build_all(&mut self, work: &mut Work<'a>, interrupt: &Interrupt) -> Result<(), RunError> {
        let rest = self.history.rest();
        self.begin()?;
        interrupt.sleep(rest).await.map_err(|interruption| self.stopped(interruption))?;
        let mut questions = tokio::time::interval(self.matrix.fleet.pause());
        questions.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let has_remote = self.schedule.has_remote();
        loop {
            while let Some((number, job, place)) = self.schedule.start() {
                self.start(work, number, &job, place);
            }
            // Whether a daemon is there, or how late it is, matters no more once nothing is left to build.
            let idle = self.probing.len() + self.resting;
            if self.schedule.is_done() && self.suspended.is_empty() && work.len() == idle {
                break;
            }
            let happened = tokio::select! {
                happened = work.next(), if !work.is_empty() => happened,
                _ = questions.tick(), if has_remote => {
                    self.probe_all(work);
                    continue;
                }
                interruption = interrupt.wait() => return Err(self.stopped(interruption)),
            };
            match happened {
                Some(Happened::Tried(number, stem, tried)) => {
                    self.stops.remove(&number);
                    self.tried(work, number, &stem, tried)?;
                }
                Some(Happened::Rested(job, why)) => self.schedule.again(job, why),
                Some(Happened::Probed(address, answer)) => {
                    self.probing.remove(&address);
                    self.probed(work, &address, answer)?;
                }
                Some(Happened::Behind(group)) => {
                    self.resting -= 1;
                    self.schedule.lies_behind(group);
                }
                Some(Happened::Compared(part, differences)) => self.compared(&part, differences)?,
                None => {}
            }
        }
        if self.request.earlier.len() + self.done < self.request.planned {
            // Other cells of this run are still to be built.
            return Ok(());
        }
        self.write(&Line::of_end(EndRecord { run: self.request.run.clone(), time: now() }))
    }

    fn stopped(&self, interruption: Interruption) -> RunError {
        let (total, again) = (self.request.cells.len(), self.request.again.is_some());
        RunError::Stopped { interruption, done: self.done, total, again }
    }

    fn begin(&mut self) -> Result<(), RunError> {
        self.write(&Line::of_run(self.record()))
    }

    fn record(&self) -> RunRecord {
        RunRecord {
            id: self.request.run.clone(),
            time: now(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            cells: self.request.added,
            planned: super::history::names_of(&self.request.cells),
            images: self.sources.values().map(|source| source.record.clone()).collect(),
            buildkits: self.matrix.recorded_buildkits(),
            recheck: self.request.again.as_ref().map(|again| again.record.clone()),
        }
    }

    fn write(&mut self, line: &Line<'_>) -> Result<(), RunError> {
        self.history.add(line).map_err(|source| lost(self.request, source))
    }

    fn start(&mut self, work: &Work<'a>, number: usize, job: &Job, place: Place) {
        (self.tell)(&Event::Started { cell: &job.cell, place: &place });
        let (stop, interrupt) = Interrupt::by_hand();
        let stem = self.place.join(number.to_string());
        let flags = flags_at(self.matrix, &job.cell, &place);
        self.stops.insert(number, (stop, place));
        let program = self.program.clone();
        let limit = self.matrix.limits.time();
        let source = self.sources.get(&job.cell.image).cloned();
        let directory = self.matrix.directory.clone();
        let again = self.request.again.as_ref().and_then(|again| again.digests.get(&job.cell)).cloned();
        work.push(Box::pin(async move {
            let Some(source) = source else {
                let why = Reason::new("nobody says what its image is built from");
                return Happened::Tried(number, stem, Tried::Failed(why));
            };
            let mut words: Vec<_> = source.record.flags.iter().map(Into::into).collect();
            words.extend(flags);
            let context = directory.join(&source.record.context);
            let tried = match (&source.dockerfile, again, &source.record.commit) {
                (Err(why), ..) => Tried::Failed(Reason::new(why)),
                (Ok(_), Some(digest), Some(commit)) => {
                    let what = (context.as_path(), commit.as_str(), &digest.to_string()[..]);
                    build_again(&program, words, what, limit, &interrupt).await
                }
                (Ok(_), ..) => build(&program, words, &context, &stem, limit, &interrupt).await,
            };
            Happened::Tried(number, stem, tried)
        }));
    }

    /// Asks every daemon.
    fn probe_all(&mut self, work: &Work<'a>) {
        for address in self.schedule.hosts() {
            self.ask(work, address);
        }
    }

    /// Asks one, where it is not being asked already.
    fn ask(&mut self, work: &Work<'a>, address: String) {
        if self.probing.insert(address.clone()) {
            work.push(self.probe(address));
        }
    }

    fn probe(&self, address: String) -> LocalBoxFuture<'a, Happened> {
        let program = self.program.clone();
        let own = self.request.cells.iter().find(|cell| cell.address.as_ref() == Some(&address));
        let cell = own.or_else(|| self.request.cells.iter().find(|cell| cell.runtime == "remote"));
        let flags = cell.map(|cell| flags_at(self.matrix, cell, &Place::At(address.clone()))).unwrap_or_default();
        let (place, patience, never) = (self.place.clone(), self.matrix.fleet.patience(), self.never.clone());
        let directory = place.join(format!("probe-{}", Digest::of(address.as_bytes()).short()));
        Box::pin(async move {
            let is_tcp = address.starts_with("tcp://");
            let answer = is_there(&program, flags, &directory, is_tcp, (patience, &never)).await;
            Happened::Probed(address, answer)
        })
    }

    fn probed(&mut self, work: &Work<'a>, address: &str, answer: Result<(), String>) -> Result<(), RunError> {
        let suspended = self.suspended.remove(address).unwrap_or_default();
        match answer {
            Ok(()) => {
                if self.schedule.answered(address) && self.silent.remove(address).is_some() {
                    (self.tell)(&Event::Answers { address });
                }
                for (job, outcome, reason) in suspended {
                    self.failed(work, job, Some(Place::At(address.to_owned())), outcome, reason)?;
                }
            }
            Err(why) => {
                if self.silent.insert(address.to_owned(), why.clone()).is_none() {
                    (self.tell)(&Event::Silent { address, why: &why });
                }
                for (job, _, reason) in suspended {
                    self.move_away(work, job, format!("{address}: {}", reason.why))?;
                }
                for number in self.schedule.silent(address) {
                    if let Some((stop, _)) = self.stops.get(&number) {
                        self.drained.insert(number);
                        stop.stop(Interruption::Terminate);
                    }
                }
            }
        }
        for job in self.schedule.hopeless() {
            let why: Vec<String> = match &job.cell.address {
                Some(address) => self.silent.get(address).into_iter().map(|why| format!("{address}: {why}")).collect(),
                None => self.silent.iter().map(|(address, why)| format!("{address}: {why}")).collect(),
            };
            let reason = Reason::new(&why.join("; "));
            self.end(work, &job, None, Err((Outcome::Missing, reason)))?;
        }
        Ok(())
    }

    fn tried(&mut self, work: &Work<'a>, number: usize, stem: &Path, tried: Tried) -> Result<(), RunError> {
        let place = self.schedule.place(number);
        let was_drained = self.drained.remove(&number);
        let Some(job) = self.schedule.ended(number) else { return Ok(()) };
        let archive = stem.with_extension("tar");
        let (outcome, reason) = match tried {
            Tried::Built(built) => {
                self.rest(work, &job);
                let adopted = self.archives.adopt(&job.cell, &built.digest, &archive);
                // It was built, whatever becomes of its archive.
                self.end(work, &job, place, Ok(built))?;
                let path = self.request.keep.clone();
                return adopted.map_err(|source| match path {
                    Some(path) => RunError::Keep { path, source },
                    None => RunError::Place(source),
                });
            }
            // Elsewhere it may be the daemon that hangs.
            Tried::Failed(reason) if reason.timed_out && matches!(place, Some(Place::At(_))) => {
                (Outcome::Missing, Reason { passes: true, ..reason })
            }
            Tried::Failed(reason) => (Outcome::Failed, reason),
            Tried::Missing(reason) => (Outcome::Missing, reason),
            Tried::Stopped => (Outcome::Missing, Reason { passes: true, ..Reason::new("stopped") }),
        };
        let _ = fs::remove_file(archive);
        match place {
            Some(Place::At(address)) if was_drained => self.move_away(work, job, format!("{address} fell silent"))?,
            // Whether it is the daemon's fault, the daemon has to say.
            Some(Place::At(address)) if reason.passes => {
                self.schedule.suspect(&address);
                self.suspended.entry(address.clone()).or_default().push((job, outcome, reason));
                self.ask(work, address);
            }
            place => self.failed(work, job, place, outcome, reason)?,
        }
        Ok(())
    }

    /// The cells that are held against the first of a group begin when they read another time than it did.
    fn rest(&mut self, work: &Work<'a>, first: &Job) {
        let group = first.group;
        if self.schedule.built(first) {
            self.resting += 1;
            work.push(Box::pin(async move {
                tokio::time::sleep(limits::CLOCK_APART).await;
                Happened::Behind(group)
            }));
        }
    }

    /// A cell is built elsewhere: its daemon fell away. One that every daemon fell away under is perhaps what makes them.
    fn move_away(&mut self, work: &Work<'a>, job: Job, why: String) -> Result<(), RunError> {
        if job.moves > self.schedule.hosts().len() + 1 {
            let reason = Reason::new(&format!("its daemons fell silent while they built it, the last time: {why}"));
            return self.end(work, &job, None, Err((Outcome::Missing, reason)));
        }
        (self.tell)(&Event::Again { cell: &job.cell, why: &why });
        self.schedule.moved(job, why);
        Ok(())
    }

    /// A cell ended without a digest, through no fault of its place: it is tried again, or that is its end.
    fn failed(
        &mut self,
        work: &Work<'a>,
        job: Job,
        place: Option<Place>,
        outcome: Outcome,
        reason: Reason,
    ) -> Result<(), RunError> {
        let before = u32::try_from(job.tries.len() - job.moves).unwrap_or(u32::MAX);
        if !reason.passes || before >= self.matrix.limits.retries {
            return self.end(work, &job, place, Err((outcome, reason)));
        }
        (self.tell)(&Event::Again { cell: &job.cell, why: &reason.why });
        let why = match place {
            Some(Place::At(address)) => format!("{address}: {}", reason.why),
            _ => reason.why,
        };
        let pause = Duration::from_secs(1 << before.min(5));
        work.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            Happened::Rested(job, why)
        }));
        Ok(())
    }

    /// A cell has ended for good.
    fn end(
        &mut self,
        work: &Work<'a>,
        job: &Job,
        place: Option<Place>,
        result: Result<Built, (Outcome, Reason)>,
    ) -> Result<(), RunError> {
        let cell = &job.cell;
        let mut record = CellRecord { tries: job.tries.clone(), ..CellRecord::of(&self.request.run, cell, now()) };
        if let (Some(Place::At(address)), None) = (place, &cell.address) {
            record.at = Some(Cow::Owned(address));
        }
        match result {
            Ok(built) => {
                record.seconds = (built.seconds * 10.0).round() / 10.0;
                record.materials = built.materials;
                record.unproved = built.unproved;
                self.archives.gave(cell, &built.digest);
                record.digest = Some(built.digest);
            }
            Err((outcome, reason)) => {
                record.result = outcome;
                if let Some(keep) = &self.request.keep {
                    // The verdict does not depend on it.
                    let _ = fs::write(keep.join(format!("{cell}.log")), &reason.log);
                }
                record.why = Some(Cow::Owned(reason.why));
            }
        }
        let line = Line::of_cell(record);
        self.write(&line)?;
        self.done += 1;
        if let Some(record) = &line.cell {
            (self.tell)(&Event::Ended { record, done: self.done, total: self.request.cells.len() });
        }
        let part = part(cell);
        if let Some(left) = self.left.get_mut(&part) {
            *left -= 1;
            // What is built again leaves no archive, and is what a commit holds.
            if *left == 0 && self.request.again.is_none() {
                self.look_again(&part.0)?;
                self.compare(work, part);
            }
        }
        Ok(())
    }

    /// Files that were changed meanwhile are those of no commit: nothing may be held against what they gave.
    fn look_again(&mut self, name: &str) -> Result<(), RunError> {
        let Some(image) = self.matrix.image(name) else { return Ok(()) };
        let now = Source::look(self.matrix, image, self.program.sees());
        let Some(before) = self.sources.get_mut(name) else { return Ok(()) };
        if now.record == before.record {
            return Ok(());
        }
        (self.tell)(&Event::Changed { image: name });
        before.record = ImageRecord { clean: false, ..now.record };
        let record = RunRecord { cells: 0, images: vec![before.record.clone()], ..self.record() };
        self.write(&Line::of_run(record))
    }

    /// Compares the digests that an image gave, now that there will be no more of them.
    fn compare(&mut self, work: &Work<'a>, part: Part) {
        let source = self.sources.get(&part.0);
        let pairs = self.archives.pairs(self.matrix, &part, source.is_some_and(|one| one.record.shares_cache()));
        let source = source.and_then(|source| source.dockerfile.clone().ok());
        let (program, run, limit) = (self.program.clone(), self.request.run.clone(), self.matrix.limits.time());
        work.push(Box::pin(async move {
            let source = source.as_ref().map(|(dockerfile, target)| (dockerfile.as_path(), target.as_deref()));
            let mut differences = Vec::new();
            for pair in pairs {
                // Nobody stops this one but by dropping it.
                differences.extend(compare(&program, &run, &pair, source, limit, &Interrupt::never()).await);
            }
            Happened::Compared(part, differences)
        }));
    }

    fn compared(&mut self, part: &Part, differences: Vec<DifferenceRecord>) -> Result<(), RunError> {
        for difference in differences {
            (self.tell)(&Event::Compared { difference: &difference });
            self.write(&Line::of_difference(difference))?;
        }
        self.archives.forget(part);
        Ok(())
    }

    /// Ends everything that runs, and waits for it.
    async fn stop(mut self, mut work: Work<'a>, interruption: Interruption) {
        for (stop, _) in self.stops.values() {
            stop.stop(interruption);
        }
        while !self.stops.is_empty() {
            match work.next().await {
                Some(Happened::Tried(number, ..)) => drop(self.stops.remove(&number)),
                Some(_) => {}
                None => break,
            }
        }
    }
}
