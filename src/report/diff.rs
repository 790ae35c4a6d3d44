//! A comparison as text, for people: what came out, why, then where. Whatever comes from inside an image is escaped.

use std::fmt::Write as _;
use std::io;

use crate::diff::content::Content;
use crate::diff::model::{
    Comparison, Confidence, Difference, EntryDifference, EqualLevel, Finding, ImageRef, Instruction, Kind, LayerPair,
    PlatformPair, Relation, Side, Verdict,
};
use crate::image::Platform;

/// Entries that are told of each layer.
const ENTRIES: usize = 8;
/// Differences that are told of each document.
const DIFFERENCES: usize = 20;
/// Parts and lines that are told of each content.
const PARTS: usize = 8;

/// Writes the report of `repro diff`.
pub fn write_diff(out: &mut impl io::Write, comparison: &Comparison) -> io::Result<()> {
    write_side(out, "A", &comparison.a)?;
    write_side(out, "B", &comparison.b)?;
    writeln!(out, "\n{}", headline(comparison))?;
    for note in &comparison.notes {
        writeln!(out, "note: {note}")?;
    }
    if let Some(summary) = summary(comparison) {
        writeln!(out, "{summary}")?;
    }
    for ignored in comparison.ignored.iter().filter(|ignored| ignored.differences > 0) {
        writeln!(out, "ignored: {} ({})", plural(ignored.differences, "difference"), ignored.by.name())?;
    }
    for finding in &comparison.findings {
        writeln!(out)?;
        write_finding(out, finding)?;
    }
    write_list(out, "Around the image (no part of it)", &comparison.archive)?;
    write_list(out, "Index", &comparison.index)?;
    write_list(out, "Attestations", &comparison.attestations)?;
    comparison.platforms.iter().try_for_each(|pair| write_platform(out, pair))
}

fn write_side(out: &mut impl io::Write, letter: &str, side: &Side) -> io::Result<()> {
    let digest = side.digest.as_ref().map_or_else(|| "no digest of its own".to_owned(), ToString::to_string);
    writeln!(out, "{letter}  {}  {digest}", side.name)
}

/// What came out, in one line.
#[must_use]
pub fn headline(comparison: &Comparison) -> String {
    let of = comparison.platform.as_ref().map_or_else(String::new, |platform| format!(" for {platform}"));
    match comparison.verdict {
        Verdict::Identical => format!("Identical{of}, bit for bit"),
        Verdict::Equal => format!("Equal{of}: the configs and the contents of all layers are"),
        Verdict::EqualIgnoring => format!("Equal{of}, but for what was ignored"),
        Verdict::AttestationsOnly => {
            format!("Different{of}: the manifests are equal, the index differs by attestations only")
        }
        Verdict::Different => {
            let level = match comparison.equal {
                EqualLevel::Image | EqualLevel::Manifest => "the manifests are equal, what refers to them is not",
                EqualLevel::Config => "the configs are equal, thus the contents of all layers; the manifests are not",
                EqualLevel::Layers => "the contents of all layers are equal, the configs are not",
                EqualLevel::None => return format!("Different{of}"),
            };
            format!("Different{of}: {level}")
        }
    }
}

/// How much has a cause, in one line; none where nothing differs.
#[must_use]
pub fn summary(comparison: &Comparison) -> Option<String> {
    let summary = &comparison.summary;
    if summary.differences == 0 {
        return None;
    }
    let mut parts = Vec::new();
    if summary.entries > 0 {
        parts.push(format!("{} of {} differing entries", summary.explained_entries, summary.entries));
    }
    if summary.others > 0 {
        parts.push(format!("{} of {} other differences", summary.explained_others, summary.others));
    }
    let causes = match comparison.findings.len() {
        0 => "No cause was found: unknown".to_owned(),
        1 => "1 cause explains".to_owned(),
        count => format!("{count} causes explain"),
    };
    if comparison.findings.is_empty() {
        let what = [(summary.entries, "entry", "entries"), (summary.others, "other difference", "other differences")];
        let counted = what.iter().filter(|(count, ..)| *count > 0);
        let counted = counted.map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }));
        return Some(format!("{causes} for {}", counted.collect::<Vec<_>>().join(" and ")));
    }
    let names = comparison.findings.iter().take(4).map(|finding| {
        let count = if finding.entries > 0 { finding.entries } else { finding.differences };
        let line = finding.instructions.iter().find_map(line_of).map_or_else(String::new, |line| format!(", {line}"));
        format!("{} ({count}{line})", finding.id)
    });
    let more = comparison.findings.len().saturating_sub(4);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("{causes} {}: {}{more}", parts.join(" and "), names.collect::<Vec<_>>().join(", ")))
}

fn line_of(instruction: &Instruction) -> Option<String> {
    let file = instruction.file.as_ref()?.to_string();
    let name = file.rsplit('/').next().unwrap_or_default().to_owned();
    Some(format!("{name}:{}", instruction.first_line?))
}

/// An instruction with its lines, or in the words of the history.
#[must_use]
pub fn shown_instruction(instruction: &Instruction) -> String {
    let text = cut(&instruction.text.to_string(), 100);
    line_of(instruction).map_or_else(|| text.clone(), |line| format!("{line} {text}"))
}

fn cut(text: &str, most: usize) -> String {
    text.char_indices().nth(most).map_or_else(|| text.to_owned(), |(end, _)| format!("{}…", &text[..end]))
}

/// The word for how sure a cause is.
#[must_use]
pub const fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::High => "sure",
        Confidence::Medium => "likely",
        Confidence::Low => "perhaps",
    }
}

fn write_finding(out: &mut impl io::Write, finding: &Finding) -> io::Result<()> {
    let mut counted = plural(finding.differences, "difference");
    if finding.entries > 0 {
        let _ = write!(
            counted,
            " in {}",
            if finding.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", finding.entries) }
        );
    }
    let follows = if finding.is_consequence { ", follows from others" } else { "" };
    writeln!(out, "{} ({}{follows}): {counted}", finding.id, confidence(finding.confidence))?;
    writeln!(out, "  {}", finding.explanation)?;
    if let Some(fix) = &finding.fix {
        writeln!(out, "  fix: {fix}")?;
    }
    for instruction in &finding.instructions {
        writeln!(out, "  at {}", shown_instruction(instruction))?;
    }
    let places: Vec<String> = finding.places.iter().take(3).map(|place| cut(&place.to_string(), 80)).collect();
    writeln!(out, "  in {}", places.join(", "))
}

fn write_list(out: &mut impl io::Write, title: &str, list: &[Difference]) -> io::Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    write_differences(out, "  ", list)
}

fn write_differences(out: &mut impl io::Write, indent: &str, list: &[Difference]) -> io::Result<()> {
    for difference in list.iter().take(DIFFERENCES) {
        writeln!(out, "{indent}{}", shown(difference))?;
    }
    if list.len() > DIFFERENCES {
        writeln!(out, "{indent}… and {} more", list.len() - DIFFERENCES)?;
    }
    Ok(())
}

/// One difference in one line.
#[must_use]
pub fn shown(difference: &Difference) -> String {
    let place = difference.place.as_ref().map(|place| cut(&place.to_string(), 100));
    let what = match (difference.kind, place) {
        (Kind::Value, Some(place)) => place,
        (kind, Some(place)) => format!("{} {place}", kind.name()),
        (kind, None) => kind.name().to_owned(),
    };
    let value = |text: &Option<crate::diff::model::Text>| text.as_ref().map(|text| cut(&text.to_string(), 160));
    let values = match (difference.kind, value(&difference.a), value(&difference.b)) {
        (Kind::Missing, Some(a), None) => format!("only in A: {a}"),
        (Kind::Missing, None, Some(b)) => format!("only in B: {b}"),
        (_, Some(a), Some(b)) => format!("{a} → {b}"),
        (_, Some(a), None) => format!("{a} → none"),
        (Kind::Value | Kind::Record | Kind::Atime | Kind::Ctime | Kind::Package, None, Some(b)) => {
            format!("none → {b}")
        }
        (_, None, Some(b)) => b,
        (_, None, None) => "differs".to_owned(),
    };
    let mut line = format!("{what}: {values}");
    if let Some(by) = difference.ignored_by {
        let _ = write!(line, " (ignored: {})", by.name());
    } else if !difference.causes.is_empty() {
        let _ = write!(line, " [{}]", difference.causes.join(", "));
    }
    line
}

fn write_platform(out: &mut impl io::Write, pair: &PlatformPair) -> io::Result<()> {
    let differing: Vec<&LayerPair> = pair.layers.iter().filter(|layer| layer_differs(layer)).collect();
    let is_equal = pair.manifest.is_empty() && pair.config.is_empty() && differing.is_empty();
    if is_equal {
        return Ok(());
    }
    writeln!(out, "\n{}", platform(&pair.platform))?;
    let digests = [(&pair.a, "A"), (&pair.b, "B")];
    for (side, letter) in digests.iter().filter_map(|(side, letter)| side.as_ref().map(|side| (side, letter))) {
        writeln!(out, "  {letter}  {}", image(side))?;
    }
    if !pair.manifest.is_empty() {
        writeln!(out, "  Manifest")?;
        write_differences(out, "    ", &pair.manifest)?;
    }
    if !pair.config.is_empty() {
        writeln!(out, "  Config")?;
        write_differences(out, "    ", &pair.config)?;
    }
    for layer in differing {
        write_layer(out, layer)?;
    }
    let same = pair.layers.iter().filter(|layer| layer.relation == Relation::Same).count();
    if same > 0 {
        writeln!(out, "  {} the same", if same == 1 { "1 layer is".to_owned() } else { format!("{same} layers are") })?;
    }
    Ok(())
}

/// Whether there is anything to tell of a layer.
#[must_use]
pub fn layer_differs(layer: &LayerPair) -> bool {
    layer.relation != Relation::Same && (layer.differing_entries > 0 || !layer.differences.is_empty())
        || !layer.differences.is_empty()
}

/// A platform, or what stands for one.
#[must_use]
pub fn platform(platform: &Platform) -> String {
    if platform.os.is_empty() { "Image".to_owned() } else { platform.to_string() }
}

fn image(side: &ImageRef) -> String {
    match (&side.manifest, &side.config) {
        (Some(manifest), _) => format!("manifest {manifest}"),
        (None, Some(config)) => format!("config {config} (no manifest)"),
        (None, None) => "nothing that could be read".to_owned(),
    }
}

/// The numbers of a layer on both sides, and what they have to do with each other.
#[must_use]
pub fn layer_title(layer: &LayerPair) -> String {
    let number = |side: &Option<crate::diff::model::LayerRef>| side.as_ref().map(|side| side.number);
    let numbers = match (number(&layer.a), number(&layer.b)) {
        (Some(a), Some(b)) if a == b => format!("Layer {a}"),
        (Some(a), Some(b)) => format!("Layer {a} of A, {b} of B"),
        (Some(a), None) => format!("Layer {a} of A"),
        (None, Some(b)) => format!("Layer {b} of B"),
        (None, None) => "Layer".to_owned(),
    };
    let relation = match layer.relation {
        Relation::CompressionOnly => ": the same contents, compressed in another way",
        Relation::OnlyA | Relation::OnlyB => ": no counterpart",
        Relation::Same | Relation::Different => "",
    };
    format!("{numbers}{relation}")
}

/// How many entries differ, and in what; none where none does.
#[must_use]
pub fn entry_counts(layer: &LayerPair) -> Option<String> {
    if layer.differing_entries == 0 {
        return None;
    }
    let total = [&layer.a, &layer.b].into_iter().flatten().map(|side| side.entries).max().unwrap_or_default();
    let mut kinds: Vec<(&str, u64)> = layer.kinds.iter().map(|(kind, count)| (*kind, *count)).collect();
    kinds.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
    let kinds: Vec<String> = kinds.into_iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let ignored = match layer.ignored_entries {
        0 => String::new(),
        ignored => format!(", {ignored} of them ignored"),
    };
    Some(format!("{} of {total} entries differ{ignored}: {}", layer.differing_entries, kinds.join(", ")))
}

fn write_layer(out: &mut impl io::Write, layer: &LayerPair) -> io::Result<()> {
    writeln!(out, "  {}", layer_title(layer))?;
    if let Some(instruction) = &layer.instruction {
        writeln!(out, "    {}", shown_instruction(instruction))?;
    }
    write_differences(out, "    ", &layer.differences)?;
    let Some(counts) = entry_counts(layer) else { return Ok(()) };
    writeln!(out, "    {counts}")?;
    // What nobody asked not to see comes first.
    let (counting, ignored): (Vec<_>, Vec<_>) = layer.entries.iter().partition(|entry| entry.counts());
    for entry in counting.iter().chain(&ignored).take(ENTRIES) {
        write_entry(out, entry)?;
    }
    let told = layer.entries.len().min(ENTRIES) as u64;
    if layer.differing_entries > told {
        writeln!(out, "      … and {} more (`--format json` has them)", layer.differing_entries - told)?;
    }
    Ok(())
}

fn write_entry(out: &mut impl io::Write, entry: &EntryDifference) -> io::Result<()> {
    writeln!(out, "      {}", entry_title(entry))?;
    for difference in &entry.differences {
        writeln!(out, "        {}", shown(difference))?;
    }
    entry.content.as_ref().map_or(Ok(()), |content| write_content(out, content))
}

/// The path of an entry; `/` for the root.
#[must_use]
pub fn entry_title(entry: &EntryDifference) -> String {
    let path = entry.path.to_string();
    let path = if path.is_empty() { "/".to_owned() } else { cut(&path, 200) };
    if entry.occurrence == 0 { path } else { format!("{path} (number {} of this path)", entry.occurrence + 1) }
}

fn write_content(out: &mut impl io::Write, content: &Content) -> io::Result<()> {
    writeln!(out, "          {}", content_title(content))?;
    for part in content.parts.iter().take(PARTS) {
        writeln!(out, "            {}", shown(part))?;
    }
    let more = content.parts.len().saturating_sub(PARTS) as u64 + content.more;
    if more > 0 {
        writeln!(out, "            … and {more} more")?;
    }
    for line in content.lines.iter().take(PARTS) {
        writeln!(out, "            {}", cut(&line.to_string(), 160))?;
    }
    let more = content.lines.len().saturating_sub(PARTS) as u64 + content.more_lines;
    if more > 0 {
        writeln!(out, "            … and {more} more lines")?;
    }
    Ok(())
}

/// What a content is, and where it begins to differ.
#[must_use]
pub fn content_title(content: &Content) -> String {
    let mut title = content.format.name().to_owned();
    if let Some(first) = content.first_difference {
        let _ = write!(title, ", the first byte that differs is number {first}");
    }
    if let Some(note) = &content.note {
        let _ = write!(title, " ({note})");
    }
    title
}

fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
