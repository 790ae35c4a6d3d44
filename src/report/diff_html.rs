//! A comparison as one page that needs nothing else: no script, no font, no picture from anywhere.
//!
//! Every text goes through `text`, whoever wrote it.

use std::io;

use super::diff::{
    confidence, content_title, entry_counts, entry_title, headline, layer_differs, layer_title, platform, shown,
    shown_instruction, summary,
};
use super::html::{POLICY, text};
use crate::diff::model::{Comparison, Difference, EntryDifference, Finding, LayerPair, PlatformPair};

/// Entries that are on the page of each layer.
const ENTRIES: usize = 2_000;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c;background:#fff}\
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2rem}code,pre,.m{font-family:ui-monospace,monospace;font-size:13px;overflow-wrap:anywhere}\
pre{background:#f5f5f5;padding:.5rem;white-space:pre-wrap}details{margin:.3rem 0 .3rem 1rem}summary{cursor:pointer}\
.cause{border-left:4px solid #b45309;padding:.2rem .8rem;margin:.8rem 0}.equal{color:#15803d}.different{color:#b91c1c}\
@media(prefers-color-scheme:dark){body{color:#e5e5e5;background:#171717}pre{background:#262626}}";

/// Writes the page.
pub fn write_diff_html(out: &mut impl io::Write, comparison: &Comparison) -> io::Result<()> {
    let (a, b) = (comparison.a.name.to_string(), comparison.b.name.to_string());
    let class = if comparison.verdict.is_equal() { "equal" } else { "different" };
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{} and {}</title><style>{STYLE}</style></head><body>\n\
         <h1 class=\"{class}\">{}</h1>\n",
        text(&a),
        text(&b),
        text(&headline(comparison)),
    )?;
    for (letter, side) in [("A", &comparison.a), ("B", &comparison.b)] {
        let digest = side.digest.as_ref().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "<div class=\"m\">{letter} {} {}</div>", text(&side.name.to_string()), text(&digest))?;
    }
    for line in comparison.notes.iter().cloned().chain(summary(comparison)) {
        writeln!(out, "<p>{}</p>", text(&line))?;
    }
    for ignored in comparison.ignored.iter().filter(|ignored| ignored.differences > 0) {
        writeln!(out, "<p>ignored: {} ({})</p>", ignored.differences, text(ignored.by.name()))?;
    }
    comparison.findings.iter().try_for_each(|finding| write_finding(out, finding))?;
    write_list(out, "Around the image (no part of it)", &comparison.archive)?;
    write_list(out, "Index", &comparison.index)?;
    write_list(out, "Attestations", &comparison.attestations)?;
    comparison.platforms.iter().try_for_each(|pair| write_platform(out, pair))?;
    writeln!(out, "</body></html>")
}

fn write_finding(out: &mut impl io::Write, finding: &Finding) -> io::Result<()> {
    writeln!(
        out,
        "<div class=\"cause\"><strong>{}</strong> ({}): {} entries, {} differences<br>{}",
        text(finding.id),
        confidence(finding.confidence),
        finding.entries,
        finding.differences,
        text(&finding.explanation),
    )?;
    if let Some(fix) = &finding.fix {
        writeln!(out, "<br><em>fix:</em> {}", text(fix))?;
    }
    for instruction in &finding.instructions {
        writeln!(out, "<br><code>{}</code>", text(&shown_instruction(instruction)))?;
    }
    writeln!(out, "</div>")
}

fn write_list(out: &mut impl io::Write, title: &str, list: &[Difference]) -> io::Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h2>{}</h2>", text(title))?;
    write_differences(out, list)
}

fn write_differences(out: &mut impl io::Write, list: &[Difference]) -> io::Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    writeln!(out, "<ul class=\"m\">")?;
    list.iter().try_for_each(|difference| writeln!(out, "<li>{}</li>", text(&shown(difference))))?;
    writeln!(out, "</ul>")
}

fn write_platform(out: &mut impl io::Write, pair: &PlatformPair) -> io::Result<()> {
    writeln!(out, "<h2>{}</h2>", text(&platform(&pair.platform)))?;
    write_differences(out, &pair.manifest)?;
    write_differences(out, &pair.config)?;
    pair.layers.iter().filter(|layer| layer_differs(layer)).try_for_each(|layer| write_layer(out, layer))
}

fn write_layer(out: &mut impl io::Write, layer: &LayerPair) -> io::Result<()> {
    writeln!(out, "<details open><summary>{}</summary>", text(&layer_title(layer)))?;
    if let Some(instruction) = &layer.instruction {
        writeln!(out, "<pre>{}</pre>", text(&shown_instruction(instruction)))?;
    }
    write_differences(out, &layer.differences)?;
    if let Some(counts) = entry_counts(layer) {
        writeln!(out, "<p>{}</p>", text(&counts))?;
    }
    layer.entries.iter().take(ENTRIES).try_for_each(|entry| write_entry(out, entry))?;
    let told = layer.entries.len().min(ENTRIES) as u64;
    if layer.differing_entries > told {
        writeln!(out, "<p>… and {} more entries</p>", layer.differing_entries - told)?;
    }
    writeln!(out, "</details>")
}

fn write_entry(out: &mut impl io::Write, entry: &EntryDifference) -> io::Result<()> {
    writeln!(out, "<details><summary class=\"m\">{}</summary>", text(&entry_title(entry)))?;
    write_differences(out, &entry.differences)?;
    if let Some(content) = &entry.content {
        writeln!(out, "<p>{}</p>", text(&content_title(content)))?;
        write_differences(out, &content.parts)?;
        if content.more > 0 {
            writeln!(out, "<p>… and {} more</p>", content.more)?;
        }
        if !content.lines.is_empty() {
            let lines: Vec<String> = content.lines.iter().map(|line| text(&line.to_string())).collect();
            writeln!(out, "<pre>{}</pre>", lines.join("\n"))?;
        }
        if content.more_lines > 0 {
            writeln!(out, "<p>… and {} more lines</p>", content.more_lines)?;
        }
    }
    writeln!(out, "</details>")
}
