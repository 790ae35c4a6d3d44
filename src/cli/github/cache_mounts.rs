//! Filling cache mounts before the build that the input `cache-map` is for, and taking out what they hold after it.
//!
//! Nobody but BuildKit gets at a cache mount, and it does so for RUN alone. Thus each way is a build of its own, on the BuildKit
//! that builds the image, with a RUN that has the same mounts and a `tar`. What is in a mount is never unpacked on this machine:
//! times, owners and modes stay, and links and devices lead nowhere.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use serde_json::json;
use tempfile::NamedTempFile;

use super::cache_map::{FILE, Mapped, prepare};
use super::own::{OwnBuild, by_digest, on_thread, read_files};
use super::{Step, random};
use crate::build::{BuildOutcome, bytes, run};
use crate::environment::Environment;
use crate::failure::{ExitStatus, Failure, chain};
use crate::image::tar::TarReader;
use crate::limits;
use crate::network::RunNetwork;
use crate::reference::ImageReference;
use crate::report::github::{CacheMount, warning_command};
use crate::runtime::interrupt::Interrupt;
use crate::settings::{BuildSettings, RuntimeName};

/// Where a RUN here has the mount that it is about.
const MOUNT: &str = "/repro/mount";

/// Puts the tar with the number `$1` into the mount, which has nothing else then. Where that does not go well the mount is left
/// empty, as a new one is; where it does, a file says so. These are words that BusyBox and GNU tar both know.
const FILL: &str = r#"
empty() { find /repro/mount/. ! -name . -prune -exec rm -rf '{}' ';'; }
mkdir -p /repro/out && : >/repro/out/end || exit 1
if empty && tar --numeric-owner -xpf "/repro/in/$1.tar" -C /repro/mount; then
    : >"/repro/out/$1"
else
    empty
fi
"#;

/// Packs the mount into the tar with the number `$1`, unless that has more than `$2` bytes.
const TAKE: &str = r#"
tar=/repro/out/$1.tar failed=/repro/failed
mkdir -p /repro/out && : >/repro/out/end && rm -f "$failed" || exit 1
{ tar --numeric-owner -cf - -C /repro/mount . || : >"$failed"; } | head -c "$2" >"$tar" || : >"$failed"
if [ -e "$failed" ]; then rm -f "$tar"; fi
"#;

/// The mounts of a step, and what became of them.
pub struct CacheMounts {
    all: Vec<Mapped>,
    /// The image whose tar is run; nothing where there are no mounts.
    tool: Option<ImageReference>,
    told: Vec<CacheMount>,
    warnings: Vec<String>,
}

impl CacheMounts {
    /// Those of the build with these settings, which writes to `archive`.
    pub fn prepare(all: Vec<Mapped>, settings: &BuildSettings, archive: &Path) -> Result<Self, Failure> {
        let tool = if all.is_empty() { None } else { Some(prepare(&all, settings, archive)?) };
        let told = |one: &Mapped| CacheMount {
            target: one.mount.target.clone(),
            directory: one.directory.to_string_lossy().into_owned(),
            filled: false,
            taken: None,
        };
        Ok(Self { told: all.iter().map(told).collect(), all, tool, warnings: Vec::new() })
    }

    /// Fills the mounts of the build with these settings. What cannot be filled is told, and is no failure.
    pub async fn fill(
        &mut self,
        settings: &BuildSettings,
        step: &Step,
        environment: &Environment,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        match self.try_fill(settings, step, environment, interrupt).await {
            Ok(()) => Ok(()),
            Err(failure) => self.warn("nothing is filled into the cache mounts", failure),
        }
    }

    async fn try_fill(
        &mut self,
        settings: &BuildSettings,
        step: &Step,
        environment: &Environment,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let Some(tool) = &self.tool else { return Ok(()) };
        let build = OwnBuild::new(step)?;
        let mut there = Vec::new();
        for (at, one) in self.all.iter().enumerate().filter(|(_, one)| one.file().symlink_metadata().is_ok()) {
            let (from, to) = (one.file(), build.context().join(format!("{at}.tar")));
            match on_thread(move || bring(&from, &to), interrupt).await? {
                Ok(()) => there.push(at),
                Err(why) => self.warnings.push(starts_empty(&self.told[at], &why)),
            }
        }
        if there.is_empty() {
            return Ok(());
        }
        build.write_dockerfile(&self.dockerfile(tool, &there, "--mount=type=bind,target=/repro/in ", FILL)?)?;
        let settings = own_settings(&build, settings, environment)?;
        run(&settings, environment, interrupt).await?;
        let archive = build.archive();
        let read = move || {
            let mut names = Vec::new();
            read_files(&archive, |path, _, _| {
                names.push(path.to_owned());
                Ok(())
            })?;
            Ok(names)
        };
        let names =
            on_thread(read, interrupt).await?.map_err(|why: String| unusable(&format!("BuildKit wrote {why}")))?;
        for at in there {
            if names.contains(&at.to_string()) {
                self.told[at].filled = true;
            } else {
                self.warnings.push(starts_empty(&self.told[at], "it cannot be unpacked"));
            }
        }
        Ok(())
    }

    /// Takes out what the mounts of a build hold that has ended well. What cannot be taken out is told, and is no failure.
    pub async fn take_out(
        &mut self,
        (built, settings): (&BuildOutcome, &BuildSettings),
        step: &Step,
        environment: &Environment,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let mut settings = settings.clone();
        // Where the first that works was asked for, and what it pins by itself: it is these.
        settings.runtime.value = RuntimeName::of(built.built_with.runtime);
        settings.pin.value = Some(built.plan.pin.clone());
        if self.tool.is_some() && built.plan.no_cache {
            self.warnings.push("the image was built again without a cache, and without cache mounts".to_owned());
            self.told.iter_mut().for_each(|one| one.filled = false);
        }
        match self.try_take_out(&settings, step, environment, interrupt).await {
            Ok(()) => Ok(()),
            Err(failure) => self.warn("not all cache mounts are taken out", failure),
        }
    }

    async fn try_take_out(
        &mut self,
        settings: &BuildSettings,
        step: &Step,
        environment: &Environment,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let Some(tool) = &self.tool else { return Ok(()) };
        let every: Vec<usize> = (0..self.all.len()).collect();
        let build = OwnBuild::new(step)?;
        build.write_dockerfile(&self.dockerfile(tool, &every, "", TAKE)?)?;
        let settings = own_settings(&build, settings, environment)?;
        run(&settings, environment, interrupt).await?;
        let mut places = BTreeMap::new();
        let mut copies = BTreeMap::new();
        for (at, one) in self.all.iter().enumerate() {
            // Beside the one that it takes the place of; it goes with this function where that does not get so far.
            let place = tempfile::Builder::new().prefix(".cache.tar.").tempfile_in(&one.directory);
            let place = place.map_err(|error| unusable(&format!("`{}`: {error}", one.directory.display())))?;
            let copy = place.as_file().try_clone().map_err(|error| unusable(&error.to_string()))?;
            places.insert(at, place);
            copies.insert(format!("{at}.tar"), (at, copy));
        }
        let archive = build.archive();
        let taken = on_thread(move || write_tars(&archive, copies), interrupt).await?;
        let taken = taken.map_err(|why| unusable(&why))?;
        for (at, place) in places {
            let one = &self.all[at];
            let Some(size) = taken.get(&at) else {
                let why = format!("it cannot be packed, or has more than {}", bytes(limits::CACHE_MOUNT_BYTES));
                self.warnings.push(format!("the cache mount `{}` is not taken out: {why}", one.mount.target));
                continue;
            };
            replace(place, &one.file()).map_err(|error| unusable(&format!("`{}`: {error}", one.file().display())))?;
            self.told[at].taken = Some(*size);
        }
        Ok(())
    }

    /// One RUN for each of these mounts, as root, with the mount and its number. What they leave in `/repro/out` comes out.
    fn dockerfile(&self, tool: &ImageReference, which: &[usize], more: &str, script: &str) -> Result<String, Failure> {
        let image = by_digest(tool);
        // A RUN that was done before would not be done again.
        let once = random()?;
        let mut text = format!("FROM --platform=$BUILDPLATFORM {image} AS work\nUSER 0:0\nARG REPRO_RUN={once}\n");
        let most = limits::CACHE_MOUNT_BYTES.to_string();
        for at in which {
            let mount = self.all[*at].mount.flag(MOUNT);
            let command = json!(["/bin/sh", "-c", script, "sh", at.to_string(), most]);
            text += &["RUN ", more, &mount, " ", &command.to_string(), "\n"].concat();
        }
        text += "FROM scratch\nCOPY --from=work /repro/out/ /\n";
        Ok(text)
    }

    /// Tells why something is left out, unless all is to end.
    fn warn(&mut self, what: &str, failure: Failure) -> Result<(), Failure> {
        if matches!(failure.status, ExitStatus::Interrupted | ExitStatus::Terminated) {
            return Err(failure);
        }
        self.warnings.push(format!("{what}: {}", failure.message));
        Ok(())
    }

    /// Tells the runner what went wrong.
    pub fn tell(&self, step: &mut Step) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
            step.commands += &warning_command("repro", warning);
        }
    }

    /// What the summary says: the mounts, and what went wrong.
    pub fn told(&self) -> (&[CacheMount], &[String]) {
        (&self.told, &self.warnings)
    }
}

/// How such a build is done: on the state that the other one uses, and no network.
fn own_settings(build: &OwnBuild, like: &BuildSettings, environment: &Environment) -> Result<BuildSettings, Failure> {
    let flags = [("--compression", "uncompressed")];
    let mut settings = build.settings(&flags, like, environment)?;
    settings.network.run = RunNetwork::None;
    Ok(settings.with_cache_mounts_of(like))
}

fn starts_empty(CacheMount { target, directory, .. }: &CacheMount, why: &str) -> String {
    format!("the cache mount `{target}` starts empty: `{directory}/{FILE}`: {why}")
}

/// A file of the job as one of the build's own: the very same where that can be, else a copy. Links are not followed. One that was
/// cut off is found here: each tar takes the end of a file for that of the archive, if it has to.
fn bring(from: &Path, to: &Path) -> Result<(), String> {
    let told = |error: io::Error| error.to_string();
    if fs::hard_link(from, to).is_err() {
        let flags = i32::try_from(OFlags::NOFOLLOW.bits()).map_err(|error| error.to_string())?;
        let source = OpenOptions::new().read(true).custom_flags(flags).open(from).map_err(told)?;
        let mut copy = File::create_new(to).map_err(told)?;
        io::copy(&mut source.take(limits::CACHE_MOUNT_BYTES + 1), &mut copy).map_err(told)?;
    }
    let found = to.symlink_metadata().map_err(told)?;
    if !found.is_file() {
        return Err("it is no file".to_owned());
    }
    if found.len() > limits::CACHE_MOUNT_BYTES {
        return Err(format!("it has more than {} bytes", limits::CACHE_MOUNT_BYTES));
    }
    let file = File::open(to).map_err(told)?;
    let mut tar = TarReader::new(BufReader::with_capacity(limits::CHUNK_BYTES, file));
    while tar.next_entry().map_err(|error| chain(&error))?.is_some() {}
    Ok(())
}

/// Writes the tars of an image to their files; gives the sizes of those that are there.
fn write_tars(archive: &Path, mut files: BTreeMap<String, (usize, File)>) -> Result<BTreeMap<usize, u64>, String> {
    let mut sizes = BTreeMap::new();
    let mut left = limits::CACHE_MOUNT_BYTES;
    read_files(archive, |path, size, tar| {
        let Some((at, mut file)) = files.remove(path) else { return Ok(()) };
        let most = limits::CACHE_MOUNT_BYTES;
        left = left.checked_sub(size).ok_or_else(|| format!("they have more than {most} bytes together"))?;
        let mut tar = tar.take(size);
        let written = io::copy(&mut tar, &mut file).and_then(|count| file.flush().map(|()| count));
        sizes.insert(at, written.map_err(|error| error.to_string())?);
        Ok(())
    })?;
    Ok(sizes)
}

/// Puts a file in its place, whole or not at all.
fn replace(place: NamedTempFile, file: &Path) -> io::Result<()> {
    place.persist(file).map(drop).map_err(|error| error.error)
}

fn unusable(why: &str) -> Failure {
    Failure { status: ExitStatus::Unknown, message: why.to_owned(), hint: None }
}

#[cfg(test)]
mod tests {
    use super::super::cache_map::parse;
    use super::super::inputs::Inputs;
    use super::*;

    fn mounts(directory: &Path, map: &str) -> CacheMounts {
        let map = map.replace("TEMP", directory.to_str().unwrap());
        let environment: Environment = [("INPUT_CACHE_MAP", map.as_str())].into_iter().collect();
        let all = parse(Inputs::new(&environment), &environment).unwrap();
        CacheMounts { all, tool: None, told: Vec::new(), warnings: Vec::new() }
    }

    #[test]
    fn a_dockerfile_has_one_run_for_each_mount_and_runs_again_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let mounts = mounts(directory.path(), r#"{"TEMP/a": "/x", "TEMP/b": {"target": "/y", "id": "go", "uid": 7}}"#);
        let tool: ImageReference = format!("h.example/buildkit:v1@sha256:{}", "0a".repeat(32)).parse().unwrap();
        let text = mounts.dockerfile(&tool, &[1], "--mount=type=bind,target=/repro/in ", FILL).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let [from, user, once, run, "FROM scratch", "COPY --from=work /repro/out/ /"] = lines.as_slice() else {
            panic!("{text}")
        };
        assert_eq!(*from, format!("FROM --platform=$BUILDPLATFORM {} AS work", by_digest(&tool)));
        assert!(!from.contains(":v1") && *user == "USER 0:0", "{text}");
        let flags = "RUN --mount=type=bind,target=/repro/in --mount=type=cache,id=go,target=/repro/mount,uid=7,gid=0,mode=0755 ";
        let command: Vec<String> = serde_json::from_str(run.strip_prefix(flags).unwrap()).unwrap();
        assert_eq!(command, ["/bin/sh", "-c", FILL, "sh", "1", "10737418240"]);
        let again = mounts.dockerfile(&tool, &[1], "--mount=type=bind,target=/repro/in ", FILL).unwrap();
        assert!(once.starts_with("ARG REPRO_RUN=repro_") && !again.contains(once), "{text}");
        let both = mounts.dockerfile(&tool, &[0, 1], "", TAKE).unwrap();
        assert_eq!(both.matches("\nRUN --mount=type=cache,id=").count(), 2, "{both}");
    }

    #[test]
    fn only_a_whole_tar_is_brought() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(600);
        tar.append_data(&mut header, "a", &[1; 600][..]).unwrap();
        let tar = tar.into_inner().unwrap();
        let brought = |name: &str| bring(&at(name), &at(&format!("{name}, brought")));
        fs::write(at("whole"), &tar).unwrap();
        brought("whole").unwrap();
        assert_eq!(fs::read(at("whole, brought")).unwrap(), tar);
        // Behind the entry, in its data, in its header, and no tar at all.
        for (name, bytes) in
            [("end", &tar[..1536]), ("data", &tar[..700]), ("header", &tar[..100]), ("none", &[7; 512])]
        {
            fs::write(at(name), bytes).unwrap();
            assert!(brought(name).is_err(), "{name}");
        }
        std::os::unix::fs::symlink(at("whole"), at("link")).unwrap();
        assert_eq!(brought("link").unwrap_err(), "it is no file");
        File::create(at("large")).unwrap().set_len(limits::CACHE_MOUNT_BYTES + 1).unwrap();
        assert_eq!(brought("large").unwrap_err(), "it has more than 10737418240 bytes");
    }
}
