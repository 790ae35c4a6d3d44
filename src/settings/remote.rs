//! A BuildKit that somebody else runs: the words of the user.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help, where brackets mean that a part may be left out"
)]

use std::path::PathBuf;

use clap::Args;

/// The arguments that name a BuildKit which somebody else runs.
#[derive(Debug, Clone, Default, Args)]
pub struct RemoteWords {
    /// Build on a BuildKit that somebody else runs (`--runtime remote`) [env: REPRO_ADDR]
    ///
    /// unix:///PATH, tcp://HOST:PORT, ssh://[USER@]HOST[:PORT][/SOCKET], docker-container://NAME[?context=NAME] or
    /// kube-pod://POD[?context=NAME&namespace=NAME&container=NAME]. It proves only its version, which has to be that of
    /// `--buildkit-image`.
    #[arg(long, value_name = "ADDRESS", help_heading = "Where it is built")]
    pub addr: Option<String>,

    /// ca.pem, cert.pem and key.pem for tcp:// [env: REPRO_ADDR_TLS]
    #[arg(long, value_name = "DIR", help_heading = "Where it is built")]
    pub addr_tls: Option<PathBuf>,

    /// The name in the certificate of the BuildKit at tcp:// [default: the host of the address]
    #[arg(long, value_name = "NAME", help_heading = "Where it is built")]
    pub addr_server_name: Option<String>,
}
