"""CNTR-3.1 to 3.8: what a device runs comes through a control processor failover, and a cold reboot.

`procedure` steps are what the plan asks, and look once; `depth` steps are what must hold beyond it, and watch on.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from holdfast import Device
from holdfast.exceptions import HoldfastError
from holdfast.pytest_plugin.case import Case, NotChecked
from holdfast.pytest_plugin.ledger import Ledger
from holdfast.pytest_plugin.run import ImageUnderTest, Run
from holdfast.results import Container

pytestmark = pytest.mark.disruptive

# Written to the ledger before a failover; more are while it is under way.
RECORDS = 20


def deploy(dut: Device, image: ImageUnderTest) -> None:
    """Bring the image under test to the device, under this run's name."""
    dut.containerz.deploy(image.archive, name=image.name, tag=image.tag, retag=image.retag)


def start(dut: Device, image: ImageUnderTest, name: str, volumes: dict[str, str] | None = None) -> None:
    """Start a container of the image under test."""
    dut.containerz.start(
        name,
        image=image,
        command=image.command,
        ports={image.port: image.port},
        network=image.network,
        volumes=volumes,
        restart="ALWAYS",
    )


def expect_answer(case: Case, dut: Device, image: ImageUnderTest) -> None:
    """The container answers Ping on its published port, and goes on answering."""
    if not case.run.pings:
        raise NotChecked("--dut-no-ping: the container's port cannot be reached from here")
    dut.expect_answer(image.port)


def note_unlisted(case: Case, container: Container) -> None:
    """What a listing does not carry cannot be compared."""
    case.not_checked.append("the container's command: ListContainer does not carry it")
    if not container.labels:
        case.not_checked.append("the container's labels: the device does not list them")


@pytest.mark.cntr3("CNTR-3.1", switchovers=1)
def test_cntr3_1_image_persistence(holdfast_dut: Device, holdfast_image: ImageUnderTest, holdfast_case: Case) -> None:
    dut, image, case = holdfast_dut, holdfast_image, holdfast_case
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("the image is listed"):
        dut.containerz.expect_image(str(image), watch=0)
    with case.depth("it is the image that was sent"):
        dut.containerz.expect_image(image)
    with case.failover("switch over to the standby") as failover:
        failover.result = dut.switchover()
    with case.procedure("the new primary has the image"):
        dut.containerz.expect_image(str(image), watch=0)
    with case.depth("it is the same image"):
        dut.containerz.expect_image(image)
    with case.depth("the old primary is back in step"):
        dut.expect_redundant(failover.primary)


@dataclass
class Persisted:
    """What 3.2, 3.3 and 3.4 found by their one switchover."""

    common: Case
    container: Case
    volume: Case

    @property
    def failed(self) -> bool:
        """Whether any of the three has something to report."""
        return any(part.failures for part in (self.common, self.container, self.volume))


@pytest.fixture
def persisted(request: pytest.FixtureRequest, holdfast_run: Run, holdfast_image: ImageUnderTest) -> Persisted:
    """The procedure of 3.2, 3.3 and 3.4, which share it: it runs once, and each case takes its own verdict from it."""
    found: Persisted | None = holdfast_run.shared.get("persisted")
    if found is None:
        dut = holdfast_run.begin_test(request.node)
        found = holdfast_run.shared["persisted"] = Persisted(*(Case(holdfast_run) for _ in range(3)))
        try:
            persist(dut, holdfast_image, holdfast_run, found)
        except (HoldfastError, AssertionError):
            assert found.common.failures, "a step failed outside a verdict"
        finally:
            holdfast_run.end_test(request.node, failed=found.failed)
    return found


def persist(dut: Device, image: ImageUnderTest, run: Run, found: Persisted) -> None:
    """Create a volume, start a container with it, switch over, and look at both."""
    common, of_container, of_volume = found.common, found.container, found.volume
    name, volume = run.name("container"), run.name("volume")
    with common.procedure("create the volume"):
        dut.containerz.create_volume(volume, options=run.volume_options, labels={"holdfast.run": run.id})
    with common.procedure("deploy the image"):
        deploy(dut, image)
    with common.procedure("start the container with the volume"):
        start(dut, image, name, {volume: "/data"})
    with common.procedure("the container runs"):
        container_before = dut.containerz.expect_container(name, watch=0)
    with common.procedure("the volume is there"):
        volume_before = dut.containerz.expect_volume(volume, watch=0)
    with of_container.depth("the container answers on its port"):
        expect_answer(of_container, dut, image)
    ledger = Ledger(run, dut, image.port)
    with of_volume.depth("the ledger on the volume takes records"):
        ledger.write(RECORDS)
    with common.failover("switch over to the standby") as failover, ledger.writing():
        failover.result = dut.switchover()
    with of_container.recorded_procedure("the container runs on the new primary"):
        dut.containerz.expect_container(name, watch=0)
    with of_container.depth("it is the same container"):
        dut.containerz.expect_container(name, like=container_before)
    with of_container.depth("its image is the same"):
        dut.containerz.expect_image(image)
    with of_container.depth("it answers on its port again"):
        expect_answer(of_container, dut, image)
    with of_volume.recorded_procedure("the volume is on the new primary"):
        dut.containerz.expect_volume(volume, watch=0)
    with of_volume.depth("it is the same volume"):
        dut.containerz.expect_volume(volume, like=volume_before)
    with of_volume.depth("it has all that was written to it"):
        ledger.compare()
    note_unlisted(of_container, container_before)
    with common.depth("the old primary is back in step"):
        dut.expect_redundant(failover.primary)


@pytest.mark.cntr3("CNTR-3.2", switchovers=1, shared="CNTR-3.2 to 3.4")
def test_cntr3_2_container_persistence(persisted: Persisted, holdfast_case: Case) -> None:
    holdfast_case.include(persisted.common)
    holdfast_case.include(persisted.container)


@pytest.mark.cntr3("CNTR-3.3", switchovers=1, shared="CNTR-3.2 to 3.4")
def test_cntr3_3_volume_persistence(persisted: Persisted, holdfast_case: Case) -> None:
    holdfast_case.include(persisted.common)
    holdfast_case.include(persisted.volume)


@pytest.mark.cntr3("CNTR-3.4", switchovers=1, shared="CNTR-3.2 to 3.4")
def test_cntr3_4_container_and_volume_persistence(persisted: Persisted, holdfast_case: Case) -> None:
    holdfast_case.include(persisted.common)
    holdfast_case.include(persisted.container)
    holdfast_case.include(persisted.volume)


@pytest.mark.cntr3("CNTR-3.5", switchovers=1)
def test_cntr3_5_image_removal_persistence(
    holdfast_dut: Device, holdfast_image: ImageUnderTest, holdfast_case: Case
) -> None:
    dut, image, case = holdfast_dut, holdfast_image, holdfast_case
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("the image is listed"):
        dut.containerz.expect_image(str(image), watch=0)
    with case.procedure("remove the image"):
        dut.containerz.remove_image(image)
    with case.procedure("the image is gone"):
        dut.containerz.expect_no_image(image, watch=0)
    with case.failover("switch over to the standby") as failover:
        failover.result = dut.switchover()
    with case.procedure("the image is still gone"):
        dut.containerz.expect_no_image(str(image), watch=0)
    with case.depth("it stays gone, by its name and by its id"):
        dut.containerz.expect_no_image(image)
    with case.depth("the old primary is back in step"):
        dut.expect_redundant(failover.primary)


@pytest.mark.cntr3("CNTR-3.6", switchovers=1)
def test_cntr3_6_container_removal_persistence(
    holdfast_dut: Device, holdfast_image: ImageUnderTest, holdfast_case: Case
) -> None:
    dut, image, case = holdfast_dut, holdfast_image, holdfast_case
    name, volume = case.run.name("removed"), case.run.name("removed-volume")
    with case.depth("create a volume"):
        dut.containerz.create_volume(volume)
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("start a container"):
        start(dut, image, name)
    with case.procedure("the container runs"):
        dut.containerz.expect_container(name, watch=0)
    with case.procedure("remove the container"):
        dut.containerz.stop(name)
        dut.containerz.remove(name, missing_ok=True)
    with case.procedure("the container is gone"):
        dut.containerz.expect_no_container(name, watch=0)
    with case.depth("remove the volume"):
        dut.containerz.remove_volume(volume)
    with case.failover("switch over to the standby") as failover:
        failover.result = dut.switchover()
    with case.procedure("the container is still gone"):
        dut.containerz.expect_no_container(name, watch=0)
    with case.depth("it stays gone"):
        dut.containerz.expect_no_container(name)
    with case.depth("the volume is gone too"):
        dut.containerz.expect_no_volume(volume, watch=0)
    with case.depth("the old primary is back in step"):
        dut.expect_redundant(failover.primary)


@pytest.mark.cntr3("CNTR-3.7", switchovers=2)
def test_cntr3_7_double_failover_image_persistence(
    holdfast_dut: Device, holdfast_image: ImageUnderTest, holdfast_case: Case
) -> None:
    dut, image, case = holdfast_dut, holdfast_image, holdfast_case
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("the image is listed"):
        dut.containerz.expect_image(str(image), watch=0)
    with case.failover("switch over to the standby") as there:
        there.result = dut.switchover()
    with case.procedure("the new primary has the image"):
        dut.containerz.expect_image(str(image), watch=0)
    with case.depth("it is the same image"):
        dut.containerz.expect_image(image)
    with case.failover("switch back to the first") as back:
        back.result = dut.switchover()
    with case.procedure("the first has the image"):
        dut.containerz.expect_image(str(image), watch=0)
    with case.depth("it is the same image still"):
        dut.containerz.expect_image(image)
    with case.depth("the roles swapped twice"):
        assert back.primary == there.origin, f"{back.primary} is primary now; {there.origin} was at the start"
    with case.depth("the other is back in step"):
        dut.expect_redundant(back.primary)


@pytest.mark.cntr3("CNTR-3.8", reboots=1)
def test_cntr3_8_container_persistence_on_cold_reboot(
    holdfast_dut: Device, holdfast_image: ImageUnderTest, holdfast_case: Case
) -> None:
    dut, image, case = holdfast_dut, holdfast_image, holdfast_case
    name, volume = case.run.name("rebooted"), case.run.name("kept")
    with case.procedure("create the volume"):
        dut.containerz.create_volume(volume, options=case.run.volume_options, labels={"holdfast.run": case.run.id})
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("start the container with the volume"):
        start(dut, image, name, {volume: "/data"})
    with case.procedure("the container runs"):
        container_before = dut.containerz.expect_container(name, watch=0)
    with case.procedure("the volume is there"):
        volume_before = dut.containerz.expect_volume(volume, watch=0)
    with case.depth("the container answers on its port"):
        expect_answer(case, dut, image)
    ledger = Ledger(case.run, dut, image.port)
    with case.depth("the ledger on the volume takes records"):
        ledger.write(RECORDS)
    with case.failover("reboot the chassis, cold") as failover, ledger.writing():
        failover.result = dut.reboot()
    with case.procedure("the container runs again"):
        dut.containerz.expect_container(name, watch=0)
    with case.procedure("the volume is still there"):
        dut.containerz.expect_volume(volume, watch=0)
    with case.depth("it is the same container"):
        dut.containerz.expect_container(name, like=container_before)
    with case.depth("its image is the same"):
        dut.containerz.expect_image(image)
    with case.depth("it answers on its port again"):
        expect_answer(case, dut, image)
    with case.depth("it is the same volume"):
        dut.containerz.expect_volume(volume, like=volume_before)
    with case.depth("the volume has all that was written to it"):
        ledger.compare()
    note_unlisted(case, container_before)
    with case.depth("both control processors are in step"):
        dut.expect_redundant(next(cp.name for cp in dut.control_processors() if cp.role == "PRIMARY"))
