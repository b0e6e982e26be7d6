"""Hosts that a provider file names: real engines, a real plugin that runs there already, harm by commands. As root."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from holdfast.storage import leftovers
from holdfast.storage.provider import read

from conftest import RunSuite, wait_until
from test_torpedo import verdicts

LACKS = read("rclone", runner="docker").lacks()
HOST = Path(__file__).parent / "torpedo_host.sh"
COMMANDS = (
    "power_off", "power_on", "kill_plugin", "start_plugin", "kill_runtime", "start_runtime", "live_restore_on",
    "live_restore_off",
)  # fmt: skip

pytestmark = pytest.mark.skipif(bool(LACKS), reason="; ".join(LACKS))


@pytest.fixture
def fleet() -> Iterator[Path]:
    """A provider file of two hosts."""
    with tempfile.TemporaryDirectory(prefix="hf-") as short, ExitStack() as undo:
        folder = Path(short)
        undo.callback(leftovers.remove_control_groups, folder.name)
        for name in ("alpha", "beta"):
            undo.callback(subprocess.run, ["sh", HOST, folder / name, "power_off"], check=False)
            subprocess.run(["sh", HOST, folder / name, "power_on"], check=True, timeout=60)
        served = folder / "served"
        served.mkdir()
        words = ["rclone", "serve", "webdav", "--config", "/dev/null", "--addr", "127.0.0.1:0", os.fspath(served)]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as server, ExitStack() as first:
            first.callback(server.kill)
            told = next(line for line in iter(server.stderr.readline, "") if "http://" in line)  # type: ignore[union-attr]
            url = "http://" + told.partition("http://")[2].split("/")[0].strip(" []\n")
            yield written(folder, url)


def written(folder: Path, url: str) -> Path:
    hosts = [
        f"    {name}: {{address: 127.0.0.1, engine: 'unix://{folder}/{{node}}/docker.sock'}}"
        for name in ("alpha", "beta")
    ]
    path = folder / "fleet.yaml"
    parameters = f"type: webdav, webdav-url: '{url}', path: '{{volume}}', vfs-cache-mode: writes"
    path.write_text(
        "\n".join(
            [
                "provider:",
                "  {kind: docker-plugin, name: rclone, version: rclone version,",
                f"   parameters: {{{parameters}}}}}",
                "runner: {kind: docker}",
                "lab:",
                "  kind: hosts",
                "  tester: 127.0.0.1",
                "  nodes:",
                *hosts,
                "faults:",
                *(f"  {command}: sh {HOST} {folder}/{{node}} {command}" for command in COMMANDS),
            ]
        ),
        encoding="utf-8",
    )
    return path


def test_the_hosts_of_a_file_are_qualified_by_their_own_commands(fleet: Path, run_suite: RunSuite) -> None:
    run = run_suite("-k", "torpedo_5 or torpedo_8 or torpedo_10", "--provider", str(fleet))
    told = {name: {each for each, _ in found} for name, found in verdicts(run).items()}
    assert told == {
        "T5": {"Fail"},  # rclone acknowledges before it uploads
        "T8": {"NotRun"},
        "T10": {"Pass"},
    }, run.output
    for name in ("alpha", "beta"):
        listed = ["docker", "--host", f"unix://{fleet.parent}/{name}/docker.sock", "ps", "--all", "--quiet"]
        wait_until(lambda words=listed: subprocess.check_output(words) == b"", 20, "no container left")  # type: ignore[misc]
