"""Fail the thing under a container; prove that the container and its data held.

Importing this loads nothing else: names are resolved when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast import aio as aio
    from holdfast import cni as cni
    from holdfast import cntrsrv as cntrsrv
    from holdfast import exceptions as exceptions
    from holdfast import failpoint as failpoint
    from holdfast import plugin_archive as plugin_archive
    from holdfast import profiles as profiles
    from holdfast import report as report
    from holdfast import testbed as testbed
    from holdfast._connect import connect as connect
    from holdfast._core import Containerz as Containerz
    from holdfast._core import Device as Device
    from holdfast._emulator import Emulator as Emulator
    from holdfast._emulator import emulator as emulator
    from holdfast._version import __version__ as __version__
    from holdfast.exceptions import HoldfastError as HoldfastError
    from holdfast.results import Archive as Archive
    from holdfast.secret import Secret as Secret
    from holdfast.tls import Tls as Tls

_HOMES = {
    "Archive": "holdfast.results",
    "Containerz": "holdfast._core",
    "Device": "holdfast._core",
    "Emulator": "holdfast._emulator",
    "HoldfastError": "holdfast.exceptions",
    "Secret": "holdfast.secret",
    "Tls": "holdfast.tls",
    "__version__": "holdfast._version",
    "connect": "holdfast._connect",
    "emulator": "holdfast._emulator",
}
_MODULES = ("aio", "cni", "cntrsrv", "exceptions", "failpoint", "plugin_archive", "profiles", "report", "testbed")

__all__ = [  # noqa: RUF022 - the order of the documentation
    "connect",
    "emulator",
    "Device",
    "Containerz",
    "Emulator",
    "Archive",
    "Tls",
    "Secret",
    "HoldfastError",
    "aio",
    "cni",
    "cntrsrv",
    "exceptions",
    "failpoint",
    "plugin_archive",
    "profiles",
    "report",
    "testbed",
    "__version__",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"holdfast.{name}")
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'holdfast' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
