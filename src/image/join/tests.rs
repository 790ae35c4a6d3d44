use super::*;
use crate::image::media_type::{DOCKER_MANIFEST, OCI_CONFIG};

fn descriptor(media_type: &str, text: &str) -> Descriptor {
    let (media_type, digest) = (media_type.to_owned(), Digest::of(text.as_bytes()));
    Descriptor { media_type, digest, size: 551, platform: None, annotations: BTreeMap::new() }
}

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn attestation(subject: &str) -> Descriptor {
    Descriptor {
        platform: Some(platform("unknown/unknown")),
        annotations: map(&[
            ("vnd.docker.reference.type", "attestation-manifest"),
            ("vnd.docker.reference.digest", &Digest::of(subject.as_bytes()).to_string()),
        ]),
        ..descriptor(OCI_MANIFEST, &format!("about {subject}"))
    }
}

/// What v0.19.0 and v0.31.1 pushed for these words, with the digests of this test in it.
#[test]
fn the_bytes_are_those_of_buildkit() {
    let wanted = IndexAnnotations {
        index: map(&[("b", "<x>&\"y\"\n"), ("a", "\u{fc}\u{2028}\u{7f}")]),
        images: vec![
            (Some(platform("linux/arm64")), "d".to_owned(), "f".to_owned()),
            (None, "d".to_owned(), "e".to_owned()),
        ],
    };
    let mut joined = Joined::new(wanted);
    joined.add_image(platform("linux/arm64"), descriptor(OCI_MANIFEST, "arm64")).unwrap();
    joined.add_attestation(attestation("arm64"));
    joined.add_image(platform("linux/arm/v7"), descriptor(OCI_MANIFEST, "armv7")).unwrap();
    let index = joined.finish().unwrap();
    let digest = |text: &str| Digest::of(text.as_bytes()).to_string();
    let expected = format!(
        r#"{{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [
    {{
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "{}",
      "size": 551,
      "annotations": {{
        "d": "f"
      }},
      "platform": {{
        "architecture": "arm64",
        "os": "linux"
      }}
    }},
    {{
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "{}",
      "size": 551,
      "annotations": {{
        "d": "e"
      }},
      "platform": {{
        "architecture": "arm",
        "os": "linux",
        "variant": "v7"
      }}
    }},
    {{
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "{}",
      "size": 551,
      "annotations": {{
        "vnd.docker.reference.digest": "{}",
        "vnd.docker.reference.type": "attestation-manifest"
      }},
      "platform": {{
        "architecture": "unknown",
        "os": "unknown"
      }}
    }}
  ],
  "annotations": {{
    "a": "ü\u2028DEL",
    "b": "\u003cx\u003e\u0026\"y\"\n"
  }}
}}"#,
        digest("arm64"),
        digest("armv7"),
        digest("about arm64"),
        digest("arm64"),
    );
    let expected = expected.replace("DEL", "\u{7f}");
    assert_eq!(String::from_utf8(index.bytes.clone()).unwrap(), expected);
    // Taken over again, it is what it was.
    let Joinable::Index { members, annotations } = parse_joinable(&index.bytes).unwrap() else { panic!() };
    let mut again = Joined::default();
    again.add_annotations(annotations).unwrap();
    for member in members {
        match member.platform.clone().filter(|platform| !platform.is_unknown()) {
            Some(platform) => again.add_image(platform, member).unwrap(),
            None => again.add_attestation(member),
        }
    }
    assert_eq!(again.finish().unwrap(), index);
}

/// The configs are those that BuildKit made of bases with such words, the platforms what it wrote beside them.
#[test]
fn a_platform_is_what_the_config_says() {
    for (config, expected) in [
        (r#"{"architecture":"amd64","os":"linux","os.features":["b","a"]"#, r#"["amd64","linux","",[],""]"#),
        (r#"{"architecture":"amd64","os":"linux","variant":"v1"#, r#"["amd64","linux","",[],""]"#),
        (r#"{"architecture":"amd64","os":"linux","os.version":"5.1","variant":"v2"#, r#"["amd64","linux","",[],"v2"]"#),
        (r#"{"architecture":"arm64","os":"linux","variant":"v8"#, r#"["arm64","linux","",[],""]"#),
        (r#"{"architecture":"arm","os":"linux"#, r#"["arm","linux","",[],"v7"]"#),
        (r#"{"architecture":"arm","os":"linux","variant":"v6"#, r#"["arm","linux","",[],"v6"]"#),
        (
            r#"{"architecture":"amd64","os":"windows","os.features":["win32k","a"],"os.version":"10.0.17763.2114"#,
            r#"["amd64","windows","10.0.17763.2114",["win32k","a"],""]"#,
        ),
    ] {
        let end = if config.ends_with(']') { "" } else { "\"" };
        let config = format!(r#"{config}{end},"rootfs":{{"type":"layers","diff_ids":[]}}}}"#);
        let Platform { os, architecture, variant, os_version, os_features } =
            parse_platform(config.as_bytes()).unwrap();
        let found = serde_json::json!([architecture, os, os_version, os_features, variant]);
        assert_eq!(found.to_string(), expected, "{config}");
    }
    let silent = parse_platform(br#"{"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#).unwrap_err();
    assert!(silent.contains("does not say for which platform"), "{silent}");
    let long = format!(r#"{{"os":"{}","architecture":"a","rootfs":{{"type":"layers"}}}}"#, "x".repeat(10_000));
    assert!(parse_platform(long.as_bytes()).unwrap_err().contains("too long"));
    let long = Platform { os: "x".repeat(10_000), ..platform("linux/amd64") };
    assert!(check_platform(&long, &platform("linux/amd64")).unwrap_err().len() < 3_000);
    assert!(parse_platform(b"{}").is_err() && parse_platform(b"").is_err());
}

#[test]
fn what_buildkit_would_not_write_is_refused() {
    let joined = |images: &[(&str, &str)], wanted: IndexAnnotations| {
        let mut joined = Joined::new(wanted);
        for (words, media_type) in images {
            joined.add_image(platform(words), descriptor(media_type, words))?;
        }
        joined.finish()
    };
    let of_index = || IndexAnnotations { index: map(&[("a", "b")]), ..IndexAnnotations::default() };
    let of = |words: &str| IndexAnnotations {
        images: vec![(Some(platform(words)), "a".to_owned(), "b".to_owned())],
        ..IndexAnnotations::default()
    };
    let (amd64, arm64) = ("linux/amd64", "linux/arm64");
    let error = |images: &[(&str, &str)], wanted| joined(images, wanted).unwrap_err();
    let twice = error(&[(amd64, OCI_MANIFEST), (amd64, OCI_MANIFEST)], of_index());
    assert!(matches!(twice, JoinError::SamePlatform { .. }), "{twice}");
    let mixed = error(&[(amd64, OCI_MANIFEST), (arm64, DOCKER_MANIFEST)], of_index());
    assert!(matches!(mixed, JoinError::Mixed { .. }), "{mixed}");
    for wanted in [of_index(), of(amd64)] {
        let docker = error(&[(amd64, DOCKER_MANIFEST)], wanted);
        assert_eq!(docker, JoinError::DockerAnnotation("a".to_owned()));
    }
    let nobody = error(&[(amd64, OCI_MANIFEST)], of(arm64));
    assert!(matches!(nobody, JoinError::NoSuchPlatform { .. }), "{nobody}");
    assert_eq!(error(&[], IndexAnnotations::default()), JoinError::NoImage);
    assert_eq!(joined(&[(amd64, DOCKER_MANIFEST)], IndexAnnotations::default()).unwrap().media_type, DOCKER_INDEX);
}

#[test]
fn indexes_have_to_agree_about_what_they_say() {
    let mut joined = Joined::default();
    joined.add_annotations(map(&[("a", "1"), ("b", "2")])).unwrap();
    joined.add_annotations(map(&[("b", "2"), ("c", "3")])).unwrap();
    let error = joined.add_annotations(map(&[("a", "other")])).unwrap_err();
    assert!(matches!(error, JoinError::Disagreement { .. }), "{error}");
    let wanted = IndexAnnotations { index: map(&[("a", "decided")]), ..IndexAnnotations::default() };
    let mut joined = Joined::new(wanted);
    joined.add_annotations(map(&[("a", "1")])).unwrap();
    joined.add_annotations(map(&[("a", "other")])).unwrap();
    joined.add_image(platform("linux/amd64"), descriptor(OCI_MANIFEST, "amd64")).unwrap();
    let text = String::from_utf8(joined.finish().unwrap().bytes).unwrap();
    assert!(text.contains(r#""a": "decided""#), "{text}");
}

#[test]
fn what_would_be_lost_or_is_no_image_is_not_joined() {
    let member = |more: &str, media_type: &str| {
        let digest = Digest::of(b"a");
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":1{more}}}"#)
    };
    let index = |member: &str, more: &str| {
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{member}]{more}}}"#)
    };
    let reason = |text: &str| parse_joinable(text.as_bytes()).unwrap_err();
    assert!(parse_joinable(index(&member("", OCI_MANIFEST), "").as_bytes()).is_ok());
    for text in [
        index(&member(r#","urls":["https://example.org"]"#, OCI_MANIFEST), ""),
        index(&member(r#","artifactType":"x""#, OCI_MANIFEST), ""),
        index(&member(r#","platform":{"architecture":"a","os":"b","features":["c"]}"#, OCI_MANIFEST), ""),
        index(&member("", OCI_MANIFEST), &format!(r#","subject":{}"#, member("", OCI_MANIFEST))),
    ] {
        assert!(reason(&text).contains("would be lost"), "{text}");
    }
    assert!(reason(&index(&member("", OCI_INDEX), "")).contains("no manifest by its media type"));
    for text in [
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_CONFIG}","manifests":[]}}"#),
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","manifests":[]}}"#),
        format!(r#"{{"schemaVersion":2,"manifests":[],"config":{},"layers":[]}}"#, member("", OCI_CONFIG)),
        r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#.to_owned(),
        r#"{"schemaVersion":2}"#.to_owned(),
    ] {
        assert!(reason(&text).contains("neither an index nor the manifest"), "{text}");
    }
    assert!(reason("{}").contains("schemaVersion"));
    let artifact = format!(r#"{{"schemaVersion":2,"config":{},"layers":[]}}"#, member("", "x/y"));
    let found = parse_joinable(artifact.as_bytes()).unwrap();
    assert!(matches!(&found, Joinable::Manifest { config: None, blobs, .. } if blobs.len() == 1), "{found:?}");
}
