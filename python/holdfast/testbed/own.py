"""Testbeds of our own: short YAML, whose fields and JSON schema are in `schema.py`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast import options
from holdfast.exceptions import InvalidArgumentError, TestbedError
from holdfast.metadata import Metadata
from holdfast.secret import Secret, first_line
from holdfast.testbed import lab, schema
from holdfast.testbed.target import InnerNames, Target
from holdfast.tls import Tls

TOP = ("devices", "defaults", "reserve", "$schema")


def read(file: Path, data: Mapping[str, Any]) -> list[Target]:
    """The devices of a file. A key that is not known is refused: what it was to say would not be heeded."""
    refuse_unknown(str(file), "a testbed", data, TOP)
    defaults = data.get("defaults") or {}
    targets = []
    reserve = lab.checked_reserve(str(file), data.get("reserve"))
    for name, given in data["devices"].items():
        where = f"{file}: device {name}"
        if not isinstance(given or {}, dict) or not isinstance(defaults, dict):
            raise TestbedError(f"{where}: it is no mapping", hint="docs/testbeds.md has examples")
        found = target(where, str(name), {**defaults, **(given or {})}, file.parent)
        targets.append(found if found.emulated else replace(found, reserve=reserve))
    return targets


def refuse_unknown(where: str, what: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises `TestbedError`, with the nearest that is known: what such a key was to say would not be heeded."""
    if unknown := [str(key) for key in given if key not in known]:
        raise TestbedError(f"{where}: {what} has no {unknown[0]!r}", hint=options.nearest(unknown[0], known))


def target(where: str, name: str, fields: Mapping[str, Any], folder: Path) -> Target:
    """A device from its fields; files are found from `folder`. Raises `TestbedError`."""
    _check(where, fields)
    emulated = bool(fields.get("emulated"))
    if not emulated and not fields.get("address"):
        raise TestbedError(f"{where}: it has no address", hint="address: HOST[:PORT], or emulated: true")
    tls = fields.get("tls")
    if tls and fields.get("insecure"):
        raise TestbedError(f"{where}: insecure is plaintext, and tls is not", hint="give one of them")
    return Target(
        name=name,
        address=fields.get("address") or "",
        gnoi=fields.get("gnoi"),
        username=fields.get("username"),
        password=_secret(where, fields, "password", folder),
        token=_secret(where, fields, "token", folder),
        metadata=_metadata(where, fields.get("metadata") or {}, folder),
        proxy=_proxy(where, fields),
        insecure=bool(fields.get("insecure")),
        tls=_tls(where, tls, folder) if tls else None,
        profile=_profile(where, fields.get("profile") or "auto"),
        container_host=fields.get("container_host"),
        silence=_silence(where, fields.get("silence")),
        deadlines=_deadlines(where, fields.get("deadlines") or {}),
        allow_disruption=bool(fields.get("allow_disruption")),
        emulated=emulated,
        inner=inner(where, fields.get("inner") or {}),
        maintenance=lab.maintenance(where, fields),
        workers=lab.listed(where, "workers", fields.get("workers")),
        tags=lab.listed(where, "tags", fields.get("tags")),
    )


def _check(where: str, fields: Mapping[str, Any]) -> None:
    for secret in ("password", "token"):
        if secret in fields:
            raise TestbedError(
                f"{where}: a {secret} has no place in a file", hint=f"{secret}_env: VARIABLE, or {secret}_file: FILE"
            )
    refuse_unknown(where, "a device", fields, schema.KEYS)
    for keys, kind, said in (
        (tuple(key for key in schema.TEXTS if key not in schema.TIMES and key not in schema.STATE), str, "a text"),
        (schema.FLAGS, bool, "true or false"),
        (schema.MAPPINGS, dict, "a mapping"),
    ):
        _check_kind(where, fields, keys, kind, said)


def _check_kind(where: str, given: Mapping[str, Any], keys: Sequence[str], kind: type, said: str) -> None:
    kinds = (str, Secret) if kind is str else kind
    for wrong in (key for key in keys if given.get(key) is not None and not isinstance(given[key], kinds)):
        raise TestbedError(f"{where}: {wrong} is {lab.kind_of(given[wrong])}: give {said}")


def inner(where: str, given: Mapping[str, Any]) -> InnerNames:
    """How containers name devices, from a mapping."""
    refuse_unknown(where, "inner", given, schema.INNER)
    if wrong := [key for key, value in given.items() if not isinstance(value, str) or not value]:
        raise TestbedError(f"{where}: inner: {wrong[0]} is {lab.kind_of(given[wrong[0]])}: give a text")
    return InnerNames(**given)


def _tls(where: str, given: Mapping[str, Any], folder: Path) -> Tls:
    refuse_unknown(where, "tls", given, schema.TLS)
    _check_kind(f"{where}: tls", given, schema.TLS_FLAGS, bool, "true or false")
    texts = [key for key in schema.TLS if key not in schema.TLS_FLAGS]
    _check_kind(f"{where}: tls", given, texts, str, "a text")

    def file(key: str) -> Path | None:
        return None if given.get(key) is None else folder / Path(given[key]).expanduser()

    secret = _secret(where, given, "key_password", folder)
    return Tls(
        ca=file("ca"),
        cert=file("cert"),
        key=file("key"),
        key_password=None if secret is None else secret(),
        server_name=given.get("server_name"),
        skip_verify=bool(given.get("skip_verify")),
    )


def _secret(where: str, fields: Mapping[str, Any], what: str, folder: Path) -> Callable[[], Secret] | None:
    variable, file = fields.get(f"{what}_env"), fields.get(f"{what}_file")
    if variable is not None:
        return lambda: Secret(from_environment(where, variable))
    return None if file is None else lambda: _first_line(where, folder / Path(file).expanduser())


def _metadata(where: str, given: Mapping[str, Any], folder: Path) -> Callable[[], Metadata]:
    if wrong := [key for key, value in given.items() if not (isinstance(key, str) and _is_text(value))]:
        raise TestbedError(f"{where}: metadata: {wrong[0]}: give a text, env:VARIABLE or file:FILE")
    pairs = [(key, value if isinstance(value, Secret) else Secret(value)) for key, value in given.items()]

    def placed() -> Metadata:
        try:
            return Metadata.placed(pairs, f"{where}: metadata", folder)
        except InvalidArgumentError as error:
            raise TestbedError(error.message, hint=error.hint) from None

    return placed


def _is_text(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, Secret) and value.holds_text())


def _proxy(where: str, fields: Mapping[str, Any]) -> Secret | Callable[[], Secret] | None:
    variable, proxy = fields.get("proxy_env"), Secret.of(fields.get("proxy"))
    if proxy is not None and not proxy.holds_text():
        raise TestbedError(f"{where}: proxy: give a text", hint="http://HOST:PORT or socks5://HOST:PORT")
    if proxy is not None and "@" in proxy.reveal():
        raise TestbedError(f"{where}: a proxy's password has no place in a file", hint="proxy_env: VARIABLE")
    return proxy if variable is None else lambda: Secret(from_environment(where, variable))


def from_environment(where: str, variable: str) -> str:
    """A secret that an environment variable holds."""
    if variable not in os.environ:
        raise TestbedError(f"{where}: the environment has no {variable}", hint=f"export {variable}=…")
    return os.environ[variable]


def _first_line(where: str, file: Path) -> Secret:
    try:
        return first_line(file)
    except (OSError, ValueError) as error:
        raise TestbedError(f"{where}: {error}") from None


def _profile(where: str, name: str) -> str:
    """The same name, of a profile that there is."""
    from holdfast import profiles

    if name != "auto":
        try:
            profiles.load(name)
        except InvalidArgumentError as error:
            raise TestbedError(f"{where}: {error.message}", hint=error.hint) from None
    return name


def _silence(where: str, given: Any) -> float | None:
    if given is None:
        return None
    silence = _seconds(f"{where}: silence", given)
    if not silence:
        raise TestbedError(f"{where}: silence is {given!r}: give more than none", hint="such as 5s")
    return silence


def _deadlines(where: str, given: Mapping[str, Any]) -> dict[str, float]:
    from holdfast import _core

    refuse_unknown(where, "deadlines", given, _core.deadline_steps())
    return {step: _seconds(f"{where}: deadlines", time, "such as {reboot: 20m}") for step, time in given.items()}


def _seconds(where: str, time: Any, hint: str = "such as 5s") -> float:
    from holdfast.deadlines import seconds

    try:
        return seconds(time)
    except ValueError as error:
        raise TestbedError(f"{where}: {error}", hint=hint) from None
