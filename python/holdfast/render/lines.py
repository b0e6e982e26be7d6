"""Lines that fit a terminal: a row under its heads, and below it what there is to say, indented and wrapped."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

from holdfast import visible

# Of a row's first column there is so much at least, however little room there is.
LEAST = 16
# What is said below a row stands so far in at most, in columns.
DEEPEST = 12


def width_of_terminal() -> int | None:
    """How many columns standard output has; None of a file or a pipe, where nothing is cut.

    COLUMNS alone says nothing there: whoever is started by a pytest has it, for readline sets it.
    """
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def first_column(names: Sequence[str], rest: int, width: int | None, *, least: int = 10) -> int:
    """How wide the first column is, where `rest` columns come after it: as wide as its longest name, if that fits."""
    longest = max(least, *(len(visible.line(name)) for name in names))
    return longest if width is None else min(longest, max(width - rest - 1, LEAST))


def row(name: str, first: int, rest: str) -> Iterator[str]:
    """A row; a name that is too long for its column goes on below."""
    begin, *more = textwrap.wrap(visible.line(name), first) or [""]
    yield f"{begin:<{first}} {rest}".rstrip()
    yield from (f"  {line}" for line in (textwrap.wrap(" ".join(more), first - 2) if more else ()))


def below(text: str, first: int, width: int | None) -> Iterator[str]:
    """What there is to say of a row, in as many lines as it takes."""
    text, inset = visible.line(text), " " * (min(first, DEEPEST) + 1)
    if width is None or len(inset) + len(text) <= width:
        yield inset + text
        return
    room = max(width - len(inset), LEAST)
    begin, *more = textwrap.wrap(text, room, break_on_hyphens=False)
    yield inset + begin
    yield from (
        f"{inset}  {line}" for line in textwrap.wrap(" ".join(more), max(room - 2, LEAST), break_on_hyphens=False)
    )


def one(text: str, first: int, width: int | None) -> str:
    """The same in one line, cut where it has no room."""
    text, inset = visible.line(text), " " * (min(first, DEEPEST) + 1)
    room = len(text) if width is None else max(width - len(inset), LEAST)
    return inset + (text if len(text) <= room else f"{text[: room - 1]}…")


def unindented(text: str, width: int | None) -> list[str]:
    """A line of its own, wrapped where it is too long."""
    text = visible.line(text)
    return [text] if width is None or len(text) <= width else textwrap.wrap(text, width, subsequent_indent="  ")
