//! The history of an image: a picture for those who look, the same in words for everybody.

use std::io::{self, Write};

use super::super::matrix::to_the_second;
use super::{badge, begin_table, class, end_table, shown, time};
use crate::matrix::summary::Point;
use crate::matrix::verdict::Verdict;

/// The width of a run, of which the last two are a gap.
const STEP: usize = 12;
/// What is below the bars, for the marks.
const BELOW: usize = 7;

/// Writes the runs side by side, the newest on the right, each `height` pixels high.
pub(super) fn write_strip(out: &mut impl Write, points: &[Point], height: usize) -> io::Result<()> {
    if points.is_empty() {
        return Ok(());
    }
    let (width, whole) = (points.len() * STEP, height + BELOW);
    writeln!(
        out,
        "<svg class=\"strip\" role=\"img\" aria-label=\"{}\" width=\"{width}\" height=\"{whole}\" \
         viewBox=\"0 0 {width} {whole}\" preserveAspectRatio=\"none\">",
        in_words(points)
    )?;
    let mut before: Option<&Point> = None;
    for (at, point) in points.iter().enumerate() {
        let (x, bar) = (at * STEP + 1, STEP - 2);
        // What is not equal is seen, however little of the whole it is.
        let equal = height * point.equal / point.cells.max(1);
        let equal = if point.verdict == Verdict::Equal { height } else { equal.min(height.saturating_sub(4)) };
        write!(out, "<g><title>{}</title>", point_in_words(point))?;
        if equal < height {
            let class = class(point.verdict);
            let rest = height - equal;
            write!(out, "<rect class=\"{class}\" x=\"{x}\" y=\"0\" width=\"{bar}\" height=\"{rest}\"/>")?;
        }
        if equal > 0 {
            let top = height - equal;
            write!(out, "<rect class=\"equal\" x=\"{x}\" y=\"{top}\" width=\"{bar}\" height=\"{equal}\"/>")?;
        }
        if before.is_some_and(|before| has_moved(before, point)) {
            let top = height + 3;
            write!(out, "<rect class=\"moved\" x=\"{x}\" y=\"{top}\" width=\"{bar}\" height=\"4\"/>")?;
        }
        writeln!(out, "</g>")?;
        before = Some(point);
    }
    writeln!(out, "</svg>")
}

/// Whether a run gave a digest that the one before it did not.
fn has_moved(before: &Point, point: &Point) -> bool {
    !before.digests.is_empty() && point.digests.iter().any(|digest| !before.digests.contains(digest))
}

fn point_in_words(point: &Point) -> String {
    let verdict = point.verdict.words();
    format!("{}: {verdict}, {} of {} cells equal", shown(&to_the_second(&point.when.time)), point.equal, point.cells)
}

/// The picture in a sentence: `90 runs from … to …: 88 equal, 2 not reproducible`.
fn in_words(points: &[Point]) -> String {
    let [first, .., last] = points else { return points.first().map(point_in_words).unwrap_or_default() };
    let counted = Verdict::ALL.into_iter().filter_map(|verdict| {
        let count = points.iter().filter(|point| point.verdict == verdict).count();
        (count > 0).then(|| format!("{count} {}", verdict.words()))
    });
    let counted: Vec<String> = counted.collect();
    format!(
        "{} runs from {} to {}: {}",
        points.len(),
        shown(&to_the_second(&first.when.time)),
        shown(&to_the_second(&last.when.time)),
        counted.join(", ")
    )
}

/// Writes the runs as a table that one opens, the newest first.
pub(super) fn write_points(out: &mut impl Write, points: &[Point], name: &str) -> io::Result<()> {
    writeln!(out, "<details><summary>The last {} of {name}, one by one</summary>", runs(points.len()))?;
    let heads = ["When", "Run", "Verdict", "Equal", "Digests"];
    begin_table(out, "runs", &format!("History of {name}"), "The newest run first", &heads)?;
    for (at, point) in points.iter().enumerate().rev() {
        let moved = at.checked_sub(1).is_some_and(|before| has_moved(&points[before], point));
        let digests: Vec<String> =
            point.digests.iter().map(|digest| format!("<code>{}</code>", shown(digest))).collect();
        writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td class=\"num\">{} of {}</td><td>{}{}</td></tr>",
            time(&point.when.time),
            shown(&point.when.run),
            badge(point.verdict),
            point.equal,
            point.cells,
            if moved { "<span>changed:</span> " } else { "" },
            digests.join(" ")
        )?;
    }
    end_table(out)?;
    writeln!(out, "</details>")
}

fn runs(count: usize) -> String {
    if count == 1 { "run".to_owned() } else { format!("{count} runs") }
}
