"""What this machine writes down of what it makes: before it is made, in lines that survive damage."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from holdfast import aio, cntrsrv, exceptions, journal, plugin_archive
from holdfast.journal import Journal

from conftest import isolated

ADDRESS = "192.0.2.1:9339"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def line(name: str, **more: object) -> str:
    return json.dumps({"time": 1.0, "run": "r1", "name": name, **more}) + "\n"


def test_each_kind_is_on_record_with_its_name_and_run(device: holdfast.Device, archive: Path, tmp_path: Path) -> None:
    known = Journal(device.address)
    ours = device.recording("r1", labels={"holdfast.run": "r1"}, journal=known.file)
    plugin_archive.write_archive(tmp_path / "plugin.tar")
    ours.containerz.deploy(archive, retag="web_image:v1")
    ours.containerz.create_volume("data", labels={"mine": "yes"})
    ours.containerz.start("web", image="web_image:v1", volumes={"data": "/data"}, ports={60061: 60061})
    ours.containerz.deploy(tmp_path / "plugin.tar", name="rootfs", is_plugin=True)
    ours.containerz.start_plugin("rootfs", "instance")
    assert ours.made == [
        ("image", "web_image", "v1"),
        ("volume", "data", ""),
        ("container", "web", ""),
        ("plugin archive", "rootfs", ""),
        ("plugin", "instance", ""),
    ]
    assert [(entry.kind, entry.name, entry.tag) for entry in known.entries()] == ours.made
    assert {entry.run for entry in known.entries()} == {"r1"}
    assert {entry.device for entry in known.entries()} == {device.address}
    assert device.containerz.container("web").labels["holdfast.run"] == "r1"
    assert device.containerz.volumes()[0].labels == {"holdfast.run": "r1", "mine": "yes"}
    ours.containerz.update("web", image="web_image:v1", ports={60061: 60061})
    assert device.containerz.container("web").labels["holdfast.run"] == "r1"
    assert device.made == []


def test_what_was_there_before_is_not_on_record(device: holdfast.Device, archive: Path, tmp_path: Path) -> None:
    plugin_archive.write_archive(tmp_path / "plugin.tar")
    device.containerz.deploy(archive, retag="web_image:v1")
    device.containerz.create_volume("data")
    device.containerz.start("web", image="web_image:v1", ports={60061: 60061})
    device.containerz.deploy(tmp_path / "plugin.tar", name="rootfs", is_plugin=True)
    device.containerz.start_plugin("rootfs", "instance")
    ours = device.recording("r1", labels={"holdfast.run": "r1"}, journal=Journal(device.address).file)
    ours.containerz.deploy(archive, retag="web_image:v1")
    ours.containerz.deploy(archive, retag="web_image:v1", replace=True)
    for look_first in (True, False):
        with pytest.raises(exceptions.AlreadyExists):
            ours.containerz.create_volume("data", look_first=look_first)
    with pytest.raises(exceptions.AlreadyExists):
        ours.containerz.start("web", image="web_image:v1")
    with pytest.raises(exceptions.RpcError):
        ours.containerz.start_plugin("rootfs", "instance")
    ours.containerz.update("web", image="web_image:v1", ports={60061: 60061})
    assert "holdfast.run" not in device.containerz.container("web").labels
    assert ours.made == []
    assert Journal(device.address).entries() == []


def test_it_is_on_record_before_it_is_asked_for(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device, archive: Path
) -> None:
    """The device never answers, or refuses for a reason that tells nothing: there may be something."""
    known = Journal(device.address)
    ours = device.recording("r1", journal=known.file)
    with (
        chassis_of_test.failpoint("containerz.CreateVolume", "1*error[INTERNAL](broken)"),
        pytest.raises(exceptions.RpcError),
    ):
        ours.containerz.create_volume("data")
    assert [str(entry.name) for entry in known.entries()] == ["data"]
    # Somebody else was quicker: it is theirs.
    ours.containerz.deploy(archive, retag="web_image:v1")
    with (
        chassis_of_test.failpoint("containerz.StartContainer", "1*error[ALREADY_EXISTS](quicker)"),
        pytest.raises(exceptions.AlreadyExists),
    ):
        ours.containerz.start("web", image="web_image:v1")
    assert ("container", "web", "") not in ours.made
    assert [entry.name for entry in known.entries()] == ["data", "web_image"]


def test_a_container_that_a_list_lacked_is_not_ours(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device, archive: Path
) -> None:
    """As after a failover: it is its owner's, stopped as he left it, and a start that is refused removes nothing."""
    device.containerz.deploy(archive, retag="web_image:v1")
    device.containerz.start("web", image="web_image:v1", restart="NONE")
    device.containerz.stop("web")
    ours = device.recording("r1", journal=Journal(device.address).file)
    with (
        chassis_of_test.failpoint("containerz.ListContainer.row", "1*drop"),
        pytest.raises(exceptions.AlreadyExists),
    ):
        ours.containerz.start("web", image="web_image:v1")
    assert device.containerz.container("web").status == "STOPPED"
    assert ours.made == []
    assert Journal(device.address).entries() == []


def test_a_record_within_a_record(device: holdfast.Device) -> None:
    outer = device.recording("r1")
    outer.containerz.create_volume("of-the-session")
    inner = outer.recording("r1")
    inner.containerz.create_volume("of-the-test")
    assert outer.made == [("volume", "of-the-session", "")]
    assert inner.made == [("volume", "of-the-test", "")]


def test_the_awaitable_device_keeps_a_record_too(chassis_of_test: holdfast.Emulator) -> None:
    async def make() -> list[tuple[str, str, str]]:
        async with aio.connect(chassis_of_test.address, insecure=True) as dut:
            ours = dut.recording("r1", labels={"holdfast.run": "r1"})
            await ours.containerz.create_volume("data")
            return ours.made

    assert asyncio.run(make()) == [("volume", "data", "")]


def test_what_is_gone_is_struck_and_an_empty_journal_removed(state: Path) -> None:
    known = Journal(ADDRESS)
    known.file.write_text(line("web", kind="container") + line("data", kind="volume"))
    (container, volume) = known.entries()
    known.strike([container])
    known.tidy()
    assert [entry.name for entry in Journal(ADDRESS).entries()] == ["data"]
    known.strike([volume])
    known.tidy()
    assert not known.file.exists()
    assert state.is_dir()


def test_lines_of_an_earlier_version_have_a_name_alone() -> None:
    known = Journal(ADDRESS)
    known.file.write_text(line("holdfast-r1-volume") + line("holdfast-r1"))
    volume, image = known.entries()
    assert volume.is_of("volume", "holdfast-r1-volume", "")
    assert volume.is_of("container", "holdfast-r1-volume", "")
    assert image.is_of("image", "whatever", "holdfast-r1")
    assert not image.is_of("image", "holdfast-r1", "v1")
    known.strike([volume])
    assert known.entries() == [image]


@pytest.mark.parametrize(
    "damage",
    [
        b'{"time": 1.0, "run": "r',
        b"\xff\xfe\x00\n",
        b"[]\n",
        b'"text"\n',
        b"{}\n",
        b'{"time": "noon", "run": "r1", "name": "x"}\n',
        b'{"time": 1e300, "run": "r1", "name": "x"}\n',
        b'{"time": 1, "run": 7, "name": "x"}\n',
        b'{"time": 1, "run": "r1", "name": null}\n',
    ],
)
def test_damaged_lines_are_set_aside_and_told_once(damage: bytes) -> None:
    known = Journal(ADDRESS)
    good = line("web", kind="container").encode()
    known.file.write_bytes(good + damage)
    assert [entry.name for entry in known.entries()] == ["web"]
    (warning,) = known.warnings
    assert "1 line of" in warning
    kept = known.file.with_suffix(".damaged")
    assert str(kept) in warning
    assert kept.read_bytes().strip() == damage.strip()
    again = Journal(ADDRESS)
    assert [entry.name for entry in again.entries()] == ["web"]
    assert again.warnings == []


def test_a_line_after_one_that_was_cut_short_is_read(device: holdfast.Device) -> None:
    known = Journal(device.address)
    known.file.write_text('{"time": 1.0, "ru')
    device.recording("r1", journal=known.file).containerz.create_volume("data")
    assert [entry.name for entry in known.entries()] == ["data"]


def test_a_device_of_two_addresses_is_known_by_each_of_them() -> None:
    both = Journal(f"{ADDRESS},192.0.2.2:9339")
    both.file.write_text(
        line("web", kind="container", device=f"{ADDRESS},192.0.2.2:9339")
        + line("image", kind="image", tag="holdfast-r1", device=f"{ADDRESS},192.0.2.2:9339")
    )
    assert [entry.name for entry in Journal(ADDRESS).entries()] == ["web", "image"]
    # Under a name of its own the address does not show it; what has the run's id in its name is nobody else's.
    assert [entry.name for entry in Journal("rack1:9339").entries()] == ["image"]
    assert Journal("rack1:9339").entries()[0].file == both.file


def test_this_machine_has_one_id(tmp_path: Path, state: Path) -> None:
    ask = [sys.executable, "-c", "from holdfast import journal; print(journal.machine())"]
    asked = [subprocess.Popen(ask, stdout=subprocess.PIPE, text=True, env=isolated(tmp_path, {})) for _ in range(6)]
    ids = {process.communicate(timeout=60)[0].strip() for process in asked}
    assert ids == {journal.machine()}
    assert [file.name for file in (state / "holdfast").iterdir()] == ["machine"]


def test_without_a_state_folder_another_is_taken_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    known = Journal(ADDRESS)
    assert known.file.is_relative_to(tmp_path)
    assert "/proc/nowhere/holdfast cannot be written" in known.warnings[0]
    known.file.write_text(line("web", kind="container"))
    assert [entry.name for entry in Journal(ADDRESS).entries()] == ["web"]
    held = journal.lock(ADDRESS)
    with pytest.raises(exceptions.DeviceOccupied):
        journal.lock(ADDRESS)
    held.release()


def test_somebody_elses_folder_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"holdfast-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(exceptions.HoldfastError, match="no place to write down") as caught:
        journal.folder()
    assert "XDG_STATE_HOME" in str(caught.value.hint)


def test_an_archives_labels_are_in_its_image(tmp_path: Path) -> None:
    archive = tmp_path / "labelled.tar"
    cntrsrv.write_archive(archive, labels={"holdfast.run": "r1"})
    with holdfast.emulator() as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        dut.containerz.start("web", image=dut.containerz.deploy(archive))
        assert dut.containerz.container("web").labels["holdfast.run"] == "r1"
