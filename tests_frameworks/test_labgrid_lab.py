"""A lab that many share: a real coordinator and exporter of labgrid's, and two people who want its devices."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import holdfast
from holdfast import testbed, waiting
from holdfast.exceptions import ConnectError, DeviceOccupied, TestbedError

pytest.importorskip("labgrid")

from holdfast.integrations import labgrid_places
from holdfast.integrations.labgrid_places import Coordinator, LabgridPlaces

TOOLS = Path(sys.executable).parent
QUICK = ("--dut-deadline", "absence=100ms", "--dut-deadline", "watch=50ms")


def until(condition: Callable[[], object], what: str, limit: float = 30) -> None:
    assert waiting.until(condition, limit), what


@dataclass
class Lab:
    """A coordinator in a folder, whose places survive it, as people run one."""

    folder: Path
    port: int
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._run("labgrid-coordinator", "-l", self.address)
        until(self.answers, "the coordinator")

    def answers(self) -> bool:
        try:
            Coordinator(self.address).places()
        except ConnectError:
            return False
        return True

    def stop(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(timeout=20)
        self._processes.clear()

    def hang(self) -> None:
        self._processes[0].send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._processes[0].send_signal(signal.SIGCONT)

    def export(self, text: str) -> None:
        file = self.folder / "exporter.yaml"
        file.write_text(text, encoding="utf-8")
        self._run("labgrid-exporter", "-c", self.address, "--name", "rack", str(file))
        groups = [line for line in text.splitlines() if line and not line[0].isspace()]
        for group in (line.rstrip(":") for line in groups):
            self.client("-p", group, "create")
            self.client("-p", group, "add-match", f"rack/{group}/*")
        until(lambda: all(place.resource for place in Coordinator(self.address).devices().values()), "the exporter")

    def client(self, *words: str, user: str = "ann") -> str:
        done = subprocess.run(
            [TOOLS / "labgrid-client", "-x", self.address, *words], env=people(user), cwd=self.folder,
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return done.stdout

    def holder(self, place: str) -> str:
        found = Coordinator(self.address).holder(place)
        return found.owner if found else ""

    def _run(self, tool: str, *words: str) -> None:
        with (self.folder / f"{tool}.log").open("ab") as log:
            command = [TOOLS / tool, *words]
            self._processes.append(subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log))


def people(user: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HOLDFAST_", "PYTEST_", "LG_"))}
    return {**kept, "LG_HOSTNAME": "desk", "LG_USERNAME": user}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("LG_HOSTNAME", "desk")
    monkeypatch.setenv("LG_USERNAME", "ann")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    made = Lab(tmp_path, port)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def devices(lab: Lab) -> Iterator[list[holdfast.Emulator]]:
    """Two places with emulated devices that take a password, and one of another kind."""
    with ExitStack() as stack:
        made = [stack.enter_context(holdfast.emulator(users={"ann": "secret"})) for _ in range(3)]
        lab.export(
            "".join(
                f"rack{number}:\n  GnoiDevice:\n    address: {each.address}\n    insecure: true\n"
                f"    username: ann\n    password_env: LAB_PASSWORD\n    deadlines.reboot: 20m\n"
                for number, each in enumerate(made, 1)
            )
        )
        for name, tags in (
            ("rack1", ("kind=dual",)),
            ("rack2", ("kind=dual", "state=maintenance", "reason=fans")),
            ("rack3", ("kind=single",)),
        ):
            lab.client("-p", name, "set-tags", *tags)
        yield made


@contextmanager
def as_user(monkeypatch: pytest.MonkeyPatch, user: str) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("LG_USERNAME", user)
        yield


def test_a_testbed_from_a_coordinator(
    lab: Lab, devices: list[holdfast.Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"labgrid://{lab.address}"
    one, two = testbed.read(f"{url}?kind=dual")
    assert (one.name, one.address, one.insecure, one.username) == ("rack1", devices[0].address, True, "ann")
    assert (one.deadlines, one.tags, one.reserve, one.maintenance) == (
        {"reboot": 1200.0},
        ("kind=dual",),
        lab.address,
        None,
    )
    assert str(two.maintenance) == "in maintenance: fans"
    monkeypatch.setenv("LAB_PASSWORD", "secret")
    with one.connect() as dut:
        assert dut.is_emulated()
    assert [target.name for target in testbed.read(url)] == ["rack1", "rack2", "rack3"]
    with pytest.raises(TestbedError, match="no place with a GnoiDevice has these tags"):
        testbed.read(f"{url}?kind=triple")
    with pytest.raises(TestbedError, match="TAG=VALUE"):
        testbed.read(f"{url}?kind")
    lab.client("-p", "bare", "create")
    with pytest.warns(testbed.TestbedWarning, match="place bare has no GnoiDevice, and is left out"):
        testbed.read(url)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("password: hunter2", "place rack9: everybody sees what is exported"),
        ("metadata.x-key: hunter2", "metadata.x-key: everybody sees what is exported"),
        ("proxy: http://u:hunter2@proxy:1", "a proxy's password has no place"),
        ("adress: x", "a GnoiDevice has no 'adress'"),
    ],
)
def test_what_is_exported_by_value_is_refused(lab: Lab, line: str, says: str) -> None:
    lab.export(f"rack9:\n  GnoiDevice:\n    address: 192.0.2.1\n    {line}\n")
    with pytest.raises(TestbedError) as caught:
        testbed.read(f"labgrid://{lab.address}")
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


def run(lab: Lab, *words: str, user: str = "ann") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        pytest_words(*words), cwd=lab.folder, env=environment(lab, user), capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip


def pytest_words(*words: str) -> list[str]:
    alone = ("-p", "no:cacheprovider", "-p", "no:labgrid", "-p", "no:pytest_embedded")
    return [sys.executable, "-m", "pytest", *alone, "-p", "holdfast.pytest_plugin", "-p", "xdist", *QUICK, *words]


def environment(lab: Lab, user: str) -> dict[str, str]:
    state = str(lab.folder / f"state-{user}")  # each on a machine of his own
    plain = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(Path(holdfast.__file__).parent.parent)}
    return {**people(user), "XDG_STATE_HOME": state, "LAB_PASSWORD": "secret", **plain}


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
@pytest.mark.usefixtures("devices")
def test_a_run_reserves_its_devices_and_gives_them_back(lab: Lab, workers: tuple[str, ...]) -> None:
    done = run(lab, "-k", "cntr3_5", "--testbed", f"labgrid://{lab.address}", *workers)
    assert "2 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert f"rack1: reserved at the labgrid coordinator {lab.address} for desk/ann" in done.stdout
    assert "NotRun     1 case: rack2 is in maintenance: fans" in done.stdout
    assert lab.client("reservations").strip() == ""


@pytest.mark.usefixtures("devices")
def test_who_waits_is_told_for_whom_and_gets_it_in_the_end(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("-k", "cntr3_5", "--testbed", f"labgrid://{lab.address}?kind=single")
    with as_user(monkeypatch, "bob"):
        claim = LabgridPlaces(lab.address).claim("rack3", patience=10, tell=print)
        late = run(lab, *words, "--dut-wait", "2s")
        assert late.returncode == 3, late.stdout
        assert "rack3: desk/bob since" in late.stdout
        assert "has it; waiting, at most 2s (--dut-wait)" in late.stdout
        assert "has it; waited 2s" in late.stderr
        assert lab.client("reservations").count("owner:") == 1, "who gave up waits no more"
        waits = subprocess.Popen(
            pytest_words(*words, "--dut-wait", "5m"), cwd=lab.folder, env=environment(lab, "ann"),
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        until(lambda: lab.client("reservations").count("owner:") == 2, "the second waits")
        claim.release()
    out, _ = waits.communicate(timeout=200)
    assert waits.returncode == 0, out
    assert "1 passed" in out
    assert lab.holder("rack3") == ""


def test_one_device_that_is_not_to_be_had_does_not_stop_the_others(
    lab: Lab, devices: list[holdfast.Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = lab.folder / "lab.yaml"
    reached = "insecure: true, username: ann, password_env: LAB_PASSWORD"
    file.write_text(
        f"reserve: {{labgrid: '{lab.address}'}}\ndevices:\n"
        f"  rack1: {{address: '{devices[0].address}', {reached}}}\n  rack3: {{address: '{devices[2].address}', {reached}}}\n"
        f"  nowhere: {{address: '{devices[2].address}', {reached}}}\n"
    )
    with as_user(monkeypatch, "bob"):
        claim = LabgridPlaces(lab.address).claim("rack3", patience=10, tell=print)
    done = run(lab, "-k", "cntr3_5", "--testbed", str(file), "--dut-wait", "1s", "-n", "1")
    claim.release()
    assert "1 passed, 2 skipped" in done.stdout, done.stdout + done.stderr
    assert "NotRun     1 case: rack3: desk/bob since" in done.stdout
    assert f"NotRun     1 case: labgrid coordinator {lab.address}: there is no place nowhere" in done.stdout


@pytest.mark.usefixtures("devices")
def test_a_run_that_is_killed_gives_its_devices_back_in_a_while(lab: Lab) -> None:
    words = ("-k", "cntr3_5", "--testbed", f"labgrid://{lab.address}?kind=single", "--dut-for", "8h")
    soak = subprocess.Popen(
        pytest_words(*words), cwd=lab.folder, env=environment(lab, "ann"), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: lab.holder("rack3") == "desk/ann", "reserved")
    soak.kill()
    soak.wait(timeout=20)
    assert lab.holder("rack3") == "desk/ann", "nobody else has it at once"
    until(lambda: lab.holder("rack3") == "", "given back by its timeout", limit=150)


def test_a_coordinator_that_is_started_anew_gives_it_to_us_again(lab: Lab) -> None:
    lab.client("-p", "rack1", "create")
    claim = LabgridPlaces(lab.address).claim("rack1", patience=10, tell=print)
    until((lab.folder / "places.yaml").exists, "the coordinator keeps its places")
    lab.stop()
    claim.look()
    claim.look()
    assert len(claim.events) == 1, "that it is silent is told once"
    lab.start()
    until(lambda: claim.look() is None and lab.holder("rack1") == "desk/ann", "reserved again")
    assert claim.events[-1].endswith("had forgotten its reservation; reserved again")
    assert claim.lost is None
    claim.release()
    assert lab.holder("rack1") == ""


@pytest.mark.usefixtures("devices")
def test_a_place_that_two_people_have_is_lost_to_the_first(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = LabgridPlaces(lab.address).claim("rack3", patience=10, tell=print)
    token = next(line.split()[-1] for line in lab.client("reservations").splitlines() if "token:" in line)
    lab.client("cancel-reservation", token, user="bob")  # as a coordinator forgets one that it had given
    with as_user(monkeypatch, "bob"):
        other = LabgridPlaces(lab.address).claim("rack3", patience=10, tell=print)
    claim.look()
    assert claim.lost is not None
    assert claim.lost.startswith("rack3: the labgrid coordinator gave it to desk/bob since")
    claim.release()
    assert lab.holder("rack3") == "desk/bob"
    other.release()


@pytest.mark.usefixtures("devices")
def test_a_run_whose_device_is_given_to_another_does_nothing_more_on_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lab.folder / "test_ours.py").write_text(
        "import pathlib, time\n"
        "from holdfast import waiting\n"
        "def test_first(dut):\n"
        "    pathlib.Path('begun').touch()\n"
        "    assert waiting.until(pathlib.Path('go').exists, 60)\n"
        "def test_second(dut):\n"
        "    pass\n"
    )
    words = ("test_ours.py", "--testbed", f"labgrid://{lab.address}?kind=single", "-rs")
    going = subprocess.Popen(
        pytest_words(*words), cwd=lab.folder, env=environment(lab, "ann"), stdout=subprocess.PIPE, text=True
    )
    until((lab.folder / "begun").exists, "the first test")
    token = next(line.split()[-1] for line in lab.client("reservations").splitlines() if "token:" in line)
    lab.client("cancel-reservation", token)
    with as_user(monkeypatch, "bob"):
        other = LabgridPlaces(lab.address).claim("rack3", patience=10, tell=print)
    (lab.folder / "go").touch()
    out, _ = going.communicate(timeout=100)
    other.release()
    assert "1 passed, 1 skipped" in out, out
    assert f"rack3: the labgrid coordinator {lab.address} gave it to desk/bob since" in out


@pytest.mark.usefixtures("devices")
def test_a_coordinator_that_hangs_or_is_away_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labgrid_places, "ANSWER", 1.0)
    claim = LabgridPlaces(lab.address).claim("rack1", patience=10, tell=print)
    lab.hang()
    for ask in (
        lambda: testbed.read(f"labgrid://{lab.address}"),
        LabgridPlaces(lab.address).coordinator.places,
    ):
        with pytest.raises(ConnectError, match=f"{lab.address}: it does not answer \\w+ within 1 s"):
            ask()
    claim.look()
    assert "does not answer" in claim.events[0]
    lab.go_on()
    until(lambda: claim.look() is None and lab.holder("rack1") == "desk/ann", "it answers again")
    assert claim.lost is None
    claim.release()
    lab.stop()
    done = run(lab, "-k", "cntr3_5", "--testbed", f"labgrid://{lab.address}")
    assert done.returncode == 4
    assert f"labgrid coordinator {lab.address}: UNAVAILABLE" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_waiting_for_what_somebody_acquired_by_hand(lab: Lab) -> None:
    lab.client("-p", "rack1", "create")
    lab.client("-p", "rack1", "acquire", user="bob")
    told: list[str] = []
    with pytest.raises(DeviceOccupied, match="rack1: desk/bob has it; waited 1s"):
        LabgridPlaces(lab.address).claim("rack1", patience=1, tell=told.append)
    assert told == ["rack1: desk/bob has it; waiting, at most 1s (--dut-wait)"]


def test_a_reservation_is_refreshed_as_long_as_it_is_held(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from labgrid.remote.generated import labgrid_coordinator_pb2 as messages

    def ends() -> float:
        listed = claim._coordinator._ask("GetReservations", messages.GetReservationsRequest()).reservations
        return float(listed[0].timeout)

    monkeypatch.setattr(labgrid_places, "REFRESH", 0.1)
    lab.client("-p", "rack1", "create")
    claim = LabgridPlaces(lab.address).claim("rack1", patience=10, tell=print)
    first = ends()
    until(lambda: ends() > first + 1, "it ends later and later")
    claim.release()


@pytest.mark.usefixtures("devices")
def test_the_table_of_a_lab_says_who_has_a_device(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from holdfast.cli import main

    monkeypatch.setenv("LAB_PASSWORD", "secret")
    with as_user(monkeypatch, "bob"):
        claim = LabgridPlaces(lab.address).claim("rack3", patience=10, tell=print)
    done = CliRunner().invoke(main, ["--testbed", f"labgrid://{lab.address}", "lab", "status"])
    claim.release()
    assert done.exit_code == 0, done.output
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "  desk/bob  " in rows["rack3"]
    assert rows["rack3"].rstrip("- ").endswith("fit")
    assert "nobody" in rows["rack1"]
    assert "in maintenance: fans" in rows["rack2"]
