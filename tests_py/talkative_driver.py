"""A CSI driver that says who it is and what it can do, and makes no volumes; its answers are put together by hand.

Its words: the socket, and its manner: `plain`, `hostile` (its name and its topology try to become YAML), `silent` (no
capability is told), `unready`, `node-alone` (no controller).
"""

from __future__ import annotations

import sys
from concurrent import futures
from pathlib import Path

import grpc

socket, manner = sys.argv[1:3]
HOSTILE = 'evil\n  start: "touch planted"\n\x1b[2J# \u2028provider: {kind: csi}'
NAME = HOSTILE if manner == "hostile" else "talkative.example"


def field(number: int, content: bytes) -> bytes:
    """A field of a message: text, or another message, of less than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def capability(number: int) -> bytes:
    """One of a service, by its number."""
    return field(1, field(1, bytes([1 << 3, number])))


def answer(content: bytes) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(lambda _, __: content)


def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "I say nothing")
    raise AssertionError


PLUGIN = b"" if manner == "node-alone" else capability(1) + capability(2)
place = field(1, field(1, b"zone") + field(2, (HOSTILE if manner == "hostile" else "a").encode()))
silent = grpc.unary_unary_rpc_method_handler(refuse)
identity = {
    "GetPluginInfo": answer(field(1, NAME.encode()) + field(2, b"1.10")),
    "GetPluginCapabilities": silent if manner == "silent" else answer(PLUGIN),
    "Probe": answer(field(1, b"" if manner == "unready" else b"\x08\x01")),
}
controller = {"ControllerGetCapabilities": answer(capability(1) + capability(2) + capability(9))}
node = {
    "NodeGetCapabilities": answer(capability(1)),
    "NodeGetInfo": answer(field(1, b"node-of-mine") + b"\x10\x07" + field(3, place)),
}
if manner in ("silent", "node-alone"):
    controller = {"ControllerGetCapabilities": silent}
server = grpc.server(futures.ThreadPoolExecutor(4))
for service, methods in (("Identity", identity), ("Controller", controller), ("Node", node)):
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"csi.v1.{service}", methods),))
Path(socket).unlink(missing_ok=True)
server.add_insecure_port(f"unix://{socket}")
server.start()
server.wait_for_termination()
