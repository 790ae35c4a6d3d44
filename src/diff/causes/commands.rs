//! What the commands of a RUN say of a file.

/// The commands of a RUN, apart where a shell would start the next one; what a pipe joins stays together.
pub(super) fn statements(text: &str) -> impl Iterator<Item = &str> {
    text.split("&&").flat_map(|part| part.split("||")).flat_map(|part| part.split([';', '\n']))
}

/// Whether a command has this name as a word, or as a part of a path or address.
#[must_use]
pub(super) fn names(statement: &str, name: &str) -> bool {
    statement.split(|c: char| c.is_whitespace() || "/'\"=()<>[],".contains(c)).any(|word| word == name)
}
