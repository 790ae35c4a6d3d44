//! Where a client's stderr goes that is passed on to ours: into a pipe, or, where ours is a terminal, into another one, for a
//! client draws its progress on a terminal only. Either way the end of what was said is known.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, stderr};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, unlockpt};
use rustix::termios::{OptionalActions, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// The end of a client's stderr that is read here.
#[derive(Debug)]
pub struct Voice {
    source: File,
    /// The size of the client's terminal, where it has one.
    size: Option<Winsize>,
}

impl Voice {
    /// What becomes the client's stderr, and the other end of it.
    pub fn open() -> io::Result<(Stdio, Self)> {
        // Without another terminal, which a machine may have run out of, a plain progress does as well.
        if stderr().is_terminal()
            && let Ok((theirs, source, size)) = open_terminal()
        {
            return Ok((theirs.into(), Self { source, size: Some(size) }));
        }
        let (source, theirs) = io::pipe()?;
        Ok((theirs.into(), Self { source: File::from(OwnedFd::from(source)), size: None }))
    }

    /// Gives the client's terminal the size that ours has now; it is looked at before each drawing.
    fn follow_size(&mut self) {
        let Some(size) = &mut self.size else { return };
        if let Ok(now) = tcgetwinsize(stderr())
            && (now.ws_col, now.ws_row) != (size.ws_col, size.ws_row)
            && tcsetwinsize(&self.source, now).is_ok()
        {
            *size = now;
        }
    }
}

impl Read for Voice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.source.read(buffer) {
            // A terminal ends so when nobody has it open any more.
            Err(error) if self.size.is_some() && Errno::from_io_error(&error) == Some(Errno::IO) => 0,
            count => count?,
        };
        self.follow_size();
        Ok(count)
    }
}

/// Both ends of a terminal; no other child gets them.
#[cfg(target_os = "linux")]
fn open_pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let source = openpt(flags)?;
    grantpt(&source)?;
    unlockpt(&source)?;
    let theirs = rustix::pty::ioctl_tiocgptpeer(&source, flags)?;
    Ok((source, theirs))
}

/// The same where the other end has to be opened by its name.
#[cfg(not(target_os = "linux"))]
fn open_pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let source = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::io::fcntl_setfd(&source, rustix::io::FdFlags::CLOEXEC)?;
    grantpt(&source)?;
    unlockpt(&source)?;
    let name = rustix::pty::ptsname(&source, Vec::new())?;
    let theirs = openat(CWD, name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((source, theirs))
}

/// A terminal as large as ours: what the client opens, what is read here, and the size.
fn open_terminal() -> rustix::io::Result<(OwnedFd, File, Winsize)> {
    let (source, theirs) = open_pair()?;
    // Our terminal makes of a newline what it wants; this one leaves it alone.
    let mut modes = tcgetattr(&theirs)?;
    modes.make_raw();
    tcsetattr(&theirs, OptionalActions::Now, &modes)?;
    let size = tcgetwinsize(stderr())?;
    tcsetwinsize(&source, size)?;
    Ok((theirs, File::from(source), size))
}
