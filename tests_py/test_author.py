"""The author's contract: images that keep it and images that break each clause of it, as real processes; and what the
emulated device, which runs none, can and cannot tell.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from process_device import processes

import holdfast
from holdfast.suites.author import growth

from archives import Image, saved, write
from conftest import RunSuite, SuiteRun
from defects import QUICK
from peers import free_port

BUSYBOX = shutil.which("busybox")
APPLETS = ("sh", "sleep", "cat", "mv", "mkdir", "rm", "du", "httpd", "test", "wc")
CASES = (
    "starts_twice",
    "survives_kill",
    "stops_within_grace",
    "comes_back_to_its_port",
    "two_versions",
    "does_not_grow",
)
# It always holds one number twice, written so that no moment shows it half done.
GOOD = """#!/bin/sh
{begins}
trap '{on_term}' TERM
httpd -f -p $1 -h / &
server=$!
number=0
while :; do
  {serving} || exit 1
  number=$((number + 1))
  {writes}
  sleep 0.02 & wait $!
done
"""
HEALTHY = {
    "begins": ":",
    "on_term": "exit 0",
    "serving": "kill -0 $server",
    "writes": 'echo "$number $number" > /data/new; mv /data/new /data/pair',
}
CHECK = 'while read one other; do test "$one" = "$other" || exit 1; done < /data/pair'
# What breaks each clause, the cases that must fail, and with which words; another passes.
BAD = {
    "it cannot start on a volume that has something": (
        {"begins": "mkdir /data/state || exit 1"},
        None,
        CASES,
        "File exists",
    ),
    "it keeps a lock that it removes on SIGTERM alone": (
        {"begins": "test -e /data/lock && exit 1; echo > /data/lock", "on_term": "rm /data/lock; exit 0"},
        None,
        ("survives_kill", "does_not_grow"),
        "",
    ),
    "it is lost when it is killed on its way up": (
        {"begins": "test ! -e /data/moving || exit 1; echo > /data/moving; sleep 1.5; rm /data/moving"},
        None,
        ("survives_kill",),
        "",
    ),
    "it writes half a line at a time": (
        {"on_term": "over=yes", "writes": "printf %s $number >> /data/pair; sleep 0.3 & wait $!; "
         'echo " $number" >> /data/pair; test -z "$over" || exit 0'},
        None,
        ("survives_kill",),
        "its check ended with 1",
    ),
    "its first process does not heed SIGTERM": (
        {"on_term": ""},
        None,
        ("stops_within_grace",),
        "did not end on SIGTERM",
    ),
    "it goes on without its port": ({"serving": ":"}, None, ("comes_back_to_its_port",), "it is silent"),
    "its newer version writes what the older cannot read": (
        {"begins": "test ! -e /data/newer || exit 1"},
        {"begins": "echo > /data/newer"},
        ("two_versions",),
        "",
    ),
    "it leaves something behind by each start": (
        {"begins": "count=$(cat /data/count); count=$((count + 1)); echo $count > /data/count; "
         "printf %65536s > /data/left-$count"},
        None,
        ("does_not_grow",),
        "goes on growing, by 64",
    ),
}  # fmt: skip


def layer(script: str) -> bytes:
    """A root file system with busybox and a script."""
    assert BUSYBOX is not None
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, content in (("bin/busybox", Path(BUSYBOX).read_bytes()), ("app", script.encode())):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            made.addfile(info, io.BytesIO(content))
        for applet in APPLETS:
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            made.addfile(info)
    return buffer.getvalue()


def image(path: Path, name: str, changed: dict[str, str]) -> str:
    """An archive of an image whose script is the healthy one but for what is changed."""
    script = GOOD.format(**HEALTHY | changed)
    made = Image(layers=(layer(script),), more={"config": {"Cmd": ["/app", "80"], "Labels": {"script": script}}})
    return str(write(path, saved(made, f"{name}:v1")))


def _lacks() -> str | None:
    if os.geteuid() != 0:
        return "needs root"
    if BUSYBOX is None or b"/ld-linux" in Path(BUSYBOX).read_bytes()[:4096]:
        return "needs a static busybox: apt-get install busybox-static"
    return None


HOST = ("--dut-container-host", "127.0.0.1")
real = pytest.mark.skipif(_lacks() is not None, reason=str(_lacks()))


@pytest.fixture
def device(tmp_path: Path, messages: Callable[[str], Any]) -> Iterator[tuple[str, ...]]:
    with processes(tmp_path / "device", messages) as words:
        yield words


def words_for(tmp_path: Path, mine: dict[str, str], newer: dict[str, str] | None, *host: str) -> tuple[str, ...]:
    """What a run of an image is told."""
    other = newer or mine | {"writes": f"{(HEALTHY | mine)['writes']} "}  # the same, of another id
    return (
        "--dut-image", image(tmp_path / "mine.tar", "mine", mine),
        "--author-update-image", image(tmp_path / "newer.tar", "newer", other),
        "--dut-command", "/app {port}", "--dut-port", str(free_port()), *host,
        "--author-check", CHECK, "--author-grace", "2s", "--author-kills", "4", "--author-failovers", "16",
    )  # fmt: skip


@real
def test_an_image_that_keeps_the_contract_passes(run_suite: RunSuite, device: tuple[str, ...], tmp_path: Path) -> None:
    run = run_suite("-k", "author", *QUICK, *device, *words_for(tmp_path, {}, None, *HOST))
    assert run.exit_code == 0, run.output
    assert outcomes(run) == {f"test_author_{name}": "passed" for name in CASES}


@real
@pytest.mark.parametrize("what", BAD)
def test_an_image_that_breaks_a_clause_fails_its_case(
    run_suite: RunSuite, device: tuple[str, ...], tmp_path: Path, what: str
) -> None:
    mine, newer, fails, reason = BAD[what]
    others = () if "starts_twice" in fails else ("starts_twice",)
    chosen = " or ".join(f"author_{name}" for name in (*fails, *others))
    # one of them is on its way up for 1.5 s, which is all that QUICK gives it
    patient = ("--dut-deadline", "verification=6s")
    run = run_suite("-k", chosen, *QUICK, *patient, *device, *words_for(tmp_path, mine, newer, *HOST))
    wanted = {f"test_author_{name}": "failure" for name in fails} | {f"test_author_{name}": "passed" for name in others}
    assert outcomes(run) == wanted, run.output
    for name in fails:
        assert reason in run.cases[f"test_author_{name}"].message


def outcomes(run: SuiteRun) -> dict[str, str]:
    """What became of each case."""
    return {name: case.outcome for name, case in run.cases.items()}


def words_of_one_case(tmp_path: Path) -> tuple[str, ...]:
    """Of an image that keeps the contract, without a check."""
    mine = image(tmp_path / "mine.tar", "mine", {})
    return (
        "--dut-image",
        mine,
        "--dut-command",
        "/app {port}",
        "--dut-port",
        str(free_port()),
        "--dut-container-host",
        "127.0.0.1",
    )


@real
def test_without_a_check_its_data_is_not_checked(run_suite: RunSuite, device: tuple[str, ...], tmp_path: Path) -> None:
    run = run_suite("-k", "author_starts_twice", *QUICK, *device, *words_of_one_case(tmp_path))
    assert run.exit_code == 0, run.output
    told = run.cases["test_author_starts_twice"].properties["not_checked"]
    assert "no --author-check says how to read its data" in told


@real
@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ("/bin/test -s /data/pair -a {token}", "it ended without the word that it was to write"),
        ("no-such-command", "its check ended with 127"),
        ("/bin/cat {token}", "No such file"),
        ("/bin/sleep 100000{token}", "invalid number"),
    ],
)
def test_a_check_that_does_not_say_that_all_is_well_fails(
    run_suite: RunSuite, device: tuple[str, ...], tmp_path: Path, check: str, reason: str
) -> None:
    run = run_suite("-k", "author_starts", *QUICK, *device, *words_of_one_case(tmp_path), "--author-check", check)
    assert run.exit_code == 1, run.output
    assert reason in run.cases["test_author_starts_twice"].message


@real
def test_a_check_without_a_shell_says_the_word_itself(
    run_suite: RunSuite, device: tuple[str, ...], tmp_path: Path
) -> None:
    words = (*words_of_one_case(tmp_path), "--author-check", "/bin/busybox echo {token}")
    run = run_suite("-k", "author_starts_twice", *QUICK, *device, *words)
    assert run.exit_code == 0, run.output
    assert run.output.count("no --author-check") == 0


@real
def test_a_size_that_is_none_is_not_checked(run_suite: RunSuite, device: tuple[str, ...], tmp_path: Path) -> None:
    words = (*words_of_one_case(tmp_path), "--author-size", "echo none", "--author-failovers", "1")
    run = run_suite("-k", "author_does_not_grow", *QUICK, *device, *words)
    assert "--author-size tells no size" in run.cases["test_author_does_not_grow"].properties["not_checked"]


def test_where_no_process_runs_nothing_is_said_of_an_image(run_suite: RunSuite, archive: Path) -> None:
    newer = ("--author-update-image", str(archive))
    run = run_suite("-k", "author", *QUICK, "--dut-image", str(archive), *newer)
    assert outcomes(run) == {f"test_author_{name}": "skipped" for name in CASES}
    assert all("does not run the processes of images" in case.message for case in run.cases.values()), run.output
    assert all("add --dut-emulator runtime=docker" in case.message for case in run.cases.values()), run.output


def test_an_emulated_device_elsewhere_is_to_be_started_with_an_engine(run_suite: RunSuite, archive: Path) -> None:
    with holdfast.emulator() as chassis:
        way = ("--dut", chassis.address, "--dut-insecure")
        run = run_suite("-k", "author_starts", *QUICK, *way, "--dut-image", str(archive))
    (case,) = run.cases.values()
    assert "start it by `holdfast emulate --runtime docker`" in case.message, run.output
    assert "--dut-emulator" not in case.message


def test_a_device_that_is_slow_to_stop_anything_is_no_proof_against_an_image(run_suite: RunSuite) -> None:
    slow = "containerz.StopContainer=delay(1500ms)"
    run = run_suite("-k", "author_stops", "--author-grace", "500ms", *QUICK, failpoints=slow)
    assert run.exit_code == 0, run.output
    assert "slow to stop a container" in run.output


def test_equal_seeds_kill_at_equal_moments(run_suite: RunSuite) -> None:
    def moments(seed: str) -> list[str]:
        run = run_suite("-k", "author_survives", "--author-kills", "2", "--dut-seed", seed, *QUICK)
        assert run.exit_code == 0, run.output
        return [line.strip() for line in run.output.splitlines() if "noted: kill" in line]

    assert len(moments("7")) == 2
    assert moments("7") == moments("7") != moments("8")


def test_a_plan_counts_the_failovers_that_were_asked_for(run_suite_apart: RunSuite) -> None:
    run = run_suite_apart("-k", "author", "--dut-plan", "--author-failovers", "7")
    assert "7 switchovers" in run.output
    assert "50 switchovers" in run_suite_apart("-k", "author", "--dut-plan").output


def test_other_words_do_not_bring_the_suite(run_suite: RunSuite) -> None:
    assert run_suite("-k", "authorisation").exit_code == pytest.ExitCode.NO_TESTS_COLLECTED


def test_an_update_that_is_no_image_is_refused_at_once(run_suite: RunSuite, tmp_path: Path) -> None:
    (tmp_path / "wrong.tar").write_bytes(b"no archive")
    refused = run_suite("-k", "author", "--author-update-image", str(tmp_path / "wrong.tar"))
    assert refused.exit_code == pytest.ExitCode.USAGE_ERROR
    assert "--author-update-image" in refused.output


def test_a_volume_that_fills_at_first_does_not_grow() -> None:
    assert growth.goes_on(growth.later_half([4, 6, 8, 9, *[9] * 20])) is False
    assert growth.goes_on([*[5] * 12, *[9] * 13]) is False
    assert growth.goes_on([1, 5, 2, 6, 1, 5, 3, 4, 2, 6, 1, 4]) is False
    assert growth.goes_on(list(range(25))) is True
    assert growth.goes_on([1, 2, 3]) is None
    assert growth.goes_on([3, 2, 3]) is False
    assert growth.slope([2, 4, 6, 8]) == 2
