"""Servers of another make that hold something back or say what is not so: no call ends late, or wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.exceptions import ExpectationFailed, OutcomeUnknown, Timeout

from archives import Image, saved, write
from peers import served

grpc = pytest.importorskip("grpc", reason="pip install grpcio")

CONTAINERZ = "/gnoi.containerz.Containerz/"
# What a call may take beyond its limit on a busy machine, in seconds: it must end at all.
PATIENCE = 60
OLD = "sha256:" + "e" * 64


def lists(*rows: Any) -> Any:
    """A method that lists rows."""
    return grpc.unary_stream_rpc_method_handler(
        lambda _request, _context: iter(rows), response_serializer=lambda row: row.SerializeToString()
    )


def deploys(messages: Any, receive: Callable[[Iterator[Any]], None], chunk_size: int) -> Any:
    """A Deploy that is ready for chunks of so many bytes, receives as told, and says success."""
    request, response = messages("gnoi.containerz.DeployRequest"), messages("gnoi.containerz.DeployResponse")

    def deploy(requests: Iterator[Any], _context: Any) -> Iterator[Any]:
        next(requests)
        ready = response()
        ready.image_transfer_ready.chunk_size = chunk_size
        yield ready
        receive(requests)
        done = response()
        done.image_transfer_success.name = "app"
        yield done

    return grpc.stream_stream_rpc_method_handler(
        deploy, request_deserializer=request.FromString, response_serializer=lambda message: message.SerializeToString()
    )


def archive(folder: Path) -> Path:
    """An archive without a manifest: docker-save's older layout."""
    return write(folder / "app.tar", saved(Image(), "app:1"))


def test_an_upload_whose_end_nobody_takes_ends_by_its_limit(messages: Any, tmp_path: Path) -> None:
    path = archive(tmp_path)
    with path.open("ab") as file:
        file.write(bytes(8 << 20))  # of zeros after the archive's end, which is read over
    stop = threading.Event()
    with ExitStack() as stack:
        held = deploys(messages, lambda _requests: stop.wait(PATIENCE), -(-path.stat().st_size // 4))
        methods = {f"{CONTAINERZ}Deploy": held, f"{CONTAINERZ}ListImage": lists()}
        narrow = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536))
        address = stack.enter_context(served(methods, *narrow))
        stack.callback(stop.set)
        dut = stack.enter_context(holdfast.connect(address, insecure=True))
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(lambda: dut.containerz.deploy(path, timeout=2, progress=False))
            with pytest.raises((OutcomeUnknown, Timeout)):
                sent.result(PATIENCE / 2)


def test_a_device_that_moves_no_name_does_not_pass_for_one_that_did(messages: Any, tmp_path: Path) -> None:
    row = messages("gnoi.containerz.ListImageResponse")(id=OLD, image_name="app", tag="1")

    def read_all(requests: Iterator[Any]) -> None:
        for message in requests:
            if message.HasField("image_transfer_end"):
                return

    methods = {
        f"{CONTAINERZ}Deploy": deploys(messages, read_all, 1 << 20),
        f"{CONTAINERZ}ListImage": lists(row),
    }
    with served(methods) as address, holdfast.connect(address, insecure=True) as dut:
        image = dut.containerz.deploy(archive(tmp_path), replace=True, progress=False)
        with pytest.raises(ExpectationFailed, match="is another image"):
            dut.containerz.expect_image(image, within=0.5, watch=0)


def test_who_cannot_say_who_is_in_charge_ends_no_later_than_asked() -> None:
    held = threading.Event()

    def wait(_request: bytes, _context: Any) -> bytes:
        held.wait(PATIENCE)
        return b""

    methods = {"/gnoi.system.System/Time": grpc.unary_unary_rpc_method_handler(wait)}
    with ExitStack() as stack:
        addresses = [stack.enter_context(served(methods)) for _ in range(2)]
        stack.callback(held.set)
        dut = stack.enter_context(holdfast.connect(",".join(addresses), insecure=True))
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(lambda: dut.containerz.update("x", image="a:1", timeout=1))
            with pytest.raises(Timeout):
                asked.result(PATIENCE / 2)
