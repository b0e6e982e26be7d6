//! Switchovers that are none, or that leave something behind.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{At, Defect, Roles, Step, before_the_standby_is_back, plant};
use crate::failover;
use crate::shared::SharedChassis;
use crate::state::{State, Switched, now};
use crate::store::{Container, Inventory, Store, Volume};
use holdfast_ledger as ledger;
use holdfast_net::waiting::{pause, until};

/// How often, and how quickly, roles swap with `switchover.flapping`: an even number ends where it began.
const FLAPS: u32 = 8;
const FLAP: Duration = Duration::from_millis(200);
/// How long `switchover.claimed` goes on lying.
const CLAIM: Duration = Duration::from_secs(3);

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "switchover.ignored",
        help: "answers with success and does nothing",
        at: &[At::Failpoint("system.SwitchControlProcessor", "return{}")],
    },
    Defect {
        name: "switchover.claimed",
        help: "reports the roles swapped for three seconds and does nothing",
        at: &[At::SwitchoverBegins(|chassis| Box::pin(claim(chassis)))],
    },
    Defect {
        name: "switchover.reversed",
        help: "swaps the roles, and swaps them back as soon as the old active is up",
        at: &[At::TookOver(|chassis, fallen| Box::pin(reverse(chassis, fallen)))],
    },
    Defect {
        name: "switchover.never_redundant",
        help: "the old active never comes back in step",
        at: &[At::Failpoint("switchover.come_back", "drop")],
    },
    Defect {
        name: "switchover.flapping",
        help: "the roles go on swapping for a while",
        at: &[At::TookOver(|chassis, _| Box::pin(flap(chassis)))],
    },
    Defect {
        name: "switchover.ready_stuck",
        help: "switchover-ready never turns true again",
        at: &[At::CameBack(|chassis, _| chassis.defects.lasting().ready_stuck = true)],
    },
    Defect {
        name: "switchover.clock_back",
        help: "the new active's clock is an hour behind",
        at: &[At::BeforeTakeOver(|chassis, _| chassis.defects.lasting().clock_back = true)],
    },
    Defect {
        name: "switchover.split_brain",
        help: "both control processors call themselves PRIMARY from then on",
        at: &[At::BeforeTakeOver(|chassis, _| chassis.defects.lasting().roles = Roles::BothPrimary)],
    },
    Defect {
        name: "switchover.returns_empty",
        help: "the old active comes back with nothing, says it is in step, and is never copied to again",
        at: &[At::CameBack(return_empty)],
    },
    Defect { name: "switchover.leaks", help: "a volume of nobody's is left behind", at: &[At::AfterLoad(leak)] },
    Defect {
        name: "switchover.takes_others",
        help: "what is not this run's is lost: the oldest volume",
        at: &[At::AfterLoad(|chassis, active| {
            plant(&chassis.control_processors[active].store, |held| {
                held.volumes.drain(..held.volumes.len().min(1));
                Ok(())
            });
        })],
    },
    Defect {
        name: "switchover.stale_writer",
        help: "a container of the old active goes on writing to its volume",
        at: &[At::AfterLoad(|chassis, active| {
            before_the_standby_is_back(chassis, write_stale(chassis.clone(), active));
        })],
    },
    Defect {
        name: "switchover.unreplicated",
        help: "a standby that is not in step takes over, and volumes of the last second are lost",
        at: &[At::Skip(Step::RefuseStandby), At::BeforeTakeOver(forget_last)],
    },
    Defect {
        name: "switchover.sync.removal",
        help: "what was removed stays on the standby",
        at: &[At::BeforeCopy(keep_what_was_removed)],
    },
    Defect {
        name: "switchover.sync.data",
        help: "what containers write never reaches the standby",
        at: &[At::Skip(Step::CopyContents), At::Skip(Step::CopyWrites)],
    },
    Defect {
        name: "ledger.unsynced",
        help: "what a container wrote reaches the standby late: a crash loses it",
        at: &[At::Skip(Step::CopyWrites)],
    },
];

async fn claim(chassis: Arc<SharedChassis>) -> ControlFlow<()> {
    swap_reported_roles(&chassis);
    pause(CLAIM).await;
    swap_reported_roles(&chassis);
    ControlFlow::Break(())
}

fn swap_reported_roles(chassis: &SharedChassis) {
    chassis.defects.lasting().swap_roles();
    chassis.announce();
}

/// The roles go on swapping, as far as gNMI tells, and come to rest where they were.
async fn flap(chassis: Arc<SharedChassis>) -> ControlFlow<()> {
    chassis.transition(|state| state.accept(false));
    for _ in 0..FLAPS {
        pause(FLAP).await;
        swap_reported_roles(&chassis);
    }
    chassis.transition(State::stay);
    ControlFlow::Continue(())
}

async fn reverse(chassis: Arc<SharedChassis>, fallen: usize) -> ControlFlow<()> {
    failover::boot(&chassis, fallen).await;
    let active = chassis.state().active();
    let reversed = Switched { at: 0, trigger: "SYSTEM_INITIATED".to_owned(), details: "reversed".to_owned() };
    if failover::take_over(&chassis, active, reversed).await {
        failover::come_back(&chassis, active).await;
    }
    ControlFlow::Break(())
}

fn return_empty(chassis: &Arc<SharedChassis>, index: usize) {
    plant(&chassis.control_processors[index].store, |held| {
        *held = Inventory::default();
        Ok(())
    });
    chassis.defects.lasting().copies_stopped = true;
    chassis.announce();
}

fn leak(chassis: &Arc<SharedChassis>, active: usize) {
    let (options, labels) = (BTreeMap::new(), BTreeMap::new());
    let name = format!("leaked-{:x}", now());
    let volume = Volume { name, created: now(), driver: "local".to_owned(), options, labels };
    plant(&chassis.control_processors[active].store, |held| {
        held.volumes.push(volume);
        Ok(())
    });
}

fn forget_last(chassis: &SharedChassis, risen: usize) {
    const SECOND: u64 = 1_000_000_000;
    plant(&chassis.control_processors[risen].store, |held| {
        held.volumes.retain(|volume| volume.created + SECOND < now());
        Ok(())
    });
}

fn keep_what_was_removed(wanted: &Inventory, held: &Inventory, copied: &mut Inventory) {
    copied.images.extend(held.images.iter().filter(|kept| !wanted.images.contains(kept)).cloned());
    copied.containers.extend(held.containers.iter().filter(|kept| wanted.container(&kept.name).is_none()).cloned());
    // one that was removed before the standby had it at all is as if it had
    let quick = wanted.removed.containers.iter().filter(|gone| wanted.container(&gone.name).is_none());
    let quick: Vec<_> = quick.filter(|gone| copied.container(&gone.name).is_none()).cloned().collect();
    copied.containers.extend(quick);
    copied.volumes.extend(held.volumes.iter().filter(|kept| wanted.volume(&kept.name).is_none()).cloned());
}

/// A container of the old active goes on writing, over what one of the new active's has begun to.
async fn write_stale(chassis: Arc<SharedChassis>, active: usize) {
    let store = &chassis.control_processors[active].store;
    for container in store.inventory().containers {
        let Some((path, old, next)) = first_record_of_another(store, &container).await else { continue };
        let ledger::Head { number, offset, previous, .. } = next.head;
        let stale = ledger::Record::new(old, number, offset, previous, b"stale".to_vec()).block();
        let written =
            std::fs::OpenOptions::new().write(true).open(path).and_then(|file| file.write_all_at(&stale, offset));
        if let Err(error) = written {
            tracing::warn!("{error}");
        }
    }
}

/// A container's ledger, who wrote it first, and the first record of another writer, once there is one.
pub async fn first_record_of_another(
    store: &Store,
    container: &Container,
) -> Option<(PathBuf, ledger::Identity, ledger::Record)> {
    const PATIENCE: Duration = Duration::from_secs(4);
    const LOOK: Duration = Duration::from_millis(20);
    let (volume, file) = Store::ledger_of(container)?;
    let path = store.volume_folder(volume).join(file);
    let found = until(Instant::now() + PATIENCE, LOOK, || async {
        let held = ledger::read(&std::fs::read(&path).unwrap_or_default()).records;
        let first = held.first().map(|record| record.head.identity).unwrap_or_default();
        held.into_iter().find(|record| record.head.identity != first).map(|next| (first, next)).ok_or(())
    });
    let (first, next) = found.await.ok()?;
    Some((path, first, next))
}
