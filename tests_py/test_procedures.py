"""Procedures that several tests share, or that share failovers: what ends one ends no other, and passes none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_plugin import QUICK

from holdfast import judge

from conftest import RunSuite, SuiteRun

BEGIN = """
import contextlib
import pytest
from holdfast.exceptions import NotFound
from holdfast.pytest_plugin.procedure import SwitchoverStep, case, case_of, procedure

pytestmark = pytest.mark.disruptive

@contextlib.contextmanager
def breaks(when):
    if when == "at its begin":
        raise OSError("broken " + when)
    yield
    if when == "at its end":
        raise OSError("broken " + when)
"""
SHARED = """
@procedure("one", "other")
def both(dut, image, account):
    with account.common.procedure("ask"):
        pass
    with account["one"].depth("look"):
        raise AssertionError("gone")
    {first}
    with account["other"].procedure("look again"):
        pass
    failover = yield SwitchoverStep("switch over", {during})
    {then}
    with account["other"].depth("look at last"):
        pass

@pytest.mark.cntr3("OWN-1", switchovers=1)
@case_of(both, "one")
def test_1() -> None:
    pass

@pytest.mark.cntr3("OWN-2", switchovers=1)
@case_of(both, "other")
def test_2() -> None:
    pass
"""
COMBINED = """
@pytest.mark.cntr3("OWN-1", switchovers=1)
@case(combines=True)
def test_1(dut, image, case):
    with case.depth("look"):
        raise AssertionError("gone")
    yield SwitchoverStep("switch over")
    with case.procedure("look again"):
        pass

@pytest.mark.cntr3("OWN-2", switchovers=1)
@case(combines=True)
def test_2(dut, image, case):
    with case.procedure("ask"):
        pass
    {first}
    yield SwitchoverStep("switch over", {during})
    {then}
    with case.procedure("look again"):
        pass
"""
# Where it breaks, how, and what is told of it.
BREAKS = [
    ("first", "raise OSError('broken')", "OSError: broken"),
    ("first", "raise NotFound('broken')", "outside of its steps: broken"),
    ("first", "pytest.fail('broken')", "Failed: broken"),
    ("then", "raise KeyError('broken')", "KeyError: 'broken'"),
    ("during", "during=lambda: breaks('at its begin')", "broken at its begin"),
    ("during", "during=lambda: breaks('at its end')", "broken at its end"),
]


def run_own(run_suite: RunSuite, tmp_path: Path, text: str, where: str, how: str, *more: str) -> SuiteRun:
    (tmp_path / "empty").mkdir()
    filled = text.format(**{"first": "", "then": "", "during": "", where: how})
    (tmp_path / "empty" / "test_own.py").write_text(BEGIN + filled)
    run = run_suite("test_own.py", "--dut-artifacts", str(tmp_path / "kept"), *QUICK, *more)
    assert run.exit_code == 1, run.output
    assert all(not each.differs for each in judge.again(tmp_path / "kept")), run.output
    return run


def failures(run: SuiteRun, test: str) -> str:
    return run.cases[test].properties["failures"]


@pytest.mark.parametrize(("where", "how", "told"), BREAKS)
def test_what_ends_a_procedure_passes_no_test_that_shares_it(
    where: str, how: str, told: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    run = run_own(run_suite, tmp_path, SHARED, where, how)
    assert {case.outcome for case in run.cases.values()} == {"failure"}, run.output
    for test in ("test_1", "test_2"):
        assert run.cases[test].properties["procedure"] == "FAIL", run.output
        assert told in json.loads(failures(run, test))[-1]
        away = len(json.loads(run.cases[test].properties["outages"]))
        assert away == (where == "then" or "its end" in how), "what was seen before is kept"
    assert "depth: look: AssertionError: gone" in failures(run, "test_1")
    assert "gone" not in failures(run, "test_2")


@pytest.mark.parametrize(("where", "how", "told"), BREAKS)
def test_what_ends_one_of_those_that_share_a_failover_ends_no_other(
    where: str, how: str, told: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    run = run_own(run_suite, tmp_path, COMBINED, where, how, "--dut-combine")
    assert json.loads(failures(run, "test_1")) == ["depth: look: AssertionError: gone"], run.output
    assert run.cases["test_1"].properties["procedure"] == "pass"
    assert len(json.loads(run.cases["test_1"].properties["outages"])) == 1
    assert "look again" in run.cases["test_1"].properties["checked"]
    assert run.cases["test_2"].outcome == "failure"
    (last,) = json.loads(failures(run, "test_2"))
    assert told in last
    assert "ask" in run.cases["test_2"].properties["checked"]
    assert "look again" not in run.cases["test_2"].properties["checked"]


def test_a_part_that_ends_a_procedure_passes_no_other_part(run_suite: RunSuite, tmp_path: Path) -> None:
    ends = 'with account["one"].procedure("must be"): raise NotFound("not there")'
    run = run_own(run_suite, tmp_path, SHARED, "first", ends)
    assert "procedure: must be: NotFound: not there" in failures(run, "test_1")
    assert "outside" not in failures(run, "test_1")
    assert run.cases["test_2"].outcome == "failure"
    assert "outside of its steps: not there" in failures(run, "test_2")


def test_a_failure_of_depth_hides_no_error_outside_of_a_step(run_suite: RunSuite, tmp_path: Path) -> None:
    hidden = 'with account.common.depth("beyond"): assert 0\n    raise NotFound("broken")'
    run = run_own(run_suite, tmp_path, SHARED, "first", hidden, "--dut-judge", "procedure")
    assert {case.outcome for case in run.cases.values()} == {"failure"}, run.output


def test_a_failover_that_breaks_ends_all_that_share_it(run_suite_apart: RunSuite, tmp_path: Path) -> None:
    broken = "import holdfast.pytest_plugin.run as runs\ndef fall(run): raise OSError('broken')\n"
    broken += "runs.Run.switchover = fall\n"
    run = run_own(run_suite_apart, tmp_path, broken + COMBINED, "first", "", "--dut-combine")
    assert {case.outcome for case in run.cases.values()} == {"failure"}, run.output
    assert all("OSError: broken" in failures(run, test) for test in ("test_1", "test_2"))
    assert "gone" in failures(run, "test_1")


def test_what_breaks_a_case_hides_no_step_of_it(run_suite: RunSuite, tmp_path: Path) -> None:
    alone = COMBINED.partition('@pytest.mark.cntr3("OWN-2"')[0] + "    {then}\n"
    run = run_own(run_suite, tmp_path, alone, "then", "raise OSError('broken')", "--dut-judge", "procedure")
    told = run.cases["test_1"].properties
    assert (told["procedure"], told["depth"]) == ("FAIL", "FAIL"), run.output
    assert len(json.loads(told["outages"])) == 1
    assert "look again" in told["checked"]
    assert "depth: look: AssertionError: gone" in run.output


OWN_NAMES = """
from holdfast.pytest_plugin.surroundings import Surroundings
from holdfast.suites.steps import deploy

@pytest.mark.cntr3("OWN-1", switchovers=1)
@case()
def test_1(dut, image, case):
    around = Surroundings(case.run, dut)
    with case.procedure("deploy"):
        deploy(dut, image)
    with case.depth("what else is on the device is as it was"):
        around.expect_unchanged()
    yield SwitchoverStep("switch over")
"""


@pytest.mark.parametrize("quirk", ["normalised-names", "tag-behind-name", "joined-image-rows"])
def test_a_run_knows_its_own_image_by_whatever_name_the_device_has_for_it(
    quirk: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "test_own.py").write_text(BEGIN + OWN_NAMES)
    run = run_suite("test_own.py", f"--dut-emulator=quirk={quirk}", *QUICK)
    assert run.exit_code == 0, run.output
