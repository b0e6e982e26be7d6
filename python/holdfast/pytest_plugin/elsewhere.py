"""Workers of pytest-xdist on other machines: looked at before they begin, told the testbed; their artifacts fetched."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from holdfast import options as table
from holdfast import visible
from holdfast._version import __version__
from holdfast.pytest_plugin import artifacts, not_run, options
from holdfast.testbed import lab

# What workers elsewhere are told: that they are, and the testbeds with their texts.
REMOTE, TESTBEDS = "holdfast_remote", "holdfast_testbeds"
# What a report calls the files of its case that come with it.
BROUGHT = "holdfast_brought"
# So much of a file comes home, and of a case, in bytes; what is larger is named.
LARGEST, LARGEST_CASE = 4 << 20, 32 << 20
LEFT_OUT = "left-on-the-worker.txt"
# How long a machine may take to say what it has, in seconds.
ANSWER, CONNECT = 60.0, 15
ASK = (
    "try:\n import holdfast._version as v; print('holdfast', v.__version__)\nexcept ImportError: print('holdfast none')"
)
_FOLDER = pytest.StashKey[str]()


def is_remote(spec: Any) -> bool:
    """Whether a worker is not a process of this machine's."""
    return not spec.popen


def prepare(config: pytest.Config) -> None:
    """In the process that prints: an option and its value in one word; xdist takes a file that exists for a test."""
    specs = config.getoption("tx", None) or []
    if hasattr(config, "workerinput") or not any("ssh=" in spec or "socket=" in spec for spec in specs):
        return
    known = {f"--{option.name}" for option in table.ALL if option.kind in ("text", "list")}
    words = [str(word) for word in config.invocation_params.args]
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in known:
            joined[-1] = f"{joined[-1]}={word}"
        else:
            joined.append(word)
    given = config.invocation_params
    config.invocation_params = pytest.Config.InvocationParams(args=joined, plugins=given.plugins, dir=given.dir)


def look(config: pytest.Config, specs: Sequence[Any]) -> None:
    """See that ssh gets in everywhere, and that holdfast is there; raise `pytest.UsageError` in one line, else tell."""
    remote = [spec for spec in specs if spec.ssh and not spec.via]
    if not remote:
        return
    with ThreadPoolExecutor(max_workers=len(remote)) as pool:
        versions = list(pool.map(_version, remote))
    names = [not_run.worker_name(spec, spec.id) for spec in remote]
    told = ", ".join(f"{name} {version}" for name, version in zip(names, versions, strict=True))
    line = f"holdfast: versions: here {__version__}, {told}"
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        differ = any(version != __version__ for version in versions)
        reporter.write_line(f"{line}: THEY DIFFER" if differ else line, yellow=differ)


def _version(spec: Any) -> str:
    """What a machine has. Raises `pytest.UsageError`."""
    where = f"worker {not_run.worker_name(spec, spec.id)} (ssh={spec.ssh})"
    python = spec.python or "python"
    config = ["-F", str(spec.ssh_config)] if spec.ssh_config is not None else []
    command = ["ssh", "-o", f"ConnectTimeout={CONNECT}", *config, *spec.ssh.split(), f"{python} -c {shlex.quote(ASK)}"]
    try:
        done = subprocess.run(  # noqa: S603 - as xdist starts it right after
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER, check=False
        )
    except FileNotFoundError:
        raise pytest.UsageError(f"{where}: there is no ssh on this machine") from None
    except subprocess.TimeoutExpired:
        raise pytest.UsageError(f"{where}: no answer within {ANSWER:g} s") from None
    said = visible.line((done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1])
    if done.returncode == 255:
        raise pytest.UsageError(f"{where}: ssh was refused: {said}")
    found = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("holdfast ")]
    if not found:
        raise pytest.UsageError(f"{where}: {python} does not run there: {said}; name one: ssh={spec.ssh}//python=PATH")
    if found[-1] == "none":
        raise pytest.UsageError(f"{where}: {python} has no holdfast there: install the wheel of {__version__} with it")
    return found[-1]


def tell(node: Any) -> None:
    """Tell a worker elsewhere that it is, and what the testbeds say."""
    if not is_remote(node.gateway.spec):
        return
    given = [str(file) for file in options.value(node.config, "testbed") or ()]
    texts = {file: "" if lab.is_url(file) else Path(file).read_text(encoding="utf-8") for file in given}
    node.workerinput[REMOTE], node.workerinput[TESTBEDS] = True, texts


def here(config: pytest.Config) -> bool:
    """Whether this process is a worker elsewhere."""
    return bool(getattr(config, "workerinput", {}).get(REMOTE))


def begin(config: pytest.Config) -> None:
    """In a worker elsewhere: a folder of its own for artifacts, and the testbeds beside."""
    if not here(config):
        return
    worker: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]
    folder = config.stash[_FOLDER] = tempfile.mkdtemp(prefix="holdfast-worker-")
    if worker.get("holdfast_artifacts"):
        config.stash[artifacts.FOLDER] = folder
    if texts := worker[TESTBEDS]:
        setattr(
            config.option, table.BY_NAME["testbed"].key, [_written(file, text, folder) for file, text in texts.items()]
        )
    for name in ("dut-artifacts", "dut-report", "dut-soak-report"):  # which are of the machine that prints
        setattr(config.option, table.BY_NAME[name].key, None)


def _written(file: str, text: str, folder: str) -> str:
    """A testbed, where the files that it names by relative paths are looked for in the worker's own folder."""
    if lab.is_url(file):
        return file
    place = Path(folder) / f"{Path(file).stem}-testbed{Path(file).suffix}"
    place.write_text(text, encoding="utf-8")
    return str(place)


def end(config: pytest.Config) -> None:
    """Remove what was made for it."""
    if (folder := config.stash.get(_FOLDER, None)) is not None:
        shutil.rmtree(folder, ignore_errors=True)


def pack(item: pytest.Item, report: pytest.TestReport) -> None:
    """Put on a test's last report what is kept of it, as far as it is not too large."""
    if report.when != "teardown" or not here(item.config) or artifacts.place(item.config) is None:
        return
    folder = artifacts.path_of(item)
    if not folder.is_dir():
        return
    files: dict[str, bytes] = {}
    left: list[str] = []
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        size, name = file.stat().st_size, str(file.relative_to(folder))
        if size > LARGEST or size + sum(map(len, files.values())) > LARGEST_CASE:
            left.append(f"{name}: {size} bytes")
        else:
            files[name] = file.read_bytes()
    if left:
        files[LEFT_OUT] = ("too large to come with the verdicts:\n" + "\n".join(left) + "\n").encode()
    setattr(report, BROUGHT, {"folder": folder.name, "files": files})
    shutil.rmtree(folder, ignore_errors=True)


class Home:
    """Writes what comes from workers elsewhere to where this run keeps its artifacts."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._trouble = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_setupnodes(self, config: pytest.Config, specs: Sequence[Any]) -> None:
        """Before workers are started."""
        look(config, specs)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test has ended there."""
        brought: Mapping[str, Any] | None = getattr(report, BROUGHT, None)
        place = artifacts.place(self._config)
        if brought is None or place is None:
            return
        folder = Path(place) / Path(brought["folder"]).name
        try:
            for name, content in brought["files"].items():
                self._write(folder, name, content)
        except OSError as error:
            self._trouble = self._trouble or str(error)

    def _write(self, folder: Path, name: str, content: bytes) -> None:
        """A name that leads out of the folder is none of a worker's own files."""
        file = (folder / name).resolve()
        if folder.resolve() in file.parents:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What could not be written."""
        if self._trouble:
            terminalreporter.write_line(f"--dut-artifacts: not all that workers sent could be kept: {self._trouble}")
