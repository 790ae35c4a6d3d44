//! Causes that are planted: contexts that are not reproducible for a reason that is known, each built twice for real.
//!
//! `repro diff` has to name the reason and the line, and what is proposed as the fix has to give one digest. `make causes` runs
//! all of `tests/lab/causes`, and `make test` those that [`SHORT`] names.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::foreign::Daemon;
use crate::harness::{Bench, Built, Way, lab, said, ways};

/// One case for each group that needs no more than the small base.
const SHORT: [&str; 5] = ["build-argument", "compression-level", "date-output", "stage-behind-copy", "umask"];
/// What is asked of all cases together.
const PRECISION: f64 = 0.95;
const RECALL: f64 = 0.90;
/// Times in zip archives have steps of two seconds; the builds of one case lie further apart.
const APART: Duration = Duration::from_secs(2);

/// `case.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Recipe {
    /// What the argument BASE is; none where the case needs no such argument.
    base: Option<String>,
    /// The causes that have to be named.
    causes: Vec<Expected>,
    /// Arguments of both builds, of the first and of the second.
    #[serde(default)]
    both: Vec<String>,
    #[serde(default)]
    first: Vec<String>,
    #[serde(default)]
    second: Vec<String>,
    /// Arguments of both builds with the fix; without it those of the two builds hold, and the fix is in `fixed/`.
    fixed: Option<Vec<String>>,
    /// What a secret called `surroundings` holds in the first and in the second build: no cache and no history knows it.
    surroundings: Option<[String; 2]>,
    /// Commands that run in both copies of the context, and in the second one alone.
    setup: Option<String>,
    r#move: Option<String>,
    /// Who makes the second build, if not who makes the first.
    second_way: Option<String>,
    /// Whether steps may come from the cache.
    #[serde(default)]
    cache: bool,
    /// `buildctl`: built without `repro`, with arguments for buildctl, in which `$OUT` is the archive.
    client: Option<String>,
    /// Why the case cannot be run here.
    not_run: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    id: String,
    /// None: it is in no line.
    line: Option<u64>,
}

#[derive(Debug)]
struct Case {
    name: String,
    directory: PathBuf,
    recipe: Recipe,
}

/// Where the second build of a case is made.
fn second_way(case: &Case) -> Way {
    let named = case.recipe.second_way.as_deref();
    Way::ALL.into_iter().find(|way| Some(way.name()) == named).unwrap_or(Way::Buildkitd)
}

fn cases() -> Vec<Case> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/causes");
    let mut cases: Vec<Case> = fs::read_dir(all)
        .unwrap()
        .map(|entry| {
            let directory = entry.unwrap().path();
            let text = fs::read_to_string(directory.join("case.toml")).unwrap();
            let recipe = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
            let name = directory.file_name().unwrap().to_string_lossy().into_owned();
            Case { name, directory, recipe }
        })
        .collect();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

/// A server whose `/moving` is another file each time, and whose `/fixed` never is.
struct Server {
    address: String,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = Self::answer(stream);
            }
        });
        Self { address }
    }

    fn answer(mut stream: TcpStream) -> std::io::Result<()> {
        static ANSWERS: AtomicU32 = AtomicU32::new(0);
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        lines.map_while(Result::ok).find(String::is_empty);
        let moving = format!("release {}, as good as any other one\n", ANSWERS.fetch_add(1, Ordering::Relaxed));
        let body = if request.contains(" /fixed ") { "fixed\n" } else { &moving };
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
        if request.starts_with("GET") { stream.write_all(body.as_bytes()) } else { Ok(()) }
    }
}

/// Where cases are built.
struct Yard {
    bench: Bench,
    server: String,
    daemon: Option<Daemon>,
}

impl Yard {
    fn new(server: &Server) -> Self {
        Self { bench: Bench::alone("causes"), server: server.address.clone(), daemon: None }
    }

    fn expand(&self, word: &str, archive: &Path) -> String {
        let word = word.replace("$OUT", &archive.to_string_lossy()).replace("$SERVER", &self.server);
        let Some((start, rest)) = word.split_once("$LAB_") else { return word };
        let end = rest.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_').unwrap_or(rest.len());
        format!("{start}{}{}", lab(&format!("LAB_{}", &rest[..end])), &rest[end..])
    }

    /// A copy of the context as a checkout would have it, then what the case does to it.
    fn context(&self, case: &Case, number: usize, is_fixed: bool) -> PathBuf {
        let kind = if is_fixed { "fixed" } else { "planted" };
        // Cache mounts belong to a project, which is known by its directory.
        let number_in_name = if case.recipe.cache { 0 } else { number };
        let place = self.bench.directory(&format!("{} {kind} {number_in_name}", case.name)).join("context");
        let script = "set -e; rm -rf \"$2\"; cp -r \"$1\" \"$2\"; cd \"$2\"; [ \"$3\" = planted ] || [ ! -d fixed ] || cp -r fixed/. .; rm -rf fixed case.toml
            find . -type d -exec chmod 755 {} +; find . -type f -exec chmod 644 {} +; find . -exec touch -d 2024-06-07T08:09:10Z {} +
            umask 022; eval \"$4\"; eval \"$5\"";
        let moved = if number == 2 { case.recipe.r#move.as_deref().unwrap_or_default() } else { "" };
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(&case.directory).arg(&place);
        command.args([kind, case.recipe.setup.as_deref().unwrap_or_default(), moved]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}: {}", case.name, said(&output));
        place
    }

    fn archive(&self, case: &Case, number: usize, is_fixed: bool) -> PathBuf {
        let kind = if is_fixed { "fixed" } else { "planted" };
        let way = if number == 2 { second_way(case) } else { Way::Buildkitd };
        self.bench.output(way, &format!("{}-{kind}-{number}.tar", case.name))
    }

    /// One build; its digest, or what went wrong.
    fn build(&mut self, case: &Case, number: usize, is_fixed: bool) -> Result<String, String> {
        let recipe = &case.recipe;
        let context = self.context(case, number, is_fixed);
        let archive = self.archive(case, number, is_fixed);
        let own = if number == 1 { &recipe.first } else { &recipe.second };
        let words: Vec<String> = match &recipe.fixed {
            Some(fixed) if is_fixed => fixed.clone(),
            _ => recipe.both.iter().chain(own).cloned().collect(),
        };
        let words: Vec<String> = words.iter().map(|word| self.expand(word, &archive)).collect();
        if recipe.client.as_deref() == Some("buildctl") {
            return self.buildctl(&context, &archive, &words);
        }
        let way = if number == 2 { second_way(case) } else { Way::Buildkitd };
        let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
        if !words.iter().any(|word| word == "--sde") {
            arguments.extend(["--sde".into(), "1700000000".into()]);
        }
        if !recipe.cache {
            arguments.push("--buildkit-args=--opt=no-cache=".into());
        }
        if let Some(base) = &recipe.base {
            let variable = match base.as_str() {
                "small" => "LAB_BASE_SMALL",
                "debian" => "LAB_BASE",
                "python" => "LAB_BASE_PYTHON",
                "tools" => "LAB_BASE_TOOLS",
                other => panic!("{}: no base is called `{other}`", case.name),
            };
            arguments.extend(["--build-arg".into(), format!("BASE={}", lab(variable)).into()]);
        }
        if let Some(surroundings) = &recipe.surroundings {
            let file = context.with_file_name("surroundings");
            fs::write(&file, &surroundings[number - 1]).unwrap();
            arguments.extend(["--secret".into(), format!("id=surroundings,\"src={}\"", file.display()).into()]);
        }
        // What a case says of the pin holds, not what the bench says.
        let mut command = self.bench.repro(way);
        let pin = words.iter().position(|word| word == "--buildkit-image");
        let base = match pin {
            Some(at) => self.bench.arguments_with(way, &words[at + 1]),
            None => self.bench.arguments(way),
        };
        if let Some(at) = arguments.iter().position(|word| word == "--buildkit-image") {
            arguments.drain(at..at + 2);
        }
        let result = command.args(base).arg("-o").arg(&archive).args(arguments).arg(&context).output().unwrap();
        if result.status.success() { Ok(Built::read(&result).digest().to_owned()) } else { Err(said(&result)) }
    }

    fn buildctl(&mut self, context: &Path, archive: &Path, words: &[String]) -> Result<String, String> {
        let root = self.bench.home().join("foreign");
        let socket = self.bench.temporary().join("causes.sock");
        let daemon = self.daemon.get_or_insert_with(|| Daemon::start("V0_19_0", &root, &socket, &[]));
        let metadata = archive.with_extension("json");
        let mut arguments = vec!["build".to_owned(), "--frontend=dockerfile.v0".into(), "--no-cache".into()];
        arguments.extend(["context", "dockerfile"].map(|name| format!("--local={name}={}", context.display())));
        arguments.push(format!("--metadata-file={}", metadata.display()));
        arguments.extend_from_slice(words);
        let result = daemon.buildctl(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        if !result.status.success() {
            return Err(said(&result));
        }
        let metadata: serde_json::Value = serde_json::from_slice(&fs::read(metadata).unwrap()).unwrap();
        Ok(metadata["containerimage.digest"].as_str().unwrap_or_default().to_owned())
    }

    fn diff(&self, case: &Case) -> Result<serde_json::Value, String> {
        let number = u8::from(!case.recipe.cache);
        let dockerfile = self.bench.directory(&format!("{} planted {number}", case.name)).join("context/Dockerfile");
        let mut command = self.bench.repro(Way::Buildkitd);
        command.args(["diff", "--format", "json", "--dockerfile"]).arg(dockerfile);
        let result = command.arg(self.archive(case, 1, false)).arg(self.archive(case, 2, false)).output().unwrap();
        if result.status.code() != Some(1) {
            return Err(format!("`repro diff` does not say that they differ: {}", said(&result)));
        }
        serde_json::from_slice(&result.stdout).map_err(|error| error.to_string())
    }
}

/// What came out of a case.
#[derive(Debug, Default)]
struct Score {
    found: Vec<(String, Option<u64>, String)>,
    missed: Vec<String>,
    wrong: Vec<(String, String)>,
    right: usize,
    unexplained: u64,
    fix: Option<Result<(), String>>,
    error: Option<String>,
}

impl Score {
    fn of(case: &Case, report: &serde_json::Value) -> Self {
        let mut score = Self::default();
        for finding in report["findings"].as_array().unwrap() {
            if finding["is_consequence"] == true {
                continue;
            }
            let (id, confidence) = (finding["id"].as_str().unwrap(), finding["confidence"].as_str().unwrap());
            let lines: BTreeSet<Option<u64>> =
                finding["instructions"].as_array().unwrap().iter().map(|one| one["first_line"].as_u64()).collect();
            let lines = if lines.is_empty() { BTreeSet::from([None]) } else { lines };
            score.found.extend(lines.into_iter().map(|line| (id.to_owned(), line, confidence.to_owned())));
        }
        score.found.sort();
        score.found.dedup();
        let fits = |expected: &Expected, (id, line, _): &(String, Option<u64>, String)| {
            expected.id == *id && (expected.line.is_none() || expected.line == *line)
        };
        for expected in &case.recipe.causes {
            if score.found.iter().any(|found| fits(expected, found)) {
                score.right += 1;
            } else {
                score.missed.push(shown(&expected.id, expected.line));
            }
        }
        for found in &score.found {
            if !case.recipe.causes.iter().any(|expected| fits(expected, found)) {
                score.wrong.push((shown(&found.0, found.1), found.2.clone()));
            }
        }
        let count = |name: &str| report["summary"][name].as_u64().unwrap_or_default();
        score.unexplained = count("differences") - count("explained");
        score
    }
}

fn shown(id: &str, line: Option<u64>) -> String {
    line.map_or_else(|| id.to_owned(), |line| format!("{id}:{line}"))
}

/// Builds these cases in one yard, a few at a time: archives of real bases fill the store of the laboratory.
fn run(yard: &mut Yard, cases: &[&Case], with_fix: bool) -> BTreeMap<String, Score> {
    const AT_A_TIME: usize = 6;
    let mut scores = BTreeMap::new();
    for cases in cases.chunks(AT_A_TIME) {
        let mut found = planted(yard, cases);
        if with_fix {
            for (case, fix) in fixed(yard, cases) {
                found.entry(case).or_default().fix = Some(fix);
            }
        }
        scores.extend(found);
    }
    scores
}

/// Builds each case twice: all first builds, then all second ones, so that time passes between the two.
fn both(yard: &mut Yard, cases: &[&Case], is_fixed: bool) -> BTreeMap<String, Result<[String; 2], String>> {
    let mut digests: BTreeMap<String, Result<Vec<String>, String>> = BTreeMap::new();
    let mut ended: BTreeMap<String, Instant> = BTreeMap::new();
    for number in [1, 2] {
        for case in cases {
            let past = ended.get(&case.name).map_or(APART, Instant::elapsed);
            std::thread::sleep(APART.saturating_sub(past));
            let built = yard.build(case, number, is_fixed);
            ended.insert(case.name.clone(), Instant::now());
            if is_fixed {
                let _ = fs::remove_file(yard.archive(case, number, true));
            }
            let entry = digests.entry(case.name.clone()).or_insert_with(|| Ok(Vec::new()));
            match (&mut *entry, built) {
                (Ok(list), Ok(digest)) => list.push(digest),
                (_, Err(error)) => *entry = Err(error),
                (Err(_), _) => {}
            }
        }
    }
    let pair = |list: Vec<String>| <[String; 2]>::try_from(list).map_err(|_| "not built twice".to_owned());
    digests.into_iter().map(|(case, list)| (case, list.and_then(pair))).collect()
}

fn planted(yard: &mut Yard, cases: &[&Case]) -> BTreeMap<String, Score> {
    let digests = both(yard, cases, false);
    let scores = cases.iter().map(|case| {
        let judged = match &digests[&case.name] {
            Ok([one, other]) if one == other => Err("both builds are equal".to_owned()),
            Ok(_) => yard.diff(case).map(|report| Score::of(case, &report)),
            Err(error) => Err(error.clone()),
        };
        for number in [1, 2] {
            let _ = fs::remove_file(yard.archive(case, number, false));
        }
        // What could not be shown was not named either.
        let missed = case.recipe.causes.iter().map(|expected| shown(&expected.id, expected.line)).collect();
        let failed = |error| Score { error: Some(error), missed, ..Score::default() };
        (case.name.clone(), judged.unwrap_or_else(failed))
    });
    scores.collect()
}

fn fixed(yard: &mut Yard, cases: &[&Case]) -> BTreeMap<String, Result<(), String>> {
    let judge = |digests: Result<[String; 2], String>| match digests {
        Ok([one, other]) if one == other => Ok(()),
        Ok([one, other]) => Err(format!("two digests, {one} and {other}")),
        Err(error) => Err(error),
    };
    both(yard, cases, true).into_iter().map(|(case, digests)| (case, judge(digests))).collect()
}

/// The table, and what is wrong in it.
fn judge(cases: &[&Case], scores: &BTreeMap<String, Score>) -> (String, Vec<String>) {
    let (mut table, mut faults) = (String::new(), Vec::new());
    let (mut right, mut wrong, mut missed, mut run) = (0, 0, 0, 0);
    for case in cases {
        if let Some(why) = &case.recipe.not_run {
            let _ = writeln!(table, "{:<28} not run: {why}", case.name);
            continue;
        }
        let score = &scores[&case.name];
        run += 1;
        right += score.right;
        wrong += score.wrong.len();
        missed += score.missed.len();
        let found: Vec<String> = score.found.iter().map(|(id, line, _)| shown(id, *line)).collect();
        let fix = match &score.fix {
            Some(Ok(())) => "fix equal",
            Some(Err(_)) => "FIX DIFFERS",
            None => "",
        };
        let _ = write!(table, "{:<28} {:<12} {}", case.name, fix, found.join(" "));
        for (what, list) in [
            ("missed", score.missed.clone()),
            ("wrong", score.wrong.iter().map(|(wrong, confidence)| format!("{wrong} ({confidence})")).collect()),
        ] {
            if !list.is_empty() {
                let _ = write!(table, " | {what}: {}", list.join(" "));
            }
        }
        if score.unexplained > 0 {
            let _ = write!(table, " | {} unexplained", score.unexplained);
        }
        table.push('\n');
        if let Some(error) = &score.error {
            faults.push(format!("{}: {error}", case.name));
        }
        if let Some(Err(error)) = &score.fix {
            faults.push(format!("{}: the fix gives {error}", case.name));
        }
        let sure = score.wrong.iter().filter(|(_, confidence)| confidence != "low");
        faults.extend(
            sure.map(|(wrong, confidence)| format!("{}: {wrong} is wrong, with {confidence} confidence", case.name)),
        );
    }
    let part = |of: usize, all: usize| {
        if all == 0 { 1.0 } else { f64::from(u32::try_from(of).unwrap()) / f64::from(u32::try_from(all).unwrap()) }
    };
    let (precision, recall) = (part(right, right + wrong), part(right, right + missed));
    let _ = writeln!(
        table,
        "{run} cases: precision {:.1} % ({right} of {}), recall {:.1} % ({right} of {})",
        precision * 100.0,
        right + wrong,
        recall * 100.0,
        right + missed
    );
    if precision < PRECISION || recall < RECALL {
        faults
            .push(format!("precision {precision:.3} of at least {PRECISION}, recall {recall:.3} of at least {RECALL}"));
    }
    (table, faults)
}

/// Past the capture of the test runner.
fn print(text: &str) {
    let _ = fs::OpenOptions::new().append(true).open("/dev/stderr").map(|mut err| err.write_all(text.as_bytes()));
}

#[test]
fn planted_causes_are_named_with_their_lines() {
    if !ways().contains(&Way::Buildkitd) {
        return;
    }
    print(&format!("causes: of the planted ones {SHORT:?}; `make causes` runs all, with their fixes\n"));
    let all = cases();
    let short: Vec<&Case> = all.iter().filter(|case| SHORT.contains(&case.name.as_str())).collect();
    assert_eq!(short.len(), SHORT.len());
    let server = Server::start();
    let scores = run(&mut Yard::new(&server), &short, false);
    let (table, faults) = judge(&short, &scores);
    assert!(faults.is_empty(), "{table}\n{}", faults.join("\n"));
}

/// `REPRO_TEST_CAUSES=a,b` runs these alone.
#[test]
#[ignore = "some minutes: make causes"]
fn every_planted_cause_is_named_with_its_line_and_its_fix_gives_one_digest() {
    let asked = std::env::var("REPRO_TEST_CAUSES").unwrap_or_default();
    let asked: Vec<&str> = asked.split([',', ' ']).filter(|name| !name.is_empty()).collect();
    let all = cases();
    let wanted: Vec<&Case> =
        all.iter().filter(|case| asked.is_empty() || asked.contains(&case.name.as_str())).collect();
    let server = Server::start();
    let scores = Mutex::new(BTreeMap::new());
    // Each base is unpacked once.
    std::thread::scope(|scope| {
        for bases in [&["tools"][..], &["python", "debian"], &["small", ""]] {
            let of_base = |case: &&&Case| bases.contains(&case.recipe.base.as_deref().unwrap_or_default());
            let cases: Vec<&Case> =
                wanted.iter().filter(of_base).filter(|case| case.recipe.not_run.is_none()).copied().collect();
            let (scores, server) = (&scores, &server);
            scope.spawn(move || {
                if !cases.is_empty() {
                    let found = run(&mut Yard::new(server), &cases, true);
                    scores.lock().unwrap().extend(found);
                }
            });
        }
    });
    let (table, faults) = judge(&wanted, &scores.into_inner().unwrap());
    print(&table);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
