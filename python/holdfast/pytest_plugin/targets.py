"""Which devices a run is about: a testbed's, the one of `--dut`, or an emulated one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from holdfast import profiles
from holdfast.exceptions import (
    CertificateError,
    HoldfastError,
    InvalidArgumentError,
    PermissionDenied,
    PlaintextExpected,
    ProxyRefused,
    TlsExpected,
    Unauthenticated,
)
from holdfast.options import Value
from holdfast.pytest_plugin import options
from holdfast.testbed import Target, by_options, lab, read
from holdfast.testbed.own import inner
from holdfast.testbed.target import InnerNames

_KEY = pytest.StashKey[tuple[Target, ...]]()
_EMULATED = pytest.StashKey[dict[str, bool]]()
# How long a device may take to say what it is, in seconds.
LOOK = 10.0
# What is wrong with what was said of a device, not with the device.
_WAY_IN = (
    Unauthenticated,
    PermissionDenied,
    CertificateError,
    TlsExpected,
    PlaintextExpected,
    ProxyRefused,
    InvalidArgumentError,
)


def of(config: pytest.Config) -> tuple[Target, ...]:
    """The devices of this run, read once."""
    found = config.stash.get(_KEY, None)
    if found is None:
        found = config.stash[_KEY] = _read(config)
    return found


def check(config: pytest.Config) -> None:
    """Refuse what says wrong which devices there are, before anything is collected."""
    inner_names(config)
    of(config)


def _read(config: pytest.Config) -> tuple[Target, ...]:
    files = options.value(config, "testbed")
    if files:
        try:
            return _wanted(config, read(*files))
        except HoldfastError as error:
            raise pytest.UsageError(f"--testbed: {error}") from None
    address = options.value(config, "dut")
    if not address:
        return (emulated(config),)
    value = _values(config)
    try:
        named = by_options.target(
            address, value, password=lambda: by_options.password(value), inner=inner_names(config)
        )
    except InvalidArgumentError as error:
        raise pytest.UsageError(str(error)) from None
    return (named,)


def _values(config: pytest.Config) -> Value:
    return partial(options.value, config)


def _wanted(config: pytest.Config, targets: Sequence[Target]) -> tuple[Target, ...]:
    """Those that `--dut-device` names, in its order; all where it names none."""
    try:
        return lab.chosen(targets, options.value(config, "dut-device"))
    except InvalidArgumentError as error:
        raise pytest.UsageError(f"--dut-device {error.message}: {error.hint}") from None


def emulated(config: pytest.Config) -> Target:
    """The device of this process' own."""
    value = _values(config)
    return Target(
        name="",
        username=value("dut-username"),
        password=lambda: by_options.password(value),
        token=lambda: by_options.token(value),
        metadata=lambda: by_options.metadata(value),
        insecure=True,
        emulated=True,
        profile=value("dut-profile") or "generic",
    )


def inner_names(config: pytest.Config) -> InnerNames:
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


def of_nodeid(config: pytest.Config, nodeid: str) -> Target | None:
    """The device that a test's name tells; the only one there is, else none."""
    known = of(config)
    parameters = nodeid.rpartition("[")[2].removesuffix("]") if nodeid.endswith("]") else ""
    words = f"-{parameters}-"
    named = [target for target in known if f"-{target.name}-" in words]
    return max(named, key=lambda target: len(target.name), default=known[0] if len(known) == 1 else None)


def is_allowed(config: pytest.Config, target: Target) -> bool:
    """Whether failovers are allowed, whatever the device is: the command line says so, or a testbed that it names.

    Else it must say that it is EMULATED. Its address says nothing: a tunnel's end is on this machine too.
    """
    by_testbed = target.allow_disruption and options.is_all_typed(config, "testbed")
    return target.emulated or by_testbed or options.typed(config, "dut-allow-disruption")


def says_emulated(config: pytest.Config, target: Target) -> bool:
    """Whether the device says of itself that it is EMULATED; asked once in a run.

    Raises what `connect` raises, and why it does not answer: one that does not know who asks, or fails, says nothing.
    """
    if target.emulated:
        return True
    known = config.stash.setdefault(_EMULATED, {})
    if target.name not in known:
        with target.connect(profile=profiles.GENERIC) as device:
            if not device.is_emulated():
                profiles.shown(device, timeout=LOOK)
            known[target.name] = device.is_emulated()
    return known[target.name]


def surely_emulated(config: pytest.Config, target: Target) -> bool:
    """The same; False where it cannot be reached, or answers and does not tell.

    Raises what is amiss with the way in, as a wrong password: of such a device nothing is known.
    """
    try:
        return says_emulated(config, target)
    except _WAY_IN:
        raise
    except HoldfastError:
        return False
