use proptest::prelude::*;

use super::*;

const HEX: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn parse(text: &str) -> Result<ImageReference, ReferenceError> {
    text.parse()
}

#[test]
fn completes_familiar_names_as_docker_does() {
    for (text, canonical) in [
        ("debian", "docker.io/library/debian"),
        ("debian:12", "docker.io/library/debian:12"),
        ("moby/buildkit", "docker.io/moby/buildkit"),
        ("moby/buildkit:v0.19.0", "docker.io/moby/buildkit:v0.19.0"),
        ("docker.io/debian", "docker.io/library/debian"),
        ("index.docker.io/debian", "docker.io/library/debian"),
        ("index.docker.io/moby/buildkit", "docker.io/moby/buildkit"),
        ("docker.io/moby/buildkit", "docker.io/moby/buildkit"),
        ("ghcr.io/moby/buildkit", "ghcr.io/moby/buildkit"),
        ("localhost/x", "localhost/x"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("localhost:5000/x", "localhost:5000/x"),
        ("localhost:5000/x:y", "localhost:5000/x:y"),
        ("host:5000/x", "host:5000/x"),
        ("host/x", "docker.io/host/x"),
        ("127.0.0.1:5000/moby/buildkit:v0.19.0", "127.0.0.1:5000/moby/buildkit:v0.19.0"),
        ("[::1]:5000/x:y", "[::1]:5000/x:y"),
        ("[::1]/x", "[::1]/x"),
        ("test.com:tag", "docker.io/library/test.com:tag"),
        ("foo_bar.com:8080", "docker.io/library/foo_bar.com:8080"),
        ("a/b/c/d", "docker.io/a/b/c/d"),
        ("a.b/c__d/e-----f/g.h_i", "a.b/c__d/e-----f/g.h_i"),
        ("xn--7o8h.com/myimage:XN--7o8h.Com", "xn--7o8h.com/myimage:XN--7o8h.Com"),
        ("x:_1", "docker.io/library/x:_1"),
    ] {
        assert_eq!(parse(text).map(|reference| reference.to_string()), Ok(canonical.to_owned()), "`{text}`");
        let pinned = format!("{text}@sha256:{HEX}");
        let reference = parse(&pinned).unwrap();
        assert_eq!(reference.to_string(), format!("{canonical}@sha256:{HEX}"));
        assert_eq!(reference.digest().unwrap().hex(), HEX);
        assert_eq!(parse(canonical), parse(text), "the canonical text is stable");
    }
}

#[test]
fn keeps_the_parts_apart() {
    let reference = parse(&format!("host:5000/a/b:tag@sha256:{HEX}")).unwrap();
    assert_eq!(reference.registry(), "host:5000");
    assert_eq!(reference.repository(), "a/b");
    assert_eq!(reference.tag(), Some("tag"));
    assert_eq!(reference.name(), "host:5000/a/b");
    assert_eq!(parse("host:5000/a/b").unwrap().tag(), None, "no tag is made up");
}

#[test]
fn refuses_what_the_grammar_does_not_hold() {
    let long = "a/".repeat(128) + "a";
    let long_tag = format!("x:{}", "a".repeat(129));
    let pinned = |algorithm: &str, hex: &str| format!("x@{algorithm}:{hex}");
    for text in [
        "",
        " ",
        " debian",
        "debian ",
        "debian\n",
        "-debian",
        "debian-",
        "de..bian",
        "de___bian",
        "de.-bian",
        "a//b",
        "/a",
        "a/",
        "a:",
        "a:.tag",
        "a:-tag",
        "a:t/b",
        "a:tä",
        "ä/b",
        &long_tag,
        &long,
        "UPPER/x",
        "Debian",
        "GHCR.io/x",
        "ghcr.io/X",
        HEX,
        "https://ghcr.io/x",
        "ghcr.io:/x",
        "ghcr.io:0/x",
        "ghcr.io:65536/x",
        "ghcr.io:5a/x",
        "ghcr.io:+5/x",
        "-a.b/x",
        "a-.b/x",
        "a..b/x",
        ".a/x",
        "a_b.c/x",
        "user@ghcr.io/x",
        "[::1/x",
        "[::1]5000/x",
        "[::1]:/x",
        "[::g]:1/x",
        "[fe80::1%eth0]:1/x",
        "x@",
        "x@sha256",
        "x@sha256:",
        &pinned("sha256", &HEX[1..]),
        &pinned("sha256", &HEX.to_uppercase()),
        &pinned("sha512", HEX),
        &pinned("md5", HEX),
        &format!("x@sha256:{HEX}@sha256:{HEX}"),
        &format!("x@sha256:{HEX}:tag"),
    ] {
        let error = parse(text).expect_err(text);
        let message = error.to_string();
        assert!(!message.contains('\n') || text.contains('\n'), "{message}");
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn says_what_is_wrong() {
    for (text, message) in [
        ("", "an image reference is empty"),
        ("Debian:12", "`Debian` holds upper-case letters"),
        ("https://ghcr.io/x", "`https:` in `https://ghcr.io/x` is not a registry"),
        ("ghcr.io/a..b", "`a..b` in `ghcr.io/a..b` is not a repository name"),
        ("debian:a b", "`a b` in `debian:a b` is not a tag"),
        ("x@sha256:12", "no valid digest after the `@` in `x@sha256:12`"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_pin_has_a_digest() {
    assert_eq!(
        "moby/buildkit:v0.19.0".parse::<PinnedReference>().unwrap_err().to_string(),
        "`docker.io/moby/buildkit:v0.19.0` has no digest"
    );
    let pinned: PinnedReference = format!("moby/buildkit:v0.19.0@sha256:{HEX}").parse().unwrap();
    assert_eq!(pinned.digest().hex(), HEX);
    assert_eq!(pinned.to_string(), format!("docker.io/moby/buildkit:v0.19.0@sha256:{HEX}"));
}

#[test]
fn reads_the_sources_of_images() {
    let layout = |path: &str, pinned: bool| LayoutReference {
        path: PathBuf::from(path),
        digest: pinned.then(|| format!("sha256:{HEX}").parse().unwrap()),
    };
    let pin = format!("@sha256:{HEX}");
    for (text, source) in [
        ("oci:dir".to_owned(), ImageSource::OciDir(layout("dir", false))),
        (format!("oci:/a b/c@d:e{pin}"), ImageSource::OciDir(layout("/a b/c@d:e", true))),
        ("oci:/a@b".to_owned(), ImageSource::OciDir(layout("/a@b", false))),
        ("oci-archive:x.tar".to_owned(), ImageSource::OciArchive(layout("x.tar", false))),
        (format!("oci-archive:../x.tar{pin}"), ImageSource::OciArchive(layout("../x.tar", true))),
        (format!("oci:dir@x{pin}"), ImageSource::OciDir(layout("dir@x", true))),
        ("docker:24".to_owned(), ImageSource::Registry(parse("docker:24").unwrap())),
        (format!("docker.io/docker{pin}"), ImageSource::Registry(parse(&format!("docker{pin}")).unwrap())),
    ] {
        let parsed: ImageSource = text.parse().expect(&text);
        assert_eq!(parsed, source, "`{text}`");
        assert_eq!(parsed.to_string().parse::<ImageSource>().unwrap(), source, "`{text}` survives a round trip");
    }
}

#[test]
fn refuses_other_sources() {
    for (text, message) in [
        ("oci:", "`oci:` names no path"),
        ("oci-archive:", "`oci-archive:` names no path"),
        ("docker://debian", "transport `docker` of `docker://debian` is not known"),
        ("dir:/x", "transport `dir` of `dir:/x` is not known"),
        ("docker-archive:x.tar", "transport `docker-archive` of `docker-archive:x.tar` is not known"),
        ("oci:dir@sha256:12", "no valid digest after the `@` in `oci:dir@sha256:12`"),
    ] {
        assert_eq!(text.parse::<ImageSource>().unwrap_err().to_string(), message);
    }
    let only_pin = format!("oci:@sha256:{HEX}");
    assert!(matches!(only_pin.parse::<ImageSource>(), Err(ReferenceError::NoPath(_))));
}

proptest! {
    /// The regular expression of oci-spec, ported from Docker's, takes whatever is taken here and divides it alike.
    #[test]
    fn agrees_with_oci_spec(text in "[a-z0-9]{0,3}[._:/-]{0,2}[a-z0-9]{0,3}[._:/-]{0,3}[a-z0-9]{0,3}[._:/A-Z-]{0,2}[a-z0-9]{0,3}") {
        let oracle = oci_spec::distribution::Reference::try_from(text.as_str());
        match parse(&text) {
            Ok(ours) => {
                let oracle = oracle.expect("taken here, refused there");
                prop_assert_eq!(ours.registry(), oracle.registry());
                prop_assert_eq!(ours.repository(), oracle.repository());
                prop_assert_eq!(ours.tag().unwrap_or("latest"), oracle.tag().unwrap_or("latest"));
            }
            // Refused on purpose: upper case, ports that are no ports.
            Err(ReferenceError::UpperCase(_) | ReferenceError::Registry { .. }) => {}
            Err(error) => prop_assert!(oracle.is_err(), "refused here only: {error}"),
        }
    }

    #[test]
    fn never_panics(text in "\\PC{0,40}") {
        let _ = parse(&text);
        let _ = text.parse::<ImageSource>();
    }
}
