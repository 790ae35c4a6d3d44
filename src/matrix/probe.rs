//! Whether a daemon of a fleet is there.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::attempt::{Program, Reason, Tried, build};
use crate::runtime::interrupt::Interrupt;

/// Has it build an image without any file: an open port proves nothing, and a version has to be the right one. `flags` lead to
/// it, through TCP or otherwise.
pub async fn is_there(
    program: &Program,
    mut flags: Vec<OsString>,
    directory: &Path,
    is_tcp: bool,
    (patience, interrupt): (Duration, &Interrupt),
) -> Result<(), String> {
    fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    fs::write(directory.join("Dockerfile"), "FROM scratch\n").map_err(|error| error.to_string())?;
    flags.extend(["--no-config", "--source-date-epoch=0", "--media-types=oci"].map(Into::into));
    match build(program, flags, directory, &directory.join("image"), patience, interrupt).await {
        Tried::Built(_) => Ok(()),
        // TLS 1.3 lets a client send before the daemon has looked at its certificate: what is seen depends on who is first.
        Tried::Failed(Reason { why, .. }) | Tried::Missing(Reason { why, .. })
            if is_tcp && ["broken pipe", "connection reset"].iter().any(|words| why.contains(words)) =>
        {
            Err(format!("{why}: it hangs up at once, as one does that does not take the client's certificate"))
        }
        Tried::Failed(reason) | Tried::Missing(reason) => Err(reason.why),
        Tried::Stopped => Err("it was stopped".to_owned()),
    }
}
