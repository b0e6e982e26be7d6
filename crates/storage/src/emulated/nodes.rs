//! Nodes on which a task's process is a thread.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::io::{KILLED, Mounted};
use super::sites::Step;
use super::state::{EmulatedState, Running};
use super::world::Emulated;
use crate::nodes::{Leftover, LeftoverKind, Look, Mount, Nodes, Process, Spec, TaskEnding};
use holdfast_ledger::{BLOCK, Judge, Medium, Place, Stop, Writer, WriterMessage, run};
use holdfast_net::error::{Error, Kind, Result};

struct Thread {
    emulated: Emulated,
    node: String,
    number: u64,
}

impl Nodes for Emulated {
    fn names(&self) -> Vec<String> {
        self.world().nodes.keys().cloned().collect()
    }

    fn start(&self, node: &str, spec: Spec, _: Instant) -> Result<Box<dyn Process>> {
        let path = spec.mount.path()?;
        let (volume, number, serial, read_only, stop) = self.change(|world| {
            let volume = world.volume_at(node, path);
            let number = world.number();
            let on = world.node_mut(node)?;
            let serial = on.mounts.get(&volume).map_or(0, |mount| mount.serial);
            let read_only = on.read_only.contains(path);
            let stop = Stop::default();
            let running = Running {
                task: spec.task.clone(),
                volume: volume.clone(),
                stop: stop.clone(),
                killed: false,
                ended: None,
            };
            on.processes.insert(number, running);
            Ok::<_, Error>((volume, number, serial, read_only, stop))
        })?;
        let process = Some(number);
        let medium = Mounted { emulated: self.clone(), node: node.to_owned(), volume, serial, process, read_only };
        let process = Thread { emulated: self.clone(), node: node.to_owned(), number };
        let (emulated, on) = (self.clone(), node.to_owned());
        let work = move || {
            let ended = write(medium, &spec, &stop);
            emulated.change(|world| {
                if let Some(running) = world.nodes.get_mut(&on).and_then(|node| node.processes.get_mut(&number)) {
                    running.ended = Some(ended);
                }
            });
        };
        let thread = std::thread::Builder::new().name(format!("holdfast task {number}"));
        thread.spawn(work).map_err(|error| Error::lab_io("no thread for a task", error))?;
        Ok(Box::new(process))
    }

    fn look(&self, node: &str, mount: &Mount, _: &str, judge: &mut Judge<'_>, _: Instant) -> Result<Look> {
        let world = self.world();
        let volume = world.volume_at(node, mount.path()?);
        let mounted = world.node(node)?.mounts.get(&volume);
        let serial = mounted.map_or(0, |mount| mount.serial);
        let disk = mounted.and_then(|mount| mount.disk.as_ref()).and_then(|disk| world.server.volumes.get(disk));
        let bytes = disk.map(|disk| disk.usable);
        let used = disk.map(|disk| (disk.pages.len() * BLOCK) as u64);
        let filesystem = disk.map(|disk| disk.request.filesystem.clone()).filter(|name| !name.is_empty());
        drop(world);
        let (node_of, process, read_only) = (node.to_owned(), None, true);
        let mut medium = Mounted { emulated: self.clone(), node: node_of, volume, serial, process, read_only };
        read(&mut medium, judge)
            .map_err(|error| Error::new(Kind::Expectation, format!("the ledger on {node} cannot be read: {error}")))?;
        Ok(Look { bytes, used, filesystem, options: None })
    }

    fn see(&self, node: &str, mount: &Path, _: Instant) -> Result<bool> {
        let world = self.world();
        let volume = world.volume_at(node, mount);
        match world.node(node)?.mounts.get(&volume) {
            Some(held) if held.targets.contains(mount) => Ok(true),
            _ => Err(Error::new(Kind::Expectation, format!("{} on {node}: nothing is mounted there", mount.display()))),
        }
    }

    fn leftovers(&self, node: &str, volumes: &[String]) -> Result<Vec<Leftover>> {
        let world = self.world();
        let on = world.node(node)?;
        let mut left = Vec::new();
        for (volume, mount) in on.mounts.iter().filter(|(volume, _)| volumes.contains(volume)) {
            let tasks: Vec<String> = mount.targets.iter().map(|target| target.display().to_string()).collect();
            let users = if tasks.is_empty() { "nobody".to_owned() } else { tasks.join(", ") };
            left.push(Leftover::on(node, LeftoverKind::Mount, format!("{volume} (for {users})")));
        }
        for place in on.elsewhere.keys() {
            left.push(Leftover::on(node, LeftoverKind::Mount, place.display().to_string()));
        }
        for running in
            on.processes.values().filter(|running| running.ended.is_none() && volumes.contains(&running.volume))
        {
            left.push(Leftover::on(node, LeftoverKind::Process, &running.task));
        }
        Ok(left)
    }
}

fn read(medium: &mut Mounted, judge: &mut Judge<'_>) -> io::Result<()> {
    let end = medium.length()?;
    (0..end).step_by(BLOCK).try_for_each(|offset| {
        judge.pass(Place::of(&medium.read(offset)?));
        Ok(())
    })
}

/// A task's life; how it ended.
fn write(medium: Mounted, spec: &Spec, stop: &Stop) -> String {
    let tell = |message: WriterMessage| match &message {
        WriterMessage::Failed(why) if why.contains(KILLED) => {}
        _ => (spec.tell)(Ok(message)),
    };
    let clock = {
        let begun = *crate::lab::BEGUN;
        move || u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    };
    match Writer::over(medium, &spec.volume, spec.opening) {
        Err(refused) => {
            tell(WriterMessage::Failed(refused.to_string()));
            refused.to_string()
        }
        Ok(mut writer) => match run(&mut writer, spec.work, clock, tell, stop) {
            Ok(()) => "stopped".to_owned(),
            Err(refused) => refused.to_string(),
        },
    }
}

impl Thread {
    fn look<T>(&self, world: &EmulatedState, look: impl FnOnce(&Running) -> T) -> Option<T> {
        world.nodes.get(&self.node).and_then(|node| node.processes.get(&self.number)).map(look)
    }
}

impl Process for Thread {
    fn ending(&self) -> TaskEnding {
        let world = self.emulated.world();
        let ended = self.look(&world, |running| {
            if running.killed {
                (!self.emulated.defects().skips(Step::NoticeDeath)).then(|| "killed".to_owned())
            } else {
                running.ended.clone()
            }
        });
        match ended {
            Some(Some(why)) => TaskEnding::Ended(why),
            Some(None) => TaskEnding::Running,
            None => TaskEnding::Ended("its node does not know it".to_owned()),
        }
    }

    fn id(&self) -> String {
        self.number.to_string()
    }

    fn pid(&self) -> Option<u32> {
        u32::try_from(self.number).ok()
    }

    fn stop(&self, kill: bool, deadline: Instant) -> Result<()> {
        self.emulated.change(|world| {
            if let Some(running) = world.nodes.get_mut(&self.node).and_then(|node| node.processes.get_mut(&self.number))
            {
                running.killed |= kill;
                running.stop.stop();
            }
        });
        let ended = |world: &EmulatedState| Ok(self.look(world, |running| running.ended.is_some()).unwrap_or(true));
        self.emulated.wait(deadline, "a task that was stopped", ended).map(drop)
    }
}

/// How long a killed thread may take to notice.
pub const NOTICE: Duration = Duration::from_secs(5);
