"""Which tests pytest-xdist keeps on one worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.pytest_plugin import scheduling
from holdfast.suites.cntr3 import test_cntr3
from holdfast.testbed import Target

CASE = "suites/cntr3/test_cntr3.py::test_cntr3_{}"


def scope(monkeypatch: pytest.MonkeyPatch, nodeid: str, *targets: Target, combine: bool = False) -> str:
    monkeypatch.setattr("holdfast.pytest_plugin.targets.of", lambda _config: targets)
    monkeypatch.setattr("holdfast.pytest_plugin.options.flag", lambda _config, _name: combine)
    config: Any = SimpleNamespace()
    return scheduling.scope(config, nodeid)


def test_on_the_emulated_device_one_procedure_stays_together(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Target(name="", emulated=True)
    tests = [name for name in vars(test_cntr3) if name.startswith("test_cntr3_")]  # in the order of the plan
    assert len(tests) == 8
    names = [name.removeprefix("test_cntr3_") for name in tests]
    one, two, three, four, five, _, _, eight = (scope(monkeypatch, CASE.format(name), own) for name in names)
    assert two == three == four
    assert len({one, two, five, eight}) == 4
    combined = {scope(monkeypatch, CASE.format(name), own, combine=True) for name in names[:7]}
    assert len(combined) == 1
    assert scope(monkeypatch, f"{CASE.format(names[1])}[round2]", own) == two


def test_a_device_stays_on_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = (Target(name="r1", address="x"), Target(name="r1-b", address="y"))
    for parameters, name in (("r1", "r1"), ("round2-r1", "r1"), ("r1-b", "r1-b"), ("asked-r1-b", "r1-b")):
        assert scope(monkeypatch, f"{CASE.format('1_image')}[{parameters}]", *lab) == name
    assert scope(monkeypatch, CASE.format("1_image"), lab[0]) == "r1"
