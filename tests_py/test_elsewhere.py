"""Workers on other machines: sshd in two network namespaces, each with devices that nobody else reaches."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import holdfast
from holdfast import report, waiting
from holdfast.pytest_plugin import artifacts, elsewhere

from conftest import RunSuite, emulate

QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")
SSHD = shutil.which("sshd", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
NEEDS = pytest.mark.skipif(
    os.geteuid() != 0 or SSHD is None or shutil.which("ip") is None, reason="needs root, iproute2 and openssh-server"
)
PORT = "2222"


@dataclass
class Rack:
    """A machine: a namespace with sshd, and two devices on its loopback."""

    name: str
    address: str
    folder: Path
    devices: list[str] = field(default_factory=list)

    def spec(self, python: str = sys.executable, port: str = PORT) -> str:
        config = self.folder / "ssh_config"
        where = f"ssh=root@{self.address} -p {port}//ssh_config={config}//python={python}"
        return f"{where}//chdir={self.folder}/work//id={self.name}"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@contextmanager
def rack(folder: Path, name: str, number: int, key: Path) -> Iterator[Rack]:
    folder.mkdir()
    space, link = f"hf-{os.getpid()}-{number}", f"hf{os.getpid() % 100000}v{number}"
    network = f"10.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}.{4 * number}".rpartition(".")
    base, last = network[0], int(network[2])
    made = Rack(name, f"{base}.{last + 2}", folder)
    ip("netns", "add", space)
    try:
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("addr", "add", f"{base}.{last + 1}/30", "dev", link)
        ip("link", "set", link, "up")
        ip("-n", space, "addr", "add", f"{made.address}/30", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("-n", space, "link", "set", "lo", "up")
        with ExitStack() as stack:
            stack.enter_context(sshd(space, made, key))
            made.devices += [
                stack.enter_context(emulate(folder, within=("ip", "netns", "exec", space))) for _ in range(2)
            ]
            yield made
    finally:
        subprocess.run(["ip", "link", "del", link], check=False, capture_output=True, timeout=20)  # else it goes later
        ip("netns", "del", space)


@contextmanager
def sshd(space: str, made: Rack, key: Path) -> Iterator[None]:
    folder = made.folder
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host"], check=True, timeout=20)
    (folder / "authorized").write_text(key.with_suffix(".pub").read_text())
    (folder / "ssh_config").write_text(
        f"Host *\n  IdentityFile {key}\n  IdentitiesOnly yes\n  StrictHostKeyChecking no\n"
        "  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
    )
    root = Path(holdfast.__file__).parent.parent
    (folder / "sshd_config").write_text(
        f"ListenAddress {made.address}\nPort {PORT}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n"
        f"SetEnv PYTHONPATH={root} XDG_STATE_HOME={folder}/state TMPDIR={folder}/tmp\n"
    )
    (folder / "tmp").mkdir()
    Path("/run/sshd").mkdir(exist_ok=True)
    with (folder / "sshd.log").open("wb") as log:
        command = ["ip", "netns", "exec", space, str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")]
        process = subprocess.Popen(command, stderr=log)
        try:
            listens = "Server listening"
            assert waiting.until(lambda: listens in (folder / "sshd.log").read_text(), 20), (
                folder / "sshd.log"
            ).read_text()
            yield
        finally:
            process.terminate()
            process.wait(timeout=10)


@pytest.fixture
def racks(tmp_path: Path) -> Iterator[tuple[Rack, Rack]]:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=20)
    with rack(tmp_path / "a", "rackA", 1, key) as one, rack(tmp_path / "b", "rackB", 2, key) as other:
        lines = [
            f"  {made.name}-{number}: {{address: '{address}', insecure: true, workers: [{made.name}]}}"
            for made in (one, other)
            for number, address in enumerate(made.devices, 1)
        ]
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "lab.yaml").write_text("devices:\n" + "\n".join(lines) + "\n")
        yield one, other


@NEEDS
def test_four_devices_of_which_each_machine_reaches_two(
    run_suite_apart: RunSuite, racks: tuple[Rack, Rack], tmp_path: Path
) -> None:
    specs = [word for made in racks for word in ("--tx", made.spec())]
    kept, page = tmp_path / "kept", tmp_path / "run.html"
    told = ("--testbed", "lab.yaml", "--dut-artifacts", str(kept), "--dut-report", str(page))
    run = run_suite_apart("-k", "cntr3_1 or cntr3_5", *told, *QUICK, *specs, "--dist", "load", "-v")
    assert run.exit_code == 0, run.output
    assert "8 passed" in run.output
    on = set(re.findall(r"\[(\w+)\] \[ *\d+%\] PASSED [^\n]*\[(\w+)-\d\]", run.output))
    assert on == {("rackA", "rackA"), ("rackB", "rackB")}
    version = holdfast.__version__
    assert f"holdfast: versions: here {version}, rackA {version}, rackB {version}\n" in run.output
    cases = report.read(kept).cases
    assert len(cases) == 8
    assert all(case.timeline and case.logs is not None for case in cases)
    assert "8 pass" in page.read_text() or "8 cases" in page.read_text()
    for made in racks:
        assert not list((made.folder / "tmp").glob("holdfast-worker-*")), "nothing is left there"


@NEEDS
def test_what_is_wrong_with_a_machine_is_told_in_a_line(
    run_suite_apart: RunSuite, racks: tuple[Rack, Rack], tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True, timeout=60)
    cases = {
        racks[0].spec(port="1"): r"worker rackA \(ssh=root@\S+ -p 1\): ssh was refused: .*refused",
        racks[0].spec(
            python="/no/python"
        ): r"/no/python does not run there: .*; name one: ssh=\S+ -p 2222//python=PATH",
        racks[0].spec(
            python=f"env -u PYTHONPATH {bare}/bin/python"
        ): r"has no holdfast there: install the wheel of \d\S+ with it",
    }
    for spec, says in cases.items():
        run = run_suite_apart("-k", "cntr3_5", "--testbed=lab.yaml", "--tx", spec, "--dist", "load")
        assert run.exit_code == 4, run.output
        assert re.search(f"ERROR: .*{says}", run.output), run.output
        assert "Traceback" not in run.output


def test_a_worker_that_dies_in_a_case_fails_that_case_alone(pytester: pytest.Pytester, tmp_path: Path) -> None:
    lab = tmp_path / "lab.yaml"
    lab.write_text("devices: {a: {emulated: true}, b: {emulated: true}}")
    file = pytester.makepyfile("""
        import os

        def test_first(dut):
            pass

        def test_dies(dut):
            if dut.name == "a":
                os._exit(7)

        def test_last(dut):
            pass
    """)
    run = pytester.runpytest_subprocess("-p", "no:cacheprovider", file, "--testbed", str(lab), "-n", "2")
    run.stdout.fnmatch_lines(["*crashed while running*test_dies*a*"])
    run.assert_outcomes(passed=5, failed=1)


def test_what_is_too_large_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(elsewhere, "LARGEST", 100)
    folder = tmp_path / "worker" / "test_x"
    (folder / "fetched").mkdir(parents=True)
    (folder / "verdict.json").write_text("{}")
    (folder / "fetched" / "core").write_bytes(b"x" * 101)
    config: Any = SimpleNamespace(workerinput={"holdfast_remote": True})
    monkeypatch.setattr(artifacts, "place", lambda config: str(tmp_path / ("home" if config is None else "worker")))
    item: Any = SimpleNamespace(config=config, name="test_x")
    ended: Any = SimpleNamespace(when="teardown")
    elsewhere.pack(item, ended)
    assert not folder.exists()
    elsewhere.Home(None).pytest_runtest_logreport(ended)  # type: ignore[arg-type]
    home = tmp_path / "home" / "test_x"
    assert sorted(str(each.relative_to(home)) for each in home.rglob("*")) == ["left-on-the-worker.txt", "verdict.json"]
    assert "fetched/core: 101 bytes" in (home / "left-on-the-worker.txt").read_text()
    strange: Any = SimpleNamespace(holdfast_brought={"folder": "../../out", "files": {"../../escape": b"x", "a": b"y"}})
    elsewhere.Home(None).pytest_runtest_logreport(strange)  # type: ignore[arg-type]
    assert not list(tmp_path.rglob("escape"))
    assert (tmp_path / "home" / "out" / "a").exists()
