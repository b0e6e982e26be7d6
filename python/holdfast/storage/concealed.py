"""What of a provider file is secret: none of it is shown, whoever repeats it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from holdfast import _core

# What names a secret: an option of a command, a variable of its environment, a parameter of a volume.
_KINDS = (
    "passw(?:or)?d", "(?<![a-z])pass(?![a-z])", "passphrase", "passcode", "secret", "token", "credential",
    "(?:api|access|account|encryption|private|shared|storage)[_-]?key", "(?<![a-z])auth(?![a-z])", "authorization",
    "bearer",
)  # fmt: skip
_NAME = rf"[\w.-]*(?:{'|'.join(_KINDS)})[\w.-]*"
_NAMED = re.compile(_NAME, re.IGNORECASE)
# Where a secret is, which is none itself.
_PLACE = re.compile(r".*(?:file|path|dir|directory)|.*[_.-](?:name|id)", re.IGNORECASE)
_VALUE = r"(\"[^\"]*\"|'[^']*'|[^\s;&|-][^\s;&|]*)"
# In a command: NAME=VALUE of its environment, of options after commas or of an address, --NAME=VALUE and --NAME VALUE.
_GIVEN = re.compile(rf"(?:^|[\s'\",;?&])({_NAME}=|-{_NAME}\s+){_VALUE}", re.IGNORECASE)
# `sshpass -p PASSWORD`, `curl -u USER:PASSWORD`, `Authorization: Bearer TOKEN`.
_BY_LETTER = re.compile(r"sshpass\s+-p\s*(\S+)|\s-(?:u|-user)[\s=]+[^\s:]+:([^\s'\"]+)|(?i:bearer|basic)\s+([^\s'\"]+)")
# Of an address: user:password@host.
_USER = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
# What is shorter in the environment is a switch.
_SHORTEST = 4


class Secrets(dict[str, str]):
    """Secrets by their keys, of which only the keys are shown."""

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self)})"


def mask(held: Mapping[str, Any], secrets: Mapping[str, str]) -> _core.Mask:
    """What hides all that is secret in a provider file, in its secrets and in the environment that its commands get."""
    from holdfast import _core

    environment = (value for name, value in os.environ.items() if _is_secret(name) and len(value) >= _SHORTEST)
    return _core.Mask([*secrets.values(), *_found(held), *environment])


def _is_secret(name: str) -> bool:
    own = name.rpartition("/")[2]  # keys may have a domain before a slash
    return _NAMED.fullmatch(own) is not None and _PLACE.fullmatch(own) is None


def _found(held: Any) -> Iterator[str]:
    """The values of keys that name a secret, and what commands and addresses have in them."""
    if isinstance(held, dict):
        for key, value in held.items():
            yield from _leaves(value) if _is_secret(str(key)) else _found(value)
    elif isinstance(held, list):
        for value in held:
            yield from _found(value)
    elif isinstance(held, str):
        # what is filled in later is none: {socket}, $PASSWORD
        given = ((name.rstrip("= "), value.strip("\"'")) for name, value in _GIVEN.findall(held))
        yield from (value for name, value in given if _is_secret(name) and not value.startswith(("{", "$")))
        by_letter = (value for found in _BY_LETTER.findall(held) for value in found)
        yield from (value for value in by_letter if value and not value.startswith(("{", "$")))
        for value in _USER.findall(held):
            yield from (value, unquote(value))


def _leaves(held: Any) -> Iterator[str]:
    """Whatever stands below a key that names a secret."""
    if isinstance(held, dict | list):
        for value in held.values() if isinstance(held, dict) else held:
            yield from _leaves(value)
    elif isinstance(held, str | int) and not isinstance(held, bool):
        yield str(held)
