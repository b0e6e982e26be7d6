"""A failover at a random moment: a client goes on changing things meanwhile, and what it was told and what it sees
afterwards must fit together. `--midway-seed` says which histories.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from holdfast import Device, plugin_archive
from holdfast.exceptions import AlreadyExists, ExpectationFailed, NotFound, Unimplemented
from holdfast.pytest_plugin import options
from holdfast.pytest_plugin.case import Case, NotChecked
from holdfast.pytest_plugin.procedure import Steps, SwitchoverStep, case
from holdfast.pytest_plugin.run import ImageUnderTest
from holdfast.pytest_plugin.surroundings import Surroundings
from holdfast.suites.looks import (
    ABSENT,
    ANSWERING,
    RUNNING,
    SILENT,
    THERE,
    look_container,
    look_image,
    look_plugin,
    look_port,
    look_volume,
    settled,
)
from holdfast.suites.made import AskedContainer, AskedVolume, container_as_asked, plugin_as_asked, volume_as_asked
from holdfast.suites.midway.client import Client, making
from holdfast.suites.midway.drawn import Subject
from holdfast.suites.midway.operation import tolerant
from holdfast.suites.midway.test_midway import finish
from holdfast.suites.steps import deploy, start
from holdfast.verdicts import store
from holdfast.verdicts.history import RUNNING as LAST_OF_CONTAINERS

# The step that `holdfast judge` derives again from what was kept.
FITS = store.HISTORY_STEP


def container(dut: Device, image: ImageUnderTest, name: str) -> Subject:
    """A container on the image's port."""
    return Subject(
        "container",
        name,
        lambda: look_container(dut, name),
        {
            "start": lambda: start(dut, image, name),
            "stop": lambda: dut.containerz.stop(name, force=True),
            "remove": lambda: dut.containerz.remove(name, force=True),
        },
        {"start": "StartContainer", "stop": "StopContainer", "remove": "RemoveContainer"},
    )


def volume(case: Case, dut: Device, name: str) -> Subject:
    """A volume; of one that is there already, it is the device that says so."""
    asked = AskedVolume.of(case.run, name)
    return Subject(
        "volume",
        name,
        lambda: look_volume(dut, name),
        {
            "create": lambda: asked.create(dut, look_first=False),
            "remove": lambda: dut.containerz.remove_volume(name),
        },
        {"create": "CreateVolume", "remove": "RemoveVolume"},
    )


def an_image(dut: Device, image: ImageUnderTest) -> Subject:
    """An image."""
    return Subject(
        "image",
        str(image),
        lambda: look_image(dut, image),
        {"deploy": lambda: deploy(dut, image), "remove": lambda: dut.containerz.remove_image(image)},
        {"deploy": "Deploy", "remove": "RemoveImage"},
    )


def plugins(case: Case, dut: Device) -> list[Subject]:
    """Two instances of the wheel's own plugin; none where the device has no plugins."""
    name = case.run.fresh_name("midway-plugin")
    archive = Path(case.run.folder) / "midway-plugin.tar"
    plugin_archive.write_archive(archive)
    try:
        dut.containerz.deploy(archive, name=name, is_plugin=True)
        dut.containerz.plugins()
    except Unimplemented:
        return []
    return [instance(dut, name, each) for each in (name, case.run.fresh_name("midway-plugin"))]


def instance(dut: Device, plugin: str, name: str) -> Subject:
    """An instance of a plugin."""

    def remove() -> None:
        tolerant(lambda: dut.containerz.stop_plugin(name), NotFound)
        dut.containerz.remove_plugin(name)

    return Subject(
        "plugin",
        name,
        lambda: look_plugin(dut, name),
        {"start": lambda: dut.containerz.start_plugin(plugin, name, config=plugin_archive.CONFIG), "remove": remove},
        {"start": "StartPlugin", "remove": "RemovePlugin"},
    )


@pytest.mark.midway("midway at a random moment", switchovers=1)
@pytest.mark.midway_seeds
@case(windows=True)
def test_midway_random(dut: Device, image: ImageUnderTest, case: Case) -> Steps:
    run = case.run
    name = run.fresh_name("midway")
    witness, *volumes = (volume(case, dut, run.fresh_name("midway-volume")) for _ in range(3))
    left, changed = [an_image(dut, image), witness], [container(dut, image, name), *volumes]
    changed.append(an_image(dut, run.image_to_remove))
    if instances := plugins(case, dut):
        left.append(instances[0])
        changed.append(instances[1])
    kinds = options.midway_changes(run.config)
    changed = [subject for subject in changed if subject.kind in kinds]
    if not changed:
        pytest.skip("the device has nothing of what --midway-changes names")
    around = Surroundings(run, dut)
    client = Client(case, dut, case.window.removeprefix("seed"), changed, left)
    with case.procedure("deploy the image, and make a volume and a plugin that nobody changes"):
        client.make_what_is_left()
    as_asked(case, dut, image, dict.fromkeys(left, THERE))
    failover = yield SwitchoverStep("switch over meanwhile", during=client.going_on)
    with case.procedure("all that was asked came to an end"):
        client.expect_end()
    client.look_in_the_end()
    run.evidence[store.HISTORY] = client.history.encoded()
    with case.procedure(FITS):
        if findings := client.history.findings():
            raise ExpectationFailed("; ".join(findings))
    as_asked(case, dut, image, {subject: client.entries_last(subject.name) for subject in client.subjects})
    with case.procedure("its port is open while it runs, and closed where it does not"):
        expect_port(case, dut, image, client.entries_last(name) if "container" in kinds else ABSENT)
    with case.procedure("all of it can be undone, and done again"):
        for subject in changed:
            again(case, subject)
    finish(case, dut, around, failover.primary)


def as_asked(case: Case, dut: Device, image: ImageUnderTest, found: Mapping[Subject, str]) -> None:
    """What is there is what was asked for."""
    for subject, state in found.items():
        if subject.kind == "volume" and state == THERE:
            volume_as_asked(case, dut, AskedVolume.of(case.run, subject.name))
        elif subject.kind == "plugin" and state == THERE:
            plugin_as_asked(case, dut, subject.name, plugin_archive.CONFIG)
        elif subject.kind == "container" and state == LAST_OF_CONTAINERS:
            container_as_asked(case, dut, AskedContainer(subject.name, image))


def expect_port(case: Case, dut: Device, image: ImageUnderTest, found: str) -> None:
    """A port that answers for nobody is an orphan."""
    if case.run.unreachable:
        raise NotChecked(case.run.unreachable)
    case.run.configuring.before_dialling(image.port)
    settled(case, lambda: look_port(case, dut, image.port), (ANSWERING if found == RUNNING else SILENT,))


def again(case: Case, subject: Subject) -> None:
    """Remove it, whatever there is of it, and make it anew."""
    done = RUNNING if subject.kind == "container" else THERE
    for operation, wanted in (("remove", ABSENT), (making(subject), done)):
        settled(case, lambda: looked_or_done(subject, operation, wanted), (wanted,), watch=0)  # noqa: B023 - at once


def looked_or_done(subject: Subject, operation: str, wanted: str) -> str:
    """What is there; the operation is done where it is not that, for an incomplete list may have hidden it before."""
    if (found := subject.look()) == wanted:
        return found
    tolerant(subject.do[operation], AlreadyExists, NotFound)
    look: Callable[[], str] = subject.look
    return look()
