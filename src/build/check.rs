//! Whether what BuildKit wrote is what was asked for: nothing of the builder's word is taken on trust that its bytes can show.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::Value;

use super::base::{BaseImage, Library, check_base, load_bases};
use super::error::BuildError;
use super::frontend::built_with;
use super::outcome::{BuildOutcome, BuiltManifest, BuiltWith, PinProof};
use super::prepare::Prepared;
use crate::digest::Digest;
use crate::image::media_type::Family;
use crate::image::rewrite::{Base, Verdict, check_rewritten};
use crate::image::{Image, Manifest, metadata_agrees};
use crate::limits::FINDINGS_LIMIT;
use crate::network::Route;
use crate::pin::{Version, check_usable};
use crate::plan::{ArchiveFormat, BuildPlan, MediaTypes};
use crate::provenance::Provenance;
use crate::runtime::execute::ExecuteError;
use crate::runtime::remote::Daemon;
use crate::runtime::steps;

/// What the runtime left behind.
#[derive(Debug)]
pub struct Findings {
    digest: Digest,
    config_digest: Option<Digest>,
    provenance: Option<Provenance>,
    bases: Option<Vec<BaseImage>>,
    version: Option<Version>,
    rootless: Option<bool>,
    daemon: Daemon,
}

/// The line of `/proc/self/uid_map` where all ids are those of the machine: no user namespace (user_namespaces(7)).
const ALL_IDS: &str = "0 0 4294967295";

impl Findings {
    /// Reads what the steps name, and the documents of the bases from where they are.
    pub async fn load(findings: &steps::Findings, library: &Library<'_>) -> Result<Self, BuildError> {
        let wrong = |why: String| BuildError::Metadata(why);
        let metadata = read_bounded(&findings.metadata)?;
        let metadata: Value = serde_json::from_slice(&metadata).map_err(|error| wrong(error.to_string()))?;
        let digest = |key: &str| {
            metadata
                .get(key)
                .and_then(Value::as_str)
                .map(|text| text.parse::<Digest>().map_err(|error| wrong(error.to_string())))
        };
        let provenance = match &findings.provenance {
            Some(path) => Provenance::parse(&read_bounded(path)?),
            None => Provenance::from_buildx_metadata(&metadata),
        };
        let provenance = match (provenance, &findings.records) {
            (None, Some(records)) => recorded(&read_bounded(records)?, &metadata, library).await,
            (found, _) => found,
        };
        let bases = match &provenance {
            Some(provenance) => load_bases(provenance, library).await,
            None => None,
        };
        let version = read_bounded(&findings.version)?;
        let version = String::from_utf8_lossy(&version);
        Ok(Self {
            digest: digest("containerimage.digest").ok_or_else(|| wrong("no `containerimage.digest`".to_owned()))??,
            config_digest: digest("containerimage.config.digest").transpose()?,
            provenance,
            bases,
            version: parse_version(&version),
            rootless: findings.user_ids.as_deref().map(is_user_namespace).transpose()?,
            daemon: Daemon::parse(&version),
        })
    }
}

/// The provenance that the daemon's record of a build names, for each platform.
async fn recorded(records: &[u8], metadata: &Value, library: &Library<'_>) -> Option<Provenance> {
    let build = metadata.get("buildx.build.ref")?.as_str()?.rsplit('/').next()?;
    let records = String::from_utf8_lossy(records);
    let of_build = records.lines().filter_map(|line| line.split_once(' ')).filter(|(of, _)| *of == build);
    let mut documents = Vec::new();
    for (_, digest) in of_build {
        let document = library.load(&digest.parse().ok()?, None, None).await?;
        documents.extend(document.to_string().into_bytes());
    }
    Provenance::parse(&documents)
}

fn is_user_namespace(user_ids: &Path) -> Result<bool, BuildError> {
    is_partial(String::from_utf8_lossy(&read_bounded(user_ids)?).trim())
}

fn is_partial(line: &str) -> Result<bool, BuildError> {
    match line.split(' ').filter(|word| word.parse::<u32>().is_ok()).count() {
        3 => Ok(line != ALL_IDS),
        _ => Err(BuildError::Metadata(format!("`{line}` is no line of /proc/self/uid_map"))),
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, BuildError> {
    let own = |source| BuildError::Own { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(own)?;
    file.take(FINDINGS_LIMIT + 1).read_to_end(&mut bytes).map_err(own)?;
    if bytes.len() as u64 > FINDINGS_LIMIT {
        return Err(BuildError::Metadata(format!("more than {FINDINGS_LIMIT} bytes")));
    }
    Ok(bytes)
}

/// Whether what a client said of its daemon has a version in it.
pub fn says_version(path: &Path) -> bool {
    read_bounded(path).is_ok_and(|text| parse_version(&String::from_utf8_lossy(&text)).is_some())
}

/// The version in `BuildKit version: v0.19.0` (buildx) or `BuildKit: github.com/moby/buildkit v0.19.0 …` (buildctl).
fn parse_version(text: &str) -> Option<Version> {
    let is_version = |line: &&str| ["BuildKit version:", "BuildKit:"].iter().any(|name| line.starts_with(name));
    let line = text.lines().find(is_version)?;
    line.split_whitespace().filter(|word| word.starts_with('v')).find_map(Version::parse)
}

/// Holds the image against the plan and the builder's findings.
///
/// `cache_made` is when the builder's cache was made, in seconds since 1970, as far as that is known.
pub fn check(
    prepared: &Prepared,
    image: &Image,
    findings: &Findings,
    cache_made: Option<i64>,
) -> Result<BuildOutcome, BuildError> {
    let plan = &prepared.plan;
    check_version(prepared, findings)?;
    metadata_agrees(image, &findings.digest, findings.config_digest.as_ref()).map_err(BuildError::Disagreement)?;
    check_shape(plan, image)?;
    check_proxy(&prepared.route, image)?;
    let epoch = plan.epoch.seconds();
    let candidates = candidates(plan, findings);
    let mut manifests = Vec::new();
    let mut older = 0;
    // What somebody else's BuildKit keeps, and since when, is not known, and nothing else can be built on: that is warned of.
    let cached = if prepared.address.is_some() { None } else { earliest_cached(plan, cache_made) };
    for manifest in &image.manifests {
        check_base_layers(plan, manifest, findings)?;
        let base = candidates.as_deref().map_or(Base::Unknown, Base::Known);
        if !plan.rewrite_timestamp {
            manifests.push(built_manifest(manifest, 0));
            continue;
        }
        let base_layers = match check_rewritten(manifest, epoch, base) {
            Verdict::Proved(proof) => proof.base_layers.unwrap_or_default(),
            Verdict::Refuted(faults) => {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                return Err(BuildError::NotRewritten(faults.join("\n")));
            }
            Verdict::Unproved(reason) => return Err(BuildError::Unproved(reason.to_string())),
        };
        check_cached(manifest, base_layers, epoch, cached)?;
        let own = manifest.layers.iter().skip(base_layers).filter_map(|layer| layer.facts.epoch.as_ref());
        older += own.map(|facts| facts.older).sum::<u64>();
        manifests.push(built_manifest(manifest, base_layers));
    }
    Ok(BuildOutcome {
        schema: "repro.build.v1",
        image_digest: findings.digest.clone(),
        manifests,
        epoch: plan.epoch,
        archive_format: plan.archive,
        archive: None,
        archive_bytes: image.archive_bytes,
        built_with: what_built(prepared, findings),
        frontend: built_with(&plan.frontend, findings.provenance.as_ref())?,
        materials: findings.provenance.as_ref().map(|provenance| provenance.materials.clone()).unwrap_or_default(),
        warnings: warnings(prepared, image, findings, older),
        plan: plan.clone(),
    })
}

fn what_built(prepared: &Prepared, findings: &Findings) -> BuiltWith {
    let pin = &prepared.plan.pin;
    // Somebody else's BuildKit says which version it is; of which image it is, nothing is known.
    let is_proved = prepared.address.is_none();
    BuiltWith {
        runtime: prepared.runtime_name.name(),
        address: prepared.address.clone(),
        rootless: rootless(prepared, findings),
        pin: if is_proved { PinProof::Proved } else { PinProof::Unproved },
        image: is_proved.then(|| pin.source.to_string()),
        digest: is_proved.then(|| pin.digest.clone()),
        version: findings.version,
    }
}

/// How far the clocks of this machine and of the builder's may be apart, in seconds.
const CLOCKS_APART: i64 = 3600;

/// The earliest time at which something can have been made that this build found in a cache; `None` where it had none.
fn earliest_cached(plan: &BuildPlan, cache_made: Option<i64>) -> Option<i64> {
    match (plan.cache_from.is_empty(), plan.no_cache) {
        // Nothing says how old the parts of an imported cache are.
        (false, _) => Some(i64::MIN),
        (true, true) => None,
        (true, false) => Some(cache_made.map_or(i64::MIN, |made| made.saturating_sub(CLOCKS_APART))),
    }
}

/// Rewriting is a clamp: what a step made before the epoch and a cache kept has its own time in the image, and the time of the
/// epoch in an image that is built without that cache. What is older than the cache was not made by a step that it kept.
fn check_cached(manifest: &Manifest, base: usize, epoch: i64, cached: Option<i64>) -> Result<(), BuildError> {
    let Some(cached) = cached else { return Ok(()) };
    for (layer, facts) in manifest.layers.iter().map(|layer| &layer.facts.epoch).enumerate().skip(base) {
        if let Some(found) = facts.as_ref().and_then(|facts| facts.newest_older).filter(|newest| *newest >= cached) {
            return Err(BuildError::CachedBeforeEpoch { layer, found, epoch });
        }
    }
    Ok(())
}

/// The layers of the images that the build read: as their registries describe them, else as the record of the build does.
fn candidates(plan: &BuildPlan, findings: &Findings) -> Option<Vec<Vec<Digest>>> {
    if let Some(bases) = &findings.bases {
        // Compressed anew, a layer of the base has another digest, and what is in it still has the same.
        let layers = |base: &BaseImage| if plan.compression.force { &base.diff_ids } else { &base.layers }.clone();
        return Some(bases.iter().map(layers).collect());
    }
    let complete = findings.provenance.as_ref().filter(|provenance| !provenance.incomplete);
    complete.map(|provenance| provenance.image_layers.clone())
}

fn check_base_layers(plan: &BuildPlan, manifest: &Manifest, findings: &Findings) -> Result<(), BuildError> {
    if plan.compression.force {
        return Ok(());
    }
    let layers: Vec<_> = manifest.layers.iter().map(|layer| (&layer.descriptor.digest, &layer.diff_id)).collect();
    check_base(&layers, findings.bases.as_deref().unwrap_or_default()).map_err(BuildError::BaseSubstituted)
}

fn check_version(prepared: &Prepared, findings: &Findings) -> Result<(), BuildError> {
    let plan = &prepared.plan;
    if let Some(address) = &prepared.address {
        // It was asked before the build, too: one that was replaced meanwhile is another.
        return Ok(findings.daemon.check(address, plan.pin.version).map_err(ExecuteError::from)?);
    }
    let found = findings.version.map_or_else(|| "of unknown version".to_owned(), |version| version.to_string());
    match (plan.pin.version, findings.version) {
        (Some(expected), found_version) if found_version != Some(expected) => {
            Err(BuildError::OtherVersion { found, expected, digest: plan.pin.digest.clone() })
        }
        (_, Some(version)) if !prepared.any_buildkit => Ok(check_usable(version)?),
        _ => Ok(()),
    }
}

/// The archive's format, platforms and media types are those of the plan.
fn check_shape(plan: &BuildPlan, image: &Image) -> Result<(), BuildError> {
    let wrong = |why: String| Err(BuildError::NotAsAsked(why));
    if image.docker_manifest.is_some() != (plan.archive == ArchiveFormat::Docker) {
        return wrong(format!("the archive is not in the format `{}`", plan.archive.exporter()));
    }
    let mut asked: Vec<String> = plan.platforms.iter().map(ToString::to_string).collect();
    let mut found: Vec<String> = image.manifests.iter().map(platform_of).collect();
    asked.sort();
    found.sort();
    if asked != found {
        return wrong(format!("platforms {} were asked for, and {} are there", asked.join(", "), found.join(", ")));
    }
    let family = match plan.media_types {
        MediaTypes::Docker => Family::Docker,
        MediaTypes::Oci => Family::Oci,
    };
    if image.manifests.iter().any(|manifest| manifest.family != family) {
        return wrong(format!("the media types are not those of {family:?}"));
    }
    Ok(())
}

/// BuildKit keeps the proxies that RUN is told out of the image, unless the Dockerfile makes something of them.
fn check_proxy(route: &Route, image: &Image) -> Result<(), BuildError> {
    let Some(proxy) = route.proxy.as_ref().filter(|_| route.proxy_in_run) else { return Ok(()) };
    let holds = |manifest: &&Manifest| String::from_utf8_lossy(&manifest.config.document.bytes).contains(proxy.url());
    image.manifests.iter().find(holds).map_or(Ok(()), |manifest| Err(BuildError::ProxyInImage(platform_of(manifest))))
}

fn platform_of(manifest: &Manifest) -> String {
    let platform = &manifest.config.platform;
    let text = platform.to_string();
    text.parse::<crate::plan::Platform>().map_or(text, |normal| normal.to_string())
}

fn built_manifest(manifest: &Manifest, base_layers: usize) -> BuiltManifest {
    BuiltManifest {
        platform: platform_of(manifest),
        digest: manifest.document.digest.clone(),
        config_digest: manifest.config.document.digest.clone(),
        layers: manifest.layers.len(),
        base_layers,
        layer_bytes: manifest.layers.iter().map(|layer| layer.descriptor.size).sum(),
    }
}

fn warnings(prepared: &Prepared, image: &Image, findings: &Findings, older: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    if !prepared.plan.rewrite_timestamp {
        warnings
            .push("the times of files are as they were in this build: another build gives another digest".to_owned());
    }
    if findings.bases.is_none() {
        warnings.push(
            if prepared.address.is_some() {
                "the manifests of the base images cannot be had from their registry, so it is not checked that their layers are in \
                 the image as it stores them"
            } else {
                "the manifests of the base images are not kept by this BuildKit, so it is not checked that their layers are in the \
                 image as their registry stores them"
            }
            .to_owned(),
        );
    }
    if let Some(snapshotter) = findings.daemon.snapshotter.as_ref().filter(|name| *name != "overlayfs") {
        warnings.push(format!(
            "this BuildKit keeps its layers with the snapshotter {snapshotter}: hard links and removed files can give another digest \
             than with overlayfs, which repro uses everywhere else"
        ));
    }
    if older > 0 {
        let shared =
            if prepared.address.is_some() { ", and so does a cache that kept what a step made then" } else { "" };
        warnings.push(format!(
            "{older} entries of the layers that this build made are older than the epoch and keep their times: \
             a copy of the context with other times gives another digest{shared}"
        ));
    }
    let rootless = rootless(prepared, findings);
    if rootless != Some(false) {
        let affected = image.manifests.iter().filter(|manifest| runs_without_sys(manifest)).map(platform_of);
        warnings.extend(setuid_warning(&prepared.plan.context, rootless.is_none()));
        warnings.extend(affected.map(|platform| {
            format!(
                "{platform}: RUN on a base without /sys, without root: a BuildKit that runs as root leaves an empty directory sys/ \
                 in the layer of the first RUN, this one does not (moby/buildkit#6686), so the digest differs from a build as root; \
                 a base with /dev, /proc and /sys gives the same digest everywhere"
            )
        }));
    }
    warnings
}

/// Whether RUN happened in a user namespace, where that is known.
fn rootless(prepared: &Prepared, findings: &Findings) -> Option<bool> {
    prepared.rootless.or(findings.rootless)
}

/// BuildKit without root writes the data of a file after its mode, and the kernel then drops setuid and setgid: measured, for
/// files that are not empty and come from the context.
fn setuid_warning(context: &Path, perhaps: bool) -> Option<String> {
    let mut found = Vec::new();
    find_setuid(context, &mut found);
    let first = found.first()?;
    Some(format!(
        "{} setuid or setgid files in the context, `{}` among them: a BuildKit without root{} loses these bits in COPY, one that runs \
         as root keeps them, so the digest differs where they reach the image; `COPY --chmod=4755` gives the same everywhere",
        found.len(),
        first.display(),
        if perhaps { ", which this one may be," } else { "" }
    ))
}

fn find_setuid(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            find_setuid(&entry.path(), found);
        } else if metadata.is_file() && metadata.len() > 0 && metadata.mode() & 0o6000 != 0 {
            found.push(entry.path());
        }
    }
    found.sort();
}

/// Whether the image ran something and holds no `/sys`.
fn runs_without_sys(manifest: &Manifest) -> bool {
    let runs = manifest.config.history.iter().any(|step| step.created_by.starts_with("RUN ") && !step.empty_layer);
    runs && !manifest.layers.iter().any(|layer| layer.facts.has_sys_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_namespace_has_not_all_ids() {
        assert!(!is_partial("0 0 4294967295").unwrap());
        assert!(is_partial("0 1000 1").unwrap());
        assert!(is_partial("0 0 65536").unwrap());
        for line in ["", "0 0", "0 0 many"] {
            assert!(is_partial(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_version_is_read_from_both_clients() {
        let buildctl = "BuildKit: github.com/moby/buildkit v0.19.0 ";
        let buildx = "Name:   repro\nDriver: docker-container\n\nNodes:\nName:                  repro0\nBuildKit daemon flags: --x\nBuildKit version:      v0.31.1\n";
        assert_eq!(parse_version(buildctl), Some(Version::new(0, 19, 0)));
        assert_eq!(parse_version(buildx), Some(Version::new(0, 31, 1)));
        assert_eq!(parse_version(""), None);
    }
}
