"""The whole suite against every oddity of servers in the field."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

import holdfast
import holdfast.aio
from holdfast import _core, profiles
from holdfast.exceptions import InvalidArgument

from conftest import RunSuite
from seeds import EXCLUSIVE, WAYS

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")
EXCLUDED = {"name-only": "full-path-only"}
# A run each: nobody knows beforehand in which of these ways a device takes and answers reads and paths.
ALONE = (*WAYS, "json-ietf-only", "no-subscribe", "full-path-only", "name-only")
# Those on which CNTR-3 cannot run: test_services.py has them.
OWN = {"containerz-alone", "older-containerz"}
FAMILIES = {
    "docker": (
        "joined-image-rows", "filters-rejected", "slashed-names", "no-labels-listed", "in-use-unavailable",
        "forced-removal-untags", "failed-start-left-over", "stopped-duplicate-internal", "volumes-created-silently",
        "stop-not-running-not-found", "volume-create-idempotent", "volume-remove-unknown", "engine-errors-unknown",
        "no-remove-plugin-tar", "raw-log-chunks", "short-transfer-accepted", "moved-tag-fails", "rare-progress",
        "plugin-config-rewritten",
    ),
    "lockstep": ("plugin-names-bare", "lockstep-only", "no-size-in-success", "name-only", "log-unimplemented"),
    "full path": ("full-path-only", "extra-components", "standby-inactive", "inner-address"),
    "inactive standby": ("standby-inactive", "no-switchover-ready"),
    "sparse gnmi": ("no-switchover-ready", "no-component-type", "no-last-switchover-time", "json-ietf-only"),
    "containerd": ("manifest-ids", "normalised-names", "runtime-unreachable", "changes-refused-at-first"),
    "whole names": ("names-behind-one-id", "digests-for-names", "linked-names"),
    "names twice": ("tag-behind-name", "normalised-names", "linked-names", "slashed-names"),
    "bare lists": ("bare-lists",),
    "takes no labels": ("labels-refused", "failed-start-left-over"),
    "rich lists": ("rich-lists", "slashed-names", "manifest-ids"),
    "no subscribe": ("no-subscribe", "no-switchover-ready"),
    "refused encodings": ("json-ietf-refused", "origin-refused", "path-form-internal", "sync-first"),
    "refused proto": ("proto-refused", "wildcards-refused", "keyed-element-only", "once-ends-without-sync"),
    "wildcards": ("wildcards-not-found", "absent-leaf-refused", "path-origin-refused", "sync-after-each-update"),
    "capabilities": ("capabilities-unimplemented", "wildcards-unimplemented", "path-form-not-found", "once-stays-open"),
    "origin": ("origin-required", "wildcards-internal", "path-form-precondition", "get-refused", "half-close-cancels"),
    "containers": ("json-containers", "once-refused", "path-form-unimplemented", "one-notification"),
    "boots late": ("boot-time-late", "boot-time-in-seconds", "slow-once", "sync-first"),
    "boots at zero": ("boot-time-zero", "boot-time-in-milliseconds", "slow-once", "sync-after-each-update"),
    "boots in 1970": ("boot-time-unset", "slow-once", "once-stays-open"),
    "older gnmi": ("older-form", "role-unset", "one-notification", "json-ietf-only"),
    "loose types": ("loose-types", "no-switchover-ready"),
    "loose types in json": ("loose-types", "json-ietf-only", "changes-aborted-at-first"),
    "a collector": ("target-required", "changes-fail-at-first"),
    "a collector with ways of its own": ("target-required", "get-refused", "origin-refused", "sync-after-each-update"),
    "hangs": ("subscribe-hangs-after-switchover",),
    "hangs and is sparse": ("subscribe-hangs-after-switchover", "no-switchover-ready", "json-ietf-only"),
    "ends at once": ("subscribe-ends-after-switchover", "no-last-switchover-time"),
    "limited": ("requests-limited",),
    "empty": ("wildcards-empty", "once-ends-cancelled"),
    "no files": ("file-unimplemented", "healthz-unimplemented"),
    "folders": ("folder-stat-unimplemented", "no-file-hash"),
    "a folder itself": ("folder-stat-itself", "old-cores"),
    "bare files": ("bare-file-names", "no-file-times", "old-cores"),
    "hidden files": ("standby-files-hidden", "no-core-folder", "old-cores"),
}  # fmt: skip


def test_every_quirk_is_in_a_family() -> None:
    known = {name for name, _ in _core.quirk_names() if not name.startswith("certificate-")}  # those are test_tls.py's
    played = {quirk for name in profiles.names() for quirk in profiles.load(name).emulator.get("quirks", ())}
    assert known == {name for family in FAMILIES.values() for name in family} | played | OWN


@pytest.mark.parametrize("family", FAMILIES)
def test_the_suite_passes_on_servers_of_this_kind(family: str, run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3", *QUICK, HOLDFAST_QUIRKS=",".join(FAMILIES[family]))
    assert run.exit_code == 0, run.output
    assert "8 passed" in run.output
    unchecked = run.cases["2"].properties["not_checked"]
    assert ("labels" in unchecked) == bool({"no-labels-listed", "bare-lists", "labels-refused"} & set(FAMILIES[family]))
    assert ("the device lists no image of it" in unchecked) == ("bare-lists" in FAMILIES[family])
    assert ("switchover-ready" in unchecked) == ("no-switchover-ready" in FAMILIES[family])


def test_cntr1_passes_on_a_device_that_takes_no_labels(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr1", *QUICK, HOLDFAST_QUIRKS="labels-refused")
    assert run.exit_code == 0, run.output
    assert "the device takes no labels: " in run.output


def test_only_labels_that_nobody_asked_for_are_left_out(archive: Path) -> None:
    with (
        holdfast.emulator(quirks=["labels-refused"]) as chassis,
        holdfast.connect(chassis.address, insecure=True) as device,
    ):
        dut = device.recording("7", labels={"holdfast.run": "7"}, name_label="holdfast.name")
        assert dut.labels_refused is None
        dut.containerz.deploy(archive, retag="app:v1")
        with pytest.raises(InvalidArgument, match="unsupported field"):
            dut.containerz.create_volume("asked", labels={"team": "storage"})
        assert dut.labels_refused is None, "it was refused without them, too"
        dut.containerz.create_volume("data")
        assert "unsupported field" in (dut.labels_refused or "")
        dut.containerz.start("web", image="app:v1", ports={60061: 60061})
        dut.containerz.update("web", image="app:v1", ports={60061: 60061})
        assert device.labels_refused is None, "nobody labels there"
        with pytest.raises(InvalidArgument, match="labels"):
            dut.containerz.start("other", image="app:v1", labels={"team": "storage"})
        assert not [event for event in dut.timeline if "is given none" in str(event)][1:], "said once"


def test_the_suite_passes_through_black_holes(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3", *QUICK, HOLDFAST_BLACK_HOLE="1")
    assert run.exit_code == 0, run.output
    assert "8 passed" in run.output


@pytest.mark.parametrize("way", ALONE)
def test_a_failover_passes_on_servers_of_this_way(way: str, run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1", *QUICK, HOLDFAST_QUIRKS=way)
    assert run.exit_code == 0, run.output
    assert "1 passed" in run.output


@pytest.mark.parametrize("seed", range(6))
def test_a_failover_passes_on_servers_of_two_ways(seed: int, run_suite: RunSuite) -> None:
    chance = random.Random(seed)
    ways = set(chance.sample(ALONE, 2))
    while any(ways <= set(group) for group in EXCLUSIVE):
        ways = set(chance.sample(ALONE, 2))
    run = run_suite("-k", "cntr3_1", *QUICK, HOLDFAST_QUIRKS=",".join(sorted(ways)))
    assert run.exit_code == 0, f"{ways}: {run.output}"


@pytest.mark.parametrize("code", ["NOT_FOUND", "INVALID_ARGUMENT", "INTERNAL", "UNIMPLEMENTED"])
def test_a_device_that_refuses_every_form_is_quoted(code: str, run_suite: RunSuite) -> None:
    refused = "\n".join(f"{rpc}=error[{code}](these are its own words)" for rpc in ("gnmi.Subscribe", "gnmi.Get"))
    run = run_suite("-k", "cntr3_1", *QUICK, "--dut-deadline", "settle=100ms", failpoints=refused)
    assert "these are its own words" in run.output
    assert "no control processor with a redundant-role" not in run.output
    alone = run_suite("-k", "cntr1_5", *QUICK, failpoints=refused)  # which needs no roles
    assert alone.exit_code == 0, alone.output


@pytest.mark.parametrize("way", ["changes-refused-at-first", "changes-aborted-at-first", "changes-fail-at-first"])
def test_a_change_that_is_refused_while_the_runtime_starts_is_asked_again(way: str) -> None:
    with (
        holdfast.emulator(quirks=[way], load=0.3) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        dut.switchover()
        assert dut.containerz.create_volume("after") == "after"
        again = [event.text for event in dut.timeline if "CreateVolume: asked again, for it was refused" in event.text]
        assert again, "it was refused at first"


def test_a_device_that_takes_so_many_calls_is_asked_more_slowly() -> None:
    with (
        holdfast.emulator(quirks=["requests-limited"]) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        for number in range(60):
            assert not dut.containerz.images(), number
        dut.containerz.create_volume("data")
        assert any("asked again, more slowly: the rate limit" in event.text for event in dut.timeline)


def test_a_device_that_has_no_room_is_not_asked_again() -> None:
    """RESOURCE_EXHAUSTED of a change says that, unless its words say otherwise."""
    with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        with (
            chassis.failpoint("containerz.CreateVolume", "1*error[RESOURCE_EXHAUSTED](no space left on device)"),
            pytest.raises(holdfast.exceptions.ResourceExhausted, match="no space left"),
        ):
            dut.containerz.create_volume("data")
        with chassis.failpoint("containerz.CreateVolume", "1*error[RESOURCE_EXHAUSTED](too many requests)"):
            dut.containerz.create_volume("data")


@pytest.mark.parametrize("way", ["wildcards-refused", "json-ietf-refused", "sync-after-each-update", "once-refused"])
def test_both_worlds_read_a_device_of_this_way(way: str) -> None:
    path = "/components/component[name=Supervisor1]/state"
    with holdfast.emulator(quirks=[way]) as chassis:
        with holdfast.connect(chassis.address, insecure=True) as dut:
            blocking = ([cp.name for cp in dut.control_processors()], len(dut.gnmi.get(path)))

        async def read() -> tuple[list[str], int]:
            async with holdfast.aio.connect(chassis.address, insecure=True) as dut:
                return [cp.name for cp in await dut.control_processors()], len(await dut.gnmi.get(path))

        assert asyncio.run(read()) == blocking
    assert blocking[0] == ["Supervisor1", "Supervisor2"]
    assert blocking[1] > 5


def test_an_image_that_comes_in_the_middle_is_the_runs_own_by_its_whole_name_too(run_suite: RunSuite) -> None:
    run = run_suite("-k", "midway_deploy_first_chunk", *QUICK, HOLDFAST_QUIRKS="normalised-names")
    assert run.exit_code == 0, run.output
