"""The defect catalogue: each defect of a device, how it is planted, which cases must catch it, and why they say so.

`nox -s detection` goes through all of it and writes docs/detection.md; `test_detection.py` goes through a sample.
"""

from __future__ import annotations

from dataclasses import dataclass

QUICK = ("--dut-deadline", "absence=200ms", "--dut-deadline", "watch=100ms", "--dut-deadline", "verification=1500ms")
LATE = ("--dut-deadline", "watch=100ms", "--dut-deadline", "verification=1500ms")
SHORT = (*QUICK, "--dut-deadline", "redundant=1500ms")
GONE = (*QUICK, "--dut-deadline", "switchover=2500ms")
# What a busy machine may take its time for, where the defect is another.
PATIENT = tuple(
    f"--dut-deadline={step}=60s" for step in ("switchover", "start", "ready", "redundant", "reboot", "roles")
)
SECOND = "1*off->1*error(x)"
SECOND_REFUSED = "1*off->1*error[FAILED_PRECONDITION](it runs)"
EIGHT = "12345678"


@dataclass(frozen=True)
class Defect:
    """A defect, and what must come of it.

    `fails` are the cases of CNTR-3 that must fail, each by `verdict` (or by either), with `reason` in what they say; all others must
    pass, but for those that `skips` names, since the device is left broken. `cases` are those of another suite, which
    `options` name, by the beginnings of their names.
    """

    name: str
    failpoints: str
    verdict: str
    reason: str
    fails: str = ""
    skips: str = ""
    options: tuple[str, ...] = QUICK
    cases: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    # Not all of `cases` meet it: one at least must fail so, and what others say is their own matter.
    some: bool = False
    # Among those that every run of the tests goes through.
    sample: bool = False


def once(failpoint: str) -> str:
    return f"{failpoint}=1*error(x)"


def always(failpoint: str) -> str:
    return f"{failpoint}=error(x)"


SWITCHOVER = (
    Defect("switchover ignored", once("switchover.ignored"), "procedure", "SwitchoverIgnored", "1", sample=True),
    Defect("switchover refused", "system.SwitchControlProcessor=4*error[INTERNAL](no)", "procedure", "SwitchoverRefused", "1"),
    Defect("switchover unimplemented", "system.SwitchControlProcessor=4*error[UNIMPLEMENTED](no)", "procedure",
           "SwitchoverUnimplemented", "1"),
    Defect("switchover of another control processor",
           'system.SwitchControlProcessor.after=1*return{"control_processor": {"elem": [{"name": "Supervisor1"}]}}',
           "procedure", "not to", "1"),
    Defect("roles swapped back", once("switchover.reversed"), "depth", "SwitchoverReversed", "1", sample=True),
    Defect("roles claimed swapped", once("switchover.claimed"), "depth", "SwitchoverUnproven", "1"),
    Defect("roles flapping", once("switchover.flapping"), "depth", "SwitchoverReversed", "1", skips="2345678"),
    Defect("both primary after a switchover", once("switchover.split_brain"), "procedure", "is PRIMARY", "1",
           skips="2345678", options=GONE),
    Defect("two primaries", always("roles.two_primaries"), "procedure", "RolesError", "1", skips="2345678"),
    Defect("never back", "switchover.take_over=1*drop", "procedure", "SwitchoverNeverBack", "1", skips="2345678", options=GONE),
    Defect("Containerz never serves again", "load.image=1*hang", "procedure", "does not serve Containerz", "1",
           skips="2345678", options=GONE),
    Defect("standby never back", once("switchover.never_redundant"), "depth", "SwitchoverNeverRedundant", "1",
           skips="2345678", options=SHORT),
    Defect("switchover-ready stuck", once("switchover.ready_stuck"), "depth", "SwitchoverNeverRedundant", "1",
           skips="2345678", options=SHORT, sample=True),
    Defect("clock set back", once("switchover.clock_back"), "depth", "clock went back", "1"),
    Defect("something left behind by each switchover", once("switchover.leaks"), "depth", "came to be", "1"),
)  # fmt: skip

IMAGE = (
    Defect("image lost", once("load.image.lost"), "procedure", "no image cntrsrv_image", "1", sample=True),
    Defect("image of another digest", once("load.image.replaced"), "depth", "is another image", "1"),
    Defect("image without its name", once("load.image.untagged"), "procedure", "no image cntrsrv_image", "1"),
    Defect("tag moved to another image", once("load.image.tag_moved"), "depth", "is another image", "1"),
    Defect("image twice", once("load.image.duplicated"), "depth", "is another image", "1"),
    Defect("image back at once", once("load.image.resurrected"), "procedure", "is listed", "5"),
    Defect("image back later", once("load.image.resurrected_late"), "depth", "later it did not", "5", options=LATE, sample=True),
    Defect("image never copied", always("switchover.sync.image"), "either", "is listed", "1247"),
    Defect("image lost at the second failover alone", "switchover.returns_empty=4*off->1*error(x)", "procedure",
           "no image cntrsrv_image", "7", sample=True),
    Defect("removal never reaches the standby", always("switchover.sync.removal"), "procedure", "is listed", "56",
           options=QUICK),
    Defect("image accepted and not kept", once("deploy.forgotten"), "procedure", "no image cntrsrv_image", "1"),
    Defect("another image kept than sent", once("deploy.altered"), "depth", "is another image", "1"),
    Defect("image not removed", "remove_image.ignored=2*off->1*error(x)", "procedure", "is listed", "5"),
)  # fmt: skip

CONTAINER = (
    Defect("container lost", once("load.container.lost"), "procedure", "no container", "24", sample=True),
    Defect("container stopped", once("load.container.stopped"), "procedure", "is STOPPED", "24"),
    Defect("container restarting for ever", once("load.container.restarting"), "procedure", "is UNSPECIFIED", "24"),
    Defect("container restarted once too often", once("load.container.restarted_late"), "depth", "started once more", "24",
           sample=True),
    Defect("container running and mute", once("load.container.mute"), "depth", "answers on its port", "24"),
    Defect("container of another image", once("load.container.replaced"), "depth", "impostor", "24"),
    Defect("container renamed", once("load.container.renamed"), "procedure", "no container", "24"),
    Defect("container twice", once("load.container.duplicated"), "procedure", "is listed 2 times", "24"),
    Defect("published ports lost", once("load.container.ports_lost"), "depth", "answers on its port", "24"),
    Defect("environment lost", once("load.container.environment_lost"), "depth", "environment was", "24", sample=True),
    Defect("restart policy lost", f"load.container.policy_lost={SECOND}", "procedure", "is STOPPED", "8"),
    Defect("location labels wrong", once("load.container.location_wrong"), "depth", "had labels", "24"),
    Defect("container back at once", f"load.container.resurrected={SECOND}", "procedure", "is listed as", "6"),
    Defect("container back later", f"load.container.resurrected_late={SECOND}", "depth", "later it did not", "6", options=LATE),
    Defect("container started in words alone", once("start.ignored"), "procedure", "no container", "234"),
    Defect("running container not removed by force", f"containerz.RemoveContainer={SECOND_REFUSED}", "procedure",
           "FAILED_PRECONDITION", "6"),
    Defect("container not removed", f"remove_container.ignored={SECOND}", "procedure", "is listed as", "6"),
    Defect("container never copied", always("switchover.sync.container"), "procedure", "no container", "24"),
)  # fmt: skip

VOLUME = (
    Defect("volume lost", once("load.volume.lost"), "procedure", "no volume", "34", sample=True),
    Defect("volume without its options", once("load.volume.options_lost"), "depth", "had driver", "34"),
    Defect("volume mounted elsewhere", once("load.volume.mounted_elsewhere"), "depth", "mounted was True", "34"),
    Defect("volume mounted read-only", once("load.volume.read_only"), "depth", "writable was True", "34"),
    Defect("contents lost", once("load.volume.emptied"), "depth", "acknowledged records: ", "34", sample=True),
    Defect("contents truncated", once("load.volume.truncated"), "depth", "acknowledged records: ", "34"),
    Defect("a bit flipped", once("load.volume.bit_flipped"), "depth", "DATA_LOSS", "34"),
    Defect("contents of an older state", once("load.volume.rolled_back"), "depth", "acknowledged", "34"),
    Defect("contents never copied", always("switchover.sync.data"), "depth", "acknowledged records: ", "34"),
    Defect("acknowledged and lost by a crash", always("ledger.unsynced"), "depth", "acknowledged records: ", "34",
           options=(*QUICK, "--dut-trigger", "reboot-active"), sample=True),
    Defect("stale writer still writing", f"switchover.stale_writer={SECOND}", "depth", "which another had already followed", "34"),
    Defect("a record missing", "ledger.Read.record=3*off->1*drop", "depth", "record 4 was acknowledged", "34"),
    Defect("volume back", f"load.volume.resurrected={SECOND}", "depth", "volume is gone too", "6"),
    Defect("volume created in words alone", once("create_volume.ignored"), "procedure", "there is no volume", "234"),
    Defect("volume not removed", f"remove_volume.ignored={SECOND}", "depth", "volume is gone too", "6"),
    Defect("volume never copied", always("switchover.sync.volume"), "procedure", "no volume", "34"),
)  # fmt: skip

CRASHES = (
    Defect("core file on the new active", once("load.core_dumped"), "depth", "a core file came to be: /var/core/core.", "1", sample=True),
    Defect("core file on the old active", once("switchover.core_left"), "depth",
           "a core file came to be: /var/core/Supervisor1/core.", "1", sample=True),
    Defect("core file on the old active, which alone shows it", once("switchover.core_left"), "depth", "a core file came to be",
           options=("-k", "cntr3_7", *QUICK, "--dut-emulator", "quirk=standby-files-hidden"), cases=("7",)),
    Defect("core file in a reboot", once("load.core_dumped"), "depth", "a core file came to be", options=("-k", "cntr1", *QUICK),
           cases=("cntr1_8",)),
    Defect("process crashed in a switchover", once("load.process_crashed"), "depth", "a process crashed: Supervisor2-supervisor", "1",
           sample=True),
    Defect("process crashed in a reboot", once("load.process_crashed"), "depth", "a process crashed", options=("-k", "cntr1", *QUICK),
           cases=("cntr1_8",)),
    Defect("core file in the middle of something", once("load.core_dumped"), "depth", "a core file came to be",
           options=("-k", "midway_stop_container and asked", *QUICK), cases=("midway_stop_container[asked]",)),
)  # fmt: skip

REBOOT = (
    Defect("reboot ignored", once("reboot.ignored"), "procedure", "RebootIgnored", "8", sample=True),
    Defect("reboot of one control processor", once("reboot.one_card"), "depth", "RebootPartial", "8",
           options=(*QUICK, "--dut-deadline", "redundant=2500ms")),
    Defect("reboot refused", "system.Reboot=1*error[INTERNAL](no)", "procedure", "RebootRefused", "8"),
    Defect("never back from a reboot", "reboot.boot=drop", "procedure", "RebootNeverBack", "8",
           options=(*QUICK, "--dut-deadline", "reboot=2500ms")),
    Defect("container lost in a reboot", f"load.container.lost={SECOND}", "procedure", "no container", "8"),
    Defect("volume lost in a reboot", f"load.volume.lost={SECOND}", "procedure", "no volume", "8"),
    Defect("contents lost in a reboot", f"load.volume.emptied={SECOND}", "depth", "acknowledged records: ", "8"),
)  # fmt: skip

AGAIN = "1*off->error(x)"


def at_random(changes: str, seeds: str = "0-2") -> tuple[str, ...]:
    """Failovers at random moments, while a client changes things of one kind: as many as meet a defect on any machine."""
    return ("-k", "midway_random", "--midway-changes", changes, "--midway-seed", seeds, *QUICK, *PATIENT)


def midway_random(name: str, failpoints: str, verdict: str, reason: str, changes: str, seeds: str = "0-2", *,
                  sample: bool = True, options: tuple[str, ...] = ()) -> Defect:  # fmt: skip
    return Defect(f"at a random moment: {name}", failpoints, verdict, reason, options=(*at_random(changes, seeds), *options),
                  cases=("midway_random",), some=True, sample=sample)  # fmt: skip


AT_RANDOM = (
    midway_random("a container is there twice", always("load.container.duplicated"), "procedure", "is there 2 times", "container",
                  "17,35", sample=False),  # test_midway_random.py has it
    midway_random("a container starts on both control processors", always("start.both"), "procedure", "is there 2 times",
                  "container", "0-1"),
    midway_random("a removed container leaves its port open", always("remove_container.lingers"), "procedure", "it is answering",
                  "container", "7,44,95",  # in which it is removed again and again after the failover
                  options=("--dut-deadline", "start=10s")),  # none starts where the port is taken, which is waited out
    midway_random("half of a transfer is listed", always("deploy.half"), "procedure", "is half there", "image",
                  "72,124,177"),  # in which the failover meets a transfer, and nothing comes after it
    midway_random("a volume is created twice", always("create_volume.twice"), "procedure", "is there 2 times", "volume"),
    midway_random("a volume is created without its options", f"create_volume.options_lost={AGAIN}", "depth",
                  "is listed, and of another it was", "volume", "0-1"),
    midway_random("a removed volume is back", always("load.volume.resurrected"), "procedure", "where only absent may be", "volume"),
    midway_random("a volume is refused in words alone", "containerz.CreateVolume.after=1*off->error[FAILED_PRECONDITION](no)",
                  "procedure", "where only absent may be: create was not executed", "volume", "0-1"),
    midway_random("a plugin starts twice", always("start_plugin.twice"), "procedure", "is there 2 times", "plugin", "0-1"),
    midway_random("a plugin is there by half", always("load.plugin.half"), "depth", "is listed, and of another it was", "plugin",
                  "0"),
    midway_random("a plugin never reaches the standby", always("switchover.sync.plugin"), "procedure",
                  "is absent, where only there may be", "plugin", "0"),
    midway_random("a plugin is lost", always("load.plugin.lost"), "procedure", "is absent, where only there may be", "plugin", "0",
                  sample=False),
    midway_random("a removal never reaches the standby", always("switchover.sync.removal"), "procedure", "where only absent may be",
                  "volume", sample=False),
)  # fmt: skip

MIDWAY = (
    Defect("half of a transfer listed", always("deploy.half"), "procedure", "half there", options=("-k", "midway_deploy", *QUICK),
           cases=("midway_deploy_first_chunk", "midway_deploy_middle", "midway_deploy_last_chunk"), sample=True),
    Defect("container of a start that broke off", always("start.half"), "procedure", "it is unspecified",
           options=("-k", "midway_start", *QUICK), cases=("midway_start_container[unanswered]",)),
    Defect("acknowledged right before a switchover, and lost", always("switchover.unreplicated"), "procedure",
           "acknowledged", options=("-k", "midway_while", *QUICK), cases=("midway_while_the_standby_syncs",)),
)  # fmt: skip

ONE, TWO = ("-k", "cntr1", *QUICK), ("-k", "cntr2", *QUICK)
LOGGED_IN = (*TWO, "--dut-username", "anna")

LIFE = (
    Defect("unknown image started", always("start.wrong_image"), "procedure", "agrees", options=ONE, cases=("cntr1_1",), sample=True),
    Defect("deployed and not kept", once("deploy.forgotten"), "procedure", "no image", options=ONE, cases=("cntr1_1",)),
    Defect("started in words alone", once("start.ignored"), "procedure", "no container", options=ONE, cases=("cntr1_1",)),
    Defect("log empty", "containerz.Log.line=drop", "procedure", "it is absent", options=ONE, cases=("cntr1_2",)),
    Defect("log of a container that is not there", always("log.of_any"), "procedure", "agrees", options=ONE, cases=("cntr1_2",)),
    Defect("stopped container listed as running", always("list.stopped_running"), "procedure", "it is", options=ONE,
           cases=("cntr1_3", "cntr1_4")),
    Defect("stopped container among the running", always("list.all_always"), "procedure", "STOPPED", options=ONE,
           cases=("cntr1_3", "cntr1_4"), sample=True),
    Defect("stopped in words alone", always("stop.ignored"), "procedure", "it is", options=ONE, cases=("cntr1_3", "cntr1_4")),
    Defect("stopped in words alone without force", always("stop.polite_ignored"), "depth", "it is running", options=ONE,
           cases=("cntr1_4",)),
    Defect("stopped container goes on answering", always("stop.lingers"), "depth", "it is answering", options=ONE,
           cases=("cntr1_4",), sample=True),
    Defect("unknown container stopped", "containerz.StopContainer=3*off->1*return{}", "procedure", "agrees", options=ONE,
           cases=("cntr1_4",)),
    Defect("unknown container: another status", "containerz.StopContainer=3*off->1*error[INTERNAL](no)", "depth",
           "where the contract has", options=ONE, cases=("cntr1_4",)),
    Defect("volume made without its options", always("create_volume.options_lost"), "procedure", "with the options", options=ONE,
           cases=("cntr1_5",), sample=True),
    Defect("volume made in words alone", always("create_volume.ignored"), "procedure", "no volume", options=ONE,
           cases=("cntr1_5", "cntr1_6", "cntr1_8")),
    Defect("volume removed in words alone", always("remove_volume.ignored"), "procedure", "is listed", options=ONE,
           cases=("cntr1_5",)),
    Defect("another volume removed", always("remove_volume.takes_another"), "procedure", "it is absent", options=ONE,
           cases=("cntr1_5",)),
    Defect("update in words alone", always("update.ignored"), "procedure", "where only", options=ONE, cases=("cntr1_6",), sample=True),
    Defect("update to an unknown image", always("update.wrong_image"), "procedure", "agrees", options=ONE, cases=("cntr1_6",)),
    Defect("update under another name", always("update.renamed"), "procedure", "there 0 times", options=ONE, cases=("cntr1_6",)),
    Defect("update loses ports", always("update.ports_lost"), "procedure", "answers", options=ONE, cases=("cntr1_6",)),
    Defect("update loses volumes", always("update.volumes_lost"), "depth", "mounted was True", options=ONE, cases=("cntr1_6",),
           sample=True),
    Defect("refused update stops the old one", always("update.stops_old"), "procedure", "is STOPPED", options=ONE,
           cases=("cntr1_6",)),
    Defect("plugin deployed and not kept", always("deploy.plugin_forgotten"), "procedure", "there is no plugin", options=ONE,
           cases=("cntr1_7",)),
    Defect("plugin started in words alone", "containerz.StartPlugin=1*return{}", "procedure", "it is absent", options=ONE,
           cases=("cntr1_7",)),
    Defect("plugin started twice", always("start_plugin.twice"), "procedure", "agrees", options=ONE, cases=("cntr1_7",), sample=True),
    Defect("unknown plugin started", "containerz.StartPlugin=1*off->1*return{}", "procedure", "agrees", options=ONE,
           cases=("cntr1_7",)),
    Defect("plugin stopped in words alone", "containerz.StopPlugin=1*return{}", "procedure", "stop it first", options=ONE,
           cases=("cntr1_7",)),
    Defect("plugin removed in words alone", "containerz.RemovePlugin=1*return{}", "procedure", "it is there", options=ONE,
           cases=("cntr1_7",)),
    Defect("container lost in a cold reboot", once("load.container.lost"), "procedure", "no container", options=ONE,
           cases=("cntr1_8",)),
    Defect("a cold reboot that was none", once("reboot.ignored"), "procedure", "RebootIgnored", options=ONE, cases=("cntr1_8",)),
)  # fmt: skip

REACH = (
    Defect("published port answers nobody", "cntr.Ping=error[UNAVAILABLE](no)", "procedure", "no good answer in time", options=TWO,
           cases=("cntr2_1", "cntr2_2", "cntr2_3", "cntr2_4")),
    Defect("container's clock stands still", 'cntr.Ping.after=return{"timestamp": "2020-01-01T00:00:00Z"}', "depth", "clock says",
           options=TWO, cases=("cntr2_1",)),
    Defect("container reaches nobody", "cntr.Dial=error[UNAVAILABLE](no route)", "procedure", "no route", options=TWO,
           cases=("cntr2_2", "cntr2_3", "cntr2_4"), sample=True),
    Defect("gRIBI refuses its containers", "gribi.Get=error[UNAVAILABLE](busy)", "procedure", "busy", options=TWO,
           cases=("cntr2_2",), sample=True),
    Defect("gRIBI is not there", "gribi.Get=error[UNIMPLEMENTED](no)", "procedure", "UNIMPLEMENTED", options=TWO, cases=("cntr2_2",)),
    Defect("another's gNMI answers", 'cntr.Dial.after=1*return{"gnmi_response": {"@type": "type.googleapis.com/gnmi.CapabilityResponse", "gNMI_version": "0.1"}}',
           "depth", "the device itself says", options=("-k", "cntr2_2", *QUICK), cases=("cntr2_2",)),
    Defect("an answer where nobody is", 'cntr.Dial=2*off->1*return{"pong": {"timestamp": "2020-01-01T00:00:00Z"}}', "depth",
           "where nobody is", options=TWO, cases=("cntr2_2",)),
    Defect("container invents answers", 'cntr.Dial=return{"pong": {"timestamp": "2020-01-01T00:00:00Z"}}', "procedure", "says",
           options=("-k", "cntr2_3 or cntr2_4", *QUICK), cases=("cntr2_3", "cntr2_4"), sample=True),
    Defect("removed container goes on answering", once("remove_container.ignored"), "depth", "it is answering", options=("-k", "cntr2_1", *QUICK),
           cases=("cntr2_1",)),
    Defect("any password lets a container in", always("login.ignored"), "depth", "lets a container in", options=LOGGED_IN,
           cases=("cntr2_2",), environment=(("HOLDFAST_PASSWORD", "geheim"),)),
)  # fmt: skip

# The cases of CNTR-1 that start a container, and those of them that give it a volume; those of CNTR-3 are 2468 and 2348.
STARTED = ("cntr1_1", "cntr1_2", "cntr1_3", "cntr1_4", "cntr1_6", "cntr1_8")
CALLED = ("cntr2_1", "cntr2_2", "cntr2_3", "cntr2_4")
STARTED_MIDWAY = ("midway_stop_container[asked]", "midway_start_container[asked]")
HELD_MIDWAY = ("-k", "midway_stop_container and asked or midway_start_container and asked", *QUICK)
LOCAL = ("-k", "cntr1_5 or cntr1_6", *QUICK, "--dut-volume-driver", "local", "--dut-volume-option", "mountpoint=/tmp",
         "--dut-volume-option", "options=bind")  # fmt: skip

MADE = (
    Defect("another name than the image was sent under", always("deploy.renamed"), "either", "image cntrsrv_image", options=ONE,
           cases=STARTED),
    Defect("another tag than the image was sent under", always("deploy.retagged"), "either", "image cntrsrv_image", options=ONE,
           cases=STARTED),
    Defect("another image kept than sent, each time", always("deploy.altered"), "depth", "is another image", options=ONE,
           cases=STARTED),
    Defect("another image started", always("start.image_replaced"), "either", "impostor:latest is listed", options=ONE,
           cases=STARTED, sample=True),
    Defect("another image started, before a failover", always("start.image_replaced"), "depth", "impostor:latest is listed", "2468"),
    Defect("another tag started", always("start.tag_replaced"), "depth", "cntrsrv_image:latest is listed", options=TWO, cases=CALLED),
    Defect("another image started, before a failover in the middle", always("start.tag_replaced"), "depth",
           "cntrsrv_image:latest is listed", options=HELD_MIDWAY, cases=STARTED_MIDWAY),
    Defect("another image started, and the right one listed", always("start.image_disguised"), "depth", "HOLDFAST_IMAGE",
           options=ONE, cases=STARTED, sample=True),
    Defect("the image's own command instead of another", always("start.command_lost"), "procedure", "answer", options=TWO,
           cases=("cntr2_4",)),
    Defect("another command", always("start.command_altered"), "procedure", "answer", options=TWO, cases=CALLED),
    Defect("no port published", always("start.ports_lost"), "procedure", "answer", options=TWO, cases=CALLED),
    Defect("other ports published", always("start.ports_moved"), "procedure", "answer", options=TWO, cases=CALLED),
    Defect("a variable forgotten", always("start.variable_lost"), "depth", "is missing", options=ONE, cases=STARTED),
    Defect("a variable of another value", always("start.variable_altered"), "depth", "HOLDFAST_IMAGE", "2468", sample=True),
    Defect("a label forgotten", always("start.label_lost"), "depth", "is missing", options=ONE, cases=STARTED),
    Defect("a label of another value", always("start.label_altered"), "depth", "-other", "2468"),
    Defect("a label of another value, before a failover in the middle", always("start.label_altered"), "depth", "-other",
           options=HELD_MIDWAY, cases=STARTED_MIDWAY, sample=True),
    Defect("volumes mounted nowhere", always("start.mounts_lost"), "depth", "at /data", "2348"),
    Defect("volumes mounted elsewhere from the first", always("start.mounts_elsewhere"), "depth", "nothing is mounted at /data",
           options=ONE, cases=("cntr1_6", "cntr1_8")),
    Defect("volumes read-only from the first", always("start.read_only"), "depth", "cannot be written to", options=ONE,
           cases=("cntr1_6", "cntr1_8")),
    Defect("restart policy NONE", always("start.policy_none"), "procedure", "is STOPPED", "8"),
    Defect("restart policy ON_FAILURE", always("start.policy_on_failure"), "procedure", "is STOPPED", options=ONE,
           cases=("cntr1_8",)),
    Defect("a label forgotten in an update", always("update.label_lost"), "depth", "is missing", options=ONE, cases=("cntr1_6",)),
    Defect("a variable of another value in an update", always("update.variable_altered"), "depth", "-other", options=ONE,
           cases=("cntr1_6",)),
    Defect("a local volume for a custom one", always("create_volume.driver_local"), "either", "the driver custom", options=ONE,
           cases=("cntr1_5", "cntr1_6", "cntr1_8"), sample=True),
    Defect("a custom volume for a local one", always("create_volume.driver_custom"), "either", "the driver local", options=LOCAL,
           cases=("cntr1_5", "cntr1_6")),
    Defect("an option forgotten", always("create_volume.option_lost"), "depth", "with the options", "3468"),
    Defect("an option of another value", always("create_volume.option_altered"), "either", "with the options", options=ONE,
           cases=("cntr1_5", "cntr1_6", "cntr1_8")),
    Defect("an option of a local volume forgotten", always("create_volume.option_lost"), "either", "with the options", options=LOCAL,
           cases=("cntr1_5", "cntr1_6")),
    Defect("an option of another value, made in the middle of a failover", always("create_volume.option_altered"), "depth",
           "with the options", options=("-k", "midway_create_volume and asked", *QUICK), cases=("midway_create_volume[asked]",)),
    Defect("a volume's label forgotten", always("create_volume.label_lost"), "depth", "is missing", options=ONE,
           cases=("cntr1_5", "cntr1_6", "cntr1_8")),
    Defect("a volume's label of another value", always("create_volume.label_altered"), "depth", "-other", "3468"),
    Defect("a plugin without its configuration", always("start_plugin.config_lost"), "depth", "the plugin was started with",
           options=ONE, cases=("cntr1_7",)),
    Defect("a plugin of another configuration", always("start_plugin.config_altered"), "depth", "the plugin was started with",
           options=ONE, cases=("cntr1_7",)),
)  # fmt: skip

# The author's contract, broken by what the emulated device plays of the wheel's own image; test_author.py has images.
CONTRACT = (
    Defect("a second start has another volume", "start.mounts_lost=1*off->1*error(x)", "procedure", "there is no volume",
           options=("-k", "author_starts_twice", *QUICK), cases=("author_starts_twice",), sample=True),
    Defect("not to be started after a kill", "containerz.StartContainer=1*off->1*error[INTERNAL](no)", "procedure", "INTERNAL",
           options=("-k", "author_survives", *QUICK), cases=("author_survives_kill",)),
    Defect("a record lost by a kill", "ledger.Read.record=3*off->1*drop", "procedure", "record 4 was acknowledged",
           options=("-k", "author_survives", *QUICK), cases=("author_survives_kill",), sample=True),
    Defect("SIGTERM is not heeded", always("stop.polite_ignored"), "procedure", "it is running",
           options=("-k", "author_stops", *QUICK), cases=("author_stops_within_grace",)),
    Defect("SIGTERM takes longer than the grace", "containerz.StopContainer=1*delay(1500ms)", "procedure", "did not end on SIGTERM",
           options=("-k", "author_stops", "--author-grace", "500ms", *QUICK), cases=("author_stops_within_grace",), sample=True),
    Defect("not back when its port is free again", "containerz.StartContainer=3*off->1*error[UNAVAILABLE](taken)", "procedure", "taken",
           options=("-k", "author_comes_back", *QUICK), cases=("author_comes_back_to_its_port",)),
    Defect("an update that changes nothing", always("update.ignored"), "procedure", "was asked for", options=("-k", "author_two", *QUICK),
           cases=("author_two_versions",)),
    Defect("an update loses the volume of both versions", always("update.volumes_lost"), "procedure", "there is no volume",
           options=("-k", "author_two", *QUICK), cases=("author_two_versions",), sample=True),
)  # fmt: skip

CATALOGUE = (
    *SWITCHOVER,
    *IMAGE,
    *CONTAINER,
    *VOLUME,
    *CRASHES,
    *REBOOT,
    *MIDWAY,
    *AT_RANDOM,
    *LIFE,
    *REACH,
    *MADE,
    *CONTRACT,
)
