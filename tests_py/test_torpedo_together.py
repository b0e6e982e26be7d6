"""What scenarios ask for several volumes at once, and the orders of mounts that differ where each is asked for once."""

from __future__ import annotations

import threading

import pytest

from holdfast.exceptions import ExpectationFailed
from holdfast.storage import together
from holdfast.storage.beside import Orders

ROUNDS = ((1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2))


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
    every = [order for counts in ROUNDS for order in Orders(once=False).of(*counts)]
    once = Orders(once=True)
    chosen = [order for counts in ROUNDS for order in once.of(*counts)]
    assert (len(every), len(chosen)) == (34, 10)
    # nothing that can happen is left out: a mount again after the end, both orders of ending, one alone
    assert {"".join(order) for order in chosen} >= {"MUU", "MMU", "MUM"}
    assert list(once.of(3, 2)) == []
