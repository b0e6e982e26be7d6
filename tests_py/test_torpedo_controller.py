"""One controller for all nodes, which the provider file starts beside node plugins that are none; in the lab."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from test_torpedo_lab import leftovers

from holdfast import _core

from conftest import RunSuite, SuiteRun, wait_until
from test_torpedo import verdicts

DRIVER = Path(__file__).parent / "scripted_driver.py"
pytestmark = pytest.mark.skipif(bool(_core.storage_lab_lacks()), reason=str(_core.storage_lab_lacks()))


def run(suite: RunSuite, folder: Path, chosen: str, controller: str, *options: str) -> SuiteRun:
    """Scenarios with plugins that serve nodes alone; nothing is left of the controller either."""
    script = {"ways": {"controller": False, "stages": True}}
    (folder / "script.json").write_text(json.dumps(script), encoding="utf-8")
    node = f'{sys.executable} {DRIVER} {{socket}} {{node}} {folder}/volumes "$(cat {folder}/script.json)"'
    provider: dict[str, Any] = {"kind": "csi", "start": node, "controller": {"start": controller}}
    file = folder / "provider.yaml"
    file.write_text(json.dumps({"provider": provider, "lab": {"nodes": 2}}), encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="hf-") as short:  # the path of a socket has 107 bytes
        found = suite("-k", chosen, "--provider", str(file), *options, TMPDIR=short)
        wait_until(lambda: leftovers(short) == [], 20, "nothing left")
    return found


def controller(folder: Path) -> str:
    (folder / "controller.json").write_text(json.dumps({"ways": {"offers": ["PUBLISH_UNPUBLISH_VOLUME"]}}))
    serving = f'{sys.executable} {DRIVER} {{socket}} {{node}} {folder}/volumes "$(cat {folder}/controller.json)"'
    return f"echo started on {{node}} >> {folder}/told && exec {serving}"


def test_it_is_asked_for_volumes_and_outlives_the_plugin_on_a_node(run_suite: RunSuite, tmp_path: Path) -> None:
    found = run(run_suite, tmp_path, "torpedo_1_ or torpedo_4_ or torpedo_5_", controller(tmp_path))
    told = {name: {verdict for verdict, _ in said} for name, said in verdicts(found).items()}
    assert told == {"T1": {"Pass"}, "T4": {"Pass"}, "T5": {"Pass"}}, found.output
    # once in the lab of each scenario, whatever became of the nodes
    assert (tmp_path / "told").read_text().split("\n") == ["started on controller"] * 3 + [""]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("echo no licence >&2; exit 3", "the controller ended by itself: exit status: 3; it printed: no licence"),
        ("./none {socket}", "the controller ended by itself: exit status: 127"),
    ],
)
def test_one_that_does_not_start_is_told_with_what_it_printed(
    line: str, said: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    found = run(run_suite, tmp_path, "torpedo_1_", line, "--torpedo-start", "4s")
    ((verdict, reason),) = verdicts(found)["T1"]
    assert verdict == "Inconclusive", found.output
    assert said in reason, found.output


def test_the_check_of_a_provider_file_starts_it_too() -> None:
    from test_provider_check import holdfast

    with tempfile.TemporaryDirectory(prefix="hf-") as short:
        folder = Path(short)
        run_file = {
            "provider": {
                "kind": "csi",
                "start": f"{sys.executable} {DRIVER} {{socket}} {{node}} {short}/volumes "
                """'{"ways": {"controller": false}}'""",
                "controller": {"start": f"{sys.executable} {DRIVER} {{socket}} {{node}} {short}/volumes '{{}}'"},
            }
        }
        (folder / "provider.yaml").write_text(json.dumps(run_file), encoding="utf-8")
        done = holdfast(folder, "check", "provider.yaml")
    assert done.returncode == 0, done.stdout
    assert "T1   dynamic volumes                runs" in done.stdout
