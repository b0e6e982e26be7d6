"""Many emulated devices in one process, and what keeps them from listening."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

import holdfast
from holdfast.testbed.target import Target

from conftest import RunSuite, isolated
from peers import command

EMULATE = (sys.executable, "-m", "holdfast.cli", "emulate")
# Networks of 127.0.0.0/8 that no other test listens in; each test of this process takes the next.
NETWORKS = itertools.count()


def network() -> str:
    return f"127.{100 + os.getpid() % 100}.{next(NETWORKS) % 255}.0/24"


@dataclass
class Fleet:
    """Devices in another process: what it said of them, and the targets of its testbed."""

    process: subprocess.Popen[str]
    lines: list[str]
    targets: Sequence[Target]


@contextmanager
def fleet(
    tmp_path: Path, count: int, *options: str, within: Sequence[str] = (), testbed: str = "lab.yaml", **environment: str
) -> Iterator[Fleet]:
    """So many of them, until the end of the block."""
    file = tmp_path / testbed
    words = [*within, *EMULATE, "--count", str(count), "--testbed-out", str(file), *options]
    if "--listen" not in options:
        words += ["--listen", f"{network()}:0"]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=isolated(tmp_path, environment)
    )
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline().rstrip("\n") for _ in range(count)]
        yield Fleet(process, lines, holdfast.testbed.read(file))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert not process.stdout.read(), "a line for each device, and no more"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


UNTIL_REFUSED = """
import holdfast
kept = []
try:
    while True:
        kept.append(holdfast.emulator())
except holdfast.HoldfastError as error:
    print(error)
"""


# one device opens about seven files: each of these ends at another of them
@pytest.mark.parametrize("limit", range(54, 61))
def test_too_many_open_files_are_told_as_such_wherever_a_device_meets_the_limit(tmp_path: Path, limit: int) -> None:
    words = ["prlimit", f"--nofile={limit}:{limit}", sys.executable, "-c", UNTIL_REFUSED]
    done = subprocess.run(
        words, env=isolated(tmp_path, {}), capture_output=True, text=True, timeout=60, check=True
    )  # fmt: skip
    message, _, hint = done.stdout.partition("\n")
    assert "Too many open files" in message, done.stdout + done.stderr
    assert "ulimit -n" in hint, done.stdout
    assert not {"port", "--state"} & set(hint.split()), hint


def test_an_address_that_this_machine_does_not_have_is_told_as_such(tmp_path: Path) -> None:
    done = command(tmp_path, "emulate", "--listen", "192.0.2.1:0")
    assert done.returncode == 2, done.stderr
    assert "cannot listen on 192.0.2.1:0" in done.stderr
    assert "this machine has no such address" in done.stderr
    assert "port" not in done.stderr.partition("try:")[2]


def test_a_port_that_somebody_has_is_told_as_such(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = command(tmp_path, "emulate", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 2, done.stderr
    assert "choose another port, or port 0 for a free one" in done.stderr


NO_FILE_LEFT = """
import os, resource, socket, threading, time
import holdfast
with holdfast.emulator() as chassis:
    client, held = socket.socket(), []
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    try:
        while True:
            held.append(os.open(os.devnull, 0))
    except OSError:
        client.connect((chassis.host, int(chassis.address.rpartition(":")[2])))
    used, began = time.process_time(), time.monotonic()
    threading.Event().wait(1)
    print((time.process_time() - used) / (time.monotonic() - began))
    for each in held:
        os.close(each)
    client.close()
    print(len(holdfast.connect(chassis.address, insecure=True).control_processors()))
"""


def test_a_device_that_may_open_no_file_waits_for_one_without_using_up_a_processor(tmp_path: Path) -> None:
    words = [sys.executable, "-c", NO_FILE_LEFT]
    done = subprocess.run(words, env=isolated(tmp_path, {}), capture_output=True, text=True, timeout=60, check=True)
    share, control_processors = done.stdout.split()
    assert float(share) < 0.03, "of a processor while it waits"
    assert control_processors == "2"


NO_FILE_TO_COME_BACK_BY = """
import logging, os, resource, threading
import holdfast
told = threading.Event()
class Handler(logging.Handler):
    def emit(self, record):
        if "cannot be had again" in record.getMessage():
            told.set()
logging.getLogger("holdfast").addHandler(Handler())
with holdfast.emulator(outage=2) as chassis:
    with holdfast.connect(chassis.address, insecure=True) as dut:
        roles = {cp.role: cp.name for cp in dut.control_processors()}
        dut.expect_redundant(roles["PRIMARY"])
        dut.ask_for_switchover(roles["SECONDARY"])
        limits, held = resource.getrlimit(resource.RLIMIT_NOFILE), []
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
        for _ in range(6000):  # connections end meanwhile, and make room
            try:
                while True:
                    held.append(os.open(os.devnull, 0))
            except OSError:
                if told.wait(0.01):
                    break
        print(told.is_set())
        for each in held:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with holdfast.connect(chassis.address, insecure=True) as dut:
        print(len(dut.control_processors()))
"""


def test_an_address_that_cannot_be_opened_again_after_an_outage_is_tried_again(tmp_path: Path) -> None:
    words = [sys.executable, "-c", NO_FILE_TO_COME_BACK_BY]
    done = subprocess.run(words, env=isolated(tmp_path, {}), capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["True", "2"], done.stderr


def test_twenty_devices_of_one_process_have_a_line_and_a_place_in_the_testbed_each(tmp_path: Path) -> None:
    with fleet(tmp_path, 20) as found:
        assert [target.name for target in found.targets] == [f"dut{number:02}" for number in range(1, 21)]
        said = [f"{target.name} listening on {target.address}" for target in found.targets]
        assert [line.partition(",")[0] for line in found.lines] == said
        assert len({target.address for target in found.targets}) == 20
        for target in found.targets:
            with target.connect() as dut:
                assert [role.role for role in dut.control_processors()] == ["PRIMARY", "SECONDARY"]
    for target in found.targets:
        host, _, port = target.address.rpartition(":")
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((host, int(port)), timeout=5)


def test_one_of_many_is_made_to_fail_by_the_socket_of_its_line(tmp_path: Path) -> None:
    with fleet(tmp_path, 3) as found:
        control = found.lines[1].partition(", failpoints over ")[2]
        holdfast.failpoint.control(control).arm("system.Time", "error(x)")
        failed = []
        for target in found.targets:
            with target.connect() as dut:
                try:
                    dut.system.time()
                except holdfast.exceptions.RpcError:
                    failed.append(target.name)
    assert failed == ["dut2"]


def test_each_has_certificates_a_state_folder_a_login_and_two_addresses_of_its_own(tmp_path: Path) -> None:
    one, other = network(), network()
    options = ["--tls", str(tmp_path / "tls"), "--mutual", "--state", str(tmp_path / "kept"), "--user", "anna"]
    options += ["--gnoi-port", "0", "--listen", f"{one}:0,{other}:0", "--profile", "arista-eos"]
    with (
        pytest.MonkeyPatch.context() as patched,
        fleet(tmp_path, 2, *options, HOLDFAST_PASSWORD="geheim-17") as found,
    ):
        patched.setenv("HOLDFAST_PASSWORD", "geheim-17")
        assert [target.profile for target in found.targets] == ["arista-eos"] * 2
        hosts = [part.removesuffix("0/24") for part in (one, other)]
        places = [[f"{host}{number}" for host in hosts] for number in (1, 2)]
        for addresses in ([each.address for each in found.targets], [each.gnoi or "" for each in found.targets]):
            assert [[part.rpartition(":")[0] for part in one.split(",")] for one in addresses] == places
        for target in found.targets:
            with target.connect() as dut:
                assert len(dut.control_processors()) == 2
                dut.system.time()
        assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["dut1", "dut2"]
        assert "geheim-17" not in (tmp_path / "lab.yaml").read_text()


def test_the_chance_of_each_draws_otherwise(tmp_path: Path) -> None:
    drawn = []
    with fleet(tmp_path, 2, "--failpoint", "system.Time=50%error(x)") as found:
        for target in found.targets:
            with target.connect() as dut:
                drawn.append([_fails(dut) for _ in range(40)])
    assert all(0 < sum(one) < 40 for one in drawn)
    assert drawn[0] != drawn[1]


def _fails(dut: holdfast.Device) -> bool:
    try:
        dut.system.time()
    except holdfast.exceptions.RpcError:
        return True
    return False


def test_suites_run_by_the_testbed_of_a_fleet(tmp_path: Path, run_suite: RunSuite) -> None:
    with fleet(tmp_path, 3) as found:
        done = run_suite("-k", "cntr1_1 or cntr2_1", "--testbed", str(tmp_path / "lab.yaml"))
    assert done.exit_code == 0, done.output
    for target in found.targets:
        assert f"\nEMULATED device {target.name} (" in done.output
    assert done.output.count("pass       pass") == 6


@pytest.mark.parametrize("listen", ["[::1/128]:0", "127.0.0.1/32:0", "127.0.0.1:0"])
def test_a_fleet_of_one(listen: str, tmp_path: Path) -> None:
    with fleet(tmp_path, 1, "--listen", listen) as found, found.targets[0].connect() as dut:
        assert dut.control_processors()


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--count", "2", "--listen", "127.0.0.1:9339"], "that is one device, and --count 2"),
        (["--count", "2", "--listen", "auto"], "that is one device, and --count 2"),
        (["--listen", "127.1.0.0/16:9339"], "say how many devices, with --count NUMBER"),
        (["--count", "15", "--listen", "127.1.0.0/28:9339"], "a network of 14 addresses for devices, and --count 15"),
        (["--count", "3", "--listen", "127.1.0.0/31:9339"], "a network of 2 addresses for devices, and --count 3"),
        (["--count", "2", "--listen", "[::1/128]:9339"], "a network of 1 addresses for devices, and --count 2"),
        (["--count", "2", "--listen", "127.1.0.5/16:9339"], "the network is 127.1.0.0/16"),
        (["--count", "2", "--listen", "127.1.0.0/33:9339"], "such as 127.1.0.0/16:9339"),
        (["--count", "2", "--listen", "127.1.0.0/16"], "that is no network with a port"),
        (["--count", "2", "--listen", "127.1.0.0/16:70000"], "that is no network with a port"),
        (["--count", "2", "--listen", "127.1.0.0/16:1,127.1.0.0/24:1"], "these are the same addresses"),
        (["--count", "2", "--listen", "127.1.0.0/16:1,127.0.0.1:1"], "127.0.0.1:1: that is no network with a port"),
        (["--count", "2", "--listen", "127.1.0.0/30:1,127.2.0.0/30:1,127.3.0.0/30:1"], "one address or two"),
        (["--count", "0"], "0 is not in the range x>=1"),
        (["--testbed-out", "missing/lab.yaml", "--listen", "auto"], "missing/lab.yaml: No such file or directory"),
    ],
)
def test_what_makes_no_fleet_is_refused_before_anything_starts(
    words: Sequence[str], wrong: str, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path)
        done = command(tmp_path, "emulate", *words)
    assert done.returncode == 2, done.stderr
    assert wrong in done.stderr
    assert not done.stdout


def test_a_testbed_of_somebody_else_is_not_written_over(tmp_path: Path) -> None:
    theirs, link = tmp_path / "theirs.yaml", tmp_path / "link.yaml"
    theirs.write_text("devices: {rack1: {address: 192.0.2.1}}\n")
    link.symlink_to(theirs)
    for file in (theirs, link, tmp_path):
        done = command(tmp_path, "emulate", "--listen", "auto", "--testbed-out", str(file))
        assert done.returncode == 2, done.stderr
        assert "did not write" in done.stderr or "is a directory" in done.stderr
    assert theirs.read_text() == "devices: {rack1: {address: 192.0.2.1}}\n"
    assert link.is_symlink()


def test_a_testbed_from_before_is_gone_until_all_listen(tmp_path: Path) -> None:
    taken_network = network()
    host = taken_network.replace("0/24", "2")
    with fleet(tmp_path, 2) as found:
        before = found.targets[0].address
    assert before in (tmp_path / "lab.yaml").read_text()
    with socket.create_server((host, 0)) as taken:
        words = ["--count", "3", "--listen", f"{taken_network}:{taken.getsockname()[1]}"]
        done = command(tmp_path, "emulate", *words, "--testbed-out", str(tmp_path / "lab.yaml"))
    assert done.returncode == 2, done.stderr
    assert f"cannot listen on {host}" in done.stderr
    assert not done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [], "no testbed, and nothing beside it"


def test_the_limit_of_open_files_is_raised_as_far_as_that_is_allowed(tmp_path: Path) -> None:
    with fleet(tmp_path, 20, within=("prlimit", "--nofile=60:1000")) as found:
        limit = next(
            line for line in Path(f"/proc/{found.process.pid}/limits").read_text().splitlines() if "files" in line
        )
        opened = len(list(Path(f"/proc/{found.process.pid}/fd").iterdir()))
    assert 60 < opened < int(limit.split()[3]) <= 1000


def test_a_limit_that_is_too_low_for_so_many_is_told_with_what_to_do(tmp_path: Path) -> None:
    words = ["prlimit", "--nofile=60:150", *EMULATE, "--count", "20", "--listen", f"{network()}:0"]
    done = subprocess.run(
        words, env=isolated(tmp_path, {}), capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "20 emulated devices open 204 files, and this process may open no more than 150" in done.stderr
    for what in ("ulimit -n", "LimitNOFILE=", "--ulimit nofile=", "run 12 at most"):
        assert what in done.stderr
    with fleet(tmp_path, 12, within=words[:2]) as found:
        assert len(found.targets) == 12, "as many as it said"


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_devices_end_though_nobody_reads_what_they_say(ending: signal.Signals, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"." * 4096)
    os.set_blocking(writing, True)
    words = [*EMULATE, "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        words, stdout=writing, stderr=subprocess.PIPE, text=True, env=isolated(tmp_path, {})
    )  # fmt: skip
    assert process.stderr is not None
    try:
        while "--dut-inner" not in process.stderr.readline():  # the line before the one that nobody reads
            assert process.poll() is None
        process.send_signal(ending)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
        os.close(reading)
        os.close(writing)


PASSED_OVER = """
import os, signal
from contextlib import suppress
from holdfast.cli import emulate
with suppress(emulate._Ended):
    with emulate._interrupted_by_signals():
        with suppress(BaseException):
            os.kill(os.getpid(), signal.SIGTERM)
    raise SystemExit("nobody knows of the signal")
"""


def test_a_signal_ends_the_command_though_a_finalizer_passed_over_it() -> None:
    subprocess.run([sys.executable, "-c", PASSED_OVER], check=True, timeout=60)
