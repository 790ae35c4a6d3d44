//! Runs the solve: the builder writes the archive into a temporary file, and the checks read it there as it grows.

use std::fs::{File, Metadata};
use std::io::{self, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::thread;

use tempfile::NamedTempFile;
use tokio::sync::oneshot;

use super::base::Library;
use super::check::{Findings, check, says_version};
use super::error::BuildError;
use super::follow::follow;
use super::frontend::remember;
use super::heard::{Listener, hint_elsewhere, hint_of};
use super::known;
use super::lock::Locks;
use super::outcome::BuildOutcome;
use super::prepare::{Grounds, Prepared};
use crate::image::{Image, ReadOptions, read_archive};
use crate::output::OutputError;
use crate::runtime::command::{ToolCommand, stop, stop_group};
use crate::runtime::execute::{ExecuteError, Executor};
use crate::runtime::guard::Guard;
use crate::runtime::interrupt::Interrupt;
use crate::runtime::voice::Voice;
use crate::settings::RuntimeName;

/// How much is shown of what a build said that failed, in bytes.
const LONGEST_LOG: u64 = 1 << 20;

/// A file system with less free space than this is full: what a builder could not write is larger.
const FULL_BYTES: u64 = 1 << 20;

/// Builds, checks, and puts what is right into its place.
pub async fn build(
    prepared: &Prepared,
    grounds: &Grounds,
    executor: &mut Executor<'_>,
    locks: &mut Locks,
) -> Result<BuildOutcome, BuildError> {
    for step in &prepared.steps.prepare {
        executor.step(step).await?;
    }
    locks.prepared();
    for place in [&grounds.archive, &grounds.metadata].into_iter().flatten() {
        place.remove_stale()?;
    }
    for step in &prepared.steps.copy {
        executor.step(step).await?;
    }
    let lock = locks.for_process(grounds).map_err(BuildError::Write)?;
    let solve = stream(&prepared.steps.solve, lock, prepared, grounds, executor);
    let (streamed, answered) = tokio::join!(solve, executor.ask(&prepared.steps.beside));
    let (temporary, written, image) = streamed?;
    answered?;
    // A client that is slow to hear from a busy daemon ends well and says nothing.
    if !says_version(&prepared.steps.findings.version) {
        executor.ask(&prepared.steps.beside).await?;
    }
    for step in &prepared.steps.finish {
        executor.step(step).await?;
    }
    let library = Library {
        documents: &prepared.steps.findings.documents,
        engine: executor.engine.as_ref(),
        environment: executor.environment,
        route: &prepared.route,
        platforms: &prepared.plan.platforms,
    };
    let findings = tokio::select! {
        findings = Findings::load(&prepared.steps.findings, &library) => findings?,
        interruption = executor.interrupt.wait() => return Err(BuildError::Interrupted(interruption)),
    };
    let mut outcome = check(prepared, &image, &findings, locks.cache_made())?;
    written.check(&temporary, &image)?;
    known::keep(&grounds.state, &grounds.scratch, &image);
    outcome.warnings.extend(remember(&grounds.state, &prepared.plan.frontend, &mut outcome.frontend));
    outcome.archive = grounds.archive.as_ref().map(|place| place.path().to_owned());
    // Before the archive gets its name: a build that fails here must not leave one.
    let metadata = match &grounds.metadata {
        Some(place) => Some((place, place.filled(&outcome.to_json())?)),
        None => None,
    };
    match &grounds.archive {
        Some(place) => place.commit(temporary)?,
        None => copy_to_stdout(&temporary, executor.interrupt).await?,
    }
    if let Some((place, temporary)) = metadata {
        place.commit(temporary)?;
    }
    Ok(outcome)
}

async fn stream(
    solve: &ToolCommand,
    lock: File,
    prepared: &Prepared,
    grounds: &Grounds,
    executor: &Executor<'_>,
) -> Result<(NamedTempFile, Written, Image), BuildError> {
    let temporary = match &grounds.archive {
        Some(place) => place.temporary()?,
        // Nothing unchecked leaves through stdout either.
        None => spool(grounds)?,
    };
    let own = || temporary.as_file().try_clone().map_err(BuildError::Write);
    let (archive, writer) = follow(own()?);
    let log = prepared.steps.solve_log.as_deref().map(make_log).transpose()?;
    let kept = log.as_ref().map(File::try_clone).transpose().map_err(BuildError::Write)?;
    let (stderr, voice) = match kept {
        Some(log) => (log.into(), None),
        None => Voice::open().map(|(stderr, voice)| (stderr, Some(voice))).map_err(BuildError::Write)?,
    };
    let mut child = solve.spawn_into(own()?, stderr, lock, executor.environment).map_err(ExecuteError::from)?;
    let group = child.id().unwrap_or_default();
    let _guard = Guard::over(group).map_err(BuildError::Write)?;
    let listener = voice.map(Listener::new);
    let options = ReadOptions {
        epoch: Some(prepared.plan.epoch.seconds()),
        known: known::load(&grounds.state),
        ..ReadOptions::default()
    };
    let mut reading = tokio::task::spawn_blocking(move || read_archive(archive, &options));
    let status = tokio::select! {
        status = child.wait() => status.map_err(BuildError::Write),
        interruption = executor.interrupt.wait() => {
            stop(&mut child).await;
            Err(BuildError::Interrupted(interruption))
        }
    };
    let said = match listener {
        Some(listener) => listener.finish().await,
        None => String::new(),
    };
    let written = temporary.as_file().metadata();
    if status.as_ref().is_ok_and(ExitStatus::success) {
        writer.done();
    } else {
        writer.abandoned();
        // A client that was killed could not end what it started.
        stop_group(group, std::future::ready(())).await;
    }
    let read = tokio::select! {
        read = &mut reading => read,
        interruption = executor.interrupt.wait() => {
            writer.abandoned();
            let _ = reading.await;
            return Err(BuildError::Interrupted(interruption));
        }
    };
    let (status, read) = (status?, read.map_err(|error| BuildError::Write(io::Error::other(error)))?);
    if !status.success() || read.is_err() {
        check_space(&temporary)?;
    }
    if let (false, Some(log)) = (status.success(), log) {
        show(log);
    }
    // A builder that failed explains more than the archive that it did not finish.
    if !status.success() {
        let command = solve.summary();
        let not_started = matches!(status.code(), Some(125..=127)) && !prepared.runtime_name.has_buildx();
        // Podman's own failures, and what daemon.sh ends with where its daemon does not come up.
        return Err(if not_started {
            BuildError::NotStarted { command, status }
        } else {
            let lasting = prepared.runtime_name == RuntimeName::Docker && !prepared.plan.no_cache;
            BuildError::Failed {
                command,
                status,
                builder: lasting.then(|| prepared.steps.uses.clone()),
                hint: if prepared.address.is_some() { hint_elsewhere(&said) } else { hint_of(&said) },
            }
        });
    }
    Ok((temporary, Written(written.map_err(BuildError::Write)?), read.map_err(BuildError::Archive)?))
}

fn make_log(path: &Path) -> Result<File, BuildError> {
    let file = File::options().create_new(true).read(true).write(true).open(path);
    file.map_err(|source| BuildError::Own { path: path.to_owned(), source })
}

/// Shows the end of what a build said that failed.
fn show(mut log: File) {
    let length = log.metadata().map_or(0, |metadata| metadata.len());
    let begin = log.seek(SeekFrom::Start(length.saturating_sub(LONGEST_LOG)));
    if begin.is_ok() {
        let _ = io::copy(&mut log, &mut io::stderr().lock());
    }
}

/// Where there is no room left for the archive, that is why the builder failed, or Podman lost the rest without a word.
fn check_space(temporary: &NamedTempFile) -> Result<(), BuildError> {
    let full = rustix::fs::fstatvfs(temporary.as_file())
        .is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) < FULL_BYTES);
    if full { Err(BuildError::Write(io::ErrorKind::StorageFull.into())) } else { Ok(()) }
}

/// The archive as the builder left it.
struct Written(Metadata);

impl Written {
    /// What was checked is what gets its name: all of it was read, and nobody has written to it since the builder ended.
    fn check(&self, temporary: &NamedTempFile, image: &Image) -> Result<(), BuildError> {
        let now = temporary.as_file().metadata().map_err(BuildError::Write)?;
        let times = |file: &Metadata| (file.mtime(), file.mtime_nsec());
        if now.len() == image.archive_bytes && times(&now) == times(&self.0) {
            return Ok(());
        }
        Err(BuildError::Write(io::Error::other("somebody wrote to it after it was checked")))
    }
}

fn spool(grounds: &Grounds) -> Result<NamedTempFile, OutputError> {
    let directory = grounds.state.join("tmp");
    grounds.scratch.file_in(&directory).map_err(|source| OutputError::Directory { path: directory, source })
}

/// Copies the archive to stdout. Whoever reads it may stop without going away: a thread of its own waits for that, which
/// ends with the process.
async fn copy_to_stdout(temporary: &NamedTempFile, interrupt: &Interrupt) -> Result<(), BuildError> {
    let archive = temporary.reopen().map_err(BuildError::Write)?;
    let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(BuildError::Write)?;
    let (sender, copied) = oneshot::channel();
    thread::spawn(move || {
        let copied = io::copy(&mut &archive, &mut File::from(stdout));
        // Nobody waits for it any more when the user wanted to stop.
        let _ = sender.send(copied);
    });
    tokio::select! {
        copied = copied => match copied.map_err(io::Error::other).and_then(|copied| copied) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(BuildError::NoReader),
            Err(error) => Err(BuildError::Write(error)),
        },
        interruption = interrupt.wait() => Err(BuildError::Interrupted(interruption)),
    }
}
