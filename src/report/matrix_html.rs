//! What `repro matrix` found as one page that needs nothing else: no script, no font, no picture from anywhere.
//!
//! Every text of a history was written by somebody: it goes through `shown`. What a colour says, a word says as well.

mod strip;

use std::io::{self, Write};

use self::strip::{write_points, write_strip};
use super::html::{POLICY, text};
use super::matrix::{difference_in_words, to_the_second, totals, unfinished};
use crate::digest::Digest;
use crate::image::escape::escape;
use crate::matrix::history::{CauseRecord, DifferenceRecord, SideRecord};
use crate::matrix::summary::{
    BadCell, CellReport, ChangeReport, GroupReport, ImageReport, MatrixReport, RecheckReport, RunReport, When,
};
use crate::matrix::verdict::{Verdict, find_difference};

const STYLE: &str = include_str!("matrix_html/page.css");

/// Runs in the small strip of an image: what a phone shows side by side.
const RECENT: usize = 30;

/// Cells that are not equal and stand open on the page; where there are more, one opens the list.
const OPEN: usize = 3;

/// Rechecks that are on the page, the newest first. The JSON has all of them.
const RECHECKS: usize = 60;

/// Writes the page.
pub fn write_matrix_html(out: &mut impl Write, report: &MatrixReport) -> io::Result<()> {
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Reproducibility matrix{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#content\">Skip to the images</a>\n<header>\n<h1>Reproducibility matrix</h1>\n",
        report.run.as_ref().map(|run| format!(": {}", shown(&totals_first(report, run)))).unwrap_or_default(),
    )?;
    write_head(out, report)?;
    writeln!(out, "</header>\n<main id=\"content\" tabindex=\"-1\">")?;
    if report.images.len() > 1 {
        write_cards(out, report)?;
    }
    for (number, image) in report.images.iter().enumerate() {
        write_image(out, image, &anchor(number, image))?;
    }
    write_rechecks(out, &report.rechecks)?;
    write_unread(out, report)?;
    let runs = if report.runs == 1 { "1 run".to_owned() } else { format!("{} runs", report.runs) };
    write!(
        out,
        "</main>\n<footer>\n<p>Made by <code>repro matrix report</code> of a history of {runs}. A cell is equal where something \
         else gave its digest that no cache can have handed on: another cell, an earlier run of the same source, or the matrix, which expects it.</p>\n\
         </footer>\n</body>\n</html>\n"
    )
}

/// A text of the history.
fn shown(told: &str) -> String {
    text(&escape(told))
}

fn totals_first(report: &MatrixReport, run: &RunReport) -> String {
    let equal = report.totals.get(&Verdict::Equal).copied().unwrap_or(0);
    format!("{equal} of {} cells are equal", run.planned.max(run.done))
}

fn write_head(out: &mut impl Write, report: &MatrixReport) -> io::Result<()> {
    let Some(run) = &report.run else { return writeln!(out, "<p>No run is in this history.</p>") };
    let state = if run.ended { "" } else { ", not finished" };
    writeln!(
        out,
        "<p><strong>{}.</strong> <span class=\"soft\">Run <code>{}</code>, {}, {} of {} cells have ended{state}.</span></p>",
        shown(&totals_first(report, run)),
        shown(&run.id),
        time(&run.time),
        run.done,
        run.planned,
    )?;
    if report.totals.is_empty() {
        return Ok(());
    }
    // The same as the list below it.
    write!(out, "<div class=\"bar\" aria-hidden=\"true\">")?;
    for (verdict, count) in counted(report) {
        write!(out, "<span class=\"{}\" style=\"flex:{count}\"></span>", class(verdict))?;
    }
    writeln!(out, "</div>\n<ul class=\"plain totals\" aria-label=\"{}\">", text(&totals(report)))?;
    for (verdict, count) in counted(report) {
        writeln!(out, "<li>{}</li>", badge_of(verdict, Some(count)))?;
    }
    writeln!(out, "</ul>")
}

fn counted(report: &MatrixReport) -> impl Iterator<Item = (Verdict, usize)> {
    Verdict::ALL.into_iter().filter_map(|verdict| Some((verdict, *report.totals.get(&verdict)?)))
}

const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Equal => "equal",
        Verdict::Alone => "alone",
        Verdict::NotReproducible => "not-reproducible",
        Verdict::InputChanged => "input-changed",
        Verdict::BuildFailed => "build-failed",
        Verdict::EnvironmentMissing => "environment-missing",
    }
}

/// A sign for those who look; the words beside it are for everybody.
const fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Equal => "=",
        Verdict::Alone => "1",
        Verdict::NotReproducible => "≠",
        Verdict::InputChanged => "Δ",
        Verdict::BuildFailed => "×",
        Verdict::EnvironmentMissing => "–",
    }
}

fn badge(verdict: Verdict) -> String {
    badge_of(verdict, None)
}

fn badge_of(verdict: Verdict, count: Option<usize>) -> String {
    let count = count.map(|count| format!("{count} ")).unwrap_or_default();
    let (class, sign, words) = (class(verdict), sign(verdict), verdict.words());
    format!("<span class=\"v {class}\"><b aria-hidden=\"true\">{sign}</b>{count}{words}</span>")
}

fn short(digest: &Digest) -> String {
    format!("<code title=\"{digest}\">{}</code>", digest.short())
}

fn when(when: &When) -> String {
    format!("{} <span class=\"soft\">(run {})</span>", time(&when.time), shown(&when.run))
}

/// A time as one reads it, to the minute: `2026-11-08 02:00 UTC`. What is none in UTC stays as it is.
fn time(told: &str) -> String {
    let is_time = |told: &str| {
        let shape = |(byte, form): (u8, u8)| if form == b'0' { byte.is_ascii_digit() } else { byte == form };
        told.len() == 20 && told.bytes().zip(*b"0000-00-00T00:00:00Z").all(shape)
    };
    let told = to_the_second(told);
    if !is_time(&told) {
        return shown(&told);
    }
    format!("<time datetime=\"{told}\">{} {} UTC</time>", &told[..10], &told[11..16])
}

/// Where an image is on the page: by its name, so that a link to it holds tomorrow, where its name can stand in one.
fn anchor(number: usize, image: &ImageReport) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let name = &image.name;
    if !name.is_empty() && name.bytes().all(is_plain) { format!("image-{name}") } else { format!("nth-{number}") }
}

fn write_cards(out: &mut impl Write, report: &MatrixReport) -> io::Result<()> {
    writeln!(out, "<nav aria-label=\"Images\">\n<ul class=\"plain cards\">")?;
    for (number, image) in report.images.iter().enumerate() {
        let cells = || image.groups.iter().flat_map(|group| &group.cells);
        let equal = cells().filter(|cell| cell.verdict == Verdict::Equal).count();
        writeln!(
            out,
            "<li class=\"{}\"><div class=\"head\"><a href=\"#{}\">{}</a>{}</div>\
             <p class=\"soft small\">{equal} of {} cells are equal</p>",
            class(image.verdict),
            anchor(number, image),
            shown(&image.name),
            badge(image.verdict),
            cells().count(),
        )?;
        let recent = &image.history[image.history.len().saturating_sub(RECENT)..];
        write_strip(out, recent, 22)?;
        if let Some(first) = first_bad(image) {
            writeln!(out, "<p class=\"small\">Differs since {}</p>", time(&first.since.time))?;
        }
        writeln!(out, "</li>")?;
    }
    writeln!(out, "</ul>\n</nav>")
}

/// Of the cells whose digest is another one, the one that has been so for longest.
fn first_bad(image: &ImageReport) -> Option<&BadCell> {
    image.bad.iter().find(|bad| bad.verdict.differs())
}

fn write_image(out: &mut impl Write, image: &ImageReport, anchor: &str) -> io::Result<()> {
    let name = shown(&image.name);
    let commit = image.commit.as_deref().map(|commit| format!("commit <code>{}</code>", shown(commit)));
    let source = match (commit, image.clean) {
        (Some(commit), true) => commit,
        (Some(commit), false) => format!("{commit}, with other files"),
        (None, _) => "no commit".to_owned(),
    };
    writeln!(
        out,
        "<section class=\"image\" id=\"{anchor}\" aria-labelledby=\"{anchor}-h\">\n\
         <div class=\"head\"><h2 id=\"{anchor}-h\">{name}</h2>{}</div>\n\
         <p class=\"soft small\">Context <code>{}</code>, {source}</p>",
        badge(image.verdict),
        shown(&image.context),
    )?;
    write_bad(out, image, &name)?;
    write_grid(out, image, &name)?;
    write_causes(out, image)?;
    write_changes(out, &image.changes)?;
    if !image.moving.is_empty() {
        writeln!(out, "<h3>Inputs that may be others tomorrow</h3>\n<ul>")?;
        image.moving.iter().try_for_each(|input| writeln!(out, "<li>{}</li>", shown(input)))?;
        writeln!(out, "</ul>")?;
    }
    if !image.history.is_empty() {
        writeln!(out, "<h3>History</h3>\n<figure>")?;
        write_strip(out, &image.history, 56)?;
        writeln!(
            out,
            "<figcaption>A bar a run, the newest on the right; how far it is green tells how many cells were equal. \
             A mark below it: other digests than in the run before.</figcaption>\n</figure>"
        )?;
        write_points(out, &image.history, &name)?;
    }
    write_cells(out, image, &name)?;
    writeln!(out, "</section>")
}

fn write_bad(out: &mut impl Write, image: &ImageReport, name: &str) -> io::Result<()> {
    if image.bad.is_empty() && image.first_bad.is_none() {
        return Ok(());
    }
    writeln!(out, "<div class=\"note {}\">", class(image.verdict))?;
    if let Some(first) = first_bad(image) {
        writeln!(out, "<p><strong>First bad cell:</strong> {}, since {}</p>", shown(&first.cell), when(&first.since))?;
    }
    if let Some(first) = &image.first_bad {
        writeln!(out, "<p class=\"small\">The first time ever that a digest was another one: {}</p>", when(first))?;
    }
    if !image.bad.is_empty() {
        let open = if image.bad.len() <= OPEN { " open" } else { "" };
        let count = image.bad.len();
        let cells = if count == 1 { "1 cell" } else { &format!("{count} cells") };
        writeln!(out, "<details{open}><summary>{cells} of {name} not equal, and why</summary>\n<ul>")?;
        image.bad.iter().try_for_each(|bad| write_bad_cell(out, bad))?;
        writeln!(out, "</ul></details>")?;
    }
    writeln!(out, "</div>")
}

fn write_bad_cell(out: &mut impl Write, bad: &BadCell) -> io::Result<()> {
    let why = bad.why.as_deref().map(|why| format!(": {}", shown(why))).unwrap_or_default();
    writeln!(
        out,
        "<li><strong>{}</strong> <code>{}</code> since {}{why}</li>",
        bad.verdict.words(),
        shown(&bad.cell),
        time(&bad.since.time)
    )
}

/// Begins a table that scrolls by itself, by keyboard, too.
fn begin_table(out: &mut impl Write, class: &str, label: &str, caption: &str, heads: &[&str]) -> io::Result<()> {
    write!(
        out,
        "<div class=\"scroll\" role=\"region\" aria-label=\"{label}\" tabindex=\"0\">\n\
         <table class=\"{class}\">\n<caption>{caption}</caption>\n<thead><tr>"
    )?;
    heads.iter().try_for_each(|head| write!(out, "<th scope=\"col\">{head}</th>"))?;
    writeln!(out, "</tr></thead>\n<tbody>")
}

fn end_table(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "</tbody>\n</table>\n</div>")
}

fn write_grid(out: &mut impl Write, image: &ImageReport, name: &str) -> io::Result<()> {
    let cells = image.groups.iter().flat_map(|group| &group.cells);
    let mut columns: Vec<&str> = cells.map(|cell| &*cell.builder).collect();
    columns.sort_unstable();
    columns.dedup();
    let heads: Vec<String> = columns.iter().map(|column| shown(column)).collect();
    let heads: Vec<&str> = std::iter::once("BuildKit").chain(heads.iter().map(String::as_str)).collect();
    let caption = "A row a BuildKit and platform, a column a builder";
    begin_table(out, "grid", &format!("Grid of {name}"), caption, &heads)?;
    for group in &image.groups {
        let mut rows: Vec<&str> = Vec::new();
        for cell in &group.cells {
            if !rows.contains(&&*cell.buildkit) {
                rows.push(&cell.buildkit);
            }
        }
        for row in rows {
            write!(
                out,
                "<tr><th scope=\"row\"><span>{}</span><span class=\"soft small\">{}</span></th>",
                shown(row),
                shown(&group.platform)
            )?;
            for column in &columns {
                let of_place = |cell: &&CellReport| cell.buildkit == row && cell.builder == *column;
                write!(out, "<td>")?;
                let mut is_empty = true;
                for cell in group.cells.iter().filter(of_place) {
                    is_empty = false;
                    write_place(out, cell, group)?;
                }
                write!(out, "{}</td>", if is_empty { "<span class=\"soft small\">not asked for</span>" } else { "" })?;
            }
            writeln!(out, "</tr>")?;
        }
    }
    end_table(out)
}

fn write_place(out: &mut impl Write, cell: &CellReport, group: &GroupReport) -> io::Result<()> {
    write!(out, "<div class=\"cell {}\">{}", class(cell.verdict), badge(cell.verdict))?;
    if let Some(digest) = &cell.digest {
        let other = if group.digest.as_ref() == Some(digest) { "" } else { " class=\"other\"" };
        write!(out, "<br><code{other} title=\"{digest}\">{}</code>", digest.short())?;
    }
    if cell.tries > 0 {
        write!(out, " <span class=\"soft small\">try {}</span>", cell.tries.saturating_add(1))?;
    }
    if cell.unproved {
        write!(out, "<br><span class=\"soft small\">version only</span>")?;
    }
    write!(out, "</div>")
}

fn write_causes(out: &mut impl Write, image: &ImageReport) -> io::Result<()> {
    // Two BuildKits that give the same two digests have one difference.
    let mut told: Vec<&DifferenceRecord> = Vec::new();
    for difference in image.groups.iter().flat_map(|group| &group.differences) {
        if find_difference(told.iter().copied(), &difference.a.digest, &difference.b.digest).is_none() {
            told.push(difference);
        }
    }
    if told.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h3>Why digests differ</h3>")?;
    told.into_iter().try_for_each(|difference| {
        writeln!(
            out,
            "<p class=\"small\">{}: {} of {} against {} of {}</p>",
            shown(&difference.platform),
            side(&difference.b),
            shown(&difference.b.buildkit),
            side(&difference.a),
            shown(&difference.a.buildkit),
        )?;
        write_difference(out, difference)
    })
}

/// A digest as the history has it, which need not be one.
fn side(side: &SideRecord) -> String {
    match side.digest.parse::<Digest>() {
        Ok(digest) => short(&digest),
        Err(_) => format!("<code>{}</code>", shown(&side.digest)),
    }
}

fn write_difference(out: &mut impl Write, difference: &DifferenceRecord) -> io::Result<()> {
    if let Some(why) = &difference.why {
        writeln!(out, "<p>Not compared: {}</p>", shown(why))?;
    }
    difference.causes.iter().try_for_each(|cause| write_cause(out, cause))?;
    match difference.unexplained {
        0 => Ok(()),
        1 => writeln!(out, "<p>1 difference has no known cause.</p>"),
        count => writeln!(out, "<p>{count} differences have no known cause.</p>"),
    }
}

fn write_cause(out: &mut impl Write, cause: &CauseRecord) -> io::Result<()> {
    let line = cause.line.map(|line| format!(", line {line} of the Dockerfile")).unwrap_or_default();
    let follows = if cause.consequence { " <span class=\"soft\">(follows from another one)</span>" } else { "" };
    writeln!(
        out,
        "<div class=\"cause\"><p><strong>{}</strong>{line}{follows}</p><p>{}</p>",
        shown(&cause.id),
        shown(&cause.what)
    )?;
    if let Some(fix) = &cause.fix {
        writeln!(out, "<p><span class=\"fix\">Fix:</span> {}</p>", shown(fix))?;
    }
    writeln!(out, "</div>")
}

fn write_changes(out: &mut impl Write, changes: &[ChangeReport]) -> io::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h3>From BuildKit to BuildKit</h3>")?;
    changes.iter().try_for_each(|change| {
        // These words are escaped for a terminal already.
        writeln!(
            out,
            "<details><summary>{} gives another digest than {} ({}): {}</summary>",
            shown(&change.to),
            shown(&change.from),
            shown(&change.platform),
            text(&difference_in_words(&change.difference)),
        )?;
        write_difference(out, &change.difference)?;
        writeln!(out, "</details>")
    })
}

fn write_cells(out: &mut impl Write, image: &ImageReport, name: &str) -> io::Result<()> {
    writeln!(out, "<details><summary>Every cell of {name}, with its whole digest</summary>")?;
    let heads = ["Cell", "Verdict", "Since", "Digest", "Took", "To know"];
    begin_table(out, "cells", &format!("Cells of {name}"), "Every cell of the run", &heads)?;
    for cell in image.groups.iter().flat_map(|group| &group.cells) {
        let digest = cell.digest.as_ref().map_or_else(|| "none".to_owned(), |digest| format!("<code>{digest}</code>"));
        let tries = (cell.tries > 0).then(|| format!("try {}", cell.tries.saturating_add(1)));
        let at = cell.at.as_deref().map(|address| format!("at {}", shown(address)));
        let unproved = cell.unproved.then(|| "version only, digest not proved".to_owned());
        let told: Vec<String> = [cell.why.as_deref().map(shown), tries, at, unproved].into_iter().flatten().collect();
        writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{digest}</td><td>{} s</td><td>{}</td></tr>",
            shown(&cell.cell),
            badge(cell.verdict),
            when(&cell.since),
            cell.seconds,
            told.join("; "),
        )?;
    }
    end_table(out)?;
    writeln!(out, "</details>")
}

fn write_rechecks(out: &mut impl Write, rechecks: &[RecheckReport]) -> io::Result<()> {
    if rechecks.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<section class=\"box\" aria-labelledby=\"ageing\">\n<h2 id=\"ageing\">Ageing</h2>\n\
         <p class=\"soft small\">Earlier runs, built again from the same commit with the same parameters.</p>"
    )?;
    let heads = ["Age", "Built again", "Same digest", "Another digest", "Lost"];
    begin_table(out, "ages", "Table of ages", "Cells of earlier runs that were built again, the newest first", &heads)?;
    for one in rechecks.iter().take(RECHECKS) {
        writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{} <span class=\"soft small\">on {}{}</span></td>\
             <td class=\"num\">{} of {}</td><td class=\"num\">{}</td><td class=\"num\">{}</td></tr>",
            shown(&one.age),
            when(&one.of),
            time(&one.when.time),
            unfinished(one),
            one.survived,
            one.planned,
            one.changed,
            one.lost
        )?;
    }
    end_table(out)?;
    for one in rechecks.iter().take(RECHECKS).filter(|one| !one.cells.is_empty()) {
        writeln!(
            out,
            "<details><summary>What did not survive {} ({})</summary>\n<ul>",
            shown(&one.age),
            shown(&one.when.run)
        )?;
        one.cells.iter().try_for_each(|bad| write_bad_cell(out, bad))?;
        writeln!(out, "</ul></details>")?;
    }
    if rechecks.len() > RECHECKS {
        writeln!(out, "<p>… and {} earlier ones</p>", rechecks.len() - RECHECKS)?;
    }
    writeln!(out, "</section>")
}

fn write_unread(out: &mut impl Write, report: &MatrixReport) -> io::Result<()> {
    if report.unread_lines == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "<section class=\"box\" aria-labelledby=\"unread\">\n<h2 id=\"unread\">Lines that cannot be read: {}</h2>\n<ul>",
        report.unread_lines
    )?;
    report.unread.iter().try_for_each(|line| writeln!(out, "<li><code>{}</code></li>", shown(line)))?;
    let more = report.unread_lines.saturating_sub(report.unread.len() as u64);
    if more > 0 {
        writeln!(out, "<li>… and {more} more</li>")?;
    }
    writeln!(out, "</ul>\n</section>")
}
