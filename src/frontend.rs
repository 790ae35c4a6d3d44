//! The frontend: what reads the Dockerfile, and whether it may.
//!
//! Either it is part of BuildKit, or an image that a `# syntax=` line, a flag or BuildKit's own build argument names. An image
//! runs beside the build with BuildKit's whole interface in its hands, which is more than any Dockerfile can say. So it is
//! judged before anything runs: by its name and digest, and by what is known about the BuildKit that would run it.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::digest::{Digest, DigestError};
use crate::dockerfile::Syntax;
use crate::pin::{Attacker, Version, advisories_for};
use crate::reference::{ImageReference, ReferenceError};

/// The build argument that BuildKit itself knows.
pub const BUILD_ARGUMENT: &str = "BUILDKIT_SYNTAX";

/// The word for BuildKit's own frontend.
pub const BUILTIN: &str = "builtin";

/// Who makes BuildKit makes these.
const TRUSTED_NAMES: [&str; 2] = ["docker.io/docker/dockerfile", "docker.io/docker/dockerfile-upstream"];

/// Releases of docker/dockerfile, whatever name they come under: those whose digests stand in BuildKit itself
/// (`frontend/gateway/gateway.go`, `addCapsForKnownFrontends`).
const TRUSTED_DIGESTS: [&str; 4] = [
    "9ac1c43a60e31dca741a6fe8314130a9cd4c4db0311fbbc636ff992ef60ae76d",
    "080bd74d8778f83e7b670de193362d8c593c8b14f5c8fb919d28ee8feda0d069",
    "60543a9d92b92af5088fb2938fb09b2072684af8384399e153e137fe081f8ab4",
    "de85b2f3a3e8a2f7fe48e8e84a65f6fdd5cd5183afa6412fff9caa6871649c44",
];

/// Who says which frontend it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FrontendOrigin {
    /// Nobody: it is BuildKit's own.
    Default,
    /// A line of the Dockerfile, counted from 1.
    Line(usize),
    /// A flag, which wins over the Dockerfile.
    Flag(&'static str),
}

impl fmt::Display for FrontendOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Line(line) => write!(f, "line {line} of the Dockerfile"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// The image of a frontend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FrontendImage {
    /// Which image.
    pub reference: ImageReference,
    /// What was said: the image and, behind a space, arguments for it.
    pub command: String,
}

/// What reads the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Frontend {
    /// The image, or nothing for the frontend that is part of BuildKit.
    pub image: Option<FrontendImage>,
    /// Who says so.
    pub origin: FrontendOrigin,
}

/// What a runtime has to tell BuildKit, which reads the Dockerfile's own line by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Override<'a> {
    /// Nothing.
    Nothing,
    /// That its own frontend reads the Dockerfile, whatever that says.
    Builtin,
    /// Another image, as the value of the build argument `BUILDKIT_SYNTAX`.
    Image(&'a str),
}

/// Why a frontend is none, or may not be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrontendError {
    /// Not a reference.
    #[error("frontend `{command}` ({origin})")]
    Reference {
        /// What was said.
        command: String,
        /// Who said it.
        origin: FrontendOrigin,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// A flag without a digest.
    #[error("frontend `{0}` (flag --frontend) is not pinned: it has no digest")]
    NotPinned(String),
    /// Two flags.
    #[error("--frontend and --build-arg {BUILD_ARGUMENT} are both given, and say the same thing in two ways")]
    Both,
    /// A file that some versions of BuildKit would read as JSON.
    #[error("the Dockerfile begins like JSON, and it cannot be told which frontend it asks for")]
    Unreadable,
    /// An allowed frontend that is none.
    #[error("--allow-frontend `{text}`")]
    Allowed {
        /// What was given.
        text: String,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// An allowed digest that is none.
    #[error("--allow-frontend `{text}`")]
    AllowedDigest {
        /// What was given.
        text: String,
        /// What is wrong with it.
        #[source]
        source: DigestError,
    },
    /// A named context that stands for the image of the frontend.
    #[error(
        "the build context `{context}` would stand for the frontend `{frontend}`, which is not what is judged then"
    )]
    Replaced {
        /// The name of the context.
        context: String,
        /// The frontend.
        frontend: String,
    },
    /// Not trusted, on a BuildKit that cannot hold it.
    #[error("frontend `{reference}` ({origin}) is not known to be harmless, and {}", cannot_hold(*.version, .advisories))]
    Untrusted {
        /// The image.
        reference: String,
        /// Who names it.
        origin: FrontendOrigin,
        /// The version of BuildKit.
        version: Option<Version>,
        /// What it could use.
        advisories: Vec<String>,
    },
}

fn cannot_hold(version: Option<Version>, advisories: &[String]) -> String {
    let who = match version {
        Some(version) => format!("BuildKit {version} cannot hold one that is not"),
        None => "a BuildKit of unknown version may not hold one that is not".to_owned(),
    };
    format!("{who}:\n  {}", advisories.join("\n  "))
}

impl FrontendError {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Reference { source, .. } | Self::Allowed { source, .. } => source.hint(),
            Self::NotPinned(_) => {
                "append `@sha256:…`, which `docker buildx imagetools inspect NAME:TAG` shows; `--frontend builtin` is BuildKit's own"
            }
            Self::Both => "give one of the two",
            Self::Unreadable => {
                "name the frontend with `--frontend REF@DIGEST`, or begin the file with a `# syntax=` line"
            }
            Self::AllowedDigest { .. } => "copy the whole digest: `sha256:` and 64 lower-case hexadecimal digits",
            Self::Replaced { .. } => "name the image that you mean with `--frontend REF@DIGEST`",
            Self::Untrusted { .. } => {
                "if you trust it, give `--allow-frontend REF`; `--frontend docker/dockerfile:…@sha256:…` has another one read \
                 the Dockerfile, and BuildKit from v0.31.2 on is free of these"
            }
        }
    }
}

impl Frontend {
    /// The frontend of a build: what a flag says, else what the Dockerfile does.
    pub fn resolve(flag: Option<&str>, build_argument: Option<&str>, syntax: &Syntax) -> Result<Self, FrontendError> {
        const ARGUMENT: FrontendOrigin = FrontendOrigin::Flag("--build-arg BUILDKIT_SYNTAX");
        match (flag, build_argument, syntax) {
            (Some(_), Some(_), _) => Err(FrontendError::Both),
            (Some(BUILTIN) | None, None, Syntax::Builtin) => Ok(Self { image: None, origin: FrontendOrigin::Default }),
            (Some(BUILTIN), None, _) => Ok(Self { image: None, origin: FrontendOrigin::Flag("--frontend") }),
            (Some(text), None, _) => {
                let frontend = Self::parse(text, FrontendOrigin::Flag("--frontend"))?;
                if frontend.is_pinned() { Ok(frontend) } else { Err(FrontendError::NotPinned(text.to_owned())) }
            }
            (None, Some(text), _) => Self::parse(text.trim(), ARGUMENT),
            (None, None, Syntax::Image { command, line }) => Self::parse(command, FrontendOrigin::Line(*line)),
            (None, None, Syntax::Unreadable) => Err(FrontendError::Unreadable),
        }
    }

    fn parse(command: &str, origin: FrontendOrigin) -> Result<Self, FrontendError> {
        let name = command.split_once(' ').map_or(command, |(name, _)| name);
        match name.parse() {
            Ok(reference) => Ok(Self { image: Some(FrontendImage { reference, command: command.to_owned() }), origin }),
            Err(source) => Err(FrontendError::Reference { command: command.to_owned(), origin, source }),
        }
    }

    /// Whether it can only be one.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.image.as_ref().is_none_or(|image| image.reference.digest().is_some())
    }

    /// What BuildKit has to be told.
    #[must_use]
    pub fn to_override(&self) -> Override<'_> {
        match (&self.origin, &self.image) {
            (FrontendOrigin::Flag(_), Some(image)) => Override::Image(&image.command),
            (FrontendOrigin::Flag(_), None) => Override::Builtin,
            _ => Override::Nothing,
        }
    }

    /// Refuses an image that is neither trusted nor allowed, on a BuildKit that a hostile one could get the better of.
    pub fn judge(&self, version: Option<Version>, allowed: &[AllowedFrontend]) -> Result<(), FrontendError> {
        let Some(image) = &self.image else { return Ok(()) };
        if is_trusted(&image.reference) || allowed.iter().any(|allowed| allowed.covers(&image.reference)) {
            return Ok(());
        }
        let advisories: Vec<String> = advisories_for(version)
            .filter(|advisory| advisory.attacker == Attacker::Frontend)
            .map(ToString::to_string)
            .collect();
        if advisories.is_empty() {
            return Ok(());
        }
        let (reference, origin) = (image.reference.to_string(), self.origin.clone());
        Err(FrontendError::Untrusted { reference, origin, version, advisories })
    }

    /// Refuses named contexts that BuildKit would take for the image of the frontend (`dockerui`, `NamedContext`).
    pub fn check_contexts<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), FrontendError> {
        let Some(image) = &self.image else { return Ok(()) };
        for name in names {
            let without_platform = name.split_once("::").map_or(name, |(name, _)| name);
            let Ok(reference) = without_platform.parse::<ImageReference>() else { continue };
            if reference.name() == image.reference.name() {
                let (context, frontend) = (name.to_owned(), image.reference.to_string());
                return Err(FrontendError::Replaced { context, frontend });
            }
        }
        Ok(())
    }
}

/// Whether who makes BuildKit makes it.
#[must_use]
pub fn is_trusted(reference: &ImageReference) -> bool {
    TRUSTED_NAMES.contains(&reference.name().as_str())
        || reference.digest().is_some_and(|digest| TRUSTED_DIGESTS.contains(&digest.hex()))
}

/// A frontend that the user trusts: a digest, or a name with or without tag and digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedFrontend {
    /// This image, wherever it comes from.
    Digest(Digest),
    /// What has this name: every tag where none is given, and every digest where none is given.
    Reference(ImageReference),
}

impl FromStr for AllowedFrontend {
    type Err = FrontendError;

    fn from_str(text: &str) -> Result<Self, FrontendError> {
        let owned = || text.to_owned();
        if ["sha256:", "sha512:"].iter().any(|algorithm| text.starts_with(algorithm)) {
            let digest = text.parse().map_err(|source| FrontendError::AllowedDigest { text: owned(), source })?;
            return Ok(Self::Digest(digest));
        }
        text.parse().map(Self::Reference).map_err(|source| FrontendError::Allowed { text: owned(), source })
    }
}

impl AllowedFrontend {
    fn covers(&self, reference: &ImageReference) -> bool {
        let allowed = match self {
            Self::Digest(digest) => return reference.digest() == Some(digest),
            Self::Reference(allowed) => allowed,
        };
        allowed.name() == reference.name()
            && match (allowed.tag(), allowed.digest()) {
                // A digest says everything: the tag beside it is a remark.
                (_, Some(digest)) => reference.digest() == Some(digest),
                (Some(tag), None) => reference.tag() == Some(tag),
                (None, None) => true,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const OTHER: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn line(command: &str) -> Syntax {
        Syntax::Image { command: command.to_owned(), line: 3 }
    }

    fn of_line(command: &str) -> Frontend {
        Frontend::resolve(None, None, &line(command)).unwrap()
    }

    fn judged(command: &str, version: Option<&str>, allowed: &[&str]) -> Result<(), FrontendError> {
        let allowed: Vec<AllowedFrontend> = allowed.iter().map(|text| text.parse().unwrap()).collect();
        of_line(command).judge(version.map(|version| Version::parse(version).unwrap()), &allowed)
    }

    #[test]
    fn a_flag_wins_over_the_line() {
        let given = format!("docker/dockerfile:1@{DIGEST}");
        let frontend = Frontend::resolve(Some(&given), None, &line("evil.example/x")).unwrap();
        assert_eq!(frontend.to_override(), Override::Image(&given));
        let argument = Frontend::resolve(None, Some(" docker/dockerfile:1 a b "), &line("evil.example/x")).unwrap();
        assert_eq!(argument.to_override(), Override::Image("docker/dockerfile:1 a b"));
        assert_eq!(argument.image.unwrap().reference.to_string(), "docker.io/docker/dockerfile:1");
        let builtin = Frontend::resolve(Some("builtin"), None, &line("evil.example/x")).unwrap();
        assert_eq!(builtin.to_override(), Override::Builtin);
        assert_eq!(Frontend::resolve(Some("builtin"), None, &Syntax::Unreadable).unwrap(), builtin);
        assert_eq!(of_line("docker/dockerfile:1").to_override(), Override::Nothing, "BuildKit reads it itself");
    }

    #[test]
    fn without_a_line_there_is_nothing_to_override() {
        for flag in [None, Some("builtin")] {
            let frontend = Frontend::resolve(flag, None, &Syntax::Builtin).unwrap();
            assert_eq!((frontend.to_override(), frontend.is_pinned()), (Override::Nothing, true));
            assert_eq!(frontend.judge(None, &[]), Ok(()));
        }
    }

    #[test]
    fn a_flag_has_to_be_pinned_and_alone() {
        let resolve = |flag, argument, syntax: &Syntax| Frontend::resolve(flag, argument, syntax).unwrap_err();
        let unpinned = resolve(Some("docker/dockerfile:1"), None, &Syntax::Builtin);
        assert_eq!(unpinned, FrontendError::NotPinned("docker/dockerfile:1".to_owned()));
        assert_eq!(resolve(Some("builtin"), Some("a"), &Syntax::Builtin), FrontendError::Both);
        assert_eq!(resolve(None, None, &Syntax::Unreadable), FrontendError::Unreadable);
        for command in ["", " ", "UPPER/x", "https://x", "a@sha256:1", "a\tb"] {
            let wrong = Frontend::resolve(None, None, &line(command)).unwrap_err();
            assert!(wrong.to_string().contains("line 3 of the Dockerfile"), "{command}: {wrong}");
        }
    }

    #[test]
    fn what_buildkits_makers_make_is_trusted() {
        for name in ["docker/dockerfile", "docker.io/docker/dockerfile-upstream:master", "docker/dockerfile:1-labs x"] {
            assert_eq!(judged(name, Some("v0.19.0"), &[]), Ok(()), "{name}");
        }
        let mirrored = format!("mirror.example/x:1@sha256:{}", TRUSTED_DIGESTS[0]);
        assert_eq!(judged(&mirrored, Some("v0.19.0"), &[]), Ok(()));
        for name in ["dockerfile:1", "docker/dockerfiles:1", "evil.example/docker/dockerfile:1", "library/dockerfile"] {
            assert!(matches!(judged(name, Some("v0.19.0"), &[]), Err(FrontendError::Untrusted { .. })), "{name}");
        }
    }

    #[test]
    fn others_are_refused_where_they_could_do_harm() {
        let told = judged("evil.example/x:1", Some("v0.31.0"), &[]).unwrap_err().to_string();
        assert!(told.starts_with(
            "frontend `evil.example/x:1` (line 3 of the Dockerfile) is not known to be harmless, and BuildKit v0.31.0 cannot hold"
        ));
        assert!(told.contains("GHSA-7236-3392-c5c6") && !told.contains("GHSA-4c29"), "{told}");
        assert!(!told.contains("GHSA-72x6"), "what a Dockerfile can do as well is no reason: {told}");
        assert!(judged("evil.example/x:1", None, &[]).unwrap_err().to_string().contains("of unknown version"));
        assert_eq!(judged("evil.example/x:1", Some("v0.32.2"), &[]), Ok(()));
    }

    #[test]
    fn what_is_allowed_is_what_was_named() {
        let name = "evil.example/x";
        let pinned = format!("{name}:1@{DIGEST}");
        let allows = |allowed: &str, command: &str| judged(command, Some("v0.19.0"), &[allowed]).is_ok();
        assert!(allows(name, name) && allows(name, &pinned) && allows(name, "evil.example/x:2"));
        assert!(allows("evil.example/x:1", "evil.example/x:1") && !allows("evil.example/x:1", "evil.example/x:2"));
        assert!(allows(DIGEST, &pinned) && !allows(DIGEST, name) && !allows(OTHER, &pinned));
        assert!(allows(&format!("{name}@{DIGEST}"), &pinned), "the tag is a remark");
        assert!(!allows(&format!("{name}:1@{DIGEST}"), "evil.example/x:1"), "a tag can be moved");
        assert!(!allows("evil.example/x/y", name) && !allows("evil.example:80/x", name));
        for text in ["", "sha256:12", "UPPER"] {
            assert!(text.parse::<AllowedFrontend>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_context_stands_for_the_frontend() {
        let frontend = of_line("docker/dockerfile:1");
        for name in ["docker/dockerfile:1", "docker.io/docker/dockerfile", "docker/dockerfile:1::linux/amd64"] {
            assert!(matches!(frontend.check_contexts([name]), Err(FrontendError::Replaced { .. })), "{name}");
        }
        assert_eq!(frontend.check_contexts(["base", "docker/other", "UPPER", ""]), Ok(()));
    }
}
