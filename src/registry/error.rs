//! What can go wrong between here and a registry.

use std::io;
use std::time::Duration;

use crate::digest::Digest;

use super::limits;

/// Why something was not pulled. No message holds a credential, a token or the query of an address.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The name of a registry makes no address, or an address is none that is asked.
    #[error("`{registry}` makes no address: {reason}")]
    Address {
        /// The registry or the address, without a password.
        registry: String,
        /// Why.
        reason: String,
    },
    /// The HTTP client could not be made, for example because a given CA certificate is none.
    #[error("no https client can be made: {0}")]
    Client(String),
    /// No connection.
    #[error("cannot reach `{host}`: {reason}")]
    Connect {
        /// Host and port that were tried.
        host: String,
        /// The innermost cause.
        reason: String,
    },
    /// The connection broke in the middle of an answer.
    #[error("the answer of `{host}` for {what} broke off: {reason}")]
    Broken {
        /// Host and port.
        host: String,
        /// What was asked for.
        what: String,
        /// The innermost cause.
        reason: String,
    },
    /// Nothing arrived for too long, or too little.
    #[error("`{host}` sends {what} too slowly: nothing for {} s, or less than {} bytes a second", .waited.as_secs_f32(), limits::SLOWEST_RATE)]
    Stalled {
        /// Host and port.
        host: String,
        /// What was asked for.
        what: String,
        /// How long it was waited.
        waited: Duration,
    },
    /// The registry wants other or any credentials.
    #[error("`{registry}` refuses {what}: status 401 {tried}{detail}")]
    Unauthorized {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// `with the credentials found` or `without credentials`, and what hindered finding any.
        tried: String,
        /// The registry's own words, with a separator in front, or nothing.
        detail: String,
    },
    /// The registry answers with an error.
    #[error("`{host}` answers status {status} for {what}{detail}")]
    Status {
        /// Host and port.
        host: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The registry's own words, with a separator in front, or nothing.
        detail: String,
        /// How long the registry asks to wait, when it says so.
        retry_after: Option<Duration>,
    },
    /// The registry asks for a kind of authentication that is not known here.
    #[error("`{registry}` asks for an authentication that is not known here: {reason}")]
    Challenge {
        /// The registry.
        registry: String,
        /// Why.
        reason: String,
    },
    /// The answer of the token server is of no use.
    #[error("the token server `{host}` of `{registry}` gives no usable token: {reason}")]
    Token {
        /// The registry.
        registry: String,
        /// The token server's host.
        host: String,
        /// Why.
        reason: String,
    },
    /// A redirect that is not followed.
    #[error("`{from}` redirects {what} to `{to}`, which is not followed: {reason}")]
    Redirect {
        /// Host and port that redirect.
        from: String,
        /// Where to, without the query.
        to: String,
        /// What was asked for.
        what: String,
        /// Why not.
        reason: String,
    },
    /// More bytes than allowed.
    #[error("{what} has {size} bytes or more, {limit} are allowed")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// The limit, bytes.
        limit: u64,
        /// What was announced or seen, bytes.
        size: u64,
    },
    /// Another number of bytes than the descriptor says.
    #[error("{what} has {relation} {actual} bytes, its descriptor says {expected}")]
    Size {
        /// What was asked for.
        what: String,
        /// By the descriptor, bytes.
        expected: u64,
        /// As received or announced, bytes.
        actual: u64,
        /// `at least` when the reading stopped there, else `only`.
        relation: &'static str,
    },
    /// Other bytes than asked for.
    #[error("{what} from `{host}` has digest `{actual}`, not `{expected}`")]
    Digest {
        /// What was asked for.
        what: String,
        /// Host and port.
        host: String,
        /// The digest asked for.
        expected: Box<Digest>,
        /// The digest of what came.
        actual: Box<Digest>,
    },
    /// The registry says that it took something else than was sent.
    #[error("`{host}` calls {what} `{told}`, and `{sent}` was sent")]
    Taken {
        /// What was sent.
        what: String,
        /// Host and port.
        host: String,
        /// Its digest.
        sent: Box<Digest>,
        /// What the registry calls it.
        told: Box<Digest>,
    },
    /// What came cannot be written down.
    #[error("cannot write {what}")]
    Write {
        /// What was asked for.
        what: String,
        /// Why.
        source: io::Error,
    },
}

impl RegistryError {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Address { .. } => "write the registry as `host` or `host:port`",
            Self::Client(_) => "check the CA certificates that were given: PEM, one or more per file",
            Self::Connect { .. } => {
                "check the name and the network; give a proxy with `--proxy` (variables like HTTPS_PROXY are not read) and a private CA with `--ca`; plain http is spoken to loopback addresses only"
            }
            Self::Broken { .. } | Self::Stalled { .. } => "try again; what arrived so far is not used",
            Self::Unauthorized { .. } => {
                "log in with `docker login` or `podman login`; many registries answer the same for a repository that does not exist"
            }
            Self::Status { status, .. } => status_hint(*status),
            Self::Challenge { .. } => "the registry must offer Basic or Bearer authentication",
            Self::Token { .. } => "log in again with `docker login` or `podman login`",
            Self::Redirect { .. } => "the registry or something in front of it is set up wrongly, or hostile",
            Self::TooLarge { .. } | Self::Size { .. } | Self::Digest { .. } => {
                "the registry or something in between serves other bytes than asked for; nothing of it was used"
            }
            Self::Taken { .. } => "the registry or something in between changes what is sent: look what is there now",
            Self::Write { .. } => "check free space and permissions",
        }
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } => true,
            Self::Status { status, retry_after, .. } => {
                matches!(status, 429 | 500 | 502..=504)
                    && retry_after.is_none_or(|pause| pause <= limits::RETRY_AFTER_MAX)
            }
            _ => false,
        }
    }

    /// Whether an upload may go well when it is begun anew: a token may have run out in the middle, too.
    #[must_use]
    pub fn is_worth_another_try(&self) -> bool {
        self.is_transient() || matches!(self, Self::Stalled { .. } | Self::Status { status: 401, .. })
    }

    /// How long the registry asks to wait.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

const fn status_hint(status: u16) -> &'static str {
    match status {
        403 => "these credentials may not read this repository, or not write to it",
        404 => "check repository and digest: the registry does not have it, or not any more",
        405 => "the registry takes nothing: it is set up to be read only, or is a mirror",
        429 => "the registry limits how often one may ask: wait, or log in for a higher limit",
        500..=599 => "the registry is in trouble: try again later, or read the image from `oci:DIRECTORY`",
        _ => "check that this is the address of a container registry",
    }
}
