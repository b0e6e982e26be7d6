"""The JSON schema of a provider file, for editors and for whoever writes such files by a program.

`python -m holdfast.storage.provider.schema` writes `provider.schema.json` anew. It says what the reader says, but for
what no schema can: whether files are there, what is in them, and what YAML makes of a text without quotes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from holdfast.storage.provider import keys
from holdfast.storage.provider.keys import Key

FILE = Path(__file__).parent.parent / "provider.schema.json"


def schema() -> dict[str, Any]:
    """The schema of a whole file."""
    parts = {part: _mapping(_properties(part)) for part in keys.PARTS}
    by_lab = {
        "if": {"required": ["lab"], **_below("lab", _is("kind", "hosts"))},
        "then": {"required": ["runner", "lab"], "allOf": [*_only("hosts"), *_swarm()]},
        "else": {"allOf": _only("namespaces")},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "holdfast provider file",
        **_mapping(parts),
        "required": ["provider"],
        "allOf": [by_lab, *(_by_protocol(key) for key in keys.KEYS if key.protocol), _calls_of_plugins()],
    }


def _properties(part: str) -> dict[str, Any]:
    """A key that means another thing in each lab may be any of them; which one, the lab decides."""
    found: dict[str, Any] = {}
    for name in keys.names(part):
        rows = [key for key in keys.of_part(part) if key.name == name and key.offered]
        shapes = [{**key.kind.schema(), "description": _described(key)} for key in rows]
        if shapes:
            found[name] = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    return found


def _described(key: Key) -> str:
    default = f" (default: {key.default.replace('`', '')})" if key.default else ""
    return f"{key.help.replace('`', '')}{default}"


def _mapping(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _below(part: str, inner: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {part: inner}}


def _is(name: str, value: str) -> dict[str, Any]:
    return {"properties": {name: {"const": value}}, "required": [name]}


def _only(lab: str) -> list[dict[str, Any]]:
    """What a lab needs, and what is for the other one alone."""
    said: list[dict[str, Any]] = []
    for part in keys.PARTS:
        rows = [key for key in keys.of_part(part) if key.offered]
        mine = {key.name: key for key in rows if key.lab in ("", lab)}
        others = {key.name: False for key in rows if key.name not in mine}
        shapes = {name: key.kind.schema() for name, key in mine.items() if len(_rows(part, name)) > 1}
        needed = [key.name for key in mine.values() if key.required and not key.protocol]
        if not mine:
            said.append(_below(part, {"maxProperties": 0}))
        elif others or shapes or needed:
            required = {"required": needed} if needed else {}
            said.append(_below(part, {"properties": {**others, **shapes}, **required}))
    if lab == "hosts":
        said.append(_below("provider", {"properties": {"controller": {"not": {"required": ["start"]}}}}))
    return said


def _rows(part: str, name: str) -> list[Key]:
    return [key for key in keys.of_part(part) if key.name == name]


def _swarm() -> list[dict[str, Any]]:
    """Hosts have no runner of ours, and a Swarm alone has a manager."""
    return [
        _below("runner", {"required": ["kind"], "properties": {"kind": {"enum": ["docker", "swarm"]}}}),
        {
            "if": _below("runner", _is("kind", "swarm")),
            "then": _below("runner", {"required": ["manager"]}),
            "else": _below("runner", {"properties": {"manager": False}}),
        },
    ]


def _by_protocol(key: Key) -> dict[str, Any]:
    """A key of one protocol is not for the others; and where it must be there, that is for its lab."""
    mine = {"required": ["provider"], **_below("provider", _is("kind", key.protocol))}
    refused = _below("provider", {"properties": {key.name: False}})
    if not key.required:
        return {"if": mine, "then": {}, "else": refused}
    lab = {"required": ["lab"], **_below("lab", _is("kind", key.lab))}
    return {"if": mine, "then": {"if": lab, "then": _below("provider", {"required": [key.name]})}, "else": refused}


def _calls_of_plugins() -> dict[str, Any]:
    """The RPCs are those of CSI."""
    plugin = {"required": ["provider"], **_below("provider", _is("kind", "docker-plugin"))}
    return {"if": plugin, "then": _below("provider", _below("calls", {"propertyNames": {"enum": list(keys.CALLS)}}))}


def written() -> str:
    """The schema as its file has it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
