"""What gNMI answered, as lines for people, JSON or YAML: nothing that a device says acts on a terminal."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import click

from holdfast import visible
from holdfast.cli.several import Reply
from holdfast.exceptions import HoldfastError
from holdfast.gnmi import Extension, SetResult
from holdfast.results import Capabilities, Leaf, Leaves, Updates

FORMATS = ("flat", "json", "yaml")


def _written(value: object) -> str:
    """What JSON and YAML have no kind for: times as ISO 8601 has them, bytes as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def as_json(data: object, *, indent: int | None = 2) -> str:
    """As JSON, in ASCII."""
    return json.dumps(data, default=_written, indent=indent)


def as_yaml(data: object) -> str:
    """As YAML, in ASCII."""
    import yaml

    text: str = yaml.safe_dump(json.loads(as_json(data)), sort_keys=False, allow_unicode=False, width=10_000)
    return text.rstrip("\n")


def leaf(each: Leaf) -> dict[str, Any]:
    """A leaf for programs; one that was deleted has no value."""
    written: dict[str, Any] = {"path": each.path, "value": each.value}
    if each.value is None:
        written = {"path": each.path, "deleted": True}
    return written | {"time": each.time, "timestamp": each.timestamp} | ({"target": each.target} if each.target else {})


def leaf_line(each: Leaf) -> str:
    """A leaf for people."""
    value = "(deleted)" if each.value is None else json.dumps(each.value, default=_written)
    target = f"{visible.line(each.target)} " if each.target else ""
    return f"{target}{json.dumps(each.path)[1:-1]}: {value}"


def _extensions(given: Iterable[Extension]) -> list[dict[str, Any]]:
    return [{"encoded": each.encoded, **each.fields} for each in given]


def _extension_lines(given: Iterable[Extension]) -> list[str]:
    return [f"extension: {visible.line(str(each))}" for each in given]


def leaves(answer: Leaves) -> dict[str, Any]:
    """What a Get found."""
    return {"leaves": [leaf(each) for each in answer], "extensions": _extensions(answer.extensions)}


def leaves_lines(answer: Leaves) -> list[str]:
    """The same, a line each."""
    return [*map(leaf_line, answer), *_extension_lines(answer.extensions)]


def set_result(answer: SetResult) -> dict[str, Any]:
    """What a Set did."""
    changes = answer.changes
    return {
        "timestamp": answer.timestamp,
        "time": answer.time,
        "prefix": answer.prefix,
        "target": answer.target,
        "operations": [{"op": each.op, "path": each.path} for each in answer.operations],
        "changes": None
        if changes is None
        else [{"path": each.path, "before": each.before, "after": each.after} for each in changes],
        "extensions": _extensions(answer.extensions),
    }


def set_result_lines(answer: SetResult) -> list[str]:
    """The same; what changed with a minus for what was, and a plus for what is."""
    done = [f"{each.op} {visible.line(each.path)}" for each in answer.operations]
    changed = [visible.line(line) for each in answer.changes or () for line in str(each).split("\n")]
    unchanged = ["nothing changed"] if answer.changes == () else []
    return [*done, *changed, *unchanged, *_extension_lines(answer.extensions)]


def capabilities(answer: Capabilities) -> dict[str, Any]:
    """What a device can do."""
    return {
        "version": answer.version,
        "encodings": list(answer.encodings),
        "models": [{"name": name, "version": version} for name, version in answer.models],
        "extensions": _extensions(answer.extensions),
    }


def capabilities_lines(answer: Capabilities) -> list[str]:
    """The same."""
    models = [f"model {visible.line(f'{name} {version}')}" for name, version in answer.models]
    encodings = [f"encoding {each}" for each in answer.encodings]
    return [f"gNMI {visible.line(answer.version)}", *encodings, *models, *_extension_lines(answer.extensions)]


def updates(answer: Updates) -> list[dict[str, Any]]:
    """What came over a subscription, an object each."""
    if answer.resumed:
        return [{"resumed": True, "why": answer.why}]
    extensions = {"extensions": _extensions(answer.extensions)} if answer.extensions else {}
    return [leaf(each) | extensions for each in answer] or [{"synced": True} | extensions]


def updates_lines(answer: Updates) -> list[str]:
    """The same for people, who need not know that all was replies that was there."""
    if answer.resumed:
        return [str(answer)]
    return [*map(leaf_line, answer), *_extension_lines(answer.extensions)]


def failure(error: BaseException) -> dict[str, Any]:
    """Why a device did not answer."""
    code = error.code if isinstance(error, HoldfastError) else None
    message = error.message if isinstance(error, HoldfastError) else str(error)
    return {"error": {"kind": type(error).__name__, "code": code, "message": message}}


def show(shape: str, replies: Sequence[Reply[Any]], plain: Any, lines: Any) -> None:
    """One answer of each device: alone as it is, and several under their names."""
    alone = len(replies) == 1 and not replies[0].place.name
    if shape == "flat":
        for each in replies:
            before = "" if alone else f"{visible.line(each.place.name)}: "
            for line in () if each.error is not None else lines(each.answer):
                click.echo(f"{before}{line}")
        return
    held = {each.place.name: failure(each.error) if each.error is not None else plain(each.answer) for each in replies}
    data = held[replies[0].place.name] if alone else held
    click.echo(as_json(data) if shape == "json" else as_yaml(data))
