//! The JSON schema of `repro.toml`, made from the flags themselves, for editors.

use clap::{Arg, ArgAction};
use serde_json::{Map, Value, json};

use super::file::{FILE_NAME, command, names};

/// The schema.
#[must_use]
pub fn json_schema() -> Value {
    let mut properties = Map::new();
    for argument in command().get_arguments().filter(|argument| argument.get_long().is_some()) {
        for name in names(argument) {
            properties.insert(name.to_owned(), property(argument));
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": FILE_NAME,
        "description": "The arguments of `repro build`, kept beside the Dockerfile: each key is the long name of a flag.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(argument: &Arg) -> Value {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let scalar = json!(["string", "integer", "number", "boolean"]);
    let possible: Vec<String> =
        argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    match argument.get_action() {
        ArgAction::SetTrue => json!({ "description": help, "type": "boolean" }),
        ArgAction::Append => json!({
            "description": help,
            "anyOf": [
                { "type": scalar },
                { "type": "array", "items": { "type": scalar } },
                { "type": "object", "additionalProperties": { "type": scalar } },
            ],
        }),
        _ if !possible.is_empty() => json!({ "description": help, "enum": possible }),
        _ if argument.get_long() == Some("platform") => {
            json!({ "description": help, "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
        }
        _ => json!({ "description": help, "type": scalar }),
    }
}
