"""labgrid's pytest plugin beside ours in one run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import holdfast
from holdfast.exceptions import TestbedError

from conftest import Run, put


def test_both_plugins_in_one_run(example: Callable[[str], Path], chassis: holdfast.Emulator, run: Run) -> None:
    folder = example("labgrid")
    put(folder / "device.yaml", ("127.0.0.1:9339", chassis.address))
    (folder / "test_ours.py").write_text(
        "def test_ours(dut, target):\n"
        "    assert dut.control_processors()\n"
        "    assert target.get_resource('GnoiDevice').address\n"
    )
    words = ("-m", "pytest", "-p", "no:pytest_embedded", "-p", "no:cacheprovider", "--lg-env", "device.yaml")
    done = run(sys.executable, *words, "test_failover.py", "test_ours.py", folder=folder)
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    assert chassis.active == "Supervisor2"


def test_a_device_out_of_step_does_not_come_into_the_state(
    example: Callable[[str], Path], chassis: holdfast.Emulator, run: Run
) -> None:
    folder = example("labgrid")
    put(folder / "device.yaml", ("127.0.0.1:9339", chassis.address))
    chassis.arm("roles.two_primaries", "error(x)")
    words = ("-m", "pytest", "-p", "no:pytest_embedded", "-p", "no:cacheprovider", "--lg-env", "device.yaml")
    done = run(sys.executable, *words, "test_failover.py", "-k", "failover", folder=folder)
    assert "2 control processors are PRIMARY" in done.stdout, done.stdout


def test_a_resource_takes_what_a_testbed_says(chassis: holdfast.Emulator) -> None:
    pytest.importorskip("labgrid")
    from labgrid import Target

    from holdfast.integrations.labgrid import GnoiDevice
    from holdfast.testbed import settings

    assert set(settings.KEYS) <= {attribute.name for attribute in GnoiDevice.__attrs_attrs__}
    given = {
        "insecure": True,
        "gnoi": chassis.gnoi,
        "deadlines": {"reboot": "20m"},
        "silence": "5s",
        "profile": "generic",
    }
    with GnoiDevice(Target("main"), None, address=chassis.address, **given).connect() as dut:
        assert dut.is_emulated()
        assert dut.name == chassis.address
    with pytest.raises(TestbedError, match=r"GnoiDevice r1: deadlines"):
        GnoiDevice(Target("other"), None, address="r1", deadlines={"reboot": "soon"}).connect()
