"""Who stands on the other side in tests: sockets, servers of grpcio's, and `holdfast` as a command."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from conftest import isolated


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class Listener:
    """A server of each connection in a thread of its own; `address` is where it is."""

    serve: Callable[[socket.socket], None]
    address: str = ""
    connections: int = 0
    open: list[socket.socket] = field(default_factory=list)


@contextmanager
def listening(serve: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Iterator[Listener]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    place = socket.getaddrinfo(host, 0, family, socket.SOCK_STREAM)[0][4]
    server = socket.socket(family, socket.SOCK_STREAM)
    server.bind(place)
    server.listen(64)
    port = server.getsockname()[1]
    found = Listener(serve, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    def one(client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client:
            serve(client)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                found.connections += 1
                found.open.append(client)
                threading.Thread(target=one, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        for client in found.open:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)


@contextmanager
def saying(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """The address of something that listens and is no gRPC: it answers at once, and then takes what comes."""

    def serve(client: socket.socket) -> None:
        answer(client)
        while client.recv(4096):
            pass

    with listening(serve) as found:
        yield found.address


@contextmanager
def served(methods: Any, *options: tuple[str, int], workers: int = 8) -> Iterator[str]:
    """The address of a gRPC server of another make, with methods by their paths or a handler of its own."""
    import grpc

    class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
        """Serves methods by their paths."""

        def service(self, call_details: Any) -> Any:
            """The handler of a method."""
            return methods.get(call_details.method)

    handler = Handlers() if isinstance(methods, dict) else methods
    with ThreadPoolExecutor(workers) as pool:
        server = grpc.server(pool, handlers=[handler], options=options)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


def command(folder: Path, *words: str, told: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """`holdfast …` without a terminal and with a state folder of the test's own, in this process: what Python takes to
    begin is most of what a command takes. `told` is what it reads."""
    if {"emulate", "--debug"} & set(words):  # they block signals of their process, or have it log, for good
        return command_apart(folder, *words, **environment)
    from holdfast.cli import main

    given = isolated(folder, environment)
    unset = dict.fromkeys(os.environ.keys() - given.keys())
    done = CliRunner().invoke(main, words, input=told, env={**given, **unset}, prog_name="holdfast")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(["holdfast", *words], done.exit_code, done.stdout, done.stderr)


def command_apart(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, as people start it."""
    return subprocess.run(
        [sys.executable, "-m", "holdfast.cli", *words],
        env=isolated(folder, environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
