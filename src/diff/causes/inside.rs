//! What was found inside of archives and programs.

use super::Place;
use super::words::Word;
use crate::diff::content::{Content, Format};
use crate::diff::model::{Difference, Kind, Text};

/// An archive of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    Zip,
    Tar,
    Ar,
}

/// What the content is an archive of, below gzip or not.
#[must_use]
pub fn archive(content: &Content) -> Option<Archive> {
    match content.format {
        Format::Zip => Some(Archive::Zip),
        Format::Tar => Some(Archive::Tar),
        Format::Ar => Some(Archive::Ar),
        Format::Gzip if is_named(inside(content)?, "tar") => Some(Archive::Tar),
        _ => None,
    }
}

/// The part that says what is below gzip.
fn inside(content: &Content) -> Option<&Difference> {
    content.parts.iter().find(|part| part.kind == Kind::Content && is_at(part, "inside"))
}

fn is_named(part: &Difference, name: &str) -> bool {
    part.a.as_ref().and_then(Text::as_str) == Some(name)
}

/// Whether a part is at this place.
#[must_use]
pub fn is_at(part: &Difference, place: &str) -> bool {
    part.place.as_ref().is_some_and(|found| found.bytes == place.as_bytes())
}

/// Whether something differs at this place.
#[must_use]
pub fn has(content: &Content, place: &str) -> bool {
    content.parts.iter().any(|part| is_at(part, place))
}

/// Whether the parts are only of these kinds, and contents of members that are texts with nothing but moving words in them.
#[must_use]
pub fn is_only(place: &Place<'_>, content: &Content, kinds: &[Kind]) -> bool {
    let is_header = |part: &Difference| is_at(part, "gzip mtime") || is_at(part, "inside");
    let others = content.parts.iter().filter(|part| !kinds.contains(&part.kind) && !is_header(part));
    let (contents, others): (Vec<_>, Vec<_>) = others.partition(|part| part.kind == Kind::Content);
    let is_known = |kind: &Kind| kinds.contains(kind) || *kind == Kind::Content;
    let contents = contents.len() as u64 + content.more_kinds.get(&Kind::Content).copied().unwrap_or_default();
    content.more_kinds.keys().all(is_known)
        && others.is_empty()
        && (contents == 0 || contents == texts(content) as u64 && words_known(place))
}

/// How many texts the lines are of.
fn texts(content: &Content) -> usize {
    let headings =
        content.lines.iter().filter(|line| line.bytes.starts_with(b"in ") && line.bytes.ends_with(b":")).count();
    headings.max(usize::from(!content.lines.is_empty()))
}

fn words_known(place: &Place<'_>) -> bool {
    place.lines().is_some_and(|lines| {
        lines.single == 0 && !lines.pairs.is_empty() && lines.pairs.iter().all(super::lines::Pair::is_known)
    })
}

/// Whether moving words are all by which two contents differ, whatever their format.
#[must_use]
pub fn all_words_known(place: &Place<'_>) -> bool {
    let Some(content) = place.content() else { return words_known(place) };
    words_known(place)
        && match content.format {
            Format::Binary => content.is_only_texts,
            Format::Elf => !changes_code(content),
            Format::Zip | Format::Tar | Format::Ar | Format::Gzip => {
                is_only(place, content, &[Kind::Mtime, Kind::Record])
            }
            Format::Sqlite | Format::Pyc => false,
            _ => true,
        }
}

/// Whether sections differ in a program that hold more than texts and what follows from them.
#[must_use]
pub fn changes_code(content: &Content) -> bool {
    const HARMLESS: [&str; 10] = [
        ".rodata",
        ".note",
        ".comment",
        ".debug",
        ".zdebug",
        ".strtab",
        ".symtab",
        ".gnu_debuglink",
        ".go.buildinfo",
        ".data.rel.ro",
    ];
    let name = |part: &Difference| -> Option<String> {
        part.place.as_ref().and_then(Text::as_str)?.strip_prefix("section ").map(str::to_owned)
    };
    let is_harmless = |name: String| HARMLESS.iter().any(|start| name.starts_with(start));
    content.more > 0 || content.parts.iter().filter_map(name).any(|name| !is_harmless(name))
}

/// Whether the file is a program, and has a text in which a word of this kind moved.
#[must_use]
pub fn program_with(place: &Place<'_>, kinds: &[Word]) -> bool {
    let is_program = place.content().is_some_and(|content| content.format == Format::Elf);
    is_program && place.lines().is_some_and(|lines| kinds.iter().any(|kind| lines.has(*kind)))
}

/// Whether a file of a format holds texts that a compiler put there.
#[must_use]
pub const fn is_program(format: Format) -> bool {
    matches!(format, Format::Elf | Format::Pyc | Format::Binary | Format::Ar)
}
