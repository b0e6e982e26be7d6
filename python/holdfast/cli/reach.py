"""The device that a command is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast import options
from holdfast.cli.shared import SharedOptions
from holdfast.exceptions import InvalidArgumentError, TestbedError
from holdfast.metadata import Metadata
from holdfast.secret import Secret, first_line, from_environment

if TYPE_CHECKING:
    from holdfast import Device, Tls
    from holdfast.testbed import Target


def device(given: SharedOptions) -> Device:
    """A session with the device that the options, a testbed or the environment name. Raises `HoldfastError`."""
    if given.value("testbed"):
        return _of_testbed(given).connect()
    return _named(given)


def _named(given: SharedOptions) -> Device:
    import holdfast

    address = given.value("dut")
    if not address:
        raise click.UsageError("which device? Give --dut HOST[:PORT] or --testbed FILE.")
    username = given.value("dut-username")
    password = _secret(given, "dut-password-file", "HOLDFAST_PASSWORD")
    insecure, tls = bool(given.value("dut-insecure")), _tls(given)
    if insecure and tls != holdfast.Tls():
        raise click.UsageError("--dut-insecure is plaintext, and the other options are for TLS: give one of them.")
    if tls.skip_verify:
        click.echo(f"holdfast: NOT VERIFIED: whoever answers at {address} is trusted (--dut-skip-verify)", err=True)
    return holdfast.connect(
        address,
        gnoi=given.value("dut-gnoi"),
        username=username,
        password=password if username else None,  # without a name, it is sent nowhere
        token=given.value("dut-token") or _secret(given, "dut-token-file", "HOLDFAST_TOKEN"),
        metadata=Metadata.written(given.value("dut-metadata") or (), "--dut-metadata"),
        proxy=given.value("dut-proxy"),
        insecure=insecure,
        tls=None if insecure else tls,
        profile=given.value("dut-profile") or "auto",
        container_host=given.value("dut-container-host"),
        silence=options.time(given.value("dut-silence")),
    )


def _of_testbed(given: SharedOptions) -> Target:
    from holdfast import testbed

    files = given.value("testbed")
    if given.value("dut"):
        raise click.UsageError("--dut and --testbed both say where the device is: give one of them.")
    if missing := [file for file in files if not Path(file).is_file()]:
        raise TestbedError(f"--testbed {missing[0]}: there is no such file")
    targets = [target for target in testbed.read(*files) if not target.emulated]
    wanted = [target for target in targets if given.device in (None, target.name)]
    if len(wanted) != 1:
        names = ", ".join(target.name for target in targets) or "none that is not emulated"
        raise click.UsageError(f"which device of the testbed? Give --device NAME; there is {names}.")
    return wanted[0]


def _tls(given: SharedOptions) -> Tls:
    import holdfast

    key, key_password = given.value("dut-key"), _secret(given, "dut-key-password-file", "HOLDFAST_KEY_PASSWORD")
    return holdfast.Tls(
        ca=given.value("dut-ca"),
        cert=given.value("dut-cert"),
        key=key,
        key_password=key_password if key else None,
        server_name=given.value("dut-server-name"),
        skip_verify=bool(given.value("dut-skip-verify")),
    )


def _secret(given: SharedOptions, option: str, variable: str) -> Secret | None:
    file = given.value(option)
    if not file:
        return from_environment(variable)
    try:
        return first_line(file)
    except FileNotFoundError:
        raise InvalidArgumentError(f"--{option}: {file} does not exist") from None
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(f"--{option}: {error}") from None
