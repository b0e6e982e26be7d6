"""Devices of another make that say early, in a ONCE, that they have told all, and are slow to tell it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import holdfast
from holdfast import _core

from peers import served

grpc = pytest.importorskip("grpc", reason="pip install grpcio")

ROLES = {"RP0": "PRIMARY", "RP1": "SECONDARY"}
LIMIT = 60


def message(name: str, content: dict[str, Any]) -> bytes:
    """A message in wire form."""
    return bytes(_core.message_encoded(name, json.dumps(content)))


SYNC = message("gnmi.SubscribeResponse", {"sync_response": True})


def update(component: str, leaf: str) -> bytes:
    """A leaf of a component."""
    names = [
        {"name": "components"},
        {"name": "component", "key": {"name": component}},
        {"name": "state"},
        {"name": leaf},
    ]
    value = {"string_val": ROLES[component]} if leaf == "redundant-role" else {"bool_val": False}
    one = {"timestamp": "1", "update": [{"path": {"elem": names}, "val": value}]}
    return message("gnmi.SubscribeResponse", {"update": one})


def subscribes(sync: str, pause: float, closes: bool) -> Any:
    """Tells the role of two cards and whether they are ready, and nothing else."""

    def subscribe(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        asked = json.loads(_core.message_decoded("gnmi.SubscribeRequest", next(requests)))
        gone = threading.Event()
        context.add_callback(gone.set)
        if sync == "first":
            yield SYNC
        for subscription in asked["subscribe"]["subscription"]:
            leaf = subscription["path"]["elem"][-1]["name"]
            for component in ROLES if leaf in ("redundant-role", "switchover-ready") else ():
                gone.wait(pause)
                yield update(component, leaf)
                if sync == "after each":
                    yield SYNC
        if sync == "last":
            yield SYNC
        if not closes:
            gone.wait(LIMIT)

    return grpc.stream_stream_rpc_method_handler(subscribe)


def capabilities() -> Any:
    """PROTO alone."""
    answer = message("gnmi.CapabilityResponse", {"supported_encodings": ["PROTO"]})
    return grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer)


@pytest.mark.parametrize(
    ("sync", "pause", "closes"),
    [
        ("after each", 0.7, True),
        ("after each", 0.35, False),
        ("after each", 0.01, False),
        ("first", 0.7, True),
        ("first", 0.35, False),
        ("last", 0.3, True),
        ("last", 0.01, False),
    ],
)
def test_all_is_read_however_early_a_device_says_that_it_has_told_all(sync: str, pause: float, closes: bool) -> None:
    methods = {"/gnmi.gNMI/Subscribe": subscribes(sync, pause, closes), "/gnmi.gNMI/Capabilities": capabilities()}
    with served(methods) as address, holdfast.connect(address, insecure=True) as dut:
        for _ in range(3):
            found = dut.control_processors(timeout=LIMIT)
            assert [(cp.name, cp.role, cp.ready) for cp in found] == [
                ("RP0", "PRIMARY", False),
                ("RP1", "SECONDARY", False),
            ]
