"""What a device lists right after a thing was made, against what was asked for: what is healthy, what is not told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.exceptions import ExpectationFailed
from holdfast.pytest_plugin.case import NotChecked
from holdfast.pytest_plugin.run import ImageUnderTest
from holdfast.results import Archive, Volume
from holdfast.suites.made import (
    AskedVolume,
    expect_among,
    expect_configuration,
    expect_driver,
    expect_image_listed,
    expect_options,
)

from conftest import RunSuite

BIND = {"mountpoint": "/tmp", "options": "rw,bind"}
LISTED = {"type": "none", "device": "/tmp", "o": "rw,bind"}


@pytest.mark.parametrize(
    ("asked", "listed"),
    [
        ("local", "local"),
        ("local", "DS_LOCAL"),
        ("local", "local:latest"),
        ("custom", "custom:latest"),
        ("custom", "vendor/plugin:1.2"),
    ],
)
def test_a_driver_by_any_of_its_names_is_healthy(asked: str, listed: str) -> None:
    expect_driver(AskedVolume("v", asked, {}), Volume("v", driver=listed))


@pytest.mark.parametrize(("asked", "listed"), [("local", "custom:latest"), ("custom", "local"), ("custom", "DS_LOCAL")])
def test_another_driver_is_not(asked: str, listed: str) -> None:
    with pytest.raises(ExpectationFailed, match=f"with the driver {asked}, and has {listed}"):
        expect_driver(AskedVolume("v", asked, {}), Volume("v", driver=listed))


@pytest.mark.parametrize(("asked", "listed"), [("local", ""), (None, "local"), (None, "")])
def test_a_driver_that_is_not_listed_or_asked_for_is_not_checked(asked: str | None, listed: str) -> None:
    with pytest.raises(NotChecked):
        expect_driver(AskedVolume("v", asked, {}), Volume("v", driver=listed))


@pytest.mark.parametrize(
    ("driver", "asked", "listed"),
    [
        ("local", BIND, LISTED),
        ("local", BIND, {**LISTED, "o": "bind,rw"}),
        ("local", BIND, {**LISTED, "device": "/tmp/"}),
        ("local", BIND, BIND),
        ("local", BIND, {**LISTED, "size": "unlimited"}),
        ("local", {"mountpoint": "/tmp"}, LISTED),
        ("custom", {"a": "1", "b": "2"}, {"b": "2", "a": "1", "c": "3"}),
    ],
)
def test_options_in_any_order_and_more_than_were_asked_for_are_healthy(
    driver: str, asked: Mapping[str, str], listed: dict[str, str]
) -> None:
    expect_options(AskedVolume("v", driver, asked), Volume("v", driver=driver, options=listed), by_plan=True)


@pytest.mark.parametrize(
    ("driver", "asked", "listed"),
    [
        ("local", BIND, {**LISTED, "device": "/var"}),
        ("local", BIND, {**LISTED, "o": "bind"}),
        ("local", BIND, {"type": "none"}),
        ("custom", {"a": "1"}, {"a": "2"}),
        ("custom", {"a": "1"}, {"A": "1"}),
    ],
)
def test_options_that_are_missing_or_others_are_not(
    driver: str, asked: Mapping[str, str], listed: dict[str, str]
) -> None:
    with pytest.raises(ExpectationFailed, match="was made with the options"):
        expect_options(AskedVolume("v", driver, asked), Volume("v", driver=driver, options=listed))


def test_options_that_are_not_listed_are_not_checked_but_by_the_plan_of_who_lists_drivers() -> None:
    asked = AskedVolume("v", "custom", {"a": "1"})
    with pytest.raises(NotChecked, match="lists no options"):
        expect_options(asked, Volume("v", driver="custom"))
    with pytest.raises(NotChecked, match="lists no options"):
        expect_options(asked, Volume("v"), by_plan=True)
    with pytest.raises(ExpectationFailed):
        expect_options(asked, Volume("v", driver="custom"), by_plan=True)


def test_labels_of_the_device_beside_those_that_were_asked_for_are_healthy() -> None:
    expect_among("labels", {"a": "1"}, {"a": "1", "net.example.slot": "1"})
    with pytest.raises(NotChecked, match="does not list its labels"):
        expect_among("labels", {"a": "1"}, {})
    with pytest.raises(ExpectationFailed, match="a=1 is missing; b=2 is '3'"):
        expect_among("labels", {"a": "1", "b": "2"}, {"b": "3"})


@pytest.fixture
def sent(device: holdfast.Device, archive: Path) -> ImageUnderTest:
    """An image on the device under two names, and another beside it."""
    found = Archive.open(archive).image()
    for name in ("app:v1", "lab:5000/else/app:v2"):
        device.containerz.deploy(archive, retag=name)
    other = archive.with_name("other.tar")
    if not other.exists():
        holdfast.cntrsrv.write_archive(other, name="other", labels={"other": "yes"})
    device.containerz.deploy(other)
    return ImageUnderTest("app", "v1", found.id, str(archive), None, "", 60061, "")


def test_an_image_by_any_of_its_names_and_digests_is_the_one_that_was_asked_for(
    device: holdfast.Device, sent: ImageUnderTest
) -> None:
    bare = sent.id.removeprefix("sha256:")
    names = ("app:v1", "docker.io/library/app:v1", "localhost/app:v1", "lab:5000/else/app:v2")
    digests = [f"{registry}/sha256:{bare}" for registry in ("localhost", "docker.io/library")]  # podman#8547
    more = (f"app:v1@sha256:{bare}", f"x/app@sha256:{bare}", f"app:v1@sha256:{'0' * 64}", "docker://app:v1")
    for listed in (*names, sent.id, bare, bare[:12], *digests, *more):
        expect_image_listed(device, sent, listed)


def test_an_image_that_a_list_does_not_tell_is_not_checked(device: holdfast.Device, sent: ImageUnderTest) -> None:
    unknown, short = f"sha256:{0:064}", "0" * 12
    for listed in ("", "<none>", "app:<none>", "app", "docker.io/library/app", unknown, f"localhost/{unknown}", short):
        with pytest.raises(NotChecked):
            expect_image_listed(device, sent, listed)


def test_another_image_is_not_the_one_that_was_asked_for(device: holdfast.Device, sent: ImageUnderTest) -> None:
    others = [row.id for row in device.containerz.images() if row.name == "other"]
    for listed in ("app:v2", "other:latest", "other", "lab:5000/app", "lab:5000/app:v1", "impostor:v1", *others):
        with pytest.raises(ExpectationFailed, match="app:v1 was asked for"):
            expect_image_listed(device, sent, listed)
    for listed in (f"app:v1@{others[0]}", f"app@{others[0]}", f"docker.io/library/{others[0]}"):
        with pytest.raises(ExpectationFailed, match="is listed, which is other:latest"):
            expect_image_listed(device, sent, listed)
    with pytest.raises(ExpectationFailed):
        expect_image_listed(device, replace(sent, id=others[0], name="x"), "app:v1")


@pytest.mark.parametrize("quirk", ["bare-lists", "rich-lists"])
def test_a_device_that_lists_less_or_more_passes_in_the_middle_too(run_suite: RunSuite, quirk: str) -> None:
    chosen = "midway_start_container or midway_update_container or midway_create_volume"
    run = run_suite("-k", chosen, "--dut-deadline", "watch=50ms", HOLDFAST_QUIRKS=quirk)
    assert run.exit_code == 0, run.output
    for verdicts in run.cases.values():
        assert ("the device lists no" in verdicts.properties["not_checked"]) == (quirk == "bare-lists")


# A plugin's configuration, and what the reference server lists of it: its Docker engine read it into its own record.
CONFIGURATION = {
    "description": "a plugin",
    "entrypoint": ["/cntrsrv", "--plugin-socket"],
    "env": [{"name": "DEBUG", "settable": ["value"], "value": "0"}],
    "interface": {"socket": "cntrsrv.sock", "types": ["holdfast.cntrsrv/1.0"]},
    "linux": {"capabilities": [], "devices": [{"path": "/dev/fuse"}]},
    "mounts": [],
    "propagatedMount": "",
    "workdir": "/",
}
REWRITTEN: dict[str, Any] = {
    "Args": {"Description": "", "Name": "", "Settable": None, "Value": None},
    "Description": "a plugin",
    "DockerVersion": "20.10.24+dfsg1",
    "Entrypoint": ["/cntrsrv", "--plugin-socket"],
    "Env": [{"Description": "", "Name": "DEBUG", "Settable": ["value"], "Value": "0"}],
    "Interface": {"Socket": "cntrsrv.sock", "Types": ["holdfast.cntrsrv/1.0"]},
    "Linux": {"AllowAllDevices": False, "Capabilities": None, "Devices": [{"Name": "", "Path": "/dev/fuse"}]},
    "Mounts": None,
    "WorkDir": "/",
    "rootfs": {"diff_ids": ["sha256:00"], "type": "layers"},
}


@pytest.mark.parametrize("more", [{}, {"comment": "which the engine does not know"}])
def test_a_configuration_as_an_engine_rewrites_it_is_healthy(more: dict[str, str]) -> None:
    asked = json.dumps({**CONFIGURATION, **more})
    expect_configuration(asked, json.dumps(REWRITTEN, indent=2))
    expect_configuration(asked, json.dumps({**CONFIGURATION, **more, "id": "5c3b"}))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({**REWRITTEN, "Entrypoint": None}, "entrypoint is null"),
        ({**REWRITTEN, "Entrypoint": ["/other", "--plugin-socket"]}, r'entrypoint\[0\] is "/other", not "/cntrsrv"'),
        ({**REWRITTEN, "Entrypoint": ["/cntrsrv"]}, "entrypoint is"),
        ({**REWRITTEN, "Env": [{"Name": "DEBUG", "Settable": ["value"], "Value": "1"}]}, r'env\[0\].value is "1"'),
        ({**REWRITTEN, "Linux": {"Capabilities": None, "Devices": []}}, "linux.devices is"),
        ({name: value for name, value in CONFIGURATION.items() if name != "workdir"}, "workdir is missing"),
        ({**CONFIGURATION, "mounts": None}, "mounts is null"),
        ({}, "description is missing"),
    ],
)
def test_another_configuration_is_not(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ExpectationFailed, match=f"another configuration than asked for: {told}"):
        expect_configuration(json.dumps(CONFIGURATION), json.dumps(wrong))


def test_a_configuration_that_is_not_listed_is_not_checked() -> None:
    with pytest.raises(NotChecked):
        expect_configuration(json.dumps(CONFIGURATION), " ")
