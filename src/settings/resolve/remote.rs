//! The runtime, and the BuildKit that somebody else runs.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;

use super::{Notes, SettingsError, nearest, variable};
use crate::environment::Environment;
use crate::remote::{Remote, TLS_FILES};
use crate::settings::sources::Words;
use crate::settings::{Origin, RuntimeName, Setting};

const ADDRESS: &str = "--addr";
const CERTIFICATES: &str = "--addr-tls";
const SERVER_NAME: &str = "--addr-server-name";
const RUNTIME: &str = "--runtime";

/// What a file of [`TLS_FILES`] is called in messages.
pub(super) const CERTIFICATE: &str = "file of `--addr-tls`";

/// The runtime that is asked for, and the address that belongs to `remote`: an address asks for that runtime, and what is
/// said nearer to the user wins.
pub fn resolve(
    words: &Words<'_>,
    environment: &Environment,
    notes: &mut Notes,
) -> Result<(Setting<Option<RuntimeName>>, Option<Remote>), SettingsError> {
    let runtime = resolve_runtime(words, environment)?;
    let Some((text, origin)) =
        nearest(words, ADDRESS, |words| words.remote.addr.as_deref(), environment, "REPRO_ADDR")?
    else {
        if runtime.value == Some(RuntimeName::Remote) {
            return Err(SettingsError::NoAddress(runtime.origin));
        }
        let unused = [
            words.either(CERTIFICATES, |words| words.remote.addr_tls.as_ref()).map(|given| given.origin),
            words.either(SERVER_NAME, |words| words.remote.addr_server_name.as_ref()).map(|given| given.origin),
        ];
        let unused = unused.into_iter().flatten();
        notes.warnings.extend(unused.map(|origin| format!("{origin} says nothing without an address: give `--addr`")));
        return Ok((runtime, None));
    };
    if let Some(other) = runtime.value.filter(|name| *name != RuntimeName::Remote) {
        if rank(runtime.origin) == rank(origin) {
            return Err(SettingsError::OtherRuntime { address: origin, runtime: runtime.origin, name: other.name() });
        }
        if rank(runtime.origin) > rank(origin) {
            notes.warnings.push(format!("{origin} is overridden by {}", runtime.origin));
            return Ok((runtime, None));
        }
    }
    let wrong = |source| SettingsError::Remote { origin, source };
    let address = text.parse().map_err(wrong)?;
    let certificates = resolve_certificates(words, environment)?;
    let name = words.either(SERVER_NAME, |words| words.remote.addr_server_name.as_deref());
    let directory = certificates.as_ref().map(|(directory, _)| directory.as_path());
    let remote = Remote::new(address, directory, name.map(|given| given.value)).map_err(wrong)?;
    notes.came_from(ADDRESS, text, origin);
    if let Some((directory, origin)) = &certificates {
        check_files(directory)?;
        notes.came_from(CERTIFICATES, &directory.display().to_string(), *origin);
    }
    if let Some(name) = name {
        notes.came_from(SERVER_NAME, name.value, name.origin);
    }
    let origin = if runtime.value.is_some() && rank(runtime.origin) >= rank(origin) { runtime.origin } else { origin };
    Ok((Setting { value: Some(RuntimeName::Remote), origin }, Some(remote)))
}

/// How near to the user something was said.
const fn rank(origin: Origin) -> u8 {
    match origin {
        Origin::Flag(_) => 3,
        Origin::Variable(_) => 2,
        Origin::Key(_) | Origin::Recipe(_) => 1,
        Origin::Image(_) | Origin::Default => 0,
    }
}

fn resolve_runtime(
    words: &Words<'_>,
    environment: &Environment,
) -> Result<Setting<Option<RuntimeName>>, SettingsError> {
    const NAME: &str = "REPRO_RUNTIME";
    let known = |text: &str| {
        let mut all = RuntimeName::value_variants().iter().copied();
        all.find(|runtime| runtime.name() == text).ok_or_else(|| SettingsError::Variable {
            name: NAME,
            value: text.to_owned(),
            expected: "it is docker, podman, buildkitd or remote",
        })
    };
    if let Some(given) = words.flag(RUNTIME, |words| words.runtime) {
        return Ok(Setting { value: Some(given.value), origin: given.origin });
    }
    if let Some(text) = variable(environment, NAME)? {
        return Ok(Setting { value: Some(known(text)?), origin: Origin::Variable(NAME) });
    }
    Ok(words.key(RUNTIME, |words| words.runtime).map_or(Setting { value: None, origin: Origin::Default }, |given| {
        Setting { value: Some(given.value), origin: given.origin }
    }))
}

fn resolve_certificates(
    words: &Words<'_>,
    environment: &Environment,
) -> Result<Option<(PathBuf, Origin)>, SettingsError> {
    const NAME: &str = "REPRO_ADDR_TLS";
    if let Some(given) = words.flag(CERTIFICATES, |words| words.remote.addr_tls.as_ref()) {
        return Ok(Some((given.directory.join(given.value), given.origin)));
    }
    if let Some(text) = variable(environment, NAME)? {
        return Ok(Some((words.directory().join(text), Origin::Variable(NAME))));
    }
    let key = words.key(CERTIFICATES, |words| words.remote.addr_tls.as_ref());
    Ok(key.map(|given| (given.directory.join(given.value), given.origin)))
}

/// buildx finds out late that a file is missing, and says of one that it cannot read only that it got no answer.
fn check_files(directory: &Path) -> Result<(), SettingsError> {
    TLS_FILES.into_iter().try_for_each(|name| {
        let path = directory.join(name);
        let opened = File::open(&path).map(drop);
        opened.map_err(|source| SettingsError::Path { what: CERTIFICATE, path, source })
    })
}
