//! Blobs that lie in another repository or registry, on their way through this machine: nothing is kept, and what is not what its
//! digest says never arrives whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join;
use futures_util::stream::{self, StreamExt as _};
use tokio::sync::mpsc;

use super::push::{PIECES_IN_FLIGHT, PushError, UPLOADS_AT_ONCE};
use super::{Blob, Offered, RegistryError, Repository, check_digest};
use crate::digest::{Digest, Hasher};

/// Where each blob is.
pub type Places = BTreeMap<Digest, Arc<Repository>>;

/// Copies each blob once: those that arrived, and what went wrong with another for a moment.
pub(super) async fn copy_once(
    wanted: &BTreeMap<Digest, u64>,
    repository: &Repository,
    places: &Places,
) -> Result<(Vec<Digest>, Option<RegistryError>), PushError> {
    let copies = wanted.iter().map(|(digest, size)| {
        let blob = Blob { digest: digest.clone(), size: *size };
        async move {
            let copied = match places.get(&blob.digest) {
                Some(from) => copy_one(from, repository, &blob).await,
                None => Err(PushError::NotThere(Box::new(blob.digest.clone()))),
            };
            (blob.digest, copied)
        }
    });
    let mut under_way = stream::iter(copies).buffer_unordered(UPLOADS_AT_ONCE);
    let (mut sent, mut failed) = (Vec::new(), None);
    while let Some((digest, ended)) = under_way.next().await {
        match ended {
            Ok(()) => sent.push(digest),
            Err(PushError::Registry(error)) if error.is_worth_another_try() => failed = Some(error),
            Err(error) => return Err(error),
        }
    }
    Ok((sent, failed))
}

async fn copy_one(from: &Repository, to: &Repository, blob: &Blob) -> Result<(), PushError> {
    let Offered::Wanted(upload) = to.offer_blob(blob, None).await? else { return Ok(()) };
    tracing::info!("copying {} ({} bytes) from `{}`", blob.digest, blob.size, from.name);
    let (pieces, body) = mpsc::channel(PIECES_IN_FLIGHT);
    // What was sent is let go of at the end of this, thus a blob that is wrong is never sent to its end.
    let reading = async move {
        let mut hasher = Hasher::new(blob.digest.algorithm());
        let (mut held, mut is_taken): (Option<Bytes>, _) = (None, true);
        let read = from.stream_blob(blob, async |chunk| {
            hasher.update(chunk);
            if let Some(before) = held.replace(Bytes::copy_from_slice(chunk)) {
                is_taken = pieces.send(before).await.is_ok();
            }
            is_taken
        });
        read.await?;
        // Where nobody takes it, the answer to the upload says why.
        if is_taken {
            check_digest(Some(&blob.digest), hasher.finish(), &format!("blob `{}`", blob.digest), &from.registry)?;
            if let Some(last) = held {
                let _ = pieces.send(last).await;
            }
        }
        Ok(())
    };
    let (read, sent) = join(reading, to.send_blob(upload, blob, body)).await;
    match read {
        Err(RegistryError::Status { status: 404, .. }) => Err(PushError::NotThere(Box::new(blob.digest.clone()))),
        read => Ok(read.and(sent)?),
    }
}
