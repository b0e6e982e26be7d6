"""How a process ends: the exit codes of the command and of pytest, in one table."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.exceptions import (
    ConnectError,
    DeviceOccupied,
    HoldfastError,
    ImageError,
    InvalidArgumentError,
    OutcomeUnknown,
    TestbedError,
    Timeout,
)


@dataclass(frozen=True)
class Ending:
    """One way to end: `command` is the exit code of `holdfast`, `pytest` that of a run of tests."""

    command: int
    pytest: int
    meaning: str


DONE = Ending(0, 0, "done; all tests passed or were skipped")
FAILED = Ending(1, 1, "the device said no, a verdict is bad, or a test failed")
USAGE = Ending(2, 4, "an option, a testbed, an image or a certificate makes no sense")
NO_DEVICE = Ending(3, 3, "the device cannot be reached or is in use, or it is not known what came of a request")
INTERRUPTED = Ending(130, 2, "Ctrl-C, or SIGTERM to a run of tests")

ALL = (DONE, FAILED, USAGE, NO_DEVICE, INTERRUPTED)


def ending_of(error: HoldfastError) -> Ending:
    """How a command ends that an error ended."""
    if isinstance(error, ConnectError | DeviceOccupied | OutcomeUnknown | Timeout):
        return NO_DEVICE
    return USAGE if isinstance(error, InvalidArgumentError | TestbedError | ImageError) else FAILED
