"""pytest-xdist's scheduler by scope, for workers that do not all reach every device, and for rounds for a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped,unused-ignore]

from holdfast.pytest_plugin import failures, not_run, rounds
from holdfast.testbed import Target

# A worker holds its last test back until it knows the next: with so many left, it is told.
FEW = 2


class Sharing(LoadScopeScheduling):  # type: ignore[misc]
    """What stays together goes to a worker that reaches its device; where no worker does, to any, which says so.

    Workers are known by the names that their specs give them: who replaces one that died has its name. With `--dut-for`
    each of the two sets of tests that stay together follows upon the other until the time is over, on one worker where
    they have a device of their own.
    """

    def __init__(
        self,
        config: pytest.Config,
        log: Any,
        scope: Callable[[str], str],
        target_of: Callable[[str], Target | None],
    ) -> None:
        super().__init__(config, log)
        self.collection: list[str] | None
        self._scope = scope
        self._target_of = target_of
        # Of all workers that there were.
        self._names: set[str] = set()
        self._rounds = rounds.of(config) if rounds.is_timed(config) else None
        # Of what stays together, its two sets, and which round was handed out last.
        self._sets: dict[str, dict[int, list[str]]] = {}
        self._handed_out: dict[str, int] = {}
        # In a soak, which worker has what stays together.
        self._owners: dict[str, str] = {}

    def add_node(self, node: Any) -> None:
        """A worker is there."""
        super().add_node(node)
        self._names.add(_name(node))

    def remove_node(self, node: Any) -> str | None:
        """A worker has ended, or died: then others, or the one in its place, do what it had not done."""
        work = self.assigned_work.pop(node)
        self._owners = {scope: owner for scope, owner in self._owners.items() if owner != _name(node)}
        crashed = next((test for tests in work.values() for test, is_over in tests.items() if not is_over), None)
        if crashed is not None:  # xdist reports that it failed: again, it might take the next worker down too
            work[self._split_scope(crashed)][crashed] = True
            self.workqueue.update({part: tests for part, tests in work.items() if not all(tests.values())})
            for other in self.nodes:
                self._reschedule(other)
        return crashed

    def schedule(self) -> None:
        """Share out once all workers have collected, and again whenever one comes later."""
        if self.collection is None:
            if not self._check_nodes_have_same_collection():
                return
            collected = list(next(iter(self.registered_collections.values())))
            self.collection = collected
            self._queue(collected)
            if self._rounds is not None:
                self._rounds.begin()
        for _ in range(FEW):
            for node in self.nodes:
                self._reschedule(node)

    def _queue(self, collection: Sequence[str]) -> None:
        """The largest parts first, unless the user wants the order of the files."""
        parts: dict[str, dict[str, bool]] = {}
        for nodeid in collection:
            if self._rounds is not None and (number := rounds.set_of(nodeid)) is not None:
                self._sets.setdefault(self._scope_of(nodeid), {}).setdefault(number, []).append(nodeid)
                if number != 1:
                    continue
            parts.setdefault(self._split_scope(nodeid), {})[nodeid] = False
        by_size = self.config.option.loadscopereorder
        self.workqueue.update(sorted(parts.items(), key=lambda part: -len(part[1]) if by_size else 0))

    def _scope_of(self, nodeid: str) -> str:
        """What stays together, of both sets."""
        return self._scope(nodeid).replace(f"round{rounds.set_of(nodeid)}", "round")

    def _split_scope(self, nodeid: str) -> str:
        if self._rounds is None or (number := rounds.set_of(nodeid)) is None:
            return self._scope(nodeid)
        return self._part(self._scope_of(nodeid), number)

    @staticmethod
    def _part(scope: str, number: int) -> str:
        return f"{scope} of set {2 - number % 2}"

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:  # noqa: ARG002
        """A test has ended; where few of its round are left, the next round follows."""
        nodeid = self.registered_collections[node][item_index]
        self.assigned_work[node][self._split_scope(nodeid)][nodeid] = True
        if self._rounds is not None and rounds.set_of(nodeid) is not None:
            self._follow(node, self._scope_of(nodeid))
        self._reschedule(node)

    def _follow(self, node: Any, scope: str) -> None:
        """Queue the next round of what stays together, once the one before the last is over and the last nearly is."""
        last = self._handed_out.get(scope, 0)
        current, following = self._part(scope, last), self._part(scope, last + 1)
        work = self.assigned_work[node]
        is_due = (
            current in work
            and current not in self.workqueue
            and following not in self.workqueue
            and list(work[current].values()).count(False) <= FEW
            and all(work.get(following, {}).values())
        )
        if is_due and self._goes_on(scope):
            tests = self._sets[scope][2 - (last + 1) % 2]
            self.workqueue[following] = dict.fromkeys(tests, False)
            self._count_more(len(tests))

    def _goes_on(self, scope: str) -> bool:
        """Whether there is another round of what stays together."""
        tests = self._sets.get(scope, {})
        if self._rounds is None or len(tests) < 2:
            return False
        is_stopped = failures.of(self.config).why_stopped(tests[1][0]) is not None
        return not is_stopped and self._rounds.goes_on(self._handed_out.get(scope, 0) + 1)

    def _count_more(self, tests: int) -> None:
        """For the share of all tests that is shown."""
        session = getattr(self.config.pluginmanager.get_plugin("terminalreporter"), "_session", None)
        if session is not None:
            session.testscollected += tests

    def _reschedule(self, node: Any) -> None:
        if node.shutting_down:
            return
        part = next((part for part, tests in self.workqueue.items() if self._may_have(node, next(iter(tests)))), None)
        if part is None:
            if not self._has_rounds_to_come(node):
                node.shutdown()  # only now it begins its last test
        elif self._pending_of(self.assigned_work[node]) <= FEW:
            first = next(iter(self.workqueue[part]))
            self.workqueue.move_to_end(part, last=False)
            self._assign_work_unit(node)
            if self._rounds is not None and rounds.set_of(first) is not None:
                self._claim(node, self._scope_of(first), rounds.set_of(first) or 1)

    def _claim(self, node: Any, scope: str, of_set: int) -> None:
        """In a soak, what stays together stays with the worker that had it first, which numbers its rounds."""
        number = self._handed_out.get(scope, 0) + 1
        self._handed_out[scope] = number + (number - of_set) % 2  # after a death, one may come again
        self._owners[scope] = _name(node)
        self._follow(node, scope)

    def _has_rounds_to_come(self, node: Any) -> bool:
        """Whether what a worker does now is followed by another round."""
        doing = (next(iter(tests)) for tests in self.assigned_work[node].values() if not all(tests.values()))
        return any(self._goes_on(self._scope_of(nodeid)) for nodeid in doing if rounds.set_of(nodeid) is not None)

    def _may_have(self, node: Any, nodeid: str) -> bool:
        if self._owners.get(self._scope_of(nodeid), _name(node)) != _name(node):
            return False
        target = self._target_of(nodeid)
        reaching = set() if target is None else self._names.intersection(target.workers)
        return not reaching or _name(node) in reaching


def _name(node: Any) -> str:
    return not_run.worker_name(node.gateway.spec, node.gateway.id)
