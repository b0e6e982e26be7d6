"""Versions of the CNI specification: how they compare, what each brought, and which one a chain is run by."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from holdfast.exceptions import InvalidArgumentError

# What a configuration is of that does not say.
UNSAID = "0.1.0"
# Of the specification, those that this runtime speaks.
SPOKEN = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
# With which version a runtime began to ask for it, or to tell it.
CHECK = DEL_GETS_RESULT = "0.4.0"
GC = STATUS = "1.1.0"
# A command that came later than the first version, and with which.
SINCE: Mapping[str, str] = {"CHECK": CHECK, "GC": GC, "STATUS": STATUS}
_FORM = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:[-+].*)?")


def parsed(version: str) -> tuple[int, ...]:
    """A version as numbers that compare. Raises `InvalidArgumentError` where it is none."""
    found = _FORM.fullmatch(version)
    if found is None:
        raise InvalidArgumentError(f"cniVersion {version!r} is no version", hint='write three numbers, such as "1.0.0"')
    return tuple(int(part) for part in found.groups())


def at_least(version: str, other: str) -> bool:
    """Whether a version is another or a later one."""
    return parsed(version) >= parsed(other)


def chosen(configuration: Mapping[str, Any], plugins: Callable[[], Sequence[Collection[str]]]) -> str:
    """The version that a chain is run by: the highest of its own that this runtime and each plugin speak.

    `plugins` asks each for what it speaks, which is done only where there is a choice. Where no version is common to
    all, it is the highest that this runtime speaks, and the plugin that does not will say so.
    Source: the CNI specification 1.1.0, "Version considerations". Raises `InvalidArgumentError`.
    """
    said = configuration.get("cniVersion")
    several = configuration.get("cniVersions") or ()
    if not isinstance(several, list | tuple):
        raise InvalidArgumentError(f"cniVersions is no list: {several!r}")
    own = {str(each) for each in (said, *several) if each is not None} or {UNSAID}
    ranked = sorted(own, key=parsed, reverse=True)
    spoken = [each for each in ranked if each in SPOKEN] or ranked
    if len(spoken) == 1:
        return spoken[0]
    known = plugins()
    return next((each for each in spoken if all(each in speaks for speaks in known)), spoken[0])
