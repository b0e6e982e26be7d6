//! What gNMI carries as it may be shown: values are a device's configuration, and that has secrets in it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::hidden;

/// What names of leaves have in them whose values are secrets.
const SECRET: [&str; 12] = [
    "passw",
    "passphrase",
    "secret",
    "token",
    "private-key",
    "auth-key",
    "authentication-key",
    "shared-key",
    "key-string",
    "keystring",
    "community",
    "credential",
];

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    SECRET.iter().any(|word| name.contains(word))
}

/// Whether a field holds text that is no leaf: JSON, or a command line.
pub fn is_value(field: &str) -> bool {
    matches!(field, "json_val" | "json_ietf_val" | "ascii_val")
}

/// Such a field: JSON, which comes as base64, as JSON without its secrets; of a command line, how long it is.
pub fn shown(field: &str, held: &Value) -> Value {
    let text = held.as_str().unwrap_or_default();
    if field == "ascii_val" {
        return Value::from(format!("({} characters, hidden)", text.chars().count()));
    }
    let decoded = STANDARD.decode(text).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(mut json) = decoded else { return hidden() };
    hide_members(&mut json);
    json
}

fn hide_members(json: &mut Value) {
    match json {
        Value::Object(members) => {
            for (name, member) in members {
                if is_secret(name) {
                    *member = hidden();
                } else {
                    hide_members(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_members),
        _ => {}
    }
}

/// Of a message with a path, or with a prefix to all of its paths, that names a secret: the values.
pub fn hide_by_path(members: &mut Map<String, Value>) {
    if members.get("path").is_some_and(names_secret) {
        for value in ["val", "value"] {
            if let Some(value) = members.get_mut(value) {
                *value = hidden();
            }
        }
    }
    if members.get("prefix").is_some_and(names_secret) {
        for updates in ["update", "replace", "union_replace"] {
            let updates = members.get_mut(updates).and_then(Value::as_array_mut);
            for update in updates.into_iter().flatten() {
                if let Some(value) = update.get_mut("val") {
                    *value = hidden();
                }
            }
        }
    }
}

fn names_secret(path: &Value) -> bool {
    let steps = path.get("elem").and_then(Value::as_array);
    steps.is_some_and(|steps| steps.iter().filter_map(|step| step.get("name")?.as_str()).any(is_secret))
}

#[cfg(test)]
mod tests {
    use holdfast_wire::gnmi::{Encoding, SetRequest, TypedValue, Update, typed_value};
    use holdfast_wire::path::Path;
    use holdfast_wire::value::Value as Held;
    use prost::Message;

    fn shown(prefix: &str, path: &str, value: TypedValue) -> String {
        let to_gnmi = |text: &str| Some(text.parse::<Path>().expect("a path").to_gnmi());
        let update = Update { path: to_gnmi(path), val: Some(value), ..Update::default() };
        let request = SetRequest { prefix: to_gnmi(prefix), update: vec![update], ..SetRequest::default() };
        crate::shown("gnmi.SetRequest", &request.encode_to_vec())
    }

    #[test]
    fn secrets_in_values_are_hidden_and_the_rest_is_read() {
        let tree = serde_json::json!({"openconfig-system:user": [{"username": "ann", "config": {
            "password-hashed": "hunter2", "role": "admin"}}]});
        for encoding in [Encoding::Json, Encoding::JsonIetf] {
            let text = shown("/", "/system/aaa", Held::Json(tree.clone()).to_wire(encoding));
            assert!(text.contains("ann") && text.contains("admin") && !text.contains("hunter2"), "{text}");
        }
        for (prefix, path) in [("/", "/system/config/login_password"), ("/a/auth-key", "/x"), ("/a", "/snmp/community")]
        {
            for encoding in [Encoding::Proto, Encoding::Json] {
                let text = shown(prefix, path, Held::String("hunter2".into()).to_wire(encoding));
                assert!(text.contains("(hidden)") && !text.contains("hunter2"), "{text}");
            }
        }
        let cli = TypedValue { value: Some(typed_value::Value::AsciiVal("username ann secret hunter2".to_owned())) };
        let text = shown("/", "/", cli);
        assert!(text.contains("27 characters, hidden") && !text.contains("hunter2"), "{text}");
        let plain = shown("/", "/system/config/hostname", Held::String("r7".into()).to_wire(Encoding::Proto));
        assert!(plain.contains("r7") && plain.contains("hostname"), "{plain}");
    }
}
