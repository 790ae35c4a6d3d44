//! What the image is: its arguments, names, labels, platforms, forms.

use std::collections::BTreeMap;

use super::{Notes, SettingsError};
use crate::environment::Environment;
use crate::epoch::SourceDateEpoch;
use crate::plan::{Algorithm, Annotation, ArchiveFormat, Compression, MediaTypes, Platform};
use crate::reference::ImageReference;
use crate::settings::sources::Words;
use crate::settings::{ArchiveWord, CompressionWord, MediaTypesWord, Origin, Setting};

pub fn resolve_platforms(words: &Words<'_>) -> Result<Setting<Vec<Platform>>, SettingsError> {
    let Some(given) = words.either("--platform", |words| words.platform.as_deref()) else {
        return Ok(Setting { value: vec![Platform::of_this_machine()], origin: Origin::Default });
    };
    let mut platforms = Vec::new();
    for word in given.value.split(',') {
        let platform: Platform = word.trim().parse()?;
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(Setting { value: platforms, origin: given.origin })
}

pub fn resolve_archive(words: &Words<'_>, platforms: usize) -> Result<Setting<ArchiveFormat>, SettingsError> {
    let several = platforms > 1;
    Ok(match words.either("--archive", |words| words.archive) {
        // BuildKit accepts this, fails at the end of the build and leaves an empty file.
        Some(given) if several && given.value == ArchiveWord::Docker => {
            return Err(SettingsError::DockerArchive(platforms));
        }
        Some(given) => {
            let value = if given.value == ArchiveWord::Docker { ArchiveFormat::Docker } else { ArchiveFormat::Oci };
            Setting { value, origin: given.origin }
        }
        None if several => Setting { value: ArchiveFormat::Oci, origin: Origin::Flag("--platform") },
        None => Setting { value: ArchiveFormat::Docker, origin: Origin::Default },
    })
}

pub fn resolve_media_types(words: &Words<'_>, notes: &mut Notes) -> Option<MediaTypes> {
    notes.one(words, "--media-types", |words| words.media_types).map(|word| match word {
        MediaTypesWord::Docker => MediaTypes::Docker,
        MediaTypesWord::Oci => MediaTypes::Oci,
    })
}

pub fn resolve_compression(words: &Words<'_>, notes: &mut Notes) -> Result<Compression, SettingsError> {
    const LEVEL: &str = "--compression-level";
    let algorithm = match notes.one(words, "--compression", |words| words.compression) {
        None | Some(CompressionWord::Gzip) => Algorithm::Gzip,
        Some(CompressionWord::Estargz) => Algorithm::Estargz,
        Some(CompressionWord::Zstd) => Algorithm::Zstd,
        Some(CompressionWord::Uncompressed) => Algorithm::Uncompressed,
    };
    let level = notes.one(words, LEVEL, |words| words.compression_level);
    if let Some(level) = level
        && algorithm.highest_level().is_none_or(|highest| level > highest)
    {
        let origin = words.either(LEVEL, |words| words.compression_level).map_or(Origin::Default, |given| given.origin);
        let why = match algorithm {
            Algorithm::Gzip | Algorithm::Estargz => "gzip and estargz have the levels 0 to 9",
            Algorithm::Zstd => "zstd has the levels 0 to 22",
            Algorithm::Uncompressed => "what is not compressed has no level",
        };
        return Err(SettingsError::Word { origin, text: level.to_string(), why });
    }
    let force = notes.switch(words, "--force-compression", |words| words.force_compression);
    Ok(Compression { algorithm, level, force })
}

pub fn resolve_annotations(
    words: &Words<'_>,
    platforms: &[Platform],
    notes: &mut Notes,
) -> Result<Vec<Annotation>, SettingsError> {
    let mut annotations = Vec::new();
    for given in notes.list(words, "--annotation", |words| &words.annotation) {
        for mut annotation in Annotation::parse(given.value)? {
            if annotation.target.needs_index() && platforms.len() == 1 {
                return Err(SettingsError::NoIndex(given.value.to_owned()));
            }
            // BuildKit drops without a word what is for another platform, and of one platform all that names it.
            if let Some(platform) = &annotation.platform {
                if !platforms.contains(platform) {
                    return Err(SettingsError::NotBuilt(given.value.to_owned(), platform.to_string()));
                }
                annotation.platform = annotation.platform.filter(|_| platforms.len() > 1);
            }
            // The last one counts. buildx would keep several of one platform, and take any of them.
            let place = (annotation.target, annotation.platform.clone(), annotation.key.clone());
            annotations.retain(|other: &Annotation| (other.target, other.platform.clone(), other.key.clone()) != place);
            annotations.push(annotation);
        }
    }
    Ok(annotations)
}

pub fn resolve_build_args(
    words: &Words<'_>,
    environment: &Environment,
    epoch: SourceDateEpoch,
    notes: &mut Notes,
) -> Result<BTreeMap<String, String>, SettingsError> {
    const FLAG: &str = "--build-arg";
    let mut build_args = BTreeMap::new();
    for given in words.items(FLAG, |words| &words.build_arg) {
        let text = given.value;
        let wrong = |why| SettingsError::Word { origin: given.origin, text: text.to_owned(), why };
        let (name, value) = if let Some((name, value)) = text.split_once('=') {
            (name, value.to_owned())
        } else if let Some(value) = environment.get(text) {
            (text, value.to_str().ok_or_else(|| wrong("its value is not UTF-8"))?.to_owned())
        } else {
            notes.warnings.push(format!(
                "build argument {text} has no value, and no variable of that name is set: it is left out"
            ));
            continue;
        };
        if name.is_empty() {
            return Err(wrong("the name is empty"));
        }
        if name == "SOURCE_DATE_EPOCH" {
            if value == epoch.to_string() {
                continue;
            }
            return Err(wrong("it is not the epoch of this build"));
        }
        notes.came_from(FLAG, name, given.origin);
        build_args.insert(name.to_owned(), value);
    }
    Ok(build_args)
}

pub fn resolve_labels(words: &Words<'_>, notes: &mut Notes) -> Result<BTreeMap<String, String>, SettingsError> {
    const FLAG: &str = "--label";
    let mut labels = BTreeMap::new();
    for given in words.items(FLAG, |words| &words.label) {
        let (key, value) = given.value.split_once('=').unwrap_or((given.value, ""));
        if key.is_empty() {
            return Err(SettingsError::Word {
                origin: given.origin,
                text: given.value.to_owned(),
                why: "the key is empty",
            });
        }
        notes.came_from(FLAG, key, given.origin);
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

pub fn resolve_tags(words: &Words<'_>, notes: &mut Notes) -> Result<Vec<String>, SettingsError> {
    let mut tags = Vec::new();
    for given in notes.list(words, "--tag", |words| &words.tag) {
        let text = given.value.to_owned();
        let reference: ImageReference =
            text.parse().map_err(|source| SettingsError::Tag { origin: given.origin, text: text.clone(), source })?;
        if reference.digest().is_some() {
            let why = "a name cannot hold the digest of what is still to be built";
            return Err(SettingsError::Word { origin: given.origin, text, why });
        }
        tags.push(text);
    }
    Ok(tags)
}
