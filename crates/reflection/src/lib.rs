//! Messages by name: what `return{…}` and `corrupt(…)` need, which act on any of them.

mod gnmi;

use std::sync::LazyLock;

use holdfast_wire::DESCRIPTORS;
use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Map, Value};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).unwrap_or_default());

/// The full name of the message that a method takes or gives.
pub fn message_of(service: &str, method: &str, request: bool) -> Option<String> {
    let service = POOL.get_service_by_name(service)?;
    let method = service.methods().find(|known| known.name() == method)?;
    let message = if request { method.input() } else { method.output() };
    Some(message.full_name().to_owned())
}

/// Checks that `object` can be (part of) the message `name`.
pub fn check(name: &str, object: &Map<String, Value>) -> Result<(), String> {
    overlay(name, &[], object).map(drop)
}

/// The encoded message `name` with these fields in place of its own; the proto's field names, or JSON's.
pub fn overlay(name: &str, encoded: &[u8], object: &Map<String, Value>) -> Result<Vec<u8>, String> {
    let descriptor = POOL.get_message_by_name(name).ok_or_else(|| format!("{name} is no message"))?;
    let mut fields = decoded(name, encoded)?;
    for (key, value) in object {
        let field = descriptor.get_field_by_name(key).or_else(|| descriptor.get_field_by_json_name(key));
        let field = field.ok_or_else(|| format!("{name} has no field {key:?}: it has {}", fields_of(&descriptor)))?;
        if let Some(choice) = field.containing_oneof() {
            choice.fields().for_each(|other| drop(fields.remove(other.name())));
        }
        fields.insert(field.name().to_owned(), value.clone());
    }
    let message =
        DynamicMessage::deserialize_with_options(descriptor, Value::Object(fields), &DeserializeOptions::new());
    message.map(|message| message.encode_to_vec()).map_err(|error| format!("{name}: {error}"))
}

/// The encoded message `name` as JSON, by the proto's field names; bytes are base64, and what is not known is left out.
pub fn decoded(name: &str, encoded: &[u8]) -> Result<Map<String, Value>, String> {
    let descriptor = POOL.get_message_by_name(name).ok_or_else(|| format!("{name} is no message"))?;
    let held = DynamicMessage::decode(descriptor, encoded).map_err(|error| error.to_string())?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    match held.serialize_with_options(serde_json::value::Serializer, &options).map_err(|error| error.to_string())? {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

fn fields_of(descriptor: &MessageDescriptor) -> String {
    descriptor.fields().map(|field| field.name().to_owned()).collect::<Vec<_>>().join(", ")
}

/// The fields of the message `name`, and of which message each is, where it is one.
pub fn fields(name: &str) -> Vec<(String, Option<String>)> {
    let Some(descriptor) = POOL.get_message_by_name(name) else { return Vec::new() };
    let of = |field: &prost_reflect::FieldDescriptor| field.kind().as_message().map(|m| m.full_name().to_owned());
    descriptor.fields().map(|field| (field.name().to_owned(), of(&field))).collect()
}

/// An encoded message as text, without what may be a secret: values of environments, of drivers' options, credentials.
pub fn shown(name: &str, encoded: &[u8]) -> String {
    let fields = POOL.get_message_by_name(name).and_then(|descriptor| {
        let message = DynamicMessage::decode(descriptor, encoded).ok()?;
        let options = SerializeOptions::new().use_proto_field_name(true);
        let mut fields = message.serialize_with_options(serde_json::value::Serializer, &options).ok()?;
        hide(&mut fields);
        Some(fields)
    });
    let short = name.rsplit('.').next().unwrap_or(name);
    format!("{short} {}", fields.unwrap_or(Value::Null))
}

/// Fields whose values may be secrets: commands and plugins' configurations have some in them.
const HIDDEN: [&str; 6] = ["cmd", "config", "credentials", "environment", "options", "password"];

fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => {
            gnmi::hide_by_path(members);
            for (key, member) in members {
                match member {
                    _ if gnmi::is_value(key) => *member = gnmi::shown(key, member),
                    _ if !HIDDEN.contains(&key.as_str()) => hide(member),
                    Value::Object(entries) => entries.values_mut().for_each(|entry| *entry = hidden()),
                    other => *other = hidden(),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide),
        _ => {}
    }
}

fn hidden() -> Value {
    Value::String("(hidden)".to_owned())
}

/// Each service of `proto/` with its methods.
pub fn services() -> Vec<(String, Vec<String>)> {
    let methods =
        |service: &prost_reflect::ServiceDescriptor| service.methods().map(|method| method.name().to_owned()).collect();
    POOL.services().map(|service| (service.full_name().to_owned(), methods(&service))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_wire::gnoi::containerz::{DeployResponse, ListVolumeResponse};

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn fields_take_the_place_of_others() {
        let volume = ListVolumeResponse { name: "a".into(), driver: "local".into(), ..Default::default() };
        let changed = overlay(
            "gnoi.containerz.ListVolumeResponse",
            &volume.encode_to_vec(),
            &object(r#"{"driver": "custom", "labels": {"x": "y"}}"#),
        );
        let changed = ListVolumeResponse::decode(&changed.expect("a message")[..]).expect("a message");
        assert_eq!((changed.name.as_str(), changed.driver.as_str()), ("a", "custom"));
        assert_eq!(changed.labels["x"], "y");
    }

    #[test]
    fn one_of_several_replaces_the_others() {
        let name = "gnoi.containerz.DeployResponse";
        let first = overlay(name, &[], &object(r#"{"image_transfer_progress": {"bytes_received": 5}}"#));
        let second = overlay(name, &first.expect("a message"), &object(r#"{"image_transfer_success": {"name": "x"}}"#));
        let decoded = DeployResponse::decode(&second.expect("a message")[..]).expect("a message");
        assert!(format!("{decoded:?}").contains("ImageTransferSuccess"));
    }

    #[test]
    fn what_the_message_does_not_have_is_refused() {
        let error = check("gnoi.containerz.ListVolumeResponse", &object(r#"{"colour": 1}"#)).expect_err("unknown");
        assert!(error.contains("no field \"colour\"") && error.contains("driver"), "{error}");
        assert!(check("gnoi.containerz.ListVolumeResponse", &object(r#"{"name": 1}"#)).is_err());
    }
}
