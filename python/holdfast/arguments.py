"""The arguments of `connect` and of `emulator`, each once: for both worlds of Python, testbeds and frameworks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import timedelta
from inspect import Parameter, Signature
from typing import Any, TypeAlias, TypedDict, TypeVar

from holdfast import choices
from holdfast.choices import ContainerRuntime
from holdfast.metadata import Metadata, Value
from holdfast.secret import Secret
from holdfast.tls import Tls

Function = TypeVar("Function", bound=Callable[..., Any])
Seconds: TypeAlias = float | timedelta
GivenSecret: TypeAlias = str | Secret | Callable[[], str]
GivenMetadata: TypeAlias = Mapping[str, Value] | Sequence[tuple[str, Value]] | Metadata
Encryption: TypeAlias = bool | choices.Encryption


class ConnectOptions(TypedDict, total=False):
    """The keyword arguments of `holdfast.connect`, which says what each means."""

    gnoi: str | None
    username: str | None
    password: GivenSecret | None
    token: GivenSecret | None
    metadata: GivenMetadata | None
    proxy: GivenSecret | None
    insecure: bool
    tls: Tls | bool | None
    name: str | None
    profile: str
    container_host: str | None
    silence: Seconds | None
    dial_timeout: Seconds | None
    call_timeout: Seconds | None
    deadlines: Mapping[str, Seconds] | None


class EmulatorArguments(TypedDict, total=False):
    """The keyword arguments of `holdfast.emulator`, which says what each means."""

    listen: str
    gnoi_port: int | None
    inner_gnmi_port: int | None
    inner_gribi_port: int | None
    profile: str
    names: tuple[str, str] | None
    outage: Seconds | None
    load: Seconds | None
    boot: Seconds | None
    reboot: Seconds | None
    replication: Seconds | None
    runtime: ContainerRuntime
    engine: str | None
    black_hole: bool
    state: str | os.PathLike[str] | None
    space: int | None
    chunk_size: int | None
    quirks: Sequence[str]
    seed: int
    tls: Encryption
    certificates: str | os.PathLike[str] | None
    users: Mapping[str, str | Secret] | None


def hide_secrets(options: ConnectOptions) -> ConnectOptions:
    """The same with whatever is secret hidden. Never fails, so that no traceback has its frame."""
    found = ConnectOptions(**options)
    for name in ("password", "token", "proxy"):
        if name in found:
            found[name] = Secret.of(found[name])
    if "metadata" in found:
        found["metadata"] = Metadata.of(found["metadata"])
    return found


def hide_users(options: EmulatorArguments) -> EmulatorArguments:
    """The same with the passwords of users hidden. Never fails, so that no traceback has its frame."""
    users: Any = options.get("users")
    if isinstance(users, Mapping):
        users = {name: held if isinstance(held, Secret) else Secret(held) for name, held in users.items()}
    else:
        users = Secret(users) if users else {}
    return EmulatorArguments(**{**options, "users": users})


def refuse_unknown(function: str, arguments: type, given: Mapping[str, object]) -> None:
    """Raise what Python raises where a function does not take an argument."""
    unknown = next((name for name in given if name not in arguments.__annotations__), None)
    if unknown is not None:
        raise TypeError(f"{function}() got an unexpected keyword argument {unknown!r}")


def shown(arguments: type, defaults: type, *first: str) -> Callable[[Function], Function]:
    """Let `help` and notebooks show each argument that a function takes as `**options`, with its default."""
    usual = {field.name: None if field.default is MISSING else field.default for field in fields(defaults)}
    named = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=usual[name], annotation=kind.__forward_arg__)
        for name, kind in arguments.__annotations__.items()
    ]
    before = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation="str") for name in first]

    def mark(function: Function) -> Function:
        function.__signature__ = Signature([*before, *named])  # type: ignore[attr-defined]
        return function

    return mark
