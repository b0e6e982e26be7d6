"""The author's contract: what an image promises to whoever runs it on a device, looked at through gNOI alone.

Without `--dut-image` the image is the wheel's own. With one, a device that runs no processes is skipped.
"""

from __future__ import annotations

import time

import pytest

from holdfast import Device, waiting
from holdfast.exceptions import ExpectationFailed, RpcError, Unimplemented
from holdfast.pytest_plugin.case import Case, Inconclusive, NotChecked
from holdfast.pytest_plugin.procedure import Steps, SwitchoverStep, case
from holdfast.pytest_plugin.run import ImageUnderTest
from holdfast.suites.author import growth
from holdfast.suites.author.trial import Trial, newer_image
from holdfast.suites.looks import RUNNING, look_container, settled
from holdfast.suites.made import expect_image_listed
from holdfast.suites.steps import create_volume
from holdfast.suites.steps import start as start_beside

# What a container ends with that was killed: 128, and the number of SIGKILL.
KILLED = 137
# For how long another has its port at least, in seconds, and no shorter than it takes to come up.
TAKEN = 2.0


@pytest.mark.author("author starts twice", "starts twice from the same volume")
@case()
def test_author_starts_twice(dut: Device, image: ImageUnderTest, case: Case) -> None:
    trial = Trial(case, dut, image, "twice")
    trial.prepare()
    with case.procedure("start it on an empty volume"):
        trial.come_up()
    with case.depth("its ledger takes records"):
        trial.write()
    with case.procedure("stop it, and start another on the same volume"):
        trial.stop()
        trial.come_back()
    with case.procedure("its data is readable"):
        trial.expect_readable()
    with case.depth("it goes on"):
        settled(case, lambda: look_container(dut, trial.name), (RUNNING,))


@pytest.mark.author("author survives SIGKILL", "survives SIGKILL at random moments")
@case()
def test_author_survives_kill(dut: Device, image: ImageUnderTest, case: Case) -> None:
    trial = Trial(case, dut, image, "killed")
    trial.prepare()
    with case.procedure("start it"):
        trial.come_up()
    with case.depth("its ledger takes records"):
        trial.write()
    for number in range(1, trial.asked.kills + 1):
        early = number % 2 == 0  # on its way up a container has most to lose
        with case.procedure(f"kill {number}: it ran until then"):
            after = trial.kill_on_the_way_up() if early else trial.kill_at_random()
            moment = f"{after:.2f} s after {'its start' if early else 'it was up'}"
            case.noted.append(f"kill {number}, {moment}, by seed {trial.asked.seed}")
        with case.procedure(f"kill {number}: it comes back"):
            trial.come_back()
        with case.procedure(f"kill {number}: its data is readable"):
            trial.expect_readable()


@pytest.mark.author("author stops within its grace", "stops within its grace on SIGTERM")
@case()
def test_author_stops_within_grace(dut: Device, image: ImageUnderTest, case: Case) -> None:
    trial = Trial(case, dut, image, "graceful")
    trial.prepare()
    with case.procedure("start it"):
        trial.come_up()
    with case.depth("its ledger takes records"):
        trial.write()
    with case.procedure("it ends by itself when it is asked to, and is not killed at the end of its grace"):
        expect_within_grace(trial)
    with case.procedure("it starts again"):
        trial.come_back()
    with case.procedure("its data is readable"):
        trial.expect_readable()


def expect_within_grace(trial: Trial) -> None:
    """Where a device tells how it ended, as an emulated one with real containers does, that decides. Most tell no exit
    code: one that took as long as the grace was killed then, unless all stops take as long.
    """
    grace = trial.asked.grace
    polite = trial.stop()
    code = trial.exit_code()
    if code == KILLED:
        raise ExpectationFailed(
            f"it did not end on SIGTERM, and was killed after {polite:.1f} s",
            hint="its first process must heed SIGTERM itself",
        )
    if polite < grace or code is not None:
        return
    trial.come_back()
    by_force = trial.timed_kill()
    took = f"the stop took {polite:.1f} s, and one by force {by_force:.1f} s, where its grace is {grace:g} s"
    if polite - by_force < grace / 2:
        raise Inconclusive(f"{took}: the device itself is slow to stop a container")
    raise ExpectationFailed(f"it did not end on SIGTERM: {took}", hint="its first process must heed SIGTERM itself")


@pytest.mark.author("author comes back to its port", "comes back when its port was taken for a while")
@case()
def test_author_comes_back_to_its_port(dut: Device, image: ImageUnderTest, case: Case) -> None:
    trial = Trial(case, dut, image, "displaced")
    trial.prepare()
    with case.procedure("start it, and stop it"):
        began = time.monotonic()
        trial.come_up()
        taken = max(TAKEN, time.monotonic() - began)
        trial.stop()
        trial.remove()
    occupant = case.run.fresh_name("occupant")
    with case.procedure("another takes its port"):
        volume = case.run.fresh_name("occupant-volume")
        create_volume(case, dut, volume)
        start_beside(dut, image, occupant, {volume: trial.asked.mount})
        trial.expect_up(occupant)
    refused = True
    with case.procedure("it is started meanwhile: the device refuses, or it waits"):
        try:
            trial.start(restart="ALWAYS")
        except Unimplemented:
            raise
        except RpcError as error:
            case.noted.append(f"start where the port is taken: {error.code}")
        else:
            refused = False
            if waiting.watch(lambda: look_container(dut, occupant) == RUNNING, taken) is not None:
                raise NotChecked("the other, which had its port, did not run on")
    with case.procedure("the other goes"):
        dut.containerz.remove(occupant, force=True)
        dut.containerz.expect_no_container(occupant, watch=0)
    with case.procedure("it comes back, and its port answers"):
        if refused:
            trial.remove()
            trial.start(restart="ALWAYS")
        trial.expect_up()
    with case.depth("the image itself met a port that was taken"):
        if refused:
            raise NotChecked("the device refused to start it meanwhile")


@pytest.mark.author("author two versions", "two versions over one volume: an update, and back")
@case()
def test_author_two_versions(dut: Device, image: ImageUnderTest, case: Case) -> None:
    try:
        newer = newer_image(case.run)
    except NotChecked as why:
        pytest.skip(str(why))
    trial = Trial(case, dut, image, "versions")
    trial.prepare(newer)
    with case.procedure("start the first version"):
        trial.start(restart="ALWAYS")
        trial.expect_up()
    with case.depth("its ledger takes records"):
        trial.write()
    for what, version in (("the update", newer), ("the way back", image)):
        with case.procedure(f"{what}: it runs"):
            change(case, trial, version)
            trial.expect_up()
        with case.procedure(f"{what}: it is of that version"):
            expect_image_listed(dut, version, dut.containerz.container(trial.name).image)
        with case.procedure(f"{what}: what the other version wrote is readable"):
            trial.expect_readable()
        with case.depth(f"{what}: its ledger takes records"):
            trial.write()


def change(case: Case, trial: Trial, version: ImageUnderTest) -> None:
    """UpdateContainer; where a device has no such thing, one goes and the other comes."""
    try:
        trial.update_to(version)
    except Unimplemented as error:
        case.noted.append(f"no UpdateContainer: {error.message}")
        trial.stop()
        trial.remove()
        trial.image = version
        trial.start(restart="ALWAYS")


@pytest.mark.disruptive
@pytest.mark.author("author does not grow", "its volume does not grow over failovers", switchovers="failovers")
@case()
def test_author_does_not_grow(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    trial = Trial(case, dut, image, "growing")
    trial.prepare()
    with case.procedure("start it"):
        trial.start(restart="ALWAYS")
        trial.expect_up()
    with case.depth("its ledger takes records"):
        trial.write()
    sizes: list[float] = []
    for number in range(1, trial.asked.failovers + 1):
        yield SwitchoverStep(f"failover {number}")
        with case.procedure(f"failover {number}: it runs on the new primary"):
            trial.expect_up()
        with case.procedure(f"failover {number}: how much its volume holds"):
            sizes.append(trial.size())
    with case.procedure("its volume does not grow"):
        expect_no_growth(case, sizes, trial.asked.growth)
    with case.procedure("its data is readable"):
        trial.expect_readable()


def expect_no_growth(case: Case, sizes: list[float], allowed: int) -> None:
    """By their later half: a volume may fill at first."""
    if not sizes:
        raise NotChecked("no size was told")
    case.noted.append(f"sizes: {', '.join(f'{size:g}' for size in sizes)}")
    later = growth.later_half(sizes)
    goes_on = growth.goes_on(later)
    if goes_on is None:
        raise Inconclusive(
            f"it grew from {later[0]:g} to {later[-1]:g}, and {len(sizes)} failovers are too few to tell"
        )
    by = growth.slope(later) if goes_on else 0
    if by > allowed:
        raise ExpectationFailed(
            f"it goes on growing, by {by:g} with each failover: it held {sizes[0]:g} after the first, "
            f"{later[0]:g} in the middle and {sizes[-1]:g} after the last of {len(sizes)}"
        )
