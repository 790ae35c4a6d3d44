//! Runs the solve: the archive streams from the builder through the checks into a temporary file.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};

use tempfile::NamedTempFile;

use super::check::{Findings, check};
use super::error::BuildError;
use super::lock::Locks;
use super::outcome::BuildOutcome;
use super::prepare::{Grounds, Prepared};
use crate::image::{Image, ImageError, ReadOptions, read_archive};
use crate::output::OutputError;
use crate::runtime::command::{ToolCommand, stop};
use crate::runtime::execute::{ExecuteError, Executor};

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
    let (temporary, image) = stream(&prepared.steps.solve, prepared, grounds, executor).await?;
    for step in &prepared.steps.finish {
        executor.step(step).await?;
    }
    let findings = Findings::load(&prepared.steps.findings, executor.engine.as_ref()).await?;
    let mut outcome = check(prepared, &image, &findings)?;
    match &grounds.archive {
        Some(place) => {
            place.commit(temporary)?;
            outcome.archive = Some(place.path().to_owned());
        }
        None => copy_to_stdout(temporary)?,
    }
    if let Some(place) = &grounds.metadata {
        place.write(&outcome.to_json())?;
    }
    Ok(outcome)
}

async fn stream(
    solve: &ToolCommand,
    prepared: &Prepared,
    grounds: &Grounds,
    executor: &Executor<'_>,
) -> Result<(NamedTempFile, Image), BuildError> {
    let temporary = match &grounds.archive {
        Some(place) => place.temporary()?,
        // Nothing unchecked leaves through stdout either.
        None => spool(grounds)?,
    };
    let sink = temporary.as_file().try_clone().map_err(BuildError::Write)?;
    let mut child = solve.spawn_streaming(executor.environment).map_err(ExecuteError::from)?;
    let source = child.stdout.take().ok_or_else(|| BuildError::Write(io::ErrorKind::BrokenPipe.into()))?;
    let source = File::from(source.into_owned_fd().map_err(BuildError::Write)?);
    let options = ReadOptions { epoch: Some(prepared.plan.epoch.seconds()) };
    let mut reading = tokio::task::spawn_blocking(move || read_and_keep(source, sink, &options));
    let read = tokio::select! {
        read = &mut reading => read,
        interruption = executor.interrupt.wait() => {
            stop(&mut child).await;
            let _ = reading.await;
            return Err(BuildError::Interrupted(interruption));
        }
    };
    let read = read.map_err(|error| BuildError::Write(io::Error::other(error)))?;
    if let Err(ReadError::Write(error)) = read {
        stop(&mut child).await;
        return Err(BuildError::Write(error));
    }
    let status = tokio::select! {
        status = child.wait() => status.map_err(BuildError::Write)?,
        interruption = executor.interrupt.wait() => {
            stop(&mut child).await;
            return Err(BuildError::Interrupted(interruption));
        }
    };
    // A builder that failed explains more than the archive that it did not finish.
    if !status.success() {
        return Err(BuildError::Failed { command: solve.summary(), status });
    }
    match read {
        Ok(image) => Ok((temporary, image)),
        Err(ReadError::Write(error)) => Err(BuildError::Write(error)),
        Err(ReadError::Archive(error)) => Err(BuildError::Archive(error)),
    }
}

fn spool(grounds: &Grounds) -> Result<NamedTempFile, OutputError> {
    let directory = grounds.state.join("tmp");
    NamedTempFile::new_in(&directory).map_err(|source| OutputError::Directory { path: directory, source })
}

fn copy_to_stdout(mut temporary: NamedTempFile) -> Result<(), BuildError> {
    temporary.as_file_mut().rewind().map_err(BuildError::Write)?;
    let mut stdout = io::stdout().lock();
    io::copy(temporary.as_file_mut(), &mut stdout).and_then(|_| stdout.flush()).map_err(BuildError::Write)
}

enum ReadError {
    Archive(ImageError),
    Write(io::Error),
}

fn read_and_keep(source: File, sink: File, options: &ReadOptions) -> Result<Image, ReadError> {
    let mut tee = Tee { source, sink, failed: None };
    let read = read_archive(&mut tee, options);
    if let Some(error) = tee.failed {
        return Err(ReadError::Write(error));
    }
    read.map_err(|error| {
        // The builder may still be writing: it shall end by itself, and say why.
        let _ = io::copy(&mut tee.source, &mut io::sink());
        ReadError::Archive(error)
    })
}

/// Keeps what is read through it.
struct Tee {
    source: File,
    sink: File,
    failed: Option<io::Error>,
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        if let Err(error) = self.sink.write_all(&buffer[..count]) {
            let kind = error.kind();
            self.failed = Some(error);
            return Err(kind.into());
        }
        Ok(count)
    }
}
