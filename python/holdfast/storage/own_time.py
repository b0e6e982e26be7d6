"""How long a scenario waited that nobody else made it wait: the run's own time.

Neither what others were asked for counts (the provider, whoever schedules, whoever does harm: the lab's own clock runs
meanwhile), nor waiting until they have done what nobody asks them for, nor what passes between harm and its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class OwnTime:
    """Counts from now on. `busy` tells for how many seconds others were asked so far."""

    def __init__(self, busy: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._busy, self._clock = busy, clock
        self._began = clock()
        self._before = busy()
        self._others = 0.0
        self._harmed: float | None = None
        # While there was harm nothing is the run's own.
        self._under_harm = 0.0

    def _own(self) -> float:
        """Seconds so far in which nobody was asked, with those under harm."""
        return self._clock() - self._began - (self._busy() - self._before) - self._others

    @contextmanager
    def waits_for_others(self) -> Iterator[None]:
        """What is waited for within is for others to do; they are looked at from time to time."""
        before = self._own()
        try:
            yield
        finally:
            self._others += self._own() - before

    def harm(self) -> None:
        """Harm begins; more of it may, before it is undone."""
        if self._harmed is None:
            self._harmed = self._own()

    def undone(self) -> None:
        """All harm is undone, if there was any."""
        if self._harmed is not None:
            self._under_harm += self._own() - self._harmed
            self._harmed = None

    @property
    def whole(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._began

    def seconds(self) -> float:
        """The run's own, in seconds."""
        now = self._own()
        under_harm = self._under_harm + (0.0 if self._harmed is None else now - self._harmed)
        return max(0.0, now - under_harm)
