//! A BuildKit that somebody else runs: which words lead to it, and what is done there.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use repro::environment::Environment;
use repro::network::Route;
use repro::runtime::docker_config::DockerConfig;
use repro::runtime::steps::{Step, Steps};
use repro::runtime::{Site, remote};
use repro::settings::{BuildSettings, BuildWords, ConfigChoice, RuntimeName, resolve};

/// The settings of a build of a context in this directory.
fn settings(
    place: &Path,
    words: BuildWords,
    variables: &[(&str, &str)],
    config: &ConfigChoice,
) -> Result<BuildSettings, String> {
    let context = place.join("context");
    fs::create_dir_all(&context).unwrap();
    fs::write(context.join("Dockerfile"), "FROM scratch\n").unwrap();
    let words = BuildWords { context: "context".into(), source_date_epoch: Some("0".to_owned()), ..words };
    let environment: Environment = variables.iter().copied().collect();
    let now = chrono::DateTime::from_timestamp(2_000_000_000, 0).unwrap();
    resolve(&words, config, &environment, place, now).map_err(|error| repro::failure::chain(&error))
}

fn words(address: Option<&str>, runtime: Option<RuntimeName>) -> BuildWords {
    let mut words = BuildWords { runtime, ..BuildWords::default() };
    words.remote.addr = address.map(str::to_owned);
    words
}

#[test]
fn what_is_said_nearer_to_the_user_wins() {
    const FLAG: Option<&str> = Some("unix:///flag");
    const VARIABLE: (&str, &str) = ("REPRO_ADDR", "unix:///variable");
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("settings.toml");
    fs::write(&file, "addr = 'unix:///key'\n").unwrap();
    let key = ConfigChoice::Named(file);
    let none = ConfigChoice::None;
    let chosen = |words: BuildWords, variables: &[(&str, &str)], config: &ConfigChoice| {
        let settings = settings(place.path(), words, variables, config)?;
        let address = settings.remote.map(|remote| remote.address.to_string()).unwrap_or_default();
        let runtime = settings.runtime.value.map_or("", RuntimeName::name);
        Ok::<_, String>(format!("{runtime} {address} by {}, {}", settings.runtime.origin, settings.warnings.join(" ")))
    };
    let docker = Some(RuntimeName::Docker);
    let remote = Some(RuntimeName::Remote);
    for (words, variables, config, expected) in [
        (words(FLAG, None), [].as_slice(), &none, "remote unix:///flag by --addr, "),
        (words(FLAG, remote), &[VARIABLE], &key, "remote unix:///flag by --runtime, "),
        (words(FLAG, None), &[("REPRO_RUNTIME", "docker")], &none, "remote unix:///flag by --addr, "),
        (words(None, None), &[VARIABLE], &key, "remote unix:///variable by variable REPRO_ADDR, "),
        (words(None, remote), &[], &key, "remote unix:///key by --runtime, "),
        (
            words(None, docker),
            &[VARIABLE],
            &none,
            "docker  by --runtime, variable REPRO_ADDR is overridden by --runtime",
        ),
        (
            words(None, None),
            &[("REPRO_RUNTIME", "podman")],
            &key,
            "podman  by variable REPRO_RUNTIME, `addr` in repro.toml is overridden by variable REPRO_RUNTIME",
        ),
        (words(None, None), &[("REPRO_ADDR", "")], &none, "  by default, "),
    ] {
        assert_eq!(chosen(words, variables, config).as_deref(), Ok(expected));
    }
    for (words, variables, expected) in [
        (words(FLAG, docker), [].as_slice(), "--addr is for the runtime remote, and --runtime asks for docker"),
        (
            words(None, None),
            &[VARIABLE, ("REPRO_RUNTIME", "podman")],
            "variable REPRO_ADDR is for the runtime remote, and variable REPRO_RUNTIME asks for podman",
        ),
        (
            words(None, remote),
            &[],
            "--runtime asks for a BuildKit that somebody else runs, and does not say where it is",
        ),
        (
            words(Some("host:1"), None),
            &[],
            "--addr: `host:1` is not the address of a BuildKit: it begins with no scheme",
        ),
        (
            words(None, None),
            &[("REPRO_ADDR", "x")],
            "variable REPRO_ADDR: `x` is not the address of a BuildKit: it begins with no scheme",
        ),
    ] {
        assert_eq!(chosen(words, variables, &none), Err(expected.to_owned()));
    }
}

fn steps(place: &Path, words: BuildWords) -> Steps {
    let settings = settings(place, words, &[], &ConfigChoice::None).unwrap();
    let plan = settings.plan(settings.pin_for(repro::pin::Variant::Plain)).unwrap();
    let site = Site {
        private: Path::new("/private/repro.unique"),
        state: Path::new("/state"),
        unique: "unique",
        image: "",
        image_on_loopback: false,
        host_network: false,
        buildkitd_config: None,
        extra_args: &[],
        quiet: false,
        progress: "plain",
        ssh_agent: None,
        route: &Route::default(),
        can_isolate: false,
        registries: &[],
    };
    remote::steps(&plan, &site, &DockerConfig::default(), settings.remote.as_ref().unwrap())
}

#[test]
fn a_plan_becomes_these_steps() {
    let place = tempfile::tempdir().unwrap();
    let certificates = place.path().join("certificates, \"odd\"");
    fs::create_dir(&certificates).unwrap();
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        fs::write(certificates.join(name), "").unwrap();
    }
    let mut words = words(Some("tcp://buildkit.example:1234"), None);
    words.remote.addr_tls = Some(certificates.clone());
    words.remote.addr_server_name = Some("other.example".to_owned());
    let steps = steps(place.path(), words);
    let builder = steps.prepare.iter().find_map(|step| match step {
        Step::Remote(builder) => Some(builder),
        _ => None,
    });
    let builder = builder.unwrap();
    let line =
        |command: &repro::runtime::command::ToolCommand| command.args.join(OsStr::new(" ")).into_string().unwrap();
    assert_eq!(
        line(&builder.create),
        "buildx create --driver=remote --name=repro --driver-opt=cacert=/private/repro.unique/tls/ca.pem \
         --driver-opt=cert=/private/repro.unique/tls/cert.pem --driver-opt=key=/private/repro.unique/tls/key.pem \
         --driver-opt=servername=other.example -- tcp://buildkit.example:1234"
    );
    assert_eq!(line(&builder.inspect), "buildx inspect repro");
    assert_eq!(builder.version, repro::pin::Version::parse("v0.19.0"));
    let linked = |path: &str| {
        steps.prepare.iter().find_map(|step| match step {
            Step::Link { path: at, target } if at == Path::new(path) => Some(target.clone()),
            _ => None,
        })
    };
    assert_eq!(linked("/private/repro.unique/tls"), Some(certificates));
    // The name of the context is what keeps tenants apart.
    assert_eq!(
        linked("/private/repro.unique/repro.unique"),
        Some(place.path().join("context").canonicalize().unwrap())
    );
    assert!(line(&steps.solve).ends_with(" -- /private/repro.unique/repro.unique"), "{}", line(&steps.solve));
    for command in [&builder.create, &builder.inspect, &builder.explain, &steps.solve] {
        // Our own record of it is gone with the run, and the user's builders are not looked at.
        assert_eq!(command.set["BUILDX_CONFIG"], "/private/repro.unique/buildx");
        assert_eq!(command.program, "docker", "never buildctl, which has no key of its own for the context");
        let words = line(command);
        assert!(!words.contains("prune") && !words.contains("rm ") && !words.contains("--no-cache"), "{words}");
    }
    assert!(steps.cleanup.is_empty() && steps.abort.is_empty() && steps.lock.is_none() && steps.state.is_none());
}
