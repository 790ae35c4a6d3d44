//! Whatever the user says arrives at BuildKit as it was said, or is refused before anything runs.
//!
//! Odd words go through settings, plan and steps, and then through the parsers of the real tools: programs of the
//! laboratory (`tests/lab/modules/argv-*`) that have the flags of buildx, buildctl and Podman, their libraries for flags and
//! comma-separated values, and say what they understood. Scripts are read by the shell.
//!
//! `PROPTEST_CASES=20000 cargo test --release --test argv`, or `make argv`, tries for longer.

#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]
#![expect(
    clippy::unnecessary_debug_formatting,
    reason = "the bytes that are wrong are often those that cannot be seen"
)]

mod tools;
mod words;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use repro::environment::Environment;
use repro::pin::{Pin, Variant};
use repro::plan::BuildPlan;
use repro::runtime::binaries::Binaries;
use repro::runtime::docker_config::DockerConfig;
use repro::runtime::steps::{Step, Steps};
use repro::runtime::{Site, buildctl, buildkitd, docker, podman};
use repro::settings::{ConfigChoice, resolve};

use tools::{Answer, Tools, solve_words};
use words::{Case, Ground};

/// How a tool ended up with something else than was said.
type Wrong = String;

#[test]
fn odd_words_arrive_unchanged_or_are_refused() {
    let Some(tools) = Tools::start() else { return };
    let tools = RefCell::new(tools);
    let accepted = RefCell::new((0u32, 0u32));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let result = runner.run(&words::cases(), |case| {
        let mut accepted = accepted.borrow_mut();
        accepted.0 += 1;
        match check(&case, &mut tools.borrow_mut()) {
            Ok(runtimes) => accepted.1 += u32::from(runtimes == 3),
            Err(wrong) => return Err(TestCaseError::fail(wrong)),
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let (tried, accepted) = accepted.into_inner();
    assert!(accepted * 20 > tried, "{accepted} of {tried} cases were accepted: too few to say anything");
}

/// What people do write must not be refused.
#[test]
fn spaces_commas_and_quotes_are_accepted() {
    let Some(mut tools) = Tools::start() else { return };
    for text in
        ["a b", "a,b", "say \"hi\"", "it's", "a=b", "a:b", "two\nlines", "-dash", " lead", "trail ", "$HOME", "ü"]
    {
        let case = Case::plain(text);
        assert_eq!(check(&case, &mut tools), Ok(3), "{text:?}");
    }
    // Paths need not be UTF-8, but for Podman.
    let case = Case { directory: b"caf\xe9, \"x\"".to_vec(), ..Case::plain("x") };
    assert_eq!(check(&case, &mut tools), Ok(2));
}

/// How many of the three runtimes take the case; an error where one understood something else.
fn check(case: &Case, tools: &mut Tools) -> Result<u32, Wrong> {
    let Some(ground) = Ground::make(case) else { return Ok(0) };
    let variables = [("SECRET", "swordfish")];
    let environment: Environment = variables.into_iter().collect();
    let now = chrono::DateTime::from_timestamp(2_000_000_000, 0).unwrap();
    let Ok(settings) = resolve(&ground.words, &ConfigChoice::None, &environment, &ground.directory, now) else {
        return Ok(0);
    };
    let plan = settings.plan(Pin::default_for(Variant::Plain)).unwrap();
    let private = ground.directory.join("private");
    let site = Site {
        private: &private,
        state: &ground.directory.join("state"),
        unique: "unique",
        image: "docker.io/moby/buildkit@sha256:abc",
        image_on_loopback: false,
        host_network: true,
        buildkitd_config: None,
        extra_args: &[],
        quiet: false,
        progress: "plain",
        ssh_agent: None,
        route: &repro::network::Route::default(),
        can_isolate: false,
        registries: &[],
    };
    check_buildx(case, &ground, &plan, &site, tools)?;
    if buildctl::refusal(&plan).is_some() {
        return Ok(1);
    }
    check_buildctl(case, &ground, &plan, &site, tools)?;
    if podman::refusal(&plan, &site).is_some() {
        return Ok(2);
    }
    check_podman(&ground, &plan, &site, tools)?;
    Ok(3)
}

fn check_buildx(
    case: &Case,
    ground: &Ground,
    plan: &BuildPlan,
    site: &Site<'_>,
    tools: &mut Tools,
) -> Result<(), Wrong> {
    let config = DockerConfig::load(&Environment::default()).unwrap();
    let steps = docker::steps(plan, site, &config);
    assert_eq!(steps.solve.args[..2], ["buildx", "build"]);
    let mut words = vec![OsString::from("docker")];
    words.extend_from_slice(&steps.solve.args[2..]);
    let answer = tools.buildx.ask(&words)?;
    let mut expected = case.expected(ground);
    expected.insert(b"output".to_vec(), b"oci -".to_vec());
    answer.compare("buildx", &expected, EXACT)?;
    let context = [site.private, Path::new(site.private.file_name().unwrap())].iter().collect::<PathBuf>();
    answer.has("buildx", "", context.as_os_str())?;
    answer.has("buildx", "file", plan.dockerfile.as_os_str())?;
    answer.has("buildx", "platform", "linux/amd64,linux/arm/v7".as_ref())?;
    answer.has("buildx", "target", case.target.as_ref())?;
    answer.has("buildx", "metadata-file", site.private.join("metadata.json").as_os_str())?;
    let link = steps.prepare.iter().find_map(|step| match step {
        Step::Link { path, target } if *path == context => Some(target),
        _ => None,
    });
    if link == Some(&plan.context) { Ok(()) } else { Err(format!("the context is {link:?}")) }
}

/// Names of which nothing may come that was not said: an odd value could bring flags and options with it.
const EXACT: &[&[u8]] = &[b"annotation:", b"build-arg:", b"label:", b"output", b"secret:", b"tag"];

fn check_buildctl(
    case: &Case,
    ground: &Ground,
    plan: &BuildPlan,
    site: &Site<'_>,
    tools: &mut Tools,
) -> Result<(), Wrong> {
    let digest = plan.pin.digest.clone();
    let binaries = Binaries {
        dir: "/bin".into(),
        buildkitd: "/bin/buildkitd".into(),
        buildctl: "/bin/buildctl".into(),
        runc: "/bin/runc".into(),
        rootlesskit: None,
        image_digest: digest.clone(),
        manifest_digest: digest,
    };
    let steps = buildkitd::steps(plan, site, &binaries, false);
    let mut words = solve_words(&script_of(&steps));
    words[0] = "buildctl".into();
    let mut expected = case.expected(ground);
    expected.insert(b"output".to_vec(), b"oci".to_vec());
    // buildctl has a place for tags in the output.
    let tags = expected.remove(b"tag".as_slice());
    expected.extend(tags.map(|tags| (b"output:name".to_vec(), tags)));
    for (version, tool) in &mut tools.buildctl {
        let answer = tool.ask(&words)?;
        answer.compare(version, &expected, EXACT)?;
        answer.has(version, "local:context", "the context".as_ref())?;
        answer.has(version, "local:dockerfile", "the directory of the Dockerfile".as_ref())?;
        answer.has(version, "filename", plan.dockerfile.file_name().unwrap())?;
        answer.has(version, "platform", "linux/amd64,linux/arm/v7".as_ref())?;
        answer.has(version, "target", case.target.as_ref())?;
        answer.has(version, "metadata-file", site.private.join("work/metadata.json").as_os_str())?;
        let mut address = OsString::from("unix://");
        address.push(site.private.join("work/buildkitd.sock"));
        answer.has(version, "addr", &address)?;
    }
    Ok(())
}

fn check_podman(ground: &Ground, plan: &BuildPlan, site: &Site<'_>, tools: &mut Tools) -> Result<(), Wrong> {
    let steps = podman::steps(plan, site, Variant::Plain);
    let mut words = vec![OsString::from("podman")];
    words.extend_from_slice(&steps.solve.args);
    let answer: Answer = tools.buildx.ask(&words)?;
    let bytes = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
    let mut expected: BTreeMap<Vec<u8>, Vec<u8>> = [
        ("mount:/repro/work", bytes(&site.private.join("work"))),
        ("mount:/repro/context", bytes(&plan.context)),
        ("mount:/repro/dockerfile", bytes(plan.dockerfile.parent().unwrap())),
        ("label:repro.state", bytes(site.state)),
    ]
    .into_iter()
    .map(|(name, value)| (name.as_bytes().to_vec(), value))
    .collect();
    if let Some(secret) = &ground.secret {
        expected.insert(b"mount:/repro/inputs/0".to_vec(), bytes(secret));
    }
    let volume = b"mount:/var/lib/buildkit".to_vec();
    let found = answer.value(&volume).map(<[u8]>::to_vec).ok_or("no volume for the state")?;
    expected.insert(volume, found);
    answer.compare("podman", &expected, &[b"mount:", b"label:"])?;
    // In the container all paths are ours; the words are the same that buildctl got above.
    let secret = ground.secret.iter().map(|secret| (secret.clone(), PathBuf::from("/repro/inputs/0")));
    let paths = buildctl::ClientPaths {
        context: Path::new("/repro/context"),
        dockerfile_directory: Path::new("/repro/dockerfile"),
        work: Path::new("/repro/work"),
        elsewhere: &secret.collect(),
        agent: None,
    };
    let expected = buildctl::build_arguments(plan, &paths, site);
    let words = solve_words(&script_of(&steps));
    if words[3..] == expected { Ok(()) } else { Err(format!("the shell reads {words:?} instead of {expected:?}")) }
}

fn script_of(steps: &Steps) -> Vec<u8> {
    let script = steps.prepare.iter().find_map(|step| match step {
        Step::File { path, contents } if path.ends_with("build.sh") => Some(contents.clone()),
        _ => None,
    });
    script.unwrap()
}
