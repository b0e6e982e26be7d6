"""The text format of protocol buffers, as far as people write it by hand.

Read without a schema, so that a field that nobody here knows is a warning with its name and line and no more:
protobuf's own reader either stops at the first, or drops all of them silently.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from holdfast.secret import may_be_quoted

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)"""
    r"""|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<word>-?[A-Za-z0-9_.+-]+)"""
    r"""|(?P<extension>\[[\w./-]+\](?=\s*[:{<]))"""
    r"""|(?P<mark>[{}<>\[\]:,;])"""
)
_CLOSES = {"{": "}", "<": ">"}


class TextprotoError(ValueError):
    """It is not the text format; says on which line."""


@dataclass(frozen=True)
class TextprotoField:
    """A field: its name, its line (from 1), and its value: text, or a message."""

    name: str
    line: int
    value: str | Message = field(repr=False)


@dataclass
class Message:
    """Fields in their order."""

    fields: list[TextprotoField] = field(default_factory=list)

    def messages(self, name: str) -> list[Message]:
        """The messages of that name."""
        return [each.value for each in self.fields if each.name == name and isinstance(each.value, Message)]

    def text(self, name: str) -> str | None:
        """The last value of that name; scalars are text here."""
        values = [each.value for each in self.fields if each.name == name and isinstance(each.value, str)]
        return values[-1] if values else None

    def flag(self, name: str) -> bool:
        """Whether a bool is set."""
        return self.text(name) in ("true", "True", "t", "1")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int


class _Reader:
    def __init__(self, text: str) -> None:
        self._quotes = may_be_quoted(text)
        self._tokens = list(_tokens(text))
        self._at = 0

    @property
    def now(self) -> _Token:
        return self._tokens[self._at]

    def next(self) -> _Token:
        token = self.now
        self._at += token.kind != "end"
        return token

    def fail(self, wanted: str) -> TextprotoError:
        found = repr(self.now.text) if self._quotes or self.now.kind == "mark" else f"a {self.now.kind}"
        found = found if self.now.text else "the end"
        return TextprotoError(f"line {self.now.line}: {wanted} was expected, and {found} came")

    def message(self, closing: str) -> Message:
        message = Message()
        while self.now.text != closing or self.now.kind == "text":
            if self.now.kind not in ("word", "extension"):
                raise self.fail("a field's name" + (f" or {closing!r}" if closing else ""))
            name = self.next()
            colon = self.now.text == ":" and self.next()
            for value in self.values(bool(colon)):
                message.fields.append(TextprotoField(name.text, name.line, value))
            if self.now.text in (",", ";"):
                self.next()
        self.next()
        return message

    def values(self, colon: bool) -> list[str | Message]:
        if self.now.text != "[" or self.now.kind != "mark":
            return [self.value(colon)]
        self.next()
        found: list[str | Message] = []
        while self.now.text != "]":
            found.append(self.value(colon=True))
            if self.now.text == ",":
                self.next()
            elif self.now.text != "]":
                raise self.fail("',' or ']'")
        self.next()
        return found

    def value(self, colon: bool) -> str | Message:
        if self.now.kind == "mark" and self.now.text in _CLOSES:
            return self.message(_CLOSES[self.next().text])
        if not colon:
            raise self.fail("':' or '{'")
        if self.now.kind == "word":
            return self.next().text
        if self.now.kind != "text":
            raise self.fail("a value")
        parts = []
        while self.now.kind == "text":
            parts.append(_unquoted(self.next().text))
        return "".join(parts)


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            what = repr(text[at:].splitlines()[0][:30]) if may_be_quoted(text) else "something there"
            raise TextprotoError(f"line {line}: {what} is not the text format")
        if found.lastgroup != "space":
            yield _Token(str(found.lastgroup), found[0], line)
        line += found[0].count("\n")
        at = found.end()
    yield _Token("end", "", line)


def _unquoted(text: str) -> str:
    try:
        value = ast.literal_eval(text if text.isascii() else f"u{text}")
    except (SyntaxError, ValueError):
        value = text[1:-1]
    return str(value)


def parse(text: str) -> Message:
    """Read a whole file. Raises `TextprotoError`."""
    return _Reader(text).message("")
