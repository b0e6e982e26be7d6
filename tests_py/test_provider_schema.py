"""The JSON schema of a provider file, and the table of its keys: as the reader, and as what is shown of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from holdfast.exceptions import InvalidArgumentError
from holdfast.storage.provider import SHIPPED, keys, read, schema

VALIDATOR = jsonschema.Draft202012Validator(
    schema.schema(), format_checker=jsonschema.FormatChecker(formats=("ipv4", "ipv6"))
)
NODES = {"a": {"address": "192.0.2.1", "engine": "tcp://a:1"}, "b": {"address": "192.0.2.2", "engine": "unix:///b"}}
HOSTS = {"kind": "hosts", "tester": "192.0.2.9", "nodes": NODES}
WHOLE: dict[str, dict[str, Any]] = {
    "csi in namespaces": {"provider": {"kind": "csi", "start": "x"}},
    "plugin in namespaces": {"provider": {"kind": "docker-plugin", "start": "x"}, "lab": {"nodes": 2}},
    "csi on hosts": {
        "provider": {"kind": "csi", "sockets": "tcp://{address}:1"},
        "runner": {"kind": "docker"},
        "lab": HOSTS,
    },
    "csi in a cluster": {
        "provider": {"kind": "csi"},
        "lab": {"kind": "cluster", "storage_class": "fast"},
        "faults": {"power_off": "x", "power_on": "y"},
    },
    "plugin on hosts": {
        "provider": {"kind": "docker-plugin"},
        "runner": {"kind": "swarm", "manager": "tcp://m:1"},
        "lab": HOSTS,
        "faults": {"cut": "x", "heal": "y"},
    },
}
# Faults are all of one kind.
TRIED = {part: (*(keys.names(part) if part != "faults" else ("cut", "start_plugin")), "more") for part in keys.PARTS}
# What any key may be tried with: of every kind, right for some and wrong for the others.
POOL: tuple[Any, ...] = (
    "text", "", " ", "yes", "a\0b", 5, -1, 1 << 70, 5.5, True, None, [], ["ext4"], ["ext4", "ext4"], [1], [None], {},
    {"a": "b"}, {"a": ""}, {"a": ["ro", "sync"]}, {"a": [1.5]}, {"1a b": "x"}, {"A_B": "x"}, {"default": "12s"},
    {"CreateVolume": 5}, {"CreateVolumes": "5s"}, {"start": "0s"}, {"start": "x"}, {"socket": "unix:///c"},
    {"socket": "c"}, {"start": "x", "socket": "tcp://h:1"}, {"create": "text"}, {"creates": "text"}, "1GiB", "1 MiB",
    "0 GiB", "1GB", "1000", [1, "1GiB"], ["0"], "12s", "tcp://h:1", "tcp:///h", "unix:///x", "unix://x", "./x.sock",
    "/x", "x.spec", "x.json", "192.0.2.1", "fe80::1", "192.0.2.256", "csi", "docker-plugin", "driver", "none",
    "csi-addons", "local", "own", "docker", "swarm", "hosts", "namespaces", "cluster", "kubernetes",
    ["a", "b"], 2, 16, 17, ["SINGLE_NODE_WRITER"],
    ["SINGLE_NODE_READER"], NODES, {"a": NODES["a"]}, {**NODES, "c": {"address": "x"}}, {**NODES, "c": {}},
)  # fmt: skip


def files(base: dict[str, Any], number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """A file with each key as a value of the pool, and without it, and with a key that there is not.

    A quarter of all, by the base's number: together the bases have tried each key with each value.
    """
    yield "as it is", base
    rows = [(part, name) for part in (*keys.PARTS, "more") for name in ("", *TRIED.get(part, ()))]
    for row, (part, name) in enumerate(rows):
        for value in POOL[(row + number) % len(WHOLE) :: len(WHOLE)]:
            changed = deepcopy(base)
            if name:
                changed.setdefault(part, {})[name] = value
            else:
                changed[part] = value
            yield f"{part}: {name}: {value!r}", changed
        changed = deepcopy(base)
        if (changed.get(part, {}) if name else changed).pop(name or part, None) is not None:
            yield f"no {part}: {name}", changed


@pytest.mark.parametrize("number", range(len(WHOLE)), ids=list(WHOLE))
def test_the_schema_and_the_reader_agree(number: int, tmp_path: Path) -> None:
    """Whether a file of secrets is there is the reader's alone: the pool's one text is such a file."""
    (tmp_path / "text").write_text("key=value\n")
    path = tmp_path / "file.yaml"
    taken = refused = 0
    wrong = []
    for name, held in files(list(WHOLE.values())[number], number):
        if "secrets" in name and "text" not in name:
            continue
        path.write_text(yaml.dump(held, Dumper=yaml.SafeDumper), encoding="utf-8")
        said = ""
        try:
            read(str(path))
        except InvalidArgumentError as error:
            said = str(error)
            assert said.startswith(f"{path}:"), said
        taken, refused = taken + (not said), refused + bool(said)
        if VALIDATOR.is_valid(held) == bool(said):
            wrong.append(f"{name}: {said or 'the reader takes it'}")
    assert wrong == []
    assert taken > 10
    assert refused > 300


def test_what_is_shipped_is_current() -> None:
    assert schema.FILE.read_text(encoding="utf-8") == schema.written(), "python -m holdfast.storage.provider.schema"
    jsonschema.Draft202012Validator.check_schema(json.loads(schema.written()))
    for file in SHIPPED.glob("*.yaml"):
        VALIDATOR.validate(yaml.safe_load(file.read_text(encoding="utf-8")))


def test_the_command_prints_the_schema() -> None:
    command = [sys.executable, "-m", "holdfast.cli", "provider", "schema"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout) == schema.schema(), done.stderr
