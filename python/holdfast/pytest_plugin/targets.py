"""Which devices a run is about: a testbed's, the one of `--dut`, or an emulated one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.addresses import is_loopback
from holdfast.exceptions import HoldfastError
from holdfast.pytest_plugin import options
from holdfast.testbed import Target, read
from holdfast.testbed.own import inner
from holdfast.testbed.target import Inner
from holdfast.tls import Tls

_KEY = pytest.StashKey[tuple[Target, ...]]()


def of(config: pytest.Config) -> tuple[Target, ...]:
    """The devices of this run, read once."""
    found = config.stash.get(_KEY, None)
    if found is None:
        found = config.stash[_KEY] = _read(config)
    return found


def _read(config: pytest.Config) -> tuple[Target, ...]:
    files = options.value(config, "testbed")
    if files:
        try:
            return read(*files)
        except HoldfastError as error:
            raise pytest.UsageError(f"--testbed: {error}") from None
    address = options.value(config, "dut")
    return (_named(config, address),) if address else (emulated(config),)


def emulated(config: pytest.Config) -> Target:
    """The device of this process' own."""
    return Target(
        name="",
        username=options.value(config, "dut-username"),
        password=lambda: _password(config),
        insecure=True,
        emulated=True,
        profile=options.value(config, "dut-profile") or "generic",
    )


def _named(config: pytest.Config, address: str) -> Target:
    insecure = options.flag(config, "dut-insecure")
    return Target(
        name=address,
        address=address,
        gnoi=options.value(config, "dut-gnoi"),
        username=options.value(config, "dut-username"),
        password=lambda: _password(config),
        insecure=insecure,
        tls=None if insecure else _tls(config),
        profile=options.value(config, "dut-profile") or "auto",
        container_host=options.value(config, "dut-container-host"),
        inner=_inner(config),
    )


def _inner(config: pytest.Config) -> Inner:
    """How containers name devices, as `--dut-inner` says."""
    pairs = (text.partition("=") for text in options.value(config, "dut-inner") or ())
    try:
        return inner("--dut-inner", {key: value for key, _, value in pairs})
    except HoldfastError as error:
        raise pytest.UsageError(str(error)) from None


def of_item(item: pytest.Item) -> Target:
    """The device that a test is about."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    found = parameters.get("holdfast_target")
    return found if isinstance(found, Target) else of(item.config)[0]


def may_be_disrupted(config: pytest.Config, target: Target) -> bool:
    """Whether failovers are allowed on it: it is loopback, or its testbed or the command line itself says so."""
    if target.emulated or target.allow_disruption or is_loopback(target.address):
        return True
    return options.typed(config, "dut-allow-disruption")


def _tls(config: pytest.Config) -> Tls:
    """TLS as the options say it."""
    return Tls(
        ca=options.value(config, "dut-ca"),
        cert=options.value(config, "dut-cert"),
        key=options.value(config, "dut-key"),
        key_password=_secret(config, "dut-key-password-file") or os.environ.get("HOLDFAST_KEY_PASSWORD"),
        server_name=options.value(config, "dut-server-name"),
        skip_verify=options.flag(config, "dut-skip-verify"),
    )


def _password(config: pytest.Config) -> str | None:
    given = _secret(config, "dut-password-file")
    return os.environ.get("HOLDFAST_PASSWORD") if given is None else given


def _secret(config: pytest.Config, name: str) -> str | None:
    """The first line of the file that an option names."""
    file = options.value(config, name)
    if not file:
        return None
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise pytest.UsageError(f"--{name}: {error}") from None
    return lines[0] if lines else ""
