"""The healthy ways of the emulated provider, by CSI's sockets: each passes all scenarios, or is not asked."""

from __future__ import annotations

import pytest

from holdfast import _core

from conftest import RunSuite
from test_torpedo import verdicts

ALL = tuple(f"T{number}" for number in range(1, 11))
# What is NotRun in some of them, and what is said of it.
NOT_RUN = {
    "minimum-untold": (ALL, "give its file `minimum` or `sizes`"),
    "node-topology": (("T2", "T4", "T5", "T7", "T8"), "a volume for node1 is accessible from node1 alone"),
}
# What is listed as not checked.
NOT_CHECKED = {
    "capacity-unknown": ("the size of a volume", "the same name with another size"),
    "strict-single-writer": ("two paths of a volume for SINGLE_NODE_WRITER on a node",),
    "node-topology": ("a volume on a second node",),
    "no-list": ("refused, changed nothing", "what stays attached"),
    "no-attach": ("a volume for one node on a second",),
}


@pytest.mark.parametrize("name", [name for name, _ in _core.storage_personalities()])
def test_who_is_in_a_healthy_way_passes_or_is_not_asked(name: str, run_suite: RunSuite) -> None:
    scenarios = " or ".join(f"torpedo_{scenario[1:]}_" for scenario in ALL)
    run = run_suite("-k", scenarios, "--torpedo-face", "csi", "--torpedo-personality", name, "-n", "2")
    assert run.exit_code == 0, run.output
    found = verdicts(run)
    assert set(found) == set(ALL)
    unasked, reason = NOT_RUN.get(name, ((), ""))
    for scenario, told in found.items():
        wanted = "NotRun" if scenario in unasked else "Pass"
        asked = [each for each in told if "capability Server" not in each[1]]  # no orchestrator restarts a server
        assert {verdict for verdict, _ in asked} == {wanted}, (scenario, asked)
        assert all(reason in why for _, why in asked if wanted == "NotRun")
    for what in NOT_CHECKED.get(name, ()):
        assert f"not checked: {what}" in run.output or what in run.output, run.output


def test_calls_that_were_put_off_are_counted(run_suite: RunSuite) -> None:
    run = run_suite(
        "-k", "torpedo_6_", "--torpedo-face", "csi", "--torpedo-personality", "pending-calls",
        "--torpedo-call", "CreateVolume=7s",
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    assert "CreateVolume: slowest " in run.output
    assert " s of 7 s; " in run.output
    assert " times again" in run.output


def test_a_call_that_is_put_off_for_longer_than_it_may_take_is_told_with_what_was_said(run_suite: RunSuite) -> None:
    run = run_suite(
        "-k", "torpedo_6_", "--torpedo-face", "csi", "--torpedo-personality", "pending-calls",
        "--torpedo-call", "CreateVolume=40ms",
    )  # fmt: skip
    assert run.exit_code == 1, run.output
    assert "ABORTED: an operation on it is pending" in run.output


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--torpedo-personality", "round-sizes"), "did you mean rounds-sizes?"),
        (("--torpedo-call", "CreateVolum=3s"), "did you mean CreateVolume?"),
        (("--torpedo-call", "CreateVolume"), "such as CreateVolume=12s"),
    ],
)
def test_names_that_there_are_not_are_refused(option: tuple[str, str], said: str, run_suite: RunSuite) -> None:
    run = run_suite("-k", "torpedo_1_", *option)
    assert run.exit_code == 4, run.output
    assert said in run.output
