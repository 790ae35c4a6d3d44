//! The page of a matrix in a real browser: on a phone and on a desk, light and dark, with the keyboard alone, on paper.
//!
//! `page/look.mjs` opens it and says what it found; the screenshots stay in `target/tmp/matrix-page` (CI keeps them).

use std::fs;
use std::path::Path;
use std::process::Command;

use repro::matrix::history::Outcome;
use serde_json::Value;

use crate::harness::every_way;
use crate::support::history::{Past, cause, commit, image, with};
use crate::support::said;

/// Forty nights in which everything happened that a page shows.
fn nights() -> Past {
    let mut past = Past::asked_for(47);
    for number in 60..100 {
        let name = |name: &str| with(image(name), |image| image.commit = Some(commit(&(number / 9).to_string())));
        let python =
            with(name("python-uv"), |image| image.moving = vec!["line 1: `python` is a tag that moves".to_owned()]);
        let images = [name("debian-bookworm"), name("go-static"), name("node-npm"), python];
        let again = number == 90;
        let mut night = if again { past.recheck("run-24", &images) } else { past.run(&images) };
        for image in &images {
            night = night.of(&image.name);
            for (at, buildkit) in ["v0.19.0", "v0.24.0", "v0.31.1"].into_iter().enumerate() {
                for way in ["buildkitd", "docker", "podman", "remote"] {
                    let mut letter = format!("{}.{}.{}", image.name, number / 9, at / 2);
                    if image.name == "go-static" && at == 1
                        || image.name == "python-uv" && way == "podman" && number > 70
                    {
                        letter = format!("{letter}.{way}.{number}");
                    }
                    let base = if way == "docker" && number == 99 { "debian sha256:2" } else { "debian sha256:1" };
                    if image.name == "debian-bookworm" && way == "docker" && number == 99 {
                        letter += "moved";
                    }
                    if image.name == "node-npm" && way == "docker" && number > 96 {
                        continue;
                    }
                    night = night.built_with(way, &letter, |record| {
                        record.buildkit = buildkit.into();
                        record.materials = vec![base.to_owned()];
                        if way == "remote" {
                            record.unproved = true;
                            record.at = Some("tcp://builder-3.example:1234".into());
                            record.tries = vec!["connection reset".to_owned()];
                        }
                    });
                }
            }
            if image.name == "node-npm" {
                night = night.ended(
                    "docker",
                    Outcome::Failed,
                    "process \"/bin/sh -c npm ci\" did not complete: exit code: 1",
                );
                night = night.ended(
                    "podman-user",
                    Outcome::Missing,
                    "rootless containers need newuidmap, which is not here",
                );
            }
            let (most, other) =
                (format!("{}.{}.0", image.name, number / 9), format!("{}.{}.1", image.name, number / 9));
            let podman = format!("{most}.podman.{number}");
            night =
                night.differ(("v0.19.0", &most), ("v0.19.0", &podman), vec![cause("pyc-mtime", 12), cause("mtime", 3)]);
            night = night.differ(("v0.24.0", &most), ("v0.31.1", &other), vec![cause("history", 9)]);
        }
        night.end();
    }
    past.raw("a line that was cut\n");
    past
}

fn look() -> Value {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("matrix-page");
    fs::create_dir_all(&directory).unwrap();
    let history = directory.join("history.jsonl");
    fs::write(&history, nights().text()).unwrap();
    let page = directory.join("page.html");
    let mut report = Command::new(env!("CARGO_BIN_EXE_repro"));
    let output =
        report.args(["matrix", "report", "--history"]).arg(&history).arg("--html").arg(&page).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let mut look = Command::new("node");
    look.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/page/look.mjs")).arg(&page).arg(&directory);
    let output = look.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    for view in ["phone-light", "phone-dark", "desktop-light", "desktop-dark"] {
        let picture = fs::read(directory.join(format!("{view}.png"))).unwrap();
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000, "{view}: {} bytes", picture.len());
    }
    println!("screenshots: {}", directory.display());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn the_page_is_for_everybody() {
    if every_way().is_empty() {
        return;
    }
    let found = look();
    let views = found["views"].as_array().unwrap();
    assert_eq!(views.len(), 4);
    for view in views {
        let name = view["name"].as_str().unwrap();
        assert_eq!(
            texts(&view["said"]),
            Vec::<&str>::new(),
            "{name}: the console, and what was asked for besides the page"
        );
        assert_eq!(view["wide"], 0, "{name}: the page scrolls sideways, by so many pixels");
        assert_eq!(texts(&view["violations"]), Vec::<&str>::new(), "{name}");
        // It cannot judge the signs beside the words; they are of the words' colour, and nobody needs them.
        let unsure: Vec<&str> =
            texts(&view["unsure"]).into_iter().filter(|rule| !rule.contains("only non-text characters")).collect();
        assert_eq!(unsure, Vec::<&str>::new(), "{name}");
        // A rule for what scrolls passes only where something does.
        let scrolls = name.starts_with("phone").then_some("scrollable-region-focusable");
        for rule in ["color-contrast", "html-has-lang", "landmark-one-main", "skip-link"].into_iter().chain(scrolls) {
            assert!(texts(&view["passed"]).contains(&rule), "{name}: {rule} was not checked");
        }
    }
    assert!(found["narrow"] == 0, "on 360 pixels the page scrolls sideways, by so many: {}", found["narrow"]);

    let stops = found["keyboard"]["stops"].as_array().unwrap();
    let of = |tag: &str| stops.iter().filter(|stop| stop["tag"] == tag).collect::<Vec<_>>();
    for stop in stops {
        assert!(stop["outline"] == true && stop["seen"] == true, "the focus is not seen: {stop}");
    }
    assert_eq!(
        (stops[0]["text"].as_str(), found["keyboard"]["skipped"].as_str()),
        (Some("Skip to the images"), Some("content"))
    );
    assert_eq!(of("a").len(), 5, "the skip link, and one an image");
    let scrolling: Vec<_> = of("div").into_iter().filter(|stop| stop["scrolls"] == true).collect();
    assert!(scrolling.len() >= 4 && scrolling.iter().all(|stop| stop["moves"] == true), "{scrolling:?}");
    let summaries = of("summary");
    assert!(summaries.len() >= 12 && summaries.iter().all(|stop| stop["opens"] == true), "{summaries:?}");

    let paper = &found["paper"];
    assert_eq!((&paper["background"], &paper["color"]), (&"rgb(255, 255, 255)".into(), &"rgb(0, 0, 0)".into()));
    assert!(paper["folded"].as_u64() > Some(8) && paper["folded"] == paper["shown"], "{paper}");
}
