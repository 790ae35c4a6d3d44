//! What kind of step made a layer: whether it can make other bytes from the same inputs at all.

use crate::diff::model::Instruction;

/// A step, as far as causes ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Commands, which see clocks, random numbers and networks.
    Run,
    /// Files of the context, as they are.
    Context,
    /// Files of another stage or image, by its name.
    Stage(&'a str),
    /// A file from a server or a repository, by its address; whether a checksum stands beside it.
    Remote {
        /// Whether what comes is held against a checksum.
        is_checked: bool,
    },
    /// Files of the context or of another stage: the history does not say which.
    Copied,
    /// An empty directory.
    Workdir,
    /// The base.
    From,
    /// Not known.
    Unknown,
}

impl<'a> Step<'a> {
    /// Reads an instruction.
    #[must_use]
    pub fn of(instruction: Option<&'a Instruction>) -> Self {
        let Some(instruction) = instruction else { return Self::Unknown };
        let Some(text) = instruction.text.as_str() else { return Self::Unknown };
        let mut words = text.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default();
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        if is("run") || text.starts_with("/bin/sh -c ") || text.starts_with('|') {
            return Self::Run;
        }
        if is("workdir") {
            return Self::Workdir;
        }
        if is("from") {
            return Self::From;
        }
        if !is("copy") && !is("add") {
            return Self::Unknown;
        }
        let flags = words.clone().take_while(|word| word.starts_with("--"));
        let flag = |name: &str| flags.clone().find_map(|word| word.strip_prefix(name));
        if let Some(stage) = flag("--from=") {
            return Self::Stage(stage);
        }
        let mut sources = words.skip_while(|word| word.starts_with("--"));
        if is("add") && sources.any(is_remote) {
            return Self::Remote { is_checked: flag("--checksum=").is_some() };
        }
        if instruction.file.is_some() || is("add") { Self::Context } else { Self::Copied }
    }

    /// Whether the step takes files from outside of the build, or may do so.
    #[must_use]
    pub const fn is_input(self) -> bool {
        matches!(self, Self::Context | Self::Remote { .. } | Self::Copied | Self::Stage(_))
    }

    /// Whether the step runs commands: there the umask is always the builder's.
    #[must_use]
    pub const fn is_run(self) -> bool {
        matches!(self, Self::Run)
    }

    /// Whether the step does nothing but carry files from the context or from a server: what differs then differed before.
    #[must_use]
    pub const fn only_carries(self) -> bool {
        matches!(self, Self::Context | Self::Remote { .. })
    }
}

/// Whether a source of ADD is not in the context. A variable may hold anything; those that are called so are addresses.
fn is_remote(word: &str) -> bool {
    let word = word.trim_start_matches(['[', '"', ',']);
    let is_named_so = word.strip_prefix('$').is_some_and(|rest| {
        let name = rest.trim_start_matches('{').split(['}', '/', ':']).next().unwrap_or_default().to_ascii_lowercase();
        ["url", "server", "host", "mirror", "repo", "registry", "site"].iter().any(|part| name.contains(part))
    });
    ["http://", "https://", "git@", "git://", "ssh://", "ftp://"].iter().any(|start| word.starts_with(start))
        || is_named_so
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::model::Text;

    fn instruction(text: &str, is_from_dockerfile: bool) -> Instruction {
        Instruction {
            file: is_from_dockerfile.then(|| Text::from("Dockerfile")),
            first_line: None,
            last_line: None,
            text: Text::from(text),
        }
    }

    #[test]
    fn steps_are_told_apart() {
        for (text, in_file, step) in [
            ("RUN date", true, Step::Run),
            ("|1 A=b /bin/sh -c date", false, Step::Run),
            ("RUN /bin/sh -c date # buildkit", false, Step::Run),
            ("COPY a /a", true, Step::Context),
            ("COPY a /a # buildkit", false, Step::Copied),
            ("copy --chmod=755 --from=build /a /a", true, Step::Stage("build")),
            ("ADD https://example.org/a /a", true, Step::Remote { is_checked: false }),
            ("ADD --checksum=sha256:00 https://example.org/a /a", true, Step::Remote { is_checked: true }),
            ("ADD $SERVER/a /a", true, Step::Remote { is_checked: false }),
            ("ADD app.tar /a", true, Step::Context),
            ("WORKDIR /a", true, Step::Workdir),
            ("bazel build ...", false, Step::Unknown),
        ] {
            assert_eq!(Step::of(Some(&instruction(text, in_file))), step, "{text}");
        }
        assert_eq!(Step::of(None), Step::Unknown);
    }
}
