"""The fields of a testbed of ours, as the table of options has them, and their JSON schema.

`python -m holdfast.testbed.schema` writes `testbed.schema.json` anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from holdfast import choices, options
from holdfast.testbed.target import InnerNames

FILE = Path(__file__).parent / "testbed.schema.json"
_INNER_HELP = {
    "host": "Their own device (localhost).",
    "gnmi": "HOST:PORT of its gNMI.",
    "gribi": "HOST:PORT of its gRIBI.",
    "link": "The host by which another device's containers reach this one's.",
}


@dataclass(frozen=True)
class TestbedField:
    """A field of a device: its key below the device or `tls`, what it holds, and what it means."""

    key: str
    kind: Literal["text", "flag", "mapping", "list"]
    help: str


# What only a testbed says, beside the keys of options.
_OWN = (
    TestbedField("password_env", "text", "the environment variable that holds the password"),
    TestbedField("token_env", "text", "the environment variable that holds a bearer token"),
    TestbedField(
        "proxy_env", "text", "the environment variable that holds the proxy's URL, if it has a password in it"
    ),
    TestbedField("tls.key_password_env", "text", "the environment variable that opens the key"),
    TestbedField("emulated", "flag", "an emulated device of the run's own instead of an address"),
    TestbedField("tags", "list", "words by which --dut-device tag:WORD, and --device of the command, choose devices"),
    TestbedField("state", "text", "maintenance: no test runs on it, unless it is named; available is the default"),
    TestbedField("reason", "text", "why it is in maintenance"),
    TestbedField(
        "until", "text", "until when, a day or a time (2026-12-24); once that has passed it is still in maintenance"
    ),
    TestbedField("workers", "list", "the ids of pytest-xdist's workers that reach it, where not all do"),
)


# What means the same here as on the command line, and is not told in its words.
_WORDS = {
    "address": "HOST[:PORT][,HOST…], port 9339 if none is given; several: one for each control processor",
    "profile": "a vendor's ways: a name, a YAML file, or auto (the default) for what the device says it is",
    "tls.key": "a file with its key",
    "tls.key_password_file": "a file whose first line opens an encrypted key",
    "username": "who logs in",
    "deadlines": "STEP: TIME, such as reboot: 20m",
    "metadata": "KEY: VALUE, sent with each call: a text, env:VARIABLE, or file:FILE for the first line of a file",
    "proxy": "http://HOST:PORT or socks5://HOST:PORT, by which it is reached, or environment: as HTTPS_PROXY says",
    "inner": "how containers name devices: host, gnmi, gribi (HOST:PORT), link",
    "allow_disruption": "failovers and reboots are allowed on this device",
}


def _of(option: options.Option) -> TestbedField:
    kinds: Mapping[str, Literal["text", "flag", "mapping"]] = {"flag": "flag", "list": "mapping"}
    return TestbedField(option.testbed, kinds.get(option.kind, "text"), _WORDS.get(option.testbed, option.help))


FIELDS = (*(_of(option) for option in options.ALL if option.testbed), *_OWN)
TEXTS = tuple(field.key for field in FIELDS if field.kind == "text" and "." not in field.key)
FLAGS = tuple(field.key for field in FIELDS if field.kind == "flag" and "." not in field.key)
# Texts that may as well be numbers of seconds.
TIMES = ("silence",)
# Texts with a reader of their own.
STATE = ("state", "reason", "until")
LISTS = tuple(field.key for field in FIELDS if field.kind == "list")
MAPPINGS = ("tls", *(field.key for field in FIELDS if field.kind == "mapping"))
TLS = tuple(field.key.removeprefix("tls.") for field in FIELDS if field.key.startswith("tls."))
TLS_FLAGS = tuple(field.key.removeprefix("tls.") for field in FIELDS if field.kind == "flag" and "." in field.key)
INNER = tuple(field.name for field in fields(InnerNames))
KEYS = (*TEXTS, *FLAGS, *MAPPINGS, *LISTS)


def schema() -> dict[str, Any]:
    """The JSON schema of a whole file."""
    own = {"$ref": "#/$defs/fields"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "holdfast testbed",
        "type": "object",
        "required": ["devices"],
        "additionalProperties": False,
        "properties": {
            "$schema": {"type": "string"},
            "reserve": {
                "type": "object",
                "additionalProperties": False,
                "required": ["labgrid"],
                "properties": {"labgrid": {"type": "string", "description": "HOST[:PORT] of its coordinator."}},
                "description": "Who gives the devices out; a device is the place of its name.",
            },
            "defaults": {**own, "description": "Of every device, unless it says otherwise."},
            "devices": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"anyOf": [own, {"type": "null"}]},
            },
        },
        "$defs": {"fields": _mapping({key: _shape(key) for key in KEYS})},
    }


def _mapping(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, **more, "properties": dict(properties)}


def _shape(key: str) -> dict[str, Any]:
    if key == "tls":
        return _mapping({name: _leaf(f"tls.{name}") for name in TLS})
    description = _leaf(key)["description"]
    if key == "inner":
        inner = {name: {"type": "string", "description": _INNER_HELP[name]} for name in INNER}
        return _mapping(inner, description=description)
    shapes: dict[str, dict[str, Any]] = {
        "deadlines": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        "state": {"enum": list(choices.words(choices.DeviceState))},
        **{name: {"type": "array", "items": {"type": "string"}} for name in LISTS},
    }
    return {**shapes[key], "description": description} if key in shapes else _leaf(key)


def _leaf(key: str) -> dict[str, Any]:
    field = next(field for field in FIELDS if field.key == key)
    kind = "boolean" if field.kind == "flag" else ["string", "number"] if key in TIMES else "string"
    return {"type": kind, "description": field.help}


def written() -> str:
    """The schema as its file has it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
