"""Hosts that a provider file names: real engines, real plugins that run there already, harm by commands. As root."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from holdfast.storage import leftovers
from holdfast.storage.provider import read

from conftest import RunSuite, wait_until
from test_torpedo import verdicts

LACKS = [*read("rclone", runner="docker").lacks(), *read("nbd").lacks()]
HOST = Path(__file__).parent / "torpedo_host.sh"
HOSTS = ("alpha", "beta")
COMMANDS = (
    "power_off", "power_on", "kill_plugin", "start_plugin", "kill_runtime", "start_runtime", "live_restore_on",
    "live_restore_off",
)  # fmt: skip

pytestmark = pytest.mark.skipif(bool(LACKS), reason="; ".join(LACKS))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short: that of a socket has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="hf-") as short:
        yield Path(short)


@contextmanager
def hosts(folder: Path, plugin: str) -> Iterator[None]:
    """Two hosts that are up; {folder} in the plugin's command is a host's own, {node} its name."""
    with ExitStack() as undo:
        undo.callback(leftovers.remove_control_groups, folder.name)
        for name in HOSTS:
            own = folder / name
            own.mkdir()
            command = plugin.replace("{folder}", os.fspath(own)).replace("{node}", name)
            (own / "plugin_command").write_text(command, encoding="utf-8")
            undo.callback(subprocess.run, ["sh", HOST, own, "power_off"], check=False)
            subprocess.run(["sh", HOST, own, "power_on"], check=True, timeout=60)
        yield


@contextmanager
def server(words: list[str], said: str) -> Iterator[str]:
    """A process that serves; the line that says so."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            yield next(line for line in iter(process.stdout.readline, "") if said in line)
        finally:
            process.kill()


def written(folder: Path, provider: str) -> str:
    path = folder / "fleet.yaml"
    engine = f"'unix://{folder}/{{node}}/docker.sock'"
    path.write_text(
        "\n".join(
            [
                f"provider: {{{provider}}}",
                "runner: {kind: docker}",
                "lab:",
                "  kind: hosts",
                "  tester: 127.0.0.1",
                f"  folder: {folder}/csi",
                "  nodes:",
                *(f"    {name}: {{address: 127.0.0.1, engine: {engine}}}" for name in HOSTS),
                "faults:",
                *(f"  {command}: sh {HOST} {folder}/{{node}} {command}" for command in COMMANDS),
            ]
        ),
        encoding="utf-8",
    )
    return str(path)


def told(chosen: str, provider: str, run_suite: RunSuite) -> dict[str, set[str]]:
    """The verdicts of scenarios; nothing of theirs is left on the hosts."""
    run = run_suite("-k", chosen, "--provider", provider)
    for name in HOSTS:
        address = f"unix://{Path(provider).parent}/{name}/docker.sock"
        listed = ["docker", "--host", address, "ps", "--all", "--quiet"]
        wait_until(lambda words=listed: subprocess.check_output(words) == b"", 20, run.output)  # type: ignore[misc]
    return {name: {each for each, _ in found} for name, found in verdicts(run).items()}


def test_a_docker_plugin_on_hosts(folder: Path, run_suite: RunSuite) -> None:
    plugin = (
        "rclone serve docker --config /dev/null --forget-state --base-dir {folder}/mounts --cache-dir {folder}/cache"
        " --socket-addr {folder}/plugin.sock"
    )
    (folder / "served").mkdir()
    webdav = ["rclone", "serve", "webdav", "--config", "/dev/null", "--addr", "127.0.0.1:0", str(folder / "served")]
    with server(webdav, "http://") as line, hosts(folder, plugin):
        url = "http://" + line.partition("http://")[2].split("/")[0].strip(" []\n")
        parameters = f"{{type: webdav, webdav-url: '{url}', path: '{{volume}}', vfs-cache-mode: writes}}"
        provider = written(folder, f"kind: docker-plugin, name: rclone, parameters: {parameters}")
        found = told("torpedo_5 or torpedo_8 or torpedo_10", provider, run_suite)
    # T5: rclone acknowledges before it uploads
    assert found == {"T5": {"Fail"}, "T8": {"NotRun"}, "T10": {"Pass"}}


@pytest.mark.parametrize(
    ("chosen", "verdicts_told"),
    [("torpedo_4_ or torpedo_8_", {"T4": {"Pass"}, "T8": {"NotRun"}}), ("torpedo_5_", {"T5": {"Pass"}})],
)
def test_a_csi_driver_on_hosts(
    chosen: str, verdicts_told: dict[str, set[str]], folder: Path, run_suite: RunSuite
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    holdfast = [sys.executable, "-m", "holdfast.cli", "storage"]
    serving = [*holdfast, "server", "--listen", address, "--exports", "127.0.0.1", "--folder", str(folder / "volumes")]
    plugin = (
        f"{' '.join(holdfast)} plugin --endpoint unix://{{folder}}/plugin.sock --nodeid {{node}} --server {address}"
    )
    with server(serving, "serving"), hosts(folder, plugin + " --folder {folder}/mounts"):
        sockets = f"unix://{folder}/{{node}}/plugin.sock"
        provider = written(folder, f"kind: csi, sockets: '{sockets}', fencing: driver, filesystems: [ext4]")
        found = told(chosen, provider, run_suite)
    assert found == verdicts_told
