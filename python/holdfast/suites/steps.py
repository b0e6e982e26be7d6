"""Steps that the suites for devices share."""

from __future__ import annotations

from holdfast import Device
from holdfast.exceptions import (
    ConnectError,
    DeadlineExceeded,
    ExpectationFailed,
    HoldfastError,
    RpcError,
    Unavailable,
    Unreachable,
)
from holdfast.pytest_plugin.case import Case, Inconclusive, NotChecked
from holdfast.pytest_plugin.run import ImageUnderTest
from holdfast.suites.looks import ANSWERING, look_connection, settled
from holdfast.suites.made import AskedContainer, AskedVolume

# Written to the ledger before a failover; more are while it is under way.
RECORDS = 20


def deploy(dut: Device, image: ImageUnderTest) -> None:
    """Bring the image under test to the device, under this run's name."""
    dut.containerz.deploy(image.archive, name=image.name, tag=image.tag, retag=image.retag, platform=image.platform)


def start(
    dut: Device,
    image: ImageUnderTest,
    name: str,
    volumes: dict[str, str] | None = None,
    variables: dict[str, str] | None = None,
    *,
    port: int | None = None,
    network: str = "",
) -> AskedContainer:
    """Start a container of the image under test, on its own port or, where another has that, on `port`; in `network`
    unless `--dut-network` names another.
    """
    asked = AskedContainer(name, image, volumes or {}, variables or {}, port, network)
    asked.start(dut)
    return asked


def create_volume(case: Case, dut: Device, name: str) -> AskedVolume:
    """Create a volume, as `--dut-volume-driver` and `--dut-volume-option` say."""
    asked = AskedVolume.of(case.run, name)
    asked.create(dut)
    return asked


def expect_standby_in_step(dut: Device, primary: str) -> None:
    """`primary` has a standby in step; `NotChecked` where the device gives no means to tell."""
    if (unchecked := dut.expect_redundant(primary)) is not None:
        raise NotChecked(f"{unchecked.what}: {unchecked.why}")


def expect_answer(
    case: Case, dut: Device, image: ImageUnderTest, *, port: int | None = None, after_switchover: bool = False
) -> None:
    """The container answers Ping on its published port (the image's, or `port`), and goes on answering.

    One of an image of one's own may serve something else: its port must take connections, and `NotChecked` tells that
    this is all.
    """
    if case.run.unreachable:
        raise NotChecked(case.run.unreachable)
    case.run.configuring.before_dialling(port)
    try:
        if _expect_ping(case, dut, port or image.port):
            return
        settled(case, lambda: look_connection(dut, port or image.port), (ANSWERING,))
    except ExpectationFailed as error:
        if after_switchover and case.run.silence_proves_nothing:
            raise Inconclusive(f"the new active has a filter of its own: {error.message}") from None
        raise
    case.run.image_pings = False
    raise NotChecked(f"its port takes connections; {case.run.unasked}")


def _expect_ping(case: Case, dut: Device, port: int) -> bool:
    """It answers Ping, as it must unless its port is for something else, and always was: then False."""
    if case.run.image_pings is False:
        return False
    try:
        dut.expect_answer(port)
    except ExpectationFailed:
        if case.run.image_pings or not _serves_something_else(dut, port):
            raise
        return False
    case.run.image_pings = True
    return True


def _serves_something_else(dut: Device, port: int) -> bool:
    """Whether Ping fails by what it is told, and not for want of an answer."""
    try:
        dut.ping_container(port)
    except (DeadlineExceeded, Unavailable, Unreachable):
        return False
    except ConnectError:
        return look_connection(dut, port) == ANSWERING
    except RpcError:
        return True
    except HoldfastError:
        return False
    return False
