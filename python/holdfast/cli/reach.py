"""The device that a command is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast import calls, options, progress, visible
from holdfast.cli.passwords import asked_for
from holdfast.cli.several import Place
from holdfast.cli.shared import SharedOptions
from holdfast.exceptions import InvalidArgumentError, TestbedError
from holdfast.secret import Secret
from holdfast.testbed import by_options, lab

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


@contextmanager
def asking(given: SharedOptions, what: str) -> Iterator[Device]:
    """The same, for what may take it a while: a terminal is told that it does. Raises what `device` raises."""
    reached = device(given)  # which may ask for a password
    with progress.during(what):
        yield reached


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


def listed(given: SharedOptions) -> list[Target]:
    """The devices of a testbed that a command is about, in maintenance too. Raises `HoldfastError`."""
    _debug(given)
    if not given.value("testbed"):
        raise click.UsageError("which devices? Give --testbed FILE.")
    targets = _of_testbed(given)
    if not targets:
        raise click.UsageError("the testbed has no device that is not emulated.")
    return [_with_password(target) for target in _chosen(given, targets)]


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
    if missing := [file for file in files if not (lab.is_url(file) or Path(file).is_file())]:
        raise TestbedError(f"--testbed {missing[0]}: there is no such file")
    return [target for target in testbed.read(*files) if not target.emulated]


def _wanted(given: SharedOptions, targets: Sequence[Target]) -> list[Target]:
    """Those that are named or tagged, in their order; all where none is. Of those in maintenance is told alone."""
    if not targets:
        raise click.UsageError("the testbed has no device that is not emulated.")
    found = _chosen(given, targets)
    left_out = [target for target in found if target.maintenance and not lab.is_named(target, given.device)]
    for target in left_out:
        said = f"{target.name} is {target.maintenance}; --device {target.name} asks it all the same"
        click.echo(f"holdfast: {visible.line(said)}", err=True)
    return [target for target in found if target not in left_out]


def _chosen(given: SharedOptions, targets: Sequence[Target]) -> tuple[Target, ...]:
    try:
        return lab.chosen(targets, given.device)
    except InvalidArgumentError as error:
        raise click.UsageError(f"--device {error.message}: {error.hint}") from None


def _one_of_testbed(given: SharedOptions) -> Target:
    targets = _of_testbed(given)
    wanted = _wanted(given, targets) if given.device or len(targets) == 1 else targets
    if len(wanted) != 1:
        names = ", ".join(target.name for target in wanted) or "none that is not emulated or in maintenance"
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
