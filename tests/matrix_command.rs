//! `repro matrix` where no engine is needed: what a history without its beginning, without its end or of somebody else leads to, which
//! run stands for an age, and what histories of several machines become.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use repro::digest::Digest;
use repro::matrix::age::{find_run, recheck};
use repro::matrix::attempt::Program;
use repro::matrix::file::Matrix;
use repro::matrix::history::{BuildKitRecord, ImageRecord, Line, Outcome, RunRecord};
use repro::matrix::past::History;
use repro::pin::{Pin, Variant};
use support::history::{Past, image, with};
use support::image_builder::{ImageBuilder, file, plain, tar};
use support::said;

/// A repository with a matrix, and no engine; and a place for what the program keeps.
struct Place(tempfile::TempDir, tempfile::TempDir);

const TWO_IMAGES: &str = "[axes]\nruntime = [\"docker\"]\n[build]\nsource-date-epoch = 0\n\
    [[image]]\nname = \"app\"\ncontext = \"c\"\n[[image]]\nname = \"other\"\ncontext = \"c\"\n";

impl Place {
    fn new(matrix: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(place.path().join("c")).unwrap();
        place.write("c/Dockerfile", "FROM scratch\n");
        place.write("matrix.toml", matrix);
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_repro"));
        command.arg("matrix").args(words).current_dir(self.path());
        // Nothing that builds is found here.
        command.env("PATH", self.path()).env("HOME", self.1.path()).env("XDG_STATE_HOME", self.1.path());
        command.env_remove("DOCKER_HOST");
        command
    }

    fn call(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn history(&self) -> History {
        History::load([&*self.path().join("history.jsonl")]).unwrap()
    }
}

/// The status of a report, and of one that lets pass what is missing.
fn statuses(past: &Past) -> [Option<i32>; 2] {
    let place = Place::new(TWO_IMAGES);
    place.write("history.jsonl", past.text());
    [&[][..], &["--allow-missing"][..]]
        .map(|more| place.call(&[&["report", "matrix.toml"], more].concat()).status.code())
}

#[test]
fn what_was_never_built_or_never_ended_is_not_equal() {
    let mut past = Past::asked_for(2);
    past.run(&[image("app")]).built("docker", "a").built("podman", "a").end();
    assert_eq!(statuses(&past), [Some(0), Some(0)]);
    // It was stopped before its last cell, or before its end.
    let mut past = Past::asked_for(3);
    past.run(&[image("app")]).built("docker", "a").built("podman", "a").end();
    assert_eq!(statuses(&past), [Some(4), Some(4)]);
    let mut past = Past::asked_for(2);
    drop(past.run(&[image("app")]).built("docker", "a").built("podman", "a"));
    assert_eq!(statuses(&past), [Some(4), Some(4)]);
    // A crash or a hand took its beginning: nobody knows what was asked for, or expected.
    let mut past = Past::asked_for(2);
    past.run(&[image("app")]).built("docker", "a").built("podman", "a").end();
    let rest = past.text().split_once('\n').unwrap().1.to_owned();
    let mut past = Past::default();
    past.raw(&rest);
    assert_eq!(statuses(&past), [Some(4), Some(4)]);
    // It was stopped before its first cell: the run before it is not the last one.
    let mut past = Past::asked_for(2);
    past.run(&[image("app")]).built("docker", "a").built("podman", "a").end();
    drop(past.run(&[image("app")]));
    assert_eq!(statuses(&past), [Some(4), Some(4)]);
    // What is missing may be; what was held against nothing, and what is missing everywhere, are no proof.
    let mut past = Past::asked_for(3);
    let night = past.run(&[image("app")]).built("docker", "a").built("podman", "a");
    night.ended("buildkitd", Outcome::Missing, "no buildkitd").end();
    assert_eq!(statuses(&past), [Some(4), Some(0)]);
    let mut past = Past::asked_for(2);
    past.run(&[image("app")]).built("docker", "a").ended("podman", Outcome::Missing, "no podman").end();
    assert_eq!(statuses(&past), [Some(4), Some(4)]);
    let mut past = Past::asked_for(1);
    past.run(&[image("app")]).ended("podman", Outcome::Missing, "no podman").end();
    assert_eq!(statuses(&past), [Some(4), Some(4)]);
}

#[test]
fn a_daemon_that_goes_by_two_names_is_refused() {
    let matrix = |addresses: &str| {
        let place = Place::new(&format!(
            "[axes]\nruntime = [\"remote\"]\naddress = [{addresses}]\n[[image]]\nname = \"app\"\ncontext = \"c\"\n"
        ));
        let socket = place.path().join("socket");
        std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::symlink(&socket, place.path().join("link")).unwrap();
        let text = fs::read_to_string(place.path().join("matrix.toml")).unwrap();
        place.write("matrix.toml", &text.replace("HERE", place.path().to_str().unwrap()));
        place.call(&["run", "matrix.toml"])
    };
    for twice in ["\"tcp://127.0.0.1:9\", \"tcp://localhost:9\"", "\"unix://HERE/socket\", \"unix://HERE/link\""] {
        let output = matrix(twice);
        let text = said(&output);
        assert!(output.status.code() == Some(2) && text.contains("are one daemon"), "{text}");
    }
    let output = matrix("\"tcp://127.0.0.1:9\", \"tcp://127.0.0.2:9\", \"unix://HERE/socket\"");
    assert_eq!(output.status.code(), Some(4), "each is another: {}", said(&output));
}

#[test]
fn a_cell_says_what_a_file_in_the_context_may_not() {
    let place = Place::new(
        "[axes]\nruntime = [\"docker\", \"podman\"]\nrootless = [false, true]\n[[image]]\nname = \"app\"\ncontext = \"c\"\n",
    );
    let matrix = Matrix::load(&place.path().join("matrix.toml")).unwrap();
    let [docker, podman, rootless] = matrix.cells.as_slice() else { panic!("{:?}", matrix.cells) };
    for (cell, variant) in [(docker, Variant::Plain), (podman, Variant::Plain), (rootless, Variant::Rootless)] {
        let flags = matrix.flags_of(cell);
        let pin = format!("--buildkit-image={}", Pin::default_for(variant).source);
        assert!(flags.contains(&pin) && flags.contains(&"--cache-from=".to_owned()), "{flags:?}");
    }
    let sees = Program::environment(&[("REPRO_ROOTLESS", "1"), ("A", "b")].into_iter().collect());
    let values = ["REPRO_ROOTLESS", "REPRO_CACHE", "A"].map(|name| sees.get(name).and_then(|value| value.to_str()));
    assert_eq!(values, [Some("false"), Some("true"), Some("b")]);
}

#[test]
fn a_cache_that_a_file_in_the_context_names_is_remembered() {
    let place = Place::new(TWO_IMAGES);
    let found = |name: &str| {
        let history = place.history();
        let images = &history.runs.last().unwrap().record.images;
        images.iter().find(|image| image.name == name).unwrap().found_cache
    };
    place.call(&["run", "matrix.toml"]);
    assert!(!found("app"));
    place.write("c/repro.toml", "cache-from = [\"type=registry,ref=r.example/c\"]\n");
    let output = place.call(&["run", "matrix.toml"]);
    assert!(found("app"), "{}", said(&output));
    // Where the matrix says it, the flags do.
    place.write(
        "matrix.toml",
        &TWO_IMAGES.replace("[build]", "[build]\ncache-from = [\"type=registry,ref=r.example/d\"]"),
    );
    let output = place.call(&["run", "matrix.toml"]);
    let flags = &place.history().runs.last().unwrap().record.images[0].flags.join(" ");
    assert!(!found("app") && flags.contains("r.example/d"), "{}", said(&output));
}

#[test]
fn a_run_goes_on_with_what_it_was_asked_for() {
    let place = Place::new(TWO_IMAGES);
    let cells = |history: &History| history.runs[0].entries.len();
    // As this place has them.
    let image = |name: &str| {
        with(image(name), |image| {
            (image.context, image.commit, image.clean) = ("c".to_owned(), None, false);
            image.flags = vec!["--source-date-epoch=0".to_owned()];
        })
    };
    // It was asked for both, and one is left.
    let mut past = Past::asked_for(2);
    let night = past.run(&[image("app"), image("other")]);
    drop(night.ended("docker", Outcome::Missing, "no docker"));
    let whole = past.text().replace("v0.19.0", "built-in");
    place.write("history.jsonl", &whole);
    let output = place.call(&["run", "--resume", "matrix.toml"]);
    let history = place.history();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(history.runs.len() == 1 && cells(&history) == 2 && history.runs[0].is_whole(), "{}", said(&output));
    // The same without its beginning: all of the matrix is what it is taken for, and no part of it for the whole.
    place.write("history.jsonl", whole.split_once('\n').unwrap().1);
    let output = place.call(&["run", "--resume", "matrix.toml"]);
    let history = place.history();
    assert!(history.runs.len() == 1 && cells(&history) == 2 && history.runs[0].record.cells == 2, "{}", said(&output));
    // It was asked for one cell of an image alone, and says which.
    let two = TWO_IMAGES.replace("[\"docker\"]", "[\"docker\", \"podman\"]");
    let other = Place::new(&two);
    let cells_of = |place: &Place| place.history().runs[0].entries.len();
    other.call(&["run", "--cell", &first_cell(&other), "matrix.toml"]);
    let text = fs::read_to_string(other.path().join("history.jsonl")).unwrap();
    other.write("history.jsonl", text.split_inclusive('\n').next().unwrap());
    other.call(&["run", "--resume", "matrix.toml"]);
    assert_eq!(cells_of(&other), 1);
    // It was asked for one image alone.
    let mut past = Past::asked_for(1);
    drop(past.run(&[image("other")]));
    place.write("history.jsonl", past.text());
    place.call(&["run", "--resume", "matrix.toml"]);
    let history = place.history();
    assert!(cells(&history) == 1 && history.runs[0].is_whole());
    let output = place.call(&["run", "--resume", "matrix.toml"]);
    assert!(output.status.code() == Some(2) && said(&output).contains("was stopped"), "{}", said(&output));
}

#[test]
fn jobs_of_one_run_say_which_cells_they_were_asked_for() {
    let places = [Place::new(TWO_IMAGES), Place::new(TWO_IMAGES)];
    let run = |place: &Place, more: &[&str]| {
        let output = place.call(&[&["run", "matrix.toml", "--run", "night"], more].concat());
        assert_eq!(output.status.code(), Some(4), "there is no engine: {}", said(&output));
        fs::read_to_string(place.path().join("history.jsonl")).unwrap()
    };
    let joined = |parts: [&str; 2]| {
        let run = History::parse(parts.concat().as_bytes()).runs.remove(0);
        (run.done, run.record.cells, run.is_whole())
    };
    // Two machines that were asked for the same.
    let [one, two] = [run(&places[0], &[]), run(&places[1], &[])];
    assert_eq!(joined([&one, &two]), (2, 2, true));
    // Two that were asked for a half each, of which one has begun and left no more.
    let name = |image: &str| {
        let names = places[0].call(&["cells", "matrix.toml"]);
        let names = String::from_utf8(names.stdout).unwrap();
        names.lines().find(|name| name.starts_with(image)).unwrap().to_owned()
    };
    for place in &places {
        fs::remove_file(place.path().join("history.jsonl")).unwrap();
    }
    let [one, two] = [run(&places[0], &["--cell", &name("app")]), run(&places[1], &["--cell", &name("other")])];
    assert!(one.contains(&format!("\"planned\":[\"{}\"]", name("app"))), "{one}");
    assert_eq!(joined([&one, &two]), (2, 2, true));
    assert_eq!(joined([&one, two.lines().next().unwrap()]), (1, 2, false));
}

fn first_cell(place: &Place) -> String {
    let cells = place.call(&["cells", "matrix.toml"]);
    String::from_utf8(cells.stdout).unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn what_is_built_again_is_told_from_what_is_too_young() {
    let place = Place::new(TWO_IMAGES);
    let call = |words: &[&str]| place.call(&[&["run", "matrix.toml", "--recheck"], words].concat());
    let mut past = Past::default();
    past.run(&[image("app")]).built("docker", "a").end();
    let young = past.text().replace("2026-01-02T01:00:00Z", &chrono::Utc::now().to_rfc3339());
    assert_ne!(young, past.text());
    place.write("history.jsonl", &young);
    let output = call(&["1 day"]);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("no run of the history is 1 day old yet"), "{}", said(&output));
    assert_eq!(call(&["1 day", "--allow-missing"]).status.code(), Some(0));
    // It is old enough, and cannot be built again.
    for (change, why) in [
        ((|image| image.clean = false) as fn(&mut ImageRecord), "not what a commit holds"),
        (|image| image.context = "../../elsewhere".to_owned(), "not those of today's matrix"),
    ] {
        let mut past = Past::default();
        past.run(&[with(image("app"), change)]).built("docker", "a").end();
        place.write("history.jsonl", past.text());
        for words in [&["1 day"][..], &["1 day", "--allow-missing"]] {
            let output = call(words);
            let text = said(&output);
            assert_eq!(output.status.code(), Some(4), "{text}");
            assert!(text.contains(why) && text.contains("nothing of run run-1 can be built again"), "{text}");
        }
        assert_eq!(place.history().runs.len(), 1, "nothing was begun");
    }
}

#[test]
fn a_history_says_nothing_that_todays_matrix_does_not() {
    let place = Place::new(
        "[axes]\nruntime = [\"docker\"]\n[[image]]\nname = \"app\"\ncontext = \"c\"\nbuild = { secret = [\"id=mine,src=key\"] }\n",
    );
    let matrix = Matrix::load(&place.path().join("matrix.toml")).unwrap();
    let survives = |change: &dyn Fn(&mut RunRecord)| {
        let mut past = Past::default();
        past.run(&[image("app")]).built("docker", "a").end();
        let mut lines = past.text().splitn(2, '\n');
        let mut begin: Line<'_> = serde_json::from_str(lines.next().unwrap()).unwrap();
        change(begin.run.as_mut().unwrap());
        let text = format!("{}\n{}", serde_json::to_string(&begin).unwrap(), lines.next().unwrap());
        let history = History::parse(text.as_bytes());
        let found = &history.runs[0];
        let mut again = recheck(&history, found, &"1 day".parse().unwrap());
        assert_eq!(again.digests.len(), 1);
        again.trust(&matrix, found);
        assert_eq!(again.digests.is_empty(), !again.left_out.is_empty(), "{:?}", again.left_out);
        !again.digests.is_empty()
    };
    let flags = |flags: &'static [&'static str]| {
        move |run: &mut RunRecord| run.images[0].flags = flags.iter().map(|flag| (*flag).to_owned()).collect()
    };
    let pin = |text: &'static str| {
        move |run: &mut RunRecord| {
            let record = BuildKitRecord { image: Some(text.to_owned()), rootless: None };
            run.buildkits.insert("v0.19.0".to_owned(), record);
        }
    };
    assert!(survives(&|_| {}));
    assert!(survives(&flags(&["--build-arg=A=b", "--target=x", "--source-date-epoch=7"])));
    assert!(survives(&flags(&["--secret=id=mine,src=key"])), "today's matrix says it, too");
    for wrong in [
        &["--secret=id=mine,src=/etc/shadow"][..],
        &["--ssh=default"],
        &["--build-context=x=/etc"],
        &["--output=/tmp/x"],
        &["--allow=security.insecure"],
        &["--build-argument=x"],
        &["--build-arg=NIGHT_TOKEN"],
        &["-o/tmp/x"],
    ] {
        assert!(!survives(&flags(wrong)), "{wrong:?}");
    }
    assert!(!survives(&pin(
        "registry.example/evil@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    )));
    assert!(!survives(&|run| run.images[0].context = "/etc".to_owned()));
    assert!(!survives(&flags(&["--build-arg=HTTP_PROXY=http://elsewhere.example"])));
    assert!(!survives(&flags(&["--build-arg=BUILDKIT_SYNTAX=elsewhere.example/frontend"])));
    // Nobody would build what a fleet built, where there is none.
    let mut past = Past::default();
    past.run(&[image("app")]).built("remote", "a").end();
    let history = past.history();
    let mut again = recheck(&history, &history.runs[0], &"1 day".parse().unwrap());
    again.trust(&matrix, &history.runs[0]);
    assert!(again.digests.is_empty() && again.left_out.len() == 1, "{:?}", again.left_out);
}

#[test]
fn a_cell_that_was_tried_after_the_night_is_not_the_night() {
    let mut past = Past::default();
    for _ in 0..3 {
        past.run(&[image("app")]).built("docker", "a").built("podman", "a").end();
    }
    past.run(&[image("app")]).built("docker", "b").end();
    past.run(&[image("app")]).ended("docker", Outcome::Failed, "no").end();
    // The last three are of one day: a night, then one cell of it, then none.
    let text = past.text().replace("2026-01-05T01:", "2026-01-04T11:").replace("2026-01-06T01:", "2026-01-04T12:");
    let history = History::parse(text.as_bytes());
    let at = |text: &str| {
        let now = text.parse().unwrap();
        find_run(&history, &"1 day".parse().unwrap(), now).map(|run| run.record.id.clone())
    };
    assert_eq!(at("2026-02-01T00:00:00Z").as_deref(), Some("run-3"));
    assert_eq!(at("2026-01-05T11:30:00Z").as_deref(), Some("run-3"));
    assert_eq!(at("2026-01-04T23:00:00Z").as_deref(), Some("run-2"));
    assert_eq!(at("2026-01-03T00:59:59Z"), None);
}

#[test]
fn what_is_too_long_or_no_line_is_counted_where_histories_become_one() {
    let place = Place::new(TWO_IMAGES);
    let mut past = Past::default();
    past.run(&[image("app")]).built("docker", "a").end();
    place.write("a.jsonl", past.text());
    place.write("b.jsonl", &format!("{}{}\nnot a line\n", past.text(), "x".repeat(2 << 20)));
    let output = place.call(&["merge", "matrix.toml", "a.jsonl", "b.jsonl"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("3 lines are new, 3 were there, 2 cannot be read"), "{}", said(&output));
    assert_eq!(fs::read_to_string(place.path().join("history.jsonl")).unwrap(), past.text());
}

#[test]
fn a_history_that_is_merged_is_read_once_and_may_be_a_pipe() {
    let place = Place::new(TWO_IMAGES);
    let mut past = Past::default();
    past.run(&[image("app")]).built("docker", "a").end();
    let mut merge = place.command(&["merge", "matrix.toml", "/dev/stdin"]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut merge.stdin.take().unwrap(), past.text().as_bytes()).unwrap();
    assert!(merge.wait().unwrap().success());
    assert_eq!(fs::read_to_string(place.path().join("history.jsonl")).unwrap(), past.text());
    // What is added to has to stay.
    let output = place.call(&["merge", "matrix.toml", "history.jsonl", "--history", "/dev/null"]);
    assert!(output.status.code() == Some(4) && said(&output).contains("no regular file"), "{}", said(&output));
    // What cannot be read is told before anything is written.
    fs::remove_file(place.path().join("history.jsonl")).unwrap();
    place.write("a.jsonl", past.text());
    for wrong in ["c", "nothing.jsonl"] {
        let output = place.call(&["merge", "matrix.toml", "a.jsonl", wrong]);
        let text = said(&output);
        assert!(
            output.status.code() == Some(4) && text.contains(&format!("cannot read the history `{wrong}`")),
            "{text}"
        );
        assert!(!place.path().join("history.jsonl").exists());
    }
}

#[test]
fn lines_of_another_form_are_not_merged() {
    let place = Place::new(TWO_IMAGES);
    let mut past = Past::default();
    past.run(&[image("app")]).built("docker", "a").end();
    let mut text = past.text().to_owned();
    text += &past.text().lines().next().unwrap().replace("history.v1", "history.v2");
    text += "\n";
    text += &past.text().lines().nth(1).unwrap().replace("\"built\"", "\"failed\"");
    place.write("a.jsonl", &text);
    let output = place.call(&["merge", "matrix.toml", "a.jsonl"]);
    assert!(said(&output).contains("3 lines are new, 0 were there, 2 cannot be read"), "{}", said(&output));
    assert_eq!(fs::read_to_string(place.path().join("history.jsonl")).unwrap(), past.text());
}

#[test]
fn the_name_of_a_run_does_nothing_to_a_terminal() {
    let place = Place::new(TWO_IMAGES);
    let mut past = Past::default();
    past.part("r\u{1b}[2J\u{202e}", &[image("app")], |_| {}).built("docker", "a").end();
    place.write("history.jsonl", past.text());
    let output = place.call(&["report", "matrix.toml", "--run", "no\u{202e}"]);
    let text = said(&output);
    assert!(output.status.code() == Some(2) && text.contains("the last one is r\\u{1b}[2J\\u{202e}"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
}

/// The archive of an image with many files of these contents, under the name of its digest.
fn keep(place: &Path, files: usize, letter: &str) -> Digest {
    let entries = (0..files).map(|number| file(format!("srv/some/where/in/the/image/file-{number}"), letter));
    let image = ImageBuilder::oci().layer(plain(tar(entries))).build();
    let digest = image.image.clone().unwrap();
    fs::write(place.join(format!("{}.tar", digest.hex())), image.tar()).unwrap();
    digest
}

/// A night on several machines, each of which gave another digest, with all archives.
fn night_that_differs(files: usize, letters: &[&str]) -> Place {
    let place = Place::new(TWO_IMAGES);
    fs::create_dir(place.path().join("kept")).unwrap();
    let mut past = Past::default();
    let mut night = past.run(&[image("app")]);
    for (number, letter) in letters.iter().enumerate() {
        let digest = keep(&place.path().join("kept"), files, letter);
        night = night.built_with("remote", letter, |record| {
            record.digest = Some(digest);
            record.address = Some(format!("tcp://127.0.0.1:{number}").into());
        });
    }
    night.end();
    place.write("part.jsonl", past.text());
    place
}

const MERGE: [&str; 5] = ["merge", "matrix.toml", "part.jsonl", "--archives", "kept"];

#[test]
fn a_comparison_of_many_files_is_read_whole() {
    let place = night_that_differs(12_000, &["a", "b"]);
    let kept: Vec<_> = fs::read_dir(place.path().join("kept")).unwrap().map(|file| file.unwrap().path()).collect();
    let diff = Command::new(env!("CARGO_BIN_EXE_repro")).args(["diff", "--format=json"]).args(&kept).output().unwrap();
    assert!(diff.stdout.len() > 4 << 20, "more than is kept of what other programs say: {}", diff.stdout.len());
    let output = place.call(&MERGE);
    assert!(output.status.success(), "{}", said(&output));
    let differences = &place.history().runs[0].differences;
    assert_eq!(differences.len(), 1);
    assert!(differences[0].why.is_none() && !differences[0].causes.is_empty(), "{differences:?}");
    // What was compared is not compared again.
    assert!(place.call(&MERGE).status.success());
    assert_eq!(place.history().runs[0].differences.len(), 1);
}

#[test]
fn an_archive_that_is_not_what_its_name_says_explains_nothing() {
    let place = night_that_differs(1, &["a", "b"]);
    let other = keep(place.path(), 1, "c");
    let digests = fs::read_dir(place.path().join("kept")).unwrap().map(|file| file.unwrap().path());
    let first = digests.min().unwrap();
    fs::rename(place.path().join(format!("{}.tar", other.hex())), first).unwrap();
    let output = place.call(&MERGE);
    assert!(output.status.success(), "{}", said(&output));
    let difference = place.history().runs[0].differences[0].clone();
    assert_eq!(difference.why.as_deref(), Some("an archive holds another image than its name says"));
    assert!(difference.causes.is_empty());
}

#[test]
fn a_stop_while_archives_are_compared_keeps_what_was_done() {
    let place = night_that_differs(4_000, &["a", "b", "c", "d", "e", "f"]);
    let mut merge = place.command(&MERGE).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(merge.stderr.take().unwrap()).lines();
    // From here on it compares.
    assert!(lines.next().unwrap().unwrap().contains("lines are new"));
    assert!(Command::new("kill").args(["-s", "INT", &merge.id().to_string()]).status().unwrap().success());
    let rest = lines.map(Result::unwrap).collect::<Vec<_>>().join("\n");
    assert_eq!(merge.wait().unwrap().code(), Some(130), "{rest}");
    let done = place.history().runs[0].differences.len();
    assert!(done < 5, "{done}");
    assert!(rest.contains(&format!("{done} comparisons are written")) && rest.contains("compares the rest"), "{rest}");
    assert!(place.history().runs[0].differences.iter().all(|difference| difference.why.is_none()));
    let output = place.call(&MERGE);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(place.history().runs[0].differences.len(), 5, "each once");
}

#[test]
fn a_digest_that_is_expected_of_no_cell_is_refused() {
    let digest = Digest::of(b"x");
    let text = format!("{TWO_IMAGES}expect = [{{ platform = \"linux/arm64\", digest = \"{digest}\" }}]\n");
    let place = Place::new(&text);
    let output = place.call(&["cells", "matrix.toml"]);
    let text = said(&output);
    assert!(output.status.code() == Some(2) && text.contains("`other`") && text.contains("no cell"), "{text}");
    // One that never counts, because another one does for all of its cells.
    let shadowed = format!(
        "{TWO_IMAGES}expect = [{{ digest = \"{digest}\" }}, {{ platform = \"linux/arm64\", digest = \"{digest}\" }}]\naxes = {{ platform = [\"linux/arm64\"] }}\n"
    );
    let output = Place::new(&shadowed).call(&["cells", "matrix.toml"]);
    assert!(output.status.code() == Some(2) && said(&output).contains("`other`"), "{}", said(&output));
    // Where the platform is built, it stands.
    let place = Place::new(&text_with_platform(&digest));
    assert_eq!(place.call(&["cells", "matrix.toml"]).status.code(), Some(0));
}

fn text_with_platform(digest: &Digest) -> String {
    format!(
        "{TWO_IMAGES}axes = {{ platform = [\"linux/arm64\"] }}\nexpect = [{{ platform = \"linux/arm64\", digest = \"{digest}\" }}]\n"
    )
}

#[test]
fn axes_that_say_nothing_or_too_much_are_refused() {
    let of = |axes: &str, more: &str| {
        let text = format!("[axes]\n{axes}\n[[image]]\nname = \"app\"\ncontext = \"c\"\n{more}");
        let output = Place::new(&text).call(&["cells", "matrix.toml"]);
        (output.status.code(), said(&output))
    };
    let (status, text) = of("runtime = [\"docker\", \"remote\"]\naddress = []", "");
    assert!(status == Some(2) && text.contains("axes, address"), "{text}");
    let (status, text) = of("runtime = [\"docker\"]", "[[include]]\nrootless = true\n");
    assert!(status == Some(2) && text.contains("does not have"), "{text}");
    let (status, text) = of("runtime = [\"docker\"]", "[[include]]\nrootless = true\nruntime = \"podman\"\n");
    assert!(status == Some(0) && text.contains("podman-rootless"), "{text}");
    // Before it takes memory for each.
    let many = |value: &str| vec![format!("\"{value}\""); 3_000].join(",");
    let axes =
        format!("runtime = [{}]\nplatform = [{}]\ncache = [{}]", many("docker"), many("linux/amd64"), many("cold"));
    let (status, text) = of(&axes, "");
    assert!(status == Some(2) && text.contains("more cells than the 100000"), "{text}");
}

#[test]
fn cells_of_one_run_are_of_one_source() {
    let place = Place::new(TWO_IMAGES);
    let run = || place.call(&["run", "--run", "night", "matrix.toml"]);
    assert_eq!(run().status.code(), Some(4), "{}", said(&run()));
    for (from, to, what) in [
        ("epoch = 0", "epoch = 1", "another epoch"),
        ("name = \"other\"", "name = \"other\"\nbuild = { label = { a = \"b\" } }", "another options"),
        ("name = \"other\"", "name = \"other\"\nexpect = \"equal-everywhere\"", "another expected digest"),
    ] {
        place.write("matrix.toml", &TWO_IMAGES.replace(from, to));
        let output = run();
        let text = said(&output);
        assert!(output.status.code() == Some(2) && text.contains("is not what run night builds"), "{text}");
        assert!(text.contains(what), "{text}");
    }
    assert_eq!(place.history().runs[0].record.images.len(), 2, "nothing was added");
}

#[test]
fn what_a_run_writes_is_no_input_of_its_builds() {
    let place = Place::new(
        "[axes]\nruntime = [\"docker\"]\n[build]\nsource-date-epoch = 0\n[[image]]\nname = \"app\"\ncontext = \".\"\n",
    );
    place.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    let run = |more: &[&str]| {
        let output = place.call(&[&["run", "matrix.toml"], more].concat());
        (output.status.code(), said(&output))
    };
    let (status, text) = run(&[]);
    assert!(status == Some(2) && text.contains("history.jsonl` lies in the context of `app`"), "{text}");
    assert!(!place.path().join("history.jsonl").exists());
    let elsewhere = tempfile::tempdir().unwrap();
    let history = elsewhere.path().join("history.jsonl");
    let elsewhere = ["--history", history.to_str().unwrap()];
    assert_eq!(run(&elsewhere).0, Some(4), "no docker is no fault of the matrix");
    let (status, text) = run(&[&elsewhere[..], &["--keep", "c/kept"]].concat());
    assert!(status == Some(2) && text.contains("c/kept` lies in the context"), "{text}");
    // What is ignored is no input; what is taken out of that again may be.
    place.write(".dockerignore", "# mine\n/history.jsonl\nc\n");
    assert_eq!(run(&["--keep", "c/kept"]).0, Some(4));
    place.write(".dockerignore", "history.jsonl\n!*.jsonl\n");
    assert_eq!(run(&[]).0, Some(2));
    // The Dockerfile's own file counts instead of the other one.
    place.write(".dockerignore", "history.jsonl\n");
    place.write("Dockerfile.dockerignore", "nothing\n");
    assert_eq!(run(&[]).0, Some(2));
}
