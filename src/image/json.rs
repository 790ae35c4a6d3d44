//! JSON from strangers: one meaning or none.
//!
//! Two keys of one name mean one thing to one reader and another to the next, and so do, to Go's `encoding/json` that every
//! engine uses, two keys that differ only in case. Both are refused. The bytes stay the truth; what is parsed is a lens.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::image::escape::escape;
use crate::limits;

/// Parses `bytes` into `T` after checking that they have exactly one meaning. The error says why not, ready to print.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let strict = Strict { depth: 0, names: Names::Fields };
    strict.deserialize(&mut deserializer).and_then(|()| deserializer.end()).map_err(|error| printable(&error))?;
    serde_json::from_slice(bytes).map_err(|error| printable(&error))
}

fn printable(error: &serde_json::Error) -> String {
    escape(&error.to_string()).into_owned()
}

/// What the keys of an object are.
#[derive(Clone, Copy, PartialEq)]
enum Names {
    /// Fields of a Go structure, matched by Go without regard to case.
    Fields,
    /// Names that the image's author chose (labels, annotations, volumes): case counts.
    Free,
}

impl Names {
    /// What the keys are in the value of `key`. Only where the specification defines a structure are they fields.
    fn below(self, key: &str) -> Self {
        match key {
            "config" | "history" | "layers" | "manifests" | "platform" | "rootfs" | "subject" => self,
            _ => Self::Free,
        }
    }

    fn fold(self, key: &str) -> String {
        match self {
            Self::Free => key.to_owned(),
            // Go folds the long s and the Kelvin sign too.
            Self::Fields => key
                .chars()
                .map(|c| match c {
                    'ſ' => 's',
                    '\u{212a}' => 'k',
                    other => other.to_ascii_lowercase(),
                })
                .collect(),
        }
    }
}

/// Walks a value without keeping it.
#[derive(Clone, Copy)]
struct Strict {
    depth: u32,
    names: Names,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self, names: Names) -> Result<Self, E> {
        if self.depth >= limits::JSON_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {} levels", limits::JSON_DEPTH)));
        }
        Ok(Self { depth: self.depth + 1, names })
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
        let below = self.deeper(self.names)?;
        while sequence.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let below = self.deeper::<A::Error>(self.names)?;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(Self { names: self.names.below(&key), ..below })?;
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

    fn reason(text: &str) -> String {
        parse::<Value>(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn refuses_what_has_two_meanings() {
        assert!(reason(r#"{"a":1,"b":{"c":1,"c":2}}"#).starts_with("key `c` appears twice"));
        assert!(reason(r#"{"a":1,"\u0061":2}"#).starts_with("key `a` appears twice"));
        assert!(reason(r#"{"layers":[],"Layers":[]}"#).starts_with("key `Layers` appears twice"));
        assert!(reason(r#"{"layers":[{"digest":"x","digeſt":"y"}]}"#).starts_with("key `digeſt` appears twice"));
        assert!(reason(r#"{"config":{"Env":[],"env":[]}}"#).starts_with("key `env` appears twice"));
        assert!(reason("{} {}").starts_with("trailing characters"));
        assert!(reason("\u{feff}{}").starts_with("expected value"));
        assert!(parse::<Value>(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn takes_names_as_the_author_chose_them() {
        for text in [
            r#"{"config":{"Labels":{"a":"1","A":"2"},"Volumes":{"/x":{},"/X":{}}}}"#,
            r#"{"annotations":{"config":"1","Config":"2"}}"#,
            r#"{"layers":null,"n":[1,-1,1.5,1e99,true]}"#,
        ] {
            assert!(parse::<Value>(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_depth_is_limited() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let limit = limits::JSON_DEPTH as usize;
        assert!(parse::<Value>(nested(limit).as_bytes()).is_ok());
        assert!(reason(&nested(limit + 1)).starts_with("nested deeper than 32 levels"));
    }

    #[test]
    fn a_reason_is_printable() {
        assert!(reason("{\"\\u001b\":1,\"\\u001b\":2}").starts_with("key `\\u{1b}` appears twice"));
    }
}
