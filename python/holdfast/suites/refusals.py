"""What a device must refuse: the status is noted, and the plan's own wish is kept apart from what devices do."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.exceptions import ExpectationFailed, RpcError, Unavailable, Unimplemented
from holdfast.pytest_plugin.case import Case, NotChecked

# Not a refusal of what was asked: the device could not be asked, or not that.
_NO_ANSWER = (Unavailable, Unimplemented)


def expect_refused(case: Case, what: str, do: Callable[[], object], *statuses: type[RpcError]) -> RpcError:
    """It is refused, by one of `statuses` where the plan's suite names some; by which one is noted. The refusal."""
    try:
        done = do()
    except _NO_ANSWER:
        raise
    except RpcError as error:
        case.noted.append(f"{what}: {error.code}")
        if statuses:
            expect_status(what, error, *statuses)
        return error
    answer = "" if done is None else f", and says {done!r}"
    raise ExpectationFailed(f"{what}: the device agrees{answer}", hint="it must refuse")


def expect_status(what: str, refusal: RpcError | None, *statuses: type[RpcError]) -> None:
    """A refusal is by one of `statuses`. `NotChecked` where there was none."""
    if refusal is None:
        raise NotChecked(f"{what} was not refused")
    if not isinstance(refusal, statuses):
        wanted = " or ".join(status.STATUS for status in statuses)
        raise ExpectationFailed(f"{what}: the device says {refusal.code}, where the contract has {wanted}")


def note_outcome(case: Case, what: str, do: Callable[[], object], *accepted: type[RpcError]) -> None:
    """It is done or refused, as the device likes; which of them is noted. Another status than `accepted` is raised."""
    try:
        do()
    except accepted as error:
        case.noted.append(f"{what}: {error.code}")
    else:
        case.noted.append(f"{what}: success")


def unless_unimplemented(do: Callable[[], object]) -> None:
    """`NotChecked` where the device does not have the RPC."""
    try:
        do()
    except Unimplemented as error:
        raise NotChecked(f"the device does not have it: {error.message}") from None
