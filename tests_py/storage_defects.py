"""The storage defect catalogue: each defect of a provider, the scenario it belongs to, and why that says so.

`nox -s storage_detection` goes through all of it and writes docs/storage-detection.md; `test_torpedo.py` goes through a
sample.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Defect:
    """A defect, the scenarios that must fail by it, and what the first of them says. Others may pass or fail."""

    name: str
    failpoint: str
    scenarios: tuple[str, ...]
    reason: str
    # Among those that every run of the tests goes through.
    sample: bool = False
    # By which face of the emulated provider it shows.
    face: str = "process"

    @property
    def options(self) -> tuple[str, ...]:
        return ("--torpedo-failpoint", self.failpoints, "--torpedo-face", self.face)

    @property
    def failpoints(self) -> str:
        return f"storage.{self.failpoint}=error(x)"


def defect(
    name: str, failpoint: str, scenarios: str, reason: str, *, sample: bool = False, face: str = "process"
) -> Defect:
    return Defect(name, failpoint, tuple(scenarios.split()), reason, sample, face)


CATALOGUE = (
    defect("parameters ignored", "create.parameters_ignored", "T1", "asked for {'media': 'fast'}, and got {}"),
    defect("size smaller than asked", "create.size_smaller", "T1", "asked for 8388608 bytes, and got 4194304", sample=True),
    defect("second create of another size accepted", "create.conflict_accepted", "T1", "accepted: the same name with another size"),
    defect("parameter that does not exist accepted", "create.nonsense_accepted", "T1", "accepted: a parameter that does not exist"),
    defect("same name made twice", "create.twice", "T1", "asked for again became another"),
    defect("two writers admitted", "attach.second_admitted", "T1", "accepted: a volume for one node, given to a second"),
    defect("what was made is not confirmed", "create.unconfirmed", "T1", "not confirmed: not today|does not confirm", sample=True),
    defect("mount with nothing behind it", "mount.nothing", "T1", "a new volume does not hold"),
    defect("mount for reading alone that is written", "mount.read_only_ignored", "T1", "accepted: a write on a volume mounted for reading alone", sample=True),
    defect("mount counted up", "unmount.counted_up", "T2", "is mounted for a task", sample=True),
    defect("unmount counted down", "unmount.counted_down", "T2", "is not staged|nothing is mounted there"),
    defect("unmount takes every path", "unmount.takes_all", "T2 T3", "is not where it was mounted", sample=True),
    defect("ids of Docker's are a set", "unmount.ids_are_a_set", "T2", "a second mount for the task, .* is not where it was mounted", sample=True, face="docker"),
    defect("staging stays mounted", "unmount.staging_left", "T2 T1 T3", r"left over: .* \(for nobody\) is mounted", sample=True),
    defect("mount of the plugin's own stays", "unmount.own_mount_left", "T2 T1 T3", "left over: /run/emulated/server#share#", sample=True),
    defect("second attach refused", "attach.repeat_refused", "T2", "is attached to node1 already"),
    defect("second stage refused", "stage.repeat_refused", "T2", "asked a second time: volume-.* is staged on node1 already"),
    defect("second mount refused", "mount.repeat_refused", "T2", "is mounted at .* already"),
    defect("second unmount refused", "unmount.repeat_refused", "T2", "is not mounted at", sample=True),
    defect("second unstage refused", "unstage.repeat_refused", "T2", "asked a second time: volume-.* is not staged on node1"),
    defect("second detach refused", "detach.repeat_refused", "T2", "is not attached to node1", sample=True),
    defect("second removal refused", "remove.repeat_refused", "T2", "asked a second time: there is no volume"),
    defect("attachments leaked", "detach.leaked", "T2", "is attached to node1"),
    defect("plugin restart drops mounts", "plugin.restart_drops_mounts", "T3", "Input/output error|is not staged"),
    defect("plugin restart forgets mounts", "plugin.restart_forgets_mounts", "T3", "left over", sample=True),
    defect("plugin restart stacks mounts", "plugin.restart_stacks_mounts", "T3", "left over: /emulated/"),
    defect("mounted as a database says after a power cut", "plugin.trusts_database", "T5", "not there|emptied|lost tail", sample=True),
    defect("plugin in the data path", "plugin.in_data_path", "T3", "stood still"),
    defect("data acknowledged from the plugin's cache", "plugin.cached", "T3", "acknowledged"),
    defect("data acknowledged from the server's cache", "server.cached", "T3", "acknowledged"),
    defect("volume lost after a server restart", "server.volume_lost", "T3", "there is no volume|Input/output error"),
    defect("unmount lost for ever", "detach.waits_for_unmount", "T4", "it is mounted there"),
    defect("data acknowledged from the node's cache", "node.cached", "T4 T5 T7 T8", "acknowledged", sample=True),
    defect("volume attached to a dead node for ever", "detach.refused_for_dead", "T5", "it may come back", sample=True),
    defect("older snapshot served", "attach.old_snapshot", "T5 T4", "older snapshot|lost tail|emptied"),
    defect("bit flip", "attach.bit_flip", "T5 T4", "bit flip"),
    defect("torn page", "attach.torn_page", "T5 T4", "is torn"),
    defect("zeros for a tail", "attach.zero_tail", "T5 T4", "not there"),
    defect("wrong volume attached", "attach.wrong_volume", "T5 T4", "of another ledger"),
    defect("create that pretends while the plugin is down", "create.pretends", "T6", "created while the plugin was down, and is not there", sample=True),
    defect("half-made volume", "create.half_made", "T6", "a create that failed left"),
    defect("mount that was never made succeeds", "mount.swallowed", "T6", "accepted"),
    defect("plugin stuck after it hung", "plugin.stuck", "T6", "did not answer in time"),
    defect("no fencing", "fence.none", "T7 T8", "stale|two writers|got no error", sample=True),
    defect("fencing of the new writer", "fence.wrong", "T7 T8", "Input/output error"),
    defect("fenced writer gets success", "fence.swallowed", "T7 T8", "got no error"),
    defect("fenced writes land after the rejoin", "fence.late_writes", "T7 T8", "stale"),
    defect("takeover waits for the control network", "detach.waits_for_control", "T8", "it answers", sample=True),
    defect("fencing of absent nodes alone", "fence.by_absence", "T8", "stale|two writers|got no error"),
    defect("dead task reported as running", "runtime.unnoticed", "T9", "is not known to be dead"),
    defect("task outlives its runtime", "runtime.task_kept", "T9", "is not known to be dead"),
    defect("volume of a dead task stays mounted", "runtime.volume_kept", "T9", "is mounted for a task", sample=True),
    defect("live restore restarts the task", "live_restore.restarts", "T10", "another id|did not come|killed|still", sample=True),
    defect("live restore mounts anew", "live_restore.remounts", "T10", "Input/output error"),
    defect("expansion of the volume alone", "expand.not_grown", "T11", "was made twice as large, and has", sample=True),
    defect("expansion that shrinks", "expand.shrinks", "T11", "is said to have"),
    defect("expansion that formats", "expand.data_lost", "T11", "emptied|lost|not there", sample=True),
    defect("expansion that disturbs", "expand.disturbs", "T11", "Input/output error"),
    defect("snapshot without the last writes", "snapshot.older", "T12", "lost tail|older snapshot|not there", sample=True),
    defect("snapshot that is empty", "snapshot.empty", "T12", "emptied"),
    defect("snapshot taken at its restore", "snapshot.later", "T12", "later: the copy holds record", sample=True),
    defect("snapshot of several moments", "snapshot.mixed", "T12", "damaged|later"),
    defect("snapshot that disturbs", "snapshot.disturbs", "T12", "Input/output error"),
    defect("name of another volume's snapshot accepted", "snapshot.conflict_accepted", "T12", "accepted: the name of a snapshot"),
    defect("copy that is empty", "clone.empty", "T13", "emptied"),
    defect("copy and source on one disk", "clone.shares", "T13", "record|Input/output error", sample=True),
    defect("device smaller than asked", "block.smaller", "T14", r"a device of \d+ bytes has"),
    defect("device formatted on each node", "block.formatted", "T14", "emptied|not there"),
    defect("statistics that never change", "statistics.still", "T15", "available bytes are told", sample=True),
    defect("statistics of another disk", "statistics.of_another", "T15", "bytes in all are told"),
    defect("statistics of what is not mounted", "statistics.unknown_accepted", "T15", "accepted: statistics"),
    defect("volume that is well called abnormal", "condition.abnormal", "T15", "is said to be abnormal"),
    defect("live restore stalls", "live_restore.stalls", "T10", "stood still"),
)  # fmt: skip
