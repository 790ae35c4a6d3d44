//! The dry run: steps as one POSIX shell script that does what a run would do.
//!
//! The steps are made for a private directory that does not exist ([`Placeholder`]); wherever its path or its unique part
//! stands in a word, the script puts the variable of the directory that it makes itself.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::command::ToolCommand;
use super::steps::{Builder, ContainerProof, RemoteBuilder, Step, Steps};

/// A word quoted for a POSIX shell.
#[must_use]
pub fn quote(word: &OsStr) -> Vec<u8> {
    // An argument holds no NUL: the kernel would not have handed it to us.
    shlex::bytes::try_quote(word.as_bytes()).map_or_else(|_| b"''".to_vec(), std::borrow::Cow::into_owned)
}

/// Stands for the private directory of a run that is only written down.
#[derive(Debug, Clone)]
pub struct Placeholder {
    directory: PathBuf,
    unique: String,
}

impl Placeholder {
    /// A placeholder that cannot stand in anything of the user's: `random` is new in every run.
    #[must_use]
    pub fn new(random: &str) -> Self {
        let unique = format!("UNIQUE{random}EUQINU");
        Self { directory: PathBuf::from(format!("/PRIVATE{random}/repro.{unique}")), unique }
    }

    /// The path that stands for the private directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The text that stands for its unique part.
    #[must_use]
    pub fn unique(&self) -> &str {
        &self.unique
    }

    /// One word, with variables where the placeholder stood.
    fn word(&self, word: &OsStr) -> Vec<u8> {
        let mut rest = word.as_bytes();
        let mut out = Vec::new();
        loop {
            let directory = find(rest, self.directory.as_os_str().as_bytes());
            let unique = find(rest, self.unique.as_bytes());
            let (at, length, variable) = match (directory, unique) {
                (Some(at), _) if unique.is_none_or(|other| at <= other) => {
                    (at, self.directory.as_os_str().len(), b"\"$private\"".as_slice())
                }
                (_, Some(at)) => (at, self.unique.len(), b"\"$unique\"".as_slice()),
                _ => break,
            };
            if at > 0 {
                out.extend(quote(OsStr::from_bytes(&rest[..at])));
            }
            out.extend_from_slice(variable);
            rest = &rest[at + length..];
        }
        if !rest.is_empty() || out.is_empty() {
            out.extend(quote(OsStr::from_bytes(rest)));
        }
        out
    }

    fn stands_in(&self, bytes: &[u8]) -> bool {
        find(bytes, self.unique.as_bytes()).is_some()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// What the script does with the archive and the metadata.
pub struct Destination<'a> {
    /// The archive, or `None` for stdout.
    pub archive: Option<&'a Path>,
    /// Whether the archive's directory lies in the context, where its times are bytes of the image.
    pub in_context: bool,
    /// The directories that the build reads, which must not hold the private directory.
    pub read: &'a [&'a Path],
    /// Lines of comment at the top.
    pub comments: &'a [String],
    /// How the script calls this very program.
    pub program: &'a Path,
}

/// The script of a build.
#[must_use]
pub fn render_script(steps: &Steps, placeholder: &Placeholder, destination: &Destination<'_>) -> Vec<u8> {
    let mut script = Script { text: Vec::new(), placeholder, program: destination.program };
    script.line(b"#!/bin/sh");
    for comment in destination.comments {
        script.line(format!("# {}", comment.replace(char::is_control, " ")).as_bytes());
    }
    script.text.extend_from_slice(include_str!("prelude.sh").as_bytes());
    script.leave(steps);
    for directory in destination.read {
        script.refuse_in_context(directory);
    }
    if let Some(lock) = &steps.lock {
        script.lock(&lock.path);
    }
    for step in &steps.prepare {
        script.step(step);
    }
    if steps.lock.as_ref().is_some_and(|lock| lock.only_to_prepare) {
        script.line(b"exec 9>&-");
    }
    let target = destination.archive.map(|archive| quote(archive.as_os_str()));
    if let (Some(archive), Some(target)) = (destination.archive, &target) {
        let directory = quote(archive.parent().unwrap_or(Path::new("/")).as_os_str());
        script.line(&[b"directory=".as_slice(), &directory].concat());
        script.line(b"(umask \"$mask\" && mkdir -p -- \"$directory\")");
        if destination.in_context {
            script.line(b"# The times of a directory in the context are bytes of the image: they are put back.");
            script.line(b"touch -r \"$directory\" -- \"$private/times\"");
        }
        // The old archive goes first: were it to stay, a failed build would leave it looking new.
        script.line(&[b"rm -f -- ".as_slice(), target].concat());
        script.put_times_back(destination);
    }
    for step in &steps.copy {
        script.step(step);
    }
    for query in &steps.beside {
        let ask = script.command(&query.command);
        script.line(&[&ask, b" > ".as_slice(), &placeholder.word(query.stdout.as_os_str()), b" &"].concat());
    }
    script.solve(steps, target.is_some());
    if !steps.beside.is_empty() {
        script.line(b"wait");
    }
    for step in &steps.finish {
        script.step(step);
    }
    if let Some(target) = &target {
        script.line(b"chmod \"$mode\" \"$private/image.tar\"");
        script.line(b"give \"$directory\"");
        script.line(&[b"mv -- \"$private/image.tar\" ".as_slice(), target].concat());
        script.put_times_back(destination);
        script.line(b"# A run checks every byte while it streams, and that nothing in the image is what a cache had kept from before the");
        script
            .line(b"# epoch or of another base (with --no-cache nothing can be). The bytes can be checked afterwards:");
        let program = quote(destination.program.as_os_str());
        script.line(&[b"#   ".as_slice(), &program, b" analyze ", target].concat());
    }
    script.text
}

struct Script<'a> {
    text: Vec<u8>,
    placeholder: &'a Placeholder,
    program: &'a Path,
}

impl Script<'_> {
    fn line(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
    }

    fn command(&self, command: &ToolCommand) -> Vec<u8> {
        let mut text = b"env -i".to_vec();
        for name in &command.keep {
            // By reference: the script says which variable is handed on, never what is in it.
            text.extend_from_slice(format!(" ${{{name}+\"{name}=${name}\"}}").as_bytes());
        }
        for (name, value) in &command.set {
            text.extend_from_slice(format!(" {name}=").as_bytes());
            text.extend(self.word(command, value));
        }
        for word in std::iter::once(&command.program).chain(&command.args) {
            text.push(b' ');
            text.extend(self.word(command, word));
        }
        text
    }

    /// The solve, which may need secrets. As arguments of `env` everybody could see them, and they would stand in logs of what
    /// was run: a shell in front reads them from a here-document instead.
    fn solve(&mut self, steps: &Steps, to_file: bool) {
        let mut redirection = if to_file { b" > \"$private/image.tar\"".to_vec() } else { Vec::new() };
        let mut otherwise = Vec::new();
        if let Some(log) = &steps.solve_log {
            let log = self.placeholder.word(log.as_os_str());
            redirection.extend([b" 2> ".as_slice(), &log].concat());
            otherwise = [b" || { status=$?; cat ".as_slice(), &log, b" >&2; exit \"$status\"; }"].concat();
        }
        self.solve_command(&steps.solve, &redirection, &otherwise);
    }

    fn solve_command(&mut self, command: &ToolCommand, redirection: &[u8], otherwise: &[u8]) {
        if command.secret.is_empty() {
            return self.line(&[&self.command(command), redirection, otherwise].concat());
        }
        let mut read = "_secrets=$(cat <&3)\n".to_owned();
        let mut values = String::new();
        for name in &command.secret {
            self.line(format!(": \"${{{name}?is not set}}\"").as_bytes());
            let take = format!("{name}=${{_secrets%%\"$1\"*}}\n_secrets=${{_secrets#*\"$1\"}}\nexport {name}\n");
            read.push_str(&take);
            values.extend(["${", name, "}${unique}"]);
        }
        read.push_str("shift\nexec \"$@\" 3<&-");
        let mut shell = command.clone();
        let arguments = std::mem::take(&mut shell.args);
        let shell = ToolCommand { program: "sh".into(), ..shell }
            .args(["-c", read.as_str(), "sh", self.placeholder.unique()])
            .arg(command.program.clone())
            .args(arguments);
        self.line(&[&self.command(&shell), redirection, b" 3<<SECRETS", otherwise].concat());
        self.line(values.as_bytes());
        self.line(b"SECRETS");
    }

    /// A run looks for another directory then; the script only knows the one that TMPDIR names.
    fn refuse_in_context(&mut self, context: &Path) {
        let mut pattern = quote(context.as_os_str());
        if !pattern.ends_with(b"/") {
            pattern.push(b'/');
        }
        self.line(b"case $(cd -- \"$private\" && pwd -P)/ in");
        self.line(
            &[
                &pattern,
                b"*) fail \"TMPDIR lies in the build context: set it to a directory outside of it\" ;;".as_slice(),
            ]
            .concat(),
        );
        self.line(b"esac");
    }

    /// One word of a command; what is hidden is taken from a variable of whoever runs the script.
    fn word(&self, command: &ToolCommand, word: &OsStr) -> Vec<u8> {
        let Some(hidden) = &command.hidden else { return self.placeholder.word(word) };
        let name = hidden.variable();
        let reference = format!("\"${{{name}:?is not set: it is left out of this script for its password}}\"");
        let pieces = hidden.pieces(word);
        if let [whole] = pieces.as_slice() {
            return self.placeholder.word(whole);
        }
        let quoted =
            pieces.iter().map(|piece| if piece.is_empty() { Vec::new() } else { self.placeholder.word(piece) });
        quoted.collect::<Vec<_>>().join(reference.as_bytes())
    }

    fn put_times_back(&mut self, destination: &Destination<'_>) {
        if destination.in_context {
            self.line(b"touch -r \"$private/times\" -- \"$directory\"");
        }
    }

    fn lock(&mut self, path: &Path) {
        let path = self.placeholder.word(path.as_os_str());
        let directory = [b"\"$(dirname -- ".as_slice(), &path, b")\""].concat();
        self.line(b"# Two builds at once must not have the same state.");
        self.line(&[b"mkdir -p -m 700 -- ".as_slice(), &directory].concat());
        self.line(&[b"exec 9>> ".as_slice(), &path].concat());
        self.line(b"if command -v flock >/dev/null; then flock 9; fi");
    }

    fn leave(&mut self, steps: &Steps) {
        self.line(b"leave() {");
        self.line(b"\tstatus=$?");
        self.line(b"\ttrap - EXIT; trap '' INT TERM HUP");
        for command in &steps.cleanup {
            let line = self.command(command);
            self.line(&[b"\t".as_slice(), &line, b" >/dev/null 2>&1"].concat());
        }
        if !steps.abort.is_empty() {
            self.line(b"\tif [ \"$status\" -ne 0 ]; then");
            for command in &steps.abort {
                let line = self.command(command);
                self.line(&[b"\t\t".as_slice(), &line, b" >/dev/null 2>&1"].concat());
            }
            self.line(b"\tfi");
        }
        self.line(b"\trm -rf -- \"$private\"");
        self.line(b"\texit \"$status\"");
        self.line(b"}");
        self.line(b"trap leave EXIT");
    }

    fn step(&mut self, step: &Step) {
        let word = |path: &Path| self.placeholder.word(path.as_os_str());
        match step {
            Step::Directory(path) => self.line(&[b"mkdir -p -m 700 -- ".as_slice(), &word(path)].concat()),
            Step::Link { path, target } => {
                let line = [b"ln -s -- ".as_slice(), &word(target), b" ", &word(path)].concat();
                self.line(&line);
            }
            Step::File { path, contents } => self.file(path, contents),
            Step::DockerConfig { path, registries, credentials_only } => {
                let mut line = quote(self.program.as_os_str());
                line.extend_from_slice(b" builder docker-config");
                if *credentials_only {
                    line.extend_from_slice(b" --credentials-only");
                }
                for registry in registries {
                    line.extend_from_slice(b" --registry ");
                    line.extend(quote(OsStr::new(registry)));
                }
                self.line(b"# Credentials are taken from your own configuration; they never stand in this script.");
                self.line(&[&line, b" > ".as_slice(), &word(path)].concat());
            }
            Step::Command(command) => {
                let command = self.command(command);
                self.line(&command);
            }
            Step::Ensure { probe, otherwise } => {
                let (probe, otherwise) = (self.command(probe), self.command(otherwise));
                self.line(&[&probe, b" >/dev/null 2>&1 || ".as_slice(), &otherwise, b" >/dev/null"].concat());
            }
            Step::Ask(query) => {
                let command = self.command(&query.command);
                self.line(&[&command, b" > ".as_slice(), &word(&query.stdout), b" || :"].concat());
            }
            Step::Builder(builder) => self.builder(builder),
            Step::Remote(remote) => self.remote(remote),
            Step::ProveContainer(proof) => self.prove(proof),
        }
    }

    fn file(&mut self, path: &Path, contents: &[u8]) {
        let path = self.placeholder.word(path.as_os_str());
        if contents.is_empty() {
            return self.line(&[b": > ".as_slice(), &path].concat());
        }
        let substituted = self.placeholder.stands_in(contents);
        let reader: Vec<u8> = if substituted {
            let directory = self.placeholder.directory.as_os_str().as_bytes();
            [b"sed \"s|".as_slice(), directory, b"|$private|g; s|", self.placeholder.unique.as_bytes(), b"|$unique|g\""]
                .concat()
        } else {
            b"cat".to_vec()
        };
        let mut end = "END".to_owned();
        while find(contents, end.as_bytes()).is_some() {
            end.push('_');
        }
        self.line(&[&reader, b" > ".as_slice(), &path, b" <<'", end.as_bytes(), b"'"].concat());
        self.text.extend_from_slice(contents);
        if !contents.ends_with(b"\n") {
            self.text.push(b'\n');
        }
        self.line(end.as_bytes());
    }

    fn remote(&mut self, remote: &RemoteBuilder) {
        let (create, inspect) = (self.command(&remote.create), self.command(&remote.inspect));
        let answer = self.placeholder.word(remote.answer.as_os_str());
        self.line(&[&create, b" >/dev/null".as_slice()].concat());
        self.line(b"# It proves its version, and nothing else.");
        self.line(&[&inspect, b" > ".as_slice(), &answer].concat());
        let running = [b"grep -q '^Status: *running$' ".as_slice(), &answer, b" || "].concat();
        let explain = [b"{ ".as_slice(), &self.command(&remote.explain), b" >/dev/null || :; "].concat();
        self.line(&[&running, explain.as_slice(), b"fail \"the BuildKit does not answer\"; }"].concat());
        let (pattern, expected) = match remote.version {
            Some(version) => (version.to_string().replace('.', "[.]"), version.to_string()),
            None => ("v[0-9]*[.][0-9]*[.][0-9]*".to_owned(), "a release".to_owned()),
        };
        let right = format!("grep -q '^BuildKit version: *{pattern}$' ").into_bytes();
        let wrong = format!(" || fail \"the BuildKit is not {expected}\"").into_bytes();
        self.line(&[right, answer, wrong].concat());
    }

    fn builder(&mut self, builder: &Builder) {
        let (inspect, create) = (self.command(&builder.inspect), self.command(&builder.create));
        let start = [&self.command(&builder.start), b" >/dev/null".as_slice()].concat();
        let create = [&create, b" >/dev/null".as_slice()].concat();
        if builder.throw_away {
            self.line(&create);
            self.line(&start);
        } else {
            let (docker, container) = (self.command(&builder.proof.docker), self.container(&builder.proof));
            let record = self.placeholder.word(builder.record.as_os_str());
            let running = b" container inspect --format '{{.State.Running}}' ".as_slice();
            self.line(b"# A builder that runs needs nothing.");
            self.line(
                &[
                    b"if ! [ -e ".as_slice(),
                    &record,
                    b" ] || [ \"$(",
                    &docker,
                    running,
                    &container,
                    b" 2>&1)\" != true ]; then",
                ]
                .concat(),
            );
            self.line(&[b"\t".as_slice(), &inspect, b" >/dev/null 2>&1 || ", &create].concat());
            self.line(&[b"\t".as_slice(), &start].concat());
            self.line(b"fi");
        }
        self.prove(&builder.proof);
    }

    fn container(&self, proof: &ContainerProof) -> Vec<u8> {
        self.placeholder.word(OsStr::new(&proof.container))
    }

    fn prove(&mut self, proof: &ContainerProof) {
        let docker = self.command(&proof.docker);
        let docker = String::from_utf8_lossy(&docker).into_owned();
        let container = String::from_utf8_lossy(&self.container(proof)).into_owned();
        let digest = &proof.digest;
        let lines = format!(
            "# The container must have been made from the pinned image, and be the same before and after the build.\n\
             {docker} container inspect --format '{{{{.Config.Image}}}}' {container} | grep -q '@{digest}$' || fail 'the builder runs another image'\n\
             {docker} image inspect --format '{{{{json .RepoDigests}}}}' \"$({docker} container inspect --format '{{{{.Image}}}}' {container})\" \
             | grep -q '@{digest}\"' || fail 'the image of the builder is not the pinned one'\n\
             same \"$({docker} container inspect --format '{{{{.Id}}}} {{{{.State.StartedAt}}}}' {container})\""
        );
        self.line(lines.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_reach_the_command_and_no_argument_on_the_way() {
        let placeholder = Placeholder::new("0123");
        let mut script =
            Script { text: b"unique=abcdef\n".to_vec(), placeholder: &placeholder, program: Path::new("repro") };
        let mut command = ToolCommand::new("sh", &["PATH"]).args([
            "-c",
            "printf '<%s><%s><%s>' \"$A\" \"$B\" \"$1\"",
            "sh",
            "last word",
        ]);
        command.secret = vec!["A".to_owned(), "B".to_owned()];
        script.solve_command(&command, b"", b"");
        let text = String::from_utf8(script.text).unwrap();
        let values = [("A", "two\nlines\\ $B `x`\n"), ("B", "")];
        let run = |values: &[(&str, &str)]| {
            let path = std::env::var_os("PATH").unwrap();
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &text]).env_clear().env("PATH", path).envs(values.iter().copied()).output().unwrap()
        };
        assert_eq!(String::from_utf8_lossy(&run(&values).stdout), "<two\nlines\\ $B `x`\n><><last word>", "{text}");
        assert!(!run(&values[..1]).status.success(), "a secret that is not set is told");
        assert!(!text.lines().any(|line| line.contains("env -i") && line.contains("$A")), "{text}");
    }

    #[test]
    fn temporary_files_in_the_context_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let placeholder = Placeholder::new("0123");
        let is_refused = |context: &Path, private: &Path| {
            std::fs::create_dir_all(private).unwrap();
            let mut script = Script {
                text: b"fail() { exit 4; }\n".to_vec(),
                placeholder: &placeholder,
                program: Path::new("repro"),
            };
            script.refuse_in_context(context);
            let mut shell = std::process::Command::new("sh");
            let status = shell.arg("-c").arg(OsStr::from_bytes(&script.text)).env("private", private).status().unwrap();
            status.code() == Some(4)
        };
        assert!(is_refused(&root.join("a *'b"), &root.join("a *'b/tmp/p")));
        assert!(is_refused(Path::new("/"), &root.join("p")));
        assert!(!is_refused(&root.join("a"), &root.join("ab/p")));
        assert!(!is_refused(&root.join("*"), &root.join("other/p")));
    }
}
