//! What two do at once to one name.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::{Emulated, FAILPOINTS, Timings};
use crate::faults::{Fault, Faults, Part};
use crate::nodes::{Mount, Nodes, Spec};
use crate::volumes::{Volume, VolumeRequest, Volumes};
use holdfast_failpoint::Registry;
use holdfast_ledger::{Opening, Work};

const NODE: &str = "node1";
const ROUNDS: usize = 100;
/// What one of two does at most until the other is done.
const CALLS: usize = 40;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn emulated() -> Emulated {
    let timings = Timings { sync: Duration::ZERO, attach: Duration::ZERO, ..Timings::default() };
    Emulated::new(&[NODE.to_owned()], Arc::new(Registry::new(FAILPOINTS, 0)), timings)
}

fn staged(emulated: &Emulated) -> Volume {
    let request = VolumeRequest { name: "one".to_owned(), bytes: 1 << 20, ..VolumeRequest::default() };
    let volume = emulated.create(NODE, &request, soon()).expect("a volume");
    let attachment = emulated.attach(&volume, NODE, soon()).expect("attached");
    emulated.stage(&volume, &attachment, NODE, soon()).expect("staged");
    volume
}

fn mount(emulated: &Emulated, volume: &Volume, task: &str) -> holdfast_net::error::Result<std::path::PathBuf> {
    emulated.mount(volume, &crate::volumes::Attachment::default(), NODE, task, soon())
}

/// Both at once, from one moment on.
pub fn at_once<A: Send, B: Send>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B + Send) -> (A, B) {
    let ready = Barrier::new(2);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            ready.wait();
            other()
        });
        ready.wait();
        let one = one();
        (one, other.join().expect("no panic"))
    })
}

#[test]
fn two_creates_of_one_name_make_one_volume() {
    for _ in 0..ROUNDS {
        let emulated = emulated();
        let request = VolumeRequest { name: "one".to_owned(), bytes: 1 << 20, ..VolumeRequest::default() };
        let create = || emulated.create(NODE, &request, soon()).expect("a volume");
        let (one, other) = at_once(create, create);
        assert_eq!(one, other);
        assert_eq!(emulated.list(NODE, soon()).expect("a list"), [one]);
    }
}

#[test]
fn two_mounts_for_one_task_are_one() {
    for _ in 0..ROUNDS {
        let emulated = emulated();
        let volume = staged(&emulated);
        let publish = || mount(&emulated, &volume, "task").expect("mounted");
        assert_eq!(at_once(publish, publish).0, publish());
        emulated.unmount(&volume, NODE, "task", soon()).expect("unmounted");
        emulated.unstage(&volume, NODE, soon()).expect("nobody has it");
    }
}

#[test]
fn a_plugin_that_was_killed_mounts_nothing() {
    for _ in 0..ROUNDS {
        let emulated = emulated();
        let volume = staged(&emulated);
        let mounted = || emulated.world().nodes[NODE].published.len();
        let publish = || (0..CALLS).take_while(|task| mount(&emulated, &volume, &task.to_string()).is_ok()).count();
        let kill = || {
            emulated.inflict(NODE, Fault::Kill(Part::Plugin), soon()).expect("killed");
            mounted()
        };
        let (_, then) = at_once(publish, kill);
        assert_eq!(mounted(), then);
    }
}

#[test]
fn no_task_starts_on_a_mount_that_is_gone() {
    for _ in 0..ROUNDS {
        let emulated = emulated();
        let volume = staged(&emulated);
        let path = Mount::Path(mount(&emulated, &volume, "task").expect("mounted"));
        let on_it = || emulated.world().nodes[NODE].processes.values().filter(|task| task.volume == volume.id).count();
        let spec = Spec {
            task: "task".to_owned(),
            volume: volume.id.clone(),
            mount: path,
            opening: Opening { run: 0, writer: 1, incarnation: None, places: None, is_new: false },
            work: Work { records: Some(0), ..Work::default() },
            tell: Arc::new(|_| {}),
        };
        let start = || {
            let processes: Vec<_> =
                (0..CALLS / 8).filter_map(|_| emulated.start(NODE, spec.clone(), soon()).ok()).collect();
            for process in processes {
                process.stop(true, soon()).expect("stopped");
            }
        };
        let unmount = || {
            emulated.unmount(&volume, NODE, "task", soon()).expect("unmounted");
            on_it()
        };
        let ((), then) = at_once(start, unmount);
        assert_eq!(on_it(), then);
    }
}
