"""What all Python tests share."""

from __future__ import annotations

import importlib
import os
import pkgutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import waiting

# Whoever starts the tests in a shell's background has them ignore Ctrl-C, which some of them are about.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Files whose tests share something that only one of them may have at a time, or that is made once.
ENGINES = ("test_engine_runtime.py", "test_engine_trouble.py", "test_engine_author.py")
ONE_WORKER = ("test_docker.py", "test_cni_suite.py", "test_cni_given.py", *ENGINES)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each test where there is room, but the tests of some files on one worker."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file.endswith(ONE_WORKER) else nodeid

    return Scheduling(config, log)


@dataclass
class Verdicts:
    """What a run of the suite said of one case."""

    outcome: str
    properties: dict[str, str] = field(default_factory=dict)
    message: str = ""


@dataclass
class SuiteRun:
    """A finished pytest run."""

    exit_code: int
    output: str
    cases: dict[str, Verdicts]


PROTO = Path(__file__).parent.parent / "proto"
RunSuite = Callable[..., SuiteRun]


def _case(element: ET.Element) -> tuple[str, Verdicts]:
    outcome, message = "passed", ""
    for kind in ("failure", "error", "skipped"):
        found = element.find(kind)
        if found is not None:
            outcome = "xfailed" if found.get("type") == "pytest.xfail" else kind
            message = f"{found.get('message', '')}\n{found.text or ''}"
    properties = {p.get("name", ""): p.get("value", "") for p in element.iter("property")}
    name = element.get("name", "")
    number = name.split("_")[2] if name.startswith("test_cntr3_") else name
    return number, Verdicts(outcome, properties, message)


def read_report(report: Path) -> dict[str, Verdicts]:
    """What a JUnit report says of each case; nothing where there is none."""
    return dict(_case(element) for element in ET.parse(report).iter("testcase")) if report.exists() else {}


def isolated(tmp_path: Path, given: Mapping[str, str]) -> dict[str, str]:
    """The environment without what a developer may have set, and with a state folder of the test's own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HOLDFAST_", "PYTEST_"))}
    return {**kept, "XDG_STATE_HOME": str(tmp_path / "state"), **given}


@contextmanager
def emulate(tmp_path: Path, *options: str, within: Sequence[str] = (), **environment: str) -> Iterator[str]:
    """`holdfast emulate` in a process of its own, `within` what the words of another command make; its address."""
    command = [*within, sys.executable, "-m", "holdfast.cli", "emulate", "--listen", "auto", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=isolated(tmp_path, environment)
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        assert line.startswith("listening on "), line
        yield line.removeprefix("listening on ").strip()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        process.stdout.close()


def wait_until(condition: Callable[[], bool], seconds: float = 20, what: str = "") -> None:
    """Wait until `condition` holds; an AssertionError says `what` did not come."""
    assert waiting.until(condition, seconds, look=0.01), f"not within {seconds} s: {what}"


@pytest.fixture(scope="session")
def whole_package() -> None:
    """All of holdfast is imported: what a run in this process imports first, `pytester` forgets again, and what is
    imported anew has other classes."""
    for module in pkgutil.walk_packages(holdfast.__path__, "holdfast."):
        if not module.name.startswith(("holdfast.suites.", "holdfast.integrations.")) and "__main__" not in module.name:
            importlib.import_module(module.name)


@pytest.fixture
def run_suite(
    tmp_path: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, whole_package: None
) -> RunSuite:
    """Run `pytest -k cntr3` (or with other arguments) in an empty folder, and in this process: what Python takes to
    begin would be the larger part of most runs. Workers of pytest-xdist are processes of their own all the same."""

    def run(*arguments: str, failpoints: str = "", **environment: str) -> SuiteRun:
        folder, report = tmp_path / "empty", tmp_path / "report.xml"
        folder.mkdir(exist_ok=True)
        report.unlink(missing_ok=True)
        given = isolated(tmp_path, {"HOLDFAST_FAILPOINTS": failpoints, **environment})
        with monkeypatch.context() as patched:
            for variable in os.environ.keys() - given.keys():
                patched.delenv(variable)
            for variable, value in given.items():
                patched.setenv(variable, value)
            patched.chdir(folder)
            words = arguments or ("-k", "cntr3")
            done = pytester.runpytest_inprocess("-p", "no:cacheprovider", f"--junitxml={report}", *words)
        return SuiteRun(int(done.ret), f"{done.stdout}\n{done.stderr}", read_report(report))

    return run


@pytest.fixture
def run_suite_apart(tmp_path: Path) -> RunSuite:
    """The same in a process of its own, as people start it: for tests of what a process does."""
    return suite_runner(tmp_path)


def suite_runner(place: Path) -> RunSuite:
    """The same, with what it needs in a folder that is given."""

    def run(*arguments: str, failpoints: str = "", **environment: str) -> SuiteRun:
        folder = place / "empty"
        folder.mkdir(exist_ok=True)
        report = place / "report.xml"
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}"]
        done = subprocess.run(
            [*command, *(arguments or ("-k", "cntr3"))],
            cwd=folder,
            env=isolated(place, {"HOLDFAST_FAILPOINTS": failpoints, **environment}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return SuiteRun(done.returncode, done.stdout + done.stderr, read_report(report))

    return run


@pytest.fixture
def chassis_of_test() -> Iterator[holdfast.Emulator]:
    """An emulated device of the test's own."""
    with holdfast.emulator() as emulated:
        yield emulated


@pytest.fixture
def device(chassis_of_test: holdfast.Emulator) -> Iterator[holdfast.Device]:
    """A session with it."""
    with holdfast.connect(chassis_of_test.address, insecure=True) as connected:
        yield connected


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test container's archive."""
    from holdfast import cntrsrv

    path = tmp_path_factory.mktemp("archive") / "cntrsrv.tar"
    cntrsrv.write_archive(path)
    return path


@pytest.fixture(scope="session")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The project's protos, compiled by grpcio's own compiler."""
    pytest.importorskip("grpc_tools", reason="pip install grpcio-tools")
    folder = tmp_path_factory.mktemp("protos")
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"--descriptor_set_out={folder}/all.binpb"]
    subprocess.run([*command, "--include_imports", *files], check=True, timeout=60)
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString((folder / "all.binpb").read_bytes()).file:
        pool.Add(file)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
