"""One model of verdicts: steps, what follows from them, and how they are kept."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_plugin import QUICK

from holdfast import judge, report
from holdfast.cli import main
from holdfast.exceptions import InvalidArgumentError
from holdfast.render import page
from holdfast.results import Event, Timeline
from holdfast.verdicts import (
    DEPTH,
    FAIL,
    INCONCLUSIVE,
    NOT_CHECKED,
    PASS,
    PROCEDURE,
    CaseRecord,
    Outcome,
    Step,
    outcome_of,
    store,
    verdict_of,
)

from conftest import RunSuite


def kept(folder: Path, told: dict[str, Any]) -> Path:
    (folder / told["test"]).mkdir(parents=True)
    (folder / told["test"] / store.VERDICT).write_text(json.dumps(told))
    return folder


def record(*steps: Step, test: str = "test_a", came: str = "", **more: Any) -> CaseRecord:
    return CaseRecord("CNTR-3.1", test, "a device", came or outcome_of(steps, DEPTH), steps=steps, **more)


# As holdfast keeps a case.
KEPT = store.encode(record(Step(PROCEDURE, "ask"), Step(DEPTH, "look", FAIL, "gone", 1.5), outages=(0.25,)))


def written(folder: Path, case: CaseRecord) -> Path:
    (folder / case.test).mkdir(parents=True)
    store.write(folder / case.test, case)
    return folder


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ((), NOT_CHECKED),
        ((NOT_CHECKED,), NOT_CHECKED),
        ((INCONCLUSIVE,), NOT_CHECKED),
        ((PASS,), PASS),
        ((PASS, NOT_CHECKED), PASS),
        ((PASS, INCONCLUSIVE, FAIL), FAIL),
    ],
)
def test_a_verdict_follows_from_the_steps_of_its_kind(outcomes: tuple[Outcome, ...], verdict: str) -> None:
    steps = [Step(DEPTH, "look", outcome) for outcome in outcomes]
    assert verdict_of(steps, DEPTH) == verdict
    assert verdict_of(steps, PROCEDURE) == NOT_CHECKED


@pytest.mark.parametrize(
    ("procedure", "depth", "by_both", "by_procedure"),
    [
        (PASS, PASS, "passed", "passed"),
        (PASS, FAIL, "failed", "passed"),
        (PASS, NOT_CHECKED, "passed", "passed"),
        (NOT_CHECKED, PASS, "passed", "skipped"),
        (NOT_CHECKED, FAIL, "failed", "skipped"),
        (NOT_CHECKED, NOT_CHECKED, "skipped", "skipped"),
        (FAIL, NOT_CHECKED, "failed", "failed"),
    ],
)
def test_what_a_test_comes_to(procedure: Outcome, depth: Outcome, by_both: str, by_procedure: str) -> None:
    steps = [Step(PROCEDURE, "ask", procedure), Step(DEPTH, "look", depth)]
    assert (outcome_of(steps, DEPTH), outcome_of(steps, PROCEDURE)) == (by_both, by_procedure)


@pytest.mark.parametrize(
    ("outcome", "steps", "verdict"),
    [
        ("skipped", [Step(PROCEDURE, "ask", FAIL)], "skipped"),
        ("error", [Step(PROCEDURE, "ask", FAIL)], "error"),
        ("failed", [Step(PROCEDURE, "ask", INCONCLUSIVE)], INCONCLUSIVE),
        ("failed", [Step(PROCEDURE, "ask", INCONCLUSIVE), Step(DEPTH, "look", FAIL)], FAIL),
        ("failed", [Step(PROCEDURE, "ask"), Step(DEPTH, "look", NOT_CHECKED)], FAIL),
        ("passed", [Step(PROCEDURE, "ask"), Step(DEPTH, "look", INCONCLUSIVE)], PASS),
        ("passed", [Step(PROCEDURE, "ask", FAIL), Step(DEPTH, "look")], FAIL),
        ("passed", [Step(PROCEDURE, "ask"), Step(DEPTH, "look", FAIL)], FAIL),
        ("passed", [Step(PROCEDURE, "ask"), Step(DEPTH, "look", NOT_CHECKED)], PASS),
        ("passed", [Step(PROCEDURE, "ask", NOT_CHECKED), Step(DEPTH, "look")], PASS),
        ("passed", [Step(PROCEDURE, "ask", NOT_CHECKED)], NOT_CHECKED),
    ],
)
def test_the_verdict_of_a_case_in_one_word(outcome: str, steps: list[Step], verdict: str) -> None:
    assert CaseRecord("CNTR-3.1", "test_a", "a device", outcome, steps=tuple(steps)).verdict == verdict


@pytest.mark.parametrize(
    ("suite", "kinds"),
    [("cntr3", (PROCEDURE, DEPTH)), ("", (PROCEDURE, DEPTH)), ("cni", (PROCEDURE,)), ("torpedo", (PROCEDURE,))],
)
def test_the_verdicts_that_a_suite_comes_to(suite: str, kinds: tuple[str, ...]) -> None:
    assert record(suite=suite).kinds == kinds


def test_a_case_without_its_device_shows_an_error() -> None:
    case = record(Step(PROCEDURE, "ask"))
    assert (case.shown(PROCEDURE), case.shown(DEPTH)) == (PASS, NOT_CHECKED)
    lost = replace(case, outcome="error")
    assert (lost.shown(PROCEDURE), lost.shown(DEPTH)) == ("error", "error")


@pytest.mark.parametrize(
    ("suite", "outcome", "comes_to", "shows"),
    [
        ("torpedo", INCONCLUSIVE, "failed", INCONCLUSIVE),
        ("cni", INCONCLUSIVE, "failed", INCONCLUSIVE),
        ("cntr3", INCONCLUSIVE, "passed", PASS),
        ("torpedo", NOT_CHECKED, "passed", PASS),
        ("torpedo", FAIL, "failed", FAIL),
        ("cntr3", FAIL, "failed", FAIL),
    ],
)
def test_what_proves_nothing_passes_in_no_suite_of_one_verdict(
    suite: str, outcome: Outcome, comes_to: str, shows: str
) -> None:
    steps = (Step(PROCEDURE, "write"), Step(PROCEDURE, "look", outcome))
    assert outcome_of(steps, DEPTH, suite) == comes_to
    assert record(*steps, suite=suite, came=comes_to).shown(PROCEDURE) == shows


def test_a_case_shows_its_own_verdict_alone_where_its_suite_has_one_and_it_proved_nothing() -> None:
    assert record(Step(PROCEDURE, "look", INCONCLUSIVE), suite="cntr3", came="failed").shown(PROCEDURE) == NOT_CHECKED
    assert record(Step(PROCEDURE, "look"), suite="torpedo", came="skipped").shown(PROCEDURE) == PASS


def test_a_case_is_known_by_its_verdicts_and_named_without_its_evidence() -> None:
    case = record(Step(PROCEDURE, "ask"), facts={"a": "b"}, plan={"switchovers": 1}, logs={"web": "correct horse"},
                  about={"os": "correct horse"}, held={"correct horse": 1.0})  # fmt: skip
    seen = replace(case, timeline=Timeline((Event(0.5, datetime(2026, 11, 25, tzinfo=timezone.utc), "note", "horse"),)))
    assert case == seen
    assert len({case, seen}) == 1
    assert "horse" not in repr(seen)
    with pytest.raises(AttributeError):
        case.outcome = "passed"  # type: ignore[misc]


def test_the_steps_of_a_case_by_their_outcomes() -> None:
    case = record(
        Step(PROCEDURE, "ask"), Step(DEPTH, "id", FAIL, "x"), Step(DEPTH, "port", NOT_CHECKED, "no means"),
        Step(PROCEDURE, "port", NOT_CHECKED, "no means"), Step(DEPTH, "clock", INCONCLUSIVE, "a filter"),
    )  # fmt: skip
    assert case.checked == ("ask",)
    assert [str(step) for step in case.failures] == ["depth: id: x"]
    assert case.not_checked == ("clock: inconclusive, a filter", "port: no means")
    assert Step(DEPTH, "look").line == "look"


def test_a_notebook_shows_a_timeline_where_there_is_one() -> None:
    case = record(Step(PROCEDURE, "ask"))
    shown = case._repr_html_()
    assert "<svg" not in shown
    for name in ("plan id", "test", "device", "outcome", "procedure", "depth", "steps", "outages", "noted", "why"):
        assert re.search(rf"<t[dh][^>]*>{name}</t[dh]>", shown), name
    assert re.search(r"<t[dh][^>]*>CNTR-3.1</t[dh]>", shown)
    assert (
        "<svg"
        in replace(
            case, timeline=Timeline((Event(0.5, datetime(2026, 11, 25, tzinfo=timezone.utc), "note", "began"),))
        )._repr_html_()
    )


def test_a_case_is_kept_and_read_back(tmp_path: Path) -> None:
    case = record(
        Step(PROCEDURE, "deploy", seconds=0.5), Step(DEPTH, "look", INCONCLUSIVE, "a filter"),
        Step(DEPTH, "id", FAIL, "x"),
        outages=(0.25, 1.0), outages_known_after=(3.5, 9.25),
        noted=("NOT_FOUND",), round=3, held={"images": 2}, judged=PROCEDURE, session="s",
    )  # fmt: skip
    (found,) = store.read(written(tmp_path, case))
    assert found == case
    assert (found.procedure, found.depth, found.verdict) == (PASS, FAIL, FAIL)
    assert found.not_checked == ("look: inconclusive, a filter",)


def whole_case() -> CaseRecord:
    """With something in each field that is kept."""
    return CaseRecord(
        "CNTR-3.1", "test_x[r1]", "größe", "failed",
        steps=(Step(PROCEDURE, "ask", seconds=0.5), Step(DEPTH, "look", FAIL, "gone", 1.5, "why"),
               Step(DEPTH, "port", NOT_CHECKED, "no means")),
        suite="cntr3", title="images persist", variant="r1", judged=PROCEDURE, outages=(0.25,),
        outages_known_after=(3.5,), noted=("NOT_FOUND",),
        why="it failed",
        facts={"records": "12"}, vendor="Example", software="1.0", round=3, held={"images": 2.0}, session="s",
        command="pytest -k x",
        began="2026-11-25T07:59:00+00:00", ended="2026-11-25T08:00:00+00:00", plan={"switchovers": 1}, target="r1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({}, "CNTR-3.1"),
        ({"title": "images persist"}, "CNTR-3.1 images persist"),
        ({"title": "images persist", "variant": "r1", "round": 2}, "CNTR-3.1 images persist [r1], round 2"),
    ],
)
def test_a_page_calls_a_case_as_it_was_declared(more: dict[str, Any], shown: str, tmp_path: Path) -> None:
    case = record(Step(PROCEDURE, "ask"), test="test_cntr3_1_of_another_name[r1]", **more)
    text = page.html([case])
    assert f">{shown}: <" in text.partition("<h3 ")[2]
    assert f">{shown}</a>" in text
    assert "of another name" not in text


def test_what_is_kept_is_what_other_programs_read(tmp_path: Path) -> None:
    case = whole_case()
    file = written(tmp_path, case) / case.test / store.VERDICT
    assert file.name == "verdict.json"
    assert file.read_bytes().startswith(b'{\n  "version": 2,\n')
    assert json.loads(file.read_text(encoding="utf-8")) == {
        "version": 2, "plan_id": "CNTR-3.1", "test": "test_x[r1]", "device": "größe", "outcome": "failed",
        "why": "it failed", "suite": "cntr3", "title": "images persist", "variant": "r1", "judged": "procedure",
        "steps": [
            {"kind": "procedure", "name": "ask", "outcome": "pass", "words": "", "seconds": 0.5, "reason": ""},
            {"kind": "depth", "name": "look", "outcome": "FAIL", "words": "gone", "seconds": 1.5, "reason": "why"},
            {"kind": "depth", "name": "port", "outcome": "not checked", "words": "no means", "seconds": 0.0,
             "reason": ""},
        ],
        "outages": [0.25], "outages_known_after": [3.5], "noted": ["NOT_FOUND"],
        "facts": {"records": "12"}, "vendor": "Example", "software": "1.0",
        "round": 3, "held": {"images": 2.0}, "session": "s",
        "command": "pytest -k x", "began": "2026-11-25T07:59:00+00:00", "ended": "2026-11-25T08:00:00+00:00",
        "plan": {"switchovers": 1}, "target": "r1", "procedure": "pass", "depth": "FAIL", "checked": ["ask"],
        "not_checked": ["port: no means"],
        "failures": [{"verdict": "depth", "step": "look", "message": "gone", "known_after": 1.5}],
    }  # fmt: skip


def test_a_case_is_read_with_all_that_was_kept_of_it_and_its_evidence(tmp_path: Path) -> None:
    case = whole_case()
    folder = written(tmp_path, case) / case.test
    event = {"at": 0.5, "time": "2026-11-25T08:00:00+00:00", "kind": "note", "text": "größe"}
    (folder / "timeline.json").write_text(json.dumps([event]), encoding="utf-8")
    (folder / "device.json").write_text(json.dumps({"os": "größe"}), encoding="utf-8")
    (folder / "web.log").write_text("größe\n", encoding="utf-8")
    (folder / "web.txt").write_text("no log\n", encoding="utf-8")
    (found,) = store.read(tmp_path)
    assert found == replace(case, about={"os": "größe"}, logs={"web": "größe\n"})
    (read,) = found.timeline
    assert (read.at, read.time, read.kind, read.text) == (
        0.5, datetime(2026, 11, 25, 8, tzinfo=timezone.utc), "note", "größe",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"version": 3}', "no account of a case: ValueError.*version 3"),
        ("[]", "no account of a case: KeyError.*version"),
        ("null", "no account of a case"),
        ('{"plan_id": ', r"verdict.json: Expecting value.*\n +try: it was cut short, or is another's"),
        (json.dumps({**KEPT, "outages": 1}), "no account of a case: TypeError.*\n +try: another version of holdfast"),
        (json.dumps({**KEPT, "outages_known_after": [1.5, 2.5]}), "ValueError.*1 outages, of which 2 were known"),
        (
            json.dumps({**KEPT, "steps": [{"kind": "third", "outcome": "pass"}]}),
            "a step of the kind 'third' with the outcome 'pass'",
        ),
    ],
)
def test_what_is_damaged_is_named_with_what_to_try(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / store.VERDICT).write_text(text)
    with pytest.raises(InvalidArgumentError, match=says):
        store.read(tmp_path)


@pytest.mark.parametrize("text", ['[{"at": 0.5', "[1]", '[{"at": 0.5}]', '[{"time": "soon"}]', "1"])
def test_a_timeline_that_is_damaged_is_named(tmp_path: Path, text: str) -> None:
    case = whole_case()
    folder = written(tmp_path, case) / case.test
    (folder / "timeline.json").write_text(text)
    with pytest.raises(InvalidArgumentError, match=r"timeline.json: it is no timeline: "):
        store.read(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 3},
        {"version": 1},
        {"version": None},
        {"steps": None},
        {"steps": [{"kind": "depth", "name": "x", "outcome": "passed", "words": "", "seconds": 0}]},
        {"steps": [{"kind": "unknown", "name": "x", "outcome": "pass", "words": "", "seconds": 0}]},
    ],
)
def test_what_no_version_keeps_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="no account of a case"):
        report.read(kept(tmp_path, {**KEPT, **wrong}))


def test_what_was_checked_and_is_not_any_more_is_worse(tmp_path: Path) -> None:
    looked = written(tmp_path / "looked", record(Step(PROCEDURE, "ask"), Step(DEPTH, "look")))
    blind = written(tmp_path / "blind", record(Step(PROCEDURE, "ask"), Step(DEPTH, "look", NOT_CHECKED, "no means")))
    bad = written(tmp_path / "bad", record(Step(PROCEDURE, "ask"), Step(DEPTH, "look", FAIL, "gone")))
    changes = lambda *runs: report.compare(*runs).changes  # noqa: E731
    found = {
        (before.name, after.name): [each.better for each in changes(before, after) if each.kind == "verdict"]
        for before in (looked, blind, bad)
        for after in (looked, blind, bad)
        if before is not after
    }  # fmt: skip
    assert found == {
        ("looked", "blind"): [False], ("looked", "bad"): [False], ("blind", "bad"): [False],
        ("blind", "looked"): [True], ("bad", "looked"): [True], ("bad", "blind"): [None],
    }  # fmt: skip
    assert report.compare(looked, blind).worse


def test_a_long_reason_is_of_its_own_run_and_makes_no_change(tmp_path: Path) -> None:
    def run(name: str, *steps: Step) -> Path:
        return written(tmp_path / name, record(Step(PROCEDURE, "ask: twice"), *steps))

    one, other = (f"127.0.0.{number}:9339 does not answer: refused" for number in (1, 2))
    before = run("before", Step(DEPTH, "look: at it", NOT_CHECKED, one), Step(DEPTH, "port", NOT_CHECKED, "refused"))
    after = run("after", Step(DEPTH, "look: at it", NOT_CHECKED, other), Step(DEPTH, "port", NOT_CHECKED, "silent"))
    (change,) = report.compare(before, after).changes
    assert (change.kind, change.what, change.before, change.after) == (
        "account", "not checked", "port: refused", "port: silent",
    )  # fmt: skip
    told = Step(DEPTH, "look", FAIL, "Timeout: no answer (after 2.00 s)\n  try: wait", reason="Timeout: no answer")
    failed = report.compare(before, run("failed", told)).changes
    assert [change.after for change in failed if change.kind == "reason"] == ["Timeout: no answer"]


def test_which_of_several_a_case_is_stands_beside_its_number(tmp_path: Path) -> None:
    now = replace(record(Step(PROCEDURE, "ask")), variant="r1", test="test_x[round2-r1]", round=2)
    assert store.decode(store.encode(now)).variant == "r1"
    lab = written(tmp_path / "lab", now)
    alone = written(tmp_path / "alone", replace(now, variant="", test="test_x"))
    for folder in (lab, alone):
        written(folder, replace(now, plan_id="CNTR-3.4", test="test_y"))
    assert {change.case for change in report.compare(lab, alone).changes} == {"CNTR-3.1", "CNTR-3.1 [r1]"}


def test_verdicts_are_derived_again_from_what_was_kept(tmp_path: Path) -> None:
    bad = record(Step(PROCEDURE, "ask"), Step(DEPTH, "look", FAIL, "gone"))
    folder = written(tmp_path / "run", bad)
    done = CliRunner().invoke(main, ["judge", str(folder)])
    assert done.exit_code == 1, done.output
    assert "1 case; the run itself judged 1 of them alike" in done.output
    assert "CNTR-3.1   pass       FAIL" in done.output
    assert CliRunner().invoke(main, ["judge", str(folder), "--judge", "procedure"]).exit_code == 0
    told = json.loads(CliRunner().invoke(main, ["--json", "judge", str(folder)]).output)
    assert (told[0]["outcome"], told[0]["differs"]) == ("failed", [])
    file = folder / bad.test / store.VERDICT
    file.write_text(json.dumps({**json.loads(file.read_text()), "depth": "pass", "outcome": "passed"}))
    forged = CliRunner().invoke(main, ["judge", str(folder)])
    assert forged.exit_code == 1
    assert "OTHERWISE: CNTR-3.1: depth was pass, and its steps say FAIL" in forged.output
    assert "it was passed, and its steps say failed" in forged.output
    (tmp_path / "empty").mkdir()
    nothing = CliRunner().invoke(main, ["judge", str(tmp_path / "empty")])
    assert nothing.exit_code == 2
    assert "there is no case in it" in nothing.output


@pytest.mark.parametrize(
    ("roles", "says"), [("roles.single", "one control processor, Supervisor1"), ("roles.none", "redundant-role")]
)
def test_a_device_without_a_standby_is_not_judged_by_failovers(
    roles: str, says: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    kept, page = tmp_path / "kept", tmp_path / "run.html"
    options = (*QUICK, "--dut-artifacts", str(kept), "--dut-report", str(page))
    run = run_suite("-k", "cntr3_1 or cntr3_7 or cntr3_8", *options,
                    failpoints=f"{roles}=error(x)")  # fmt: skip
    assert run.exit_code == 0, run.output
    assert {number: case.outcome for number, case in run.cases.items()} == {
        "1": "skipped", "7": "skipped", "8": "passed",
    }  # fmt: skip
    told = run.cases["1"].properties
    assert told["procedure"] == told["depth"] == NOT_CHECKED
    assert says in told["why"]
    assert says in run.cases["1"].message
    assert "CNTR-3.1   not checked not checked" in run.output
    assert f"not checked: the device {'has' if 'single' in roles else 'reports'}" in run.output
    cases = {case.plan_id: case for case in report.read(kept).cases}
    assert (cases["CNTR-3.1"].procedure, cases["CNTR-3.8"].procedure) == (NOT_CHECKED, PASS)
    assert '<span class="verdict not-checked">not checked</span>' in page.read_text()
    assert CliRunner().invoke(main, ["judge", str(kept)]).exit_code == 0


OWN = """
import pytest
from holdfast.pytest_plugin.case import Inconclusive, NotChecked

@pytest.mark.cntr3("OWN-1", "nothing to look with")
def test_without_means(holdfast_case):
    with holdfast_case.procedure("ask"):
        raise NotChecked("no means")
    with holdfast_case.depth("look"):
        raise Inconclusive("a filter")

@pytest.mark.cntr3("OWN-2")
def test_of_nothing(holdfast_case):
    pass

@pytest.mark.cntr3("OWN-3")
def test_that_breaks(holdfast_case):
    raise KeyError("x")

@pytest.mark.cntr3("OWN-4")
def test_of_depth_alone(holdfast_case):
    with holdfast_case.depth("look"):
        pass
"""


@pytest.mark.parametrize("judged", [DEPTH, PROCEDURE])
def test_what_was_not_looked_at_does_not_pass(judged: str, run_suite: RunSuite, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "test_own.py").write_text(OWN)
    run = run_suite("test_own.py", "--dut-judge", judged, "--dut-artifacts", str(tmp_path / "kept"))
    assert run.exit_code == 1, run.output
    found = {
        name: (case.outcome, case.properties["procedure"], case.properties["depth"]) for name, case in run.cases.items()
    }
    assert found == {
        "test_without_means": ("skipped", NOT_CHECKED, NOT_CHECKED),
        "test_of_nothing": ("failure", FAIL, NOT_CHECKED),
        "test_that_breaks": ("failure", FAIL, NOT_CHECKED),
        "test_of_depth_alone": ("passed" if judged == DEPTH else "skipped", NOT_CHECKED, PASS),
    }
    assert "not checked: ask: no means" in run.cases["test_without_means"].message
    assert all(not each.differs for each in judge.again(tmp_path / "kept"))
    titles = {case.plan_id: case.title for case in report.read(tmp_path / "kept").cases}
    assert titles == {"OWN-1": "nothing to look with", "OWN-2": "", "OWN-3": "", "OWN-4": ""}


@pytest.mark.parametrize(("outcome", "word"), [(INCONCLUSIVE, "inconclusive"), (FAIL, "FAIL")])
def test_a_scenario_that_proves_nothing_is_no_pass_when_it_is_judged_again(
    outcome: Outcome, word: str, tmp_path: Path
) -> None:
    steps = (Step(PROCEDURE, "node powered off", outcome, "the lab is late"), Step(PROCEDURE, "another", PASS))
    case = CaseRecord("T5 node powered off", "test_torpedo_5", "EMULATED", "failed", steps=steps[:1], suite="torpedo")
    (tmp_path / "case").mkdir()
    store.write(tmp_path / "case", case)
    (again,) = judge.again(tmp_path)
    assert (again.case.outcome, again.case.verdict, again.differs) == ("failed", word, ())
    assert again.case.shown(PROCEDURE) == word
    assert outcome_of(steps, case.judged, "torpedo") == "failed"
