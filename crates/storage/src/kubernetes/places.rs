//! The nodes that a volume can be on, as its cluster knows them: pods that want it are placed there and nowhere else.

use std::collections::BTreeMap;
use std::time::Instant;

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume};
use k8s_openapi::api::storage::v1::CSINode;

use super::cluster::Cluster;
use holdfast_net::error::Result;

impl Cluster {
    /// The nodes that a volume is bound to (`spec.nodeAffinity` of a `PersistentVolume`); none where it is to all of them.
    pub fn places(&self, volume: &str, deadline: Instant) -> Result<Option<Vec<String>>> {
        let found = self.find(&self.all::<PersistentVolume>(), volume, deadline)?;
        let affinity = found.and_then(|found| found.spec?.node_affinity);
        let Some(required) = affinity.and_then(|affinity| affinity.required) else { return Ok(None) };
        let nodes = self.list(&self.all::<Node>(), "", deadline)?;
        let all = nodes.len();
        let terms = required.node_selector_terms;
        let names = nodes.into_iter().filter(|node| terms.iter().any(|term| meets(node, term)));
        let names: Vec<String> = names.filter_map(|node| node.metadata.name).collect();
        Ok((names.len() < all).then_some(names))
    }

    /// Whether volumes of a provider may be bound to nodes: a CSI driver says so of each node that it is on, and of who is
    /// none nobody knows.
    pub fn may_bind_to_nodes(&self, provisioner: &str, deadline: Instant) -> Result<bool> {
        let nodes = self.list(&self.all::<CSINode>(), "", deadline)?;
        let mut known = nodes.iter().flat_map(|node| &node.spec.drivers).filter(|driver| driver.name == provisioner);
        let is_one = known.clone().next().is_some();
        Ok(!is_one || known.any(|driver| driver.topology_keys.as_ref().is_some_and(|keys| !keys.is_empty())))
    }
}

/// Whether a node is one of those of a term: all that it says holds, and it says something.
fn meets(node: &Node, term: &NodeSelectorTerm) -> bool {
    let name = BTreeMap::from([("metadata.name".to_owned(), node.metadata.name.clone().unwrap_or_default())]);
    let none = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&none);
    let of_labels = term.match_expressions.iter().flatten().map(|each| (labels, each));
    let of_fields = term.match_fields.iter().flatten().map(|each| (&name, each));
    let mut all = of_labels.chain(of_fields).peekable();
    all.peek().is_some() && all.all(|(held, each)| holds(held, each))
}

/// One requirement, as Kubernetes' own reference has it (`NodeSelectorRequirement`).
fn holds(held: &BTreeMap<String, String>, requirement: &NodeSelectorRequirement) -> bool {
    let value = held.get(&requirement.key);
    let values = requirement.values.as_deref().unwrap_or_default();
    let is_in = value.is_some_and(|value| values.contains(value));
    let compared = || {
        let number = |text: &String| text.parse::<i64>().ok();
        Some(number(value?)?.cmp(&values.first().and_then(number)?))
    };
    match requirement.operator.as_str() {
        "In" => is_in,
        "NotIn" => !is_in,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared().is_some_and(std::cmp::Ordering::is_gt),
        "Lt" => compared().is_some_and(std::cmp::Ordering::is_lt),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::manifests::object;
    use serde_json::{Value, json};

    fn meets_term(term: &Value) -> bool {
        let labels = json!({"zone": "a", "generation": "7", "ssd": ""});
        let node: Node = object(&json!({"metadata": {"name": "node1", "labels": labels}})).expect("a node");
        meets(&node, &object(term).expect("a term"))
    }

    #[test]
    fn a_node_is_one_of_a_volume_s_where_all_of_a_term_holds() {
        let of =
            |key: &str, operator: &str, values: &[&str]| json!({"key": key, "operator": operator, "values": values});
        for (requirement, met) in [
            (of("zone", "In", &["a", "b"]), true),
            (of("zone", "In", &["b"]), false),
            (of("rack", "In", &["b"]), false),
            (of("zone", "NotIn", &["b"]), true),
            (of("rack", "NotIn", &["b"]), true),
            (of("zone", "NotIn", &["a"]), false),
            (of("ssd", "Exists", &[]), true),
            (of("rack", "Exists", &[]), false),
            (of("rack", "DoesNotExist", &[]), true),
            (of("ssd", "DoesNotExist", &[]), false),
            (of("generation", "Gt", &["6"]), true),
            (of("generation", "Gt", &["7"]), false),
            (of("generation", "Lt", &["8"]), true),
            (of("zone", "Lt", &["8"]), false),
        ] {
            assert_eq!(meets_term(&json!({"matchExpressions": [requirement]})), met, "{requirement}");
        }
        let (zone, other) = (of("zone", "In", &["a"]), of("rack", "Exists", &[]));
        assert!(!meets_term(&json!({"matchExpressions": [zone, other]})), "not all of it");
        assert!(!meets_term(&json!({})), "an empty term has no node");
        let named = |name: &str| json!({"matchFields": [of("metadata.name", "In", &[name])]});
        assert!(meets_term(&named("node1")) && !meets_term(&named("node2")));
    }
}
