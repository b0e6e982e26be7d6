"""labgrid's pytest plugin beside ours in one run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import holdfast

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
