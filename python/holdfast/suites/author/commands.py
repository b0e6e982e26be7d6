"""Commands of the image under test, run over its volume by nothing but gNOI Containerz.

A device has no way to execute something in a container, and tells no exit code. So a command is a container of its own
that writes a word which was drawn for it, and the word is looked for in its log.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast import Device, cntrsrv, waiting
from holdfast.exceptions import ExpectationFailed, HoldfastError, ImageError, Unimplemented
from holdfast.journal import PREFIX
from holdfast.pytest_plugin import options
from holdfast.pytest_plugin.case import Case, NotChecked
from holdfast.pytest_plugin.run import ImageUnderTest, Run
from holdfast.suites.looks import ABSENT, LOOK, STOPPED, look_container

TOKEN = "{token}"  # noqa: S105 - a place in a command
# A shell of the image reads the command from here. Devices cut what a container runs at its spaces, as the reference
# server does, or as a shell would: so there is neither a space nor a quote in what the shell is told to do.
VARIABLE = "HOLDFAST_COMMAND"
BY_SHELL = f"/bin/sh -f -c eval${{IFS}}${VARIABLE}"
# What of its output an error shows, in lines.
SHOWN = 5
# Under which a run remembers why its device does not run processes; empty where it does.
KEY = "author: why no process runs"


@dataclass(frozen=True)
class Ended:
    """What came of a command: its exit code, and the lines that it wrote."""

    code: int
    lines: Sequence[str]

    @property
    def shown(self) -> str:
        """The end of its output."""
        return " | ".join(self.lines[-SHOWN:]) or "it wrote nothing"


def run_command(case: Case, dut: Device, image: ImageUnderTest, command: str, volumes: dict[str, str]) -> Ended:
    """Run a command in a container of `image`. Raises `ExpectationFailed` where it never says how it ended, and
    `NotChecked` on a device without Log.
    """
    name, token = case.run.fresh_name("command"), secrets.token_hex(8)
    by_shell = TOKEN not in command
    dut.containerz.start(
        name,
        image=image,
        command=BY_SHELL if by_shell else command.replace(TOKEN, token),
        environment={VARIABLE: f"set +f; ( {command} ); code=$?; echo; echo {token} $code"} if by_shell else {},
        volumes=volumes,
        network=image.network,
        restart="NONE",
    )
    try:
        return _ended(case, dut, name, token)
    except Unimplemented as error:
        raise NotChecked(f"a command tells how it ended by its log, and the device has none: {error.message}") from None
    finally:
        dut.containerz.remove(name, force=True, missing_ok=True)


def _ended(case: Case, dut: Device, name: str, token: str) -> Ended:
    """The first line with the word that it was given; it has until the limit `verification`."""
    lines: Sequence[str] = ()
    gone = False
    for last in waiting.looks(case.run.limits["verification"], look=LOOK):
        lines = [line.strip() for line in dut.containerz.logs(name)]
        for line in lines:
            if said := re.fullmatch(rf"{token}(?: (\d+))?", line):
                return Ended(int(said[1] or 0), [line for line in lines if line and token not in line])
        if gone or last:
            break
        gone = look_container(dut, name) in (STOPPED, ABSENT)  # its log is read once more: it may be new
    shown = Ended(0, [line for line in lines if line]).shown
    ending = "it ended" if gone else "it did not end"
    raise ExpectationFailed(
        f"{ending} without the word that it was to write; its output: {shown}",
        hint="docs/author-contract.md says how commands are run",
    )


def skip_unless_processes_run(case: Case, dut: Device, image: ImageUnderTest) -> None:
    """Skip where the device does not run the processes of images: what it shows is not the image's doing.

    An image of the wheel's own is what such a device plays, and its verdicts say EMULATED.
    """
    if image.retag is None:
        return
    shared = case.run.shared
    if KEY not in shared:
        shared[KEY] = _why_none_runs(case.run, dut, image)
    if shared[KEY]:
        import pytest

        pytest.skip(shared[KEY])


def _why_none_runs(run: Run, dut: Device, image: ImageUnderTest) -> str:
    """A container of ours gets an argument that it does not know: a process names it in its log, and ends."""
    token, name = secrets.token_hex(8), run.fresh_name("process")
    archive = Path(run.folder) / "process.tar"
    try:
        _write_own(archive, run, image.platform)
        own = dut.containerz.deploy(archive)
        dut.containerz.start(name, image=own, command=f"./cntrsrv --{token}", restart="NONE")
        said = _says(dut, name, token, run.limits["start"])
        status = look_container(dut, name)
        dut.containerz.remove(name, force=True, missing_ok=True)
        dut.containerz.remove_image(own, force=True, missing_ok=True)
    except HoldfastError as error:
        return f"whether the device runs the processes of images cannot be told: {error.message}"
    if said or (said is None and status == STOPPED):
        return ""
    return (
        f"the device does not run the processes of images: one that was started with an argument it does not know "
        f"is {status}, and its log does not name it; nothing that such a device shows is the image's own doing"
        f"{_remedy(run, dut)}"
    )


def _remedy(run: Run, dut: Device) -> str:
    """What gives an emulated device containers of an engine; nothing, where the device is what it is."""
    if options.runs_real_containers(run.config):
        return ""
    if run.target.emulated:
        return "; add --dut-emulator runtime=docker, and it runs them in your Docker engine (docs/container-authors.md)"
    if dut.is_emulated():
        return "; start it by `holdfast emulate --runtime docker`, and it runs them in a Docker engine"
    return ""


def _write_own(archive: Path, run: Run, platform: str | None) -> None:
    """The wheel's own test container, for the platform of the image under test where there is one."""
    try:
        cntrsrv.write_archive(archive, name="cntrsrv_image", tag=f"{PREFIX}{run.id}-process", platform=platform)
    except ImageError:
        cntrsrv.write_archive(archive, name="cntrsrv_image", tag=f"{PREFIX}{run.id}-process")


def _says(dut: Device, name: str, token: str, limit: float) -> bool | None:
    """Whether its log has the word within `limit` seconds; None on a device that has no Log."""
    try:
        return waiting.until(lambda: any(token in line for line in dut.containerz.logs(name)), limit, look=LOOK)
    except Unimplemented:
        waiting.until(lambda: look_container(dut, name) == STOPPED, limit, look=LOOK)
        return None
