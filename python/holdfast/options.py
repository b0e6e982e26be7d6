"""What people may say about a device and a run, read alike by pytest and by the command."""

from __future__ import annotations

import os

from holdfast.exceptions import InvalidArgumentError

_YES = ("1", "yes", "y", "true", "t", "on")
_NO = ("0", "no", "n", "false", "f", "off", "")


def flag(text: str, name: str) -> bool:
    """Whether a word means yes; `name` is where it stands. Raises `InvalidArgumentError` for one that says neither."""
    word = text.strip().lower()
    if word not in (*_YES, *_NO):
        raise InvalidArgumentError(f"{name}={text}: that is neither yes nor no", hint="give yes or no, or leave it out")
    return word in _YES


def environment_flag(variable: str) -> bool:
    """Whether an environment variable says yes. Raises `InvalidArgumentError` where it says neither."""
    return flag(os.environ.get(variable, ""), variable)
