//! Why two archives of one image differ, as `repro diff` tells it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::attempt::Program;
use super::cell::Cell;
use super::file::Matrix;
use super::history::{CauseRecord, DifferenceRecord, SideRecord};
use crate::digest::Digest;
use crate::failure::{ExitStatus, chain};
use crate::limits;
use crate::runtime::command::CommandError;
use crate::runtime::interrupt::{Interrupt, Interruption};

/// Two archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The image.
    pub image: String,
    /// The platform.
    pub platform: String,
    /// The first digest, and its archive where there is one.
    pub a: (SideRecord, Option<PathBuf>),
    /// The second.
    pub b: (SideRecord, Option<PathBuf>),
}

#[derive(Deserialize)]
struct Report {
    a: Side,
    b: Side,
    summary: Summary,
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Side {
    digest: Option<Digest>,
}

#[derive(Deserialize)]
struct Summary {
    differences: u64,
    explained: u64,
}

#[derive(Deserialize)]
struct Finding {
    id: String,
    explanation: String,
    fix: Option<String>,
    is_consequence: bool,
    instructions: Vec<Instruction>,
}

#[derive(Deserialize)]
struct Instruction {
    first_line: Option<usize>,
}

/// Compares them, unless the user wants to stop.
pub async fn compare(
    program: &Program,
    run: &str,
    pair: &Pair,
    source: Option<(&Path, Option<&str>)>,
    limit: Duration,
    interrupt: &Interrupt,
) -> Result<DifferenceRecord, Interruption> {
    let mut record = DifferenceRecord {
        run: run.to_owned(),
        image: pair.image.clone(),
        platform: pair.platform.clone(),
        a: pair.a.0.clone(),
        b: pair.b.0.clone(),
        ..DifferenceRecord::default()
    };
    let (Some(a), Some(b)) = (&pair.a.1, &pair.b.1) else {
        record.why = Some("an archive of these is not there any more: the run was interrupted in between".to_owned());
        return Ok(record);
    };
    let mut words: Vec<OsString> = vec!["diff".into(), "--format=json".into()];
    if let Some((dockerfile, target)) = source {
        words.extend(["--dockerfile".into(), dockerfile.into()]);
        words.extend(target.map(|target| format!("--target={target}").into()));
    }
    words.extend(["--".into(), a.into(), b.into()]);
    let output = match program.call(words, interrupt, limit).await {
        Ok(output) if output.status.code() == Some(ExitStatus::Different as i32) => output,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let why = said.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("no difference was found");
            record.why = Some(why.to_owned());
            return Ok(record);
        }
        Err(CommandError::Interrupted(interruption)) => return Err(interruption),
        Err(error) => {
            record.why = Some(chain(&error));
            return Ok(record);
        }
    };
    match serde_json::from_slice::<Report>(&output.stdout) {
        // A file may have any name.
        Ok(report) if [(&report.a, &record.a), (&report.b, &record.b)].iter().any(|(is, side)| !is.may_be(side)) => {
            record.why = Some("an archive holds another image than its name says".to_owned());
        }
        Ok(report) => {
            record.unexplained = report.summary.differences.saturating_sub(report.summary.explained);
            record.causes = report.findings.into_iter().take(limits::HISTORY_CAUSES).map(cause).collect();
        }
        Err(error) => record.why = Some(format!("the comparison cannot be read: {error}")),
    }
    Ok(record)
}

impl Side {
    fn may_be(&self, side: &SideRecord) -> bool {
        self.digest.as_ref().is_none_or(|digest| digest.to_string() == side.digest)
    }
}

fn cause(finding: Finding) -> CauseRecord {
    CauseRecord {
        id: finding.id,
        what: finding.explanation,
        fix: finding.fix,
        line: finding.instructions.iter().find_map(|instruction| instruction.first_line),
        consequence: finding.is_consequence,
    }
}

impl Matrix {
    /// What is to be compared: in each BuildKit's cells the digest that most gave with each other one, and from BuildKit to
    /// BuildKit, the oldest first, what most gave.
    #[must_use]
    pub fn pairs(
        &self,
        part: &(String, String),
        gave: &[(Cell, Digest)],
        archives: &BTreeMap<Digest, PathBuf>,
    ) -> Vec<Pair> {
        let mut groups: BTreeMap<_, BTreeMap<&Digest, usize>> = BTreeMap::new();
        for (cell, digest) in gave {
            let version = self.buildkits.get(&cell.buildkit).and_then(|buildkit| buildkit.version);
            *groups.entry((version, cell.buildkit.as_str())).or_default().entry(digest).or_default() += 1;
        }
        let side = |buildkit: &str, digest: &Digest| {
            let record = SideRecord { buildkit: buildkit.to_owned(), digest: digest.to_string() };
            (record, archives.get(digest).cloned())
        };
        let pair = |a: (&str, &Digest), b: (&str, &Digest)| Pair {
            image: part.0.clone(),
            platform: part.1.clone(),
            a: side(a.0, a.1),
            b: side(b.0, b.1),
        };
        let mut pairs: Vec<Pair> = Vec::new();
        let mut before: Option<(&str, &Digest)> = None;
        for ((_, buildkit), digests) in &groups {
            let most = digests.iter().max_by_key(|(_, count)| **count).map(|(digest, _)| *digest);
            let Some(most) = most else { continue };
            let others = digests.keys().filter(|digest| **digest != most);
            pairs.extend(others.map(|other| pair((buildkit, most), (buildkit, other))));
            if let Some((name, digest)) = before.filter(|(_, digest)| *digest != most) {
                pairs.push(pair((name, digest), (buildkit, most)));
            }
            before = Some((buildkit, most));
        }
        pairs
    }
}
