//! Why two archives of one image differ, as `repro diff` tells it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::agree::{Builder, Witness, pieces};
use super::attempt::Program;
use super::cell::{CacheState, Cell};
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
        record.why = Some("an archive of these is not there any more: another part of this run built it".to_owned());
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
    /// What is to be compared: in each BuildKit's cells the digest that most speaks for with each other one, and from BuildKit to
    /// BuildKit, the oldest first, what most speaks for. It is chosen as for a verdict, as far as this run alone knows.
    #[must_use]
    pub fn pairs(
        &self,
        part: &(String, String),
        shares_cache: bool,
        gave: &[(Cell, Digest)],
        archives: &BTreeMap<Digest, PathBuf>,
    ) -> Vec<Pair> {
        let mut gave: Vec<&(Cell, Digest)> = gave.iter().collect();
        gave.sort();
        let mut groups: BTreeMap<_, Vec<(&Digest, Vec<Witness<'_>>)>> = BTreeMap::new();
        for (cell, digest) in gave {
            let version = self.buildkits.get(&cell.buildkit).and_then(|buildkit| buildkit.version);
            let votes = groups.entry((version, cell.buildkit.as_str())).or_default();
            let builder = Builder::of(cell, None, shares_cache);
            let witness = Witness { builder, is_cold: cell.cache == CacheState::Cold };
            match votes.iter_mut().find(|(known, _)| *known == digest) {
                Some((_, witnesses)) => witnesses.push(witness),
                None => votes.push((digest, vec![witness])),
            }
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
        for ((_, buildkit), votes) in &groups {
            // Of several the first.
            let most = votes.iter().rev().max_by_key(|(_, witnesses)| pieces(witnesses)).map(|(digest, _)| *digest);
            let Some(most) = most else { continue };
            let others = votes.iter().map(|(digest, _)| *digest).filter(|digest| *digest != most);
            pairs.extend(others.map(|other| pair((buildkit, most), (buildkit, other))));
            if let Some((name, digest)) = before.filter(|(_, digest)| *digest != most) {
                pairs.push(pair((name, digest), (buildkit, most)));
            }
            before = Some((buildkit, most));
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_is_what_the_verdict_holds_against_the_others() {
        let text = "[[image]]\nname = \"app\"\ncontext = \"c\"\n";
        let matrix = Matrix::parse(Path::new("/p/matrix.toml"), text).unwrap();
        let gave = |cells: &[(&str, &str)]| -> Vec<(Cell, Digest)> {
            let cell = |(builder, letter): &(&str, &str)| {
                let (runtime, cache) = match builder.strip_suffix('+') {
                    Some(runtime) => (runtime, CacheState::Warm),
                    None => (*builder, CacheState::Cold),
                };
                (Cell::usual("app", runtime, cache), Digest::of(letter.as_bytes()))
            };
            cells.iter().map(cell).collect()
        };
        let pairs = |cells: &[(&str, &str)]| -> Vec<[String; 2]> {
            let part = ("app".to_owned(), "linux/amd64".to_owned());
            let found = matrix.pairs(&part, false, &gave(cells), &BTreeMap::new());
            let letter = |side: &SideRecord| {
                let letters = ["a", "b", "c"].map(str::to_owned);
                letters.into_iter().find(|one| Digest::of(one.as_bytes()).to_string() == side.digest).unwrap()
            };
            found.iter().map(|pair| [letter(&pair.a.0), letter(&pair.b.0)]).collect()
        };
        // Of as many on each side the digest of the first cell, in whatever order they ended.
        for cells in [
            [("podman", "c"), ("docker", "b"), ("buildkitd", "a")],
            [("buildkitd", "b"), ("docker", "c"), ("podman", "a")],
        ] {
            let first = cells.iter().min().unwrap().1;
            assert!(
                pairs(&cells).len() == 2 && pairs(&cells).iter().all(|pair| pair[0] == first),
                "{:?}",
                pairs(&cells)
            );
        }
        // Copies of a cache are no majority.
        let cells = [("docker", "a"), ("docker+", "a"), ("podman", "b"), ("remote", "b"), ("buildkitd", "c")];
        assert_eq!(pairs(&cells), [["b", "c"], ["b", "a"]]);
        let copies = [("buildkitd", "b"), ("docker", "a"), ("docker+", "a")];
        assert_eq!(pairs(&copies), [["b", "a"]]);
    }
}
