//! `repro diff`: what differs between two images, on every level, and why.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are the help, where brackets mean that a part may be left out"
)]

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::files::{ComparisonFiles, ReportDirectory};
use super::format::ComparisonFormat;
use super::print_with;
use super::subject::Opened;
use crate::diff::{Comparison, Files, Ignore, Options, Plan, Source};
use crate::failure::{ExitStatus, Failure, chain};
use crate::image::{Image, ImageError, KnownLayers, Platform, ReadOptions, SharedLayers};
use crate::limits;
use crate::report::ci::{Case, code_quality, compared, junit, level_name};
use crate::report::diff::write_diff;
use crate::report::json::write_json;
use crate::report::sarif::sarif;
use crate::settings::{BuildSettings, RouteWords};

/// Arguments of `repro diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffCommand {
    /// The first image: an archive, a directory, `-` for standard input, or REGISTRY/NAME[:TAG][@DIGEST]
    ///
    /// Whatever `repro analyze` reads. Every byte of both images is checked before they are compared.
    #[arg(value_name = "A")]
    pub a: OsString,

    /// The second image, in the same words
    #[arg(value_name = "B")]
    pub b: OsString,

    /// Compare only the images for this platform
    #[arg(long, value_name = "OS/ARCHITECTURE[/VARIANT]")]
    pub platform: Option<Platform>,

    /// The Dockerfile that both were built from: each layer is told with its instruction and line
    #[arg(long, value_name = "FILE")]
    pub dockerfile: Option<PathBuf>,

    /// The stage of the Dockerfile that was built, where it is not the last
    #[arg(long, value_name = "STAGE", requires = "dockerfile")]
    pub target: Option<String>,

    /// What to print
    #[arg(long, value_enum, default_value_t, help_heading = "How it is said")]
    pub format: ComparisonFormat,

    #[command(flatten)]
    files: ComparisonFiles,

    #[command(flatten)]
    ignore: IgnoreWords,

    #[command(flatten)]
    pub(super) route: RouteWords,
}

/// What does not count, in diffoci's words.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "What does not count")]
struct IgnoreWords {
    /// All of the following
    #[arg(long)]
    semantic: bool,

    /// The times of files and the dates of the image
    #[arg(long)]
    ignore_timestamps: bool,

    /// The history in the config
    #[arg(long)]
    ignore_history: bool,

    /// The order of the entries of a layer
    #[arg(long)]
    ignore_file_order: bool,

    /// Bits of a file's mode that say its type once more
    #[arg(long)]
    ignore_file_mode_redundant_bits: bool,

    /// The times of files
    #[arg(long)]
    ignore_file_timestamps: bool,

    /// Dates in the config, its history and annotations
    #[arg(long)]
    ignore_image_timestamps: bool,

    /// Annotations that name the image
    #[arg(long)]
    ignore_image_name: bool,

    /// In which form of tar the entries are stored
    #[arg(long)]
    ignore_tar_format: bool,

    /// `./` and `/` in front of paths
    #[arg(long)]
    treat_canonical_paths_equal: bool,
}

impl IgnoreWords {
    const fn resolve(self) -> Ignore {
        if self.semantic {
            return Ignore::SEMANTIC;
        }
        Ignore {
            history: self.ignore_history,
            file_order: self.ignore_file_order,
            file_mode_redundant_bits: self.ignore_file_mode_redundant_bits,
            file_timestamps: self.ignore_file_timestamps || self.ignore_timestamps,
            image_timestamps: self.ignore_image_timestamps || self.ignore_timestamps,
            image_name: self.ignore_image_name,
            tar_format: self.ignore_tar_format,
            canonical_paths: self.treat_canonical_paths_equal,
        }
    }
}

impl DiffCommand {
    /// Compares the images and prints what differs.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        if self.a == "-" && self.b == "-" {
            return Err(Failure::usage(
                "only one of the two images can come from standard input",
                "give a file for the other",
            ));
        }
        let options = Options {
            platform: self.platform.clone(),
            ignore: self.ignore.resolve(),
            source: self.dockerfile.as_deref().map(|path| self.source(path)).transpose()?,
        };
        let mut directory = self.files.directory()?;
        let open = |word| Opened::open(word, &self.route, self.platform.as_ref());
        let (a, b) = (open(&self.a)?, open(&self.b)?);
        let sides = [(&a, self.a.as_os_str()), (&b, self.b.as_os_str())];
        let comparison = compare(sides, options, directory.as_mut())?.ok_or_else(|| self.nothing())?;
        self.files.write_page(&comparison)?;
        print_with(|out| match self.format {
            ComparisonFormat::Text => write_diff(out, &comparison),
            ComparisonFormat::Json => write_json(&comparison, out).map_err(io::Error::from),
            ComparisonFormat::Sarif => {
                let dockerfile = self.dockerfile.as_deref().map(|path| path.display().to_string());
                write_json(&sarif(Some(&comparison), &[], None, dockerfile.as_deref()), out).map_err(io::Error::from)
            }
            ComparisonFormat::Junit => {
                let case = Case { name: "both images are the same".to_owned(), end: compared(&comparison) };
                out.write_all(junit("repro diff", &[case]).as_bytes())
            }
            ComparisonFormat::Codequality => {
                let dockerfile = self.dockerfile.as_deref().map(|path| path.display().to_string());
                write_json(&code_quality(Some(&comparison), &[], None, dockerfile.as_deref()), out)
                    .map_err(io::Error::from)
            }
        })?;
        let verdict = if comparison.verdict.is_equal() { "equal" } else { "different" };
        self.files.write_dotenv(verdict, comparison.b.digest.as_ref(), Some(level_name(comparison.equal)))?;
        Ok(if comparison.verdict.is_equal() { ExitStatus::Success } else { ExitStatus::Different })
    }

    fn nothing(&self) -> Failure {
        let message = match &self.platform {
            Some(platform) => format!("neither has an image for `{platform}`"),
            None => "there is nothing to compare: neither holds an image".to_owned(),
        };
        let hint = "`repro analyze` shows which platforms there are".to_owned();
        Failure { status: ExitStatus::Unknown, message, hint: Some(hint) }
    }

    fn source(&self, path: &Path) -> Result<Source, Failure> {
        let shown = path.display().to_string();
        let unreadable = |error: io::Error| {
            Failure::usage(
                format!("cannot read the Dockerfile `{shown}`: {error}"),
                "look whether the path is spelt right",
            )
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(limits::DOCKERFILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        let source = Source::parse(&shown, &bytes, self.target.as_deref()).map_err(|error| {
            Failure::usage(
                format!("`{shown}` is not a Dockerfile: {error}"),
                "give the file that both images were built from",
            )
        })?;
        if !source.has_target() {
            let message = match &self.target {
                Some(target) => format!("`{shown}` has no stage `{target}`"),
                None => format!("`{shown}` has no stage at all"),
            };
            return Err(Failure::usage(message, "`--target` takes the name of a stage, or its number, counted from 0"));
        }
        Ok(source)
    }
}

/// Reads both images, checks all of them and compares them; nothing where neither holds one that was asked for. The words are
/// what the images are called.
pub(super) fn compare(
    [(a, name_a), (b, name_b)]: [(&Opened<'_>, &OsStr); 2],
    options: Options,
    directory: Option<&mut ReportDirectory>,
) -> Result<Option<Comparison>, Failure> {
    let (image_a, image_b) = if let Some(both) = load_both(a, b) {
        both
    } else {
        // One after the other, so that what is wrong is told in one way.
        let mut known = KnownLayers::default();
        let image_a = load(a, name_a, &known)?;
        known.learn(&image_a);
        (image_a, load(b, name_b, &known)?)
    };
    compare_loaded([(a, name_a, &image_a), (b, name_b, &image_b)], options, directory)
}

/// Reads two files at the same time, where both are sound.
fn load_both(a: &Opened<'_>, b: &Opened<'_>) -> Option<(Image, Image)> {
    let shared = SharedLayers::new();
    let read = |opened: &Opened<'_>| {
        let options = ReadOptions { shared: shared.clone(), partial: true, ..ReadOptions::default() };
        opened.load(options).ok()?.ok()
    };
    if a.reference().is_some() || b.reference().is_some() {
        return None;
    }
    std::thread::scope(|scope| {
        let first = scope.spawn(|| read(a));
        let second = read(b);
        first.join().ok()?.zip(second)
    })
}

/// The same for images that were read and checked before.
pub(super) fn compare_loaded(
    [(a, name_a, image_a), (b, name_b, image_b)]: [(&Opened<'_>, &OsStr, &Image); 2],
    options: Options,
    directory: Option<&mut ReportDirectory>,
) -> Result<Option<Comparison>, Failure> {
    let plan = Plan::new((name_a.as_bytes(), image_a), (name_b.as_bytes(), image_b), options);
    if plan.platforms() == 0 {
        return Ok(None);
    }
    let (wanted_a, wanted_b) = plan.wanted();
    let copies = (a.copy_blobs(wanted_a)?, b.copy_blobs(wanted_b)?);
    let files = directory.map(|directory| directory as &mut dyn Files);
    let walked = plan.walk((&copies.0, &copies.1), files).map_err(|error| Failure {
        status: ExitStatus::Unknown,
        message: chain(&error),
        hint: Some("it waits in temporary files: look at the free space there (`TMPDIR` says where)".to_owned()),
    });
    walked.map(Some)
}

/// Reads an image and checks all of it. What is broken is never compared.
pub(super) fn load(opened: &Opened<'_>, word: &OsStr, known: &KnownLayers) -> Result<Image, Failure> {
    load_with(opened, word, ReadOptions { known: known.clone(), partial: true, ..ReadOptions::default() })
}

/// The same, looking at what `options` say.
pub(super) fn load_with(opened: &Opened<'_>, word: &OsStr, options: ReadOptions) -> Result<Image, Failure> {
    let shown = word.to_string_lossy();
    opened.load(options)?.map_err(|error| match &error {
        ImageError::Open(_) | ImageError::Read { .. } | ImageError::Member { .. } => Failure {
            status: ExitStatus::Unknown,
            message: format!("`{shown}`: {}", chain(&error)),
            hint: Some("look whether the path is spelt right and may be read".to_owned()),
        },
        _ => Failure {
            status: ExitStatus::Corrupt,
            message: format!("`{shown}`: not a sound image: {}", chain(&error)),
            hint: Some("`repro analyze` tells all that is wrong with it; a broken image is not compared".to_owned()),
        },
    })
}

/// What a Dockerfile is called by whoever stands in a directory.
pub(super) fn shown_below(dockerfile: &Path, directory: &Path) -> String {
    dockerfile.strip_prefix(directory).unwrap_or(dockerfile).display().to_string()
}

/// The Dockerfile of a build, where it is one that can be read; another frontend's file tells no lines.
pub(super) fn dockerfile_of(settings: &BuildSettings, directory: &Path) -> Option<Source> {
    let shown = shown_below(&settings.dockerfile, directory);
    let source = Source::parse(&shown, &settings.dockerfile_bytes, settings.target.as_deref()).ok()?;
    source.has_target().then_some(source)
}
