"""Waits end by their condition or by their limit, and look once more when that has passed."""

import ast
import doctest
from itertools import chain, cycle, repeat
from pathlib import Path
from types import SimpleNamespace

import pytest

import holdfast
from holdfast import waiting
from holdfast.exceptions import ExpectationFailed
from holdfast.suites.looks import settled

# Ways to sleep, and to hide that one does.
SLEEPS = {"sleep", "sched_yield"}
# What can be waited for, and what ends such a wait.
ENDS = {"Event": {"set"}, "Condition": {"notify", "notify_all"}}


def test_the_first_thing_found_is_returned():
    found = iter([None, [], "there"])
    assert waiting.until(lambda: next(found), limit=60, look=0) == "there"


def test_the_last_look_comes_after_the_limit():
    looks = []
    assert not waiting.until(lambda: looks.append(1), limit=0)
    assert len(looks) == 1
    answers = iter([False, True])
    assert waiting.until(lambda: next(answers), limit=0.001, look=60) is True


def test_a_watch_says_that_it_ended_or_that_it_held():
    held = iter([True, True, False])
    assert waiting.watch(lambda: next(held), limit=60, look=0) is not None
    assert waiting.watch(lambda: True, limit=0.01, look=0.001) is None


def test_the_examples_of_its_documentation_hold():
    assert doctest.testmod(waiting).failed == 0


def test_one_file_of_rust_may_sleep():
    root = Path(__file__).parent.parent
    files = (file for room in ("src", "crates", "tests", "benches") for file in (root / room).rglob("*.rs"))
    allowed = [str(file.relative_to(root)) for file in files if "disallowed_methods" in file.read_text("utf-8")]
    assert allowed == ["crates/net/src/waiting.rs"]


def case_with(**limits):
    return SimpleNamespace(run=SimpleNamespace(limits={"verification": 60, "watch": 0.01, **limits}))


def test_what_settles_is_found_and_stays():
    found = chain(["absent", "there", "absent"], repeat("there"))
    assert settled(case_with(), lambda: next(found), ("there",)) == "there"


def test_what_need_not_stay_is_looked_at_until_it_is_there():
    found = iter(["absent", "there"])
    assert settled(case_with(), lambda: next(found), ("there",), watch=0) == "there"


def test_what_is_not_wanted_fails_by_the_limit_and_says_what_it_is():
    with pytest.raises(ExpectationFailed, match="it is absent, where only there or running would be whole"):
        settled(case_with(verification=0), lambda: "absent", ("there", "running"))


def test_what_never_settles_ends_too():
    found = cycle(["absent", "there"])
    with pytest.raises(ExpectationFailed, match="it changes again and again"):
        settled(case_with(verification=0, watch=0.2), lambda: next(found), ("absent", "there"))


def test_what_cannot_be_seen_for_a_moment_is_looked_at_again():
    found = iter([holdfast.exceptions.Timeout("no answer"), "there"])

    def look():
        answer = next(found)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert settled(case_with(), look, ("there",), watch=0) == "there"


def disguised_sleeps(source):
    """The lines that wait for an event or a condition which nobody in the same file can make happen."""
    tree = ast.parse(source)
    kinds = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                pairs = (
                    zip(target.elts, node.value.elts, strict=False)
                    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                    else [(target, node.value)]
                )
                kinds.update({last_name(name): made(value) for name, value in pairs if made(value)})
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    ended = {(last_name(call.func.value), call.func.attr) for call in calls}
    lines = []
    for call in calls:
        if call.func.attr in ("wait", "wait_for"):
            name = last_name(call.func.value)
            kind = made(call.func.value) or kinds.get(name)
            if kind and not any((name, end) in ended for end in ENDS[kind]):
                lines.append(call.lineno)
    return lines


def last_name(node):
    """`stop` of `stop`, `self.stop` and `self.parts.stop`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def made(node):
    """Which kind of thing to wait for a call makes."""
    kind = last_name(node.func) if isinstance(node, ast.Call) else None
    return kind if kind in ENDS else None


@pytest.mark.parametrize(
    "source",
    [
        "tick = threading.Event()\ntick.wait(0.1)",
        "threading.Event().wait(0.1)",
        "self.tick: Event = Event()\nself.tick.wait(0.1)",
        "first, tick = threading.Event(), threading.Event()\nfirst.set()\ntick.wait(0.1)",
        "turn = threading.Condition()\nturn.wait(0.1)",
    ],
)
def test_a_wait_that_nobody_ends_is_known_for_a_sleep(source):
    assert disguised_sleeps(source) == [source.count("\n") + 1]


@pytest.mark.parametrize(
    "source",
    [
        "stop = threading.Event()\nstop.wait(0.1)\nstop.set()",
        "self._begun = Event()\nself._begun.wait()\nself._begun.set()",
        "turn = threading.Condition()\nturn.wait(0.1)\nturn.notify_all()",
        "process.wait(timeout=20)",
    ],
)
def test_a_wait_that_somebody_ends_is_none(source):
    assert disguised_sleeps(source) == []


def test_no_file_waits_for_what_nobody_does():
    folder = Path(holdfast.__file__).parent
    found = {
        str(file.relative_to(folder)): disguised_sleeps(file.read_text(encoding="utf-8"))
        for file in sorted(folder.rglob("*.py"))
    }
    assert {file: lines for file, lines in found.items() if lines} == {}


def test_no_other_file_sleeps():
    folder = Path(holdfast.__file__).parent
    sleeping = [
        f"{file.relative_to(folder)}:{node.lineno}"
        for file in sorted(folder.rglob("*.py"))
        if file.name != "waiting.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SLEEPS
    ]
    assert sleeping == []
