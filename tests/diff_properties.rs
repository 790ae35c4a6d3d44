//! What holds of any two images: the same are equal, others never are, and it does not matter which comes first.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod support;

use proptest::prelude::*;
use repro::diff::model::{Comparison, Kind};
use repro::diff::{Ignore, Options, Plan, Verdict};
use repro::image::source::TarSource;
use repro::image::{ReadOptions, copy_blobs, read_archive};
use support::image_builder::{Entry, ImageBuilder, dir, file, hardlink, plain, symlink, tar};

/// None where an image is not sound: that is told before anything is compared.
fn compare(a: &[u8], b: &[u8], ignore: Ignore) -> Option<Comparison> {
    let read = |bytes| read_archive(bytes, &ReadOptions::default()).ok();
    let (image_a, image_b) = (read(a)?, read(b)?);
    let plan = Plan::new((b"a", &image_a), (b"b", &image_b), Options { ignore, ..Options::default() });
    let (wanted_a, wanted_b) = plan.wanted();
    let copies_a = copy_blobs(&mut TarSource::new(a).unwrap(), wanted_a).unwrap();
    let copies_b = copy_blobs(&mut TarSource::new(b).unwrap(), wanted_b).unwrap();
    Some(plan.walk((&copies_a, &copies_b), None).unwrap())
}

fn image(tar: Vec<u8>) -> Vec<u8> {
    ImageBuilder::oci().layer(plain(tar)).build().tar()
}

fn entry() -> impl Strategy<Value = Entry> {
    let name = prop_oneof!["[a-c]{1,2}", "d/[a-c]", "\\./[ab]", "x{101,120}"];
    (name, 0..4_u8, "[a-z]{0,600}", 0..3_u64, any::<bool>(), any::<bool>()).prop_map(
        |(name, kind, data, mtime, is_ustar, has_record)| {
            let entry = match kind {
                0 => dir(format!("{name}/")),
                1 => symlink(name, &data[..data.len().min(50)]),
                2 => hardlink(name, "a"),
                _ => file(name, data),
            };
            let entry = entry.at(mtime).owner(mtime, 1).names("root", "");
            let entry = if is_ustar { entry.ustar() } else { entry };
            if has_record { entry.pax("SCHILY.xattr.user.k", "v").pax("mtime", "1.5") } else { entry }
        },
    )
}

/// Makes the checksums of all headers fit that can be found by walking from one to the next.
fn refresh(tar: &mut [u8]) {
    let mut at = 0;
    while at + 512 <= tar.len() && tar[at..at + 512].iter().any(|byte| *byte != 0) {
        tar[at + 148..at + 156].fill(b' ');
        let sum: u32 = tar[at..at + 512].iter().map(|byte| u32::from(*byte)).sum();
        tar[at + 148..at + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits: String = tar[at + 124..at + 135].iter().map(|byte| char::from(*byte)).collect();
        let has_data = !(b'1'..=b'6').contains(&tar[at + 156]);
        let size = usize::from_str_radix(digits.trim_matches(['\0', ' ']), 8).unwrap_or_default();
        at += 512 + if has_data { size.div_ceil(512) * 512 } else { 0 };
    }
}

fn all(comparison: &Comparison) -> Vec<(Kind, bool)> {
    let layer = &comparison.platforms[0].layers[0];
    let entries = layer.entries.iter().flat_map(|entry| &entry.differences);
    layer.differences.iter().chain(entries).map(|difference| (difference.kind, difference.counts())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// One byte is another one, wherever it stands: it is a difference, and one that says what differs.
    #[test]
    fn one_byte_is_a_difference_with_a_name(
        entries in prop::collection::vec(entry(), 1..5),
        place in any::<prop::sample::Index>(),
        bits in 1..=255_u8,
    ) {
        let mut whole = tar(entries);
        refresh(&mut whole);
        let mut other = whole.clone();
        let at = place.index(other.len());
        other[at] ^= bits;
        refresh(&mut other);
        prop_assume!(whole != other);
        let (a, b) = (image(whole), image(other));
        prop_assert_eq!(compare(&a, &a, Ignore::default()).map(|it| it.verdict), Some(Verdict::Identical));
        let Some(found) = compare(&a, &b, Ignore::default()) else { return Ok(()) };
        prop_assert_eq!(found.verdict, Verdict::Different);
        let kinds = all(&found);
        prop_assert!(!kinds.is_empty() && kinds.iter().all(|(kind, _)| *kind != Kind::OtherBytes), "{at}: {kinds:?}");
        let mirrored = compare(&b, &a, Ignore::default()).unwrap();
        let mut reflected = all(&mirrored);
        let mut kinds = kinds;
        kinds.sort();
        reflected.sort();
        // In another order, what comes earlier depends on which side is looked at; that it differs does not.
        prop_assert_eq!(kinds, reflected);
        let ignored = compare(&a, &b, Ignore::SEMANTIC).unwrap();
        prop_assert!(matches!(ignored.verdict, Verdict::Different | Verdict::EqualIgnoring));
        let counting = all(&ignored).iter().any(|(_, counts)| *counts);
        prop_assert_eq!(ignored.verdict == Verdict::Different, counting);
    }

    /// Any two layers: equal only where all their bytes are, and the other way round the same.
    #[test]
    fn any_two_layers(
        one in prop::collection::vec(entry(), 0..6),
        other in prop::collection::vec(entry(), 0..6),
    ) {
        let (one, other) = (tar(one), tar(other));
        let is_same = one == other;
        let (a, b) = (image(one), image(other));
        let (Some(found), Some(mirrored)) = (compare(&a, &b, Ignore::default()), compare(&b, &a, Ignore::default())) else {
            return Ok(());
        };
        prop_assert_eq!(found.verdict == Verdict::Identical, is_same);
        prop_assert_eq!(found.verdict, mirrored.verdict);
        let counts = |it: &Comparison| (it.summary.entries, it.summary.differences);
        prop_assert_eq!(counts(&found), counts(&mirrored));
    }
}
