//! Writing to a registry (OCI distribution-spec, "Push"): a blob in one request, streamed; then the documents that name it.
//!
//! Nothing that a registry answers is believed here either: an upload goes on only to where it is encrypted, credentials go to
//! the registry itself, and a digest that it tells is held against ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, io};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Body, RequestBuilder, StatusCode, Url};
use tokio::sync::mpsc::Receiver;

use super::http::{Answer, Http, without_query};
use super::{Blob, Manifest, RegistryError, Repository};
use crate::digest::Digest;

/// An upload that a registry has begun: where its bytes go.
pub struct Upload(Url);

/// What a registry says to a blob that is offered.
pub enum Offered {
    /// It took it from another repository.
    Mounted,
    /// It wants the bytes.
    Wanted(Upload),
}

impl fmt::Debug for Upload {
    /// Without the query, in which registries keep what proves whose upload it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({})", without_query(&self.0))
    }
}

impl Repository {
    /// Whether the registry has a blob.
    pub async fn has_blob(&self, blob: &Blob) -> Result<bool, RegistryError> {
        let what = format!("blob `{}`", blob.digest);
        let url = self.http.endpoint.url(&format!("/v2/{}/blobs/{}", self.name, blob.digest));
        self.retrying(async || {
            let answer = self.ask(&url, &what, |http| http.client().head(url.clone())).await?;
            match answer.status() {
                StatusCode::NOT_FOUND => Ok(false),
                // It lies in a storage of another address, which need not answer to this question.
                StatusCode::FOUND | StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => Ok(true),
                StatusCode::OK => match length(answer.headers()) {
                    Some(size) if size != blob.size => Err(RegistryError::Size {
                        what: what.clone(),
                        expected: blob.size,
                        actual: size,
                        relation: "only",
                    }),
                    _ => Ok(true),
                },
                _ => Err(answer.into_status_error().await),
            }
        })
        .await
    }

    /// Offers a blob: a registry may take it from the repository `from`, and else begins an upload.
    pub async fn offer_blob(&self, blob: &Blob, from: Option<&str>) -> Result<Offered, RegistryError> {
        let what = format!("an upload of blob `{}`", blob.digest);
        let mut url = self.http.endpoint.url(&format!("/v2/{}/blobs/uploads/", self.name));
        if let Some(from) = from {
            url.query_pairs_mut().append_pair("mount", &blob.digest.to_string()).append_pair("from", from);
        }
        self.retrying(async || {
            let begin = |http: &Http| http.client().post(url.clone()).header(CONTENT_LENGTH, 0);
            let answer = self.ask(&url, &what, begin).await?;
            match answer.status() {
                StatusCode::CREATED if from.is_some() => Ok(Offered::Mounted),
                StatusCode::ACCEPTED => {
                    let place = self.http.redirect_target(&url, answer.headers(), &what)?;
                    Ok(Offered::Wanted(Upload(place)))
                }
                _ => Err(answer.into_status_error().await),
            }
        })
        .await
    }

    /// Sends the bytes of a blob as they come. Whoever sends them and finds them wrong closes the channel before the last one,
    /// and the registry never has it.
    pub async fn send_blob(&self, upload: Upload, blob: &Blob, pieces: Receiver<Bytes>) -> Result<(), RegistryError> {
        let what = format!("the upload of blob `{}`", blob.digest);
        let mut url = upload.0;
        url.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        let sent = Arc::new(AtomicU64::new(0));
        let body = body_of(pieces, blob.size, Arc::clone(&sent));
        let mut request = self.http.client().put(url.clone()).body(body);
        request = request.header(CONTENT_LENGTH, blob.size).header(CONTENT_TYPE, "application/octet-stream");
        let from_origin = self.http.endpoint.is_origin_of(&url);
        let known = self.known_header().await;
        request = with_authorization(request, known.as_ref().filter(|_| from_origin));
        let answer = self.http.send_large(request, &url, &what, from_origin, (&sent, blob.size)).await?;
        let broken = |host: &str, reason: &str| RegistryError::Broken {
            host: host.to_owned(),
            what: what.clone(),
            reason: reason.to_owned(),
        };
        match answer.status() {
            StatusCode::CREATED if sent.load(Ordering::Relaxed) < blob.size => {
                Err(broken(answer.host(), "it was taken before all of it was there"))
            }
            // A registry that was started anew, or another one of several behind one name.
            StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE => {
                Err(broken(answer.host(), "the registry knows nothing of it any more"))
            }
            StatusCode::CREATED => check_told(&answer, &blob.digest, &what),
            _ => Err(answer.into_status_error().await),
        }
    }

    /// Stores a document under a tag, or without one under its digest. Gives the subject of it that the registry says it lists it
    /// for; one that keeps no such lists says nothing (distribution-spec, "Pushing Manifests with Subject").
    pub async fn put_manifest(
        &self,
        tag: Option<&str>,
        digest: &Digest,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Option<Digest>, RegistryError> {
        let what = format!("manifest `{digest}`");
        let name = tag.map_or_else(|| digest.to_string(), str::to_owned);
        let url = self.http.endpoint.url(&format!("/v2/{}/manifests/{name}", self.name));
        self.retrying(async || {
            let put =
                |http: &Http| http.client().put(url.clone()).header(CONTENT_TYPE, media_type).body(bytes.to_vec());
            let answer = self.ask(&url, &what, put).await?;
            match answer.status() {
                StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED => {
                    check_told(&answer, digest, &what)?;
                    Ok(answer.headers().get("oci-subject").and_then(|value| value.to_str().ok()?.parse().ok()))
                }
                _ => Err(answer.into_status_error().await),
            }
        })
        .await
    }

    /// What a tag names, or what has a digest, where the registry has it.
    pub async fn find(&self, tag: Option<&str>, digest: &Digest) -> Result<Option<Manifest>, RegistryError> {
        let found = match tag {
            Some(tag) => self.resolve(tag).await,
            None => self.manifest(digest).await,
        };
        match found {
            Ok(manifest) => Ok(Some(manifest)),
            Err(RegistryError::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One request that is not redirected, with the authorization that the registry wants.
    async fn ask(
        &self,
        url: &Url,
        what: &str,
        request: impl Fn(&Http) -> RequestBuilder,
    ) -> Result<Answer, RegistryError> {
        self.authorized(what, async |header| {
            let request = with_authorization(request(&self.http), header);
            self.http.send(request, url, what, true).await
        })
        .await
    }
}

fn with_authorization(request: RequestBuilder, header: Option<&HeaderValue>) -> RequestBuilder {
    match header {
        Some(header) => request.header(AUTHORIZATION, header.clone()),
        None => request,
    }
}

/// Holds the digest that the registry tells against ours.
fn check_told(answer: &Answer, digest: &Digest, what: &str) -> Result<(), RegistryError> {
    let told = answer.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
    match told.and_then(|told| told.parse::<Digest>().ok()) {
        // By another algorithm it says nothing of ours.
        Some(told) if told.algorithm() == digest.algorithm() && told != *digest => Err(RegistryError::Taken {
            what: what.to_owned(),
            host: answer.host().to_owned(),
            sent: Box::new(digest.clone()),
            told: Box::new(told),
        }),
        _ => Ok(()),
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body of an upload: what comes through the channel, as long as it is as much as there has to be.
fn body_of(pieces: Receiver<Bytes>, size: u64, sent: Arc<AtomicU64>) -> Body {
    let stream = futures_util::stream::try_unfold((pieces, size, sent), async |(mut pieces, left, sent)| match pieces
        .recv()
        .await
    {
        Some(piece) if piece.len() as u64 <= left => {
            let count = piece.len() as u64;
            sent.fetch_add(count, Ordering::Relaxed);
            Ok(Some((piece, (pieces, left - count, sent))))
        }
        None if left == 0 => Ok(None),
        Some(_) | None => Err(io::Error::other("what was read is not the blob that was checked")),
    });
    Body::wrap_stream(stream)
}
