"""Where a device is: one address, one for each control processor, IPv6, gNOI apart, and names of several addresses."""

from __future__ import annotations

from typing import Any

import pytest

import holdfast
from holdfast.exceptions import ConnectError, Timeout

from conftest import RunSuite, emulate

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")
PLACES: dict[str, dict[str, Any]] = {
    "one address": {},
    "one for each": {"listen": "auto,auto"},
    "one for each, silent when away": {"listen": "auto,auto", "black_hole": True},
    "gNOI apart": {"gnoi_port": 0},
    "gNOI apart, one for each": {"gnoi_port": 0, "listen": "auto,auto"},
    "IPv6": {"listen": "[::1]:0"},
    "IPv6, one for each": {"listen": "[::1]:0,[::1]:0"},
}


@pytest.mark.parametrize("place", PLACES)
def test_the_session_finds_the_active_and_follows_it(place: str) -> None:
    with holdfast.emulator(**PLACES[place]) as chassis:
        gnoi = chassis.gnoi if "gnoi_port" in PLACES[place] else None
        with holdfast.connect(chassis.address, gnoi=gnoi, insecure=True) as dut:
            for name in ("first", "second"):
                moved = dut.switchover(redundant=True)
                assert moved.target == chassis.active
                assert moved.outage is not None
                dut.containerz.create_volume(name)  # a change reaches who is in charge, or nobody
            dut.reboot()
            assert {volume.name for volume in dut.containerz.volumes()} == {"first", "second"}


def test_who_comes_to_the_standby_first_finds_the_active() -> None:
    with holdfast.emulator(listen="auto,auto") as chassis:
        first, second = chassis.address.split(",")
        with holdfast.connect(f"{second},{first}", insecure=True) as dut:
            dut.containerz.create_volume("v")
            assert [volume.name for volume in dut.containerz.volumes()] == ["v"]
        with (
            holdfast.connect(second, insecure=True, call_timeout=0.5) as alone,
            pytest.raises(Timeout, match="stands by"),
        ):
            alone.containerz.create_volume("w")


def test_an_address_that_leads_nowhere_does_not_matter_beside_one_that_does() -> None:
    with holdfast.emulator() as chassis:
        for nowhere in ("127.0.0.1:1", "no-such-host.invalid"):
            with holdfast.connect(f"{nowhere},{chassis.address}", insecure=True) as dut:
                assert dut.control_processors()
        with pytest.raises(ConnectError):
            holdfast.connect("127.0.0.1:1,127.0.0.1:2", insecure=True, dial_timeout=0.5)


@pytest.mark.parametrize("options", [("--black-hole",), ()])
def test_the_suite_follows_the_active_from_address_to_address(
    run_suite: RunSuite, tmp_path: Any, options: tuple[str, ...]
) -> None:
    with emulate(tmp_path, *options, "--listen", "auto,auto") as address:
        run = run_suite("--dut", address, "--dut-insecure", *QUICK)
    assert run.exit_code == 0, run.output
    assert "8 passed" in run.output


def test_tls_names_both_addresses() -> None:
    with (
        holdfast.emulator(listen="auto,auto", tls=True) as chassis,
        holdfast.connect(chassis.address, tls=chassis.tls) as dut,
    ):
        dut.switchover(redundant=True)
        dut.switchover()


def test_containers_are_dialled_where_the_active_is(archive: Any) -> None:
    with (
        holdfast.emulator(listen="auto,auto") as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        image = dut.containerz.deploy(archive)
        dut.containerz.start("c", image=image, ports={60061: 60061}, restart="ALWAYS")
        dut.expect_answer(60061)
        dut.switchover(redundant=True)
        dut.expect_answer(60061)
