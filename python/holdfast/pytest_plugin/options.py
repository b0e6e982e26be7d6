"""The plugin's options: on the command line, in the environment, in an ini file, in that order."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from holdfast import options as table
from holdfast.exceptions import InvalidArgumentError
from holdfast.proxies import ENVIRONMENT
from holdfast.testbed import lab

SUITES = Path(__file__).parent.parent / "suites"
# Those that a device is tested with, and those that need none.
DEVICE_SUITES = ("cntr1", "cntr2", "cntr3", "midway", "author")
# Whose cases have numbers: they are shown in their order.
NUMBERED_SUITES = ("cntr1", "cntr2", "cntr3")
# Options that say something of the emulated provider.
OF_THE_EMULATED_PROVIDER = ("torpedo-failpoint", "torpedo-timing", "torpedo-face", "torpedo-seed")
SUITE_NAMES = (*DEVICE_SUITES, "cni", "torpedo")


def add(parser: pytest.Parser) -> None:
    """Register the options and their ini keys."""
    group = parser.getgroup("holdfast", "devices under test (holdfast)")
    for option in table.ALL:
        help_text = option.help if option.typed_only else f"{option.help} [{option.variable}]"
        group.addoption(f"--{option.name}", dest=option.key, default=None, help=help_text, **_arguments(option))
        if not option.typed_only:
            kind: Any = "linelist" if option.kind == "list" else "string"
            parser.addini(option.key, option.help, type=kind, default=None)


def _arguments(option: table.Option) -> dict[str, Any]:
    """What argparse wants of each kind."""
    if option.kind == "flag":
        return {"action": "store_true"}
    if option.kind == "keep":
        return {"nargs": "?", "const": "always", "choices": ("always", "failed")}
    return {"metavar": option.shows, "action": "append" if option.kind == "list" else "store"}


def value(config: pytest.Config, name: str) -> Any:
    """The option's value: command line, then HOLDFAST_…, then the ini key; None where nobody set it."""
    place, found = _said(config, table.BY_NAME[name])
    if found and any(
        other and nearer < place for nearer, other in (_said(config, table.BY_NAME[it]) for it in table.contrary(name))
    ):
        return None  # what is nearer by goes first, whatever the others say to the contrary
    return found


def _said(config: pytest.Config, option: table.Option) -> tuple[int, Any]:
    """How far away an option is said (0 is the command line), and what; None where nobody said it."""
    given = option.hidden(config.getoption(option.key, None))
    if given not in (None, []):
        return 0, given
    if option.typed_only:
        return 0, None
    try:
        from_environment = option.from_environment()
        if from_environment is not None:
            return 1, option.hidden(from_environment)
        written = option.hidden(config.getini(option.key))
        return 2, option.read(written, option.key) if isinstance(written, str) and written else written or None
    except InvalidArgumentError as error:
        raise pytest.UsageError(str(error)) from None


def author(config: pytest.Config, name: str) -> str:
    """What `--author-NAME` says, or what holds where nobody says it."""
    return str(value(config, f"author-{name}") or table.AUTHOR_DEFAULTS[name])


def midway_seeds(config: pytest.Config) -> list[int]:
    """`--midway-seed`: each once, in the order in which they stand there."""
    seeds: list[int] = []
    for part in str(value(config, "midway-seed") or 0).split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(seeds))


def midway_changes(config: pytest.Config) -> frozenset[str]:
    """`--midway-changes`: the kinds of things."""
    return frozenset(str(value(config, "midway-changes") or "container,image,plugin,volume").split(","))


def flag(config: pytest.Config, name: str) -> bool:
    """Whether a flag is set: on the command line, or by a word for yes in the environment or the ini file."""
    return bool(value(config, name))


def command_line(config: pytest.Config) -> list[str]:
    """What somebody typed: without PYTEST_ADDOPTS, without ini files."""
    worker_input: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker_input is not None:
        return list(worker_input.get("holdfast_command_line", []))
    return [str(word) for word in config.invocation_params.args]


def typed(config: pytest.Config, name: str) -> bool:
    """Whether the command line itself says what an ini file or an environment variable may not."""
    return any(word.partition("=")[0] == f"--{name}" for word in command_line(config))


def is_all_typed(config: pytest.Config, name: str) -> bool:
    """Whether the command line itself says all that a list has."""
    words = command_line(config)
    elsewhere: dict[str, str] | None = getattr(config, "workerinput", {}).get("holdfast_testbeds")
    said = {word.partition("=")[2] for word in words if word.startswith(f"--{name}=")}
    said.update(following for word, following in pairwise(words) if word == f"--{name}")
    found = list(elsewhere) if elsewhere and name == "testbed" else value(config, name) or ()
    return bool(found) and said.issuperset(found)


def check(config: pytest.Config) -> None:
    """Refuse what makes no sense before anything else happens."""
    if value(config, "testbed") and value(config, "dut"):
        raise pytest.UsageError("--dut and --testbed both say where the devices are: give one of them")
    given = {option.name: value(config, option.name) for option in table.ALL}
    if given["dut-device"] and not given["testbed"]:
        raise pytest.UsageError("--dut-device names devices of a testbed: give --testbed FILE too")
    if wrong := table.contradiction(given.__getitem__):
        raise pytest.UsageError(wrong)
    for option in table.ALL:
        if option.kind == "text" and not option.secret and given[option.name] is not None:
            _check_shape(option, given[option.name])
    for text in value(config, "dut-volume-option") or ():
        key, equals, _ = text.partition("=")
        if not (key and equals):
            raise pytest.UsageError(f"--dut-volume-option {text}: write KEY=VALUE, such as mountpoint=/tmp")
    _check_ways_in(config)
    _check_plans(config)
    _check_files(config)
    for text in value(config, "dut-deadline") or ():
        step, _ = deadline(text)
        _check_step(step)
    emulator_settings(config)
    _check_profile(config)
    _check_provider(config)
    _check_torpedo(config)


def _check_ways_in(config: pytest.Config) -> None:
    """What may be wrong with metadata and a proxy, told without what they hold."""
    from holdfast.metadata import Metadata

    try:
        Metadata.written(value(config, "dut-metadata") or (), "--dut-metadata").revealed()
    except InvalidArgumentError as error:
        raise pytest.UsageError(str(error)) from None
    proxy = value(config, "dut-proxy")
    if proxy and proxy.reveal() != ENVIRONMENT:
        from holdfast import _core

        try:
            _core.proxy_shown(proxy)
        except InvalidArgumentError as error:
            raise pytest.UsageError(f"--dut-proxy: {error}") from None


def _check_shape(option: table.Option, given: str) -> None:
    try:
        option.checked(given, f"--{option.name}")
    except InvalidArgumentError as error:
        raise pytest.UsageError(str(error)) from None


def _check_plans(config: pytest.Config) -> None:
    """A plan is told by the process that collects the tests; workers would run them, which it promises not to do."""
    of_workers = getattr(config.option, "dist", "no") != "no" or hasattr(config, "workerinput")
    for name in ("dut-plan", "torpedo-plan"):
        if of_workers and flag(config, name):
            raise pytest.UsageError(
                f"--{name} says what would run, in one process, and nothing was run: give -n 0 with it, where "
                "addopts have -n, or leave out -n and --dist"
            )


def _check_torpedo(config: pytest.Config) -> None:
    if value(config, "torpedo-runner") and not value(config, "provider"):
        raise pytest.UsageError("--torpedo-runner runs tasks on real nodes: give --provider too, such as nbd")
    for text in value(config, "torpedo-deadline") or ():
        scenario, _ = deadline(text, "torpedo-deadline", "T5=60s")
        if not re.fullmatch(r"[Tt]([1-9]|1[0-5]|2[1-5])|leave", scenario):
            hint = "give T1 to T15, T21 to T25, or leave"
            raise pytest.UsageError(f"--torpedo-deadline {text}: there is no scenario {scenario!r}; {hint}")
    for text in value(config, "torpedo-timing") or ():
        name, _ = deadline(text, "torpedo-timing", "sync=1ms")
        if name not in ("sync", "attach", "pace", "patience"):
            raise pytest.UsageError(f"--torpedo-timing {text}: give sync, attach, pace or patience")
    if value(config, "provider"):
        for name in OF_THE_EMULATED_PROVIDER:
            if value(config, name):
                raise pytest.UsageError(
                    f"--{name} is of the emulated provider, and --provider names another: leave one of them out"
                )
    for text in value(config, "torpedo-failpoint") or ():
        _check_storage_failpoint(text)
    _check_names(config)


def _check_names(config: pytest.Config) -> None:
    """The RPCs and the healthy ways that are named are there."""
    calls, ways = value(config, "torpedo-call") or (), value(config, "torpedo-personality") or ()
    if not calls and not ways:
        return
    from holdfast import _core

    rpcs = ["default", *_core.storage_rpcs()]
    for text in calls:
        rpc, _ = deadline(text, "torpedo-call", "CreateVolume=12s")
        if rpc not in rpcs:
            raise pytest.UsageError(f"--torpedo-call {text}: there is no call {rpc!r}; {table.nearest(rpc, rpcs)}")
    names = [name for name, _ in _core.storage_personalities()]
    for name in ways:
        if name not in names:
            raise pytest.UsageError(f"--torpedo-personality {name}: there is none; {table.nearest(name, names)}")


def _check_provider(config: pytest.Config) -> None:
    """A mistake in the file is told once, and not by each scenario."""
    given = value(config, "provider")
    if given is None:
        return
    from holdfast.storage.provider import read

    try:
        read(given, runner=value(config, "torpedo-runner"))
    except InvalidArgumentError as error:
        hint = f"; try: {error.hint}" if error.hint else ""
        raise pytest.UsageError(f"--provider {error.message}{hint}") from None


def leave_out_other_runners(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Scenarios of one runner alone are not there for another."""
    of_one = [(item, mark) for item in items if (mark := item.get_closest_marker("torpedo_runner")) is not None]
    if not of_one:
        return
    from holdfast.storage.provider import read

    given = value(config, "provider")
    runner = None if given is None else read(given, runner=value(config, "torpedo-runner")).runner
    others = [item for item, mark in of_one if mark.args[0] != runner]
    items[:] = [item for item in items if item not in others]
    config.hook.pytest_deselected(items=others)


def _check_storage_failpoint(text: str) -> None:
    from holdfast import storage

    name, equals, terms = text.partition("=")
    if not equals:
        raise pytest.UsageError(f"--torpedo-failpoint {text}: write NAME=TERMS, such as storage.fence.none=error(x)")
    try:
        storage.emulated(failpoints={name: terms}).close()
    except InvalidArgumentError as error:
        raise pytest.UsageError(f"--torpedo-failpoint {text}: {error}") from None


def _check_files(config: pytest.Config) -> None:
    artifacts = value(config, "dut-artifacts")
    if artifacts is not None and Path(artifacts).exists() and not Path(artifacts).is_dir():
        raise pytest.UsageError(f"--dut-artifacts {artifacts}: that is no folder")
    if artifacts is not None:
        _make_folder(artifacts)
    _check_reports(config)
    for option in table.SECRET_FILES:
        if (file := value(config, option.name)) and not Path(file).exists():
            raise pytest.UsageError(f"--{option.name}: {file} does not exist")
    if file := value(config, "dut-failpoint-file"):
        from holdfast import failpoint

        try:
            failpoint.read_file(file)
        except InvalidArgumentError as error:
            raise pytest.UsageError(f"--dut-failpoint-file {error.message}; {error.hint}") from None
    for file in value(config, "testbed") or ():
        if not lab.is_url(file) and not Path(file).is_file():
            raise pytest.UsageError(f"--testbed {file}: there is no such file")


def _check_reports(config: pytest.Config) -> None:
    for name in ("dut-report", "dut-soak-report"):
        report = value(config, name)
        if report is not None and not Path(report).absolute().parent.is_dir():
            raise pytest.UsageError(f"--{name} {report}: there is no folder {Path(report).absolute().parent}")
    if value(config, "dut-soak-report") and not (value(config, "dut-repeat") or value(config, "dut-for")):
        raise pytest.UsageError("--dut-soak-report is about rounds: give --dut-for TIME or --dut-repeat NUMBER too")


def _make_folder(artifacts: str) -> None:
    """What can never be made is wrong; that a disk is full, or read-only, is told when something is to be kept."""
    try:
        Path(artifacts).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise pytest.UsageError(f"--dut-artifacts {artifacts}: {error.strerror}") from None


def _check_profile(config: pytest.Config) -> None:
    name = value(config, "dut-profile")
    if name is None or name == "auto":
        return
    from holdfast import profiles

    try:
        profiles.load(name)
    except InvalidArgumentError as error:
        raise pytest.UsageError(f"--dut-profile: {error.message}; {error.hint}") from None


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


def emulator_settings(config: pytest.Config) -> dict[str, Any]:
    """What `--dut-emulator` says, as arguments of `holdfast.emulator`."""
    known = {setting.name: setting for setting in table.SETTINGS if setting.run}
    found: dict[str, Any] = {"quirks": []}
    for text in value(config, "dut-emulator") or ():
        name, equals, said = text.partition("=")
        if name not in known:
            raise pytest.UsageError(f"--dut-emulator {text}: write KEY=VALUE; {table.nearest(name, known)}")
        try:
            read = known[name].read_said(said if equals else None, name)
        except InvalidArgumentError as error:
            raise pytest.UsageError(f"--dut-emulator {text}: write KEY=VALUE; {error.message}") from None
        if known[name].kind == "list":
            found[known[name].parameter].append(read)
        else:
            found[known[name].parameter] = read
    if found["quirks"]:
        _check_quirks(found["quirks"])
    return found


def runs_real_containers(config: pytest.Config) -> bool:
    """Whether the embedded device's containers are real."""
    return emulator_settings(config).get("runtime") == "docker"


def _check_quirks(names: list[str]) -> None:
    from holdfast._emulator import known_quirks

    try:
        known_quirks(names)
    except InvalidArgumentError as error:
        raise pytest.UsageError(f"--dut-emulator quirk: {error}") from None


def wanted_suites(config: pytest.Config) -> list[str]:
    """The shipped suites that the command line asks for, without paths of its own."""
    if config.args_source == pytest.Config.ArgsSource.ARGS and not _only_options(config):
        return []
    keyword = config.getoption("keyword") or ""
    named = [name for name in SUITE_NAMES if re.search(rf"\b{name}(?![A-Za-z])", keyword)]  # no `authorisation`
    if named:
        return named
    naming = ("--dut", "--testbed")
    on_command_line = any(word.partition("=")[0] in naming for word in command_line(config))
    return ["cntr3"] if on_command_line and not keyword else []


def _only_options(config: pytest.Config) -> bool:
    """Xdist hands its workers the controller's arguments, which then look like paths that somebody typed."""
    return hasattr(config, "workerinput") and all(Path(word).is_dir() for word in config.args)


def names_suite_file(config: pytest.Config, suites: Path) -> bool:
    """Whether the command line names a shipped suite, what lies in one, or the folder of all: by path, as in a case's
    node id, or as a package with `--pyargs`.
    """
    inside = {SUITES, suites}  # of what lies further up somebody else may have the tests
    return any(suites in (path, *path.parents) or path in inside for path in _named_paths(config))


def _named_paths(config: pytest.Config) -> Iterator[Path]:
    """The paths on the command line that may be shipped suites."""
    for word in config.args:
        name = word.partition("::")[0]
        package, *inside = name.split(".")
        if config.getoption("pyargs") and [package, *inside[:1]] == ["holdfast", SUITES.name]:
            path = SUITES.joinpath(*inside[1:])
            yield path if path.is_dir() else path.with_suffix(".py")
        elif SUITES.name in name or any(suite in name for suite in SUITE_NAMES):
            yield (config.invocation_params.dir / name).resolve()


def is_active(config: pytest.Config) -> bool:
    """Whether this run may have to do with devices under test."""
    device_suites = set(wanted_suites(config)) & set(DEVICE_SUITES)
    folders = [SUITES / name for name in DEVICE_SUITES]
    named = value(config, "dut") or value(config, "testbed")
    return bool(device_suites or named) or any(names_suite_file(config, folder) for folder in folders)


def is_ours(item: pytest.Item) -> bool:
    """Whether a test has to do with a device under test, or is of a shipped suite."""
    return "holdfast_run" in getattr(item, "fixturenames", ()) or any(map(item.get_closest_marker, SUITE_NAMES))
