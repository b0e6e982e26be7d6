"""Which case of which test plan a test is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from holdfast.pytest_plugin import options


def plan_id(item: pytest.Item) -> str:
    """The case's number in its plan, and in which window its failover comes, where it names several; else its name."""
    plan = plan_of(item)
    if plan is None or not plan.args:
        return item.name
    window = _parameters(item).get("window")
    return f"{plan.args[0]}, {window}" if window else str(plan.args[0])


def title(item: pytest.Item) -> str:
    """What its marker says that it is about, after the number; empty where it says nothing."""
    plan = plan_of(item)
    return str(plan.args[1]) if plan is not None and len(plan.args) > 1 else ""


def round_of(item: pytest.Item) -> int | None:
    """Which of `--dut-repeat`; None where it is not repeated."""
    number: int | None = _parameters(item).get("holdfast_round")
    return number


def round_name(number: int) -> str:
    """How a round stands in a test's name."""
    return f"round{number}"


def variant(item: pytest.Item) -> str:
    """Which of a test with several parameters it is, as far as neither its plan's number nor its round say."""
    plan, number = plan_of(item), round_of(item)
    if plan is None or not plan.args:
        return ""  # its name has all of it
    said = {_parameters(item).get("window"), None if number is None else round_name(number)}
    return "-".join(each for each in getattr(item, "callspec", _NoParameters)._idlist if each not in said)


class _NoParameters:
    """Of a test that has none."""

    params: Mapping[str, Any] = MappingProxyType({})
    _idlist: tuple[str, ...] = ()


def _parameters(item: pytest.Item) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(item, "callspec", _NoParameters).params
    return found


def plan_of(item: pytest.Item) -> pytest.Mark | None:
    """The marker that says it, if it is one."""
    found = (item.get_closest_marker(suite) for suite in options.DEVICE_SUITES)
    return next((marker for marker in found if marker is not None), None)
