//! The nodes of a user's cluster that a run takes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};

use super::cluster::{Cluster, is_ready};
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// What passes by itself is over by then.
const MOMENT: Duration = Duration::from_secs(10);

/// Which nodes are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// These.
    Names(Vec<String>),
    /// All with these labels.
    Selector(String),
}

impl Cluster {
    /// The addresses of the nodes that are asked for, by their names: each is Ready, gets pods, has the driver of
    /// `provisioner`, and runs what this machine runs. One that has just become Ready may bear a taint for a moment.
    pub fn members(&self, wanted: &Wanted, provisioner: &str, deadline: Instant) -> Result<BTreeMap<String, String>> {
        let mut found = None;
        let _late = wait_until(deadline.min(Instant::now() + MOMENT), "nodes that are fit", || {
            let members = self.members_now(wanted, provisioner, deadline);
            let is_there = members.is_ok();
            found = Some(members);
            is_there
        });
        found.unwrap_or_else(|| Err(Error::lab("the cluster's nodes were not listed in time")))
    }

    fn members_now(&self, wanted: &Wanted, provisioner: &str, deadline: Instant) -> Result<BTreeMap<String, String>> {
        let labels = if let Wanted::Selector(selector) = wanted { selector.as_str() } else { "" };
        let listed = self.list(&self.all::<Node>(), labels, deadline)?.into_iter();
        let found: BTreeMap<String, Node> =
            listed.filter_map(|node| Some((node.metadata.name.clone()?, node))).collect();
        let having = self.having(provisioner, deadline)?;
        let unfit = |name: &str, node: &Node| unfit(node).or_else(|| lacks_driver(name, provisioner, &having));
        match wanted {
            Wanted::Names(names) => names.iter().map(|name| named(name, &found, &unfit)).collect(),
            Wanted::Selector(_) => fit(&found, &unfit),
        }
    }

    /// The nodes whose kubelets know a driver (`CSINode`).
    fn having(&self, driver: &str, deadline: Instant) -> Result<BTreeSet<String>> {
        let listed = self.list(&self.all::<CSINode>(), "", deadline)?.into_iter();
        let having = listed.filter(|node| node.spec.drivers.iter().any(|known| known.name == driver));
        Ok(having.filter_map(|node| node.metadata.name).collect())
    }

    /// Who makes the volumes of a class.
    pub fn provisioner(&self, class: &str, deadline: Instant) -> Result<String> {
        let found = self.storage_class(class, deadline)?;
        if found.reclaim_policy.as_deref() == Some("Retain") {
            return Err(Error::invalid(format!("the StorageClass {class} retains its volumes: none would ever go"))
                .hint("storage_class: one with reclaimPolicy: Delete"));
        }
        Ok(found.provisioner)
    }

    /// A class by its name; an error that names those that there are, where there is none of this name.
    pub fn storage_class(&self, name: &str, deadline: Instant) -> Result<StorageClass> {
        let found = self.find(&self.all::<StorageClass>(), name, deadline)?;
        found.ok_or_else(|| {
            let all = self.list(&self.all::<StorageClass>(), "", deadline).unwrap_or_default();
            let names: Vec<String> = all.into_iter().filter_map(|class| class.metadata.name).collect();
            Error::invalid(format!("there is no StorageClass {name:?}"))
                .hint(format!("storage_class: one of: {}", names.join(", ")))
        })
    }
}

/// Why a node has no volume of a driver. One that no kubelet knows is no CSI driver, or down: then nothing can be told of a
/// node.
fn lacks_driver(node: &str, driver: &str, having: &BTreeSet<String>) -> Option<String> {
    let lacks = !having.is_empty() && !having.contains(node);
    lacks.then(|| format!("{driver} does not run there: its CSINode does not have it"))
}

/// Why a node takes no task of ours, whatever its volume.
fn unfit(node: &Node) -> Option<String> {
    let spec = node.spec.as_ref();
    let taints = spec.and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
    let kept_away = taints.into_iter().find(|taint| taint.effect != "PreferNoSchedule");
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
    let (architecture, system) = (info.map(|info| &info.architecture), info.map(|info| &info.operating_system));
    match architecture {
        _ if !is_ready(node) => Some("it is not Ready".to_owned()),
        _ if spec.and_then(|spec| spec.unschedulable) == Some(true) => Some("it is cordoned".to_owned()),
        _ if kept_away.is_some() => kept_away.map(|taint| format!("it has the taint {}:{}", taint.key, taint.effect)),
        _ if system.is_some_and(|system| system != "linux") => Some("it does not run Linux".to_owned()),
        Some(theirs) if theirs != own_architecture() => {
            Some(format!("it is {theirs}, and the ledger's executable here is {}", own_architecture()))
        }
        _ => None,
    }
}

/// Whether the cluster itself is lost with a node, in words: such a one is harmed only where it is named.
fn governs(node: &Node) -> Option<String> {
    let labels = node.metadata.labels.as_ref()?;
    let role = ["control-plane", "master", "etcd"].into_iter().find(|role| {
        let label = format!("node-role.kubernetes.io/{role}");
        labels.get(&label).is_some_and(|value| value != "false")
    })?;
    Some(format!("it is the cluster's own ({role}): name it in nodes, if it may be harmed"))
}

/// A node that must take part, and its address.
fn named(
    name: &str,
    found: &BTreeMap<String, Node>,
    unfit: &dyn Fn(&str, &Node) -> Option<String>,
) -> Result<(String, String)> {
    let Some(node) = found.get(name) else {
        let known = found.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(Error::invalid(format!("there is no node {name:?}")).hint(format!("nodes: {known}")));
    };
    match unfit(name, node) {
        Some(why) => Err(Error::invalid(format!("the node {name} cannot have tasks: {why}"))),
        None => Ok((name.to_owned(), address(name, node))),
    }
}

/// All that are fit, and their addresses; an error that says what is wrong with the others, where too few are.
fn fit(
    found: &BTreeMap<String, Node>,
    unfit: &dyn Fn(&str, &Node) -> Option<String>,
) -> Result<BTreeMap<String, String>> {
    let able: BTreeMap<_, _> = found
        .iter()
        .filter(|(name, node)| unfit(name, node).or_else(|| governs(node)).is_none())
        .map(|(name, node)| (name.clone(), address(name, node)))
        .collect();
    if able.len() >= 2 {
        return Ok(able);
    }
    let others = found
        .iter()
        .filter_map(|(name, node)| Some(format!("{name}: {}", unfit(name, node).or_else(|| governs(node))?)));
    let why = others.collect::<Vec<_>>().join("; ");
    let many = able.len();
    Err(Error::invalid(format!(
        "{many} of {} nodes are fit for a run, and every failover takes two: {why}",
        found.len()
    ))
    .hint("nodes: names, or selector: labels, of nodes that are Ready and get pods"))
}

fn own_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn address(name: &str, node: &Node) -> String {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let internal = addresses.into_iter().find(|address| address.type_ == "InternalIP");
    internal.map_or_else(|| name.to_owned(), |address| address.address.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::manifests::object;
    use serde_json::{Value, json};

    fn node(spec: &Value, ready: &str, architecture: &str) -> Node {
        object(&json!({
            "metadata": {"name": "a"},
            "spec": spec,
            "status": {
                "conditions": [{"type": "Ready", "status": ready}],
                "addresses": [
                    {"type": "Hostname", "address": "a.example"},
                    {"type": "InternalIP", "address": "192.0.2.1"},
                ],
                "nodeInfo": {
                    "architecture": architecture, "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
                    "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "linux",
                    "osImage": "", "systemUUID": "",
                },
            },
        }))
        .expect("a node")
    }

    #[test]
    fn a_node_that_gets_no_pods_of_ours_is_named_with_the_reason() {
        let here = own_architecture();
        let of = |node: Node| BTreeMap::from([("a".to_owned(), node)]);
        let good = of(node(&json!({}), "True", here));
        assert_eq!(named("a", &good, &of_itself).expect("fit"), ("a".to_owned(), "192.0.2.1".to_owned()));
        assert!(named("b", &good, &of_itself).expect_err("unknown").to_string().contains("there is no node"));
        let soft = json!({"taints": [{"key": "slow", "effect": "PreferNoSchedule"}]});
        assert_eq!(unfit(&node(&soft, "True", here)), None);
        let control = json!({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]});
        for (spec, ready, architecture, why) in [
            (json!({}), "Unknown", here, "not Ready"),
            (json!({"unschedulable": true}), "True", here, "cordoned"),
            (control, "True", here, "node-role.kubernetes.io/control-plane:NoSchedule"),
            (json!({}), "True", "riscv64", "it is riscv64"),
        ] {
            let found = of(node(&spec, ready, architecture));
            for said in
                [named("a", &found, &of_itself).map(drop).expect_err(why), fit(&found, &of_itself).expect_err(why)]
            {
                assert!(said.to_string().contains(why), "{said}");
            }
        }
    }

    fn of_itself(_: &str, node: &Node) -> Option<String> {
        unfit(node)
    }

    #[test]
    fn a_node_that_a_driver_does_not_run_on_takes_no_part() {
        let having = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        let nodes: BTreeMap<_, _> =
            ["a", "b", "c"].map(|name| (name.to_owned(), node(&json!({}), "True", own_architecture()))).into();
        let known = having(&["a", "c"]);
        let of_driver = |name: &str, node: &Node| unfit(node).or_else(|| lacks_driver(name, "x.csi", &known));
        let able = fit(&nodes, &of_driver).expect("two");
        assert_eq!(able.keys().collect::<Vec<_>>(), ["a", "c"]);
        let said = named("b", &nodes, &of_driver).expect_err("named").to_string();
        assert!(said.contains("x.csi does not run there"), "{said}");
        assert_eq!(lacks_driver("b", "x.csi", &having(&[])), None, "no CSI driver has a node");
    }

    #[test]
    fn a_node_that_the_cluster_itself_is_on_takes_part_only_where_it_is_named() {
        let mut governing = node(&json!({}), "True", own_architecture());
        governing.metadata.labels = Some([("node-role.kubernetes.io/etcd".to_owned(), "true".to_owned())].into());
        let found = BTreeMap::from([("a".to_owned(), governing)]);
        assert!(named("a", &found, &of_itself).is_ok());
        assert!(fit(&found, &of_itself).expect_err("too few").to_string().contains("name it in nodes"));
    }
}
