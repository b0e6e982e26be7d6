"""What is ours on a device: by this machine's journal and by labels, never by a name. And `holdfast clean`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import holdfast
from holdfast import exceptions, journal, leftovers, plugin_archive
from holdfast.journal import MACHINE_LABEL, RUN_LABEL, Journal

from conftest import RunSuite, emulate
from peers import command, command_apart

QUICK = ("--dut-no-ping", "--dut-deadline", "watch=0s")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder of the test's own, which `isolated` names, too."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def recorded(device: holdfast.Device, run: str = "r1", *, machine: str | None = None) -> holdfast.Device:
    """A device as a run of this machine, or of another, makes things on it."""
    labels = {RUN_LABEL: run, MACHINE_LABEL: machine or journal.machine()}
    return device.recording(run, labels=labels, journal=None if machine else Journal(device.address).file)


def make_all(device: holdfast.Device, archive: Path, folder: Path, name: str) -> None:
    """One thing of each kind, with `name` as its name or its tag."""
    plugin_archive.write_archive(folder / "plugin.tar")
    device.containerz.deploy(archive, retag=f"somebodys:{name}")
    device.containerz.create_volume(name)
    device.containerz.start(name, image=f"somebodys:{name}", ports={60061: 7007})
    device.containerz.deploy(folder / "plugin.tar", name=name, is_plugin=True)
    device.containerz.start_plugin(name, name)


def there(device: holdfast.Device) -> list[str]:
    """All that the device lists."""
    containerz = device.containerz
    found = [f"container {row.name}" for row in containerz.containers()]
    found += [f"image {row.name}:{tag}" for row in containerz.images() for tag in row.tags]
    found += [f"volume {row.name}" for row in containerz.volumes()]
    return [*found, *(f"plugin {row.instance_name}" for row in containerz.plugins())]


def clean(address: str, tmp_path: Path, *options: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return command(tmp_path, *before, "--dut", address, "--dut-insecure", "clean", *options)


def test_where_nothing_is_left_a_line_says_so(device: holdfast.Device, tmp_path: Path) -> None:
    for options in ((), ("--yes",)):
        done = clean(device.address, tmp_path, *options)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == f"holdfast: nothing of an earlier run is left on {device.address}\n"
    assert clean(device.address, tmp_path, before=("--json",)).stdout == "[]\n"
    (tmp_path / "tmp").mkdir()
    done = command_apart(tmp_path, "lab", "clean", TMPDIR=str(tmp_path / "tmp"))
    assert (done.stdout, done.stderr) == ("", "holdfast: no lab that was killed has left anything here\n")


@pytest.mark.parametrize("name", ["holdfast-db", "holdfast-agent", "holdfast-latest", "holdfast-0123456789-volume"])
def test_what_only_looks_like_ours_is_shown_and_left(
    device: holdfast.Device, archive: Path, tmp_path: Path, name: str
) -> None:
    make_all(device, archive, tmp_path, name)
    before = there(device)
    assert len(before) == 4
    for options in ((), ("--yes",), ("--from-elsewhere", "--yes")):
        done = clean(device.address, tmp_path, *options)
        assert done.returncode == 0, done.stderr
        assert there(device) == before
        for what in ("container", "volume", "plugin"):
            alone = f"left alone: {what} {name} is not in this machine's journal and bears no label holdfast.run"
            assert alone in done.stderr
        assert f"left alone: image somebodys:{name} is not in" in done.stderr
        assert name not in done.stdout
    told = leftovers.refuse_foreign(device, "mine")
    assert len(told) == 4


def test_a_run_goes_on_beside_what_only_looks_like_ours(
    device: holdfast.Device, archive: Path, tmp_path: Path, run_suite: RunSuite
) -> None:
    make_all(device, archive, tmp_path, "holdfast-db")
    before = there(device)
    run = run_suite("-k", "cntr3_1 or cntr3_5", "--dut", device.address, "--dut-insecure", *QUICK)
    assert run.exit_code == 0, run.output
    assert "left alone: container holdfast-db" in run.output
    assert there(device) == before


def test_what_a_run_of_this_machine_made_is_removed_whatever_its_name(
    device: holdfast.Device, archive: Path, tmp_path: Path
) -> None:
    device.containerz.create_volume("mine")
    make_all(recorded(device), archive, tmp_path, "web")
    with pytest.raises(exceptions.DeviceOccupied, match=r"things of another run \(r1\)") as refused:
        leftovers.refuse_foreign(device, "mine")
    assert f"holdfast --dut {device.address} clean --yes" in str(refused.value.hint)
    listed = clean(device.address, tmp_path, before=("--json",))
    rows = {(row["kind"], row["name"], row["tag"]): row for row in json.loads(listed.stdout)}
    assert set(rows) == {
        ("container", "web", ""),
        ("image", "somebodys", "web"),
        ("volume", "web", ""),
        ("plugin", "web", ""),
    }
    assert {(row["run"], row["whose"]) for row in rows.values()} == {("r1", "this machine")}
    assert all(row["made"].startswith("20") for row in rows.values())
    assert len(there(device)) == 5, "only looked"
    done = clean(device.address, tmp_path, "--yes")
    assert done.returncode == 0, done.stderr
    assert there(device) == ["volume mine"]
    assert Journal(device.address).entries() == []
    with pytest.raises(exceptions.NotFound):
        device.containerz.start_plugin("web", "web")  # its archive is gone, too
    assert clean(device.address, tmp_path, "--yes").returncode == 0


def test_without_the_journal_labels_say_it(device: holdfast.Device, archive: Path, tmp_path: Path) -> None:
    make_all(recorded(device), archive, tmp_path, "web")
    Journal(device.address).file.unlink()
    done = clean(device.address, tmp_path, "--yes")
    assert done.returncode == 0, done.stderr
    assert there(device) == ["image somebodys:web", "plugin web"]


def test_a_damaged_journal_is_told_of_and_labels_say_the_rest(
    device: holdfast.Device, archive: Path, tmp_path: Path
) -> None:
    make_all(recorded(device), archive, tmp_path, "web")
    file = Journal(device.address).file
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(line[:20] + b"\n" if b'"container"' in line else line for line in lines))
    done = clean(device.address, tmp_path, "--yes")
    assert done.returncode == 0, done.stderr
    assert "could not be read: kept in" in done.stderr
    assert "Traceback" not in done.stderr
    assert there(device) == []
    assert file.with_suffix(".damaged").exists()
    assert "could not be read" not in clean(device.address, tmp_path).stderr


def test_another_machines_run_is_refused_shown_and_removed_when_told_to(
    device: holdfast.Device, archive: Path, tmp_path: Path, run_suite: RunSuite
) -> None:
    make_all(recorded(device, "r2", machine="another"), archive, tmp_path, "web")
    device.containerz.create_volume("of-old", labels={RUN_LABEL: "r3"})  # by a version that named no machine
    run = run_suite("-k", "cntr3_1", "--dut", device.address, "--dut-insecure")
    assert run.exit_code == 3, run.output
    assert "things of another run (r2, r3; of another machine)" in run.output
    assert "clean --from-elsewhere --yes" in run.output
    before = there(device)
    done = clean(device.address, tmp_path, "--yes")
    assert done.returncode == 0, done.stderr
    assert there(device) == before
    assert "from elsewhere" in done.stdout
    assert "left alone: volume web is of another machine's run r2; --from-elsewhere removes it, too" in done.stderr
    listed = json.loads(clean(device.address, tmp_path, before=("--json",)).stdout)
    assert {(row["name"], row["run"], row["whose"]) for row in listed} == {
        ("web", "r2", "another machine"),
        ("of-old", "r3", "another machine"),
    }
    done = clean(device.address, tmp_path, "--from-elsewhere", "--yes")
    assert done.returncode == 0, done.stderr
    assert there(device) == ["image somebodys:web", "plugin web"], "what bears no labels"


def test_a_run_cleans_up_after_one_that_was_killed_by_an_earlier_version(
    device: holdfast.Device, archive: Path, tmp_path: Path
) -> None:
    """Its journal has names alone, and only such as have the run's id in them."""
    make_all(device, archive, tmp_path, "holdfast-r1-all")
    Journal(device.address).file.write_text('{"time": 1.0, "run": "r1", "name": "holdfast-r1-all"}\n')
    with pytest.raises(exceptions.DeviceOccupied, match="r1"):
        leftovers.refuse_foreign(device, "mine")
    done = clean(device.address, tmp_path, "--yes")
    assert done.returncode == 0, done.stderr
    assert there(device) == []
    assert not Journal(device.address).file.exists()


def test_a_name_on_record_that_somebody_else_has_taken_since_is_left(device: holdfast.Device, tmp_path: Path) -> None:
    recorded(device).containerz.create_volume("data")
    device.containerz.remove_volume("data")
    device.containerz.create_volume("data", labels={"owner": "somebody"})
    done = clean(device.address, tmp_path, "--yes")
    assert done.returncode == 0, done.stderr
    assert "left alone: volume data" in done.stderr
    assert there(device) == ["volume data"]


def test_what_has_the_id_of_a_run_on_record_in_its_name_is_that_runs(
    device: holdfast.Device, archive: Path, tmp_path: Path
) -> None:
    """As where a device moved a tag, or has a copy: only the run knew its id."""
    recorded(device, "r1").containerz.create_volume("data")
    make_all(device, archive, tmp_path, "holdfast-r1-copy")
    device.containerz.create_volume("holdfast-r2-copy")
    done = clean(device.address, tmp_path, "--yes")
    assert done.returncode == 0, done.stderr
    assert there(device) == ["volume holdfast-r2-copy"]


def test_what_a_device_has_twice_is_removed_twice(device: holdfast.Device, chassis_of_test: holdfast.Emulator) -> None:
    device.containerz.create_volume("data")
    thing = leftovers.LeftOver("volume", "data", "", "r1")
    with chassis_of_test.failpoint("remove_volume.ignored", "2*error(x)"):
        assert leftovers.remove(device, [thing]) == {}
    assert there(device) == []


def test_what_stays_is_told_with_exit_code_1_and_stays_on_record(
    chassis_of_test: holdfast.Emulator, device: holdfast.Device, tmp_path: Path
) -> None:
    recorded(device).containerz.create_volume("data")
    for failpoint, terms, why in (
        ("containerz.RemoveVolume", "error[PERMISSION_DENIED](no)", "no"),
        ("remove_volume.ignored", "error(x)", "the device says that it removed it, and lists it"),
        ("containerz.RemoveVolume", "error[NOT_FOUND](nowhere)", "the device says that it is not there, and lists it"),
    ):
        with chassis_of_test.failpoint(failpoint, terms):
            done = clean(device.address, tmp_path, "--yes")
        assert done.returncode == 1, done.stderr
        assert "could not remove volume data" in done.stderr
        assert why in done.stderr
        assert [entry.name for entry in Journal(device.address).entries()] == ["data"]
    assert clean(device.address, tmp_path, "--yes").returncode == 0
    assert there(device) == []


def test_nothing_is_removed_under_a_run_that_is_under_way(device: holdfast.Device, tmp_path: Path) -> None:
    recorded(device).containerz.create_volume("data")
    held = journal.lock(device.address)
    try:
        done = clean(device.address, tmp_path, "--yes")
    finally:
        held.release()
    assert done.returncode == 3
    assert "another run uses this device" in done.stderr
    assert there(device) == ["volume data"]


def test_a_joined_row_is_read_as_each_of_its_names(archive: Path, tmp_path: Path) -> None:
    """One row for all names of an image, as the reference server lists them: the first name, and all tags."""
    with (
        holdfast.emulator(quirks=["joined-image-rows"]) as chassis,
        holdfast.connect(chassis.address, insecure=True) as device,
    ):
        device.containerz.deploy(archive, retag="aaa_first:latest")
        ours = recorded(device)
        ours.containerz.deploy(archive, retag="cntrsrv_image:holdfast-r1")
        ours.containerz.deploy(archive, retag="web:v1")
        (row,) = device.containerz.images()
        assert row.name == "aaa_first"
        assert len(row.tags) == 3
        with pytest.raises(exceptions.DeviceOccupied, match="image cntrsrv_image:holdfast-r1; image web:v1"):
            leftovers.refuse_foreign(device, "mine")
        done = clean(chassis.address, tmp_path, "--yes")
        assert done.returncode == 0, done.stderr
        assert "cntrsrv_image:holdfast-r1" in done.stdout
        assert there(device) == ["image aaa_first:latest"]


def test_of_a_joined_row_not_found_is_no_success(archive: Path, tmp_path: Path) -> None:
    with (
        holdfast.emulator(quirks=["joined-image-rows"]) as chassis,
        holdfast.connect(chassis.address, insecure=True) as device,
    ):
        device.containerz.deploy(archive, retag="aaa_first:latest")
        recorded(device).containerz.deploy(archive, retag="cntrsrv_image:holdfast-r1")
        with chassis.failpoint("containerz.RemoveImage", "error[NOT_FOUND](nowhere)"):
            done = clean(chassis.address, tmp_path, "--yes")
        assert done.returncode == 1, done.stdout
        assert "the device says that it is not there, and lists it" in done.stderr


def test_one_of_two_names_with_the_same_tag(archive: Path) -> None:
    with (
        holdfast.emulator(quirks=["joined-image-rows"]) as chassis,
        holdfast.connect(chassis.address, insecure=True) as device,
    ):
        ours = recorded(device)
        ours.containerz.deploy(archive, retag="app:v1")
        device.containerz.deploy(archive, retag="aaa_first:v1")
        device.containerz.deploy(archive, retag="bbb:v1")
        thing = leftovers.LeftOver("image", "app", "v1", "r1")
        assert leftovers.remove(device, [thing]) == {}
        assert sorted(there(device)) == ["image aaa_first:v1", "image aaa_first:v1"]


def test_a_run_on_joined_rows_leaves_nothing(archive: Path, tmp_path: Path, run_suite: RunSuite) -> None:
    """The image under test is on the device under its owner's name already."""
    with (
        emulate(tmp_path, "--quirk", "joined-image-rows") as address,
        holdfast.connect(address, insecure=True) as device,
    ):
        device.containerz.deploy(archive, retag="aaa_first:latest")
        options = ("--dut", address, "--dut-insecure", "--dut-image", str(archive), *QUICK)
        run = run_suite("-k", "cntr3_1", *options)
        assert run.exit_code == 0, run.output
        assert there(device) == ["image aaa_first:latest"]


@pytest.mark.parametrize("quirk", ["tag-behind-name", "names-behind-one-id", "normalised-names"])
def test_an_image_that_stays_is_not_gone_however_it_is_listed(quirk: str, archive: Path) -> None:
    """Its removal is answered with success, and changes nothing."""
    with (
        holdfast.emulator(quirks=[quirk]) as chassis,
        holdfast.connect(chassis.address, insecure=True) as device,
    ):
        recorded(device).containerz.deploy(archive, retag="app:v1")
        device.containerz.deploy(archive, retag="other:v1")
        thing = leftovers.LeftOver("image", "app", "v1", "r1")
        assert leftovers.survey(device).found == [replace(thing, made=leftovers.survey(device).found[0].made)]
        with chassis.failpoint("remove_image.ignored", "error(x)"):
            assert device.containerz.remove_image("app:v1")
            with pytest.raises(exceptions.ExpectationFailed, match="app:v1 is listed"):
                device.containerz.expect_no_image("app:v1", within=0, watch=0)
            assert thing in leftovers.remove(device, [thing])
        assert leftovers.remove(device, [thing]) == {}
        device.containerz.expect_no_image("app:v1", watch=0)
        assert device.containerz.expect_image("other:v1", watch=0).tags == ("v1",)


def test_a_container_is_found_by_each_of_its_names(archive: Path) -> None:
    with (
        holdfast.emulator(quirks=["linked-names", "slashed-names"]) as chassis,
        holdfast.connect(chassis.address, insecure=True) as device,
    ):
        device.containerz.deploy(archive, retag="app:v1")
        device.containerz.start("web", image="app:v1", ports={60061: 7007})
        for name in ("web", "other/alias"):
            found = device.containerz.expect_container(name, like=device.containerz.container(name), watch=0)
            assert (found.name, found.aliases) == ("web", ("other/alias",))
            with pytest.raises(exceptions.ExpectationFailed):
                device.containerz.expect_no_container(name, within=0, watch=0)
        assert there(device) == ["container web", "image app:v1"]
        assert leftovers.remove(device, [leftovers.LeftOver("container", "web", "", "r1")]) == {}


@pytest.mark.parametrize("comes", [True, False])
def test_what_was_under_way_when_a_run_was_interrupted_is_waited_for_and_remembered(
    device: holdfast.Device, monkeypatch: pytest.MonkeyPatch, comes: bool
) -> None:
    """A device may finish what nobody waits for any more, after it was asked to remove it."""
    before = leftovers.Listed.of(device)
    interrupted = SimpleNamespace(
        made=[("volume", "removed", ""), ("volume", "late", "")], containerz=device.containerz
    )
    looks = 0

    def of(_: object) -> leftovers.Listed:
        nonlocal looks
        looks += 1
        if comes and looks == 3:
            device.containerz.create_volume("late")
        return look(device)

    look = leftovers.Listed.of
    monkeypatch.setattr(leftovers, "UNDER_WAY", 2.0 if comes else 0.3)
    monkeypatch.setattr(leftovers.Listed, "of", of)
    listed, late = leftovers.late(interrupted, before, "r1")  # type: ignore[arg-type]
    thing = leftovers.LeftOver("volume", "late", "", "r1")
    assert (listed.has(thing), late) == ((True, None) if comes else (False, thing))
    again = leftovers.late(interrupted, listed, "r1")  # type: ignore[arg-type]
    assert again == (listed, late), "it is there, or still not"
    assert leftovers.late(SimpleNamespace(made=[]), listed, "r1") == (listed, None)  # type: ignore[arg-type]
