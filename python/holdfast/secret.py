"""Passwords and the like, kept out of every repr, traceback, log and report.

pytest and others show the arguments and variables of each frame that an error came through. So whoever takes a
password hides it in its first line, under the name that it came by: `password = Secret.of(password)`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from holdfast.exceptions import InvalidArgumentError

# What mappings call a secret itself, and not where one is kept; metadata and a proxy's URL often hold one.
_NAMES = re.compile(r"(?i)password|passphrase|passwd|secret|token|metadata|proxy")
# What else tells that there may be a secret in a file.
_HINTS = re.compile(r"(?i)authorization|bearer|credential|key|://[^/\s]*@")
_PLACES = ("_env", "_file")


class Secret:
    """A text that only `reveal` shows, or a function that is called for one.

    >>> Secret("correct horse"), Secret("correct horse").reveal()
    (<Secret>, 'correct horse')
    """

    __slots__ = ("_held",)

    def __init__(self, held: object) -> None:
        self._held = held

    @classmethod
    def of(cls, given: object) -> Secret | None:
        """What was given, hidden; None stays None. Never fails, so that no traceback has its frame."""
        return given if given is None or isinstance(given, Secret) else cls(given)

    def fetched(self) -> Secret:
        """The secret itself, where a function was given for it; calls that once. Raises what the function raises."""
        fetched = self._held() if callable(self._held) else self
        return fetched if isinstance(fetched, Secret) else Secret(fetched)

    def reveal(self, what: str = "a password") -> str:
        """The text. Raises `InvalidArgumentError` where none was given, which does not show what was."""
        if isinstance(self._held, str):
            return self._held
        raise InvalidArgumentError(f"{what} is a text, and this is of type {type(self._held).__name__}")

    def holds_text(self) -> bool:
        """Whether it is a text."""
        return isinstance(self._held, str)

    def holds_bytes(self) -> bool:
        """Whether it is bytes instead of a text."""
        return isinstance(self._held, bytes)

    def changed(self, change: Callable[[Any], str]) -> Secret:
        """What a function makes of it, hidden too."""
        return Secret(change(self._held))

    def __eq__(self, other: object) -> bool:
        return self._held == other._held if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._held)

    def __bool__(self) -> bool:
        return bool(self._held)

    def __repr__(self) -> str:
        return "<Secret>"


def from_environment(variable: str) -> Secret | None:
    """The secret that an environment variable holds; None where it is not set."""
    return Secret.of(os.environ.get(variable))


def first_line(file: str | os.PathLike[str]) -> Secret:
    """The first line of a file. Raises `OSError`, or `ValueError` where it is no UTF-8; neither shows what it holds."""
    try:
        return Secret(next(iter(Path(file).read_bytes().decode("utf-8").splitlines()), ""))
    except UnicodeDecodeError:
        raise ValueError(f"{os.fspath(file)}: it is not UTF-8") from None


def hidden(value: Any) -> Any:
    """The same mappings and lists, with what they call a password, secret, token, metadata or proxy as a `Secret`."""
    if isinstance(value, Mapping):
        return {key: _hidden(held) if _names_secret(str(key)) else hidden(held) for key, held in value.items()}
    return [hidden(each) for each in value] if isinstance(value, list | tuple) else value


def may_be_quoted(text: str) -> bool:
    """Whether what is wrong with a file may be shown as it stands there: it tells of no secret anywhere."""
    return not (_NAMES.search(text) or _HINTS.search(text))


def _names_secret(key: str) -> bool:
    return bool(_NAMES.search(key)) and not key.endswith(_PLACES)


def _hidden(held: object) -> Any:
    """YAML reads some passwords as numbers. Of a mapping, each value is hidden as it is."""
    if isinstance(held, Mapping):
        return {key: Secret.of(value) for key, value in held.items()}
    return Secret(str(held)) if isinstance(held, int | float) else Secret.of(held)
