"""Our plugin in somebody's repository, beside the plugins that they have."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

from conftest import Run

# labgrid's and pytest-embedded's own fixtures get in each other's way.
ALONE = ("-p", "no:labgrid", "-p", "no:cacheprovider")
WITHOUT_EMBEDDED = ("-p", "no:pytest_embedded")


def test_the_example_of_a_repository(example: Callable[[str], Path], run: Run) -> None:
    folder = example("pytest")
    done = run(sys.executable, "-m", "pytest", *ALONE, *WITHOUT_EMBEDDED, "-v", folder=folder)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_html_junit_allure_and_xdist_in_one_run(run: Run, tmp_path: Path) -> None:
    reports = ("--html=run.html", "--self-contained-html", "--junitxml=run.xml", "--alluredir=allure", "-n", "2")
    done = run(sys.executable, "-m", "pytest", *ALONE, *WITHOUT_EMBEDDED, "-k", "cntr3_1 or cntr3_5", *reports)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_cntr3_1_image_persistence" in (tmp_path / "run.html").read_text()
    cases = list(ET.parse(tmp_path / "run.xml").iter("testcase"))
    assert {prop.get("value") for case in cases for prop in case.iter("property") if prop.get("name") == "plan_id"} == {
        "CNTR-3.1",
        "CNTR-3.5",
    }
    found = [json.loads(file.read_text()) for file in (tmp_path / "allure").glob("*-result.json")]
    assert {each["status"] for each in found} == {"passed"}
    assert len(found) == 2


def test_a_failure_shows_in_each_of_them(run: Run, tmp_path: Path) -> None:
    reports = ("--html=run.html", "--self-contained-html", "--junitxml=run.xml", "--alluredir=allure")
    broken = ("--dut-failpoint", "load.image.lost=1*error(x)", "--dut-deadline", "verification=1s")
    done = run(sys.executable, "-m", "pytest", *ALONE, *WITHOUT_EMBEDDED, "-k", "cntr3_1", *reports, *broken)
    assert done.returncode == 1, "CI systems go by it"
    (failure,) = ET.parse(tmp_path / "run.xml").iter("failure")
    assert "no image cntrsrv_image" in (failure.get("message") or "") + (failure.text or "")
    (found,) = [json.loads(file.read_text()) for file in (tmp_path / "allure").glob("*-result.json")]
    assert found["status"] == "failed"
    assert "no image cntrsrv_image" in json.dumps(found)


def test_pytest_embedded_has_a_dut_too(run: Run, tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "pytest", *ALONE, "-k", "cntr3_1")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    (tmp_path / "test_theirs.py").write_text(
        "def test_theirs(dut):\n    assert type(dut).__module__.startswith('pytest_embedded')\n"
    )
    (tmp_path / "test_ours.py").write_text(
        "def test_ours(holdfast_dut):\n    assert holdfast_dut.control_processors()\n"
    )
    done = run(sys.executable, "-m", "pytest", *ALONE, "test_ours.py")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
