//! JSON from strangers: one meaning or none.
//!
//! Two keys of one name mean one thing to one reader and another to the next, and so do, to Go's `encoding/json` that every
//! engine uses, two keys that differ only in case. Both are refused. So is a key that differs in case from one that the
//! specification knows: to Go `Layers` are the layers of a manifest, to most others they are nothing. The bytes stay the truth;
//! what is parsed is a lens.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::image::escape::escape;
use crate::limits;

/// Parses `bytes`, a document of that kind, into `T` after checking that they have exactly one meaning. The error says why not,
/// ready to print.
pub fn parse<T: DeserializeOwned>(names: Names, bytes: &[u8]) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let strict = Strict { depth: 0, names, is_list: names == Names::DockerEntry };
    strict.deserialize(&mut deserializer).and_then(|()| deserializer.end()).map_err(|error| printable(&error))?;
    serde_json::from_slice(bytes).map_err(|error| printable(&error))
}

fn printable(error: &serde_json::Error) -> String {
    escape(&error.to_string()).into_owned()
}

/// What the keys of an object are: names that the image's author chose, or fields of a Go structure, which Go matches without
/// regard to case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Names {
    /// Chosen by the author (labels, annotations, volumes): case counts.
    Free,
    /// Fields of a structure that is not looked into.
    Fields,
    /// `oci-layout`.
    Layout,
    /// An index or a manifest.
    Manifest,
    /// A descriptor.
    Descriptor,
    /// A platform.
    Platform,
    /// The config of an image.
    Config,
    /// `rootfs` of a config.
    RootFs,
    /// A step of the history.
    History,
    /// An entry of Docker's `manifest.json`.
    DockerEntry,
}

impl Names {
    /// The fields of which this tool or an engine makes something.
    const fn known(self) -> &'static [&'static str] {
        match self {
            Self::Free | Self::Fields => &[],
            Self::Layout => &["imageLayoutVersion"],
            Self::Manifest => &[
                "annotations",
                "artifactType",
                "config",
                "layers",
                "manifests",
                "mediaType",
                "schemaVersion",
                "subject",
            ],
            Self::Descriptor => {
                &["annotations", "artifactType", "data", "digest", "mediaType", "platform", "size", "urls"]
            }
            Self::Platform => &["architecture", "os", "os.features", "os.version", "variant"],
            Self::Config => &[
                "architecture",
                "config",
                "created",
                "history",
                "os",
                "os.features",
                "os.version",
                "rootfs",
                "variant",
            ],
            Self::RootFs => &["diff_ids", "type"],
            Self::History => &["author", "comment", "created", "created_by", "empty_layer"],
            Self::DockerEntry => &["Config", "Layers", "RepoTags"],
        }
    }

    /// What the keys are in the value of `key`.
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Manifest, "config" | "layers" | "manifests" | "subject") => Self::Descriptor,
            (Self::Descriptor, "platform") => Self::Platform,
            (Self::Config, "config") => Self::Fields,
            (Self::Config, "rootfs") => Self::RootFs,
            (Self::Config, "history") => Self::History,
            _ => Self::Free,
        }
    }

    /// The key as Go compares it.
    fn fold(self, key: &str) -> String {
        if self == Self::Free { key.to_owned() } else { fold(key) }
    }

    /// The field that Go takes `key` for, though it is spelt in another way.
    fn misspelt(self, key: &str) -> Option<&'static str> {
        let folded = fold(key);
        self.known().iter().copied().find(|known| *known != key && fold(known) == folded)
    }
}

/// Go folds the long s and the Kelvin sign too.
fn fold(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            'ſ' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

/// Walks a value without keeping it.
#[derive(Clone, Copy)]
struct Strict {
    depth: u32,
    names: Names,
    /// Whether the objects stand in a list.
    is_list: bool,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self, names: Names) -> Result<Self, E> {
        if self.depth >= limits::JSON_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {} levels", limits::JSON_DEPTH)));
        }
        Ok(Self { depth: self.depth + 1, names, is_list: false })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        // A structure is read from a list of its fields as well, by this program and by no engine.
        if !self.is_list && !matches!(self.names, Names::Free | Names::Fields) {
            return Err(A::Error::custom("a list in place of an object"));
        }
        let below = self.deeper(self.names)?;
        while sequence.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let below = self.deeper::<A::Error>(self.names)?;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if let Some(known) = self.names.misspelt(&key) {
                return Err(A::Error::custom(format_args!(
                    "key `{key}` is `{known}` to some readers, and nothing to others"
                )));
            }
            let is_list = matches!(key.as_str(), "manifests" | "layers" | "history");
            map.next_value_seed(Self { names: self.names.below(&key), is_list, ..below })?;
            if !seen.insert(self.names.fold(&key)) {
                return Err(A::Error::custom(format_args!("key `{key}` appears twice")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn reason(names: Names, text: &str) -> String {
        parse::<Value>(names, text.as_bytes()).unwrap_err()
    }

    #[test]
    fn refuses_what_has_two_meanings() {
        assert!(reason(Names::Manifest, r#"{"a":1,"b":{"c":1,"c":2}}"#).starts_with("key `c` appears twice"));
        assert!(reason(Names::Manifest, r#"{"a":1,"\u0061":2}"#).starts_with("key `a` appears twice"));
        assert!(reason(Names::Manifest, r#"{"x":[],"X":[]}"#).starts_with("key `X` appears twice"));
        assert!(reason(Names::Config, r#"{"config":{"Env":[],"env":[]}}"#).starts_with("key `env` appears twice"));
        assert!(reason(Names::Free, "{} {}").starts_with("trailing characters"));
        assert!(reason(Names::Free, "\u{feff}{}").starts_with("expected value"));
        assert!(parse::<Value>(Names::Free, b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn refuses_fields_that_only_go_finds() {
        for (names, text, key, known) in [
            (Names::Manifest, r#"{"Layers":[]}"#, "Layers", "layers"),
            (Names::Manifest, r#"{"layers":[{"digeſt":"y"}]}"#, "digeſt", "digest"),
            (Names::Manifest, r#"{"manifests":[{"platform":{"OS":"y"}}]}"#, "OS", "os"),
            (Names::Config, r#"{"RootFS":{}}"#, "RootFS", "rootfs"),
            (Names::Config, r#"{"rootfs":{"Diff_IDs":[]}}"#, "Diff_IDs", "diff_ids"),
            (Names::Config, r#"{"history":[{"EMPTY_LAYER":true}]}"#, "EMPTY_LAYER", "empty_layer"),
            (Names::DockerEntry, r#"[{"layers":[]}]"#, "layers", "Layers"),
            (Names::Layout, r#"{"ImageLayoutVersion":"1.0.0"}"#, "ImageLayoutVersion", "imageLayoutVersion"),
        ] {
            let expected = format!("key `{key}` is `{known}` to some readers, and nothing to others");
            assert!(reason(names, text).starts_with(&expected), "{}", reason(names, text));
        }
    }

    #[test]
    fn refuses_fields_without_their_names() {
        for (names, text) in [
            (Names::Manifest, "[2]"),
            (Names::Manifest, r#"{"config":["application/json"]}"#),
            (Names::Manifest, r#"{"layers":[["a"]]}"#),
            (Names::Manifest, r#"{"manifests":[{"platform":["amd64","linux"]}]}"#),
            (Names::Config, r#"{"rootfs":["layers",[]]}"#),
            (Names::Config, r#"{"history":[["now"]]}"#),
            (Names::DockerEntry, r#"[["config.json"]]"#),
        ] {
            assert!(reason(names, text).starts_with("a list in place of an object"), "{text}");
        }
    }

    #[test]
    fn takes_names_as_the_author_chose_them() {
        for (names, text) in [
            (Names::Config, r#"{"config":{"Labels":{"a":"1","A":"2"},"Volumes":{"/x":{},"/X":{}}},"Size":1}"#),
            (Names::Manifest, r#"{"annotations":{"config":"1","Config":"2","Layers":"3"}}"#),
            (Names::Manifest, r#"{"layers":null,"n":[1,-1,1.5,1e99,true]}"#),
        ] {
            assert!(parse::<Value>(names, text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_depth_is_limited() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let limit = limits::JSON_DEPTH as usize;
        assert!(parse::<Value>(Names::Free, nested(limit).as_bytes()).is_ok());
        assert!(reason(Names::Free, &nested(limit + 1)).starts_with("nested deeper than 32 levels"));
    }

    #[test]
    fn a_reason_is_printable() {
        assert!(reason(Names::Free, "{\"\\u001b\":1,\"\\u001b\":2}").starts_with("key `\\u{1b}` appears twice"));
    }
}
