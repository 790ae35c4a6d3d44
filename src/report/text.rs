//! Reports as text, for people. Whatever comes from inside an image is escaped.

use std::fmt::{self, Display, Write};

use chrono::DateTime;

use crate::analyze::{AnalyzeReport, DocumentReport, Expected, ImageReport, LayerReport, Level, ManifestReport};
use crate::image::Platform;
use crate::image::escape::escape;
use crate::image::media_type::Compression;
use crate::report::json::render_json;

/// Width of the words on the left.
const LABEL: usize = 16;

/// The report of `repro analyze`.
#[must_use]
pub fn render_analyze(report: &AnalyzeReport) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_analyze(&mut out, report);
    out
}

fn write_analyze(out: &mut String, report: &AnalyzeReport) -> fmt::Result {
    for fault in &report.faults {
        writeln!(out, "{}: {}", fault.place, fault.message)?;
    }
    if let Some(image) = &report.image {
        write_image(out, image)?;
    }
    if let Some(expected) = &report.expected {
        writeln!(out)?;
        write_expected(out, expected, report)?;
    }
    Ok(())
}

fn write_image(out: &mut String, image: &ImageReport) -> fmt::Result {
    match &image.digest {
        Some(digest) => line(out, 0, "Image digest", digest)?,
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
    let format = if image.has_docker_manifest { "docker (with manifest.json)" } else { "OCI layout" };
    line(out, 0, "Archive", format_args!("{}, {format}", bytes(image.archive_size)))?;
    line(out, 0, "index.json", &image.index.digest)?;
    content(out, &image.index)?;
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
    Ok(())
}

fn write_manifest(out: &mut String, manifest: &ManifestReport) -> fmt::Result {
    line(out, 0, "Manifest", &manifest.document.digest)?;
    line(out, 1, "Platform", &manifest.platform)?;
    document(out, 1, &manifest.document)?;
    line(out, 1, "Created", manifest.created.as_deref().map_or("unknown".into(), escape))?;
    line(out, 1, "Config", format_args!("{} (image ID)", manifest.config.digest))?;
    document(out, 2, &manifest.config)?;
    for (at, layer) in manifest.layers.iter().enumerate() {
        write_layer(out, at, layer)?;
    }
    if manifest.layers.is_empty() {
        line(out, 1, "Layers", "none")?;
    }
    Ok(())
}

fn write_layer(out: &mut String, at: usize, layer: &LayerReport) -> fmt::Result {
    line(out, 1, &format!("Layer {at}"), &layer.digest)?;
    line(out, 2, "Diff ID", &layer.diff_id)?;
    line(out, 2, "Media type", escape(&layer.media_type))?;
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
    annotations(out, 2, &layer.annotations)
}

fn write_expected(out: &mut String, expected: &Expected, report: &AnalyzeReport) -> fmt::Result {
    let digest = &expected.digest;
    let Some(level) = expected.level else {
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
    writeln!(out, "Digest matches: {digest} is that of {what}{platform}")
}

/// What is told of every document, below its digest.
fn document(out: &mut String, depth: usize, document: &DocumentReport) -> fmt::Result {
    if let Some(media_type) = &document.media_type {
        line(out, depth, "Media type", escape(media_type))?;
    }
    line(out, depth, "Size", bytes(document.size))?;
    annotations(out, depth, &document.annotations)?;
    content(out, document)
}

fn content(out: &mut String, document: &DocumentReport) -> fmt::Result {
    let Some(content) = &document.content else { return Ok(()) };
    // The JSON form writes no character that a terminal would act on.
    let text = render_json(content).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    text.lines().try_for_each(|text| writeln!(out, "    {text}"))
}

fn annotations(
    out: &mut String,
    depth: usize,
    annotations: &std::collections::BTreeMap<String, String>,
) -> fmt::Result {
    annotations
        .iter()
        .try_for_each(|(key, value)| line(out, depth, "Annotation", format_args!("{}={}", escape(key), escape(value))))
}

fn line(out: &mut String, depth: usize, label: &str, value: impl Display) -> fmt::Result {
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
