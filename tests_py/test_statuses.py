"""Which statuses of a refusal the plan's own suite takes, and which fail a case of CNTR-1 here as there."""

from __future__ import annotations

from pathlib import Path

import pytest

import holdfast

from conftest import RunSuite

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")
START = "containerz.StartContainer", 1
LOG, LOG_OF_STOPPED = ("containerz.Log", 2), ("containerz.Log", 3)
STOP, SECOND_STOP = ("containerz.StopContainer", 1), ("containerz.StopContainer", 2)
REMOVE = "containerz.RemoveVolume", 1
UPDATE, UPDATE_OF_TAG, UPDATE_OF_INSTANCE = (("containerz.UpdateContainer", calls) for calls in range(3))
UNKNOWN_PLUGIN, SECOND_START = ("containerz.StartPlugin", 1), ("containerz.StartPlugin", 2)


def answered(asked: tuple[str, int], status: str) -> str:
    """The option with which one call of a case is refused by a status, after those before it."""
    call, before = asked
    skipped = f"{before}*off->" if before else ""
    return f"--dut-failpoint={call}={skipped}1*error[{status}](no)"


@pytest.mark.parametrize(
    ("case", "asked", "status"),
    [
        ("cntr1_1", START, "INTERNAL"),
        ("cntr1_2", LOG, "UNKNOWN"),
        ("cntr1_2", LOG_OF_STOPPED, "INTERNAL"),
        ("cntr1_4", SECOND_STOP, "FAILED_PRECONDITION"),
        ("cntr1_5", REMOVE, "NOT_FOUND"),
        ("cntr1_7", UNKNOWN_PLUGIN, "FAILED_PRECONDITION"),
        ("cntr1_7", SECOND_START, "UNKNOWN"),
    ],
)
def test_what_the_plans_suite_takes_passes(case: str, asked: tuple[str, int], status: str, run_suite: RunSuite) -> None:
    run = run_suite("-k", case, *QUICK, answered(asked, status))
    assert run.exit_code == 0, run.output


@pytest.mark.parametrize(
    ("case", "asked", "status", "step"),
    [
        ("cntr1_2", LOG, "INTERNAL", "a container that is not there has no log"),
        ("cntr1_2", LOG_OF_STOPPED, "PERMISSION_DENIED", "the log of a stopped container is whatever the device gives"),
        ("cntr1_4", SECOND_STOP, "INTERNAL", "stopping it again is success, or says that it does not run"),
        ("cntr1_5", REMOVE, "INTERNAL", "removing one that is not there changes nothing"),
        ("cntr1_6", UPDATE, "INTERNAL", "an update of an unknown image is refused"),
        ("cntr1_6", UPDATE_OF_TAG, "UNKNOWN", "an update of an unknown tag is refused"),
        ("cntr1_6", UPDATE_OF_INSTANCE, "FAILED_PRECONDITION", "an update of an unknown instance is refused"),
        ("cntr1_7", UNKNOWN_PLUGIN, "INTERNAL", "a plugin that is not there is not started"),
        ("cntr1_7", SECOND_START, "FAILED_PRECONDITION", "it is not started twice"),
    ],
)
def test_what_it_does_not_take_fails_procedure(
    case: str, asked: tuple[str, int], status: str, step: str, run_suite: RunSuite
) -> None:
    run = run_suite("-k", case, *QUICK, answered(asked, status))
    assert run.exit_code == 1, run.output
    assert f"procedure failed: {step}" in run.output


def test_the_status_of_an_unknown_container_is_depth(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr1_4", *QUICK, answered(STOP, "INTERNAL"), "--dut-judge", "procedure")
    assert run.exit_code == 0, run.output
    assert "depth: that is said of it: ExpectationFailed" in run.output


def test_a_volume_of_another_name_than_asked_for_fails_procedure(run_suite: RunSuite) -> None:
    renamed = '--dut-failpoint=containerz.CreateVolume.after=1*return{"name": "another"}'
    run = run_suite("-k", "cntr1_5", *QUICK, renamed)
    assert run.exit_code == 1, run.output
    assert "procedure: create the volume: ExpectationFailed: the volume holdfast-" in run.output
    assert "and the device made another" in run.output


@pytest.mark.parametrize(
    ("case", "requests"),
    [
        ("cntr1_4", ['StopContainerRequest {"force":true,"instance_name":"holdfast-']),
        ("cntr1_5", ['RemoveVolumeRequest {"force":true,"name":"holdfast-']),
        ("cntr3_5", ['RemoveImageRequest {"name":"']),
        ("cntr3_6", ['RemoveContainerRequest {"force":true,"name":"holdfast-']),
        ("cntr3_8", ['RebootRequest {"force":true,']),
        ("cntr2_4", ['"network":"host"']),
    ],
)
def test_what_is_asked_for_by_force_is_what_the_plans_suite_asks_for_so(
    case: str, requests: list[str], run_suite: RunSuite, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    run = run_suite("-k", case, *QUICK, "--dut-artifacts", str(kept))
    assert run.exit_code == 0, run.output
    (timeline,) = kept.glob("*/timeline.txt")
    written = timeline.read_text(encoding="utf-8")
    assert all(request in written for request in requests), written


def test_a_reboot_waits_for_a_standby_in_step(run_suite: RunSuite) -> None:
    with holdfast.emulator(boot=60) as chassis:
        with holdfast.connect(chassis.address, insecure=True) as dut:
            dut.switchover()
        limits = ("--dut-deadline", "redundant=500ms", "--dut-deadline", "ready=500ms")
        with chassis.failpoint("system.Reboot", "1*error[INTERNAL](asked)", may_stay_unhit=True) as asked:
            run = run_suite("-k", "cntr3_8", *QUICK, *limits, "--dut", chassis.address, "--dut-insecure")
            assert asked.hits == 0, "nothing is rebooted"
    assert run.exit_code == 1, run.output
    assert "procedure failed: both control processors are in step before" in run.output
