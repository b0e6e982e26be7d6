//! The defects of the emulated device. What a healthy one does is written elsewhere, and knows the sites alone.
//!
//! A defect is a row: its name, its line, and what it does at which site. Where a failpoint that is there anyway does
//! it, the row has the terms for that; else a small function hangs on a site of `At`. Arming a defect's name turns the
//! defect on: by any term but `off` that fires.

mod access;
mod crashes;
mod lists;
mod load_container;
mod load_image;
mod load_plugin;
mod load_volume;
mod made;
mod operations;
mod reboot;
mod switchover;

use std::sync::Arc;

use super::shared::SharedChassis;
use super::sites::{Fires, Leaves, Lists, Roles, Step, plant};
use holdfast_failpoint::{Groups, Name};

/// All of them, in the order in which they are listed.
pub const GROUPS: Groups<At> = &[
    access::DEFECTS,
    switchover::DEFECTS,
    operations::DEFECTS,
    made::DEFECTS,
    reboot::DEFECTS,
    load_image::DEFECTS,
    load_container::DEFECTS,
    load_volume::DEFECTS,
    load_plugin::DEFECTS,
    lists::DEFECTS,
    crashes::DEFECTS,
];

/// A defect of a device.
type Defect = holdfast_failpoint::Defect<At>;
type At = super::sites::At<SharedChassis>;

/// What a defect does while containers run again.
fn before_the_standby_is_back(chassis: &Arc<SharedChassis>, defect: impl Future<Output = ()> + Send + 'static) {
    chassis.defects.acting().send_modify(|acting| *acting += 1);
    let during = chassis.clone();
    chassis.spawn(async move {
        defect.await;
        during.defects.acting().send_modify(|acting| *acting -= 1);
    });
}

/// An id that no image or volume has.
fn fresh_id() -> String {
    format!("sha256:{:064x}", super::state::now())
}

/// How many there are.
pub const COUNT: usize = {
    let (mut count, mut group) = (0, 0);
    while group < GROUPS.len() {
        count += GROUPS[group].len();
        group += 1;
    }
    count
};

/// `sites`, and the defects after them.
pub const fn named<const ALL: usize>(sites: &[Name]) -> [Name; ALL] {
    let mut names = [Name { name: "", help: "" }; ALL];
    let (mut at, mut group) = (0, 0);
    while at < sites.len() {
        names[at] = sites[at];
        at += 1;
    }
    while group < GROUPS.len() {
        let mut row = 0;
        while row < GROUPS[group].len() {
            let defect = &GROUPS[group][row];
            check_failpoints(defect.at, sites);
            names[at] = Name { name: defect.name, help: defect.help };
            (at, row) = (at + 1, row + 1);
        }
        group += 1;
    }
    names
}

/// A row at a failpoint that does not exist does not compile.
const fn check_failpoints(rows: &[At], sites: &[Name]) {
    let mut row = 0;
    while row < rows.len() {
        if let At::Failpoint(site, _) = rows[row] {
            let mut at = 0;
            while at < sites.len() && !same(sites[at].name, site) {
                at += 1;
            }
            assert!(at < sites.len(), "a defect is at a failpoint that does not exist");
        }
        row += 1;
    }
}

const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    one.len() == other.len() && at == one.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Defects;
    use holdfast_failpoint::{Action, Registry, Terms};

    #[test]
    fn the_terms_of_every_row_may_stand_at_its_failpoint() {
        let mut rows = 0;
        for defect in GROUPS.iter().flat_map(|group| group.iter()) {
            assert!(!defect.at.is_empty(), "{} does nothing", defect.name);
            for at in defect.at {
                let At::Failpoint(site, terms) = at else { continue };
                rows += 1;
                let terms: Terms = terms.parse().unwrap_or_else(|error| panic!("{}: {error}", defect.name));
                crate::message_sites::check(site, &terms).unwrap_or_else(|error| panic!("{}: {error}", defect.name));
            }
        }
        assert!(rows > 15, "{rows}");
    }

    #[test]
    fn a_row_keeps_the_counts_of_who_armed_it() {
        let registry = Arc::new(Registry::new(crate::FAILPOINTS, 0));
        let defects = Defects::new(registry.clone(), GROUPS).at_failpoints();
        assert_eq!(defects.rows_at("system.Reboot").count(), 0, "nothing is armed");
        registry.arm("reboot.ignored", "1*off->1*delay(60s)".parse().expect("terms")).expect("known");
        let (name, terms) = defects.rows_at("system.Reboot").next().expect("a row");
        assert_eq!(defects.turned_on(name, terms), None);
        let actions = defects.turned_on(name, terms).map(|fired| fired.actions);
        assert_eq!(actions, Some(vec![Action::Return("{}".to_owned())]));
        assert_eq!(defects.turned_on(name, terms), None);
        assert_eq!(registry.hits("reboot.ignored"), Ok(2));
    }
}
