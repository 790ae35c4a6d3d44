//! The memory of a matrix: what cells come to, what of a history survives, and what it costs.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use repro::limits;
use repro::matrix::age::recheck;
use repro::matrix::bisect::{self, BuiltBy, Change, Found};
use repro::matrix::cell::CacheState;
use repro::matrix::history::{EndRecord, ImageRecord, Line, Outcome, RunRecord, Writer};
use repro::matrix::past::History;
use repro::matrix::summary::{MatrixReport, POINTS};
use repro::matrix::verdict::Verdict::{
    self, Alone, BuildFailed, EnvironmentMissing, Equal, InputChanged, NotReproducible,
};
use repro::report::matrix::{render_matrix, render_matrix_markdown};
use repro::report::matrix_html::write_matrix_html;
use serde_json::{Value, json};
use support::history::{Past, cause, commit, digest, expected, image, with};
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
        assert!(!everywhere || verdicts(&past)[0].2 == "docker cold with v0.31.1 gave another digest");
    }
}

#[test]
fn the_same_source_has_to_give_tomorrow_what_it_gave() {
    let second = |moving: &[&str], cells: &[&str], change: fn(&mut ImageRecord)| {
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
    assert_eq!(second(&[], &["docker", "podman"], |image| image.commit = Some(commit("2"))).1, Equal);
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

/// The verdicts of the last run, each with why.
fn last(past: &Past) -> Vec<(Verdict, String)> {
    verdicts(past).into_iter().map(|(_, verdict, why)| (verdict, why)).collect()
}

#[track_caller]
fn assert_all(past: &Past, verdict: Verdict, said: &str) {
    let found = last(past);
    assert!(!found.is_empty());
    for (own, why) in &found {
        assert!(*own == verdict && why.contains(said) && why.is_empty() == said.is_empty(), "{found:?}");
    }
}

/// Nights of one image, each of which is a list of cells: `docker` is cold, `docker+` warm, `@x` is of a fleet at x, `@` of one anywhere.
fn nights_of(image: &ImageRecord, nights: &[&[&str]]) -> Past {
    let mut past = Past::default();
    for cells in nights {
        let mut night = past.run(std::slice::from_ref(image));
        for cell in *cells {
            let (cell, letter) = cell.split_once(' ').unwrap_or((cell, "a"));
            night = match (cell.strip_prefix('@'), cell.strip_suffix('+')) {
                (Some(""), _) => night.remote(None, letter),
                (Some(at), _) => night.remote(Some(at), letter),
                (_, Some(runtime)) => night.warm(runtime, letter),
                _ => night.built(cell, letter),
            };
        }
        night.end();
    }
    past
}

#[test]
fn a_warm_builder_is_no_witness_of_itself() {
    let own = "nothing but its own cache gave it before";
    let beside = "its own cache proves nothing";
    let cases: [(&[&[&str]], Verdict, &str); 20] = [
        (&[&["docker+"], &["docker+"]], Alone, own),
        (&[&["docker+"], &["docker+"], &["docker+"]], Alone, own),
        // What was built cold may have stayed in the cache.
        (&[&["docker", "docker+"]], Alone, beside),
        (&[&["docker"], &["docker+"]], Alone, own),
        (&[&["docker+"], &["docker"]], Equal, ""),
        (&[&["docker", "docker+"], &["docker", "docker+"]], Equal, ""),
        (&[&["docker", "docker+", "podman"]], Equal, ""),
        (&[&["docker+", "podman+"]], Equal, ""),
        (&[&["docker", "podman+"]], Equal, ""),
        (&[&["podman"], &["docker+"]], Equal, ""),
        (&[&["podman+"], &["docker+"]], Equal, ""),
        // A fleet: each daemon has a cache of its own, and one of which nobody says which it is may be any.
        (&[&["@one"], &["@one"]], Alone, own),
        (&[&["@one"], &["@two"]], Equal, ""),
        (&[&["@one"], &["@two"], &["@two"]], Equal, ""),
        (&[&["@"], &["@one"]], Alone, own),
        (&[&["@one"], &["@"]], Alone, own),
        (&[&["@one"], &["@two"], &["@"]], Equal, ""),
        // What is in a container of Docker may be the builder of its own cells.
        (&[&["docker+", "@docker-container://x"]], Alone, beside),
        (&[&["docker+"], &["@docker-container://x"]], Alone, own),
        (&[&["podman+", "@docker-container://x"]], Equal, ""),
    ];
    for (nights, verdict, part) in cases {
        println!("{nights:?}");
        assert_all(&nights_of(&image("app"), nights), verdict, part);
    }
    // A cell that has an address of its own is the same daemon as one that came there by itself.
    for (address, verdict, part) in [("one", Alone, beside), ("two", Equal, "")] {
        let mut past = Past::default();
        let night = past.run(&[image("app")]).remote(Some("one"), "a");
        night.built_with("remote", "a", |record| {
            record.cache = CacheState::Warm;
            record.address = Some(address.into());
        });
        assert_all(&past, verdict, part);
    }
    // With a cache from elsewhere all builders that are warm have the same one.
    let shared =
        with(image("app"), |image| image.flags = vec!["--cache-from=type=registry,ref=r.example/c".to_owned()]);
    let found = with(image("app"), |image| image.found_cache = true);
    let cases: [(&[&[&str]], Verdict, &str); 4] = [
        (&[&["docker+", "podman+"]], Alone, beside),
        (&[&["docker", "podman+"]], Alone, beside),
        (&[&["docker+"], &["podman+"]], Alone, own),
        (&[&["docker", "podman"]], Equal, ""),
    ];
    for (nights, verdict, part) in cases {
        println!("shared: {nights:?}");
        assert_all(&nights_of(&shared, nights), verdict, part);
        assert_all(&nights_of(&found, nights), verdict, part);
    }
    // What is expected decides as ever.
    let app = with(image("app"), |image| image.expected = vec![expected(&digest("a"))]);
    assert_all(&nights_of(&app, &[&["docker+"]]), Equal, "");
}

#[test]
fn copies_of_a_cache_are_no_majority() {
    let past = nights_of(&image("app"), &[&["docker", "docker+", "podman b"]]);
    let found = last(&past);
    assert!(found.iter().all(|(verdict, _)| *verdict == NotReproducible), "{found:?}");
    assert!(
        found[0].1.contains("podman cold gave another") && found[2].1.contains("docker cold gave another"),
        "{found:?}"
    );
    let past = nights_of(&image("app"), &[&["buildkitd b", "docker", "docker+", "podman b"]]);
    let other = "2 cells agree on another digest";
    let wanted =
        [("buildkitd", Equal, ""), ("docker", NotReproducible, other), ("docker warm", NotReproducible, other)];
    assert_verdicts(&past, &[wanted.as_slice(), &[("podman", Equal, "")]].concat());
    // Two on each side, and one copy.
    let past = nights_of(&image("app"), &[&["buildkitd", "docker", "docker+", "podman b", "podman-user b"]]);
    let found = last(&past);
    assert!(found[0].1.starts_with("2 cells that share no cache agree on this digest"), "{found:?}");
    assert!(found.iter().all(|(verdict, _)| *verdict == NotReproducible), "{found:?}");
    // What a warm builder gave before does not speak for what it gives today.
    let past = nights_of(&image("app"), &[&["@one b"], &["docker", "@one b"]]);
    assert!(last(&past).iter().all(|(verdict, _)| *verdict == NotReproducible), "{:?}", last(&past));
    let past = nights_of(&image("app"), &[&["@two b"], &["docker", "@one b"]]);
    assert_eq!(last(&past).iter().map(|one| one.0).collect::<Vec<_>>(), [NotReproducible, Equal]);
}

#[test]
fn a_shared_daemon_that_builds_again_is_held_against_others() {
    for (before, today, survived) in [("one", "one", 0), ("one", "two", 1)] {
        let mut past = Past::default();
        past.run(&[image("app")]).remote(Some(before), "a").end();
        past.recheck("run-1", &[image("app")]).remote(Some(today), "a").end();
        assert_eq!(MatrixReport::of(&past.history(), None).rechecks[0].survived, survived, "{before} {today}");
    }
    // Everybody else builds again without a cache.
    let mut past = Past::default();
    past.run(&[image("app")]).warm("docker", "a").end();
    past.recheck("run-1", &[image("app")]).warm("docker", "a").end();
    assert_eq!(MatrixReport::of(&past.history(), None).rechecks[0].survived, 1);
}

#[test]
fn the_newest_run_is_shown_though_nothing_of_it_has_ended() {
    let mut past = Past::asked_for(2);
    past.run(&[image("app")]).built("docker", "a").built("podman", "a").end();
    drop(past.run(&[image("app")]));
    past.recheck("run-1", &[image("app")]).built("docker", "a").built("podman", "a").end();
    let report = MatrixReport::of(&past.history(), None);
    let run = report.run.as_ref().unwrap();
    assert_eq!((&*run.id, run.done, run.planned, run.ended), ("run-2", 0, 2, false));
    assert!(report.totals.is_empty() && report.images.is_empty());
    assert!(render_matrix(&report).contains("0 of 2 cells, not finished)\ncells      none has ended\n"));
    assert!(render_matrix_markdown(&report).contains("none has ended (0 of 2 cells, not finished; run run-2"));
    let page = page(&report);
    assert!(
        page.contains("0 of 2 cells have ended, not finished") && page.contains("0 of 2 cells are equal"),
        "{page}"
    );
}

#[test]
fn what_was_not_built_again_did_not_survive() {
    let mut past = Past::asked_for(3);
    let night = past.run(&[image("app")]).built("buildkitd", "a").built("docker", "a").built("podman", "a");
    night.end();
    drop(past.recheck("run-1", &[image("app")]).built("docker", "a"));
    let report = MatrixReport::of(&past.history(), None);
    let json = serde_json::to_value(&report.rechecks[0]).unwrap();
    let figures = ["planned", "ended", "survived", "changed", "lost"].map(|key| json[key].clone());
    assert_eq!(figures, [json!(3), json!(false), json!(1), json!(0), json!(2)]);
    let said = "1 of 3 gave the same digest, 0 another, 2 none, not finished (run run-1";
    assert!(render_matrix(&report).contains(said), "{}", render_matrix(&report));
    let said = "1 of 3 cells gave the same digest, 0 another, 2 none, not finished.";
    assert!(render_matrix_markdown(&report).contains(said), "{}", render_matrix_markdown(&report));
    let page = page(&report);
    assert!(page.contains("<td class=\"num\">1 of 3</td>") && page.contains(", not finished</span>"), "{page}");
    // A cell that gave two digests counts once, and not as one that survived.
    let mut past = Past::asked_for(2);
    past.run(&[image("app")]).built("docker", "a").built("podman", "a").end();
    past.recheck("run-1", &[image("app")]).built("docker", "a").built("docker", "b").end();
    let json = serde_json::to_value(&MatrixReport::of(&past.history(), None).rechecks[0]).unwrap();
    let figures = ["ended", "survived", "changed", "lost"].map(|key| json[key].clone());
    assert_eq!(figures, [json!(false), json!(0), json!(1), json!(1)]);
}

/// What the cells come to of a run that two jobs began, whichever of them is read first. A cell is a runtime, a BuildKit and a letter.
fn joined(parts: [&dyn Fn(&mut Value); 2], cells: &[[&str; 3]]) -> Vec<(Verdict, String)> {
    let orders = [[0, 1], [1, 0]].map(|order| {
        let mut past = Past::asked_for(1);
        for (nth, part) in order.into_iter().enumerate() {
            let mut night = past.part("night", &[image("app")], |run| {
                run["time"] = json!(format!("2027-01-01T01:00:0{part}Z"));
                parts[part](run);
            });
            for [runtime, buildkit, letter] in cells.iter().filter(|_| nth == 1) {
                night = night.built_with(runtime, letter, |record| record.buildkit = (*buildkit).to_owned().into());
            }
            if nth == 1 {
                night.end();
            }
        }
        last(&past)
    });
    assert_eq!(orders[0], orders[1], "the order changes something");
    orders[0].clone()
}

#[test]
fn parts_of_a_run_that_disagree_are_not_equal_whichever_is_read_first() {
    let two = |letter: &'static str| [["docker", "v0.19.0", letter], ["podman", "v0.19.0", letter]];
    let same: &dyn Fn(&mut Value) = &|_| {};
    let expecting = |letter: &'static str| {
        move |run: &mut Value| run["images"][0]["expected"] = json!([{ "digest": digest(letter).to_string() }])
    };
    let (a, b) = (expecting("a"), expecting("b"));
    let all = |found: &[(Verdict, String)], verdict: Verdict, part: &str| {
        assert!(found.len() > 1 && found.iter().all(|(own, why)| *own == verdict && why.contains(part)), "{found:?}");
    };
    // What is expected by one is expected.
    all(&joined([same, &a], &two("b")), NotReproducible, "is expected");
    all(&joined([same, &a], &two("a")), Equal, "");
    all(&joined([&a, &b], &two("a")), Alone, "expect different digests");
    all(&joined([&a, &a], &two("a")), Equal, "");
    // What has to be equal everywhere for one has to be.
    let everywhere = |run: &mut Value| run["images"][0]["everywhere"] = json!(true);
    let newer = [["docker", "v0.31.1", "b"], ["podman", "v0.31.1", "b"]];
    let versions = [two("a"), newer].concat();
    all(&joined([same, same], &versions), Equal, "");
    all(&joined([same, &everywhere], &versions), NotReproducible, "agree on this digest, and as many");
    // One name, two BuildKits.
    let means = |letter: &'static str| {
        move |run: &mut Value| {
            run["buildkits"] = json!({ "v0.19.0": { "image": format!("b@{}", digest(letter)) } });
        }
    };
    let (one, other) = (means("one"), means("other"));
    all(&joined([&one, &other], &two("a")), Alone, "different BuildKits by `v0.19.0`");
    all(&joined([&one, same], &two("a")), Equal, "");
    // Nobody can say which of two sources a cell was built from.
    let commit_of = |letter: &'static str| move |run: &mut Value| run["images"][0]["commit"] = json!(commit(letter));
    let (first, second) = (commit_of("1"), commit_of("2"));
    all(&joined([&first, &second], &two("a")), Alone, "from different sources");
    let differ = [["docker", "v0.19.0", "a"], ["podman", "v0.19.0", "b"]];
    all(&joined([&first, &second], &differ), Alone, "from different sources");
    all(&joined([&first, &first], &differ), NotReproducible, "");
    let flags = |run: &mut Value| run["images"][0]["flags"] = json!(["--build-arg=A=b"]);
    all(&joined([same, &flags], &differ), Alone, "from different sources");
    // Nor whether files of no commit were the same in two parts. What gave one digest did.
    let dirty_at = |time: &'static str| {
        move |run: &mut Value| {
            run["time"] = json!(time);
            run["images"][0]["clean"] = json!(false);
        }
    };
    let (early, late) = (dirty_at("2027-01-01T01:00:00.000Z"), dirty_at("2027-01-01T01:00:00.001Z"));
    all(&joined([&early, &late], &differ), Alone, "may have been others in another part");
    all(&joined([&early, &late], &two("a")), Equal, "");
    all(&joined([&early, &early], &differ), NotReproducible, "");
    // A run that is half a recheck is none, and proves nothing.
    let again = |run: &mut Value| run["recheck"] = json!({ "of": "x", "time": "2026-01-01T00:00:00Z", "age": "1 day" });
    all(&joined([same, &again], &two("a")), Alone, "build an earlier one again");
}

#[test]
fn what_a_run_was_asked_for_is_the_union_of_what_its_parts_were() {
    let name = |runtime: &str| format!("app.linux-amd64.v0.19.0.{runtime}.cold");
    let asked = |runtimes: &'static [&'static str]| {
        move |run: &mut Value| {
            run["planned"] = runtimes.iter().map(|runtime| name(runtime)).collect();
            run["cells"] = json!(runtimes.len());
        }
    };
    let run = |past: &Past| {
        let report = MatrixReport::of(&past.history(), None);
        let run = report.run.unwrap();
        (run.done, run.planned, run.ended)
    };
    // Two machines with the same cells.
    let mut past = Past::default();
    past.part("night", &[image("app")], asked(&["docker", "podman"])).built("docker", "a").built("podman", "a").end();
    let second = past.part("night", &[image("app")], |run| {
        run["time"] = json!("2027-01-01T01:00:07Z");
        asked(&["docker", "podman"])(run);
    });
    second.built("docker", "a").built("podman", "a").end();
    assert_eq!(run(&past), (2, 2, true));
    // Two jobs that begin in the same second, of which one is lost.
    let mut past = Past::default();
    past.part("night", &[image("app")], asked(&["docker"])).built("docker", "a").end();
    drop(past.part("night", &[image("app")], asked(&["podman"])));
    assert_eq!(run(&past), (1, 2, false));
    // A cell that gave two digests does not stand for one that is lost.
    let mut past = Past::default();
    past.part("night", &[image("app")], asked(&["docker", "podman"])).built("docker", "a").built("docker", "b").end();
    assert_eq!(run(&past), (1, 2, false));
    // A run of an older version that goes on: what is left was asked for before.
    let mut past = Past::default();
    drop(past.part("night", &[image("app")], |run| run["cells"] = json!(2)).built("docker", "a"));
    let rest = past.part("night", &[image("app")], |run| {
        asked(&["podman"])(run);
        run["cells"] = json!(0);
    });
    rest.built("podman", "a").end();
    assert_eq!(run(&past), (2, 2, true));
    // Spaces make no second part of a line.
    let mut past = Past::asked_for(2);
    past.part("night", &[image("app")], |_| {}).built("docker", "a").built("podman", "a").end();
    let spaced = past.text().lines().next().unwrap().replace("\":", "\": ");
    past.raw(&spaced);
    assert_eq!(run(&past), (2, 2, true));
    // And no number is too large.
    let mut past = Past::default();
    drop(past.part("night", &[image("app")], |run| run["cells"] = json!(u64::MAX)));
    past.part("night", &[image("app")], |run| run["cells"] = json!(3)).built("docker", "a").end();
    assert_eq!(run(&past), (1, u32::MAX as usize, false));
}

#[test]
fn a_line_that_names_too_many_cells_names_none() {
    for (cells, names) in [(10_000, 10_000), (30_000, 0)] {
        let planned = (0..cells).map(|number| format!("image-{number:05}.linux-amd64.v0.19.0.podman-rootless.cold"));
        let record = RunRecord { id: "night".to_owned(), cells, planned: planned.collect(), ..RunRecord::default() };
        let line = Line::of_run(record);
        assert_eq!(line.run.as_ref().unwrap().planned.len(), names);
        let text = serde_json::to_string(&line).unwrap();
        let history = History::parse(text.as_bytes());
        assert_eq!((history.unread_lines, history.runs[0].record.cells), (0, cells));
    }
}

#[test]
fn what_is_built_again_is_not_held_against_what_is_expected() {
    let app = with(image("app"), |image| image.expected = vec![expected(&digest("a"))]);
    let mut past = Past::default();
    past.run(std::slice::from_ref(&app)).built("docker", "b").built("podman", "a").end();
    past.recheck("run-1", &[app]).built("docker", "b").built("podman", "b").end();
    let recheck = &MatrixReport::of(&past.history(), None).rechecks[0];
    assert_eq!((recheck.survived, recheck.changed), (1, 1), "{:?}", recheck.cells);
}

#[test]
fn of_three_digests_each_cell_has_the_causes_that_were_found() {
    // Whichever of them was held against the others.
    for most in ["a", "b", "c"] {
        let mut past = Past::default();
        let mut night = past.run(&[image("app")]).built("buildkitd", "a").built("docker", "b").built("podman", "c");
        for other in ["a", "b", "c"].into_iter().filter(|other| *other != most) {
            night = night.differ(("v0.19.0", most), ("v0.19.0", other), vec![cause("mtime", 3)]);
        }
        night.end();
        let report = MatrixReport::of(&past.history(), None);
        for (builder, verdict, why) in cells(&report) {
            assert!(verdict == NotReproducible && why.contains("mtime (line 3)"), "{most}, {builder}: {why}");
        }
        assert_eq!(report.images[0].groups[0].differences.len(), 2, "{most}");
    }
}

#[test]
fn a_history_says_nothing_that_cannot_be() {
    // A commit that is none names nothing that could be built again, whatever it is called.
    for bad in ["HEAD", "main", "aaaaaaaaaaa\u{e9}", "0123456789abcdef", "--upload-pack=x"] {
        let mut past = Past::default();
        past.run(&[with(image("app"), |image| image.commit = Some(bad.to_owned()))]).built("docker", "a").end();
        let history = past.history();
        let record = &history.runs[0].record.images[0];
        assert_eq!((record.commit.as_deref(), record.clean), (None, false), "{bad}");
        assert!(render_matrix(&MatrixReport::of(&history, None)).contains("(no commit)"));
        let again = recheck(&history, &history.runs[0], &"1 day".parse().unwrap());
        assert!(again.sources.is_empty() && again.digests.is_empty());
    }
    for long in [40, 64] {
        let mut past = Past::default();
        past.run(&[with(image("app"), |image| image.commit = Some("ab".repeat(long / 2)))]).built("docker", "a").end();
        assert!(past.history().runs[0].record.images[0].clean);
    }
    // Nor are those of two directories that two matrices call by one name.
    let mut past = Past::default();
    for directory in ["a/app", "b/app"] {
        let app = with(image("app"), |image| image.directory = Some(directory.to_owned()));
        past.run(&[app]).built("docker", &directory[..1]).end();
    }
    assert_all(&past, Alone, "no other cell and no earlier run");
    // Two that are of no commit are not the same.
    let nowhere = with(image("app"), |image| image.commit = None);
    assert_all(&nights_of(&nowhere, &[&["docker"], &["docker"]]), Alone, "no other cell and no earlier run");
    for (seconds, shown) in [(1e308, 1e9), (-1e308, 0.0), (2.5, 2.5)] {
        let mut past = Past::default();
        past.run(&[image("app")]).built_with("docker", "a", |record| record.seconds = seconds).end();
        let report = serde_json::to_value(MatrixReport::of(&past.history(), None)).unwrap();
        assert_eq!(report["images"][0]["groups"][0]["cells"][0]["seconds"].as_f64(), Some(shown));
    }
}

#[test]
fn a_comparison_that_was_made_later_counts() {
    let mut past = Past::default();
    let night = past.run(&[image("app")]).built("docker", "a").built("podman", "b");
    night.differ(("v0.19.0", "a"), ("v0.19.0", "b"), vec![]).end();
    let unread = past.text().replace("\"unexplained\":0", "\"unexplained\":0,\"why\":\"its archive was not there\"");
    let mut past = Past::default();
    past.raw(&unread);
    let night = past.part("run-1", &[image("app")], |run| run["time"] = json!("2026-01-02T01:00:00Z"));
    night.differ(("v0.19.0", "a"), ("v0.19.0", "b"), vec![cause("mtime", 3)]).end();
    let found = last(&past);
    assert!(found.len() == 2 && found.iter().all(|(_, why)| why.contains("mtime (line 3)")), "{found:?}");
}

#[test]
fn runs_of_one_second_have_the_order_in_which_they_began() {
    // A history of whole seconds goes on with a finer one; what names say is no order.
    let mut past = Past::default();
    for (id, digest, time) in [("z", "b", ".900"), ("a", "a", ".25"), ("m", "a", "")] {
        let time = format!("2026-01-02T01:00:00{time}Z");
        past.part(id, &[image("app")], |run| run["time"] = json!(time)).built("docker", digest).end();
    }
    let history = past.history();
    let ids: Vec<&str> = history.runs.iter().map(|run| &*run.record.id).collect();
    assert_eq!(ids, ["m", "a", "z"]);
    assert_verdicts(&past, &[("docker", NotReproducible, "run a gave another digest for the same source")]);
    let report = MatrixReport::of(&history, None);
    let (text, markdown, page) = (render_matrix(&report), render_matrix_markdown(&report), page(&report));
    assert!(text.contains("since 2026-01-02T01:00:00Z (run z)"), "{text}");
    assert!(markdown.contains("run z, 2026-01-02T01:00:00Z)"), "{markdown}");
    assert!(page.contains("<time datetime=\"2026-01-02T01:00:00Z\">2026-01-02 01:00 UTC</time>"), "{page}");
    assert!(!page.contains("00.900"), "{page}");
}

#[test]
fn since_when_a_cell_is_as_it_is_and_how_it_went() {
    let mut past = Past::default();
    for (number, podman) in ["a", "b", "a", "b", "b"].into_iter().enumerate() {
        let app = with(image("app"), |image| image.commit = Some(commit(&number.to_string())));
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
            let app = with(image("app"), |image| image.commit = Some(commit(&format!("{number}.{at}"))));
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
            image.commit = Some(commit(&(number / 7).to_string()));
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
