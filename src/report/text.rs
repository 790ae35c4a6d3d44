//! Reports as text, for people. Whatever comes from inside an image is escaped.

use std::fmt::Display;
use std::io;

use chrono::DateTime;

use crate::analyze::{
    AnalyzeReport, DockerImageReport, DocumentReport, EpochSource, Expected, ImageReport, LayerReport, Level,
    ManifestReport, PlatformReport, Status,
};
use crate::image::escape::escape;
use crate::image::media_type::Compression;
use crate::image::{Container, EntryKind, Form, ListedEntry, Platform};
use crate::report::json::render_json;

/// Width of the words on the left.
const LABEL: usize = 16;

/// Width of the names of tools.
const TOOL: usize = 30;

/// Writes the report of `repro analyze`.
pub fn write_analyze(out: &mut impl io::Write, report: &AnalyzeReport) -> io::Result<()> {
    for fault in &report.faults {
        writeln!(out, "{}: {}", fault.place, fault.message)?;
    }
    if let Some(image) = &report.image {
        write_image(out, image)?;
    }
    for (at, note) in report.notes.iter().enumerate() {
        let gap = if at == 0 { "\n" } else { "" };
        writeln!(out, "{gap}note: {}: {}", note.place, note.message)?;
    }
    if let Some(expected) = &report.expected {
        writeln!(out)?;
        write_expected(out, expected, report)?;
    }
    Ok(())
}

fn write_image(out: &mut impl io::Write, image: &ImageReport) -> io::Result<()> {
    match &image.digest {
        Some(digest) => line(out, 0, "Image digest", digest)?,
        None if image.roots.is_empty() => line(out, 0, "Image digest", "none: it has no manifest until it is pushed")?,
        None => line(out, 0, "Image digest", format_args!("none: {} images side by side", image.roots.len()))?,
    }
    for root in &image.roots {
        if image.roots.len() > 1 {
            line(out, 0, "Image", &root.digest)?;
        }
        for name in &root.names {
            line(out, 0, "Name", escape(name))?;
        }
    }
    let (kind, format) = kind_of(image);
    line(out, 0, kind, format_args!("{}, {format}", bytes(image.archive_size)))?;
    if let Some(index) = &image.index {
        line(out, 0, "index.json", &index.digest)?;
        content(out, index)?;
    }
    for index in &image.indexes {
        writeln!(out)?;
        line(out, 0, "Index", &index.digest)?;
        document(out, 1, index)?;
    }
    for manifest in &image.manifests {
        writeln!(out)?;
        write_manifest(out, manifest)?;
    }
    for attestation in &image.attestations {
        writeln!(out)?;
        line(out, 0, "Attestation", &attestation.document.digest)?;
        if let Some(subject) = &attestation.subject {
            line(out, 1, "About", escape(subject))?;
        }
        document(out, 1, &attestation.document)?;
    }
    for docker in &image.docker_images {
        writeln!(out)?;
        write_docker_image(out, docker)?;
    }
    if !image.left_out.is_empty() {
        writeln!(out)?;
        for left_out in &image.left_out {
            let platform = left_out.platform.as_ref().map_or_else(String::new, |platform| format!(", {platform}"));
            line(out, 0, "Left out", format_args!("{}{platform}", left_out.digest))?;
        }
    }
    write_names(out, image)
}

/// What it is, and how it is laid out.
fn kind_of(image: &ImageReport) -> (&'static str, String) {
    let form = match image.form {
        Form::OciLayout if image.has_docker_manifest => "docker (with manifest.json)",
        Form::OciLayout => "OCI layout",
        Form::DockerArchive => "docker (manifest.json alone)",
        Form::DockerDir => "dir (of skopeo)",
        Form::Registry => "manifests and blobs",
    };
    match image.container {
        Container::Tar(Compression::None) => ("Archive", form.to_owned()),
        Container::Tar(compression) => ("Archive", format!("{form}, in {}", compression.name())),
        Container::Directory => ("Directory", form.to_owned()),
        Container::Registry => ("Registry", form.to_owned()),
    }
}

/// Three tools, three answers: which digest is which.
fn write_names(out: &mut impl io::Write, image: &ImageReport) -> io::Result<()> {
    let id = match (image.manifests.as_slice(), image.docker_images.as_slice()) {
        ([manifest], []) => manifest.image.config.digest.short(),
        ([], [docker]) => docker.image.config.digest.short(),
        // Of several platforms, each machine has its own.
        ([_, ..], []) if image.digest.is_some() => "the config of the machine's platform",
        _ => return Ok(()),
    };
    writeln!(out, "\nWhat tools print for it")?;
    let mut row = |tool: &str, text: &dyn Display| writeln!(out, "  {tool:<TOOL$}{text}");
    let Some(digest) = &image.digest else {
        row("crane digest, skopeo inspect", &"nothing that is known before it is pushed")?;
        return row("podman images, docker images", &id);
    };
    row("crane digest, skopeo inspect", digest)?;
    row("podman images", &id)?;
    row("docker images", &format_args!("{id}, or {} with containerd's image store", digest.short()))
}

fn write_docker_image(out: &mut impl io::Write, docker: &DockerImageReport) -> io::Result<()> {
    let image = &docker.image;
    line(out, 0, "Config", format_args!("{} (image ID)", image.config.digest))?;
    for name in &docker.names {
        line(out, 1, "Name", escape(name))?;
    }
    line(out, 1, "Platform", &image.platform)?;
    line(out, 1, "Size", bytes(image.config.size))?;
    content(out, &image.config)?;
    write_dates(out, image)?;
    write_layers(out, image)
}

fn write_manifest(out: &mut impl io::Write, manifest: &ManifestReport) -> io::Result<()> {
    let image = &manifest.image;
    line(out, 0, "Manifest", &manifest.document.digest)?;
    line(out, 1, "Platform", &image.platform)?;
    document(out, 1, &manifest.document)?;
    write_dates(out, image)?;
    line(out, 1, "Config", format_args!("{} (image ID)", image.config.digest))?;
    document(out, 2, &image.config)?;
    write_layers(out, image)
}

fn write_dates(out: &mut impl io::Write, image: &PlatformReport) -> io::Result<()> {
    line(out, 1, "Created", image.created.as_deref().map_or("unknown".into(), escape))?;
    let Some(epoch) = &image.epoch else { return Ok(()) };
    let by = match epoch.by {
        EpochSource::Annotation => "as BuildKit says of the layers that it rewrote",
        EpochSource::Created => "likely: created then, and nothing in it is later",
    };
    line(out, 1, "Epoch", format_args!("{} ({by})", epoch.seconds))
}

fn write_layers(out: &mut impl io::Write, image: &PlatformReport) -> io::Result<()> {
    for layer in &image.layers {
        write_layer(out, layer)?;
    }
    if image.layer_count == 0 {
        line(out, 1, "Layers", "none")?;
    }
    Ok(())
}

fn write_layer(out: &mut impl io::Write, layer: &LayerReport) -> io::Result<()> {
    line(out, 1, &format!("Layer {}", layer.number), &layer.digest)?;
    line(out, 2, "Diff ID", &layer.diff_id)?;
    if let Some(media_type) = &layer.media_type {
        line(out, 2, "Media type", escape(media_type))?;
    }
    let size = bytes(layer.size);
    match layer.compression {
        Compression::None => line(out, 2, "Size", format_args!("{size}, not compressed"))?,
        other => {
            let uncompressed = bytes(layer.uncompressed_size);
            line(out, 2, "Size", format_args!("{size}, {} of {uncompressed}", other.name()))?;
        }
    }
    line(out, 2, "Entries", layer.entries)?;
    if let (Some(oldest), Some(newest)) = (layer.oldest_mtime, layer.newest_mtime) {
        line(out, 2, "Modified", format_args!("{} to {}", date(oldest), date(newest)))?;
    }
    annotations(out, 2, &layer.annotations)?;
    match &layer.files {
        Some(files) => files.entries().each(|entry| write_entry(out, &entry)),
        None => Ok(()),
    }
}

/// As `tar -tv` has it, with the time in full.
fn write_entry(out: &mut impl io::Write, entry: &ListedEntry) -> io::Result<()> {
    let owner = format!("{}/{}", entry.uid, entry.gid);
    let (kind, mode, size, mtime) = (entry.kind.letter(), permissions(entry.mode), entry.size, date(entry.mtime));
    write!(out, "    {kind}{mode} {owner:<9} {size:>10} {mtime} {}", entry.path)?;
    match (&entry.link, entry.kind) {
        (Some(link), EntryKind::Hardlink) => writeln!(out, " link to {link}"),
        (Some(link), _) => writeln!(out, " -> {link}"),
        (None, _) => writeln!(out),
    }
}

/// Nine letters, as `ls -l` writes them.
fn permissions(mode: i64) -> String {
    let mut letters = String::with_capacity(9);
    for (shift, special, sign) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        letters.push(if bits & 4 == 0 { '-' } else { 'r' });
        letters.push(if bits & 2 == 0 { '-' } else { 'w' });
        letters.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => sign,
            (true, false) => sign.to_ascii_uppercase(),
        });
    }
    letters
}

fn write_expected(out: &mut impl io::Write, expected: &Expected, report: &AnalyzeReport) -> io::Result<()> {
    let digest = &expected.digest;
    let Some(level) = expected.level else {
        if report.status == Status::Partial {
            return writeln!(out, "Cannot tell: nothing here is {digest}, and not all is here");
        }
        let found = report.image.as_ref().and_then(|image| image.digest.as_ref());
        writeln!(out, "Digest differs")?;
        line(out, 1, "Expected", digest)?;
        return match found {
            Some(found) => line(out, 1, "Found", found),
            None => line(out, 1, "Found", "no single image"),
        };
    };
    let what = match level {
        Level::Image => "the image",
        Level::Index => "an index",
        Level::Manifest => "a manifest",
        Level::Config => "a config (image ID)",
    };
    let platform = expected.platform.as_ref().map(Platform::to_string);
    let platform = platform.map_or_else(String::new, |platform| format!(" for {platform}"));
    writeln!(out, "Digest matches: {digest} is that of {what}{platform}")?;
    if expected.is_whole { Ok(()) } else { writeln!(out, "Not all of it is here: see what is left out") }
}

/// What is told of every document, below its digest.
fn document(out: &mut impl io::Write, depth: usize, document: &DocumentReport) -> io::Result<()> {
    if let Some(media_type) = &document.media_type {
        line(out, depth, "Media type", escape(media_type))?;
    }
    line(out, depth, "Size", bytes(document.size))?;
    annotations(out, depth, &document.annotations)?;
    content(out, document)
}

fn content(out: &mut impl io::Write, document: &DocumentReport) -> io::Result<()> {
    let Some(content) = &document.content else { return Ok(()) };
    // The JSON form writes no character that a terminal would act on.
    let text = render_json(content).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    text.lines().try_for_each(|text| writeln!(out, "    {text}"))
}

fn annotations(
    out: &mut impl io::Write,
    depth: usize,
    annotations: &std::collections::BTreeMap<String, String>,
) -> io::Result<()> {
    annotations
        .iter()
        .try_for_each(|(key, value)| line(out, depth, "Annotation", format_args!("{}={}", escape(key), escape(value))))
}

fn line(out: &mut impl io::Write, depth: usize, label: &str, value: impl Display) -> io::Result<()> {
    let indent = depth * 2;
    writeln!(out, "{:indent$}{label:<width$}{value}", "", width = LABEL.saturating_sub(indent))
}

/// A size, exact, and in a unit that can be grasped.
fn bytes(size: u64) -> String {
    let (unit, name) = match size {
        0..1_000 => return format!("{size} bytes"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{size} bytes ({}.{} {name})", size / unit, size % unit * 10 / unit)
}

fn date(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0)
        .map_or_else(|| format!("{seconds} s"), |date| date.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_as_ls_writes_them() {
        for (mode, letters) in [
            (0o755, "rwxr-xr-x"),
            (0o640, "rw-r-----"),
            (0o4755, "rwsr-xr-x"),
            (0o2640, "rw-r-S---"),
            (0o1777, "rwxrwxrwt"),
            (0o1776, "rwxrwxrwT"),
        ] {
            assert_eq!(permissions(mode), letters);
        }
    }

    #[test]
    fn sizes_and_dates() {
        for (size, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_000, "1000 bytes (1.0 kB)"),
            (1_999_999, "1999999 bytes (1.9 MB)"),
            (u64::MAX, "18446744073709551615 bytes (18446744073.7 GB)"),
        ] {
            assert_eq!(bytes(size), text);
        }
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(-1), "1969-12-31T23:59:59Z");
        assert_eq!(date(i64::MAX), "9223372036854775807 s");
    }
}
