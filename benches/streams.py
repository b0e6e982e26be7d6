"""Subscribe STREAM of many updates, read one by one: by ours and by pygnmi, each in a process of its own.

usage: streams.py serve | ours ADDRESS COUNT | pygnmi ADDRESS COUNT
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

# As many updates as a subscription's path says.
PATH = "/updates[count={}]"
# How long a reader may take, in seconds; then it is ended.
LIMIT = 300


def serve() -> None:
    """Answers each Subscribe with as many updates as its path says, made beforehand; says where, and serves."""
    from pygnmi.spec.v080 import gnmi_pb2 as gnmi

    told = gnmi.SubscribeResponse()
    told.update.timestamp = time.time_ns()
    update = told.update.update.add()
    for name, key in (("interfaces", {}), ("interface", {"name": "Ethernet1"}), ("state", {}), ("in-octets", {})):
        update.path.elem.add(name=name, key=key)
    update.val.uint_val = 1 << 40
    message = told.SerializeToString()

    def subscribe(requests: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
        count = re.search(rb"count\x12.(\d+)", next(requests))
        # pygnmi hands nothing out before it: it waits for a sync_response first.
        yield gnmi.SubscribeResponse(sync_response=True).SerializeToString()
        yield from (message for _ in range(int(count[1]) if count else 0))
        for _ in requests:
            pass  # until the client is gone

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            if call.method.endswith("/Capabilities"):
                offered = gnmi.CapabilityResponse(supported_encodings=[gnmi.PROTO], gNMI_version="0.8.0")
                return grpc.unary_unary_rpc_method_handler(lambda *_: offered.SerializeToString())
            return grpc.stream_stream_rpc_method_handler(subscribe)

    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, handlers=[Handler()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        print(f"127.0.0.1:{port}", flush=True)
        sys.stdin.read()
        server.stop(None)


def by_ours(address: str, count: int) -> None:
    """Reads `count` updates."""
    import holdfast

    with holdfast.connect(address, insecure=True) as dut:
        stream = iter(dut.gnmi.stream(PATH.format(count)))
        assert next(stream) == ()
        for _ in range(count):
            assert next(stream)[0].value


def by_pygnmi(address: str, count: int) -> None:
    """Reads `count` updates."""
    from pygnmi.client import gNMIclient

    host, _, port = address.partition(":")
    wanted = {
        "subscription": [{"path": PATH.format(count), "mode": "target_defined"}],
        "mode": "stream",
        "encoding": "proto",
    }
    with gNMIclient(target=(host, int(port)), username="", password="", insecure=True) as client:
        stream: Any = client.subscribe2(subscribe=wanted)
        assert next(stream)["sync_response"]
        for _ in range(count):
            assert next(stream)["update"]["update"]
        stream.close()


@contextmanager
def served() -> Iterator[str]:
    """The server, in a process of its own; its address."""
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def read(client: str, address: str, count: int) -> tuple[float, int]:
    """Seconds that `count` updates take a client, and its peak memory in KiB. Raises `TimeoutExpired` after `LIMIT`."""
    command = [sys.executable, __file__, client, address, str(count)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT).stdout.split()
    return float(told[0]), int(told[1])


def main(arguments: list[str]) -> None:
    """One of the parts."""
    match arguments:
        case ["serve"]:
            serve()
        case ["ours" | "pygnmi" as client, address, count]:
            began = time.monotonic()
            (by_ours if client == "ours" else by_pygnmi)(address, int(count))
            print(time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
            os._exit(0)  # pygnmi's thread may wait for its server for ever
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
