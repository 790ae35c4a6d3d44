//! What a run may be of, and where it may write.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::cli::config::unknown;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::image::escape::escape;
use crate::matrix::attempt::Program;
use crate::matrix::cell::Cell;
use crate::matrix::file::Matrix;
use crate::matrix::history::Line;
use crate::matrix::past::{Run, next_line};
use crate::matrix::source::Source;
use crate::plan::own_ignore_file;

/// What the images of cells are built from.
pub fn look(matrix: &Matrix, cells: &[Cell]) -> BTreeMap<String, Source> {
    let environment = Program::environment(&Environment::of_this_process());
    let wanted: BTreeSet<&str> = cells.iter().map(|cell| cell.image.as_str()).collect();
    let images = matrix.images.iter().filter(|image| wanted.contains(image.name.as_str()));
    images.map(|image| (image.name.clone(), Source::look(matrix, image, &environment))).collect()
}

/// The names of the cells that a run was asked for, where all of its beginnings say them.
pub fn planned_of(history: &Path, run: &str) -> Option<BTreeSet<String>> {
    let mut input = BufReader::new(File::open(history).ok()?);
    let (mut names, mut line) = (BTreeSet::new(), Vec::new());
    while next_line(&mut input, &mut line).ok()? {
        if let Ok(Line { run: Some(record), .. }) = serde_json::from_slice::<Line<'_>>(&line)
            && record.id == run
            && record.cells > 0
        {
            if record.planned.is_empty() {
                return None;
            }
            names.extend(record.planned);
        }
        line.clear();
    }
    Some(names)
}

/// Cells of one run are held against each other: they have to be of one source.
pub fn refuse_another(known: &Run, sources: &BTreeMap<String, Source>) -> Result<(), Failure> {
    for before in &known.record.images {
        let Some(Source { record: now, .. }) = sources.get(&before.name) else { continue };
        let differs = [
            ("commit", now.commit != before.commit),
            ("state: files that no commit holds", now.clean != before.clean),
            ("epoch", now.epoch != before.epoch),
            ("options", now.flags != before.flags || now.context != before.context),
            ("directory of the repository", now.directory != before.directory),
            ("expected digest", now.expected != before.expected || now.everywhere != before.everywhere),
        ];
        if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
            let (name, run) = (&before.name, escape(&known.record.id));
            let message = format!("`{name}` is not what run {run} builds: it has another {what}");
            return Err(Failure::usage(message, "begin a new run: leave `--resume` out, or give `--run` another name"));
        }
    }
    Ok(())
}

/// A daemon that goes by two names would agree with itself.
pub fn refuse_one_daemon_twice(matrix: &Matrix, cells: &[Cell]) -> Result<(), Failure> {
    matrix.find_one_daemon_twice(cells).map_or(Ok(()), |[one, other]| {
        let message = format!("`{one}` and `{other}` are one daemon, which would agree with itself");
        Err(Failure::usage(message, "name each daemon once"))
    })
}

/// A history that grows in a context is another context for each cell.
pub fn check_places(paths: &[Option<&PathBuf>], sources: &BTreeMap<String, Source>) -> Result<(), Failure> {
    for path in paths.iter().copied().flatten() {
        let place = std::path::absolute(path).map_err(|error| unknown("the working directory", &error))?;
        // Its directory may be a link, and may not be there yet.
        let place = match (place.parent().and_then(|parent| parent.canonicalize().ok()), place.file_name()) {
            (Some(parent), Some(name)) => parent.join(name),
            _ => place,
        };
        if let Some((name, _)) = sources.iter().find(|(_, source)| is_read(source, &place)) {
            let path = path.display();
            let message = format!("`{path}` lies in the context of `{name}`, which would be another one for each cell");
            let hint =
                "name another place with `--history` and `--keep`, or add its name to the context's `.dockerignore`";
            return Err(Failure::usage(message, hint));
        }
    }
    Ok(())
}

/// Whether a file, or what is in a directory, may be read by a build: it lies in a context, and no line of the ignore file is just
/// its name or that of a directory around it.
fn is_read(source: &Source, place: &Path) -> bool {
    let Some(context) = source.reads.iter().find(|context| place.starts_with(context)) else { return false };
    let Ok(inside) = place.strip_prefix(context) else { return false };
    let of_dockerfile = source.dockerfile.as_ref().ok().map(|(dockerfile, _)| own_ignore_file(dockerfile));
    let ignore = of_dockerfile.filter(|path| path.exists()).unwrap_or_else(|| context.join(".dockerignore"));
    let ignored = fs::read_to_string(ignore).unwrap_or_default();
    let lines = ignored.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let names =
        |line: &str| inside.ancestors().any(|part| part == Path::new(line.trim_matches('/')) && part != Path::new(""));
    lines.clone().any(|line| line.starts_with('!')) || !lines.into_iter().any(names)
}
