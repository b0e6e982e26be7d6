"""On a production-sized device: few failovers, rude ones, many rounds; and what is told before anything happens."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import holdfast
from holdfast.exceptions import InvalidArgumentError, SwitchoverIgnored, SwitchoverRefused

from conftest import RunSuite, emulate

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")
ONE_TO_SEVEN = tuple("1234567")


def test_combined_cases_share_two_switchovers(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3 and not cntr3_8", "--dut-combine", *QUICK)
    assert run.exit_code == 0, run.output
    assert "7 passed" in run.output
    outages = {number: tuple(json.loads(run.cases[number].properties["outages"])) for number in ONE_TO_SEVEN}
    first, _ = outages["7"]
    assert all(outages[number] == (first,) for number in ONE_TO_SEVEN[:-1]), outages
    plain = run_suite("-k", "cntr3 and not cntr3_8", *QUICK)
    for number in ONE_TO_SEVEN:
        assert run.cases[number].properties["checked"] == plain.cases[number].properties["checked"], number


@pytest.mark.parametrize(
    ("failpoints", "fails"),
    [
        ("load.image.lost=1*error(x)", {"1", "7"}),
        ("load.container.lost=1*error(x)", {"2", "4"}),
        ("load.volume.lost=1*error(x)", {"3", "4"}),
        ("load.container.resurrected=1*error(x)", {"6"}),
        ("load.volume.resurrected=1*error(x)", {"6"}),
        ("load.image.resurrected=1*error(x)", {"5"}),
        ("switchover.ignored=1*error(x)", set("1234567")),
    ],
)
def test_a_combined_run_blames_the_right_cases(run_suite: RunSuite, failpoints: str, fails: set[str]) -> None:
    verification = ("--dut-deadline", "verification=1s")
    run = run_suite("-k", "cntr3 and not cntr3_8", "--dut-combine", *QUICK, *verification, failpoints=failpoints)
    failed = {number for number, case in run.cases.items() if case.outcome == "failure"}
    assert failed >= fails, run.output
    assert failed <= fails | {"1", "7", "2", "4"} if "image.lost" in failpoints else failed == fails, run.output


def test_a_chosen_case_alone_brings_no_other_with_it(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_5", "--dut-combine", "--dut-plan")
    assert "1 switchover, at most" in run.output
    run = run_suite("-k", "cntr3_5", "--dut-combine", *QUICK)
    assert run.exit_code == 0
    assert "1 passed" in run.output


@pytest.mark.parametrize("trigger", ["reboot-active", "kill:supervisor"])
def test_rude_failovers_are_judged_by_the_same_cases(run_suite: RunSuite, trigger: str) -> None:
    run = run_suite("-k", "cntr3 and not cntr3_8", "--dut-combine", "--dut-trigger", trigger, *QUICK)
    assert run.exit_code == 0, run.output
    assert f"the active control processor fails by {trigger}" in run.output
    assert "it has all that was written to it" in run.cases["3"].properties["checked"]


def test_a_command_of_the_users_fails_the_active(run_suite: RunSuite, tmp_path: Path) -> None:
    with emulate(tmp_path, "--state", str(tmp_path / "chassis")) as address:
        control = f"{sys.executable} -m holdfast.cli failpoint --control {tmp_path / 'chassis'}"
        # The active dies of the next question to it.
        command = f"{control} arm 'gnmi.Subscribe=1*crash' && echo $HOLDFAST_ACTIVE > {tmp_path / 'told'}"
        run = run_suite("-k", "cntr3_1", "--dut", address, "--dut-insecure", f"--dut-trigger=command:{command}", *QUICK)
    assert run.exit_code == 0, run.output
    assert (tmp_path / "told").read_text(encoding="utf-8").strip() == "Supervisor1"


def test_triggers_that_fail_say_so(device: holdfast.Device) -> None:
    with pytest.raises(SwitchoverRefused, match='there is no process "sysdb"'):
        device.switchover(trigger="kill:sysdb")
    with pytest.raises(InvalidArgumentError, match=r"the command failed .*no PDU"):
        device.switchover(trigger="command:echo no PDU >&2; exit 3")
    with pytest.raises(InvalidArgumentError, match='there is no trigger "pull"'):
        device.switchover(trigger="pull")
    with pytest.raises(SwitchoverIgnored):
        device.switchover(trigger="command:true")


def test_a_switchover_may_be_asked_of_a_standby_that_is_not_ready() -> None:
    with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        with chassis.failpoint("switchover.come_back", "1*pause") as held:
            dut.switchover()
            held.wait_reached()
            with pytest.raises(SwitchoverRefused, match="FAILED_PRECONDITION"):
                dut.switchover(wait_ready=False)
        dut.switchover()


def test_rounds_are_summed_up(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1 or cntr3_5", "--dut-repeat", "3", *QUICK)
    assert run.exit_code == 0, run.output
    assert "6 passed" in run.output
    assert "3 rounds on EMULATED device" in run.output
    assert "outages: 6; p50 0." in run.output
    assert "grew: too few rounds to tell (8): containers from " in run.output


def test_the_plan_counts_rounds_and_devices(run_suite: RunSuite, tmp_path: Path) -> None:
    lab = tmp_path / "lab.yaml"
    lab.write_text("devices: {a: {emulated: true}, b: {emulated: true}}", encoding="utf-8")
    run = run_suite("--testbed", str(lab), "--dut-repeat", "2", "--dut-combine", "--dut-plan")
    assert "8 switchovers and 4 cold reboots" in run.output


@pytest.mark.parametrize(
    "given",
    [
        "--dut-trigger=pull",
        "--dut-trigger=command: ",
        "--dut-repeat=0",
        "--dut-repeat=many",
        "--dut-port=70000",
        "--dut-volume-option=noeq",
        "--dut-volume-option==value",
    ],
)
def test_options_that_make_no_sense_are_refused(run_suite: RunSuite, given: str) -> None:
    run = run_suite("-k", "cntr3_1", given)
    assert run.exit_code == 4
    assert given.partition("=")[0] in run.output
