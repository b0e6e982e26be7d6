"""The connection plugin and the tasks, over several devices at once."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from nornir import InitNornir
from nornir.core.plugins.connections import ConnectionPluginRegister

import holdfast
from holdfast.exceptions import InvalidArgumentError, NotFound, Unreachable
from holdfast.integrations import nornir as devices

from conftest import Run, put, shown_frames


def place(folder: Path, *chassis: holdfast.Emulator) -> Path:
    hosts = folder / "inventory" / "hosts.yaml"
    lines = []
    for number, each in enumerate(chassis, 1):
        host, _, port = each.address.partition(":")
        lines.append(
            f"r{number}:\n  hostname: {host}\n  port: {port}\n  connection_options: {{holdfast: {{extras: {{insecure: true}}}}}}\n"
        )
    hosts.write_text("".join(lines))
    return hosts


def test_the_plugin_is_found_by_its_entry_point() -> None:
    ConnectionPluginRegister.auto_register()
    assert ConnectionPluginRegister.get_plugin("holdfast") is devices.Connection


def test_the_inventory_that_the_docs_show_is_taken(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "frameworks.md").read_text()
    (shown,) = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "connection_options" in block]
    hosts = tmp_path / "hosts.yaml"
    hosts.write_text(shown)
    inventory = {"plugin": "SimpleInventory", "options": {"host_file": str(hosts)}}
    with InitNornir(inventory=inventory, logging={"enabled": False}) as nornir:
        given = nornir.inventory.hosts["r1"].get_connection_parameters("holdfast")
    assert (given.hostname, given.username, given.extras) == ("192.0.2.1", "admin", {"tls": {"ca": "ca.pem"}})


def test_the_example_runs_on_every_device(example: Callable[[str], Path], run: Run) -> None:
    folder = example("nornir")
    with holdfast.emulator() as one, holdfast.emulator() as other:
        place(folder, one, other)
        done = run(sys.executable, "failover_everywhere.py", "inventory/hosts.yaml", folder=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "r1: Supervisor2 is active after" in done.stdout
        assert "r2: Supervisor2 is active after" in done.stdout
        assert {one.active, other.active} == {"Supervisor2"}


def test_what_fails_on_one_device_is_that_devices_alone(example: Callable[[str], Path]) -> None:
    folder = example("nornir")
    with holdfast.emulator() as one, holdfast.emulator() as other:
        inventory = {"plugin": "SimpleInventory", "options": {"host_file": str(place(folder, one, other))}}
        options = {"inventory": inventory, "logging": {"enabled": False}}
        with InitNornir(**options) as nornir:
            nornir.filter(name="r1").run(devices.create_volume, volume="data")
            found = nornir.run(devices.expect_volume, volume="data", within=0.2, watch=0)
            assert not found["r1"].failed
            assert found["r1"][0].result.name == "data"
            assert isinstance(found["r2"][0].exception, holdfast.exceptions.ExpectationFailed)
            nornir.data.reset_failed_hosts()
            removed = nornir.run(devices.remove_volume, volume="data")
            assert removed["r1"][0].changed
            assert isinstance(removed["r2"][0].exception, NotFound)


def test_the_inventory_of_the_example_names_the_emulators_ports(example: Callable[[str], Path]) -> None:
    put(example("nornir") / "inventory" / "hosts.yaml", ("9339", "1"), ("9439", "2"))


def test_what_fails_shows_no_secret(tmp_path: Path) -> None:
    planted = "pl4nted-w0rd"
    with pytest.raises(Unreachable) as unreachable:
        devices.Connection().open("127.0.0.1", "admin", planted, 1, None, {"insecure": True, "dial_timeout": 0.1})
    tls = {"cert": tmp_path / "absent", "key": tmp_path / "absent", "key_password": planted}
    with pytest.raises(InvalidArgumentError) as unreadable:
        devices.Connection().open("127.0.0.1", None, None, 1, None, {"tls": tls})
    for caught in (unreachable, unreadable):
        assert planted not in shown_frames(caught.value)
        assert "address" in shown_frames(caught.value)
