"""What of a scenario's time is holdfast's own, and how the table says it."""

from __future__ import annotations

from typing import Any

from holdfast.storage import report
from holdfast.storage.own_time import OwnTime

from torpedo_rows import row


class Clocks:
    """What passes, and for how much of it others are asked."""

    def __init__(self) -> None:
        self.now = self.busy = 100.0

    def passes(self, seconds: float, *, asked: bool = False) -> None:
        self.now += seconds
        self.busy += seconds if asked else 0.0


def counted() -> tuple[Clocks, OwnTime]:
    clocks = Clocks()
    return clocks, OwnTime(lambda: clocks.busy, lambda: clocks.now)


def test_what_others_are_asked_for_is_not_its_own() -> None:
    clocks, own = counted()
    clocks.passes(3)
    clocks.passes(20, asked=True)
    clocks.passes(1)
    assert (own.seconds(), own.whole) == (4, 24)


def test_nothing_is_its_own_between_harm_and_its_end() -> None:
    clocks, own = counted()
    clocks.passes(1)
    own.undone()  # there was none
    own.harm()
    clocks.passes(5)
    clocks.passes(7, asked=True)
    own.harm()
    clocks.passes(2)
    assert own.seconds() == 1, "harm lasts"
    own.undone()
    clocks.passes(0.5)
    own.undone()
    clocks.passes(0.5)
    assert own.seconds() == 2
    own.harm()
    clocks.passes(9)
    own.undone()
    assert (own.seconds(), own.whole) == (2, 25)


def test_waiting_until_others_have_done_it_is_not_its_own() -> None:
    clocks, own = counted()
    clocks.passes(1)
    with own.waits_for_others():
        clocks.passes(2)
        clocks.passes(3, asked=True)
    assert (own.seconds(), own.whole) == (1, 6)
    own.harm()
    with own.waits_for_others():
        clocks.passes(4)
    clocks.passes(1)
    own.undone()
    clocks.passes(0.5)
    assert own.seconds() == 1.5, "nothing is taken off twice"


def under(runner: str, seconds: str, own: str) -> dict[str, Any]:
    return row(runner=runner, seconds=seconds, own_seconds=own)


def test_a_table_of_kubernetes_says_how_long_holdfast_itself_kept_it_waiting() -> None:
    rows = [under("kubernetes (workload: pod)", "100.5", "1.25"), under("kubernetes (workload: pod)", "20", "0.5")]
    said = "holdfast's own waiting, beyond faults, scheduler and provider: 1.8 s of 120 s"
    assert said in list(report.table(rows))
    assert f"{said}." in report.markdown(rows).splitlines()
    never_had_a_lab = under("", "0", "0")
    assert report.own_waiting([*rows, never_had_a_lab]) == said
    assert "own waiting" not in "".join(report.table([under("own", "100", "1")]))
    assert "own waiting" not in "".join(report.table([never_had_a_lab]))
