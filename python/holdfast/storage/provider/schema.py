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
        "if": _in_lab("hosts"),
        "then": {"required": ["runner", "lab"], "allOf": [*_only("hosts"), *_swarm()]},
        "else": {
            "if": _in_lab("cluster"),
            "then": {"required": ["lab"], "allOf": [*_only("cluster"), *_kubernetes()]},
            "else": {"allOf": _only("namespaces")},
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "holdfast provider file",
        **_mapping(parts),
        "required": ["provider"],
        "allOf": [by_lab, *(_by_protocol(name) for name in _of_protocols()), _calls_of_plugins()],
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


def _in_lab(lab: str) -> dict[str, Any]:
    if lab == keys.LABS[0]:  # which is meant where nothing is said
        return {"not": {"anyOf": [_in_lab(other) for other in keys.LABS[1:]]}}
    return {"required": ["lab"], **_below("lab", _is("kind", lab))}


def _only(lab: str) -> list[dict[str, Any]]:
    """What a lab needs, and what is for the other one alone."""
    said: list[dict[str, Any]] = []
    for part in keys.PARTS:
        rows = [key for key in keys.of_part(part) if key.offered]
        mine = {key.name: key for key in rows if key.is_for(None, lab)}
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


def _kubernetes() -> list[dict[str, Any]]:
    """In a cluster there are no other runners; its nodes are named, or chosen; some keys are for agents alone."""
    agents = _is("node_access", "daemonset")
    return [
        _below("provider", {"properties": {"kind": {"const": "csi"}}}),
        _below("runner", {"properties": {"kind": {"const": "kubernetes"}}}),
        _below("lab", {"not": {"required": ["nodes", "selector"]}}),
        _below("lab", {"dependentSchemas": dict.fromkeys(keys.OF_AGENTS, agents)}),
    ]


def _of_protocols() -> list[str]:
    """The keys of a provider that are for one protocol, or mean something else in another."""
    return list(dict.fromkeys(key.path for key in keys.KEYS if key.protocol))


def _by_protocol(path: str) -> dict[str, Any]:
    """A key of one protocol is not for the others; where it must be there, or may not, that is by lab."""
    part, _, name = path.partition(".")
    rows = [key for key in keys.of_part(part) if key.name == name]
    said = []
    for protocol in keys.PROTOCOLS:
        mine = [key for key in rows if key.protocol in ("", protocol)]
        is_mine = {"required": ["provider"], **_below("provider", _is("kind", protocol))}
        refused = _below(part, {"properties": {name: False}})
        labs = {lab for key in mine for lab in key.labs} if all(key.labs for key in mine) else set(keys.LABS)
        others = {lab for key in rows for lab in key.labs} - labs if labs != set(keys.LABS) else set()
        if not mine:
            said.append({"if": is_mine, "then": refused})
        said += [{"if": is_mine, "then": {"if": _in_lab(lab), "then": refused}} for lab in sorted(others)]
        needed = [lab for key in mine if key.required for lab in key.labs]
        required = _below(part, {"required": [name]})
        said += [{"if": is_mine, "then": {"if": _in_lab(lab), "then": required}} for lab in needed]
    return {"allOf": said}


def _calls_of_plugins() -> dict[str, Any]:
    """The RPCs are those of CSI."""
    plugin = {"required": ["provider"], **_below("provider", _is("kind", "docker-plugin"))}
    return {"if": plugin, "then": _below("provider", _below("calls", {"propertyNames": {"enum": list(keys.CALLS)}}))}


def written() -> str:
    """The schema as its file has it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
