//! Notifications as gNMI 0.3 had them, which devices in the field still send: paths of texts, values of bytes.

use holdfast_wire::gnmi::{self, Encoding, Notification};
use holdfast_wire::path::Path;
use holdfast_wire::value::Value;

/// The same notification in that form.
#[allow(deprecated)]
pub fn rewrite(notification: &mut Notification) {
    let updates = notification.update.iter_mut();
    for update in updates {
        if let Some(value) = update.val.take().as_ref().and_then(Value::from_wire) {
            let value = value.to_json(false).to_string().into_bytes();
            update.value = Some(gnmi::Value { value, r#type: Encoding::Json as i32 });
        }
        update.path.iter_mut().for_each(rewrite_path);
    }
    notification.prefix.iter_mut().chain(&mut notification.delete).for_each(rewrite_path);
}

#[allow(deprecated)]
fn rewrite_path(path: &mut gnmi::Path) {
    let whole = Path::from_gnmi(path);
    let text = |element| {
        let alone = Path { origin: String::new(), elements: vec![element] };
        alone.to_string().trim_start_matches('/').to_owned()
    };
    path.element = whole.elements.into_iter().map(text).collect();
    path.elem.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_wire::gnmi::Update;

    #[test]
    fn a_client_reads_the_same_from_it() {
        let path: Path = "/components/component[name=0/RP0/CPU0]/state/redundant-role".parse().expect("a path");
        let value = Value::String("PRIMARY".to_owned());
        let update =
            Update { path: Some(path.to_gnmi()), val: Some(value.to_wire(Encoding::Proto)), ..Update::default() };
        let mut notification = Notification { update: vec![update], ..Notification::default() };
        rewrite(&mut notification);
        let update = &notification.update[0];
        let told = update.path.as_ref().expect("a path");
        assert!(told.elem.is_empty() && update.val.is_none());
        assert_eq!(Path::from_gnmi(told).elements, path.elements);
        assert_eq!(Value::from_update(update), Some(value));
    }
}
