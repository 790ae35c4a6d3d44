//! `repro` or upstream's repro-build, called as its user calls it, on the engines of the laboratory.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{Bench, Way, lab};

/// Whether a case holds, or in one line why not.
pub type Verdict = Result<(), String>;

/// Ends a case with the reason where a condition does not hold.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
pub(super) use ensure;

/// Which of the two.
pub enum Program {
    Repro,
    /// A release of repro-build, with the state of buildx in which `tests/lab/peers` made its builder beforehand: there is no
    /// other way to give it the laboratory's registry.
    Upstream {
        command: PathBuf,
        state: PathBuf,
    },
}

/// A program with a place for one case. Its paths have no odd letters: those are a case of their own.
pub struct Subject {
    program: Program,
    bench: Bench,
}

impl Subject {
    pub fn new(program: Program, number: u32) -> Self {
        let name = if matches!(program, Program::Repro) { "repro" } else { "upstream" };
        Self { program, bench: Bench::plain(&format!("defect-{number}-{name}")) }
    }

    /// What `--version` has to say.
    pub fn version(&self) -> String {
        match self.program {
            Program::Repro => env!("CARGO_PKG_VERSION").to_owned(),
            Program::Upstream { .. } => lab("UPSTREAM_RELEASE"),
        }
    }

    pub fn directory(&self, name: &str) -> PathBuf {
        self.bench.directory(name)
    }

    pub fn context(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        self.bench.context(name, files)
    }

    /// A context whose RUN works without a base: upstream's Podman cannot reach the laboratory's registry from a build.
    pub fn context_with_busybox(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let context = self.context(name, files);
        fs::copy(lab("LAB_BUSYBOX"), context.join("busybox")).unwrap();
        context
    }

    /// The program itself, for calls that build nothing.
    pub fn command(&self, way: Way) -> Command {
        let Program::Upstream { command, state } = &self.program else { return self.bench.repro(way) };
        let mut command = Command::new(command);
        let kept = ["PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF"];
        let kept = kept.map(|name| (name, std::env::var_os(name).unwrap_or_default()));
        command.env_clear().envs(kept).env("BUILDX_CONFIG", state).env("BUILDKIT_PROGRESS", "plain");
        command.env("CONTAINERS_REGISTRIES_CONF", self.docker_hub()).current_dir(self.directory("working-directory"));
        command
    }

    /// Upstream's Podman asks Docker Hub whatever the name of an image says: here the laboratory's registry answers.
    fn docker_hub(&self) -> PathBuf {
        let file = self.directory("registries").join("registries.conf");
        let location = lab("LAB_REGISTRY");
        let text = format!("[[registry]]\nprefix = \"docker.io\"\nlocation = \"{location}\"\ninsecure = true\n");
        let text = format!("{text}[[registry]]\nlocation = \"{location}\"\ninsecure = true\n");
        fs::write(&file, text).unwrap();
        file
    }

    /// A call that builds, with the words that every build of the program needs here.
    pub fn build(&self, way: Way, context: &Path) -> Call<'_> {
        let arguments = match &self.program {
            Program::Repro => self.bench.arguments(way),
            Program::Upstream { .. } => {
                let pin = lab("LAB_BUILDKIT_V0_31_1");
                let (name, rest) = pin.split_once('/').unwrap();
                let pin = if way == Way::Podman { rest.to_owned() } else { format!("{name}/{rest}") };
                ["build", "--runtime", way.runtime(), "--buildkit-image", &pin].map(OsString::from).to_vec()
            }
        };
        let output = self.directory("results").join(format!("{}.tar", way.name()));
        let variables = Vec::new();
        Call { subject: self, way, arguments, variables, output, context: context.to_owned(), stdin: None }
    }
}

/// A build that is still to be made.
pub struct Call<'a> {
    subject: &'a Subject,
    way: Way,
    arguments: Vec<OsString>,
    variables: Vec<(String, OsString)>,
    output: PathBuf,
    context: PathBuf,
    stdin: Option<File>,
}

impl Call<'_> {
    pub fn with(mut self, words: &[&str]) -> Self {
        self.arguments.extend(words.iter().map(OsString::from));
        self
    }

    /// A flag whose value is a path, or begins with something before it.
    pub fn with_path(self, flag: &str, prefix: &str, path: &Path) -> Self {
        self.with(&[flag, &format!("{prefix}{}", path.display())])
    }

    /// Leaves out a flag and its value.
    pub fn without(mut self, flag: &str) -> Self {
        let at = self.arguments.iter().position(|word| word == flag).unwrap();
        self.arguments.drain(at..at + 2);
        self
    }

    pub fn pinned(self, image: &str) -> Self {
        self.without("--buildkit-image").with(&["--buildkit-image", image])
    }

    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn output(mut self, output: &Path) -> Self {
        output.clone_into(&mut self.output);
        self
    }

    pub fn stdin(mut self, file: &File) -> Self {
        self.stdin = Some(file.try_clone().unwrap());
        self
    }

    pub fn run(self) -> Ran {
        let mut command = self.subject.command(self.way);
        command.envs(self.variables).args(self.arguments).arg("--output").arg(&self.output).arg(&self.context);
        if let Some(file) = self.stdin {
            command.stdin(Stdio::from(file));
        }
        Ran { result: command.output().unwrap(), archive: self.output }
    }
}

/// A call that is over.
pub struct Ran {
    pub result: Output,
    archive: PathBuf,
}

impl Ran {
    pub fn succeeded(&self) -> bool {
        self.result.status.success()
    }

    pub fn archive_exists(&self) -> bool {
        self.archive.exists()
    }

    /// Everything that was said.
    pub fn text(&self) -> String {
        let [stdout, stderr] = [&self.result.stdout, &self.result.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        format!("{stdout}\n{stderr}")
    }

    /// All that was said by a call that has to succeed.
    pub fn said(&self) -> Result<String, String> {
        let text = self.text();
        let end = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        ensure!(self.succeeded(), "{}: {}", self.result.status, end.trim());
        Ok(text)
    }

    /// The image of a build that has to succeed.
    pub fn image(&self) -> Result<Image, String> {
        self.said()?;
        Image::load(&self.archive)
    }
}

/// An image of one platform, read by tar and not by `repro`.
pub struct Image {
    archive: PathBuf,
    pub digest: String,
    pub manifest: Value,
    config: Value,
}

impl Image {
    fn load(archive: &Path) -> Result<Self, String> {
        let index = document(archive, "index.json")?;
        let digest = index["manifests"][0]["digest"].as_str().unwrap_or_default().to_owned();
        let manifest = document(archive, &blob(&digest))?;
        let config = document(archive, &blob(manifest["config"]["digest"].as_str().unwrap_or_default()))?;
        Ok(Self { archive: archive.to_owned(), digest, manifest, config })
    }

    /// When it says it was made.
    pub fn created(&self) -> &str {
        self.config["created"].as_str().unwrap_or_default()
    }

    /// A file that the last layer to have it holds.
    pub fn file(&self, name: &str) -> Option<String> {
        let layers = self.manifest["layers"].as_array().unwrap();
        layers.iter().rev().find_map(|layer| {
            let script = "tar -xOf \"$1\" \"$2\" | tar -xOz \"$3\" 2>/dev/null";
            let mut command = Command::new("sh");
            let command = command.args(["-c", script, "sh"]).arg(&self.archive);
            let output = command.arg(blob(layer["digest"].as_str().unwrap())).arg(name).output().unwrap();
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        })
    }
}

/// A document of an archive.
pub fn document(archive: &Path, name: &str) -> Result<Value, String> {
    let output = Command::new("tar").arg("-xOf").arg(archive).arg(name).output().unwrap();
    serde_json::from_slice(&output.stdout).map_err(|error| format!("no `{name}` in {}: {error}", archive.display()))
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}
