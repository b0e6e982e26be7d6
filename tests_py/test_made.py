"""What a user's own test made through `dut` is gone after it, by the session's record; what was there before is not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from holdfast import journal

from conftest import RunSuite, emulate, isolated, wait_until

TWO_WEBS = """
import pytest

@pytest.mark.parametrize("turn", [1, 2, 3])
def test_web(dut, image, turn):
    assert not dut.containerz.containers()
    assert not dut.containerz.images()
    assert not dut.containerz.volumes()
    dut.containerz.deploy(image.archive, retag="mine:v1")
    dut.containerz.create_volume("data")
    dut.containerz.start("web", image="mine:v1", volumes={"data": "/data"}, ports={60061: 60061})
    assert dut.containerz.container("web").labels["holdfast.run"]
    assert turn != 2, "on purpose"
"""


def own_tests(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "test_mine.py").write_text(text)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder of the test's own, which `isolated` names, too."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def journals(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "state" / "holdfast").glob("*.jsonl"))


def test_tests_that_make_the_same_do_not_meet(run_suite: RunSuite, tmp_path: Path) -> None:
    """One of them fails after it made it."""
    own_tests(tmp_path, TWO_WEBS)
    run = run_suite("test_mine.py")
    assert run.exit_code == 1, run.output
    assert "1 failed, 2 passed" in run.output
    assert "on purpose" in run.output
    assert journals(tmp_path) == [], "the embedded device is gone with the run"


def test_workers_that_share_a_device_make_the_same_in_turn(run_suite: RunSuite, tmp_path: Path) -> None:
    own_tests(tmp_path, TWO_WEBS)
    with emulate(tmp_path) as address, holdfast.connect(address, insecure=True) as dut:
        run = run_suite("test_mine.py", "-n", "2", "--dut", address, "--dut-insecure")
        assert "1 failed, 2 passed" in run.output
        assert not [*dut.containerz.containers(), *dut.containerz.images(), *dut.containerz.volumes()]
        assert journals(tmp_path) == []


def test_what_was_there_before_is_there_afterwards(run_suite: RunSuite, tmp_path: Path, archive: Path) -> None:
    own_tests(
        tmp_path,
        f"""
import pytest
from holdfast import exceptions

def test_beside(dut):
    with pytest.raises(exceptions.AlreadyExists):
        dut.containerz.start("web", image="theirs:v1")
    with pytest.raises(exceptions.AlreadyExists):
        dut.containerz.create_volume("data")
    dut.containerz.deploy({str(archive)!r}, retag="theirs:v1")
    dut.containerz.update("web", image="theirs:v1", ports={{60061: 60061}})
""",
    )
    with emulate(tmp_path) as address, holdfast.connect(address, insecure=True) as dut:
        dut.containerz.deploy(archive, retag="theirs:v1")
        dut.containerz.create_volume("data")
        dut.containerz.start("web", image="theirs:v1", ports={60061: 60061})
        run = run_suite("test_mine.py", "--dut", address, "--dut-insecure")
        assert run.exit_code == 0, run.output
        assert dut.containerz.container("web").running
        assert "holdfast.run" not in dut.containerz.container("web").labels
        assert [volume.name for volume in dut.containerz.volumes()] == ["data"]
        assert "theirs:v1" in dut.containerz.images()


def test_what_the_device_made_without_an_answer_is_gone_too(run_suite: RunSuite, tmp_path: Path) -> None:
    own_tests(
        tmp_path,
        """
import pytest
from holdfast import exceptions

def test_unknown(dut, image, chassis):
    dut.containerz.deploy(image.archive, retag="mine:v1")
    with chassis.failpoint("containerz.StartContainer.after", "1*error[UNAVAILABLE](lost)"):
        with pytest.raises(exceptions.RpcError):
            dut.containerz.start("web", image="mine:v1")

def test_after(dut):
    assert not dut.containerz.containers()
    assert not dut.containerz.images()
""",
    )
    run = run_suite("test_mine.py")
    assert run.exit_code == 0, run.output


@pytest.mark.parametrize("given", ["always", "failed"])
def test_kept_things_stay_on_record(run_suite: RunSuite, tmp_path: Path, given: str) -> None:
    own_tests(
        tmp_path,
        'def test_it(dut):\n    dut.containerz.create_volume("data")\n    assert False\n'
        'def test_other(dut):\n    dut.containerz.create_volume("other")\n',
    )
    with emulate(tmp_path) as address, holdfast.connect(address, insecure=True) as dut:
        run = run_suite("test_mine.py", "--dut", address, "--dut-insecure", f"--dut-keep={given}")
        assert "1 failed, 1 passed" in run.output
        kept = {"always": ["data", "other"], "failed": ["data"]}[given]
        assert sorted(volume.name for volume in dut.containerz.volumes()) == kept
        again = run_suite("test_mine.py", "--dut", address, "--dut-insecure")
        assert again.exit_code == 3
        assert "volume data" in again.output
        command = [sys.executable, "-m", "holdfast.cli", "--dut", address, "--dut-insecure", "clean", "--yes"]
        subprocess.run(command, env=isolated(tmp_path, {}), capture_output=True, timeout=60, check=True)
        assert not dut.containerz.volumes()


def test_what_a_fixture_of_wider_scope_made_is_there_until_the_run_ends(run_suite: RunSuite, tmp_path: Path) -> None:
    own_tests(
        tmp_path,
        """
import pytest

@pytest.fixture(scope="module")
def data(dut_session):
    dut_session.containerz.create_volume("data")
    return "data"

@pytest.mark.parametrize("turn", [1, 2])
def test_it(dut, data, turn):
    assert [volume.name for volume in dut.containerz.volumes()] == [data]
    dut.containerz.create_volume("own")
""",
    )
    with emulate(tmp_path) as address, holdfast.connect(address, insecure=True) as dut:
        run = run_suite("test_mine.py", "--dut", address, "--dut-insecure")
        assert run.exit_code == 0, run.output
        assert not dut.containerz.volumes()
        assert journals(tmp_path) == []


def test_what_could_not_be_removed_is_tried_again_and_told(run_suite: RunSuite, tmp_path: Path) -> None:
    own_tests(
        tmp_path,
        'def test_it(dut):\n    dut.containerz.create_volume("data")\ndef test_other(dut):\n    pass\n',
    )
    once = "containerz.RemoveVolume=1*error[PERMISSION_DENIED](not now)"
    with emulate(tmp_path, "--failpoint", once) as address, holdfast.connect(address, insecure=True) as dut:
        run = run_suite("test_mine.py", "--dut", address, "--dut-insecure")
        assert "could not be removed: volume data: " in run.output
        assert "not now" in run.output
        assert not dut.containerz.volumes()
        assert journals(tmp_path) == []


def test_what_the_device_brought_back_is_removed_again(run_suite: RunSuite, tmp_path: Path) -> None:
    own_tests(
        tmp_path,
        """
import holdfast

def test_first(dut):
    dut.containerz.create_volume("data")
    dut.containerz.create_volume("other")

def test_second(dut, image, chassis):
    with holdfast.connect(chassis.address, insecure=True) as device:
        device.containerz.create_volume("data")
        device.containerz.create_volume(f"{image.tag}-copy")
        device.containerz.create_volume("other", labels={"owner": "somebody"})

def test_third(dut):
    assert [volume.name for volume in dut.containerz.volumes()] == ["other"]
""",
    )
    run = run_suite("test_mine.py")
    assert run.exit_code == 0, run.output


def test_a_run_that_was_killed_left_a_journal(tmp_path: Path) -> None:
    own_tests(
        tmp_path,
        'import time\ndef test_it(dut):\n    dut.containerz.create_volume("data")\n    time.sleep(600)\n',
    )
    with emulate(tmp_path) as address, holdfast.connect(address, insecure=True) as dut:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--dut", address, "--dut-insecure"]
        process = subprocess.Popen(
            command, cwd=tmp_path / "empty", env=isolated(tmp_path, {}), stdout=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: bool(dut.containerz.volumes()), 60, "the volume")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)
        entries = journal.Journal(address).entries()
        assert [(entry.kind, entry.name) for entry in entries] == [("volume", "data")]
        clean = [sys.executable, "-m", "holdfast.cli", "--dut", address, "--dut-insecure", "clean", "--yes"]
        done = subprocess.run(
            clean, env=isolated(tmp_path, {}), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not dut.containerz.volumes()


def test_without_a_place_to_write_the_embedded_device_serves(run_suite: RunSuite, tmp_path: Path) -> None:
    own_tests(tmp_path, TWO_WEBS)
    nowhere = {"XDG_STATE_HOME": "/proc/nowhere"}
    run = run_suite("test_mine.py", **nowhere)
    assert "1 failed, 2 passed" in run.output
    with emulate(tmp_path) as address, holdfast.connect(address, insecure=True) as dut:
        temporary = {"TMPDIR": str(tmp_path / "temporary")}
        (tmp_path / "temporary").mkdir()
        run = run_suite("test_mine.py", "--dut", address, "--dut-insecure", **nowhere, **temporary)
        assert "1 failed, 2 passed" in run.output
        assert "/proc/nowhere/holdfast cannot be written" in run.output
        assert not dut.containerz.volumes()


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED"])
def test_one_refused_list_does_not_make_a_device_broken(run_suite: RunSuite, tmp_path: Path, code: str) -> None:
    """As a runtime says while it is busy: the second test has a device, and nothing of the first."""
    own_tests(
        tmp_path,
        f"""
import pytest
from holdfast import failpoint

@pytest.mark.parametrize("turn", [1, 2])
def test_web(dut, turn):
    assert not dut.containerz.volumes()
    dut.containerz.create_volume("data")
    failpoint.control("../state").arm("containerz.ListVolume", "1*error[{code}](the runtime is busy)")
""",
    )
    with emulate(tmp_path, "--state", str(tmp_path / "state")) as address:
        run = run_suite("test_mine.py", "--dut", address, "--dut-insecure")
        assert run.exit_code == 0, run.output
        assert "2 passed" in run.output
