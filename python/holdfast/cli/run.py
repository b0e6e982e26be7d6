"""`holdfast run`: a suite, without pytest's magic."""

from __future__ import annotations

import os
from pathlib import Path

import click

from holdfast import exit_codes
from holdfast.cli.shared import DEVICE_OPTIONS, SharedOptions

SUITES = ("cntr1", "cntr2", "cntr3", "midway", "author", "cni", "torpedo")
# The files in which pytest looks for settings, in each folder in this order.
_INI_FILES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("suite", type=click.Choice(SUITES))
@click.option("--device", metavar="NAME[,NAME…]", help="Which devices of the testbed, by name or tag:WORD.")
@click.pass_context
def run(ctx: click.Context, suite: str, device: str | None) -> None:
    """Run a suite; all further options are pytest's."""
    given: SharedOptions = ctx.obj
    _refuse_what_pytest_cannot_do(given)
    import pytest

    import holdfast

    folder = Path(holdfast.__file__).parent / "suites" / suite
    files = map(str, sorted(folder.glob("test_*.py")))  # by name: an ini file may say what others are called
    device = device or given.device
    words = [*_settings_from(Path.cwd()), *_words(given), *([f"--dut-device={device}"] if device else [])]
    ends = _Ends()
    ctx.exit(ends.exit_code(int(pytest.main([*files, *words, *ctx.args], plugins=[ends]))))


class _Ends:
    """Sees how the run ends: pytest has one exit code for Ctrl-C and for files that cannot be read."""

    def __init__(self) -> None:
        self._interrupted = False

    def pytest_keyboard_interrupt(self, excinfo: object) -> None:
        """Called by pytest at Ctrl-C, and where a plugin ends the run."""
        # Only that very type: what pytest raises to end a collection with errors is derived from it.
        self._interrupted = getattr(excinfo, "type", None) is KeyboardInterrupt

    def exit_code(self, code: int) -> int:
        """The command's exit code for pytest's; those that only pytest has stay as they are."""
        if code == exit_codes.INTERRUPTED.pytest and not self._interrupted:
            return exit_codes.FAILED.command
        return next((ending.command for ending in exit_codes.ALL if ending.pytest == code), code)


def _refuse_what_pytest_cannot_do(given: SharedOptions) -> None:
    """Refuse what is of `holdfast` and would not be heeded."""
    if given.as_json:
        raise click.UsageError(
            "--json is not for a run of tests: pytest writes --junitxml=FILE, and --dut-artifacts=DIR"
        )
    if given.debug:
        raise click.UsageError("--debug is not for a run of tests: -v shows timelines, --dut-artifacts=DIR keeps them")


def _settings_from(folder: Path) -> list[str]:
    """The ini file that pytest would find in this folder or above it; it would look beside the suite, which is ours."""
    files = (above / name for above in (folder, *folder.parents) for name in _INI_FILES)
    found = next((file for file in files if file.is_file() and _has_settings(file)), None)
    return [f"--rootdir={folder}", "-c", os.devnull] if found is None else ["-c", str(found)]


def _has_settings(file: Path) -> bool:
    import pytest
    from _pytest.config.findpaths import load_config_dict_from_file

    try:
        return load_config_dict_from_file(file) is not None
    except pytest.UsageError:
        return True  # pytest says what is wrong with it


def _words(given: SharedOptions) -> list[str]:
    """What was said before the command, as pytest wants it; pytest itself reads the environment."""
    words = []
    for option in DEVICE_OPTIONS:
        said = given.said[option.key]
        if option.kind == "flag":
            words += [f"--{option.name}"] if said else []
        else:
            values = said if option.kind == "list" else [said] * (said is not None)
            words += [f"--{option.name}={value}" for value in values]
    return words
