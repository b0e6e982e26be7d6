"""A sample of the healthy devices that are drawn by seed: none of them fails. `nox -s seeds` goes through 200."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import holdfast

from conftest import RunSuite
from midway import PASSED
from seeds import draw, draw_midway, run

# Quick ones, which together have black holes, two addresses, IPv6, slow lists, no roles, CNTR-1 to 3.
SAMPLE = (14, 18, 66, 87)
TIMINGS = tuple(f"--dut-emulator={name}=" for name in ("boot", "load", "outage", "reboot"))


@pytest.mark.parametrize("seed", SAMPLE)
def test_a_healthy_device_raises_no_alarm(seed: int) -> None:
    code, _, output = run(draw(seed))
    assert code == 0, output


def test_a_history_passes_on_another_device_for_each_seed() -> None:
    """`nox -s midway` goes through 300."""
    code, _, output = run(draw_midway(7))
    assert code == 0, output
    assert PASSED.search(output), output


def test_a_seed_draws_the_same_again() -> None:
    assert draw(7) == draw(7)
    assert len({draw(seed) for seed in range(50)}) == 50
    assert len({draw_midway(seed) for seed in range(50)}) == 50
    for seed in range(50):  # one device for both, but for a vendor's
        timings = {word for word in draw_midway(seed) if word.startswith(TIMINGS)}
        assert len(timings & set(draw(seed))) == len(TIMINGS), seed


def test_settings_of_the_emulated_device_are_taken_and_refused(run_suite: RunSuite) -> None:
    quick = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")
    told = ("--dut-emulator=outage=700ms", "--dut-emulator=listen=auto,auto", "--dut-emulator=gnoi-port=0")
    ran = run_suite("-k", "cntr3_1", *quick, *told)
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.cases["1"].properties["outages"])[0] >= 0.6
    for wrong in ("--dut-emulator=colour=blue", "--dut-emulator=black-hole=maybe"):
        refused = run_suite("-k", "cntr3_1", wrong)
        assert refused.exit_code != 0
        assert "write KEY=VALUE" in refused.output


def test_lists_that_lack_a_row_for_a_while_are_no_loss(archive: Path) -> None:
    with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        dut.containerz.deploy(archive)
        dut.containerz.create_volume("first")
        dut.containerz.create_volume("second")
        with chassis.failpoint("load.lists_partial", "1*error(x)"):
            dut.switchover()
            seen = len(dut.containerz.volumes())
            dut.containerz.expect_volume("second")
        assert seen == 1
