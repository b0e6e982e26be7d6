"""Steps that the suites for devices share."""

from __future__ import annotations

from holdfast import Device
from holdfast.exceptions import ExpectationFailed
from holdfast.pytest_plugin.case import Case, NotChecked
from holdfast.pytest_plugin.run import ImageUnderTest
from holdfast.results import Container

# Written to the ledger before a failover; more are while it is under way.
RECORDS = 20


def deploy(dut: Device, image: ImageUnderTest) -> None:
    """Bring the image under test to the device, under this run's name."""
    dut.containerz.deploy(image.archive, name=image.name, tag=image.tag, retag=image.retag)


def start(
    dut: Device,
    image: ImageUnderTest,
    name: str,
    volumes: dict[str, str] | None = None,
    environment: dict[str, str] | None = None,
    *,
    port: int | None = None,
) -> None:
    """Start a container of the image under test, on its own port or, where another has that, on `port`."""
    command, ports = image.published_on(port or image.port)
    dut.containerz.start(
        name,
        image=image,
        command=command,
        ports=ports,
        network=image.network,
        volumes=volumes,
        environment=environment,
        restart="ALWAYS",
    )


def expect_answer(case: Case, dut: Device, image: ImageUnderTest, *, after_switchover: bool = False) -> None:
    """The container answers Ping on its published port, and goes on answering."""
    if case.run.unreachable:
        raise NotChecked(case.run.unreachable)
    case.run.configuring.before_dialling()
    try:
        dut.expect_answer(image.port)
    except ExpectationFailed as error:
        if after_switchover and case.run.silence_proves_nothing:
            raise NotChecked(f"inconclusive, the new active has a filter of its own: {error.message}") from None
        raise


def note_unlisted(case: Case, container: Container) -> None:
    """What a listing does not carry cannot be compared."""
    case.not_checked.append("the container's command: ListContainer does not carry it")
    if not container.labels:
        case.not_checked.append("the container's labels: the device does not list them")
