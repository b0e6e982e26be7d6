"""What can go wrong, as one tree.

Every exception says the device, the operation, the status by name, how long it took, and what to try. No
exception holds a password.
"""

from __future__ import annotations

from typing import ClassVar

from holdfast import remedies, visible
from holdfast.remedies import FrontEnd


class HoldfastError(Exception):
    """Anything that holdfast reports.

    `device`, `operation`, `code` (a gRPC status by name) and `hint` are None where they do not apply; `after` is in
    seconds. `reason` is the message without the device and the time: what two failures for one reason have in common.
    `device_message` is what the device itself said, as it said it, where it answered with a status; else None.
    `subject` is what a device does not have by that name, where it answers NOT_FOUND and the call tells: image,
    container, volume or plugin. `remedy` is the setting that would help, as a word of `holdfast.remedies.REMEDIES`, or
    None: `hint` leads up to it. `fails_procedure` says which verdict of a case it belongs to.
    """

    # Whose names for settings its text has; pytest's plugin says so of what befell it.
    front_end: FrontEnd = "python"

    def __init__(
        self,
        message: str = "",
        *,
        device: str | None = None,
        operation: str | None = None,
        code: str | None = None,
        reason: str | None = None,
        device_message: str | None = None,
        subject: str | None = None,
        after: float | None = None,
        hint: str | None = None,
        remedy: str | None = None,
        fails_procedure: bool = True,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.device = device
        self.operation = operation
        self.code = code
        self.reason = message if reason is None else reason
        self.device_message = device_message
        self.subject = subject
        self.after = after
        self._hint = hint
        self.remedy = remedy
        self.fails_procedure = fails_procedure

    def __str__(self) -> str:
        """The message and what to try, as people may read it; `message` has it as it was said."""
        return self._with_advice(self.message)

    def without_device(self) -> str:
        """As `str`, for where people read already which device it is about."""
        if self.device is None:
            return str(self)
        return self._with_advice(self.reason if self.after is None else f"{self.reason} (after {self.after:.2f} s)")

    def _with_advice(self, text: str) -> str:
        advice = self.advice(self.front_end)
        return visible.lines(f"{text}\n  try: {advice}" if advice else text)

    @property
    def hint(self) -> str | None:
        """What to try, in the words of who is told: a hint of its own, and the setting that would help."""
        return self.advice(self.front_end)

    def advice(self, front_end: FrontEnd) -> str | None:
        """What to try, in the words of a front end; None where nothing is known to help."""
        return remedies.advice(self._hint, self.remedy, front_end)


def word_for(error: BaseException | None, front_end: FrontEnd) -> None:
    """Give the text of an error, and of those that it came from, a front end's names for settings."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, HoldfastError):
            error.front_end = front_end
        error = error.__cause__ or error.__context__


class InvalidArgumentError(HoldfastError, ValueError):
    """The caller asked for something that makes no sense."""


class ConnectError(HoldfastError):
    """No session with the target could be made."""


class UnknownHost(ConnectError):
    """The name does not resolve."""


class Unreachable(ConnectError):
    """Nothing listens, or nothing answers."""


class NotGrpc(ConnectError):
    """Something listens that does not speak gRPC."""


class TlsExpected(ConnectError):
    """Plaintext was asked for, and the target speaks TLS."""


class PlaintextExpected(ConnectError):
    """TLS was asked for, and the target speaks plaintext."""


class CertificateError(ConnectError):
    """The target's certificate is not to be trusted, or it does not trust ours."""


class CertificateExpired(CertificateError):
    """The target's certificate has expired."""


class CertificateNotYetValid(CertificateError):
    """The target's certificate is not valid yet."""


class CertificateForAnotherName(CertificateError):
    """The target's certificate is for another name."""


class CertificateUntrusted(CertificateError):
    """Nobody that is trusted signed the target's certificate."""


class ClientCertificateRefused(CertificateError):
    """The target wants a certificate of ours, or another than it got."""


class TlsHandshakeFailed(ConnectError):
    """The target and this machine have no version of TLS or cipher in common, or one of them does not follow TLS."""


class ProxyError(ConnectError):
    """The proxy on the way, not the target, is in the way."""


class ProxyRefused(ProxyError):
    """The proxy on the way does not let us through."""


class ProxyUnreachable(ProxyError):
    """The proxy on the way is not there, or does not do its work."""


class Timeout(HoldfastError, TimeoutError):
    """A deadline passed."""


class OutcomeUnknown(HoldfastError):
    """A request left this machine and its answer never came: it may have been done."""


class ImageError(HoldfastError):
    """An archive is not what it should be."""


class TestbedError(HoldfastError):
    """A testbed, or an option that says where a device is, makes no sense."""

    __test__ = False


class RolesError(HoldfastError):
    """The control processors are not as a test needs them."""


class ExpectationFailed(HoldfastError, AssertionError):
    """Something expected of the device did not hold."""


class DeviceOccupied(HoldfastError):
    """The device is in use by another run, or an earlier run left things on it."""


class RpcError(HoldfastError):
    """The device answered an RPC with an error; there is a class for each status of gRPC, whose name is `STATUS`."""

    STATUS: ClassVar[str] = ""


class Cancelled(RpcError):
    """The call was cancelled, by the device or by what stands between."""

    STATUS = "CANCELLED"


class Unknown(RpcError):
    """The device failed in a way that no other status has a word for."""

    STATUS = "UNKNOWN"


class InvalidArgument(RpcError):
    """The device says that the request makes no sense, whatever its state."""

    STATUS = "INVALID_ARGUMENT"


class DeadlineExceeded(RpcError, TimeoutError):
    """The device says that the call's deadline passed."""

    STATUS = "DEADLINE_EXCEEDED"


class NotFound(RpcError):
    """What the request names is not there; `subject` says what kind of thing, where the call tells."""

    STATUS = "NOT_FOUND"


class AlreadyExists(RpcError):
    """What the request would make is there already."""

    STATUS = "ALREADY_EXISTS"


class PermissionDenied(RpcError):
    """The user may log in, and may not do this."""

    STATUS = "PERMISSION_DENIED"


class ResourceExhausted(RpcError):
    """The device has no room, or too much to do."""

    STATUS = "RESOURCE_EXHAUSTED"


class FailedPrecondition(RpcError):
    """The device is not in the state that the request needs."""

    STATUS = "FAILED_PRECONDITION"


class Aborted(RpcError):
    """The device gave the operation up, as where another was in its way."""

    STATUS = "ABORTED"


class OutOfRange(RpcError):
    """The request goes past what there is."""

    STATUS = "OUT_OF_RANGE"


class Unimplemented(RpcError):
    """The device does not serve this RPC, or not this option of it."""

    STATUS = "UNIMPLEMENTED"


class Internal(RpcError):
    """Something is broken inside the device."""

    STATUS = "INTERNAL"


class Unavailable(RpcError):
    """The device cannot serve this at the moment."""

    STATUS = "UNAVAILABLE"


class DataLoss(RpcError):
    """What the device answered cannot be read, or it says that data is lost."""

    STATUS = "DATA_LOSS"


class Unauthenticated(RpcError):
    """The device does not accept who logs in."""

    STATUS = "UNAUTHENTICATED"


class SwitchoverError(HoldfastError):
    """A switchover did not do what it must."""


class SwitchoverNotReady(SwitchoverError):
    """The standby never became ready, so none was asked for."""


class SwitchoverRefused(SwitchoverError):
    """The device answered with an error."""


class SwitchoverUnimplemented(SwitchoverError):
    """The device does not serve the RPC."""


class SwitchoverIgnored(SwitchoverError):
    """Answered with success, and nothing happened."""


class SwitchoverReversed(SwitchoverError):
    """The roles swapped and swapped back."""


class SwitchoverUnproven(SwitchoverError):
    """The roles are reported swapped, and no second witness agrees."""


class SwitchoverNeverBack(SwitchoverError):
    """The new primary did not serve in time."""


class SwitchoverNeverRedundant(SwitchoverError):
    """The old primary did not come back in step in time."""


class RebootError(HoldfastError):
    """A reboot did not do what it must."""


class RebootRefused(RebootError):
    """The device answered with an error."""


class RebootUnimplemented(RebootError):
    """The device does not serve the RPC."""


class RebootIgnored(RebootError):
    """Answered with success, and nothing rebooted."""


class RebootPartial(RebootError):
    """Some control processors rebooted and others did not."""


class RebootNeverBack(RebootError):
    """The device did not serve again in time."""


class CniError(HoldfastError):
    """A CNI plugin failed. `number` is the code of the CNI specification, None where the plugin gave none."""

    def __init__(
        self, message: str = "", *, number: int | None = None, details: str = "", hint: str | None = None
    ) -> None:
        super().__init__(message if number is None else f"{message} (code {number})", hint=hint)
        self.number = number
        self.details = details


class LabError(HoldfastError):
    """Trouble of what a test itself stands on: a tool of its lab, an engine, a command for a fault.

    It says nothing of who is tested.
    """


class SchedulerError(HoldfastError):
    """Who schedules tasks did not do its part: Kubernetes holds a volume back, or finds no place for a pod.

    The storage provider was not asked for anything, and is not judged by it.
    """
