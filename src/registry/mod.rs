//! Reading from container registries and writing to them (OCI distribution-spec, "Pull" and "Push"), by digest, with nothing
//! believed.
//!
//! This is a client of our own on `reqwest`: the ready-made ones read manifests, tokens and error bodies without a bound,
//! follow redirects before they look where credentials go, or take what they get. Here every answer has a ceiling and a
//! deadline ([`limits`]), every byte is hashed against the digest asked for, credentials ([`CredentialSources`]) go to the
//! registry and the token server that it names and to nobody else, and plain http is spoken to loopback addresses only.

mod attach;
mod auth;
mod config;
mod copy;
mod credentials;
mod document;
mod endpoint;
mod error;
mod http;
mod image;
mod join;
pub mod limits;
mod push;
mod shipment;
mod upload;

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::Mutex;

use crate::digest::{Algorithm, Digest, Hasher};
use crate::network::Proxy;
use crate::reference::ImageReference;

pub use attach::{AttachError, attach, load_descriptor};
pub use config::load_config;
pub use copy::Places;
pub use credentials::{Credential, CredentialError, CredentialSources, Lookup};
pub use document::fetch_document;
pub use error::RegistryError;
pub use image::{CopyError, ImageError, copy_blobs, load_image};
pub use join::{IndexError, IndexShipment, Part, SentImage, join};
pub use push::{PushError, Pushed, Supply, Target, push};
pub use shipment::{Document, Shipment, ShipmentError};
pub use upload::{Offered, Upload};

use http::{Answer, Http};

/// The documents that are asked for as manifests.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// How a registry is spoken to.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where credentials are looked up, once the registry asks for some.
    pub credentials: CredentialSources,
    /// CA certificates to trust besides the system's: PEM, one or more in each.
    pub extra_roots: Vec<Vec<u8>>,
    /// The proxy; none is taken from the environment.
    pub proxy: Option<Proxy>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long nothing may arrive.
    pub stall_timeout: Duration,
    /// How long an answer may take as a whole, besides what its size allows.
    pub answer_timeout: Duration,
    /// How often a request is made in all.
    pub attempts: u32,
    /// The pause before the second attempt.
    pub retry_delay: Duration,
}

impl Default for Options {
    /// No credentials, the system's certificates, the limits of [`limits`].
    fn default() -> Self {
        Self {
            credentials: CredentialSources::none(),
            extra_roots: Vec::new(),
            proxy: None,
            connect_timeout: limits::CONNECT_TIMEOUT,
            stall_timeout: limits::STALL_TIMEOUT,
            answer_timeout: limits::ANSWER_TIMEOUT,
            attempts: limits::ATTEMPTS,
            retry_delay: limits::RETRY_DELAY,
        }
    }
}

/// A manifest or index as the registry stores it.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// What the registry calls it. Only the document itself says what it is.
    pub content_type: Option<String>,
    /// The stored bytes.
    pub bytes: Vec<u8>,
}

/// What a descriptor says about a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The digest of its stored bytes.
    pub digest: Digest,
    /// How many bytes are stored.
    pub size: u64,
}

/// One repository of a registry.
#[derive(Debug)]
pub struct Repository {
    http: Http,
    registry: String,
    name: String,
    options: Options,
    /// What a token has to allow.
    scopes: Vec<String>,
    /// The answer to the registry's last challenge, and what it was made with.
    authorization: Mutex<Option<Authorization>>,
}

#[derive(Debug, Clone)]
struct Authorization {
    header: Option<HeaderValue>,
    tried: String,
}

impl Repository {
    /// A client for the repository of `reference`; nothing is sent yet.
    pub fn open(reference: &ImageReference, options: Options) -> Result<Self, RegistryError> {
        let scopes = vec![format!("repository:{}:pull", reference.repository())];
        Self::with_scopes(reference, options, scopes)
    }

    /// A client that also writes to the repository of `reference`, and takes blobs from others of the same registry.
    pub fn open_to_write(
        reference: &ImageReference,
        options: Options,
        mount_from: &[String],
    ) -> Result<Self, RegistryError> {
        let own = format!("repository:{}:pull,push", reference.repository());
        let others = mount_from.iter().map(|name| format!("repository:{name}:pull"));
        Self::with_scopes(reference, options, std::iter::once(own).chain(others).collect())
    }

    fn with_scopes(reference: &ImageReference, options: Options, scopes: Vec<String>) -> Result<Self, RegistryError> {
        Ok(Self {
            http: Http::new(reference.registry(), &options)?,
            registry: reference.registry().to_owned(),
            name: reference.repository().to_owned(),
            options,
            scopes,
            authorization: Mutex::new(None),
        })
    }

    /// The manifest or index with this digest.
    pub async fn manifest(&self, digest: &Digest) -> Result<Manifest, RegistryError> {
        let what = format!("manifest `{digest}`");
        self.retrying(async || self.fetch_manifest(&digest.to_string(), digest.algorithm(), Some(digest), &what).await)
            .await
    }

    /// The manifest or index that a tag names at this moment.
    pub async fn resolve(&self, tag: &str) -> Result<Manifest, RegistryError> {
        let what = format!("manifest of tag `{tag}`");
        self.retrying(async || self.fetch_manifest(tag, Algorithm::Sha256, None, &what).await).await
    }

    /// A small blob, such as an image's configuration, in memory. A descriptor beyond `limit` bytes is refused unasked.
    pub async fn blob(&self, blob: &Blob, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let what = format!("blob `{}`", blob.digest);
        if blob.size > limit {
            return Err(RegistryError::TooLarge { what, limit, size: blob.size });
        }
        self.retrying(async || {
            let mut bytes = Vec::new();
            self.fetch_blob(blob, &what, |chunk| {
                bytes.extend_from_slice(chunk);
                Ok(())
            })
            .await?;
            Ok(bytes)
        })
        .await
    }

    /// A blob, streamed to `file`, which holds exactly its bytes afterwards; with an error it holds nothing.
    pub async fn blob_to_file(&self, blob: &Blob, file: &mut File) -> Result<(), RegistryError> {
        let what = format!("blob `{}`", blob.digest);
        let result = self
            .retrying(async || {
                empty(file).map_err(|source| RegistryError::Write { what: what.clone(), source })?;
                let mut sink: &File = file;
                self.fetch_blob(blob, &what, |chunk| sink.write_all(chunk)).await
            })
            .await;
        if result.is_err() {
            // The error at hand says more than a failure to clean up after it.
            let _ = empty(file);
        }
        result
    }

    /// A blob, piece by piece, to who hashes it. `sink` says whether it wants more.
    ///
    /// Where the connection breaks, the blob is asked for again, and what was handed over already is passed over. Its digest
    /// is not looked at here; more or fewer bytes than the descriptor says are an error.
    pub(super) async fn stream_blob(
        &self,
        blob: &Blob,
        mut sink: impl AsyncFnMut(&[u8]) -> bool,
    ) -> Result<(), RegistryError> {
        let what = format!("blob `{}`", blob.digest);
        let mut taken = 0_u64;
        self.retrying(async || {
            let mut answer = self.open_blob(blob, &what).await?;
            let mut at = 0_u64;
            while let Some(chunk) = answer.chunk().await? {
                let chunk = chunk.as_ref();
                let known = usize::try_from(taken - at.min(taken)).unwrap_or(usize::MAX).min(chunk.len());
                at += chunk.len() as u64;
                if at > blob.size {
                    return Err(wrong_size(blob, &what, at, "at least"));
                }
                let news = &chunk[known..];
                taken = taken.max(at);
                if !news.is_empty() && !sink(news).await {
                    return Ok(());
                }
            }
            if at < blob.size { Err(wrong_size(blob, &what, at, "only")) } else { Ok(()) }
        })
        .await
    }

    async fn fetch_manifest(
        &self,
        tag_or_digest: &str,
        algorithm: Algorithm,
        expected: Option<&Digest>,
        what: &str,
    ) -> Result<Manifest, RegistryError> {
        let path = format!("/v2/{}/manifests/{tag_or_digest}", self.name);
        let mut answer = self.request(&path, MANIFEST_TYPES, what).await?;
        let content_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let announced =
            answer.headers().get("docker-content-digest").and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = answer.bytes(limits::MANIFEST_BYTES).await?;
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes);
        let digest = hasher.finish();
        // Of a tag only the announced digest can tell whether the bytes arrived whole.
        let announced: Option<&Digest> =
            announced.as_ref().filter(|announced: &&Digest| announced.algorithm() == algorithm);
        check_digest(expected.or(announced), digest.clone(), what, answer.host())?;
        Ok(Manifest { digest, content_type, bytes })
    }

    async fn fetch_blob(
        &self,
        blob: &Blob,
        what: &str,
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), RegistryError> {
        let mut answer = self.open_blob(blob, what).await?;
        let mut hasher = Hasher::new(blob.digest.algorithm());
        let mut size = 0_u64;
        while let Some(chunk) = answer.chunk().await? {
            let chunk = chunk.as_ref();
            size += chunk.len() as u64;
            if size > blob.size {
                return Err(wrong_size(blob, what, size, "at least"));
            }
            hasher.update(chunk);
            sink(chunk).map_err(|source| RegistryError::Write { what: what.to_owned(), source })?;
        }
        if size < blob.size {
            return Err(wrong_size(blob, what, size, "only"));
        }
        check_digest(Some(&blob.digest), hasher.finish(), what, answer.host())
    }

    /// Asks for a blob, and refuses an answer that announces another size.
    async fn open_blob(&self, blob: &Blob, what: &str) -> Result<Answer, RegistryError> {
        let path = format!("/v2/{}/blobs/{}", self.name, blob.digest);
        let mut answer = self.request(&path, "application/octet-stream, */*", what).await?;
        answer.expect_bytes(blob.size);
        match answer.announced().filter(|announced| *announced != blob.size) {
            Some(size) => Err(wrong_size(blob, what, size, if size > blob.size { "at least" } else { "only" })),
            None => Ok(answer),
        }
    }

    /// GET with the authorization that the registry wants; any status but 200 is an error.
    async fn request(&self, path: &str, accept: &str, what: &str) -> Result<Answer, RegistryError> {
        let url = self.http.endpoint.url(path);
        let get = async |header: Option<&HeaderValue>| self.http.get(url.clone(), Some(accept), header, what).await;
        let answer = self.authorized(what, get).await?;
        if answer.status().as_u16() == 200 { Ok(answer) } else { Err(answer.into_status_error().await) }
    }

    /// Sends a request with what the registry wanted before, and once more where it wants something else.
    async fn authorized(
        &self,
        what: &str,
        send: impl AsyncFn(Option<&HeaderValue>) -> Result<Answer, RegistryError>,
    ) -> Result<Answer, RegistryError> {
        let is_refused = |answer: &Answer| answer.status().as_u16() == 401 && answer.from_origin;
        let answer = send(self.known_header().await.as_ref()).await?;
        if !is_refused(&answer) {
            return Ok(answer);
        }
        let made = self.authorize(&answer).await?;
        let Some(header) = &made.header else { return Err(self.unauthorized(answer, what, made.tried).await) };
        let answer = send(Some(header)).await?;
        if is_refused(&answer) {
            return Err(self.unauthorized(answer, what, made.tried).await);
        }
        *self.authorization.lock().await = Some(made);
        Ok(answer)
    }

    /// What the registry wanted before.
    async fn known_header(&self) -> Option<HeaderValue> {
        self.authorization.lock().await.as_ref().and_then(|known| known.header.clone())
    }

    async fn authorize(&self, refusal: &Answer) -> Result<Authorization, RegistryError> {
        let challenge = auth::parse_challenge(refusal.headers())
            .map_err(|reason| RegistryError::Challenge { registry: self.registry.clone(), reason })?;
        let lookup = self.options.credentials.find(&self.registry, &self.name).await;
        let mut tried = String::from(match lookup.credential {
            Some(_) => "with the credentials found",
            None => "without credentials",
        });
        for problem in &lookup.problems {
            tracing::warn!("credentials for `{}`: {problem}", self.registry);
            tried = format!("{tried} ({problem})");
        }
        let credential = lookup.credential.as_ref();
        let header = auth::answer(&self.http, &self.registry, &self.scopes, challenge, credential).await?;
        Ok(Authorization { header, tried })
    }

    async fn unauthorized(&self, mut answer: Answer, what: &str, tried: String) -> RegistryError {
        let detail = answer.detail().await;
        RegistryError::Unauthorized { registry: self.registry.clone(), what: what.to_owned(), tried, detail }
    }

    /// Tries again what may succeed a moment later.
    async fn retrying<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut delay = self.options.retry_delay;
        let mut number = 1;
        loop {
            match attempt().await {
                Err(error) if error.is_transient() && number < self.options.attempts => {
                    let pause = error.retry_after().unwrap_or(delay);
                    tracing::debug!("{error}; trying again in {} ms", pause.as_millis());
                    tokio::time::sleep(pause).await;
                    delay *= 2;
                    number += 1;
                }
                result => return result,
            }
        }
    }
}

fn wrong_size(blob: &Blob, what: &str, actual: u64, relation: &'static str) -> RegistryError {
    RegistryError::Size { what: what.to_owned(), expected: blob.size, actual, relation }
}

fn empty(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()
}

fn check_digest(expected: Option<&Digest>, actual: Digest, what: &str, host: &str) -> Result<(), RegistryError> {
    match expected {
        Some(expected) if *expected != actual => Err(RegistryError::Digest {
            what: what.to_owned(),
            host: host.to_owned(),
            expected: Box::new(expected.clone()),
            actual: Box::new(actual),
        }),
        _ => Ok(()),
    }
}
