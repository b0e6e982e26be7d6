"""gNOI File and Healthz: the clients, blocking and awaited, and what the emulated device serves."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import holdfast
import holdfast.aio
from holdfast import exceptions

from conftest import wait_until

MESSAGES = "/var/log/messages"
HEALTHZ = "/components/component[name=Supervisor1]"


def core_files(device: holdfast.Device, folder: str = "/var/core") -> list[str]:
    return [row.path for row in device.file.stat(folder) if "core." in row.path]


def test_stat_tells_of_a_file_and_of_what_is_in_a_folder(device: holdfast.Device) -> None:
    (messages,) = device.file.stat(MESSAGES)
    assert (messages.path, messages.permissions, messages.umask) == (MESSAGES, 644, 22)
    assert messages.size > 10
    assert messages.last_modified is not None
    assert abs(messages.last_modified - datetime.now(timezone.utc)) < timedelta(minutes=5)
    assert [row.path for row in device.file.stat("/var/")] == ["/var/core", "/var/log"]
    assert [row.path for row in device.file.stat("/var/core")] == ["/var/core/Supervisor2"]
    for absent in ("/var/none", "/var/../../../etc/passwd", f"{MESSAGES}/x"):
        with pytest.raises(exceptions.NotFound):
            device.file.stat(absent)
    for refused in ("var/log", "", "messages"):
        with pytest.raises(exceptions.InvalidArgumentError, match="begins with /"):
            device.file.stat(refused)
    for on_a_disk in ("harddisk:/x", "flash:core"):
        with pytest.raises(exceptions.RpcError):  # of which this device has none, as it says itself
            device.file.stat(on_a_disk)


def test_a_file_comes_whole_and_is_compared_with_its_hash(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device, tmp_path: Path
) -> None:
    with chassis_of_test.failpoint("load.core_dumped", "1*error(x)"):
        device.switchover(redundant=True)
    (core,) = core_files(device)
    came = device.file.get(core, tmp_path / "core")
    content = (tmp_path / "core").read_bytes()
    assert content.startswith(b"EMULATED core of supervisor")
    assert came.size == len(content) > 128_000
    assert (came.name, came.verified) == (core, True)
    assert came.hash == f"SHA256:{hashlib.sha256(content).hexdigest()}"
    with pytest.raises(exceptions.ResourceExhausted, match="more than 1000 bytes"):
        device.file.get(core, tmp_path / "large", limit=1000)
    with pytest.raises(exceptions.NotFound):
        device.file.get("/var/core/none", tmp_path / "none")
    with pytest.raises(exceptions.FailedPrecondition, match="folder"):
        device.file.get("/var/core", tmp_path / "none")
    with pytest.raises(exceptions.InvalidArgumentError, match=r"nowhere"):
        device.file.get(MESSAGES, tmp_path / "nowhere" / "x")
    assert [file.name for file in tmp_path.iterdir()] == ["core"]


WRONG = 'return{"hash": {"method": "SHA256", "hash": "AAAA"}}'


def test_what_is_not_as_its_hash_says_is_refused_or_told(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device, tmp_path: Path
) -> None:
    with (
        chassis_of_test.failpoint("file.Get.piece", f"1*off->1*{WRONG}"),
        pytest.raises(exceptions.DataLoss, match="its SHA256 is") as told,
    ):
        device.file.get(MESSAGES, tmp_path / "log")
    assert "fetch it again" in str(told.value)
    assert not list(tmp_path.iterdir())
    with chassis_of_test.failpoint("file.Get.piece", f"1*off->1*{WRONG}"):
        came = device.file.get(MESSAGES, tmp_path / "log", check=False)
    assert came.verified is False
    assert came.size == (tmp_path / "log").stat().st_size
    with chassis_of_test.failpoint("file.Get.piece", "1*off->1*drop"):
        came = device.file.get(MESSAGES, tmp_path / "log")
    assert (came.verified, came.hash) == (None, "")
    with chassis_of_test.failpoint("file.Get.piece", '1*off->1*return{"hash": {"method": "MD5", "hash": "AAAA"}}'):
        assert device.file.get(MESSAGES, tmp_path / "log", check=False).verified is False


def test_a_file_whose_device_fails_over_on_the_way_comes_all_the_same(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device, tmp_path: Path
) -> None:
    with chassis_of_test.failpoint("file.Get.piece", "1*off->1*panic(dies)"):
        came = device.file.get(MESSAGES, tmp_path / "log", timeout=20)
    assert came.verified is True
    assert chassis_of_test.active == "Supervisor2"


def test_the_standbys_core_files_are_shown_while_it_is_there(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device
) -> None:
    with chassis_of_test.failpoint("switchover.core_left", "1*error(x)"):
        device.switchover(redundant=True)
    assert core_files(device) == []
    (left,) = core_files(device, "/var/core/Supervisor1")
    device.switchover(redundant=True)
    assert core_files(device) == [f"/var/core/{Path(left).name}"]


def test_what_writes_files_on_the_device_is_left_out_and_sending_them_is_not(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device
) -> None:
    with pytest.raises(exceptions.Unimplemented):
        device.file.transfer_to_remote(MESSAGES, "host:/x")
    with chassis_of_test.failpoint("file.TransferToRemote", WRONG.replace("1*", "")):
        sent = device.file.transfer_to_remote(
            MESSAGES, "host:/x", protocol="SCP", username="anna", password="geheim", timeout=5
        )
    assert sent == "SHA256:000000"
    assert "geheim" not in str(device.timeline)
    with pytest.raises(exceptions.InvalidArgumentError, match="SFTP"):
        device.file.transfer_to_remote(MESSAGES, "host:/x", protocol="TFTP")


def test_a_component_is_healthy_until_something_befalls_it(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device, tmp_path: Path
) -> None:
    assert device.healthz.get("Supervisor1").status == "HEALTHY"
    assert device.healthz.list("Supervisor1") == ()
    with chassis_of_test.failpoint("load.process_crashed", "1*error(x)"):
        device.switchover(redundant=True)
    for component in ("Supervisor2", "/components/component[name=Supervisor2]"):
        (event,) = device.healthz.list(component)
        assert (event.component, event.status, event.acknowledged) == ("Supervisor2", "UNHEALTHY", False)
        assert event.created is not None
        (process,) = event.subcomponents
        assert (process.component, process.status, process.id) == ("Supervisor2-supervisor", "UNHEALTHY", event.id)
    assert device.healthz.get("Supervisor2").id == event.id
    assert device.healthz.get("Supervisor2-supervisor").id == event.id
    assert device.healthz.get("Supervisor1").status == "HEALTHY"
    (log,) = event.artifacts
    assert (log.kind, log.name) == ("file", "supervisor.log")
    came = device.healthz.artifact(log.id, tmp_path / "log")
    assert "signal 11" in (tmp_path / "log").read_text()
    assert (came.name, came.kind, came.size, came.verified) == ("supervisor.log", "file", log.size, True)
    for ask in (device.healthz.get, device.healthz.list, device.healthz.check):
        with pytest.raises(exceptions.NotFound, match="no component"):
            ask("Supervisor3")


def test_an_artifact_that_is_cut_short_is_refused(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device, tmp_path: Path
) -> None:
    event = device.healthz.check("Supervisor1")
    (artifact,) = event.artifacts
    for terms, says in (("2*off->1*drop", "without its trailer"), ("1*off->1*drop", "it says")):
        with chassis_of_test.failpoint("healthz.Artifact.piece", terms), pytest.raises(exceptions.DataLoss, match=says):
            device.healthz.artifact(artifact.id, tmp_path / "x")
    with chassis_of_test.failpoint("healthz.Artifact.piece", "2*off->1*drop"):
        assert device.healthz.artifact(artifact.id, tmp_path / "x", check=False).verified is False
    with pytest.raises(exceptions.NotFound):
        device.healthz.artifact("none", tmp_path / "x")


def test_an_artifact_of_messages_is_each_after_its_length(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device, tmp_path: Path
) -> None:
    (artifact,) = device.healthz.check("Supervisor1").artifacts
    message = '{"proto": {"@type": "type.googleapis.com/gnoi.healthz.ArtifactTrailer"}}'
    with chassis_of_test.failpoint("healthz.Artifact.piece", f"1*off->1*return{message}"):
        came = device.healthz.artifact(artifact.id, tmp_path / "x", check=False)
    content = (tmp_path / "x").read_bytes()
    assert content[0] == len(content) - 1 == came.size - 1
    assert b"gnoi.healthz.ArtifactTrailer" in content
    assert came.verified is False, "it is not the file that the header tells of"


def test_a_check_is_an_event_and_may_collect_more_on_another(device: holdfast.Device) -> None:
    first = device.healthz.check("Supervisor1")
    assert (first.status, len(first.artifacts)) == ("HEALTHY", 1)
    more = device.healthz.check("Supervisor1", event_id=first.id)
    assert (more.id, len(more.artifacts)) == (first.id, 2)
    assert [event.id for event in device.healthz.list("Supervisor1")] == [first.id]
    with pytest.raises(exceptions.NotFound, match="no event"):
        device.healthz.check("Supervisor1", event_id="none")


def test_a_killed_process_is_an_event(chassis_of_test: holdfast.Emulator, device: holdfast.Device) -> None:
    device.system.kill_process("supervisor")
    wait_until(lambda: chassis_of_test.active == "Supervisor2", what="the standby takes over")
    assert device.healthz.get("Supervisor1-supervisor").status == "UNHEALTHY"


def test_both_worlds_say_the_same(tmp_path: Path) -> None:
    with holdfast.emulator() as chassis:
        with holdfast.connect(chassis.address, insecure=True) as dut:
            blocking: tuple[Any, ...] = (dut.file.stat("/var/log"), dut.healthz.get("Supervisor1"))
            event = dut.healthz.check("Supervisor1")
            blocking += (dut.healthz.list("Supervisor1"), dut.file.get(MESSAGES, tmp_path / "x"))

        async def read() -> tuple[Any, ...]:
            async with holdfast.aio.connect(chassis.address, insecure=True) as dut:
                found = (await dut.file.stat("/var/log"), blocking[1])
                listed, came = await dut.healthz.list("Supervisor1"), await dut.file.get(MESSAGES, tmp_path / "x")
                artifact = await dut.healthz.artifact(event.artifacts[0].id, tmp_path / "y")
                assert artifact.verified is True
                assert (await dut.healthz.check("Supervisor1", event_id=event.id)).id == event.id
                assert (await dut.healthz.get(HEALTHZ)).component == "Supervisor1"
                return (*found, listed, came)

        assert asyncio.run(read()) == blocking


@pytest.mark.parametrize(
    ("quirk", "path", "finds"),
    [
        ("file-unimplemented", "/var/core", exceptions.Unimplemented),
        ("folder-stat-unimplemented", "/var/core", exceptions.Unimplemented),
        ("folder-stat-itself", "/var/core", ["/var/core"]),
        ("bare-file-names", "/var", ["core", "log"]),
        ("standby-files-hidden", "/var/core", []),
        ("no-core-folder", "/var/core", exceptions.NotFound),
    ],
)
def test_devices_tell_of_folders_in_several_ways(quirk: str, path: str, finds: Any) -> None:
    with holdfast.emulator(quirks=[quirk]) as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        if isinstance(finds, list):
            assert [row.path for row in dut.file.stat(path)] == finds
        else:
            with pytest.raises(finds):
                dut.file.stat(path)


def test_devices_leave_out_times_hashes_and_health(tmp_path: Path) -> None:
    quirks = ["no-file-times", "no-file-hash", "healthz-unimplemented", "old-cores"]
    with holdfast.emulator(quirks=quirks) as chassis, holdfast.connect(chassis.address, insecure=True) as dut:
        assert dut.file.stat(MESSAGES)[0].last_modified is None
        assert dut.file.get(MESSAGES, tmp_path / "log").verified is None
        with pytest.raises(exceptions.Unimplemented):
            dut.healthz.get("Supervisor1")
        assert len(core_files(dut)) == len(core_files(dut, "/var/core/Supervisor2")) == 1


@pytest.mark.parametrize("profile", ["arista-eos", "cisco-iosxr", "juniper-junos", "nokia-srlinux"])
def test_a_vendors_core_files_lie_where_it_keeps_them(profile: str) -> None:
    from holdfast import profiles

    ways = profiles.load(profile)
    with (
        holdfast.emulator(profile=profile, quirks=["old-cores"]) as chassis,
        holdfast.connect(chassis.address, insecure=True) as dut,
    ):
        found = [row.path for folder in ways.core_folders[:1] for row in dut.file.stat(folder)]
    assert any(ways.is_core_file(path) for path in found), found
