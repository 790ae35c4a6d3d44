//! What `repro matrix` found: text for people, and Markdown for a pull request or the summary of a step.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::github::plain;
use crate::image::escape::escape;
use crate::matrix::history::DifferenceRecord;
use crate::matrix::summary::{CellReport, GroupReport, ImageReport, MatrixReport, RecheckReport, When};
use crate::matrix::verdict::{Verdict, causes_in_words};

/// The report as text.
#[must_use]
pub fn render_matrix(report: &MatrixReport) -> String {
    let mut out = String::new();
    match &report.run {
        None => out.push_str("no run is in this history\n"),
        Some(run) => {
            let state = if run.ended { "" } else { ", not finished" };
            let _ = writeln!(
                out,
                "run        {} ({}, {} of {} cells{state})",
                escape(&run.id),
                escape(&to_the_second(&run.time)),
                run.done,
                run.planned
            );
            let _ = writeln!(out, "cells      {}", totals(report));
        }
    }
    for line in &report.unread {
        let _ = writeln!(out, "unread     {}", escape(line));
    }
    if report.unread_lines > report.unread.len() as u64 {
        let _ = writeln!(out, "unread     {} lines in all", report.unread_lines);
    }
    for image in &report.images {
        write_image(&mut out, image);
    }
    write_rechecks(&mut out, &report.rechecks);
    out
}

/// How many cells came to what: `12 equal, 1 not reproducible`.
#[must_use]
pub fn totals(report: &MatrixReport) -> String {
    let counted = Verdict::ALL
        .iter()
        .filter_map(|verdict| report.totals.get(verdict).map(|count| format!("{count} {}", verdict.words())));
    let counted = counted.collect::<Vec<_>>().join(", ");
    if counted.is_empty() { "none has ended".to_owned() } else { counted }
}

fn write_image(out: &mut String, image: &ImageReport) {
    let commit = image.commit.as_deref().map(|commit| commit.chars().take(12).collect::<String>());
    let commit = commit.as_deref().map(escape);
    let source = match (&commit, image.clean) {
        (Some(commit), true) => format!("commit {commit}"),
        (Some(commit), false) => format!("commit {commit}, with other files"),
        (None, _) => "no commit".to_owned(),
    };
    let _ = writeln!(out, "\n{}: {} ({source})", escape(&image.name), image.verdict.words());
    let width =
        image.groups.iter().flat_map(|group| &group.cells).map(|cell| escape(&cell.builder).len()).max().unwrap_or(0);
    for group in &image.groups {
        let buildkit = group.buildkit.as_deref().unwrap_or("every BuildKit");
        let digest = group.digest.as_ref().map_or_else(|| "no digest".to_owned(), ToString::to_string);
        let _ = writeln!(
            out,
            "  {}  {}  {digest} ({} of {})",
            escape(&group.platform),
            escape(buildkit),
            group.agreed,
            group.cells.len()
        );
        for cell in &group.cells {
            write_cell(out, cell, group, width);
        }
        for difference in &group.differences {
            write_difference(out, difference);
        }
    }
    for change in &image.changes {
        let why = difference_in_words(&change.difference);
        let _ = writeln!(
            out,
            "  {}: {} gives another digest than {}: {why}",
            escape(&change.platform),
            escape(&change.to),
            escape(&change.from)
        );
    }
    for input in &image.moving {
        let _ = writeln!(out, "  may move tomorrow: {}", escape(input));
    }
    if let Some(first) = image.bad.iter().find(|bad| bad.verdict.differs()) {
        let _ = writeln!(out, "  first bad cell: {}, since {}", escape(&first.cell), when(&first.since));
    }
}

fn write_cell(out: &mut String, cell: &CellReport, group: &GroupReport, width: usize) {
    let buildkit = if group.buildkit.is_none() { format!("{} ", escape(&cell.buildkit)) } else { String::new() };
    let own = cell.digest.as_ref().filter(|digest| Some(*digest) != group.digest.as_ref());
    let own = own.map(|digest| format!("  {digest}")).unwrap_or_default();
    let tries = if cell.tries > 0 { format!(", try {}", cell.tries.saturating_add(1)) } else { String::new() };
    let at = cell.at.as_deref().map(|address| format!(", at {}", escape(address))).unwrap_or_default();
    let unproved = if cell.unproved { ", version only, digest not proved" } else { "" };
    let _ = writeln!(
        out,
        "    {buildkit}{:width$}  {}{own} ({} s{tries}{at}{unproved})",
        escape(&cell.builder),
        cell.verdict.words(),
        cell.seconds
    );
    if let Some(why) = &cell.why {
        let _ = writeln!(out, "      {}", escape(why));
    }
}

/// What differs, in lines.
pub fn write_difference(out: &mut String, difference: &DifferenceRecord) {
    if let Some(why) = &difference.why {
        let _ = writeln!(out, "    not compared: {}", escape(why));
    }
    for cause in &difference.causes {
        let line = cause.line.map(|line| format!(" (line {line})")).unwrap_or_default();
        let _ = writeln!(out, "    {}{line}: {}", escape(&cause.id), escape(&cause.what));
        if let Some(fix) = &cause.fix {
            let _ = writeln!(out, "      fix: {}", escape(fix));
        }
    }
    if difference.unexplained > 0 {
        let _ = writeln!(out, "    {} differences have no known cause", difference.unexplained);
    }
}

/// Why two digests differ, in one line.
#[must_use]
pub fn difference_in_words(difference: &DifferenceRecord) -> String {
    let causes = causes_in_words(&difference.causes);
    let unexplained = match difference.unexplained {
        0 => None,
        count => Some(format!("{count} differences without a known cause")),
    };
    let why = difference.why.clone().map(|why| format!("not compared: {why}"));
    let parts = [Some(causes).filter(|causes| !causes.is_empty()), unexplained, why];
    escape(&parts.into_iter().flatten().collect::<Vec<_>>().join(", ")).into_owned()
}

fn when(when: &When) -> String {
    format!("{} (run {})", escape(&to_the_second(&when.time)), escape(&when.run))
}

/// A time of a history as one reads it: without the milliseconds that give runs of one second their order.
#[must_use]
pub fn to_the_second(time: &str) -> Cow<'_, str> {
    match time.strip_suffix('Z').and_then(|time| time.split_once('.')) {
        Some((seconds, rest)) if rest.bytes().all(|byte| byte.is_ascii_digit()) => Cow::Owned(format!("{seconds}Z")),
        _ => Cow::Borrowed(time),
    }
}

fn write_rechecks(out: &mut String, rechecks: &[RecheckReport]) {
    for recheck in rechecks {
        let _ = writeln!(
            out,
            "\nbuilt again after {}: {} of {} gave the same digest, {} another, {} none{} (run {} of {})",
            escape(&recheck.age),
            recheck.survived,
            recheck.planned,
            recheck.changed,
            recheck.lost,
            unfinished(recheck),
            escape(&recheck.of.run),
            escape(&to_the_second(&recheck.of.time)),
        );
        for cell in &recheck.cells {
            let why = cell.why.as_deref().map(|why| format!(": {}", escape(why))).unwrap_or_default();
            let _ = writeln!(out, "  {}  {}{why}", escape(&cell.cell), cell.verdict.words());
        }
    }
}

/// What is said of one that was stopped: its cells are lost until somebody builds them.
#[must_use]
pub const fn unfinished(recheck: &RecheckReport) -> &'static str {
    if recheck.ended { "" } else { ", not finished" }
}

/// The report as Markdown. Whatever comes from outside is plain text in it.
#[must_use]
pub fn render_matrix_markdown(report: &MatrixReport) -> String {
    let mut out = String::from("## Reproducibility matrix\n\n");
    let Some(run) = &report.run else {
        out.push_str("No run is in this history.\n");
        return out;
    };
    let state = if run.ended { "" } else { ", not finished" };
    let _ = writeln!(
        out,
        "{} ({} of {} cells{state}; run {}, {}).\n",
        totals(report),
        run.done,
        run.planned,
        plain(&run.id),
        plain(&to_the_second(&run.time))
    );
    if report.unread_lines > 0 {
        let _ = writeln!(out, "{} lines of the history cannot be read.\n", report.unread_lines);
    }
    for image in &report.images {
        markdown_image(&mut out, image);
    }
    for recheck in &report.rechecks {
        let _ = writeln!(
            out,
            "Built again after {}: {} of {} cells gave the same digest, {} another, {} none{}.\n",
            plain(&recheck.age),
            recheck.survived,
            recheck.planned,
            recheck.changed,
            recheck.lost,
            unfinished(recheck)
        );
    }
    out
}

fn markdown_image(out: &mut String, image: &ImageReport) {
    let mut columns: Vec<&str> =
        image.groups.iter().flat_map(|group| &group.cells).map(|cell| &*cell.builder).collect();
    columns.sort_unstable();
    columns.dedup();
    let _ = writeln!(out, "### {}: {}\n", plain(&image.name), image.verdict.words());
    let heads: Vec<String> = columns.iter().map(|column| plain(column)).collect();
    let _ = writeln!(out, "| platform | BuildKit | {} | digest |", heads.join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(columns.len() + 3));
    for group in &image.groups {
        let mut rows: Vec<&str> = group.cells.iter().map(|cell| &*cell.buildkit).collect();
        rows.sort_unstable();
        rows.dedup();
        for row in rows {
            let of_row = |column: &&str| {
                // A cell with two digests is what the worse of them is.
                let of_cell = group.cells.iter().filter(|cell| cell.buildkit == row && cell.builder == *column);
                let verdicts: Vec<Verdict> = of_cell.map(|cell| cell.verdict).collect();
                let worst = Verdict::ALL.into_iter().rev().find(|verdict| verdicts.contains(verdict));
                worst.map_or("", Verdict::words)
            };
            let cells: Vec<&str> = columns.iter().map(of_row).collect();
            let digest = group.digest.as_ref().map(|digest| format!("`{digest}`")).unwrap_or_default();
            let _ = writeln!(out, "| {} | {} | {} | {digest} |", plain(&group.platform), plain(row), cells.join(" | "));
        }
    }
    out.push('\n');
    for bad in &image.bad {
        let why = bad.why.as_deref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
        let _ = writeln!(
            out,
            "- **{}** {} since {}{why}",
            bad.verdict.words(),
            plain(&bad.cell),
            plain(&to_the_second(&bad.since.time))
        );
    }
    for group in &image.groups {
        for cause in group.differences.iter().flat_map(|difference| &difference.causes) {
            let line = cause.line.map(|line| format!(", line {line}")).unwrap_or_default();
            let fix = cause.fix.as_deref().map(|fix| format!(" Fix: {}", plain(fix))).unwrap_or_default();
            let _ = writeln!(out, "- {}{line}: {}{fix}", plain(&cause.id), plain(&cause.what));
        }
    }
    for change in &image.changes {
        let why = difference_in_words(&change.difference);
        let _ =
            writeln!(out, "- {} gives another digest than {}: {}", plain(&change.to), plain(&change.from), plain(&why));
    }
    if !(image.bad.is_empty() && image.changes.is_empty()) {
        out.push('\n');
    }
}
