"""Small real plugins in the lab, each healthy or broken in one way, and the scenario that says so."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from test_torpedo_lab import leftovers

from holdfast import _core

from conftest import RunSuite, SuiteRun, wait_until
from test_torpedo import verdicts

LACKS = _core.storage_lab_lacks()

pytestmark = pytest.mark.skipif(LACKS is not None, reason=LACKS or "")

PLUGIN = Path(__file__).parent / "small_plugin.py"


def qualified(
    run_suite: RunSuite, folder: Path, chosen: str, manner: str, *, start: str = "", more: str = ""
) -> SuiteRun:
    """Scenarios of the plugin with a manner; nothing is left of them."""
    line = f"{{python}} {PLUGIN} --socket {{socket_path}} --folder {{folder}} --data {folder}/data --manner '{manner}'"
    provider = folder / "provider.yaml"
    provider.write_text(
        f"provider:\n  kind: docker-plugin\n  start: |-\n    {start or line}\n{more}lab: {{nodes: 2}}\n".replace(
            "LINE", line
        ),
        encoding="utf-8",
    )
    with tempfile.TemporaryDirectory(prefix="hf-") as short:  # the path of a socket has 107 bytes
        run = run_suite("-k", chosen, "--provider", str(provider), "--torpedo-start", "20s", TMPDIR=short)
        wait_until(lambda: leftovers(short) == [], 20, "nothing left")
        assert list(Path(short).glob("holdfast-lab-*")) == []
    return run


def of(run: SuiteRun) -> dict[str, set[str]]:
    return {name: {verdict for verdict, _ in told} for name, told in verdicts(run).items()}


def test_a_healthy_plugin_passes(run_suite: RunSuite, tmp_path: Path) -> None:
    run = qualified(run_suite, tmp_path, "torpedo and not hang", "healthy")
    found = of(run)
    assert {name for name, told in found.items() if "Pass" in told} == {"T1", "T2", "T3", "T4", "T5", "T6"}, run.output
    assert set.union(*found.values()) == {"Pass", "NotRun"}, run.output


def test_local_volumes_are_not_sent_to_a_second_node(run_suite: RunSuite, tmp_path: Path) -> None:
    run = qualified(run_suite, tmp_path, "torpedo and not hang", "local")
    found = of(run)
    assert {name for name, told in found.items() if "Pass" in told} == {"T1", "T3", "T6"}, run.output
    assert "Fail" not in set.union(*found.values()), run.output
    for name in ("T2", "T4", "T5", "T7", "T8"):
        assert {why for _, why in verdicts(run)[name]} == {"provider: its volumes are local"}
    assert run.exit_code == 0


def test_the_file_may_say_that_others_have_volumes_which_a_plugin_calls_local(
    run_suite: RunSuite, tmp_path: Path
) -> None:
    run = qualified(run_suite, tmp_path, "torpedo_5_", "local", more="  scope: global\n")
    assert of(run) == {"T5": {"Pass"}}, run.output


@pytest.mark.parametrize("manner", ["another socket", "two sockets"])
def test_a_plugin_may_do_with_its_sockets_as_it_likes(manner: str, run_suite: RunSuite, tmp_path: Path) -> None:
    run = qualified(run_suite, tmp_path, "torpedo_4_ or torpedo_5_", manner)
    assert of(run) == {"T4": {"Pass"}, "T5": {"Pass"}}, run.output


def test_a_plugin_may_answer_with_no_volume_and_no_error(run_suite: RunSuite, tmp_path: Path) -> None:
    """As some do of a volume that there is not: an engine makes it then."""
    run = qualified(run_suite, tmp_path, "torpedo_1_", "tells of nothing")
    assert of(run) == {"T1": {"Pass"}}, run.output


@pytest.mark.parametrize("manner", ["small letters", "drops connections", "takes its time"])
def test_a_plugin_is_asked_as_engines_ask(manner: str, run_suite: RunSuite, tmp_path: Path) -> None:
    """Their JSON knows a key in any letters, they call again where a connection broke, and wait for two minutes."""
    run = qualified(run_suite, tmp_path, "torpedo_1_ or torpedo_4_", manner)
    assert of(run) == {"T1": {"Pass"}, "T4": {"Pass"}}, run.output


def test_a_plugin_may_have_no_lists(run_suite: RunSuite, tmp_path: Path) -> None:
    run = qualified(run_suite, tmp_path, "torpedo_1_", "knows no lists")
    assert of(run) == {"T1": {"Pass"}}, run.output
    assert "not checked: whether the provider lists what was made: " in run.output


def test_a_plugin_of_docker_is_known_where_a_csi_driver_was_named(run_suite: RunSuite, tmp_path: Path) -> None:
    line = f"{sys.executable} {PLUGIN} --socket {{socket_path}} --folder {{folder}} --data {tmp_path}/data"
    file = tmp_path / "provider.yaml"
    file.write_text(f"provider: {{kind: csi, start: '{line}'}}\nlab: {{nodes: 2}}\n", encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="hf-") as short:
        run = run_suite("-k", "torpedo_1_", "--provider", str(file), "--torpedo-start", "10s", TMPDIR=short)
    assert "one of Docker's volume plugins wants `kind: docker-plugin`" in run.output
    assert "9339" not in run.output


@pytest.mark.parametrize("manner", ["forks", "daemonises"])
def test_a_plugin_is_all_its_processes(manner: str, run_suite: RunSuite, tmp_path: Path) -> None:
    run = qualified(run_suite, tmp_path, "torpedo_3_ or torpedo_4_", manner)
    assert [verdict for verdict, _ in verdicts(run)["T3"]].count("Pass") == 3, run.output
    assert of(run)["T4"] == {"Pass"}, run.output


def test_a_plugin_that_outlives_what_kills_it_is_nobodys_fault(run_suite: RunSuite, tmp_path: Path) -> None:
    run = qualified(run_suite, tmp_path, "torpedo_4_ or (kill_plugin and torpedo_3_)", "outlives kill")
    assert {verdict for told in of(run).values() for verdict in told} == {"Inconclusive"}, run.output
    for name in ("T3", "T4"):
        assert all("was killed, and it answers" in why for _, why in verdicts(run)[name])


# Each by the scenario it belongs to, and what that says.
BROKEN = {
    "trusts its database": ("T5", "torpedo_5_", "and nothing is mounted there"),
    "tidies up when asked": ("T5", "torpedo_5_", "and nothing is mounted there"),
    "unmounts all": ("T2", "torpedo_2_", "is not where it was mounted"),
    "ids are a set": ("T2", "torpedo_2_", "a second mount for the task.*(target is busy|is not where it was mounted)"),
    "forgets counts": (
        "T3",
        "torpedo_3_ and kill_plugin",
        "left over: .* is mounted on node1|is not where it was mounted",
    ),
    "cannot remove": ("T1", "torpedo_1_", "VolumeDriver.Remove: .*it is in use"),
    "keeps what it removed": ("T1", "torpedo_1_", "removed, and there still: holdfast-"),
    "lists nothing": ("T1", "torpedo_1_", "made, and not in the provider's list: holdfast-"),
    "leaves a mount": ("T2", "torpedo_2_", "left over: /mnt is mounted on node1"),
}


def test_what_is_written_where_nothing_is_mounted_is_seen_though_all_nodes_have_the_path(
    run_suite: RunSuite, tmp_path: Path
) -> None:
    run = qualified(
        run_suite,
        tmp_path,
        "torpedo_5_",
        "trusts its database",
        more=f"  environment: {{FOLDERS: {tmp_path}/mounts}}\n",
    )
    assert of(run) == {"T5": {"Fail"}}, run.output
    assert all("and nothing is mounted there" in why for _, why in verdicts(run)["T5"]), run.output


@pytest.mark.skipif(shutil.which("dockerd") is None, reason="dockerd is not installed")
@pytest.mark.parametrize("runner", ["docker", "swarm"])
def test_the_same_where_engines_mount(runner: str, run_suite: RunSuite, tmp_path: Path) -> None:
    """The engine binds the plugin's path into the task's container, whatever is there; here what was written before."""
    run = qualified(
        run_suite,
        tmp_path,
        "torpedo_5_",
        "trusts its database",
        more=f"  environment: {{FOLDERS: {tmp_path}/data}}\nrunner: {{kind: {runner}}}\n",
    )
    assert of(run) == {"T5": {"Fail"}}, run.output
    assert all("and nothing is mounted there" in why for _, why in verdicts(run)["T5"]), run.output


@pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")
def test_a_real_file_system_in_user_space_that_hangs_is_given_up_in_time(run_suite: RunSuite, tmp_path: Path) -> None:
    """The process behind a mount is stopped: whoever opens a file there would wait for ever."""
    run = qualified(run_suite, tmp_path, "torpedo_2_", "hangs behind its mounts", more="  calls: {default: 5s}\n")
    assert of(run) == {"T2": {"Fail"}}, run.output
    ((_, why),) = verdicts(run)["T2"]
    assert re.search("(is not where it was mounted|does not hold what its task wrote): .* (in time|timed out)", why), (
        why
    )


@pytest.mark.parametrize("manner", BROKEN)
def test_a_broken_plugin_is_caught(manner: str, run_suite: RunSuite, tmp_path: Path) -> None:
    name, chosen, said = BROKEN[manner]
    run = qualified(run_suite, tmp_path, chosen, manner)
    assert of(run) == {name: {"Fail"}}, run.output
    assert all(re.search(said, why) for _, why in verdicts(run)[name]), run.output


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("./no-such-driver {socket}", "exit status: 127; it printed: .*no-such-driver"),
        ("echo I need a licence; exit 3", "exit status: 3; it printed: I need a licence"),
        ("printf 'a\\033[2Jb\\n'; exit 3", r"exit status: 3; it printed: a\\u\{1b\}\[2Jb"),
        ("true && VAR=x exit 4", "exit status: 4; it printed nothing"),
    ],
)
def test_a_plugin_that_ends_at_once_is_told_with_what_it_printed(
    start: str, said: str, run_suite: RunSuite, tmp_path: Path
) -> None:
    run = qualified(run_suite, tmp_path, "torpedo_1_", "healthy", start=start)
    assert re.search(f"the lab did not come up: the plugin on node1 ended by itself: {said}", run.output), run.output
    assert "\x1b[2J" not in run.output


def test_a_start_is_a_line_of_a_shell(run_suite: RunSuite, tmp_path: Path) -> None:
    start = 'WORD=it && cd / && [ "$(hostname)" = {node} ] && (LINE)'
    run = qualified(run_suite, tmp_path, "torpedo_4_", "healthy", start=start)
    assert of(run) == {"T4": {"Pass"}}, run.output


def test_what_a_plugin_prints_is_kept_in_bounds(tmp_path: Path, run_suite: RunSuite) -> None:
    run = qualified(run_suite, tmp_path, "torpedo_1_", "prints a lot")
    assert of(run) == {"T1": {"Pass"}}, run.output


# Judges a volume of one process, several at a time, and says how much memory that took beyond what was held before.
JUDGES = """
import os, re, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from holdfast import storage
from holdfast.storage import provider

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

file, folder, data, size = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
lab = storage.lab(provider.read(file), folder, timeout=30)
try:
    volumes = []
    for at in range(3):
        volume = lab.create("node1", f"{lab.run_name()}-{at}", 8 << 20, timeout=20)
        task = lab.run(volume, "node1", stage="idle", timeout=20)
        task.wait_acknowledged(24, timeout=20)
        task.stop(timeout=20)
        lab.release(task, timeout=20)
        volumes.append(volume)
    ledgers = list(data.glob("*/holdfast.ledger"))
    assert len(ledgers) == 3, ledgers
    for ledger in ledgers:
        os.truncate(ledger, size)
    before = peak()
    with ThreadPoolExecutor(3) as threads:
        verdicts = list(threads.map(lambda volume: lab.verify(volume, "node1", timeout=200), volumes))
    print([(each.acknowledged, [str(found) for found in each.findings]) for each in verdicts])
    print(peak() - before)
finally:
    lab.close()
"""


def test_large_volumes_are_judged_side_by_side_in_bounded_memory(tmp_path: Path) -> None:
    line = f"{{python}} {PLUGIN} --socket {{socket_path}} --folder {{folder}} --data {tmp_path}/data --manner healthy"
    provider = tmp_path / "provider.yaml"
    provider.write_text(
        f"provider:\n  kind: docker-plugin\n  start: |-\n    {line}\nlab: {{nodes: 2}}\n", encoding="utf-8"
    )
    with tempfile.TemporaryDirectory(prefix="hf-") as short:
        words = [sys.executable, "-c", JUDGES, str(provider), short, f"{tmp_path}/data", str(2 << 30)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    verdicts, grown = done.stdout.splitlines()
    assert verdicts == str([(24, [])] * 3)
    assert int(grown) < 64 << 20
