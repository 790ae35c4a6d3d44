//! Builds of an action's own, beside the one that was asked for: what they are given, and the files that come out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::thread;

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::Step;
use super::inputs::Words;
use crate::cli::build::BuildCommand;
use crate::cli::files::not_written;
use crate::cli::subject::until_interrupted;
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure, chain};
use crate::image::escape::escape;
use crate::image::tar::TarReader;
use crate::image::{ReadOptions, decoder, load_image};
use crate::limits;
use crate::plan::Platform;
use crate::reference::ImageReference;
use crate::runtime::interrupt::Interrupt;
use crate::settings::BuildSettings;

/// The files of such a build, in a directory of the step that goes with it.
pub struct OwnBuild {
    place: TempDir,
}

impl OwnBuild {
    /// One with a context that is still empty.
    pub fn new(step: &Step) -> Result<Self, Failure> {
        let own = |error| not_written(&step.directory, &error);
        let build = Self { place: tempfile::tempdir_in(&step.directory).map_err(own)? };
        fs::create_dir(build.context()).map_err(own)?;
        Ok(build)
    }

    /// Says what it does.
    pub fn write_dockerfile(&self, text: &str) -> Result<(), Failure> {
        fs::write(self.dockerfile(), text).map_err(|error| not_written(self.place.path(), &error))
    }

    fn dockerfile(&self) -> PathBuf {
        self.place.path().join("Dockerfile")
    }

    /// What it reads.
    pub fn context(&self) -> PathBuf {
        self.place.path().join("context")
    }

    /// What comes out.
    pub fn archive(&self) -> PathBuf {
        self.place.path().join("image.tar")
    }

    /// How it is built: where `like` is and with its epoch, for this machine's platform.
    pub fn settings(
        &self,
        flags: &[(&str, &str)],
        like: &BuildSettings,
        environment: &Environment,
    ) -> Result<BuildSettings, Failure> {
        let mut words = Words::default();
        words.flag("--no-config");
        words.value("--platform", Platform::of_this_machine().to_string());
        words.value("--source-date-epoch", like.epoch.value.seconds().to_string());
        words.value("--archive", "oci");
        words.value("--file", self.dockerfile());
        words.value("--output", self.archive());
        for (flag, value) in flags {
            words.value(flag, *value);
        }
        words.operand(self.context());
        Ok(words.parse::<BuildCommand>()?.resolve(environment)?.on_machine_of(like))
    }
}

/// An image by its digest alone: a tag beside it says nothing to BuildKit but could be told for what was read.
pub fn by_digest(image: &ImageReference) -> String {
    let digest = image.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
    image.name() + &digest
}

/// Hands each file of an image that was just built to `take`: its path in its layer, its size in bytes, and what is in it. The
/// error says what else is there, ready to print.
pub fn read_files(
    archive: &Path,
    mut take: impl FnMut(&str, u64, &mut dyn Read) -> Result<(), String>,
) -> Result<(), String> {
    let image = load_image(archive, &ReadOptions::default()).map_err(|error| chain(&error))?;
    let mut left: BTreeMap<&str, _> =
        image.layer_lists().flatten().map(|layer| (layer.descriptor.digest.hex(), layer.compression)).collect();
    let file = File::open(archive).map_err(|error| error.to_string())?;
    let mut members = TarReader::new(BufReader::with_capacity(limits::CHUNK_BYTES, file));
    while let Some(member) = members.next_entry().map_err(|error| chain(&error))? {
        let name = member.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        let Some(compression) = left.remove(name.as_ref()) else { continue };
        let tar = decoder(compression, BufReader::new(Data(&mut members))).map_err(|error| error.to_string())?;
        let mut tar = TarReader::of_layer(BufReader::with_capacity(limits::CHUNK_BYTES, tar));
        while let Some(entry) = tar.next_entry().map_err(|error| chain(&error))? {
            if entry.is_directory() {
                continue;
            }
            let path = String::from_utf8_lossy(&entry.path);
            if !entry.is_file() {
                return Err(format!("`{}`, which is no file", escape(&path)));
            }
            take(&path, entry.size, &mut Data(&mut tar))?;
        }
    }
    left.keys().next().map_or(Ok(()), |missing| Err(format!("no layer {missing}, which was there before")))
}

/// The data of the entry that was read last. A tar that is cut off is an error.
struct Data<'a, R>(&'a mut TarReader<R>);

impl<R: BufRead> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_data(buffer).map_err(io::Error::other)
    }
}

/// Does what takes long and does not wait for anything. An interrupt does not wait for it, either: what it works on has to be
/// gone with whoever called.
pub async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    interrupt: &Interrupt,
) -> Result<T, Failure> {
    let (sender, receiver) = oneshot::channel();
    let thread = thread::Builder::new().spawn(move || {
        let _ = sender.send(work());
    });
    let broken = |message: String| Failure { status: ExitStatus::Unknown, message, hint: None };
    thread.map_err(|error| broken(format!("cannot start a thread: {error}")))?;
    until_interrupted(receiver, interrupt).await?.map_err(|_| broken("a thread ended before its work did".to_owned()))
}
