"""What the emulated device does when it is asked for the same thing several times at once, or started twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import holdfast
from holdfast import exceptions, failpoint

from conftest import emulate
from peers import command

CALLERS = 8


def at_once(chassis: holdfast.Emulator, ask: Callable[[holdfast.Device], object]) -> Counter[str]:
    """How often each outcome came when several sessions asked at once."""
    ready = Barrier(CALLERS)

    def one() -> str:
        with holdfast.connect(chassis.address, insecure=True) as dut:
            ready.wait(timeout=30)
            try:
                ask(dut)
            except exceptions.HoldfastError as error:
                return type(error).__name__
            return "OK"

    with ThreadPoolExecutor(max_workers=CALLERS) as threads:
        return Counter(asked.result(timeout=60) for asked in [threads.submit(one) for _ in range(CALLERS)])


def test_one_of_many_starts_and_one_of_many_volumes_of_a_name_succeeds(archive: Path) -> None:
    with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        image = dut.containerz.deploy(archive)
        expected = Counter({"OK": 1, "AlreadyExists": CALLERS - 1})
        for name in ("one", "two", "three"):

            def start(asking: holdfast.Device, name: str = name) -> object:
                return asking.containerz.start(name, image=image, network="bridge")

            def create(asking: holdfast.Device, name: str = name) -> object:
                return asking.containerz.create_volume(name)

            assert at_once(chassis, start) == expected
            assert at_once(chassis, create) == expected
        assert sorted(container.name for container in dut.containerz.containers()) == ["one", "three", "two"]


def test_transfers_of_one_name_at_once_leave_one_image(archive: Path) -> None:
    with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        assert at_once(chassis, lambda dut: dut.containerz.deploy(archive)) == Counter({"OK": CALLERS})
        assert len(dut.containerz.images()) == 1


def test_one_of_many_switchovers_is_accepted() -> None:
    with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        with chassis.failpoint("switchover.leave", "pause", may_stay_unhit=True) as fp:
            outcomes = at_once(chassis, lambda dut: dut.system.switch_control_processor("Supervisor2"))
            fp.wait_reached()
        assert outcomes["OK"] == 1, outcomes
        assert outcomes["FailedPrecondition"] == CALLERS - 1, outcomes
        dut.expect_redundant("Supervisor2")


def test_a_second_device_on_a_state_folder_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "device"
    with emulate(tmp_path, "--state", str(state)):
        done = command(tmp_path, "emulate", "--listen", "auto", "--state", str(state))
        assert done.returncode == 2, done
        assert "is in use by another emulated device, in process " in done.stderr
        failpoint.control(state).arm("gnmi.Set", "off")
    with emulate(tmp_path, "--state", str(state)):
        assert failpoint.control(state).armed() == ()
