"""Waits end by their condition or by their limit, and look once more when that has passed."""

import ast
import doctest
from pathlib import Path

import holdfast
from holdfast import waiting

# Ways to sleep, and to hide that one does.
SLEEPS = {"sleep", "sched_yield"}


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
