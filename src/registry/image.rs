//! An image straight from its registry: manifests first, then every blob streamed through the pass of [`crate::image`] and
//! kept nowhere.

use std::collections::{BTreeMap, HashSet, VecDeque};

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{Blob, Manifest, RegistryError, Repository};
use crate::digest::Digest;
use crate::image::media_type::{Kind, kind_of};
use crate::image::source::{Container, Member, Origin, Source};
use crate::image::{self, Copies, Descriptor, FaultKind, Image, Platform, ReadOptions, links_of, read_source};
use crate::limits;
use crate::reference::ImageReference;

/// Pieces of a blob that wait for the pass.
const PIECES_IN_FLIGHT: usize = 64;

/// Why an image of a registry was not read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The registry did not give it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It is not what it should be.
    #[error(transparent)]
    Image(#[from] image::ImageError),
}

/// Reads the image that `reference` names and checks all of it. Without tag and digest it is `latest`, as everywhere. With a
/// platform only what an index has for that is fetched; the rest is left out, which `options` has to allow.
///
/// What the registry serves under another digest than asked for is a fault of the image, told with all others; whatever
/// keeps it from serving is an error of its own.
pub async fn load_image(
    repository: &Repository,
    reference: &ImageReference,
    platform: Option<&Platform>,
    options: ReadOptions,
) -> Result<Image, ImageError> {
    let top = match reference.digest() {
        Some(digest) => repository.manifest(digest).await,
        None => repository.resolve(reference.tag().unwrap_or("latest")).await,
    };
    let top = top.map_err(served_wrongly)?;
    tracing::info!("{reference} is {}", top.digest);
    let root = Descriptor {
        media_type: String::new(),
        digest: top.digest.clone(),
        size: top.bytes.len() as u64,
        platform: None,
        annotations: BTreeMap::new(),
    };
    let (documents, blobs) = collect(repository, top, platform).await?;
    let (sender, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
    let name = reference.to_string();
    let pass = tokio::task::spawn_blocking(move || {
        read_source(&mut RegistrySource::new(documents, receiver, Some((root, name))), &options)
    });
    let fed = feed(repository, &blobs, sender).await;
    let image = pass.await.map_err(|error| image::ImageError::Open(std::io::Error::other(error)))?;
    fed?;
    Ok(image?)
}

/// Why blobs of a registry were not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The registry did not give them.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// They are not what they were, or cannot be kept.
    #[error(transparent)]
    Copy(#[from] image::CopyError),
}

/// Fetches blobs of an image that was read before, to be read again.
pub async fn copy_blobs(repository: &Repository, wanted: &BTreeMap<Digest, u64>) -> Result<Copies, CopyError> {
    let blobs: Vec<Blob> = wanted.iter().map(|(digest, size)| Blob { digest: digest.clone(), size: *size }).collect();
    let (sender, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
    let wanted = wanted.clone();
    let pass = tokio::task::spawn_blocking(move || {
        image::copy_blobs(&mut RegistrySource::new(Vec::new(), receiver, None), &wanted)
    });
    let fed = feed(repository, &blobs, sender).await;
    let copies = pass.await.map_err(|error| image::CopyError::File(std::io::Error::other(error)))?;
    fed?;
    Ok(copies?)
}

/// Of a document, only its digest is known beforehand: another one is a fault of the image.
fn served_wrongly(error: RegistryError) -> ImageError {
    match error {
        RegistryError::Digest { .. } | RegistryError::TooLarge { .. } => {
            let mut faults = image::Faults::default();
            faults.add("registry", FaultKind::Served(error.to_string()));
            image::ImageError::Faults(faults.into_vec()).into()
        }
        other => other.into(),
    }
}

/// Fetches all indexes and manifests; gives them, and the blobs that they name, each once.
async fn collect(
    repository: &Repository,
    top: Manifest,
    platform: Option<&Platform>,
) -> Result<(Vec<Manifest>, Vec<Blob>), ImageError> {
    let wanted = |link: &Descriptor| match (platform, &link.platform) {
        (Some(wanted), Some(found)) => wanted.agrees_with(found),
        _ => true,
    };
    let mut seen = HashSet::from([top.digest.clone()]);
    let (mut documents, mut blobs) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    let mut pending = VecDeque::from([(top, 1)]);
    while let Some((document, depth)) = pending.pop_front() {
        bytes += document.bytes.len() as u64;
        if bytes > limits::DOCUMENTS_TOTAL_BYTES {
            return Err(limit(limits::DOCUMENTS_TOTAL_BYTES, "bytes of JSON"));
        }
        let links = links_of(&document.bytes);
        documents.push(document);
        blobs.extend(
            links
                .blobs
                .into_iter()
                .filter(|blob| seen.insert(blob.digest.clone()))
                .map(|blob| Blob { digest: blob.digest, size: blob.size }),
        );
        if (seen.len() + links.documents.len()) as u64 > limits::ARCHIVE_MEMBERS {
            return Err(limit(limits::ARCHIVE_MEMBERS, "manifests and blobs"));
        }
        if depth > limits::INDEX_DEPTH {
            continue;
        }
        for link in links.documents {
            if !is_document(&link) || !wanted(&link) || !seen.insert(link.digest.clone()) {
                continue;
            }
            match repository.manifest(&link.digest).await {
                Ok(document) => pending.push_back((document, depth + 1)),
                // An index may name what its registry does not have. Whether that matters is for the checks to say.
                Err(RegistryError::Status { status: 404, .. }) => {}
                Err(error) => return Err(served_wrongly(error)),
            }
        }
    }
    Ok((documents, blobs))
}

const fn limit(limit: u64, what: &'static str) -> ImageError {
    ImageError::Image(image::ImageError::Limit { limit, what })
}

/// Whether a registry serves it as a manifest. A media type that is not known is for the checks to complain of.
fn is_document(descriptor: &Descriptor) -> bool {
    descriptor.media_type.is_empty() || matches!(kind_of(&descriptor.media_type), Kind::Index(_) | Kind::Manifest(_))
}

/// What goes from the registry to the pass.
enum Piece {
    /// A blob begins.
    Begin(Blob),
    /// Bytes of it.
    Bytes(Vec<u8>),
    /// It ends. With a fault, what came is not what its descriptor says.
    End(Option<FaultKind>),
    /// There are no more blobs.
    Done,
}

/// Streams the blobs to the pass; ends early where nobody listens any more, because the pass has failed.
async fn feed(repository: &Repository, blobs: &[Blob], sender: Sender<Piece>) -> Result<(), RegistryError> {
    for blob in blobs {
        // Where a blob is missing, the pass never hears of it.
        let mut has_begun = false;
        let streamed = repository
            .stream_blob(blob, async |bytes| {
                if !std::mem::replace(&mut has_begun, true) && sender.send(Piece::Begin(blob.clone())).await.is_err() {
                    return false;
                }
                sender.send(Piece::Bytes(bytes.to_vec())).await.is_ok()
            })
            .await;
        let fault = match streamed {
            Ok(()) => None,
            Err(error @ RegistryError::Size { .. }) => Some(FaultKind::Served(error.to_string())),
            Err(RegistryError::Status { status: 404, .. }) if !has_begun => continue,
            Err(error) => return Err(error),
        };
        if !has_begun && sender.send(Piece::Begin(blob.clone())).await.is_err() {
            return Ok(());
        }
        if sender.send(Piece::End(fault)).await.is_err() {
            return Ok(());
        }
    }
    let _ = sender.send(Piece::Done).await;
    Ok(())
}

/// The pass's end.
struct RegistrySource {
    documents: VecDeque<Manifest>,
    receiver: Receiver<Piece>,
    root: Option<(Descriptor, String)>,
    /// Bytes of the current member, and how many of them were read.
    current: (Vec<u8>, usize),
    is_blob: bool,
    fault: Option<FaultKind>,
    bytes: u64,
}

impl RegistrySource {
    fn new(documents: Vec<Manifest>, receiver: Receiver<Piece>, root: Option<(Descriptor, String)>) -> Self {
        Self {
            documents: documents.into(),
            receiver,
            root,
            current: (Vec::new(), 0),
            is_blob: false,
            fault: None,
            bytes: 0,
        }
    }

    fn next_piece(&mut self) -> Result<Piece, image::ImageError> {
        // The other side tells its own error.
        let gone = || image::ImageError::Open(std::io::Error::other("the registry's answer ended"));
        self.receiver.blocking_recv().ok_or_else(gone)
    }
}

impl Source for RegistrySource {
    fn next_member(&mut self) -> Result<Option<Member>, image::ImageError> {
        self.fault = None;
        if let Some(document) = self.documents.pop_front() {
            let member = Member::blob(&document.digest, document.bytes.len() as u64);
            self.bytes += document.bytes.len() as u64;
            self.current = (document.bytes, 0);
            return Ok(Some(member));
        }
        loop {
            match self.next_piece()? {
                Piece::Begin(blob) => {
                    self.current = (Vec::new(), 0);
                    self.is_blob = true;
                    return Ok(Some(Member::blob(&blob.digest, blob.size)));
                }
                // Left over from a member that was not read to its end.
                Piece::Bytes(_) | Piece::End(_) => {}
                Piece::Done => return Ok(None),
            }
        }
    }

    fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, image::ImageError> {
        while self.current.1 == self.current.0.len() {
            if !self.is_blob {
                return Ok(0);
            }
            match self.next_piece()? {
                Piece::Bytes(bytes) => {
                    self.bytes += bytes.len() as u64;
                    self.current = (bytes, 0);
                }
                Piece::End(fault) => {
                    self.fault = fault;
                    self.is_blob = false;
                }
                Piece::Begin(_) | Piece::Done => return Ok(0),
            }
        }
        let (bytes, at) = &mut self.current;
        let count = buffer.len().min(bytes.len() - *at);
        buffer[..count].copy_from_slice(&bytes[*at..*at + count]);
        *at += count;
        Ok(count)
    }

    fn fault(&mut self) -> Option<FaultKind> {
        self.fault.take()
    }

    fn finish(&mut self) -> Result<Origin, image::ImageError> {
        let root = self.root.take();
        Ok(Origin { container: Container::Registry, bytes: self.bytes, after_end: None, root, notes: Vec::new() })
    }
}
