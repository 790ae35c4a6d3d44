//! Networks: what RUN reaches, registries that want to know who asks, and a network whose only way out is a proxy.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use crate::harness::{Bench, Built, Way, base, lab, open_to_all, said, ways, words};

const DOCKERFILE: &str = "ARG BASE\nFROM $BASE\nRUN --mount=type=secret,id=what sh /run/secrets/what\n";

/// The arguments of a way without the network of the host, which the laboratory's registry needs.
fn without_host_network(bench: &Bench, way: Way) -> Vec<OsString> {
    let mut arguments = bench.arguments(way);
    let at = arguments.iter().position(|word| word == "--builder-network").unwrap();
    arguments.drain(at..=at + 1);
    arguments
}

/// `repro` with further variables, which a plain user gets, too.
fn repro_with(bench: &Bench, way: Way, variables: &[(&str, &str)]) -> Command {
    let mut command = bench.program(way, Path::new("env"));
    command.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
    command.arg(bench.home().join("repro"));
    command
}

/// A secret that is a script: what RUN does, without a trace of it in the image.
fn script(bench: &Bench, name: &str, text: &str) -> OsString {
    let file = bench.directory("scripts").join(name);
    fs::write(&file, text).unwrap();
    format!("--secret=id=what,\"src={}\"", file.display()).into()
}

/// A context that needs no base: busybox, which can look around in a network.
fn from_scratch(bench: &Bench) -> PathBuf {
    let run = "RUN --mount=type=secret,id=what [\"/bin/busybox\", \"sh\", \"/run/secrets/what\"]\n";
    let dockerfile = format!("FROM scratch\nCOPY busybox /bin/busybox\nCOPY nsswitch.conf /etc/\n{run}");
    let context = bench.context("context", &[("nsswitch.conf", "hosts: files\n"), ("Dockerfile", &dockerfile)]);
    fs::copy(lab("LAB_BUSYBOX"), context.join("busybox")).unwrap();
    context
}

fn run(mut command: Command, arguments: &[OsString], output: &Path, more: &[OsString], context: &Path) -> Output {
    command.args(arguments).arg("-o").arg(output).args(words(&["--sde", "0"])).args(more).arg(context);
    command.output().unwrap()
}

fn built(way: Way, what: &str, output: &Output) -> String {
    assert!(output.status.success(), "{} {what}: {}", way.name(), said(output));
    Built::read(output).digest().to_owned()
}

#[test]
fn run_has_the_network_that_was_asked_for_and_one_digest() {
    for way in ways() {
        let bench = Bench::shared("networks", *way);
        let context = from_scratch(&bench);
        let (_, port) = lab("LAB_REGISTRY").rsplit_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).unwrap();
        let knock = format!("/bin/busybox nc -w 3 127.0.0.1 {port} </dev/null");
        let cases = [
            ("default", vec![], format!("if {knock}; then exit 1; fi")),
            (
                "none",
                words(&["--network", "none"]),
                "if /bin/busybox ip -4 addr | grep -v 127.0.0.1 | grep inet; then exit 1; fi".into(),
            ),
            ("host", words(&["--network=host", "--builder-network=host"]), knock.clone()),
            ("hosts", words(&["--add-host", "DB:10.1.2.3"]), "/bin/busybox grep -q '^10.1.2.3.*db' /etc/hosts".into()),
        ];
        let digests = cases.map(|(name, mut more, text)| {
            let text = text.replace("| grep", "| /bin/busybox grep");
            more.push(script(&bench, name, &format!("{text}\n")));
            let output = bench.output(*way, name);
            let result = run(bench.repro(*way), &without_host_network(&bench, *way), &output, &more, &context);
            built(*way, name, &result)
        });
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{}: {digests:?}", way.name());

        let dockerfile = "FROM scratch\nCOPY Dockerfile /\nRUN --network=host [\"/none\"]\n";
        let context = bench.context("asks for it", &[("Dockerfile", dockerfile)]);
        let arguments = without_host_network(&bench, *way);
        let result = run(bench.repro(*way), &arguments, &bench.output(*way, "refused"), &[], &context);
        assert_eq!(result.status.code(), Some(3), "{}", said(&result));
        assert!(String::from_utf8_lossy(&result.stderr).contains("needs `--network host`"), "{}", said(&result));
    }
}

/// Writes a Docker configuration, with the laboratory's plugins.
fn docker_config(bench: &Bench, name: &str, more: &serde_json::Value) -> String {
    let directory = bench.directory(name);
    let plugins = Path::new(&lab("DOCKER_CONFIG")).join("cli-plugins");
    let mut config = serde_json::json!({ "cliPluginsExtraDirs": [plugins] });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fs::write(directory.join("config.json"), config.to_string()).unwrap();
    directory.to_str().unwrap().to_owned()
}

/// The same image in the registry that asks who is there.
fn private(reference: &str) -> String {
    reference.replace(&lab("LAB_REGISTRY"), &lab("LAB_PRIVATE_REGISTRY"))
}

/// lab:swordfish
const AUTH: &str = "bGFiOnN3b3JkZmlzaA==";

#[test]
fn private_base_images_are_pulled_with_the_users_credentials() {
    let registry = lab("LAB_PRIVATE_REGISTRY");
    for way in ways() {
        let bench = Bench::shared("private base", *way);
        let context = bench.context("context", &[("f", "x"), ("Dockerfile", "ARG BASE\nFROM $BASE\nCOPY f /\n")]);
        let output = bench.output(*way, "image.tar");
        let expected = bench.build(*way, &output, &[base(), words(&["--sde=0"])].concat(), &context);
        let none = docker_config(&bench, "none", &serde_json::json!({}));
        let auths = serde_json::json!({ "auths": { &registry: { "auth": AUTH } } });
        let own = docker_config(&bench, "auths", &auths);
        let by_program = docker_config(&bench, "helper", &serde_json::json!({ "credHelpers": { &registry: "lab" } }));
        let helpers = bench.directory("helpers");
        let helper = helpers.join("docker-credential-lab");
        let answer = r#"{"ServerURL":"","Username":"lab","Secret":"swordfish"}"#;
        fs::write(&helper, format!("#!/bin/sh\nread -r key\n[ \"$key\" = {registry} ] && echo '{answer}'\n")).unwrap();
        open_to_all(&helper, 0o755);
        let path = format!("{}:{}", helpers.display(), std::env::var("PATH").unwrap());
        let podman = bench.directory("podman").join("auth.json");
        fs::write(&podman, auths.to_string()).unwrap();
        let podman = podman.to_str().unwrap();

        let more = words(&["--no-cache", "--build-arg", &format!("BASE={}", private(&lab("LAB_BASE_SMALL")))]);
        let build = |variables: &[(&str, &str)], more: &[OsString]| {
            run(repro_with(&bench, *way, variables), &bench.arguments(*way), &output, more, &context)
        };
        let refused = build(&[("DOCKER_CONFIG", &none)], &more);
        assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("docker login"), "{}", said(&refused));
        let mut cases = vec![("auths", vec![("DOCKER_CONFIG", own.as_str())])];
        if !way.is_rootless() {
            cases.push(("helper", vec![("DOCKER_CONFIG", &by_program), ("PATH", &path)]));
            cases.push(("podman", vec![("DOCKER_CONFIG", &none), ("REGISTRY_AUTH_FILE", podman)]));
        }
        for (name, variables) in cases {
            assert_eq!(built(*way, name, &build(&variables, &more)), expected.digest(), "{} {name}", way.name());
            let dry = build(&variables, &[more.clone(), words(&["--dry"])].concat());
            let script = String::from_utf8_lossy(&dry.stdout);
            assert!(dry.status.success() && !script.contains(AUTH) && !script.contains("swordfish"), "{}", said(&dry));
        }
    }
}

#[test]
fn a_private_pin_is_pulled_with_the_users_credentials() {
    for way in ways().iter().filter(|way| !way.is_rootless()) {
        let bench = Bench::alone("private pin");
        let context = bench.context("context", &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
        let auths = serde_json::json!({ "auths": { lab("LAB_PRIVATE_REGISTRY"): { "auth": AUTH } } });
        let configs = [docker_config(&bench, "none", &serde_json::json!({})), docker_config(&bench, "auths", &auths)];
        let cache = bench.directory("cache");
        let untagged = private(&lab("LAB_BUILDKIT_V0_19_0")).replace(":v0.19.0@", "@");
        // Podman finds an image by its digest, whatever registry it came from: it gets a store with nothing in it.
        let store = bench.directory("store");
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{0}/graph\"\nrunroot = \"{0}/run\"\n",
            store.display()
        );
        fs::write(store.join("storage.conf"), storage).unwrap();
        let storage = store.join("storage.conf").display().to_string();
        let mut arguments = bench.arguments(*way);
        for argument in &mut arguments {
            *argument = private(&argument.to_string_lossy()).into();
        }
        // What an earlier run pulled needs no credentials any more.
        let forget = || Command::new("docker").args(["image", "rm", "--no-prune", &untagged]).output();
        let _ = forget();
        let [refused, pulled] = configs.map(|config| {
            let variables = [
                ("DOCKER_CONFIG", config.as_str()),
                ("XDG_CACHE_HOME", cache.to_str().unwrap()),
                ("CONTAINERS_STORAGE_CONF", &storage),
            ];
            let output = bench.output(*way, "image.tar");
            run(repro_with(&bench, *way, &variables), &arguments, &output, &[], &context)
        });
        assert_eq!(refused.status.code(), Some(4), "{}: {}", way.name(), said(&refused));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("docker login"), "{}", said(&refused));
        let _ = forget();
        built(*way, "private pin", &pulled);
    }
}

/// A network namespace from which one address can be reached: there is the proxy, which knows the laboratory's registry and
/// some files under names that no name server has.
struct Company {
    namespace: String,
    proxy: Child,
    directory: PathBuf,
    port: u32,
    address: String,
}

fn must(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Company {
    fn new(bench: &Bench) -> Self {
        let pid = std::process::id();
        let (namespace, port) = (format!("repro-test-{pid}"), 20_000 + pid % 20_000);
        let (outer, inner) = (format!("rta{pid}"), format!("rtb{pid}"));
        let (address, inside) = (format!("10.214.{}.1", pid % 250), format!("10.214.{}.2", pid % 250));
        must("ip", &["netns", "add", &namespace]);
        must("ip", &["link", "add", &outer, "type", "veth", "peer", "name", &inner, "netns", &namespace]);
        must("ip", &["address", "add", &format!("{address}/30"), "dev", &outer]);
        must("ip", &["link", "set", &outer, "up"]);
        must("ip", &["-n", &namespace, "address", "add", &format!("{inside}/30"), "dev", &inner]);
        for device in ["lo", inner.as_str()] {
            must("ip", &["-n", &namespace, "link", "set", device, "up"]);
        }
        let directory = bench.directory("company");
        let files = bench.directory("files");
        fs::write(files.join("hello.txt"), "hello\n").unwrap();
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-C"]);
            let output = command.arg(&files).args(arguments).env("GIT_COMMITTER_DATE", "@0 +0000").output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
        };
        git(&["init", "--quiet", "work"]);
        fs::write(files.join("work/f"), "from git\n").unwrap();
        git(&["-C", "work", "add", "f"]);
        git(&["-C", "work", "commit", "--quiet", "--date=@0 +0000", "-m", "first"]);
        git(&["clone", "--quiet", "--bare", "work", "repo.git"]);
        git(&["-C", "repo.git", "update-server-info"]);
        let addresses = [Some(address.clone()), bridge()].into_iter().flatten();
        let listen = addresses.map(|address| format!("{address}:{port}")).collect::<Vec<_>>().join(",");
        let proxy = Command::new(lab("LAB_MIDDLE"))
            .args(["-listen", &listen, "-user", "me:pass%word", "-ca"])
            .arg(directory.join("ca.crt"))
            .arg(format!("-host=registry.company.example=http://{}", lab("LAB_REGISTRY")))
            .arg(format!("-host=files.company.example={}", files.display()))
            .stderr(fs::File::create(directory.join("log")).unwrap())
            .spawn()
            .unwrap();
        let company = Self { namespace, proxy, directory, port, address };
        let written = || company.directory.join("ca.crt").exists();
        assert!((0..100).any(|_| written() || {
            Command::new("sleep").arg("0.1").status().unwrap();
            false
        }));
        company
    }

    /// The arguments that lead a build through the proxy.
    fn arguments(&self, host: &str) -> Vec<OsString> {
        let mut arguments = words(&["--ca"]);
        arguments.push(self.directory.join("ca.crt").into());
        arguments.push(format!("--proxy=http://me:pass%25word@{host}:{}", self.port).into());
        arguments.push("--no-proxy=nothing.example".into());
        arguments
    }

    /// The command inside of the namespace, with its own mounts as they are.
    fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/run/netns/{}", self.namespace)).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
        let _ = Command::new("ip").args(["netns", "delete", &self.namespace]).status();
    }
}

/// This machine's address on the bridge of the laboratory's Docker: all that its containers reach, because nothing is forwarded.
fn bridge() -> Option<String> {
    let wanted = ways().contains(&Way::Docker);
    wanted.then(|| must("docker", &["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"]))
}

/// How a way builds from inside the company: Docker's builder is in the network that the daemon gives it, the others take the
/// namespace that they are started in.
fn build_inside(company: &Company, bench: &Bench, way: Way, more: &[OsString], context: &Path) -> Output {
    let output = bench.output(way, "inside.tar");
    let public = lab("LAB_REGISTRY");
    let mut arguments = if way.runtime() == "podman" { bench.arguments(way) } else { without_host_network(bench, way) };
    let mut more = more.to_vec();
    if way == Way::Docker {
        more.extend(company.arguments(&bridge().unwrap()));
        return run(bench.repro(way), &arguments, &output, &more, context);
    }
    more.extend(company.arguments(&company.address));
    for argument in &mut arguments {
        let text = argument.to_string_lossy().into_owned();
        if way.runtime() == "buildkitd" && text.starts_with(&public) {
            *argument = text.replace(&public, "registry.company.example").into();
        }
    }
    let cache = bench.directory(&format!("cache of {}", way.name()));
    bench.give(way, &cache);
    let command = repro_with(bench, way, &[("XDG_CACHE_HOME", cache.to_str().unwrap())]);
    run(company.inside(&command), &arguments, &output, &more, context)
}

#[test]
fn behind_a_proxy_that_opens_tls_the_digest_is_the_same() {
    if ways().is_empty() {
        return;
    }
    let bench = Bench::alone("company");
    let company = Company::new(&bench);
    let context = bench.context("context", &[("Dockerfile", DOCKERFILE)]);
    let name = "BASE=registry.company.example/small@";
    let inner_base = lab("LAB_BASE_SMALL").split_once('@').map(|(_, digest)| format!("{name}{digest}")).unwrap();
    let adds = "FROM scratch\nADD https://files.company.example/hello.txt /\nADD https://files.company.example/repo.git#main /repo\n";
    let added = bench.context("adds", &[("Dockerfile", adds)]);
    let mut every_added = std::collections::BTreeSet::new();
    for way in ways() {
        let direct = [base(), vec!["--sde=0".into(), script(&bench, "direct", "[ -z \"$https_proxy\" ]\n")]].concat();
        let expected = bench.build(*way, &bench.output(*way, "direct.tar"), &direct, &context);
        let host = if *way == Way::Docker { bridge().unwrap() } else { company.address.clone() };
        let told = format!("[ \"$https_proxy\" = 'http://me:pass%25word@{host}:{}' ]\n", company.port);
        // A cache that the build without proxy filled would answer for RUN.
        let metadata = bench.output(*way, "metadata.json");
        let mut more = words(&["--no-cache", "-vv", "--proxy-in-run", "--build-arg", &inner_base]);
        more.push(script(&bench, "told", &told));
        let recorded = [more.clone(), vec!["--metadata-file".into(), metadata.clone().into()]].concat();
        let result = build_inside(&company, &bench, *way, &recorded, &context);
        assert_eq!(built(*way, "through the proxy", &result), expected.digest(), "{}", way.name());
        let everything = said(&result) + &fs::read_to_string(metadata).unwrap();
        assert!(!everything.contains("pass%25word"), "{}: {everything}", way.name());

        more.push("--dry".into());
        let dry = build_inside(&company, &bench, *way, &more, &context);
        assert!(dry.status.success() && !said(&dry).contains("pass%25word"), "{}", said(&dry));
        assert!(said(&dry).contains("${REPRO_PROXY:?"), "{}", said(&dry));

        let result = build_inside(&company, &bench, *way, &[], &added);
        every_added.insert(built(*way, "ADD", &result));
        // An authority that nobody knows, and the way out.
        let mut no_ca = words(&["--no-cache", "--build-arg", &inner_base]);
        no_ca.push(script(&bench, "no ca", ":\n"));
        let other = bench.context("other ca", &[("ca.crt", OTHER)]);
        let company_ca = fs::read(company.directory.join("ca.crt")).unwrap();
        if way.runtime() != "buildkitd" {
            fs::copy(other.join("ca.crt"), company.directory.join("ca.crt")).unwrap();
            let result = build_inside(&company, &bench, *way, &no_ca, &context);
            fs::write(company.directory.join("ca.crt"), company_ca).unwrap();
            assert_eq!(result.status.code(), Some(3), "{}", said(&result));
            assert!(String::from_utf8_lossy(&result.stderr).contains("--ca FILE"), "{}", said(&result));
        }
    }
    assert_eq!(every_added.len(), 1, "{every_added:?}");
    let log = company.log();
    for asked in ["CONNECT registry.company.example:443", "CONNECT files.company.example:443", "git/"] {
        assert!(log.contains(asked), "{asked}: {log}");
    }
}

#[test]
fn a_proxy_that_the_dockerfile_takes_into_the_image_is_refused() {
    for way in ways() {
        let bench = Bench::shared("proxy in the image", *way);
        let dockerfile = "FROM scratch\nARG HTTP_PROXY\nENV PROXY=$HTTP_PROXY\nCOPY Dockerfile /\n";
        let context = bench.context("context", &[("Dockerfile", dockerfile)]);
        let output = bench.output(*way, "image.tar");
        let proxy = words(&["--proxy", "http://me:swordfish@proxy.example:3128", "--proxy-in-run"]);
        let result = run(bench.repro(*way), &bench.arguments(*way), &output, &proxy, &context);
        assert_eq!(result.status.code(), Some(3), "{}: {}", way.name(), said(&result));
        let text = said(&result);
        assert!(
            text.contains("holds the proxy") && text.contains("take `ARG HTTP_PROXY`") && !output.exists(),
            "{text}"
        );
    }
}

/// An authority that signed nothing here.
const OTHER: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBeTCCAR+gAwIBAgIUDAWtopuqz1cz5d54jYg7CYFPImcwCgYIKoZIzj0EAwIw\n\
ETEPMA0GA1UEAwwGbm9ib2R5MCAXDTI2MTEyMTE2MDEzNVoYDzIxMjYxMDI4MTYw\n\
MTM1WjARMQ8wDQYDVQQDDAZub2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n\
AARQFWSu92feaVOfjsQe/2vTPRms2C8Kp4H3y1TJJwFO79OOsmAD2vHlys2ghg3c\n\
GeMzVQ+ejZRr8nMBn8Ur87JJo1MwUTAdBgNVHQ4EFgQUwXyRcV6e/PNd+jYNArAN\n\
hQftI28wHwYDVR0jBBgwFoAUwXyRcV6e/PNd+jYNArANhQftI28wDwYDVR0TAQH/\n\
BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiAtWXNmgMIzNDW2FwcTK6DT067IDcKI\n\
NVdQLL2ckTMBGwIhAOT/lM7ZGykBI9DpzMVZ37eLUcFHPnszlxSSbNB9JV+U\n\
-----END CERTIFICATE-----\n";
