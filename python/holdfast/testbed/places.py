"""`labgrid://HOST:PORT?TAG=VALUE`: the places of a labgrid coordinator whose `GnoiDevice` says how each is reached.

A place's tags choose it, and are tags here too (`tag:kind=dual`); its tag `state=maintenance` is maintenance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from holdfast.exceptions import TestbedError
from holdfast.testbed import own, settings
from holdfast.testbed.lab import SCHEME, Maintenance, coordinator
from holdfast.testbed.target import Target

# Whose values of a mapping may be secrets: they are named, for a coordinator shows all that it has to everybody.
NAMED = ("env:", "file:")


def read(url: str) -> tuple[Sequence[Target], Sequence[str]]:
    """The devices of its places, by name, and what is not heeded. Raises `TestbedError` and `ConnectError`."""
    address, _, query = url.removeprefix(SCHEME).partition("?")
    where = coordinator(url, address.rstrip("/"))
    try:
        wanted = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise TestbedError(f"{url}: after the ? stand tags: TAG=VALUE&TAG=VALUE") from None
    targets, ignored = [], []
    for name, place in sorted(_places(where).items()):
        if any(place.tags.get(key) != value for key, value in wanted.items()):
            continue
        if place.resource is None:
            ignored.append(f"{url}: place {name} has no GnoiDevice, and is left out")
            continue
        targets.append(target(f"{SCHEME}{where}: place {name}", name, place.resource, place.tags, where))
    return targets, ignored


def _places(address: str) -> Mapping[str, Any]:
    reader = reserver(address).coordinator
    try:
        found: Mapping[str, Any] = reader.devices()
    finally:
        reader.close()
    return found


def reserver(address: str) -> Any:
    """Who reserves its places. Raises `TestbedError` where labgrid is not installed."""
    try:
        from holdfast.integrations.labgrid_places import LabgridPlaces
    except ImportError as error:
        raise TestbedError(
            f"labgrid coordinator {address}: labgrid is not here ({error})", hint='pip install "labgrid>=26"'
        ) from None
    return LabgridPlaces(address)


def target(where: str, name: str, given: Mapping[str, Any], tags: Mapping[str, str], address: str) -> Target:
    """A device from what is exported of it: the fields of a testbed, with a dot where one is below another."""
    short = {"ca": "tls.ca"}
    fields = settings.nested(where, {short.get(key, key): value for key, value in given.items() if value is not None})
    for secret in ("password", "token"):
        if secret in fields:
            raise TestbedError(f"{where}: everybody sees what is exported", hint=f"{secret}_env: VARIABLE")
    own.refuse_unknown(where, "a GnoiDevice", fields, settings.KEYS)
    _refuse_values(where, fields.get("metadata") or {})
    found = own.target(where, name, fields, Path())
    maintenance = Maintenance(tags.get("reason", "")) if tags.get("state") == "maintenance" else None
    shown = tuple(sorted(f"{key}={value}" for key, value in tags.items()))
    return replace(found, tags=shown, maintenance=maintenance, reserve=address)


def _refuse_values(where: str, metadata: Any) -> None:
    for key, value in metadata.items() if isinstance(metadata, dict) else ():
        if not str(value.reveal() if hasattr(value, "reveal") else value).startswith(NAMED):
            raise TestbedError(
                f"{where}: metadata.{key}: everybody sees what is exported: say env:VARIABLE or file:FILE"
            )
