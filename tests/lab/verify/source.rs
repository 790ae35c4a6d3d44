//! Where the source of a rebuild comes from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{OCI_MANIFEST, Published, store, verify, way};
use crate::harness::{Bench, lab, said};
use crate::support::registry::FakeRegistry;

/// A git that makes repositories.
fn git(directory: &Path, words: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-C"]);
    let output = command.arg(directory).args(words).output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A proxy that has `https://files.company.example` behind it: a directory.
struct Web {
    proxy: std::process::Child,
    address: String,
    authority: PathBuf,
}

impl Web {
    fn serve(bench: &Bench, files: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let authority = bench.temporary().join(format!("ca-{port}.crt"));
        let proxy = Command::new(lab("LAB_MIDDLE"))
            .args(["-listen", &format!("127.0.0.1:{port}"), "-user", "me:secret", "-ca"])
            .arg(&authority)
            .arg(format!("-host=files.company.example={}", files.display()))
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let start = std::time::Instant::now();
        while !authority.exists() {
            assert!(start.elapsed().as_secs() < 30, "the proxy does not start");
            std::thread::yield_now();
        }
        Self { proxy, address: format!("http://me:secret@127.0.0.1:{port}"), authority }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

#[test]
fn an_image_that_names_its_repository_needs_nothing_else() {
    let Some(way) = way() else { return };
    let bench = Bench::shared("repository", way);
    let files = bench.directory("files");
    let work = files.join("work");
    git(&files, &["init", "--quiet", "work"]);
    fs::write(work.join("Dockerfile"), "FROM scratch\nCOPY f /f\n").unwrap();
    fs::write(work.join("f"), "first\n").unwrap();
    // What git could be made to run, if anybody let it.
    fs::write(work.join(".gitattributes"), "* filter=evil\n").unwrap();
    std::os::unix::fs::symlink("/", work.join("out")).unwrap();
    git(&work, &["add", "."]);
    git(&work, &["commit", "--quiet", "-m", "first"]);
    git(&work, &["tag", "v1"]);
    let first = git(&work, &["rev-parse", "HEAD"]);
    let registry = FakeRegistry::start();
    let annotate = |key: &str, value: &str| format!("--annotation=org.opencontainers.image.{key}={value}");
    let words = [annotate("source", "https://files.company.example/repo.git"), annotate("revision", &first)];
    // The copy of another checkout has other times, and what is not committed is no matter.
    let published = Published::build(&bench, way, &work, &[&words[0], &words[1]]);
    let subject = published.serve(&registry, "app");
    fs::write(work.join("f"), "second\n").unwrap();
    git(&work, &["commit", "--quiet", "--all", "-m", "second"]);
    let second = git(&work, &["rev-parse", "HEAD"]);
    git(&files, &["clone", "--quiet", "--bare", "work", "repo.git"]);
    git(&files.join("repo.git"), &["update-server-info"]);

    let web = Web::serve(&bench, &files);
    let reached = ["--proxy", &web.address, "--ca", web.authority.to_str().unwrap()];
    let (status, report, output) = verify(&bench, way, &subject, &reached, None);
    assert_eq!((status, &report["verdict"]), (0, &"equal".into()), "{}", said(&output));
    assert_eq!(
        (&report["source"]["commit"], &report["source"]["place"]),
        (&first.clone().into(), &"https://files.company.example/repo.git".into())
    );
    assert!(report["source"]["from_image"].is_string(), "{}", said(&output));
    assert!(!said(&output).contains("secret@"), "{}", said(&output));
    let (status, report, output) = verify(&bench, way, &subject, &[], None);
    assert_eq!((status, &report["reason"]), (4, &"source".into()), "{}", said(&output));

    // The user's own: a directory, at what it holds and at what it held, and an address.
    let (status, report, output) = verify(&bench, way, &subject, &[], Some(&work));
    assert_eq!((status, &report["source"]["commit"]), (1, &second.into()), "{}", said(&output));
    assert!(report["notes"].to_string().contains(&first) && report["source"]["dirty"] == false, "{}", said(&output));
    fs::write(work.join("new"), "").unwrap();
    for reference in ["v1", &first] {
        let (status, report, output) = verify(&bench, way, &subject, &["--ref", reference], Some(&work));
        assert_eq!((status, &report["source"]["commit"]), (0, &first.clone().into()), "{}", said(&output));
    }
    let (_, report, output) = verify(&bench, way, &subject, &[], Some(&work));
    assert_eq!(report["source"]["dirty"], true, "{}", said(&output));
    let address = format!("file://{}", work.display());
    for (place, expected) in [
        (format!("{address}#v1"), 0),
        (address.clone(), 0),
        (format!("{address}#v1:out"), 4),
        (format!("{address}#no"), 4),
    ] {
        let (status, _, output) = verify(&bench, way, &subject, &[], Some(Path::new(&place)));
        assert_eq!(status, expected, "{place}: {}", said(&output));
    }

    // Where a stranger would send git, it does not go.
    let witness = bench.temporary().join("witness");
    for (source, revision) in [
        (format!("ext::touch {}", witness.display()), first.as_str()),
        (address, first.as_str()),
        ("https://files.company.example/repo.git".to_owned(), "--upload-pack=touch"),
        ("https://files.company.example/repo.git".to_owned(), "v1"),
    ] {
        let mut manifest = published.document(&published.root["digest"]);
        manifest["annotations"]["org.opencontainers.image.source"] = source.clone().into();
        manifest["annotations"]["org.opencontainers.image.revision"] = revision.into();
        let other = store(&registry, "app", OCI_MANIFEST, &manifest);
        let other = format!("{}@{}", subject.trim_end_matches(":v1"), other["digest"].as_str().unwrap());
        let (status, report, output) = verify(&bench, way, &other, &reached, None);
        assert_eq!(
            (status, &report["missing"][0]["what"]),
            (4, &"source".into()),
            "{source} {revision}: {}",
            said(&output)
        );
    }
    assert!(!witness.exists());
}
