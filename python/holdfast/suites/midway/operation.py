"""Something that is done to a device while its active control processor fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from holdfast import visible
from holdfast.exceptions import ExpectationFailed, HoldfastError
from holdfast.pytest_plugin.case import Case, NotChecked
from holdfast.suites.looks import settled

# How long the emulated device holds it in the middle, for the failover to come meanwhile.
HELD = "2s"
# How long it may go on after the failover, in seconds: it must end by itself.
LONGEST = 30.0


class Operation:
    """Runs in a thread of its own. The emulated device holds it at `site`; on a real one it is where it may be."""

    def __init__(self, case: Case, do: Callable[[], object], *, site: str, count: int = 1) -> None:
        self._case = case
        self._do = do
        self._site = site
        self._terms = f"{count - 1}*off->1*delay({HELD})" if count > 1 else f"1*delay({HELD})"
        self._begun = threading.Event()
        self._error: HoldfastError | None = None
        self._ended = False

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Begin it, come back when it is in the middle, and in the end wait until it has ended."""
        chassis = self._case.run.chassis
        thread = threading.Thread(target=self._run, name="holdfast midway", daemon=True)
        if chassis is None:
            thread.start()
            self._begun.wait(LONGEST)
            yield
        else:
            with chassis.failpoint(self._site, self._terms) as held:
                thread.start()
                held.wait_reached()
                yield
        thread.join(LONGEST)
        self._case.run.note(f"midway: {self.outcome}")

    def _run(self) -> None:
        self._begun.set()
        try:
            self._do()
        except HoldfastError as error:
            self._error = error
        self._ended = True

    @property
    def acknowledged(self) -> bool:
        """Whether the device said that it was done."""
        return self._ended and self._error is None

    @property
    def outcome(self) -> str:
        """In words."""
        if not self._ended:
            return f"it did not end within {LONGEST:.0f} s of the failover"
        if self._error is None:
            return "it was acknowledged"
        return f"it was not acknowledged: {type(self._error).__name__}: {visible.line(self._error.message)}"

    def expect_end(self) -> None:
        """It ended by itself, and said how: done, refused, or not known."""
        if not self._ended:
            raise ExpectationFailed(self.outcome)

    def expect_one_of(self, look: Callable[[], str], *, before: str, done: str) -> None:
        """It is wholly done or wholly not, and stays so; what was acknowledged is done."""
        wanted = (done,) if self.acknowledged else (before, done)
        polite = self._case.run.trigger == "gnoi"
        try:
            settled(self._case, look, wanted)
        except ExpectationFailed as error:
            if not self.acknowledged:
                raise
            if not polite and settled(self._case, look, (before,)):
                raise NotChecked("it was acknowledged right before a crash, and did not come through") from None
            raise ExpectationFailed(f"it was acknowledged, and {error.message}") from None


def tolerant(do: Callable[[], Any], *accepted: type[HoldfastError]) -> None:
    """Do it again; what says that it is done already is as good."""
    try:
        do()
    except accepted:
        return
