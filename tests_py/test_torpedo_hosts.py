"""Hosts that a provider file names: real engines, real plugins that run there already, harm by commands. As root."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
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
RCLONE = (
    "rclone serve docker --config /dev/null --forget-state --base-dir {folder}/mounts --cache-dir {folder}/cache"
    " --socket-addr {folder}/plugin.sock"
)
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


def written(folder: Path, provider: str, commands: Mapping[str, str] | None = None) -> str:
    """Its file; `commands` are those that do harm where they are not all."""
    if commands is None:
        commands = {command: f"sh {HOST} {folder}/{{node}} {command}" for command in COMMANDS}
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
                *(f"  {command}: {words}" for command, words in commands.items()),
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
    (folder / "served").mkdir()
    webdav = ["rclone", "serve", "webdav", "--config", "/dev/null", "--addr", "127.0.0.1:0", str(folder / "served")]
    with server(webdav, "http://") as line, hosts(folder, RCLONE):
        url = "http://" + line.partition("http://")[2].split("/")[0].strip(" []\n")
        parameters = f"{{type: webdav, webdav-url: '{url}', path: '{{volume}}', vfs-cache-mode: writes}}"
        keys = f"kind: docker-plugin, name: rclone, parameters: {parameters}"
        found = told("torpedo_5 or torpedo_8 or torpedo_10", written(folder, f"{keys}, scope: global"), run_suite)
        by_its_word = run_suite("-k", "torpedo_5_", "--provider", written(folder, keys))
    # T5: rclone acknowledges before it uploads
    assert found == {"T5": {"Fail"}, "T8": {"NotRun"}, "T10": {"Pass"}}
    # it calls its volumes local
    assert verdicts(by_its_word)["T5"] == [("NotRun", "rclone: a volume for alpha is accessible from alpha alone")]


def test_a_host_is_left_as_it_is_where_not_all_that_a_scenario_does_can_be_done(
    folder: Path, run_suite: RunSuite
) -> None:
    """T10 changes a setting before it kills the runtime."""
    commands = dict.fromkeys(("live_restore_on", "live_restore_off"), f"touch {folder}/touched")
    with hosts(folder, RCLONE):
        provider = written(folder, "kind: docker-plugin, name: rclone, scope: global", commands)
        run = run_suite("-k", "torpedo_10_", "--provider", provider, "-rs")
    assert {case.outcome for case in run.cases.values()} == {"skipped"}, run.output
    assert "no command faults: kill_runtime" in run.output
    assert not (folder / "touched").exists()


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


def test_a_driver_on_hosts_is_told_what_its_file_says(folder: Path, run_suite: RunSuite) -> None:
    """One controller for the plugins of nodes, what volumes are asked for, and secrets by the kind of call."""
    script = {"ways": {"controller": False}}
    (folder / "script.json").write_text(json.dumps(script), encoding="utf-8")
    driver = f"{sys.executable} {Path(__file__).parent / 'scripted_driver.py'}"
    serving = f'exec {driver} "unix://$2/plugin.sock" "$1" {folder}/volumes "$(cat {folder}/script.json)"'
    (folder / "plugin.sh").write_text(f'hostname "$1"; {serving}\n', encoding="utf-8")
    (folder / "made").write_text("token=first\n", encoding="utf-8")
    (folder / "mounted").write_text("token=second\n", encoding="utf-8")
    keys = {
        "kind": "csi",
        "sockets": f"unix://{folder}/{{node}}/plugin.sock",
        "controller": {"socket": f"unix://{folder}/controller.sock"},
        "parameters": {"pool": "{volume}"},
        "mount_flags": ["noatime"],
        "filesystem_options": {"ext4": ["discard"]},
        "filesystems": ["ext4"],
        "access_modes": ["SINGLE_NODE_WRITER", "MULTI_NODE_MULTI_WRITER"],
        "sizes": ["32MiB", "48MiB"],
        "minimum": "20MiB",
        "secrets": {"create": "made", "node_publish": "mounted"},
        "calls": {"CreateVolume": "20s"},
        "topology": False,
    }
    controller = [*driver.split(), f"unix://{folder}/controller.sock", "controller", str(folder / "volumes"), "{}"]
    with subprocess.Popen(controller) as process, ExitStack() as undo:
        undo.callback(process.kill)
        wait_until((folder / "controller.sock").exists, 60, "the controller's socket")
        with hosts(folder, f"unshare --uts sh {folder}/plugin.sh {{node}} {{folder}}"):
            provider = written(folder, json.dumps(keys)[1:-1])
            run = run_suite("-k", "torpedo_1_", "--provider", provider)
    assert {verdict for verdict, _ in verdicts(run)["T1"]} == {"Pass"}, run.output
    assert "CreateVolume: slowest" in run.output
    assert re.search(r"CreateVolume: slowest \S+ s of 20 s", run.output), run.output
    asked = [json.loads(file.read_text()) for file in (folder / "volumes").glob("*.asked")]
    made = [each for each in asked if "capacity_range" in each]
    assert {each["secrets"]["token"] for each in made} == {"first"}
    assert all(each["parameters"]["pool"] == each["name"] for each in made)
    sizes = {int(each["capacity_range"]["required_bytes"]) >> 20 for each in made}
    assert {32, 48} <= sizes
    assert min(sizes) >= 20
    capabilities = [each["volume_capabilities"][0] for each in made]
    assert all("noatime" in each["mount"]["mount_flags"] for each in capabilities)
    assert {"discard" in each["mount"]["mount_flags"] for each in capabilities if each["mount"].get("fs_type")} == {
        True
    }
    assert {each["access_mode"]["mode"] for each in capabilities} == {"SINGLE_NODE_WRITER", "MULTI_NODE_MULTI_WRITER"}
    (published,) = [each for each in asked if "target_path" in each]
    assert published["secrets"]["token"] == "second"
