"""What scenarios ask for several volumes at once, and the orders of mounts that differ where each is asked for once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from holdfast import storage
from holdfast.exceptions import ExpectationFailed
from holdfast.storage import together
from holdfast.storage.account import Limits, ScenarioNotRun
from holdfast.storage.beside import _done, orders
from holdfast.storage.scenario import STAGES, Scenario


def test_work_is_done_side_by_side_and_comes_in_order() -> None:
    all_there = threading.Barrier(4)

    def work(number: int) -> int:
        all_there.wait(timeout=30)  # who came one after the other would never meet here
        return number * number

    assert list(together.at_once(work, iter(range(4)))) == [0, 1, 4, 9]


def test_the_first_error_in_order_is_told_once_all_have_ended() -> None:
    late, ended = threading.Event(), []

    def work(number: int) -> None:
        if number == 1:
            late.wait(timeout=30)
        ended.append(number)
        if number == 2:
            late.set()
        if number:
            raise ExpectationFailed(f"volume {number}")

    with pytest.raises(ExpectationFailed, match="volume 1"):
        together.all_of(together.at_once(work, range(3)))
    assert sorted(ended) == [0, 1, 2]


def test_nothing_to_do_is_done() -> None:
    assert list(together.at_once(str, [])) == []


def test_of_pods_each_course_of_mounts_comes_once() -> None:
    every = {order for round_ in orders(once=False) for order in round_}
    (chosen,) = orders(once=True)
    assert set(chosen) < every
    assert {_done(order) for order in chosen} == {_done(order) for order in every}, "what can happen does"
    assert len({_done(order) for order in chosen}) == len(chosen), "and once"


@pytest.fixture
def scenario() -> Iterator[Scenario]:
    """On the emulated provider, as a cluster would be asked."""
    lab = storage.emulated()
    try:
        made = Scenario(lab, "T3", Limits(deadline=10, call=10, pause=5, settle=5, enough=2))
        made.at_once = True
        yield made
        assert made.leave() == []
    finally:
        lab.close()


def test_tasks_that_begin_at_once_are_told_apart(scenario: Scenario) -> None:
    tasks = scenario.start("node1")
    assert [task.stage for task in tasks] == list(STAGES)
    assert len({task.volume.name for task in tasks}) == len({task.name for task in tasks}) == len(STAGES)
    scenario.finish(tasks)
    scenario.expect_all_whole(tasks, "node2")
    assert scenario.account.acknowledged >= 3 * 2  # of those that write
    scenario.expect_nothing_left()


def test_where_nodes_say_how_many_volumes_they_take_nothing_is_asked_at_once(scenario: Scenario) -> None:
    """Who looks for room and who takes it would not know of each other."""

    def workers() -> set[str]:
        return set(scenario.each(lambda _: threading.current_thread().name, range(3)))

    assert threading.current_thread().name not in workers()
    scenario.offer.most_volumes = {"node1": 3}
    assert workers() == {threading.current_thread().name}
    with pytest.raises(ScenarioNotRun, match="a node takes 3 volumes at most, and this needs 4"):
        scenario.start("node1")
