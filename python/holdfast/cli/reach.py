"""The device that a command is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast import calls, options
from holdfast.cli.passwords import asked_for
from holdfast.cli.several import Place
from holdfast.cli.shared import SharedOptions
from holdfast.exceptions import TestbedError
from holdfast.secret import Secret
from holdfast.testbed import by_options

if TYPE_CHECKING:
    from holdfast import Device
    from holdfast.testbed import Target


def device(given: SharedOptions) -> Device:
    """A session with the device that the options, a testbed or the environment name. Raises `HoldfastError`."""
    _debug(given)
    if given.value("testbed"):
        given.reached = _connected(_one_of_testbed(given))
    else:
        given.reached = _named(given, _password(given)).connect()
    return given.reached


def places(given: SharedOptions, *, by_name: bool = False) -> tuple[Place, ...]:
    """All devices that a command is about: one, or those of a testbed.

    With `by_name`, for what changes them, several must be named, if only as `all`. Raises `HoldfastError`.
    """
    _debug(given)
    if not given.value("testbed"):
        password = _password(given)
        return (Place("", lambda: _named(given, password).connect()),)
    targets = _of_testbed(given)
    wanted = _wanted(given, targets)
    if by_name and len(targets) > 1 and given.device is None:
        names = ", ".join(target.name for target in targets)
        raise click.UsageError(f"which devices of the testbed? Give --device NAME[,NAME…] or --device all: {names}.")
    asked = [_with_password(target) for target in wanted]  # here, for a terminal is asked one thing at a time
    return tuple(Place(target.name, target.connect) for target in asked)


def _debug(given: SharedOptions) -> None:
    if given.debug:
        calls.show()


def _password(given: SharedOptions) -> Secret | None:
    """The password of `--dut-username`, if there is one."""
    username = given.value("dut-username")
    password = by_options.password(given.value)
    if not username:
        return None  # it is sent nowhere
    if password is None and by_options.token(given.value) is None:
        password = asked_for(username, given.value("dut") or "the device")
    return password


def _named(given: SharedOptions, password: Secret | None) -> Target:
    password = Secret.of(password)
    address = given.value("dut")
    if not address:
        raise click.UsageError("which device? Give --dut HOST[:PORT] or --testbed FILE.")
    if wrong := options.contradiction(given.value):
        raise click.UsageError(f"{wrong}.")
    target = by_options.target(address, given.value, password=password)
    if target.tls is not None and target.tls.skip_verify:
        click.echo(f"holdfast: NOT VERIFIED: whoever answers at {address} is trusted (--dut-skip-verify)", err=True)
    return target


def _of_testbed(given: SharedOptions) -> list[Target]:
    """The devices of the testbed that are somewhere."""
    from holdfast import testbed

    files = given.value("testbed")
    if given.value("dut"):
        raise click.UsageError("--dut and --testbed both say where the device is: give one of them.")
    if missing := [file for file in files if not Path(file).is_file()]:
        raise TestbedError(f"--testbed {missing[0]}: there is no such file")
    return [target for target in testbed.read(*files) if not target.emulated]


def _wanted(given: SharedOptions, targets: Sequence[Target]) -> list[Target]:
    """Those that are named, in the order of their names; all where none is."""
    names = [name for name in (given.device or "").split(",") if name]
    by_name = {target.name: target for target in targets}
    if not names or (names == ["all"] and "all" not in by_name):
        if not targets:
            raise click.UsageError("the testbed has no device that is not emulated.")
        return list(targets)
    if unknown := [name for name in names if name not in by_name]:
        raise click.UsageError(f"--device {unknown[0]}: {options.nearest(unknown[0], by_name)}.")
    return [by_name[name] for name in dict.fromkeys(names)]


def _one_of_testbed(given: SharedOptions) -> Target:
    targets = _of_testbed(given)
    wanted = [target for target in targets if given.device in (None, target.name)]
    if len(wanted) != 1:
        names = ", ".join(target.name for target in targets) or "none that is not emulated"
        raise click.UsageError(f"which device of the testbed? Give --device NAME; there is {names}.")
    return wanted[0]


def _connected(target: Target) -> Device:
    return _with_password(target).connect()


def _with_password(target: Target) -> Target:
    """The same, with a password that was asked for, where its user has none and somebody sits there."""
    if target.username is None or target.password is not None or target.token is not None:
        return target
    password = asked_for(target.username, target.name)
    return target if password is None else replace(target, password=password)
