//! Layers that two passes at the same time need read only once.
//!
//! Whoever comes to a layer first inflates and walks it; the other one hashes its own copy, and takes the result where its
//! digest is the same. So two images with the same base are read side by side in little more than the time of one. What each of
//! them is told does not depend on who was first.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::archive::Content;
use crate::digest::Digest;

/// What passes at the same time have in common. Nothing, unless it is given to several.
#[derive(Debug, Clone, Default)]
pub struct SharedLayers(Option<Arc<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    layers: Mutex<HashMap<Digest, State>>,
    changed: Condvar,
}

#[derive(Debug, Clone)]
enum State {
    Claimed,
    /// Nothing where the bytes were not those of the digest, or were not read to their end.
    Done(Option<Content>),
}

/// Who reads a layer.
pub(super) enum Claim<'a> {
    /// Whoever asked, and tells what is found.
    Own(Owner<'a>),
    /// Another pass.
    Other,
    /// Nobody shares anything.
    Alone,
}

impl SharedLayers {
    /// For passes that run at the same time and are all waited for.
    #[must_use]
    pub fn new() -> Self {
        Self(Some(Arc::default()))
    }

    pub(super) fn claim(&self, digest: &Digest) -> Claim<'_> {
        let Some(shared) = &self.0 else { return Claim::Alone };
        let mut layers = shared.layers.lock().unwrap_or_else(PoisonError::into_inner);
        if layers.contains_key(digest) {
            return Claim::Other;
        }
        layers.insert(digest.clone(), State::Claimed);
        Claim::Own(Owner { shared, digest: digest.clone(), found: None })
    }

    /// What another pass found in a layer, once it is done with it.
    pub(super) fn wait_for(&self, digest: &Digest) -> Option<Content> {
        let shared = self.0.as_ref()?;
        let mut layers = shared.layers.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match layers.get(digest)? {
                State::Done(found) => return found.clone(),
                State::Claimed => layers = shared.changed.wait(layers).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Says what was found when it goes away, and be it nothing.
pub(super) struct Owner<'a> {
    shared: &'a Shared,
    digest: Digest,
    found: Option<Content>,
}

impl Owner<'_> {
    pub(super) fn tell(mut self, found: Option<Content>) {
        self.found = found;
    }
}

impl Drop for Owner<'_> {
    fn drop(&mut self) {
        let mut layers = self.shared.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.insert(self.digest.clone(), State::Done(self.found.take()));
        self.shared.changed.notify_all();
    }
}
