//! Histories of a matrix, written with a few words.

use repro::digest::Digest;
use repro::matrix::cell::CacheState;
use repro::matrix::history::{
    CauseRecord, CellRecord, DifferenceRecord, EndRecord, ExpectedRecord, ImageRecord, Line, Outcome, RecheckRecord,
    RunRecord, SideRecord,
};
use repro::matrix::past::History;

/// The digest that a letter stands for.
pub fn digest(letter: &str) -> Digest {
    Digest::of(letter.as_bytes())
}

/// The commit that a text stands for.
pub fn commit(text: &str) -> String {
    digest(text).hex()[..40].to_owned()
}

/// An image of commit `1`, whose files are those of it.
pub fn image(name: &str) -> ImageRecord {
    ImageRecord {
        name: name.to_owned(),
        context: format!("images/{name}"),
        commit: Some(commit("1")),
        clean: true,
        ..ImageRecord::default()
    }
}

/// The same image with one thing that is other.
pub fn with(mut image: ImageRecord, change: impl FnOnce(&mut ImageRecord)) -> ImageRecord {
    change(&mut image);
    image
}

pub fn expected(digest: &Digest) -> ExpectedRecord {
    ExpectedRecord { digest: digest.to_string(), ..ExpectedRecord::default() }
}

pub fn cause(id: &str, line: usize) -> CauseRecord {
    CauseRecord {
        id: id.to_owned(),
        what: format!("what {id} is"),
        fix: Some(format!("how {id} goes away")),
        line: Some(line),
        consequence: false,
    }
}

/// A history that is being written.
#[derive(Default)]
pub struct Past {
    cells: usize,
    text: String,
    runs: usize,
}

/// A run of it. Its cells are of the image `app` where nothing else is said.
pub struct Night<'a> {
    past: &'a mut Past,
    id: String,
    image: String,
}

impl Past {
    /// Each of its runs is asked for so many cells.
    pub fn asked_for(cells: usize) -> Self {
        Self { cells, ..Self::default() }
    }

    fn add(&mut self, line: &Line<'_>) {
        self.text.push_str(&serde_json::to_string(line).unwrap());
        self.text.push('\n');
    }

    pub fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Runs are `run-1`, `run-2`, …, a day after one another.
    pub fn run(&mut self, images: &[ImageRecord]) -> Night<'_> {
        self.start(images, None)
    }

    pub fn recheck(&mut self, of: &str, images: &[ImageRecord]) -> Night<'_> {
        let recheck =
            RecheckRecord { of: of.to_owned(), time: "2026-01-01T00:00:00Z".to_owned(), age: "1 week".to_owned() };
        self.start(images, Some(recheck))
    }

    fn start(&mut self, images: &[ImageRecord], recheck: Option<RecheckRecord>) -> Night<'_> {
        self.runs += 1;
        let id = format!("run-{}", self.runs);
        self.add(&Line::of_run(RunRecord {
            id: id.clone(),
            time: format!(
                "{}-{:02}-{:02}T01:00:00Z",
                2026 + self.runs / 336,
                1 + self.runs / 28 % 12,
                1 + self.runs % 28
            ),
            program: "0.1.0".to_owned(),
            cells: self.cells,
            images: images.to_vec(),
            recheck,
            ..RunRecord::default()
        }));
        Night { past: self, id, image: "app".to_owned() }
    }

    /// A part of a run, which is begun with something other in its line.
    pub fn part(&mut self, id: &str, images: &[ImageRecord], change: impl FnOnce(&mut serde_json::Value)) -> Night<'_> {
        let record = RunRecord {
            id: id.to_owned(),
            time: "2027-01-01T01:00:00Z".to_owned(),
            program: "0.1.0".to_owned(),
            cells: self.cells,
            images: images.to_vec(),
            ..RunRecord::default()
        };
        let mut line = serde_json::to_value(Line::of_run(record)).unwrap();
        change(&mut line["run"]);
        self.raw(&format!("{line}\n"));
        Night { past: self, id: id.to_owned(), image: "app".to_owned() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn history(&self) -> History {
        History::parse(self.text.as_bytes())
    }
}

impl Night<'_> {
    /// The cells that follow are of this image.
    pub fn of(mut self, image: &str) -> Self {
        image.clone_into(&mut self.image);
        self
    }

    /// The record of a cell that was built by a runtime on v0.19.0.
    pub fn record<'b>(&'b self, runtime: &'b str, digest: Option<Digest>) -> CellRecord<'b> {
        CellRecord {
            run: self.id.as_str().into(),
            image: self.image.as_str().into(),
            platform: "linux/amd64".into(),
            buildkit: "v0.19.0".into(),
            runtime: runtime.into(),
            rootless: false,
            cache: CacheState::Cold,
            address: None,
            time: "2026-01-01T02:00:00Z".into(),
            seconds: 1.5,
            result: if digest.is_some() { Outcome::Built } else { Outcome::Failed },
            digest,
            materials: Vec::new(),
            unproved: false,
            at: None,
            tries: Vec::new(),
            why: None,
        }
    }

    /// A cell that was built, with something other than [`Self::record`] says.
    pub fn built_with(self, runtime: &str, letter: &str, change: impl FnOnce(&mut CellRecord<'_>)) -> Self {
        let mut record = self.record(runtime, Some(digest(letter)));
        change(&mut record);
        let text = serde_json::to_string(&Line::of_cell(record)).unwrap();
        self.past.text.push_str(&text);
        self.past.text.push('\n');
        self
    }

    pub fn warm(self, runtime: &str, letter: &str) -> Self {
        self.built_with(runtime, letter, |record| record.cache = CacheState::Warm)
    }

    /// A cell that a daemon of a fleet built.
    pub fn remote(self, at: Option<&str>, letter: &str) -> Self {
        self.built_with("remote", letter, |record| {
            record.cache = CacheState::Warm;
            record.at = at.map(|at| at.to_owned().into());
        })
    }

    pub fn built(self, runtime: &str, letter: &str) -> Self {
        self.built_with(runtime, letter, |_| {})
    }

    /// A cell that was built from these.
    pub fn from(self, runtime: &str, letter: &str, materials: &[&str]) -> Self {
        self.built_with(runtime, letter, |record| {
            record.materials = materials.iter().map(|material| (*material).to_owned()).collect();
        })
    }

    /// A cell without a digest.
    pub fn ended(self, runtime: &str, result: Outcome, why: &str) -> Self {
        let mut record = self.record(runtime, None);
        record.result = result;
        record.why = Some(why.into());
        let text = serde_json::to_string(&Line::of_cell(record)).unwrap();
        self.past.text.push_str(&text);
        self.past.text.push('\n');
        self
    }

    /// Two digests were compared.
    pub fn differ(self, a: (&str, &str), b: (&str, &str), causes: Vec<CauseRecord>) -> Self {
        let side = |(buildkit, letter): (&str, &str)| SideRecord {
            buildkit: buildkit.to_owned(),
            digest: digest(letter).to_string(),
        };
        let line = Line::of_difference(DifferenceRecord {
            run: self.id.clone(),
            image: self.image.clone(),
            platform: "linux/amd64".to_owned(),
            a: side(a),
            b: side(b),
            causes,
            ..DifferenceRecord::default()
        });
        self.past.add(&line);
        self
    }

    /// The run is over.
    pub fn end(self) {
        let line = Line::of_end(EndRecord { run: self.id.clone(), time: "2026-01-01T03:00:00Z".to_owned() });
        self.past.add(&line);
    }
}
