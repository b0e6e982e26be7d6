"""Docker volume plugins that serve elsewhere than on the lab's socket: TCP, a `.spec` file, a `.json` file."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from holdfast import _core

from conftest import RunSuite
from test_torpedo import verdicts

PLUGIN = Path(__file__).parent / "tcp_plugin.py"
pytestmark = pytest.mark.skipif(bool(_core.storage_lab_lacks()), reason=str(_core.storage_lab_lacks()))


def provider_file(folder: Path, socket: str, told: str, data: Path, port: int = 0) -> str:
    """The plugins are each in the network of its node, so one port does for all of them."""
    path = folder / "small.yaml"
    start = f"{shlex.quote(sys.executable)} {PLUGIN} {{folder}} {data} {port} {told}"
    provider = {"kind": "docker-plugin", "name": "small", "socket": socket, "start": start}
    path.write_text(json.dumps({"provider": provider, "lab": {"nodes": 2}}))
    return str(path)


@pytest.mark.parametrize(
    ("socket", "told", "port"),
    [
        ("tcp://127.0.0.1:7001", "-", 7001),
        ("{folder}/small.spec", "{folder}/small.spec", 0),
        ("./small-{node}.json", "../small-{node}.json", 0),
    ],
    ids=["tcp", "spec", "json"],
)
def test_a_plugin_that_serves_elsewhere_is_found(
    socket: str, told: str, port: int, run_suite: RunSuite, tmp_path: Path
) -> None:
    """T3 kills it, and finds it again: with another port, its file is read anew. T5 takes its network away."""
    told = told.replace("..", str(tmp_path))
    file = provider_file(tmp_path, socket, told, tmp_path / "data", port)
    run = run_suite("-k", "torpedo_1_ or torpedo_3 and kill_plugin or torpedo_5_", "--provider", file)
    found = {name: {verdict for verdict, _ in said} for name, said in verdicts(run).items()}
    assert found == {"T1": {"Pass"}, "T3": {"Pass"}, "T5": {"Pass"}}, run.output


@pytest.mark.skipif(shutil.which("dockerd") is None, reason="dockerd is not installed")
def test_an_engine_finds_it_too(run_suite: RunSuite, tmp_path: Path) -> None:
    file = provider_file(tmp_path, "{folder}/small.json", "{folder}/small.json", tmp_path / "data")
    run = run_suite("-k", "torpedo_1_", "--provider", file, "--torpedo-runner", "docker")
    assert {verdict for verdict, _ in verdicts(run)["T1"]} == {"Pass"}, run.output
