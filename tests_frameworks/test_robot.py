"""The keywords by Robot's own runner."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import holdfast
from holdfast.exceptions import HoldfastError, Unreachable
from holdfast.integrations.robot import HoldfastLibrary

from conftest import EXAMPLES, Run, shown_frames


def verdicts(output: Path) -> dict[str, str]:
    tests = ET.parse(output).iter("test")
    return {str(test.get("name")): str(test.find("status").get("status")) for test in tests}  # type: ignore[union-attr]


def test_the_example_passes_on_the_emulated_device(run: Run, tmp_path: Path) -> None:
    done = run("robot", "--outputdir", str(tmp_path), str(EXAMPLES / "robot" / "cntr3.robot"), TEMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(verdicts(tmp_path / "output.xml")) == 4
    log = (tmp_path / "log.html").read_text()
    assert "svg" in log


def test_a_device_that_loses_something_fails_the_right_test(
    run: Run, tmp_path: Path, chassis: holdfast.Emulator
) -> None:
    chassis.arm("load.container.lost", "1*error(x)")
    device = ("--variable", f"DEVICE:{chassis.address}")
    suite = (EXAMPLES / "robot" / "cntr3.robot").read_text().replace("${DEVICE}\n", "${DEVICE}    insecure=True\n")
    (tmp_path / "cntr3.robot").write_text(suite)
    done = run("robot", "--outputdir", str(tmp_path), *device, str(tmp_path / "cntr3.robot"), TEMPDIR=str(tmp_path))
    assert done.returncode > 0
    found = verdicts(tmp_path / "output.xml")
    assert found["CNTR-3.2 To 3.4 Container And Volume Persistence"] == "FAIL"
    assert found["CNTR-3.1 Image Persistence"] == "PASS"
    assert "no container web is listed" in done.stdout


def test_libdoc_has_every_keyword_with_its_words(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "keywords.json"
    done = run("libdoc", "holdfast.integrations.robot.HoldfastLibrary", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(file.read_text())
    assert {"Switch Over", "Container Should Run"} <= {each["name"] for each in told["keywords"]}
    assert all(each["doc"] for each in told["keywords"])


def test_a_keyword_before_a_device_says_what_to_do(run: Run, tmp_path: Path) -> None:
    (tmp_path / "early.robot").write_text(
        "*** Settings ***\nLibrary    holdfast.integrations.robot.HoldfastLibrary\n"
        "*** Test Cases ***\nEarly\n    Switch Over\n"
    )
    done = run("robot", "--outputdir", str(tmp_path), str(tmp_path / "early.robot"))
    assert "use `Connect To Device` first" in done.stdout


def test_the_suite_in_the_docs_runs(run: Run, tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "frameworks.md").read_text()
    (suite,) = re.findall(r"^```robotframework\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "docs.robot").write_text(suite)
    done = run("robot", "--outputdir", str(tmp_path), str(tmp_path / "docs.robot"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_fails_shows_no_secret() -> None:
    planted = "pl4nted-w0rd"
    with pytest.raises(Unreachable) as caught:
        HoldfastLibrary().connect_to_device("127.0.0.1:1", username="admin", password=planted, insecure=True)
    assert planted not in shown_frames(caught.value)
    assert "address" in shown_frames(caught.value)


def test_a_device_is_reached_by_whatever_a_testbed_says(chassis: holdfast.Emulator) -> None:
    library = HoldfastLibrary()
    fields = {"gnoi": chassis.gnoi, "deadlines.reboot": "20m", "silence": "5s", "metadata.x-tenant": "lab"}
    assert library.connect_to_device(chassis.address, insecure=True, profile="generic", **fields) == chassis.address
    assert library.connect_to_device(chassis.address, "r2", insecure=True, profile="generic", token="t") == "r2"
    assert library.dut.name == chassis.address
    library.disconnect()
    for wrong, says in (({"tls.caa": "x"}, "tls has no 'caa'"), ({"gnio": "x"}, "a device has no 'gnio'"),
                        ({"emulated": "yes"}, "a device has no 'emulated'"), ({"tls.skip_verify": "si"}, "neither yes")):  # fmt: skip
        with pytest.raises(HoldfastError, match=says):
            library.connect_to_device("r1", **wrong)
