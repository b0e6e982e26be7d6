"""Who is failed over: who says EMULATED, and who is allowed by the command line or a testbed. Addresses say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import holdfast
from holdfast import aio
from holdfast.exceptions import ExpectationFailed

from conftest import RunSuite, emulate

# What makes the emulated device look like a real one, as a tunnel to a router does.
REAL = 'gnmi.Subscribe.update=return{"software-version": "EOS-4.35.1F"}'
QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")


@contextmanager
def tunnel(tmp_path: Path) -> Iterator[str]:
    """The address on this machine of a device that does not say EMULATED."""
    with emulate(tmp_path, "--failpoint", REAL) as address:
        yield address


def test_a_loopback_address_allows_nothing(tmp_path: Path, run_suite: RunSuite) -> None:
    with tunnel(tmp_path) as address:
        run = run_suite("-k", "cntr3_1 or cntr3_8", "--dut", address, "--dut-insecure")
        assert run.exit_code == 0, run.output
        assert {case.outcome for case in run.cases.values()} == {"skipped"}
        told = f"would fail over {address}: say --dut-allow-disruption"
        assert all(told in case.message for case in run.cases.values())
        with holdfast.connect(address, insecure=True) as dut:
            assert [cp.role for cp in dut.control_processors()] == ["PRIMARY", "SECONDARY"]
        allowed = run_suite("-k", "cntr3_1", "--dut", address, "--dut-insecure", "--dut-allow-disruption", *QUICK)
        assert {case.outcome for case in allowed.cases.values()} == {"passed"}, allowed.output


def test_an_environment_variable_allows_nothing(tmp_path: Path, run_suite: RunSuite) -> None:
    with tunnel(tmp_path) as address:
        run = run_suite("-k", "cntr3_1", "--dut", address, "--dut-insecure", HOLDFAST_DUT_ALLOW_DISRUPTION="1")
        assert {case.outcome for case in run.cases.values()} == {"skipped"}, run.output


def test_a_device_that_says_emulated_asks_for_no_consent(tmp_path: Path, run_suite: RunSuite) -> None:
    with emulate(tmp_path) as address:
        run = run_suite("-k", "cntr3_1", "--dut", address, "--dut-insecure", *QUICK)
        assert {case.outcome for case in run.cases.values()} == {"passed"}, run.output


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ((), ""),
        (("--dut-profile", "generic"), ""),
        (("-q",), ""),
        (("-n1",), ""),
        (("-q",), "PERMISSION_DENIED"),
        (("-q",), "UNAVAILABLE"),
    ],
)
def test_a_device_that_does_not_answer_who_asks_is_not_taken_for_a_real_one(
    more: tuple[str, ...], code: str, tmp_path: Path, run_suite: RunSuite
) -> None:
    armed = {"HOLDFAST_FAILPOINTS": f"gnmi.Subscribe=error[{code}](not now)\ngnmi.Get=error[{code}](not now)"}
    with emulate(tmp_path, "--user", "me", HOLDFAST_PASSWORD="right", **(armed if code else {})) as address:
        password = {"HOLDFAST_PASSWORD": "right" if code else "wrong"}
        run = run_suite("-k", "cntr3_1", "--dut", address, "--dut-insecure", "--dut-username=me", *more, **password)
    assert run.exit_code == 3, run.output
    assert (code or "UNAUTHENTICATED: wrong username or password") in run.output
    assert "INTERNALERROR" not in run.output
    assert "say --dut-allow-disruption" not in run.output


@pytest.mark.parametrize("more", [("--dut-plan",), ()])
def test_a_wrong_password_is_not_taken_for_a_device_that_says_nothing(
    more: tuple[str, ...], tmp_path: Path, run_suite: RunSuite
) -> None:
    """Neither by the plan, nor of a test that reaches the device by means of its own."""
    own = tmp_path / "test_own.py"
    own.write_text(
        "import pytest\n@pytest.mark.disruptive\ndef test_own() -> None:\n    raise AssertionError('it ran')\n"
    )
    with emulate(tmp_path, "--user", "me", HOLDFAST_PASSWORD="right") as address:
        chosen = ("-k", "cntr3_1") if more else (str(own),)
        login = ("--dut", address, "--dut-insecure", "--dut-username=me")
        run = run_suite(*chosen, *login, *more, HOLDFAST_PASSWORD="wrong")
    assert "UNAUTHENTICATED: wrong username or password" in run.output
    assert "say --dut-allow-disruption" not in run.output
    assert "not allowed" not in run.output
    assert "it ran" not in run.output
    assert "INTERNALERROR" not in run.output
    assert run.exit_code == 3, run.output


def test_the_plan_says_who_is_not_allowed(tmp_path: Path, run_suite: RunSuite) -> None:
    with tunnel(tmp_path) as real, emulate(tmp_path) as emulated:
        plan = run_suite("-k", "cntr3_8", "--dut", real, "--dut-insecure", "--dut-plan")
        assert f"not allowed on {real}" in plan.output
        assert f"plan for {real}: no failover, at most 0 s" in plan.output
        assert "at most 45 min, if it were allowed" in plan.output
        plan = run_suite("-k", "cntr3_8", "--dut", real, "--dut-insecure", "--dut-plan", "--dut-allow-disruption")
        assert f"plan for {real}: 1 cold reboot, at most 45 min" in plan.output
        assert "if it were allowed" not in plan.output
        lab = tmp_path / "lab.yaml"
        lab.write_text(
            f"devices: {{a: {{address: '{real}', insecure: true}},"
            f" b: {{address: '{real}', insecure: true, allow_disruption: true}}}}"
        )
        plan = run_suite("-k", "cntr3_8", "--testbed", str(lab), "--dut-plan")
        assert "plan for a, b: 1 cold reboot, at most 45 min" in plan.output
        plan = run_suite("-k", "cntr3_8", "--dut", emulated, "--dut-insecure", "--dut-plan")
        assert "not allowed" not in plan.output
        assert "at most 16 s" in plan.output


def test_limits_are_those_of_what_the_device_says_it_is() -> None:
    with holdfast.emulator() as chassis:
        with holdfast.connect(chassis.address, insecure=True) as dut:
            assert dut.is_emulated()
            assert dut.deadlines()["verification"] == 3
        with (
            chassis.failpoint("gnmi.Subscribe.update", REAL.partition("=")[2]),
            holdfast.connect(chassis.address, insecure=True, profile="arista-eos", deadlines={"start": 7}) as dut,
        ):
            assert not dut.is_emulated()
            limits = dut.deadlines()
        assert (limits["verification"], limits["switchover"], limits["start"]) == (900, 1500, 7)


@pytest.mark.parametrize("defect", ["roles.none", "roles.single"])
def test_a_device_without_a_pair_says_what_it_is_too(defect: str) -> None:
    with (
        holdfast.emulator() as chassis,
        chassis.failpoint(defect, "error(x)"),
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        assert dut.is_emulated()


def test_a_profile_adds_nothing_to_an_emulated_devices_limits() -> None:
    with (
        holdfast.emulator(profile="arista-eos") as chassis,
        holdfast.connect(chassis.address, insecure=True, profile="arista-eos", deadlines={"start": 7}) as dut,
    ):
        assert (dut.deadlines()["switchover"], dut.deadlines()["start"]) == (6, 7)


def test_whoever_dials_an_emulated_device_waits_as_long_as_it_needs(tmp_path: Path) -> None:
    async def awaited() -> None:
        async with aio.emulator() as chassis, aio.connect(chassis.address, insecure=True) as dut:
            own = asyncio.ensure_future(dut.containerz.expect_image("none:v1"))
            patient = asyncio.ensure_future(dut.containerz.expect_image("none:v1", within=100))  # a real one's is 300 s
            await asyncio.wait([own, patient], return_when=asyncio.FIRST_COMPLETED)
            assert not patient.done()
            patient.cancel()
            with pytest.raises(ExpectationFailed):
                await own

    asyncio.run(awaited())
    with emulate(tmp_path) as address, holdfast.connect(address, insecure=True) as dut:
        with pytest.raises(ExpectationFailed):
            dut.containerz.expect_image("none:v1")
        assert dut.deadlines()["verification"] == 3


def test_a_device_without_gnmi_is_a_real_one(tmp_path: Path) -> None:
    with (
        holdfast.emulator() as chassis,
        chassis.failpoint("gnmi.Subscribe", "error[UNIMPLEMENTED](not here)"),
        chassis.failpoint("gnmi.Get", "error[UNIMPLEMENTED](not here)", may_stay_unhit=True),
        holdfast.connect(chassis.address, insecure=True, deadlines={"verification": 0.1}) as dut,
    ):
        with pytest.raises(ExpectationFailed):
            dut.containerz.expect_image("none:v1")
        assert dut.deadlines()["ready"] == 300
