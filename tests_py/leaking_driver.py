"""A CSI driver that repeats every secret it is told, in every way it can; its answers are put together by hand.

Its words: the socket, what it does at first (serves, or dies), and a secret of its command line.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Callable
from concurrent import futures
from urllib.parse import quote

import grpc

socket, manner, own = sys.argv[1:4]
told = [own, os.environ["LEAKING_PASSWORD"]]


def field(number: int, content: bytes) -> bytes:
    """A field of a message: text, or another message; less than 16 KiB of it."""
    length = bytes([len(content) & 127 | 128, len(content) >> 7])
    return bytes([number << 3 | 2]) + length + content


def secrets_of(request: bytes) -> list[str]:
    """The values of the planted secrets, which all begin alike."""
    starts = [found.start() for found in re.finditer(b"Planted", request)]
    return [request[start : start + request[start - 1]].decode() for start in starts]  # its length is before it


def leak(secrets: list[str]) -> str:
    """All of them, in all forms."""
    forms: list[str] = []
    for secret in secrets:
        half = len(secret) // 2
        forms += [
            secret,
            base64.b64encode(secret.encode()).decode(),
            base64.urlsafe_b64encode(f"admin:{secret}".encode()).decode(),
            quote(secret, safe=""),
            json.dumps({"password": secret}),
            json.dumps(json.dumps([secret])),
            f"{secret[:half]}\n    {secret[half:]}",
            repr(secret),
            secret.replace("\\n", "\n"),
            secret.encode().hex(),
        ]
    return " | ".join(forms)


def name(_: bytes, __: grpc.ServicerContext) -> bytes:
    return field(1, f"acme {told[0]}".encode()) + field(2, f"1.0 {told[-1]}".encode())


def node(_: bytes, __: grpc.ServicerContext) -> bytes:
    return field(1, f"node-{told[0]}-{socket}".encode())


def create(request: bytes, context: grpc.ServicerContext) -> bytes:
    told.extend(secrets_of(request))
    told[:] = dict.fromkeys(told)
    sys.stdout.write(leak(told) + "\n")
    sys.stdout.flush()
    identity = f"volume {' '.join(told)}".encode()
    return field(1, field(2, identity) + field(3, field(1, b"token") + field(2, told[-1].encode())))


def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.INTERNAL, f"mount error: {leak(told)}")
    return b""


def makes_volumes(_: bytes, __: grpc.ServicerContext) -> bytes:
    return field(1, field(1, b"\x08\x01"))  # the capability CREATE_DELETE_VOLUME


def nothing(_: bytes, __: grpc.ServicerContext) -> bytes:
    return b""


METHODS: dict[str, dict[str, Callable[[bytes, grpc.ServicerContext], bytes]]] = {
    "Identity": {"GetPluginInfo": name, "Probe": nothing},
    "Controller": {"ControllerGetCapabilities": makes_volumes, "CreateVolume": create, "DeleteVolume": refuse},
    "Node": {"NodeGetCapabilities": nothing, "NodeGetInfo": node, "NodePublishVolume": refuse},
}

if manner == "dies":
    sys.exit(f"I cannot start with {leak(told)}")
server = grpc.server(futures.ThreadPoolExecutor(4))
for service, methods in METHODS.items():
    handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"csi.v1.{service}", handlers),))
server.add_insecure_port(socket)
server.start()
server.wait_for_termination()
