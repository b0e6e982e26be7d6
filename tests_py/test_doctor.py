"""`holdfast doctor`: each way in which a device is unfit is recognised, and answered with what to do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import journal
from holdfast.doctor import Finding, examine
from holdfast.exceptions import HoldfastError

from peers import command, saying


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def unfit(address: str, **options: Any) -> list[Finding]:
    options = options or {"insecure": True}
    return [
        found for found in examine(lambda: holdfast.connect(address, dial_timeout=2, **options)) if found.fit is False
    ]


def test_a_device_that_is_fit(chassis_of_test: holdfast.Emulator) -> None:
    findings = list(examine(lambda: holdfast.connect(chassis_of_test.address, insecure=True)))
    assert [found.what for found in findings if found.fit is None] == ["room for an image"]
    assert all(found.fit is not False for found in findings)
    assert len(findings) == 10
    assert findings[-1].seen == "CNTR-1, CNTR-2, CNTR-3 and midway can run"


@pytest.mark.parametrize(
    ("failpoint", "what", "words"),
    [
        ("roles.none=error(x)", "two control processors, one primary", "two supervisors that gNMI shows"),
        ("roles.single=error(x)", "two control processors, one primary", "insert the second supervisor"),
        ("roles.two_primaries=error(x)", "two control processors, one primary", "believe to be in charge"),
        ("gnmi.Capabilities=error[UNAUTHENTICATED](x)", "logs in", "HOLDFAST_PASSWORD"),
        ("containerz.ListImage=error[UNIMPLEMENTED](x)", "gNOI Containerz", "does not serve this RPC"),
        ("containerz.ListImage=error[PERMISSION_DENIED](x)", "gNOI Containerz", "give it the right"),
        ("system.Time=error[UNIMPLEMENTED](x)", "gNOI System, and its clock", "does not serve this RPC"),
        ('system.Time=return{"time": 1000000000}', "gNOI System, and its clock", "set the device's clock"),
    ],
)
def test_what_a_device_lacks(chassis_of_test: holdfast.Emulator, failpoint: str, what: str, words: str) -> None:
    name, _, terms = failpoint.partition("=")
    with chassis_of_test.failpoint(name, terms):
        found = next(found for found in unfit(chassis_of_test.address) if found.what == what)
    assert words in str(found.hint)


@pytest.mark.parametrize(
    ("failpoint", "says"),
    [
        ("roles.single", "CNTR-1 and CNTR-2 can run; CNTR-3 and midway cannot: Supervisor1 PRIMARY"),
        ("roles.none", "CNTR-1 and CNTR-2 can run; CNTR-3 and midway cannot: no control processor"),
        ("containerz.ListImage", "none can run: all of them need gNOI Containerz 0.2"),
    ],
)
def test_which_suites_can_run(chassis_of_test: holdfast.Emulator, failpoint: str, says: str) -> None:
    with chassis_of_test.failpoint(failpoint, "error[UNIMPLEMENTED](x)"):
        findings = list(examine(lambda: holdfast.connect(chassis_of_test.address, insecure=True)))
    assert findings[-1].what == "suites"
    assert says in findings[-1].seen


def test_a_standby_that_is_not_ready() -> None:
    with holdfast.emulator(boot=30) as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        dut.switchover()
        assert "wait until the standby" in str(unfit(chassis.address)[-1].hint)


def test_things_of_an_earlier_run(chassis_of_test: holdfast.Emulator, device: holdfast.Device) -> None:
    labels = {"holdfast.run": "abc123", "holdfast.machine": journal.machine()}
    device.containerz.create_volume("holdfast-abc123-volume", labels=labels)
    device.expect_redundant("Supervisor1")
    (found,) = unfit(chassis_of_test.address)
    assert "holdfast-abc123-volume" in found.seen
    assert "clean --yes" in str(found.hint)


def test_what_only_looks_like_a_runs_is_told_and_makes_nothing_unfit(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device
) -> None:
    device.containerz.create_volume("holdfast-db")
    device.expect_redundant("Supervisor1")
    looks = examine(lambda: holdfast.connect(chassis_of_test.address, insecure=True))
    (found,) = [found for found in looks if found.what == "nothing of an earlier run"]
    assert found.fit
    assert "left alone: volume holdfast-db" in found.seen


def test_what_cannot_be_reached() -> None:
    for address, words in (("no-such-host.invalid", "check the name"), ("127.0.0.1:1", "is the device up")):
        (found,) = unfit(address)
        assert found.what == "reachable"
        assert words in str(found.hint)
    with saying(lambda client: client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as address:
        assert "check the port" in str(unfit(address)[0].hint)


def test_what_is_wrong_with_its_tls(chassis_of_test: holdfast.Emulator) -> None:
    assert "--dut-insecure" in str(unfit(chassis_of_test.address, tls=True)[0].hint)
    for quirk, words in (("certificate-expired", "renew it"), ("certificate-for-another-name", "--dut-server-name")):
        with holdfast.emulator(tls=True, quirks=[quirk]) as chassis:
            assert words in str(unfit(chassis.address, tls=chassis.tls)[0].hint)
    with holdfast.emulator(tls="mutual") as chassis:
        assert "leave --dut-insecure out" in str(unfit(chassis.address)[0].hint)
        assert "--dut-ca" in str(unfit(chassis.address, tls=True)[0].hint)
        assert "--dut-cert" in str(unfit(chassis.address, tls=holdfast.Tls(skip_verify=True))[0].hint)


def test_an_error_of_its_own_is_told_once() -> None:
    def reach() -> holdfast.Device:
        raise HoldfastError("no", hint="yes")

    assert list(examine(reach)) == [Finding("reachable", False, "no", "yes")]


def test_the_command(tmp_path: Path, chassis_of_test: holdfast.Emulator) -> None:
    def doctor(*options: str) -> subprocess.CompletedProcess[str]:
        return command(tmp_path, *options, "doctor")

    fit = doctor("--dut", chassis_of_test.address, "--dut-insecure")
    assert fit.returncode == 0, fit.stdout + fit.stderr
    assert "UNFIT" not in fit.stdout
    with chassis_of_test.failpoint("roles.single", "error(x)"):
        unfit = doctor("--json", "--dut", chassis_of_test.address, "--dut-insecure")
    assert unfit.returncode == 1
    assert any(found["fit"] is False for found in json.loads(unfit.stdout))
    assert doctor("--dut", "127.0.0.1:1", "--dut-insecure").returncode == 3
    assert doctor().returncode == 2


@pytest.mark.parametrize("words", [("images",), ("deploy-remote", "https://lab.example/app.tar", "app:v1")])
def test_a_command_names_what_a_vendors_device_wants_configured_first(words: tuple[str, ...], tmp_path: Path) -> None:
    with holdfast.emulator(profile="cisco-iosxr") as chassis:
        said = command(tmp_path, "--dut", chassis.address, "--dut-insecure", *words)
    assert said.returncode == 1
    assert "UNIMPLEMENTED" in said.stderr
    assert "try: profile cisco-iosxr would configure: the application manager's Docker" in said.stderr


@pytest.mark.parametrize(("quirk", "words"), [("containerz-needs-cli", "images"), ("log-unimplemented", "logs x")])
def test_a_command_names_nothing_where_nothing_is_known_or_to_be_configured(
    quirk: str, words: str, tmp_path: Path
) -> None:
    with holdfast.emulator(quirks=[quirk]) as chassis:
        said = command(tmp_path, "--dut", chassis.address, "--dut-insecure", *words.split())
    assert "UNIMPLEMENTED" in said.stderr
    assert "would configure" not in said.stderr


def test_what_a_vendors_device_wants_configured_first_is_named() -> None:
    with holdfast.emulator(profile="cisco-iosxr") as chassis:
        found = {finding.what: finding for finding in unfit(chassis.address)}
    hint = str(found["services"].hint)
    assert "profile cisco-iosxr would configure: the application manager's Docker" in hint
    assert "--dut-configure" in hint
    assert "appmgr docker vrf mgmt docker allow-sensitive-paths" in hint
