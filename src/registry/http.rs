//! Requests with everything bounded: redirects, bytes, time, and where the `Authorization` header goes.

use std::error::Error as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use tokio::time::{Instant, timeout, timeout_at};

use super::endpoint::Endpoint;
use super::{Options, RegistryError, limits};

/// An HTTP client for one registry.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    pub(super) endpoint: Endpoint,
    connect_timeout: Duration,
    stall_timeout: Duration,
    answer_timeout: Duration,
}

/// The head of an answer, and its body still to be read.
pub(super) struct Answer {
    response: reqwest::Response,
    host: String,
    what: String,
    stall_timeout: Duration,
    deadline: Instant,
    /// Whether it comes from the registry itself and not from where it redirected to.
    pub(super) from_origin: bool,
}

impl Http {
    pub(super) fn new(registry: &str, options: &Options) -> Result<Self, RegistryError> {
        // The process-wide choice; an error only says that it was made before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoint = Endpoint::of_registry(registry)?;
        let client_error = |error: reqwest::Error| RegistryError::Client(innermost(&error));
        let mut builder = Client::builder()
            .user_agent(concat!("repro/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(options.connect_timeout)
            .https_only(!endpoint.is_loopback());
        // Those of the environment are not asked: what BuildKit does not see, this must not see either.
        builder = builder.no_proxy();
        if let Some(proxy) = &options.proxy {
            // Loopback is on its list of what is reached directly.
            let direct = reqwest::NoProxy::from_string(proxy.no_proxy());
            builder = builder.proxy(reqwest::Proxy::all(proxy.url()).map_err(client_error)?.no_proxy(direct));
        }
        for pem in &options.extra_roots {
            let roots = reqwest::Certificate::from_pem_bundle(pem).map_err(client_error)?;
            if roots.is_empty() {
                return Err(RegistryError::Client("a given CA file holds no certificate".to_owned()));
            }
            builder = builder.tls_certs_merge(roots);
        }
        let client = builder.build().map_err(client_error)?;
        let Options { connect_timeout, stall_timeout, answer_timeout, .. } = *options;
        Ok(Self { client, endpoint, connect_timeout, stall_timeout, answer_timeout })
    }

    /// GET, with redirects followed as far as they are harmless. `authorization` goes to the registry itself only.
    pub(super) async fn get(
        &self,
        url: Url,
        accept: Option<&str>,
        authorization: Option<&HeaderValue>,
        what: &str,
    ) -> Result<Answer, RegistryError> {
        let mut url = url;
        for _ in 0..=limits::REDIRECTS {
            let from_origin = self.endpoint.is_origin_of(&url);
            let mut request = self.client.get(url.clone());
            if let Some(accept) = accept {
                request = request.header(ACCEPT, accept);
            }
            if let Some(authorization) = authorization.filter(|_| from_origin) {
                request = request.header(AUTHORIZATION, authorization.clone());
            }
            let answer = self.send(request, &url, what, from_origin).await?;
            if !answer.response.status().is_redirection() {
                return Ok(answer);
            }
            url = self.redirect_target(&url, answer.headers(), what)?;
        }
        Err(RegistryError::Redirect {
            from: host_of(&url),
            to: without_query(&url),
            what: what.to_owned(),
            reason: format!("more than {} in a row", limits::REDIRECTS),
        })
    }

    /// Sends one request as it is, without following redirects.
    pub(super) async fn send(
        &self,
        request: reqwest::RequestBuilder,
        url: &Url,
        what: &str,
        from_origin: bool,
    ) -> Result<Answer, RegistryError> {
        let host = host_of(url);
        let sent = timeout(self.connect_timeout + self.stall_timeout, request.send()).await;
        let sent = sent.map_err(|_| self.stalled(&host, what))?;
        self.answer(sent, host, what, from_origin)
    }

    fn answer(
        &self,
        sent: reqwest::Result<reqwest::Response>,
        host: String,
        what: &str,
        from_origin: bool,
    ) -> Result<Answer, RegistryError> {
        let what = what.to_owned();
        match sent {
            Err(error) if error.is_connect() || error.is_timeout() => {
                Err(RegistryError::Connect { host, reason: innermost(&error) })
            }
            Err(error) => Err(RegistryError::Broken { host, what, reason: innermost(&error) }),
            Ok(response) => {
                let deadline = Instant::now() + self.answer_timeout;
                Ok(Answer { response, host, what, stall_timeout: self.stall_timeout, deadline, from_origin })
            }
        }
    }

    /// Sends a request with a large body: as long as bytes of it go out, the answer is waited for. `body` counts them.
    pub(super) async fn send_large(
        &self,
        request: reqwest::RequestBuilder,
        url: &Url,
        what: &str,
        from_origin: bool,
        (sent, size): (&AtomicU64, u64),
    ) -> Result<Answer, RegistryError> {
        let host = host_of(url);
        let mut sending = std::pin::pin!(request.send());
        let (mut seen, mut idle) = (0, Duration::ZERO);
        let end = Instant::now() + self.answer_timeout + Duration::from_secs(size / limits::SLOWEST_RATE);
        // A registry that has all of it may have to look at it.
        let judging = self.answer_timeout + Duration::from_secs(size / limits::SLOWEST_JUDGE);
        loop {
            if let Ok(sent) = timeout(self.stall_timeout, &mut sending).await {
                return self.answer(sent, host, what, from_origin);
            }
            let now = sent.load(Ordering::Relaxed);
            idle = if now == seen { idle + self.stall_timeout } else { Duration::ZERO };
            seen = now;
            if idle >= if now < size { self.stall_timeout } else { judging } || Instant::now() >= end {
                return Err(RegistryError::Stalled { host, what: what.to_owned(), waited: idle });
            }
        }
    }

    /// A request that [`Http::send`] takes.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    fn stalled(&self, host: &str, what: &str) -> RegistryError {
        RegistryError::Stalled { host: host.to_owned(), what: what.to_owned(), waited: self.stall_timeout }
    }

    /// Where the registry sends one, if it is harmless to go there.
    pub(super) fn redirect_target(&self, from: &Url, headers: &HeaderMap, what: &str) -> Result<Url, RegistryError> {
        let refused = |to: String, reason: &str| RegistryError::Redirect {
            from: host_of(from),
            to,
            what: what.to_owned(),
            reason: reason.to_owned(),
        };
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(location) = location else {
            return Err(refused(String::new(), "there is no valid `Location`"));
        };
        let target = from.join(location).map_err(|_| refused(String::new(), "the `Location` is no address"))?;
        match self.endpoint.refusal(&target) {
            Some(reason) => Err(refused(without_query(&target), reason)),
            None => Ok(target),
        }
    }
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Gives a body of `size` bytes the time that it needs at the slowest rate.
    pub(super) fn expect_bytes(&mut self, size: u64) {
        self.deadline += Duration::from_secs(size / limits::SLOWEST_RATE);
    }

    /// The length that the answer announces.
    pub(super) fn announced(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, RegistryError> {
        let limit = self.deadline.min(Instant::now() + self.stall_timeout);
        match timeout_at(limit, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(RegistryError::Broken {
                host: self.host.clone(),
                what: self.what.clone(),
                reason: innermost(&error),
            }),
            Err(_) => Err(RegistryError::Stalled {
                host: self.host.clone(),
                what: self.what.clone(),
                waited: self.stall_timeout,
            }),
        }
    }

    /// The whole body, at most `limit` bytes.
    pub(super) async fn bytes(&mut self, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let too_large = |size| RegistryError::TooLarge { what: self.what.clone(), limit, size };
        if let Some(size) = self.announced().filter(|size| *size > limit) {
            return Err(too_large(size));
        }
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(chunk.as_ref());
            let size = body.len() as u64;
            if size > limit {
                return Err(RegistryError::TooLarge { what: self.what.clone(), limit, size });
            }
        }
        Ok(body)
    }

    /// The error for a status that is none of success, with the registry's own words.
    pub(super) async fn into_status_error(mut self) -> RegistryError {
        let retry_after = self.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let detail = self.detail().await;
        RegistryError::Status {
            host: self.host,
            what: self.what,
            status: self.response.status().as_u16(),
            detail,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    /// What the registry says about its error (distribution-spec, "Error codes"), cleaned, with a separator in front.
    pub(super) async fn detail(&mut self) -> String {
        #[derive(Deserialize)]
        struct Envelope {
            errors: Vec<Item>,
        }
        #[derive(Deserialize)]
        struct Item {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let Ok(body) = self.bytes(limits::ERROR_BYTES).await else { return String::new() };
        let Ok(envelope) = serde_json::from_slice::<Envelope>(&body) else { return String::new() };
        let words = envelope.errors.iter().map(|item| format!("{} {}", item.code, item.message));
        let words = printable(words.collect::<Vec<_>>().join("; ").trim());
        if words.is_empty() { words } else { format!(": {words}") }
    }
}

/// Text from outside, short and without control characters: it is shown on a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(limits::ERROR_CHARS).collect()
}

/// The cause at the end of the chain: the ones above it only say that a request failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    // The outermost error prints its address, query included; it is only reached when it has no cause.
    if error.source().is_none() { "the request failed".to_owned() } else { printable(&cause.to_string()) }
}

/// Host and port of an address.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An address without its query, which may hold a signature that opens a storage.
pub(super) fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    printable(url.as_str())
}
