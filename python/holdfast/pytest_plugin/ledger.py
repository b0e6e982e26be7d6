"""The test container's ledger, through a failover: what was acknowledged must be there after it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast import _core
from holdfast.exceptions import (
    ConnectError,
    ExpectationFailed,
    HoldfastError,
    OutcomeUnknown,
    Timeout,
    Unavailable,
    Unimplemented,
)
from holdfast.pytest_plugin.case import NotChecked

if TYPE_CHECKING:
    from holdfast import Device
    from holdfast.pytest_plugin.run import ImageUnderTest, Run
    from holdfast.results import ContainerDescription, Record

# Where a container's volume must be for its ledger to be on it, and of its environment what it tells.
MOUNT, VARIABLES = "/data", "HOLDFAST_"
# How long one append may take that may meet a container that is away, in seconds.
ATTEMPT = 1.0
# How long one that should be there may take, in seconds.
ANSWER = 2.0
_SILENCE = (ConnectError, OutcomeUnknown, Timeout, Unavailable)
# From one append to the next while a failover is under way, in seconds.
PAUSE = 0.02


class Ledger:
    """The ledger of a container on a published port, and all that it acknowledged."""

    def __init__(self, run: Run, dut: Device, port: int) -> None:
        self._run = run
        self._dut = dut
        self._port = port
        self._unchecked: str | None = "nothing was written to it before"
        self._before: ContainerDescription | None = None
        self.acknowledged: list[Record] = []
        self._found: Sequence[Record] = ()

    def write(self, count: int) -> None:
        """Write so many records; raises `NotChecked` where there is no ledger or no way to it."""
        if self._run.unasked:
            self._unchecked = self._run.unasked
            raise NotChecked(self._unchecked)
        try:
            for _ in range(count):
                self._append(timeout=5)
        except Unimplemented:
            self._unchecked = "the image under test has no ledger"
            raise NotChecked(self._unchecked) from None
        except HoldfastError as error:
            if self._run.image_pings is not None:
                raise
            # Whatever an image of one's own serves there, it is no ledger; whether it answers is judged elsewhere.
            self._unchecked = f"the image under test has no ledger: {error.message}"
            raise NotChecked(self._unchecked) from None
        self._unchecked = None

    def describe(self) -> None:
        """Keep what the container sees of itself, to compare it later; raises `NotChecked` where it cannot tell."""
        self._before = self.described()

    def described(self) -> ContainerDescription:
        """What the container sees of itself now; raises `NotChecked` where it cannot tell."""
        if self._run.unasked:
            raise NotChecked(self._run.unasked)
        try:
            return self._dut.describe_container(self._port, timeout=ANSWER)
        except Unimplemented:
            raise NotChecked("the image under test does not describe itself") from None
        except _SILENCE as error:
            raise NotChecked(f"the container does not answer: {error.message}") from None

    def expect_same_environment(self) -> None:
        """The container sees the environment that it saw before."""
        self._expect_same("environment")

    def expect_same_mount(self) -> None:
        """The container sees its volume where it was, and as writable as it was."""
        self._expect_same("mounted", "writable")

    def expect_same_incarnation(self) -> None:
        """The container was not started anew."""
        if self._before is None:
            raise NotChecked("the container did not describe itself before")
        if self.described().writer != self._before.writer:
            raise ExpectationFailed("the container was started anew: another incarnation of it answers")

    def expect_image(self, image: ImageUnderTest) -> None:
        """What answers is a container of this image, which sets HOLDFAST_IMAGE."""
        if image.retag is not None:
            raise NotChecked("an image of one's own is the same under another tag")
        seen = self.described().environment.get("HOLDFAST_IMAGE")
        if seen != image.shown:
            raise ExpectationFailed(f"the container that answers sees HOLDFAST_IMAGE {seen!r}: it is of another image")

    def _expect_same(self, *what: str) -> None:
        if self._before is None:
            raise NotChecked("the container did not describe itself before")
        now = self.described()
        for each in what:
            was, is_now = getattr(self._before, each), getattr(now, each)
            if was != is_now:
                raise ExpectationFailed(f"{each} was {was!r} and is {is_now!r}, as the container sees it")

    def write_on(self, count: int) -> None:
        """Write records after a failover; whether the container answers is another's verdict."""
        if self._unchecked is not None:
            raise NotChecked(self._unchecked)
        try:
            for _ in range(count):
                self._append(timeout=ANSWER)
        except _SILENCE as error:
            raise NotChecked(f"the container that holds the ledger does not answer: {error.message}") from None

    def expect_one_start(self) -> None:
        """One failover took one start: no third incarnation of the container is there, or wrote."""
        if self._unchecked is not None:
            raise NotChecked(self._unchecked)
        wrote = [record.writer for record in (*self.acknowledged, *self._found)]
        writers = dict.fromkeys([*wrote, self.described().writer])
        if len(writers) > 2:
            raise ExpectationFailed(
                f"the container was started once more than the failover takes: {len(writers)} incarnations of it wrote"
            )

    def _append(self, timeout: float) -> None:
        payload = f"{self._run.id} {len(self.acknowledged)}".encode()
        self.acknowledged.append(self._dut.append_record(self._port, payload, timeout=timeout))

    def _try_to_append(self) -> None:
        try:
            self._append(timeout=ATTEMPT)
        except HoldfastError as error:
            self._run.note(f"ledger: not acknowledged: {error.message}")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Go on writing while something happens; what is not acknowledged does not count."""
        if self._unchecked is not None:
            yield
            return
        stop = threading.Event()

        def go_on() -> None:
            while not stop.wait(PAUSE):
                self._try_to_append()

        thread = threading.Thread(target=go_on, name="holdfast ledger")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def compare(self) -> None:
        """All acknowledged records are there, once, in order, unaltered, and none of a writer that should be dead."""
        if self._unchecked is not None:
            raise NotChecked(self._unchecked)
        try:
            self._found = self._dut.read_records(self._port, timeout=ANSWER)
        except _SILENCE as error:
            raise NotChecked(f"the container that holds the ledger does not answer: {error.message}") from None
        findings = _core.verify_records(self.acknowledged, self._found)
        if findings:
            more = f", and {len(findings) - 5} more" if len(findings) > 5 else ""
            raise ExpectationFailed(
                f"of {len(self.acknowledged)} acknowledged records: {'; '.join(findings[:5])}{more}",
                hint="docs/ledger.md says what each finding means",
            )
        self._run.note(f"ledger: all {len(self.acknowledged)} acknowledged records are there")
