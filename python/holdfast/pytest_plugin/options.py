"""The plugin's options: on the command line, in the environment, in an ini file, in that order."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from holdfast.exceptions import InvalidArgumentError
from holdfast.options import flag as flag_word

# Those that a device is tested with, and those that need none.
DEVICE_SUITES = ("cntr1", "cntr2", "cntr3", "midway")
SUITE_NAMES = (*DEVICE_SUITES, "cni", "torpedo")

# name, kind ("text", "flag", "list"), help
_OPTIONS = (
    ("dut", "text", "the device under test, HOST[:PORT][,HOST...], instead of the emulated one"),
    ("testbed", "list", "a file with the devices under test: ours, pyATS', or an Ondatra binding (and its testbed)"),
    ("dut-gnoi", "text", "where gNOI is served, HOST:PORT[,HOST:PORT...], if not where gNMI is"),
    ("dut-profile", "text", "the vendor's ways: a name, or a YAML file (default: what the device says it is)"),
    ("dut-container-host", "text", "where containers' ports are, if not on the device's own address"),
    ("dut-required", "flag", "refuse to fall back on the emulated device"),
    ("dut-insecure", "flag", "plaintext gRPC instead of TLS"),
    ("dut-ca", "text", "a PEM file of who signs the device's certificate (default: who the system trusts)"),
    ("dut-cert", "text", "a PEM file with our certificate, for a device that wants one"),
    ("dut-key", "text", "a PEM file with its key; an encrypted one is opened with HOLDFAST_KEY_PASSWORD"),
    ("dut-key-password-file", "text", "a file whose first line opens the key"),
    ("dut-server-name", "text", "what the device's certificate is for, in place of its address' host"),
    ("dut-skip-verify", "flag", "TLS with whoever answers"),
    ("dut-username", "text", "who logs in; the password comes from HOLDFAST_PASSWORD or --dut-password-file"),
    ("dut-password-file", "text", "a file whose first line is the password"),
    ("dut-image", "text", "a `docker save` archive to test with, instead of the wheel's own test container"),
    (
        "dut-command",
        "text",
        "what a container of the image runs, instead of the image's own command; {port} in it is its port",
    ),
    ("dut-port", "text", "the port that the container serves and publishes (default 60061)"),
    ("dut-network", "text", "the container's network (default: the device's)"),
    ("dut-volume-option", "list", "KEY=VALUE for the volume's driver; may be given several times"),
    ("dut-inner", "list", "KEY=VALUE of how containers name devices: host, gnmi, gribi (HOST:PORT), link"),
    ("dut-no-ping", "flag", "the container's port cannot be reached from here: do not check it"),
    ("dut-judge", "text", "which verdict fails a test: depth (both, the default) or procedure"),
    ("dut-deadline", "list", "STEP=TIME, such as reboot=20m; may be given several times"),
    ("dut-failpoint", "list", "NAME=TERMS to arm on the emulated device; may be given several times"),
    ("dut-failpoint-file", "text", 'a JSON file of failpoints to arm on the emulated device: {"NAME": "TERMS"}'),
    ("dut-emulator", "list", "KEY=VALUE of the emulated device, as of `holdfast emulate`: outage=2s, quirk=NAME"),
    ("dut-seed", "text", "of the failpoints' chance on the emulated device: equal seeds draw equally (default 0)"),
    ("dut-restore-active", "flag", "end with the control processor active that was active at the start"),
    ("cni-path", "text", "the folders of the CNI plugins, DIR[:DIR] (default /opt/cni/bin:/usr/lib/cni)"),
    ("cni-conflist", "text", "a network configuration list with cni-bridge-fp in it, instead of the suite's own"),
    ("cni-containerd", "text", "the CRI socket of a containerd, instead of one of the suite's own"),
    ("cni-required", "flag", "fail where a scenario would skip because something is missing"),
    ("provider", "text", "a file that names a storage provider, instead of the emulated one"),
    ("torpedo-deadline", "list", "SCENARIO=TIME, such as T5=60s; may be given several times"),
    ("torpedo-runner", "text", "who runs the tasks, instead of who the provider's file says: own, docker or swarm"),
    ("torpedo-start", "text", "how long the plugins of a provider may take to answer at first, such as 60s"),
    ("torpedo-timing", "list", "sync=TIME, attach=TIME, pace=TIME or patience=TIME of the emulated provider"),
    ("torpedo-failpoint", "list", "NAME=TERMS to arm on the emulated provider; may be given several times"),
    ("torpedo-face", "text", "how the emulated provider is reached: process (the default), or by sockets: csi, docker"),
    ("torpedo-seed", "text", "of the failpoints' chance on the emulated provider (default 0)"),
    ("torpedo-report", "text", "a folder for the qualification table, as Markdown and JSON"),
    ("dut-artifacts", "text", "a folder for what a vendor's support can use of each case: timeline, verdict, logs"),
    ("dut-report", "text", "a self-contained HTML file about the run: verdicts, outages, timelines, evidence"),
    ("dut-plan", "flag", "say which failovers and reboots would come and how long they may take, and do nothing"),
    ("dut-combine", "flag", "judge 3.1 to 3.6 by one switchover and 3.7 by the next, instead of one each"),
    ("dut-trigger", "text", "what fails the active: gnoi (the default), reboot-active, kill:PROCESS or command:..."),
    ("dut-repeat", "text", "go through all cases so many times, and say how outages spread and what grew"),
    ("dut-keep", "keep", "leave what the tests made on the device: always, or after a failure (=failed)"),
)
TLS = ("dut-ca", "dut-cert", "dut-key", "dut-server-name", "dut-skip-verify")
# Only the command line itself may say these.
ONLY_TYPED = (
    ("dut-allow-disruption", "run disruptive cases on a real device"),
    ("dut-configure", "let the profile configure the device; without it nothing is configured or saved"),
)


def _key(name: str) -> str:
    return "holdfast_" + name.replace("-", "_")


def add(parser: pytest.Parser) -> None:
    """Register the options and their ini keys."""
    group = parser.getgroup("holdfast", "devices under test (holdfast)")
    for name, kind, text in _OPTIONS:
        arguments: dict[str, Any] = {}
        if kind == "flag":
            arguments["action"] = "store_true"
        elif kind == "list":
            arguments["action"] = "append"
        elif kind == "keep":
            arguments.update(nargs="?", const="always", choices=("always", "failed"))
        group.addoption(f"--{name}", dest=_key(name), default=None, help=text, **arguments)
        if kind == "list":
            parser.addini(_key(name), text, type="linelist", default=None)
        else:
            parser.addini(_key(name), text, type="string", default=None)
    for name, text in ONLY_TYPED:
        group.addoption(f"--{name}", dest=_key(name), action="store_true", default=False, help=text)


def value(config: pytest.Config, name: str) -> Any:
    """The option's value: command line, then HOLDFAST_…, then the ini key; None where nobody set it."""
    given = config.getoption(_key(name), None)
    if given not in (None, []):
        return given
    from_environment = os.environ.get(_key(name).upper())
    if from_environment:
        kind = next(kind for known, kind, _ in _OPTIONS if known == name)
        return from_environment.splitlines() if kind == "list" else from_environment
    return config.getini(_key(name)) or None


def flag(config: pytest.Config, name: str) -> bool:
    """Whether a flag is set: on the command line, or by a word for yes in the environment or the ini file."""
    given = value(config, name)
    if given is None or isinstance(given, bool):
        return bool(given)
    variable = _key(name).upper()
    try:
        return flag_word(given, variable if os.environ.get(variable) else _key(name))
    except InvalidArgumentError as error:
        raise pytest.UsageError(str(error)) from None


def command_line(config: pytest.Config) -> list[str]:
    """What somebody typed: without PYTEST_ADDOPTS, without ini files."""
    worker_input: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker_input is not None:
        return list(worker_input.get("holdfast_command_line", []))
    return [str(word) for word in config.invocation_params.args]


def typed(config: pytest.Config, name: str) -> bool:
    """Whether the command line itself says what an ini file or an environment variable may not."""
    return f"--{name}" in command_line(config)


# What an option's text must look like, and what to give instead.
_SHAPES = {
    "dut-judge": ("procedure|depth", "give procedure or depth"),
    "dut-port": (r"0*[1-9]\d{0,4}", "give a number from 1 to 65535"),
    "dut-repeat": (r"0*[1-9]\d*", "give a number, 1 or more"),
    "dut-seed": (r"\d+", "give a number"),
    "torpedo-runner": ("own|docker|swarm", "give own, docker or swarm"),
    "torpedo-face": ("process|csi|docker", "give process, csi or docker"),
    "torpedo-seed": (r"\d+", "give a number"),
    "dut-trigger": (
        r"gnoi|reboot-active|kill:.+|command:.*\S.*", "give gnoi, reboot-active, kill:PROCESS or command:…"
    ),
}  # fmt: skip


def check(config: pytest.Config) -> None:
    """Refuse what makes no sense before anything else happens."""
    if value(config, "testbed") and value(config, "dut"):
        raise pytest.UsageError("--dut and --testbed both say where the devices are: give one of them")
    for name, kind, _ in _OPTIONS:
        if kind == "flag":
            flag(config, name)
    tls = [name for name in TLS if (flag if name == "dut-skip-verify" else value)(config, name)]
    if tls and flag(config, "dut-insecure"):
        raise pytest.UsageError(f"--dut-insecure is plaintext, and --{tls[0]} is for TLS: give one of them")
    for name, (shape, wanted) in _SHAPES.items():
        given = value(config, name)
        if given is not None and not re.fullmatch(shape, given):
            raise pytest.UsageError(f"--{name} {given}: {wanted}")
    if int(value(config, "dut-port") or 1) > 65535:
        raise pytest.UsageError(f"--dut-port {value(config, 'dut-port')}: give a number from 1 to 65535")
    _check_files(config)
    for text in value(config, "dut-deadline") or ():
        step, _ = deadline(text)
        _check_step(step)
    _check_torpedo(config)


def _check_torpedo(config: pytest.Config) -> None:
    if value(config, "torpedo-runner") and not value(config, "provider"):
        raise pytest.UsageError("--torpedo-runner runs tasks on real nodes: give --provider too, such as nbd")
    for text in value(config, "torpedo-deadline") or ():
        scenario, _ = deadline(text, "torpedo-deadline", "T5=60s")
        if not re.fullmatch(r"[Tt]([1-9]|10)", scenario):
            raise pytest.UsageError(f"--torpedo-deadline {text}: there is no scenario {scenario!r}; give T1 to T10")
    for text in value(config, "torpedo-timing") or ():
        name, _ = deadline(text, "torpedo-timing", "sync=1ms")
        if name not in ("sync", "attach", "pace", "patience"):
            raise pytest.UsageError(f"--torpedo-timing {text}: give sync, attach, pace or patience")
    for text in value(config, "torpedo-failpoint") or ():
        if "=" not in text:
            raise pytest.UsageError(
                f"--torpedo-failpoint {text}: write NAME=TERMS, such as storage.fence.none=error(x)"
            )


def _check_files(config: pytest.Config) -> None:
    artifacts, image = value(config, "dut-artifacts"), value(config, "dut-image")
    if artifacts is not None and Path(artifacts).exists() and not Path(artifacts).is_dir():
        raise pytest.UsageError(f"--dut-artifacts {artifacts}: that is no folder")
    report = value(config, "dut-report")
    if report is not None and not Path(report).absolute().parent.is_dir():
        raise pytest.UsageError(f"--dut-report {report}: there is no folder {Path(report).absolute().parent}")
    if image is not None and not Path(image).is_file():
        raise pytest.UsageError(f"--dut-image {image}: there is no such file")
    for file in value(config, "testbed") or ():
        if not Path(file).is_file():
            raise pytest.UsageError(f"--testbed {file}: there is no such file")


def _check_step(step: str) -> None:
    from holdfast import _core

    if step not in _core.deadline_steps():
        raise pytest.UsageError(
            f"--dut-deadline: there is no step {step!r}; one of: {', '.join(_core.deadline_steps())}"
        )


def deadline(text: str, option: str = "dut-deadline", example: str = "reboot=20m") -> tuple[str, float]:
    """Read `STEP=TIME`, where TIME is seconds, or has a unit (ms, s, m, h)."""
    from holdfast.deadlines import seconds

    step, _, time = text.partition("=")
    shape = "STEP=TIME" if option == "dut-deadline" else "NAME=TIME"
    try:
        return step, seconds(time)
    except ValueError:
        raise pytest.UsageError(f"--{option} {text}: write {shape}, such as {example}") from None


def wanted_suites(config: pytest.Config) -> list[str]:
    """The shipped suites that the command line asks for, without paths of its own."""
    if config.args_source == pytest.Config.ArgsSource.ARGS and not _only_options(config):
        return []
    keyword = config.getoption("keyword") or ""
    named = [name for name in SUITE_NAMES if re.search(rf"\b{name}", keyword)]
    if named:
        return named
    naming = ("--dut", "--testbed")
    on_command_line = any(word.partition("=")[0] in naming for word in command_line(config))
    return ["cntr3"] if on_command_line and not keyword else []


def _only_options(config: pytest.Config) -> bool:
    """Xdist hands its workers the controller's arguments, which then look like paths that somebody typed."""
    return hasattr(config, "workerinput") and all(Path(word).is_dir() for word in config.args)


def names_suite_file(config: pytest.Config, suites: Path) -> bool:
    """Whether a path on the command line is a shipped suite or lies in one: a case that is run again by its node id."""
    words = (word.partition("::")[0] for word in config.args if suites.name in word)
    paths = [(config.invocation_params.dir / word).resolve() for word in words]
    return any(suites in (path, *path.parents) for path in paths)


def is_active(config: pytest.Config) -> bool:
    """Whether this run may have to do with devices under test."""
    from holdfast.pytest_plugin import SUITES

    device_suites = set(wanted_suites(config)) & set(DEVICE_SUITES)
    folders = [SUITES / name for name in DEVICE_SUITES]
    named = value(config, "dut") or value(config, "testbed")
    return bool(device_suites or named) or any(names_suite_file(config, folder) for folder in folders)
