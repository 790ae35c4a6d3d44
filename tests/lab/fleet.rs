//! A fleet of BuildKits that somebody else runs, each in a network namespace of its own, reached with mutual TLS: daemons die,
//! hang and fall off the network, and every cell still ends with the right verdict, once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::foreign::Daemon;
use crate::harness::{Bench, Way, every_way, lab, said};

fn wanted() -> bool {
    every_way().contains(&Way::Remote)
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", said(&output));
}

/// A network namespace with one address, reached through a pair of virtual devices.
struct Network {
    name: String,
    device: String,
    address: String,
}

impl Network {
    fn make(number: usize) -> Self {
        let id = std::process::id() % 10_000;
        let network = Self {
            name: format!("repro-fleet-{id}-{number}"),
            device: format!("rf{id}-{number}"),
            address: format!("10.213.{number}.2"),
        };
        let Self { name, device, address } = &network;
        ip(&format!("netns add {name}"));
        ip(&format!("link add {device} type veth peer name eth0 netns {name}"));
        ip(&format!("addr add 10.213.{number}.1/24 dev {device}"));
        ip(&format!("link set {device} up"));
        ip(&format!("-n {name} addr add {address}/24 dev eth0"));
        ip(&format!("-n {name} link set eth0 up"));
        ip(&format!("-n {name} link set lo up"));
        network
    }

    fn cut(&self) {
        ip(&format!("link set {} down", self.device));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.device]).stderr(Stdio::null()).status();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).stderr(Stdio::null()).status();
    }
}

struct Host {
    // Its files in the namespace go first.
    daemon: Daemon,
    network: Network,
    root: PathBuf,
}

impl Host {
    fn start(bench: &Bench, number: usize, certificates: &Path, more: &[&str]) -> Self {
        let network = Network::make(number);
        let root = bench.directory(&format!("host {number}"));
        let socket = bench.temporary().join(format!("host-{number}.sock"));
        let file = |flag: &str, name: &str| format!("{flag}={}", certificates.join(name).display());
        let tcp = format!("--addr=tcp://{}:1234", network.address);
        let tls = [file("--tlscacert", "ca.pem"), file("--tlscert", "server.pem"), file("--tlskey", "server-key.pem")];
        let mut arguments: Vec<&str> = vec![&tcp];
        arguments.extend(tls.iter().map(String::as_str));
        arguments.extend(more);
        // Not by ip: that gives it another /sys, without control groups.
        let network_of = format!("--net=/run/netns/{}", network.name);
        let before = ["nsenter", &network_of];
        let daemon = Daemon::start_behind(&before, "V0_19_0", &root, &socket, &arguments);
        Self { daemon, network, root }
    }

    fn address(&self) -> String {
        format!("tcp://{}:1234", self.network.address)
    }

    /// Stops all processes of the daemon where they are, or lets them go on.
    fn signal(&self, signal: &str) {
        for pid in self.processes() {
            assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        }
    }

    fn processes(&self) -> Vec<String> {
        let root = self.root.to_string_lossy().into_owned();
        let names =
            fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_ours = |pid: &String| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains("buildkitd") && line.contains(&root) && !line.starts_with("sh ")
        };
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter(is_ours).collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // What is stopped cannot end.
        for pid in self.processes() {
            let _ = Command::new("kill").args(["-s", "CONT", &pid]).status();
        }
    }
}

/// An authority, what it signed for daemons by their addresses and for a client; and what nobody should take.
fn make_certificates(directory: &Path) {
    let script = r#"set -eu
new="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
authority() { openssl req -x509 $new -keyout "$1-key.pem" -out "$1.pem" -subj "/CN=$1" -days 2; }
sign() {
    openssl req $new -keyout "$1" -out request -subj "/CN=$3"
    printf '%s\n' "$4" >extensions
    openssl x509 -req -in request -CA "$6.pem" -CAkey "$6-key.pem" -CAcreateserial -out "$2" -days "$5" -extfile extensions
}
hosts=subjectAltName=IP:10.213.1.2,IP:10.213.2.2,IP:10.213.3.2,IP:10.213.4.2,IP:10.213.5.2
authority ca
authority other
sign server-key.pem server.pem daemon "$hosts" 2 ca
sign key.pem cert.pem client extendedKeyUsage=clientAuth 2 ca
mkdir expired stranger
sign expired/server-key.pem expired/server.pem daemon "$hosts" -1 ca
cp ca.pem expired/
sign stranger/key.pem stranger/cert.pem client extendedKeyUsage=clientAuth 2 other
cp ca.pem stranger/"#;
    let output = Command::new("sh").args(["-c", script]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

/// A matrix of so many images, each of which takes some seconds and hardly any work.
fn write_matrix(bench: &Bench, images: usize, seconds: usize, fleet: &str) -> PathBuf {
    let context = bench.directory("context");
    fs::copy(lab("LAB_BUSYBOX"), context.join("busybox")).unwrap();
    let dockerfile = "FROM scratch\nARG N\nARG SECONDS\nCOPY busybox /bin/busybox\n\
                      RUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox sleep $SECONDS; echo $N > /n\"]\n";
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let mut text = format!(
        "[axes]\nruntime = [\"remote\"]\nbuildkit = [\"v0.19.0\"]\n[buildkit]\n\"v0.19.0\" = \"{}\"\n[limits]\nretries = 1\n\
         [fleet]\n{fleet}\n[build]\nsource-date-epoch = 0\n",
        lab("LAB_BUILDKIT_V0_19_0")
    );
    for number in 0..images {
        let _ = write!(
            text,
            "[[image]]\nname = \"image-{number:02}\"\ncontext = \"context\"\n\
             build = {{ build-arg = {{ N = \"{number}\", SECONDS = \"{seconds}\" }} }}\n"
        );
    }
    // What a commit holds is the same source in each run.
    let script =
        "set -e; rm -rf .git; git init -q; git add -A; git -c user.name=a -c user.email=a@b.example commit -q -m one";
    assert!(Command::new("sh").args(["-c", script]).current_dir(&context).status().unwrap().success());
    let matrix = context.parent().unwrap().join("matrix.toml");
    fs::write(&matrix, text).unwrap();
    matrix
}

fn lines(history: &Path) -> Vec<Value> {
    let text = fs::read_to_string(history).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The cells of a history, by image.
fn cells(history: &Path) -> BTreeMap<String, Vec<Value>> {
    let mut cells: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in lines(history) {
        if let Some(cell) = line.get("cell") {
            cells.entry(cell["image"].as_str().unwrap().to_owned()).or_default().push(cell.clone());
        }
    }
    cells
}

/// Waits until so many cells have ended.
fn wait_for_cells(history: &Path, count: usize, run: &mut std::process::Child) {
    let start = Instant::now();
    while cells(history).len() < count {
        assert!(run.try_wait().unwrap().is_none(), "the run ended before {count} cells had");
        assert!(start.elapsed() < Duration::from_secs(300), "{count} cells do not end");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn fleet_of(hosts: &[Host], certificates: &Path) -> String {
    let addresses: Vec<String> = hosts.iter().map(|host| format!("\"{}\"", host.address())).collect();
    let tls = certificates.display();
    format!("addresses = [{}]\ntls = \"{tls}\"\nprobe = 3\npatience = 8", addresses.join(", "))
}

/// What the work would take, if daemons that are lost at these moments worked at full speed until then.
#[expect(clippy::cast_precision_loss, reason = "a handful of daemons")]
fn ideal(work: f64, lost: &[f64], hosts: usize) -> f64 {
    let (mut left, mut at, mut alive) = (work, 0.0, hosts);
    for moment in lost {
        let can = (moment - at) * alive as f64;
        if can >= left {
            break;
        }
        left -= can;
        at = *moment;
        alive -= 1;
    }
    at + left / alive as f64
}

#[test]
#[ignore = "minutes: `make fleet`"]
fn cells_of_daemons_that_are_lost_are_built_by_the_others() {
    if !wanted() {
        return;
    }
    let bench = Bench::alone("fleet");
    let certificates = bench.directory("certificates");
    make_certificates(&certificates);
    let hosts: Vec<Host> = (1..=4).map(|number| Host::start(&bench, number, &certificates, &[])).collect();
    let matrix = write_matrix(&bench, 40, 4, &fleet_of(&hosts, &certificates));
    let history = matrix.with_file_name("history.jsonl");
    let log = matrix.with_file_name("log");
    let begin = || {
        let mut command = bench.repro(Way::Remote);
        command.args(["matrix", "run", "--allow-missing"]).arg(&matrix);
        command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        command
    };
    let start = Instant::now();
    let mut run = begin().spawn().unwrap();
    let mut lost = Vec::new();
    wait_for_cells(&history, 8, &mut run);
    hosts[0].daemon.kill();
    lost.push(start.elapsed().as_secs_f64());
    wait_for_cells(&history, 12, &mut run);
    hosts[1].signal("STOP");
    lost.push(start.elapsed().as_secs_f64());
    wait_for_cells(&history, 16, &mut run);
    hosts[2].network.cut();
    lost.push(start.elapsed().as_secs_f64());
    run.wait().unwrap();
    let took = start.elapsed().as_secs_f64();
    let said = fs::read_to_string(&log).unwrap();
    let cells = cells(&history);
    assert_eq!(cells.len(), 40, "{said}");
    let mut work = 0.0;
    let mut moved = 0;
    for (image, ends) in &cells {
        assert_eq!(ends.len(), 1, "{image} is {} times in the history: {said}", ends.len());
        assert_eq!(ends[0]["result"], "built", "{image}: {ends:?}");
        assert_eq!(ends[0]["unproved"], true, "{image}");
        work += ends[0]["seconds"].as_f64().unwrap();
        // One that came to a daemon that was lost next has moved twice.
        moved += ends[0].get("tries").and_then(Value::as_array).map_or(0, Vec::len);
    }
    assert!(
        moved >= 3,
        "three daemons had a cell each when they were lost, and cells were moved {moved} times: {said}"
    );
    let ratio = took / ideal(work, &lost, 4);
    println!(
        "40 cells, 4 daemons, of which 3 are lost after {lost:.0?} s: {took:.1} s, {ratio:.2} times the ideal; {moved} moves"
    );
    assert!(ratio <= 1.5, "{ratio}: {said}");
    // Each digest is right: the one daemon that is left gives all of them again, from its own files. What it gave before, too, it may
    // have out of its cache, and that proves nothing.
    let again = begin().status().unwrap();
    assert_eq!(again.code(), Some(4), "{}", fs::read_to_string(&log).unwrap());
    let report = bench.repro(Way::Remote).args(["matrix", "report", "--format=json"]).arg(&matrix).output().unwrap();
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let here = hosts[3].address();
    for image in report["images"].as_array().unwrap() {
        let was_here = cells[image["name"].as_str().unwrap()][0]["at"] == here.as_str();
        assert_eq!(image["verdict"], if was_here { "alone" } else { "equal" }, "{image}");
    }
    let mut digests: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines(&history) {
        if let Some(cell) = line.get("cell") {
            let digest = cell["digest"].as_str().unwrap().to_owned();
            digests.entry(cell["image"].as_str().unwrap().to_owned()).or_default().push(digest);
        }
    }
    for (image, digests) in digests {
        assert!(digests.len() == 2 && digests[0] == digests[1], "{image}: {digests:?}");
    }
}

#[test]
fn a_daemon_that_cannot_be_trusted_is_refused_in_clear_words() {
    if !wanted() {
        return;
    }
    let bench = Bench::alone("refused");
    let certificates = bench.directory("certificates");
    make_certificates(&certificates);
    let host = Host::start(&bench, 5, &certificates.join("expired"), &[]);
    let refused = |fleet: &str| {
        let matrix = write_matrix(&bench, 1, 0, fleet);
        let mut command = bench.repro(Way::Remote);
        let output = command.args(["matrix", "run"]).arg(&matrix).output().unwrap();
        let _ = fs::remove_file(matrix.with_file_name("history.jsonl"));
        (output.status.code(), said(&output))
    };
    let fleet = |address: &str, tls: &Path| {
        format!("addresses = [\"{address}\"]\ntls = \"{}\"\nprobe = 1\npatience = 8", tls.display())
    };
    let (status, text) = refused(&fleet(&host.address(), &certificates));
    assert!(status == Some(4) && text.contains("expired"), "{status:?} {text}");
    drop(host);
    let host = Host::start(&bench, 5, &certificates, &[]);
    let (status, text) = refused(&fleet(&host.address(), &certificates.join("stranger")));
    assert!(status == Some(4) && text.contains("certificate"), "{status:?} {text}");
    let plain = format!("addresses = [\"{}\"]", host.address());
    let (status, text) = refused(&plain);
    assert!(status == Some(2) && text.contains("for everybody to read") && text.contains("tls"), "{status:?} {text}");
}
