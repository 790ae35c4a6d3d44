//! What a build may read besides its context: secrets, SSH agents and keys, named contexts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{PlanError, path_text};
use crate::digest::Digest;
use crate::reference::ImageReference;

/// Where the value of a secret comes from. The value itself is never part of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretSource {
    /// A file, absolute.
    File(#[serde(serialize_with = "path_text")] PathBuf),
    /// A variable of the caller's environment.
    Env(String),
}

/// A secret: `id=ID[,src=FILE|,env=VARIABLE]` in buildx's syntax.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// The id that RUN mounts it by.
    pub id: String,
    /// Where its value comes from.
    pub source: SecretSource,
}

impl Secret {
    /// The file that holds it.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.source {
            SecretSource::File(path) => Some(path),
            SecretSource::Env(_) => None,
        }
    }

    /// Parses one `--secret` word. Without `src` and `env` the variable named like the id is taken if it is set, else the file.
    pub fn parse(text: &str, directory: &Path, is_set: impl Fn(&str) -> bool) -> Result<Self, PlanError> {
        let wrong = |why| PlanError::Secret { text: text.to_owned(), why };
        let fields = split_csv(text).ok_or_else(|| wrong("the quotes are not closed"))?;
        let (mut id, mut file, mut env, mut kind) = (None, None, None, None);
        for field in fields {
            let (key, value) = field.split_once('=').ok_or_else(|| wrong("each part is `key=value`"))?;
            match key.to_ascii_lowercase().as_str() {
                "id" => id = Some(value.to_owned()),
                "src" | "source" => file = Some(value.to_owned()),
                "env" => env = Some(value.to_owned()),
                "type" if matches!(value, "file" | "env") => kind = Some(value.to_owned()),
                "type" => return Err(wrong("`type` is file or env")),
                _ => return Err(wrong("the parts are id, src, env and type")),
            }
        }
        let id = id.filter(|id| !id.is_empty()).ok_or_else(|| wrong("`id` is missing"))?;
        if kind.as_deref() == Some("env") && env.is_none() {
            env = Some(file.take().unwrap_or_else(|| id.clone()));
        }
        let source = match (file, env) {
            (Some(_), Some(_)) => return Err(wrong("`src` and `env` exclude each other")),
            (Some(file), None) => SecretSource::File(directory.join(file)),
            (None, Some(name)) => SecretSource::Env(name),
            (None, None) if kind.is_none() && is_set(&id) => SecretSource::Env(id.clone()),
            (None, None) => SecretSource::File(directory.join(&id)),
        };
        match &source {
            // A shell reads it in a dry run, and Podman takes `NAME*` for every variable that begins so.
            SecretSource::Env(name) if !is_variable_name(name) => Err(wrong("`env` is not the name of a variable")),
            _ => Ok(Self { id, source }),
        }
    }
}

fn is_variable_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_word) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Splits one line of comma-separated values as Go's `encoding/csv` does: a field in double quotes may hold commas, and
/// quotes as `""`.
#[must_use]
pub fn split_csv(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut field = String::new();
            let mut remaining = quoted;
            loop {
                let end = remaining.find('"')?;
                field.push_str(&remaining[..end]);
                remaining = &remaining[end + 1..];
                match remaining.strip_prefix('"') {
                    Some(more) => {
                        field.push('"');
                        remaining = more;
                    }
                    None => break,
                }
            }
            fields.push(field);
            match remaining.strip_prefix(',') {
                Some(next) => rest = next,
                None if remaining.is_empty() => return Some(fields),
                None => return None,
            }
        } else {
            let (field, next) = rest.split_once(',').map_or((rest, None), |(field, next)| (field, Some(next)));
            if field.contains('"') {
                return None;
            }
            fields.push(field.to_owned());
            match next {
                Some(next) => rest = next,
                None => return Some(fields),
            }
        }
    }
}

/// What an SSH forward leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SshSource {
    /// The agent that `SSH_AUTH_SOCK` names.
    Agent,
    /// A socket, or keys, absolute.
    Paths(Vec<PathBuf>),
}

/// An SSH agent or keys that RUN may use: `ID[=SOCKET|KEY[,KEY…]]` in buildx's syntax.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ssh {
    /// The id that RUN mounts it by.
    pub id: String,
    /// What it leads to.
    pub source: SshSource,
}

impl Ssh {
    /// The socket or keys that it names.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        match &self.source {
            SshSource::Paths(paths) => paths,
            SshSource::Agent => &[],
        }
    }

    /// Parses one `--ssh` word.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, PlanError> {
        let wrong = |why| PlanError::Ssh { text: text.to_owned(), why };
        let (id, paths) = text.split_once('=').map_or((text, None), |(id, paths)| (id, Some(paths)));
        if id.is_empty() {
            return Err(wrong("the id is empty"));
        }
        let source = match paths {
            None | Some("") => SshSource::Agent,
            Some(paths) if paths.split(',').any(str::is_empty) => return Err(wrong("a path is empty")),
            Some(paths) => SshSource::Paths(paths.split(',').map(|path| directory.join(path)).collect()),
        };
        if let SshSource::Paths(paths) = &source
            && paths.iter().any(|path| path.as_os_str().as_encoded_bytes().contains(&b','))
        {
            return Err(wrong("its directory holds a comma, at which the clients of BuildKit split"));
        }
        Ok(Self { id: id.to_owned(), source })
    }
}

/// What a name in FROM and COPY --from means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NamedContext {
    /// A directory, absolute.
    Directory(#[serde(serialize_with = "path_text")] PathBuf),
    /// An image of a registry, by digest.
    Image(ImageReference),
    /// An image of an OCI layout, by digest.
    Layout {
        /// The layout's directory, absolute.
        #[serde(serialize_with = "path_text")]
        directory: PathBuf,
        /// The digest of the index or manifest.
        digest: Digest,
    },
}

impl NamedContext {
    /// The directory that it is read from.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) | Self::Layout { directory: path, .. } => Some(path),
            Self::Image(_) => None,
        }
    }

    /// The directories that a build reads: its context, then those of named contexts.
    pub fn directories<'a>(context: &'a Path, named: &'a BTreeMap<String, Self>) -> impl Iterator<Item = &'a Path> {
        std::iter::once(context).chain(named.values().filter_map(Self::directory))
    }

    /// Parses one `--build-context` word: the name, and what it means.
    ///
    /// What can be another thing tomorrow is refused: a tag, a repository, an address.
    pub fn parse(text: &str, directory: &Path) -> Result<(String, Self), PlanError> {
        let wrong = |why: &str| PlanError::BuildContext { text: text.to_owned(), why: why.to_owned() };
        let (name, source) = text.split_once('=').ok_or_else(|| wrong("it is `NAME=SOURCE`"))?;
        if name.is_empty() || source.is_empty() {
            return Err(wrong("name or source is empty"));
        }
        let name = context_name(name).map_err(|why| wrong(&why))?;
        let context = if let Some(image) = source.strip_prefix("docker-image://") {
            let reference: ImageReference = image
                .parse()
                .map_err(|error| PlanError::BuildContext { text: text.to_owned(), why: format!("{error}") })?;
            if reference.digest().is_none() {
                return Err(wrong("the image has no digest, and a tag may be another image tomorrow"));
            }
            Self::Image(reference)
        } else if let Some(layout) = source.strip_prefix("oci-layout://") {
            let (path, digest) = layout.rsplit_once('@').ok_or_else(|| wrong("the layout's image has no digest"))?;
            let digest = digest.parse().map_err(|_| wrong("what follows `@` is not a digest"))?;
            Self::Layout { directory: directory.join(path), digest }
        } else if source.contains("://") || source.starts_with("git@") {
            return Err(wrong("only directories, docker-image:// and oci-layout:// are taken: check it out first"));
        } else {
            Self::Directory(directory.join(source))
        };
        Ok((name, context))
    }
}

impl fmt::Display for NamedContext {
    /// As it is given, with what paths are relative to already in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Image(reference) => write!(f, "docker-image://{reference}"),
            Self::Layout { directory, digest } => write!(f, "oci-layout://{}@{digest}", directory.display()),
        }
    }
}

/// The name that BuildKit looks a context up by: it makes a reference of what stands in the Dockerfile, and so do clients of the
/// name that they are given. Case counts in the tag alone.
fn context_name(text: &str) -> Result<String, String> {
    let name_start = text.rfind('/').map_or(0, |slash| slash + 1);
    let tag_start = text[name_start..].find(':').map_or(text.len(), |colon| name_start + colon);
    let (name, tag) = text.split_at(tag_start);
    let reference = format!("{}{tag}", name.to_lowercase()).parse::<ImageReference>();
    match reference {
        Ok(reference) if reference.digest().is_none() => Ok(reference.familiar()),
        // What has a digest means one thing, and nothing else should be called so.
        Ok(_) => Err("a name has no digest".to_owned()),
        Err(error) => {
            Err(format!("a name is like that of an image, `base`, `debian:12` or `localhost:5000/a`: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_references() {
        let parse = |text: &str| Secret::parse(text, Path::new("/cwd"), |name| name == "SET").map(|s| (s.id, s.source));
        let file = |path: &str| SecretSource::File(PathBuf::from(path));
        assert_eq!(parse("id=a,src=b").unwrap(), ("a".to_owned(), file("/cwd/b")));
        assert_eq!(parse("id=a,\"src=/x, y\"").unwrap(), ("a".to_owned(), file("/x, y")));
        assert_eq!(parse("id=a,env=B").unwrap(), ("a".to_owned(), SecretSource::Env("B".to_owned())));
        assert_eq!(parse("id=a,type=env,src=B").unwrap(), ("a".to_owned(), SecretSource::Env("B".to_owned())));
        assert_eq!(parse("id=SET").unwrap(), ("SET".to_owned(), SecretSource::Env("SET".to_owned())));
        assert_eq!(parse("id=unset").unwrap(), ("unset".to_owned(), file("/cwd/unset")));
        for text in [
            "",
            "src=x",
            "id=",
            "id=a,src=b,env=c",
            "id=a,mode=0400",
            "id=a,\"src=b",
            "id=a,type=x",
            "id=a,env=",
            "id=a,env=A*",
            "id=a,env=A}$(id)",
            "id=a,env=1",
        ] {
            assert!(parse(text).is_err(), "`{text}` was accepted");
        }
    }

    #[test]
    fn csv_is_read_as_go_reads_it() {
        assert_eq!(split_csv("a,b").unwrap(), ["a", "b"]);
        assert_eq!(split_csv("\"a,\"\"b\"\"\",c").unwrap(), ["a,\"b\"", "c"]);
        assert_eq!(split_csv("").unwrap(), [""]);
        assert_eq!(split_csv("a\"b"), None);
        assert_eq!(split_csv("\"a\"b"), None);
    }

    #[test]
    fn ssh_is_an_agent_or_paths() {
        let parse = |text: &str| Ssh::parse(text, Path::new("/cwd")).map(|ssh| (ssh.id, ssh.source));
        assert_eq!(parse("default").unwrap(), ("default".to_owned(), SshSource::Agent));
        let paths = SshSource::Paths(vec!["/cwd/a".into(), "/b".into()]);
        assert_eq!(parse("x=a,/b").unwrap(), ("x".to_owned(), paths));
        for text in ["", "=a", "x=a,,b"] {
            assert!(parse(text).is_err(), "`{text}` was accepted");
        }
        assert!(Ssh::parse("x=a", Path::new("/a, b")).is_err());
    }

    #[test]
    fn a_named_context_cannot_move() {
        let parse = |text: &str| NamedContext::parse(text, Path::new("/cwd"));
        assert_eq!(parse("A=b c").unwrap(), ("a".to_owned(), NamedContext::Directory("/cwd/b c".into())));
        for (given, name) in [
            ("debian:12", "debian:12"),
            ("docker.io/library/debian:latest", "debian"),
            ("index.docker.io/user/app:Tag", "user/app:Tag"),
            ("library/a/b", "library/a/b"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("[::1]:5000/a", "[::1]:5000/a"),
            ("My_Stage-1", "my_stage-1"),
        ] {
            assert_eq!(parse(&format!("{given}=b")).unwrap().0, name);
        }
        let digest = format!("sha256:{}", "1".repeat(64));
        assert!(matches!(parse(&format!("a=docker-image://b:c@{digest}")), Ok((_, NamedContext::Image(_)))));
        assert!(matches!(parse(&format!("a=oci-layout://d@{digest}")), Ok((_, NamedContext::Layout { .. }))));
        for text in [
            "",
            "a",
            "=b",
            "a=",
            "a,b=c",
            "a b=c",
            "-a=b",
            "a:=b",
            "a::linux/amd64=b",
            "a:b:c=d",
            "a:1,c=d",
            "a:1\n=b",
            "$(id):1=b",
            "../a=b",
            "a//b=c",
            "host:99999/a=b",
            "a@sha256:1111111111111111111111111111111111111111111111111111111111111111=b",
            "a=docker-image://b:c",
            "a=oci-layout://d",
            "a=oci-layout://d:tag@sha256:1",
            "a=https://x/y.tar",
            "a=git@x:y",
        ] {
            assert!(parse(text).is_err(), "`{text}` was accepted");
        }
    }
}
