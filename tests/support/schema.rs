//! Holds JSON against a JSON schema: the words of it that our schemas use, and no others.
//!
//! Forty lines instead of a validator with a hundred dependencies. A word that is not known fails, thus nothing goes unchecked.

use serde_json::Value;

/// Every place where `value` is not what `schema` says.
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, value, "$", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for (word, rule) in schema.as_object().unwrap() {
        let is_right = match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "properties" | "additionalProperties" => true,
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                check(root, root.pointer(pointer).unwrap(), value, at, found);
                true
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|choice| {
                let mut inside = Vec::new();
                check(root, choice, value, at, &mut inside);
                inside.is_empty()
            }),
            "const" => rule == value,
            "enum" => rule.as_array().unwrap().contains(value),
            "type" => match rule {
                Value::Array(types) => types.iter().any(|rule| is_type(rule, value)),
                rule => is_type(rule, value),
            },
            "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
            "pattern" => {
                assert_eq!(rule, "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$", "only digests have a pattern");
                value.as_str().is_some_and(|text| text.parse::<repro::digest::Digest>().is_ok())
            }
            "required" => rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{at}[{index}]"), found);
                }
                true
            }
            word => panic!("the schema uses `{word}`, which is not checked here"),
        };
        if !is_right {
            found.push(format!("{at}: {word}: {rule} is not {value}"));
        }
    }
    check_members(root, schema, value, at, found);
}

/// The members of an object: each by its own schema, the others by `additionalProperties`.
fn check_members(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for (key, member) in value.as_object().into_iter().flatten() {
        let rule = schema.get("properties").and_then(|properties| properties.get(key));
        match rule.or(schema.get("additionalProperties")) {
            Some(Value::Bool(false)) => found.push(format!("{at}: `{key}` is not allowed")),
            Some(rule) => check(root, rule, member, &format!("{at}.{key}"), found),
            None => {}
        }
    }
}

fn is_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        name => panic!("the schema uses type `{name}`, which is not checked here"),
    }
}
