"""Vendors' ways: which profile fits, what it changes, and the emulated device that plays each."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from holdfast import _core, aio, profiles
from holdfast.exceptions import InvalidArgumentError
from holdfast.results import ControlProcessor

from conftest import RunSuite, emulate, wait_until

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")
VENDORS = [name for name in profiles.testable() if name != "generic"]
# What profile arista-eos adds, in seconds.
ARISTA = {"switchover": 600, "verification": 600, "ready": 1200}


def serves_containerz(dut: holdfast.Device) -> bool:
    try:
        dut.containerz.volumes()
    except holdfast.exceptions.Unimplemented:
        return False
    return True


def control_processors(software: str | None, *names: str) -> list[ControlProcessor]:
    return [ControlProcessor(name, "PRIMARY", None, None, None, software) for name in names]


@pytest.mark.parametrize(
    ("roles", "name"),
    [
        (control_processors("EOS-4.35.1F", "1", "2"), "arista-eos"),
        (control_processors("Cisco IOS-XR 25.4.1", "x", "y"), "cisco-iosxr"),
        (control_processors("25.4R1.12-EVO junos", "RE0", "RE1"), "juniper-junos"),
        (control_processors("v25.10.1 SRLinux", "A", "B"), "nokia-srlinux"),
        (control_processors("TiMOS-C-25.10.R1", "A", "B"), "nokia-sros"),
        (control_processors(None, "0/RP0/CPU0", "0/RP1/CPU0"), "cisco-iosxr"),
        (control_processors(None, "RE0", "RE1"), "juniper-junos"),
        (control_processors(None, "Supervisor1", "Supervisor2"), "arista-eos"),
        (control_processors("something else", "Supervisor1", "Supervisor2"), "generic"),
        ([], "generic"),
    ],
)
def test_a_vendor_is_recognised_by_what_its_device_says(roles: list[ControlProcessor], name: str) -> None:
    assert profiles.recognise(roles).name == name


@pytest.mark.parametrize("vendor", ["juniper-junos", "nokia-srlinux", "nokia-sros"])
def test_an_address_that_only_containers_reach_is_for_them_alone(vendor: str) -> None:
    profile = profiles.load(vendor)
    assert profile.inner_host == "fd01::1"
    assert profile.container_host is None, "from outside, containers are at the device's own address"


def test_a_profile_adds_to_the_deadlines_of_real_devices_alone() -> None:
    usual, short = _core.deadlines(emulated=False), _core.deadlines(emulated=True)
    assert _limits(emulated=False) == {name: limit + ARISTA.get(name, 0) for name, limit in usual.items()}
    assert _limits(emulated=True) == short
    assert _limits(emulated=False, given={"switchover": 7})["switchover"] == 7


def _limits(*, emulated: bool, given: dict[str, float] | None = None) -> dict[str, float]:
    """The limits on a device with Arista's profile that says that it is emulated, or does not."""
    says = 'return{"software-version": "EOS-4.35.1F"}'
    with holdfast.emulator() as chassis:
        if not emulated:
            chassis.arm("gnmi.Subscribe.update", says)
        with holdfast.connect(chassis.address, insecure=True, profile="arista", deadlines=given) as dut:
            return dut.deadlines()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("control_processor_path: short", "full or name"),
        ("colour: blue", "unknown fields: colour"),
        ("[]", "no mapping"),
        ("recognise: {software: '('}", "profile"),
        ("configure: [{what: x}]", "'cli'"),
        ("deadlines: {switchover: soon}", "soon"),
        ("a: [", "profile"),
    ],
)
def test_a_bad_profile_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidArgumentError) as caught:
        profiles.load(str(file))
    assert says in str(caught.value)
    assert "own.yaml" in str(caught.value)


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(InvalidArgumentError, match="there is no profile 'nortel'") as caught:
        holdfast.connect("127.0.0.1:1", insecure=True, profile="nortel")
    assert "arista-eos" in str(caught.value)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_personality_is_recognised_over_the_wire(vendor: str) -> None:
    profile = profiles.load(vendor)
    with holdfast.emulator(profile=vendor) as chassis:
        with holdfast.connect(chassis.address, insecure=True) as dut:
            roles = dut.control_processors()
        assert {cp.name for cp in roles} == set(profile.emulator["names"])
        assert profiles.recognise(roles) == profile
        with holdfast.connect(chassis.address, insecure=True, profile="auto") as dut:
            for step in profile.configure:
                dut.gnmi.set(update={"cli:/": step.cli})
            wait_until(lambda: serves_containerz(dut), what="Containerz, as configured")
            dut.switchover(redundant=True)

        async def awaited() -> str:
            async with aio.connect(chassis.address, insecure=True, profile="auto") as device:
                return (await device.switchover()).target

        assert asyncio.run(awaited()) == roles[0].name


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_personality_passes(run_suite: RunSuite, vendor: str) -> None:
    """A smoke; `nox -s personalities` goes through all cases."""
    run = run_suite("-k", "cntr3_2 or cntr3_8", "--dut-profile", vendor, "--dut-configure", *QUICK)
    assert run.exit_code == 0, run.output
    assert f"profile {vendor}" in run.output
    assert "it answers on its port again" in run.cases["2"].properties["checked"]


@pytest.mark.parametrize("vendor", [name for name in VENDORS if profiles.load(name).configure])
def test_without_consent_nothing_is_configured_and_what_is_missing_is_named(run_suite: RunSuite, vendor: str) -> None:
    for told in ({"HOLDFAST_DUT_CONFIGURE": "1"}, {"PYTEST_ADDOPTS": "--dut-configure"}):
        run = run_suite("-k", "cntr3_1", "--dut-profile", vendor, **told)
        assert run.exit_code == 3, run.output
        assert profiles.load(vendor).configure[0].what in run.output
        assert "--dut-configure" in run.output


def test_a_filter_of_the_new_active_makes_silence_inconclusive(run_suite: RunSuite, tmp_path: Path) -> None:
    """Somebody configured Containerz and opened the port by hand, on the active alone."""
    with emulate(tmp_path, "--profile", "arista-eos") as address:
        arista = profiles.load("arista-eos")
        with holdfast.connect(address, insecure=True) as dut:
            for step in arista.configure:
                dut.gnmi.set(update={"cli:/": step.cli.replace("{port}", "60061")})
            wait_until(lambda: serves_containerz(dut), what="Containerz, as configured")
        limits = (*QUICK, "--dut-deadline", "verification=1500ms")
        run = run_suite("-k", "cntr3_2", "--dut", address, "--dut-insecure", *limits)
    assert run.exit_code == 0, run.output
    assert "inconclusive, the new active has a filter of its own" in run.cases["2"].properties["not_checked"]


def test_what_was_not_saved_is_gone_after_a_reboot() -> None:
    arista = profiles.load("arista-eos")
    for saved in (False, True):
        with (
            holdfast.emulator(profile="arista-eos") as chassis,
            holdfast.connect(chassis.address, insecure=True) as dut,
        ):
            for line in [arista.configure[0].cli, *([arista.before_reboot] if saved else [])]:
                dut.gnmi.set(update={"cli:/": line})
            wait_until(lambda: serves_containerz(dut), what="Containerz, as configured")
            if saved:
                dut.reboot()
                assert dut.containerz.volumes() == ()
            else:
                with pytest.raises(holdfast.exceptions.Unimplemented):
                    dut.reboot()


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_personality_passes_in_a_process_of_its_own_by_its_address_alone(
    vendor: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    with emulate(tmp_path, "--profile", vendor) as address:
        run = run_suite("-k", "cntr3_2", "--dut", address, "--dut-insecure", "--dut-configure", *QUICK)
    assert run.exit_code == 0, run.output


def test_the_command_says_where_containers_are_reached_if_not_at_its_own_address(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "holdfast.cli", "emulate", "--listen", "127.0.0.1:0"]
    for quirk, told in (((), False), (("--quirk", "inner-address"), True)):
        with subprocess.Popen([*words, *quirk], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline().startswith("listening on ")
            process.terminate()
            assert ("its containers' ports are on 127.0.0.129: --dut-container-host" in process.stderr.read()) is told
