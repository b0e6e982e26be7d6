"""`--dut-repeat` and `--dut-for`: the cases again and again.

A number of rounds is so many tests, collected as such. For a time, two rounds are collected and run in turn, and what
runs again takes the number of its round: two, because pytest tears a test's fixtures down by what comes after it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from holdfast import options as table
from holdfast.pytest_plugin import failures, options, plans

PARAMETER = "holdfast_round"
# Among the parameters at the end of a test's name.
_NUMBER = re.compile(r"[\[-]round(\d+)[\]-][^\[]*$")
# What workers are told that come in the place of others: the highest round that was begun.
BEGUN = "holdfast_rounds_begun"
_KEY = pytest.StashKey["Rounds"]()


def of(config: pytest.Config) -> Rounds:
    """Those of this process."""
    return config.stash.setdefault(_KEY, Rounds(config))


def collected(config: pytest.Config) -> Sequence[int]:
    """The numbers of the rounds that are collected; none where there is one alone."""
    most = int(options.value(config, "dut-repeat") or 0)
    if options.value(config, "dut-for") and most != 1:
        return (1, 2)
    return range(1, most + 1) if most > 1 else ()


def is_timed(config: pytest.Config) -> bool:
    """Whether rounds come for as long as `--dut-for` says."""
    return bool(options.value(config, "dut-for")) and len(collected(config)) > 0


def words(config: pytest.Config) -> str:
    """How long they go on, for people."""
    most, limit = options.value(config, "dut-repeat"), options.value(config, "dut-for")
    return " or ".join(filter(None, [limit and f"for {limit}", most and f"{most} rounds"]))


@dataclass
class _Group:
    """Tests of one of the two sets that go on together, as those of a device do."""

    number: int
    items: list[pytest.Item] = field(default_factory=list)
    ran: set[pytest.Item] = field(default_factory=set)


class Rounds:
    """Which round each test is in, and whether there is another."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._most = int(options.value(config, "dut-repeat") or 0)
        self._limit = table.time(options.value(config, "dut-for"), "--dut-for")
        self._deadline: float | None = None
        self._groups: dict[tuple[str, int], _Group] = {}
        worker: dict[str, Any] = getattr(config, "workerinput", {})
        # Of all tests that began, in the process that prints.
        self.highest = 0
        # Even, so that odd rounds stay those of the first set.
        self._begun_before = -(-int(worker.get(BEGUN, 0)) // 2) * 2

    @pytest.hookimpl
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins, here or on a worker."""
        if found := _NUMBER.search(nodeid):
            self.highest = max(self.highest, int(found[1]))

    def begin(self) -> None:
        """The time begins."""
        if self._deadline is None and self._limit is not None:
            self._deadline = time.monotonic() + self._limit

    def goes_on(self, number: int) -> bool:
        """Whether a round of this number may begin yet."""
        if self._most and number > self._most:
            return False
        return self._deadline is None or time.monotonic() < self._deadline

    def collect(self, items: Sequence[pytest.Item], scope: Callable[[str], str]) -> None:
        """Know which tests go on together: those that `scope` calls the same."""
        for item in items:
            if (number := plans.round_of(item)) is not None:
                key = (scope(item.nodeid), number)
                self._groups.setdefault(key, _Group(number + self._begun_before)).items.append(item)

    def enter(self, item: pytest.Item) -> None:
        """A test begins: where it ran before, the tests that it goes on with are of a further round."""
        group = next((each for each in self._groups.values() if item in each.items), None)
        if group is None:
            return
        if item in group.ran:
            group.ran.clear()
            group.number += 2
        group.ran.add(item)
        for each in group.items:
            _renumber(each, group.number)

    def loop(self, session: pytest.Session) -> None:
        """Run the tests of a process without workers, as pytest does, in rounds until the time is over."""
        self.begin()
        upcoming = self._upcoming(session.items)
        item = next(upcoming, None)
        while item is not None:
            following = next(upcoming, None)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
            item = following

    def _is_stopped(self, item: pytest.Item) -> bool:
        return failures.of(self._config).why_stopped(item.nodeid) is not None

    def _upcoming(self, items: Sequence[pytest.Item]) -> Iterator[pytest.Item]:
        numbered = {item: plans.round_of(item) for item in items}
        sets = [[item for item in items if numbered[item] in wanted] for wanted in ((None, 1), (2,))]
        if not all(sets):
            raise pytest.UsageError("--dut-for runs two rounds in turn, and one of them was not selected: name neither")
        yield from sets[0]
        again = [[item for item in each if numbered[item] is not None] for each in sets]
        number = 2
        while self.goes_on(number) and not all(self._is_stopped(item) for item in again[0]):
            yield from again[(number + 1) % 2]
            number += 1


def set_of(nodeid: str) -> int | None:
    """Which of the two sets a test is in, by the name with which it was collected."""
    found = _NUMBER.search(nodeid)
    return int(found[1]) if found else None


def _renumber(item: pytest.Item, number: int) -> None:
    """Make a test that of another round, without what it kept of the last."""
    callspec: Any = item.callspec  # type: ignore[attr-defined]
    was = callspec.params[PARAMETER]
    if was == number:
        return
    ids = [plans.round_name(number) if each == plans.round_name(was) else each for each in callspec._idlist]
    callspec.params[PARAMETER] = number
    object.__setattr__(callspec, "_idlist", ids)
    item.name = f"{getattr(item, 'originalname', item.name)}[{'-'.join(ids)}]"
    parent = item.parent.nodeid if item.parent is not None else ""
    object.__setattr__(item, "_nodeid", f"{parent}::{item.name}")
    item.__dict__.pop("location", None)
    item.stash = pytest.Stash()
    item.user_properties.clear()
    item._report_sections.clear()


def tell(node: Any) -> None:
    """Tell a worker of pytest-xdist which rounds there were, so that it does not take their numbers again."""
    node.workerinput[BEGUN] = of(node.config).highest
