//! Publishing an image that was checked, unchanged: blobs first, then the documents that name them, the root last.
//!
//! What is pushed are the bytes that were read and found sound, and nothing else: a blob that is another one by the time it is
//! sent never arrives whole. What the registry has already is not sent, and what it says at the end is held against the image.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{try_join, try_join_all};
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;

use super::copy::{Places, copy_once};
use super::{Blob, Offered, RegistryError, Repository, Shipment, limits};
use crate::digest::{Algorithm, Digest};
use crate::image::source::Source;
use crate::image::{self, CopyError, Piece, stream_blobs};

/// How many passes over the archive may bring nothing further before it is given up.
const PASSES: u32 = 4;
/// The pause before the second of them; it doubles.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
/// How many blobs are on their way at the same time. Registries write a blob to disk before they answer.
pub(super) const UPLOADS_AT_ONCE: usize = 4;
/// Pieces of a blob that wait to be sent.
pub(super) const PIECES_IN_FLIGHT: usize = 8;

type Reopen = Arc<dyn Fn() -> Result<Box<dyn Source>, image::ImageError> + Send + Sync>;

/// Where the blobs come from: an image that was checked and is read once more, or other repositories.
#[derive(Clone)]
pub struct Supply {
    origin: Origin,
    /// What nobody has hashed so far, with sizes.
    unread: Arc<Mutex<BTreeMap<Digest, u64>>>,
}

#[derive(Clone)]
enum Origin {
    Image { reopen: Reopen, is_parallel: bool },
    Registry(Arc<Places>),
}

impl Supply {
    /// What `reopen` opens is read by one reader at a time.
    pub fn new(reopen: impl Fn() -> Result<Box<dyn Source>, image::ImageError> + Send + Sync + 'static) -> Self {
        Self { origin: Origin::Image { reopen: Arc::new(reopen), is_parallel: false }, unread: Arc::default() }
    }

    /// What is in registries: blobs that are neither there nor mounted are copied from where they are.
    #[must_use]
    pub fn from_registry(places: Places) -> Self {
        Self { origin: Origin::Registry(Arc::new(places)), unread: Arc::default() }
    }

    /// Several may read at the same time, each from the beginning, and to pass over what one does not want costs little.
    #[must_use]
    pub fn parallel(mut self) -> Self {
        if let Origin::Image { is_parallel, .. } = &mut self.origin {
            *is_parallel = true;
        }
        self
    }

    /// Blobs with their sizes that were passed over when the image was checked: no manifest is pushed before they are hashed,
    /// those that are sent on their way.
    #[must_use]
    pub fn with_unread(self, unread: BTreeMap<Digest, u64>) -> Self {
        Self { unread: Arc::new(Mutex::new(unread)), ..self }
    }

    fn unread(&self) -> BTreeMap<Digest, u64> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn all_read(&self) {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl fmt::Debug for Supply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supply").finish_non_exhaustive()
    }
}

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The archive is not what it was when it was checked, or cannot be read.
    #[error(transparent)]
    Read(#[from] CopyError),
    /// A blob that was passed over when the image was checked, and is another one.
    #[error("the bytes of blob `{0}` have another digest")]
    Corrupt(Box<Digest>),
    /// The repository that an image is in does not have all of it.
    #[error("blob `{0}` is not there, and not where the image that needs it is")]
    NotThere(Box<Digest>),
    /// A tag leads to a digest in sha256, everywhere.
    #[error("registries name by a tag what has a digest in sha256, and the image is {0}")]
    Algorithm(Box<Digest>),
    /// What the registry shows at the end is something else.
    #[error("{name} shows {found} after the push of {pushed}: somebody else pushed at the same time")]
    Other {
        /// The tag.
        name: String,
        /// What is there.
        found: Box<Digest>,
        /// What was pushed.
        pushed: Box<Digest>,
    },
    /// The registry does not have what it took.
    #[error("{name} is not there after the push of {pushed}")]
    Gone {
        /// The tag, or the digest.
        name: String,
        /// What was pushed.
        pushed: Box<Digest>,
    },
}

impl PushError {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Read(CopyError::Changed(_)) => "push again when nobody writes to it",
            Self::Corrupt(_) => {
                "`repro analyze` tells all that is wrong with it; no manifest was pushed, and no tag moved"
            }
            Self::Read(_) => "look whether it is still there and may be read",
            Self::NotThere(_) => {
                "push the image that it belongs to into this repository, with `repro push --by-digest`, and try again"
            }
            Self::Algorithm(_) => "push it with `--by-digest`",
            Self::Other { .. } => {
                "the image is there under its digest; look who moves the tag, and push again if it is to be yours"
            }
            Self::Gone { .. } => "the registry is in trouble, or removes what is pushed: look there",
        }
    }
}

/// Where an image goes.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The tag that is to name it; without one only its digest does.
    pub tag: Option<String>,
    /// Repositories of the same registry that may have blobs of it.
    pub mount_from: Vec<String>,
}

/// What became of a push.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pushed {
    /// What the tag named right before, or the digest itself where it was there; nothing where there was nothing.
    pub previous: Option<Digest>,
    /// Blobs that were sent.
    pub sent: usize,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Blobs that the registry took from another of its repositories.
    pub mounted: usize,
    /// Blobs that it had.
    pub present: usize,
}

/// Pushes an image to one repository.
pub async fn push(
    shipment: &Shipment,
    repository: &Repository,
    target: &Target,
    supply: &Supply,
) -> Result<Pushed, PushError> {
    let root = shipment.root();
    let tag = target.tag.as_deref();
    if tag.is_some() && root.digest.algorithm() != Algorithm::Sha256 {
        return Err(PushError::Algorithm(Box::new(root.digest.clone())));
    }
    let name = tag.map_or_else(|| root.digest.to_string(), |tag| format!("the tag `{tag}`"));
    let before = repository.find(tag, &root.digest).await?.map(|manifest| manifest.digest);
    let mut pushed = Pushed::default();
    // Asked for also where the tag is right: registries lose blobs, and people remove what looks as if it had no name.
    let mut wanted = missing(shipment, repository).await?;
    pushed.present = shipment.blobs().len() - wanted.len();
    mount(&mut wanted, repository, target, &mut pushed).await?;
    let unread = supply.unread();
    let rest = unread.iter().filter(|(digest, _)| !wanted.contains_key(*digest));
    let rest = rest.map(|(digest, size)| (digest.clone(), *size)).collect();
    let sent = try_join(send(wanted, repository, supply, &mut pushed), look_through(rest, supply)).await;
    sent.map_err(|error| match error {
        PushError::Read(CopyError::Changed(digest)) if unread.contains_key(&digest) => {
            PushError::Corrupt(Box::new(digest))
        }
        other => other,
    })?;
    supply.all_read();
    for document in shipment.documents() {
        let tag = tag.filter(|_| document.digest == root.digest);
        let found = repository.find(tag, &document.digest).await?.map(|manifest| manifest.digest);
        if document.digest == root.digest {
            if found != before {
                tracing::warn!("somebody else pushed {name} meanwhile: it is moved from there");
            }
            pushed.previous.clone_from(&found);
        }
        if found.as_ref() != Some(&document.digest) {
            repository.put_manifest(tag, &document.digest, &document.media_type, &document.bytes).await?;
        }
    }
    match repository.find(tag, &root.digest).await? {
        Some(found) if found.digest == root.digest => Ok(pushed),
        Some(found) => {
            Err(PushError::Other { name, found: Box::new(found.digest), pushed: Box::new(root.digest.clone()) })
        }
        None => Err(PushError::Gone { name, pushed: Box::new(root.digest.clone()) }),
    }
}

/// The blobs that the registry does not have.
async fn missing(shipment: &Shipment, repository: &Repository) -> Result<BTreeMap<Digest, u64>, PushError> {
    let questions = shipment.blobs().iter().map(async |(digest, size)| {
        let blob = Blob { digest: digest.clone(), size: *size };
        repository.has_blob(&blob).await.map(|is_there| (blob, is_there))
    });
    let mut answers = futures_util::stream::iter(questions).buffer_unordered(limits::ASKED_AT_ONCE);
    let mut missing = BTreeMap::new();
    while let Some(answer) = answers.next().await {
        let (blob, is_there) = answer?;
        if !is_there {
            missing.insert(blob.digest, blob.size);
        }
    }
    Ok(missing)
}

/// Lets the registry take what it can from others of its repositories.
async fn mount(
    wanted: &mut BTreeMap<Digest, u64>,
    repository: &Repository,
    target: &Target,
    pushed: &mut Pushed,
) -> Result<(), PushError> {
    for from in &target.mount_from {
        for (digest, size) in wanted.clone() {
            let blob = Blob { digest, size };
            match repository.offer_blob(&blob, Some(from)).await {
                Ok(Offered::Mounted) => {
                    tracing::info!("{} comes from `{from}` of the same registry", blob.digest);
                    wanted.remove(&blob.digest);
                    pushed.mounted += 1;
                }
                Ok(Offered::Wanted(_)) => {}
                // It only saves work: without it, the bytes are sent, and what is really wrong is told then.
                Err(error) => {
                    tracing::info!("nothing comes from `{from}`: {error}");
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Hashes blobs that are not sent. An image of which the registry has sound layers is no sound archive yet.
async fn look_through(unread: BTreeMap<Digest, u64>, supply: &Supply) -> Result<(), PushError> {
    let Origin::Image { reopen, .. } = supply.origin.clone() else { return Ok(()) };
    if unread.is_empty() {
        return Ok(());
    }
    // Whoever does not wait any more has not got this open.
    let (listening, waiting) = oneshot::channel::<()>();
    let looking = tokio::task::spawn_blocking(move || {
        let mut source = reopen()?;
        stream_blobs(source.as_mut(), &unread, |_, _| !listening.is_closed())
    });
    let looked = looking.await;
    drop(waiting);
    Ok(looked.map_err(|error| CopyError::File(std::io::Error::other(error)))??)
}

/// Sends the blobs. What fails for a moment waits for the next pass.
async fn send(
    wanted: BTreeMap<Digest, u64>,
    repository: &Repository,
    supply: &Supply,
    pushed: &mut Pushed,
) -> Result<(), PushError> {
    let mut wanted = wanted;
    let (mut passes, mut pause) = (1, PAUSE);
    while !wanted.is_empty() {
        let left = wanted.len();
        let mut failed = None;
        for (sent, failed_here) in pass(&wanted, repository, supply).await? {
            for digest in sent {
                pushed.sent += 1;
                pushed.sent_bytes += wanted.remove(&digest).unwrap_or_default();
            }
            // The one that asks for the longest pause speaks for all.
            let pause = |error: &Option<RegistryError>| error.as_ref().and_then(RegistryError::retry_after);
            if failed.is_none() || pause(&failed_here) > pause(&failed) {
                failed = failed_here.or(failed);
            }
        }
        let Some(error) = failed else { continue };
        if wanted.len() < left {
            (passes, pause) = (0, PAUSE);
        }
        if passes == PASSES {
            return Err(error.into());
        }
        let asked = error.retry_after().map_or(pause, |asked| asked.min(limits::RETRY_AFTER_MAX));
        tracing::warn!("{error}; trying again in {} s", asked.as_secs());
        tokio::time::sleep(asked).await;
        (passes, pause) = (passes + 1, pause * 2);
    }
    Ok(())
}

/// One pass, by one reader or several: what each of them says.
async fn pass(
    wanted: &BTreeMap<Digest, u64>,
    repository: &Repository,
    supply: &Supply,
) -> Result<Vec<(Vec<Digest>, Option<RegistryError>)>, PushError> {
    match &supply.origin {
        Origin::Image { reopen, is_parallel } => {
            let parts = if *is_parallel { share(wanted) } else { vec![wanted.clone()] };
            let uploads_at_once = UPLOADS_AT_ONCE.div_ceil(parts.len());
            try_join_all(parts.iter().map(|part| send_once(part, uploads_at_once, repository, reopen))).await
        }
        Origin::Registry(places) => Ok(vec![copy_once(wanted, repository, places).await?]),
    }
}

/// Shares the blobs among readers, such that each has about as much to send.
fn share(wanted: &BTreeMap<Digest, u64>) -> Vec<BTreeMap<Digest, u64>> {
    let mut parts = vec![(0, BTreeMap::new()); wanted.len().min(UPLOADS_AT_ONCE)];
    let mut blobs: Vec<_> = wanted.iter().collect();
    blobs.sort_by_key(|(_, size)| std::cmp::Reverse(**size));
    for (digest, size) in blobs {
        if let Some((bytes, part)) = parts.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            *bytes = size.saturating_add(*bytes);
            part.insert(digest.clone(), *size);
        }
    }
    // More blobs than readers, all of them empty but one, leave a reader without any.
    parts.into_iter().map(|(_, part)| part).filter(|part| !part.is_empty()).collect()
}

/// What goes from the archive to the registry.
enum Event {
    Begin(Digest),
    Bytes(Bytes),
    End(Bytes),
    /// What was read is not what was checked, or cannot be read.
    Failed(CopyError),
}

/// One pass, in the order in which the archive has the blobs: those that arrived, and what went wrong with another for a moment.
async fn send_once(
    wanted: &BTreeMap<Digest, u64>,
    uploads_at_once: usize,
    repository: &Repository,
    reopen: &Reopen,
) -> Result<(Vec<Digest>, Option<RegistryError>), PushError> {
    let (sender, mut events) = mpsc::channel(PIECES_IN_FLIGHT);
    let (reopen, of_pass) = (Arc::clone(reopen), wanted.clone());
    let reading = tokio::task::spawn_blocking(move || read(&of_pass, &reopen, &sender));
    let mut uploads = Uploads { under_way: FuturesUnordered::new(), sent: Vec::new(), failed: None };
    // Where the pieces of the blob at hand go; nothing where nobody takes them any more.
    let mut current: Option<Sender<Bytes>> = None;
    while let Some(event) = uploads.meanwhile(events.recv()).await? {
        let (piece, is_last) = match event {
            Event::Begin(digest) => {
                while uploads.under_way.len() >= uploads_at_once {
                    uploads.next().await?;
                }
                let blob = Blob { size: wanted.get(&digest).copied().unwrap_or_default(), digest };
                tracing::info!("sending {} ({} bytes)", blob.digest, blob.size);
                let (pieces, body) = mpsc::channel(PIECES_IN_FLIGHT);
                uploads.under_way.push(send_one(repository, blob, body));
                current = Some(pieces);
                continue;
            }
            Event::Bytes(piece) => (piece, false),
            Event::End(piece) => (piece, true),
            Event::Failed(error) => return Err(error.into()),
        };
        let Some(pieces) = current.take() else { continue };
        // Where nobody takes it, the answer to the upload says why.
        let is_taken = piece.is_empty() || uploads.meanwhile(pieces.send(piece)).await?.is_ok();
        current = Some(pieces).filter(|_| is_taken && !is_last);
    }
    while !uploads.under_way.is_empty() {
        uploads.next().await?;
    }
    reading.await.map_err(|error| CopyError::File(std::io::Error::other(error)))?;
    Ok((uploads.sent, uploads.failed))
}

/// Uploads at the same time: while a registry looks at one blob, the next one is on its way.
struct Uploads<F> {
    under_way: FuturesUnordered<F>,
    sent: Vec<Digest>,
    /// What may go well a moment later.
    failed: Option<RegistryError>,
}

impl<F: Future<Output = (Digest, Result<(), RegistryError>)>> Uploads<F> {
    /// Waits for `work`, and lets the uploads go on.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, PushError> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                Some(ended) = self.under_way.next(), if !self.under_way.is_empty() => self.note(ended)?,
            }
        }
    }

    /// Waits for one of them to end.
    async fn next(&mut self) -> Result<(), PushError> {
        match self.under_way.next().await {
            Some(ended) => self.note(ended),
            None => Ok(()),
        }
    }

    fn note(&mut self, (digest, ended): (Digest, Result<(), RegistryError>)) -> Result<(), PushError> {
        match ended {
            Ok(()) => self.sent.push(digest),
            Err(error) if error.is_worth_another_try() => self.failed = Some(error),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

async fn send_one(repository: &Repository, blob: Blob, pieces: Receiver<Bytes>) -> (Digest, Result<(), RegistryError>) {
    let sent = match repository.offer_blob(&blob, None).await {
        Ok(Offered::Wanted(upload)) => repository.send_blob(upload, &blob, pieces).await,
        Ok(Offered::Mounted) => Ok(()),
        Err(error) => Err(error),
    };
    (blob.digest, sent)
}

fn read(wanted: &BTreeMap<Digest, u64>, reopen: &Reopen, sender: &Sender<Event>) {
    let streamed = reopen().map_err(CopyError::from).and_then(|mut source| {
        stream_blobs(source.as_mut(), wanted, |digest, piece| {
            let event = match piece {
                Piece::Begin => Event::Begin(digest.clone()),
                Piece::Bytes(bytes) => Event::Bytes(bytes),
                Piece::End(bytes) => Event::End(bytes),
            };
            sender.blocking_send(event).is_ok()
        })
    });
    if let Err(error) = streamed {
        // Nobody listens any more where the registry failed first.
        let _ = sender.blocking_send(Event::Failed(error));
    }
}
