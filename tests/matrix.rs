//! The memory of a matrix: what cells come to, what of a history survives, and what it costs.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use repro::limits;
use repro::matrix::bisect::{self, BuiltBy, Change, Found};
use repro::matrix::history::{EndRecord, Line, Outcome, Writer};
use repro::matrix::past::History;
use repro::matrix::summary::{MatrixReport, POINTS};
use repro::matrix::verdict::Verdict::{
    self, Alone, BuildFailed, EnvironmentMissing, Equal, InputChanged, NotReproducible,
};
use repro::report::matrix::{render_matrix, render_matrix_markdown};
use repro::report::matrix_html::write_matrix_html;
use serde_json::{Value, json};
use support::history::{Past, cause, digest, expected, image, with};
use support::schema::violations;

/// Each cell of the last run that is no recheck: its builder, what it came to, and why.
fn verdicts(past: &Past) -> Vec<(String, Verdict, String)> {
    let report = MatrixReport::of(&past.history(), None);
    cells(&report)
}

fn cells(report: &MatrixReport) -> Vec<(String, Verdict, String)> {
    let cells = report.images.iter().flat_map(|image| &image.groups).flat_map(|group| &group.cells);
    cells.map(|cell| (cell.builder.clone(), cell.verdict, cell.why.clone().unwrap_or_default())).collect()
}

#[track_caller]
fn assert_verdicts(past: &Past, wanted: &[(&str, Verdict, &str)]) {
    let found = verdicts(past);
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    for ((builder, verdict, why), (wanted_builder, wanted_verdict, part)) in found.iter().zip(wanted) {
        assert_eq!((builder.trim_end_matches(" cold"), *verdict), (*wanted_builder, *wanted_verdict), "{why}");
        assert!(why.contains(part) && why.is_empty() == part.is_empty(), "{builder}: `{why}` does not say `{part}`");
    }
}

fn page(report: &MatrixReport) -> String {
    let mut out = Vec::new();
    write_matrix_html(&mut out, report).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn two_cells_that_agree_are_equal_and_one_is_alone() {
    let mut past = Past::default();
    past.run(&[image("app")]).built("docker", "a").built("podman", "a").end();
    assert_verdicts(&past, &[("docker", Equal, ""), ("podman", Equal, "")]);
    let mut past = Past::default();
    past.run(&[image("app")]).built("docker", "a").ended("podman", Outcome::Missing, "no podman").end();
    assert_verdicts(&past, &[("docker", Alone, "no other cell"), ("podman", EnvironmentMissing, "no podman")]);
}

#[test]
fn more_than_all_others_is_what_a_group_has_to_give() {
    let mut past = Past::default();
    past.run(&[image("app")]).built("buildkitd", "a").built("docker", "b").built("podman", "a").end();
    assert_verdicts(
        &past,
        &[("buildkitd", Equal, ""), ("docker", NotReproducible, "2 cells agree on another"), ("podman", Equal, "")],
    );
    let report = MatrixReport::of(&past.history(), None);
    assert_eq!(
        (report.images[0].groups[0].digest.as_ref(), report.images[0].groups[0].agreed),
        (Some(&digest("a")), 2)
    );
}

#[test]
fn of_as_many_on_each_side_nobody_is_equal() {
    let mut past = Past::default();
    past.run(&[image("app")]).built("docker", "a").built("podman", "b").end();
    assert_verdicts(
        &past,
        &[
            ("docker", NotReproducible, "podman cold gave another"),
            ("podman", NotReproducible, "docker cold gave another"),
        ],
    );
    let mut past = Past::default();
    let night = past.run(&[image("app")]).built("buildkitd", "a").built("docker", "a").built("podman", "b");
    night.built_with("podman", "b", |record| record.rootless = true).end();
    let split = "2 cells agree on this digest, and as many on another one";
    let wanted = ["buildkitd", "docker", "podman", "podman rootless"].map(|builder| (builder, NotReproducible, split));
    assert_verdicts(&past, &wanted);
}

#[test]
fn what_an_earlier_run_gave_decides_between_as_many() {
    let mut past = Past::default();
    past.run(&[image("app")]).built("docker", "b").built("podman", "b").end();
    past.run(&[image("app")]).built("docker", "a").built("podman", "b").end();
    assert_verdicts(&past, &[("docker", NotReproducible, "podman cold gave another"), ("podman", Equal, "")]);
    // What nothing decided is not what the next run has to give.
    let mut past = Past::default();
    past.run(&[image("app")]).built("docker", "a").built("podman", "b").end();
    past.run(&[image("app")]).built("docker", "b").built("podman", "b").end();
    assert_verdicts(&past, &[("docker", Equal, ""), ("podman", Equal, "")]);
}

#[test]
fn an_input_that_moved_is_named() {
    let base = |letter: &str| format!("docker-image://debian:bookworm {}", digest(letter));
    let (old, new) = (base("old"), base("new"));
    let mut past = Past::default();
    let night = past.run(&[image("app")]).from("buildkitd", "a", &[&old]).from("docker", "a", &[&old]);
    night.from("podman", "b", &[&new]).end();
    let moved = format!("was {} and is {}", digest("old"), digest("new"));
    assert_verdicts(&past, &[("buildkitd", Equal, ""), ("docker", Equal, ""), ("podman", InputChanged, &moved)]);
    // The same where what was built from is equal, and a cause says it.
    for (id, verdict) in [("apt-packages", InputChanged), ("mtime", NotReproducible)] {
        let mut past = Past::default();
        let night = past.run(&[image("app")]).from("buildkitd", "a", &[&old]).from("docker", "a", &[&old]);
        let night = night.from("podman", "b", &[&old]);
        night.differ(("v0.19.0", "a"), ("v0.19.0", "b"), vec![cause(id, 3)]).end();
        let why = format!("{id} (line 3)");
        assert_verdicts(&past, &[("buildkitd", Equal, ""), ("docker", Equal, ""), ("podman", verdict, &why)]);
    }
    // A consequence decides nothing.
    let mut past = Past::default();
    let mut follows = cause("apt-packages", 3);
    follows.consequence = true;
    let night = past.run(&[image("app")]).built("buildkitd", "a").built("docker", "a").built("podman", "b");
    night.differ(("v0.19.0", "b"), ("v0.19.0", "a"), vec![follows, cause("mtime", 4)]).end();
    assert_eq!(verdicts(&past)[2].1, NotReproducible);
}

#[test]
fn what_is_expected_counts_more_than_what_most_gave() {
    let mut past = Past::default();
    let app = with(image("app"), |image| image.expected = vec![expected(&digest("a"))]);
    past.run(&[app]).built("buildkitd", "b").built("docker", "b").built("podman", "a").end();
    assert_verdicts(
        &past,
        &[
            ("buildkitd", NotReproducible, "is expected"),
            ("docker", NotReproducible, "is expected"),
            ("podman", Equal, ""),
        ],
    );
    // The first that is for a cell, and none that is for others.
    let mut past = Past::default();
    let app = with(image("app"), |image| {
        let mut other = expected(&digest("x"));
        other.platform = Some("linux/arm64".to_owned());
        image.expected = vec![other];
    });
    past.run(&[app]).built("docker", "a").built("podman", "a").end();
    assert_verdicts(&past, &[("docker", Equal, ""), ("podman", Equal, "")]);
}

#[test]
fn with_equal_everywhere_all_buildkits_are_one_group() {
    for (everywhere, verdict) in [(false, Alone), (true, NotReproducible)] {
        let mut past = Past::default();
        let app = with(image("app"), |image| image.everywhere = everywhere);
        let night = past.run(&[app]).built("docker", "a");
        night.built_with("docker", "b", |record| record.buildkit = "v0.31.1".into()).end();
        assert_eq!(verdicts(&past).iter().map(|cell| cell.1).collect::<Vec<_>>(), [verdict, verdict]);
    }
}

#[test]
fn the_same_source_has_to_give_tomorrow_what_it_gave() {
    let second = |moving: &[&str], cells: &[&str], change: fn(&mut repro::matrix::history::ImageRecord)| {
        let mut past = Past::default();
        let app = with(image("app"), |image| image.moving = moving.iter().map(|text| (*text).to_owned()).collect());
        past.run(std::slice::from_ref(&app)).built("docker", "a").end();
        let night = past.run(&[with(app, change)]);
        cells.iter().fold(night, |night, runtime| night.built(runtime, "b")).end();
        verdicts(&past).remove(0)
    };
    let same = |_: &mut _| {};
    let (_, verdict, why) = second(&[], &["docker", "podman"], same);
    assert_eq!((verdict, why.as_str()), (NotReproducible, "run run-1 gave another digest for the same source"));
    let (_, verdict, why) = second(&["line 1: a tag"], &["docker", "podman"], same);
    assert!(verdict == InputChanged && why.ends_with("perhaps line 1: a tag"), "{why}");
    // One alone proves no agreement of today.
    assert_eq!(second(&["line 1: a tag"], &["docker"], same).1, NotReproducible);
    // Another source may give another digest, and nobody knows what files without a commit are.
    assert_eq!(second(&[], &["docker", "podman"], |image| image.commit = Some("2".to_owned())).1, Equal);
    assert_eq!(second(&[], &["docker", "podman"], |image| image.epoch = 7).1, Equal);
    assert_eq!(second(&[], &["docker"], |image| image.clean = false).1, Alone);
    let mut past = Past::default();
    past.run(&[image("app")]).built("docker", "a").end();
    past.run(&[image("app")]).built("docker", "a").end();
    assert_verdicts(&past, &[("docker", Equal, "")]);
}

#[test]
fn what_is_built_again_is_held_against_the_run_that_it_repeats() {
    let mut past = Past::default();
    let base = |letter: &str| format!("docker-image://debian:bookworm {}", digest(letter));
    let night = past.run(&[image("app"), image("other")]).from("buildkitd", "a", &[&base("old")]).built("docker", "a");
    night.built("podman", "a").of("other").built("docker", "z").end();
    past.run(&[image("app")]).built("docker", "n").built("podman", "n").end();
    let night = past.recheck("run-1", &[image("app")]).from("buildkitd", "b", &[&base("new")]).built("docker", "a");
    night.ended("podman", Outcome::Failed, "gone").end();
    past.recheck("run-9", &[image("app")]).built("docker", "a").end();
    let history = past.history();
    let report = MatrixReport::of(&history, None);
    // They are no runs of today, and change nothing for those that are.
    assert_eq!(report.run.as_ref().unwrap().id, "run-2");
    let ages: Vec<_> = report.rechecks.iter().map(|one| (&*one.of.run, one.survived, one.changed, one.lost)).collect();
    assert_eq!(ages, [("run-9", 0, 0, 1), ("run-1", 1, 1, 1)]);
    let again = MatrixReport::of(&history, Some("run-3"));
    let found: Vec<_> = cells(&again).into_iter().map(|(_, verdict, why)| (verdict, why)).collect();
    assert_eq!(found[0].0, InputChanged);
    assert!(found[0].1.contains("was ") && found[0].1.contains("run run-1 gave another digest"), "{found:?}");
    assert_eq!((found[1].0, found[2].0), (Equal, BuildFailed));
}

#[test]
fn two_digests_of_one_cell_are_told_and_what_ended_well_in_the_end_is_well() {
    let mut past = Past::default();
    past.run(&[image("app")]).built("docker", "a").built("docker", "b").end();
    let other = "docker cold gave another digest";
    assert_verdicts(&past, &[("docker", NotReproducible, other), ("docker", NotReproducible, other)]);
    let report = MatrixReport::of(&past.history(), None);
    assert_eq!((report.images[0].bad.len(), report.images[0].verdict), (2, NotReproducible));
    // The page shows both.
    let page = page(&report);
    assert!(page.contains(digest("a").short()) && page.contains(digest("b").short()));
    // Joined histories hold what each machine wrote.
    let mut past = Past::default();
    let night = past.run(&[image("app")]).ended("docker", Outcome::Missing, "no docker").built("docker", "a");
    let night = night.ended("docker", Outcome::Failed, "out of memory").built("docker", "a").built("podman", "a");
    night.ended("remote", Outcome::Failed, "first").ended("remote", Outcome::Missing, "second").end();
    let wanted = [("docker", Equal, ""), ("podman", Equal, ""), ("remote", BuildFailed, "first")];
    assert_verdicts(&past, &wanted);
}

#[test]
fn since_when_a_cell_is_as_it_is_and_how_it_went() {
    let mut past = Past::default();
    for (number, podman) in ["a", "b", "a", "b", "b"].into_iter().enumerate() {
        let app = with(image("app"), |image| image.commit = Some(number.to_string()));
        past.run(&[app]).built("buildkitd", "a").built("docker", "a").built("podman", podman).end();
    }
    let report = MatrixReport::of(&past.history(), None);
    let app = &report.images[0];
    assert_eq!((app.bad.len(), &*app.bad[0].since.run), (1, "run-4"));
    assert_eq!(app.first_bad.as_ref().unwrap().run, "run-2");
    let points: Vec<_> = app.history.iter().map(|point| (point.verdict, point.equal)).collect();
    let (good, bad) = ((Equal, 3), (NotReproducible, 2));
    assert_eq!(points, [good, bad, good, bad, bad]);
    let text = render_matrix(&report);
    let first = "first bad cell: app.linux-amd64.v0.19.0.podman.cold, since 2026-01-05T01:00:00Z (run run-4)";
    assert!(text.contains(first), "{text}");
}

#[test]
fn a_history_cut_at_any_byte_loses_its_last_line_at_most_and_the_next_one_repairs_it() {
    let mut past = Past::default();
    for _ in 0..2 {
        past.run(&[image("app")]).built("docker", "a").ended("podman", Outcome::Failed, "not \"well\" ·").end();
    }
    let whole = past.text().as_bytes();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.jsonl");
    let ended = Line::of_end(EndRecord { run: "run-9".to_owned(), time: "2026-01-01T03:00:00Z".to_owned() });
    for cut in 0..=whole.len() {
        let kept = &whole[..cut];
        let lines = kept.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")).count();
        let rest = kept.len() - kept.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // A line that lacks nothing but its end is whole.
        let is_whole = whole.get(cut) == Some(&b'\n') && rest > 0;
        let facts = |history: &History| -> usize {
            let of_run = |run: &repro::matrix::past::Run| {
                usize::from(!run.record.program.is_empty()) + run.entries.len() + usize::from(run.ended)
            };
            history.runs.iter().map(of_run).sum()
        };
        let history = History::parse(kept);
        let unread = u64::from(rest > 0 && !is_whole);
        assert_eq!((facts(&history), history.unread_lines), (lines + usize::from(is_whole), unread), "cut at {cut}");
        fs::write(&path, kept).unwrap();
        Writer::open(&path).unwrap().add(&ended).unwrap();
        let history = History::load([path.as_path()]).unwrap();
        assert_eq!(
            (facts(&history), history.unread_lines),
            (lines + usize::from(is_whole) + 1, unread),
            "added behind byte {cut}"
        );
    }
}

#[test]
fn eight_writers_at_once_lose_nothing() {
    const EACH: usize = 60;
    let directory = tempfile::tempdir().unwrap();
    let matrix = directory.path().join("matrix.toml");
    fs::create_dir(directory.path().join("app")).unwrap();
    fs::write(&matrix, "[[image]]\nname = \"app\"\ncontext = \"app\"\n").unwrap();
    let part = |number: usize| {
        let mut past = Past::default();
        for at in 0..EACH {
            let app = with(image("app"), |image| image.commit = Some(format!("{number}.{at}")));
            past.run(&[app]).built("docker", &format!("{number}.{at}")).end();
        }
        past.text().replace("\"run-", &format!("\"of-{number}-"))
    };
    let parts: Vec<String> = (0..8).map(part).collect();
    let merge = |number: usize| {
        let from = directory.path().join(format!("{number}.jsonl"));
        fs::write(&from, &parts[number]).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
        command.args(["matrix", "merge"]).args([&matrix, &from]).spawn().unwrap()
    };
    let merges: Vec<_> = (0..8).map(merge).collect();
    for mut merge in merges {
        assert!(merge.wait().unwrap().success());
    }
    let text = fs::read_to_string(directory.path().join("history.jsonl")).unwrap();
    let (mut found, mut wanted): (Vec<&str>, Vec<&str>) =
        (text.lines().collect(), parts.iter().flat_map(|part| part.lines()).collect());
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found.len(), 8 * EACH * 3);
    assert!(found == wanted, "a line is not as it was written");
}

#[test]
fn lines_that_are_not_ours_are_counted_and_told() {
    let mut past = Past::default();
    past.run(&[image("app")]).built("docker", "a").built("podman", "a").end();
    past.raw("\n");
    past.raw("no JSON\u{202e} <script>\n");
    past.raw("{\"schema\":\"repro.matrix-history.v2\",\"cell\":{\"shape\":\"new\"}}\n");
    past.raw("{\"schema\":\"repro.matrix-history.v1\",\"cell\":{\"run\":\"run-1\"}}\n");
    past.raw("{\"schema\":\"repro.matrix-history.v1\",\"of a later release\":1}\n");
    past.raw(&past.text().lines().nth(1).unwrap().replace("\"result\":\"built\"", "\"result\":\"failed\""));
    past.raw("\n");
    past.raw(&format!("{{\"schema\":\"{}\n", "x".repeat(3 * limits::HISTORY_LINE_BYTES)));
    for _ in 0..30 {
        past.raw("\u{0}\n");
    }
    past.raw(&past.text().lines().nth(1).unwrap().replace("docker", "remote"));
    let history = past.history();
    assert_eq!((history.unread_lines, history.runs[0].entries.len()), (35, 3));
    let report = MatrixReport::of(&history, None);
    for (line, why) in [(6, "expected ident"), (7, "its form is `repro.matrix-history.v2`"), (8, "missing field")] {
        let told = report.unread.iter().find(|told| told.starts_with(&format!("line {line}: "))).unwrap();
        assert!(told.contains(why), "{told}");
    }
    assert!(report.unread.iter().any(|told| told == "line 11: it is too long"), "{:?}", report.unread);
    assert!(render_matrix(&report).contains("unread     35 lines in all"));
    let page = page(&report);
    assert!(page.contains("Lines that cannot be read: 35") && page.contains("… and 15 more"));
    assert_eq!(report.totals[&Equal], 3);
}

/// What somebody else's history can bring.
const HOSTILE: &str = "<script>alert(1)</script>\" onload='x' & \u{202e}\u{1b}[31m\u{0}\u{2066}";

fn hostile() -> Past {
    let mut past = Past::default();
    let app = with(image(HOSTILE), |image| {
        HOSTILE.clone_into(&mut image.context);
        image.commit = Some(HOSTILE.to_owned());
        image.moving = vec![HOSTILE.to_owned()];
        image.flags = vec![HOSTILE.to_owned()];
    });
    for letter in ["a", "b"] {
        let night = past.run(std::slice::from_ref(&app)).of(HOSTILE).built(HOSTILE, letter);
        let night = night.built_with("remote", "c", |record| {
            record.address = Some(HOSTILE.into());
            record.at = Some(HOSTILE.into());
            record.tries = vec![HOSTILE.to_owned()];
            record.unproved = true;
        });
        let night = night.built_with("docker", "c", |record| record.buildkit = HOSTILE.into());
        let night = night.built_with("docker", "d", |record| record.platform = HOSTILE.into());
        let night = night.ended("podman", Outcome::Failed, HOSTILE).ended("buildkitd", Outcome::Missing, HOSTILE);
        let mut hostile = cause(HOSTILE, 1);
        (hostile.what, hostile.fix) = (HOSTILE.to_owned(), Some(HOSTILE.to_owned()));
        night.differ((HOSTILE, letter), (HOSTILE, "c"), vec![hostile]).end();
    }
    past.recheck("run-1", &[app]).of(HOSTILE).built("remote", "e").end();
    past.raw(&format!("{HOSTILE}\n"));
    past
}

#[test]
fn nothing_of_a_history_is_more_than_text_in_a_page() {
    let past = hostile();
    let history = past.history();
    for run in [None, Some("run-3")] {
        let report = MatrixReport::of(&history, run);
        let page = page(&report);
        for bad in ["<script", "onload='", "' onload", "\" onload", "\u{202e}", "\u{2066}", "\u{1b}", "\u{0}"] {
            let at = page.find(bad);
            assert!(at.is_none(), "`{}` is on the page: {:?}", bad.escape_debug(), at.map(|at| &page[at - 60..at]));
        }
        assert!(page.matches("&lt;script&gt;alert(1)").count() > 10);
        for text in [render_matrix(&report), render_matrix_markdown(&report)] {
            assert!(!text.contains(['\u{202e}', '\u{1b}', '\u{0}', '\u{2066}']), "{text}");
        }
    }
}

#[test]
fn the_page_needs_nothing_else_and_says_in_words_what_it_shows() {
    let mut past = Past::default();
    let many = with(image("app"), |image| image.moving = vec!["line 1: `debian` is a tag that moves".to_owned()]);
    for _ in 0..3 {
        let night = past.run(&[many.clone(), image("other")]).built("buildkitd", "a").built("docker", "a");
        let night = night.built("podman", "b").differ(("v0.19.0", "a"), ("v0.19.0", "b"), vec![cause("mtime", 3)]);
        let night = night.built_with("docker", "c", |record| record.buildkit = "v0.31.1".into());
        night.of("other").ended("docker", Outcome::Missing, "no docker").end();
    }
    past.recheck("run-1", &[image("app")]).built("docker", "z").end();
    let page = page(&MatrixReport::of(&past.history(), None));
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    for outside in ["http:", "https:", "src=", "url(", "@import", "<script", "<link", "<iframe"] {
        assert!(!page.contains(outside), "`{outside}` is on the page");
    }
    for said in [
        "<html lang=\"en\">",
        "<a class=\"skip\" href=\"#content\">",
        "<a href=\"#image-app\">app</a>",
        "<strong>mtime</strong>, line 3 of the Dockerfile",
        "<span class=\"fix\">Fix:</span> how mtime goes away",
        "First bad cell:</strong> app.linux-amd64.v0.19.0.podman.cold, since <time datetime=\"2026-01-02T01:00:00Z\">2026-01-02 01:00 UTC</time>",
        "v0.31.1 gives another digest than v0.19.0 (linux/amd64)",
        "line 1: `debian` is a tag that moves",
        "aria-label=\"3 runs from 2026-01-02T01:00:00Z to 2026-01-04T01:00:00Z: 3 not reproducible\"",
        "</b>environment missing</span>",
        "What did not survive 1 week",
    ] {
        assert!(page.contains(said), "the page does not say `{said}`");
    }
    let tables = page.matches("<table").count();
    assert!(tables == page.matches("<caption>").count() && tables == page.matches("tabindex=\"0\"").count());
    for tag in ["section", "details", "table", "svg", "ul", "li", "div", "span", "tr", "td", "figure", "nav"] {
        let (begins, ends) = (
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count(),
            page.matches(&format!("</{tag}>")).count(),
        );
        assert_eq!(begins, ends, "{tag}");
    }
}

#[test]
fn a_page_of_nothing_says_so() {
    let report = MatrixReport::of(&History::default(), None);
    assert!(page(&report).contains("No run is in this history."));
}

/// 10,000 runs of 40 cells render at all, and what is kept of them has a bound; how long it takes, `make bench` tells.
#[test]
fn ten_thousand_nights_of_forty_cells_are_one_report() {
    let mut past = Past::default();
    let mut images: Vec<_> = (0..5).map(|number| image(&format!("image{number}"))).collect();
    for number in 0..10_000_usize {
        for image in &mut images {
            image.commit = Some(format!("{}", number / 7));
        }
        let mut night = past.run(&images);
        for image in &images {
            night = night.of(&image.name);
            for runtime in ["docker", "podman", "buildkitd", "remote"] {
                for buildkit in ["v0.19.0", "v0.31.1"] {
                    let is_other = number % 1000 == 999 && runtime == "remote";
                    let letter = format!("{}{buildkit}{}{is_other}", image.name, number / 7);
                    night = night.built_with(runtime, &letter, |record| {
                        record.buildkit = buildkit.into();
                        record.materials = vec![format!("docker-image://debian {}", digest("base"))];
                    });
                }
            }
        }
        night.end();
    }
    let history = past.history();
    assert_eq!((history.runs.len(), history.cells.len(), history.unread_lines), (10_000, 40, 0));
    assert_eq!((history.texts.len(), history.digests.len()), (1, 5 * 2 * 1439), "each is kept once");
    let report = MatrixReport::of(&history, None);
    assert_eq!((report.totals[&Equal], report.totals[&NotReproducible]), (30, 10));
    assert!(report.images.iter().all(|image| image.history.len() == POINTS && image.bad.len() == 2));
    assert_eq!(report.images[0].first_bad.as_ref().unwrap().run, "run-1000");
    let text = render_matrix(&report);
    assert!(text.contains("cells      30 equal, 10 not reproducible"), "{text}");
    let page = page(&report);
    assert!(page.contains("30 of 40 cells are equal") && page.len() < 1 << 20, "{} bytes", page.len());
}

fn report_of(history: &str, more: &[&str], directory: &Path) -> (Option<i32>, Vec<u8>, String) {
    let path = directory.join("history.jsonl");
    fs::write(&path, history).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
    let output = command.current_dir(directory).args(["matrix", "report", "--history"]).arg(&path).args(more).output();
    let output = output.unwrap();
    (output.status.code(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_page_is_written_beside_the_report() {
    let directory = tempfile::tempdir().unwrap();
    let mut past = Past::default();
    past.run(&[image("app")]).built("docker", "a").built("podman", "a").end();
    let (status, stdout, _) = report_of(past.text(), &["--html", "page.html"], directory.path());
    assert_eq!(status, Some(0));
    assert!(String::from_utf8(stdout).unwrap().contains("cells      2 equal"));
    let page = fs::read_to_string(directory.path().join("page.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    let (status, _, stderr) = report_of(past.text(), &["--html", "no/page.html"], directory.path());
    assert!(status == Some(4) && stderr.starts_with("error: cannot write `no/page.html`: "), "{stderr}");
}

#[test]
fn the_json_and_the_lines_are_what_the_schemas_say() {
    let report: Value = serde_json::from_str(include_str!("../docs/schema/matrix.v1.json")).unwrap();
    let line: Value = serde_json::from_str(include_str!("../docs/schema/matrix-history.v1.json")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut past = hostile();
    let app = with(image("app"), |image| {
        image.expected = vec![expected(&digest("a"))];
        image.everywhere = true;
    });
    let night =
        past.run(&[app]).built("docker", "a").differ(("v0.19.0", "a"), ("v0.31.1", "b"), vec![cause("mtime", 3)]);
    night.built_with("docker", "b", |record| record.buildkit = "v0.31.1".into()).end();
    for run in ["run-1", "run-3", "run-4"] {
        let (status, stdout, stderr) = report_of(past.text(), &["--format", "json", "--run", run], directory.path());
        assert_eq!(status, Some(1), "{stderr}");
        let json: Value = serde_json::from_slice(&stdout).unwrap();
        assert_eq!(violations(&report, &json), Vec::<String>::new());
        for (pointer, value) in [
            ("/schema", json!("repro.matrix.v2")),
            ("/images/0/verdict", json!("fine")),
            ("/images/0/groups/0/cells/0/digest", json!("sha256:0")),
            ("/totals/fine", json!(1)),
        ] {
            let mut bad = json.clone();
            match bad.pointer_mut(pointer) {
                Some(place) => *place = value,
                None => bad["totals"]["fine"] = value,
            }
            assert_ne!(violations(&report, &bad), Vec::<String>::new(), "{pointer}");
        }
    }
    for text in past.text().lines() {
        let Ok(json) = serde_json::from_str::<Value>(text) else { continue };
        assert_eq!(violations(&line, &json), Vec::<String>::new(), "{text}");
        for key in ["run", "cell", "difference", "end"] {
            let mut bad = json.clone();
            if let Some(inside) = bad.get_mut(key) {
                inside["unheard of"] = json!(1);
                assert_ne!(violations(&line, &bad), Vec::<String>::new(), "{key}");
            }
        }
    }
    let mut all = String::new();
    for word in ["run", "cell", "difference", "end"] {
        let _ =
            write!(all, "{}", past.text().contains(&format!("{{\"schema\":\"repro.matrix-history.v1\",\"{word}\":")));
    }
    assert_eq!(all, "truetruetruetrue", "each kind of line was checked");
}

#[test]
fn what_a_search_found_is_what_the_schema_says() {
    let schema: Value = serde_json::from_str(include_str!("../docs/schema/bisect.v1.json")).unwrap();
    let mut past = Past::default();
    past.run(&[image("app")]).differ(("v0.23.2", "a"), ("v0.24.0", "b"), vec![cause("history", 2)]).end();
    let difference = past.history().runs.remove(0).differences.remove(0);
    let built = |name: &str, digest| BuiltBy { buildkit: name.to_owned(), digest };
    let found = Found {
        schema: bisect::SCHEMA,
        image: "app".to_owned(),
        platform: "linux/amd64".to_owned(),
        built: vec![built("v0.23.2", Some(digest("a"))), built("v0.24.0", Some(digest("b"))), built("v0.25.1", None)],
        builds: 4,
        changes: vec![Change { before: "v0.23.2".to_owned(), first: "v0.24.0".to_owned(), difference }],
        notes: vec!["a note".to_owned()],
    };
    let mut json = serde_json::to_value(&found).unwrap();
    assert_eq!(violations(&schema, &json), Vec::<String>::new());
    json["changes"][0]["difference"]["causes"][0]["line"] = json!("2");
    assert_eq!(violations(&schema, &json).len(), 1);
}
