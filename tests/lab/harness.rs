//! The laboratory as the tests see it: the ways to build, and one run of `repro` with what it left behind.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::foreign::Daemon;

/// The ways to build: a runtime, and who runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Docker,
    Podman,
    Buildkitd,
    PodmanUser,
    PodmanRootless,
    BuildkitdUser,
    /// A daemon of somebody else, which each home has one of.
    Remote,
}

impl Way {
    pub const ALL: [Self; 7] = [
        Self::Docker,
        Self::Podman,
        Self::Buildkitd,
        Self::PodmanUser,
        Self::PodmanRootless,
        Self::BuildkitdUser,
        Self::Remote,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Buildkitd => "buildkitd",
            Self::PodmanUser => "podman-user",
            Self::PodmanRootless => "podman-rootless",
            Self::BuildkitdUser => "buildkitd-user",
            Self::Remote => "remote",
        }
    }

    pub const fn runtime(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman | Self::PodmanUser | Self::PodmanRootless => "podman",
            Self::Buildkitd | Self::BuildkitdUser => "buildkitd",
            Self::Remote => "remote",
        }
    }

    /// Whether RUN happens in a user namespace.
    pub const fn is_rootless(self) -> bool {
        matches!(self, Self::PodmanUser | Self::PodmanRootless | Self::BuildkitdUser)
    }

    /// Whether the client is buildx.
    pub const fn has_buildx(self) -> bool {
        matches!(self, Self::Docker | Self::Remote)
    }

    const fn takes_rootless_image(self) -> bool {
        matches!(self, Self::PodmanRootless | Self::BuildkitdUser)
    }
}

/// The ways that this run tests and that are `repro`'s own: there is nothing of its own on somebody else's daemon.
pub fn ways() -> &'static [Way] {
    let all = every_way();
    all.strip_suffix(&[Way::Remote]).unwrap_or(all)
}

/// The first of these for each runtime: for what is the same code on all ways of a runtime.
pub fn runtimes() -> Vec<Way> {
    let mut seen = BTreeSet::new();
    ways().iter().copied().filter(|way| seen.insert(way.runtime())).collect()
}

/// The ways that this run tests, printed once.
pub fn every_way() -> &'static [Way] {
    static WAYS: OnceLock<Vec<Way>> = OnceLock::new();
    WAYS.get_or_init(|| {
        let asked = std::env::var("REPRO_TEST_ENGINES").unwrap_or_default();
        let named: Vec<&str> = asked.split([',', ' ']).filter(|name| !name.is_empty()).collect();
        for name in &named {
            let known = *name == "none" || Way::ALL.iter().any(|way| way.name() == *name);
            assert!(known, "REPRO_TEST_ENGINES names `{name}`; the ways are {:?} or none", Way::ALL.map(Way::name));
        }
        let tested: Vec<Way> =
            Way::ALL.into_iter().filter(|way| named.is_empty() || named.contains(&way.name())).collect();
        let out: Vec<&str> = Way::ALL.iter().filter(|way| !tested.contains(way)).map(|way| way.name()).collect();
        // Past the capture of the test runner: whoever reads the log must see what was left out.
        let line = format!(
            "laboratory: tested are {:?}, left out by REPRO_TEST_ENGINES are {out:?}\n",
            tested.iter().map(|way| way.name()).collect::<Vec<_>>()
        );
        let _ = fs::OpenOptions::new().append(true).open("/dev/stderr").map(|mut err| {
            use std::io::Write as _;
            let _ = err.write_all(line.as_bytes());
        });
        tested
    })
}

/// A variable of `tests/lab/lab env`.
pub fn lab(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "the laboratory is not there: {name} is not set. Run `make test`, or `tests/lab/lab up` and \
             `eval \"$(tests/lab/lab env)\"`; REPRO_TEST_ENGINES=none leaves these tests out by name"
        )
    })
}

pub fn lab_script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/lab")
}

/// A command as root, or as the plain user of the laboratory with variables of its own.
pub fn as_way(way: Way, variables: &[(&str, &OsStr)], program: &Path) -> Command {
    if !way.is_rootless() {
        let mut command = Command::new(program);
        command.envs(variables.iter().copied());
        return command;
    }
    let mut command = Command::new(lab_script());
    command.arg("as-user");
    for (name, value) in variables {
        let mut assignment = OsString::from(name);
        assignment.push("=");
        assignment.push(value);
        command.arg(assignment);
    }
    command.arg(program);
    command
}

/// A home for builds, readable by the plain user, with builders and caches that no other home has.
///
/// What makes them its own is a line in the buildkitd.toml: builders belong to one configuration. Dropping it removes them.
struct Home {
    root: PathBuf,
    tmp: PathBuf,
    binary: PathBuf,
    toml: PathBuf,
    remote: OnceLock<Daemon>,
}

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// `repro` where the plain user reaches it, copied once: each home has a name of its own for it.
fn copied_binary() -> &'static Path {
    static COPIED: OnceLock<PathBuf> = OnceLock::new();
    COPIED.get_or_init(|| {
        let directory = PathBuf::from(lab("LAB_SHARE")).join(format!("test-{}-binary", std::process::id()));
        make_directory(&directory, 0o755);
        let binary = directory.join("repro");
        fs::copy(env!("CARGO_BIN_EXE_repro"), &binary).unwrap();
        binary
    })
}

impl Home {
    fn new() -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(lab("LAB_SHARE")).join(format!("test-{}-{number}", std::process::id()));
        make_directory(&root, 0o755);
        let binary = root.join("repro");
        fs::hard_link(copied_binary(), &binary).unwrap();
        let toml = root.join("buildkitd.toml");
        let base = fs::read_to_string(lab("LAB_BUILDKITD_TOML")).unwrap();
        fs::write(&toml, format!("# {}\n{base}", root.display())).unwrap();
        for user in ["root", "user"] {
            make_directory(&root.join(user), 0o777);
        }
        // Short: a socket's path has at most 107 bytes.
        let tmp = PathBuf::from(format!("/tmp/repro-test.{}.{number}", std::process::id()));
        make_directory(&tmp, 0o1777);
        Self { root, tmp, binary, toml, remote: OnceLock::new() }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(self.remote.take());
        remove(&self.root, &self.tmp);
    }
}

/// The home that a test has for itself until it ends; then another test gets it, with what is in its caches. Two tests in one
/// home would wait for each other, because Podman and buildkitd build one after another.
struct Lease(Arc<Home>);

static FREE: Mutex<Vec<Arc<Home>>> = Mutex::new(Vec::new());

thread_local! {
    /// Each test has a thread of its own.
    static LEASE: RefCell<Option<Lease>> = const { RefCell::new(None) };
}

impl Lease {
    fn take() -> Self {
        static SWEPT: OnceLock<()> = OnceLock::new();
        SWEPT.get_or_init(remove_leftovers);
        let free = FREE.lock().unwrap().pop();
        Self(free.unwrap_or_else(|| Arc::new(Home::new())))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        FREE.lock().unwrap().push(self.0.clone());
    }
}

/// The place of one test: a directory in a home.
pub struct Bench {
    home: Arc<Home>,
    place: PathBuf,
}

impl Bench {
    /// A place in a home that tests have one after another which need no builder of their own: making one takes seconds. It
    /// stays until the next run.
    pub fn shared(name: &str, way: Way) -> Self {
        Self::plain(&format!("{name}, {}", way.name()))
    }

    /// The same for no way of its own, with no odd letter in its path but those of the name.
    pub fn plain(name: &str) -> Self {
        let home = LEASE.with_borrow_mut(|lease| lease.get_or_insert_with(Lease::take).0.clone());
        Self::at(home, name)
    }

    /// A place with builders and caches of its own.
    pub fn alone(name: &str) -> Self {
        Self::at(Arc::new(Home::new()), name)
    }

    fn at(home: Arc<Home>, name: &str) -> Self {
        let place = home.root.join(name);
        make_directory(&place, 0o755);
        for user in ["root", "user"] {
            make_directory(&place.join(user), 0o777);
        }
        Self { home, place }
    }

    /// The directory of temporary files.
    pub fn temporary(&self) -> &Path {
        &self.home.tmp
    }

    /// What stands in every path and command line of this home.
    pub fn home(&self) -> &Path {
        &self.home.root
    }

    /// Where a way keeps its builders and caches.
    pub fn state(&self, way: Way) -> PathBuf {
        self.home.root.join(user(way)).join("state/repro")
    }

    /// Adds to the configuration of this home's builders.
    pub fn configure(&self, more: &str) {
        let text = fs::read_to_string(&self.home.toml).unwrap();
        fs::write(&self.home.toml, text + more).unwrap();
    }

    /// A directory that both users can read, and whose name says what it is for.
    pub fn directory(&self, name: &str) -> PathBuf {
        let directory = self.place.join(name);
        make_directory(&directory, 0o755);
        directory
    }

    /// A context with these files, in directories that are made where they are missing.
    pub fn context(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let context = self.directory(name);
        for (file, contents) in files {
            let path = context.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        context
    }

    /// Where a way's results go.
    pub fn output(&self, way: Way, name: &str) -> PathBuf {
        self.place.join(user(way)).join(format!("{}-{name}", way.name()))
    }

    /// Makes a directory, without what is in it, belong to who runs the way.
    #[expect(clippy::unused_self, reason = "it reads like the others")]
    pub fn give(&self, way: Way, directory: &Path) {
        if way.is_rootless() {
            assert!(Command::new("chown").arg(lab("LAB_USER")).arg(directory).status().unwrap().success());
        }
    }

    /// `repro` for a way, with a home of this bench.
    pub fn repro(&self, way: Way) -> Command {
        self.program(way, &self.home.binary)
    }

    /// The same with further variables.
    pub fn repro_with(&self, way: Way, variables: &[(&str, &OsStr)]) -> Command {
        self.program_with(way, &self.home.binary, variables)
    }

    /// Another program with the same environment.
    pub fn program(&self, way: Way, program: &Path) -> Command {
        self.program_with(way, program, &[])
    }

    fn program_with(&self, way: Way, program: &Path, more: &[(&str, &OsStr)]) -> Command {
        let directories = self.directories(way);
        let variables = directories.iter().map(|(name, directory)| (*name, directory.as_os_str()));
        let variables: Vec<_> = variables.chain(more.iter().copied()).collect();
        let mut command = as_way(way, &variables, program);
        command.env_remove("REPRO_BUILDKIT_IMAGE").env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// The variables that say where this home's builders, caches and temporary files are.
    pub fn directories(&self, way: Way) -> [(&'static str, PathBuf); 3] {
        let state = self.home.root.join(user(way)).join("state");
        [("XDG_STATE_HOME", state), ("XDG_CACHE_HOME", Self::cache(way)), ("TMPDIR", self.home.tmp.clone())]
    }

    /// The binaries of BuildKit are checked at each use and may be shared between tests.
    fn cache(way: Way) -> PathBuf {
        let share = PathBuf::from(lab("LAB_SHARE")).join("test-cache");
        let cache = share.join(user(way));
        if !cache.exists() {
            fs::create_dir_all(&cache).unwrap();
            if way.is_rootless() {
                assert!(Command::new("chown").arg(lab("LAB_USER")).arg(&cache).status().unwrap().success());
            }
        }
        cache
    }

    /// The arguments that every build in the laboratory needs: its registry is on the loopback of the host, over plain http.
    pub fn arguments(&self, way: Way) -> Vec<OsString> {
        if way == Way::Remote {
            let words = ["build", "--addr", &self.daemon().address(), "--buildkit-image", &lab("LAB_BUILDKIT_V0_19_0")];
            return words.map(OsString::from).to_vec();
        }
        let variable =
            if way.takes_rootless_image() { "LAB_BUILDKIT_V0_19_0_ROOTLESS" } else { "LAB_BUILDKIT_V0_19_0" };
        let mut arguments: Vec<OsString> =
            ["build", "--runtime", way.runtime(), "--builder-network", "host"].map(OsString::from).to_vec();
        arguments.extend(["--buildkit-image".into(), lab(variable).into()]);
        arguments.extend(["--buildkitd-config".into(), self.home.toml.clone().into_os_string()]);
        if way == Way::PodmanRootless {
            arguments.push("--rootless".into());
        }
        arguments
    }

    /// The daemon of somebody else.
    pub fn daemon(&self) -> &Daemon {
        let home = &self.home;
        home.remote
            .get_or_init(|| Daemon::start("V0_19_0", &home.root.join("remote"), &home.tmp.join("remote.sock"), &[]))
    }

    /// The same arguments with another BuildKit.
    pub fn arguments_with(&self, way: Way, image: &str) -> Vec<OsString> {
        let mut arguments = self.arguments(way);
        let at = arguments.iter().position(|argument| argument == "--buildkit-image").unwrap();
        arguments[at + 1] = image.into();
        arguments
    }

    /// Builds, and returns what was built; panics with everything that was said where it fails.
    pub fn build(&self, way: Way, output: &Path, more: &[OsString], context: &Path) -> Built {
        let result = self.try_build(way, output, more, context);
        assert!(result.status.success(), "{} {}:\n{}", way.name(), context.display(), said(&result));
        Built::read(&result)
    }

    pub fn try_build(&self, way: Way, output: &Path, more: &[OsString], context: &Path) -> Output {
        let mut command = self.repro(way);
        command.args(self.arguments(way)).arg("-o").arg(output).args(more).arg(context);
        command.output().unwrap()
    }
}

/// Removes what runs left behind that are over.
fn remove_leftovers() {
    let share = PathBuf::from(lab("LAB_SHARE"));
    for name in names(&share) {
        let Some((pid, number)) = name.strip_prefix("test-").and_then(|rest| rest.split_once('-')) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            remove(&share.join(&name), &PathBuf::from(format!("/tmp/repro-test.{pid}.{number}")));
        }
    }
}

/// The processes that are the `repro` of this home.
pub fn processes_from(root: &Path) -> Vec<String> {
    let Ok(binary) = root.join("repro").canonicalize() else { return Vec::new() };
    let is_ours = |pid: &String| fs::read_link(Path::new("/proc").join(pid).join("exe")).is_ok_and(|exe| exe == binary);
    names(Path::new("/proc")).into_iter().filter(is_ours).collect()
}

/// Ends what a test left running that failed: a build that never ends by itself would hold what others want to remove.
fn end_builds(root: &Path) {
    let running = processes_from(root);
    if running.is_empty() {
        return;
    }
    let _ = Command::new("kill").args(&running).output();
    let start = Instant::now();
    while !processes_from(root).is_empty() && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Removes a bench: its builds, its builders, its volumes, its files.
fn remove(root: &Path, tmp: &Path) {
    end_builds(root);
    let state = root.join("root/state/repro");
    for instance in names(&state.join("buildx/instances")) {
        let _ = Command::new("docker")
            .env("BUILDX_CONFIG", state.join("buildx"))
            .args(["buildx", "rm", "--force", &instance])
            .output();
    }
    for way in [Way::Podman, Way::PodmanUser] {
        for lock in names(&root.join(user(way)).join("state/repro/locks")) {
            if lock.starts_with("repro-") {
                let _ = as_way(way, &[], Path::new("podman")).args(["volume", "rm", "--force", &lock]).output();
            }
        }
    }
    let _ = Command::new("rm").arg("-rf").args([root, tmp]).output();
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Who runs a way, as a directory's name.
const fn user(way: Way) -> &'static str {
    if way.is_rootless() { "user" } else { "root" }
}

fn make_directory(path: &Path, mode: u32) {
    fs::create_dir_all(path).unwrap();
    open_to_all(path, mode);
}

pub fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// stdout and stderr of a run, for messages. The reason comes first: a long output is cut where it is kept.
pub fn said(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let why = stderr.lines().filter(|line| line.starts_with("error: ")).collect::<Vec<_>>().join("\n");
    format!("{}\n{why}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", output.status)
}

/// What a build printed.
#[derive(Debug, Clone)]
pub struct Built {
    rows: BTreeMap<String, String>,
    pub warnings: Vec<String>,
}

impl Built {
    pub fn read(output: &Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let rows = stdout.lines().filter_map(|line| line.split_once("  "));
        let stderr = String::from_utf8_lossy(&output.stderr);
        Self {
            rows: rows.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect(),
            warnings: stderr.lines().filter_map(|line| line.strip_prefix("warning: ")).map(str::to_owned).collect(),
        }
    }

    pub fn row(&self, name: &str) -> &str {
        self.rows.get(name).map_or_else(|| panic!("no `{name}` in {:?}", self.rows), String::as_str)
    }

    pub fn digest(&self) -> &str {
        self.row("image digest")
    }

    pub fn warns_of(&self, text: &str) -> bool {
        self.warnings.iter().any(|warning| warning.contains(text))
    }
}

/// What another program prints that has to succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Words as arguments.
pub fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// `BASE=…` of the laboratory's small base, as build arguments.
pub fn base() -> Vec<OsString> {
    vec!["--build-arg".into(), format!("BASE={}", lab("LAB_BASE_SMALL")).into()]
}
