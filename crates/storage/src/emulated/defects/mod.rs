//! The defects of the emulated provider. What a healthy one does is written elsewhere, and knows the sites alone.
//!
//! A defect is a row: its name, its line, and what it does at which site of `At`. Arming a defect's name turns the
//! defect on: by any term but `off` that fires.

mod attaching;
mod creating;
mod data;
mod detaching;
mod features;
mod fencing;
mod mounting;
mod plugin;
mod repeating;
mod tasks;

use super::sites::{At, Keeps, Step};
use holdfast_failpoint::{Groups, Name};

/// All of them, in the order in which they are listed.
pub const GROUPS: Groups<At> = &[
    creating::DEFECTS,
    attaching::DEFECTS,
    detaching::DEFECTS,
    fencing::DEFECTS,
    mounting::DEFECTS,
    plugin::DEFECTS,
    repeating::DEFECTS,
    data::DEFECTS,
    tasks::DEFECTS,
    features::DEFECTS,
];

/// A defect of a storage provider.
type Defect = holdfast_failpoint::Defect<At>;

/// Every failpoint of the emulated provider.
pub const FAILPOINTS: &[Name] = &named::<{ count() }>();

const fn count() -> usize {
    let (mut count, mut group) = (0, 0);
    while group < GROUPS.len() {
        count += GROUPS[group].len();
        group += 1;
    }
    count
}

const fn named<const ALL: usize>() -> [Name; ALL] {
    let mut names = [Name { name: "", help: "" }; ALL];
    let (mut at, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut row = 0;
        while row < GROUPS[group].len() {
            let defect = &GROUPS[group][row];
            assert!(!defect.at.is_empty(), "a defect does nothing");
            names[at] = Name { name: defect.name, help: defect.help };
            (at, row) = (at + 1, row + 1);
        }
        group += 1;
    }
    names
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::emulated::sites::Defects;
    use crate::emulated::state::{Disk, EmulatedState, Node, Pages};
    use crate::volumes::VolumeRequest;
    use holdfast_failpoint::Registry;

    fn armed(name: &str) -> (Arc<Registry>, Defects) {
        let registry = Arc::new(Registry::new(FAILPOINTS, 0));
        registry.arm(name, "error(x)".parse().expect("terms")).expect("known");
        (registry.clone(), Defects::new(registry, GROUPS))
    }

    #[test]
    fn every_defect_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = FAILPOINTS.iter().map(|failpoint| failpoint.name).collect();
        assert_eq!(names.len(), FAILPOINTS.len());
        assert!(names.iter().all(|name| name.starts_with("storage.")), "{names:?}");
    }

    #[test]
    fn a_defect_is_reached_only_where_it_would_show() {
        let name = "storage.detach.refused_for_dead";
        let (registry, defects) = armed(name);
        let mut node = Node::default();
        assert!(defects.detach(&node, "volume-1").is_none());
        assert_eq!(registry.hits(name), Ok(0));
        node.powered = false;
        assert!(matches!(defects.detach(&node, "volume-1"), Some(Keeps::Because("it may come back"))));
        assert_eq!(registry.hits(name), Ok(1));
    }

    #[test]
    fn what_a_server_did_not_save_is_gone_with_it() {
        let (registry, defects) = armed("storage.server.cached");
        let mut world = EmulatedState::new(&[]);
        let id = world.add(Disk::new(VolumeRequest::default()));
        let page = |byte| Arc::new(vec![byte]);
        let mut write = |pages: Pages| {
            let disk = world.server.volumes.get_mut(&id).expect("a volume");
            defects.write(&id, disk, &pages);
            disk.pages.extend(pages);
        };
        registry.disarm("storage.server.cached").expect("known");
        write(Pages::from([(0, page(1)), (1, page(1))]));
        registry.arm("storage.server.cached", "2*error(x)".parse().expect("terms")).expect("known");
        write(Pages::from([(1, page(2)), (2, page(2))]));
        write(Pages::from([(2, page(3)), (3, page(3))]));
        write(Pages::from([(3, page(4))]));
        defects.server_killed(&mut world.server);
        assert_eq!(world.server.volumes[&id].pages, Pages::from([(0, page(1)), (1, page(1)), (3, page(4))]));
    }
}
