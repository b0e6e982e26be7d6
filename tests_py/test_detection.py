"""What the cases must catch: one planted defect a row, the case that must fail by it, and why.

Every case that a row does not name must pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from conftest import RunSuite

QUICK = ("--dut-deadline", "absence=200ms", "--dut-deadline", "watch=100ms", "--dut-deadline", "verification=1500ms")
LATE = ("--dut-deadline", "watch=100ms", "--dut-deadline", "verification=1500ms")
ALL = ("1", "2", "3", "4", "5", "6", "7", "8")


@dataclass(frozen=True)
class Row:
    """A defect, and what must come of it."""

    name: str
    failpoints: str
    verdict: str
    reason: str
    fails: tuple[str, ...]
    skips: tuple[str, ...] = ()
    options: tuple[str, ...] = QUICK


ROWS = (
    Row("switchover ignored", "switchover.ignored=1*error(x)", "depth", "SwitchoverIgnored", ("1",)),
    Row(
        "switchover refused",
        "system.SwitchControlProcessor=1*error[INTERNAL](no)",
        "procedure",
        "SwitchoverRefused",
        ("1",),
    ),
    Row(
        "switchover unimplemented",
        "system.SwitchControlProcessor=1*error[UNIMPLEMENTED](no)",
        "procedure",
        "SwitchoverUnimplemented",
        ("1",),
    ),
    Row("roles swapped back", "switchover.reversed=1*error(x)", "depth", "SwitchoverReversed", ("1",)),
    Row("roles claimed swapped", "switchover.claimed=1*error(x)", "depth", "SwitchoverUnproven", ("1",)),
    Row(
        "standby never ready again",
        "switchover.never_redundant=1*error(x)",
        "depth",
        "SwitchoverNeverRedundant",
        ("1",),
        skips=ALL[1:],
        options=(*QUICK, "--dut-deadline", "redundant=1500ms"),
    ),
    Row("image lost", "load.image.lost=1*error(x)", "procedure", "no image cntrsrv_image", ("1",)),
    Row("image replaced", "load.image.replaced=1*error(x)", "depth", "is another image", ("1",)),
    Row("image back at once", "load.image.resurrected=1*error(x)", "procedure", "is listed", ("5",)),
    Row(
        "image back later", "load.image.resurrected_late=1*error(x)", "depth", "later it did not", ("5",), options=LATE
    ),
    Row("image never copied", "switchover.sync.image=2*error(x)", "procedure", "no image cntrsrv_image", ("1",)),
    Row("container lost", "load.container.lost=1*error(x)", "procedure", "no container", ("2", "4")),
    Row("container stopped", "load.container.stopped=1*error(x)", "procedure", "is STOPPED", ("2", "4")),
    Row("container restarting", "load.container.restarting=1*error(x)", "procedure", "is UNSPECIFIED", ("2", "4")),
    Row("container mute", "load.container.mute=1*error(x)", "depth", "answers on its port", ("2", "4")),
    Row("container of another image", "load.container.replaced=1*error(x)", "depth", "impostor", ("2", "4")),
    Row(
        "container back at once",
        "load.container.resurrected=1*off->1*error(x)",
        "procedure",
        "is listed as",
        ("6",),
    ),
    Row(
        "container back later",
        "load.container.resurrected_late=1*off->1*error(x)",
        "depth",
        "later it did not",
        ("6",),
        options=LATE,
    ),
    Row("volume lost", "load.volume.lost=1*error(x)", "procedure", "no volume", ("3", "4")),
    Row("volume without options", "load.volume.options_lost=1*error(x)", "depth", "had driver", ("3", "4")),
    Row("volume emptied", "load.volume.emptied=1*error(x)", "depth", "acknowledged", ("3", "4")),
    Row("volume rolled back", "load.volume.rolled_back=1*error(x)", "depth", "acknowledged", ("3", "4")),
    Row("a record missing", "ledger.Read.record=3*off->1*drop", "depth", "record 4 was acknowledged", ("3", "4")),
    Row("volume back", "load.volume.resurrected=1*off->1*error(x)", "depth", "volume is gone too", ("6",)),
    Row("lists empty for a second", "load.lists_empty=1*error(x)", "", "", (), options=LATE),
    Row("reboot ignored", "reboot.ignored=1*error(x)", "depth", "RebootIgnored", ("8",)),
    Row(
        "reboot of one card",
        "reboot.one_card=1*error(x)",
        "depth",
        "RebootPartial",
        ("8",),
        options=(*QUICK, "--dut-deadline", "redundant=2500ms"),
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_planted_defect_is_caught_by_the_right_case(row: Row, run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3", *row.options, failpoints=row.failpoints)
    assert set(run.cases) == set(ALL), run.output
    for number, case in run.cases.items():
        expected = "failure" if number in row.fails else "skipped" if number in row.skips else "passed"
        assert case.outcome == expected, f"CNTR-3.{number}: {case.message}\n{run.output}"
        if number in row.fails:
            assert row.reason in case.properties["failures"], case.properties["failures"]
            other = "depth" if row.verdict == "procedure" else "procedure"
            assert case.properties[row.verdict] == "FAIL"
            assert row.verdict == "procedure" or case.properties[other] == "pass"
    assert run.exit_code == (1 if row.fails else 0)


def test_with_judge_procedure_a_depth_failure_is_reported_and_does_not_fail(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1", "--dut-judge", "procedure", *QUICK, failpoints="switchover.ignored=1*error(x)")
    assert run.exit_code == 0, run.output
    assert run.cases["1"].properties["depth"] == "FAIL"
    assert "SwitchoverIgnored" in run.output
