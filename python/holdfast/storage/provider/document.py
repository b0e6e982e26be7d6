"""A YAML file as places: each value with its path and its line, so that whatever is wrong with it can be pointed at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from holdfast.exceptions import InvalidArgumentError

# Nobody writes more by hand; in bytes, and in values once aliases are followed.
_LONGEST = 1 << 20
_MOST_VALUES = 100_000
# How YAML calls what a scalar is read as.
_READ_AS = {
    "bool": "the truth value",
    "int": "the number",
    "float": "the number",
    "null": "nothing",
    "timestamp": "a date",
}


@dataclass(frozen=True, repr=False)
class Place:
    """A value of the file: the file as it was given, the keys that lead there, and where it stands."""

    file: str
    path: tuple[str, ...]
    node: yaml.Node

    def __repr__(self) -> str:
        return f"Place({self.where!r})"  # the value may be secret

    @property
    def line(self) -> int:
        """Counted from 1."""
        return int(self.node.start_mark.line) + 1

    @property
    def where(self) -> str:
        """The keys that lead there, as messages have them: `provider: parameters`; empty for the whole file."""
        return ": ".join(self.path)

    def error(self, message: str, hint: str | None = None) -> InvalidArgumentError:
        """What is wrong at this place."""
        return InvalidArgumentError(f"{self.file}:{self.line}: {message}", hint=hint)

    def wrong(self, what: str, hint: str | None = None) -> InvalidArgumentError:
        """What is wrong with this value, after its path."""
        return self.error(f"{self.where or 'the file'} {what}", hint)

    def items(self) -> dict[str, Place]:
        """The values below, by their keys; an error where this is no mapping."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong("must be keys and values", "docs/storage.md has an example")
        found: dict[str, Place] = {}
        for key, value in self.node.value:
            at = Place(self.file, self.path, key)
            name = at.text()
            if name in found:
                first = found[name].line
                raise at.wrong(f"has the key {name!r} twice", f"the first is in line {first}; keep one of them")
            found[name] = Place(self.file, (*self.path, name), value)
        return found

    def entries(self, what: str) -> list[Place]:
        """The values of a list; an error where this is none."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong(f"must be a list of {what}", "[one, another], or a line with a dash for each")
        return [Place(self.file, self.path, value) for value in self.node.value]

    def text(self, *, numbers: bool = True) -> str:
        """A text as it was written. What YAML would read as something else is refused, whole numbers apart."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.wrong("must be a text")
        written, kind = str(self.node.value), self.node.tag.rpartition(":")[2]
        if kind == "str":
            return written
        read = self.plain()
        if kind == "int" and numbers and str(read) == written:
            return written
        if kind == "null" and not written.strip():
            raise self.wrong("has no value", "give one, or leave the key out")
        meant = _READ_AS.get(kind, "something else")
        shown = f"{meant} {read}".lower() if kind in ("bool", "int", "float") else meant
        raise self.wrong(f"must be a text, and YAML reads {written} as {shown}", f'put it in quotes: "{written}"')

    def written(self) -> str:
        """A scalar as it stands there, whatever YAML reads it as."""
        return str(self.node.value) if isinstance(self.node, yaml.ScalarNode) else self.text()

    def plain(self) -> Any:
        """What YAML makes of it."""
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_document(self.node)
        except yaml.MarkedYAMLError as error:
            raise _no_yaml(self.file, error) from None
        except (ValueError, TypeError, RecursionError):
            raise self.wrong("is nothing that YAML knows") from None
        finally:
            loader.dispose()


def load(path: Path, given: str) -> Place:
    """The whole file. `given` is how messages call it."""
    try:
        with path.open("rb") as file:
            held = file.read(_LONGEST + 1)
    except OSError as error:
        raise InvalidArgumentError(f"{given}: {error.strerror}") from None
    if len(held) > _LONGEST:
        raise InvalidArgumentError(f"{given}: it is longer than {_LONGEST} bytes", hint="is that a provider file?")
    try:
        text = held.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = held[: error.start].count(b"\n") + 1
        raise InvalidArgumentError(f"{given}:{line}: it is no YAML: a byte there is no UTF-8") from None
    try:
        node = _compose(text)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise InvalidArgumentError(f"{given}:{line}: it is no YAML: {error.reason}") from None
    except yaml.MarkedYAMLError as error:
        raise _no_yaml(given, error) from None
    except RecursionError:
        raise InvalidArgumentError(f"{given}: it is nested too deep") from None
    if node is None:
        raise InvalidArgumentError(f"{given}: it is empty", hint="`holdfast provider init` writes one")
    root = Place(given, (), node)
    if _size(node, {}, set()) > _MOST_VALUES:
        raise root.wrong("has aliases that go in a circle, or multiply", "write out what they stand for")
    return root


def _compose(text: str) -> yaml.Node | None:
    """The nodes of the one document, with what `<<` merges in its place."""
    loader = yaml.SafeLoader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
        for mapping in _mappings(node, set()):
            if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in mapping.value):
                _merge(loader, mapping)
        return node
    finally:
        loader.dispose()


def _merge(loader: yaml.SafeLoader, mapping: yaml.MappingNode) -> None:
    """What a mapping says itself goes before what it merges."""
    own = {key.value for key, _ in mapping.value}
    count = sum(key.tag != "tag:yaml.org,2002:merge" for key, _ in mapping.value)
    loader.flatten_mapping(mapping)
    merged, said = mapping.value[: len(mapping.value) - count], mapping.value[len(mapping.value) - count :]
    last = {key.value: (key, value) for key, value in merged if key.value not in own}
    mapping.value = [*last.values(), *said]


def _mappings(node: yaml.Node | None, seen: set[int]) -> Iterator[yaml.MappingNode]:
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _mappings(value, seen)
        yield node
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value, seen)


def _size(node: yaml.Node, known: dict[int, int], above: set[int]) -> int:
    """How many values there are once aliases are followed; more than any, where they lead in a circle."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in above:
        return _MOST_VALUES + 1
    if id(node) not in known:
        inner = {*above, id(node)}
        below = [each for pair in node.value for each in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_size(each, known, inner) for each in below)
    return known[id(node)]


def _no_yaml(given: str, error: yaml.MarkedYAMLError) -> InvalidArgumentError:
    """Without what the line says, and what YAML quotes of it: that may be secret."""
    line = f":{error.problem_mark.line + 1}" if error.problem_mark is not None else ""
    problem = re.sub(r"'[^']{2,}'", "'…'", error.problem or "it cannot be read")
    return InvalidArgumentError(
        f"{given}{line}: it is no YAML: {problem}", hint="is a colon, quote or bracket missing?"
    )
