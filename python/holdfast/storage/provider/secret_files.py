"""Files of secrets. No frame that raises holds what is in one: debuggers show frames."""

from __future__ import annotations

from pathlib import Path

from holdfast.storage import concealed
from holdfast.storage.provider.document import Place

_LONGEST = 1 << 20


def read(at: Place, name: str, folder: Path) -> concealed.Secrets:
    """KEY=VALUE a line; empty lines, and those that begin with #, say nothing. `name` is relative to `folder`."""
    found: concealed.Secrets | str
    try:
        found = _pairs(folder / name)
    except OSError as error:
        raise at.error(f"{at.where}: {folder / name}: {error.strerror}") from None
    if isinstance(found, str):
        raise at.error(f"{at.where}: {folder / name}: {found}")
    return found


def _pairs(file: Path) -> concealed.Secrets | str:
    """What is in it, or what is wrong with it, which tells nothing of it."""
    with file.open("rb") as opened:
        held = opened.read(_LONGEST + 1)
    if len(held) > _LONGEST:
        return f"it is longer than {_LONGEST} bytes"
    try:
        text = held.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "each line must be KEY=VALUE, in UTF-8"
    pairs = concealed.Secrets()
    for number, line in enumerate(text.split("\n"), 1):
        key, separator, value = line.removesuffix("\r").partition("=")
        if (not key.strip() and not separator) or key.lstrip().startswith("#"):
            continue
        if not separator or not key.strip():
            return f"each line must be KEY=VALUE, and line {number} is not"
        if key.strip() in pairs:
            return f"line {number} has a key that another line has"
        pairs[key.strip()] = value
    return pairs
