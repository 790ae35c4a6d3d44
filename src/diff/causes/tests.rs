//! Every cause on pairs made for it, and on pairs that only look like it.

mod pair;

use std::collections::BTreeSet;

use self::pair::Pair;
use super::all;
use crate::diff::content::Format;
use crate::diff::entry::EntryType;
use crate::diff::model::{Confidence, Difference, Kind, Relation, Text};

const DATES: [&str; 2] = ["-built Sun Nov 22 00:52:34 UTC 2026", "+built Sun Nov 22 00:52:37 UTC 2026"];
const OLD: i64 = 1_000_000_000;
const EPOCH: i64 = 1_700_000_000;
const NOW: i64 = 1_790_000_000;

/// For each cause of entries a pair that it is named for, first of all.
#[expect(clippy::too_many_lines, reason = "a table")]
fn entries() -> Vec<(&'static str, Pair)> {
    let mut cases = vec![
        ("embedded-time", Pair::text("srv/built", &DATES)),
        ("embedded-time", Pair::text("srv/x.json", &["-  \"t\": 1795308754,", "+  \"t\": 1795308757,"])),
        (
            "uuid",
            Pair::text("srv/id", &["-6ba7b810-9dad-11d1-80b4-00c04fd430c8", "+7ba7b810-9dad-11d1-80b4-00c04fd430c8"]),
        ),
        ("random-token", Pair::text("srv/env", &["-K=pJ5uYJ8q0cWkx2Tn6Zb1eQ==", "+K=aB3+YJ9q1cWkx2Tn7Zb8eR=="])),
        ("temporary-path", Pair::text("srv/app.pc", &["-prefix=/tmp/tmp.aBcDeF", "+prefix=/tmp/tmp.gHiJkL"])),
        ("memory-address", Pair::text("srv/r", &["-<object at 0x7f3a2b1c4d50>", "+<object at 0x7f9a2b1c4d50>"])),
        ("container-id", Pair::text("srv/r", &["-id 3f9a2b1c4d50", "+id 4f9a2b1c4d51"])),
        ("duration", Pair::text("srv/r", &["-3 passed in 0.12s", "+3 passed in 0.15s"])),
        (
            "checksum-list",
            Pair::text(
                "srv/SUMS",
                &["-d41d8cd98f00b204e9800998ecf8427e  built", "+e41d8cd98f00b204e9800998ecf8427e  built"],
            ),
        ),
        ("environment-dump", Pair::text("srv/e", &["-HOSTNAME=a", "+HOSTNAME=b"])),
        ("proxy-environment", Pair::text("srv/e", &["-http_proxy=http://a:1", "+http_proxy=http://b:1"])),
        ("host-name", Pair::text("srv/e", &["-built on buildkitsandbox", "+built on somewhere"])),
        ("time-zone", Pair::text("srv/t", &["-2020-09-13 12:26:40 +0000", "+2020-09-13 14:26:40 +0200"])),
        ("unordered-output", Pair::text("srv/l", &["-b", " a", "+b"])),
        ("log-file", Pair::text("var/log/app/build.log", &DATES)),
        ("log-file", Pair::text("srv/install.log", &DATES)),
        ("generated-key", Pair::text("srv/key", &[" -----BEGIN PRIVATE KEY-----", "-MIIE", "+MIIF"])),
        ("shadow-day", Pair::text("etc/shadow", &["-app:!:19727:0:99999:7:::", "+app:!:19728:0:99999:7:::"])),
        ("password-salt", Pair::text("etc/shadow", &["-app:$y$a:19727:0:99999:7:::", "+app:$y$b:19727:0:99999:7:::"])),
        ("host-files", Pair::text("srv/hosts", &["-10.0.0.1\tdb", "+10.0.0.2\tdb"])),
        (
            "machine-id",
            Pair::text("etc/machine-id", &["-6ba7b8109dad11d180b400c04fd430c8", "+7ba7b8109dad11d180b400c04fd430c8"]),
        ),
        (
            "python-record",
            Pair::text(
                "a/x-1.dist-info/RECORD",
                &[
                    "-x.py,sha256=3vYQ0vLNjZMWhE9nFoY1s4kYgaI9RLAfT9l4sM3a0XQ,30",
                    "+x.py,sha256=4vYQ0vLNjZMWhE9nFoY1s4kYgaI9RLAfT9l4sM3a0XQ,30",
                ],
            ),
        ),
        ("zip-times", Pair::parts("srv/a.jar", Format::Zip, &[(Kind::Mtime, "a")])),
        ("tar-times", Pair::parts("srv/a.tar", Format::Tar, &[(Kind::Mtime, "a")])),
        ("ar-times", Pair::parts("srv/a.a", Format::Ar, &[(Kind::Mtime, "a")])),
        ("archive-order", Pair::parts("srv/a.tar", Format::Tar, &[(Kind::Order, "")])),
        ("archive-owners", Pair::parts("srv/a.tar", Format::Tar, &[(Kind::Uid, "a")])),
        ("archive-owners", Pair::parts("srv/a.jar", Format::Zip, &[(Kind::Mode, "a")])),
        ("gzip-header", Pair::parts("srv/a.gz", Format::Gzip, &[(Kind::Value, "gzip mtime")])),
        ("pyc-mtime", Pair::parts("srv/a.pyc", Format::Pyc, &[(Kind::Value, "source mtime")])),
        ("pyc-source", Pair::parts("srv/a.pyc", Format::Pyc, &[(Kind::Value, "source hash"), (Kind::Content, "code")])),
        ("sqlite", Pair::parts("srv/a.db", Format::Sqlite, &[(Kind::Content, "pages")])),
        (
            "elf-build-id",
            Pair::parts(
                "srv/a",
                Format::Elf,
                &[(Kind::Value, "build id"), (Kind::Content, "section .note.gnu.build-id")],
            ),
        ),
        ("pycache", Pair::missing("srv/__pycache__/a.cpython-311.pyc")),
        ("sys-stub", Pair::missing("sys").kinds(EntryType::Directory, EntryType::Directory)),
        ("mount-stubs", Pair::missing("etc/resolv.conf")),
        ("random-name", Pair::missing("srv/job.aX3f9QzL2b7K").beside(Pair::added("srv/job.bY4g8RwM3c6J"))),
        ("time-in-name", Pair::missing("srv/run-20261122005234").beside(Pair::added("srv/run-20261122005239"))),
        ("hashed-name", Pair::missing("srv/main.3f2a9c1b.js").sized().beside(Pair::added("srv/main.9f2a9c1e.js"))),
        ("whiteouts", Pair::missing("srv/.wh.a").kinds(EntryType::Whiteout, EntryType::Whiteout)),
        ("duplicate-entries", Pair { occurrence: 1, ..Pair::missing("srv/a") }),
        ("umask", Pair::metadata(Kind::Mode, "0644", "0600").modes(0o644, 0o600, EntryType::File).by("COPY a /a")),
        (
            "setgid",
            Pair::metadata(Kind::Mode, "0755", "2755").modes(0o755, 0o2755, EntryType::Directory).by("COPY a /a"),
        ),
        ("owner", Pair::metadata(Kind::Uid, "0", "1000")),
        ("owner-names", Pair::metadata(Kind::Uname, "", "root")),
        ("pax-times", Pair::metadata(Kind::Atime, "a", "b")),
        ("tar-format", Pair::metadata(Kind::TarFormat, "a", "b")),
        ("hard-links", Pair::metadata(Kind::Type, "a", "b").kinds(EntryType::File, EntryType::HardLink)),
        ("xattrs", Pair::of("srv/f", Difference::new(Kind::Record, "a", "b").at("SCHILY.xattr.user.built"))),
        ("mtime", Pair::metadata(Kind::Mtime, "a", "b").times(EPOCH, NOW)),
        ("mtime", Pair::metadata(Kind::Mtime, "a", "b").times(NOW, NOW + 3)),
        ("context-mtime", Pair::metadata(Kind::Mtime, "a", "b").times(OLD, OLD + 5).by("COPY a /a")),
        (
            "epoch",
            Pair {
                created: ["2023-11-14T22:13:20Z", "2023-11-14T22:15:00Z"],
                ..Pair::metadata(Kind::Mtime, "a", "b").times(EPOCH, EPOCH + 100)
            },
        ),
        ("context-file", Pair::text("srv/f", &["-a", "+b"]).by("COPY f /srv/f")),
        ("add-url", Pair::text("srv/f", &["-a", "+b"]).by("ADD https://example.org/f /srv/f")),
        ("git-directory", Pair::binary("srv/.git/index").by("COPY . /srv")),
        ("download", Pair::text("srv/tool", &["-a", "+b"]).by("RUN curl -o /srv/tool https://example.org/tool")),
        (
            "cache-mount",
            Pair::text("srv/runs", &["-a", "+b"])
                .by("RUN --mount=type=cache,target=/var/cache/app cp /var/cache/app/runs /srv/runs"),
        ),
        ("apt-packages", Pair::parts("var/lib/dpkg/status", Format::DpkgStatus, &[(Kind::Package, "app")])),
        ("apk-packages", Pair::parts("lib/apk/db/installed", Format::ApkInstalled, &[(Kind::Package, "app")])),
        ("python-packages", Pair::missing("usr/lib/site-packages/x-1.0.dist-info/METADATA")),
        (
            "npm-packages",
            Pair::text(
                "srv/node_modules/x/package.json",
                &["-  \"version\": \"1.0.1\",", "+  \"version\": \"1.0.2\","],
            ),
        ),
        ("base-image", Pair::text("etc/x", &["-a", "+b"]).by("FROM debian")),
    ];
    let paths = [
        ("apt-cache", "var/cache/apt/pkgcache.bin"),
        ("apt-lists", "var/lib/apt/lists/deb_InRelease"),
        ("apt-logs", "var/log/apt/history.log"),
        ("apk-database", "lib/apk/db/scripts.tar"),
        ("rpm-database", "var/lib/rpm/rpmdb.sqlite"),
        ("dnf-history", "var/lib/dnf/history.sqlite"),
        ("pacman-database", "var/lib/pacman/local/a-1/desc"),
        ("account-backups", "etc/passwd-"),
        ("random-seed", "var/lib/systemd/random-seed"),
        ("ssh-host-keys", "etc/ssh/ssh_host_rsa_key"),
        ("ldconfig-cache", "var/cache/ldconfig/aux-cache"),
        ("ld-so-cache", "etc/ld.so.cache"),
        ("font-cache", "var/cache/fontconfig/a-le64.cache-8"),
        ("locale-archive", "usr/lib/locale/locale-archive"),
        ("desktop-cache", "usr/share/icons/hicolor/icon-theme.cache"),
        ("man-db", "var/cache/man/index.db"),
        ("gpg-home", "root/.gnupg/trustdb.gpg"),
        ("package-manager-cache", "root/.npm/_cacache/index-v5/a"),
        ("installer-metadata", "srv/node_modules/.modules.yaml"),
        ("database-cluster", "var/lib/postgresql/15/main/global/pg_control"),
        ("user-state", "root/.wget-hsts"),
        ("temporary-files", "tmp/left/behind"),
        ("java-class-archive", "usr/lib/jvm/a/lib/server/classes.jsa"),
        ("java-keystore", "etc/ssl/certs/java/cacerts"),
        ("js-bundle", "srv/.next/BUILD_ID"),
        ("process-files", "srv/app.pid"),
        ("cron-stamps", "var/lib/logrotate/status"),
        ("signature", "srv/a.asc"),
    ];
    cases.extend(paths.map(|(id, path)| (id, Pair::binary(path))));
    let program = |lines: &[&str]| {
        let mut pair =
            Pair::parts("srv/app", Format::Elf, &[(Kind::Value, "build id"), (Kind::Content, "section .rodata")]);
        if let Some(content) = &mut pair.content {
            content.lines = lines.iter().map(|line| Text::from(*line)).collect();
        }
        pair
    };
    cases.push(("compiler-date", program(&["-built Nov 22 2026 00:52:34", "+built Nov 22 2026 00:52:37"])));
    cases.push(("build-path", program(&["-/tmp/tmp.aBcDeF/app.c", "+/tmp/tmp.gHiJkL/app.c"])));
    cases.push(("go-build-info", program(&["-build\tvcs.modified=true", "+build\tvcs.modified=false"])));
    let argument = Pair {
        config: vec![Pair::config(
            "/history/3/created_by",
            Some("RUN |1 V=1.0 /bin/sh -c x"),
            Some("RUN |1 V=1.1 /bin/sh -c x"),
        )],
        ..Pair::text("srv/version", &["-version 1.0", "+version 1.1"])
    };
    cases.push(("build-argument", argument));
    cases
}

/// Causes of documents and of layers: the level, the difference, and the cause.
fn documents() -> Vec<(&'static str, super::Level, Pair)> {
    use super::Level::{Attestation, Config, Manifest};
    let value = |place: &str, a: Option<&str>, b: Option<&str>| Pair::of("", Pair::config(place, a, b));
    let fraction = Pair {
        created: ["2026-11-22T00:52:34.5Z", "2026-11-22T00:52:37.9Z"],
        ..value("/created", Some("a"), Some("b"))
    };
    let epochs =
        Pair { created: ["2023-11-14T22:13:20Z", "2023-11-14T22:15:00Z"], ..value("/created", Some("a"), Some("b")) };
    vec![
        (
            "media-types",
            Manifest,
            value(
                "/mediaType",
                Some("application/vnd.docker.distribution.manifest.v2+json"),
                Some("application/vnd.oci.image.manifest.v1+json"),
            ),
        ),
        ("annotations", Manifest, value("/annotations/a", Some("1"), Some("2"))),
        ("rewrite-annotation", Manifest, value("/annotations/buildkit~1rewritten-timestamp", Some("1"), None)),
        ("platform-variant", Config, value("/variant", None, Some("v8"))),
        ("json-encoding", Config, Pair::of("", Difference::of(Kind::Encoding, None, Some("other bytes".into())))),
        ("attestations", Attestation, value("/manifests/1", None, Some("x"))),
        ("labels", Config, value("/config/Labels/a", Some("1"), Some("2"))),
        ("buildah-version", Config, value("/config/Labels/io.buildah.version", Some("1"), Some("2"))),
        ("inline-cache", Config, value("/moby.buildkit.cache.v0", None, Some("x"))),
        ("empty-layers", Config, value("/history/2/empty_layer", None, Some("true"))),
        ("created", Config, fraction),
        ("epoch", Config, epochs),
        (
            "buildkit-version",
            Config,
            value("/history/2/created_by", Some("EXPOSE map[80/tcp:{}]"), Some("EXPOSE [80/tcp]")),
        ),
        (
            "build-argument",
            Config,
            value("/history/2/created_by", Some("RUN |1 V=1 /bin/sh -c x"), Some("RUN |1 V=2 /bin/sh -c x")),
        ),
        (
            "epoch",
            Config,
            value(
                "/history/2/created_by",
                Some("RUN |1 SOURCE_DATE_EPOCH=1 /bin/sh -c x"),
                Some("RUN |1 SOURCE_DATE_EPOCH=2 /bin/sh -c x"),
            ),
        ),
        (
            "instructions",
            Config,
            value("/history/2/created_by", Some("ENV A=b # buildkit"), Some("ENV A=c # buildkit")),
        ),
        ("instructions", Config, value("/config/Env/0", Some("A=b"), Some("A=c"))),
    ]
}

#[test]
fn each_cause_is_named_where_it_is_one() {
    for (id, pair) in entries() {
        let (heard, is_whole) = pair.heard();
        let path = String::from_utf8_lossy(&pair.path).into_owned();
        assert!(
            heard.first().is_some_and(|(first, confidence)| *first == id && *confidence < Confidence::Low),
            "{id} of {path}: {heard:?}"
        );
        assert!(is_whole, "{id} of {path} explains all of it");
    }
    for (id, level, pair) in documents() {
        assert_eq!(pair.of_document(level), [id], "{:?}", pair.difference);
    }
    let layer = |kind, relation| Pair { relation, ..Pair::of("", Difference::new(kind, "a", "b")) };
    assert_eq!(layer(Kind::Compression, Relation::CompressionOnly).of_layer(), ["compression"]);
    assert_eq!(layer(Kind::Order, Relation::Different).of_layer(), ["entry-order"]);
}

#[test]
fn no_cause_is_without_a_pair() {
    let mut tried: BTreeSet<&str> = entries().into_iter().map(|(id, _)| id).collect();
    tried.extend(documents().into_iter().map(|(id, ..)| id));
    tried.extend(["compression", "entry-order"]);
    let known: BTreeSet<&str> = all().map(|cause| cause.id).collect();
    assert_eq!(tried, known);
    assert_eq!(all().count(), known.len(), "each has a name of its own");
}

/// What looks like a cause and is none.
#[test]
fn false_friends_are_not_named() {
    let chosen = ["-mode=fast", "+mode=slow"];
    for pair in vec![
        Pair::binary("srv/pkgcache.bin"),
        Pair::binary("home/me/run/data"),
        Pair::binary("srv/tmp/data"),
        Pair::binary("srv/machine-id"),
        Pair::binary("srv/shadow"),
        Pair::binary("srv/a.pyc"),
        Pair::binary("srv/a.zip"),
        Pair::binary("srv/lists/deb_InRelease"),
        Pair::binary("srv/blog"),
        Pair::text("etc/shadow", &["-app:!:19727:0:99999:7:::", "+web:!:19727:0:99999:7:::"]),
        Pair::text("srv/hosts", &chosen),
        Pair::text("srv/catalog", &chosen),
        Pair::text("srv/notes.log", &chosen),
        Pair::text("srv/settings", &chosen),
        Pair::text("srv/version", &["-version 1.0.1", "+version 1.0.2"]),
        Pair::text("srv/timeout", &["-timeout=30s", "+timeout=60s"]),
        Pair::text("srv/SUMS", &["-hello", "+world"]),
        Pair::text("srv/RECORD", &["-x.py,1,2", "+x.py,1,3"]),
        Pair::text("srv/a.dist-info/RECORD", &chosen),
        Pair::text("srv/f", &["-a", "+b"]).by("RUN curl -o /srv/other https://example.org"),
        Pair::text("srv/f", &["-a", "+b"]).by("RUN --mount=type=cache,target=/var/cache/app make"),
        Pair::text("srv/f", &["-a", "+b"]).by("COPY f /srv/f").without_dockerfile(),
        Pair::parts("srv/a", Format::Elf, &[(Kind::Value, "build id"), (Kind::Content, "section .text")]),
        Pair::parts("srv/a.jar", Format::Zip, &[(Kind::Content, "a.class")]),
        Pair::parts("srv/a.pyc", Format::Pyc, &[(Kind::Content, "code")]),
        Pair::missing("srv/hello"),
        Pair::missing("srv/a1").beside(Pair::added("srv/b2")),
        Pair::metadata(Kind::Mode, "0644", "0755").modes(0o644, 0o755, EntryType::File).by("RUN chmod +x f"),
        Pair::metadata(Kind::Mode, "0644", "0600").modes(0o644, 0o600, EntryType::File).by("RUN chmod 600 f"),
        Pair::metadata(Kind::Link, "/usr/bin/a", "/usr/bin/b"),
    ] {
        let (heard, _) = pair.heard();
        let sure: Vec<_> = heard.iter().filter(|(_, confidence)| *confidence < Confidence::Low).collect();
        assert!(sure.is_empty(), "{}: {sure:?}", String::from_utf8_lossy(&pair.path));
    }
}

#[test]
fn a_context_is_blamed_for_what_is_in_it_and_nothing_else() {
    for pair in [
        Pair::text("srv/built", &DATES),
        Pair::parts("srv/a.jar", Format::Zip, &[(Kind::Mtime, "a")]),
        Pair::binary("var/cache/apt/pkgcache.bin"),
    ] {
        let (heard, _) = pair.by("COPY . /").heard();
        assert_eq!(heard, [("context-file", Confidence::High)]);
    }
}

#[test]
fn what_is_half_explained_is_told_so() {
    let pair = Pair::text("srv/f", &[DATES[0], "-mode=fast", DATES[1], "+mode=slow"]);
    let (heard, is_whole) = pair.heard();
    assert!(!is_whole, "{heard:?}");
}

#[test]
fn parts_that_are_too_many_to_be_told_are_explained_by_their_kinds() {
    let with_more = |kind| {
        let mut pair = Pair::parts("srv/a.jar", Format::Zip, &[(Kind::Mtime, "a")]);
        let content = pair.content.as_mut().unwrap();
        (content.more, content.more_kinds) = (200, [(kind, 200)].into());
        pair.heard().1
    };
    assert!(with_more(Kind::Mtime) && !with_more(Kind::Content) && !with_more(Kind::Missing));
}

#[test]
fn the_build_id_of_a_program_in_go_follows_from_its_date() {
    let id =
        |part: &str| format!("{part}zZITQF2LsrLEGOL/BB4AlqBM9xzBlzS0ipJV/6cBqvyc56rY7HMGShaDu/6FVEFsMa9DVxWqd7TPTu");
    let lines =
        [format!("-{}", id("Ndni6")), format!("+{}", id("yWEyB")), " ".into(), DATES[0].into(), DATES[1].into()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut pair = Pair::text("srv/app", &lines);
    pair.content.as_mut().unwrap().format = Format::Elf;
    let ids: Vec<&str> = pair.heard().0.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["compiler-date", "go-build-info"]);
}

#[test]
fn what_names_a_file_by_its_hash_follows_from_it() {
    let names = ["srv/assets/index-D_x-uJQ2.js", "srv/assets/index--q_B9-kX.js"];
    let page = ["-<script src=\"/assets/index-D_x-uJQ2.js\">", "+<script src=\"/assets/index--q_B9-kX.js\">"];
    let beside = |pair: Pair| pair.beside(Pair::missing(names[0])).beside(Pair::added(names[1]));
    let (heard, is_whole) = beside(Pair::text("srv/index.html", &page)).heard();
    assert!(heard == [("hashed-name", Confidence::High)] && is_whole, "{heard:?}");
    let mut gone = Pair::missing(names[0]);
    gone.a.as_mut().unwrap().size = 9;
    assert_eq!(gone.beside(Pair::added(names[1])).heard().0, [("hashed-name", Confidence::Medium)]);
    let other = [page[0], "+<script async src=\"/assets/index--q_B9-kX.js\">"];
    assert!(!beside(Pair::text("srv/index.html", &other)).heard().1);
}

#[test]
fn files_of_packages_that_moved_follow_from_them() {
    let status = Pair::parts("var/lib/dpkg/status", Format::DpkgStatus, &[(Kind::Package, "app:all")]);
    let (heard, _) = Pair::binary("usr/bin/app").beside(status).heard();
    assert_eq!(heard, [("apt-packages", Confidence::Medium)]);
    assert_eq!(Pair::binary("usr/bin/app").heard().0, []);
}
