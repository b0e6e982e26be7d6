"""pyATS testbeds: devices with a connection that speaks gNMI."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from holdfast.exceptions import InvalidArgumentError, TestbedError
from holdfast.metadata import Metadata
from holdfast.options import flag
from holdfast.secret import Secret
from holdfast.testbed import lab, schema
from holdfast.testbed.own import from_environment, inner, refuse_unknown
from holdfast.testbed.target import Target
from holdfast.tls import Tls

# How the libraries for gNMI that pyATS testbeds are written for spell the same thing.
CA = ("root_certificate", "root", "ca", "ca_cert")
CERT = ("certificate_chain", "chain", "certificate", "cert")
KEY = ("private_key", "key")
SERVER_NAME = ("ssl_name_override", "server_name", "override")
# What is ours in a device's `custom: {holdfast: …}`.
OWN = ("allow_disruption", "profile", "container_host", "inner", "token", "metadata", "proxy", "tags", "workers",
       *schema.STATE)  # fmt: skip
PROFILES = {
    "eos": "arista-eos",
    "iosxr": "cisco-iosxr",
    "junos": "juniper-junos",
    "srlinux": "nokia-srlinux",
    "sros": "nokia-sros",
}


def read(file: Path, data: Mapping[str, Any]) -> tuple[list[Target], list[str]]:
    """The devices that gNMI reaches, and what is not heeded."""
    targets, ignored = [], []
    shared = _mapping(data.get("testbed")).get("credentials")
    for name, device in data["devices"].items():
        where = f"{file}: device {name}"
        connections = _mapping(_mapping(device).get("connections"))
        spoken = [each for key, each in connections.items() if _speaks_gnmi(str(key), each)]
        if not spoken:
            ignored.append(f"{where}: it has no connection for gNMI, and is left out")
            continue
        targets.append(target_of(where, str(name), device, spoken[0], shared, file.parent))
    return targets, ignored


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _speaks_gnmi(key: str, connection: Any) -> bool:
    settings = _mapping(connection)
    words = " ".join(str(word).lower() for word in (key, settings.get("protocol"), settings.get("class")))
    return bool(settings) and bool(re.search(r"gnmi|gnoi|grpc|holdfast", words))


def target_of(
    where: str, name: str, device: Mapping[str, Any], connection: Mapping[str, Any], shared: Any, folder: Path
) -> Target:
    """A device's target: from its own mapping, that of its connection, and the credentials that all share."""
    host = connection.get("host") or connection.get("ip")
    if not host:
        raise TestbedError(f"{where}: its connection for gNMI has neither ip nor host")
    host, port = str(_text(where, host)), connection.get("port")
    written = f"[{host}]" if ":" in host else host
    login = _login(connection, device, shared)
    username, password = login.get("username"), login.get("password")
    own = _mapping(_mapping(device.get("custom")).get("holdfast"))
    refuse_unknown(where, "custom.holdfast", own, OWN)
    return Target(
        name=name,
        address=f"{written}:{port}" if port else written,
        username=None if username is None else _text(where, username),
        password=None if password is None else _later(where, password),
        token=_later(where, own["token"]) if own.get("token") else None,
        metadata=Metadata.of({key: _later(where, value) for key, value in _mapping(own.get("metadata")).items()}),
        proxy=_later(where, own["proxy"]) if own.get("proxy") else None,
        insecure=_flag(where, connection, "insecure"),
        tls=None if _flag(where, connection, "insecure") else _tls(where, connection, folder),
        profile=str(own.get("profile") or PROFILES.get(str(device.get("os") or device.get("platform")), "auto")),
        container_host=own.get("container_host"),
        allow_disruption=_flag(where, own, "allow_disruption"),
        inner=inner(where, _mapping(own.get("inner"))),
        maintenance=lab.maintenance(where, own),
        workers=lab.listed(where, "workers", own.get("workers")),
        tags=lab.listed(where, "tags", own.get("tags")),
    )


def _login(connection: Mapping[str, Any], device: Mapping[str, Any], shared: Any) -> Mapping[str, Any]:
    """The credentials of the connection, of the device, or of all: `default`, as pyATS has it."""
    if connection.get("username"):
        return connection
    for credentials in (connection.get("credentials"), device.get("credentials"), shared):
        found = _mapping(_mapping(credentials).get("gnmi") or _mapping(credentials).get("default"))
        if found:
            return found
    return {}


def _later(where: str, password: object) -> Callable[[], Secret]:
    return lambda: Secret(_text(where, password))


def _text(where: str, value: Any) -> str:
    """A value with pyATS' markups: `%ENV{NAME}` is read, what asks or decrypts is refused."""
    if markup := re.search(r"%(ASK|ENC|CLI|CALLABLE|INTF)\b", _unmarked(value)):
        raise TestbedError(f"{where}: the markup %{markup[1]} needs pyATS itself", hint="%ENV{NAME} is read here")
    return re.sub(r"%ENV\{\s*(\w+)\s*\}", lambda found: from_environment(where, found[1]), _unmarked(value))


def _flag(where: str, given: Mapping[str, Any], name: str) -> bool:
    """A flag as YAML reads it, or as a word, such as one of the environment's."""
    value = given.get(name)
    try:
        return value if isinstance(value, bool) else flag("" if value is None else _text(where, value), name)
    except InvalidArgumentError as error:
        raise TestbedError(f"{where}: {error.message}", hint=error.hint) from None


def _unmarked(value: Any) -> str:
    return value.reveal() if isinstance(value, Secret) else str(value)


def _tls(where: str, connection: Mapping[str, Any], folder: Path) -> Tls:
    def first(names: tuple[str, ...]) -> str | None:
        return next((_text(where, connection[name]) for name in names if connection.get(name)), None)

    def file(names: tuple[str, ...]) -> Path | None:
        given = first(names)
        return None if given is None else folder / Path(given).expanduser()

    cert, key = file(CERT), file(KEY)
    return Tls(
        ca=file(CA),
        cert=cert if key else None,
        key=key if cert else None,
        server_name=first(SERVER_NAME),
        skip_verify=_flag(where, connection, "skip_verify"),
    )
