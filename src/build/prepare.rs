//! From settings to steps: the runtime, the pin, the plan, and the ground that a build stands on.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::choose::{engine_image, progress};
use super::error::BuildError;
use super::lock::held_by_processes;
use super::tenant::{ensure_tenant, load_tenant};
use crate::dockerfile::Dockerfile;
use crate::environment::Environment;
use crate::kept::limit::Limit;
use crate::kept::run::{Run, random_name};
use crate::network::{Route, RunNetwork};
use crate::output::{Invoker, OutputError, Place, Scratch, is_result, require_replaceable, resolve_directory};
use crate::pin::{Variant, advisories_for};
use crate::plan::{BuildPlan, Cache, CacheKind, ContextModes, NamedContext, own_ignore_file};
use crate::reference::ImageSource;
use crate::runtime::credentials::registries_in;
use crate::runtime::detect::Runtime;
use crate::runtime::engine::Engine;
use crate::runtime::interrupt::Interrupt;
use crate::runtime::script::Placeholder;
use crate::runtime::steps::{Step, Steps};
use crate::runtime::{Site, binaries, binaries_options, buildctl, buildkitd, copies, docker, isolate, podman, remote};
use crate::settings::{BuildSettings, Output, RuntimeName, SettingsError};

/// What is left of a socket's 107 bytes for the directory of temporary files.
const LONGEST_TEMPORARY: usize = 64;

/// How `statfs(2)` calls a tmpfs.
#[cfg(target_os = "linux")]
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

/// The paths and texts that belong to one run.
#[derive(Debug, Clone)]
pub struct Names {
    private: PathBuf,
    unique: String,
    state: PathBuf,
    cache: PathBuf,
}

impl Names {
    /// Those of a run that is only written down.
    pub fn placeholder(environment: &Environment, placeholder: &Placeholder) -> Result<Self, BuildError> {
        let (state, cache) = directories(environment)?;
        Ok(Self { private: placeholder.directory().to_owned(), unique: placeholder.unique().to_owned(), state, cache })
    }
}

/// The ground that a build stands on: directories of its own, none of them in the context, and where results go.
pub struct Grounds {
    private: TempDir,
    unique: String,
    /// Where all this is written down, for the case that nobody is left to remove it. Dropped after what it names.
    pub run: Run,
    /// How temporary files are called.
    pub scratch: Scratch,
    /// Where builders, caches and locks are kept.
    pub state: PathBuf,
    cache: PathBuf,
    /// Where the archive goes, unless it goes to stdout.
    pub archive: Option<Place>,
    /// Where the metadata go.
    pub metadata: Option<Place>,
}

impl Grounds {
    /// Makes the directories, and looks whether results can be written, before anything runs.
    pub fn make(settings: &BuildSettings, environment: &Environment) -> Result<Self, BuildError> {
        check_results(settings)?;
        let (state, cache) = directories(environment)?;
        let temporary = state.join("tmp");
        for directory in [&state, &temporary] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|source| BuildError::Own { path: directory.clone(), source })?;
        }
        let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let read: Vec<&Path> = settings.directories().collect();
        let written = settings.cache_to.iter().filter_map(Cache::directory);
        for path in [state.as_path(), cache.as_path()].into_iter().chain(written) {
            refuse_in_context(&read, &resolved(path))?;
        }
        refuse_redirection(settings)?;
        let unique = random_text()?;
        let parent = temporary_directory(&read, environment)?;
        let private = parent.join(format!("repro.{unique}"));
        let own = |source| BuildError::Own { path: state.clone(), source };
        if settings.remote.is_some() {
            ensure_tenant(&state, &random_text()?).map_err(own)?;
        }
        let mut run = Run::begin(&state, &unique, &private).map_err(own)?;
        // BuildKit's metadata in there name the build's arguments.
        let mode = fs::Permissions::from_mode(0o700);
        let mut builder = tempfile::Builder::new();
        let private = builder.prefix(&format!("repro.{unique}")).rand_bytes(0).permissions(mode).tempdir_in(&parent);
        let private = private.map_err(|source| BuildError::Own { path: parent, source })?;
        let scratch = Scratch { directory: temporary, prefix: run.prefix() };
        let invoker = Invoker::of(environment);
        let place = |path: &PathBuf| Place::prepare(path, &read, &scratch, invoker);
        let archive = match &settings.output.value {
            Output::Stdout => None,
            Output::File(path) => Some(place(path)?),
        };
        let metadata = settings.metadata_file.as_ref().map(place).transpose()?;
        let places = [&archive, &metadata].into_iter().flatten().map(|place| place.directory().as_os_str());
        let places = places.chain([scratch.directory.as_os_str()]).map(OsStr::to_owned).collect();
        run.note(|record| record.places = places).map_err(own)?;
        Ok(Self { private, unique, run, scratch, state, cache, archive, metadata })
    }

    /// The names of this run.
    #[must_use]
    pub fn names(&self) -> Names {
        let private = self.private.path().to_owned();
        Names { private, unique: self.unique.clone(), state: self.state.clone(), cache: self.cache.clone() }
    }

    /// Writes down what the run will use and make, before it does.
    pub fn write_down(&mut self, prepared: &Prepared) -> Result<(), BuildError> {
        let steps = &prepared.steps;
        let held = held_by_processes(prepared).map(|path| path.as_os_str().to_owned());
        let note = self.run.note(|record| {
            record.uses = Some(vec![steps.uses.clone(), prepared.plan.pin.digest.hex().to_owned()]);
            record.cleanup = steps.abort.iter().chain(&steps.cleanup).cloned().collect();
            record.state = steps.state.as_ref().map(|state| state.path.as_os_str().to_owned());
            record.throw_away = steps.state.as_ref().is_some_and(|state| state.throw_away);
            record.held = held;
            record.builder = throw_away_builder(steps).map(|path| path.as_os_str().to_owned());
        });
        note.map_err(|source| BuildError::Own { path: self.state.clone(), source })
    }

    /// Whether a result goes into the context itself.
    #[must_use]
    pub fn writes_into_context(&self) -> bool {
        [&self.archive, &self.metadata].into_iter().flatten().any(Place::is_in_context)
    }
}

/// Where the directory for the files of this run alone is made.
///
/// A context that holds the directory for temporary files would see this build's own; and a socket's path has at most 107
/// bytes, which a long TMPDIR uses up.
fn temporary_directory(read: &[&Path], environment: &Environment) -> Result<PathBuf, BuildError> {
    let candidates = [environment.path("TMPDIR"), Some(PathBuf::from("/tmp")), environment.path("XDG_RUNTIME_DIR")];
    let mut resolved = candidates.into_iter().flatten().filter_map(|path| path.canonicalize().ok());
    let is_read = |path: &PathBuf| read.iter().any(|directory| path.starts_with(directory));
    let usable = |path: &PathBuf| !is_read(path) && path.as_os_str().len() <= LONGEST_TEMPORARY;
    let context = || read.first().map(PathBuf::from).unwrap_or_default();
    resolved.find(usable).ok_or_else(|| BuildError::NoTemporary(context()))
}

fn throw_away_builder(steps: &Steps) -> Option<&Path> {
    steps.prepare.iter().find_map(|step| match step {
        Step::Builder(builder) if builder.throw_away => Some(builder.record.as_path()),
        _ => None,
    })
}

/// Looks whether the results would destroy what the build reads, or each other: old files are removed before the build.
pub fn check_results(settings: &BuildSettings) -> Result<(), OutputError> {
    let archive = match &settings.output.value {
        Output::Stdout => None,
        Output::File(path) => Some(path),
    };
    let mut taken = vec![
        (settings.dockerfile.clone(), "the Dockerfile"),
        (own_ignore_file(&settings.dockerfile), "the Dockerfile's ignore file"),
        (settings.context.join(".dockerignore"), "the context's ignore file"),
    ];
    taken.extend(settings.files().map(|path| (path.to_owned(), "what the build reads")));
    for path in [archive, settings.metadata_file.as_ref()].into_iter().flatten() {
        require_replaceable(path)?;
        let place = resolve_directory(path);
        // By its name, and by where the name leads when it is a link.
        let is_place = |other: &PathBuf| {
            resolve_directory(other) == place || other.canonicalize().is_ok_and(|other| other == place)
        };
        if let Some((_, what)) = taken.iter().find(|(other, _)| is_place(other)) {
            return Err(OutputError::Taken { path: path.clone(), what });
        }
        let of_context = settings.directories().any(|directory| place.starts_with(directory));
        if of_context && path.symlink_metadata().is_ok() && !is_result(path) {
            // It is removed before the build reads the context, and it may be what the build is to read.
            let what = "a file of the build context that no build made";
            return Err(OutputError::Taken { path: path.clone(), what });
        }
        taken.push((path.clone(), "the archive"));
    }
    Ok(())
}

/// A shell makes the file of `--output - > image.tar` before anything else: in the context it would be built, still empty.
fn refuse_redirection(settings: &BuildSettings) -> Result<(), OutputError> {
    let stdout = fs::read_link("/proc/self/fd/1").unwrap_or_default();
    let is_read = settings.directories().any(|directory| stdout.starts_with(directory));
    if settings.output.value == Output::Stdout && stdout.is_file() && is_read {
        return Err(OutputError::Redirected { path: stdout });
    }
    Ok(())
}

fn refuse_in_context(read: &[&Path], path: &Path) -> Result<(), OutputError> {
    match read.iter().find(|directory| path.starts_with(directory)) {
        Some(context) => Err(OutputError::StateInContext { context: context.to_path_buf(), path: path.to_owned() }),
        None => Ok(()),
    }
}

fn directories(environment: &Environment) -> Result<(PathBuf, PathBuf), BuildError> {
    let state = environment.state_directory().ok_or(BuildError::NoHome)?;
    let cache = environment.cache_directory().ok_or(BuildError::NoHome)?;
    Ok((state, cache))
}

/// Sixteen characters that no other run has.
pub fn random_text() -> Result<String, BuildError> {
    random_name().map_err(|source| BuildError::Own { path: PathBuf::from("/dev/urandom"), source })
}

/// A build that is ready to run.
pub struct Prepared {
    /// What decides the bytes.
    pub plan: BuildPlan,
    /// What is done.
    pub steps: Steps,
    /// The runtime.
    pub runtime_name: RuntimeName,
    /// Whether RUN happens in a user namespace, where that is known before.
    pub rootless: Option<bool>,
    /// Where the BuildKit is, if somebody else runs it.
    pub address: Option<String>,
    /// How servers are reached.
    pub route: Route,
    /// How far the builder's cache may grow.
    pub cache_limit: Limit,
    /// Whether a BuildKit may build that is known not to repeat itself.
    pub any_buildkit: bool,
    engine: Option<Engine>,
    /// Keeps the child runtime's binaries in the cache.
    _binaries: Option<binaries::InUse>,
}

impl Prepared {
    /// Makes plan and steps for a runtime. The child runtime gets its binaries here.
    pub async fn new(
        settings: &BuildSettings,
        environment: &Environment,
        interrupt: &Interrupt,
        runtime: Runtime,
        names: &Names,
    ) -> Result<Self, BuildError> {
        let (runtime_name, rootless) = (runtime.name(), runtime.is_rootless());
        let child_rootless = runtime_name == RuntimeName::Buildkitd && rootless == Some(true);
        let variant = if settings.rootless.value || child_rootless { Variant::Rootless } else { Variant::Plain };
        let mut plan = settings.plan(settings.pin_for(variant))?;
        if runtime_name == RuntimeName::Remote {
            // A script that is only written down does not make a name to keep: each of its runs has one of its own.
            let tenant = load_tenant(&names.state).unwrap_or_else(|| names.unique.clone());
            plan.cache_namespace.extend(["-", &tenant]);
        }
        BuildSettings::prepare_caches(&mut plan, |name| environment.get(name).is_some_and(|value| !value.is_empty()))?;
        let agent = find_agent(&plan, environment)?;
        if let Some(version) = plan.pin.version {
            advisories_for(Some(version)).for_each(|advisory| tracing::info!("BuildKit {version}: {advisory}"));
        }
        plan.frontend.judge(plan.pin.version, &settings.frontend.allowed)?;
        let image = engine_image(&plan.pin.source, runtime_name)?;
        let extra_args = if runtime_name.has_buildx() { &settings.buildx_args } else { &settings.buildkit_args };
        let registries = registries_of(settings, &plan);
        let site = Site {
            private: &names.private,
            state: &names.state,
            unique: &names.unique,
            image: &image,
            image_on_loopback: on_loopback(&plan.pin.source),
            host_network: settings.host_network == Some(true),
            buildkitd_config: settings.buildkitd_config.as_deref(),
            route: &settings.network.route,
            can_isolate: isolate::works_here(environment),
            registries: &registries,
            extra_args,
            quiet: settings.quiet,
            progress: progress(settings, runtime_name),
            ssh_agent: agent.as_deref(),
        };
        let refusal = match runtime_name {
            RuntimeName::Docker | RuntimeName::Remote => None,
            RuntimeName::Podman => podman::refusal(&plan, &site),
            RuntimeName::Buildkitd => buildctl::refusal(&plan),
        };
        if let Some((flag, why)) = refusal {
            return Err(BuildError::NotHere { flag, runtime: runtime_name.name(), why });
        }
        let mut binaries = None;
        let (seen, copy) = match plan.context_modes {
            ContextModes::Keep => (plan.clone(), Vec::new()),
            ContextModes::Git => copies::with_git_modes(&plan, site.private),
        };
        let (mut steps, engine) = match runtime {
            Runtime::Docker { config, engine, .. } => (docker::steps(&seen, &site, &config), Some(engine)),
            Runtime::Remote { config } => {
                let remote = settings.remote.as_ref().ok_or(SettingsError::NoAddress(settings.runtime.origin))?;
                warn_of_route(site.route);
                (remote::steps(&seen, &site, &config, remote), None)
            }
            Runtime::Podman => (podman::steps(&seen, &site, variant), None),
            Runtime::Buildkitd { .. } => {
                check_state_path(&names.state, child_rootless)?;
                let options = binaries_options(environment, site.route);
                let work = binaries::ensure(&plan.pin.source, &names.cache, &options);
                let found = tokio::select! {
                    found = work => found?,
                    interruption = interrupt.wait() => return Err(BuildError::Interrupted(interruption)),
                };
                if child_rootless && found.rootlesskit.is_none() {
                    let why = "a plain user needs the rootless image of BuildKit, which brings rootlesskit";
                    return Err(BuildError::NotHere {
                        flag: "--buildkit-image of a plain image",
                        runtime: "buildkitd",
                        why,
                    });
                }
                warn_of_loopback(&plan, &site, &settings.dockerfile_bytes);
                let steps = buildkitd::steps(&seen, &site, &found, child_rootless);
                binaries = Some(found);
                (steps, None)
            }
        };
        steps.copy = copy;
        if runtime_name.has_buildx() {
            steps.solve = docker::with_variables(steps.solve, &plan);
        }
        let cache_limit = settings.buildkitd_config.as_deref().map(Limit::parse).unwrap_or_default();
        let address = settings.remote.as_ref().map(|remote| remote.address.to_string());
        let (route, any_buildkit) = (settings.network.route.clone(), settings.any_buildkit);
        // It has a user namespace of its own, whatever the container has.
        let rootless = if variant == Variant::Rootless { Some(true) } else { rootless };
        Ok(Self {
            plan,
            steps,
            runtime_name,
            rootless,
            address,
            route,
            cache_limit,
            any_buildkit,
            engine,
            _binaries: binaries,
        })
    }

    /// The connection to the Docker daemon.
    #[must_use]
    pub const fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// The connection to the Docker daemon, once.
    pub fn take_engine(&mut self) -> Option<Engine> {
        self.engine.take()
    }
}

/// The SSH agent; one that is wanted has to be there.
fn find_agent(plan: &BuildPlan, environment: &Environment) -> Result<Option<PathBuf>, BuildError> {
    let agent = environment.path("SSH_AUTH_SOCK");
    if plan.wants_agent() && agent.is_none() { Err(BuildError::NoAgent) } else { Ok(agent) }
}

/// The registries that a build may need credentials for.
fn registries_of(settings: &BuildSettings, plan: &BuildPlan) -> Vec<String> {
    let config = settings.buildkitd_config.as_deref().unwrap_or_default();
    let (dockerfile, config) = (String::from_utf8_lossy(&settings.dockerfile_bytes), String::from_utf8_lossy(config));
    let image = plan.pin.source.to_string();
    let mut texts = vec![dockerfile.into_owned(), config.into_owned(), image];
    texts.extend(plan.build_args.values().cloned());
    texts.extend(plan.build_contexts.values().filter_map(|context| match context {
        NamedContext::Image(reference) => Some(reference.to_string()),
        _ => None,
    }));
    texts.extend(plan.cache_from.iter().chain(&plan.cache_to).filter_map(|cache| match &cache.kind {
        CacheKind::Registry(name) => Some(name.clone()),
        _ => None,
    }));
    registries_in(texts.iter().map(String::as_str))
}

/// Says where RUN shares this machine's loopback, unless that was asked for.
fn warn_of_loopback(plan: &BuildPlan, site: &Site<'_>, dockerfile: &[u8]) {
    let shares = plan.network == RunNetwork::Default && !site.host_network && !site.can_isolate;
    // What cannot be read may be another frontend's, with a RUN of its own.
    let runs = || Dockerfile::parse(dockerfile).map_or(true, |dockerfile| dockerfile.may_run());
    if shares && runs() {
        tracing::warn!(
            "RUN reaches what listens on this machine's loopback: install slirp4netns, or give `--network none` (or `--builder-network host` if it is meant)"
        );
    }
}

/// Says what the flags about the world outside cannot do for a BuildKit that somebody else runs.
fn warn_of_route(route: &Route) {
    let given = [("--ca", !route.authorities.is_empty()), ("--proxy", route.proxy.is_some())];
    for (flag, _) in given.into_iter().filter(|(_, given)| *given) {
        let and_run = if flag == "--proxy" && route.proxy_in_run { " and RUN" } else { "" };
        tracing::warn!(
            "{flag} reaches only the client on this machine{and_run}: whoever runs that BuildKit says how it fetches images and files"
        );
    }
}

#[cfg(target_os = "linux")]
fn is_on_tmpfs(state: &Path) -> bool {
    rustix::fs::statfs(state).is_ok_and(|file_system| file_system.f_type == TMPFS_MAGIC)
}

/// Containers of other systems are in a machine of their own.
#[cfg(not(target_os = "linux"))]
const fn is_on_tmpfs(_: &Path) -> bool {
    false
}

/// overlayfs takes the paths of its layers as options, with commas and colons between them; and in a user namespace it
/// cannot mark directories as replaced where the state lies on a tmpfs: RUN fails with "Input/output error" (measured).
fn check_state_path(state: &Path, rootless: bool) -> Result<(), BuildError> {
    let odd = |byte: &u8| matches!(byte, b',' | b':' | b'\\' | b'"');
    if state.as_os_str().as_encoded_bytes().iter().any(odd) {
        return Err(BuildError::StatePath(state.to_owned()));
    }
    if rootless && is_on_tmpfs(state) {
        return Err(BuildError::StateOnTmpfs(state.to_owned()));
    }
    Ok(())
}

fn on_loopback(source: &ImageSource) -> bool {
    let ImageSource::Registry(reference) = source else { return false };
    let registry = reference.registry();
    let host = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => registry.split_once(':').map_or(registry, |(host, _)| host),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
