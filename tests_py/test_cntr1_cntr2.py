"""The suites CNTR-1 and CNTR-2: on every personality, every oddity, one supervisor, and two devices."""

from __future__ import annotations

import asyncio
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_quirks import FAMILIES, QUICK

import holdfast
from holdfast import addresses, journal, leftovers, plugin_archive, profiles
from holdfast.exceptions import Unavailable
from holdfast.suites.dialling import Dialler
from holdfast.testbed.target import InnerNames, Target

from conftest import RunSuite, emulate
from peers import free_port

BOTH = ("-k", "cntr1 or cntr2", *QUICK)


@pytest.mark.parametrize("vendor", profiles.testable())
def test_a_personality_passes(run_suite: RunSuite, vendor: str) -> None:
    run = run_suite(*BOTH, "--dut-profile", vendor, "--dut-configure")
    assert run.exit_code == 0, run.output
    no_plugins = "plugins-unimplemented" in profiles.load(vendor).emulator.get("quirks", ())
    assert ("1 skipped" in run.output) == no_plugins, run.output


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"capabilities"}))  # CNTR-2.2 asks for them
def test_both_pass_on_servers_of_this_kind(run_suite: RunSuite, family: str) -> None:
    run = run_suite(*BOTH, HOLDFAST_QUIRKS=",".join(FAMILIES[family]))
    assert run.exit_code == 0, run.output
    assert "12 passed" in run.output
    noted = json.loads(run.cases["test_cntr1_5_volume"].properties["noted"])
    assert "removal of an unknown volume: success" in noted, "it is by force, as in the plan's suite"


@pytest.mark.parametrize(
    ("driver", "given"), [("local", ("mountpoint=/tmp", "options=bind")), ("custom", ("size=1g",))]
)
def test_a_volume_is_made_with_the_driver_that_was_asked_for(
    run_suite: RunSuite, driver: str, given: tuple[str, ...]
) -> None:
    bind = ("--dut-volume-driver", driver, *(word for each in given for word in ("--dut-volume-option", each)))
    run = run_suite("-k", "cntr1_5", *bind)
    assert run.exit_code == 0, run.output
    looked_at = run.cases["test_cntr1_5_volume"].properties["checked"]
    assert "with its driver" in looked_at
    assert "with its options" in looked_at
    run = run_suite("-k", "cntr1_5", *bind, failpoints="create_volume.options_lost=error(x)")
    assert "the volume was made with the options" in run.output


@pytest.mark.parametrize("roles", ["roles.single", "roles.none"])
def test_one_supervisor_is_enough(run_suite: RunSuite, roles: str) -> None:
    run = run_suite(*BOTH, failpoints=f"{roles}=error(x)")
    assert run.exit_code == 0, run.output
    assert "12 passed" in run.output
    assert "one control processor" in run.cases["test_cntr1_8_persistence_over_a_cold_reboot"].properties["not_checked"]


def test_what_a_container_logs_in_with_is_checked_and_never_shown(run_suite: RunSuite, tmp_path: Path) -> None:
    with emulate(tmp_path, "--user", "anna", HOLDFAST_PASSWORD="geheim-17") as address:
        names = ("--dut", address, "--dut-insecure", "--dut-username", "anna")
        run = run_suite("-k", "cntr2_2", *names, "-vv", HOLDFAST_PASSWORD="geheim-17")
        # nobody said where its containers reach it, so they dial where a real device would be
        assert run.exit_code == 1, run.output
        assert "localhost" in run.output
        assert "geheim-17" not in run.output
    run = run_suite("-k", "cntr2_2", "-vv", "--dut-username", "anna", HOLDFAST_PASSWORD="geheim-17")
    assert run.exit_code == 0, run.output
    assert "not checked" not in run.output
    assert "geheim-17" not in run.output


def test_a_device_alone_has_none_to_reach_over_a_link(run_suite: RunSuite) -> None:
    with holdfast.emulator() as chassis:
        inner = [f"--dut-inner={key}={getattr(chassis.inner, key)}" for key in ("host", "gnmi", "gribi")]
        run = run_suite("-k", "cntr2", *QUICK, "--dut", chassis.address, "--dut-insecure", *inner)
    assert run.exit_code == 0, run.output
    assert "3 passed, 1 skipped" in run.output
    assert run.cases["test_cntr2_3_a_container_to_one_on_another_device"].outcome == "skipped"


@pytest.mark.parametrize(
    "serving",
    [
        ("--dut-port=50999",),
        ("--dut-image",),
        ("--dut-image", "--dut-command=./cntrsrv --port 7000", "--dut-port=7000"),
        ("--dut-image", "--dut-command=./cntrsrv --port={port}", "--dut-port=7000"),
    ],
    ids=["the wheel's image elsewhere", "its own command", "a fixed port", "a port that it is told"],
)
def test_two_containers_of_an_image_serve_a_port_each(
    run_suite: RunSuite, archive: Path, serving: tuple[str, ...]
) -> None:
    given = [f"--dut-image={archive}" if each == "--dut-image" else each for each in serving]
    run = run_suite("-k", "cntr1_3 or cntr1_6 or cntr2_4", *QUICK, *given)
    assert run.exit_code == 0, run.output
    assert "3 passed" in run.output


# As a gRPC server of somebody's own answers what it does not know.
SOMETHING_ELSE = tuple(
    f"--dut-failpoint={call}=error[UNIMPLEMENTED](it is another service)"
    for call in ("cntr.Ping", "ledger.Append", "ledger.Describe")
)


def test_an_image_that_serves_something_else_is_judged_by_what_it_shows(run_suite: RunSuite, archive: Path) -> None:
    cases = "cntr1_1 or cntr1_4 or cntr2_1 or cntr2_4 or cntr3_2"
    run = run_suite("-k", cases, *QUICK, f"--dut-image={archive}", *SOMETHING_ELSE)
    assert run.exit_code == 0, run.output
    assert "4 passed, 1 skipped" in run.output
    for name in ("test_cntr1_1_deploy_and_start", "test_cntr2_1_from_outside_to_a_container", "2"):
        unchecked = run.cases[name].properties["not_checked"]
        assert "its port takes connections; the image under test does not serve Ping" in unchecked
    refused = run_suite("-k", "cntr1_1", *QUICK, *SOMETHING_ELSE)
    assert refused.exit_code == 1, "the wheel's own image must answer"
    away = "--dut-failpoint=cntr.Ping=error[UNAVAILABLE](nobody is behind it)"
    refused = run_suite("-k", "cntr1_1", *QUICK, f"--dut-image={archive}", away)
    assert refused.exit_code == 1, "this is no service of its own"


def test_its_port_must_take_connections_again(run_suite: RunSuite, archive: Path) -> None:
    options = (f"--dut-image={archive}", *SOMETHING_ELSE)
    run = run_suite("-k", "cntr3_2", *QUICK, *options, failpoints="load.container.ports_lost=1*error(x)")
    assert run.exit_code == 1, run.output
    assert "it answers on its port again" in run.cases["2"].properties["failures"]
    assert "the container answers on its port" not in run.cases["2"].properties["failures"]


def test_its_port_must_be_closed_once_it_is_stopped(run_suite: RunSuite, archive: Path) -> None:
    """Also where nothing asked before whether the image serves Ping: silence to that would prove nothing."""
    options = (f"--dut-image={archive}", *SOMETHING_ELSE)
    run = run_suite("-k", "cntr1_4", *QUICK, *options, failpoints="stop.lingers=error(x)")
    assert run.exit_code == 1, run.output
    assert "its port is closed" in run.cases["test_cntr1_4_stop"].properties["failures"]


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.0.0.1:0,127.0.0.1:0"], ids=["one", "one for each supervisor"])
def test_two_emulated_devices_at_one_address_are_no_pair(run_suite: RunSuite, listen: str) -> None:
    run = run_suite("-k", "cntr2_3", f"--dut-emulator=listen={listen}", "-rs")
    assert run.cases["test_cntr2_3_a_container_to_one_on_another_device"].outcome == "skipped", run.output
    assert "both emulated devices are at 127.0.0.1" in run.output
    assert "listen=auto" in run.output


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "two"])
def test_the_devices_of_a_testbed_reach_each_other(
    run_suite: RunSuite, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    with holdfast.emulator() as one, holdfast.emulator() as other:
        file = tmp_path / "lab.yaml"
        inners = {
            name: {
                "address": chassis.address,
                "insecure": True,
                "inner": {"host": chassis.inner.host, "gnmi": chassis.inner.gnmi, "gribi": chassis.inner.gribi},
            }
            for name, chassis in (("one", one), ("other", other))
        }
        file.write_text(json.dumps({"devices": inners}))
        run = run_suite("-k", "cntr2", *QUICK, "--testbed", str(file), *workers)
    assert run.exit_code == 0, run.output
    assert "8 passed" in run.output


@pytest.mark.parametrize(
    ("given", "says"), [("gate=x", "inner has no 'gate'"), ("gnmi", "gnmi is ''")], ids=["unknown", "empty"]
)
def test_a_wrong_inner_address_says_what_is_known(run_suite: RunSuite, given: str, says: str) -> None:
    run = run_suite("-k", "cntr2", "--dut", "127.0.0.1:1", "--dut-inner", given)
    assert run.exit_code == 4
    assert says in run.output


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("r1", 9339),
        ("r1:6030", 6030),
        ("[fd01::1]:57400", 57400),
        ("fd01::1", 9339),
        ("[fd01::1]", 9339),
        ("a:1,b:2", 1),
    ],
)
def test_the_port_of_an_address(address: str, port: int) -> None:
    assert addresses.port(address) == port


def test_where_containers_dial_is_the_same_in_both_worlds() -> None:
    async def awaited() -> InnerNames:
        async with holdfast.aio.emulator(listen="127.0.0.1:0", inner_gnmi_port=0) as chassis:
            return await chassis.inner()

    found = asyncio.run(awaited())
    assert found.host == found.link == "127.0.0.1"
    with holdfast.emulator(listen="auto,auto") as chassis:
        before = chassis.inner
        with holdfast.connect(chassis.address, insecure=True) as device:
            device.switchover()
        assert chassis.inner.gnmi != before.gnmi, "each control processor has its own, and the active one's counts"


def test_a_container_says_how_its_dial_failed(device: holdfast.Device, archive: Path) -> None:
    device.containerz.deploy(archive)
    device.containerz.start("cntrsrv", image="cntrsrv_image:latest", ports={60061: 60061})
    host = device.address.partition(":")[0]
    assert device.dial_from_container(60061, f"{host}:60061").asked == "ping"
    assert device.dial_from_container(60061, f"{host}:60061", ask="nothing").time is None
    with pytest.raises(holdfast.exceptions.Unavailable, match="refused"):
        device.dial_from_container(60061, f"{host}:1")
    with pytest.raises(holdfast.exceptions.InvalidArgumentError, match="ping, gnmi, gribi"):
        device.dial_from_container(60061, f"{host}:1", ask="tea")


def test_a_plugin_that_an_earlier_run_left_is_found_and_removed(
    device: holdfast.Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    name = f"{journal.PREFIX}earlier-plugin"
    plugin_archive.write_archive(tmp_path / "plugin.tar")
    earlier = device.recording("earlier", journal=journal.Journal(device.address).file)
    earlier.containerz.deploy(tmp_path / "plugin.tar", name=name, is_plugin=True)
    earlier.containerz.start_plugin(name, name)
    seen = leftovers.survey(device)
    assert [str(left) for left in seen.found] == [f"plugin {name}"]
    with pytest.raises(holdfast.exceptions.DeviceOccupied, match="earlier"):
        leftovers.refuse_foreign(device, "now")
    assert leftovers.clean(device, seen, seen.found) == {}
    assert device.containerz.plugins() == ()
    with pytest.raises(holdfast.exceptions.NotFound):
        device.containerz.start_plugin(name, name)  # its archive is gone too


def test_the_plugins_archive_is_the_same_each_time(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.tar", "two.tar")]
    for file in files:
        plugin_archive.write_archive(file)
    assert files[0].read_bytes() == files[1].read_bytes()
    with tarfile.open(files[0]) as archive:
        assert "cntrsrv" in archive.getnames(), "its root is the plugin's: a device unpacks it below rootfs/ itself"
        assert not any(name.startswith(("rootfs", "config.json")) for name in archive.getnames())
    with pytest.raises(holdfast.exceptions.ImageError, match="choose a folder"):
        plugin_archive.write_archive(tmp_path / "none" / "x.tar")


@pytest.mark.parametrize(
    ("host", "written"),
    [("r1", "r1:7"), ("10.0.0.1", "10.0.0.1:7"), ("fd01::1", "[fd01::1]:7"), ("[fd01::1]", "[fd01::1]:7")],
)
def test_a_host_and_a_port_are_an_address(host: str, written: str) -> None:
    assert addresses.joined(host, 7) == written


def test_containers_of_a_device_that_they_know_by_an_ipv6_address_reach_each_other(
    run_suite: RunSuite, tmp_path: Path
) -> None:
    """As Juniper's and Nokia's do, whose own name of a device is fd01::1."""
    with emulate(tmp_path, "--listen", "[::1]:0") as address:
        port = f"--dut-port={free_port()}"
        run = run_suite("-k", "cntr2_4", *QUICK, "--dut", address, "--dut-insecure", "--dut-inner=host=::1", port)
    assert run.exit_code == 0, run.output
    assert run.cases["test_cntr2_4_two_containers_on_one_device"].properties["procedure"] == "pass"


class RefusingDevice:
    """One that keeps where its containers were told to dial, and has them reach nobody."""

    def __init__(self) -> None:
        self.dialled: list[str] = []

    def dial_from_container(self, _port: int, address: str, **_more: object) -> None:
        self.dialled.append(address)
        raise Unavailable("nobody")


def test_where_nobody_listens_is_asked_at_the_devices_own_address() -> None:
    device, case = RefusingDevice(), SimpleNamespace(run=SimpleNamespace(target=Target("r1")))
    Dialler(case, device, 60061).expect_nobody("fd01::1")  # type: ignore[arg-type]
    assert device.dialled == ["[fd01::1]:1"], "or that it does not resolve would be taken for nobody"


def test_a_case_that_fails_on_a_device_of_one_supervisor_does_not_make_it_unfit_for_the_next(
    run_suite: RunSuite,
) -> None:
    failpoints = ("--dut-failpoint=roles.single=error(x)", "--dut-failpoint=start.wrong_image=error(x)")
    run = run_suite("-k", "cntr1 and not cntr1_8", *QUICK, *failpoints)
    assert "1 failed, 6 passed" in run.output, run.output
