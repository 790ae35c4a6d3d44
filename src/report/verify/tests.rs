use super::*;
use crate::verify::Digests;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn report(verdict: Verdict, platforms: &[(&str, bool)], index: Option<IndexVerdict>) -> VerifyReport {
    let mut report = VerifyReport::new("example.org/a".to_owned());
    report.verdict = verdict;
    report.subject.digest = Some(digest("index"));
    report.platforms = platforms
        .iter()
        .map(|(name, asked)| ComparedPlatform {
            platform: (*name).to_owned(),
            asked: *asked,
            verdict: if *asked { PlatformVerdict::Equal } else { PlatformVerdict::NotRebuilt },
            level: None,
            published: Digests { manifest: Some(digest(name)), config: None },
            rebuilt: None,
        })
        .collect();
    report.index = index.map(|verdict| ComparedIndex {
        published: digest("index"),
        rebuilt: None,
        verdict,
        differences: Vec::new(),
        attestations: 0,
    });
    report
}

#[test]
fn no_digest_is_handed_on_that_covers_more_than_the_verdict() {
    use IndexVerdict::{AttestationsOnly, Different, NotCompared};
    let of = |verdict, platforms: &[(&str, bool)], index| report(verdict, platforms, index).covered().cloned();
    let (both, one) = ([("amd64", true), ("arm64", true)], [("amd64", true), ("arm64", false)]);
    assert_eq!(of(Verdict::Equal, &[], None), Some(digest("index")));
    assert_eq!(of(Verdict::Equal, &both, Some(AttestationsOnly)), Some(digest("index")));
    assert_eq!(of(Verdict::Equal, &both, Some(Different)), None);
    assert_eq!(of(Verdict::Equal, &both[..1], Some(Different)), Some(digest("amd64")));
    assert_eq!(of(Verdict::Equal, &one, Some(NotCompared)), Some(digest("amd64")));
    assert_eq!(of(Verdict::Different, &one, Some(NotCompared)), Some(digest("amd64")));
    assert_eq!(of(Verdict::Different, &both, Some(Different)), Some(digest("index")));
    let three = [("amd64", true), ("arm64", true), ("s390x", false)];
    assert_eq!(of(Verdict::Equal, &three, Some(NotCompared)), None);
}

#[test]
fn only_of_an_equal_image_is_there_nothing_to_tell() {
    assert_eq!(told(&report(Verdict::Equal, &[], None)), None);
    for verdict in [Verdict::Different, Verdict::Unknown, Verdict::Corrupt] {
        let mut report = report(verdict, &[], None);
        report.notes.push("a note".to_owned());
        let told = told(&report).unwrap();
        assert!(told.text.contains("example.org/a") && told.text.contains("a note"), "{told:?}");
        assert_eq!(told.is_proved, verdict != Verdict::Unknown);
        let [case] = &cases(&report)[..] else { panic!() };
        let (End::Failed(why) | End::Unknown(why)) = &case.end else { panic!("{case:?}") };
        assert!(why.starts_with(&report.headline()) && why.contains("a note"), "{why}");
    }
    let mut half = report(Verdict::Unknown, &[("amd64", true), ("arm64", false)], None);
    half.platforms[1].asked = true;
    assert!(told(&half).unwrap().text.contains("arm64: not rebuilt"));
    assert_eq!(cases(&half)[1].end, End::Unknown("arm64: not rebuilt".to_owned()));
}
