"""Results as tables for notebooks: HTML without script, that a theme colours and a screen reader reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import singledispatch
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.visible import html as escape

if TYPE_CHECKING:
    from holdfast import Device

# How long a device may take to show itself, in seconds for each question.
LOOK = 5.0
# Of digests, what tells them apart.
DIGEST = re.compile(r"(sha256:)?[0-9a-f]{64}")
SHORT = 19
LEFT = 'style="text-align:left"'


class Shown:
    """Something that a notebook shows as a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return of_one(self)


Row_co = TypeVar("Row_co", covariant=True)


class Rows(tuple[Row_co, ...]):
    """What a device listed: a tuple that a notebook shows as a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return of_rows(self)


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; what is in it is escaped."""
    head = "".join(f'<th scope="col" {LEFT}>{escape(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(f'<td {LEFT}>{cell(value)}</td>' for value in row)}</tr>" for row in rows)
    captioned = f"<caption {LEFT}>{escape(caption)}</caption>"
    return f"<table>{captioned}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


@singledispatch
def cell(value: Any) -> str:
    """A value as HTML: nothing is a dash, times are to the second, mappings and lists a line each."""
    return "-" if value is None else escape(str(value))


@cell.register
def _(value: str) -> str:
    shown = f"{value[:SHORT]}…" if DIGEST.fullmatch(value) else value
    return f'<span title="{escape(value)}">{escape(shown)}</span>' if shown != value else escape(value) or "-"


@cell.register
def _(value: datetime) -> str:
    return escape(value.isoformat(sep=" ", timespec="seconds"))


@cell.register(Mapping)
def _(value: Mapping[str, Any]) -> str:
    return "<br>".join(f"{escape(str(key))}={escape(str(held))}" for key, held in value.items()) or "-"


@cell.register
def _(value: bytes) -> str:
    return f"{len(value)} bytes"


@cell.register
def _(value: Shown) -> str:
    if type(value).__str__ is not object.__str__:
        return escape(str(value))
    return "<br>".join(f"{_words(name)}: {cell(getattr(value, name))}" for name in _shown(value))


@cell.register(tuple)
@cell.register(list)
@cell.register(frozenset)
def _(value: Iterable[Any]) -> str:
    return "<br>".join(cell(held) for held in value) or "-"


@cell.register
def _(value: bool) -> str:
    return "yes" if value else "no"


@cell.register
def _(value: float) -> str:
    return f"{value:.3f}"


def of_rows(rows: Sequence[Any]) -> str:
    """Results of one kind, a row each."""
    if not rows:
        return "<p>none</p>"
    names = _shown(rows[0])
    kind = _words_of(type(rows[0]))
    caption = f"{len(rows)} {kind if kind.endswith('s') else f'{kind}s'}" if len(rows) > 1 else kind
    return table(caption, [_words(name) for name in names], ([getattr(row, name) for name in names] for row in rows))


def of_one(result: Any) -> str:
    """One result, a row for each of its fields; below it its timeline as a picture, if it has one."""
    rows = [(_words(name), getattr(result, name)) for name in _shown(result)]
    timeline = getattr(result, "timeline", ())
    return table(_words_of(type(result)), ("field", "value"), rows) + (timeline.svg() if timeline else "")


def of_device(device: Device) -> str:
    """What a device is and runs, asked of it now; what it does not answer is said."""
    from holdfast.exceptions import HoldfastError

    parts = [f"<p>{escape(repr(device))}, at {escape(device.address)}</p>"]
    for what, ask in (
        ("control processors", lambda: device.control_processors(timeout=LOOK)),
        ("containers", lambda: device.containerz.containers(timeout=LOOK)),
        ("images", lambda: device.containerz.images(timeout=LOOK)),
        ("volumes", lambda: device.containerz.volumes(timeout=LOOK)),
    ):
        try:
            found = ask()
        except HoldfastError as error:
            parts.append(f"<p>{what}: {escape(error.message)}</p>")
            continue
        parts.append(of_rows(found) if found else f"<p>{what}: none</p>")
    return "".join(parts)


def _shown(result: Any) -> list[str]:
    return [field.name for field in fields(result) if field.repr and field.name != "timeline"]


def _words_of(kind: type) -> str:
    """`ControlProcessor` is a control processor."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", kind.__name__).lower()


def _words(name: str) -> str:
    return name.replace("_", " ")


def counted(number: int, what: str) -> str:
    """How many of something there are, as a sentence has it.

    >>> counted(1, "case"), counted(5, "case")
    ('1 case', '5 cases')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"
