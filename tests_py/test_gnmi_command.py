"""`holdfast get`, `set`, `subscribe` and `capabilities`: formats, several devices, `--debug`, a password's prompt."""

from __future__ import annotations

import base64
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

import holdfast
from holdfast import waiting

import peers
from conftest import isolated
from test_bad_input import free_port

Run = Callable[..., subprocess.CompletedProcess[str]]
LIMIT = 60
HOSTNAME = "/system/config/hostname"
CLOCK = "/system/state/current-datetime"
BOOT = "/system/state/boot-time"
# What no output may have in it.
PASSWORD = "hunter2-of-the-lab"


@pytest.fixture
def command(tmp_path: Path) -> Run:
    """Run `holdfast …`."""

    def run(*words: str, told: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return peers.command(tmp_path, *words, told=told, **environment)

    return run


@pytest.fixture
def dut(chassis_of_test: holdfast.Emulator) -> tuple[str, ...]:
    return ("--dut", chassis_of_test.address, "--dut-insecure")


@contextmanager
def lab(tmp_path: Path, **more: str) -> Iterator[tuple[Path, list[holdfast.Emulator]]]:
    """A testbed of two devices, A and B, and of those that are given with their addresses."""
    with holdfast.emulator() as first, holdfast.emulator(names=("X", "Y")) as second:
        devices = {"A": first.address, "B": second.address, **more}
        file = tmp_path / "lab.yaml"
        listed = {name: {"address": address, "insecure": True} for name, address in devices.items()}
        file.write_text(yaml.safe_dump({"devices": listed}, sort_keys=False))
        yield file, [first, second]


def test_get_in_each_format(command: Run, dut: tuple[str, ...]) -> None:
    flat = command(*dut, "get", HOSTNAME, BOOT)
    assert flat.returncode == 0, flat.stderr
    hostname, boot = flat.stdout.splitlines()
    assert hostname == f'{HOSTNAME}: "emulated"'
    assert boot.startswith(f"{BOOT}: ")
    as_json = json.loads(command(*dut, "get", HOSTNAME, "--format", "json").stdout)
    assert as_json == json.loads(command(*dut, "--json", "get", HOSTNAME).stdout) | {"leaves": as_json["leaves"]}
    leaf = as_json["leaves"][0]
    assert (leaf["path"], leaf["value"], as_json["extensions"]) == (HOSTNAME, "emulated", [])
    assert leaf["timestamp"] > 0
    assert "T" in leaf["time"]
    as_yaml = yaml.safe_load(command(*dut, "get", HOSTNAME, "--format", "yaml").stdout)
    assert as_yaml["leaves"][0]["value"] == "emulated"
    assert command(*dut, "--json", "get", HOSTNAME, "--format", "yaml").returncode == 2


def test_get_as_it_is_asked(command: Run, dut: tuple[str, ...]) -> None:
    asked = ("--type", "state", "--prefix", "/system/state", "--target", "r7", "--encoding", "json_ietf")
    done = command(*dut, "get", "boot-time", *asked, "--extension", "999=0a0b", "--format", "json")
    answer = json.loads(done.stdout)
    assert (answer["leaves"][0]["path"], answer["leaves"][0]["target"]) == (BOOT, "r7")
    assert isinstance(answer["leaves"][0]["value"], str), "JSON_IETF has 64-bit numbers as texts"
    assert answer["extensions"][0]["registered_ext"]["id"] in (999, "EID_EXPERIMENTAL")
    refused = command(*dut, "get", BOOT, "--origin", "eos_native")
    assert refused.returncode == 1
    assert "INVALID_ARGUMENT" in refused.stderr
    assert "origin eos_native is not supported" in refused.stderr
    depth = command(*dut, "get", BOOT, "--extension", '{"depth": {"level": 1}}')
    assert depth.returncode == 1
    assert "UNIMPLEMENTED" in depth.stderr
    assert "extensions" in depth.stderr.splitlines()[-1]
    for wrong in ("999", "x=00", "999=zz", "{"):
        assert command(*dut, "get", BOOT, "--extension", wrong).returncode == 2, wrong


def test_set_and_what_it_changed(command: Run, dut: tuple[str, ...], tmp_path: Path) -> None:
    done = command(*dut, "set", "--update", f"{HOSTNAME}=r7", "--delete", "/system/config/motd-banner", "--compare")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "DELETE /system/config/motd-banner",
        f"UPDATE {HOSTNAME}",
        f'- {HOSTNAME}: "emulated"',
        f'+ {HOSTNAME}: "r7"',
    ]
    same = command(*dut, "set", "--update", f"{HOSTNAME}=r7", "--compare")
    assert same.stdout.splitlines()[-1] == "nothing changed"
    (tmp_path / "ntp.yaml").write_text("enabled: true\n")
    told = command(*dut, "set", "--replace", f"/system/ntp/config=@{tmp_path}/ntp.yaml", "--format", "json")
    answer = json.loads(told.stdout)
    assert answer["operations"] == [{"op": "REPLACE", "path": "/system/ntp/config"}]
    assert (answer["changes"], answer["timestamp"] > 0) == (None, True)
    keyed = command(*dut, "set", "--update", '/a/b[name=x=y]/config={"n": 1}', "--format", "yaml", "--compare")
    assert yaml.safe_load(keyed.stdout)["changes"] == [{"path": "/a/b[name=x=y]/config/n", "before": None, "after": 1}]
    union = command(*dut, "set", "--union-replace", f"{HOSTNAME}=all")
    assert union.stdout == f"UNION_REPLACE {HOSTNAME}\n"
    lines = command(*dut, "set", "--update", "cli:/=@-", told="write memory\n")
    assert lines.returncode == 0, lines.stderr
    assert command(*dut, "get", "/a").returncode == 1, "the union had none of it"


def test_a_set_that_makes_no_sense(command: Run, dut: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(f'{{"password": "{PASSWORD}"')
    for words in ((), ("--update", HOSTNAME), ("--update", "/a[b=c"), ("--update", f"{HOSTNAME}=@{tmp_path}/bad.json"),
                  ("--update", f"{HOSTNAME}=@{tmp_path}/none.json")):  # fmt: skip
        done = command(*dut, "set", *words)
        assert done.returncode == 2, (words, done.stderr)
        assert PASSWORD not in done.stderr


def test_subscribe_in_each_way(command: Run, dut: tuple[str, ...]) -> None:
    once = command(*dut, "subscribe", HOSTNAME, "--once")
    assert once.stdout == f'{HOSTNAME}: "emulated"\n'
    extended = command(*dut, "subscribe", HOSTNAME, "--once", "--extension", "999=00")
    assert extended.stdout.splitlines()[1].startswith("extension: "), extended.stderr
    streamed = command(
        *dut, "--json", "subscribe", "--on-change", HOSTNAME, "--sample", "0.02", CLOCK, "--suppress-redundant",
        "--count", "8",
    )  # fmt: skip
    assert streamed.returncode == 0, streamed.stderr
    told = [json.loads(line) for line in streamed.stdout.splitlines()]
    paths = [each.get("path") for each in told]
    assert (paths.count(HOSTNAME), paths.count(CLOCK), told[2]) == (1, 6, {"synced": True})
    beating = command(*dut, "subscribe", BOOT, "--mode", "on_change", "--heartbeat", "0.02", "--count", "4")
    assert len(set(beating.stdout.splitlines())) == 1
    assert beating.stdout.count(BOOT) == 3, "the fourth said that all was told"
    only = command(*dut, "subscribe", CLOCK, "--mode", "SAMPLE", "--interval", "0.02", "--updates-only", "--count", "2",
                   "--format", "yaml")  # fmt: skip
    first, second = yaml.safe_load_all(only.stdout)
    assert first == {"synced": True}
    assert second["path"] == CLOCK
    polled = command(*dut, "subscribe", HOSTNAME, "--poll", told="\n\n")
    assert polled.stdout.splitlines() == [f'{HOSTNAME}: "emulated"'] * 3


@pytest.mark.parametrize(
    "words",
    [(), (BOOT, "--interval", "1"), (BOOT, "--suppress-redundant"), (BOOT, "--once", "--poll"), (BOOT, "--count", "0")],
)
def test_a_subscription_that_makes_no_sense(words: tuple[str, ...], command: Run, dut: tuple[str, ...]) -> None:
    assert command(*dut, "subscribe", *words).returncode == 2


@pytest.mark.parametrize("option", ["--interval", "--heartbeat", "--sample"])
@pytest.mark.parametrize("given", ["-1", "x", "nan", "inf", "1e300"])
def test_an_interval_that_is_none_is_told_by_its_option(
    option: str, given: str, command: Run, dut: tuple[str, ...]
) -> None:
    done = command(*dut, "subscribe", *(() if option == "--sample" else ("--mode", "SAMPLE")), option, given, BOOT)
    assert done.returncode == 2
    assert f"Invalid value for '{option}': " in done.stderr


def test_capabilities(command: Run, dut: tuple[str, ...]) -> None:
    assert "encoding JSON_IETF" in command(*dut, "capabilities").stdout.splitlines()
    answer = json.loads(command(*dut, "capabilities", "--format", "json").stdout)
    assert "PROTO" in answer["encodings"]
    assert answer["models"][0]["name"] == "openconfig-platform"


def test_several_devices_answer_under_their_names(command: Run, tmp_path: Path) -> None:
    with lab(tmp_path) as (file, _):
        bed = ("--testbed", str(file))
        every = command(*bed, "get", HOSTNAME)
        assert every.stdout.splitlines() == [f'A: {HOSTNAME}: "emulated"', f'B: {HOSTNAME}: "emulated"']
        named = json.loads(command(*bed, "--device", "B,A", "get", HOSTNAME, "--format", "json").stdout)
        assert list(named) == ["B", "A"], "in the order in which they were named"
        assert named["B"]["leaves"][0]["value"] == "emulated"
        one = json.loads(command(*bed, "--device", "B", "get", "/components/component[name=X]/state/name",
                                 "--format", "json").stdout)  # fmt: skip
        assert one["B"]["leaves"][0]["value"] == "X"
        unknown = command(*bed, "--device", "A,C", "get", HOSTNAME)
        assert unknown.returncode == 2
        assert "--device C" in unknown.stderr
        followed = command(*bed, "--json", "subscribe", HOSTNAME, "--count", "1")
        assert {json.loads(line)["device"] for line in followed.stdout.splitlines()} == {"A", "B"}


def test_what_changes_several_devices_wants_their_names(command: Run, tmp_path: Path) -> None:
    with lab(tmp_path) as (file, chassis):
        bed = ("--testbed", str(file))
        refused = command(*bed, "set", "--update", f"{HOSTNAME}=x")
        assert refused.returncode == 2
        assert "--device all" in refused.stderr
        done = command(*bed, "--device", "all", "set", "--update", f"{HOSTNAME}=x")
        assert done.stdout.splitlines() == [f"A: UPDATE {HOSTNAME}", f"B: UPDATE {HOSTNAME}"]
        for each in chassis:
            with holdfast.connect(each.address, insecure=True) as dut:
                assert dut.gnmi.get(HOSTNAME)[0].value == "x"


def test_one_that_fails_hides_no_other_and_the_exit_code_says_it(command: Run, tmp_path: Path) -> None:
    with lab(tmp_path, C=f"127.0.0.1:{free_port()}") as (file, chassis):
        bed = ("--testbed", str(file))
        done = command(*bed, "get", HOSTNAME, "--format", "json")
        assert done.returncode == 3, "C is not reached"
        answer = json.loads(done.stdout)
        assert [answer[name]["leaves"][0]["value"] for name in ("A", "B")] == ["emulated"] * 2
        assert answer["C"]["error"]["kind"] == "Unreachable"
        assert "holdfast: C: " in done.stderr
        with chassis[0].failpoint("gnmi.Get", "error[PERMISSION_DENIED](not you\x1b[2J)"):
            refused = command(*bed, "--device", "A,B", "get", HOSTNAME)
        assert refused.returncode == 1
        assert refused.stdout.splitlines() == [f'B: {HOSTNAME}: "emulated"']
        assert "holdfast: A: " in refused.stderr
        assert "\x1b" not in refused.stderr
        followed = command(*bed, "subscribe", HOSTNAME, "--count", "1")
        assert followed.returncode == 3
        assert sorted(followed.stdout.splitlines()) == [f'A: {HOSTNAME}: "emulated"', f'B: {HOSTNAME}: "emulated"']


@pytest.mark.parametrize("devices", ["A", "A,B"])
def test_ctrl_c_ends_what_is_followed(devices: str, tmp_path: Path) -> None:
    with lab(tmp_path) as (file, _):
        words = ("--testbed", str(file), "--device", devices, "subscribe", HOSTNAME)
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [sys.executable, "-m", "holdfast.cli", *words], stdout=pipe, stderr=pipe, text=True,
            env=isolated(tmp_path, {}),
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert all("emulated" in process.stdout.readline() for _ in devices.split(","))
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=LIMIT)
            assert process.returncode == 130, errors
            assert errors == ""


def test_what_a_device_says_does_nothing_to_a_terminal(command: Run, dut: tuple[str, ...]) -> None:
    hostile = "x\x1b[2J\u202e\ny"
    update = f"/system/config/x[name=a\x1b]/{'b'}={json.dumps(hostile)}"
    assert command(*dut, "set", "--update", update).returncode == 0
    for words in (("--format", "flat"), ("--format", "json"), ("--format", "yaml"), ("--debug",)):
        done = command(*dut, "get", "/system/config", *words)
        assert done.returncode == 0, done.stderr
        for character in "\x1b\u202e":
            assert character not in done.stdout + done.stderr, words


def test_debug_shows_each_rpc_and_no_secret(command: Run, tmp_path: Path) -> None:
    with holdfast.emulator(users={"ann": PASSWORD}) as chassis:
        told = ("--dut", chassis.address, "--dut-insecure", "--dut-username", "ann", "--dut-token", PASSWORD,
                "--dut-metadata", f"x-lab={PASSWORD}", "--debug")  # fmt: skip
        tree = json.dumps({"username": "bob", "password": PASSWORD, "nested": [{"secret-key": PASSWORD}]})
        done = command(
            *told, "set", "--update", f"/system/aaa/user={tree}", "--update", f"/snmp/community={PASSWORD}",
            "--update", f"cli:/=username bob secret {PASSWORD}", "--update", f"/system/config/motd=hi {PASSWORD}!",
            "--update", f"/system/config/note=aGk6{base64.b64encode(PASSWORD.encode()).decode()}",
            HOLDFAST_PASSWORD=PASSWORD,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        shown = done.stderr
        assert PASSWORD not in shown + done.stdout
        assert "motd" in shown, "told, without what is secret in it"
        assert base64.b64encode(PASSWORD.encode()).decode() not in shown
        for word in ("/gnmi.gNMI/Set", "-> SetRequest", "<- SetResponse", "ended: OK", "bob", "password", "x-lab",
                     "authorization", "(hidden)"):  # fmt: skip
            assert word in shown, (word, shown)
        refused = command(*told, "get", "/none", HOLDFAST_PASSWORD="wrong")
        assert "ended: UNAUTHENTICATED" in refused.stderr
        quiet = command(*[word for word in told if word != "--debug"], "get", HOSTNAME, HOLDFAST_PASSWORD=PASSWORD)
        assert (quiet.returncode, quiet.stderr) == (0, "")


@contextmanager
def terminal(tmp_path: Path, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], int, bytearray]]:
    """`holdfast …` on a terminal of its own: the process, where to type, and what was shown so far."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast.cli", *words],
        stdin=theirs, stdout=theirs, stderr=theirs, env=isolated(tmp_path, {}), start_new_session=True,
    )  # fmt: skip
    try:
        yield process, ours, bytearray()
    finally:
        process.kill()
        process.wait(LIMIT)
        os.close(ours)
        os.close(theirs)


def read(ours: int, shown: bytearray) -> bytearray:
    """What is shown on a terminal now, and was before."""
    while select.select([ours], [], [], 0.01)[0]:
        shown += os.read(ours, 4096)
    return shown


def test_a_password_is_asked_for_on_a_terminal_and_never_echoed(tmp_path: Path) -> None:
    with holdfast.emulator(users={"ann": PASSWORD}) as chassis:
        words = ("--dut", chassis.address, "--dut-insecure", "--dut-username", "ann", "get", HOSTNAME)
        with terminal(tmp_path, *words) as (process, ours, shown):
            assert waiting.until(lambda: b"Password of ann on " in read(ours, shown), LIMIT), shown
            # Whoever asks turns the echo off before the prompt is shown.
            assert not termios.tcgetattr(ours)[3] & termios.ECHO
            os.write(ours, PASSWORD.encode() + b"\n")
            assert waiting.until(lambda: b"emulated" in read(ours, shown), LIMIT), shown
            assert process.wait(LIMIT) == 0
            assert PASSWORD.encode() not in read(ours, shown)


def test_each_device_of_a_testbed_asks_for_its_own(tmp_path: Path) -> None:
    with holdfast.emulator(users={"ann": PASSWORD}) as one, holdfast.emulator(users={"bob": "other"}) as two:
        devices = {
            "A": {"address": one.address, "insecure": True, "username": "ann"},
            "B": {"address": two.address, "insecure": True, "username": "bob"},
        }
        (tmp_path / "lab.yaml").write_text(yaml.safe_dump({"devices": devices}))
        with terminal(tmp_path, "--testbed", str(tmp_path / "lab.yaml"), "get", HOSTNAME) as (process, ours, shown):
            for prompt, password in ((b"Password of ann on A", PASSWORD), (b"Password of bob on B", "other")):
                assert waiting.until(lambda wanted=prompt: wanted in read(ours, shown), LIMIT), shown
                os.write(ours, password.encode() + b"\n")
            assert waiting.until(lambda: b"B: " in read(ours, shown), LIMIT), shown
            assert process.wait(LIMIT) == 0


def test_nobody_is_asked_where_standard_input_is_no_terminal(command: Run) -> None:
    with holdfast.emulator(users={"ann": PASSWORD}) as chassis:
        words: tuple[Any, ...] = ("--dut", chassis.address, "--dut-insecure", "--dut-username", "ann", "get", HOSTNAME)
        done = command(*words, told=f"{PASSWORD}\n")
        assert done.returncode == 1
        assert "UNAUTHENTICATED" in done.stderr
        assert "Password" not in done.stderr + done.stdout
