//! The emulated provider's failpoints: each is a defect that any term but `off` turns on.

use holdfast_failpoint::Name;

macro_rules! defects {
    ($($name:literal $help:literal)+) => { &[$(Name { name: $name, help: $help },)+] };
}

/// Every failpoint of the emulated provider.
pub const FAILPOINTS: &[Name] = defects! {
    "storage.create.parameters_ignored" "a volume is made without the parameters asked for"
    "storage.create.size_smaller" "a volume is smaller than asked for"
    "storage.create.conflict_accepted" "the same name with another size is accepted"
    "storage.create.nonsense_accepted" "a parameter that does not exist is accepted"
    "storage.create.twice" "the same name again makes a second volume"
    "storage.create.pretends" "a volume is created while the plugin is down, and is not there later"
    "storage.create.half_made" "a create that failed leaves a volume"
    "storage.attach.second_admitted" "a volume for one node is given to a second"
    "storage.attach.wrong_volume" "after a failover another volume is attached"
    "storage.attach.old_snapshot" "after a failover an older state of the volume is served"
    "storage.attach.bit_flip" "after a failover one bit is another"
    "storage.attach.torn_page" "after a failover half of a page is old"
    "storage.attach.zero_tail" "after a failover the last pages are zeros"
    "storage.detach.leaked" "a volume stays attached though its node gave it back"
    "storage.detach.refused_for_dead" "a volume stays with a node that is powered off"
    "storage.detach.waits_for_control" "a volume is not taken from a node that answers over the control network"
    "storage.detach.waits_for_unmount" "a volume is not taken from a node whose unmount was lost"
    "storage.fence.none" "the node that lost a volume may still write to it"
    "storage.fence.wrong" "the new writer is fenced instead of the old one"
    "storage.fence.swallowed" "a fenced writer is told that its records are written"
    "storage.fence.late_writes" "what a fenced writer had under way lands after it is back"
    "storage.fence.by_absence" "only a node that is away from the control network is fenced"
    "storage.mount.nothing" "a mount succeeds with nothing behind it"
    "storage.mount.swallowed" "a mount that a plugin never made succeeds"
    "storage.unmount.counted_up" "a mount that is repeated must be unmounted as often"
    "storage.unmount.counted_down" "an unmount that is repeated takes the mount from another task"
    "storage.plugin.restart_drops_mounts" "a plugin that starts again drops the mounts there are"
    "storage.plugin.restart_forgets_mounts" "a plugin that starts again does not know its mounts, and leaves them"
    "storage.plugin.in_data_path" "no data flows while the plugin is down"
    "storage.plugin.cached" "data is acknowledged from a cache of the plugin's"
    "storage.plugin.stuck" "a plugin that hung answers nothing any more"
    "storage.node.cached" "data is acknowledged from a cache of the node's, and uploaded at the unmount"
    "storage.server.cached" "data is acknowledged from a cache of the server's"
    "storage.server.volume_lost" "a volume is gone after the server started again"
    "storage.runtime.unnoticed" "a task that died with its runtime is reported as running"
    "storage.runtime.task_kept" "a task outlives its runtime, which starts another"
    "storage.runtime.volume_kept" "the volume of a task that died with its runtime stays mounted"
    "storage.live_restore.restarts" "a runtime with live restore starts its tasks anew"
    "storage.live_restore.remounts" "a runtime with live restore mounts its tasks' volumes anew"
    "storage.live_restore.stalls" "tasks stand still until a runtime with live restore is back"
};
