"""What a key of the provider file may hold: how it is read, what JSON Schema can say of that, its word in the docs."""

# ruff: noqa: D102 - each kind is as `Kind` says

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

from holdfast import deadlines
from holdfast.storage.provider.document import Place

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = r"[0-9]{1,15} ?(KiB|MiB|GiB|TiB)?"
_TIME = r"[0-9]{1,9}(\.[0-9]{1,6})?(ms|s|m|h)?"
# What a key or a value of a plugin's may be: a NUL ends a text for whoever starts it.
_NO_NUL = r"^[^\u0000]*$"


class Kind(Protocol):
    """What a value may be."""

    @property
    def word(self) -> str:
        """What it is called in the docs."""

    def read(self, at: Place) -> Any:
        """The value, checked; `InvalidArgumentError` says what is wrong and where."""

    def schema(self) -> dict[str, Any]:
        """What of that JSON Schema can say."""


@dataclass(frozen=True)
class Text:
    """A text, by default none that is empty; a whole number is one as it is written."""

    word: str = "text"
    empty: bool = False

    def read(self, at: Place) -> str:
        text = at.text()
        if "\0" in text:
            raise at.wrong("has a NUL in it")
        if not text and not self.empty:
            raise at.wrong("is empty", "give one, or leave the key out")
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "integer"], "pattern": _NO_NUL if self.empty else _NO_NUL.replace("*", "+")}


@dataclass(frozen=True)
class Command:
    """A line for a shell."""

    word: str = "shell line"

    def read(self, at: Place) -> str:
        command = at.text(numbers=False).strip()
        if not command or "\0" in command:
            raise at.wrong("must be a command")
        return command

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}


@dataclass(frozen=True)
class Choice:
    """One of a few words; `known` has those that this version does not offer too."""

    words: tuple[str, ...]
    known: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        return " or ".join(f"`{word}`" for word in self.words)

    def read(self, at: Place) -> str:
        given = at.written()
        if given in self.words:
            return given
        if given in self.known:
            raise at.error(f"{at.where}: {given} is not offered by this version", f"it offers: {', '.join(self.words)}")
        near = get_close_matches(given, self.words, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise at.error(f"{at.where}: {given!r}", f"{meant}one of: {', '.join(self.words)}")

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class Flag:
    """Yes or no."""

    word: str = "`true` or `false`"

    def read(self, at: Place) -> bool:
        held = at.plain()
        if not isinstance(held, bool):
            raise at.wrong("must be true or false, without quotes")
        return held

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Whole:
    """A whole number between two."""

    least: int
    most: int
    hint: str

    @property
    def word(self) -> str:
        return f"{self.least} to {self.most}"

    def read(self, at: Place) -> int:
        held = at.plain()
        if isinstance(held, bool) or not isinstance(held, int) or not self.least <= held <= self.most:
            raise at.error(f"{at.where}: {held!r}", self.hint)
        return held

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Size:
    """Bytes, or `1GiB`."""

    word: str = "size, such as `1GiB`"

    def read(self, at: Place) -> int:
        text = at.text()
        found = re.fullmatch(_SIZE, text)
        if found is None:
            raise at.error(f"{at.where}: {text!r} is no size", "give bytes, or KiB, MiB, GiB or TiB: 1GiB")
        unit = found[1] or ""
        size = int(text.removesuffix(unit)) * _UNITS[unit]
        if not 0 < size < 1 << 62:
            raise at.error(f"{at.where}: {text!r}: no volume has that size")
        return size

    def schema(self) -> dict[str, Any]:
        whole = {"type": "integer", "minimum": 1, "maximum": 10**15 - 1}
        return {"anyOf": [whole, {"type": "string", "pattern": f"^(?=.*[1-9]){_SIZE}$"}]}


@dataclass(frozen=True)
class Duration:
    """`12s`, or seconds; read as seconds."""

    word: str = "time, such as `12s`"

    def read(self, at: Place) -> float:
        held = at.plain()
        text = str(held) if isinstance(held, int | float) and not isinstance(held, bool) else at.text()
        try:
            seconds = deadlines.seconds(text)
        except ValueError as error:
            raise at.error(f"{at.where}: {error}") from None
        if seconds <= 0:
            raise at.error(f"{at.where}: {text!r}: that is no time at all")
        return seconds

    def schema(self) -> dict[str, Any]:
        number = {"type": "number", "exclusiveMinimum": 0, "maximum": 366 * 24 * 3600}
        return {"anyOf": [number, {"type": "string", "pattern": f"^(?=.*[1-9]){_TIME}$"}]}


@dataclass(frozen=True)
class Address:
    """An IP address."""

    hint: str
    word: str = "IP address"

    def read(self, at: Place) -> str:
        text = at.text()
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise at.error(f"{at.where}: {text!r} is no address", self.hint) from None
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}


@dataclass(frozen=True)
class Shaped:
    """A text of a form that a regular expression says, with a hint for others."""

    word: str
    pattern: str
    hint: str

    def read(self, at: Place) -> str:
        text = at.text()
        if not re.search(self.pattern, text):
            raise at.error(f"{at.where}: {text!r}", self.hint)
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": self.pattern}


@dataclass(frozen=True)
class Several:
    """A list of values of one kind, each once."""

    each: Kind
    what: str = "words"
    least: int = 0

    @property
    def word(self) -> str:
        return f"list of {self.what}"

    def read(self, at: Place) -> tuple[Any, ...]:
        places = at.entries(self.what)
        found = tuple(self.each.read(place) for place in places)
        if len(found) < self.least:
            raise at.wrong(f"must be a list of {self.what}, and is empty", "leave the key out")
        for place, value in zip(places, found, strict=True):
            if found.count(value) > 1:
                raise place.wrong(f"has {value!r} more than once")
        return found

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.each.schema(), "minItems": self.least, "uniqueItems": True}


@dataclass(frozen=True)
class Mapped:
    """Keys with values of one kind; the keys are any, those of `names`, or of a form."""

    each: Kind
    what: str
    names: tuple[str, ...] = ()
    pattern: str = _NO_NUL

    @property
    def word(self) -> str:
        return f"mapping of {self.what}"

    def read(self, at: Place) -> dict[str, Any]:
        found = {}
        for name, place in at.items().items():
            if self.names and name not in self.names:
                raise no_key(at, name, place, self.names)
            if not re.search(self.pattern, name):
                raise place.error(f"{at.where}: {name!r} is no name")
            found[name] = self.each.read(place)
        return found

    def schema(self) -> dict[str, Any]:
        names: dict[str, Any] = {"enum": list(self.names)} if self.names else {"pattern": self.pattern}
        return {"type": "object", "propertyNames": names, "additionalProperties": self.each.schema()}


@dataclass(frozen=True)
class Fields:
    """A mapping with keys of its own, of which one at least is there, or all where all are `required`."""

    keys: Mapping[str, Kind]
    required: bool = False

    @property
    def word(self) -> str:
        return "mapping with " + (" and " if self.required else " or ").join(f"`{key}`" for key in self.keys)

    def read(self, at: Place) -> dict[str, Any]:
        held = at.items()
        for name, place in held.items():
            if name not in self.keys:
                raise no_key(at, name, place, tuple(self.keys))
        if not held or (self.required and len(held) < len(self.keys)):
            raise at.wrong(f"must be a {self.word.replace('`', '')}")
        return {name: self.keys[name].read(place) for name, place in held.items()}

    def schema(self) -> dict[str, Any]:
        properties = {name: kind.schema() for name, kind in self.keys.items()}
        least: dict[str, Any] = {"required": list(self.keys)} if self.required else {"minProperties": 1}
        return {"type": "object", "additionalProperties": False, **least, "properties": properties}


@dataclass(frozen=True)
class ByName:
    """Values of one kind, each with a name, and so many of them at least."""

    each: Kind
    word: str
    least: int
    hint: str

    def read(self, at: Place) -> dict[str, Any]:
        held = at.items() if not isinstance(at.plain(), int) else {}
        if len(held) < self.least:
            raise at.wrong(f"must be {self.word}", self.hint)
        return {name: self.each.read(place) for name, place in held.items()}

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "minProperties": self.least, "additionalProperties": self.each.schema()}


def no_key(at: Place, name: str, place: Place, known: tuple[str, ...], elsewhere: str = "") -> Exception:
    """That there is no such key, with the nearest that there is; `elsewhere` is what part of the file has it."""
    near = get_close_matches(name, known, n=1)
    hint = f"the nearest is {near[0]!r}" if near else f"one of: {', '.join(known)}"
    if elsewhere:
        hint = f"it belongs to {elsewhere}"
    return place.error(f"{at.where or 'the file'} has no key {name!r}", hint)
