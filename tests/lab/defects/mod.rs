//! The defects 1 to 26 of upstream's repro-build 2.0.0, each as a case that either program can be put through.
//!
//! A case calls the program as a user does and judges what a user sees: digests, bytes, exit status, messages; where the point
//! is a word of a command, the commands of the dry run. `repro` has to pass all of them. `make peers` puts upstream through the
//! same and prints both scores.
//!
//! They are the thin form. What is tested on every way to build names the number of the defect in its own comment.

mod engines;
mod results;
mod subject;
mod words;

use crate::harness::{Way, lab, ways};

use self::subject::{Program, Subject, Verdict};

/// How many letters of a reason are shown beside the scores: a traceback's last line can be a whole command.
const REASON: usize = 160;

/// One defect, as what is right.
struct Case {
    number: u32,
    /// What holds where the defect is not.
    sentence: &'static str,
    /// The ways that it builds on.
    needs: &'static [Way],
    check: fn(&Subject) -> Verdict,
}

macro_rules! cases {
    ($($test:ident $number:literal [$($way:ident)*] $check:path, $sentence:literal;)*) => {
        const CASES: &[Case] =
            &[$(Case { number: $number, sentence: $sentence, needs: &[$(Way::$way),*], check: $check }),*];
        $(
            #[test]
            fn $test() {
                hold($number);
            }
        )*
    };
}

cases! {
    defect_01 1 [Docker Podman] words::the_pin_has_a_default,
        "without --buildkit-image a pinned BuildKit is taken, and with --rootless the rootless one";
    defect_02 2 [Docker] words::the_variable_of_the_pin_counts,
        "REPRO_BUILDKIT_IMAGE is read, and the flag wins over it";
    defect_03 3 [Docker] words::a_flag_wins_over_the_variables_of_the_epoch,
        "--sde and --datetime win over REPRO_SOURCE_DATE_EPOCH";
    defect_04 4 [Docker Podman] words::the_variable_of_the_runtime_counts,
        "REPRO_RUNTIME is read";
    defect_05 5 [Docker Podman] engines::a_docker_without_a_daemon_is_passed_over,
        "where docker has no daemon, Podman builds";
    defect_06 6 [Docker] words::switches_of_the_environment_are_words,
        "REPRO_ROOTLESS and REPRO_CACHE take true, false, yes, no and nothing; another word is told in a sentence";
    defect_07 7 [Docker] words::the_epoch_is_checked_and_the_standard_variable_read,
        "an epoch before 1970 or after 9999 is refused, and SOURCE_DATE_EPOCH is read";
    defect_08 8 [Podman] engines::the_registry_of_the_pin_stays,
        "Podman pulls BuildKit from the registry that its name says";
    defect_09 9 [Docker] words::a_build_argument_is_not_another_epoch,
        "--build-arg SOURCE_DATE_EPOCH=… does not make another image than --sde says";
    defect_10 10 [Podman] engines::the_callers_stdin_is_left_alone,
        "a build with Podman leaves stdin to its caller, and no carriage returns in the log";
    defect_11 11 [Podman] engines::selinux_does_not_stand_in_the_way,
        "Podman is told to leave SELinux labels out, with --rootless too";
    defect_12 12 [Podman] engines::the_context_is_read_only,
        "context and Dockerfile are mounted read-only";
    defect_13 13 [Docker Podman] results::the_archive_is_this_builds,
        "no old archive outlives a failed build, and the directory of the output is made";
    defect_14 14 [Docker Podman] engines::the_ignore_file_of_a_dockerfile_counts,
        "X.dockerignore counts for -f X on each runtime: one digest";
    defect_15 15 [Docker Podman] engines::odd_letters_arrive,
        "commas and colons in paths and values arrive as they are";
    defect_16 16 [Docker Podman] engines::annotations_mean_the_same,
        "--annotation manifest:KEY=VALUE annotates the manifest on each runtime: one digest";
    defect_17 17 [Docker Podman] results::several_platforms_are_built_or_refused_at_once,
        "several platforms give one archive, or are refused before anything runs";
    defect_18 18 [Docker] results::no_cache_leaves_other_projects_alone,
        "--no-cache leaves the cache mounts of other projects alone";
    defect_19 19 [Docker Podman] results::another_epoch_is_not_served_from_the_cache,
        "a warm builder gives the digest of a cold one when the epoch changes";
    defect_20 20 [Docker] results::a_second_build_finds_its_builder,
        "a second build says no error of its builder, and two spellings of a pin have one builder";
    defect_21 21 [Docker] results::the_callers_environment_stays_outside,
        "BUILDX_GIT_LABELS of the caller does not change the image";
    defect_22 22 [Docker Podman] engines::media_types_and_compression_are_said,
        "media types and compression are said to BuildKit, not left to its defaults";
    defect_23 23 [Docker Podman] engines::flags_mean_the_same,
        "--label, --target, --secret and --build-context are flags, and mean the same on each runtime: one digest";
    defect_24 24 [Docker] words::build_arguments_are_not_told,
        "the values of build arguments stand in no message";
    defect_25 25 [Docker] words::wrong_usage_is_a_sentence,
        "wrong usage is a sentence and exit status 2, and --version says the version";
    defect_26 26 [Docker] results::a_dry_run_is_a_script,
        "a dry run prints a script that builds the image";
}

/// Panics with the reason where `repro` does what upstream did. Left out where a way is, which the run prints.
fn hold(number: u32) {
    let case = CASES.iter().find(|case| case.number == number).unwrap();
    if case.needs.iter().all(|way| ways().contains(way)) {
        let verdict = (case.check)(&Subject::new(Program::Repro, number));
        assert!(verdict.is_ok(), "defect {number}: it does not hold that {}: {}", case.sentence, verdict.unwrap_err());
    }
}

#[test]
fn every_defect_has_one_case() {
    let numbers: Vec<u32> = CASES.iter().map(|case| case.number).collect();
    assert_eq!(numbers, (1..=26).collect::<Vec<_>>());
}

/// Both programs through all cases. Upstream has to be able to build here at all, else its score would mean nothing.
#[test]
#[ignore = "`make peers` runs it: it needs upstream's release"]
fn scores() {
    let upstream = || Program::Upstream { command: lab("UPSTREAM").into(), state: lab("UPSTREAM_STATE").into() };
    let name = format!("repro-build {}", lab("UPSTREAM_RELEASE"));
    let control = engines::a_plain_build_works(&Subject::new(upstream(), 0));
    assert!(control.is_ok(), "{name} builds nothing here: {}", control.unwrap_err());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for case in CASES {
        let verdicts = [Program::Repro, upstream()].map(|program| (case.check)(&Subject::new(program, case.number)));
        let [repro, upstream] = &verdicts;
        let word = |verdict: &Verdict| if verdict.is_ok() { "right" } else { "wrong" };
        println!("  {:>2}  repro {}  {name} {}  {}", case.number, word(repro), word(upstream), case.sentence);
        for (name, verdict) in [("repro", repro), (name.as_str(), upstream)] {
            if let Err(why) = verdict {
                println!("      {name}: {}", why.chars().take(REASON).collect::<String>());
            }
        }
        ours.extend(repro.is_ok().then_some(case.number));
        theirs.extend(upstream.is_ok().then_some(case.number));
    }
    let all = CASES.len();
    println!("defects 1-{all}: repro {} of {all}, {name} {} of {all}", ours.len(), theirs.len());
    assert_eq!(ours.len(), all, "`repro` has to be right in all of them");
}
