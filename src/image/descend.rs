//! Descriptors of an index followed to what they describe: further indexes, images, attestations.

use super::fault::{FaultKind, ImageError, shorten};
use super::media_type::{IN_TOTO, Kind, kind_of};
use super::model::{Attestation, Descriptor, Document, Index, Platform};
use super::promises;
use super::resolve::{Draft, Envelope, Resolver};
use crate::digest::Digest;
use crate::limits;

const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// The platforms of the images that a document leads to: as many as it takes to find one that a descriptor contradicts.
///
/// An index can lead to thousands, and be named thousands of times. A descriptor says one value of each field and contradicts
/// one of any two, so two values of each are enough.
#[derive(Debug, Clone, Default)]
pub(super) struct Platforms(Vec<Platform>);

impl Platforms {
    fn add(&mut self, platform: &Platform) {
        let is_needed = |field: fn(&Platform) -> Vec<&str>| {
            let mut values: Vec<_> = self.0.iter().map(field).collect();
            values.sort();
            values.dedup();
            values.len() < 2 && !values.contains(&field(platform))
        };
        let fields: [fn(&Platform) -> Vec<&str>; 5] = [
            |one| vec![&one.os],
            |one| vec![&one.architecture],
            |one| vec![one.normal_variant()],
            |one| vec![&one.os_version],
            |one| one.os_features.iter().map(String::as_str).collect(),
        ];
        if fields.into_iter().any(is_needed) {
            self.0.push(platform.clone());
        }
    }

    /// The first that the descriptor contradicts.
    fn contradicted(&self, descriptor: &Descriptor) -> Option<FaultKind> {
        self.0.iter().find_map(|platform| promises::platform(descriptor, platform))
    }
}

impl Resolver {
    /// Follows a descriptor of an index to what it describes.
    pub(super) fn follow(&mut self, place: &str, descriptor: Descriptor, depth: u32) -> Result<(), ImageError> {
        let is_attestation = descriptor.is_called_attestation();
        let key = (descriptor.digest.clone(), is_attestation);
        // With no room for another fault the answer is known, and each step could cost as much as the first.
        if self.faults.is_full() || self.check_again(place, &descriptor, &key) {
            return Ok(());
        }
        if self.may_be_partial && depth > 1 && !self.blobs.contains_key(&descriptor.digest) {
            self.leave_out(key, descriptor);
            return Ok(());
        }
        let Some(document) = self.document(place, &descriptor)? else { return Ok(()) };
        let inside = format!("`{}`", descriptor.digest);
        let Some(envelope) = self.envelope(&inside, &document) else { return Ok(()) };
        if self.may_be_partial && depth > 1 && self.is_hollow(&envelope) {
            self.leave_out(key, descriptor);
            return Ok(());
        }
        let media_type = self.media_type(place, &descriptor.media_type, &envelope);
        self.visited.insert(key.clone(), (media_type.clone(), Platforms::default()));
        match kind_of(&media_type) {
            Kind::Index(_) => {
                let link = descriptor.clone();
                let platforms = self.index(descriptor, document, media_type.clone(), envelope, depth)?;
                // An engine that chooses by the outer index would get what it did not ask for.
                if let Some(kind) = platforms.contradicted(&link) {
                    self.faults.add(place, kind);
                }
                self.visited.insert(key, (media_type, platforms));
            }
            Kind::Manifest(_) if is_attestation => self.attestation(&inside, descriptor, document, &envelope),
            Kind::Manifest(family) => {
                let draft = Draft { descriptor, document, media_type: media_type.clone(), family };
                if let Some(manifest) = self.manifest(place, &inside, draft, envelope)? {
                    self.visited.insert(key, (media_type, Platforms(vec![manifest.config.platform.clone()])));
                    self.manifests.push(manifest);
                }
            }
            _ => {
                let expected = "an index or a manifest";
                self.unusable(place, FaultKind::WrongKind { expected, found: media_type });
            }
        }
        Ok(())
    }

    /// Whether nothing is here that a manifest names.
    fn is_hollow(&self, envelope: &Envelope) -> bool {
        let blobs = envelope.config.iter().chain(envelope.layers.iter().flatten());
        envelope.config.is_some() && !blobs.into_iter().any(|blob| self.blobs.contains_key(&blob.digest))
    }

    fn leave_out(&mut self, key: (Digest, bool), descriptor: Descriptor) {
        self.visited.insert(key, (descriptor.media_type.clone(), Platforms::default()));
        self.left_out.push(descriptor);
    }

    /// A second descriptor of the same document must say the same: BuildKit writes one for each name. False for a first one.
    fn check_again(&mut self, place: &str, descriptor: &Descriptor, key: &(Digest, bool)) -> bool {
        let Some((media_type, platforms)) = self.visited.get(key) else { return false };
        if !descriptor.media_type.is_empty() && descriptor.media_type != *media_type {
            let (expected, found) = (shorten(&descriptor.media_type), shorten(media_type));
            self.faults.add(place, FaultKind::MediaType { expected, found });
        }
        if let Some(kind) = platforms.contradicted(descriptor) {
            self.faults.add(place, kind);
        }
        if let Some(size) = self.blobs.get(&descriptor.digest).map(|blob| blob.size) {
            self.check_size(place, descriptor, size);
        }
        true
    }

    /// Follows what an index names; gives the platforms of the images below it.
    fn index(
        &mut self,
        descriptor: Descriptor,
        document: Document,
        media_type: String,
        envelope: Envelope,
        depth: u32,
    ) -> Result<Platforms, ImageError> {
        let mut platforms = Platforms::default();
        let inside = format!("`{}`", descriptor.digest);
        if depth >= limits::INDEX_DEPTH {
            self.unusable(&inside, FaultKind::IndexDepth);
            return Ok(platforms);
        }
        let Some(descriptors) = envelope.manifests else {
            self.unusable(&inside, FaultKind::Json("there is no `manifests`".to_owned()));
            return Ok(platforms);
        };
        self.indexes.push(Index { descriptor, document, media_type, annotations: envelope.annotations });
        for (at, descriptor) in descriptors.into_iter().enumerate() {
            let key = (descriptor.digest.clone(), descriptor.is_called_attestation());
            self.follow(&format!("{inside} manifests[{at}]"), descriptor, depth + 1)?;
            let below = self.visited.get(&key).map(|(_, below)| below.0.clone()).unwrap_or_default();
            for platform in &below {
                platforms.add(platform);
            }
        }
        Ok(platforms)
    }

    fn attestation(&mut self, inside: &str, descriptor: Descriptor, document: Document, envelope: &Envelope) {
        // Without one it may be an index to whoever goes by the form.
        let Some(config) = &envelope.config else {
            self.unusable(inside, FaultKind::Json("there is no `config`".to_owned()));
            return;
        };
        let layers = envelope.layers.as_deref().unwrap_or_default();
        // Its layers would run, whatever it is called.
        if let Some(layer) = layers.iter().find(|layer| matches!(kind_of(&layer.media_type), Kind::Layer(..))) {
            let found = layer.media_type.clone();
            self.faults.add(inside, FaultKind::WrongKind { expected: "a statement", found });
        }
        let is_statements = layers.iter().all(|layer| layer.media_type == IN_TOTO);
        // Statements are no file trees: that their bytes are the ones named is all there is to check.
        let layers = layers.iter().map(|layer| ("layers", layer));
        for (name, blob) in [("config", config)].into_iter().chain(layers) {
            self.size_of(&format!("{inside} {name}"), blob);
        }
        let subject = descriptor.annotations.get(REFERENCE_DIGEST).cloned();
        self.attestations.push(Attestation { descriptor, document, subject, is_statements });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_platforms_stand_for_thousands() {
        let mut kept = Platforms::default();
        for number in 0..1000 {
            let variant = format!("x{number}");
            kept.add(&Platform { variant, os_version: number.to_string(), .."linux/arm".parse().unwrap() });
        }
        kept.add(&"windows/amd64".parse().unwrap());
        assert!(kept.0.len() < 5, "{kept:?}");
        for word in ["linux/arm/x0", "linux/arm/x500", "windows/amd64"] {
            let link = serde_json::json!({ "digest": Digest::of(b"").to_string(), "size": 0 });
            let mut link: Descriptor = serde_json::from_value(link).unwrap();
            assert!(kept.contradicted(&link).is_none());
            link.platform = Some(word.parse().unwrap());
            assert!(kept.contradicted(&link).is_some(), "{word}");
        }
    }
}
