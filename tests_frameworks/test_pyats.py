"""The connection in a real testbed, a script of one's own, and the suites by aetest and easypy."""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pyats.topology import loader

import holdfast
from holdfast.exceptions import Unauthenticated

from conftest import Run, put


def place(folder: Path, chassis: holdfast.Emulator) -> Path:
    host, _, port = chassis.address.partition(":")
    put(folder / "testbed.yaml", ("127.0.0.1", host), ("9339", port))
    return folder / "testbed.yaml"


def test_a_device_of_a_testbed_offers_what_holdfast_does(
    example: Callable[[str], Path], chassis: holdfast.Emulator
) -> None:
    device = loader.load(str(place(example("pyats"), chassis))).devices["r1"]
    with pytest.raises(AttributeError):
        device.holdfast.control_processors()
    device.connect(via="holdfast", alias="holdfast")
    assert device.holdfast.connected
    assert [cp.role for cp in device.holdfast.control_processors()] == ["PRIMARY", "SECONDARY"]
    assert device.holdfast.switchover().target == "Supervisor2"
    device.disconnect_all()
    assert not device.holdfast.connected


def test_its_credentials_are_those_of_the_testbed(example: Callable[[str], Path]) -> None:
    with holdfast.emulator(users={"anna": "geheim-23"}) as chassis:
        file = place(example("pyats"), chassis)
        put(file, ("  name: lab\n", "  name: lab\n  credentials: {default: {username: anna, password: geheim-23}}\n"))
        device = loader.load(str(file)).devices["r1"]
        device.connect(via="holdfast", alias="holdfast")
        assert device.holdfast.control_processors()
        assert "geheim-23" not in repr(device.holdfast.target)
        device.disconnect_all()
        put(file, ("geheim-23", "another"))
        device = loader.load(str(file)).devices["r1"]
        with pytest.raises(Unauthenticated):
            device.connect(via="holdfast", alias="holdfast")


def test_a_script_of_ones_own(example: Callable[[str], Path], chassis: holdfast.Emulator, run: Run) -> None:
    folder = example("pyats")
    place(folder, chassis)
    done = run(sys.executable, "failover.py", "--testbed", "testbed.yaml", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"ContainerComesThroughAFailover\s+PASSED", done.stdout), done.stdout
    assert re.search(r"Step 1: switch over\s+PASSED", done.stdout), done.stdout


def test_the_suite_by_aetest(example: Callable[[str], Path], chassis: holdfast.Emulator, run: Run) -> None:
    folder = example("pyats")
    place(folder, chassis)
    told = ("--testbed", "testbed.yaml", "--device", "r1")
    with chassis.failpoint("load.volume.lost", "1*error(x)"):
        options = [f"--option={text}" for text in ("--dut-deadline=verification=1s", "--dut-deadline=watch=100ms")]
        done = run(sys.executable, "-m", "holdfast.integrations.pyats_suite", *told, *options, folder=folder)
    assert done.returncode == 1, done.stdout
    for number in range(1, 9):
        expected = "FAILED" if number in (3, 4) else "PASSED"
        assert re.search(rf"CNTR_3_{number}\s+{expected}", done.stdout), done.stdout
    assert re.search(r"procedure: the volume is on the new primary\s+FAILED", done.stdout), done.stdout
    assert "CNTR_1_1" not in done.stdout


def test_the_suite_as_a_job(example: Callable[[str], Path], chassis: holdfast.Emulator, run: Run) -> None:
    folder = example("pyats")
    place(folder, chassis)
    put(folder / "cntr3_job.py", ('"cntr3"', '"cntr2"'))
    archive = folder / "archive"
    words = ("pyats", "run", "job", "cntr3_job.py", "--testbed-file", "testbed.yaml", "--archive-dir", str(archive))
    done = run(*words, "--no-mail", folder=folder, HOME=str(folder))
    assert "CNTR_2_1" in done.stdout, done.stdout + done.stderr
    assert re.search(r"CNTR_2_1\s+PASSED", done.stdout), done.stdout
    kept = next(archive.rglob("*.zip"))
    with zipfile.ZipFile(kept) as packed:
        assert any(name.endswith("results.json") for name in packed.namelist())
