"""A device that serves less than all: what needs a service that is not there is not checked, and the rest runs."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_quirks import OWN, QUICK

import holdfast
from holdfast import profiles, services
from holdfast.doctor import Finding, examine
from holdfast.exceptions import Internal, InvalidArgument, Unauthenticated, Unimplemented
from holdfast.services import CONTAINERZ, GNMI, SYSTEM

import peers
from conftest import RunSuite, emulate
from seeds import LESS, NOTHING

ALONE = "containerz-alone"


@pytest.fixture
def alone() -> Iterator[holdfast.Device]:
    with holdfast.emulator(quirks=[ALONE]) as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        yield dut


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The files of a folder, by HTTP."""
    handler = functools.partial(Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Silent(http.server.SimpleHTTPRequestHandler):
    """It says nothing of what it serves."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


def findings(address: str) -> dict[str, Finding]:
    return {found.what: found for found in examine(lambda: holdfast.connect(address, insecure=True, dial_timeout=2))}


def test_what_cntr3_cannot_run_on_is_drawn_apart() -> None:
    assert {*LESS, *NOTHING} == OWN


def test_services_are_told_apart(device: holdfast.Device, alone: holdfast.Device) -> None:
    assert services.of(device).there == (GNMI, SYSTEM, CONTAINERZ)
    found = services.of(alone)
    assert found.there == (CONTAINERZ,)
    assert found.lack(CONTAINERZ) == ""
    assert found.lack(GNMI, CONTAINERZ) == "the device does not serve gNMI"
    assert "UNIMPLEMENTED" in found.absent[SYSTEM]


@pytest.mark.parametrize(
    ("failpoint", "absent"),
    [
        ("gnmi.Capabilities=error[UNIMPLEMENTED](x)", ""),
        ("system.Time=error[UNIMPLEMENTED](x)", ""),
        ("system.RebootStatus=error[UNIMPLEMENTED](x)", ""),
        ("containerz.ListVolume=error[UNIMPLEMENTED](x)", ""),
        ("containerz.ListVolume=error[INTERNAL](x)", ""),
        ("system.Time=error[PERMISSION_DENIED](x)\nsystem.RebootStatus=error[UNIMPLEMENTED](x)", ""),
        ("system.Time=error[UNIMPLEMENTED](x)\nsystem.RebootStatus=error[UNIMPLEMENTED](x)", SYSTEM),
    ],
)
def test_a_service_is_absent_only_where_none_of_its_rpcs_is_there(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device, failpoint: str, absent: str
) -> None:
    for line in failpoint.splitlines():
        chassis_of_test.arm(*line.split("=", 1))
    assert list(services.of(device).absent) == ([absent] if absent else [])


def test_who_is_not_let_in_learns_of_no_service() -> None:
    with (
        holdfast.emulator(quirks=[ALONE], users={"anna": "geheim"}) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
        pytest.raises(Unauthenticated),
    ):
        services.of(dut)


def test_the_doctor_says_what_there_is_and_what_runs(alone: holdfast.Device) -> None:
    found = findings(alone.address)
    assert [each.what for each in found.values() if each.fit is False] == []
    assert found["services"].seen.startswith("gNOI Containerz; the device does not serve gNMI or gNOI System")
    assert found["logs in"].fit
    assert found["gNOI System, and its clock"].fit is None
    assert "CNTR-1 and CNTR-2 can run" in found["suites"].seen
    assert "CNTR-3 and midway cannot: the device does not serve gNMI" in found["suites"].seen


def test_gnmi_that_does_not_tell_its_capabilities_is_served(chassis_of_test: holdfast.Emulator) -> None:
    with chassis_of_test.failpoint("gnmi.Capabilities", "error[UNIMPLEMENTED](x)"):
        found = findings(chassis_of_test.address)
    assert found["logs in"].fit
    assert found["suites"].seen == "CNTR-1, CNTR-2, CNTR-3 and midway can run"


def test_the_client_needs_what_it_uses(alone: holdfast.Device, archive: Path) -> None:
    image = alone.containerz.deploy(archive)
    alone.containerz.expect_image(image, watch=0)
    alone.containerz.start("web", image=image, ports={60061: 60061})
    alone.containerz.expect_container("web", watch=0)
    alone.expect_answer(60061, watch=0)
    assert not alone.is_emulated(), "it has no means to say so"
    with pytest.raises(Unimplemented, match="gNMI"):
        alone.control_processors()


def test_containers_are_reached_on_the_control_processor_in_charge(archive: Path) -> None:
    with (
        holdfast.emulator(quirks=[ALONE], listen="auto,auto") as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        image = dut.containerz.deploy(archive)
        dut.containerz.start("web", image=image, ports={60061: 60061})
        with holdfast.connect(chassis.address, insecure=True) as fresh:
            assert fresh.ping_container(60061)


@pytest.mark.parametrize("profile", ["auto", "generic"])
def test_the_commands_need_what_they_use(tmp_path: Path, archive: Path, profile: str) -> None:
    with emulate(tmp_path, "--quirk", ALONE) as address:
        command = functools.partial(
            peers.command, tmp_path, "--dut", address, "--dut-insecure", "--dut-profile", profile
        )
        for words in (
            ["deploy", str(archive)],
            ["images"],
            ["containers"],
            ["volumes"],
            ["doctor"],
            ["clean", "--yes"],
        ):
            done = command(*words)
            assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        assert command("roles").returncode == 1, "this one uses gNMI"


def test_cntr1_and_cntr2_run_where_they_can(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr1 or cntr2", *QUICK, HOLDFAST_QUIRKS=ALONE)
    assert run.exit_code == 0, run.output
    assert "11 passed, 1 skipped" in run.output
    assert "EMULATED device" in run.output
    reboot = run.cases["test_cntr1_8_persistence_over_a_cold_reboot"]
    assert reboot.outcome == "skipped"
    assert "the device does not serve gNOI System" in reboot.message
    inner = run.cases["test_cntr2_2_a_container_to_its_own_device"].properties["not_checked"]
    assert "the device does not serve gNMI" in inner


def test_a_device_that_is_named_is_tested_as_far_as_it_goes(run_suite: RunSuite, tmp_path: Path) -> None:
    with emulate(tmp_path, "--quirk", ALONE) as address:
        run = run_suite(
            "-k", "cntr1_3 or cntr1_8", *QUICK, "--dut", address, "--dut-insecure", "--dut-allow-disruption"
        )
    assert run.exit_code == 0, run.output
    assert "1 passed, 1 skipped" in run.output
    assert "software unknown; no control processors" in run.output


def test_cntr3_is_not_checked(run_suite: RunSuite) -> None:
    run = run_suite("-k", "cntr3", *QUICK, HOLDFAST_QUIRKS=ALONE)
    assert run.exit_code == 0, run.output
    assert "8 skipped" in run.output
    assert {case.outcome for case in run.cases.values()} == {"skipped"}


def test_a_device_with_roles_and_without_system_is_judged_as_far_as_it_goes(run_suite: RunSuite) -> None:
    system = ("Time", "Reboot", "RebootStatus", "SwitchControlProcessor", "KillProcess")
    refused = "\n".join(f"system.{rpc}=error[UNIMPLEMENTED](x)" for rpc in system)
    run = run_suite("-k", "cntr1_8 or cntr3", *QUICK, failpoints=refused)
    assert run.exit_code == 0, run.output
    assert "9 skipped" in run.output
    assert json.dumps("the device does not serve gNOI System")[1:-1] in run.output


def test_older_containerz_is_recognised_by_what_it_serves(device: holdfast.Device) -> None:
    assert device.containerz.contract() == "0.2.0"
    with (
        holdfast.emulator(quirks=["older-containerz"]) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        assert dut.containerz.contract() == "0.1.1"
        for look in (dut.containerz.images, dut.containerz.containers, dut.containerz.volumes):
            with pytest.raises(Unimplemented, match=r"gNOI Containerz 0\.1\.1.*Deploy, Remove, List") as caught:
                look()
            assert "deploy_remote" in str(caught.value)


def test_a_device_without_containerz_serves_no_contract(chassis_of_test: holdfast.Emulator) -> None:
    for rpc in ("ListImage", "ListContainer", "ListVolume", "Deploy"):
        chassis_of_test.arm(f"containerz.{rpc}", "error[UNIMPLEMENTED](x)")
    with holdfast.connect(chassis_of_test.address, insecure=True) as dut:
        assert dut.containerz.contract() is None
        with pytest.raises(Unimplemented) as caught:
            dut.containerz.images()
    assert "0.1.1" not in str(caught.value)


@pytest.mark.parametrize("quirk", ["older-containerz", "containerz-needs-cli"])
def test_a_failover_needs_no_containerz(quirk: str) -> None:
    """gNMI and gNOI System do it: a device may not serve Containerz, or not yet."""
    with holdfast.emulator(quirks=[quirk]) as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        move, reboot = dut.switchover(), dut.reboot()
    for done in (move, reboot):
        assert "whether Containerz is served" in str(done.not_checked)


def test_containerz_that_is_gone_after_a_failover_is_missed(archive: Path) -> None:
    """It was served before: that it is UNIMPLEMENTED now is no way of the device."""
    with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        dut.containerz.deploy(archive)
        gone = chassis.failpoint("containerz.ListImage", "error[UNIMPLEMENTED](unknown service)")
        with gone, pytest.raises(Unimplemented):
            dut.switchover()


@pytest.mark.parametrize("quirks", [[], ["older-containerz"]], ids=["current", "older"])
def test_a_device_fetches_an_archive(archive: Path, quirks: list[str]) -> None:
    with (
        serving(archive.parent) as url,
        holdfast.emulator(quirks=quirks) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        dut.containerz.deploy_remote("fetched:v1", f"{url}/{archive.name}", protocol="HTTP")
        if not quirks:
            assert "fetched:v1" in dut.containerz.images()
        with pytest.raises(Internal, match="404"):
            dut.containerz.deploy_remote("fetched:v1", f"{url}/nothing.tar", protocol="HTTP")
        with pytest.raises(Unimplemented, match="HTTP alone"):
            dut.containerz.deploy_remote("fetched:v1", f"{url}/{archive.name}")
        with pytest.raises(InvalidArgument, match="http://"):
            dut.containerz.deploy_remote("fetched:v1", "fetched.tar", protocol="HTTP")


def test_the_command_has_a_device_fetch_an_archive(archive: Path, tmp_path: Path) -> None:
    with serving(archive.parent) as url, holdfast.emulator() as chassis:
        command = functools.partial(peers.command, tmp_path, "--dut", chassis.address, "--dut-insecure")
        fetched = command("deploy-remote", f"{url}/{archive.name}", "fetched:v1")
        assert (fetched.returncode, fetched.stdout.strip()) == (0, f"deployed fetched:v1 from {url}/{archive.name}")
        assert "fetched" in command("images").stdout
        unclear = command("deploy-remote", archive.name, "fetched:v1")
        assert unclear.returncode == 2
        assert "begin it with one of" in unclear.stderr
        unknown = command("deploy-remote", f"{url}/nothing.tar", "fetched:v1", "--protocol", "http")
        assert unknown.returncode == 1
        assert "404" in unknown.stderr


def test_an_older_device_takes_no_archive_that_is_sent(archive: Path) -> None:
    with (
        holdfast.emulator(quirks=["older-containerz"]) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
        pytest.raises(Unimplemented, match=r"0\.1\.1"),
    ):
        dut.containerz.deploy(archive)


def test_sonic_is_recognised_and_what_cannot_be_tested_is_said(run_suite: RunSuite) -> None:
    with holdfast.emulator(profile="sonic") as chassis:
        found = findings(chassis.address)
        with holdfast.connect(chassis.address, insecure=True) as dut:
            assert profiles.recognise(dut.control_processors()).name == "sonic"
    assert not profiles.load("sonic").testable
    assert "0.1.1" in found[CONTAINERZ].seen
    assert "deploy_remote" in str(found[CONTAINERZ].hint)
    assert found["suites"].seen.startswith("none can run")
    run = run_suite("-k", "cntr1_1", "--dut-profile", "sonic")
    assert run.exit_code == 3, run.output
    assert "gNOI Containerz 0.1.1" in run.output
    assert "deploy_remote" in run.output
