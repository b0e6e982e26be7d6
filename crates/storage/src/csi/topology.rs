//! From where a volume can be reached: a driver's topology.

use std::collections::BTreeMap;

use holdfast_wire::csi;

/// Where something is: a value for each of the driver's keys.
pub type Segments = BTreeMap<String, String>;

fn as_message(segments: &Segments) -> csi::Topology {
    csi::Topology { segments: segments.clone().into_iter().collect() }
}

/// What is asked of a volume that is made for `node`: as near to it as can be, and from anywhere else too.
pub fn requirement(nodes: &BTreeMap<String, Segments>, node: &str) -> Option<csi::TopologyRequirement> {
    let own = nodes.get(node)?;
    let mut all = vec![own];
    for other in nodes.values() {
        if !all.contains(&other) {
            all.push(other);
        }
    }
    let all: Vec<_> = all.into_iter().map(as_message).collect();
    Some(csi::TopologyRequirement { requisite: all.clone(), preferred: all })
}

/// The nodes that can have a volume; none, where all can.
pub fn accessible(nodes: &BTreeMap<String, Segments>, of_volume: &[csi::Topology]) -> Option<Vec<String>> {
    if nodes.is_empty() || of_volume.is_empty() {
        return None;
    }
    let within =
        |own: &Segments, place: &csi::Topology| place.segments.iter().all(|(key, value)| own.get(key) == Some(value));
    let reach = nodes.iter().filter(|(_, own)| of_volume.iter().any(|place| within(own, place)));
    let reach: Vec<String> = reach.map(|(name, _)| name.clone()).collect();
    (reach.len() < nodes.len()).then_some(reach)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> BTreeMap<String, Segments> {
        let node = |host: &str, zone: &str| {
            let segments = [("host".to_owned(), host.to_owned()), ("zone".to_owned(), zone.to_owned())];
            (host.to_owned(), Segments::from(segments))
        };
        [node("node1", "a"), node("node2", "a"), node("node3", "b")].into()
    }

    fn place(key: &str, value: &str) -> csi::Topology {
        csi::Topology { segments: [(key.to_owned(), value.to_owned())].into() }
    }

    #[test]
    fn a_volume_is_asked_for_near_its_node_first() {
        let asked = requirement(&nodes(), "node2").expect("a topology");
        assert_eq!(asked.preferred[0].segments["host"], "node2");
        assert_eq!((asked.preferred.len(), asked.requisite.len()), (3, 3));
        assert!(requirement(&BTreeMap::new(), "node2").is_none());
    }

    #[test]
    fn where_a_volume_can_be_is_read_from_its_segments() {
        assert_eq!(accessible(&nodes(), &[]), None);
        assert_eq!(accessible(&nodes(), &[place("zone", "a"), place("zone", "b")]), None);
        assert_eq!(accessible(&nodes(), &[place("zone", "a")]), Some(vec!["node1".to_owned(), "node2".to_owned()]));
        assert_eq!(accessible(&nodes(), &[place("host", "node3")]), Some(vec!["node3".to_owned()]));
        assert_eq!(accessible(&nodes(), &[place("rack", "9")]), Some(Vec::new()));
    }
}
