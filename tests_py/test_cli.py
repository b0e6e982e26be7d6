"""The command `holdfast`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click
import pytest

import holdfast

import peers
from conftest import isolated
from peers import free_port

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Run:
    """Run `holdfast …`, on a device where one is given."""

    def run(*words: str, address: str | None = None) -> subprocess.CompletedProcess[str]:
        dut = ("--dut", address, "--dut-insecure") if address else ()
        return peers.command(tmp_path, *dut, *words)

    return run


def test_a_device_is_worked_from_the_shell(command: Run, chassis_of_test: holdfast.Emulator, tmp_path: Path) -> None:
    def ok(*words: str) -> str:
        done = peers.command_apart(tmp_path, "--dut", chassis_of_test.address, "--dut-insecure", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    tar = str(tmp_path / "c.tar")
    assert "linux/" in ok("image", "cntrsrv", "-o", tar, "--tag", "v1")
    assert "cntrsrv_image:v1" in ok("image", "show", tar)
    assert "plugin.tar" in ok("image", "plugin", "-o", str(tmp_path / "plugin.tar"))
    assert "Supervisor1" in ok("roles")
    assert ok("roles") == ok("control-processors")
    assert "deployed cntrsrv_image:v1" in ok("deploy", tar)
    assert "cntrsrv_image" in ok("images")
    ok("create-volume", "data")
    assert "data" in ok("volumes")
    ok("start", "web", "--image", "cntrsrv_image:v1", "--port", "60061:60061", "--volume", "data:/data")
    assert "RUNNING" in ok("containers")
    assert "listening" in ok("logs", "web")
    assert "Supervisor1 -> Supervisor2" in ok("switchover", "--yes", "--redundant")
    assert "rebooted" in ok("reboot", "--yes")
    ok("stop", "web")
    ok("remove", "web")
    ok("remove-volume", "data")
    ok("remove-image", "cntrsrv_image:v1")
    assert json.loads(command("--json", "images", address=chassis_of_test.address).stdout) == []


@pytest.mark.parametrize(
    ("words", "listing"),
    [
        (("stop", "none"), "containers"),
        (("remove", "none"), "containers"),
        (("logs", "none"), "containers"),
        (("remove-volume", "none"), "volumes"),
        (("start", "web", "--image", "none:v1"), "images"),
        (("remove-image", "none:v1"), "images"),
    ],
)
def test_what_is_not_there_leads_to_what_is(
    words: tuple[str, ...], listing: str, command: Run, chassis_of_test: holdfast.Emulator
) -> None:
    done = command(*words, address=chassis_of_test.address)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == f"try: `holdfast {listing}` shows what is there"
    assert command(listing, address=chassis_of_test.address).returncode == 0


def test_ports_are_in_dockers_order_and_the_other_is_refused_where_it_is_seen(
    command: Run, chassis_of_test: holdfast.Emulator, archive: Path
) -> None:
    with holdfast.connect(chassis_of_test.address, insecure=True) as dut:
        dut.containerz.deploy(archive, retag="app:v1")
        started = command("start", "web", "--image", "app:v1", "--port", "7007:60061", address=chassis_of_test.address)
        assert started.returncode == 0, started.stderr
        assert dut.ping_container(7007).year >= 2026
    for port, says in (("60061:7007", "OUTSIDE:INSIDE, as with docker"), ("x:1", "numbers"), ("80", "OUTSIDE:INSIDE")):
        refused = command("start", "app", "--image", "app:v1", "--port", port, address=chassis_of_test.address)
        assert refused.returncode == 2
        assert says in " ".join(refused.stderr.split())
    assert "7007:60061" in command("start", "a", "--image", "a:v1", "--port", "60061:7007").stderr


def test_help_lists_commands_by_what_they_are_for(command: Run) -> None:
    shown = command("--help").stdout
    headings = [line.rstrip(":") for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "Options",
        "Suites and their reports",
        "One operation on a device",
        "gNMI, of one device or several",
        "A device's state",
        "Emulated devices and faults",
        "Archives",
        "Storage providers",
    ]
    for variable in ("HOLDFAST_PASSWORD", "HOLDFAST_KEY_PASSWORD", "HOLDFAST_FAILPOINTS", "HOLDFAST_QUIRKS"):
        assert variable in shown
    from holdfast.cli import main

    assert sorted(name for names in main.headings.values() for name in names) == sorted(main.commands)


def test_every_option_of_every_command_has_a_line_of_help() -> None:
    from holdfast.cli import main

    silent = []
    waiting: list[tuple[str, click.Command]] = list(main.commands.items())
    for name, found in waiting:
        waiting += [(f"{name} {below}", it) for below, it in getattr(found, "commands", {}).items()]
        options = [option for option in found.params if isinstance(option, click.Option) and not option.hidden]
        silent += [f"{name} {option.opts[-1]}" for option in options if not option.help]
    assert silent == []


def test_a_bad_testbed_image_and_authority_are_usage_alike(command: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("devices: 17")
    (tmp_path / "junk.tar").write_text("junk\n")
    absent = str(tmp_path / "absent")
    for words in (
        ("--testbed", str(tmp_path / "bad.yaml"), "roles"),
        ("--testbed", absent, "roles"),
        ("image", "show", str(tmp_path / "junk.tar")),
        ("image", "show", absent),
        ("--dut", "127.0.0.1:1", "--dut-ca", absent, "roles"),
    ):
        done = command(*words)
        assert done.returncode == 2, (words, done.stderr)
        assert "Traceback" not in done.stderr


def test_times_in_json_are_as_iso_8601_has_them(command: Run, chassis_of_test: holdfast.Emulator) -> None:
    moved = json.loads(command("--json", "switchover", "--yes", address=chassis_of_test.address).stdout)
    assert "T" in moved["timeline"][0]["time"]
    with holdfast.connect(chassis_of_test.address, insecure=True) as dut:
        dut.containerz.create_volume("data")
    (volume,) = json.loads(command("--json", "volumes", address=chassis_of_test.address).stdout)
    assert datetime.fromisoformat(volume["created"]).tzinfo is not None
    assert "T" in volume["created"]


def test_json_is_for_programs(command: Run, chassis_of_test: holdfast.Emulator) -> None:
    roles = json.loads(command("--json", "roles", address=chassis_of_test.address).stdout)
    assert {role["name"]: role["role"] for role in roles} == {"Supervisor1": "PRIMARY", "Supervisor2": "SECONDARY"}


@pytest.mark.parametrize("words", [("switchover",), ("reboot",)])
def test_what_disrupts_wants_a_yes(words: tuple[str, ...], command: Run, chassis_of_test: holdfast.Emulator) -> None:
    done = command(*words, address=chassis_of_test.address)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert chassis_of_test.active == "Supervisor1"


def test_exit_codes_tell_who_said_no(command: Run, chassis_of_test: holdfast.Emulator, tmp_path: Path) -> None:
    refused = command("remove-image", "absent:v1", address=chassis_of_test.address)
    assert refused.returncode == 1
    assert "NOT_FOUND" in refused.stderr
    assert "try: `holdfast images` shows what is there" in refused.stderr
    unreachable = command("roles", address=f"127.0.0.1:{free_port()}")
    assert unreachable.returncode == 3
    assert "try:" in unreachable.stderr
    assert command("roles").returncode == 2
    assert command("no-such-command").returncode == 2
    contradiction = command("--dut-ca", "x", "roles", address="127.0.0.1:1")
    assert contradiction.returncode == 2
    assert "--dut-insecure" in contradiction.stderr
    for option in ("--dut-password-file", "--dut-key-password-file"):
        absent = command("--dut", "127.0.0.1:1", option, str(tmp_path / "absent"), "roles")
        assert absent.returncode == 2
        assert option in absent.stderr
        assert "does not exist" in absent.stderr


def test_files_are_told_of_and_fetched(command: Run, chassis_of_test: holdfast.Emulator, tmp_path: Path) -> None:
    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return command(*words, address=chassis_of_test.address)

    told = ask("files", "stat", "/var/log").stdout
    assert told.split()[:4] == ["PATH", "BYTES", "PERMISSIONS", "WRITTEN"]
    assert "/var/log/messages" in told
    (row,) = json.loads(ask("--json", "files", "stat", "/var/log/messages").stdout)
    assert (row["path"], row["permissions"]) == ("/var/log/messages", 644)
    assert datetime.fromisoformat(row["last_modified"]).tzinfo is not None
    to = str(tmp_path / "log")
    assert "it is as SHA256 says" in ask("files", "get", "/var/log/messages", "-o", to).stdout
    assert json.loads(ask("files", "get", "/var/log/messages", "-o", to, "--json").stdout)["verified"] is True
    absent = ask("files", "get", "/var/image", "-o", to)
    assert absent.returncode == 1
    assert "NOT_FOUND" in absent.stderr
    assert "holdfast images" not in absent.stderr
    assert ask("files", "get", "log", "-o", to).returncode == 2
    assert ask("files", "get", "/var/log/messages", "-o", str(tmp_path / "no" / "log")).returncode == 2
    assert ask("files", "get", "/var/log/messages", "-o", to, "--limit", "1").returncode == 1
    hash_of_another = '{"hash": {"method": "SHA256", "hash": "AAAA"}}'
    with chassis_of_test.failpoint("file.Get.piece", f"1*off->1*return{hash_of_another}"):
        assert ask("files", "get", "/var/log/messages", "-o", to).returncode == 1
    with chassis_of_test.failpoint("file.Get.piece", f"1*off->1*return{hash_of_another}"):
        kept = ask("files", "get", "/var/log/messages", "-o", to, "--unchecked")
    assert (kept.returncode, "IT IS NOT WHAT THE DEVICE SAYS OF IT" in kept.stdout) == (0, True)


def test_the_health_of_components_is_told_of(command: Run, chassis_of_test: holdfast.Emulator, tmp_path: Path) -> None:
    def ok(*words: str) -> str:
        done = command(*words, address=chassis_of_test.address)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "HEALTHY" in ok("healthz", "get", "Supervisor1")
    assert ok("healthz", "list", "Supervisor1").splitlines() == ["COMPONENT  STATUS  CREATED  EVENT  ARTIFACTS"]
    event = json.loads(ok("--json", "healthz", "check", "Supervisor1"))
    more = json.loads(ok("healthz", "check", "Supervisor1", "--event", event["id"], "--json"))
    assert [artifact["id"] for artifact in more["artifacts"]] == [f"{event['id']}/1", f"{event['id']}/2"]
    assert event["id"] in ok("healthz", "list", "/components/component[name=Supervisor1]")
    (listed,) = json.loads(ok("--json", "healthz", "list", "Supervisor1", "--acknowledged"))
    assert listed["id"] == event["id"]
    to = str(tmp_path / "check.txt")
    assert "check.txt -> " in ok("healthz", "artifact", f"{event['id']}/1", "-o", to)
    assert "EMULATED" in (tmp_path / "check.txt").read_text()
    for words in (("get", "none"), ("artifact", "none", "-o", to)):
        assert command("healthz", *words, address=chassis_of_test.address).returncode == 1
    assert command("healthz", "get", "A", address="127.0.0.1:1").returncode == 3


def test_failpoints_and_quirks_are_listed(command: Run) -> None:
    assert "switchover.ignored" in command("failpoints").stdout
    assert "joined-image-rows" in command("quirks").stdout


def test_a_platform_that_is_not_there_says_how_to_get_it(command: Run, tmp_path: Path) -> None:
    done = command("image", "cntrsrv", "-o", str(tmp_path / "c.tar"), "--platform", "linux/riscv64")
    assert done.returncode == 2
    assert "linux/arm64" in done.stderr


def test_run_is_the_suite_without_the_magic(command: Run) -> None:
    done = command("run", "cntr3", "-k", "cntr3_1", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_static_cntrsrv_runs_and_ends_at_sigterm(device: holdfast.Device) -> None:
    from holdfast import _core, cntrsrv

    executable = cntrsrv.executable(_core.own_platform())
    kind = subprocess.run(["file", "-b", str(executable)], capture_output=True, text=True, check=False)
    if kind.returncode == 0:
        assert "statically linked" in kind.stdout or "static-pie" in kind.stdout
    port = free_port()
    process = subprocess.Popen([str(executable), "--port", str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "listening" in process.stdout.readline()
    assert device.ping_container(port, host="127.0.0.1").year >= 2026
    process.terminate()
    assert process.wait(timeout=5) == 0
    process.stdout.close()
    assert subprocess.run([str(executable), "--port", "x"], capture_output=True, check=False).returncode == 2


@pytest.mark.parametrize("suite", ["cntr2", "cntr3"])
def test_run_is_the_suite_with_its_header_and_its_summary(suite: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "holdfast.cli", "run", suite, "-k", f"{suite}_1", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=tmp_path, env=isolated(tmp_path, {}), capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "EMULATED dual-supervisor device" in done.stdout
    assert f"CNTR-{suite[-1]}.1   pass" in done.stdout
