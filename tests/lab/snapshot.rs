//! `examples/debian-snapshot/snapshot-sources` with the real apt, on an archive of our own with a key of our own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::{said, ways};

/// 2026-03-10T12:00:00Z.
const EPOCH: &str = "1773144000";

struct Archive {
    place: tempfile::TempDir,
    /// Where it is served.
    mirror: String,
}

/// Hands out the files below a directory.
fn serve(directory: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let directory = directory.clone();
            std::thread::spawn(move || {
                let (mut request, mut byte) = (Vec::new(), [0]);
                while !request.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|count| count == 1) {
                    request.push(byte[0]);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
                let (status, body) =
                    fs::read(directory.join(path)).map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(&body));
            });
        }
    });
    format!("http://{address}")
}

fn must(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

impl Archive {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        for name in ["right", "wrong"] {
            let home = place.path().join(name);
            fs::create_dir(&home).unwrap();
            must(Command::new("chmod").arg("700").arg(&home));
            let words = [
                "--batch",
                "--quiet",
                "--passphrase",
                "",
                "--quick-gen-key",
                "a@example.org",
                "rsa2048",
                "sign",
                "never",
            ];
            must(Command::new("gpg").env("GNUPGHOME", &home).args(words));
            let keyring = place.path().join(format!("{name}.gpg"));
            must(Command::new("gpg").env("GNUPGHOME", &home).args(["--batch", "--export", "--output"]).arg(keyring));
        }
        let served = place.path().join("served");
        fs::create_dir(&served).unwrap();
        let mirror = serve(served);
        Self { place, mirror }
    }

    /// Publishes `SUITE/InRelease`, as it was at a time.
    fn publish(&self, home: &str, date: &str, valid_until: Option<&str>) -> PathBuf {
        let packages = self.place.path().join("served/debian/20260310T120000Z/dists/bookworm");
        let binary = packages.join("main/binary-amd64");
        fs::create_dir_all(&binary).unwrap();
        let list = "Package: dated\nVersion: 1\nArchitecture: all\nMaintainer: a\nFilename: pool/dated.deb\nSize: 1\n\
                    SHA256: 0000000000000000000000000000000000000000000000000000000000000000\nDescription: a\n";
        fs::write(binary.join("Packages"), list).unwrap();
        let sum = must(Command::new("sha256sum").arg(binary.join("Packages")));
        let sum = sum.split(' ').next().unwrap();
        let by_hash = binary.join("by-hash/SHA256");
        fs::create_dir_all(&by_hash).unwrap();
        // The list is under its digest alone.
        fs::rename(binary.join("Packages"), by_hash.join(sum)).unwrap();
        let until = valid_until.map_or_else(String::new, |until| format!("Valid-Until: {until}\n"));
        let release = format!(
            "Origin: Debian\nSuite: bookworm\nCodename: bookworm\nDate: {date}\n{until}Acquire-By-Hash: yes\nArchitectures: amd64\n\
             Components: main\nSHA256:\n {sum} {} main/binary-amd64/Packages\n",
            list.len()
        );
        let plain = self.place.path().join("Release");
        fs::write(&plain, release).unwrap();
        let signed = packages.join("InRelease");
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", self.place.path().join(home)).args(["--batch", "--yes", "--clearsign", "--output"]);
        must(gpg.arg(&signed).arg(&plain));
        signed
    }

    /// Runs the script on a root file system that has nothing, with the sources that Debian's images have.
    fn run(&self, epoch: &str, more: &[&str]) -> (Output, PathBuf) {
        let root = self.place.path().join("root");
        let _ = fs::remove_dir_all(&root);
        for directory in [
            "etc/apt/sources.list.d",
            "etc/apt/preferences.d",
            "var/lib/apt/lists/partial",
            "var/lib/dpkg",
            "var/cache/apt/archives/partial",
        ] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
        fs::write(root.join("etc/os-release"), "ID=debian\nVERSION_CODENAME=bookworm\n").unwrap();
        fs::write(root.join("etc/apt/sources.list.d/debian.sources"), "Types: deb\n").unwrap();
        let configuration = self.place.path().join("apt.conf");
        fs::write(&configuration, "APT::Sandbox::User \"root\";\nAPT::Architecture \"amd64\";\nAcquire::Retries \"0\";\nAcquire::Languages \"none\";\n").unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/debian-snapshot/snapshot-sources");
        let mut command = Command::new(script);
        command.env("APT_CONFIG", configuration).env("SOURCE_DATE_EPOCH", epoch).env("TZ", "Pacific/Kiritimati");
        command.args(["--mirror", &self.mirror, "--suites", "bookworm", "--root"]).arg(&root).args(["--keyring"]);
        command.arg(self.place.path().join("right.gpg")).args(more);
        (command.output().unwrap(), root)
    }

    fn refuses(&self, what: &str, says: &str) {
        let (output, root) = self.run(EPOCH, &[]);
        let text = said(&output);
        assert!(output.status.code() == Some(1) && text.contains(says), "{what}: {text}");
        let left: Vec<_> =
            fs::read_dir(root.join("var/lib/apt/lists")).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name == "partial" || name == "lock" || name == "auxfiles"), "{what}: {left:?}");
    }
}

/// What upstream's script takes unseen: Releases that are not signed, too old, or of another day.
#[test]
fn defect_49_packages_of_an_epoch_come_with_their_signatures_checked() {
    if ways().is_empty() {
        return;
    }
    let archive = Archive::new();
    let (date, until) = ("Mon, 09 Mar 2026 08:00:00 UTC", Some("Mon, 16 Mar 2026 08:00:00 UTC"));
    archive.publish("right", date, until);
    let (taken, root) = archive.run(EPOCH, &[]);
    assert!(taken.status.success(), "{}", said(&taken));
    let sources = fs::read_to_string(root.join("etc/apt/sources.list.d/snapshot.sources")).unwrap();
    let address = format!("URIs: {}/debian/20260310T120000Z/\n", archive.mirror);
    assert!(
        sources.contains(&address) && sources.contains("\nSigned-By: /") && sources.contains("\nBy-Hash: yes\n"),
        "{sources}"
    );
    assert!(!sources.to_lowercase().contains("valid") && !sources.contains("rusted"), "{sources}");
    assert!(!root.join("etc/apt/sources.list.d/debian.sources").exists());
    let lists = fs::read_dir(root.join("var/lib/apt/lists")).unwrap().map(|one| one.unwrap().path());
    // It may be kept packed: whoever set up this machine's apt says so.
    assert_eq!(lists.filter(|path| path.to_string_lossy().contains("_binary-amd64_Packages")).count(), 1);
    // Debian's point releases never expire.
    archive.publish("right", "Sat, 10 Jan 2026 08:00:00 UTC", None);
    let (taken, _) = archive.run(EPOCH, &[]);
    assert!(taken.status.success(), "{}", said(&taken));

    let signed = archive.publish("right", date, until);
    let text = fs::read_to_string(&signed).unwrap();
    fs::write(&signed, text.replace("Suite: bookworm", "Suite: bookwurm")).unwrap();
    archive.refuses("tampered", "not signed");
    let unsigned = text.split("-----BEGIN PGP SIGNATURE").next().unwrap().split("\n\n").nth(1).unwrap().to_owned();
    fs::write(&signed, &unsigned).unwrap();
    archive.refuses("unsigned", "apt takes not all of the snapshot");
    fs::remove_file(&signed).unwrap();
    fs::write(signed.with_file_name("Release"), unsigned).unwrap();
    archive.refuses("without a signature beside it", "is not signed");
    archive.publish("wrong", date, until);
    archive.refuses("another key", "NO_PUBKEY");
    archive.publish("right", "Sun, 01 Mar 2026 08:00:00 UTC", Some("Sun, 08 Mar 2026 08:00:00 UTC"));
    archive.refuses("expired at the epoch", "it had expired at the epoch: it was valid until 2026-03-08T08:00:00Z");
    archive.publish("right", "Wed, 01 Jan 2025 08:00:00 UTC", Some("Wed, 08 Jan 2025 08:00:00 UTC"));
    archive.refuses("long expired, which apt itself tells", "apt takes not all of the snapshot");
    archive.publish("right", "Tue, 10 Mar 2026 12:00:01 UTC", Some("Tue, 17 Mar 2026 12:00:01 UTC"));
    archive.refuses("of after the epoch", "it is of 2026-03-10T12:00:01Z, after the epoch");

    archive.publish("right", date, until);
    for (epoch, more, says) in [
        ("", &[][..], "no number of seconds"),
        ("-5", &[], "no number of seconds"),
        (EPOCH, &["--keyring", "/nowhere.gpg"], "there is no keyring"),
        (EPOCH, &["--suites", "a\nTrusted: yes"], "more than one line"),
        (EPOCH, &["--trusted", "yes"], "what is `--trusted`?"),
    ] {
        let (output, _) = archive.run(epoch, more);
        assert!(output.status.code() == Some(1) && said(&output).contains(says), "{more:?}: {}", said(&output));
    }
}
