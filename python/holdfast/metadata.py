"""Metadata that is sent with each call. Its values are hidden as soon as they come in, and never shown."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from holdfast.exceptions import InvalidArgumentError
from holdfast.secret import Secret, first_line

Value = str | bytes | Secret | Callable[[], str | bytes]

_WRITE = "write KEY=VALUE, KEY=env:VARIABLE or KEY=file:FILE"


class Metadata:
    """Keys and values, in the order in which they are sent; a key may come several times."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[tuple[object, Secret]] = ()) -> None:
        self._entries = tuple(entries)

    @classmethod
    def of(cls, given: object) -> Metadata:
        """What was given, a mapping or pairs, hidden. Never fails, so that no traceback has its frame."""
        if given is None or isinstance(given, Metadata):
            return given or cls()
        pairs = list(given.items()) if isinstance(given, Mapping) else given
        if isinstance(pairs, list | tuple) and all(isinstance(each, list | tuple) and len(each) == 2 for each in pairs):
            return cls([(key, value if isinstance(value, Secret) else Secret(value)) for key, value in pairs])
        return cls([(None, Secret(given))])

    @classmethod
    def written(cls, texts: Iterable[str | Secret], where: str) -> Metadata:
        """Of `KEY=VALUE` each. Raises `InvalidArgumentError`, which says where and shows no value."""
        return cls([_written(Secret(text) if isinstance(text, str) else text, where) for text in texts])

    @classmethod
    def placed(cls, pairs: Iterable[tuple[str, Secret]], where: str, folder: Path) -> Metadata:
        """Of keys and where their values are, with files from a folder on. Raises as `written`."""
        return cls([(key, _value(text, f"{where} {key}", folder)) for key, text in pairs])

    def revealed(self) -> list[tuple[str, Secret]]:
        """Keys and texts as the core takes them, bytes as base64. Raises `InvalidArgumentError` without a value."""
        return [(_key(key), _text(_key(key), value)) for key, value in self._entries]

    def pairs(self) -> list[tuple[str, Secret]]:
        """Keys and values as `connect` takes them."""
        return [(_key(key), value) for key, value in self._entries]

    def __eq__(self, other: object) -> bool:
        return self._entries == other._entries if isinstance(other, Metadata) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._entries)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __repr__(self) -> str:
        return f"<Metadata of {len(self._entries)} keys>"


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    raise InvalidArgumentError("metadata is a mapping of keys to values, or pairs of them", hint="{'x-tenant': 'lab'}")


def _text(key: str, value: Secret) -> Secret:
    held = value.fetched()
    if held.holds_bytes():
        if not key.lower().endswith("-bin"):
            raise InvalidArgumentError(
                f"metadata {key!r}: its value is bytes", hint="end its key with -bin, or give text"
            )
        return held.changed(lambda bytes_: base64.b64encode(bytes_).decode("ascii"))
    held.reveal(f"the value of metadata {key!r}")
    return held


def _written(text: Secret, where: str) -> tuple[str, Secret]:
    key, separator = text.reveal("metadata").partition("=")[:2]  # what follows stays hidden
    if not separator or not key:
        raise InvalidArgumentError(f"{where}: there is no KEY= in it", hint=_WRITE)
    return key, _value(text.changed(lambda whole: whole.partition("=")[2]), f"{where} {key}=…", Path())


def _value(text: Secret, where: str, folder: Path) -> Secret:
    kind, separator, place = text.reveal().partition(":")
    if separator and kind == "env":
        if place not in os.environ:
            raise InvalidArgumentError(f"{where}: the environment has no {place}", hint=f"export {place}=…")
        return Secret(os.environ[place])
    if separator and kind == "file":
        try:
            return first_line(folder / Path(place).expanduser())
        except (OSError, ValueError) as error:
            raise InvalidArgumentError(f"{where}: {error}", hint=_WRITE) from None
    return text
