"""CNTR-2.1 to 2.4: whom a container reaches, and who reaches it. Containers dial by themselves: `Cntr.Dial`.

`procedure` steps are what the plan asks; `depth` steps are what must hold beyond it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from holdfast import Device, addresses, services
from holdfast.exceptions import ExpectationFailed, HoldfastError, PermissionDenied, Unauthenticated, Unimplemented
from holdfast.pytest_plugin import standby
from holdfast.pytest_plugin.case import Case, NotChecked
from holdfast.pytest_plugin.pair import Pair
from holdfast.pytest_plugin.procedure import case
from holdfast.pytest_plugin.run import ImageUnderTest, Run
from holdfast.suites.dialling import Dialler
from holdfast.suites.made import container_as_asked, image_as_sent
from holdfast.suites.steps import deploy, expect_answer, start

# The network that the plan's suite asks for.
HOST = "host"
# Connections that are made one after the other.
TIMES = 10
# By how much a container's clock may differ from its device's, in seconds: they are one.
CLOCK = 5.0


def needs_a_way(case: Case) -> None:
    """Skip where the containers' ports cannot be reached from here: whom they dial is asked of them there."""
    if case.run.unreachable:
        pytest.skip(case.run.unreachable)
    case.run.configuring.before_dialling()


def needs_pings(case: Case) -> None:
    """Skip where containers of the image cannot be told to dial."""
    if case.run.unasked:
        pytest.skip(case.run.unasked)


@pytest.mark.cntr2("CNTR-2.1", "from outside to a container")
@case()
def test_cntr2_1_from_outside_to_a_container(dut: Device, image: ImageUnderTest, case: Case) -> None:
    needs_a_way(case)
    name = case.run.name("called")
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("start a container"):
        asked = start(dut, image, name, network=HOST)
    with case.procedure("it answers on its published port"):
        expect_answer(case, dut, image)
    image_as_sent(case, dut, image)
    container_as_asked(case, dut, asked)
    ask: Callable[[int], object] = dut.ping_container if case.run.image_pings else dut.connect_container
    with case.depth("it answers each of many connections"):
        for _ in range(TIMES):
            ask(image.port)
    with case.depth("its clock is the device's"):
        expect_one_clock(case, dut, image.port)
    with case.depth("nobody answers once it is gone"):
        dut.containerz.remove(name, force=True)
        Dialler(case, dut, image.port).expect_gone()


def expect_one_clock(case: Case, dut: Device, port: int) -> None:
    """The container's is the device's own, where that tells the time."""
    if case.run.unasked:
        raise NotChecked(case.run.unasked)
    try:
        before = dut.system.time()
    except Unimplemented:
        raise NotChecked("the device does not tell the time (System.Time)") from None
    container_time = dut.ping_container(port)
    if abs((container_time - before).total_seconds()) > CLOCK:
        raise ExpectationFailed(f"the container's clock says {container_time}, and its device's {before}")


@pytest.mark.cntr2("CNTR-2.2", "a container to its own device")
@case()
def test_cntr2_2_a_container_to_its_own_device(dut: Device, image: ImageUnderTest, case: Case) -> None:
    needs_a_way(case)
    inner = case.run.inner
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("start a container"):
        asked = start(dut, image, case.run.name("caller"), network=HOST)
    with case.procedure("it answers on its published port"):
        expect_answer(case, dut, image)
    image_as_sent(case, dut, image)
    container_as_asked(case, dut, asked)
    needs_pings(case)
    container = Dialler(case, dut, image.port)
    with case.procedure("it asks the device's gNMI for its capabilities"):
        needs_service(case, "gnmi")
        relayed = container.dial(inner.gnmi, "gnmi").capabilities
    with case.procedure("it asks the device's gRIBI for all it holds"):
        needs_service(case, "gribi")
        container.dial(inner.gribi, "gribi")
    with case.depth("it is this device's gNMI"):
        needs_service(case, "gnmi")
        if relayed != (own := dut.gnmi.capabilities()):
            raise ExpectationFailed(f"the container was told {relayed}, and the device itself says {own}")
    with case.depth("neither lets it in with a wrong password"):
        for address, service in ((inner.gnmi, "gnmi"), (inner.gribi, "gribi")):
            needs_service(case, service)
            expect_locked(container, address, service)
    with case.depth("where nobody listens it reaches nobody"):
        container.expect_nobody(inner.host)
    with case.depth("it reaches them each time"):
        needs_service(case, "gnmi")
        for _ in range(TIMES):
            container.dial(inner.gnmi, "gnmi")
            container.dial(inner.gribi, "gribi")


def needs_service(case: Case, name: str) -> None:
    """`NotChecked` where nobody said where containers find it, and the device does not serve gNMI to us either."""
    said = None if case.run.chassis else getattr(case.run.target.inner, name)
    if said is None and (lack := standby.lack(case.run, services.GNMI)):
        raise NotChecked(f"{lack}; where containers find {name} can be said: --dut-inner {name}=HOST:PORT")


def expect_locked(container: Dialler, address: str | None, service: str) -> None:
    """A wrong password is refused; where none is asked for, that cannot be seen."""
    if container.username is None:
        raise NotChecked("no credentials were given for the device")
    try:
        container.dial(address, service, password="not the password")  # noqa: S106
    except (Unauthenticated, PermissionDenied):
        return
    except HoldfastError as error:
        raise ExpectationFailed(f"{service}: a wrong password is answered with {error.message}") from None
    raise ExpectationFailed(f"{service} at {address} lets a container in with a wrong password")


@pytest.mark.cntr2("CNTR-2.3", "a container to one on another device")
def test_cntr2_3_a_container_to_one_on_another_device(holdfast_pair: Pair, holdfast_case: Case) -> None:
    near, far, case = holdfast_pair.near, holdfast_pair.far, holdfast_case
    needs_a_way(case)
    far.configuring.before_dialling()
    name, other = near.name("near"), far.name("far")
    with case.procedure("deploy the image on both"):
        deploy(near.device, near.image)
        deploy(far.device, far.image)
    with case.procedure("start a container on each"):
        asked = start(near.device, near.image, name, network=HOST)
        start(far.device, far.image, other, network=HOST)
    with case.procedure("the near one answers"):
        expect_answer(case, near.device, near.image)
    image_as_sent(case, near.device, near.image)
    container_as_asked(case, near.device, asked)
    needs_pings(case)
    here, there = (Dialler(case, run.device, run.image.port) for run in (near, far))
    with case.procedure("the near one dials the far one"):
        here.expect_reaches(there, over(far))
    with case.procedure("the far one dials the near one"):
        there.expect_reaches(here, over(near))
    with case.depth("each time"):
        for _ in range(TIMES):
            here.dial(addresses.joined(over(far), far.image.port))
    with case.depth("they are two, not one on both devices"):
        here.expect_another(there)
    with case.depth("nobody answers for the far one once it is gone"):
        far.device.containerz.remove(other, force=True)
        there.expect_gone()
        here.expect_fails(addresses.joined(over(far), far.image.port))


def over(run: Run) -> str:
    """The host by which another device's containers reach this one's."""
    return str(run.inner.link)


@pytest.mark.cntr2("CNTR-2.4", "two containers on one device")
@case()
def test_cntr2_4_two_containers_on_one_device(dut: Device, image: ImageUnderTest, case: Case) -> None:
    needs_a_way(case)
    first, second, port = case.run.name("first"), case.run.name("second"), image.port + 1
    with case.procedure("deploy the image"):
        deploy(dut, image)
    with case.procedure("start two containers"):
        one_asked = start(dut, image, first, network=HOST)
        other_asked = start(dut, image, second, port=port, network=HOST if "{port}" in image.command_template else "")
    with case.procedure("both run"):
        dut.containerz.expect_container(first, watch=0)
        dut.containerz.expect_container(second, watch=0)
    with case.procedure("both answer on their ports"):
        expect_answer(case, dut, image)
        expect_answer(case, dut, image, port=port)
    image_as_sent(case, dut, image)
    container_as_asked(case, dut, one_asked, what="the first container")
    container_as_asked(case, dut, other_asked, what="the second container")
    needs_pings(case)
    one, other = Dialler(case, dut, image.port), Dialler(case, dut, port)
    with case.procedure("the first dials the second"):
        one.expect_reaches(other, case.run.inner.host)
    with case.procedure("the second dials the first"):
        other.expect_reaches(one, case.run.inner.host)
    with case.depth("each time"):
        for _ in range(TIMES):
            one.expect_reaches(other, case.run.inner.host)
    with case.depth("they are two, not one under two ports"):
        one.expect_another(other)
    with case.depth("nobody answers for the second once it is gone"):
        dut.containerz.remove(second, force=True)
        other.expect_gone()
        one.expect_fails(addresses.joined(str(case.run.inner.host), port))
