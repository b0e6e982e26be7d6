"""Waits end by their condition or by their limit, and look once more when that has passed."""

import ast
import re
from itertools import chain, cycle, repeat
from pathlib import Path
from types import SimpleNamespace

import pytest

import holdfast
from holdfast import waiting
from holdfast.exceptions import ExpectationFailed
from holdfast.suites.looks import settled

ROOT = Path(__file__).parent.parent
# Ways to sleep, and to hide that one does.
SLEEPS = {"sleep", "sched_yield", "sigtimedwait"}
# What can be waited for, by which calls, and what ends such a wait.
WAITS = {"Event": {"wait"}, "Condition": {"wait", "wait_for"}, "Queue": {"get"}, "SimpleQueue": {"get"}}
ENDS = {
    "Event": {"set"},
    "Condition": {"notify", "notify_all"},
    "Queue": {"put", "put_nowait"},
    "SimpleQueue": {"put", "put_nowait"},
}
CLOCKS = {"monotonic", "perf_counter", "monotonic_ns", "perf_counter_ns"}
# Python that may sleep, and why.
SLEEPERS = {
    "python/holdfast/waiting.py": "the waiting file",
    "benches/run.py": "a benchmark keeps its pace, and looks as its peers do",
    "tests_py/test_made.py": "a user's test that takes long, and is killed",
    "tests_py/test_waiting.py": "what sleeps look like",
}
# Rust whose tests assert on a clock that stands still until all wait for it, or on a simulated one.
CLOCKS_OF_THEIR_OWN = {
    "crates/net/src/waiting.rs",
    "crates/net/src/dial/dialler.rs",
    "crates/emulator/src/failover/tests.rs",
    "tests/session.rs",
}


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


def rust_files():
    files = (file for room in ("src", "crates", "tests", "benches") for file in (ROOT / room).rglob("*.rs"))
    return {str(file.relative_to(ROOT)): file.read_text("utf-8") for file in files}


def test_the_files_of_rust_that_may_wait_are_those_that_contributing_names():
    """`clippy.toml` forbids it elsewhere."""
    allowed = {file for file, text in rust_files().items() if "disallowed_methods" in text}
    listed = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("| waiting file |")[2].partition("\n\n")[0]
    assert allowed == set(re.findall(r"^\| `([^`]+\.rs)` \|", listed, re.MULTILINE))


def test_no_test_of_rust_asserts_on_a_clock_that_runs():
    timed = re.compile(r"\bassert\w*!\((?:[^;]|\n)*?\belapsed\(\)")
    assert {file for file, text in rust_files().items() if timed.search(text)} <= CLOCKS_OF_THEIR_OWN


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
    named = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))  # called, or handed on
    ended = {(last_name(node.value), node.attr) for node in named}
    lines = []
    for call in calls:
        name = last_name(call.func.value)
        kind = made(call.func.value) or kinds.get(name)
        waits = kind and call.func.attr in WAITS[kind]
        if waits and not any((name, end) in ended for end in ENDS[kind]):
            lines.append(call.lineno)
        if call.func.attr == "select" and call.args and all(isinstance(each, ast.List) for each in call.args[:3]):
            lines += [call.lineno] if not any(each.elts for each in call.args[:3]) else []
    loops = [node.test for node in ast.walk(tree) if isinstance(node, ast.While)]
    loops += [node.body for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    return lines + [loop.lineno for loop in loops if reads_a_clock(loop)]


def reads_a_clock(tree):
    calls = (last_name(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(called in CLOCKS for called in calls)


def sleeps(source):
    """The lines that sleep, in programs that are texts too."""
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and last_name(node.func) in SLEEPS]
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [node.lineno for node in [*calls, *(text for text in texts if "sleep(" in text.value)]]


def asserts_on_a_clock(source):
    """The lines that assert how long something took."""
    asserts = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert))
    return [node.lineno for node in asserts if reads_a_clock(node)]


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
        "never = queue.Queue()\nnever.get(timeout=0.1)",
        "import select\nselect.select([], [], [], 0.1)",
        "end = time.monotonic() + 1\nwhile time.monotonic() < end: look()",
        "end = time.monotonic() + 1\nwait_until(lambda: time.monotonic() >= end)",
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
        "line = queue.Queue()\nline.get(timeout=1)\nline.put(1)",
        "select.select([one], [], [], 60)",
        "while not answers(): ask()",
    ],
)
def test_a_wait_that_somebody_ends_is_none(source):
    assert disguised_sleeps(source) == []


@pytest.mark.parametrize(
    "source", ["time.sleep(1)", "sleep(1)", "asyncio.run(asyncio.sleep(1))", "run('import time; time.sleep(1)')"]
)
def test_a_sleep_is_seen(source):
    assert sleeps(source) == [1]


def test_an_assert_on_a_clock_is_seen():
    assert asserts_on_a_clock("began = time.monotonic()\nassert time.monotonic() - began < 5") == [2]


@pytest.mark.parametrize("look", [sleeps, disguised_sleeps, asserts_on_a_clock])
def test_one_file_of_python_waits(look):
    """Of the product, its tests, examples and tools."""
    rooms = ("python", "tests_py", "tests_frameworks", "examples", "docs", "benches")
    files = [ROOT / "noxfile.py", *(file for room in rooms for file in (ROOT / room).rglob("*.py"))]
    found = {str(file.relative_to(ROOT)): look(file.read_text(encoding="utf-8")) for file in files}
    assert {file: lines for file, lines in found.items() if lines and file not in SLEEPERS} == {}
    assert look is not sleeps or set(SLEEPERS) <= {file for file, lines in found.items() if lines}


def test_scripts_of_the_shell_sleep_between_looks_alone():
    for script in sorted((ROOT / "tests_py").glob("*.sh")):
        lines = script.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if re.search(r"\bsleep\b", line):
                assert re.search(r"\b(until|while)\b", "\n".join(lines[number - 2 : number + 1])), (
                    f"{script}:{number + 1}"
                )
