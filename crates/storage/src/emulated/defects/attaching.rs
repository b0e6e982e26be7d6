//! Volumes that a second node gets beside the first, or gets with something else on them.

use std::sync::Arc;

use super::{At, Defect, Step};
use crate::emulated::state::Pages;

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "storage.attach.second_admitted",
        help: "a volume for one node is given to a second",
        at: &[At::Skip(Step::RefuseSecondNode)],
    },
    Defect {
        name: "storage.attach.wrong_volume",
        help: "after a failover another volume is attached",
        at: &[At::TakenDiskBesideAnother(Pages::clone_from)],
    },
    Defect {
        name: "storage.attach.old_snapshot",
        help: "after a failover an older state of the volume is served",
        at: &[At::TakenDisk(Pages::clone_from)],
    },
    Defect {
        name: "storage.attach.bit_flip",
        help: "after a failover one bit is another",
        at: &[At::TakenDisk(|pages, _| spoil(pages, |page| page[2000] ^= 1))],
    },
    Defect {
        name: "storage.attach.torn_page",
        help: "after a failover half of a page is old",
        at: &[At::TakenDisk(|pages, _| spoil(pages, |page| page[2048..].fill(0xa5)))],
    },
    Defect {
        name: "storage.attach.zero_tail",
        help: "after a failover the last pages are zeros",
        at: &[At::TakenDisk(|pages, _| {
            let keep = pages.len() / 2;
            pages.values_mut().skip(keep).for_each(|page| *page = Arc::new(vec![0; page.len()]));
        })],
    },
];

/// Changes the page in the middle.
fn spoil(pages: &mut Pages, change: impl FnOnce(&mut Vec<u8>)) {
    let middle = pages.len() / 2;
    if let Some(page) = pages.values_mut().nth(middle) {
        change(Arc::make_mut(page));
    }
}
