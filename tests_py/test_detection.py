"""What the cases must catch: a sample of the defect catalogue, each with the right case and the right reason."""

from __future__ import annotations

import pytest

from holdfast import _core

from conftest import RunSuite, SuiteRun, Verdicts
from defects import CATALOGUE, EIGHT, QUICK, Defect


def judge(defect: Defect, run: SuiteRun) -> list[str]:
    """What is not as the catalogue says."""
    if defect.some:
        return judge_some(defect, run)
    wrong = []
    names = defect.cases or tuple(defect.fails)
    for number, case in run.cases.items():
        expected = (
            "failure"
            if any(is_called(number, name) for name in names)
            else "skipped"
            if number in defect.skips
            else "passed"
        )
        if case.outcome != expected:
            wrong.append(f"{number}: {case.outcome}, not {expected}: {case.message}")
        elif expected == "failure":
            found = case.properties
            if defect.reason not in found["failures"]:
                wrong.append(f"{number}: {defect.reason!r} is not in {found['failures']}")
            if (defect.verdict != "either" and found[defect.verdict] != "FAIL") or (
                defect.verdict == "depth" and found["procedure"] != "pass"
            ):
                wrong.append(f"{number}: procedure {found['procedure']}, depth {found['depth']}")
    if not defect.cases and set(run.cases) != set(EIGHT):
        wrong.append(f"cases: {sorted(run.cases)}")
    missing = [name for name in names if not any(is_called(number, name) for number in run.cases)]
    return [*wrong, *(f"{name}: it did not run" for name in missing)]


def judge_some(defect: Defect, run: SuiteRun) -> list[str]:
    """The same where one case that meets the defect is enough."""
    failed = {number: case.properties for number, case in run.cases.items() if case.outcome == "failure"}
    strange = [number for number in run.cases if not any(is_called(number, name) for name in defect.cases)]
    right = [
        number
        for number, found in failed.items()
        if defect.reason in found["failures"] and (defect.verdict == "either" or found[defect.verdict] == "FAIL")
    ]
    met = [] if right else [f"{defect.reason!r} is in none of {failed}; {len(run.cases)} ran"]
    return [*met, *(f"{number}: it ran too" for number in strange)]


def is_called(case: str, name: str) -> bool:
    """Whether a case goes by a name of the catalogue: its number in CNTR-3, or the beginning of its name."""
    own = case.removeprefix("test_")
    return own == name or own.startswith((f"{name}_", f"{name}["))


def arguments(defect: Defect) -> tuple[str, ...]:
    """How the suite is run with it."""
    return defect.options if defect.cases else ("-k", "cntr3", *defect.options)


@pytest.mark.parametrize("defect", [each for each in CATALOGUE if each.sample], ids=lambda each: each.name)
def test_a_planted_defect_is_caught_by_the_right_case(defect: Defect, run_suite: RunSuite) -> None:
    run = run_suite(*arguments(defect), failpoints=defect.failpoints, **dict(defect.environment))
    assert judge(defect, run) == [], run.output
    assert run.exit_code == 1


def test_the_catalogue_is_as_large_as_it_says() -> None:
    assert len(CATALOGUE) >= 40
    assert len({defect.name for defect in CATALOGUE}) == len(CATALOGUE)


def test_every_defect_of_the_emulated_device_is_in_the_catalogue() -> None:
    named = {name for provider, name, _ in _core.failpoint_names() if provider == "emulator"}
    planted = {defect.failpoints.partition("=")[0] for defect in CATALOGUE}
    assert planted <= named
    steps = {f"{name}.after" for name in named}
    sites = ("containerz.", "system.", "gnmi.", "cntr.", "ledger.A", "ledger.R", "ledger.D", "plugin.")
    defects = {
        name for name in named if not name.startswith(sites) and name not in steps and f"{name}.after" not in named
    }
    healthy = {
        "roles.single",
        "roles.none",
        "load.lists_empty",
        "load.lists_partial",
        "switchover.takes_others",
        "load.volume.resurrected_late",
    }
    assert defects - planted - healthy == set()


def test_one_case_is_enough_only_where_it_says_the_right_thing() -> None:
    (defect,) = (each for each in CATALOGUE if each.failpoints.startswith("create_volume.twice"))
    right = {"failures": f"it {defect.reason}", "procedure": "FAIL", "depth": "pass"}
    failed, other = Verdicts("failure", right), Verdicts("failure", {**right, "failures": "x"})
    passed = Verdicts("passed")
    for cases, caught in (((failed, passed), True), ((passed, other), False), ((passed,), False), ((), False)):
        run = SuiteRun(1, "", {f"test_midway_random[seed{number}]": case for number, case in enumerate(cases)})
        assert (judge(defect, run) == []) == caught
    assert judge(defect, SuiteRun(1, "", {"test_midway_random[seed0]": failed, "test_midway_log": passed}))


def test_lists_that_are_empty_for_a_second_are_no_defect(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_2 or cntr3_5", failpoints="load.lists_empty=2*error(x)")
    assert run.exit_code == 0, run.output


def test_with_judge_procedure_a_depth_failure_is_reported_and_does_not_fail(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1", "--dut-judge", "procedure", *QUICK, failpoints="switchover.claimed=1*error(x)")
    assert run.exit_code == 0, run.output
    assert run.cases["1"].properties["depth"] == "FAIL"
    assert "SwitchoverUnproven" in run.output


def test_with_judge_procedure_a_failover_that_did_not_happen_fails(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3_1 or cntr3_8", "--dut-judge", "procedure", *QUICK,
                    failpoints="switchover.ignored=error(x)\nreboot.ignored=error(x)")  # fmt: skip
    assert run.exit_code == 1, run.output
    for number, error in (("1", "SwitchoverIgnored"), ("8", "RebootIgnored")):
        told = run.cases[number].properties
        assert (told["procedure"], run.cases[number].outcome) == ("FAIL", "failure")
        assert error in told["failures"]
